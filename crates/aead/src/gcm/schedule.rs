//! What is made of a key once: round keys (FIPS 197 §5.2) and powers of the hash key
//! (NIST SP 800-38D §6.3, §6.4).
//!
//! Elements of the field are kept with their bits reversed and multiplied by x, so that a product needs
//! no shift. A reduction is two multiplications by the field's polynomial.

use core::arch::x86_64::{
    __m128i, _mm_aesenc_si128, _mm_aesenclast_si128, _mm_aeskeygenassist_si128,
    _mm_clmulepi64_si128, _mm_cvtsi128_si32, _mm_set_epi64x, _mm_set1_epi32, _mm_shuffle_epi32,
    _mm_xor_si128,
};

use zeroize::Zeroize as _;

use super::bytes::{load, store};
use crate::width::Width;

/// The highest power that is kept: a group of the widest registers, and the block of lengths.
pub(super) const POWERS: usize = 33;

/// What a load of the widest register at the lowest power reads beyond it.
const BEYOND: usize = 3;

/// Round keys and powers.
#[repr(C, align(64))]
pub(super) struct Schedule {
    /// What the key is for: with it at the front, who owns keys of several kinds tells them apart by what it
    /// reads anyhow.
    pub(super) width: Width,
    rounds: u8,
    keys: [[u8; 16]; 15],
    /// The powers in falling order, down to the first.
    powers: [[u8; 16]; POWERS + BEYOND],
}

impl Schedule {
    /// From a key of 16 or 32 bytes.
    #[target_feature(enable = "aes,pclmulqdq")]
    pub(super) fn new(key: &[u8], width: Width) -> Self {
        let words = key.len() / 4;
        let rounds = words + 6;
        let mut made = Self {
            width,
            rounds: rounds as u8,
            keys: [[0; 16]; 15],
            powers: [[0; 16]; POWERS + BEYOND],
        };
        let flat = made.keys.as_flattened_mut();
        flat[..key.len()].copy_from_slice(key);
        let mut constant = 1u8;
        for word in words..4 * (rounds + 1) {
            let mut next = read(flat, word - 1);
            if word.is_multiple_of(words) {
                next = substitute(next.rotate_right(8)) ^ u32::from(constant);
                constant = (constant << 1) ^ (0x1b & (constant >> 7).wrapping_neg());
            } else if words > 6 && word % words == 4 {
                next = substitute(next);
            }
            next ^= read(flat, word - words);
            flat[word * 4..][..4].copy_from_slice(&next.to_le_bytes());
        }
        made.raise();
        made
    }

    /// The powers of the hash key, which is what the cipher makes of zeros.
    #[target_feature(enable = "aes,pclmulqdq")]
    fn raise(&mut self) {
        let mut block = load(&self.keys[0]);
        for round in 1..self.rounds() {
            block = _mm_aesenc_si128(block, load(&self.keys[round]));
        }
        block = _mm_aesenclast_si128(block, load(&self.keys[self.rounds()]));
        let mut bytes = [0; 16];
        store(&mut bytes, block);
        let value = u128::from_be_bytes(bytes);
        bytes.zeroize();
        let carry = (value >> 127).wrapping_neg();
        let value = (value << 1) ^ (0xc200_0000_0000_0000_0000_0000_0000_0001 & carry);
        let first = _mm_set_epi64x((value >> 64) as i64, value as i64);
        let mut power = first;
        for i in 1..=POWERS {
            store(&mut self.powers[POWERS - i], power);
            power = multiply(power, first);
        }
    }

    /// Asks the CPU for what a text of `len` bytes reads: the round keys, and as many powers as it has
    /// blocks, or a group.
    #[inline]
    pub(super) fn prefetch(&self, len: usize) {
        ports::prefetch_range(self.keys.as_ptr().cast(), size_of_val(&self.keys));
        let powers = &self.powers[POWERS - (len.div_ceil(16) + 1).min(POWERS)..];
        ports::prefetch_range(powers.as_ptr().cast(), size_of_val(powers));
    }

    /// 10 or 14.
    #[inline]
    pub(super) fn rounds(&self) -> usize {
        usize::from(self.rounds)
    }

    /// The key of a round, from 0 to [`Self::rounds`].
    #[inline]
    pub(super) fn key(&self, round: usize) -> &[u8; 16] {
        &self.keys[round]
    }

    /// `N` powers in falling order from the one given, which is 1 to [`POWERS`]; after the first, zeros.
    #[inline]
    pub(super) fn powers<const N: usize>(&self, from: usize) -> &[[u8; 16]; N] {
        self.powers[POWERS - from..].first_chunk().expect("invariant: zeros come after the powers")
    }
}

impl Drop for Schedule {
    fn drop(&mut self) {
        self.keys.zeroize();
        self.powers.zeroize();
    }
}

/// A product, in parts that are not added up and not reduced yet.
#[target_feature(enable = "pclmulqdq")]
#[inline]
pub(super) fn reduce(low: __m128i, middle: __m128i, high: __m128i) -> __m128i {
    let polynomial = _mm_set_epi64x(0xc200_0000_0000_0000_u64 as i64, 1);
    let part = _mm_clmulepi64_si128::<0x01>(polynomial, low);
    let middle = _mm_xor_si128(_mm_xor_si128(middle, _mm_shuffle_epi32::<0x4e>(low)), part);
    let part = _mm_clmulepi64_si128::<0x01>(polynomial, middle);
    _mm_xor_si128(_mm_xor_si128(high, _mm_shuffle_epi32::<0x4e>(middle)), part)
}

/// The product of two elements.
#[target_feature(enable = "pclmulqdq")]
#[inline]
pub(super) fn multiply(a: __m128i, b: __m128i) -> __m128i {
    let middle =
        _mm_xor_si128(_mm_clmulepi64_si128::<0x01>(a, b), _mm_clmulepi64_si128::<0x10>(a, b));
    reduce(_mm_clmulepi64_si128::<0x00>(a, b), middle, _mm_clmulepi64_si128::<0x11>(a, b))
}

fn read(flat: &[u8], word: usize) -> u32 {
    u32::from_le_bytes(flat[word * 4..][..4].try_into().expect("invariant: four bytes"))
}

/// SubWord (FIPS 197 §5.2), by the CPU: without a table.
#[target_feature(enable = "aes")]
fn substitute(word: u32) -> u32 {
    _mm_cvtsi128_si32(_mm_aeskeygenassist_si128::<0>(_mm_set1_epi32(word as i32))) as u32
}
