use proptest::prelude::*;
use reason::PuntCause;
use wire::{Tuple, proto};

use super::*;
use crate::{
    Adjacency, AdjacencyId, Capabilities, Engine, EngineEvent, EngineInterface, EngineStats,
    FlowProgram, Retry, SaProgram,
};

const SOFT: EngineId = EngineId(0);

fn at(session: u32, direction: Direction, millis: u64) -> At {
    At { session, direction, engine: SOFT, now: Time::from_millis(millis) }
}

fn handle(index: u32) -> Handle {
    Handle { index, generation: 7 }
}

fn full() -> Refusal {
    Refusal {
        reason: RefusalReason::TableFull,
        evidence: [Some(("used", 8)), Some(("limit", 8)), None],
        retry: Retry::WhenRoom,
    }
}

fn packets(packets: u64, millis: u64) -> FlowStats {
    FlowStats { packets, bytes: packets * 100, last_hit: Time::from_millis(millis) }
}

#[test]
fn a_life_from_evaluation_to_removal() {
    let (mut ledger, mut entry) = (Ledger::new(16), Entry::default());
    let original = |ms| at(5, Direction::Original, ms);
    ledger.open(&mut entry, Time::ZERO);
    let waiting: ReasonSet<_> = [NotEligible::NotEstablished].into_iter().collect();
    let change = ledger.evaluated(&mut entry, original(1), waiting);
    assert_eq!(change, Change { from: State::NotEvaluated, to: State::NotEligible(waiting) });
    assert_eq!(ledger.held_back(NotEligible::NotEstablished), 1);
    assert_eq!(entry.direction(Direction::Original).since(), Time::from_millis(1));
    // the same finding again changes nothing, not even since when
    assert!(!ledger.evaluated(&mut entry, original(2), waiting).is_change());
    assert_eq!(entry.direction(Direction::Original).since(), Time::from_millis(1));
    ledger.evaluated(&mut entry, original(3), ReasonSet::EMPTY);
    assert_eq!(entry.direction(Direction::Original).state(), State::Eligible);
    assert_eq!(ledger.held_back(NotEligible::NotEstablished), 0);
    ledger.refused(&mut entry, original(4), full());
    assert_eq!(ledger.refused_now(RefusalReason::TableFull), 1);
    ledger.installed(&mut entry, original(5), handle(3));
    assert_eq!(ledger.refused_now(RefusalReason::TableFull), 0);
    assert!(entry.is_partial());
    // an installed direction is not evaluated away
    assert!(!ledger.evaluated(&mut entry, original(6), waiting).is_change());
    // nothing counted: installed, not hitting
    assert!(!ledger.observe(&mut entry, original(6), FlowStats::default()).is_change());
    let change = ledger.observe(&mut entry, original(7), packets(2, 7));
    assert_eq!(change.to, State::Hitting(handle(3)));
    assert!(!ledger.observe(&mut entry, original(4000), packets(2, 7)).is_change());
    let quiet = ledger.observe(&mut entry, original(5007), packets(2, 7));
    assert_eq!(quiet.to, State::Installed(handle(3)));
    assert!(ledger.observe(&mut entry, original(6000), packets(3, 6000)).is_change());
    ledger.retire(&mut entry, original(6001), DemotionReason::PolicyChanged);
    assert!(!ledger.retire(&mut entry, original(6002), DemotionReason::Idle).is_change());
    // a late event of another tenant of the slot is not ours
    let stale = Handle { index: 3, generation: 6 };
    let why = DemotionReason::PolicyChanged;
    assert!(!ledger.removed(&mut entry, original(6003), stale, why, packets(9, 1)).is_change());
    let gone = ledger.removed(&mut entry, original(6003), handle(3), why, packets(4, 6001));
    assert_eq!(gone.to, State::NotEvaluated);
    assert_eq!((ledger.promotions(), ledger.demotions(why)), (1, 1));
    let story: Vec<_> = ledger.history().of(5, Time::ZERO).map(|e| e.event.to_string()).collect();
    assert_eq!(
        story,
        [
            "refused table-full (used=8 limit=8)",
            "installed",
            "first hit",
            "retiring: policy-changed",
            "removed: policy-changed (packets=4 bytes=400)",
        ]
    );
    assert_eq!(ledger.history().of(5, Time::from_millis(6000)).count(), 2);
    assert_eq!(ledger.history().of(6, Time::ZERO).count(), 0);
    ledger.close(&entry);
    assert!(Kind::ALL.iter().all(|kind| ledger.directions(*kind) == 0));
}

#[test]
fn an_eviction_is_a_demotion_too() {
    let (mut ledger, mut entry) = (Ledger::new(4), Entry::default());
    let reply = at(1, Direction::Reply, 1);
    ledger.open(&mut entry, Time::ZERO);
    ledger.installed(&mut entry, reply, handle(0));
    let why = DemotionReason::TablePressure;
    ledger.removed(&mut entry, reply, handle(0), why, packets(1, 1));
    assert_eq!(ledger.demotions(why), 1);
    assert_eq!(ledger.directions(Kind::NotEvaluated), 2);
}

#[test]
fn the_history_is_bounded() {
    let (mut ledger, mut entry) = (Ledger::new(2), Entry::default());
    ledger.open(&mut entry, Time::ZERO);
    for ms in 0..3 {
        ledger.installed(&mut entry, at(ms, Direction::Reply, ms.into()), handle(ms));
    }
    assert_eq!(ledger.history().forgotten(), 1);
    assert_eq!(ledger.history().all().map(|e| e.session).collect::<Vec<_>>(), [1, 2]);
    let mut none = Ledger::new(0);
    let mut entry = Entry::default();
    none.open(&mut entry, Time::ZERO);
    none.installed(&mut entry, at(0, Direction::Reply, 0), handle(0));
    assert_eq!(none.history().all().len(), 0);
}

#[test]
fn a_record_is_small() {
    assert!(size_of::<Record>() <= 32);
    assert!(size_of::<Entry>() <= 64);
}

proptest! {
    /// The gauges equal a count over all entries, whatever happens in whatever order.
    #[test]
    fn gauges_equal_a_recount(steps in prop::collection::vec((0usize..6, 0usize..2, 0u8..7, any::<u32>()), 0..200)) {
        let mut ledger = Ledger::new(8);
        let mut entries: [Option<Entry>; 6] = [None; 6];
        for (ms, (session, direction, what, bits)) in steps.into_iter().enumerate() {
            let place = at(session as u32, Direction::BOTH[direction], ms as u64);
            let Some(entry) = &mut entries[session] else {
                let mut entry = Entry::default();
                ledger.open(&mut entry, place.now);
                entries[session] = Some(entry);
                continue;
            };
            match what {
                0 | 1 => {
                    let set = ReasonSet::from_bits(u128::from(bits & bits >> 16));
                    ledger.evaluated(entry, place, set);
                }
                2 => {
                    let reason = RefusalReason::ALL[bits as usize % RefusalReason::ALL.len()];
                    ledger.refused(entry, place, Refusal { reason, ..full() });
                }
                3 => {
                    ledger.installed(entry, place, handle(bits));
                }
                4 => {
                    ledger.observe(entry, place, packets(u64::from(bits % 3), ms as u64));
                }
                5 => {
                    ledger.retire(entry, place, DemotionReason::Idle);
                }
                _ => {
                    ledger.close(entry);
                    entries[session] = None;
                }
            }
        }
        let live = || entries.iter().flatten();
        let states = |e: &Entry| Direction::BOTH.map(|d| e.direction(d).state());
        for kind in Kind::ALL {
            let count = live().flat_map(states).filter(|s| s.kind() == kind).count();
            prop_assert_eq!(ledger.directions(kind), count as u64, "{}", kind.name());
        }
        for reason in NotEligible::ALL {
            let has = |s: &State| matches!(s, State::NotEligible(set) if set.contains(*reason));
            let count = live().filter(|e| states(e).iter().any(has)).count();
            prop_assert_eq!(ledger.held_back(*reason), count as u64, "{}", reason);
        }
        for reason in RefusalReason::ALL {
            let has = |s: &State| *s == State::Refused(*reason);
            let count = live().filter(|e| states(e).iter().any(has)).count();
            prop_assert_eq!(ledger.refused_now(*reason), count as u64, "{}", reason);
        }
    }
}

/// An engine that holds a list and nothing else.
struct List(Vec<(Handle, u32, Direction, Tuple)>, Capabilities);

impl Engine for List {
    fn name(&self) -> &'static str {
        "list"
    }
    fn capabilities(&self) -> &Capabilities {
        &self.1
    }
    fn set_interfaces(&mut self, _: &[EngineInterface]) {}
    fn set_adjacency(&mut self, _: AdjacencyId, _: Adjacency) -> Result<(), Refusal> {
        Ok(())
    }
    fn clear_adjacency(&mut self, _: AdjacencyId) {}
    fn install(&mut self, _: &FlowProgram, _: Time) -> Result<Handle, Refusal> {
        Err(full())
    }
    fn install_sa(&mut self, _: SaProgram, _: Time) -> Result<Handle, Refusal> {
        Err(full())
    }
    fn move_sa(&mut self, _: Handle, _: AdjacencyId) -> bool {
        false
    }
    fn replace_sa(&mut self, _: Handle, _: SaProgram) -> bool {
        false
    }
    fn remove_sa(&mut self, _: Handle) -> bool {
        false
    }
    fn remove(&mut self, handle: Handle, _: DemotionReason) -> bool {
        let before = self.0.len();
        self.0.retain(|row| row.0 != handle);
        self.0.len() != before
    }
    fn stats(&self, handle: Handle) -> Option<FlowStats> {
        self.0.iter().any(|row| row.0 == handle).then(FlowStats::default)
    }
    fn poll_event(&mut self) -> Option<EngineEvent> {
        None
    }
    fn engine_stats(&self) -> EngineStats {
        EngineStats { punts: vec![0; PuntCause::ALL.len()], ..EngineStats::new() }
    }
    fn audit(
        &self,
        cursor: u32,
        max: u32,
        each: &mut dyn FnMut(Handle, u32, Direction, Tuple),
    ) -> Option<u32> {
        let end = (cursor + max).min(self.0.len() as u32);
        for (handle, session, direction, key) in &self.0[cursor as usize..end as usize] {
            each(*handle, *session, *direction, *key);
        }
        (end < self.0.len() as u32).then_some(end)
    }
    fn set_traced(&mut self, _: Handle, _: bool) {}
}

#[test]
fn the_audit_finds_all_three_kinds_of_drift() {
    let key = |port| Tuple {
        src: [10, 0, 0, 1].into(),
        dst: [10, 0, 0, 2].into(),
        src_port: port,
        dst_port: 53,
        proto: proto::UDP,
    };
    let row = |n: u32| (handle(n), n, Direction::Original, key(n as u16));
    let mut engine = List((0..5).map(row).collect(), Capabilities::soft(8));
    let ledger = |session: u32, _| match session {
        1 => None,
        2 => Some((handle(2), key(99))),
        3 => Some((handle(30), key(3))),
        n => Some((handle(n), key(n as u16))),
    };
    let (mut audit, mut findings, mut slices) = (DriftAudit::default(), Vec::new(), 1);
    while !audit.step(&engine, 2, ledger, &mut findings) {
        slices += 1;
    }
    assert_eq!(slices, 3);
    let words: Vec<_> = findings.iter().map(Finding::to_string).collect();
    assert_eq!(words[0], "unknown-to-ledger session 1 original: udp 10.0.0.1:1 -> 10.0.0.2:53");
    assert!(words[1].starts_with("wrong-key session 2 original: expected udp 10.0.0.1:99"));
    assert!(words[2].starts_with("unknown-to-ledger session 3"));
    assert_eq!(findings.len(), 3);
    assert_eq!(missing_in_engine(&engine, 4, Direction::Original, handle(4)), None);
    engine.remove(handle(4), DemotionReason::DriftRepaired);
    let missing = missing_in_engine(&engine, 4, Direction::Original, handle(4));
    assert_eq!(
        missing.map(|f| f.to_string()).as_deref(),
        Some("missing-in-engine session 4 original")
    );
}
