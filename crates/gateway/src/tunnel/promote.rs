//! SAs and the engine: each direction is offered by itself, and tells why it is not taken.

use std::sync::Arc;

use config::model::{OffloadMode, TunnelId};
use offload::{
    AdjacencyId, Direction, FlowStats, Handle, SaProgram,
    ledger::{At, State},
};
use reason::{DemotionReason, NotEligible, ReasonSet};
use wire::Time;

use super::{ChildId, SLOW_PATH};
use crate::{Gateway, neighbour::NeighbourId, promote::ENGINE};

/// The outgoing SA of a pair in its ledger entry.
pub(crate) const OUT: Direction = Direction::Original;

/// The incoming SA of a pair in its ledger entry.
pub(crate) const IN: Direction = Direction::Reply;

impl Gateway {
    /// Offers both SAs of every pair that has one to offer. Called when something about tunnels,
    /// neighbours or the engine's room has changed.
    pub(crate) fn promote_sas(&mut self, now: Time) {
        for index in 0..self.tunnels.children().count() {
            let id = ChildId(index as u32);
            for direction in Direction::BOTH {
                self.promote_sa(id, direction, now);
            }
        }
    }

    /// Offers one SA to the engine if nothing stands against it.
    pub(crate) fn promote_sa(&mut self, id: ChildId, direction: Direction, now: Time) {
        let Some(child) = self.tunnels.child(id) else { return };
        if child.ledger.direction(direction).state().handle().is_some() {
            return;
        }
        let against = self.against_sa(id, direction);
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
        let mut set = ReasonSet::EMPTY;
        let Some(child) = self.tunnels.child(id) else { return set };
        let Some(tunnel) = self.config.tunnels.get(usize::from(child.tunnel.0)) else { return set };
        if self.config.offload.mode == OffloadMode::Off {
            set.insert(NotEligible::DisabledGlobally);
        }
        let vr = self.config.virtual_routers.get(usize::from(tunnel.vr.0));
        if vr.is_some_and(|vr| vr.offload == OffloadMode::Off) {
            set.insert(NotEligible::DisabledByVirtualRouter);
        }
        if tunnel.offload == OffloadMode::Off {
            set.insert(NotEligible::DisabledByTunnel);
        }
        if direction == OUT && !self.is_resolved(child.next_hop) {
            set.insert(NotEligible::NeighbourUnresolved);
        }
        set
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

    /// Takes both SAs of a pair out of the engine.
    pub(crate) fn demote_child(&mut self, id: ChildId, reason: DemotionReason, now: Time) {
        for direction in Direction::BOTH {
            self.demote_sa(id, direction, reason, now);
        }
    }

    /// Takes one SA out of the engine. What it counted stays with the SA.
    pub(crate) fn demote_sa(
        &mut self,
        id: ChildId,
        direction: Direction,
        reason: DemotionReason,
        now: Time,
    ) {
        let handle = self.sa_handle(id, direction);
        let Some(handle) = handle else { return };
        self.engine.remove_sa(handle);
        let stats = self.sa_stats(id, direction);
        let (ledger, child) = self.tunnels.ledger_and(id);
        let Some(child) = child else { return };
        ledger.retire(&mut child.ledger, at(id, direction, now), reason);
        ledger.removed(&mut child.ledger, at(id, direction, now), handle, reason, stats);
    }

    /// The engine's handle of an SA.
    pub(crate) fn sa_handle(&self, id: ChildId, direction: Direction) -> Option<Handle> {
        self.tunnels.child(id)?.ledger.direction(direction).state().handle()
    }

    /// The handle of the SA that a tunnel's packets go out by, if the engine has it.
    pub(crate) fn sending_handle(&self, tunnel: TunnelId) -> Option<Handle> {
        let child = self.tunnels.sending(tunnel)?;
        match self.tunnels.child(child)?.ledger.direction(OUT).state() {
            State::Installed(handle) | State::Hitting(handle) => Some(handle),
            State::NotEvaluated
            | State::Eligible
            | State::NotEligible(_)
            | State::Refused(_)
            | State::Retiring(..) => None,
        }
    }

    /// Looks at what the engine did with the SAs since the last look.
    pub(crate) fn watch_sas(&mut self, now: Time) {
        for index in 0..self.tunnels.children().count() {
            let id = ChildId(index as u32);
            for direction in Direction::BOTH {
                let stats = self.sa_stats(id, direction);
                let (ledger, child) = self.tunnels.ledger_and(id);
                if let Some(child) = child {
                    ledger.observe(&mut child.ledger, at(id, direction, now), stats);
                }
            }
        }
    }

    /// What the engine's workers counted for an SA.
    pub(crate) fn sa_stats(&self, id: ChildId, direction: Direction) -> FlowStats {
        let Some(child) = self.tunnels.child(id) else { return FlowStats::default() };
        let tallies = match direction {
            OUT => child.outbound.status(Time::ZERO).writers,
            IN => child.inbound.status(Time::ZERO).writers,
        };
        let fast = tallies.iter().skip(SLOW_PATH + 1);
        fast.fold(FlowStats::default(), |sum, tally| FlowStats {
            packets: sum.packets + tally.packets,
            bytes: sum.bytes + tally.bytes,
            last_hit: Time::ZERO,
        })
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
        for index in 0..self.tunnels.children().count() {
            let id = ChildId(index as u32);
            let Some(child) = self.tunnels.child(id) else { return };
            let known = child.next_hop;
            let tunnel = self.config.tunnels.get(usize::from(child.tunnel.0));
            let way = tunnel.and_then(|tunnel| self.underlay(tunnel));
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

/// Where and when something happened to an SA: a pair of SAs stands where a session would.
fn at(id: ChildId, direction: Direction, now: Time) -> At {
    At { session: id.0, direction, engine: ENGINE, now }
}
