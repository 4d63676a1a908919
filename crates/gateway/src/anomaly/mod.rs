//! What no honest packet looks like, and sources that send too much.
//!
//! [`malformed`] judges one packet by its headers alone. [`Sensors`] count new sessions for each
//! source. The address checks at the end are for the stages that know which of them apply.

mod sensors;
mod table;
#[cfg(test)]
mod tests;

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use reason::DropReason;
use wire::{
    Fragmentation, Headers, L3, proto,
    tcp::flags::{ACK, FIN, RST, SYN},
};

pub use sensors::{SensorCounters, SensorKind, SensorVerdict, Sensors, SourceRate};

/// FIN, SYN, RST, PSH, ACK and URG: the flags of RFC 9293 without those of ECN.
const FLAGS: u8 = 0x3f;

/// Judges a packet of a new session. `our_address` says which addresses are the gateway's own.
///
/// In this order: source equal to destination, a source that is ours, TCP flags that no TCP sends
/// together (RFC 9293 §3.10): none, SYN with FIN or RST, FIN without ACK (which covers the Xmas
/// scan), or all.
pub fn malformed(headers: &Headers, our_address: impl Fn(IpAddr) -> bool) -> Option<DropReason> {
    match headers.kind {
        L3::Arp => return None,
        L3::Ip(_) => {}
    }
    if headers.src() == headers.dst() {
        return Some(DropReason::AnomalyLand);
    }
    if our_address(headers.src()) {
        return Some(DropReason::AnomalySpoofed);
    }
    let has_flags = headers.tuple.proto == proto::TCP && headers.fragment != Fragmentation::Later;
    if has_flags && !tcp_flags_make_sense(headers.tcp_flags) {
        return Some(DropReason::AnomalyTcpFlags);
    }
    None
}

/// Whether some TCP sends these flags together.
pub const fn tcp_flags_make_sense(flags: u8) -> bool {
    let flags = flags & FLAGS;
    let opens = flags & SYN != 0;
    let ends = flags & FIN != 0;
    flags != 0 && !(opens && flags & (FIN | RST) != 0) && !(ends && flags & ACK == 0)
}

/// Whether an address can never be a sender: unspecified or this-network, loopback, multicast,
/// broadcast and class E, and in IPv6 also IPv4-mapped (RFC 6890, RFC 1812 §5.3.7, RFC 4291 §2).
///
/// Exceptions are the caller's: `0.0.0.0` in DHCP, `::` in duplicate address detection. Broadcast
/// addresses of connected subnets are unknown here.
pub const fn is_martian_source(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_multicast() || is_v4_martian(ip) || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_multicast() || is_v6_martian(ip),
    }
}

/// Whether an address can never be a receiver: unspecified or this-network, loopback, class E other
/// than the limited broadcast, and in IPv6 also IPv4-mapped.
pub const fn is_martian_destination(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_v4_martian(ip),
        IpAddr::V6(ip) => is_v6_martian(ip),
    }
}

/// Whether an address is only good on its link (RFC 3927 §7, RFC 4291 §2.5.6): a packet from or to
/// it may not be forwarded.
pub const fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

const fn is_v4_martian(ip: Ipv4Addr) -> bool {
    let [first, ..] = ip.octets();
    first == 0 || first == 127 || (first >= 240 && !ip.is_broadcast())
}

const fn is_v6_martian(ip: Ipv6Addr) -> bool {
    ip.is_unspecified() || ip.is_loopback() || ip.to_ipv4_mapped().is_some()
}
