//! The system, the anomaly sensors and the event log as views.

use api::{
    AnomalyView, EventView, EventsView, ReasonCount, ReasonView, SensorSourceView, SensorView,
    SystemView, TableView,
};
use config::model::{Sensor, SensorAction};
use reason::{DropReason, Severity};
use wire::Time;

use super::{convert::ago, rows};
use crate::{
    Gateway,
    anomaly::SourceRate,
    events::{Event, EventKind},
};

/// Sources shown per sensor.
const TOP: usize = 5;

impl Gateway {
    pub(super) fn show_system(&self, now: Time) -> SystemView {
        let stats = self.engine.engine_stats();
        let pools = || std::iter::once(&self.frames).chain(&self.more_frames);
        let frames = pools().map(|pool| pool.capacity()).sum::<usize>();
        let frames_used = pools().map(|pool| pool.in_use()).sum::<usize>();
        let limits = &self.config.limits;
        let table = |name: &'static str, used: u64, capacity: u64, memory: Option<u64>| TableView {
            name: name.into(),
            used,
            capacity,
            peak: None,
            memory_bytes: memory,
        };
        SystemView {
            hostname: self.config.hostname.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_ms: ago(now, self.started),
            tables: vec![
                table(
                    "sessions",
                    self.sessions.len().into(),
                    limits.sessions.into(),
                    Some(self.sessions.memory()),
                ),
                table(
                    "half-open",
                    self.sessions.gauges().half_open.into(),
                    limits.half_open.into(),
                    None,
                ),
                table(
                    "tcp-windows",
                    self.windows.used().into(),
                    self.windows.capacity().into(),
                    Some(self.windows.memory()),
                ),
                table("flows", stats.flows, stats.flow_capacity, Some(stats.memory)),
                table(
                    "neighbours",
                    self.neighbours.len() as u64,
                    self.neighbours.capacity() as u64,
                    None,
                ),
                table(
                    "reassembly-bytes",
                    self.reassembler.memory_used() as u64,
                    limits.reassembly_memory.into(),
                    None,
                ),
                table("routes", self.prefixes(), 0, Some(self.routes.memory() as u64)),
                table(
                    "policies",
                    self.config.policies.len() as u64,
                    0,
                    Some(self.policies.memory() as u64),
                ),
                table("frames", frames_used as u64, frames as u64, None),
            ],
            ..SystemView::default()
        }
    }

    pub(super) fn show_anomaly(&self, now: Time) -> AnomalyView {
        let config = &self.config.anomaly;
        let top = self.sensors.top(64, now);
        let sensor = |name: &'static str,
                      sensor: Option<Sensor>,
                      reason: DropReason,
                      rate: fn(&SourceRate) -> u32| {
            let mut worst: Vec<_> = top
                .iter()
                .map(|s| SensorSourceView { source: s.source, per_second: rate(s) })
                .filter(|s| s.per_second > 0)
                .collect();
            worst.sort_by(|a, b| b.per_second.cmp(&a.per_second).then(a.source.cmp(&b.source)));
            worst.truncate(TOP);
            SensorView {
                name: name.into(),
                action: match sensor.map(|s| s.action) {
                    Some(SensorAction::Block) => "block",
                    Some(SensorAction::Monitor) => "monitor",
                    None => "off",
                }
                .into(),
                per_second: sensor.map_or(0, |s| s.per_second),
                reason: ReasonView::of(reason),
                dropped: self.counters.dropped(reason),
                top: if sensor.is_some() { worst } else { Vec::new() },
            }
        };
        let checks = [
            DropReason::AnomalyLand,
            DropReason::AnomalyTcpFlags,
            DropReason::AnomalySpoofed,
            DropReason::FragmentOverlap,
            DropReason::FragmentMalformed,
            DropReason::FragmentTooLarge,
            DropReason::IpSourceRoute,
        ];
        AnomalyView {
            sensors: vec![
                sensor("syn", config.syn, DropReason::AnomalySynFlood, |s| s.syn),
                sensor("udp", config.udp, DropReason::AnomalyUdpFlood, |s| s.udp),
                sensor("icmp", config.icmp, DropReason::AnomalyIcmpFlood, |s| s.icmp),
                sensor("scan", config.scan, DropReason::AnomalyPortScan, |s| s.targets),
            ],
            checks: checks
                .into_iter()
                .map(|reason| ReasonCount {
                    reason: ReasonView::of(reason),
                    count: self.counters.dropped(reason),
                    delta: None,
                })
                .filter(|row| row.count > 0)
                .collect(),
        }
    }

    pub(super) fn show_events(&self, since: Option<u64>, limit: Option<u32>) -> EventsView {
        let (after, rows) = (since.unwrap_or(0), rows(limit));
        let oldest = self.events.since(0).next().map_or(self.events.newest() + 1, |e| e.number);
        let mut view = EventsView {
            last: after,
            lost: oldest.saturating_sub(1).saturating_sub(after),
            ..EventsView::default()
        };
        for event in self.events.since(after) {
            if view.events.len() >= rows {
                view.more = true;
                break;
            }
            view.last = event.number;
            view.events.push(self.event_view(event));
        }
        view
    }

    fn event_view(&self, event: &Event) -> EventView {
        EventView {
            seq: event.number,
            uptime_ms: ago(event.time, self.started),
            event: event.kind.name().into(),
            severity: severity(event.kind).name().into(),
            message: event.text.clone(),
            ..EventView::default()
        }
    }
}

const fn severity(kind: EventKind) -> Severity {
    match kind {
        EventKind::SessionStart
        | EventKind::SessionEnd
        | EventKind::LinkUp
        | EventKind::IkeUp
        | EventKind::IkeMoved
        | EventKind::IkeAnswers
        | EventKind::TunnelUp
        | EventKind::UserLogin
        | EventKind::UserLogout
        | EventKind::RemoteLogin
        | EventKind::RemoteUp
        | EventKind::RemoteAgain
        | EventKind::RemoteDtlsUp
        | EventKind::RemoteMoved
        | EventKind::RemoteChannel
        | EventKind::RemoteDown
        | EventKind::RemoteLogout
        | EventKind::ConfigApplied
        | EventKind::ScheduleChanged => Severity::Info,
        EventKind::NeighbourLost | EventKind::IkeDown | EventKind::CaptureStarted => {
            Severity::Notice
        }
        EventKind::AddressConflict
        | EventKind::RemoteLoginFailed
        | EventKind::RemoteUserLocked
        | EventKind::RemoteRefused
        | EventKind::KeysExported
        | EventKind::LinkDown
        | EventKind::SensorExceeded
        | EventKind::TunnelFault
        | EventKind::SaExpiry
        | EventKind::IkeFailed
        | EventKind::IkeSilent
        | EventKind::TunnelDown
        | EventKind::PoolExhausted => Severity::Warning,
        EventKind::DriftRepaired | EventKind::SessionTableFull => Severity::Error,
    }
}
