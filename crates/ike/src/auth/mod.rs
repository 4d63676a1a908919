//! Who a peer is, and how both sides prove it (RFC 7296 §2.15, §3.5 to §3.8).
//!
//! - [`Identity`], [`IdentityPattern`]: who somebody is, and who a peer may be.
//! - [`Signed`], [`Intermediate`]: the octets an AUTH payload covers.
//! - [`PresharedKey`]: AUTH by a preshared key. With a postquantum preshared key nothing changes but
//!   the keys of the IKE SA.
//! - [`Credential`], [`PrivateKey`]: AUTH by our certificate. [`PrivateKey::sign`] is slow; key,
//!   scheme and octets may go to another thread.
//! - [`Trust`], [`verify`]: whether a peer's certificate is to be believed, and whether its AUTH
//!   payload was made with that certificate's key.

mod certificate;
mod credential;
mod dn;
mod identity;
mod octets;
mod private_key;
mod public_key;
mod signature;
mod trust;

pub use certificate::{
    Certificate, CertificateError, CertificateFileError, ENCODING_X509_SIGNATURE, MAX_CERTIFICATE,
    NameMismatch,
};
pub use credential::{Credential, CredentialError, MAX_CHAIN};
pub use dn::{DistinguishedName, NameSyntax};
pub use identity::{Identity, IdentityError, IdentityPattern, IdentitySyntax, identity_type};
pub use octets::{Intermediate, METHOD_SHARED_KEY, PresharedKey, Signed};
pub use private_key::{KeyFileError, PrivateKey, Proof, RsaPadding, SignError};
pub use public_key::KeyKind;
pub use signature::{
    Hash, HashAlgorithms, METHOD_DIGITAL_SIGNATURE, METHOD_ECDSA_256, METHOD_ECDSA_384,
    METHOD_ECDSA_521, METHOD_RSA, Scheme, SignatureRefusal, verify,
};
pub use trust::{
    AuthorityError, CertificateRefusal, RevocationFileError, RevocationList, Trust, utc,
};
