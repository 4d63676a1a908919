//! Addresses to be given to peers that ask for one.

use core::net::IpAddr;

use super::{IpRange, Line};

/// Index of an address pool in [`Config::address_pools`](super::Config::address_pools).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressPoolId(pub u16);

/// Addresses to be given to peers (`[[address-pool]]`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressPool {
    /// Name.
    pub name: String,
    /// Where it is configured.
    pub line: Line,
    /// Its addresses in the order of the file, of either version; no address is in two ranges, of this
    /// pool or another.
    pub ranges: Vec<IpRange>,
    /// DNS servers to tell those who are given an address.
    pub dns: Vec<IpAddr>,
}

impl AddressPool {
    /// Whether it has addresses of IPv4, and of IPv6.
    pub fn versions(&self) -> (bool, bool) {
        let has = |v4| self.ranges.iter().any(|range| range.first.is_ipv4() == v4);
        (has(true), has(false))
    }

    /// Whether an address is one of its own.
    pub fn holds(&self, address: IpAddr) -> bool {
        // an IPv4 address is below every IPv6 address, so versions do not mix
        self.ranges.iter().any(|range| (range.first..=range.last).contains(&address))
    }
}
