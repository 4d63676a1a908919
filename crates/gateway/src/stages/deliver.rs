//! Deliver: the packet is for the gateway itself.
//!
//! The gateway answers echo requests. Admit has already turned away everything that nothing here
//! serves, so what arrives is an echo request or the gateway's own affair.

use reason::DropReason;
use wire::{Time, icmp};

use crate::{
    Gateway,
    packet::{Packet, Verdict},
    trace::Note,
};

pub(crate) fn run(gateway: &mut Gateway, packet: &mut Packet, now: Time) -> Verdict {
    if !is_served(packet) {
        return Verdict::Drop(DropReason::LocalInNoService);
    }
    packet.say(|_| Note::new("echo request", "answered"));
    if packet.is_simulated() {
        return Verdict::Consume;
    }
    gateway.counters.delivered.add(packet.count(), packet.volume());
    gateway.count_session(packet);
    gateway.count_tier(packet);
    gateway.send_echo_reply(packet, now);
    Verdict::Consume
}

/// Whether something in the gateway serves the packet.
pub(crate) fn is_served(packet: &Packet) -> bool {
    icmp::is_echo_request(&packet.headers)
}
