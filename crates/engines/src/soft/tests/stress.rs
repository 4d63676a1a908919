//! Two workers at full speed while the writer installs and removes: no torn flow, no lost packet.

use std::sync::{
    Barrier,
    atomic::{AtomicBool, AtomicU32, Ordering},
};

use super::*;

const FLOWS: u16 = 48;

/// Every tenant of a key translates to a port that tells which tenant it is; a frame that leaves
/// with anything else, or to another next hop than its flow's, is torn.
fn tenant(n: u16, round: u16) -> FlowProgram {
    let to = Tuple { src_port: n << 8 | round & 0xff, ..natted(0) };
    let hop = if round.is_multiple_of(2) { TO_ROUTER } else { TO_TAGGED };
    FlowProgram { adjacency: hop, ..outbound(udp(n), to, u32::from(n)) }
}

#[test]
fn nothing_is_torn_lost_or_doubled() {
    const ROUNDS: u16 = if cfg!(miri) { 3 } else { 60 };
    let mut rig = Rig::new(SoftConfig { workers: 2, punt_ring: 1 << 20, ..unlimited(64) });
    let mut workers = std::mem::take(&mut rig.workers);
    let (stop, rounds) = (AtomicBool::new(false), AtomicU32::new(0));
    let start = Barrier::new(3);
    let (mut removed_packets, mut removed_events) = (0, 0);
    let (mut forwarded, mut offered) = (0u64, 0u64);
    std::thread::scope(|scope| {
        let running: Vec<_> = workers
            .drain(..)
            .map(|mut worker| {
                let (stop, start, rounds) = (&stop, &start, &rounds);
                scope.spawn(move || {
                    let mut out = Output::new();
                    let (mut sent, mut given) = (0u64, 0u64);
                    start.wait();
                    while !stop.load(Ordering::Relaxed) {
                        let mut rx: Vec<_> =
                            (0..FLOWS).map(|n| frame(&from_host(udp(n)))).collect();
                        given += rx.len() as u64;
                        worker.process(PortId(0), &mut rx, Time::from_secs(1), &mut out);
                        for (port, frame) in out.tx.drain(..) {
                            let headers = parsed(&frame);
                            let (n, round) =
                                (headers.tuple.src_port >> 8, headers.tuple.src_port & 0xff);
                            assert_eq!(port, PortId(1));
                            assert!(n < FLOWS);
                            let vlan = (!round.is_multiple_of(2)).then_some(20);
                            assert_eq!(headers.vlan, vlan, "flow and next hop belong together");
                            assert_eq!(headers.tuple.dst, natted(0).dst);
                            sent += 1;
                        }
                        assert!(out.punts.iter().all(|punt| punt.cause == PuntCause::FlowMiss));
                        given -= out.punts.len() as u64;
                        out.punts.clear();
                        rounds.fetch_add(1, Ordering::Relaxed);
                    }
                    (sent, given)
                })
            })
            .collect();
        let mut take = |control: &mut SoftControl| {
            while let Some(event) = control.poll_event() {
                if let EngineEvent::Removed { stats, .. } = event {
                    removed_packets += stats.packets;
                    removed_events += 1;
                }
            }
        };
        let mut live = [None; FLOWS as usize];
        start.wait();
        for round in 0..ROUNDS {
            for n in 0..FLOWS {
                if let Some(handle) = live[usize::from(n)].take() {
                    assert!(rig.control.remove(handle, DemotionReason::Idle));
                }
                // slots come back only as the workers pass
                loop {
                    take(&mut rig.control);
                    if let Ok(handle) = rig.control.install(&tenant(n, round), Time::from_secs(1)) {
                        live[usize::from(n)] = Some(handle);
                        break;
                    }
                    std::thread::yield_now();
                }
            }
        }
        // let every flow be hit once more, then take all out
        let seen = rounds.load(Ordering::Relaxed);
        while rounds.load(Ordering::Relaxed) < seen + 6 {
            std::thread::yield_now();
        }
        for handle in live.into_iter().flatten() {
            assert!(rig.control.remove(handle, DemotionReason::Idle));
        }
        stop.store(true, Ordering::Relaxed);
        for thread in running {
            let (sent, given) = thread.join().expect("no torn flow");
            forwarded += sent;
            offered += given;
        }
        // the workers are gone, so nobody holds anything
        take(&mut rig.control);
    });
    assert!(forwarded > 0);
    assert_eq!(offered, forwarded, "what was not punted was sent");
    assert_eq!(removed_events, u64::from(ROUNDS) * u64::from(FLOWS));
    assert_eq!(removed_packets, forwarded, "every packet is in the counters of one program");
    let stats = rig.control.engine_stats();
    assert_eq!(stats.forwarded_packets, forwarded);
    assert_eq!((stats.flows, stats.retiring), (0, 0));
}
