//! Both ends of a ring in one process, and what a peer that lies can do.

use proptest::prelude::*;
use rustix::event::EventfdFlags;

use super::*;
use crate::{HEADROOM, memif::region};

const LOG2: u8 = 3;
const SIZE: u16 = 1 << LOG2;
const BUFFERS_AT: usize = 4096;

/// The two ends of one ring and the memory it is in.
struct Both {
    client: Ring,
    server: Ring,
    memory: Arc<[Region]>,
}

fn event() -> OwnedFd {
    rustix::event::eventfd(0, EventfdFlags::CLOEXEC).expect("a descriptor")
}

fn both() -> Both {
    let len = BUFFERS_AT + (BUFFER_LEN << LOG2);
    let (ours, file) = Region::create(len).expect("memory");
    let memory: Arc<[Region]> = Arc::new([ours]);
    let client = Ring::ours(&memory, 0, LOG2, BUFFERS_AT, event());
    let theirs: Arc<[Region]> = Arc::new([region::of_peer(&file, len as u64).expect("sealed")]);
    let server = Ring::theirs(&theirs, &place(), event()).expect("a ring");
    Both { client, server, memory }
}

fn place() -> AddRing {
    AddRing { to_server: true, index: 0, region: 0, offset: 0, log2_ring_size: LOG2 }
}

/// Which way a ring is used.
fn directions() -> [(Sender, Receiver); 2] {
    let (up, down) = (both(), both());
    let receiver = Receiver::new(down.client);
    [(Sender::new(up.client), Receiver::new(up.server)), (Sender::new(down.server), receiver)]
}

fn frame(len: usize, mark: u8) -> Frame {
    Frame::from_vec((0..len).map(|at| at as u8 ^ mark).collect())
}

fn receive(from: &mut Receiver, pool: &Arc<FramePool>) -> (Vec<Frame>, PortCounters) {
    let (mut into, mut counters) = (Vec::new(), PortCounters::default());
    from.receive(pool, &mut into, 64, &mut counters).expect("an honest peer");
    (into, counters)
}

#[test]
fn frames_of_every_length_cross_and_balance() {
    let pool = FramePool::new(64, 4);
    for (mut sender, mut receiver) in directions() {
        let mut counters = PortCounters::default();
        let lens =
            (1..=200).chain(BUFFER_LEN - 2..=BUFFER_LEN + 2).chain([4096, 4097, 9018, 16384]);
        for len in lens {
            let sent = frame(len, len as u8);
            sender.send(std::slice::from_ref(&sent), &mut counters).expect("honest");
            let (got, seen) = receive(&mut receiver, &pool);
            assert_eq!(got.len(), 1, "{len}");
            assert_eq!(got[0].bytes(), sent.bytes());
            assert_eq!(got[0].headroom(), HEADROOM);
            assert_eq!((seen.rx_packets, seen.rx_bytes, seen.rx_errors), (1, len as u64, 0));
        }
        assert_eq!((counters.tx_dropped, counters.tx_errors), (0, 0));
        assert_eq!(pool.in_use(), 0);
    }
}

#[test]
fn a_full_ring_drops_whole_frames_and_recovers() {
    let pool = FramePool::new(64, 4);
    for (mut sender, mut receiver) in directions() {
        let mut counters = PortCounters::default();
        // Seven single buffers leave one: the chained frame does not fit, the next single one does.
        let mut burst: Vec<_> = (0..7).map(|mark| frame(100, mark)).collect();
        burst.extend([frame(3000, 7), frame(50, 8), frame(50, 9)]);
        sender.send(&burst, &mut counters).expect("honest");
        assert_eq!((counters.tx_packets, counters.tx_dropped), (8, 2));
        let (got, _) = receive(&mut receiver, &pool);
        let lens: Vec<_> = got.iter().map(Frame::len).collect();
        assert_eq!(lens, [100, 100, 100, 100, 100, 100, 100, 50]);
        // What was written for the frame that did not fit changed nothing: it fits now.
        sender.send(&[frame(3000, 1)], &mut counters).expect("honest");
        assert_eq!(receive(&mut receiver, &pool).0[0].bytes(), frame(3000, 1).bytes());
    }
}

#[test]
fn counters_wrap() {
    let pool = FramePool::new(64, 0);
    for (mut sender, mut receiver) in directions() {
        let mut counters = PortCounters::default();
        for round in 0..20_000u32 {
            let burst =
                [frame(60, round as u8), frame(61, 1), frame(62, 2), frame(63, 3), frame(64, 4)];
            sender.send(&burst, &mut counters).expect("honest");
            let (got, _) = receive(&mut receiver, &pool);
            assert_eq!(got.len(), 5, "round {round}");
            assert_eq!(got[0].bytes(), burst[0].bytes());
        }
        assert_eq!((counters.tx_packets, counters.tx_dropped), (100_000, 0));
    }
}

#[test]
fn an_empty_receive_asks_to_be_woken_and_a_full_one_takes_it_back() {
    let pool = FramePool::new(64, 0);
    for (mut sender, mut receiver) in directions() {
        let mut counters = PortCounters::default();
        let mut send =
            |sender: &mut Sender| sender.send(&[frame(60, 0)], &mut counters).expect("honest");
        assert!(send(&mut sender), "asked from the start");
        assert_eq!(receive(&mut receiver, &pool).0.len(), 1);
        assert!(!send(&mut sender), "busy receivers look by themselves");
        assert_eq!(receive(&mut receiver, &pool).0.len(), 1);
        assert_eq!(receive(&mut receiver, &pool).0.len(), 0);
        assert!(send(&mut sender), "an idle one does not");
    }
}

#[test]
fn a_burst_of_which_nothing_is_left_still_asks_to_be_woken() {
    let pool = FramePool::new(0, 0);
    for (mut sender, mut receiver) in directions() {
        let mut counters = PortCounters::default();
        for _ in 0..3 {
            let asked = sender.send(&[frame(60, 0)], &mut counters).expect("honest");
            assert!(asked, "whoever got nothing sleeps");
            let (got, seen) = receive(&mut receiver, &pool);
            assert_eq!((got.len(), seen.rx_dropped), (0, 1));
        }
    }
}

#[test]
fn a_dry_pool_costs_frames_and_nothing_else() {
    let pool = FramePool::new(2, 0);
    let [(mut sender, mut receiver), _] = directions();
    let mut counters = PortCounters::default();
    sender
        .send(&[frame(60, 0), frame(60, 1), frame(60, 2), frame(3000, 3)], &mut counters)
        .expect("honest");
    let (got, seen) = receive(&mut receiver, &pool);
    assert_eq!((got.len(), seen.rx_packets, seen.rx_dropped, seen.rx_errors), (2, 2, 2, 0));
    drop(got);
    sender.send(&[frame(60, 4)], &mut counters).expect("honest");
    assert_eq!(receive(&mut receiver, &pool).0[0].bytes(), frame(60, 4).bytes());
}

#[test]
fn a_place_that_is_none_is_refused() {
    let both = both();
    let at = |offset, log2_ring_size| AddRing { offset, log2_ring_size, ..place() };
    let outside = (BUFFERS_AT + (BUFFER_LEN << LOG2)) as u32;
    for (place, fault) in [
        (AddRing { region: 1, ..place() }, MemifFault::RingPlace),
        (at(0, 0), MemifFault::RingPlace),
        (at(0, 15), MemifFault::RingPlace),
        (at(0, 255), MemifFault::RingPlace),
        (at(2, LOG2), MemifFault::RingPlace),
        (at(outside - 128, LOG2), MemifFault::RingPlace),
        (at(u32::MAX - 3, LOG2), MemifFault::RingPlace),
        (at(64, LOG2), MemifFault::RingCookie),
    ] {
        assert_eq!(Ring::theirs(&both.memory, &place, event()).err(), Some(fault), "{place:?}");
    }
}

#[test]
fn counters_that_lie_end_the_connection() {
    let pool = FramePool::new(64, 0);
    let mut counters = PortCounters::default();
    // More frames than the ring holds.
    for lie in [SIZE + 1, 0x8000, u16::MAX] {
        let Both { server, memory, .. } = both();
        let mut receiver = Receiver::new(server);
        memory[0].u16_at(HEAD_AT).store(lie, Ordering::Release);
        let got = receiver.receive(&pool, &mut Vec::new(), 64, &mut counters);
        assert_eq!(got, Err(MemifFault::RingCounter), "{lie}");
    }
    // Buffers emptied that were never filled, or filled longer ago than the ring is long.
    for lie in [1, SIZE, 0x8000, SIZE.wrapping_neg() - 1] {
        let Both { client, memory, .. } = both();
        let mut sender = Sender::new(client);
        memory[0].u16_at(TAIL_AT).store(lie, Ordering::Release);
        let sent = sender.send(&[frame(60, 0)], &mut counters);
        assert_eq!(sent, Err(MemifFault::RingCounter), "{lie}");
    }
}

#[test]
fn descriptors_that_lie_cost_their_frame() {
    let pool = FramePool::new(64, 2);
    let outside = (BUFFERS_AT + (BUFFER_LEN << LOG2)) as u32;
    // Flags and region, length, offset.
    for (lie, len, offset) in [
        (1 << 16, 60, BUFFERS_AT as u32),
        (0xffff_0000, 60, 0),
        (0, 60, outside - 59),
        (0, u32::MAX, 0),
        (0, 60, u32::MAX),
        (0, 0, BUFFERS_AT as u32),
        (u32::from(NEXT), 60, BUFFERS_AT as u32),
    ] {
        let Both { client, server, memory } = both();
        let (mut sender, mut receiver) = (Sender::new(client), Receiver::new(server));
        let mut counters = PortCounters::default();
        sender.send(&[frame(60, 1), frame(60, 2)], &mut counters).expect("honest");
        let base = sender.ring.descriptor_at(1);
        for (at, word) in [(base, lie), (base + 4, len), (base + 8, offset)] {
            memory[0].u32_at(at).store(word, Ordering::Relaxed);
        }
        let (got, seen) = receive(&mut receiver, &pool);
        assert_eq!((got.len(), seen.rx_errors), (1, 1), "{lie:x} {len} {offset}");
        assert_eq!(got[0].bytes(), frame(60, 1).bytes());
        sender.send(&[frame(60, 3)], &mut counters).expect("honest");
        assert_eq!(receive(&mut receiver, &pool).0[0].bytes(), frame(60, 3).bytes());
    }
}

#[test]
fn a_free_buffer_that_is_none_ends_the_connection() {
    for (at, word) in [(4, 0), (4, u32::MAX), (8, u32::MAX), (0, 5 << 16)] {
        let Both { client, server, memory } = both();
        let (_receiver, mut sender) = (Receiver::new(client), Sender::new(server));
        memory[0].u32_at(sender.ring.descriptor_at(0) + at).store(word, Ordering::Relaxed);
        let sent = sender.send(&[frame(60, 0)], &mut PortCounters::default());
        assert_eq!(sent, Err(MemifFault::BufferPlace), "{at} {word:x}");
    }
}

proptest! {
    /// Whatever a peer writes wherever, every burst ends, nothing outside is touched (the bounds are
    /// checked in `region`), and all buffers come back.
    #[test]
    fn any_memory_is_survived(
        writes in prop::collection::vec((0usize..320, any::<u32>()), 1..40),
        client in any::<bool>(),
    ) {
        let pool = FramePool::new(32, 2);
        let Both { client: ours, server, memory } = both();
        let (mut sender, mut receiver) = if client {
            (Sender::new(ours), Receiver::new(server))
        } else {
            let receiver = Receiver::new(ours);
            (Sender::new(server), receiver)
        };
        let mut counters = PortCounters::default();
        for (at, word) in writes {
            memory[0].u32_at(at / 4 * 4).store(word, Ordering::Relaxed);
            let mut into = Vec::new();
            let received = receiver.receive(&pool, &mut into, 64, &mut counters);
            if let Ok(count) = received {
                prop_assert_eq!(count, into.len());
            }
            let burst = [frame(60, 1), frame(5000, 2)];
            let _fault = sender.send(&burst, &mut counters);
            drop(into);
            prop_assert_eq!(pool.in_use(), 0);
        }
    }
}
