//! What a reason is, whichever class it belongs to.

use core::fmt;

/// What kind of question a reason answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Why a packet went no further.
    Drop,
    /// Why a flow does not qualify for an engine.
    NotEligible,
    /// Why an engine did not take a flow that qualifies.
    Refusal,
    /// Why a flow left an engine.
    Demotion,
    /// Why the fast path handed one packet to the slow path.
    Punt,
}

impl Class {
    /// The class as one lower-case word.
    pub const fn name(self) -> &'static str {
        match self {
            Class::Drop => "drop",
            Class::NotEligible => "not-eligible",
            Class::Refusal => "refusal",
            Class::Demotion => "demotion",
            Class::Punt => "punt",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How much an operator should care.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Expected in normal work.
    Info,
    /// Normal, but worth a look when it grows.
    Notice,
    /// Traffic or speed is being lost.
    Warning,
    /// The gateway or its surroundings are at fault.
    Error,
}

impl Severity {
    /// The severity as one lower-case word.
    pub const fn name(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Notice => "notice",
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One row of the registry.
#[derive(Clone, Copy, Debug)]
pub struct ReasonRow {
    /// Stable id: class in the high byte, number in the low byte. Never reused.
    pub id: u16,
    /// Which question it answers.
    pub class: Class,
    /// Kebab-case name, unique in the whole registry.
    pub name: &'static str,
    /// How much to care.
    pub severity: Severity,
    /// One sentence that says what happened.
    pub sentence: &'static str,
    /// What a person can do about it.
    pub remedy: &'static str,
    /// What FortiOS, Cisco or Linux call it; empty where they have no word.
    pub vendor: &'static str,
}

/// A reason of one class: a fieldless enum whose discriminants count from zero.
pub trait Reason: Copy + Eq + fmt::Debug + fmt::Display + 'static {
    /// Every member, in the order of the registry.
    const ALL: &'static [Self];
    /// The class the enum stands for.
    const CLASS: Class;
    /// Position in [`Reason::ALL`]; indexes counter arrays.
    fn index(self) -> usize;
    /// The row behind this reason.
    fn row(self) -> &'static ReasonRow;
    /// Kebab-case name; also the metric label.
    fn name(self) -> &'static str {
        self.row().name
    }
}
