//! Which provider serves which algorithm, direction and size.

use crate::{AeadKey, Algorithm, Key, Open, Provider, Seal, TAG_LEN};

/// Sealing or opening: a library may be the faster for one of them only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// Encrypt and authenticate.
    Seal,
    /// Check and decrypt.
    Open,
}

impl Operation {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Seal, Self::Open];
}

/// Texts of about the same size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SizeClass {
    /// Up to 256 bytes.
    Small,
    /// Up to 1024 bytes.
    Medium,
    /// Everything longer.
    Large,
}

impl SizeClass {
    /// Every class, smallest first.
    pub const ALL: [Self; 3] = [Self::Small, Self::Medium, Self::Large];

    /// The class of a text of `len` bytes.
    #[inline]
    pub const fn of(len: usize) -> Self {
        match len {
            0..=256 => Self::Small,
            257..=1024 => Self::Medium,
            _ => Self::Large,
        }
    }

    /// The size a class is measured at, in bytes: what packets of the class usually are.
    pub const fn typical(self) -> usize {
        match self {
            Self::Small => 80,
            Self::Medium => 576,
            Self::Large => 1408,
        }
    }
}

type Table = [[[Provider; SizeClass::ALL.len()]; Operation::ALL.len()]; Algorithm::ALL.len()];

/// Which provider serves which algorithm, operation and size. By default all is `ring`'s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Selection(Table);

impl Selection {
    /// One provider for everything that it serves on this CPU; the rest is `ring`'s.
    pub fn only(provider: Provider) -> Self {
        Self(Algorithm::ALL.map(|algorithm| {
            let provider = if provider.serves(algorithm) { provider } else { Provider::Ring };
            [[provider; SizeClass::ALL.len()]; Operation::ALL.len()]
        }))
    }

    /// The provider of one cell.
    pub fn get(&self, algorithm: Algorithm, operation: Operation, size: SizeClass) -> Provider {
        self.of(algorithm, operation)[size as usize]
    }

    /// Sets the provider of one cell.
    pub fn set(
        &mut self,
        algorithm: Algorithm,
        operation: Operation,
        size: SizeClass,
        provider: Provider,
    ) {
        self.0[algorithm as usize][operation as usize][size as usize] = provider;
    }

    pub(crate) fn of(
        &self,
        algorithm: Algorithm,
        operation: Operation,
    ) -> [Provider; SizeClass::ALL.len()] {
        self.0[algorithm as usize][operation as usize]
    }
}

/// What [`choose`] measured for one algorithm, operation and size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measured {
    /// Which algorithm.
    pub algorithm: Algorithm,
    /// Which operation.
    pub operation: Operation,
    /// Which size; see [`SizeClass::typical`].
    pub size: SizeClass,
    /// Nanoseconds of [`BATCH`] operations, in the order of [`Provider::ALL`]; nothing of who does not
    /// have the algorithm on this CPU.
    pub nanos: [Option<u64>; Provider::ALL.len()],
    /// Which is used.
    pub chosen: Provider,
}

/// Operations in one timing.
pub const BATCH: usize = 64;
/// Timings per provider; the best counts, so that what else the machine does matters less.
const ROUNDS: usize = 24;
/// Who is to take a single size must be faster there by this part of the time of who has the rest: a tie
/// within the noise should not need two key schedules.
const MARGIN: u64 = 20;

/// Measures all providers for every algorithm, operation and size class, and picks the fastest: of each
/// algorithm the one that has the shortest time in all, and for a size the one that is clearly faster there.
///
/// `nanos` is a stopwatch: nanoseconds since any start. Takes a few milliseconds. The rounds of
/// the providers alternate, so that all meet the same disturbances.
pub fn choose(nanos: impl Fn() -> u64) -> (Selection, Vec<Measured>) {
    let mut selection = Selection::default();
    let mut rows = Vec::new();
    for algorithm in Algorithm::ALL {
        let mut measured = measure(algorithm, &nanos);
        let serving = || Provider::ALL.into_iter().filter(|p| p.serves(algorithm));
        let all = |p: Provider| measured.iter().map(|row| row.relative(p)).sum::<u64>();
        let most = serving().min_by_key(|p| all(*p)).unwrap_or_default();
        for row in &mut measured {
            let time = |p: Provider| row.nanos[p as usize].unwrap_or(u64::MAX);
            let fastest = serving().min_by_key(|p| time(*p)).unwrap_or_default();
            let clearly = time(fastest) < time(most) - time(most) / MARGIN;
            row.chosen = if clearly { fastest } else { most };
            selection.set(algorithm, row.operation, row.size, row.chosen);
        }
        rows.extend(measured);
    }
    (selection, rows)
}

impl Measured {
    /// How much longer the provider takes than the fastest, in thousandths; sizes count alike then.
    fn relative(&self, provider: Provider) -> u64 {
        let best = self.nanos.iter().flatten().min().copied().unwrap_or(0).max(1);
        let time = self.nanos[provider as usize].unwrap_or(u64::MAX);
        time.saturating_mul(1000) / best
    }
}

/// The best times of an algorithm.
fn measure(algorithm: Algorithm, nanos: &impl Fn() -> u64) -> Vec<Measured> {
    let key = [0x5a; 32];
    let keys = Provider::ALL.map(|provider| {
        provider.serves(algorithm).then(|| {
            Key::new(algorithm, &key[..algorithm.key_len()], &Selection::only(provider))
                .expect("invariant: the key has the length of its algorithm")
        })
    });
    let cells = Operation::ALL.into_iter().flat_map(|o| SizeClass::ALL.map(|s| (o, s)));
    let row = |(operation, size): (Operation, SizeClass)| {
        let mut best = keys.each_ref().map(|key| key.as_ref().map(|_| u64::MAX));
        for _ in 0..ROUNDS {
            for (key, best) in keys.iter().zip(&mut best) {
                if let (Some(key), Some(best)) = (key, best) {
                    *best = (*best).min(time(key, operation, size.typical(), nanos));
                }
            }
        }
        Measured { algorithm, operation, size, nanos: best, chosen: Provider::Ring }
    };
    cells.map(row).collect()
}

fn time(key: &Key, operation: Operation, len: usize, nanos: &impl Fn() -> u64) -> u64 {
    let mut text = vec![0; len];
    let mut tag = [0; TAG_LEN];
    let aad = [0; 8];
    match operation {
        Operation::Seal => {
            let start = nanos();
            for i in 0..BATCH {
                let nonce = [i as u8; 12];
                key.seal(&mut [Seal { nonce, aad: &aad, text: &mut text, tag: &mut tag }]);
            }
            nanos().saturating_sub(start)
        }
        Operation::Open => {
            let nonce = [1; 12];
            key.seal(&mut [Seal { nonce, aad: &aad, text: &mut text, tag: &mut tag }]);
            let sealed = text.clone();
            let start = nanos();
            for _ in 0..BATCH {
                text.copy_from_slice(&sealed);
                let open = Open { nonce, aad: &aad, text: &mut text, tag: &tag, authentic: false };
                key.open(&mut [open]);
            }
            nanos().saturating_sub(start)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn the_fastest_by_the_stopwatch_is_chosen() {
        // a stopwatch under which the timings of one provider take longer or shorter than the others'
        for fast in Provider::ALL {
            for (takes, wins) in [(500, true), (2000, false)] {
                let (timing, clock, open) = (Cell::new(0), Cell::new(0), Cell::new(false));
                let serving: Vec<Vec<_>> = Algorithm::ALL
                    .map(|a| Provider::ALL.into_iter().filter(|p| p.serves(a)).collect())
                    .into();
                let order: Vec<Provider> = serving
                    .iter()
                    .flat_map(|list| {
                        list.repeat(ROUNDS * SizeClass::ALL.len() * Operation::ALL.len())
                    })
                    .collect();
                let (selection, rows) = choose(|| {
                    if open.replace(!open.get()) {
                        let whose = order[timing.replace(timing.get() + 1)];
                        clock.set(clock.get() + if whose == fast { takes } else { 1000 });
                    }
                    clock.get()
                });
                assert_eq!(timing.get(), order.len(), "every provider had its turns");
                assert_eq!(rows.len(), 3 * 2 * 3);
                for row in rows {
                    let serves = fast.serves(row.algorithm);
                    assert_eq!(row.chosen == fast, serves && wins, "{fast:?} {row:?}");
                    assert_eq!(row.nanos[fast as usize], serves.then_some(takes));
                    let chosen = selection.get(row.algorithm, row.operation, row.size);
                    assert_eq!(chosen, row.chosen);
                }
            }
        }
    }

    #[test]
    fn a_stopwatch_that_stands_still_leaves_the_default() {
        assert_eq!(choose(|| 0).0, Selection::default());
    }

    #[test]
    fn classes_meet_without_a_gap() {
        let classes = [0, 256, 257, 1024, 1025, usize::MAX].map(SizeClass::of);
        use SizeClass::{Large, Medium, Small};
        assert_eq!(classes, [Small, Small, Medium, Medium, Large, Large]);
        assert!(SizeClass::ALL.iter().all(|c| SizeClass::of(c.typical()) == *c));
    }
}
