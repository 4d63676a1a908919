//! The few system calls on devices and sockets that the kernel ports share, as safe functions.

use std::{
    ffi::c_int,
    io, mem,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

use wire::Mac;

use crate::{LinkState, PortError, PortHint};

// From linux/if_packet.h; the libc crate has them not for every target.
const PACKET_ADD_MEMBERSHIP: i32 = 1;
const PACKET_MR_PROMISC: u16 = 1;

/// A checked device name.
#[derive(Clone, Debug)]
pub(crate) struct DeviceName(String);

impl DeviceName {
    /// Checks as the kernel does (`dev_valid_name`), so that a bad name gets its own message.
    pub(crate) fn new(name: &str) -> Result<Self, PortError> {
        let bad = name.is_empty()
            || name.len() >= libc::IFNAMSIZ
            || matches!(name, "." | "..")
            || name.bytes().any(|b| b == 0 || b == b'/' || b == b':' || b.is_ascii_whitespace());
        if bad { Err(PortError::BadName { device: name.into() }) } else { Ok(Self(name.into())) }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// An interface request for this device, all zero but for the name.
    pub(crate) fn request(&self) -> libc::ifreq {
        // SAFETY: `ifreq` is plain old data for which all zero bytes are a valid value.
        let mut request: libc::ifreq = unsafe { mem::zeroed() };
        for (to, from) in request.ifr_name.iter_mut().zip(self.0.bytes()) {
            *to = from as libc::c_char;
        }
        request
    }
}

/// What a look at a device by name gave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DeviceState {
    pub(crate) index: c_int,
    pub(crate) link: LinkState,
    /// ARPHRD_* of the device.
    pub(crate) hardware: u16,
    pub(crate) mac: Mac,
    pub(crate) mtu: u32,
    /// Whether the kernel has an IPv4 address on the device.
    pub(crate) has_ipv4: bool,
}

impl DeviceState {
    /// Asks over `socket`, so the answer is about the network namespace the socket belongs to.
    pub(crate) fn look(socket: BorrowedFd<'_>, name: &DeviceName) -> io::Result<Self> {
        let ask = |what| {
            let mut request = name.request();
            interface_ioctl(socket, what, &mut request).map(|()| request.ifr_ifru)
        };
        // SAFETY: the kernel filled the member that belongs to each request; all members are
        // plain old data.
        unsafe {
            let index = ask(libc::SIOCGIFINDEX)?.ifru_ifindex;
            let flags = c_int::from(ask(libc::SIOCGIFFLAGS)?.ifru_flags);
            let hardware = ask(libc::SIOCGIFHWADDR)?.ifru_hwaddr;
            let mut mac = Mac::default();
            for (to, from) in mac.0.iter_mut().zip(hardware.sa_data) {
                *to = from as u8;
            }
            let mtu = u32::try_from(ask(libc::SIOCGIFMTU)?.ifru_mtu).unwrap_or(0);
            // IFF_RUNNING is the operational state (RFC 2863), which needs a carrier.
            let up = flags & libc::IFF_UP != 0 && flags & libc::IFF_RUNNING != 0;
            let link = if up { LinkState::Up } else { LinkState::Down };
            let has_ipv4 = ask(libc::SIOCGIFADDR).is_ok();
            Ok(Self { index, link, hardware: hardware.sa_family, mac, mtu, has_ipv4 })
        }
    }
}

/// Sets IFF_UP on a device.
pub(crate) fn set_up(socket: BorrowedFd<'_>, name: &DeviceName) -> io::Result<()> {
    let mut request = name.request();
    interface_ioctl(socket, libc::SIOCGIFFLAGS, &mut request)?;
    // SAFETY: SIOCGIFFLAGS filled the flags.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    request.ifr_ifru.ifru_flags = flags | libc::IFF_UP as libc::c_short;
    interface_ioctl(socket, libc::SIOCSIFFLAGS, &mut request)
}

/// An ioctl whose argument is an interface request.
pub(crate) fn interface_ioctl(
    fd: BorrowedFd<'_>,
    what: libc::c_ulong,
    request: &mut libc::ifreq,
) -> io::Result<()> {
    // SAFETY: the descriptor is open, and `request` is a valid ifreq for the whole call; every
    // ioctl this is called with reads and writes an ifreq.
    checked(unsafe { libc::ioctl(fd.as_raw_fd(), what as _, request) }).map(|_| ())
}

/// A socket that holds a device promiscuous as long as it is open, also when the process is killed.
pub(crate) fn promiscuous(index: c_int) -> io::Result<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
    // SAFETY: no pointers are involved; a descriptor that is not negative is ours to own. Protocol 0
    // receives nothing.
    let socket = unsafe { OwnedFd::from_raw_fd(checked(libc::socket(libc::AF_PACKET, kind, 0))?) };
    join_promiscuous(socket.as_fd(), index)?;
    Ok(socket)
}

/// Makes a packet socket hold a device promiscuous.
pub(crate) fn join_promiscuous(socket: BorrowedFd<'_>, index: c_int) -> io::Result<()> {
    let request = libc::packet_mreq {
        mr_ifindex: index,
        mr_type: PACKET_MR_PROMISC,
        mr_alen: 0,
        mr_address: [0; 8],
    };
    set_option(socket, libc::SOL_PACKET, PACKET_ADD_MEMBERSHIP, request)
}

/// What to do about a device that is down.
pub(crate) fn link_hint(device: &str, link: LinkState) -> Option<PortHint> {
    match link {
        LinkState::Up => None,
        LinkState::Down => Some(PortHint {
            why: "the device is down or has no carrier".into(),
            command: format!("ip link set dev {device} up"),
        }),
        LinkState::Gone => Some(PortHint {
            why: "the device has gone; the port attaches again when it is back".into(),
            command: format!("ip link show dev {device}"),
        }),
    }
}

/// Sets a socket option to a plain value.
pub(crate) fn set_option<T: Copy>(
    fd: BorrowedFd<'_>,
    level: c_int,
    option: c_int,
    value: T,
) -> io::Result<()> {
    let len = mem::size_of::<T>() as libc::socklen_t;
    // SAFETY: the descriptor is open, and the pointer and length describe `value`.
    checked(unsafe {
        libc::setsockopt(fd.as_raw_fd(), level, option, (&raw const value).cast(), len)
    })
    .map(|_| ())
}

/// The result of a system call, with errno when it is negative.
pub(crate) fn checked(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Whether the running kernel is at least this version; false when it does not say.
pub(crate) fn kernel_at_least(major: u32, minor: u32) -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    parse_release(&release).is_some_and(|version| version >= (major, minor))
}

fn parse_release(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_as_the_kernel_does() {
        for good in ["eth0", "br-lan.10", "a23456789012345"] {
            assert!(DeviceName::new(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a b", "a:1", "a\0b", "a234567890123456"] {
            assert!(matches!(DeviceName::new(bad), Err(PortError::BadName { .. })), "{bad:?}");
        }
    }

    #[test]
    fn kernel_releases_compare_as_numbers() {
        assert_eq!(parse_release("6.18.44-fc-v445\n"), Some((6, 18)));
        assert_eq!(parse_release("6.2-rc1"), Some((6, 2)));
        assert_eq!(parse_release(""), None);
        assert!((6, 18) > (6, 2));
        assert!(kernel_at_least(2, 6) && !kernel_at_least(4000, 0));
    }
}
