//! The slow path's side of the engine: the single writer of its tables.

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use offload::{
    Adjacency, AdjacencyId, Capabilities, Direction, Engine, EngineEvent, EngineInterface,
    EngineStats, FlowProgram, FlowStats, Handle, Refusal, Retry, SaProgram,
};
use reason::{DemotionReason, Reason, RefusalReason};
use wire::{Time, Tuple};

use super::{
    Shared,
    entry::{Entry, Family, Key, V4, V6},
    interfaces::InterfaceMap,
    pressure::{Hand, RETRY_AFTER},
    sa::spi_tuple,
    sa_table::{SaRef, SaWriter},
    table::{NoEntry, Writer},
};

/// Handles of IPv6 flows have this bit in their index.
pub(super) const V6_BIT: u32 = 1 << 31;

/// Most flows given back in one call of [`SoftControl::reclaim`]: a million sessions cleared at
/// once must not hold up the packets in between.
const RECLAIM_BATCH: usize = 4096;

/// A flow out of the index, until every worker has passed.
struct Retired {
    index: u32,
    reason: DemotionReason,
    /// When it may be given back, on the clock of [`Quiescence`](super::quiescence::Quiescence).
    at: u64,
}

/// The software engine, as the slow path sees it.
pub struct SoftControl {
    pub(super) shared: Arc<Shared>,
    pub(super) v4: Writer<V4>,
    pub(super) v6: Writer<V6>,
    pub(super) hand: Hand,
    sas: SaWriter,
    /// Where each incoming SA stands in the flow tables, by its slot.
    spi_slots: Vec<Option<u32>>,
    capabilities: Capabilities,
    /// Most flows at a time; there are a few slots more, for those that retire.
    limit: u32,
    retired: VecDeque<Retired>,
    events: VecDeque<EngineEvent>,
    /// A flow was refused for want of room, and `Room` has not been reported since.
    wants_room: bool,
    /// An SA was refused for want of room, and none has gone since.
    wants_sa_room: bool,
    adjacencies: u64,
    installed: u64,
    removed: u64,
    evicted: u64,
    refusals: [u64; RefusalReason::ALL.len()],
}

impl SoftControl {
    pub(super) fn new(
        shared: Arc<Shared>,
        v4: Writer<V4>,
        v6: Writer<V6>,
        sas: SaWriter,
        limit: u32,
    ) -> Self {
        Self {
            shared,
            v4,
            v6,
            hand: Hand::default(),
            sas,
            spi_slots: Vec::new(),
            capabilities: Capabilities::soft(u64::from(limit)),
            limit,
            retired: VecDeque::new(),
            events: VecDeque::new(),
            wants_room: false,
            wants_sa_room: false,
            adjacencies: 0,
            installed: 0,
            removed: 0,
            evicted: 0,
            refusals: [0; _],
        }
    }

    /// Gives back what no worker can use any more, as events; call it now and then after the
    /// workers have quiesced. [`Engine::poll_event`] does so too. Returns how many.
    pub fn reclaim(&mut self) -> usize {
        let reached = self.shared.quiescence.reached();
        let mut count = 0;
        while count < RECLAIM_BATCH
            && let Some(retired) = self.retired.pop_front_if(|r| r.at <= reached)
        {
            let Retired { index, reason, .. } = retired;
            let gone = if index & V6_BIT == 0 {
                release(&mut self.v4, index)
            } else {
                release(&mut self.v6, index & !V6_BIT)
            };
            // an incoming SA keeps its own counters
            if let Some((generation, session, direction, stats)) = gone.flatten() {
                self.removed += 1;
                self.events.push_back(EngineEvent::Removed {
                    handle: Handle { index, generation },
                    session,
                    direction,
                    stats,
                    reason,
                });
            }
            count += 1;
        }
        if self.wants_room && u64::from(self.live()) * 10 < u64::from(self.limit) * 9 {
            self.wants_room = false;
            self.events.push_back(EngineEvent::Room);
        }
        count
    }

    fn live(&self) -> u32 {
        self.v4.live() + self.v6.live()
    }

    fn refuse(
        &mut self,
        reason: RefusalReason,
        evidence: [Option<(&'static str, u64)>; 3],
        retry: Retry,
    ) -> Refusal {
        self.refusals[reason.index()] += 1;
        Refusal { reason, evidence, retry }
    }

    fn table_full(&mut self, worth: u32, now: Time) -> Refusal {
        self.wants_room = true;
        let evidence = [
            Some(("used", u64::from(self.live()))),
            Some(("limit", u64::from(self.limit))),
            Some(("worth", u64::from(worth))),
        ];
        self.refuse(RefusalReason::TableFull, evidence, Retry::NotBefore(now + RETRY_AFTER))
    }

    fn no_entry(&mut self, why: NoEntry, worth: u32, now: Time) -> Refusal {
        match why {
            NoEntry::Taken(session) => self.refuse(
                RefusalReason::DuplicateFlow,
                [Some(("session", u64::from(session))), None, None],
                Retry::NotBefore(now + RETRY_AFTER),
            ),
            NoEntry::Buckets => self.refuse(
                RefusalReason::BucketFull,
                [
                    Some(("used", u64::from(self.live()))),
                    Some(("limit", u64::from(self.limit))),
                    None,
                ],
                Retry::NotBefore(now + RETRY_AFTER),
            ),
            NoEntry::Slots => self.table_full(worth, now),
            NoEntry::Mixed => self.refuse(
                RefusalReason::ProgramStale,
                [Some(("mixed-ip-versions", 1)), None, None],
                Retry::Never,
            ),
        }
    }

    /// What every program needs, whatever its IP version.
    fn check(&mut self, program: &FlowProgram) -> Result<(), Refusal> {
        if !self.shared.epochs.is_current(program.epoch) {
            let now = self.shared.epochs.now(program.epoch.slot).value.0;
            return Err(self.refuse(
                RefusalReason::ProgramStale,
                [
                    Some(("compiled", u64::from(program.epoch.value.0))),
                    Some(("now", u64::from(now))),
                    None,
                ],
                Retry::NextPacket,
            ));
        }
        if let Some(sa) = program.sa {
            if self.sas.get(sa).and_then(SaProgram::adjacency).is_none() {
                return Err(self.refuse(
                    RefusalReason::ProgramStale,
                    [Some(("sa", u64::from(sa.index))), None, None],
                    Retry::NextPacket,
                ));
            }
        } else if program.adjacency.0 >= self.shared.adjacencies.capacity() {
            return Err(self.adjacency_table_full(program.adjacency));
        }
        let windows = self.shared.windows.capacity();
        if let Some(window) = program.tcp_window.filter(|w| *w >= windows) {
            return Err(self.refuse(
                RefusalReason::TcpTableFull,
                [Some(("index", u64::from(window))), Some(("limit", u64::from(windows))), None],
                Retry::Never,
            ));
        }
        Ok(())
    }

    /// Enters the key that an incoming SA is found by.
    fn enter_spi(&mut self, tuple: &Tuple, vr: u16, sa: SaRef, now: Time) -> Result<u32, NoEntry> {
        if let Some(key) = Key::<V4>::new(tuple, vr) {
            self.v4.check(&key)?;
            if !self.make_room(u32::MAX, now) {
                return Err(NoEntry::Slots);
            }
            self.v4.insert_sa(key, sa).map(|(slot, _)| slot)
        } else if let Some(key) = Key::<V6>::new(tuple, vr) {
            self.v6.check(&key)?;
            if !self.make_room(u32::MAX, now) {
                return Err(NoEntry::Slots);
            }
            self.v6.insert_sa(key, sa).map(|(slot, _)| slot | V6_BIT)
        } else {
            Err(NoEntry::Mixed)
        }
    }

    fn adjacency_table_full(&mut self, id: AdjacencyId) -> Refusal {
        let limit = u64::from(self.shared.adjacencies.capacity());
        self.refuse(
            RefusalReason::AdjacencyTableFull,
            [Some(("index", u64::from(id.0))), Some(("limit", limit)), None],
            Retry::Never,
        )
    }

    /// Makes room by worth if there is none. False if nothing is worth less than half.
    fn make_room(&mut self, worth: u32, now: Time) -> bool {
        if self.live() < self.limit {
            return true;
        }
        match self.find_victim(worth, now) {
            Some(victim) => {
                self.evicted += 1;
                self.take_out(victim, DemotionReason::TablePressure)
            }
            None => false,
        }
    }

    fn take_out(&mut self, index: u32, reason: DemotionReason) -> bool {
        let unlinked = if index & V6_BIT == 0 {
            self.v4.unlink(index)
        } else {
            self.v6.unlink(index & !V6_BIT)
        };
        if unlinked {
            let at = self.shared.quiescence.advance();
            self.retired.push_back(Retired { index, reason, at });
        }
        unlinked
    }

    /// Calls `f4` or `f6` with the entry if the handle is the slot's present tenant.
    fn with_entry<R>(
        &self,
        handle: Handle,
        f4: impl FnOnce(&Entry<V4>) -> R,
        f6: impl FnOnce(&Entry<V6>) -> R,
    ) -> Option<R> {
        let slot = handle.index & !V6_BIT;
        if handle.index & V6_BIT == 0 {
            self.v4
                .entry(slot)
                .filter(|e| e.is_alive() && e.generation == handle.generation)
                .map(f4)
        } else {
            self.v6
                .entry(slot)
                .filter(|e| e.is_alive() && e.generation == handle.generation)
                .map(f6)
        }
    }
}

impl Engine for SoftControl {
    fn name(&self) -> &'static str {
        self.capabilities.name
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn set_interfaces(&mut self, interfaces: &[EngineInterface]) {
        self.shared.interfaces.set(InterfaceMap::new(interfaces));
    }

    fn set_adjacency(&mut self, id: AdjacencyId, adjacency: Adjacency) -> Result<(), Refusal> {
        match self.shared.adjacencies.set(id.0, Some(&adjacency)) {
            Some(was) => {
                self.adjacencies += u64::from(!was);
                Ok(())
            }
            None => Err(self.adjacency_table_full(id)),
        }
    }

    fn clear_adjacency(&mut self, id: AdjacencyId) {
        if self.shared.adjacencies.set(id.0, None) == Some(true) {
            self.adjacencies -= 1;
        }
    }

    fn install(&mut self, program: &FlowProgram, now: Time) -> Result<Handle, Refusal> {
        self.check(program)?;
        let worth = program.worth;
        let entered = if let Some(key) = Key::<V4>::new(&program.key, program.vr) {
            match self.v4.check(&key) {
                Err(why) => Err(why),
                Ok(()) if !self.make_room(worth, now) => Err(NoEntry::Slots),
                Ok(()) => self.v4.insert(program, key),
            }
        } else if let Some(key) = Key::<V6>::new(&program.key, program.vr) {
            match self.v6.check(&key) {
                Err(why) => Err(why),
                Ok(()) if !self.make_room(worth, now) => Err(NoEntry::Slots),
                Ok(()) => self.v6.insert(program, key).map(|(slot, g)| (slot | V6_BIT, g)),
            }
        } else {
            Err(NoEntry::Mixed)
        };
        match entered {
            Ok((index, generation)) => {
                self.installed += 1;
                Ok(Handle { index, generation })
            }
            Err(why) => Err(self.no_entry(why, worth, now)),
        }
    }

    fn install_sa(&mut self, program: SaProgram, now: Time) -> Result<Handle, Refusal> {
        let adjacencies = self.shared.adjacencies.capacity();
        if let Some(adjacency) = program.adjacency().filter(|adjacency| adjacency.0 >= adjacencies)
        {
            return Err(self.adjacency_table_full(adjacency));
        }
        let key = match &program {
            SaProgram::Inbound { sa, vr, .. } => {
                let (spi, to) = (sa.parameters().spi, sa.parameters().destination);
                Some((spi_tuple(spi, to), *vr))
            }
            SaProgram::DtlsInbound { datagrams, vr, .. } => Some((**datagrams, *vr)),
            SaProgram::Outbound { .. } | SaProgram::DtlsOutbound { .. } => None,
        };
        let Some(handle) = self.sas.insert(program, &self.shared.sas) else {
            self.wants_sa_room = true;
            let evidence = [
                Some(("used", u64::from(self.sas.live()))),
                Some(("limit", u64::from(self.sas.limit()))),
                None,
            ];
            return Err(self.refuse(RefusalReason::SaTableFull, evidence, Retry::WhenRoom));
        };
        if let Some((tuple, vr)) = key {
            match self.enter_spi(&tuple, vr, SaRef::new(handle), now) {
                Ok(slot) => {
                    let at = handle.index as usize;
                    if self.spi_slots.len() <= at {
                        self.spi_slots.resize(at + 1, None);
                    }
                    self.spi_slots[at] = Some(slot);
                }
                Err(why) => {
                    self.sas.remove(handle, &self.shared.sas);
                    return Err(self.no_entry(why, u32::MAX, now));
                }
            }
        }
        Ok(handle)
    }

    fn move_sa(&mut self, handle: Handle, adjacency: AdjacencyId) -> bool {
        let program = match self.sas.get(handle) {
            Some(SaProgram::Outbound { sa, .. }) => {
                SaProgram::Outbound { sa: Arc::clone(sa), adjacency }
            }
            Some(SaProgram::DtlsOutbound { sa, number, .. }) => {
                SaProgram::DtlsOutbound { sa: Arc::clone(sa), number: *number, adjacency }
            }
            Some(SaProgram::Inbound { .. } | SaProgram::DtlsInbound { .. }) | None => return false,
        };
        self.replace_sa(handle, program)
    }

    fn replace_sa(&mut self, handle: Handle, program: SaProgram) -> bool {
        let is_outgoing = self.sas.get(handle).is_some_and(|is| is.adjacency().is_some());
        let capacity = self.shared.adjacencies.capacity();
        is_outgoing
            && program.adjacency().is_some_and(|adjacency| adjacency.0 < capacity)
            && self.sas.replace(handle, program, &self.shared.sas)
    }

    fn remove_sa(&mut self, handle: Handle) -> bool {
        if self.sas.remove(handle, &self.shared.sas).is_none() {
            return false;
        }
        let slot = self.spi_slots.get_mut(handle.index as usize).and_then(Option::take);
        if let Some(slot) = slot {
            self.take_out(slot, DemotionReason::SaRemoved);
        }
        if self.wants_sa_room {
            self.wants_sa_room = false;
            self.events.push_back(EngineEvent::Room);
        }
        true
    }

    fn remove(&mut self, handle: Handle, reason: DemotionReason) -> bool {
        let installed = self.with_entry(handle, Entry::is_installed, Entry::is_installed);
        installed == Some(true) && self.take_out(handle.index, reason)
    }

    fn stats(&self, handle: Handle) -> Option<FlowStats> {
        let slot = handle.index & !V6_BIT;
        self.with_entry(handle, |_| self.v4.stats(slot), |_| self.v6.stats(slot))
    }

    fn poll_event(&mut self) -> Option<EngineEvent> {
        if self.events.is_empty() {
            self.reclaim();
        }
        self.events.pop_front()
    }

    fn engine_stats(&self) -> EngineStats {
        let mut stats = EngineStats {
            workers: self.shared.workers.len() as u32,
            flows: u64::from(self.live()),
            flow_capacity: u64::from(self.limit),
            sas: u64::from(self.sas.live()),
            sa_capacity: u64::from(self.sas.limit()),
            adjacencies: self.adjacencies,
            adjacency_capacity: u64::from(self.shared.adjacencies.capacity()),
            retiring: u64::from(self.v4.retiring() + self.v6.retiring()),
            installed: self.installed,
            removed: self.removed,
            evicted: self.evicted,
            refusals: self.refusals.to_vec(),
            punt_capacity: (self.shared.punt_ring as u64)
                .saturating_mul(self.shared.workers.len() as u64),
            memory: self.v4.memory() + self.v6.memory() + self.shared.adjacencies.memory(),
            ..EngineStats::new()
        };
        for worker in &self.shared.workers {
            let tally = worker.read();
            stats.hits += tally.hits;
            stats.misses += tally.misses;
            stats.forwarded_packets += tally.packets;
            stats.forwarded_bytes += tally.bytes;
            stats.bursts += tally.bursts;
            stats.punt_depth += tally.punt_depth;
            stats.sa_hits += tally.sa_hits;
            stats.sa_misses += tally.sa_misses;
            stats.opened += tally.opened;
            stats.sealed += tally.sealed;
            for (sum, count) in stats.drops.iter_mut().zip(worker.drops.iter()) {
                *sum += count.load(Relaxed);
            }
            for (sums, counts) in [
                (&mut stats.punts, &worker.punts),
                (&mut stats.punt_ring_full, &worker.punt_ring_full),
                (&mut stats.punt_limited, &worker.punt_limited),
            ] {
                for (sum, count) in sums.iter_mut().zip(counts) {
                    *sum += count.load(Relaxed);
                }
            }
        }
        stats
    }

    fn audit(
        &self,
        cursor: u32,
        max: u32,
        each: &mut dyn FnMut(Handle, u32, Direction, Tuple),
    ) -> Option<u32> {
        let slot = cursor & !V6_BIT;
        if cursor & V6_BIT == 0 {
            match audit(&self.v4, 0, slot, max, each) {
                None if self.v6.ever_used() > 0 => Some(V6_BIT),
                next => next,
            }
        } else {
            audit(&self.v6, V6_BIT, slot, max, each)
        }
    }

    fn set_traced(&mut self, handle: Handle, traced: bool) {
        self.with_entry(handle, |e| e.set_traced(traced), |e| e.set_traced(traced));
    }
}

/// Frees a slot; what it counted if it was a flow's.
fn release<F: Family>(
    writer: &mut Writer<F>,
    slot: u32,
) -> Option<Option<(u32, u32, Direction, FlowStats)>> {
    let entry = writer.entry(slot)?;
    let is_flow = !entry.is_sa();
    let (generation, session, direction) = (entry.generation, entry.session, entry.direction());
    let stats = writer.release(slot);
    Some(is_flow.then_some((generation, session, direction, stats)))
}

fn audit<F: Family>(
    writer: &Writer<F>,
    bit: u32,
    from: u32,
    max: u32,
    each: &mut dyn FnMut(Handle, u32, Direction, Tuple),
) -> Option<u32> {
    let end = from.saturating_add(max).min(writer.ever_used());
    for slot in from..end {
        if let Some(entry) = writer.entry(slot).filter(|e| e.is_installed() && !e.is_sa()) {
            let handle = Handle { index: slot | bit, generation: entry.generation };
            each(handle, entry.session, entry.direction(), entry.key.tuple());
        }
    }
    (end < writer.ever_used()).then_some(end | bit)
}
