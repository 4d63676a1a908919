//! A set of small integers that finds the next free one quickly: one bit each, and a summary bit
//! for every 64 that are all used. 65 536 slots are 8 KiB and 16 summary words.

/// Which of `len` slots are used.
#[derive(Clone, Debug)]
pub(super) struct Slots {
    words: Box<[u64]>,
    /// Bit w: word w has no free slot.
    full: Box<[u64]>,
    len: u32,
    used: u32,
}

impl Slots {
    /// All free.
    pub(super) fn new(len: u32) -> Self {
        let count = len.div_ceil(64) as usize;
        let mut words = vec![0; count];
        if let (Some(last), rest @ 1..) = (words.last_mut(), len % 64) {
            *last = u64::MAX << rest;
        }
        let mut full = vec![0; count.div_ceil(64)];
        if let (Some(last), rest @ 1..) = (full.last_mut(), count % 64) {
            *last = u64::MAX << rest;
        }
        Self { words: words.into(), full: full.into(), len, used: 0 }
    }

    #[cfg(test)]
    pub(super) fn used(&self) -> u32 {
        self.used
    }

    pub(super) fn is_full(&self) -> bool {
        self.used == self.len
    }

    /// Uses a slot; false if it is used already or does not exist.
    pub(super) fn take(&mut self, slot: u32) -> bool {
        let (w, bit) = (slot as usize / 64, 1 << (slot % 64));
        if slot >= self.len || self.words[w] & bit != 0 {
            return false;
        }
        self.words[w] |= bit;
        if self.words[w] == u64::MAX {
            self.full[w / 64] |= 1 << (w % 64);
        }
        self.used += 1;
        true
    }

    /// Frees a slot; false if it was free.
    pub(super) fn free(&mut self, slot: u32) -> bool {
        let (w, bit) = (slot as usize / 64, 1 << (slot % 64));
        if slot >= self.len || self.words[w] & bit == 0 {
            return false;
        }
        self.words[w] &= !bit;
        self.full[w / 64] &= !(1 << (w % 64));
        self.used -= 1;
        true
    }

    pub(super) fn is_free(&self, slot: u32) -> bool {
        slot < self.len && self.words[slot as usize / 64] >> (slot % 64) & 1 == 0
    }

    /// The first free slot from `start` on, going round at the end.
    pub(super) fn next_free(&self, start: u32) -> Option<u32> {
        if self.is_full() {
            return None;
        }
        let start = if start < self.len { start } else { 0 };
        self.first_from(start).or_else(|| self.first_from(0))
    }

    fn first_from(&self, start: u32) -> Option<u32> {
        let at = start as usize / 64;
        let here = !self.words[at] & u64::MAX << (start % 64);
        if here != 0 {
            return Some(at as u32 * 64 + here.trailing_zeros());
        }
        let next = at + 1;
        let mut mask = u64::MAX << (next % 64);
        for f in next / 64..self.full.len() {
            let open = !self.full[f] & mask;
            mask = u64::MAX;
            if open != 0 {
                let w = f * 64 + open.trailing_zeros() as usize;
                return Some(w as u32 * 64 + self.words[w].trailing_ones());
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_next_free_slot_is_what_a_scan_finds(
            len in prop_oneof![1_u32..200, Just(4096), Just(4097), 5000_u32..9000],
            taken in proptest::collection::vec((any::<u32>(), any::<u16>()), 0..40),
            starts in proptest::collection::vec(any::<u32>(), 20),
        ) {
            let mut slots = Slots::new(len);
            let mut naive = vec![false; len as usize];
            for (first, run) in taken {
                for slot in (first % len..len).take(usize::from(run) % 3000) {
                    prop_assert_eq!(slots.take(slot), !naive[slot as usize]);
                    naive[slot as usize] = true;
                }
            }
            for start in starts {
                let start = start % len;
                let expected = (start..len).chain(0..start).find(|&s| !naive[s as usize]);
                prop_assert_eq!(slots.next_free(start), expected);
                if let Some(slot) = slots.next_free(start) {
                    prop_assert!(slots.is_free(slot));
                }
                let freed = naive[start as usize];
                prop_assert_eq!(slots.free(start), freed);
                naive[start as usize] = false;
            }
            prop_assert_eq!(slots.used() as usize, naive.iter().filter(|used| **used).count());
            prop_assert_eq!(slots.is_full(), naive.iter().all(|used| *used));
        }
    }
}
