//! A flow table: hash index, entries and counters of one IP version.
//!
//! [`Table`] is what workers read; [`Writer`] is the one place that changes it. A worker gets an
//! entry only against a borrow of its [`Passage`], and quiescing needs that passage mutably, so no
//! entry outlives a burst. The writer reuses a slot only when told that all workers have passed.

use std::sync::Arc;

use offload::{FlowProgram, FlowStats};

use super::{
    entry::{Counters, Entry, Family, Key, Seed},
    index::{Index, Place},
    quiescence::Passage,
    sa_table::SaRef,
    slab::Slab,
};

/// What workers read.
pub(super) struct Table<F: Family> {
    index: Index,
    entries: Slab<Entry<F>>,
    /// One array per worker.
    counters: Box<[Slab<Counters>]>,
    seed: Seed,
}

impl<F: Family> Table<F> {
    fn new(capacity: u32, workers: usize, seed: Seed) -> Self {
        Self {
            index: Index::new(capacity),
            entries: Slab::new(capacity as usize),
            counters: (0..workers).map(|_| Slab::new(capacity as usize)).collect(),
            seed,
        }
    }

    /// Where a key would stand; asks the CPU for the first bucket.
    #[inline(always)]
    pub(super) fn place(&self, key: &Key<F>) -> Place {
        let place = self.index.place(key.hash(&self.seed));
        self.index.prefetch_first(place);
        place
    }

    /// The slot the key has, if it stands in its first bucket; asks the CPU for its entry and
    /// counters, or for the second bucket.
    #[inline(always)]
    pub(super) fn guess_first(&self, place: Place, worker: usize) -> Option<u32> {
        let guess = self.index.guess_first(place);
        match guess {
            Some(slot) => self.prefetch(slot, worker),
            None => self.index.prefetch_second(place),
        }
        guess
    }

    /// The slot the key has, if it stands in its second bucket; asks the CPU for its entry and
    /// counters.
    #[inline(always)]
    pub(super) fn guess_second(&self, place: Place, worker: usize) -> Option<u32> {
        let guess = self.index.guess_second(place);
        if let Some(slot) = guess {
            self.prefetch(slot, worker);
        }
        guess
    }

    #[inline(always)]
    fn prefetch(&self, slot: u32, worker: usize) {
        self.entries.prefetch(slot);
        if let Some(counters) = self.counters.get(worker) {
            counters.prefetch(slot);
        }
    }

    /// The flow a guess leads to, which may be another than the one looked for.
    #[inline(always)]
    pub(super) fn glance<'burst>(
        &'burst self,
        _burst: &'burst Passage,
        guess: u32,
    ) -> Option<&'burst Entry<F>> {
        // SAFETY: as in `lookup`: the index gave the guess within this burst.
        unsafe { self.entry(guess) }
    }

    /// The flow with the key, to use until the end of the burst.
    #[inline(always)]
    pub(super) fn lookup<'burst>(
        &'burst self,
        _burst: &'burst Passage,
        place: Place,
        guess: Option<u32>,
        key: &Key<F>,
    ) -> Option<(u32, &'burst Entry<F>)> {
        // SAFETY: the index gave the slot within this burst, so it was completely written before
        // (release in `Index::insert`, acquire in `Index::find`), and it is not written again
        // before this worker quiesces, which the borrow of its passage prevents.
        let entry = |slot| unsafe { self.entry(slot) };
        if let Some((slot, entry)) = guess.and_then(|slot| Some((slot, entry(slot)?)))
            && entry.key == *key
        {
            return Some((slot, entry));
        }
        let slot = self.index.find(place, |slot| entry(slot).is_some_and(|e| e.key == *key))?;
        Some((slot, entry(slot)?))
    }

    /// The counters of a flow that belong to a worker.
    #[inline(always)]
    pub(super) fn counters(&self, worker: usize, slot: u32) -> Option<&Counters> {
        self.counters.get(worker)?.get(slot)
    }

    /// # Safety
    /// The slot must have been completely written before, visibly to this thread, and must not be
    /// written while the result is used.
    #[inline(always)]
    unsafe fn entry(&self, slot: u32) -> Option<&Entry<F>> {
        // SAFETY: in bounds by `ptr`; the rest is the caller's promise.
        self.entries.ptr(slot).map(|entry| unsafe { entry.as_ref() })
    }
}

/// Why a program could not be entered.
pub(super) enum NoEntry {
    /// A flow of this session has the key.
    Taken(u32),
    /// Both buckets are full.
    Buckets,
    /// No slot is free.
    Slots,
    /// The key and the rewrite are of different IP versions.
    Mixed,
}

/// The one that changes a table.
pub(super) struct Writer<F: Family> {
    table: Arc<Table<F>>,
    never_used: u32,
    free: Vec<u32>,
    live: u32,
    retiring: u32,
}

impl<F: Family> Writer<F> {
    pub(super) fn new(capacity: u32, workers: usize, seed: Seed) -> Self {
        Self {
            table: Arc::new(Table::new(capacity, workers, seed)),
            never_used: 0,
            free: Vec::new(),
            live: 0,
            retiring: 0,
        }
    }

    pub(super) fn table(&self) -> Arc<Table<F>> {
        Arc::clone(&self.table)
    }

    /// Flows that can be found.
    pub(super) const fn live(&self) -> u32 {
        self.live
    }

    /// Flows that are gone from the index but may still be held.
    pub(super) const fn retiring(&self) -> u32 {
        self.retiring
    }

    /// Slots below this have been used at least once.
    pub(super) const fn ever_used(&self) -> u32 {
        self.never_used
    }

    /// Bytes of memory: the buckets, and the slots ever used.
    pub(super) fn memory(&self) -> u64 {
        if self.never_used == 0 {
            return 0;
        }
        let counters = self.table.counters.len() * size_of::<Counters>();
        self.table.index.memory()
            + u64::from(self.never_used) * (size_of::<Entry<F>>() + counters) as u64
            + (self.free.capacity() * size_of::<u32>()) as u64
    }

    /// Whether a program with the key could be entered, slots aside. Makes room in the index.
    pub(super) fn check(&self, key: &Key<F>) -> Result<(), NoEntry> {
        let place = self.table.index.place(key.hash(&self.table.seed));
        let same = |slot| self.entry(slot).is_some_and(|e| e.key == *key);
        if let Some(session) =
            self.table.index.find(place, same).and_then(|s| Some(self.entry(s)?.session))
        {
            return Err(NoEntry::Taken(session));
        }
        let place_of = |slot| Some(self.place_of(self.entry(slot)?));
        if self.table.index.make_room(place, place_of) { Ok(()) } else { Err(NoEntry::Buckets) }
    }

    /// Enters a program that passed [`Writer::check`]; gives its slot and generation.
    pub(super) fn insert(
        &mut self,
        program: &FlowProgram,
        key: Key<F>,
    ) -> Result<(u32, u32), NoEntry> {
        self.insert_with(key, |generation| {
            Entry::new(program, key, generation).ok_or(NoEntry::Mixed)
        })
    }

    /// Enters an incoming SA whose key passed [`Writer::check`]; gives its slot and generation.
    pub(super) fn insert_sa(&mut self, key: Key<F>, sa: SaRef) -> Result<(u32, u32), NoEntry> {
        self.insert_with(key, |generation| Ok(Entry::of_sa(key, sa, generation)))
    }

    fn insert_with(
        &mut self,
        key: Key<F>,
        entry: impl FnOnce(u32) -> Result<Entry<F>, NoEntry>,
    ) -> Result<(u32, u32), NoEntry> {
        let (slot, fresh) = match self.free.last() {
            Some(slot) => (*slot, false),
            None => (self.never_used, true),
        };
        let target = self.table.entries.ptr(slot).ok_or(NoEntry::Slots)?;
        let before = if fresh { 0 } else { self.entry(slot).map_or(0, |e| e.generation) };
        let generation = before.wrapping_add(1);
        let entry = entry(generation)?;
        // SAFETY: the slot is free: it was never in the index, or every worker has quiesced since
        // it left (`Writer::release`); so no reference to it exists.
        unsafe { target.write(entry) };
        let place = self.table.index.place(key.hash(&self.table.seed));
        if !self.table.index.insert(place, slot) {
            // it was never findable; make the slot look free
            if let Some(entry) = self.entry_of(slot, fresh) {
                entry.set_free();
            }
            return Err(NoEntry::Buckets);
        }
        if fresh {
            self.never_used += 1;
        } else {
            self.free.pop();
        }
        self.live += 1;
        Ok((slot, generation))
    }

    /// Makes a flow unfindable. Its slot must be given back with [`Writer::release`] once no worker
    /// can hold it. False if it is not installed.
    pub(super) fn unlink(&mut self, slot: u32) -> bool {
        let Some(entry) = self.entry(slot).filter(|e| e.is_installed()) else {
            return false;
        };
        let place = self.place_of(entry);
        entry.set_retiring();
        let found = self.table.index.remove(place, slot);
        debug_assert!(found, "an installed flow stands in the index");
        self.live -= 1;
        self.retiring += 1;
        true
    }

    /// Takes the final counters of an unlinked flow and frees its slot. Only after every worker
    /// has quiesced since [`Writer::unlink`].
    pub(super) fn release(&mut self, slot: u32) -> FlowStats {
        let stats = self.stats(slot);
        for counters in self.table.counters.iter().filter_map(|c| c.get(slot)) {
            counters.reset();
        }
        if let Some(entry) = self.entry(slot) {
            entry.set_free();
        }
        self.free.push(slot);
        self.retiring -= 1;
        stats
    }

    /// Counters of a slot, summed over workers.
    pub(super) fn stats(&self, slot: u32) -> FlowStats {
        let mut stats = FlowStats::default();
        for counters in self.table.counters.iter().filter_map(|c| c.get(slot)) {
            counters.sum_into(&mut stats);
        }
        stats
    }

    /// The entry of a slot that has been used.
    pub(super) fn entry(&self, slot: u32) -> Option<&Entry<F>> {
        self.entry_of(slot, slot >= self.never_used)
    }

    fn place_of(&self, entry: &Entry<F>) -> Place {
        self.table.index.place(entry.key.hash(&self.table.seed))
    }

    fn entry_of(&self, slot: u32, fresh: bool) -> Option<&Entry<F>> {
        if fresh {
            return None;
        }
        // SAFETY: only this writer writes entries, it has written this one, and it writes only in
        // `insert`, which takes `&mut self`.
        unsafe { self.table.entry(slot) }
    }
}
