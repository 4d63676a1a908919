//! Two blocks to a register: AVX2, VAES, VPCLMULQDQ.

use core::arch::x86_64::{
    __m128i, __m256i, _mm_xor_si128, _mm256_add_epi32, _mm256_aesenc_epi128,
    _mm256_aesenclast_epi128, _mm256_and_si256, _mm256_broadcastsi128_si256,
    _mm256_castsi256_si128, _mm256_clmulepi64_epi128, _mm256_extracti128_si256, _mm256_loadu_si256,
    _mm256_set_epi64x, _mm256_set_m128i, _mm256_setzero_si256, _mm256_shuffle_epi8,
    _mm256_storeu_si256, _mm256_xor_si256, _mm256_zextsi128_si256,
};

use super::{
    bytes::{load_part, store_part},
    kernel::{REVERSED, kernel},
};

/// Blocks to a register.
const BLOCKS: usize = 2;

/// Registers that are on their way at once: half of the sixteen.
const GROUP: usize = 8;

type Register = __m256i;

/// Ones, then zeros.
static KEPT: [u8; 64] = {
    let mut kept = [0; 64];
    let mut i = 0;
    while i < 32 {
        kept[i] = 0xff;
        i += 1;
    }
    kept
};

#[target_feature(enable = "avx2")]
#[inline]
fn load(bytes: &[u8; 32]) -> Register {
    // SAFETY: 32 bytes are there, and the load needs no alignment.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

#[target_feature(enable = "avx2")]
#[inline]
fn store(bytes: &mut [u8; 32], value: Register) {
    // SAFETY: 32 bytes are there, and the store needs no alignment.
    unsafe { _mm256_storeu_si256(bytes.as_mut_ptr().cast(), value) }
}

/// Less than a register, and zeros behind it.
#[target_feature(enable = "avx2")]
#[inline]
fn load_less(bytes: &[u8]) -> Register {
    let (low, high) = bytes.split_at(bytes.len().min(16));
    _mm256_set_m128i(load_part(high), load_part(low))
}

#[target_feature(enable = "avx2")]
#[inline]
fn store_less(bytes: &mut [u8], value: Register) {
    let (low, high) = bytes.split_at_mut(bytes.len().min(16));
    store_part(low, _mm256_castsi256_si128(value));
    store_part(high, _mm256_extracti128_si256::<1>(value));
}

/// The first `len` bytes, and zeros behind them.
#[target_feature(enable = "avx2")]
#[inline]
fn keep(value: Register, len: usize) -> Register {
    let mask = KEPT[32 - len..].first_chunk().expect("invariant: not longer than a register");
    _mm256_and_si256(value, load(mask))
}

#[target_feature(enable = "avx2")]
#[inline]
fn zero() -> Register {
    _mm256_setzero_si256()
}

#[target_feature(enable = "avx2")]
#[inline]
fn broadcast(block: __m128i) -> Register {
    _mm256_broadcastsi128_si256(block)
}

/// The block in the first place, zeros in the others.
#[target_feature(enable = "avx2")]
#[inline]
fn first(block: __m128i) -> Register {
    _mm256_zextsi128_si256(block)
}

/// What is in the first place.
#[target_feature(enable = "avx2")]
#[inline]
fn lowest(value: Register) -> __m128i {
    _mm256_castsi256_si128(value)
}

/// The sum of all places.
#[target_feature(enable = "avx2")]
#[inline]
fn fold(value: Register) -> __m128i {
    _mm_xor_si128(_mm256_castsi256_si128(value), _mm256_extracti128_si256::<1>(value))
}

/// 1, 2, … in the places of the counters.
#[target_feature(enable = "avx2")]
#[inline]
fn ascending() -> Register {
    _mm256_set_epi64x(0, 2, 0, 1)
}

/// What a register is ahead of the one before.
#[target_feature(enable = "avx2")]
#[inline]
fn step() -> Register {
    _mm256_set_epi64x(0, BLOCKS as i64, 0, BLOCKS as i64)
}

#[target_feature(enable = "avx2")]
#[inline]
fn add(a: Register, b: Register) -> Register {
    _mm256_add_epi32(a, b)
}

#[target_feature(enable = "avx2")]
#[inline]
fn xor(a: Register, b: Register) -> Register {
    _mm256_xor_si256(a, b)
}

#[target_feature(enable = "avx2")]
#[inline]
fn xor3(a: Register, b: Register, c: Register) -> Register {
    _mm256_xor_si256(_mm256_xor_si256(a, b), c)
}

/// The bytes of each block, last first.
#[target_feature(enable = "avx2")]
#[inline]
fn reverse(value: Register) -> Register {
    _mm256_shuffle_epi8(value, broadcast(super::bytes::load(&REVERSED)))
}

#[target_feature(enable = "avx2,vaes")]
#[inline]
fn round(value: Register, key: Register) -> Register {
    _mm256_aesenc_epi128(value, key)
}

#[target_feature(enable = "avx2,vaes")]
#[inline]
fn last_round(value: Register, key: Register) -> Register {
    _mm256_aesenclast_epi128(value, key)
}

/// Products of halves: of the low ones, the unlike ones, the high ones.
#[target_feature(enable = "avx2,vpclmulqdq")]
#[inline]
fn products(a: Register, b: Register) -> [Register; 4] {
    [
        _mm256_clmulepi64_epi128::<0x00>(a, b),
        _mm256_clmulepi64_epi128::<0x01>(a, b),
        _mm256_clmulepi64_epi128::<0x10>(a, b),
        _mm256_clmulepi64_epi128::<0x11>(a, b),
    ]
}

kernel!("avx2,vaes,vpclmulqdq");
