//! Policy: may it pass?
//!
//! Packets through the gateway are tried against the forward policies, packets to it against the
//! local-in rules, packets from it against the local-out rules.

use config::model::{Action, LocalRule};
use reason::DropReason;
use wire::{Time, proto};

use crate::{
    Gateway,
    local::IcmpErrorKind,
    packet::{Destination, Origin, Packet, Verdict},
    policy::{Key, Table},
    trace::Note,
};

pub(crate) fn run(gateway: &mut Gateway, packet: &mut Packet, now: Time) -> Verdict {
    match (packet.origin, packet.destination) {
        (Origin::Gateway, _) => local_out(gateway, packet),
        (Origin::Received | Origin::Simulated, Destination::Local) => {
            local_in(gateway, packet, now)
        }
        (Origin::Received | Origin::Simulated, Destination::Forward { .. }) => {
            forward(gateway, packet, now)
        }
        (Origin::Received | Origin::Simulated, Destination::Undecided) => {
            Verdict::Drop(DropReason::NoRoute)
        }
    }
}

fn forward(gateway: &mut Gateway, packet: &mut Packet, now: Time) -> Verdict {
    let key = key(gateway, packet);
    let Some(index) = gateway.policies.forward(&key) else {
        packet.say(|p| {
            Note::new(describe_sender(gateway, p, &key), "no policy matches: implicit deny")
        });
        return Verdict::Drop(DropReason::ImplicitDeny);
    };
    let policy = &gateway.config.policies[index];
    packet.say(|p| {
        let result = match policy.action {
            Action::Allow => "allowed",
            Action::Deny => "denied",
            Action::Reject => "rejected",
        };
        Note::new(describe_sender(gateway, p, &key), result).by_policy(policy)
    });
    let action = policy.action;
    if !packet.is_simulated() {
        gateway.policies.hit(Table::Forward, Some(index), now);
        if action != Action::Allow {
            let (packets, bytes) = (packet.count(), packet.volume());
            gateway.policies.add_traffic(Table::Forward, Some(index), packets, bytes);
        }
    }
    packet.rule = Some(index as u32);
    match action {
        Action::Allow => Verdict::Continue,
        Action::Deny => Verdict::Drop(DropReason::PolicyDeny),
        Action::Reject => {
            reject(gateway, packet, now);
            Verdict::Drop(DropReason::PolicyDeny)
        }
    }
}

fn local_in(gateway: &mut Gateway, packet: &mut Packet, now: Time) -> Verdict {
    let key = key(gateway, packet);
    let index = gateway.policies.local_in(&key);
    let rule = index.and_then(|i| gateway.config.local_in.get(i));
    packet.rule = index.map(|i| i as u32);
    let implied = gateway.implied(packet.vr, &packet.inner_tuple());
    let action = match (rule, &implied) {
        (Some(rule), _) => Some(rule.action),
        (None, Some(_)) => Some(Action::Allow),
        (None, None) => None,
    };
    packet.say(|_| match (rule, &implied) {
        (None, Some(implied)) => {
            let result = format!("allowed: implied by the {}", implied.what);
            Note::new(describe(gateway, &key), result).by(
                implied.kind,
                implied.name.clone(),
                implied.line,
            )
        }
        _ => local_note("local-in", describe(gateway, &key), rule),
    });
    if !packet.is_simulated() {
        gateway.policies.hit(Table::LocalIn, index, now);
        if action != Some(Action::Allow) {
            let (packets, bytes) = (packet.count(), packet.volume());
            gateway.policies.add_traffic(Table::LocalIn, index, packets, bytes);
        }
    }
    match action {
        Some(Action::Allow) => Verdict::Continue,
        Some(Action::Reject) => {
            reject(gateway, packet, now);
            Verdict::Drop(DropReason::LocalInDeny)
        }
        Some(Action::Deny) | None => Verdict::Drop(DropReason::LocalInDeny),
    }
}

/// What lets packets to the gateway pass that no local-in rule names: a service that was configured.
pub(crate) struct Implied {
    /// Section of the configuration.
    pub(crate) kind: &'static str,
    /// The service in words.
    pub(crate) what: &'static str,
    /// Name in the configuration.
    pub(crate) name: String,
    /// Where it is configured.
    pub(crate) line: config::model::Line,
    /// Its end, and what it listens for.
    pub(crate) local: core::net::IpAddr,
    pub(crate) services: Vec<String>,
}

impl Gateway {
    /// The service that packets with this tuple are for.
    pub(crate) fn implied(&self, vr: config::model::VrId, tuple: &wire::Tuple) -> Option<Implied> {
        if let Some(peer) = self.ike_listener(vr, tuple) {
            return Some(Implied {
                kind: "phase1",
                what: "IKE peer",
                name: peer.name.clone(),
                line: peer.line,
                local: peer.local,
                services: vec!["udp/500".into(), "udp/4500".into()],
            });
        }
        let (tunnel, access) = self.remote_listener(vr, tuple)?;
        let port = access.port;
        Some(Implied {
            kind: "remote-access",
            what: "remote access",
            name: tunnel.name.clone(),
            line: tunnel.line,
            local: tuple.dst,
            services: vec![format!("tcp/{port}"), format!("udp/{port}")],
        })
    }
}

fn local_out(gateway: &mut Gateway, packet: &mut Packet) -> Verdict {
    let key = key(gateway, packet);
    let rule = gateway.policies.local_out(&key).and_then(|i| gateway.config.local_out.get(i));
    packet.say(|_| local_note("local-out", describe(gateway, &key), rule));
    match rule.map(|rule| rule.action) {
        Some(Action::Allow) | None => Verdict::Continue,
        Some(Action::Deny | Action::Reject) => Verdict::Drop(DropReason::LocalOutDeny),
    }
}

fn local_note(table: &'static str, looked: String, rule: Option<&LocalRule>) -> Note {
    match rule {
        Some(rule) => {
            let result = if rule.action == Action::Allow { "allowed" } else { "denied" };
            Note::new(looked, result).by(table, rule.name.clone(), rule.line)
        }
        None => Note::new(looked, format!("no {table} rule matches")),
    }
}

/// Tells the sender at once that it may not (RFC 1812 §5.2.7.1 code 13, RFC 4443 §3.1 code 1).
fn reject(gateway: &mut Gateway, packet: &Packet, now: Time) {
    if packet.is_simulated() {
        return;
    }
    if packet.headers.tuple.proto == proto::TCP {
        gateway.send_reset(packet.frame.bytes(), packet.ingress, now);
    } else {
        let kind = IcmpErrorKind::AdminProhibited;
        gateway.send_icmp_error(kind, packet.frame.bytes(), packet.ingress, now);
    }
}

/// What the tables are asked.
pub(crate) fn key(gateway: &Gateway, packet: &Packet) -> Key {
    let tuple = packet.inner_tuple();
    let from = gateway.interface(packet.ingress).zone;
    let to = match packet.destination {
        Destination::Forward { egress, .. } => gateway.interface(egress).zone,
        Destination::Local | Destination::Undecided => from,
    };
    let dst_port = match tuple.proto {
        proto::ICMP | proto::ICMPV6 => u16::from(packet.headers.icmp_type),
        _ => tuple.dst_port,
    };
    Key {
        from,
        to,
        src: tuple.src,
        dst: tuple.dst,
        proto: tuple.proto,
        src_port: tuple.src_port,
        dst_port,
        who: gateway.users.sender(packet.vr, tuple.src),
    }
}

/// The same, and who sends if that is known.
fn describe_sender(gateway: &Gateway, packet: &Packet, key: &Key) -> String {
    let described = describe(gateway, key);
    match gateway.users.get(packet.vr, key.src) {
        Some(login) => format!("{described}, user {login}"),
        None => described,
    }
}

fn describe(gateway: &Gateway, key: &Key) -> String {
    let zone = |z: config::model::ZoneId| &gateway.config.zones[usize::from(z.0)].name;
    let service = match key.proto {
        proto::TCP => format!("tcp/{}", key.dst_port),
        proto::UDP => format!("udp/{}", key.dst_port),
        proto::SCTP => format!("sctp/{}", key.dst_port),
        proto::ICMP => format!("icmp/{}", key.dst_port),
        proto::ICMPV6 => format!("icmp6/{}", key.dst_port),
        other => format!("protocol {other}"),
    };
    format!("{} -> {}, {} -> {}, {service}", zone(key.from), zone(key.to), key.src, key.dst)
}
