//! The endpoint of remote access with a client that means well, and others who do what the input says: bytes before
//! TLS and in it, frames of a client that is logged in, datagrams, time.

use std::{io::Write as _, time::Duration};

use anyconnect::{ClientId, ConnId, cstp::Kind};

use crate::{
    input::Input,
    remote_pair::{HOME, Pair, path},
};

/// Steps of one input.
const MOST_STEPS: usize = 64;

/// What clients say in their requests, mostly; the rest is the input's.
const LINES: [&str; 12] = [
    "POST / HTTP/1.1\r\nHost: gw.test\r\n",
    "POST /auth HTTP/1.1\r\nHost: gw.test\r\n",
    "GET / HTTP/1.1\r\nHost: gw.test\r\n",
    "CONNECT /CSCOSSLC/tunnel HTTP/1.1\r\nHost: gw.test\r\n",
    "Content-Length: 0\r\n\r\n",
    "Transfer-Encoding: chunked\r\n\r\n",
    "Content-Length: 31\r\n\r\nusername=alice&password=secret1",
    "Cookie: webvpn=",
    "X-DTLS-CipherSuite: PSK-NEGOTIATE\r\n",
    "X-CSTP-Base-MTU: 1500\r\nX-CSTP-Address-Type: IPv6,IPv4\r\n",
    "\r\n",
    "0\r\n\r\n",
];

struct Scene<'a> {
    pair: Pair,
    input: Input<'a>,
    /// Connections with TLS.
    conns: Vec<ConnId>,
    /// Connections of strangers, who send anything.
    raw: Vec<ConnId>,
    /// The one who means well: what it sends must arrive.
    good: (ConnId, ClientId),
    good_cookie: String,
    /// Of another user, who does what the input says.
    cookie: String,
    understood: bool,
}

/// Runs what the bytes say. In the end the client that meant well is still served, and nothing of the others is left for ever.
/// Says whether somebody got as far as an answer.
pub fn remote_endpoint(bytes: &[u8]) -> bool {
    let mut pair = Pair::with(|settings, _| {
        settings.limits.clients_per_user = 4;
    });
    let (conn, good_cookie, client) = pair.established("bob");
    let other = pair.connect(HOME);
    let cookie = pair.log_in(other, "alice");
    let mut scene = Scene {
        pair,
        input: Input::new(bytes),
        conns: Vec::new(),
        raw: Vec::new(),
        good: (conn, client),
        good_cookie,
        cookie,
        understood: false,
    };
    for _ in 0..MOST_STEPS {
        if scene.input.is_empty() {
            break;
        }
        scene.step();
        scene.good_is_served();
    }
    let Scene { mut pair, understood, good, .. } = scene;
    // strangers are not kept; the good one keeps itself alive
    for _ in 0..40 {
        pair.pass(Duration::from_secs(30));
        pair.send(good.0, Kind::Keepalive, &[]);
    }
    let connections = pair.endpoint.connections();
    let tunnels = pair.endpoint.views().filter(|v| v.channel.is_some()).count();
    assert!(connections <= tunnels, "{connections} connections for {tunnels} tunnels");
    assert!(pair.endpoint.views().any(|view| view.client == good.1), "the good client is gone");
    understood
}

impl Scene<'_> {
    fn step(&mut self) {
        match self.input.below(10) {
            0 => {
                let now = self.pair.now;
                let remote = format!(
                    "203.0.113.{}:{}",
                    self.input.byte(),
                    1024 + u32::from(self.input.u16()) / 2
                );
                if let Ok(conn) = self.pair.endpoint.handle_connected(now, path(&remote)) {
                    self.raw.push(conn);
                }
            }
            1 => {
                let index = usize::from(self.input.byte());
                let length = usize::from(self.input.u16() % 2_000);
                let bytes = self.input.take(length).to_vec();
                if let Some(conn) = pick(&self.raw, index) {
                    let mut sink = |_: ClientId, _: &[u8]| {};
                    self.pair.endpoint.handle_stream(self.pair.now, conn, &bytes, &mut sink);
                    self.pair.run();
                }
            }
            2 | 3 => {
                if self.conns.len() < 8 {
                    let conn = self.pair.connect(HOME);
                    self.conns.push(conn);
                }
            }
            4..=6 => self.say(),
            7 => {
                let index = usize::from(self.input.byte());
                let kind = Kind::ALL[self.input.below(Kind::ALL.len())];
                let payload = self.input.string().to_vec();
                let frame = [&kind.header(payload.len())[..], &payload].concat();
                self.tell(index, &frame);
            }
            8 => {
                let remote = format!(
                    "203.0.113.{}:{}",
                    self.input.byte(),
                    1024 + u32::from(self.input.u16()) / 2
                );
                let bytes = self.input.string().to_vec();
                let sent = self.pair.datagrams.len();
                let _ = self.pair.datagram(remote.parse().expect("an address"), &bytes);
                let answers: usize =
                    self.pair.datagrams.iter().skip(sent).map(|d| d.bytes.len()).sum();
                assert!(answers <= bytes.len().max(64), "{answers} bytes for {}", bytes.len());
            }
            _ => {
                let times = [1, 100, 1_000, 5_000, 20_000];
                self.pair.pass(Duration::from_millis(times[self.input.below(times.len())]));
            }
        }
    }

    /// Lines of a request, or anything.
    fn say(&mut self) {
        let index = usize::from(self.input.byte());
        let mut text = Vec::new();
        for _ in 0..1 + self.input.below(6) {
            match self.input.below(LINES.len() + 3) {
                n if n < LINES.len() => text.extend(LINES[n].as_bytes()),
                n if n == LINES.len() => text.extend(self.cookie.as_bytes()),
                _ => text.extend(self.input.string()),
            }
        }
        self.tell(index, &text);
    }

    /// A client of ours says it in TLS.
    fn tell(&mut self, index: usize, text: &[u8]) {
        let Some(conn) = pick(&self.conns, index) else { return };
        let client = self.pair.client(conn);
        client.text.clear();
        if client.closed || client.tls.writer().write_all(text).is_err() {
            return;
        }
        self.pair.run();
        self.understood |= self.pair.client(conn).text.starts_with(b"HTTP/1.1 2");
    }

    fn good_is_served(&mut self) {
        let (conn, client) = self.good;
        if self.pair.is_closed(conn) {
            // it said nothing for too long, in which nothing is wrong
            let (again, cookie) = (self.pair.connect(HOME), self.good_cookie.clone());
            let answer = self.pair.tunnel(again, &cookie, "");
            assert!(answer.starts_with("HTTP/1.1 200 CONNECTED\r\n"), "{answer}");
            self.good.0 = again;
            return;
        }
        let before = self.pair.packets.len();
        self.pair.send(conn, Kind::Data, b"E, a packet of one who means well");
        let came = self.pair.packets[before..].iter().any(|(from, _)| *from == client);
        assert!(came, "what the good client sends is lost");
    }
}

fn pick(of: &[ConnId], index: usize) -> Option<ConnId> {
    of.get(index.checked_rem(of.len())?).copied()
}
