//! Nonces (RFC 7296 §2.10, §3.9).

use rand_core::CryptoRng;

use crate::algorithm::Prf;

/// Bytes of the shortest nonce.
const MIN_LEN: usize = 16;
/// Bytes of the longest nonce.
const MAX_LEN: usize = 256;
/// Bytes of ours: half the key of the largest pseudorandom function, as the initiator does not yet
/// know which one it will be.
const OWN_LEN: usize = 32;

/// The nonce of one side: 16 to 256 bytes.
///
/// They are ordered octet by octet, and the shorter of two with the same begin is the lower one, as
/// the rule of simultaneous rekeying has it (RFC 7296 §2.8.1).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Nonce(Vec<u8>);

/// A peer's nonce is shorter or longer than RFC 7296 §3.9 allows, or too short for the negotiated
/// pseudorandom function (§2.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a nonce has {at_least} to 256 bytes, not {got}")]
pub struct NonceError {
    /// Bytes it needs at least.
    pub at_least: usize,
    /// Bytes it has.
    pub got: usize,
}

impl Nonce {
    /// A new one of 32 bytes.
    pub fn draw<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let mut bytes = vec![0; OWN_LEN];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// A peer's.
    pub fn from_peer(bytes: &[u8]) -> Result<Self, NonceError> {
        if (MIN_LEN..=MAX_LEN).contains(&bytes.len()) {
            Ok(Self(bytes.to_vec()))
        } else {
            Err(NonceError { at_least: MIN_LEN, got: bytes.len() })
        }
    }

    /// Whether it has at least half the bytes of the key of `prf` (RFC 7296 §2.10).
    pub fn check_for(&self, prf: Prf) -> Result<(), NonceError> {
        let (at_least, got) = (MIN_LEN.max(prf.output_len() / 2), self.0.len());
        if got < at_least { Err(NonceError { at_least, got }) } else { Ok(()) }
    }

    /// The body of its payload.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The nonces of an exchange. The initiator is who began this exchange, which need not be the one
/// that began the IKE SA.
#[derive(Clone, Copy, Debug)]
pub struct Nonces<'a> {
    /// Ni.
    pub initiator: &'a Nonce,
    /// Nr.
    pub responder: &'a Nonce,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_those_of_the_rfc() {
        for (len, fine) in [(0, false), (15, false), (16, true), (256, true), (257, false)] {
            assert_eq!(Nonce::from_peer(&vec![1; len]).is_ok(), fine, "{len}");
        }
        let of = |len: usize| Nonce::from_peer(&vec![1; len]).expect("16 and up");
        assert_eq!(of(16).check_for(Prf::HmacSha256), Ok(()));
        let short = Err(NonceError { at_least: 24, got: 23 });
        assert_eq!(of(23).check_for(Prf::HmacSha384), short);
        assert_eq!(of(31).check_for(Prf::HmacSha512).map_err(|e| e.at_least), Err(32));
        assert_eq!(of(OWN_LEN).check_for(Prf::HmacSha512), Ok(()));
        assert_eq!(of(16).check_for(Prf::HmacSha1), Ok(()));
    }

    #[test]
    fn lowest_is_octet_by_octet_and_then_the_shorter() {
        let of = |begin: u8, len: usize| {
            let mut bytes = vec![7; len];
            bytes[0] = begin;
            Nonce::from_peer(&bytes).expect("16 and up")
        };
        assert!(of(1, 256) < of(2, 16));
        assert!(of(1, 16) < of(1, 17));
    }
}
