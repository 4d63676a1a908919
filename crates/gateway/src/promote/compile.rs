//! Compiles a direction of a session into a program: everything the fast path needs, looked up once.

use offload::{AdjacencyId, Direction, FlowProgram};
use wire::{Rewrite, Time};

use crate::{
    Gateway,
    session::{Session, SessionId},
};

impl Gateway {
    pub(crate) fn compile(
        &self,
        id: SessionId,
        session: &Session,
        direction: Direction,
        now: Time,
    ) -> FlowProgram {
        let key = session.key(direction);
        let out = session.key(direction.opposite()).reversed();
        let (ingress, egress) = match direction {
            Direction::Original => (session.ingress, session.egress),
            Direction::Reply => (session.egress, session.ingress),
        };
        FlowProgram {
            key,
            vr: session.vr.0,
            ingress: ingress.0,
            rewrite: Rewrite::compile(key, out),
            adjacency: AdjacencyId(session.next_hop[direction.index()]),
            sa: match self.interface(egress).tunnel() {
                _ if self.clients.are_behind(egress) => self.client_sending_handle(egress, &out),
                Some(id) => self.sending_handle(id, &out),
                None => None,
            },
            mtu: self.mtu_towards(egress, out.dst),
            tcp_window: session.tcp_window(),
            session: id.index,
            direction,
            epoch: session.epoch(),
            worth: worth(session, now),
        }
    }
}

/// Packets a second the session has sent so far: what it may be worth to an engine that is nearly full.
fn worth(session: &Session, now: Time) -> u32 {
    let millis = now.since(session.created).as_millis().max(100) as u64;
    u32::try_from(session.packets_seen().saturating_mul(1_000) / millis).unwrap_or(u32::MAX)
}
