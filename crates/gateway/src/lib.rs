//! The slow path, sans-IO: the stages of the packet's day, and the state they decide on.

#![forbid(unsafe_code)]

pub mod anomaly;
mod deadlines;
mod keyed;
pub mod local;
pub mod nat;
pub mod neighbour;
pub mod policy;
pub mod reassembly;
pub mod rng;
pub mod route;
pub mod session;
#[cfg(test)]
mod test_config;
