//! Counters as views, absolute and since the last look.

use api::{CounterView, CountersView, LadderStep, ReasonCount, Traffic};
use reason::{DropReason, PuntCause, Reason};
use wire::Time;

use super::convert::ago;
use crate::{Gateway, counters::Volume};

/// What the counters stood at when they were cleared, and at the last look with `delta`.
#[derive(Default)]
pub(crate) struct Baseline {
    cleared: Marks,
    cleared_at: Option<Time>,
    looked: Marks,
    looked_at: Option<Time>,
}

/// Every counter of the view at one moment.
#[derive(Clone, Default)]
struct Marks {
    drops: Vec<u64>,
    punts: Vec<u64>,
    named: Vec<u64>,
    ladder: [Traffic; 3],
}

impl Gateway {
    pub(super) fn show_counters(&mut self, delta: bool, now: Time) -> CountersView {
        let marks = self.marks();
        let base = &self.baseline;
        let since = |values: &[u64], base: &[u64], i: usize| {
            values[i].saturating_sub(base.get(i).copied().unwrap_or(0))
        };
        let mut view = CountersView {
            since_ms: ago(now, base.cleared_at.unwrap_or(self.started)),
            delta_since_ms: delta.then(|| ago(now, base.looked_at.unwrap_or(self.started))),
            drops: reasons::<DropReason>(
                &marks.drops,
                &base.cleared.drops,
                delta.then_some(&base.looked.drops[..]),
            ),
            punts: reasons::<PuntCause>(
                &marks.punts,
                &base.cleared.punts,
                delta.then_some(&base.looked.punts[..]),
            ),
            ..CountersView::default()
        };
        for (i, named) in NAMED.iter().enumerate() {
            let value = since(&marks.named, &base.cleared.named, i);
            if value > 0 {
                view.counters.push(CounterView {
                    group: named.group.into(),
                    name: named.name.into(),
                    unit: named.unit.into(),
                    value,
                    delta: delta.then(|| since(&marks.named, &base.looked.named, i)),
                    help: named.help.into(),
                });
            }
        }
        let engine = self.engine.name();
        for (i, (tier, engine)) in
            [("fast", Some(engine)), ("slow-established", None), ("slow-setup", None)]
                .into_iter()
                .enumerate()
        {
            view.ladder.push(LadderStep {
                tier: tier.into(),
                engine: engine.map(Into::into),
                traffic: less(marks.ladder[i], base.cleared.ladder[i]),
                delta: delta.then(|| less(marks.ladder[i], base.looked.ladder[i])),
                ns_per_packet: None,
            });
        }
        let dropped: u64 = view.drops.iter().map(|d| d.count).sum();
        view.ladder.push(LadderStep {
            tier: "dropped".into(),
            traffic: Traffic { packets: dropped, bytes: 0 },
            delta: delta.then(|| Traffic {
                packets: view.drops.iter().filter_map(|d| d.delta).sum(),
                bytes: 0,
            }),
            ..LadderStep::default()
        });
        if delta {
            self.baseline.looked = marks;
            self.baseline.looked_at = Some(now);
        }
        view
    }

    /// Counts from here on: the views show what came since.
    pub(super) fn clear_baseline(&mut self, now: Time) {
        let marks = self.marks();
        self.baseline.cleared = marks.clone();
        self.baseline.cleared_at = Some(now);
        self.baseline.looked = marks;
        self.baseline.looked_at = Some(now);
    }

    fn marks(&self) -> Marks {
        let stats = self.engine.engine_stats();
        let lost = |i: usize| {
            stats.punt_ring_full.get(i).copied().unwrap_or(0)
                + stats.punt_limited.get(i).copied().unwrap_or(0)
        };
        let mut drops = self.counters.drops.clone();
        for (sum, count) in drops.iter_mut().zip(&stats.drops) {
            *sum += count;
        }
        drops[DropReason::PuntRingFull.index()] += stats.punt_ring_full.iter().sum::<u64>();
        drops[DropReason::PuntRateLimited.index()] += stats.punt_limited.iter().sum::<u64>();
        let c = &self.counters;
        Marks {
            drops,
            punts: PuntCause::ALL
                .iter()
                .map(|cause| {
                    let i = cause.index();
                    stats.punts.get(i).copied().unwrap_or(0) + lost(i)
                })
                .collect(),
            named: NAMED.iter().map(|named| (named.read)(self)).collect(),
            ladder: [
                Traffic { packets: stats.forwarded_packets, bytes: stats.forwarded_bytes },
                volume(c.established),
                volume(c.setup),
            ],
        }
    }
}

const fn volume(volume: Volume) -> Traffic {
    Traffic { packets: volume.packets, bytes: volume.bytes }
}

const fn less(now: Traffic, base: Traffic) -> Traffic {
    Traffic {
        packets: now.packets.saturating_sub(base.packets),
        bytes: now.bytes.saturating_sub(base.bytes),
    }
}

fn reasons<R: Reason>(now: &[u64], cleared: &[u64], looked: Option<&[u64]>) -> Vec<ReasonCount> {
    let at = |values: &[u64], i: usize| values.get(i).copied().unwrap_or(0);
    let mut rows: Vec<_> = R::ALL
        .iter()
        .map(|reason| {
            let i = reason.index();
            ReasonCount {
                reason: api::ReasonView::of(*reason),
                count: at(now, i).saturating_sub(at(cleared, i)),
                delta: looked.map(|looked| at(now, i).saturating_sub(at(looked, i))),
            }
        })
        .filter(|row| row.count > 0)
        .collect();
    rows.sort_by(|a, b| b.count.cmp(&a.count).then(a.reason.id.cmp(&b.reason.id)));
    rows
}

/// A counter of the view that is no reason and no tier.
struct Named {
    group: &'static str,
    name: &'static str,
    unit: &'static str,
    help: &'static str,
    read: fn(&Gateway) -> u64,
}

macro_rules! named {
    ($($group:literal $name:literal $unit:literal $help:literal $read:expr;)+) => {
        &[$(Named { group: $group, name: $name, unit: $unit, help: $help, read: $read },)+]
    };
}

const NAMED: &[Named] = named! {
    "session" "created" "sessions" "Sessions created." |g| g.counters.sessions_created;
    "session" "ended" "sessions" "Sessions ended." |g| g.counters.sessions_ended;
    "session" "reevaluated" "sessions" "Sessions evaluated again after a change." |g| g.counters.reevaluated;
    "slow-path" "sent" "packets" "Packets the slow path sent." |g| g.counters.sent.packets;
    "slow-path" "delivered" "packets" "Packets delivered to the gateway itself." |g| g.counters.delivered.packets;
    "slow-path" "originated" "packets" "Packets the gateway made itself." |g| g.counters.originated.packets;
    "icmp" "errors-sent" "packets" "ICMP errors sent." |g| g.counters.icmp_errors_sent;
    "icmp" "errors-limited" "packets" "ICMP errors not sent because of the rate limit." |g| g.counters.icmp_errors_limited;
    "tcp" "resets-sent" "packets" "TCP resets sent." |g| g.counters.resets_sent;
    "tcp" "mss-clamped" "packets" "SYN segments whose MSS was lowered." |g| g.counters.mss_clamped;
    "reassembly" "completed" "packets" "Packets put together from fragments." |g| g.counters.reassembled;
    "reassembly" "fragments" "packets" "Fragments received." |g| g.reassembler.counters().fragments;
    "fragmentation" "made" "packets" "Fragments made of packets too large for their way out." |g| g.counters.fragments_made;
    "neighbour" "solicitations" "packets" "ARP requests and neighbour solicitations sent." |g| g.counters.solicitations_sent;
    "neighbour" "answered" "packets" "ARP requests and neighbour solicitations answered." |g| g.counters.advertisements_sent;
    "neighbour" "held" "packets" "Packets that waited for a next hop." |g| g.neighbours.counters().held;
    "neighbour" "conflicts" "events" "Stations seen with an address of the gateway." |g| g.neighbours.counters().conflicts;
    "offload" "promotions" "flows" "Directions an engine took." |g| g.promotion.ledger.promotions();
    "offload" "drift-repaired" "flows" "Differences between ledger and engine that were repaired." |g| g.counters.drift_repaired;
};
