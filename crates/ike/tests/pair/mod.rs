//! Two endpoints and the network between them, in simulated time.
//!
//! The network may lose, duplicate and delay datagrams, and have a NAT in front of the first end. Jobs
//! run at once, or as late as a test wants. What the ends tell of children is kept as a data path would
//! keep it, and it is an error to use one before it is there.

#![allow(dead_code, reason = "each test uses a part")]

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use lockgate_ike::{
    ChildId, ChildSa, ChildSettings, Command, Connection, Datagram, DownReason, Endpoint, Event,
    Failure, IkeId, IkeUp, Job, LocalAuth, Path, RemoteAuth, RequestAddresses, Settings, Side,
    Task, auth::PresharedKey, crypto::Secret, message::TrafficSelector,
};
use rand_core::{TryCryptoRng, TryRng};
use wire::Time;

/// SplitMix64: the same numbers for the same seed.
#[derive(Clone)]
pub struct Chaos(pub u64);

impl Chaos {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

impl TryRng for Chaos {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok((self.next() >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.next())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

impl TryCryptoRng for Chaos {}

/// The first end, which has a client's part where there is one.
pub const A: usize = 0;
/// The second end.
pub const B: usize = 1;

/// Their addresses.
pub const ADDRESSES: [&str; 2] = ["198.51.100.1", "198.51.100.2"];
/// The address of the NAT, if there is one, and the first of its ports.
pub const NAT: (&str, u16) = ("203.0.113.7", 40_000);

/// What the network does, in thousandths.
#[derive(Clone, Copy, Default)]
pub struct Network {
    pub loss: u64,
    pub duplicates: u64,
    /// The most a datagram may be late, in milliseconds.
    pub jitter: u64,
}

/// A child at one end, as its data path has it.
#[derive(Clone, Debug)]
pub struct Installed {
    pub sa: ChildSa,
    /// The outbound SA is used.
    pub up: bool,
}

pub struct Pair {
    pub now: Time,
    pub ends: [Endpoint; 2],
    pub network: Network,
    pub rng: Chaos,
    /// The first end is behind one: its ports there.
    pub nat: Option<u16>,
    /// Addresses that nobody has been given.
    pub pool: Vec<IpAddr>,
    /// Jobs wait until a test runs them.
    pub hold_jobs: bool,
    pub held: [Vec<Job>; 2],
    pub events: [Vec<Event>; 2],
    pub children: [BTreeMap<ChildId, Installed>; 2],
    pub ikes: [BTreeMap<IkeId, IkeUp>; 2],
    /// Datagrams that were sent, by whom; lost ones too.
    pub sent: Vec<(usize, Datagram)>,
    flying: BinaryHeap<Reverse<(Time, u64)>>,
    datagrams: BTreeMap<u64, (usize, Datagram)>,
    number: u64,
}

pub fn selector(text: &str) -> TrafficSelector {
    let (address, length) = text.split_once('/').unwrap();
    TrafficSelector::prefix(address.parse().unwrap(), length.parse().unwrap())
}

pub fn psk(text: &str) -> PresharedKey {
    PresharedKey(Secret::from_bytes(text.as_bytes()))
}

/// A connection of one end to the other, with a preshared key and one child between two networks.
pub fn connection(end: usize) -> Connection {
    let names = ["a.test", "b.test"];
    let networks = ["10.1.0.0/24", "10.2.0.0/24"];
    Connection {
        name: "peer".into(),
        local: Some(ADDRESSES[end].parse().unwrap()),
        remote: (end == A).then(|| ADDRESSES[B].parse().unwrap()),
        offers: vec!["aes256gcm16-prfsha384-x25519".parse().unwrap()],
        local_identity: names[end].parse().unwrap(),
        remote_identity: names[1 - end].parse().unwrap(),
        local_auth: LocalAuth::Psk(psk("correct horse battery staple")),
        remote_auth: RemoteAuth::Psk(psk("correct horse battery staple")),
        ppk: None,
        children: vec![ChildSettings {
            name: "net".into(),
            offers: vec!["aes256gcm16".parse().unwrap()],
            local: vec![Side::Fixed(selector(networks[end]))],
            remote: vec![Side::Fixed(selector(networks[1 - end]))],
            mode: esp::Mode::Tunnel,
            rekey_after: None,
            lifetime: None,
        }],
        dpd_after: None,
        rekey_after: None,
        lifetime: None,
        transmissions: 6,
        force_encapsulation: false,
        keepalive_after: Some(Duration::from_secs(20)),
        fragmentation: true,
        request_addresses: RequestAddresses::default(),
        gives_addresses: false,
        dns: Vec::new(),
    }
}

impl Pair {
    pub fn new(seed: u64) -> Self {
        Self::with(seed, Settings { trace: true, ..Settings::default() }, |_, _| {})
    }

    /// With connections as [`connection`] has them, changed.
    pub fn with(seed: u64, settings: Settings, change: impl Fn(usize, &mut Connection)) -> Self {
        let mut ends =
            [A, B].map(|end| Endpoint::new(settings, Box::new(Chaos(seed * 2 + end as u64))));
        for (end, endpoint) in ends.iter_mut().enumerate() {
            let mut connection = connection(end);
            change(end, &mut connection);
            endpoint.apply(Time::from_secs(1), vec![connection]);
        }
        Self {
            now: Time::from_secs(1),
            ends,
            network: Network::default(),
            rng: Chaos(seed ^ 0x5eed),
            nat: None,
            pool: Vec::new(),
            hold_jobs: false,
            held: Default::default(),
            events: Default::default(),
            children: Default::default(),
            ikes: Default::default(),
            sent: Vec::new(),
            flying: BinaryHeap::new(),
            datagrams: BTreeMap::new(),
            number: 0,
        }
    }

    pub fn path(&self, end: usize) -> Path {
        let address = |end: usize| SocketAddr::new(ADDRESSES[end].parse().unwrap(), 500);
        Path { local: address(end), remote: address(1 - end) }
    }

    /// Begins an IKE SA at `end`.
    pub fn connect(&mut self, end: usize) -> IkeId {
        let command = Command::Connect { connection: "peer".into(), path: self.path(end) };
        let id = self.ends[end].handle_command(self.now, command).unwrap().unwrap();
        self.take(end);
        id
    }

    pub fn command(&mut self, end: usize, command: Command) {
        self.ends[end].handle_command(self.now, command).unwrap();
        self.take(end);
    }

    pub fn task(&mut self, end: usize, task: Task) {
        let ike = self.ike(end);
        self.command(end, Command::Ike { ike, task });
    }

    /// A pair of ends that are connected.
    pub fn up(mut self) -> Self {
        self.connect(A);
        self.run_for(Duration::from_secs(1));
        self.assert_agreed(1);
        self
    }

    /// Takes everything an end has for us.
    pub fn take(&mut self, end: usize) {
        loop {
            while let Some(event) = self.ends[end].poll_event() {
                self.event(end, event);
            }
            while let Some(datagram) = self.ends[end].poll_transmit() {
                self.send(end, datagram);
            }
            let Some(job) = self.ends[end].poll_job() else { break };
            if self.hold_jobs {
                self.held[end].push(job);
            } else {
                self.ends[end].handle_done(self.now, job.run());
            }
        }
    }

    /// Runs what was held.
    pub fn run_jobs(&mut self, end: usize) {
        for job in std::mem::take(&mut self.held[end]) {
            self.ends[end].handle_done(self.now, job.run());
        }
        self.take(end);
    }

    fn event(&mut self, end: usize, event: Event) {
        match &event {
            Event::ChildInboundReady(sa) => {
                let installed = Installed { sa: (**sa).clone(), up: false };
                assert!(self.children[end].insert(sa.id, installed).is_none(), "told once");
            }
            Event::ChildUp { child } => {
                let child = self.children[end].get_mut(child).expect("told before it is up");
                assert!(!std::mem::replace(&mut child.up, true), "up once");
            }
            Event::ChildRekeyed { old, new } => {
                assert!(
                    self.children[end].contains_key(old),
                    "the old one is there until it is gone"
                );
                let child = self.children[end].get_mut(new).expect("told before it takes over");
                assert!(!std::mem::replace(&mut child.up, true), "takes over once");
            }
            Event::ChildGone { child, .. } => {
                self.children[end].remove(child).expect("gone once");
            }
            Event::IkeUp(up) => {
                assert!(self.ikes[end].insert(up.ike, (**up).clone()).is_none());
            }
            Event::IkeRekeyed { old, new } => {
                let mut up = self.ikes[end].remove(old).expect("up before it is rekeyed");
                up.ike = *new;
                self.ikes[end].insert(*new, up);
            }
            Event::IkeDown { ike, reason, .. } => {
                let gone = self.ikes[end].remove(ike);
                let given = gone.iter().filter(|up| !up.initiator);
                self.pool.extend(given.flat_map(|up| &up.addresses));
                let replaced = matches!(reason, DownReason::Replaced | DownReason::Redundant);
                assert!(
                    gone.is_some() || replaced,
                    "{end}: {ike:?} down: {reason}: {:#?}",
                    self.log(end)
                );
            }
            Event::AddressesWanted(wanted) => {
                let mut given = Vec::new();
                for (v4, asked) in [(true, wanted.versions.v4), (false, wanted.versions.v6)] {
                    let free = self.pool.iter().position(|ip| ip.is_ipv4() == v4);
                    given.extend(free.filter(|_| asked).map(|at| self.pool.remove(at)));
                }
                let taken = self.ends[end].give_addresses(self.now, wanted.question, given);
                assert!(taken, "the answer waits for it");
            }
            Event::PathChanged { .. }
            | Event::Unanswered { .. }
            | Event::Answered { .. }
            | Event::Failed { .. }
            | Event::Message(_) => {}
        }
        self.events[end].push(event);
    }

    fn send(&mut self, from: usize, datagram: Datagram) {
        check_clear(&datagram.bytes);
        self.sent.push((from, datagram.clone()));
        if self.rng.below(1000) < self.network.loss {
            return;
        }
        let copies = if self.rng.below(1000) < self.network.duplicates { 2 } else { 1 };
        for _ in 0..copies {
            let late = 10 + self.rng.below(self.network.jitter + 1);
            self.fly(from, datagram.clone(), Duration::from_millis(late));
        }
    }

    /// Puts a datagram on the wire, as it would come from `from`.
    pub fn fly(&mut self, from: usize, datagram: Datagram, late: Duration) {
        self.number += 1;
        self.datagrams.insert(self.number, (from, datagram));
        self.flying.push(Reverse((self.now + late, self.number)));
    }

    /// What is on the wire is lost.
    pub fn lose_all(&mut self) {
        self.flying.clear();
        self.datagrams.clear();
    }

    pub fn in_flight(&self) -> usize {
        self.datagrams.len()
    }

    /// Takes the `index`th datagram off the wire, counted from the oldest; they are counted round.
    pub fn catch(&mut self, index: usize) -> Option<(usize, Datagram)> {
        let count = self.datagrams.len();
        let number = *self.datagrams.keys().nth(index.checked_rem(count)?)?;
        self.datagrams.remove(&number)
    }

    /// A datagram comes in, as it would from `from`.
    pub fn arrive(&mut self, from: usize, datagram: Datagram) {
        let Path { local: mut source, remote: mut destination } = datagram.path;
        if let Some(base) = self.nat {
            let nat: IpAddr = NAT.0.parse().unwrap();
            let inside = ADDRESSES[A].parse().unwrap();
            if from == A {
                source = SocketAddr::new(nat, base + source.port());
            } else if destination.ip() == nat && destination.port() >= base {
                destination = SocketAddr::new(inside, destination.port() - base);
            } else {
                return;
            }
        }
        self.receive(1 - from, Path { local: destination, remote: source }, &datagram.bytes);
    }

    /// A datagram is at an end, by a path as that end sees it.
    pub fn receive(&mut self, end: usize, path: Path, bytes: &[u8]) {
        // what is not taken is the network's doing, or a test's, which looks at the outcome
        let _ = self.ends[end].handle_datagram(self.now, path, bytes);
        self.take(end);
    }

    /// Goes to the next thing that happens, at most to `until`; `false` when nothing does.
    pub fn step(&mut self, until: Time) -> bool {
        let arrives = self.flying.peek().map(|Reverse((at, _))| *at);
        let wakes = [A, B].map(|end| self.ends[end].poll_timeout().map(|(at, _)| at));
        let next = arrives.into_iter().chain(wakes.into_iter().flatten()).min();
        let Some(next) = next.filter(|next| *next <= until) else {
            self.now = self.now.max(until);
            return false;
        };
        self.now = self.now.max(next);
        if arrives == Some(next) {
            let Some(Reverse((_, number))) = self.flying.pop() else { return false };
            if let Some((from, datagram)) = self.datagrams.remove(&number) {
                self.arrive(from, datagram);
            }
            return true;
        }
        for end in [A, B] {
            if wakes[end].is_some_and(|at| at <= self.now) {
                self.ends[end].handle_timeout(self.now);
                self.take(end);
            }
        }
        true
    }

    pub fn run_for(&mut self, time: Duration) {
        let until = self.now + time;
        while self.step(until) {}
    }

    /// The one IKE SA of an end that is up.
    pub fn ike(&self, end: usize) -> IkeId {
        let up: Vec<_> =
            self.ends[end].views().filter(|view| view.state == "up").map(|v| v.ike).collect();
        assert_eq!(up.len(), 1, "one IKE SA at {end}: {:#?}", self.log(end));
        up[0]
    }

    /// The child whose outbound SA is used.
    pub fn child(&self, end: usize) -> &Installed {
        let mut up = self.children[end].values().filter(|child| child.up);
        up.next_back().unwrap_or_else(|| panic!("no child at {end}: {:#?}", self.log(end)))
    }

    /// Both ends have `count` children, the same ones with the same keys, and one IKE SA.
    #[track_caller]
    pub fn assert_agreed(&self, count: usize) {
        if let Err(what) = self.agreed(count) {
            panic!("{what}\nA: {:#?}\nB: {:#?}", self.log(A), self.log(B));
        }
    }

    pub fn agreed(&self, count: usize) -> Result<(), String> {
        for end in [A, B] {
            if self.children[end].len() != count {
                return Err(format!("{} children at {end}", self.children[end].len()));
            }
            if self.ikes[end].len() != 1 {
                return Err(format!("{} IKE SAs at {end}", self.ikes[end].len()));
            }
            let views: Vec<_> = self.ends[end].views().collect();
            if views.len() != 1 || views[0].state != "up" {
                return Err(format!("IKE SAs at {end}: {views:?}"));
            }
            let mut known = views[0].children.clone();
            known.sort();
            if known != self.children[end].keys().copied().collect::<Vec<_>>() {
                return Err(format!("children at {end}: {known:?}"));
            }
        }
        for ours in self.children[A].values() {
            let theirs =
                self.children[B].values().find(|b| b.sa.inbound_spi == ours.sa.outbound_spi);
            let Some(theirs) = theirs else { return Err("a child of A alone".to_owned()) };
            let (a, b) = (&ours.sa, &theirs.sa);
            let same = a.inbound_spi == b.outbound_spi
                && a.inbound_key == b.outbound_key
                && a.outbound_key == b.inbound_key
                && a.inbound_key != a.outbound_key
                && (a.suite, a.esn, a.mode) == (b.suite, b.esn, b.mode)
                && (&a.local, &a.remote) == (&b.remote, &b.local);
            if !same || !ours.up || !theirs.up {
                return Err(format!("children differ: {ours:?}, {theirs:?}"));
            }
        }
        Ok(())
    }

    /// What an end told, in words.
    pub fn log(&self, end: usize) -> Vec<String> {
        let line = |event: &Event| match event {
            Event::Message(record) => record.to_string(),
            Event::ChildInboundReady(sa) => {
                format!(
                    "ChildInboundReady {:?} {:08x}/{:08x}",
                    sa.id, sa.inbound_spi, sa.outbound_spi
                )
            }
            Event::Failed { failure, .. } => format!("Failed: {failure}"),
            other => format!("{other:?}"),
        };
        self.events[end].iter().map(line).collect()
    }

    pub fn failures(&self, end: usize) -> Vec<&Failure> {
        let mut failures = Vec::new();
        for event in &self.events[end] {
            if let Event::Failed { failure, .. } = event {
                failures.push(failure);
            }
        }
        failures
    }

    pub fn count(&self, end: usize, which: impl Fn(&Event) -> bool) -> usize {
        self.events[end].iter().filter(|event| which(event)).count()
    }

    /// The messages of one kind that an end sent: `IKE_AUTH request` and the like.
    pub fn messages(&self, end: usize, kind: &str) -> Vec<String> {
        let begin = format!("sent {kind}");
        self.log(end).into_iter().filter(|line| line.starts_with(&begin)).collect()
    }
}

/// Another decoder has to understand what we send, as far as it is in clear.
fn check_clear(bytes: &[u8]) {
    let bytes = bytes.strip_prefix(&[0; 4]).unwrap_or(bytes);
    if bytes == [0xff] {
        return;
    }
    let (rest, header) = ipsec_parser::parse_ikev2_header(bytes).expect("a header");
    assert_eq!(header.length as usize, bytes.len());
    let payloads = ipsec_parser::parse_ikev2_payload_list(rest, header.next_payload);
    let (rest, payloads) = payloads.expect("a list of payloads");
    assert!(
        rest.is_empty() && !payloads.expect("payloads that another decoder understands").is_empty()
    );
}

/// What the tests call a name.
pub fn name(text: &str) -> Arc<str> {
    text.into()
}
