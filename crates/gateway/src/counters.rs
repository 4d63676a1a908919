//! Counters of the slow path. Arrays are indexed by the reason's place in the registry.

use config::model::IfId;
use reason::{DropReason, Reason};

/// Packets and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    /// Packets; a super-packet counts as the packets it stands for.
    pub packets: u64,
    /// Bytes of IP packets as received; a super-packet counts as those it stands for.
    pub bytes: u64,
}

impl Volume {
    /// Counts `packets` packets of together `bytes` bytes.
    pub fn add(&mut self, packets: u64, bytes: u64) {
        self.packets += packets;
        self.bytes += bytes;
    }
}

/// What the slow path has counted since start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counters {
    /// Packets dropped, by [`DropReason`] index.
    pub drops: Vec<u64>,
    /// Packets dropped, by incoming interface.
    pub interface_drops: Vec<u64>,
    /// Served by a session that existed.
    pub established: Volume,
    /// Served while a session was set up.
    pub setup: Volume,
    /// Sent by the slow path.
    pub sent: Volume,
    /// Delivered to the gateway itself.
    pub delivered: Volume,
    /// Made by the gateway itself.
    pub originated: Volume,
    /// Sessions created.
    pub sessions_created: u64,
    /// Sessions ended.
    pub sessions_ended: u64,
    /// ICMP errors sent.
    pub icmp_errors_sent: u64,
    /// ICMP errors not sent because of the rate limit.
    pub icmp_errors_limited: u64,
    /// TCP resets sent.
    pub resets_sent: u64,
    /// ARP requests and neighbour solicitations sent.
    pub solicitations_sent: u64,
    /// Answers to ARP requests and neighbour solicitations.
    pub advertisements_sent: u64,
    /// Fragments made of packets too large for their way out.
    pub fragments_made: u64,
    /// Packets put together from fragments.
    pub reassembled: u64,
    /// SYN segments whose MSS was clamped.
    pub mss_clamped: u64,
    /// Sessions evaluated again after a change.
    pub reevaluated: u64,
    /// Differences between ledger and engine that the audit repaired.
    pub drift_repaired: u64,
}

impl Counters {
    /// Zeroes, for `interfaces` interfaces.
    pub fn new(interfaces: usize) -> Self {
        Self {
            drops: vec![0; DropReason::ALL.len()],
            interface_drops: vec![0; interfaces],
            established: Volume::default(),
            setup: Volume::default(),
            sent: Volume::default(),
            delivered: Volume::default(),
            originated: Volume::default(),
            sessions_created: 0,
            sessions_ended: 0,
            icmp_errors_sent: 0,
            icmp_errors_limited: 0,
            resets_sent: 0,
            solicitations_sent: 0,
            advertisements_sent: 0,
            fragments_made: 0,
            reassembled: 0,
            mss_clamped: 0,
            reevaluated: 0,
            drift_repaired: 0,
        }
    }

    /// Counts a dropped packet.
    pub fn drop(&mut self, reason: DropReason, ingress: IfId) {
        self.drop_packets(reason, ingress, 1);
    }

    /// Counts dropped packets: a super-packet as those it stands for.
    pub fn drop_packets(&mut self, reason: DropReason, ingress: IfId, packets: u64) {
        self.drops[reason.index()] += packets;
        if let Some(count) = self.interface_drops.get_mut(usize::from(ingress.0)) {
            *count += packets;
        }
    }

    /// Counts packets lost on their way out; they belong to no incoming interface any more.
    pub fn lose(&mut self, reason: DropReason, packets: u64) {
        self.drops[reason.index()] += packets;
    }

    /// Packets dropped for a reason.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.drops[reason.index()]
    }
}
