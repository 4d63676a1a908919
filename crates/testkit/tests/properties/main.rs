//! Properties: whatever the moment and whatever the bytes.

#![allow(missing_docs)]

mod contract;
mod fuzz;
mod streams;
