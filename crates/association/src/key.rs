//! Key material: wiped when dropped, never printed by accident.

use std::fmt;

use aead::{Mac, MacAlgorithm};
use zeroize::Zeroizing;

/// Secret bytes. Those of an SA stand in the order RFC 7296 §2.17 takes them: the encryption key, then
/// the salt of counter modes or the integrity key.
#[derive(Clone)]
pub struct KeyMaterial(Zeroizing<Vec<u8>>);

/// Takes the same time wherever the keys differ.
impl PartialEq for KeyMaterial {
    fn eq(&self, other: &Self) -> bool {
        aead::constant_time_eq(&self.0, &other.0)
    }
}

impl Eq for KeyMaterial {}

/// The text was not an even number of hexadecimal digits. It is not repeated here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key is an even number of hexadecimal digits, with or without 0x in front")]
pub struct KeySyntax;

/// What tells a key from others: see [`KeyMaterial::fingerprint`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 16]);

impl KeyMaterial {
    /// From bytes; the caller's copy is the caller's to wipe.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self(Zeroizing::new(bytes.to_vec()))
    }

    /// From an encryption key and an integrity key, as `ip xfrm` has them.
    pub fn from_parts(encryption: &[u8], integrity: &[u8]) -> Self {
        let mut bytes = Zeroizing::new(Vec::with_capacity(encryption.len() + integrity.len()));
        bytes.extend_from_slice(encryption);
        bytes.extend_from_slice(integrity);
        Self(bytes)
    }

    /// From hexadecimal digits, with or without `0x` in front.
    pub fn from_hex(text: &str) -> Result<Self, KeySyntax> {
        let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
        let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
        if !rest.is_empty() {
            return Err(KeySyntax);
        }
        // all of it is reserved before: a vector that grew would leave copies behind
        let mut bytes = Zeroizing::new(Vec::with_capacity(pairs.len()));
        let digit = |c: u8| char::from(c).to_digit(16).ok_or(KeySyntax);
        for [high, low] in pairs {
            bytes.push((digit(*high)? << 4 | digit(*low)?) as u8);
        }
        Ok(Self(bytes))
    }

    /// Number of bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The secret as hexadecimal digits. For the export of keys by somebody who asked for it.
    pub fn expose_hex(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(self.0.len() * 2));
        for byte in self.0.iter() {
            for nibble in [byte >> 4, byte & 15] {
                text.push(char::from_digit(nibble.into(), 16).expect("invariant: a nibble"));
            }
        }
        text
    }

    /// What tells the key from others without being it: HMAC-SHA-256 under `salt`, which has to be
    /// random and to stay with whoever compares. Without the salt not even a guess can be checked.
    pub fn fingerprint(&self, salt: &[u8; 16]) -> Fingerprint {
        let mut tag = [0; 16];
        Mac::new(MacAlgorithm::Sha256, salt).sign(&[self.expose()], &mut tag);
        Fingerprint(tag)
    }

    /// The secret itself: for who computes with it, or exports it because somebody asked for that.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

/// Says nothing: it is not for people to compare.
impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprint(..)")
    }
}

/// Says nothing of the key, not even its length.
impl fmt::Debug for KeyMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyMaterial(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_there_and_back() {
        let key = KeyMaterial::from_hex("0x00fFa5").expect("digits");
        assert_eq!(key, KeyMaterial::from_bytes(&[0, 0xff, 0xa5]));
        assert_eq!(key, KeyMaterial::from_parts(&[0], &[0xff, 0xa5]));
        assert_eq!(*key.expose_hex(), "00ffa5");
        assert_eq!(KeyMaterial::from_hex("").map(|k| k.is_empty()), Ok(true));
        for wrong in ["0", "0x1", "0g", "a b ", "äö"] {
            assert_eq!(KeyMaterial::from_hex(wrong), Err(KeySyntax), "{wrong}");
        }
    }

    #[test]
    fn fingerprints_are_of_key_and_salt() {
        let of = |key: &[u8], salt| KeyMaterial::from_bytes(key).fingerprint(&[salt; 16]);
        assert!(of(&[1; 36], 1) == of(&[1; 36], 1));
        assert!(of(&[1; 36], 1) != of(&[1; 36], 2), "no use without the salt");
        assert!(of(&[1; 36], 1) != of(&[2; 36], 1));
        assert!(of(&[1; 36], 1) != of(&[1; 35], 1));
    }

    #[test]
    fn debug_says_nothing() {
        assert_eq!(format!("{:?}", KeyMaterial::from_bytes(&[0xab; 4])), "KeyMaterial(..)");
    }
}
