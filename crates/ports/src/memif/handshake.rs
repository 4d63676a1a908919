//! From the first message of a connection to its two rings, sans-IO: messages and their descriptors
//! come in, messages and their descriptors go out.
//!
//! | client | server |
//! |---|---|
//! | | HELLO |
//! | INIT, ADD_REGION, ADD_RING (to the server), ADD_RING (from it), CONNECT | |
//! | | an ACK for each but the last; CONNECTED |
//!
//! One ring each way. The client may send without waiting for ACKs.

use std::{os::fd::OwnedFd, sync::Arc};

use rustix::event::EventfdFlags;

use super::{
    MemifFault, MemifRole,
    message::{AddRing, Hello, MODE_ETHERNET, Message, VERSION},
    region::{self, MAX_SHARED},
    ring::{BUFFER_LEN, MAX_LOG2_RING_SIZE, Receiver, Ring, Sender, ring_len},
};
use crate::shared::Region;

/// Regions a client may bring.
const MAX_REGIONS: usize = 16;

/// What we call ourselves.
const NAME: &str = concat!("lockgate ", env!("CARGO_PKG_VERSION"));

/// A message and the descriptor that goes with it.
pub(super) type Sent = (Message, Option<OwnedFd>);

/// What a message led to.
pub(super) enum Step {
    /// Send these and go on.
    Send(Vec<Sent>),
    /// Send this, and frames may pass.
    Done(Option<Message>, Box<Link>),
}

/// A connection that carries frames.
pub(super) struct Link {
    /// What the peer calls itself and its interface.
    pub(super) peer: String,
    pub(super) receiver: Receiver,
    pub(super) sender: Sender,
}

/// What both ends need to know.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    /// Number of the interface.
    pub(super) id: u32,
    /// Name of our interface.
    pub(super) name: String,
    /// A client's rings have two to this power descriptors.
    pub(super) log2_ring_size: u8,
}

/// A connection on its way.
pub(super) struct Handshake {
    terms: Terms,
    peer: String,
    stage: Stage,
}

enum Stage {
    /// Server: INIT has not come.
    Init,
    /// Server: INIT has come.
    Parts { regions: Vec<Region>, shared: u64, to_us: Option<Place>, from_us: Option<Place> },
    /// Client: HELLO has not come.
    Hello,
    /// Client: everything is sent.
    Waiting { receiver: Ring, sender: Ring },
    /// Ended, well or not.
    Over,
}

type Place = (AddRing, OwnedFd);

impl Handshake {
    /// Starts, as server with a message.
    pub(super) fn start(role: MemifRole, terms: &Terms) -> (Self, Option<Message>) {
        let (stage, first) = match role {
            MemifRole::Client => (Stage::Hello, None),
            MemifRole::Server => {
                let hello = Hello {
                    name: NAME.into(),
                    min_version: VERSION,
                    max_version: VERSION,
                    max_region: MAX_REGIONS as u16 - 1,
                    max_rings: [0, 0],
                    max_log2_ring_size: MAX_LOG2_RING_SIZE,
                };
                (Stage::Init, Some(Message::Hello(hello)))
            }
        };
        (Self { terms: terms.clone(), peer: String::new(), stage }, first)
    }

    /// Takes a message of the peer.
    pub(super) fn handle(
        &mut self,
        message: Message,
        fd: Option<OwnedFd>,
    ) -> Result<Step, MemifFault> {
        let ack = || Ok(Step::Send(vec![(Message::Ack, None)]));
        let stage = std::mem::replace(&mut self.stage, Stage::Over);
        match (stage, message) {
            (Stage::Init, Message::Init { version, id, mode, name }) => {
                if version != VERSION {
                    return Err(MemifFault::Version);
                }
                if id != self.terms.id {
                    return Err(MemifFault::Id);
                }
                if mode != MODE_ETHERNET {
                    return Err(MemifFault::Mode);
                }
                self.peer = name;
                self.stage =
                    Stage::Parts { regions: Vec::new(), shared: 0, to_us: None, from_us: None };
                ack()
            }
            (
                Stage::Parts { mut regions, shared, to_us, from_us },
                Message::AddRegion { index, size },
            ) => {
                if usize::from(index) != regions.len() || regions.len() == MAX_REGIONS {
                    return Err(MemifFault::RegionIndex);
                }
                let shared = shared.saturating_add(size);
                if shared > MAX_SHARED {
                    return Err(MemifFault::RegionSize);
                }
                regions.push(region::of_peer(&fd.ok_or(MemifFault::NoDescriptor)?, size)?);
                self.stage = Stage::Parts { regions, shared, to_us, from_us };
                ack()
            }
            (Stage::Parts { regions, shared, mut to_us, mut from_us }, Message::AddRing(place)) => {
                let slot = if place.to_server { &mut to_us } else { &mut from_us };
                if place.index != 0 || slot.is_some() {
                    return Err(MemifFault::RingIndex);
                }
                *slot = Some((place, fd.ok_or(MemifFault::NoDescriptor)?));
                self.stage = Stage::Parts { regions, shared, to_us, from_us };
                ack()
            }
            (Stage::Parts { regions, to_us, from_us, .. }, Message::Connect { name }) => {
                let regions: Arc<[Region]> = regions.into();
                let ring = |place: Option<Place>| {
                    let (place, event) = place.ok_or(MemifFault::RingMissing)?;
                    Ring::theirs(&regions, &place, event)
                };
                let link = Link {
                    receiver: Receiver::new(ring(to_us)?),
                    sender: Sender::new(ring(from_us)?),
                    peer: self.named(&name),
                };
                let connected = Message::Connected { name: self.terms.name.clone() };
                Ok(Step::Done(Some(connected), Box::new(link)))
            }
            (Stage::Hello, Message::Hello(hello)) => {
                if !(hello.min_version..=hello.max_version).contains(&VERSION) {
                    return Err(MemifFault::Version);
                }
                self.peer = hello.name;
                let log2 = self.terms.log2_ring_size.min(hello.max_log2_ring_size).max(1);
                self.offer(log2)
            }
            (stage @ Stage::Waiting { .. }, Message::Ack) => {
                self.stage = stage;
                Ok(Step::Send(Vec::new()))
            }
            (Stage::Waiting { receiver, sender }, Message::Connected { name }) => {
                let link = Link {
                    receiver: Receiver::new(receiver),
                    sender: Sender::new(sender),
                    peer: self.named(&name),
                };
                Ok(Step::Done(None, Box::new(link)))
            }
            (_, Message::Disconnect { reason }) => Err(MemifFault::Refused(reason)),
            (_, _) => Err(MemifFault::MessageOrder),
        }
    }

    /// All a client has to say, with two rings and their buffers in one region.
    fn offer(&mut self, log2: u8) -> Result<Step, MemifFault> {
        let own = |_| MemifFault::OwnMemory;
        let buffers = BUFFER_LEN << log2;
        let first = (2 * ring_len(log2)).next_multiple_of(4096);
        let size = first + 2 * buffers;
        let (region, memory) = Region::create(size).map_err(|_| MemifFault::OwnMemory)?;
        let regions: Arc<[Region]> = Arc::new([region]);
        let mut sent = vec![
            (
                Message::Init {
                    version: VERSION,
                    id: self.terms.id,
                    mode: MODE_ETHERNET,
                    name: NAME.into(),
                },
                None,
            ),
            (Message::AddRegion { index: 0, size: size as u64 }, Some(memory)),
        ];
        let mut ring = |to_server: bool, offset: usize, buffers: usize| {
            let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
            let event = rustix::event::eventfd(0, flags).map_err(own)?;
            let place = AddRing {
                to_server,
                index: 0,
                region: 0,
                offset: offset as u32,
                log2_ring_size: log2,
            };
            sent.push((Message::AddRing(place), Some(rustix::io::dup(&event).map_err(own)?)));
            Ok(Ring::ours(&regions, offset, log2, buffers, event))
        };
        let sender = ring(true, 0, first)?;
        let receiver = ring(false, ring_len(log2), first + buffers)?;
        sent.push((Message::Connect { name: self.terms.name.clone() }, None));
        self.stage = Stage::Waiting { receiver, sender };
        Ok(Step::Send(sent))
    }

    fn named(&self, interface: &str) -> String {
        format!("{} {interface}", self.peer).trim().to_owned()
    }
}
