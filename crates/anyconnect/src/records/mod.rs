//! Records of TLS while a connection carries a tunnel, sealed and opened here with the keys the library has
//! agreed on.
//!
//! For a connection that only carries frames the library keeps some 8 KiB and copies every byte three
//! times; what is left of the protocol by then is small. Application data, `close_notify` and other
//! alerts, in TLS 1.3 also KeyUpdate by either end (RFC 8446 §4.6.3), in TLS 1.2 the refusal to
//! renegotiate (RFC 5246 §7.2.2). See RFC 8446 §5, RFC 5246 §6.2.3.3, RFC 5288 §3, RFC 7905 §2.
//!
//! Limits: AEAD suites only, no padding of what we send. A key of AES-GCM seals
//! [`RECORDS_PER_KEY`] records; TLS 1.3 goes on with another then, TLS 1.2 has none: see [`Records::is_spent`].

#[cfg(test)]
mod tests;

use std::ops::Range;

use aead::{
    AeadKey as _, Algorithm, Key, Mac, MacAlgorithm, NONCE_LEN, Open, Seal, Selection, TAG_LEN,
};
use rustls::{ConnectionTrafficSecrets, ProtocolVersion};
use zeroize::Zeroizing;

use crate::tls::{Connection, TrafficSecret};

/// Bytes of a record's header.
pub(crate) const HEADER_LEN: usize = 5;
/// The longest text of a record in bytes (RFC 8446 §5.1).
const MAX_TEXT: usize = 16_384;
/// The longest record with its header in bytes (RFC 8446 §5.2).
pub(crate) const MAX_RECORD: usize = HEADER_LEN + MAX_TEXT + 256;
/// Bytes of the nonce that a record of TLS 1.2 with AES-GCM begins with.
const EXPLICIT: usize = 8;
/// What a key of AES-GCM seals at most: less than the 2^24.5 of RFC 8446 §5.5.
const RECORDS_PER_KEY: u64 = 1 << 24;
/// Records other than data that a peer may send in a row.
const ODDITIES: u32 = 32;
/// Version in the header, whatever the version is.
const LEGACY_VERSION: [u8; 2] = [3, 3];

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const DATA: u8 = 23;

const WARNING: u8 = 1;
const FATAL: u8 = 2;

const CLOSE_NOTIFY: u8 = 0;
const UNEXPECTED_MESSAGE: u8 = 10;
const BAD_RECORD_MAC: u8 = 20;
const RECORD_OVERFLOW: u8 = 22;
const USER_CANCELED: u8 = 90;
const NO_RENEGOTIATION: u8 = 100;

const CLIENT_HELLO: u8 = 1;
const KEY_UPDATE: u8 = 24;

/// Both directions of a connection.
pub(crate) struct Records {
    opening: Half,
    sealing: Half,
    selection: Selection,
    is_13: bool,
    /// Records other than data since the last data.
    oddities: u32,
}

/// What a record was.
pub(crate) enum Opened {
    /// Data, there in the record.
    Data(Range<usize>),
    /// It was for us, and is dealt with; there may be an answer.
    Ours,
    /// The peer says no more.
    Closed,
}

/// A connection cannot go on. The peer has been told if that was of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken;

struct Half {
    key: Key,
    algorithm: Algorithm,
    iv: Zeroizing<[u8; NONCE_LEN]>,
    sequence: u64,
    /// Records that the key may seal.
    limit: u64,
    /// What the next key comes from, in TLS 1.3.
    secret: Option<TrafficSecret>,
}

/// How long the record is that `bytes` begin with, header included; `None` while its header is not whole.
pub(crate) fn record_len(bytes: &[u8]) -> Option<usize> {
    match bytes {
        [_, _, _, high, low, ..] => {
            Some(HEADER_LEN + usize::from(u16::from_be_bytes([*high, *low])))
        }
        _ => None,
    }
}

impl Records {
    /// Takes over a connection whose handshake is over, and which has been given whole records only.
    /// Everything it had to say is said, everything it decrypted is read. `None` when the library does
    /// not let it go, or agreed on a suite that we do not know.
    pub(crate) fn take_over(connection: Connection, selection: &Selection) -> Option<Self> {
        let is_13 = connection.protocol_version()? == ProtocolVersion::TLSv1_3;
        let (secrets, [client, server]) = connection.into_secrets()?;
        let half = |(sequence, keys), secret| Half::new(sequence, &keys, secret, selection);
        Some(Self {
            opening: half(secrets.rx, client)?,
            sealing: half(secrets.tx, server)?,
            selection: *selection,
            is_13,
            oddities: 0,
        })
    }

    /// Both ends of a connection with keys that everybody knows, AES-256-GCM or else ChaCha20-Poly1305.
    #[cfg(feature = "fuzz")]
    pub(crate) fn pair(is_13: bool, is_gcm: bool) -> [Self; 2] {
        let selection = Selection::default();
        let half = |byte: u8| {
            let (key, iv) = ([byte; 32].into(), [byte; NONCE_LEN].into());
            let keys = match is_gcm {
                true => ConnectionTrafficSecrets::Aes256Gcm { key, iv },
                false => ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv },
            };
            let secret = is_13.then(|| TrafficSecret::new(&[byte; TrafficSecret::MAX_LEN]));
            Half::new(0, &keys, secret, &selection).expect("invariant: both are known")
        };
        [(1, 2), (2, 1)].map(|(opens, seals)| Self {
            opening: half(opens),
            sealing: half(seals),
            selection,
            is_13,
            oddities: 0,
        })
    }

    /// Appends a record of any kind, and goes on with the next key behind a KeyUpdate.
    #[cfg(feature = "fuzz")]
    pub(crate) fn say_anything(&mut self, kind: u8, text: &[u8], output: &mut Vec<u8>) {
        self.put(kind, &[text], text.len(), output);
        if let (HANDSHAKE, [KEY_UPDATE, 0, 0, 1, 0..=1]) = (kind, text) {
            self.sealing.next_key(&self.selection);
        }
    }

    /// Whether the key that seals has done its part and no other comes: time for another connection.
    pub(crate) fn is_spent(&self) -> bool {
        self.sealing.is_used_up() && self.sealing.secret.is_none()
    }

    /// Appends records with a text in several parts: one record, if they fit it.
    pub(crate) fn seal(&mut self, parts: &[&[u8]], output: &mut Vec<u8>) {
        if self.sealing.is_used_up() {
            self.renew(output);
        }
        let len: usize = parts.iter().map(|part| part.len()).sum();
        if len <= MAX_TEXT {
            self.put(DATA, parts, len, output);
        } else {
            let chunks = parts.iter().flat_map(|part| part.chunks(MAX_TEXT));
            chunks.for_each(|chunk| self.put(DATA, &[chunk], chunk.len(), output));
        }
    }

    /// Says that nothing more will be said.
    pub(crate) fn goodbye(&mut self, output: &mut Vec<u8>) {
        self.alert(WARNING, CLOSE_NOTIFY, output);
    }

    /// Opens a whole record in its place. Answers are appended to `output`.
    pub(crate) fn open(
        &mut self,
        record: &mut [u8],
        output: &mut Vec<u8>,
    ) -> Result<Opened, Broken> {
        let (kind, text) = self.decrypt(record).map_err(|alert| self.broken(alert, output))?;
        if kind == DATA && !text.is_empty() {
            self.oddities = 0;
            return Ok(Opened::Data(text));
        }
        self.oddities += 1;
        if self.oddities > ODDITIES {
            return Err(self.broken(UNEXPECTED_MESSAGE, output));
        }
        match (kind, &record[text]) {
            (DATA, []) => Ok(Opened::Ours),
            (ALERT, [_, CLOSE_NOTIFY]) => Ok(Opened::Closed),
            (ALERT, [_, USER_CANCELED]) => Ok(Opened::Ours),
            (ALERT, [WARNING, _]) if !self.is_13 => Ok(Opened::Ours),
            // whoever sends another one listens no more
            (ALERT, [_, _]) => Err(Broken),
            (HANDSHAKE, [KEY_UPDATE, 0, 0, 1, request @ 0..=1]) if self.is_13 => {
                let asked = *request == 1;
                self.update(asked, output)
                    .ok_or_else(|| self.broken(UNEXPECTED_MESSAGE, output))?;
                Ok(Opened::Ours)
            }
            (HANDSHAKE, [CLIENT_HELLO, ..]) if !self.is_13 => {
                self.alert(WARNING, NO_RENEGOTIATION, output);
                Ok(Opened::Ours)
            }
            _ => Err(self.broken(UNEXPECTED_MESSAGE, output)),
        }
    }

    /// The peer has a new key, and may ask that we have one too.
    fn update(&mut self, asked: bool, output: &mut Vec<u8>) -> Option<()> {
        self.opening.next_key(&self.selection)?;
        if asked {
            self.renew(output);
        }
        Some(())
    }

    /// Seals with a new key from now on, if there can be one, and says so with the old one.
    fn renew(&mut self, output: &mut Vec<u8>) {
        if self.sealing.secret.is_some() {
            let message: &[u8] = &[KEY_UPDATE, 0, 0, 1, 0];
            self.put(HANDSHAKE, &[message], message.len(), output);
            self.sealing.next_key(&self.selection);
        }
    }

    fn broken(&mut self, alert: u8, output: &mut Vec<u8>) -> Broken {
        self.alert(FATAL, alert, output);
        Broken
    }

    fn alert(&mut self, level: u8, alert: u8, output: &mut Vec<u8>) {
        self.put(ALERT, &[&[level, alert]], 2, output);
    }

    /// Appends one record with a text of `len` bytes.
    fn put(&mut self, kind: u8, parts: &[&[u8]], len: usize, output: &mut Vec<u8>) {
        let explicit = if self.is_13 { 0 } else { self.sealing.explicit() };
        let inner = len + usize::from(self.is_13);
        let (outer_kind, body) = (if self.is_13 { DATA } else { kind }, explicit + inner + TAG_LEN);
        let nonce = self.sealing.nonce();
        output.reserve(HEADER_LEN + body);
        let header = header(outer_kind, body);
        output.extend_from_slice(&header);
        output.extend_from_slice(&nonce[NONCE_LEN - explicit..]);
        let start = output.len();
        parts.iter().for_each(|part| output.extend_from_slice(part));
        if self.is_13 {
            output.push(kind);
        }
        output.extend_from_slice(&[0; TAG_LEN]);
        let (text, tag) =
            output[start..].split_last_chunk_mut().expect("invariant: as long as a tag");
        let numbered = numbered(self.sealing.sequence, &header, len);
        let aad: &[u8] = if self.is_13 { &header } else { &numbered };
        self.sealing.key.seal(&mut [Seal { nonce, aad, text, tag }]);
        self.sealing.sequence += 1;
    }

    /// Content type and text of a record, or the alert that answers it.
    fn decrypt(&mut self, record: &mut [u8]) -> Result<(u8, Range<usize>), u8> {
        let explicit = if self.is_13 { 0 } else { self.opening.explicit() };
        let Some((header, body)) = record.split_first_chunk_mut::<HEADER_LEN>() else {
            return Err(UNEXPECTED_MESSAGE);
        };
        if HEADER_LEN + body.len() > MAX_RECORD {
            return Err(RECORD_OVERFLOW);
        }
        let kind = header[0];
        if !matches!((self.is_13, kind), (true, DATA) | (false, ALERT | HANDSHAKE | DATA)) {
            return Err(UNEXPECTED_MESSAGE);
        }
        let Some(len) = body.len().checked_sub(explicit + TAG_LEN) else {
            return Err(BAD_RECORD_MAC);
        };
        let (front, rest) = body.split_at_mut(explicit);
        let (text, tag) = rest.split_at_mut(len);
        let tag: &[u8; TAG_LEN] = (&*tag).try_into().expect("invariant: what is left is a tag");
        let mut nonce = self.opening.nonce();
        nonce[NONCE_LEN - explicit..].copy_from_slice(front);
        let numbered = numbered(self.opening.sequence, header, len);
        let aad: &[u8] = if self.is_13 { &*header } else { &numbered };
        let mut jobs = [Open { nonce, aad, text, tag, authentic: false }];
        self.opening.key.open(&mut jobs);
        let [Open { text, authentic, .. }] = jobs;
        if !authentic {
            return Err(BAD_RECORD_MAC);
        }
        self.opening.sequence += 1;
        let start = HEADER_LEN + explicit;
        let (kind, len) = match self.is_13 {
            // the type is the last byte that is not zero (RFC 8446 §5.4)
            true => {
                let at = text.iter().rposition(|byte| *byte != 0).ok_or(UNEXPECTED_MESSAGE)?;
                (text[at], at)
            }
            false => (kind, len),
        };
        if len > MAX_TEXT { Err(RECORD_OVERFLOW) } else { Ok((kind, start..start + len)) }
    }
}

impl Half {
    fn new(
        sequence: u64,
        keys: &ConnectionTrafficSecrets,
        secret: Option<TrafficSecret>,
        selection: &Selection,
    ) -> Option<Self> {
        let (algorithm, key, iv) = match keys {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (Algorithm::Aes128Gcm, key, iv),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (Algorithm::Aes256Gcm, key, iv),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => {
                (Algorithm::ChaCha20Poly1305, key, iv)
            }
            // the library may learn more of them
            _ => return None,
        };
        Some(Self {
            key: Key::new(algorithm, key.as_ref(), selection).ok()?,
            algorithm,
            iv: Zeroizing::new(iv.as_ref().try_into().ok()?),
            sequence,
            limit: match algorithm {
                Algorithm::Aes128Gcm | Algorithm::Aes256Gcm => RECORDS_PER_KEY,
                Algorithm::ChaCha20Poly1305 => u64::MAX,
            },
            secret,
        })
    }

    /// Bytes of the nonce that stand in a record of TLS 1.2.
    fn explicit(&self) -> usize {
        match self.algorithm {
            Algorithm::Aes128Gcm | Algorithm::Aes256Gcm => EXPLICIT,
            Algorithm::ChaCha20Poly1305 => 0,
        }
    }

    fn is_used_up(&self) -> bool {
        self.sequence >= self.limit
    }

    /// The nonce of the next record.
    fn nonce(&self) -> [u8; NONCE_LEN] {
        let mut nonce = *self.iv;
        let (_, number) = nonce.split_last_chunk_mut::<8>().expect("invariant: nonces are longer");
        *number = (u64::from_be_bytes(*number) ^ self.sequence).to_be_bytes();
        nonce
    }

    /// Goes on with the next key (RFC 8446 §7.2); `None` when there is none.
    fn next_key(&mut self, selection: &Selection) -> Option<()> {
        let secret = self.secret.take()?.next();
        let mut key = Zeroizing::new([0; 32]);
        let key = &mut key[..self.algorithm.key_len()];
        secret.expand("key", key);
        secret.expand("iv", &mut self.iv[..]);
        self.key = Key::new(self.algorithm, key, selection).ok()?;
        (self.sequence, self.secret) = (0, Some(secret));
        Some(())
    }
}

impl TrafficSecret {
    /// The one after this.
    fn next(&self) -> Self {
        let mut next = Zeroizing::new([0; Self::MAX_LEN]);
        self.expand("traffic upd", &mut next[..self.as_ref().len()]);
        Self::new(&next[..self.as_ref().len()])
    }

    /// HKDF-Expand-Label without context, of what one block of the hash gives (RFC 8446 §7.1).
    fn expand(&self, label: &str, output: &mut [u8]) {
        let secret = self.as_ref();
        let hash = if secret.len() == 48 { MacAlgorithm::Sha384 } else { MacAlgorithm::Sha256 };
        let len = (output.len() as u16).to_be_bytes();
        let label_len = [(LABEL_PREFIX.len() + label.len()) as u8];
        let info: [&[u8]; 6] = [&len, &label_len, LABEL_PREFIX, label.as_bytes(), &[0], &[1]];
        Mac::new(hash, secret).sign(&info, output);
    }
}

const LABEL_PREFIX: &[u8] = b"tls13 ";

fn header(kind: u8, body: usize) -> [u8; HEADER_LEN] {
    let [high, low] = (body as u16).to_be_bytes();
    [kind, LEGACY_VERSION[0], LEGACY_VERSION[1], high, low]
}

/// What TLS 1.2 authenticates beside the text: number, type and version of the record, length of the text
/// (RFC 5246 §6.2.3.3).
fn numbered(sequence: u64, header: &[u8; HEADER_LEN], len: usize) -> [u8; 13] {
    let mut aad = [0; 13];
    aad[..8].copy_from_slice(&sequence.to_be_bytes());
    aad[8..11].copy_from_slice(&header[..3]);
    aad[11..].copy_from_slice(&(len as u16).to_be_bytes());
    aad
}
