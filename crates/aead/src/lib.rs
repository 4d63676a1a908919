//! Authenticated encryption behind one batch trait, and the parts composed suites are made of.
//!
//! An [`AeadKey`] seals and opens [`Seal`] and [`Open`] jobs in place. Behind it stand two libraries,
//! `ring` and `aws-lc-rs`, and AES-GCM of our own for CPUs with VAES (`gcm/`); which of them serves
//! which size is a [`Selection`], either set by hand or measured once with a stopwatch the caller lends
//! ([`choose`]). Without a measurement it is `ring`. [`Cbc`] and [`Mac`] are AES-CBC without padding and
//! truncated HMAC; putting them together is the caller's business, and so is every nonce: nothing here
//! draws randomness, reads a clock or knows a packet. [`Cookies`] stand here because two protocols make
//! them alike; time and randomness are passed to them.
//!
//! Limits: tags have 16 bytes, as neither library makes shorter ones. Our own key schedules and those of
//! `aws-lc-rs` are wiped when dropped; those of `ring` are not, as the library has no way to.

#![deny(unsafe_code)]

mod awslc;
mod cbc;
mod choose;
mod cookie;
#[cfg(target_arch = "x86_64")]
#[allow(
    unsafe_code,
    reason = "registers are loaded from and stored to memory, and CPU features asked for first"
)]
mod gcm;
mod mac;
mod ring;
mod width;

pub use cbc::{BLOCK_LEN, Cbc};
pub use choose::{BATCH, Measured, Operation, Selection, SizeClass, choose};
pub use cookie::{COOKIE_LEN, Cookies};
pub use mac::{Mac, MacAlgorithm};
use width::Width;

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
    /// Our own AES-GCM, two blocks to an instruction: x86-64 with AVX2, VAES and VPCLMULQDQ.
    Vaes256,
    /// Our own AES-GCM, four blocks to an instruction: the same with AVX-512 (F, BW, VL).
    Vaes512,
}

impl Provider {
    /// Every provider.
    pub const ALL: [Self; 4] = [Self::Ring, Self::AwsLc, Self::Vaes256, Self::Vaes512];

    /// The name of the library, or of the instructions.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ring => "ring",
            Self::AwsLc => "aws-lc-rs",
            Self::Vaes256 => "vaes-256",
            Self::Vaes512 => "vaes-512",
        }
    }

    /// Whether it has the algorithm, on this CPU.
    pub fn serves(self, algorithm: Algorithm) -> bool {
        match (self, algorithm) {
            (Self::Ring | Self::AwsLc, _) => true,
            (Self::Vaes256 | Self::Vaes512, Algorithm::ChaCha20Poly1305) => false,
            (Self::Vaes256, _) => width::is_available(Width::Bits256),
            (Self::Vaes512, _) => width::is_available(Width::Bits512),
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
    /// The provider would not take the key.
    #[error("{0} refused the key")]
    Refused(&'static str),
    /// The provider does not have the algorithm, or the CPU not what it takes.
    #[error("{provider} does not do {algorithm} on this CPU")]
    NotServed {
        /// Whose code was asked for.
        provider: &'static str,
        /// For what.
        algorithm: &'static str,
    },
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

/// A key of a provider, or of several when each is the fastest for some sizes.
pub struct Key(Inner);

#[allow(
    clippy::large_enum_variant,
    reason = "no packet should wait for one miss to know of the next"
)]
enum Inner {
    One(Single),
    Split(Split),
}

#[allow(clippy::large_enum_variant, reason = "as above")]
enum Single {
    Ring(ring::RingKey),
    AwsLc(awslc::AwsLcKey),
    #[cfg(target_arch = "x86_64")]
    Gcm(gcm::GcmKey),
}

#[repr(C)]
struct Split {
    // what tells where to go on comes first: see `Key::HEAD`
    seal: [Provider; SizeClass::ALL.len()],
    open: [Provider; SizeClass::ALL.len()],
    keys: [Option<Box<Single>>; Provider::ALL.len()],
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
        let first = seal[0];
        if seal.iter().chain(&open).all(|p| *p == first) {
            return Ok(Self(Inner::One(Single::new(algorithm, key, first)?)));
        }
        let mut keys = [const { None }; Provider::ALL.len()];
        for provider in seal.iter().chain(&open) {
            let place: &mut Option<Box<Single>> = &mut keys[*provider as usize];
            if place.is_none() {
                *place = Some(Box::new(Single::new(algorithm, key, *provider)?));
            }
        }
        Ok(Self(Inner::Split(Split { seal, open, keys })))
    }

    /// Bytes at the front that [`Key::prefetch`] reads.
    pub const HEAD: usize = 64;

    /// Asks the CPU for what sealing or opening a text of `len` bytes reads. Its own first
    /// [`Key::HEAD`] bytes it reads at once.
    #[inline]
    pub fn prefetch(&self, operation: Operation, len: usize) {
        match &self.0 {
            Inner::One(key) => key.prefetch(len),
            Inner::Split(split) => split.key(operation, len).prefetch(len),
        }
    }
}

impl Split {
    #[inline]
    fn key(&self, operation: Operation, len: usize) -> &Single {
        let table = match operation {
            Operation::Seal => &self.seal,
            Operation::Open => &self.open,
        };
        let key = self.keys[table[SizeClass::of(len) as usize] as usize].as_deref();
        key.expect("invariant: there is a key for each provider of the tables")
    }
}

impl Single {
    fn new(algorithm: Algorithm, key: &[u8], provider: Provider) -> Result<Self, KeyError> {
        #[cfg(target_arch = "x86_64")]
        let wide = |width| gcm::GcmKey::new(algorithm, key, width).map(Self::Gcm);
        let made = match provider {
            Provider::Ring => Some(Self::Ring(ring::RingKey::new(algorithm, key)?)),
            Provider::AwsLc => Some(Self::AwsLc(awslc::AwsLcKey::new(algorithm, key)?)),
            #[cfg(target_arch = "x86_64")]
            Provider::Vaes256 => wide(Width::Bits256),
            #[cfg(target_arch = "x86_64")]
            Provider::Vaes512 => wide(Width::Bits512),
            #[cfg(not(target_arch = "x86_64"))]
            Provider::Vaes256 | Provider::Vaes512 => None,
        };
        let (provider, algorithm) = (provider.name(), algorithm.name());
        made.ok_or(KeyError::NotServed { provider, algorithm })
    }

    #[inline]
    fn prefetch(&self, len: usize) {
        match self {
            Self::Ring(key) => key.prefetch(),
            Self::AwsLc(key) => key.prefetch(),
            #[cfg(target_arch = "x86_64")]
            Self::Gcm(key) => key.prefetch(len),
        }
    }
}

impl AeadKey for Single {
    #[inline]
    fn seal(&self, jobs: &mut [Seal<'_>]) {
        match self {
            Self::Ring(key) => key.seal(jobs),
            Self::AwsLc(key) => key.seal(jobs),
            #[cfg(target_arch = "x86_64")]
            Self::Gcm(key) => key.seal(jobs),
        }
    }

    #[inline]
    fn open(&self, jobs: &mut [Open<'_>]) {
        match self {
            Self::Ring(key) => key.open(jobs),
            Self::AwsLc(key) => key.open(jobs),
            #[cfg(target_arch = "x86_64")]
            Self::Gcm(key) => key.open(jobs),
        }
    }
}

impl AeadKey for Key {
    #[inline]
    fn seal(&self, jobs: &mut [Seal<'_>]) {
        match &self.0 {
            Inner::One(key) => key.seal(jobs),
            Inner::Split(split) => {
                for job in jobs {
                    let key = split.key(Operation::Seal, job.text.len());
                    key.seal(std::slice::from_mut(job));
                }
            }
        }
    }

    #[inline]
    fn open(&self, jobs: &mut [Open<'_>]) {
        match &self.0 {
            Inner::One(key) => key.open(jobs),
            Inner::Split(split) => {
                for job in jobs {
                    let key = split.key(Operation::Open, job.text.len());
                    key.open(std::slice::from_mut(job));
                }
            }
        }
    }
}

/// Says whose code does it, and nothing of the key.
impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let providers: &[Provider] = match &self.0 {
            Inner::One(Single::Ring(_)) => &[Provider::Ring],
            Inner::One(Single::AwsLc(_)) => &[Provider::AwsLc],
            #[cfg(target_arch = "x86_64")]
            Inner::One(Single::Gcm(key)) => &[key.provider()],
            Inner::Split(split) => &[split.seal, split.open].concat(),
        };
        let name = |p: &Provider| providers.contains(p).then_some(p.name());
        let names: Vec<_> = Provider::ALL.iter().filter_map(name).collect();
        write!(f, "Key({})", names.join(", "))
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
        for algorithm in Algorithm::ALL {
            let serving = Provider::ALL.into_iter().filter(|p| p.serves(algorithm));
            let mut selections: Vec<_> = serving.clone().map(Selection::only).collect();
            for provider in serving {
                let mut mixed = Selection::only(Provider::Ring);
                mixed.set(algorithm, Operation::Seal, SizeClass::Small, provider);
                mixed.set(algorithm, Operation::Open, SizeClass::Large, provider);
                mixed.set(algorithm, Operation::Open, SizeClass::Small, Provider::AwsLc);
                selections.push(mixed);
            }
            let bytes: Vec<u8> = (0..algorithm.key_len() as u8).collect();
            let key = |s: &Selection| Key::new(algorithm, &bytes, s).expect("length");
            let keys: Vec<_> = selections.iter().map(key).collect();
            for len in [0, 1, 15, 16, 64, 255, 256, 257, 1023, 1024, 1500, 9000] {
                let plain: Vec<u8> = (0..len).map(|i| i as u8).collect();
                let seal = |key: &Key| {
                    let mut text = plain.clone();
                    let tag = seal(key, [7; 12], b"aad", &mut text);
                    (text, tag)
                };
                let sealed: Vec<_> = keys.iter().map(seal).collect();
                for (key, made) in keys.iter().zip(&sealed) {
                    assert!(*made == sealed[0], "{key:?} {len}");
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
    fn what_a_provider_does_not_have_is_refused_by_name() {
        let mut selection = Selection::default();
        for size in SizeClass::ALL {
            for operation in Operation::ALL {
                selection.set(Algorithm::ChaCha20Poly1305, operation, size, Provider::Vaes256);
            }
        }
        let error = Key::new(Algorithm::ChaCha20Poly1305, &[0; 32], &selection).err();
        let error = error.map(|e| e.to_string());
        let words = "vaes-256 does not do ChaCha20-Poly1305 on this CPU";
        assert_eq!(error.as_deref(), Some(words));
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
