//! One session with its stored decision: no packet is needed to explain it.

use serde::{Deserialize, Serialize};

use crate::{DirectionView, Name, Phase, PlacementView, ReasonView, SessionView};

/// One session explained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExplainView {
    /// The session, with its placements.
    pub session: SessionView,
    /// For a flow: which direction of the session it is.
    pub direction: Option<DirectionView>,
    /// The phases that decided, as the first packet met them.
    pub phases: Vec<Phase>,
    /// Promotions, refusals and demotions, oldest first. The oldest are forgotten.
    pub history: Vec<HistoryView>,
    /// How many are forgotten.
    pub history_lost: u64,
    /// What would make it faster, in the order of importance.
    pub remedies: Vec<RemedyView>,
    /// Other sessions that the filter matches, as far as it was looked.
    pub others: u64,
}

/// One step in the life of a session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HistoryView {
    /// Since the session was made.
    pub at_ms: u64,
    /// Direction; absent for both.
    pub direction: Option<DirectionView>,
    /// Engine.
    pub engine: Option<Name>,
    /// `created`, `eligible`, `not-eligible`, `installed`, `hitting`, `refused`, `demoted`.
    pub step: Name,
    /// Name of the reason.
    pub reason: Option<Name>,
    /// `config-epoch 41 -> 42`; empty when the reason says all.
    pub evidence: String,
}

/// What would help.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RemedyView {
    /// The reason to remove.
    pub reason: ReasonView,
    /// Direction it is about; absent for both.
    pub direction: Option<DirectionView>,
    /// Engine it is about.
    pub engine: Option<Name>,
    /// Until it is tried again by itself; absent when it is not, or when no time is known.
    pub retry_in_ms: Option<u64>,
    /// When it is tried again, in words: `at every neighbour update`; empty when never.
    pub retry: Name,
}

impl ExplainView {
    /// Placements of one direction, in the order of the engines.
    pub fn placements(&self, direction: DirectionView) -> impl Iterator<Item = &PlacementView> {
        self.session.placements.iter().filter(move |p| p.direction == direction)
    }
}
