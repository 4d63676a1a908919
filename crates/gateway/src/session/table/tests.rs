use std::collections::BTreeMap;

use config::model::VrId;
use proptest::prelude::*;
use wire::proto;

use super::*;
use crate::session::SessionState;

fn tuple(client: u8, port: u16) -> Tuple {
    Tuple {
        src: [10, 0, 0, client].into(),
        dst: [203, 0, 113, 9].into(),
        src_port: port,
        dst_port: 443,
        proto: proto::UDP,
    }
}

/// Behind source NAT: the reply goes to 198.51.100.1.
fn translated(original: Tuple, port: u16) -> Tuple {
    Tuple { src: [198, 51, 100, 1].into(), src_port: port, ..original }.reversed()
}

fn session(vr: u16, original: Tuple, reply: Tuple) -> Session {
    Session::new(Kind::Forward, VrId(vr), original, reply, Time::ZERO)
}

#[test]
fn both_directions_lead_to_the_session_and_only_in_its_virtual_router() {
    let mut table = SessionTable::new(8, 1);
    let there = tuple(1, 5_000);
    let back = translated(there, 1_024);
    let id = table.insert(session(3, there, back)).expect("room");
    assert_eq!(table.lookup(VrId(3), &there), Some((id, Direction::Original)));
    assert_eq!(table.lookup(VrId(3), &back), Some((id, Direction::Reply)));
    assert_eq!(table.lookup(VrId(3), &back.reversed()), None);
    assert_eq!(table.lookup(VrId(4), &there), None);
    assert!(table.contains(VrId(3), &back) && !table.contains(VrId(3), &there.reversed()));
}

#[test]
fn a_taken_key_or_a_full_table_changes_nothing() {
    let mut table = SessionTable::new(2, 1);
    let (a, b) = (tuple(1, 1), tuple(2, 1));
    table.insert(session(0, a, translated(a, 7))).expect("room");
    let same_reply = session(0, b, translated(b, 7));
    assert_eq!(table.insert(same_reply), Err(InsertError::KeyTaken(Direction::Reply)));
    let same_original = session(0, a, translated(a, 8));
    assert_eq!(table.insert(same_original), Err(InsertError::KeyTaken(Direction::Original)));
    let to_itself = Tuple { src: b.dst, dst_port: b.src_port, ..b };
    assert_eq!(to_itself.reversed(), to_itself);
    let land = session(0, to_itself, to_itself);
    assert_eq!(table.insert(land), Err(InsertError::KeyTaken(Direction::Reply)));
    table.insert(session(0, b, translated(b, 8))).expect("room");
    let third = session(0, tuple(3, 1), translated(tuple(3, 1), 9));
    assert_eq!(table.insert(third), Err(InsertError::TableFull));
    assert_eq!((table.len(), table.slots()), (2, 2));
}

#[test]
fn an_ending_session_keeps_its_slot_but_not_its_keys() {
    let mut table = SessionTable::new(2, 1);
    let (there, back) = (tuple(1, 1), translated(tuple(1, 1), 7));
    let old = table.insert(session(0, there, back)).expect("room");
    assert!(table.unlink(old));
    assert!(!table.unlink(old));
    assert_eq!(table.lookup(VrId(0), &back), None);
    assert_eq!(table.page(0, 8).count(), 0);
    assert!(table.get(old).is_some());
    assert_eq!(table.id_at(old.index), Some(old));
    assert_eq!(table.gauges(), Gauges { kinds: [0; 3], half_open: 0, ending: 1 });

    let new = table.insert(session(0, there, back)).expect("room");
    assert_ne!(new.index, old.index);
    assert!(table.remove(old).is_some());
    assert!(table.remove(old).is_none() && table.get(old).is_none());
    assert_eq!(table.id_at(old.index), None);
    assert_eq!(table.lookup(VrId(0), &there), Some((new, Direction::Original)));

    let third = table.insert(session(0, tuple(2, 2), translated(tuple(2, 2), 8))).expect("room");
    assert_eq!(third, SessionId { index: old.index, generation: old.generation + 1 });
    assert!(table.get(old).is_none() && table.get_mut(old).is_none() && !table.unlink(old));
    assert_eq!(table.gauges(), Gauges { kinds: [2, 0, 0], half_open: 0, ending: 0 });
}

#[test]
fn half_open_sessions_are_counted_whoever_changes_them() {
    let mut table = SessionTable::new(4, 1);
    let mut ids = Vec::new();
    for n in 0..4 {
        let there = tuple(n, 1);
        let id = table.insert(session(0, there, there.reversed())).expect("room");
        assert_eq!(table.half_open(), u32::from(n));
        table.get_mut(id).expect("just taken in").state = SessionState::SynSent;
        ids.push(id);
    }
    assert_eq!(table.half_open(), 4);
    table.get_mut(ids[0]).expect("there").state = SessionState::Established;
    assert_eq!(table.half_open(), 3);
    assert!(table.unlink(ids[1]));
    assert_eq!(table.half_open(), 2);
    table.get_mut(ids[1]).expect("ending").state = SessionState::SynSent;
    assert_eq!(table.half_open(), 2);
    assert!(ids.into_iter().all(|id| table.remove(id).is_some()));
    assert_eq!(table.gauges(), Gauges::default());
}

#[test]
fn timers_fire_for_sessions_and_stop_with_them() {
    let mut table = SessionTable::new(4, 1);
    let ids: Vec<_> = (0..3)
        .map(|n| table.insert(session(0, tuple(n, 1), tuple(n, 1).reversed())).expect("room"))
        .collect();
    assert!(table.poll_timeout().is_some_and(|at| at <= Time::from_millis(10)));
    let mut fired = Vec::new();
    table.expired(Time::from_secs(1), 2, &mut fired);
    assert_eq!(fired.len(), 2);
    table.expired(Time::from_secs(1), 2, &mut fired);
    fired.sort_unstable();
    assert_eq!(fired, ids);
    assert_eq!(table.poll_timeout(), None);
    ids.iter().for_each(|id| table.rearm(*id, Time::from_secs(2)));
    table.unlink(ids[0]);
    table.rearm(ids[0], Time::from_secs(2));
    table.remove(ids[1]);
    fired.clear();
    table.expired(Time::from_secs(3), 9, &mut fired);
    assert_eq!(fired, [ids[2]]);
}

#[test]
fn memory_stays_within_the_budget_when_full() {
    const N: u32 = 20_000;
    let mut table = SessionTable::new(N, 1);
    for n in 0..N {
        let there = Tuple { src: (n + 1).to_be_bytes().into(), ..tuple(0, 1) };
        table.insert(session(0, there, there.reversed())).expect("room");
    }
    assert!(table.memory() <= u64::from(N) * 300, "{} bytes", table.memory() / u64::from(N));
}

#[derive(Clone, Debug)]
enum Op {
    Insert { vr: u16, client: u8, port: u16, nat: u16 },
    Unlink(usize),
    Remove(usize),
    Rearm(usize, u64),
    Pass(u64),
}

fn any_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0u16..2, 0u8..3, 0u16..3, 0u16..4)
            .prop_map(|(vr, client, port, nat)| Op::Insert { vr, client, port, nat }),
        1 => (0usize..40).prop_map(Op::Unlink),
        2 => (0usize..40).prop_map(Op::Remove),
        1 => (0usize..40, 0u64..100).prop_map(|(n, secs)| Op::Rearm(n, secs)),
        1 => (0u64..50).prop_map(Op::Pass),
    ]
}

/// The table as one would write it without caring for speed.
#[derive(Default)]
struct Model {
    keys: BTreeMap<(u16, Tuple), (SessionId, Direction)>,
    sessions: BTreeMap<SessionId, (u16, Tuple, Tuple, bool)>,
    deadlines: BTreeMap<SessionId, Time>,
}

impl Model {
    fn unlink(&mut self, id: SessionId) -> bool {
        self.deadlines.remove(&id);
        match self.sessions.get_mut(&id) {
            Some((vr, original, reply, linked @ true)) => {
                *linked = false;
                self.keys.remove(&(*vr, *original));
                self.keys.remove(&(*vr, *reply));
                true
            }
            _ => false,
        }
    }
}

proptest! {
    #[test]
    fn the_table_does_what_a_map_does(ops in prop::collection::vec(any_op(), 1..120)) {
        const CAPACITY: u32 = 7;
        let mut table = SessionTable::new(CAPACITY, 5);
        let mut model = Model::default();
        let (mut given, mut now) = (Vec::new(), Time::ZERO);
        for op in ops {
            match op {
                Op::Insert { vr, client, port, nat } => {
                    let there = tuple(client, port);
                    let back = if nat == 0 { there.reversed() } else { translated(there, nat) };
                    let expected = if model.sessions.len() == CAPACITY as usize {
                        Err(InsertError::TableFull)
                    } else if model.keys.contains_key(&(vr, there)) {
                        Err(InsertError::KeyTaken(Direction::Original))
                    } else if model.keys.contains_key(&(vr, back)) {
                        Err(InsertError::KeyTaken(Direction::Reply))
                    } else {
                        Ok(())
                    };
                    let got = table.insert(session(vr, there, back));
                    prop_assert_eq!(got.map(drop), expected);
                    if let Ok(id) = got {
                        prop_assert!(!given.contains(&id), "{} was given twice", id);
                        given.push(id);
                        model.keys.insert((vr, there), (id, Direction::Original));
                        model.keys.insert((vr, back), (id, Direction::Reply));
                        model.sessions.insert(id, (vr, there, back, true));
                        model.deadlines.insert(id, Time::ZERO);
                    }
                }
                Op::Unlink(n) => {
                    if let Some(id) = given.get(n) {
                        prop_assert_eq!(table.unlink(*id), model.unlink(*id));
                    }
                }
                Op::Remove(n) => {
                    if let Some(id) = given.get(n) {
                        model.unlink(*id);
                        let expected = model.sessions.remove(id);
                        prop_assert_eq!(table.remove(*id).is_some(), expected.is_some());
                    }
                }
                Op::Rearm(n, secs) => {
                    if let Some(id) = given.get(n) {
                        let deadline = now + core::time::Duration::from_secs(secs);
                        table.rearm(*id, deadline);
                        if model.sessions.get(id).is_some_and(|s| s.3) {
                            model.deadlines.insert(*id, deadline);
                        }
                    }
                }
                Op::Pass(secs) => {
                    now = now + core::time::Duration::from_secs(secs + 1);
                    let mut fired = Vec::new();
                    table.expired(now, 100, &mut fired);
                    for id in fired {
                        let deadline = model.deadlines.remove(&id);
                        prop_assert!(deadline.is_some(), "{} has no timer", id);
                        if let Some(deadline) = deadline.filter(|d| *d > now) {
                            table.rearm(id, deadline);
                            model.deadlines.insert(id, deadline);
                        }
                    }
                    prop_assert!(model.deadlines.values().all(|d| *d + super::super::timers::TICK > now));
                }
            }
            let linked: Vec<_> = model.sessions.iter().filter(|(_, s)| s.3).map(|(id, _)| *id).collect();
            prop_assert_eq!(table.len() as usize, linked.len());
            prop_assert_eq!(table.gauges().ending as usize, model.sessions.len() - linked.len());
            let mut walked: Vec<_> = (0..table.slots())
                .step_by(3)
                .flat_map(|cursor| table.page(cursor, 3).map(|(id, _)| id).collect::<Vec<_>>())
                .collect();
            prop_assert!(walked.is_sorted_by_key(|id| id.index));
            walked.sort_unstable();
            prop_assert_eq!(walked, linked);
            for vr in 0..2 {
                for client in 0..3 {
                    for port in 0..3 {
                        for nat in 0..4 {
                            let there = tuple(client, port);
                            let back = if nat == 0 { there.reversed() } else { translated(there, nat) };
                            for key in [there, back] {
                                let expected = model.keys.get(&(vr, key)).copied();
                                prop_assert_eq!(table.lookup(VrId(vr), &key), expected);
                            }
                        }
                    }
                }
            }
            for id in &given {
                prop_assert_eq!(table.get(*id).is_some(), model.sessions.contains_key(id));
            }
        }
    }
}
