//! Interfaces, routes, neighbours, virtual IPs and pools of either kind as views.

use core::net::IpAddr;
use std::collections::VecDeque;

use api::{
    AddressPoolView, AddressPoolsView, ApiError, InterfaceView, InterfacesView, NatPoolsView,
    NatVipsView, NeighbourView, NeighboursView, NextHopView, PoolView, RouteView, RoutesView,
    VipView, proto_name,
};
use config::model::{AddressPool, IpRange, PoolKind, Rpf, VrId};
use ipnet::IpNet;
use wire::Time;

use super::{
    convert::{ago, ports, range},
    rows,
};
use crate::{
    Gateway,
    neighbour::State,
    route::{Lookup, RouteSet, Row},
};

/// Places remembered at once; whoever reads a table in pages comes back soon.
const PLACES: usize = 64;

/// Where pages of the route table ended. A prefix does not fit into a cursor, so the cursor is the
/// number of a place remembered here.
#[derive(Debug, Default)]
pub(crate) struct Places {
    kept: VecDeque<(u64, Place)>,
    next: u64,
}

/// After a destination in a virtual router.
#[derive(Clone, Copy, Debug)]
struct Place {
    vr: VrId,
    after: Option<IpNet>,
}

impl Places {
    fn keep(&mut self, place: Place) -> u64 {
        if self.kept.len() >= PLACES {
            self.kept.pop_front();
        }
        self.next += 1;
        self.kept.push_back((self.next, place));
        self.next
    }

    fn find(&self, cursor: u64) -> Option<Place> {
        self.kept.iter().find(|(number, _)| *number == cursor).map(|(_, place)| *place)
    }
}

impl Gateway {
    pub(super) fn show_interfaces(&self) -> InterfacesView {
        let view = |interface: &config::model::Interface| {
            let state = self.topology.state(interface);
            InterfaceView {
                name: interface.name.clone(),
                port: match self.config.tunnel_of(interface) {
                    Some((_, tunnel)) => format!("tunnel {}", tunnel.name),
                    None if interface.is_loopback() => "loopback".into(),
                    None => {
                        self.config.port_of(interface).map_or_else(String::new, |p| p.name.clone())
                    }
                },
                vlan: interface.vlan(),
                line: interface.line.0,
                vr: self.config.virtual_router_name(interface.vr).to_owned(),
                zone: self.zone(interface.zone),
                addresses: interface.addresses.iter().map(ToString::to_string).collect(),
                mac: state.mac.to_string(),
                mtu: interface.mtu,
                rpf: match interface.rpf {
                    Rpf::Strict => "strict",
                    Rpf::Loose => "loose",
                    Rpf::Off => "off",
                }
                .into(),
                mss_clamp: match interface.mss_clamp {
                    Some(0) => Some(interface.mtu.saturating_sub(40)),
                    other => other,
                },
                enabled: interface.enabled,
                link: if state.up { "up" } else { "down" }.into(),
                proxy_arp: interface.proxy_arp,
            }
        };
        InterfacesView { interfaces: self.config.interfaces.iter().map(view).collect() }
    }

    pub(super) fn show_routes(
        &mut self,
        vr: Option<&str>,
        destination: Option<IpAddr>,
        limit: Option<u32>,
        cursor: Option<u64>,
    ) -> Result<RoutesView, ApiError> {
        let only = match vr {
            Some(name) => Some(self.router_named(Some(name))?),
            None => None,
        };
        let total = self.prefixes();
        if let Some(destination) = destination {
            let vr = only.unwrap_or(VrId(0));
            let route = match self.routes.lookup(vr, destination) {
                Lookup::Via(set) | Lookup::Blackhole(set) => self.route_view(vr, set, true),
                Lookup::Local(interface) => self.own_route(vr, destination, interface),
                Lookup::Broadcast(_) | Lookup::None => {
                    return Err(ApiError::not_found(format!("no route to {destination}")));
                }
            };
            return Ok(RoutesView {
                lookup: Some(destination),
                routes: vec![route],
                total,
                next: None,
            });
        }
        let rows = rows(limit);
        let mut place = match cursor {
            None => Place { vr: only.unwrap_or(VrId(0)), after: None },
            Some(cursor) => self.places.find(cursor).ok_or_else(|| {
                ApiError::bad_request("the cursor is no longer known; start again without it")
            })?,
        };
        let mut view = RoutesView { total, ..RoutesView::default() };
        let last = only.map_or(self.config.virtual_routers.len(), |vr| usize::from(vr.0) + 1);
        while usize::from(place.vr.0) < last {
            if view.routes.len() >= rows {
                view.next = Some(self.places.keep(place));
                break;
            }
            // Rows of one destination stay together, so a page may be a few rows longer.
            let page = self.routes.page(place.vr, place.after, rows - view.routes.len());
            place = match page.last() {
                Some(row) => Place { after: Some(row.set.destination), ..place },
                None => Place { vr: VrId(place.vr.0 + 1), after: None },
            };
            let views = page.iter().map(|Row { set, best }| self.route_view(place.vr, set, *best));
            view.routes.extend(views);
        }
        Ok(view)
    }

    /// Prefixes of all virtual routers.
    pub(super) fn prefixes(&self) -> u64 {
        let of = |index| {
            let (v4, v6) = self.routes.len(VrId(index as u16));
            (v4 + v6) as u64
        };
        (0..self.config.virtual_routers.len()).map(of).sum()
    }

    fn own_route(&self, vr: VrId, address: IpAddr, interface: config::model::IfId) -> RouteView {
        RouteView {
            vr: self.config.virtual_router_name(vr).to_owned(),
            destination: address.to_string(),
            origin: "local".into(),
            next_hops: vec![NextHopView {
                interface: self.interface_name(interface),
                ..NextHopView::default()
            }],
            active: true,
            ..RouteView::default()
        }
    }

    fn route_view(&self, vr: VrId, set: &RouteSet, best: bool) -> RouteView {
        let hop = |member: &crate::route::Member| {
            let id = member.gateway.and_then(|via| self.neighbours.lookup(member.interface, via));
            let neighbour = id.and_then(|id| self.neighbours.get(id));
            NextHopView {
                gateway: member.gateway,
                interface: self.interface_name(member.interface),
                weight: member.weight,
                neighbour: neighbour.map_or("", |n| n.state.name()).into(),
            }
        };
        RouteView {
            vr: self.config.virtual_router_name(vr).to_owned(),
            destination: set.destination.to_string(),
            origin: if set.blackhole { "blackhole" } else { set.source.name() }.into(),
            metric: set.metric,
            next_hops: set.configured.iter().map(hop).collect(),
            line: set.line.0,
            active: best && (set.blackhole || !set.members.is_empty()),
        }
    }

    pub(super) fn show_neighbours(
        &self,
        limit: Option<u32>,
        cursor: Option<u64>,
        now: Time,
    ) -> NeighboursView {
        let (rows, start) = (rows(limit), cursor.unwrap_or(0) as usize);
        let all = self.neighbours.iter();
        let static_line = |n: &crate::neighbour::Neighbour| {
            let mut configured = self.config.neighbours.iter();
            let found = configured.find(|s| s.interface == n.interface && s.address == n.address);
            found.map_or(0, |s| s.line.0)
        };
        let neighbours: Vec<_> = all
            .skip(start)
            .take(rows)
            .map(|n| NeighbourView {
                interface: self.interface_name(n.interface),
                address: n.address,
                mac: n.mac.map(|mac| mac.to_string()),
                state: if n.state == State::Permanent { "static" } else { n.state.name() }.into(),
                confirmed_ms: n.confirmed.map(|at| ago(now, at)),
                held: n.held as u32,
                flows: n.references.into(),
                line: static_line(&n),
            })
            .collect();
        let end = start + neighbours.len();
        let total = self.neighbours.len();
        NeighboursView {
            neighbours,
            total: total as u64,
            capacity: self.neighbours.capacity() as u64,
            next: (end < total).then_some(end as u64),
        }
    }

    pub(super) fn show_vips(&self) -> NatVipsView {
        let view = |(index, vip): (usize, &config::model::Vip)| VipView {
            name: vip.name.clone(),
            line: vip.line.0,
            interface: vip.interface.map(|id| self.interface_name(id)),
            external: range(&vip.external),
            mapped: range(&vip.mapped),
            proto: vip.forward.as_ref().map(|f| proto_name(f.proto)),
            external_ports: vip.forward.as_ref().map(|f| ports(&f.external)),
            mapped_ports: vip.forward.as_ref().map(|f| {
                let span = f.external.end() - f.external.start();
                ports(&(f.mapped..=f.mapped.saturating_add(span)))
            }),
            hits: self.nat.vip_hits(index),
        };
        NatVipsView { vips: self.config.vips.iter().enumerate().map(view).collect() }
    }

    pub(super) fn show_pools(&self) -> NatPoolsView {
        let view = |stats: crate::nat::PoolStats<'_>| {
            let pool = self.config.pools.iter().find(|pool| pool.name == stats.name);
            let used = stats.ports_used;
            let (mode, block_size, blocks_per_host) = match stats.kind {
                _ if stats.name.is_empty() => ("interface", None, None),
                PoolKind::Overload => ("overload", None, None),
                PoolKind::OneToOne => ("one-to-one", None, None),
                PoolKind::PortBlock { block_size, blocks_per_host } => {
                    ("port-block", Some(block_size), Some(blocks_per_host))
                }
            };
            PoolView {
                name: stats.name.to_owned(),
                mode: mode.into(),
                line: pool.map_or(0, |pool| pool.line.0),
                addresses: range(&stats.addresses),
                ports: pool.map_or_else(String::new, |pool| ports(&pool.ports)),
                block_size,
                blocks_per_host,
                ports_total: stats.ports_total,
                tcp_used: used.tcp.into(),
                udp_used: used.udp.into(),
                sctp_used: used.sctp.into(),
                icmp_used: used.icmp.into(),
                sessions: stats.sessions.into(),
                hosts: stats.hosts.into(),
                blocks_used: stats.blocks_used.into(),
                blocks_total: stats.blocks_total,
                exhausted: stats.exhausted,
                removed: stats.removed,
                proxy_arp: pool.is_some_and(|pool| pool.proxy_arp),
            }
        };
        NatPoolsView { pools: self.nat.pools().map(view).collect() }
    }

    pub(super) fn show_address_pools(&self) -> AddressPoolsView {
        let size = |range: &IpRange| match (range.first, range.last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => {
                u64::from(last.to_bits() - first.to_bits()) + 1
            }
            (IpAddr::V6(first), IpAddr::V6(last)) => {
                let many = (last.to_bits() - first.to_bits()).saturating_add(1);
                u64::try_from(many).unwrap_or(u64::MAX)
            }
            _ => 0,
        };
        let view = |pool: &AddressPool| {
            let of = self.addresses.entries().filter(|entry| pool.holds(entry.address));
            let (held, all) =
                of.fold((0, 0), |(held, all), entry| (held + u64::from(entry.held), all + 1));
            AddressPoolView {
                name: pool.name.clone(),
                line: pool.line.0,
                addresses: pool.ranges.iter().map(range).collect(),
                size: pool.ranges.iter().map(size).fold(0, u64::saturating_add),
                held,
                remembered: all - held,
            }
        };
        AddressPoolsView { pools: self.config.address_pools.iter().map(view).collect() }
    }
}
