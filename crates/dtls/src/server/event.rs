//! What goes in and out of a server, and why it does nothing with something.

use std::{fmt, net::SocketAddr, sync::Arc};

use association::KeyMaterial;
use reason::DropReason;

use crate::{Inbound, Outbound, Suite, message::DecodeError};

/// Both ends of a UDP conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path {
    /// Ours.
    pub local: SocketAddr,
    /// The peer's.
    pub remote: SocketAddr,
}

/// `192.0.2.1:443 - 198.51.100.7:50000`
impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} - {}", self.local, self.remote)
    }
}

/// A datagram of UDP to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// From where to where.
    pub path: Path,
    /// Its payload.
    pub bytes: Vec<u8>,
}

/// Which association; no other ever gets the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AssociationId(pub u64);

/// What is known for a session ID.
#[derive(Clone, Debug)]
pub enum Secret {
    /// A pre-shared key (RFC 4279), 1 to 64 bytes; the full handshake with one of [`Suite::PSK`].
    Psk(KeyMaterial),
    /// The session is resumed (RFC 5246 §7.3) with this master secret of 48 bytes and this suite.
    Resumption {
        /// The master secret.
        master: KeyMaterial,
        /// The only suite that is taken.
        suite: Suite,
    },
}

/// Which handshake an association came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// PSK.
    Psk,
    /// Resumption.
    Resumption,
}

/// `psk` or `resumption`.
impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Psk => "psk",
            Self::Resumption => "resumption",
        })
    }
}

/// Something happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// An association stands. Comes before the datagram by which the client learns it.
    Established {
        /// Which one.
        id: AssociationId,
        /// Its path.
        path: Path,
        /// The session ID its secret was found by.
        session_id: Vec<u8>,
        /// Which handshake it was.
        mode: Mode,
        /// Its suite.
        suite: Suite,
        /// What opens.
        inbound: Arc<Inbound>,
        /// What seals.
        outbound: Arc<Outbound>,
    },
    /// Application data came, in a datagram that was given to the server.
    Data {
        /// For which association.
        id: AssociationId,
        /// What was in the record.
        bytes: Vec<u8>,
    },
    /// The client's port changed; what seals is another object, and the old one seals nothing more.
    Moved {
        /// Which association.
        id: AssociationId,
        /// The new path.
        path: Path,
        /// What seals from now on.
        outbound: Arc<Outbound>,
    },
    /// An association is over. It is forgotten.
    Closed {
        /// Which one.
        id: AssociationId,
        /// Why.
        reason: CloseReason,
    },
    /// A first message was refused. Of many in a second only some are told.
    Refused {
        /// Where it came from.
        path: Path,
        /// Why.
        refusal: Refusal,
    },
    /// A handshake came to nothing.
    Failed {
        /// Where its client is.
        path: Path,
        /// The session ID.
        session_id: Vec<u8>,
        /// Why.
        failure: Failure,
    },
}

/// Why an association is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The client said so.
    CloseNotify,
    /// The client sent a fatal alert; its number (RFC 5246 §7.2).
    Alert(u8),
    /// The client made another one from the same address and port (RFC 6347 §4.2.8).
    Replaced,
}

/// `closed by the client`, …
impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CloseNotify => f.pad("closed by the client"),
            Self::Alert(number) => write!(f, "alert {number} of the client"),
            Self::Replaced => f.pad("replaced by a new association of the same port"),
        }
    }
}

/// Why a first message is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Refusal {
    /// The client speaks DTLS 1.0 at most.
    #[error("the client speaks DTLS 1.0 only, which has no authenticated encryption")]
    Dtls10,
    /// The client speaks what Cisco used before DTLS 1.0 was there.
    #[error("the client speaks DTLS 0.9, from before there was a standard")]
    Dtls09,
    /// The version is none of DTLS.
    #[error("the client's version is not one of DTLS")]
    Version,
    /// The client wants to compress.
    #[error("the client does not offer records without compression")]
    Compression,
    /// The client has suites with CBC only.
    #[error("the client offers suites with CBC only")]
    CbcOnly,
    /// No suite of the client's is one of those the session may have.
    #[error("the client offers no suite that the session may have")]
    NoCommonSuite,
    /// Nobody knows the session ID.
    #[error("there is no session with the ID the client names")]
    UnknownSession,
    /// The client continues a connection that this is not.
    #[error("the client wants to renegotiate a connection that does not exist")]
    Renegotiation,
    /// The secret of the session cannot be used.
    #[error("the session's secret has a length that cannot be used")]
    BadSecret,
}

/// Why a handshake came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The client did not answer any more.
    #[error("the client does not answer")]
    TimedOut,
    /// What the client protected does not open: it has another secret.
    #[error("the client has another key than the session")]
    KeyMismatch,
    /// The client proves other messages than those we saw.
    #[error("the client's Finished message proves another handshake")]
    BadFinished,
    /// The client said why, without proof; an alert (RFC 5246 §7.2).
    #[error("the client gave up with alert {0}")]
    Alert(u8),
    /// The client began anew.
    #[error("the client began another handshake")]
    Replaced,
}

/// Why nothing was done with a record, or a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ignored {
    /// It is no message, or not one that we take.
    #[error("{0}")]
    Decode(#[from] DecodeError),
    /// The first message was refused.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// A record that is no first message came from where there is no association.
    #[error("there is no association with the sender")]
    NoAssociation,
    /// As many handshakes are under way as may be.
    #[error("too many handshakes are under way")]
    HalfOpen,
    /// As many associations stand as may.
    #[error("there is no room for another association")]
    Full,
    /// The record does not open.
    #[error("{0}")]
    Record(DropReason),
    /// The record or message has no place here: late, early, repeated, or not of the handshake.
    #[error("the message does not belong here")]
    Unexpected,
    /// The client wants other keys for an association that stands.
    #[error("renegotiation is refused")]
    Renegotiation,
    /// The Finished message proves another handshake.
    #[error("the Finished message proves another handshake")]
    BadFinished,
}

/// Nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// There is no such association.
    #[error("there is no such association")]
    NoAssociation,
    /// It could not be sealed.
    #[error("{0}")]
    Record(DropReason),
}
