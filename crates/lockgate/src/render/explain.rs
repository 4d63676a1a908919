//! `explain session`, `explain flow`.

use api::{
    DirectionView, ExplainView, FindingView, HistoryView, PlacementStatus, PlacementView,
    SessionView, Traffic,
};

use super::{
    session::{rule, status_tone, translation},
    style::{Style, Tone},
    units::{bytes, clock, count, duration},
};

pub fn explain(view: &ExplainView, style: &Style) -> String {
    let session = &view.session;
    let mut out = head(session, style);
    if let Some(user) = &session.user {
        let groups = session.groups.join(", ");
        let groups = if groups.is_empty() { groups } else { format!(" ({groups})") };
        out.push_str(&format!("  user     {user}{groups}\n"));
    }
    if let Some(direction) = view.direction {
        out.push_str(&format!("  this flow is the {} direction\n", direction.name()));
    }
    for direction in [DirectionView::Original, DirectionView::Reply] {
        let mut label = match direction {
            DirectionView::Original => "orig",
            DirectionView::Reply => "reply",
        };
        for placement in view.placements(direction) {
            for line in placement_lines(placement, style) {
                out.push_str(&format!("  {label:<7}{line}\n"));
                label = "";
            }
        }
    }
    out.push_str(&tiers(session));
    if !view.phases.is_empty() {
        out.push_str("  decided\n");
        out.push_str(&super::trace::phases(&view.phases, 4, style));
    }
    out.push_str(&steps(&view.history, view.history_lost));
    for (n, remedy) in view.remedies.iter().enumerate() {
        let label = if n == 0 { "remedy" } else { "" };
        let mut text =
            format!("{}: {}", style.paint(Tone::Name, &remedy.reason.name), remedy.reason.remedy);
        if !remedy.retry.is_empty() {
            text.push_str(&format!(" Tried again {}", remedy.retry));
            if let Some(ms) = remedy.retry_in_ms {
                text.push_str(&format!(", next in {}", duration(ms)));
            }
            text.push('.');
        }
        out.push_str(&format!("  {label:<7}  {text}\n"));
    }
    if view.others > 0 {
        let line = format!("{} more match; `lockgate show sessions` lists them", view.others);
        out.push_str(&format!("  {}\n", style.paint(Tone::Dim, line)));
    }
    out
}

/// The history: a line for each step.
pub(super) fn steps(history: &[HistoryView], lost: u64) -> String {
    if history.is_empty() {
        return String::new();
    }
    let mut steps: Vec<String> = Vec::new();
    if lost > 0 {
        steps.push(format!("({lost} older forgotten)"));
    }
    for step in history {
        let mut words = vec![clock(step.at_ms)];
        words.extend(step.direction.map(|d| d.name().to_owned()));
        words.extend(step.engine.as_ref().map(|e| e.to_string()));
        words.push(step.step.to_string());
        words.extend(step.reason.as_ref().map(|r| r.to_string()));
        if !step.evidence.is_empty() {
            words.push(step.evidence.clone());
        }
        steps.push(words.join(" "));
    }
    format!("  history  {}\n", steps.join("\n           "))
}

fn head(session: &SessionView, style: &Style) -> String {
    let nat = translation(session);
    format!(
        "session {}  {}  {} {}  {}{}{nat}\n",
        style.paint(Tone::Name, session.id),
        session.original,
        style.paint(Tone::Head, &session.state),
        duration(session.age_ms),
        rule(&session.policy),
        if nat.is_empty() { "" } else { "  " },
    )
}

/// Where the packets went: a session's counters are the sum over tiers.
fn tiers(session: &SessionView) -> String {
    let part = |word: &str, traffic: Traffic| {
        (traffic.packets > 0)
            .then(|| format!("{word} {} pkt {}", count(traffic.packets), bytes(traffic.bytes)))
    };
    let mut out = String::new();
    for (label, traffic) in [("orig", &session.original_traffic), ("reply", &session.reply_traffic)]
    {
        let parts: Vec<_> = [
            part("fast", traffic.fast),
            part("slow-established", traffic.slow_established),
            part("slow-setup", traffic.slow_setup),
        ]
        .into_iter()
        .flatten()
        .collect();
        if !parts.is_empty() {
            out.push_str(&format!("  served   {label}: {}\n", parts.join(" + ")));
        }
    }
    out.push_str(&format!(
        "  idle     {}, ends in {} (timeout {})\n",
        duration(session.idle_ms),
        duration(session.expires_ms),
        duration(session.timeout_ms)
    ));
    out
}

fn placement_lines(placement: &PlacementView, style: &Style) -> Vec<String> {
    let status = format!("{:<14}", placement.status.name());
    let mut first =
        format!("{:<12} {} ", placement.engine, style.paint(status_tone(placement.status), status));
    let mut rest = Vec::new();
    match placement.status {
        PlacementStatus::Hitting | PlacementStatus::Installed => {
            let mut parts = vec![format!("{} pkt", count(placement.traffic.packets))];
            parts.push(match placement.last_hit_ms {
                Some(ms) => format!("last hit {} ago", duration(ms)),
                None => "no packet yet".to_owned(),
            });
            if let Some(ms) = placement.installed.for_ms {
                parts.push(format!("installed {} ago", duration(ms)));
            }
            if let Some(packet) = placement.installed_by_packet {
                parts.push(format!("by packet {packet}"));
            }
            first.push_str(&parts.join("  "));
        }
        PlacementStatus::Eligible => {
            first.push_str("not offered yet");
            if let Some(ms) = placement.eligible.for_ms {
                first.push_str(&format!("; eligible for {}", duration(ms)));
            }
        }
        PlacementStatus::Refused => {
            if let Some(refusal) = &placement.refusal {
                let mut words = vec![style.paint(Tone::Name, &refusal.reason.name)];
                words.push("(engine)".to_owned());
                if !refusal.evidence.is_empty() {
                    words.push(format!("evidence: {}", refusal.evidence));
                }
                words.push(format!("{} ago, {}x", duration(refusal.ago_ms), refusal.times));
                first.push_str(&words.join("  "));
                if let Some(engine_words) = &refusal.engine_words {
                    rest.push(format!("engine says: {engine_words}"));
                }
            }
        }
        PlacementStatus::NotEligible => {
            let mut findings = placement.against.iter().map(|f| finding(f, style));
            first.push_str(&findings.next().unwrap_or_default());
            rest.extend(findings);
        }
    }
    if let Some(demotion) = &placement.demotion {
        let evidence = if demotion.evidence.is_empty() {
            String::new()
        } else {
            format!(" {}", demotion.evidence)
        };
        rest.push(format!(
            "last demoted {} ago: {}{evidence}",
            duration(demotion.ago_ms),
            demotion.reason.name
        ));
    }
    let indent = " ".repeat(28);
    let mut lines = vec![first.trim_end().to_owned()];
    lines.extend(rest.into_iter().map(|line| format!("{indent}{line}")));
    lines
}

fn finding(finding: &FindingView, style: &Style) -> String {
    let mut text =
        format!("{}  ({})", style.paint(Tone::Name, &finding.reason.name), finding.layer);
    if !finding.evidence.is_empty() {
        text.push_str(&format!("  evidence: {}", finding.evidence));
    }
    text
}
