//! Packets of the gateway's own making: ICMP errors, echo replies, TCP resets, datagrams of IKE.
//!
//! They go through `route` and `policy` (the local-out rules) and leave like any other packet.

use core::net::{IpAddr, SocketAddr};

use config::model::{IfId, Interface, VrId};
use ports::{Frame, PortId};
use reason::{DropReason, PuntCause};
use wire::{Headers, Time};

use crate::{
    Gateway,
    local::{self, IcmpErrorKind},
    packet::{Destination, Origin, Packet, Tier},
    route::Lookup,
    session::transport,
    tcp::Segment,
};

impl Gateway {
    /// Tells the sender of `offending`, which came in by `ingress`, what became of it; says whether it
    /// was told.
    pub(crate) fn send_icmp_error(
        &mut self,
        kind: IcmpErrorKind,
        offending: &[u8],
        ingress: IfId,
        now: Time,
    ) -> bool {
        let Ok(headers) = wire::parse(offending) else { return false };
        let Some(source) = self.own_address(ingress, headers.src()) else { return false };
        if !local::may_answer(kind, &headers) {
            return false;
        }
        if !self.limiter.allow(headers.src(), now) {
            self.counters.icmp_errors_limited += 1;
            return false;
        }
        let mut bytes = Vec::with_capacity(1_400);
        let made = local::icmp_error(kind, offending, &headers, source, &mut bytes);
        if made {
            self.counters.icmp_errors_sent += 1;
            self.originate(&bytes, ingress, now);
        }
        made
    }

    /// Answers a TCP segment with a reset (RFC 9293 §3.10.7.1).
    pub(crate) fn send_reset(&mut self, offending: &[u8], ingress: IfId, now: Time) {
        let Ok(headers) = wire::parse(offending) else { return };
        if !self.limiter.allow(headers.src(), now) {
            self.counters.icmp_errors_limited += 1;
            return;
        }
        let mut bytes = Vec::with_capacity(128);
        if local::tcp_reset(offending, &headers, &mut bytes) {
            self.counters.resets_sent += 1;
            self.originate(&bytes, ingress, now);
        }
    }

    /// Answers an echo request.
    pub(crate) fn send_echo_reply(&mut self, packet: &Packet, now: Time) {
        let mut bytes = Vec::with_capacity(packet.frame.len());
        if local::echo_reply(packet.frame.bytes(), &packet.headers, &mut bytes) {
            self.originate(&bytes, packet.ingress, now);
        }
    }

    /// Sends a datagram of the gateway's own from one of its addresses in a virtual router.
    pub(crate) fn send_udp(
        &mut self,
        vr: VrId,
        (from, to): (SocketAddr, SocketAddr),
        parts: &[&[u8]],
        now: Time,
    ) {
        let Lookup::Local(interface) = self.routes.lookup(vr, from.ip()) else { return };
        let id = self.rng.next_u64() as u16;
        let mut bytes = Vec::with_capacity(1_400);
        if local::udp(from, to, parts, id, &mut bytes) {
            self.originate(&bytes, interface, now);
        }
    }

    /// Sends a segment of a connection that ends here. Its session hears of it.
    /// Whoever is on the way may cut an IPv4 packet, since nobody here hears that it is too big.
    pub(crate) fn send_segment(&mut self, Segment { vr, frame }: Segment, now: Time) {
        let Ok(headers) = wire::parse(frame.bytes()) else { return };
        let Lookup::Local(interface) = self.routes.lookup(vr, headers.src()) else { return };
        let transport = transport(frame.bytes(), &headers);
        let Some(packet) = self.originated(frame, headers, interface) else { return };
        if let Some((id, direction)) = self.sessions.lookup(vr, &headers.tuple) {
            self.sessions.observe(id, direction, &headers, transport, &self.windows, now);
            if let Some(session) = self.sessions.get_mut(id) {
                session.add_slow(direction, packet.count(), packet.volume());
            }
        }
        self.run_originated(packet, now);
    }

    /// Sends a packet that stands behind a blank Ethernet header in `bytes`.
    fn originate(&mut self, bytes: &[u8], ingress: IfId, now: Time) {
        let Some(frame) = self.frames.alloc_from(bytes) else {
            self.counters.drop(DropReason::BuffersExhausted, ingress);
            return;
        };
        let Ok(headers) = wire::parse(frame.bytes()) else { return };
        if let Some(packet) = self.originated(frame, headers, ingress) {
            self.run_originated(packet, now);
        }
    }

    fn originated(&self, frame: Frame, headers: Headers, ingress: IfId) -> Option<Packet> {
        let interface = self.config.interface(ingress)?;
        let (port, vr) = (port_of(interface), interface.vr);
        let destination = self.way_back(ingress, &headers);
        let mut packet =
            Packet::new(frame, headers, (port, ingress, vr), Origin::Gateway, PuntCause::FlowMiss);
        packet.tier = Tier::SlowEstablished;
        packet.destination = destination;
        Some(packet)
    }

    /// Link-local destinations have no route: they are on the link they came from. What is said of a
    /// packet that came out of an IPsec tunnel quotes it, and goes back into the tunnel or nowhere.
    fn way_back(&self, interface: IfId, headers: &Headers) -> Destination {
        let tunnel = self.clients.are_behind(interface)
            || self.tunnel_of(interface).is_some_and(|(_, t)| t.ipsec().is_some());
        if tunnel || crate::anomaly::is_link_local(headers.dst()) {
            Destination::Forward { egress: interface, gateway: None }
        } else {
            Destination::Undecided
        }
    }

    /// The address of an interface that answers `peer`: one of its subnet, else the first of the
    /// version; for IPv6 without one, the link-local address. On a tunnel without an address of its
    /// own, one that its selectors let through.
    pub(crate) fn own_address(&self, interface: IfId, peer: IpAddr) -> Option<IpAddr> {
        let config = self.config.interface(interface)?;
        let same = |net: &&ipnet::IpNet| net.addr().is_ipv4() == peer.is_ipv4();
        let mut candidates = config.addresses.iter().filter(same);
        let in_subnet = candidates.clone().find(|net| net.contains(&peer));
        let first = in_subnet.or_else(|| candidates.next()).map(ipnet::IpNet::addr);
        first.or_else(|| {
            let router = self.config.interfaces.iter().filter(|i| i.vr == config.vr);
            let any = router.flat_map(|i| &i.addresses).filter(same).map(ipnet::IpNet::addr);
            let selected = |src: &IpAddr| {
                self.tunnel_of(interface).is_some_and(|(_, tunnel)| {
                    let (proto, src_port, dst_port) = (wire::proto::ICMP, 0, 0);
                    let tuple = wire::Tuple { src: *src, dst: peer, src_port, dst_port, proto };
                    self.selected(tunnel, &tuple)
                })
            };
            any.clone().find(selected).or_else(|| any.clone().next())
        })
    }
}

/// The port of an interface; tunnels have none, and no port has this number.
pub(crate) fn port_of(interface: &Interface) -> PortId {
    PortId(interface.port().unwrap_or(u16::MAX))
}
