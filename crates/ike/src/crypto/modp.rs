//! The 2048-bit MODP group (RFC 3526 §3), in constant time where the exponent is a secret.

use crypto_bigint::{U256, U2048, const_monty_params};
use zeroize::{Zeroize, Zeroizing};

/// Bytes of a public value and of a shared secret.
pub(super) const LEN: usize = 256;

/// Bytes of a private exponent. 256 bits are more than twice the 112 bits of strength the group
/// has (RFC 3526 §8), and an exponentiation takes an eighth of the time it would with 2048.
pub(super) const EXPONENT_LEN: usize = 32;

const GENERATOR: U2048 = U2048::from_u8(2);

const_monty_params!(
    Group,
    U2048,
    "ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74\
     020bbea63b139b22514a08798e3404ddef9519b3cd3a431b302b0a6df25f1437\
     4fe1356d6d51c245e485b576625e7ec6f44c42e9a637ed6b0bff5cb6f406b7ed\
     ee386bfb5a899fa5ae9f24117c4b1fe649286651ece45b3dc2007cb8a163bf05\
     98da48361c55d39a69163fa8fd24cf5f83655d23dca3ad961c62f356208552bb\
     9ed529077096966d670c354e4abc9804f1746c08ca18217c32905e462e36ce3b\
     e39e772c180e86039b2783a2ec07a28fb5c55df06f4c52c9de2bcbf695581718\
     3995497cea956ae515d2261898fa051015728e5a8aacaa68ffffffffffffffff",
    "The prime of the group, in Montgomery form."
);

type Element = crypto_bigint::modular::ConstMontyForm<Group, { U2048::LIMBS }>;

/// 2 to the power of `exponent`.
pub(super) fn public_value(exponent: &[u8; EXPONENT_LEN]) -> Vec<u8> {
    power(&GENERATOR, exponent).to_vec()
}

/// A peer's public value to the power of `exponent`, with leading zeros (RFC 7296 §2.14).
///
/// `None` when the value is not in 2..=p-2: those are the ones of the subgroup of order 2, and zero.
/// More need not be checked in a group of a safe prime (RFC 6989 §2.1).
pub(super) fn agree(
    exponent: &[u8; EXPONENT_LEN],
    peer: &[u8; LEN],
) -> Option<Zeroizing<[u8; LEN]>> {
    let peer = U2048::from_be_slice(peer);
    let prime = *<Group as crypto_bigint::modular::ConstMontyParams<{ U2048::LIMBS }>>::PARAMS
        .modulus()
        .as_ref();
    let largest = prime.wrapping_sub(&U2048::from_u8(2));
    (peer >= GENERATOR && peer <= largest).then(|| power(&peer, exponent))
}

fn power(base: &U2048, exponent: &[u8; EXPONENT_LEN]) -> Zeroizing<[u8; LEN]> {
    let mut exponent = U256::from_be_slice(exponent);
    let mut power = Element::new(base).pow_bounded_exp(&exponent, U256::BITS);
    let mut value = power.retrieve();
    let mut bytes = Zeroizing::new([0; LEN]);
    bytes.copy_from_slice(value.to_be_bytes().as_ref());
    exponent.zeroize();
    power.zeroize();
    value.zeroize();
    bytes
}
