//! `explain`: the stored decision of a session, without any packet.

use api::{
    ApiError, DirectionView, ExplainView, HistoryView, LookupKey, Phase, PhaseResult, RemedyView,
    SessionPick, Stage,
};
use offload::{
    Direction,
    ledger::{Event, HistoryEntry, State},
};
use reason::{NotEligible, Reason};
use wire::{Time, Tuple, proto};

use super::{
    convert::{ago, direction, rule},
    sessions::{SCAN, evidence, name},
};
use crate::{
    Gateway,
    route::Lookup,
    session::{Kind, Session, SessionId},
};

impl Gateway {
    pub(super) fn explain_session(
        &self,
        pick: &SessionPick,
        now: Time,
    ) -> Result<ExplainView, ApiError> {
        if let Some(number) = pick.id {
            let id = SessionId::from_u64(number);
            let session = self.sessions.get(id).ok_or_else(|| {
                ApiError::not_found(format!(
                    "no session {id}; it may have ended: `lockgate events` tells of logged ones"
                ))
            })?;
            return Ok(self.explain(id, session, None, 0, now));
        }
        let filter = super::parse(pick.filter.as_deref())?;
        let first = self.sessions.page(0, SCAN);
        let mut matching = first.filter(|(id, _)| self.matches(*id, &filter));
        let Some((id, session)) = matching.next() else {
            return Err(ApiError::not_found(
                "no session matches; `lockgate show sessions` lists them",
            ));
        };
        let others = matching.count() as u64;
        Ok(self.explain(id, session, None, others, now))
    }

    pub(super) fn explain_flow(&self, key: &LookupKey, now: Time) -> Result<ExplainView, ApiError> {
        let vr = match &key.interface {
            Some(name) => {
                let id = self.interface_named(name)?;
                self.interface(id).vr
            }
            None => self.router_named(key.vr.as_deref())?,
        };
        let icmp = matches!(key.proto, proto::ICMP | proto::ICMPV6);
        let tuple = Tuple {
            src: key.src,
            dst: key.dst,
            src_port: key.src_port,
            dst_port: if icmp { 0 } else { key.dst_port },
            proto: key.proto,
        };
        let found = self.sessions.lookup(vr, &tuple).or_else(|| {
            self.sessions.lookup(vr, &tuple.reversed()).map(|(id, d)| (id, d.opposite()))
        });
        let (id, d) = found.ok_or_else(|| {
            ApiError::not_found(format!(
                "no session for {tuple}; `lockgate trace --simulate` shows what a new one would meet"
            ))
        })?;
        let session =
            self.sessions.get(id).ok_or_else(|| ApiError::not_found("it has just ended"))?;
        Ok(self.explain(id, session, Some(direction(d)), 0, now))
    }

    fn explain(
        &self,
        id: SessionId,
        session: &Session,
        direction: Option<DirectionView>,
        others: u64,
        now: Time,
    ) -> ExplainView {
        ExplainView {
            session: self.session_view(id, session, true, now),
            direction,
            phases: self.stored_phases(session),
            history: self.history(id, session),
            history_lost: self.promotion.ledger.history().forgotten(),
            remedies: remedies(session, self.engine.name()),
            others,
        }
    }

    /// The decisions of the session as the first packet met them, and as they stand now.
    fn stored_phases(&self, session: &Session) -> Vec<Phase> {
        let phase = |stage, looked_at: String, decided_by, detail: String| Phase {
            stage,
            looked_at,
            decided_by,
            result: PhaseResult::Continue,
            reason: None,
            nanos: 0,
            detail,
        };
        let mut phases = Vec::new();
        let interface = self.interface(session.ingress);
        phases.push(phase(
            Stage::Ingress,
            session.original.to_string(),
            Some(rule("interface", None, &interface.name, interface.line)),
            format!("zone {}", self.zone(interface.zone)),
        ));
        let translated = session.reply.reversed();
        if (translated.dst, translated.dst_port)
            != (session.original.dst, session.original.dst_port)
        {
            let vip = session.vip().and_then(|index| self.config.vips.get(usize::from(index)));
            phases.push(phase(
                Stage::Dnat,
                format!("dst={}", session.original.dst),
                vip.map(|vip| rule("vip", None, &vip.name, vip.line)),
                format!("to {} port {}", translated.dst, translated.dst_port),
            ));
        }
        if session.kind == Kind::Forward
            && let Lookup::Via(set) = self.routes.lookup(session.vr, translated.dst)
        {
            phases.push(phase(
                Stage::Route,
                format!("dst={}", translated.dst),
                Some(rule("route", None, &set.destination.to_string(), set.line)),
                format!("out by {}", self.interface_name(session.egress)),
            ));
        }
        let stage = match session.kind {
            Kind::Forward => Stage::Policy,
            Kind::LocalIn => Stage::LocalIn,
            Kind::LocalOut => Stage::LocalOut,
        };
        phases.push(phase(stage, String::new(), Some(self.rule_of(session)), "allowed".into()));
        if (translated.src, translated.src_port)
            != (session.original.src, session.original.src_port)
        {
            phases.push(phase(
                Stage::Snat,
                format!("src={} port {}", session.original.src, session.original.src_port),
                Some(self.rule_of(session)),
                format!("to {} port {}", translated.src, translated.src_port),
            ));
        }
        phases
    }

    fn history(&self, id: SessionId, session: &Session) -> Vec<HistoryView> {
        let engine = self.engine.name();
        let steps = self.promotion.ledger.history().of(id.index, session.created);
        let steps = steps.map(|entry| step(entry, session.created, engine));
        core::iter::once(created()).chain(steps).collect()
    }
}

/// How a history begins.
pub(super) fn created() -> HistoryView {
    HistoryView {
        at_ms: 0,
        direction: None,
        engine: None,
        step: "created".into(),
        reason: None,
        evidence: String::new(),
    }
}

/// One step of a session or an SA that was made at `since`.
pub(super) fn step(entry: &HistoryEntry, since: Time, engine: &'static str) -> HistoryView {
    let (step, reason, evidence) = match entry.event {
        Event::NotEligible(set) if set.len() == 1 => {
            ("not-eligible", set.first().map(name), String::new())
        }
        Event::NotEligible(set) => ("not-eligible", None, set.to_string()),
        Event::Refused(refusal) => ("refused", Some(name(refusal.reason)), evidence(&refusal)),
        Event::Installed(_) => ("installed", None, String::new()),
        Event::FirstHit => ("hitting", None, String::new()),
        Event::Retiring(reason) => ("demoted", Some(name(reason)), String::new()),
        // Retiring has told of it, unless the engine did it on its own.
        Event::Removed(reason, stats) => {
            let text = format!("packets={} bytes={}", stats.packets, stats.bytes);
            ("removed", Some(name(reason)), text)
        }
    };
    HistoryView {
        at_ms: ago(entry.time, since),
        direction: Some(direction(entry.direction)),
        engine: Some(engine.into()),
        step: step.into(),
        reason,
        evidence,
    }
}

/// What would make the session faster: every standing reason with its remedy, once.
fn remedies(session: &Session, engine: &'static str) -> Vec<RemedyView> {
    let mut remedies: Vec<RemedyView> = Vec::new();
    for d in Direction::BOTH {
        let (rows, retry): (Vec<_>, &'static str) = match session.ledger.direction(d).state() {
            State::NotEligible(set) => {
                let retry = if set.contains(NotEligible::NeighbourUnresolved) {
                    "at every neighbour update"
                } else {
                    "with every packet of the slow path"
                };
                (set.iter().map(|r| r.row()).collect(), retry)
            }
            State::Refused(reason) => (vec![reason.row()], "when the engine has room"),
            State::NotEvaluated
            | State::Eligible
            | State::Installed(_)
            | State::Hitting(_)
            | State::Retiring(..) => continue,
        };
        for row in rows {
            match remedies.iter_mut().find(|r| r.reason.id == row.id) {
                Some(known) => known.direction = None,
                None => remedies.push(RemedyView {
                    reason: row.into(),
                    direction: Some(direction(d)),
                    engine: Some(engine.into()),
                    retry_in_ms: None,
                    retry: retry.into(),
                }),
            }
        }
    }
    remedies
}
