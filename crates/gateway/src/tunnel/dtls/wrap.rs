//! Into a record: a packet that leaves by the interface of clients becomes a datagram to the one who has its
//! destination address.

use core::net::IpAddr;

use api::CapturePoint;
use config::model::IfId;
use offload::SaName;
use reason::DropReason;
use wire::Time;

use super::{Client, ClientNumber};
use crate::{
    Gateway,
    capture::{Place, Sight, What},
    neighbour::NeighbourId,
    packet::{Destination, Packet},
    tunnel::{OUT, Wrapped, wrap::put_blank_ethernet},
};

use crate::tunnel::SLOW_PATH;

impl Gateway {
    /// Who a packet that leaves by an interface of clients is for, and whether records carry it there.
    pub(crate) fn client_towards(&self, egress: IfId, packet: &Packet) -> Option<ClientNumber> {
        self.clients.at(egress, self.leaving_tuple(packet).dst)
    }

    /// The largest packet that leaves by an interface towards an address.
    pub(crate) fn mtu_towards(&self, egress: IfId, address: IpAddr) -> u16 {
        let mtu = self.exit_mtu(egress);
        let remote = self.tunnel_of(egress).and_then(|(id, _)| self.remote.of_tunnel(id));
        let of_tls = remote.and_then(|server| server.at(address)).map(|(_, client)| client.mtu);
        let client = self.clients.at(egress, address).and_then(|number| self.clients.get(number));
        let of_dtls = client.map(|client| client.is.mtu);
        of_tls.into_iter().chain(of_dtls).fold(mtu, u16::min)
    }

    /// Seals a packet (or what it was cut into) for its client. Afterwards the packet is the datagram and goes
    /// where the client is.
    pub(crate) fn wrap_client(
        &mut self,
        packet: &mut Packet,
        number: ClientNumber,
        now: Time,
    ) -> Result<(), DropReason> {
        let client = self.clients.get(number).ok_or(DropReason::DtlsNoAssociation)?;
        let association = client.association.as_ref().ok_or(DropReason::DtlsNoAssociation)?;
        let (outbound, interface) = (association.outbound.clone(), client.is.interface);
        let (egress, next_hop) = self.way_to_client(client).ok_or(DropReason::NoRoute)?;
        if egress == interface {
            return Err(DropReason::TunnelLoop);
        }
        let there = Destination::Forward { egress, gateway: Some(next_hop) };
        if packet.is_simulated() {
            packet.enter_underlay(Wrapped::Client(number), there);
            return Ok(());
        }
        let (count, bytes) = (packet.count(), packet.volume());
        let mut frames = self.final_packets(packet)?;
        for frame in &mut frames {
            if self.is_capturing() {
                let mut before = frame.bytes().to_vec();
                let is_v6 = before.first().is_some_and(|first| first >> 4 == 6);
                let ethertype: u16 = if is_v6 { 0x86dd } else { 0x0800 };
                before.splice(..0, [&[0; 12][..], &ethertype.to_be_bytes()].concat());
                let (what, place) = (What::Bytes(&before), Place::Interface(interface));
                let sight = Sight::new(CapturePoint::Encap, place, what).by(packet.tier.name());
                let sa = SaName::Dtls { number: number.0 };
                let sight = Sight { session: packet.session, ..sight.at_sa(Some(sa)) };
                self.handle_sight(&sight, now);
            }
            self.make_room(frame, aead::TAG_LEN)?;
            outbound.seal_packet(frame, SLOW_PATH, now)?;
            put_blank_ethernet(frame)?;
        }
        let mut frames = frames.into_iter();
        packet.frame = frames.next().ok_or(DropReason::DtlsTooBig)?;
        packet.pieces = frames.collect();
        packet.headers = wire::parse(packet.frame.bytes())?;
        self.count_wrapped(packet, count, bytes);
        packet.enter_underlay(Wrapped::Client(number), there);
        Ok(())
    }

    /// The way to where a client is: the interface below, and the next hop there.
    pub(super) fn way_to_client(&self, client: &Client) -> Option<(IfId, IpAddr)> {
        let path = client.association.as_ref()?.path;
        self.route_below(client.is.vr, &offload::datagrams_of(path).reversed())
    }

    /// A client keeps the neighbour that its datagrams go to, so that its association can be promoted.
    pub(crate) fn remember_way_to_client(&mut self, number: ClientNumber, id: u32, now: Time) {
        let Some(client) = self.clients.clients.get_mut(&number) else { return };
        let before = std::mem::replace(&mut client.next_hop, id);
        if before != id {
            if before != u32::MAX {
                self.neighbours.release(NeighbourId(before));
            }
            self.neighbours.acquire(NeighbourId(id));
            let known = self.neighbours.get(NeighbourId(id));
            if let Some((interface, mac)) = known.and_then(|n| n.mac.map(|mac| (n.interface, mac)))
            {
                self.publish_adjacency(NeighbourId(id), interface, mac);
            }
            if let Some(handle) = self.client_handle(number, OUT) {
                self.engine.move_sa(handle, offload::AdjacencyId(id));
                return;
            }
        }
        self.promote_client(number, OUT, now);
    }
}
