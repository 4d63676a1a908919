//! HMAC, truncated (RFC 2104 §5): the integrity half of composed suites.

use aws_lc_rs::hmac;

use crate::constant_time_eq;

/// A hash function under HMAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MacAlgorithm {
    /// HMAC-SHA-1, for old peers.
    Sha1,
    /// HMAC-SHA-256.
    Sha256,
    /// HMAC-SHA-384.
    Sha384,
    /// HMAC-SHA-512.
    Sha512,
}

impl MacAlgorithm {
    /// Bytes of the whole output, which is also the key length RFC 4868 §2.1.1 asks for.
    pub const fn output_len(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

/// The longest output of any [`MacAlgorithm`].
const MAX_OUTPUT: usize = 64;

/// An HMAC key. Tags are cut to the length that is asked for.
pub struct Mac(hmac::Key);

impl Mac {
    /// A key of any length.
    pub fn new(algorithm: MacAlgorithm, key: &[u8]) -> Self {
        let algorithm = match algorithm {
            MacAlgorithm::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            MacAlgorithm::Sha256 => hmac::HMAC_SHA256,
            MacAlgorithm::Sha384 => hmac::HMAC_SHA384,
            MacAlgorithm::Sha512 => hmac::HMAC_SHA512,
        };
        Self(hmac::Key::new(algorithm, key))
    }

    /// Writes the first bytes of the tag over all `parts` to `tag`, which may be as long as the
    /// output at most; bytes beyond are zero.
    #[inline]
    pub fn sign(&self, parts: &[&[u8]], tag: &mut [u8]) {
        let mut context = hmac::Context::with_key(&self.0);
        for part in parts {
            context.update(part);
        }
        let whole = context.sign();
        let whole = whole.as_ref();
        let n = whole.len().min(tag.len());
        let (head, rest) = tag.split_at_mut(n);
        head.copy_from_slice(&whole[..n]);
        rest.fill(0);
    }

    /// Whether `tag` is the beginning of the tag over all `parts`. Takes the same time for every
    /// wrong tag; one that is empty or longer than the output is never right.
    #[inline]
    pub fn verify(&self, parts: &[&[u8]], tag: &[u8]) -> bool {
        let mut whole = [0; MAX_OUTPUT];
        let fits = !tag.is_empty() && tag.len() <= self.0.algorithm().tag_len();
        let Some(right) = whole.get_mut(..tag.len()) else {
            return false;
        };
        self.sign(parts, right);
        fits && constant_time_eq(right, tag)
    }
}

/// Says nothing of the key.
impl std::fmt::Debug for Mac {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Mac")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_one_message() {
        let mac = Mac::new(MacAlgorithm::Sha256, &[1; 32]);
        let (mut whole, mut parts) = ([0; 16], [0; 16]);
        mac.sign(&[b"one message"], &mut whole);
        mac.sign(&[b"one ", b"", b"message"], &mut parts);
        assert_eq!(whole, parts);
        assert!(mac.verify(&[b"one", b" message"], &whole));
    }

    #[test]
    fn wrong_empty_and_overlong_tags_are_refused() {
        let mac = Mac::new(MacAlgorithm::Sha1, &[1; 20]);
        let mut tag = [0; 20];
        mac.sign(&[b"x"], &mut tag);
        assert!(mac.verify(&[b"x"], &tag));
        assert!(!mac.verify(&[b"x"], &[]));
        let mut long = tag.to_vec();
        long.extend([0; 12]);
        assert!(!mac.verify(&[b"x"], &long));
        assert!(!mac.verify(&[b"x"], &[0; 65]));
        for i in 0..12 {
            let mut wrong = tag;
            wrong[i] ^= 1;
            assert!(!mac.verify(&[b"x"], &wrong[..12]), "byte {i}");
        }
    }
}
