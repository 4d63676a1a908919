//! Traces as views: live, simulated.

use api::{
    ApiError, OffloadVerdict, PacketSpec, Phase as PhaseView, PhaseResult, PlacementStatus,
    ReasonView, RuleRef, Stage, TraceAction, TraceOrigin, TracePolledView, TraceStartedView,
    TraceView, filter::Filter, first_missing_phase,
};
use offload::ledger::Kind;
use reason::DropReason;
use wire::{Time, Tuple, proto};

use super::convert::{ago, tuple};
use crate::{
    Gateway,
    packet::{Tier, Verdict},
    simulate::Question,
    trace::{Phase, Trace},
};

/// Records handed out in one poll.
const FETCH: usize = 64;

impl Gateway {
    pub(super) fn show_simulated(
        &mut self,
        spec: &PacketSpec,
        now: Time,
    ) -> Result<TraceView, ApiError> {
        let key = &spec.key;
        if key.src.is_ipv4() != key.dst.is_ipv4() {
            return Err(ApiError::bad_request(
                "source and destination are of different IP versions",
            ));
        }
        let ingress = match &key.interface {
            Some(name) => Some(self.interface_named(name)?),
            None => None,
        };
        let question = Question {
            ingress,
            vr: self.router_named(key.vr.as_deref())?,
            tuple: Tuple {
                src: key.src,
                dst: key.dst,
                src_port: key.src_port,
                dst_port: key.dst_port,
                proto: key.proto,
            },
            tcp_flags: spec.tcp_flags.map_or(wire::tcp::flags::SYN, api::TcpFlagsSpec::bits),
            ttl: spec.ttl.unwrap_or(64),
            length: spec.length.unwrap_or(0),
            dont_fragment: spec.dont_fragment.unwrap_or(true),
        };
        let trace = self.simulate(&question, now).ok_or_else(|| {
            ApiError::bad_request(format!(
                "no interface leads back to {}; name the incoming one with --interface",
                key.src
            ))
        })?;
        Ok(self.trace_view(&trace, 1, TraceOrigin::Simulated))
    }

    pub(super) fn show_trace_start(&mut self, filter: Filter, count: u32) -> TraceStartedView {
        let trace = self.start_trace(filter, u64::from(count));
        let ledger = &self.promotion.ledger;
        let marked = ledger.directions(Kind::Installed) + ledger.directions(Kind::Hitting);
        TraceStartedView { trace, marked_flows: marked }
    }

    pub(super) fn show_trace_poll(&mut self, id: u64) -> Result<TracePolledView, ApiError> {
        let (running, left, lost) = self.trace_state();
        if id != running {
            return Err(ApiError::not_found(format!("trace {id} has been replaced by another")));
        }
        let records = self.fetch_traces(FETCH);
        let packets: Vec<_> = records
            .iter()
            .map(|trace| {
                let number = self.tracer.number();
                self.trace_view(trace, number, TraceOrigin::Live)
            })
            .collect();
        let done = left == 0 && packets.len() < FETCH;
        Ok(TracePolledView { trace: id, matched: self.tracer.matched(), packets, lost, done })
    }

    fn trace_view(&self, trace: &Trace, number: u64, origin: TraceOrigin) -> TraceView {
        let phases: Vec<_> = trace.phases.iter().map(phase_view).collect();
        let left = trace.outcome() == Verdict::Continue;
        let egress = trace.egress.filter(|_| left).map(|id| self.interface_name(id));
        let reason = trace.dropped();
        TraceView {
            number,
            origin,
            uptime_ms: ago(trace.time, self.started),
            ingress: trace.ingress.clone(),
            egress: egress.unwrap_or_default(),
            tuple: trace.tuple.as_ref().map(tuple),
            translated: trace.translated.filter(|t| Some(*t) != trace.tuple).as_ref().map(tuple),
            summary: summary(trace),
            length: trace.ip_len,
            tier: trace.tier.name().into(),
            session: trace.session.map(|id| id.as_u64()),
            direction: trace.direction.map(super::convert::direction),
            first_missing_phase: first_missing_phase(&phases),
            phases,
            action: match trace.outcome() {
                Verdict::Continue => TraceAction::Forwarded,
                Verdict::Drop(_) => TraceAction::Dropped,
                Verdict::Consume => TraceAction::Delivered,
                Verdict::Hold => TraceAction::Held,
            },
            reason: reason.map(ReasonView::of),
            offload: self.offload_verdict(trace),
        }
    }

    fn offload_verdict(&self, trace: &Trace) -> Option<OffloadVerdict> {
        let against: Vec<_> = trace.against.iter().map(ReasonView::of).collect();
        let session = trace.session.and_then(|id| self.sessions.get(id));
        let status = match (trace.tier, session, trace.direction) {
            (Tier::Fast, _, _) => PlacementStatus::Hitting,
            // As it stood when the packet passed; the session may have moved on since.
            _ if !against.is_empty() => PlacementStatus::NotEligible,
            (_, Some(session), Some(d)) => match session.ledger.direction(d).state() {
                offload::ledger::State::Installed(_) => PlacementStatus::Installed,
                offload::ledger::State::Hitting(_) => PlacementStatus::Hitting,
                offload::ledger::State::Refused(_) => PlacementStatus::Refused,
                offload::ledger::State::Eligible => PlacementStatus::Eligible,
                offload::ledger::State::NotEvaluated
                | offload::ledger::State::NotEligible(_)
                | offload::ledger::State::Retiring(..) => PlacementStatus::NotEligible,
            },
            _ if trace.phases.iter().any(|p| p.stage == Stage::Offload) => {
                if against.is_empty() {
                    PlacementStatus::Eligible
                } else {
                    PlacementStatus::NotEligible
                }
            }
            _ => return None,
        };
        Some(OffloadVerdict { engine: self.engine.name().into(), status, against })
    }
}

fn phase_view(phase: &Phase) -> PhaseView {
    let (result, reason) = match phase.verdict {
        Verdict::Continue if phase.stage == Stage::FastPath => (PhaseResult::Hit, None),
        Verdict::Continue if phase.stage == Stage::Session => {
            (if phase.hit { PhaseResult::Hit } else { PhaseResult::Miss }, None)
        }
        Verdict::Continue => (PhaseResult::Continue, None),
        Verdict::Drop(reason) => (PhaseResult::Drop, Some(reason)),
        Verdict::Consume => (PhaseResult::Consume, None),
        Verdict::Hold => (PhaseResult::Hold, None),
    };
    PhaseView {
        stage: phase.stage,
        looked_at: phase.note.looked_at.clone(),
        decided_by: phase.note.decided_by.as_ref().map(|object| RuleRef {
            kind: object.kind.into(),
            id: object.id,
            name: object.name.clone(),
            line: object.line,
        }),
        result,
        reason: reason.map(|reason: DropReason| ReasonView::of(reason)),
        nanos: phase.nanos,
        detail: phase.note.result.clone(),
    }
}

fn summary(trace: &Trace) -> String {
    let Some(tuple) = trace.tuple else { return format!("not IP, {} bytes", trace.ip_len) };
    if tuple.proto == proto::TCP && trace.tier != Tier::Fast {
        format!("{tuple} [{}] len {}", flags(trace.tcp_flags), trace.ip_len)
    } else {
        format!("{tuple} len {}", trace.ip_len)
    }
}

/// TCP flags as tcpdump writes them.
fn flags(bits: u8) -> String {
    let letters = [(0x02, 'S'), (0x01, 'F'), (0x04, 'R'), (0x08, 'P'), (0x20, 'U'), (0x10, '.')];
    letters.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, letter)| *letter).collect()
}
