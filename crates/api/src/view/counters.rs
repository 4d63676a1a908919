//! Counters of the gateway as a whole.

use serde::{Deserialize, Serialize};

use crate::{Name, ReasonCount, Traffic};

/// The tier ladder, drops, punts and named counters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CountersView {
    /// Since the counters were cleared or the gateway started.
    pub since_ms: u64,
    /// Since the last look with `delta`, where that was asked for.
    pub delta_since_ms: Option<u64>,
    /// The ladder with costs, fastest first.
    pub ladder: Vec<LadderStep>,
    /// Dropped packets by reason, most first; those that happened.
    pub drops: Vec<ReasonCount>,
    /// Punted packets by cause, most first; those that happened.
    pub punts: Vec<ReasonCount>,
    /// Every other counter that is not zero, by group.
    pub counters: Vec<CounterView>,
}

/// One step of the tier ladder.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LadderStep {
    /// `fast`, `slow-established`, `slow-setup`, `local`, `dropped`.
    pub tier: Name,
    /// Engine, on the fast tier.
    pub engine: Option<Name>,
    /// What it served.
    pub traffic: Traffic,
    /// Since the last look, where a delta was asked for.
    pub delta: Option<Traffic>,
    /// Mean time per packet, where it is measured.
    pub ns_per_packet: Option<f64>,
}

/// A named counter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CounterView {
    /// Group: `ingress`, `reassembly`, `session`, `nat`, `neighbour`, `icmp`, …
    pub group: Name,
    /// Name within the group, kebab-case.
    pub name: Name,
    /// Unit: `packets`, `bytes`, `frames`, `sessions`, …
    pub unit: Name,
    /// Value.
    pub value: u64,
    /// Since the last look, where a delta was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delta: Option<u64>,
    /// What it counts, one sentence.
    pub help: Name,
}

/// How much was cleared.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClearedView {
    /// `sessions`, `neighbours`, `ike`, `counters` or the kind of statistics.
    pub what: Name,
    /// How many; for sessions those that are looked through, whether the filter matches or not.
    pub count: u64,
    /// Still to be looked through, slice by slice.
    pub pending: u64,
}
