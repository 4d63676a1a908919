//! Inspect: must something look at the payload?
//!
//! The seam for inspection and protocol helpers: an inspector that holds a session contributes
//! `inspection-flow`, `inspection-proxy` or `helper-active` to its findings. None is built in yet.

use wire::Time;

use crate::{
    Gateway,
    packet::{Packet, Verdict},
    trace::Note,
};

pub(crate) fn run(_gateway: &mut Gateway, packet: &mut Packet, _now: Time) -> Verdict {
    packet.say(|_| Note::new("profiles: none configured", "nothing to inspect"));
    Verdict::Continue
}
