//! One pass over the headers of a frame, shared by both tiers.
//!
//! The plain case (Ethernet, IPv4 or IPv6 without options, a known transport) has no loop in it;
//! options, tags, extension headers and fragments take a detour. Limits: one 802.1Q tag, at most
//! eight IPv6 extension headers, no jumbograms.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use reason::DropReason;

use crate::{
    Mac, Tuple, VlanId, bytes,
    checksum::{self, Sum},
    proto,
};

/// EtherType of IPv4.
pub(crate) const ETHERTYPE_IPV4: u16 = 0x0800;
/// EtherType of ARP.
pub(crate) const ETHERTYPE_ARP: u16 = 0x0806;
/// EtherType of an 802.1Q tag.
pub(crate) const ETHERTYPE_VLAN: u16 = 0x8100;
/// EtherType of IPv6.
pub(crate) const ETHERTYPE_IPV6: u16 = 0x86dd;

/// IP version of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IpVersion {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// Where a packet stands in a fragmented datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fragmentation {
    /// A whole packet.
    Whole,
    /// The first fragment: the transport header is present.
    First,
    /// A later fragment: there is no transport header, ports are zero.
    Later,
}

/// What the Ethernet payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum L3 {
    /// An IP packet; the rest of [`Headers`] is valid.
    Ip(IpVersion),
    /// ARP; the rest of [`Headers`] beyond `l3` is meaningless.
    Arp,
}

/// What one pass over a frame found. Offsets count from the first byte of the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers {
    /// Destination MAC.
    pub eth_dst: Mac,
    /// Source MAC.
    pub eth_src: Mac,
    /// 802.1Q tag, when there is one (one tag at most).
    pub vlan: Option<VlanId>,
    /// What follows Ethernet.
    pub kind: L3,
    /// Offset of the IP or ARP header.
    pub l3: u16,
    /// Offset of the transport header (or of the fragment's data).
    pub l4: u16,
    /// Offset of the transport payload; equals `l4` where the transport is not understood.
    pub payload: u16,
    /// End of the IP packet; the frame may be longer (Ethernet padding).
    pub end: u32,
    /// Addresses, ports and protocol; ports as [`Tuple`] says.
    pub tuple: Tuple,
    /// TTL or hop limit.
    pub ttl: u8,
    /// Type of service or traffic class.
    pub tos: u8,
    /// Don't-fragment: the DF bit in IPv4, always true in IPv6.
    pub df: bool,
    /// Whether it is a fragment.
    pub fragment: Fragmentation,
    /// IPv4 options or IPv6 extension headers (other than a fragment header) are present.
    pub options: bool,
    /// TCP flags byte; zero for other protocols.
    pub tcp_flags: u8,
    /// ICMP type; zero for other protocols.
    pub icmp_type: u8,
    /// ICMP code; zero for other protocols.
    pub icmp_code: u8,
}

impl Headers {
    /// Headers of nothing: where [`parse_into`] may write.
    pub const EMPTY: Self = Self {
        eth_dst: Mac([0; 6]),
        eth_src: Mac([0; 6]),
        vlan: None,
        kind: L3::Arp,
        l3: 0,
        l4: 0,
        payload: 0,
        end: 0,
        tuple: Tuple {
            src: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            dst: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            src_port: 0,
            dst_port: 0,
            proto: 0,
        },
        ttl: 0,
        tos: 0,
        df: false,
        fragment: Fragmentation::Whole,
        options: false,
        tcp_flags: 0,
        icmp_type: 0,
        icmp_code: 0,
    };

    /// Length of the IP packet in bytes.
    pub const fn ip_len(&self) -> u32 {
        self.end.saturating_sub(self.l3 as u32)
    }

    /// Length of the transport payload; of everything after the IP header where the transport is
    /// not understood. For a super-packet, of all its segments together.
    pub const fn payload_len(&self) -> u32 {
        self.end.saturating_sub(self.payload as u32)
    }

    /// IP version; `None` for ARP.
    pub const fn version(&self) -> Option<IpVersion> {
        match self.kind {
            L3::Ip(version) => Some(version),
            L3::Arp => None,
        }
    }

    /// Source address.
    pub const fn src(&self) -> IpAddr {
        self.tuple.src
    }

    /// Destination address.
    pub const fn dst(&self) -> IpAddr {
        self.tuple.dst
    }
}

/// Parses and validates Ethernet, one optional 802.1Q tag, ARP or IP, and the transport header.
///
/// `frame` may be a super-packet of up to 64 KiB. Checks lengths, versions, the IPv4 header
/// checksum, source routes, extension-header order and TCP data offset. Transport checksums are a
/// separate question: [`verify_l4_checksum`].
///
/// A priority tag (VLAN id 0) is skipped and `vlan` stays `None`.
#[inline]
pub fn parse(frame: &[u8]) -> Result<Headers, DropReason> {
    let mut headers = Headers::EMPTY;
    parse_into(frame, &mut headers)?;
    Ok(headers)
}

/// Like [`parse`], but writes where a burst keeps its headers, which saves a copy. What `out` holds
/// after a refusal means nothing.
#[inline]
pub fn parse_into(frame: &[u8], out: &mut Headers) -> Result<(), DropReason> {
    let eth: &[u8; 14] = frame.first_chunk().ok_or(DropReason::FrameTooShort)?;
    let link = Link { vlan: None, l3: 14 };
    match u16::from_be_bytes([eth[12], eth[13]]) {
        ETHERTYPE_IPV4 => ipv4(frame, out, link),
        ETHERTYPE_IPV6 => ipv6(frame, out, link),
        ETHERTYPE_VLAN => tagged(frame, out),
        ETHERTYPE_ARP => {
            arp(frame, out, link);
            Ok(())
        }
        _ => Err(DropReason::EthertypeUnsupported),
    }
}

/// Checks the TCP, UDP, ICMP, ICMPv6 or SCTP checksum of a whole packet; others pass.
///
/// Fragments pass too, since only the whole can be checked, and so does an IPv6 packet that a
/// routing header still sends elsewhere, whose final destination is not the one in the IP header.
pub fn verify_l4_checksum(frame: &[u8], headers: &Headers) -> Result<(), DropReason> {
    let L3::Ip(version) = headers.kind else {
        return Ok(());
    };
    if headers.fragment != Fragmentation::Whole {
        return Ok(());
    }
    let (l4, end) = (usize::from(headers.l4), headers.end as usize);
    let data = frame.get(l4..end).ok_or(DropReason::L4HeaderTruncated)?;
    let t = &headers.tuple;
    let with_pseudo = |data: &[u8]| {
        let length = data.len() as u32;
        Sum::ZERO.pseudo(t.src, t.dst, t.proto, length).bytes(data).is_intact()
    };
    let elsewhere =
        || headers.options && version == IpVersion::V6 && is_source_routed(frame, headers);
    let (intact, reason) = match (t.proto, version) {
        (proto::TCP, _) => (with_pseudo(data) || elsewhere(), DropReason::TcpChecksumInvalid),
        (proto::UDP, _) => {
            let length = usize::from(bytes::u16_at(data, 4).ok_or(DropReason::L4HeaderTruncated)?);
            let datagram = data.get(..length).ok_or(DropReason::UdpHeaderInvalid)?;
            let none = bytes::u16_at(data, 6) == Some(0);
            // RFC 768: zero means none; RFC 8200 §8.1: not in IPv6
            let intact =
                if none { version == IpVersion::V4 } else { with_pseudo(datagram) || elsewhere() };
            (intact, DropReason::UdpChecksumInvalid)
        }
        (proto::ICMP, IpVersion::V4) => {
            (Sum::ZERO.bytes(data).is_intact(), DropReason::IcmpChecksumInvalid)
        }
        (proto::ICMPV6, IpVersion::V6) => {
            (with_pseudo(data) || elsewhere(), DropReason::IcmpChecksumInvalid)
        }
        (proto::SCTP, _) => (is_sctp_intact(data), DropReason::SctpChecksumInvalid),
        _ => return Ok(()),
    };
    if intact { Ok(()) } else { Err(reason) }
}

/// `N` bytes of a header from a constant offset inside it, copied in one go.
#[inline(always)]
fn part<const N: usize>(header: &[u8], at: usize) -> [u8; N] {
    bytes::array_at(header, at).unwrap_or([0; N])
}

/// Where the link layer ends, and its tag.
#[derive(Clone, Copy)]
struct Link {
    vlan: Option<VlanId>,
    l3: usize,
}

/// A call of its own, so that the offsets of untagged frames are constants.
#[inline(never)]
fn tagged(frame: &[u8], out: &mut Headers) -> Result<(), DropReason> {
    let tag: [u8; 4] = bytes::array_at(frame, 14).ok_or(DropReason::FrameTooShort)?;
    let id = u16::from_be_bytes([tag[0], tag[1]]) & 0x0fff;
    let link = Link { vlan: (id != 0).then_some(id), l3: 18 };
    match u16::from_be_bytes([tag[2], tag[3]]) {
        ETHERTYPE_IPV4 => ipv4(frame, out, link),
        ETHERTYPE_IPV6 => ipv6(frame, out, link),
        ETHERTYPE_ARP => {
            arp(frame, out, link);
            Ok(())
        }
        _ => Err(DropReason::EthertypeUnsupported),
    }
}

#[inline(always)]
fn ipv4(frame: &[u8], out: &mut Headers, link: Link) -> Result<(), DropReason> {
    let ip = frame.get(link.l3..).ok_or(DropReason::Ipv4HeaderInvalid)?;
    let h: &[u8; 20] = ip.first_chunk().ok_or(DropReason::Ipv4HeaderInvalid)?;
    let is_fragment = (h[6] & 0x3f) | h[7] != 0;
    if h[0] != 0x45 || is_fragment {
        return ipv4_detour(frame, out, link);
    }
    if !Sum::ipv4_header(h).is_intact() {
        return Err(DropReason::Ipv4ChecksumInvalid);
    }
    ipv4_payload(frame, out, link, 20, true)
}

/// IPv4 with options, or a fragment.
#[cold]
#[inline(never)]
fn ipv4_detour(frame: &[u8], out: &mut Headers, link: Link) -> Result<(), DropReason> {
    let ip = frame.get(link.l3..).ok_or(DropReason::Ipv4HeaderInvalid)?;
    let l4 = ipv4_header_length(ip)?;
    ipv4_payload(frame, out, link, l4, false)
}

#[inline(always)]
fn ipv4_payload(
    frame: &[u8],
    out: &mut Headers,
    link: Link,
    l4: usize,
    plain: bool,
) -> Result<(), DropReason> {
    let ip = frame.get(link.l3..).ok_or(DropReason::Ipv4HeaderInvalid)?;
    let h: &[u8; 20] = ip.first_chunk().ok_or(DropReason::Ipv4HeaderInvalid)?;
    let total = usize::from(u16::from_be_bytes([h[2], h[3]]));
    if total < l4 {
        return Err(DropReason::Ipv4HeaderInvalid);
    }
    let data = ip.get(l4..total).ok_or(DropReason::IpLengthMismatch)?;
    let fragment = if plain {
        Fragmentation::Whole
    } else {
        ipv4_fragment(u16::from_be_bytes([h[6], h[7]]), l4, h[9], data)?
    };
    let t = transport(IpVersion::V4, h[9], data, fragment)?;
    *out = Headers {
        eth_dst: Mac(part(frame, 0)),
        eth_src: Mac(part(frame, 6)),
        vlan: link.vlan,
        kind: L3::Ip(IpVersion::V4),
        l3: link.l3 as u16,
        l4: (link.l3 + l4) as u16,
        payload: (link.l3 + l4 + t.header) as u16,
        end: (link.l3 + total) as u32,
        tuple: Tuple {
            src: IpAddr::V4(Ipv4Addr::from(part::<4>(h, 12))),
            dst: IpAddr::V4(Ipv4Addr::from(part::<4>(h, 16))),
            src_port: t.src_port,
            dst_port: t.dst_port,
            proto: h[9],
        },
        ttl: h[8],
        tos: h[1],
        df: h[6] & 0x40 != 0,
        fragment,
        options: l4 != 20,
        tcp_flags: t.tcp_flags,
        icmp_type: t.icmp_type,
        icmp_code: t.icmp_code,
    };
    Ok(())
}

/// Checks version, header length, checksum and options; returns the header length.
fn ipv4_header_length(ip: &[u8]) -> Result<usize, DropReason> {
    let first = ip.first().copied().unwrap_or(0);
    let length = usize::from(first & 0x0f) * 4;
    if first >> 4 != 4 || length < 20 {
        return Err(DropReason::Ipv4HeaderInvalid);
    }
    let header = ip.get(..length).ok_or(DropReason::Ipv4HeaderInvalid)?;
    if !Sum::ZERO.bytes(header).is_intact() {
        return Err(DropReason::Ipv4ChecksumInvalid);
    }
    let mut options = header.get(20..).unwrap_or_default();
    while let [kind, rest @ ..] = options {
        match *kind {
            0 => break,
            1 => options = rest,
            // RFC 791 §3.1: loose and strict source route
            131 | 137 => return Err(DropReason::IpSourceRoute),
            _ => {
                let length = usize::from(rest.first().copied().unwrap_or(0));
                if length < 2 {
                    return Err(DropReason::Ipv4HeaderInvalid);
                }
                options = options.get(length..).ok_or(DropReason::Ipv4HeaderInvalid)?;
            }
        }
    }
    Ok(length)
}

fn ipv4_fragment(
    flags: u16,
    header: usize,
    proto: u8,
    data: &[u8],
) -> Result<Fragmentation, DropReason> {
    let offset = usize::from(flags & 0x1fff) * 8;
    let more = flags & 0x2000 != 0;
    if offset == 0 && !more {
        return Ok(Fragmentation::Whole);
    }
    fragment_position(offset, more, header, proto, data.len())
}

/// Checks one fragment by itself. `before` is the length of what precedes the data in the
/// reassembled packet, as far as its length field counts it.
fn fragment_position(
    offset: usize,
    more: bool,
    before: usize,
    proto: u8,
    length: usize,
) -> Result<Fragmentation, DropReason> {
    if length == 0 || (more && !length.is_multiple_of(8)) {
        return Err(DropReason::FragmentMalformed);
    }
    if before + offset + length > usize::from(u16::MAX) {
        return Err(DropReason::FragmentTooLarge);
    }
    match offset {
        0 => Ok(Fragmentation::First),
        // RFC 1858 §3.2: a second fragment that would overwrite the TCP flags
        8 if proto == proto::TCP => Err(DropReason::FragmentMalformed),
        _ => Ok(Fragmentation::Later),
    }
}

#[inline(always)]
fn ipv6(frame: &[u8], out: &mut Headers, link: Link) -> Result<(), DropReason> {
    let ip = frame.get(link.l3..).ok_or(DropReason::Ipv6HeaderInvalid)?;
    let h: &[u8; 40] = ip.first_chunk().ok_or(DropReason::Ipv6HeaderInvalid)?;
    if h[0] >> 4 != 6 {
        return Err(DropReason::Ipv6HeaderInvalid);
    }
    let total = 40 + usize::from(u16::from_be_bytes([h[4], h[5]]));
    if ip.len() < total {
        return Err(DropReason::IpLengthMismatch);
    }
    if is_extension(h[6]) {
        return ipv6_detour(frame, out, link, total);
    }
    ipv6_payload(frame, out, link, total, Extensions::none(h[6]))
}

/// IPv6 with extension headers.
#[cold]
#[inline(never)]
fn ipv6_detour(
    frame: &[u8],
    out: &mut Headers,
    link: Link,
    total: usize,
) -> Result<(), DropReason> {
    let ip = frame.get(link.l3..link.l3 + total).ok_or(DropReason::IpLengthMismatch)?;
    ipv6_payload(frame, out, link, total, walk_extensions(ip)?)
}

#[inline(always)]
fn ipv6_payload(
    frame: &[u8],
    out: &mut Headers,
    link: Link,
    total: usize,
    chain: Extensions,
) -> Result<(), DropReason> {
    let ip = frame.get(link.l3..link.l3 + total).ok_or(DropReason::IpLengthMismatch)?;
    let h: &[u8; 40] = ip.first_chunk().ok_or(DropReason::Ipv6HeaderInvalid)?;
    let data = ip.get(chain.l4..).ok_or(DropReason::Ipv6ExtensionInvalid)?;
    let t = transport(IpVersion::V6, chain.proto, data, chain.fragment)?;
    *out = Headers {
        eth_dst: Mac(part(frame, 0)),
        eth_src: Mac(part(frame, 6)),
        vlan: link.vlan,
        kind: L3::Ip(IpVersion::V6),
        l3: link.l3 as u16,
        l4: (link.l3 + chain.l4) as u16,
        payload: (link.l3 + chain.l4 + t.header) as u16,
        end: (link.l3 + total) as u32,
        tuple: Tuple {
            src: IpAddr::V6(Ipv6Addr::from(part::<16>(h, 8))),
            dst: IpAddr::V6(Ipv6Addr::from(part::<16>(h, 24))),
            src_port: t.src_port,
            dst_port: t.dst_port,
            proto: chain.proto,
        },
        ttl: h[7],
        tos: (h[0] << 4) | (h[1] >> 4),
        df: true,
        fragment: chain.fragment,
        options: chain.options,
        tcp_flags: t.tcp_flags,
        icmp_type: t.icmp_type,
        icmp_code: t.icmp_code,
    };
    Ok(())
}

/// Most extension headers that are followed.
const MAX_EXTENSIONS: usize = 8;

/// Hop-by-hop options (RFC 8200 §4.3).
const HOP_BY_HOP: u8 = 0;
/// Routing header (RFC 8200 §4.4).
const ROUTING: u8 = 43;
/// Fragment header (RFC 8200 §4.5).
pub(crate) const FRAGMENT: u8 = 44;
/// Authentication header (RFC 4302).
const AUTHENTICATION: u8 = 51;
/// Destination options (RFC 8200 §4.6).
const DESTINATION_OPTIONS: u8 = 60;

#[inline]
const fn is_extension(next: u8) -> bool {
    matches!(next, HOP_BY_HOP | ROUTING | FRAGMENT | AUTHENTICATION | DESTINATION_OPTIONS)
}

/// What a walk over the extension headers found; offsets count from the IPv6 header.
#[derive(Clone, Copy)]
pub(crate) struct Extensions {
    pub(crate) proto: u8,
    pub(crate) l4: usize,
    pub(crate) fragment: Fragmentation,
    /// The fragment header, and the next-header field that names it.
    pub(crate) fragment_header: Option<(usize, usize)>,
    pub(crate) options: bool,
    /// A routing header has segments left.
    pub(crate) routed: bool,
    /// Where the part ends that goes into every fragment (RFC 8200 §4.5): after the hop-by-hop
    /// options or the routing header, whichever is last.
    pub(crate) unfragmentable: usize,
    /// The next-header field that names what follows that part.
    pub(crate) unfragmentable_at: usize,
}

impl Extensions {
    /// A packet without any.
    const fn none(proto: u8) -> Self {
        Self {
            proto,
            l4: 40,
            fragment: Fragmentation::Whole,
            fragment_header: None,
            options: false,
            routed: false,
            unfragmentable: 40,
            unfragmentable_at: 6,
        }
    }
}

/// Walks the chain of a packet that is exactly `ip`. For a later fragment `proto` is the next
/// header of its fragment header, whatever that is.
#[cold]
pub(crate) fn walk_extensions(ip: &[u8]) -> Result<Extensions, DropReason> {
    let mut next_at = 6;
    let mut next = ip.get(next_at).copied().ok_or(DropReason::Ipv6HeaderInvalid)?;
    let mut found = Extensions::none(next);
    for nth in 0..=MAX_EXTENSIONS {
        found.proto = next;
        if !is_extension(next) {
            return Ok(found);
        }
        // RFC 7112 §5: the first fragment holds the whole chain
        let cut = match found.fragment {
            Fragmentation::First => DropReason::FragmentMalformed,
            Fragmentation::Whole | Fragmentation::Later => DropReason::Ipv6ExtensionInvalid,
        };
        let at = found.l4;
        let fields: [u8; 8] = bytes::array_at(ip, at).ok_or(cut)?;
        let [following, units, kind, left, ..] = fields;
        let length = match next {
            FRAGMENT => 8,
            AUTHENTICATION => (usize::from(units) + 2) * 4,
            _ => (usize::from(units) + 1) * 8,
        };
        if at + length > ip.len() {
            return Err(cut);
        }
        found.l4 = at + length;
        match next {
            HOP_BY_HOP if nth != 0 => return Err(DropReason::Ipv6ExtensionInvalid),
            ROUTING if kind == 0 => return Err(DropReason::IpSourceRoute),
            ROUTING => found.routed |= left != 0,
            FRAGMENT => {
                if found.fragment_header.is_some() {
                    return Err(DropReason::Ipv6ExtensionInvalid);
                }
                found.fragment_header = Some((at, next_at));
                let field = u16::from_be_bytes([kind, left]);
                let (offset, more) = (usize::from(field & 0xfff8), field & 1 != 0);
                if offset != 0 || more {
                    let (before, length) = (at - 40, ip.len() - found.l4);
                    found.fragment = fragment_position(offset, more, before, following, length)?;
                }
                if found.fragment == Fragmentation::Later {
                    found.proto = following;
                    return Ok(found);
                }
                // RFC 6946: an atomic fragment is a whole packet
                found.options |= found.fragment == Fragmentation::Whole;
            }
            _ => {}
        }
        found.options |= next != FRAGMENT;
        if matches!(next, HOP_BY_HOP | ROUTING) {
            found.unfragmentable = found.l4;
            found.unfragmentable_at = at;
        }
        next_at = at;
        next = following;
    }
    Err(DropReason::Ipv6ExtensionInvalid)
}

/// Whether a routing header sends the packet on to another destination.
fn is_source_routed(frame: &[u8], headers: &Headers) -> bool {
    frame
        .get(usize::from(headers.l3)..headers.end as usize)
        .and_then(|ip| walk_extensions(ip).ok())
        .is_some_and(|found| found.routed)
}

#[inline]
fn arp(frame: &[u8], out: &mut Headers, link: Link) {
    let l3 = link.l3 as u16;
    *out = Headers {
        eth_dst: Mac(part(frame, 0)),
        eth_src: Mac(part(frame, 6)),
        vlan: link.vlan,
        l3,
        l4: l3,
        payload: l3,
        end: frame.len().min(u32::MAX as usize) as u32,
        ..Headers::EMPTY
    };
}

/// What the transport header says.
#[derive(Clone, Copy, Default)]
struct Transport {
    src_port: u16,
    dst_port: u16,
    /// Header length; zero where the transport is not understood.
    header: usize,
    tcp_flags: u8,
    icmp_type: u8,
    icmp_code: u8,
}

#[inline(always)]
fn transport(
    version: IpVersion,
    proto: u8,
    data: &[u8],
    fragment: Fragmentation,
) -> Result<Transport, DropReason> {
    match fragment {
        Fragmentation::Whole => transport_header(version, proto, data, true),
        Fragmentation::First => {
            transport_header(version, proto, data, false).map_err(|_| DropReason::FragmentMalformed)
        }
        Fragmentation::Later => Ok(Transport::default()),
    }
}

#[inline(always)]
fn transport_header(
    version: IpVersion,
    proto: u8,
    data: &[u8],
    whole: bool,
) -> Result<Transport, DropReason> {
    match (proto, version) {
        (proto::UDP, _) => {
            let h: &[u8; 8] = data.first_chunk().ok_or(DropReason::L4HeaderTruncated)?;
            let length = usize::from(u16::from_be_bytes([h[4], h[5]]));
            if length < 8 || (whole && length > data.len()) {
                return Err(DropReason::UdpHeaderInvalid);
            }
            Ok(Transport { header: 8, ..ports(h[0], h[1], h[2], h[3]) })
        }
        (proto::TCP, _) => {
            let h: &[u8; 20] = data.first_chunk().ok_or(DropReason::L4HeaderTruncated)?;
            let header = usize::from(h[12] >> 4) * 4;
            if header < 20 || header > data.len() {
                return Err(DropReason::TcpHeaderInvalid);
            }
            Ok(Transport { header, tcp_flags: h[13], ..ports(h[0], h[1], h[2], h[3]) })
        }
        (proto::ICMP, IpVersion::V4) | (proto::ICMPV6, IpVersion::V6) => {
            let h: &[u8; 8] = data.first_chunk().ok_or(DropReason::IcmpHeaderInvalid)?;
            let (src_port, dst_port) = icmp_ports(version, h);
            Ok(Transport {
                src_port,
                dst_port,
                header: 8,
                icmp_type: h[0],
                icmp_code: h[1],
                tcp_flags: 0,
            })
        }
        (proto::SCTP, _) => {
            let h: &[u8; 12] = data.first_chunk().ok_or(DropReason::L4HeaderTruncated)?;
            Ok(Transport { header: 12, ..ports(h[0], h[1], h[2], h[3]) })
        }
        _ => Ok(Transport::default()),
    }
}

#[inline(always)]
fn ports(a: u8, b: u8, c: u8, d: u8) -> Transport {
    Transport {
        src_port: u16::from_be_bytes([a, b]),
        dst_port: u16::from_be_bytes([c, d]),
        ..Transport::default()
    }
}

/// The identifier of an ICMP query where the tuple has it: at the asking side.
#[inline]
pub(crate) fn icmp_ports(version: IpVersion, header: &[u8; 8]) -> (u16, u16) {
    let id = u16::from_be_bytes([header[4], header[5]]);
    match icmp_query(version, header[0]) {
        Some(true) => (id, 0),
        Some(false) => (0, id),
        None => (0, 0),
    }
}

/// For an ICMP type that carries an identifier: whether it is the request.
///
/// Echo, timestamp, information and address mask of RFC 792 and RFC 950; echo of RFC 4443.
#[inline]
pub(crate) const fn icmp_query(version: IpVersion, icmp_type: u8) -> Option<bool> {
    match (version, icmp_type) {
        (IpVersion::V4, 8 | 13 | 15 | 17) | (IpVersion::V6, 128) => Some(true),
        (IpVersion::V4, 0 | 14 | 16 | 18) | (IpVersion::V6, 129) => Some(false),
        _ => None,
    }
}

/// Whether the CRC-32c of an SCTP packet is right (RFC 9260 §6.8).
fn is_sctp_intact(packet: &[u8]) -> bool {
    let Some((head, rest)) = packet.split_first_chunk::<12>() else {
        return false;
    };
    let [.., a, b, c, d] = *head;
    let crc = checksum::crc32c_add(checksum::CRC32C_START, &head[..8]);
    let crc = checksum::crc32c_add(checksum::crc32c_add(crc, &[0; 4]), rest);
    checksum::crc32c_finish(crc) == u32::from_le_bytes([a, b, c, d])
}

#[cfg(test)]
mod tests;
