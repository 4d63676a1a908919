//! Passwords as they are kept: Argon2id (RFC 9106) in the PHC string format.

use std::{fmt, str::FromStr};

use argon2::{
    Algorithm, Argon2, CustomizedPasswordHasher as _, Params, PasswordHasher as _,
    PasswordVerifier as _, Version, password_hash::phc,
};
use rand_core::CryptoRng;

/// Bytes of a salt (RFC 9106 §3.1).
const SALT_LEN: usize = 16;
/// Memory in KiB that a hash may take: what a file says must not exhaust the gateway.
const MAX_MEMORY: u32 = 256 * 1024;
/// Passes that a hash may take.
const MAX_PASSES: u32 = 16;
/// Lanes that a hash may have.
const MAX_LANES: u32 = 16;

/// The hash of a password.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(Box<phc::PasswordHash>);

/// Text is no hash that we check passwords with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordHashError {
    /// It is not `$argon2id$...`.
    #[error("is not an Argon2id hash, which begins with $argon2id$v=19$")]
    NotArgon2id,
    /// Its parts do not make sense.
    #[error("is a damaged Argon2id hash")]
    Damaged,
    /// To check it would take too much.
    #[error("takes more than 256 MiB of memory, 16 passes or 16 lanes to check")]
    TooExpensive,
}

impl PasswordHash {
    /// Hashes a password: 19 MiB, two passes, a salt from `rng`. Takes tens of milliseconds.
    pub fn new(password: &str, rng: &mut dyn CryptoRng) -> Self {
        let mut salt = [0; SALT_LEN];
        rng.fill_bytes(&mut salt);
        let hash = hasher().hash_password_with_salt(password.as_bytes(), &salt);
        // the library wants a password below 4 GiB, and the salt is as long as it should be
        Self(Box::new(hash.expect("invariant: the parameters are the library's own")))
    }

    /// Whether it is this password. Takes as long as hashing it.
    pub(crate) fn verify(&self, password: &str) -> bool {
        hasher().verify_password(password.as_bytes(), &*self.0).is_ok()
    }

    /// Does the work of [`Self::verify`] for a user who does not exist. `like` is a hash that takes
    /// as long as those of users who do.
    pub(crate) fn verify_nothing(like: Option<&Self>, password: &str) {
        let params = like.and_then(|like| Params::try_from(&*like.0).ok()).unwrap_or_default();
        let hash = hasher().hash_password_with_params(password.as_bytes(), &[0; SALT_LEN], params);
        std::hint::black_box(hash.is_ok());
    }
}

fn hasher() -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::default())
}

impl FromStr for PasswordHash {
    type Err = PasswordHashError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if !text.starts_with("$argon2id$") {
            return Err(PasswordHashError::NotArgon2id);
        }
        let hash = phc::PasswordHash::new(text).map_err(|_| PasswordHashError::Damaged)?;
        let params = Params::try_from(&hash).map_err(|_| PasswordHashError::Damaged)?;
        if hash.salt.is_none() || hash.hash.is_none() || hash.version != Some(0x13) {
            return Err(PasswordHashError::Damaged);
        }
        let dear = params.m_cost() > MAX_MEMORY
            || params.t_cost() > MAX_PASSES
            || params.p_cost() > MAX_LANES;
        if dear { Err(PasswordHashError::TooExpensive) } else { Ok(Self(Box::new(hash))) }
    }
}

/// The PHC string.
impl fmt::Display for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Shows nothing to guess at.
impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Counter;

    #[test]
    fn a_password_is_verified_and_no_other() {
        let hash = PasswordHash::new("correct horse", &mut Counter::default());
        assert!(hash.verify("correct horse"));
        assert!(!hash.verify("correct horse "));
        assert!(!hash.verify(""));
        let text = hash.to_string();
        assert!(text.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{text}");
        assert_eq!(text.parse::<PasswordHash>().unwrap(), hash);
        assert_eq!(format!("{hash:?}"), "PasswordHash(..)");
    }

    /// Made by the reference implementation in C, by way of argon2-cffi: 64 KiB, one pass.
    #[test]
    fn a_hash_of_another_implementation_is_verified() {
        let text = include_str!("reference.phc").trim();
        let hash: PasswordHash = text.parse().unwrap();
        assert!(hash.verify("secret1"));
        assert!(!hash.verify("secret2"));
    }

    #[test]
    fn what_is_no_hash_is_refused() {
        let good = PasswordHash::new("x", &mut Counter::default()).to_string();
        for (text, want) in [
            ("", PasswordHashError::NotArgon2id),
            ("secret", PasswordHashError::NotArgon2id),
            ("$2b$10$abcdefghijklmnopqrstuv", PasswordHashError::NotArgon2id),
            ("$argon2i$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2g", PasswordHashError::NotArgon2id),
            ("$argon2id$v=19$m=8,t=1,p=1", PasswordHashError::Damaged),
            (&good.replace("v=19", "v=18"), PasswordHashError::Damaged),
            (&good.replace("m=19456", "m=1"), PasswordHashError::Damaged),
            (&good.replace("m=19456", "m=999999"), PasswordHashError::TooExpensive),
            (&good.replace("t=2", "t=99"), PasswordHashError::TooExpensive),
        ] {
            assert_eq!(text.parse::<PasswordHash>().unwrap_err(), want, "{text}");
        }
    }
}
