//! The hash index: from a key's hash to the slots that may hold it.
//!
//! Buckets of one cache line hold eight 16-bit tags and eight slot numbers. A flow stands in its first
//! bucket while there is room, so that a reader mostly fetches one line, and else in its second. When
//! both are full, another flow moves from its first to its second; never back, so that a reader, who
//! looks in the first and then in the second, misses none.
//! One writer, any number of readers, all fields atomic: a reader may see a tag with the slot number
//! of a former or later tenant, so it compares the key in the slot, and what it finds there is valid
//! because slots are reused only after a quiescent point.

use std::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

use super::slab::{Shared, Slab, Zeroed};

/// Slots in a bucket.
const WAYS: usize = 8;

/// Buckets are made for this many tenths of their slots to be taken, at full capacity. There about
/// nine in ten flows stand in their first bucket.
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
            first: ((low * buckets) >> 32) as u32,
            second: ((high * buckets) >> 32) as u32,
            tag: tag.max(1) as u16,
        }
    }

    /// Asks the CPU for the first bucket.
    #[inline(always)]
    pub(super) fn prefetch_first(&self, place: Place) {
        self.buckets.prefetch(place.first);
    }

    /// Asks the CPU for the second bucket.
    #[inline(always)]
    pub(super) fn prefetch_second(&self, place: Place) {
        self.buckets.prefetch(place.second);
    }

    /// The first slot of the first bucket whose tag matches.
    #[inline(always)]
    pub(super) fn guess_first(&self, place: Place) -> Option<u32> {
        self.buckets.get(place.first)?.find(place.tag, |_| true)
    }

    /// The first slot of the second bucket whose tag matches.
    #[inline(always)]
    pub(super) fn guess_second(&self, place: Place) -> Option<u32> {
        self.buckets.get(place.second)?.find(place.tag, |_| true)
    }

    /// The first slot whose tag matches and that `is_it`.
    pub(super) fn find(&self, place: Place, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let first = self.buckets.get(place.first)?.find(place.tag, &mut is_it);
        first.or_else(|| self.buckets.get(place.second)?.find(place.tag, is_it))
    }

    /// Sees to it that one of the two buckets has a free slot, if need be by moving a flow.
    /// `place_of` tells where a slot's flow belongs. Only the writer calls it. False if there is none.
    pub(super) fn make_room(&self, place: Place, place_of: impl Fn(u32) -> Option<Place>) -> bool {
        if self.with_room(place).is_some() {
            return true;
        }
        for number in [place.first, place.second] {
            let Some(bucket) = self.buckets.get(number) else {
                continue;
            };
            for (way, slot) in bucket.slots.iter().enumerate() {
                let slot = slot.load(Relaxed);
                let Some(home) = slot.checked_sub(1).and_then(&place_of) else {
                    continue;
                };
                if home.first != number || home.second == number {
                    continue;
                }
                if let Some(second) = self.buckets.get(home.second).filter(|b| b.free() > 0) {
                    second.put(slot - 1, home.tag);
                    bucket.clear(way);
                    return true;
                }
            }
        }
        false
    }

    /// Makes a slot findable. Only the writer calls it, with the slot completely written. False if
    /// both buckets are full.
    pub(super) fn insert(&self, place: Place, slot: u32) -> bool {
        self.with_room(place).is_some_and(|bucket| bucket.put(slot, place.tag))
    }

    /// Makes a slot unfindable. Only the writer calls it. False if it could not be found anyway.
    pub(super) fn remove(&self, place: Place, slot: u32) -> bool {
        for number in [place.first, place.second] {
            let Some(bucket) = self.buckets.get(number) else {
                continue;
            };
            if let Some(way) = bucket.slots.iter().position(|s| s.load(Relaxed) == slot + 1) {
                bucket.clear(way);
                return true;
            }
        }
        false
    }

    fn with_room(&self, place: Place) -> Option<&Bucket> {
        let both = [place.first, place.second].map(|number| self.buckets.get(number));
        both.into_iter().flatten().find(|bucket| bucket.free() > 0)
    }
}

impl Bucket {
    #[inline(always)]
    fn find(&self, tag: u16, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        for (half, slots) in self.tags.iter().zip(self.slots.as_chunks::<4>().0) {
            // acquire: who sees a flow gone from here sees it in its second bucket
            let mut hits = matching(half.load(Acquire), tag);
            while hits != 0 {
                let way = hits.trailing_zeros() as usize / 16;
                // pairs with the release in `put`: what the slot holds is visible
                let slot = slots[way & 3].load(Acquire);
                if slot != 0 && is_it(slot - 1) {
                    return Some(slot - 1);
                }
                hits &= hits - 1;
            }
        }
        None
    }

    fn free(&self) -> usize {
        self.slots.iter().filter(|slot| slot.load(Relaxed) == 0).count()
    }

    fn put(&self, slot: u32, tag: u16) -> bool {
        let Some(way) = self.slots.iter().position(|s| s.load(Relaxed) == 0) else {
            return false;
        };
        // pairs with the acquire in `find`: the slot's contents come first
        self.slots[way].store(slot + 1, Release);
        self.set_tag(way, tag);
        true
    }

    fn clear(&self, way: usize) {
        self.set_tag(way, 0);
        self.slots[way].store(0, Release);
    }

    fn set_tag(&self, way: usize, tag: u16) {
        let (half, shift) = (&self.tags[(way / 4) & 1], way % 4 * 16);
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

    /// A hash with no structure.
    fn mix(n: u64) -> u64 {
        let z = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    #[test]
    fn full_capacity_fits_and_most_stand_first() {
        const FLOWS: u32 = 300_000;
        let index = Index::new(FLOWS);
        let place_of = |slot: u32| Some(index.place(mix(slot.into())));
        let mut moved = 0;
        for slot in 0..FLOWS {
            let place = index.place(mix(slot.into()));
            moved += u32::from(index.with_room(place).is_none());
            assert!(index.make_room(place, place_of) && index.insert(place, slot));
        }
        assert!((1..FLOWS / 20).contains(&moved), "{moved}");
        let mut first = 0;
        for slot in 0..FLOWS {
            let place = index.place(mix(slot.into()));
            assert_eq!(index.find(place, |s| s == slot), Some(slot));
            let bucket = index.buckets.get(place.first).expect("within");
            first += u32::from(bucket.find(place.tag, |s| s == slot).is_some());
        }
        assert!(first > FLOWS / 100 * 80, "{first}");
        assert!(index.memory() / u64::from(FLOWS) <= 10);
    }

    proptest! {
        /// The index equals a map from hash to slots under any sequence of operations.
        #[test]
        fn it_equals_a_map(steps in prop::collection::vec((any::<bool>(), 0u64..40), 0..400)) {
            // few buckets and few hashes, so that tags and buckets collide
            let index = Index::new(13);
            let place_of_key = |key: u64| index.place(mix(key) & 0xc000_0001_c000_0001);
            let mut keys = Vec::new();
            let mut model = HashMap::<u64, u32>::new();
            for (insert, key) in steps {
                let place = place_of_key(key);
                match (insert, model.get(&key).copied()) {
                    (true, None) => {
                        let slot = keys.len() as u32;
                        keys.push(key);
                        let place_of = |slot: u32| Some(place_of_key(keys[slot as usize]));
                        let room = index.make_room(place, place_of);
                        prop_assert_eq!(index.insert(place, slot), room);
                        if room {
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
                    let place = place_of_key(key);
                    let want = model.get(&key).copied();
                    prop_assert_eq!(index.find(place, |slot| Some(slot) == want), want);
                    if want.is_some() {
                        let guess = index.guess_first(place).or(index.guess_second(place));
                        prop_assert!(guess.is_some());
                    }
                }
            }
        }
    }
}
