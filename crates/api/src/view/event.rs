//! Events.

use serde::{Deserialize, Serialize};

use crate::{Name, TupleView};

/// Events after a sequence number, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EventsView {
    /// Events that match.
    pub events: Vec<EventView>,
    /// Sequence number to go on after; the last one looked at.
    pub last: u64,
    /// Events that were asked for and are no longer kept.
    pub lost: u64,
    /// Whether more wait.
    pub more: bool,
}

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EventView {
    /// Sequence number, from 1.
    pub seq: u64,
    /// Since the gateway started.
    pub uptime_ms: u64,
    /// Wall clock, milliseconds since 1970-01-01 UTC; filled by the daemon.
    pub unix_ms: Option<u64>,
    /// `session-start`, `session-end`, `promoted`, `demoted`, `refused`, `neighbour`, `link`,
    /// `anomaly`, `config`, `audit`, `pool`.
    pub event: Name,
    /// `info`, `notice`, `warning` or `error`.
    pub severity: Name,
    /// Session it is about.
    pub session: Option<u64>,
    /// Its tuple.
    pub tuple: Option<TupleView>,
    /// Number of the policy.
    pub policy: Option<u32>,
    /// Name of the reason.
    pub reason: Option<Name>,
    /// Engine it is about.
    pub engine: Option<Name>,
    /// One line.
    pub message: String,
}
