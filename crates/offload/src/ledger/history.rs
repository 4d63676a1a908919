//! A bounded memory of what happened to sessions, oldest forgotten first.

use core::fmt;
use std::collections::VecDeque;

use reason::{DemotionReason, NotEligible, ReasonSet};
use wire::Time;

use super::At;
use crate::{Direction, EngineId, FlowStats, Handle, Refusal};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It stopped qualifying, or for other reasons than before.
    NotEligible(ReasonSet<NotEligible>),
    /// The engine refused it, with this evidence.
    Refused(Refusal),
    /// The engine took it.
    Installed(Handle),
    /// The engine counted its first packet.
    FirstHit,
    /// The slow path took it out.
    Retiring(DemotionReason),
    /// It is gone, with these final counters.
    Removed(DemotionReason, FlowStats),
}

/// `refused table-full (used=1024 limit=1024)`
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotEligible(set) => write!(f, "not eligible: {set}"),
            Self::Refused(refusal) => write!(f, "refused {refusal}"),
            Self::Installed(_) => f.write_str("installed"),
            Self::FirstHit => f.write_str("first hit"),
            Self::Retiring(reason) => write!(f, "retiring: {reason}"),
            Self::Removed(reason, stats) => {
                write!(f, "removed: {reason} (packets={} bytes={})", stats.packets, stats.bytes)
            }
        }
    }
}

/// One thing that happened to one direction of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryEntry {
    /// When.
    pub time: Time,
    /// Session. Ids are given again; ask with the time the session began.
    pub session: u32,
    /// Direction.
    pub direction: Direction,
    /// Engine.
    pub engine: EngineId,
    /// What.
    pub event: Event,
}

/// The ring of the last things that happened.
#[derive(Debug)]
pub struct History {
    ring: VecDeque<HistoryEntry>,
    capacity: usize,
    forgotten: u64,
}

impl History {
    /// Room for `capacity` entries.
    pub fn new(capacity: usize) -> Self {
        Self { ring: VecDeque::with_capacity(capacity), capacity, forgotten: 0 }
    }

    /// What is remembered of a session since it began, oldest first. Walks the whole ring.
    pub fn of(&self, session: u32, since: Time) -> impl Iterator<Item = &HistoryEntry> {
        self.ring.iter().filter(move |e| e.session == session && e.time >= since)
    }

    /// Everything that is remembered, oldest first.
    pub fn all(&self) -> impl DoubleEndedIterator<Item = &HistoryEntry> + ExactSizeIterator {
        self.ring.iter()
    }

    /// How many entries had to make room.
    pub const fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Bytes of memory taken.
    pub fn memory(&self) -> u64 {
        (self.ring.capacity() * size_of::<HistoryEntry>()) as u64
    }

    pub(super) fn push(&mut self, at: At, event: Event) {
        if self.capacity == 0 {
            self.forgotten += 1;
            return;
        }
        if self.ring.len() == self.capacity {
            self.ring.pop_front();
            self.forgotten += 1;
        }
        self.ring.push_back(HistoryEntry {
            time: at.now,
            session: at.session,
            direction: at.direction,
            engine: at.engine,
            event,
        });
    }
}
