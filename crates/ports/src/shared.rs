//! Memory shared with another process or with the kernel, as bounds-checked loads, stores and copies.
//!
//! The other side may write any byte at any time, so nothing here hands out a reference to the
//! bytes: indices and descriptors are read as atomics, data is copied in and out. What a copy took is
//! private and no longer changes. This is the only unsafe code of memif and AF_XDP but for the calls
//! that load a program.

use std::{
    ffi::c_void,
    io,
    os::fd::{AsFd, OwnedFd},
    ptr::{self, NonNull},
    sync::atomic::{AtomicU16, AtomicU32, AtomicU64},
};

use rustix::{
    fs::{MemfdFlags, SealFlags},
    mm::{MapFlags, ProtFlags},
};

/// A mapping.
pub(crate) struct Region {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping belongs to the value, not to a thread, and every access through a shared
// reference is an atomic one or a copy whose racing bytes are documented as any bytes.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Region {
    /// New memory to share, all zero, and the descriptor to send to the peer.
    pub(crate) fn create(len: usize) -> io::Result<(Self, OwnedFd)> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = rustix::fs::memfd_create("lockgate-memif", flags)?;
        rustix::fs::ftruncate(&file, len as u64)?;
        let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
        rustix::fs::fcntl_add_seals(&file, seals)?;
        Ok((Self::map(&file, len, 0)?, file))
    }

    /// New memory of this process alone, zero, all of it there.
    pub(crate) fn anonymous(len: usize) -> io::Result<Self> {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        let flags = MapFlags::PRIVATE | MapFlags::POPULATE;
        // SAFETY: a new mapping at an address the kernel chooses; nothing else refers to it.
        let base = unsafe { rustix::mm::mmap_anonymous(ptr::null_mut(), len, protection, flags)? };
        Ok(Self { base: NonNull::new(base.cast()).ok_or(io::ErrorKind::OutOfMemory)?, len })
    }

    /// `len` bytes of a file or device from `offset` on. Whoever calls it has made sure that they are there
    /// and stay: touching a page that is not ends the process (SIGBUS).
    pub(crate) fn map(file: impl AsFd, len: usize, offset: u64) -> io::Result<Self> {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address the kernel chooses; nothing else in this process
        // refers to it.
        let base = unsafe {
            rustix::mm::mmap(ptr::null_mut(), len, protection, MapFlags::SHARED, file, offset)?
        };
        Ok(Self { base: NonNull::new(base.cast()).ok_or(io::ErrorKind::OutOfMemory)?, len })
    }

    /// Where it is, for calls that hand it to the kernel.
    pub(crate) fn address(&self) -> u64 {
        self.base.as_ptr().expose_provenance() as u64
    }

    /// Whether `len` bytes from `at` on lie inside.
    pub(crate) fn holds(&self, at: usize, len: usize) -> bool {
        at.checked_add(len).is_some_and(|end| end <= self.len)
    }

    /// The 16-bit number at `at`, which must be even and inside.
    #[inline]
    pub(crate) fn u16_at(&self, at: usize) -> &AtomicU16 {
        assert!(
            at.is_multiple_of(2) && self.holds(at, 2),
            "invariant: rings are checked on making"
        );
        // SAFETY: in bounds and aligned (the base is a page), mapped as long as `self`, and only
        // ever accessed as an atomic on our side.
        unsafe { AtomicU16::from_ptr(self.base.as_ptr().add(at).cast()) }
    }

    /// The 32-bit number at `at`, which must be a multiple of four and inside.
    #[inline]
    pub(crate) fn u32_at(&self, at: usize) -> &AtomicU32 {
        assert!(
            at.is_multiple_of(4) && self.holds(at, 4),
            "invariant: rings are checked on making"
        );
        // SAFETY: as for `u16_at`.
        unsafe { AtomicU32::from_ptr(self.base.as_ptr().add(at).cast()) }
    }

    /// The 64-bit number at `at`, which must be a multiple of eight and inside.
    #[inline]
    pub(crate) fn u64_at(&self, at: usize) -> &AtomicU64 {
        assert!(
            at.is_multiple_of(8) && self.holds(at, 8),
            "invariant: rings are checked on making"
        );
        // SAFETY: as for `u16_at`.
        unsafe { AtomicU64::from_ptr(self.base.as_ptr().add(at).cast()) }
    }

    /// Copies bytes from `at` on; false, and nothing copied, when they are not all inside. Bytes
    /// the peer changes meanwhile are old or new ones.
    #[inline]
    pub(crate) fn copy_out(&self, at: usize, into: &mut [u8]) -> bool {
        if !self.holds(at, into.len()) {
            return false;
        }
        // SAFETY: the source is in bounds and mapped, the target is a slice of ours, and the two
        // cannot overlap. The copy may race with the peer, which yields some bytes; every byte is a
        // valid `u8`, and nothing is concluded from them before the copy is private.
        unsafe {
            ptr::copy_nonoverlapping(self.base.as_ptr().add(at), into.as_mut_ptr(), into.len());
        }
        true
    }

    /// Copies bytes to `at`; false, and nothing copied, when there is no room for all.
    #[inline]
    pub(crate) fn copy_in(&self, at: usize, from: &[u8]) -> bool {
        if !self.holds(at, from.len()) {
            return false;
        }
        // SAFETY: the target is in bounds and mapped for writing, and cannot overlap a slice of
        // ours. If the peer reads or writes it at the same time, the peer gets what it asked for.
        unsafe {
            ptr::copy_nonoverlapping(from.as_ptr(), self.base.as_ptr().add(at), from.len());
        }
        true
    }

    /// Asks for the first lines of what is at `at` ahead of use.
    #[inline]
    pub(crate) fn prefetch(&self, at: usize) {
        if self.holds(at, 1) {
            let line = self.base.as_ptr().wrapping_add(at);
            crate::prefetch(line);
            crate::prefetch(line.wrapping_add(64));
        }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: exactly what was mapped, and the borrows handed out end before `self` does.
        let gone = unsafe { rustix::mm::munmap(self.base.as_ptr().cast::<c_void>(), self.len) };
        debug_assert!(gone.is_ok(), "a mapping of ours can be undone");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn two_mappings_are_one_memory() {
        let (ours, file) = Region::create(4096).expect("memory");
        let theirs = Region::map(&file, 4096, 0).expect("the same");
        ours.u32_at(8).store(7, Ordering::Relaxed);
        assert_eq!(theirs.u16_at(8).load(Ordering::Relaxed), 7);
        assert!(theirs.copy_in(4090, b"abcdef") && !theirs.copy_in(4091, b"abcdef"));
        let mut bytes = [0; 6];
        assert!(ours.copy_out(4090, &mut bytes) && !ours.copy_out(usize::MAX, &mut bytes));
        assert_eq!(&bytes, b"abcdef");
    }
}
