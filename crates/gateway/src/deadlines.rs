//! Deadlines of numbered things, at most one each: set, moved, cancelled and taken in order.
//!
//! A binary heap that knows where each number stands. All operations cost O(log n), memory is that
//! of the largest number, and equal times come out in the order they were set.

use wire::Time;

const NOWHERE: u32 = u32::MAX;

/// The deadlines.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deadlines {
    /// Time, order of setting, number.
    heap: Vec<(Time, u64, u32)>,
    /// Where each number stands in the heap.
    place: Vec<u32>,
    settings: u64,
}

impl Deadlines {
    /// The earliest.
    pub(crate) fn first(&self) -> Option<(Time, u32)> {
        self.heap.first().map(|(at, _, number)| (*at, *number))
    }

    /// How many are set.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }

    /// Sets or moves the deadline of `number`.
    pub(crate) fn set(&mut self, number: u32, at: Time) {
        let n = number as usize;
        if self.place.len() <= n {
            self.place.resize(n + 1, NOWHERE);
        }
        if self.place[n] == NOWHERE {
            self.place[n] = self.heap.len() as u32;
            self.heap.push((at, self.settings, number));
        } else {
            self.heap[self.place[n] as usize] = (at, self.settings, number);
        }
        self.settings += 1;
        self.settle(self.place[n] as usize);
    }

    /// Cancels the deadline of `number`, if there is one.
    pub(crate) fn cancel(&mut self, number: u32) {
        let Some(place) = self.place.get_mut(number as usize) else {
            return;
        };
        let hole = core::mem::replace(place, NOWHERE);
        if hole == NOWHERE {
            return;
        }
        let hole = hole as usize;
        self.heap.swap_remove(hole);
        if let Some(&(_, _, moved)) = self.heap.get(hole) {
            self.place[moved as usize] = hole as u32;
            self.settle(hole);
        }
    }

    /// Takes the earliest if it is not after `now`.
    pub(crate) fn pop_due(&mut self, now: Time) -> Option<u32> {
        let (at, number) = self.first()?;
        if at > now {
            return None;
        }
        self.cancel(number);
        Some(number)
    }

    fn settle(&mut self, mut i: usize) {
        while i > 0 && self.heap[i] < self.heap[(i - 1) / 2] {
            self.swap(i, (i - 1) / 2);
            i = (i - 1) / 2;
        }
        loop {
            let (left, right) = (2 * i + 1, 2 * i + 2);
            let mut least = i;
            if left < self.heap.len() && self.heap[left] < self.heap[least] {
                least = left;
            }
            if right < self.heap.len() && self.heap[right] < self.heap[least] {
                least = right;
            }
            if least == i {
                return;
            }
            self.swap(i, least);
            i = least;
        }
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.heap.swap(a, b);
        self.place[self.heap[a].2 as usize] = a as u32;
        self.place[self.heap[b].2 as usize] = b as u32;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn behaves_like_a_sorted_map(
            ops in prop::collection::vec((0u32..24, prop::option::of(0u64..100)), 0..200),
        ) {
            let mut real = Deadlines::default();
            let mut model = BTreeMap::new();
            for (order, (number, at)) in ops.into_iter().enumerate() {
                match at {
                    Some(at) => {
                        real.set(number, Time::from_nanos(at));
                        model.insert(number, (at, order));
                    }
                    None => {
                        real.cancel(number);
                        model.remove(&number);
                    }
                }
                let first = model.iter().map(|(n, (at, order))| (*at, *order, *n)).min();
                prop_assert_eq!(real.first(), first.map(|(at, _, n)| (Time::from_nanos(at), n)));
                prop_assert_eq!(real.len(), model.len());
            }
            let mut expected: Vec<_> = model.iter().map(|(n, place)| (*place, *n)).collect();
            expected.sort_unstable();
            for ((at, _), number) in expected {
                prop_assert_eq!(real.pop_due(Time::from_nanos(at)), Some(number));
            }
            prop_assert_eq!(real.pop_due(Time::MAX), None);
        }
    }
}
