//! The engine, and why sessions are not on it, as views.

use api::{
    AuditView, EngineView, EnginesView, OffloadReasonView, OffloadReasonsView, PuntView,
    ReasonCount, ReasonView, Traffic, proto_name,
};
use offload::{Allowed, ledger::Kind};
use reason::{DemotionReason, NotEligible, PuntCause, Reason, RefusalReason};
use wire::Time;

use super::convert::ago;
use crate::Gateway;

impl Gateway {
    pub(super) fn show_engines(&self, now: Time) -> EnginesView {
        let stats = self.engine.engine_stats();
        let capabilities = self.engine.capabilities();
        let rules = self.rules();
        let protocols = match capabilities.protocols {
            Allowed::Any => &[],
            Allowed::Only(protocols) => protocols,
        };
        let mut words: Vec<api::Name> =
            protocols.iter().filter(|p| rules.forwards(**p)).map(|p| proto_name(*p)).collect();
        let mut word = |has: bool, name: &'static str| {
            if has {
                words.push(name.into());
            }
        };
        word(rules.can(|c| c.ipv4), "ipv4");
        word(rules.can(|c| c.ipv6), "ipv6");
        word(rules.can(|c| c.nat), "nat");
        word(rules.can(|c| c.tcp_window), "tcp-window");
        word(rules.can(|c| c.ip_options), "ip-options");
        word(rules.can(|c| c.fragments), "fragments");
        word(rules.can(|c| c.tunnelled), "tunnels");
        let at = |counts: &[u64], index: usize| counts.get(index).copied().unwrap_or(0);
        let punts = PuntCause::ALL.iter().filter_map(|cause| {
            let i = cause.index();
            let view = PuntView {
                cause: ReasonView::of(*cause),
                packets: at(&stats.punts, i),
                ring_full: at(&stats.punt_ring_full, i),
                limited: at(&stats.punt_limited, i),
                limit_per_second: self.config.limits.punt.get(cause.name()).copied(),
            };
            (view.packets + view.ring_full + view.limited > 0).then_some(view)
        });
        let ledger = &self.promotion.ledger;
        let view = EngineView {
            name: self.engine.name().into(),
            profile: self.config.engine.profile.name().into(),
            state: "running".into(),
            capabilities: words,
            workers: stats.workers,
            flows: stats.flows,
            flow_capacity: stats.flow_capacity,
            sas: stats.sas,
            sa_capacity: stats.sa_capacity,
            adjacencies: stats.adjacencies,
            adjacency_capacity: stats.adjacency_capacity,
            retiring: stats.retiring,
            hits: stats.hits,
            misses: stats.misses,
            forwarded: Traffic { packets: stats.forwarded_packets, bytes: stats.forwarded_bytes },
            bursts: stats.bursts,
            installed: stats.installed,
            removed: stats.removed,
            evicted: stats.evicted,
            refusals: counts(|r: RefusalReason| ledger.refusals(r)),
            demotions: counts(|r: DemotionReason| ledger.demotions(r)),
            punts: punts.collect(),
            punt_depth: stats.punt_depth,
            punt_capacity: stats.punt_capacity,
            memory_bytes: stats.memory,
            audit: AuditView {
                passes: self.audits,
                last_ms: self.audited.map(|at| ago(now, at)),
                found: self.counters.drift_repaired,
                repaired: self.counters.drift_repaired,
            },
        };
        EnginesView { engines: vec![view] }
    }

    pub(super) fn show_offload_reasons(&self) -> OffloadReasonsView {
        let ledger = &self.promotion.ledger;
        let engine = self.engine.name();
        let standing = |reason: ReasonView, sessions: u64| OffloadReasonView {
            reason,
            engine: engine.into(),
            sessions,
        };
        let mut rows: Vec<OffloadReasonView> = NotEligible::ALL
            .iter()
            .map(|r| standing(ReasonView::of(*r), ledger.held_back(*r)))
            .chain(
                RefusalReason::ALL
                    .iter()
                    .map(|r| standing(ReasonView::of(*r), ledger.refused_now(*r))),
            )
            .filter(|row| row.sessions > 0)
            .collect();
        rows.sort_by(|a, b| b.sessions.cmp(&a.sessions).then(a.reason.id.cmp(&b.reason.id)));
        OffloadReasonsView {
            sessions: self.sessions.len().into(),
            flows: ledger.directions(Kind::Installed) + ledger.directions(Kind::Hitting),
            standing: rows,
            refusals: counts(|r: RefusalReason| ledger.refusals(r)),
            demotions: counts(|r: DemotionReason| ledger.demotions(r)),
        }
    }
}

/// Reasons that happened, most first.
pub(super) fn counts<R: Reason>(count: impl Fn(R) -> u64) -> Vec<ReasonCount> {
    let mut rows: Vec<_> = R::ALL
        .iter()
        .filter(|r| count(**r) > 0)
        .map(|r| ReasonCount { reason: ReasonView::of(*r), count: count(*r), delta: None })
        .collect();
    rows.sort_by(|a, b| b.count.cmp(&a.count).then(a.reason.id.cmp(&b.reason.id)));
    rows
}
