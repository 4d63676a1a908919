//! First messages: what is looked at, and what is kept about them.
//!
//! Anybody can send one, from any address. So nothing is kept before its sender has shown that it has its
//! address, and no answer is longer than the question.

use std::time::Duration;

use wire::Time;

use super::{
    AssociationId, Datagram, Event, Failure, Handshake, Ignored, Path, Refusal, Secret, Server,
    tools,
};
use crate::{
    message::{self, ClientHello, Message, alert, kind},
    record::{ContentType, VERSION},
};

/// Refusals that are told as events, in [`PERIOD`]; the caller counts the others.
const TOLD: u32 = 20;
const PERIOD: Duration = Duration::from_secs(1);

const DTLS_1_0: u16 = 0xfeff;
/// What Cisco and OpenSSL had before DTLS 1.0.
const DTLS_0_9: u16 = 0x0100;

/// How much was told of refusals lately.
#[derive(Default)]
pub(super) struct Told {
    since: Time,
    count: u32,
}

impl Told {
    fn may(&mut self, now: Time) -> bool {
        if now.since(self.since) >= PERIOD {
            *self = Self { since: now, count: 0 };
        }
        self.count += 1;
        self.count <= TOLD
    }
}

impl Server {
    /// A ClientHello, in a record with this number.
    pub(super) fn hello(
        &mut self,
        now: Time,
        path: Path,
        number: u64,
        message: &Message<'_>,
        secrets: &dyn Fn(&[u8]) -> Option<Secret>,
    ) -> Result<(), Ignored> {
        let hello = ClientHello::decode(message.body())?;
        if let Err(refusal) = acceptable(&hello) {
            return Err(self.refuse(now, path, number, refusal));
        }
        if !self.cookies.check(now, path.remote, &hello.covered(), hello.cookie) {
            let cookie = self.cookies.make(now, &mut *self.rng, path.remote, &hello.covered());
            let body = message::hello_verify_request(&cookie);
            // it has the numbers of what it answers, so that nothing has to be kept (RFC 6347 §4.2.1)
            let request = message::encode(kind::HELLO_VERIFY_REQUEST, 0, &body);
            let bytes = message::clear_record(ContentType::Handshake, number, &request);
            self.transmits.push_back(Datagram { path, bytes });
            return Ok(());
        }
        let under_way = self.handshake_paths.get(&path).copied();
        if let Some(id) = under_way
            && let Some(handshake) = self.handshakes.get_mut(&id)
            && handshake.began_with(&hello)
        {
            // the client has not seen the answer; our timer runs on, so that nothing lives for ever
            let bytes = handshake.flight(now);
            self.transmits.push_back(Datagram { path, bytes });
            return Ok(());
        }
        let standing = self.paths.get(&path).and_then(|id| self.associations.get(id));
        if standing.is_some_and(|standing| standing.client_random == *hello.random) {
            // of the handshake that is done: late, or somebody's who listened
            return Err(Ignored::Unexpected);
        }
        let address = path.remote.ip();
        let from_there = self.handshakes_by_address.get(&address).copied().unwrap_or(0);
        let replaces = usize::from(under_way.is_some());
        if self.handshakes.len() - replaces >= self.settings.half_open_limit
            || from_there.saturating_sub(replaces) >= self.settings.half_open_per_address
        {
            return Err(Ignored::HalfOpen);
        }
        if self.associations.len() >= self.settings.limit {
            return Err(Ignored::Full);
        }
        let Some(secret) = secrets(hello.session_id) else {
            return Err(self.refuse(now, path, number, Refusal::UnknownSession));
        };
        let mut random = [0; 32];
        self.rng.fill_bytes(&mut random);
        let tools = tools(&self.settings);
        let accepted = Handshake::accept(path, number, message, &hello, secret, random, &tools);
        let mut handshake = match accepted {
            Ok(handshake) => handshake,
            Err(refusal) => return Err(self.refuse(now, path, number, refusal)),
        };
        if let Some(id) = under_way {
            self.fail(id, Failure::Replaced);
        }
        self.last_id += 1;
        let id = AssociationId(self.last_id);
        handshake.arm(now);
        let bytes = handshake.flight(now);
        self.timers.insert((handshake.deadline(), id));
        self.handshakes.insert(id, handshake);
        self.handshake_paths.insert(path, id);
        *self.handshakes_by_address.entry(address).or_default() += 1;
        self.transmits.push_back(Datagram { path, bytes });
        Ok(())
    }

    /// Answers with an alert and keeps nothing.
    fn refuse(&mut self, now: Time, path: Path, number: u64, refusal: Refusal) -> Ignored {
        let description = match refusal {
            Refusal::Dtls10 | Refusal::Dtls09 | Refusal::Version => alert::PROTOCOL_VERSION,
            Refusal::Compression => alert::ILLEGAL_PARAMETER,
            Refusal::CbcOnly | Refusal::NoCommonSuite => alert::HANDSHAKE_FAILURE,
            Refusal::Renegotiation | Refusal::BadSecret => alert::HANDSHAKE_FAILURE,
            Refusal::UnknownSession => alert::UNKNOWN_PSK_IDENTITY,
        };
        let text = [alert::FATAL, description];
        let bytes = message::clear_record(ContentType::Alert, number, &text);
        self.transmits.push_back(Datagram { path, bytes });
        if self.told.may(now) {
            self.events.push_back(Event::Refused { path, refusal });
        }
        refusal.into()
    }

    /// A handshake came to nothing.
    pub(super) fn fail(&mut self, id: AssociationId, failure: Failure) {
        if let Some(handshake) = self.drop_handshake(id) {
            let Handshake { path, session_id, .. } = handshake;
            self.events.push_back(Event::Failed { path, session_id, failure });
        }
    }

    /// A handshake is over, one way or the other.
    pub(super) fn drop_handshake(&mut self, id: AssociationId) -> Option<Handshake> {
        let handshake = self.handshakes.remove(&id)?;
        self.timers.remove(&(handshake.deadline(), id));
        self.handshake_paths.remove(&handshake.path);
        let address = handshake.path.remote.ip();
        if let Some(count) = self.handshakes_by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.handshakes_by_address.remove(&address);
            }
        }
        Some(handshake)
    }
}

/// What can be told without knowing whose it is.
fn acceptable(hello: &ClientHello<'_>) -> Result<(), Refusal> {
    match hello.version {
        DTLS_1_0 => return Err(Refusal::Dtls10),
        DTLS_0_9 => return Err(Refusal::Dtls09),
        // later versions have lower numbers, and the first byte of 1.0
        version if version > VERSION || version >> 8 != VERSION >> 8 => {
            return Err(Refusal::Version);
        }
        _ => {}
    }
    if !hello.compressions.contains(&0) {
        return Err(Refusal::Compression);
    }
    if hello.renegotiates {
        return Err(Refusal::Renegotiation);
    }
    Ok(())
}
