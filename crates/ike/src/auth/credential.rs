//! What we prove ourselves with: a certificate, those on the way to its authority, the private key.

use super::{
    Certificate, CertificateFileError, ENCODING_X509_SIGNATURE, Identity, KeyFileError, PrivateKey,
    Trust,
};
use crate::message;

/// The most certificates of a chain that are sent or taken.
pub const MAX_CHAIN: usize = 8;

/// A certificate of ours with its chain and its private key.
#[derive(Clone, Debug)]
pub struct Credential {
    chain: Vec<Certificate>,
    key: PrivateKey,
}

/// The key belongs to the certificate, so the certificates tell.
impl PartialEq for Credential {
    fn eq(&self, other: &Self) -> bool {
        self.chain == other.chain
    }
}

impl Eq for Credential {}

/// Files do not make a credential.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// The file of certificates.
    #[error(transparent)]
    Certificate(#[from] CertificateFileError),
    /// The file of the private key.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// The private key belongs to another certificate.
    #[error("the private key does not belong to certificate {0}, the first of its file")]
    Mismatch(String),
    /// More certificates than peers would take.
    #[error(
        "the file has {0} certificates; at most 8 are sent: ours first, then those that lead to its authority"
    )]
    TooMany(usize),
    /// Peers would not take signatures of it.
    #[error(
        "the key usage of certificate {0} does not allow signatures, so no peer would accept them (RFC 4945 §5.1.3.2)"
    )]
    NotForSignatures(String),
}

impl Credential {
    /// From PEM files: ours and those that lead to its authority, and the private key.
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Self, CredentialError> {
        let chain = Certificate::all_from_pem(certificates)?;
        let key = PrivateKey::from_pem(key)?;
        let own = &chain[0];
        if chain.len() > MAX_CHAIN {
            return Err(CredentialError::TooMany(chain.len()));
        }
        if *own.public_key() != key.public_key() {
            return Err(CredentialError::Mismatch(own.name()));
        }
        if !own.may_sign() {
            return Err(CredentialError::NotForSignatures(own.name()));
        }
        Ok(Self { chain, key })
    }

    /// Our certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.chain[0]
    }

    /// The private key.
    pub fn key(&self) -> &PrivateKey {
        &self.key
    }

    /// Who we are when nobody says otherwise: the subject, or if there is none the first name.
    pub fn identity(&self) -> Option<Identity> {
        let own = self.certificate();
        let subject = (!own.subject().is_empty()).then(|| Identity::Dn(own.subject().clone()));
        subject.or_else(|| own.first_name().cloned())
    }

    /// Whether it leads to an authority whose key has one of these hashes (RFC 7296 §3.7): one whose
    /// certificate is in the chain, or one of `known` that issued one of the chain.
    pub fn leads_to(&self, hashes: &[[u8; 20]], known: Option<&Trust>) -> bool {
        let issuers = known.into_iter().flat_map(Trust::authorities).filter(|authority| {
            self.chain.iter().any(|certificate| certificate.issuer() == authority.subject())
        });
        self.chain.iter().skip(1).chain(issuers).any(|issuer| hashes.contains(issuer.key_hash()))
    }

    /// The payloads to send, ours first (RFC 7296 §3.6).
    pub fn payloads(&self) -> Vec<message::Certificate> {
        let payload = |certificate: &Certificate| message::Certificate {
            encoding: ENCODING_X509_SIGNATURE,
            data: certificate.der().to_vec(),
        };
        self.chain.iter().map(payload).collect()
    }
}
