//! SD-WAN: does a service choose the member link?
//!
//! The seam for policy routes and SD-WAN services, which decide before the routing table does.
//! None is built in yet, so every packet passes to the routing table.

use wire::Time;

use crate::{
    Gateway,
    packet::{Packet, Verdict},
    trace::Note,
};

pub(crate) fn run(_gateway: &mut Gateway, packet: &mut Packet, _now: Time) -> Verdict {
    packet.say(|_| Note::new("services: none configured", "the routing table decides"));
    Verdict::Continue
}
