//! Admit: everything is decided; the session is written.

use reason::DropReason;
use wire::{Time, Tuple, proto};

use super::deliver;
use crate::{
    Gateway,
    events::EventKind,
    local::IcmpErrorKind,
    packet::{Destination, Packet, Verdict},
    policy::Table,
    session::{InsertError, Kind, Observation, Session, transport},
    trace::Note,
};

pub(crate) fn run(gateway: &mut Gateway, packet: &mut Packet, now: Time) -> Verdict {
    if packet.destination == Destination::Local && !deliver::is_served(gateway, packet) {
        return turn_away(gateway, packet, now);
    }
    if let Destination::Forward { egress, .. } = packet.destination {
        let outward = gateway.leaving_tuple(packet);
        if !gateway.is_let_pass(egress, &outward) {
            packet.say(|_| Note::new(outward.to_string(), "outside the selectors of the tunnel"));
            return refuse(gateway, packet, DropReason::EspSelectorMismatch);
        }
    }
    if packet.destination == Destination::Local && !packet.is_simulated() {
        let (vr, tuple) = (packet.vr, packet.inner_tuple());
        if !gateway.may_open_to_ike(vr, &tuple, now) {
            packet.say(|_| Note::new("first packets of strangers to IKE", "too many"));
            return refuse(gateway, packet, DropReason::IkeRateLimited);
        }
    }
    if packet.is_simulated() {
        packet.say(|_| Note::new("session table", "a session would be written"));
        return Verdict::Continue;
    }
    let half_open = gateway.sessions.gauges().half_open;
    if packet.headers.tuple.proto == proto::TCP && half_open >= gateway.config.limits.half_open {
        packet.say(|_| Note::new(format!("{half_open} half-open sessions"), "at the limit"));
        return refuse(gateway, packet, DropReason::TcpHalfOpenLimit);
    }
    let session = match draft(gateway, packet, now) {
        Ok(session) => session,
        Err(reason) => return refuse(gateway, packet, reason),
    };
    let (rule, table, log) = (session.rule, table(session.kind), session.is_logged());
    let window = session.tcp_window();
    let id = match gateway.sessions.insert(session) {
        Ok(id) => id,
        Err(error) => {
            if let Some(window) = window {
                gateway.windows.free(window);
            }
            let (used, capacity) = (gateway.sessions.len(), gateway.config.limits.sessions);
            gateway.events.push_limited(now, EventKind::SessionTableFull, || {
                format!("{used} of {capacity} sessions")
            });
            packet.say(|_| Note::new(format!("{used} of {capacity} sessions"), "not written"));
            return refuse(gateway, packet, reason_of(error));
        }
    };
    opened(gateway, packet, id, now);
    gateway.policies.session_opened(table, rule_index(gateway, table, rule));
    if log && let Some(session) = gateway.sessions.get(id) {
        let text = gateway.session_line(id, session, None, now);
        gateway.events.push(now, EventKind::SessionStart, text);
    }
    Verdict::Continue
}

/// The session that the stages before decided on, its first packet already observed.
fn draft(gateway: &mut Gateway, packet: &Packet, now: Time) -> Result<Session, DropReason> {
    let original = packet.headers.tuple;
    let mut outgoing = packet.inner_tuple();
    if let Some(grant) = &packet.snat {
        outgoing = Tuple { src: grant.address, src_port: grant.port, ..outgoing };
    }
    let kind = match packet.destination {
        Destination::Local => Kind::LocalIn,
        Destination::Forward { .. } | Destination::Undecided => Kind::Forward,
    };
    let mut session = Session::new(kind, packet.vr, original, outgoing.reversed(), now);
    session.ingress = packet.ingress;
    session.egress = match packet.destination {
        Destination::Forward { egress, .. } => egress,
        Destination::Local | Destination::Undecided => packet.ingress,
    };
    session.set_epoch(gateway.epochs.now(gateway.epoch_slot(packet.vr, original.src)));
    if kind == Kind::Forward {
        session.login = gateway.users.login(packet.vr, original.src);
    }
    session.set_binding(packet.snat.and_then(|grant| grant.binding));
    session.set_vip(packet.dnat.as_ref().map(|dnat| dnat.vip as u16));
    let policy = match kind {
        Kind::Forward => packet.rule.and_then(|i| gateway.config.policies.get(i as usize)),
        Kind::LocalIn | Kind::LocalOut => None,
    };
    session.rule = match policy {
        Some(policy) => {
            session.set_mss_clamp(policy.mss_clamp);
            session.set_logged(policy.log);
            policy.id
        }
        None => packet.rule.unwrap_or(u32::MAX),
    };
    session.set_options(packet.headers.options);
    session.set_fragmented(packet.reassembled.is_some());
    let transport = transport(packet.frame.bytes(), &packet.headers);
    let direction = offload::Direction::Original;
    match session.observe(direction, &packet.headers, transport, &gateway.windows, now) {
        Observation::Pass { .. } | Observation::Reopen => Ok(session),
        Observation::Drop(reason) => {
            if let Some(window) = session.tcp_window() {
                gateway.windows.free(window);
            }
            Err(reason)
        }
    }
}

fn opened(gateway: &mut Gateway, packet: &mut Packet, id: crate::session::SessionId, now: Time) {
    gateway.counters.sessions_created += 1;
    if let Some(dnat) = &packet.dnat {
        gateway.nat.count_vip(dnat.vip);
    }
    packet.session = Some((id, offload::Direction::Original));
    let deadline = gateway.sessions.get(id).map(|s| now + s.timeout(&gateway.config.timeouts));
    if let Some(deadline) = deadline {
        gateway.sessions.rearm(id, deadline);
    }
    if let Some(session) = gateway.sessions.get_mut(id) {
        gateway.promotion.ledger.open(&mut session.ledger, now);
        if packet.trace.is_some() {
            session.set_traced(true);
        }
    }
    packet.say(|_| Note::new("session table", format!("session {id} written")));
}

fn reason_of(error: InsertError) -> DropReason {
    match error {
        InsertError::TableFull => DropReason::SessionTableFull,
        // The stages before looked both keys up; only another session's translation can be in the way.
        InsertError::KeyTaken(_) => DropReason::SessionKeyTaken,
    }
}

fn refuse(gateway: &mut Gateway, packet: &Packet, reason: DropReason) -> Verdict {
    gateway.release_grant(packet);
    Verdict::Drop(reason)
}

/// A closed port answers as a host would (RFC 9293 §3.10.7.1, RFC 1122 §3.2.2.1).
fn turn_away(gateway: &mut Gateway, packet: &mut Packet, now: Time) -> Verdict {
    packet.say(|_| Note::new("services of the gateway", "none on that port"));
    if !packet.is_simulated() {
        match packet.headers.tuple.proto {
            proto::TCP => gateway.send_reset(packet.frame.bytes(), packet.ingress, now),
            proto::UDP => {
                let kind = IcmpErrorKind::PortUnreachable;
                gateway.send_icmp_error(kind, packet.frame.bytes(), packet.ingress, now);
            }
            _ => {}
        }
    }
    Verdict::Drop(DropReason::LocalInNoService)
}

/// Which table a session of that kind passed.
pub(crate) fn table(kind: Kind) -> Table {
    match kind {
        Kind::Forward => Table::Forward,
        Kind::LocalIn => Table::LocalIn,
        Kind::LocalOut => Table::LocalOut,
    }
}

/// Index of the rule a session names.
pub(crate) fn rule_index(gateway: &Gateway, table: Table, rule: u32) -> Option<usize> {
    match table {
        Table::Forward => gateway.policies.index_of(rule),
        Table::LocalIn | Table::LocalOut => (rule != u32::MAX).then_some(rule as usize),
    }
}
