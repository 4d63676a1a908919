//! AF_XDP: frames of an Ethernet device over memory shared with the kernel, before it makes packets of
//! them.
//!
//! One socket for each receive queue, a program of six instructions that redirects to them, no compiler
//! and no library at run time. The program goes to the driver's hook where it has one, else behind it;
//! the driver reads and writes our chunks itself where it can (`zero-copy`), else the kernel copies.
//! [`Port::describe`] tells which. Everything is gone with the port, also when the process is killed.
//!
//! The kernel sees nothing of what is received, so that addresses on the device do no harm here; `tcpdump`
//! on the device sees nothing either.
//!
//! Each queue has 16 MiB of memory that is locked: without CAP_IPC_LOCK the limit of the process must allow it.
//!
//! Limits: no checksum or segmentation offloads. **Over veth, a sender leaves checksums unfinished that
//! nobody finishes then**: `ethtool -K DEV tx off` at the far end. Frames over 3,840 bytes do not fit.
//! VLAN tags that a device strips are lost: `ethtool -K DEV rxvlan off`. Linux 5.9 and later.

mod program;
mod queue;

use std::{
    fs,
    os::fd::{AsFd, AsRawFd, OwnedFd, RawFd},
    sync::Arc,
};

use rustix::{
    event::epoll,
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType, socket_with},
};
use wire::Mac;

use crate::{
    Frame, FramePool, LinkState, MAX_BURST, Port, PortCapabilities, PortCounters, PortDescription,
    PortError, PortHint,
    sys::{self, DeviceName, DeviceState},
};
use program::{Hook, Program};
use queue::{LONGEST, Queue};

/// Bytes of an Ethernet header without a tag.
const ETHERNET_LEN: usize = 14;
/// Bytes of an Ethernet header with a tag.
const TAGGED_LEN: usize = 18;
/// Receive queues served at most.
const MAX_QUEUES: u32 = 64;

/// How to open an AF_XDP port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct XdpOptions {
    /// Receive frames for any destination MAC, not only the device's own and the groups it joined.
    pub promiscuous: bool,
}

/// An Ethernet device, by AF_XDP. Whoever calls [`Port::refresh`] is in the network namespace it was made in.
pub struct XdpPort {
    name: DeviceName,
    options: XdpOptions,
    pool: Arc<FramePool>,
    /// Asks about the device, in the network namespace the port was made in.
    asker: OwnedFd,
    epoll: OwnedFd,
    device: DeviceState,
    attached: Option<Attached>,
    /// Why it could not be attached to again.
    failure: Option<String>,
    counters: PortCounters,
}

/// What holds us to a device.
struct Attached {
    queues: Vec<Queue>,
    hook: Hook,
    /// The queue that is asked first the next time.
    turn: usize,
    /// Kernel drops counted already.
    drops: u64,
    _program: Program,
    _promiscuous: Option<OwnedFd>,
}

impl XdpPort {
    /// Opens a port on `device` in the network namespace of the calling thread.
    pub fn open(
        device: &str,
        options: XdpOptions,
        pool: &Arc<FramePool>,
    ) -> Result<Self, PortError> {
        let name = DeviceName::new(device)?;
        let failed = |action| {
            let device = device.to_owned();
            move |source: std::io::Error| {
                PortError::from_io(&device, action, "CAP_NET_ADMIN", source)
            }
        };
        let asker = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)
            .map_err(|e| failed("ask about it")(e.into()))?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)
            .map_err(|e| failed("wait for it")(e.into()))?;
        let state = DeviceState::look(asker.as_fd(), &name).map_err(failed("look at it"))?;
        if state.hardware != libc::ARPHRD_ETHER {
            return Err(PortError::WrongKind {
                device: device.into(),
                wanted: "an Ethernet device",
                next: "use an Ethernet or veth device",
            });
        }
        let mut port = Self {
            name,
            options,
            pool: Arc::clone(pool),
            asker,
            epoll,
            device: state,
            attached: None,
            failure: None,
            counters: PortCounters::default(),
        };
        port.attach()?;
        Ok(port)
    }

    /// Attaches to the device looked at last.
    fn attach(&mut self) -> Result<(), PortError> {
        let device = self.name.as_str();
        let failed = |action, capability| {
            move |source: std::io::Error| PortError::from_io(device, action, capability, source)
        };
        if self.device.mtu as usize + TAGGED_LEN > LONGEST {
            return Err(PortError::WrongKind {
                device: device.into(),
                wanted: "a device with an MTU of at most 3822 bytes",
                next: "lower it (`ip link set dev DEV mtu 1500`), or use a port of kind `packet`",
            });
        }
        let index = self.device.index as u32;
        let queues = receive_queues(device);
        let mut hook = Hook::Native;
        let program = Program::attach(index, queues, hook).or_else(|error| {
            // Some drivers have no hook or refuse it in this state; behind them there always is one.
            if error.raw_os_error() == Some(libc::EPERM) {
                return Err(error);
            }
            hook = Hook::Generic;
            Program::attach(index, queues, hook)
        });
        let program = program.map_err(|error| match error.raw_os_error() {
            Some(libc::EEXIST | libc::EBUSY) => PortError::DeviceBusy { device: device.into() },
            Some(libc::EINVAL | libc::ENOSYS) => PortError::NotSupported {
                device: device.into(),
                feature: "AF_XDP with links (Linux 5.9)",
                next: "use a port of kind `packet`",
            },
            Some(_) | None => failed("load its XDP program", "CAP_BPF or CAP_NET_ADMIN")(error),
        })?;
        let mut sockets = Vec::new();
        for number in 0..queues {
            let socket =
                Queue::open(index, number).map_err(|error| match error.raw_os_error() {
                    Some(libc::ENOBUFS) => PortError::LockedMemory { device: device.into() },
                    Some(_) | None => failed("open an XDP socket on it", "CAP_NET_RAW")(error),
                })?;
            epoll::add(
                &self.epoll,
                socket.socket(),
                epoll::EventData::new_u64(u64::from(number)),
                epoll::EventFlags::IN,
            )
            .map_err(|e| failed("wait for it", "CAP_NET_RAW")(e.into()))?;
            program
                .redirect(number, socket.socket())
                .map_err(failed("redirect its frames", "CAP_BPF"))?;
            sockets.push(socket);
        }
        let promiscuous = match self.options.promiscuous {
            true => Some(
                sys::promiscuous(self.device.index)
                    .map_err(failed("receive frames for any address", "CAP_NET_RAW"))?,
            ),
            false => None,
        };
        self.attached = Some(Attached {
            queues: sockets,
            hook,
            turn: 0,
            drops: 0,
            _program: program,
            _promiscuous: promiscuous,
        });
        Ok(())
    }

    fn lose(&mut self) {
        self.attached = None;
        self.device.link = LinkState::Gone;
    }
}

impl Port for XdpPort {
    fn receive(&mut self, into: &mut Vec<Frame>, max: usize) -> usize {
        let Some(attached) = &mut self.attached else {
            return 0;
        };
        let (before, max) = (into.len(), max.min(MAX_BURST));
        let count = attached.queues.len();
        for step in 0..count {
            let room = max - (into.len() - before);
            if room == 0 {
                break;
            }
            let queue = &mut attached.queues[(attached.turn + step) % count];
            queue.receive(&self.pool, into, room, &mut self.counters);
        }
        attached.turn = (attached.turn + 1) % count;
        into.len() - before
    }

    fn send(&mut self, frames: &mut Vec<Frame>) {
        if self.device.link == LinkState::Down
            && let Ok(state) = DeviceState::look(self.asker.as_fd(), &self.name)
            && state.index == self.device.index
        {
            // It may be up again; what a device that is down were given would leave late.
            self.device = state;
        }
        // One worker, one queue to send by: the order of a flow stays.
        let queue = self.attached.as_mut().and_then(|a| a.queues.first_mut());
        let outcome = match queue.filter(|_| self.device.link == LinkState::Up) {
            Some(queue) => queue.send(frames, &mut self.counters),
            None => {
                self.counters.tx_dropped += frames.len() as u64;
                Ok(())
            }
        };
        self.pool.free_burst(frames);
        match outcome {
            Ok(()) => {}
            Err(Errno::NETDOWN) => self.device.link = LinkState::Down,
            Err(Errno::NXIO | Errno::NODEV | Errno::BADF) => self.lose(),
            Err(_) => self.counters.tx_errors += 1,
        }
    }

    fn capabilities(&self) -> PortCapabilities {
        PortCapabilities::default()
    }

    fn counters(&self) -> PortCounters {
        self.counters
    }

    fn link(&self) -> LinkState {
        self.device.link
    }

    fn poll_fd(&self) -> Option<RawFd> {
        Some(self.epoll.as_raw_fd())
    }

    fn refresh(&mut self) {
        match DeviceState::look(self.asker.as_fd(), &self.name) {
            Ok(state) if self.attached.is_some() && state.index == self.device.index => {
                self.device = state;
            }
            Ok(state) => {
                // Another device of that name, or one that is back.
                self.lose();
                self.device = state;
                self.failure = self.attach().err().map(|error| error.to_string());
                if self.failure.is_some() {
                    self.lose();
                }
            }
            Err(_) => self.lose(),
        }
        if let Some(attached) = &mut self.attached {
            let drops = attached.queues.iter().map(Queue::kernel_drops).sum::<u64>();
            self.counters.rx_dropped += drops.saturating_sub(attached.drops);
            attached.drops = drops;
        }
    }

    fn mac(&self) -> Option<Mac> {
        Some(self.device.mac)
    }

    fn mtu(&self) -> Option<u32> {
        Some(self.device.mtu)
    }

    fn describe(&self) -> PortDescription {
        let device = self.name.as_str();
        let mut hints: Vec<_> = sys::link_hint(device, self.device.link).into_iter().collect();
        let mode = match &self.attached {
            None => {
                hints.extend(self.failure.iter().map(|failure| PortHint {
                    why: failure.clone(),
                    command: format!("ip -d link show dev {device}"),
                }));
                "af-xdp".to_owned()
            }
            Some(attached) => {
                let zero_copy = attached.queues.iter().all(Queue::is_zero_copy);
                if !zero_copy {
                    hints.push(PortHint {
                        why:
                            "the kernel copies each frame: the driver has no zero-copy, or not now"
                                .into(),
                        command: format!("ethtool -i {device}"),
                    });
                }
                if attached.queues.len() > 1 {
                    hints.push(PortHint {
                        why: "one worker serves all receive queues; one queue is polled faster"
                            .into(),
                        command: format!("ethtool -L {device} combined 1"),
                    });
                }
                format!(
                    "af-xdp {} {}, receive queues: {}",
                    match attached.hook {
                        Hook::Native => "native",
                        Hook::Generic => "generic",
                    },
                    if zero_copy { "zero-copy" } else { "copy" },
                    attached.queues.len(),
                )
            }
        };
        PortDescription { mode, device: device.into(), offloads: "none".into(), hints }
    }
}

/// How many receive queues the device has; one where nobody says.
fn receive_queues(device: &str) -> u32 {
    let names = fs::read_dir(format!("/sys/class/net/{device}/queues"));
    let is_receive =
        |entry: &fs::DirEntry| entry.file_name().as_encoded_bytes().starts_with(b"rx-");
    let count = names.map_or(0, |names| names.flatten().filter(is_receive).count());
    u32::try_from(count).unwrap_or(MAX_QUEUES).clamp(1, MAX_QUEUES)
}
