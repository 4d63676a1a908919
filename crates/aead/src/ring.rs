//! `ring` as an [`AeadKey`].

use ring::aead;

use crate::{AeadKey, Algorithm, KeyError, Open, Seal};

pub(crate) struct RingKey(aead::LessSafeKey);

impl RingKey {
    pub(crate) fn new(algorithm: Algorithm, key: &[u8]) -> Result<Self, KeyError> {
        let algorithm = match algorithm {
            Algorithm::Aes128Gcm => &aead::AES_128_GCM,
            Algorithm::Aes256Gcm => &aead::AES_256_GCM,
            Algorithm::ChaCha20Poly1305 => &aead::CHACHA20_POLY1305,
        };
        let key = aead::UnboundKey::new(algorithm, key).map_err(|_| KeyError::Refused("ring"))?;
        Ok(Self(aead::LessSafeKey::new(key)))
    }

    /// Asks the CPU for the key.
    #[inline]
    pub(crate) fn prefetch(&self) {
        ports::prefetch_range(std::ptr::from_ref(self).cast(), size_of::<Self>());
    }
}

impl AeadKey for RingKey {
    #[inline]
    fn seal(&self, jobs: &mut [Seal<'_>]) {
        for job in jobs {
            let nonce = aead::Nonce::assume_unique_for_key(job.nonce);
            let tag = self
                .0
                .seal_in_place_separate_tag(nonce, aead::Aad::from(job.aad), job.text)
                .expect("invariant: no text is longer than 2^36 bytes");
            job.tag.copy_from_slice(tag.as_ref());
        }
    }

    #[inline]
    fn open(&self, jobs: &mut [Open<'_>]) {
        for job in jobs {
            let nonce = aead::Nonce::assume_unique_for_key(job.nonce);
            let (aad, tag) = (aead::Aad::from(job.aad), aead::Tag::from(*job.tag));
            let opened = self.0.open_in_place_separate_tag(nonce, aad, tag, job.text, 0..);
            job.authentic = opened.is_ok();
        }
    }
}
