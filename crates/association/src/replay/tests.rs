//! The window against a set that remembers everything.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use proptest::prelude::*;

use super::*;

/// What RFC 4303 asks for, without any cleverness.
struct Naive {
    seen: BTreeSet<u64>,
    top: u64,
    window: u64,
}

impl Naive {
    fn accept(&mut self, number: u64) -> Result<(), ReplayError> {
        if number == 0 || (number <= self.top && self.top - number >= self.window) {
            return Err(ReplayError::TooOld);
        }
        if !self.seen.insert(number) {
            return Err(ReplayError::Replayed);
        }
        self.top = self.top.max(number);
        Ok(())
    }
}

/// What the next packet is, relative to the highest accepted so far.
#[derive(Clone, Copy, Debug)]
enum Step {
    Ahead(u64),
    Back(u64),
    /// An offset from a multiple of the slots' span, where blocks change slots.
    Turn(u64, i64),
}

fn steps(window: u64) -> impl Strategy<Value = Vec<Step>> {
    let span = (window.div_ceil(BLOCK) + 1).next_power_of_two() * BLOCK;
    let step = prop_oneof![
        4 => (1..4u64).prop_map(Step::Ahead),
        2 => (1..window * 2 + 70).prop_map(Step::Ahead),
        1 => (1..u64::from(u32::MAX) / 2).prop_map(Step::Ahead),
        4 => (0..8u64).prop_map(Step::Back),
        4 => (0..window + 40).prop_map(Step::Back),
        2 => (window - 2..window + 2).prop_map(Step::Back),
        2 => (1..4u64, -40..40i64).prop_map(move |(n, off)| Step::Turn(n * span, off)),
    ];
    prop::collection::vec(step, 1..250)
}

fn windows() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(32u64),
        Just(64),
        Just(128),
        Just(1024),
        Just(2048),
        Just(8192),
        32..=200u64,
        32..=8192u64
    ]
}

fn run(window: u64, esn: bool, start: u64, steps: &[Step]) {
    let replay = Replay::new(window as u32, esn, start);
    let mut naive = Naive { seen: BTreeSet::new(), top: start, window };
    naive.seen.extend(start.saturating_sub(window).max(1)..=start);
    for step in steps {
        let top = naive.top;
        let number = match *step {
            Step::Ahead(n) => top.checked_add(n),
            Step::Back(n) => top.checked_sub(n),
            Step::Turn(ahead, off) => {
                top.checked_add(ahead).and_then(|n| n.checked_add_signed(off))
            }
        };
        let Some(number) = number.filter(|n| esn || *n <= u64::from(u32::MAX)) else {
            continue;
        };
        // only what RFC 4303 appendix A2 can tell: less than 2^32 ahead of the window's bottom
        let in_reach = number <= top || number - top < (1 << 32) - window;
        if !in_reach || (esn && top - number.min(top) >= window) {
            continue;
        }
        let inferred = replay.infer(number as u32);
        assert_eq!(inferred, Some(number), "top {top:#x} window {window}");
        let expected = naive.accept(number);
        assert_eq!(replay.check(number), expected, "check {number:#x}, top {top:#x}");
        assert_eq!(replay.accept(number), expected, "accept {number:#x}, top {top:#x}");
        assert_eq!(replay.top(), naive.top);
    }
    let bitmap = replay.bitmap();
    for back in 0..window {
        let seen = bitmap.words[(back / 32) as usize] >> (back % 32) & 1 != 0;
        let expected = naive.top.checked_sub(back).is_some_and(|n| naive.seen.contains(&n));
        assert_eq!(seen, expected, "{back} behind {:#x}", naive.top);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_window_is_a_naive_set_without_esn(
        (window, steps) in windows().prop_flat_map(|w| (Just(w), steps(w))),
        start in prop_oneof![Just(0u64), 0..100_000u64, u64::from(u32::MAX) - 9000..u64::from(u32::MAX)],
    ) {
        run(window, false, start, &steps);
    }

    #[test]
    fn the_window_is_a_naive_set_with_esn(
        (window, steps) in windows().prop_flat_map(|w| (Just(w), steps(w))),
        start in prop_oneof![
            Just(0u64),
            0..100_000u64,
            (1..5u64, -9000..9000i64).prop_map(|(high, off)| (high << 32).saturating_add_signed(off)),
            u64::MAX - 20_000..u64::MAX,
        ],
    ) {
        run(window, true, start, &steps);
    }
}

#[test]
fn too_old_and_replayed_are_told_apart_at_the_edge() {
    for window in [32, 33, 64, 1000, 1024, 8192] {
        let replay = Replay::new(window, false, 0);
        replay.accept(100_000).expect("new");
        let bottom = 100_000 - u64::from(window) + 1;
        assert_eq!(replay.check(bottom - 1), Err(ReplayError::TooOld));
        assert_eq!(replay.accept(bottom), Ok(()));
        assert_eq!(replay.accept(bottom), Err(ReplayError::Replayed));
        replay.accept(100_001).expect("new");
        assert_eq!(replay.accept(bottom), Err(ReplayError::TooOld));
    }
}

#[test]
fn number_zero_is_never_right_and_esn_never_goes_before_the_start() {
    let replay = Replay::new(64, false, 0);
    assert_eq!(replay.check(0), Err(ReplayError::TooOld));
    let replay = Replay::new(64, true, 0);
    assert_eq!(replay.infer(u32::MAX), None);
    assert_eq!(replay.infer(5), Some(5));
    let replay = Replay::new(64, true, (1 << 32) + 3);
    assert_eq!(replay.infer(u32::MAX), Some(u64::from(u32::MAX)));
    assert_eq!(replay.infer(0), Some(1 << 32));
}

#[test]
fn without_a_window_everything_passes_and_the_top_still_moves() {
    let replay = Replay::new(0, true, (1 << 32) - 2);
    for low in [u32::MAX, u32::MAX, 0, 1] {
        let number = replay.infer(low).expect("in reach");
        assert_eq!(replay.check(number), Ok(()));
        assert_eq!(replay.accept(number), Ok(()));
    }
    assert_eq!(replay.top(), (1 << 32) + 1);
    assert_eq!(replay.bitmap().words, []);
}

#[test]
fn no_number_is_accepted_twice_by_four_threads() {
    const NUMBERS: u64 = 40_000;
    for window in [32u32, 64, 1024] {
        let replay = Replay::new(window, false, 0);
        let accepted: Vec<AtomicU32> = (0..=NUMBERS).map(|_| AtomicU32::new(0)).collect();
        thread::scope(|scope| {
            for offset in 0..4u64 {
                let (replay, accepted) = (&replay, &accepted);
                scope.spawn(move || {
                    for number in 1..=NUMBERS {
                        // each thread near the others, a little out of order, now and then again
                        let number = (number ^ offset).clamp(1, NUMBERS);
                        for number in [number, number.saturating_sub(offset * 7).max(1)] {
                            if replay.check(number).is_ok() && replay.accept(number).is_ok() {
                                accepted[number as usize].fetch_add(1, Ordering::Relaxed);
                            }
                        }
                    }
                });
            }
        });
        assert!(accepted.iter().all(|n| n.load(Ordering::Relaxed) <= 1));
        let all: u32 = accepted.iter().map(|n| n.load(Ordering::Relaxed)).sum();
        assert!(all > 0 && replay.top() == NUMBERS);
    }
}
