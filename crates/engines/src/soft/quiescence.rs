//! When nobody can hold a removed flow any more (quiescent-state based reclamation).
//!
//! The writer makes a flow unfindable, then advances the clock and remembers the new time. A worker
//! holds flows only within a burst; at the end of each it copies the clock. Once every worker's copy
//! has reached the remembered time, none can hold the flow. A worker that sleeps has [`RESTING`] for
//! its copy, so that nobody waits for it.

use std::sync::{
    Arc,
    atomic::{
        AtomicU64,
        Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst},
        fence,
    },
};

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

    /// The worker may hold flows again; call it before any is looked up.
    #[inline]
    pub(super) fn resume(&mut self) {
        let seen = &self.shared.seen[self.worker].0;
        if seen.load(Relaxed) == RESTING {
            seen.store(self.shared.clock.load(Acquire), Relaxed);
            fence(SeqCst);
        }
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        self.shared.seen[self.worker].0.store(RESTING, Release);
    }
}

#[cfg(test)]
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
