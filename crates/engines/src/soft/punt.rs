//! Punts: what goes to the slow path, how fast, and how it is counted.

use ports::{Frame, PortId};
use reason::{PuntCause, Reason};
use wire::Time;

/// Number of punt causes.
pub(super) const CAUSES: usize = PuntCause::ALL.len();

/// A frame for the slow path, unchanged unless it came out of a tunnel.
#[derive(Debug)]
pub struct Punt {
    /// The frame.
    pub frame: Frame,
    /// Why it is here.
    pub cause: PuntCause,
    /// The port it came from.
    pub port: PortId,
    /// The interface of the tunnel it came out of; then the frame is the packet inside, behind a
    /// blank Ethernet header.
    pub tunnel: Option<u16>,
    /// The DTLS association whose record was opened, and carries no packet; then the frame is what was in
    /// the record.
    pub control: Option<u32>,
}

/// How fast frames of one cause may go to the slow path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PuntLimit {
    /// Frames per second.
    pub rate: u32,
    /// Frames at once after a pause.
    pub burst: u32,
}

/// The limit of every cause; `None` is no limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PuntLimits([Option<PuntLimit>; CAUSES]);

impl PuntLimits {
    /// No limits at all.
    pub const NONE: Self = Self([None; CAUSES]);

    /// The limit of a cause.
    pub fn get(&self, cause: PuntCause) -> Option<PuntLimit> {
        self.0[cause.index()]
    }

    /// Sets the limit of a cause.
    pub fn set(&mut self, cause: PuntCause, limit: Option<PuntLimit>) {
        self.0[cause.index()] = limit;
    }
}

/// Misses and stale flows carry wanted traffic and are bounded by the ring alone; what only
/// attackers and broken hosts send in quantity is held down so that it cannot starve the rest.
impl Default for PuntLimits {
    fn default() -> Self {
        let mut limits = Self::NONE;
        for cause in PuntCause::ALL {
            let rate = match cause {
                PuntCause::FlowMiss | PuntCause::StaleEpoch | PuntCause::SaMiss => continue,
                PuntCause::TcpControl => 500_000,
                PuntCause::Fragment
                | PuntCause::AdjacencyLost
                | PuntCause::SuperPacketUnsupported
                | PuntCause::IngressMoved => 100_000,
                PuntCause::NotIp
                | PuntCause::IpOptions
                | PuntCause::TcpWindow
                | PuntCause::ExceedsMtu
                | PuntCause::BufferFull
                | PuntCause::DtlsControl
                | PuntCause::NotForUs => 50_000,
                PuntCause::Malformed
                | PuntCause::TtlExpiring
                | PuntCause::InterfaceUnknown
                | PuntCause::DtlsContent
                | PuntCause::DtlsEpoch
                | PuntCause::DtlsClientHello
                | PuntCause::DtlsVersion
                | PuntCause::DtlsShort
                | PuntCause::DtlsSeveral => 10_000,
            };
            limits.set(*cause, Some(PuntLimit { rate, burst: rate / 10 }));
        }
        limits
    }
}

/// A token bucket in nanoseconds of credit: one frame costs the time the rate allows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    cost: u64,
    full: u64,
    credit: u64,
    last: u64,
}

impl Bucket {
    /// A full bucket; `workers` share the limit.
    pub(super) fn new(limit: PuntLimit, workers: usize) -> Self {
        let cost = 1_000_000_000 * workers.max(1) as u64 / u64::from(limit.rate.max(1));
        let full = cost * (u64::from(limit.burst) / workers.max(1) as u64).max(1);
        Self { cost, full, credit: full, last: 0 }
    }

    /// Takes one frame out, if there is one.
    pub(super) fn take(&mut self, now: Time) -> bool {
        let now = now.as_nanos();
        let passed = now.saturating_sub(self.last);
        self.last = self.last.max(now);
        self.credit = self.credit.saturating_add(passed).min(self.full);
        match self.credit.checked_sub(self.cost) {
            Some(rest) => {
                self.credit = rest;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_then_its_rate() {
        let mut bucket = Bucket::new(PuntLimit { rate: 1000, burst: 5 }, 1);
        let mut taken = |ms| (0..20).filter(|_| bucket.take(Time::from_millis(ms))).count();
        assert_eq!(taken(0), 5);
        assert_eq!(taken(0), 0);
        assert_eq!(taken(2), 2);
        assert_eq!(taken(1), 0, "time does not run backwards");
        assert_eq!(taken(60_000), 5, "credit is bounded by the burst");
    }

    #[test]
    fn workers_share_a_limit() {
        let mut bucket = Bucket::new(PuntLimit { rate: 1000, burst: 8 }, 4);
        let mut taken = |ms| (0..20).filter(|_| bucket.take(Time::from_millis(ms))).count();
        assert_eq!(taken(0), 2);
        assert_eq!(taken(4), 1);
    }

    #[test]
    fn what_carries_wanted_traffic_is_not_limited() {
        let limits = PuntLimits::default();
        assert_eq!(limits.get(PuntCause::FlowMiss), None);
        assert_eq!(limits.get(PuntCause::StaleEpoch), None);
        assert!(limits.get(PuntCause::Malformed).is_some());
    }
}
