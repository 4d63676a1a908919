//! `show counters`, and the answer to everything that clears.

use api::{ClearedView, CountersView};

use super::{
    engine::reasons,
    style::{Style, Tone},
    table::{Cell, Table},
    units::{bytes, count, duration, percent, plural},
};

pub fn counters(view: &CountersView, style: &Style) -> String {
    let mut out = format!("counted for {}", duration(view.since_ms));
    if let Some(since) = view.delta_since_ms {
        out.push_str(&format!("; delta over {}", duration(since)));
    }
    out.push_str("\n\n");
    let all: u64 = view.ladder.iter().map(|s| s.traffic.packets).sum();
    let mut ladder =
        Table::new(&["TIER", "ENGINE", ">PACKETS", ">SHARE", ">BYTES", ">DELTA", ">NS/PKT"]);
    for step in &view.ladder {
        ladder.row([
            Cell::new(Tone::Head, step.tier.as_ref()),
            step.engine.as_deref().unwrap_or_default().into(),
            count(step.traffic.packets).into(),
            percent(step.traffic.packets, all).into(),
            bytes(step.traffic.bytes).into(),
            step.delta.map(|d| format!("+{}", count(d.packets))).unwrap_or_default().into(),
            step.ns_per_packet.map(|n| format!("{n:.0}")).unwrap_or_default().into(),
        ]);
    }
    let mut sections = Vec::new();
    if !ladder.is_empty() {
        sections.push(ladder.render(style));
    }
    for (head, list) in [("DROP", &view.drops), ("PUNT", &view.punts)] {
        if !list.is_empty() {
            sections.push(reasons(head, list, 0, style));
        }
    }
    let mut named = Table::new(&["COUNTER", ">VALUE", ">DELTA", "UNIT", "MEANING"]);
    for counter in &view.counters {
        named.row([
            Cell::new(Tone::Name, format!("{}.{}", counter.group, counter.name)),
            count(counter.value).into(),
            counter.delta.map(|d| format!("+{}", count(d))).unwrap_or_default().into(),
            counter.unit.as_ref().into(),
            counter.help.as_ref().into(),
        ]);
    }
    if !named.is_empty() {
        sections.push(named.render(style));
    }
    out.push_str(&sections.join("\n"));
    out
}

pub fn cleared(view: &ClearedView, _: &Style) -> String {
    match (view.what.as_ref(), view.pending) {
        ("sessions", 0) => format!("{} cleared\n", plural(view.count, "session")),
        ("sessions", pending) => format!(
            "{} looked at in slices, those that match end; {} to go\n",
            plural(view.count, "session"),
            count(pending)
        ),
        ("neighbours", _) => format!("{} forgotten\n", plural(view.count, "neighbour")),
        ("ike", _) => format!("{} ended\n", plural(view.count, "IKE SA")),
        (what, _) => format!("{what}: back to zero\n"),
    }
}
