//! TCP as a middlebox sees it (RFC 9293 §3.3.2, §3.10.7).
//!
//! Sequence and acknowledgement numbers are checked against [`TcpWindows`], which the fast path
//! shares. A reset must carry the exact number the receiver expects (RFC 5961 §3.2), and a SYN for an
//! open connection goes no further (RFC 5961 §4: all it could cause is a challenge ACK). A SYN may
//! carry data (RFC 7413); nothing else may before the handshake is complete.
//!
//! Limits. A peer that lost its state and connects again from the same port is not heard before the
//! old session has timed out. A challenge ACK to a SYN does not pass, for the same reason.

use offload::{
    Direction,
    tcp_window::{RstVerdict, Segment, TcpWindows},
};
use reason::DropReason;
use wire::{
    Fragmentation, Headers, proto,
    tcp::flags::{ACK, FIN, RST, SYN},
};

use super::{SessionState, state::Step};

/// No slot in the windows.
const NO_SLOT: u32 = u32::MAX;

/// A TCP header without options, in bytes.
const HEADER: usize = 20;

/// What the state machine reads of a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpSegment {
    /// Numbers, window, payload length and flags.
    pub segment: Segment,
    /// Shift count of the window scale option, in a SYN that has one (RFC 7323 §2.2).
    pub scale: Option<u8>,
    /// The MSS option in bytes, in a SYN that has one (RFC 9293 §3.7.1).
    pub mss: Option<u16>,
}

/// Reads a segment; `None` where there is no whole TCP header.
pub fn tcp_segment(frame: &[u8], headers: &Headers) -> Option<TcpSegment> {
    if headers.tuple.proto != proto::TCP || headers.fragment == Fragmentation::Later {
        return None;
    }
    let header = frame.get(usize::from(headers.l4)..)?;
    let (fixed, rest) = header.split_first_chunk::<HEADER>()?;
    let word =
        |at: usize| u32::from_be_bytes([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]]);
    let flags = fixed[13];
    let segment = Segment {
        seq: word(4),
        ack: word(8),
        window: u16::from_be_bytes([fixed[14], fixed[15]]),
        len: headers.end.saturating_sub(headers.payload.into()),
        flags,
    };
    let mut segment = TcpSegment { segment, scale: None, mss: None };
    if flags & SYN != 0 {
        let options = (usize::from(fixed[12] >> 4) * 4).saturating_sub(HEADER);
        read_options(rest.get(..options).unwrap_or_default(), &mut segment);
    }
    Some(segment)
}

/// Whether a segment with those flags opens a connection: SYN, and nothing against it.
pub const fn opens_tcp(flags: u8) -> bool {
    flags & (SYN | ACK | RST | FIN) == SYN
}

/// Options of a SYN (RFC 9293 §3.1); what is cut short ends the list.
fn read_options(mut options: &[u8], segment: &mut TcpSegment) {
    const END: u8 = 0;
    const NO_OPERATION: u8 = 1;
    loop {
        match *options {
            [NO_OPERATION, ref rest @ ..] => options = rest,
            [2, 4, high, low, ref rest @ ..] => {
                segment.mss = Some(u16::from_be_bytes([high, low]));
                options = rest;
            }
            [3, 3, shift, ref rest @ ..] => {
                segment.scale = Some(shift);
                options = rest;
            }
            [END, ..] | [] | [_] | [_, 0 | 1, ..] => return,
            [_, length, ..] => match options.get(usize::from(length)..) {
                Some(rest) => options = rest,
                None => return,
            },
        }
    }
}

/// What a segment does to a session. `slot` is the session's slot in the windows; the first SYN
/// takes one.
pub(super) fn step(
    state: SessionState,
    slot: &mut u32,
    direction: Direction,
    segment: &TcpSegment,
    windows: &TcpWindows,
) -> Step {
    let flags = segment.segment.flags;
    let has = |flag| flags & flag != 0;
    if !has(SYN | ACK | RST | FIN) || (has(SYN) && has(FIN | RST)) || (has(FIN) && !has(ACK | RST))
    {
        return Step::Drop(DropReason::AnomalyTcpFlags);
    }
    let opens = opens_tcp(flags);
    if state == SessionState::New {
        return match direction {
            Direction::Original if opens => open(slot, segment, windows),
            Direction::Original | Direction::Reply => Step::Drop(DropReason::TcpNotSyn),
        };
    }
    if opens && state.is_closed() {
        return Step::Reopen;
    }
    let machine = Machine { state, slot: *slot, direction, segment, windows };
    if has(RST) {
        return machine.reset();
    }
    match state {
        SessionState::SynSent => machine.syn_sent(),
        SessionState::SynReceived => machine.syn_received(),
        SessionState::SimultaneousOpen
        | SessionState::SimultaneousOpenOriginal
        | SessionState::SimultaneousOpenReply => machine.simultaneous_open(),
        SessionState::Established
        | SessionState::FinWaitOriginal
        | SessionState::FinWaitReply
        | SessionState::LastAck
        | SessionState::TimeWait => machine.synchronised(),
        SessionState::Closed => Step::Drop(DropReason::SessionClosed),
        SessionState::New
        | SessionState::OneWay
        | SessionState::BothWays
        | SessionState::SctpCookieWait
        | SessionState::SctpInitAcked
        | SessionState::SctpCookieEchoed
        | SessionState::SctpEstablished
        | SessionState::SctpShutdownSent
        | SessionState::SctpShutdownAckSent
        | SessionState::SctpClosed => Step::Drop(DropReason::TcpNotSyn),
    }
}

fn open(slot: &mut u32, segment: &TcpSegment, windows: &TcpWindows) -> Step {
    if *slot == NO_SLOT {
        match windows.alloc() {
            Some(free) => *slot = free,
            None => return Step::Drop(DropReason::SessionTableFull),
        }
    }
    windows.open(*slot, &segment.segment, segment.scale);
    Step::To(SessionState::SynSent)
}

struct Machine<'a> {
    state: SessionState,
    slot: u32,
    direction: Direction,
    segment: &'a TcpSegment,
    windows: &'a TcpWindows,
}

impl Machine<'_> {
    const INVALID: Step = Step::Drop(DropReason::TcpHandshakeInvalid);

    /// RFC 5961 §3.2. Once closed, more of the same may pass: a peer sends one for every segment.
    fn reset(&self) -> Step {
        let verdict = self.windows.check_reset(self.slot, self.direction, &self.segment.segment);
        match verdict {
            RstVerdict::Exact => Step::To(SessionState::Closed),
            _ if self.state == SessionState::Closed => Step::Drop(DropReason::SessionClosed),
            RstVerdict::InWindow { .. } => Step::Drop(DropReason::TcpResetInvalid),
            RstVerdict::Outside { .. } => Step::Drop(DropReason::TcpOutOfWindow),
        }
    }

    /// SYN seen: the opener may repeat it, the peer may answer it or send its own.
    fn syn_sent(&self) -> Step {
        match (self.direction, self.has(SYN), self.has(ACK)) {
            (Direction::Original, true, false) => {
                self.windows.open(self.slot, &self.segment.segment, self.segment.scale);
                Step::To(SessionState::SynSent)
            }
            (Direction::Reply, true, true) => self.answer(SessionState::SynReceived),
            (Direction::Reply, true, false) => self.answer(SessionState::SimultaneousOpen),
            (Direction::Original, ..) | (Direction::Reply, false, _) => Self::INVALID,
        }
    }

    /// SYN and SYN-ACK seen: both may be repeated; the opener's ACK completes the handshake.
    fn syn_received(&self) -> Step {
        match (self.direction, self.has(SYN), self.has(ACK)) {
            (Direction::Original, true, false) if self.repeats_syn() => Step::To(self.state),
            // with SYN cookies (RFC 4987 §3.6) a repeated SYN is answered with another number
            (Direction::Reply, true, true) => self.answer(SessionState::SynReceived),
            (Direction::Original, false, true) if self.acknowledges_syn() => {
                self.in_window(|| self.after_data(SessionState::Established))
            }
            (Direction::Original | Direction::Reply, ..) => Self::INVALID,
        }
    }

    /// SYN from both seen: each side acknowledges the other's, with its SYN repeated or without.
    fn simultaneous_open(&self) -> Step {
        if self.has(SYN) && !self.repeats_syn() || !self.has(ACK) {
            return if self.has(SYN) && self.repeats_syn() {
                Step::To(self.state)
            } else {
                Self::INVALID
            };
        }
        if !self.acknowledges_syn() {
            return Self::INVALID;
        }
        // what this segment acknowledges is the SYN of the other direction
        let next = match (self.state, self.direction) {
            (SessionState::SimultaneousOpen, Direction::Original) => {
                SessionState::SimultaneousOpenReply
            }
            (SessionState::SimultaneousOpen, Direction::Reply) => {
                SessionState::SimultaneousOpenOriginal
            }
            (SessionState::SimultaneousOpenOriginal, Direction::Original)
            | (SessionState::SimultaneousOpenReply, Direction::Reply) => SessionState::Established,
            _ => self.state,
        };
        // a side sends data only once its own SYN was acknowledged
        if next != SessionState::Established && (self.segment.segment.len > 0 || self.has(FIN)) {
            return Self::INVALID;
        }
        self.in_window(|| self.after_data(next))
    }

    /// The handshake is complete, or the connection is closing.
    fn synchronised(&self) -> Step {
        if self.has(SYN) {
            // the peer did not hear the last ACK and repeats its SYN-ACK
            let repeated =
                self.has(ACK) && self.state == SessionState::Established && self.repeats_syn();
            return if repeated { self.in_window(|| Step::To(self.state)) } else { Self::INVALID };
        }
        let fin_sent = match self.state {
            SessionState::FinWaitOriginal => self.direction == Direction::Original,
            SessionState::FinWaitReply => self.direction == Direction::Reply,
            SessionState::LastAck | SessionState::TimeWait => true,
            _ => false,
        };
        let end = self.windows.expected_seq(self.slot, self.direction);
        let beyond = end.is_some_and(|end| after(self.segment.segment.end(), end));
        self.in_window_if(|| !(fin_sent && beyond), || self.after_data(self.state))
    }

    /// What a segment in the window makes of a state, by its FIN and what it acknowledges.
    fn after_data(&self, state: SessionState) -> Step {
        let state = match (state, self.has(FIN), self.direction) {
            (SessionState::Established, true, Direction::Original) => SessionState::FinWaitOriginal,
            (SessionState::Established, true, Direction::Reply) => SessionState::FinWaitReply,
            (SessionState::FinWaitOriginal, true, Direction::Reply)
            | (SessionState::FinWaitReply, true, Direction::Original) => SessionState::LastAck,
            _ => state,
        };
        if state == SessionState::LastAck
            && Direction::BOTH.into_iter().all(|d| self.all_acknowledged(d))
        {
            return Step::To(SessionState::TimeWait);
        }
        Step::To(state)
    }

    /// Takes the peer's SYN, with or without ACK.
    fn answer(&self, next: SessionState) -> Step {
        let verdict = self.windows.synack(self.slot, &self.segment.segment, self.segment.scale);
        if verdict.is_ok() { Step::To(next) } else { Self::INVALID }
    }

    fn in_window(&self, then: impl FnOnce() -> Step) -> Step {
        self.in_window_if(|| true, then)
    }

    /// Checks the window, which takes the segment in, unless the session takes no more of it.
    fn in_window_if(&self, open: impl FnOnce() -> bool, then: impl FnOnce() -> Step) -> Step {
        if !open() {
            return Step::Drop(DropReason::SessionClosed);
        }
        if self.windows.check(self.slot, self.direction, &self.segment.segment).is_ok() {
            then()
        } else {
            Step::Drop(DropReason::TcpOutOfWindow)
        }
    }

    fn has(&self, flag: u8) -> bool {
        self.segment.segment.flags & flag != 0
    }

    /// Whether it is the SYN that was seen before: the peer's acknowledgement stands right after.
    fn repeats_syn(&self) -> bool {
        let expected = self.windows.acknowledged(self.slot, self.direction.opposite());
        expected == Some(self.segment.segment.seq.wrapping_add(1))
    }

    /// Whether it acknowledges the peer's SYN, or more.
    fn acknowledges_syn(&self) -> bool {
        let expected = self.windows.acknowledged(self.slot, self.direction);
        expected.is_some_and(|expected| !after(expected, self.segment.segment.ack))
    }

    /// Whether everything that side sent is acknowledged.
    fn all_acknowledged(&self, direction: Direction) -> bool {
        let sent = self.windows.expected_seq(self.slot, direction);
        sent.is_some() && sent == self.windows.acknowledged(self.slot, direction.opposite())
    }
}

/// Whether `a` comes after `b` (RFC 9293 §3.4).
const fn after(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) > 0
}

#[cfg(test)]
mod tests;
