//! AES-GCM (NIST SP 800-38D) of our own, for x86-64 CPUs that work on two or four blocks with one
//! instruction: VAES and VPCLMULQDQ, with AVX2 or AVX-512.
//!
//! The libraries are made for long messages; a gateway seals packets. Here one pass does all of a
//! packet: the hash goes on while blocks are encrypted, the block that hides the tag goes with the
//! last ones, and the hash is reduced once for 16 or 32 blocks.
//!
//! | file | holds |
//! |---|---|
//! | `schedule` | what is made of a key: round keys and powers of the hash key |
//! | `wide256`, `wide512` | the registers: what two and four blocks can do at once |
//! | `kernel` | the one pass, written once for both |
//! | `bytes` | loads and stores of what is shorter than a register |
//!
//! Nothing branches on secrets or looks up memory by them; branches are on lengths. What a tag does not
//! fit is wiped before anybody sees it. Texts have at most [`MAX_TEXT`] bytes.

mod bytes;
mod kernel;
mod schedule;
mod wide256;
mod wide512;

use schedule::Schedule;
use zeroize::Zeroize as _;

use crate::{
    AeadKey, Algorithm, NONCE_LEN, Open, Provider, Seal, TAG_LEN,
    width::{Width, is_available},
};

/// Bytes of the longest text: 2³² blocks less the two that counters are not for (NIST SP 800-38D §5.2.1.1).
const MAX_TEXT: u64 = (1 << 36) - 32;

/// A key. That it is there says that the CPU has what its width takes.
pub(crate) struct GcmKey(Schedule);

impl GcmKey {
    /// `None` when it is not for the algorithm, or the CPU does not have what the width takes.
    pub(crate) fn new(algorithm: Algorithm, key: &[u8], width: Width) -> Option<Self> {
        let fits = match algorithm {
            Algorithm::Aes128Gcm | Algorithm::Aes256Gcm => key.len() == algorithm.key_len(),
            Algorithm::ChaCha20Poly1305 => false,
        };
        if !fits || !is_available(width) {
            return None;
        }
        // SAFETY: the CPU has AES and PCLMULQDQ, which every width needs.
        Some(Self(unsafe { Schedule::new(key, width) }))
    }

    pub(crate) fn provider(&self) -> Provider {
        match self.0.width {
            Width::Bits256 => Provider::Vaes256,
            Width::Bits512 => Provider::Vaes512,
        }
    }

    /// Asks the CPU for what sealing or opening a text of `len` bytes reads.
    #[inline]
    pub(crate) fn prefetch(&self, len: usize) {
        self.0.prefetch(len);
    }

    #[inline]
    fn crypt<const SEAL: bool>(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        text: &mut [u8],
    ) -> [u8; TAG_LEN] {
        assert!(text.len() as u64 <= MAX_TEXT, "invariant: no text is longer than 2^36 bytes");
        match self.0.width {
            // SAFETY: the CPU has what the width takes, or there were no key.
            Width::Bits256 => unsafe { wide256::crypt::<SEAL>(&self.0, nonce, aad, text) },
            // SAFETY: as above.
            Width::Bits512 => unsafe { wide512::crypt::<SEAL>(&self.0, nonce, aad, text) },
        }
    }
}

impl AeadKey for GcmKey {
    #[inline]
    fn seal(&self, jobs: &mut [Seal<'_>]) {
        for job in jobs {
            *job.tag = self.crypt::<true>(&job.nonce, job.aad, job.text);
        }
    }

    #[inline]
    fn open(&self, jobs: &mut [Open<'_>]) {
        for job in jobs {
            let tag = self.crypt::<false>(&job.nonce, job.aad, job.text);
            job.authentic = u128::from_ne_bytes(tag) ^ u128::from_ne_bytes(*job.tag) == 0;
            if !job.authentic {
                job.text.zeroize();
            }
        }
    }
}
