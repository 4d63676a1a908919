//! Writing whole frames into a buffer of the caller.
//!
//! Every function here returns the length of the frame, or `None` if it does not fit. Frames are not
//! padded to the Ethernet minimum; the port or the kernel does that.

use core::net::IpAddr;

use crate::{
    Headers, Mac, VlanId,
    bytes::put,
    checksum::{self, Sum},
    parse::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_VLAN},
    proto,
};

/// The link layer of a frame to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ether {
    /// Source MAC.
    pub src: Mac,
    /// Destination MAC.
    pub dst: Mac,
    /// 802.1Q tag, if any.
    pub vlan: Option<VlanId>,
}

impl Ether {
    /// The link layer of an answer to a frame: back to its sender, in its VLAN, from `our` address.
    pub const fn reply_to(headers: &Headers, our: Mac) -> Self {
        Self {
            src: our,
            dst: headers.eth_src,
            vlan: headers.vlan,
        }
    }

    /// Length in bytes.
    #[allow(clippy::len_without_is_empty, reason = "a header is never empty")]
    pub const fn len(&self) -> usize {
        if self.vlan.is_some() { 18 } else { 14 }
    }
}

/// The IP header of a packet to be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ip {
    pub(crate) src: IpAddr,
    pub(crate) dst: IpAddr,
    pub(crate) proto: u8,
    pub(crate) ttl: u8,
    pub(crate) tos: u8,
    pub(crate) id: u16,
    pub(crate) df: bool,
}

/// A frame being written.
pub(crate) struct Out<'a> {
    buf: &'a mut [u8],
    len: usize,
}

impl<'a> Out<'a> {
    pub(crate) fn new(buf: &'a mut [u8]) -> Self {
        Self { buf, len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn push(&mut self, data: &[u8]) -> Option<()> {
        put(self.buf, self.len, data)?;
        self.len += data.len();
        Some(())
    }

    pub(crate) fn ether(&mut self, ether: &Ether, ethertype: u16) -> Option<()> {
        self.push(&ether.dst.0)?;
        self.push(&ether.src.0)?;
        if let Some(id) = ether.vlan {
            self.push(&ETHERTYPE_VLAN.to_be_bytes())?;
            self.push(&(id & 0x0fff).to_be_bytes())?;
        }
        self.push(&ethertype.to_be_bytes())
    }

    /// Writes Ethernet and an IP header for `length` bytes of IP payload. `options` are IPv4 options,
    /// or IPv6 extension headers of which `first_extension` is the first.
    pub(crate) fn ip(
        &mut self,
        ether: &Ether,
        ip: &Ip,
        options: &[u8],
        first_extension: Option<u8>,
        length: usize,
    ) -> Option<()> {
        match (ip.src, ip.dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                self.ether(ether, ETHERTYPE_IPV4)?;
                let words = 5 + options.len().div_ceil(4);
                let total = u16::try_from(words * 4 + length).ok()?;
                let at = self.len;
                self.push(&[0x40 | u8::try_from(words).ok().filter(|w| *w < 16)?, ip.tos])?;
                self.push(&total.to_be_bytes())?;
                self.push(&ip.id.to_be_bytes())?;
                self.push(&[if ip.df { 0x40 } else { 0 }, 0, ip.ttl, ip.proto, 0, 0])?;
                self.push(&src.octets())?;
                self.push(&dst.octets())?;
                self.push(options)?;
                self.push([0; 3].get(..words * 4 - 20 - options.len())?)?;
                let sum = checksum::checksum(self.buf.get(at..self.len)?);
                put(self.buf, at + 10, &sum.to_be_bytes())
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                self.ether(ether, ETHERTYPE_IPV6)?;
                let total = u16::try_from(options.len() + length).ok()?;
                self.push(&[0x60 | ip.tos >> 4, ip.tos << 4, 0, 0])?;
                self.push(&total.to_be_bytes())?;
                self.push(&[first_extension.unwrap_or(ip.proto), ip.ttl])?;
                self.push(&src.octets())?;
                self.push(&dst.octets())?;
                self.push(options)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => None,
        }
    }

    /// Computes the transport checksum of what was written from `l4` on, and returns the frame's
    /// length. Protocols without a checksum the gateway knows are left alone.
    pub(crate) fn finish(self, ip: &Ip, l4: usize) -> Option<usize> {
        let data = self.buf.get_mut(l4..self.len)?;
        let pseudo = Sum::ZERO.pseudo(ip.src, ip.dst, ip.proto, data.len() as u32);
        match (ip.proto, ip.src) {
            (proto::TCP, _) => {
                put(data, 16, &[0; 2])?;
                let sum = pseudo.bytes(data).finish();
                put(data, 16, &sum.to_be_bytes())?;
            }
            (proto::UDP, _) => {
                put(data, 6, &[0; 2])?;
                let sum = checksum::never_zero(pseudo.bytes(data).finish());
                put(data, 6, &sum.to_be_bytes())?;
            }
            (proto::ICMP, IpAddr::V4(_)) => {
                put(data, 2, &[0; 2])?;
                let sum = checksum::checksum(data);
                put(data, 2, &sum.to_be_bytes())?;
            }
            (proto::ICMPV6, IpAddr::V6(_)) => {
                put(data, 2, &[0; 2])?;
                let sum = pseudo.bytes(data).finish();
                put(data, 2, &sum.to_be_bytes())?;
            }
            (proto::SCTP, _) => {
                put(data, 8, &[0; 4])?;
                let crc = checksum::crc32c(data);
                put(data, 8, &crc.to_le_bytes())?;
            }
            _ => {}
        }
        Some(self.len)
    }
}
