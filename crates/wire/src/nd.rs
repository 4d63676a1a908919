//! Neighbour discovery (RFC 4861): solicitations and advertisements, read and written.
//!
//! Router discovery and redirects belong to the same RFC but are not read here.

use core::net::{IpAddr, Ipv6Addr};

use reason::DropReason;

use crate::{
    Fragmentation, Headers, IpVersion, L3, Mac,
    bytes::array_at,
    emit::{Ether, Ip, Out},
    icmp::v6::{NEIGHBOUR_ADVERTISEMENT, NEIGHBOUR_SOLICITATION},
    proto, verify_l4_checksum,
};

/// Hop limit of every message: proof that no router has passed it on (RFC 4861 §7.1).
pub const HOP_LIMIT: u8 = 255;
/// The all-nodes address of the link (RFC 4291 §2.7.1).
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// Option: link-layer address of the sender.
const SOURCE_LINK_ADDRESS: u8 = 1;
/// Option: link-layer address of the target.
const TARGET_LINK_ADDRESS: u8 = 2;

/// A neighbour discovery message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NdMessage {
    /// Who has the target address?
    Solicitation(NeighbourSolicitation),
    /// The target address is here.
    Advertisement(NeighbourAdvertisement),
}

/// A question for the MAC of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeighbourSolicitation {
    /// Who asks; unspecified while it checks that its address is free (RFC 4862 §5.4).
    pub src: Ipv6Addr,
    /// Whom it asks: the target itself, or its solicited-node address.
    pub dst: Ipv6Addr,
    /// The address in question.
    pub target: Ipv6Addr,
    /// MAC of who asks, if it says.
    pub source_mac: Option<Mac>,
}

impl NeighbourSolicitation {
    /// Whether it is duplicate address detection: nothing may be learnt from it.
    pub const fn is_probe(&self) -> bool {
        self.src.is_unspecified()
    }
}

/// An answer, or unasked news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeighbourAdvertisement {
    /// Who says so.
    pub src: Ipv6Addr,
    /// Whom it is told.
    pub dst: Ipv6Addr,
    /// The address that is here.
    pub target: Ipv6Addr,
    /// MAC of the target, if it says.
    pub target_mac: Option<Mac>,
    /// The sender is a router.
    pub router: bool,
    /// It answers a solicitation.
    pub solicited: bool,
    /// It replaces what was known.
    pub override_entry: bool,
}

/// Whether a packet is a neighbour solicitation or advertisement.
pub fn is_neighbour(headers: &Headers) -> bool {
    headers.kind == L3::Ip(IpVersion::V6)
        && headers.tuple.proto == proto::ICMPV6
        && headers.fragment != Fragmentation::Later
        && matches!(headers.icmp_type, NEIGHBOUR_SOLICITATION | NEIGHBOUR_ADVERTISEMENT)
}

/// Reads and validates a neighbour solicitation or advertisement (RFC 4861 §7.1; no fragments,
/// RFC 6980). Any other message is refused too.
pub fn parse(frame: &[u8], headers: &Headers) -> Result<NdMessage, DropReason> {
    read(frame, headers).ok_or(DropReason::NdInvalid)
}

fn read(frame: &[u8], headers: &Headers) -> Option<NdMessage> {
    let (IpAddr::V6(src), IpAddr::V6(dst)) = (headers.src(), headers.dst()) else { return None };
    let is_valid = is_neighbour(headers)
        && headers.ttl == HOP_LIMIT
        && headers.icmp_code == 0
        && headers.fragment == Fragmentation::Whole
        && verify_l4_checksum(frame, headers) == Ok(());
    if !is_valid {
        return None;
    }
    let message = frame.get(usize::from(headers.l4)..headers.end as usize)?;
    let (fixed, options) = message.split_first_chunk::<24>()?;
    let target = Ipv6Addr::from(array_at::<16>(fixed, 8)?);
    if target.is_multicast() {
        return None;
    }
    if headers.icmp_type == NEIGHBOUR_SOLICITATION {
        let source_mac = link_address(options, SOURCE_LINK_ADDRESS)?;
        let is_probe = src.is_unspecified();
        if is_probe && (source_mac.is_some() || !is_solicited_node(dst)) {
            return None;
        }
        Some(NdMessage::Solicitation(NeighbourSolicitation { src, dst, target, source_mac }))
    } else {
        let flags = fixed[4];
        let solicited = flags & 0x40 != 0;
        if dst.is_multicast() && solicited {
            return None;
        }
        Some(NdMessage::Advertisement(NeighbourAdvertisement {
            src,
            dst,
            target,
            target_mac: link_address(options, TARGET_LINK_ADDRESS)?,
            router: flags & 0x80 != 0,
            solicited,
            override_entry: flags & 0x20 != 0,
        }))
    }
}

/// The link-layer address in the options, if any; `None` if they are malformed or it is no address a
/// station can have.
fn link_address(mut options: &[u8], wanted: u8) -> Option<Option<Mac>> {
    let mut found = None;
    while let [kind, units, ..] = *options {
        let length = usize::from(units) * 8;
        if length == 0 {
            return None;
        }
        let (option, rest) = options.split_at_checked(length)?;
        if kind == wanted && found.is_none() {
            let mac = Mac(array_at(option, 2)?);
            if length != 8 || mac.is_group() || mac.is_zero() {
                return None;
            }
            found = Some(mac);
        }
        options = rest;
    }
    options.is_empty().then_some(found)
}

/// The solicited-node address of an address: ff02::1:ff00:0/104 with its last 24 bits (RFC 4291
/// §2.7.1).
pub const fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    Ipv6Addr::from_octets([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c])
}

fn is_solicited_node(address: Ipv6Addr) -> bool {
    solicited_node(address) == address
}

/// The MAC address of an IPv6 multicast group: 33:33 and its last 32 bits (RFC 2464 §7).
pub const fn multicast_mac(group: Ipv6Addr) -> Mac {
    let [.., a, b, c, d] = group.octets();
    Mac([0x33, 0x33, a, b, c, d])
}

/// The link-local address made of a MAC address: fe80::/64 with its modified EUI-64 (RFC 4291
/// appendix A).
pub const fn link_local(mac: Mac) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac.0;
    Ipv6Addr::from_octets([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f])
}

/// Writes a frame with the message; returns its length, or `None` if it does not fit.
pub fn emit(out: &mut [u8], ether: &Ether, message: &NdMessage) -> Option<usize> {
    let (src, dst, head, target, option) = match message {
        NdMessage::Solicitation(m) => {
            let option = m.source_mac.map(|mac| (SOURCE_LINK_ADDRESS, mac));
            (m.src, m.dst, [NEIGHBOUR_SOLICITATION, 0], m.target, option)
        }
        NdMessage::Advertisement(m) => {
            let flags = u8::from(m.router) << 7
                | u8::from(m.solicited) << 6
                | u8::from(m.override_entry) << 5;
            let option = m.target_mac.map(|mac| (TARGET_LINK_ADDRESS, mac));
            (m.src, m.dst, [NEIGHBOUR_ADVERTISEMENT, flags], m.target, option)
        }
    };
    let ip = Ip {
        src: src.into(),
        dst: dst.into(),
        proto: proto::ICMPV6,
        ttl: HOP_LIMIT,
        tos: 0,
        id: 0,
        df: true,
    };
    let mut out = Out::new(out);
    out.ip(ether, &ip, &[], None, if option.is_some() { 32 } else { 24 })?;
    let l4 = out.len();
    let [icmp_type, flags] = head;
    out.push(&[icmp_type, 0, 0, 0, flags, 0, 0, 0])?;
    out.push(&target.octets())?;
    if let Some((kind, mac)) = option {
        out.push(&[kind, 1])?;
        out.push(&mac.0)?;
    }
    out.finish(&ip, l4)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        Tuple,
        build::{ETHER, Packet, written},
        emit,
    };

    const HOST: Mac = Mac([2, 0, 0, 0, 0, 9]);
    const OURS: Mac = Mac([2, 0, 0, 0, 0, 1]);

    fn ip(last: u16) -> Ipv6Addr {
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0xab12, last)
    }

    fn message(frame: &[u8]) -> Result<NdMessage, DropReason> {
        parse(frame, &crate::parse(frame).unwrap())
    }

    fn solicitation() -> NeighbourSolicitation {
        let target = ip(0x3456);
        NeighbourSolicitation {
            src: ip(9),
            dst: solicited_node(target),
            target,
            source_mac: Some(HOST),
        }
    }

    fn advertisement() -> NeighbourAdvertisement {
        NeighbourAdvertisement {
            src: ip(1),
            dst: ip(9),
            target: ip(1),
            target_mac: Some(OURS),
            router: true,
            solicited: true,
            override_entry: false,
        }
    }

    fn frame(message: NdMessage) -> Vec<u8> {
        written(100, |out| super::emit(out, &ETHER, &message))
    }

    #[test]
    fn addresses_of_the_rfcs() {
        // RFC 4291 §2.7.1 and RFC 2464 §7 give these examples
        let address: Ipv6Addr = "4037::1:800:200e:8c6c".parse().unwrap();
        assert_eq!(solicited_node(address).to_string(), "ff02::1:ff0e:8c6c");
        assert_eq!(multicast_mac(solicited_node(address)).to_string(), "33:33:ff:0e:8c:6c");
        let mac = "34:56:78:9a:bc:de".parse().unwrap();
        assert_eq!(link_local(mac).to_string(), "fe80::3656:78ff:fe9a:bcde");
    }

    #[test]
    fn there_and_back() {
        let messages = [
            NdMessage::Solicitation(solicitation()),
            NdMessage::Solicitation(NeighbourSolicitation { source_mac: None, ..solicitation() }),
            NdMessage::Solicitation(NeighbourSolicitation {
                src: Ipv6Addr::UNSPECIFIED,
                source_mac: None,
                ..solicitation()
            }),
            NdMessage::Advertisement(advertisement()),
            NdMessage::Advertisement(NeighbourAdvertisement {
                dst: ALL_NODES,
                solicited: false,
                override_entry: true,
                target_mac: None,
                ..advertisement()
            }),
        ];
        for sent in messages {
            assert_eq!(message(&frame(sent)), Ok(sent));
        }
    }

    #[test]
    fn a_frame_another_program_wrote() {
        // scapy: Ether()/IPv6(hlim=255)/ICMPv6ND_NS/ICMPv6NDOptSrcLLAddr
        let bytes = emit::neighbour_solicitation(HOST, ip(9), ip(0x3456), None, None);
        let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, SCAPY_SOLICITATION);
    }

    const SCAPY_SOLICITATION: &str = "3333ff12345602000000000986dd6000000000203aff20010db80000000000\
        000000ab120009ff0200000000000000000001ff12345687005d370000000020010db80000000000000000ab12\
        34560101020000000009";

    #[test]
    fn what_rfc_4861_refuses() {
        let invalid = Err(DropReason::NdInvalid);
        let refused = |m: NdMessage| assert_eq!(message(&frame(m)), invalid, "{m:?}");
        refused(NdMessage::Solicitation(NeighbourSolicitation {
            target: ALL_NODES,
            ..solicitation()
        }));
        refused(NdMessage::Solicitation(NeighbourSolicitation {
            src: Ipv6Addr::UNSPECIFIED,
            ..solicitation()
        }));
        refused(NdMessage::Solicitation(NeighbourSolicitation {
            src: Ipv6Addr::UNSPECIFIED,
            dst: ip(1),
            source_mac: None,
            ..solicitation()
        }));
        refused(NdMessage::Solicitation(NeighbourSolicitation {
            source_mac: Some(Mac::BROADCAST),
            ..solicitation()
        }));
        refused(NdMessage::Advertisement(NeighbourAdvertisement {
            dst: ALL_NODES,
            ..advertisement()
        }));

        let good = frame(NdMessage::Advertisement(advertisement()));
        let mut routed = good.clone();
        routed[21] = 254;
        assert_eq!(message(&routed), invalid, "hop limit");
        let mut damaged = good;
        damaged[60] ^= 1;
        assert_eq!(message(&damaged), invalid, "checksum");
    }

    fn raw(kind: u8, code: u8, body: &[u8]) -> Vec<u8> {
        let tuple = Tuple {
            src: ip(9).into(),
            dst: ip(1).into(),
            src_port: 0,
            dst_port: 0,
            proto: proto::ICMPV6,
        };
        Packet::new(tuple).ttl(255).icmp(kind, code).echo_seq(0).payload(body).build()
    }

    #[test]
    fn options() {
        let with = |options: &[u8]| {
            let body = [&ip(1).octets(), options].concat();
            message(&raw(NEIGHBOUR_SOLICITATION, 0, &body))
        };
        let mac_of = |verdict| match verdict {
            Ok(NdMessage::Solicitation(m)) => Ok(m.source_mac),
            Ok(NdMessage::Advertisement(_)) => Ok(None),
            Err(reason) => Err(reason),
        };
        let unknown = [14, 1, 0, 0, 0, 0, 0, 0, 1, 1, 2, 0, 0, 0, 0, 9];
        assert_eq!(mac_of(with(&unknown)), Ok(Some(HOST)), "unknown options are skipped");
        let invalid = Err(DropReason::NdInvalid);
        assert_eq!(mac_of(with(&[1, 0, 2, 0, 0, 0, 0, 9])), invalid, "length zero");
        assert_eq!(mac_of(with(&[1, 2, 2, 0, 0, 0, 0, 9])), invalid, "beyond the message");
        assert_eq!(mac_of(with(&[1])), invalid, "no length");
        assert_eq!(
            message(&raw(NEIGHBOUR_SOLICITATION, 1, &ip(1).octets())),
            Err(DropReason::NdInvalid)
        );
        assert_eq!(message(&raw(NEIGHBOUR_SOLICITATION, 0, &[0; 15])), Err(DropReason::NdInvalid));
        assert_eq!(message(&raw(134, 0, &ip(1).octets())), Err(DropReason::NdInvalid));
    }

    proptest! {
        #[test]
        fn any_body(kind in 133u8..138, body in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = message(&raw(kind, 0, &body));
        }
    }
}
