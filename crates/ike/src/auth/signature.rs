//! Signatures in AUTH payloads: the methods (RFC 7296 §3.8, RFC 4754, RFC 7427, RFC 8420), hashes
//! both sides know, and AlgorithmIdentifiers.
//!
//! Methods 9, 10 and 11 have the two numbers of an ECDSA signature side by side; method 14 has them
//! in DER. Method 1 does not say its hash: it should be SHA-1, and whether that is taken is the
//! caller's decision.

use std::fmt;

use x509_cert::{
    der::{
        Decode as _, Reader as _, SliceReader, Tag, TagNumber, Tagged as _,
        asn1::{AnyRef, ContextSpecific, ObjectIdentifier},
    },
    spki::AlgorithmIdentifierRef,
};

use super::{Certificate, public_key::KeyKind};

/// RSA with PKCS#1 v1.5 (RFC 7296 §3.8).
pub const METHOD_RSA: u8 = 1;
/// ECDSA with SHA-256 on P-256 (RFC 4754).
pub const METHOD_ECDSA_256: u8 = 9;
/// ECDSA with SHA-384 on P-384.
pub const METHOD_ECDSA_384: u8 = 10;
/// ECDSA with SHA-512 on P-521.
pub const METHOD_ECDSA_521: u8 = 11;
/// Digital signature: the payload says which (RFC 7427).
pub const METHOD_DIGITAL_SIGNATURE: u8 = 14;

/// A hash function by its number in SIGNATURE_HASH_ALGORITHMS (RFC 7427 §7, RFC 8420 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hash {
    /// SHA-1: verified only where somebody asked for it, never signed with.
    Sha1 = 1,
    /// SHA-256.
    Sha256 = 2,
    /// SHA-384.
    Sha384 = 3,
    /// SHA-512.
    Sha512 = 4,
    /// None: the signature algorithm sees to it. Ed25519.
    Identity = 5,
}

impl Hash {
    /// The name people know it by.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "SHA-1",
            Self::Sha256 => "SHA-256",
            Self::Sha384 => "SHA-384",
            Self::Sha512 => "SHA-512",
            Self::Identity => "no hash",
        }
    }
}

/// Hashes a side can verify signatures with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashAlgorithms(u8);

impl HashAlgorithms {
    /// Those we take from peers and say so.
    pub const OURS: [Hash; 4] = [Hash::Sha256, Hash::Sha384, Hash::Sha512, Hash::Identity];

    /// From the data of a peer's notification. Numbers we do not know are left out.
    pub fn from_notification(data: &[u8]) -> Self {
        let known = |pair: &[u8; 2]| {
            let number = u16::from_be_bytes(*pair);
            let hash = Self::OURS.into_iter().find(|hash| *hash as u16 == number);
            hash.map_or(0, |hash| 1 << hash as u8)
        };
        Self(data.as_chunks().0.iter().map(known).fold(0, |all, bit| all | bit))
    }

    /// The data of our notification.
    pub fn notification() -> Vec<u8> {
        Self::OURS.iter().flat_map(|hash| (*hash as u16).to_be_bytes()).collect()
    }

    /// Whether `hash` is among them.
    pub const fn contains(self, hash: Hash) -> bool {
        self.0 & 1 << hash as u8 != 0
    }
}

/// How a signature is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// RSASSA-PKCS1-v1_5.
    RsaPkcs1(Hash),
    /// RSASSA-PSS, with a salt as long as the hash and MGF1 of the same hash.
    RsaPss(Hash),
    /// ECDSA, in DER.
    Ecdsa(Hash),
    /// ECDSA, two numbers side by side, with the hash of the curve (RFC 4754).
    EcdsaFixed,
    /// Ed25519.
    Ed25519,
}

/// What a peer's AUTH payload was found to be signed with, or how ours is.
impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RsaPkcs1(hash) => write!(f, "RSA PKCS#1 v1.5 with {}", hash.name()),
            Self::RsaPss(hash) => write!(f, "RSA PSS with {}", hash.name()),
            Self::Ecdsa(hash) => write!(f, "ECDSA with {}", hash.name()),
            Self::EcdsaFixed => f.write_str("ECDSA"),
            Self::Ed25519 => f.write_str("Ed25519"),
        }
    }
}

/// A peer's signature was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureRefusal {
    /// The method is none of ours.
    #[error("authentication method {0} is not supported")]
    Method(u8),
    /// The AUTH payload is no signature with an AlgorithmIdentifier (RFC 7427 §3).
    #[error("the AUTH payload does not begin with an AlgorithmIdentifier")]
    Malformed,
    /// The AlgorithmIdentifier is none we know: in hexadecimal digits.
    #[error("the signature algorithm {0} is not supported")]
    Algorithm(String),
    /// SHA-1, and nobody allowed it.
    #[error("the signature uses SHA-1, which is not allowed")]
    Sha1,
    /// The certificate has a key of another kind.
    #[error("{scheme} needs another key than the {key} key of certificate {certificate}")]
    Key {
        /// What the signature is.
        scheme: Scheme,
        /// Kind of the key.
        key: KeyKind,
        /// Whose it is.
        certificate: String,
    },
    /// The signature is wrong.
    #[error(
        "the signature ({scheme}) does not fit certificate {certificate}: \
             the peer does not have its key, or has not signed this exchange"
    )]
    Wrong {
        /// What the signature is.
        scheme: Scheme,
        /// Subject of the certificate.
        certificate: String,
    },
}

/// Verifies an AUTH payload over `octets` with the key of a certificate that was verified before.
/// `allow_sha1` lets method 1 use SHA-1.
pub fn verify(
    certificate: &Certificate,
    method: u8,
    data: &[u8],
    octets: &[u8],
    allow_sha1: bool,
) -> Result<Scheme, SignatureRefusal> {
    let key = certificate.public_key();
    let named = || certificate.name();
    let unfit = |scheme| SignatureRefusal::Key { scheme, key: key.kind, certificate: named() };
    let (scheme, signature) = match method {
        METHOD_RSA => {
            let strong = [Hash::Sha256, Hash::Sha384, Hash::Sha512].map(Scheme::RsaPkcs1);
            for scheme in strong {
                if key.verify(scheme, octets, data).ok_or_else(|| unfit(scheme))? {
                    return Ok(scheme);
                }
            }
            (Scheme::RsaPkcs1(Hash::Sha1), data)
        }
        METHOD_ECDSA_256 | METHOD_ECDSA_384 | METHOD_ECDSA_521 => {
            let wanted = match method {
                METHOD_ECDSA_256 => KeyKind::EcdsaP256,
                METHOD_ECDSA_384 => KeyKind::EcdsaP384,
                _ => KeyKind::EcdsaP521,
            };
            if key.kind != wanted {
                return Err(unfit(Scheme::EcdsaFixed));
            }
            (Scheme::EcdsaFixed, data)
        }
        METHOD_DIGITAL_SIGNATURE => {
            let (len, rest) = data.split_first().ok_or(SignatureRefusal::Malformed)?;
            let (identifier, signature) =
                rest.split_at_checked((*len).into()).ok_or(SignatureRefusal::Malformed)?;
            (Scheme::from_identifier(identifier)?, signature)
        }
        other => return Err(SignatureRefusal::Method(other)),
    };
    let right = key.verify(scheme, octets, signature).ok_or_else(|| unfit(scheme))?;
    match (right, scheme) {
        (false, _) => Err(SignatureRefusal::Wrong { scheme, certificate: named() }),
        (true, Scheme::RsaPkcs1(Hash::Sha1)) if !allow_sha1 => Err(SignatureRefusal::Sha1),
        (true, _) => Ok(scheme),
    }
}

const SHA_256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const SHA_384: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");
const SHA_512: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3");
const MGF1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.8");
const RSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");

/// What has no parameters, or NULL for RSA (RFC 7427 appendix A).
const PLAIN: [(Scheme, ObjectIdentifier); 8] = {
    use Hash::{Sha1, Sha256, Sha384, Sha512};
    const fn oid(text: &str) -> ObjectIdentifier {
        ObjectIdentifier::new_unwrap(text)
    }
    [
        (Scheme::RsaPkcs1(Sha256), oid("1.2.840.113549.1.1.11")),
        (Scheme::RsaPkcs1(Sha384), oid("1.2.840.113549.1.1.12")),
        (Scheme::RsaPkcs1(Sha512), oid("1.2.840.113549.1.1.13")),
        (Scheme::Ecdsa(Sha256), oid("1.2.840.10045.4.3.2")),
        (Scheme::Ecdsa(Sha384), oid("1.2.840.10045.4.3.3")),
        (Scheme::Ecdsa(Sha512), oid("1.2.840.10045.4.3.4")),
        (Scheme::Ed25519, oid("1.3.101.112")),
        (Scheme::RsaPkcs1(Sha1), oid("1.2.840.113549.1.1.5")),
    ]
};

impl Scheme {
    /// The AlgorithmIdentifier of method 14, in DER (RFC 7427 appendix A). `None` for what method 14
    /// does not have.
    pub(super) fn identifier(self) -> Option<Vec<u8>> {
        let sequence = |parts: &[&[u8]]| {
            let content = parts.concat();
            [&[0x30, content.len() as u8][..], &content].concat()
        };
        let oid =
            |oid: ObjectIdentifier| [&[6, oid.as_bytes().len() as u8], oid.as_bytes()].concat();
        const NULL: [u8; 2] = [5, 0];
        if let Self::RsaPss(hash) = self {
            let (hash, len) = match hash {
                Hash::Sha256 => (SHA_256, 32),
                Hash::Sha384 => (SHA_384, 48),
                Hash::Sha512 => (SHA_512, 64),
                Hash::Sha1 | Hash::Identity => return None,
            };
            let hash = sequence(&[&oid(hash), &NULL]);
            let mgf = sequence(&[&oid(MGF1), &hash]);
            let parameters = sequence(&[
                &[0xa0, hash.len() as u8],
                &hash,
                &[0xa1, mgf.len() as u8],
                &mgf,
                &[0xa2, 3, 2, 1, len],
            ]);
            return Some(sequence(&[&oid(RSA_PSS), &parameters]));
        }
        let (_, id) = PLAIN.iter().find(|(scheme, _)| *scheme == self)?;
        let parameters: &[u8] = if matches!(self, Self::RsaPkcs1(_)) { &NULL } else { &[] };
        Some(sequence(&[&oid(*id), parameters]))
    }

    /// From an AlgorithmIdentifier in DER. Absent parameters may be NULL and NULL ones absent, as
    /// both are seen.
    fn from_identifier(der: &[u8]) -> Result<Self, SignatureRefusal> {
        let identifier =
            AlgorithmIdentifierRef::from_der(der).map_err(|_| SignatureRefusal::Malformed)?;
        let unknown = || {
            let digits = der.iter().take(80).map(|byte| format!("{byte:02x}")).collect();
            SignatureRefusal::Algorithm(digits)
        };
        if identifier.oid == RSA_PSS {
            let parameters = identifier.parameters.ok_or_else(unknown)?;
            return pss(parameters).map(Self::RsaPss).ok_or_else(unknown);
        }
        let found = PLAIN.iter().find(|(_, id)| *id == identifier.oid && plain(&identifier));
        match found {
            Some((Self::RsaPkcs1(Hash::Sha1), _)) => Err(SignatureRefusal::Sha1),
            Some((scheme, _)) => Ok(*scheme),
            None => Err(unknown()),
        }
    }
}

fn plain(identifier: &AlgorithmIdentifierRef<'_>) -> bool {
    identifier.parameters.is_none_or(|parameters| parameters.is_null())
}

/// The hash of RSASSA-PSS-params (RFC 4055 §3.1) that are those of [`Scheme::RsaPss`]. What is left
/// out there means SHA-1.
fn pss(parameters: AnyRef<'_>) -> Option<Hash> {
    (parameters.tag() == Tag::Sequence).then_some(())?;
    let mut reader = SliceReader::new(parameters.value()).ok()?;
    // what is there and cannot be read is not the same as what is not there
    let mut field = |number| {
        let field = ContextSpecific::<AnyRef<'_>>::decode_explicit(&mut reader, TagNumber(number));
        field.ok().map(|field| field.map(|field| field.value))
    };
    let (hash, mgf, salt) = (field(0)??, field(1)??, field(2)??);
    let trailer = field(3)?;
    let hash: AlgorithmIdentifierRef<'_> = hash.decode_as().ok()?;
    let mgf: AlgorithmIdentifierRef<'_> = mgf.decode_as().ok()?;
    let mgf_hash: AlgorithmIdentifierRef<'_> = mgf.parameters?.decode_as().ok()?;
    let (found, len) = match hash.oid {
        SHA_256 => (Hash::Sha256, 32),
        SHA_384 => (Hash::Sha384, 48),
        SHA_512 => (Hash::Sha512, 64),
        _ => return None,
    };
    let right = mgf.oid == MGF1
        && mgf_hash.oid == hash.oid
        && plain(&hash)
        && plain(&mgf_hash)
        && salt.decode_as::<u8>().ok()? == len
        && trailer.is_none_or(|trailer| trailer.decode_as::<u8>() == Ok(1))
        && reader.is_finished();
    right.then_some(found)
}
