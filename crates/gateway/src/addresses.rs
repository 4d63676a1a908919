//! Addresses given to peers out of the configured pools: who has which, and who had which.
//!
//! An owner (an identity, a user) gets the address it had before, as long as nobody else needed it:
//! fresh addresses go first, in the order of the file, then the one that was given back longest ago.
//! Memory goes with the addresses that were given, never with the size of a pool.
//!
//! Limits: 65,536 addresses given or remembered over all pools; owners with names longer than 256 bytes
//! are not remembered. What is remembered does not outlive the process.

use core::{cmp::Ordering, net::IpAddr};
use std::collections::{BTreeMap, BTreeSet};

use config::{
    Config,
    model::{AddressPool, IpRange},
};
use wire::Time;

/// Addresses given or remembered.
const MOST: usize = 65_536;

/// Bytes of the name of an owner that is remembered.
const LONGEST_OWNER: usize = 256;

/// An address that somebody has. Give it back with [`AddressBook::release`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The address.
    pub address: IpAddr,
    /// Tells this lease from others of the address before and after.
    serial: u64,
}

/// An IP version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// What becomes of an address that the owner still has when it asks again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// It has said that it begins anew: the same address, and the lease before ends here.
    TakeOver,
    /// There may be several who go by that name: another address.
    Keep,
}

/// No address is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAddress {
    /// The pool has no addresses of that version.
    #[error("the pool has no addresses of this IP version")]
    Version,
    /// All addresses of the pool are held.
    #[error("no address is left in the pool")]
    Exhausted,
    /// Over all pools, 65,536 addresses are held.
    #[error("65,536 addresses are held, and no more can be")]
    Full,
}

/// An address that is given or remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The address.
    pub address: IpAddr,
    /// Whose it is or was; empty where the name was too long to be remembered.
    pub owner: &'a str,
    /// Whether it is held now.
    pub held: bool,
    /// Since when that is so.
    pub since: Time,
}

/// Who has and had which address.
#[derive(Debug, Default)]
pub struct AddressBook {
    records: BTreeMap<IpAddr, Record>,
    by_owner: BTreeSet<(Box<str>, IpAddr)>,
    /// Addresses that were given back, the one longest ago first.
    idle: BTreeMap<u64, IpAddr>,
    /// The first address of a range that may have no record; absent at its first address.
    fresh: BTreeMap<IpRange, Option<IpAddr>>,
    last_serial: u64,
}

#[derive(Debug)]
struct Record {
    owner: Box<str>,
    held: bool,
    since: Time,
    /// Of the lease, or of its end: a key of [`AddressBook::idle`].
    serial: u64,
}

impl AddressBook {
    /// Gives an address of `pool` to `owner`.
    ///
    /// # Errors
    /// See [`NoAddress`].
    pub fn lease(
        &mut self,
        pool: &AddressPool,
        version: Version,
        owner: &str,
        held: Held,
        now: Time,
    ) -> Result<Lease, NoAddress> {
        let owner = if owner.len() > LONGEST_OWNER { "" } else { owner };
        let fits = |ip: IpAddr| ip.is_ipv4() == (version == Version::V4) && pool.holds(ip);
        if let Some(address) = self.of_owner(owner, held, fits) {
            return Ok(self.give(address, owner, now));
        }
        let ranges = pool.ranges.iter().filter(|range| fits(range.first));
        if ranges.clone().next().is_none() {
            return Err(NoAddress::Version);
        }
        for range in ranges {
            let Some(address) = self.first_fresh(range) else { continue };
            if self.records.len() >= MOST {
                let longest_ago = self.idle.first_key_value().map(|(_, address)| *address);
                self.forget(longest_ago.ok_or(NoAddress::Full)?);
            }
            return Ok(self.give(address, owner, now));
        }
        let idle = self.idle.values().copied().find(|address| fits(*address));
        Ok(self.give(idle.ok_or(NoAddress::Exhausted)?, owner, now))
    }

    /// The owner has no use for its address any more, and is remembered. A lease that another took over
    /// is nothing any more.
    pub fn release(&mut self, lease: Lease, now: Time) {
        let serial = self.last_serial + 1;
        let Some(record) = self.records.get_mut(&lease.address) else { return };
        if record.held && record.serial == lease.serial {
            (record.held, record.since, record.serial) = (false, now, serial);
            self.last_serial = serial;
            self.idle.insert(serial, lease.address);
        }
    }

    /// The pools are configured anew. Addresses that no pool has any more are forgotten once they are
    /// given back; it is for their holders to do so.
    pub fn reload(&mut self, config: &Config) {
        self.fresh.clear();
        let gone: Vec<IpAddr> = self
            .idle
            .values()
            .copied()
            .filter(|address| !config.address_pools.iter().any(|pool| pool.holds(*address)))
            .collect();
        gone.into_iter().for_each(|address| self.forget(address));
    }

    /// All that is given and remembered, by address.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        self.records.iter().map(|(address, record)| Entry {
            address: *address,
            owner: &record.owner,
            held: record.held,
            since: record.since,
        })
    }

    /// What an owner had before, or still has.
    fn of_owner(&self, owner: &str, held: Held, fits: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
        if owner.is_empty() {
            return None;
        }
        let lowest = IpAddr::from([0, 0, 0, 0]);
        let mut own = self
            .by_owner
            .range((owner.into(), lowest)..)
            .take_while(|(of, _)| **of == *owner)
            .map(|(_, address)| *address)
            .filter(|address| fits(*address));
        let is_held = |ip: &IpAddr| self.records.get(ip).is_some_and(|record| record.held);
        match held {
            Held::TakeOver => own.next(),
            Held::Keep => own.find(|address| !is_held(address)),
        }
    }

    /// The first address of a range that has no record.
    fn first_fresh(&mut self, range: &IpRange) -> Option<IpAddr> {
        let next = self.fresh.entry(*range).or_insert(Some(range.first));
        while let Some(address) = *next {
            if !self.records.contains_key(&address) {
                return Some(address);
            }
            *next = match address.cmp(&range.last) {
                Ordering::Less => after(address),
                Ordering::Equal | Ordering::Greater => None,
            };
        }
        None
    }

    fn give(&mut self, address: IpAddr, owner: &str, now: Time) -> Lease {
        self.last_serial += 1;
        let serial = self.last_serial;
        let record = Record { owner: owner.into(), held: true, since: now, serial };
        self.by_owner.insert((owner.into(), address));
        if let Some(before) = self.records.insert(address, record) {
            self.idle.remove(&before.serial);
            if *before.owner != *owner {
                self.by_owner.remove(&(before.owner, address));
            }
        }
        Lease { address, serial }
    }

    /// An address that nobody holds is as if it had never been given.
    fn forget(&mut self, address: IpAddr) {
        let Some(record) = self.records.remove(&address) else { return };
        self.idle.remove(&record.serial);
        self.by_owner.remove(&(record.owner, address));
        for (range, next) in &mut self.fresh {
            if (range.first..=range.last).contains(&address) {
                *next = Some(next.map_or(address, |next| next.min(address)));
            }
        }
    }
}

fn after(address: IpAddr) -> Option<IpAddr> {
    Some(match address {
        IpAddr::V4(ip) => IpAddr::V4(u32::from(ip).checked_add(1)?.into()),
        IpAddr::V6(ip) => IpAddr::V6(u128::from(ip).checked_add(1)?.into()),
    })
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    fn range(text: &str) -> IpRange {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        IpRange { first: first.parse().unwrap(), last: last.parse().unwrap() }
    }

    fn pool(ranges: &[&str]) -> AddressPool {
        AddressPool {
            name: "staff".into(),
            line: Default::default(),
            ranges: ranges.iter().map(|text| range(text)).collect(),
            dns: Vec::new(),
        }
    }

    fn at(seconds: u64) -> Time {
        Time::ZERO + Duration::from_secs(seconds)
    }

    /// The address given to `owner`, as text.
    fn lease(book: &mut AddressBook, pool: &AddressPool, owner: &str) -> (Lease, String) {
        let lease = book.lease(pool, Version::V4, owner, Held::Keep, at(0)).unwrap();
        (lease, lease.address.to_string())
    }

    #[test]
    fn an_owner_comes_back_to_its_address_until_somebody_needs_it() {
        let pool = pool(&["10.9.0.1-10.9.0.2", "10.9.7.7"]);
        let mut book = AddressBook::default();
        let (alice, of_alice) = lease(&mut book, &pool, "alice");
        let (bob, of_bob) = lease(&mut book, &pool, "bob");
        assert_eq!((&*of_alice, &*of_bob), ("10.9.0.1", "10.9.0.2"));
        book.release(alice, at(1));
        book.release(bob, at(2));
        assert_eq!(lease(&mut book, &pool, "carol").1, "10.9.7.7", "a fresh one goes first");
        let (bob, again) = lease(&mut book, &pool, "bob");
        assert_eq!(again, of_bob);
        assert_eq!(lease(&mut book, &pool, "dave").1, of_alice, "longest ago");
        let refused = book.lease(&pool, Version::V4, "alice", Held::Keep, at(3));
        assert_eq!(refused, Err(NoAddress::Exhausted));
        book.release(bob, at(4));
        assert_eq!(lease(&mut book, &pool, "alice").1, of_bob);
        let held: Vec<_> = book.entries().filter(|entry| entry.held).map(|e| e.owner).collect();
        assert_eq!(held, ["dave", "alice", "carol"]);
    }

    #[test]
    fn a_lease_that_was_taken_over_gives_nothing_back() {
        let pool = pool(&["10.9.0.1-10.9.0.9"]);
        let mut book = AddressBook::default();
        let (first, address) = lease(&mut book, &pool, "alice");
        let (other, elsewhere) = lease(&mut book, &pool, "alice");
        assert_ne!(address, elsewhere, "two of one name have an address each");
        book.release(other, at(1));
        let second = book.lease(&pool, Version::V4, "alice", Held::TakeOver, at(2)).unwrap();
        assert_eq!(second.address, first.address);
        book.release(first, at(3));
        assert!(book.entries().any(|entry| entry.address == second.address && entry.held));
        book.release(second, at(4));
        book.release(second, at(5));
        let given_back: Vec<_> = book.entries().map(|entry| (entry.held, entry.since)).collect();
        assert_eq!(given_back, [(false, at(4)), (false, at(1))]);
    }

    #[test]
    fn versions_do_not_mix_and_huge_pools_cost_nothing() {
        let both = pool(&["10.9.0.1", "2001:db8:9::1-2001:db8:9::ffff:ffff:ffff:ffff"]);
        let mut book = AddressBook::default();
        let v6 = book.lease(&both, Version::V6, "alice", Held::Keep, at(0)).unwrap();
        assert_eq!(v6.address.to_string(), "2001:db8:9::1");
        assert_eq!(lease(&mut book, &both, "alice").1, "10.9.0.1");
        assert_eq!(book.entries().count(), 2);
        let only_v6 = pool(&["2001:db8:9::1-2001:db8:9::2"]);
        let refused = book.lease(&only_v6, Version::V4, "bob", Held::Keep, at(0));
        assert_eq!(refused, Err(NoAddress::Version));
    }

    #[test]
    fn the_book_is_bounded_and_forgets_who_was_away_longest() {
        let pool = pool(&["10.0.0.0-10.255.255.255"]);
        let mut book = AddressBook::default();
        let leases: Vec<_> =
            (0..MOST).map(|n| lease(&mut book, &pool, &format!("peer {n}")).0).collect();
        let refused = book.lease(&pool, Version::V4, "late", Held::Keep, at(1));
        assert_eq!(refused, Err(NoAddress::Full));
        book.release(leases[700], at(2));
        book.release(leases[3], at(3));
        let (_, fresh) = lease(&mut book, &pool, "late");
        assert_eq!(fresh, "10.1.0.0");
        assert_eq!(book.entries().count(), MOST);
        assert_eq!(lease(&mut book, &pool, "peer 3").1, "10.0.0.3", "it is remembered");
        assert_eq!(
            book.lease(&pool, Version::V4, "peer 700", Held::Keep, at(4)),
            Err(NoAddress::Full)
        );
        book.release(leases[900], at(5));
        assert_eq!(lease(&mut book, &pool, "peer 700").1, "10.0.2.188", "the hole at 700 is found");
    }

    #[test]
    fn names_too_long_are_not_remembered_and_pools_that_go_are_forgotten() {
        let wide = pool(&["10.9.0.1-10.9.0.9"]);
        let mut book = AddressBook::default();
        let long = "x".repeat(LONGEST_OWNER + 1);
        let (lease_of_long, _) = lease(&mut book, &wide, &long);
        let (alice, _) = lease(&mut book, &wide, "alice");
        book.release(lease_of_long, at(1));
        assert_eq!(lease(&mut book, &wide, &long).1, "10.9.0.3");
        book.release(alice, at(2));
        let mut config = crate::test_config::config();
        config.address_pools = vec![pool(&["10.9.0.3"])];
        book.reload(&config);
        let left: Vec<_> = book.entries().map(|entry| entry.address.to_string()).collect();
        assert_eq!(left, ["10.9.0.3"], "held, so it stays");
    }
}
