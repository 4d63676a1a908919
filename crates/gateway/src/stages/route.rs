//! Route: where does it go?

use core::net::IpAddr;

use reason::DropReason;
use wire::Time;

use crate::{
    Gateway,
    anomaly::is_link_local,
    packet::{Destination, Origin, Packet, Verdict},
    route::{Lookup, RouteSource},
    trace::Note,
};

pub(crate) fn run(gateway: &mut Gateway, packet: &mut Packet, _now: Time) -> Verdict {
    if packet.destination != Destination::Undecided {
        packet.say(|_| Note::new("decided where it was made", "back the way it came"));
        return Verdict::Continue;
    }
    let tuple = packet.inner_tuple();
    if let Some(egress) = gateway.steered(packet.vr, &tuple) {
        packet.destination = Destination::Forward { egress, gateway: None };
        let interface = gateway.interface(egress);
        packet.say(|_| {
            Note::new(format!("{tuple}"), format!("selected by tunnel {}", interface.name)).by(
                "ipsec",
                interface.name.clone(),
                interface.line,
            )
        });
        return Verdict::Continue;
    }
    let lookup = gateway.routes.lookup(packet.vr, tuple.dst);
    let looked = format_args!(
        "{} in {}",
        tuple.dst,
        gateway.config.virtual_routers[usize::from(packet.vr.0)].name
    )
    .to_string_if(packet.trace.is_some());
    match lookup {
        Lookup::Local(interface) => {
            packet.destination = Destination::Local;
            let name = &gateway.interface(interface).name;
            packet.say(|_| Note::new(looked, format!("own address on {name}")));
            Verdict::Continue
        }
        Lookup::Broadcast(_) => {
            packet.say(|_| Note::new(looked, "broadcast address of a subnet"));
            Verdict::Drop(DropReason::BroadcastNotForwarded)
        }
        Lookup::None => {
            packet.say(|_| Note::new(looked, "no route"));
            Verdict::Drop(DropReason::NoRoute)
        }
        Lookup::Blackhole(set) => {
            packet.say(|_| {
                Note::new(looked, "blackhole").by("route", set.destination.to_string(), set.line)
            });
            Verdict::Drop(DropReason::RouteBlackhole)
        }
        Lookup::Via(set) => {
            let member = set.select(flow_hash(&tuple));
            packet.destination =
                Destination::Forward { egress: member.interface, gateway: member.gateway };
            let name = &gateway.interface(member.interface).name;
            packet.say(|_| {
                let how = match (set.source, member.gateway) {
                    (RouteSource::Connected, _) | (_, None) => format!("on the link of {name}"),
                    (RouteSource::Static, Some(via)) => format!("via {via} by {name}"),
                };
                let shared = if set.members.len() > 1 {
                    format!(", one of {} equal routes", set.members.len())
                } else {
                    String::new()
                };
                Note::new(looked, how + &shared).by("route", set.destination.to_string(), set.line)
            });
            // RFC 4291 §2.5.6, RFC 3927 §7: a router must not forward them.
            let crosses = packet.origin != Origin::Gateway
                && (is_link_local(tuple.src) || is_link_local(tuple.dst));
            if crosses { Verdict::Drop(DropReason::IpLinkLocalForward) } else { Verdict::Continue }
        }
    }
}

/// Formats only when somebody will read it.
trait FormatIf {
    fn to_string_if(&self, wanted: bool) -> String;
}

impl FormatIf for core::fmt::Arguments<'_> {
    fn to_string_if(&self, wanted: bool) -> String {
        if wanted { self.to_string() } else { String::new() }
    }
}

/// The same for every packet of a session, so that ECMP keeps a session on one path.
pub(crate) fn flow_hash(tuple: &wire::Tuple) -> u64 {
    let fold = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => u64::from(ip.to_bits()),
        IpAddr::V6(ip) => (ip.to_bits() >> 64) as u64 ^ ip.to_bits() as u64,
    };
    let ports =
        u64::from(tuple.src_port) << 24 | u64::from(tuple.dst_port) << 8 | u64::from(tuple.proto);
    let mut hash = fold(tuple.src).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash = (hash ^ fold(tuple.dst)).rotate_left(29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ ports).rotate_left(31).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 32)
}
