//! The validated model. Every value is in range, every name is resolved, every index is valid.
//!
//! Objects keep their name and the line they came from, so that a verdict can be traced back to
//! the configuration. Durations are `Duration`, rates are per second, sizes are bytes.

mod address_pool;
mod ike;
mod remote;
mod tunnel;

use core::{net::IpAddr, ops::RangeInclusive, time::Duration};
use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use ipnet::IpNet;
use wire::{Mac, VlanId};

pub use address_pool::{AddressPool, AddressPoolId};
pub use ike::{
    ChildSpec, DpdAction, LocalAuth, Negotiated, OwnCertificate, Peer, PeerId, Ppk, Proposal,
    RemoteAuth, Start,
};
pub use remote::{CertificateUser, FailedLogins, Login, RemoteAccess, RemoteTls};
pub use tunnel::{
    Fragmentation, Gre, Ipsec, Keying, Manual, ManualSa, OuterRules, Selector, Steering, Tunnel,
    TunnelId, TunnelKind, Vxlan,
};

/// Line of the configuration file, counted from 1; zero for what was not written (defaults).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Line(pub u32);

/// Index of a virtual router in [`Config::virtual_routers`]; 0 is `default`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VrId(pub u16);

/// Index of an interface in [`Config::interfaces`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IfId(pub u16);

/// Index of a zone in [`Config::zones`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ZoneId(pub u16);

/// Index of an IP pool in [`Config::pools`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolId(pub u16);

/// The whole configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where it was read from, for messages.
    pub source: String,
    /// Name of the gateway.
    pub hostname: String,
    /// Control socket and metrics.
    pub control: Control,
    /// What is only for finding faults.
    pub debug: Debug,
    /// Virtual routers; never empty, index 0 is `default`.
    pub virtual_routers: Vec<VirtualRouter>,
    /// Attachments to the network.
    pub ports: Vec<Port>,
    /// Layer-3 interfaces: a port itself (untagged), one of its VLANs, or a tunnel.
    pub interfaces: Vec<Interface>,
    /// IKE peers.
    pub peers: Vec<Peer>,
    /// Tunnels.
    pub tunnels: Vec<Tunnel>,
    /// Zones; an interface that names none is in a zone of its own name.
    pub zones: Vec<Zone>,
    /// Static routes, connected ones not included.
    pub routes: Vec<Route>,
    /// Forward policies, in the order they are tried.
    pub policies: Vec<Policy>,
    /// Rules for traffic to the gateway itself; implicit deny, except ND and what is related.
    pub local_in: Vec<LocalRule>,
    /// Rules for traffic from the gateway itself; implicit allow.
    pub local_out: Vec<LocalRule>,
    /// Virtual IPs (destination NAT).
    pub vips: Vec<Vip>,
    /// IP pools (source NAT).
    pub pools: Vec<Pool>,
    /// Addresses to give to peers.
    pub address_pools: Vec<AddressPool>,
    /// Central source NAT, tried in order when not empty; then policies' own `nat` is refused.
    pub central_snat: Vec<CentralSnat>,
    /// Static neighbours.
    pub neighbours: Vec<StaticNeighbour>,
    /// Session timeouts.
    pub timeouts: Timeouts,
    /// What the software engine stands for.
    pub engine: Engine,
    /// Global offload settings.
    pub offload: Offload,
    /// Bounds of tables, queues and rates.
    pub limits: Limits,
    /// Rate sensors and malformed-packet checks.
    pub anomaly: Anomaly,
}

/// How the daemon is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// Control socket.
    pub socket: PathBuf,
    /// `address:port` for `/metrics` over TCP, when wanted.
    pub metrics: Option<std::net::SocketAddr>,
}

/// What is only for finding faults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Debug {
    /// Root may export the keys of SAs.
    pub export_keys: bool,
}

/// A routing table of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualRouter {
    /// Name.
    pub name: String,
    /// Where it is configured.
    pub line: Line,
    /// Offload switch.
    pub offload: OffloadMode,
}

/// How a port attaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortKind {
    /// AF_PACKET on a kernel interface.
    Packet {
        /// Kernel interface name.
        device: String,
    },
    /// AF_XDP on a kernel interface.
    Xdp {
        /// Kernel interface name.
        device: String,
    },
    /// A TAP device.
    Tap {
        /// Kernel interface name.
        device: String,
    },
    /// A TUN device (no Ethernet; the peer is the host kernel).
    Tun {
        /// Kernel interface name.
        device: String,
    },
    /// Shared memory with another process, memif version 2.
    Memif {
        /// Control socket.
        socket: PathBuf,
        /// Number of the interface.
        id: u32,
        /// Whether the port listens; otherwise it connects.
        server: bool,
        /// Frames in each ring of a client, as power of two.
        log2_ring_size: u8,
    },
    /// A pcap or pcapng file in, a pcapng file out.
    Pcap {
        /// File to read, when there is one.
        read: Option<PathBuf>,
        /// File to write, when there is one.
        write: Option<PathBuf>,
    },
    /// An in-memory link, wired by whoever embeds the gateway (tests, demo).
    Memory,
}

/// An attachment to the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Name.
    pub name: String,
    /// Where it is configured.
    pub line: Line,
    /// How it attaches.
    pub kind: PortKind,
    /// MAC address; absent: the device's own, or one derived from the name.
    pub mac: Option<Mac>,
    /// Whether frames of its interfaces may be served by the fast path.
    pub fast_path: bool,
    /// Whether packets of a flow cross it joined (TSO, USO) where the device takes that.
    pub super_packets: bool,
}

/// Reverse-path check of an interface (RFC 3704).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rpf {
    /// The best route back must leave by the same interface.
    #[default]
    Strict,
    /// Any route back will do, except the default route unless it leaves by this interface.
    Loose,
    /// Not checked.
    Off,
}

/// What an interface stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attachment {
    /// A port, untagged or one of its VLANs.
    Port {
        /// Index of the port in [`Config::ports`].
        port: u16,
        /// 802.1Q tag; absent for untagged frames.
        vlan: Option<VlanId>,
    },
    /// A tunnel.
    Tunnel(TunnelId),
    /// Nothing: its addresses are the gateway's own, whichever ports there are.
    Loopback,
}

/// A layer-3 interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Name.
    pub name: String,
    /// Where it is configured.
    pub line: Line,
    /// What it stands on.
    pub on: Attachment,
    /// The virtual router it belongs to.
    pub vr: VrId,
    /// Its zone.
    pub zone: ZoneId,
    /// Own addresses with prefix length.
    pub addresses: Vec<IpNet>,
    /// IP MTU in bytes, 576 to 9216 (1280 at least with IPv6).
    pub mtu: u16,
    /// Reverse-path check.
    pub rpf: Rpf,
    /// TCP MSS clamp for what leaves by it: `Some(0)` derives from the MTU of the interface.
    pub mss_clamp: Option<u16>,
    /// Administratively up.
    pub enabled: bool,
    /// Answer ARP/ND for VIPs and pools that lie in its subnets.
    pub proxy_arp: bool,
}

/// A set of interfaces that policies name together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    /// Name.
    pub name: String,
    /// Where it is configured; zero when it was made from an interface name.
    pub line: Line,
}

/// Next hop of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextHop {
    /// By way of a gateway on a connected subnet.
    Gateway {
        /// Its address.
        address: IpAddr,
        /// The interface it is reached by.
        interface: IfId,
    },
    /// The destinations are on the link itself.
    Interface(IfId),
    /// Dropped with `route-blackhole`.
    Blackhole,
}

/// A static route. Several with the same destination and metric share load by session (ECMP).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Destination.
    pub destination: IpNet,
    /// Virtual router.
    pub vr: VrId,
    /// Where to.
    pub next_hop: NextHop,
    /// Lower wins among routes to the same destination.
    pub metric: u32,
    /// Weight among equal routes, 1 to 255.
    pub weight: u8,
    /// Where it is configured.
    pub line: Line,
}

/// Addresses that a rule matches: the names as written and the ranges behind them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressSet {
    /// Names or literals as written; `any` for everything.
    pub names: Vec<String>,
    /// Sorted, merged ranges; IPv4 ranges first. Empty means nothing unless `any`.
    pub ranges: Vec<IpRange>,
    /// Matches every address of both versions.
    pub any: bool,
    /// Match what is not in the ranges.
    pub negate: bool,
}

/// An inclusive range of addresses of one version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct IpRange {
    /// First address.
    pub first: IpAddr,
    /// Last address, of the same version and not before `first`.
    pub last: IpAddr,
}

/// One protocol with its ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// IP protocol number. ICMP services also match ICMPv6 only if written so.
    pub proto: u8,
    /// Source ports; the whole range where they do not matter.
    pub src_ports: RangeInclusive<u16>,
    /// Destination ports; for ICMP the type in both ends of the range.
    pub dst_ports: RangeInclusive<u16>,
}

/// Services that a rule matches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceSet {
    /// Names as written.
    pub names: Vec<String>,
    /// The services behind them.
    pub services: Vec<Service>,
    /// Matches everything.
    pub any: bool,
}

/// Who may send what a policy matches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Who {
    /// Everybody whose user is known.
    pub known: bool,
    /// Users by name.
    pub users: Vec<String>,
    /// Groups by name: everybody who is in one of them.
    pub groups: Vec<String>,
}

impl Who {
    /// Whether it is not asked who sends.
    pub fn is_anybody(&self) -> bool {
        !self.known && self.users.is_empty() && self.groups.is_empty()
    }
}

/// When a policy holds, in UTC unless the schedule names an offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Name.
    pub name: String,
    /// Where it is configured.
    pub line: Line,
    /// What it is.
    pub kind: ScheduleKind,
    /// Minutes east of UTC in which the times are written.
    pub utc_offset_minutes: i16,
}

/// Recurring or once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScheduleKind {
    /// On these weekdays (bit 0 = Monday) between two minutes of the day; `to` ≤ `from` runs over midnight.
    Recurring {
        /// Weekdays.
        days: u8,
        /// First minute of the day, 0 to 1439.
        from: u16,
        /// Minute of the day at which it ends, 0 to 1440.
        to: u16,
    },
    /// Between two points, in seconds since 1970-01-01 UTC.
    Once {
        /// First second.
        from: i64,
        /// First second after.
        to: i64,
    },
}

/// What a policy does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Lets sessions pass.
    Allow,
    /// Drops silently with `policy-deny`.
    Deny,
    /// Drops with `policy-deny` and answers with TCP RST or ICMP administratively prohibited.
    Reject,
}

/// Source translation of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceNat {
    /// None.
    Off,
    /// To the address of the outgoing interface.
    Interface,
    /// To these pools, in order (one IP version each; the packet's version picks).
    Pools(Vec<PoolId>),
}

/// A forward policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Number, unique; what sessions and logs refer to.
    pub id: u32,
    /// Name.
    pub name: String,
    /// Where it is configured.
    pub line: Line,
    /// Whether it is in force at all.
    pub enabled: bool,
    /// Incoming zones; empty means any.
    pub from: Vec<ZoneId>,
    /// Outgoing zones; empty means any.
    pub to: Vec<ZoneId>,
    /// Source addresses.
    pub source: AddressSet,
    /// Who must stand behind the source address.
    pub who: Who,
    /// Destination addresses; after DNAT. A VIP's name stands for its mapped address.
    pub destination: AddressSet,
    /// Services.
    pub services: ServiceSet,
    /// When it holds; always where absent.
    pub schedule: Option<Arc<Schedule>>,
    /// What it does.
    pub action: Action,
    /// Source translation.
    pub nat: SourceNat,
    /// Offload switch.
    pub offload: OffloadMode,
    /// TCP MSS clamp in bytes for sessions of this policy.
    pub mss_clamp: Option<u16>,
    /// Write an event when a session starts and ends.
    pub log: bool,
}

/// A local-in or local-out rule.
#[derive(Clone, Debug, PartialEq)]
pub struct LocalRule {
    /// Name.
    pub name: String,
    /// Where it is configured.
    pub line: Line,
    /// Whether it is in force at all.
    pub enabled: bool,
    /// Interfaces' zones; empty means any.
    pub zones: Vec<ZoneId>,
    /// Source addresses.
    pub source: AddressSet,
    /// Destination addresses.
    pub destination: AddressSet,
    /// Services.
    pub services: ServiceSet,
    /// What it does.
    pub action: Action,
    /// When it holds; always where absent.
    pub schedule: Option<Arc<Schedule>>,
}

/// A virtual IP: destination translation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vip {
    /// Name.
    pub name: String,
    /// Where it is configured.
    pub line: Line,
    /// The interface it is reached by; absent for any.
    pub interface: Option<IfId>,
    /// External addresses.
    pub external: IpRange,
    /// Mapped addresses: a range of the same length, or a single address.
    pub mapped: IpRange,
    /// Port forward; absent for 1:1 translation of everything.
    pub forward: Option<PortForward>,
}

/// Ports of a VIP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortForward {
    /// TCP, UDP or SCTP.
    pub proto: u8,
    /// External ports.
    pub external: RangeInclusive<u16>,
    /// First mapped port; the range has the same length.
    pub mapped: u16,
}

/// What kind of pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolKind {
    /// Many sources share addresses by ports.
    Overload,
    /// Each source gets an address of its own, ports unchanged.
    OneToOne,
    /// Each source gets blocks of ports of one address (RFC 6888).
    PortBlock {
        /// Ports in a block.
        block_size: u16,
        /// Blocks a source may have.
        blocks_per_host: u8,
    },
}

/// Addresses to translate sources to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Name.
    pub name: String,
    /// Where it is configured.
    pub line: Line,
    /// What kind.
    pub kind: PoolKind,
    /// Its addresses.
    pub addresses: IpRange,
    /// Ports to choose from (overload and port-block).
    pub ports: RangeInclusive<u16>,
    /// Answer ARP/ND for its addresses.
    pub proxy_arp: bool,
}

/// A rule of the central source NAT table.
#[derive(Clone, Debug, PartialEq)]
pub struct CentralSnat {
    /// Name.
    pub name: String,
    /// Where it is configured.
    pub line: Line,
    /// Incoming zones; empty means any.
    pub from: Vec<ZoneId>,
    /// Outgoing zones; empty means any.
    pub to: Vec<ZoneId>,
    /// Source addresses.
    pub source: AddressSet,
    /// Destination addresses.
    pub destination: AddressSet,
    /// Services.
    pub services: ServiceSet,
    /// What to translate to; `Off` exempts.
    pub nat: SourceNat,
}

/// A neighbour that is never resolved nor forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StaticNeighbour {
    /// Interface.
    pub interface: IfId,
    /// Address.
    pub address: IpAddr,
    /// Its MAC address.
    pub mac: Mac,
    /// Where it is configured.
    pub line: Line,
}

/// Session timeouts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// SYN seen.
    pub tcp_syn_sent: Duration,
    /// SYN and SYN/ACK seen.
    pub tcp_syn_received: Duration,
    /// Established (RFC 5382: at least 2 h 4 min).
    pub tcp_established: Duration,
    /// One side sent FIN.
    pub tcp_fin_wait: Duration,
    /// Both sides sent FIN; or reset.
    pub tcp_time_wait: Duration,
    /// UDP with packets one way only.
    pub udp_one_way: Duration,
    /// UDP with packets both ways (RFC 4787: at least 2 min).
    pub udp: Duration,
    /// ICMP query (RFC 5508: at least 60 s).
    pub icmp: Duration,
    /// SCTP association, established.
    pub sctp: Duration,
    /// Everything else.
    pub generic: Duration,
    /// Fragments of one packet (RFC 791: 15 s at least; RFC 8200: 60 s).
    pub reassembly: Duration,
    /// A neighbour stays reachable (RFC 4861 REACHABLE_TIME).
    pub neighbour_reachable: Duration,
    /// A stale neighbour without traffic is forgotten.
    pub neighbour_stale: Duration,
}

/// What the software engine stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Engine {
    /// The device whose rules decide what is promoted.
    pub profile: &'static offload::Profile,
}

/// The engine's own rules.
impl Default for Engine {
    fn default() -> Self {
        Self { profile: &offload::PROFILES[0] }
    }
}

/// An offload switch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OffloadMode {
    /// What qualifies is promoted.
    #[default]
    Auto,
    /// What does not qualify is dropped with `offload-required`.
    Require,
    /// Nothing is promoted.
    Off,
}

/// Global offload settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offload {
    /// The switch for everything.
    pub mode: OffloadMode,
    /// Packets (both directions together) that must have passed before the next one promotes a
    /// session.
    pub after_packets: u32,
    /// One-way sessions are promoted after this many packets; zero never.
    pub one_way_packets: u32,
    /// Whether engines may have outgoing SAs, where a tunnel does not say otherwise.
    pub egress_optimisation: bool,
    /// Weakenings of checks that an engine may make.
    pub weaken: Vec<Weakening>,
    /// How often ledger and engine are compared.
    pub audit_interval: Duration,
}

/// A check that an engine may leave out, named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weakening {
    /// TCP windows are not checked on the engine.
    TcpWindow,
}

/// Bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Sessions.
    pub sessions: u32,
    /// Flows (directions) of the software engine.
    pub flows: u32,
    /// SAs of the software engine, each direction counted.
    pub sas: u32,
    /// Addresses whose user is known.
    pub users: u32,
    /// TCP sessions whose handshake is not complete.
    pub half_open: u32,
    /// Neighbours over all interfaces.
    pub neighbours: u32,
    /// Packets held for one unresolved neighbour.
    pub neighbour_queue: u8,
    /// Bytes of fragments held.
    pub reassembly_memory: u32,
    /// Fragments of one packet.
    pub fragments_per_packet: u16,
    /// Ordinary frames of the pool.
    pub frames: u32,
    /// Super-packet frames of the pool.
    pub super_frames: u32,
    /// Punts of one burst, for each worker.
    pub punt_ring: u32,
    /// Workers: forwarding threads.
    pub workers: u32,
    /// Microseconds that a forwarding thread goes on asking for frames before it sleeps.
    pub busy_poll: u32,
    /// Packets a second for each punt cause, by the name of the cause; others are unlimited.
    pub punt: BTreeMap<String, u32>,
    /// ICMP errors the gateway sends a second.
    pub icmp_errors_per_second: u32,
    /// Events kept.
    pub events: u32,
}

/// What a sensor does when its threshold is passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SensorAction {
    /// Drop what is above the threshold.
    Block,
    /// Only count and write an event.
    Monitor,
}

/// A rate sensor, per source address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sensor {
    /// New sessions a second (scan: different destinations and ports a second).
    pub per_second: u32,
    /// What it does.
    pub action: SensorAction,
}

/// Anomaly checks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Anomaly {
    /// TCP SYN.
    pub syn: Option<Sensor>,
    /// UDP.
    pub udp: Option<Sensor>,
    /// ICMP.
    pub icmp: Option<Sensor>,
    /// Scans over ports and hosts.
    pub scan: Option<Sensor>,
}
