//! Clients of remote access with where their DTLS associations stand at the engine, and how that came.

use serde::{Deserialize, Serialize};

use crate::{
    AssociationView, DemotionView, FactView, FindingView, HistoryView, Name, RecordsView,
    RefusalView, RemedyView, RemoteClientView,
};

/// Clients explained, in the order they logged in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DtlsExplainsView {
    /// Rows.
    pub clients: Vec<DtlsExplainView>,
    /// Clients in all.
    pub total: u64,
    /// Where the next page begins; absent at the end.
    pub next: Option<u64>,
}

/// One client explained: why its packets go by what they go by, and each direction of its association.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DtlsExplainView {
    /// The client.
    pub client: RemoteClientView,
    /// Its association, whether packets go by it or not.
    pub association: Option<AssociationView>,
    /// What keeps its packets from DTLS; absent when they go by it, or the client is not there.
    pub cstp: Option<FindingView>,
    /// Name of the engine.
    pub engine: Name,
    /// The device whose rules the engine is held to; `soft` for its own.
    pub profile: Name,
    /// What goes out and what comes in; none while packets do not go by DTLS.
    pub directions: Vec<DtlsDirectionView>,
    /// How many steps of histories are forgotten, of all clients.
    pub history_lost: u64,
}

/// One direction of an association: four separate facts about it and its engine, and what stands in the way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DtlsDirectionView {
    /// `out` (what seals) or `in` (what opens).
    pub direction: Name,
    /// The configuration lets it be offered.
    pub requested: FactView,
    /// Nothing stands against it.
    pub eligible: FactView,
    /// The engine has it.
    pub installed: FactView,
    /// The engine's own counters rise.
    pub hitting: FactView,
    /// What stands against it; empty when eligible.
    pub against: Vec<FindingView>,
    /// The engine's last refusal, if it stands.
    pub refusal: Option<RefusalView>,
    /// The last demotion.
    pub demotion: Option<DemotionView>,
    /// Records, by who served them.
    pub records: RecordsView,
    /// Offers, refusals and demotions of all associations the client has had, oldest first. The oldest are
    /// forgotten.
    pub history: Vec<HistoryView>,
    /// What would bring it to the engine.
    pub remedies: Vec<RemedyView>,
}
