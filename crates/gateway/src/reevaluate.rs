//! Sessions after a change: evaluated again, in slices or with their next packet.
//!
//! A session remembers the epoch it was decided at. When that has moved on, the first thing its next
//! packet (or the sweep, whichever comes first) does is ask again: is there still a route, does a
//! policy still allow it, is its translation still ours?

use core::net::IpAddr;

use config::model::{Action, IfId, VrId};
use reason::{DemotionReason, DropReason};
use wire::{Time, Tuple, proto};

use crate::{
    Gateway,
    policy::{Key, Sender},
    route::Lookup,
    session::{Kind, Session, SessionId},
    stages::admit,
};

impl Gateway {
    /// Makes every decision stale; sessions are asked again in slices.
    pub(crate) fn reevaluate_all(&mut self, change: DemotionReason, now: Time) {
        self.forget_moved_far_ends(change, now);
        self.forget_moved_clients(change, now);
        self.promotion.change = change;
        self.epochs.bump_all();
        self.jobs.sweep();
    }

    /// Somebody came to an address, or went: what is sent from there is asked again.
    pub(crate) fn reevaluate_sender(&mut self, vr: VrId, address: IpAddr) {
        self.promotion.change = DemotionReason::UserChanged;
        self.epochs.bump(self.epoch_slot(vr, address));
        self.jobs.sweep();
    }

    /// The slot that sessions from an address watch: any change asks every session again, since a policy
    /// put first may take any of them, but who comes or goes concerns few.
    pub(crate) fn epoch_slot(&self, vr: VrId, address: IpAddr) -> u16 {
        self.users.hash(vr, address) as u16 % self.epochs.len()
    }

    /// Asks again if something the session was decided on has changed. An error means that the
    /// session has been ended and why its packets no longer pass.
    pub(crate) fn reevaluate_if_stale(
        &mut self,
        id: SessionId,
        now: Time,
    ) -> Result<(), DropReason> {
        let Some(session) = self.sessions.get(id) else { return Ok(()) };
        if self.epochs.is_current(session.epoch()) {
            return Ok(());
        }
        self.counters.reevaluated += 1;
        let change = self.promotion.change;
        self.demote_both(id, change, now);
        let decided = self.sessions.get(id).map(|session| self.decide_again(session));
        match decided {
            None => Ok(()),
            Some(Ok(fresh)) => {
                self.account(id);
                if let Some(session) = self.sessions.get_mut(id) {
                    session.set_epoch(self.epochs.now(session.epoch().slot));
                    session.login = fresh.login;
                    session.egress = fresh.egress;
                    let (kind, before) = (session.kind, session.rule);
                    session.rule = fresh.rule;
                    self.move_to_rule(kind, before, fresh.rule);
                }
                self.forget_moved_next_hops(id);
                Ok(())
            }
            Some(Err((reason, demotion))) => {
                self.end_session(id, demotion, now);
                Err(reason)
            }
        }
    }

    /// Keeps the rules' counts of running sessions right.
    fn move_to_rule(&mut self, kind: Kind, before: u32, after: u32) {
        if before != after {
            let table = admit::table(kind);
            self.policies.session_closed(table, admit::rule_index(self, table, before));
            self.policies.session_opened(table, admit::rule_index(self, table, after));
        }
    }

    fn decide_again(&self, session: &Session) -> Result<Fresh, (DropReason, DemotionReason)> {
        match session.kind {
            Kind::Forward => self.decide_forward(session),
            Kind::LocalIn => self.decide_local(session),
            Kind::LocalOut => Ok(Fresh { rule: session.rule, egress: session.egress, login: 0 }),
        }
    }

    fn decide_forward(&self, session: &Session) -> Result<Fresh, (DropReason, DemotionReason)> {
        let inner = session.inner();
        let login = self.users.login(session.vr, inner.src);
        if session.login != 0 && session.login != login {
            return Err((DropReason::UserGone, DemotionReason::UserChanged));
        }
        self.still_ours(session, &inner)?;
        let egress = self.route_again(session, &inner)?;
        let outward =
            [(session.ingress, session.original.reversed()), (egress, session.reply.reversed())];
        if !outward.iter().all(|(interface, tuple)| self.is_let_pass(*interface, tuple)) {
            return Err((DropReason::EspSelectorMismatch, DemotionReason::SaRemoved));
        }
        let key = Key {
            from: self.interface(session.ingress).zone,
            to: self.interface(egress).zone,
            src: inner.src,
            dst: inner.dst,
            proto: inner.proto,
            src_port: inner.src_port,
            dst_port: service_port(&inner),
            who: self.users.sender(session.vr, inner.src),
        };
        let changed = DemotionReason::PolicyChanged;
        let index = self.policies.forward(&key).ok_or((DropReason::ImplicitDeny, changed))?;
        let policy = &self.config.policies[index];
        match policy.action {
            Action::Allow => Ok(Fresh { rule: policy.id, egress, login }),
            Action::Deny | Action::Reject => Err((DropReason::PolicyDeny, changed)),
        }
    }

    fn decide_local(&self, session: &Session) -> Result<Fresh, (DropReason, DemotionReason)> {
        let tuple = session.original;
        if !matches!(self.routes.lookup(session.vr, tuple.dst), Lookup::Local(_)) {
            return Err((DropReason::NoRoute, DemotionReason::InterfaceChanged));
        }
        let zone = self.interface(session.ingress).zone;
        let key = Key {
            from: zone,
            to: zone,
            src: tuple.src,
            dst: tuple.dst,
            proto: tuple.proto,
            src_port: tuple.src_port,
            dst_port: service_port(&tuple),
            who: Sender::NOBODY,
        };
        let changed = DemotionReason::PolicyChanged;
        let egress = session.egress;
        match self.policies.local_in(&key).map(|index| (index, self.config.local_in[index].action))
        {
            Some((index, Action::Allow)) => Ok(Fresh { rule: index as u32, egress, login: 0 }),
            None if self.implied(session.vr, &tuple).is_some() => {
                Ok(Fresh { rule: u32::MAX, egress, login: 0 })
            }
            Some((_, Action::Deny | Action::Reject)) | None => {
                Err((DropReason::LocalInDeny, changed))
            }
        }
    }

    /// Whether the addresses a session is translated to are still the gateway's to use.
    fn still_ours(
        &self,
        session: &Session,
        inner: &Tuple,
    ) -> Result<(), (DropReason, DemotionReason)> {
        let lost = (DropReason::SessionClosed, DemotionReason::NatChanged);
        if inner.dst != session.original.dst || inner.dst_port != session.original.dst_port {
            let dnat = self.nat.dnat(session.ingress, &session.original);
            if dnat.is_none_or(|d| (d.address, d.port) != (inner.dst, inner.dst_port)) {
                return Err(lost);
            }
        }
        let outer = session.reply.dst;
        let ours = outer == inner.src
            || self.nat.owns(outer)
            || matches!(self.routes.lookup(session.vr, outer), Lookup::Local(_));
        if ours { Ok(()) } else { Err(lost) }
    }

    /// The way out now. A translated session stays on its interface as long as that still leads
    /// there, since its new source address would break it anyhow.
    fn route_again(
        &self,
        session: &Session,
        inner: &Tuple,
    ) -> Result<IfId, (DropReason, DemotionReason)> {
        let gone = DemotionReason::RouteChanged;
        if let Some(egress) = self.steered(session.vr, inner) {
            return Ok(egress);
        }
        match self.routes.lookup(session.vr, inner.dst) {
            Lookup::Via(set) => {
                if set.members.iter().any(|member| member.interface == session.egress) {
                    return Ok(session.egress);
                }
                let egress = set.select(crate::stages::flow_hash(inner)).interface;
                let translated = session.reply.dst != inner.src;
                if translated { Err((DropReason::SessionClosed, gone)) } else { Ok(egress) }
            }
            Lookup::Blackhole(_) => Err((DropReason::RouteBlackhole, gone)),
            Lookup::None => Err((DropReason::NoRoute, gone)),
            Lookup::Local(_) | Lookup::Broadcast(_) => Err((DropReason::SessionClosed, gone)),
        }
    }
}

/// What a session is now decided to be.
struct Fresh {
    rule: u32,
    egress: IfId,
    login: u32,
}

/// The port a policy looks at: for an ICMP query its type.
fn service_port(tuple: &Tuple) -> u16 {
    match tuple.proto {
        proto::ICMP => 8,
        proto::ICMPV6 => 128,
        _ => tuple.dst_port,
    }
}
