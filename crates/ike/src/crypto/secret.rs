//! Secret bytes: wiped when dropped, never printed by accident, compared in constant time.

use std::fmt;

use zeroize::Zeroizing;

/// Secret bytes.
#[derive(Clone)]
pub struct Secret(Zeroizing<Box<[u8]>>);

impl Secret {
    /// A copy of `bytes`; the caller's is the caller's to wipe.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self(Zeroizing::new(bytes.into()))
    }

    /// `len` zeros, to be written.
    pub(crate) fn zeroed(len: usize) -> Self {
        Self(Zeroizing::new(vec![0; len].into()))
    }

    /// The secret itself: for who computes with it, or exports it because somebody asked for that.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn expose_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

/// Takes the same time wherever the secrets differ.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        aead::constant_time_eq(&self.0, &other.0)
    }
}

impl Eq for Secret {}

/// Says nothing of the secret, not even its length.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_compared_whole_and_never_printed() {
        let secret = Secret::from_bytes(b"abc");
        assert_eq!(secret, Secret::from_bytes(b"abc"));
        for other in [&b"abd"[..], b"bbc", b"ab", b"abcd", b""] {
            assert_ne!(secret, Secret::from_bytes(other));
        }
        assert_eq!(format!("{secret:?}"), "Secret(..)");
    }
}
