//! `aws-lc-rs` as an [`AeadKey`].

use aws_lc_rs::aead;

use crate::{AeadKey, Algorithm, KeyError, Open, Seal};

pub(crate) struct AwsLcKey(aead::LessSafeKey);

impl AwsLcKey {
    pub(crate) fn new(algorithm: Algorithm, key: &[u8]) -> Result<Self, KeyError> {
        let algorithm = match algorithm {
            Algorithm::Aes128Gcm => &aead::AES_128_GCM,
            Algorithm::Aes256Gcm => &aead::AES_256_GCM,
            Algorithm::ChaCha20Poly1305 => &aead::CHACHA20_POLY1305,
        };
        let key =
            aead::UnboundKey::new(algorithm, key).map_err(|_| KeyError::Refused("aws-lc-rs"))?;
        Ok(Self(aead::LessSafeKey::new(key)))
    }
}

impl AeadKey for AwsLcKey {
    #[inline]
    fn seal(&self, jobs: &mut [Seal<'_>]) {
        for job in jobs {
            let nonce = aead::Nonce::assume_unique_for_key(job.nonce);
            self.0
                .seal_in_place_scatter(nonce, aead::Aad::from(job.aad), job.text, &[], job.tag)
                .expect("invariant: no text is longer than 2^36 bytes");
        }
    }

    #[inline]
    fn open(&self, jobs: &mut [Open<'_>]) {
        for job in jobs {
            let nonce = aead::Nonce::assume_unique_for_key(job.nonce);
            let aad = aead::Aad::from(job.aad);
            let opened = self.0.open_in_place_separate_tag(nonce, aad, job.tag, job.text);
            job.authentic = opened.is_ok();
        }
    }
}
