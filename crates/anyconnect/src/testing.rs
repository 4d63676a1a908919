//! What unit tests share.

use std::convert::Infallible;

use rand_core::{TryCryptoRng, TryRng};

use crate::auth::PasswordHash;

/// A generator that counts; not fit for keys, and not meant to be.
#[derive(Default)]
pub(crate) struct Counter(u64);

impl TryRng for Counter {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.try_next_u64().map(|n| n as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.0 += 1;
        Ok(self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(8) {
            let number = self.try_next_u64()?.to_le_bytes();
            chunk.copy_from_slice(&number[..chunk.len()]);
        }
        Ok(())
    }
}

impl TryCryptoRng for Counter {}

/// A hash that is cheap to check.
pub(crate) fn cheap_hash(password: &str) -> PasswordHash {
    use argon2::{Argon2, Params, PasswordHasher as _};
    let params = Params::new(8, 1, 1, None).expect("the least there is");
    let hash =
        Argon2::from(params).hash_password_with_salt(password.as_bytes(), b"saltsaltsalt1234");
    hash.expect("hashed").to_string().parse().expect("ours")
}
