//! Into and out of GRE and VXLAN.
//!
//! Outer headers are made, not copied: a TTL of their own, DSCP and DF by the tunnel's rules, ECN by
//! RFC 6040. What comes out enters again as a packet of the tunnel's interface, from `ingress` on.

use core::net::IpAddr;

use config::model::{IfId, Tunnel, TunnelId, TunnelKind};
use ports::{Frame, PortId};
use reason::{DemotionReason, DropReason, PuntCause};
use wire::{Headers, IpVersion, L3, Mac, Time, Tuple, ecn, gre, outer::OuterFields, proto, vxlan};

use super::{
    Carried, Wrapped, overlay, path,
    wrap::{ethertype, put_blank_ethernet, put_ethernet},
};
use crate::{
    Gateway,
    packet::{Destination, Origin, Packet},
    stages::flow_hash,
};

/// What the outer header takes from the packet inside.
#[derive(Clone, Copy)]
struct Inside {
    tos: u8,
    df: bool,
    /// Keeps a flow on one path.
    flow: u64,
}

impl Gateway {
    /// Wraps a packet (or what it was cut into). Afterwards it is the outer packet, on its way to
    /// the far end.
    pub(super) fn wrap_overlay(
        &mut self,
        packet: &mut Packet,
        id: TunnelId,
        tunnel: &Tunnel,
    ) -> Result<(), DropReason> {
        let inside = Inside {
            tos: packet.headers.tos,
            // Fragments were cut by ourselves, so the path below may cut them too; and what passes though
            // it is larger than the path has to be cut.
            df: packet.headers.df
                && packet.pieces.is_empty()
                && packet.largest_ip_len() <= u32::from(self.exit_mtu(tunnel.interface)),
            flow: flow_hash(&packet.headers.tuple),
        };
        let far_end = self.far_end(tunnel, inside.flow)?;
        if packet.is_simulated() {
            packet.enter_underlay(Wrapped::Overlay(id), far_end);
            return Ok(());
        }
        let (count, bytes) = (packet.count(), packet.volume());
        let link = (packet.next_hop.map_or(Mac::default(), |(_, mac)| mac), self.tunnel_mac(id));
        let version = packet.headers.version().map_or(0, ethertype);
        let mut frames = self.final_packets(packet)?;
        for frame in &mut frames {
            if tunnel.is_ethernet() {
                *frame = self.roomy(frame)?;
                put_ethernet(frame, link, version)?;
            }
            self.put_outer(frame, id, tunnel, inside)?;
        }
        let mut frames = frames.into_iter();
        packet.frame = frames.next().ok_or(DropReason::TunnelTooBig)?;
        packet.pieces = frames.collect();
        packet.headers = wire::parse(packet.frame.bytes())?;
        self.count_wrapped(packet, count, bytes);
        packet.enter_underlay(Wrapped::Overlay(id), far_end);
        Ok(())
    }

    /// Sends an Ethernet frame of the gateway's own, ARP or neighbour discovery, into a tunnel.
    pub(crate) fn send_into(&mut self, id: TunnelId, bytes: &[u8], now: Time) {
        let config = std::sync::Arc::clone(&self.config);
        let Some(tunnel) = config.tunnels.get(usize::from(id.0)) else { return };
        if let Err(reason) = self.send_framed(id, tunnel, bytes, now) {
            self.overlays.count_error(id);
            self.counters.drop(reason, tunnel.interface);
        }
    }

    fn send_framed(
        &mut self,
        id: TunnelId,
        tunnel: &Tunnel,
        bytes: &[u8],
        now: Time,
    ) -> Result<(), DropReason> {
        let inside = Inside { tos: 0, df: false, flow: 0 };
        let far_end = self.far_end(tunnel, inside.flow)?;
        let mut frame = self.frames.alloc_from(bytes).ok_or(DropReason::BuffersExhausted)?;
        self.put_outer(&mut frame, id, tunnel, inside)?;
        let headers = wire::parse(frame.bytes())?;
        let place = (PortId(u16::MAX), tunnel.interface, tunnel.vr);
        let mut packet = Packet::new(frame, headers, place, Origin::Gateway, PuntCause::FlowMiss);
        packet.enter_underlay(Wrapped::Overlay(id), far_end);
        self.leave(packet, now);
        Ok(())
    }

    /// Puts the headers of a tunnel before what it carries.
    fn put_outer(
        &mut self,
        frame: &mut Frame,
        id: TunnelId,
        tunnel: &Tunnel,
        inside: Inside,
    ) -> Result<(), DropReason> {
        let carried = frame.len();
        *frame = self.roomy(frame)?;
        let rules = overlay::rules(tunnel).ok_or(DropReason::TunnelTooBig)?;
        let overlay = self.overlays.get_mut(id).ok_or(DropReason::TunnelTooBig)?;
        let mut source_port = None;
        match &tunnel.kind {
            TunnelKind::Ipsec(_) | TunnelKind::Remote(_) => {}
            TunnelKind::Gre(gre) => {
                let inside = match frame.bytes().first().map(|first| first >> 4) {
                    Some(6) => IpVersion::V6,
                    Some(_) | None => IpVersion::V4,
                };
                let sequence = gre.sequence.then(|| overlay.next_sequence());
                let (checksum, key) = (gre.checksum, gre.key);
                let header = gre::Header { inside, checksum, key, sequence };
                frame.push_front(header.len()).ok_or(DropReason::TunnelTooBig)?;
                header.write(frame.bytes_mut());
            }
            TunnelKind::Vxlan(vxlan) => {
                let header = frame.push_front(vxlan::HEADER_LEN).ok_or(DropReason::TunnelTooBig)?;
                header[..vxlan::HEADER_LEN].copy_from_slice(&vxlan::header(vxlan.vni));
                source_port = Some(vxlan::source_port(inside.flow));
            }
        }
        let overlay = self.overlays.get_mut(id).ok_or(DropReason::TunnelTooBig)?;
        if frame.len() + overlay.outer.len() > usize::from(u16::MAX) {
            return Err(DropReason::TunnelTooBig);
        }
        frame.push_front(overlay.outer.len()).ok_or(DropReason::TunnelTooBig)?;
        let tos = match rules.dscp {
            esp::DscpRule::Copy => inside.tos,
            esp::DscpRule::Set(dscp) => dscp << 2 | inside.tos & ecn::MASK,
        };
        let df = match rules.df {
            esp::DfRule::Copy => inside.df,
            esp::DfRule::Set => true,
            esp::DfRule::Clear => false,
        };
        let id = overlay.next_identification();
        overlay.outer.write(frame.bytes_mut(), OuterFields { tos, df, id, source_port });
        overlay.sent.packets += 1;
        overlay.sent.bytes += carried as u64;
        put_blank_ethernet(frame)
    }

    /// The frame, taken out of its place, with room before it for the headers of any tunnel: itself, or a copy.
    fn roomy(&self, frame: &mut Frame) -> Result<Frame, DropReason> {
        if frame.headroom() >= ROOM {
            return Ok(std::mem::replace(frame, Frame::empty()));
        }
        self.frames.alloc_from(frame.bytes()).ok_or(DropReason::BuffersExhausted)
    }

    fn far_end(&self, tunnel: &Tunnel, flow: u64) -> Result<Destination, DropReason> {
        let tuple = outer_tuple(tunnel, flow);
        let (egress, next_hop) = self.way_below(tunnel, &tuple).ok_or(DropReason::NoRoute)?;
        if egress == tunnel.interface {
            return Err(DropReason::TunnelLoop);
        }
        Ok(Destination::Forward { egress, gateway: Some(next_hop) })
    }

    /// MAC address of a tunnel's interface.
    fn tunnel_mac(&self, id: TunnelId) -> Mac {
        let interface = self.config.tunnels.get(usize::from(id.0)).map(|tunnel| tunnel.interface);
        interface.map_or(Mac::default(), |id| self.topology.mac(self.interface(id)))
    }

    /// Takes a GRE or VXLAN packet apart; what is inside takes its place, as a packet of the tunnel.
    pub(crate) fn unwrap_overlay(
        &mut self,
        packet: &mut Packet,
        carried: Carried,
        now: Time,
    ) -> Result<(), DropReason> {
        // RFC 4301 §5.2: what ESP is to protect is not taken in clear. What it does not protect must at
        // least come from where the far end is.
        let outer = packet.headers;
        match self.steered(packet.vr, &outer.tuple.reversed()) {
            Some(tunnel) if tunnel != packet.ingress => return Err(DropReason::EspUnprotected),
            Some(_) => {}
            None => {
                let rpf = self.interface(packet.ingress).rpf;
                self.routes.rpf(packet.vr, outer.src(), packet.ingress, rpf)?;
            }
        }
        packet.frame.truncate(outer.end as usize);
        packet.frame.finish_checksum()?;
        let config = std::sync::Arc::clone(&self.config);
        let tunnel = |id: TunnelId| config.tunnels.get(usize::from(id.0));
        let (id, truncated) = match carried {
            Carried::Gre(id, header) => {
                let kind = tunnel(id).map(|tunnel| &tunnel.kind);
                if let (Some(TunnelKind::Gre(gre)), Some(overlay)) =
                    (kind, self.overlays.get_mut(id))
                {
                    overlay.take_sequence(gre, header.sequence, now)?;
                }
                let start = usize::from(outer.payload) + header.len();
                if !packet.frame.pull_front(start) {
                    return Err(DropReason::GreTruncated);
                }
                put_ethernet(&mut packet.frame, Default::default(), ethertype(header.inside))?;
                (id, DropReason::GreTruncated)
            }
            Carried::Vxlan(id) => {
                packet.frame.truncate(udp_end(&packet.frame, &outer));
                if !packet.frame.pull_front(usize::from(outer.payload) + vxlan::HEADER_LEN) {
                    return Err(DropReason::VxlanTruncated);
                }
                (id, DropReason::VxlanTruncated)
            }
            Carried::Malformed(_, reason) => return Err(reason),
            Carried::Nothing
            | Carried::Esp(_)
            | Carried::UnknownSpi(_)
            | Carried::Keepalive
            | Carried::TooBig(..)
            | Carried::Doubted(_)
            | Carried::OverlayTooBig(..) => return Err(DropReason::EspSpiUnknown),
        };
        packet.frame.offloads = Default::default();
        packet.headers = match wire::parse(packet.frame.bytes()) {
            Err(DropReason::FrameTooShort) => return Err(truncated),
            parsed => parsed?,
        };
        if packet.headers.vlan.is_some() {
            return Err(DropReason::VxlanInnerTag);
        }
        self.settle_ecn(packet, outer.tos)?;
        let tunnel = tunnel(id).ok_or(truncated)?;
        if let Some(overlay) = self.overlays.get_mut(id) {
            overlay.received.packets += 1;
            overlay.received.bytes +=
                packet.frame.len() as u64 - if tunnel.is_ethernet() { 0 } else { 14 };
        }
        packet.ingress = tunnel.interface;
        packet.vr = self.interface(tunnel.interface).vr;
        packet.reassembled = None;
        packet.nesting += 1;
        Ok(())
    }

    /// The ECN field of what came out of a tunnel (RFC 6040 §4.2).
    fn settle_ecn(&self, packet: &mut Packet, outer: u8) -> Result<(), DropReason> {
        let L3::Ip(version) = packet.headers.kind else { return Ok(()) };
        let inner = packet.headers.tos;
        let told = ecn::decapsulate(inner, outer)?;
        if told != inner & ecn::MASK {
            let l3 = usize::from(packet.headers.l3);
            if let Some(ip) = packet.frame.bytes_mut().get_mut(l3..) {
                ecn::set(ip, version, told);
            }
            packet.headers.tos = inner & !ecn::MASK | told;
        }
        Ok(())
    }

    /// Whether a datagram has no UDP checksum over IPv6, for a tunnel that is configured so.
    pub(crate) fn is_unchecked_vxlan(&self, packet: &Packet) -> bool {
        let at = usize::from(packet.headers.l4) + 6;
        packet.frame.bytes().get(at..at + 2) == Some(&[0, 0])
            && self.overlays.takes_zero_checksum(&self.config, packet.vr, &packet.headers)
    }

    /// The tunnel that an ICMP "too big" is about, and the MTU it tells. Unlike with ESP nothing in the
    /// quote is secret; the least MTU bounds what a liar can do.
    pub(crate) fn overlay_too_big(&self, packet: &Packet) -> Option<(TunnelId, u16)> {
        let (bytes, headers) = (packet.frame.bytes(), &packet.headers);
        let told = wire::icmp::announced_mtu(bytes, headers)?;
        let quoted = wire::quoted_overlay(bytes, headers)?;
        let id = self.overlays.sent(packet.vr, &quoted)?;
        let least = path::least(quoted.destination);
        Some((id, u16::try_from(told).unwrap_or(u16::MAX).max(least)))
    }

    /// Believes it. Sessions that go through are asked again: their packets must be smaller now.
    pub(crate) fn learn_overlay_mtu(&mut self, id: TunnelId, mtu: u16, now: Time) -> bool {
        let config = std::sync::Arc::clone(&self.config);
        let Some(tunnel) = config.tunnels.get(usize::from(id.0)) else { return false };
        if self.path_mtu(id, tunnel).is_none_or(|known| mtu >= known) {
            return false;
        }
        if let Some(overlay) = self.overlays.get_mut(id) {
            overlay.path_mtu = Some((mtu, now));
        }
        self.reevaluate_all(DemotionReason::PathMtuChanged, now);
        true
    }

    /// What stands against offering a session, or an SA, that leaves or comes by an interface.
    pub(crate) fn overlay_against(&self, interface: IfId) -> Option<reason::NotEligible> {
        match &self.tunnel_of(interface)?.1.kind {
            TunnelKind::Ipsec(_) => None,
            TunnelKind::Gre(_) => Some(reason::NotEligible::GreNotOffloaded),
            TunnelKind::Vxlan(_) => Some(reason::NotEligible::VxlanNotOffloaded),
            TunnelKind::Remote(_) => Some(reason::NotEligible::RemoteAccessNotOffloaded),
        }
    }
}

/// The longest headers one tunnel adds, in bytes: IPv6, UDP, VXLAN and the inner Ethernet header, and
/// the blank Ethernet header before them.
const ROOM: usize = 40 + 8 + 8 + 14 + 14;

/// What routes and selectors see of a tunnel's packets.
pub(super) fn outer_tuple(tunnel: &Tunnel, flow: u64) -> Tuple {
    let (src, dst): (IpAddr, IpAddr) = (tunnel.local, tunnel.remote);
    let (proto, src_port, dst_port) = match &tunnel.kind {
        TunnelKind::Ipsec(_) => (proto::ESP, 0, 0),
        TunnelKind::Gre(_) => (proto::GRE, 0, 0),
        TunnelKind::Vxlan(vxlan) => (proto::UDP, vxlan::source_port(flow), vxlan.port),
        TunnelKind::Remote(access) => (proto::UDP, access.port, 0),
    };
    Tuple { src, dst, src_port, dst_port, proto }
}

/// Where a datagram ends by its own length, which the parser has checked.
fn udp_end(frame: &Frame, headers: &Headers) -> usize {
    let at = usize::from(headers.l4) + 4;
    let length =
        frame.bytes().get(at..at + 2).map_or(0, |b| usize::from(u16::from_be_bytes([b[0], b[1]])));
    usize::from(headers.l4) + length
}
