//! Packets for a client that has just gone: with a rekey, or a short loss of its network, it is back in a moment, and
//! nothing of what is sent to it meanwhile should be lost.

use core::time::Duration;

use ::anyconnect::ClientId;
use config::model::TunnelId;
use reason::DropReason;
use wire::{Time, Tuple};

use super::{super::waiting::Limits, ServerId};
use crate::{
    Gateway,
    packet::{Destination, Packet},
};

/// For how long after it has gone packets for a client wait. A rekey with a new connection takes two round trips
/// of TCP and TLS and one of HTTP.
const GONE: Duration = Duration::from_secs(1);

/// How many packets wait for a client and in all, those of a super-packet counted one by one, and how long.
pub(super) const LIMITS: Limits = Limits { each: 2_048, all: 4_096, longest: GONE };

impl Gateway {
    /// Whether a packet that leaves by a tunnel has to wait for its client to come again.
    pub(crate) fn awaits_client(&self, id: TunnelId, tuple: &Tuple, now: Time) -> bool {
        let found = self.remote.of_tunnel(id).and_then(|server| server.at(tuple.dst));
        found.is_some_and(|(_, client)| {
            !client.connected && client.gone.is_some_and(|at| now < at + GONE)
        })
    }

    /// A packet waits for its client.
    pub(crate) fn hold_for_client(&mut self, id: TunnelId, packet: Packet, now: Time) {
        let destination = self.leaving_tuple(&packet).dst;
        let server = self.remote.by_tunnel.get(&id).copied();
        let client = self.remote.of_tunnel(id).and_then(|server| server.at(destination));
        let Some((server, (client, _))) = server.zip(client) else {
            return self.drop_absent(vec![packet], now);
        };
        let weight = packet.count() as usize;
        if let Err(packet) = self.remote.waiting.hold((server, client), weight, packet, now) {
            self.drop_absent(vec![*packet], now);
        }
    }

    /// Packets for a client go on: it is there.
    pub(super) fn release_held(&mut self, id: ServerId, client: ClientId, now: Time) {
        for packet in self.remote.waiting.take(&(id, client)) {
            self.leave(packet, now);
        }
    }

    /// Packets for a client are dropped: it does not come again.
    pub(super) fn drop_held(&mut self, id: ServerId, client: ClientId, now: Time) {
        let packets = self.remote.waiting.take(&(id, client));
        self.drop_absent(packets, now);
    }

    /// Packets that have waited long enough are dropped.
    pub(super) fn expire_held(&mut self, now: Time) {
        let packets = self.remote.waiting.overdue(now);
        self.drop_absent(packets, now);
    }

    /// All that wait are dropped: they name interfaces by numbers that change.
    pub(crate) fn drop_what_waits_for_clients(&mut self, now: Time) {
        let packets = self.remote.waiting.take_all();
        self.drop_absent(packets, now);
    }

    fn drop_absent(&mut self, packets: Vec<Packet>, now: Time) {
        for packet in packets {
            self.drop_packet(packet, DropReason::RemoteClientAway, now);
        }
    }

    /// The tunnel of clients that a packet leaves by.
    pub(crate) fn clients_towards(&self, packet: &Packet) -> Option<TunnelId> {
        let Destination::Forward { egress, .. } = packet.destination else { return None };
        let id = self.interface(egress).tunnel()?;
        self.remote.of_tunnel(id).map(|_| id)
    }
}
