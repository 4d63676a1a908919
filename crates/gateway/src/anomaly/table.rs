//! A fixed number of sources and what they did in the current second.
//!
//! Sets of eight places, picked by a keyed hash; inside a set the whole address is compared, so
//! sources never share a count. A new source takes an empty place, or that of the source seen
//! longest ago, and among equals the quietest: a flood of made-up addresses pushes out its own.

use core::{hash::BuildHasher, net::IpAddr};

use crate::keyed::Keyed;

/// Places in a set.
const WAYS: usize = 8;
/// Sets; a power of two.
const SETS: usize = 8192;
/// Bits of the sketch that counts different targets.
pub(super) const SKETCH_BITS: u32 = 256;

/// Sources that are counted at once.
pub(super) const SOURCES: usize = WAYS * SETS;

/// One source.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source {
    pub(super) address: IpAddr,
    /// The second that `now` counts.
    pub(super) second: u32,
    /// Events of each rate sensor in that second.
    pub(super) now: [u32; 3],
    /// Sessions of any kind in that second.
    pub(super) attempts: u32,
    /// Events of each rate sensor, and targets, in the second before.
    pub(super) before: [u32; 4],
    /// Which sensors have fired in this second, one bit each.
    pub(super) fired: u8,
    /// Linear counting over hashes of destination and port.
    sketch: [u64; SKETCH_BITS as usize / 64],
    /// Bits set in it.
    bits: u16,
}

impl Source {
    const fn new(address: IpAddr, second: u32) -> Self {
        Self {
            address,
            second,
            now: [0; 3],
            attempts: 0,
            before: [0; 4],
            fired: 0,
            sketch: [0; SKETCH_BITS as usize / 64],
            bits: 0,
        }
    }

    /// Moves on to `second`; what was counted in the one before it is kept for display.
    fn advance(&mut self, second: u32, sampling: u32) {
        if self.second == second {
            return;
        }
        let [a, b, c] = self.now;
        let before = if second.wrapping_sub(self.second) == 1 {
            [a, b, c, self.targets(sampling)]
        } else {
            [0; 4]
        };
        *self = Self { before, ..Self::new(self.address, second) };
    }

    /// Notes a target by its hash, of which only one in 2^`sampling` is looked at.
    pub(super) fn note_target(&mut self, hash: u64, sampling: u32) {
        let sampled = hash >> 32 & ((1 << sampling) - 1) == 0;
        let bit = hash as u32 % SKETCH_BITS;
        if let Some(word) = self.sketch.get_mut(bit as usize / 64)
            && sampled
            && *word >> (bit % 64) & 1 == 0
        {
            *word |= 1 << (bit % 64);
            self.bits += 1;
        }
    }

    /// Estimate of the different targets in this second; never more than the attempts made.
    pub(super) fn targets(&self, sampling: u32) -> u32 {
        let estimate = LINEAR_COUNT
            .get(usize::from(self.bits))
            .map_or(u32::MAX, |n| n.saturating_mul(1 << sampling));
        estimate.min(self.attempts)
    }
}

/// Targets that set a given number of bits, as expected: the sum of m / (m - i) over the bits.
const LINEAR_COUNT: [u32; SKETCH_BITS as usize + 1] = {
    let mut table = [0; SKETCH_BITS as usize + 1];
    let mut micros = 0u64;
    let mut bits = 0;
    while bits < SKETCH_BITS {
        micros += SKETCH_BITS as u64 * 1_000_000 / (SKETCH_BITS - bits) as u64;
        bits += 1;
        table[bits as usize] = ((micros + 500_000) / 1_000_000) as u32;
    }
    table
};

/// The sources.
pub(super) struct Table {
    keyed: Keyed,
    places: Vec<Option<Source>>,
    /// Sources that gave way to another while they were still being counted.
    pub(super) displaced: u64,
}

impl Table {
    pub(super) fn new(keyed: Keyed) -> Self {
        Self { keyed, places: vec![None; SOURCES], displaced: 0 }
    }

    /// The place of a source, made if need be and brought to `second`.
    pub(super) fn source(&mut self, address: IpAddr, second: u32, sampling: u32) -> &mut Source {
        let set = self.keyed.hash_one(address) as usize % SETS;
        let ways = &mut self.places[set * WAYS..(set + 1) * WAYS];
        let known =
            ways.iter().position(|place| place.as_ref().is_some_and(|s| s.address == address));
        let at = known.unwrap_or_else(|| {
            let worth = |place: &Option<Source>| place.as_ref().map(|s| (s.second, s.attempts));
            let mut least = 0;
            for (at, place) in ways.iter().enumerate() {
                if worth(place) < worth(&ways[least]) {
                    least = at;
                }
            }
            if ways[least].as_ref().is_some_and(|s| s.second == second) {
                self.displaced += 1;
            }
            ways[least] = None;
            least
        });
        let source = ways[at].get_or_insert(Source::new(address, second));
        source.advance(second, sampling);
        source
    }

    /// All sources counted in `second` or the one before it.
    pub(super) fn recent(&self, second: u32) -> impl Iterator<Item = &Source> {
        self.places.iter().flatten().filter(move |source| second.wrapping_sub(source.second) <= 1)
    }
}
