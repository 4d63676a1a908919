//! Ingress: is the frame for us, is its interface up, could its addresses be real?
//!
//! ARP and neighbour discovery end here; they are handed to `discovery`.

use core::net::IpAddr;

use reason::DropReason;
use wire::{L3, Mac, Time, proto};

use crate::{
    Gateway, anomaly,
    packet::{Packet, Verdict},
    trace::Note,
};

/// ICMPv6 types 133 to 137: neighbour discovery (RFC 4861 §4).
const ND_TYPES: core::ops::RangeInclusive<u8> = 133..=137;

pub(crate) fn run(gateway: &mut Gateway, packet: &mut Packet, now: Time) -> Verdict {
    let interface = gateway.interface(packet.ingress);
    let (mac, enabled) = (gateway.topology.mac(interface), interface.enabled);
    packet.say(|p| {
        let h = &p.headers;
        let vlan = h.vlan.map_or(String::new(), |v| format!(" vlan {v}"));
        Note::new(
            format!("{} -> {}{vlan}, {} bytes", h.eth_src, h.eth_dst, h.ip_len()),
            format!("belongs to interface {}", interface.name),
        )
        .by("interface", interface.name.clone(), interface.line)
    });
    if !enabled {
        return Verdict::Drop(DropReason::InterfaceDown);
    }
    // what came out of a client's record never had a MAC address
    let has_mac = !packet.is_simulated() && !gateway.clients.are_behind(packet.ingress);
    if has_mac && !is_for(packet.headers.eth_dst, mac) {
        return Verdict::Drop(DropReason::NotForUs);
    }
    match packet.headers.kind {
        L3::Arp => return gateway.receive_arp(packet, now),
        L3::Ip(_) => {}
    }
    let (src, dst) = (packet.headers.src(), packet.headers.dst());
    // RFC 1812 §5.2.7.2, RFC 4861 §8.2: a router obeys none, and none crosses a router.
    if wire::icmp::is_redirect(&packet.headers) {
        return Verdict::Drop(DropReason::IcmpRedirectIgnored);
    }
    let is_nd =
        packet.headers.tuple.proto == proto::ICMPV6 && ND_TYPES.contains(&packet.headers.icmp_type);
    if is_nd {
        return gateway.receive_nd(packet, now);
    }
    if anomaly::is_martian_source(src) {
        return Verdict::Drop(DropReason::IpSourceMartian);
    }
    if anomaly::is_martian_destination(dst) {
        return Verdict::Drop(DropReason::IpDestinationMartian);
    }
    if is_limited_broadcast(dst) || (packet.headers.eth_dst == Mac::BROADCAST && !is_group(dst)) {
        return Verdict::Drop(DropReason::BroadcastNotForwarded);
    }
    if is_group(dst) {
        return Verdict::Drop(DropReason::MulticastNotForwarded);
    }
    Verdict::Continue
}

fn is_for(dst: Mac, own: Mac) -> bool {
    dst == own || dst.is_group()
}

fn is_limited_broadcast(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V4(ip) if ip.is_broadcast())
}

fn is_group(ip: IpAddr) -> bool {
    ip.is_multicast()
}
