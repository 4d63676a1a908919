//! The hash index: from a virtual router and a tuple to a slot and a direction.
//!
//! One cache line is a bucket of ten entries: sixteen bits of hash and a reference each, and a count
//! of how many entries that belong here had to move on. A look-up reads one line, and as many more
//! as that count forces it to; removal leaves no tombstones, so there is never anything to rehash:
//! no packet ever pays for a sweep of the table. Whether the tuple behind a reference is the one
//! sought is for the caller to say, who has it.
//!
//! The hash is keyed from the seed, so that nobody outside can aim at a bucket.
//!
//! Limits: made for a fixed number of entries and filled to seventy per cent at most.

use core::net::IpAddr;

use config::model::VrId;
use offload::Direction;
use wire::Tuple;

use crate::rng::Rng;

/// Entries of a bucket.
const WAYS: usize = 10;
/// Entries of a bucket when the index is as full as it gets.
const TARGET: u64 = 7;
/// No entry.
const EMPTY: u16 = 0;

/// A slot and a direction, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reference(u32);

impl Reference {
    /// Most slots that can be told apart.
    pub const MAX_SLOTS: u32 = 1 << 31;

    pub const fn new(slot: u32, direction: Direction) -> Self {
        Self(slot << 1 | direction as u32)
    }

    pub const fn slot(self) -> u32 {
        self.0 >> 1
    }

    pub const fn direction(self) -> Direction {
        if self.0 & 1 == 0 { Direction::Original } else { Direction::Reply }
    }
}

#[derive(Clone)]
#[repr(align(64))]
struct Bucket {
    references: [u32; WAYS],
    /// Entries that belong in this bucket or an earlier one and are in a later one.
    overflow: u32,
    tags: [u16; WAYS],
}

impl Bucket {
    const fn new() -> Self {
        Self { references: [0; WAYS], overflow: 0, tags: [EMPTY; WAYS] }
    }
}

const _: () = assert!(size_of::<Bucket>() == 64);

/// The hash of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hash(u64);

/// The index.
pub(super) struct Index {
    buckets: Box<[Bucket]>,
    keys: [u64; 4],
}

impl Index {
    /// An index with room for `entries` entries.
    pub fn new(entries: u32, seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let buckets = u64::from(entries).div_ceil(TARGET).max(2) as usize;
        Self {
            buckets: vec![Bucket::new(); buckets].into_boxed_slice(),
            keys: core::array::from_fn(|_| rng.next_u64()),
        }
    }

    /// The hash of a key.
    #[inline]
    pub fn hash(&self, vr: VrId, tuple: &Tuple) -> Hash {
        let [k0, k1, k2, k3] = self.keys;
        let rest = u64::from(tuple.src_port) << 48
            | u64::from(tuple.dst_port) << 32
            | u64::from(vr.0) << 16
            | u64::from(tuple.proto);
        let h = match (tuple.src, tuple.dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                let pair = u64::from(u32::from(src)) << 32 | u64::from(u32::from(dst));
                fold(pair ^ k0, rest ^ k1)
            }
            (src, dst) => {
                let ((a, b), (c, d)) = (halves(src), halves(dst));
                fold(fold(a ^ k0, b ^ k1) ^ c ^ k2, fold(d ^ k3, rest ^ k1) ^ k0)
            }
        };
        Hash(fold(h ^ k2, k3))
    }

    /// Finds the entry of a hash whose reference `is_it` recognises.
    #[inline]
    pub fn find(&self, hash: Hash, is_it: impl FnMut(Reference) -> bool) -> Option<Reference> {
        self.locate(hash, is_it).map(|(_, _, reference)| reference)
    }

    /// Enters a reference. False if every bucket is full, which a table that never holds more than
    /// the index was made for does not meet.
    pub fn insert(&mut self, hash: Hash, reference: Reference) -> bool {
        let mut at = self.home(hash);
        for moved in 0..self.buckets.len() {
            let bucket = &mut self.buckets[at];
            if let Some(way) = bucket.tags.iter().position(|tag| *tag == EMPTY) {
                bucket.tags[way] = tag(hash);
                bucket.references[way] = reference.0;
                self.pass_by(hash, moved, 1);
                return true;
            }
            at = self.next(at);
        }
        false
    }

    /// Takes a reference out; says whether it was there.
    pub fn remove(&mut self, hash: Hash, reference: Reference) -> bool {
        let Some((moved, way, _)) = self.locate(hash, |other| other == reference) else {
            return false;
        };
        let at = (self.home(hash) + moved) % self.buckets.len();
        self.buckets[at].tags[way] = EMPTY;
        self.pass_by(hash, moved, -1);
        true
    }

    /// Bytes of memory taken.
    pub fn memory(&self) -> u64 {
        size_of_val(&*self.buckets) as u64
    }

    /// How many buckets beyond its home, which entry there, and its reference.
    #[inline]
    fn locate(
        &self,
        hash: Hash,
        mut is_it: impl FnMut(Reference) -> bool,
    ) -> Option<(usize, usize, Reference)> {
        let wanted = tag(hash);
        let mut at = self.home(hash);
        for moved in 0..self.buckets.len() {
            let bucket = &self.buckets[at];
            for way in 0..WAYS {
                if bucket.tags[way] == wanted {
                    let reference = Reference(bucket.references[way]);
                    if is_it(reference) {
                        return Some((moved, way, reference));
                    }
                }
            }
            if bucket.overflow == 0 {
                return None;
            }
            at = self.next(at);
        }
        None
    }

    /// Counts an entry in or out of the buckets it passed by.
    fn pass_by(&mut self, hash: Hash, moved: usize, by: i32) {
        let mut at = self.home(hash);
        for _ in 0..moved {
            let bucket = &mut self.buckets[at];
            bucket.overflow = bucket.overflow.saturating_add_signed(by);
            at = self.next(at);
        }
    }

    fn home(&self, hash: Hash) -> usize {
        ((u128::from(hash.0) * self.buckets.len() as u128) >> 64) as usize
    }

    fn next(&self, at: usize) -> usize {
        if at + 1 == self.buckets.len() { 0 } else { at + 1 }
    }
}

/// The low bits: the home bucket is chosen by the high ones.
const fn tag(hash: Hash) -> u16 {
    hash.0 as u16 | 1
}

/// Multiplies to 128 bits and folds them into 64.
const fn fold(a: u64, b: u64) -> u64 {
    let product = a as u128 * b as u128;
    product as u64 ^ (product >> 64) as u64
}

fn halves(ip: IpAddr) -> (u64, u64) {
    let bits = match ip {
        IpAddr::V4(ip) => u128::from(u32::from(ip)),
        IpAddr::V6(ip) => u128::from(ip),
    };
    ((bits >> 64) as u64, bits as u64)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn index(entries: u32) -> Index {
        Index::new(entries, 1)
    }

    #[test]
    fn hashes_spread_what_differs_in_one_bit() {
        let index = index(1 << 16);
        let base = Tuple {
            src: [10, 0, 0, 1].into(),
            dst: [10, 0, 0, 2].into(),
            src_port: 1024,
            dst_port: 443,
            proto: 6,
        };
        let mut seen = BTreeSet::new();
        for bit in 0..16 {
            let flip = |n: u16| n ^ 1 << bit;
            for tuple in [
                Tuple { src_port: flip(base.src_port), ..base },
                Tuple { dst_port: flip(base.dst_port), ..base },
            ] {
                for vr in [VrId(0), VrId(flip(0))] {
                    assert!(seen.insert(index.hash(vr, &tuple).0));
                }
            }
        }
        let v6 = |a: u16, b: u16| Tuple {
            src: [0x2001, 0xdb8, 0, a, 0, 0, 0, 1].into(),
            dst: [0x2001, 0xdb8, 0, 1, 0, 0, 0, b].into(),
            ..base
        };
        for n in 0..512 {
            assert!(seen.insert(index.hash(VrId(0), &v6(n, 7)).0));
            assert!(seen.insert(index.hash(VrId(0), &v6(600, n + 8)).0));
        }
        let mapped = Tuple { src: [0, 0, 0, 0, 0, 0xffff, 0x0a00, 1].into(), ..base };
        assert!(seen.insert(index.hash(VrId(0), &mapped).0));
    }

    #[test]
    fn an_index_holds_what_it_was_made_for_even_when_all_hash_alike() {
        let mut index = index(70);
        let hash = Hash(u64::MAX);
        for slot in 0..35 {
            assert!(index.insert(hash, Reference::new(slot, Direction::Original)));
            assert!(index.insert(hash, Reference::new(slot, Direction::Reply)));
        }
        for slot in 0..35 {
            let wanted = Reference::new(slot, Direction::Reply);
            assert_eq!(index.find(hash, |r| r == wanted), Some(wanted));
            assert!(index.remove(hash, wanted));
            assert!(!index.remove(hash, wanted));
        }
        for slot in 0..35 {
            assert!(index.remove(hash, Reference::new(slot, Direction::Original)));
        }
        assert!(index.buckets.iter().all(|b| b.overflow == 0 && b.tags == [EMPTY; WAYS]));
        while index.insert(hash, Reference(9)) {}
        assert!(index.buckets.iter().all(|b| !b.tags.contains(&EMPTY)));
    }

    proptest! {
        #[test]
        fn what_is_in_is_found_and_what_is_out_is_not(
            ops in prop::collection::vec((any::<bool>(), 0u64..4, 0u32..40), 1..400)
        ) {
            let mut index = index(160);
            let mut model = BTreeSet::new();
            for (insert, home, slot) in ops {
                let hash = Hash(home << 62 | 5);
                let reference = Reference::new(slot, Direction::Original);
                if insert {
                    if model.insert((home, slot)) {
                        prop_assert!(index.insert(hash, reference));
                    }
                } else {
                    prop_assert_eq!(index.remove(hash, reference), model.remove(&(home, slot)));
                }
                for home in 0..4 {
                    for slot in 0..40 {
                        let hash = Hash(home << 62 | 5);
                        let found = index.find(hash, |r| r.slot() == slot).is_some();
                        prop_assert_eq!(found, model.contains(&(home, slot)));
                    }
                }
            }
        }
    }
}
