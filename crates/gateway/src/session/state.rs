//! Where a session stands: its states, what a packet does to them, when it times out, and what that
//! means for offload.
//!
//! TCP and SCTP have machines of their own. Everything else is a pair of addresses (and ports): one
//! way until something comes back, both ways from then on.

use core::time::Duration;

use config::model::Timeouts;
use offload::{Direction, tcp_window::TcpWindows};
use reason::{DropReason, NotEligible, ReasonSet};
use wire::{Headers, Time, proto};

use super::{SctpChunks, Session, TcpSegment, sctp, sctp_chunks, tcp, tcp_segment};

/// Where a session stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SessionState {
    /// No packet was observed yet.
    #[default]
    New,
    /// Packets of the original direction only.
    OneWay,
    /// Packets of both directions.
    BothWays,
    /// TCP: SYN.
    SynSent,
    /// TCP: SYN and SYN-ACK; the last step of the handshake is missing.
    SynReceived,
    /// TCP: SYN from both sides, neither acknowledged (RFC 9293 §3.5).
    SimultaneousOpen,
    /// TCP: SYN from both sides, the one of the original direction acknowledged.
    SimultaneousOpenOriginal,
    /// TCP: SYN from both sides, the one of the reply direction acknowledged.
    SimultaneousOpenReply,
    /// TCP: handshake complete.
    Established,
    /// TCP: FIN from the original direction.
    FinWaitOriginal,
    /// TCP: FIN from the reply direction.
    FinWaitReply,
    /// TCP: FIN from both, not both acknowledged.
    LastAck,
    /// TCP: FIN from both, both acknowledged.
    TimeWait,
    /// TCP: reset.
    Closed,
    /// SCTP: INIT.
    SctpCookieWait,
    /// SCTP: INIT and INIT ACK.
    SctpInitAcked,
    /// SCTP: COOKIE ECHO.
    SctpCookieEchoed,
    /// SCTP: COOKIE ACK.
    SctpEstablished,
    /// SCTP: SHUTDOWN.
    SctpShutdownSent,
    /// SCTP: SHUTDOWN ACK.
    SctpShutdownAckSent,
    /// SCTP: SHUTDOWN COMPLETE, or ABORT.
    SctpClosed,
}

impl SessionState {
    /// All of them.
    pub const ALL: [Self; 21] = [
        Self::New,
        Self::OneWay,
        Self::BothWays,
        Self::SynSent,
        Self::SynReceived,
        Self::SimultaneousOpen,
        Self::SimultaneousOpenOriginal,
        Self::SimultaneousOpenReply,
        Self::Established,
        Self::FinWaitOriginal,
        Self::FinWaitReply,
        Self::LastAck,
        Self::TimeWait,
        Self::Closed,
        Self::SctpCookieWait,
        Self::SctpInitAcked,
        Self::SctpCookieEchoed,
        Self::SctpEstablished,
        Self::SctpShutdownSent,
        Self::SctpShutdownAckSent,
        Self::SctpClosed,
    ];

    /// Whether it is a TCP session whose handshake is not complete: what `limits.half-open` bounds.
    pub const fn is_half_open(self) -> bool {
        matches!(
            self,
            Self::SynSent
                | Self::SynReceived
                | Self::SimultaneousOpen
                | Self::SimultaneousOpenOriginal
                | Self::SimultaneousOpenReply
        )
    }

    /// Whether one side has begun to close it, or it is closed.
    pub const fn is_closing(self) -> bool {
        matches!(
            self,
            Self::FinWaitOriginal
                | Self::FinWaitReply
                | Self::LastAck
                | Self::TimeWait
                | Self::Closed
                | Self::SctpShutdownSent
                | Self::SctpShutdownAckSent
                | Self::SctpClosed
        )
    }

    /// Whether it is closed for good.
    pub const fn is_closed(self) -> bool {
        matches!(self, Self::TimeWait | Self::Closed | Self::SctpClosed)
    }
}

/// What the state machines read of a packet beyond its [`Headers`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// Nothing: neither TCP nor SCTP, or not readable.
    #[default]
    None,
    /// A TCP segment.
    Tcp(TcpSegment),
    /// The chunks of an SCTP packet.
    Sctp(SctpChunks),
}

impl From<Option<TcpSegment>> for Transport {
    fn from(segment: Option<TcpSegment>) -> Self {
        segment.map_or(Self::None, Self::Tcp)
    }
}

impl From<TcpSegment> for Transport {
    fn from(segment: TcpSegment) -> Self {
        Self::Tcp(segment)
    }
}

impl From<SctpChunks> for Transport {
    fn from(chunks: SctpChunks) -> Self {
        Self::Sctp(chunks)
    }
}

/// Reads what the state machines need of a packet.
pub fn transport(frame: &[u8], headers: &Headers) -> Transport {
    match headers.tuple.proto {
        proto::TCP => tcp_segment(frame, headers).into(),
        proto::SCTP => sctp_chunks(frame, headers).map_or(Transport::None, Transport::Sctp),
        _ => Transport::None,
    }
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observation {
    /// It belongs to the session.
    Pass {
        /// The session's state is another one now: its timer must be set again.
        state_changed: bool,
        /// The session is closing: it belongs on no engine.
        closing: bool,
    },
    /// It goes no further. The session is as it was.
    Drop(DropReason),
    /// It opens a new session with the key of this one, which is closed: remove this session, then
    /// treat the packet as the first of another (RFC 9293 §3.6.1, RFC 6191).
    Reopen,
}

/// What a machine makes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    To(SessionState),
    Drop(DropReason),
    Reopen,
}

impl Session {
    /// Runs a packet through the session's state machine.
    ///
    /// The first packet of a session must be observed too; a TCP session takes its slot in `windows`
    /// then, which the caller gives back (see [`Session::tcp_window`]) when the session is gone and
    /// no engine uses the slot any more. Counting is separate: [`Session::add_slow`].
    pub fn observe(
        &mut self,
        direction: Direction,
        headers: &Headers,
        transport: impl Into<Transport>,
        windows: &TcpWindows,
        now: Time,
    ) -> Observation {
        let step = match (self.original.proto, transport.into()) {
            (proto::TCP, Transport::Tcp(segment)) => {
                tcp::step(self.state, &mut self.scratch, direction, &segment, windows)
            }
            (proto::TCP, Transport::None | Transport::Sctp(_)) => {
                Step::Drop(DropReason::TcpHeaderInvalid)
            }
            (proto::SCTP, Transport::Sctp(chunks)) => {
                sctp::step(self.state, &mut self.scratch, direction, &chunks)
            }
            (proto::SCTP, Transport::None | Transport::Tcp(_)) => {
                Step::Drop(DropReason::L4HeaderTruncated)
            }
            (_, Transport::None | Transport::Tcp(_) | Transport::Sctp(_)) => {
                Step::To(pair(self.state, direction))
            }
        };
        match step {
            Step::To(state) => {
                let state_changed = core::mem::replace(&mut self.state, state) != state;
                self.last_seen = now;
                if headers.options && !self.has_options() {
                    self.set_options(true);
                }
                Observation::Pass { state_changed, closing: state.is_closing() }
            }
            Step::Drop(reason) => Observation::Drop(reason),
            Step::Reopen => Observation::Reopen,
        }
    }

    /// How long it may stay without packets, in its present state.
    ///
    /// TCP as RFC 5382 REQ-5 asks: no less than 2 h 4 min established, 4 min otherwise unless reset
    /// or incomplete. UDP as RFC 4787 REQ-5: no less than 2 min. ICMP queries as RFC 5508 REQ-2: no
    /// less than 60 s. The figures themselves are the configuration's. An SCTP association that is
    /// not established has the `generic` one, a closing one that of TCP's TIME-WAIT.
    pub fn timeout(&self, timeouts: &Timeouts) -> Duration {
        match self.state {
            SessionState::New | SessionState::OneWay => match self.original.proto {
                proto::TCP => timeouts.tcp_syn_sent,
                proto::UDP => timeouts.udp_one_way,
                proto::ICMP | proto::ICMPV6 => timeouts.icmp,
                _ => timeouts.generic,
            },
            SessionState::BothWays => match self.original.proto {
                proto::UDP => timeouts.udp,
                proto::ICMP | proto::ICMPV6 => timeouts.icmp,
                _ => timeouts.generic,
            },
            SessionState::SynSent => timeouts.tcp_syn_sent,
            SessionState::SynReceived
            | SessionState::SimultaneousOpen
            | SessionState::SimultaneousOpenOriginal
            | SessionState::SimultaneousOpenReply => timeouts.tcp_syn_received,
            SessionState::Established => timeouts.tcp_established,
            SessionState::FinWaitOriginal | SessionState::FinWaitReply => timeouts.tcp_fin_wait,
            SessionState::LastAck
            | SessionState::TimeWait
            | SessionState::Closed
            | SessionState::SctpShutdownSent
            | SessionState::SctpShutdownAckSent
            | SessionState::SctpClosed => timeouts.tcp_time_wait,
            SessionState::SctpCookieWait
            | SessionState::SctpInitAcked
            | SessionState::SctpCookieEchoed => timeouts.generic,
            SessionState::SctpEstablished => timeouts.sctp,
        }
    }

    /// What its state says against offloading it.
    pub fn established_for_offload(&self) -> ReasonSet<NotEligible> {
        let against = match self.state {
            SessionState::Established | SessionState::SctpEstablished | SessionState::BothWays => {
                None
            }
            SessionState::New | SessionState::OneWay => match self.original.proto {
                proto::TCP | proto::SCTP => Some(NotEligible::NotEstablished),
                _ => Some(NotEligible::AwaitingReply),
            },
            SessionState::SynSent
            | SessionState::SynReceived
            | SessionState::SimultaneousOpen
            | SessionState::SimultaneousOpenOriginal
            | SessionState::SimultaneousOpenReply
            | SessionState::SctpCookieWait
            | SessionState::SctpInitAcked
            | SessionState::SctpCookieEchoed => Some(NotEligible::NotEstablished),
            SessionState::FinWaitOriginal
            | SessionState::FinWaitReply
            | SessionState::LastAck
            | SessionState::TimeWait
            | SessionState::Closed
            | SessionState::SctpShutdownSent
            | SessionState::SctpShutdownAckSent
            | SessionState::SctpClosed => Some(NotEligible::TcpClosing),
        };
        against.into_iter().collect()
    }
}

/// A pair of addresses: both ways from the first reply on.
fn pair(state: SessionState, direction: Direction) -> SessionState {
    match (state, direction) {
        (SessionState::BothWays, _) | (_, Direction::Reply) => SessionState::BothWays,
        (_, Direction::Original) => SessionState::OneWay,
    }
}

#[cfg(test)]
mod tests;
