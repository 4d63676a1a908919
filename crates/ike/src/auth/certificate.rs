//! X.509 certificates as IKE looks at them (RFC 4945 §5): whose, for which names, with which key.
//!
//! `x509-cert` decodes; whether a certificate is to be trusted is [`Trust`](super::Trust)'s business.

use std::{fmt, sync::Arc};

use aws_lc_rs::digest;
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use x509_cert::{
    Version,
    der::{Decode as _, Encode as _},
    ext::pkix::{BasicConstraints, KeyUsage, SubjectAltName, name::GeneralName},
};

use super::{DistinguishedName, Identity, identity::is_name, public_key::PublicKey};

/// The encoding of certificates in payloads: X.509, to be signed with (RFC 7296 §3.6).
pub const ENCODING_X509_SIGNATURE: u8 = 4;

/// The largest certificate we take, in bytes.
pub const MAX_CERTIFICATE: usize = 16 * 1024;

/// The largest file of certificates we take, in bytes.
const MAX_FILE: usize = 4 * 1024 * 1024;

/// Names of a certificate that we look at.
const MAX_NAMES: usize = 64;

/// A certificate. It need not be trusted. Clones share it.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate(Arc<Inner>);

#[derive(PartialEq, Eq)]
struct Inner {
    der: CertificateDer<'static>,
    subject: DistinguishedName,
    issuer: DistinguishedName,
    serial: String,
    not_before: u64,
    not_after: u64,
    names: Vec<Identity>,
    version_3: bool,
    authority: bool,
    may_sign: bool,
    key: PublicKey,
    key_hash: [u8; 20],
}

/// Bytes are no certificate that we can use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// It is larger than 16 KiB.
    #[error("the certificate has {0} bytes; at most 16384 are taken")]
    TooLarge(usize),
    /// It is not an X.509 certificate in DER, or breaks its rules.
    #[error("the certificate is malformed ({0})")]
    Malformed(String),
    /// The key is of a kind we do not use.
    #[error(
        "the key of certificate {0} is of a kind that is not supported; RSA with 2048 to 8192 bits, \
         ECDSA P-256, P-384 and P-521, and Ed25519 are"
    )]
    Key(String),
}

/// A file holds no certificates that we can use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateFileError {
    /// It is larger than 4 MiB.
    #[error("the file is larger than 4 MiB, so it is no file of certificates")]
    TooLarge,
    /// There is no certificate in it.
    #[error(
        "there is no certificate; a PEM file was expected, with a line -----BEGIN CERTIFICATE-----"
    )]
    NoCertificate,
    /// The PEM encoding is damaged.
    #[error("the PEM encoding of certificate {0} of the file is damaged")]
    Damaged(usize),
    /// One of them cannot be used.
    #[error("certificate {0} of the file: {1}")]
    Certificate(usize, CertificateError),
}

/// A certificate does not say an identity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("certificate {certificate} is not for {identity}, but for {}", list(.names))]
pub struct NameMismatch {
    /// Whose it is.
    pub certificate: String,
    /// Who it should be for.
    pub identity: String,
    /// Who it is for.
    pub names: Vec<String>,
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "nobody by name".to_owned() } else { names.join(", ") }
}

impl Certificate {
    /// From DER.
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        if der.len() > MAX_CERTIFICATE {
            return Err(CertificateError::TooLarge(der.len()));
        }
        let malformed =
            |error: x509_cert::der::Error| CertificateError::Malformed(error.to_string());
        let certificate = x509_cert::Certificate::from_der(der).map_err(malformed)?;
        let tbs = certificate.tbs_certificate();
        let name = |name: &x509_cert::name::Name| {
            let der = name.to_der().map_err(malformed)?;
            let none = || CertificateError::Malformed("a name that is none".to_owned());
            DistinguishedName::from_der(&der).ok_or_else(none)
        };
        let (subject, issuer) = (name(tbs.subject())?, name(tbs.issuer())?);
        let extension = |error| CertificateError::Malformed(format!("an extension: {error}"));
        let usage = tbs.get_extension::<KeyUsage>().map_err(extension)?;
        let basic = tbs.get_extension::<BasicConstraints>().map_err(extension)?;
        let alternative = tbs.get_extension::<SubjectAltName>().map_err(extension)?;
        let alternative = alternative.map_or(Vec::new(), |(_, names)| names.0);
        let mut names: Vec<_> = alternative.iter().filter_map(identity).take(MAX_NAMES).collect();
        if !subject.is_empty() {
            names.push(Identity::Dn(subject.clone()));
        }
        let spki = tbs.subject_public_key_info().to_der().map_err(malformed)?;
        let serial: String =
            tbs.serial_number().as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let whose = if subject.is_empty() { serial.clone() } else { subject.to_string() };
        let key = PublicKey::from_spki(&spki).ok_or(CertificateError::Key(whose))?;
        let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &spki);
        let validity = tbs.validity();
        Ok(Self(Arc::new(Inner {
            der: CertificateDer::from(der.to_vec()),
            subject,
            issuer,
            serial,
            not_before: validity.not_before.to_unix_duration().as_secs(),
            not_after: validity.not_after.to_unix_duration().as_secs(),
            names,
            version_3: tbs.version() == Version::V3,
            authority: basic.is_some_and(|(_, basic)| basic.ca),
            may_sign: usage.is_none_or(|(_, u)| u.digital_signature() || u.non_repudiation()),
            key,
            key_hash: hash.as_ref().try_into().expect("invariant: SHA-1 has 20 bytes"),
        })))
    }

    /// Every certificate of a PEM file, at least one.
    pub fn all_from_pem(text: &[u8]) -> Result<Vec<Self>, CertificateFileError> {
        if text.len() > MAX_FILE {
            return Err(CertificateFileError::TooLarge);
        }
        let mut certificates = Vec::new();
        for (i, der) in CertificateDer::pem_slice_iter(text).enumerate() {
            let der = der.map_err(|_| CertificateFileError::Damaged(i + 1))?;
            let one = Self::from_der(&der);
            certificates.push(one.map_err(|e| CertificateFileError::Certificate(i + 1, e))?);
        }
        if certificates.is_empty() {
            return Err(CertificateFileError::NoCertificate);
        }
        Ok(certificates)
    }

    /// The DER encoding.
    pub fn der(&self) -> &[u8] {
        &self.0.der
    }

    /// Whose it is.
    pub fn subject(&self) -> &DistinguishedName {
        &self.0.subject
    }

    /// Who issued it.
    pub fn issuer(&self) -> &DistinguishedName {
        &self.0.issuer
    }

    /// The serial number in hexadecimal digits.
    pub fn serial(&self) -> &str {
        &self.0.serial
    }

    /// From when it is valid, in seconds of Unix time.
    pub fn not_before(&self) -> u64 {
        self.0.not_before
    }

    /// Until when it is valid, in seconds of Unix time, that second included.
    pub fn not_after(&self) -> u64 {
        self.0.not_after
    }

    /// Whether it is one of a certification authority.
    pub fn is_authority(&self) -> bool {
        self.0.authority
    }

    /// Whether its key may sign AUTH payloads: it says so, or says nothing (RFC 4945 §5.1.3.2).
    pub fn may_sign(&self) -> bool {
        self.0.may_sign
    }

    /// SHA-1 of its SubjectPublicKeyInfo, as certificate requests have it (RFC 7296 §3.7).
    pub fn key_hash(&self) -> &[u8; 20] {
        &self.0.key_hash
    }

    /// Whether it says this identity: an address, domain name or mail address among its alternative
    /// names, or its subject (RFC 4945 §3.1). The common name of the subject is no domain name, and
    /// a `*` in a certificate is no wildcard. Key IDs are in no certificate.
    pub fn certifies(&self, identity: &Identity) -> Result<(), NameMismatch> {
        if self.0.names.contains(identity) {
            return Ok(());
        }
        Err(NameMismatch {
            certificate: self.name(),
            identity: identity.to_string(),
            names: self.0.names.iter().map(Identity::to_string).collect(),
        })
    }

    /// What people call it: its subject, else a name, else its serial number.
    pub fn name(&self) -> String {
        match self.0.names.first() {
            _ if !self.0.subject.is_empty() => self.0.subject.to_string(),
            Some(name) => name.to_string(),
            None => format!("serial {}", self.0.serial),
        }
    }

    pub(super) fn is_version_3(&self) -> bool {
        self.0.version_3
    }

    pub(super) fn first_name(&self) -> Option<&Identity> {
        self.0.names.first()
    }

    pub(super) fn public_key(&self) -> &PublicKey {
        &self.0.key
    }

    pub(super) fn as_der(&self) -> &CertificateDer<'static> {
        &self.0.der
    }
}

/// An alternative name as an identity. `None` for what IKE has no identities of, for names with
/// characters no identity has, and for directory names: the identity is the subject (RFC 4945 §3.1.5).
fn identity(name: &GeneralName) -> Option<Identity> {
    let text = |text: &str| is_name(text).then(|| text.to_owned());
    match name {
        GeneralName::DnsName(name) => text(name.as_str()).map(Identity::Fqdn),
        GeneralName::Rfc822Name(name) => text(name.as_str()).map(Identity::Email),
        GeneralName::IpAddress(address) => {
            let bytes = address.as_bytes();
            let v4 = <[u8; 4]>::try_from(bytes).ok().map(|bytes| Identity::Ipv4(bytes.into()));
            v4.or_else(|| <[u8; 16]>::try_from(bytes).ok().map(|b| Identity::Ipv6(b.into())))
        }
        GeneralName::OtherName(_)
        | GeneralName::DirectoryName(_)
        | GeneralName::EdiPartyName(_)
        | GeneralName::UniformResourceIdentifier(_)
        | GeneralName::RegisteredId(_) => None,
    }
}

/// Says whose it is.
impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({})", self.name())
    }
}
