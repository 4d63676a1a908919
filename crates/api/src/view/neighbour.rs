//! Neighbours.

use core::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::Name;

/// One page of neighbours.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NeighboursView {
    /// By interface, then address.
    pub neighbours: Vec<NeighbourView>,
    /// All there are.
    pub total: u64,
    /// How many fit.
    pub capacity: u64,
    /// Cursor of the next page; absent at the end.
    pub next: Option<u64>,
}

/// One neighbour.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NeighbourView {
    /// Interface.
    pub interface: String,
    /// Address.
    pub address: IpAddr,
    /// MAC address; absent until resolved.
    pub mac: Option<String>,
    /// `incomplete`, `reachable`, `stale`, `delay`, `probe`, `failed` or `static` (RFC 4861 §7.3.2).
    pub state: Name,
    /// Since it was last confirmed; absent if it never was.
    pub confirmed_ms: Option<u64>,
    /// Packets held for it now.
    pub held: u32,
    /// Directions of sessions that use it.
    pub flows: u64,
    /// Line of the configuration for static ones; 0 otherwise.
    pub line: u32,
}
