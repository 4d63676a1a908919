//! The key of one direction, and what it does to the bytes of a record.

use std::fmt;

use aead::{
    AeadKey as _, Algorithm, KeyError, NONCE_LEN, Open, Operation, Seal, Selection, TAG_LEN,
};
use association::KeyMaterial;
use zeroize::Zeroizing;

use super::{HEADER_LEN, Header};
use crate::schedule::iv_len;

/// Bytes of the additional data: epoch, number, content type, version, length (RFC 5246 §6.2.3.3).
const AAD_LEN: usize = 13;

/// What protects the records of one direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordKeys {
    cipher: Algorithm,
    key: KeyMaterial,
    iv: KeyMaterial,
}

impl RecordKeys {
    /// A key and the secret part of its nonces: 4 bytes for AES-GCM (RFC 5288 §3), 12 for
    /// ChaCha20-Poly1305 (RFC 7905 §2). Lengths are checked when the keys are first used.
    pub fn new(cipher: Algorithm, key: &[u8], iv: &[u8]) -> Self {
        let [key, iv] = [key, iv].map(KeyMaterial::from_bytes);
        Self { cipher, key, iv }
    }

    /// The algorithm.
    pub fn cipher(&self) -> Algorithm {
        self.cipher
    }
}

/// The key, ready to be used.
pub(super) struct Cipher {
    key: aead::Key,
    iv: Zeroizing<[u8; NONCE_LEN]>,
    /// Bytes of the part of a nonce that stands in front of the text.
    explicit: u8,
}

impl Cipher {
    pub(super) fn new(keys: &RecordKeys, selection: &Selection) -> Result<Self, KeyError> {
        let mut iv = Zeroizing::new([0; NONCE_LEN]);
        let (wanted, got) = (iv_len(keys.cipher), keys.iv.len());
        if wanted != got {
            return Err(KeyError::Length { wanted, got });
        }
        iv[..got].copy_from_slice(keys.iv.expose());
        Ok(Self {
            key: aead::Key::new(keys.cipher, keys.key.expose(), selection)?,
            iv,
            explicit: (NONCE_LEN - wanted) as u8,
        })
    }

    /// Bytes between header and text.
    #[inline]
    pub(super) fn explicit(&self) -> usize {
        usize::from(self.explicit)
    }

    /// Bytes that sealing adds to a text, the header included.
    #[inline]
    pub(super) fn added(&self) -> usize {
        HEADER_LEN + self.explicit() + TAG_LEN
    }

    /// Asks the CPU for the key.
    #[inline]
    pub(super) fn prefetch(&self, operation: Operation, len: usize) {
        self.key.prefetch(operation, len);
    }

    /// Seals a record whose text is in its place, and writes all around it. False when it is shorter
    /// than any record.
    #[inline]
    pub(super) fn seal(&self, record: &mut [u8], mut header: Header) -> bool {
        let explicit = self.explicit();
        let Some(len) = record.len().checked_sub(self.added()) else {
            return false;
        };
        header.len = (record.len() - HEADER_LEN) as u16;
        header.write(record);
        let Some((text, tag)) = record[HEADER_LEN..].split_last_chunk_mut() else {
            return false;
        };
        let (front, text) = text.split_at_mut(explicit);
        // numbers never repeat, so they are the explicit part too (RFC 5288 §3)
        front.copy_from_slice(&header.epoch_and_number()[..explicit]);
        let nonce = self.nonce(&header, front);
        self.key.seal(&mut [Seal { nonce, aad: &aad(&header, len), text, tag }]);
        true
    }

    /// Checks and decrypts a record in place; where the text is then. `None` when it is not authentic.
    /// It is long enough.
    #[inline]
    pub(super) fn open(&self, record: &mut [u8], header: &Header) -> Option<()> {
        let len = record.len().checked_sub(self.added())?;
        let (text, tag) = record[HEADER_LEN..].split_last_chunk_mut()?;
        let (front, text) = text.split_at_mut(self.explicit());
        let nonce = self.nonce(header, front);
        let aad = aad(header, len);
        let mut jobs = [Open { nonce, aad: &aad, text, tag, authentic: false }];
        self.key.open(&mut jobs);
        jobs[0].authentic.then_some(())
    }

    /// With an explicit part, what the sender wrote there, which need not be the number (RFC 5288 §3).
    #[inline]
    fn nonce(&self, header: &Header, explicit: &[u8]) -> [u8; NONCE_LEN] {
        let mut nonce = *self.iv;
        if explicit.is_empty() {
            let number = header.epoch_and_number();
            nonce[4..].iter_mut().zip(number).for_each(|(byte, n)| *byte ^= n);
        } else {
            nonce[NONCE_LEN - explicit.len()..].copy_from_slice(explicit);
        }
        nonce
    }
}

#[inline]
fn aad(header: &Header, len: usize) -> [u8; AAD_LEN] {
    let mut aad = [0; AAD_LEN];
    aad[..8].copy_from_slice(&header.epoch_and_number());
    aad[8] = header.content;
    aad[9..11].copy_from_slice(&header.version.to_be_bytes());
    aad[11..].copy_from_slice(&(len as u16).to_be_bytes());
    aad
}

/// Says nothing of the key.
impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cipher")
    }
}
