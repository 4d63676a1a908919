//! The event log: a bounded ring of what an operator may want to know afterwards.

use std::collections::VecDeque;

use wire::Time;

/// What kind of event; the name is what `events` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventKind {
    /// A session of a policy with `log = true` began.
    SessionStart,
    /// A session of a policy with `log = true` ended.
    SessionEnd,
    /// A next hop stopped answering.
    NeighbourLost,
    /// Another station uses one of the gateway's own addresses.
    AddressConflict,
    /// A port's link came up.
    LinkUp,
    /// A port's link went down or its device vanished.
    LinkDown,
    /// An SA could not be made.
    TunnelFault,
    /// An SA has grown old or has ended.
    SaExpiry,
    /// A peer is authenticated.
    IkeUp,
    /// The last IKE SA with a peer is gone.
    IkeDown,
    /// Something was to be negotiated, and failed.
    IkeFailed,
    /// A peer behind a NAT has another address or port.
    IkeMoved,
    /// A peer does not answer, and is asked again.
    IkeSilent,
    /// A peer that did not answer does so again.
    IkeAnswers,
    /// A negotiated tunnel carries packets.
    TunnelUp,
    /// A negotiated tunnel carries no packets any more.
    TunnelDown,
    /// A user is behind an address.
    UserLogin,
    /// A user is no longer behind an address.
    UserLogout,
    /// Somebody logged in for remote access.
    RemoteLogin,
    /// Somebody could not.
    RemoteLoginFailed,
    /// A user or address is locked after too many failed logins.
    RemoteUserLocked,
    /// A connection, a handshake or a request for addresses of remote access was refused.
    RemoteRefused,
    /// A client has a tunnel.
    RemoteUp,
    /// A client has another tunnel: a rekey, or it came again.
    RemoteAgain,
    /// A client has a DTLS association.
    RemoteDtlsUp,
    /// A client's port has changed.
    RemoteMoved,
    /// Packets of a client go another way.
    RemoteChannel,
    /// A client has no tunnel any more.
    RemoteDown,
    /// A client is gone.
    RemoteLogout,
    /// A configuration was applied.
    ConfigApplied,
    /// Somebody began to capture packets.
    CaptureStarted,
    /// Somebody was given the keys of SAs.
    KeysExported,
    /// A sensor's threshold was passed.
    SensorExceeded,
    /// Policies came into force or went out of it by their schedule.
    ScheduleChanged,
    /// The audit found and repaired a difference between ledger and engine.
    DriftRepaired,
    /// The session table refused a session; at most one a second.
    SessionTableFull,
    /// A pool refused a translation; at most one a second.
    PoolExhausted,
}

impl EventKind {
    /// Kebab-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SessionStart => "session-start",
            Self::SessionEnd => "session-end",
            Self::NeighbourLost => "neighbour-lost",
            Self::AddressConflict => "address-conflict",
            Self::LinkUp => "link-up",
            Self::LinkDown => "link-down",
            Self::TunnelFault => "tunnel-fault",
            Self::SaExpiry => "sa-expiry",
            Self::IkeUp => "ike-up",
            Self::IkeDown => "ike-down",
            Self::IkeFailed => "ike-failed",
            Self::IkeMoved => "ike-moved",
            Self::IkeSilent => "ike-silent",
            Self::IkeAnswers => "ike-answers",
            Self::TunnelUp => "tunnel-up",
            Self::TunnelDown => "tunnel-down",
            Self::UserLogin => "user-login",
            Self::UserLogout => "user-logout",
            Self::RemoteLogin => "remote-login",
            Self::RemoteLoginFailed => "remote-login-failed",
            Self::RemoteUserLocked => "remote-user-locked",
            Self::RemoteRefused => "remote-refused",
            Self::RemoteUp => "remote-up",
            Self::RemoteAgain => "remote-again",
            Self::RemoteDtlsUp => "remote-dtls-up",
            Self::RemoteMoved => "remote-moved",
            Self::RemoteChannel => "remote-channel",
            Self::RemoteDown => "remote-down",
            Self::RemoteLogout => "remote-logout",
            Self::ConfigApplied => "config-applied",
            Self::CaptureStarted => "capture-started",
            Self::KeysExported => "keys-exported",
            Self::SensorExceeded => "sensor-exceeded",
            Self::ScheduleChanged => "schedule-changed",
            Self::DriftRepaired => "drift-repaired",
            Self::SessionTableFull => "session-table-full",
            Self::PoolExhausted => "pool-exhausted",
        }
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Number, counted from 1; gaps mean that the ring overran.
    pub number: u64,
    /// When.
    pub time: Time,
    /// What kind.
    pub kind: EventKind,
    /// What happened, in words.
    pub text: String,
}

/// The ring.
#[derive(Debug)]
pub struct Events {
    ring: VecDeque<Event>,
    capacity: usize,
    next: u64,
}

impl Events {
    /// Room for the `capacity` newest events.
    pub fn new(capacity: u32) -> Self {
        Self { ring: VecDeque::new(), capacity: capacity.max(1) as usize, next: 1 }
    }

    /// Writes an event.
    pub fn push(&mut self, time: Time, kind: EventKind, text: String) {
        if self.ring.len() >= self.capacity {
            self.ring.pop_front();
        }
        self.ring.push_back(Event { number: self.next, time, kind, text });
        self.next += 1;
    }

    /// Writes an event unless one of its kind was written within the last second.
    pub fn push_limited(&mut self, time: Time, kind: EventKind, text: impl FnOnce() -> String) {
        let recent = self.ring.iter().rev().take(64).find(|event| event.kind == kind);
        if recent.is_none_or(|event| time.since(event.time).as_secs() >= 1) {
            self.push(time, kind, text());
        }
    }

    /// Events with a number above `after`, oldest first.
    pub fn since(&self, after: u64) -> impl Iterator<Item = &Event> {
        self.ring.iter().filter(move |event| event.number > after)
    }

    /// Number of the newest event; zero if there was none.
    pub const fn newest(&self) -> u64 {
        self.next - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ring_keeps_the_newest_and_numbers_go_on() {
        let mut events = Events::new(2);
        for i in 0..3 {
            events.push(Time::from_secs(i), EventKind::LinkUp, i.to_string());
        }
        let kept: Vec<_> = events.since(0).map(|e| (e.number, e.text.as_str())).collect();
        assert_eq!(kept, [(2, "1"), (3, "2")]);
        assert_eq!(events.since(2).count(), 1);
    }

    #[test]
    fn a_limited_event_is_written_once_a_second() {
        let mut events = Events::new(8);
        for millis in [0, 10, 999, 1_000, 1_500] {
            let at = Time::from_millis(millis);
            events.push_limited(at, EventKind::PoolExhausted, || millis.to_string());
        }
        assert_eq!(events.since(0).map(|e| e.text.as_str()).collect::<Vec<_>>(), ["0", "1000"]);
    }
}
