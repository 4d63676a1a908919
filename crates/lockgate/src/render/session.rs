//! `show sessions`, `show sessions --summary`.

use api::{
    DirectionView, OffloadWord, PlacementStatus, PlacementView, RuleRef, SessionSummaryView,
    SessionView, SessionsView, endpoint, proto_name,
};

use super::{
    style::{Style, Tone},
    table::{Cell, Table},
    units::{bytes, count, duration, percent, plural},
};

/// What is left of a list of which `shown` rows are shown in all, and its closing line.
pub fn sessions(view: &SessionsView, shown: u64, style: &Style) -> String {
    let mut out = if shown == 0 { "no session matches\n".to_owned() } else { rows(view, style) };
    let rest = if view.next.is_some() { "; --limit shows more" } else { "" };
    let line = format!("{} shown, {} in the table{rest}", count(shown), count(view.total));
    out.push_str(&style.paint(Tone::Dim, line));
    out.push('\n');
    out
}

/// The table alone.
pub fn rows(view: &SessionsView, style: &Style) -> String {
    let placed = view.sessions.iter().any(|s| !s.placements.is_empty());
    let mut table = Table::new(&[
        "SESSION",
        "PROTO",
        "SOURCE",
        "DESTINATION",
        "NAT",
        "STATE",
        "USER",
        "POLICY",
        "VIA",
        ">AGE",
        ">IDLE",
        ">PKTS",
        ">BYTES",
        "OFFLOAD",
        "ORIGINAL",
        "REPLY",
        "WHY NOT",
    ]);
    for session in &view.sessions {
        let traffic = session.original_traffic.total() + session.reply_traffic.total();
        let direction = |direction| {
            if placed { placement_word(session, direction) } else { Cell::default() }
        };
        table.row([
            Cell::new(Tone::Name, session.id.to_string()),
            proto_name(session.original.proto).as_ref().into(),
            session.original.source().into(),
            session.original.destination().into(),
            translation(session).into(),
            session.state.as_ref().into(),
            session.user.as_deref().unwrap_or_default().into(),
            rule_short(&session.policy).into(),
            via(session).into(),
            duration(session.age_ms).into(),
            duration(session.idle_ms).into(),
            count(traffic.packets).into(),
            bytes(traffic.bytes).into(),
            offload_word(session.offload),
            direction(DirectionView::Original),
            direction(DirectionView::Reply),
            session.offload_reasons.join(", ").into(),
        ]);
    }
    if table.is_empty() { String::new() } else { table.render(style) }
}

pub fn summary(view: &SessionSummaryView, style: &Style) -> String {
    let mut out = format!(
        "{} of {} ({})   half open {} of {}   set up {}/s   since start {} made, {} ended\n",
        plural(view.sessions, "session"),
        count(view.capacity),
        percent(view.sessions, view.capacity),
        count(view.half_open),
        count(view.half_open_limit),
        count(view.setup_per_second),
        count(view.created),
        count(view.ended),
    );
    out.push_str(&format!(
        "offloaded: {} full, {} partial, {} not   flows: {} installed, {} hitting\n",
        style.paint(Tone::Good, count(view.offloaded)),
        count(view.partly_offloaded),
        count(view.not_offloaded),
        count(view.installed_flows),
        count(view.hitting_flows),
    ));
    match view.counted_ms {
        Some(0) => {}
        Some(ago) => out.push_str(&format!("states counted {} ago\n", duration(ago))),
        None => out.push_str("states are counted with the next audit\n"),
    }
    let mut table = Table::new(&["PROTO", "STATE", ">SESSIONS", ">SHARE"]);
    for row in &view.by_state {
        table.row([
            row.proto.as_ref().into(),
            row.state.as_ref().into(),
            count(row.sessions).into(),
            percent(row.sessions, view.sessions).into(),
        ]);
    }
    if !table.is_empty() {
        out.push('\n');
        out.push_str(&table.render(style));
    }
    out
}

/// `policy 12 "lan-out" (line 88)`
pub fn rule(rule: &RuleRef) -> String {
    let mut text = rule.kind.to_string();
    if let Some(id) = rule.id {
        text.push_str(&format!(" {id}"));
    }
    if !rule.name.is_empty() {
        text.push_str(&format!(" \"{}\"", rule.name));
    }
    if rule.line != 0 {
        text.push_str(&format!(" (line {})", rule.line));
    }
    text
}

/// `snat 203.0.113.2:51000`, `dnat 10.1.1.80:8080`; empty without translation.
pub fn translation(session: &SessionView) -> String {
    let part = |word: &str, translation: &Option<api::TranslationView>| {
        translation.as_ref().map(|t| format!("{word} {}", endpoint(t.address, t.port)))
    };
    [part("dnat", &session.dnat), part("snat", &session.snat)]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(" ")
}

/// The tone of a placement's status.
pub fn status_tone(status: PlacementStatus) -> Tone {
    match status {
        PlacementStatus::Hitting => Tone::Good,
        PlacementStatus::Installed | PlacementStatus::Eligible => Tone::Plain,
        PlacementStatus::Refused => Tone::Bad,
        PlacementStatus::NotEligible => Tone::Notice,
    }
}

fn rule_short(rule: &RuleRef) -> String {
    match rule.id {
        Some(id) => id.to_string(),
        None if rule.name.is_empty() => rule.kind.to_string(),
        None => rule.name.clone(),
    }
}

fn via(session: &SessionView) -> String {
    let side = |name: &str| if name.is_empty() { "self".to_owned() } else { name.to_owned() };
    format!("{}>{}", side(&session.ingress), side(&session.egress))
}

fn offload_word(word: OffloadWord) -> Cell {
    let tone = match word {
        OffloadWord::Full => Tone::Good,
        OffloadWord::Partial => Tone::Notice,
        OffloadWord::None => Tone::Dim,
    };
    Cell::new(tone, word.name())
}

/// The best placement of a direction: `soft hitting`.
fn placement_word(session: &SessionView, direction: DirectionView) -> Cell {
    let rank = |p: &&PlacementView| match p.status {
        PlacementStatus::Hitting => 4,
        PlacementStatus::Installed => 3,
        PlacementStatus::Eligible => 2,
        PlacementStatus::Refused => 1,
        PlacementStatus::NotEligible => 0,
    };
    let of_direction = session.placements.iter().filter(|p| p.direction == direction);
    match of_direction.max_by_key(rank) {
        Some(best) => {
            Cell::new(status_tone(best.status), format!("{} {}", best.engine, best.status.name()))
        }
        None => Cell::default(),
    }
}
