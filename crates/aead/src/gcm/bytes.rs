//! Loads and stores of blocks, and of what is shorter than one.

use core::arch::x86_64::{__m128i, _mm_loadu_si128, _mm_set_epi64x, _mm_storeu_si128};

/// A block.
#[inline]
pub(super) fn load(block: &[u8; 16]) -> __m128i {
    // SAFETY: 16 bytes are there, and the load needs no alignment; every x86-64 CPU has SSE2.
    unsafe { _mm_loadu_si128(block.as_ptr().cast()) }
}

/// A block.
#[inline]
pub(super) fn store(block: &mut [u8; 16], value: __m128i) {
    // SAFETY: as in `load`.
    unsafe { _mm_storeu_si128(block.as_mut_ptr().cast(), value) }
}

/// The block before all counters: the nonce, then 1 in four bytes (NIST SP 800-38D §7.1).
#[inline]
pub(super) fn first_counter(nonce: &[u8; 12]) -> __m128i {
    let low = four(nonce, 0) | (four(nonce, 4) << 32);
    let high = four(nonce, 8) | (1 << 56);
    // SAFETY: every x86-64 CPU has SSE2.
    unsafe { _mm_set_epi64x(high as i64, low as i64) }
}

/// At most 16 bytes, and zeros behind them.
#[inline]
pub(super) fn load_part(bytes: &[u8]) -> __m128i {
    if let Ok(block) = bytes.try_into() {
        return load(block);
    }
    let (low, high) = match bytes.len() {
        9.. => (eight(bytes, 0), eight(bytes, bytes.len() - 8) >> (8 * (16 - bytes.len()))),
        8 => (eight(bytes, 0), 0),
        4.. => {
            let (first, last) = (four(bytes, 0), four(bytes, bytes.len() - 4));
            (first | (last << (8 * (bytes.len() - 4))), 0)
        }
        len => {
            let mut low = 0;
            for (i, byte) in bytes[..len].iter().enumerate() {
                low |= u64::from(*byte) << (8 * i);
            }
            (low, 0)
        }
    };
    // SAFETY: every x86-64 CPU has SSE2.
    unsafe { _mm_set_epi64x(high as i64, low as i64) }
}

/// At most the first 16 bytes of it.
#[inline]
pub(super) fn store_part(bytes: &mut [u8], value: __m128i) {
    let mut block = [0; 16];
    store(&mut block, value);
    let value = u128::from_le_bytes(block);
    let len = bytes.len();
    match len {
        16.. => bytes[..16].copy_from_slice(&block),
        8.. => {
            let last = (value >> (8 * (len - 8))) as u64;
            bytes[..8].copy_from_slice(&(value as u64).to_le_bytes());
            bytes[len - 8..].copy_from_slice(&last.to_le_bytes());
        }
        4.. => {
            let last = (value >> (8 * (len - 4))) as u32;
            bytes[..4].copy_from_slice(&(value as u32).to_le_bytes());
            bytes[len - 4..].copy_from_slice(&last.to_le_bytes());
        }
        _ => {
            for (byte, from) in bytes.iter_mut().zip(block) {
                *byte = from;
            }
        }
    }
}

#[inline]
fn eight(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(*bytes[at..].first_chunk().expect("invariant: eight bytes"))
}

#[inline]
fn four(bytes: &[u8], at: usize) -> u64 {
    u32::from_le_bytes(*bytes[at..].first_chunk().expect("invariant: four bytes")).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_what_is_there_and_touch_nothing_else() {
        let bytes: [u8; 16] = core::array::from_fn(|i| i as u8 + 1);
        for len in 0..=16 {
            let mut block = [0xff; 16];
            store(&mut block, load_part(&bytes[..len]));
            assert_eq!(block[..len], bytes[..len]);
            assert_eq!(block[len..], [0; 16][len..]);

            let mut out = [0; 16];
            store_part(&mut out[..len], load(&bytes));
            assert_eq!(out[..len], bytes[..len]);
            assert_eq!(out[len..], [0; 16][len..]);
        }
    }
}
