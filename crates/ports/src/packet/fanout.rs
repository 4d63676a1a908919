//! Several sockets that share what a device receives (PACKET_FANOUT): each gets whole flows, both
//! directions of one that is not translated among them, by the kernel's symmetric hash of addresses and ports.
//!
//! A group belongs to one device: when that is gone, its sockets cannot be bound again, and new ones make a
//! new group. Linux 6.2 and later: before, a group could not leave out what the host itself sends, nor be
//! joined while the device is down.

use std::{
    io, mem,
    os::fd::{AsRawFd, BorrowedFd},
    sync::{Mutex, PoisonError},
};

use crate::sys::{self, checked, set_option};

// From linux/if_packet.h; the libc crate has them not for every target.
const PACKET_FANOUT: i32 = 18;
const PACKET_FANOUT_HASH: u32 = 0;
const PACKET_FANOUT_FLAG_UNIQUEID: u32 = 0x2000;
const PACKET_FANOUT_FLAG_IGNORE_OUTGOING: u32 = 0x4000;

/// What every socket of a group asks for.
const WANTED: u32 = PACKET_FANOUT_HASH | PACKET_FANOUT_FLAG_IGNORE_OUTGOING;

/// The sockets that share a device.
#[derive(Default)]
pub(super) struct Group(Mutex<Option<Joined>>);

/// A group of the kernel's.
#[derive(Clone, Copy)]
struct Joined {
    /// Index of the device.
    device: i32,
    id: u32,
}

impl Group {
    /// Whether the kernel has groups as they are needed here.
    pub(super) fn is_possible() -> bool {
        sys::kernel_at_least(6, 2)
    }

    /// Takes a socket in that is bound to `device`: the first one makes the group.
    pub(super) fn join(&self, socket: BorrowedFd<'_>, device: i32) -> io::Result<()> {
        let mut joined = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let set = |id: u32, flags: u32| {
            let value = id | (WANTED | flags) << 16;
            set_option(socket, libc::SOL_PACKET, PACKET_FANOUT, value.cast_signed())
        };
        if let Some(group) = joined.filter(|group| group.device == device) {
            return set(group.id, 0);
        }
        set(0, PACKET_FANOUT_FLAG_UNIQUEID)?;
        *joined = Some(Joined { device, id: id_of(socket)? });
        Ok(())
    }
}

/// The id of the group that a socket is in.
fn id_of(socket: BorrowedFd<'_>) -> io::Result<u32> {
    let mut value = 0u32;
    let mut len = mem::size_of_val(&value) as libc::socklen_t;
    // SAFETY: the pointer and length describe `value`.
    checked(unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            PACKET_FANOUT,
            (&raw mut value).cast(),
            &mut len,
        )
    })?;
    Ok(value & 0xffff)
}

/// Lets nothing be received until [`listen`]: a socket that is bound and not yet in its group would receive
/// what the others do.
pub(super) fn deafen(socket: BorrowedFd<'_>) -> io::Result<()> {
    let mut nothing =
        libc::sock_filter { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k: 0 };
    let program = libc::sock_fprog { len: 1, filter: &raw mut nothing };
    let len = mem::size_of_val(&program) as libc::socklen_t;
    // SAFETY: the pointer and length describe `program`, which points at one instruction; both are read
    // during the call only.
    checked(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const program).cast(),
            len,
        )
    })?;
    Ok(())
}

/// Undoes [`deafen`].
pub(super) fn listen(socket: BorrowedFd<'_>) -> io::Result<()> {
    set_option(socket, libc::SOL_SOCKET, libc::SO_DETACH_FILTER, 0)
}
