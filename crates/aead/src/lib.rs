//! Authenticated encryption behind one batch trait, and the parts composed suites are made of.
//!
//! An [`AeadKey`] seals and opens [`Seal`] and [`Open`] jobs in place. Two libraries stand behind
//! it, `ring` and `aws-lc-rs`; which of them serves which size is a [`Selection`], either set by
//! hand or measured once with a stopwatch the caller lends ([`choose`]). Without a measurement it
//! is `ring`. [`Cbc`] and [`Mac`] are AES-CBC without padding and truncated HMAC; putting them
//! together is the caller's business, and so is every nonce: nothing here draws randomness, reads
//! a clock or knows a packet. [`Cookies`] stand here because two protocols make them alike; time and
//! randomness are passed to them.
//!
//! Limits: tags have 16 bytes, as neither library makes shorter ones. Key schedules of
//! `aws-lc-rs` are wiped when dropped; those of `ring` are not, as the library has no way to.

#![forbid(unsafe_code)]

mod awslc;
mod cbc;
mod choose;
mod cookie;
mod mac;
mod ring;

pub use cbc::{BLOCK_LEN, Cbc};
pub use choose::{BATCH, Measured, Operation, Selection, SizeClass, choose};
pub use cookie::{COOKIE_LEN, Cookies};
pub use mac::{Mac, MacAlgorithm};

/// Bytes of a nonce: 96 bits (RFC 5116 §5).
pub const NONCE_LEN: usize = 12;

/// Bytes of an authentication tag.
pub const TAG_LEN: usize = 16;

/// An algorithm for authenticated encryption.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// AES-128-GCM (RFC 5116 §5.1).
    Aes128Gcm,
    /// AES-256-GCM (RFC 5116 §5.2).
    Aes256Gcm,
    /// ChaCha20-Poly1305 (RFC 8439).
    ChaCha20Poly1305,
}

impl Algorithm {
    /// Every algorithm, in the order they are listed to people.
    pub const ALL: [Self; 3] = [Self::Aes128Gcm, Self::Aes256Gcm, Self::ChaCha20Poly1305];

    /// Bytes of a key.
    pub const fn key_len(self) -> usize {
        match self {
            Self::Aes128Gcm => 16,
            Self::Aes256Gcm | Self::ChaCha20Poly1305 => 32,
        }
    }

    /// The name people know it by.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aes128Gcm => "AES-128-GCM",
            Self::Aes256Gcm => "AES-256-GCM",
            Self::ChaCha20Poly1305 => "ChaCha20-Poly1305",
        }
    }
}

/// Whose code does the work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Provider {
    /// The `ring` crate.
    #[default]
    Ring,
    /// The `aws-lc-rs` crate.
    AwsLc,
}

impl Provider {
    /// Every provider.
    pub const ALL: [Self; 2] = [Self::Ring, Self::AwsLc];

    /// The name of the library.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ring => "ring",
            Self::AwsLc => "aws-lc-rs",
        }
    }
}

/// The key cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The key has the wrong length for its algorithm.
    #[error("a key of {wanted} bytes is needed, not of {got}")]
    Length {
        /// Bytes the algorithm takes.
        wanted: usize,
        /// Bytes there were.
        got: usize,
    },
    /// The library would not take the key.
    #[error("{0} refused the key")]
    Refused(&'static str),
}

/// Text to encrypt and authenticate in place.
#[derive(Debug)]
pub struct Seal<'a> {
    /// Never used twice with a key.
    pub nonce: [u8; NONCE_LEN],
    /// Authenticated, not encrypted.
    pub aad: &'a [u8],
    /// Plaintext before, ciphertext after.
    pub text: &'a mut [u8],
    /// Written.
    pub tag: &'a mut [u8; TAG_LEN],
}

/// Text to check and decrypt in place.
#[derive(Debug)]
pub struct Open<'a> {
    /// The nonce it was sealed with.
    pub nonce: [u8; NONCE_LEN],
    /// Authenticated, not encrypted.
    pub aad: &'a [u8],
    /// Ciphertext before; plaintext after if authentic, unspecified otherwise.
    pub text: &'a mut [u8],
    /// The tag that came with it.
    pub tag: &'a [u8; TAG_LEN],
    /// Written: whether tag, text and additional data belong together.
    pub authentic: bool,
}

/// A key that seals and opens a batch of jobs.
pub trait AeadKey: Send + Sync {
    /// Seals every job.
    fn seal(&self, jobs: &mut [Seal<'_>]);

    /// Opens every job and says for each whether it was authentic.
    fn open(&self, jobs: &mut [Open<'_>]);
}

/// A key of a provider, or of both when each is the faster for some sizes.
pub struct Key(Inner);

// nothing is boxed: no packet should wait for one miss to know of the next
enum Inner {
    Ring(ring::RingKey),
    AwsLc(awslc::AwsLcKey),
    Split(Split),
}

#[repr(C)]
struct Split {
    // what tells where to go on comes first: see `Key::HEAD`
    seal: [Provider; SizeClass::ALL.len()],
    open: [Provider; SizeClass::ALL.len()],
    aws_lc: awslc::AwsLcKey,
    ring: ring::RingKey,
}

impl Key {
    /// A key of `algorithm` with the providers of `selection`.
    pub fn new(algorithm: Algorithm, key: &[u8], selection: &Selection) -> Result<Self, KeyError> {
        let (wanted, got) = (algorithm.key_len(), key.len());
        if wanted != got {
            return Err(KeyError::Length { wanted, got });
        }
        let seal = selection.of(algorithm, Operation::Seal);
        let open = selection.of(algorithm, Operation::Open);
        let all = |provider| seal.iter().chain(&open).all(|p| *p == provider);
        Ok(Self(if all(Provider::Ring) {
            Inner::Ring(ring::RingKey::new(algorithm, key)?)
        } else if all(Provider::AwsLc) {
            Inner::AwsLc(awslc::AwsLcKey::new(algorithm, key)?)
        } else {
            Inner::Split(Split {
                seal,
                open,
                aws_lc: awslc::AwsLcKey::new(algorithm, key)?,
                ring: ring::RingKey::new(algorithm, key)?,
            })
        }))
    }

    /// Bytes at the front that [`Key::prefetch`] reads.
    pub const HEAD: usize = 64;

    /// Asks the CPU for what sealing or opening a text of `len` bytes reads. Its own first
    /// [`Key::HEAD`] bytes it reads at once.
    #[inline]
    pub fn prefetch(&self, operation: Operation, len: usize) {
        match &self.0 {
            Inner::Ring(key) => key.prefetch(),
            Inner::AwsLc(key) => key.prefetch(),
            Inner::Split(split) => {
                let table = match operation {
                    Operation::Seal => &split.seal,
                    Operation::Open => &split.open,
                };
                match table[SizeClass::of(len) as usize] {
                    Provider::Ring => split.ring.prefetch(),
                    Provider::AwsLc => split.aws_lc.prefetch(),
                }
            }
        }
    }
}

impl AeadKey for Key {
    #[inline]
    fn seal(&self, jobs: &mut [Seal<'_>]) {
        match &self.0 {
            Inner::Ring(key) => key.seal(jobs),
            Inner::AwsLc(key) => key.seal(jobs),
            Inner::Split(split) => {
                for job in jobs {
                    let job = std::slice::from_mut(job);
                    match split.seal[SizeClass::of(job[0].text.len()) as usize] {
                        Provider::Ring => split.ring.seal(job),
                        Provider::AwsLc => split.aws_lc.seal(job),
                    }
                }
            }
        }
    }

    #[inline]
    fn open(&self, jobs: &mut [Open<'_>]) {
        match &self.0 {
            Inner::Ring(key) => key.open(jobs),
            Inner::AwsLc(key) => key.open(jobs),
            Inner::Split(split) => {
                for job in jobs {
                    let job = std::slice::from_mut(job);
                    match split.open[SizeClass::of(job[0].text.len()) as usize] {
                        Provider::Ring => split.ring.open(job),
                        Provider::AwsLc => split.aws_lc.open(job),
                    }
                }
            }
        }
    }
}

/// Says nothing of the key.
impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            Inner::Ring(_) => "Key(ring)",
            Inner::AwsLc(_) => "Key(aws-lc-rs)",
            Inner::Split(_) => "Key(ring and aws-lc-rs)",
        })
    }
}

/// Whether two byte strings are equal, in a time that depends on their lengths only.
pub fn constant_time_eq(a: &[u8], b: &[u8]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(a, b).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(key: &Key, nonce: [u8; 12], aad: &[u8], text: &mut [u8]) -> [u8; TAG_LEN] {
        let mut tag = [0; TAG_LEN];
        key.seal(&mut [Seal { nonce, aad, text, tag: &mut tag }]);
        tag
    }

    fn open(key: &Key, nonce: [u8; 12], aad: &[u8], text: &mut [u8], tag: &[u8; 16]) -> bool {
        let mut jobs = [Open { nonce, aad, text, tag, authentic: true }];
        key.open(&mut jobs);
        jobs[0].authentic
    }

    #[test]
    fn every_mix_of_providers_gives_the_same_bytes() {
        let mut mixed = Selection::only(Provider::Ring);
        for algorithm in Algorithm::ALL {
            mixed.set(algorithm, Operation::Seal, SizeClass::Small, Provider::AwsLc);
            mixed.set(algorithm, Operation::Open, SizeClass::Large, Provider::AwsLc);
        }
        let selections = [Selection::only(Provider::Ring), Selection::only(Provider::AwsLc), mixed];
        for algorithm in Algorithm::ALL {
            let bytes: Vec<u8> = (0..algorithm.key_len() as u8).collect();
            let keys = selections.map(|s| Key::new(algorithm, &bytes, &s).expect("length"));
            for len in [0, 1, 15, 16, 64, 255, 256, 257, 1023, 1024, 1500, 9000] {
                let plain: Vec<u8> = (0..len).map(|i| i as u8).collect();
                let sealed = keys.each_ref().map(|key| {
                    let mut text = plain.clone();
                    let tag = seal(key, [7; 12], b"aad", &mut text);
                    (text, tag)
                });
                assert!(sealed.iter().all(|s| *s == sealed[0]), "{algorithm:?} {len}");
                for key in &keys {
                    let (mut text, tag) = sealed[0].clone();
                    assert!(open(key, [7; 12], b"aad", &mut text, &tag));
                    assert_eq!(text, plain);
                    let (mut text, mut tag) = sealed[0].clone();
                    tag[15] ^= 1;
                    assert!(!open(key, [7; 12], b"aad", &mut text, &tag));
                }
            }
        }
    }

    #[test]
    fn keys_of_the_wrong_length_are_refused() {
        for algorithm in Algorithm::ALL {
            for got in [0, 15, 17, 31, 33] {
                let error = Key::new(algorithm, &vec![0; got], &Selection::default()).err();
                let wanted = algorithm.key_len();
                assert_eq!(error, Some(KeyError::Length { wanted, got }));
            }
        }
    }

    #[test]
    fn debug_says_nothing_of_the_key() {
        let key = Key::new(Algorithm::Aes128Gcm, &[0xab; 16], &Selection::default());
        assert_eq!(format!("{:?}", key.expect("length")), "Key(ring)");
    }
}
