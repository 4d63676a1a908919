//! A small DTLS client, written apart from the server: its key schedule is made of HMAC, its messages are
//! put together by hand. Only records are sealed and opened by the crate under test, with the roles changed.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::{convert::Infallible, net::SocketAddr};

use aead::{Algorithm, Mac, MacAlgorithm, Selection};
use association::KeyMaterial;
use aws_lc_rs::digest;
use lockgate_dtls::{
    Hash, Inbound, Outbound, Path, Secret, Server, Settings, Suite,
    record::{ContentType, RecordKeys, Records},
};
use rand_core::{TryCryptoRng, TryRng};
use wire::Time;

/// SplitMix64; not fit for keys, and not meant to be.
#[derive(Clone)]
pub struct Chaos(pub u64);

impl Chaos {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

impl TryRng for Chaos {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.next() as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.next())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(8) {
            let number = self.next().to_le_bytes();
            chunk.copy_from_slice(&number[..chunk.len()]);
        }
        Ok(())
    }
}

impl TryCryptoRng for Chaos {}

pub const SERVER: &str = "192.0.2.1:443";
pub const PSK: [u8; 32] = [0x5a; 32];
pub const MASTER: [u8; 48] = [0xa5; 48];

pub fn server(seed: u64) -> Server {
    Server::new(Settings::default(), Box::new(Chaos(seed)))
}

pub fn path(remote: &str) -> Path {
    Path { local: SERVER.parse().unwrap(), remote: remote.parse().unwrap() }
}

/// The secrets every test has: session IDs that begin with `r` are resumed with the suite their second byte
/// is the index of, those that begin with `p` have a PSK, others nothing.
pub fn secrets(session_id: &[u8]) -> Option<Secret> {
    match session_id {
        [b'r', suite, ..] => Some(Secret::Resumption {
            master: KeyMaterial::from_bytes(&MASTER),
            suite: *Suite::RESUMED.get(usize::from(*suite))?,
        }),
        [b'p', ..] => Some(Secret::Psk(KeyMaterial::from_bytes(&PSK))),
        _ => None,
    }
}

/// P_hash of RFC 5246 §5 out of HMAC.
pub fn prf(hash: Hash, secret: &[u8], label: &[u8], seed: &[u8], len: usize) -> Vec<u8> {
    let (algorithm, size) = match hash {
        Hash::Sha256 => (MacAlgorithm::Sha256, 32),
        Hash::Sha384 => (MacAlgorithm::Sha384, 48),
    };
    let mac = Mac::new(algorithm, secret);
    let seed = [label, seed].concat();
    let mut a = seed.clone();
    let mut output = Vec::new();
    while output.len() < len {
        let (mut next, mut block) = (vec![0; size], vec![0; size]);
        mac.sign(&[&a], &mut next);
        mac.sign(&[&next, &seed], &mut block);
        output.extend(block);
        a = next;
    }
    output.truncate(len);
    output
}

fn hashed(hash: Hash, text: &[u8]) -> Vec<u8> {
    let algorithm = match hash {
        Hash::Sha256 => &digest::SHA256,
        Hash::Sha384 => &digest::SHA384,
    };
    digest::digest(algorithm, text).as_ref().to_vec()
}

pub fn message(kind: u8, number: u16, body: &[u8]) -> Vec<u8> {
    let len = &(body.len() as u32).to_be_bytes()[1..];
    [&[kind][..], len, &number.to_be_bytes(), &[0, 0, 0], len, body].concat()
}

pub fn clear(content: u8, version: u16, number: u64, text: &[u8]) -> Vec<u8> {
    let mut record = vec![content];
    record.extend(version.to_be_bytes());
    record.extend(number.to_be_bytes());
    record.extend((text.len() as u16).to_be_bytes());
    record.extend(text);
    record
}

/// What a client offers.
#[derive(Clone, Debug)]
pub struct Offer {
    pub version: u16,
    pub session_id: Vec<u8>,
    pub suites: Vec<u16>,
    pub compressions: Vec<u8>,
    pub extended: bool,
    pub extensions: Vec<u8>,
    /// The pre-shared key.
    pub psk: Vec<u8>,
    /// The master secret of a session that is resumed.
    pub master: Option<Vec<u8>>,
}

impl Offer {
    pub fn psk(suite: Suite) -> Self {
        Self {
            version: 0xfefd,
            session_id: b"psk session".to_vec(),
            suites: vec![suite.id(), 0x00ff],
            compressions: vec![0],
            extended: false,
            extensions: vec![],
            psk: PSK.to_vec(),
            master: None,
        }
    }

    pub fn resumption(index: usize) -> Self {
        Self {
            session_id: [b"r", &[index as u8][..], b" session"].concat(),
            master: Some(MASTER.to_vec()),
            ..Self::psk(Suite::RESUMED[index])
        }
    }

    /// Body of a ClientHello.
    pub fn hello(&self, random: &[u8; 32], cookie: &[u8]) -> Vec<u8> {
        let mut body = self.version.to_be_bytes().to_vec();
        body.extend(random);
        body.push(self.session_id.len() as u8);
        body.extend(&self.session_id);
        body.push(cookie.len() as u8);
        body.extend(cookie);
        body.extend(((self.suites.len() * 2) as u16).to_be_bytes());
        body.extend(self.suites.iter().flat_map(|suite| suite.to_be_bytes()));
        body.push(self.compressions.len() as u8);
        body.extend(&self.compressions);
        let mut extensions = self.extensions.clone();
        if self.extended {
            extensions.extend([0, 23, 0, 0]);
        }
        if !extensions.is_empty() {
            body.extend((extensions.len() as u16).to_be_bytes());
            body.extend(extensions);
        }
        body
    }
}

/// Where a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Hello,
    WaitDone,
    WaitFinished,
    Done,
}

pub struct Client {
    pub path: Path,
    pub offer: Offer,
    pub state: State,
    pub random: [u8; 32],
    server_random: [u8; 32],
    cookie: Vec<u8>,
    messages: u16,
    clear_number: u64,
    transcript: Vec<u8>,
    suite: Option<Suite>,
    extended: bool,
    pub master: Vec<u8>,
    pub inbound: Option<Inbound>,
    pub outbound: Option<Outbound>,
    /// The last flight in clear: content type and message, with a mark for what goes protected.
    flight: Vec<(bool, u8, Vec<u8>)>,
    pub received: Vec<Vec<u8>>,
    /// Alerts the server sent: whether they were protected, and what they say.
    pub alerts: Vec<(bool, [u8; 2])>,
}

impl Client {
    pub fn new(seed: u64, remote: &str, offer: Offer) -> Self {
        let mut random = [0; 32];
        let Ok(()) = Chaos(seed).try_fill_bytes(&mut random);
        Self {
            path: path(remote),
            offer,
            state: State::Hello,
            random,
            server_random: [0; 32],
            cookie: vec![],
            messages: 0,
            clear_number: 0,
            transcript: vec![],
            suite: None,
            extended: false,
            master: vec![],
            inbound: None,
            outbound: None,
            flight: vec![],
            received: vec![],
            alerts: vec![],
        }
    }

    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    fn resumes(&self) -> bool {
        self.offer.master.is_some()
    }

    /// The first flight.
    pub fn start(&mut self) -> Vec<u8> {
        let hello = message(1, self.messages, &self.offer.hello(&self.random, &self.cookie));
        self.messages += 1;
        self.transcript = hello.clone();
        self.flight = vec![(false, 22, hello)];
        self.again()
    }

    /// The last flight in new records.
    pub fn again(&mut self) -> Vec<u8> {
        let mut bytes = vec![];
        for (protected, content, text) in self.flight.clone() {
            if protected {
                let content = ContentType::from_byte(content).unwrap();
                let outbound = self.outbound.as_ref().unwrap();
                bytes.extend(outbound.seal_record(content, &text, 0, Time::ZERO).unwrap());
            } else {
                bytes.extend(clear(content, 0xfefd, self.clear_number, &text));
                self.clear_number += 1;
            }
        }
        bytes
    }

    pub fn seal(&self, text: &[u8]) -> Vec<u8> {
        let outbound = self.outbound.as_ref().expect("it is done");
        outbound.seal_record(ContentType::ApplicationData, text, 0, Time::ZERO).unwrap()
    }

    /// A datagram of the server's; what to send for it.
    pub fn handle(&mut self, datagram: &[u8]) -> Vec<Vec<u8>> {
        let mut out = vec![];
        let records: Vec<_> = Records::of(datagram).collect();
        for (header, range) in records {
            let record = &datagram[range];
            match (header.epoch, header.content) {
                (0, 22) => self.clear_message(&record[13..], &mut out),
                (0, 21) => self.alerts.push((false, [record[13], record[14]])),
                (1, _) => self.protected(record.to_vec(), &mut out),
                _ => {}
            }
        }
        out
    }

    fn clear_message(&mut self, message_bytes: &[u8], out: &mut Vec<Vec<u8>>) {
        let (kind, body) = (message_bytes[0], &message_bytes[12..]);
        match (self.state, kind) {
            (State::Hello, 3) if self.cookie.is_empty() => {
                self.cookie = body[3..].to_vec();
                assert_eq!(usize::from(body[2]), self.cookie.len());
                out.push(self.start());
            }
            // one of an earlier handshake from this port has another number, or comes too early
            (State::Hello, 2) if message_bytes[4..6] == (self.messages - 1).to_be_bytes() => {
                assert_eq!(body[..2], [0xfe, 0xfd]);
                self.server_random.copy_from_slice(&body[2..34]);
                let id_len = usize::from(body[34]);
                assert_eq!(id_len, if self.resumes() { self.offer.session_id.len() } else { 0 });
                let rest = &body[35 + id_len..];
                let id = u16::from_be_bytes([rest[0], rest[1]]);
                let all = Suite::PSK.into_iter().chain(Suite::RESUMED);
                self.suite = all.into_iter().find(|suite| suite.id() == id);
                self.extended = rest.windows(4).any(|four| four == [0, 23, 0, 0]);
                self.transcript.extend(message_bytes);
                self.state = State::WaitDone;
                if let Some(master) = self.offer.master.clone() {
                    self.master = master;
                    self.make_keys();
                    self.state = State::WaitFinished;
                }
            }
            (State::WaitDone, 14) => {
                self.transcript.extend(message_bytes);
                let exchange = message(16, self.messages, b"\0\x03psk");
                self.transcript.extend(&exchange);
                let hash = self.suite.unwrap().hash();
                let pms = [&[0, 32][..], &[0; 32], &[0, 32], &self.offer.psk].concat();
                self.master = if self.extended {
                    let session = hashed(hash, &self.transcript);
                    prf(hash, &pms, b"extended master secret", &session, 48)
                } else {
                    let randoms = [self.random, self.server_random].concat();
                    prf(hash, &pms, b"master secret", &randoms, 48)
                };
                self.make_keys();
                let verify = self.verify(b"client finished");
                let finished = message(20, self.messages + 1, &verify);
                self.transcript.extend(&finished);
                self.flight =
                    vec![(false, 22, exchange), (false, 20, vec![1]), (true, 22, finished)];
                self.state = State::WaitFinished;
                out.push(self.again());
            }
            _ => {}
        }
    }

    fn protected(&mut self, mut record: Vec<u8>, out: &mut Vec<Vec<u8>>) {
        let Some(inbound) = &self.inbound else { return };
        let Ok((content, text)) = inbound.open_record(&mut record, 0, Time::ZERO) else { return };
        let text = &record[text];
        match content {
            ContentType::ApplicationData => self.received.push(text.to_vec()),
            ContentType::Alert => self.alerts.push((true, [text[0], text[1]])),
            ContentType::Handshake if self.state == State::WaitFinished => {
                assert_eq!(text[12..], self.verify(b"server finished"), "what the server proves");
                self.state = State::Done;
                if self.resumes() {
                    self.transcript.extend(text);
                    let verify = self.verify(b"client finished");
                    let finished = message(20, self.messages, &verify);
                    self.flight = vec![(false, 20, vec![1]), (true, 22, finished)];
                    out.push(self.again());
                }
            }
            // the server has not seen our last flight
            ContentType::Handshake if self.resumes() => out.push(self.again()),
            ContentType::Handshake | ContentType::ChangeCipherSpec => {}
        }
    }

    fn verify(&self, label: &[u8]) -> Vec<u8> {
        let hash = self.suite.unwrap().hash();
        prf(hash, &self.master, label, &hashed(hash, &self.transcript), 12)
    }

    fn make_keys(&mut self) {
        let suite = self.suite.unwrap();
        let (key, iv) = match suite.cipher() {
            Algorithm::Aes128Gcm => (16, 4),
            Algorithm::Aes256Gcm => (32, 4),
            Algorithm::ChaCha20Poly1305 => (32, 12),
        };
        let seed = [self.server_random, self.random].concat();
        let block = prf(suite.hash(), &self.master, b"key expansion", &seed, 2 * (key + iv));
        let keys = [0, 1].map(|side| {
            let key_bytes = &block[side * key..][..key];
            RecordKeys::new(suite.cipher(), key_bytes, &block[2 * key + side * iv..][..iv])
        });
        let [ours, theirs] = keys;
        let mirrored = Path { local: self.path.remote, remote: self.path.local };
        self.outbound = Some(Outbound::new(ours, mirrored, &Selection::default()).unwrap());
        self.inbound = Some(Inbound::new(&theirs, 64, &Selection::default()).unwrap());
    }

    /// The line of a key log.
    pub fn key_log_line(&self) -> String {
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        format!("CLIENT_RANDOM {} {}", hex(&self.random), hex(&self.master))
    }

    pub fn remote(&self) -> SocketAddr {
        self.path.remote
    }
}
