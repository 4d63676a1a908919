//! Live traces of sessions that an engine serves.
//!
//! An engine runs no stages. Flows of sessions that a live trace wants are marked in the engine; it
//! reports their packets, and each becomes a record with the phases `fast-path` and `transmit`. Sessions stay
//! where they are: looking does not demote.

use api::filter::Filter;
use offload::Direction;
use reason::{PuntCause, ReasonSet};
use wire::{Time, Tuple};

use super::{Note, Phase, Stage, Trace};
use crate::{
    Gateway,
    packet::{Tier, Verdict},
    session::SessionId,
};

/// A packet of a marked flow that an engine served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FastHit {
    /// Session, by slot.
    pub session: u32,
    /// Direction.
    pub direction: Direction,
    /// The packet as it came in.
    pub before: Tuple,
    /// The packet as it left.
    pub after: Tuple,
    /// Bytes of IP packet.
    pub ip_len: u32,
    /// When.
    pub time: Time,
}

impl Gateway {
    /// Starts a live trace of `count` packets that match; returns its number.
    pub fn start_trace(&mut self, filter: Filter, count: u64) -> u64 {
        let id = self.tracer.start(filter, count);
        self.jobs.mark_traced();
        id
    }

    /// Ends the live trace.
    pub fn stop_trace(&mut self) {
        self.tracer.stop();
        self.jobs.mark_traced();
    }

    /// Number of the live or last trace, packets it still wants, packets it lost.
    pub fn trace_state(&self) -> (u64, u64, u64) {
        self.tracer.state()
    }

    /// Up to `max` finished records.
    pub fn fetch_traces(&mut self, max: usize) -> Vec<Trace> {
        self.tracer.fetch(max)
    }

    /// An engine served a packet of a marked flow.
    pub fn handle_trace_hit(&mut self, hit: &FastHit, _now: Time) {
        let Some(id) = self.sessions.id_at(hit.session) else { return };
        let Some(session) = self.sessions.get(id) else { return };
        let engine = self.engine.name();
        let (ingress, egress) = match hit.direction {
            Direction::Original => (session.ingress, session.egress),
            Direction::Reply => (session.egress, session.ingress),
        };
        let ingress = self.interface(ingress).name.clone();
        let leaving = self.interface(egress);
        let sent = Note::new(format!("interface {}", leaving.name), "sent by the engine").by(
            "interface",
            leaving.name.clone(),
            leaving.line,
        );
        let Some(running) = self.tracer.running() else { return };
        running.left -= 1;
        let looked_at = format!("{} flow of session {id}", hit.direction.name());
        let result = if hit.before == hit.after {
            format!("forwarded by {engine}")
        } else {
            format!("forwarded by {engine} as {}", hit.after)
        };
        let trace = Trace {
            id: running.id,
            time: hit.time,
            tuple: Some(hit.before),
            ingress,
            ip_len: hit.ip_len,
            tcp_flags: 0,
            cause: None::<PuntCause>,
            tier: Tier::Fast,
            session: Some(id),
            direction: Some(hit.direction),
            egress: Some(egress),
            translated: Some(hit.after),
            against: ReasonSet::EMPTY,
            phases: vec![
                Phase {
                    stage: Stage::FastPath,
                    note: Note::new(looked_at, result),
                    verdict: Verdict::Continue,
                    hit: true,
                    nanos: 0,
                },
                Phase {
                    stage: Stage::Transmit,
                    note: sent,
                    verdict: Verdict::Continue,
                    hit: false,
                    nanos: 0,
                },
            ],
            note: None,
        };
        self.tracer.finish(trace);
    }

    /// Marks or unmarks a session's flows by what the live trace wants now.
    pub(crate) fn mark_traced(&mut self, id: SessionId) {
        let wanted = match self.tracer.running() {
            Some(running) => {
                let filter = running.filter.clone();
                self.matches(id, &filter)
            }
            None => false,
        };
        let Some(session) = self.sessions.get_mut(id) else { return };
        if session.is_traced() == wanted {
            return;
        }
        session.set_traced(wanted);
        for direction in Direction::BOTH {
            if let Some(handle) = session.ledger.direction(direction).state().handle() {
                self.engine.set_traced(handle, wanted);
            }
        }
    }
}
