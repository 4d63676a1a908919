//! What leaves the process: one struct for every `show`, and the filter language.

#![forbid(unsafe_code)]

pub mod filter;
