//! Proposals and transforms of security association payloads (RFC 7296 §3.3).

use super::{MAX_PROPOSALS, MAX_TRANSFORMS, reader::Reader};
use crate::DecodeError;

/// The attribute of a transform that is used: the key length in bits (RFC 7296 §3.3.5).
pub const KEY_LENGTH: u16 = 14;

/// The bit of an attribute's type that says its value is in the length field.
const SHORT: u16 = 0x8000;

/// Protocols SPIs are of.
pub mod protocol {
    /// IKE itself.
    pub const IKE: u8 = 1;
    /// AH (RFC 4302), which we do not speak.
    pub const AH: u8 = 2;
    /// ESP.
    pub const ESP: u8 = 3;
}

/// One proposal: a protocol and, for every type of transform, those that may be chosen from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// Its number, counted from 1 by the initiator; the answer repeats it.
    pub number: u8,
    /// Protocol, of [`protocol`].
    pub protocol: u8,
    /// The sender's SPI: none in IKE_SA_INIT, 8 bytes for IKE otherwise, 4 for ESP.
    pub spi: Vec<u8>,
    /// Transforms in the sender's order.
    pub transforms: Vec<Transform>,
}

/// One algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Transform {
    /// Type, of [`transform_type`](crate::algorithm::transform_type).
    pub kind: u8,
    /// Number at IANA within its type.
    pub id: u16,
    /// Key length in bits.
    pub key_bits: Option<u16>,
    /// Whether it has an attribute we do not know, so that it cannot be chosen (RFC 7296 §3.3.6).
    pub unknown_attribute: bool,
}

impl Proposal {
    pub(super) fn decode_all(bytes: &[u8]) -> Result<Vec<Self>, DecodeError> {
        let mut reader = Reader::new(bytes, "a proposal");
        let mut proposals = Vec::new();
        loop {
            let [last, _] = reader.array()?;
            let length = reader.u16()?;
            if proposals.len() == MAX_PROPOSALS {
                return Err(DecodeError::TooMany("proposals"));
            }
            proposals.push(Self::decode(reader.body(length, 4)?)?);
            match last {
                0 => break,
                2 => {}
                _ => return Err(DecodeError::Value("the begin of a proposal")),
            }
        }
        reader.end()?;
        Ok(proposals)
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes, "a proposal");
        let [number, protocol, spi_len, count] = reader.array()?;
        let spi = reader.take(spi_len.into())?.to_vec();
        if !matches!(spi.len(), 0 | 4 | 8) {
            return Err(DecodeError::Length("the SPI of a proposal"));
        }
        let mut reader = Reader::new(reader.rest(), "a transform");
        let mut transforms = Vec::with_capacity(count.into());
        for i in 1..=count {
            let [last, _] = reader.array()?;
            let length = reader.u16()?;
            transforms.push(Transform::decode(reader.body(length, 4)?)?);
            if last != if i == count { 0 } else { 3 } {
                return Err(DecodeError::Value("the begin of a transform"));
            }
        }
        reader.end()?;
        Ok(Self { number, protocol, spi, transforms })
    }

    /// Encodes a list; a proposal has at most [`MAX_TRANSFORMS`].
    pub(super) fn encode_all(proposals: &[Self], out: &mut Vec<u8>) {
        for (i, proposal) in proposals.iter().enumerate() {
            let start = out.len();
            let more = if i + 1 == proposals.len() { 0 } else { 2 };
            let transforms = &proposal.transforms[..proposal.transforms.len().min(MAX_TRANSFORMS)];
            out.extend([more, 0, 0, 0, proposal.number, proposal.protocol]);
            out.extend([proposal.spi.len() as u8, transforms.len() as u8]);
            out.extend(&proposal.spi);
            for (j, transform) in transforms.iter().enumerate() {
                transform.encode(j + 1 == transforms.len(), out);
            }
            let length = (out.len() - start) as u16;
            out[start + 2..start + 4].copy_from_slice(&length.to_be_bytes());
        }
    }
}

impl Transform {
    /// One without attributes.
    pub const fn new(kind: u8, id: u16) -> Self {
        Self { kind, id, key_bits: None, unknown_attribute: false }
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes, "a transform");
        let [kind, _] = reader.array()?;
        let mut transform = Self::new(kind, reader.u16()?);
        while !reader.is_empty() {
            let (kind, value) = (reader.u16()?, reader.u16()?);
            if kind & SHORT == 0 {
                reader.take(value.into())?;
                transform.unknown_attribute = true;
            } else if kind & !SHORT == KEY_LENGTH && transform.key_bits.is_none() {
                transform.key_bits = Some(value);
            } else {
                transform.unknown_attribute = true;
            }
        }
        Ok(transform)
    }

    fn encode(&self, last: bool, out: &mut Vec<u8>) {
        let length = if self.key_bits.is_some() { 12 } else { 8 };
        out.extend([if last { 0 } else { 3 }, 0, 0, length, self.kind, 0]);
        out.extend(self.id.to_be_bytes());
        if let Some(bits) = self.key_bits {
            out.extend((SHORT | KEY_LENGTH).to_be_bytes());
            out.extend(bits.to_be_bytes());
        }
    }
}
