//! Clients, strangers and an owner who do whatever comes to their minds: nobody panics, memory stays bounded,
//! events make sense in their order, and in the end nothing is kept.
//!
//! `LOCKGATE_ANYCONNECT_RUNS=10000` does more runs; `LOCKGATE_ANYCONNECT_SEED=208
//! LOCKGATE_ANYCONNECT_RUNS=1` repeats one.

extern crate dtls as lockgate_dtls;

#[path = "../../dtls/tests/common/mod.rs"]
mod dtls_client;
mod pair;

use std::{collections::BTreeMap, io::Write as _, time::Duration};

use dtls::Suite;
use dtls_client::{Client, Offer};
use lockgate_anyconnect::{Channel, ClientId, ConnId, Event, Group, NotSent, cstp::Kind};
use pair::{Chaos, Pair};

/// What an owner knows of a client by events alone.
#[derive(Default)]
struct Known {
    connected: bool,
    dtls: bool,
    association: bool,
}

struct Run {
    pair: Pair,
    chaos: Chaos,
    conns: Vec<ConnId>,
    cookies: Vec<String>,
    clients: BTreeMap<ClientId, Known>,
    dtls: Vec<Client>,
    /// How often what was reached.
    reached: BTreeMap<&'static str, u64>,
}

#[test]
fn whatever_happens_makes_sense() {
    let variable = |name: &str| std::env::var(name).ok().and_then(|v| v.parse::<u64>().ok());
    let first = variable("LOCKGATE_ANYCONNECT_SEED").unwrap_or(0);
    let runs = variable("LOCKGATE_ANYCONNECT_RUNS").unwrap_or(60);
    let mut reached = BTreeMap::new();
    for seed in first..first + runs {
        let outcome = std::panic::catch_unwind(|| run(seed));
        let one = outcome.unwrap_or_else(|_| panic!("seed {seed}"));
        for (what, count) in one {
            *reached.entry(what).or_insert(0) += count;
        }
    }
    if runs >= 60 {
        for what in [
            "login",
            "failed",
            "locked",
            "connected",
            "again",
            "association",
            "moved",
            "disconnected",
            "ended",
            "request refused",
            "handshake failed",
            "full",
        ] {
            assert!(reached.contains_key(what), "{what} is not reached: {reached:?}");
        }
    }
}

fn run(seed: u64) -> BTreeMap<&'static str, u64> {
    let mut chaos = Chaos(seed);
    let choices = (chaos.below(4), chaos.below(2) == 0);
    let mut pair = Pair::with(|settings, _| {
        settings.limits.clients_per_user = 3;
        settings.limits.connections = 12;
        settings.limits.logins = 2;
        settings.lockout.per_user = 2;
        settings.lockout.duration = Duration::from_secs(20);
        settings.bind_address = choices.1;
        if choices.0 == 0 {
            settings.groups = vec![Group { name: "staff".into(), label: String::new() }];
        }
    });
    pair.tunnel.idle_timeout = (chaos.below(2) == 0).then_some(Duration::from_secs(90));
    pair.tunnel.session_timeout = (chaos.below(3) == 0).then_some(Duration::from_secs(200));
    let mut run = Run {
        pair,
        chaos,
        conns: Vec::new(),
        cookies: Vec::new(),
        clients: BTreeMap::new(),
        dtls: Vec::new(),
        reached: BTreeMap::new(),
    };
    for _ in 0..120 {
        run.step();
        run.look();
    }
    for conn in run.conns.clone() {
        run.pair.client(conn).reads = true;
    }
    run.pair.piece = usize::MAX;
    run.pair.pass(Duration::from_secs(2000));
    run.look();
    let left = (run.pair.endpoint.connections(), run.pair.endpoint.views().count());
    assert_eq!(left, (0, 0));
    assert_eq!(run.pair.endpoint.poll_timeout(), None);
    assert!(run.clients.is_empty(), "every client has ended");
    run.reached
}

impl Run {
    fn below(&mut self, bound: u64) -> u64 {
        self.chaos.below(bound)
    }

    fn remote(&mut self) -> String {
        let (host, port) = (self.below(3), 50_000 + self.below(1000));
        format!("198.51.100.{host}:{port}")
    }

    fn pick(&mut self) -> Option<ConnId> {
        let count = self.conns.len() as u64;
        (count > 0).then(|| self.conns[self.chaos.below(count) as usize])
    }

    fn cookie(&mut self) -> String {
        match self.cookies.len() as u64 {
            0 => "0".repeat(80),
            count => self.cookies[self.chaos.below(count) as usize].clone(),
        }
    }

    fn noise(&mut self, most: u64) -> Vec<u8> {
        let len = self.below(most);
        (0..len).map(|_| self.chaos.below(256) as u8).collect()
    }

    /// Something of a client's, which it says if it can.
    fn say(&mut self, text: &[u8]) {
        let Some(conn) = self.pick() else { return };
        let client = self.pair.client(conn);
        // what a client that was sent away has to say does not matter
        let _ = client.tls.writer().write_all(text);
        self.pair.run();
        let text = String::from_utf8_lossy(&self.pair.client(conn).text).into_owned();
        if let Some(cookie) = pair::cookie_of(&text) {
            self.cookies.push(cookie);
            self.pair.client(conn).text.clear();
        }
    }

    fn step(&mut self) {
        match self.below(24) {
            0..3 => self.connect(),
            3 => {
                let noise = self.noise(300);
                self.say(&noise);
            }
            4..6 => {
                let password = if self.below(3) == 0 { "wrong" } else { "secret1" };
                let user = ["alice", "bob", "down"][self.below(3) as usize];
                let form = format!("username={user}&password={password}");
                let len = form.len();
                let text =
                    format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {len}\r\n\r\n{form}");
                self.say(text.as_bytes());
            }
            6..8 => self.tunnel(),
            8..11 => {
                let kind = [0, 0, 0, 3, 4, 5, 7, 8, 9, 77][self.below(10) as usize];
                let payload = self.noise(600);
                let mut frame = Kind::Data.header(payload.len()).to_vec();
                frame[6] = kind;
                frame.extend(payload);
                let len = if self.below(10) == 0 {
                    self.below(frame.len() as u64) as usize
                } else {
                    frame.len()
                };
                self.say(&frame[..len]);
            }
            11 => {
                let secs = self.below(40);
                self.pair.pass(Duration::from_secs(secs));
            }
            12 => {
                if let Some(conn) = self.pick() {
                    let now = self.pair.now;
                    self.pair.endpoint.handle_closed(now, conn);
                    self.pair.run();
                }
            }
            13..16 => self.down(),
            16 => {
                let now = self.pair.now;
                let clients: Vec<_> = self.clients.keys().copied().collect();
                if let Some(client) = clients.get(self.below(4) as usize) {
                    self.pair.endpoint.disconnect(now, *client);
                    self.pair.run();
                }
            }
            17 => {
                if let Some(conn) = self.pick() {
                    let reads = self.below(3) > 0;
                    self.pair.client(conn).reads = reads;
                    self.pair.run();
                }
            }
            18 => {
                self.pair.piece = [1, 10, 100, 1000, usize::MAX][self.below(5) as usize];
            }
            19 => self.stranger(),
            20..23 => self.dtls(),
            _ => {
                let remote = self.remote().parse().unwrap();
                let noise = self.noise(200);
                // nobody knows what it is
                let _ = self.pair.datagram(remote, &noise);
            }
        }
    }

    fn connect(&mut self) {
        let remote = self.remote();
        // as many as there may be, and more
        if self.pair.endpoint.connections() < 12 {
            let conn = self.pair.connect(&remote);
            self.conns.push(conn);
        } else {
            let now = self.pair.now;
            self.pair.endpoint.handle_connected(now, pair::path(&remote)).unwrap_err();
        }
    }

    fn tunnel(&mut self) {
        let Some(conn) = self.pick() else { return };
        let cookie = self.cookie();
        self.pair.grants = self.below(8) > 0;
        let request = format!(
            "CONNECT /CSCOSSLC/tunnel HTTP/1.1\r\nHost: a\r\nCookie: webvpn={cookie}\r\n\
             X-CSTP-Base-MTU: 1500\r\nX-DTLS-CipherSuite: PSK-NEGOTIATE\r\n\r\n"
        );
        let _ = self.pair.client(conn).tls.writer().write_all(request.as_bytes());
        self.pair.run();
        let now = self.pair.now;
        if !self.pair.grants
            && let Some(wanted) = self.pair.wanted.last().map(|wanted| wanted.client)
        {
            let grant = if self.below(2) == 0 {
                Err("full".to_owned())
            } else {
                Ok(self.pair.grant(wanted))
            };
            self.pair.endpoint.handle_grant(now, wanted, grant);
            self.pair.grants = true;
            self.pair.run();
        }
        let client = self.pair.client(conn);
        let text = String::from_utf8_lossy(&client.text).into_owned();
        let Some((_, rest)) = text.split_once("X-DTLS-App-ID: ") else { return };
        client.text.clear();
        let hex = |i: usize| u8::from_str_radix(&rest[2 * i..][..2], 16).unwrap();
        let session_id = (0..32).map(hex).collect();
        let psk = client.tls.export_keying_material([0; 32], b"EXPORTER-openconnect-psk", None);
        let psk = psk.unwrap().to_vec();
        let offer = Offer { session_id, psk, ..Offer::psk(Suite::PSK_CHACHA20_POLY1305) };
        let (remote, seed) = (self.remote(), self.below(u64::MAX));
        self.dtls.push(Client::new(seed, &remote, offer));
    }

    fn down(&mut self) {
        let clients: Vec<_> = self.clients.keys().copied().collect();
        let Some(client) = clients.get(self.below(4) as usize).copied() else { return };
        let known = &self.clients[&client];
        let (connected, dtls) = (known.connected, known.dtls);
        let packet = vec![7; 1 + self.chaos.below(1400) as usize];
        // now and then many at once, which nobody reads meanwhile
        for _ in 0..[1, 1, 1, 500][self.chaos.below(4) as usize] {
            match self.pair.packet(client, &packet) {
                Ok(Channel::Dtls) => assert!(dtls),
                Ok(Channel::Cstp) => assert!(connected && !dtls),
                Err(NotSent::Full) => *self.reached.entry("full").or_insert(0) += 1,
                Err(NotSent::NoTunnel) => assert!(!connected),
                Err(other) => panic!("{other}"),
            }
        }
        self.pair.run();
    }

    fn stranger(&mut self) {
        let remote = self.remote();
        let now = self.pair.now;
        let Ok(conn) = self.pair.endpoint.handle_connected(now, pair::path(&remote)) else {
            return;
        };
        let mut noise = self.noise(500);
        if self.below(2) == 0 {
            noise.splice(0..0, [22, 3, 1, 0, self.chaos.below(256) as u8]);
        }
        let mut none = |_, _: &[u8]| panic!("a stranger is no client");
        self.pair.endpoint.handle_stream(now, conn, &noise, &mut none);
        self.pair.run();
        let output = self.pair.endpoint.output(conn).len();
        self.pair.endpoint.handle_sent(conn, output);
    }

    /// Datagrams of somebody who had a tunnel once, and answers to them.
    fn dtls(&mut self) {
        let count = self.dtls.len() as u64;
        if count == 0 {
            return;
        }
        let at = self.below(count) as usize;
        let bytes = match self.dtls[at].is_done() {
            true => {
                let mut text = self.noise(300);
                text.insert(0, [0, 0, 0, 3, 4, 5, 7, 8, 9][self.chaos.below(9) as usize]);
                self.dtls[at].seal(&text)
            }
            false => self.dtls[at].start(),
        };
        let remote = self.dtls[at].remote();
        // it may be over long since
        let _ = self.pair.datagram(remote, &bytes);
        while let Some(datagram) = self.pair.datagrams.pop_front() {
            for client in &mut self.dtls {
                if client.remote() == datagram.path.remote {
                    for answer in client.handle(&datagram.bytes) {
                        let _ = self.pair.datagram(client.remote(), &answer);
                    }
                }
            }
        }
    }

    /// What the owner hears, and what it costs.
    fn look(&mut self) {
        for event in self.pair.events() {
            let word = match event {
                Event::LoginSucceeded { client, .. } => {
                    assert!(self.clients.insert(client, Known::default()).is_none());
                    "login"
                }
                Event::LoginFailed { .. } => "failed",
                Event::UserLocked { .. } => "locked",
                Event::Connected(connected) => {
                    let known = self.clients.get_mut(&connected.client).expect("logged in");
                    assert!(!known.association && !known.dtls);
                    known.connected = true;
                    if connected.again { "again" } else { "connected" }
                }
                Event::AssociationReady(ready) => {
                    let known = self.clients.get_mut(&ready.client).expect("logged in");
                    assert!(known.connected && !known.association);
                    known.association = true;
                    "association"
                }
                Event::AssociationGone { client, .. } => {
                    let known = self.clients.get_mut(&client).expect("logged in");
                    assert!(known.association && !known.dtls, "the channel moves before");
                    known.association = false;
                    "gone"
                }
                Event::ChannelMoved { client, channel } => {
                    let known = self.clients.get_mut(&client).expect("logged in");
                    assert!(known.association && known.dtls == (channel == Channel::Cstp));
                    known.dtls = channel == Channel::Dtls;
                    "moved"
                }
                Event::Disconnected { client, .. } => {
                    let known = self.clients.get_mut(&client).expect("logged in");
                    assert!(known.connected && !known.association);
                    known.connected = false;
                    "disconnected"
                }
                Event::Ended { client, .. } => {
                    let known = self.clients.remove(&client).expect("logged in");
                    assert!(!known.connected && !known.association);
                    "ended"
                }
                Event::HandshakeFailed { .. } => "handshake failed",
                Event::RequestRefused { .. } => "request refused",
                Event::AssociationFailed { .. } => "association failed",
                Event::AssociationMoved { .. } => "association moved",
                Event::AddressWanted(_) => unreachable!("answered before"),
            };
            *self.reached.entry(word).or_insert(0) += 1;
        }
        assert!(self.pair.endpoint.connections() <= 12);
        for conn in &self.conns {
            let waiting = self.pair.endpoint.output(*conn).len();
            assert!(waiting < 160 * 1024, "{waiting} bytes for a client that does not read");
        }
        for view in self.pair.endpoint.views() {
            let known = &self.clients[&view.client];
            assert_eq!(view.channel.is_some(), known.connected);
            assert_eq!(view.channel == Some(Channel::Dtls), known.dtls);
            assert_eq!(view.association.is_some(), known.association);
        }
        assert_eq!(self.pair.endpoint.views().count(), self.clients.len());
    }
}
