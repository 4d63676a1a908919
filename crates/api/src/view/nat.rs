//! Virtual IPs and pools.

use serde::{Deserialize, Serialize};

use crate::{Name, Traffic};

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
    /// Sessions of it now.
    pub sessions: u64,
    /// Traffic of its sessions.
    pub traffic: Traffic,
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
    /// Bindings (overload), addresses (one-to-one) or blocks (port-block) in use.
    pub used: u64,
    /// How many there are; for overload per protocol and destination a port can serve again, so
    /// this is the count for one destination.
    pub capacity: u64,
    /// Most in use at once since start.
    pub peak: u64,
    /// Bindings made since start.
    pub allocated: u64,
    /// Times nothing was free.
    pub exhausted: u64,
    /// Answers ARP/ND for its addresses.
    pub proxy_arp: bool,
}
