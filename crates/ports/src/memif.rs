//! memif version 2: frames to and from another process over memory that both share, without the
//! kernel. DPDK, VPP and everything with libmemif are peers.
//!
//! One end is the **server**: it listens at a socket. The other, the **client**, connects to it,
//! brings the memory and asks again about once a second when nobody is there. Either end may go and
//! come back at any time. One ring each way; frames longer than a buffer are chained.
//!
//! A burst costs no system call while frames keep coming. An empty receive asks the peer to wake us
//! by its event descriptor and looks at the control socket; both hang off [`Port::poll_fd`].
//!
//! **Trust.** Whoever may open the socket (owner and group) exchanges frames as the peer. Whatever it
//! writes into shared memory costs frames or the connection, never more: see `region` and
//! `ring`. Its event descriptor is set to not block; a peer that undoes that *and* fills it can
//! hold up the sender.
//!
//! Limits: mode ethernet only; no secrets; no abstract sockets, as anybody may open those; no
//! checksum or segmentation offloads, as memif has none; memory that can shrink or lies in huge
//! pages (a DPDK client with `zero-copy=yes`, a VPP client without `no-zero-copy`) is refused.

mod fault;
mod handshake;
mod message;
mod region;
mod ring;
mod socket;
#[cfg(test)]
mod tests;

use std::{
    mem::MaybeUninit,
    os::fd::{AsRawFd, OwnedFd, RawFd},
    path::PathBuf,
    sync::Arc,
};

use rustix::event::{Timespec, epoll};

use crate::{
    Frame, FramePool, LinkState, MAX_BURST, Port, PortCapabilities, PortCounters, PortDescription,
    PortError, PortHint,
};
pub use fault::MemifFault;
use handshake::{Handshake, Link, Step, Terms};
use message::Message;
use socket::{Control, Incoming, Listener};

/// Looks at the port (about a second apart) that a handshake may take.
const HANDSHAKE_LOOKS: u8 = 3;
/// Peers, and messages of one, taken in one go.
const MAX_MESSAGES: usize = 32;

/// Which end of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MemifRole {
    /// Listens.
    #[default]
    Server,
    /// Connects, and brings the memory.
    Client,
}

/// How to open a memif port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemifOptions {
    /// Name of the interface, told to the peer.
    pub name: String,
    /// The control socket.
    pub socket: PathBuf,
    /// Number of the interface; both ends name the same.
    pub id: u32,
    /// Which end this is.
    pub role: MemifRole,
    /// Descriptors of each ring of a client, as power of two: 1 to 14. A server takes what comes.
    pub log2_ring_size: u8,
}

/// A memif interface.
pub struct MemifPort {
    options: MemifOptions,
    terms: Terms,
    pool: Arc<FramePool>,
    listener: Option<Listener>,
    state: State,
    /// Watches the listener, the connection and the receiver's event.
    epoll: OwnedFd,
    counters: PortCounters,
    /// Why the last connection ended, or was refused.
    last_fault: Option<MemifFault>,
}

enum State {
    /// Nobody is there.
    Apart,
    /// A peer is there and not yet connected.
    Meeting { control: Control, handshake: Handshake, looks: u8 },
    /// Frames pass.
    Together { control: Control, link: Box<Link> },
}

impl MemifPort {
    /// Listens at the socket, or connects to it; nobody there is no error.
    pub fn open(options: MemifOptions, pool: &Arc<FramePool>) -> Result<Self, PortError> {
        let failed = |action| {
            let device = options.socket.display().to_string();
            move |source: std::io::Error| match source.kind() {
                std::io::ErrorKind::AddrInUse => PortError::DeviceBusy { device },
                _ => PortError::System { device, action, source },
            }
        };
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)
            .map_err(|error| failed("wait for it")(error.into()))?;
        let listener = match options.role {
            MemifRole::Client => None,
            MemifRole::Server => {
                let listener = Listener::bind(&options.socket).map_err(failed("listen at it"))?;
                watch(&epoll, listener.socket(), epoll::EventFlags::IN)
                    .map_err(failed("wait for it"))?;
                Some(listener)
            }
        };
        let terms = Terms {
            id: options.id,
            name: options.name.clone(),
            log2_ring_size: options.log2_ring_size.clamp(1, ring::MAX_LOG2_RING_SIZE),
        };
        let mut port = Self {
            options,
            terms,
            pool: Arc::clone(pool),
            listener,
            state: State::Apart,
            epoll,
            counters: PortCounters::default(),
            last_fault: None,
        };
        port.call();
        Ok(port)
    }

    /// As a client without a server, asks for one.
    fn call(&mut self) {
        if self.options.role == MemifRole::Client
            && matches!(self.state, State::Apart)
            && let Ok(control) = Control::connect(&self.options.socket)
        {
            self.meet(control);
        }
    }

    fn meet(&mut self, control: Control) {
        let (handshake, first) = Handshake::start(self.options.role, &self.terms);
        let watched = watch(&self.epoll, control.socket(), epoll::EventFlags::IN);
        let greeted = first.is_none_or(|first| control.send(&first.encode(), None).is_ok());
        match (watched, greeted) {
            (Ok(()), true) => self.state = State::Meeting { control, handshake, looks: 0 },
            (Ok(()), false) => self.last_fault = Some(MemifFault::Gone),
            (Err(_), _) => self.last_fault = Some(MemifFault::OwnMemory),
        }
    }

    /// Takes peers and messages that wait.
    fn attend(&mut self) {
        for _ in 0..MAX_MESSAGES {
            let Some(control) = self.listener.as_ref().and_then(Listener::accept) else {
                break;
            };
            match self.state {
                State::Apart => self.meet(control),
                State::Meeting { .. } | State::Together { .. } => {
                    // Whoever came too late is told so if it listens; it goes either way.
                    drop(control.send(&farewell(&MemifFault::Taken), None));
                }
            }
        }
        for _ in 0..MAX_MESSAGES {
            let control = match &self.state {
                State::Apart => return,
                State::Meeting { control, .. } | State::Together { control, .. } => control,
            };
            match control.receive() {
                Incoming::Nothing => return,
                Incoming::End => return self.part(MemifFault::Gone),
                Incoming::Message(bytes, descriptor) => {
                    let took =
                        Message::decode(&bytes).and_then(|message| self.take(message, descriptor));
                    if let Err(fault) = took {
                        return self.part(fault);
                    }
                }
            }
        }
    }

    fn take(&mut self, message: Message, descriptor: Option<OwnedFd>) -> Result<(), MemifFault> {
        let (control, step) = match &mut self.state {
            State::Meeting { control, handshake, .. } => {
                (control, handshake.handle(message, descriptor)?)
            }
            State::Apart | State::Together { .. } => {
                return Err(match message {
                    Message::Disconnect { reason } => MemifFault::Refused(reason),
                    _ => MemifFault::MessageOrder,
                });
            }
        };
        match step {
            Step::Send(messages) => {
                for (message, descriptor) in messages {
                    control
                        .send(&message.encode(), descriptor.as_ref())
                        .map_err(|_| MemifFault::Gone)?;
                }
            }
            Step::Done(last, link) => {
                if let Some(last) = last {
                    control.send(&last.encode(), None).map_err(|_| MemifFault::Gone)?;
                }
                let event = link.receiver.ring().event();
                let edge = epoll::EventFlags::IN | epoll::EventFlags::ET;
                watch(&self.epoll, event, edge).map_err(|_| MemifFault::NoDescriptor)?;
                // The peer's end of this descriptor keeps it open, so that it must be taken off the
                // watch by hand: `part` does, from here on.
                let State::Meeting { control, .. } =
                    std::mem::replace(&mut self.state, State::Apart)
                else {
                    return Ok(());
                };
                self.state = State::Together { control, link };
                self.last_fault = None;
            }
        }
        Ok(())
    }

    /// Ends the connection, says why if the peer can still hear it.
    fn part(&mut self, fault: MemifFault) {
        let control = match std::mem::replace(&mut self.state, State::Apart) {
            State::Apart => return,
            State::Meeting { control, .. } => control,
            State::Together { control, link } => {
                // It was added when the link was made; were it there no more, all the better.
                let _gone = epoll::delete(&self.epoll, link.receiver.ring().event());
                control
            }
        };
        if fault != MemifFault::Gone {
            drop(control.send(&farewell(&fault), None));
        }
        self.last_fault = Some(fault);
    }

    /// Whether something happened besides frames; asking costs a system call.
    fn is_called(&self) -> bool {
        let mut events = [MaybeUninit::uninit(); 4];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        epoll::wait(&self.epoll, &mut events, Some(&now)).is_ok_and(|(some, _)| !some.is_empty())
    }
}

impl Port for MemifPort {
    fn receive(&mut self, into: &mut Vec<Frame>, max: usize) -> usize {
        let max = max.min(MAX_BURST);
        let got = match &mut self.state {
            State::Together { link, .. } => {
                link.receiver.receive(&self.pool, into, max, &mut self.counters)
            }
            State::Apart | State::Meeting { .. } => Ok(0),
        };
        match got {
            Ok(0) => {
                if self.is_called() {
                    self.attend();
                }
                0
            }
            Ok(count) => count,
            Err(fault) => {
                self.counters.rx_errors += 1;
                self.part(fault);
                0
            }
        }
    }

    fn send(&mut self, frames: &mut Vec<Frame>) {
        match &mut self.state {
            State::Together { link, .. } => match link.sender.send(frames, &mut self.counters) {
                Ok(true) => link.sender.ring().wake(),
                Ok(false) => {}
                Err(fault) => {
                    self.counters.tx_dropped += frames.len() as u64;
                    self.part(fault);
                }
            },
            State::Apart | State::Meeting { .. } => {
                self.counters.tx_dropped += frames.len() as u64;
            }
        }
        self.pool.free_burst(frames);
    }

    fn capabilities(&self) -> PortCapabilities {
        PortCapabilities::default()
    }

    fn counters(&self) -> PortCounters {
        self.counters
    }

    fn link(&self) -> LinkState {
        match self.state {
            State::Together { .. } => LinkState::Up,
            State::Apart | State::Meeting { .. } => LinkState::Down,
        }
    }

    fn poll_fd(&self) -> Option<RawFd> {
        Some(self.epoll.as_raw_fd())
    }

    fn refresh(&mut self) {
        self.attend();
        if let State::Meeting { looks, .. } = &mut self.state {
            *looks += 1;
            if *looks > HANDSHAKE_LOOKS {
                self.part(MemifFault::TooSlow);
            }
        }
        self.call();
    }

    fn describe(&self) -> PortDescription {
        let MemifOptions { socket, id, role, .. } = &self.options;
        let (word, other) = match role {
            MemifRole::Server => ("server", "client"),
            MemifRole::Client => ("client", "server"),
        };
        let socket = socket.display();
        let mut hints = Vec::new();
        let mode = match &self.state {
            State::Together { link, .. } => {
                let (rx, tx) = (link.receiver.ring().size(), link.sender.ring().size());
                format!("memif {word}, connected to {}, rings of {rx} and {tx}", link.peer)
            }
            State::Apart | State::Meeting { .. } => {
                let why = match &self.last_fault {
                    None => "no peer is connected".to_owned(),
                    Some(fault) => format!("no peer is connected; the last: {fault}"),
                };
                let command = format!(
                    "dpdk-testpmd --no-pci --vdev \
                     net_memif0,role={other},id={id},socket={socket},socket-abstract=no"
                );
                hints.push(PortHint { why, command });
                format!("memif {word}")
            }
        };
        PortDescription {
            mode,
            device: format!("{socket} id {id}"),
            offloads: "none".into(),
            hints,
        }
    }
}

fn farewell(fault: &MemifFault) -> [u8; message::MESSAGE_LEN] {
    Message::Disconnect { reason: fault.to_string() }.encode()
}

fn watch(epoll: &OwnedFd, what: &OwnedFd, how: epoll::EventFlags) -> std::io::Result<()> {
    Ok(epoll::add(epoll, what, epoll::EventData::new_u64(0), how)?)
}
