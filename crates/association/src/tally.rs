//! Counters of an association: one set per writer, on cache lines of its own, summed by who reads.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
};

use reason::DropReason;
use wire::Time;

/// Writers an association has counters for: 0 is the slow path, 1 and up are workers.
pub const WRITERS: usize = 9;

/// Cache lines in pairs, as processors fetch them; what changes with every packet is in the first.
#[repr(C, align(128))]
struct Counters<const N: usize> {
    packets: AtomicU64,
    bytes: AtomicU64,
    /// When the last packet passed, in nanoseconds.
    last: AtomicU64,
    dummies: AtomicU64,
    errors: [AtomicU64; N],
}

/// Counters of every writer, with one for each of `N` reasons: whoever owns them has one table of
/// reasons, and passes it whenever they are named.
pub struct Tallies<const N: usize>([Counters<N>; WRITERS]);

impl<const N: usize> Default for Tallies<N> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Counters {
            packets: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            last: AtomicU64::new(0),
            dummies: AtomicU64::new(0),
            errors: std::array::from_fn(|_| AtomicU64::new(0)),
        }))
    }
}

impl<const N: usize> Tallies<N> {
    /// Counts packets that passed.
    #[inline]
    pub fn passed(&self, writer: usize, packets: u64, bytes: u64, now: Time) {
        let own = self.own(writer);
        add(&own.packets, packets);
        add(&own.bytes, bytes);
        own.last.store(now.as_nanos(), Ordering::Relaxed);
    }

    /// Counts a packet without content.
    pub fn dummy(&self, writer: usize) {
        add(&self.own(writer).dummies, 1);
    }

    /// When the last packet passed, whoever passed it; zero if none has.
    pub fn last(&self) -> Time {
        let last = self.0.iter().map(|own| own.last.load(Ordering::Relaxed)).max();
        Time::from_nanos(last.unwrap_or(0))
    }

    /// Counts a packet that was dropped.
    #[cold]
    pub fn dropped(&self, reasons: &[DropReason; N], writer: usize, reason: DropReason) {
        let row = reasons.iter().position(|r| *r == reason);
        let row = row.expect("invariant: every reason that is given has a counter");
        add(&self.own(writer).errors[row], 1);
    }

    /// Where the counters are that change with every packet of a writer.
    #[inline]
    pub fn line(&self, writer: usize) -> *const u8 {
        std::ptr::from_ref(self.own(writer)).cast()
    }

    #[inline]
    fn own(&self, writer: usize) -> &Counters<N> {
        self.0.get(writer).expect("invariant: callers number writers below WRITERS")
    }

    fn of(&self, reasons: &[DropReason; N], writer: usize) -> Tally {
        let own = self.own(writer);
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let errors = reasons.iter().zip(&own.errors).map(|(reason, n)| (*reason, load(n)));
        Tally {
            packets: load(&own.packets),
            bytes: load(&own.bytes),
            dummies: load(&own.dummies),
            errors: errors.filter(|(_, n)| *n != 0).collect(),
        }
    }

    /// Packets and bytes that some writers passed.
    pub fn passed_by(&self, writers: Range<usize>) -> (u64, u64) {
        let own = self.0.get(writers).unwrap_or_default();
        own.iter().fold((0, 0), |(packets, bytes), own| {
            let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
            (packets + load(&own.packets), bytes + load(&own.bytes))
        })
    }

    /// The counters of every writer.
    pub fn all(&self, reasons: &[DropReason; N]) -> [Tally; WRITERS] {
        std::array::from_fn(|writer| self.of(reasons, writer))
    }
}

/// Only the writer itself changes its counters, so no read-modify-write is needed.
#[inline]
fn add(counter: &AtomicU64, n: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
}

/// Counters at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Packets that passed, dummies not counted.
    pub packets: u64,
    /// Bytes of the IP packets that were protected, before or after encapsulation.
    pub bytes: u64,
    /// Dummy packets (RFC 4303 §2.6).
    pub dummies: u64,
    /// Packets that were dropped, by reason; reasons that did not occur are left out.
    pub errors: Vec<(DropReason, u64)>,
}

impl Tally {
    /// How often packets were dropped for `reason`.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.errors.iter().find(|(r, _)| *r == reason).map_or(0, |(_, n)| *n)
    }

    /// The sum of several; reasons stand in the order of the registry.
    pub fn sum(tallies: &[Self]) -> Self {
        let mut errors = BTreeMap::new();
        for (reason, n) in tallies.iter().flat_map(|t| &t.errors) {
            *errors.entry(*reason).or_default() += n;
        }
        Self {
            packets: tallies.iter().map(|t| t.packets).sum(),
            bytes: tallies.iter().map(|t| t.bytes).sum(),
            dummies: tallies.iter().map(|t| t.dummies).sum(),
            errors: errors.into_iter().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REASONS: [DropReason; 2] = [DropReason::EspReplayed, DropReason::IpLengthMismatch];

    #[test]
    fn writers_count_by_themselves_and_add_up() {
        let tallies = Tallies::<2>::default();
        tallies.passed(0, 1, 100, Time::from_secs(7));
        tallies.passed(8, 2, 50, Time::from_secs(5));
        tallies.dummy(3);
        tallies.dropped(&REASONS, 8, DropReason::EspReplayed);
        tallies.dropped(&REASONS, 1, DropReason::EspReplayed);
        tallies.dropped(&REASONS, 1, DropReason::IpLengthMismatch);
        let all = tallies.all(&REASONS);
        assert_eq!((all[0].packets, all[8].packets, all[1].packets), (1, 2, 0));
        let sum = Tally::sum(&all);
        assert_eq!((sum.packets, sum.bytes, sum.dummies), (3, 150, 1));
        assert_eq!(tallies.last(), Time::from_secs(7), "a dummy is no packet");
        assert_eq!(sum.errors, [(DropReason::IpLengthMismatch, 1), (DropReason::EspReplayed, 2)]);
        assert_eq!(all[8].dropped(DropReason::EspReplayed), 1);
        assert_eq!(tallies.passed_by(1..WRITERS), (2, 50));
        assert_eq!(tallies.passed_by(0..WRITERS), (3, 150));
        assert_eq!(tallies.passed_by(0..WRITERS + 1), (0, 0), "there are no such writers");
    }

    #[test]
    fn a_writer_shares_no_cache_line() {
        assert_eq!(size_of::<Counters<14>>() % 128, 0);
        assert_eq!(align_of::<Counters<14>>(), 128);
    }
}
