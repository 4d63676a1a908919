//! Tunnels: what wraps packets on their way to a far end.

use core::{net::IpAddr, ops::RangeInclusive, time::Duration};

use ipnet::IpNet;
use wire::Tuple;

use super::{IfId, Line, Negotiated, OffloadMode, RemoteAccess, VrId};

/// Index of a tunnel in [`Config::tunnels`](super::Config::tunnels).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TunnelId(pub u16);

/// A tunnel: an interface whose packets are wrapped and sent to a far end.
#[derive(Clone, Debug, PartialEq)]
pub struct Tunnel {
    /// Name.
    pub name: String,
    /// Where it is configured.
    pub line: Line,
    /// Its interface: inner packets leave and enter by it.
    pub interface: IfId,
    /// The virtual router that carries the wrapped packets.
    pub vr: VrId,
    /// Our end.
    pub local: IpAddr,
    /// The far end; the unspecified address where only negotiation will tell, see
    /// [`Tunnel::far_end`].
    pub remote: IpAddr,
    /// Offload switch.
    pub offload: OffloadMode,
    /// How packets are wrapped.
    pub kind: TunnelKind,
}

/// How a tunnel wraps packets.
#[derive(Clone, Debug, PartialEq)]
pub enum TunnelKind {
    /// ESP (RFC 4303).
    Ipsec(Box<Ipsec>),
    /// GRE (RFC 2784, RFC 2890).
    Gre(Gre),
    /// VXLAN with one remote end (RFC 7348).
    Vxlan(Vxlan),
    /// Clients of remote access.
    Remote(Box<RemoteAccess>),
}

impl TunnelKind {
    /// The section of the configuration it stands in, which is its name too.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Ipsec(_) => "ipsec",
            Self::Gre(_) => "gre",
            Self::Vxlan(_) => "vxlan",
            Self::Remote(_) => "remote-access",
        }
    }
}

impl Tunnel {
    /// What it is as an IPsec tunnel.
    pub fn ipsec(&self) -> Option<&Ipsec> {
        match &self.kind {
            TunnelKind::Ipsec(ipsec) => Some(ipsec),
            TunnelKind::Gre(_) | TunnelKind::Vxlan(_) | TunnelKind::Remote(_) => None,
        }
    }

    /// What it is as remote access.
    pub fn remote_access(&self) -> Option<&RemoteAccess> {
        match &self.kind {
            TunnelKind::Remote(access) => Some(access),
            TunnelKind::Ipsec(_) | TunnelKind::Gre(_) | TunnelKind::Vxlan(_) => None,
        }
    }

    /// What of it is negotiated.
    pub fn negotiated(&self) -> Option<&Negotiated> {
        self.ipsec()?.negotiated()
    }

    /// The far end, where it is known before any negotiation.
    pub fn far_end(&self) -> Option<IpAddr> {
        Some(self.remote).filter(|remote| !remote.is_unspecified())
    }

    /// Whether its interface is a link with MAC addresses and neighbours.
    pub const fn is_ethernet(&self) -> bool {
        matches!(self.kind, TunnelKind::Vxlan(_))
    }

    /// Bytes a packet grows by on its way in; none where it depends on the packet.
    pub const fn overhead(&self) -> Option<u16> {
        let ip = if self.remote.is_ipv4() { 20 } else { 40 };
        match &self.kind {
            TunnelKind::Ipsec(_) => None,
            TunnelKind::Gre(gre) => Some(ip + gre.header_len()),
            // UDP, VXLAN and the inner Ethernet header
            TunnelKind::Vxlan(_) => Some(ip + 8 + 8 + 14),
            // each client has a path of its own, and is told what fits
            TunnelKind::Remote(_) => None,
        }
    }
}

/// A GRE tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gre {
    /// Key: what is sent has it, what has another is not taken.
    pub key: Option<u32>,
    /// What is sent has a checksum; what is received is checked where it has one.
    pub checksum: bool,
    /// What is sent is numbered, what is received must be in order (RFC 2890 §2.2).
    pub sequence: bool,
    /// The outer IP header.
    pub outer: OuterRules,
}

impl Gre {
    /// Bytes of the GRE header.
    pub const fn header_len(&self) -> u16 {
        4 + 4 * (self.key.is_some() as u16 + self.checksum as u16 + self.sequence as u16)
    }
}

/// A VXLAN tunnel to one remote end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vxlan {
    /// VXLAN network identifier, 24 bits.
    pub vni: u32,
    /// UDP port of both ends.
    pub port: u16,
    /// UDP checksums over IPv6 are zero, and taken so (RFC 6935, RFC 6936).
    pub zero_checksum: bool,
    /// The outer IP header.
    pub outer: OuterRules,
}

/// How an outer IP header is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OuterRules {
    /// TTL or hop limit.
    pub ttl: u8,
    /// DSCP.
    pub dscp: esp::DscpRule,
    /// DF, over IPv4.
    pub df: esp::DfRule,
}

/// An IPsec tunnel.
#[derive(Clone, Debug, PartialEq)]
pub struct Ipsec {
    /// Tunnel or transport mode.
    pub mode: esp::Mode,
    /// What may pass; everything where there is none (RFC 4301 §4.4.1). Of a negotiated tunnel, what
    /// its children carry.
    pub selectors: Vec<Selector>,
    /// What brings packets into the tunnel.
    pub steering: Steering,
    /// Where its keys come from.
    pub keying: Keying,
    /// DSCP of the outer header.
    pub dscp: esp::DscpRule,
    /// DF of the outer header.
    pub df: esp::DfRule,
    /// When packets that are too large are cut.
    pub fragmentation: Fragmentation,
    /// Inner packets are padded to at least this many bytes (TFC, RFC 4303 §2.7).
    pub pad_to: Option<u16>,
    /// Dummy packets a second into a silent tunnel (RFC 4303 §2.6), 1000 at most; zero for none.
    pub tfc_dummies: u16,
    /// The NULL cipher is allowed.
    pub allow_null: bool,
    /// Whether an engine may have the outgoing SA: what goes out is then sealed in the pass that
    /// found its flow.
    pub egress_optimisation: bool,
}

/// Where the keys of an IPsec tunnel come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Keying {
    /// From the configuration.
    Manual(Box<Manual>),
    /// From IKEv2.
    Ike(Negotiated),
}

/// A pair of SAs keyed by hand.
#[derive(Clone, Debug, PartialEq)]
pub struct Manual {
    /// The outgoing SA.
    pub outbound: ManualSa,
    /// The incoming SA.
    pub inbound: ManualSa,
    /// UDP encapsulation (RFC 3948): our port and the far end's.
    pub encapsulation: Option<(u16, u16)>,
    /// How long nothing is sent in UDP before a keepalive is (RFC 3948 §2.3); none without.
    pub nat_keepalive: Option<Duration>,
    /// Extended sequence numbers (RFC 4303 §2.2.1).
    pub esn: bool,
    /// Anti-replay window in packets; zero for none.
    pub replay_window: u32,
    /// When to warn of an SA's age.
    pub soft: esp::Lifetime,
    /// When an SA ends.
    pub hard: esp::Lifetime,
}

/// An SA's identity and keys.
#[derive(Clone, Debug, PartialEq)]
pub struct ManualSa {
    /// Where it is configured.
    pub line: Line,
    /// Security parameters index, 256 at least (RFC 4303 §2.1).
    pub spi: u32,
    /// Algorithms.
    pub suite: esp::Suite,
    /// Key material; never shown.
    pub key: esp::KeyMaterial,
}

/// When a packet that is too large for the path of a tunnel is cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fragmentation {
    /// Before it is sealed: the far end opens packets, and whom they are for puts them together.
    #[default]
    Before,
    /// After it was sealed whole (RFC 4303 §3.3.4): the far end puts the ESP packet together.
    After,
}

/// `before` or `after`.
impl core::fmt::Display for Fragmentation {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(match self {
            Self::Before => "before",
            Self::After => "after",
        })
    }
}

/// What brings packets into an IPsec tunnel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Steering {
    /// Routes by the tunnel's interface.
    #[default]
    Routes,
    /// The selectors, before routes are asked; what they want protected is not taken in clear.
    Selectors,
}

/// A traffic selector, seen from our side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// Our side.
    pub local: IpNet,
    /// The far side.
    pub remote: IpNet,
    /// IP protocol; any where absent.
    pub proto: Option<u8>,
    /// Ports of our side.
    pub local_ports: RangeInclusive<u16>,
    /// Ports of the far side.
    pub remote_ports: RangeInclusive<u16>,
}

impl Ipsec {
    /// The pair of SAs keyed by hand.
    pub fn manual(&self) -> Option<&Manual> {
        match &self.keying {
            Keying::Manual(manual) => Some(manual),
            Keying::Ike(_) => None,
        }
    }

    /// What is negotiated.
    pub fn negotiated(&self) -> Option<&Negotiated> {
        match &self.keying {
            Keying::Manual(_) => None,
            Keying::Ike(negotiated) => Some(negotiated),
        }
    }
}

impl Selector {
    /// Whether a packet from our side to the far side matches.
    pub fn matches(&self, tuple: &Tuple) -> bool {
        self.local.contains(&tuple.src)
            && self.remote.contains(&tuple.dst)
            && self.proto.is_none_or(|proto| proto == tuple.proto)
            && self.local_ports.contains(&tuple.src_port)
            && self.remote_ports.contains(&tuple.dst_port)
    }

    /// Whether some packet matches both.
    pub fn overlaps(&self, other: &Self) -> bool {
        let nets = |a: &IpNet, b: &IpNet| a.contains(&b.network()) || b.contains(&a.network());
        let ports = |a: &RangeInclusive<u16>, b: &RangeInclusive<u16>| {
            a.start() <= b.end() && b.start() <= a.end()
        };
        nets(&self.local, &other.local)
            && nets(&self.remote, &other.remote)
            && (self.proto.is_none() || other.proto.is_none() || self.proto == other.proto)
            && ports(&self.local_ports, &other.local_ports)
            && ports(&self.remote_ports, &other.remote_ports)
    }
}

/// `10.1.0.0/16 -> 10.2.0.0/16`, with protocol and ports where they are limited.
impl core::fmt::Display for Selector {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let side = |f: &mut core::fmt::Formatter<'_>, net: &IpNet, ports: &RangeInclusive<u16>| {
            write!(f, "{net}")?;
            match (*ports.start(), *ports.end()) {
                (0, u16::MAX) => Ok(()),
                (first, last) if first == last => write!(f, ":{first}"),
                (first, last) => write!(f, ":{first}-{last}"),
            }
        };
        if let Some(proto) = self.proto {
            write!(f, "proto {proto} ")?;
        }
        side(f, &self.local, &self.local_ports)?;
        f.write_str(" -> ")?;
        side(f, &self.remote, &self.remote_ports)
    }
}
