//! Signatures: AUTH payloads made by Python's `cryptography` (see `vectors.py`), and ours.

use lockgate_ike::auth::{
    Certificate, Hash, HashAlgorithms, KeyFileError, KeyKind, PrivateKey, RsaPadding, Scheme,
    SignError, SignatureRefusal, verify,
};
use proptest::prelude::*;

macro_rules! data {
    ($name:expr) => {
        include_bytes!(concat!("data/signatures/", $name))
    };
}

const OCTETS: &[u8] = data!("octets");

fn certificate(pem: &[u8]) -> Certificate {
    Certificate::all_from_pem(pem).expect("a certificate").remove(0)
}

/// Key, certificate, and the key in its other form.
fn keys() -> Vec<(PrivateKey, Certificate)> {
    [
        (&data!("rsa.pkcs8.pem")[..], &data!("rsa.cert.pem")[..]),
        (data!("p256.pkcs8.pem"), data!("p256.cert.pem")),
        (data!("p384.pkcs8.pem"), data!("p384.cert.pem")),
        (data!("p521.pkcs8.pem"), data!("p521.cert.pem")),
        (data!("ed25519.pkcs8.pem"), data!("ed25519.cert.pem")),
    ]
    .map(|(key, pem)| (PrivateKey::from_pem(key).expect("a key"), certificate(pem)))
    .into()
}

#[test]
fn signatures_of_another_implementation_are_verified_and_no_changed_bit_is() {
    use Hash::{Sha256, Sha384, Sha512};
    let rsa = data!("rsa.cert.pem");
    let (p256, p384, p521) =
        (data!("p256.cert.pem"), data!("p384.cert.pem"), data!("p521.cert.pem"));
    for (pem, auth, scheme) in [
        (&rsa[..], &data!("rsa.pkcs1-sha256.auth")[..], Scheme::RsaPkcs1(Sha256)),
        (rsa, data!("rsa.pkcs1-sha384.auth"), Scheme::RsaPkcs1(Sha384)),
        (rsa, data!("rsa.pkcs1-sha512.auth"), Scheme::RsaPkcs1(Sha512)),
        (rsa, data!("rsa.pss-sha256.auth"), Scheme::RsaPss(Sha256)),
        (rsa, data!("rsa.pss-sha384.auth"), Scheme::RsaPss(Sha384)),
        (rsa, data!("rsa.pss-sha512.auth"), Scheme::RsaPss(Sha512)),
        (rsa, data!("rsa.method1-sha256.auth"), Scheme::RsaPkcs1(Sha256)),
        (rsa, data!("rsa.method1-sha384.auth"), Scheme::RsaPkcs1(Sha384)),
        (rsa, data!("rsa.method1-sha512.auth"), Scheme::RsaPkcs1(Sha512)),
        (p256, data!("p256.digital.auth"), Scheme::Ecdsa(Sha256)),
        (p256, data!("p256.method9.auth"), Scheme::EcdsaFixed),
        (p384, data!("p384.digital.auth"), Scheme::Ecdsa(Sha384)),
        (p384, data!("p384.digital-sha256.auth"), Scheme::Ecdsa(Sha256)),
        (p384, data!("p384.method10.auth"), Scheme::EcdsaFixed),
        (p521, data!("p521.digital.auth"), Scheme::Ecdsa(Sha512)),
        (p521, data!("p521.method11.auth"), Scheme::EcdsaFixed),
        (data!("ed25519.cert.pem"), data!("ed25519.digital.auth"), Scheme::Ed25519),
    ] {
        let certificate = certificate(pem);
        let (method, data) = (auth[0], &auth[1..]);
        let verify = |data: &[u8], octets: &[u8]| verify(&certificate, method, data, octets, true);
        assert_eq!(verify(data, OCTETS), Ok(scheme));
        for byte in 0..data.len() {
            let mut wrong = data.to_vec();
            wrong[byte] ^= 1 << (byte % 8);
            assert!(verify(&wrong, OCTETS).is_err(), "{scheme}, byte {byte}");
        }
        for bit in (0..OCTETS.len() * 8).step_by(37) {
            let mut wrong = OCTETS.to_vec();
            wrong[bit / 8] ^= 1 << (bit % 8);
            let refused = verify(data, &wrong).expect_err("other octets");
            assert!(matches!(refused, SignatureRefusal::Wrong { .. }), "{refused}");
        }
        for len in 0..data.len() {
            assert!(verify(&data[..len], OCTETS).is_err(), "{scheme}, {len} bytes");
        }
    }
}

#[test]
fn sha_1_is_taken_only_where_it_is_allowed_and_only_with_method_1() {
    let certificate = certificate(data!("rsa.cert.pem"));
    let auth = data!("rsa.method1-sha1.auth");
    let verify = |auth: &[u8], sha1| verify(&certificate, auth[0], &auth[1..], OCTETS, sha1);
    assert_eq!(verify(auth, true), Ok(Scheme::RsaPkcs1(Hash::Sha1)));
    assert_eq!(verify(auth, false), Err(SignatureRefusal::Sha1));
    for sha1 in [true, false] {
        assert_eq!(verify(data!("rsa.pkcs1-sha1.auth"), sha1), Err(SignatureRefusal::Sha1));
    }
    let mut wrong = auth.to_vec();
    wrong[9] ^= 1;
    let refused = verify(&wrong, false).expect_err("wrong").to_string();
    assert!(refused.contains("does not fit certificate CN=rsa"), "{refused}");
}

#[test]
fn what_we_sign_is_verified_with_our_certificate_alone() {
    let keys = keys();
    let all = HashAlgorithms::from_notification(&HashAlgorithms::notification());
    for (key, own) in &keys {
        let mut schemes = vec![];
        for padding in [RsaPadding::Pkcs1, RsaPadding::Pss] {
            schemes.push(key.choose(Some(all), padding).expect("a scheme"));
        }
        schemes.extend(key.choose(None, RsaPadding::Pkcs1));
        if key.kind() == KeyKind::Rsa {
            for hash in [Hash::Sha384, Hash::Sha512] {
                schemes.extend([Scheme::RsaPkcs1(hash), Scheme::RsaPss(hash)]);
            }
        }
        for scheme in schemes {
            let proof = key.sign(scheme, OCTETS).expect("it can");
            let verified = |c: &Certificate| verify(c, proof.method, &proof.data, OCTETS, false);
            assert_eq!(verified(own), Ok(scheme));
            for (other, certificate) in &keys {
                if other.kind() != key.kind() {
                    let refused = verified(certificate).expect_err("another key");
                    // ECDSA's identifiers do not say the curve
                    let curve = matches!(scheme, Scheme::Ecdsa(_))
                        && !matches!(other.kind(), KeyKind::Rsa | KeyKind::Ed25519);
                    match refused {
                        SignatureRefusal::Wrong { .. } => assert!(curve, "{refused}"),
                        refused => assert!(matches!(refused, SignatureRefusal::Key { .. })),
                    }
                }
            }
        }
    }
}

#[test]
fn identifiers_we_send_are_those_of_rfc_7427() {
    let keys = keys();
    let digits = |key: &PrivateKey, scheme| {
        let proof = key.sign(scheme, OCTETS).expect("it can");
        let (len, rest) = proof.data.split_first().expect("a length");
        rest[..usize::from(*len)].iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let (rsa, p256, ed) = (&keys[0].0, &keys[1].0, &keys[4].0);
    let right = "300d06092a864886f70d01010b0500";
    assert_eq!(digits(rsa, Scheme::RsaPkcs1(Hash::Sha256)), right);
    assert_eq!(digits(p256, Scheme::Ecdsa(Hash::Sha256)), "300a06082a8648ce3d040302");
    assert_eq!(digits(ed, Scheme::Ed25519), "300506032b6570");
    // without the trailer, which DER wants left out as it is the default one
    let right = "304106092a864886f70d01010a3034a00f300d06096086480165030402010500\
                 a11c301a06092a864886f70d010108300d06096086480165030402010500a203020120";
    assert_eq!(digits(rsa, Scheme::RsaPss(Hash::Sha256)), right);
}

#[test]
fn the_scheme_is_chosen_by_what_the_peer_can_verify() {
    let keys = keys();
    let of = |hashes: &[u16]| {
        let data: Vec<u8> = hashes.iter().flat_map(|h| h.to_be_bytes()).collect();
        Some(HashAlgorithms::from_notification(&data))
    };
    let choose = |i: usize, hashes| keys[i].0.choose(hashes, RsaPadding::Pkcs1);
    let (rsa, p256, ed) = (0, 1, 4);
    assert_eq!(choose(rsa, of(&[4, 3])), Ok(Scheme::RsaPkcs1(Hash::Sha384)));
    assert_eq!(choose(rsa, of(&[1])), Err(SignError::NoHash(KeyKind::Rsa)), "SHA-1 alone");
    assert_eq!(choose(rsa, None), Err(SignError::NoMethod(KeyKind::Rsa)));
    assert_eq!(choose(p256, of(&[2])), Ok(Scheme::Ecdsa(Hash::Sha256)));
    assert_eq!(choose(p256, of(&[4])), Err(SignError::NoHash(KeyKind::EcdsaP256)));
    assert_eq!(choose(p256, None), Ok(Scheme::EcdsaFixed));
    assert_eq!(choose(ed, of(&[2, 3, 4])), Err(SignError::NoHash(KeyKind::Ed25519)));
    assert_eq!(choose(ed, of(&[5, 999])), Ok(Scheme::Ed25519));
    assert_eq!(HashAlgorithms::notification(), [0, 2, 0, 3, 0, 4, 0, 5]);
}

#[test]
fn a_key_is_the_same_in_every_form() {
    for (pkcs8, other) in [
        (&data!("rsa.pkcs8.pem")[..], &data!("rsa.traditional.pem")[..]),
        (data!("p256.pkcs8.pem"), data!("p256.traditional.pem")),
        (data!("p384.pkcs8.pem"), data!("p384.traditional.pem")),
        (data!("p521.pkcs8.pem"), data!("p521.traditional.pem")),
    ] {
        let keys = [pkcs8, other].map(|pem| PrivateKey::from_pem(pem).expect("a key"));
        assert_eq!(keys[0].kind(), keys[1].kind());
        let all = HashAlgorithms::from_notification(&HashAlgorithms::notification());
        let scheme = keys[1].choose(Some(all), RsaPadding::Pkcs1).expect("a scheme");
        let proof = keys[1].sign(scheme, OCTETS).expect("it can");
        let of_kind = |(key, _): &&(PrivateKey, Certificate)| key.kind() == keys[0].kind();
        let known = self::keys();
        let (_, certificate) = known.iter().find(of_kind).expect("one");
        assert_eq!(verify(certificate, proof.method, &proof.data, OCTETS, false), Ok(scheme));
        assert!(!format!("{:?}", keys[0]).contains("BEGIN"));
    }
}

#[test]
fn files_that_hold_no_key_of_ours_are_refused_with_what_was_expected() {
    let of = |pem: &[u8]| PrivateKey::from_pem(pem).expect_err("no key");
    assert_eq!(of(b""), KeyFileError::NoKey);
    assert_eq!(of(data!("rsa.cert.pem")), KeyFileError::NoKey);
    assert_eq!(of(data!("encrypted.pkcs8.pem")), KeyFileError::Encrypted);
    assert_eq!(of(data!("encrypted.traditional.pem")), KeyFileError::Encrypted);
    assert_eq!(of(data!("small.pkcs8.pem")), KeyFileError::Kind);
    assert_eq!(of(data!("unknown.pkcs8.pem")), KeyFileError::Kind);
    assert_eq!(of(&[b'x'; 70_000]), KeyFileError::TooLarge);
    let text = std::str::from_utf8(data!("p256.pkcs8.pem")).expect("text");
    assert_eq!(of(text.replace("MIG", "!!!").as_bytes()), KeyFileError::Damaged);
    assert_eq!(of(text.lines().next().expect("a line").as_bytes()), KeyFileError::Damaged);
    assert!(KeyFileError::NoKey.to_string().contains("-----BEGIN PRIVATE KEY-----"));
    assert!(KeyFileError::Encrypted.to_string().contains("openssl pkey"));
}

#[test]
fn methods_and_algorithms_that_are_not_ours_are_refused() {
    let certificate = certificate(data!("rsa.cert.pem"));
    let of = |method, data: &[u8]| {
        verify(&certificate, method, data, OCTETS, true).expect_err("not ours")
    };
    assert_eq!(of(2, b"x"), SignatureRefusal::Method(2));
    assert_eq!(of(3, b"x"), SignatureRefusal::Method(3));
    assert_eq!(of(14, b""), SignatureRefusal::Malformed);
    assert_eq!(of(14, &[5, 0x30]), SignatureRefusal::Malformed);
    // PSS with the defaults, which are SHA-1; Ed448
    for identifier in ["300d06092a864886f70d01010a3000", "300506032b6571"] {
        let bytes: Vec<u8> = (0..identifier.len() / 2)
            .map(|i| u8::from_str_radix(&identifier[2 * i..2 * i + 2], 16).expect("digits"))
            .collect();
        let data = [&[bytes.len() as u8], &bytes[..], &[0; 256]].concat();
        assert_eq!(of(14, &data), SignatureRefusal::Algorithm(identifier.to_owned()));
    }
}

proptest! {
    #[test]
    fn any_bytes_are_refused(
        method in prop::sample::select(vec![1u8, 9, 10, 11, 14, 0, 2]), data in any::<Vec<u8>>()
    ) {
        for (_, certificate) in keys() {
            prop_assert!(verify(&certificate, method, &data, OCTETS, true).is_err());
        }
        let _ = PrivateKey::from_pem(&data);
        let _ = HashAlgorithms::from_notification(&data);
    }
}
