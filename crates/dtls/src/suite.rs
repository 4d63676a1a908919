//! Cipher suites: what their numbers mean for records and keys.

use std::fmt;

use aead::Algorithm;

/// The hash function of a suite's PRF and transcript (RFC 5246 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hash {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
}

/// A cipher suite. Its key exchange matters with PSK only; where a session is resumed there is none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Suite {
    id: u16,
    /// OpenSSL's name, which AnyConnect's headers use.
    name: &'static str,
    cipher: Algorithm,
    hash: Hash,
}

const fn suite(id: u16, name: &'static str, cipher: Algorithm, hash: Hash) -> Suite {
    Suite { id, name, cipher, hash }
}

/// Suites whose records have CBC: told apart from others we do not know, to say what is wrong.
const CBC: [u16; 22] = [
    0x000a, 0x002f, 0x0033, 0x0035, 0x0039, 0x003c, 0x003d, 0x0067, 0x006b, 0x008b, 0x008c, 0x008d,
    0x0090, 0x0091, 0x00ae, 0x00af, 0xc009, 0xc00a, 0xc013, 0xc014, 0xc027, 0xc028,
];

impl Suite {
    /// TLS_PSK_WITH_AES_256_GCM_SHA384 (RFC 5487).
    pub const PSK_AES_256_GCM: Self =
        suite(0x00a9, "PSK-AES256-GCM-SHA384", Algorithm::Aes256Gcm, Hash::Sha384);
    /// TLS_PSK_WITH_CHACHA20_POLY1305_SHA256 (RFC 7905).
    pub const PSK_CHACHA20_POLY1305: Self =
        suite(0xccab, "PSK-CHACHA20-POLY1305", Algorithm::ChaCha20Poly1305, Hash::Sha256);
    /// TLS_PSK_WITH_AES_128_GCM_SHA256 (RFC 5487).
    pub const PSK_AES_128_GCM: Self =
        suite(0x00a8, "PSK-AES128-GCM-SHA256", Algorithm::Aes128Gcm, Hash::Sha256);

    /// Suites of the PSK handshake.
    pub const PSK: [Self; 3] =
        [Self::PSK_AES_256_GCM, Self::PSK_CHACHA20_POLY1305, Self::PSK_AES_128_GCM];

    /// Suites a resumed session may have, the best first (RFC 5288, RFC 5289, RFC 7905).
    pub const RESUMED: [Self; 9] = [
        suite(0xc030, "ECDHE-RSA-AES256-GCM-SHA384", Algorithm::Aes256Gcm, Hash::Sha384),
        suite(0xc02c, "ECDHE-ECDSA-AES256-GCM-SHA384", Algorithm::Aes256Gcm, Hash::Sha384),
        suite(0x009d, "AES256-GCM-SHA384", Algorithm::Aes256Gcm, Hash::Sha384),
        suite(0xc02f, "ECDHE-RSA-AES128-GCM-SHA256", Algorithm::Aes128Gcm, Hash::Sha256),
        suite(0xc02b, "ECDHE-ECDSA-AES128-GCM-SHA256", Algorithm::Aes128Gcm, Hash::Sha256),
        suite(0x009c, "AES128-GCM-SHA256", Algorithm::Aes128Gcm, Hash::Sha256),
        suite(0xcca8, "ECDHE-RSA-CHACHA20-POLY1305", Algorithm::ChaCha20Poly1305, Hash::Sha256),
        suite(0xcca9, "ECDHE-ECDSA-CHACHA20-POLY1305", Algorithm::ChaCha20Poly1305, Hash::Sha256),
        suite(0xccaa, "DHE-RSA-CHACHA20-POLY1305", Algorithm::ChaCha20Poly1305, Hash::Sha256),
    ];

    /// Of [`Suite::RESUMED`], the one with this name of OpenSSL's.
    pub fn resumed_by_name(name: &str) -> Option<Self> {
        Self::RESUMED.into_iter().find(|suite| suite.name == name)
    }

    /// Its number (IANA).
    pub const fn id(self) -> u16 {
        self.id
    }

    /// OpenSSL's name.
    pub const fn name(self) -> &'static str {
        self.name
    }

    /// What protects the records.
    pub const fn cipher(self) -> Algorithm {
        self.cipher
    }

    /// What keys are derived with.
    pub const fn hash(self) -> Hash {
        self.hash
    }

    pub(crate) fn is_cbc(id: u16) -> bool {
        CBC.contains(&id)
    }
}

/// OpenSSL's name.
impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name)
    }
}

/// OpenSSL's name.
impl fmt::Debug for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
