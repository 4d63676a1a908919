//! Session: which session is it, does the packet fit its state, do its decisions still hold?

use offload::Direction;
use reason::{DemotionReason, DropReason, PuntCause};
use wire::{Time, icmp, rewrite::quoted_tuple, tcp::flags};

use crate::{
    Gateway,
    packet::{Destination, Packet, Tier, Verdict},
    session::{Kind, Observation, SessionId, transport},
    trace::Note,
};

pub(crate) fn run(gateway: &mut Gateway, packet: &mut Packet, now: Time) -> Verdict {
    if icmp::is_error(&packet.headers) {
        return related(gateway, packet, now);
    }
    let tuple = packet.headers.tuple;
    let Some((id, direction)) = gateway.sessions.lookup(packet.vr, &tuple) else {
        return miss(packet);
    };
    if packet.is_simulated() {
        return simulated_hit(gateway, packet, id, direction);
    }
    if let Err(reason) = gateway.reevaluate_if_stale(id, now) {
        packet.say(|_| Note::new(tuple.to_string(), format!("session {id} ended by a change")));
        return Verdict::Drop(reason);
    }
    if let Some(reason) = moved(gateway, packet, id, direction, now) {
        return Verdict::Drop(reason);
    }
    if let Some(session) = gateway.sessions.get_mut(id) {
        session.set_fragmented(packet.reassembled.is_some());
    }
    let transport = transport(packet.frame.bytes(), &packet.headers);
    let Some(observed) =
        gateway.sessions.observe(id, direction, &packet.headers, transport, &gateway.windows, now)
    else {
        return miss(packet);
    };
    match observed {
        Observation::Pass { closing, .. } => {
            hit(gateway, packet, id, direction);
            if packet.cause == PuntCause::SaMiss {
                without_sa(gateway, id, direction, now);
            }
            if closing {
                gateway.demote_both(id, DemotionReason::TcpClose, now);
            }
            Verdict::Continue
        }
        Observation::Drop(reason) => {
            packet.say(|_| Note::new(tuple.to_string(), format!("does not fit session {id}")));
            Verdict::Drop(reason)
        }
        Observation::Reopen => {
            gateway.end_session(id, DemotionReason::TcpClose, now);
            miss(packet)
        }
    }
}

/// No session: the stages that set one up decide.
fn miss(packet: &mut Packet) -> Verdict {
    packet.say(|p| Note::new(p.headers.tuple.to_string(), "no session"));
    Verdict::Continue
}

fn hit(gateway: &mut Gateway, packet: &mut Packet, id: SessionId, direction: Direction) {
    packet.session = Some((id, direction));
    packet.tier = Tier::SlowEstablished;
    packet.destination = destination(gateway, id, direction);
    let Some(session) = gateway.sessions.get(id) else { return };
    packet.say(|p| {
        let state = session.state().name();
        Note::new(
            p.headers.tuple.to_string(),
            format!("session {id}, {}, {state}", direction.name()),
        )
    });
}

/// The engine has the flow, and not the SA that it goes into any more: its program is of no use. One that was
/// installed just now is not the one that punted.
fn without_sa(gateway: &mut Gateway, id: SessionId, direction: Direction, now: Time) {
    let Some(session) = gateway.sessions.get(id) else { return };
    if session.ledger.direction(direction).since().as_millis() < now.as_millis() {
        gateway.demote(id, direction, DemotionReason::SaRemoved, now);
    }
}

/// Where packets of a direction go.
fn destination(gateway: &Gateway, id: SessionId, direction: Direction) -> Destination {
    match gateway.sessions.get(id) {
        Some(session) => gateway.way_of(session, direction),
        None => Destination::Undecided,
    }
}

/// The session's packets come in by another interface than before: allowed when the way back leads
/// there too (asymmetric or changed paths), refused when the address is spoofed.
fn moved(
    gateway: &mut Gateway,
    packet: &mut Packet,
    id: SessionId,
    direction: Direction,
    now: Time,
) -> Option<DropReason> {
    let session = gateway.sessions.get(id)?;
    let expected = match direction {
        Direction::Original => session.ingress,
        Direction::Reply => session.egress,
    };
    if packet.ingress == expected || session.kind != Kind::Forward {
        return None;
    }
    // RFC 4301 §5.2: what belongs into a tunnel is not taken in clear, whatever the zones.
    let protected = |id| gateway.tunnel_of(id).is_some_and(|(_, tunnel)| tunnel.ipsec().is_some());
    let remote = |id| gateway.tunnel_of(id).is_some_and(|(_, t)| t.remote_access().is_some());
    if remote(expected) && !remote(packet.ingress) {
        packet.say(|p| Note::new(p.headers.tuple.to_string(), "its session is a client's"));
        return Some(DropReason::RpfFailed);
    }
    if protected(expected) && !protected(packet.ingress) {
        packet
            .say(|p| Note::new(p.headers.tuple.to_string(), "in clear; its session is a tunnel's"));
        return Some(DropReason::EspUnprotected);
    }
    let mode = gateway.interface(packet.ingress).rpf;
    let same_zone = gateway.interface(packet.ingress).zone == gateway.interface(expected).zone;
    let src = packet.headers.src();
    let way_back = gateway.routes.rpf(packet.vr, src, packet.ingress, mode);
    if !same_zone || way_back.is_err() {
        packet.say(|_| Note::new(format!("from {src}"), "comes in by an interface it may not use"));
        return Some(DropReason::RpfFailed);
    }
    gateway.demote_both(id, DemotionReason::IngressMoved, now);
    let session = gateway.sessions.get_mut(id)?;
    match direction {
        Direction::Original => session.ingress = packet.ingress,
        Direction::Reply => session.egress = packet.ingress,
    }
    gateway.forget_moved_next_hops(id);
    None
}

fn simulated_hit(
    gateway: &mut Gateway,
    packet: &mut Packet,
    id: SessionId,
    direction: Direction,
) -> Verdict {
    // A session that exists answers the question by itself; only an opening packet asks on.
    if direction == Direction::Original && packet.headers.tcp_flags & flags::SYN != 0 {
        packet.say(|p| {
            Note::new(p.headers.tuple.to_string(), format!("session {id} exists; as if it did not"))
        });
        return Verdict::Continue;
    }
    hit(gateway, packet, id, direction);
    Verdict::Continue
}

/// An ICMP error belongs to the session whose packet it quotes.
fn related(gateway: &mut Gateway, packet: &mut Packet, now: Time) -> Verdict {
    let Some(quoted) = quoted_tuple(packet.frame.bytes(), &packet.headers) else {
        return Verdict::Drop(DropReason::IcmpErrorUnrelated);
    };
    // The quoted packet left here; its answer would look like this.
    let found = gateway.sessions.lookup(packet.vr, &quoted.reversed());
    let Some((id, direction)) = found else {
        packet.say(|_| Note::new(format!("quotes {quoted}"), "of no session"));
        return Verdict::Drop(DropReason::IcmpErrorUnrelated);
    };
    if let Err(reason) = gateway.reevaluate_if_stale(id, now) {
        return Verdict::Drop(reason);
    }
    packet.related = true;
    hit(gateway, packet, id, direction);
    packet.say(|_| {
        Note::new(format!("ICMP error quotes {quoted}"), format!("belongs to session {id}"))
    });
    if packet.destination == Destination::Local { Verdict::Consume } else { Verdict::Continue }
}

impl Gateway {
    /// Adds a forwarded or delivered packet to its session's slow-path counters.
    pub(crate) fn count_session(&mut self, packet: &Packet) {
        self.count_session_as(packet, packet.count(), packet.volume());
    }

    /// Counts a packet of a session that is no longer what it was.
    pub(crate) fn count_session_as(&mut self, packet: &Packet, packets: u64, bytes: u64) {
        if let Some((id, direction)) = packet.session
            && let Some(session) = self.sessions.get_mut(id)
        {
            session.add_slow(direction, packets, bytes);
            if packet.tier == Tier::SlowSetup {
                session.mark_setup(packets, bytes);
            }
        }
    }
}
