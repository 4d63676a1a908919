//! Children that IKE has negotiated: they come, take over from one another, move and go.
//!
//! Nothing is lost on the way. The incoming SA of a new child is there, on the engine too, before the
//! peer is told that it may use it; the outgoing one takes the place of its predecessor, so that
//! sessions stay where they are; and the incoming one of the predecessor stays until both ends have let
//! go of it.

use core::time::Duration;
use std::sync::Arc;

use ::ike::message::TrafficSelector;
use config::model::{Tunnel, TunnelId};
use offload::{AdjacencyId, SaProgram};
use reason::{DemotionReason, ReasonSet};
use wire::{Time, Tuple};

use super::{Child, ChildId, HOP_LIMIT, IN, OUT, promote::at};
use crate::{Gateway, events::EventKind, neighbour::NeighbourId};

/// Numbers left out when an SA gets other addresses: a worker may still have sealed a burst after the
/// last one was read.
const LEEWAY: u64 = 1 << 16;

/// How long the incoming SA of a child that was replaced stays at least: longer than packets are on
/// their way.
const LINGERS: Duration = Duration::from_secs(5);

/// What IKE knows of a child.
#[derive(Clone, Debug)]
pub(crate) struct Negotiated {
    /// What IKE calls it.
    pub(crate) id: ::ike::ChildId,
    /// The IKE SA it belongs to.
    pub(crate) ike: ::ike::IkeId,
    /// Its name in the configuration.
    pub(crate) name: Arc<str>,
    /// What our side of packets may be.
    pub(crate) local: Vec<TrafficSelector>,
    /// What the far side may be.
    pub(crate) remote: Vec<TrafficSelector>,
    /// Whether it took the place of another.
    pub(crate) replaces: bool,
    /// Packets received when that was last looked at.
    pub(crate) received: u64,
    /// It was replaced, and receives what is still on its way until nothing comes any more.
    pub(crate) ends: Option<Time>,
}

impl Child {
    /// Whether a packet from our side to the far side may pass.
    pub(crate) fn carries(&self, tuple: &Tuple) -> bool {
        let Some(negotiated) = &self.negotiated else { return true };
        let has = |list: &[TrafficSelector], address, port| {
            list.iter().any(|s| {
                (s.first..=s.last).contains(&address)
                    && (s.protocol == 0 || s.protocol == tuple.proto)
                    && (s.first_port..=s.last_port).contains(&port)
            })
        };
        has(&negotiated.local, tuple.src, tuple.src_port)
            && has(&negotiated.remote, tuple.dst, tuple.dst_port)
    }

    /// What IKE calls it; nothing where it is keyed by hand.
    pub(crate) fn ike(&self) -> Option<&Negotiated> {
        self.negotiated.as_ref()
    }

    /// The same, to change.
    pub(crate) fn ike_mut(&mut self) -> Option<&mut Negotiated> {
        self.negotiated.as_mut()
    }
}

/// Whether a negotiated child still is what its tunnel asks for. What IKE itself sees to (algorithms,
/// selectors, the peer) it tells by ending the child.
pub(super) fn still_wanted(child: &Child, was: &Tunnel, is: &Tunnel) -> bool {
    let (Some(was), Some(is)) = (was.ipsec(), is.ipsec()) else { return false };
    let Some(negotiated) = &child.negotiated else { return false };
    let of = |ipsec: &config::model::Ipsec| {
        let spec = ipsec.negotiated()?.children.iter().find(|c| *c.name == *negotiated.name)?;
        Some((spec.replay_window, spec.soft, spec.hard))
    };
    (was.dscp, was.df, was.pad_to, was.allow_null) == (is.dscp, is.df, is.pad_to, is.allow_null)
        && of(is).is_some()
        && of(was) == of(is)
}

impl Gateway {
    /// A child is agreed on. Its incoming SA is there afterwards, on both tiers.
    pub(super) fn child_agreed(&mut self, sa: &::ike::ChildSa, now: Time) {
        let config = Arc::clone(&self.config);
        let found = config.tunnels.iter().enumerate().find_map(|(index, tunnel)| {
            let ipsec = tunnel.ipsec()?;
            let negotiated = ipsec.negotiated()?;
            if config.peer_name(negotiated.peer) != &*sa.connection {
                return None;
            }
            let name = super::ike::child_name(&tunnel.name, &sa.name)?;
            let spec = negotiated.children.iter().find(|child| child.name == name)?;
            Some((TunnelId(index as u16), tunnel, ipsec, spec))
        });
        // What is no longer configured IKE has been told to end.
        let Some((id, tunnel, ipsec, spec)) = found else { return };
        let parameters = |way| {
            let (spi, key, source, destination) = match way {
                OUT => (sa.outbound_spi, &sa.outbound_key, sa.path.local, sa.path.remote),
                IN => (sa.inbound_spi, &sa.inbound_key, sa.path.remote, sa.path.local),
            };
            let encapsulation = sa.encapsulation.map(|udp| match way {
                OUT => udp,
                IN => esp::UdpEncapsulation {
                    source_port: udp.destination_port,
                    destination_port: udp.source_port,
                },
            });
            esp::Parameters {
                spi,
                suite: sa.suite,
                key: key.clone(),
                mode: sa.mode,
                source: source.ip(),
                destination: destination.ip(),
                encapsulation,
                esn: sa.esn,
                replay_window: spec.replay_window,
                soft: spec.soft,
                hard: spec.hard,
                dscp: ipsec.dscp,
                df: ipsec.df,
                pad_to: ipsec.pad_to.filter(|_| sa.mode == esp::Mode::Tunnel),
                hop_limit: HOP_LIMIT,
                allow_null: ipsec.allow_null,
            }
        };
        let ciphers = &self.tunnels.ciphers;
        let pair = esp::Outbound::with(parameters(OUT), now, ciphers, 0)
            .and_then(|out| Ok((out, esp::Inbound::with(parameters(IN), now, ciphers, 0)?)));
        let negotiated = Negotiated {
            id: sa.id,
            ike: sa.ike,
            name: spec.name.as_str().into(),
            local: sa.local.clone(),
            remote: sa.remote.clone(),
            replaces: sa.replaces.is_some(),
            received: 0,
            ends: None,
        };
        match pair {
            Ok(pair) => {
                let place = super::place(&config, tunnel);
                let child = self.tunnels.open(id, place, pair, Some(negotiated), now);
                self.promote_sa(child, IN, now);
            }
            Err(fault) => {
                let text = format!("tunnel {}: no SA: {fault}", tunnel.name);
                self.events.push(now, EventKind::TunnelFault, text);
            }
        }
    }

    /// The outgoing SA of a child may be used, in place of that of `old` if there is one.
    pub(super) fn child_sends(
        &mut self,
        new: ::ike::ChildId,
        old: Option<::ike::ChildId>,
        now: Time,
    ) {
        let number = |id| self.tunnels.by_ike.get(&id).copied();
        let Some(new) = number(new) else { return };
        let old = old.and_then(number);
        let Some(child) = self.tunnels.child(new) else { return };
        let (interface, tunnel) = (child.place.interface, child.tunnel);
        let mtu = self.exit_mtu(interface);
        let Some(list) = self.tunnels.sending.get_mut(usize::from(tunnel.0)) else { return };
        if list.contains(&new) {
            return;
        }
        match old.and_then(|old| list.iter_mut().find(|id| **id == old)) {
            Some(place) => *place = new,
            // the newest first: what both ends agreed on last is what the peer has too
            None => list.insert(0, new),
        }
        if let Some(old) = old {
            self.take_over(old, new, now);
        }
        self.promote_sa(new, OUT, now);
        if self.exit_mtu(interface) != mtu {
            self.reevaluate_all(DemotionReason::PathMtuChanged, now);
        }
    }

    /// The outgoing SA of `new` takes the place of that of `old` on the engine, and goes the same way.
    fn take_over(&mut self, old: ChildId, new: ChildId, now: Time) {
        let Some(before) = self.tunnels.child(old) else { return };
        let (next_hop, path_mtu) = (before.next_hop, before.path_mtu);
        let handle = self.sa_handle(old, OUT);
        let Some(child) = self.tunnels.child_mut(new) else { return };
        child.path_mtu = path_mtu;
        if next_hop == u32::MAX || child.next_hop != u32::MAX {
            return;
        }
        child.next_hop = next_hop;
        let sa = Arc::clone(&child.outbound);
        self.neighbours.acquire(NeighbourId(next_hop));
        let Some(handle) = handle else { return };
        if !self.against_sa(new, OUT).is_empty()
            || !self
                .engine
                .replace_sa(handle, SaProgram::Outbound { sa, adjacency: AdjacencyId(next_hop) })
        {
            return;
        }
        let reason = DemotionReason::SaRekeyed;
        let (ledger, child) = self.tunnels.ledger_and(old);
        if let Some(child) = child {
            let (at, stats) = (at(old, OUT, now), super::stats(child, OUT));
            ledger.retire(&mut child.ledger, at, reason);
            ledger.removed(&mut child.ledger, at, handle, reason, stats);
        }
        let (ledger, child) = self.tunnels.ledger_and(new);
        if let Some(child) = child {
            ledger.evaluated(&mut child.ledger, at(new, OUT, now), ReasonSet::EMPTY);
            ledger.installed(&mut child.ledger, at(new, OUT, now), handle);
        }
    }

    /// A child is gone for IKE. One that was replaced still receives what is on its way. Says whether
    /// packets went out by it until now.
    pub(super) fn child_gone(&mut self, id: ::ike::ChildId, replaced: bool, now: Time) -> bool {
        let Some(number) = self.tunnels.by_ike.remove(&id) else { return false };
        if replaced && let Some(child) = self.tunnels.child_mut(number) {
            if let Some(negotiated) = child.ike_mut() {
                negotiated.ends = Some(now + LINGERS);
            }
            return false;
        }
        self.end_negotiated(number, now)
    }

    /// A negotiated child ends, in both directions. Says whether packets went out by it until now.
    pub(super) fn end_negotiated(&mut self, number: ChildId, now: Time) -> bool {
        let Some(child) = self.tunnels.forget(number) else { return false };
        let tunnel = self.config.tunnels.get(usize::from(child.tunnel.0));
        if let Some(tunnel) = tunnel {
            self.tunnels.remember(&tunnel.name, &child);
        }
        let list = self.tunnels.sending.get_mut(usize::from(child.tunnel.0));
        let sent = list.is_some_and(|list| {
            let before = list.len();
            list.retain(|id| *id != number);
            list.len() != before
        });
        self.end_child(number, child, now);
        if sent {
            // sessions that went out by it must not go on with what is no longer there
            self.reevaluate_all(DemotionReason::SaRemoved, now);
        }
        sent
    }

    /// The peer has another address or port: its children go there, with the same keys and numbers.
    pub(super) fn path_changed(&mut self, ike: ::ike::IkeId, path: ::ike::Path, now: Time) {
        let of = |child: &Child| child.ike().is_some_and(|negotiated| negotiated.ike == ike);
        let ids: Vec<_> =
            self.tunnels.children().filter(|(_, child)| of(child)).map(|(id, _)| id).collect();
        for id in ids {
            self.move_child(id, path, now);
        }
        self.forget_moved_far_ends(DemotionReason::PathChanged, now);
    }

    fn move_child(&mut self, id: ChildId, path: ::ike::Path, now: Time) {
        let Some(child) = self.tunnels.child(id) else { return };
        let (before, status) = (child.outbound.parameters(), child.outbound.status(now));
        let left = |left: esp::Lifetime, all: esp::Lifetime| esp::Lifetime {
            packets: left.packets,
            bytes: left.bytes,
            seconds: all.seconds,
        };
        let parameters = esp::Parameters {
            source: path.local.ip(),
            destination: path.remote.ip(),
            encapsulation: before.encapsulation.map(|_| esp::UdpEncapsulation {
                source_port: path.local.port(),
                destination_port: path.remote.port(),
            }),
            soft: left(status.soft_left, before.soft),
            hard: left(status.hard_left, before.hard),
            ..before.clone()
        };
        let after = child.outbound.sequence().saturating_add(LEEWAY);
        let sa = esp::Outbound::with(parameters, child.created, &self.tunnels.ciphers, after);
        let Ok(sa) = sa.map(Arc::new) else { return };
        let handle = self.sa_handle(id, OUT);
        let adjacency = AdjacencyId(child.next_hop);
        let replaced = handle.map(|handle| {
            let sa = Arc::clone(&sa);
            self.engine.replace_sa(handle, SaProgram::Outbound { sa, adjacency })
        });
        self.tunnels.replace_outbound(id, sa);
        if replaced == Some(false) {
            self.demote_sa(id, OUT, DemotionReason::PathChanged, now);
        }
    }
}

impl super::Tunnels {
    /// A child by what IKE calls it.
    pub(super) fn by_ike(&self, id: ::ike::ChildId) -> Option<(ChildId, &Child)> {
        let number = *self.by_ike.get(&id)?;
        Some((number, self.children.get(&number)?))
    }

    /// The children of an IKE SA belong to another one.
    pub(super) fn rename_ike(&mut self, old: ::ike::IkeId, new: ::ike::IkeId) {
        let all = self.children.values_mut().filter_map(|child| child.negotiated.as_mut());
        all.filter(|negotiated| negotiated.ike == old).for_each(|negotiated| negotiated.ike = new);
    }

    /// A child that is gone is not found any more.
    fn forget(&mut self, id: ChildId) -> Option<Child> {
        let child = self.children.remove(&id)?;
        let vr = child.place.vr;
        let key =
            |of: &esp::Parameters| super::SpiKey { spi: of.spi, destination: of.destination, vr };
        let (sent, received) = (key(child.outbound.parameters()), key(child.inbound.parameters()));
        self.by_spi.remove(&received);
        self.sent_by_spi.remove(&sent);
        Some(child)
    }

    /// A child sends by another SA with the same keys. What the one before has carried stays with the
    /// tunnel.
    fn replace_outbound(&mut self, id: ChildId, sa: Arc<esp::Outbound>) {
        let Some(child) = self.children.get_mut(&id) else { return };
        let vr = child.place.vr;
        let key =
            |of: &esp::Parameters| super::SpiKey { spi: of.spi, destination: of.destination, vr };
        self.sent_by_spi.remove(&key(child.outbound.parameters()));
        self.sent_by_spi.insert(key(sa.parameters()), id);
        child.outbound = sa;
    }
}
