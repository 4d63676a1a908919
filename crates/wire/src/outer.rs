//! The outer header of a tunnel: a template made with the tunnel, completed per packet.

use core::net::IpAddr;

use crate::{
    IpVersion,
    checksum::{self, Sum},
    proto,
};

const IPV4_DF: u16 = 0x4000;
const IPV4_LEN: usize = 20;
const IPV6_LEN: usize = 40;
const UDP_LEN: usize = 8;

/// A UDP header behind the IP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OuterUdp {
    /// Source port, where packets bring none of their own.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// The checksum is zero over IPv6 too (RFC 6935 §5). Over IPv4 it always is.
    pub zero_checksum: bool,
}

/// The template of an IP header, with a UDP header where the tunnel has one.
#[derive(Clone, Debug)]
pub struct Outer {
    /// Sum of the IPv4 header template.
    sum: Sum,
    /// IP and UDP header with zeros where packets differ.
    template: [u8; IPV6_LEN + UDP_LEN],
    version: IpVersion,
    /// Bytes of both.
    len: u8,
    /// Bytes of the IP header.
    ip_len: u8,
    udp: bool,
    zero_checksum: bool,
}

/// What differs from packet to packet.
#[derive(Clone, Copy, Debug)]
pub struct OuterFields {
    /// Type of service or traffic class.
    pub tos: u8,
    /// IPv4: DF.
    pub df: bool,
    /// IPv4: an identification for routers that fragment; none with DF (RFC 6864 §4.1).
    pub id: u16,
    /// UDP source port, where it is another than the template's.
    pub source_port: Option<u16>,
}

impl Outer {
    /// A template. Both ends are of one IP version; `protocol` follows the IP header where there is
    /// no UDP header.
    pub fn new(
        (source, destination): (IpAddr, IpAddr),
        protocol: u8,
        hop_limit: u8,
        udp: Option<OuterUdp>,
    ) -> Self {
        let mut template = [0; IPV6_LEN + UDP_LEN];
        let protocol = if udp.is_some() { proto::UDP } else { protocol };
        let (version, ip_len) = match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                template[0] = 0x45;
                template[8] = hop_limit;
                template[9] = protocol;
                template[12..16].copy_from_slice(&source.octets());
                template[16..20].copy_from_slice(&destination.octets());
                (IpVersion::V4, IPV4_LEN)
            }
            (source, destination) => {
                let octets = |ip| match ip {
                    IpAddr::V6(ip) => ip.octets(),
                    IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
                };
                template[0] = 0x60;
                template[6] = protocol;
                template[7] = hop_limit;
                template[8..24].copy_from_slice(&octets(source));
                template[24..40].copy_from_slice(&octets(destination));
                (IpVersion::V6, IPV6_LEN)
            }
        };
        let sum = Sum::ZERO.bytes(&template[..ip_len]);
        if let Some(OuterUdp { source_port, destination_port, .. }) = udp {
            template[ip_len..ip_len + 2].copy_from_slice(&source_port.to_be_bytes());
            template[ip_len + 2..ip_len + 4].copy_from_slice(&destination_port.to_be_bytes());
        }
        let zero_checksum = udp.is_some_and(|udp| udp.zero_checksum);
        let udp = udp.is_some();
        let len = (ip_len + if udp { UDP_LEN } else { 0 }) as u8;
        let ip_len = ip_len as u8;
        Self { version, template, len, ip_len, udp, zero_checksum, sum }
    }

    /// Bytes of the IP header and, when there is one, the UDP header; never zero.
    #[inline]
    #[allow(clippy::len_without_is_empty, reason = "a header is never empty")]
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// IP version of the header.
    pub fn version(&self) -> IpVersion {
        self.version
    }

    /// Writes the headers to the front of `packet`, whose last bytes must be final already: over
    /// IPv6 the UDP checksum covers them (RFC 8200 §8.1; over IPv4 it is zero, RFC 3948 §2.1,
    /// RFC 7348 §5).
    #[inline]
    pub fn write(&self, packet: &mut [u8], fields: OuterFields) {
        let total = packet.len();
        let Some((headers, _)) = packet.split_at_mut_checked(self.len()) else {
            return;
        };
        headers.copy_from_slice(&self.template[..self.len()]);
        match self.version {
            IpVersion::V4 => {
                let (id, flags) = if fields.df { (0, IPV4_DF) } else { (fields.id, 0) };
                let sum = self.sum.word(u16::from(fields.tos)).word(total as u16);
                let sum = sum.word(id).word(flags).finish();
                if let [_, tos, l0, l1, i0, i1, f0, f1, _, _, s0, s1, ..] = headers {
                    *tos = fields.tos;
                    [*l0, *l1] = (total as u16).to_be_bytes();
                    [*i0, *i1] = id.to_be_bytes();
                    [*f0, *f1] = flags.to_be_bytes();
                    [*s0, *s1] = sum.to_be_bytes();
                }
            }
            IpVersion::V6 => {
                if let [b0, b1, _, _, l0, l1, ..] = headers {
                    *b0 |= fields.tos >> 4;
                    *b1 |= fields.tos << 4;
                    [*l0, *l1] = ((total - IPV6_LEN) as u16).to_be_bytes();
                }
            }
        }
        if self.udp {
            let udp = usize::from(self.ip_len);
            if let Some(port) = fields.source_port
                && let Some(field) = packet.get_mut(udp..udp + 2)
            {
                field.copy_from_slice(&port.to_be_bytes());
            }
            finish_udp(packet, self.version, udp, self.zero_checksum);
        }
    }
}

/// Fills in length and checksum of the UDP header at `udp` of a tunnel's packet. Over IPv4, or with
/// `zero`, the checksum is zero.
pub fn finish_udp(packet: &mut [u8], version: IpVersion, udp: usize, zero: bool) {
    let addresses = match version {
        _ if zero => None,
        IpVersion::V4 => None,
        IpVersion::V6 => packet.get(8..40).map(|b| Sum::ZERO.bytes(b)),
    };
    let Some(datagram) = packet.get_mut(udp..) else {
        return;
    };
    let len = datagram.len() as u16;
    let Some(fields) = datagram.get_mut(4..8) else {
        return;
    };
    fields[..2].copy_from_slice(&len.to_be_bytes());
    fields[2..].fill(0);
    if let Some(addresses) = addresses {
        let pseudo = addresses.word(u16::from(proto::UDP)).word(len);
        let sum = checksum::never_zero(pseudo.bytes(datagram).finish());
        datagram[6..8].copy_from_slice(&sum.to_be_bytes());
    }
}
