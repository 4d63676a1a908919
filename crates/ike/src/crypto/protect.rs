//! The Encrypted payload (RFC 7296 §3.14) and the Encrypted Fragment payload (RFC 7383 §2.5): what
//! follows their headers.
//!
//! Both are the last of a message, and everything before belongs to what is authenticated: from the
//! IKE header to the generic header of the payload, which in a fragment is followed by its number and
//! total (RFC 5282 §5.1, RFC 7383 §2.5). So nothing here knows headers: a message comes with the
//! offset where they end.

use std::{fmt, sync::Arc};

use aead::{
    AeadKey as _, BLOCK_LEN, Cbc, Mac, MacAlgorithm, NONCE_LEN, Open, Provider, Seal, Selection,
    TAG_LEN,
};
use zeroize::{Zeroize as _, Zeroizing};

use super::{Role, Secret};
use crate::algorithm::{Encryption, Integrity, Prf};

/// Bytes of the initialization vector of combined modes (RFC 5282 §3, RFC 7634 §2).
const COUNTER_IV: usize = 8;
/// Bytes of their salt.
const SALT_LEN: usize = 4;

/// What the key for CBC's initialization vectors is derived with. Shorter than any message, so that
/// it cannot be one whose check value is known.
const IV_LABEL: &[u8] = b"lockgate cbc iv";

/// The algorithms of an IKE SA, of which encryption and integrity fit together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Suite {
    encryption: Encryption,
    integrity: Option<Integrity>,
    prf: Prf,
}

/// The algorithms do not fit together, or are not for IKE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SuiteMismatch {
    /// The encryption algorithm is for ESP alone.
    #[error("{0} cannot protect messages of IKE")]
    NotForIke(Encryption),
    /// The encryption algorithm needs an integrity algorithm.
    #[error("{0} needs an integrity algorithm, such as sha256")]
    IntegrityMissing(Encryption),
    /// The encryption algorithm authenticates itself (RFC 5282 §8).
    #[error("{0} authenticates by itself and takes no integrity algorithm")]
    IntegrityExtra(Encryption),
}

impl Suite {
    /// The suite of these algorithms.
    pub fn new(
        encryption: Encryption,
        integrity: Option<Integrity>,
        prf: Prf,
    ) -> Result<Self, SuiteMismatch> {
        if !encryption.is_for_ike() {
            return Err(SuiteMismatch::NotForIke(encryption));
        }
        match (encryption.is_combined(), integrity) {
            (true, Some(_)) => Err(SuiteMismatch::IntegrityExtra(encryption)),
            (false, None) => Err(SuiteMismatch::IntegrityMissing(encryption)),
            (true, None) | (false, Some(_)) => Ok(Self { encryption, integrity, prf }),
        }
    }

    /// The encryption algorithm.
    pub const fn encryption(self) -> Encryption {
        self.encryption
    }

    /// The integrity algorithm; none when the encryption algorithm sees to it.
    pub const fn integrity(self) -> Option<Integrity> {
        self.integrity
    }

    /// The pseudorandom function.
    pub const fn prf(self) -> Prf {
        self.prf
    }

    /// Bytes of SK_ei and SK_er, salt included (RFC 5282 §7.1).
    pub(super) const fn encryption_key_len(self) -> usize {
        self.encryption.key_len() + self.encryption.salt_len()
    }

    /// Bytes of SK_ai and SK_ar.
    pub(super) const fn integrity_key_len(self) -> usize {
        match self.integrity {
            Some(integrity) => integrity.key_len(),
            None => 0,
        }
    }

    /// Bytes that follow the header of the payload for `inner` bytes of payloads inside:
    /// initialization vector, text, padding, pad length and check value.
    pub const fn sealed_len(self, inner: usize) -> usize {
        let (iv, icv) = self.frame();
        iv + self.padded(inner) + icv
    }

    /// The most bytes of payloads inside for which [`Self::sealed_len`] is at most `sealed`: for
    /// cutting a message into fragments. `None` when not even an empty one fits.
    pub const fn inner_len(self, sealed: usize) -> Option<usize> {
        let (iv, icv) = self.frame();
        let Some(text) = sealed.checked_sub(iv + icv) else {
            return None;
        };
        (text - text % self.block()).checked_sub(1)
    }

    /// Bytes of the initialization vector and of the check value.
    const fn frame(self) -> (usize, usize) {
        match self.integrity {
            Some(integrity) => (BLOCK_LEN, integrity.icv_len()),
            None => (COUNTER_IV, TAG_LEN),
        }
    }

    const fn block(self) -> usize {
        if self.encryption.is_combined() { 1 } else { BLOCK_LEN }
    }

    const fn padded(self, inner: usize) -> usize {
        (inner + 1).next_multiple_of(self.block())
    }
}

/// A message cannot be protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// 2⁶⁴-1 messages were sealed: the keys must not be used any more.
    #[error("the initialization vectors of the IKE SA are used up")]
    Exhausted,
    /// The payload begins beyond the end of the message.
    #[error("the message ends before the payload")]
    NoPayload,
}

/// A peer's message was not taken. Nothing of what is inside is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// It is shorter than the least the algorithms make.
    #[error("the encrypted payload is too short")]
    TooShort,
    /// What is encrypted does not consist of whole blocks.
    #[error("the encrypted payload does not consist of whole blocks")]
    NotWholeBlocks,
    /// The check value is wrong: it was changed on the way, or is not from the peer.
    #[error("the check value of the encrypted payload is wrong")]
    NotAuthentic,
    /// There is more padding than text, in a message that is authentic: a bug of the peer.
    #[error("the padding of the encrypted payload is longer than the payload")]
    Padding,
}

/// `SK_ai | SK_ar | SK_ei | SK_er` of an IKE SA. They are in memory once, however many use them. Messages
/// are rare and IKE SAs many, so that what a cipher makes of its key, which is far longer, is made anew for
/// each message.
#[derive(Clone)]
pub(super) struct MessageKeys {
    suite: Suite,
    all: Arc<Secret>,
}

/// Keys as the ciphers have them.
enum Keys {
    Combined { key: Box<aead::Key>, salt: Zeroizing<[u8; SALT_LEN]> },
    Composed { cbc: Box<Cbc>, mac: Box<Mac> },
}

/// What one side protects its messages with. No initialization vector is used twice.
pub struct Sealer {
    keys: MessageKeys,
    role: Role,
    next: u64,
}

/// What messages of one side are checked and decrypted with.
pub struct Opener {
    keys: MessageKeys,
    role: Role,
}

impl Sealer {
    /// Of messages that `role` sends.
    pub(super) fn new(keys: MessageKeys, role: Role) -> Self {
        Self { keys, role, next: 0 }
    }

    /// The algorithms.
    pub fn suite(&self) -> Suite {
        self.keys.suite
    }

    /// Protects a message. Before, it holds the headers up to offset `body`, with the lengths they
    /// will have ([`Suite::sealed_len`]), and after them the payloads inside. After, it is what goes
    /// on the wire.
    pub fn seal(&mut self, message: &mut Vec<u8>, body: usize) -> Result<(), SealError> {
        let number = self.next;
        let next = number.checked_add(1).ok_or(SealError::Exhausted)?;
        let inner = message.len().checked_sub(body).ok_or(SealError::NoPayload)?;
        self.next = next;
        let (iv_len, icv_len) = self.suite().frame();
        let text = self.suite().padded(inner);
        let padding = text - inner - 1;
        // room for the vector before the text, without leaving a copy of the text behind
        let end = body + iv_len + text + icv_len;
        let mut sealed = Vec::with_capacity(end);
        sealed.extend_from_slice(&message[..body]);
        sealed.resize(body + iv_len, 0);
        sealed.extend_from_slice(&message[body..]);
        sealed.resize(body + iv_len + text - 1, 0);
        sealed.push(padding as u8);
        sealed.resize(end, 0);
        message.zeroize();
        let (head, rest) = sealed.split_at_mut(body);
        let (iv, rest) = rest.split_at_mut(iv_len);
        let (text, icv) = rest.split_at_mut(text);
        match self.keys.expand(self.role) {
            Keys::Combined { key, salt } => {
                iv.copy_from_slice(&number.to_be_bytes());
                let nonce = nonce(&salt, number.to_be_bytes());
                let tag = icv.try_into().expect("invariant: tags have 16 bytes");
                key.seal(&mut [Seal { nonce, aad: head, text, tag }]);
            }
            Keys::Composed { cbc, mac } => {
                let mut vector = u128::from(number).to_be_bytes();
                // vectors nobody can foresee out of numbers (NIST SP 800-38A appendix C)
                let mut derived = Zeroizing::new([0; BLOCK_LEN]);
                mac.sign(&[IV_LABEL], derived.as_mut());
                let vectors = Cbc::new(derived.as_ref()).expect("invariant: a key of 16 bytes");
                let whole = vectors.encrypt([0; BLOCK_LEN], &mut vector);
                iv.copy_from_slice(&vector);
                let whole = whole && cbc.encrypt(vector, text);
                assert!(whole, "invariant: padded to whole blocks");
                mac.sign(&[head, iv, text], icv);
            }
        }
        *message = sealed;
        Ok(())
    }
}

impl Opener {
    /// Of messages that `role` sends.
    pub(super) fn new(keys: MessageKeys, role: Role) -> Self {
        Self { keys, role }
    }

    /// The algorithms.
    pub fn suite(&self) -> Suite {
        self.keys.suite
    }

    /// Checks a message, in which the payload's headers end at offset `body`, and gives the payloads
    /// inside. The message must end where the payload ends.
    pub fn open(&self, message: &[u8], body: usize) -> Result<Vec<u8>, OpenError> {
        let (iv_len, icv_len) = self.suite().frame();
        let (head, rest) = message.split_at_checked(body).ok_or(OpenError::TooShort)?;
        let (iv, rest) = rest.split_at_checked(iv_len).ok_or(OpenError::TooShort)?;
        let len = rest.len().checked_sub(icv_len).ok_or(OpenError::TooShort)?;
        let (text, icv) = rest.split_at(len);
        if text.is_empty() {
            return Err(OpenError::TooShort);
        }
        if !len.is_multiple_of(self.suite().block()) {
            return Err(OpenError::NotWholeBlocks);
        }
        let mut plain = Zeroizing::new(text.to_vec());
        match self.keys.expand(self.role) {
            Keys::Combined { key, salt } => {
                let iv = iv.try_into().expect("invariant: vectors have 8 bytes");
                let (nonce, tag) = (nonce(&salt, iv), icv.try_into());
                let tag = tag.expect("invariant: tags have 16 bytes");
                let mut jobs = [Open { nonce, aad: head, text: &mut plain, tag, authentic: false }];
                key.open(&mut jobs);
                let [Open { authentic, .. }] = jobs;
                if !authentic {
                    return Err(OpenError::NotAuthentic);
                }
            }
            Keys::Composed { cbc, mac } => {
                if !mac.verify(&[head, iv, text], icv) {
                    return Err(OpenError::NotAuthentic);
                }
                let iv = iv.try_into().expect("invariant: vectors have 16 bytes");
                let whole = cbc.decrypt(iv, &mut plain);
                assert!(whole, "invariant: whole blocks");
            }
        }
        let padding = plain.last().map_or(0, |last| usize::from(*last));
        let inner = plain.len().checked_sub(padding + 1).ok_or(OpenError::Padding)?;
        Ok(plain[..inner].to_vec())
    }
}

impl MessageKeys {
    /// From [`Self::len`] bytes.
    pub(super) fn new(suite: Suite, all: &[u8]) -> Self {
        assert_eq!(all.len(), Self::len(suite), "invariant: keys of the right length");
        Self { suite, all: Arc::new(Secret::from_bytes(all)) }
    }

    /// Bytes of all four.
    pub(super) const fn len(suite: Suite) -> usize {
        2 * (suite.integrity_key_len() + suite.encryption_key_len())
    }

    /// The algorithms.
    pub(super) fn suite(&self) -> Suite {
        self.suite
    }

    /// SK_ei or SK_er.
    pub(super) fn e(&self, role: Role) -> &[u8] {
        let (a, e) = (self.suite.integrity_key_len(), self.suite.encryption_key_len());
        &self.all.expose()[2 * a + role as usize * e..][..e]
    }

    /// SK_ai or SK_ar.
    pub(super) fn a(&self, role: Role) -> &[u8] {
        let a = self.suite.integrity_key_len();
        &self.all.expose()[role as usize * a..][..a]
    }

    fn expand(&self, role: Role) -> Keys {
        Keys::new(self.suite, self.e(role), self.a(role))
    }
}

impl Keys {
    fn new(suite: Suite, e: &[u8], a: &[u8]) -> Self {
        let (key, salt) = e.split_at(suite.encryption.key_len());
        let combined = |algorithm| {
            let salt = salt.try_into().expect("invariant: salts have 4 bytes");
            // of the two libraries it is the one that wipes its key schedules
            let key = aead::Key::new(algorithm, key, &Selection::only(Provider::AwsLc));
            Self::Combined {
                key: Box::new(key.expect("invariant: a key of the right length")),
                salt: Zeroizing::new(salt),
            }
        };
        match suite.encryption {
            Encryption::Aes128Gcm16 => combined(aead::Algorithm::Aes128Gcm),
            Encryption::Aes256Gcm16 => combined(aead::Algorithm::Aes256Gcm),
            Encryption::ChaCha20Poly1305 => combined(aead::Algorithm::ChaCha20Poly1305),
            Encryption::Aes128Cbc
            | Encryption::Aes256Cbc
            | Encryption::Aes128Gmac
            | Encryption::Aes256Gmac
            | Encryption::Null => {
                let integrity =
                    suite.integrity.expect("invariant: a suite has it without a combined mode");
                Self::Composed {
                    cbc: Box::new(
                        Cbc::new(key).expect("invariant: AES-CBC is what is left for IKE"),
                    ),
                    mac: Box::new(Mac::new(mac_algorithm(integrity), a)),
                }
            }
        }
    }
}

fn mac_algorithm(integrity: Integrity) -> MacAlgorithm {
    match integrity {
        Integrity::HmacSha1 => MacAlgorithm::Sha1,
        Integrity::HmacSha256 => MacAlgorithm::Sha256,
        Integrity::HmacSha384 => MacAlgorithm::Sha384,
        Integrity::HmacSha512 => MacAlgorithm::Sha512,
    }
}

fn nonce(salt: &[u8; SALT_LEN], iv: [u8; COUNTER_IV]) -> [u8; NONCE_LEN] {
    let mut nonce = [0; NONCE_LEN];
    nonce[..SALT_LEN].copy_from_slice(salt);
    nonce[SALT_LEN..].copy_from_slice(&iv);
    nonce
}

/// Says the algorithms alone.
impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("suite", &self.suite()).finish_non_exhaustive()
    }
}

/// Says the algorithms alone.
impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener").field("suite", &self.suite()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// One of each way, with keys.
    fn suites() -> Vec<MessageKeys> {
        let combined =
            [Encryption::Aes128Gcm16, Encryption::Aes256Gcm16, Encryption::ChaCha20Poly1305]
                .map(|e| (e, None));
        let composed = [Encryption::Aes128Cbc, Encryption::Aes256Cbc]
            .into_iter()
            .flat_map(|e| Integrity::ALL.iter().map(move |i| (e, Some(*i))));
        combined
            .into_iter()
            .chain(composed)
            .map(|(e, i)| {
                let suite = Suite::new(e, i, Prf::HmacSha256).expect("they fit");
                MessageKeys::new(suite, &vec![0xa5; MessageKeys::len(suite)])
            })
            .collect()
    }

    fn sealer(keys: &MessageKeys) -> Sealer {
        Sealer::new(keys.clone(), Role::Initiator)
    }

    fn opener(keys: &MessageKeys) -> Opener {
        Opener::new(keys.clone(), Role::Initiator)
    }

    fn seal(sealer: &mut Sealer, head: &[u8], inner: &[u8]) -> Vec<u8> {
        let mut message = [head, inner].concat();
        sealer.seal(&mut message, head.len()).expect("it can");
        message
    }

    #[test]
    fn chacha20_poly1305_of_rfc_7634_appendix_b() {
        let suite = Suite::new(Encryption::ChaCha20Poly1305, None, Prf::HmacSha256).expect("fits");
        let key: Vec<u8> = (0x80..0xa0).chain(0xa0..0xa4).collect();
        let keys = MessageKeys::new(suite, &[key, vec![0; 36]].concat());
        let head = [
            0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xd0, 0xd1, 0xd2, 0xd3, 0xd4, 0xd5,
            0xd6, 0xd7, 0x2e, 0x20, 0x25, 0x00, 0x00, 0x00, 0x00, 0x09, 0x00, 0x00, 0x00, 0x45,
            0x29, 0x00, 0x00, 0x29,
        ];
        let inner = [0, 0, 0, 0x0c, 0, 0, 0x40, 0x01, 0, 0, 0, 0x0a];
        let sealed = [
            0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x61, 0x03, 0x94, 0x70, 0x1f, 0x8d,
            0x01, 0x7f, 0x7c, 0x12, 0x92, 0x48, 0x89, 0x6b, 0x71, 0xbf, 0xe2, 0x52, 0x36, 0xef,
            0xd7, 0xcd, 0xc6, 0x70, 0x66, 0x90, 0x63, 0x15, 0xb2,
        ];
        let mut sealer = sealer(&keys);
        sealer.next = 0x1011_1213_1415_1617;
        let message = seal(&mut sealer, &head, &inner);
        assert_eq!(message[head.len()..], sealed);
        assert_eq!(suite.sealed_len(inner.len()), sealed.len());
        let opened = opener(&keys).open(&message, head.len());
        assert_eq!(opened.as_deref(), Ok(&inner[..]));
    }

    #[test]
    fn what_was_sealed_is_opened_and_lengths_are_as_foretold() {
        for keys in suites() {
            let (suite, mut sealer, opener) = (keys.suite, sealer(&keys), opener(&keys));
            for len in (0..80).chain([1000, 65_000]) {
                let inner: Vec<u8> = (0..len).map(|i| i as u8).collect();
                let message = seal(&mut sealer, &[9; 32], &inner);
                assert_eq!(message.len() - 32, suite.sealed_len(len), "{suite:?} {len}");
                assert_eq!(opener.open(&message, 32), Ok(inner), "{suite:?} {len}");
            }
        }
    }

    #[test]
    fn the_largest_fragment_that_fits_fits() {
        for MessageKeys { suite, .. } in suites() {
            for room in 0..2000 {
                match suite.inner_len(room) {
                    Some(inner) => {
                        assert!(suite.sealed_len(inner) <= room, "{suite:?} {room}");
                        assert!(suite.sealed_len(inner + 1) > room, "{suite:?} {room}");
                    }
                    None => assert!(suite.sealed_len(0) > room, "{suite:?} {room}"),
                }
            }
        }
    }

    #[test]
    fn no_vector_is_used_twice() {
        for keys in suites() {
            let (suite, mut sealer) = (keys.suite, sealer(&keys));
            let (iv, _) = suite.frame();
            let mut seen = std::collections::BTreeSet::new();
            for _ in 0..1000 {
                let message = seal(&mut sealer, &[0; 32], b"the same");
                assert!(seen.insert(message[32..32 + iv].to_vec()), "{suite:?}");
            }
            sealer.next = u64::MAX - 1;
            seal(&mut sealer, &[0; 32], b"the last");
            for _ in 0..3 {
                let mut message = [0; 40].to_vec();
                assert_eq!(sealer.seal(&mut message, 32), Err(SealError::Exhausted));
                assert_eq!(message, [0; 40], "not touched");
            }
        }
    }

    #[test]
    fn every_bit_belongs_to_what_is_checked() {
        for keys in suites() {
            let (suite, opener) = (keys.suite, opener(&keys));
            let message = seal(&mut sealer(&keys), &[7; 36], b"payloads inside");
            for bit in 0..message.len() * 8 {
                let mut changed = message.clone();
                changed[bit / 8] ^= 1 << (bit % 8);
                let opened = opener.open(&changed, 36);
                assert_eq!(opened, Err(OpenError::NotAuthentic), "{suite:?} bit {bit}");
            }
            for len in 0..message.len() {
                assert!(opener.open(&message[..len], 36).is_err(), "{suite:?} {len}");
            }
        }
    }

    #[test]
    fn padding_longer_than_the_text_is_refused_after_the_check() {
        for keys in suites() {
            let suite = keys.suite;
            let mut message = vec![0; 32];
            // 15 bytes and a pad length of ours; the peer's would be what we have as last byte
            message.extend([200; 16]);
            match keys.expand(Role::Initiator) {
                Keys::Combined { key, salt } => {
                    let (nonce, mut tag, mut text) = (nonce(&salt, [0; 8]), [0; 16], [200; 16]);
                    let aad = &message[..32];
                    key.seal(&mut [Seal { nonce, aad, text: &mut text, tag: &mut tag }]);
                    message.splice(32.., [&[0; 8][..], &text, &tag].concat());
                }
                Keys::Composed { cbc, mac } => {
                    let mut text = [200; 16];
                    assert!(cbc.encrypt([1; 16], &mut text));
                    let mut icv = vec![0; suite.frame().1];
                    mac.sign(&[&message[..32], &[1; 16], &text], &mut icv);
                    message.splice(32.., [&[1; 16][..], &text, &icv].concat());
                }
            }
            let opened = opener(&keys).open(&message, 32);
            assert_eq!(opened, Err(OpenError::Padding), "{suite:?}");
        }
    }

    #[test]
    fn algorithms_that_do_not_fit_are_refused() {
        let of = |e, i| Suite::new(e, i, Prf::HmacSha256).err();
        let (gcm, cbc) = (Encryption::Aes256Gcm16, Encryption::Aes256Cbc);
        let sha = Some(Integrity::HmacSha256);
        assert_eq!(of(gcm, sha), Some(SuiteMismatch::IntegrityExtra(gcm)));
        assert_eq!(of(cbc, None), Some(SuiteMismatch::IntegrityMissing(cbc)));
        for esp in [Encryption::Null, Encryption::Aes128Gmac, Encryption::Aes256Gmac] {
            assert_eq!(of(esp, sha), Some(SuiteMismatch::NotForIke(esp)));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused(
            message in proptest::collection::vec(any::<u8>(), 0..200), body in 0usize..220
        ) {
            for keys in suites() {
                prop_assert!(opener(&keys).open(&message, body).is_err());
            }
        }
    }
}
