//! The outer header of a tunnel: a template made with the SA, completed per packet.

use std::net::IpAddr;

use wire::{IpVersion, checksum, checksum::Sum, proto};

use crate::{
    Parameters, UdpEncapsulation,
    headers::{IPV4_LEN, IPV6_LEN},
    nat_t::UDP_LEN,
};

const IPV4_DF: u16 = 0x4000;

pub(crate) struct Outer {
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
}

/// What differs from packet to packet.
#[derive(Clone, Copy)]
pub(crate) struct Fields {
    /// Type of service or traffic class.
    pub(crate) tos: u8,
    /// IPv4: DF.
    pub(crate) df: bool,
    /// Sequence number: an identification for routers that fragment (RFC 6864 §4.1).
    pub(crate) sequence: u64,
}

impl Outer {
    pub(crate) fn new(parameters: &Parameters) -> Self {
        let mut template = [0; IPV6_LEN + UDP_LEN];
        let encapsulation = parameters.encapsulation;
        let protocol = if encapsulation.is_some() { proto::UDP } else { proto::ESP };
        let (version, ip_len) = match (parameters.source, parameters.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                template[0] = 0x45;
                template[8] = parameters.hop_limit;
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
                template[7] = parameters.hop_limit;
                template[8..24].copy_from_slice(&octets(source));
                template[24..40].copy_from_slice(&octets(destination));
                (IpVersion::V6, IPV6_LEN)
            }
        };
        let sum = Sum::ZERO.bytes(&template[..ip_len]);
        if let Some(UdpEncapsulation { source_port, destination_port }) = encapsulation {
            template[ip_len..ip_len + 2].copy_from_slice(&source_port.to_be_bytes());
            template[ip_len + 2..ip_len + 4].copy_from_slice(&destination_port.to_be_bytes());
        }
        let udp = encapsulation.is_some();
        let len = (ip_len + if udp { UDP_LEN } else { 0 }) as u8;
        let ip_len = ip_len as u8;
        Self { version, template, len, ip_len, udp, sum }
    }

    /// Bytes of the IP header and, when there is one, the UDP header.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        usize::from(self.len)
    }

    pub(crate) fn version(&self) -> IpVersion {
        self.version
    }

    /// Writes the headers to the front of `packet`, whose last bytes must be final already: over
    /// IPv6 the UDP checksum covers them (RFC 8200 §8.1; over IPv4 it is zero, RFC 3948 §2.1).
    #[inline]
    pub(crate) fn write(&self, packet: &mut [u8], fields: Fields) {
        let total = packet.len();
        let Some((headers, _)) = packet.split_at_mut_checked(self.len()) else {
            return;
        };
        headers.copy_from_slice(&self.template[..self.len()]);
        match self.version {
            IpVersion::V4 => {
                let (id, flags) =
                    if fields.df { (0, IPV4_DF) } else { (fields.sequence as u16, 0) };
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
            finish_udp(packet, self.version, usize::from(self.ip_len));
        }
    }
}

/// Fills in length and checksum of the UDP header at `udp`, in front of an ESP packet.
pub(crate) fn finish_udp(packet: &mut [u8], version: IpVersion, udp: usize) {
    let addresses = match version {
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
