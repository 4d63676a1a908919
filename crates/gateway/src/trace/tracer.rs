//! Live traces: which packets are recorded, and the bounded buffer of finished records.

use std::collections::VecDeque;

use super::Trace;

/// Records kept for a reader that is slow to fetch them.
const BUFFER: usize = 1_024;

/// A running live trace.
pub struct Running {
    /// Its number.
    pub id: u64,
    /// Which packets, as parsed from the filter expression.
    pub filter: api::filter::Filter,
    /// How many more packets it records.
    pub left: u64,
    /// Packets that matched but found the buffer full.
    pub lost: u64,
}

/// The tracer. One live trace runs at a time; starting another ends the first.
#[derive(Default)]
pub struct Tracer {
    running: Option<Running>,
    finished: VecDeque<Trace>,
    last_id: u64,
    simulated: Option<Trace>,
    handed_out: u64,
    matched: u64,
}

impl Tracer {
    /// Starts a live trace of `count` packets and returns its number.
    pub fn start(&mut self, filter: api::filter::Filter, count: u64) -> u64 {
        self.last_id += 1;
        self.finished.clear();
        (self.handed_out, self.matched) = (0, 0);
        self.running = Some(Running { id: self.last_id, filter, left: count, lost: 0 });
        self.last_id
    }

    /// Ends the live trace; finished records stay until fetched.
    pub fn stop(&mut self) {
        self.running = None;
    }

    /// The live trace, while it still wants packets.
    pub fn running(&mut self) -> Option<&mut Running> {
        self.running.as_mut().filter(|running| running.left > 0)
    }

    /// Whether a live trace wants packets.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.running.as_ref().is_some_and(|running| running.left > 0)
    }

    /// Number of the live or last trace, packets it still wants, and packets it lost.
    pub fn state(&self) -> (u64, u64, u64) {
        self.running.as_ref().map_or((self.last_id, 0, 0), |r| (r.id, r.left, r.lost))
    }

    /// Takes a finished record: a simulated one is kept for its asker, live ones queue up.
    pub fn finish(&mut self, trace: Trace) {
        if trace.id == 0 {
            self.simulated = Some(trace);
            return;
        }
        self.matched += 1;
        if self.finished.len() < BUFFER {
            self.finished.push_back(trace);
        } else if let Some(running) = &mut self.running {
            running.lost += 1;
        }
    }

    /// Packets that matched since the start, lost ones included.
    pub const fn matched(&self) -> u64 {
        self.matched
    }

    /// Number of the next record to hand out, from 1.
    pub const fn number(&mut self) -> u64 {
        self.handed_out += 1;
        self.handed_out
    }

    /// The record of the last simulated packet.
    pub fn take_simulated(&mut self) -> Option<Trace> {
        self.simulated.take()
    }

    /// Up to `max` finished records, oldest first.
    pub fn fetch(&mut self, max: usize) -> Vec<Trace> {
        let n = max.min(self.finished.len());
        self.finished.drain(..n).collect()
    }
}
