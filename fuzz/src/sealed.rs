//! Protected messages of an IKE SA whose keys are known: opened, and protected again with other
//! contents, as only its two ends could.
//!
//! AES-GCM alone, and no fragments.

use aead::{AeadKey as _, Algorithm, Key, Open, Provider, Seal, Selection, TAG_LEN};
use ike::{
    Endpoint,
    message::{HEADER_LEN, Header, payload_type},
};

const IV: usize = 8;
const SALT: usize = 4;
/// Generic header of the Encrypted payload.
const GENERIC: usize = 4;

/// Keys of an IKE SA in the order initiator, responder, each with its salt behind it.
pub(crate) struct Keys([Vec<u8>; 2]);

/// What was inside of a message.
pub(crate) struct Inside {
    pub(crate) header: Header,
    /// Type of the first payload.
    pub(crate) first: u8,
    /// The payloads.
    pub(crate) chain: Vec<u8>,
}

impl Keys {
    /// Of the IKE SA with these SPIs, initiator's and responder's, if one of the ends has it.
    pub(crate) fn find(ends: &[Endpoint; 2], spis: [u64; 2]) -> Option<Self> {
        ends.iter().find_map(|end| {
            let view = end.views().find(|view| {
                let [ours, theirs] = view.spis;
                spis == if view.initiator { [ours, theirs] } else { [theirs, ours] }
            })?;
            let row = end.wireshark_row(view.ike)?;
            let mut fields = row.split(',').skip(2).map(unhex);
            Some(Self([fields.next()??, fields.next()??]))
        })
    }

    fn of(&self, header: &Header) -> Option<(Key, [u8; SALT])> {
        let (key, salt) = self.0[usize::from(!header.from_initiator)].split_last_chunk()?;
        let algorithm = match key.len() {
            16 => Algorithm::Aes128Gcm,
            _ => Algorithm::Aes256Gcm,
        };
        Some((Key::new(algorithm, key, &Selection::only(Provider::AwsLc)).ok()?, *salt))
    }

    /// Opens a message; `None` when it is not one of this IKE SA, in one piece.
    pub(crate) fn open(&self, message: &[u8]) -> Option<Inside> {
        let (header, kind, rest) = Header::decode(message).ok()?;
        let (head, body) = message.split_at_checked(HEADER_LEN + GENERIC)?;
        let (iv, text) = body.split_first_chunk::<IV>()?;
        let (text, tag) = text.split_last_chunk::<TAG_LEN>()?;
        if kind != payload_type::SK {
            return None;
        }
        let (key, salt) = self.of(&header)?;
        let mut text = text.to_vec();
        let nonce = nonce(salt, *iv);
        let mut jobs = [Open { nonce, aad: head, text: &mut text, tag, authentic: false }];
        key.open(&mut jobs);
        let authentic = jobs[0].authentic;
        let padding = usize::from(*text.last()?);
        text.truncate(text.len().checked_sub(padding + 1)?);
        authentic.then_some(Inside { header, first: *rest.first()?, chain: text })
    }

    /// Protects a message. Initialization vectors may come twice here.
    pub(crate) fn seal(&self, inside: &Inside) -> Option<Vec<u8>> {
        let (key, salt) = self.of(&inside.header)?;
        let iv = u64::from(inside.header.message_id).to_be_bytes();
        let length = GENERIC + IV + inside.chain.len() + 1 + TAG_LEN;
        let mut message = inside.header.encode(payload_type::SK, HEADER_LEN + length).to_vec();
        message.extend([inside.first, 0]);
        message.extend((length as u16).to_be_bytes());
        let mut text = [&inside.chain[..], &[0]].concat();
        let mut tag = [0; TAG_LEN];
        let nonce = nonce(salt, iv);
        key.seal(&mut [Seal { nonce, aad: &message, text: &mut text, tag: &mut tag }]);
        message.extend(iv);
        message.extend(text);
        message.extend(tag);
        Some(message)
    }
}

fn nonce(salt: [u8; SALT], iv: [u8; IV]) -> [u8; SALT + IV] {
    let mut nonce = [0; SALT + IV];
    nonce[..SALT].copy_from_slice(&salt);
    nonce[SALT..].copy_from_slice(&iv);
    nonce
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    let (pairs, _) = digits.as_bytes().as_chunks::<2>();
    let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    pairs.iter().map(byte).collect()
}
