//! Deliver: the packet is for the gateway itself.
//!
//! The gateway answers echo requests and speaks IKE with its peers. Admit has already turned away
//! everything that nothing here serves.

use reason::DropReason;
use wire::{Time, icmp};

use crate::{
    Gateway,
    packet::{Packet, Verdict},
    trace::Note,
};

pub(crate) fn run(gateway: &mut Gateway, packet: &mut Packet, now: Time) -> Verdict {
    if !is_served(gateway, packet) {
        return Verdict::Drop(DropReason::LocalInNoService);
    }
    let ike = !icmp::is_echo_request(&packet.headers);
    packet.say(|_| match ike {
        true => Note::new("message of IKE", "taken"),
        false => Note::new("echo request", "answered"),
    });
    if packet.is_simulated() {
        return Verdict::Consume;
    }
    if ike && !gateway.listens_to(packet, now) {
        return Verdict::Drop(DropReason::IkeRateLimited);
    }
    gateway.counters.delivered.add(packet.count(), packet.volume());
    gateway.count_session(packet);
    gateway.count_tier(packet);
    if ike {
        gateway.handle_ike(packet, now);
    } else {
        gateway.send_echo_reply(packet, now);
    }
    Verdict::Consume
}

/// Whether something in the gateway serves the packet.
pub(crate) fn is_served(gateway: &Gateway, packet: &Packet) -> bool {
    icmp::is_echo_request(&packet.headers)
        || gateway.ike_listener(packet.vr, &packet.headers.tuple).is_some()
}
