//! What a pool is, whatever its kind: addresses, the choice for one session, its return.

use core::net::IpAddr;
use std::collections::BTreeMap;

use config::model::{IpRange, PoolKind};
use reason::DropReason;
use wire::{Tuple, proto};

use super::{blocks::Blocks, overload::Overload, slots::Slots};
use crate::{
    rng::Rng,
    route::{hash_address, mix},
};

/// How often the session table is asked about one session at most.
const PROBES: u8 = 64;

/// A pool uses at most this many of its addresses.
const ADDRESSES_MAX: u32 = 1 << 16;

/// Number spaces of ports.
pub(super) const SPACES: usize = 4;

/// A protocol whose ports (or identifiers) are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Space {
    Tcp,
    Udp,
    Sctp,
    Icmp,
}

impl Space {
    /// `None` for protocols without ports. Only ICMP queries have an identifier at the source.
    pub(super) fn of(tuple: &Tuple) -> Option<Self> {
        match tuple.proto {
            proto::TCP => Some(Self::Tcp),
            proto::UDP => Some(Self::Udp),
            proto::SCTP => Some(Self::Sctp),
            proto::ICMP if !tuple.is_v6() && tuple.dst_port == 0 => Some(Self::Icmp),
            proto::ICMPV6 if tuple.is_v6() && tuple.dst_port == 0 => Some(Self::Icmp),
            _ => None,
        }
    }
}

/// What a session holds of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// A port that is its own.
    Owned,
    /// A port that sessions to other peers have too.
    Shared,
    /// An address for a protocol without ports.
    Portless,
    /// An address of the source's own.
    OneToOne,
    /// A port of a block.
    Block,
}

/// What was chosen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chosen {
    pub(super) index: u16,
    pub(super) port: u16,
    pub(super) kind: Kind,
}

/// Asks the session table about replies, a bounded number of times.
pub(super) struct Probe<F> {
    pub(super) tuple: Tuple,
    taken: F,
    left: u8,
}

impl<F: Fn(&Tuple) -> bool> Probe<F> {
    pub(super) fn new(tuple: Tuple, taken: F) -> Self {
        Self { tuple, taken, left: PROBES }
    }

    /// Whether no session has the reply of this translation; `None` when enough was asked.
    pub(super) fn is_free(&mut self, address: IpAddr, port: u16) -> Option<bool> {
        self.left = self.left.checked_sub(1)?;
        let translated = Tuple { src: address, src_port: port, ..self.tuple };
        Some(!(self.taken)(&translated.reversed()))
    }

    pub(super) fn renew(&mut self) {
        self.left = PROBES;
    }
}

/// The addresses of a pool, by index.
#[derive(Clone, Copy, Debug)]
pub(super) struct Addresses {
    first: IpAddr,
    pub(super) count: u32,
}

impl Addresses {
    pub(super) fn new(range: IpRange) -> Self {
        let count = match (range.first, range.last) {
            (IpAddr::V4(a), IpAddr::V4(b)) => u128::from(b.to_bits().saturating_sub(a.to_bits())),
            (IpAddr::V6(a), IpAddr::V6(b)) => b.to_bits().saturating_sub(a.to_bits()),
            _ => 0,
        };
        Self {
            first: range.first,
            count: count.saturating_add(1).min(u128::from(ADDRESSES_MAX)) as u32,
        }
    }

    pub(super) fn get(&self, index: u32) -> IpAddr {
        match self.first {
            IpAddr::V4(ip) => IpAddr::V4(ip.to_bits().wrapping_add(index).into()),
            IpAddr::V6(ip) => IpAddr::V6(ip.to_bits().wrapping_add(u128::from(index)).into()),
        }
    }

    pub(super) fn is_v6(&self) -> bool {
        self.first.is_ipv6()
    }

    /// The same source prefers the same address (RFC 4787 REQ-2).
    pub(super) fn preferred(&self, src: IpAddr) -> u32 {
        let hash = mix(hash_address(src)) >> 32;
        ((hash * u64::from(self.count)) >> 32) as u32
    }
}

/// Each source gets an address of its own while it has sessions; ports stay.
#[derive(Debug)]
pub(super) struct OneToOne {
    addresses: Addresses,
    used: Slots,
    by_source: BTreeMap<IpAddr, Lease>,
    by_address: BTreeMap<u16, IpAddr>,
}

#[derive(Debug)]
struct Lease {
    index: u16,
    sessions: u32,
}

impl OneToOne {
    fn choose<F: Fn(&Tuple) -> bool>(&mut self, probe: &mut Probe<F>) -> Option<Chosen> {
        let (src, port) = (probe.tuple.src, probe.tuple.src_port);
        let index = match self.by_source.get(&src) {
            Some(lease) => u32::from(lease.index),
            None => self.used.next_free(self.addresses.preferred(src))?,
        };
        if !probe.is_free(self.addresses.get(index), port)? {
            return None;
        }
        let index = index as u16;
        let lease = self.by_source.entry(src).or_insert(Lease { index, sessions: 0 });
        if lease.sessions == 0 {
            self.used.take(u32::from(index));
            self.by_address.insert(index, src);
        }
        lease.sessions += 1;
        Some(Chosen { index, port, kind: Kind::OneToOne })
    }

    fn release(&mut self, index: u16) {
        let Some(&src) = self.by_address.get(&index) else {
            return;
        };
        let Some(lease) = self.by_source.get_mut(&src) else {
            return;
        };
        lease.sessions -= 1;
        if lease.sessions == 0 {
            self.by_source.remove(&src);
            self.by_address.remove(&index);
            self.used.free(u32::from(index));
        }
    }
}

/// A pool of any kind.
#[derive(Debug)]
pub(super) enum Pool {
    Overload(Overload),
    OneToOne(OneToOne),
    Blocks(Blocks),
}

impl Pool {
    pub(super) fn new(kind: PoolKind, range: IpRange, low: u16, high: u16) -> Self {
        let addresses = Addresses::new(range);
        match kind {
            PoolKind::Overload => Self::Overload(Overload::new(addresses, low, high)),
            PoolKind::OneToOne => Self::OneToOne(OneToOne {
                used: Slots::new(addresses.count),
                addresses,
                by_source: BTreeMap::new(),
                by_address: BTreeMap::new(),
            }),
            PoolKind::PortBlock { block_size, blocks_per_host } => {
                Self::Blocks(Blocks::new(addresses, low, high, block_size, blocks_per_host))
            }
        }
    }

    pub(super) fn addresses(&self) -> &Addresses {
        match self {
            Self::Overload(pool) => &pool.addresses,
            Self::OneToOne(pool) => &pool.addresses,
            Self::Blocks(pool) => &pool.addresses,
        }
    }

    pub(super) fn choose<F: Fn(&Tuple) -> bool>(
        &mut self,
        space: Option<Space>,
        rng: &mut Rng,
        probe: &mut Probe<F>,
    ) -> Result<Chosen, DropReason> {
        let chosen = match (self, space) {
            (Self::OneToOne(pool), _) => pool.choose(probe),
            (Self::Overload(pool), Some(space)) => pool.choose(space, rng, probe),
            (Self::Blocks(pool), Some(space)) => return pool.choose(space, rng, probe),
            (Self::Overload(pool), None) => {
                let first = pool.addresses.preferred(probe.tuple.src);
                Overload::portless(&pool.addresses, first, probe)
            }
            (Self::Blocks(pool), None) => {
                Overload::portless(&pool.addresses, pool.preferred(probe.tuple.src), probe)
            }
        };
        chosen.ok_or(DropReason::NatPoolExhausted)
    }

    pub(super) fn release(&mut self, space: Option<Space>, chosen: Chosen) {
        match (self, chosen.kind, space) {
            (Self::Overload(pool), Kind::Owned, Some(space)) => {
                pool.release(space, chosen.index, chosen.port);
            }
            (Self::OneToOne(pool), Kind::OneToOne, _) => pool.release(chosen.index),
            (Self::Blocks(pool), Kind::Block, Some(space)) => {
                pool.release(space, chosen.index, chosen.port);
            }
            // Nothing is held but a place in the count of sessions.
            (_, Kind::Shared | Kind::Portless, _) => {}
            (_, Kind::Owned | Kind::OneToOne | Kind::Block, _) => {}
        }
    }

    pub(super) fn ports_total(&self) -> u64 {
        match self {
            Self::Overload(pool) => pool.ports_total(),
            Self::OneToOne(_) => 0,
            Self::Blocks(pool) => pool.ports_total(),
        }
    }

    pub(super) fn ports_used(&self) -> [u32; SPACES] {
        match self {
            Self::Overload(pool) => pool.ports_used(),
            Self::OneToOne(_) => [0; SPACES],
            Self::Blocks(pool) => pool.ports_used(),
        }
    }

    /// Blocks in use and blocks there are.
    pub(super) fn blocks(&self) -> (u32, u64) {
        match self {
            Self::Overload(_) | Self::OneToOne(_) => (0, 0),
            Self::Blocks(pool) => (pool.blocks_used(), pool.blocks_total()),
        }
    }

    /// Sources that hold something of their own: an address or blocks.
    pub(super) fn hosts(&self) -> u32 {
        match self {
            Self::Overload(_) => 0,
            Self::OneToOne(pool) => pool.by_source.len() as u32,
            Self::Blocks(pool) => pool.hosts(),
        }
    }
}
