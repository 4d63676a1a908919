//! `trace`, live and simulated.

use api::{
    Phase, PhaseResult, ReasonView, TraceAction, TracePolledView, TraceStartedView, TraceView,
};

use super::{
    session::rule,
    style::{Style, Tone},
    table::{Cell, Table},
    units::{clock, count, nanos, plural},
};

pub fn trace(view: &TraceView, style: &Style) -> String {
    let origin = match view.origin {
        api::TraceOrigin::Simulated => "simulated".to_owned(),
        api::TraceOrigin::Live => format!("packet {} at {}", view.number, clock(view.uptime_ms)),
        api::TraceOrigin::Stored => "stored".to_owned(),
    };
    let mut out = format!("{}  {}", style.paint(Tone::Head, origin), view.summary);
    if !view.ingress.is_empty() {
        out.push_str(&format!("  in {}", view.ingress));
    }
    out.push_str(&format!("  tier {}", view.tier));
    if let Some(id) = view.session {
        out.push_str(&format!("  session {}", style.paint(Tone::Name, id)));
        if let Some(direction) = view.direction {
            out.push_str(&format!(" ({})", direction.name()));
        }
    }
    out.push('\n');
    out.push_str(&phases(&view.phases, 2, style));
    if let Some(offload) = &view.offload {
        let mut line = format!("Offload: {} {}", offload.engine, offload.status.name());
        let against: Vec<_> = offload.against.iter().map(|r| r.name.as_ref()).collect();
        if !against.is_empty() {
            line.push_str(&format!(": {}", against.join(", ")));
        }
        out.push_str(&format!("  {line}\n"));
    }
    if let Some(missing) = &view.first_missing_phase {
        let head = style.paint(Tone::Notice, "First missing phase:");
        out.push_str(&format!("  {head} {}\n", missing.sentence));
    }
    out.push_str(&format!("  {}\n", action(view, style)));
    out
}

pub fn started(view: &TraceStartedView, _: &Style) -> String {
    format!(
        "trace {} has begun; {} marked\n",
        view.trace,
        plural(view.marked_flows, "installed flow")
    )
}

pub fn polled(view: &TracePolledView, style: &Style) -> String {
    let mut out: String =
        view.packets.iter().map(|packet| trace(packet, style)).collect::<Vec<_>>().join("\n");
    if view.done && view.lost > 0 {
        let line = format!(
            "{} of {} matching packets were not seen: they came faster than they were read",
            count(view.lost),
            count(view.matched)
        );
        out.push_str(&style.paint(Tone::Notice, line));
        out.push('\n');
    }
    out
}

/// The phases as a table without heads' noise: stage, result, what decided, what was looked at.
pub fn phases(phases: &[Phase], indent: usize, style: &Style) -> String {
    let mut table =
        Table::new(&[">#", "PHASE", "RESULT", "LOOKED AT", "DECIDED BY", "DETAIL", ">TIME"])
            .indent(indent);
    for (n, phase) in phases.iter().enumerate() {
        let detail = match &phase.reason {
            Some(reason) if phase.detail.is_empty() => reason.name.to_string(),
            Some(reason) => format!("{}: {}", reason.name, phase.detail),
            None => phase.detail.clone(),
        };
        table.row([
            Cell::new(Tone::Dim, (n + 1).to_string()),
            phase.stage.name().into(),
            Cell::new(result_tone(phase.result), phase.result.name()),
            phase.looked_at.as_str().into(),
            phase.decided_by.as_ref().map(rule).unwrap_or_default().into(),
            detail.into(),
            Cell::new(Tone::Dim, nanos(phase.nanos)),
        ]);
    }
    table.render(style)
}

/// `Reason: policy-deny — sentence — remedy`, over two lines.
pub fn reason_lines(reason: &ReasonView, indent: &str, style: &Style) -> String {
    format!(
        "{indent}reason       {}: {}\n{indent}remedy       {}\n",
        style.paint(Tone::Name, &reason.name),
        reason.sentence,
        reason.remedy
    )
}

fn action(view: &TraceView, style: &Style) -> String {
    let tone = match view.action {
        TraceAction::Forwarded | TraceAction::Delivered => Tone::Good,
        TraceAction::Held => Tone::Notice,
        TraceAction::Dropped => Tone::Bad,
    };
    let mut text = format!("Action: {}", style.paint(tone, view.action.name()));
    if !view.egress.is_empty() {
        text.push_str(&format!(" by {}", view.egress));
    }
    if let Some(translated) = view.translated.filter(|t| Some(*t) != view.tuple) {
        text.push_str(&format!(" as {translated}"));
    }
    if let Some(reason) = &view.reason {
        text.push_str(&format!(
            "  Reason: {} — {} — {}",
            style.paint(Tone::Name, &reason.name),
            reason.sentence,
            reason.remedy
        ));
    }
    text
}

fn result_tone(result: PhaseResult) -> Tone {
    match result {
        PhaseResult::Hit | PhaseResult::Consume => Tone::Good,
        PhaseResult::Continue | PhaseResult::Miss => Tone::Plain,
        PhaseResult::Skip => Tone::Dim,
        PhaseResult::Punt | PhaseResult::Hold => Tone::Notice,
        PhaseResult::Drop => Tone::Bad,
    }
}
