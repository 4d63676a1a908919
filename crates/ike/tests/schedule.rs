//! Keys and protected messages against those of `vectors.py`, which shares no code with us; and
//! HMAC of RFC 4231.

mod common;

use std::collections::BTreeMap;

use common::hex;
use lockgate_ike::{
    algorithm::{Encryption, Integrity, Prf},
    auth::{Identity, Intermediate, PresharedKey, Signed},
    crypto::{IkeKeys, Nonce, Nonces, OpenError, Ppk, Role, Secret, SharedSecret, Spis, Suite},
};

/// The values of `vectors.py` by their names.
struct Vectors(BTreeMap<&'static str, Vec<u8>>);

impl Vectors {
    fn load() -> Self {
        let lines = include_str!("data/schedule.txt").lines().filter(|l| !l.starts_with('#'));
        let pair = |line: &'static str| line.split_once(' ').map(|(name, v)| (name, hex(v)));
        Self(lines.map(|line| pair(line).expect("a name and a value")).collect())
    }

    fn get(&self, name: &str) -> &[u8] {
        self.0.get(name).unwrap_or_else(|| panic!("there is no {name}"))
    }

    fn secret(&self, name: &str) -> SharedSecret {
        SharedSecret(Secret::from_bytes(self.get(name)))
    }

    fn nonce(&self, name: &str) -> Nonce {
        Nonce::from_peer(self.get(name)).expect("a nonce")
    }

    fn spis(&self, name: &str) -> Spis {
        let (spis, _) = self.get(name).as_chunks::<8>();
        Spis { initiator: u64::from_be_bytes(spis[0]), responder: u64::from_be_bytes(spis[1]) }
    }

    fn check(&self, keys: &IkeKeys, name: &str) {
        let (i, r) = (Role::Initiator, Role::Responder);
        for (key, of) in [
            (keys.a(i), "ai"),
            (keys.a(r), "ar"),
            (keys.e(i), "ei"),
            (keys.e(r), "er"),
            (keys.p(i).expose(), "pi"),
            (keys.p(r).expose(), "pr"),
        ] {
            let right = self.get(&format!("{name}.{of}"));
            assert_eq!(key, right, "{name}.{of}");
        }
    }
}

const SUITES: [(Encryption, Option<Integrity>, Prf); 7] = [
    (Encryption::Aes128Gcm16, None, Prf::HmacSha256),
    (Encryption::Aes256Gcm16, None, Prf::HmacSha384),
    (Encryption::ChaCha20Poly1305, None, Prf::HmacSha512),
    (Encryption::Aes128Cbc, Some(Integrity::HmacSha256), Prf::HmacSha256),
    (Encryption::Aes256Cbc, Some(Integrity::HmacSha384), Prf::HmacSha384),
    (Encryption::Aes256Cbc, Some(Integrity::HmacSha512), Prf::HmacSha512),
    (Encryption::Aes128Cbc, Some(Integrity::HmacSha1), Prf::HmacSha1),
];

fn suite(i: usize) -> Suite {
    let (encryption, integrity, prf) = SUITES[i % SUITES.len()];
    Suite::new(encryption, integrity, prf).expect("they fit together")
}

fn name(suite: Suite) -> String {
    let integrity = suite.integrity().map(|i| format!("-{i}")).unwrap_or_default();
    format!("{}{integrity}-{}", suite.encryption(), suite.prf())
}

#[test]
fn keys_are_those_of_the_other_derivation() {
    let vectors = Vectors::load();
    for i in 0..SUITES.len() {
        let suite = suite(i);
        let name = name(suite);
        let of = |what: &str| format!("{name}.{what}");
        let (ni, nr) = (vectors.nonce(&of("ni")), vectors.nonce(&of("nr")));
        let nonces = Nonces { initiator: &ni, responder: &nr };
        let spis = vectors.spis(&of("spis"));
        let secret = vectors.secret(&of("secret"));
        let first = IkeKeys::initial(suite, &secret, nonces, spis);
        vectors.check(&first, &of("initial"));

        let second_secret = vectors.secret(&of("second_secret"));
        vectors.check(&first.after_exchange(&second_secret, nonces, spis), &of("second"));

        let mixed = first.with_ppk(&Ppk(Secret::from_bytes(vectors.get(&of("ppk")))));
        for (role, key) in [(Role::Initiator, "ppk.pi"), (Role::Responder, "ppk.pr")] {
            assert_eq!(mixed.p(role).expose(), vectors.get(&of(key)));
            assert_eq!(mixed.e(role), first.e(role), "a PPK does not change SK_e");
            assert_eq!(mixed.a(role), first.a(role), "a PPK does not change SK_a");
        }

        let (ni2, nr2) = (vectors.nonce(&of("ni2")), vectors.nonce(&of("nr2")));
        let nonces2 = Nonces { initiator: &ni2, responder: &nr2 };
        let (spis2, new) = (vectors.spis(&of("spis2")), self::suite(i + 1));
        let rekey = vectors.secret(&of("rekey_secret"));
        let exchanges = [rekey, second_secret, secret];
        let rekeyed = first.rekeyed(new, &exchanges[..1], nonces2, spis2);
        vectors.check(&rekeyed, &of("rekeyed"));
        let rekeyed = first.rekeyed(new, &exchanges, nonces2, spis2);
        vectors.check(&rekeyed, &of("hybrid"));

        for child in ["aes256gcm16", "aes128-sha256", "aes256-sha512", "chacha20poly1305"] {
            for (how, exchanges, nonces) in [
                ("plain", &exchanges[..0], nonces),
                ("pfs", &exchanges[..1], nonces2),
                ("hybrid", &exchanges[..2], nonces2),
            ] {
                let esp = child.parse().expect("a suite of ESP");
                let keys = first.child(esp, exchanges, nonces);
                let right = vectors.get(&format!("{name}.child.{child}.{how}"));
                let (i, r) = right.split_at(right.len() / 2);
                let of = esp::KeyMaterial::from_bytes;
                assert_eq!(keys.from_initiator, of(i), "{name} {child} {how}");
                assert_eq!(keys.from_responder, of(r), "{name} {child} {how}");
            }
        }
        // SK_d after a PPK shows in the keys of children
        let esp = esp::Suite::AES256_GCM16;
        assert_ne!(mixed.child(esp, &[], nonces), first.child(esp, &[], nonces));
    }
}

#[test]
fn sk_d_with_a_ppk_is_that_of_the_other_derivation() {
    let vectors = Vectors::load();
    for i in 0..SUITES.len() {
        let suite = suite(i);
        let name = name(suite);
        let of = |what: &str| format!("{name}.{what}");
        let (ni, nr) = (vectors.nonce(&of("ni")), vectors.nonce(&of("nr")));
        let nonces = Nonces { initiator: &ni, responder: &nr };
        let (secret, spis) = (vectors.secret(&of("secret")), vectors.spis(&of("spis")));
        let ppk = Ppk(Secret::from_bytes(vectors.get(&of("ppk"))));
        let keys = IkeKeys::initial(suite, &secret, nonces, spis).with_ppk(&ppk);
        // SK_d itself is nobody's business: a child's keys are made of it
        let esp = esp::Suite::AES256_GCM16;
        let seed = [ni.as_bytes(), nr.as_bytes()];
        let material = suite.prf().expand(vectors.get(&of("ppk.d")), &seed, 2 * esp.key_len());
        let (i, _) = material.expose().split_at(esp.key_len());
        let child = keys.child(esp, &[], nonces);
        assert_eq!(child.from_initiator, esp::KeyMaterial::from_bytes(i), "{name}");
    }
}

#[test]
fn messages_of_the_other_implementation_are_opened() {
    let vectors = Vectors::load();
    for i in 0..SUITES.len() {
        let suite = suite(i);
        let name = name(suite);
        let of = |what: &str| format!("{name}.{what}");
        let (ni, nr) = (vectors.nonce(&of("ni")), vectors.nonce(&of("nr")));
        let nonces = Nonces { initiator: &ni, responder: &nr };
        let (secret, spis) = (vectors.secret(&of("secret")), vectors.spis(&of("spis")));
        let keys = IkeKeys::initial(suite, &secret, nonces, spis);
        let body = vectors.get(&of("head")).len();
        for (how, inner) in [("least", "inner"), ("more", "inner"), ("empty", "")] {
            let message = vectors.get(&of(&format!("sealed.{how}")));
            let opener = keys.opener(Role::Responder);
            let inner = if inner.is_empty() { &[] } else { vectors.get(&of(inner)) };
            assert_eq!(opener.open(message, body).as_deref(), Ok(inner), "{name} {how}");
            let other = keys.opener(Role::Initiator).open(message, body);
            assert_eq!(other, Err(OpenError::NotAuthentic), "the keys of the other side");
        }
    }
}

#[test]
fn auth_by_a_preshared_key_is_that_of_the_other_derivation() {
    let vectors = Vectors::load();
    for i in 0..SUITES.len() {
        let suite = suite(i);
        let name = name(suite);
        let of = |what: &str| format!("{name}.{what}");
        let (ni, nr) = (vectors.nonce(&of("ni")), vectors.nonce(&of("nr")));
        let nonces = Nonces { initiator: &ni, responder: &nr };
        let (secret, spis) = (vectors.secret(&of("secret")), vectors.spis(&of("spis")));
        let first = IkeKeys::initial(suite, &secret, nonces, spis);
        let second = first.after_exchange(&vectors.secret(&of("second_secret")), nonces, spis);
        let identity = "a.example".parse::<Identity>().expect("an identity").to_payload();
        let mut intermediate = Intermediate::default();
        for (how, covered) in [("plain", false), ("intermediate", true)] {
            if covered {
                intermediate.add(&first, Role::Initiator, b"A1", b"P1");
                intermediate.add(&first, Role::Responder, b"A3", b"P3");
                intermediate.add(&second, Role::Initiator, b"A2", b"P2");
            }
            let signed = Signed {
                role: Role::Initiator,
                message: vectors.get(&of("message")),
                peer_nonce: &nr,
                identity: &identity,
                intermediate: &intermediate,
                auth_message_id: 2,
            };
            let psk = PresharedKey(Secret::from_bytes(vectors.get(&of("psk"))));
            let octets = signed.octets(&first);
            let data = psk.sign(suite.prf(), &octets);
            assert_eq!(data, vectors.get(&of(&format!("auth.{how}"))), "{name} {how}");
            assert!(psk.verify(suite.prf(), &octets, &data));
            for bit in 0..data.len() * 8 {
                let mut wrong = data.clone();
                wrong[bit / 8] ^= 1 << (bit % 8);
                assert!(!psk.verify(suite.prf(), &octets, &wrong), "{name} bit {bit}");
            }
            assert!(!psk.verify(suite.prf(), &octets, &data[1..]));
            assert!(!psk.verify(suite.prf(), &octets, &[]));
            let other = Signed { role: Role::Responder, ..signed }.octets(&first);
            assert!(!psk.verify(suite.prf(), &other, &data), "the other side's octets");
        }
    }
}

#[test]
fn hmac_of_rfc_4231() {
    let long = [0xaa; 131];
    let hash_first: &[u8] = b"Test Using Larger Than Block-Size Key - Hash Key First";
    for (prf, key, data, right) in [
        (
            Prf::HmacSha256,
            &[0x0b; 20][..],
            &b"Hi There"[..],
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
        ),
        (
            Prf::HmacSha384,
            &[0x0b; 20],
            b"Hi There",
            "afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59c
             faea9ea9076ede7f4af152e8b2fa9cb6",
        ),
        (
            Prf::HmacSha512,
            &[0x0b; 20],
            b"Hi There",
            "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cde
             daa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854",
        ),
        (
            Prf::HmacSha256,
            b"Jefe",
            b"what do ya want for nothing?",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        (
            Prf::HmacSha256,
            &long,
            hash_first,
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        ),
    ] {
        let (head, tail) = data.split_at(data.len() / 2);
        assert_eq!(prf.compute(key, &[head, tail]).expose(), hex(right), "{prf}");
    }
}

#[test]
fn keys_are_not_printed() {
    let nonce = Nonce::from_peer(&[1; 32]).expect("a nonce");
    let nonces = Nonces { initiator: &nonce, responder: &nonce };
    let spis = Spis { initiator: 1, responder: 2 };
    let secret = SharedSecret(Secret::from_bytes(&[7; 32]));
    let keys = IkeKeys::initial(suite(0), &secret, nonces, spis);
    let right = "IkeKeys { suite: Suite { encryption: Aes128Gcm16, integrity: None, \
                 prf: HmacSha256 }, .. }";
    assert_eq!(format!("{keys:?}"), right);
    assert_eq!(format!("{secret:?}"), "SharedSecret(Secret(..))");
    let sealer = format!("{:?}{:?}", keys.sealer(Role::Initiator), keys.opener(Role::Initiator));
    assert!(sealer.starts_with("Sealer { suite:") && sealer.ends_with(".. }"), "{sealer}");
}
