//! `plan`, `plan --profile list`.

use api::{FindingView, PlanSaView, PlanSessionView, PlanView, ProfilesView, ReasonCount};

use super::{
    style::{Style, Tone},
    table::{Cell, Table},
    units::{count, plural},
};

pub fn plan(view: &PlanView, style: &Style) -> String {
    let mut out =
        format!("{} ({}), {}\n", style.paint(Tone::Name, &view.profile), view.about, view.config);
    if !view.sas.is_empty() {
        out.push('\n');
        out.push_str(&sas(&view.sas, style));
    }
    if !view.sessions.is_empty() {
        out.push('\n');
        out.push_str(&sessions(&view.sessions, style));
    }
    let totals = &view.totals;
    let both = totals.sa_reasons.iter().chain(&totals.session_reasons);
    let mut reasons: Vec<&ReasonCount> = Vec::new();
    for row in both {
        if !reasons.iter().any(|known| known.reason.id == row.reason.id) {
            reasons.push(row);
        }
    }
    reasons.sort_by_key(|row| row.reason.id);
    if !reasons.is_empty() {
        let of = |rows: &[ReasonCount], id| {
            rows.iter().find(|row| row.reason.id == id).map_or(0, |row| row.count)
        };
        let mut table =
            Table::new(&["REASON", ">SAS", ">SESSIONS", "MEANING", "REMEDY", "ELSEWHERE"]);
        for ReasonCount { reason, .. } in reasons {
            table.row([
                Cell::new(Tone::of_severity(&reason.severity), reason.name.as_ref()),
                count(of(&totals.sa_reasons, reason.id)).into(),
                count(of(&totals.session_reasons, reason.id)).into(),
                reason.sentence.as_ref().into(),
                reason.remedy.as_ref().into(),
                reason.elsewhere.as_ref().into(),
            ]);
        }
        out.push('\n');
        out.push_str(&table.render(style));
    }
    out.push('\n');
    out.push_str(&summary("SA", totals.sas, totals.sas_offloaded, &totals.sa_reasons));
    if totals.sessions > 0 {
        let (all, offloaded) = (totals.sessions, totals.sessions_offloaded);
        out.push_str(&summary("session", all, offloaded, &totals.session_reasons));
    }
    out
}

/// `12 of 14 SAs would be offloaded; 3 reasons`
fn summary(what: &str, all: u64, offloaded: u64, reasons: &[ReasonCount]) -> String {
    if all == 0 {
        return format!("no {what}s\n");
    }
    let reasons = match reasons.len() {
        0 => String::new(),
        n => format!("; {}", plural(n as u64, "reason")),
    };
    format!("{} of {} would be offloaded{reasons}\n", count(offloaded), plural(all, what))
}

fn sas(rows: &[PlanSaView], style: &Style) -> String {
    let mut table =
        Table::new(&["TUNNEL", "DIR", "SPI", "ALGORITHM", "MODE", ">LINE", "WOULD BE", "WHY"]);
    let why = |against: &[FindingView]| -> Vec<_> {
        against.iter().map(|found| named(&found.reason.name, &found.evidence)).collect()
    };
    for sa in rows {
        let said = why(&sa.against);
        table.row([
            Cell::new(Tone::Name, &sa.tunnel),
            sa.direction.as_ref().into(),
            sa.spi.as_str().into(),
            sa.suite.as_str().into(),
            sa.mode.as_ref().into(),
            sa.line.to_string().into(),
            would_be(said.is_empty()),
            said.join(", ").into(),
        ]);
        for other in &sa.instead {
            let said = why(&other.against);
            let [nothing, or] = ["", "or"];
            table.row([
                nothing.into(),
                nothing.into(),
                or.into(),
                other.suite.as_str().into(),
                nothing.into(),
                nothing.into(),
                would_be(said.is_empty()),
                said.join(", ").into(),
            ]);
        }
    }
    table.render(style)
}

fn sessions(rows: &[PlanSessionView], style: &Style) -> String {
    let mut table = Table::new(&[">SESSION", "ORIGINAL", "WOULD BE", "WHY"]);
    for session in rows {
        let why: Vec<_> = session
            .against
            .iter()
            .map(|found| {
                let way = found.direction.map_or_else(String::new, |d| format!("{}: ", d.name()));
                let finding = &found.finding;
                format!("{way}{}", named(&finding.reason.name, &finding.evidence))
            })
            .collect();
        table.row([
            Cell::new(Tone::Name, session.id.to_string()),
            session.original.to_string().into(),
            would_be(why.is_empty()),
            why.join(", ").into(),
        ]);
    }
    table.render(style)
}

fn would_be(offloaded: bool) -> Cell {
    match offloaded {
        true => Cell::new(Tone::Good, "offloaded"),
        false => Cell::new(Tone::Notice, "in software"),
    }
}

fn named(name: &str, evidence: &str) -> String {
    if evidence.is_empty() { name.to_owned() } else { format!("{name} ({evidence})") }
}

/// Profiles side by side: a line for each property.
pub fn profiles(view: &ProfilesView, style: &Style) -> String {
    let mut out = String::new();
    for profile in &view.profiles {
        let name = style.paint(Tone::Name, format!("{:<21}", profile.name));
        out.push_str(&format!("{name} {}\n{:22}{}\n", profile.about, "", profile.sources));
    }
    let heads = view.profiles.iter().map(|profile| profile.name.clone());
    let mut table = heads.fold(Table::new(&["PROPERTY"]), Table::column);
    let properties = view.profiles.first().map(|profile| profile.properties.as_slice());
    for (n, (property, _)) in properties.unwrap_or_default().iter().enumerate() {
        let value = |profile: &api::ProfileView| {
            profile.properties.get(n).map_or_else(String::new, |(_, value)| value.clone())
        };
        let values = view.profiles.iter().map(|profile| Cell::from(value(profile)));
        let cells: Vec<Cell> =
            core::iter::once(Cell::new(Tone::Name, property.as_ref())).chain(values).collect();
        table.row(cells);
    }
    out.push('\n');
    out.push_str(&table.render(style));
    let note = "`yes` and `any` also stand for what none of the documents restricts";
    out.push_str(&format!("\n{}\n", style.paint(Tone::Dim, note)));
    out
}
