//! ICMP (RFC 792) and ICMPv6 (RFC 4443): numbers, what is an error, and what may be answered by one.

use core::net::IpAddr;

use crate::{Fragmentation, Headers, IpVersion, L3, proto};

/// Length of the fixed part of every message the gateway knows, in bytes.
pub const HEADER_LEN: usize = 8;

/// Types of ICMP for IPv4.
pub mod v4 {
    /// Echo reply.
    pub const ECHO_REPLY: u8 = 0;
    /// Destination unreachable.
    pub const UNREACHABLE: u8 = 3;
    /// Source quench (obsolete, RFC 6633).
    pub const SOURCE_QUENCH: u8 = 4;
    /// Redirect.
    pub const REDIRECT: u8 = 5;
    /// Echo request.
    pub const ECHO_REQUEST: u8 = 8;
    /// Router advertisement (RFC 1256).
    pub const ROUTER_ADVERTISEMENT: u8 = 9;
    /// Router solicitation (RFC 1256).
    pub const ROUTER_SOLICITATION: u8 = 10;
    /// Time exceeded.
    pub const TIME_EXCEEDED: u8 = 11;
    /// Parameter problem.
    pub const PARAMETER_PROBLEM: u8 = 12;
    /// Timestamp request.
    pub const TIMESTAMP_REQUEST: u8 = 13;
    /// Timestamp reply.
    pub const TIMESTAMP_REPLY: u8 = 14;

    /// Code of unreachable: no route to the network.
    pub const NETWORK: u8 = 0;
    /// Code of unreachable: the host does not answer.
    pub const HOST: u8 = 1;
    /// Code of unreachable: the host does not speak the protocol.
    pub const PROTOCOL: u8 = 2;
    /// Code of unreachable: nobody listens on the port.
    pub const PORT: u8 = 3;
    /// Code of unreachable: fragmentation needed and DF set; carries the MTU (RFC 1191).
    pub const FRAGMENTATION_NEEDED: u8 = 4;
    /// Code of unreachable: communication administratively prohibited (RFC 1812 §5.2.7.1).
    pub const PROHIBITED: u8 = 13;
    /// Code of time exceeded: TTL ran out in transit.
    pub const IN_TRANSIT: u8 = 0;
    /// Code of time exceeded: reassembly took too long.
    pub const IN_REASSEMBLY: u8 = 1;
}

/// Types of ICMPv6.
pub mod v6 {
    /// Destination unreachable.
    pub const UNREACHABLE: u8 = 1;
    /// Packet too big; carries the MTU.
    pub const TOO_BIG: u8 = 2;
    /// Time exceeded.
    pub const TIME_EXCEEDED: u8 = 3;
    /// Parameter problem.
    pub const PARAMETER_PROBLEM: u8 = 4;
    /// Echo request.
    pub const ECHO_REQUEST: u8 = 128;
    /// Echo reply.
    pub const ECHO_REPLY: u8 = 129;
    /// Multicast listener query (RFC 2710).
    pub const LISTENER_QUERY: u8 = 130;
    /// Multicast listener report (RFC 2710).
    pub const LISTENER_REPORT: u8 = 131;
    /// Multicast listener done (RFC 2710).
    pub const LISTENER_DONE: u8 = 132;
    /// Router solicitation (RFC 4861).
    pub const ROUTER_SOLICITATION: u8 = 133;
    /// Router advertisement (RFC 4861).
    pub const ROUTER_ADVERTISEMENT: u8 = 134;
    /// Neighbour solicitation (RFC 4861).
    pub const NEIGHBOUR_SOLICITATION: u8 = 135;
    /// Neighbour advertisement (RFC 4861).
    pub const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
    /// Redirect (RFC 4861).
    pub const REDIRECT: u8 = 137;
    /// Multicast listener report, version 2 (RFC 3810).
    pub const LISTENER_REPORT_V2: u8 = 143;

    /// Code of unreachable: no route.
    pub const NO_ROUTE: u8 = 0;
    /// Code of unreachable: administratively prohibited.
    pub const PROHIBITED: u8 = 1;
    /// Code of unreachable: the address does not answer.
    pub const ADDRESS: u8 = 3;
    /// Code of unreachable: nobody listens on the port.
    pub const PORT: u8 = 4;
    /// Code of time exceeded: the hop limit ran out in transit.
    pub const IN_TRANSIT: u8 = 0;
    /// Code of time exceeded: reassembly took too long.
    pub const IN_REASSEMBLY: u8 = 1;
    /// Code of parameter problem: unknown next header.
    pub const UNKNOWN_NEXT_HEADER: u8 = 1;
}

/// Whether the packet is ICMP over IPv4 or ICMPv6 over IPv6, with its header present.
pub fn is_icmp(headers: &Headers) -> bool {
    let matches = matches!(
        (headers.kind, headers.tuple.proto),
        (L3::Ip(IpVersion::V4), proto::ICMP) | (L3::Ip(IpVersion::V6), proto::ICMPV6)
    );
    matches && headers.fragment != Fragmentation::Later
}

/// Whether the packet is an ICMP error, which quotes the packet it is about.
///
/// ICMPv4: unreachable, source quench, time exceeded, parameter problem. ICMPv6: types below 128
/// (RFC 4443 §2.1). A redirect quotes a packet too but is no error for a session; see
/// [`may_answer_with_error`].
pub fn is_error(headers: &Headers) -> bool {
    if !is_icmp(headers) {
        return false;
    }
    match headers.version() {
        Some(IpVersion::V4) => matches!(
            headers.icmp_type,
            v4::UNREACHABLE | v4::SOURCE_QUENCH | v4::TIME_EXCEEDED | v4::PARAMETER_PROBLEM
        ),
        Some(IpVersion::V6) => headers.icmp_type < 128,
        None => false,
    }
}

/// Whether the packet is an ICMP redirect of either version.
pub fn is_redirect(headers: &Headers) -> bool {
    let wanted = match headers.version() {
        Some(IpVersion::V4) => v4::REDIRECT,
        Some(IpVersion::V6) => v6::REDIRECT,
        None => return false,
    };
    is_icmp(headers) && headers.icmp_type == wanted
}

/// Whether the packet is an echo request.
pub fn is_echo_request(headers: &Headers) -> bool {
    let wanted = match headers.version() {
        Some(IpVersion::V4) => v4::ECHO_REQUEST,
        Some(IpVersion::V6) => v6::ECHO_REQUEST,
        None => return false,
    };
    is_icmp(headers) && headers.icmp_type == wanted && headers.icmp_code == 0
}

/// The MTU that a "fragmentation needed" or "packet too big" error announces. Zero comes from routers
/// older than RFC 1191.
pub fn announced_mtu(frame: &[u8], headers: &Headers) -> Option<u32> {
    if !is_icmp(headers) {
        return None;
    }
    let field = crate::bytes::u32_at(frame, usize::from(headers.l4) + 4)?;
    match (headers.version()?, headers.icmp_type, headers.icmp_code) {
        (IpVersion::V4, v4::UNREACHABLE, v4::FRAGMENTATION_NEEDED) => Some(field & 0xffff),
        (IpVersion::V6, v6::TOO_BIG, _) => Some(field),
        _ => None,
    }
}

/// Whether an ICMP error may be sent about this packet (RFC 1122 §3.2.2, RFC 4443 §2.4 (e)).
///
/// Not about an ICMP error or redirect, a fragment after the first, a frame that was not addressed to
/// one station, a destination that is multicast or broadcast, nor a source that is no single host.
/// The broadcast addresses of connected subnets are not known here; the caller checks them.
pub fn may_answer_with_error(headers: &Headers) -> bool {
    let to_one = match headers.dst() {
        IpAddr::V4(dst) => !dst.is_multicast() && !dst.is_broadcast(),
        IpAddr::V6(dst) => !dst.is_multicast(),
    };
    let from_one = match headers.src() {
        IpAddr::V4(src) => {
            let [first, ..] = src.octets();
            // 0/8 is "this network", 240/4 is class E with the broadcast address
            first != 0 && first < 240 && !src.is_loopback() && !src.is_multicast()
        }
        IpAddr::V6(src) => !src.is_unspecified() && !src.is_loopback() && !src.is_multicast(),
    };
    headers.kind != L3::Arp
        && headers.fragment != Fragmentation::Later
        && !headers.eth_dst.is_group()
        && !is_error(headers)
        && !is_redirect(headers)
        && to_one
        && from_one
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Mac,
        build::{ETHER, Packet, tuple},
        parse,
    };

    fn packet(src: [u8; 4], dst: [u8; 4], proto: u8) -> Packet {
        Packet::new(tuple(proto, (src, 7), (dst, 0)))
    }

    fn may(packet: &Packet) -> bool {
        may_answer_with_error(&parse(&packet.build()).unwrap())
    }

    #[test]
    fn what_errors_answer() {
        let (host, server) = ([10, 0, 0, 5], [203, 0, 113, 9]);
        assert!(may(&packet(host, server, proto::UDP)));
        assert!(may(&packet(host, server, proto::ICMP)));
        for error in [3, 4, 5, 11, 12] {
            assert!(!may(&packet(host, server, proto::ICMP).icmp(error, 0)), "type {error}");
        }
        for dst in [[224, 0, 0, 5], [255, 255, 255, 255]] {
            assert!(!may(&packet(host, dst, proto::UDP)), "to {dst:?}");
        }
        for src in [[0, 0, 0, 0], [127, 0, 0, 1], [224, 0, 0, 1], [240, 0, 0, 1], [255; 4]] {
            assert!(!may(&packet(src, server, proto::UDP)), "from {src:?}");
        }
        let broadcast = packet(host, server, proto::UDP).macs(ETHER.src, Mac::BROADCAST);
        assert!(!may(&broadcast));
    }

    #[test]
    fn what_errors_answer_in_ipv6() {
        let host = [0x2001, 0xdb8, 0, 0, 0, 0, 0, 5];
        let of = |src: [u16; 8], dst: [u16; 8], kind| {
            Packet::new(tuple(proto::ICMPV6, (src, 7), (dst, 0))).icmp(kind, 0)
        };
        let server = [0x2001, 0xdb8, 0, 1, 0, 0, 0, 5];
        assert!(may(&of(host, server, v6::ECHO_REQUEST)));
        for kind in [1, 2, 3, 4, 100, 127, v6::REDIRECT] {
            assert!(!may(&of(host, server, kind)), "type {kind}");
        }
        assert!(!may(&of([0; 8], server, v6::ECHO_REQUEST)));
        assert!(!may(&of(host, [0xff02, 0, 0, 0, 0, 0, 0, 1], v6::ECHO_REQUEST)));
    }

    #[test]
    fn a_later_fragment_has_no_type() {
        let headers = Headers { fragment: Fragmentation::Later, ..Headers::EMPTY };
        let headers = Headers {
            kind: L3::Ip(IpVersion::V6),
            tuple: tuple(proto::ICMPV6, ([1u16; 8], 0), ([2u16; 8], 0)),
            ..headers
        };
        assert!(!is_icmp(&headers) && !is_error(&headers) && !may_answer_with_error(&headers));
    }
}
