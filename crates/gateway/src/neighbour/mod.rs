//! Neighbours: who is behind an address on a link. ARP and neighbour discovery in one table.
//!
//! Resolution, unreachability detection and their timers follow RFC 4861 §7 for both versions; what
//! ARP may teach follows RFC 826 with the caution of RFC 5227. The table does no I/O: questions to
//! send come out of [`Neighbours::poll_request`], changes out of [`Neighbours::poll_event`]; both
//! are to be emptied after every call that takes `now`.
//!
//! Limits: entries are bounded (`limits.neighbours`) and packets held for one entry too
//! (`limits.neighbour-queue`). Unresolved entries may take half of the table at most, so a scan of a
//! connected subnet cannot push out resolved neighbours beyond that; confirmed, referenced and
//! configured ones never give way. Nothing is created by what we did not ask for, except by
//! questions for our own addresses, and those evict only failed entries.

mod arp;
mod nd;
mod state;
mod table;
#[cfg(test)]
mod tests;

use core::{net::IpAddr, time::Duration};
use std::collections::VecDeque;

use config::{Config, model::IfId};
use hashbrown::HashMap;
use reason::DropReason;
use wire::{Mac, Time};

pub use arp::ArpAction;
pub use nd::SolicitationAction;
pub use state::*;

use crate::{deadlines::Deadlines, keyed::Keyed, rng::Rng};

/// The neighbour table; `H` is what is held for an unresolved neighbour.
pub struct Neighbours<H> {
    index: HashMap<(IfId, IpAddr), u32, Keyed>,
    slots: Vec<Option<Entry<H>>>,
    /// Free slots, longest free first.
    free: VecDeque<u32>,
    live: u32,
    /// Entries that are incomplete or failed.
    unresolved: u32,
    timers: Deadlines,
    /// Unreferenced stale entries by last use.
    stale: Deadlines,
    /// Unreferenced failed entries by time of failure.
    failed: Deadlines,
    requests: VecDeque<NeighbourRequest>,
    events: VecDeque<NeighbourEvent<H>>,
    /// Addresses of ours last seen in use elsewhere, and when; a handful.
    conflicts: Vec<(IfId, IpAddr, Time)>,
    interfaces: Vec<InterfaceIdentity>,
    capacity: u32,
    queue: usize,
    reachable: Duration,
    stale_time: Duration,
    rng: Rng,
    counters: NeighbourCounters,
}

struct Entry<H> {
    interface: IfId,
    address: IpAddr,
    mac: Mac,
    state: State,
    router: bool,
    /// Its key is no longer in the index; it lives on only because it is referenced.
    detached: bool,
    /// Solicitations sent in this state.
    probes: u8,
    references: u32,
    since: Time,
    used: Time,
    confirmed: Option<Time>,
    /// In failed: not asked for again before.
    retry_at: Time,
    /// The reachable time drawn for this confirmation.
    reachable: Duration,
    held: VecDeque<H>,
}

/// What makes an interface the same one after a reload, although its index may differ.
#[derive(Clone, Debug, PartialEq, Eq)]
struct InterfaceIdentity {
    name: String,
    port: Option<String>,
    vlan: Option<wire::VlanId>,
    enabled: bool,
}

impl<H> Neighbours<H> {
    /// A table with the configured neighbours in it. `seed` keys the hash and draws the timers.
    pub fn new(config: &Config, seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let mut table = Self {
            index: HashMap::with_hasher(Keyed::new(rng.next_u64())),
            slots: Vec::new(),
            free: VecDeque::new(),
            live: 0,
            unresolved: 0,
            timers: Deadlines::default(),
            stale: Deadlines::default(),
            failed: Deadlines::default(),
            requests: VecDeque::new(),
            events: VecDeque::new(),
            conflicts: Vec::new(),
            interfaces: Vec::new(),
            capacity: 0,
            queue: 0,
            reachable: Duration::ZERO,
            stale_time: Duration::ZERO,
            rng,
            counters: NeighbourCounters::default(),
        };
        table.reload(config, Time::ZERO);
        table.events.clear();
        table
    }

    /// Finds the MAC address of a neighbour, or starts to ask for it.
    ///
    /// A stale entry that is used this way goes to delay and, unconfirmed, to probe. An entry that
    /// failed less than [`FAILED_TIME`] ago is not asked for again.
    pub fn resolve(&mut self, interface: IfId, address: IpAddr, now: Time) -> Resolution {
        let n = match self.index.get(&(interface, address)) {
            Some(n) => *n,
            None => {
                if !self.make_room_to_resolve() {
                    self.counters.table_full += 1;
                    return Resolution::TableFull;
                }
                let n = self.insert(interface, address, Mac::default(), State::Incomplete, now);
                self.counters.created += 1;
                self.start_asking(n, now);
                n
            }
        };
        let id = NeighbourId(n);
        let Some(entry) = self.entry_mut(n) else {
            return Resolution::TableFull;
        };
        entry.used = now;
        match entry.state {
            State::Incomplete => Resolution::Pending { id },
            State::Failed => {
                if now >= entry.retry_at {
                    self.start_asking(n, now);
                }
                Resolution::Pending { id }
            }
            State::Stale => {
                let mac = entry.mac;
                self.enter(n, State::Delay, now);
                Resolution::Resolved { id, mac }
            }
            State::Reachable | State::Delay | State::Probe | State::Permanent => {
                Resolution::Resolved { id, mac: entry.mac }
            }
        }
    }

    /// Keeps `item` until the neighbour is resolved or lost.
    ///
    /// A full queue takes the new item and gives the oldest back with `neighbour-queue-full`
    /// (RFC 4861 §7.2.2: newer packets displace older ones). An entry that has failed, or is gone,
    /// gives `item` back with `neighbour-unresolved`.
    pub fn hold(&mut self, id: NeighbourId, item: H) -> Result<(), (H, DropReason)> {
        let limit = self.queue;
        let Some(entry) = self.entry_mut(id.0) else {
            return Err((item, DropReason::NeighbourUnresolved));
        };
        match entry.state {
            State::Failed => return Err((item, DropReason::NeighbourUnresolved)),
            State::Incomplete => {}
            State::Reachable | State::Stale | State::Delay | State::Probe | State::Permanent => {
                // resolved since the caller asked: nothing to wait for
                let event = NeighbourEvent::Resolved {
                    id,
                    interface: entry.interface,
                    address: entry.address,
                    mac: entry.mac,
                    held: vec![item],
                };
                self.events.push_back(event);
                self.counters.held += 1;
                return Ok(());
            }
        }
        let displaced = if limit == 0 {
            Some(item)
        } else {
            let oldest = if entry.held.len() >= limit { entry.held.pop_front() } else { None };
            entry.held.push_back(item);
            self.counters.held += 1;
            oldest
        };
        match displaced {
            None => Ok(()),
            Some(item) => {
                self.counters.queue_full += 1;
                Err((item, DropReason::NeighbourQueueFull))
            }
        }
    }

    /// Takes back all that is held, in order of entries. They are still asked for.
    pub fn take_held(&mut self) -> Vec<H> {
        let entries = self.slots.iter_mut().flatten();
        entries.flat_map(|entry| core::mem::take(&mut entry.held)).collect()
    }

    /// Something above layer 2 proves that the neighbour receives what we send: a TCP
    /// acknowledgement that moves on, for example (RFC 4861 §7.3.1).
    pub fn confirm(&mut self, id: NeighbourId, now: Time) {
        let Some(entry) = self.entry_mut(id.0) else {
            return;
        };
        match entry.state {
            State::Reachable => entry.confirmed = Some(now),
            State::Stale | State::Delay | State::Probe => self.reach(id.0, now),
            State::Incomplete | State::Failed | State::Permanent => {}
        }
    }

    /// Packets flow to this neighbour without [`Neighbours::resolve`], on the fast path. A stale
    /// entry goes to delay, as if it had been resolved.
    pub fn confirm_use(&mut self, id: NeighbourId, now: Time) {
        let Some(entry) = self.entry_mut(id.0) else {
            return;
        };
        entry.used = now;
        if entry.state == State::Stale {
            self.enter(id.0, State::Delay, now);
        }
    }

    /// Adds a reference: the entry keeps its number until [`Neighbours::release`].
    pub fn acquire(&mut self, id: NeighbourId) {
        if let Some(entry) = self.entry_mut(id.0) {
            entry.references += 1;
            self.stale.cancel(id.0);
            self.failed.cancel(id.0);
        }
    }

    /// Takes a reference back.
    pub fn release(&mut self, id: NeighbourId) {
        let Some(entry) = self.entry_mut(id.0) else {
            return;
        };
        entry.references = entry.references.saturating_sub(1);
        if entry.references > 0 {
            return;
        }
        if entry.detached {
            self.free_slot(id.0);
        } else {
            if entry.state == State::Failed {
                self.timers.set(id.0, Time::ZERO);
            }
            self.list(id.0);
        }
    }

    /// Queues an announcement of one of our addresses, as after a start or a takeover.
    pub fn announce(&mut self, interface: IfId, address: IpAddr) {
        self.request(NeighbourRequest {
            interface,
            target: address,
            unicast: None,
            kind: RequestKind::Announce,
        });
    }

    /// Forgets the dynamic entries that `filter` picks; says how many. Referenced ones keep their
    /// number and are asked for again when next used.
    pub fn clear(&mut self, filter: impl Fn(&Neighbour) -> bool, now: Time) -> usize {
        let mut cleared = 0;
        for n in 0..self.slots.len() as u32 {
            let Some(view) = self.view(n) else { continue };
            if view.state == State::Permanent || !filter(&view) {
                continue;
            }
            cleared += 1;
            if view.references == 0 {
                self.remove(n, LostCause::Cleared);
            } else {
                self.lose(n, LostCause::Cleared, now, now);
            }
        }
        cleared
    }

    /// The next message to send.
    pub fn poll_request(&mut self, _now: Time) -> Option<NeighbourRequest> {
        self.requests.pop_front()
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<NeighbourEvent<H>> {
        self.events.pop_front()
    }

    /// When [`Neighbours::handle_timeout`] is next due.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.timers.first().map(|(at, _)| at)
    }

    /// Does what is due: asks again, gives up, ages.
    pub fn handle_timeout(&mut self, now: Time) {
        while let Some(n) = self.timers.pop_due(now) {
            self.expire(n, now);
        }
    }

    /// The entry for an address, without asking for it.
    pub fn lookup(&self, interface: IfId, address: IpAddr) -> Option<NeighbourId> {
        self.index.get(&(interface, address)).copied().map(NeighbourId)
    }

    /// The state of an address, without asking for it.
    pub fn peek(&self, interface: IfId, address: IpAddr) -> Option<State> {
        let n = *self.index.get(&(interface, address))?;
        self.entry(n).map(|entry| entry.state)
    }

    /// Whether an entry has a MAC address.
    pub fn is_resolved(&self, id: NeighbourId) -> bool {
        self.entry(id.0).is_some_and(|entry| entry.state.is_resolved())
    }

    /// One entry.
    pub fn get(&self, id: NeighbourId) -> Option<Neighbour> {
        self.view(id.0)
    }

    /// All entries in order of interface and address.
    pub fn iter(&self) -> impl Iterator<Item = Neighbour> + use<H> {
        let mut all: Vec<_> = (0..self.slots.len() as u32).filter_map(|n| self.view(n)).collect();
        all.sort_unstable_by_key(|entry| (entry.interface, entry.address));
        all.into_iter()
    }

    /// Number of entries.
    pub const fn len(&self) -> usize {
        self.live as usize
    }

    /// Whether there is no entry.
    pub const fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// Number of entries there may be.
    pub const fn capacity(&self) -> usize {
        self.capacity as usize
    }

    /// Counters.
    pub const fn counters(&self) -> &NeighbourCounters {
        &self.counters
    }
}
