//! The algorithms we know: their numbers at IANA, their names, the lengths they mean.
//!
//! Names are those of strongSwan's proposals, such as `aes256gcm16-prfsha384-x25519`: one table each,
//! so that a name, a number and a value cannot disagree.

use std::fmt;

/// Types of transforms (RFC 7296 §3.3.2, RFC 9370 §2.2.1).
pub mod transform_type {
    /// Encryption algorithm.
    pub const ENCRYPTION: u8 = 1;
    /// Pseudorandom function.
    pub const PRF: u8 = 2;
    /// Integrity algorithm.
    pub const INTEGRITY: u8 = 3;
    /// Key exchange method; formerly Diffie-Hellman group.
    pub const KEY_EXCHANGE: u8 = 4;
    /// Extended sequence numbers.
    pub const SEQUENCE_NUMBERS: u8 = 5;
    /// The first additional key exchange; the others follow up to 12.
    pub const ADDITIONAL_KEY_EXCHANGE_1: u8 = 6;
    /// The last additional key exchange.
    pub const ADDITIONAL_KEY_EXCHANGE_7: u8 = 12;
}

/// Encryption algorithms (transform type 1) with their key length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Encryption {
    /// AES-128-GCM, ICV of 16 bytes (RFC 5282, RFC 4106).
    Aes128Gcm16,
    /// AES-256-GCM, ICV of 16 bytes.
    Aes256Gcm16,
    /// ChaCha20-Poly1305 (RFC 7634).
    ChaCha20Poly1305,
    /// AES-128-CBC (RFC 3602).
    Aes128Cbc,
    /// AES-256-CBC.
    Aes256Cbc,
    /// AES-128-GMAC: authenticates only (RFC 4543). ESP alone.
    Aes128Gmac,
    /// AES-256-GMAC. ESP alone.
    Aes256Gmac,
    /// None (RFC 2410). ESP alone.
    Null,
}

/// Pseudorandom functions (transform type 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Prf {
    /// HMAC-SHA-1 (RFC 2104), for old peers.
    HmacSha1,
    /// HMAC-SHA-256 (RFC 4868).
    HmacSha256,
    /// HMAC-SHA-384.
    HmacSha384,
    /// HMAC-SHA-512.
    HmacSha512,
}

/// Integrity algorithms (transform type 3). Encryption with a combined mode has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Integrity {
    /// HMAC-SHA-1-96 (RFC 2404), for old peers.
    HmacSha1,
    /// HMAC-SHA-256-128 (RFC 4868).
    HmacSha256,
    /// HMAC-SHA-384-192.
    HmacSha384,
    /// HMAC-SHA-512-256.
    HmacSha512,
}

/// Key exchange methods (transform type 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyExchangeMethod {
    /// 2048-bit MODP (RFC 3526).
    Modp2048,
    /// NIST P-256 (RFC 5903).
    Ecp256,
    /// NIST P-384.
    Ecp384,
    /// NIST P-521.
    Ecp521,
    /// Curve25519 (RFC 8031).
    X25519,
    /// ML-KEM-768 (FIPS 203), as an additional key exchange (RFC 9370).
    MlKem768,
}

macro_rules! table {
    ($kind:ident, $($variant:ident = $id:literal, $name:literal;)+) => {
        impl $kind {
            /// Every one there is.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The number at IANA.
            pub const fn id(self) -> u16 {
                match self { $(Self::$variant => $id,)+ }
            }

            /// The name in a proposal.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// The one with this name.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|a| a.name() == name)
            }
        }

        impl fmt::Display for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }
    };
}

table! { Encryption,
    Aes128Gcm16 = 20, "aes128gcm16";
    Aes256Gcm16 = 20, "aes256gcm16";
    ChaCha20Poly1305 = 28, "chacha20poly1305";
    Aes128Cbc = 12, "aes128";
    Aes256Cbc = 12, "aes256";
    Aes128Gmac = 21, "aes128gmac";
    Aes256Gmac = 21, "aes256gmac";
    Null = 11, "null";
}
table! { Prf,
    HmacSha1 = 2, "prfsha1";
    HmacSha256 = 5, "prfsha256";
    HmacSha384 = 6, "prfsha384";
    HmacSha512 = 7, "prfsha512";
}
table! { Integrity,
    HmacSha1 = 2, "sha1";
    HmacSha256 = 12, "sha256";
    HmacSha384 = 13, "sha384";
    HmacSha512 = 14, "sha512";
}
table! { KeyExchangeMethod,
    Modp2048 = 14, "modp2048";
    Ecp256 = 19, "ecp256";
    Ecp384 = 20, "ecp384";
    Ecp521 = 21, "ecp521";
    X25519 = 31, "x25519";
    MlKem768 = 36, "mlkem768";
}

impl Encryption {
    /// The one with this number and key length in bits. Algorithms with one key length are offered
    /// without the attribute (RFC 7296 §3.3.5), so `None` is theirs.
    pub fn from_id(id: u16, key_bits: Option<u16>) -> Option<Self> {
        Self::ALL.iter().copied().find(|a| a.id() == id && a.key_length_attribute() == key_bits)
    }

    /// The key length attribute of its transform in bits, for those that need one.
    pub const fn key_length_attribute(self) -> Option<u16> {
        match self {
            Self::Aes128Gcm16 | Self::Aes128Cbc | Self::Aes128Gmac => Some(128),
            Self::Aes256Gcm16 | Self::Aes256Cbc | Self::Aes256Gmac => Some(256),
            Self::ChaCha20Poly1305 | Self::Null => None,
        }
    }

    /// Bytes of the key, without a salt.
    pub const fn key_len(self) -> usize {
        match self {
            Self::Aes128Gcm16 | Self::Aes128Cbc | Self::Aes128Gmac => 16,
            Self::Aes256Gcm16 | Self::Aes256Cbc | Self::Aes256Gmac | Self::ChaCha20Poly1305 => 32,
            Self::Null => 0,
        }
    }

    /// Whether it authenticates as well, so that no integrity algorithm belongs to it.
    pub const fn is_combined(self) -> bool {
        match self {
            Self::Aes128Gcm16
            | Self::Aes256Gcm16
            | Self::ChaCha20Poly1305
            | Self::Aes128Gmac
            | Self::Aes256Gmac => true,
            Self::Aes128Cbc | Self::Aes256Cbc | Self::Null => false,
        }
    }

    /// Bytes of the salt that follows the key (RFC 5282 §7.1, RFC 7634 §2).
    pub const fn salt_len(self) -> usize {
        if self.is_combined() { 4 } else { 0 }
    }

    /// Whether IKE's own messages may use it; the others are for ESP.
    pub const fn is_for_ike(self) -> bool {
        !matches!(self, Self::Aes128Gmac | Self::Aes256Gmac | Self::Null)
    }
}

impl Prf {
    /// The one with this number.
    pub fn from_id(id: u16) -> Option<Self> {
        Self::ALL.iter().copied().find(|a| a.id() == id)
    }

    /// Bytes of its output, which are those of the keys we make for it (RFC 7296 §2.13).
    pub const fn output_len(self) -> usize {
        match self {
            Self::HmacSha1 => 20,
            Self::HmacSha256 => 32,
            Self::HmacSha384 => 48,
            Self::HmacSha512 => 64,
        }
    }
}

impl Integrity {
    /// The one with this number.
    pub fn from_id(id: u16) -> Option<Self> {
        Self::ALL.iter().copied().find(|a| a.id() == id)
    }

    /// Bytes of its key (RFC 4868 §2.1.1, RFC 2404 §3).
    pub const fn key_len(self) -> usize {
        match self {
            Self::HmacSha1 => 20,
            Self::HmacSha256 => 32,
            Self::HmacSha384 => 48,
            Self::HmacSha512 => 64,
        }
    }

    /// Bytes of the integrity check value.
    pub const fn icv_len(self) -> usize {
        match self {
            Self::HmacSha1 => 12,
            Self::HmacSha256 => 16,
            Self::HmacSha384 => 24,
            Self::HmacSha512 => 32,
        }
    }

    /// The pseudorandom function with the same hash: what a proposal such as `aes256-sha256` means.
    pub const fn prf(self) -> Prf {
        match self {
            Self::HmacSha1 => Prf::HmacSha1,
            Self::HmacSha256 => Prf::HmacSha256,
            Self::HmacSha384 => Prf::HmacSha384,
            Self::HmacSha512 => Prf::HmacSha512,
        }
    }
}

impl KeyExchangeMethod {
    /// The one with this number.
    pub fn from_id(id: u16) -> Option<Self> {
        Self::ALL.iter().copied().find(|a| a.id() == id)
    }

    /// Whether both public values can be made at the same time, so that it may stand first, in
    /// IKE_SA_INIT. A key encapsulation needs the initiator's key first, and its values are larger
    /// than an unfragmented message should be (RFC 9370 §2.2).
    pub const fn may_be_first(self) -> bool {
        !matches!(self, Self::MlKem768)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_there_and_back() {
        for a in Encryption::ALL {
            assert_eq!(Encryption::from_name(a.name()), Some(*a));
            assert_eq!(Encryption::from_id(a.id(), a.key_length_attribute()), Some(*a));
        }
        for a in Prf::ALL {
            assert_eq!((Prf::from_name(a.name()), Prf::from_id(a.id())), (Some(*a), Some(*a)));
        }
        for a in Integrity::ALL {
            assert_eq!(Integrity::from_name(a.name()), Some(*a));
            assert_eq!(Integrity::from_id(a.id()), Some(*a));
        }
        for a in KeyExchangeMethod::ALL {
            assert_eq!(KeyExchangeMethod::from_name(a.name()), Some(*a));
            assert_eq!(KeyExchangeMethod::from_id(a.id()), Some(*a));
        }
    }

    #[test]
    fn a_key_length_of_somebody_else_is_not_ours() {
        assert_eq!(Encryption::from_id(20, Some(192)), None);
        assert_eq!(Encryption::from_id(20, None), None);
        assert_eq!(Encryption::from_id(28, Some(256)), None);
    }
}
