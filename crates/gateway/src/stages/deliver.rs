//! Deliver: the packet is for the gateway itself.
//!
//! The gateway answers echo requests, speaks IKE with its peers and serves clients of remote access. Admit has already turned away
//! everything that nothing here serves.

use reason::DropReason;
use wire::{Time, icmp};

use crate::{
    Gateway,
    packet::{Packet, Verdict},
    trace::Note,
};

pub(crate) fn run(gateway: &mut Gateway, packet: &mut Packet, now: Time) -> Verdict {
    let Some(service) = service(gateway, packet) else {
        return Verdict::Drop(DropReason::LocalInNoService);
    };
    packet.say(|_| match service {
        Service::Echo => Note::new("echo request", "answered"),
        Service::Ike => Note::new("message of IKE", "taken"),
        Service::Remote => Note::new("for remote access", "taken"),
    });
    if packet.is_simulated() {
        return Verdict::Consume;
    }
    if matches!(service, Service::Ike) && !gateway.listens_to(packet, now) {
        return Verdict::Drop(DropReason::IkeRateLimited);
    }
    gateway.counters.delivered.add(packet.count(), packet.volume());
    gateway.count_session(packet);
    gateway.count_tier(packet);
    match service {
        Service::Echo => gateway.send_echo_reply(packet, now),
        Service::Ike => gateway.handle_ike(packet, now),
        Service::Remote => gateway.handle_remote(packet, now),
    }
    Verdict::Consume
}

/// What in the gateway serves packets.
enum Service {
    Echo,
    Ike,
    Remote,
}

fn service(gateway: &Gateway, packet: &Packet) -> Option<Service> {
    let tuple = &packet.headers.tuple;
    if icmp::is_echo_request(&packet.headers) {
        Some(Service::Echo)
    } else if gateway.ike_listener(packet.vr, tuple).is_some() {
        Some(Service::Ike)
    } else {
        gateway.remote_listener(packet.vr, tuple).map(|_| Service::Remote)
    }
}

/// Whether something in the gateway serves the packet.
pub(crate) fn is_served(gateway: &Gateway, packet: &Packet) -> bool {
    service(gateway, packet).is_some()
}
