//! The ledger: what is eligible, installed and hitting, per direction, since when, and why not.
//!
//! A session keeps an [`Entry`]: one [`Record`] per direction. Every change goes through the
//! [`Ledger`], which keeps the counters, the live gauges (how many sessions a reason holds back
//! right now) and a bounded [`History`]. Nothing here talks to an engine; the slow path does, and
//! reports what came of it.
//!
//! ```text
//!  not-evaluated ─ evaluated ─► not-eligible(set) │ eligible
//!  eligible ─ refused ─► refused(reason)      eligible ─ installed ─► installed ◄─► hitting
//!  installed, hitting ─ retire ─► retiring ─ removed ─► not-evaluated
//! ```
//!
//! *Hitting* is never assumed: it holds while the engine's own counters rise.

mod audit;
mod history;

use core::time::Duration;

use reason::{DemotionReason, NotEligible, Reason, ReasonSet, RefusalReason};
use wire::Time;

use crate::{Direction, EngineId, FlowStats, Handle, Refusal};

pub use audit::{DriftAudit, Finding, missing_in_engine};
pub use history::{Event, History, HistoryEntry};

/// How long a flow counts as hitting after the engine's counters last rose.
pub const HITTING_FOR: Duration = Duration::from_secs(5);

const _: () = assert!(NotEligible::ALL.len() <= 64, "a record keeps the set in 64 bits");
const _: () = assert!(size_of::<Record>() <= 32);

/// Where a direction stands with its engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nobody has asked yet, or something changed and it must be asked again.
    NotEvaluated,
    /// It qualifies; it has not been offered yet.
    Eligible,
    /// It does not qualify, for all of these reasons.
    NotEligible(ReasonSet<NotEligible>),
    /// It qualifies, and the engine did not take it. The evidence is in the history.
    Refused(RefusalReason),
    /// The engine has it; its counters have not risen lately.
    Installed(Handle),
    /// The engine has it and its counters rise.
    Hitting(Handle),
    /// It is on its way out; final counters are still to come.
    Retiring(Handle, DemotionReason),
}

impl State {
    /// The state in one kebab-case word.
    pub const fn name(&self) -> &'static str {
        self.kind().name()
    }

    /// The program in the engine, if there is one (retiring ones included).
    pub const fn handle(&self) -> Option<Handle> {
        match self {
            Self::Installed(handle) | Self::Hitting(handle) | Self::Retiring(handle, _) => {
                Some(*handle)
            }
            Self::NotEvaluated | Self::Eligible | Self::NotEligible(_) | Self::Refused(_) => None,
        }
    }

    /// Whether the engine serves it (installed or hitting).
    pub const fn is_installed(&self) -> bool {
        matches!(self, Self::Installed(_) | Self::Hitting(_))
    }

    const fn kind(&self) -> Kind {
        match self {
            Self::NotEvaluated => Kind::NotEvaluated,
            Self::Eligible => Kind::Eligible,
            Self::NotEligible(_) => Kind::NotEligible,
            Self::Refused(_) => Kind::Refused,
            Self::Installed(_) => Kind::Installed,
            Self::Hitting(_) => Kind::Hitting,
            Self::Retiring(..) => Kind::Retiring,
        }
    }
}

/// A [`State`] without what it carries; indexes [`Ledger::directions`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// [`State::NotEvaluated`].
    NotEvaluated,
    /// [`State::Eligible`].
    Eligible,
    /// [`State::NotEligible`].
    NotEligible,
    /// [`State::Refused`].
    Refused,
    /// [`State::Installed`].
    Installed,
    /// [`State::Hitting`].
    Hitting,
    /// [`State::Retiring`].
    Retiring,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::NotEvaluated,
        Self::Eligible,
        Self::NotEligible,
        Self::Refused,
        Self::Installed,
        Self::Hitting,
        Self::Retiring,
    ];

    /// The state in one kebab-case word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotEvaluated => "not-evaluated",
            Self::Eligible => "eligible",
            Self::NotEligible => "not-eligible",
            Self::Refused => "refused",
            Self::Installed => "installed",
            Self::Hitting => "hitting",
            Self::Retiring => "retiring",
        }
    }
}

/// One direction of a session in the ledger: 32 bytes.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    /// The set of reasons, or the handle (index in the low half), as the kind says.
    word: u64,
    since_ms: u64,
    /// Low half of the engine's packet count at the last observation.
    packets: u32,
    kind: Kind,
    /// Index of the refusal or demotion reason, as the kind says.
    reason: u8,
    engine: EngineId,
}

impl Default for Record {
    fn default() -> Self {
        Self {
            word: 0,
            since_ms: 0,
            packets: 0,
            kind: Kind::NotEvaluated,
            reason: 0,
            engine: EngineId(0),
        }
    }
}

impl Record {
    /// Where it stands.
    pub fn state(&self) -> State {
        let handle = Handle { index: self.word as u32, generation: (self.word >> 32) as u32 };
        let at = usize::from(self.reason);
        match self.kind {
            Kind::NotEvaluated => State::NotEvaluated,
            Kind::Eligible => State::Eligible,
            Kind::NotEligible => State::NotEligible(ReasonSet::from_bits(u128::from(self.word))),
            Kind::Refused => State::Refused(RefusalReason::ALL[at]),
            Kind::Installed => State::Installed(handle),
            Kind::Hitting => State::Hitting(handle),
            Kind::Retiring => State::Retiring(handle, DemotionReason::ALL[at]),
        }
    }

    /// Since when, to the millisecond.
    pub const fn since(&self) -> Time {
        Time::from_millis(self.since_ms)
    }

    /// Which engine the state is about.
    pub const fn engine(&self) -> EngineId {
        self.engine
    }

    fn set(&mut self, state: State, engine: EngineId, now: Time) {
        (self.word, self.reason) = match state {
            State::NotEvaluated | State::Eligible => (0, 0),
            State::NotEligible(set) => (set.bits() as u64, 0),
            State::Refused(reason) => (0, reason.index() as u8),
            State::Installed(handle) | State::Hitting(handle) => (packed(handle), 0),
            State::Retiring(handle, reason) => (packed(handle), reason.index() as u8),
        };
        self.kind = state.kind();
        self.engine = engine;
        self.since_ms = now.as_millis();
    }

    /// What holds it back, as bits.
    const fn against(&self) -> u64 {
        if matches!(self.kind, Kind::NotEligible) { self.word } else { 0 }
    }

    const fn refusal(&self) -> Option<usize> {
        if matches!(self.kind, Kind::Refused) { Some(self.reason as usize) } else { None }
    }
}

/// Both directions of a session.
#[derive(Clone, Copy, Debug, Default)]
pub struct Entry {
    records: [Record; 2],
}

impl Entry {
    /// One direction.
    pub const fn direction(&self, direction: Direction) -> &Record {
        &self.records[direction.index()]
    }

    /// Whether exactly one direction is served by an engine.
    pub fn is_partial(&self) -> bool {
        let [original, reply] = self.records.each_ref().map(|r| r.state().is_installed());
        original != reply
    }
}

/// What a transition changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// State before.
    pub from: State,
    /// State after.
    pub to: State,
}

impl Change {
    /// Whether anything changed.
    pub fn is_change(&self) -> bool {
        self.from != self.to
    }
}

/// Which direction of which session an operation is about, at which engine and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    /// Session.
    pub session: u32,
    /// Direction.
    pub direction: Direction,
    /// Engine.
    pub engine: EngineId,
    /// Now.
    pub now: Time,
}

/// Counters, live gauges and history over all sessions.
#[derive(Debug)]
pub struct Ledger {
    history: History,
    directions: [u64; Kind::ALL.len()],
    held_back: [u64; NotEligible::ALL.len()],
    refused: [u64; RefusalReason::ALL.len()],
    promotions: u64,
    demotions: [u64; DemotionReason::ALL.len()],
    refusals: [u64; RefusalReason::ALL.len()],
}

impl Ledger {
    /// A ledger whose history keeps `history` entries.
    pub fn new(history: usize) -> Self {
        Self {
            history: History::new(history),
            directions: [0; _],
            held_back: [0; _],
            refused: [0; _],
            promotions: 0,
            demotions: [0; _],
            refusals: [0; _],
        }
    }

    /// Enters a new session. Every entry is opened once and closed once.
    pub fn open(&mut self, entry: &mut Entry, now: Time) {
        for record in &mut entry.records {
            record.set(State::NotEvaluated, EngineId(0), now);
            self.directions[Kind::NotEvaluated as usize] += 1;
        }
    }

    /// Takes a session that ends out of the gauges. What its directions still have installed must
    /// have been retired before; `Removed` events that come later need [`Ledger::removed_late`].
    pub fn close(&mut self, entry: &Entry) {
        self.gauges(entry, |gauge| *gauge -= 1);
        for record in &entry.records {
            self.directions[record.kind as usize] -= 1;
        }
    }

    /// An evaluation found this standing against the direction; empty means eligible. Has no effect
    /// on a direction an engine holds: it has to be retired first.
    pub fn evaluated(
        &mut self,
        entry: &mut Entry,
        at: At,
        against: ReasonSet<NotEligible>,
    ) -> Change {
        let record = entry.direction(at.direction);
        let from = record.state();
        if from.handle().is_some() {
            return Change { from, to: from };
        }
        let to = if against.is_empty() { State::Eligible } else { State::NotEligible(against) };
        // the first finding of every session would drown everything else
        let worth_noting = !matches!(from, State::NotEvaluated);
        let change = self.step(entry, at, to);
        if change.is_change() && worth_noting && !against.is_empty() {
            self.history.push(at, Event::NotEligible(against));
        }
        change
    }

    /// The engine refused.
    pub fn refused(&mut self, entry: &mut Entry, at: At, refusal: Refusal) -> Change {
        self.refusals[refusal.reason.index()] += 1;
        let change = self.step(entry, at, State::Refused(refusal.reason));
        if change.is_change() {
            self.history.push(at, Event::Refused(refusal));
        }
        change
    }

    /// The engine took it.
    pub fn installed(&mut self, entry: &mut Entry, at: At, handle: Handle) -> Change {
        self.promotions += 1;
        self.history.push(at, Event::Installed(handle));
        let change = self.step(entry, at, State::Installed(handle));
        entry.records[at.direction.index()].packets = 0;
        change
    }

    /// The engine's counters for the installed program. It is hitting while they rise.
    pub fn observe(&mut self, entry: &mut Entry, at: At, stats: FlowStats) -> Change {
        let record = &mut entry.records[at.direction.index()];
        let from = record.state();
        if !from.is_installed() {
            return Change { from, to: from };
        }
        let rose = record.packets != stats.packets as u32;
        let first = rose && record.packets == 0;
        record.packets = stats.packets as u32;
        let to = match from {
            State::Installed(handle) if rose => State::Hitting(handle),
            State::Hitting(handle) if !rose && at.now.since(stats.last_hit) >= HITTING_FOR => {
                State::Installed(handle)
            }
            same => same,
        };
        if first {
            self.history.push(at, Event::FirstHit);
        }
        self.step(entry, at, to)
    }

    /// The slow path takes it out of the engine; `Removed` will follow.
    pub fn retire(&mut self, entry: &mut Entry, at: At, reason: DemotionReason) -> Change {
        let from = entry.direction(at.direction).state();
        match from {
            State::Installed(handle) | State::Hitting(handle) => {
                self.demotions[reason.index()] += 1;
                self.history.push(at, Event::Retiring(reason));
                self.step(entry, at, State::Retiring(handle, reason))
            }
            State::NotEvaluated
            | State::Eligible
            | State::NotEligible(_)
            | State::Refused(_)
            | State::Retiring(..) => Change { from, to: from },
        }
    }

    /// The engine reports a program gone, with its final counters. Has no effect if the direction
    /// has another handle by now.
    pub fn removed(
        &mut self,
        entry: &mut Entry,
        at: At,
        handle: Handle,
        reason: DemotionReason,
        stats: FlowStats,
    ) -> Change {
        let from = entry.direction(at.direction).state();
        if from.handle() != Some(handle) {
            return Change { from, to: from };
        }
        if from.is_installed() {
            // the engine did it on its own
            self.demotions[reason.index()] += 1;
        }
        self.history.push(at, Event::Removed(reason, stats));
        self.step(entry, at, State::NotEvaluated)
    }

    /// The engine reports a program of a session gone that has already been closed.
    pub fn removed_late(&mut self, at: At, reason: DemotionReason, stats: FlowStats) {
        self.history.push(at, Event::Removed(reason, stats));
    }

    /// What happened lately.
    pub const fn history(&self) -> &History {
        &self.history
    }

    /// Directions in a state now.
    pub const fn directions(&self, kind: Kind) -> u64 {
        self.directions[kind as usize]
    }

    /// Sessions now held back by a reason, in one direction or both.
    pub fn held_back(&self, reason: NotEligible) -> u64 {
        self.held_back[reason.index()]
    }

    /// Sessions now refused for a reason, in one direction or both.
    pub fn refused_now(&self, reason: RefusalReason) -> u64 {
        self.refused[reason.index()]
    }

    /// Directions installed since start.
    pub const fn promotions(&self) -> u64 {
        self.promotions
    }

    /// Directions that left an engine for a reason since start.
    pub fn demotions(&self, reason: DemotionReason) -> u64 {
        self.demotions[reason.index()]
    }

    /// Refusals for a reason since start.
    pub fn refusals(&self, reason: RefusalReason) -> u64 {
        self.refusals[reason.index()]
    }

    fn step(&mut self, entry: &mut Entry, at: At, to: State) -> Change {
        let from = entry.direction(at.direction).state();
        if from == to && entry.direction(at.direction).engine == at.engine {
            return Change { from, to };
        }
        self.gauges(entry, |gauge| *gauge -= 1);
        self.directions[from.kind() as usize] -= 1;
        entry.records[at.direction.index()].set(to, at.engine, at.now);
        self.directions[to.kind() as usize] += 1;
        self.gauges(entry, |gauge| *gauge += 1);
        Change { from, to }
    }

    /// Visits the gauge of every reason that holds back or refused either direction, once each.
    fn gauges(&mut self, entry: &Entry, mut visit: impl FnMut(&mut u64)) {
        let [original, reply] = &entry.records;
        let mut bits = original.against() | reply.against();
        while bits != 0 {
            if let Some(gauge) = self.held_back.get_mut(bits.trailing_zeros() as usize) {
                visit(gauge);
            }
            bits &= bits - 1;
        }
        let (a, b) = (original.refusal(), reply.refusal());
        for reason in [a, b.filter(|_| a != b)].into_iter().flatten() {
            visit(&mut self.refused[reason]);
        }
    }
}

const fn packed(handle: Handle) -> u64 {
    (handle.generation as u64) << 32 | handle.index as u64
}

#[cfg(test)]
mod tests;
