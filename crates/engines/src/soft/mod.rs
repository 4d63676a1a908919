//! The software engine: flow tables, next hops and the burst loop of the workers.
//!
//! ```text
//!  SoftControl (slow path's thread)          SoftWorker (one per core)
//!   install ─ write slot ─ index ──────────►  parse · hash · prefetch ─ tag ─ key ─ checks ─ rewrite
//!   remove ─ unindex ─ advance clock          └ miss or exception ─► punt, with its cause
//!   reclaim ◄──── every worker has passed ──  quiesce at the end of each burst
//! ```
//!
//! One writer, lock-free readers. What a worker can find is never changed; it is replaced, and its
//! memory reused when every worker has passed a quiescent point. All packet checks come before the
//! first byte is changed, so a punted frame is as it came.

mod adjacency;
mod control;
mod entry;
mod index;
mod interfaces;
mod moving;
mod pressure;
mod punt;
mod quiescence;
mod sa;
mod sa_table;
mod slab;
mod table;
mod tap;
mod worker;

#[cfg(test)]
mod tests;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use offload::{EpochTable, tcp_window::TcpWindows};
use reason::{DropReason, Reason};

pub use control::SoftControl;
pub use punt::{Punt, PuntLimit, PuntLimits};
pub use tap::{Tap, TapPlace, TapPoint, Tapped};
pub use worker::{BURST, Output, SoftWorker, TraceHit};

use adjacency::Adjacencies;
use entry::Seed;
use interfaces::Interfaces;
use punt::CAUSES;
use quiescence::{Passage, Quiescence};
use sa_table::{SaWriter, Sas};
use table::Writer;

/// Most workers: each writes counters of its own in every SA, where the slow path has the first.
pub const MAX_WORKERS: usize = esp::WRITERS - 1;

/// Most flows a table can hold.
const MAX_FLOWS: u32 = 1 << 28;

/// How the engine is made.
#[derive(Clone, Debug)]
pub struct SoftConfig {
    /// Most flows at a time, of both IP versions together; a session has two.
    pub flows: u32,
    /// Most next hops.
    pub adjacencies: u32,
    /// Most SAs, each direction counted.
    pub sas: u32,
    /// Number of workers, 1 to [`MAX_WORKERS`].
    pub workers: usize,
    /// Random bits for the hash. Whoever guesses them can make flows collide.
    pub seed: u128,
    /// Most frames that wait for the slow path, per worker.
    pub punt_ring: usize,
    /// How fast frames may go to the slow path, all workers together.
    pub punt_limits: PuntLimits,
    /// Most trace hits that wait to be read, per worker.
    pub trace_ring: usize,
}

/// One worker, a hundred thousand sessions. The seed is no secret; set your own.
impl Default for SoftConfig {
    fn default() -> Self {
        Self {
            flows: 200_000,
            adjacencies: 4096,
            sas: 1024,
            workers: 1,
            seed: 0,
            punt_ring: 1024,
            punt_limits: PuntLimits::default(),
            trace_ring: 1024,
        }
    }
}

/// Makes an engine: the control for the slow path, and the workers.
pub fn soft(
    config: SoftConfig,
    epochs: Arc<EpochTable>,
    windows: Arc<TcpWindows>,
) -> (SoftControl, Vec<SoftWorker>) {
    let workers = config.workers.clamp(1, MAX_WORKERS);
    let limit = config.flows.clamp(1, MAX_FLOWS);
    // a twentieth more, for flows that retire while their successors move in
    let slots = limit + limit / 20 + 1;
    let seed = Seed::new(config.seed);
    let v4 = Writer::new(slots, workers, seed.clone());
    let v6 = Writer::new(slots, workers, seed);
    let shared = Arc::new(Shared {
        adjacencies: Adjacencies::new(config.adjacencies.max(1)),
        interfaces: Interfaces::default(),
        sas: Sas::default(),
        epochs,
        windows,
        quiescence: Arc::new(Quiescence::new(workers)),
        workers: (0..workers).map(|_| WorkerStats::default()).collect(),
        punt_ring: config.punt_ring,
        trace_ring: config.trace_ring,
    });
    let readers = (0..workers)
        .map(|number| {
            let passage = Passage::new(Arc::clone(&shared.quiescence), number);
            let tables = (v4.table(), v6.table());
            SoftWorker::new(Arc::clone(&shared), tables, passage, number, &config.punt_limits)
        })
        .collect();
    (SoftControl::new(shared, v4, v6, SaWriter::new(config.sas), limit), readers)
}

/// What control and workers share besides the flow tables.
struct Shared {
    adjacencies: Adjacencies,
    interfaces: Interfaces,
    sas: Sas,
    epochs: Arc<EpochTable>,
    windows: Arc<TcpWindows>,
    quiescence: Arc<Quiescence>,
    workers: Box<[WorkerStats]>,
    punt_ring: usize,
    trace_ring: usize,
}

/// What one worker counted, as anybody may read it. Only that worker writes it.
#[derive(Default)]
#[repr(align(64))]
struct WorkerStats {
    totals: [AtomicU64; 11],
    /// Packets dropped, by reason: what an SA did not accept.
    drops: Drops,
    punts: [AtomicU64; CAUSES],
    punt_ring_full: [AtomicU64; CAUSES],
    punt_limited: [AtomicU64; CAUSES],
}

/// Totals of a worker.
#[derive(Clone, Copy, Default)]
struct Tally {
    hits: u64,
    misses: u64,
    packets: u64,
    bytes: u64,
    bursts: u64,
    punt_depth: u64,
    traces_lost: u64,
    sa_hits: u64,
    sa_misses: u64,
    opened: u64,
    sealed: u64,
}

/// A counter for each reason.
struct Drops([AtomicU64; DropReason::ALL.len()]);

impl Default for Drops {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; _])
    }
}

impl core::ops::Deref for Drops {
    type Target = [AtomicU64];

    fn deref(&self) -> &[AtomicU64] {
        &self.0
    }
}

impl WorkerStats {
    fn write(&self, t: &Tally) {
        let values = [
            t.hits,
            t.misses,
            t.packets,
            t.bytes,
            t.bursts,
            t.punt_depth,
            t.traces_lost,
            t.sa_hits,
            t.sa_misses,
            t.opened,
            t.sealed,
        ];
        for (field, value) in self.totals.iter().zip(values) {
            field.store(value, Relaxed);
        }
    }

    fn read(&self) -> Tally {
        let [
            hits,
            misses,
            packets,
            bytes,
            bursts,
            punt_depth,
            traces_lost,
            sa_hits,
            sa_misses,
            opened,
            sealed,
        ] = self.totals.each_ref().map(|field| field.load(Relaxed));
        Tally {
            hits,
            misses,
            packets,
            bytes,
            bursts,
            punt_depth,
            traces_lost,
            sa_hits,
            sa_misses,
            opened,
            sealed,
        }
    }
}
