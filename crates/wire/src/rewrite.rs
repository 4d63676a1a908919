//! Rewriting a packet in place: addresses, ports, TTL, with incremental checksums (RFC 1624).
//!
//! Both tiers call [`Rewrite::apply`], so a session's bytes are the same whichever serves it. A
//! checksum that was wrong stays wrong. [`rewrite_quoted`] does the same to the packet quoted in an
//! ICMP error. Limits: one IP version in and out; the ports of a fragmented SCTP packet cannot change
//! before it is reassembled, since a CRC cannot be updated in parts.

use core::net::IpAddr;

pub use crate::quote::{quoted_tuple, rewrite_quoted};
use crate::{
    Fragmentation, Headers, IpVersion, L3, Tuple,
    bytes::put,
    checksum::{self, Sum},
    parse::icmp_query,
    proto, verify_l4_checksum,
};

/// A compiled rewrite of one direction: everything that does not depend on the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rewrite {
    /// New source address.
    pub src: IpAddr,
    /// New destination address.
    pub dst: IpAddr,
    /// New source port (or ICMP identifier where the tuple has it there).
    pub src_port: u16,
    /// New destination port (likewise).
    pub dst_port: u16,
    /// One's-complement difference the address change makes to the IPv4 header checksum, and to any
    /// pseudo-header.
    pub l3_delta: u16,
    /// One's-complement difference addresses and ports make to the transport checksum.
    pub l4_delta: u16,
    /// Whether anything but the TTL changes.
    pub changes: bool,
}

/// What taking one from the TTL adds to the IPv4 header sum: ~m + m' with m' = m - 0x0100.
const TTL_DELTA: u16 = 0xfeff;

impl Rewrite {
    /// Compiles the change from one tuple to another of the same IP version and protocol.
    pub fn compile(from: Tuple, to: Tuple) -> Self {
        let addresses = |t: &Tuple| Sum::ZERO.address(t.src).address(t.dst);
        let ports = |sum: Sum, t: &Tuple| sum.word(t.src_port).word(t.dst_port);
        let l3_delta = checksum::difference(addresses(&from), addresses(&to));
        let l4_delta = match from.proto {
            proto::TCP | proto::UDP | proto::ICMPV6 => {
                checksum::difference(ports(addresses(&from), &from), ports(addresses(&to), &to))
            }
            proto::ICMP => checksum::difference(ports(Sum::ZERO, &from), ports(Sum::ZERO, &to)),
            _ => 0,
        };
        Self {
            src: to.src,
            dst: to.dst,
            src_port: to.src_port,
            dst_port: to.dst_port,
            l3_delta,
            l4_delta,
            changes: from != to,
        }
    }

    /// The tuple packets have after the rewrite.
    pub const fn result(&self, proto: u8) -> Tuple {
        Tuple {
            src: self.src,
            dst: self.dst,
            src_port: self.src_port,
            dst_port: self.dst_port,
            proto,
        }
    }

    /// Rewrites the packet in place and takes one from its TTL or hop limit if `decrement_ttl`.
    ///
    /// `partial_checksum`: the transport checksum field holds only the pseudo-header sum
    /// (CHECKSUM_PARTIAL); then only the pseudo-header part of the change is applied.
    /// A UDP checksum of zero over IPv4 stays zero. Fragments after the first have no ports. A TTL of
    /// zero stays zero. A packet of another IP version than the rewrite is left alone.
    #[inline]
    pub fn apply(
        &self,
        frame: &mut [u8],
        headers: &Headers,
        decrement_ttl: bool,
        partial_checksum: bool,
    ) {
        let Some(ip) = frame.get_mut(usize::from(headers.l3)..) else {
            return;
        };
        match (headers.kind, self.src, self.dst) {
            (L3::Ip(IpVersion::V4), IpAddr::V4(src), IpAddr::V4(dst)) => {
                let Some(h) = ip.first_chunk_mut::<20>() else {
                    return;
                };
                let mut sum = u16::from_be_bytes([h[10], h[11]]);
                if self.changes {
                    h[12..16].copy_from_slice(&src.octets());
                    h[16..20].copy_from_slice(&dst.octets());
                    sum = checksum::update(sum, self.l3_delta);
                }
                if decrement_ttl && h[8] != 0 {
                    h[8] -= 1;
                    sum = checksum::update(sum, TTL_DELTA);
                }
                h[10..12].copy_from_slice(&sum.to_be_bytes());
            }
            (L3::Ip(IpVersion::V6), IpAddr::V6(src), IpAddr::V6(dst)) => {
                let Some(h) = ip.first_chunk_mut::<40>() else {
                    return;
                };
                h[7] = h[7].saturating_sub(u8::from(decrement_ttl));
                if self.changes {
                    h[8..24].copy_from_slice(&src.octets());
                    h[24..40].copy_from_slice(&dst.octets());
                }
            }
            _ => return,
        }
        if self.changes && headers.fragment != Fragmentation::Later {
            self.apply_transport(frame, headers, partial_checksum);
        }
    }

    #[inline(always)]
    fn apply_transport(&self, frame: &mut [u8], headers: &Headers, partial: bool) {
        let Some(l4) = frame.get_mut(usize::from(headers.l4)..) else {
            return;
        };
        match headers.tuple.proto {
            proto::TCP => {
                let Some(h) = l4.first_chunk_mut::<18>() else {
                    return;
                };
                h[..4].copy_from_slice(&self.ports());
                let sum = self.changed(u16::from_be_bytes([h[16], h[17]]), partial);
                h[16..18].copy_from_slice(&sum.to_be_bytes());
            }
            proto::UDP => {
                let Some(h) = l4.first_chunk_mut::<8>() else {
                    return;
                };
                h[..4].copy_from_slice(&self.ports());
                let sum = u16::from_be_bytes([h[6], h[7]]);
                if sum != 0 || partial {
                    let sum = checksum::never_zero(self.changed(sum, partial));
                    h[6..8].copy_from_slice(&sum.to_be_bytes());
                }
            }
            proto::ICMP | proto::ICMPV6 => self.apply_icmp(l4, headers, partial),
            proto::SCTP => self.apply_sctp(frame, headers, partial),
            _ => {}
        }
    }

    fn apply_icmp(&self, l4: &mut [u8], headers: &Headers, partial: bool) {
        let L3::Ip(version) = headers.kind else {
            return;
        };
        let is_icmp = (headers.tuple.proto == proto::ICMP) == (version == IpVersion::V4);
        let Some(h) = l4.first_chunk_mut::<8>().filter(|_| is_icmp) else {
            return;
        };
        let id = match icmp_query(version, headers.icmp_type) {
            Some(true) => Some(self.src_port),
            Some(false) => Some(self.dst_port),
            None => None,
        };
        let sum = u16::from_be_bytes([h[2], h[3]]);
        let sum = match (id, version) {
            (Some(_), _) if !partial => checksum::update(sum, self.l4_delta),
            // without an identifier only the pseudo-header changes, and ICMPv4 has none
            (None, IpVersion::V6) if !partial => checksum::update(sum, self.l3_delta),
            (_, IpVersion::V6) => checksum::update_partial(sum, self.l3_delta),
            (_, IpVersion::V4) => sum,
        };
        h[2..4].copy_from_slice(&sum.to_be_bytes());
        if let Some(id) = id {
            h[4..6].copy_from_slice(&id.to_be_bytes());
        }
    }

    /// SCTP's CRC covers no addresses; it is computed anew if ports change and it was right before.
    fn apply_sctp(&self, frame: &mut [u8], headers: &Headers, partial: bool) {
        let l4 = usize::from(headers.l4);
        let new = self.ports();
        let old = frame.get(l4..l4 + 4);
        if headers.fragment != Fragmentation::Whole || old.is_none_or(|old| old == new) {
            return;
        }
        let was_right = !partial && verify_l4_checksum(frame, headers) == Ok(());
        let Some(packet) = frame.get_mut(l4..headers.end as usize) else {
            return;
        };
        put(packet, 0, &new);
        if was_right && put(packet, 8, &[0; 4]).is_some() {
            let crc = checksum::crc32c(packet);
            put(packet, 8, &crc.to_le_bytes());
        }
    }

    #[inline]
    const fn ports(&self) -> [u8; 4] {
        let [a, b] = self.src_port.to_be_bytes();
        let [c, d] = self.dst_port.to_be_bytes();
        [a, b, c, d]
    }

    #[inline]
    const fn changed(&self, field: u16, partial: bool) -> u16 {
        if partial {
            checksum::update_partial(field, self.l3_delta)
        } else {
            checksum::update(field, self.l4_delta)
        }
    }
}

/// Takes one from the TTL or hop limit, and nothing else; a TTL of zero stays zero.
#[inline]
pub fn decrement_ttl(frame: &mut [u8], headers: &Headers) {
    let unchanged = Rewrite {
        src: headers.tuple.src,
        dst: headers.tuple.dst,
        src_port: 0,
        dst_port: 0,
        l3_delta: 0,
        l4_delta: 0,
        changes: false,
    };
    unchanged.apply(frame, headers, true, false);
}

#[cfg(test)]
mod tests;
