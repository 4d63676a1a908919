//! `show tunnels`, `show sa`.

use api::{LifetimeView, SaView, SasView, SizesView, TunnelView, TunnelsView};

use super::{
    port::{loss, or_none},
    session::status_tone,
    style::{Style, Tone},
    table::{Cell, Table},
    units::{bytes, count, duration},
};

pub fn tunnels(view: &TunnelsView, style: &Style) -> String {
    let mut table = Table::new(&[
        "TUNNEL",
        "STATE",
        ">SINCE",
        "KEYS",
        "LOCAL",
        "REMOTE",
        "WAY",
        "KIND",
        "INTERFACE",
        "ZONE",
        ">MTU",
        "OFFLOAD",
        ">SENT",
        ">RECEIVED",
        ">ERRORS",
        ">LINE",
    ]);
    for tunnel in &view.tunnels {
        let state = match tunnel.state.as_ref() {
            "up" => Tone::Good,
            "partial" | "negotiating" | "idle" => Tone::Notice,
            _ => Tone::Bad,
        };
        table.row([
            Cell::new(Tone::Name, &tunnel.name),
            Cell::new(state, tunnel.state.as_ref()),
            tunnel.since_ms.map_or_else(String::new, duration).into(),
            tunnel.peer.as_deref().unwrap_or("by hand").into(),
            tunnel.local.to_string().into(),
            tunnel.remote.map_or_else(|| "any".to_owned(), |remote| remote.to_string()).into(),
            if tunnel.underlay.is_empty() {
                "none".into()
            } else {
                tunnel.underlay.as_str().into()
            },
            kind(tunnel).into(),
            tunnel.interface.as_str().into(),
            tunnel.zone.as_str().into(),
            tunnel.mtu.to_string().into(),
            offload(&tunnel.offload),
            bytes(tunnel.sent.bytes).into(),
            bytes(tunnel.received.bytes).into(),
            loss(tunnel.errors),
            tunnel.line.to_string().into(),
        ]);
    }
    let mut out = or_none(table, "no tunnels are configured", style);
    for tunnel in &view.tunnels {
        if let Some(failure) = &tunnel.failure {
            out.push_str(&format!("{}: {failure}\n", style.paint(Tone::Name, &tunnel.name)));
        }
    }
    out
}

/// What wraps packets: the kind, what tells it from others, the bytes it adds.
fn kind(tunnel: &TunnelView) -> String {
    let mut words = tunnel.kind.to_string();
    if !tunnel.mode.is_empty() {
        words += &format!(" {}", tunnel.mode);
    }
    for (name, value) in [("key", tunnel.key), ("vni", tunnel.vni)] {
        if let Some(value) = value {
            words += &format!(" {name} {value}");
        }
    }
    if let Some((local, remote)) = tunnel.udp {
        words += &match local == remote {
            true => format!(" udp {local}"),
            false => format!(" udp {local}/{remote}"),
        };
    }
    if let Some(overhead) = tunnel.overhead {
        words += &format!(" +{overhead}");
    }
    words
}

fn offload(word: &str) -> Cell {
    let tone = match word {
        "full" => Tone::Good,
        "partial" => Tone::Notice,
        _ => Tone::Dim,
    };
    Cell::new(tone, word)
}

pub fn sas(view: &SasView, style: &Style) -> String {
    let mut table = Table::new(&[
        "TUNNEL",
        "DIR",
        "SPI",
        "ALGORITHM",
        "MODE",
        ">SEQUENCE",
        ">WINDOW",
        ">FAST",
        ">SLOW",
        ">ERRORS",
        "LIFE",
        "OFFLOAD",
    ]);
    for sa in &view.sas {
        let errors = sa.errors.iter().map(|error| error.count).sum();
        table.row([
            Cell::new(Tone::Name, &sa.tunnel),
            sa.direction.as_ref().into(),
            sa.spi.as_str().into(),
            sa.suite.as_str().into(),
            sa.mode.as_ref().into(),
            count(sa.sequence).into(),
            sa.replay.as_ref().map_or_else(String::new, |r| r.window.to_string()).into(),
            count(sa.fast.packets).into(),
            count(sa.slow.packets).into(),
            loss(errors),
            Cell::new(life_tone(&sa.expiry), sa.expiry.as_ref()),
            Cell::new(status_tone(sa.status), sa.status.name()),
        ]);
    }
    or_none(table, "no SAs", style)
}

/// Why each SA is where it is.
pub fn sas_offload(view: &SasView, style: &Style) -> String {
    let mut table = Table::new(&[
        "TUNNEL", "DIR", "SPI", "ENGINE", "STATUS", ">SINCE", ">FAST", ">SLOW", "WHY",
    ]);
    for sa in &view.sas {
        table.row([
            Cell::new(Tone::Name, &sa.tunnel),
            sa.direction.as_ref().into(),
            sa.spi.as_str().into(),
            sa.engine.as_ref().into(),
            Cell::new(status_tone(sa.status), sa.status.name()),
            duration(sa.status_ms).into(),
            count(sa.fast.packets).into(),
            count(sa.slow.packets).into(),
            why(sa).into(),
        ]);
    }
    or_none(table, "no SAs", style)
}

/// Everything about each SA.
pub fn sas_detail(view: &SasView, style: &Style) -> String {
    if view.sas.is_empty() {
        return "no SAs\n".to_owned();
    }
    view.sas.iter().map(|sa| detail(sa, style)).collect::<Vec<_>>().join("\n")
}

fn detail(sa: &SaView, style: &Style) -> String {
    let udp = match sa.udp {
        Some((from, to)) => format!(", in UDP {from} to {to}"),
        None => String::new(),
    };
    let mut lines = vec![
        (
            "algorithm",
            format!("{}, key {} bits, ICV {} bytes", sa.suite, sa.key_bits, sa.icv_bytes),
        ),
        ("mode", format!("{}, {} to {}{udp}", sa.mode, sa.source, sa.destination)),
        (
            "sequence",
            match sa.sequence_limit {
                Some(limit) => format!("{} of {limit}{}", sa.sequence, esn(sa.esn)),
                None => format!("highest {}{}", sa.sequence, esn(sa.esn)),
            },
        ),
    ];
    if let Some(replay) = &sa.replay {
        lines.push((
            "replay",
            match replay.window {
                0 => "not checked".to_owned(),
                window => {
                    let words =
                        replay.bitmap.iter().take(4).map(String::as_str).collect::<Vec<_>>();
                    let more = if replay.bitmap.len() > 4 { " …" } else { "" };
                    format!("window {window}, top {}, seen {}{more}", replay.top, words.join(" "))
                }
            },
        ));
    }
    if let Some((least, most)) = sa.overhead {
        lines.push(("overhead", format!("{least} to {most} bytes")));
    }
    if let Some(sizes) = &sa.sizes {
        lines.extend(size_lines(sizes));
    }
    if let Some(reassembled) = sa.reassembled {
        lines.push(("fragments", format!("{} packets put together", count(reassembled))));
    }
    if let Some(on) = sa.egress_optimisation {
        let text = if on {
            "optimised: sealed in the pass that finds the flow, once on the engine"
        } else {
            "not optimised: sealed on the slow path"
        };
        lines.push(("egress", text.to_owned()));
    }
    lines.push(("age", format!("{}, {}", duration(sa.age_ms), life(sa))));
    lines.push(("soft left", lifetime(&sa.soft_left)));
    lines.push(("hard left", lifetime(&sa.hard_left)));
    lines.push((
        "served",
        format!(
            "fast {} pkt {} + slow {} pkt {}",
            count(sa.fast.packets),
            bytes(sa.fast.bytes),
            count(sa.slow.packets),
            bytes(sa.slow.bytes)
        ),
    ));
    lines.push((
        "besides",
        match sa.keepalives {
            Some(kept) => {
                format!("{} dummies, {} NAT keepalives", count(sa.dummies), count(kept))
            }
            None => format!("{} dummies", count(sa.dummies)),
        },
    ));
    for error in &sa.errors {
        lines.push(("dropped", format!("{} {}", count(error.count), error.reason.name)));
    }
    let status = style.paint(status_tone(sa.status), sa.status.name());
    let why = why(sa);
    let because = if why.is_empty() { String::new() } else { format!(": {why}") };
    lines.push((
        "offload",
        format!("{} {status} for {}{because}", sa.engine, duration(sa.status_ms)),
    ));
    if let Some(demotion) = &sa.demotion {
        let ago = duration(demotion.ago_ms);
        lines.push(("demoted", format!("{ago} ago, {}", demotion.reason.name)));
    }
    for finding in &sa.against {
        lines.push(("remedy", format!("{}: {}", finding.reason.name, finding.reason.remedy)));
    }
    if let Some(refusal) = &sa.refusal {
        lines.push(("remedy", format!("{}: {}", refusal.reason.name, refusal.reason.remedy)));
    }
    let head = format!(
        "SA {} {} of tunnel {} (line {})\n",
        style.paint(Tone::Name, &sa.spi),
        sa.direction,
        sa.tunnel,
        sa.line
    );
    lines.into_iter().fold(head, |out, (label, text)| format!("{out}  {label:<10} {text}\n"))
}

fn size_lines(sizes: &SizesView) -> [(&'static str, String); 3] {
    let path = match sizes.path_mtu {
        Some(path) if sizes.learnt => format!("path {path} (learnt)"),
        Some(path) => format!("path {path}"),
        None => "no path".to_owned(),
    };
    let cut = |packets, fragments| format!("{} into {}", count(packets), count(fragments));
    [
        ("mtu", format!("{}, {path}, df {}", sizes.mtu, sizes.df)),
        (
            "fragments",
            format!(
                "{} sealing; cut before {}, after {}",
                sizes.fragmentation,
                cut(sizes.cut_before, sizes.fragments_before),
                cut(sizes.cut_after, sizes.fragments_after)
            ),
        ),
        (
            "too big",
            format!(
                "told {}; heard {}, doubted {}",
                count(sizes.too_big_sent),
                count(sizes.too_big_believed),
                count(sizes.too_big_doubted)
            ),
        ),
    ]
}

fn esn(esn: bool) -> &'static str {
    if esn { ", extended" } else { "" }
}

fn life(sa: &SaView) -> String {
    match &sa.limit {
        Some(limit) => format!("{} by {limit}", sa.expiry),
        None => sa.expiry.to_string(),
    }
}

fn life_tone(expiry: &str) -> Tone {
    match expiry {
        "live" => Tone::Good,
        "soft" => Tone::Notice,
        _ => Tone::Bad,
    }
}

fn lifetime(left: &LifetimeView) -> String {
    let parts: Vec<_> = [
        left.kilobytes.map(|kb| format!("{kb} kB")),
        left.seconds.map(|s| format!("{s} s")),
        left.packets.map(|packets| format!("{} packets", count(packets))),
    ]
    .into_iter()
    .flatten()
    .collect();
    if parts.is_empty() { "no bound".to_owned() } else { parts.join(", ") }
}

/// What stands against an SA, or what the engine said.
fn why(sa: &SaView) -> String {
    let named = |name: &str, evidence: &str| match evidence {
        "" => name.to_owned(),
        evidence => format!("{name} ({evidence})"),
    };
    let mut parts: Vec<_> = sa.against.iter().map(|f| named(&f.reason.name, &f.evidence)).collect();
    if let Some(refusal) = &sa.refusal {
        parts.push(named(&refusal.reason.name, &refusal.evidence));
    }
    parts.join(", ")
}
