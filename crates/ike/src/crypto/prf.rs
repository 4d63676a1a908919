//! The pseudorandom functions: HMAC (RFC 4868 §2.1.2) and prf+ (RFC 7296 §2.13).

use aead::{Mac, MacAlgorithm};

use super::Secret;
use crate::algorithm::Prf;

impl Prf {
    /// `prf(key, parts)`. HMAC takes keys of any length (RFC 7296 §2.13).
    pub fn compute(self, key: &[u8], parts: &[&[u8]]) -> Secret {
        let mut output = Secret::zeroed(self.output_len());
        Mac::new(mac_algorithm(self), key).sign(parts, output.expose_mut());
        output
    }

    /// The first `len` bytes of `prf+(key, seed)`. Each output is keyed alike, so the key is worked
    /// with once only.
    ///
    /// # Panics
    ///
    /// When more than 255 outputs are asked for, which RFC 7296 §2.13 does not define. The longest
    /// that IKE needs is 13 outputs.
    pub fn expand(self, key: &[u8], seed: &[&[u8]], len: usize) -> Secret {
        assert!(len <= 255 * self.output_len(), "invariant: prf+ ends after 255 outputs");
        let mac = Mac::new(mac_algorithm(self), key);
        let mut output = Secret::zeroed(len);
        let mut previous = Secret::zeroed(0);
        for (i, block) in output.expose_mut().chunks_mut(self.output_len()).enumerate() {
            let count = [i as u8 + 1];
            let parts = [&[previous.expose()], seed, &[&count]].concat();
            let mut whole = Secret::zeroed(self.output_len());
            mac.sign(&parts, whole.expose_mut());
            block.copy_from_slice(&whole.expose()[..block.len()]);
            previous = whole;
        }
        output
    }
}

const fn mac_algorithm(prf: Prf) -> MacAlgorithm {
    match prf {
        Prf::HmacSha1 => MacAlgorithm::Sha1,
        Prf::HmacSha256 => MacAlgorithm::Sha256,
        Prf::HmacSha384 => MacAlgorithm::Sha384,
        Prf::HmacSha512 => MacAlgorithm::Sha512,
    }
}
