//! Why a port could not be made, each cause with its next step.

use std::{io, path::PathBuf};

/// A port could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// EPERM or EACCES: a capability is missing.
    #[error(
        "{device}: not allowed to {action}: {capability} is missing; \
         run as root, or give the program the capability (setcap, or AmbientCapabilities= in its unit)"
    )]
    MissingCapability {
        /// Device name.
        device: String,
        /// What was tried.
        action: &'static str,
        /// The capability that allows it.
        capability: &'static str,
    },
    /// EBUSY: another program is attached.
    #[error("{device} is in use by another program; stop that program or choose another device")]
    DeviceBusy {
        /// Device name.
        device: String,
    },
    /// No device of that name in this network namespace.
    #[error("there is no network device {device}; `ip link` lists those of this network namespace")]
    NoSuchDevice {
        /// Device name.
        device: String,
    },
    /// The queues of a device are opened together, by the port of the first worker, and it has not done so.
    #[error(
        "{device}: its queues are opened together with that of the first worker, which has not found it \
         or could not; `ip link` shows whether it is there"
    )]
    NotYet {
        /// Device name.
        device: String,
    },
    /// The device exists but is of another kind.
    #[error("{device} is not {wanted}; {next}")]
    WrongKind {
        /// Device name.
        device: String,
        /// What was wanted.
        wanted: &'static str,
        /// What to do.
        next: &'static str,
    },
    /// The kernel lacks what the port needs.
    #[error("{device}: this kernel has no {feature}; {next}")]
    NotSupported {
        /// Device name.
        device: String,
        /// What is missing.
        feature: &'static str,
        /// What to do.
        next: &'static str,
    },
    /// ENOBUFS: the limit of locked memory is too low.
    #[error(
        "{device}: AF_XDP locks 16 MiB of memory for each receive queue, and the limit does not allow it; \
         raise it (`ulimit -l`, LimitMEMLOCK= in the unit) or add CAP_IPC_LOCK"
    )]
    LockedMemory {
        /// Device name.
        device: String,
    },
    /// The name cannot be a device name.
    #[error(
        "`{device}` cannot be a network device: names have 1 to 15 bytes and no `/` or white space"
    )]
    BadName {
        /// The name.
        device: String,
    },
    /// A capture file could not be opened, read or written.
    #[error("capture file {}: {message}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        message: String,
    },
    /// Anything else the kernel answered.
    #[error("{device}: cannot {action}: {source}")]
    System {
        /// Device name.
        device: String,
        /// What was tried.
        action: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
}

impl PortError {
    /// The variant that fits what the kernel answered to `action` on `device`.
    pub(crate) fn from_io(
        device: &str,
        action: &'static str,
        capability: &'static str,
        source: io::Error,
    ) -> Self {
        let device = device.to_owned();
        match source.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => {
                Self::MissingCapability { device, action, capability }
            }
            Some(libc::EBUSY) => Self::DeviceBusy { device },
            Some(libc::ENODEV | libc::ENXIO) => Self::NoSuchDevice { device },
            Some(_) | None => Self::System { device, action, source },
        }
    }
}
