//! Writing whole frames: the link layer, and the messages of ARP and neighbour discovery.
//!
//! Those are short enough to be returned by value ([`ShortFrame`]), so that nothing is allocated.
//! Frames are not padded to the Ethernet minimum; the port or the kernel does that.

use core::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops,
};

use crate::{
    Mac, VlanId,
    arp::{self, ArpPacket},
    bytes::put,
    checksum::{self, Sum},
    nd::{self, NdMessage, NeighbourAdvertisement, NeighbourSolicitation},
    parse::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_VLAN},
    proto,
};

/// Longest short frame: a tagged neighbour discovery message with one option.
const SHORT: usize = 18 + 40 + 24 + 8;

/// A frame of at most 90 bytes, held in place.
#[derive(Clone, Copy, Debug)]
pub struct ShortFrame {
    bytes: [u8; SHORT],
    len: usize,
}

impl ShortFrame {
    fn written(write: impl FnOnce(&mut [u8]) -> Option<usize>) -> Self {
        let mut bytes = [0; SHORT];
        let len = write(&mut bytes).unwrap_or(0);
        Self { bytes, len }
    }
}

impl ops::Deref for ShortFrame {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// An ARP request for the MAC of `target`: broadcast, or to `unicast` to see whether it is still
/// there (RFC 1122 §2.3.2.1).
pub fn arp_request(
    mac: Mac,
    source: Ipv4Addr,
    target: Ipv4Addr,
    unicast: Option<Mac>,
    vlan: Option<VlanId>,
) -> ShortFrame {
    let ether = Ether { src: mac, dst: unicast.unwrap_or(Mac::BROADCAST), vlan };
    let packet = ArpPacket::request(mac, source, target);
    ShortFrame::written(|out| arp::emit(out, &ether, &packet))
}

/// An ARP reply that says `own` is at `mac`.
pub fn arp_reply(
    mac: Mac,
    own: Ipv4Addr,
    to_mac: Mac,
    to_ip: Ipv4Addr,
    vlan: Option<VlanId>,
) -> ShortFrame {
    let ether = Ether { src: mac, dst: to_mac, vlan };
    let packet = ArpPacket::request(to_mac, to_ip, own).answer(mac);
    ShortFrame::written(|out| arp::emit(out, &ether, &packet))
}

/// A neighbour solicitation for `target`: to its solicited-node address, or to `unicast` to see
/// whether it is still there (RFC 4861 §7.2.2). An unspecified source makes it duplicate address
/// detection, which does not tell our MAC.
pub fn neighbour_solicitation(
    mac: Mac,
    source: Ipv6Addr,
    target: Ipv6Addr,
    unicast: Option<Mac>,
    vlan: Option<VlanId>,
) -> ShortFrame {
    let group = nd::solicited_node(target);
    let (dst_mac, dst) = match unicast {
        Some(mac) => (mac, target),
        None => (nd::multicast_mac(group), group),
    };
    let ether = Ether { src: mac, dst: dst_mac, vlan };
    let source_mac = (!source.is_unspecified()).then_some(mac);
    let message =
        NdMessage::Solicitation(NeighbourSolicitation { src: source, dst, target, source_mac });
    ShortFrame::written(|out| nd::emit(out, &ether, &message))
}

/// A router's answer to a solicitation: `own` is at `mac`. An unspecified `to` (who asked was
/// detecting duplicates) makes it an unsolicited message to all nodes (RFC 4861 §7.2.4).
///
/// `overrides` says whether it replaces what was known; a proxy's answer should not (§7.2.8).
pub fn neighbour_advertisement(
    mac: Mac,
    own: Ipv6Addr,
    to_mac: Mac,
    to: Ipv6Addr,
    overrides: bool,
    vlan: Option<VlanId>,
) -> ShortFrame {
    let to_all = to.is_unspecified() || to.is_multicast();
    let (dst_mac, dst) =
        if to_all { (nd::multicast_mac(nd::ALL_NODES), nd::ALL_NODES) } else { (to_mac, to) };
    let ether = Ether { src: mac, dst: dst_mac, vlan };
    let message = NdMessage::Advertisement(NeighbourAdvertisement {
        src: own,
        dst,
        target: own,
        target_mac: Some(mac),
        router: true,
        solicited: !to_all,
        override_entry: overrides,
    });
    ShortFrame::written(|out| nd::emit(out, &ether, &message))
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{arp::ArpOp, parse};

    const OURS: Mac = Mac([2, 0, 0, 0, 0, 1]);
    const HOST: Mac = Mac([2, 0, 0, 0, 0, 9]);

    #[test]
    fn arp_in_a_vlan() {
        let (own, host) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 9));
        let request = arp_request(OURS, own, host, Some(HOST), Some(30));
        let headers = parse(&request).unwrap();
        assert_eq!((headers.eth_dst, headers.vlan), (HOST, Some(30)));
        assert_eq!(arp::parse(&request, &headers), Ok(ArpPacket::request(OURS, own, host)));

        let reply = arp_reply(OURS, own, HOST, host, None);
        let headers = parse(&reply).unwrap();
        let packet = arp::parse(&reply, &headers).unwrap();
        assert_eq!((packet.op, packet.sender_ip, packet.sender_mac), (ArpOp::Reply, own, OURS));
        assert_eq!((headers.eth_dst, packet.target_mac, packet.target_ip), (HOST, HOST, host));
    }

    #[test]
    fn solicitations_and_advertisements() {
        let own = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
        let host = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 9);
        let read = |frame: &[u8]| {
            let headers = parse(frame).unwrap();
            (headers, nd::parse(frame, &headers).unwrap())
        };
        let (headers, message) = read(&neighbour_solicitation(OURS, own, host, None, Some(4094)));
        assert_eq!(headers.eth_dst.to_string(), "33:33:ff:00:00:09");
        let NdMessage::Solicitation(asked) = message else { panic!("{message:?}") };
        assert_eq!((asked.target, asked.source_mac), (host, Some(OURS)));

        let (headers, _) = read(&neighbour_solicitation(OURS, own, host, Some(HOST), None));
        assert_eq!((headers.eth_dst, headers.dst()), (HOST, IpAddr::V6(host)));

        let probe = neighbour_solicitation(OURS, Ipv6Addr::UNSPECIFIED, own, None, None);
        let NdMessage::Solicitation(probe) = read(&probe).1 else { panic!("a solicitation") };
        assert!(probe.is_probe() && probe.source_mac.is_none());

        let (headers, message) = read(&neighbour_advertisement(OURS, own, HOST, host, true, None));
        let NdMessage::Advertisement(said) = message else { panic!("{message:?}") };
        assert_eq!((headers.eth_dst, headers.dst()), (HOST, IpAddr::V6(host)));
        assert!(said.router && said.solicited && said.override_entry);

        let nobody = Ipv6Addr::UNSPECIFIED;
        let (headers, message) =
            read(&neighbour_advertisement(OURS, own, HOST, nobody, false, None));
        let NdMessage::Advertisement(said) = message else { panic!("{message:?}") };
        assert_eq!(headers.eth_dst.to_string(), "33:33:00:00:00:01");
        assert!(!said.solicited);
    }
}
