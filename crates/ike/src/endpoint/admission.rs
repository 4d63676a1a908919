//! First messages of peers: what is looked at, and what is kept about it.
//!
//! Anybody can send one, from any address. So nothing is kept without need, no answer is longer than
//! the question but for a full one, and under load a peer shows first that it has its address.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use aead::Cookies;
use rand_core::CryptoRng;
use wire::Time;

use super::{Endpoint, candidates};
use crate::{
    Connection, Event, Ignored, IkeId, Path,
    message::{HEADER_LEN, Header, Message, Notify, Payload, VERSION, notify_type},
    sa::{Context, IkeSa, InitQuestion},
};

/// Refusals that are told as events in [`PERIOD`], and messages without an IKE SA that are answered; of
/// the others the caller knows.
const TOLD: u32 = 20;
const PERIOD: Duration = Duration::from_secs(1);
/// The longest first message in bytes: it is kept until its sender is authenticated, as AUTH covers it.
const MAX_FIRST: usize = 8192;

/// Who is at the door.
pub(super) struct Admission {
    cookies: Cookies,
    /// IKE SAs that are not authenticated, by the initiator's SPI and address.
    by_peer: BTreeMap<(u64, SocketAddr), IkeId>,
    peers: BTreeMap<IkeId, (u64, SocketAddr)>,
    by_address: BTreeMap<IpAddr, usize>,
    told: Few,
    /// Answers about messages that belong to no IKE SA.
    answered: Few,
}

/// Counts what may happen [`TOLD`] times in [`PERIOD`].
#[derive(Default)]
struct Few {
    since: Time,
    count: u32,
}

impl Few {
    fn may(&mut self, now: Time) -> bool {
        if now.since(self.since) >= PERIOD {
            *self = Self { since: now, count: 0 };
        }
        self.count += 1;
        self.count <= TOLD
    }
}

impl Admission {
    pub(super) fn new(rng: &mut (dyn CryptoRng + Send)) -> Self {
        Self {
            cookies: Cookies::new(rng),
            by_peer: BTreeMap::new(),
            peers: BTreeMap::new(),
            by_address: BTreeMap::new(),
            told: Few::default(),
            answered: Few::default(),
        }
    }

    pub(super) fn half_open(&self) -> usize {
        self.peers.len()
    }

    fn enter(&mut self, id: IkeId, spi: u64, remote: SocketAddr) {
        self.by_peer.insert((spi, remote), id);
        self.peers.insert(id, (spi, remote));
        *self.by_address.entry(remote.ip()).or_default() += 1;
    }

    /// It is authenticated, or gone.
    pub(super) fn left(&mut self, id: IkeId) {
        let Some(peer) = self.peers.remove(&id) else { return };
        self.by_peer.remove(&peer);
        let address = peer.1.ip();
        if let Some(count) = self.by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&address);
            }
        }
    }
}

impl Endpoint {
    /// A request of IKE_SA_INIT.
    pub(super) fn admit(
        &mut self,
        now: Time,
        path: Path,
        bytes: &[u8],
        header: Header,
        payloads: &[Payload],
    ) -> Result<(), Ignored> {
        if header.responder_spi != 0 || header.message_id != 0 || !header.from_initiator {
            return Err(Ignored::Unexpected);
        }
        if bytes.len() > MAX_FIRST {
            return Err(Ignored::TooLong);
        }
        let spi = header.initiator_spi;
        if let Some(id) = self.admission.by_peer.get(&(spi, path.remote)) {
            let again = self.with(now, *id, |sa, ctx| sa.init_again(ctx, path, bytes));
            return again.unwrap_or(Err(Ignored::UnknownSpi));
        }
        let candidates: Vec<Arc<Connection>> =
            candidates(&self.connections, path).cloned().collect();
        if candidates.is_empty() {
            return Err(Ignored::NoConnection);
        }
        if self.admission.half_open() >= self.settings.half_open_limit {
            return Err(Ignored::HalfOpen);
        }
        if self.admission.half_open() >= self.settings.cookie_threshold
            && !self.shows_cookie(now, path, spi, payloads)
        {
            let nonce = payloads.iter().find_map(|payload| match payload {
                Payload::Nonce(nonce) => Some(nonce.as_slice()),
                _ => None,
            });
            let Some(nonce) = nonce else { return Err(Ignored::Unexpected) };
            let cookie = self.admission.cookies.make(
                now,
                &mut *self.rng,
                path.remote,
                &[&spi.to_be_bytes(), nonce],
            );
            self.answer_in_clear(path, header, Notify::new(notify_type::COOKIE, cookie));
            return Ok(());
        }
        let from_there = self.admission.by_address.get(&path.remote.ip()).copied();
        if from_there.unwrap_or(0) >= self.settings.half_open_per_address {
            return Err(Ignored::HalfOpen);
        }
        let mut ctx = Context {
            now,
            rng: &mut *self.rng,
            settings: &self.settings,
            connections: &self.connections,
            out: &mut self.out,
        };
        let question = InitQuestion { bytes, header, payloads };
        match IkeSa::accept(&mut ctx, &candidates, path, &question) {
            Ok(sa) => {
                let id = sa.id;
                self.admission.enter(id, spi, path.remote);
                self.insert(sa);
                self.settle(now, id);
            }
            Err(refusal) => {
                let (notify, failure) = *refusal;
                let kind = notify.kind;
                self.answer_in_clear(path, header, notify);
                // to ask for another key exchange is no failure
                if kind != notify_type::INVALID_KE_PAYLOAD && self.admission.told.may(now) {
                    let connection = candidates.first().map(|c| c.name.clone());
                    self.out.event(Event::Failed { ike: None, connection, path, failure });
                }
            }
        }
        Ok(())
    }

    fn shows_cookie(&self, now: Time, path: Path, spi: u64, payloads: &[Payload]) -> bool {
        // it is the first payload (RFC 7296 §2.6)
        let [Payload::Notify(first), rest @ ..] = payloads else { return false };
        let nonce = rest.iter().find_map(|payload| match payload {
            Payload::Nonce(nonce) => Some(nonce.as_slice()),
            _ => None,
        });
        first.kind == notify_type::COOKIE
            && nonce.is_some_and(|nonce| {
                let said: [&[u8]; 2] = [&spi.to_be_bytes(), nonce];
                self.admission.cookies.check(now, path.remote, &said, &first.data)
            })
    }

    /// A request is of a version to come: says which one is spoken (RFC 7296 §2.5).
    pub(super) fn tell_version(&mut self, now: Time, path: Path, bytes: &[u8]) {
        let mut bytes = bytes.to_vec();
        // the header has its place in every version
        let Some(version) = bytes.get_mut(17) else { return };
        *version = VERSION;
        let length = bytes.len();
        bytes[24..HEADER_LEN].copy_from_slice(&(length as u32).to_be_bytes());
        if let Ok((header, ..)) = Header::decode(&bytes) {
            self.tell(now, path, header, notify_type::INVALID_MAJOR_VERSION);
        }
    }

    /// A request is of an IKE SA that is not there: says so, which the peer may take as a reason to look
    /// whether we still have it (RFC 7296 §2.21.4).
    pub(super) fn tell_unknown(&mut self, now: Time, path: Path, header: Header) {
        self.tell(now, path, header, notify_type::INVALID_IKE_SPI);
    }

    /// Nobody answers an answer, and strangers get few.
    fn tell(&mut self, now: Time, path: Path, header: Header, kind: u16) {
        let may_be_peer = candidates(&self.connections, path).next().is_some();
        if !header.is_response && may_be_peer && self.admission.answered.may(now) {
            self.answer_in_clear(path, header, Notify::new(kind, []));
        }
    }

    /// Answers what belongs to no IKE SA, and keeps nothing.
    fn answer_in_clear(&mut self, path: Path, header: Header, notify: Notify) {
        let from_initiator = !header.from_initiator;
        let header = Header { from_initiator, is_response: true, ..header };
        let bytes = Message { header, payloads: vec![Payload::Notify(notify)] }.encode();
        self.out.transmit(&self.settings, path, &bytes);
    }
}
