//! The tries of one virtual router: prefix to entry number.

use core::net::IpAddr;

use ipnet::IpNet;
use prefix_trie::PrefixMap;

/// IPv4 and IPv6 tries. Keys are canonical: host bits are zero.
#[derive(Debug, Default)]
pub(super) struct Fib {
    v4: PrefixMap<(u32, u8), u32>,
    v6: PrefixMap<(u128, u8), u32>,
}

/// Bits of an address.
pub(super) const fn width(ip: IpAddr) -> u8 {
    match ip {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// A prefix as the tries want it.
enum Key {
    V4((u32, u8)),
    V6((u128, u8)),
}

fn key(ip: IpAddr, len: u8) -> Key {
    match ip {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0);
            Key::V4((ip.to_bits() & mask, len))
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(len)).unwrap_or(0);
            Key::V6((ip.to_bits() & mask, len))
        }
    }
}

fn net_key(net: IpNet) -> Key {
    key(net.addr(), net.prefix_len())
}

impl Fib {
    /// Length and entry of the longest prefix of `ip` that is no longer than `len`.
    #[inline]
    pub(super) fn longest(&self, ip: IpAddr, len: u8) -> Option<(u8, u32)> {
        match key(ip, len) {
            Key::V4(key) => self.v4.get_lpm(&key).map(|((_, len), &id)| (len, id)),
            Key::V6(key) => self.v6.get_lpm(&key).map(|((_, len), &id)| (len, id)),
        }
    }

    pub(super) fn exact(&self, net: IpNet) -> Option<u32> {
        match net_key(net) {
            Key::V4(key) => self.v4.get(&key).copied(),
            Key::V6(key) => self.v6.get(&key).copied(),
        }
    }

    pub(super) fn insert(&mut self, net: IpNet, id: u32) {
        match net_key(net) {
            Key::V4(key) => self.v4.insert(key, id),
            Key::V6(key) => self.v6.insert(key, id),
        };
    }

    pub(super) fn remove(&mut self, net: IpNet) {
        match net_key(net) {
            Key::V4(key) => self.v4.remove(&key),
            Key::V6(key) => self.v6.remove(&key),
        };
    }

    /// Entries in the order of prefixes, IPv4 first, after `after`, until `visit` says no.
    pub(super) fn walk(&self, after: Option<IpNet>, mut visit: impl FnMut(u32) -> bool) {
        let v6 = match after.map(net_key) {
            Some(Key::V6(key)) => self.v6.iter_from(&key, false),
            Some(Key::V4(key)) => {
                if !self.v4.iter_from(&key, false).all(|(_, &id)| visit(id)) {
                    return;
                }
                self.v6.iter()
            }
            None => {
                if !self.v4.iter().all(|(_, &id)| visit(id)) {
                    return;
                }
                self.v6.iter()
            }
        };
        for (_, &id) in v6 {
            if !visit(id) {
                return;
            }
        }
    }

    /// Entries whose prefix covers `ip`, the shortest first.
    pub(super) fn cover(&self, ip: IpAddr, visit: impl FnMut(u32)) {
        match key(ip, width(ip)) {
            Key::V4(key) => self.v4.cover_values(&key).copied().for_each(visit),
            Key::V6(key) => self.v6.cover_values(&key).copied().for_each(visit),
        }
    }

    pub(super) fn len(&self) -> (usize, usize) {
        (self.v4.len(), self.v6.len())
    }

    pub(super) fn memory(&self) -> usize {
        self.v4.mem_size() + self.v6.mem_size()
    }
}
