//! The program that hands received frames to our sockets, written by hand and loaded with bpf(2).
//!
//! Six instructions: redirect to the socket of the receive queue the frame came by, and pass it to the
//! kernel when there is none. A link holds it at the device, so it goes with the port, also when the
//! process is killed.

use std::{
    io, mem,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

/// How the program sits at a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hook {
    /// In the driver, before the kernel makes a packet of a frame (XDP_FLAGS_DRV_MODE).
    Native,
    /// Behind the driver, for those that have no hook of their own (XDP_FLAGS_SKB_MODE).
    Generic,
}

/// The program at one device; gone when dropped.
pub(super) struct Program {
    map: OwnedFd,
    _link: OwnedFd,
}

// From linux/bpf.h.
const BPF_MAP_CREATE: libc::c_int = 0;
const BPF_MAP_UPDATE_ELEM: libc::c_int = 2;
const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_LINK_CREATE: libc::c_int = 28;
const BPF_MAP_TYPE_XSKMAP: u32 = 17;
const BPF_PROG_TYPE_XDP: u32 = 6;
const BPF_XDP: u32 = 37;
const BPF_FUNC_REDIRECT_MAP: i32 = 51;
const BPF_PSEUDO_MAP_FD: u8 = 1;
const XDP_PASS: i32 = 2;
const XDP_FLAGS_SKB_MODE: u32 = 1 << 1;
const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;
/// Where `struct xdp_md` has `rx_queue_index`.
const RX_QUEUE_INDEX: i16 = 16;

impl Program {
    /// Loads the program and puts it at a device with so many receive queues; no socket is known to it
    /// yet.
    pub(super) fn attach(index: u32, queues: u32, hook: Hook) -> io::Result<Self> {
        let map = bpf(
            BPF_MAP_CREATE,
            &MapCreate {
                map_type: BPF_MAP_TYPE_XSKMAP,
                key_size: 4,
                value_size: 4,
                max_entries: queues,
            },
        )?;
        let code = code(map.as_raw_fd());
        let load = ProgLoad {
            prog_type: BPF_PROG_TYPE_XDP,
            insn_cnt: code.len() as u32,
            insns: code.as_ptr().expose_provenance() as u64,
            license: c"Apache-2.0".as_ptr().expose_provenance() as u64,
        };
        let program = bpf(BPF_PROG_LOAD, &load)?;
        let link = bpf(
            BPF_LINK_CREATE,
            &LinkCreate {
                prog_fd: program.as_raw_fd() as u32,
                target_ifindex: index,
                attach_type: BPF_XDP,
                flags: match hook {
                    Hook::Native => XDP_FLAGS_DRV_MODE,
                    Hook::Generic => XDP_FLAGS_SKB_MODE,
                },
            },
        )?;
        Ok(Self { map, _link: link })
    }

    /// Frames of a receive queue go to this socket from now on.
    pub(super) fn redirect(&self, queue: u32, socket: &OwnedFd) -> io::Result<()> {
        let value = socket.as_raw_fd() as u32;
        let update = MapUpdate {
            map_fd: self.map.as_raw_fd() as u32,
            _pad: 0,
            key: (&raw const queue).expose_provenance() as u64,
            value: (&raw const value).expose_provenance() as u64,
            flags: 0,
        };
        call(BPF_MAP_UPDATE_ELEM, &update).map(drop)
    }
}

/// Instructions as the kernel reads them: operation, registers, offset, immediate.
fn code(map: libc::c_int) -> [u64; 6] {
    let step = |op: u8, dst: u8, src: u8, offset: i16, immediate: i32| {
        u64::from(op)
            | u64::from(src << 4 | dst) << 8
            | u64::from(offset as u16) << 16
            | u64::from(immediate as u32) << 32
    };
    [
        step(0x61, 2, 1, RX_QUEUE_INDEX, 0), // r2 = context->rx_queue_index
        step(0x18, 1, BPF_PSEUDO_MAP_FD, 0, map), // r1 = the map, two slots wide
        step(0, 0, 0, 0, 0),
        step(0xb7, 3, 0, 0, XDP_PASS), // r3 = what to do without a socket
        step(0x85, 0, 0, 0, BPF_FUNC_REDIRECT_MAP), // r0 = redirect_map(r1, r2, r3)
        step(0x95, 0, 0, 0, 0),        // return r0
    ]
}

// Heads of the members of `union bpf_attr`; the kernel takes what is not given as zero.

#[repr(C)]
struct MapCreate {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
}

#[repr(C)]
struct MapUpdate {
    map_fd: u32,
    _pad: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[repr(C)]
struct ProgLoad {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
}

#[repr(C)]
struct LinkCreate {
    prog_fd: u32,
    target_ifindex: u32,
    attach_type: u32,
    flags: u32,
}

/// A call that makes a descriptor.
fn bpf<T>(command: libc::c_int, attributes: &T) -> io::Result<OwnedFd> {
    let fd = call(command, attributes)?;
    // SAFETY: the kernel made the descriptor for us just now.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn call<T>(command: libc::c_int, attributes: &T) -> io::Result<libc::c_int> {
    let (pointer, size) = (&raw const *attributes, mem::size_of::<T>());
    // SAFETY: pointer and size describe `attributes`, a structure of integers; the addresses in it are
    // of values that its makers keep until the call is over, of the kinds that the command wants.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, pointer, size) };
    crate::sys::checked(result as libc::c_int)
}
