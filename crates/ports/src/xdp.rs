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
//! The receive queues are divided among as many ports as are asked for ([`XdpPort::open_queues`]). The first of them
//! attaches, also when the device comes back, and leaves their sockets to the others.
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
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
    sync::{Arc, Mutex, PoisonError},
};

use rustix::{
    event::epoll,
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType, socket_with},
};
use wire::Mac;

use crate::{
    Frame, FramePool, LinkState, MAX_BURST, Port, PortCapabilities, PortCounters, PortDescription,
    PortError, PortHint, ethtool,
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
    /// Which of the ports on the device it is.
    number: usize,
    shelf: Arc<Shelf>,
    attached: Option<Attached>,
    /// Why it could not be attached to again.
    failure: Option<String>,
    counters: PortCounters,
}

/// What a port has of a device.
struct Attached {
    queues: Vec<Queue>,
    hold: Arc<Hold>,
    /// The queue that is asked first the next time.
    turn: usize,
    /// Kernel drops counted already.
    drops: u64,
}

/// What holds us to a device, whichever port it is.
struct Hold {
    hook: Hook,
    /// Receive queues of the device.
    queues: u32,
    _program: Program,
    _promiscuous: Option<OwnedFd>,
}

/// Where the first port on a device leaves what it has opened for the others.
struct Shelf {
    ports: usize,
    left: Mutex<Vec<Left>>,
}

struct Left {
    number: usize,
    /// Index of the device.
    device: i32,
    queues: Vec<Queue>,
    hold: Arc<Hold>,
}

impl XdpPort {
    /// Opens a port on `device` in the network namespace of the calling thread.
    pub fn open(
        device: &str,
        options: XdpOptions,
        pool: &Arc<FramePool>,
    ) -> Result<Self, PortError> {
        let shelf = Arc::new(Shelf { ports: 1, left: Mutex::default() });
        Self::open_on(device, options, pool, 0, shelf)
    }

    /// Opens a port for each of `pools`, or for each receive queue where those are fewer, which are divided among
    /// them; in the network namespace of the calling thread.
    pub fn open_queues(
        device: &str,
        options: XdpOptions,
        pools: &[Arc<FramePool>],
    ) -> Result<Vec<Self>, PortError> {
        let asker = asker(device)?;
        let queues = receive_queues(asker.as_fd(), &DeviceName::new(device)?);
        let ports = pools.len().min(queues as usize);
        let shelf = Arc::new(Shelf { ports, left: Mutex::default() });
        let port =
            |(number, pool)| Self::open_on(device, options, pool, number, Arc::clone(&shelf));
        pools.iter().take(ports).enumerate().map(port).collect()
    }

    fn open_on(
        device: &str,
        options: XdpOptions,
        pool: &Arc<FramePool>,
        number: usize,
        shelf: Arc<Shelf>,
    ) -> Result<Self, PortError> {
        let name = DeviceName::new(device)?;
        let failed = |action| {
            let device = device.to_owned();
            move |source: std::io::Error| {
                PortError::from_io(&device, action, "CAP_NET_ADMIN", source)
            }
        };
        let asker = asker(device)?;
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
            number,
            shelf,
            attached: None,
            failure: None,
            counters: PortCounters::default(),
        };
        port.attach()?;
        Ok(port)
    }

    /// Attaches to the device looked at last: the first port opens all queues, the others take theirs from the
    /// shelf, as soon as they are there.
    fn attach(&mut self) -> Result<(), PortError> {
        if self.number == 0 {
            self.open_all()?;
        }
        let mut left = self.shelf.left.lock().unwrap_or_else(PoisonError::into_inner);
        let is_ours = |of: &Left| of.number == self.number && of.device == self.device.index;
        let Some(at) = left.iter().position(is_ours) else {
            return Err(PortError::NotYet { device: self.name.as_str().into() });
        };
        let Left { queues, hold, .. } = left.swap_remove(at);
        drop(left);
        for queue in &queues {
            epoll::add(
                &self.epoll,
                queue.socket(),
                epoll::EventData::new_u64(0),
                epoll::EventFlags::IN,
            )
            .map_err(|e| {
                PortError::from_io(self.name.as_str(), "wait for it", "CAP_NET_RAW", e.into())
            })?;
        }
        self.attached = Some(Attached { queues, hold, turn: 0, drops: 0 });
        Ok(())
    }

    /// Opens all receive queues of the device and leaves each port its own on the shelf.
    fn open_all(&self) -> Result<(), PortError> {
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
        let queues = receive_queues(self.asker.as_fd(), &self.name);
        if (queues as usize) < self.shelf.ports {
            return Err(PortError::WrongKind {
                device: device.into(),
                wanted: "a device with as many receive queues as when the gateway started",
                next: "give it more (`ethtool -L DEV combined N`), or restart the gateway",
            });
        }
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
        let mut sockets: Vec<Vec<Queue>> = (0..self.shelf.ports).map(|_| Vec::new()).collect();
        for number in 0..queues {
            let socket =
                Queue::open(index, number).map_err(|error| match error.raw_os_error() {
                    Some(libc::ENOBUFS) => PortError::LockedMemory { device: device.into() },
                    Some(_) | None => failed("open an XDP socket on it", "CAP_NET_RAW")(error),
                })?;
            program
                .redirect(number, socket.socket())
                .map_err(failed("redirect its frames", "CAP_BPF"))?;
            sockets[number as usize % self.shelf.ports].push(socket);
        }
        let promiscuous = match self.options.promiscuous {
            true => Some(
                sys::promiscuous(self.device.index)
                    .map_err(failed("receive frames for any address", "CAP_NET_RAW"))?,
            ),
            false => None,
        };
        let hold = Hold { hook, queues, _program: program, _promiscuous: promiscuous };
        let (hold, index) = (Arc::new(hold), self.device.index);
        let of_port =
            |(number, queues)| Left { number, device: index, queues, hold: Arc::clone(&hold) };
        *self.shelf.left.lock().unwrap_or_else(PoisonError::into_inner) =
            sockets.into_iter().enumerate().map(of_port).collect();
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
        // One queue to send by for each worker: the order of a flow stays.
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
                        why: format!(
                            "a worker serves {} receive queues; one each is polled faster, and \
                             `limits.workers` may be more",
                            attached.queues.len()
                        ),
                        command: format!("ethtool -L {device} combined {}", self.shelf.ports),
                    });
                }
                format!(
                    "af-xdp {} {}, receive queues: {}",
                    match attached.hold.hook {
                        Hook::Native => "native",
                        Hook::Generic => "generic",
                    },
                    if zero_copy { "zero-copy" } else { "copy" },
                    attached.hold.queues,
                )
            }
        };
        PortDescription { mode, device: device.into(), offloads: "none".into(), hints }
    }
}

/// A socket that asks about the device, in the network namespace of the calling thread.
fn asker(device: &str) -> Result<OwnedFd, PortError> {
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None);
    socket.map_err(|e| PortError::from_io(device, "ask about it", "CAP_NET_ADMIN", e.into()))
}

/// How many receive queues a device has in the network namespace of `socket`. Where its driver does not say, as many
/// as the file system lists, which is of the namespace it was mounted in; one where neither does.
fn receive_queues(socket: BorrowedFd<'_>, device: &DeviceName) -> u32 {
    let listed = || {
        let names = fs::read_dir(format!("/sys/class/net/{}/queues", device.as_str())).ok()?;
        let is_receive =
            |entry: &fs::DirEntry| entry.file_name().as_encoded_bytes().starts_with(b"rx-");
        u32::try_from(names.flatten().filter(is_receive).count()).ok()
    };
    let count = ethtool::receive_queues(socket, device).or_else(listed);
    count.unwrap_or(1).clamp(1, MAX_QUEUES)
}
