//! Sequence numbers of what is sent: given once each, and never again (RFC 4303 §3.3.3; RFC 6347 §4.1).

use std::sync::atomic::{AtomicU64, Ordering};

/// Near the end of 64 bits numbers are reserved one caller at a time, so that the counter cannot
/// wrap: far more than all writers could ask for at once.
const CAREFUL: u64 = 1 << 16;

/// Gives numbers, beginning at 1.
pub struct Sequence {
    /// The last number given; may run beyond `limit` by what was asked for in vain.
    given: AtomicU64,
    limit: u64,
}

/// Consecutive numbers that belong to the caller alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reserved {
    /// The first of them.
    pub first: u64,
    /// How many there are.
    pub count: u64,
}

impl Sequence {
    /// Numbers after `given`, up to and with `limit`.
    pub fn new(limit: u64, given: u64) -> Self {
        Self { given: AtomicU64::new(given), limit }
    }

    /// Reserves up to `count` numbers; fewer at the end, and none after it.
    #[inline]
    pub fn reserve(&self, count: u64) -> Reserved {
        let seen = self.given.load(Ordering::Relaxed);
        let before = if seen < self.limit.saturating_sub(CAREFUL) {
            self.given.fetch_add(count, Ordering::Relaxed)
        } else {
            self.reserve_carefully(count)
        };
        let left = self.limit.saturating_sub(before);
        Reserved { first: before.wrapping_add(1), count: count.min(left) }
    }

    #[cold]
    fn reserve_carefully(&self, count: u64) -> u64 {
        let take = |given: u64| Some(given.saturating_add(count).min(self.limit));
        let update = self.given.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        update.unwrap_or_else(|given| given)
    }

    /// Takes what is left away and returns the last number given: whoever goes on after it, on
    /// another object with the same key, repeats none, and who still holds this one gets none.
    pub fn end(&self) -> u64 {
        self.given.swap(self.limit, Ordering::Relaxed).min(self.limit)
    }

    /// The last number given.
    pub fn used(&self) -> u64 {
        self.given.load(Ordering::Relaxed).min(self.limit)
    }

    /// The last number there is.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Whether no number is left.
    pub fn is_exhausted(&self) -> bool {
        self.used() == self.limit
    }

    /// Whether so few numbers are left that a replacement should be asked for: a sixteenth.
    pub fn is_nearly_exhausted(&self) -> bool {
        self.limit - self.used() <= self.limit / 16
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    const LAST_32: u64 = u32::MAX as u64;

    #[test]
    fn the_last_number_is_given_and_none_after_it() {
        for limit in [LAST_32, (1 << 48) - 1, u64::MAX] {
            let s = Sequence::new(limit, limit - 3);
            assert_eq!(s.reserve(2), Reserved { first: limit - 2, count: 2 });
            assert!(!s.is_exhausted());
            assert_eq!(s.reserve(5), Reserved { first: limit, count: 1 });
            for _ in 0..100 {
                assert_eq!(s.reserve(64).count, 0);
            }
            assert!(s.is_exhausted());
            assert_eq!(s.used(), limit);
        }
    }

    #[test]
    fn the_first_number_is_one() {
        assert_eq!(Sequence::new(LAST_32, 0).reserve(1), Reserved { first: 1, count: 1 });
    }

    #[test]
    fn what_is_ended_gives_no_more_and_tells_where_to_go_on() {
        let s = Sequence::new(LAST_32, 7);
        assert_eq!(s.reserve(2), Reserved { first: 8, count: 2 });
        assert_eq!(s.end(), 9);
        assert_eq!(s.reserve(1).count, 0);
        assert!(s.is_exhausted());
        assert_eq!(s.end(), LAST_32, "it cannot be taken over twice");
    }

    #[test]
    fn threads_get_every_number_once() {
        // across the change from adding to exchanging
        let start = LAST_32 - CAREFUL - 20_000;
        let s = Sequence::new(LAST_32, start);
        let mut got: Vec<u64> = thread::scope(|scope| {
            let work = |count: u64| {
                let s = &s;
                move || {
                    let mut got = Vec::new();
                    loop {
                        let r = s.reserve(count);
                        got.extend(r.first..r.first + r.count);
                        if r.count < count {
                            return got;
                        }
                    }
                }
            };
            let threads = [1, 7, 64].map(|count| scope.spawn(work(count)));
            threads.into_iter().flat_map(|t| t.join().expect("no panic")).collect()
        });
        got.sort_unstable();
        assert!(got.iter().copied().eq(start + 1..=LAST_32));
    }
}
