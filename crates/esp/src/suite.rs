//! The cipher suites and what their names, lengths and strengths are.

use std::{fmt, str::FromStr};

use aead::MacAlgorithm;

/// Bytes of the salt of counter modes, taken from the end of the key material
/// (RFC 4106 §8.1, RFC 4543 §5.4, RFC 7634 §2).
pub(crate) const SALT_LEN: usize = 4;

/// How packets of an SA are encrypted and authenticated.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Suite {
    pub(crate) cipher: Cipher,
    pub(crate) integrity: Integrity,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Cipher {
    Aes128Gcm,
    Aes256Gcm,
    ChaCha20Poly1305,
    Aes128Gmac,
    Aes256Gmac,
    Aes128Cbc,
    Aes256Cbc,
    Null,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Integrity {
    /// The cipher sees to it.
    Combined,
    Hmac(MacAlgorithm),
}

/// What a suite encrypts with, whatever the length of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// AES in Galois/counter mode (RFC 4106).
    AesGcm,
    /// ChaCha20 with Poly1305 (RFC 7634).
    ChaCha20Poly1305,
    /// AES-GMAC, which only authenticates (RFC 4543).
    AesGmac,
    /// AES in cipher block chaining mode (RFC 3602).
    AesCbc,
    /// Nothing (RFC 2410).
    Null,
}

impl Family {
    /// The family as one kebab-case word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AesGcm => "aes-gcm",
            Self::ChaCha20Poly1305 => "chacha20-poly1305",
            Self::AesGmac => "aes-gmac",
            Self::AesCbc => "aes-cbc",
            Self::Null => "null",
        }
    }
}

const fn suite(cipher: Cipher, integrity: Integrity) -> Suite {
    Suite { cipher, integrity }
}

const SHA1: Integrity = Integrity::Hmac(MacAlgorithm::Sha1);
const SHA256: Integrity = Integrity::Hmac(MacAlgorithm::Sha256);
const SHA384: Integrity = Integrity::Hmac(MacAlgorithm::Sha384);
const SHA512: Integrity = Integrity::Hmac(MacAlgorithm::Sha512);

const NAMES: [(&str, Suite); Suite::ALL.len()] = [
    ("aes128gcm16", Suite::AES128_GCM16),
    ("aes256gcm16", Suite::AES256_GCM16),
    ("chacha20poly1305", Suite::CHACHA20_POLY1305),
    ("aes128gmac", suite(Cipher::Aes128Gmac, Integrity::Combined)),
    ("aes256gmac", suite(Cipher::Aes256Gmac, Integrity::Combined)),
    ("aes128-sha256", suite(Cipher::Aes128Cbc, SHA256)),
    ("aes256-sha256", suite(Cipher::Aes256Cbc, SHA256)),
    ("aes128-sha384", suite(Cipher::Aes128Cbc, SHA384)),
    ("aes256-sha384", suite(Cipher::Aes256Cbc, SHA384)),
    ("aes128-sha512", suite(Cipher::Aes128Cbc, SHA512)),
    ("aes256-sha512", suite(Cipher::Aes256Cbc, SHA512)),
    ("aes128-sha1", suite(Cipher::Aes128Cbc, SHA1)),
    ("aes256-sha1", suite(Cipher::Aes256Cbc, SHA1)),
    ("null-sha256", suite(Cipher::Null, SHA256)),
    ("null-sha384", suite(Cipher::Null, SHA384)),
    ("null-sha512", suite(Cipher::Null, SHA512)),
    ("null-sha1", suite(Cipher::Null, SHA1)),
];

impl Suite {
    /// AES-128-GCM with an ICV of 16 bytes (RFC 4106).
    pub const AES128_GCM16: Self = suite(Cipher::Aes128Gcm, Integrity::Combined);
    /// AES-256-GCM with an ICV of 16 bytes (RFC 4106).
    pub const AES256_GCM16: Self = suite(Cipher::Aes256Gcm, Integrity::Combined);
    /// ChaCha20-Poly1305 (RFC 7634).
    pub const CHACHA20_POLY1305: Self = suite(Cipher::ChaCha20Poly1305, Integrity::Combined);

    /// Every suite, the recommended ones first.
    pub const ALL: [Self; 17] = [
        Self::AES128_GCM16,
        Self::AES256_GCM16,
        Self::CHACHA20_POLY1305,
        suite(Cipher::Aes128Gmac, Integrity::Combined),
        suite(Cipher::Aes256Gmac, Integrity::Combined),
        suite(Cipher::Aes128Cbc, SHA256),
        suite(Cipher::Aes256Cbc, SHA256),
        suite(Cipher::Aes128Cbc, SHA384),
        suite(Cipher::Aes256Cbc, SHA384),
        suite(Cipher::Aes128Cbc, SHA512),
        suite(Cipher::Aes256Cbc, SHA512),
        suite(Cipher::Aes128Cbc, SHA1),
        suite(Cipher::Aes256Cbc, SHA1),
        suite(Cipher::Null, SHA256),
        suite(Cipher::Null, SHA384),
        suite(Cipher::Null, SHA512),
        suite(Cipher::Null, SHA1),
    ];

    /// The name the configuration has for it.
    pub fn name(self) -> &'static str {
        let row = NAMES.iter().find(|(_, suite)| *suite == self);
        row.map(|(name, _)| *name).expect("invariant: every suite has a name")
    }

    /// Whether it is kept for old peers only and should be warned about: SHA-1.
    pub const fn is_weak(self) -> bool {
        matches!(self.integrity, SHA1)
    }

    /// Whether it hides nothing although it has a cipher's place (RFC 2410): for tests.
    ///
    /// AES-GMAC hides nothing either, but whoever names it knows (RFC 4543).
    pub const fn is_null(self) -> bool {
        matches!(self.cipher, Cipher::Null)
    }

    /// Bytes of key material: encryption key, then salt or integrity key.
    pub const fn key_len(self) -> usize {
        self.encryption_key_len() + self.salt_len() + self.integrity_key_len()
    }

    /// Bytes of the encryption key alone.
    pub const fn encryption_key_len(self) -> usize {
        match self.cipher {
            Cipher::Null => 0,
            Cipher::Aes128Gcm | Cipher::Aes128Gmac | Cipher::Aes128Cbc => 16,
            Cipher::Aes256Gcm
            | Cipher::Aes256Gmac
            | Cipher::Aes256Cbc
            | Cipher::ChaCha20Poly1305 => 32,
        }
    }

    /// Bytes of the salt.
    pub const fn salt_len(self) -> usize {
        match self.integrity {
            Integrity::Combined => SALT_LEN,
            Integrity::Hmac(_) => 0,
        }
    }

    /// Bytes of the integrity key: the length of the hash (RFC 4868 §2.1.1, RFC 2404 §3).
    pub const fn integrity_key_len(self) -> usize {
        match self.integrity {
            Integrity::Combined => 0,
            Integrity::Hmac(mac) => mac.output_len(),
        }
    }

    /// Bits of the encryption key as people count them; 0 when nothing is encrypted.
    pub const fn key_bits(self) -> usize {
        self.encryption_key_len() * 8
    }

    /// Bytes of the initialization vector in every packet.
    pub const fn iv_len(self) -> usize {
        match self.cipher {
            Cipher::Aes128Gcm
            | Cipher::Aes256Gcm
            | Cipher::Aes128Gmac
            | Cipher::Aes256Gmac
            | Cipher::ChaCha20Poly1305 => 8,
            Cipher::Aes128Cbc | Cipher::Aes256Cbc => aead::BLOCK_LEN,
            Cipher::Null => 0,
        }
    }

    /// Bytes of the integrity check value at the end of every packet.
    pub const fn icv_len(self) -> usize {
        match self.integrity {
            Integrity::Combined => aead::TAG_LEN,
            Integrity::Hmac(MacAlgorithm::Sha1) => 12,
            Integrity::Hmac(MacAlgorithm::Sha256) => 16,
            Integrity::Hmac(MacAlgorithm::Sha384) => 24,
            Integrity::Hmac(MacAlgorithm::Sha512) => 32,
        }
    }

    /// What the encrypted part of a packet must be a multiple of, in bytes.
    pub const fn block(self) -> usize {
        match self.cipher {
            Cipher::Aes128Cbc | Cipher::Aes256Cbc => aead::BLOCK_LEN,
            Cipher::Aes128Gcm
            | Cipher::Aes256Gcm
            | Cipher::Aes128Gmac
            | Cipher::Aes256Gmac
            | Cipher::ChaCha20Poly1305
            | Cipher::Null => 4,
        }
    }

    /// What we pad the encrypted part to, in bytes: whole AES blocks for AES-GCM too, as both
    /// libraries take a slow path for a last block that is not whole (RFC 4303 §2.4 allows more
    /// padding than is needed).
    pub const fn padded_to(self) -> usize {
        match self.cipher {
            Cipher::Aes128Gcm | Cipher::Aes256Gcm => 16,
            Cipher::Aes128Gmac
            | Cipher::Aes256Gmac
            | Cipher::ChaCha20Poly1305
            | Cipher::Aes128Cbc
            | Cipher::Aes256Cbc
            | Cipher::Null => self.block(),
        }
    }

    /// What it encrypts with.
    pub const fn family(self) -> Family {
        match self.cipher {
            Cipher::Aes128Gcm | Cipher::Aes256Gcm => Family::AesGcm,
            Cipher::ChaCha20Poly1305 => Family::ChaCha20Poly1305,
            Cipher::Aes128Gmac | Cipher::Aes256Gmac => Family::AesGmac,
            Cipher::Aes128Cbc | Cipher::Aes256Cbc => Family::AesCbc,
            Cipher::Null => Family::Null,
        }
    }

    /// The hash under its HMAC; none when the cipher sees to integrity.
    pub const fn mac(self) -> Option<MacAlgorithm> {
        match self.integrity {
            Integrity::Combined => None,
            Integrity::Hmac(mac) => Some(mac),
        }
    }

    /// The name of the cipher as the RFCs have it.
    pub const fn cipher_name(self) -> &'static str {
        match self.cipher {
            Cipher::Aes128Gcm => "AES-128-GCM-16",
            Cipher::Aes256Gcm => "AES-256-GCM-16",
            Cipher::ChaCha20Poly1305 => "ChaCha20-Poly1305",
            Cipher::Aes128Gmac => "AES-128-GMAC",
            Cipher::Aes256Gmac => "AES-256-GMAC",
            Cipher::Aes128Cbc => "AES-128-CBC",
            Cipher::Aes256Cbc => "AES-256-CBC",
            Cipher::Null => "NULL",
        }
    }

    /// The name of the integrity algorithm as the RFCs have it; none when the cipher sees to it.
    pub const fn integrity_name(self) -> Option<&'static str> {
        match self.integrity {
            Integrity::Combined => None,
            Integrity::Hmac(MacAlgorithm::Sha1) => Some("HMAC-SHA-1-96"),
            Integrity::Hmac(MacAlgorithm::Sha256) => Some("HMAC-SHA-256-128"),
            Integrity::Hmac(MacAlgorithm::Sha384) => Some("HMAC-SHA-384-192"),
            Integrity::Hmac(MacAlgorithm::Sha512) => Some("HMAC-SHA-512-256"),
        }
    }
}

/// The name of a suite was not one of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SuiteError {
    /// AES-GCM with a short ICV.
    #[error(
        "{name}: an ICV of {icv} bytes is not supported by the cryptographic libraries; \
         use {instead}, whose ICV has 16"
    )]
    IcvLength {
        /// What was asked for.
        name: String,
        /// Bytes of ICV it means.
        icv: u8,
        /// The suite with the same key and the whole ICV.
        instead: &'static str,
    },
    /// No suite has that name.
    #[error("{name} is no suite; known are {}", known())]
    Unknown {
        /// What was asked for.
        name: String,
    },
}

fn known() -> String {
    NAMES.map(|(name, _)| name).join(", ")
}

impl FromStr for Suite {
    type Err = SuiteError;

    fn from_str(text: &str) -> Result<Self, SuiteError> {
        if let Some((_, suite)) = NAMES.iter().find(|(name, _)| *name == text) {
            return Ok(*suite);
        }
        let name = text.to_owned();
        let short = |icv, instead| SuiteError::IcvLength { name: text.to_owned(), icv, instead };
        Err(match text {
            "aes128gcm8" => short(8, "aes128gcm16"),
            "aes128gcm12" => short(12, "aes128gcm16"),
            "aes256gcm8" => short(8, "aes256gcm16"),
            "aes256gcm12" => short(12, "aes256gcm16"),
            _ => SuiteError::Unknown { name },
        })
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Debug for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_there_and_back() {
        for (i, suite) in Suite::ALL.into_iter().enumerate() {
            assert_eq!(suite.name().parse(), Ok(suite));
            assert_eq!(NAMES[i].1, suite, "one order");
            assert_eq!(suite.to_string(), suite.name());
        }
    }

    #[test]
    fn short_icvs_and_unknown_names_are_refused_by_name() {
        let error = "aes256gcm8".parse::<Suite>().expect_err("short").to_string();
        assert!(error.contains("ICV of 8 bytes") && error.contains("aes256gcm16"), "{error}");
        let error = "3des-md5".parse::<Suite>().expect_err("unknown").to_string();
        assert!(Suite::ALL.iter().all(|s| error.contains(s.name())), "{error}");
    }

    #[test]
    fn lengths_are_those_of_the_rfcs() {
        let facts = |name: &str| {
            let suite: Suite = name.parse().expect("known");
            (suite.key_len(), suite.iv_len(), suite.icv_len(), suite.block())
        };
        assert_eq!(facts("aes128gcm16"), (20, 8, 16, 4));
        assert_eq!(facts("aes256gcm16"), (36, 8, 16, 4));
        assert_eq!(facts("chacha20poly1305"), (36, 8, 16, 4));
        assert_eq!(facts("aes256gmac"), (36, 8, 16, 4));
        assert_eq!(facts("aes128-sha256"), (48, 16, 16, 16));
        assert_eq!(facts("aes256-sha384"), (80, 16, 24, 16));
        assert_eq!(facts("aes256-sha512"), (96, 16, 32, 16));
        assert_eq!(facts("aes128-sha1"), (36, 16, 12, 16));
        assert_eq!(facts("null-sha256"), (32, 0, 16, 4));
    }
}
