//! A packet on its way through the stages, and what a stage may say about it.

use core::net::IpAddr;

use config::model::{IfId, VrId};
use offload::{Direction, SaName};
use ports::{Frame, PortId};
use reason::{DropReason, PuntCause};
use wire::{Headers, Mac};

use crate::{
    nat::{Binding, Dnat},
    session::SessionId,
    trace::{Note, Trace},
    tunnel::Wrapped,
};

/// What a stage decided. A packet cannot cause an error, only a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// On to the next stage.
    Continue,
    /// No further; counted under the reason.
    Drop(DropReason),
    /// The gateway itself took it; nothing is left to forward.
    Consume,
    /// It waits inside the gateway (for fragments or for a neighbour) and goes on later.
    Hold,
}

/// Which tier served a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// An engine.
    Fast,
    /// The slow path, by a session that existed.
    SlowEstablished,
    /// The slow path, and it set a session up (or was refused one).
    SlowSetup,
}

impl Tier {
    /// `fast`, `slow-established` or `slow-setup`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::SlowEstablished => "slow-established",
            Self::SlowSetup => "slow-setup",
        }
    }
}

/// Where the route stage sends a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Not decided yet.
    Undecided,
    /// To the gateway itself.
    Local,
    /// Out by an interface, to a gateway or straight to the destination.
    Forward {
        /// Outgoing interface.
        egress: IfId,
        /// Next hop where the destination is not on the link.
        gateway: Option<IpAddr>,
    },
}

/// A source translation decided for a new session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Translation {
    /// New source address.
    pub address: IpAddr,
    /// New source port.
    pub port: u16,
    /// What the session holds of a pool; nothing where a 1:1 VIP gives the address.
    pub binding: Option<Binding>,
}

/// Who made a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It was received.
    Received,
    /// The gateway itself.
    Gateway,
    /// Nobody: it only asks what would happen.
    Simulated,
}

/// A packet and what the stages have found out about it so far.
pub struct Packet {
    /// Its bytes and offload state.
    pub frame: Frame,
    /// What the parser found.
    pub headers: Headers,
    /// The port it came in by.
    pub port: PortId,
    /// The interface it came in by.
    pub ingress: IfId,
    /// The virtual router of that interface.
    pub vr: VrId,
    /// Who made it.
    pub origin: Origin,
    /// Why the fast path did not serve it.
    pub cause: PuntCause,
    /// Which part of the slow path serves it.
    pub tier: Tier,
    /// The session it belongs to and its direction in it.
    pub session: Option<(SessionId, Direction)>,
    /// It is an ICMP error about a packet of that session.
    pub related: bool,
    /// Where it goes.
    pub destination: Destination,
    /// Destination translation decided for a new session.
    pub dnat: Option<Dnat>,
    /// Source translation decided for a new session.
    pub snat: Option<Translation>,
    /// The forward policy, local-in or local-out rule that let a new session pass, by index.
    pub rule: Option<u32>,
    /// Resolved next hop: neighbour id and MAC.
    pub next_hop: Option<(u32, Mac)>,
    /// It was put together from fragments; the largest one had this many bytes of IP packet.
    pub reassembled: Option<u16>,
    /// What it was cut into, when it was too large to leave whole.
    pub pieces: Vec<Frame>,
    /// How many tunnels it has entered and left so far.
    pub nesting: u8,
    /// It was wrapped, and what did it. What it carries has left the gateway's sessions.
    pub wrapped: Option<Wrapped>,
    /// What it was before an SA had it, while a capture runs.
    pub(crate) before_sa: Option<Box<BeforeSa>>,
    /// The record being written, when a trace is on.
    pub trace: Option<Box<Trace>>,
}

/// A packet as it was before an SA had it: an SA that refuses one leaves nothing of it.
pub(crate) struct BeforeSa {
    /// The SA.
    pub(crate) sa: SaName,
    /// The packet behind its Ethernet header.
    pub(crate) bytes: Vec<u8>,
}

impl Packet {
    /// A packet nothing is decided about yet.
    pub fn new(
        frame: Frame,
        headers: Headers,
        (port, ingress, vr): (PortId, IfId, VrId),
        origin: Origin,
        cause: PuntCause,
    ) -> Self {
        Self {
            frame,
            headers,
            port,
            ingress,
            vr,
            origin,
            cause,
            tier: Tier::SlowSetup,
            session: None,
            related: false,
            destination: Destination::Undecided,
            dnat: None,
            snat: None,
            rule: None,
            next_hop: None,
            reassembled: None,
            pieces: Vec::new(),
            nesting: 0,
            wrapped: None,
            before_sa: None,
            trace: None,
        }
    }

    /// Tells the trace what the stage looked at and found; free when no trace is on.
    #[inline]
    pub fn say(&mut self, note: impl FnOnce(&Self) -> Note) {
        if self.trace.is_some() {
            let note = note(self);
            if let Some(trace) = &mut self.trace {
                trace.note = Some(note);
            }
        }
    }

    /// What is inside is another packet than the one whose SA the engine did not have.
    pub(crate) fn asks_for_no_sa(&mut self) {
        if self.cause == PuntCause::SaMiss {
            self.cause = PuntCause::FlowMiss;
        }
    }

    /// The packet has been wrapped by a tunnel and goes on to the far end. Nothing that was decided
    /// about what is inside holds for it.
    pub(crate) fn enter_underlay(&mut self, wrapped: Wrapped, destination: Destination) {
        self.wrapped = Some(wrapped);
        self.nesting += 1;
        self.destination = destination;
        self.session = None;
        self.related = false;
        (self.dnat, self.snat, self.rule) = (None, None, None);
        (self.next_hop, self.reassembled) = (None, None);
    }

    /// The other packets that a tunnel made of it, each to go its own way.
    pub(crate) fn take_siblings(&mut self) -> Vec<Result<Self, (DropReason, IfId)>> {
        let pieces = std::mem::take(&mut self.pieces);
        let sibling = |frame: Frame| {
            let headers = wire::parse(frame.bytes()).map_err(|reason| (reason, self.ingress))?;
            let place = (self.port, self.ingress, self.vr);
            Ok(Self {
                tier: self.tier,
                destination: self.destination,
                nesting: self.nesting,
                wrapped: self.wrapped,
                ..Self::new(frame, headers, place, self.origin, self.cause)
            })
        };
        pieces.into_iter().map(sibling).collect()
    }

    /// Whether the packet only asks what would happen.
    pub fn is_simulated(&self) -> bool {
        self.origin == Origin::Simulated
    }

    /// How many packets the frame stands for.
    pub fn count(&self) -> u64 {
        let payload = u64::from(self.headers.end.saturating_sub(u32::from(self.headers.payload)));
        match self.frame.offloads.gso {
            Some(gso) if gso.size > 0 => payload.div_ceil(u64::from(gso.size)).max(1),
            _ => 1,
        }
    }

    /// Bytes of the IP packets the frame stands for; each has the headers.
    pub fn volume(&self) -> u64 {
        let headers = u64::from(self.headers.payload).saturating_sub(u64::from(self.headers.l3));
        u64::from(self.headers.ip_len()) + (self.count() - 1) * headers
    }

    /// Length of the largest IP packet the frame stands for, in bytes.
    pub fn largest_ip_len(&self) -> u32 {
        let headers = u32::from(self.headers.payload) - u32::from(self.headers.l3);
        match self.frame.offloads.gso {
            Some(gso) => self.headers.ip_len().min(headers + u32::from(gso.size)),
            None => self.headers.ip_len(),
        }
    }
}
