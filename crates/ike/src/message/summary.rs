//! Payloads in words, for traces. Secrets are not in payloads once they are decrypted, but what proves
//! an identity is left out all the same. What peers write is shown as far as it is printable.

use std::{fmt, net::IpAddr};

use super::{
    Certificate, CertificateRequest, Configuration, ConfigurationAttribute, ConfigurationKind,
    Delete, Identification, Notify, Payload, Proposal, Transform, configuration_attribute as cp,
    notify_name, notify_type, protocol,
};
use crate::{
    algorithm::{
        Encryption, Integrity, KeyExchangeMethod, Prf,
        transform_type::{
            ADDITIONAL_KEY_EXCHANGE_1, ADDITIONAL_KEY_EXCHANGE_7, ENCRYPTION, INTEGRITY,
            KEY_EXCHANGE, PRF, SEQUENCE_NUMBERS,
        },
    },
    auth::{
        self, ENCODING_X509_SIGNATURE, Identity, METHOD_DIGITAL_SIGNATURE, METHOD_ECDSA_256,
        METHOD_ECDSA_384, METHOD_ECDSA_521, METHOD_RSA, METHOD_SHARED_KEY,
    },
    crypto::PPK_ID_FIXED,
};

/// Authorities of a certificate request that are shown.
const AUTHORITIES: usize = 4;

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
            Self::IdInitiator(id) => write!(f, "IDi {id}"),
            Self::IdResponder(id) => write!(f, "IDr {id}"),
            Self::Certificate(c) => write!(f, "CERT {c}"),
            Self::CertificateRequest(c) => write!(f, "CERTREQ {c}"),
            Self::Authentication { method, data } => {
                f.write_str("AUTH ")?;
                match *method {
                    METHOD_RSA => f.write_str("RSA with SHA-1")?,
                    METHOD_SHARED_KEY => f.write_str("preshared key")?,
                    METHOD_ECDSA_256 => f.write_str("ECDSA P-256")?,
                    METHOD_ECDSA_384 => f.write_str("ECDSA P-384")?,
                    METHOD_ECDSA_521 => f.write_str("ECDSA P-521")?,
                    METHOD_DIGITAL_SIGNATURE => f.write_str("digital signature (RFC 7427)")?,
                    other => write!(f, "method {other}")?,
                }
                write!(f, ", {} bytes", data.len())
            }
            Self::Nonce(data) => write!(f, "Nonce {} bytes", data.len()),
            Self::Notify(notify) => write!(f, "{notify}"),
            Self::Delete(Delete::Ike) => f.write_str("D the IKE SA"),
            Self::Delete(Delete::Esp(spis)) => {
                f.write_str("D ESP")?;
                spis.iter().try_for_each(|spi| write!(f, " {spi:08x}"))
            }
            Self::Delete(Delete::Other(protocol)) => write!(f, "D protocol {protocol}"),
            Self::VendorId(data) => match printable(data) {
                Some(text) => write!(f, "V {text}"),
                None => write!(f, "V {} bytes", data.len()),
            },
            Self::SelectorsInitiator(selectors) => {
                f.write_str("TSi ")?;
                list(f, selectors, ", ")
            }
            Self::SelectorsResponder(selectors) => {
                f.write_str("TSr ")?;
                list(f, selectors, ", ")
            }
            Self::Configuration(configuration) => write!(f, "CP {configuration}"),
            Self::Encrypted { body, .. } => write!(f, "SK {} bytes", body.len()),
            Self::EncryptedFragment(fragment) => {
                write!(f, "SKF {} of {}", fragment.number, fragment.total)
            }
            Self::Unknown { kind, length } => write!(f, "payload {kind}, {length} bytes"),
        }
    }
}

/// The identity, or its type where it is none we know.
impl fmt::Display for Identification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Identity::from_payload(self) {
            Ok(identity) => identity.fmt(f),
            Err(_) => write!(f, "type {}, {} bytes", self.kind, self.data.len()),
        }
    }
}

/// `CN=gw, serial 0a, by CN=Example CA, until 2027-01-01T00:00:00Z, 412 bytes`.
impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = (self.encoding == ENCODING_X509_SIGNATURE)
            .then(|| auth::Certificate::from_der(&self.data).ok());
        match known.flatten() {
            Some(certificate) => write!(
                f,
                "{}, serial {}, by {}, until {}",
                certificate.name(),
                certificate.serial(),
                certificate.issuer(),
                auth::utc(&certificate.not_after())
            )?,
            None => write!(f, "encoding {}", self.encoding)?,
        }
        write!(f, ", {} bytes", self.data.len())
    }
}

/// `X.509, authorities 0a1b2c3d… and 2 more`: the hashes of their keys (RFC 7296 §3.7).
impl fmt::Display for CertificateRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.encoding {
            ENCODING_X509_SIGNATURE => f.write_str("X.509")?,
            other => write!(f, "encoding {other}")?,
        }
        let hashes = self.authorities.as_chunks::<20>().0;
        f.write_str(if hashes.is_empty() { ", any authority" } else { ", authorities" })?;
        for hash in hashes.iter().take(AUTHORITIES) {
            f.write_str(" ")?;
            hash.iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))?;
            f.write_str("…")?;
        }
        match hashes.len().checked_sub(AUTHORITIES) {
            Some(more @ 1..) => write!(f, " and {more} more"),
            Some(0) | None => Ok(()),
        }
    }
}

/// `request INTERNAL_IP4_ADDRESS, INTERNAL_IP4_DNS`, `reply INTERNAL_IP4_ADDRESS 10.9.0.5`.
impl fmt::Display for Configuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            ConfigurationKind::Request => "request ",
            ConfigurationKind::Reply => "reply ",
            ConfigurationKind::Set => "set ",
            ConfigurationKind::Ack => "ack ",
        })?;
        list(f, &self.attributes, ", ")
    }
}

impl fmt::Display for ConfigurationAttribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            cp::INTERNAL_IP4_ADDRESS => f.write_str("INTERNAL_IP4_ADDRESS")?,
            cp::INTERNAL_IP4_NETMASK => f.write_str("INTERNAL_IP4_NETMASK")?,
            cp::INTERNAL_IP4_DNS => f.write_str("INTERNAL_IP4_DNS")?,
            cp::INTERNAL_IP6_ADDRESS => f.write_str("INTERNAL_IP6_ADDRESS")?,
            cp::INTERNAL_IP6_DNS => f.write_str("INTERNAL_IP6_DNS")?,
            cp::INTERNAL_IP4_SUBNET => f.write_str("INTERNAL_IP4_SUBNET")?,
            other => write!(f, "attribute {other}")?,
        }
        let is_address = self.kind != cp::INTERNAL_IP4_SUBNET && (1..=10).contains(&self.kind);
        let v6 = self.value.first_chunk::<16>().map(|bytes| IpAddr::from(*bytes));
        let v4 = self.value.first_chunk::<4>().map(|bytes| IpAddr::from(*bytes));
        match v6.or(v4).filter(|_| is_address) {
            Some(address) => write!(f, " {address}"),
            None if self.value.is_empty() => Ok(()),
            None => write!(f, ", {} bytes", self.value.len()),
        }
    }
}

/// `N(COOKIE), 33 bytes`, `N(REKEY_SA) 0a1b2c3d`, `N(INVALID_KE_PAYLOAD) ecp256`.
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
        match (self.kind, self.data.as_slice()) {
            (_, []) => Ok(()),
            (notify_type::INVALID_KE_PAYLOAD, [a, b]) => {
                let id = u16::from_be_bytes([*a, *b]);
                match KeyExchangeMethod::from_id(id) {
                    Some(method) => write!(f, " {method}"),
                    None => write!(f, " method {id}"),
                }
            }
            (notify_type::PPK_IDENTITY, [PPK_ID_FIXED, name @ ..]) => match printable(name) {
                Some(name) => write!(f, " {name}"),
                None => write!(f, ", {} bytes", name.len()),
            },
            (_, data) => write!(f, ", {} bytes", data.len()),
        }
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

/// Text that is safe on a terminal.
fn printable(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    let safe = |c: char| c.is_ascii_graphic() || c == ' ';
    (!text.is_empty() && text.chars().all(safe)).then_some(text)
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
