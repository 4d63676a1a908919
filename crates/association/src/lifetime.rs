//! Lifetimes in packets, bytes and seconds (RFC 4301 §4.4.2.1).

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

use wire::Time;

/// Bounds on the use of an SA; what is `None` has no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lifetime {
    /// Packets.
    pub packets: Option<u64>,
    /// Bytes of the IP packets that were protected, before encapsulation.
    pub bytes: Option<u64>,
    /// Seconds since the SA was made.
    pub seconds: Option<u64>,
}

/// Which bound was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Limit {
    /// Packets.
    Packets,
    /// Bytes.
    Bytes,
    /// Seconds.
    Seconds,
    /// The sequence number: soft when most are used, hard when all are.
    Sequence,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Packets => "packets",
            Self::Bytes => "bytes",
            Self::Seconds => "seconds",
            Self::Sequence => "sequence",
        })
    }
}

/// Where in its life an SA is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// No bound was reached.
    Live,
    /// A replacement should be asked for.
    Soft(Limit),
    /// It carries no more packets.
    Hard(Limit),
}

/// Counts what the lifetimes of an SA bound, over all writers.
///
/// A packet passes while the bound is not reached, so writers that work at the same moment may
/// each carry it a packet, or the rest of a burst, beyond.
pub struct Meter {
    /// When the hard lifetime in seconds ends.
    ends: Time,
    /// Whether packets or bytes are bounded; otherwise nothing is counted here.
    counts: bool,
    /// Read for every packet only when something is bounded.
    account: Box<Account>,
}

struct Account {
    packets: AtomicU64,
    bytes: AtomicU64,
    hard: Lifetime,
    soft: Lifetime,
    created: Time,
}

impl Meter {
    /// Nothing is used yet.
    pub fn new(soft: Lifetime, hard: Lifetime, created: Time) -> Self {
        let bound = [soft.packets, soft.bytes, hard.packets, hard.bytes];
        let ends = hard.seconds.map_or(Time::MAX, |s| created + std::time::Duration::from_secs(s));
        Self {
            ends,
            counts: bound.iter().any(Option::is_some),
            account: Box::new(Account {
                packets: AtomicU64::new(0),
                bytes: AtomicU64::new(0),
                hard,
                soft,
                created,
            }),
        }
    }

    /// Whether the hard lifetime is over.
    #[inline]
    pub fn is_over(&self, now: Time) -> bool {
        now >= self.ends || (self.counts && self.reached(&self.account.hard, now).is_some())
    }

    /// Counts packets that passed.
    #[inline]
    pub fn add(&self, packets: u64, bytes: u64) {
        if self.counts {
            self.account.packets.fetch_add(packets, Ordering::Relaxed);
            self.account.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    /// Asks the CPU for what is counted, if anything is.
    #[inline]
    pub fn prefetch(&self) {
        if self.counts {
            let account = std::ptr::from_ref(&*self.account);
            ports::prefetch_range(account.cast(), size_of::<Account>());
        }
    }

    /// Which bound was reached.
    pub fn expiry(&self, now: Time) -> Expiry {
        let hard = self.reached(&self.account.hard, now).map(Expiry::Hard);
        hard.or_else(|| self.reached(&self.account.soft, now).map(Expiry::Soft))
            .unwrap_or(Expiry::Live)
    }

    /// What is left of the soft and of the hard lifetime.
    pub fn left(&self, now: Time) -> (Lifetime, Lifetime) {
        let (packets, bytes, seconds) = self.used(now);
        let left = |of: &Lifetime| Lifetime {
            packets: of.packets.map(|bound| bound.saturating_sub(packets)),
            bytes: of.bytes.map(|bound| bound.saturating_sub(bytes)),
            seconds: of.seconds.map(|bound| bound.saturating_sub(seconds)),
        };
        (left(&self.account.soft), left(&self.account.hard))
    }

    fn used(&self, now: Time) -> (u64, u64, u64) {
        let load = |total: &AtomicU64| total.load(Ordering::Relaxed);
        let Account { packets, bytes, created, .. } = &*self.account;
        (load(packets), load(bytes), now.since(*created).as_secs())
    }

    fn reached(&self, bounds: &Lifetime, now: Time) -> Option<Limit> {
        let (packets, bytes, seconds) = self.used(now);
        let reached = |bound: Option<u64>, used: u64| bound.is_some_and(|bound| used >= bound);
        if reached(bounds.packets, packets) {
            Some(Limit::Packets)
        } else if reached(bounds.bytes, bytes) {
            Some(Limit::Bytes)
        } else if reached(bounds.seconds, seconds) {
            Some(Limit::Seconds)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bound_ends_the_sa_by_itself() {
        let bound = |packets, bytes, seconds| Lifetime { packets, bytes, seconds };
        let meter = |soft, hard| Meter::new(soft, hard, Time::from_secs(100));
        let now = Time::from_secs(105);

        let m = meter(bound(Some(2), None, None), bound(Some(3), None, None));
        for expiry in [Expiry::Live, Expiry::Live, Expiry::Soft(Limit::Packets)] {
            assert_eq!((m.expiry(now), m.is_over(now)), (expiry, false));
            m.add(1, 10);
        }
        assert_eq!((m.expiry(now), m.is_over(now)), (Expiry::Hard(Limit::Packets), true));

        let m = meter(bound(None, Some(10), None), bound(None, Some(20), None));
        m.add(1, 19);
        assert_eq!((m.expiry(now), m.is_over(now)), (Expiry::Soft(Limit::Bytes), false));
        assert_eq!(m.left(now), (bound(None, Some(0), None), bound(None, Some(1), None)));
        m.add(1, 1);
        assert_eq!((m.expiry(now), m.is_over(now)), (Expiry::Hard(Limit::Bytes), true));

        let m = meter(bound(None, None, Some(5)), bound(None, None, Some(7)));
        assert_eq!(m.expiry(Time::from_secs(104)), Expiry::Live);
        assert_eq!((m.expiry(now), m.is_over(now)), (Expiry::Soft(Limit::Seconds), false));
        let end = Time::from_secs(107);
        assert_eq!((m.expiry(end), m.is_over(end)), (Expiry::Hard(Limit::Seconds), true));
        assert_eq!(m.left(end).1.seconds, Some(0));
    }

    #[test]
    fn without_bounds_nothing_ends() {
        let m = Meter::new(Lifetime::default(), Lifetime::default(), Time::ZERO);
        m.add(u64::MAX, u64::MAX);
        assert_eq!(
            (m.expiry(Time::from_secs(1 << 30)), m.is_over(Time::ZERO)),
            (Expiry::Live, false)
        );
    }
}
