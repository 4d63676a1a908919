//! Whom we believe: authorities, lists of revoked certificates, and whether a peer's certificate
//! leads to one of them and is for the identity the peer claims.
//!
//! `rustls-webpki` builds and checks paths (RFC 5280 §6): signatures, validity, basic and name
//! constraints, critical extensions, revocation, with budgets so that no set of certificates costs
//! more than it may. What IKE asks beyond that is here: key usage, purposes, names, and words for
//! what went wrong, with the certificate it is about.
//!
//! Limits: a certificate that is an authority's own cannot be a peer's; lists of revoked certificates
//! come from files only; certificates of issuers whose list we have are looked up, others are not.

use std::{fmt, time::Duration};

use rustls_pki_types::{
    CertificateDer, CertificateRevocationListDer, TrustAnchor, UnixTime, pem::PemObject as _,
};
use webpki::{
    CertRevocationList, EndEntityCert, Error, ExpirationPolicy, ExtendedKeyUsageValidator,
    KeyPurposeIdIter, OwnedCertRevocationList, RevocationCheckDepth, RevocationOptionsBuilder,
    UnknownStatusPolicy,
};

use x509_cert::{
    certificate::Rfc5280,
    der::{DateTime, Decode as _, Encode as _},
};

use super::{
    Certificate, CertificateError, DistinguishedName, ENCODING_X509_SIGNATURE, Identity, MAX_CHAIN,
    NameMismatch,
};
use crate::message;

/// The largest file of revoked certificates we take, in bytes.
const MAX_LIST: usize = 64 * 1024 * 1024;

/// What is wrong with a list that has no version.
const OLD_LIST: &str = "it is damaged or of version 1; version 2 is needed, which `openssl ca` makes \
                        with crl_extensions in its configuration";

/// Authorities and lists of revoked certificates.
pub struct Trust {
    authorities: Vec<(Certificate, TrustAnchor<'static>)>,
    lists: Vec<CertRevocationList<'static>>,
    about: Vec<RevocationList>,
}

/// What a list of revoked certificates says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationList {
    /// Who issued it.
    pub issuer: DistinguishedName,
    /// When it was issued, in seconds of Unix time.
    pub this_update: u64,
    /// When a new one is due, in seconds of Unix time. After that it is not believed any more.
    pub next_update: Option<u64>,
    /// How many certificates are revoked.
    pub revoked: usize,
}

/// A configured certificate cannot be that of an authority.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityError {
    /// It does not say that it is one.
    #[error(
        "certificate {0} is not one of a certification authority (its basic constraints do not say CA)"
    )]
    NotAuthority(String),
    /// It breaks rules authorities have to keep.
    #[error("certificate {0} cannot be used as that of an authority ({1})")]
    Unusable(String, String),
}

/// A file holds no list of revoked certificates that we can use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RevocationFileError {
    /// It is larger than 64 MiB.
    #[error("the file is larger than 64 MiB")]
    TooLarge,
    /// There is no list in it.
    #[error(
        "there is no certificate revocation list; a DER file was expected, or a PEM file with a line -----BEGIN X509 CRL-----"
    )]
    None,
    /// The list is damaged, or has what we do not support.
    #[error("certificate revocation list {0} of the file cannot be used ({1})")]
    Unusable(usize, String),
}

/// A peer's certificate was not accepted. Every one says which certificate it is about.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateRefusal {
    /// The peer sent none.
    #[error("the peer sent no certificate")]
    None,
    /// The peer sent more than 8.
    #[error("the peer sent {0} certificates; at most 8 are taken")]
    TooMany(usize),
    /// The first is not X.509.
    #[error("the peer's certificate has encoding {0}; only X.509 (4) is taken")]
    Encoding(u8),
    /// One of those sent is no certificate we can use.
    #[error("certificate {0} of those the peer sent: {1}")]
    Unusable(usize, CertificateError),
    /// It, one on the way to its authority, or the authority's own is not valid any more.
    #[error("certificate {certificate} expired at {}; it is {} now", utc(.not_after), utc(.now))]
    Expired {
        /// Which one.
        certificate: String,
        /// The last second it was valid, in Unix time.
        not_after: u64,
        /// Now, in Unix time.
        now: u64,
    },
    /// It is not valid yet.
    #[error("certificate {certificate} is not valid before {}; it is {} now", utc(.not_before), utc(.now))]
    NotYetValid {
        /// Which one.
        certificate: String,
        /// The first second it is valid, in Unix time.
        not_before: u64,
        /// Now, in Unix time.
        now: u64,
    },
    /// No authority of ours issued it, and no certificate on the way to one was sent.
    #[error(
        "the issuer of certificate {certificate} is neither a configured authority nor was its certificate sent: {issuer}"
    )]
    UnknownIssuer {
        /// The last one on the way.
        certificate: String,
        /// Who issued it.
        issuer: String,
    },
    /// A signature is wrong: somebody else has the name of the issuer.
    #[error(
        "certificate {certificate}, or one on the way to its authority, is not signed with the key of the issuer it names"
    )]
    Signature {
        /// The peer's.
        certificate: String,
    },
    /// A signature has an algorithm we do not take, such as SHA-1.
    #[error(
        "certificate {certificate}, or one on the way to its authority, is signed with an algorithm that is not accepted"
    )]
    Algorithm {
        /// The peer's.
        certificate: String,
    },
    /// It is in the list of its issuer.
    #[error("certificate {certificate} (serial {serial}) was revoked by {issuer}")]
    Revoked {
        /// Which one.
        certificate: String,
        /// Its serial number in hexadecimal digits.
        serial: String,
        /// Who revoked it.
        issuer: String,
    },
    /// The list that tells whether it was revoked is out of date.
    #[error(
        "the revocation list for certificate {certificate} should have been renewed at {next_update}; it is {now} now"
    )]
    ListExpired {
        /// The peer's.
        certificate: String,
        /// When a new list was due, in Unix time.
        next_update: u64,
        /// Now, in Unix time.
        now: u64,
    },
    /// The list is not signed by the issuer, or must not be used.
    #[error("the revocation list for certificate {certificate} cannot be believed ({why})")]
    List {
        /// The peer's.
        certificate: String,
        /// What is wrong.
        why: String,
    },
    /// The peer's certificate is one of an authority.
    #[error("certificate {0} is one of an authority; peers have their own")]
    IsAuthority(String),
    /// One on the way is not one of an authority.
    #[error("certificate {0} was issued by somebody who is not an authority")]
    NotAuthority(String),
    /// The way to the authority is longer than one on it allows, or than we go.
    #[error("the way from certificate {0} to its authority is too long")]
    TooLong(String),
    /// Finding a way would cost too much.
    #[error("the certificates sent with {0} are too many ways to an authority to look at")]
    TooComplex(String),
    /// The names break the constraints of an authority (RFC 5280 §4.2.1.10).
    #[error("an authority on the way must not issue certificates for the names of certificate {0}")]
    NameConstraint(String),
    /// An extension is critical and not known.
    #[error(
        "certificate {0}, or one on the way to its authority, has a critical extension that is not supported"
    )]
    CriticalExtension(String),
    /// It has no extensions: OpenSSL makes such certificates when nobody asks it for any.
    #[error(
        "certificate {0} is of X.509 version 1 or 2; version 3 is needed, so sign it with extensions \
         (openssl x509 -req … -extfile FILE)"
    )]
    Version(String),
    /// Key usage forbids signatures.
    #[error("the key usage of certificate {0} does not allow signatures")]
    NotForSignatures(String),
    /// Its extended key usage has no purpose that covers IKE.
    #[error(
        "the extended key usage of certificate {0} has none of ipsecIKE, serverAuth, clientAuth and any"
    )]
    Purpose(String),
    /// It breaks another rule of RFC 5280.
    #[error(
        "certificate {certificate}, or one on the way to its authority, breaks a rule of RFC 5280 ({rule})"
    )]
    Rule {
        /// The peer's.
        certificate: String,
        /// Which rule.
        rule: String,
    },
    /// It is for somebody else.
    #[error(transparent)]
    Name(#[from] NameMismatch),
}

impl Trust {
    /// Believes these authorities.
    pub fn new(authorities: Vec<Certificate>) -> Result<Self, AuthorityError> {
        let anchor = |certificate: Certificate| {
            if !certificate.is_authority() {
                return Err(AuthorityError::NotAuthority(certificate.name()));
            }
            let anchor = webpki::anchor_from_trusted_cert(certificate.as_der());
            let anchor = anchor.map(|anchor| anchor.to_owned()).map_err(|error| {
                AuthorityError::Unusable(certificate.name(), format!("{error:?}"))
            })?;
            Ok((certificate, anchor))
        };
        let authorities = authorities.into_iter().map(anchor).collect::<Result<_, _>>()?;
        Ok(Self { authorities, lists: Vec::new(), about: Vec::new() })
    }

    /// Adds the lists of revoked certificates of a file, PEM or DER. Who signed them is checked when
    /// they are used.
    pub fn add_revoked(&mut self, file: &[u8]) -> Result<(), RevocationFileError> {
        if file.len() > MAX_LIST {
            return Err(RevocationFileError::TooLarge);
        }
        let unusable = |i, why: String| RevocationFileError::Unusable(i + 1, why);
        let add = |i, der: &[u8]| {
            let list = OwnedCertRevocationList::from_der(der);
            let list = list.map(CertRevocationList::from).map_err(|error| {
                // the library looks for the version's field, which version 1 does not have
                let old = matches!(error, Error::UnsupportedCrlVersion | Error::BadDer);
                unusable(i, if old { OLD_LIST.to_owned() } else { format!("{error:?}") })
            })?;
            Ok((list, RevocationList::from_der(der).map_err(|error| unusable(i, error))?))
        };
        let mut lists = Vec::new();
        if file.starts_with(&[0x30]) {
            lists.push(add(0, file)?);
        } else {
            for (i, der) in CertificateRevocationListDer::pem_slice_iter(file).enumerate() {
                let der = der.map_err(|_| unusable(i, "its PEM encoding is damaged".to_owned()))?;
                lists.push(add(i, &der)?);
            }
        }
        if lists.is_empty() {
            return Err(RevocationFileError::None);
        }
        for (list, about) in lists {
            self.lists.push(list);
            self.about.push(about);
        }
        Ok(())
    }

    /// The certificates of the authorities.
    pub fn authorities(&self) -> impl Iterator<Item = &Certificate> {
        self.authorities.iter().map(|(certificate, _)| certificate)
    }

    /// The lists of revoked certificates.
    pub fn revocation_lists(&self) -> &[RevocationList] {
        &self.about
    }

    /// The payload that asks a peer for a certificate of one of the authorities.
    pub fn request(&self) -> message::CertificateRequest {
        let hashes = self.authorities().flat_map(Certificate::key_hash);
        message::CertificateRequest {
            encoding: ENCODING_X509_SIGNATURE,
            authorities: hashes.copied().collect(),
        }
    }

    /// Verifies what a peer sent: its certificate first, others in any order. It must be for
    /// `identity`. `now` is in seconds of Unix time.
    ///
    /// The peer's AUTH payload has to be verified with the certificate still: before that, it is
    /// somebody's who need not be the peer.
    pub fn verify(
        &self,
        payloads: &[message::Certificate],
        identity: &Identity,
        now: u64,
    ) -> Result<Certificate, CertificateRefusal> {
        let first = payloads.first().ok_or(CertificateRefusal::None)?;
        if payloads.len() > MAX_CHAIN {
            return Err(CertificateRefusal::TooMany(payloads.len()));
        }
        if first.encoding != ENCODING_X509_SIGNATURE {
            return Err(CertificateRefusal::Encoding(first.encoding));
        }
        let sent = payloads.iter().enumerate().filter(|(_, p)| p.encoding == first.encoding);
        let sent = sent
            .map(|(i, payload)| {
                Certificate::from_der(&payload.data)
                    .map_err(|error| CertificateRefusal::Unusable(i + 1, error))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let peer = &sent[0];
        self.find_path(&sent, now).map_err(|error| self.explain(&sent, now, error))?;
        if !peer.may_sign() {
            return Err(CertificateRefusal::NotForSignatures(peer.name()));
        }
        peer.certifies(identity)?;
        Ok(peer.clone())
    }

    fn find_path(&self, sent: &[Certificate], now: u64) -> Result<(), Error> {
        let (peer, others) = sent.split_first().ok_or(Error::UnknownIssuer)?;
        let peer = EndEntityCert::try_from(peer.as_der())?;
        let others: Vec<CertificateDer<'_>> =
            others.iter().map(|other| CertificateDer::from(other.der())).collect();
        // an authority that has expired is none
        let anchors: Vec<_> = self
            .authorities
            .iter()
            .filter(|(ca, _)| (ca.not_before()..=ca.not_after()).contains(&now))
            .map(|(_, anchor)| anchor.clone())
            .collect();
        let lists: Vec<_> = self.lists.iter().collect();
        let revocation = RevocationOptionsBuilder::new(&lists).ok().map(|options| {
            options
                .with_depth(RevocationCheckDepth::Chain)
                .with_status_policy(UnknownStatusPolicy::Allow)
                .with_expiration_policy(ExpirationPolicy::Enforce)
                .build()
        });
        let time = UnixTime::since_unix_epoch(Duration::from_secs(now));
        let algorithms = webpki::ALL_VERIFICATION_ALGS;
        peer.verify_for_usage(algorithms, &anchors, &others, time, Purposes, revocation, None)?;
        Ok(())
    }

    /// Words for what went wrong, with the certificate it is about as far as that can be told.
    fn explain(&self, sent: &[Certificate], now: u64, error: Error) -> CertificateRefusal {
        use CertificateRefusal as R;
        let peer = sent[0].name();
        let certificate = peer.clone();
        let which = |fits: &dyn Fn(&Certificate) -> bool| {
            sent.iter().find(|c| fits(c)).map_or_else(|| peer.clone(), Certificate::name)
        };
        match error {
            Error::CertExpired { not_after, .. } => {
                let not_after = not_after.as_secs();
                let certificate = which(&|c| c.not_after() == not_after);
                R::Expired { certificate, not_after, now }
            }
            Error::CertNotValidYet { not_before, .. } => {
                let not_before = not_before.as_secs();
                let certificate = which(&|c| c.not_before() == not_before);
                R::NotYetValid { certificate, not_before, now }
            }
            Error::UnknownIssuer => self.unknown_issuer(sent, now),
            Error::InvalidSignatureForPublicKey | Error::SignatureAlgorithmMismatch => {
                R::Signature { certificate }
            }
            Error::CertRevoked => {
                let revoked = sent.iter().find(|c| self.is_revoked(c)).unwrap_or(&sent[0]);
                R::Revoked {
                    certificate: revoked.name(),
                    serial: revoked.serial().to_owned(),
                    issuer: revoked.issuer().to_string(),
                }
            }
            Error::CrlExpired { next_update, .. } => {
                R::ListExpired { certificate, next_update: next_update.as_secs(), now }
            }
            Error::InvalidCrlSignatureForPublicKey
            | Error::IssuerNotCrlSigner
            | Error::UnsupportedCrlSignatureAlgorithmContext(_)
            | Error::UnsupportedCrlSignatureAlgorithmForPublicKeyContext(_) => {
                R::List { certificate, why: format!("{error:?}") }
            }
            Error::CaUsedAsEndEntity => R::IsAuthority(certificate),
            Error::EndEntityUsedAsCa => {
                let issuers = |c: &Certificate| {
                    sent.iter().any(|i| !i.is_authority() && i.subject() == c.issuer())
                };
                R::NotAuthority(which(&issuers))
            }
            Error::PathLenConstraintViolated | Error::MaximumPathDepthExceeded => {
                R::TooLong(certificate)
            }
            Error::MaximumSignatureChecksExceeded
            | Error::MaximumPathBuildCallsExceeded
            | Error::MaximumNameConstraintComparisonsExceeded => R::TooComplex(certificate),
            Error::NameConstraintViolation => R::NameConstraint(certificate),
            Error::UnsupportedCertVersion => R::Version(which(&|c| !c.is_version_3())),
            Error::UnsupportedCriticalExtension => R::CriticalExtension(certificate),
            Error::RequiredEkuNotFoundContext(_) | Error::EmptyEkuExtension => {
                R::Purpose(certificate)
            }
            Error::UnsupportedSignatureAlgorithmContext(_)
            | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => {
                R::Algorithm { certificate }
            }
            rule => R::Rule { certificate, rule: format!("{rule:?}") },
        }
    }

    /// The last certificate on the way: it names who is missing, or an authority out of its time.
    fn unknown_issuer(&self, sent: &[Certificate], now: u64) -> CertificateRefusal {
        let mut last = &sent[0];
        for _ in sent {
            let issuer = |c: &&Certificate| c.subject() == last.issuer() && *c != last;
            match sent.iter().find(issuer) {
                Some(issuer) => last = issuer,
                None => break,
            }
        }
        let mut named = self.authorities();
        match named.find(|ca| ca.subject() == last.issuer()) {
            Some(ca) if ca.not_after() < now => CertificateRefusal::Expired {
                certificate: ca.name(),
                not_after: ca.not_after(),
                now,
            },
            Some(ca) if ca.not_before() > now => CertificateRefusal::NotYetValid {
                certificate: ca.name(),
                not_before: ca.not_before(),
                now,
            },
            _ => CertificateRefusal::UnknownIssuer {
                certificate: last.name(),
                issuer: last.issuer().to_string(),
            },
        }
    }

    fn is_revoked(&self, certificate: &Certificate) -> bool {
        let Ok(parsed) = EndEntityCert::try_from(certificate.as_der()) else {
            return false;
        };
        let own = self.lists.iter().filter(|list| list.issuer() == parsed.issuer());
        own.into_iter().any(|list| matches!(list.find_serial(parsed.serial()), Ok(Some(_))))
    }
}

impl RevocationList {
    fn from_der(der: &[u8]) -> Result<Self, String> {
        let list = x509_cert::crl::CertificateList::<Rfc5280>::from_der(der);
        let list = list.map_err(|error| error.to_string())?.tbs_cert_list;
        let issuer = list.issuer.to_der().ok().and_then(|der| DistinguishedName::from_der(&der));
        Ok(Self {
            issuer: issuer.ok_or("the name of its issuer is malformed")?,
            this_update: list.this_update.to_unix_duration().as_secs(),
            next_update: list.next_update.map(|at| at.to_unix_duration().as_secs()),
            revoked: list.revoked_certificates.map_or(0, |revoked| revoked.len()),
        })
    }
}

/// `of CN=Example CA, issued 2026-11-01T00:00:00Z, 3 revoked`.
impl fmt::Display for RevocationList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { issuer, this_update, next_update: _, revoked } = self;
        write!(f, "of {issuer}, issued {}, {revoked} revoked", utc(this_update))
    }
}

/// The same authorities and lists. A list is told by its issuer and the time of its issue.
impl PartialEq for Trust {
    fn eq(&self, other: &Self) -> bool {
        self.authorities().eq(other.authorities()) && self.about == other.about
    }
}

impl Eq for Trust {}

/// Seconds of Unix time as people write them: `2026-11-26T02:00:00Z`.
pub fn utc(seconds: &u64) -> String {
    let time = DateTime::from_unix_duration(Duration::from_secs(*seconds));
    time.map_or_else(|_| format!("{seconds} s"), |time| time.to_string())
}

/// Says the authorities.
impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<DistinguishedName> =
            self.authorities.iter().map(|(ca, _)| ca.subject().clone()).collect();
        f.debug_struct("Trust").field("authorities", &names).finish_non_exhaustive()
    }
}

/// The purposes of certificates that cover IKE. None at all is fine (RFC 4945 §5.1.3.12), and those
/// of TLS are taken as well, since most authorities know no other.
struct Purposes;

/// ipsecIKE (RFC 4945 §5.1.3.12), the older iKEIntermediate, serverAuth, clientAuth, any.
const PURPOSES: [&[usize]; 5] = [
    &[1, 3, 6, 1, 5, 5, 7, 3, 17],
    &[1, 3, 6, 1, 5, 5, 8, 2, 2],
    &[1, 3, 6, 1, 5, 5, 7, 3, 1],
    &[1, 3, 6, 1, 5, 5, 7, 3, 2],
    &[2, 5, 29, 37, 0],
];

impl ExtendedKeyUsageValidator for Purposes {
    fn validate(&self, purposes: KeyPurposeIdIter<'_, '_>) -> Result<(), Error> {
        let (mut any, mut fits) = (false, false);
        for purpose in purposes {
            any = true;
            fits |= PURPOSES.contains(&purpose?.to_decoded_oid().as_slice());
        }
        if fits || !any { Ok(()) } else { Err(Error::EmptyEkuExtension) }
    }
}
