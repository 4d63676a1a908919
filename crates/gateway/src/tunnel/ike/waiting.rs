//! Packets that wait for an SA to be negotiated: a few, and not for long.

use core::time::Duration;
use std::sync::Arc;

use config::model::{Start, TunnelId};
use reason::DropReason;
use wire::{Time, Tuple};

use super::{super::waiting::Limits, Phase, connections::ike_name};
use crate::{Gateway, packet::Packet};

/// How many packets wait for a tunnel and in all, and how long.
pub(super) const LIMITS: Limits = Limits { each: 32, all: 1_024, longest: Duration::from_secs(10) };

/// What a packet without an SA does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Awaits {
    /// It waits for what is being negotiated.
    Negotiation,
    /// It is for the peer to begin.
    Peer,
}

impl Gateway {
    /// Whether a packet that leaves by a tunnel has to wait for an SA that can be negotiated. What no
    /// SA may ever carry does not wait.
    pub(crate) fn awaits_sa(&self, id: TunnelId, tuple: &Tuple) -> Option<Awaits> {
        if self.tunnels.sending(id, tuple).is_some() {
            return None;
        }
        let tunnel = self.config.tunnels.get(usize::from(id.0))?;
        let negotiated = tunnel.negotiated()?;
        let child = negotiated.children.iter().find(|child| child.wants(tuple))?;
        // One that is there and does not carry it was narrowed by the peer.
        let narrowed = self.tunnels.senders(id).iter().any(|id| {
            let ike = self.tunnels.child(*id).and_then(|child| child.ike());
            ike.is_some_and(|ike| *ike.name == *child.name)
        });
        if narrowed {
            return None;
        }
        let peer = self.config.peer(negotiated.peer)?;
        let begun = self.ike.standing(&peer.name).is_some_and(|s| s.phase == Phase::Up);
        match peer.start {
            Start::Wait if !begun => Some(Awaits::Peer),
            Start::Load | Start::Traffic | Start::Wait => Some(Awaits::Negotiation),
        }
    }

    /// A packet waits for an SA, and asks for it.
    pub(crate) fn hold_for_ike(&mut self, packet: Packet, now: Time) {
        let crate::packet::Destination::Forward { egress, .. } = packet.destination else { return };
        let config = Arc::clone(&self.config);
        let Some((_, tunnel)) = self.tunnel_of(egress) else { return };
        let tuple = self.leaving_tuple(&packet);
        let wanted = tunnel.negotiated().and_then(|negotiated| {
            let child = negotiated.children.iter().find(|child| child.wants(&tuple))?;
            Some((config.peer(negotiated.peer)?, ike_name(&tunnel.name, &child.name)))
        });
        let Some((peer, child)) = wanted else { return };
        let name = tunnel.name.clone();
        if let Err(packet) = self.ike.waiting.hold(name, 1, packet, now) {
            self.drop_packet(*packet, DropReason::IkeWaitFull, now);
        }
        self.want_child(&peer.name, child, now);
    }

    /// Packets that waited for a tunnel go on: it has an SA.
    pub(super) fn release_waiting(&mut self, tunnel: &str, now: Time) {
        for packet in self.ike.waiting.take(&tunnel.to_owned()) {
            self.leave(packet, now);
        }
    }

    /// Packets that waited for a tunnel are dropped: nothing came of it.
    pub(super) fn give_up_waiting(&mut self, tunnel: &str, now: Time) {
        let packets = self.ike.waiting.take(&tunnel.to_owned());
        self.drop_waiting(packets, now);
    }

    /// Packets that have waited long enough are dropped.
    pub(super) fn expire_waiting(&mut self, now: Time) {
        let packets = self.ike.waiting.overdue(now);
        self.drop_waiting(packets, now);
    }

    /// All that wait are dropped: they name interfaces by numbers that change.
    pub(crate) fn drop_what_waits_for_ike(&mut self, now: Time) {
        let packets = self.ike.waiting.take_all();
        self.drop_waiting(packets, now);
    }

    fn drop_waiting(&mut self, packets: Vec<Packet>, now: Time) {
        for packet in packets {
            self.drop_packet(packet, DropReason::IkeFailed, now);
        }
    }
}
