//! When something is due, and the liveness of channels.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use wire::Time;

use super::{Endpoint, session::Tunnel};
use crate::{Channel, ClientId, ConnId, Reason, cstp::Kind};

/// Questions without an answer after which a peer is dead.
const QUESTIONS: u32 = 3;

/// Whose time it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    Conn(ConnId),
    Client(ClientId),
}

/// One point in time for each that waits for one.
#[derive(Default)]
pub(super) struct Timers {
    ordered: BTreeSet<(Time, Timer)>,
    by_timer: BTreeMap<Timer, Time>,
}

impl Timers {
    /// Sets the time of one, in place of what it was.
    pub(super) fn set(&mut self, timer: Timer, at: Option<Time>) {
        let before = match at {
            Some(at) => self.by_timer.insert(timer, at),
            None => self.by_timer.remove(&timer),
        };
        if before != at {
            before.map(|before| self.ordered.remove(&(before, timer)));
            self.ordered.extend(at.map(|at| (at, timer)));
        }
    }

    /// Takes one whose time has come.
    pub(super) fn due(&mut self, now: Time) -> Option<Timer> {
        let (at, timer) = self.ordered.first().copied()?;
        (at <= now).then(|| self.set(timer, None)).map(|()| timer)
    }

    pub(super) fn next(&self) -> Option<Time> {
        self.ordered.first().map(|(at, _)| *at)
    }
}

/// Whether somebody is there: when they were heard, and how often they were asked since.
#[derive(Clone, Copy, Debug)]
pub(super) struct Liveness {
    heard: Time,
    asked: Option<Time>,
    questions: u32,
}

/// What to do about a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    Wait(Time),
    Ask,
    Dead,
}

impl Liveness {
    pub(super) fn new(now: Time) -> Self {
        Self { heard: now, asked: None, questions: 0 }
    }

    pub(super) fn heard(&mut self, now: Time) {
        self.heard = self.heard.max(now);
    }

    pub(super) fn last(&self) -> Time {
        self.heard
    }

    /// What is to be done now, when a peer is asked after `dpd` of silence and each such time again. If
    /// that is to ask, it counts as asked.
    pub(super) fn check(&mut self, now: Time, dpd: Duration) -> Check {
        if self.asked.is_some_and(|asked| self.heard >= asked) {
            (self.asked, self.questions) = (None, 0);
        }
        let due = self.asked.unwrap_or(self.heard) + dpd;
        if now < due {
            return Check::Wait(due);
        }
        if self.questions == QUESTIONS {
            return Check::Dead;
        }
        self.questions += 1;
        self.asked = Some(now);
        Check::Ask
    }
}

impl Endpoint {
    /// Makes sure that [`Self::client_timeout`] is called when something of a client is due.
    pub(super) fn schedule(&mut self, now: Time, client: ClientId) {
        self.timers.set(Timer::Client(client), Some(now));
    }

    /// Does what is due of a client, and says when it is to be asked again. Packets do not move timers: the
    /// time they set is looked at here.
    pub(super) fn client_timeout(&mut self, now: Time, id: ClientId) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let mut next = client.expires;
        if next.is_some_and(|at| at <= now) {
            self.end(now, id, Reason::Expired);
            return;
        }
        let limits = client.grant.as_ref().map(|grant| grant.tunnel.clone());
        let Some((limits, tunnel)) = limits.zip(client.tunnel.as_mut()) else {
            self.timers.set(Timer::Client(id), next);
            return;
        };
        let mut wait = |at: Time| next = Some(next.map_or(at, |next: Time| next.min(at)));
        if let Some(timeout) = limits.session_timeout {
            let at = client.first_connected.unwrap_or(now) + timeout;
            if at <= now {
                self.end(now, id, Reason::SessionTimeout);
                return;
            }
            wait(at);
        }
        if let Some(timeout) = limits.idle_timeout {
            let at = tunnel.last_packet() + timeout;
            if at <= now {
                self.end(now, id, Reason::IdleTimeout);
                return;
            }
            wait(at);
        }
        let dpd = limits.dpd.max(Duration::from_secs(1));
        let conn = tunnel.conn;
        // what is heard by either channel shows that the client is there
        if let Some(association) = &tunnel.association {
            tunnel.liveness.heard(association.heard());
        }
        match tunnel.liveness.check(now, dpd) {
            Check::Wait(at) => wait(at),
            Check::Ask => {
                wait(now + dpd);
                self.send_frame(conn, Kind::DpdRequest, &[]);
            }
            Check::Dead => {
                self.tunnel_lost(now, id, Reason::Dead);
                return;
            }
        }
        self.dtls_liveness(now, id, dpd, &mut wait);
        self.timers.set(Timer::Client(id), next);
    }

    fn dtls_liveness(
        &mut self,
        now: Time,
        id: ClientId,
        dpd: Duration,
        wait: &mut dyn FnMut(Time),
    ) {
        let tunnel = self.clients.get_mut(&id).and_then(|client| client.tunnel.as_mut());
        let Some(Tunnel { association: Some(association), channel, .. }) = tunnel else { return };
        let heard = association.heard();
        association.liveness.heard(heard);
        let (number, back) =
            (association.id, *channel == Channel::Cstp && heard > association.moved);
        match association.liveness.check(now, dpd) {
            Check::Wait(at) => wait(at),
            Check::Ask => {
                wait(now + dpd);
                // without numbers left it is dead soon
                let _ = self.dtls.send(now, number, &[Kind::DpdRequest.number()]);
            }
            Check::Dead => {
                self.association_gone(now, id, crate::AssociationEnd::Dead);
                return;
            }
        }
        if back {
            self.move_channel(now, id, Channel::Dtls);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_peer_is_asked_and_then_dead() {
        let dpd = Duration::from_secs(10);
        let at = Time::from_secs;
        let mut peer = Liveness::new(at(100));
        assert_eq!(peer.check(at(105), dpd), Check::Wait(at(110)));
        for question in 1..=3 {
            assert_eq!(peer.check(at(100 + 10 * question), dpd), Check::Ask);
            assert_eq!(
                peer.check(at(100 + 10 * question), dpd),
                Check::Wait(at(110 + 10 * question))
            );
        }
        let mut answered = peer;
        answered.heard(at(139));
        assert_eq!(answered.check(at(140), dpd), Check::Wait(at(149)));
        assert_eq!(answered.check(at(149), dpd), Check::Ask);
        assert_eq!(peer.check(at(140), dpd), Check::Dead);
    }

    #[test]
    fn timers_come_in_order_and_once() {
        let (a, b) = (Timer::Conn(ConnId(1)), Timer::Client(ClientId(1)));
        let mut timers = Timers::default();
        timers.set(a, Some(Time::from_secs(5)));
        timers.set(b, Some(Time::from_secs(3)));
        timers.set(a, Some(Time::from_secs(2)));
        assert_eq!(timers.next(), Some(Time::from_secs(2)));
        assert_eq!(timers.due(Time::from_secs(1)), None);
        assert_eq!(timers.due(Time::from_secs(9)), Some(a));
        timers.set(b, None);
        assert_eq!(timers.due(Time::from_secs(9)), None);
        assert_eq!(timers.next(), None);
    }
}
