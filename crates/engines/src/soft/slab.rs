//! Memory for the tables: one zeroed allocation, asked for in huge pages, that the kernel backs
//! with memory only as it is touched. Slots are given out from the bottom, so a table sized for a
//! million sessions that holds a thousand takes the memory of a thousand.

use std::{
    alloc::{self, Layout},
    ptr::NonNull,
};

/// Types that are valid when all their bytes are zero.
///
/// # Safety
/// The all-zero byte pattern must be a valid value, and dropping a value must do nothing.
pub(super) unsafe trait Zeroed {}

/// A fixed number of slots. It hands out pointers; who may use them when is the caller's protocol.
pub(super) struct Slab<T> {
    base: NonNull<T>,
    len: usize,
}

// SAFETY: a slab is only an owner of memory; every access goes through an unsafe block whose
// protocol is stated there, or through `get`, which gives `&T` and so needs `T: Sync`.
unsafe impl<T: Send + Sync> Send for Slab<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Slab<T> {}

impl<T: Zeroed> Slab<T> {
    /// `len` slots of zero bytes.
    pub(super) fn new(len: usize) -> Self {
        const { assert!(size_of::<T>() > 0 && !std::mem::needs_drop::<T>()) };
        let Some(layout) = Self::layout(len) else {
            return Self {
                base: NonNull::dangling(),
                len: 0,
            };
        };
        // SAFETY: the layout has a size above zero.
        let raw = unsafe { alloc::alloc_zeroed(layout) };
        let Some(base) = NonNull::new(raw.cast::<T>()) else {
            alloc::handle_alloc_error(layout)
        };
        huge_pages(raw, layout);
        Self { base, len }
    }

    /// Number of slots.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Pointer to a slot; `None` beyond the end.
    #[inline]
    pub(super) fn ptr(&self, index: u32) -> Option<NonNull<T>> {
        let index = index as usize;
        if index < self.len {
            // SAFETY: index < len, so the result lies inside the allocation.
            Some(unsafe { self.base.add(index) })
        } else {
            None
        }
    }

    /// Asks the CPU to fetch every cache line of a slot.
    #[inline(always)]
    pub(super) fn prefetch(&self, index: u32) {
        let first = self.base.as_ptr().wrapping_add(index as usize).cast::<u8>();
        prefetch(first);
        if size_of::<T>() > 64 || !64usize.is_multiple_of(size_of::<T>()) {
            prefetch(first.wrapping_add(size_of::<T>() - 1));
        }
    }

    /// A slot whose type can be shared between threads as it is (all fields atomic).
    #[inline]
    pub(super) fn get(&self, index: u32) -> Option<&T>
    where
        T: Sync + Shared,
    {
        // SAFETY: slots start as zero, which is valid, and types that are `Shared` are only ever
        // changed through `&T`.
        self.ptr(index).map(|slot| unsafe { slot.as_ref() })
    }

    fn layout(len: usize) -> Option<Layout> {
        let layout = Layout::array::<T>(len).ok().filter(|l| l.size() > 0)?;
        let align = if layout.size() >= HUGE { HUGE } else { 64 };
        layout.align_to(align).ok()
    }
}

impl<T> Drop for Slab<T> {
    fn drop(&mut self) {
        if self.len == 0 {
            return;
        }
        let size = size_of::<T>() * self.len;
        let align = if size >= HUGE { HUGE } else { 64 }.max(align_of::<T>());
        // SAFETY: `new` allocated with exactly this layout, and nothing in it needs dropping.
        unsafe {
            alloc::dealloc(
                self.base.as_ptr().cast(),
                Layout::from_size_align_unchecked(size, align),
            );
        }
    }
}

/// Types that are only ever changed through `&self`.
pub(super) trait Shared {}

/// A huge page of x86-64 and of most ARM kernels, in bytes.
const HUGE: usize = 2 << 20;

fn huge_pages(base: *mut u8, layout: Layout) {
    #[cfg(all(target_os = "linux", not(miri)))]
    if layout.align() >= HUGE {
        // SAFETY: the range is ours; the advice changes no contents, and its failure no meaning.
        unsafe { libc::madvise(base.cast(), layout.size(), libc::MADV_HUGEPAGE) };
    }
    #[cfg(not(all(target_os = "linux", not(miri))))]
    let _ = (base, layout);
}

/// Asks the CPU for the cache line of an address, which need not be valid.
#[inline(always)]
pub(super) fn prefetch(address: *const u8) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: a prefetch has no effect on any address, valid or not.
    unsafe {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = address;
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    use super::*;

    struct Line([AtomicU64; 8]);
    // SAFETY: atomics of zero bytes are zero.
    unsafe impl Zeroed for Line {}
    impl Shared for Line {}

    #[test]
    fn slots_start_at_zero_and_end_at_the_end() {
        for len in [0, 1, 1000, 100_000] {
            let slab = Slab::<Line>::new(len);
            assert_eq!(slab.len(), len);
            assert!(slab.get(len as u32).is_none());
            slab.prefetch(u32::MAX);
            for i in (0..len as u32).step_by(997) {
                let line = slab.get(i).expect("within");
                assert!(line.0.iter().all(|word| word.load(Relaxed) == 0));
                line.0[7].store(u64::from(i), Relaxed);
                assert_eq!(std::ptr::from_ref(line) as usize % 64, 0);
            }
        }
    }
}
