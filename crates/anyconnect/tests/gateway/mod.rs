//! An endpoint over real sockets, in one thread with jobs inline. Inside of the tunnels it answers pings
//! itself, so no packet needs a route.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::{
    collections::BTreeMap,
    io::{ErrorKind, Read as _, Write as _},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use dtls::Path;
use lockgate_anyconnect::{
    Channel, ClientView, ConnId, Endpoint, Event, Grant, Settings, TunnelSettings,
};
use mio::{
    Events, Interest, Poll, Token,
    net::{TcpListener, TcpStream, UdpSocket},
};
use wire::Time;

use crate::pair::Chaos;

/// What every client gets.
const INNER: &str = "10.99.0.50";
const PATIENCE: Duration = Duration::from_secs(60);

const LISTENER: Token = Token(0);
const DATAGRAMS: Token = Token(1);
const FIRST_STREAM: usize = 2;

/// An endpoint with its sockets.
pub struct Gateway {
    pub endpoint: Endpoint,
    poll: Poll,
    listener: TcpListener,
    datagrams: UdpSocket,
    pub streams: BTreeMap<usize, Stream>,
    tokens: BTreeMap<ConnId, usize>,
    next: usize,
    start: Instant,
    pub tunnel: TunnelSettings,
    pub events: Vec<Event>,
    /// Datagrams are neither taken nor sent.
    pub udp_is_blocked: bool,
    pub pings: [u64; 2],
}

pub struct Stream {
    tcp: TcpStream,
    pub conn: ConnId,
    /// What the endpoint has not taken.
    unread: Vec<u8>,
}

impl Gateway {
    pub fn new(settings: Settings, address: &str) -> Self {
        let seed =
            SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos() as u64;
        let rngs = [Box::new(Chaos(seed)), Box::new(Chaos(!seed))];
        let [rng, dtls_rng] = rngs;
        let endpoint = Endpoint::new(settings, dtls::Settings::default(), rng, dtls_rng);
        let address: SocketAddr = address.parse().expect("an address");
        let poll = Poll::new().expect("epoll");
        let mut listener = TcpListener::bind(address).expect("a TCP port");
        // the same port, if any was good
        let address = listener.local_addr().expect("bound");
        let mut datagrams = UdpSocket::bind(address).expect("a UDP port");
        let registry = poll.registry();
        registry.register(&mut listener, LISTENER, Interest::READABLE).expect("registered");
        registry.register(&mut datagrams, DATAGRAMS, Interest::READABLE).expect("registered");
        Self {
            endpoint,
            poll,
            listener,
            datagrams,
            streams: BTreeMap::new(),
            tokens: BTreeMap::new(),
            next: FIRST_STREAM,
            start: Instant::now(),
            tunnel: TunnelSettings::default(),
            events: Vec::new(),
            udp_is_blocked: false,
            pings: [0; 2],
        }
    }

    /// Where it serves.
    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().expect("bound")
    }

    pub fn now(&self) -> Time {
        Time::ZERO + self.start.elapsed()
    }

    /// Serves until `done`, which has to come.
    pub fn serve_until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let begin = Instant::now();
        while !done(self) {
            assert!(begin.elapsed() < PATIENCE, "waited in vain: {what}; {:?}", self.events);
            self.serve();
        }
    }

    fn serve(&mut self) {
        let mut events = Events::with_capacity(64);
        let due = self.endpoint.poll_timeout().map(|at| at.since(self.now()));
        // processes that end are not among the events
        let wait = due.unwrap_or(Duration::MAX).min(Duration::from_millis(20));
        match self.poll.poll(&mut events, Some(wait)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return,
            other => other.expect("epoll"),
        }
        for event in &events {
            match event.token() {
                LISTENER => self.accept(),
                DATAGRAMS => self.receive(),
                Token(stream) => self.stream(stream),
            }
        }
        let now = self.now();
        self.endpoint.handle_timeout(now);
        self.settle();
    }

    fn accept(&mut self) {
        while let Ok((mut tcp, remote)) = self.listener.accept() {
            tcp.set_nodelay(true).expect("set");
            let path = Path { local: tcp.local_addr().expect("bound"), remote };
            let conn = self.endpoint.handle_connected(self.now(), path).expect("taken");
            let token = self.next;
            self.next += 1;
            let both = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut tcp, Token(token), both).expect("registered");
            self.tokens.insert(conn, token);
            self.streams.insert(token, Stream { tcp, conn, unread: Vec::new() });
        }
    }

    fn receive(&mut self) {
        let mut buffer = [0; 2048];
        while let Ok((len, remote)) = self.datagrams.recv_from(&mut buffer) {
            if self.udp_is_blocked {
                continue;
            }
            let path = Path { local: self.datagrams.local_addr().expect("bound"), remote };
            let now = self.now();
            let mut inner = Vec::new();
            let mut sink = |client, packet: &[u8]| inner.push((client, packet.to_vec()));
            // late records of an association that is over are nothing to worry about
            let _ = self.endpoint.handle_datagram(now, path, &mut buffer[..len], &mut sink);
            self.echo(inner);
        }
    }

    fn stream(&mut self, token: usize) {
        let Some(stream) = self.streams.get_mut(&token) else { return };
        let mut closed = false;
        let mut buffer = [0; 16_384];
        while stream.unread.len() < 65_536 {
            match stream.tcp.read(&mut buffer) {
                Ok(0) => closed = true,
                Ok(len) => {
                    stream.unread.extend_from_slice(&buffer[..len]);
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => closed = true,
            }
            break;
        }
        let conn = stream.conn;
        self.feed(token);
        if closed {
            let now = self.now();
            self.endpoint.handle_closed(now, conn);
            self.close(token);
        }
    }

    fn feed(&mut self, token: usize) {
        let now = self.now();
        let Some(stream) = self.streams.get_mut(&token) else { return };
        let mut inner = Vec::new();
        let mut sink = |client, packet: &[u8]| inner.push((client, packet.to_vec()));
        let taken = self.endpoint.handle_stream(now, stream.conn, &stream.unread, &mut sink);
        stream.unread.drain(..taken);
        if stream.unread.is_empty() {
            // idle connections keep no room
            stream.unread = Vec::new();
        }
        while !self.endpoint.output(stream.conn).is_empty() {
            match stream.tcp.write(self.endpoint.output(stream.conn)) {
                Ok(len) => self.endpoint.handle_sent(stream.conn, len),
                Err(_) => break,
            }
        }
        let finished = self.endpoint.is_finished(stream.conn);
        self.echo(inner);
        if finished {
            self.close(token);
        }
    }

    pub fn close(&mut self, token: usize) {
        if let Some(mut stream) = self.streams.remove(&token) {
            self.tokens.remove(&stream.conn);
            let _ = self.poll.registry().deregister(&mut stream.tcp);
        }
    }

    /// Takes what the endpoint has.
    fn settle(&mut self) {
        loop {
            let mut quiet = true;
            while let Some(job) = self.endpoint.poll_job() {
                let done = job.run();
                let now = self.now();
                self.endpoint.handle_job_done(now, done);
                quiet = false;
            }
            while let Some(event) = self.endpoint.poll_event() {
                quiet = false;
                if let Event::AddressWanted(wanted) = &event {
                    let (now, client) = (self.now(), wanted.client);
                    let grant = Grant {
                        ipv4: Some((INNER.parse().expect("an address"), 24)),
                        ipv6: Some(("2001:db8:99::50".parse().expect("an address"), 64)),
                        tunnel: Arc::new(self.tunnel.clone()),
                    };
                    self.endpoint.handle_grant(now, client, Ok(grant));
                }
                self.events.push(event);
            }
            while let Some(datagram) = self.endpoint.poll_datagram() {
                if !self.udp_is_blocked {
                    let _ = self.datagrams.send_to(&datagram.bytes, datagram.path.remote);
                }
            }
            while let Some(conn) = self.endpoint.poll_ready() {
                quiet = false;
                if let Some(token) = self.tokens.get(&conn).copied() {
                    self.feed(token);
                }
            }
            if quiet {
                return;
            }
        }
    }

    /// Answers the pings among packets.
    fn echo(&mut self, packets: Vec<(lockgate_anyconnect::ClientId, Vec<u8>)>) {
        let now = self.now();
        for (client, mut packet) in packets {
            if packet.len() < 28 || packet[0] != 0x45 || packet[9] != 1 || packet[20] != 8 {
                continue;
            }
            for at in 12..16 {
                packet.swap(at, at + 4);
            }
            packet[20] = 0;
            packet[22..24].fill(0);
            let sum: u32 = packet[20..]
                .chunks(2)
                .map(|pair| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u32::from(*low)))
                .sum();
            let sum = (sum & 0xffff) + (sum >> 16);
            packet[22..24].copy_from_slice(&(!(sum + (sum >> 16)) as u16).to_be_bytes());
            let channel = self.endpoint.handle_packet(now, client, &packet).expect("sent");
            self.pings[usize::from(channel == Channel::Dtls)] += 1;
        }
    }

    pub fn client(&self) -> Option<ClientView> {
        self.endpoint.views().find(|view| view.channel.is_some())
    }

    pub fn has(&self, wanted: impl Fn(&Event) -> bool) -> bool {
        self.events.iter().any(wanted)
    }
}
