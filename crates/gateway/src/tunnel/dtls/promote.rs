//! Associations and the engine: each direction is offered by itself, as SAs are.

use std::sync::Arc;

use api::{FindingView, ReasonView};
use config::model::IfId;
use offload::{
    AdjacencyId, Direction, DtlsFacts, FlowStats, Handle, SaProgram, datagrams_of,
    ledger::{At, State},
};
use reason::{DemotionReason, NotEligible, ReasonSet, RefusalReason};
use wire::{Time, Tuple};

use super::{Client, ClientNumber};
use crate::{
    Gateway,
    neighbour::NeighbourId,
    promote::{ENGINE, is_passing},
    tunnel::{IN, OUT, SLOW_PATH, dtls_facts},
};

impl Gateway {
    /// Offers what the engine may have of every client, refused ones too; what it may not have any more leaves
    /// it for `change`.
    pub(crate) fn promote_clients(&mut self, change: DemotionReason, now: Time) {
        for number in self.clients.slice(ClientNumber(0), usize::MAX) {
            for direction in Direction::BOTH {
                self.offer_client(number, direction, change, now);
            }
        }
    }

    /// Offers one direction to the engine, unless it has it, or has no room and will say when it has.
    pub(crate) fn promote_client(&mut self, number: ClientNumber, direction: Direction, now: Time) {
        let Some(client) = self.clients.get(number) else { return };
        match client.ledger.direction(direction).state() {
            State::Refused(RefusalReason::SaTableFull) => {}
            State::NotEvaluated | State::Eligible | State::NotEligible(_) | State::Refused(_) => {
                self.offer_client(number, direction, DemotionReason::OffloadSwitchChanged, now);
            }
            State::Installed(_) | State::Hitting(_) | State::Retiring(..) => {}
        }
    }

    fn offer_client(
        &mut self,
        number: ClientNumber,
        direction: Direction,
        change: DemotionReason,
        now: Time,
    ) {
        // without an association there is nothing to judge
        let Some(against) = self.against_client(number, direction) else { return };
        if self.client_handle(number, direction).is_some() {
            if against.iter().all(is_passing) {
                return;
            }
            self.demote_client(number, direction, change, now);
        }
        let at = at(number, direction, now);
        let program = against.is_empty().then(|| self.client_program(number, direction)).flatten();
        let offered = program.map(|program| self.engine.install_sa(program, now));
        let (ledger, client) = self.clients.ledger_and(number);
        let Some(client) = client else { return };
        ledger.evaluated(&mut client.ledger, at, against);
        match offered {
            Some(Ok(handle)) => {
                ledger.installed(&mut client.ledger, at, handle);
            }
            Some(Err(refusal)) => {
                ledger.refused(&mut client.ledger, at, refusal);
            }
            None => {}
        }
    }

    /// What stands against a direction of a client's association; none without one.
    pub(crate) fn against_client(
        &self,
        number: ClientNumber,
        direction: Direction,
    ) -> Option<ReasonSet<NotEligible>> {
        let client = self.clients.get(number)?;
        let facts = self.client_facts(number, direction)?;
        let mut set = self.rules().dtls(&facts);
        if direction == OUT && !self.is_resolved(client.next_hop) {
            set.insert(NotEligible::NeighbourUnresolved);
        }
        Some(set)
    }

    /// What an engine needs to know of a direction of a client's association.
    pub(crate) fn client_facts(
        &self,
        number: ClientNumber,
        direction: Direction,
    ) -> Option<DtlsFacts> {
        let client = self.clients.get(number)?;
        let association = client.association.as_ref()?;
        let tunnel = self.tunnel_of(client.is.interface).map(|(_, tunnel)| tunnel);
        let of = (association.cipher, association.path.local.is_ipv6());
        Some(dtls_facts(&self.config, client.is.vr, tunnel, of, direction))
    }

    fn client_program(&self, number: ClientNumber, direction: Direction) -> Option<SaProgram> {
        let client = self.clients.get(number)?;
        let association = client.association.as_ref()?;
        Some(match direction {
            OUT => SaProgram::DtlsOutbound {
                sa: Arc::clone(&association.outbound),
                number: number.0,
                adjacency: AdjacencyId(client.next_hop),
            },
            IN => SaProgram::DtlsInbound {
                sa: Arc::clone(&association.inbound),
                number: number.0,
                datagrams: Box::new(datagrams_of(association.path)),
                vr: client.is.vr.0,
                interface: client.is.interface.0,
                inner_vr: self.interface(client.is.interface).vr.0,
                client: client.is.addresses,
            },
        })
    }

    /// The new association seals in the place of the one before, so that flows of sessions do not change.
    /// `counted` is what the engine counted for the one before. False when the engine has none to replace,
    /// or may not have the new one.
    pub(super) fn replace_on_engine(
        &mut self,
        number: ClientNumber,
        counted: FlowStats,
        now: Time,
    ) -> bool {
        let Some(handle) = self.client_handle(number, OUT) else { return false };
        let against = self.against_client(number, OUT);
        let program = self.client_program(number, OUT);
        let program = program.filter(|_| against.is_some_and(|against| against.is_empty()));
        if !program.is_some_and(|program| self.engine.replace_sa(handle, program)) {
            return false;
        }
        let (at, reason) = (at(number, OUT, now), DemotionReason::SaRekeyed);
        let (ledger, client) = self.clients.ledger_and(number);
        if let Some(client) = client {
            ledger.retire(&mut client.ledger, at, reason);
            ledger.removed(&mut client.ledger, at, handle, reason, counted);
            ledger.evaluated(&mut client.ledger, at, ReasonSet::EMPTY);
            ledger.installed(&mut client.ledger, at, handle);
        }
        true
    }

    /// Takes one direction out of the engine, if it is there. Flows of sessions that go into it are taken out
    /// by their next packet, see `without_sa` of the session stage.
    pub(crate) fn demote_client(
        &mut self,
        number: ClientNumber,
        direction: Direction,
        reason: DemotionReason,
        now: Time,
    ) {
        let Some(handle) = self.client_handle(number, direction) else { return };
        self.engine.remove_sa(handle);
        let at = at(number, direction, now);
        let (ledger, client) = self.clients.ledger_and(number);
        let Some(client) = client else { return };
        let stats = fast(client, direction);
        ledger.retire(&mut client.ledger, at, reason);
        ledger.removed(&mut client.ledger, at, handle, reason, stats);
    }

    /// The engine's handle of one direction of a client.
    pub(crate) fn client_handle(
        &self,
        number: ClientNumber,
        direction: Direction,
    ) -> Option<Handle> {
        self.clients.get(number)?.ledger.direction(direction).state().handle()
    }

    /// The handle of what seals a packet that leaves by an interface of clients, if the engine has it.
    pub(crate) fn client_sending_handle(&self, egress: IfId, leaves: &Tuple) -> Option<Handle> {
        let number = self.clients.at(egress, leaves.dst)?;
        let state = self.clients.get(number)?.ledger.direction(OUT).state();
        state.handle().filter(|_| state.is_installed())
    }

    /// What stands against a flow from or to a client because of its association; `outward` is the packet as it
    /// goes to the client.
    pub(crate) fn through_client(
        &self,
        interface: IfId,
        direction: Direction,
        outward: &Tuple,
    ) -> Option<NotEligible> {
        let client =
            self.clients.at(interface, outward.dst).and_then(|number| self.clients.get(number));
        if client.is_none_or(|client| client.association.is_none()) {
            return Some(NotEligible::RemoteAccessNotOffloaded);
        }
        match client.map(|client| client.ledger.direction(direction).state()) {
            Some(State::Installed(_) | State::Hitting(_)) => None,
            Some(State::Refused(_)) => Some(NotEligible::SaRefused),
            Some(State::NotEligible(against)) if !against.iter().all(is_passing) => {
                Some(NotEligible::SaNotEligible)
            }
            Some(_) | None => Some(NotEligible::SaNotInstalled),
        }
    }

    /// What stands against a direction of a client's association, with evidence, for views.
    pub fn client_findings(&self, number: ClientNumber, direction: Direction) -> Vec<FindingView> {
        let Some(against) = self.against_client(number, direction) else { return Vec::new() };
        let facts = self.client_facts(number, direction);
        let found = against.iter().map(|reason| {
            let said = facts.and_then(|facts| self.rules().dtls_evidence(&facts, reason));
            let (layer, evidence) = match said {
                Some(evidence) => ("engine", evidence),
                None if reason == NotEligible::NeighbourUnresolved => {
                    let next_hop = self.clients.get(number).map_or(u32::MAX, |c| c.next_hop);
                    ("core", self.next_hop_words(next_hop))
                }
                None if is_passing(reason) => ("core", String::new()),
                None => ("config", String::new()),
            };
            FindingView { reason: ReasonView::of(reason), layer: layer.into(), evidence }
        });
        found.collect()
    }

    /// Looks at what the engine did with a client's association since the last look.
    pub(crate) fn watch_client(&mut self, number: ClientNumber, now: Time) {
        for direction in Direction::BOTH {
            let (ledger, client) = self.clients.ledger_and(number);
            let Some(client) = client else { return };
            let stats = fast(client, direction);
            ledger.observe(&mut client.ledger, at(number, direction, now), stats);
            let hits = matches!(client.ledger.direction(direction).state(), State::Hitting(_));
            let next_hop = client.next_hop;
            if hits && direction == OUT {
                self.neighbours.confirm_use(NeighbourId(next_hop), now);
            }
            self.promote_client(number, direction, now);
        }
    }

    /// Clients that are reached by another way now leave the engine until their next packet has found it.
    pub(crate) fn forget_moved_clients(&mut self, change: DemotionReason, now: Time) {
        for number in self.clients.slice(ClientNumber(0), usize::MAX) {
            let Some(client) = self.clients.get(number) else { return };
            let way = self.way_to_client(client);
            let is = way.and_then(|(egress, hop)| self.neighbours.lookup(egress, hop));
            if client.next_hop == u32::MAX || is == Some(NeighbourId(client.next_hop)) {
                continue;
            }
            self.demote_client(number, OUT, change, now);
            self.forget_way_of_client(number);
        }
    }
}

/// What the engine's workers counted for the present association.
pub(crate) fn fast(client: &Client, direction: Direction) -> FlowStats {
    let workers = SLOW_PATH + 1..association::WRITERS;
    let served = client.association.as_ref().map(|association| match direction {
        OUT => association.outbound.served(workers),
        IN => association.inbound.served(workers),
    });
    let (packets, bytes) = served.unwrap_or_default();
    FlowStats { packets, bytes, last_hit: Time::ZERO }
}

/// Where and when something happened to a client: it stands where a session would.
fn at(number: ClientNumber, direction: Direction, now: Time) -> At {
    At { session: number.0, direction, engine: ENGINE, now }
}
