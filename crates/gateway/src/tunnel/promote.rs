//! SAs and the engine: each direction is offered by itself, and tells why it is not taken.

use std::sync::Arc;

use config::model::TunnelId;
use offload::{
    AdjacencyId, Direction, Engine, FlowStats, Handle, SaFacts, SaProgram,
    ledger::{At, Ledger, State},
};
use reason::{DemotionReason, NotEligible, ReasonSet, RefusalReason};
use wire::{Time, Tuple};

use super::{Age, Child, ChildId, SLOW_PATH, facts::sa_facts};
use crate::{
    Gateway,
    events::EventKind,
    neighbour::NeighbourId,
    promote::{ENGINE, is_passing},
};

/// The outgoing SA of a pair in its ledger entry.
pub(crate) const OUT: Direction = Direction::Original;

/// The incoming SA of a pair in its ledger entry.
pub(crate) const IN: Direction = Direction::Reply;

impl Gateway {
    /// Offers every SA that an engine may have, refused ones too. Called when the configuration or
    /// the engine's room has changed; what the engine may not have any more leaves it for `change`.
    pub(crate) fn promote_sas(&mut self, change: DemotionReason, now: Time) {
        for id in self.tunnels.slice(ChildId(0), usize::MAX) {
            for direction in Direction::BOTH {
                self.offer_sa(id, direction, change, now);
            }
        }
    }

    /// Offers one SA to the engine, unless it has it, or has no room for SAs and will say when it has.
    pub(crate) fn promote_sa(&mut self, id: ChildId, direction: Direction, now: Time) {
        let Some(child) = self.tunnels.child(id) else { return };
        // what only receives until its peer lets go of it needs no room for sending
        if direction == OUT && !self.tunnels.senders(child.tunnel).contains(&id) {
            return;
        }
        match child.ledger.direction(direction).state() {
            State::Refused(RefusalReason::SaTableFull) => {}
            State::NotEvaluated | State::Eligible | State::NotEligible(_) | State::Refused(_) => {
                self.offer_sa(id, direction, DemotionReason::OffloadSwitchChanged, now);
            }
            State::Installed(_) | State::Hitting(_) | State::Retiring(..) => {}
        }
    }

    /// Offers one SA if nothing stands against it; takes it out if something that lasts does.
    fn offer_sa(&mut self, id: ChildId, direction: Direction, change: DemotionReason, now: Time) {
        let against = self.against_sa(id, direction);
        if self.sa_handle(id, direction).is_some() {
            if against.iter().all(is_passing) {
                return;
            }
            self.demote_sa(id, direction, change, now);
        }
        let at = at(id, direction, now);
        let program = against.is_empty().then(|| self.sa_program(id, direction)).flatten();
        let offered = program.map(|program| self.engine.install_sa(program, now));
        let (ledger, child) = self.tunnels.ledger_and(id);
        let Some(child) = child else { return };
        ledger.evaluated(&mut child.ledger, at, against);
        match offered {
            Some(Ok(handle)) => {
                ledger.installed(&mut child.ledger, at, handle);
            }
            Some(Err(refusal)) => {
                ledger.refused(&mut child.ledger, at, refusal);
            }
            None => {}
        }
    }

    /// What stands against an SA.
    pub(crate) fn against_sa(&self, id: ChildId, direction: Direction) -> ReasonSet<NotEligible> {
        let (Some(child), Some(facts)) = (self.tunnels.child(id), self.sa_facts(id, direction))
        else {
            return ReasonSet::EMPTY;
        };
        let mut set = self.rules().sa(&facts);
        let tunnel = self.config.tunnels.get(usize::from(child.tunnel.0));
        let way = tunnel.and_then(|tunnel| self.underlay(tunnel));
        if let Some(reason) = way.and_then(|(egress, _)| self.overlay_against(egress)) {
            set.insert(reason);
        } else if direction == OUT && !self.is_resolved(child.next_hop) {
            set.insert(NotEligible::NeighbourUnresolved);
        }
        set
    }

    /// What an engine needs to know of an SA.
    pub(crate) fn sa_facts(&self, id: ChildId, direction: Direction) -> Option<SaFacts> {
        let child = self.tunnels.child(id)?;
        let tunnel = self.config.tunnels.get(usize::from(child.tunnel.0))?;
        let ipsec = tunnel.ipsec()?;
        let sa = match direction {
            OUT => child.outbound.parameters(),
            IN => child.inbound.parameters(),
        };
        Some(sa_facts(&self.config, tunnel, ipsec, sa, direction))
    }

    fn sa_program(&self, id: ChildId, direction: Direction) -> Option<SaProgram> {
        let child = self.tunnels.child(id)?;
        let tunnel = self.config.tunnels.get(usize::from(child.tunnel.0))?;
        Some(match direction {
            OUT => SaProgram::Outbound {
                sa: Arc::clone(&child.outbound),
                adjacency: AdjacencyId(child.next_hop),
            },
            IN => SaProgram::Inbound {
                sa: Arc::clone(&child.inbound),
                vr: tunnel.vr.0,
                interface: tunnel.interface.0,
                inner_vr: self.interface(tunnel.interface).vr.0,
            },
        })
    }

    /// Takes one SA out of the engine; what it counted stays with the SA. Sessions that go through it
    /// have to be asked again: whoever calls sees to that.
    pub(crate) fn demote_sa(
        &mut self,
        id: ChildId,
        direction: Direction,
        reason: DemotionReason,
        now: Time,
    ) {
        let (ledger, child) = self.tunnels.ledger_and(id);
        if let Some(child) = child {
            take_out(&mut *self.engine, ledger, child, at(id, direction, now), reason);
        }
    }

    /// SAs that a reload has ended leave the engine, the ledger and their neighbours.
    pub(crate) fn end_child(&mut self, id: ChildId, mut child: Child, now: Time) {
        let reason = DemotionReason::SaRemoved;
        for direction in Direction::BOTH {
            let (ledger, _) = self.tunnels.ledger_and(id);
            let at = at(id, direction, now);
            take_out(&mut *self.engine, ledger, &mut child, at, reason);
        }
        self.tunnels.close(&child);
        if child.next_hop != u32::MAX {
            self.neighbours.release(NeighbourId(child.next_hop));
        }
    }

    /// The engine's handle of an SA.
    pub(crate) fn sa_handle(&self, id: ChildId, direction: Direction) -> Option<Handle> {
        self.tunnels.child(id)?.ledger.direction(direction).state().handle()
    }

    /// The handle of the SA that a packet goes out by, if the engine has it.
    pub(crate) fn sending_handle(&self, tunnel: TunnelId, tuple: &Tuple) -> Option<Handle> {
        let child = self.tunnels.sending(tunnel, tuple)?;
        let state = self.tunnels.child(child)?.ledger.direction(OUT).state();
        state.handle().filter(|_| state.is_installed())
    }

    /// Looks at what the engine did with a pair of SAs since the last look, and how old they are;
    /// offers what it does not have.
    pub(crate) fn watch_child(&mut self, id: ChildId, now: Time) {
        for direction in Direction::BOTH {
            let (ledger, child) = self.tunnels.ledger_and(id);
            let Some(child) = child else { return };
            let stats = stats(child, direction);
            ledger.observe(&mut child.ledger, at(id, direction, now), stats);
            let hits = matches!(child.ledger.direction(direction).state(), State::Hitting(_));
            let next_hop = child.next_hop;
            if hits && direction == OUT {
                self.neighbours.confirm_use(NeighbourId(next_hop), now);
            }
            self.promote_sa(id, direction, now);
            self.tell_of_age(id, direction, now);
        }
        self.forget_old_path_mtu(id, now);
    }

    /// An event when an SA has grown old, and one when it has ended.
    fn tell_of_age(&mut self, id: ChildId, direction: Direction, now: Time) {
        let Some(child) = self.tunnels.child(id) else { return };
        // of a negotiated one IKE tells what becomes of it
        if child.ike().is_some() {
            return;
        }
        let (expiry, spi) = match direction {
            OUT => (child.outbound.expiry(now), child.outbound.parameters().spi),
            IN => (child.inbound.expiry(now), child.inbound.parameters().spi),
        };
        let (age, what) = match expiry {
            esp::Expiry::Live => (Age::Live, String::new()),
            esp::Expiry::Soft(limit) => (Age::Soft, format!("has grown old by {limit}")),
            esp::Expiry::Hard(limit) => (Age::Hard, format!("has ended by {limit}")),
        };
        if age <= child.told[direction.index()] {
            return;
        }
        let tunnel = self.config.tunnels.get(usize::from(child.tunnel.0));
        let name = tunnel.map_or("?", |tunnel| &tunnel.name);
        let way = if direction == OUT { "outgoing" } else { "incoming" };
        let text = format!("tunnel {name}: the {way} SA {spi:#010x} {what}");
        self.events.push(now, EventKind::SaExpiry, text);
        if let Some(child) = self.tunnels.child_mut(id) {
            child.told[direction.index()] = age;
        }
    }

    /// The far end has another next hop, or the present one another address.
    pub(crate) fn far_end_moved(&mut self, id: ChildId, next_hop: u32, now: Time) {
        match self.sa_handle(id, OUT) {
            Some(handle) => {
                self.engine.move_sa(handle, AdjacencyId(next_hop));
            }
            None => self.promote_sa(id, OUT, now),
        }
        self.promote_sa(id, IN, now);
    }

    /// SAs whose far end is reached by another way now leave the engine until their next packet has
    /// found it.
    pub(crate) fn forget_moved_far_ends(&mut self, change: DemotionReason, now: Time) {
        for id in self.tunnels.slice(ChildId(0), usize::MAX) {
            let Some(child) = self.tunnels.child(id) else { return };
            let known = child.next_hop;
            let way = self.underlay_of_sa(child);
            let is = way.and_then(|(egress, hop)| self.neighbours.lookup(egress, hop));
            if known == u32::MAX || is == Some(NeighbourId(known)) {
                continue;
            }
            self.demote_sa(id, OUT, change, now);
            self.neighbours.release(NeighbourId(known));
            if let Some(child) = self.tunnels.child_mut(id) {
                child.next_hop = u32::MAX;
            }
        }
    }
}

/// What the engine's workers counted for an SA.
pub(crate) fn stats(child: &Child, direction: Direction) -> FlowStats {
    let fast = SLOW_PATH + 1..esp::WRITERS;
    let (packets, bytes) = match direction {
        OUT => child.outbound.served(fast),
        IN => child.inbound.served(fast),
    };
    FlowStats { packets, bytes, last_hit: Time::ZERO }
}

/// Takes an SA out of the engine, if it is there, and enters that.
fn take_out(
    engine: &mut dyn Engine,
    ledger: &mut Ledger,
    child: &mut Child,
    at: At,
    reason: DemotionReason,
) {
    let Some(handle) = child.ledger.direction(at.direction).state().handle() else { return };
    engine.remove_sa(handle);
    let stats = stats(child, at.direction);
    ledger.retire(&mut child.ledger, at, reason);
    ledger.removed(&mut child.ledger, at, handle, reason, stats);
}

/// Where and when something happened to an SA: a pair of SAs stands where a session would.
pub(super) fn at(id: ChildId, direction: Direction, now: Time) -> At {
    At { session: id.0, direction, engine: ENGINE, now }
}
