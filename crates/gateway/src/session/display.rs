//! Sessions and their states in words.

use core::fmt;

use super::{Kind, Session, SessionState};

impl SessionState {
    /// The state as RFC 9293 and RFC 9260 write it, or what there is to say of other protocols.
    pub const fn name(self) -> &'static str {
        match self {
            Self::New => "NEW",
            Self::OneWay => "ONE-WAY",
            Self::BothWays => "BOTH-WAYS",
            Self::SynSent => "SYN-SENT",
            Self::SynReceived => "SYN-RECEIVED",
            Self::SimultaneousOpen
            | Self::SimultaneousOpenOriginal
            | Self::SimultaneousOpenReply => "SIMULTANEOUS-OPEN",
            Self::Established | Self::SctpEstablished => "ESTABLISHED",
            Self::FinWaitOriginal | Self::FinWaitReply => "FIN-WAIT",
            Self::LastAck => "LAST-ACK",
            Self::TimeWait => "TIME-WAIT",
            Self::Closed | Self::SctpClosed => "CLOSED",
            Self::SctpCookieWait | Self::SctpInitAcked => "COOKIE-WAIT",
            Self::SctpCookieEchoed => "COOKIE-ECHOED",
            Self::SctpShutdownSent => "SHUTDOWN-SENT",
            Self::SctpShutdownAckSent => "SHUTDOWN-ACK-SENT",
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

/// `tcp 10.0.0.5:51000 -> 203.0.113.9:443 as tcp 198.51.100.1:1024 -> 203.0.113.9:443 ESTABLISHED`
impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.original)?;
        if self.is_translated() {
            write!(f, " as {}", self.reply.reversed())?;
        }
        write!(f, " {}", self.state())
    }
}
