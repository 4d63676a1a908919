//! Properties: whatever the moment and whatever the bytes.

#![allow(missing_docs)]

mod contract;
mod fuzz;
mod streams;

/// `count` cases, or as many as `PROPTEST_CASES` says. Seeds of failures are printed, not kept.
fn cases(count: u32) -> proptest::test_runner::Config {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok());
    proptest::test_runner::Config {
        cases: asked.unwrap_or(count),
        failure_persistence: None,
        ..proptest::test_runner::Config::default()
    }
}
