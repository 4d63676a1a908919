//! The drift audit against an engine that forgets programs and keeps ones nobody asked for.

use offload::{Direction, Handle, ledger::Kind};
use reason::DemotionReason;

use crate::bench::{Bench, tuple};

#[test]
fn a_program_the_engine_lost_is_missed_and_installed_again() {
    let mut bench = Bench::new("");
    bench.promote();
    bench.held.lock().expect("held").rows.clear();
    audit(&mut bench);
    assert_eq!(bench.gateway.counters().drift_repaired, 2);
    let ledger = bench.gateway.ledger();
    assert_eq!(ledger.directions(Kind::Retiring), 0, "nothing waits for what never comes");
    assert_eq!(ledger.directions(Kind::NotEvaluated), 2);
    assert_eq!(ledger.demotions(DemotionReason::DriftRepaired), 2);
    bench.promote();
}

#[test]
fn programs_nobody_knows_are_removed_a_slice_at_a_time() {
    let mut bench = Bench::new("");
    bench.promote();
    let strays = 10_000;
    for index in 0..strays {
        let stray = (Handle { index, generation: 9 }, 7, Direction::Original, tuple());
        bench.held.lock().expect("held").rows.push(stray);
    }
    assert!(audit(&mut bench) >= 3);
    // What is removed from this list moves the rest up, past the walk; later walks find it.
    for _ in 0..8 {
        audit(&mut bench);
    }
    assert_eq!(bench.held.lock().expect("held").rows.len(), 2);
    assert_eq!(bench.gateway.counters().drift_repaired, u64::from(strays));
}

/// One whole audit; says in how many calls.
fn audit(bench: &mut Bench) -> u32 {
    bench.now = bench.now + bench.gateway.config().offload.audit_interval;
    let mut calls = 0;
    loop {
        let before = bench.held.lock().expect("held").looked_at;
        bench.gateway.handle_timeout(bench.now);
        let after = bench.held.lock().expect("held").looked_at;
        assert!(after - before <= 4_096, "one call looks at one slice");
        calls += 1;
        if !bench.gateway.is_working() {
            return calls;
        }
    }
}
