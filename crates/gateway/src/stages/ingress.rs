//! Ingress: is the frame for us, is its interface up, could its addresses be real?
//!
//! ARP and neighbour discovery end here; they are handed to `discovery`.

use core::net::IpAddr;

use reason::DropReason;
use wire::{L3, Mac, Time, proto};

use crate::{
    Gateway,
    packet::{Packet, Verdict},
    trace::Note,
};

/// ICMPv6 types 133 to 137: neighbour discovery (RFC 4861 §4).
const ND_TYPES: core::ops::RangeInclusive<u8> = 133..=137;

pub(crate) fn run(gateway: &mut Gateway, packet: &mut Packet, now: Time) -> Verdict {
    let interface = gateway.interface(packet.ingress);
    let (name, line, enabled) = (interface.name.clone(), interface.line, interface.enabled);
    let mac = gateway.topology.mac(interface);
    packet.say(|p| {
        let h = &p.headers;
        let vlan = h.vlan.map_or(String::new(), |v| format!(" vlan {v}"));
        Note::new(
            format!("{} -> {}{vlan}, {} bytes", h.eth_src, h.eth_dst, h.ip_len()),
            format!("belongs to interface {name}"),
        )
        .by(format!("interface {name}"), line)
    });
    if !enabled {
        return Verdict::Drop(DropReason::InterfaceDown);
    }
    if !packet.is_simulated() && !is_for(packet.headers.eth_dst, mac) {
        return Verdict::Drop(DropReason::NotForUs);
    }
    match packet.headers.kind {
        L3::Arp => return gateway.receive_arp(packet, now),
        L3::Ip(_) => {}
    }
    let (src, dst) = (packet.headers.src(), packet.headers.dst());
    let is_nd = packet.headers.tuple.proto == proto::ICMPV6
        && ND_TYPES.contains(&packet.headers.icmp_type);
    if is_nd {
        return gateway.receive_nd(packet, now);
    }
    if is_source_martian(src) {
        return Verdict::Drop(DropReason::IpSourceMartian);
    }
    if is_destination_martian(dst) {
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

/// Addresses that can never send (RFC 1812 §5.3.7, RFC 4291 §2.7, RFC 6890).
fn is_source_martian(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            ip.is_multicast() || ip.is_loopback() || ip.octets()[0] == 0 || ip.octets()[0] >= 240
        }
        IpAddr::V6(ip) => ip.is_multicast() || ip.is_loopback() || ip.is_unspecified(),
    }
}

/// Addresses that can never receive here.
fn is_destination_martian(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            ip.is_loopback() || ip.octets()[0] == 0 || (ip.octets()[0] >= 240 && !ip.is_broadcast())
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unspecified(),
    }
}

fn is_limited_broadcast(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V4(ip) if ip.is_broadcast())
}

fn is_group(ip: IpAddr) -> bool {
    ip.is_multicast()
}

/// Whether a router must not forward from or to the address (RFC 3927 §7, RFC 4291 §2.5.6).
pub(crate) fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(s: &str) -> IpAddr {
        s.parse().expect("address")
    }

    #[test]
    fn martians_are_known() {
        for s in ["224.0.0.1", "127.0.0.1", "0.0.0.0", "0.1.2.3", "255.255.255.255", "240.0.0.1", "ff02::1", "::1", "::"] {
            assert!(is_source_martian(ip(s)), "{s}");
        }
        for s in ["10.0.0.1", "169.254.1.1", "2001:db8::1", "fe80::1"] {
            assert!(!is_source_martian(ip(s)), "{s}");
        }
        assert!(!is_destination_martian(ip("255.255.255.255")));
        assert!(is_destination_martian(ip("240.0.0.1")));
    }
}
