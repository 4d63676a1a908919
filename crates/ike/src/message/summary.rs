//! Payloads in words, for traces. Secrets are not in payloads once they are decrypted, but what proves
//! an identity is left out all the same.

use std::fmt;

use super::{
    ConfigurationKind, Delete, Notify, Payload, Proposal, Transform, notify_name, protocol,
};
use crate::algorithm::{
    Encryption, Integrity, KeyExchangeMethod, Prf,
    transform_type::{
        ADDITIONAL_KEY_EXCHANGE_1, ADDITIONAL_KEY_EXCHANGE_7, ENCRYPTION, INTEGRITY, KEY_EXCHANGE,
        PRF, SEQUENCE_NUMBERS,
    },
};

/// The name of the RFC and what is in it, on one line.
impl fmt::Display for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SecurityAssociation(proposals) => {
                f.write_str("SA ")?;
                list(f, proposals, "; ")
            }
            Self::KeyExchange(ke) => {
                f.write_str("KE ")?;
                match KeyExchangeMethod::from_id(ke.method) {
                    Some(method) => write!(f, "{method}")?,
                    None => write!(f, "method {}", ke.method)?,
                }
                write!(f, ", {} bytes", ke.data.len())
            }
            Self::IdInitiator(id) => write!(f, "IDi type {}, {} bytes", id.kind, id.data.len()),
            Self::IdResponder(id) => write!(f, "IDr type {}, {} bytes", id.kind, id.data.len()),
            Self::Certificate(c) => {
                write!(f, "CERT encoding {}, {} bytes", c.encoding, c.data.len())
            }
            Self::CertificateRequest(c) => {
                write!(
                    f,
                    "CERTREQ encoding {}, {} authorities",
                    c.encoding,
                    c.authorities.len() / 20
                )
            }
            Self::Authentication { method, data } => {
                write!(f, "AUTH method {method}, {} bytes", data.len())
            }
            Self::Nonce(data) => write!(f, "Nonce {} bytes", data.len()),
            Self::Notify(notify) => write!(f, "{notify}"),
            Self::Delete(Delete::Ike) => f.write_str("D the IKE SA"),
            Self::Delete(Delete::Esp(spis)) => {
                f.write_str("D ESP")?;
                spis.iter().try_for_each(|spi| write!(f, " {spi:08x}"))
            }
            Self::Delete(Delete::Other(protocol)) => write!(f, "D protocol {protocol}"),
            Self::VendorId(data) => write!(f, "V {} bytes", data.len()),
            Self::SelectorsInitiator(selectors) => {
                f.write_str("TSi ")?;
                list(f, selectors, ", ")
            }
            Self::SelectorsResponder(selectors) => {
                f.write_str("TSr ")?;
                list(f, selectors, ", ")
            }
            Self::Configuration(configuration) => {
                f.write_str(match configuration.kind {
                    ConfigurationKind::Request => "CP request",
                    ConfigurationKind::Reply => "CP reply",
                    ConfigurationKind::Set => "CP set",
                    ConfigurationKind::Ack => "CP ack",
                })?;
                configuration.attributes.iter().try_for_each(|a| write!(f, " {}", a.kind))
            }
            Self::Encrypted { body, .. } => write!(f, "SK {} bytes", body.len()),
            Self::EncryptedFragment(fragment) => {
                write!(f, "SKF {} of {}", fragment.number, fragment.total)
            }
            Self::Unknown { kind, length } => write!(f, "payload {kind}, {length} bytes"),
        }
    }
}

/// `N(COOKIE), 33 bytes`.
impl fmt::Display for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match notify_name(self.kind) {
            Some(name) => write!(f, "N({name})")?,
            None => write!(f, "N({})", self.kind)?,
        }
        if self.spi.len() == 4 {
            f.write_str(" ")?;
            self.spi.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        }
        if self.data.is_empty() { Ok(()) } else { write!(f, ", {} bytes", self.data.len()) }
    }
}

/// `ESP aes256gcm16-x25519-noesn`; a type with several transforms has them with `/` between.
impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.protocol {
            protocol::IKE => f.write_str("IKE ")?,
            protocol::AH => f.write_str("AH ")?,
            protocol::ESP => f.write_str("ESP ")?,
            other => write!(f, "protocol {other} ")?,
        }
        let mut before: Option<u8> = None;
        // in the order of types, so that two sides can be compared by eye
        let mut transforms: Vec<_> = self.transforms.iter().collect();
        transforms.sort_by_key(|t| t.kind);
        for transform in transforms {
            if let Some(kind) = before {
                f.write_str(if kind == transform.kind { "/" } else { "-" })?;
            }
            before = Some(transform.kind);
            write!(f, "{transform}")?;
        }
        Ok(())
    }
}

/// The name of a proposal's text, or the numbers.
impl fmt::Display for Transform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, id) = (self.kind, self.id);
        let name = match kind {
            ENCRYPTION => Encryption::from_id(id, self.key_bits).map(Encryption::name),
            PRF => Prf::from_id(id).map(Prf::name),
            INTEGRITY if id == 0 => Some("none"),
            INTEGRITY => Integrity::from_id(id).map(Integrity::name),
            KEY_EXCHANGE if id == 0 => Some("none"),
            KEY_EXCHANGE => KeyExchangeMethod::from_id(id).map(KeyExchangeMethod::name),
            SEQUENCE_NUMBERS if id == 0 => Some("noesn"),
            SEQUENCE_NUMBERS if id == 1 => Some("esn"),
            _ => None,
        };
        let name = match kind {
            ADDITIONAL_KEY_EXCHANGE_1..=ADDITIONAL_KEY_EXCHANGE_7 => {
                write!(f, "ke{}_", kind - ADDITIONAL_KEY_EXCHANGE_1 + 1)?;
                if id == 0 {
                    Some("none")
                } else {
                    KeyExchangeMethod::from_id(id).map(|m| m.name())
                }
            }
            _ => name,
        };
        match (name, self.key_bits) {
            (Some(name), _) => f.write_str(name),
            (None, None) => write!(f, "{kind}:{id}"),
            (None, Some(bits)) => write!(f, "{kind}:{id}:{bits}"),
        }
    }
}

fn list(f: &mut fmt::Formatter<'_>, items: &[impl fmt::Display], separator: &str) -> fmt::Result {
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            f.write_str(separator)?;
        }
        write!(f, "{item}")?;
    }
    Ok(())
}
