//! `plan`, `plan --profile list`.

use api::{
    FindingView, PlanAssociationView, PlanSaView, PlanSessionView, PlanSuiteView, PlanView,
    ProfilesView, ReasonCount,
};

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
    if !view.associations.is_empty() {
        out.push('\n');
        out.push_str(&associations(&view.associations, style));
    }
    if !view.sessions.is_empty() {
        out.push('\n');
        out.push_str(&sessions(&view.sessions, style));
    }
    let totals = &view.totals;
    let counted = [
        (">SAS", &totals.sa_reasons, true),
        (">ASSOCIATIONS", &totals.association_reasons, totals.associations > 0),
        (">SESSIONS", &totals.session_reasons, true),
    ];
    let counted = counted.into_iter().filter(|(.., shown)| *shown);
    let mut reasons: Vec<&ReasonCount> = Vec::new();
    for row in counted.clone().flat_map(|(_, rows, _)| rows) {
        if !reasons.iter().any(|known| known.reason.id == row.reason.id) {
            reasons.push(row);
        }
    }
    reasons.sort_by_key(|row| row.reason.id);
    if !reasons.is_empty() {
        let of = |rows: &[ReasonCount], id| {
            rows.iter().find(|row| row.reason.id == id).map_or(0, |row| row.count)
        };
        let columns: Vec<_> = core::iter::once("REASON")
            .chain(counted.clone().map(|(head, ..)| head))
            .chain(["MEANING", "REMEDY", "ELSEWHERE"])
            .collect();
        let mut table = Table::new(&columns);
        for ReasonCount { reason, .. } in reasons {
            let name = Cell::new(Tone::of_severity(&reason.severity), reason.name.as_ref());
            let counts = counted.clone().map(|(_, rows, _)| count(of(rows, reason.id)).into());
            let words = [&reason.sentence, &reason.remedy, &reason.elsewhere];
            let words = words.map(|word| word.as_ref().into());
            table.row(core::iter::once(name).chain(counts).chain(words).collect::<Vec<_>>());
        }
        out.push('\n');
        out.push_str(&table.render(style));
    }
    out.push('\n');
    if totals.sas > 0 || totals.associations == 0 {
        out.push_str(&summary("SA", totals.sas, totals.sas_offloaded, &totals.sa_reasons));
    }
    if totals.associations > 0 {
        let (all, offloaded) = (totals.associations, totals.associations_offloaded);
        out.push_str(&summary("association", all, offloaded, &totals.association_reasons));
    }
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
        instead(&mut table, &sa.instead);
    }
    table.render(style)
}

fn associations(rows: &[PlanAssociationView], style: &Style) -> String {
    let heads = ["SERVER", "DIR", "ADDRESS", "ALGORITHM", "DTLS", ">LINE", "WOULD BE", "WHY"];
    let mut table = Table::new(&heads);
    for of in rows {
        let said = why(&of.against);
        table.row([
            Cell::new(Tone::Name, &of.server),
            of.direction.as_ref().into(),
            of.address.to_string().into(),
            of.cipher.as_ref().into(),
            of.version.as_ref().into(),
            of.line.to_string().into(),
            would_be(said.is_empty()),
            said.join(", ").into(),
        ]);
        instead(&mut table, &of.instead);
    }
    table.render(style)
}

/// What the far end may choose instead of the row before.
fn instead(table: &mut Table, others: &[PlanSuiteView]) {
    for other in others {
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

fn why(against: &[FindingView]) -> Vec<String> {
    against.iter().map(|found| named(&found.reason.name, &found.evidence)).collect()
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
