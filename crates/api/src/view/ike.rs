//! IKE: peers, their SAs, what failed and what was said. Secrets are never part of a view.

use core::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{ContentCount, Name, TunnelView};

/// Peers, in the order of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct IkeView {
    /// Rows.
    pub peers: Vec<IkePeerView>,
    /// What failed with whoever is no configured peer, the latest first.
    pub strangers: Vec<IkeFailureView>,
    /// Datagrams that were not taken, by cause.
    pub ignored: Vec<ContentCount>,
}

/// What is being rekeyed; `show ike` and `show sa` tell when it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RekeyingView {
    /// `ike` or `tunnel`.
    pub what: Name,
    /// How many IKE SAs, or pairs of SAs, are to be replaced.
    pub count: u64,
}

/// A peer (`[[phase1]]`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct IkePeerView {
    /// Name.
    pub name: String,
    /// Line of the configuration.
    pub line: u32,
    /// Our end.
    pub local: Option<IpAddr>,
    /// The far end; absent where it may be anybody.
    pub remote: Option<IpAddr>,
    /// Who we say we are.
    pub local_id: String,
    /// Who the peer must prove to be.
    pub remote_id: String,
    /// How we prove it: `psk`, or our certificates with their times.
    pub auth: String,
    /// How the peer has to: `psk`, or the authorities.
    pub remote_auth: String,
    /// `load`, `traffic` or `wait`.
    pub start: Name,
    /// `up`, `negotiating`, `no-answer` (the peer is asked again and again), `down` (it failed; tried
    /// again) or `idle` (nobody has begun).
    pub state: Name,
    /// Since when, in milliseconds.
    pub since_ms: u64,
    /// When we try again, in milliseconds.
    pub retry_ms: Option<u64>,
    /// IKE SAs with it.
    pub sas: Vec<IkeSaView>,
    /// What failed last.
    pub failure: Option<IkeFailureView>,
    /// The latest messages, oldest first, payload by payload; only where they were asked for.
    pub messages: Vec<IkeMessageView>,
}

/// An IKE SA.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct IkeSaView {
    /// Number; no other ever has it.
    pub id: u64,
    /// Whether we began it.
    pub initiator: bool,
    /// Our SPI and the peer's, in hexadecimal.
    pub spis: (String, String),
    /// Who the peer proved to be.
    pub remote_id: String,
    /// How it proved that.
    pub authentication: String,
    /// Algorithms, as a proposal is written.
    pub algorithms: String,
    /// Whether a postquantum preshared key is mixed in.
    pub ppk: bool,
    /// `192.0.2.1:500 -> 198.51.100.7:500`.
    pub path: String,
    /// Where a NAT is: `none`, `local`, `remote` or `both`.
    pub nat: Name,
    /// Addresses that the initiator of the two was given.
    pub addresses: Vec<String>,
    /// DNS servers that it was told.
    pub dns: Vec<String>,
    /// Since it is up, in milliseconds.
    pub age_ms: u64,
    /// Pairs of SAs under it.
    pub children: Vec<IkeChildView>,
}

/// A pair of SAs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct IkeChildView {
    /// Tunnel.
    pub tunnel: String,
    /// Name in the tunnel.
    pub name: String,
    /// SPI of the incoming SA, `0x…`.
    pub spi_in: String,
    /// SPI of the outgoing SA, `0x…`.
    pub spi_out: String,
    /// Algorithms.
    pub suite: String,
    /// What it carries of our side.
    pub local: Vec<String>,
    /// What it carries of the far side.
    pub remote: Vec<String>,
    /// Whether packets go out by it; otherwise it only receives, until the peer lets go of it.
    pub sends: bool,
    /// Since it was made, in milliseconds.
    pub age_ms: u64,
}

/// Something that did not come about.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct IkeFailureView {
    /// In words.
    pub text: String,
    /// What to do about it.
    pub remedy: String,
    /// The path it was on.
    pub path: String,
    /// How long ago, in milliseconds.
    pub ago_ms: u64,
    /// What we have: proposals or selectors.
    pub ours: Vec<String>,
    /// What the peer has of it.
    pub theirs: Vec<String>,
    /// The first thing in which the two that come closest differ.
    pub mismatch: Option<String>,
}

/// A message of IKE.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct IkeMessageView {
    /// Its number among all of the gateway; later ones have higher numbers.
    pub number: u64,
    /// How long ago, in milliseconds.
    pub ago_ms: u64,
    /// The IKE SA of a message.
    pub ike: Option<u64>,
    /// `192.0.2.1:500 -> 198.51.100.7:500`.
    pub path: String,
    /// `sent`, `received`, or `failed`: nothing came of it.
    pub way: Name,
    /// `IKE_AUTH request 1`, or why it failed.
    pub message: String,
    /// Payloads in words, or the remedy.
    pub payloads: Vec<String>,
}

/// Why a tunnel is up or not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TunnelExplainedView {
    /// The tunnel.
    pub tunnel: TunnelView,
    /// How it stands, in a sentence.
    pub verdict: String,
    /// What to do about it; empty where nothing is to be done.
    pub remedy: String,
    /// The peer it is negotiated with; absent where it is keyed by hand.
    pub peer: Option<IkePeerView>,
    /// Packets that wait for an SA now.
    pub waiting: u64,
}
