//! RPF: does the way back to the source lead through the interface the packet came in by?

use config::model::Rpf;
use reason::DropReason;
use wire::Time;

use crate::{
    Gateway,
    anomaly::is_link_local,
    packet::{Packet, Verdict},
    trace::Note,
};

pub(crate) fn run(gateway: &mut Gateway, packet: &mut Packet, _now: Time) -> Verdict {
    let interface = gateway.interface(packet.ingress);
    let mode = interface.rpf;
    let src = packet.headers.src();
    // RFC 4301 §5.2: what the way back would protect must not come in clear.
    match gateway.steered(packet.vr, &packet.headers.tuple.reversed()) {
        Some(tunnel) if tunnel == packet.ingress => {
            packet.say(|_| Note::new(format!("route back to {src}"), "the tunnel it came out of"));
            return Verdict::Continue;
        }
        Some(tunnel) => {
            let name = &gateway.interface(tunnel).name;
            packet.say(|_| {
                Note::new(format!("route back to {src}"), format!("protected by tunnel {name}"))
            });
            let remote = gateway.remote.steer(packet.vr, src).is_some();
            return Verdict::Drop(if remote {
                DropReason::RpfFailed
            } else {
                DropReason::EspUnprotected
            });
        }
        None => {}
    }
    // A link-local source is on the link by definition; it has no route.
    let verdict = if is_link_local(src) {
        Ok(())
    } else {
        gateway.routes.rpf(packet.vr, src, packet.ingress, mode)
    };
    packet.say(|_| {
        let word = match mode {
            Rpf::Strict => "strict",
            Rpf::Loose => "loose",
            Rpf::Off => "off",
        };
        let result = if verdict.is_ok() { "the way back is through it" } else { "it is not" };
        Note::new(format!("route back to {src}, {word}"), result).by(
            "interface",
            interface.name.clone(),
            interface.line,
        )
    });
    match verdict {
        Ok(()) => Verdict::Continue,
        Err(reason) => Verdict::Drop(reason),
    }
}
