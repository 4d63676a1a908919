//! What stands against a session's direction: the gateway's own findings.

use config::model::{IfId, OffloadMode, Policy, VrId, Weakening};
use offload::{Direction, FlowFacts, ledger::State};
use reason::{NotEligible, ReasonSet};
use wire::Tuple;

use crate::{
    Gateway,
    packet::{Destination, Packet},
    promote::is_passing,
    session::{Kind, Session, SessionId},
    tunnel::{IN, OUT},
};

impl Gateway {
    /// Everything an engine needs to judge a direction.
    pub(crate) fn facts(&self, session: &Session, direction: Direction) -> FlowFacts {
        let mut findings = session.established_for_offload();
        let seen = session.packets_seen();
        let settings = &self.config.offload;
        if findings.contains(NotEligible::AwaitingReply)
            && direction == Direction::Original
            && settings.one_way_packets > 0
            && seen >= u64::from(settings.one_way_packets)
        {
            findings.remove(NotEligible::AwaitingReply);
        }
        if seen < u64::from(settings.after_packets) {
            findings.insert(NotEligible::BelowPacketThreshold);
        }
        match session.kind {
            Kind::Forward => {}
            Kind::LocalIn => findings.insert(NotEligible::LocalDestination),
            Kind::LocalOut => findings.insert(NotEligible::LocalOrigin),
        }
        let policy = self.policy_of(session);
        findings = findings.union(self.switched_off(session.vr, policy));
        findings = findings.union(self.without_engine(session.ingress, session.egress));
        let next_hop = session.next_hop[direction.index()];
        let egress = match direction {
            Direction::Original => session.egress,
            Direction::Reply => session.ingress,
        };
        let ingress = match direction {
            Direction::Original => session.ingress,
            Direction::Reply => session.egress,
        };
        let (came, leaves) = (session.key(direction), session.key(direction.opposite()).reversed());
        findings = findings.union(self.through_tunnels((ingress, came), (egress, leaves)));
        if session.kind == Kind::Forward
            && !self.is_tunnelled(egress, egress)
            && !self.is_resolved(next_hop)
        {
            findings.insert(NotEligible::NeighbourUnresolved);
        }
        FlowFacts {
            proto: session.original.proto,
            ipv6: session.original.is_v6(),
            translated: session.original.reversed() != session.reply,
            options: session.has_options(),
            fragments: session.is_fragmented(),
            tunnelled: self.is_tunnelled(ingress, egress),
            weaken_tcp_window: settings.weaken.contains(&Weakening::TcpWindow),
            findings,
        }
    }

    /// What would stand against the session of a simulated packet once it is established.
    pub(crate) fn would_stand_against(&self, packet: &Packet) -> ReasonSet<NotEligible> {
        let policy = self.policy_at(packet);
        let mut findings = self.switched_off(packet.vr, policy);
        let mut tunnelled = false;
        match packet.destination {
            Destination::Forward { egress, .. } => {
                tunnelled = self.is_tunnelled(packet.ingress, egress);
                findings = findings.union(self.without_engine(packet.ingress, egress));
                let came = (packet.ingress, packet.headers.tuple);
                let leaves = (egress, self.leaving_tuple(packet));
                findings = findings.union(self.through_tunnels(came, leaves));
            }
            Destination::Local => findings.insert(NotEligible::LocalDestination),
            Destination::Undecided => {}
        }
        let facts = FlowFacts {
            proto: packet.headers.tuple.proto,
            ipv6: packet.headers.tuple.is_v6(),
            translated: packet.dnat.is_some() || packet.snat.is_some(),
            options: packet.headers.options,
            fragments: false,
            tunnelled,
            weaken_tcp_window: self.config.offload.weaken.contains(&Weakening::TcpWindow),
            findings,
        };
        self.rules().flow(&facts)
    }

    /// Whether the policy of a simulated packet insists on offload.
    pub(crate) fn would_be_required(&self, packet: &Packet) -> bool {
        let Destination::Forward { egress, .. } = packet.destination else { return false };
        self.is_required(packet.vr, self.policy_at(packet))
            || self.tunnel_requires(packet.ingress)
            || self.tunnel_requires(egress)
    }

    /// Whether a session may only pass on an engine.
    pub(crate) fn offload_required(&self, id: SessionId) -> bool {
        self.sessions.get(id).is_some_and(|session| {
            session.kind == Kind::Forward
                && (self.is_required(session.vr, self.policy_of(session))
                    || self.tunnel_requires(session.ingress)
                    || self.tunnel_requires(session.egress))
        })
    }

    /// The policy a forwarded session passed by, while it is still configured.
    pub(crate) fn policy_of(&self, session: &Session) -> Option<&Policy> {
        match session.kind {
            Kind::Forward => {
                let index = self.policies.index_of(session.rule)?;
                self.config.policies.get(index)
            }
            Kind::LocalIn | Kind::LocalOut => None,
        }
    }

    pub(crate) fn is_resolved(&self, next_hop: u32) -> bool {
        let neighbour = self.neighbours.get(crate::neighbour::NeighbourId(next_hop));
        neighbour.is_some_and(|n| n.state.is_resolved())
    }

    fn policy_at(&self, packet: &Packet) -> Option<&Policy> {
        match packet.destination {
            Destination::Forward { .. } => {
                packet.rule.and_then(|index| self.config.policies.get(index as usize))
            }
            Destination::Local | Destination::Undecided => None,
        }
    }

    fn is_required(&self, vr: VrId, policy: Option<&Policy>) -> bool {
        let vr = self.config.virtual_routers.get(usize::from(vr.0)).map(|vr| vr.offload);
        let modes = [Some(self.config.offload.mode), vr, policy.map(|p| p.offload)];
        modes.contains(&Some(OffloadMode::Require))
    }

    fn tunnel_requires(&self, interface: IfId) -> bool {
        self.tunnel_of(interface).is_some_and(|(_, t)| t.offload == OffloadMode::Require)
    }

    fn switched_off(&self, vr: VrId, policy: Option<&Policy>) -> ReasonSet<NotEligible> {
        let vr = self.config.virtual_routers.get(usize::from(vr.0)).map(|vr| vr.offload);
        let mut set = ReasonSet::EMPTY;
        if self.config.offload.mode == OffloadMode::Off {
            set.insert(NotEligible::DisabledGlobally);
        }
        if vr == Some(OffloadMode::Off) {
            set.insert(NotEligible::DisabledByVirtualRouter);
        }
        if policy.is_some_and(|p| p.offload == OffloadMode::Off) {
            set.insert(NotEligible::DisabledByPolicy);
        }
        set
    }

    /// What stands against a direction because of the tunnels it comes out of and goes into.
    /// Each way with the packet as it is there.
    fn through_tunnels(
        &self,
        (ingress, came): (IfId, Tuple),
        (egress, leaves): (IfId, Tuple),
    ) -> ReasonSet<NotEligible> {
        let mut set = ReasonSet::EMPTY;
        for (interface, direction, tuple) in [(ingress, IN, came.reversed()), (egress, OUT, leaves)]
        {
            if self.clients.are_behind(interface) {
                let against = self.through_client(interface, direction, &tuple);
                against.into_iter().for_each(|reason| set.insert(reason));
                continue;
            }
            let Some((id, tunnel)) = self.tunnel_of(interface) else { continue };
            if tunnel.offload == OffloadMode::Off {
                set.insert(NotEligible::DisabledByTunnel);
            }
            if let Some(reason) = self.overlay_against(interface) {
                set.insert(reason);
                continue;
            }
            let child = self.tunnels.sending(id, &tuple).and_then(|id| self.tunnels.child(id));
            match child.map(|child| child.ledger.direction(direction).state()) {
                Some(State::Installed(_) | State::Hitting(_)) => {}
                Some(State::Refused(_)) => set.insert(NotEligible::SaRefused),
                Some(State::NotEligible(against)) if !against.iter().all(is_passing) => {
                    set.insert(NotEligible::SaNotEligible);
                }
                Some(
                    State::NotEvaluated
                    | State::Eligible
                    | State::NotEligible(_)
                    | State::Retiring(..),
                )
                | None => set.insert(NotEligible::SaNotInstalled),
            }
        }
        set
    }

    fn is_tunnelled(&self, ingress: IfId, egress: IfId) -> bool {
        [ingress, egress]
            .iter()
            .any(|id| self.interface(*id).tunnel().is_some() || self.clients.are_behind(*id))
    }

    fn without_engine(&self, ingress: IfId, egress: IfId) -> ReasonSet<NotEligible> {
        let attached = |id: IfId| {
            if self.clients.are_behind(id) {
                return true;
            }
            let interface = self.config.interfaces.get(usize::from(id.0));
            match interface.map(|i| (i.tunnel(), self.config.port_of(i))) {
                Some((None, port)) => port.is_some_and(|port| port.fast_path),
                Some((Some(_), _)) => true,
                None => false,
            }
        };
        if attached(ingress) && attached(egress) {
            ReasonSet::EMPTY
        } else {
            [NotEligible::InterfaceWithoutEngine].into_iter().collect()
        }
    }
}
