//! The IP headers ESP looks at: checked once, then addressed by offset.

use reason::DropReason;
use wire::{IpVersion, checksum, checksum::Sum, proto};

/// Next header values that are IP packets or nothing (IANA).
pub(crate) const IPV4_IN: u8 = 4;
pub(crate) const IPV6_IN: u8 = 41;
pub(crate) const NO_NEXT: u8 = 59;

/// IPv6 extension headers that may stand before ESP (RFC 4303 §3.1.1).
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION: u8 = 60;
/// The most extension headers followed; as many as `wire` follows.
const MAX_EXTENSIONS: usize = 8;

pub(crate) const IPV4_LEN: usize = 20;
pub(crate) const IPV6_LEN: usize = 40;
/// More fragments, and the fragment offset.
const IPV4_FRAGMENT: u16 = 0x3fff;
const IPV4_DF: u16 = 0x4000;

/// The base header of an IP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ip {
    pub(crate) version: IpVersion,
    /// Bytes of the base header, IPv4 options included.
    pub(crate) header: usize,
    /// Bytes of the whole packet, by its length field.
    pub(crate) len: usize,
    /// Type of service or traffic class.
    pub(crate) tos: u8,
    /// DF; always so for IPv6, which no router fragments.
    pub(crate) df: bool,
    /// IPv4: it is a fragment.
    pub(crate) fragment: bool,
    /// Protocol or next header.
    pub(crate) protocol: u8,
}

/// Reads the base header; the packet must be in `bytes` as a whole.
#[inline(always)]
pub(crate) fn read(bytes: &[u8]) -> Result<Ip, DropReason> {
    match bytes.first().map(|b| b >> 4) {
        Some(4) => {
            let Some(h) = bytes.first_chunk::<IPV4_LEN>() else {
                return Err(DropReason::Ipv4HeaderInvalid);
            };
            let header = usize::from(h[0] & 15) * 4;
            let len = usize::from(u16::from_be_bytes([h[2], h[3]]));
            let flags = u16::from_be_bytes([h[6], h[7]]);
            if header < IPV4_LEN || len < header {
                return Err(DropReason::Ipv4HeaderInvalid);
            }
            if len > bytes.len() {
                return Err(DropReason::IpLengthMismatch);
            }
            Ok(Ip {
                version: IpVersion::V4,
                header,
                len,
                tos: h[1],
                df: flags & IPV4_DF != 0,
                fragment: flags & IPV4_FRAGMENT != 0,
                protocol: h[9],
            })
        }
        Some(6) => {
            let Some(h) = bytes.first_chunk::<IPV6_LEN>() else {
                return Err(DropReason::Ipv6HeaderInvalid);
            };
            let len = IPV6_LEN + usize::from(u16::from_be_bytes([h[4], h[5]]));
            if len > bytes.len() {
                return Err(DropReason::IpLengthMismatch);
            }
            Ok(Ip {
                version: IpVersion::V6,
                header: IPV6_LEN,
                len,
                tos: h[0] << 4 | h[1] >> 4,
                df: true,
                fragment: false,
                protocol: h[6],
            })
        }
        Some(_) | None => Err(DropReason::Ipv4HeaderInvalid),
    }
}

/// A place in the chain of headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Where the header begins.
    pub(crate) at: usize,
    /// Where the field is that names it.
    pub(crate) named_at: usize,
    /// Its protocol number.
    pub(crate) protocol: u8,
}

/// The first header that must be inside ESP (`protect`), or that an arriving packet has behind the
/// headers ESP leaves outside.
///
/// Outside are hop-by-hop options, routing, and destination options: in front of a routing header
/// only when protecting, anywhere when arriving. Fragments are refused.
#[inline(always)]
pub(crate) fn upper(bytes: &[u8], ip: &Ip, protect: bool) -> Result<Place, DropReason> {
    if ip.fragment {
        return Err(DropReason::EspFragment);
    }
    match ip.version {
        IpVersion::V4 => Ok(Place { at: ip.header, named_at: 9, protocol: ip.protocol }),
        IpVersion::V6 => upper_v6(bytes, ip, protect),
    }
}

#[inline(never)]
fn upper_v6(bytes: &[u8], ip: &Ip, protect: bool) -> Result<Place, DropReason> {
    let mut place = Place { at: IPV6_LEN, named_at: 6, protocol: ip.protocol };
    for _ in 0..=MAX_EXTENSIONS {
        if place.protocol == FRAGMENT {
            return Err(DropReason::EspFragment);
        }
        if !matches!(place.protocol, HOP_BY_HOP | ROUTING | DESTINATION) {
            return Ok(place);
        }
        let Some([next, len]) = bytes.get(place.at..).and_then(|b| b.first_chunk::<2>()) else {
            return Err(DropReason::Ipv6HeaderInvalid);
        };
        if protect && place.protocol == DESTINATION && *next != ROUTING {
            return Ok(place);
        }
        let at = place.at + (usize::from(*len) + 1) * 8;
        if at > ip.len {
            return Err(DropReason::Ipv6HeaderInvalid);
        }
        place = Place { at, named_at: place.at, protocol: *next };
    }
    Err(DropReason::Ipv6HeaderInvalid)
}

/// Writes the length field of a packet of `len` bytes, which must fit, and finishes an IPv4
/// header's checksum.
#[inline]
pub(crate) fn set_len(bytes: &mut [u8], ip: &Ip, len: usize) {
    match ip.version {
        IpVersion::V4 => {
            let Some(header) = bytes.get_mut(..ip.header) else {
                return;
            };
            header[2..4].copy_from_slice(&(len as u16).to_be_bytes());
            header[10..12].fill(0);
            let sum = checksum::checksum(header);
            header[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        IpVersion::V6 => {
            if let Some(field) = bytes.get_mut(4..6) {
                field.copy_from_slice(&((len - IPV6_LEN) as u16).to_be_bytes());
            }
        }
    }
}

/// Computes the transport checksum anew where it covers the addresses, which a NAT may have
/// changed on the way (RFC 3948 §3.1.2). A UDP checksum of zero over IPv4 stays: there is none.
pub(crate) fn renew_checksum(packet: &mut [u8], version: IpVersion, at: usize, protocol: u8) {
    let field = match protocol {
        proto::TCP => 16,
        proto::UDP => 6,
        proto::ICMPV6 if version == IpVersion::V6 => 2,
        _ => return,
    };
    let addresses = match version {
        IpVersion::V4 => 12..20,
        IpVersion::V6 => 8..40,
    };
    let Some((headers, payload)) = packet.split_at_mut_checked(at) else {
        return;
    };
    let (Some(addresses), Some([a, b])) = (headers.get(addresses), payload.get(field..field + 2))
    else {
        return;
    };
    if protocol == proto::UDP && version == IpVersion::V4 && (*a, *b) == (0, 0) {
        return;
    }
    let len = payload.len() as u32;
    payload[field..field + 2].fill(0);
    let pseudo = Sum::ZERO.bytes(addresses).word(u16::from(protocol));
    let sum = pseudo.word((len >> 16) as u16).word(len as u16).bytes(payload).finish();
    let sum = if protocol == proto::UDP { checksum::never_zero(sum) } else { sum };
    payload[field..field + 2].copy_from_slice(&sum.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v6(next: u8, rest: &[u8]) -> Vec<u8> {
        let mut packet = vec![0; IPV6_LEN];
        packet[0] = 0x60;
        packet[4..6].copy_from_slice(&(rest.len() as u16).to_be_bytes());
        packet[6] = next;
        packet.extend(rest);
        packet
    }

    fn place(packet: &[u8], protect: bool) -> Result<(usize, usize, u8), DropReason> {
        let ip = read(packet)?;
        upper(packet, &ip, protect).map(|p| (p.at, p.named_at, p.protocol))
    }

    #[test]
    fn esp_goes_where_rfc_4303_wants_it() {
        let ext = |next: u8| [next, 0, 0, 0, 0, 0, 0, 0];
        let chain = |nexts: &[u8]| nexts.iter().flat_map(|n| ext(*n)).collect::<Vec<_>>();
        assert_eq!(place(&v6(17, &[0; 8]), true), Ok((40, 6, 17)));
        assert_eq!(place(&v6(0, &chain(&[17, 0])), true), Ok((48, 40, 17)));
        let options = v6(0, &chain(&[60, 43, 60, 17, 0]));
        assert_eq!(place(&options, true), Ok((64, 56, 60)), "the last options are inside");
        assert_eq!(place(&options, false), Ok((72, 64, 17)));
        assert_eq!(place(&v6(44, &chain(&[17])), true), Err(DropReason::EspFragment));
        assert_eq!(place(&v6(0, &chain(&[44, 17])), true), Err(DropReason::EspFragment));
        assert_eq!(place(&v6(0, &[17]), true), Err(DropReason::Ipv6HeaderInvalid));
        assert_eq!(place(&v6(0, &[17, 1, 0, 0]), true), Err(DropReason::Ipv6HeaderInvalid));
        let endless = v6(0, &chain(&[0; 20]));
        assert_eq!(place(&endless, false), Err(DropReason::Ipv6HeaderInvalid));
    }
}
