//! Chains of payloads, and whole messages.

use super::{HEADER_LEN, Header, MAX_PAYLOADS, Payload, payload_type, reader::Reader};
use crate::DecodeError;

const CRITICAL: u8 = 0x80;

/// A message: header and payloads. An encrypted one ends with [`Payload::Encrypted`] or
/// [`Payload::EncryptedFragment`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Header.
    pub header: Header,
    /// Payloads in their order.
    pub payloads: Vec<Payload>,
}

impl Message {
    /// Decodes a datagram, without the non-ESP marker of port 4500.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (header, first, rest) = Header::decode(bytes)?;
        Ok(Self { header, payloads: decode_chain(first, rest)? })
    }

    /// Encodes it, without the non-ESP marker.
    pub fn encode(&self) -> Vec<u8> {
        let chain = encode_chain(&self.payloads);
        let first = self.payloads.first().map_or(payload_type::NONE, Payload::kind);
        let mut bytes = self.header.encode(first, HEADER_LEN + chain.len()).to_vec();
        bytes.extend(chain);
        bytes
    }
}

/// Decodes payloads, the first of them of type `first`, up to the end of `bytes`.
///
/// A payload we do not know fails the message only when its critical bit is set (RFC 7296 §2.5).
pub fn decode_chain(first: u8, bytes: &[u8]) -> Result<Vec<Payload>, DecodeError> {
    let mut reader = Reader::new(bytes, "a payload");
    let mut payloads = Vec::new();
    let mut kind = first;
    while kind != payload_type::NONE {
        if payloads.len() == MAX_PAYLOADS {
            return Err(DecodeError::TooMany("payloads"));
        }
        let [next, flags] = reader.array()?;
        let length = reader.u16()?;
        let payload = Payload::decode(kind, next, reader.body(length, 4)?)?;
        if matches!(payload, Payload::Unknown { .. }) && flags & CRITICAL != 0 {
            return Err(DecodeError::UnsupportedCritical(kind));
        }
        // what follows an encrypted payload is inside of it (RFC 7296 §3.14)
        let last = matches!(payload, Payload::Encrypted { .. } | Payload::EncryptedFragment(_));
        kind = if last { payload_type::NONE } else { next };
        payloads.push(payload);
    }
    reader.end()?;
    Ok(payloads)
}

/// Encodes payloads one after the other. A payload has at most 65,535 bytes with its header, which
/// what we make keeps far below.
pub fn encode_chain(payloads: &[Payload]) -> Vec<u8> {
    let mut out = Vec::new();
    for (i, payload) in payloads.iter().enumerate() {
        let next = match payload {
            Payload::Encrypted { first, .. } => *first,
            Payload::EncryptedFragment(fragment) => fragment.first,
            _ => payloads.get(i + 1).map_or(payload_type::NONE, Payload::kind),
        };
        let start = out.len();
        out.extend([next, 0, 0, 0]);
        payload.encode(&mut out);
        let length = u16::try_from(out.len() - start).expect("invariant: payloads are short");
        out[start + 2..start + 4].copy_from_slice(&length.to_be_bytes());
    }
    out
}
