//! What an endpoint tells its owner.

use std::{borrow::Cow, fmt, net::SocketAddr, sync::Arc};

use crate::{
    JobId, RequestAddresses,
    crypto::ExchangeError,
    message::{ExchangeType, Proposal, TrafficSelector, notify_name},
    proposal::NoProposal,
};

/// Names an IKE SA; never used twice by one endpoint. Rekeying makes another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IkeId(pub(crate) u64);

/// Names a child; never used twice by one endpoint. Rekeying makes another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChildId(pub(crate) u64);

impl IkeId {
    /// As a number, for views.
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl ChildId {
    /// As a number, for views.
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// The addresses and ports of a conversation, as we see them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path {
    /// Our address and port.
    pub local: SocketAddr,
    /// The peer's, or its NAT's.
    pub remote: SocketAddr,
}

/// `192.0.2.1:500 -> 198.51.100.1:500`.
impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}", self.local, self.remote)
    }
}

/// A child: the two ESP SAs of it, ready to be made.
#[derive(Clone, Debug)]
pub struct ChildSa {
    /// Which one.
    pub id: ChildId,
    /// The IKE SA it was made under.
    pub ike: IkeId,
    /// Name of the connection.
    pub connection: Arc<str>,
    /// Name of the child in its connection.
    pub name: Arc<str>,
    /// The child that it replaces.
    pub replaces: Option<ChildId>,
    /// SPI of what we receive.
    pub inbound_spi: u32,
    /// SPI of what we send.
    pub outbound_spi: u32,
    /// Algorithms of both directions.
    pub suite: esp::Suite,
    /// Keys of what we receive.
    pub inbound_key: esp::KeyMaterial,
    /// Keys of what we send.
    pub outbound_key: esp::KeyMaterial,
    /// Extended sequence numbers.
    pub esn: bool,
    /// Tunnel or transport.
    pub mode: esp::Mode,
    /// What our side of packets may be.
    pub local: Vec<TrafficSelector>,
    /// What the peer's side may be.
    pub remote: Vec<TrafficSelector>,
    /// The path to the peer.
    pub path: Path,
    /// UDP encapsulation, when there is a NAT on the path.
    pub encapsulation: Option<esp::UdpEncapsulation>,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// An IKE SA is authenticated.
    IkeUp(Box<IkeUp>),
    /// An IKE SA replaces another; its children are the new one's.
    IkeRekeyed {
        /// The one that was.
        old: IkeId,
        /// The one that is.
        new: IkeId,
    },
    /// An IKE SA is gone, and its children with it; each of them has its own event before.
    IkeDown {
        /// Which one.
        ike: IkeId,
        /// Name of its connection.
        connection: Arc<str>,
        /// Why.
        reason: DownReason,
    },
    /// A child is agreed on. Its inbound SA must be there before the next datagram is sent, because
    /// the peer may use it from then on; its outbound SA must not be used yet.
    ChildInboundReady(Box<ChildSa>),
    /// The outbound SA of a child may be used.
    ChildUp {
        /// Which one.
        child: ChildId,
    },
    /// The outbound SA of `new` takes over; the inbound one of `old` stays until [`Event::ChildGone`].
    ChildRekeyed {
        /// The one that was.
        old: ChildId,
        /// The one that is.
        new: ChildId,
    },
    /// A child is gone, in both directions.
    ChildGone {
        /// Which one.
        child: ChildId,
        /// Why.
        reason: DownReason,
    },
    /// A request of ours was sent again and again, and is not answered yet. Told with each
    /// transmission from the third on; it goes on until there is an answer or all tries are used up.
    Unanswered {
        /// The IKE SA.
        ike: IkeId,
        /// Name of its connection.
        connection: Arc<str>,
        /// The path.
        path: Path,
        /// The exchange.
        exchange: ExchangeType,
        /// How often it was sent.
        tries: u32,
    },
    /// What [`Event::Unanswered`] told of has been answered.
    Answered {
        /// The IKE SA.
        ike: IkeId,
        /// Name of its connection.
        connection: Arc<str>,
    },
    /// The peer, which is behind a NAT, has another address or port.
    PathChanged {
        /// The IKE SA whose children it is about.
        ike: IkeId,
        /// The path now.
        path: Path,
    },
    /// A peer that has proved who it is asks for addresses. Its answer waits for
    /// [`Endpoint::give_addresses`](crate::Endpoint::give_addresses); they are the peer's until
    /// [`Event::IkeDown`], and stay so when the IKE SA is rekeyed.
    AddressesWanted(Box<AddressesWanted>),
    /// Something was asked for, by us or by the peer, and did not come about.
    Failed {
        /// The IKE SA, if there is one.
        ike: Option<IkeId>,
        /// Name of the connection, as far as it is known.
        connection: Option<Arc<str>>,
        /// The path.
        path: Path,
        /// Why.
        failure: Failure,
    },
    /// A message was sent or received; only when traces are asked for.
    Message(Box<MessageRecord>),
}

/// Addresses that a peer asks for (RFC 7296 §2.19).
#[derive(Clone, Debug)]
pub struct AddressesWanted {
    /// What to answer.
    pub question: JobId,
    /// The IKE SA.
    pub ike: IkeId,
    /// Name of the connection.
    pub connection: Arc<str>,
    /// Who the peer has proved to be.
    pub identity: String,
    /// Of which versions.
    pub versions: RequestAddresses,
    /// The peer says that it knows of no other IKE SA with us (INITIAL_CONTACT).
    pub initial_contact: bool,
}

/// An IKE SA that is authenticated.
#[derive(Clone, Debug)]
pub struct IkeUp {
    /// Which one.
    pub ike: IkeId,
    /// Name of the connection.
    pub connection: Arc<str>,
    /// Whether we began it.
    pub initiator: bool,
    /// Our SPI and the peer's.
    pub spis: [u64; 2],
    /// The peer's identity.
    pub remote_identity: Arc<str>,
    /// How the peer proved it.
    pub remote_authentication: Cow<'static, str>,
    /// Algorithms, as an offer is written.
    pub algorithms: Arc<str>,
    /// Whether a postquantum preshared key is mixed in (RFC 8784).
    pub ppk: bool,
    /// The path.
    pub path: Path,
    /// Whether a NAT changes our address.
    pub local_nat: bool,
    /// Whether a NAT changes the peer's address.
    pub remote_nat: bool,
    /// Addresses the peer gave us, or we gave the peer.
    pub addresses: Vec<std::net::IpAddr>,
    /// DNS servers the peer gave us.
    pub dns: Vec<std::net::IpAddr>,
}

/// Why an SA is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DownReason {
    /// We were told to delete it.
    Deleted,
    /// The peer deleted it.
    PeerDeleted,
    /// The peer does not answer.
    PeerDead,
    /// It was replaced.
    Replaced,
    /// The peer began anew and says that it knows nothing of this one.
    InitialContact,
    /// Its time is up.
    Expired,
    /// Its IKE SA is gone.
    IkeDown,
    /// Both ends made one at the same time; the other one stays.
    Redundant,
    /// The peer sent something that breaks the protocol.
    Protocol(String),
    /// Its connection is no longer configured, or not like this.
    Unconfigured,
}

impl fmt::Display for DownReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deleted => f.write_str("deleted here"),
            Self::PeerDeleted => f.write_str("deleted by the peer"),
            Self::PeerDead => f.write_str("the peer does not answer"),
            Self::Replaced => f.write_str("replaced by a new one"),
            Self::InitialContact => f.write_str("the peer began anew"),
            Self::Expired => f.write_str("its time is up"),
            Self::IkeDown => f.write_str("its IKE SA is gone"),
            Self::Redundant => f.write_str("both ends made one at the same time"),
            Self::Protocol(what) => write!(f, "the peer broke the protocol: {what}"),
            Self::Unconfigured => f.write_str("no longer configured like this"),
        }
    }
}

/// Why something did not come about, in words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The peer does not answer.
    #[error("no answer to {exchange} after {tries} tries")]
    Timeout {
        /// The exchange.
        exchange: ExchangeType,
        /// How often it was sent.
        tries: u32,
    },
    /// No connection is for this peer's address.
    #[error("no connection is for this pair of addresses")]
    NoConnection,
    /// Nobody has this identity and proved it as configured.
    #[error("no connection is for a peer that says it is {remote} and wants {local}")]
    NoPeer {
        /// Who the peer says it is.
        remote: String,
        /// Whom it wants.
        local: String,
    },
    /// Our algorithms and the peer's do not meet.
    #[error("{0}")]
    NoProposal(Box<NoProposal>),
    /// The peer accepts none of our algorithms; it does not say what it has.
    #[error("the peer accepts none of ours: {}", list(.0))]
    ProposalRefused(Vec<Proposal>),
    /// The peer chose what was not offered.
    #[error("the peer chose what was not offered: {}", list(.chosen))]
    NotOffered {
        /// What it chose.
        chosen: Vec<Proposal>,
    },
    /// A key exchange did not work.
    #[error("key exchange: {0}")]
    KeyExchange(ExchangeError),
    /// The peer wants a key exchange method we do not offer.
    #[error("the peer wants key exchange method {0}, which is not offered")]
    KeyExchangeMethod(u16),
    /// Selectors do not meet.
    #[error(
        "selectors do not meet: ours {} and {}, theirs {} and {}",
        list(.local), list(.remote), list(.their_remote), list(.their_local)
    )]
    Selectors {
        /// Our side, as configured.
        local: Vec<TrafficSelector>,
        /// The peer's side, as configured.
        remote: Vec<TrafficSelector>,
        /// The peer's side, as it says.
        their_local: Vec<TrafficSelector>,
        /// Our side, as the peer says.
        their_remote: Vec<TrafficSelector>,
    },
    /// The peer did not accept our selectors.
    #[error("the peer accepts no part of our selectors {} and {}", list(.local), list(.remote))]
    SelectorsRefused {
        /// Our side.
        local: Vec<TrafficSelector>,
        /// The peer's side.
        remote: Vec<TrafficSelector>,
    },
    /// One end wants tunnel mode, the other transport mode.
    #[error("the peer wants {theirs} mode, we have {ours} mode")]
    Mode {
        /// Ours.
        ours: esp::Mode,
        /// The peer's.
        theirs: esp::Mode,
    },
    /// The peer did not prove its identity.
    #[error("authentication of {identity} failed: {why}")]
    Authentication {
        /// Who the peer says it is.
        identity: String,
        /// Why.
        why: String,
    },
    /// We cannot prove ours.
    #[error("we cannot prove our identity: {0}")]
    LocalAuthentication(String),
    /// The peer did not accept our proof.
    #[error("the peer did not accept our identity {identity}, or its proof")]
    AuthenticationRefused {
        /// Who we said we are.
        identity: String,
    },
    /// The peer reports another error.
    #[error("the peer reports {}", notification(*.0))]
    Peer(u16),
    /// The peer broke the protocol.
    #[error("the peer broke the protocol: {0}")]
    Protocol(String),
    /// A postquantum preshared key is required and the peer has none, or another.
    #[error("a PPK is required: {0}")]
    Ppk(&'static str),
    /// No address is left to be given.
    #[error("no address is left in the pool")]
    NoAddress,
    /// The peer gave us none of the addresses we asked for.
    #[error("the peer gives us no address")]
    NoAddressGiven,
    /// Nothing came of it in time.
    #[error("not finished in time")]
    Expired,
}

/// A message, payload by payload; no keys, no proofs of identity.
#[derive(Clone, Debug)]
pub struct MessageRecord {
    /// The IKE SA.
    pub ike: IkeId,
    /// Name of its connection; of several that it may be of, until the peer is known, the first.
    pub connection: Arc<str>,
    /// Whether we sent it.
    pub sent: bool,
    /// The path.
    pub path: Path,
    /// The exchange.
    pub exchange: ExchangeType,
    /// Its number.
    pub message_id: u32,
    /// Whether it answers.
    pub is_response: bool,
    /// Payloads in words, one each.
    pub payloads: Vec<String>,
}

/// `sent IKE_AUTH request 1: IDi gw.example | ...`.
impl fmt::Display for MessageRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = if self.sent { "sent" } else { "received" };
        let kind = if self.is_response { "response" } else { "request" };
        write!(f, "{way} {} {kind} {}: ", self.exchange, self.message_id)?;
        f.write_str(&self.payloads.join(" | "))
    }
}

fn list(items: &[impl fmt::Display]) -> String {
    if items.is_empty() {
        return "none".to_owned();
    }
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn notification(kind: u16) -> String {
    notify_name(kind).map_or_else(|| format!("error {kind}"), str::to_owned)
}
