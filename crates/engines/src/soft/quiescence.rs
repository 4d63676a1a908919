//! When nobody can hold a removed flow any more (quiescent-state based reclamation).
//!
//! The writer makes a flow unfindable, then advances the clock and remembers the new time. A worker
//! holds flows only within a burst; at the end of each it copies the clock. Once every worker's copy
//! has reached the remembered time, none can hold the flow. A worker that sleeps has [`RESTING`] for
//! its copy, so that nobody waits for it.

#[cfg(not(loom))]
use std::sync::atomic::{AtomicU64, fence};
use std::sync::{
    Arc,
    atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst},
};

#[cfg(loom)]
use loom::sync::atomic::{AtomicU64, fence};

/// The copy of a worker that holds nothing until it says otherwise.
const RESTING: u64 = u64::MAX;

#[repr(align(64))]
struct Seen(AtomicU64);

/// The clock and the workers' copies of it.
pub(super) struct Quiescence {
    clock: AtomicU64,
    seen: Box<[Seen]>,
}

impl Quiescence {
    pub(super) fn new(workers: usize) -> Self {
        Self {
            clock: AtomicU64::new(0),
            seen: (0..workers).map(|_| Seen(AtomicU64::new(0))).collect(),
        }
    }

    /// Call after making something unfindable; it can be reused once [`Quiescence::reached`] gives
    /// at least this.
    pub(super) fn advance(&self) -> u64 {
        self.clock.fetch_add(1, AcqRel) + 1
    }

    /// What every worker has passed.
    pub(super) fn reached(&self) -> u64 {
        // Pairs with the fence in `Passage::resume`: either the worker's copy is seen here, or what
        // was made unfindable before is unfindable to it.
        fence(SeqCst);
        self.seen.iter().map(|seen| seen.0.load(Acquire)).min().unwrap_or(u64::MAX)
    }
}

/// A worker's place in it. When it is dropped the worker holds nothing for good.
pub(super) struct Passage {
    shared: Arc<Quiescence>,
    worker: usize,
}

impl Passage {
    pub(super) fn new(shared: Arc<Quiescence>, worker: usize) -> Self {
        Self { shared, worker }
    }

    /// The worker holds nothing now. Acquire: what was unfindable by the time of the clock it reads
    /// is unfindable to what it does next. Release: what it did before is done. One that rests goes on
    /// resting: only [`Passage::resume`] has the fence that ends it.
    #[inline]
    pub(super) fn quiesce(&mut self) {
        let now = self.shared.clock.load(Acquire);
        let seen = &self.shared.seen[self.worker].0;
        let before = seen.load(Relaxed);
        if before != now && before != RESTING {
            seen.store(now, Release);
        }
    }

    /// The worker holds nothing now, and will not until [`Passage::resume`].
    pub(super) fn rest(&mut self) {
        self.shared.seen[self.worker].0.store(RESTING, Release);
    }

    /// The worker may hold flows again; call it before any is looked up. Release: whoever sees this time and not
    /// that the worker rested must know that what it did before is done.
    #[inline]
    pub(super) fn resume(&mut self) {
        let seen = &self.shared.seen[self.worker].0;
        if seen.load(Relaxed) == RESTING {
            seen.store(self.shared.clock.load(Acquire), Release);
            fence(SeqCst);
        }
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        self.shared.seen[self.worker].0.store(RESTING, Release);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_worker_decides() {
        let shared = Arc::new(Quiescence::new(2));
        let (mut a, mut b) = (Passage::new(shared.clone(), 0), Passage::new(shared.clone(), 1));
        let retired = shared.advance();
        a.quiesce();
        assert!(shared.reached() < retired);
        b.quiesce();
        assert!(shared.reached() >= retired);
        let later = shared.advance();
        drop(a);
        assert!(shared.reached() < later);
        b.quiesce();
        assert!(shared.reached() >= later);
    }

    #[test]
    fn nobody_waits_for_a_worker_that_rests() {
        let shared = Arc::new(Quiescence::new(2));
        let (mut a, mut b) = (Passage::new(shared.clone(), 0), Passage::new(shared.clone(), 1));
        a.rest();
        let retired = shared.advance();
        b.quiesce();
        assert!(shared.reached() >= retired);
        a.quiesce();
        shared.advance();
        b.quiesce();
        assert_eq!(shared.reached(), retired + 1, "it rests on");
        a.resume();
        let later = shared.advance();
        b.quiesce();
        assert!(shared.reached() >= retired && shared.reached() < later);
        a.quiesce();
        assert!(shared.reached() >= later);
    }
}

/// A writer that takes a slot back and workers that look into it, by `loom`: every interleaving with one worker, those of up
/// to three preemptions with two. The index is one place here; how flows move in it is not modelled.
/// `CONTRIBUTING.md` has the command.
#[cfg(all(test, loom))]
mod model {
    use loom::{cell::UnsafeCell, sync::atomic::AtomicU32, thread};

    use super::*;

    /// An index of one place, as the tables have it, and the slot it leads to.
    struct Table {
        place: AtomicU32,
        slot: UnsafeCell<u32>,
    }

    impl Table {
        /// What a worker does for a packet of a burst. `loom` ends the run when the writer reuses the slot meanwhile.
        fn look(&self) {
            if self.place.load(Acquire) != 0 {
                self.slot.with(|_| ());
            }
        }
    }

    fn explore(lives: &'static [fn(&mut Passage, &Table)]) {
        let mut model = loom::model::Builder::new();
        // with two workers the rest would take hours
        model.preemption_bound = (lives.len() > 1).then_some(3);
        model.check(move || {
            let shared = Arc::new(Quiescence::new(lives.len()));
            let table = Arc::new(Table { place: AtomicU32::new(1), slot: UnsafeCell::new(0) });
            let workers: Vec<_> = lives
                .iter()
                .enumerate()
                .map(|(number, life)| {
                    let mut passage = Passage::new(Arc::clone(&shared), number);
                    let table = Arc::clone(&table);
                    thread::spawn(move || life(&mut passage, &table))
                })
                .collect();
            table.place.store(0, Release);
            let retired = shared.advance();
            for _ in 0..2 {
                if shared.reached() >= retired {
                    table.slot.with_mut(|_| ());
                    break;
                }
                thread::yield_now();
            }
            for worker in workers {
                worker.join().expect("a worker does not panic");
            }
            assert!(shared.reached() >= retired, "nobody holds it any more");
        });
    }

    /// Burst after burst.
    fn busy(passage: &mut Passage, table: &Table) {
        for _ in 0..2 {
            table.look();
            passage.quiesce();
        }
    }

    /// Sleeps between two bursts.
    fn sleepy(passage: &mut Passage, table: &Table) {
        table.look();
        passage.rest();
        passage.quiesce();
        passage.resume();
        table.look();
        passage.quiesce();
    }

    #[test]
    fn a_slot_is_reused_when_no_worker_can_hold_it() {
        explore(&[busy]);
    }

    #[test]
    fn a_worker_that_wakes_finds_nothing_that_was_taken_out_while_it_slept() {
        explore(&[sleepy]);
    }

    #[test]
    fn the_slowest_of_two_decides() {
        explore(&[busy, sleepy]);
    }

    #[test]
    #[should_panic(expected = "Causality violation")]
    fn a_worker_that_says_too_early_that_it_holds_nothing_is_found_out() {
        explore(&[|passage, table| {
            if table.place.load(Acquire) != 0 {
                passage.quiesce();
                table.slot.with(|_| ());
            }
        }]);
    }
}
