//! A row of Wireshark's `esp_sa` table, for the export of keys by somebody who asked for it.

use std::net::IpAddr;

use aead::MacAlgorithm;
use zeroize::Zeroizing;

use crate::{
    Parameters,
    suite::{Cipher, Integrity},
};

/// The row with which Wireshark decrypts and checks packets of the SA. **It holds the key.**
///
/// `None` for suites Wireshark cannot be told: AES-GMAC is not in its table.
pub fn wireshark_row(parameters: &Parameters) -> Option<Zeroizing<String>> {
    let suite = parameters.suite;
    let cipher = match suite.cipher {
        Cipher::Aes128Gcm | Cipher::Aes256Gcm => "AES-GCM with 16 octet ICV [RFC4106]",
        Cipher::ChaCha20Poly1305 => "ChaCha20 with Poly1305 [RFC7634]",
        Cipher::Aes128Gmac | Cipher::Aes256Gmac => return None,
        Cipher::Aes128Cbc | Cipher::Aes256Cbc => "AES-CBC [RFC3602]",
        Cipher::Null => "NULL",
    };
    let integrity = match suite.integrity {
        Integrity::Combined => "NULL",
        Integrity::Hmac(MacAlgorithm::Sha1) => "HMAC-SHA-1-96 [RFC2404]",
        Integrity::Hmac(MacAlgorithm::Sha256) => "HMAC-SHA-256-128 [RFC4868]",
        Integrity::Hmac(MacAlgorithm::Sha384) => "HMAC-SHA-384-192 [RFC4868]",
        Integrity::Hmac(MacAlgorithm::Sha512) => "HMAC-SHA-512-256 [RFC4868]",
    };
    let hex = parameters.key.expose_hex();
    // the salt of combined suites belongs to the encryption key there
    let (encryption, mac) =
        hex.split_at_checked((suite.key_len() - suite.integrity_key_len()) * 2)?;
    let key = |digits: &str| {
        Zeroizing::new(if digits.is_empty() { String::new() } else { format!("0x{digits}") })
    };
    let version = match parameters.destination {
        IpAddr::V4(_) => "IPv4",
        IpAddr::V6(_) => "IPv6",
    };
    Some(Zeroizing::new(format!(
        "\"{version}\",\"{}\",\"{}\",\"{:#010x}\",\"{cipher}\",\"{}\",\"{integrity}\",\"{}\"",
        parameters.source,
        parameters.destination,
        parameters.spi,
        *key(encryption),
        *key(mac),
    )))
}
