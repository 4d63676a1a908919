//! Frames for tests, demonstrations and benchmarks, built from a tuple and a few fields.
//!
//! [`Packet`] has a method for everything a frame can vary in; the functions cover the usual cases
//! in one line. Convenience before speed: everything here allocates. A packet longer than an IP
//! packet can be comes out empty.
//!
//! ```
//! use lockgate_wire::{self as wire, build, proto};
//!
//! let flow = build::tuple(proto::UDP, ([10, 0, 0, 5], 5000), ([203, 0, 113, 9], 53));
//! let frame = build::udp(build::ETHER, flow, b"hello");
//! assert_eq!(wire::parse(&frame).map(|headers| headers.tuple), Ok(flow));
//! ```

use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::{
    IpVersion, Mac, Tuple, VlanId,
    arp::{self, ArpPacket},
    bytes::put,
    checksum::Sum,
    emit::{Ether, Ip, Out},
    proto,
};

/// A link layer for tests in which MAC addresses do not matter.
pub const ETHER: Ether =
    Ether { src: Mac([2, 0, 0, 0, 0, 1]), dst: Mac([2, 0, 0, 0, 0, 2]), vlan: None };

/// A tuple from two ends, as in `tuple(proto::TCP, ([10, 0, 0, 5], 51000), ([203, 0, 113, 9], 443))`.
pub fn tuple(proto: u8, src: impl Into<SocketAddr>, dst: impl Into<SocketAddr>) -> Tuple {
    let (src, dst) = (src.into(), dst.into());
    Tuple { src: src.ip(), dst: dst.ip(), src_port: src.port(), dst_port: dst.port(), proto }
}

/// A UDP datagram.
pub fn udp(ether: Ether, tuple: Tuple, payload: &[u8]) -> Vec<u8> {
    Packet::new(Tuple { proto: proto::UDP, ..tuple }).ether(ether).payload(payload).build()
}

/// A TCP segment; `flags` as in [`crate::tcp::flags`].
pub fn tcp(ether: Ether, tuple: Tuple, flags: u8, seq: u32, ack: u32, payload: &[u8]) -> Vec<u8> {
    Packet::new(Tuple { proto: proto::TCP, ..tuple })
        .ether(ether)
        .tcp(flags, seq, ack)
        .payload(payload)
        .build()
}

/// An ICMP or ICMPv6 echo request, or a reply if the identifier is in `dst_port` only.
pub fn icmp_echo(ether: Ether, tuple: Tuple, seq: u16, payload: &[u8]) -> Vec<u8> {
    let proto = if tuple.is_v6() { proto::ICMPV6 } else { proto::ICMP };
    Packet::new(Tuple { proto, ..tuple }).ether(ether).echo_seq(seq).payload(payload).build()
}

/// An SCTP packet with the given verification tag and chunks.
pub fn sctp(ether: Ether, tuple: Tuple, tag: u32, chunks: &[u8]) -> Vec<u8> {
    Packet::new(Tuple { proto: proto::SCTP, ..tuple })
        .ether(ether)
        .tcp(0, tag, 0)
        .payload(chunks)
        .build()
}

/// A packet of any protocol, with everything after the IP header given.
pub fn ip(ether: Ether, tuple: Tuple, payload: &[u8]) -> Vec<u8> {
    Packet::new(tuple).ether(ether).raw().payload(payload).build()
}

/// An ICMP or ICMPv6 error from `from`, about the packet in the frame `quoted`, to its source. The
/// quote is cut to what RFC 792 asks for at least: the IP header and eight bytes.
///
/// Empty if `quoted` is no IP packet or `from` is of the other version.
pub fn icmp_error(ether: Ether, from: IpAddr, icmp_type: u8, code: u8, quoted: &[u8]) -> Vec<u8> {
    let Ok(headers) = crate::parse(quoted) else { return Vec::new() };
    let proto = if headers.tuple.is_v6() { proto::ICMPV6 } else { proto::ICMP };
    let to = Tuple { src: from, dst: headers.src(), src_port: 0, dst_port: 0, proto };
    let end = (usize::from(headers.l4) + 8).min(headers.end as usize);
    let quote = quoted.get(usize::from(headers.l3)..end).unwrap_or_default();
    Packet::new(to).ether(ether).icmp(icmp_type, code).echo_seq(0).payload(quote).build()
}

/// A broadcast ARP request.
pub fn arp_request(sender_mac: Mac, sender_ip: Ipv4Addr, target_ip: Ipv4Addr) -> Vec<u8> {
    let ether = Ether { src: sender_mac, dst: Mac::BROADCAST, vlan: None };
    arp_frame(ether, &ArpPacket::request(sender_mac, sender_ip, target_ip))
}

/// An ARP reply that says `ip` is at `mac`, to whoever asked.
pub fn arp_reply(mac: Mac, ip: Ipv4Addr, to_mac: Mac, to_ip: Ipv4Addr) -> Vec<u8> {
    let ether = Ether { src: mac, dst: to_mac, vlan: None };
    arp_frame(ether, &ArpPacket::request(to_mac, to_ip, ip).answer(mac))
}

/// A frame with any ARP message.
pub fn arp_frame(ether: Ether, packet: &ArpPacket) -> Vec<u8> {
    written(64, |out| arp::emit(out, &ether, packet))
}

/// A vector with what `write` writes into a buffer of `size` bytes.
pub(crate) fn written(size: usize, write: impl FnOnce(&mut [u8]) -> Option<usize>) -> Vec<u8> {
    let mut out = vec![0; size];
    let length = write(&mut out).unwrap_or(0);
    out.truncate(length);
    out
}

/// A packet to be built. Starts as a valid packet with TTL 64, DF set, no payload.
#[derive(Clone, Debug)]
pub struct Packet {
    tuple: Tuple,
    ether: Ether,
    ttl: u8,
    tos: u8,
    id: u16,
    df: bool,
    options: Vec<u8>,
    first_extension: Option<u8>,
    raw: bool,
    flags: u8,
    seq: u32,
    ack: u32,
    window: u16,
    tcp_options: Vec<u8>,
    icmp: Option<(u8, u8)>,
    echo_seq: u16,
    payload: Vec<u8>,
    checksum: ChecksumForm,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChecksumForm {
    Full,
    Partial,
    Zero,
}

impl Packet {
    /// A packet with this tuple: its transport header follows from the protocol.
    pub const fn new(tuple: Tuple) -> Self {
        Self {
            tuple,
            ether: ETHER,
            ttl: 64,
            tos: 0,
            id: 0,
            df: true,
            options: Vec::new(),
            first_extension: None,
            raw: false,
            flags: 0,
            seq: 0,
            ack: 0,
            window: 0xffff,
            tcp_options: Vec::new(),
            icmp: None,
            echo_seq: 1,
            payload: Vec::new(),
            checksum: ChecksumForm::Full,
        }
    }

    /// Sets the link layer.
    pub const fn ether(mut self, ether: Ether) -> Self {
        self.ether = ether;
        self
    }

    /// Sets source and destination MAC.
    pub const fn macs(mut self, src: Mac, dst: Mac) -> Self {
        self.ether.src = src;
        self.ether.dst = dst;
        self
    }

    /// Adds an 802.1Q tag.
    pub const fn vlan(mut self, id: VlanId) -> Self {
        self.ether.vlan = Some(id);
        self
    }

    /// Sets TTL or hop limit.
    pub const fn ttl(mut self, ttl: u8) -> Self {
        self.ttl = ttl;
        self
    }

    /// Sets type of service or traffic class.
    pub const fn tos(mut self, tos: u8) -> Self {
        self.tos = tos;
        self
    }

    /// Sets the IPv4 identification.
    pub const fn id(mut self, id: u16) -> Self {
        self.id = id;
        self
    }

    /// Sets or clears don't-fragment (IPv4).
    pub const fn df(mut self, df: bool) -> Self {
        self.df = df;
        self
    }

    /// Adds IPv4 options (padded with end-of-options to a multiple of four).
    pub fn ip_options(mut self, options: &[u8]) -> Self {
        self.options = options.to_vec();
        self
    }

    /// Adds IPv6 extension headers: the number of the first, and all their bytes. The next-header
    /// field of the last must name the transport.
    pub fn extensions(mut self, first: u8, headers: &[u8]) -> Self {
        self.first_extension = Some(first);
        self.options = headers.to_vec();
        self
    }

    /// Makes the payload everything after the IP header, whatever the protocol.
    pub const fn raw(mut self) -> Self {
        self.raw = true;
        self
    }

    /// Sets TCP flags, sequence and acknowledgement number. (For SCTP, `seq` is the verification
    /// tag.)
    pub const fn tcp(mut self, flags: u8, seq: u32, ack: u32) -> Self {
        self.flags = flags;
        self.seq = seq;
        self.ack = ack;
        self
    }

    /// Sets the TCP window field.
    pub const fn window(mut self, window: u16) -> Self {
        self.window = window;
        self
    }

    /// Adds TCP options (padded with end-of-options to a multiple of four).
    pub fn tcp_options(mut self, options: &[u8]) -> Self {
        self.tcp_options = options.to_vec();
        self
    }

    /// Sets ICMP type and code; without this it is an echo request or reply by the tuple.
    pub const fn icmp(mut self, icmp_type: u8, code: u8) -> Self {
        self.icmp = Some((icmp_type, code));
        self
    }

    /// Sets the sequence number of an echo: the last two bytes of any ICMP header.
    pub const fn echo_seq(mut self, seq: u16) -> Self {
        self.echo_seq = seq;
        self
    }

    /// Sets the payload.
    pub fn payload(mut self, payload: &[u8]) -> Self {
        self.payload = payload.to_vec();
        self
    }

    /// Leaves the TCP or UDP checksum unfinished: the field holds the pseudo-header sum
    /// (CHECKSUM_PARTIAL).
    pub const fn partial_checksum(mut self) -> Self {
        self.checksum = ChecksumForm::Partial;
        self
    }

    /// Writes a transport checksum of zero.
    pub const fn zero_checksum(mut self) -> Self {
        self.checksum = ChecksumForm::Zero;
        self
    }

    /// The frame; empty if it cannot be built.
    pub fn build(&self) -> Vec<u8> {
        let size = 18 + 60 + self.options.len() + 60 + self.tcp_options.len() + self.payload.len();
        written(size, |out| self.write(out))
    }

    fn write(&self, out: &mut [u8]) -> Option<usize> {
        let t = &self.tuple;
        let header = self.transport_header()?;
        let ip = Ip {
            src: t.src,
            dst: t.dst,
            proto: t.proto,
            ttl: self.ttl,
            tos: self.tos,
            id: self.id,
            df: self.df,
        };
        let length = header.len() + self.payload.len();
        let mut w = Out::new(out);
        w.ip(&self.ether, &ip, &self.options, self.first_extension, length)?;
        let l4 = w.len();
        w.push(&header)?;
        w.push(&self.payload)?;
        let end = if self.raw { w.len() } else { w.finish(&ip, l4)? };
        let field = match t.proto {
            proto::TCP => l4 + 16,
            proto::UDP => l4 + 6,
            proto::ICMP | proto::ICMPV6 => l4 + 2,
            _ => return Some(end),
        };
        let value = match self.checksum {
            ChecksumForm::Full => return Some(end),
            ChecksumForm::Partial => Sum::ZERO.pseudo(t.src, t.dst, t.proto, length as u32).fold(),
            ChecksumForm::Zero => 0,
        };
        put(out, field, &value.to_be_bytes())?;
        Some(end)
    }

    fn transport_header(&self) -> Option<Vec<u8>> {
        let t = &self.tuple;
        let version = match t.src {
            IpAddr::V4(_) => IpVersion::V4,
            IpAddr::V6(_) => IpVersion::V6,
        };
        let mut h = Vec::with_capacity(60);
        if self.raw {
            return Some(h);
        }
        let with_ports = |h: &mut Vec<u8>| {
            h.extend(t.src_port.to_be_bytes());
            h.extend(t.dst_port.to_be_bytes());
        };
        match (t.proto, version) {
            (proto::TCP, _) => {
                let words = 5 + self.tcp_options.len().div_ceil(4);
                let words = u8::try_from(words).ok().filter(|words| *words < 16)?;
                with_ports(&mut h);
                h.extend(self.seq.to_be_bytes());
                h.extend(self.ack.to_be_bytes());
                h.extend([words << 4, self.flags]);
                h.extend(self.window.to_be_bytes());
                h.extend([0; 4]);
                h.extend(&self.tcp_options);
                h.resize(usize::from(words) * 4, 0);
            }
            (proto::UDP, _) => {
                with_ports(&mut h);
                h.extend(u16::try_from(8 + self.payload.len()).ok()?.to_be_bytes());
                h.extend([0; 2]);
            }
            (proto::SCTP, _) => {
                with_ports(&mut h);
                h.extend(self.seq.to_be_bytes());
                h.extend([0; 4]);
            }
            (proto::ICMP, IpVersion::V4) | (proto::ICMPV6, IpVersion::V6) => {
                let is_reply = t.src_port == 0 && t.dst_port != 0;
                let default = match (version, is_reply) {
                    (IpVersion::V4, false) => 8,
                    (IpVersion::V4, true) => 0,
                    (IpVersion::V6, false) => 128,
                    (IpVersion::V6, true) => 129,
                };
                let (icmp_type, code) = self.icmp.unwrap_or((default, 0));
                h.extend([icmp_type, code, 0, 0]);
                h.extend((t.src_port | t.dst_port).to_be_bytes());
                h.extend(self.echo_seq.to_be_bytes());
            }
            _ => {}
        }
        Some(h)
    }
}

#[cfg(test)]
pub(crate) mod tests;
