//! AES-CBC without padding (NIST SP 800-38A §6.2): the cipher half of composed suites.

use aws_lc_rs::{
    cipher::{
        AES_128, AES_256, Algorithm, DecryptingKey, DecryptionContext, EncryptingKey,
        EncryptionContext, UnboundCipherKey,
    },
    iv::FixedLength,
};

use crate::KeyError;

/// Bytes of a block and of an initialization vector.
pub const BLOCK_LEN: usize = 16;

/// An AES-CBC key for both directions.
pub struct Cbc {
    encrypt: EncryptingKey,
    decrypt: DecryptingKey,
}

impl Cbc {
    /// A key of 16 or 32 bytes.
    pub fn new(key: &[u8]) -> Result<Self, KeyError> {
        let algorithm: &'static Algorithm = match key.len() {
            16 => &AES_128,
            32 => &AES_256,
            got => return Err(KeyError::Length { wanted: 32, got }),
        };
        let unbound = || UnboundCipherKey::new(algorithm, key);
        let refused = |_| KeyError::Refused("aws-lc-rs");
        Ok(Self {
            encrypt: unbound().and_then(EncryptingKey::cbc).map_err(refused)?,
            decrypt: unbound().and_then(DecryptingKey::cbc).map_err(refused)?,
        })
    }

    /// Encrypts whole blocks in place. False, and no change, when `text` is not made of them.
    ///
    /// The initialization vector must be one nobody can foresee (SP 800-38A appendix C).
    #[inline]
    pub fn encrypt(&self, iv: [u8; BLOCK_LEN], text: &mut [u8]) -> bool {
        let context = EncryptionContext::Iv128(FixedLength::from(iv));
        text.len().is_multiple_of(BLOCK_LEN)
            && self.encrypt.less_safe_encrypt(text, context).is_ok()
    }

    /// Decrypts whole blocks in place. False, and no change, when `text` is not made of them.
    #[inline]
    pub fn decrypt(&self, iv: [u8; BLOCK_LEN], text: &mut [u8]) -> bool {
        let context = DecryptionContext::Iv128(FixedLength::from(iv));
        text.len().is_multiple_of(BLOCK_LEN) && self.decrypt.decrypt(text, context).is_ok()
    }
}

/// Says nothing of the key.
impl std::fmt::Debug for Cbc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cbc")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_blocks_are_taken() {
        let cbc = Cbc::new(&[1; 16]).expect("length");
        for len in 0..64usize {
            let (mut text, plain) = (vec![5; len], vec![5; len]);
            assert_eq!(cbc.encrypt([2; 16], &mut text), len.is_multiple_of(16), "{len}");
            if len.is_multiple_of(16) {
                assert!(len == 0 || text != plain);
                assert!(cbc.decrypt([2; 16], &mut text));
            } else {
                assert!(!cbc.decrypt([2; 16], &mut text));
            }
            assert_eq!(text, plain);
        }
    }

    #[test]
    fn other_key_lengths_are_refused() {
        for got in [0, 15, 17, 24, 33] {
            assert!(matches!(Cbc::new(&vec![0; got]), Err(KeyError::Length { .. })), "{got}");
        }
    }
}
