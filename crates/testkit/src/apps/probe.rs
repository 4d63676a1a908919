//! `ping` and `traceroute`.

use core::{net::IpAddr, time::Duration};

use smoltcp::{
    iface::SocketHandle,
    phy::ChecksumCapabilities,
    socket::{
        icmp::{self, Endpoint, PacketBuffer, PacketMetadata},
        udp,
    },
    wire::{Icmpv4Packet, Icmpv4Repr, Icmpv6Packet, Icmpv6Repr, IpAddress},
};
use wire::Time;

use super::{App, Report};
use crate::sim::Stack;

/// How long a probe waits for its answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// First destination port of traceroute probes.
const TRACEROUTE_PORT: u16 = 33_434;

/// Sends echo requests and takes the replies.
pub struct Ping {
    to: IpAddr,
    ident: u16,
    count: u16,
    interval: Duration,
    size: usize,
    handle: Option<SocketHandle>,
    next: Option<Time>,
    seen: Vec<bool>,
    report: Report,
}

impl Ping {
    /// Sends `count` requests of 56 bytes of data, one every `interval`.
    pub fn new(to: IpAddr, ident: u16, count: u16, interval: Duration) -> Self {
        Self {
            to,
            ident,
            count,
            interval,
            size: 56,
            handle: None,
            next: None,
            seen: vec![false; usize::from(count)],
            report: Report::default(),
        }
    }

    /// Requests with this many bytes of data.
    pub const fn sized(mut self, bytes: usize) -> Self {
        self.size = bytes;
        self
    }

    fn note(&mut self, sequence: u16) {
        let Some(seen) = self.seen.get_mut(usize::from(sequence)) else {
            self.report.fail("a reply to a request that was never sent");
            return;
        };
        if std::mem::replace(seen, true) {
            self.report.duplicates += 1;
        } else {
            self.report.received += 1;
        }
    }
}

impl App for Ping {
    fn poll(&mut self, stack: &mut Stack, now: Time) -> bool {
        let handle = *self.handle.get_or_insert_with(|| {
            let mut socket = icmp_socket();
            socket.bind(Endpoint::Ident(self.ident)).expect("invariant: a new socket is unbound");
            stack.sockets.add(socket)
        });
        let source = stack.iface.get_source_address(&IpAddress::from(self.to));
        let socket = stack.sockets.get_mut::<icmp::Socket<'_>>(handle);
        let mut busy = false;
        let mut replies = Vec::new();
        while let Ok((bytes, from)) = socket.recv() {
            busy = true;
            replies.extend(echo_reply(bytes, from));
        }
        for sequence in replies {
            self.note(sequence);
        }
        let due = self.next.is_none_or(|at| at <= now);
        if due && self.report.sent < u64::from(self.count) {
            let sequence = self.report.sent as u16;
            let data = vec![sequence as u8; self.size];
            let request = echo_request(self.to, source, self.ident, sequence, &data);
            if socket.send_slice(&request, self.to.into()).is_ok() {
                self.report.sent += 1;
                busy = true;
            }
            let last = self.report.sent == u64::from(self.count);
            self.next = Some(now + if last { PATIENCE } else { self.interval });
        } else if due || self.report.received == u64::from(self.count) {
            self.report.done = true;
            self.next = None;
        }
        busy
    }

    fn wake(&self) -> Option<Time> {
        self.next
    }

    fn report(&self) -> &Report {
        &self.report
    }
}

/// Sends UDP datagrams with rising TTL and takes down who answers.
pub struct Traceroute {
    to: IpAddr,
    from_port: u16,
    most: u8,
    sockets: Option<(SocketHandle, SocketHandle)>,
    deadline: Option<Time>,
    report: Report,
}

impl Traceroute {
    /// Probes with a TTL up to `most`.
    pub fn new(to: IpAddr, from_port: u16, most: u8) -> Self {
        Self { to, from_port, most, sockets: None, deadline: None, report: Report::default() }
    }

    fn open(&mut self, stack: &mut Stack) -> (SocketHandle, SocketHandle) {
        let buffer =
            || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; 8], vec![0; 8 * 256]);
        let mut probes = udp::Socket::new(buffer(), buffer());
        probes.bind(self.from_port).expect("invariant: a new socket is unbound");
        let mut errors = icmp_socket();
        let endpoint = Endpoint::Udp(self.from_port.into());
        errors.bind(endpoint).expect("invariant: a new socket is unbound");
        (stack.sockets.add(probes), stack.sockets.add(errors))
    }

    /// One hop is known, or given up.
    fn next_hop(&mut self, hop: Option<IpAddr>) {
        self.report.hops.push(hop);
        self.deadline = None;
        let reached = hop == Some(self.to);
        self.report.done = reached || self.report.hops.len() >= usize::from(self.most);
    }
}

impl App for Traceroute {
    fn poll(&mut self, stack: &mut Stack, now: Time) -> bool {
        if self.report.done {
            return false;
        }
        let (probes, errors) = match self.sockets {
            Some(both) => both,
            None => self.open(stack),
        };
        self.sockets = Some((probes, errors));
        let mut busy = false;
        let mut answers = Vec::new();
        let socket = stack.sockets.get_mut::<icmp::Socket<'_>>(errors);
        while let Ok((bytes, from)) = socket.recv() {
            busy = true;
            if let [kind, code, ..] = *bytes {
                answers.push((kind, code, IpAddr::from(from)));
            }
        }
        for answer in answers {
            self.report.errors.push(answer);
            if self.deadline.is_some() {
                self.next_hop(Some(answer.2));
            }
        }
        if self.deadline.is_some_and(|at| at <= now) {
            self.next_hop(None);
            busy = true;
        }
        if self.deadline.is_none() && !self.report.done {
            let ttl = self.report.hops.len() as u8 + 1;
            let socket = stack.sockets.get_mut::<udp::Socket<'_>>(probes);
            socket.set_hop_limit(Some(ttl));
            let port = TRACEROUTE_PORT + u16::from(ttl);
            if socket.send_slice(&[], core::net::SocketAddr::new(self.to, port)).is_ok() {
                self.report.sent += 1;
            }
            self.deadline = Some(now + PATIENCE);
            busy = true;
        }
        busy
    }

    fn wake(&self) -> Option<Time> {
        self.deadline
    }

    fn report(&self) -> &Report {
        &self.report
    }
}

fn icmp_socket() -> icmp::Socket<'static> {
    let buffer = || PacketBuffer::new(vec![PacketMetadata::EMPTY; 64], vec![0; 64 * 1500]);
    icmp::Socket::new(buffer(), buffer())
}

fn echo_request(
    to: IpAddr,
    source: Option<IpAddress>,
    ident: u16,
    seq_no: u16,
    data: &[u8],
) -> Vec<u8> {
    let caps = ChecksumCapabilities::default();
    match (to, source) {
        (IpAddr::V6(to), Some(IpAddress::Ipv6(source))) => {
            let repr = Icmpv6Repr::EchoRequest { ident, seq_no, data };
            let mut bytes = vec![0; repr.buffer_len()];
            repr.emit(&source, &to, &mut Icmpv6Packet::new_unchecked(&mut bytes), &caps);
            bytes
        }
        (IpAddr::V4(_) | IpAddr::V6(_), _) => {
            let repr = Icmpv4Repr::EchoRequest { ident, seq_no, data };
            let mut bytes = vec![0; repr.buffer_len()];
            repr.emit(&mut Icmpv4Packet::new_unchecked(&mut bytes), &caps);
            bytes
        }
    }
}

/// The sequence number of an echo reply; smoltcp has checked the rest.
fn echo_reply(bytes: &[u8], from: IpAddress) -> Option<u16> {
    let reply = match from {
        IpAddress::Ipv4(_) => 0,
        IpAddress::Ipv6(_) => 129,
    };
    match *bytes {
        [kind, 0, _, _, _, _, high, low, ..] if kind == reply => {
            Some(u16::from_be_bytes([high, low]))
        }
        _ => None,
    }
}
