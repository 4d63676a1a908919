//! Memory that two processes share, as bounds-checked loads, stores and copies.
//!
//! The other process may write any byte at any time, so nothing here hands out a reference to the
//! bytes: indices and descriptors are read as atomics, data is copied in and out. What a copy took is
//! private and no longer changes.
//!
//! A region of a peer is taken only when it cannot shrink under us (F_SEAL_SHRINK), lies in ordinary
//! memory, and is as large as the peer says: a page that is not there would end this process with
//! SIGBUS. Pages of a sparse file become real when we touch them, so all regions of a peer
//! together are bounded by [`MAX_SHARED`].

use std::{
    ffi::c_void,
    io,
    os::fd::{AsFd, OwnedFd},
    ptr::{self, NonNull},
    sync::atomic::{AtomicU16, AtomicU32},
};

use rustix::{
    fs::{MemfdFlags, SealFlags},
    mm::{MapFlags, ProtFlags},
};

use super::MemifFault;

/// Bytes of shared memory a peer may bring, all regions together: 1 GiB.
pub(super) const MAX_SHARED: u64 = 1 << 30;

/// `f_type` of a file of huge pages (linux/magic.h, HUGETLBFS_MAGIC).
const HUGE_PAGES: u64 = 0x9584_58f6;

/// A mapping.
pub(super) struct Region {
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
    pub(super) fn create(len: usize) -> io::Result<(Self, OwnedFd)> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = rustix::fs::memfd_create("lockgate-memif", flags)?;
        rustix::fs::ftruncate(&file, len as u64)?;
        let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
        rustix::fs::fcntl_add_seals(&file, seals)?;
        Ok((Self::of(&file, len)?, file))
    }

    /// The memory behind a peer's descriptor, of which it says that it has `size` bytes.
    pub(super) fn map(file: &OwnedFd, size: u64) -> Result<Self, MemifFault> {
        let unfit = |_| MemifFault::RegionKind;
        let len = usize::try_from(size).map_err(|_| MemifFault::RegionSize)?;
        if len == 0 || size > MAX_SHARED {
            return Err(MemifFault::RegionSize);
        }
        if rustix::fs::fstatfs(file).map_err(unfit)?.f_type as u64 == HUGE_PAGES {
            return Err(MemifFault::RegionHuge);
        }
        if !rustix::fs::fcntl_get_seals(file).map_err(unfit)?.contains(SealFlags::SHRINK) {
            return Err(MemifFault::RegionUnsealed);
        }
        let real = rustix::fs::fstat(file).map_err(unfit)?.st_size;
        if u64::try_from(real).unwrap_or(0) < size {
            return Err(MemifFault::RegionSize);
        }
        Self::of(file, len).map_err(|_| MemifFault::RegionKind)
    }

    fn of(file: impl AsFd, len: usize) -> io::Result<Self> {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address the kernel chooses, of a file that is sealed against
        // shrinking; nothing else in this process refers to it.
        let base = unsafe {
            rustix::mm::mmap(ptr::null_mut(), len, protection, MapFlags::SHARED, file, 0)?
        };
        let base = NonNull::new(base.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { base, len })
    }

    /// Whether `len` bytes from `at` on lie inside.
    pub(super) fn holds(&self, at: usize, len: usize) -> bool {
        at.checked_add(len).is_some_and(|end| end <= self.len)
    }

    /// The 16-bit number at `at`, which must be even and inside.
    #[inline]
    pub(super) fn u16_at(&self, at: usize) -> &AtomicU16 {
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
    pub(super) fn u32_at(&self, at: usize) -> &AtomicU32 {
        assert!(
            at.is_multiple_of(4) && self.holds(at, 4),
            "invariant: rings are checked on making"
        );
        // SAFETY: as for `u16_at`.
        unsafe { AtomicU32::from_ptr(self.base.as_ptr().add(at).cast()) }
    }

    /// Copies bytes from `at` on; false, and nothing copied, when they are not all inside. Bytes
    /// the peer changes meanwhile are old or new ones.
    #[inline]
    pub(super) fn copy_out(&self, at: usize, into: &mut [u8]) -> bool {
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
    pub(super) fn copy_in(&self, at: usize, from: &[u8]) -> bool {
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
    pub(super) fn prefetch(&self, at: usize) {
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
        let theirs = Region::map(&file, 4096).expect("sealed");
        ours.u32_at(8).store(7, Ordering::Relaxed);
        assert_eq!(theirs.u16_at(8).load(Ordering::Relaxed), 7);
        assert!(theirs.copy_in(4090, b"abcdef") && !theirs.copy_in(4091, b"abcdef"));
        let mut bytes = [0; 6];
        assert!(ours.copy_out(4090, &mut bytes) && !ours.copy_out(usize::MAX, &mut bytes));
        assert_eq!(&bytes, b"abcdef");
    }

    #[test]
    fn memory_that_could_vanish_is_refused() {
        let unsealed = rustix::fs::memfd_create("test", MemfdFlags::ALLOW_SEALING).expect("file");
        rustix::fs::ftruncate(&unsealed, 4096).expect("size");
        assert_eq!(Region::map(&unsealed, 4096).err(), Some(MemifFault::RegionUnsealed));
        rustix::fs::fcntl_add_seals(&unsealed, SealFlags::SHRINK).expect("seal");
        assert_eq!(Region::map(&unsealed, 4097).err(), Some(MemifFault::RegionSize));
        assert_eq!(Region::map(&unsealed, 0).err(), Some(MemifFault::RegionSize));
        assert_eq!(Region::map(&unsealed, MAX_SHARED + 1).err(), Some(MemifFault::RegionSize));
        assert!(Region::map(&unsealed, 4096).is_ok());
        let (pipe, _other) = io::pipe().expect("pipe");
        assert_eq!(Region::map(&pipe.into(), 4096).err(), Some(MemifFault::RegionKind));
    }
}
