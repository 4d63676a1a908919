//! IKEv2: peers, who they are, and the algorithms that may be negotiated.

use core::{fmt, net::IpAddr, time::Duration};
use std::{path::PathBuf, sync::Arc};

use ike::{
    RequestAddresses,
    auth::{Credential, Identity, IdentityPattern, RsaPadding, Trust, utc},
    crypto::Secret,
    proposal::{EspOffer, IkeOffer},
};
use wire::Tuple;

use super::{AddressPoolId, Line, VrId};

/// Index of a peer in [`Config::peers`](super::Config::peers).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub u16);

/// A peer that negotiates keys with us (`[[phase1]]`).
#[derive(Clone, Debug, PartialEq)]
pub struct Peer {
    /// Name.
    pub name: String,
    /// Where it is configured.
    pub line: Line,
    /// Our end.
    pub local: IpAddr,
    /// The far end; absent where it may be anybody, and we only answer.
    pub remote: Option<IpAddr>,
    /// The virtual router that carries IKE and ESP.
    pub vr: VrId,
    /// Who we say we are.
    pub local_id: Identity,
    /// Who the peer must prove to be.
    pub remote_id: IdentityPattern,
    /// Algorithms of IKE itself, the best first; never empty.
    pub proposals: Vec<Proposal<IkeOffer>>,
    /// How we prove who we are.
    pub auth: LocalAuth,
    /// How the peer has to.
    pub remote_auth: RemoteAuth,
    /// A postquantum pre-shared key (RFC 8784).
    pub ppk: Option<Ppk>,
    /// Addresses that we ask the peer for.
    pub request_addresses: RequestAddresses,
    /// What the peer is given addresses of, if it asks.
    pub address_pool: Option<AddressPoolId>,
    /// When the keys of IKE itself are made anew.
    pub rekey: Duration,
    /// After how long without a packet the peer is asked whether it lives; zero for never.
    pub dpd: Duration,
    /// What becomes of the tunnels of a dead peer.
    pub dpd_action: DpdAction,
    /// How often a message is sent without an answer before the peer counts as dead.
    pub tries: u32,
    /// When we begin to negotiate.
    pub start: Start,
    /// IKE messages may be cut below IP.
    pub fragmentation: bool,
    /// ESP goes in UDP without a NAT too.
    pub force_encapsulation: bool,
    /// Behind a NAT, a keepalive is sent after this time without an IKE message; zero for never.
    pub nat_keepalive: Duration,
}

/// A postquantum pre-shared key (RFC 8784).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ppk {
    /// Its name, the same at both ends.
    pub id: String,
    /// The key; never shown.
    pub key: Secret,
    /// Whether a peer that does not have it is refused.
    pub required: bool,
}

/// How we prove who we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LocalAuth {
    /// With a pre-shared key; never shown.
    Psk(Secret),
    /// With a certificate: the first that leads to an authority the peer names, else the first of all.
    Certificate {
        /// Ours; never empty.
        own: Vec<OwnCertificate>,
        /// How signatures of RSA keys are padded.
        padding: RsaPadding,
    },
}

/// A certificate of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnCertificate {
    /// File of it, and of those that lead to its authority.
    pub file: PathBuf,
    /// File of its private key.
    pub key_file: PathBuf,
    /// What is in the two; never shown but for its names and times.
    pub credential: Credential,
}

/// How a peer has to prove who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RemoteAuth {
    /// With a pre-shared key; never shown.
    Psk(Secret),
    /// With a certificate that leads to one of these authorities, and is not revoked.
    Certificate {
        /// Files of authorities.
        ca: Vec<PathBuf>,
        /// Files of lists of revoked certificates.
        crl: Vec<PathBuf>,
        /// What is in all of them.
        trust: Arc<Trust>,
    },
}

/// What becomes of the tunnels of a dead peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DpdAction {
    /// They are negotiated again.
    Restart,
    /// They wait for traffic or for the peer.
    Clear,
}

/// When we begin to negotiate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// As soon as the configuration is in force.
    Load,
    /// With the first packet for a tunnel.
    Traffic,
    /// Never: the peer begins.
    Wait,
}

/// Algorithms that go together, in the order we prefer them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal<T> {
    /// As it is written: `aes256gcm16-prfsha384-x25519`.
    pub text: String,
    /// As IKE takes it.
    pub offer: T,
}

/// What of a tunnel is negotiated (`phase1` and `[[ipsec.phase2]]`).
#[derive(Clone, Debug, PartialEq)]
pub struct Negotiated {
    /// With whom.
    pub peer: PeerId,
    /// The pairs of SAs; never empty, names differ.
    pub children: Vec<ChildSpec>,
}

/// A pair of SAs to be negotiated.
#[derive(Clone, Debug, PartialEq)]
pub struct ChildSpec {
    /// Name, unique in its tunnel.
    pub name: String,
    /// Where it is configured.
    pub line: Line,
    /// What it carries; everything where there is none.
    pub selectors: Vec<super::Selector>,
    /// Algorithms, the best first; never empty.
    pub proposals: Vec<Proposal<EspOffer>>,
    /// Tunnel or transport mode.
    pub mode: esp::Mode,
    /// Anti-replay window in packets; zero for none.
    pub replay_window: u32,
    /// When it is rekeyed.
    pub soft: esp::Lifetime,
    /// When it ends.
    pub hard: esp::Lifetime,
}

impl ChildSpec {
    /// Whether it is to carry a packet from our side to the far side.
    pub fn wants(&self, tuple: &Tuple) -> bool {
        self.selectors.is_empty() || self.selectors.iter().any(|s| s.matches(tuple))
    }
}

impl fmt::Display for DpdAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Restart => "restart",
            Self::Clear => "clear",
        })
    }
}

/// `psk`, or `certificate CN=gw, serial 0a, until 2027-01-01T00:00:00Z`.
impl fmt::Display for LocalAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Certificate { own, .. } = self else { return f.write_str("psk") };
        for (i, own) in own.iter().enumerate() {
            let certificate = own.credential.certificate();
            let (serial, until) = (certificate.serial(), utc(&certificate.not_after()));
            let before = if i == 0 { "certificate" } else { " or" };
            write!(f, "{before} {}, serial {serial}, until {until}", certificate.name())?;
        }
        Ok(())
    }
}

/// `psk`, or `certificate by CN=Example CA`.
impl fmt::Display for RemoteAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Certificate { trust, .. } = self else { return f.write_str("psk") };
        for (i, authority) in trust.authorities().enumerate() {
            let before = if i == 0 { "certificate by" } else { " or" };
            write!(f, "{before} {}", authority.name())?;
        }
        Ok(())
    }
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Load => "load",
            Self::Traffic => "traffic",
            Self::Wait => "wait",
        })
    }
}

impl<T> fmt::Display for Proposal<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
