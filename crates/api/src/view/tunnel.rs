//! Tunnels and their SAs.

use core::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{DemotionView, FindingView, Name, PlacementStatus, ReasonCount, RefusalView, Traffic};

/// Tunnels, by name as configured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TunnelsView {
    /// Rows.
    pub tunnels: Vec<TunnelView>,
    /// Tunnels in all.
    pub total: u64,
    /// Where the next page begins; absent at the end.
    pub next: Option<u64>,
}

/// A tunnel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TunnelView {
    /// Name.
    pub name: String,
    /// Line of the configuration.
    pub line: u32,
    /// `ipsec`, `gre` or `vxlan`.
    pub kind: Name,
    /// `up`, `no-sa`, `no-route` (to the far end) or `disabled`; of a negotiated one also `partial`
    /// (some of its pairs of SAs are missing), `negotiating`, `no-answer` (the peer is asked again and
    /// again), `down` (it failed) and `idle`.
    pub state: Name,
    /// Since when its SAs are there, in milliseconds; of a negotiated one without any, since when its
    /// peer stands where it does.
    pub since_ms: Option<u64>,
    /// The IKE peer that negotiates its keys; absent where it is keyed by hand.
    pub peer: Option<String>,
    /// What the peer does not answer, or what failed last with it while the tunnel is not up.
    pub failure: Option<String>,
    /// Its interface.
    pub interface: String,
    /// Zone of that interface.
    pub zone: String,
    /// Virtual router that carries the wrapped packets.
    pub vr: String,
    /// Our end.
    pub local: IpAddr,
    /// The far end; absent while nobody has come from anywhere.
    pub remote: Option<IpAddr>,
    /// The way to the far end: `wan via 203.0.113.1`; empty when there is none.
    pub underlay: String,
    /// `tunnel` or `transport`; empty unless it is IPsec.
    pub mode: Name,
    /// GRE key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<u32>,
    /// VXLAN network identifier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vni: Option<u32>,
    /// Bytes that wrapping adds; absent for IPsec, whose SAs tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overhead: Option<u16>,
    /// MAC address of its interface, of VXLAN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// UDP ports of ESP's encapsulation or of VXLAN, ours and the far end's.
    pub udp: Option<(u16, u16)>,
    /// `routes` or `selectors`.
    pub steering: Name,
    /// What may pass; empty for everything.
    pub selectors: Vec<String>,
    /// Largest packet that enters it in one piece, in bytes.
    pub mtu: u16,
    /// MTU of the path to the far end, in bytes: of the interface below, or what an ICMP error told.
    pub path_mtu: Option<u16>,
    /// `full`, `partial` or `none`: which of its SAs the engine has.
    pub offload: Name,
    /// Packets that went in.
    pub sent: Traffic,
    /// Packets that came out.
    pub received: Traffic,
    /// Packets that it dropped.
    pub errors: u64,
}

/// SAs, in the order of their tunnels; the outgoing one first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SasView {
    /// Rows.
    pub sas: Vec<SaView>,
    /// SAs in all.
    pub total: u64,
    /// Where the next page begins; absent at the end.
    pub next: Option<u64>,
}

/// One SA. Its keys are never part of a view.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SaView {
    /// Tunnel.
    pub tunnel: String,
    /// Line of the configuration.
    pub line: u32,
    /// `out` or `in`.
    pub direction: Name,
    /// Security parameters index, `0x00001001`.
    pub spi: String,
    /// Algorithms: `aes256gcm16`.
    pub suite: String,
    /// Bits of the cipher's key; 0 for NULL.
    pub key_bits: u32,
    /// Bytes of the integrity check value.
    pub icv_bytes: u32,
    /// `tunnel` or `transport`.
    pub mode: Name,
    /// Outer source.
    pub source: IpAddr,
    /// Outer destination.
    pub destination: IpAddr,
    /// UDP ports of encapsulation, source and destination.
    pub udp: Option<(u16, u16)>,
    /// Extended sequence numbers.
    pub esn: bool,
    /// Last sequence number sent, or highest received.
    pub sequence: u64,
    /// Last number there is; absent for an incoming SA.
    pub sequence_limit: Option<u64>,
    /// Anti-replay window, of an incoming SA.
    pub replay: Option<ReplayView>,
    /// Bytes that sealing adds, least and most; absent for an incoming SA.
    pub overhead: Option<(u32, u32)>,
    /// Whether an engine may have it, so that packets are sealed in the pass that found their flow;
    /// absent for an incoming SA.
    pub egress_optimisation: Option<bool>,
    /// Sizes, of an outgoing SA.
    pub sizes: Option<SizesView>,
    /// ESP packets that came in fragments; absent for an outgoing SA.
    pub reassembled: Option<u64>,
    /// Since it was made.
    pub age_ms: u64,
    /// `live`, `soft` (grown old) or `hard` (ended).
    pub expiry: Name,
    /// The bound that was reached: `packets`, `bytes`, `seconds`, `sequence`.
    pub limit: Option<Name>,
    /// What is left until a replacement is due.
    pub soft_left: LifetimeView,
    /// What is left until the end.
    pub hard_left: LifetimeView,
    /// What the slow path did.
    pub slow: Traffic,
    /// What the engine did.
    pub fast: Traffic,
    /// Dummy packets, which carry nothing and are not counted otherwise (RFC 4303 §2.6).
    pub dummies: u64,
    /// NAT keepalives sent (RFC 3948 §2.3); absent for an incoming SA.
    pub keepalives: Option<u64>,
    /// Packets dropped, by reason, whichever tier did.
    pub errors: Vec<ReasonCount>,
    /// Engine it may be on.
    pub engine: Name,
    /// How far it got there.
    pub status: PlacementStatus,
    /// For how long.
    pub status_ms: u64,
    /// What stands against it; empty when eligible.
    pub against: Vec<FindingView>,
    /// The engine's last refusal, if it stands.
    pub refusal: Option<RefusalView>,
    /// The last demotion.
    pub demotion: Option<DemotionView>,
}

/// What an outgoing SA does with packets too large for its path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SizesView {
    /// MTU of the path to the far end, in bytes; absent without a way there.
    pub path_mtu: Option<u16>,
    /// Whether an ICMP error told it.
    pub learnt: bool,
    /// Largest packet that enters in one piece, in bytes.
    pub mtu: u16,
    /// DF of the outer IPv4 header: `copy`, `set` or `clear`.
    pub df: Name,
    /// `before` or `after` sealing.
    pub fragmentation: Name,
    /// Packets cut before they were sealed.
    pub cut_before: u64,
    /// Into how many.
    pub fragments_before: u64,
    /// ESP packets cut.
    pub cut_after: u64,
    /// Into how many.
    pub fragments_after: u64,
    /// ICMP "too big" sent to those who sent packets into the tunnel.
    pub too_big_sent: u64,
    /// ICMP "too big" about its packets that were believed.
    pub too_big_believed: u64,
    /// Such that were not, since they quote nothing it has sent lately.
    pub too_big_doubted: u64,
}

/// What is left of a lifetime; what has no bound is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LifetimeView {
    /// Packets.
    pub packets: Option<u64>,
    /// Kilobytes of 1000 bytes.
    pub kilobytes: Option<u64>,
    /// Seconds.
    pub seconds: Option<u64>,
}

/// An anti-replay window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayView {
    /// Packets it spans; 0 when off.
    pub window: u32,
    /// Highest number accepted.
    pub top: u64,
    /// 32 numbers a word, hexadecimal; bit 0 of the first word is `top`.
    pub bitmap: Vec<String>,
}
