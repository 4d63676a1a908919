//! The engines sessions are promoted to. This version has one, [`soft`]: our own workers.
//!
//! An engine runs compiled programs and never learns what a policy is or why a session exists; it
//! knows [`offload`]'s contract, frames and headers.

pub mod soft;
pub mod workload;

pub use soft::{
    BURST, Output, Punt, PuntLimit, PuntLimits, SoftConfig, SoftControl, SoftWorker, TraceHit, soft,
};
