//! The system as a whole, and anomaly sensors.

use core::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{Name, ReasonView};

/// Version, uptime, memory, tables.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SystemView {
    /// Name of the gateway.
    pub hostname: String,
    /// Version of the program.
    pub version: String,
    /// Since start.
    pub uptime_ms: u64,
    /// The running configuration.
    pub config: ConfigStateView,
    /// Processor model and features that matter; filled by the daemon.
    pub cpu: String,
    /// Share of the last whole second in which each forwarding thread was busy, 0 to 1; filled by the
    /// daemon.
    pub busy: Vec<f64>,
    /// Resident memory of the process; filled by the daemon.
    pub resident_bytes: Option<u64>,
    /// Tables with their occupancy.
    pub tables: Vec<TableView>,
    /// What the process may still do, as names of capabilities; filled by the daemon.
    pub capabilities: Vec<String>,
}

/// Where the running configuration stands; filled by the daemon.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigStateView {
    /// Where it came from.
    pub source: String,
    /// Counts up with every configuration that ran, from 1.
    pub generation: u64,
    /// Since it was applied.
    pub applied_ms: u64,
    /// Until it is taken back unless confirmed; absent when it stays.
    pub reverts_in_ms: Option<u64>,
    /// Why the last try to change it failed, if the last try failed.
    pub last_failure: Option<String>,
}

/// Occupancy of a table, pool or ring.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableView {
    /// Name: `sessions`, `flows`, `neighbours`, `reassembly`, `frames`, `super-frames`, …
    pub name: Name,
    /// In use.
    pub used: u64,
    /// How many fit; 0 where there is no bound.
    pub capacity: u64,
    /// Most in use at once since start, where it is kept.
    pub peak: Option<u64>,
    /// Memory it takes, where it is known.
    pub memory_bytes: Option<u64>,
}

/// Anomaly checks and sensors.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AnomalyView {
    /// Rate sensors.
    pub sensors: Vec<SensorView>,
    /// Checks on single packets, those that happened.
    pub checks: Vec<crate::ReasonCount>,
}

/// One rate sensor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SensorView {
    /// `syn`, `udp`, `icmp` or `scan`.
    pub name: Name,
    /// `block`, `monitor`, or `off` when it is not configured.
    pub action: Name,
    /// Threshold per source.
    pub per_second: u32,
    /// Reason packets above it are dropped with.
    pub reason: ReasonView,
    /// Packets dropped by it.
    pub dropped: u64,
    /// The worst sources now, most first.
    pub top: Vec<SensorSourceView>,
}

/// A source as a sensor sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SensorSourceView {
    /// The source.
    pub source: IpAddr,
    /// Its rate.
    pub per_second: u32,
}
