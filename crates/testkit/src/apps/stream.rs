//! A TCP server and client that check every byte.
//!
//! The client says in 16 bytes what it wants: an operation, a seed, a length. Then one of them sends
//! the stream of that seed, or the server sends back what it gets.

use core::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use smoltcp::{
    iface::SocketHandle,
    socket::tcp::{self, SocketBuffer, State},
};
use wire::Time;

use super::{App, Report, first_difference, pattern};
use crate::sim::Stack;

/// Bytes of each socket buffer.
const BUFFER: usize = 65_535;
/// Bytes of the client's wish.
const WISH: usize = 16;
/// Bytes moved at once.
const PIECE: usize = 4096;
/// Connections a server waits for at once.
const BACKLOG: usize = 8;

/// What a client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// The server sends this many bytes.
    Download(u64),
    /// The client sends this many bytes; the server says that it got them.
    Upload(u64),
    /// The client sends this many bytes and gets them back.
    Echo(u64),
}

impl Work {
    const fn code(self) -> u8 {
        match self {
            Self::Download(_) => 1,
            Self::Upload(_) => 2,
            Self::Echo(_) => 3,
        }
    }

    const fn length(self) -> u64 {
        match self {
            Self::Download(n) | Self::Upload(n) | Self::Echo(n) => n,
        }
    }
}

/// Serves [`StreamClient`]s on a port, for ever.
pub struct StreamServer {
    port: u16,
    listening: Vec<SocketHandle>,
    serving: Vec<Served>,
    report: Report,
}

struct Served {
    handle: SocketHandle,
    wish: Vec<u8>,
    work: Option<(Work, u32)>,
    received: u64,
    sent: u64,
    pending: Vec<u8>,
}

impl StreamServer {
    /// A server on `port`.
    pub fn new(port: u16) -> Self {
        Self { port, listening: Vec::new(), serving: Vec::new(), report: Report::default() }
    }
}

impl App for StreamServer {
    fn poll(&mut self, stack: &mut Stack, _: Time) -> bool {
        let mut busy = false;
        while self.listening.len() < BACKLOG {
            let mut socket = socket();
            if let Err(error) = socket.listen(self.port) {
                self.report.fail(format!("cannot listen: {error:?}"));
                return false;
            }
            self.listening.push(stack.sockets.add(socket));
            busy = true;
        }
        let sockets = &mut stack.sockets;
        let (report, serving) = (&mut self.report, &mut self.serving);
        self.listening.retain(|&handle| {
            let socket = sockets.get::<tcp::Socket<'_>>(handle);
            if socket.state() == State::Listen || socket.state() == State::SynReceived {
                return true;
            }
            busy = true;
            report.connections += 1;
            report.peer = socket.remote_endpoint().map(address);
            serving.push(Served {
                handle,
                wish: Vec::new(),
                work: None,
                received: 0,
                sent: 0,
                pending: Vec::new(),
            });
            false
        });
        serving.retain_mut(|served| {
            let socket = sockets.get_mut::<tcp::Socket<'_>>(served.handle);
            busy |= served.poll(socket, report);
            let over = matches!(socket.state(), State::Closed | State::TimeWait);
            if over {
                report.finished += 1;
                sockets.remove(served.handle);
            }
            !over
        });
        busy
    }

    fn report(&self) -> &Report {
        &self.report
    }
}

impl Served {
    fn poll(&mut self, socket: &mut tcp::Socket<'_>, report: &mut Report) -> bool {
        let mut busy = false;
        while self.work.is_none() {
            let missing = WISH - self.wish.len();
            let mut buffer = [0; WISH];
            match socket.recv_slice(&mut buffer[..missing]) {
                Ok(n) if n > 0 => self.wish.extend(&buffer[..n]),
                Ok(_) | Err(_) => break,
            }
            busy = true;
            if let Ok(wish) = <[u8; WISH]>::try_from(self.wish.as_slice()) {
                self.work = read_wish(wish);
                if self.work.is_none() {
                    report.fail("a client's wish makes no sense");
                    socket.abort();
                    return true;
                }
            }
        }
        match self.work {
            Some((Work::Download(length), seed)) => {
                busy |= send_pattern(socket, seed, &mut self.sent, length, report);
                if self.sent == length && socket.may_send() {
                    socket.close();
                    busy = true;
                }
            }
            Some((Work::Upload(length), seed)) => {
                busy |= receive_pattern(socket, seed, &mut self.received, report);
                if self.received == length && self.sent == 0 && socket.can_send() {
                    busy = true;
                    self.sent = socket.send_slice(b"received").unwrap_or(0) as u64;
                    socket.close();
                }
            }
            Some((Work::Echo(length), _)) => busy |= self.echo(socket, length, report),
            None => {}
        }
        // The client has closed, or gave up before it said what it wants.
        if socket.state() == State::CloseWait && self.pending.is_empty() && socket.may_send() {
            socket.close();
            busy = true;
        }
        busy
    }

    fn echo(&mut self, socket: &mut tcp::Socket<'_>, length: u64, report: &mut Report) -> bool {
        let mut busy = false;
        loop {
            if self.pending.is_empty() && socket.can_recv() {
                self.pending.resize(PIECE, 0);
                let n = socket.recv_slice(&mut self.pending).unwrap_or(0);
                self.pending.truncate(n);
                self.received += n as u64;
                report.received_bytes += n as u64;
            }
            if self.pending.is_empty() || !socket.can_send() {
                break;
            }
            let n = socket.send_slice(&self.pending).unwrap_or(0);
            self.pending.drain(..n);
            self.sent += n as u64;
            report.sent_bytes += n as u64;
            busy |= n > 0;
        }
        if self.sent == length && length > 0 && socket.may_send() {
            socket.close();
            busy = true;
        }
        busy
    }
}

/// Opens one connection, does its work, closes.
pub struct StreamClient {
    to: SocketAddr,
    from_port: u16,
    work: Work,
    seed: u32,
    /// Bytes at once, and how often: an upload or echo that is not as fast as it can be.
    pace: Option<(u64, Duration)>,
    handle: Option<SocketHandle>,
    wished: bool,
    sent: u64,
    received: u64,
    allowed: u64,
    next: Option<Time>,
    report: Report,
}

impl StreamClient {
    /// A client that connects from `from_port`.
    pub fn new(to: impl Into<SocketAddr>, from_port: u16, work: Work) -> Self {
        Self {
            to: to.into(),
            from_port,
            work,
            seed: u32::from(from_port),
            pace: None,
            handle: None,
            wished: false,
            sent: 0,
            received: 0,
            allowed: u64::MAX,
            next: None,
            report: Report::default(),
        }
    }

    /// Sends `bytes` every `interval` only.
    pub const fn paced(mut self, bytes: u64, interval: Duration) -> Self {
        self.pace = Some((bytes, interval));
        self.allowed = 0;
        self
    }

    fn open(&mut self, stack: &mut Stack) {
        let mut socket = socket();
        let local = stack.iface.get_source_address(&self.to.ip().into());
        let Some(local) = local else {
            self.report.fail("no address of that version");
            return;
        };
        let result = socket.connect(stack.iface.context(), self.to, (local, self.from_port));
        if let Err(error) = result {
            self.report.fail(format!("cannot connect: {error:?}"));
            return;
        }
        self.report.connections += 1;
        self.handle = Some(stack.sockets.add(socket));
    }

    fn advance(&mut self, now: Time) {
        let Some((bytes, interval)) = self.pace else { return };
        match self.next {
            None => self.allowed = bytes,
            Some(at) if at <= now => self.allowed = self.allowed.saturating_add(bytes),
            Some(_) => return,
        }
        let left = self.allowed < self.work.length();
        self.next = left.then(|| now + interval);
        if !left {
            self.pace = None;
            self.allowed = u64::MAX;
        }
    }

    fn exchange(&mut self, socket: &mut tcp::Socket<'_>, now: Time) -> bool {
        let mut busy = false;
        if !self.wished && socket.can_send() {
            let wish = write_wish(self.work, self.seed);
            self.wished = socket.send_slice(&wish) == Ok(WISH);
            busy = true;
        }
        if !self.wished {
            return busy;
        }
        self.advance(now);
        let length = self.work.length();
        match self.work {
            Work::Download(_) => {
                busy |= receive_pattern(socket, self.seed, &mut self.received, &mut self.report);
                self.finish_at(socket, self.received, length);
            }
            Work::Upload(_) => {
                let until = length.min(self.allowed);
                busy |= send_pattern(socket, self.seed, &mut self.sent, until, &mut self.report);
                let mut answer = [0; 8];
                if self.sent == length && socket.recv_slice(&mut answer) == Ok(8) {
                    busy = true;
                    self.finish_at(socket, 1, 1);
                }
            }
            Work::Echo(_) => {
                let until = length.min(self.allowed);
                busy |= send_pattern(socket, self.seed, &mut self.sent, until, &mut self.report);
                busy |= receive_pattern(socket, self.seed, &mut self.received, &mut self.report);
                self.finish_at(socket, self.received, length);
            }
        }
        busy
    }

    fn finish_at(&mut self, socket: &mut tcp::Socket<'_>, have: u64, want: u64) {
        if have == want && !self.report.done {
            socket.close();
            self.report.done = true;
            self.report.finished = 1;
        } else if have > want {
            self.report.fail(format!("{have} bytes came, {want} were asked for"));
        }
    }
}

impl App for StreamClient {
    fn poll(&mut self, stack: &mut Stack, now: Time) -> bool {
        let Some(handle) = self.handle else {
            if !self.report.done {
                self.open(stack);
                return true;
            }
            return false;
        };
        let socket = stack.sockets.get_mut::<tcp::Socket<'_>>(handle);
        self.report.peer = socket.remote_endpoint().map(address).or(self.report.peer);
        let busy = !self.report.done && self.exchange(socket, now);
        let state = socket.state();
        if state == State::Closed {
            stack.sockets.remove(handle);
            self.handle = None;
            if !self.report.done {
                let got = self.received;
                self.report.fail(format!("the connection was closed after {got} bytes"));
            }
            return true;
        }
        busy
    }

    fn wake(&self) -> Option<Time> {
        if self.report.done { None } else { self.next }
    }

    fn report(&self) -> &Report {
        &self.report
    }
}

fn socket() -> tcp::Socket<'static> {
    let buffer = || SocketBuffer::new(vec![0; BUFFER]);
    let mut socket = tcp::Socket::new(buffer(), buffer());
    socket.set_nagle_enabled(false);
    socket
}

fn address(endpoint: smoltcp::wire::IpEndpoint) -> SocketAddr {
    SocketAddr::new(IpAddr::from(endpoint.addr), endpoint.port)
}

fn send_pattern(
    socket: &mut tcp::Socket<'_>,
    seed: u32,
    sent: &mut u64,
    until: u64,
    report: &mut Report,
) -> bool {
    let before = *sent;
    while *sent < until && socket.can_send() {
        let n = socket.send(|room| {
            let n = room.len().min((until - *sent) as usize).min(PIECE);
            pattern(seed, *sent, &mut room[..n]);
            (n, n)
        });
        match n {
            Ok(n) if n > 0 => *sent += n as u64,
            Ok(_) | Err(_) => break,
        }
    }
    report.sent_bytes += *sent - before;
    *sent > before
}

fn receive_pattern(
    socket: &mut tcp::Socket<'_>,
    seed: u32,
    received: &mut u64,
    report: &mut Report,
) -> bool {
    let before = *received;
    while socket.can_recv() {
        let got = socket.recv(|bytes| {
            let different = first_difference(seed, *received, bytes);
            (bytes.len(), (bytes.len(), different))
        });
        match got {
            Ok((_, Some(at))) => {
                report.fail(format!("byte {at} of the stream is wrong"));
                socket.abort();
                break;
            }
            Ok((n, None)) => *received += n as u64,
            Err(_) => break,
        }
    }
    report.received_bytes += *received - before;
    *received > before
}

fn write_wish(work: Work, seed: u32) -> [u8; WISH] {
    let mut wish = [0; WISH];
    wish[..3].copy_from_slice(b"SIM");
    wish[3] = work.code();
    wish[4..8].copy_from_slice(&seed.to_be_bytes());
    wish[8..].copy_from_slice(&work.length().to_be_bytes());
    wish
}

fn read_wish(wish: [u8; WISH]) -> Option<(Work, u32)> {
    let [b'S', b'I', b'M', code, s0, s1, s2, s3, length @ ..] = wish else { return None };
    let length = u64::from_be_bytes(length);
    let work = match code {
        1 => Work::Download(length),
        2 => Work::Upload(length),
        3 => Work::Echo(length),
        _ => return None,
    };
    Some((work, u32::from_be_bytes([s0, s1, s2, s3])))
}
