//! `capture`: a line for each packet, and the comment that each gets in a file.

use api::{CapturePolledView, CaptureStartedView, CapturedView};

use super::{
    style::{Style, Tone},
    units::{clock, count, plural},
};

pub fn started(view: &CaptureStartedView, _: &Style) -> String {
    let seconds = view.silence_ms / 1000;
    format!("capture {} has begun; it ends when nobody polls it for {seconds}s\n", view.capture)
}

pub fn polled(view: &CapturePolledView, style: &Style) -> String {
    let mut out: String = view.packets.iter().map(|packet| line(packet, style)).collect();
    if view.done {
        out.push_str(&style.paint(Tone::Notice, summary(view)));
        out.push('\n');
    }
    out
}

/// `12 packets captured, 3 lost because the gateway's buffer was full`.
fn summary(view: &CapturePolledView) -> String {
    let captured = view.matched.saturating_sub(view.lost);
    format!(
        "{} captured, {} lost because the gateway's buffer was full",
        plural(captured, "packet"),
        count(view.lost)
    )
}

/// One packet as one line: time, point, interface, tier, what it is, its length, what became of it.
fn line(packet: &CapturedView, style: &Style) -> String {
    let time = match packet.unix_ns {
        Some(ns) => {
            let seconds = ns / 1_000_000_000 % 86_400;
            let (minutes, micros) = (seconds / 60, ns % 1_000_000_000 / 1000);
            format!("{:02}:{:02}:{:02}.{micros:06}", minutes / 60, minutes % 60, seconds % 60)
        }
        None => clock(packet.uptime_ns / 1_000_000),
    };
    let what = match packet.tuple {
        Some(tuple) => tuple.to_string(),
        None => "not IP".to_owned(),
    };
    let tier = if packet.tier.is_empty() { "-" } else { packet.tier.as_ref() };
    let tone = match packet.point {
        api::CapturePoint::Drop => Tone::Bad,
        api::CapturePoint::Punt => Tone::Notice,
        _ => Tone::Good,
    };
    let mut words = vec![
        style.paint(Tone::Dim, time),
        format!("{:<5}", packet.point.name()),
        style.paint(Tone::Name, format!("{:<12}", packet.interface)),
        format!("{tier:<16}"),
        what,
        format!("len {}", packet.length),
        style.paint(tone, packet.point.verdict()),
    ];
    words.extend(packet.reason.as_ref().map(|reason| style.paint(tone, &reason.name)));
    words.extend(sa(packet));
    words.extend(packet.session.map(|id| format!("session {id}")));
    if !packet.unfinished.is_empty() {
        words.push(style.paint(Tone::Dim, format!("({})", packet.unfinished)));
    }
    words.join(" ") + "\n"
}

fn sa(packet: &CapturedView) -> Option<String> {
    let mut words = Vec::new();
    words.extend(packet.spi.as_ref().map(|spi| format!("spi {spi}")));
    words.extend(packet.user.as_ref().map(|user| format!("dtls {user}")));
    words.extend(packet.tunnel.as_ref().map(|tunnel| format!("tunnel {tunnel}")));
    Some(words.join(" ")).filter(|words| !words.is_empty())
}

/// What a pcapng file says of a packet: `point=drop tier=fast verdict=dropped reason=esp-icv-failed …`.
pub fn comment(packet: &CapturedView) -> String {
    let mut out = format!("point={}", packet.point.name());
    let mut add = |key: &str, value: &str| {
        if !value.is_empty() {
            out.push_str(&format!(" {key}={value}"));
        }
    };
    add("tier", &packet.tier);
    add("verdict", packet.point.verdict());
    add("reason", packet.reason.as_ref().map_or("", |reason| reason.name.as_ref()));
    add("spi", packet.spi.as_deref().unwrap_or_default());
    add("dtls", packet.user.as_deref().unwrap_or_default());
    add("tunnel", packet.tunnel.as_deref().unwrap_or_default());
    add("session", &packet.session.map(|id| id.to_string()).unwrap_or_default());
    if !packet.unfinished.is_empty() {
        out.push_str("; ");
        out.push_str(&packet.unfinished);
    }
    out
}
