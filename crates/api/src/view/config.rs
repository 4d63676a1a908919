//! Configuration: checked, compared, applied.

use serde::{Deserialize, Serialize};

use crate::Name;

/// Something to say about a line of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiagnosticView {
    /// `error` or `warning`.
    pub severity: Name,
    /// Stable kebab-case name of the kind of fault.
    pub code: String,
    /// File, as the client named it.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// The fix.
    pub help: String,
    /// Text with the excerpt of the source, several lines, no colour.
    pub rendered: String,
}

/// The outcome of a check; a text with errors comes back as an error instead.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigCheckedView {
    /// File, as the client named it.
    pub source: String,
    /// What is allowed but probably not meant.
    pub warnings: Vec<DiagnosticView>,
    /// How many ports, interfaces, policies, … it has.
    pub contents: Vec<ContentCount>,
}

/// How many of something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentCount {
    /// `ports`, `interfaces`, `policies`, …
    pub what: Name,
    /// How many.
    pub count: u64,
}

/// What would change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigDiffView {
    /// Changes, in the order of the sections.
    pub changes: Vec<ChangeView>,
    /// What is allowed but probably not meant.
    pub warnings: Vec<DiagnosticView>,
}

/// What happened to one object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeView {
    /// `added`, `removed`, `changed`, or `moved` when only its place in the order differs.
    pub change: Name,
    /// Section of the configuration: `policy`, `interface`, …
    pub section: String,
    /// How the object is known; empty for sections that exist once.
    pub name: String,
    /// Line in the new configuration; in the old one for what was removed.
    pub line: u32,
    /// Fields that differ, for `changed`.
    pub fields: Vec<FieldChangeView>,
}

/// One field that differs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldChangeView {
    /// Key.
    pub field: String,
    /// Value in the running configuration.
    pub before: Option<String>,
    /// Value in the new one.
    pub after: Option<String>,
}

/// What runs now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigAppliedView {
    /// `applied`, `unchanged`, `confirmed` or `reverted`.
    pub outcome: Name,
    /// Counts up with every configuration that ran, from 1.
    pub generation: u64,
    /// What changed against what ran before.
    pub changes: Vec<ChangeView>,
    /// What is allowed but probably not meant.
    pub warnings: Vec<DiagnosticView>,
    /// Seconds until it is taken back unless confirmed.
    pub confirm_seconds: Option<u32>,
}
