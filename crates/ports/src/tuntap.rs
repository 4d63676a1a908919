//! TAP and TUN devices with virtio-net headers: the gateway on one side, this host's kernel on the
//! other.
//!
//! The device is created, or attached to when it is there; creating brings it up. It lasts as long
//! as the port, unless `ip tuntap add` made it. The addresses of the kernel's side are the
//! administrator's business (`ip address add … dev DEV`).
//!
//! **TAP** carries frames. The device's own MAC is the kernel's side; [`Port::mac`] is another one,
//! made from it, for the gateway's side.
//!
//! **TUN** carries IP packets without a link layer. The port makes one up, so that the gateway
//! sees frames: every packet received comes from [`TUN_PEER_MAC`] to [`TUN_GATEWAY_MAC`] (or to the
//! group MAC its multicast address maps to), the Ethernet header is taken off again on sending, and
//! ARP requests and neighbour solicitations for any address are answered by the port itself with
//! [`TUN_PEER_MAC`]. VLAN tags cannot pass.
//!
//! One system call per frame, but a frame may be a super-packet of 64 KiB.

mod device;
mod link;

use std::{collections::VecDeque, os::fd::RawFd, sync::Arc};

use wire::Mac;

use crate::{
    Frame, FramePool, HEADROOM, LARGE_ROOM, LinkState, MAX_BURST, Port, PortCapabilities,
    PortCounters, PortDescription, PortError, PortHint, SMALL_ROOM,
    sys::{self, DeviceName, DeviceState},
    virtio,
};
use device::{Device, Wake};

/// The made-up MAC of the gateway's side of a TUN device.
pub const TUN_GATEWAY_MAC: Mac = Mac([0x02, 0x4c, 0x47, 0, 0, 1]);

/// The made-up MAC of the kernel's side of a TUN device.
pub const TUN_PEER_MAC: Mac = Mac([0x02, 0x4c, 0x47, 0, 0, 2]);

/// Bytes of an Ethernet header without a tag.
const ETHERNET_LEN: usize = 14;
/// Answers of the made-up link layer that may wait to be received.
const MAX_ANSWERS: usize = 64;

/// What the device carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TunTapMode {
    /// Ethernet frames.
    #[default]
    Tap,
    /// IP packets.
    Tun,
}

/// How to open a TUN/TAP port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TunTapOptions {
    /// What the device carries.
    pub mode: TunTapMode,
    /// Only attach to a device that is there already; otherwise a missing one is created.
    pub attach_only: bool,
    /// The device has several queues, of which a port is one ([`TunTapPort::open_queues`]).
    pub multi_queue: bool,
}

/// A TUN or TAP device.
pub struct TunTapPort {
    name: DeviceName,
    options: TunTapOptions,
    pool: Arc<FramePool>,
    device: Device,
    state: DeviceState,
    counters: PortCounters,
    /// Receive buffer, as large as a large buffer of the pool and exchanged for one when a large
    /// frame was received into it.
    slot: Box<[u8]>,
    /// TUN only: answers of the made-up link layer, and what wakes their receiver.
    answers: VecDeque<Frame>,
    wake: Option<Wake>,
}

impl TunTapPort {
    /// Creates or attaches to the device `name` in the network namespace of the calling thread.
    pub fn open(
        name: &str,
        options: TunTapOptions,
        pool: &Arc<FramePool>,
    ) -> Result<Self, PortError> {
        let name = DeviceName::new(name)?;
        let device = Device::open(&name, options)?;
        let state = device.look(&name).map_err(|source| PortError::System {
            device: name.as_str().into(),
            action: "look at it",
            source,
        })?;
        let wake = match options.mode {
            TunTapMode::Tap => None,
            TunTapMode::Tun => Some(Wake::new(&device).map_err(|source| PortError::System {
                device: name.as_str().into(),
                action: "wait for it",
                source,
            })?),
        };
        Ok(Self {
            name,
            options,
            pool: Arc::clone(pool),
            device,
            state,
            counters: PortCounters::default(),
            slot: vec![0; HEADROOM + LARGE_ROOM].into_boxed_slice(),
            answers: VecDeque::with_capacity(MAX_ANSWERS),
            wake,
        })
    }

    /// Creates or attaches to a device with a queue for each of `pools`: the kernel keeps a flow with the queue
    /// it answered by. A device that is there and was made with one queue gives one.
    pub fn open_queues(
        name: &str,
        options: TunTapOptions,
        pools: &[Arc<FramePool>],
    ) -> Result<Vec<Self>, PortError> {
        let Some((first, rest)) = pools.split_first() else {
            return Ok(Vec::new());
        };
        let several = TunTapOptions { multi_queue: !rest.is_empty(), ..options };
        let mut queues = match Self::open(name, several, first) {
            Err(PortError::WrongKind { .. }) if several.multi_queue => {
                return Ok(vec![Self::open(name, options, first)?]);
            }
            opened => vec![opened?],
        };
        for pool in rest {
            queues.push(Self::open(name, several, pool)?);
        }
        Ok(queues)
    }

    /// Makes a frame of the `len` bytes in the receive buffer.
    fn take_in(&mut self, header: [u8; virtio::HEADER_LEN], len: usize) -> Option<Frame> {
        let Ok(offloads) = virtio::decode(&header, len) else {
            self.counters.rx_errors += 1;
            return None;
        };
        let frame = if len <= SMALL_ROOM {
            self.pool.alloc_from(&self.slot[HEADROOM..HEADROOM + len])
        } else {
            self.pool.alloc(len).map(|mut frame| {
                frame.exchange(&mut self.slot, len);
                frame
            })
        };
        let Some(mut frame) = frame else {
            self.counters.rx_dropped += 1;
            return None;
        };
        frame.offloads = offloads;
        let framed = match self.options.mode {
            TunTapMode::Tap => len >= ETHERNET_LEN,
            TunTapMode::Tun => link::put_ethernet(&mut frame),
        };
        if !framed || virtio::settle(&mut frame).is_err() {
            self.counters.rx_errors += 1;
            return None;
        }
        self.counters.count_rx(&frame);
        Some(frame)
    }

    /// Sends one frame and counts it.
    fn send_one(&mut self, frame: &mut Frame) {
        let Ok(mut header) = virtio::encode(frame) else {
            self.counters.tx_errors += 1;
            return;
        };
        let bytes = match self.options.mode {
            TunTapMode::Tap => frame.bytes(),
            TunTapMode::Tun => {
                if let Some(answer) = link::answer(frame.bytes()) {
                    self.counters.count_tx(frame);
                    self.queue_answer(&answer);
                    return;
                }
                match link::without_ethernet(&mut header, frame.bytes()) {
                    Some(packet) => packet,
                    None => {
                        self.counters.tx_errors += 1;
                        return;
                    }
                }
            }
        };
        match self.device.write(&header, bytes) {
            Ok(()) => self.counters.count_tx(frame),
            Err(error) => match error.raw_os_error() {
                // EIO: the device is down.
                Some(libc::EIO) => {
                    self.state.link = LinkState::Down;
                    self.counters.tx_dropped += 1;
                }
                Some(libc::EBADFD) => {
                    self.state.link = LinkState::Gone;
                    self.counters.tx_dropped += 1;
                }
                Some(libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM) => self.counters.tx_dropped += 1,
                Some(_) | None => self.counters.tx_errors += 1,
            },
        }
    }

    fn queue_answer(&mut self, answer: &[u8]) {
        match self.pool.alloc_from(answer) {
            Some(frame) if self.answers.len() < MAX_ANSWERS => {
                self.answers.push_back(frame);
                if let Some(wake) = &self.wake {
                    wake.set();
                }
            }
            Some(_) | None => self.counters.rx_dropped += 1,
        }
    }
}

impl Port for TunTapPort {
    fn receive(&mut self, into: &mut Vec<Frame>, max: usize) -> usize {
        let (before, max) = (into.len(), max.min(MAX_BURST));
        while into.len() - before < max
            && let Some(frame) = self.answers.pop_front()
        {
            self.counters.count_rx(&frame);
            into.push(frame);
        }
        if self.answers.is_empty()
            && into.len() > before
            && let Some(wake) = &self.wake
        {
            wake.clear();
        }
        if self.state.link == LinkState::Gone {
            return into.len() - before;
        }
        // A broken frame uses up a turn, so that the loop ends whatever arrives.
        for _ in into.len() - before..max {
            let mut header = [0; virtio::HEADER_LEN];
            match self.device.read(&mut header, &mut self.slot[HEADROOM..]) {
                Ok(len) => into.extend(self.take_in(header, len)),
                Err(error) => {
                    match error.raw_os_error() {
                        Some(libc::EBADFD) => self.state.link = LinkState::Gone,
                        Some(libc::EIO) => self.state.link = LinkState::Down,
                        Some(_) | None => {}
                    }
                    break;
                }
            }
        }
        into.len() - before
    }

    fn send(&mut self, frames: &mut Vec<Frame>) {
        for frame in frames.iter_mut() {
            if self.state.link == LinkState::Gone {
                self.counters.tx_dropped += 1;
            } else {
                self.send_one(frame);
            }
        }
        self.pool.free_burst(frames);
    }

    fn capabilities(&self) -> PortCapabilities {
        self.device.capabilities()
    }

    fn counters(&self) -> PortCounters {
        self.counters
    }

    fn link(&self) -> LinkState {
        self.state.link
    }

    fn poll_fd(&self) -> Option<RawFd> {
        if self.state.link == LinkState::Gone {
            return None;
        }
        Some(self.wake.as_ref().map_or(self.device.raw_fd(), Wake::raw_fd))
    }

    fn refresh(&mut self) {
        match self.device.look(&self.name) {
            Ok(state) if state.index == self.state.index => self.state = state,
            // Gone, or another device of that name: attach to what is there now, or create it.
            Ok(_) | Err(_) => {
                let back = self.device.attach(&self.name, self.options);
                match back.ok().and_then(|()| self.device.look(&self.name).ok()) {
                    Some(state) => self.state = state,
                    None => self.state.link = LinkState::Gone,
                }
            }
        }
    }

    fn mac(&self) -> Option<Mac> {
        Some(match self.options.mode {
            TunTapMode::Tap => link::other_side(self.state.mac),
            TunTapMode::Tun => TUN_GATEWAY_MAC,
        })
    }

    fn mtu(&self) -> Option<u32> {
        Some(self.state.mtu)
    }

    fn describe(&self) -> PortDescription {
        let device = self.name.as_str();
        let mut hints = Vec::new();
        if !self.capabilities().uso {
            hints.push(PortHint {
                why: "UDP super-packets need Linux 6.2; datagrams pass one by one".into(),
                command: "uname -r".into(),
            });
        }
        hints.extend(sys::link_hint(device, self.state.link));
        let mode = match self.options.mode {
            TunTapMode::Tap => "tap",
            TunTapMode::Tun => "tun",
        };
        PortDescription {
            mode: mode.into(),
            device: device.into(),
            offloads: self.capabilities().words(),
            hints,
        }
    }
}
