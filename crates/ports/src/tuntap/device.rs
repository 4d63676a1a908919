//! The character device behind a TUN/TAP port.

use std::{
    ffi::c_int,
    fs::OpenOptions,
    io, mem,
    os::{
        fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd},
        unix::fs::OpenOptionsExt,
    },
};

use super::{TunTapMode, TunTapOptions};
use crate::{
    PortCapabilities, PortError,
    sys::{self, DeviceName, DeviceState, checked, interface_ioctl},
    virtio,
};

const CAPABILITY: &str = "CAP_NET_ADMIN";

/// What the kernel may leave to us, the most first: older kernels refuse sets they do not know
/// whole. USO came with Linux 6.2.
const OFFLOADS: [u32; 4] = {
    let tso = libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6;
    let all = tso | libc::TUN_F_TSO_ECN | libc::TUN_F_USO4 | libc::TUN_F_USO6;
    [all, tso | libc::TUN_F_TSO_ECN, tso, libc::TUN_F_CSUM]
};

/// An open `/dev/net/tun`, attached to a device unless that has gone.
pub(super) struct Device {
    fd: OwnedFd,
    /// Any socket of the same network namespace, to ask about the device.
    control: OwnedFd,
    /// TUN_F_* obtained.
    offloads: u32,
}

impl Device {
    pub(super) fn open(name: &DeviceName, options: TunTapOptions) -> Result<Self, PortError> {
        let device = name.as_str();
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open("/dev/net/tun")
            .map_err(|source| match source.raw_os_error() {
                Some(libc::ENOENT | libc::ENODEV | libc::ENXIO) => PortError::NotSupported {
                    device: device.into(),
                    feature: "TUN/TAP driver",
                    next: "`modprobe tun`, or give the container /dev/net/tun",
                },
                Some(_) | None => {
                    PortError::from_io(device, "open /dev/net/tun", CAPABILITY, source)
                }
            })?;
        // SAFETY: no pointers are involved; a descriptor that is not negative is ours to own.
        let control = unsafe {
            let fd = libc::socket(libc::AF_UNIX, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
            let fd = checked(fd).map_err(|source| PortError::System {
                device: device.into(),
                action: "open a control socket",
                source,
            })?;
            OwnedFd::from_raw_fd(fd)
        };
        let mut opened = Self { fd: file.into(), control, offloads: 0 };
        opened.attach(name, options)?;
        Ok(opened)
    }

    /// Attaches to the device, or creates it. The descriptor belongs to the namespace it was opened
    /// in for good, and may attach again once its device has gone.
    pub(super) fn attach(
        &mut self,
        name: &DeviceName,
        options: TunTapOptions,
    ) -> Result<(), PortError> {
        let device = name.as_str();
        let failed = |action| move |source| PortError::from_io(device, action, CAPABILITY, source);
        let exists = self.look(name).is_ok();
        if options.attach_only && !exists {
            return Err(PortError::NoSuchDevice { device: device.into() });
        }
        let kind = match options.mode {
            TunTapMode::Tap => libc::IFF_TAP,
            TunTapMode::Tun => libc::IFF_TUN,
        };
        let mut request = name.request();
        let queues = if options.multi_queue { libc::IFF_MULTI_QUEUE } else { 0 };
        request.ifr_ifru.ifru_flags =
            (kind | libc::IFF_NO_PI | libc::IFF_VNET_HDR | queues) as libc::c_short;
        interface_ioctl(self.fd.as_fd(), libc::TUNSETIFF as _, &mut request).map_err(|source| {
            match source.raw_os_error() {
                Some(libc::EINVAL) if exists => PortError::WrongKind {
                    device: device.into(),
                    wanted: match options.mode {
                        TunTapMode::Tap => "a TAP device with one queue",
                        TunTapMode::Tun => "a TUN device with one queue",
                    },
                    next: "choose another name, or delete it first (`ip link delete`)",
                },
                Some(_) | None => failed("attach to it")(source),
            }
        })?;
        let size = virtio::HEADER_LEN as c_int;
        // SAFETY: the descriptor is open; TUNSETVNETHDRSZ reads an int, which `size` is.
        checked(unsafe { libc::ioctl(self.fd.as_raw_fd(), libc::TUNSETVNETHDRSZ as _, &size) })
            .map_err(failed("set the virtio-net header size"))?;
        self.offloads = OFFLOADS.into_iter().find(|set| self.set_offloads(*set)).unwrap_or(0);
        if !exists {
            sys::set_up(self.control.as_fd(), name).map_err(failed("bring it up"))?;
        }
        Ok(())
    }

    fn set_offloads(&self, set: u32) -> bool {
        // SAFETY: the descriptor is open; TUNSETOFFLOAD takes a number, not a pointer.
        let result = unsafe {
            libc::ioctl(self.fd.as_raw_fd(), libc::TUNSETOFFLOAD as _, libc::c_ulong::from(set))
        };
        result == 0
    }

    pub(super) fn look(&self, name: &DeviceName) -> io::Result<DeviceState> {
        DeviceState::look(self.control.as_fd(), name)
    }

    /// What the kernel takes and gives whole.
    pub(super) fn capabilities(&self) -> PortCapabilities {
        let has = |set| self.offloads & set == set;
        PortCapabilities {
            partial_checksum: has(libc::TUN_F_CSUM),
            tso4: has(libc::TUN_F_TSO4),
            tso6: has(libc::TUN_F_TSO6),
            uso: has(libc::TUN_F_USO4 | libc::TUN_F_USO6),
        }
    }

    pub(super) fn raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// Reads one packet; returns its length.
    pub(super) fn read(
        &self,
        header: &mut [u8; virtio::HEADER_LEN],
        room: &mut [u8],
    ) -> io::Result<usize> {
        let vectors = [
            libc::iovec { iov_base: header.as_mut_ptr().cast(), iov_len: header.len() },
            libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() },
        ];
        // SAFETY: both vectors describe memory borrowed mutably for the whole call.
        let len = unsafe { libc::readv(self.fd.as_raw_fd(), vectors.as_ptr(), 2) };
        match usize::try_from(len) {
            Ok(len) => Ok(len.saturating_sub(header.len())),
            Err(_) => Err(io::Error::last_os_error()),
        }
    }

    /// Writes one packet.
    pub(super) fn write(&self, header: &[u8; virtio::HEADER_LEN], packet: &[u8]) -> io::Result<()> {
        let vectors = [
            libc::iovec { iov_base: header.as_ptr().cast_mut().cast(), iov_len: header.len() },
            libc::iovec { iov_base: packet.as_ptr().cast_mut().cast(), iov_len: packet.len() },
        ];
        // SAFETY: both vectors describe memory borrowed for the whole call; writev only reads it.
        let len = unsafe { libc::writev(self.fd.as_raw_fd(), vectors.as_ptr(), 2) };
        if len < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

/// An epoll descriptor that is readable when the device is or when it was [`Wake::set`].
pub(super) struct Wake {
    epoll: OwnedFd,
    event: OwnedFd,
}

impl Wake {
    pub(super) fn new(device: &Device) -> io::Result<Self> {
        // SAFETY: no pointers are involved; descriptors that are not negative are ours to own.
        let (epoll, event) = unsafe {
            let epoll = OwnedFd::from_raw_fd(checked(libc::epoll_create1(libc::EPOLL_CLOEXEC))?);
            let flags = libc::EFD_CLOEXEC | libc::EFD_NONBLOCK;
            (epoll, OwnedFd::from_raw_fd(checked(libc::eventfd(0, flags))?))
        };
        for fd in [device.raw_fd(), event.as_raw_fd()] {
            let mut wanted = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 0 };
            let add = libc::EPOLL_CTL_ADD;
            // SAFETY: both descriptors are open and `wanted` is valid for the call.
            checked(unsafe { libc::epoll_ctl(epoll.as_raw_fd(), add, fd, &mut wanted) })?;
        }
        Ok(Self { epoll, event })
    }

    pub(super) fn raw_fd(&self) -> RawFd {
        self.epoll.as_raw_fd()
    }

    /// Makes the descriptor readable. A counter that is full is readable already.
    pub(super) fn set(&self) {
        let one = 1u64;
        let len = mem::size_of_val(&one);
        // SAFETY: the pointer and length describe `one`.
        let _ = unsafe { libc::write(self.event.as_raw_fd(), (&raw const one).cast(), len) };
    }

    /// Undoes [`Wake::set`].
    pub(super) fn clear(&self) {
        let mut count = 0u64;
        let len = mem::size_of_val(&count);
        // SAFETY: the pointer and length describe `count`.
        let _ = unsafe { libc::read(self.event.as_raw_fd(), (&raw mut count).cast(), len) };
    }
}
