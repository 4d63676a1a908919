//! A UDP server that answers and a client that asks, both counting what is lost, doubled or
//! reordered.

use core::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use std::collections::BTreeMap;

use smoltcp::{
    iface::SocketHandle,
    socket::udp::{self, PacketBuffer, PacketMetadata},
};
use wire::Time;

use super::{App, Report, first_difference, pattern};
use crate::sim::Stack;

/// Flow and sequence number at the front of every datagram.
const HEAD: usize = 12;
/// Datagrams a socket buffers.
const SLOTS: usize = 256;

/// Which datagrams of a flow have come.
#[derive(Default)]
struct Order {
    seen: Vec<bool>,
    highest: u64,
}

impl Order {
    fn note(&mut self, sequence: u64, report: &mut Report) {
        let index = sequence as usize;
        if self.seen.len() <= index {
            self.seen.resize(index + 1, false);
        }
        if self.seen[index] {
            report.duplicates += 1;
            return;
        }
        self.seen[index] = true;
        report.received += 1;
        if sequence < self.highest {
            report.reordered += 1;
        }
        self.highest = self.highest.max(sequence);
    }
}

/// Answers [`DatagramClient`]s on a port, for ever.
pub struct DatagramServer {
    port: u16,
    answer: Option<usize>,
    handle: Option<SocketHandle>,
    flows: BTreeMap<u32, Order>,
    report: Report,
}

impl DatagramServer {
    /// A server that answers with datagrams of the size of the question.
    pub fn new(port: u16) -> Self {
        Self {
            port,
            answer: Some(0),
            handle: None,
            flows: BTreeMap::new(),
            report: Report::default(),
        }
    }

    /// Answers have at least this many bytes.
    pub const fn answering(mut self, bytes: usize) -> Self {
        self.answer = Some(bytes);
        self
    }

    /// It never answers.
    pub const fn silent(mut self) -> Self {
        self.answer = None;
        self
    }
}

impl App for DatagramServer {
    fn poll(&mut self, stack: &mut Stack, _: Time) -> bool {
        let handle = match bound(&mut self.handle, stack, self.port) {
            Ok(handle) => handle,
            Err(why) => {
                self.report.fail(why);
                return false;
            }
        };
        let socket = stack.sockets.get_mut::<udp::Socket<'_>>(handle);
        let mut busy = false;
        while let Ok((bytes, meta)) = socket.recv() {
            busy = true;
            let Some((flow, sequence)) = read(bytes) else {
                self.report.fail("a datagram is damaged");
                continue;
            };
            let length = bytes.len();
            self.report.received_bytes += length as u64;
            self.report.peer =
                Some(SocketAddr::new(IpAddr::from(meta.endpoint.addr), meta.endpoint.port));
            self.flows.entry(flow).or_default().note(sequence, &mut self.report);
            if let Some(least) = self.answer {
                let bytes = write(flow, sequence, length.max(least));
                let from = meta.local_address;
                let reply = udp::UdpMetadata { local_address: from, ..meta.endpoint.into() };
                if socket.send_slice(&bytes, reply).is_ok() {
                    self.report.sent += 1;
                    self.report.sent_bytes += bytes.len() as u64;
                }
            }
        }
        busy
    }

    fn report(&self) -> &Report {
        &self.report
    }
}

/// Sends datagrams at an interval and takes the answers.
pub struct DatagramClient {
    to: SocketAddr,
    from_port: u16,
    count: u64,
    interval: Duration,
    size: usize,
    patience: Duration,
    handle: Option<SocketHandle>,
    next: Option<Time>,
    order: Order,
    report: Report,
}

impl DatagramClient {
    /// A client that sends `count` datagrams of 64 bytes, one every `interval`.
    pub fn new(to: impl Into<SocketAddr>, from_port: u16, count: u64, interval: Duration) -> Self {
        Self {
            to: to.into(),
            from_port,
            count,
            interval,
            size: 64,
            patience: Duration::from_secs(2),
            handle: None,
            next: None,
            order: Order::default(),
            report: Report::default(),
        }
    }

    /// Datagrams of this many bytes.
    pub const fn sized(mut self, bytes: usize) -> Self {
        self.size = bytes;
        self
    }
}

impl App for DatagramClient {
    fn poll(&mut self, stack: &mut Stack, now: Time) -> bool {
        let handle = match bound(&mut self.handle, stack, self.from_port) {
            Ok(handle) => handle,
            Err(why) => {
                self.report.fail(why);
                return false;
            }
        };
        let socket = stack.sockets.get_mut::<udp::Socket<'_>>(handle);
        let flow = u32::from(self.from_port);
        let mut busy = false;
        while let Ok((bytes, meta)) = socket.recv() {
            busy = true;
            self.report.received_bytes += bytes.len() as u64;
            self.report.peer =
                Some(SocketAddr::new(IpAddr::from(meta.endpoint.addr), meta.endpoint.port));
            match read(bytes) {
                Some((own, sequence)) if own == flow => self.order.note(sequence, &mut self.report),
                Some(_) | None => self.report.fail("an answer is damaged or another's"),
            }
        }
        let due = self.next.is_none_or(|at| at <= now);
        if due && self.report.sent < self.count {
            let bytes = write(flow, self.report.sent, self.size);
            if socket.send_slice(&bytes, self.to).is_ok() {
                self.report.sent += 1;
                self.report.sent_bytes += bytes.len() as u64;
                busy = true;
            }
            let last = self.report.sent == self.count;
            self.next = Some(now + if last { self.patience } else { self.interval });
        } else if due || self.report.received == self.count {
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

fn bound(
    handle: &mut Option<SocketHandle>,
    stack: &mut Stack,
    port: u16,
) -> Result<SocketHandle, String> {
    if let Some(handle) = *handle {
        return Ok(handle);
    }
    let buffer = || PacketBuffer::new(vec![PacketMetadata::EMPTY; SLOTS], vec![0; SLOTS * 1500]);
    let mut socket = udp::Socket::new(buffer(), buffer());
    socket.bind(port).map_err(|error| format!("cannot bind: {error:?}"))?;
    let new = stack.sockets.add(socket);
    *handle = Some(new);
    Ok(new)
}

fn write(flow: u32, sequence: u64, size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size.max(HEAD)];
    bytes[..4].copy_from_slice(&flow.to_be_bytes());
    bytes[4..HEAD].copy_from_slice(&sequence.to_be_bytes());
    pattern(flow, sequence << 16, &mut bytes[HEAD..]);
    bytes
}

fn read(bytes: &[u8]) -> Option<(u32, u64)> {
    let (head, body) = bytes.split_at_checked(HEAD)?;
    let flow = u32::from_be_bytes(*head.first_chunk::<4>()?);
    let sequence = u64::from_be_bytes(*head.last_chunk::<8>()?);
    // A sequence number beyond this is damage.
    let plausible = sequence < 1 << 24;
    let intact = plausible && first_difference(flow, sequence << 16, body).is_none();
    intact.then_some((flow, sequence))
}
