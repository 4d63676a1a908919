//! SAs with where they stand at the engine, and how that came.

use serde::{Deserialize, Serialize};

use crate::{FactView, HistoryView, Name, RemedyView, SaView};

/// SAs explained, in the order of their tunnels; the outgoing one first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SaExplainsView {
    /// Rows.
    pub sas: Vec<SaExplainView>,
    /// SAs in all.
    pub total: u64,
    /// Where the next page begins; absent at the end.
    pub next: Option<u64>,
}

/// One SA explained: four separate facts about it and its engine, and what stands in the way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SaExplainView {
    /// The SA, with what stands against it, the refusal and the last demotion.
    pub sa: SaView,
    /// The device whose rules the engine is held to; `soft` for its own.
    pub profile: Name,
    /// The configuration lets it be offered.
    pub requested: FactView,
    /// Nothing stands against it.
    pub eligible: FactView,
    /// The engine has it.
    pub installed: FactView,
    /// The engine's own counters rise.
    pub hitting: FactView,
    /// Offers, refusals and demotions, oldest first. The oldest are forgotten.
    pub history: Vec<HistoryView>,
    /// How many are forgotten, of all SAs.
    pub history_lost: u64,
    /// What would bring it to the engine.
    pub remedies: Vec<RemedyView>,
}
