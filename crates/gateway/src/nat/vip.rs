//! Virtual IPs: destination translation, its reverse, and whose addresses they are.
//!
//! Addresses are found in sorted intervals, then ports in the intervals of the VIPs that share the
//! address; both are binary searches, however many VIPs there are. Among those that fit, the most
//! specific wins: a port forward with an interface, one without, 1:1 with an interface, 1:1 without;
//! among equals the first in the configuration.

use core::net::IpAddr;
use std::collections::BTreeMap;

use config::{
    Config,
    model::{IfId, IpRange, Vip},
};
use ipnet::IpNet;
use wire::{Tuple, proto};

use crate::policy::intervals::{Intervals, Span};

/// A destination translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dnat {
    /// Index into `config.vips`.
    pub vip: usize,
    /// New destination address.
    pub address: IpAddr,
    /// New destination port; as it was with 1:1 translation.
    pub port: u16,
}

/// A source translation by the reverse of a 1:1 VIP; ports stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReverseVip {
    /// Index into `config.vips`.
    pub vip: usize,
    /// New source address.
    pub address: IpAddr,
}

/// Addresses of both versions to a list number.
#[derive(Debug)]
struct Addresses {
    v4: Intervals<u32>,
    v6: Intervals<u128>,
}

impl Addresses {
    /// `value` gets the items of an interval in order.
    fn build(
        ranges: &[(IpRange, u32)],
        items: usize,
        mut value: impl FnMut(Vec<u32>) -> u32,
    ) -> Self {
        let v4 = ranges.iter().filter_map(|(range, item)| match (range.first, range.last) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                Some(Span { first: a.to_bits(), last: b.to_bits(), item: *item })
            }
            _ => None,
        });
        let v6 = ranges.iter().filter_map(|(range, item)| match (range.first, range.last) {
            (IpAddr::V6(a), IpAddr::V6(b)) => {
                Some(Span { first: a.to_bits(), last: b.to_bits(), item: *item })
            }
            _ => None,
        });
        Self {
            v4: Intervals::build(v4, items, |set| value(members(set))),
            v6: Intervals::build(v6, items, |set| value(members(set))),
        }
    }

    #[inline]
    fn get(&self, ip: IpAddr) -> usize {
        let list = match ip {
            IpAddr::V4(ip) => self.v4.get(ip.to_bits()),
            IpAddr::V6(ip) => self.v6.get(ip.to_bits()),
        };
        list as usize
    }
}

fn members(set: &[u64]) -> Vec<u32> {
    let mut list = Vec::new();
    for (w, &word) in set.iter().enumerate() {
        let mut word = word;
        while word != 0 {
            list.push(w as u32 * 64 + word.trailing_zeros());
            word &= word - 1;
        }
    }
    list
}

/// VIPs that share an address.
#[derive(Debug, Default)]
struct Group {
    /// Protocol in the upper 16 bits, port in the lower, to a list of port forwards.
    forwards: Option<Intervals<u32>>,
    lists: Vec<Box<[u32]>>,
    /// 1:1 VIPs, in order of preference.
    plain: Box<[u32]>,
}

/// Who owns an address: an interface it is limited to, and whether to answer ARP and ND for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Owner {
    interface: Option<IfId>,
    proxy: bool,
}

/// The VIPs of a configuration, and the addresses of VIPs and pools.
#[derive(Debug)]
pub(super) struct Vips {
    vips: Box<[Vip]>,
    pub(super) hits: Vec<u64>,
    external: Addresses,
    groups: Vec<Group>,
    mapped: Addresses,
    /// 1:1 VIPs that map to an address, in order of preference.
    mappers: Vec<Box<[u32]>>,
    owned: Addresses,
    owners: Vec<Box<[Owner]>>,
    /// Subnets of each interface that answers for others.
    subnets: Vec<Box<[IpNet]>>,
}

impl Vips {
    pub(super) fn new(config: &Config) -> Self {
        let vips = config.vips.as_slice();
        let ranges = |of: fn(&Vip) -> IpRange, wanted: fn(&Vip) -> bool| -> Vec<(IpRange, u32)> {
            let all = vips.iter().zip(0..);
            all.filter(|(v, _)| wanted(v)).map(|(v, item)| (of(v), item)).collect()
        };

        let mut groups = Numbered::new();
        let external =
            Addresses::build(&ranges(|v| v.external, same_version), vips.len(), |list| {
                groups.number(list, |list| Group::new(vips, list))
            });

        let mut mappers = Numbered::new();
        let one_to_one = |v: &Vip| same_version(v) && v.forward.is_none();
        let mapped = Addresses::build(&ranges(|v| v.mapped, one_to_one), vips.len(), |list| {
            mappers.number(list, |list| preferred(vips, list))
        });

        let mut owned = ranges(|v| v.external, same_version);
        let pools = config.pools.iter().zip(vips.len() as u32..);
        owned.extend(pools.map(|(pool, item)| (pool.addresses, item)));
        let owner = |item: &u32| {
            let item = *item as usize;
            match vips.get(item) {
                Some(vip) => Owner { interface: vip.interface, proxy: true },
                None => Owner {
                    interface: None,
                    proxy: config.pools.get(item - vips.len()).is_some_and(|p| p.proxy_arp),
                },
            }
        };
        let mut owners = Numbered::new();
        let owned = Addresses::build(&owned, vips.len() + config.pools.len(), |list| {
            let mut list: Vec<_> = list.iter().map(owner).collect();
            list.sort_unstable();
            list.dedup();
            owners.number(list, |list| list.into())
        });

        Self {
            hits: vec![0; vips.len()],
            vips: vips.into(),
            external,
            groups: groups.made,
            mapped,
            mappers: mappers.made,
            owned,
            owners: owners.made,
            subnets: config
                .interfaces
                .iter()
                .map(|i| if i.proxy_arp { i.addresses.as_slice().into() } else { Box::default() })
                .collect(),
        }
    }

    pub(super) fn carry_over(&mut self, old: &Self) {
        let before: BTreeMap<_, _> = old.vips.iter().map(|v| &v.name).zip(&old.hits).collect();
        for (vip, hits) in self.vips.iter().zip(&mut self.hits) {
            if let Some(&&kept) = before.get(&vip.name) {
                *hits = kept;
            }
        }
    }

    #[inline]
    pub(super) fn dnat(&self, ingress: IfId, tuple: &Tuple) -> Option<Dnat> {
        let group = self.groups.get(self.external.get(tuple.dst))?;
        let vip = group
            .forwards(tuple)
            .and_then(|list| self.first(list, ingress))
            .or_else(|| self.first(&group.plain, ingress))?;
        let held = &self.vips[vip];
        let port = held.forward.as_ref().map_or(tuple.dst_port, |forward| {
            let offset = tuple.dst_port.saturating_sub(*forward.external.start());
            forward.mapped.saturating_add(offset)
        });
        Some(Dnat { vip, address: moved(tuple.dst, held.external, held.mapped), port })
    }

    #[inline]
    pub(super) fn reverse(&self, egress: IfId, src: IpAddr) -> Option<ReverseVip> {
        let vip = self.first(self.mappers.get(self.mapped.get(src))?, egress)?;
        let held = &self.vips[vip];
        Some(ReverseVip { vip, address: moved(src, held.mapped, held.external) })
    }

    pub(super) fn owns(&self, address: IpAddr) -> bool {
        !self.owners_of(address).is_empty()
    }

    pub(super) fn proxies(&self, interface: IfId, address: IpAddr) -> bool {
        let Some(subnets) = self.subnets.get(usize::from(interface.0)) else {
            return false;
        };
        let claims = |owner: &Owner| owner.proxy && owner.interface.is_none_or(|i| i == interface);
        subnets.iter().any(|net| net.contains(&address))
            && subnets.iter().all(|net| net.addr() != address)
            && self.owners_of(address).iter().any(claims)
    }

    fn owners_of(&self, address: IpAddr) -> &[Owner] {
        self.owners.get(self.owned.get(address)).map_or(&[], |list| list)
    }

    fn first(&self, list: &[u32], interface: IfId) -> Option<usize> {
        let fits =
            |vip: &&u32| self.vips[**vip as usize].interface.is_none_or(|only| only == interface);
        list.iter().find(fits).map(|&vip| vip as usize)
    }
}

impl Group {
    fn new(vips: &[Vip], list: &[u32]) -> Self {
        let forward = |vip: u32| vips[vip as usize].forward.as_ref();
        let (forwards, plain): (Vec<u32>, Vec<u32>) =
            list.iter().partition(|&&vip| forward(vip).is_some());
        let mut lists = Numbered::new();
        let spans = forwards.iter().zip(0..).filter_map(|(&vip, item)| {
            let forward = forward(vip)?;
            let proto = u32::from(forward.proto) << 16;
            Some(Span {
                first: proto | u32::from(*forward.external.start()),
                last: proto | u32::from(*forward.external.end()),
                item,
            })
        });
        let map = (!forwards.is_empty()).then(|| {
            Intervals::build(spans, forwards.len(), |set| {
                let list: Vec<u32> = members(set).iter().map(|&i| forwards[i as usize]).collect();
                lists.number(list, |list| preferred(vips, list))
            })
        });
        Self { forwards: map, lists: lists.made, plain: preferred(vips, &plain) }
    }

    #[inline]
    fn forwards(&self, tuple: &Tuple) -> Option<&[u32]> {
        if !matches!(tuple.proto, proto::TCP | proto::UDP | proto::SCTP) {
            return None;
        }
        let key = u32::from(tuple.proto) << 16 | u32::from(tuple.dst_port);
        let list = self.forwards.as_ref()?.get(key);
        self.lists.get(list as usize).map(|list| &**list)
    }
}

/// With an interface first, then in order.
fn preferred(vips: &[Vip], list: &[u32]) -> Box<[u32]> {
    let mut list = list.to_vec();
    list.sort_by_key(|&vip| (vips[vip as usize].interface.is_none(), vip));
    list.into()
}

fn same_version(vip: &Vip) -> bool {
    vip.external.first.is_ipv4() == vip.mapped.first.is_ipv4()
}

/// The address at the same place of another range, or its first where it is a single address.
fn moved(address: IpAddr, from: IpRange, to: IpRange) -> IpAddr {
    if to.first == to.last || from.first == from.last {
        return to.first;
    }
    match (address, from.first, to.first) {
        (IpAddr::V4(a), IpAddr::V4(from), IpAddr::V4(to)) => {
            let offset = a.to_bits().wrapping_sub(from.to_bits());
            IpAddr::V4(to.to_bits().wrapping_add(offset).into())
        }
        (IpAddr::V6(a), IpAddr::V6(from), IpAddr::V6(to)) => {
            let offset = a.to_bits().wrapping_sub(from.to_bits());
            IpAddr::V6(to.to_bits().wrapping_add(offset).into())
        }
        _ => to.first,
    }
}

/// Numbers distinct keys and keeps what was made of each.
struct Numbered<K, V> {
    numbers: BTreeMap<Vec<K>, u32>,
    made: Vec<V>,
}

impl<K: Ord, V> Numbered<K, V> {
    fn new() -> Self {
        Self { numbers: BTreeMap::new(), made: Vec::new() }
    }

    fn number(&mut self, key: Vec<K>, make: impl FnOnce(&[K]) -> V) -> u32 {
        if let Some(&number) = self.numbers.get(&key) {
            return number;
        }
        let number = self.made.len() as u32;
        self.made.push(make(&key));
        self.numbers.insert(key, number);
        number
    }
}
