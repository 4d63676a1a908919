//! Installing, removing, refusing, evicting, auditing.

use std::collections::BTreeMap;

use offload::{FlowStats, Refusal, Retry};
use proptest::prelude::*;
use reason::{Reason, RefusalReason};

use super::*;

fn refused(rig: &mut Rig, program: &FlowProgram) -> Refusal {
    let before = rig.control.engine_stats().refusals;
    let refusal = rig.control.install(program, rig.now).expect_err("the engine refuses it");
    let after = rig.control.engine_stats().refusals;
    assert_eq!(after[refusal.reason.index()], before[refusal.reason.index()] + 1);
    refusal
}

#[test]
fn refusals_carry_their_evidence() {
    let mut rig = Rig::new(unlimited(4));
    rig.install(&outbound(udp(0), natted(0), 31));
    let again = refused(&mut rig, &outbound(udp(0), natted(9), 32));
    assert_eq!(again.to_string(), "duplicate-flow (session=31)");
    let old = FlowProgram { epoch: rig.epochs.now(2), ..outbound(udp(1), natted(1), 1) };
    rig.epochs.bump(2);
    let stale = refused(&mut rig, &old);
    assert_eq!(stale.to_string(), "program-stale (compiled=0 now=1)");
    assert_eq!(stale.retry, Retry::NextPacket);
    let far = FlowProgram { adjacency: AdjacencyId(99), ..outbound(udp(1), natted(1), 1) };
    assert_eq!(refused(&mut rig, &far).to_string(), "adjacency-table-full (index=99 limit=4)");
    let window = FlowProgram { tcp_window: Some(8), ..outbound(udp(1), natted(1), 1) };
    assert_eq!(refused(&mut rig, &window).to_string(), "tcp-table-full (index=8 limit=8)");
    for n in 1..4 {
        rig.install(&outbound(udp(n), natted(n), n.into()));
    }
    let full = refused(&mut rig, &outbound(udp(4), natted(4), 4));
    assert_eq!(full.to_string(), "table-full (used=4 limit=4 worth=10)");
    assert!(matches!(full.retry, Retry::NotBefore(time) if time > rig.now));
}

#[test]
fn room_is_reported_once_after_a_refusal() {
    let mut rig = Rig::new(unlimited(20));
    let handles: Vec<_> =
        (0..20).map(|n| rig.install(&outbound(udp(n), natted(n), n.into()))).collect();
    rig.control.remove(handles[0], DemotionReason::Idle);
    rig.control.remove(handles[1], DemotionReason::Idle);
    rig.control.remove(handles[2], DemotionReason::Idle);
    assert!(!rig.events().contains(&EngineEvent::Room), "nobody was refused");
    for n in 20..23 {
        rig.install(&outbound(udp(n), natted(n), n.into()));
    }
    refused(&mut rig, &outbound(udp(30), natted(30), 30));
    let out = |rig: &mut Rig, n: usize| {
        rig.control.remove(handles[n], DemotionReason::Idle);
        rig.events().contains(&EngineEvent::Room)
    };
    // below nine tenths of twenty
    assert!(!out(&mut rig, 3));
    assert!(!out(&mut rig, 4));
    assert!(out(&mut rig, 5));
    assert!(!out(&mut rig, 6));
}

#[test]
fn a_program_leaves_once_with_its_final_counters() {
    let mut rig = Rig::new(unlimited(8));
    let handle = rig.install(&outbound(udp(0), natted(0), 7));
    let packet = || frame(&from_host(udp(0)));
    rig.offer(0, packet()).expect("a hit");
    assert!(rig.control.remove(handle, DemotionReason::PolicyChanged));
    assert!(!rig.control.remove(handle, DemotionReason::Idle), "it is on its way out");
    // it cannot be found any more, but its counters can, until the worker has passed
    assert_eq!(rig.control.poll_event(), None);
    assert_eq!(rig.control.stats(handle).map(|s| s.packets), Some(1));
    assert_eq!(rig.control.engine_stats().retiring, 1);
    assert_eq!(rig.offer(0, packet()).err(), Some(PuntCause::FlowMiss));
    let removed = EngineEvent::Removed {
        handle,
        session: 7,
        direction: Direction::Original,
        stats: FlowStats { packets: 1, bytes: 28, last_hit: rig.now },
        reason: DemotionReason::PolicyChanged,
    };
    assert_eq!(rig.events(), [removed]);
    assert_eq!(rig.control.stats(handle), None);
    assert!(!rig.control.remove(handle, DemotionReason::Idle));
    // the next tenant of the slot starts at zero and has another handle
    let next = rig.install(&outbound(udp(0), natted(0), 8));
    assert_eq!(next.index, handle.index);
    assert_ne!(next.generation, handle.generation);
    assert_eq!(rig.control.stats(next), Some(FlowStats::default()));
    assert_eq!(rig.control.stats(handle), None);
    assert!(!rig.control.remove(handle, DemotionReason::Idle));
    let stats = rig.control.engine_stats();
    assert_eq!((stats.installed, stats.removed, stats.retiring, stats.flows), (2, 1, 0, 1));
}

#[test]
fn busy_flows_push_out_idle_ones_but_not_their_like() {
    let mut rig = Rig::new(unlimited(20));
    for n in 0..20 {
        rig.install(&outbound(udp(n), natted(n), n.into()));
    }
    // flow n has n packets in a second
    let second = |rig: &mut Rig| {
        for n in 0..20 {
            (0..n).for_each(|_| drop(rig.offer(0, frame(&from_host(udp(n)))).expect("a hit")));
        }
        rig.now = rig.now + core::time::Duration::from_secs(1);
    };
    let newcomer = |worth| FlowProgram { worth, ..outbound(udp(99), natted(99), 99) };
    // the hand has not passed yet: it only takes samples
    assert_eq!(refused(&mut rig, &newcomer(1000)).reason, RefusalReason::TableFull);
    second(&mut rig);
    // flow 0 had no packets, which is less than half of one
    assert_eq!(refused(&mut rig, &newcomer(0)).reason, RefusalReason::TableFull);
    second(&mut rig);
    let first = rig.install(&newcomer(1));
    assert_eq!(rig.control.engine_stats().evicted, 1);
    let gone = rig.events();
    let [EngineEvent::Removed { session: 0, stats, reason, .. }] = gone[..] else {
        panic!("{gone:?}")
    };
    assert_eq!((stats.packets, reason), (0, DemotionReason::TablePressure));
    // all others have at least one, which is no less than half of two
    rig.control.remove(first, DemotionReason::Idle);
    rig.install(&outbound(udp(0), natted(0), 0));
    (0..2).for_each(|_| drop(rig.offer(0, frame(&from_host(udp(0)))).expect("a hit")));
    second(&mut rig);
    assert_eq!(refused(&mut rig, &newcomer(2)).reason, RefusalReason::TableFull);
    // and whoever is idle for long gives way to any
    rig.now = rig.now + core::time::Duration::from_secs(60);
    rig.install(&newcomer(0));
    assert_eq!(rig.control.engine_stats().evicted, 2);
}

#[test]
fn a_full_table_keeps_working() {
    const FLOWS: u16 = 2000;
    let mut rig = Rig::new(unlimited(FLOWS.into()));
    for n in 0..FLOWS {
        let program = if n.is_multiple_of(2) {
            outbound(udp(n), natted(n), n.into())
        } else {
            outbound(udp6(n), udp6(n), n.into())
        };
        rig.install(&program);
    }
    assert_eq!(rig.control.engine_stats().flows, u64::from(FLOWS));
    for n in 0..FLOWS {
        let tuple = if n.is_multiple_of(2) { udp(n) } else { udp6(n) };
        assert!(rig.offer(0, frame(&from_host(tuple))).is_ok(), "{n}");
    }
    // the audit sees each of them once, in slices
    let (mut seen, mut cursor, mut slices) = (BTreeMap::new(), Some(0), 0);
    while let Some(at) = cursor {
        cursor = rig.control.audit(at, 300, &mut |handle, session, direction, key| {
            assert_eq!(direction, Direction::Original);
            assert!(seen.insert(session, (handle, key)).is_none());
        });
        slices += 1;
    }
    assert_eq!((seen.len(), slices), (FLOWS.into(), 8));
    assert!(seen.iter().all(|(n, (handle, key))| {
        let n = *n as u16;
        *key == if n.is_multiple_of(2) { udp(n) } else { udp6(n) }
            && rig.control.stats(*handle).is_some()
    }));
}

#[test]
fn a_session_takes_at_most_210_bytes() {
    const SESSIONS: u32 = 50_000;
    let load = crate::workload::Workload::new(SESSIONS, 18, 1).expect("room");
    let bytes = load.memory_per_session();
    assert!((150.0..=210.0).contains(&bytes), "{bytes}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// The engine equals a map from key to session under any sequence of installs, removals and
    /// packets, and what it counted for each program is what the map says, exactly once.
    #[test]
    fn it_equals_a_map(steps in prop::collection::vec((0u8..8, 0u16..24), 0..300)) {
        let mut rig = Rig::new(unlimited(16));
        let mut model = BTreeMap::<u16, (Handle, u64)>::new();
        let mut leaving = BTreeMap::<u32, u64>::new();
        let (mut session, mut forwarded) = (0u32, 0);
        let mut sessions = BTreeMap::<u16, u32>::new();
        for (what, n) in steps {
            let (from, to) =
                if n.is_multiple_of(3) { (udp6(n), udp6(n + 100)) } else { (udp(n), natted(n)) };
            match what {
                0..3 => {
                    let offered = rig.control.install(&outbound(from, to, session), rig.now);
                    match offered {
                        Ok(handle) => {
                            prop_assert!(!model.contains_key(&n) && model.len() < 16);
                            model.insert(n, (handle, 0));
                            sessions.insert(n, session);
                            session += 1;
                        }
                        Err(refusal) if refusal.reason == RefusalReason::DuplicateFlow => {
                            prop_assert!(model.contains_key(&n));
                        }
                        Err(refusal) => {
                            prop_assert_eq!(refusal.reason, RefusalReason::TableFull);
                        }
                    }
                }
                3 => {
                    if let Some((handle, packets)) = model.remove(&n) {
                        prop_assert!(rig.control.remove(handle, DemotionReason::Idle));
                        leaving.insert(sessions[&n], packets);
                    }
                }
                4 => {
                    for event in rig.events() {
                        let EngineEvent::Removed { session, stats, .. } = event else { continue };
                        prop_assert_eq!(leaving.remove(&session), Some(stats.packets));
                    }
                    prop_assert!(leaving.is_empty());
                }
                _ => {
                    let served = rig.offer(0, frame(&from_host(from)));
                    match model.get_mut(&n) {
                        Some((_, packets)) => {
                            *packets += 1;
                            forwarded += 1;
                            prop_assert_eq!(parsed(&served.expect("a hit").1).tuple, to);
                        }
                        None => prop_assert_eq!(served.err(), Some(PuntCause::FlowMiss)),
                    }
                }
            }
            for (handle, packets) in model.values() {
                prop_assert_eq!(rig.control.stats(*handle).map(|s| s.packets), Some(*packets));
            }
            let stats = rig.control.engine_stats();
            prop_assert_eq!(stats.flows, model.len() as u64);
            prop_assert_eq!(stats.forwarded_packets, forwarded);
        }
    }
}
