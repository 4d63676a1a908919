//! Sessions and their states in words.

use core::fmt;

use super::{Kind, Session, SessionState};

impl SessionState {
    /// The state as RFC 9293 and RFC 9260 name it, in lower case, or what there is to say of other
    /// protocols.
    pub const fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::OneWay => "one-way",
            Self::BothWays => "both-ways",
            Self::SynSent => "syn-sent",
            Self::SynReceived => "syn-received",
            Self::SimultaneousOpen
            | Self::SimultaneousOpenOriginal
            | Self::SimultaneousOpenReply => "simultaneous-open",
            Self::Established | Self::SctpEstablished => "established",
            Self::FinWaitOriginal | Self::FinWaitReply => "fin-wait",
            Self::LastAck => "last-ack",
            Self::TimeWait => "time-wait",
            Self::Closed | Self::SctpClosed => "closed",
            Self::SctpCookieWait | Self::SctpInitAcked => "cookie-wait",
            Self::SctpCookieEchoed => "cookie-echoed",
            Self::SctpShutdownSent => "shutdown-sent",
            Self::SctpShutdownAckSent => "shutdown-ack-sent",
        }
    }
}

impl fmt::Display for SessionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// `tcp 10.0.0.5:51000 -> 203.0.113.9:443 as tcp 198.51.100.1:1024 -> 203.0.113.9:443 established`
impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.original)?;
        if self.is_translated() {
            write!(f, " as {}", self.reply.reversed())?;
        }
        write!(f, " {}", self.state())
    }
}
