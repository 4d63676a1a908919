//! What an engine is, to the slow path.

use core::fmt;

use reason::{DemotionReason, DropReason, PuntCause, Reason, RefusalReason};
use wire::{Mac, Time, Tuple, VlanId};

use crate::{Adjacency, AdjacencyId, Capabilities, Direction, FlowProgram, SaProgram};

/// Which engine, in the order they are preferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EngineId(pub u8);

/// An installed program, as the engine knows it. Generations make a late use of a handle harmless.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Handle {
    /// Slot in the engine.
    pub index: u32,
    /// Which tenant of the slot.
    pub generation: u32,
}

/// When to try again after a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// With the next packet of the flow.
    NextPacket,
    /// When the engine reports room.
    WhenRoom,
    /// Not before this time.
    NotBefore(Time),
    /// Never, for this session.
    Never,
}

/// Why an engine did not take a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The cause.
    pub reason: RefusalReason,
    /// The figures behind it, as (name, value) pairs; printed `used=1024 limit=1024`.
    pub evidence: [Option<(&'static str, u64)>; 3],
    /// Whether and when to try again.
    pub retry: Retry,
}

/// `table-full (used=1024 limit=1024)`
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason.name())?;
        let mut open = false;
        for (name, value) in self.evidence.iter().flatten() {
            f.write_str(if open { " " } else { " (" })?;
            write!(f, "{name}={value}")?;
            open = true;
        }
        if open { f.write_str(")") } else { Ok(()) }
    }
}

/// What an engine counted for one program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowStats {
    /// Packets forwarded; a super-packet counts as the packets it stands for.
    pub packets: u64,
    /// Bytes of IP packets forwarded, as received.
    pub bytes: u64,
    /// When the last packet was served; zero if none was.
    pub last_hit: Time,
}

/// Something the engine did on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineEvent {
    /// A program is gone for good: no worker can use it any more, these are its final counters.
    Removed {
        /// Its handle.
        handle: Handle,
        /// Its session.
        session: u32,
        /// Its direction.
        direction: Direction,
        /// Final counters.
        stats: FlowStats,
        /// Why it left.
        reason: DemotionReason,
    },
    /// There is room again after a refusal with `table-full`.
    Room,
}

/// Occupancy and work of an engine, for `show engines`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EngineStats {
    /// Workers that serve packets.
    pub workers: u32,
    /// Programs installed now.
    pub flows: u64,
    /// How many fit.
    pub flow_capacity: u64,
    /// SAs installed now, each direction counted.
    pub sas: u64,
    /// How many fit.
    pub sa_capacity: u64,
    /// Packets that had an SA.
    pub sa_hits: u64,
    /// ESP packets that had none.
    pub sa_misses: u64,
    /// Packets that came out of an SA.
    pub opened: u64,
    /// Packets that went into one.
    pub sealed: u64,
    /// Packets dropped since start, by [`DropReason`] index.
    pub drops: Vec<u64>,
    /// Adjacencies in use.
    pub adjacencies: u64,
    /// How many fit.
    pub adjacency_capacity: u64,
    /// Removed programs that some worker may still use.
    pub retiring: u64,
    /// Packets looked up that had a program.
    pub hits: u64,
    /// Packets looked up that had none.
    pub misses: u64,
    /// Packets forwarded.
    pub forwarded_packets: u64,
    /// Bytes forwarded.
    pub forwarded_bytes: u64,
    /// Bursts processed.
    pub bursts: u64,
    /// Programs installed since start.
    pub installed: u64,
    /// Programs removed since start.
    pub removed: u64,
    /// Programs evicted for busier ones since start.
    pub evicted: u64,
    /// Refusals since start, by [`RefusalReason`] index.
    pub refusals: Vec<u64>,
    /// Packets punted since start, by [`PuntCause`] index.
    pub punts: Vec<u64>,
    /// Packets dropped because the punt ring was full, by [`PuntCause`] index.
    pub punt_ring_full: Vec<u64>,
    /// Packets dropped by the limit of their punt cause, by [`PuntCause`] index.
    pub punt_limited: Vec<u64>,
    /// Depth of the punt ring now.
    pub punt_depth: u64,
    /// How many fit.
    pub punt_capacity: u64,
    /// Bytes of memory the tables take.
    pub memory: u64,
}

impl EngineStats {
    /// Zeroed counters with every per-reason array at its full length.
    pub fn new() -> Self {
        Self {
            refusals: vec![0; RefusalReason::ALL.len()],
            drops: vec![0; DropReason::ALL.len()],
            punts: vec![0; PuntCause::ALL.len()],
            punt_ring_full: vec![0; PuntCause::ALL.len()],
            punt_limited: vec![0; PuntCause::ALL.len()],
            ..Self::default()
        }
    }
}

/// An interface as engines know it: which frames of which port belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineInterface {
    /// Index of its port.
    pub port: u16,
    /// Its 802.1Q tag; `None` takes untagged frames.
    pub vlan: Option<VlanId>,
    /// Its number, as programs name it in [`FlowProgram::ingress`].
    pub interface: u16,
    /// Its virtual router.
    pub vr: u16,
    /// Its MAC address; frames to others are not for the engine.
    pub mac: Mac,
    /// Whether it is up.
    pub enabled: bool,
}

/// Something flows can be promoted to. Only the slow path calls it.
pub trait Engine: Send {
    /// Name, as shown: `soft`, `xfrm-packet`.
    fn name(&self) -> &'static str;

    /// What it can do.
    fn capabilities(&self) -> &Capabilities;

    /// Tells which interfaces there are; frames of others are left to the slow path.
    fn set_interfaces(&mut self, interfaces: &[EngineInterface]);

    /// Puts a resolved next hop into the engine, or replaces it in place.
    fn set_adjacency(&mut self, id: AdjacencyId, adjacency: Adjacency) -> Result<(), Refusal>;

    /// Marks a next hop as unresolved; its flows punt with `adjacency-lost` until it is set again.
    fn clear_adjacency(&mut self, id: AdjacencyId);

    /// Offers a program.
    fn install(&mut self, program: &FlowProgram, now: Time) -> Result<Handle, Refusal>;

    /// Offers an SA. Its counters are its own, so nothing comes back when it goes.
    fn install_sa(&mut self, program: SaProgram, now: Time) -> Result<Handle, Refusal>;

    /// Gives an outgoing SA another next hop; false if the handle is stale.
    fn move_sa(&mut self, handle: Handle, adjacency: AdjacencyId) -> bool;

    /// Puts another outgoing SA in the place of one, so that flows that go into it go on by the new
    /// one; false if the handle is stale, or either is no outgoing one.
    fn replace_sa(&mut self, handle: Handle, program: SaProgram) -> bool;

    /// Takes an SA out; false if the handle is stale. Flows that go into it punt with `sa-miss`.
    fn remove_sa(&mut self, handle: Handle) -> bool;

    /// Takes a program out. Its final counters follow as [`EngineEvent::Removed`]. False if the
    /// handle is stale (its event has come or will come).
    fn remove(&mut self, handle: Handle, reason: DemotionReason) -> bool;

    /// Counters of an installed or retiring program so far.
    fn stats(&self, handle: Handle) -> Option<FlowStats>;

    /// What the engine did on its own since the last call, oldest first.
    fn poll_event(&mut self) -> Option<EngineEvent>;

    /// Counters of the engine as a whole.
    fn engine_stats(&self) -> EngineStats;

    /// Walks over what is installed, a slice at a time, for the drift audit: calls `each` for up to
    /// `max` programs from `cursor` on and returns the next cursor, or `None` at the end.
    fn audit(
        &self,
        cursor: u32,
        max: u32,
        each: &mut dyn FnMut(Handle, u32, Direction, Tuple),
    ) -> Option<u32>;

    /// Marks a flow so that the engine reports its packets to a running trace, or unmarks it.
    fn set_traced(&mut self, handle: Handle, traced: bool);
}
