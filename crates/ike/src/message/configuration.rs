//! Configuration payloads (RFC 7296 §3.15): addresses that are asked for and given.

use super::{MAX_ATTRIBUTES, reader::Reader};
use crate::DecodeError;

/// Types of attributes.
pub mod attribute {
    /// IPv4 address, 0 or 4 bytes.
    pub const INTERNAL_IP4_ADDRESS: u16 = 1;
    /// IPv4 netmask, 0 or 4 bytes.
    pub const INTERNAL_IP4_NETMASK: u16 = 2;
    /// IPv4 address of a DNS server, 0 or 4 bytes.
    pub const INTERNAL_IP4_DNS: u16 = 3;
    /// IPv6 address and prefix length, 0 or 17 bytes.
    pub const INTERNAL_IP6_ADDRESS: u16 = 8;
    /// IPv6 address of a DNS server, 0 or 16 bytes.
    pub const INTERNAL_IP6_DNS: u16 = 10;
    /// IPv4 network behind the peer: address and mask, 0 or 8 bytes.
    pub const INTERNAL_IP4_SUBNET: u16 = 13;
}

/// What the payload is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigurationKind {
    /// 1: asks.
    Request,
    /// 2: gives.
    Reply,
    /// 3: sets.
    Set,
    /// 4: confirms.
    Ack,
}

/// A configuration payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// What it is for.
    pub kind: ConfigurationKind,
    /// Attributes in the sender's order.
    pub attributes: Vec<ConfigurationAttribute>,
}

/// One attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigurationAttribute {
    /// Type, of [`attribute`]; 15 bits.
    pub kind: u16,
    /// Value; empty when asked for without a wish.
    pub value: Vec<u8>,
}

impl Configuration {
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes, "a configuration payload");
        let [kind, _, _, _] = reader.array()?;
        let kind = match kind {
            1 => ConfigurationKind::Request,
            2 => ConfigurationKind::Reply,
            3 => ConfigurationKind::Set,
            4 => ConfigurationKind::Ack,
            _ => return Err(DecodeError::Value("the type of a configuration payload")),
        };
        let mut attributes = Vec::new();
        while !reader.is_empty() {
            if attributes.len() == MAX_ATTRIBUTES {
                return Err(DecodeError::TooMany("configuration attributes"));
            }
            let (kind, length) = (reader.u16()? & 0x7fff, reader.u16()?);
            attributes
                .push(ConfigurationAttribute { kind, value: reader.take(length.into())?.to_vec() });
        }
        Ok(Self { kind, attributes })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let kind = match self.kind {
            ConfigurationKind::Request => 1,
            ConfigurationKind::Reply => 2,
            ConfigurationKind::Set => 3,
            ConfigurationKind::Ack => 4,
        };
        out.extend([kind, 0, 0, 0]);
        for attribute in &self.attributes {
            out.extend(attribute.kind.to_be_bytes());
            out.extend((attribute.value.len() as u16).to_be_bytes());
            out.extend(&attribute.value);
        }
    }
}
