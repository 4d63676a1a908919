//! Out of a tunnel: an ESP packet for one of our SAs becomes the packet inside, which enters again
//! as a packet of the tunnel's interface.

use api::CapturePoint;
use config::model::{TunnelId, VrId};
use offload::SaName;
use ports::PortId;
use reason::DropReason;
use wire::{Fragmentation, Headers, Time, gre, proto};

use super::{ChildId, SLOW_PATH, wrap::put_blank_ethernet};
use crate::{
    Gateway,
    capture::{Place, Sight, What},
    packet::{BeforeSa, Origin, Packet},
    route::Lookup,
};

/// What a packet is to the tunnels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carried {
    /// No tunnel's affair.
    Nothing,
    /// ESP for this child.
    Esp(ChildId),
    /// ESP to an own address with an SPI that no SA has.
    UnknownSpi(u32),
    /// A NAT keepalive (RFC 3948 §4).
    Keepalive,
    /// An ICMP error that an ESP packet of ours was too big for the path, with the path's MTU.
    TooBig(ChildId, u16),
    /// An ICMP error that names an SA of ours, and quotes nothing that it has sent lately.
    Doubted(ChildId),
    /// GRE for this tunnel, with this header.
    Gre(TunnelId, gre::Header),
    /// VXLAN for this tunnel.
    Vxlan(TunnelId),
    /// Between the ends of this tunnel, and not to be taken.
    Malformed(TunnelId, DropReason),
    /// An ICMP error that a packet of this tunnel was too big for the path, with the path's MTU.
    OverlayTooBig(TunnelId, u16),
}

/// What came out of an ESP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unwrapped {
    /// A packet; it is in the frame now.
    Packet,
    /// A dummy packet (RFC 4303 §2.6); nothing is left.
    Dummy,
}

impl Gateway {
    /// What a packet is to the tunnels.
    pub(crate) fn carried(&self, packet: &Packet) -> Carried {
        let headers = &packet.headers;
        if self.tunnels.is_empty() || headers.fragment != Fragmentation::Whole {
            return Carried::Nothing;
        }
        let udp = match headers.tuple.proto {
            proto::ICMP | proto::ICMPV6 => {
                let overlay = || {
                    self.overlay_too_big(packet).map(|(id, mtu)| Carried::OverlayTooBig(id, mtu))
                };
                let child = self.told_too_big(packet).map(|(id, mtu)| match mtu {
                    Some(mtu) => Carried::TooBig(id, mtu),
                    None => Carried::Doubted(id),
                });
                return child.or_else(overlay).unwrap_or(Carried::Nothing);
            }
            proto::ESP => false,
            proto::UDP if self.tunnels.udp_ports().contains(&headers.tuple.dst_port) => true,
            _ => {
                let whole = usize::from(headers.payload)..headers.end as usize;
                let payload = packet.frame.bytes().get(whole).unwrap_or_default();
                return self.overlays.carried(packet.vr, headers, payload);
            }
        };
        let payload = packet.frame.bytes().get(usize::from(headers.payload)..);
        let payload = payload.unwrap_or_default();
        if udp && headers.payload_len() == 1 && payload.first() == Some(&0xff) {
            return match self.is_own(packet.vr, headers) {
                true => Carried::Keepalive,
                false => Carried::Nothing,
            };
        }
        let Some(spi) = payload.first_chunk().map(|spi| u32::from_be_bytes(*spi)) else {
            return Carried::Nothing;
        };
        // RFC 3948 §2.2: the non-ESP marker.
        if udp && spi == 0 {
            return Carried::Nothing;
        }
        match self.tunnels.receiving(spi, headers.dst(), packet.vr) {
            Some(child) => Carried::Esp(child),
            None if self.is_own(packet.vr, headers) => Carried::UnknownSpi(spi),
            None => Carried::Nothing,
        }
    }

    fn is_own(&self, vr: VrId, headers: &Headers) -> bool {
        matches!(self.routes.lookup(vr, headers.dst()), Lookup::Local(_))
    }

    /// Opens an ESP packet; what is inside takes its place, as a packet of the tunnel.
    pub(crate) fn unwrap(
        &mut self,
        packet: &mut Packet,
        number: ChildId,
        now: Time,
    ) -> Result<Unwrapped, DropReason> {
        let child = self.tunnels.child(number).ok_or(DropReason::EspSpiUnknown)?;
        let (id, inbound) = (child.tunnel, std::sync::Arc::clone(&child.inbound));
        packet.frame.truncate(packet.headers.end as usize);
        let sa = SaName::esp(inbound.parameters());
        if self.is_capturing() {
            let bytes = packet.frame.bytes().to_vec();
            packet.before_sa = Some(Box::new(BeforeSa { sa, bytes }));
        }
        if !packet.frame.pull_front(usize::from(packet.headers.l3)) {
            return Err(DropReason::EspMalformed);
        }
        packet.frame.offloads = Default::default();
        match inbound.open(&mut packet.frame, SLOW_PATH, now)? {
            esp::Opened::Packet(_) => {}
            esp::Opened::Dummy => return Ok(Unwrapped::Dummy),
        }
        put_blank_ethernet(&mut packet.frame)?;
        packet.headers = wire::parse(packet.frame.bytes())?;
        let config = std::sync::Arc::clone(&self.config);
        let tunnel = config.tunnels.get(usize::from(id.0)).ok_or(DropReason::EspSpiUnknown)?;
        packet.ingress = tunnel.interface;
        if self.is_capturing() {
            let (place, what) = (Place::Interface(packet.ingress), What::Frame(&packet.frame));
            let sight = Sight::new(CapturePoint::Decap, place, what).by(packet.tier.name());
            self.handle_sight(&sight.at_sa(Some(sa)), now);
        }
        if let Err(reason) = self.check_selectors(packet, Some(number)) {
            if let Some(before) = &mut packet.before_sa {
                before.bytes = packet.frame.bytes().to_vec();
            }
            return Err(reason);
        }
        packet.before_sa = None;
        packet.asks_for_no_sa();
        packet.vr = self.interface(tunnel.interface).vr;
        packet.reassembled = None;
        packet.nesting += 1;
        Ok(Unwrapped::Packet)
    }

    /// RFC 4301 §5.2: what came out of an SA must be what its selectors let in.
    /// Where it is not known which SA that was, one of its tunnel must be.
    pub(crate) fn check_selectors(
        &self,
        packet: &Packet,
        by: Option<ChildId>,
    ) -> Result<(), DropReason> {
        let tunnel = self.tunnel_of(packet.ingress).filter(|(_, tunnel)| tunnel.ipsec().is_some());
        let Some((id, tunnel)) = tunnel else { return Ok(()) };
        let tuple = packet.headers.tuple.reversed();
        let carried = match by {
            Some(by) => self.tunnels.child(by).is_some_and(|child| child.carries(&tuple)),
            None => {
                let mut children = self.tunnels.children().map(|(_, child)| child);
                children.any(|child| child.tunnel == id && child.carries(&tuple))
            }
        };
        match carried && self.selected(tunnel, &tuple) {
            true => Ok(()),
            false => Err(DropReason::EspSelectorMismatch),
        }
    }

    /// A super-packet of ESP in UDP is many ESP packets; each goes its own way.
    pub(crate) fn unwrap_each(&mut self, packet: &Packet, now: Time) -> Result<(), DropReason> {
        let mut frames = Vec::new();
        ports::segment(&packet.frame, &packet.headers, &self.frames, &mut frames)?;
        for frame in frames {
            let headers = wire::parse(frame.bytes())?;
            let (port, ingress, vr) = (packet.port, packet.ingress, packet.vr);
            let place = (PortId(port.0), ingress, vr);
            let piece = Packet::new(frame, headers, place, Origin::Received, packet.cause);
            self.run(piece, now);
        }
        Ok(())
    }
}
