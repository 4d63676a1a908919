//! What the gateway itself answers: ICMP errors, echo replies, TCP resets, datagrams, and how many of them.
//!
//! The builders are pure functions from a packet to its answer. They write a whole frame into `out`
//! whose Ethernet header has the right EtherType, zero MAC addresses and no tag: layer 2 belongs to
//! whoever sends it. Answers are IP packets like any other and may be routed, translated or, if
//! larger than the MTU, fragmented. A builder that returns `false` has left `out` empty.

mod icmp;
mod limiter;
mod reply;
#[cfg(test)]
mod tests;

pub(crate) use limiter::Bucket;

pub use icmp::{IcmpErrorKind, icmp_error, may_answer};
pub use limiter::{IcmpLimiter, IcmpLimiterCounters, LimitVerdict};
pub use reply::{echo_reply, let_be_cut, tcp_reset, udp};

use core::net::IpAddr;

use wire::checksum::{Sum, checksum};

/// TTL or hop limit of what the gateway sends (RFC 1812 §4.3.2.5 leaves it to us; the assigned
/// default is 64).
pub const TTL: u8 = 64;
/// Bytes of the Ethernet header in front of every answer.
pub const ETHERNET: usize = 14;

/// Starts an answer: blank Ethernet, and an IP header for `length` bytes to come. IPv4 headers have
/// no options; `id` and `df` are for IPv4 only. `false` if the versions differ or it is too long.
fn begin(out: &mut Vec<u8>, header: &IpHeader, length: usize) -> bool {
    out.clear();
    out.resize(ETHERNET - 2, 0);
    match (header.src, header.dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let Ok(total) = u16::try_from(20 + length) else {
                return false;
            };
            let [total0, total1] = total.to_be_bytes();
            let [id0, id1] = header.id.to_be_bytes();
            let df = if header.df { 0x40 } else { 0 };
            let mut ip = [0; 20];
            ip[..10].copy_from_slice(&[
                0x45,
                header.tos,
                total0,
                total1,
                id0,
                id1,
                df,
                0,
                TTL,
                header.proto,
            ]);
            ip[12..16].copy_from_slice(&src.octets());
            ip[16..].copy_from_slice(&dst.octets());
            let sum = checksum(&ip).to_be_bytes();
            ip[10..12].copy_from_slice(&sum);
            out.extend_from_slice(&[0x08, 0x00]);
            out.extend_from_slice(&ip);
            true
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            let Ok(length) = u16::try_from(length) else {
                return false;
            };
            out.extend_from_slice(&[0x86, 0xdd, 0x60 | header.tos >> 4, header.tos << 4, 0, 0]);
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(&[header.proto, TTL]);
            out.extend_from_slice(&src.octets());
            out.extend_from_slice(&dst.octets());
            true
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

/// The IP header of an answer.
struct IpHeader {
    src: IpAddr,
    dst: IpAddr,
    proto: u8,
    tos: u8,
    id: u16,
    df: bool,
}

impl IpHeader {
    /// Offset of what follows the IP header in an answer.
    const fn l4(&self) -> usize {
        match self.src {
            IpAddr::V4(_) => ETHERNET + 20,
            IpAddr::V6(_) => ETHERNET + 40,
        }
    }

    /// Computes the transport checksum at `at` within what was written after the IP header.
    fn finish(&self, out: &mut [u8], at: usize, pseudo: bool) -> Option<()> {
        let data = out.get_mut(self.l4()..)?;
        data.get_mut(at..at + 2)?.fill(0);
        let start = if pseudo {
            Sum::ZERO.pseudo(self.src, self.dst, self.proto, data.len() as u32)
        } else {
            Sum::ZERO
        };
        let sum = start.bytes(data).finish().to_be_bytes();
        data.get_mut(at..at + 2)?.copy_from_slice(&sum);
        Some(())
    }
}

/// Whether an address stands for exactly one host, so that it can be answered
/// (RFC 1122 §3.2.2, RFC 4443 §2.4 (e.6)).
fn is_one_host(ip: IpAddr) -> bool {
    !ip.is_multicast() && !crate::anomaly::is_martian_source(ip)
}
