//! Four blocks to a register: AVX-512, VAES, VPCLMULQDQ.

use core::arch::x86_64::{
    __m128i, __m512i, _mm_xor_si128, _mm512_add_epi32, _mm512_aesenc_epi128,
    _mm512_aesenclast_epi128, _mm512_broadcast_i32x4, _mm512_castsi512_si128,
    _mm512_clmulepi64_epi128, _mm512_extracti32x4_epi32, _mm512_loadu_si512,
    _mm512_mask_storeu_epi8, _mm512_maskz_loadu_epi8, _mm512_maskz_mov_epi8, _mm512_set_epi64,
    _mm512_setzero_si512, _mm512_shuffle_epi8, _mm512_storeu_si512, _mm512_ternarylogic_epi64,
    _mm512_xor_si512, _mm512_zextsi128_si512,
};

use super::kernel::{REVERSED, kernel};

/// Blocks to a register.
const BLOCKS: usize = 4;

/// Registers that are on their way at once.
const GROUP: usize = 8;

type Register = __m512i;

#[target_feature(enable = "avx512f")]
#[inline]
fn load(bytes: &[u8; 64]) -> Register {
    // SAFETY: 64 bytes are there, and the load needs no alignment.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f")]
#[inline]
fn store(bytes: &mut [u8; 64], value: Register) {
    // SAFETY: 64 bytes are there, and the store needs no alignment.
    unsafe { _mm512_storeu_si512(bytes.as_mut_ptr().cast(), value) }
}

/// Ones for the first `len` bytes, which are less than 64.
#[inline]
fn mask(len: usize) -> u64 {
    (1 << len) - 1
}

/// Less than a register, and zeros behind it.
#[target_feature(enable = "avx512bw")]
#[inline]
fn load_less(bytes: &[u8]) -> Register {
    let bytes = &bytes[..bytes.len().min(63)];
    // SAFETY: what the mask leaves out is not read, and all else is there.
    unsafe { _mm512_maskz_loadu_epi8(mask(bytes.len()), bytes.as_ptr().cast()) }
}

#[target_feature(enable = "avx512bw")]
#[inline]
fn store_less(bytes: &mut [u8], value: Register) {
    let len = bytes.len().min(63);
    let bytes = &mut bytes[..len];
    // SAFETY: what the mask leaves out is not written, and all else is there.
    unsafe { _mm512_mask_storeu_epi8(bytes.as_mut_ptr().cast(), mask(len), value) }
}

/// The first `len` bytes, and zeros behind them.
#[target_feature(enable = "avx512bw")]
#[inline]
fn keep(value: Register, len: usize) -> Register {
    if len >= 64 { value } else { _mm512_maskz_mov_epi8(mask(len), value) }
}

#[target_feature(enable = "avx512f")]
#[inline]
fn zero() -> Register {
    _mm512_setzero_si512()
}

#[target_feature(enable = "avx512f")]
#[inline]
fn broadcast(block: __m128i) -> Register {
    _mm512_broadcast_i32x4(block)
}

/// The block in the first place, zeros in the others.
#[target_feature(enable = "avx512f")]
#[inline]
fn first(block: __m128i) -> Register {
    _mm512_zextsi128_si512(block)
}

/// What is in the first place.
#[target_feature(enable = "avx512f")]
#[inline]
fn lowest(value: Register) -> __m128i {
    _mm512_castsi512_si128(value)
}

/// The sum of all places.
#[target_feature(enable = "avx512f")]
#[inline]
fn fold(value: Register) -> __m128i {
    let (a, b) = (_mm512_castsi512_si128(value), _mm512_extracti32x4_epi32::<1>(value));
    let (c, d) = (_mm512_extracti32x4_epi32::<2>(value), _mm512_extracti32x4_epi32::<3>(value));
    _mm_xor_si128(_mm_xor_si128(a, b), _mm_xor_si128(c, d))
}

/// 1, 2, … in the places of the counters.
#[target_feature(enable = "avx512f")]
#[inline]
fn ascending() -> Register {
    _mm512_set_epi64(0, 4, 0, 3, 0, 2, 0, 1)
}

/// What a register is ahead of the one before.
#[target_feature(enable = "avx512f")]
#[inline]
fn step() -> Register {
    const AHEAD: i64 = BLOCKS as i64;
    _mm512_set_epi64(0, AHEAD, 0, AHEAD, 0, AHEAD, 0, AHEAD)
}

#[target_feature(enable = "avx512f")]
#[inline]
fn add(a: Register, b: Register) -> Register {
    _mm512_add_epi32(a, b)
}

#[target_feature(enable = "avx512f")]
#[inline]
fn xor(a: Register, b: Register) -> Register {
    _mm512_xor_si512(a, b)
}

#[target_feature(enable = "avx512f")]
#[inline]
fn xor3(a: Register, b: Register, c: Register) -> Register {
    _mm512_ternarylogic_epi64::<0x96>(a, b, c)
}

/// The bytes of each block, last first.
#[target_feature(enable = "avx512bw")]
#[inline]
fn reverse(value: Register) -> Register {
    _mm512_shuffle_epi8(value, broadcast(super::bytes::load(&REVERSED)))
}

#[target_feature(enable = "avx512f,vaes")]
#[inline]
fn round(value: Register, key: Register) -> Register {
    _mm512_aesenc_epi128(value, key)
}

#[target_feature(enable = "avx512f,vaes")]
#[inline]
fn last_round(value: Register, key: Register) -> Register {
    _mm512_aesenclast_epi128(value, key)
}

/// Products of halves: of the low ones, the unlike ones, the high ones.
#[target_feature(enable = "avx512f,vpclmulqdq")]
#[inline]
fn products(a: Register, b: Register) -> [Register; 4] {
    [
        _mm512_clmulepi64_epi128::<0x00>(a, b),
        _mm512_clmulepi64_epi128::<0x01>(a, b),
        _mm512_clmulepi64_epi128::<0x10>(a, b),
        _mm512_clmulepi64_epi128::<0x11>(a, b),
    ]
}

kernel!("avx512f,avx512bw,avx512vl,vaes,vpclmulqdq");
