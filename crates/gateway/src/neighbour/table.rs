//! The inside of the table: making and removing entries, and moving them between states.

use core::net::IpAddr;

use config::{Config, model::IfId};
use wire::{Mac, Time};

use super::{
    DEFEND_INTERVAL, DELAY_FIRST_PROBE_TIME, Entry, FAILED_TIME, InterfaceIdentity, LostCause,
    MAX_MULTICAST_SOLICIT, MAX_UNICAST_SOLICIT, Neighbour, NeighbourEvent, NeighbourId,
    NeighbourRequest, Neighbours, RETRANS_TIMER, RequestKind, State,
};

/// Conflicts remembered at once; more addresses in conflict share the oldest place.
const CONFLICTS_REMEMBERED: usize = 16;

impl<H> Neighbours<H> {
    /// Takes a new configuration. Entries stay with their interface, whatever its index is now;
    /// those of interfaces that went away or down are lost. Neighbours no longer configured become
    /// stale.
    pub fn reload(&mut self, config: &Config, now: Time) {
        let fresh = identities(config);
        let old = core::mem::replace(&mut self.interfaces, fresh);
        let moved: Vec<Option<IfId>> = old
            .iter()
            .map(|was| self.interfaces.iter().position(|is| is == was && is.enabled))
            .map(|index| index.map(|index| IfId(index as u16)))
            .collect();
        let move_to = |interface: IfId| moved.get(usize::from(interface.0)).copied().flatten();
        self.requests.retain_mut(|request| match move_to(request.interface) {
            Some(interface) => {
                request.interface = interface;
                true
            }
            None => false,
        });
        self.conflicts.clear();
        for n in 0..self.slots.len() as u32 {
            let Some(entry) = self.entry(n) else { continue };
            if !entry.detached && move_to(entry.interface).is_none() {
                self.remove(n, LostCause::InterfaceGone);
            }
        }
        self.index.clear();
        for (n, slot) in self.slots.iter_mut().enumerate() {
            let Some(entry) = slot.as_mut().filter(|entry| !entry.detached) else {
                continue;
            };
            if let Some(interface) = move_to(entry.interface) {
                entry.interface = interface;
                self.index.insert((interface, entry.address), n as u32);
            }
        }

        self.queue = usize::from(config.limits.neighbour_queue);
        self.reachable = config.timeouts.neighbour_reachable;
        self.stale_time = config.timeouts.neighbour_stale;
        let configured = u32::try_from(config.neighbours.len()).unwrap_or(u32::MAX);
        self.capacity = config.limits.neighbours.max(configured).max(1);
        self.configure(config, now);
    }

    fn configure(&mut self, config: &Config, now: Time) {
        for n in 0..self.slots.len() as u32 {
            let Some(entry) = self.entry(n).filter(|e| e.state == State::Permanent) else {
                continue;
            };
            let (interface, address) = (entry.interface, entry.address);
            let stays =
                config.neighbours.iter().any(|c| c.interface == interface && c.address == address);
            if !stays {
                self.enter(n, State::Stale, now);
            }
        }
        let is_up = |interface: IfId| {
            config.interfaces.get(usize::from(interface.0)).is_some_and(|i| i.enabled)
        };
        for c in config.neighbours.iter().filter(|c| is_up(c.interface)) {
            match self.index.get(&(c.interface, c.address)).copied() {
                Some(n) => {
                    self.take_mac(n, c.mac);
                    self.enter(n, State::Permanent, now);
                }
                None => {
                    self.insert(c.interface, c.address, c.mac, State::Permanent, now);
                }
            }
        }
    }

    pub(super) fn entry(&self, n: u32) -> Option<&Entry<H>> {
        self.slots.get(n as usize)?.as_ref()
    }

    pub(super) fn entry_mut(&mut self, n: u32) -> Option<&mut Entry<H>> {
        self.slots.get_mut(n as usize)?.as_mut()
    }

    pub(super) fn view(&self, n: u32) -> Option<Neighbour> {
        let entry = self.entry(n).filter(|entry| !entry.detached)?;
        Some(Neighbour {
            id: NeighbourId(n),
            interface: entry.interface,
            address: entry.address,
            mac: entry.state.is_resolved().then_some(entry.mac),
            state: entry.state,
            router: entry.router,
            since: entry.since,
            used: entry.used,
            confirmed: entry.confirmed,
            held: entry.held.len(),
            references: entry.references,
        })
    }

    /// Room for an entry that is not resolved yet. Such entries take half of the table at most.
    pub(super) fn make_room_to_resolve(&mut self) -> bool {
        let few_unresolved = self.unresolved < self.capacity.div_ceil(2);
        if few_unresolved && self.live < self.capacity {
            return true;
        }
        self.evict_failed() || (few_unresolved && self.evict_stale())
    }

    /// Room for a neighbour that made itself known.
    pub(super) fn make_room_to_learn(&mut self) -> bool {
        self.live < self.capacity || self.evict_failed()
    }

    fn evict_failed(&mut self) -> bool {
        let Some((_, n)) = self.failed.first() else {
            return false;
        };
        self.counters.evicted += 1;
        self.remove(n, LostCause::Evicted);
        true
    }

    fn evict_stale(&mut self) -> bool {
        let Some((_, n)) = self.stale.first() else {
            return false;
        };
        self.counters.evicted += 1;
        self.remove(n, LostCause::Evicted);
        true
    }

    pub(super) fn insert(
        &mut self,
        interface: IfId,
        address: IpAddr,
        mac: Mac,
        state: State,
        now: Time,
    ) -> u32 {
        let entry = Entry {
            interface,
            address,
            mac,
            state,
            router: false,
            detached: false,
            probes: 0,
            references: 0,
            since: now,
            used: now,
            confirmed: None,
            retry_at: now,
            reachable: self.reachable,
            held: std::collections::VecDeque::new(),
        };
        let unused = self.slots.len() < self.capacity as usize;
        let n = match if unused { None } else { self.free.pop_front() } {
            Some(n) => {
                if let Some(slot) = self.slots.get_mut(n as usize) {
                    *slot = Some(entry);
                }
                n
            }
            None => {
                self.slots.push(Some(entry));
                self.slots.len() as u32 - 1
            }
        };
        self.index.insert((interface, address), n);
        self.live += 1;
        if !state.is_resolved() {
            self.unresolved += 1;
        }
        self.enter(n, state, now);
        n
    }

    /// Makes an entry of what a message said of its sender, and says so: nobody asked.
    pub(super) fn learn(&mut self, interface: IfId, address: IpAddr, mac: Mac, now: Time) {
        let id = NeighbourId(self.insert(interface, address, mac, State::Stale, now));
        let held = Vec::new();
        self.events.push_back(NeighbourEvent::Resolved { id, interface, address, mac, held });
    }

    /// Puts an entry into a state, arms its timer and lists it for eviction or not.
    pub(super) fn enter(&mut self, n: u32, state: State, now: Time) {
        let stale_time = self.stale_time;
        let Some(entry) = self.slots.get_mut(n as usize).and_then(Option::as_mut) else {
            return;
        };
        if entry.state.is_resolved() != state.is_resolved() {
            if state.is_resolved() {
                self.unresolved -= 1;
            } else {
                self.unresolved += 1;
            }
        }
        entry.state = state;
        entry.since = now;
        entry.probes = 0;
        let due = match state {
            State::Incomplete | State::Probe => Some(now + RETRANS_TIMER),
            State::Reachable => Some(entry.confirmed.unwrap_or(now) + entry.reachable),
            State::Stale => Some(entry.used.max(now) + stale_time),
            State::Delay => Some(now + DELAY_FIRST_PROBE_TIME),
            State::Failed => Some(now + FAILED_TIME),
            State::Permanent => None,
        };
        match due {
            Some(at) => self.timers.set(n, at),
            None => self.timers.cancel(n),
        }
        self.list(n);
    }

    /// Lists an entry for eviction if it may give way, unlists it otherwise.
    pub(super) fn list(&mut self, n: u32) {
        let Some(entry) = self.slots.get(n as usize).and_then(Option::as_ref) else {
            return;
        };
        let idle = entry.references == 0 && !entry.detached;
        if idle && entry.state == State::Stale {
            self.stale.set(n, entry.used);
        } else {
            self.stale.cancel(n);
        }
        if idle && entry.state == State::Failed {
            self.failed.set(n, entry.since);
        } else {
            self.failed.cancel(n);
        }
    }

    /// Begins to ask by broadcast or multicast.
    pub(super) fn start_asking(&mut self, n: u32, now: Time) {
        self.enter(n, State::Incomplete, now);
        self.ask(n);
    }

    fn ask(&mut self, n: u32) {
        let Some(entry) = self.entry_mut(n) else {
            return;
        };
        entry.probes += 1;
        let request = NeighbourRequest {
            interface: entry.interface,
            target: entry.address,
            unicast: (entry.state == State::Probe).then_some(entry.mac),
            kind: RequestKind::Solicit,
        };
        self.request(request);
    }

    pub(super) fn request(&mut self, request: NeighbourRequest) {
        if self.requests.len() >= 2 * self.capacity as usize + CONFLICTS_REMEMBERED {
            self.counters.requests_dropped += 1;
            return;
        }
        if request.unicast.is_some() {
            self.counters.unicast_requests += 1;
        } else {
            self.counters.broadcast_requests += 1;
        }
        self.requests.push_back(request);
    }

    /// The neighbour is confirmed: reachable for a time drawn between half and one and a half of
    /// the base (MIN_RANDOM_FACTOR and MAX_RANDOM_FACTOR, RFC 4861 §10).
    pub(super) fn reach(&mut self, n: u32, now: Time) {
        let per_mille = 500 + self.rng.below(1001);
        let reachable = self.reachable * per_mille / 1000;
        if let Some(entry) = self.entry_mut(n) {
            entry.confirmed = Some(now);
            entry.reachable = reachable;
            self.enter(n, State::Reachable, now);
        }
    }

    /// Gives an entry a MAC address and says so; the state is the caller's to set.
    pub(super) fn take_mac(&mut self, n: u32, mac: Mac) {
        let Some(entry) = self.slots.get_mut(n as usize).and_then(Option::as_mut) else {
            return;
        };
        let old = core::mem::replace(&mut entry.mac, mac);
        let (id, interface, address) = (NeighbourId(n), entry.interface, entry.address);
        if !entry.state.is_resolved() {
            let held = core::mem::take(&mut entry.held).into();
            self.counters.resolved += 1;
            self.events.push_back(NeighbourEvent::Resolved { id, interface, address, mac, held });
        } else if old != mac {
            self.counters.changed += 1;
            self.events.push_back(NeighbourEvent::Changed { id, interface, address, old, mac });
        }
    }

    /// What a neighbour said of itself, by the rules of RFC 4861 §7.2.5. A source link-layer option
    /// or an ARP message counts as unsolicited with override (§7.2.3).
    pub(super) fn advertised(
        &mut self,
        n: u32,
        mac: Option<Mac>,
        solicited: bool,
        overrides: bool,
        now: Time,
    ) {
        let Some(entry) = self.entry(n) else { return };
        let known = match entry.state {
            State::Permanent => {
                self.counters.ignored += 1;
                return;
            }
            State::Incomplete | State::Failed => None,
            State::Reachable | State::Stale | State::Delay | State::Probe => Some(entry.mac),
        };
        let state = entry.state;
        match (known, mac) {
            (None, None) => self.counters.ignored += 1,
            (None, Some(mac)) => {
                self.take_mac(n, mac);
                if solicited && state == State::Incomplete {
                    self.reach(n, now);
                } else {
                    self.enter(n, State::Stale, now);
                }
            }
            (Some(old), Some(new)) if old != new && !overrides => {
                self.counters.ignored += 1;
                if state == State::Reachable {
                    self.enter(n, State::Stale, now);
                }
            }
            (Some(old), new) => {
                let changes = new.is_some_and(|new| new != old);
                if let Some(new) = new {
                    self.take_mac(n, new);
                }
                if solicited {
                    self.reach(n, now);
                } else if changes {
                    self.enter(n, State::Stale, now);
                } else {
                    self.counters.ignored += 1;
                }
            }
        }
    }

    pub(super) fn expire(&mut self, n: u32, now: Time) {
        let stale_time = self.stale_time;
        let Some(entry) = self.entry(n) else { return };
        match entry.state {
            State::Incomplete if entry.probes < MAX_MULTICAST_SOLICIT => self.ask_again(n, now),
            State::Incomplete => {
                self.counters.failed += 1;
                self.lose(n, LostCause::Unreachable, now, now + FAILED_TIME);
            }
            State::Probe if entry.probes < MAX_UNICAST_SOLICIT => self.ask_again(n, now),
            State::Probe => {
                // it may have another MAC now: the next packet may ask by multicast at once
                self.counters.failed += 1;
                self.lose(n, LostCause::Unreachable, now, now);
            }
            State::Reachable => {
                let until = entry.confirmed.unwrap_or(entry.since) + entry.reachable;
                if until > now {
                    self.timers.set(n, until);
                } else {
                    self.enter(n, State::Stale, now);
                }
            }
            State::Stale if entry.references > 0 => self.timers.set(n, now + stale_time),
            State::Stale => {
                self.counters.forgotten += 1;
                self.remove(n, LostCause::Forgotten);
            }
            State::Delay => {
                self.enter(n, State::Probe, now);
                self.ask(n);
            }
            State::Failed if entry.references == 0 => self.remove(n, LostCause::Unreachable),
            State::Failed | State::Permanent => {}
        }
    }

    fn ask_again(&mut self, n: u32, now: Time) {
        self.timers.set(n, now + RETRANS_TIMER);
        self.ask(n);
    }

    /// An entry stays but has no MAC address any more.
    pub(super) fn lose(&mut self, n: u32, cause: LostCause, now: Time, retry_at: Time) {
        self.report_loss(n, cause);
        if let Some(entry) = self.entry_mut(n) {
            entry.retry_at = retry_at;
            entry.confirmed = None;
            self.enter(n, State::Failed, now);
        }
    }

    /// An entry goes. Where it is referenced its number is kept back until that ends.
    pub(super) fn remove(&mut self, n: u32, cause: LostCause) {
        self.report_loss(n, cause);
        self.timers.cancel(n);
        self.stale.cancel(n);
        self.failed.cancel(n);
        let Some(entry) = self.slots.get_mut(n as usize).and_then(Option::as_mut) else {
            return;
        };
        if self.index.get(&(entry.interface, entry.address)) == Some(&n) {
            self.index.remove(&(entry.interface, entry.address));
        }
        if entry.state.is_resolved() {
            self.unresolved += 1;
        }
        entry.state = State::Failed;
        entry.detached = true;
        if entry.references == 0 {
            self.free_slot(n);
        }
    }

    /// Gives the slot of a detached, unreferenced entry back.
    pub(super) fn free_slot(&mut self, n: u32) {
        if let Some(slot) = self.slots.get_mut(n as usize)
            && slot.take().is_some()
        {
            self.free.push_back(n);
            self.live -= 1;
            self.unresolved -= 1;
        }
    }

    fn report_loss(&mut self, n: u32, cause: LostCause) {
        let Some(entry) = self.slots.get_mut(n as usize).and_then(Option::as_mut) else {
            return;
        };
        let held: Vec<H> = core::mem::take(&mut entry.held).into();
        if entry.state != State::Failed || !held.is_empty() {
            self.events.push_back(NeighbourEvent::Lost {
                id: NeighbourId(n),
                interface: entry.interface,
                address: entry.address,
                cause,
                held,
            });
        }
    }

    /// Another station speaks for an address of ours: reported and defended once in an interval.
    pub(super) fn conflict(&mut self, interface: IfId, address: IpAddr, mac: Mac, now: Time) {
        self.counters.conflicts += 1;
        let known = self.conflicts.iter().position(|(i, a, _)| (*i, *a) == (interface, address));
        if let Some(at) = known {
            if self.conflicts.get(at).is_some_and(|c| now < c.2 + DEFEND_INTERVAL) {
                return;
            }
            self.conflicts.remove(at);
        } else if self.conflicts.len() >= CONFLICTS_REMEMBERED {
            self.conflicts.remove(0);
        }
        self.conflicts.push((interface, address, now));
        self.events.push_back(NeighbourEvent::Conflict { interface, address, mac });
        self.announce(interface, address);
    }
}

fn identities(config: &Config) -> Vec<InterfaceIdentity> {
    config
        .interfaces
        .iter()
        .map(|interface| InterfaceIdentity {
            name: interface.name.clone(),
            port: config.port_of(interface).map(|port| port.name.clone()),
            vlan: interface.vlan(),
            enabled: interface.enabled,
        })
        .collect()
}
