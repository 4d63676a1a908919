//! Private keys: from PEM, and signing with them.
//!
//! Signing is slow, with RSA most of all; a key may be used on any thread. `aws-lc-rs` draws the
//! randomness of ECDSA and RSA PSS from the operating system.

use std::{fmt, sync::Arc};

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::KeyPair as RsaKeyPair,
    signature::{
        self as sig, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RsaEncoding,
    },
};
use rustls_pki_types::{PrivateKeyDer, pem::PemObject as _};
use zeroize::Zeroize as _;

use super::{
    public_key::{KeyKind, PublicKey},
    signature::{
        Hash, HashAlgorithms, METHOD_DIGITAL_SIGNATURE, METHOD_ECDSA_256, METHOD_ECDSA_384,
        METHOD_ECDSA_521, Scheme,
    },
};

/// The largest file we take, in bytes.
const MAX_FILE: usize = 64 * 1024;

/// A private key. Clones share it.
#[derive(Clone)]
pub struct PrivateKey(Arc<Inner>);

enum Inner {
    Rsa(RsaKeyPair),
    /// One for signatures in DER, one for numbers side by side.
    Ecdsa {
        kind: KeyKind,
        der: EcdsaKeyPair,
        fixed: EcdsaKeyPair,
    },
    Ed25519(Ed25519KeyPair),
}

/// A file holds no private key that we can use. Says nothing of what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFileError {
    /// Nothing of the file begins like a private key.
    #[error(
        "there is no private key; a PEM file was expected, with a line \
         -----BEGIN PRIVATE KEY-----, -----BEGIN RSA PRIVATE KEY----- or -----BEGIN EC PRIVATE KEY-----"
    )]
    NoKey,
    /// The key is encrypted.
    #[error(
        "the private key is encrypted; a gateway has nobody to ask for a passphrase: \
         decrypt it with `openssl pkey -in FILE -out FILE` and protect the file by its permissions"
    )]
    Encrypted,
    /// The PEM or DER encoding is damaged.
    #[error("the private key is damaged")]
    Damaged,
    /// The key is of a kind we do not use.
    #[error(
        "the private key is of a kind that is not supported; RSA with 2048 to 8192 bits, \
         ECDSA P-256, P-384 and P-521, and Ed25519 are"
    )]
    Kind,
    /// The file is larger than any key.
    #[error("the file is larger than 64 KiB, so it is no private key")]
    TooLarge,
}

/// How RSA signatures are padded when the peer leaves us the choice (RFC 7427).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RsaPadding {
    /// PKCS#1 v1.5, which every implementation of RFC 7427 has.
    #[default]
    Pkcs1,
    /// PSS, as RFC 8247 §3.2.1 prefers.
    Pss,
}

/// We cannot sign so that the peer could verify it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The peer does not speak RFC 7427, and without it the key has no method we would use.
    #[error(
        "the peer does not support digital signatures of RFC 7427, without which {0} keys cannot be used"
    )]
    NoMethod(KeyKind),
    /// The peer has none of the hashes.
    #[error("the peer cannot verify signatures of {0} keys: it knows none of the hashes")]
    NoHash(KeyKind),
    /// The library did not sign.
    #[error("signing failed")]
    Failed,
}

/// An AUTH payload's method and data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// Method (RFC 7296 §3.8).
    pub method: u8,
    /// Data.
    pub data: Vec<u8>,
}

impl PrivateKey {
    /// The first private key of a PEM file: PKCS#8, PKCS#1 or SEC 1.
    pub fn from_pem(text: &[u8]) -> Result<Self, KeyFileError> {
        if text.len() > MAX_FILE {
            return Err(KeyFileError::TooLarge);
        }
        let has = |what: &str| text.windows(what.len()).any(|w| w == what.as_bytes());
        if has("-----BEGIN ENCRYPTED PRIVATE KEY-----") || has("Proc-Type: 4,ENCRYPTED") {
            return Err(KeyFileError::Encrypted);
        }
        match PrivateKeyDer::from_pem_slice(text) {
            Ok(mut der) => {
                let key = Self::from_der(&der);
                der.zeroize();
                key
            }
            Err(rustls_pki_types::pem::Error::NoItemsFound) => Err(KeyFileError::NoKey),
            Err(_) => Err(KeyFileError::Damaged),
        }
    }

    fn from_der(der: &PrivateKeyDer<'_>) -> Result<Self, KeyFileError> {
        let ecdsa = |kind, der_algorithm, fixed_algorithm| {
            let load = |algorithm: &'static EcdsaSigningAlgorithm| match der {
                PrivateKeyDer::Sec1(key) => {
                    EcdsaKeyPair::from_private_key_der(algorithm, key.secret_sec1_der())
                }
                PrivateKeyDer::Pkcs8(key) => {
                    EcdsaKeyPair::from_pkcs8(algorithm, key.secret_pkcs8_der())
                }
                _ => EcdsaKeyPair::from_pkcs8(algorithm, &[]),
            };
            let (der, fixed) = (load(der_algorithm).ok()?, load(fixed_algorithm).ok()?);
            Some(Inner::Ecdsa { kind, der, fixed })
        };
        let p_256 = || {
            let (der, fixed) =
                (&sig::ECDSA_P256_SHA256_ASN1_SIGNING, &sig::ECDSA_P256_SHA256_FIXED_SIGNING);
            ecdsa(KeyKind::EcdsaP256, der, fixed)
        };
        let p_384 = || {
            let (der, fixed) =
                (&sig::ECDSA_P384_SHA384_ASN1_SIGNING, &sig::ECDSA_P384_SHA384_FIXED_SIGNING);
            ecdsa(KeyKind::EcdsaP384, der, fixed)
        };
        let p_521 = || {
            let (der, fixed) =
                (&sig::ECDSA_P521_SHA512_ASN1_SIGNING, &sig::ECDSA_P521_SHA512_FIXED_SIGNING);
            ecdsa(KeyKind::EcdsaP521, der, fixed)
        };
        let inner = match der {
            PrivateKeyDer::Pkcs1(key) => {
                RsaKeyPair::from_der(key.secret_pkcs1_der()).ok().map(Inner::Rsa)
            }
            PrivateKeyDer::Sec1(_) => p_256().or_else(p_384).or_else(p_521),
            PrivateKeyDer::Pkcs8(key) => {
                let key = key.secret_pkcs8_der();
                let rsa = RsaKeyPair::from_pkcs8(key).ok().map(Inner::Rsa);
                let ed =
                    || Ed25519KeyPair::from_pkcs8_maybe_unchecked(key).ok().map(Inner::Ed25519);
                rsa.or_else(p_256).or_else(p_384).or_else(p_521).or_else(ed)
            }
            _ => None,
        };
        let inner = inner.ok_or(KeyFileError::Kind)?;
        let small = matches!(&inner, Inner::Rsa(key) if key.public_modulus_len() < 256);
        if small { Err(KeyFileError::Kind) } else { Ok(Self(Arc::new(inner))) }
    }

    /// What kind of key it is.
    pub fn kind(&self) -> KeyKind {
        match &*self.0 {
            Inner::Rsa(_) => KeyKind::Rsa,
            Inner::Ecdsa { kind, .. } => *kind,
            Inner::Ed25519(_) => KeyKind::Ed25519,
        }
    }

    pub(super) fn public_key(&self) -> PublicKey {
        let bits = match &*self.0 {
            Inner::Rsa(key) => key.public_key().as_ref().to_vec(),
            Inner::Ecdsa { der, .. } => der.public_key().as_ref().to_vec(),
            Inner::Ed25519(key) => key.public_key().as_ref().to_vec(),
        };
        PublicKey { kind: self.kind(), bits }
    }

    /// Chooses how to sign. `hashes` are those of the peer's SIGNATURE_HASH_ALGORITHMS; `None` when
    /// it sent no such notification, so does not speak RFC 7427.
    pub fn choose(
        &self,
        hashes: Option<HashAlgorithms>,
        padding: RsaPadding,
    ) -> Result<Scheme, SignError> {
        let kind = self.kind();
        let Some(hashes) = hashes else {
            return match kind {
                KeyKind::EcdsaP256 | KeyKind::EcdsaP384 | KeyKind::EcdsaP521 => {
                    Ok(Scheme::EcdsaFixed)
                }
                KeyKind::Rsa | KeyKind::Ed25519 => Err(SignError::NoMethod(kind)),
            };
        };
        let rsa = match padding {
            RsaPadding::Pkcs1 => Scheme::RsaPkcs1,
            RsaPadding::Pss => Scheme::RsaPss,
        };
        // the hash as strong as the key
        let schemes: &[(Hash, Scheme)] = match kind {
            KeyKind::Rsa => &[
                (Hash::Sha256, rsa(Hash::Sha256)),
                (Hash::Sha384, rsa(Hash::Sha384)),
                (Hash::Sha512, rsa(Hash::Sha512)),
            ],
            KeyKind::EcdsaP256 => &[(Hash::Sha256, Scheme::Ecdsa(Hash::Sha256))],
            KeyKind::EcdsaP384 => &[(Hash::Sha384, Scheme::Ecdsa(Hash::Sha384))],
            KeyKind::EcdsaP521 => &[(Hash::Sha512, Scheme::Ecdsa(Hash::Sha512))],
            KeyKind::Ed25519 => &[(Hash::Identity, Scheme::Ed25519)],
        };
        let found = schemes.iter().find(|(hash, _)| hashes.contains(*hash));
        found.map(|(_, scheme)| *scheme).ok_or(SignError::NoHash(kind))
    }

    /// Signs `octets` as chosen by [`Self::choose`] of this key. Slow.
    pub fn sign(&self, scheme: Scheme, octets: &[u8]) -> Result<Proof, SignError> {
        let signature = match (&*self.0, scheme) {
            (Inner::Rsa(key), Scheme::RsaPkcs1(hash) | Scheme::RsaPss(hash)) => {
                let pss = matches!(scheme, Scheme::RsaPss(_));
                let encoding: &'static dyn RsaEncoding = match (hash, pss) {
                    (Hash::Sha256, false) => &sig::RSA_PKCS1_SHA256,
                    (Hash::Sha384, false) => &sig::RSA_PKCS1_SHA384,
                    (Hash::Sha512, false) => &sig::RSA_PKCS1_SHA512,
                    (Hash::Sha256, true) => &sig::RSA_PSS_SHA256,
                    (Hash::Sha384, true) => &sig::RSA_PSS_SHA384,
                    (Hash::Sha512, true) => &sig::RSA_PSS_SHA512,
                    (Hash::Sha1 | Hash::Identity, _) => return Err(SignError::Failed),
                };
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(encoding, &SystemRandom::new(), octets, &mut signature)
                    .map_err(|_| SignError::Failed)?;
                signature
            }
            (Inner::Ecdsa { kind, der, .. }, Scheme::Ecdsa(hash)) if hash == hash_of(*kind) => {
                let signed = der.sign(&SystemRandom::new(), octets);
                signed.map_err(|_| SignError::Failed)?.as_ref().to_vec()
            }
            (Inner::Ecdsa { kind, fixed, .. }, Scheme::EcdsaFixed) => {
                let signed = fixed.sign(&SystemRandom::new(), octets);
                let data = signed.map_err(|_| SignError::Failed)?.as_ref().to_vec();
                let method = match kind {
                    KeyKind::EcdsaP256 => METHOD_ECDSA_256,
                    KeyKind::EcdsaP384 => METHOD_ECDSA_384,
                    _ => METHOD_ECDSA_521,
                };
                return Ok(Proof { method, data });
            }
            (Inner::Ed25519(key), Scheme::Ed25519) => key.sign(octets).as_ref().to_vec(),
            (Inner::Rsa(_) | Inner::Ecdsa { .. } | Inner::Ed25519(_), _) => {
                return Err(SignError::Failed);
            }
        };
        let identifier = scheme.identifier().ok_or(SignError::Failed)?;
        let data = [&[identifier.len() as u8], &identifier[..], &signature].concat();
        Ok(Proof { method: METHOD_DIGITAL_SIGNATURE, data })
    }
}

/// The hash that is as strong as a curve.
const fn hash_of(kind: KeyKind) -> Hash {
    match kind {
        KeyKind::EcdsaP384 => Hash::Sha384,
        KeyKind::EcdsaP521 => Hash::Sha512,
        KeyKind::Rsa | KeyKind::EcdsaP256 => Hash::Sha256,
        KeyKind::Ed25519 => Hash::Identity,
    }
}

/// Says the kind alone.
impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({})", self.kind())
    }
}
