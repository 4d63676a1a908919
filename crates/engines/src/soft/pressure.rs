//! Who has to go when the table is full: a clock hand looks for a flow that is worth less than half
//! of the newcomer.
//!
//! The hand passes over blocks of slots, a few per refusal. A pass over a block compares every
//! flow's packet count with that of the pass before; the first pass only notes it. Half, not less:
//! otherwise two flows of like rates would push each other out for ever.

use core::time::Duration;

use offload::FlowStats;
use wire::Time;

use super::{
    control::{SoftControl, V6_BIT},
    entry::Family,
    table::Writer,
};

/// When a refused flow may try again.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A flow without packets for this long gives way to any other.
const IDLE: Duration = Duration::from_secs(10);

/// Shortest time a rate is taken over.
const SAMPLE: Duration = Duration::from_secs(1);

/// Slots in a block.
const BLOCK: u32 = 64;

/// Blocks looked at for one newcomer.
const BLOCKS: u32 = 4;

/// Where the hand stands.
#[derive(Default)]
pub(super) struct Hand {
    /// Block, counted through the blocks of IPv4 and then those of IPv6.
    at: u32,
    /// When the hand last took the samples of a block, IPv4 and IPv6.
    passed: [Vec<Time>; 2],
}

impl SoftControl {
    /// Looks at the next few blocks for the flow most worth less than half of `worth` packets per
    /// second; gives its index in handles.
    pub(super) fn find_victim(&mut self, worth: u32, now: Time) -> Option<u32> {
        let blocks4 = self.v4.ever_used().div_ceil(BLOCK);
        let blocks6 = self.v6.ever_used().div_ceil(BLOCK);
        let blocks = blocks4 + blocks6;
        let mut least: Option<(u64, u32)> = None;
        for _ in 0..BLOCKS.min(blocks) {
            let at = self.hand.at % blocks;
            self.hand.at = (at + 1) % blocks;
            let [passed4, passed6] = &mut self.hand.passed;
            let found = match at.checked_sub(blocks4) {
                None => pass(&self.v4, passed4, at, worth, now),
                Some(at) => pass(&self.v6, passed6, at, worth, now)
                    .map(|(rate, slot)| (rate, slot | V6_BIT)),
            };
            least = [least, found].into_iter().flatten().min();
        }
        least.map(|(_, index)| index)
    }
}

/// Passes over one block: the least busy flow that may go, with its packets per second.
fn pass<F: Family>(
    writer: &Writer<F>,
    passed: &mut Vec<Time>,
    block: u32,
    worth: u32,
    now: Time,
) -> Option<(u64, u32)> {
    let place = block as usize;
    if passed.len() <= place {
        passed.resize(place + 1, Time::ZERO);
    }
    let elapsed = now.since(passed[place]);
    let samples = elapsed >= SAMPLE;
    if samples {
        passed[place] = now;
    }
    let mut least = None;
    for slot in block * BLOCK..((block + 1) * BLOCK).min(writer.ever_used()) {
        let Some(entry) = writer.entry(slot).filter(|e| e.is_installed() && !e.is_sa()) else {
            continue;
        };
        let stats = writer.stats(slot);
        let since = if samples { entry.resample(stats.packets) } else { None };
        let rate = if is_idle(&stats, now) {
            0
        } else if let Some(packets) = since {
            let rate = u128::from(packets) * 1_000_000_000 / elapsed.as_nanos().max(1);
            if rate * 2 >= u128::from(worth) {
                continue;
            }
            rate as u64
        } else {
            continue;
        };
        if least.is_none_or(|(least, _)| rate < least) {
            least = Some((rate, slot));
        }
    }
    least
}

fn is_idle(stats: &FlowStats, now: Time) -> bool {
    stats.packets > 0 && now.since(stats.last_hit) >= IDLE
}
