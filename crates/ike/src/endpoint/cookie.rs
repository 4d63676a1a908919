//! Cookies (RFC 7296 §2.6): a peer shows that it receives what is sent to its address, before
//! anything is kept about it.

use std::{net::IpAddr, time::Duration};

use aead::{Mac, MacAlgorithm};
use rand_core::CryptoRng;
use wire::Time;
use zeroize::Zeroizing;

use crate::Path;

/// How long a secret is used; the one before is taken as long again.
const ROTATE: Duration = Duration::from_secs(60);
const LEN: usize = 32;

/// Makes and checks cookies.
pub(super) struct Cookies {
    secrets: [Zeroizing<[u8; LEN]>; 2],
    /// Counts secrets, and is the first byte of a cookie.
    version: u8,
    since: Time,
}

impl Cookies {
    pub(super) fn new(rng: &mut (dyn CryptoRng + Send)) -> Self {
        let mut secret = || {
            let mut secret = Zeroizing::new([0; LEN]);
            rng.fill_bytes(secret.as_mut());
            secret
        };
        Self { secrets: [secret(), secret()], version: 0, since: Time::ZERO }
    }

    /// The cookie for a peer with this nonce and SPI.
    pub(super) fn make(
        &mut self,
        now: Time,
        rng: &mut (dyn CryptoRng + Send),
        path: Path,
        spi: u64,
        nonce: &[u8],
    ) -> Vec<u8> {
        if now.since(self.since) >= ROTATE {
            self.secrets.swap(0, 1);
            rng.fill_bytes(self.secrets[0].as_mut());
            // after a long pause the older one is as old
            if now.since(self.since) >= ROTATE * 2 {
                rng.fill_bytes(self.secrets[1].as_mut());
            }
            (self.version, self.since) = (self.version.wrapping_add(1), now);
        }
        cookie(self.version, &self.secrets[0], path, spi, nonce)
    }

    /// Whether it is one of ours, for this peer, and not old.
    pub(super) fn check(&self, now: Time, path: Path, spi: u64, nonce: &[u8], got: &[u8]) -> bool {
        if now.since(self.since) >= ROTATE * 2 {
            return false;
        }
        let age = got.first().map(|version| self.version.wrapping_sub(*version));
        let secret = age.and_then(|age| self.secrets.get(usize::from(age)));
        secret.is_some_and(|secret| {
            let version = got[0];
            aead::constant_time_eq(&cookie(version, secret, path, spi, nonce), got)
        })
    }
}

fn cookie(version: u8, secret: &[u8; LEN], path: Path, spi: u64, nonce: &[u8]) -> Vec<u8> {
    let mut cookie = vec![0; 1 + LEN];
    cookie[0] = version;
    let port = path.remote.port().to_be_bytes();
    let spi = spi.to_be_bytes();
    let mac = Mac::new(MacAlgorithm::Sha256, secret);
    match path.remote.ip() {
        IpAddr::V4(ip) => mac.sign(&[&ip.octets(), &port, &spi, nonce], &mut cookie[1..]),
        IpAddr::V6(ip) => mac.sign(&[&ip.octets(), &port, &spi, nonce], &mut cookie[1..]),
    }
    cookie
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Chaos;

    #[test]
    fn a_cookie_is_for_one_peer_and_for_a_while() {
        let mut rng = Chaos::new(1);
        let mut cookies = Cookies::new(&mut rng);
        let path = |port| Path {
            local: "192.0.2.1:500".parse().unwrap(),
            remote: format!("192.0.2.2:{port}").parse().unwrap(),
        };
        let at = Time::from_secs;
        let cookie = cookies.make(at(1000), &mut rng, path(500), 7, b"nonce");
        assert!(cookies.check(at(1000), path(500), 7, b"nonce", &cookie));
        assert!(!cookies.check(at(1000), path(501), 7, b"nonce", &cookie));
        assert!(!cookies.check(at(1000), path(500), 8, b"nonce", &cookie));
        assert!(!cookies.check(at(1000), path(500), 7, b"other", &cookie));
        assert!(!cookies.check(at(1000), path(500), 7, b"nonce", &cookie[..32]));
        assert!(!cookies.check(at(1000), path(500), 7, b"nonce", b""));
        let next = cookies.make(at(1060), &mut rng, path(500), 7, b"nonce");
        assert_ne!(cookie, next);
        assert!(cookies.check(at(1061), path(500), 7, b"nonce", &cookie), "the one before");
        cookies.make(at(1120), &mut rng, path(500), 7, b"nonce");
        assert!(!cookies.check(at(1120), path(500), 7, b"nonce", &cookie), "too old");
        assert!(cookies.check(at(1120), path(500), 7, b"nonce", &next));
        assert!(!cookies.check(at(1240), path(500), 7, b"nonce", &next), "nobody asked meanwhile");
    }
}
