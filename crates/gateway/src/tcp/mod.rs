//! TCP connections that end in the gateway, such as those of remote access.
//!
//! The protocol itself is `smoltcp`'s. It asks every socket of an interface about every segment, so here each
//! connection has an interface and a socket of its own, and segments find it by their addresses and ports.
//!
//! Nobody is given buffers before a handshake is complete: an opening segment is answered and remembered,
//! and only the acknowledgement of our sequence number makes a connection. What is remembered is bounded,
//! over all and by source; the oldest gives way. Nothing is sent again for a half-open connection: whoever
//! opens one asks again, and gets the same answer. Initial sequence numbers come of a keyed hash (RFC 6528
//! §3), so that the same inputs give the same connection.
//!
//! Sans-IO: [`Stack::handle_segment`], [`Stack::handle_timeout`], [`Stack::read`], [`Stack::write`] take
//! input, [`Stack::poll_event`] and [`Stack::poll_transmit`] give output, after [`Stack::flush`].
//!
//! Limits: listens only; windows of [`RECEIVE`] bytes at most and [`SEND`] bytes; super-packets are sent over IPv4 only; no timestamps, no TIME-WAIT (the
//! session table has that). Paths are not probed: IPv4 packets may be cut on their way, and IPv6 packets
//! fit every path.

mod backlog;
mod connection;
#[cfg(test)]
mod tests;
mod window;

use core::{net::SocketAddr, time::Duration};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use aead::{Mac, MacAlgorithm};
use config::model::VrId;
use hashbrown::HashMap;
use ports::{Frame, FramePool};
use wire::{Time, tcp::flags};

use crate::keyed::Keyed;
use connection::{Connection, answer_to_syn};

/// Bytes that a connection holds of what nobody has read, and so its largest window: 40 Mbit/s from a peer
/// 50 ms away.
pub const RECEIVE: usize = 256 << 10;

/// Bytes that a connection holds of what its peer has not acknowledged, at most: a slow one has less.
pub const SEND: usize = 1 << 20;

/// Half-open connections that are remembered.
pub const HALF_OPEN: usize = 1_024;

/// Of one source address.
pub const HALF_OPEN_OF_SOURCE: usize = 16;

/// Longest opening segment, in bytes of its IP packet: one that carries data is not remembered.
const LONGEST_SYN: usize = 128;

/// How long a half-open connection is remembered: longer than one asks again.
const HALF_OPEN_FOR: Duration = Duration::from_secs(30);

/// How long a single segment waits for its acknowledgement, so that it may go with data or with that of the next.
const ACKNOWLEDGES_WITHIN: Duration = Duration::from_millis(10);

/// A peer that acknowledges nothing of what it was sent for so long is gone (RFC 9293 §3.8.3, R2).
const GONE_AFTER: Duration = Duration::from_secs(100);

/// How long a peer has to close its end once we have closed ours.
const CLOSES_WITHIN: Duration = Duration::from_secs(20);

/// After so long without sending the memory it was sent from is given back.
const RESTS_AFTER: Duration = Duration::from_secs(2);

/// A connection; no other ever has its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// Between whom a connection runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ends {
    /// Virtual router.
    pub vr: VrId,
    /// Our end.
    pub local: SocketAddr,
    /// The peer.
    pub remote: SocketAddr,
}

/// What happened to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The handshake is complete.
    Connected(ConnId, Ends),
    /// There is something to [`Stack::read`].
    Readable(ConnId),
    /// [`Stack::write`] takes more again, after it did not take all.
    Writable(ConnId),
    /// The peer sends no more; what it has sent is still to be read.
    Finished(ConnId),
    /// It is gone: closed by both, reset, or the peer does not answer. Nothing can be read any more.
    Closed(ConnId),
}

/// A segment to send, or a super-packet that stands for several.
pub struct Segment {
    /// Virtual router.
    pub vr: VrId,
    /// The IP packet, behind a blank Ethernet header. Its TCP checksum is still to be made.
    pub frame: Frame,
}

/// Bounds of a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections.
    pub connections: usize,
    /// Connections of one source address.
    pub of_source: usize,
}

/// Opening segments that did not become a connection, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// Older half-open connections that gave way.
    pub evicted: u64,
    /// Their source had as many half-open connections as it may.
    pub of_source: u64,
    /// There are as many connections as may be, over all or of the source.
    pub full: u64,
    /// They carry data, or nothing that TCP would answer.
    pub malformed: u64,
}

/// What to do with a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is dealt with.
    Yes,
    /// It belongs to no connection: a reset is the answer (RFC 9293 §3.10.7.1).
    NoConnection,
    /// It would open one more connection than there may be: silence, and the peer tries again.
    Limit,
}

/// The connections of a gateway.
pub struct Stack {
    /// Boxed, as nodes of the tree are half empty when numbers only rise.
    connections: BTreeMap<ConnId, Box<Connection>>,
    by_ends: HashMap<Ends, ConnId, Keyed>,
    of_source: HashMap<core::net::IpAddr, usize, Keyed>,
    half_open: HashMap<Ends, HalfOpen, Keyed>,
    /// Half-open connections by age; the number is one of `half_open`.
    by_age: BTreeMap<u64, Ends>,
    half_open_of_source: HashMap<core::net::IpAddr, usize, Keyed>,
    timers: BTreeSet<(Time, ConnId)>,
    /// Connections that were read or written since they were last asked for segments.
    touched: BTreeSet<ConnId>,
    events: VecDeque<Event>,
    transmit: VecDeque<Segment>,
    frames: Arc<FramePool>,
    secret: Mac,
    made: u64,
    limits: Limits,
    refused: Refused,
    /// Where opening segments are answered from; it holds nothing in between.
    scratch: Vec<u8>,
}

struct HalfOpen {
    syn: Box<[u8]>,
    sequence: u32,
    mtu: u16,
    seed: u64,
    age: u64,
    since: Time,
}

impl Stack {
    /// A stack without connections. `secret` makes initial sequence numbers nobody else can tell; what is sent is
    /// written into `frames`, and into memory of its own when there is none left.
    pub fn new(limits: Limits, secret: &[u8; 32], seed: u64, frames: Arc<FramePool>) -> Self {
        let keyed = |n: u32| Keyed::new(seed.rotate_left(n));
        Self {
            connections: BTreeMap::new(),
            by_ends: HashMap::with_hasher(keyed(3)),
            of_source: HashMap::with_hasher(keyed(5)),
            half_open: HashMap::with_hasher(keyed(7)),
            by_age: BTreeMap::new(),
            half_open_of_source: HashMap::with_hasher(keyed(11)),
            timers: BTreeSet::new(),
            touched: BTreeSet::new(),
            events: VecDeque::new(),
            transmit: VecDeque::new(),
            frames,
            secret: Mac::new(MacAlgorithm::Sha256, secret),
            made: 0,
            limits,
            refused: Refused::default(),
            scratch: Vec::new(),
        }
    }

    /// Other bounds from now on. Connections that are too many stay.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// How many connections there are, half-open ones not counted.
    pub fn len(&self) -> usize {
        self.connections.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    /// How many connections are half open.
    pub fn half_open(&self) -> usize {
        self.half_open.len()
    }

    /// What did not become a connection.
    pub fn refused(&self) -> Refused {
        self.refused
    }

    /// Whether there is a connection between these ends.
    pub fn has(&self, ends: &Ends) -> bool {
        self.by_ends.contains_key(ends)
    }

    /// Whether something is known of whoever is at these ends.
    pub fn knows(&self, ends: &Ends) -> bool {
        self.has(ends) || self.half_open.contains_key(ends)
    }

    /// Between whom a connection runs.
    pub fn ends(&self, id: ConnId) -> Option<Ends> {
        self.connections.get(&id).map(|connection| connection.ends)
    }

    /// A segment, whole and with a right checksum, for a port that somebody listens at: the IP packet
    /// that carries it, with its flags and sequence numbers. `mtu` is that of the way back, in bytes.
    pub fn handle_segment(
        &mut self,
        ends: Ends,
        packet: &[u8],
        header: Header,
        mtu: u16,
        now: Time,
    ) -> Taken {
        if let Some(id) = self.by_ends.get(&ends).copied() {
            self.drive(id, Some(packet), now);
            return Taken::Yes;
        }
        let kind = header.flags & (flags::SYN | flags::ACK | flags::RST | flags::FIN);
        match kind {
            flags::SYN => self.open(ends, packet, header, mtu, now),
            flags::ACK => self.complete(ends, packet, header, now),
            kind if kind & flags::RST != 0 => {
                // RFC 9293 §3.10.7.4: only a reset with the very next number is one
                let is_its = |half: &HalfOpen| header.sequence == half.sequence.wrapping_add(1);
                if self.half_open.get(&ends).is_some_and(is_its) {
                    self.forget_half_open(&ends);
                }
                Taken::Yes
            }
            _ => Taken::NoConnection,
        }
    }

    /// Takes bytes of what has come, as many as `take` says of those it is given; called until it takes
    /// none or there are no more.
    pub fn read(&mut self, id: ConnId, take: impl FnMut(&[u8]) -> usize) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.read(take);
        self.touched.insert(id);
    }

    /// Gives bytes to be sent; says how many were taken. [`Event::Writable`] comes when it was not all
    /// and there is room again.
    pub fn write(&mut self, id: ConnId, bytes: &[u8]) -> usize {
        let Some(connection) = self.connections.get_mut(&id) else { return 0 };
        self.touched.insert(id);
        connection.write(bytes)
    }

    /// How many bytes [`Stack::write`] would take.
    pub fn room(&self, id: ConnId) -> usize {
        self.connections.get(&id).map_or(0, |connection| connection.room())
    }

    /// No more is written. What was written is sent first; [`Event::Closed`] tells when it is done.
    pub fn close(&mut self, id: ConnId) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.close();
            self.touched.insert(id);
        }
    }

    /// Ends a connection at once, with a reset. No event follows.
    pub fn abort(&mut self, id: ConnId, now: Time) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.abort();
        connection.poll(None, now, &self.frames, |segment| self.transmit.push_back(segment));
        self.forget(id);
    }

    /// Makes segments of what was read and written since the last time.
    pub fn flush(&mut self, now: Time) {
        while let Some(id) = self.touched.pop_first() {
            self.drive(id, None, now);
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Time) {
        while let Some((_, id)) = self.timers.first().copied().filter(|(at, _)| *at <= now) {
            self.drive(id, None, now);
        }
        let due = |half: &HalfOpen| half.since + HALF_OPEN_FOR <= now;
        while let Some((_, ends)) = self.by_age.first_key_value() {
            let ends = *ends;
            if !self.half_open.get(&ends).is_some_and(due) {
                break;
            }
            self.forget_half_open(&ends);
        }
    }

    /// When [`Stack::handle_timeout`] is wanted.
    pub fn poll_timeout(&self) -> Option<Time> {
        let oldest = self.by_age.first_key_value().and_then(|(_, ends)| self.half_open.get(ends));
        let timer = self.timers.first().map(|(at, _)| *at);
        timer.into_iter().chain(oldest.map(|half| half.since + HALF_OPEN_FOR)).min()
    }

    /// What happened, in order.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The next to send.
    pub fn poll_transmit(&mut self) -> Option<Segment> {
        self.transmit.pop_front()
    }

    /// Answers an opening segment, and remembers it.
    fn open(&mut self, ends: Ends, packet: &[u8], header: Header, mtu: u16, now: Time) -> Taken {
        let source = ends.remote.ip();
        let of_source = |map: &HashMap<_, usize, Keyed>| map.get(&source).copied().unwrap_or(0);
        if self.connections.len() >= self.limits.connections
            || of_source(&self.of_source) >= self.limits.of_source
        {
            self.refused.full += 1;
            return Taken::Limit;
        }
        let known = self.half_open.get(&ends).is_some_and(|half| half.sequence == header.sequence);
        if !known {
            self.forget_half_open(&ends);
            if of_source(&self.half_open_of_source) >= HALF_OPEN_OF_SOURCE {
                self.refused.of_source += 1;
                return Taken::Limit;
            }
        }
        if packet.len() > LONGEST_SYN {
            self.refused.malformed += 1;
            return Taken::NoConnection;
        }
        let seed = self.seed(&ends, header.sequence);
        let (frames, scratch) = (&self.frames, &mut self.scratch);
        let Some(answer) = answer_to_syn(&ends, packet, (mtu, seed), frames, scratch, now) else {
            self.refused.malformed += 1;
            return Taken::NoConnection;
        };
        self.transmit.push_back(answer);
        if known {
            return Taken::Yes;
        }
        if self.half_open.len() >= HALF_OPEN
            && let Some(oldest) = self.by_age.first_key_value().map(|(_, ends)| *ends)
        {
            self.refused.evicted += 1;
            self.forget_half_open(&oldest);
        }
        self.made += 1;
        let half_open = HalfOpen {
            syn: packet.into(),
            sequence: header.sequence,
            mtu,
            seed,
            age: self.made,
            since: now,
        };
        self.by_age.insert(half_open.age, ends);
        *self.half_open_of_source.entry(source).or_default() += 1;
        self.half_open.insert(ends, half_open);
        Taken::Yes
    }

    /// The peer has our sequence number: it is where it says it is.
    fn complete(&mut self, ends: Ends, packet: &[u8], header: Header, now: Time) -> Taken {
        let Some(half) = self.half_open.get(&ends) else { return Taken::NoConnection };
        let mut connection =
            Box::new(Connection::new(ends, (half.mtu, half.seed), &self.frames, now));
        let ours = connection.replay(&half.syn, now.since(half.since), &self.frames, now);
        let acknowledges = ours.is_some_and(|ours| header.acknowledgement == ours.wrapping_add(1));
        if !acknowledges || header.sequence != half.sequence.wrapping_add(1) {
            return Taken::NoConnection;
        }
        self.forget_half_open(&ends);
        self.made += 1;
        let id = ConnId(self.made);
        self.by_ends.insert(ends, id);
        *self.of_source.entry(ends.remote.ip()).or_default() += 1;
        self.connections.insert(id, connection);
        self.drive(id, Some(packet), now);
        Taken::Yes
    }

    /// Gives a connection a segment, or only the time, and takes what comes of it.
    fn drive(&mut self, id: ConnId, packet: Option<&[u8]>, now: Time) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let (frames, transmit) = (&self.frames, &mut self.transmit);
        connection.poll(packet, now, frames, |segment| transmit.push_back(segment));
        if connection.lingers(now) {
            connection.abort();
            connection.poll(None, now, frames, |segment| transmit.push_back(segment));
        }
        let gone = connection.tell(id, &mut self.events);
        if gone {
            self.forget(id);
            return;
        }
        let due = connection.due(now);
        if due != connection.timer {
            if let Some(at) = connection.timer {
                self.timers.remove(&(at, id));
            }
            connection.timer = due;
            self.timers.extend(due.map(|at| (at, id)));
        }
    }

    fn forget(&mut self, id: ConnId) {
        let Some(connection) = self.connections.remove(&id) else { return };
        if let Some(at) = connection.timer {
            self.timers.remove(&(at, id));
        }
        self.touched.remove(&id);
        self.by_ends.remove(&connection.ends);
        decrement(&mut self.of_source, connection.ends.remote.ip());
    }

    fn forget_half_open(&mut self, ends: &Ends) {
        let Some(half) = self.half_open.remove(ends) else { return };
        self.by_age.remove(&half.age);
        decrement(&mut self.half_open_of_source, ends.remote.ip());
    }

    /// What the initial sequence number of a connection is made of.
    fn seed(&self, ends: &Ends, sequence: u32) -> u64 {
        let mut of = Vec::with_capacity(48);
        for end in [ends.local, ends.remote] {
            match end.ip() {
                core::net::IpAddr::V4(ip) => of.extend(ip.to_ipv6_mapped().octets()),
                core::net::IpAddr::V6(ip) => of.extend(ip.octets()),
            }
            of.extend(end.port().to_be_bytes());
        }
        of.extend(ends.vr.0.to_be_bytes());
        of.extend(sequence.to_be_bytes());
        let mut tag = [0; 32];
        self.secret.sign(&[&of], &mut tag);
        tag.first_chunk().copied().map_or(0, u64::from_be_bytes)
    }
}

/// What is asked of the header of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Flags.
    pub flags: u8,
    /// Sequence number.
    pub sequence: u32,
    /// Acknowledgement number.
    pub acknowledgement: u32,
}

impl Header {
    /// That of a segment whose IP packet stands at `l3` of `frame`.
    pub fn of(frame: &[u8], headers: &wire::Headers) -> Option<Self> {
        let fields: &[u8; 12] = frame.get(usize::from(headers.l4)..)?.first_chunk()?;
        let [_, _, _, _, s0, s1, s2, s3, a0, a1, a2, a3] = *fields;
        Some(Self {
            flags: headers.tcp_flags,
            sequence: u32::from_be_bytes([s0, s1, s2, s3]),
            acknowledgement: u32::from_be_bytes([a0, a1, a2, a3]),
        })
    }
}

fn decrement(map: &mut HashMap<core::net::IpAddr, usize, Keyed>, source: core::net::IpAddr) {
    if let Some(count) = map.get_mut(&source) {
        *count -= 1;
        if *count == 0 {
            map.remove(&source);
        }
    }
}
