//! A row of the reason registry as it leaves the process.

use reason::{Reason, ReasonRow};
use serde::{Deserialize, Serialize};

use crate::Name;

/// A reason with everything the registry says about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReasonView {
    /// Stable id.
    pub id: u16,
    /// Kebab-case name; what filters and metric labels use.
    pub name: Name,
    /// `drop`, `not-eligible`, `refusal`, `demotion` or `punt`.
    pub class: Name,
    /// `info`, `notice`, `warning` or `error`.
    pub severity: Name,
    /// What happened.
    pub sentence: Name,
    /// What a person can do about it.
    pub remedy: Name,
    /// The word other systems use for it; empty where they have none.
    pub elsewhere: Name,
}

impl ReasonView {
    /// The view of a reason.
    pub fn of<R: Reason>(reason: R) -> Self {
        Self::from(reason.row())
    }
}

impl From<&'static ReasonRow> for ReasonView {
    fn from(row: &'static ReasonRow) -> Self {
        Self {
            id: row.id,
            name: row.name.into(),
            class: row.class.name().into(),
            severity: row.severity.name().into(),
            sentence: row.sentence.into(),
            remedy: row.remedy.into(),
            elsewhere: row.vendor.into(),
        }
    }
}

/// How often a reason was the cause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReasonCount {
    /// The reason.
    pub reason: ReasonView,
    /// Packets (drop, punt) or occurrences (refusal, demotion) since the counters were cleared.
    pub count: u64,
    /// Since the last look, where a delta was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delta: Option<u64>,
}
