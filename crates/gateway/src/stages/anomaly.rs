//! Anomaly: packets that cannot open a session, and sources that open them too fast.

use config::model::SensorAction;
use reason::DropReason;
use wire::{Time, proto, tcp::flags};

use crate::{
    Gateway,
    anomaly::{SensorKind, SensorVerdict, malformed},
    events::EventKind,
    packet::{Packet, Verdict},
    route::Lookup,
    trace::Note,
};

/// The flags that tell an opening segment: SYN and no other of them (RFC 9293 §3.5).
const OPENING: u8 = flags::SYN | flags::ACK | flags::RST | flags::FIN;

pub(crate) fn run(gateway: &mut Gateway, packet: &mut Packet, now: Time) -> Verdict {
    let routes = &gateway.routes;
    let vr = packet.vr;
    let own = |ip| matches!(routes.lookup(vr, ip), Lookup::Local(_));
    if let Some(reason) = malformed(&packet.headers, own) {
        packet.say(|p| Note::new(format!("flags {:#04x}", p.headers.tcp_flags), "malformed"));
        return Verdict::Drop(reason);
    }
    if packet.headers.tuple.proto == proto::TCP && packet.headers.tcp_flags & OPENING != flags::SYN
    {
        packet.say(|p| Note::new(format!("flags {:#04x}", p.headers.tcp_flags), "opens nothing"));
        return Verdict::Drop(DropReason::TcpNotSyn);
    }
    if packet.is_simulated() {
        packet.say(|_| Note::new("headers", "well formed"));
        return Verdict::Continue;
    }
    let tuple = packet.headers.tuple;
    let kind = match tuple.proto {
        proto::TCP => SensorKind::Syn,
        proto::UDP => SensorKind::Udp,
        proto::ICMP | proto::ICMPV6 => SensorKind::Icmp,
        _ => SensorKind::Scan,
    };
    match gateway.sensors.observe(kind, tuple.src, tuple.dst, tuple.dst_port, now) {
        SensorVerdict::Pass => {
            packet.say(|p| Note::new(format!("rates of {}", p.headers.src()), "below thresholds"));
            Verdict::Continue
        }
        SensorVerdict::Exceeded { reason, action, rate, threshold, first } => {
            if first {
                let text = format!("{reason}: {} at {rate}/s, threshold {threshold}/s", tuple.src);
                gateway.events.push(now, EventKind::SensorExceeded, text);
            }
            packet.say(|p| {
                let looked =
                    format!("rate of {}: {rate}/s, threshold {threshold}/s", p.headers.src());
                Note::new(looked, "above the threshold")
            });
            match action {
                SensorAction::Block => Verdict::Drop(reason),
                SensorAction::Monitor => Verdict::Continue,
            }
        }
    }
}
