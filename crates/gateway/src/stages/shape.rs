//! Shape: does a shaper or policer apply?
//!
//! The seam for shaping: a queueing shaper contributes `shaper-software` to the session's findings
//! and may hold or drop packets. None is built in yet.

use wire::Time;

use crate::{
    Gateway,
    packet::{Packet, Verdict},
    trace::Note,
};

pub(crate) fn run(_gateway: &mut Gateway, packet: &mut Packet, _now: Time) -> Verdict {
    packet.say(|_| Note::new("shapers: none configured", "not shaped"));
    Verdict::Continue
}
