//! States, timers and what the table says of itself.

use core::{fmt, net::IpAddr, time::Duration};

use config::model::IfId;
use wire::{Mac, Time};

/// Between two solicitations for one neighbour (RETRANS_TIMER, RFC 4861 §10).
pub const RETRANS_TIMER: Duration = Duration::from_millis(1000);
/// Multicast or broadcast solicitations before a neighbour counts as unreachable
/// (MAX_MULTICAST_SOLICIT, RFC 4861 §10).
pub const MAX_MULTICAST_SOLICIT: u8 = 3;
/// Unicast probes before a neighbour counts as unreachable (MAX_UNICAST_SOLICIT, RFC 4861 §10).
pub const MAX_UNICAST_SOLICIT: u8 = 3;
/// How long the first packets to a stale neighbour may earn it a confirmation before it is probed
/// (DELAY_FIRST_PROBE_TIME, RFC 4861 §10).
pub const DELAY_FIRST_PROBE_TIME: Duration = Duration::from_secs(5);
/// How long a neighbour that did not answer is not asked for again.
pub const FAILED_TIME: Duration = Duration::from_secs(3);
/// How long a confirmed ARP entry resists another MAC: of several answers to one request the first
/// stays. (ND has the override flag for that; ARP has nothing.)
pub const ARP_LOCK_TIME: Duration = Duration::from_secs(1);
/// Between two defences of one of our addresses (DEFEND_INTERVAL, RFC 5227 §1.1).
pub const DEFEND_INTERVAL: Duration = Duration::from_secs(10);

/// Number of an entry, stable while the entry lives.
///
/// Numbers are small and dense, so they can index a table of adjacencies. A number is given again
/// only when nobody holds a reference to it, and the one free for longest comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NeighbourId(pub u32);

/// State of an entry (RFC 4861 §7.3.2), and two more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Asked for, no answer yet; packets are held.
    Incomplete,
    /// Confirmed within the reachable time.
    Reachable,
    /// Known but not confirmed lately; asked again when it is used.
    Stale,
    /// Used while stale; probed soon unless something confirms it.
    Delay,
    /// Being asked by unicast; packets still flow.
    Probe,
    /// Did not answer.
    Failed,
    /// Configured.
    Permanent,
}

impl State {
    /// Every state, in the order of the enum.
    pub const ALL: [Self; 7] = [
        Self::Incomplete,
        Self::Reachable,
        Self::Stale,
        Self::Delay,
        Self::Probe,
        Self::Failed,
        Self::Permanent,
    ];

    /// The word for it, in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Incomplete => "incomplete",
            Self::Reachable => "reachable",
            Self::Stale => "stale",
            Self::Delay => "delay",
            Self::Probe => "probe",
            Self::Failed => "failed",
            Self::Permanent => "permanent",
        }
    }

    /// Whether there is a MAC address to send to.
    pub const fn is_resolved(self) -> bool {
        match self {
            Self::Reachable | Self::Stale | Self::Delay | Self::Probe | Self::Permanent => true,
            Self::Incomplete | Self::Failed => false,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What [`super::Neighbours::resolve`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// Send to `mac`.
    Resolved {
        /// The entry.
        id: NeighbourId,
        /// Where to.
        mac: Mac,
    },
    /// Not resolved: offer the packet to [`super::Neighbours::hold`], which keeps it while an answer
    /// is awaited and gives it back with the reason if the neighbour failed lately.
    Pending {
        /// The entry.
        id: NeighbourId,
    },
    /// No room for another entry.
    TableFull,
}

/// What the gateway is to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// Ask for `target`: ARP request, or neighbour solicitation (to the solicited-node group, or to
    /// the neighbour itself where `unicast` is given).
    Solicit,
    /// Say that `target` is ours: ARP announcement (RFC 5227 §3), or unsolicited neighbour
    /// advertisement to all nodes with the override flag (RFC 4861 §7.2.6).
    Announce,
}

/// A message the gateway is to build and send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeighbourRequest {
    /// By which interface.
    pub interface: IfId,
    /// For which address.
    pub target: IpAddr,
    /// To this MAC only (a probe), instead of broadcast or multicast.
    pub unicast: Option<Mac>,
    /// Question or announcement.
    pub kind: RequestKind,
}

/// Why an entry lost its MAC address, or never got one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LostCause {
    /// It did not answer.
    Unreachable,
    /// It was stale and unused for its time.
    Forgotten,
    /// It was stale and another neighbour needed the room.
    Evicted,
    /// An operator cleared it.
    Cleared,
    /// Its interface went away or down with a reload.
    InterfaceGone,
}

impl LostCause {
    /// The word for it, in kebab case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Forgotten => "forgotten",
            Self::Evicted => "evicted",
            Self::Cleared => "cleared",
            Self::InterfaceGone => "interface-gone",
        }
    }
}

/// Something that happened to an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NeighbourEvent<H> {
    /// The entry has a MAC address now.
    Resolved {
        /// The entry.
        id: NeighbourId,
        /// Its interface.
        interface: IfId,
        /// Its address.
        address: IpAddr,
        /// Its MAC address.
        mac: Mac,
        /// What waited for it, oldest first; to be sent now.
        held: Vec<H>,
    },
    /// The entry has another MAC address now.
    Changed {
        /// The entry.
        id: NeighbourId,
        /// Its interface.
        interface: IfId,
        /// Its address.
        address: IpAddr,
        /// The MAC address it had.
        old: Mac,
        /// The MAC address it has.
        mac: Mac,
    },
    /// The entry has no MAC address any more, or gives up waiting for one.
    Lost {
        /// The entry; it may be gone already.
        id: NeighbourId,
        /// Its interface (its number before a reload that took the interface away).
        interface: IfId,
        /// Its address.
        address: IpAddr,
        /// Why.
        cause: LostCause,
        /// What waited for it; to be dropped with `neighbour-unresolved`.
        held: Vec<H>,
    },
    /// Another station uses an address that is ours (RFC 5227 §2.4, RFC 4862 §5.4). At most once
    /// in [`DEFEND_INTERVAL`] for an address; an announcement is queued with it.
    Conflict {
        /// Where it was seen.
        interface: IfId,
        /// The address.
        address: IpAddr,
        /// The other station.
        mac: Mac,
    },
}

/// An entry, to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Its number.
    pub id: NeighbourId,
    /// Interface.
    pub interface: IfId,
    /// Address.
    pub address: IpAddr,
    /// MAC address, where it is known.
    pub mac: Option<Mac>,
    /// State.
    pub state: State,
    /// It called itself a router (ND only).
    pub router: bool,
    /// Since when it is in this state.
    pub since: Time,
    /// When it was last asked for by a packet.
    pub used: Time,
    /// When it was last confirmed; `None` if never.
    pub confirmed: Option<Time>,
    /// Packets waiting for it.
    pub held: usize,
    /// References by sessions and adjacencies.
    pub references: u32,
}

/// Counters since start; none is ever reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NeighbourCounters {
    /// Entries made because a packet needed them.
    pub created: u64,
    /// Entries made because the neighbour asked for one of our addresses.
    pub learned: u64,
    /// Entries that got a MAC address after they had none.
    pub resolved: u64,
    /// Entries that did not answer, from incomplete or probe.
    pub failed: u64,
    /// Entries whose MAC address changed.
    pub changed: u64,
    /// Stale entries forgotten for want of use.
    pub forgotten: u64,
    /// Entries that gave way to others.
    pub evicted: u64,
    /// Packets that found no room for their next hop.
    pub table_full: u64,
    /// Packets displaced from a full hold queue.
    pub queue_full: u64,
    /// Packets held.
    pub held: u64,
    /// Requests queued by broadcast or multicast.
    pub broadcast_requests: u64,
    /// Requests queued by unicast.
    pub unicast_requests: u64,
    /// Requests not queued because the queue was not emptied.
    pub requests_dropped: u64,
    /// ARP requests and neighbour solicitations answered.
    pub answered: u64,
    /// Messages that taught nothing: unsolicited, not for us, or against the rules for updates.
    pub ignored: u64,
    /// Messages of stations that use an address of ours.
    pub conflicts: u64,
}
