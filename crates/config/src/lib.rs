//! The configuration: a TOML model, parsed and validated as a whole into types that cannot be wrong.
//!
//! [`parse`] turns text into a [`Config`] or into diagnostics that point at the line and say the
//! fix. What comes out has every name resolved: objects became ranges, names became indices.
//! Nothing here knows running state.

#![forbid(unsafe_code)]

pub mod model;

pub use model::Config;
