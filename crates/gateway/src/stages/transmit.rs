//! Transmit: layer 2, and into the port's queue.

use ports::{Frame, PortId};
use reason::DropReason;
use wire::{IpVersion, L3, Mac, Time, VlanId};

use crate::{
    Gateway,
    originate::port_of,
    packet::{Destination, Origin, Packet, Verdict},
    trace::Note,
};

/// Ethernet header and 802.1Q tag.
const ETHERNET: usize = 14;
const TAG: usize = 4;

pub(crate) fn run(gateway: &mut Gateway, packet: &mut Packet, _now: Time) -> Verdict {
    let Destination::Forward { egress, .. } = packet.destination else {
        return Verdict::Drop(DropReason::NoRoute);
    };
    let interface = gateway.interface(egress);
    let state = gateway.topology.state(interface);
    let (port, vlan, src) = (port_of(interface), interface.vlan(), state.mac);
    packet.say(|_| {
        let result = if state.up { "sent" } else { "link is down" };
        Note::new(format!("interface {}", interface.name), result).by(
            "interface",
            interface.name.clone(),
            interface.line,
        )
    });
    if !state.up {
        return Verdict::Drop(DropReason::PortDown);
    }
    if packet.is_simulated() {
        return Verdict::Continue;
    }
    let Some((_, dst)) = packet.next_hop else {
        return Verdict::Drop(DropReason::NeighbourUnresolved);
    };
    // Counted before the frame is taken out of the packet: its offload state says how much it is.
    let (count, bytes) = (packet.count(), packet.volume());
    gateway.counters.sent.add(count, bytes);
    if packet.wrapped.is_some() {
        // What it carries was counted when it was wrapped.
    } else if packet.origin == Origin::Gateway {
        gateway.counters.originated.add(count, bytes);
    } else {
        gateway.count_session(packet);
        gateway.count_tier(packet);
    }
    let l3 = packet.headers.l3;
    let version = packet.headers.kind;
    if packet.pieces.is_empty() {
        let frame = std::mem::replace(&mut packet.frame, Frame::empty());
        send(gateway, port, frame, l3, version, (dst, src, vlan));
    } else {
        for piece in std::mem::take(&mut packet.pieces) {
            send(gateway, port, piece, l3, version, (dst, src, vlan));
        }
    }
    Verdict::Continue
}

fn send(
    gateway: &mut Gateway,
    port: PortId,
    mut frame: Frame,
    l3: u16,
    kind: L3,
    (dst, src, vlan): (Mac, Mac, Option<VlanId>),
) {
    let ethertype = match kind {
        L3::Ip(IpVersion::V4) => 0x0800,
        L3::Ip(IpVersion::V6) => 0x86dd,
        L3::Arp => 0x0806,
    };
    if set_ethernet(&mut frame, l3, dst, src, vlan, ethertype) {
        gateway.transmit.push_back((port, frame));
    }
}

/// Replaces whatever stands before offset `l3` by an Ethernet header; false if there is no room.
pub(crate) fn set_ethernet(
    frame: &mut Frame,
    l3: u16,
    dst: Mac,
    src: Mac,
    vlan: Option<VlanId>,
    ethertype: u16,
) -> bool {
    let length = if vlan.is_some() { ETHERNET + TAG } else { ETHERNET };
    if !frame.pull_front(usize::from(l3)) {
        return false;
    }
    let Some(header) = frame.push_front(length) else { return false };
    let (addresses, rest) = header.split_at_mut(12);
    addresses[..6].copy_from_slice(&dst.0);
    addresses[6..].copy_from_slice(&src.0);
    match vlan {
        Some(id) => {
            rest[..2].copy_from_slice(&0x8100_u16.to_be_bytes());
            rest[2..4].copy_from_slice(&(id & 0x0fff).to_be_bytes());
            rest[4..6].copy_from_slice(&ethertype.to_be_bytes());
        }
        None => rest[..2].copy_from_slice(&ethertype.to_be_bytes()),
    }
    true
}
