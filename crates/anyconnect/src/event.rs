//! What an endpoint tells its owner.

use std::{net::SocketAddr, sync::Arc};

use dtls::{AssociationId, CloseReason, Inbound, Outbound, Path, Suite};
use wire::Time;

use crate::{Grant, HandshakeFailure, cstp::FrameError, http::HttpError};

/// Names a connection; never used twice by one endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub(crate) u64);

/// Names a client: a login with what comes of it. Never used twice by one endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub(crate) u64);

impl ConnId {
    /// As a number, for views.
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl ClientId {
    /// As a number, for views.
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// What packets go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    /// Frames in TLS.
    Cstp,
    /// Records of DTLS.
    Dtls,
}

impl Channel {
    /// As people call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cstp => "CSTP",
            Self::Dtls => "DTLS",
        }
    }
}

/// Why a login did not work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoginFailure {
    /// No such user, or another password.
    #[error("unknown user or wrong password")]
    Credentials,
    /// There were too many failures of the user, or from the address.
    #[error("locked after too many failures")]
    Locked {
        /// Until when.
        until: Time,
    },
    /// The user is not in the group that was chosen.
    #[error("not a member of the group")]
    Group,
    /// A certificate is needed, and there was none.
    #[error("no certificate, which is needed")]
    NoCertificate,
    /// The certificate is another user's.
    #[error("the certificate is of another user")]
    OtherCertificate,
    /// Who knows the users did not answer.
    #[error("users cannot be checked: {0}")]
    Unavailable(String),
    /// Too many logins are being checked.
    #[error("too many logins at the same time")]
    Busy,
    /// There are as many clients as there may be, of all or of this user.
    #[error("there are as many clients as there may be")]
    Full,
}

/// A client wants a tunnel: its owner answers with [`Endpoint::handle_grant`](crate::Endpoint::handle_grant).
#[derive(Clone, Debug)]
pub struct AddressWanted {
    /// Which client.
    pub client: ClientId,
    /// Its user.
    pub user: Arc<str>,
    /// The group that was chosen.
    pub group: Option<Arc<str>>,
    /// The user's groups.
    pub groups: Arc<[Arc<str>]>,
    /// Where it is.
    pub remote: SocketAddr,
    /// Whether it takes an IPv4 address.
    pub ipv4: bool,
    /// Whether it takes an IPv6 address.
    pub ipv6: bool,
    /// What it was granted before: it must get the same addresses, or gives up.
    pub before: Option<Arc<Grant>>,
}

/// A client has a tunnel.
#[derive(Clone, Debug)]
pub struct Connected {
    /// Which client.
    pub client: ClientId,
    /// Its user.
    pub user: Arc<str>,
    /// The group that was chosen.
    pub group: Option<Arc<str>>,
    /// The user's groups.
    pub groups: Arc<[Arc<str>]>,
    /// Its addresses and settings.
    pub grant: Arc<Grant>,
    /// Where it is.
    pub remote: SocketAddr,
    /// What it says it is.
    pub version: Arc<str>,
    /// What it calls itself.
    pub hostname: Arc<str>,
    /// Version and suite of TLS.
    pub tls: String,
    /// The largest packet in bytes.
    pub mtu: u16,
    /// It had a tunnel before: this is a rekey, or it lost its connection.
    pub again: bool,
}

/// A DTLS association of a client. Whoever moves packets holds both halves.
#[derive(Clone, Debug)]
pub struct AssociationReady {
    /// Whose.
    pub client: ClientId,
    /// Which.
    pub association: AssociationId,
    /// From where to where its datagrams go.
    pub path: Path,
    /// Its suite.
    pub suite: Suite,
    /// What opens.
    pub inbound: Arc<Inbound>,
    /// What seals.
    pub outbound: Arc<Outbound>,
}

/// Why a client has no tunnel any more, or is gone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The client said goodbye, with these words.
    #[error("the client disconnected: {0}")]
    Client(String),
    /// The connection ended without a goodbye.
    #[error("the connection was lost")]
    Lost,
    /// It does not answer.
    #[error("the client does not answer")]
    Dead,
    /// It sent what is no frame.
    #[error("{0}")]
    Frame(FrameError),
    /// The owner wants it.
    #[error("disconnected by the administrator")]
    Administrator,
    /// It was connected as long as it may be.
    #[error("the session's time is over")]
    SessionTimeout,
    /// It carried no packet for as long as it may.
    #[error("idle for too long")]
    IdleTimeout,
    /// The keys of its TLS 1.2 connection sealed as many records as they may; it is to come again.
    #[error("the keys of the connection are used up")]
    KeysUsedUp,
    /// It did not come again in time.
    #[error("the client did not come again in time")]
    Expired,
    /// Its user has more clients than there may be, and this one had no tunnel.
    #[error("the user has newer clients")]
    Crowded,
}

/// Packets and bytes of both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Packets from the client.
    pub packets_in: u64,
    /// Their bytes.
    pub bytes_in: u64,
    /// Packets to the client.
    pub packets_out: u64,
    /// Their bytes.
    pub bytes_out: u64,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A handshake of TLS failed. Of many in a second only some are told.
    HandshakeFailed {
        /// Where the client is.
        remote: SocketAddr,
        /// Why.
        failure: HandshakeFailure,
    },
    /// What came is no request we serve. Of many in a second only some are told.
    RequestRefused {
        /// Where the client is.
        remote: SocketAddr,
        /// Why.
        error: HttpError,
    },
    /// Somebody logged in: a client, which has no tunnel yet.
    LoginSucceeded {
        /// Which client.
        client: ClientId,
        /// Its user.
        user: Arc<str>,
        /// The group that was chosen.
        group: Option<Arc<str>>,
        /// Where it is.
        remote: SocketAddr,
    },
    /// Somebody did not.
    LoginFailed {
        /// The name that was given, up to 64 characters of it and no control characters.
        user: String,
        /// Where it is.
        remote: SocketAddr,
        /// Why.
        failure: LoginFailure,
    },
    /// The failure before was one too many.
    UserLocked {
        /// The name, as in [`Event::LoginFailed`].
        user: String,
        /// Where the last attempt came from.
        remote: SocketAddr,
    },
    /// A client wants a tunnel.
    AddressWanted(Box<AddressWanted>),
    /// A client has a tunnel; its packets go by CSTP.
    Connected(Box<Connected>),
    /// A client has a DTLS association. Comes before [`Event::ChannelMoved`], and before the datagram by
    /// which the client learns it.
    AssociationReady(Box<AssociationReady>),
    /// A client's port changed; what seals is another object.
    AssociationMoved {
        /// Whose.
        client: ClientId,
        /// Which.
        association: AssociationId,
        /// The new path.
        path: Path,
        /// What seals from now on.
        outbound: Arc<Outbound>,
    },
    /// An association is over.
    AssociationGone {
        /// Whose.
        client: ClientId,
        /// Which.
        association: AssociationId,
        /// Why.
        reason: AssociationEnd,
    },
    /// A DTLS handshake was refused or failed. Of many in a second only some are told.
    AssociationFailed {
        /// Whose, if that is known.
        client: Option<ClientId>,
        /// Its path.
        path: Path,
        /// Why.
        failure: AssociationFailure,
    },
    /// Packets to a client go by another channel from now on.
    ChannelMoved {
        /// Which client.
        client: ClientId,
        /// The new one.
        channel: Channel,
    },
    /// A client has no tunnel any more. Its addresses are still its own.
    Disconnected {
        /// Which client.
        client: ClientId,
        /// Why.
        reason: Reason,
        /// What it carried, over all its tunnels.
        counts: Counts,
    },
    /// A client is gone, and its addresses are free. If it had a tunnel, [`Event::Disconnected`] was
    /// before.
    Ended {
        /// Which client.
        client: ClientId,
        /// Its user.
        user: Arc<str>,
        /// Why.
        reason: Reason,
    },
}

/// Why a DTLS association is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AssociationEnd {
    /// DTLS says so.
    Closed(CloseReason),
    /// The client does not answer on it.
    Dead,
    /// The client has another.
    Replaced,
    /// The tunnel it belonged to is over, or replaced.
    Tunnel,
}

/// Why there is no DTLS association.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssociationFailure {
    /// The first message was refused.
    #[error(transparent)]
    Refused(dtls::Refusal),
    /// The handshake failed.
    #[error(transparent)]
    Failed(dtls::Failure),
}
