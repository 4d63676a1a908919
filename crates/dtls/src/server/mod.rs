//! All associations of a gateway, and the handshakes under way, without I/O.

mod admission;
mod established;
mod event;
mod handshake;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::IpAddr,
    sync::Arc,
};

use aead::{Cookies, Selection};
use rand_core::CryptoRng;
use reason::DropReason;
use wire::Time;
use zeroize::Zeroizing;

pub use self::event::{
    AssociationId, CloseReason, Datagram, Event, Failure, Ignored, Mode, Path, Refusal, Secret,
    SendError,
};
use self::{
    admission::Told,
    established::Association,
    handshake::{Handshake, SLOW_PATH, Tools},
};
use crate::{
    Inbound, Outbound, Suite,
    message::{DecodeError, Message, alert, kind},
    record::{ContentType, EPOCH, HEADER_LEN, Header, Records},
};

/// The most records of a datagram that are looked at.
const MAX_RECORDS: usize = 16;
/// The longest protected handshake record: a Finished message and what protects it, with room to spare.
const MAX_FINISHED: usize = 256;
/// Of so many associations with one address a record from an unknown port is tried with.
const MAX_TRIED: usize = 4;

/// How a server behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Handshakes that may be under way at a time.
    pub half_open_limit: usize,
    /// Of those, from one address.
    pub half_open_per_address: usize,
    /// Associations that may stand at a time.
    pub limit: usize,
    /// Records the replay window spans, 32 to 8192; 0 for no check.
    pub replay_window: u32,
    /// The cryptographic libraries to use.
    pub selection: Selection,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            half_open_limit: 1024,
            half_open_per_address: 16,
            limit: 65_536,
            replay_window: 64,
            selection: Selection::default(),
        }
    }
}

/// An association at a moment, for views.
#[derive(Clone, Debug)]
pub struct AssociationView {
    /// Which one.
    pub id: AssociationId,
    /// From where to where.
    pub path: Path,
    /// The session ID its secret was found by.
    pub session_id: Vec<u8>,
    /// Which handshake it was.
    pub mode: Mode,
    /// Its suite.
    pub suite: Suite,
    /// Since when it stands.
    pub since: Time,
    /// What opens.
    pub inbound: Arc<Inbound>,
    /// What seals.
    pub outbound: Arc<Outbound>,
}

/// DTLS for one gateway.
///
/// After each `handle_*` the owner takes what there is: events first, so that what opens is there
/// before the client can use it, then datagrams.
pub struct Server {
    settings: Settings,
    rng: Box<dyn CryptoRng + Send>,
    cookies: Cookies,
    last_id: u64,
    handshakes: BTreeMap<AssociationId, Handshake>,
    handshake_paths: BTreeMap<Path, AssociationId>,
    handshakes_by_address: BTreeMap<IpAddr, usize>,
    timers: BTreeSet<(Time, AssociationId)>,
    associations: BTreeMap<AssociationId, Association>,
    paths: BTreeMap<Path, AssociationId>,
    by_address: BTreeSet<(IpAddr, AssociationId)>,
    told: Told,
    transmits: VecDeque<Datagram>,
    events: VecDeque<Event>,
}

impl Server {
    /// One without associations. `rng` has to be fit for keys.
    pub fn new(settings: Settings, mut rng: Box<dyn CryptoRng + Send>) -> Self {
        Self {
            settings,
            cookies: Cookies::new(&mut *rng),
            rng,
            last_id: 0,
            handshakes: BTreeMap::new(),
            handshake_paths: BTreeMap::new(),
            handshakes_by_address: BTreeMap::new(),
            timers: BTreeSet::new(),
            associations: BTreeMap::new(),
            paths: BTreeMap::new(),
            by_address: BTreeSet::new(),
            told: Told::default(),
            transmits: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// A datagram came; it is opened in place. `secrets` finds the secret of a session ID, of up to 32
    /// bytes, none at all included. `Err` says why nothing was done with the first record that nothing
    /// was done with; the others count nevertheless.
    pub fn handle_datagram(
        &mut self,
        now: Time,
        path: Path,
        bytes: &mut [u8],
        secrets: &dyn Fn(&[u8]) -> Option<Secret>,
    ) -> Result<(), Ignored> {
        let mut outcome = Ok(());
        let mut at = 0;
        for _ in 0..MAX_RECORDS {
            let Some((header, range)) = Records::of(&bytes[at..]).next() else {
                break;
            };
            let record = &mut bytes[at..][range.clone()];
            at += range.end;
            outcome = outcome.and(self.record(now, path, header, record, secrets));
        }
        if at == 0 { Err(DecodeError::NoRecord.into()) } else { outcome }
    }

    /// Sends application data.
    pub fn send(&mut self, now: Time, id: AssociationId, text: &[u8]) -> Result<(), SendError> {
        self.send_record(now, id, ContentType::ApplicationData, text)
    }

    /// Ends an association, and tells the client. There is no event. False if there is none.
    pub fn close(&mut self, now: Time, id: AssociationId) -> bool {
        let text = [alert::WARNING, alert::CLOSE_NOTIFY];
        // without a number left the client is not told, and all is over nevertheless
        let _ = self.send_record(now, id, ContentType::Alert, &text);
        self.forget(id).is_some()
    }

    /// Gives up the handshakes and forgets about the secret of a session ID that is no longer good.
    pub fn forget_session(&mut self, session_id: &[u8]) {
        let gone = self.handshakes.iter().filter(|(_, h)| h.session_id == session_id);
        for id in gone.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.drop_handshake(id);
        }
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Datagram> {
        self.transmits.pop_front()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`Server::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.timers.first().map(|(due, _)| *due)
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Time) {
        while let Some(&(due, id)) = self.timers.first()
            && due <= now
        {
            self.timers.remove(&(due, id));
            let Some(handshake) = self.handshakes.get_mut(&id) else {
                continue;
            };
            match handshake.timeout(now) {
                Ok(bytes) => {
                    let path = handshake.path;
                    self.timers.insert((handshake.deadline(), id));
                    self.transmits.push_back(Datagram { path, bytes });
                }
                Err(failure) => self.fail(id, failure),
            }
        }
    }

    /// The association at a path.
    pub fn association(&self, path: Path) -> Option<AssociationId> {
        self.paths.get(&path).copied()
    }

    /// Associations, in the order they came about.
    pub fn views(&self) -> impl Iterator<Item = AssociationView> {
        self.associations.iter().map(|(id, association)| AssociationView {
            id: *id,
            path: association.path,
            session_id: association.session_id.clone(),
            mode: association.mode,
            suite: association.suite,
            since: association.since,
            inbound: association.inbound.clone(),
            outbound: association.outbound.clone(),
        })
    }

    /// Handshakes under way.
    pub fn half_open(&self) -> usize {
        self.handshakes.len()
    }

    /// The line of a key log that decrypts an association, as Wireshark and others read it (NSS key log
    /// format). **It holds the master secret**: for the export of keys by somebody who asked for it.
    pub fn key_log_line(&self, id: AssociationId) -> Option<Zeroizing<String>> {
        self.associations.get(&id).map(Association::key_log_line)
    }

    fn record(
        &mut self,
        now: Time,
        path: Path,
        header: Header,
        record: &mut [u8],
        secrets: &dyn Fn(&[u8]) -> Option<Secret>,
    ) -> Result<(), Ignored> {
        let Some(content) = ContentType::from_byte(header.content) else {
            return Err(Ignored::Unexpected);
        };
        match header.epoch {
            0 => self.clear_record(now, path, header, content, &record[HEADER_LEN..], secrets),
            EPOCH if content == ContentType::Handshake => self.handshake_record(now, path, record),
            EPOCH => self.protected_record(now, path, header, record),
            _ => Err(Ignored::Record(DropReason::DtlsEpochUnknown)),
        }
    }

    fn clear_record(
        &mut self,
        now: Time,
        path: Path,
        header: Header,
        content: ContentType,
        mut text: &[u8],
        secrets: &dyn Fn(&[u8]) -> Option<Secret>,
    ) -> Result<(), Ignored> {
        match content {
            ContentType::Handshake => {}
            ContentType::Alert => {
                if let Some(id) = self.handshake_paths.get(&path)
                    && let Some(handshake) = self.handshakes.get_mut(id)
                {
                    handshake.note_alert(text);
                }
                return Ok(());
            }
            // the epoch of the records behind it says as much
            ContentType::ChangeCipherSpec => return Ok(()),
            ContentType::ApplicationData => return Err(Ignored::Unexpected),
        }
        while !text.is_empty() {
            let (message, rest) = Message::decode(text)?;
            text = rest;
            if message.kind == kind::CLIENT_HELLO {
                self.hello(now, path, header.number, &message, secrets)?;
                continue;
            }
            let id = self.handshake_paths.get(&path).copied();
            let handshake = id.and_then(|id| self.handshakes.get_mut(&id));
            let Some(handshake) = handshake else {
                // what was lost on the way to us comes again with all of its flight
                let known = self.paths.contains_key(&path);
                return Err(if known { Ignored::Unexpected } else { Ignored::NoAssociation });
            };
            handshake.message(&message, &tools(&self.settings))?;
        }
        Ok(())
    }

    /// The client's Finished, of a handshake under way or once more.
    fn handshake_record(
        &mut self,
        now: Time,
        path: Path,
        record: &mut [u8],
    ) -> Result<(), Ignored> {
        let mut outcome = Err(Ignored::NoAssociation);
        if let Some(&id) = self.handshake_paths.get(&path)
            && let Some(handshake) = self.handshakes.get_mut(&id)
        {
            let mut copy = [0; MAX_FINISHED];
            let copy = copy.get_mut(..record.len()).ok_or(Ignored::Unexpected)?;
            copy.copy_from_slice(record);
            match handshake.finish(copy, now) {
                Ok((association, last)) => {
                    self.establish(id, association, last);
                    return Ok(());
                }
                Err(Ignored::BadFinished) => {
                    self.fail(id, Failure::BadFinished);
                    return Err(Ignored::BadFinished);
                }
                // it may be of the association before
                Err(ignored) => outcome = Err(ignored),
            }
        }
        let Some(&id) = self.paths.get(&path) else {
            return outcome;
        };
        let association =
            self.associations.get_mut(&id).expect("invariant: paths are of associations");
        let opened = association.inbound.open_record(record, SLOW_PATH, now);
        let (_, text) = opened.map_err(Ignored::Record)?;
        let (message, _) = Message::decode(&record[text])?;
        match message.kind {
            // our last flight was lost (RFC 6347 §4.2.4)
            kind::FINISHED => {
                if let Some(bytes) = association.last_flight(now) {
                    self.transmits.push_back(Datagram { path, bytes });
                }
                Ok(())
            }
            kind::CLIENT_HELLO => {
                let text = [alert::WARNING, alert::NO_RENEGOTIATION];
                // without a number left there is nobody to tell
                let _ = self.send_record(now, id, ContentType::Alert, &text);
                Err(Ignored::Renegotiation)
            }
            _ => Err(Ignored::Unexpected),
        }
    }

    fn protected_record(
        &mut self,
        now: Time,
        path: Path,
        header: Header,
        record: &mut [u8],
    ) -> Result<(), Ignored> {
        let Some(&id) = self.paths.get(&path) else {
            // it may have come before the Finished that it follows
            if self.handshake_paths.contains_key(&path) {
                return Err(Ignored::Unexpected);
            }
            return self.elsewhere(now, path, header, record);
        };
        let association = self.associations.get(&id).expect("invariant: paths are of associations");
        let opened = association.inbound.open_record(record, SLOW_PATH, now);
        let (content, text) = opened.map_err(Ignored::Record)?;
        self.opened(now, id, content, &record[text])
    }

    /// A record from where no association is: of one whose client's port has changed, if it is newer
    /// than all others of it, so that nobody who held records back can move it.
    fn elsewhere(
        &mut self,
        now: Time,
        path: Path,
        header: Header,
        record: &mut [u8],
    ) -> Result<(), Ignored> {
        let address = path.remote.ip();
        let first = (address, AssociationId(0));
        let last = (address, AssociationId(u64::MAX));
        let candidates: Vec<AssociationId> =
            self.by_address.range(first..=last).rev().take(MAX_TRIED).map(|(_, id)| *id).collect();
        for id in candidates {
            let Some(association) = self.associations.get_mut(&id) else {
                continue;
            };
            let same = association.path.local == path.local;
            if !same || header.number < association.inbound.numbers() {
                continue;
            }
            let mut copy = record.to_vec();
            let opened = association.inbound.open_record(&mut copy, SLOW_PATH, now);
            let Ok((content, text)) = opened else {
                continue;
            };
            let outbound = Arc::new(association.outbound.moved(path));
            let before = std::mem::replace(&mut association.path, path);
            association.outbound = outbound.clone();
            self.paths.remove(&before);
            self.paths.insert(path, id);
            self.events.push_back(Event::Moved { id, path, outbound });
            return self.opened(now, id, content, &copy[text]);
        }
        Err(Ignored::NoAssociation)
    }

    /// What was in a protected record.
    fn opened(
        &mut self,
        now: Time,
        id: AssociationId,
        content: ContentType,
        text: &[u8],
    ) -> Result<(), Ignored> {
        match (content, text) {
            (ContentType::ApplicationData, bytes) => {
                self.events.push_back(Event::Data { id, bytes: bytes.to_vec() });
                Ok(())
            }
            (ContentType::Alert, [alert::WARNING | alert::FATAL, alert::CLOSE_NOTIFY]) => {
                self.close(now, id);
                self.events.push_back(Event::Closed { id, reason: CloseReason::CloseNotify });
                Ok(())
            }
            (ContentType::Alert, [alert::FATAL, number]) => {
                self.forget(id);
                let reason = CloseReason::Alert(*number);
                self.events.push_back(Event::Closed { id, reason });
                Ok(())
            }
            (ContentType::Alert, [alert::WARNING, _]) => Ok(()),
            (ContentType::Alert | ContentType::ChangeCipherSpec | ContentType::Handshake, _) => {
                Err(Ignored::Unexpected)
            }
        }
    }

    fn establish(&mut self, id: AssociationId, association: Association, last: Option<Vec<u8>>) {
        self.drop_handshake(id);
        let path = association.path;
        if let Some(before) = self.paths.get(&path).copied() {
            self.forget(before);
            self.events.push_back(Event::Closed { id: before, reason: CloseReason::Replaced });
        }
        self.events.push_back(Event::Established {
            id,
            path,
            session_id: association.session_id.clone(),
            mode: association.mode,
            suite: association.suite,
            inbound: association.inbound.clone(),
            outbound: association.outbound.clone(),
        });
        self.paths.insert(path, id);
        self.by_address.insert((path.remote.ip(), id));
        self.associations.insert(id, association);
        if let Some(bytes) = last {
            self.transmits.push_back(Datagram { path, bytes });
        }
    }

    /// An association is over: nobody seals with it any more.
    fn forget(&mut self, id: AssociationId) -> Option<Association> {
        let association = self.associations.remove(&id)?;
        association.outbound.end();
        self.paths.remove(&association.path);
        self.by_address.remove(&(association.path.remote.ip(), id));
        Some(association)
    }

    fn send_record(
        &mut self,
        now: Time,
        id: AssociationId,
        content: ContentType,
        text: &[u8],
    ) -> Result<(), SendError> {
        let association = self.associations.get(&id).ok_or(SendError::NoAssociation)?;
        let sealed = association.outbound.seal_record(content, text, SLOW_PATH, now);
        let (bytes, path) = (sealed.map_err(SendError::Record)?, association.path);
        self.transmits.push_back(Datagram { path, bytes });
        Ok(())
    }
}

fn tools(settings: &Settings) -> Tools<'_> {
    Tools { selection: &settings.selection, replay_window: settings.replay_window }
}
