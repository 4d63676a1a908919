//! The key schedule of TLS 1.2 (RFC 5246 §5, §6.3, §7.4.9, §8.1; RFC 4279 §2; RFC 7627 §4).

use aead::Algorithm;
use association::KeyMaterial;
use aws_lc_rs::{digest, tls_prf};
use zeroize::Zeroizing;

use crate::{Hash, Suite, record::RecordKeys};

/// Bytes of a master secret.
pub const MASTER_LEN: usize = 48;
/// Bytes of what a Finished message proves.
pub const VERIFY_LEN: usize = 12;

/// The handshake messages so far, hashed as if none had been cut or repeated (RFC 6347 §4.2.6).
#[derive(Clone)]
pub struct Transcript(digest::Context);

impl Transcript {
    pub fn new(hash: Hash) -> Self {
        Self(digest::Context::new(match hash {
            Hash::Sha256 => &digest::SHA256,
            Hash::Sha384 => &digest::SHA384,
        }))
    }

    /// A message with its header.
    pub fn add(&mut self, message: &[u8]) {
        self.0.update(message);
    }

    fn hash(&self) -> digest::Digest {
        self.0.clone().finish()
    }
}

/// The master secret of a PSK handshake; `transcript` goes up to ClientKeyExchange.
pub fn master_of_psk(
    hash: Hash,
    psk: &KeyMaterial,
    randoms: (&[u8; 32], &[u8; 32]),
    extended: Option<&Transcript>,
) -> KeyMaterial {
    let len = psk.len();
    let prefix = (len as u16).to_be_bytes();
    let mut premaster = Zeroizing::new(Vec::with_capacity(2 * (len + 2)));
    premaster.extend_from_slice(&prefix);
    premaster.resize(len + 2, 0);
    premaster.extend_from_slice(&prefix);
    premaster.extend_from_slice(psk.expose());
    let master = match extended {
        Some(transcript) => {
            let hashed = transcript.hash();
            prf(hash, &premaster, b"extended master secret", (hashed.as_ref(), &[]), MASTER_LEN)
        }
        None => {
            let (client, server) = randoms;
            prf(hash, &premaster, b"master secret", (client, server), MASTER_LEN)
        }
    };
    KeyMaterial::from_bytes(master.as_ref())
}

/// What the client and what the server protects its records with.
pub fn record_keys(
    suite: Suite,
    master: &KeyMaterial,
    (client, server): (&[u8; 32], &[u8; 32]),
) -> [RecordKeys; 2] {
    let (key, iv) = (suite.cipher().key_len(), iv_len(suite.cipher()));
    let seed = (&server[..], &client[..]);
    let block = prf(suite.hash(), master.expose(), b"key expansion", seed, 2 * (key + iv));
    let (keys, ivs) = block.as_ref().split_at(2 * key);
    [0, 1].map(|side| {
        RecordKeys::new(suite.cipher(), &keys[side * key..][..key], &ivs[side * iv..][..iv])
    })
}

/// Bytes of the part of a nonce that is secret (RFC 5288 §3, RFC 7905 §2).
pub const fn iv_len(cipher: Algorithm) -> usize {
    match cipher {
        Algorithm::Aes128Gcm | Algorithm::Aes256Gcm => 4,
        Algorithm::ChaCha20Poly1305 => 12,
    }
}

/// What a Finished message has to say; `label` names its sender.
pub fn verify_data(
    hash: Hash,
    master: &KeyMaterial,
    label: &[u8],
    transcript: &Transcript,
) -> [u8; VERIFY_LEN] {
    let hashed = transcript.hash();
    let secret = prf(hash, master.expose(), label, (hashed.as_ref(), &[]), VERIFY_LEN);
    secret.try_into().expect("invariant: as many bytes as were asked for")
}

fn prf(
    hash: Hash,
    secret: &[u8],
    label: &[u8],
    (seed, more): (&[u8], &[u8]),
    len: usize,
) -> tls_prf::Secret {
    let algorithm = match hash {
        Hash::Sha256 => &tls_prf::P_SHA256,
        Hash::Sha384 => &tls_prf::P_SHA384,
    };
    tls_prf::Secret::new(algorithm, secret)
        .and_then(|secret| secret.derive_with_seed_concatination(label, seed, more, len))
        .expect("invariant: no secret here is empty")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Published test vectors of the PRF:
    /// <https://mailarchive.ietf.org/arch/msg/tls/fzVCzk-z3FShgGJ6DOXqM1ydxms/>.
    #[test]
    fn the_prf_gives_what_others_publish() {
        let hex = |text: &str| KeyMaterial::from_hex(text).expect("digits").expose().to_vec();
        let secret = hex("9bbe436ba940f017b17652849a71db35");
        let seed = hex("a0ba9f936cda311827a6f796ffd5198c");
        let got = prf(Hash::Sha256, &secret, b"test label", (&seed, &[]), 100);
        let expected = hex(
            "e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a6b301791e90d35c9c9a46b4e14baf9af0f\
             a022f7077def17abfd3797c0564bab4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff7018734\
             7b66",
        );
        assert_eq!(got.as_ref(), expected);
    }
}
