//! One pass over the headers of a frame, shared by both tiers.

use core::net::IpAddr;

use reason::DropReason;

use crate::{Mac, Tuple, VlanId};

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
    /// Length of the IP packet in bytes.
    pub const fn ip_len(&self) -> u32 {
        self.end - self.l3 as u32
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
#[inline]
pub fn parse(frame: &[u8]) -> Result<Headers, DropReason> {
    let _ = frame;
    todo!()
}

/// Checks the TCP, UDP, ICMP, ICMPv6 or SCTP checksum of a whole packet; others pass.
pub fn verify_l4_checksum(frame: &[u8], headers: &Headers) -> Result<(), DropReason> {
    let _ = (frame, headers);
    todo!()
}
