//! Connections: from their first byte over TLS and requests to the frames of a tunnel.

use std::{
    io::{BufRead as _, Read as _, Write as _},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use aead::Selection;
use dtls::Path;
use wire::Time;

use super::{ConnectionRefused, Endpoint, Packets, timers::Timer};
use crate::{
    ClientId, ConnId, Event, Reason,
    cstp::{Frame, Kind},
    http::{HttpError, Parser, Response},
    job::{Handshaken, Work},
    records::{HEADER_LEN, MAX_RECORD, Opened, Records, record_len},
    tls,
};

/// How long a handshake may take.
const HANDSHAKE_TIME: Duration = Duration::from_secs(15);
/// How long a request may take, from its first byte or from the end of the one before.
const REQUEST_TIME: Duration = Duration::from_secs(60);
/// How long the rest of what is said may take to be sent.
const LINGER: Duration = Duration::from_secs(5);
/// What a connection has to say, in bytes, beyond which it takes no packets and reads nothing more.
const OUTPUT_LIMIT: usize = 128 * 1024;
/// Capacity of the buffer that is kept for whoever says something next, at most.
const SPARE: usize = 4 * OUTPUT_LIMIT;

/// A connection.
pub(super) struct Conn {
    pub(super) path: Path,
    tls: Layer,
    /// What TLS has not read: the beginning of a record, or what came during a job.
    input: Vec<u8>,
    output: Vec<u8>,
    sent: usize,
    pub(super) phase: Phase,
    /// The user of its certificate.
    pub(super) certificate: Option<Arc<str>>,
    /// The beginning of a frame.
    pub(super) partial: Vec<u8>,
    pub(super) is_queued: bool,
    /// Logins that failed.
    pub(super) failures: u32,
}

/// Who does TLS.
enum Layer {
    /// A job, for now.
    Away,
    /// The library, until there is a tunnel.
    Library(Box<tls::Connection>),
    Own(Box<Records>),
}

impl Layer {
    fn library(&mut self) -> Option<&mut tls::Connection> {
        match self {
            Self::Library(tls) => Some(tls),
            Self::Away | Self::Own(_) => None,
        }
    }
}

pub(super) enum Phase {
    Handshake,
    /// Requests, one at a time; `busy` while one waits for its answer.
    Http {
        parser: Box<Parser>,
        busy: bool,
    },
    /// It has asked for a tunnel; what came behind.
    Granting {
        client: ClientId,
        request: Box<crate::tunnel::TunnelRequest>,
    },
    Tunnel(ClientId),
    /// All is said but not sent.
    Closing,
}

impl Phase {
    /// Nothing is read until it is known what it becomes.
    pub(super) fn busy() -> Self {
        Self::Http { parser: Box::default(), busy: true }
    }

    fn http() -> Self {
        Self::Http { parser: Box::default(), busy: false }
    }
}

impl Conn {
    pub(super) fn pending(&self) -> &[u8] {
        &self.output[self.sent..]
    }

    /// Whether it has no room for packets.
    pub(super) fn is_full(&self) -> bool {
        self.pending().len() > OUTPUT_LIMIT
    }

    pub(super) fn library(&mut self) -> Option<&mut tls::Connection> {
        self.tls.library()
    }

    /// Does TLS without the library from now on. False if that has not let it go: nothing more can be said
    /// or heard then.
    pub(super) fn take_over(&mut self, selection: &Selection) -> bool {
        let Layer::Library(mut tls) = std::mem::replace(&mut self.tls, Layer::Away) else {
            return false;
        };
        // what is decrypted but not read; that it would have to wait for more is no fault
        let _ = tls.reader().read_to_end(&mut self.partial);
        match Records::take_over(*tls, selection) {
            Some(records) => {
                self.tls = Layer::Own(Box::new(records));
                true
            }
            None => false,
        }
    }

    /// Whether its keys have done their part, so that packets need another connection.
    pub(super) fn is_spent(&self) -> bool {
        matches!(&self.tls, Layer::Own(records) if records.is_spent())
    }

    /// Says something; in a tunnel in a record of its own, if it fits one.
    pub(super) fn say(&mut self, parts: &[&[u8]]) {
        match &mut self.tls {
            Layer::Away => {}
            Layer::Own(records) => records.seal(parts, &mut self.output),
            Layer::Library(tls) => {
                for part in parts {
                    // after a fatal alert nothing is taken any more, and nobody listens
                    let _ = tls.writer().write(part);
                }
                tls::take_output(tls, &mut self.output);
            }
        }
    }

    fn goodbye(&mut self) {
        match &mut self.tls {
            Layer::Away => {}
            Layer::Own(records) => records.goodbye(&mut self.output),
            Layer::Library(tls) => {
                tls.send_close_notify();
                tls::take_output(tls, &mut self.output);
            }
        }
    }

    /// How long the whole records are that its input begins with.
    fn records(&self) -> usize {
        let mut at = 0;
        while let Some(len) = record_len(&self.input[at..]).filter(|l| *l <= self.input.len() - at)
        {
            at += len;
        }
        at
    }
}

impl Endpoint {
    pub(super) fn accept(&mut self, now: Time, path: Path) -> Result<ConnId, ConnectionRefused> {
        let limits = &self.settings.limits;
        let address = address_key(path.remote.ip());
        let refused = if self.conns.len() >= limits.connections {
            Some(ConnectionRefused::Full)
        } else if self
            .by_address
            .get(&address)
            .is_some_and(|n| *n >= limits.connections_per_address)
        {
            Some(ConnectionRefused::FullForAddress)
        } else {
            None
        };
        if let Some(refused) = refused {
            self.stats.connections_refused += 1;
            return Err(refused);
        }
        let tls = self.settings.tls.accept().ok_or(ConnectionRefused::Tls)?;
        let id = ConnId(self.next_id());
        let conn = Conn {
            path,
            tls: Layer::Library(tls),
            input: Vec::new(),
            output: Vec::new(),
            sent: 0,
            phase: Phase::Handshake,
            certificate: None,
            partial: Vec::new(),
            is_queued: false,
            failures: 0,
        };
        self.conns.insert(id, conn);
        *self.by_address.entry(address).or_default() += 1;
        self.stats.connections += 1;
        self.timers.set(Timer::Conn(id), Some(now + HANDSHAKE_TIME));
        Ok(id)
    }

    pub(super) fn received(
        &mut self,
        now: Time,
        id: ConnId,
        bytes: &[u8],
        packets: Packets<'_>,
    ) -> usize {
        // to a connection that is over, anything may come
        let Some(conn) = self.conns.get_mut(&id) else { return bytes.len() };
        if matches!(conn.phase, Phase::Closing) {
            return bytes.len();
        }
        if matches!(conn.tls, Layer::Away) || matches!(conn.phase, Phase::Handshake) {
            let taken = bytes.len().min(MAX_RECORD.saturating_sub(conn.input.len()));
            conn.input.extend_from_slice(&bytes[..taken]);
            self.handshake(now, id);
            return taken;
        }
        let mut taken = 0;
        while let Some(conn) = self.conns.get_mut(&id) {
            if conn.input.is_empty() {
                return taken + self.read(now, id, &bytes[taken..], packets);
            }
            // no more than what it keeps needs to be a record: what is behind is read where it lies
            let wanted = match record_len(&conn.input) {
                Some(len) => len.min(MAX_RECORD).saturating_sub(conn.input.len()),
                None => HEADER_LEN - conn.input.len(),
            };
            let more = wanted.min(bytes.len() - taken);
            conn.input.extend_from_slice(&bytes[taken..][..more]);
            taken += more;
            let mut input = std::mem::take(&mut conn.input);
            let read = self.read(now, id, &input, packets);
            let Some(conn) = self.conns.get_mut(&id) else { break };
            if read < input.len() {
                // there is no room for what comes of it
                conn.input = input.split_off(read);
                return taken;
            }
            if more == 0 && conn.input.len() == input.len() {
                // what it needs has not come
                return taken;
            }
        }
        bytes.len()
    }

    /// Gives what came of a handshake to a job, when a record of it is whole.
    fn handshake(&mut self, now: Time, id: ConnId) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let len = conn.records();
        if len == 0 {
            if conn.input.len() >= MAX_RECORD {
                // no record is as long as this one says
                self.abandon(now, id);
            }
            return;
        }
        let Layer::Library(tls) = std::mem::replace(&mut conn.tls, Layer::Away) else { return };
        // a record that is not whole stays, so that what comes next continues it
        let behind = conn.input.split_off(len);
        let input = std::mem::replace(&mut conn.input, behind);
        let job = self.job(Work::Handshake(tls, input, self.settings.certificate_name));
        self.handshakes.insert(job, id);
    }

    pub(super) fn handshaken(&mut self, now: Time, id: ConnId, done: Handshaken) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let established = done.result.is_ok() && !done.tls.is_handshaking();
        conn.tls = Layer::Library(done.tls);
        conn.output.extend_from_slice(&done.output);
        let mut input = done.rest;
        input.append(&mut conn.input);
        conn.input = input;
        match done.result {
            Err(failure) => {
                let remote = conn.path.remote;
                self.stats.handshakes_failed += 1;
                self.out.tell(now, Event::HandshakeFailed { remote, failure });
                self.finish(now, id);
            }
            Ok(certificate) if established => {
                conn.certificate = certificate;
                conn.phase = Phase::http();
                self.stats.handshakes += 1;
                self.timers.set(Timer::Conn(id), Some(now + REQUEST_TIME));
                self.wake(id);
            }
            Ok(_) => {
                self.wake(id);
                self.handshake(now, id);
            }
        }
    }

    /// Reads what came on an established connection, as much as there is room for; what follows the last
    /// whole record is kept.
    fn read(&mut self, now: Time, id: ConnId, bytes: &[u8], packets: Packets<'_>) -> usize {
        let mut at = 0;
        while self.drain(now, id, packets) {
            let Some(conn) = self.conns.get_mut(&id) else { return bytes.len() };
            let rest = &bytes[at..];
            let len = match record_len(rest) {
                Some(len) if len > MAX_RECORD => {
                    // no record is as long as this one says
                    self.abandon(now, id);
                    return bytes.len();
                }
                Some(len) if len <= rest.len() => len,
                Some(_) | None => {
                    conn.input.extend_from_slice(rest);
                    return bytes.len();
                }
            };
            at += len;
            let goes_on = match conn.tls {
                Layer::Away => return bytes.len(),
                Layer::Library(_) => self.decrypt(now, id, &rest[..len], packets),
                Layer::Own(_) => self.open(now, id, &rest[..len], packets),
            };
            if !goes_on {
                self.abandon(now, id);
                return bytes.len();
            }
        }
        match self.conns.get(&id).map(|conn| &conn.phase) {
            Some(Phase::Closing) | None => bytes.len(),
            Some(_) => at,
        }
    }

    /// Gives a record to the library. False when the connection is over.
    fn decrypt(&mut self, now: Time, id: ConnId, record: &[u8], packets: Packets<'_>) -> bool {
        let Some(conn) = self.conns.get_mut(&id) else { return false };
        let Some(tls) = conn.tls.library() else { return false };
        let state = tls.read_record(record);
        tls::take_output(tls, &mut conn.output);
        if !conn.pending().is_empty() {
            self.wake(id);
        }
        let goes_on = state.as_ref().is_ok_and(|state| !state.peer_has_closed());
        if !goes_on && state.is_ok() {
            // what came before the goodbye counts
            self.drain(now, id, packets);
        }
        goes_on
    }

    /// Opens a record of a tunnel and handles the frames in it. False when the connection is over.
    fn open(&mut self, now: Time, id: ConnId, record: &[u8], packets: Packets<'_>) -> bool {
        let Some(conn) = self.conns.get_mut(&id) else { return false };
        let (Layer::Own(records), Phase::Tunnel(client)) = (&mut conn.tls, &conn.phase) else {
            return false;
        };
        let client = *client;
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        scratch.extend_from_slice(record);
        let said = conn.output.len();
        let outcome = records.open(&mut scratch, &mut conn.output);
        let answered = conn.output.len() > said;
        if let Ok(Opened::Data(text)) = &outcome {
            if conn.partial.is_empty() {
                let consumed = self.frames(now, id, client, &scratch[text.clone()], packets);
                if let Some(conn) = self.conns.get_mut(&id) {
                    conn.partial.extend_from_slice(&scratch[text.clone()][consumed..]);
                }
            } else {
                conn.partial.extend_from_slice(&scratch[text.clone()]);
                self.continue_frames(now, id, client, packets);
            }
        }
        self.scratch = scratch;
        if answered {
            self.wake(id);
        }
        matches!(outcome, Ok(Opened::Data(_) | Opened::Ours))
    }

    /// Handles the frames of a tunnel that wait.
    fn continue_frames(&mut self, now: Time, id: ConnId, client: ClientId, packets: Packets<'_>) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let mut waiting = std::mem::take(&mut conn.partial);
        let consumed = self.frames(now, id, client, &waiting, packets);
        if let Some(conn) = self.conns.get_mut(&id) {
            waiting.drain(..consumed);
            conn.partial = if waiting.is_empty() { Vec::new() } else { waiting };
        }
    }

    /// Takes what was decrypted and waits. False when there is no room for all of it now, or the connection
    /// is over.
    fn drain(&mut self, now: Time, id: ConnId, packets: Packets<'_>) -> bool {
        loop {
            let Some(conn) = self.conns.get_mut(&id) else { return false };
            if conn.is_full() {
                return false;
            }
            match &mut conn.phase {
                Phase::Http { busy: true, .. } => {
                    let Some(tls) = conn.tls.library() else { return false };
                    return tls.reader().fill_buf().map_or(true, <[u8]>::is_empty);
                }
                Phase::Http { parser, .. } => {
                    let Some(tls) = conn.tls.library() else { return false };
                    let mut reader = tls.reader();
                    let chunk = reader.fill_buf().unwrap_or_default();
                    let len = chunk.len().min(parser.room());
                    parser.push(&chunk[..len]);
                    reader.consume(len);
                    match parser.next() {
                        Ok(Some(request)) => {
                            self.timers.set(Timer::Conn(id), Some(now + REQUEST_TIME));
                            self.request(now, id, request);
                        }
                        Ok(None) if len == 0 => return true,
                        Ok(None) => {}
                        Err(error) => {
                            self.bad_request(now, id, error);
                            return false;
                        }
                    }
                }
                Phase::Tunnel(client) => {
                    let client = *client;
                    if !conn.partial.is_empty() {
                        self.continue_frames(now, id, client, packets);
                    }
                    return self.conns.get(&id).is_some_and(|conn| {
                        !conn.is_full() && !matches!(conn.phase, Phase::Closing)
                    });
                }
                Phase::Handshake | Phase::Granting { .. } | Phase::Closing => return false,
            }
        }
    }

    /// Handles the whole frames at the start of `bytes`, while there is room for answers: how long they are.
    fn frames(
        &mut self,
        now: Time,
        id: ConnId,
        client: ClientId,
        bytes: &[u8],
        packets: Packets<'_>,
    ) -> usize {
        let mut at = 0;
        loop {
            // each may have an answer
            if self.conns.get(&id).is_none_or(Conn::is_full) {
                return at;
            }
            match Frame::from_stream(&bytes[at..]) {
                Ok(Some((frame, len))) => {
                    at += len;
                    if !self.frame(now, id, client, frame, packets) {
                        return bytes.len();
                    }
                }
                Ok(None) => return at,
                Err(error) => {
                    self.tunnel_lost(now, client, Reason::Frame(error));
                    return bytes.len();
                }
            }
        }
    }

    /// The connection is to be looked at by its owner.
    pub(super) fn wake(&mut self, id: ConnId) {
        if let Some(conn) = self.conns.get_mut(&id)
            && !std::mem::replace(&mut conn.is_queued, true)
        {
            self.out.ready.push_back(id);
        }
    }

    /// Says something, and has it sent.
    pub(super) fn say(&mut self, id: ConnId, parts: &[&[u8]]) {
        if let Some(conn) = self.conns.get_mut(&id) {
            if conn.output.capacity() == 0 {
                conn.output = std::mem::take(&mut self.spare);
            }
            conn.say(parts);
            self.wake(id);
        }
    }

    pub(super) fn send_frame(&mut self, id: ConnId, kind: Kind, payload: &[u8]) {
        self.say(id, &[&kind.header(payload.len()), payload]);
    }

    pub(super) fn sent(&mut self, id: ConnId, len: usize) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let was_full = conn.is_full();
        conn.sent = (conn.sent + len).min(conn.output.len());
        if conn.sent == conn.output.len() {
            conn.sent = 0;
            // idle connections keep no room, and one buffer goes from one that is busy to the next
            let mut room = std::mem::take(&mut conn.output);
            room.clear();
            if (self.spare.capacity()..=SPARE).contains(&room.capacity()) {
                self.spare = room;
            }
            if matches!(conn.phase, Phase::Closing) {
                self.remove(id);
                return;
            }
        } else if conn.sent > OUTPUT_LIMIT {
            conn.output.drain(..conn.sent);
            conn.sent = 0;
        }
        if was_full && !conn.is_full() {
            self.wake(id);
        }
    }

    /// Everything is said: it is over when that is sent.
    pub(super) fn finish(&mut self, now: Time, id: ConnId) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        if matches!(conn.phase, Phase::Closing) {
            return;
        }
        if !matches!(conn.phase, Phase::Tunnel(_)) {
            release(&mut self.by_address, conn.path.remote);
        }
        // without TLS there is nothing to say goodbye to
        if !matches!(conn.phase, Phase::Handshake) {
            conn.goodbye();
        }
        conn.phase = Phase::Closing;
        (conn.input, conn.partial) = (Vec::new(), Vec::new());
        let done = conn.pending().is_empty();
        self.wake(id);
        if done {
            self.remove(id);
        } else {
            self.timers.set(Timer::Conn(id), Some(now + LINGER));
        }
    }

    /// The client has ended it, or broken it.
    fn abandon(&mut self, now: Time, id: ConnId) {
        match self.conns.get(&id).map(|conn| &conn.phase) {
            Some(Phase::Tunnel(client)) => self.tunnel_lost(now, *client, Reason::Lost),
            Some(_) => self.finish(now, id),
            None => {}
        }
    }

    pub(super) fn lost(&mut self, now: Time, id: ConnId) {
        self.abandon(now, id);
        self.remove(id);
    }

    fn remove(&mut self, id: ConnId) {
        self.timers.set(Timer::Conn(id), None);
        self.conns.remove(&id);
    }

    /// It carries a tunnel from now on, and has no time limit.
    pub(super) fn becomes_tunnel(&mut self, id: ConnId, client: ClientId) {
        if let Some(conn) = self.conns.get_mut(&id) {
            release(&mut self.by_address, conn.path.remote);
            conn.phase = Phase::Tunnel(client);
            self.timers.set(Timer::Conn(id), None);
        }
    }

    pub(super) fn conn_timeout(&mut self, now: Time, id: ConnId) {
        let Some(conn) = self.conns.get(&id) else { return };
        match &conn.phase {
            Phase::Http { parser, busy } if *busy || parser.is_amid() => {
                let answer = Response::new(408).header("Connection", "close").body("");
                self.say(id, &[&answer]);
                self.finish(now, id);
            }
            Phase::Closing => self.remove_stuck(id),
            Phase::Handshake | Phase::Http { .. } | Phase::Granting { .. } | Phase::Tunnel(_) => {
                self.finish(now, id);
            }
        }
    }

    /// What it has to say is not taken.
    fn remove_stuck(&mut self, id: ConnId) {
        self.wake(id);
        self.remove(id);
    }

    fn bad_request(&mut self, now: Time, id: ConnId, error: HttpError) {
        let Some(conn) = self.conns.get(&id) else { return };
        let remote = conn.path.remote;
        self.stats.requests_refused += 1;
        self.out.tell(now, Event::RequestRefused { remote, error });
        let answer = Response::new(error.status()).header("Connection", "close").body("");
        self.say(id, &[&answer]);
        self.finish(now, id);
    }
}

/// Whose connections are counted together: those of an IPv6 /64.
fn address_key(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
        v4 => v4,
    }
}

fn release(by_address: &mut std::collections::BTreeMap<IpAddr, usize>, remote: SocketAddr) {
    let address = address_key(remote.ip());
    if let Some(count) = by_address.get_mut(&address) {
        *count -= 1;
        if *count == 0 {
            by_address.remove(&address);
        }
    }
}
