//! Sessions: one bidirectional conversation each, found by the packets of either direction.
//!
//! ```text
//!   vr, tuple ──Index──► slot, direction        SessionId = slot + generation
//!                          │
//!                   SessionTable: Vec<Session> ── Timers (one link per slot)
//!                          │
//!              Session::observe: state machines of TCP, SCTP and everything else
//! ```
//!
//! A session has two keys: its original tuple as the first packet arrives, and its reply tuple as
//! the answers arrive, after translation. Both lead to the same slot. Ids carry a generation, so a
//! late use of one is harmless. A session that ends is first [unlinked](SessionTable::unlink), so
//! that no packet finds it any more, and [removed](SessionTable::remove) once nothing holds it.
//!
//! | file | holds |
//! |---|---|
//! | `session.rs` | what is remembered of a session |
//! | `table.rs` | slots, look-up, gauges |
//! | `index.rs` | the hash index from tuple to slot |
//! | `timers.rs` | the timer wheel |
//! | `state.rs` | states, timeouts, what stands against offload |
//! | `tcp.rs`, `sctp.rs` | the state machines |
//!
//! Memory, all counted: 264 bytes a slot, 8 for the timer, 18.3 for both index entries.

mod display;
mod index;
mod sctp;
#[expect(clippy::module_inception, reason = "the file holds the type the room is named after")]
mod session;
mod state;
mod table;
mod tcp;
mod timers;

use core::{fmt, num::ParseIntError, str::FromStr};

pub use sctp::{SctpChunks, sctp_chunks};
pub use session::{Identity, Kind, Session, Tally};
pub use state::{Observation, SessionState, Transport, transport};
pub use table::{Gauges, InsertError, SessionTable};
pub use tcp::{TcpSegment, opens_tcp, tcp_segment};

/// A session: its slot, and which tenant of the slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId {
    /// Slot in the table.
    pub index: u32,
    /// Which tenant of the slot, counted from 0.
    pub generation: u32,
}

impl SessionId {
    /// The id as one number: the generation in the high half.
    pub const fn as_u64(self) -> u64 {
        (self.generation as u64) << 32 | self.index as u64
    }

    /// The id behind a number.
    pub const fn from_u64(id: u64) -> Self {
        Self { index: id as u32, generation: (id >> 32) as u32 }
    }
}

/// Hexadecimal, without leading zeros: `1a2b`.
impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::LowerHex::fmt(&self.as_u64(), f)
    }
}

impl FromStr for SessionId {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, ParseIntError> {
        u64::from_str_radix(text, 16).map(Self::from_u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_text() {
        for id in [
            SessionId { index: 0x1a2b, generation: 0 },
            SessionId { index: u32::MAX, generation: 7 },
            SessionId { index: 0, generation: u32::MAX },
        ] {
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        assert_eq!(SessionId { index: 0x1a2b, generation: 0 }.to_string(), "1a2b");
        assert!("xyz".parse::<SessionId>().is_err());
    }
}
