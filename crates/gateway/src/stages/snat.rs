//! SNAT: which source address and port does it leave with?

use config::model::SourceNat;
use wire::Time;

use super::policy::key;
use crate::{
    Gateway,
    events::EventKind,
    nat::{Grant, SnatRequest},
    packet::{Destination, Packet, Translation, Verdict},
    trace::Note,
};

pub(crate) fn run(gateway: &mut Gateway, packet: &mut Packet, now: Time) -> Verdict {
    let Destination::Forward { egress, .. } = packet.destination else {
        packet.say(|_| Note::new("the gateway's own traffic", "not translated"));
        return Verdict::Continue;
    };
    let tuple = packet.inner_tuple();
    let config = std::sync::Arc::clone(&gateway.config);
    let central =
        if gateway.nat.has_central() { gateway.nat.central(&key(gateway, packet)) } else { None };
    let policy = packet.rule.and_then(|index| config.policies.get(index as usize));
    let nat = match (central, policy) {
        (Some(index), _) => &config.central_snat[index].nat,
        (None, Some(policy)) => &policy.nat,
        (None, None) => &SourceNat::Off,
    };
    let by = |note: Note| match (central.map(|index| &config.central_snat[index]), policy) {
        (Some(rule), _) => note.by("central-snat", rule.name.clone(), rule.line),
        (None, Some(policy)) => note.by_policy(policy),
        (None, None) => note,
    };
    if *nat == SourceNat::Off {
        packet.say(|_| by(Note::new(format!("source {}", tuple.src), "not translated")));
        return Verdict::Continue;
    }
    // A server behind a 1:1 VIP goes out with the address it is known by.
    if let Some(reverse) = gateway.nat.reverse_vip(egress, tuple.src) {
        let (address, port) = (reverse.address, tuple.src_port);
        let reply = wire::Tuple { src: address, ..tuple }.reversed();
        if !gateway.sessions.contains(packet.vr, &reply) {
            let vip = &config.vips[reverse.vip];
            packet.say(|_| {
                Note::new(format!("source {}", tuple.src), format!("to {address}")).by(
                    "vip",
                    vip.name.clone(),
                    vip.line,
                )
            });
            packet.snat = Some(Translation { address, port, binding: None });
            return Verdict::Continue;
        }
    }
    let request = SnatRequest {
        tuple,
        nat,
        egress,
        egress_addresses: &config.interfaces[usize::from(egress.0)].addresses,
    };
    let (sessions, vr) = (&gateway.sessions, packet.vr);
    let taken = |reply: &wire::Tuple| sessions.contains(vr, reply);
    match gateway.nat.snat(&request, &mut gateway.rng, taken) {
        Ok(grant) => {
            packet.say(|_| {
                let result = match &grant {
                    Some(grant) => format!("to {} port {}", grant.address, grant.port),
                    None => "not translated".into(),
                };
                by(Note::new(format!("source {} port {}", tuple.src, tuple.src_port), result))
            });
            packet.snat = grant.map(|Grant { address, port, binding }| Translation {
                address,
                port,
                binding: Some(binding),
            });
            if packet.is_simulated() {
                gateway.release_grant(packet);
            }
            Verdict::Continue
        }
        Err(reason) => {
            gateway.events.push_limited(now, EventKind::PoolExhausted, || {
                format!("{reason}: no translation for {tuple}")
            });
            packet.say(|_| by(Note::new(format!("source {}", tuple.src), "no translation left")));
            Verdict::Drop(reason)
        }
    }
}

impl Gateway {
    /// Gives back what the stage took, for a session that does not come to be.
    pub(crate) fn release_grant(&mut self, packet: &Packet) {
        if let Some(binding) = packet.snat.and_then(|snat| snat.binding) {
            self.nat.release(binding);
        }
    }
}
