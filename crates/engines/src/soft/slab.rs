//! Memory for the tables: one zeroed allocation, asked for in huge pages, that the kernel backs
//! with memory only as it is touched. Slots are given out from the bottom, so a table sized for a
//! million sessions that holds a thousand takes the memory of a thousand.

use std::{
    alloc::{self, Layout},
    ptr::NonNull,
};

use ports::{
    huge::{HUGE_PAGE, Mapping},
    prefetch,
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
    _memory: Option<Memory>,
}

// SAFETY: a slab is only an owner of memory; every access goes through an unsafe block whose
// protocol is stated there, or through `get`, which gives `&T` and so needs `T: Sync`.
unsafe impl<T: Send + Sync> Send for Slab<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Slab<T> {}

impl<T: Zeroed> Slab<T> {
    /// `len` slots of zero bytes.
    pub(super) fn new(len: usize) -> Self {
        const { assert!(size_of::<T>() > 0 && align_of::<T>() <= LINE) };
        const { assert!(!std::mem::needs_drop::<T>()) };
        match Layout::array::<T>(len) {
            Ok(layout) if len > 0 => {
                let memory = Memory::zeroed(layout.size());
                Self { base: memory.base().cast(), len, _memory: Some(memory) }
            }
            Ok(_) | Err(_) => Self { base: NonNull::dangling(), len: 0, _memory: None },
        }
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
}

/// Types that are only ever changed through `&self`.
pub(super) trait Shared {}

/// A cache line in bytes; every slab starts at one.
const LINE: usize = 64;

/// Zeroed bytes.
enum Memory {
    Heap(NonNull<u8>, Layout),
    Map(Mapping),
}

impl Memory {
    fn zeroed(size: usize) -> Self {
        // from the kernel, so that nothing is touched before the advice for huge pages is given (the
        // heap writes zeros to what it aligns)
        if size >= HUGE_PAGE
            && let Some(mapping) = Mapping::new(size)
        {
            return Self::Map(mapping);
        }
        let Ok(layout) = Layout::from_size_align(size, LINE) else {
            unreachable!("invariant: the size is that of an array")
        };
        // SAFETY: the layout has a size above zero.
        let base = unsafe { alloc::alloc_zeroed(layout) };
        match NonNull::new(base) {
            Some(base) => Self::Heap(base, layout),
            None => alloc::handle_alloc_error(layout),
        }
    }

    const fn base(&self) -> NonNull<u8> {
        match self {
            Self::Heap(base, _) => *base,
            Self::Map(mapping) => mapping.base(),
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        match self {
            // SAFETY: allocated with this layout in `zeroed`, and the slab that used it is gone.
            Self::Heap(base, layout) => unsafe { alloc::dealloc(base.as_ptr(), *layout) },
            // it unmaps itself
            Self::Map(_) => {}
        }
    }
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
