//! SCTP, simplified (RFC 9260 §4, §8.5).
//!
//! The chunks that set an association up and take it down drive the states; every other packet must
//! carry the verification tag that its receiver chose. Of a tag sixteen bits are remembered.
//!
//! Limits. One pair of addresses: more addresses of a multi-homed association are sessions of their
//! own, which begin with a HEARTBEAT and are therefore refused. An INIT for an established
//! association (a restart, §5.2) does not pass. Transmission sequence numbers are not checked.

use offload::Direction;
use reason::DropReason;
use wire::{Fragmentation, Headers, proto};

use super::{SessionState, state::Step};

/// Most chunks of a packet that are looked at; what set-up and shutdown need comes first.
const MAX_CHUNKS: usize = 8;

/// Chunk types (RFC 9260 §3.2).
mod kind {
    pub const INIT: u8 = 1;
    pub const INIT_ACK: u8 = 2;
    pub const ABORT: u8 = 6;
    pub const SHUTDOWN: u8 = 7;
    pub const SHUTDOWN_ACK: u8 = 8;
    pub const COOKIE_ECHO: u8 = 10;
    pub const COOKIE_ACK: u8 = 11;
    pub const SHUTDOWN_COMPLETE: u8 = 14;
}

/// What the state machine reads of an SCTP packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SctpChunks {
    /// The packet's verification tag.
    pub tag: u32,
    /// Types of its chunks, those below 32, one bit each.
    pub kinds: u32,
    /// The initiate tag of its INIT or INIT ACK.
    pub initiate_tag: u32,
    /// Its ABORT or SHUTDOWN COMPLETE carries the receiver's tag back to it (T bit, §8.5.1).
    pub reflected: bool,
}

impl SctpChunks {
    const fn has(&self, kind: u8) -> bool {
        self.kinds & 1 << kind != 0
    }
}

/// Reads the chunks of a packet; `None` where there is no whole common header and one chunk.
pub fn sctp_chunks(frame: &[u8], headers: &Headers) -> Option<SctpChunks> {
    if headers.tuple.proto != proto::SCTP || headers.fragment == Fragmentation::Later {
        return None;
    }
    let packet = frame.get(usize::from(headers.l4)..headers.end as usize)?;
    let (common, mut rest) = packet.split_first_chunk::<12>()?;
    let tag = u32::from_be_bytes([common[4], common[5], common[6], common[7]]);
    let mut chunks = SctpChunks { tag, ..SctpChunks::default() };
    for n in 0..MAX_CHUNKS {
        let Some((&[kind, flags, high, low], body)) = rest.split_first_chunk::<4>() else {
            if n == 0 {
                return None;
            }
            break;
        };
        if kind < 32 {
            chunks.kinds |= 1 << kind;
        }
        match kind {
            kind::INIT | kind::INIT_ACK => {
                chunks.initiate_tag = u32::from_be_bytes(*body.first_chunk::<4>()?);
            }
            kind::ABORT | kind::SHUTDOWN_COMPLETE => chunks.reflected = flags & 1 != 0,
            _ => {}
        }
        let length = usize::from(u16::from_be_bytes([high, low])).next_multiple_of(4);
        match rest.get(length..) {
            Some(next) if length >= 4 => rest = next,
            _ => break,
        }
    }
    Some(chunks)
}

/// What a packet does to a session. `tags` holds the folded tags that packets of the reply (high
/// half) and the original direction must carry.
pub(super) fn step(
    state: SessionState,
    tags: &mut u32,
    direction: Direction,
    chunks: &SctpChunks,
) -> Step {
    use SessionState::*;
    const INVALID: Step = Step::Drop(DropReason::SctpHandshakeInvalid);
    if chunks.has(kind::INIT) {
        // an INIT stands alone and carries no tag (§3.3.2, §8.5.1)
        if chunks.tag != 0 || chunks.kinds != 1 << kind::INIT {
            return INVALID;
        }
        return match (state, direction) {
            (New | SctpCookieWait | SctpInitAcked, Direction::Original) => {
                *tags = u32::from(folded(chunks.initiate_tag)) << 16;
                Step::To(SctpCookieWait)
            }
            (SctpClosed, _) => Step::Reopen,
            _ => INVALID,
        };
    }
    if state == New {
        return INVALID;
    }
    // before the INIT ACK nobody has chosen the tag of the original direction
    let expects = |d: Direction| match d {
        Direction::Original => (state != SctpCookieWait).then_some(*tags as u16),
        Direction::Reply => Some((*tags >> 16) as u16),
    };
    let by = if chunks.reflected { direction.opposite() } else { direction };
    if expects(by) != Some(folded(chunks.tag)) {
        return Step::Drop(DropReason::SctpTagInvalid);
    }
    if state == SctpClosed {
        let repeated = chunks.has(kind::SHUTDOWN_ACK)
            || chunks.has(kind::SHUTDOWN_COMPLETE)
            || chunks.has(kind::ABORT);
        return if repeated { Step::To(state) } else { Step::Drop(DropReason::SessionClosed) };
    }
    if chunks.has(kind::ABORT) {
        return Step::To(SctpClosed);
    }
    let next = match (state, direction) {
        (SctpCookieWait | SctpInitAcked, Direction::Reply) if chunks.has(kind::INIT_ACK) => {
            *tags = *tags & 0xffff_0000 | u32::from(folded(chunks.initiate_tag));
            SctpInitAcked
        }
        (SctpInitAcked | SctpCookieEchoed, Direction::Original)
            if chunks.has(kind::COOKIE_ECHO) =>
        {
            SctpCookieEchoed
        }
        (SctpCookieEchoed, Direction::Original) => SctpCookieEchoed,
        (SctpCookieEchoed, Direction::Reply) if chunks.has(kind::COOKIE_ACK) => SctpEstablished,
        (SctpEstablished | SctpShutdownSent | SctpShutdownAckSent, _) => {
            if chunks.has(kind::SHUTDOWN_COMPLETE) && state == SctpShutdownAckSent {
                SctpClosed
            } else if chunks.has(kind::SHUTDOWN_ACK) {
                SctpShutdownAckSent
            } else if chunks.has(kind::SHUTDOWN) && state == SctpEstablished {
                SctpShutdownSent
            } else {
                state
            }
        }
        // an ERROR may answer the cookie: it is stale (§5.2.6)
        (SctpCookieEchoed, Direction::Reply) if chunks.kinds == 1 << 9 => SctpCookieEchoed,
        _ => return INVALID,
    };
    Step::To(next)
}

const fn folded(tag: u32) -> u16 {
    (tag ^ tag >> 16) as u16
}

#[cfg(test)]
mod tests;
