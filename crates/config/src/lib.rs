//! The configuration: a TOML model, parsed and validated as a whole into types that cannot be wrong.
//!
//! [`parse`] turns text into a [`Config`] or into diagnostics that point at the line and say the
//! fix. What comes out has every name resolved: objects became ranges, names became indices.
//! Nothing here knows running state.
//!
//! [`keys`] is the one table of sections and keys: the parser takes ranges, defaults and
//! suggestions from it.
//!
//! Limits: one file, no includes; comments and formatting are not kept.

#![forbid(unsafe_code)]

use std::time::{SystemTime, UNIX_EPOCH};

mod build;
mod diagnostic;
mod diff;
pub mod keys;
mod look_up;
pub mod model;
mod names;
mod read;
mod reference;
mod services;
mod suggest;
mod values;

pub use diagnostic::{Diagnostic, Diagnostics, Place, Severity};
pub use diff::{Change, ChangeKind, ConfigDiff, FieldChange, Touches, diff};
pub use model::Config;
pub use read::Files;
pub use reference::reference_page;
pub use services::PREDEFINED as PREDEFINED_SERVICES;
pub use values::is_principal;

/// What a text that is in order gives.
#[derive(Clone, Debug)]
pub struct Parsed {
    /// The validated configuration.
    pub config: Config,
    /// What is allowed but probably not meant.
    pub warnings: Vec<Diagnostic>,
}

/// Reads and validates a configuration. `source_name` stands for the file in messages. Files that the
/// text names are read from the file system, and certificates are judged by the time of day.
///
/// # Errors
/// All that is wrong with the text, in the order of its lines; warnings are among them. Faults of
/// TOML syntax hide the rest, because what was meant is then unknown.
pub fn parse(source_name: &str, text: &str) -> Result<Parsed, Diagnostics> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
    parse_with(source_name, text, &|path| std::fs::read(path), now)
}

/// [`parse`], with files from elsewhere and at another time, in seconds of Unix time.
///
/// # Errors
/// As [`parse`].
pub fn parse_with(
    source_name: &str,
    text: &str,
    files: Files<'_>,
    now: u64,
) -> Result<Parsed, Diagnostics> {
    let doc = read::Doc::new(source_name, text, files, now);
    let (root, faults) = toml::de::DeTable::parse_recoverable(text);
    for fault in &faults {
        doc.syntax(fault);
    }
    let config = if faults.is_empty() { Some(build::config(&doc, root.get_ref())) } else { None };
    let diagnostics = doc.finish();
    match config {
        Some(config) if !diagnostics.iter().any(|d| d.severity == Severity::Error) => {
            Ok(Parsed { config, warnings: diagnostics })
        }
        _ => Err(Diagnostics::new(diagnostics)),
    }
}
