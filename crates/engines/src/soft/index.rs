//! The hash index: from a key's hash to the slots that may hold it.
//!
//! Buckets of one cache line hold eight 16-bit tags and eight slot numbers; a flow stands in the
//! emptier of two buckets. One writer, any number of readers, all fields atomic: a reader may see a
//! tag with the slot number of a former or later tenant, so it compares the key in the slot, and
//! what it finds there is valid because slots are reused only after a quiescent point.

use std::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

use super::slab::{Shared, Slab, Zeroed};

/// Slots in a bucket.
const WAYS: usize = 8;

/// Buckets are made for this many tenths of their slots to be taken, at full capacity. Two choices
/// of eight overflow for a vanishing part of the keys there.
const LOAD_TENTHS: usize = 8;

#[repr(C, align(64))]
struct Bucket {
    /// Four tags in each; zero is no tag.
    tags: [AtomicU64; 2],
    /// Slot number plus one; zero is none.
    slots: [AtomicU32; WAYS],
    _pad: [u32; 4],
}

const _: () = assert!(size_of::<Bucket>() == 64);

// SAFETY: atomics and integers of zero bytes are zero.
unsafe impl Zeroed for Bucket {}
impl Shared for Bucket {}

/// Where a hash leads: two buckets and a tag.
#[derive(Clone, Copy, Default)]
pub(super) struct Place {
    first: u32,
    second: u32,
    tag: u16,
}

/// The index of one flow table.
pub(super) struct Index {
    buckets: Slab<Bucket>,
}

impl Index {
    /// An index for `capacity` flows.
    pub(super) fn new(capacity: u32) -> Self {
        let buckets = (capacity as usize * 10).div_ceil(WAYS * LOAD_TENTHS).max(2);
        Self { buckets: Slab::new(buckets) }
    }

    /// Bytes the buckets take once all are touched.
    pub(super) const fn memory(&self) -> u64 {
        (self.buckets.len() * size_of::<Bucket>()) as u64
    }

    /// Where a hash leads.
    #[inline(always)]
    pub(super) fn place(&self, hash: u64) -> Place {
        let buckets = self.buckets.len() as u64;
        let (low, high) = (hash & 0xffff_ffff, hash >> 32);
        // the bucket comes from the high bits of each half, the tag from the low ones
        let tag = (low & 0xff) << 8 | high & 0xff;
        Place {
            first: (low * buckets >> 32) as u32,
            second: (high * buckets >> 32) as u32,
            tag: tag.max(1) as u16,
        }
    }

    /// Asks the CPU for both buckets.
    #[inline(always)]
    pub(super) fn prefetch(&self, place: Place) {
        self.buckets.prefetch(place.first);
        self.buckets.prefetch(place.second);
    }

    /// The first slot whose tag matches, to prefetch.
    #[inline(always)]
    pub(super) fn guess(&self, place: Place) -> Option<u32> {
        self.find(place, |_| true)
    }

    /// The first slot whose tag matches and that `is_it`.
    #[inline(always)]
    pub(super) fn find(&self, place: Place, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        for number in [place.first, place.second] {
            let bucket = self.buckets.get(number)?;
            for (half, slots) in bucket.tags.iter().zip(bucket.slots.as_chunks::<4>().0) {
                let mut hits = matching(half.load(Relaxed), place.tag);
                while hits != 0 {
                    let way = hits.trailing_zeros() as usize / 16;
                    // pairs with the release in `insert`: what the slot holds is visible
                    let slot = slots[way & 3].load(Acquire);
                    if slot != 0 && is_it(slot - 1) {
                        return Some(slot - 1);
                    }
                    hits &= hits - 1;
                }
            }
        }
        None
    }

    /// How many slots of the emptier bucket are free.
    pub(super) fn room(&self, place: Place) -> usize {
        self.emptier(place).map_or(0, |bucket| bucket.free())
    }

    /// Makes a slot findable. Only the writer calls it, with the slot completely written. False if
    /// both buckets are full.
    pub(super) fn insert(&self, place: Place, slot: u32) -> bool {
        let Some(bucket) = self.emptier(place) else { return false };
        let Some(way) = bucket.slots.iter().position(|s| s.load(Relaxed) == 0) else {
            return false;
        };
        bucket.slots[way].store(slot + 1, Release);
        bucket.set_tag(way, place.tag);
        true
    }

    /// Makes a slot unfindable. Only the writer calls it. False if it could not be found anyway.
    pub(super) fn remove(&self, place: Place, slot: u32) -> bool {
        for number in [place.first, place.second] {
            let Some(bucket) = self.buckets.get(number) else { continue };
            if let Some(way) = bucket.slots.iter().position(|s| s.load(Relaxed) == slot + 1) {
                bucket.set_tag(way, 0);
                bucket.slots[way].store(0, Release);
                return true;
            }
        }
        false
    }

    fn emptier(&self, place: Place) -> Option<&Bucket> {
        let (first, second) = (self.buckets.get(place.first)?, self.buckets.get(place.second)?);
        Some(if second.free() > first.free() { second } else { first })
    }
}

impl Bucket {
    fn free(&self) -> usize {
        self.slots.iter().filter(|slot| slot.load(Relaxed) == 0).count()
    }

    fn set_tag(&self, way: usize, tag: u16) {
        let (half, shift) = (&self.tags[way / 4 & 1], way % 4 * 16);
        let others = half.load(Relaxed) & !(0xffff << shift);
        half.store(others | u64::from(tag) << shift, Release);
    }
}

/// The highest bit of every 16-bit lane that equals the tag. A lane above a match may be marked
/// wrongly; the key tells.
#[inline(always)]
const fn matching(tags: u64, tag: u16) -> u64 {
    const ONES: u64 = 0x0001_0001_0001_0001;
    const TOPS: u64 = 0x8000_8000_8000_8000;
    let difference = tags ^ ONES.wrapping_mul(tag as u64);
    difference.wrapping_sub(ONES) & !difference & TOPS
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tags_match_in_every_lane() {
        for way in 0..4 {
            let tags = 0x1111_2222_3333_4444u64 & !(0xffff << (way * 16)) | 0xabcd << (way * 16);
            assert_eq!(matching(tags, 0xabcd).trailing_zeros() / 16, way);
        }
        assert_eq!(matching(0x1111_2222_3333_4444, 0xabcd), 0);
        assert_eq!(matching(0, 1), 0, "an empty lane matches no tag");
    }

    #[test]
    fn full_capacity_fits() {
        const FLOWS: u32 = 100_000;
        let (index, mut state) = (Index::new(FLOWS), 1u64);
        for slot in 0..FLOWS {
            state = state.wrapping_mul(0xd134_2543_de82_ef95).wrapping_add(1);
            let hash = state ^ state >> 32;
            assert!(index.insert(index.place(hash.wrapping_mul(0x9e37_79b9_7f4a_7c15)), slot));
        }
        assert!(index.memory() / u64::from(FLOWS) <= 10);
    }

    proptest! {
        /// The index equals a map from hash to slots under any sequence of operations.
        #[test]
        fn it_equals_a_map(steps in prop::collection::vec((any::<bool>(), 0u64..40), 0..400)) {
            // few buckets and few hashes, so that tags and buckets collide
            let index = Index::new(13);
            let mut model = HashMap::<u64, u32>::new();
            for (n, (insert, key)) in steps.into_iter().enumerate() {
                let place = index.place(key.wrapping_mul(0x2000_0000_1000_0001));
                let known = model.get(&key).copied();
                let slot = n as u32;
                match (insert, known) {
                    (true, None) => {
                        let room = index.room(place);
                        prop_assert_eq!(index.insert(place, slot), room > 0);
                        if room > 0 {
                            model.insert(key, slot);
                        }
                    }
                    (false, Some(slot)) => {
                        prop_assert!(index.remove(place, slot));
                        prop_assert!(!index.remove(place, slot));
                        model.remove(&key);
                    }
                    (true, Some(_)) | (false, None) => {}
                }
                for key in 0..40u64 {
                    let place = index.place(key.wrapping_mul(0x2000_0000_1000_0001));
                    let want = model.get(&key).copied();
                    let found = index.find(place, |slot| Some(slot) == want);
                    prop_assert_eq!(found, want);
                    if want.is_some() {
                        prop_assert!(index.guess(place).is_some());
                    }
                }
            }
        }
    }
}
