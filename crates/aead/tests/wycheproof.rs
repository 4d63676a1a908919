//! Project Wycheproof's vectors against every wrapper, with every provider.

use lockgate_aead::{
    AeadKey as _, Algorithm, Cbc, Key, Mac, MacAlgorithm, Open, Provider, Seal, Selection, TAG_LEN,
};
use wycheproof::{TestResult, aead, cipher, mac};

fn aead(name: aead::TestName, algorithm_of: impl Fn(usize) -> Option<Algorithm>) {
    let set = aead::TestSet::load(name).expect("the vectors load");
    let mut run = 0;
    for group in &set.test_groups {
        // what the wrappers do not offer: other nonces, tags and key lengths
        if group.nonce_size != 96 || group.tag_size != 128 {
            continue;
        }
        let Some(algorithm) = algorithm_of(group.key_size) else {
            continue;
        };
        for test in &group.tests {
            for provider in Provider::ALL.into_iter().filter(|p| p.serves(algorithm)) {
                let key = Key::new(algorithm, &test.key, &Selection::only(provider));
                let key = key.expect("the key has its length");
                let nonce = test.nonce[..].try_into().expect("96 bits");
                let tag: [u8; TAG_LEN] = test.tag[..].try_into().expect("128 bits");
                let what = format!("{provider:?} test {}: {}", test.tc_id, test.comment);
                let valid = test.result == TestResult::Valid;

                let (mut text, mut made) = (test.pt.to_vec(), [0; TAG_LEN]);
                key.seal(&mut [Seal { nonce, aad: &test.aad, text: &mut text, tag: &mut made }]);
                assert_eq!(text == test.ct[..] && made == tag, valid, "seal, {what}");

                let mut text = test.ct.to_vec();
                let open =
                    Open { nonce, aad: &test.aad, text: &mut text, tag: &tag, authentic: !valid };
                let mut jobs = [open];
                key.open(&mut jobs);
                assert_eq!(jobs[0].authentic, valid, "open, {what}");
                if valid {
                    assert_eq!(text, test.pt[..], "{what}");
                }
                run += 1;
            }
        }
    }
    assert!(run > 100, "only {run} vectors fitted");
}

#[test]
fn aes_gcm() {
    aead(aead::TestName::AesGcm, |bits| match bits {
        128 => Some(Algorithm::Aes128Gcm),
        256 => Some(Algorithm::Aes256Gcm),
        _ => None,
    });
}

#[test]
fn chacha20_poly1305() {
    aead(aead::TestName::ChaCha20Poly1305, |bits| {
        (bits == 256).then_some(Algorithm::ChaCha20Poly1305)
    });
}

/// The vectors are padded by PKCS #5; the wrapper pads nothing, so the test does.
#[test]
fn aes_cbc() {
    let set = cipher::TestSet::load(cipher::TestName::AesCbcPkcs5).expect("the vectors load");
    let mut run = 0;
    for group in set.test_groups.iter().filter(|g| g.key_size != 192) {
        for test in group.tests.iter().filter(|t| t.result == TestResult::Valid) {
            let cbc = Cbc::new(&test.key).expect("the key has its length");
            let iv = test.nonce[..].try_into().expect("128 bits");
            let padding = 16 - test.pt.len() % 16;
            let mut text = test.pt.to_vec();
            text.extend(vec![padding as u8; padding]);
            let plain = text.clone();
            assert!(cbc.encrypt(iv, &mut text));
            assert_eq!(text, test.ct[..], "test {}", test.tc_id);
            assert!(cbc.decrypt(iv, &mut text));
            assert_eq!(text, plain, "test {}", test.tc_id);
            run += 1;
        }
    }
    assert!(run > 20, "only {run} vectors fitted");
}

#[test]
fn hmac() {
    for (name, algorithm) in [
        (mac::TestName::HmacSha1, MacAlgorithm::Sha1),
        (mac::TestName::HmacSha256, MacAlgorithm::Sha256),
        (mac::TestName::HmacSha384, MacAlgorithm::Sha384),
        (mac::TestName::HmacSha512, MacAlgorithm::Sha512),
    ] {
        let set = mac::TestSet::load(name).expect("the vectors load");
        let mut run = 0;
        for group in &set.test_groups {
            for test in &group.tests {
                let mac = Mac::new(algorithm, &test.key);
                let valid = test.result == TestResult::Valid;
                let what = format!("{algorithm:?} test {}: {}", test.tc_id, test.comment);
                assert_eq!(mac.verify(&[&test.msg], &test.tag), valid, "{what}");
                let mut tag = vec![0; test.tag.len()];
                mac.sign(&[&test.msg], &mut tag);
                assert_eq!(tag == test.tag[..], valid, "{what}");
                run += 1;
            }
        }
        assert!(run > 100, "only {run} vectors fitted");
    }
}
