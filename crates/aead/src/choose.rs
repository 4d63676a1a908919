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
    /// One provider for everything.
    pub const fn only(provider: Provider) -> Self {
        Self([[[provider; SizeClass::ALL.len()]; Operation::ALL.len()]; Algorithm::ALL.len()])
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
    /// Nanoseconds of [`BATCH`] operations of `ring`.
    pub ring: u64,
    /// Nanoseconds of [`BATCH`] operations of `aws-lc-rs`.
    pub aws_lc: u64,
    /// Which is used.
    pub chosen: Provider,
}

/// Operations in one timing.
pub const BATCH: usize = 64;
/// Timings per provider; the best counts, so that what else the machine does matters less.
const ROUNDS: usize = 24;
/// `aws-lc-rs` must be faster than `ring` by this part of ring's time to be taken: a tie within the
/// noise should not need two key schedules.
const MARGIN: u64 = 20;

/// Measures both providers for every algorithm, operation and size class, and picks the faster.
///
/// `nanos` is a stopwatch: nanoseconds since any start. Takes a few milliseconds. The rounds of
/// the two alternate, so that both meet the same disturbances.
pub fn choose(nanos: impl Fn() -> u64) -> (Selection, Vec<Measured>) {
    let mut selection = Selection::default();
    let mut rows = Vec::new();
    let key = [0x5a; 32];
    for algorithm in Algorithm::ALL {
        let keys = Provider::ALL.map(|provider| {
            Key::new(algorithm, &key[..algorithm.key_len()], &Selection::only(provider))
                .expect("invariant: the key has the length of its algorithm")
        });
        for operation in Operation::ALL {
            for size in SizeClass::ALL {
                let mut best = [u64::MAX; Provider::ALL.len()];
                for _ in 0..ROUNDS {
                    for (key, best) in keys.iter().zip(&mut best) {
                        *best = (*best).min(time(key, operation, size.typical(), &nanos));
                    }
                }
                let [ring, aws_lc] = best;
                let faster = aws_lc < ring - ring / MARGIN;
                let chosen = if faster { Provider::AwsLc } else { Provider::Ring };
                selection.set(algorithm, operation, size, chosen);
                rows.push(Measured { algorithm, operation, size, ring, aws_lc, chosen });
            }
        }
    }
    (selection, rows)
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
    fn the_faster_by_the_stopwatch_is_chosen() {
        // a stopwatch under which each second timing, that of aws-lc-rs, takes longer or shorter
        for (second, expected) in
            [(500, Provider::AwsLc), (980, Provider::Ring), (2000, Provider::Ring)]
        {
            let (calls, clock) = (Cell::new(0u64), Cell::new(0u64));
            let (selection, rows) = choose(|| {
                let call = calls.replace(calls.get() + 1);
                let step = match call % 4 {
                    1 => 1000,
                    3 => second,
                    _ => 0,
                };
                clock.set(clock.get() + step);
                clock.get()
            });
            assert_eq!(selection, Selection::only(expected));
            assert_eq!(rows.len(), 3 * 2 * 3);
            assert!(rows.iter().all(|r| (r.ring, r.aws_lc) == (1000, second)));
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
