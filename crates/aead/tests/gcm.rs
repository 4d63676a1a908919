//! AES-GCM of our own against `ring`: every length, additional data of every kind, what was tampered with.
//! A CPU without VAES has nothing here that could be tested; then the tests say so and fail, unless
//! `LOCKGATE_WITHOUT_VAES=1` says that this is known.

use lockgate_aead::{AeadKey as _, Algorithm, Key, Open, Provider, Seal, Selection, TAG_LEN};
use proptest::prelude::*;

/// Longer than any frame.
const LONGEST: usize = 9_216;

const ALGORITHMS: [Algorithm; 2] = [Algorithm::Aes128Gcm, Algorithm::Aes256Gcm];

/// What this CPU can do of our own.
fn ours() -> Vec<Provider> {
    let wide = [Provider::Vaes256, Provider::Vaes512];
    let list: Vec<_> = wide.into_iter().filter(|p| p.serves(Algorithm::Aes256Gcm)).collect();
    let known = std::env::var_os("LOCKGATE_WITHOUT_VAES").is_some();
    assert!(
        !list.is_empty() || known,
        "this CPU has no VAES; LOCKGATE_WITHOUT_VAES=1 leaves the test out"
    );
    list
}

fn key(provider: Provider, algorithm: Algorithm, bytes: &[u8]) -> Key {
    let key = &bytes[..algorithm.key_len()];
    Key::new(algorithm, key, &Selection::only(provider)).expect("it serves the algorithm")
}

fn seal(key: &Key, nonce: [u8; 12], aad: &[u8], plain: &[u8]) -> (Vec<u8>, [u8; TAG_LEN]) {
    let (mut text, mut tag) = (plain.to_vec(), [0; TAG_LEN]);
    key.seal(&mut [Seal { nonce, aad, text: &mut text, tag: &mut tag }]);
    (text, tag)
}

fn open(key: &Key, nonce: [u8; 12], aad: &[u8], text: &mut [u8], tag: &[u8; TAG_LEN]) -> bool {
    let mut jobs = [Open { nonce, aad, text, tag, authentic: false }];
    key.open(&mut jobs);
    jobs[0].authentic
}

/// Bytes that do not repeat soon.
fn bytes(len: usize, seed: u8) -> Vec<u8> {
    let mut state = u32::from(seed) + 1;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..len).map(next).collect()
}

#[test]
fn every_length_is_sealed_as_ring_seals_it_and_opened() {
    let secret = bytes(32, 1);
    for provider in ours() {
        for algorithm in ALGORITHMS {
            let (own, ring) =
                (key(provider, algorithm, &secret), key(Provider::Ring, algorithm, &secret));
            let plain = bytes(LONGEST, 2);
            for len in 0..=LONGEST {
                let aad = &secret[..[8, 12, 13][len % 3]];
                let nonce = core::array::from_fn(|i| (len >> (i % 4)) as u8);
                let (mut text, tag) = seal(&own, nonce, aad, &plain[..len]);
                let right = seal(&ring, nonce, aad, &plain[..len]);
                assert!((&text, &tag) == (&right.0, &right.1), "{provider:?} {algorithm:?} {len}");
                assert!(
                    open(&own, nonce, aad, &mut text, &tag),
                    "{provider:?} {algorithm:?} {len}"
                );
                assert!(text == plain[..len], "{provider:?} {algorithm:?} {len}");
            }
        }
    }
}

#[test]
fn additional_data_may_have_any_length() {
    let secret = bytes(32, 3);
    for provider in ours() {
        for algorithm in ALGORITHMS {
            let (own, ring) =
                (key(provider, algorithm, &secret), key(Provider::Ring, algorithm, &secret));
            for len in 0..600 {
                let (aad, plain) = (bytes(len, 4), bytes(len % 70, 5));
                assert!(
                    seal(&own, [9; 12], &aad, &plain) == seal(&ring, [9; 12], &aad, &plain),
                    "{len}"
                );
            }
        }
    }
}

/// Texts that begin and end anywhere in a buffer: nothing beside them is touched.
#[test]
fn nothing_beside_the_text_is_touched() {
    for provider in ours() {
        let own = key(provider, Algorithm::Aes256Gcm, &[7; 32]);
        for len in 0..300 {
            for offset in [0, 1, 7, 15, 33] {
                let mut buffer = vec![0xa5; offset + len + 40];
                let plain = buffer[offset..offset + len].to_vec();
                let mut tag = [0; TAG_LEN];
                let text = &mut buffer[offset..offset + len];
                own.seal(&mut [Seal { nonce: [1; 12], aad: &[2; 8], text, tag: &mut tag }]);
                assert!(buffer[offset..offset + len] == seal(&own, [1; 12], &[2; 8], &plain).0);
                assert!(open(&own, [1; 12], &[2; 8], &mut buffer[offset..offset + len], &tag));
                assert!(buffer == vec![0xa5; offset + len + 40], "{provider:?} {len} at {offset}");
            }
        }
    }
}

#[test]
fn what_was_tampered_with_is_refused_and_nothing_of_it_is_shown() {
    for provider in ours() {
        for algorithm in ALGORITHMS {
            let own = key(provider, algorithm, &[3; 32]);
            for len in [0, 1, 16, 17, 63, 64, 100, 255, 256, 257, 511, 512, 513, 1400] {
                let plain = bytes(len, 6);
                let (sealed, tag) = seal(&own, [4; 12], &[5; 13], &plain);
                let refused = |nonce, aad: &[u8], mut text: Vec<u8>, tag: &[u8; TAG_LEN]| {
                    assert!(!open(&own, nonce, aad, &mut text, tag), "{provider:?} {len}");
                    assert!(text.iter().all(|byte| *byte == 0), "{provider:?} {len}: text is left");
                };
                for bit in 0..128 {
                    let mut wrong = tag;
                    wrong[bit / 8] ^= 1 << (bit % 8);
                    refused([4; 12], &[5; 13], sealed.clone(), &wrong);
                }
                for at in 0..len {
                    let mut wrong = sealed.clone();
                    wrong[at] ^= 1 << (at % 8);
                    refused([4; 12], &[5; 13], wrong, &tag);
                }
                for at in 0..13 {
                    let mut wrong = [5; 13];
                    wrong[at] ^= 0x80;
                    refused([4; 12], &wrong, sealed.clone(), &tag);
                }
                for at in 0..12 {
                    let mut wrong = [4; 12];
                    wrong[at] ^= 1;
                    refused(wrong, &[5; 13], sealed.clone(), &tag);
                }
            }
        }
    }
}

/// The vectors of the authors of GCM (McGrew and Viega, appendix B, cases 1 to 4 and 13 to 16), which NIST took over.
#[test]
fn vectors_of_the_specification() {
    let hex = |text: &str| -> Vec<u8> {
        let digit = |i: usize| u8::from_str_radix(&text[i..i + 2], 16).expect("digits");
        (0..text.len()).step_by(2).map(digit).collect()
    };
    let plain = "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255";
    let aad = "feedfacedeadbeeffeedfacedeadbeefabaddad2";
    let short = "feffe9928665731c6d6a8f9467308308";
    let long = format!("{short}{short}");
    let (zero, zeros) = ("00".repeat(16), "00".repeat(32));
    let nothing = "00".repeat(12);
    let nonce = "cafebabefacedbaddecaf888";
    let sealed128 = "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091473f5985";
    let sealed256 = "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad";
    let cut = plain.len() - 8;
    for (key_text, nonce, aad, plain, sealed, tag) in [
        (&zero[..], &nothing[..], "", "", "", "58e2fccefa7e3061367f1d57a4e7455a"),
        (
            &zero,
            &nothing,
            "",
            &zero,
            "0388dace60b6a392f328c2b971b2fe78",
            "ab6e47d42cec13bdf53a67b21257bddf",
        ),
        (short, nonce, "", plain, sealed128, "4d5c2af327cd64a62cf35abd2ba6fab4"),
        (short, nonce, aad, &plain[..cut], &sealed128[..cut], "5bc94fbc3221a5db94fae95ae7121a47"),
        (&zeros, &nothing, "", "", "", "530f8afbc74536b9a963b4f1c4cb738b"),
        (
            &zeros,
            &nothing,
            "",
            &zero,
            "cea7403d4d606b6e074ec5d3baf39d18",
            "d0d1c8a799996bf0265b98b5d48ab919",
        ),
        (&long, nonce, "", plain, sealed256, "b094dac5d93471bdec1a502270e3cc6c"),
        (&long, nonce, aad, &plain[..cut], &sealed256[..cut], "76fc6ece0f4e1768cddf8853bb2d551b"),
    ] {
        let algorithm = ALGORITHMS[usize::from(key_text.len() == 64)];
        let nonce = hex(nonce).try_into().expect("96 bits");
        for provider in ours().into_iter().chain([Provider::Ring]) {
            let key = key(provider, algorithm, &hex(key_text));
            let made = seal(&key, nonce, &hex(aad), &hex(plain));
            assert_eq!(
                (&made.0[..], &made.1[..]),
                (&hex(sealed)[..], &hex(tag)[..]),
                "{provider:?}"
            );
        }
    }
}

proptest! {
    #[test]
    fn as_ring_whatever_it_is(
        secret in any::<[u8; 32]>(), nonce in any::<[u8; 12]>(), aad in prop::collection::vec(any::<u8>(), 0..40),
        plain in prop::collection::vec(any::<u8>(), 0..3000),
    ) {
        for provider in ours() {
            for algorithm in ALGORITHMS {
                let (own, ring) = (key(provider, algorithm, &secret), key(Provider::Ring, algorithm, &secret));
                let (mut text, tag) = seal(&own, nonce, &aad, &plain);
                let right = seal(&ring, nonce, &aad, &plain);
                prop_assert!((&text, &tag) == (&right.0, &right.1));
                prop_assert!(open(&own, nonce, &aad, &mut text, &tag));
                prop_assert!(text == plain);
            }
        }
    }
}
