//! What an endpoint is configured with.

use std::{net::IpAddr, sync::Arc, time::Duration};

use crate::{
    auth::{Credential, Identity, IdentityPattern, PresharedKey, RsaPadding, Trust},
    crypto::Ppk,
    message::TrafficSelector,
    proposal::{EspOffer, IkeOffer},
};

/// What holds for all peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// UDP port of IKE: 500.
    pub port: u16,
    /// UDP port of IKE behind a NAT: 4500. On this port, messages have the non-ESP marker.
    pub nat_port: u16,
    /// How long the first answer is waited for; every further wait is twice as long
    /// (RFC 7296 §2.4).
    pub retransmit_after: Duration,
    /// How long a peer that began an IKE SA may take until it is authenticated.
    pub half_open_for: Duration,
    /// IKE SAs that peers began and that are not authenticated: with so many, a peer has to show
    /// first that it receives what is sent to its address (RFC 7296 §2.6).
    pub cookie_threshold: usize,
    /// The most of them there can be; more are not looked at.
    pub half_open_limit: usize,
    /// The most of them from one address.
    pub half_open_per_address: usize,
    /// The longest datagram of IKE in bytes, IP and UDP headers included, once both ends can fragment
    /// (RFC 7383 §2.5.1). 576 to 9000.
    pub fragment_size: u16,
    /// Unix time in seconds at [`Time::ZERO`](wire::Time::ZERO), for the validity of certificates.
    pub unix_time_at_zero: u64,
    /// Whether every message is told as an event.
    pub trace: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            port: 500,
            nat_port: esp::nat_t::PORT,
            retransmit_after: Duration::from_secs(2),
            half_open_for: Duration::from_secs(30),
            cookie_threshold: 32,
            half_open_limit: 4096,
            half_open_per_address: 64,
            fragment_size: 1280,
            unix_time_at_zero: 0,
            trace: false,
        }
    }
}

/// One peer, or one kind of peers.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Its name.
    pub name: Arc<str>,
    /// Our address; `None` takes any.
    pub local: Option<IpAddr>,
    /// The peer's address; `None` takes any, and then only the peer can begin.
    pub remote: Option<IpAddr>,
    /// Algorithms of IKE, preferred first; at least one.
    pub offers: Vec<IkeOffer>,
    /// Who we are.
    pub local_identity: Identity,
    /// Who the peer may be; it has to prove it in any case.
    pub remote_identity: IdentityPattern,
    /// How we prove it.
    pub local_auth: LocalAuth,
    /// How the peer has to prove it.
    pub remote_auth: RemoteAuth,
    /// A postquantum preshared key (RFC 8784).
    pub ppk: Option<PpkSettings>,
    /// Its children; the first one is made with the IKE SA.
    pub children: Vec<ChildSettings>,
    /// After this time without a sign of life the peer is asked for one (RFC 7296 §2.4).
    pub dpd_after: Option<Duration>,
    /// When the IKE SA is replaced; up to a tenth earlier, so that two ends do not do it at once.
    pub rekey_after: Option<Duration>,
    /// When the IKE SA ends, if it was not replaced.
    pub lifetime: Option<Duration>,
    /// How often a request is sent before the peer counts as dead; at least once.
    pub transmissions: u32,
    /// Whether UDP encapsulation is used without a NAT too.
    pub force_encapsulation: bool,
    /// Behind a NAT, a keepalive is sent after this time without a datagram (RFC 3948 §2.3).
    pub keepalive_after: Option<Duration>,
    /// Whether messages may be fragmented (RFC 7383).
    pub fragmentation: bool,
    /// Whether we ask the peer for an address, of which versions (RFC 7296 §2.19).
    pub request_addresses: RequestAddresses,
    /// Whether peers that ask are given addresses, at most one of each version. The owner of the
    /// endpoint has them: see [`Event::AddressesWanted`](crate::Event::AddressesWanted).
    pub gives_addresses: bool,
    /// DNS servers to tell peers that are given an address.
    pub dns: Vec<IpAddr>,
}

/// How we prove our identity.
#[derive(Clone, Debug)]
pub enum LocalAuth {
    /// With a preshared key.
    Psk(PresharedKey),
    /// With a certificate.
    Certificate {
        /// Ours, each with its key: the first that leads to an authority the peer names, else the first
        /// of all (RFC 7296 §3.7).
        credentials: Vec<Credential>,
        /// Padding, should the key be one of RSA.
        padding: RsaPadding,
    },
}

/// How a peer has to prove its identity.
#[derive(Clone, Debug)]
pub enum RemoteAuth {
    /// With a preshared key.
    Psk(PresharedKey),
    /// With a certificate that leads to one of these authorities.
    Certificate(Arc<Trust>),
}

/// Addresses to be asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestAddresses {
    /// An IPv4 address.
    pub v4: bool,
    /// An IPv6 address.
    pub v6: bool,
}

/// A postquantum preshared key and what it is called (RFC 8784).
#[derive(Clone, Debug)]
pub struct PpkSettings {
    /// Its name, the same at both ends.
    pub id: Vec<u8>,
    /// The key.
    pub key: Ppk,
    /// Whether a peer without it is refused.
    pub required: bool,
}

/// One kind of children.
#[derive(Clone, Debug)]
pub struct ChildSettings {
    /// Its name.
    pub name: Arc<str>,
    /// Algorithms of ESP, preferred first; at least one.
    pub offers: Vec<EspOffer>,
    /// What our side of packets may be.
    pub local: Vec<Side>,
    /// What the peer's side may be.
    pub remote: Vec<Side>,
    /// Tunnel or transport.
    pub mode: esp::Mode,
    /// When it is replaced; up to a tenth earlier, so that two ends do not do it at once.
    pub rekey_after: Option<Duration>,
    /// When it ends, if it was not replaced.
    pub lifetime: Option<Duration>,
}

/// One selector of a side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// This.
    Fixed(TrafficSelector),
    /// The side's own addresses: those given by configuration payloads, or else the one it has on the
    /// path.
    Own,
    /// What of the side's own addresses is in this.
    OwnWithin(TrafficSelector),
}

impl Connection {
    /// The child of this name.
    pub fn child(&self, name: &str) -> Option<&ChildSettings> {
        self.children.iter().find(|child| &*child.name == name)
    }
}

/// The selectors of a side, which has `addresses`.
pub(crate) fn selectors(side: &[Side], addresses: &[IpAddr]) -> Vec<TrafficSelector> {
    let own = || addresses.iter().map(|address| TrafficSelector::host(*address));
    side.iter()
        .flat_map(|side| match side {
            Side::Fixed(selector) => vec![*selector],
            Side::Own => own().collect(),
            Side::OwnWithin(bound) => own().filter_map(|own| own.intersect(bound)).collect(),
        })
        .collect()
}
