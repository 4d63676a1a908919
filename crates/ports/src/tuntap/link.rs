//! The link layer a TUN port makes up, and the gateway's MAC on a TAP device.
//!
//! Pure functions of bytes.

use wire::{
    L3, Mac,
    arp::{self, ArpOp},
    checksum::Sum,
    emit::Ether,
    proto,
};

use super::{ETHERNET_LEN, TUN_GATEWAY_MAC, TUN_PEER_MAC};
use crate::{Frame, virtio};

/// Bytes of an IPv6 header.
const IPV6_LEN: usize = 40;
/// Bytes of a neighbour advertisement with a target link-layer address option (RFC 4861 §4.4).
const ADVERTISEMENT_LEN: usize = 32;
const NEIGHBOUR_SOLICITATION: u8 = 135;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;

/// A MAC for the gateway's side of a device whose other side has `mac`: locally administered, one
/// bit different.
pub(super) fn other_side(mac: Mac) -> Mac {
    let [a, b, c, d, e, f] = mac.0;
    Mac([a & !1 | 2, b, c, d, e, f ^ 1])
}

/// Puts an Ethernet header before an IP packet; false when it is none.
pub(super) fn put_ethernet(frame: &mut Frame) -> bool {
    let bytes = frame.bytes();
    let (ethertype, group) = match bytes.first().map(|b| b >> 4) {
        Some(4) => (0x0800u16, bytes.get(16..20).and_then(group_mac_v4)),
        Some(6) => (0x86dd, bytes.get(24..40).and_then(group_mac_v6)),
        Some(_) | None => return false,
    };
    let Some(header) = frame.push_front(ETHERNET_LEN) else {
        return false;
    };
    header[..6].copy_from_slice(&group.unwrap_or(TUN_GATEWAY_MAC).0);
    header[6..12].copy_from_slice(&TUN_PEER_MAC.0);
    header[12..].copy_from_slice(&ethertype.to_be_bytes());
    true
}

/// The group MAC of an IPv4 multicast or broadcast destination (RFC 1112 §6.4).
fn group_mac_v4(dst: &[u8]) -> Option<Mac> {
    match *dst {
        [255, 255, 255, 255] => Some(Mac::BROADCAST),
        [a, b, c, d] if a & 0xf0 == 0xe0 => Some(Mac([0x01, 0x00, 0x5e, b & 0x7f, c, d])),
        _ => None,
    }
}

/// The group MAC of an IPv6 multicast destination (RFC 2464 §7).
fn group_mac_v6(dst: &[u8]) -> Option<Mac> {
    match *dst {
        [0xff, .., a, b, c, d] => Some(Mac([0x33, 0x33, a, b, c, d])),
        _ => None,
    }
}

/// The IP packet of a frame, and its virtio-net header made to count from it. `None` when the frame
/// carries anything else.
pub(super) fn without_ethernet<'a>(
    header: &mut [u8; virtio::HEADER_LEN],
    frame: &'a [u8],
) -> Option<&'a [u8]> {
    let (ethernet, packet) = frame.split_at_checked(ETHERNET_LEN)?;
    if !matches!(ethernet[12..], [0x08, 0x00] | [0x86, 0xdd]) {
        return None;
    }
    virtio::shorten(header, ETHERNET_LEN as u16)?;
    Some(packet)
}

/// What the other side of the made-up link answers to a frame, if it asks for a MAC. Probes for
/// the asker's own address (RFC 5227, RFC 4862 §5.4) get no answer: nobody else has it. A frame
/// that is ARP but no question gets an empty answer.
pub(super) fn answer(frame: &[u8]) -> Option<Vec<u8>> {
    let headers = wire::parse(frame).ok()?;
    match headers.kind {
        L3::Arp => Some(answer_arp(frame, &headers).unwrap_or_default()),
        L3::Ip(_) => answer_solicitation(frame, &headers),
    }
}

fn answer_arp(frame: &[u8], headers: &wire::Headers) -> Option<Vec<u8>> {
    let request = arp::parse(frame, headers).ok()?;
    if request.op != ArpOp::Request || request.is_gratuitous() || request.is_probe() {
        return None;
    }
    let mut out = vec![0; ETHERNET_LEN + 28];
    let ether = Ether { src: TUN_PEER_MAC, dst: request.sender_mac, vlan: None };
    arp::emit(&mut out, &ether, &request.answer(TUN_PEER_MAC))?;
    Some(out)
}

fn answer_solicitation(frame: &[u8], headers: &wire::Headers) -> Option<Vec<u8>> {
    if headers.tuple.proto != proto::ICMPV6 || headers.icmp_type != NEIGHBOUR_SOLICITATION {
        return None;
    }
    let asker = headers.tuple.src;
    if asker.is_unspecified() {
        return None;
    }
    let l3 = usize::from(headers.l3);
    let l4 = usize::from(headers.l4);
    let target: [u8; 16] = *frame.get(l4 + 8..)?.first_chunk()?;
    let source: [u8; 16] = *frame.get(l3 + 8..)?.first_chunk()?;

    let mut out = Vec::with_capacity(ETHERNET_LEN + IPV6_LEN + ADVERTISEMENT_LEN);
    out.extend(headers.eth_src.0);
    out.extend(TUN_PEER_MAC.0);
    out.extend([0x86, 0xdd]);
    // Hop limit 255: RFC 4861 §7.1.2.
    out.extend([0x60, 0, 0, 0, 0, ADVERTISEMENT_LEN as u8, proto::ICMPV6, 255]);
    out.extend(target);
    out.extend(source);
    // Flags: solicited and override.
    out.extend([NEIGHBOUR_ADVERTISEMENT, 0, 0, 0, 0x60, 0, 0, 0]);
    out.extend(target);
    out.extend([2, 1]);
    out.extend(TUN_PEER_MAC.0);
    let sum = Sum::ZERO
        .pseudo(target.into(), asker, proto::ICMPV6, ADVERTISEMENT_LEN as u32)
        .bytes(out.get(ETHERNET_LEN + IPV6_LEN..)?)
        .finish();
    let field = ETHERNET_LEN + IPV6_LEN + 2;
    out.get_mut(field..field + 2)?.copy_from_slice(&sum.to_be_bytes());
    Some(out)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use wire::build;

    use super::*;
    use crate::{Checksum, Offloads};

    const US: Mac = TUN_GATEWAY_MAC;

    #[test]
    fn arp_is_answered_by_the_port() {
        let (us, them) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
        let reply = answer(&build::arp_request(US, us, them)).expect("an answer");
        let headers = wire::parse(&reply).expect("a frame");
        let said = arp::parse(&reply, &headers).expect("ARP");
        assert_eq!((said.op, said.sender_mac, said.sender_ip), (ArpOp::Reply, TUN_PEER_MAC, them));
        assert_eq!((headers.eth_dst, said.target_ip), (US, us));
        let probe = build::arp_request(US, Ipv4Addr::UNSPECIFIED, us);
        assert_eq!(answer(&probe).as_deref(), Some(&[][..]), "nobody else has our address");
        assert_eq!(answer(&build::arp_request(US, us, us)).as_deref(), Some(&[][..]));
    }

    #[test]
    fn a_solicitation_is_answered_by_the_port() {
        let us: Ipv6Addr = "fd00::1".parse().expect("valid");
        let them: Ipv6Addr = "fd00::2".parse().expect("valid");
        let ask = |src: Ipv6Addr| {
            let mut frame = vec![0x33, 0x33, 0xff, 0, 0, 2];
            frame.extend(US.0);
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 24, proto::ICMPV6, 255]);
            frame.extend(src.octets());
            frame.extend("ff02::1:ff00:2".parse::<Ipv6Addr>().expect("valid").octets());
            frame.extend([NEIGHBOUR_SOLICITATION, 0, 0, 0, 0, 0, 0, 0]);
            frame.extend(them.octets());
            frame
        };
        let reply = answer(&ask(us)).expect("an answer");
        let headers = wire::parse(&reply).expect("a frame");
        assert_eq!(headers.icmp_type, NEIGHBOUR_ADVERTISEMENT);
        assert_eq!((headers.tuple.src, headers.tuple.dst), (them.into(), us.into()));
        assert_eq!(wire::verify_l4_checksum(&reply, &headers), Ok(()));
        assert_eq!(answer(&ask(Ipv6Addr::UNSPECIFIED)), None, "duplicate address detection");
    }

    #[test]
    fn ethernet_goes_on_and_off() {
        let ether = Ether { src: US, dst: TUN_PEER_MAC, vlan: None };
        let udp = |dst: &str| {
            let dst: std::net::SocketAddr = dst.parse().expect("valid");
            let src = if dst.is_ipv4() { "10.0.0.1:9" } else { "[fd00::1]:9" };
            let src: std::net::SocketAddr = src.parse().expect("valid");
            build::udp(ether, build::tuple(proto::UDP, src, dst), b"hello")
        };
        for (dst, mac) in [
            ("10.0.0.2:7", TUN_GATEWAY_MAC),
            ("224.129.2.3:7", Mac([1, 0, 0x5e, 1, 2, 3])),
            ("255.255.255.255:7", Mac::BROADCAST),
            ("[fd00::2]:7", TUN_GATEWAY_MAC),
            ("[ff02::1:2]:7", Mac([0x33, 0x33, 0, 1, 0, 2])),
        ] {
            let whole = udp(dst);
            let mut header = [0; virtio::HEADER_LEN];
            let packet = without_ethernet(&mut header, &whole).expect("IP");
            assert_eq!(header, [0; virtio::HEADER_LEN]);
            let mut frame = Frame::from_vec(packet.to_vec());
            frame.offloads.checksum = Checksum::Partial { start: 20, offset: 6 };
            assert!(put_ethernet(&mut frame));
            assert_eq!(frame.bytes()[..6], mac.0, "{dst}");
            assert_eq!(frame.bytes()[12..], whole[12..], "{dst}");
            assert_eq!(frame.offloads.checksum, Checksum::Partial { start: 34, offset: 6 });
            assert_eq!(answer(&whole), None, "data is no question");
        }
        let mut other = Frame::from_vec(vec![0x50; 40]);
        assert!(!put_ethernet(&mut other));
        assert_eq!(other.offloads, Offloads::default());
        let mut header = [0; virtio::HEADER_LEN];
        assert_eq!(without_ethernet(&mut header, &[0; 40]), None);
        assert_eq!(without_ethernet(&mut header, &[0; 4]), None);
    }

    #[test]
    fn the_gateway_side_differs_from_the_kernel_side() {
        let kernel: Mac = "5a:00:00:00:00:10".parse().expect("valid");
        assert_ne!(other_side(kernel), kernel);
        assert!(!other_side(Mac::BROADCAST).is_group());
    }
}
