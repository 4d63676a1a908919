//! What the endpoint tells, and what becomes of it.

use core::time::Duration;
use std::sync::Arc;

use ::ike::{DownReason, Event, Failure, IkeId, IkeUp, MessageRecord, Path};
use config::model::{DpdAction, Start, Tunnel, TunnelId};
use wire::Time;

use super::{Failed, Logged, Phase, STRANGERS};
use crate::{Gateway, events::EventKind};

/// A peer that ended what we want up is not pressed at once.
const AFTER_DELETION: Duration = Duration::from_secs(2);

impl Gateway {
    pub(super) fn handle_ike_event(&mut self, event: Event, now: Time) {
        match event {
            Event::IkeUp(up) => self.ike_up(up, now),
            Event::IkeRekeyed { old, new } => self.ike_rekeyed(old, new),
            Event::AddressesWanted(wanted) => self.addresses_wanted(&wanted, now),
            Event::IkeDown { ike, connection, reason } => {
                self.release_addresses(ike, now);
                self.ike_down(ike, &connection, &reason, now);
            }
            Event::ChildInboundReady(sa) => self.child_agreed(&sa, now),
            Event::ChildUp { child } => {
                self.child_sends(child, None, now);
                self.child_is_up(child, now);
            }
            Event::ChildRekeyed { old, new } => {
                self.child_sends(new, Some(old), now);
                self.child_is_up(new, now);
            }
            Event::ChildGone { child, reason } => self.child_down(child, &reason, now),
            Event::PathChanged { ike, path } => {
                if let Some(up) = self.up_mut(ike) {
                    up.path = path;
                }
                self.path_changed(ike, path, now);
                let text = format!("the peer has moved: {path}");
                self.events.push(now, EventKind::IkeMoved, text);
            }
            Event::Unanswered { ike, connection, path, exchange, tries } => {
                let failure = Failure::Timeout { exchange, tries };
                self.ike_unanswered(ike, &connection, Failed { at: now, path, failure });
            }
            Event::Answered { ike, connection } => {
                if let Some(standing) = self.ike.peers.get_mut(&*connection)
                    && standing.silent.remove(&ike).is_some()
                {
                    let text = format!("{connection}: the peer answers again");
                    self.events.push(now, EventKind::IkeAnswers, text);
                }
            }
            Event::Failed { ike, connection, path, failure } => {
                self.no_more_silent(ike, connection.as_deref());
                self.ike_failed(connection.as_deref(), path, failure, now);
            }
            Event::Message(record) => self.ike_message(record, now),
        }
    }

    /// A peer does not answer. Told at once; what becomes of it is told when all tries are used up.
    fn ike_unanswered(&mut self, ike: IkeId, connection: &str, failed: Failed) {
        let Some(standing) = self.ike.peers.get_mut(connection) else { return };
        let (at, failure) = (failed.at, failed.failure.clone());
        if standing.silent.insert(ike, failed).is_none() {
            let text = format!("{connection}: {failure}; it is asked again");
            self.events.push_limited(at, EventKind::IkeSilent, || text);
        }
    }

    /// An IKE SA is up, or gone.
    fn no_more_silent(&mut self, ike: Option<IkeId>, connection: Option<&str>) {
        let standing = connection.and_then(|name| self.ike.peers.get_mut(name));
        if let (Some(standing), Some(ike)) = (standing, ike) {
            standing.silent.remove(&ike);
        }
    }

    fn up_mut(&mut self, ike: IkeId) -> Option<&mut IkeUp> {
        self.ike.peers.values_mut().find_map(|peer| peer.sas.get_mut(ike))
    }

    fn ike_up(&mut self, up: Box<IkeUp>, now: Time) {
        let Some(standing) = self.ike.peers.get_mut(&*up.connection) else { return };
        let (connection, initiator) = (Arc::clone(&up.connection), up.initiator);
        let mut text = format!("{connection}: {} with {}", up.algorithms, up.remote_identity);
        for address in &up.addresses {
            let way = if initiator { "we are" } else { "it is" };
            text.push_str(&format!(", {way} {address}"));
        }
        self.ike.given_changed |= initiator && !up.addresses.is_empty();
        standing.enter(Phase::Up, now);
        (standing.failure, standing.tries) = (None, 0);
        standing.sas.insert(up.ike, up, now);
        // what the peer does not make by itself is ours to ask for
        let wait = if initiator { Duration::ZERO } else { AFTER_DELETION };
        self.ike.retry_at(&connection, Some(now + wait));
        self.events.push(now, EventKind::IkeUp, text);
        self.keep_one(&connection, now);
    }

    /// Both ends began at the same time, and there are two IKE SAs where one will do. Of each two the
    /// one whose initiator's SPI is the lower goes, by its initiator, so that both ends mean the same.
    fn keep_one(&mut self, connection: &str, now: Time) {
        let peer = self.config.peers.iter().find(|peer| peer.name == connection);
        // at any address there may be many peers
        if peer.is_none_or(|peer| peer.remote.is_none()) {
            return;
        }
        let Some(standing) = self.ike.peers.get(connection) else { return };
        let spi = |up: &IkeUp| if up.initiator { up.spis[0] } else { up.spis[1] };
        let highest = standing.sas.iter().map(|(_, up, _)| spi(up)).max();
        let ours = standing
            .sas
            .iter()
            .filter(|(_, up, _)| up.initiator && highest.is_some_and(|highest| spi(up) < highest));
        let surplus: Vec<_> = ours.map(|(id, ..)| id).collect();
        for id in surplus {
            self.ask_ike(id, ::ike::Task::DeleteIke, now);
        }
    }

    fn ike_rekeyed(&mut self, old: IkeId, new: IkeId) {
        if let Some(leases) = self.ike.leases.remove(&old) {
            self.ike.leases.insert(new, leases);
        }
        for standing in self.ike.peers.values_mut() {
            standing.silent.remove(&old);
            if let Some((mut up, at)) = standing.sas.remove(old) {
                up.ike = new;
                standing.sas.insert(new, up, at);
            }
        }
        self.tunnels.rename_ike(old, new);
    }

    fn ike_down(&mut self, ike: IkeId, connection: &str, reason: &DownReason, now: Time) {
        let config = Arc::clone(&self.config);
        self.no_more_silent(Some(ike), Some(connection));
        let Some(standing) = self.ike.peers.get_mut(connection) else { return };
        let gone = standing.sas.remove(ike);
        let was_up = gone.is_some();
        self.ike.given_changed |=
            gone.is_some_and(|(up, _)| up.initiator && !up.addresses.is_empty());
        let peer = config.peers.iter().find(|peer| peer.name == connection);
        let Some(peer) = peer.filter(|_| standing.sas.is_empty()) else { return };
        if was_up {
            let phase = match reason {
                DownReason::PeerDead | DownReason::Protocol(_) => Phase::Down,
                DownReason::Deleted
                | DownReason::PeerDeleted
                | DownReason::Replaced
                | DownReason::InitialContact
                | DownReason::Expired
                | DownReason::IkeDown
                | DownReason::Redundant
                | DownReason::Unconfigured => Phase::Idle,
            };
            standing.enter(phase, now);
            let again = match reason {
                DownReason::PeerDead => peer.dpd_action == DpdAction::Restart,
                DownReason::Deleted
                | DownReason::PeerDeleted
                | DownReason::Replaced
                | DownReason::InitialContact
                | DownReason::Expired
                | DownReason::IkeDown
                | DownReason::Redundant
                | DownReason::Protocol(_)
                | DownReason::Unconfigured => true,
            };
            let wait = match reason {
                DownReason::PeerDeleted | DownReason::InitialContact => AFTER_DELETION,
                _ => Duration::ZERO,
            };
            standing.wanted.clear();
            let retry = (again && peer.start == Start::Load).then_some(now + wait);
            self.ike.retry_at(connection, retry);
            let text = format!("{connection}: {reason}");
            self.events.push(now, EventKind::IkeDown, text);
        }
    }

    /// A child sends: what waited for it goes.
    fn child_is_up(&mut self, child: ::ike::ChildId, now: Time) {
        self.watch_from(now);
        let Some((tunnel, name, replaced)) = self.name_of(child) else { return };
        let key = super::connections::ike_name(&tunnel, &name);
        for standing in self.ike.peers.values_mut() {
            standing.wanted.retain(|wanted| *wanted != key);
        }
        if !replaced {
            let text = format!("tunnel {tunnel}: {name}");
            self.events.push(now, EventKind::TunnelUp, text);
        }
        self.release_waiting(&tunnel, now);
    }

    fn child_down(&mut self, child: ::ike::ChildId, reason: &DownReason, now: Time) {
        let named = self.name_of(child);
        let replaced = *reason == DownReason::Replaced;
        let sent = self.child_gone(child, replaced, now);
        let Some((tunnel, name, _)) = named.filter(|_| sent) else { return };
        if self.has_sender(&tunnel, &name) {
            return;
        }
        let text = format!("tunnel {tunnel}: {name}: {reason}");
        self.events.push(now, EventKind::TunnelDown, text);
        // its IKE SA may still be there, and then the child is asked for again
        let config = Arc::clone(&self.config);
        let peer = config.peers.iter().find(|peer| {
            let tunnel = config.tunnels.iter().find(|t| t.name == tunnel);
            let negotiated = tunnel.and_then(Tunnel::negotiated);
            negotiated.is_some_and(|of| config.peer_name(of.peer) == peer.name)
        });
        if let Some(peer) = peer.filter(|peer| peer.start == Start::Load)
            && self.ike.standing(&peer.name).is_some_and(|standing| standing.retry.is_none())
        {
            self.ike.retry_at(&peer.name, Some(now + AFTER_DELETION));
        }
    }

    fn ike_failed(&mut self, connection: Option<&str>, path: Path, failure: Failure, now: Time) {
        let text = match connection {
            Some(connection) => format!("{connection}: {failure}"),
            None => format!("{path}: {failure}"),
        };
        self.events.push_limited(now, EventKind::IkeFailed, || text);
        let failed = Failed { at: now, path, failure };
        let config = Arc::clone(&self.config);
        let peer = config.peers.iter().find(|peer| Some(peer.name.as_str()) == connection);
        let Some(peer) = peer else {
            self.ike.strangers.push_back(failed);
            if self.ike.strangers.len() > STRANGERS {
                self.ike.strangers.pop_front();
            }
            return;
        };
        let most = self.ike.most_notes();
        let Some(standing) = self.ike.peers.get_mut(&peer.name) else { return };
        self.ike.noted += 1;
        standing.note(now, self.ike.noted, Logged::Failed(failed.clone().into()), most);
        standing.failure = Some(failed.into());
        if standing.sas.is_empty() {
            standing.enter(Phase::Down, now);
        }
        self.try_again(peer, now);
        for tunnel in &config.tunnels {
            let of = tunnel.negotiated().map(|negotiated| config.peer_name(negotiated.peer));
            if of == Some(peer.name.as_str()) {
                self.give_up_waiting(&tunnel.name, now);
            }
        }
    }

    fn ike_message(&mut self, record: Box<MessageRecord>, now: Time) {
        let most = self.ike.most_notes();
        let Some(standing) = self.ike.peers.get_mut(&*record.connection) else { return };
        self.ike.noted += 1;
        standing.note(now, self.ike.noted, Logged::Message(record), most);
    }

    /// Whether a tunnel sends by some child of that name.
    fn has_sender(&self, tunnel: &str, name: &str) -> bool {
        let index = self.config.tunnels.iter().position(|of| of.name == tunnel);
        let senders = index.map(|index| self.tunnels.senders(TunnelId(index as u16)));
        senders.unwrap_or_default().iter().any(|id| {
            let ike = self.tunnels.child(*id).and_then(|child| child.ike());
            ike.is_some_and(|ike| *ike.name == *name)
        })
    }

    /// Tunnel and name of a child, and whether it took the place of another.
    fn name_of(&self, child: ::ike::ChildId) -> Option<(String, String, bool)> {
        let (_, child) = self.tunnels.by_ike(child)?;
        let negotiated = child.ike()?;
        let tunnel = self.config.tunnels.get(usize::from(child.tunnel.0))?;
        Some((tunnel.name.clone(), negotiated.name.to_string(), negotiated.replaces))
    }
}
