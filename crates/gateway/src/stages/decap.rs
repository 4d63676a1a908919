//! Decap: does a tunnel end here?
//!
//! An ESP packet for one of our SAs leaves this stage as the packet inside, with the tunnel as its
//! interface, and enters again from the first stage on.

use config::model::TunnelId;
use reason::DropReason;
use wire::Time;

use crate::{
    Gateway,
    packet::{Packet, Verdict},
    trace::Note,
    tunnel::{Carried, ClientNumber, FromClient, MOST_NESTED, Unwrapped},
};

pub(crate) fn run(gateway: &mut Gateway, packet: &mut Packet, now: Time) -> Verdict {
    if let Some(number) = gateway.client_of(packet) {
        return open_client(gateway, packet, number, now);
    }
    match gateway.carried(packet) {
        Carried::Nothing => {
            packet.say(|_| Note::new("tunnels", "not a tunnel packet"));
            Verdict::Continue
        }
        Carried::Keepalive => {
            packet.say(|_| Note::new("NAT keepalive", "taken"));
            Verdict::Consume
        }
        Carried::Doubted(child) => {
            if let Some(child) = gateway.tunnels.child_mut(child).filter(|_| !packet.is_simulated())
            {
                child.sizes.doubted += 1;
            }
            packet.say(|_| Note::new("too big for the path", "quotes nothing sent lately"));
            Verdict::Continue
        }
        Carried::TooBig(child, mtu) => {
            if let Some(child) = gateway.tunnels.child_mut(child).filter(|_| !packet.is_simulated())
            {
                child.sizes.believed += 1;
            }
            let learnt = !packet.is_simulated() && gateway.learn_path_mtu(child, mtu, now);
            let result = if learnt { "learnt" } else { "nothing new" };
            packet.say(|_| Note::new(format!("too big for the path, mtu {mtu}"), result));
            Verdict::Consume
        }
        Carried::UnknownSpi(spi) => {
            packet.say(|_| Note::new(format!("ESP, spi {spi:#010x}"), "no SA has it"));
            Verdict::Drop(DropReason::EspSpiUnknown)
        }
        Carried::OverlayTooBig(id, mtu) => {
            let learnt = !packet.is_simulated() && gateway.learn_overlay_mtu(id, mtu, now);
            let result = if learnt { "learnt" } else { "nothing new" };
            packet.say(|_| Note::new(format!("too big for the path, mtu {mtu}"), result));
            Verdict::Consume
        }
        Carried::Esp(_) | Carried::Gre(..) | Carried::Vxlan(_) if packet.nesting >= MOST_NESTED => {
            Verdict::Drop(DropReason::TunnelLoop)
        }
        carried @ (Carried::Gre(id, _) | Carried::Vxlan(id) | Carried::Malformed(id, _)) => {
            open_overlay(gateway, packet, id, carried, now)
        }
        Carried::Esp(child) => {
            let name = packet.trace.is_some().then(|| gateway.describe(child)).flatten();
            let (looked, line) = name.unwrap_or_default();
            if packet.is_simulated() {
                packet.say(|_| {
                    Note::new(looked.clone(), "would be opened").by("ipsec", looked, line)
                });
                return Verdict::Consume;
            }
            if packet.reassembled.is_some()
                && let Some(child) = gateway.tunnels.child_mut(child)
            {
                child.sizes.reassembled += 1;
            }
            let result = if packet.frame.offloads.gso.is_some() {
                gateway.unwrap_each(packet, now).map(|()| None)
            } else {
                gateway.unwrap(packet, child, now).map(Some)
            };
            packet.say(|p| {
                let found = match &result {
                    Ok(Some(Unwrapped::Packet)) => {
                        format!("opened: {}; {}", p.headers.tuple, gateway.offers(child))
                    }
                    Ok(Some(Unwrapped::Dummy)) => "opened: a dummy packet".into(),
                    Ok(None) => "a super-packet; each of its packets goes its own way".into(),
                    Err(reason) => format!("not opened: {reason}"),
                };
                Note::new(looked.clone(), found).by("ipsec", looked, line)
            });
            match result {
                Ok(Some(Unwrapped::Packet)) => Verdict::Continue,
                Ok(Some(Unwrapped::Dummy) | None) => Verdict::Consume,
                Err(reason) => Verdict::Drop(reason),
            }
        }
    }
}

/// A record of a client's.
fn open_client(
    gateway: &mut Gateway,
    packet: &mut Packet,
    number: ClientNumber,
    now: Time,
) -> Verdict {
    if packet.nesting >= MOST_NESTED {
        return Verdict::Drop(DropReason::TunnelLoop);
    }
    let looked = || format!("DTLS of client {}", number.0);
    if packet.is_simulated() {
        packet.say(|_| Note::new(looked(), "would be opened"));
        return Verdict::Consume;
    }
    let result = if packet.frame.offloads.gso.is_some() {
        gateway.unwrap_each(packet, now).map(|()| None)
    } else {
        gateway.unwrap_client(packet, number, now).map(Some)
    };
    packet.say(|p| {
        let found = match &result {
            Ok(Some(FromClient::Packet)) => {
                format!("opened: {}; {}", p.headers.tuple, gateway.client_offers(number))
            }
            Ok(Some(FromClient::Message)) => "opened: no packet; for remote access".into(),
            Ok(None) => "a super-packet; each of its packets goes its own way".into(),
            Err(reason) => format!("not opened: {reason}"),
        };
        Note::new(looked(), found)
    });
    match result {
        Ok(Some(FromClient::Packet)) => Verdict::Continue,
        Ok(Some(FromClient::Message) | None) => Verdict::Consume,
        Err(reason) => Verdict::Drop(reason),
    }
}

/// GRE or VXLAN for a tunnel, or what claims to be.
fn open_overlay(
    gateway: &mut Gateway,
    packet: &mut Packet,
    id: TunnelId,
    carried: Carried,
    now: Time,
) -> Verdict {
    let tunnel = gateway.config.tunnels.get(usize::from(id.0));
    let named =
        packet.trace.is_some().then(|| tunnel.map(|t| (t.kind.name(), t.name.clone(), t.line)));
    let (kind, name, line) = named.flatten().unwrap_or_default();
    let looked = || format!("{kind}, tunnel {name}");
    if packet.is_simulated() {
        return match carried {
            Carried::Malformed(_, reason) => Verdict::Drop(reason),
            _ => {
                packet.say(|_| {
                    Note::new(looked(), "would be taken out").by(kind, name.clone(), line)
                });
                Verdict::Consume
            }
        };
    }
    let result = if packet.frame.offloads.gso.is_some() {
        gateway.unwrap_each(packet, now).map(|()| Verdict::Consume)
    } else {
        gateway.unwrap_overlay(packet, carried, now).map(|()| Verdict::Continue)
    };
    if result.is_err() {
        gateway.overlays.count_error(id);
    }
    packet.say(|p| {
        let found = match &result {
            Ok(Verdict::Continue) => format!("taken out: {}", p.headers.tuple),
            Ok(_) => "a super-packet; each of its packets goes its own way".into(),
            Err(reason) => format!("not taken: {reason}"),
        };
        Note::new(looked(), found).by(kind, name.clone(), line)
    });
    result.unwrap_or_else(Verdict::Drop)
}
