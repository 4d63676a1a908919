//! The timer wheel: one timer per slot, eight bytes, everything in constant time.
//!
//! Eight levels of 64 lists, each level eight times as coarse as the one before. Nothing cascades: a
//! timer far away stands in a coarse list and fires when that list begins, which may be *early*.
//! Whoever is told then works out when the session is really due (its packets may have moved that,
//! on any tier, without the wheel hearing of it) and arms the timer again, nearer and finer, until
//! it fires on time. It never fires late by more than a [`TICK`].
//!
//! Limits: more than 12 days ahead is 12 days ahead.

use core::time::Duration;

use wire::Time;

/// The finest step: 2^23 ns, about 8.4 ms.
pub(super) const TICK: Duration = Duration::from_nanos(1 << TICK_SHIFT);

const TICK_SHIFT: u32 = 23;
const LEVELS: usize = 8;
const LISTS: u64 = 64;
/// Each level is 2^3 times as coarse as the one before.
const COARSER: u32 = 3;
/// How far ahead a timer of the last level may lie, in ticks.
const FARTHEST: u64 = (LISTS - 1) << (COARSER * (LEVELS as u32 - 1));

/// No slot.
const NONE: u32 = u32::MAX;
/// In `previous`: the number of the list the slot heads, rather than a slot.
const HEAD: u32 = 1 << 31;

/// A slot's place in its list.
#[derive(Clone, Copy)]
struct Link {
    next: u32,
    /// The slot before; or [`HEAD`] and the list; or [`NONE`] outside of any list.
    previous: u32,
}

const _: () = assert!(size_of::<Link>() == 8);

/// The wheel.
pub(super) struct Timers {
    links: Vec<Link>,
    heads: [[u32; LISTS as usize]; LEVELS],
    /// Which lists of a level have something in them.
    occupied: [u64; LEVELS],
    /// Everything up to this tick has fired.
    done: u64,
}

impl Timers {
    /// A wheel for up to `capacity` slots.
    pub fn new(capacity: u32) -> Self {
        Self {
            links: Vec::with_capacity(capacity as usize),
            heads: [[NONE; LISTS as usize]; LEVELS],
            occupied: [0; LEVELS],
            done: 0,
        }
    }

    /// Makes room for one more slot.
    pub fn grow(&mut self) {
        self.links.push(Link { next: NONE, previous: NONE });
    }

    /// Arms a slot's timer, or arms it anew.
    pub fn arm(&mut self, slot: u32, deadline: Time) {
        self.disarm(slot);
        let due = deadline.as_nanos().div_ceil(TICK.as_nanos() as u64);
        let ahead = due.saturating_sub(self.done).clamp(1, FARTHEST);
        let due = self.done + ahead;
        let level = (0..LEVELS as u32)
            .find(|level| ahead >> (COARSER * level) < LISTS - 1)
            .unwrap_or(LEVELS as u32 - 1);
        let list = (due >> (COARSER * level)) & (LISTS - 1);
        self.push(level as usize, list as usize, slot);
    }

    /// Stops a slot's timer.
    pub fn disarm(&mut self, slot: u32) {
        let Some(link) = self.links.get_mut(slot as usize) else { return };
        let Link { next, previous } = core::mem::replace(link, Link { next: NONE, previous: NONE });
        if previous == NONE {
            return;
        }
        if previous & HEAD == 0 {
            self.links[previous as usize].next = next;
        } else {
            let (level, list) = ((previous & !HEAD) as usize / 64, previous as usize % 64);
            self.heads[level][list] = next;
            if next == NONE {
                self.occupied[level] &= !(1 << list);
            }
        }
        if next != NONE {
            self.links[next as usize].previous = previous;
        }
    }

    /// Takes out up to `max` timers that have fired by `now`, each list latest armed first.
    pub fn expired(&mut self, now: Time, max: usize, mut each: impl FnMut(u32)) {
        let target = now.as_nanos() >> TICK_SHIFT;
        let mut left = max;
        while let Some((start, level, list)) = self.first() {
            if start > target {
                break;
            }
            // lists before this one are empty, so time may pass up to it
            self.done = self.done.max(start.saturating_sub(1));
            while self.heads[level][list] != NONE {
                if left == 0 {
                    return;
                }
                left -= 1;
                let slot = self.heads[level][list];
                self.disarm(slot);
                each(slot);
            }
        }
        self.done = self.done.max(target);
    }

    /// When the next timer fires; it may be one that was armed again meanwhile.
    pub fn next(&self) -> Option<Time> {
        self.first().map(|(start, _, _)| Time::from_nanos(start.saturating_mul(1 << TICK_SHIFT)))
    }

    /// Bytes of memory taken.
    pub fn memory(&self) -> u64 {
        (self.links.len() * size_of::<Link>() + size_of::<Self>()) as u64
    }

    /// The list that begins first: its first tick, its level and its number.
    fn first(&self) -> Option<(u64, usize, usize)> {
        let mut first = None;
        for (level, occupied) in self.occupied.iter().enumerate() {
            if *occupied == 0 {
                continue;
            }
            let shift = COARSER * level as u32;
            // lists are looked at from the one after the present one, all the way round
            let from = (self.done >> shift) + 1;
            let skipped = occupied.rotate_right((from % LISTS) as u32).trailing_zeros();
            let list = from + u64::from(skipped);
            let start = list << shift;
            if first.is_none_or(|(earliest, _, _)| start < earliest) {
                first = Some((start, level, (list % LISTS) as usize));
            }
        }
        first
    }

    fn push(&mut self, level: usize, list: usize, slot: u32) {
        let Some(link) = self.links.get_mut(slot as usize) else { return };
        let next = self.heads[level][list];
        *link = Link { next, previous: HEAD | (level * 64 + list) as u32 };
        if next != NONE {
            self.links[next as usize].previous = slot;
        }
        self.heads[level][list] = slot;
        self.occupied[level] |= 1 << list;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn wheel(slots: u32) -> Timers {
        let mut timers = Timers::new(slots);
        (0..slots).for_each(|_| timers.grow());
        timers
    }

    /// Runs the wheel from event to event as a caller would and returns when the slot was due.
    fn ride(timers: &mut Timers, deadline: Time) -> (Time, u32) {
        let mut fired = 0;
        loop {
            let now = timers.next().expect("a timer is armed");
            let mut due = false;
            timers.expired(now, 8, |_| due = true);
            assert!(due, "nothing fired at {now:?}");
            fired += 1;
            if now >= deadline {
                return (now, fired);
            }
            timers.arm(0, deadline);
        }
    }

    #[test]
    fn every_distance_fires_on_time_after_few_early_wakes() {
        for start in [0, 1, 63, 12_345, 10_000_000] {
            for seconds in [0, 1, 30, 120, 3_600, 7_440, 86_400, 1_000_000] {
                for extra in [0, 1, 777_777_777] {
                    let start = Time::from_millis(start);
                    let deadline =
                        start + Duration::from_secs(seconds) + Duration::from_nanos(extra);
                    let mut timers = wheel(1);
                    timers.expired(start, 8, |_| unreachable!("nothing is armed"));
                    timers.arm(0, deadline);
                    let (at, wakes) = ride(&mut timers, deadline);
                    assert!(at.since(deadline) <= TICK, "{deadline:?} fired at {at:?}");
                    assert!(wakes <= LEVELS as u32 + 1, "{wakes} wakes for {seconds} s");
                }
            }
        }
    }

    #[test]
    fn a_bound_on_what_fires_leaves_the_rest_for_the_next_call() {
        let mut timers = wheel(100);
        (0..100).for_each(|slot| timers.arm(slot, Time::from_millis(10)));
        let mut fired = Vec::new();
        for _ in 0..4 {
            timers.expired(Time::from_secs(1), 30, |slot| fired.push(slot));
        }
        fired.sort_unstable();
        assert_eq!(fired, (0..100).collect::<Vec<_>>());
        assert_eq!(timers.next(), None);
    }

    #[derive(Clone, Debug)]
    enum Op {
        Arm(u32, u64),
        Disarm(u32),
        Pass(u64, usize),
    }

    fn any_op() -> impl Strategy<Value = Op> {
        let far = prop_oneof![0u64..2_000, 0u64..200_000, 0u64..100_000_000];
        prop_oneof![
            3 => (0u32..24, far.clone()).prop_map(|(slot, ms)| Op::Arm(slot, ms)),
            1 => (0u32..24).prop_map(Op::Disarm),
            2 => (far, 0usize..6).prop_map(|(ms, max)| Op::Pass(ms, max)),
        ]
    }

    proptest! {
        #[test]
        fn no_timer_is_lost_or_late(ops in prop::collection::vec(any_op(), 1..200)) {
            let mut timers = wheel(24);
            let mut model = BTreeMap::new();
            let mut now = Time::ZERO;
            for op in ops {
                match op {
                    Op::Arm(slot, ms) => {
                        let deadline = now + Duration::from_millis(ms);
                        timers.arm(slot, deadline);
                        model.insert(slot, deadline);
                    }
                    Op::Disarm(slot) => {
                        timers.disarm(slot);
                        model.remove(&slot);
                    }
                    Op::Pass(ms, max) => {
                        now = now + Duration::from_millis(ms);
                        let mut fired = Vec::new();
                        timers.expired(now, max, |slot| fired.push(slot));
                        prop_assert!(fired.len() <= max);
                        let bounded = fired.len() == max;
                        for slot in fired {
                            let deadline = model.remove(&slot);
                            prop_assert!(deadline.is_some(), "{slot} was not armed");
                            if let Some(deadline) = deadline.filter(|d| *d > now) {
                                timers.arm(slot, deadline);
                                model.insert(slot, deadline);
                            }
                        }
                        let late = model.values().filter(|d| now.since(**d) > TICK).count();
                        prop_assert!(bounded || late == 0, "{late} timers are late");
                    }
                }
                let wake = timers.next();
                prop_assert_eq!(wake.is_none(), model.is_empty());
                if let (Some(wake), Some(first)) = (wake, model.values().min()) {
                    prop_assert!(wake <= *first + TICK);
                }
            }
        }
    }
}
