//! Simulated networks of hosts and gateways in simulated time, with a capture and a recording of
//! every scenario, and assertions on all counters.
//!
//! - [`sim`]: hosts with a TCP/IP stack, raw hosts, gateways, links with faults; one clock, one seed.
//! - [`apps`]: what hosts do; every byte that arrives is checked.
//! - [`counters`]: all counters of a gateway, and [`expect_changes!`] that names every change.
//! - [`recording`]: what a gateway was given and sent, and [`recording::replay`].
//! - [`sites`]: two sites and the network between their gateways;
//! - [`office`]: a branch office with servers, guests and the internet; [`rig`]: one gateway between
//!   raw hosts.
//!
//! Tests and `lockgate demo` stand on it. Limits: the daemon, its sockets and its threads are not here.

#![forbid(unsafe_code)]

pub mod apps;
pub mod counters;
pub mod office;
pub mod recording;
pub mod rig;
pub mod rng;
pub mod sim;
pub mod sites;

pub use sim::ask;
