//! Rewriting a packet in place: addresses, ports, TTL, with incremental checksums (RFC 1624).
//!
//! Both tiers call [`Rewrite::apply`], so a session's bytes are the same whichever serves it.

use core::net::IpAddr;

use crate::{Headers, Tuple};

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
    /// One's-complement difference the address change makes to the IPv4 header checksum.
    pub l3_delta: u16,
    /// One's-complement difference addresses and ports make to the transport checksum.
    pub l4_delta: u16,
    /// Whether anything but the TTL changes.
    pub changes: bool,
}

impl Rewrite {
    /// Compiles the change from one tuple to another of the same IP version and protocol.
    pub fn compile(from: Tuple, to: Tuple) -> Self {
        let _ = (from, to);
        todo!()
    }

    /// The tuple packets have after the rewrite.
    pub fn result(&self, proto: u8) -> Tuple {
        let _ = proto;
        todo!()
    }

    /// Rewrites the packet in place and takes one from its TTL or hop limit if `decrement_ttl`.
    ///
    /// `partial_checksum`: the transport checksum field holds only the pseudo-header sum
    /// (CHECKSUM_PARTIAL); then only the pseudo-header part of the change is applied.
    /// A UDP checksum of zero over IPv4 stays zero. Fragments after the first have no ports.
    #[inline]
    pub fn apply(
        &self,
        frame: &mut [u8],
        headers: &Headers,
        decrement_ttl: bool,
        partial_checksum: bool,
    ) {
        let _ = (frame, headers, decrement_ttl, partial_checksum);
        todo!()
    }
}
