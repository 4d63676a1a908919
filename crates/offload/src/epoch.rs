//! Epochs: how a compiled program learns that something it was made from has changed.
//!
//! Every input that can change has a slot in an [`EpochTable`]. A change bumps the slot; a program
//! remembers the value its slot had when it was compiled and is stale once they differ. One program
//! watches one slot; which, is the slow path's to say.
//! Next hops have their own, through the adjacency.

use std::sync::atomic::{AtomicU32, Ordering};

/// The value of a slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Epoch(pub u32);

/// A slot and the value it had at compile time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EpochRef {
    /// Which slot.
    pub slot: u16,
    /// Its value at compile time.
    pub value: Epoch,
}

/// The slots. Written by the slow path, read by every worker.
#[derive(Debug)]
pub struct EpochTable {
    slots: Box<[AtomicU32]>,
}

impl EpochTable {
    /// A table of `slots` slots, all at zero.
    pub fn new(slots: u16) -> Self {
        Self { slots: (0..slots.max(1)).map(|_| AtomicU32::new(0)).collect() }
    }

    /// Number of slots.
    pub fn len(&self) -> u16 {
        self.slots.len() as u16
    }

    /// Whether there are no slots; never true.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The present value of a slot; slots are taken modulo the table's length.
    #[inline]
    pub fn now(&self, slot: u16) -> EpochRef {
        let value = Epoch(self.slot(slot).load(Ordering::Acquire));
        EpochRef { slot, value }
    }

    /// Whether the slot still has the value.
    #[inline]
    pub fn is_current(&self, epoch: EpochRef) -> bool {
        self.slot(epoch.slot).load(Ordering::Acquire) == epoch.value.0
    }

    /// Makes everything compiled against the slot stale.
    pub fn bump(&self, slot: u16) {
        self.slot(slot).fetch_add(1, Ordering::AcqRel);
    }

    /// Makes everything stale.
    pub fn bump_all(&self) {
        self.slots.iter().for_each(|slot| {
            slot.fetch_add(1, Ordering::AcqRel);
        });
    }

    fn slot(&self, slot: u16) -> &AtomicU32 {
        let slot = usize::from(slot);
        match self.slots.get(slot) {
            Some(slot) => slot,
            None => &self.slots[slot % self.slots.len()],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bump_makes_older_references_stale_and_only_those() {
        let table = EpochTable::new(4);
        let (a, b) = (table.now(1), table.now(2));
        table.bump(1);
        assert!(!table.is_current(a));
        assert!(table.is_current(b));
        assert!(table.is_current(table.now(1)));
        table.bump_all();
        assert!(!table.is_current(b));
    }
}
