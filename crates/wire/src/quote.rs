//! The packet quoted inside an ICMP error: finding its tuple and translating it.
//!
//! A quote may be cut anywhere after the first eight bytes of its transport header (RFC 792), so
//! nothing here trusts its lengths, and what is not there is not rewritten.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{
    Headers, IpVersion, L3, Tuple,
    bytes::{array_at, put, u16_at, u32_at},
    checksum::{self, Sum},
    gre, icmp,
    parse::{icmp_ports, icmp_query},
    proto,
};

/// Where the parts of a quote are; offsets count from its first byte.
#[derive(Clone, Copy, Debug)]
struct Quote {
    tuple: Tuple,
    version: IpVersion,
    /// Where its transport header starts; `None` for a fragment after the first.
    l4: Option<usize>,
}

/// The tuple of the packet that an ICMP or ICMPv6 error quotes, in that packet's own direction.
///
/// `None` if the packet is no error, or quotes too little: addresses, and eight bytes of the transport
/// header where the protocol has ports or identifiers.
pub fn quoted_tuple(frame: &[u8], headers: &Headers) -> Option<Tuple> {
    read(quote_of(frame, headers)?, headers).map(|quote| quote.tuple)
}

/// An ESP packet that an ICMP error quotes, as far as an SA can recognise it as its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotedEsp {
    /// Who sent it.
    pub source: IpAddr,
    /// To whom.
    pub destination: IpAddr,
    /// Security parameters index.
    pub spi: u32,
    /// Low half of its sequence number.
    pub sequence: u32,
}

/// The ESP packet, plain or in UDP, that an ICMP or ICMPv6 error quotes. `None` if it quotes
/// something else, or too little of it.
pub fn quoted_esp(frame: &[u8], headers: &Headers) -> Option<QuotedEsp> {
    let bytes = quote_of(frame, headers)?;
    let quote = read(bytes, headers)?;
    let at = match quote.tuple.proto {
        proto::ESP => quote.l4?,
        proto::UDP => quote.l4? + 8,
        _ => return None,
    };
    Some(QuotedEsp {
        source: quote.tuple.src,
        destination: quote.tuple.dst,
        spi: u32_at(bytes, at)?,
        sequence: u32_at(bytes, at + 4)?,
    })
}

/// A GRE or VXLAN packet that an ICMP error quotes, as far as a tunnel can recognise it as its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotedOverlay {
    /// Who sent it.
    pub source: IpAddr,
    /// To whom.
    pub destination: IpAddr,
    /// The UDP destination port; `None` for GRE.
    pub udp_port: Option<u16>,
    /// The GRE key or the VNI, where the packet has one and the quote reaches that far.
    pub id: Option<u32>,
}

/// The GRE packet or UDP datagram that an ICMP or ICMPv6 error quotes. `None` if it quotes
/// something else, or too little of it.
pub fn quoted_overlay(frame: &[u8], headers: &Headers) -> Option<QuotedOverlay> {
    let bytes = quote_of(frame, headers)?;
    let quote = read(bytes, headers)?;
    let at = quote.l4?;
    let (udp_port, id) = match quote.tuple.proto {
        proto::GRE => {
            let flags = u16_at(bytes, at)?;
            let checksum = if flags & gre::CHECKSUM != 0 { 4 } else { 0 };
            let key = (flags & gre::KEY != 0).then(|| u32_at(bytes, at + 4 + checksum));
            (None, key.flatten())
        }
        proto::UDP => (Some(quote.tuple.dst_port), u32_at(bytes, at + 12).map(|word| word >> 8)),
        _ => return None,
    };
    let (source, destination) = (quote.tuple.src, quote.tuple.dst);
    Some(QuotedOverlay { source, destination, udp_port, id })
}

/// Rewrites the packet quoted in an ICMP error from one tuple to another, both in the quoted packet's
/// own direction: addresses, ports or identifier, its checksums as far as they are in the quote, and
/// the ICMP checksum over it. The outer addresses are [`crate::Rewrite::apply`]'s business.
///
/// Returns false, and changes nothing, if the quote is not of `from`. Of a fragment after the first
/// only the addresses are compared and rewritten.
pub fn rewrite_quoted(frame: &mut [u8], headers: &Headers, from: Tuple, to: Tuple) -> bool {
    let Some(quote) = quote_of(frame, headers).and_then(|bytes| read(bytes, headers)) else {
        return false;
    };
    let is_same = match quote.l4 {
        Some(_) => quote.tuple == from,
        None => (quote.tuple.src, quote.tuple.dst) == (from.src, from.dst),
    };
    if !is_same || from.is_v6() != to.is_v6() || to.src.is_ipv6() != to.dst.is_ipv6() {
        return false;
    }
    let start = usize::from(headers.l4) + icmp::HEADER_LEN;
    let Some(bytes) = frame.get_mut(start..headers.end as usize) else {
        return false;
    };
    let before = Sum::ZERO.bytes(bytes);
    translate(bytes, &quote, to);
    let after = Sum::ZERO.bytes(bytes);
    let field = usize::from(headers.l4) + 2;
    if let Some(sum) = u16_at(frame, field) {
        let sum = checksum::update(sum, checksum::difference(before, after));
        put(frame, field, &sum.to_be_bytes());
    }
    true
}

fn quote_of<'a>(frame: &'a [u8], headers: &Headers) -> Option<&'a [u8]> {
    if !icmp::is_error(headers) {
        return None;
    }
    frame.get(usize::from(headers.l4) + icmp::HEADER_LEN..headers.end as usize)
}

fn read(quote: &[u8], headers: &Headers) -> Option<Quote> {
    let L3::Ip(version) = headers.kind else {
        return None;
    };
    let (src, dst, proto, l4) = match version {
        IpVersion::V4 => read_v4(quote)?,
        IpVersion::V6 => read_v6(quote)?,
    };
    let mut tuple = Tuple { src, dst, src_port: 0, dst_port: 0, proto };
    if let Some(l4) = l4 {
        match (proto, version) {
            (proto::TCP | proto::UDP | proto::SCTP, _) => {
                let start: [u8; 8] = array_at(quote, l4)?;
                tuple.src_port = u16::from_be_bytes([start[0], start[1]]);
                tuple.dst_port = u16::from_be_bytes([start[2], start[3]]);
            }
            (proto::ICMP, IpVersion::V4) | (proto::ICMPV6, IpVersion::V6) => {
                let start: [u8; 8] = array_at(quote, l4)?;
                (tuple.src_port, tuple.dst_port) = icmp_ports(version, &start);
            }
            _ => {}
        }
    }
    Some(Quote { tuple, version, l4 })
}

/// Addresses, protocol, and where the transport header is unless it is a later fragment.
type Addressed = (IpAddr, IpAddr, u8, Option<usize>);

fn read_v4(quote: &[u8]) -> Option<Addressed> {
    let h: &[u8; 20] = quote.first_chunk()?;
    let length = usize::from(h[0] & 0x0f) * 4;
    if h[0] >> 4 != 4 || length < 20 {
        return None;
    }
    let is_later = (h[6] & 0x1f) | h[7] != 0;
    let src = Ipv4Addr::from(array_at::<4>(h, 12)?);
    let dst = Ipv4Addr::from(array_at::<4>(h, 16)?);
    Some((src.into(), dst.into(), h[9], (!is_later).then_some(length)))
}

fn read_v6(quote: &[u8]) -> Option<Addressed> {
    /// As many extension headers as [`crate::parse`] follows, and the fragment header.
    const MAX_EXTENSIONS: usize = 9;
    let h: &[u8; 40] = quote.first_chunk()?;
    if h[0] >> 4 != 6 {
        return None;
    }
    let src = IpAddr::from(Ipv6Addr::from(array_at::<16>(h, 8)?));
    let dst = IpAddr::from(Ipv6Addr::from(array_at::<16>(h, 24)?));
    let mut next = h[6];
    let mut at = 40;
    for _ in 0..MAX_EXTENSIONS {
        let fields = || array_at::<4>(quote, at);
        match next {
            0 | 43 | 60 => {
                let [following, units, ..] = fields()?;
                next = following;
                at += (usize::from(units) + 1) * 8;
            }
            51 => {
                let [following, units, ..] = fields()?;
                next = following;
                at += (usize::from(units) + 2) * 4;
            }
            44 => {
                let [following, _, high, low] = fields()?;
                if u16::from_be_bytes([high, low]) & 0xfff8 != 0 {
                    return Some((src, dst, following, None));
                }
                next = following;
                at += 8;
            }
            proto => return Some((src, dst, proto, Some(at))),
        }
    }
    None
}

/// Rewrites the quote itself. What does not fit in it is left out.
fn translate(bytes: &mut [u8], quote: &Quote, to: Tuple) {
    let from = quote.tuple;
    let addresses = |t: &Tuple| Sum::ZERO.address(t.src).address(t.dst);
    let l3_delta = checksum::difference(addresses(&from), addresses(&to));
    match (quote.version, to.src, to.dst) {
        (IpVersion::V4, IpAddr::V4(src), IpAddr::V4(dst)) => {
            put(bytes, 12, &src.octets());
            put(bytes, 16, &dst.octets());
            adjust(bytes, 10, l3_delta);
        }
        (IpVersion::V6, IpAddr::V6(src), IpAddr::V6(dst)) => {
            put(bytes, 8, &src.octets());
            put(bytes, 24, &dst.octets());
        }
        _ => return,
    }
    let Some(l4) = quote.l4 else { return };
    let ports = |sum: Sum, t: &Tuple| sum.word(t.src_port).word(t.dst_port);
    let l4_delta = checksum::difference(ports(addresses(&from), &from), ports(addresses(&to), &to));
    let put_ports = |bytes: &mut [u8]| {
        put(bytes, l4, &to.src_port.to_be_bytes());
        put(bytes, l4 + 2, &to.dst_port.to_be_bytes());
    };
    match (from.proto, quote.version) {
        (proto::TCP, _) => {
            put_ports(bytes);
            adjust(bytes, l4 + 16, l4_delta);
        }
        (proto::UDP, _) => {
            put_ports(bytes);
            if let Some(sum) = u16_at(bytes, l4 + 6).filter(|sum| *sum != 0) {
                let sum = checksum::never_zero(checksum::update(sum, l4_delta));
                put(bytes, l4 + 6, &sum.to_be_bytes());
            }
        }
        // the CRC of a quote cannot be computed anew, and nobody can check it
        (proto::SCTP, _) => put_ports(bytes),
        (proto::ICMP, IpVersion::V4) | (proto::ICMPV6, IpVersion::V6) => {
            let kind = bytes.get(l4).copied().unwrap_or(0);
            let id = match icmp_query(quote.version, kind) {
                Some(true) => Some(to.src_port),
                Some(false) => Some(to.dst_port),
                None => None,
            };
            match (id, quote.version) {
                (Some(_), IpVersion::V6) => adjust(bytes, l4 + 2, l4_delta),
                (Some(_), IpVersion::V4) => {
                    let delta =
                        checksum::difference(ports(Sum::ZERO, &from), ports(Sum::ZERO, &to));
                    adjust(bytes, l4 + 2, delta);
                }
                (None, IpVersion::V6) => adjust(bytes, l4 + 2, l3_delta),
                (None, IpVersion::V4) => {}
            }
            if let Some(id) = id {
                put(bytes, l4 + 4, &id.to_be_bytes());
            }
        }
        _ => {}
    }
}

fn adjust(bytes: &mut [u8], at: usize, delta: u16) {
    if let Some(field) = u16_at(bytes, at) {
        put(bytes, at, &checksum::update(field, delta).to_be_bytes());
    }
}
