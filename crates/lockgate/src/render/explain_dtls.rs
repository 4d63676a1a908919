//! `explain dtls`.

use api::{DtlsDirectionView, DtlsExplainView, DtlsExplainsView};

use super::{
    explain::steps,
    port::or_none,
    sa::{Placed, against, engine},
    style::{Style, Tone},
    table::Table,
    units::{bytes, count, duration},
};

pub fn explained(view: &DtlsExplainsView, style: &Style) -> String {
    if view.clients.is_empty() {
        return or_none(Table::new(&[]), "no clients", style);
    }
    view.clients.iter().map(|client| explain(client, style)).collect::<Vec<_>>().join("\n")
}

fn explain(view: &DtlsExplainView, style: &Style) -> String {
    let client = &view.client;
    let addresses: Vec<_> = client.addresses.iter().map(ToString::to_string).collect();
    let mut out = format!(
        "{}  client {} of {}  {}  {} for {}\n",
        style.paint(Tone::Name, &client.user),
        client.id,
        client.access,
        addresses.join(" "),
        client.state,
        duration(client.connected_ms.unwrap_or(client.age_ms)),
    );
    let mut line = |label: &str, text: &str| out.push_str(&format!("  {label:<10} {text}\n"));
    line("packets", &format!("by {}", client.channel.as_deref().unwrap_or("nothing")));
    if let Some(finding) = &view.cstp {
        line("against", &against(finding, style));
        line("", &finding.reason.sentence);
        line("", &format!("remedy: {}", finding.reason.remedy));
    }
    if let Some(of) = &view.association {
        line(
            "dtls",
            &format!(
                "association {}  {}  {} to {}  for {}, heard {} ago",
                of.id,
                of.suite,
                of.local,
                of.remote,
                duration(of.age_ms),
                duration(of.heard_ms)
            ),
        );
    }
    line("engine", &engine(&view.engine, &view.profile, style));
    for way in &view.directions {
        out.push_str(&direction(way, view.history_lost, style));
    }
    out
}

fn direction(view: &DtlsDirectionView, lost: u64, style: &Style) -> String {
    let mut out = format!("  {}\n", style.paint(Tone::Head, &view.direction));
    let mut line = |label: &str, text: &str| out.push_str(&format!("    {label:<10} {text}\n"));
    let placed = Placed {
        facts: [view.requested, view.eligible, view.installed, view.hitting],
        against: &view.against,
        refusal: view.refusal.as_ref(),
        demotion: view.demotion.as_ref(),
        remedies: &view.remedies,
    };
    placed.lines(style, &mut line);
    let (traffic, fast) = (view.records.traffic, view.records.fast);
    line(
        "served",
        &format!(
            "fast {} pkt {} + slow {} pkt {}; {} control",
            count(fast.packets),
            bytes(fast.bytes),
            count(traffic.packets.saturating_sub(fast.packets)),
            bytes(traffic.bytes.saturating_sub(fast.bytes)),
            count(view.records.control),
        ),
    );
    for error in &view.records.errors {
        line("dropped", &format!("{} {}", count(error.records), error.reason));
    }
    for step in steps(&view.history, lost).lines() {
        out.push_str(&format!("  {step}\n"));
    }
    out
}
