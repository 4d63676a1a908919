//! What memory of a peer is taken.
//!
//! Only what cannot shrink under us (F_SEAL_SHRINK), lies in ordinary memory, and is as large as the
//! peer says: a page that is not there would end this process with SIGBUS. Pages of a sparse file
//! become real when we touch them, so all regions of a peer together are bounded by [`MAX_SHARED`].

use std::os::fd::OwnedFd;

use rustix::fs::SealFlags;

use super::MemifFault;
use crate::shared::Region;

/// Bytes of shared memory a peer may bring, all regions together: 1 GiB.
pub(super) const MAX_SHARED: u64 = 1 << 30;

/// `f_type` of a file of huge pages (linux/magic.h, HUGETLBFS_MAGIC).
const HUGE_PAGES: u64 = 0x9584_58f6;

/// The memory behind a peer's descriptor, of which it says that it has `size` bytes.
pub(super) fn of_peer(file: &OwnedFd, size: u64) -> Result<Region, MemifFault> {
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
    Region::map(file, len, 0).map_err(|_| MemifFault::RegionKind)
}

#[cfg(test)]
mod tests {
    use std::io;

    use rustix::fs::MemfdFlags;

    use super::*;

    #[test]
    fn memory_that_could_vanish_is_refused() {
        let unsealed = rustix::fs::memfd_create("test", MemfdFlags::ALLOW_SEALING).expect("file");
        rustix::fs::ftruncate(&unsealed, 4096).expect("size");
        assert_eq!(of_peer(&unsealed, 4096).err(), Some(MemifFault::RegionUnsealed));
        rustix::fs::fcntl_add_seals(&unsealed, SealFlags::SHRINK).expect("seal");
        assert_eq!(of_peer(&unsealed, 4097).err(), Some(MemifFault::RegionSize));
        assert_eq!(of_peer(&unsealed, 0).err(), Some(MemifFault::RegionSize));
        assert_eq!(of_peer(&unsealed, MAX_SHARED + 1).err(), Some(MemifFault::RegionSize));
        assert!(of_peer(&unsealed, 4096).is_ok());
        let (pipe, _other) = io::pipe().expect("pipe");
        assert_eq!(of_peer(&pipe.into(), 4096).err(), Some(MemifFault::RegionKind));
    }
}
