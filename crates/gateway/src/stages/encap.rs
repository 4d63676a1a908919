//! Encap: the packet takes the form it leaves in.
//!
//! TTL, size, rewrite, MSS. The errors that a sender must hear of (time exceeded, too big) are made
//! from the packet as it came in, before anything is rewritten. A packet that leaves by a tunnel is
//! wrapped here; what comes of it leaves by the interface below, and passes this stage again.

use ports::Checksum;
use reason::DropReason;
use wire::{Fragmentation, Rewrite, Time, proto, tcp};

use config::model::{IfId, TunnelId};

use crate::{
    Gateway,
    local::IcmpErrorKind,
    packet::{Destination, Origin, Packet, Verdict},
    trace::Note,
    tunnel::{Awaits, Child, MOST_NESTED, Wrapped},
};

/// Smallest TCP header plus IPv4 and IPv6 header: what an MTU-derived MSS leaves out (RFC 6691 §2).
const TCP_OVERHEAD: [u16; 2] = [40, 60];

pub(crate) fn run(gateway: &mut Gateway, packet: &mut Packet, now: Time) -> Verdict {
    let Destination::Forward { egress, .. } = packet.destination else {
        return Verdict::Drop(DropReason::NoRoute);
    };
    // The gateway itself made the outer header of a wrapped packet.
    let forwarded = packet.origin != Origin::Gateway && packet.wrapped.is_none();
    if forwarded && packet.headers.ttl <= 1 {
        packet.say(|p| Note::new(format!("ttl {}", p.headers.ttl), "expires here"));
        answer(gateway, packet, IcmpErrorKind::TtlExceeded, now);
        return Verdict::Drop(DropReason::TtlExpired);
    }
    let tunnel = gateway.interface(egress).tunnel();
    if let Some(id) = tunnel
        && let Some(awaits) = gateway.awaits_sa(id, &gateway.leaving_tuple(packet))
    {
        return wait(packet, &gateway.interface(egress).name, awaits);
    }
    if let Some(id) = tunnel
        && gateway.awaits_client(id, &gateway.leaving_tuple(packet), now)
    {
        packet.say(|_| Note::new("the client has just gone", "waits for it to come again"));
        return Verdict::Hold;
    }
    let outer = gateway.outer(packet);
    let to_client = gateway.clients.are_behind(egress);
    let mtu = gateway.sealed_whole(egress, packet).unwrap_or_else(|| {
        let exit = match to_client {
            true => gateway.mtu_towards(egress, gateway.leaving_tuple(packet).dst),
            false => gateway.exit_mtu_of(egress, packet),
        };
        outer.flatten().unwrap_or(u16::MAX).min(exit)
    });
    let too_big = packet.largest_ip_len() > u32::from(mtu);
    // What its sender has cut once may be cut again, whatever the version; DF then told otherwise.
    // Of an IPv6 header of our own we are the sender.
    let own_v6 = outer.is_some() && packet.headers.tuple.is_v6();
    let may_cut = !packet.headers.df || packet.reassembled.is_some() || own_v6;
    if too_big && (!may_cut || packet.frame.offloads.gso.is_some()) {
        packet.say(|p| {
            Note::new(
                format!("{} bytes, mtu {mtu}", p.largest_ip_len()),
                "too big and not to be cut",
            )
        });
        let told = answer(gateway, packet, IcmpErrorKind::FragNeeded { mtu }, now);
        if told && let Some(child) = sending(gateway, egress, packet) {
            child.sizes.told += 1;
        }
        return Verdict::Drop(DropReason::MtuExceeded);
    }
    if packet.is_simulated() {
        packet.say(|p| {
            Note::new(
                format!("{} bytes, mtu {mtu}, ttl {}", p.headers.ip_len(), p.headers.ttl),
                "fits",
            )
        });
        return enter(gateway, packet, egress, now);
    }
    if packet.wrapped.is_none() {
        if !rewrite(gateway, packet, forwarded) {
            return Verdict::Drop(DropReason::IcmpErrorUnrelated);
        }
        clamp_mss(gateway, packet);
    }
    if too_big {
        let verdict = fragment(gateway, packet, mtu);
        if verdict != Verdict::Continue {
            return verdict;
        }
        if let Some(Wrapped::Sa(id)) = packet.wrapped
            && let Some(child) = gateway.tunnels.child_mut(id)
        {
            child.sizes.after.count(packet.pieces.len());
        }
    }
    enter(gateway, packet, egress, now)
}

/// What leaves by a tunnel, or to a client, is wrapped; the rest is in its form.
fn enter(gateway: &mut Gateway, packet: &mut Packet, egress: IfId, now: Time) -> Verdict {
    match gateway.interface(egress).tunnel() {
        Some(id) if gateway.remote.of_tunnel(id).is_some() => {
            gateway.send_to_client(packet, id, now)
        }
        Some(id) => wrap(gateway, packet, id, now),
        None if gateway.clients.are_behind(egress) => wrap_client(gateway, packet, egress, now),
        None => Verdict::Continue,
    }
}

/// The tunnel has no SA for the packet yet.
fn wait(packet: &mut Packet, tunnel: &str, awaits: Awaits) -> Verdict {
    let (result, verdict) = match awaits {
        Awaits::Negotiation => ("waits for IKE to negotiate an SA", Verdict::Hold),
        Awaits::Peer => ("no SA, and the peer is to begin", Verdict::Drop(DropReason::NeedIke)),
    };
    packet.say(|_| Note::new(format!("tunnel {tunnel}"), result));
    verdict
}

/// The packet enters a tunnel.
fn wrap(gateway: &mut Gateway, packet: &mut Packet, id: TunnelId, now: Time) -> Verdict {
    if packet.nesting >= MOST_NESTED {
        return Verdict::Drop(DropReason::TunnelLoop);
    }
    let inner = packet.headers.ip_len();
    let result = match gateway.config.tunnels.get(usize::from(id.0)) {
        Some(tunnel) if !gateway.selected(tunnel, &gateway.leaving_tuple(packet)) => {
            Err(DropReason::EspSelectorMismatch)
        }
        Some(_) | None => gateway.wrap(packet, id, now),
    };
    packet.say(|p| {
        let tunnel = gateway.config.tunnels.get(usize::from(id.0));
        let (kind, name, line) =
            tunnel.map(|t| (t.kind.name(), t.name.clone(), t.line)).unwrap_or_default();
        let found = match &result {
            Ok(()) => {
                let offers = match p.wrapped {
                    Some(Wrapped::Sa(child)) => Some(gateway.offers(child)),
                    Some(Wrapped::Overlay(_) | Wrapped::Client(_)) | None => None,
                };
                let offers = offers.map_or_else(String::new, |offers| format!("; {offers}"));
                format!(
                    "{inner} bytes became {} of {}{offers}",
                    p.headers.ip_len(),
                    p.headers.tuple
                )
            }
            Err(reason) => format!("not wrapped: {reason}"),
        };
        Note::new(format!("tunnel {name}"), found).by(kind, name, line)
    });
    match result {
        Ok(()) => Verdict::Continue,
        Err(reason) => Verdict::Drop(reason),
    }
}

/// The packet goes to a client.
fn wrap_client(gateway: &mut Gateway, packet: &mut Packet, egress: IfId, now: Time) -> Verdict {
    if packet.nesting >= MOST_NESTED {
        return Verdict::Drop(DropReason::TunnelLoop);
    }
    let inner = packet.headers.ip_len();
    let number = gateway.client_towards(egress, packet);
    let result = number
        .ok_or(DropReason::DtlsNoAssociation)
        .and_then(|number| gateway.wrap_client(packet, number, now));
    packet.say(|p| {
        let found = match &result {
            Ok(()) => {
                format!("{inner} bytes became {} of {}", p.headers.ip_len(), p.headers.tuple)
            }
            Err(reason) => format!("not wrapped: {reason}"),
        };
        let offers = number.map(|number| gateway.client_offers(number)).unwrap_or_default();
        Note::new(format!("DTLS client {offers}"), found)
    });
    match result {
        Ok(()) => Verdict::Continue,
        Err(reason) => Verdict::Drop(reason),
    }
}

/// Applies the session's translation and takes one from the TTL.
fn rewrite(gateway: &Gateway, packet: &mut Packet, forwarded: bool) -> bool {
    let partial = matches!(packet.frame.offloads.checksum, Checksum::Partial { .. });
    let session = packet.session.and_then(|(id, d)| gateway.sessions.get(id).map(|s| (s, d)));
    let Some((session, direction)) = session else {
        let tuple = packet.headers.tuple;
        let ttl_only = Rewrite::compile(tuple, tuple);
        ttl_only.apply(packet.frame.bytes_mut(), &packet.headers, forwarded, partial);
        packet.say(|_| Note::new("no session", "sent as it is"));
        return true;
    };
    let (key, out) = (session.key(direction), session.key(direction.opposite()).reversed());
    if packet.related {
        return translate_error(packet, key, out, forwarded);
    }
    let headers = packet.headers;
    Rewrite::compile(key, out).apply(packet.frame.bytes_mut(), &headers, forwarded, partial);
    packet.say(|p| {
        Note::new(
            format!("ttl {}", p.headers.ttl),
            if key == out { "not rewritten".into() } else { format!("rewritten to {out}") },
        )
    });
    true
}

/// An ICMP error about a packet that left with the reverse of `key`: the quoted packet gets the
/// addresses its sender knows, and the error goes to that sender (RFC 5508 §4).
fn translate_error(
    packet: &mut Packet,
    key: wire::Tuple,
    out: wire::Tuple,
    forwarded: bool,
) -> bool {
    let headers = packet.headers;
    let (quoted_from, quoted_to) = (key.reversed(), out.reversed());
    if !wire::rewrite::rewrite_quoted(packet.frame.bytes_mut(), &headers, quoted_from, quoted_to) {
        return false;
    }
    // A router on the way keeps its own address; the translated host must not show.
    let src = if headers.src() == key.src { out.src } else { headers.src() };
    let to = wire::Tuple { src, dst: out.dst, ..headers.tuple };
    Rewrite::compile(headers.tuple, to).apply(packet.frame.bytes_mut(), &headers, forwarded, false);
    packet
        .say(|_| Note::new("ICMP error about a packet of the session", format!("for {}", out.dst)));
    true
}

/// Tells the sender; says whether it was told.
fn answer(gateway: &mut Gateway, packet: &Packet, kind: IcmpErrorKind, now: Time) -> bool {
    packet.origin == Origin::Received
        && packet.wrapped.is_none()
        && gateway.send_icmp_error(kind, packet.frame.bytes(), packet.ingress, now)
}

/// The pair of SAs that a packet leaves by, if it leaves by a tunnel.
fn sending<'g>(gateway: &'g mut Gateway, egress: IfId, packet: &Packet) -> Option<&'g mut Child> {
    let tunnel = gateway.interface(egress).tunnel()?;
    let id = gateway.tunnels.sending(tunnel, &gateway.leaving_tuple(packet))?;
    gateway.tunnels.child_mut(id)
}

/// Lowers the MSS option of a SYN to what fits (RFC 879, RFC 6691).
fn clamp_mss(gateway: &mut Gateway, packet: &mut Packet) {
    if packet.headers.tuple.proto != proto::TCP
        || packet.headers.tcp_flags & tcp::flags::SYN == 0
        || packet.headers.fragment != Fragmentation::Whole
    {
        return;
    }
    let Destination::Forward { egress, .. } = packet.destination else { return };
    let overhead = TCP_OVERHEAD[usize::from(packet.headers.tuple.is_v6())];
    // What a SYN/ACK allows its receiver goes out by the interface that the SYN/ACK came in by.
    let by_interface = |id| match gateway.interface(id) {
        interface if interface.mss_clamp == Some(0) => {
            Some(gateway.exit_mtu(id).saturating_sub(overhead))
        }
        interface => interface.mss_clamp,
    };
    let by_policy = packet
        .session
        .and_then(|(id, _)| gateway.sessions.get(id))
        .and_then(|session| session.mss_clamp());
    let limit =
        [by_interface(egress), by_interface(packet.ingress), by_policy].into_iter().flatten().min();
    let Some(limit) = limit else { return };
    let partial = matches!(packet.frame.offloads.checksum, Checksum::Partial { .. });
    let headers = packet.headers;
    if tcp::clamp_mss(packet.frame.bytes_mut(), &headers, limit, partial) {
        gateway.counters.mss_clamped += 1;
    }
}

/// Cuts a packet that may be cut (RFC 791 §2.3).
fn fragment(gateway: &mut Gateway, packet: &mut Packet, mtu: u16) -> Verdict {
    if let Err(reason) = packet.frame.finish_checksum() {
        return Verdict::Drop(reason);
    }
    // A packet that came in fragments leaves in none larger than those it came in.
    let limit = packet.reassembled.map_or(mtu, |largest| largest.min(mtu));
    let headers = packet.headers;
    // Each datagram needs an identification of its own (RFC 8200 §4.5).
    let id = gateway.rng.next_u64() as u32;
    let mut cutter =
        match wire::fragment::Fragmenter::new(packet.frame.bytes(), &headers, limit, id) {
            Ok(cutter) => cutter,
            Err(reason) => return Verdict::Drop(reason),
        };
    let mut bytes = Vec::with_capacity(usize::from(mtu) + 32);
    let mut pieces = Vec::new();
    while cutter.next(&mut bytes) {
        match gateway.frames.alloc_from(&bytes) {
            Some(frame) => pieces.push(frame),
            None => return Verdict::Drop(DropReason::BuffersExhausted),
        }
    }
    gateway.counters.fragments_made += pieces.len() as u64;
    let count = pieces.len();
    packet.pieces = pieces;
    packet.say(|p| {
        Note::new(
            format!("{} bytes, mtu {mtu}", p.headers.ip_len()),
            format!("cut into {count} fragments"),
        )
    });
    Verdict::Continue
}
