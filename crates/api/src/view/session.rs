//! Sessions, and where each direction is served.

use core::{fmt, net::IpAddr};

use serde::{Deserialize, Serialize};

use crate::{Name, ReasonView};

/// What identifies one direction of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TupleView {
    /// Source.
    pub src: IpAddr,
    /// Destination.
    pub dst: IpAddr,
    /// Source port or ICMP identifier.
    pub src_port: u16,
    /// Destination port or ICMP identifier.
    pub dst_port: u16,
    /// IP protocol number.
    pub proto: u8,
}

/// Name of an IP protocol, or `proto-89`.
pub fn proto_name(proto: u8) -> Name {
    match proto {
        1 => "icmp".into(),
        6 => "tcp".into(),
        17 => "udp".into(),
        47 => "gre".into(),
        50 => "esp".into(),
        58 => "icmp6".into(),
        132 => "sctp".into(),
        other => format!("proto-{other}").into(),
    }
}

/// An address with a port, bracketed where IPv6 needs it; the port is left out where it is zero.
pub fn endpoint(address: IpAddr, port: u16) -> String {
    match (address, port) {
        (address, 0) => address.to_string(),
        (IpAddr::V4(ip), port) => format!("{ip}:{port}"),
        (IpAddr::V6(ip), port) => format!("[{ip}]:{port}"),
    }
}

impl TupleView {
    /// Source as text.
    pub fn source(&self) -> String {
        endpoint(self.src, if self.has_ports() { self.src_port } else { 0 })
    }

    /// Destination as text.
    pub fn destination(&self) -> String {
        endpoint(self.dst, if self.has_ports() { self.dst_port } else { 0 })
    }

    /// Whether the protocol has ports.
    pub const fn has_ports(&self) -> bool {
        matches!(self.proto, 6 | 17 | 132)
    }
}

/// `tcp 10.1.1.5:51000 -> 8.8.8.8:443`
impl fmt::Display for TupleView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} -> {}", proto_name(self.proto), self.source(), self.destination())?;
        if matches!(self.proto, 1 | 58) {
            write!(f, " id {}", self.src_port | self.dst_port)?;
        }
        Ok(())
    }
}

/// Which direction of a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DirectionView {
    /// From the one who opened it.
    #[default]
    Original,
    /// Back to the one who opened it.
    Reply,
}

impl DirectionView {
    /// `original` or `reply`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Original => "original",
            Self::Reply => "reply",
        }
    }
}

/// Packets and bytes of IP packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Packets; a super-packet counts as the packets it stands for.
    pub packets: u64,
    /// Bytes, IP header included.
    pub bytes: u64,
}

impl core::ops::Add for Traffic {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            packets: self.packets.saturating_add(other.packets),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }
}

/// Traffic by the tier that served it. The total is the sum: no packet is in two tiers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TierTraffic {
    /// By an engine.
    pub fast: Traffic,
    /// By the slow path, session found.
    pub slow_established: Traffic,
    /// By the slow path, session made.
    pub slow_setup: Traffic,
}

impl TierTraffic {
    /// All tiers together.
    pub fn total(&self) -> Traffic {
        self.fast + self.slow_established + self.slow_setup
    }
}

/// A rule or object of the configuration that decided something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleRef {
    /// What it is: `policy`, `local-in`, `local-out`, `vip`, `pool`, `central-snat`, `route`,
    /// `interface`, `implicit`.
    pub kind: Name,
    /// Its number, where it has one.
    pub id: Option<u32>,
    /// Its name.
    pub name: String,
    /// Line of the configuration; 0 when not written.
    pub line: u32,
}

/// A translation in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TranslationView {
    /// The address put in place.
    pub address: IpAddr,
    /// The port put in place; 0 where ports are not translated.
    pub port: u16,
    /// What asked for it.
    pub rule: RuleRef,
}

/// One page of sessions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SessionsView {
    /// Sessions that match.
    pub sessions: Vec<SessionView>,
    /// Sessions in the table, whether they match or not.
    pub total: u64,
    /// Sessions looked at for this page.
    pub scanned: u64,
    /// Cursor of the next page; absent at the end.
    pub next: Option<u64>,
}

/// One session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionView {
    /// Id; not used again while the gateway runs.
    pub id: u64,
    /// Virtual router.
    pub vr: String,
    /// As the opener sends it, before translation.
    pub original: TupleView,
    /// As the answer comes in, before it is translated back.
    pub reply: TupleView,
    /// State word: `syn-sent`, `established`, `one-way`, …
    pub state: Name,
    /// The user behind the opener's address.
    #[serde(default)]
    pub user: Option<String>,
    /// Groups of that user.
    #[serde(default)]
    pub groups: Vec<String>,
    /// What allowed it.
    pub policy: RuleRef,
    /// Source translation.
    pub snat: Option<TranslationView>,
    /// Destination translation.
    pub dnat: Option<TranslationView>,
    /// Interface the original direction comes in by; empty for sessions of the gateway itself.
    pub ingress: String,
    /// Interface the original direction leaves by; empty for sessions to the gateway itself.
    pub egress: String,
    /// Zone of `ingress`.
    pub from_zone: String,
    /// Zone of `egress`.
    pub to_zone: String,
    /// Next hop of the original direction.
    pub next_hop: Option<IpAddr>,
    /// Next hop of the reply direction.
    pub reply_next_hop: Option<IpAddr>,
    /// Since it was made.
    pub age_ms: u64,
    /// Since its last packet, whatever tier served it.
    pub idle_ms: u64,
    /// Until it ends if no packet comes.
    pub expires_ms: u64,
    /// The timeout its state has.
    pub timeout_ms: u64,
    /// Traffic of the original direction.
    pub original_traffic: TierTraffic,
    /// Traffic of the reply direction.
    pub reply_traffic: TierTraffic,
    /// MTU of the original direction in bytes, path MTU considered.
    pub mtu: u16,
    /// MSS clamp in force in bytes.
    pub mss_clamp: Option<u16>,
    /// One word for both directions together.
    pub offload: OffloadWord,
    /// What stands against a faster tier, both directions together, not-eligible and refusals.
    pub offload_reasons: Vec<Name>,
    /// Both directions on every engine; empty unless asked for.
    #[serde(default)]
    pub placements: Vec<PlacementView>,
}

/// Where a session is, in one word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OffloadWord {
    /// No direction is on an engine.
    #[default]
    None,
    /// One direction is.
    Partial,
    /// Both are.
    Full,
}

impl OffloadWord {
    /// The word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Partial => "partial",
            Self::Full => "full",
        }
    }
}

/// One direction of a session on one engine: three separate facts, and what stands in the way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlacementView {
    /// Direction.
    pub direction: DirectionView,
    /// Engine.
    pub engine: Name,
    /// The furthest of the three facts that holds, or what stopped it.
    pub status: PlacementStatus,
    /// Nothing stands against it.
    pub eligible: FactView,
    /// The engine has the program.
    pub installed: FactView,
    /// The engine's own counters rose since the program was installed.
    pub hitting: FactView,
    /// Number of the session's packet (both directions, from 1) that led to the installation.
    pub installed_by_packet: Option<u64>,
    /// What the engine counted since the program was installed.
    pub traffic: Traffic,
    /// Since the last packet the engine served; absent before the first.
    pub last_hit_ms: Option<u64>,
    /// What stands against it; empty when eligible.
    pub against: Vec<FindingView>,
    /// The engine's last refusal, if it stands.
    pub refusal: Option<RefusalView>,
    /// The last demotion.
    pub demotion: Option<DemotionView>,
}

/// How far a direction got on an engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlacementStatus {
    /// Something stands against it.
    #[default]
    NotEligible,
    /// Nothing stands against it, and it was not offered yet.
    Eligible,
    /// The engine did not take it.
    Refused,
    /// The engine has it; no packet has met it yet.
    Installed,
    /// The engine serves packets with it.
    Hitting,
}

impl PlacementStatus {
    /// The status as words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotEligible => "not-eligible",
            Self::Eligible => "eligible",
            Self::Refused => "refused",
            Self::Installed => "installed",
            Self::Hitting => "hitting",
        }
    }
}

/// Whether something holds, and since when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FactView {
    /// Whether it holds.
    pub holds: bool,
    /// How long it has held, or not held; absent when not known.
    pub for_ms: Option<u64>,
}

/// A reason that stands against something, with who found it and on what evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FindingView {
    /// The reason.
    pub reason: ReasonView,
    /// Who found it: `config`, `policy`, `core`, `engine` or `kernel`.
    pub layer: Name,
    /// `nexthop=10.1.1.5 state=incomplete`; empty when the reason says all.
    pub evidence: String,
}

/// A refusal that stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RefusalView {
    /// The reason.
    pub reason: ReasonView,
    /// `used=1024 limit=1024`
    pub evidence: String,
    /// The engine's own words, verbatim, where it has any.
    pub engine_words: Option<String>,
    /// When it is tried again: `next-packet`, `when-room`, `not-before`, `never`.
    pub retry: Name,
    /// Until the next try, where a time is known.
    pub retry_in_ms: Option<u64>,
    /// How long ago it was refused.
    pub ago_ms: u64,
    /// How often in a row.
    pub times: u32,
}

/// A demotion that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DemotionView {
    /// The reason.
    pub reason: ReasonView,
    /// What changed: `epoch 41 -> 42`; empty when the reason says all.
    pub evidence: String,
    /// How long ago.
    pub ago_ms: u64,
}

/// Sessions counted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SessionSummaryView {
    /// Sessions now.
    pub sessions: u64,
    /// How many fit.
    pub capacity: u64,
    /// TCP handshakes not complete.
    pub half_open: u64,
    /// How many may be.
    pub half_open_limit: u64,
    /// Sessions made since start.
    pub created: u64,
    /// Sessions ended since start.
    pub ended: u64,
    /// Sessions made in the last whole second.
    pub setup_per_second: u64,
    /// How long ago the following were counted: 0 for a small table, else at the last audit
    /// (`offload.audit-interval`); absent before the first.
    pub counted_ms: Option<u64>,
    /// Sessions by protocol and state.
    pub by_state: Vec<StateCount>,
    /// Sessions with no direction on an engine.
    pub not_offloaded: u64,
    /// Sessions with one direction on an engine.
    pub partly_offloaded: u64,
    /// Sessions with both directions on an engine.
    pub offloaded: u64,
    /// Directions that are installed.
    pub installed_flows: u64,
    /// Directions that are hitting.
    pub hitting_flows: u64,
}

/// Sessions of one protocol in one state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateCount {
    /// Protocol.
    pub proto: Name,
    /// State.
    pub state: Name,
    /// Sessions.
    pub sessions: u64,
}
