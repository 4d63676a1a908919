//! A row of Wireshark's `ikev2_decryption_table`, for the export of keys by somebody who asked for it.

use zeroize::Zeroizing;

use super::{IkeKeys, Role, Spis};
use crate::algorithm::{Encryption, Integrity};

/// The row with which Wireshark decrypts and checks messages of the IKE SA. **It holds the keys.**
///
/// `None` for ChaCha20-Poly1305, which is not in Wireshark's table.
pub fn wireshark_row(keys: &IkeKeys, spis: Spis) -> Option<Zeroizing<String>> {
    let encryption = match keys.suite().encryption() {
        Encryption::Aes128Gcm16 => "AES-GCM-128 with 16 octet ICV [RFC5282]",
        Encryption::Aes256Gcm16 => "AES-GCM-256 with 16 octet ICV [RFC5282]",
        Encryption::Aes128Cbc => "AES-CBC-128 [RFC3602]",
        Encryption::Aes256Cbc => "AES-CBC-256 [RFC3602]",
        Encryption::ChaCha20Poly1305
        | Encryption::Aes128Gmac
        | Encryption::Aes256Gmac
        | Encryption::Null => return None,
    };
    let integrity = match keys.suite().integrity() {
        None => "NONE [RFC4306]",
        Some(Integrity::HmacSha1) => "HMAC_SHA1_96 [RFC2404]",
        Some(Integrity::HmacSha256) => "HMAC_SHA2_256_128 [RFC4868]",
        Some(Integrity::HmacSha384) => "HMAC_SHA2_384_192 [RFC4868]",
        Some(Integrity::HmacSha512) => "HMAC_SHA2_512_256 [RFC4868]",
    };
    let (i, r) = (Role::Initiator, Role::Responder);
    Some(Zeroizing::new(format!(
        "{:016x},{:016x},{},{},\"{encryption}\",{},{},\"{integrity}\"",
        spis.initiator,
        spis.responder,
        *field(keys.e(i)),
        *field(keys.e(r)),
        *field(keys.a(i)),
        *field(keys.a(r)),
    )))
}

/// Hexadecimal digits; two quotation marks for nothing.
fn field(bytes: &[u8]) -> Zeroizing<String> {
    if bytes.is_empty() {
        return Zeroizing::new("\"\"".to_owned());
    }
    let mut text = Zeroizing::new(String::with_capacity(bytes.len() * 2));
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from_digit(nibble.into(), 16).expect("invariant: a nibble"));
        }
    }
    text
}
