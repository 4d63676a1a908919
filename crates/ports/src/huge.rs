//! Memory in huge pages: mappings for tables, and an allocator for objects that packets touch.
//!
//! Ten thousand SAs used in turn lie on thousands of ordinary pages, more than a CPU remembers the
//! translations of; looking one up then takes longer than enciphering a small packet. A program
//! that forwards sets [`HugeAlloc`] as its global allocator: objects aligned to [`ALIGN`] bytes,
//! which is how what workers touch per packet is marked, come from huge pages. Objects of
//! [`OWN_PAGES`] and more have pages of their own, which are memory once they are touched and go back
//! when the object is freed: buffers of connections that are idle, what a password hash works in. In the
//! heap of the C library such an object leaves a gap, the next small one lands in the gap, and none is
//! ever large enough again. Everything else comes from the system as ever. Limits: memory of marked objects is
//! reused for others of their size and never given back; where there are no huge pages it is ordinary memory.
//!
//! What a library allocates by itself, such as the keys of `aws-lc-rs`, lies in the heap of the C
//! library; [`gather_heap`] asks for that to be moved.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    ptr::{self, NonNull},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

/// A huge page of x86-64 and of most ARM kernels, in bytes.
pub const HUGE_PAGE: usize = 2 << 20;

/// The alignment, in bytes, that marks what packets touch: a pair of cache lines.
pub const ALIGN: usize = 128;

/// Larger objects come from the system, in units of [`ALIGN`].
const LARGEST: usize = 64;

/// From this size on, in bytes, an object has pages of its own.
pub const OWN_PAGES: usize = 32 << 10;

/// The smallest page there is, in bytes: what has pages of its own is aligned to it.
const PAGE: usize = 4096;

/// Bytes that have pages of their own.
static WITH_OWN_PAGES: AtomicUsize = AtomicUsize::new(0);

/// Address space taken at a time; the kernel backs it as it is touched.
const CHUNK: usize = 8 * HUGE_PAGE;

/// Zeroed memory from the kernel, asked for in huge pages, backed only as it is touched.
pub struct Mapping {
    base: NonNull<u8>,
    /// The whole mapping; it begins before `base`.
    #[cfg(all(target_os = "linux", not(miri)))]
    whole: (*mut libc::c_void, usize),
}

// SAFETY: a mapping only owns memory; it is reached through unsafe code with a protocol of its own.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// `size` bytes from the start of a huge page on; `None` when the kernel gives none, or is none
    /// of Linux.
    pub fn new(size: usize) -> Option<Self> {
        #[cfg(all(target_os = "linux", not(miri)))]
        {
            let whole = size.checked_add(HUGE_PAGE)?;
            let access = libc::PROT_READ | libc::PROT_WRITE;
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
            // SAFETY: a new private mapping at an address of the kernel's choice concerns nobody.
            let start = unsafe { libc::mmap(ptr::null_mut(), whole, access, flags, -1, 0) };
            if start == libc::MAP_FAILED {
                return None;
            }
            let skip = start.cast::<u8>().align_offset(HUGE_PAGE);
            // SAFETY: skip < HUGE_PAGE, so `base` and `size` bytes from there lie in the mapping; the
            // advice changes no contents and its failure no meaning.
            let base = unsafe {
                let base = start.cast::<u8>().add(skip);
                libc::madvise(base.cast(), size, libc::MADV_HUGEPAGE);
                base
            };
            NonNull::new(base).map(|base| Self { base, whole: (start, whole) })
        }
        #[cfg(not(all(target_os = "linux", not(miri))))]
        {
            let _ = size;
            None
        }
    }

    /// The first byte.
    pub const fn base(&self) -> NonNull<u8> {
        self.base
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        #[cfg(all(target_os = "linux", not(miri)))]
        // SAFETY: mapped with this size in `new`; who used it owned this, and is gone.
        unsafe {
            libc::munmap(self.whole.0, self.whole.1);
        }
    }
}

/// Asks the kernel to move the heap of the C library into huge pages, and tells how many bytes of it are
/// there now. Whoever touches the heap meanwhile may wait, some milliseconds for tens of megabytes, so
/// call it when many keys have come and no packet waits for them. Needs Linux 6.1; before, the kernel
/// does it by and by. Limit: only what lies in the first heap, that of the main thread, unless the
/// others have been turned off with [`one_heap`].
pub fn gather_heap() -> usize {
    #[cfg(all(target_os = "linux", not(miri)))]
    {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
        let Some((start, end)) = maps.lines().find_map(heap) else { return 0 };
        let (start, end) = (start.next_multiple_of(HUGE_PAGE), end / HUGE_PAGE * HUGE_PAGE);
        let pages = (start..end).step_by(HUGE_PAGE);
        let moved = pages.filter(|page| {
            let page = ptr::without_provenance_mut::<libc::c_void>(*page);
            // SAFETY: both say where memory had better lie; contents and addresses stay, and what is no
            // longer mapped is answered with an error.
            unsafe {
                libc::madvise(page, HUGE_PAGE, libc::MADV_HUGEPAGE) == 0
                    && libc::madvise(page, HUGE_PAGE, libc::MADV_COLLAPSE) == 0
            }
        });
        moved.count() * HUGE_PAGE
    }
    #[cfg(not(all(target_os = "linux", not(miri))))]
    {
        0
    }
}

/// Bytes that are allocated, those with pages of their own included, for measurements. What packets touch of SAs lies
/// elsewhere. Zero where the C library is not glibc.
pub fn heap_in_use() -> usize {
    #[cfg(all(target_os = "linux", target_env = "gnu", not(miri)))]
    {
        // SAFETY: it only reads counters, under the locks of the heap.
        let info = unsafe { libc::mallinfo2() };
        info.uordblks + info.hblkhd + WITH_OWN_PAGES.load(Relaxed)
    }
    #[cfg(not(all(target_os = "linux", target_env = "gnu", not(miri))))]
    {
        0
    }
}

/// Gives whole pages of `bytes` back to the kernel until they are written again; what they hold is lost.
/// For buffers that nobody needs for a while.
pub fn give_back(bytes: &mut [u8]) {
    #[cfg(all(target_os = "linux", not(miri)))]
    {
        let skip = bytes.as_ptr().align_offset(PAGE).min(bytes.len());
        let len = (bytes.len() - skip) / PAGE * PAGE;
        if len > 0 {
            let first = bytes[skip..].as_mut_ptr().cast();
            // SAFETY: the pages lie within `bytes`, which nobody else refers to; they read as other bytes
            // afterwards, zeros in memory of our own, and any byte is a `u8`. On failure nothing changes.
            unsafe { libc::madvise(first, len, libc::MADV_DONTNEED) };
        }
    }
    #[cfg(not(all(target_os = "linux", not(miri))))]
    let _ = bytes;
}

/// Lets all threads allocate from one heap, so that [`gather_heap`] finds what they allocated. Call it
/// before there are threads. No packet is served by an allocation, so none waits for another thread.
pub fn one_heap() {
    #[cfg(all(target_os = "linux", target_env = "gnu", not(miri)))]
    // SAFETY: sets a number in the allocator, which takes its own lock for that.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// First byte and end of the heap, from its line of `/proc/self/maps`.
#[cfg(target_os = "linux")]
fn heap(line: &str) -> Option<(usize, usize)> {
    let range = line.strip_suffix("[heap]")?.split(' ').next()?;
    let (start, end) = range.split_once('-')?;
    let address = |digits| usize::from_str_radix(digits, 16).ok();
    Some((address(start)?, address(end)?))
}

/// The allocator: see the head of this file.
pub struct HugeAlloc(Mutex<Blocks>);

/// What it has to give.
struct Blocks {
    /// Blocks that came back, by size in units of [`ALIGN`].
    free: [*mut Free; LARGEST + 1],
    next: *mut u8,
    left: usize,
}

/// A block that came back.
struct Free {
    next: *mut Self,
}

// SAFETY: the pointers are to memory that nobody else knows of.
unsafe impl Send for Blocks {}

impl HugeAlloc {
    /// One that has taken nothing yet.
    pub const fn new() -> Self {
        let free = [ptr::null_mut(); LARGEST + 1];
        Self(Mutex::new(Blocks { free, next: ptr::null_mut(), left: 0 }))
    }

    fn lock(&self) -> MutexGuard<'_, Blocks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for HugeAlloc {
    fn default() -> Self {
        Self::new()
    }
}

/// Where an object comes from, and so goes back to.
enum Source {
    /// A list of blocks, by the size in units of [`ALIGN`].
    Marked(usize),
    /// The kernel.
    OwnPages,
    /// The C library.
    System,
}

impl Source {
    const fn of(layout: &Layout) -> Self {
        let units = layout.size().div_ceil(ALIGN);
        if layout.align() == ALIGN && units <= LARGEST {
            Self::Marked(units)
        } else if cfg!(all(target_os = "linux", not(miri)))
            && layout.size() >= OWN_PAGES
            && layout.align() <= PAGE
        {
            Self::OwnPages
        } else {
            Self::System
        }
    }
}

/// Zeroed memory of an object with pages of its own; null when the kernel gives none.
fn map(size: usize) -> *mut u8 {
    #[cfg(all(target_os = "linux", not(miri)))]
    {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new private mapping at an address of the kernel's choice concerns nobody.
        let start = unsafe { libc::mmap(ptr::null_mut(), size, access, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return ptr::null_mut();
        }
        WITH_OWN_PAGES.fetch_add(size, Relaxed);
        start.cast()
    }
    #[cfg(not(all(target_os = "linux", not(miri))))]
    {
        let _ = size;
        ptr::null_mut()
    }
}

/// # Safety
/// The object came from [`map`], or [`remap`], with this size, and nobody uses it any more.
unsafe fn unmap(object: *mut u8, size: usize) {
    #[cfg(all(target_os = "linux", not(miri)))]
    {
        WITH_OWN_PAGES.fetch_sub(size, Relaxed);
        // SAFETY: the caller's promise: it is ours, whole.
        unsafe { libc::munmap(object.cast(), size) };
    }
    #[cfg(not(all(target_os = "linux", not(miri))))]
    {
        let _ = (object, size);
    }
}

/// The object in another size, maybe elsewhere; null, and the object as it was, when the kernel cannot.
///
/// # Safety
/// The object came from [`map`], or this, with the old size.
unsafe fn remap(object: *mut u8, old: usize, new: usize) -> *mut u8 {
    #[cfg(all(target_os = "linux", not(miri)))]
    {
        // SAFETY: the caller's promise: it is ours, whole, and whoever has it takes the new address.
        let moved = unsafe { libc::mremap(object.cast(), old, new, libc::MREMAP_MAYMOVE) };
        if moved == libc::MAP_FAILED {
            return ptr::null_mut();
        }
        WITH_OWN_PAGES.fetch_add(new, Relaxed);
        WITH_OWN_PAGES.fetch_sub(old, Relaxed);
        moved.cast()
    }
    #[cfg(not(all(target_os = "linux", not(miri))))]
    {
        let _ = (object, old, new);
        ptr::null_mut()
    }
}

impl Blocks {
    fn take(&mut self, units: usize) -> *mut u8 {
        let back = self.free[units];
        if !back.is_null() {
            // SAFETY: a block in the list is ours, and `give` wrote its `next`.
            self.free[units] = unsafe { (*back).next };
            return back.cast();
        }
        let size = units * ALIGN;
        if self.left < size {
            // what is left of the last one is less than one object
            let Some(mapping) = Mapping::new(CHUNK) else {
                return ptr::null_mut();
            };
            (self.next, self.left) = (mapping.base().as_ptr(), CHUNK);
            std::mem::forget(mapping);
        }
        let block = self.next;
        // SAFETY: size <= left, so the result lies in the mapping or at its end.
        self.next = unsafe { block.add(size) };
        self.left -= size;
        block
    }

    /// # Safety
    /// The block has so many units, is aligned, and nobody uses it any more.
    unsafe fn give(&mut self, block: *mut u8, units: usize) {
        let block = block.cast::<Free>();
        // SAFETY: the block is large enough, aligned, and the caller's promise makes it ours.
        unsafe { block.write(Free { next: self.free[units] }) };
        self.free[units] = block;
    }
}

// SAFETY: a block has at least the layout's size and alignment: the chunks start at a huge page and
// all blocks are multiples of `ALIGN`; mappings start at a page. It is given to one caller until that one gives it
// back with the same layout, which leads to the same source. Nothing here allocates by the global allocator or panics:
// the lock is a word, units are bounded by `Source::of`.
unsafe impl GlobalAlloc for HugeAlloc {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let units = match Source::of(&layout) {
            Source::Marked(units) => units,
            Source::OwnPages => return map(layout.size()),
            // SAFETY: the caller's promise.
            Source::System => return unsafe { System.alloc(layout) },
        };
        let block = self.lock().take(units);
        if !block.is_null() {
            return block;
        }
        match Layout::from_size_align(units * ALIGN, ALIGN) {
            // SAFETY: the size is not zero, as the caller's is not. The block goes to our list later.
            Ok(whole) => unsafe { System.alloc(whole) },
            Err(_) => ptr::null_mut(),
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match Source::of(&layout) {
            // SAFETY: the caller's promise, and `alloc` made every such block so large.
            Source::Marked(units) => unsafe { self.lock().give(block, units) },
            // SAFETY: the caller's promise; it came from there.
            Source::OwnPages => unsafe { unmap(block, layout.size()) },
            // SAFETY: the caller's promise; it came from there.
            Source::System => unsafe { System.dealloc(block, layout) },
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        match Source::of(&layout) {
            Source::Marked(_) => {}
            Source::OwnPages => return map(layout.size()),
            // SAFETY: the caller's promise.
            Source::System => return unsafe { System.alloc_zeroed(layout) },
        }
        // SAFETY: the caller's promise.
        let block = unsafe { self.alloc(layout) };
        if !block.is_null() {
            // SAFETY: the block is new and so large.
            unsafe { block.write_bytes(0, layout.size()) };
        }
        block
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let Ok(wanted) = Layout::from_size_align(size, layout.align()) else {
            return ptr::null_mut();
        };
        match (Source::of(&layout), Source::of(&wanted)) {
            // SAFETY: the caller's promise; it came from there.
            (Source::System, Source::System) => unsafe { System.realloc(block, layout, size) },
            // SAFETY: the caller's promise; it came from there.
            (Source::OwnPages, Source::OwnPages) => unsafe { remap(block, layout.size(), size) },
            // SAFETY: the caller's promise; both blocks hold the smaller of the sizes, and are two.
            _ => unsafe {
                let new = self.alloc(wanted);
                if !new.is_null() {
                    new.copy_from_nonoverlapping(block, layout.size().min(size));
                    self.dealloc(block, layout);
                }
                new
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).expect("right")
    }

    #[test]
    fn what_is_given_back_is_memory_again_when_it_is_written() {
        let mut bytes = vec![7; 64 << 10];
        give_back(&mut bytes[1..]);
        // the byte before stays, and on Linux all whole pages are gone
        assert_eq!(bytes[0], 7);
        if cfg!(all(target_os = "linux", not(miri))) {
            let gone = bytes.iter().filter(|byte| **byte == 0).count();
            assert!(gone >= bytes.len() - 2 * PAGE, "{gone} bytes");
        }
        bytes[5..].fill(9);
        assert!(bytes[5..].iter().all(|byte| *byte == 9));
        give_back(&mut bytes[10..20]);
        assert_eq!(bytes[10..20], [9; 10]);
        give_back(&mut []);
    }

    #[test]
    fn blocks_are_aligned_apart_and_used_again() {
        let alloc = HugeAlloc::new();
        let mut blocks = Vec::new();
        for n in 0..20_000usize {
            let layout = layout(1 + n % (LARGEST * ALIGN), ALIGN);
            // SAFETY: the layout has a size; the block is written within it.
            let block = unsafe {
                let block = alloc.alloc_zeroed(layout);
                assert!(!block.is_null() && (block as usize).is_multiple_of(ALIGN));
                assert_eq!((*block, *block.add(layout.size() - 1)), (0, 0));
                block.write_bytes(n as u8, layout.size());
                block
            };
            blocks.push((block, layout, n as u8));
        }
        for (block, layout, n) in &blocks {
            // SAFETY: allocated and written above, and given back once.
            unsafe {
                assert_eq!((**block, *block.add(layout.size() - 1)), (*n, *n), "nobody else's");
                alloc.dealloc(*block, *layout);
            }
        }
        let (last, like, _) = blocks[blocks.len() - 1];
        // SAFETY: as above.
        unsafe {
            assert_eq!(alloc.alloc(like), last);
            assert_ne!(alloc.alloc(like), last);
        }
    }

    /// Resident memory of this process, in bytes.
    #[cfg(target_os = "linux")]
    fn resident() -> usize {
        let text = std::fs::read_to_string("/proc/self/statm").expect("Linux");
        let pages = text.split(' ').nth(1).and_then(|n| n.parse::<usize>().ok()).expect("pages");
        pages * PAGE
    }

    /// What a login does: much is taken, something small stays, what was much goes.
    #[cfg(target_os = "linux")]
    #[test]
    fn what_is_large_is_memory_when_touched_and_goes_back() {
        const MUCH: usize = 19 << 20;
        let (alloc, mut small) = (HugeAlloc::new(), Vec::new());
        let before = resident();
        for n in 0..100u8 {
            // SAFETY: the layout has a size; the block is used within it and given back with it.
            unsafe {
                let block = alloc.alloc_zeroed(layout(MUCH, 64));
                assert!(!block.is_null());
                block.write_bytes(n, MUCH);
                small.push(vec![n; 100]);
                alloc.dealloc(block, layout(MUCH, 64));
            }
        }
        let after = resident();
        // other tests run meanwhile, with tens of megabytes
        assert!(after < before + 20 * MUCH, "{before} bytes before, {after} after");
        // SAFETY: as above; what was asked for as zeros is read.
        let idle: Vec<*mut u8> = (0..10_000)
            .map(|_| unsafe {
                let block = alloc.alloc_zeroed(layout(64 << 10, 1));
                assert_eq!((*block, *block.add((64 << 10) - 1)), (0, 0));
                block
            })
            .collect();
        let touched = resident();
        let most = after + 10_000 * 8 * PAGE;
        assert!(touched < most, "{after} bytes before, {touched} with buffers");
        for block in idle {
            // SAFETY: allocated above, and given back once.
            unsafe { alloc.dealloc(block, layout(64 << 10, 1)) };
        }
        assert_eq!(small.len(), 100);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_heap_is_found_and_keeps_its_bytes() {
        let line =
            "5581a2c5d000-5581a2c7e000 rw-p 00000000 00:00 0                          [heap]";
        assert_eq!(heap(line), Some((0x5581_a2c5_d000, 0x5581_a2c7_e000)));
        for line in
            ["", "[heap]", "7ffd-7fff rw-p 00000000 00:00 0 [stack]", "x-y rw-p 0 0:0 0 [heap]"]
        {
            assert_eq!(heap(line), None, "{line}");
        }
        let blocks: Vec<Vec<u8>> = (0..20_000u32).map(|n| vec![n as u8; 500]).collect();
        gather_heap();
        assert!((0u32..).zip(&blocks).all(|(n, block)| block.iter().all(|b| *b == n as u8)));
    }

    #[test]
    fn blocks_grow_across_both_sources_and_keep_their_bytes() {
        let alloc = HugeAlloc::new();
        for align in [16, ALIGN, 2 * ALIGN] {
            // SAFETY: every block is used within its size, and given back with its last layout.
            unsafe {
                let mut block = alloc.alloc(layout(64, align));
                block.write_bytes(7, 64);
                let mut size = 64;
                for next in [200, 8192, 8193, 100_000, 3_000_000, 40_000, 32_768, 32_767, 80] {
                    block = alloc.realloc(block, layout(size, align), next);
                    assert!(!block.is_null() && (block as usize).is_multiple_of(align));
                    assert!((0..64).all(|at| *block.add(at) == 7), "{align} {next}");
                    size = next;
                }
                alloc.dealloc(block, layout(size, align));
            }
        }
    }
}
