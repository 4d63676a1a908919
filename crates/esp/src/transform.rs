//! What a suite does to the bytes of one ESP packet, in place.
//!
//! A packet here is the whole frame with the offset of its ESP header; lengths are those of the
//! suite, so that header, initialization vector, text and ICV are where they belong.

use std::fmt;

use aead::{
    AeadKey as _, BLOCK_LEN, Cbc, Mac, NONCE_LEN, Open, Operation, Seal, Selection, TAG_LEN,
};
use reason::DropReason;
use zeroize::Zeroizing;

use crate::{
    HEADER_LEN, KeyMaterial, ParameterError, Suite,
    suite::{Cipher, Integrity, SALT_LEN},
};

/// Bytes of the initialization vector of counter modes.
const COUNTER_IV: usize = 8;

/// What the key for CBC's initialization vectors is derived with. Shorter than any ESP packet, so
/// that it cannot be one whose ICV is known.
const IV_LABEL: &[u8] = b"lockgate cbc iv";

// the keys stand in it: no packet should wait for one miss to know of the next
pub(crate) enum Transform {
    Counter { key: aead::Key, salt: Zeroizing<[u8; SALT_LEN]> },
    Gmac { key: aead::Key, salt: Zeroizing<[u8; SALT_LEN]> },
    Composed { cbc: Option<Box<CbcPart>>, mac: Box<Mac>, icv: usize },
}

pub(crate) struct CbcPart {
    cipher: Cbc,
    /// Makes vectors nobody can foresee from sequence numbers (RFC 3602 §3).
    vectors: Cbc,
}

impl Transform {
    pub(crate) fn new(
        suite: Suite,
        key: &KeyMaterial,
        selection: &Selection,
    ) -> Result<Self, ParameterError> {
        let (wanted, got) = (suite.key_len(), key.len());
        let wrong = ParameterError::KeyLength { suite, wanted, got };
        if wanted != got {
            return Err(wrong);
        }
        let parts = key.expose().split_at_checked(suite.encryption_key_len());
        let (encryption, rest) = parts.ok_or(wrong)?;
        let aead = |algorithm| aead::Key::new(algorithm, encryption, selection);
        let salt = || rest.first_chunk().copied().map(Zeroizing::new).ok_or(wrong);
        Ok(match suite.cipher {
            Cipher::Aes128Gcm => {
                Self::Counter { key: aead(aead::Algorithm::Aes128Gcm)?, salt: salt()? }
            }
            Cipher::Aes256Gcm => {
                Self::Counter { key: aead(aead::Algorithm::Aes256Gcm)?, salt: salt()? }
            }
            Cipher::ChaCha20Poly1305 => {
                Self::Counter { key: aead(aead::Algorithm::ChaCha20Poly1305)?, salt: salt()? }
            }
            Cipher::Aes128Gmac => {
                Self::Gmac { key: aead(aead::Algorithm::Aes128Gcm)?, salt: salt()? }
            }
            Cipher::Aes256Gmac => {
                Self::Gmac { key: aead(aead::Algorithm::Aes256Gcm)?, salt: salt()? }
            }
            Cipher::Aes128Cbc | Cipher::Aes256Cbc | Cipher::Null => {
                let Integrity::Hmac(algorithm) = suite.integrity else {
                    return Err(wrong);
                };
                let mac = Box::new(Mac::new(algorithm, rest));
                let cbc = if encryption.is_empty() {
                    None
                } else {
                    let mut derived = Zeroizing::new([0; BLOCK_LEN]);
                    mac.sign(&[IV_LABEL], derived.as_mut());
                    let vectors = Cbc::new(derived.as_ref())?;
                    Some(Box::new(CbcPart { cipher: Cbc::new(encryption)?, vectors }))
                };
                Self::Composed { cbc, mac, icv: suite.icv_len() }
            }
        })
    }

    /// Writes the initialization vector for `sequence`, encrypts, writes the ICV. SPI, the lower
    /// half of the sequence number and the text must be there. False when the packet is too short.
    #[inline]
    pub(crate) fn seal(&self, packet: &mut [u8], esp: usize, sequence: u64, esn: bool) -> bool {
        match self {
            Self::Counter { key, salt } => {
                let Some((head, text, tag)) = counter_parts(packet, esp) else {
                    return false;
                };
                let (header, iv) = head.split_at_mut(HEADER_LEN);
                iv.copy_from_slice(&sequence.to_be_bytes());
                let nonce = nonce(salt, iv);
                let mut long = [0; 12];
                let aad = if esn { extended(header, sequence, &mut long) } else { &*header };
                key.seal(&mut [Seal { nonce, aad, text, tag }]);
                true
            }
            Self::Gmac { key, salt } => {
                let Some((head, _, _)) = counter_parts(packet, esp) else {
                    return false;
                };
                head[HEADER_LEN..].copy_from_slice(&sequence.to_be_bytes());
                let nonce = nonce(salt, &head[HEADER_LEN..]);
                with_whole_sequence(packet, esp, sequence, esn, |data| {
                    let Some((aad, tag)) = data.split_last_chunk_mut::<TAG_LEN>() else {
                        return false;
                    };
                    key.seal(&mut [Seal { nonce, aad, text: &mut [], tag }]);
                    true
                })
            }
            Self::Composed { cbc, mac, icv } => {
                let Some(packet) = packet.get_mut(esp..) else {
                    return false;
                };
                let Some(end) = packet.len().checked_sub(*icv) else {
                    return false;
                };
                let (data, icv) = packet.split_at_mut(end);
                if let Some(part) = cbc {
                    let mut iv = u128::from(sequence).to_be_bytes();
                    part.vectors.encrypt([0; BLOCK_LEN], &mut iv);
                    let Some((_, rest)) = data.split_at_mut_checked(HEADER_LEN) else {
                        return false;
                    };
                    let Some((place, text)) = rest.split_first_chunk_mut() else {
                        return false;
                    };
                    *place = iv;
                    if !part.cipher.encrypt(iv, text) {
                        return false;
                    }
                }
                let high = ((sequence >> 32) as u32).to_be_bytes();
                mac.sign(&[data, if esn { &high } else { &[] }], icv);
                true
            }
        }
    }

    /// Asks the CPU for what a packet of about `len` bytes needs, as far as it is known where that
    /// is: the keys of composed suites are the library's secret, and their work takes far longer.
    #[inline]
    pub(crate) fn prefetch(&self, operation: Operation, len: usize) {
        match self {
            Self::Counter { key, .. } => key.prefetch(operation, len),
            Self::Gmac { key, .. } => key.prefetch(operation, 0),
            Self::Composed { .. } => {}
        }
    }

    /// Checks the ICV and decrypts in place.
    #[inline]
    pub(crate) fn open(
        &self,
        packet: &mut [u8],
        esp: usize,
        sequence: u64,
        esn: bool,
    ) -> Result<(), DropReason> {
        let verdict = |ok| if ok { Ok(()) } else { Err(DropReason::EspIcvFailed) };
        match self {
            Self::Counter { key, salt } => {
                let parts = counter_parts(packet, esp);
                let (head, text, tag) = parts.ok_or(DropReason::EspMalformed)?;
                let (header, iv) = head.split_at(HEADER_LEN);
                let nonce = nonce(salt, iv);
                let mut long = [0; 12];
                let aad = if esn { extended(header, sequence, &mut long) } else { header };
                let mut jobs = [Open { nonce, aad, text, tag, authentic: false }];
                key.open(&mut jobs);
                verdict(jobs[0].authentic)
            }
            Self::Gmac { key, salt } => {
                let parts = counter_parts(packet, esp);
                let (head, _, _) = parts.ok_or(DropReason::EspMalformed)?;
                let nonce = nonce(salt, &head[HEADER_LEN..]);
                verdict(with_whole_sequence(packet, esp, sequence, esn, |data| {
                    let Some((aad, tag)) = data.split_last_chunk::<TAG_LEN>() else {
                        return false;
                    };
                    let mut jobs = [Open { nonce, aad, text: &mut [], tag, authentic: false }];
                    key.open(&mut jobs);
                    jobs[0].authentic
                }))
            }
            Self::Composed { cbc, mac, icv } => {
                let packet = packet.get_mut(esp..).ok_or(DropReason::EspMalformed)?;
                let end = packet.len().checked_sub(*icv).ok_or(DropReason::EspMalformed)?;
                let (data, icv) = packet.split_at_mut(end);
                let high = ((sequence >> 32) as u32).to_be_bytes();
                verdict(mac.verify(&[data, if esn { &high } else { &[] }], icv))?;
                let Some(part) = cbc else {
                    return Ok(());
                };
                let body = data.get_mut(HEADER_LEN..).and_then(|b| b.split_first_chunk_mut());
                let (iv, text) = body.ok_or(DropReason::EspMalformed)?;
                if part.cipher.decrypt(*iv, text) { Ok(()) } else { Err(DropReason::EspMalformed) }
            }
        }
    }
}

/// Header with initialization vector, text, and tag.
type CounterParts<'a> =
    (&'a mut [u8; HEADER_LEN + COUNTER_IV], &'a mut [u8], &'a mut [u8; TAG_LEN]);

#[inline]
fn counter_parts(packet: &mut [u8], esp: usize) -> Option<CounterParts<'_>> {
    let (head, rest) = packet.get_mut(esp..)?.split_first_chunk_mut()?;
    let (text, tag) = rest.split_last_chunk_mut()?;
    Some((head, text, tag))
}

/// Salt and initialization vector (RFC 4106 §4, RFC 7634 §2).
#[inline]
fn nonce(salt: &[u8; SALT_LEN], iv: &[u8]) -> [u8; NONCE_LEN] {
    let mut nonce = [0; NONCE_LEN];
    let (front, back) = nonce.split_at_mut(SALT_LEN);
    front.copy_from_slice(salt);
    back.copy_from_slice(iv);
    nonce
}

/// SPI and the sequence number of 64 bits: what is authenticated with ESN (RFC 4106 §5).
#[inline]
fn extended<'a>(header: &[u8], sequence: u64, into: &'a mut [u8; 12]) -> &'a [u8] {
    let (spi, number) = into.split_at_mut(4);
    spi.copy_from_slice(&header[..4]);
    number.copy_from_slice(&sequence.to_be_bytes());
    into
}

/// Gives `f` the packet from its SPI on; with ESN the whole sequence number stands in it, for
/// which the SPI moves to the four bytes before while `f` runs (RFC 4543 §3.3).
fn with_whole_sequence(
    packet: &mut [u8],
    esp: usize,
    sequence: u64,
    esn: bool,
    f: impl FnOnce(&mut [u8]) -> bool,
) -> bool {
    if !esn {
        return packet.get_mut(esp..).is_some_and(f);
    }
    let from = esp.checked_sub(4).and_then(|start| packet.get_mut(start..));
    let Some(data) = from.filter(|data| data.len() >= 4 + HEADER_LEN) else {
        return false;
    };
    let saved: [u8; 8] = std::array::from_fn(|i| data[i]);
    data.copy_within(4..8, 0);
    data[4..8].copy_from_slice(&((sequence >> 32) as u32).to_be_bytes());
    let result = f(data);
    data[..8].copy_from_slice(&saved);
    result
}

/// Says nothing of the keys.
impl fmt::Debug for Transform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Transform")
    }
}
