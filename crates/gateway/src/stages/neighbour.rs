//! Neighbour: the MAC address of the next hop; a packet waits here until it is known.

use core::net::IpAddr;

use reason::DropReason;
use wire::{Mac, Time};

use crate::{
    Gateway,
    neighbour::Resolution,
    packet::{Destination, Packet, Verdict},
    trace::Note,
    tunnel::{OUT, Wrapped},
};

pub(crate) fn run(gateway: &mut Gateway, packet: &mut Packet, now: Time) -> Verdict {
    let Destination::Forward { egress, gateway: via } = packet.destination else {
        return Verdict::Drop(DropReason::NoRoute);
    };
    let target = via.unwrap_or_else(|| leaving_for(gateway, packet));
    let name =
        if packet.trace.is_some() { gateway.interface(egress).name.clone() } else { String::new() };
    if packet.is_simulated() {
        let known = gateway.neighbours.lookup(egress, target);
        let state = known.and_then(|id| gateway.neighbours.get(id)).map(|n| n.state);
        packet.say(|_| {
            let result = state.map_or("would be asked for", |s| s.name());
            Note::new(format!("{target} on {name}"), result)
        });
        return Verdict::Continue;
    }
    match gateway.neighbours.resolve(egress, target, now) {
        Resolution::Resolved { id, mac } => {
            packet.next_hop = Some((id.0, mac));
            packet.say(|_| Note::new(format!("{target} on {name}"), format!("at {mac}")));
            gateway.remember_far_end(packet, id.0, now);
            if gateway.remember_next_hop(packet, id.0) {
                // A neighbour that was learnt from its own question was never announced.
                gateway.publish_adjacency(id, egress, mac);
            }
            Verdict::Continue
        }
        Resolution::Pending { id } => {
            packet.next_hop = Some((id.0, Mac::default()));
            packet.say(|_| Note::new(format!("{target} on {name}"), "asked for; the packet waits"));
            gateway.remember_next_hop(packet, id.0);
            gateway.send_solicitations(now);
            Verdict::Hold
        }
        Resolution::TableFull => {
            packet.say(|_| Note::new(format!("{target} on {name}"), "no room in the table"));
            Verdict::Drop(DropReason::NeighbourTableFull)
        }
    }
}

/// The destination address the packet will have on the wire.
pub(crate) fn leaving_for(gateway: &Gateway, packet: &Packet) -> IpAddr {
    match packet.session {
        Some((id, direction)) => match gateway.sessions.get(id) {
            Some(session) => session.key(direction.opposite()).src,
            None => packet.headers.dst(),
        },
        None => packet.inner_tuple().dst,
    }
}

impl Gateway {
    /// A packet whose next hop is being asked for waits in the neighbour's queue.
    pub(crate) fn hold_for_neighbour(&mut self, packet: Packet, now: Time) {
        let Some((id, _)) = packet.next_hop else { return };
        // A scan of a subnet must not take the buffers that forwarding needs, of the worker it comes by.
        let pool = packet.frame.pool().unwrap_or(&self.frames);
        if pool.in_use() > pool.capacity() / 4 * 3 {
            return self.drop_packet(packet, DropReason::NeighbourQueueFull, now);
        }
        let held = self.neighbours.hold(crate::neighbour::NeighbourId(id), Box::new(packet));
        if let Err((displaced, reason)) = held {
            self.drop_packet(*displaced, reason, now);
        }
    }

    /// The SAs keep the neighbour their packets go to, for the same reason.
    fn remember_far_end(&mut self, packet: &Packet, id: u32, now: Time) {
        let wrapped = match packet.wrapped {
            Some(Wrapped::Sa(wrapped)) => wrapped,
            Some(Wrapped::Client(number)) => return self.remember_way_to_client(number, id, now),
            Some(Wrapped::Overlay(_)) | None => return,
        };
        let Some(child) = self.tunnels.child_mut(wrapped) else { return };
        let before = std::mem::replace(&mut child.next_hop, id);
        if before == id {
            self.promote_sa(wrapped, OUT, now);
            return;
        }
        if before != u32::MAX {
            self.neighbours.release(crate::neighbour::NeighbourId(before));
        }
        self.neighbours.acquire(crate::neighbour::NeighbourId(id));
        let known = self.neighbours.get(crate::neighbour::NeighbourId(id));
        if let Some((interface, mac)) = known.and_then(|n| n.mac.map(|mac| (n.interface, mac))) {
            self.publish_adjacency(crate::neighbour::NeighbourId(id), interface, mac);
        }
        self.far_end_moved(wrapped, id, now);
    }

    /// A session keeps the neighbour of each direction, so that promotion need not look it up. Says
    /// whether it is another than before.
    fn remember_next_hop(&mut self, packet: &Packet, id: u32) -> bool {
        if packet.related {
            return false;
        }
        let Some((session, direction)) = packet.session else { return false };
        let Some(session) = self.sessions.get_mut(session) else { return false };
        let slot = &mut session.next_hop[direction.index()];
        if *slot != id {
            if *slot != u32::MAX {
                self.neighbours.release(crate::neighbour::NeighbourId(*slot));
            }
            self.neighbours.acquire(crate::neighbour::NeighbourId(id));
            *slot = id;
            return true;
        }
        false
    }
}
