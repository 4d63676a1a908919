//! Routes.

use core::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::Name;

/// One page of routes, or the longest match for one destination.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RoutesView {
    /// The address that was looked up, when one was.
    pub lookup: Option<IpAddr>,
    /// By virtual router, then prefix.
    pub routes: Vec<RouteView>,
    /// All there are.
    pub total: u64,
    /// Cursor of the next page; absent at the end.
    pub next: Option<u64>,
}

/// One route; several next hops share load by session.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RouteView {
    /// Virtual router.
    pub vr: String,
    /// Destination prefix.
    pub destination: String,
    /// `connected`, `static`, `local` or `blackhole`.
    pub origin: Name,
    /// Metric.
    pub metric: u32,
    /// Next hops.
    pub next_hops: Vec<NextHopView>,
    /// Line of the configuration; 0 when not written (connected, local).
    pub line: u32,
    /// Whether packets are sent by it: not shadowed by a better metric, interface up.
    pub active: bool,
}

/// One next hop.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NextHopView {
    /// Gateway; absent when destinations are on the link.
    pub gateway: Option<IpAddr>,
    /// Interface; empty for a blackhole.
    pub interface: String,
    /// Weight.
    pub weight: u8,
    /// State of the neighbour: as [`crate::NeighbourView::state`], empty on the link.
    pub neighbour: Name,
}
