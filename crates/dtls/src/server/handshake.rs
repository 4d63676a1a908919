//! A handshake that is under way: from a ClientHello with a cookie to the client's Finished.
//!
//! The server's flight is kept as messages and becomes new records each time it is sent (RFC 6347
//! §4.2.4): when its timer runs out, and when the client shows that it has not seen it.

use std::{sync::Arc, time::Duration};

use aead::{KeyError, Selection, constant_time_eq};
use association::KeyMaterial;
use wire::Time;

use super::{
    established::Association,
    event::{Failure, Ignored, Mode, Path, Refusal, Secret},
};
use crate::{
    Inbound, Outbound, Suite,
    message::{self, ClientHello, MESSAGE_HEADER_LEN, Message, kind},
    record::ContentType,
    schedule::{self, MASTER_LEN, Transcript},
};

/// The first retransmission comes after this; each later one after twice the time (RFC 6347 §4.2.4.1).
const FIRST_TIMEOUT: Duration = Duration::from_secs(1);
/// A flight is sent this often at most by its timer.
const ATTEMPTS: u32 = 5;
/// What the client answers with has this many bytes at most; a PSK identity is the only long thing.
const MAX_MESSAGE: usize = 1024;

/// Where writers of the slow path count.
pub(super) const SLOW_PATH: usize = 0;

/// A handshake under way.
pub(super) struct Handshake {
    pub(super) path: Path,
    pub(super) session_id: Vec<u8>,
    pub(super) mode: Mode,
    suite: Suite,
    /// Whether the master secret is extended (RFC 7627).
    extended: bool,
    pub(super) client_random: [u8; 32],
    server_random: [u8; 32],
    transcript: Transcript,
    /// Number of the client's ClientHello, which its later messages go on from.
    first: u16,
    /// The server's messages in clear.
    flight: Vec<Vec<u8>>,
    /// The PSK, until the master secret is there.
    psk: Option<KeyMaterial>,
    keys: Option<Keys>,
    /// Number of the next record in clear.
    next_clear: u64,
    deadline: Time,
    attempts: u32,
    /// What the client said of it, without proof.
    alert: Option<u8>,
    mismatch: bool,
}

struct Keys {
    master: KeyMaterial,
    inbound: Arc<Inbound>,
    outbound: Arc<Outbound>,
    /// What the client's Finished has to say.
    expected: [u8; schedule::VERIFY_LEN],
    /// The server's Finished, where it comes first.
    finished: Option<Vec<u8>>,
}

/// What there is to work with.
pub(super) struct Tools<'a> {
    pub(super) selection: &'a Selection,
    pub(super) replay_window: u32,
}

impl Handshake {
    /// Answers a ClientHello that has shown its cookie. `number` is that of its record.
    pub(super) fn accept(
        path: Path,
        number: u64,
        hello_message: &Message<'_>,
        hello: &ClientHello<'_>,
        secret: Secret,
        server_random: [u8; 32],
        tools: &Tools<'_>,
    ) -> Result<Self, Refusal> {
        let (mode, offered): (_, &[Suite]) = match &secret {
            Secret::Psk(_) => (Mode::Psk, &Suite::PSK),
            Secret::Resumption { suite, .. } => (Mode::Resumption, std::slice::from_ref(suite)),
        };
        // the client knows best what its CPU likes
        let suite = hello.suites().find_map(|id| offered.iter().find(|suite| suite.id() == id));
        let Some(&suite) = suite else {
            let mut all = hello.suites().filter(|id| *id != 0x00ff).peekable();
            let cbc = all.peek().is_some() && all.all(Suite::is_cbc);
            return Err(if cbc { Refusal::CbcOnly } else { Refusal::NoCommonSuite });
        };
        let extended = mode == Mode::Psk && hello.extended_master_secret;
        let answered_id = if mode == Mode::Psk { &[][..] } else { hello.session_id };
        let body = message::server_hello(
            &server_random,
            answered_id,
            suite.id(),
            hello.secure_renegotiation,
            extended,
        );
        let first = hello_message.number;
        let mut flight = vec![message::encode(kind::SERVER_HELLO, first, &body)];
        if mode == Mode::Psk {
            let number = first.wrapping_add(1);
            flight.push(message::encode(kind::SERVER_HELLO_DONE, number, &[]));
        }
        let mut transcript = Transcript::new(suite.hash());
        transcript.add(hello_message.whole);
        flight.iter().for_each(|message| transcript.add(message));
        let mut this = Self {
            path,
            session_id: hello.session_id.to_vec(),
            mode,
            suite,
            extended,
            client_random: *hello.random,
            server_random,
            transcript,
            first,
            flight,
            psk: None,
            keys: None,
            next_clear: number,
            deadline: Time::MAX,
            attempts: 0,
            alert: None,
            mismatch: false,
        };
        match secret {
            Secret::Psk(psk) if (1..=64).contains(&psk.len()) => this.psk = Some(psk),
            Secret::Resumption { master, .. } if master.len() == MASTER_LEN => {
                this.resume(master, tools).map_err(|_| Refusal::BadSecret)?;
            }
            Secret::Psk(_) | Secret::Resumption { .. } => return Err(Refusal::BadSecret),
        }
        Ok(this)
    }

    /// The server's Finished comes first (RFC 5246 §7.3).
    fn resume(&mut self, master: KeyMaterial, tools: &Tools<'_>) -> Result<(), KeyError> {
        let (inbound, outbound) = self.halves(&master, tools)?;
        let hash = self.suite.hash();
        let ours = schedule::verify_data(hash, &master, b"server finished", &self.transcript);
        let finished = message::encode(kind::FINISHED, self.first.wrapping_add(1), &ours);
        let mut transcript = self.transcript.clone();
        transcript.add(&finished);
        let expected = schedule::verify_data(hash, &master, b"client finished", &transcript);
        let finished = Some(finished);
        self.keys = Some(Keys { master, inbound, outbound, expected, finished });
        Ok(())
    }

    fn halves(
        &self,
        master: &KeyMaterial,
        tools: &Tools<'_>,
    ) -> Result<(Arc<Inbound>, Arc<Outbound>), KeyError> {
        let randoms = (&self.client_random, &self.server_random);
        let [client, server] = schedule::record_keys(self.suite, master, randoms);
        let inbound = Inbound::new(&client, tools.replay_window, tools.selection)?;
        Ok((Arc::new(inbound), Arc::new(Outbound::new(server, self.path, tools.selection)?)))
    }

    /// Sets the timer for what was sent now.
    pub(super) fn arm(&mut self, now: Time) {
        self.deadline = now + FIRST_TIMEOUT * (1 << self.attempts.min(ATTEMPTS));
    }

    /// The server's flight as one datagram, its records new.
    pub(super) fn flight(&mut self, now: Time) -> Vec<u8> {
        let mut bytes = Vec::new();
        for message in &self.flight {
            bytes.extend(message::clear_record(ContentType::Handshake, self.next_clear, message));
            self.next_clear += 1;
        }
        let finished = self.keys.as_ref().and_then(|keys| {
            let finished = keys.finished.as_ref()?;
            let outbound = &keys.outbound;
            outbound.seal_record(ContentType::Handshake, finished, SLOW_PATH, now).ok()
        });
        if let Some(finished) = finished {
            let change =
                message::clear_record(ContentType::ChangeCipherSpec, self.next_clear, &[1]);
            self.next_clear += 1;
            bytes.extend(change);
            bytes.extend(finished);
        }
        bytes
    }

    /// When something is to be done if nothing comes before.
    pub(super) fn deadline(&self) -> Time {
        self.deadline
    }

    /// The timer ran out: the flight once more, or why it is over.
    pub(super) fn timeout(&mut self, now: Time) -> Result<Vec<u8>, Failure> {
        self.attempts += 1;
        if self.attempts >= ATTEMPTS {
            return Err(match self.alert {
                _ if self.mismatch => Failure::KeyMismatch,
                Some(alert) => Failure::Alert(alert),
                None => Failure::TimedOut,
            });
        }
        self.arm(now);
        Ok(self.flight(now))
    }

    /// Whether this is the ClientHello that began it, sent again.
    pub(super) fn began_with(&self, hello: &ClientHello<'_>) -> bool {
        self.client_random == *hello.random && self.session_id == hello.session_id
    }

    /// An alert in clear: anybody may have sent it, so it is only remembered.
    pub(super) fn note_alert(&mut self, text: &[u8]) {
        if let [message::alert::FATAL, number] = *text {
            self.alert = Some(number);
        }
    }

    /// A handshake message in clear: the client's key exchange.
    pub(super) fn message(
        &mut self,
        message: &Message<'_>,
        tools: &Tools<'_>,
    ) -> Result<(), Ignored> {
        let awaited = message.number == self.first.wrapping_add(1)
            && message.kind == kind::CLIENT_KEY_EXCHANGE
            && message.whole.len() <= MAX_MESSAGE;
        let Some(psk) = self.psk.take_if(|_| awaited) else {
            return Err(Ignored::Unexpected);
        };
        if let Err(error) = message::psk_identity(message.body()) {
            self.psk = Some(psk);
            return Err(error.into());
        }
        self.transcript.add(message.whole);
        let hash = self.suite.hash();
        let randoms = (&self.client_random, &self.server_random);
        let extended = self.extended.then_some(&self.transcript);
        let master = schedule::master_of_psk(hash, &psk, randoms, extended);
        let halves = self.halves(&master, tools);
        let (inbound, outbound) = halves.expect("invariant: as many bytes as the suite has");
        let expected = schedule::verify_data(hash, &master, b"client finished", &self.transcript);
        self.keys = Some(Keys { master, inbound, outbound, expected, finished: None });
        Ok(())
    }

    /// A protected record that carries handshake messages: the client's Finished. With it the
    /// association stands; what its client is then sent is second.
    pub(super) fn finish(
        &mut self,
        record: &mut [u8],
        now: Time,
    ) -> Result<(Association, Option<Vec<u8>>), Ignored> {
        let keys = self.keys.as_ref().ok_or(Ignored::Unexpected)?;
        let opened = keys.inbound.open_record(record, SLOW_PATH, now);
        let text = match opened {
            Ok((ContentType::Handshake, text)) => text,
            Ok(_) => return Err(Ignored::Unexpected),
            Err(reason) => {
                self.mismatch = true;
                return Err(Ignored::Record(reason));
            }
        };
        let (message, _) = Message::decode(&record[text])?;
        let offset = if self.mode == Mode::Psk { 2 } else { 1 };
        if message.kind != kind::FINISHED || message.number != self.first.wrapping_add(offset) {
            return Err(Ignored::Unexpected);
        }
        if !constant_time_eq(message.body(), &keys.expected) {
            return Err(Ignored::BadFinished);
        }
        let mut association = Association {
            path: self.path,
            session_id: std::mem::take(&mut self.session_id),
            mode: self.mode,
            suite: self.suite,
            client_random: self.client_random,
            master: keys.master.clone(),
            inbound: keys.inbound.clone(),
            outbound: keys.outbound.clone(),
            finished: None,
            next_clear: self.next_clear,
            since: now,
        };
        if self.mode == Mode::Resumption {
            return Ok((association, None));
        }
        let mut transcript = self.transcript.clone();
        transcript.add(message.whole);
        let hash = self.suite.hash();
        let ours = schedule::verify_data(hash, &keys.master, b"server finished", &transcript);
        let number = self.first.wrapping_add(2);
        association.finished = Some(message::encode(kind::FINISHED, number, &ours));
        let last = association.last_flight(now);
        debug_assert!(last.as_ref().is_some_and(|last| last.len() > MESSAGE_HEADER_LEN));
        Ok((association, last))
    }
}
