//! Engines, and why sessions are not on them.

use serde::{Deserialize, Serialize};

use crate::{Name, ReasonCount, ReasonView, Traffic};

/// All engines.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EnginesView {
    /// In the order they are preferred.
    pub engines: Vec<EngineView>,
}

/// One engine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EngineView {
    /// Name.
    pub name: Name,
    /// The device whose rules decide what it is offered; `soft` for its own.
    pub profile: Name,
    /// `running`, `stopped`.
    pub state: Name,
    /// What it can do: protocols and properties, as words.
    pub capabilities: Vec<Name>,
    /// Workers.
    pub workers: u32,
    /// Flows installed.
    pub flows: u64,
    /// How many fit.
    pub flow_capacity: u64,
    /// SAs installed, each direction counted.
    pub sas: u64,
    /// How many fit.
    pub sa_capacity: u64,
    /// Next hops in use.
    pub adjacencies: u64,
    /// How many fit.
    pub adjacency_capacity: u64,
    /// Removed flows that some worker may still use.
    pub retiring: u64,
    /// Lookups that found a flow.
    pub hits: u64,
    /// Lookups that found none.
    pub misses: u64,
    /// Forwarded.
    pub forwarded: Traffic,
    /// Bursts processed.
    pub bursts: u64,
    /// Flows installed since start.
    pub installed: u64,
    /// Flows removed since start.
    pub removed: u64,
    /// Flows evicted for busier ones since start.
    pub evicted: u64,
    /// Refusals by reason, those that happened.
    pub refusals: Vec<ReasonCount>,
    /// Demotions by reason, those that happened.
    pub demotions: Vec<ReasonCount>,
    /// Punts by cause, those that happened.
    pub punts: Vec<PuntView>,
    /// Punts waiting now.
    pub punt_depth: u64,
    /// How many fit.
    pub punt_capacity: u64,
    /// Memory of its tables.
    pub memory_bytes: u64,
    /// The last drift audit.
    pub audit: AuditView,
}

/// One cause of punts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PuntView {
    /// The cause.
    pub cause: ReasonView,
    /// Packets handed to the slow path.
    pub packets: u64,
    /// Packets dropped because the ring was full.
    pub ring_full: u64,
    /// Packets dropped by the limit of the cause.
    pub limited: u64,
    /// That limit in packets a second.
    pub limit_per_second: Option<u32>,
}

/// The drift audit: ledger against engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditView {
    /// Whole passes since start.
    pub passes: u64,
    /// Since the end of the last pass; absent before the first.
    pub last_ms: Option<u64>,
    /// Differences found since start.
    pub found: u64,
    /// Differences repaired since start.
    pub repaired: u64,
}

/// Why sessions are not on a faster tier, and why they left.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OffloadReasonsView {
    /// Sessions now.
    pub sessions: u64,
    /// Directions that an engine has.
    pub flows: u64,
    /// Reasons that stand now, most sessions first. A session with several counts in each.
    pub standing: Vec<OffloadReasonView>,
    /// Refusals since the counters were cleared.
    pub refusals: Vec<ReasonCount>,
    /// Demotions since the counters were cleared.
    pub demotions: Vec<ReasonCount>,
}

/// One standing reason.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OffloadReasonView {
    /// The reason: not-eligible or refusal.
    pub reason: ReasonView,
    /// Engine it is about.
    pub engine: Name,
    /// Sessions it stands for now.
    pub sessions: u64,
}
