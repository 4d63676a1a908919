//! The payloads of messages (RFC 7296 §3.3 to §3.16).

use super::{Configuration, MAX_DELETED, Notify, Proposal, TrafficSelector, reader::Reader};
use crate::DecodeError;

/// Types of payloads (RFC 7296 §3.2, RFC 7383 §2.5).
pub mod payload_type {
    /// No more payloads.
    pub const NONE: u8 = 0;
    /// Security association.
    pub const SA: u8 = 33;
    /// Key exchange.
    pub const KE: u8 = 34;
    /// Identification of the initiator.
    pub const ID_I: u8 = 35;
    /// Identification of the responder.
    pub const ID_R: u8 = 36;
    /// Certificate.
    pub const CERT: u8 = 37;
    /// Certificate request.
    pub const CERTREQ: u8 = 38;
    /// Authentication.
    pub const AUTH: u8 = 39;
    /// Nonce.
    pub const NONCE: u8 = 40;
    /// Notify.
    pub const NOTIFY: u8 = 41;
    /// Delete.
    pub const DELETE: u8 = 42;
    /// Vendor ID.
    pub const VENDOR: u8 = 43;
    /// Traffic selectors of the initiator.
    pub const TS_I: u8 = 44;
    /// Traffic selectors of the responder.
    pub const TS_R: u8 = 45;
    /// Encrypted and authenticated.
    pub const SK: u8 = 46;
    /// Configuration.
    pub const CP: u8 = 47;
    /// Extensible authentication, which we do not speak.
    pub const EAP: u8 = 48;
    /// Encrypted and authenticated fragment.
    pub const SKF: u8 = 53;
}

/// One payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// Security association: what is offered, or the one proposal that was chosen.
    SecurityAssociation(Vec<Proposal>),
    /// Public value of a key exchange.
    KeyExchange(KeyExchange),
    /// Who the initiator says it is.
    IdInitiator(Identification),
    /// Who the responder says it is, or the initiator wants it to be.
    IdResponder(Identification),
    /// A certificate.
    Certificate(Certificate),
    /// Certification authorities the sender trusts.
    CertificateRequest(CertificateRequest),
    /// Proof of identity: method and data.
    Authentication {
        /// Method (RFC 7296 §3.8, RFC 7427).
        method: u8,
        /// Signature or code.
        data: Vec<u8>,
    },
    /// Nonce.
    Nonce(Vec<u8>),
    /// Notification.
    Notify(Notify),
    /// SAs that the sender has deleted.
    Delete(Delete),
    /// Who made the sender.
    VendorId(Vec<u8>),
    /// What the initiator's side of packets may be.
    SelectorsInitiator(Vec<TrafficSelector>),
    /// What the responder's side of packets may be.
    SelectorsResponder(Vec<TrafficSelector>),
    /// Configuration.
    Configuration(Configuration),
    /// Encrypted payloads, always last: the type of the first one inside, and IV, ciphertext and ICV.
    Encrypted {
        /// Type of the first payload inside.
        first: u8,
        /// IV, ciphertext, ICV.
        body: Vec<u8>,
    },
    /// A fragment of encrypted payloads, always last.
    EncryptedFragment(EncryptedFragment),
    /// One we do not know and need not (RFC 7296 §2.5).
    Unknown {
        /// Its type.
        kind: u8,
        /// Bytes it had.
        length: usize,
    },
}

/// Public value of a key exchange (RFC 7296 §3.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyExchange {
    /// Number of the method.
    pub method: u16,
    /// Public value or ciphertext.
    pub data: Vec<u8>,
}

/// An identity as it travels (RFC 7296 §3.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identification {
    /// Type.
    pub kind: u8,
    /// Identity.
    pub data: Vec<u8>,
}

/// A certificate (RFC 7296 §3.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Encoding; 4 is X.509.
    pub encoding: u8,
    /// Certificate.
    pub data: Vec<u8>,
}

/// A certificate request (RFC 7296 §3.7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateRequest {
    /// Encoding; 4 is X.509.
    pub encoding: u8,
    /// SHA-1 hashes of the public keys of authorities, 20 bytes each.
    pub authorities: Vec<u8>,
}

/// SAs that were deleted (RFC 7296 §3.11).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delete {
    /// The IKE SA the message travels under.
    Ike,
    /// Children, by the SPIs the sender expects in what it receives.
    Esp(Vec<u32>),
    /// Children of another protocol, which we have none of.
    Other(u8),
}

/// A fragment (RFC 7383 §2.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncryptedFragment {
    /// Type of the first payload inside; zero but in the first fragment.
    pub first: u8,
    /// Number from 1 on.
    pub number: u16,
    /// Fragments in all.
    pub total: u16,
    /// IV, ciphertext, ICV.
    pub body: Vec<u8>,
}

impl Payload {
    /// Its type.
    pub const fn kind(&self) -> u8 {
        match self {
            Self::SecurityAssociation(_) => payload_type::SA,
            Self::KeyExchange(_) => payload_type::KE,
            Self::IdInitiator(_) => payload_type::ID_I,
            Self::IdResponder(_) => payload_type::ID_R,
            Self::Certificate(_) => payload_type::CERT,
            Self::CertificateRequest(_) => payload_type::CERTREQ,
            Self::Authentication { .. } => payload_type::AUTH,
            Self::Nonce(_) => payload_type::NONCE,
            Self::Notify(_) => payload_type::NOTIFY,
            Self::Delete(_) => payload_type::DELETE,
            Self::VendorId(_) => payload_type::VENDOR,
            Self::SelectorsInitiator(_) => payload_type::TS_I,
            Self::SelectorsResponder(_) => payload_type::TS_R,
            Self::Configuration(_) => payload_type::CP,
            Self::Encrypted { .. } => payload_type::SK,
            Self::EncryptedFragment(_) => payload_type::SKF,
            Self::Unknown { kind, .. } => *kind,
        }
    }

    /// Decodes the body of a payload of type `kind`, which is `next` to one of another type. Of an
    /// encrypted payload `next` is the type of the first one inside.
    pub(super) fn decode(kind: u8, next: u8, bytes: &[u8]) -> Result<Self, DecodeError> {
        let typed = |what| {
            let mut reader = Reader::new(bytes, what);
            let [kind, _, _, _] = reader.array()?;
            Ok::<_, DecodeError>((kind, reader.rest().to_vec()))
        };
        let identification = || {
            let (kind, data) = typed("an identification")?;
            Ok::<_, DecodeError>(Identification { kind, data })
        };
        let encoded = |what| {
            let mut reader = Reader::new(bytes, what);
            Ok::<_, DecodeError>((reader.u8()?, reader.rest().to_vec()))
        };
        Ok(match kind {
            payload_type::SA => Self::SecurityAssociation(Proposal::decode_all(bytes)?),
            payload_type::KE => {
                let mut reader = Reader::new(bytes, "a key exchange");
                let (method, _) = (reader.u16()?, reader.u16()?);
                Self::KeyExchange(KeyExchange { method, data: reader.rest().to_vec() })
            }
            payload_type::ID_I => Self::IdInitiator(identification()?),
            payload_type::ID_R => Self::IdResponder(identification()?),
            payload_type::CERT => {
                let (encoding, data) = encoded("a certificate")?;
                Self::Certificate(Certificate { encoding, data })
            }
            payload_type::CERTREQ => {
                let (encoding, authorities) = encoded("a certificate request")?;
                Self::CertificateRequest(CertificateRequest { encoding, authorities })
            }
            payload_type::AUTH => {
                let (method, data) = typed("an authentication")?;
                Self::Authentication { method, data }
            }
            // RFC 7296 §3.9
            payload_type::NONCE if (16..=256).contains(&bytes.len()) => Self::Nonce(bytes.to_vec()),
            payload_type::NONCE => return Err(DecodeError::Length("a nonce")),
            payload_type::NOTIFY => Self::Notify(Notify::decode(bytes)?),
            payload_type::DELETE => Self::Delete(Delete::decode(bytes)?),
            payload_type::VENDOR => Self::VendorId(bytes.to_vec()),
            payload_type::TS_I => Self::SelectorsInitiator(TrafficSelector::decode_all(bytes)?),
            payload_type::TS_R => Self::SelectorsResponder(TrafficSelector::decode_all(bytes)?),
            payload_type::CP => Self::Configuration(Configuration::decode(bytes)?),
            payload_type::SK => Self::Encrypted { first: next, body: bytes.to_vec() },
            payload_type::SKF => {
                let mut reader = Reader::new(bytes, "a fragment");
                let (number, total) = (reader.u16()?, reader.u16()?);
                if number == 0 || number > total || (number > 1 && next != 0) {
                    return Err(DecodeError::Value("the number of a fragment"));
                }
                let body = reader.rest().to_vec();
                Self::EncryptedFragment(EncryptedFragment { first: next, number, total, body })
            }
            kind => Self::Unknown { kind, length: bytes.len() },
        })
    }

    /// Encodes the body. What is unknown has none.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::SecurityAssociation(proposals) => Proposal::encode_all(proposals, out),
            Self::KeyExchange(ke) => {
                out.extend(ke.method.to_be_bytes());
                out.extend([0, 0]);
                out.extend(&ke.data);
            }
            Self::IdInitiator(id) | Self::IdResponder(id) => {
                out.extend([id.kind, 0, 0, 0]);
                out.extend(&id.data);
            }
            Self::Certificate(certificate) => {
                out.push(certificate.encoding);
                out.extend(&certificate.data);
            }
            Self::CertificateRequest(request) => {
                out.push(request.encoding);
                out.extend(&request.authorities);
            }
            Self::Authentication { method, data } => {
                out.extend([*method, 0, 0, 0]);
                out.extend(data);
            }
            Self::Nonce(data) | Self::VendorId(data) => out.extend(data),
            Self::Notify(notify) => notify.encode(out),
            Self::Delete(delete) => delete.encode(out),
            Self::SelectorsInitiator(selectors) | Self::SelectorsResponder(selectors) => {
                TrafficSelector::encode_all(selectors, out);
            }
            Self::Configuration(configuration) => configuration.encode(out),
            Self::Encrypted { body, .. } => out.extend(body),
            Self::EncryptedFragment(fragment) => {
                out.extend(fragment.number.to_be_bytes());
                out.extend(fragment.total.to_be_bytes());
                out.extend(&fragment.body);
            }
            Self::Unknown { .. } => {}
        }
    }
}

impl Identification {
    /// The bytes that AUTH covers: the payload without its generic header (RFC 7296 §2.15).
    pub fn body(&self) -> Vec<u8> {
        let mut body = vec![self.kind, 0, 0, 0];
        body.extend(&self.data);
        body
    }
}

impl Delete {
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes, "a delete payload");
        let [protocol, spi_len] = reader.array()?;
        let count = usize::from(reader.u16()?);
        match protocol {
            super::protocol::IKE if spi_len == 0 && count == 0 => {
                reader.end()?;
                Ok(Self::Ike)
            }
            super::protocol::ESP if spi_len == 4 => {
                if count > MAX_DELETED {
                    return Err(DecodeError::TooMany("SPIs of a delete payload"));
                }
                let spis = (0..count).map(|_| reader.u32()).collect::<Result<_, _>>()?;
                reader.end()?;
                Ok(Self::Esp(spis))
            }
            super::protocol::IKE | super::protocol::ESP => {
                Err(DecodeError::Length("a delete payload"))
            }
            other => Ok(Self::Other(other)),
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Ike => out.extend([super::protocol::IKE, 0, 0, 0]),
            Self::Esp(spis) => {
                out.extend([super::protocol::ESP, 4]);
                out.extend((spis.len() as u16).to_be_bytes());
                spis.iter().for_each(|spi| out.extend(spi.to_be_bytes()));
            }
            Self::Other(protocol) => out.extend([*protocol, 0, 0, 0]),
        }
    }
}
