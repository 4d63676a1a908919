//! Reassembly against a naive model, and the ways it ends badly.

use core::time::Duration;

use config::{Config, model::IfId};
use proptest::prelude::*;
use reason::DropReason;
use wire::{Headers, Time, Tuple, build, parse, proto};

use super::*;
use crate::test_config;

const LAN: IfId = IfId(0);

fn at(secs: u64) -> Time {
    Time::from_secs(secs)
}

fn flow(v6: bool) -> Tuple {
    if v6 {
        build::tuple(
            proto::UDP,
            ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 5], 5000),
            ([0x2001, 0xdb8, 0, 1, 0, 0, 0, 9], 53),
        )
    } else {
        build::tuple(proto::UDP, ([10, 0, 0, 5], 5000), ([203, 0, 113, 9], 53))
    }
}

/// A whole datagram with `payload` bytes.
fn whole(v6: bool, payload: usize) -> Vec<u8> {
    let data: Vec<u8> = (0..payload).map(|n| (n * 7 + n / 251) as u8).collect();
    build::Packet::new(flow(v6)).id(77).df(false).payload(&data).build()
}

/// The bytes `from..to` of the datagram behind the IP header, as a fragment with identification 77.
fn piece(packet: &[u8], from: usize, to: usize) -> Vec<u8> {
    let v6 = packet[12] == 0x86;
    let header = if v6 { 14 + 40 } else { 14 + 20 };
    let data = &packet[header..];
    let to = to.min(data.len());
    let more = to < data.len();
    fragment(packet, from, more, &data[from..to])
}

/// A fragment with any data.
fn fragment(packet: &[u8], offset: usize, more: bool, data: &[u8]) -> Vec<u8> {
    let v6 = packet[12] == 0x86;
    let field = offset as u16 | u16::from(more);
    let mut frame;
    if v6 {
        frame = packet[..54].to_vec();
        frame.extend([packet[20], 0]);
        frame[20] = 44;
        frame.extend(field.to_be_bytes());
        frame.extend(77u32.to_be_bytes());
        frame.extend(data);
        let length = (8 + data.len()) as u16;
        frame[18..20].copy_from_slice(&length.to_be_bytes());
    } else {
        frame = packet[..34].to_vec();
        let flags = (offset / 8) as u16 | u16::from(more) << 13;
        frame[16..18].copy_from_slice(&(20 + data.len() as u16).to_be_bytes());
        frame[20..22].copy_from_slice(&flags.to_be_bytes());
        frame[24..26].fill(0);
        let sum = wire::checksum::checksum(&frame[14..34]);
        frame[24..26].copy_from_slice(&sum.to_be_bytes());
        frame.extend(data);
    }
    frame
}

fn headers(frame: &[u8]) -> Headers {
    parse(frame).unwrap_or_else(|reason| panic!("{reason}: {frame:02x?}"))
}

/// What became of a fragment, owned.
#[derive(Debug, PartialEq)]
enum Result {
    Held,
    Complete { frame: Vec<u8>, largest: u16, fragments: u16 },
    Drop(DropReason),
}

fn push(r: &mut Reassembler, frame: &[u8], now: Time) -> Result {
    match r.push(frame, &headers(frame), LAN, now) {
        Outcome::Held => Result::Held,
        Outcome::Complete(done) => Result::Complete {
            frame: done.frame.to_vec(),
            largest: done.largest_fragment,
            fragments: done.fragments,
        },
        Outcome::Drop(reason) => Result::Drop(reason),
    }
}

fn events(r: &mut Reassembler) -> Vec<ReassemblyEvent> {
    core::iter::from_fn(|| r.poll_event()).collect()
}

fn reassembler(config: &Config) -> Reassembler {
    Reassembler::new(config, 3)
}

#[test]
fn two_halves_in_either_order() {
    for v6 in [false, true] {
        let packet = whole(v6, 2000);
        let (a, b) = (piece(&packet, 0, 1200), piece(&packet, 1200, 9999));
        for (first, second) in [(&a, &b), (&b, &a)] {
            let mut r = reassembler(&test_config::config());
            assert_eq!(push(&mut r, first, at(1)), Result::Held);
            let ip = if v6 { 48 } else { 20 };
            let complete =
                Result::Complete { frame: packet.clone(), largest: 1200 + ip, fragments: 2 };
            assert_eq!(push(&mut r, second, at(1)), complete);
            assert!(r.is_empty() && r.poll_timeout().is_none());
            assert_eq!(events(&mut r), []);
        }
    }
}

#[test]
fn the_whole_packet_is_valid() {
    let packet = whole(false, 3000);
    let mut r = reassembler(&test_config::config());
    push(&mut r, &piece(&packet, 0, 1480), at(1));
    let last = piece(&packet, 1480, 9999);
    let Result::Complete { frame, .. } = push(&mut r, &last, at(1)) else { panic!("complete") };
    let parsed = headers(&frame);
    assert_eq!(parsed.fragment, Fragmentation::Whole);
    assert_eq!(wire::verify_l4_checksum(&frame, &parsed), Ok(()));
    assert_eq!(parsed.tuple, flow(false));
}

#[test]
fn congestion_experienced_survives_and_df_is_told() {
    for v6 in [false, true] {
        let mut packet = whole(v6, 1000);
        if !v6 {
            packet[15] = 2;
        } else {
            packet[15] = 0x20;
        }
        let mut a = piece(&packet, 0, 800);
        let mut b = piece(&packet, 800, 9999);
        if !v6 {
            a[20] |= 0x40;
            b[15] = 3;
            for frame in [&mut a, &mut b] {
                frame[24..26].fill(0);
                let sum = wire::checksum::checksum(&frame[14..34]);
                frame[24..26].copy_from_slice(&sum.to_be_bytes());
            }
        } else {
            b[15] = 0x30;
        }
        let mut r = reassembler(&test_config::config());
        push(&mut r, &a, at(1));
        let parsed = headers(&b);
        let Outcome::Complete(done) = r.push(&b, &parsed, LAN, at(1)) else { panic!("complete") };
        assert!(done.df);
        let parsed = headers(done.frame);
        assert_eq!((parsed.tos & 3, parsed.df), (3, v6));
    }
}

#[test]
fn a_copy_is_ignored_and_a_contradiction_is_not() {
    let packet = whole(false, 2000);
    let a = piece(&packet, 0, 1200);
    let mut r = reassembler(&test_config::config());
    assert_eq!(push(&mut r, &a, at(1)), Result::Held);
    assert_eq!(push(&mut r, &a, at(1)), Result::Held);
    assert_eq!(r.counters().duplicates, 1);
    let mut forged = a.clone();
    *forged.last_mut().unwrap() ^= 1;
    let overlap = DropReason::FragmentOverlap;
    assert_eq!(push(&mut r, &forged, at(1)), Result::Drop(overlap));
    let discarded = ReassemblyEvent::Discarded { interface: LAN, fragments: 1, reason: overlap };
    assert_eq!(events(&mut r), [discarded]);
    // what still comes of that packet is dropped, until its time is over
    let b = piece(&packet, 1200, 9999);
    assert_eq!(push(&mut r, &b, at(2)), Result::Drop(overlap));
    assert_eq!(push(&mut r, &a, at(30)), Result::Drop(overlap));
    r.handle_timeout(at(31));
    assert_eq!(events(&mut r), [], "told already");
    assert_eq!(push(&mut r, &a, at(31)), Result::Held);
}

#[test]
fn ends_that_disagree() {
    let packet = whole(false, 2000);
    let mid = |offset, more, len: usize| fragment(&packet, offset, more, &vec![1; len]);
    let cases = [
        [mid(800, false, 100), mid(1600, false, 100)],
        [mid(800, false, 100), mid(1600, true, 80)],
        [mid(1600, true, 80), mid(800, false, 100)],
    ];
    for [first, second] in cases {
        let mut r = reassembler(&test_config::config());
        assert_eq!(push(&mut r, &first, at(1)), Result::Held);
        let conflict = Result::Drop(DropReason::FragmentEndConflict);
        assert_eq!(push(&mut r, &second, at(1)), conflict);
    }
}

#[test]
fn too_many_and_too_large() {
    let mut config = test_config::config();
    config.limits.fragments_per_packet = 3;
    let packet = whole(false, 2000);
    let mut r = reassembler(&config);
    for n in 0..3 {
        assert_eq!(push(&mut r, &piece(&packet, n * 16, n * 16 + 16), at(1)), Result::Held);
    }
    let many = DropReason::FragmentTooMany;
    assert_eq!(push(&mut r, &piece(&packet, 160, 176), at(1)), Result::Drop(many));
    assert_eq!(push(&mut r, &piece(&packet, 176, 192), at(1)), Result::Drop(many));
    let held = ReassemblyEvent::Discarded { interface: LAN, fragments: 3, reason: many };
    assert_eq!(events(&mut r), [held]);

    // every fragment fits with 20 bytes of header, but not with the options of the first
    let mut first = build::Packet::new(flow(false))
        .id(77)
        .df(false)
        .ip_options(&[1; 40])
        .raw()
        .payload(&[0; 64])
        .build();
    first[20] |= 0x20;
    first[24..26].fill(0);
    let sum = wire::checksum::checksum(&first[14..74]);
    first[24..26].copy_from_slice(&sum.to_be_bytes());
    // the UDP length a first fragment may name
    first[78..80].copy_from_slice(&1000u16.to_be_bytes());
    let mut r = reassembler(&test_config::config());
    assert_eq!(push(&mut r, &first, at(1)), Result::Held);
    let body = vec![0; 65512 - 64];
    let last = fragment(&packet, 64, false, &body);
    assert_eq!(push(&mut r, &last, at(1)), Result::Drop(DropReason::FragmentTooLarge));
    let held = ReassemblyEvent::Discarded {
        interface: LAN,
        fragments: 1,
        reason: DropReason::FragmentTooLarge,
    };
    assert_eq!(events(&mut r), [held]);
    assert!(r.is_empty());
}

#[test]
fn time_runs_out_and_the_first_fragment_comes_back() {
    for v6 in [false, true] {
        let packet = whole(v6, 3000);
        let (first, second) = (piece(&packet, 0, 1200), piece(&packet, 1200, 2400));
        for (fragments, expected) in
            [(vec![&second, &first], Some(first.clone())), (vec![&second], None)]
        {
            let mut r = reassembler(&test_config::config());
            for (n, frame) in fragments.iter().enumerate() {
                let mut padded = frame.to_vec();
                padded.extend([0xee; 7]);
                assert_eq!(push(&mut r, &padded, at(n as u64)), Result::Held);
            }
            assert_eq!(r.poll_timeout(), Some(at(30)), "from the first to arrive");
            r.handle_timeout(at(30) - Duration::from_nanos(1));
            assert_eq!(r.len(), 1);
            r.handle_timeout(at(30));
            let timed_out = ReassemblyEvent::TimedOut {
                interface: LAN,
                fragments: fragments.len() as u16,
                first_fragment: expected,
            };
            assert_eq!(events(&mut r), [timed_out]);
            assert!(r.is_empty());
        }
    }
}

#[test]
fn memory_is_bounded_and_the_oldest_gives_way() {
    let mut config = test_config::config();
    config.limits.reassembly_memory = 64 << 10;
    let mut r = reassembler(&config);
    let mut evicted = 0;
    for n in 0..1000u16 {
        let mut frame = piece(&whole(false, 2000), 0, 1200);
        frame[18..20].copy_from_slice(&n.to_be_bytes());
        frame[24..26].fill(0);
        let sum = wire::checksum::checksum(&frame[14..34]);
        frame[24..26].copy_from_slice(&sum.to_be_bytes());
        assert_eq!(push(&mut r, &frame, at(1)), Result::Held);
        assert!(r.memory_used() <= 64 << 10);
        for event in events(&mut r) {
            let gone = ReassemblyEvent::Discarded {
                interface: LAN,
                fragments: 1,
                reason: DropReason::FragmentMemory,
            };
            assert_eq!(event, gone);
            evicted += 1;
        }
    }
    assert_eq!(r.len() + evicted, 1000);
    assert!((20..60).contains(&r.len()), "{} packets of 1.2 kB in 64 KiB", r.len());
    let held = r.len();
    r.handle_timeout(at(100));
    assert_eq!((r.len(), events(&mut r).len()), (0, held));

    config.limits.reassembly_memory = 1000;
    r.reload(&config);
    assert!(r.memory_used() <= 1000);
    let too_big = piece(&whole(false, 2000), 0, 1200);
    assert_eq!(push(&mut r, &too_big, at(200)), Result::Drop(DropReason::FragmentMemory));
    assert_eq!((r.len(), events(&mut r)), (0, vec![]));
}

#[test]
fn identity_is_address_id_protocol_and_interface() {
    let packet = whole(false, 2000);
    let mut r = reassembler(&test_config::config());
    push(&mut r, &piece(&packet, 0, 1200), at(1));
    let last = piece(&packet, 1200, 9999);
    let elsewhere = r.push(&last, &headers(&last), IfId(1), at(1));
    assert_eq!(elsewhere, Outcome::Held);
    assert_eq!(r.len(), 2);
}

#[test]
fn a_whole_packet_passes() {
    let packet = whole(true, 100);
    let mut r = reassembler(&test_config::config());
    let complete = Result::Complete { frame: packet.clone(), largest: 148, fragments: 1 };
    assert_eq!(push(&mut r, &packet, at(1)), complete);
}

/// Cuts at multiples of eight, in order.
fn cuts(length: usize) -> impl Strategy<Value = Vec<(usize, usize)>> {
    prop::collection::btree_set(1..length.div_ceil(8), 0..12).prop_map(move |cuts| {
        let mut at = vec![0];
        at.extend(cuts.into_iter().map(|cut| cut * 8));
        at.push(length);
        at.windows(2).map(|pair| (pair[0], pair[1])).collect()
    })
}

/// A packet's length behind the IP header, its pieces shuffled, some of them twice.
fn shuffled() -> impl Strategy<Value = (usize, Vec<(usize, usize)>)> {
    (40usize..4000)
        .prop_flat_map(|length| (Just(length), cuts(length)))
        .prop_flat_map(|(length, pieces)| {
            let copies = prop::sample::subsequence(pieces.clone(), 0..=pieces.len());
            (Just(length), Just(pieces), copies)
        })
        .prop_flat_map(|(length, mut pieces, copies)| {
            pieces.extend(copies);
            (Just(length), Just(pieces).prop_shuffle())
        })
}

proptest! {
    #[test]
    fn any_cut_order_and_copies_give_the_packet(v6: bool, (length, pieces) in shuffled()) {
        let packet = whole(v6, length - 8);
        let mut r = reassembler(&test_config::config());
        let mut missing: std::collections::BTreeSet<_> = pieces.iter().copied().collect();
        let distinct = missing.len();
        for (from, to) in pieces {
            let was_missing = missing.remove(&(from, to));
            if from == 0 && to == length {
                // a single piece is the packet itself
                prop_assert_eq!(distinct, 1);
                continue;
            }
            let result = push(&mut r, &piece(&packet, from, to), at(1));
            match result {
                Result::Complete { frame, fragments, .. } => {
                    prop_assert!(was_missing && missing.is_empty());
                    prop_assert_eq!(frame, packet.clone());
                    prop_assert_eq!(usize::from(fragments), distinct);
                    break;
                }
                Result::Held => prop_assert!(!missing.is_empty() || !was_missing),
                Result::Drop(reason) => prop_assert!(false, "{}", reason),
            }
        }
        prop_assert!(missing.is_empty());
        prop_assert_eq!(events(&mut r), vec![]);
    }

    /// Against a model that keeps a byte map: pieces anywhere, overlapping or not.
    #[test]
    fn any_overlap_drops(
        v6: bool,
        spans in prop::collection::vec((0usize..40, 1usize..12), 2..12),
    ) {
        let packet = whole(v6, 600);
        let mut r = reassembler(&test_config::config());
        let mut seen: Vec<(usize, usize)> = Vec::new();
        let mut spoiled = false;
        for (at8, len8) in spans {
            let (from, to) = (at8 * 8, ((at8 + len8) * 8).min(600));
            let overlaps = seen.iter().any(|(f, t)| from < *t && *f < to);
            let copy = seen.contains(&(from, to));
            let result = push(&mut r, &piece(&packet, from, to), at(1));
            if !copy {
                spoiled |= overlaps;
                seen.push((from, to));
            } else if !spoiled {
                prop_assert_eq!(&result, &Result::Held);
            }
            let expected = if spoiled {
                Result::Drop(DropReason::FragmentOverlap)
            } else {
                Result::Held
            };
            prop_assert_eq!(result, expected);
        }
    }

    #[test]
    fn any_bytes_after_a_parse(frame in prop::collection::vec(any::<u8>(), 0..120), v6: bool) {
        let mut bytes = vec![0; 12];
        bytes.extend(if v6 { [0x86, 0xdd, 0x60] } else { [8, 0, 0x45] });
        bytes.extend(frame);
        let mut r = reassembler(&test_config::config());
        if let Ok(parsed) = parse(&bytes) {
            let _ = r.push(&bytes, &parsed, LAN, at(1));
        }
    }
}
