//! IKE in the gateway: who is negotiated with, and how far that is.
//!
//! The endpoint of [`::ike`] does the protocol. This room gives it datagrams, time and randomness,
//! makes SAs of what it has agreed on (in [`negotiated`](super::negotiated)), sends what it wants sent,
//! and sees to it that what should be up comes up: at start, when a packet wants it, and again after a
//! failure. Expensive work leaves by [`Gateway::poll_job`] and comes back by
//! [`Gateway::handle_job_done`], on whatever thread it was done.

mod addresses;
mod connections;
mod established;
mod events;
mod strangers;
mod upkeep;
mod waiting;

use core::net::{IpAddr, SocketAddr};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ::ike::{Command, Endpoint, Failure, Ignored, IkeId, Job, JobDone, MessageRecord, Path, Task};
use config::{
    Config,
    model::{Peer, PeerId, TunnelId, VrId},
};
use rand_core::CryptoRng;
use wire::{Time, Tuple, proto};
use zeroize::Zeroizing;

use super::waiting::Waiting;
use crate::{Gateway, addresses::Lease, packet::Packet};

pub(super) use connections::child_name;
use established::Established;
pub(crate) use upkeep::renegotiated;
pub(crate) use waiting::Awaits;

/// UDP ports of IKE (RFC 7296 §2, §2.23).
const PORTS: [u16; 2] = [500, esp::nat_t::PORT];

/// Messages and failures kept of each peer at most, and about how many of all; one of each in any case.
const NOTES: usize = 64;
const ALL_NOTES: usize = 16_384;

/// Failures kept of whoever is no peer.
const STRANGERS: usize = 16;

/// A generator of random numbers that are good for keys.
pub type Random = Box<dyn CryptoRng + Send>;

/// All that has to do with IKE.
pub(crate) struct Negotiation {
    endpoint: Endpoint,
    /// Peers by name.
    peers: BTreeMap<String, Box<Standing>>,
    /// When peers are tried again: [`Standing::retry`], in order.
    retries: BTreeSet<(Time, String)>,
    /// How many strangers are listened to.
    limits: strangers::Limits,
    /// Who listens where.
    listeners: BTreeMap<(VrId, IpAddr), PeerId>,
    /// Where what an address sends belongs; of addresses that spoke before too, which take leave.
    routers: BTreeMap<IpAddr, VrId>,
    waiting: Waiting<String>,
    /// What failed with whoever is no peer, the latest last.
    pub(crate) strangers: VecDeque<Failed>,
    /// Datagrams that were not taken, by cause.
    pub(crate) ignored: BTreeMap<String, u64>,
    /// Addresses that peers were given.
    leases: BTreeMap<IkeId, Vec<Lease>>,
    /// The addresses that peers have given us are not what they were.
    given_changed: bool,
    /// The number of what was last noted of an exchange.
    noted: u64,
    /// The gateway ends: nothing is tried again.
    ending: bool,
    /// When negotiated SAs are looked at next.
    watch_at: Option<Time>,
}

/// How far it is with a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nobody has begun.
    Idle,
    /// We have begun.
    Negotiating,
    /// There is an IKE SA.
    Up,
    /// It failed.
    Down,
}

/// How it stands with a peer.
pub(crate) struct Standing {
    /// How far it is.
    pub(crate) phase: Phase,
    /// Since when.
    pub(crate) since: Time,
    /// IKE SAs that are up.
    pub(crate) sas: Established,
    /// What failed last.
    pub(crate) failure: Option<Box<Failed>>,
    /// IKE SAs of which a request is not answered, and sent again; those being opened too.
    silent: BTreeMap<IkeId, Failed>,
    /// When we try again; set by [`Negotiation::retry_at`].
    pub(crate) retry: Option<Time>,
    /// Tries that failed, one after the other.
    tries: u32,
    /// Children that a packet has asked for, `tunnel/child`.
    wanted: Vec<String>,
    /// What was said and what failed lately, oldest first.
    pub(crate) log: VecDeque<Note>,
}

/// Something of an exchange.
pub(crate) struct Note {
    /// When.
    pub(crate) at: Time,
    /// Its number among all of the gateway; each is one more than the one before.
    pub(crate) number: u64,
    /// What.
    pub(crate) what: Logged,
}

/// What there is of an exchange.
pub(crate) enum Logged {
    /// A message, payload by payload.
    Message(Box<MessageRecord>),
    /// It came to nothing.
    Failed(Box<Failed>),
}

/// Something that did not come about.
#[derive(Clone, Debug)]
pub(crate) struct Failed {
    /// When.
    pub(crate) at: Time,
    /// On which path.
    pub(crate) path: Path,
    /// Why.
    pub(crate) failure: Failure,
}

impl Standing {
    fn new(now: Time) -> Self {
        Self {
            phase: Phase::Idle,
            since: now,
            sas: Established::default(),
            failure: None,
            silent: BTreeMap::new(),
            retry: None,
            tries: 0,
            wanted: Vec::new(),
            log: VecDeque::new(),
        }
    }

    /// Keeps the latest.
    fn note(&mut self, at: Time, number: u64, what: Logged, most: usize) {
        while self.log.len() >= most {
            self.log.pop_front();
        }
        // where there are many peers, little is kept of each
        self.log.reserve_exact(1);
        self.log.push_back(Note { at, number, what });
    }

    /// What the peer does not answer, if it answers nothing.
    pub(crate) fn unanswered(&self) -> Option<&Failed> {
        let (_, last) = self.silent.last_key_value()?;
        self.sas.ids().all(|ike| self.silent.contains_key(&ike)).then_some(last)
    }

    /// What to tell about it: that it does not answer, or else what failed last.
    pub(crate) fn trouble(&self) -> Option<&Failed> {
        self.unanswered().or(self.failure.as_deref())
    }

    fn enter(&mut self, phase: Phase, now: Time) {
        if self.phase != phase {
            (self.phase, self.since) = (phase, now);
        }
    }
}

impl Negotiation {
    pub(crate) fn new(random: Random) -> Self {
        Self {
            endpoint: Endpoint::new(connections::settings(), random),
            peers: BTreeMap::new(),
            retries: BTreeSet::new(),
            limits: strangers::Limits::default(),
            listeners: BTreeMap::new(),
            routers: BTreeMap::new(),
            waiting: Waiting::new(waiting::LIMITS),
            strangers: VecDeque::new(),
            ignored: BTreeMap::new(),
            leases: BTreeMap::new(),
            given_changed: false,
            noted: 0,
            ending: false,
            watch_at: None,
        }
    }

    /// The time of day, for certificates; before 1970 none is valid anyway.
    pub(crate) fn handle_wall_clock(&mut self, unix: i64, now: Time) {
        self.endpoint.handle_wall_clock(now, u64::try_from(unix).unwrap_or(0));
    }

    /// The keys of an IKE SA as Wireshark reads them.
    pub(crate) fn wireshark_row(&self, ike: IkeId) -> Option<Zeroizing<String>> {
        self.endpoint.wireshark_row(ike)
    }

    /// How it stands with a peer.
    pub(crate) fn standing(&self, peer: &str) -> Option<&Standing> {
        self.peers.get(peer).map(|standing| &**standing)
    }

    /// How much is kept of each peer.
    fn most_notes(&self) -> usize {
        (ALL_NOTES / self.peers.len().max(1)).clamp(1, NOTES)
    }

    /// Sets when a peer is tried again.
    fn retry_at(&mut self, peer: &str, at: Option<Time>) {
        let Some(standing) = self.peers.get_mut(peer) else { return };
        if let Some(before) = standing.retry.take() {
            self.retries.remove(&(before, peer.to_owned()));
        }
        standing.retry = at;
        self.retries.extend(at.map(|at| (at, peer.to_owned())));
    }

    /// Packets that wait for SAs of a tunnel.
    pub(crate) fn waiting(&self, tunnel: &str) -> usize {
        self.waiting.of(&tunnel.to_owned())
    }

    /// A datagram that was not taken is counted by its cause.
    fn ignored(&mut self, why: Ignored) {
        *self.ignored.entry(why.to_string()).or_default() += 1;
    }

    fn listen(&mut self, config: &Config) {
        self.limits.known = config.peers.iter().filter_map(|peer| peer.remote).collect();
        let ends = config.peers.iter().enumerate();
        self.routers.extend(config.peers.iter().map(|peer| (peer.local, peer.vr)));
        self.listeners =
            ends.map(|(index, peer)| ((peer.vr, peer.local), PeerId(index as u16))).collect();
    }
}

impl Gateway {
    /// The first peer whose messages come to an own address and port.
    pub(crate) fn ike_listener(&self, vr: VrId, tuple: &Tuple) -> Option<&Peer> {
        if tuple.proto != proto::UDP || !PORTS.contains(&tuple.dst_port) {
            return None;
        }
        let peer = self.ike.listeners.get(&(vr, tuple.dst))?;
        self.config.peer(*peer)
    }

    /// A datagram for IKE.
    pub(crate) fn handle_ike(&mut self, packet: &Packet, now: Time) {
        let tuple = packet.headers.tuple;
        let path = Path {
            local: SocketAddr::new(tuple.dst, tuple.dst_port),
            remote: SocketAddr::new(tuple.src, tuple.src_port),
        };
        let bytes = strangers::payload(packet);
        if let Err(ignored) = self.ike.endpoint.handle_datagram(now, path, bytes) {
            self.ike.ignored(ignored);
        }
        self.drive_ike(now);
    }

    /// The next expensive piece of work of IKE.
    pub(crate) fn poll_ike_job(&mut self) -> Option<Job> {
        self.ike.endpoint.poll_job()
    }

    /// What came of a job.
    pub(crate) fn handle_ike_job_done(&mut self, done: JobDone, now: Time) {
        self.ike.endpoint.handle_done(now, done);
        self.drive_ike(now);
    }

    /// Ends all that was negotiated and all clients, and tells the peers; send what [`Gateway::poll_transmit`] gives
    /// before the ports close.
    pub fn shut_down(&mut self, now: Time) {
        self.ike.ending = true;
        self.clear_ike(None, now);
        self.clear_remote(None, now);
    }

    /// Ends the IKE SAs of one peer or of all, and what was negotiated under them.
    pub(crate) fn clear_ike(&mut self, peer: Option<&str>, now: Time) -> u64 {
        let of = self.ike.peers.iter().filter(|(name, _)| peer.is_none_or(|peer| *name == peer));
        let ids: Vec<_> = of.flat_map(|(_, standing)| standing.sas.ids()).collect();
        for id in &ids {
            self.ask_ike(*id, Task::DeleteIke, now);
        }
        self.drive_ike(now);
        ids.len() as u64
    }

    /// Replaces the IKE SAs of a peer, as if their time had come. Says how many.
    pub(crate) fn rekey_ike(&mut self, peer: &str, now: Time) -> u64 {
        let standing = self.ike.peers.get(peer);
        let ids: Vec<_> = standing.map_or_else(Vec::new, |s| s.sas.ids().collect());
        for id in &ids {
            self.ask_ike(*id, Task::RekeyIke, now);
        }
        self.drive_ike(now);
        ids.len() as u64
    }

    /// Replaces what a tunnel sends by, as if its time had come. Says how many pairs of SAs that are,
    /// and nothing where there is no such tunnel.
    pub(crate) fn rekey_tunnel(&mut self, tunnel: &str, now: Time) -> Option<u64> {
        let index = self.config.tunnels.iter().position(|of| of.name == tunnel)?;
        let senders = self.tunnels.senders(TunnelId(index as u16)).iter();
        let negotiated = senders.filter_map(|id| Some(self.tunnels.child(*id)?.ike()?.id));
        let children: Vec<_> = negotiated.collect();
        for child in &children {
            let _ = self.ike.endpoint.handle_command(now, Command::RekeyChild(*child));
        }
        self.drive_ike(now);
        Some(children.len() as u64)
    }

    /// Asks for something of an IKE SA; one that is gone meanwhile needs nothing.
    fn ask_ike(&mut self, ike: IkeId, task: Task, now: Time) {
        let _ = self.ike.endpoint.handle_command(now, Command::Ike { ike, task });
    }

    /// Takes in what the endpoint tells, then sends what it has to send: SAs are there before a
    /// message that lets the peer use them is.
    pub(super) fn drive_ike(&mut self, now: Time) {
        while let Some(event) = self.ike.endpoint.poll_event() {
            self.handle_ike_event(event, now);
        }
        while let Some(datagram) = self.ike.endpoint.poll_transmit() {
            let Path { local, remote } = datagram.path;
            let Some(vr) = self.ike.routers.get(&local.ip()).copied() else { continue };
            self.send_udp(vr, (local, remote), &[&datagram.bytes], now);
        }
        if std::mem::take(&mut self.ike.given_changed) {
            self.enforce(now);
        }
    }
}
