//! `aws-lc-rs` as an [`AeadKey`].

use aws_lc_rs::aead;

use crate::{AeadKey, Algorithm, KeyError, Open, Seal};

/// Bytes of the context the library keeps a key in: key schedule and powers of the hash key.
const CONTEXT: usize = 568;

/// No address below is of anything; every other word of a key is a small number.
const LOWEST: usize = 1 << 16;

pub(crate) struct AwsLcKey {
    key: aead::LessSafeKey,
    /// Where the context is, for the CPU to fetch; 0 when that is not known.
    context: usize,
}

impl AwsLcKey {
    pub(crate) fn new(algorithm: Algorithm, key: &[u8]) -> Result<Self, KeyError> {
        let algorithm = match algorithm {
            Algorithm::Aes128Gcm => &aead::AES_128_GCM,
            Algorithm::Aes256Gcm => &aead::AES_256_GCM,
            Algorithm::ChaCha20Poly1305 => &aead::CHACHA20_POLY1305,
        };
        let key =
            aead::UnboundKey::new(algorithm, key).map_err(|_| KeyError::Refused("aws-lc-rs"))?;
        let key = aead::LessSafeKey::new(key);
        let shared = std::ptr::from_ref(key.algorithm()) as usize;
        let own = |word: &usize| *word >= LOWEST && *word != shared;
        let context = ports::words_of(&key).find(own).unwrap_or(0);
        Ok(Self { key, context })
    }

    /// Asks the CPU for the key.
    #[inline]
    pub(crate) fn prefetch(&self) {
        if self.context != 0 {
            ports::prefetch_range(std::ptr::without_provenance(self.context), CONTEXT);
        }
    }
}

impl AeadKey for AwsLcKey {
    #[inline]
    fn seal(&self, jobs: &mut [Seal<'_>]) {
        for job in jobs {
            let nonce = aead::Nonce::assume_unique_for_key(job.nonce);
            self.key
                .seal_in_place_scatter(nonce, aead::Aad::from(job.aad), job.text, &[], job.tag)
                .expect("invariant: no text is longer than 2^36 bytes");
        }
    }

    #[inline]
    fn open(&self, jobs: &mut [Open<'_>]) {
        for job in jobs {
            let nonce = aead::Nonce::assume_unique_for_key(job.nonce);
            let aad = aead::Aad::from(job.aad);
            let opened = self.key.open_in_place_separate_tag(nonce, aad, job.tag, job.text);
            job.authentic = opened.is_ok();
        }
    }
}
