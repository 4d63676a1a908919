//! `show engines`, `show offload reasons`.

use api::{EngineView, EnginesView, OffloadReasonsView, ReasonCount};

use super::{
    port::{loss, or_none},
    style::{Style, Tone},
    table::{Cell, Table},
    units::{bytes, count, maybe_duration, percent, plural},
};

pub fn engines(view: &EnginesView, style: &Style) -> String {
    if view.engines.is_empty() {
        return "no engines: every packet takes the slow path\n".to_owned();
    }
    view.engines.iter().map(|e| engine(e, style)).collect::<Vec<_>>().join("\n")
}

fn engine(engine: &EngineView, style: &Style) -> String {
    let tone = if engine.state == "running" { Tone::Good } else { Tone::Bad };
    let lookups = engine.hits.saturating_add(engine.misses);
    let mut out = format!(
        "engine {}  profile {}  {}  {}  {}\n",
        style.paint(Tone::Name, &engine.name),
        style.paint(Tone::Name, &engine.profile),
        style.paint(tone, &engine.state),
        plural(u64::from(engine.workers), "worker"),
        engine.capabilities.join(" ")
    );
    let of = |used: u64, capacity: u64| {
        format!("{} of {} ({})", count(used), count(capacity), percent(used, capacity))
    };
    let mut line = |head: &str, text: String| out.push_str(&format!("  {head:<11}  {text}\n"));
    line(
        "flows",
        format!(
            "{}, {} retiring; {} installed, {} removed, {} evicted since start",
            of(engine.flows, engine.flow_capacity),
            count(engine.retiring),
            count(engine.installed),
            count(engine.removed),
            count(engine.evicted)
        ),
    );
    line("SAs", of(engine.sas, engine.sa_capacity));
    line("next hops", of(engine.adjacencies, engine.adjacency_capacity));
    line(
        "lookups",
        format!(
            "{} hit ({}), {} missed, {}",
            count(engine.hits),
            percent(engine.hits, lookups),
            count(engine.misses),
            plural(engine.bursts, "burst")
        ),
    );
    line(
        "forwarded",
        format!(
            "{}, {}",
            plural(engine.forwarded.packets, "packet"),
            bytes(engine.forwarded.bytes)
        ),
    );
    line("punt ring", of(engine.punt_depth, engine.punt_capacity));
    line("memory", bytes(engine.memory_bytes));
    let audit = &engine.audit;
    line(
        "audit",
        format!(
            "{}, last {} ago; {} found, {} repaired",
            if audit.passes == 1 {
                "1 pass".into()
            } else {
                format!("{} passes", count(audit.passes))
            },
            maybe_duration(audit.last_ms),
            plural(audit.found, "difference"),
            count(audit.repaired)
        ),
    );
    let mut punts =
        Table::new(&["PUNT CAUSE", ">PACKETS", ">RING FULL", ">LIMITED", ">LIMIT/S", "MEANING"])
            .indent(2);
    for punt in &engine.punts {
        punts.row([
            Cell::new(Tone::Name, punt.cause.name.as_ref()),
            count(punt.packets).into(),
            loss(punt.ring_full),
            loss(punt.limited),
            punt.limit_per_second.map(|l| count(u64::from(l))).unwrap_or_default().into(),
            punt.cause.sentence.as_ref().into(),
        ]);
    }
    if !punts.is_empty() {
        out.push('\n');
        out.push_str(&punts.render(style));
    }
    for (head, list) in [("REFUSAL", &engine.refusals), ("DEMOTION", &engine.demotions)] {
        if !list.is_empty() {
            out.push('\n');
            out.push_str(&reasons(head, list, 2, style));
        }
    }
    out
}

pub fn offload_reasons(view: &OffloadReasonsView, style: &Style) -> String {
    let directions = view.sessions.saturating_mul(2);
    let mut out = format!(
        "{}, {} of {} directions on an engine ({})\n",
        plural(view.sessions, "session"),
        count(view.flows),
        count(directions),
        percent(view.flows, directions)
    );
    let mut table =
        Table::new(&["REASON", "CLASS", "ENGINE", ">SESSIONS", ">SHARE", "MEANING", "REMEDY"]);
    for row in &view.standing {
        table.row([
            Cell::new(Tone::of_severity(&row.reason.severity), row.reason.name.as_ref()),
            row.reason.class.as_ref().into(),
            row.engine.as_ref().into(),
            count(row.sessions).into(),
            percent(row.sessions, view.sessions).into(),
            row.reason.sentence.as_ref().into(),
            row.reason.remedy.as_ref().into(),
        ]);
    }
    out.push('\n');
    out.push_str(&or_none(table, "nothing stands against any session", style));
    for (head, list) in [("REFUSAL", &view.refusals), ("DEMOTION", &view.demotions)] {
        if !list.is_empty() {
            out.push('\n');
            out.push_str(&reasons(head, list, 0, style));
        }
    }
    out
}

/// A table of counted reasons.
pub fn reasons(head: &'static str, list: &[ReasonCount], indent: usize, style: &Style) -> String {
    let mut table = Table::new(&[head, ">COUNT", ">DELTA", "MEANING", "REMEDY"]).indent(indent);
    for row in list {
        table.row([
            Cell::new(Tone::of_severity(&row.reason.severity), row.reason.name.as_ref()),
            count(row.count).into(),
            row.delta.map(|d| format!("+{}", count(d))).unwrap_or_default().into(),
            row.reason.sentence.as_ref().into(),
            row.reason.remedy.as_ref().into(),
        ]);
    }
    table.render(style)
}
