//! Ports and interfaces.

use serde::{Deserialize, Serialize};

use crate::Name;

/// All ports.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PortsView {
    /// In the order of the configuration.
    pub ports: Vec<PortView>,
}

/// One attachment to the network.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PortView {
    /// Name.
    pub name: String,
    /// `packet`, `xdp`, `tap`, `tun`, `memif`, `pcap` or `memory`.
    pub attachment: Name,
    /// Kernel device or file; empty for in-memory links.
    pub device: String,
    /// Line of the configuration; 0 when not written.
    pub line: u32,
    /// MAC address.
    pub mac: String,
    /// `up`, `down` or `gone`.
    pub link: Name,
    /// Whether the fast path serves it.
    pub fast_path: bool,
    /// Takes frames with unfinished checksums, TSO for IPv4, TSO for IPv6, USO: words of
    /// `csum`, `tso4`, `tso6`, `uso`.
    pub takes: Vec<Name>,
    /// Interfaces on it.
    pub interfaces: Vec<String>,
    /// Received.
    pub rx: PortCountersView,
    /// Sent.
    pub tx: PortCountersView,
}

/// One direction of a port. A super-packet counts as the packets it stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortCountersView {
    /// Packets.
    pub packets: u64,
    /// Bytes, Ethernet header included.
    pub bytes: u64,
    /// Frames dropped: no buffer, queue full, link down.
    pub dropped: u64,
    /// Frames that were broken or refused by the kernel.
    pub errors: u64,
    /// Frames that were super-packets.
    pub super_packets: u64,
}

/// All interfaces.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct InterfacesView {
    /// In the order of the configuration.
    pub interfaces: Vec<InterfaceView>,
}

/// One layer-3 interface.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct InterfaceView {
    /// Name.
    pub name: String,
    /// Its port, or `tunnel` and the name of its tunnel.
    pub port: String,
    /// 802.1Q tag.
    pub vlan: Option<u16>,
    /// Line of the configuration.
    pub line: u32,
    /// Virtual router.
    pub vr: String,
    /// Zone.
    pub zone: String,
    /// Addresses with prefix length.
    pub addresses: Vec<String>,
    /// MAC address.
    pub mac: String,
    /// IP MTU in bytes.
    pub mtu: u16,
    /// `strict`, `loose` or `off`.
    pub rpf: Name,
    /// MSS clamp in bytes that is in force for what leaves by it.
    pub mss_clamp: Option<u16>,
    /// Administratively up.
    pub enabled: bool,
    /// `up`, `down` or `gone`: the port's.
    pub link: Name,
    /// Answers ARP/ND for VIPs and pools.
    pub proxy_arp: bool,
}
