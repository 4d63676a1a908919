//! What should be up comes up, and stays: at start, for a packet, and again after a failure.

use core::{net::SocketAddr, time::Duration};
use std::{collections::BTreeSet, sync::Arc};

use ::ike::{Command, Path, Task, Traffic};
use config::{
    ChangeKind, Config, ConfigDiff,
    model::{Peer, Start, Tunnel},
};
use esp::{Expiry, Limit};
use wire::Time;

use super::{PORTS, Phase, Standing, connections, connections::ike_name};
use crate::{Gateway, tunnel::ChildId};

/// After a first failure we try again this much later; twice as long after each further one.
const FIRST_RETRY: Duration = Duration::from_secs(5);

/// The longest we let a peer be.
const LONGEST_RETRY: Duration = Duration::from_secs(300);

/// How often negotiated SAs are looked at: their age in packets and bytes, and whether the peer sends.
const WATCH: Duration = Duration::from_secs(1);

/// Keys of a peer that ask for no negotiation when they change: what is used is for the next who
/// authenticates, and times are our own.
const RENEWABLE: [&str; 7] =
    ["certificate", "private-key", "crl", "rekey", "dpd", "dpd-action", "start"];

/// Peers with which something is to be negotiated otherwise than before.
pub(crate) fn renegotiated(old: &Config, new: &Config, diff: &ConfigDiff) -> BTreeSet<String> {
    let mut peers = BTreeSet::new();
    for change in diff.iter() {
        match change.section {
            // the order matters to nobody who is there already
            _ if change.kind == ChangeKind::Moved => {}
            "phase1"
                if change.kind == ChangeKind::Changed
                    && change.fields.iter().all(|field| RENEWABLE.contains(&field.field)) => {}
            "phase1" => {
                peers.insert(change.name.clone());
            }
            "address-pool" if change.fields.iter().any(|field| field.field == "addresses") => {
                for config in [old, new] {
                    let of = |peer: &&Peer| {
                        let pool = peer.address_pool.map(|id| config.address_pool_name(id));
                        pool == Some(&change.name)
                    };
                    peers.extend(config.peers.iter().filter(of).map(|peer| peer.name.clone()));
                }
            }
            "ipsec" => {
                for config in [old, new] {
                    let tunnel = config.tunnels.iter().find(|tunnel| tunnel.name == change.name);
                    let negotiated = tunnel.and_then(Tunnel::negotiated);
                    let peer = negotiated.map(|of| config.peer_name(of.peer).to_owned());
                    // the offload switch is nothing to the peer
                    if change.kind != ChangeKind::Changed
                        || change.fields.iter().any(|field| field.field != "offload")
                    {
                        peers.extend(peer);
                    }
                }
            }
            _ => {}
        }
    }
    peers
}

impl Gateway {
    /// Peers and tunnels are configured, or configured anew: what `changed` names is negotiated again.
    pub(crate) fn configure_ike(&mut self, changed: &BTreeSet<String>, now: Time) {
        let config = Arc::clone(&self.config);
        let ike = &mut self.ike;
        ike.listen(&config);
        let mut before = std::mem::take(&mut ike.peers);
        ike.retries.clear();
        for peer in &config.peers {
            let known = before.remove(&peer.name);
            let mut standing = known.unwrap_or_else(|| Standing::new(now).into());
            standing.wanted.clear();
            standing.tries = 0;
            if changed.contains(&peer.name) {
                standing.silent.clear();
                if standing.phase == Phase::Negotiating {
                    standing.enter(Phase::Idle, now);
                }
            }
            standing.retry = None;
            ike.peers.insert(peer.name.clone(), standing);
            ike.retry_at(&peer.name, (peer.start == Start::Load).then_some(now));
        }
        // Without those that change, and then with them: what was made with them before ends.
        let all = connections::connections(&config);
        if !changed.is_empty() {
            let same = all.iter().filter(|connection| !changed.contains(&*connection.name));
            ike.endpoint.apply(now, same.cloned().collect());
        }
        ike.endpoint.apply(now, all);
        self.drive_ike(now);
    }

    /// A packet wants a child.
    pub(super) fn want_child(&mut self, peer: &str, child: String, now: Time) {
        let Some(standing) = self.ike.peers.get_mut(peer) else { return };
        if standing.wanted.contains(&child) {
            return;
        }
        standing.wanted.push(child);
        // after a failure the next try has its time
        if standing.retry.is_none() {
            self.ike.retry_at(peer, Some(now));
            self.bring_up(now);
        }
    }

    /// Tries again where it is time to.
    pub(super) fn bring_up(&mut self, now: Time) {
        if self.ike.ending {
            return;
        }
        let config = Arc::clone(&self.config);
        while let Some((at, name)) = self.ike.retries.first().cloned()
            && at <= now
        {
            self.ike.retry_at(&name, None);
            if let Some(peer) = config.peers.iter().find(|peer| peer.name == name) {
                self.bring_up_peer(&config, peer, now);
            }
        }
    }

    /// Begins an IKE SA with a peer, or asks for the children that are missing under the one there is.
    pub(super) fn bring_up_peer(&mut self, config: &Config, peer: &Peer, now: Time) {
        let missing = self.missing_children(config, peer);
        let Some(standing) = self.ike.peers.get_mut(&peer.name) else { return };
        if missing.is_empty() {
            return;
        }
        let latest = standing.sas.ids().next_back();
        match latest {
            Some(sa) => {
                for child in missing {
                    self.ask_ike(sa, Task::CreateChild(child.as_str().into()), now);
                }
            }
            None if standing.phase == Phase::Negotiating => {}
            None => {
                let Some(remote) = peer.remote else { return };
                standing.enter(Phase::Negotiating, now);
                let path = Path {
                    local: SocketAddr::new(peer.local, PORTS[0]),
                    remote: SocketAddr::new(remote, PORTS[0]),
                };
                let connection = peer.name.as_str().into();
                // A peer without tunnels is not known to IKE, and has nothing missing either.
                let command = Command::Connect { connection, path };
                let _ = self.ike.endpoint.handle_command(now, command);
            }
        }
        self.drive_ike(now);
    }

    /// Children that should be there and are not, by the name IKE has for them: all of them where we
    /// begin at start, those that packets have asked for otherwise.
    fn missing_children(&self, config: &Config, peer: &Peer) -> Vec<String> {
        let Some(standing) = self.ike.peers.get(&peer.name) else { return Vec::new() };
        let mut missing = Vec::new();
        for (index, tunnel) in config.tunnels.iter().enumerate() {
            let Some(negotiated) = tunnel.negotiated() else { continue };
            if config.peer(negotiated.peer).is_none_or(|of| of.name != peer.name) {
                continue;
            }
            let id = config::model::TunnelId(index as u16);
            for child in &negotiated.children {
                let name = ike_name(&tunnel.name, &child.name);
                let there = self.tunnels.senders(id).iter().any(|id| {
                    let ike = self.tunnels.child(*id).and_then(|child| child.ike());
                    ike.is_some_and(|ike| *ike.name == *child.name)
                });
                let asked = peer.start == Start::Load || standing.wanted.contains(&name);
                if asked && !there {
                    missing.push(name);
                }
            }
        }
        missing
    }

    /// Something failed with a peer: it is tried again where we want it up, later each time.
    pub(super) fn try_again(&mut self, peer: &Peer, now: Time) {
        let Some(standing) = self.ike.peers.get_mut(&peer.name) else { return };
        standing.wanted.clear();
        let wait = FIRST_RETRY.saturating_mul(1 << standing.tries.min(16)).min(LONGEST_RETRY);
        standing.tries += 1;
        self.ike.retry_at(&peer.name, (peer.start == Start::Load).then_some(now + wait));
    }

    /// What is due in IKE.
    pub(crate) fn handle_ike_timeout(&mut self, now: Time) {
        if self.ike.endpoint.poll_timeout().is_some_and(|(at, _)| at <= now) {
            self.ike.endpoint.handle_timeout(now);
            self.drive_ike(now);
        }
        if self.ike.waiting.poll_timeout().is_some_and(|at| at <= now) {
            self.expire_waiting(now);
        }
        if self.ike.retries.first().is_some_and(|(at, _)| *at <= now) {
            self.bring_up(now);
        }
        if self.ike.watch_at.is_some_and(|at| at <= now) {
            self.watch_negotiated(now);
        }
    }

    /// When IKE wants to be woken.
    pub(crate) fn ike_timeout(&self) -> Option<Time> {
        let ike = &self.ike;
        let retries = ike.retries.first().map(|(at, _)| *at).filter(|_| !ike.ending);
        [
            ike.endpoint.poll_timeout().map(|(at, _)| at),
            ike.waiting.poll_timeout(),
            retries,
            ike.watch_at,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Negotiated SAs are looked at from now on.
    pub(super) fn watch_from(&mut self, now: Time) {
        self.ike.watch_at.get_or_insert(now + WATCH);
    }

    /// Looks at all negotiated SAs: those that have carried much are rekeyed, those that have carried
    /// too much end, and what comes in by them is a sign of life.
    fn watch_negotiated(&mut self, now: Time) {
        let mut any = false;
        for id in self.tunnels.slice(ChildId(0), usize::MAX) {
            any |= self.watch_one(id, now);
        }
        self.ike.watch_at = any.then_some(now + WATCH);
        self.drive_ike(now);
    }

    fn watch_one(&mut self, id: ChildId, now: Time) -> bool {
        let Some(child) = self.tunnels.child_mut(id) else { return false };
        let (sent, received) = (child.outbound.expiry(now), child.inbound.expiry(now));
        let (packets, _) = child.inbound.served(0..esp::WRITERS);
        let Some(negotiated) = child.ike_mut() else { return false };
        let sa = negotiated.id;
        let comes_in = std::mem::replace(&mut negotiated.received, packets) != packets;
        if negotiated.ends.is_some_and(|at| at <= now && !comes_in) {
            self.end_negotiated(id, now);
            return true;
        }
        if negotiated.ends.is_some() {
            return true;
        }
        // seconds are for IKE itself to count
        let is = |expiry: Expiry, soft: bool| match expiry {
            Expiry::Live | Expiry::Soft(Limit::Seconds) | Expiry::Hard(Limit::Seconds) => false,
            Expiry::Soft(_) => soft,
            Expiry::Hard(_) => !soft,
        };
        let traffic = Traffic {
            last_inbound: comes_in.then_some(now),
            soft_expired: is(sent, true) || is(received, true),
            hard_expired: is(sent, false) || is(received, false),
        };
        // nothing is nothing to tell
        if traffic != Traffic::default() {
            self.ike.endpoint.handle_traffic(now, sa, traffic);
        }
        true
    }
}
