//! Cookies: a peer shows that it receives what is sent to its address, before anything is kept about
//! it (RFC 7296 §2.6, RFC 6347 §4.2.1).

use std::{net::IpAddr, net::SocketAddr, time::Duration};

use rand_core::CryptoRng;
use wire::Time;
use zeroize::Zeroizing;

use crate::{Mac, MacAlgorithm, constant_time_eq};

/// Bytes of a cookie: the number of its secret, then a truncated HMAC.
pub const COOKIE_LEN: usize = 20;

/// How long a secret is used; the one before is taken as long again.
const ROTATE: Duration = Duration::from_secs(60);
const SECRET_LEN: usize = 32;

/// Makes and checks cookies; keeps nothing per peer.
pub struct Cookies {
    secrets: [Zeroizing<[u8; SECRET_LEN]>; 2],
    /// Counts secrets, and is the first byte of a cookie.
    version: u8,
    since: Time,
}

impl Cookies {
    /// With two fresh secrets. `rng` has to be fit for keys.
    pub fn new(rng: &mut (dyn CryptoRng + Send)) -> Self {
        let mut secret = || {
            let mut secret = Zeroizing::new([0; SECRET_LEN]);
            rng.fill_bytes(secret.as_mut());
            secret
        };
        Self { secrets: [secret(), secret()], version: 0, since: Time::ZERO }
    }

    /// The cookie for a peer at `remote` that said `what`, parts of known length but for the last.
    pub fn make(
        &mut self,
        now: Time,
        rng: &mut (dyn CryptoRng + Send),
        remote: SocketAddr,
        what: &[&[u8]],
    ) -> [u8; COOKIE_LEN] {
        if now.since(self.since) >= ROTATE {
            self.secrets.swap(0, 1);
            rng.fill_bytes(self.secrets[0].as_mut());
            // after a long pause the older one is as old
            if now.since(self.since) >= ROTATE * 2 {
                rng.fill_bytes(self.secrets[1].as_mut());
            }
            (self.version, self.since) = (self.version.wrapping_add(1), now);
        }
        cookie(self.version, &self.secrets[0], remote, what)
    }

    /// Whether it is one of ours, for this peer, and not old.
    pub fn check(&self, now: Time, remote: SocketAddr, what: &[&[u8]], got: &[u8]) -> bool {
        if now.since(self.since) >= ROTATE * 2 {
            return false;
        }
        let age = got.first().map(|version| self.version.wrapping_sub(*version));
        let secret = age.and_then(|age| self.secrets.get(usize::from(age)));
        secret.is_some_and(|secret| constant_time_eq(&cookie(got[0], secret, remote, what), got))
    }
}

fn cookie(
    version: u8,
    secret: &[u8; SECRET_LEN],
    remote: SocketAddr,
    what: &[&[u8]],
) -> [u8; COOKIE_LEN] {
    let mut cookie = [0; COOKIE_LEN];
    cookie[0] = version;
    let port = remote.port().to_be_bytes();
    let mac = Mac::new(MacAlgorithm::Sha256, secret);
    let mut sign = |ip: &[u8]| mac.sign(&[&[ip, &port], what].concat(), &mut cookie[1..]);
    match remote.ip() {
        IpAddr::V4(ip) => sign(&ip.octets()),
        IpAddr::V6(ip) => sign(&ip.octets()),
    }
    cookie
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    use rand_core::{TryCryptoRng, TryRng};

    /// Counts; not fit for keys.
    struct Counting(u8);

    impl TryRng for Counting {
        type Error = Infallible;

        fn try_next_u32(&mut self) -> Result<u32, Infallible> {
            self.try_next_u64().map(|n| n as u32)
        }

        fn try_next_u64(&mut self) -> Result<u64, Infallible> {
            self.0 += 1;
            Ok(self.0.into())
        }

        fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
            self.0 += 1;
            bytes.fill(self.0);
            Ok(())
        }
    }

    impl TryCryptoRng for Counting {}

    #[test]
    fn a_cookie_is_for_one_peer_and_for_a_while() {
        let mut rng = Counting(0);
        let mut cookies = Cookies::new(&mut rng);
        let peer = |port| SocketAddr::from(([192, 0, 2, 2], port));
        let at = Time::from_secs;
        let said: [&[u8]; 2] = [&[7; 8], b"nonce"];
        let cookie = cookies.make(at(1000), &mut rng, peer(500), &said);
        assert!(cookies.check(at(1000), peer(500), &said, &cookie));
        assert!(!cookies.check(at(1000), peer(501), &said, &cookie));
        assert!(!cookies.check(at(1000), peer(500), &[&[8; 8], b"nonce"], &cookie));
        assert!(!cookies.check(at(1000), peer(500), &[&[7; 8], b"other"], &cookie));
        assert!(!cookies.check(at(1000), peer(500), &said, &cookie[..19]));
        assert!(!cookies.check(at(1000), peer(500), &said, b""));
        let next = cookies.make(at(1060), &mut rng, peer(500), &said);
        assert_ne!(cookie, next);
        assert!(cookies.check(at(1061), peer(500), &said, &cookie), "the one before");
        cookies.make(at(1120), &mut rng, peer(500), &said);
        assert!(!cookies.check(at(1120), peer(500), &said, &cookie), "too old");
        assert!(cookies.check(at(1120), peer(500), &said, &next));
        assert!(!cookies.check(at(1240), peer(500), &said, &next), "nobody asked meanwhile");
    }
}
