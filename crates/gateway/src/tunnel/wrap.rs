//! Into a tunnel: the packet, ready to leave by the tunnel's interface, becomes ESP packets that
//! leave by the interface below.

use core::net::IpAddr;

use api::CapturePoint;
use config::model::{IfId, Tunnel, TunnelId, VrId};
use esp::Mode;
use offload::SaName;
use ports::Frame;
use reason::DropReason;
use wire::{IpVersion, Mac, Time, Tuple};

use crate::{
    Gateway,
    capture::{Place, Sight, What},
    packet::{BeforeSa, Destination, Origin, Packet},
    route::Lookup,
    stages::flow_hash,
    tunnel::{Child, SLOW_PATH, Wrapped, encapsulate::outer_tuple},
};

/// Bytes that any SA puts before a packet at most: Ethernet with a tag, IPv6, UDP, ESP and an
/// initialization vector. A record of DTLS has two bytes less.
const BEFORE: usize = 18 + 40 + 8 + 8 + 16;

/// A blank Ethernet header with the EtherType of an IP version: the parser reads frames.
const ETHERNET: usize = 14;

impl Gateway {
    /// The way to the far end of a tunnel: the interface below, and the next hop there.
    pub(crate) fn underlay(&self, tunnel: &Tunnel) -> Option<(IfId, IpAddr)> {
        self.way_below(tunnel, &outer_tuple(tunnel, 0))
    }

    /// The way to the far end of a pair of SAs.
    pub(crate) fn underlay_of_sa(&self, child: &Child) -> Option<(IfId, IpAddr)> {
        let ends = child.outbound.parameters();
        let proto = wire::proto::ESP;
        let (src, dst) = (ends.source, ends.destination);
        self.route_below(child.place.vr, &Tuple { src, dst, src_port: 0, dst_port: 0, proto })
    }

    /// The way to the far end of a tunnel, as its SAs or else its configuration have it.
    pub(crate) fn underlay_of(&self, id: TunnelId, tunnel: &Tunnel) -> Option<(IfId, IpAddr)> {
        match self.tunnels.senders(id).first().and_then(|id| self.tunnels.child(*id)) {
            Some(child) => self.underlay_of_sa(child),
            None => self.underlay(tunnel),
        }
    }

    /// The way of an outer packet. What an IPsec tunnel's selectors want of GRE and VXLAN goes by it.
    pub(super) fn way_below(&self, tunnel: &Tunnel, outer: &Tuple) -> Option<(IfId, IpAddr)> {
        let remote = tunnel.far_end()?;
        if tunnel.ipsec().is_none()
            && let Some(protected_by) = self.steered(tunnel.vr, outer)
        {
            return Some((protected_by, remote));
        }
        self.route_below(tunnel.vr, outer)
    }

    pub(super) fn route_below(&self, vr: VrId, outer: &Tuple) -> Option<(IfId, IpAddr)> {
        match self.routes.lookup(vr, outer.dst) {
            Lookup::Via(set) => {
                let member = set.select(flow_hash(outer));
                Some((member.interface, member.gateway.unwrap_or(outer.dst)))
            }
            Lookup::Local(_) | Lookup::Broadcast(_) | Lookup::Blackhole(_) | Lookup::None => None,
        }
    }

    /// Seals a packet (or what it was cut into) with the SA of its tunnel. Afterwards the packet is
    /// the ESP packet and goes to the far end.
    pub(crate) fn wrap(
        &mut self,
        packet: &mut Packet,
        id: TunnelId,
        now: Time,
    ) -> Result<(), DropReason> {
        let config = std::sync::Arc::clone(&self.config);
        let tunnel = config.tunnels.get(usize::from(id.0)).ok_or(DropReason::EspSaMissing)?;
        if tunnel.ipsec().is_none() {
            let wrapped = self.wrap_overlay(packet, id, tunnel);
            if wrapped.is_err() {
                self.overlays.count_error(id);
            }
            return wrapped;
        }
        let tuple = self.leaving_tuple(packet);
        let id = self.tunnels.sending(id, &tuple).ok_or(match self.tunnels.senders(id) {
            [] => DropReason::EspSaMissing,
            // those that are there do not carry it: the peer has narrowed them
            _ => DropReason::EspSelectorMismatch,
        })?;
        let child = self.tunnels.child(id).ok_or(DropReason::EspSaMissing)?;
        let (egress, next_hop) = self.underlay_of_sa(child).ok_or(DropReason::NoRoute)?;
        if egress == child.place.interface {
            return Err(DropReason::TunnelLoop);
        }
        let far_end = Destination::Forward { egress, gateway: Some(next_hop) };
        let (sa, interface) = (std::sync::Arc::clone(&child.outbound), child.place.interface);
        if packet.is_simulated() {
            packet.enter_underlay(Wrapped::Sa(id), far_end);
            return Ok(());
        }
        let (count, bytes) = (packet.count(), packet.volume());
        if !packet.pieces.is_empty()
            && let Some(child) = self.tunnels.child_mut(id)
        {
            child.sizes.before.count(packet.pieces.len());
        }
        let mut frames = self.final_packets(packet)?;
        for frame in &mut frames {
            if self.is_capturing() {
                packet.before_sa = Some(Box::new(before(frame, &sa)));
            }
            self.make_room(frame, sa.added_behind(frame.len()))?;
            sa.seal(frame, SLOW_PATH, now)?;
            put_blank_ethernet(frame)?;
            if let Some(before) = packet.before_sa.take() {
                let what = What::Bytes(&before.bytes);
                let place = Place::Interface(interface);
                let sight = Sight::new(CapturePoint::Encap, place, what).by(packet.tier.name());
                let sight = Sight { session: packet.session, ..sight.at_sa(Some(before.sa)) };
                self.handle_sight(&sight, now);
            }
        }
        let mut frames = frames.into_iter();
        packet.frame = frames.next().ok_or(DropReason::EspTooBig)?;
        packet.pieces = frames.collect();
        packet.headers = wire::parse(packet.frame.bytes())?;
        self.count_wrapped(packet, count, bytes);
        // In transport mode the header is still that of a sender who had it cut.
        let reassembled = packet.reassembled.filter(|_| sa.parameters().mode == Mode::Transport);
        packet.enter_underlay(Wrapped::Sa(id), far_end);
        packet.reassembled = reassembled;
        Ok(())
    }

    /// Sealing adds at both ends: a packet that fills its buffer moves to a larger one, and one that
    /// other tunnels have put headers before to one with room for more.
    pub(super) fn make_room(&self, frame: &mut Frame, wanted: usize) -> Result<(), DropReason> {
        if frame.tailroom() >= wanted && frame.headroom() >= BEFORE {
            return Ok(());
        }
        let larger = self.frames.alloc(frame.len() + wanted);
        let mut larger = larger.ok_or(DropReason::BuffersExhausted)?;
        larger.bytes_mut()[..frame.len()].copy_from_slice(frame.bytes());
        larger.truncate(frame.len());
        *frame = larger;
        Ok(())
    }

    /// Counts what a packet carries into the first of the tunnels on its way.
    pub(super) fn count_wrapped(&mut self, packet: &Packet, count: u64, bytes: u64) {
        match (packet.wrapped, packet.origin) {
            (Some(_), _) => {}
            (None, Origin::Gateway) => self.counters.originated.add(count, bytes),
            (None, Origin::Received | Origin::Simulated) => self.count_inner(packet, count, bytes),
        }
    }

    /// The packets to seal, each beginning with its IP header, all checksums finished.
    pub(super) fn final_packets(&self, packet: &mut Packet) -> Result<Vec<Frame>, DropReason> {
        let l3 = usize::from(packet.headers.l3);
        let mut frames = std::mem::take(&mut packet.pieces);
        if frames.is_empty() {
            let mut frame = std::mem::replace(&mut packet.frame, Frame::empty());
            frame.truncate(packet.headers.end as usize);
            if frame.offloads.gso.is_some() {
                ports::segment(&frame, &packet.headers, &self.frames, &mut frames)?;
            } else {
                frame.finish_checksum()?;
                frames.push(frame);
            }
        }
        for frame in &mut frames {
            frame.offloads = Default::default();
            if !frame.pull_front(l3) {
                return Err(DropReason::EspTooBig);
            }
        }
        Ok(frames)
    }
}

/// What is about to be sealed, behind a blank Ethernet header.
fn before(frame: &Frame, sa: &esp::Outbound) -> BeforeSa {
    let sa = SaName::esp(sa.parameters());
    let is_v6 = frame.bytes().first().is_some_and(|first| first >> 4 == 6);
    let ethertype: u16 = if is_v6 { 0x86dd } else { 0x0800 };
    let mut bytes = vec![0; ETHERNET - 2];
    bytes.extend_from_slice(&ethertype.to_be_bytes());
    bytes.extend_from_slice(frame.bytes());
    BeforeSa { sa, bytes }
}

/// Puts an Ethernet header without addresses before an IP packet.
pub(super) fn put_blank_ethernet(frame: &mut Frame) -> Result<(), DropReason> {
    let ethertype = match frame.bytes().first().map(|first| first >> 4) {
        Some(4) => ethertype(IpVersion::V4),
        Some(6) => ethertype(IpVersion::V6),
        Some(_) | None => return Err(DropReason::EspNextHeaderUnsupported),
    };
    put_ethernet(frame, (Mac::default(), Mac::default()), ethertype)
}

/// Puts an Ethernet header before an IP packet: receiver, sender, EtherType.
pub(super) fn put_ethernet(
    frame: &mut Frame,
    (dst, src): (Mac, Mac),
    ethertype: u16,
) -> Result<(), DropReason> {
    let header = frame.push_front(ETHERNET).ok_or(DropReason::EspTooBig)?;
    let Some(header) = header.get_mut(..ETHERNET) else { return Err(DropReason::EspTooBig) };
    header[..6].copy_from_slice(&dst.0);
    header[6..12].copy_from_slice(&src.0);
    header[12..].copy_from_slice(&ethertype.to_be_bytes());
    Ok(())
}

/// The EtherType of an IP version.
pub(super) const fn ethertype(version: IpVersion) -> u16 {
    match version {
        IpVersion::V4 => 0x0800,
        IpVersion::V6 => 0x86dd,
    }
}
