//! Cookies of a login. A cookie is a name to look it up by and a secret; of the secret only the
//! digest is kept, and compared in constant time.

use std::fmt::Write as _;

use aws_lc_rs::digest;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

const NAME_LEN: usize = 8;
const SECRET_LEN: usize = 32;

/// What is kept of a cookie.
#[derive(Clone, Copy)]
pub(crate) struct Cookie {
    /// What it is looked up by.
    pub(crate) name: u64,
    digest: [u8; 32],
}

/// A cookie that a client shows.
pub(crate) struct Offered {
    pub(crate) name: u64,
    secret: Zeroizing<[u8; SECRET_LEN]>,
}

impl Cookie {
    /// A new one, and its text.
    pub(crate) fn issue(rng: &mut dyn CryptoRng) -> (Self, Zeroizing<String>) {
        let mut bytes = Zeroizing::new([0; NAME_LEN + SECRET_LEN]);
        rng.fill_bytes(bytes.as_mut());
        let mut text = Zeroizing::new(String::with_capacity(2 * bytes.len()));
        for byte in bytes.iter() {
            let _ = write!(text, "{byte:02x}");
        }
        let offered = Offered::parse(&text).expect("invariant: we write what we read");
        (Self { name: offered.name, digest: offered.digest() }, text)
    }

    /// Whether it is this one.
    pub(crate) fn is(&self, offered: &Offered) -> bool {
        self.name == offered.name && aead::constant_time_eq(&self.digest, &offered.digest())
    }
}

impl Offered {
    /// From its text.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut bytes = Zeroizing::new([0; NAME_LEN + SECRET_LEN]);
        if !decode_hex(text, bytes.as_mut()) {
            return None;
        }
        let (name, secret) = bytes.split_first_chunk::<NAME_LEN>()?;
        let secret = Zeroizing::new(*secret.first_chunk()?);
        Some(Self { name: u64::from_be_bytes(*name), secret })
    }

    fn digest(&self) -> [u8; 32] {
        let digest = digest::digest(&digest::SHA256, &*self.secret);
        digest.as_ref().try_into().expect("invariant: SHA-256 has 32 bytes")
    }
}

/// Fills `bytes` from as many hexadecimal digits.
pub(crate) fn decode_hex(text: &str, bytes: &mut [u8]) -> bool {
    if text.len() != 2 * bytes.len() {
        return false;
    }
    let digit = |b: u8| char::from(b).to_digit(16);
    text.as_bytes().chunks_exact(2).zip(bytes).all(|(pair, byte)| {
        match (digit(pair[0]), digit(pair[1])) {
            (Some(high), Some(low)) => {
                *byte = (high * 16 + low) as u8;
                true
            }
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Counter;

    #[test]
    fn a_cookie_is_its_own_and_no_other() {
        let mut rng = Counter::default();
        let (cookie, text) = Cookie::issue(&mut rng);
        let (other, _) = Cookie::issue(&mut rng);
        let offered = Offered::parse(&text).unwrap();
        assert!(cookie.is(&offered));
        assert!(!other.is(&offered));
        // every digit counts
        for at in 0..text.len() {
            let mut wrong = text.as_bytes().to_vec();
            wrong[at] = if wrong[at] == b'0' { b'1' } else { b'0' };
            let wrong = Offered::parse(std::str::from_utf8(&wrong).unwrap()).unwrap();
            assert!(!cookie.is(&wrong), "digit {at}");
        }
        assert!(Offered::parse(&text[1..]).is_none());
        assert!(Offered::parse(&text.replace('0', "g")).is_none());
        assert!(Offered::parse("").is_none());
    }
}
