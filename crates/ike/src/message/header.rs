//! The header of every message (RFC 7296 §3.1).

use std::fmt;

use super::{MAX_MESSAGE, reader::Reader};
use crate::DecodeError;

/// Bytes of the header.
pub const HEADER_LEN: usize = 28;

/// The version that is spoken: 2.0.
pub(crate) const VERSION: u8 = 0x20;

const INITIATOR: u8 = 0x08;
const RESPONSE: u8 = 0x20;

/// Types of exchanges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ExchangeType {
    /// 34: the first one, in clear.
    IkeSaInit,
    /// 35: authentication, and the first child.
    IkeAuth,
    /// 36: children, and rekeying.
    CreateChildSa,
    /// 37: everything else.
    Informational,
    /// 43: further key exchanges before authentication (RFC 9242).
    IkeIntermediate,
    /// One we do not know.
    Other(u8),
}

impl ExchangeType {
    /// From its number.
    pub const fn from_id(id: u8) -> Self {
        match id {
            34 => Self::IkeSaInit,
            35 => Self::IkeAuth,
            36 => Self::CreateChildSa,
            37 => Self::Informational,
            43 => Self::IkeIntermediate,
            other => Self::Other(other),
        }
    }

    /// Its number.
    pub const fn id(self) -> u8 {
        match self {
            Self::IkeSaInit => 34,
            Self::IkeAuth => 35,
            Self::CreateChildSa => 36,
            Self::Informational => 37,
            Self::IkeIntermediate => 43,
            Self::Other(id) => id,
        }
    }
}

/// The name of the RFCs.
impl fmt::Display for ExchangeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IkeSaInit => f.pad("IKE_SA_INIT"),
            Self::IkeAuth => f.pad("IKE_AUTH"),
            Self::CreateChildSa => f.pad("CREATE_CHILD_SA"),
            Self::Informational => f.pad("INFORMATIONAL"),
            Self::IkeIntermediate => f.pad("IKE_INTERMEDIATE"),
            Self::Other(id) => write!(f, "exchange {id}"),
        }
    }
}

/// The header of a message, without what the payloads say themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// SPI of the initiator; never zero.
    pub initiator_spi: u64,
    /// SPI of the responder; zero in the first message.
    pub responder_spi: u64,
    /// Type of the exchange.
    pub exchange: ExchangeType,
    /// Whether the original initiator of the IKE SA sent it.
    pub from_initiator: bool,
    /// Whether it answers.
    pub is_response: bool,
    /// Number of the exchange in its direction.
    pub message_id: u32,
}

impl Header {
    /// Decodes the header: it, the type of the first payload, and the bytes of the payloads. Bytes
    /// beyond the length that it states are an error.
    pub fn decode(bytes: &[u8]) -> Result<(Self, u8, &[u8]), DecodeError> {
        let mut reader = Reader::new(bytes, "the header");
        let (initiator_spi, responder_spi) = (reader.u64()?, reader.u64()?);
        let [first, version, exchange, flags] = reader.array()?;
        let (message_id, length) = (reader.u32()?, reader.u32()?);
        if version >> 4 != 2 {
            return Err(DecodeError::Version { major: version >> 4, minor: version & 15 });
        }
        if length as usize != bytes.len() || bytes.len() > MAX_MESSAGE {
            return Err(DecodeError::Length("the message"));
        }
        if initiator_spi == 0 {
            return Err(DecodeError::Value("the initiator's SPI"));
        }
        let header = Self {
            initiator_spi,
            responder_spi,
            exchange: ExchangeType::from_id(exchange),
            from_initiator: flags & INITIATOR != 0,
            is_response: flags & RESPONSE != 0,
            message_id,
        };
        Ok((header, first, reader.rest()))
    }

    /// Encodes it with the type of the first payload and the length of the whole message in bytes.
    pub fn encode(&self, first: u8, length: usize) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[..8].copy_from_slice(&self.initiator_spi.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.responder_spi.to_be_bytes());
        let initiator = if self.from_initiator { INITIATOR } else { 0 };
        let response = if self.is_response { RESPONSE } else { 0 };
        bytes[16..20].copy_from_slice(&[first, VERSION, self.exchange.id(), initiator | response]);
        bytes[20..24].copy_from_slice(&self.message_id.to_be_bytes());
        bytes[24..].copy_from_slice(&(length as u32).to_be_bytes());
        bytes
    }
}
