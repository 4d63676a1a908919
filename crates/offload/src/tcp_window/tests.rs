//! Two simulated TCPs over a lossy, reordering path with the check in the middle, and a reference
//! in 64-bit arithmetic that never wraps.

use proptest::prelude::*;

use super::*;
use crate::Direction::{Original, Reply};

/// Windows with the first `taken` slots taken.
fn windows_of(taken: u32) -> TcpWindows {
    let windows = TcpWindows::new(taken);
    while windows.alloc().is_some() {}
    windows
}

fn segment(seq: u32, ack: u32, window: u16, len: u32, flags: u8) -> Segment {
    Segment { seq, ack, window, len, flags }
}

/// Client at 1000, server at 5000, windows of 1000 and 2000 bytes, no scaling.
fn established() -> (TcpWindows, u32) {
    let windows = TcpWindows::new(1);
    let index = windows.alloc().expect("room");
    windows.open(index, &segment(999, 0, 1000, 0, SYN), None);
    assert!(windows.synack(index, &segment(4999, 1000, 2000, 0, SYN | ACK), None).is_ok());
    assert!(windows.check(index, Original, &segment(1000, 5000, 1000, 0, ACK)).is_ok());
    (windows, index)
}

fn fault(verdict: WindowVerdict) -> Option<WindowFault> {
    match verdict {
        WindowVerdict::Ok => None,
        WindowVerdict::Outside { fault, .. } => Some(fault),
    }
}

#[test]
fn every_condition_has_its_fault_and_evidence() {
    let (windows, index) = established();
    let check = |from, s: Segment| windows.check(index, from, &s);
    // the server allowed 2000 bytes from 1000 on
    let ahead = check(Original, segment(3001, 5000, 1000, 1, ACK));
    assert_eq!(
        ahead,
        WindowVerdict::Outside {
            fault: WindowFault::SeqAhead,
            value: 3001,
            low: 1000u32.wrapping_sub(2000 + SLACK),
            high: 3000
        }
    );
    assert!(ahead.to_string().starts_with("seq-ahead 3001 not in "));
    let old = 1000u32.wrapping_sub(2000 + SLACK + 1);
    assert_eq!(fault(check(Original, segment(old, 5000, 9, 0, ACK))), Some(WindowFault::SeqBehind));
    assert_eq!(fault(check(Original, segment(1000, 5001, 9, 0, ACK))), Some(WindowFault::AckAhead));
    let old = 5000u32.wrapping_sub(1008 + SLACK + 1);
    assert_eq!(fault(check(Original, segment(1000, old, 9, 0, ACK))), Some(WindowFault::AckBehind));
    assert_eq!(fault(check(Original, segment(1000, 0, 9, 10, 0))), Some(WindowFault::NoAck));
    // nothing of that moved the window
    assert_eq!(windows.expected_seq(index, Original), Some(1000));
}

#[test]
fn a_super_packet_passes_by_where_it_starts() {
    let (windows, index) = established();
    assert!(windows.check(index, Original, &segment(2900, 5000, 1000, 65_000, ACK)).is_ok());
    assert_eq!(windows.expected_seq(index, Original), Some(2900 + 65_000));
    // and the next one is beyond the edge until the peer acknowledges
    let next = segment(67_900, 5000, 1000, 10, ACK);
    assert_eq!(fault(windows.check(index, Original, &next)), Some(WindowFault::SeqAhead));
    // what it repeats of the first is still near enough
    assert!(windows.check(index, Original, &segment(1000, 5000, 1000, 100, ACK)).is_ok());
    assert!(windows.check(index, Reply, &segment(5000, 67_900, 2000, 0, ACK)).is_ok());
    assert!(windows.check(index, Original, &next).is_ok());
}

#[test]
fn zero_window_probes_and_keepalives_pass() {
    let (windows, index) = established();
    let original = |seq, len| windows.check(index, Original, &segment(seq, 5000, 1000, len, ACK));
    assert!(original(1000, 2000).is_ok());
    assert!(windows.check(index, Reply, &segment(5000, 3000, 0, 0, ACK)).is_ok());
    assert!(original(3000, 1).is_ok(), "one byte at the closed edge (RFC 9293 §3.8.6.1)");
    assert!(original(2999, 0).is_ok(), "the probe of Linux, below the edge");
    assert!(original(2999, 1).is_ok(), "a keepalive with a byte of garbage (RFC 9293 §3.8.4)");
    assert_eq!(fault(original(3002, 1)), Some(WindowFault::SeqAhead));
    assert!(windows.check(index, Reply, &segment(5000, 3000, 500, 0, ACK)).is_ok());
    assert!(original(3500, 1).is_ok());
}

#[test]
fn windows_scale_only_when_both_offer_it_and_never_in_a_syn() {
    for (client, server, edge) in [
        (Some(7), Some(2), 1000 + (100 << 2)),
        (Some(7), None, 1100),
        (None, Some(2), 1100),
        (Some(0), Some(200), 1000 + (100 << 14)),
    ] {
        let windows = windows_of(1);
        windows.open(0, &segment(999, 0, 50, 0, SYN), client);
        assert!(windows.synack(0, &segment(4999, 1000, 60, 0, SYN | ACK), server).is_ok());
        let over = segment(1061, 5000, 100, 1, ACK);
        assert_eq!(fault(windows.check(0, Original, &over)), Some(WindowFault::SeqAhead));
        assert!(windows.check(0, Reply, &segment(5000, 1000, 100, 0, ACK)).is_ok());
        assert!(windows.check(0, Original, &segment(edge, 5000, 100, 1, ACK)).is_ok());
        let over = segment(edge + 1, 5000, 100, 1, ACK);
        assert_eq!(fault(windows.check(0, Original, &over)), Some(WindowFault::SeqAhead));
    }
}

#[test]
fn the_handshake_is_checked_too() {
    let windows = windows_of(1);
    let rst = |ack| segment(0, ack, 0, 0, RST | ACK);
    assert_eq!(
        fault(windows.check(0, Original, &segment(1, 1, 1, 0, ACK))),
        Some(WindowFault::NoHandshake)
    );
    // a SYN with ten bytes of data (RFC 7413)
    windows.open(0, &segment(999, 0, 1000, 10, SYN), None);
    assert!(windows.check(0, Original, &segment(999, 0, 1000, 0, SYN)).is_ok(), "repeated");
    assert!(!windows.check(0, Original, &segment(1010, 7, 1000, 0, ACK)).is_ok());
    assert_eq!(windows.check_reset(0, Reply, &rst(1010)), RstVerdict::Exact);
    assert_eq!(windows.check_reset(0, Reply, &rst(1000)), RstVerdict::Exact);
    assert!(windows.check(0, Reply, &rst(1000)).is_ok());
    for blind in [999, 1011, 0] {
        let verdict = windows.check_reset(0, Reply, &rst(blind));
        assert_eq!(verdict, RstVerdict::Outside { value: blind, low: 1000, high: 1010 });
        assert!(!windows.check(0, Reply, &rst(blind)).is_ok());
    }
    assert_eq!(windows.expected_seq(0, Reply), None);
    let synack = |ack| windows.synack(0, &segment(4999, ack, 2000, 0, SYN | ACK), None);
    assert_eq!(fault(synack(1011)), Some(WindowFault::AckAhead));
    assert_eq!(fault(synack(999)), Some(WindowFault::AckBehind));
    assert!(synack(1000).is_ok());
    assert_eq!(windows.expected_seq(0, Reply), Some(5000));
    assert_eq!(windows.acknowledged(0, Original), Some(5000));
}

#[test]
fn both_may_open_at_once() {
    let windows = windows_of(1);
    windows.open(0, &segment(99, 0, 1000, 0, SYN), Some(1));
    assert!(windows.synack(0, &segment(499, 0, 1000, 0, SYN), Some(1)).is_ok());
    assert!(windows.check(0, Original, &segment(99, 500, 1000, 0, SYN | ACK)).is_ok());
    assert!(windows.check(0, Reply, &segment(499, 100, 1000, 0, SYN | ACK)).is_ok());
    assert!(windows.check(0, Original, &segment(100, 500, 1000, 700, ACK)).is_ok());
}

#[test]
fn a_reset_must_hit_the_expected_number() {
    let (windows, index) = established();
    assert!(windows.check(index, Original, &segment(1000, 5000, 1000, 500, ACK)).is_ok());
    let reset = |seq| windows.check_reset(index, Original, &segment(seq, 0, 0, 0, RST));
    assert_eq!(reset(1000), RstVerdict::Exact, "the data may have been lost");
    assert_eq!(reset(1500), RstVerdict::Exact, "or not");
    assert_eq!(reset(1499), RstVerdict::InWindow { seq: 1499, expected: 1000 });
    assert_eq!(reset(3000), RstVerdict::InWindow { seq: 3000, expected: 1000 });
    let outside = |value| RstVerdict::Outside { value, low: 1000, high: 3000 };
    assert_eq!(reset(3001), outside(3001));
    assert_eq!(reset(999), outside(999));
}

#[test]
fn the_slab_is_bounded_and_forgets() {
    let windows = TcpWindows::new(2);
    let (a, b) = (windows.alloc().expect("room"), windows.alloc().expect("room"));
    assert_ne!(a, b);
    assert_eq!(windows.alloc(), None);
    assert_eq!((windows.used(), windows.capacity()), (2, 2));
    windows.open(a, &segment(1, 0, 1, 0, SYN), None);
    windows.free(a);
    assert_eq!(windows.used(), 1);
    assert_eq!(windows.alloc(), Some(a));
    assert_eq!(windows.expected_seq(a, Original), None);
    assert!(windows.memory() >= 64);
    assert_eq!(size_of::<Slot>(), 32);
    // no index is a panic
    windows.free(7);
    windows.open(7, &Segment::default(), None);
    assert!(!windows.synack(7, &Segment::default(), None).is_ok());
    assert!(!windows.check(7, Original, &Segment::default()).is_ok());
}

/// One simulated TCP. Sequence numbers do not wrap; they are cut to 32 bits on the wire.
struct Host {
    una: u64,
    nxt: u64,
    edge: u64,
    rcv: u64,
    buffer: u64,
    offered: u64,
    scale: u8,
}

impl Host {
    fn window(&mut self, rng: &mut Rng) -> u16 {
        // the right edge never moves back by more than the rounding of the scale
        let want = (self.rcv + rng.below(self.buffer + 1)).max(self.offered);
        let field = ((want - self.rcv) >> self.scale).min(65_535);
        self.offered = self.offered.max(self.rcv + (field << self.scale));
        field as u16
    }

    fn send(&mut self, rng: &mut Rng) -> (u64, u32) {
        let room = self.edge.saturating_sub(self.nxt);
        match rng.below(6) {
            0..3 => {
                let len = rng.below(room.min(65_000) + 1);
                self.nxt += len;
                (self.nxt - len, len as u32)
            }
            3 => {
                let from = self.una + rng.below(self.nxt - self.una + 1);
                (from, rng.below((self.nxt - from).min(65_000) + 1) as u32)
            }
            4 if room == 0 && self.una == self.nxt => {
                self.nxt += 1; // the byte of a zero-window probe
                (self.nxt - 1, 1)
            }
            _ if self.una == self.nxt => (self.una - 1, rng.below(2) as u32), // keepalive
            _ => (self.nxt, 0),
        }
    }

    fn receive(&mut self, seq: u64, len: u32, ack: u64, window: u64) {
        if seq <= self.rcv && seq + u64::from(len) > self.rcv {
            self.rcv = (seq + u64::from(len)).min(self.offered.max(self.rcv));
        }
        if ack > self.una && ack <= self.nxt {
            self.una = ack;
        }
        self.edge = self.edge.max(ack + window);
    }
}

struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// What the check should know of one side, in numbers that never wrap.
#[derive(Clone, Copy)]
struct Model {
    end: u64,
    max_end: u64,
    window: u64,
}

fn unwrap_near(x: u32, near: u64) -> u64 {
    near.wrapping_add(i64::from(x.wrapping_sub(near as u32) as i32) as u64)
}

fn model_check(sides: &mut [Model; 2], from: usize, s: &Segment, scale: u8) -> bool {
    let (me, peer) = (sides[from], sides[1 - from]);
    let seq = unwrap_near(s.seq, me.end);
    let end = seq + u64::from(s.len);
    let ack = unwrap_near(s.ack, peer.end);
    let slack = u64::from(SLACK);
    let ok = seq <= me.max_end
        && end >= me.end - peer.window - slack
        && ack <= peer.end
        && ack >= peer.end - me.window - slack;
    if ok {
        let window = u64::from(s.window) << scale;
        sides[from].end = me.end.max(end);
        sides[from].window = me.window.max(window.next_multiple_of(16));
        sides[1 - from].max_end = peer.max_end.max(ack + window.max(1));
    }
    ok
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Everything an honest pair of TCPs sends passes, whatever is lost or reordered, and nothing
    /// injected passes that the reference refuses.
    #[test]
    fn honest_segments_pass_and_forged_ones_do_not(
        seed in 1u64..,
        isn in any::<[u32; 2]>(),
        scales in prop::option::of([0u8..=14, 0u8..=14]),
        buffers in [1u64..3_000_000, 1u64..3_000_000],
    ) {
        let mut rng = Rng(seed);
        let far = 1u64 << 40;
        let base = isn.map(|isn| far + u64::from(isn));
        let scale = scales.unwrap_or([0, 0]);
        let windows = windows_of(1);
        let first = buffers.map(|b| b.min(65_535) as u16);
        windows.open(0, &segment(isn[0].wrapping_sub(1), 0, first[0], 0, SYN), scales.map(|s| s[0]));
        let synack = segment(isn[1].wrapping_sub(1), isn[0], first[1], 0, SYN | ACK);
        prop_assert!(windows.synack(0, &synack, scales.map(|s| s[1])).is_ok());
        let mut hosts = [0, 1].map(|i: usize| Host {
            una: base[i],
            nxt: base[i],
            edge: base[i] + u64::from(first[1 - i]),
            rcv: base[1 - i],
            buffer: buffers[i],
            offered: base[1 - i] + u64::from(first[i]),
            scale: scale[i],
        });
        let round = |w: u16| u64::from(w).next_multiple_of(16);
        let mut model = [
            Model { end: base[0], max_end: base[0] + u64::from(first[1]), window: round(first[0]) },
            Model { end: base[1], max_end: base[1] + round(first[0]), window: round(first[1]) },
        ];
        let mut path: [Vec<(u64, u32, u64, u16)>; 2] = [Vec::new(), Vec::new()];
        let mut swapped = [false; 2];
        for _ in 0..400 {
            let from = rng.below(2) as usize;
            let direction = Direction::BOTH[from];
            if rng.below(3) < 2 {
                let (seq, len) = hosts[from].send(&mut rng);
                let window = hosts[from].window(&mut rng);
                // one in four overtakes the one before, unless that puts it a super-packet back;
                // none is overtaken twice
                let last = path[from].len();
                let near = path[from].last().is_some_and(|p| {
                    p.0 + u64::from(SLACK) > seq && p.2 + u64::from(SLACK) > hosts[from].rcv
                });
                swapped[from] = near && !swapped[from] && rng.below(4) == 0;
                let place = last - usize::from(swapped[from]);
                path[from].insert(place, (seq, len, hosts[from].rcv, window));
            }
            // somebody guesses
            let guess = segment(rng.next() as u32, rng.next() as u32, rng.next() as u16, 100, ACK);
            let near = segment(
                (model[from].end as u32).wrapping_add(rng.below(400_000) as u32).wrapping_sub(200_000),
                (model[1 - from].end as u32).wrapping_add(rng.below(400_000) as u32).wrapping_sub(200_000),
                0,
                0,
                ACK,
            );
            for s in [guess, near] {
                // a copy, so that a lucky guess does not poison the honest pair
                if !model_check(&mut model.clone(), from, &s, scale[from]) {
                    prop_assert!(!windows.check(0, direction, &s).is_ok(), "{s:?}");
                }
            }
            while path[from].len() > 2 {
                let (seq, len, ack, window) = path[from].remove(0);
                if rng.below(8) == 0 {
                    continue; // lost before the gateway
                }
                let s = segment(seq as u32, ack as u32, window, len, ACK);
                prop_assert!(model_check(&mut model, from, &s, scale[from]), "the pair is not honest: {s:?}");
                let verdict = windows.check(0, direction, &s);
                prop_assert!(verdict.is_ok(), "{verdict}");
                prop_assert_eq!(windows.expected_seq(0, direction), Some(model[from].end as u32));
                if rng.below(8) != 0 {
                    let window = u64::from(window) << scale[from];
                    hosts[1 - from].receive(seq, len, ack, window);
                }
            }
        }
    }
}
