//! Virtual IPs and pools.

use serde::{Deserialize, Serialize};

use crate::Name;

/// All virtual IPs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NatVipsView {
    /// In the order of the configuration.
    pub vips: Vec<VipView>,
}

/// One virtual IP.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct VipView {
    /// Name.
    pub name: String,
    /// Line of the configuration.
    pub line: u32,
    /// Interface; absent for any.
    pub interface: Option<String>,
    /// External address or range.
    pub external: String,
    /// Mapped address or range.
    pub mapped: String,
    /// Protocol of a port forward.
    pub proto: Option<Name>,
    /// External ports of a port forward: `443` or `8000-8010`.
    pub external_ports: Option<String>,
    /// Mapped ports.
    pub mapped_ports: Option<String>,
    /// Sessions that met it since start.
    pub hits: u64,
}

/// All pools.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NatPoolsView {
    /// In the order of the configuration; interface addresses that are in use as a source follow.
    pub pools: Vec<PoolView>,
}

/// One pool.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PoolView {
    /// Name; the interface's for interface NAT.
    pub name: String,
    /// `overload`, `one-to-one`, `port-block` or `interface`.
    pub mode: Name,
    /// Line of the configuration; 0 for interface NAT.
    pub line: u32,
    /// Addresses.
    pub addresses: String,
    /// Ports to choose from.
    pub ports: String,
    /// Ports in a block; port-block only.
    pub block_size: Option<u16>,
    /// Blocks a source may have; port-block only.
    pub blocks_per_host: Option<u8>,
    /// Ports of each protocol over all addresses; zero for one-to-one.
    pub ports_total: u64,
    /// TCP ports in use.
    pub tcp_used: u64,
    /// UDP ports in use.
    pub udp_used: u64,
    /// SCTP ports in use.
    pub sctp_used: u64,
    /// ICMP identifiers in use.
    pub icmp_used: u64,
    /// Sessions that hold something of it.
    pub sessions: u64,
    /// Sources that hold an address (one-to-one) or blocks (port-block).
    pub hosts: u64,
    /// Blocks in use; port-block only.
    pub blocks_used: u64,
    /// Blocks there are; port-block only.
    pub blocks_total: u64,
    /// Times nothing was free.
    pub exhausted: u64,
    /// Gone from the configuration; only old sessions hold it.
    pub removed: bool,
    /// Answers ARP/ND for its addresses.
    pub proxy_arp: bool,
}
