//! Work that is too large for one call: swept in slices, so that forwarding never waits for it.

use api::filter::Filter;
use offload::{
    Direction, FlowStats,
    ledger::{At, DriftAudit, Finding, State, missing_in_engine},
};
use reason::DemotionReason;
use wire::Time;

use crate::{
    Gateway,
    events::EventKind,
    neighbour::NeighbourId,
    promote::ENGINE,
    session::SessionId,
    show::Census,
    tunnel::{ChildId, ClientNumber},
};

/// Session slots looked at in one slice.
const SLICE: u32 = 256;

/// Programs of the engine compared in one slice.
const AUDIT_SLICE: u32 = 4_096;

/// What is going on.
pub(crate) struct Jobs {
    /// Sessions are evaluated again after a change, from this slot on.
    sweep: Option<u32>,
    /// There was another change meanwhile: once more from the start.
    sweep_again: bool,
    clear: Vec<Clear>,
    /// Flows are marked for the live trace, or unmarked, from this slot on.
    mark: Option<u32>,
    /// What the ledger says is looked for in the engine, from this slot on.
    watch: Option<u32>,
    watch_at: Time,
    /// Sessions counted so far by the walk of `watch`, and when and what the last one counted.
    counting: Census,
    counted: Option<(Time, Census)>,
    /// What the engine has is looked for in the ledger; follows `watch`.
    auditing: bool,
    audit: DriftAudit,
    /// SAs are looked at, from this one on; follows the audit.
    sas: Option<ChildId>,
    /// Clients are looked at, from this one on; with the SAs.
    clients: Option<ClientNumber>,
}

struct Clear {
    filter: Filter,
    cursor: u32,
}

impl Jobs {
    pub(crate) fn new(watch_at: Time) -> Self {
        Self {
            sweep: None,
            sweep_again: false,
            clear: Vec::new(),
            mark: None,
            watch: None,
            watch_at,
            counting: Census::default(),
            counted: None,
            auditing: false,
            audit: DriftAudit::default(),
            sas: None,
            clients: None,
        }
    }

    /// Evaluates every session again, in slices.
    pub(crate) fn sweep(&mut self) {
        self.sweep_again = self.sweep.is_some_and(|cursor| cursor > 0);
        self.sweep.get_or_insert(0);
    }

    /// Marks the flows that the live trace wants, and unmarks the others, in slices.
    pub(crate) fn mark_traced(&mut self) {
        self.mark = Some(0);
    }

    /// Whether a slice is waiting to be worked on.
    pub(crate) fn is_busy(&self) -> bool {
        self.sweep.is_some()
            || self.mark.is_some()
            || !self.clear.is_empty()
            || self.watch.is_some()
            || self.auditing
            || self.sas.is_some()
            || self.clients.is_some()
    }

    /// Sessions as the last whole walk counted them, and when it ended.
    pub(crate) const fn census(&self) -> Option<&(Time, Census)> {
        self.counted.as_ref()
    }

    /// When the next regular job is due.
    pub(crate) const fn due(&self) -> Time {
        self.watch_at
    }
}

impl Gateway {
    /// Starts clearing the sessions that match.
    pub fn clear_sessions(&mut self, filter: Filter) {
        self.jobs.clear.push(Clear { filter, cursor: 0 });
    }

    /// Whether sessions are still being cleared or evaluated again.
    pub fn is_working(&self) -> bool {
        self.jobs.is_busy()
    }

    /// Does one slice of whatever is waiting.
    pub(crate) fn work(&mut self, now: Time) {
        if self.jobs.watch.is_none() && !self.jobs.auditing && now >= self.jobs.watch_at {
            self.jobs.watch = Some(0);
            self.jobs.watch_at = now + self.config.offload.audit_interval;
        }
        if let Some(cursor) = self.jobs.sweep {
            let (ids, next) = self.slice(cursor);
            for id in ids {
                // Only what the change made stale; the others were evaluated by their own packets.
                let _ = self.reevaluate_if_stale(id, now);
            }
            let again = next.is_none() && std::mem::take(&mut self.jobs.sweep_again);
            self.jobs.sweep = if again { Some(0) } else { next };
        }
        if let Some(clear) = self.jobs.clear.first() {
            let (ids, next) = self.slice(clear.cursor);
            let filter = clear.filter.clone();
            for id in ids {
                if self.matches(id, &filter) {
                    self.end_session(id, DemotionReason::SessionCleared, now);
                }
            }
            match next {
                Some(cursor) => self.jobs.clear[0].cursor = cursor,
                None => drop(self.jobs.clear.remove(0)),
            }
        }
        if let Some(cursor) = self.jobs.mark {
            let (ids, next) = self.slice(cursor);
            for id in ids {
                self.mark_traced(id);
            }
            self.jobs.mark = next;
        }
        if let Some(cursor) = self.jobs.watch {
            let (ids, next) = self.slice(cursor);
            for id in ids {
                self.watch(id, now);
            }
            self.jobs.watch = next;
            if next.is_none() {
                self.jobs.counted = Some((now, std::mem::take(&mut self.jobs.counting)));
                self.jobs.auditing = true;
            }
        } else if self.jobs.auditing {
            self.audit(now);
        }
        if let Some(from) = self.jobs.sas {
            let ids = self.tunnels.slice(from, SLICE as usize);
            for id in &ids {
                self.watch_child(*id, now);
            }
            let last = ids.last().filter(|_| ids.len() == SLICE as usize);
            self.jobs.sas = last.map(|id| ChildId(id.0 + 1));
        }
        if let Some(from) = self.jobs.clients {
            let numbers = self.clients.slice(from, SLICE as usize);
            for number in &numbers {
                self.watch_client(*number, now);
            }
            let last = numbers.last().filter(|_| numbers.len() == SLICE as usize);
            self.jobs.clients = last.map(|number| ClientNumber(number.0 + 1));
        }
    }

    fn slice(&self, cursor: u32) -> (Vec<SessionId>, Option<u32>) {
        let ids = self.sessions.page(cursor, SLICE).map(|(id, _)| id).collect();
        let next = cursor.saturating_add(SLICE);
        (ids, (next < self.sessions.slots()).then_some(next))
    }

    /// Compares one slice of the engine with the ledger, and repairs what disagrees: the ledger
    /// wins.
    fn audit(&mut self, now: Time) {
        let mut findings = Vec::new();
        let sessions = &self.sessions;
        let installed = |index: u32, direction: Direction| {
            let session = sessions.get(sessions.id_at(index)?)?;
            let handle = session.ledger.direction(direction).state().handle()?;
            Some((handle, session.key(direction)))
        };
        if self.jobs.audit.step(&*self.engine, AUDIT_SLICE, installed, &mut findings) {
            self.jobs.auditing = false;
            self.audits += 1;
            self.audited = Some(now);
            self.jobs.sas = Some(ChildId(0));
            self.jobs.clients = Some(ClientNumber(0));
            if self.overlays.forget_path_mtus(now) {
                self.reevaluate_all(DemotionReason::PathMtuChanged, now);
            }
        }
        for finding in findings {
            self.repair(finding, now);
        }
    }

    fn repair(&mut self, finding: Finding, now: Time) {
        let reason = DemotionReason::DriftRepaired;
        self.counters.drift_repaired += 1;
        self.events.push(now, EventKind::DriftRepaired, finding.to_string());
        match finding {
            Finding::UnknownToLedger { handle, .. } => {
                self.engine.remove(handle, reason);
            }
            Finding::WrongKey { session, direction, .. } => {
                if let Some(id) = self.sessions.id_at(session) {
                    self.demote(id, direction, reason, now);
                }
            }
            // No event will come for it, and what it counted is lost.
            Finding::MissingInEngine { session, direction, handle } => {
                let at = At { session, direction, engine: ENGINE, now };
                self.engine_removed(at, handle, FlowStats::default(), reason);
            }
        }
    }

    /// Sees whether the engine has a session and works for it, that its next hops do not rot
    /// meanwhile, and that its rule hears of its traffic.
    fn watch(&mut self, id: SessionId, now: Time) {
        self.account(id);
        if let Some(session) = self.sessions.get(id) {
            self.jobs.counting.count(session);
        }
        for direction in Direction::BOTH {
            let Some(session) = self.sessions.get(id) else { return };
            let state = session.ledger.direction(direction).state();
            let (State::Installed(handle) | State::Hitting(handle)) = state else { continue };
            let next_hop = session.next_hop[direction.index()];
            if let Some(finding) = missing_in_engine(&*self.engine, id.index, direction, handle) {
                self.repair(finding, now);
                continue;
            }
            let stats = self.engine.stats(handle).unwrap_or_default();
            let at = At { session: id.index, direction, engine: ENGINE, now };
            let Some(session) = self.sessions.get_mut(id) else { return };
            self.promotion.ledger.observe(&mut session.ledger, at, stats);
            let hitting = matches!(session.ledger.direction(direction).state(), State::Hitting(_));
            if hitting {
                self.neighbours.confirm_use(NeighbourId(next_hop), now);
            }
        }
    }
}
