//! ICMP error messages (RFC 792, RFC 1812 §4.3, RFC 4443).

use core::net::IpAddr;

use wire::{
    Fragmentation, Headers, IpVersion, L3, Mac,
    icmp::{may_answer_with_error, v4, v6},
    proto,
};

use super::{IpHeader, begin};

/// Longest ICMP error over IPv4, its IP header included (RFC 1812 §4.3.2.3).
const MAX_V4: usize = 576;
/// Longest ICMPv6 error, its IPv6 header included: the minimum MTU (RFC 4443 §2.4 (c)).
const MAX_V6: usize = 1280;
/// Type of service of ICMP errors: precedence internetwork control (RFC 1812 §4.3.2.5).
const ERROR_TOS: u8 = 0xc0;

/// What the sender is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IcmpErrorKind {
    /// TTL or hop limit ran out: 11/0; ICMPv6 3/0.
    TtlExceeded,
    /// Fragments are missing: 11/1; ICMPv6 3/1. The offending packet is the first fragment.
    ReassemblyTimeout,
    /// Larger than the next link takes: 3/4 with RFC 1191; ICMPv6 packet too big.
    FragNeeded {
        /// MTU of the next hop in bytes.
        mtu: u16,
    },
    /// No route: 3/0; ICMPv6 1/0.
    NetUnreachable,
    /// The next hop or host does not answer: 3/1; ICMPv6 1/3.
    HostUnreachable,
    /// The gateway does not speak this protocol: 3/2; ICMPv6 parameter problem 4/1.
    ProtocolUnreachable,
    /// Nothing listens: 3/3; ICMPv6 1/4.
    PortUnreachable,
    /// A policy rejects it: 3/13; ICMPv6 1/1.
    AdminProhibited,
}

impl IcmpErrorKind {
    /// Type and code in one version.
    pub const fn type_and_code(self, version: IpVersion) -> (u8, u8) {
        match (version, self) {
            (IpVersion::V4, Self::TtlExceeded) => (v4::TIME_EXCEEDED, v4::IN_TRANSIT),
            (IpVersion::V4, Self::ReassemblyTimeout) => (v4::TIME_EXCEEDED, v4::IN_REASSEMBLY),
            (IpVersion::V4, Self::FragNeeded { .. }) => (v4::UNREACHABLE, v4::FRAGMENTATION_NEEDED),
            (IpVersion::V4, Self::NetUnreachable) => (v4::UNREACHABLE, v4::NETWORK),
            (IpVersion::V4, Self::HostUnreachable) => (v4::UNREACHABLE, v4::HOST),
            (IpVersion::V4, Self::ProtocolUnreachable) => (v4::UNREACHABLE, v4::PROTOCOL),
            (IpVersion::V4, Self::PortUnreachable) => (v4::UNREACHABLE, v4::PORT),
            (IpVersion::V4, Self::AdminProhibited) => (v4::UNREACHABLE, v4::PROHIBITED),
            (IpVersion::V6, Self::TtlExceeded) => (v6::TIME_EXCEEDED, v6::IN_TRANSIT),
            (IpVersion::V6, Self::ReassemblyTimeout) => (v6::TIME_EXCEEDED, v6::IN_REASSEMBLY),
            (IpVersion::V6, Self::FragNeeded { .. }) => (v6::TOO_BIG, 0),
            (IpVersion::V6, Self::NetUnreachable) => (v6::UNREACHABLE, v6::NO_ROUTE),
            (IpVersion::V6, Self::HostUnreachable) => (v6::UNREACHABLE, v6::ADDRESS),
            (IpVersion::V6, Self::ProtocolUnreachable) => {
                (v6::PARAMETER_PROBLEM, v6::UNKNOWN_NEXT_HEADER)
            }
            (IpVersion::V6, Self::PortUnreachable) => (v6::UNREACHABLE, v6::PORT),
            (IpVersion::V6, Self::AdminProhibited) => (v6::UNREACHABLE, v6::PROHIBITED),
        }
    }
}

/// Whether an ICMP error may be sent about a packet: [`may_answer_with_error`], and ICMPv6 too-big
/// also about packets to groups (RFC 4443 §2.4 (e.3)) and about later fragments, as long as those
/// cannot be of an ICMPv6 error.
pub fn may_answer(kind: IcmpErrorKind, headers: &Headers) -> bool {
    if may_answer_with_error(headers) {
        return true;
    }
    match (kind, headers.kind) {
        (IcmpErrorKind::FragNeeded { .. }, L3::Ip(IpVersion::V6)) => {
            let mut to_one_host = *headers;
            to_one_host.eth_dst = Mac::default();
            to_one_host.tuple.dst = headers.src();
            if headers.tuple.proto != proto::ICMPV6 {
                to_one_host.fragment = Fragmentation::Whole;
            }
            may_answer_with_error(&to_one_host)
        }
        _ => false,
    }
}

/// Builds the ICMP error about the packet in `offending` as its sender knows it, with `source` as
/// the gateway's address.
///
/// As much of the packet is quoted as the limits of RFC 1812 §4.3.2.3 and RFC 4443 §2.4 (c) allow.
/// `false` if [`may_answer`] forbids it or the versions differ.
pub fn icmp_error(
    kind: IcmpErrorKind,
    offending: &[u8],
    headers: &Headers,
    source: IpAddr,
    out: &mut Vec<u8>,
) -> bool {
    out.clear();
    let written =
        may_answer(kind, headers) && write(kind, offending, headers, source, out).is_some();
    if !written {
        out.clear();
    }
    written
}

fn write(
    kind: IcmpErrorKind,
    offending: &[u8],
    headers: &Headers,
    source: IpAddr,
    out: &mut Vec<u8>,
) -> Option<()> {
    let L3::Ip(version) = headers.kind else {
        return None;
    };
    let (max, proto, tos) = match version {
        IpVersion::V4 => (MAX_V4 - 28, proto::ICMP, ERROR_TOS),
        IpVersion::V6 => (MAX_V6 - 48, proto::ICMPV6, 0),
    };
    let packet = offending.get(usize::from(headers.l3)..headers.end as usize)?;
    let quote = packet.get(..packet.len().min(max))?;
    let (icmp_type, code) = kind.type_and_code(version);
    let second_word = match kind {
        IcmpErrorKind::FragNeeded { mtu } => u32::from(mtu),
        // the pointer names the next-header field of the IPv6 header (RFC 4443 §3.4)
        IcmpErrorKind::ProtocolUnreachable if version == IpVersion::V6 => {
            u32::from(next_header_offset(packet, headers))
        }
        IcmpErrorKind::TtlExceeded
        | IcmpErrorKind::ReassemblyTimeout
        | IcmpErrorKind::NetUnreachable
        | IcmpErrorKind::HostUnreachable
        | IcmpErrorKind::ProtocolUnreachable
        | IcmpErrorKind::PortUnreachable
        | IcmpErrorKind::AdminProhibited => 0,
    };
    let ip = IpHeader {
        src: source,
        dst: headers.src(),
        proto,
        tos,
        id: 0,
        // never longer than any link must take; a datagram that is not cut needs no identification
        // (RFC 6864 §4.1)
        df: true,
    };
    if !begin(out, &ip, 8 + quote.len()) {
        return None;
    }
    out.extend_from_slice(&[icmp_type, code, 0, 0]);
    out.extend_from_slice(&second_word.to_be_bytes());
    out.extend_from_slice(quote);
    ip.finish(out, 2, version == IpVersion::V6)
}

/// Offset in the IPv6 packet of the field that names the transport protocol.
fn next_header_offset(packet: &[u8], headers: &Headers) -> u16 {
    const FIXED: u16 = 6;
    let l4 = headers.l4.saturating_sub(headers.l3);
    let mut named_by = FIXED;
    let mut at = 40;
    while at < l4 {
        let Some(units) = packet.get(usize::from(at) + 1) else {
            return FIXED;
        };
        named_by = at;
        at = at.saturating_add((u16::from(*units) + 1) * 8);
    }
    named_by
}
