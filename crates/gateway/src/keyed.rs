//! A keyed hash for tables that strangers fill: without the key nobody can aim at one bucket.
//!
//! Words are folded with a 64 by 64 bit multiplication. Fast and well spread, but no MAC: the key
//! must not leave the gateway. The same key gives the same hashes on every machine.

use core::hash::{BuildHasher, Hasher};

use crate::rng::Rng;

/// Makes hashers with one key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keyed {
    start: u64,
    factor: u64,
}

impl Keyed {
    /// The key that follows from `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        Self { start: rng.next_u64(), factor: rng.next_u64() | 1 }
    }
}

impl BuildHasher for Keyed {
    type Hasher = KeyedHasher;

    fn build_hasher(&self) -> KeyedHasher {
        KeyedHasher { state: self.start, factor: self.factor }
    }
}

/// A hash being computed.
pub(crate) struct KeyedHasher {
    state: u64,
    factor: u64,
}

const fn fold(a: u64, b: u64) -> u64 {
    let product = a as u128 * b as u128;
    product as u64 ^ (product >> 64) as u64
}

impl KeyedHasher {
    #[inline]
    fn word(&mut self, word: u64) {
        self.state = fold(self.state ^ word, self.factor).rotate_left(23);
    }
}

impl Hasher for KeyedHasher {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.word(u64::from_le_bytes(*word));
        }
        if !rest.is_empty() {
            let mut last = [0; 8];
            for (to, from) in last.iter_mut().zip(rest) {
                *to = *from;
            }
            self.word(u64::from_le_bytes(last) ^ (rest.len() as u64) << 56);
        }
    }

    #[inline]
    fn write_u8(&mut self, n: u8) {
        self.word(u64::from(n));
    }

    #[inline]
    fn write_u16(&mut self, n: u16) {
        self.word(u64::from(n));
    }

    #[inline]
    fn write_u32(&mut self, n: u32) {
        self.word(u64::from(n));
    }

    #[inline]
    fn write_u64(&mut self, n: u64) {
        self.word(n);
    }

    #[inline]
    fn write_usize(&mut self, n: usize) {
        self.word(n as u64);
    }

    #[inline]
    fn finish(&self) -> u64 {
        fold(self.state, self.factor ^ 0x9e37_79b9_7f4a_7c15)
    }
}

#[cfg(test)]
mod tests {
    use core::net::{IpAddr, Ipv4Addr};

    use super::*;

    #[test]
    fn neighbouring_addresses_spread_and_the_key_matters() {
        let buckets = |seed| {
            let keyed = Keyed::new(seed);
            let mut filled = [0u32; 256];
            for n in 0..4096u32 {
                let ip = IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + n));
                filled[(keyed.hash_one(ip) & 255) as usize] += 1;
            }
            filled
        };
        let (one, two) = (buckets(1), buckets(2));
        assert_ne!(one, two);
        // 16 on average; a binomial bucket passes 48 with probability below 1e-9
        assert!(one.iter().chain(&two).all(|n| *n < 48));
        assert_eq!(one, buckets(1));
    }
}
