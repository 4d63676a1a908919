//! The reason registry: one row for every cause the gateway can name.
//!
//! A reason is a row of `rows`: a stable id, a kebab-case name, a severity, one sentence, a remedy
//! and the word other systems use for it. The rows of a class become an enum ([`DropReason`],
//! [`NotEligible`], [`RefusalReason`], [`DemotionReason`], [`PuntCause`]); text, metric labels, JSON
//! and the reference page all come from the same row.
//!
//! Limits: one cause, one reason. There is no catch-all row, ids are never reused, and at most 128
//! rows fit in a class so that a [`ReasonSet`] stays a single `u128`.

#![forbid(unsafe_code)]

mod class;
mod page;
mod rows;
mod set;

pub use class::{Class, Reason, ReasonRow, Severity};
pub use page::reference_page;
pub use rows::{DemotionReason, DropReason, NotEligible, PuntCause, RefusalReason, by_name};
pub use set::ReasonSet;
