//! Asking the CPU for memory that will be needed soon.

/// Bytes of a cache line.
const LINE: usize = 64;

/// Asks for the cache line of an address, which need not be valid. Has no effect but on speed.
#[inline(always)]
pub fn prefetch(address: *const u8) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: a prefetch has no effect on any address, valid or not.
    unsafe {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = address;
}

/// Asks for every cache line of `bytes` bytes from an address on, which need not be valid.
#[inline(always)]
pub fn prefetch_range(start: *const u8, bytes: usize) {
    // from the start of its line: what begins in the middle of one ends in the middle of another
    let inside = start as usize % LINE;
    for line in 0..(inside + bytes).div_ceil(LINE) {
        prefetch(start.wrapping_sub(inside).wrapping_add(line * LINE));
    }
}

/// The words of a value, to find where a library keeps what it does not show. They are good for
/// nothing but [`prefetch`]: what is no address costs time there and has no effect. Empty where
/// nothing is prefetched.
pub fn words_of<T>(value: &T) -> impl Iterator<Item = usize> + use<'_, T> {
    let start = std::ptr::from_ref(value).cast::<usize>();
    let whole = if start.is_aligned() { size_of::<T>() / size_of::<usize>() } else { 0 };
    let words = if cfg!(all(target_arch = "x86_64", not(miri))) { whole } else { 0 };
    (0..words).map(move |at| {
        let word: usize;
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        // SAFETY: at < words, so the word lies in the value, which is borrowed as long as the iterator
        // lives. An instruction of ours may read padding, which a load of the compiler's may not.
        unsafe {
            std::arch::asm!(
                "mov {word}, [{place}]",
                word = out(reg) word,
                place = in(reg) start.add(at),
                options(readonly, nostack, preserves_flags)
            );
        }
        #[cfg(not(all(target_arch = "x86_64", not(miri))))]
        {
            word = at;
        }
        word
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_the_value() {
        let boxed = Box::new(7u64);
        let address = std::ptr::from_ref(&*boxed) as usize;
        let value = (3u8, boxed, 0x1234_5678_9abc_usize);
        let words: Vec<usize> = words_of(&value).collect();
        if cfg!(all(target_arch = "x86_64", not(miri))) {
            assert_eq!(words.len(), 3);
            assert!(words.contains(&address) && words.contains(&0x1234_5678_9abc));
        }
        assert_eq!(words_of(&[1u8, 2, 3]).count(), 0);
        prefetch_range(std::ptr::null::<u8>().wrapping_sub(1), 1000);
    }
}
