//! `show ike`, `explain tunnel`.

use api::{
    IkeChildView, IkeFailureView, IkeMessageView, IkePeerView, IkeSaView, IkeView, RekeyingView,
    TunnelExplainedView,
};

use super::{
    port::or_none,
    style::{Style, Tone},
    table::{Cell, Table},
    units::{count, duration, plural},
};

pub fn peers(view: &IkeView, style: &Style) -> String {
    let mut table = Table::new(&[
        "PEER",
        "STATE",
        ">SINCE",
        "PATH",
        "NAT",
        "IDENTITY",
        "ALGORITHMS",
        ">TUNNELS",
        ">LINE",
    ]);
    for peer in &view.peers {
        let sa = peer.sas.last();
        let far = peer.remote.map_or_else(|| "any".to_owned(), |remote| remote.to_string());
        let near = peer.local.map_or_else(|| "any".to_owned(), |local| local.to_string());
        let children: usize = peer.sas.iter().map(|sa| sending(sa).count()).sum();
        table.row([
            Cell::new(Tone::Name, &peer.name),
            Cell::new(tone(&peer.state), peer.state.as_ref()),
            duration(peer.since_ms).into(),
            sa.map_or_else(|| format!("{near} -> {far}"), |sa| sa.path.clone()).into(),
            sa.map_or("", |sa| sa.nat.as_ref()).into(),
            sa.map_or(peer.remote_id.as_str(), |sa| sa.remote_id.as_str()).into(),
            sa.map_or("", |sa| sa.algorithms.as_str()).into(),
            children.to_string().into(),
            peer.line.to_string().into(),
        ]);
    }
    let mut out = or_none(table, "no IKE peers are configured", style);
    for peer in view.peers.iter().filter(|peer| peer.state != "up") {
        if let Some(failure) = &peer.failure {
            let ago = duration(failure.ago_ms);
            let name = style.paint(Tone::Name, &peer.name);
            out.push_str(&format!("{name}: {ago} ago, {}\n", failure.text));
        }
    }
    out
}

/// Everything about each peer.
pub fn detail(view: &IkeView, style: &Style) -> String {
    let mut parts: Vec<String> = view.peers.iter().map(|peer| peer_detail(peer, style)).collect();
    if !view.strangers.is_empty() {
        let mut out = "whoever is no peer\n".to_owned();
        for stranger in &view.strangers {
            failure(&mut out, stranger);
        }
        parts.push(out);
    }
    if !view.ignored.is_empty() {
        let mut out = "datagrams that were not taken\n".to_owned();
        for cause in &view.ignored {
            line(&mut out, &count(cause.count), &cause.what);
        }
        parts.push(out);
    }
    if parts.is_empty() { "no IKE peers are configured\n".to_owned() } else { parts.join("\n") }
}

/// Why a tunnel is up or not.
pub fn tunnel(view: &TunnelExplainedView, style: &Style) -> String {
    let tunnel = &view.tunnel;
    let tone = if tunnel.state == "up" { Tone::Good } else { Tone::Bad };
    let mut out = format!(
        "tunnel {} (line {})  {}\n",
        style.paint(Tone::Name, &tunnel.name),
        tunnel.line,
        style.paint(tone, &tunnel.state)
    );
    line(&mut out, "verdict", &view.verdict);
    line(
        &mut out,
        "carries",
        &match tunnel.selectors.is_empty() {
            true => "everything".to_owned(),
            false => tunnel.selectors.join(", "),
        },
    );
    if view.waiting > 0 {
        line(&mut out, "waiting", &format!("{} packets", count(view.waiting)));
    }
    if let Some(peer) = &view.peer {
        sas(&mut out, peer, Some(&tunnel.name));
        if let Some(what) = &peer.failure {
            failure(&mut out, what);
        }
    }
    // that of what failed stands there already
    let told = view.peer.as_ref().and_then(|peer| peer.failure.as_ref());
    if !view.remedy.is_empty() && told.is_none_or(|told| told.remedy != view.remedy) {
        line(&mut out, "remedy", &view.remedy);
    }
    out
}

/// A message or a failure, as it is followed.
pub fn message(peer: &str, of: &IkeMessageView, style: &Style) -> String {
    let tone = if of.way == "failed" { Tone::Bad } else { Tone::Notice };
    let sa = of.ike.map_or_else(String::new, |ike| format!("  IKE SA {ike}"));
    let mut out = format!(
        "{} {} {} ago: {}{sa}  {}\n",
        style.paint(Tone::Name, peer),
        style.paint(tone, &of.way),
        duration(of.ago_ms),
        of.message,
        of.path
    );
    of.payloads.iter().for_each(|payload| line(&mut out, "", payload));
    out
}

/// What is being rekeyed.
pub fn rekeying(view: &RekeyingView) -> String {
    match (view.what.as_ref(), view.count) {
        ("ike", 0) => "there is no IKE SA to replace\n".to_owned(),
        ("ike", count) => format!("{} being replaced\n", plural(count, "IKE SA")),
        (_, 0) => "there are no negotiated SAs to replace\n".to_owned(),
        (_, 1) => "1 pair of SAs being replaced\n".to_owned(),
        (_, count) => format!("{count} pairs of SAs being replaced\n"),
    }
}

fn peer_detail(peer: &IkePeerView, style: &Style) -> String {
    let mut out = format!(
        "peer {} (line {})  {} for {}\n",
        style.paint(Tone::Name, &peer.name),
        peer.line,
        style.paint(tone(&peer.state), &peer.state),
        duration(peer.since_ms)
    );
    line(&mut out, "we are", &format!("{}, {}", peer.local_id, peer.auth));
    line(&mut out, "peer is", &format!("{}, {}", peer.remote_id, peer.remote_auth));
    line(&mut out, "start", &peer.start);
    sas(&mut out, peer, None);
    if let Some(what) = &peer.failure {
        failure(&mut out, what);
    }
    if let Some(retry) = peer.retry_ms {
        line(&mut out, "again in", &duration(retry));
    }
    for message in &peer.messages {
        let text = format!("{} {} ago: {}", message.way, duration(message.ago_ms), message.message);
        line(&mut out, "message", &text);
        for payload in &message.payloads {
            line(&mut out, "", payload);
        }
    }
    out
}

fn sas(out: &mut String, peer: &IkePeerView, only: Option<&str>) {
    for sa in &peer.sas {
        let began = if sa.initiator { "we began" } else { "the peer began" };
        let text = format!("{} {}, {began}, {} old", sa.spis.0, sa.spis.1, duration(sa.age_ms));
        line(out, "IKE SA", &text);
        line(out, "algorithms", &format!("{}{}", sa.algorithms, if sa.ppk { ", PPK" } else { "" }));
        line(
            out,
            "path",
            &match sa.nat.as_ref() {
                "none" => sa.path.clone(),
                nat => format!("{}, NAT: {nat}", sa.path),
            },
        );
        line(out, "proved", &format!("{} by {}", sa.remote_id, sa.authentication));
        if !sa.addresses.is_empty() {
            let whose = if sa.initiator { "given to us" } else { "given to the peer" };
            line(out, "addresses", &format!("{} {whose}", sa.addresses.join(", ")));
        }
        if !sa.dns.is_empty() {
            line(out, "dns", &sa.dns.join(", "));
        }
        let wanted = |child: &&IkeChildView| only.is_none_or(|name| child.tunnel == name);
        for child in sa.children.iter().filter(wanted) {
            let role = if child.sends { "" } else { ", only receives" };
            let text = format!(
                "{} {}: in {} out {} {}, {} old{role}",
                child.tunnel,
                child.name,
                child.spi_in,
                child.spi_out,
                child.suite,
                duration(child.age_ms)
            );
            line(out, "child", &text);
            let text = format!("{} -> {}", child.local.join(", "), child.remote.join(", "));
            line(out, "", &text);
        }
    }
}

fn failure(out: &mut String, what: &IkeFailureView) {
    line(out, "failed", &format!("{} ago, {}: {}", duration(what.ago_ms), what.path, what.text));
    let both = [("ours", &what.ours), ("theirs", &what.theirs)];
    for (whose, offers) in both {
        for (n, offer) in offers.iter().enumerate() {
            line(out, if n == 0 { whose } else { "" }, offer);
        }
    }
    if let Some(mismatch) = &what.mismatch {
        line(out, "differs", mismatch);
    }
    if !what.remedy.is_empty() {
        line(out, "remedy", &what.remedy);
    }
}

fn sending(sa: &IkeSaView) -> impl Iterator<Item = &IkeChildView> {
    sa.children.iter().filter(|child| child.sends)
}

fn line(out: &mut String, label: &str, text: &str) {
    out.push_str(&format!("  {label:<10} {text}\n"));
}

fn tone(state: &str) -> Tone {
    match state {
        "up" => Tone::Good,
        "negotiating" | "idle" => Tone::Notice,
        _ => Tone::Bad,
    }
}
