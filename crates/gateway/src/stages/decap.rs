//! Decap: does a tunnel end here?
//!
//! The seam for IPsec, GRE, VXLAN and remote access: a packet addressed to a tunnel's local end
//! leaves this stage as the inner packet, with the tunnel as its interface. No tunnel kind is
//! built in yet, so every packet passes.

use wire::Time;

use crate::{
    Gateway,
    packet::{Packet, Verdict},
    trace::Note,
};

pub(crate) fn run(_gateway: &mut Gateway, packet: &mut Packet, _now: Time) -> Verdict {
    packet.say(|_| Note::new("tunnels: none configured", "not a tunnel packet"));
    Verdict::Continue
}
