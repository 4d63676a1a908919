//! A simulated network: hosts, raw hosts and gateways on links, in simulated time.
//!
//! [`Network::step`] moves time to the next event and lets everybody concerned work. Nothing sleeps
//! and nothing reads a clock; all random choices come from one seed, so the same scenario gives the
//! same capture, byte for byte.
//!
//! Limits: working takes no time; only links do.

pub mod ask;
mod capture;
mod router;
mod segment;
mod stack;
mod station;

use core::time::Duration;
use std::{cmp::Reverse, collections::BinaryHeap, io, path::Path};

use ports::{Checksum, Frame, FramePool, Offloads, pcap::Direction};
use wire::Time;

use crate::{
    apps::{App, Report},
    counters::Snapshot,
    recording::Setup,
    rng::Rng,
};
use capture::Capture;
use segment::Segment;

pub use router::{Router, port_mac};
pub use segment::{Link, LinkCounters};
pub use stack::{Host, HostConfig, Stack};
pub use station::{Got, Station};

/// Steps without time passing; more means that something runs in circles.
const STEPS_AT_ONCE: u32 = 100_000;

/// Bytes as they cross a link, with what is unfinished about them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clip {
    /// The frame, from Ethernet on.
    pub bytes: Vec<u8>,
    /// Checksum and segmentation still to be done.
    pub offloads: Offloads,
}

impl Clip {
    /// A finished frame.
    pub fn plain(bytes: Vec<u8>) -> Self {
        Self { bytes, offloads: Offloads::default() }
    }

    /// A copy of a frame.
    pub fn of(frame: &Frame) -> Self {
        Self { bytes: frame.bytes().to_vec(), offloads: frame.offloads }
    }

    /// A frame without a pool.
    pub fn to_frame(&self) -> Frame {
        let mut frame = Frame::from_vec(self.bytes.clone());
        frame.offloads = self.offloads;
        frame
    }

    /// Whether it stands for several packets.
    pub fn is_super(&self) -> bool {
        self.offloads.gso.is_some()
    }

    /// What a device that takes nothing unfinished would put on the wire.
    pub fn finished(&self) -> Vec<Self> {
        let partial = matches!(self.offloads.checksum, Checksum::Partial { .. });
        if !partial && !self.is_super() {
            return vec![Self::plain(self.bytes.clone())];
        }
        let pool = FramePool::new(256, 1);
        let mut frames = Vec::new();
        // A device does not send what it cannot finish, either.
        let _ = node::finish(self.to_frame(), segment::PLAIN, &pool, &mut frames);
        frames.iter().map(|frame| Self::plain(frame.bytes().to_vec())).collect()
    }
}

/// A participant of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeId(usize);

/// A segment of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentId(usize);

/// An application on a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppId {
    host: NodeId,
    index: usize,
}

/// One end of a link: a participant and which of its ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct End {
    /// Whose.
    pub node: NodeId,
    /// Which, from zero.
    pub port: usize,
}

enum Kind {
    Host(Box<Host>),
    Station(Box<Station>),
    Router(Box<Router>),
}

struct Participant {
    name: String,
    kind: Kind,
    /// Per port: the segment it is on, and its interface in the capture.
    ports: Vec<Option<(SegmentId, u32)>>,
    wake: Option<Time>,
    due: bool,
}

/// A simulated network.
pub struct Network {
    now: Time,
    seed: u64,
    rng: Rng,
    participants: Vec<Participant>,
    segments: Vec<Segment>,
    events: BinaryHeap<Reverse<Delivery>>,
    sequence: u64,
    capture: Option<Capture>,
    captured: Vec<u8>,
}

#[derive(PartialEq, Eq)]
struct Delivery {
    at: Time,
    sequence: u64,
    to: End,
    clip: Clip,
}

impl Ord for Delivery {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}

impl PartialOrd for Delivery {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// Building.
impl Network {
    /// An empty network; everything random in it follows from `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            now: Time::from_secs(1),
            seed,
            rng: Rng::new(seed),
            participants: Vec::new(),
            segments: Vec::new(),
            events: BinaryHeap::new(),
            sequence: 0,
            capture: Some(Capture::new()),
            captured: Vec::new(),
        }
    }

    /// A segment with these ends: a cable between two, a switch between more.
    pub fn connect(&mut self, link: Link, ends: &[End]) -> SegmentId {
        let id = SegmentId(self.segments.len());
        self.segments.push(Segment::new(link, &[]));
        for end in ends {
            self.attach(id, *end);
        }
        id
    }

    /// One more end of a segment.
    pub fn attach(&mut self, segment: SegmentId, end: End) {
        let participant = &mut self.participants[end.node.0];
        let name = match &participant.kind {
            Kind::Router(router) => {
                format!("{}:{}", participant.name, router.port_names()[end.port])
            }
            Kind::Host(_) | Kind::Station(_) => participant.name.clone(),
        };
        let interface = self.capture.as_mut().map_or(0, |capture| capture.interface(&name));
        participant.ports[end.port] = Some((segment, interface));
        self.segments[segment.0].attach(end);
    }

    /// A host; it has one port.
    pub fn host(&mut self, config: HostConfig) -> NodeId {
        let name = config.name.clone();
        let seed = self.rng.next();
        let host = Host::new(config, seed, self.now);
        self.join(name, Kind::Host(Box::new(host)), 1)
    }

    /// A raw host; it has one port.
    pub fn station(&mut self, name: &str, station: Station) -> NodeId {
        self.join(name.into(), Kind::Station(Box::new(station)), 1)
    }

    /// A gateway; it has the ports of its configuration.
    ///
    /// # Panics
    /// When the configuration is refused.
    pub fn router(&mut self, name: &str, config: &str, offloads: bool) -> NodeId {
        let setup = Setup { config: config.into(), seed: self.seed, offloads, started: self.now };
        let router = Router::new(setup);
        let ports = router.port_names().len();
        self.join(name.into(), Kind::Router(Box::new(router)), ports)
    }

    fn join(&mut self, name: String, kind: Kind, ports: usize) -> NodeId {
        let id = NodeId(self.participants.len());
        let ports = vec![None; ports];
        self.participants.push(Participant { name, kind, ports, wake: None, due: true });
        id
    }

    /// Captures nothing from now on; long runs need less memory then.
    pub fn stop_capturing(&mut self) {
        if let Some(capture) = self.capture.take() {
            self.captured = capture.into_bytes();
        }
    }
}

/// Looking.
impl Network {
    /// The simulated time.
    pub fn now(&self) -> Time {
        self.now
    }

    /// A gateway.
    ///
    /// # Panics
    /// When it is none.
    pub fn gateway(&self, id: NodeId) -> &Router {
        match &self.participants[id.0].kind {
            Kind::Router(router) => router,
            Kind::Host(_) | Kind::Station(_) => {
                panic!("{} is no gateway", self.participants[id.0].name)
            }
        }
    }

    /// A gateway, to give it input; it is stepped with the next step of the network.
    ///
    /// # Panics
    /// When it is none.
    pub fn gateway_mut(&mut self, id: NodeId) -> &mut Router {
        let participant = &mut self.participants[id.0];
        participant.due = true;
        match &mut participant.kind {
            Kind::Router(router) => router,
            Kind::Host(_) | Kind::Station(_) => panic!("{} is no gateway", participant.name),
        }
    }

    /// A host.
    ///
    /// # Panics
    /// When it is none.
    pub fn host_at(&self, id: NodeId) -> &Host {
        match &self.participants[id.0].kind {
            Kind::Host(host) => host,
            Kind::Router(_) | Kind::Station(_) => {
                panic!("{} is no host", self.participants[id.0].name)
            }
        }
    }

    /// A raw host.
    ///
    /// # Panics
    /// When it is none.
    pub fn station_at(&mut self, id: NodeId) -> &mut Station {
        let participant = &mut self.participants[id.0];
        match &mut participant.kind {
            Kind::Station(station) => station,
            Kind::Router(_) | Kind::Host(_) => panic!("{} is no raw host", participant.name),
        }
    }

    /// How an application does.
    pub fn report(&self, app: AppId) -> &Report {
        self.host_at(app.host).app(app.index).report()
    }

    /// All counters of a gateway.
    pub fn snapshot(&self, id: NodeId) -> Snapshot {
        Snapshot::of(&self.gateway(id).node)
    }

    /// What a segment did.
    pub fn link_counters(&self, id: SegmentId) -> LinkCounters {
        self.segments[id.0].counters
    }

    /// The faults of a segment, to change them.
    pub fn link_mut(&mut self, id: SegmentId) -> &mut Link {
        &mut self.segments[id.0].link
    }

    /// Frames on their way.
    pub fn in_flight(&self) -> usize {
        self.events.len()
    }

    /// Ends the capture and returns it.
    pub fn take_capture(&mut self) -> Vec<u8> {
        self.stop_capturing();
        std::mem::take(&mut self.captured)
    }

    /// Ends the capture and writes it to a file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save_capture(&mut self, path: &Path) -> io::Result<()> {
        capture::save(&self.take_capture(), path)
    }
}

/// Running.
impl Network {
    /// Starts an application on a host.
    pub fn start(&mut self, host: NodeId, app: impl App + 'static) -> AppId {
        let participant = &mut self.participants[host.0];
        participant.due = true;
        match &mut participant.kind {
            Kind::Host(inner) => AppId { host, index: inner.start(Box::new(app)) },
            Kind::Router(_) | Kind::Station(_) => panic!("{} is no host", participant.name),
        }
    }

    /// A raw host sends a frame.
    pub fn send(&mut self, station: NodeId, clip: Clip) {
        self.station_at(station).send(clip);
        self.participants[station.0].due = true;
    }

    /// Applies a configuration to a gateway.
    ///
    /// # Errors
    /// The diagnostics, when it is refused.
    pub fn apply(&mut self, gateway: NodeId, text: &str) -> Result<(), String> {
        let now = self.now;
        self.gateway_mut(gateway).apply(text, now)
    }

    /// Asks a gateway's control API.
    ///
    /// # Errors
    /// What the API says.
    pub fn ask(
        &mut self,
        gateway: NodeId,
        request: api::Request,
    ) -> Result<api::Response, api::ApiError> {
        self.gateway_mut(gateway).ask(request)
    }

    /// Takes the link of a gateway's port down or up.
    pub fn set_link(&mut self, gateway: NodeId, port: usize, up: bool) {
        let now = self.now;
        self.gateway_mut(gateway).set_link(port, up, now);
    }

    /// When something happens next.
    pub fn next_event(&self) -> Option<Time> {
        let wakes =
            self.participants.iter().filter_map(|p| if p.due { Some(self.now) } else { p.wake });
        let delivery = self.events.peek().map(|Reverse(delivery)| delivery.at);
        wakes.chain(delivery).min().map(|at| at.max(self.now))
    }

    /// Moves on to the next event and does what is due then; false when nothing is to come.
    pub fn step(&mut self) -> bool {
        let Some(at) = self.next_event() else { return false };
        self.now = at;
        while self.events.peek().is_some_and(|Reverse(delivery)| delivery.at <= at) {
            let Some(Reverse(delivery)) = self.events.pop() else { break };
            self.arrive(delivery);
        }
        for index in 0..self.participants.len() {
            let participant = &mut self.participants[index];
            if participant.due || participant.wake.is_some_and(|wake| wake <= at) {
                self.work(index);
            }
        }
        true
    }

    /// Runs until `done`, or until `limit` has passed; says whether it was done.
    pub fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let deadline = self.now + limit;
        let mut at_once = 0;
        loop {
            if done(self) {
                return true;
            }
            match self.next_event() {
                Some(at) if at <= deadline => {
                    at_once = if at > self.now { 0 } else { at_once + 1 };
                    assert!(at_once < STEPS_AT_ONCE, "time stands still at {at:?}");
                    self.step();
                }
                Some(_) | None => {
                    self.now = deadline;
                    return done(self);
                }
            }
        }
    }

    /// Runs for this long.
    pub fn run_for(&mut self, time: Duration) {
        self.run_until(time, |_| false);
    }

    fn arrive(&mut self, delivery: Delivery) {
        let Delivery { to, clip, .. } = delivery;
        let participant = &mut self.participants[to.node.0];
        let Some((_, interface)) = participant.ports[to.port] else { return };
        if let Some(capture) = &mut self.capture {
            capture.record(interface, self.now, Direction::Inbound, &clip);
        }
        participant.due = true;
        match &mut participant.kind {
            Kind::Router(router) => router.deliver(to.port, &clip),
            Kind::Host(host) => clip.finished().iter().for_each(|clip| host.receive(clip)),
            Kind::Station(station) => station.receive(clip, self.now),
        }
    }

    fn work(&mut self, index: usize) {
        let now = self.now;
        let participant = &mut self.participants[index];
        participant.due = false;
        let mut sent: Vec<(usize, Clip)> = Vec::new();
        match &mut participant.kind {
            Kind::Router(router) => router.run(now, |port, clip| sent.push((port, clip))),
            Kind::Host(host) => host.run(now, |clip| sent.push((0, clip))),
            Kind::Station(station) => sent.extend(station.drain().map(|clip| (0, clip))),
        }
        participant.wake = match &mut participant.kind {
            Kind::Router(router) => router.wake(now),
            Kind::Host(host) => host.wake(now),
            Kind::Station(_) => None,
        };
        for (port, clip) in sent {
            self.transmit(End { node: NodeId(index), port }, &clip);
        }
    }

    fn transmit(&mut self, from: End, clip: &Clip) {
        let Some((segment, interface)) = self.participants[from.node.0].ports[from.port] else {
            return;
        };
        if let Some(capture) = &mut self.capture {
            capture.record(interface, self.now, Direction::Outbound, clip);
        }
        let (events, sequence) = (&mut self.events, &mut self.sequence);
        self.segments[segment.0].carry(from, clip, self.now, &mut self.rng, |at, to| {
            *sequence += 1;
            events.push(Reverse(Delivery { at, sequence: *sequence, to, clip: clip.clone() }));
        });
    }
}

impl NodeId {
    /// The only port of a host, or a gateway's first.
    pub const fn end(self) -> End {
        self.port(0)
    }

    /// One of its ports.
    pub const fn port(self, port: usize) -> End {
        End { node: self, port }
    }
}
