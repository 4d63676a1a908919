//! Guessing is slowed down: who fails too often, by name or from an address, has to wait.
//!
//! An attempt counts when it begins and is taken back when it succeeds, so that attempts at the same
//! time do not get round the limit. Unknown names lock like known ones. Memory is bounded: of many
//! names and addresses, those whose time is up first are forgotten first. Counting by name means that
//! others can lock a user out for a while; that is what a lock-out is.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use aws_lc_rs::digest;
use wire::Time;

/// Names, and addresses, that are remembered at most.
const REMEMBERED: usize = 4096;

/// How many failures are too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockoutSettings {
    /// Failures of a user name within `period` that lock it. At least 1.
    pub per_user: u32,
    /// Failures from an IPv4 address or an IPv6 /64 within `period` that lock it. At least 1.
    pub per_address: u32,
    /// How long failures count.
    pub period: Duration,
    /// How long a lock lasts.
    pub duration: Duration,
}

/// Five failures of a user, twenty of an address, in ten minutes; five minutes of waiting.
impl Default for LockoutSettings {
    fn default() -> Self {
        Self {
            per_user: 5,
            per_address: 20,
            period: Duration::from_secs(600),
            duration: Duration::from_secs(300),
        }
    }
}

/// An attempt that is not made because there were too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Blocked {
    /// Until when.
    pub(crate) until: Time,
}

/// Counts attempts.
#[derive(Default)]
pub(crate) struct Lockout {
    users: Book,
    addresses: Book,
}

#[derive(Default)]
struct Book {
    entries: BTreeMap<u128, Entry>,
    by_end: BTreeSet<(Time, u128)>,
}

#[derive(Clone, Copy)]
struct Entry {
    failures: u32,
    locked: bool,
    /// When it is forgotten: the end of the lock, or of the period that the first failure began.
    end: Time,
}

impl Lockout {
    /// Counts an attempt, or says until when there are none.
    pub(crate) fn begin(
        &mut self,
        now: Time,
        settings: &LockoutSettings,
        user: &str,
        address: IpAddr,
    ) -> Result<(), Blocked> {
        let (user, address) = (user_key(user), address_key(address));
        for (book, key) in [(&mut self.users, user), (&mut self.addresses, address)] {
            if let Some(until) = book.locked(now, key) {
                return Err(Blocked { until });
            }
        }
        self.users.count(now, user, settings.per_user, settings);
        self.addresses.count(now, address, settings.per_address, settings);
        Ok(())
    }

    /// An attempt that was counted succeeded.
    pub(crate) fn succeeded(&mut self, user: &str, address: IpAddr) {
        self.users.remove(user_key(user));
        // an account of one's own does not pay for guesses at others
        self.addresses.take_back(address_key(address));
    }

    /// An attempt that was counted was none, because nobody could be asked.
    pub(crate) fn void(&mut self, user: &str, address: IpAddr) {
        self.users.take_back(user_key(user));
        self.addresses.take_back(address_key(address));
    }

    /// Whether the last attempt that was counted locked the user.
    pub(crate) fn is_locked(&mut self, now: Time, user: &str) -> bool {
        self.users.locked(now, user_key(user)).is_some()
    }
}

impl Book {
    fn locked(&mut self, now: Time, key: u128) -> Option<Time> {
        while let Some((end, old)) = self.by_end.first().copied()
            && end <= now
        {
            self.remove(old);
        }
        self.entries.get(&key).filter(|entry| entry.locked).map(|entry| entry.end)
    }

    fn count(&mut self, now: Time, key: u128, limit: u32, settings: &LockoutSettings) {
        let old = self.remove(key);
        if self.entries.len() >= REMEMBERED
            && let Some((_, first)) = self.by_end.first().copied()
        {
            self.remove(first);
        }
        let old = old.unwrap_or(Entry { failures: 0, locked: false, end: now + settings.period });
        let failures = old.failures.saturating_add(1);
        let locked = failures >= limit;
        let end = if locked { now + settings.duration } else { old.end };
        self.insert(key, Entry { failures, locked, end });
    }

    fn take_back(&mut self, key: u128) {
        if let Some(mut entry) = self.remove(key)
            && entry.failures > 1
        {
            entry.failures -= 1;
            entry.locked = false;
            self.insert(key, entry);
        }
    }

    fn insert(&mut self, key: u128, entry: Entry) {
        self.by_end.insert((entry.end, key));
        self.entries.insert(key, entry);
    }

    fn remove(&mut self, key: u128) -> Option<Entry> {
        let entry = self.entries.remove(&key)?;
        self.by_end.remove(&(entry.end, key));
        Some(entry)
    }
}

/// Names may be long, so their digests are kept.
fn user_key(user: &str) -> u128 {
    let digest = digest::digest(&digest::SHA256, user.as_bytes());
    u128::from_be_bytes(*digest.as_ref().first_chunk().expect("invariant: SHA-256 has 32 bytes"))
}

/// An IPv4 address, or the /64 of an IPv6 one: whoever has one address of it has all.
fn address_key(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits() >> 64 << 64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn settings() -> LockoutSettings {
        LockoutSettings { per_user: 3, per_address: 5, ..LockoutSettings::default() }
    }

    fn at(secs: u64) -> Time {
        Time::from_secs(secs)
    }

    #[test]
    fn a_user_is_locked_after_failures_and_let_in_after_a_while() {
        let mut lockout = Lockout::default();
        for second in 0..3 {
            assert!(!lockout.is_locked(at(second), "alice"));
            lockout.begin(at(second), &settings(), "alice", A).unwrap();
        }
        let blocked = lockout.begin(at(3), &settings(), "alice", A).unwrap_err();
        assert_eq!(blocked.until, at(2 + 300));
        assert!(lockout.is_locked(at(3), "alice"));
        lockout.begin(at(3), &settings(), "bob", A).unwrap();
        lockout.begin(at(302), &settings(), "alice", A).unwrap();
    }

    #[test]
    fn an_address_is_locked_whatever_the_names() {
        let mut lockout = Lockout::default();
        for i in 0..5 {
            lockout.begin(at(0), &settings(), &format!("user{i}"), A).unwrap();
        }
        lockout.begin(at(1), &settings(), "another", A).unwrap_err();
        lockout.begin(at(1), &settings(), "another", "192.0.2.2".parse().unwrap()).unwrap();
        let six = |last: u16| format!("2001:db8::{last:x}").parse().unwrap();
        for i in 0..5 {
            lockout.begin(at(0), &settings(), &format!("six{i}"), six(i)).unwrap();
        }
        lockout.begin(at(0), &settings(), "six", six(77)).unwrap_err();
    }

    #[test]
    fn success_clears_the_user_and_gives_the_address_one_back() {
        let mut lockout = Lockout::default();
        for i in 0..20 {
            lockout.begin(at(i), &settings(), "alice", A).unwrap();
            lockout.succeeded("alice", A);
        }
        for i in 0..4 {
            lockout.begin(at(30), &settings(), &format!("guess{i}"), A).unwrap();
        }
        lockout.begin(at(30), &settings(), "alice", A).unwrap();
        lockout.succeeded("alice", A);
        // the guesses still count
        lockout.begin(at(31), &settings(), "guess", A).unwrap();
        lockout.begin(at(31), &settings(), "alice", A).unwrap_err();
    }

    #[test]
    fn failures_are_forgotten_after_their_period() {
        let mut lockout = Lockout::default();
        for i in 0..20 {
            lockout.begin(at(i * 301), &settings(), "alice", A).unwrap();
            lockout.void("nobody", A);
        }
    }

    #[test]
    fn memory_is_bounded_and_locks_outlive_mere_failures() {
        let mut lockout = Lockout::default();
        let long = LockoutSettings { duration: Duration::from_secs(3600), ..settings() };
        for _ in 0..3 {
            lockout.begin(at(0), &long, "alice", A).unwrap();
        }
        for i in 0..10_000_u32 {
            let address = IpAddr::from(i.to_be_bytes());
            lockout.begin(at(1), &long, &i.to_string(), address).unwrap();
        }
        assert_eq!(lockout.users.entries.len(), REMEMBERED);
        assert_eq!(lockout.users.by_end.len(), REMEMBERED);
        assert_eq!(lockout.addresses.entries.len(), REMEMBERED);
        assert!(lockout.is_locked(at(2), "alice"));
    }
}
