//! The tries of one virtual router: prefix to entry number.

use core::net::IpAddr;

use ipnet::IpNet;
use prefix_trie::PrefixMap;

use super::direct::Direct;

/// IPv4 and IPv6 tries. Keys are canonical: host bits are zero.
#[derive(Debug)]
pub(super) struct Fib {
    v4: PrefixMap<(u32, u8), u32>,
    v6: PrefixMap<(u128, u8), u32>,
    direct: Option<Direct>,
    direct_bits: u8,
    direct_from: usize,
}

/// A virtual router with so many IPv4 prefixes gets a direct table.
const DIRECT_FROM: usize = 65_536;

impl Default for Fib {
    fn default() -> Self {
        Self::with_direct(24, DIRECT_FROM)
    }
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
    /// With a direct table of 2^`bits` slots from `from` IPv4 prefixes on.
    pub(super) fn with_direct(bits: u8, from: usize) -> Self {
        Self {
            v4: PrefixMap::new(),
            v6: PrefixMap::new(),
            direct: None,
            direct_bits: bits,
            direct_from: from,
        }
    }

    /// Length and entry of the longest prefix of `ip` that is no longer than `len`.
    #[inline]
    pub(super) fn longest(&self, ip: IpAddr, len: u8) -> Option<(u8, u32)> {
        if let (IpAddr::V4(ip), Some(direct), 32) = (ip, &self.direct, len)
            && let Ok(found) = direct.get(ip.to_bits())
        {
            return found;
        }
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
            Key::V6(key) => {
                self.v6.insert(key, id);
            }
            Key::V4((address, len)) => {
                self.v4.insert((address, len), id);
                match &mut self.direct {
                    Some(direct) => direct.insert(address, len, id),
                    None if self.v4.len() >= self.direct_from => {
                        self.direct = Some(Direct::new(self.direct_bits, &self.v4));
                    }
                    None => {}
                }
            }
        }
    }

    pub(super) fn remove(&mut self, net: IpNet) {
        match net_key(net) {
            Key::V6(key) => {
                self.v6.remove(&key);
            }
            Key::V4((address, len)) => {
                self.v4.remove(&(address, len));
                if self.v4.len() < self.direct_from / 2 {
                    self.direct = None;
                } else if let Some(direct) = &mut self.direct {
                    direct.remove(address, len, &self.v4);
                }
            }
        }
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
        let direct = self.direct.as_ref().map_or(0, Direct::memory);
        self.v4.mem_size() + self.v6.mem_size() + direct
    }
}
