//! Sorted, disjoint intervals of a key space, each with the set of items that cover it.
//!
//! Built once from overlapping ranges by a sweep; looked up by binary search. A key space is any
//! ordered integer (zones, ports, IPv4 and IPv6 addresses). N ranges make at most 2 N + 1 intervals;
//! neighbours with the same value are merged. Many intervals of a 32-bit key space get an index by
//! their upper bits, so that the search begins among few. Not incremental: a change builds a new one.

use core::fmt::Debug;

/// An integer that intervals can be made of.
pub(crate) trait Key: Copy + Ord + Debug {
    /// The smallest key.
    const MIN: Self;
    /// The key after this one, unless it is the largest.
    fn next(self) -> Option<Self>;
    /// Upper bits, to index by.
    fn upper(self, shift: u32) -> usize;
}

macro_rules! keys {
    ($($int:ty),+) => {$(
        impl Key for $int {
            const MIN: Self = 0;
            fn next(self) -> Option<Self> {
                self.checked_add(1)
            }
            #[inline]
            fn upper(self, shift: u32) -> usize {
                (self >> shift) as usize
            }
        }
    )+};
}
keys!(u16, u32, u128);

/// An inclusive range of keys that an item covers. Items are small integers from zero.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span<K> {
    pub(crate) first: K,
    pub(crate) last: K,
    pub(crate) item: u32,
}

/// A value for every key.
#[derive(Clone, Debug)]
pub(crate) struct Intervals<K> {
    /// First key of each interval; the first is always the smallest key there is.
    starts: Vec<K>,
    values: Vec<u32>,
    /// How many intervals begin before each bucket; empty without an index.
    index: Box<[u32]>,
    shift: u32,
}

/// Fewer intervals than this are searched as they are.
const INDEX_FROM: usize = 32;

impl<K: Key> Intervals<K> {
    /// Sweeps over `spans`; `value` gets the bit set of the items that cover an interval (bit i of
    /// word i / 64) and names the value to keep for it. `items` is how many items there are.
    pub(crate) fn build(
        spans: impl IntoIterator<Item = Span<K>>,
        items: usize,
        mut value: impl FnMut(&[u64]) -> u32,
    ) -> Self {
        let mut events: Vec<(K, bool, u32)> = Vec::new();
        for span in spans {
            events.push((span.first, true, span.item));
            if let Some(end) = span.last.next() {
                events.push((end, false, span.item));
            }
        }
        events.sort_unstable();

        let mut cover = vec![0_u32; items];
        let mut set = vec![0_u64; items.div_ceil(64)];
        let mut made =
            Self { starts: Vec::new(), values: Vec::new(), index: Box::default(), shift: 0 };
        if events.first().is_none_or(|&(at, ..)| at > K::MIN) {
            made.push(K::MIN, value(&set));
        }
        let mut rest = events.as_slice();
        while let Some(&(at, ..)) = rest.first() {
            let here = rest.partition_point(|&(k, ..)| k == at);
            let (now, later) = rest.split_at(here);
            for &(_, opens, item) in now {
                let i = item as usize;
                cover[i] = if opens { cover[i] + 1 } else { cover[i] - 1 };
                let bit = 1 << (i % 64);
                if cover[i] == 0 {
                    set[i / 64] &= !bit;
                } else {
                    set[i / 64] |= bit;
                }
            }
            made.push(at, value(&set));
            rest = later;
        }
        made.starts.shrink_to_fit();
        made.values.shrink_to_fit();
        made
    }

    fn push(&mut self, start: K, value: u32) {
        if self.values.last() != Some(&value) {
            self.starts.push(start);
            self.values.push(value);
        }
    }

    /// Makes an index by what is above the lowest `shift` bits, if there are intervals enough.
    /// Keys must stay below 2^(16 + `shift`); the index has 2^16 buckets, 256 KiB.
    pub(crate) fn indexed(mut self, shift: u32) -> Self {
        if self.starts.len() >= INDEX_FROM {
            let mut index = vec![0; (1 << 16) + 1];
            for start in &self.starts {
                // What begins after the last key that can be asked for stands in the last bucket.
                index[start.upper(shift).min(0xffff) + 1] += 1;
            }
            let mut before = 0;
            for bucket in &mut index {
                before += *bucket;
                *bucket = before;
            }
            self.index = index.into();
            self.shift = shift;
        }
        self
    }

    /// The value of `key`.
    #[inline]
    pub(crate) fn get(&self, key: K) -> u32 {
        let after = match self.index.get(key.upper(self.shift)..) {
            Some(&[from, to, ..]) => {
                let bucket = &self.starts[from as usize..to as usize];
                from as usize + bucket.partition_point(|&start| start <= key)
            }
            Some(_) | None => self.starts.partition_point(|&start| start <= key),
        };
        self.values[after.saturating_sub(1)]
    }

    /// Bytes on the heap.
    pub(crate) fn memory(&self) -> usize {
        self.starts.capacity() * size_of::<K>() + (self.values.capacity() + self.index.len()) * 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Items as one number: enough for up to 32 items.
    fn build(spans: &[(u16, u16)]) -> Intervals<u16> {
        let spans = spans.iter().enumerate().map(|(i, &(first, last))| Span {
            first,
            last,
            item: i as u32,
        });
        Intervals::build(spans, 32, |set| set[0] as u32)
    }

    proptest! {
        #[test]
        fn an_index_changes_nothing(
            starts in proptest::collection::vec(any::<u32>(), 32..200),
            keys in proptest::collection::vec(any::<u32>(), 50),
            shift in prop_oneof![Just(8_u32), Just(16)],
        ) {
            let limit = |key: u32| key >> (16 - shift);
            let spans = starts.iter().map(|&start| Span {
                first: limit(start),
                last: limit(start) | 0xff,
                item: start % 32,
            });
            let plain = Intervals::build(spans, 32, |set| set[0] as u32);
            let indexed = plain.clone().indexed(shift);
            for key in keys.into_iter().chain(starts.iter().flat_map(|s| [*s, s ^ 0xff])) {
                prop_assert_eq!(indexed.get(limit(key)), plain.get(limit(key)));
            }
        }

        #[test]
        fn every_key_has_exactly_the_items_that_cover_it(
            spans in proptest::collection::vec((any::<u16>(), any::<u16>()), 0..20),
            keys in proptest::collection::vec(any::<u16>(), 50),
        ) {
            let spans: Vec<_> = spans.into_iter().map(|(a, b)| (a.min(b), a.max(b))).collect();
            let made = build(&spans);
            let edges = spans.iter().flat_map(|&(a, b)| [a, b, a.wrapping_sub(1), b.wrapping_add(1)]);
            for key in keys.into_iter().chain(edges) {
                let naive = spans.iter().enumerate()
                    .filter(|(_, (a, b))| (*a..=*b).contains(&key))
                    .fold(0_u32, |acc, (i, _)| acc | 1 << i);
                prop_assert_eq!(made.get(key), naive, "{}", key);
            }
        }
    }

    #[test]
    fn equal_neighbours_are_one_interval() {
        let made = Intervals::build(
            [(0_u32, 9, 0), (10, 19, 0), (20, u32::MAX, 0)].map(|(first, last, item)| Span {
                first,
                last,
                item,
            }),
            1,
            |set| set[0] as u32,
        );
        assert_eq!(made.starts, [0]);
        assert_eq!(made.get(u32::MAX), 1);
    }
}
