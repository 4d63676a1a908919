//! Rate sensors: new sessions a second for each source.
//!
//! A sensor counts in whole seconds of the gateway's time and fires for what exceeds its threshold
//! in that second. The scan sensor counts different pairs of destination and port with a sketch of
//! 256 bits: the count is an estimate (about one in twenty off near the threshold), but never more
//! than the sessions the source did try to open.
//!
//! Memory is fixed: 65,536 sources, 6 MiB, allocated when the first sensor is configured.

use core::{hash::BuildHasher, net::IpAddr};

use config::model::{Anomaly, Sensor, SensorAction};
use reason::DropReason;
use wire::Time;

use super::table::{SKETCH_BITS, Table};
use crate::keyed::Keyed;

/// What a new session counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SensorKind {
    /// A TCP SYN.
    Syn,
    /// The first packet of a UDP session.
    Udp,
    /// The first packet of an ICMP or ICMPv6 session.
    Icmp,
    /// The first packet of any other session: only the scan sensor looks at it.
    Scan,
}

impl SensorKind {
    /// The reason this sensor blocks with.
    pub const fn reason(self) -> DropReason {
        match self {
            Self::Syn => DropReason::AnomalySynFlood,
            Self::Udp => DropReason::AnomalyUdpFlood,
            Self::Icmp => DropReason::AnomalyIcmpFlood,
            Self::Scan => DropReason::AnomalyPortScan,
        }
    }
}

/// What the sensors make of a new session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SensorVerdict {
    /// Within all thresholds.
    Pass,
    /// Above a threshold.
    Exceeded {
        /// Which sensor.
        reason: DropReason,
        /// What it does: block, or only monitor, and then the packet goes on.
        action: SensorAction,
        /// What the source did in this second so far.
        rate: u32,
        /// The threshold.
        threshold: u32,
        /// Whether the sensor fires for this source for the first time in this second: then an
        /// event is due.
        first: bool,
    },
}

/// Rates of a source: the higher of the current second so far and the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceRate {
    /// The source.
    pub source: IpAddr,
    /// TCP SYN a second.
    pub syn: u32,
    /// New UDP sessions a second.
    pub udp: u32,
    /// New ICMP sessions a second.
    pub icmp: u32,
    /// Different destinations and ports a second; an estimate.
    pub targets: u32,
}

impl SourceRate {
    fn total(&self) -> u64 {
        u64::from(self.syn) + u64::from(self.udp) + u64::from(self.icmp)
    }
}

/// Counters since start; none is ever reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SensorCounters {
    /// Sessions looked at.
    pub observed: u64,
    /// Sessions above a threshold with action block.
    pub blocked: u64,
    /// Sessions above a threshold with action monitor.
    pub monitored: u64,
    /// Sources that gave way to another within their second; many of them mean made-up addresses.
    pub displaced: u64,
}

/// The sensors.
pub struct Sensors {
    config: Anomaly,
    keyed: Keyed,
    /// Of the hashes of targets one in 2^`sampling` is counted, so that the sketch is no more than
    /// full once at the threshold.
    sampling: u32,
    table: Option<Table>,
    counters: SensorCounters,
}

impl Sensors {
    /// Sensors as configured; `seed` keys the hashes.
    pub fn new(config: &Anomaly, seed: u64) -> Self {
        let mut sensors = Self {
            config: *config,
            keyed: Keyed::new(seed),
            sampling: 0,
            table: None,
            counters: SensorCounters::default(),
        };
        sensors.reload(config);
        sensors
    }

    /// Takes new thresholds; what was counted stays.
    pub fn reload(&mut self, config: &Anomaly) {
        let threshold = config.scan.map_or(0, |sensor| sensor.per_second);
        self.config = *config;
        self.sampling = threshold
            .div_ceil(SKETCH_BITS)
            .checked_next_power_of_two()
            .map_or(24, u32::trailing_zeros);
        let any = [config.syn, config.udp, config.icmp, config.scan];
        if any.iter().all(Option::is_none) {
            self.table = None;
        } else if self.table.is_none() {
            self.table = Some(Table::new(self.keyed));
        }
    }

    /// Counts a new session and judges it; every kind also counts for the scan sensor. Where two
    /// sensors fire, one that blocks is told before one that monitors.
    pub fn observe(
        &mut self,
        kind: SensorKind,
        src: IpAddr,
        dst: IpAddr,
        dst_port: u16,
        now: Time,
    ) -> SensorVerdict {
        let Some(table) = &mut self.table else {
            return SensorVerdict::Pass;
        };
        self.counters.observed += 1;
        let source = table.source(src, second(now), self.sampling);
        source.attempts = source.attempts.saturating_add(1);
        let (rate, sensor) = match kind {
            SensorKind::Syn => (source.now.first_mut(), self.config.syn),
            SensorKind::Udp => (source.now.get_mut(1), self.config.udp),
            SensorKind::Icmp => (source.now.get_mut(2), self.config.icmp),
            SensorKind::Scan => (None, None),
        };
        let rate = rate.map_or(0, |rate| {
            *rate = rate.saturating_add(1);
            *rate
        });
        let mut targets = 0;
        if self.config.scan.is_some() {
            source.note_target(self.keyed.hash_one((dst, dst_port)), self.sampling);
            targets = source.targets(self.sampling);
        }
        let by_rate = above(kind, rate, sensor, &mut source.fired);
        let by_scan = above(SensorKind::Scan, targets, self.config.scan, &mut source.fired);
        let verdict = match (by_rate, by_scan) {
            (
                SensorVerdict::Exceeded { action: SensorAction::Monitor, .. },
                SensorVerdict::Exceeded { action: SensorAction::Block, .. },
            )
            | (SensorVerdict::Pass, _) => by_scan,
            (SensorVerdict::Exceeded { .. }, _) => by_rate,
        };
        match verdict {
            SensorVerdict::Pass => {}
            SensorVerdict::Exceeded { action, .. } => match action {
                SensorAction::Block => self.counters.blocked += 1,
                SensorAction::Monitor => self.counters.monitored += 1,
            },
        }
        verdict
    }

    /// The `n` sources that open most sessions, most first.
    pub fn top(&self, n: usize, now: Time) -> Vec<SourceRate> {
        let Some(table) = &self.table else {
            return Vec::new();
        };
        let second = second(now);
        let mut all: Vec<_> = table
            .recent(second)
            .map(|source| {
                let [syn, udp, icmp] = source.now;
                let [syn_before, udp_before, icmp_before, targets_before] =
                    if source.second == second { source.before } else { [0; 4] };
                SourceRate {
                    source: source.address,
                    syn: syn.max(syn_before),
                    udp: udp.max(udp_before),
                    icmp: icmp.max(icmp_before),
                    targets: source.targets(self.sampling).max(targets_before),
                }
            })
            .collect();
        all.sort_unstable_by(|a, b| {
            let rank = |rate: &SourceRate| (rate.total(), rate.targets);
            rank(b).cmp(&rank(a)).then(a.source.cmp(&b.source))
        });
        all.truncate(n);
        all
    }

    /// Counters.
    pub fn counters(&self) -> SensorCounters {
        SensorCounters {
            displaced: self.table.as_ref().map_or(0, |table| table.displaced),
            ..self.counters
        }
    }
}

fn above(kind: SensorKind, rate: u32, sensor: Option<Sensor>, fired: &mut u8) -> SensorVerdict {
    match sensor {
        Some(sensor) if rate > sensor.per_second => {
            let bit = 1 << kind as u8;
            let first = *fired & bit == 0;
            *fired |= bit;
            SensorVerdict::Exceeded {
                reason: kind.reason(),
                action: sensor.action,
                rate,
                threshold: sensor.per_second,
                first,
            }
        }
        Some(_) | None => SensorVerdict::Pass,
    }
}

fn second(now: Time) -> u32 {
    (now.as_millis() / 1000) as u32
}
