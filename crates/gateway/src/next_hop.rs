//! The way each direction of a session takes, and the neighbour it is remembered to be sent to.

use core::net::IpAddr;

use config::model::{IfId, VrId};
use offload::Direction;
use wire::Tuple;

use crate::{
    Gateway,
    neighbour::NeighbourId,
    packet::Destination,
    route::Lookup,
    session::{Kind, Session, SessionId},
    stages::flow_hash,
};

impl Gateway {
    /// Where packets of a direction go: by the session's interface, and there by the gateway that
    /// the session's hash picks, so that all its packets take the same one of equal routes.
    pub(crate) fn way_of(&self, session: &Session, direction: Direction) -> Destination {
        let egress = match (session.kind, direction) {
            (Kind::LocalIn, Direction::Original) | (Kind::LocalOut, Direction::Reply) => {
                return Destination::Local;
            }
            (Kind::Forward | Kind::LocalOut, Direction::Original) => session.egress,
            (Kind::Forward | Kind::LocalIn, Direction::Reply) => session.ingress,
        };
        let tuple = match direction {
            Direction::Original => session.inner(),
            Direction::Reply => session.inner().reversed(),
        };
        let gateway = self.gateway_towards(session.vr, &tuple, egress);
        Destination::Forward { egress, gateway }
    }

    /// Gives up the neighbours of a session that its ways no longer lead to. The next packet of the
    /// direction asks for the new one; until then the direction is not promoted.
    pub(crate) fn forget_moved_next_hops(&mut self, id: SessionId) {
        for direction in Direction::BOTH {
            let Some(session) = self.sessions.get(id) else { return };
            let known = session.next_hop[direction.index()];
            if known == u32::MAX || self.leads_to(session, direction, NeighbourId(known)) {
                continue;
            }
            self.neighbours.release(NeighbourId(known));
            if let Some(session) = self.sessions.get_mut(id) {
                session.next_hop[direction.index()] = u32::MAX;
            }
        }
    }

    fn leads_to(&self, session: &Session, direction: Direction, known: NeighbourId) -> bool {
        let Destination::Forward { egress, gateway } = self.way_of(session, direction) else {
            return false;
        };
        let target = gateway.unwrap_or(session.key(direction.opposite()).src);
        self.neighbours.lookup(egress, target) == Some(known)
    }

    /// The gateway address of a tuple's route on an interface; none when its destination is on the
    /// link.
    fn gateway_towards(&self, vr: VrId, tuple: &Tuple, egress: IfId) -> Option<IpAddr> {
        if self.clients.are_behind(egress)
            || self.tunnel_of(egress).is_some_and(|(_, tunnel)| !tunnel.is_ethernet())
        {
            return None;
        }
        match self.routes.lookup(vr, tuple.dst) {
            Lookup::Via(set) => {
                let chosen = set.select(flow_hash(tuple));
                if chosen.interface == egress {
                    return chosen.gateway;
                }
                set.members.iter().find(|m| m.interface == egress).and_then(|m| m.gateway)
            }
            Lookup::Local(_) | Lookup::Broadcast(_) | Lookup::Blackhole(_) | Lookup::None => None,
        }
    }
}
