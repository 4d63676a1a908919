//! `explain sa`.

use api::{
    DemotionView, FactView, FindingView, RefusalView, RemedyView, SaExplainView, SaExplainsView,
};

use super::{
    explain::steps,
    style::{Style, Tone},
    units::{bytes, count, duration},
};

pub fn explained(view: &SaExplainsView, style: &Style) -> String {
    if view.sas.is_empty() {
        return "no SAs\n".to_owned();
    }
    view.sas.iter().map(|sa| explain(sa, style)).collect::<Vec<_>>().join("\n")
}

fn explain(view: &SaExplainView, style: &Style) -> String {
    let sa = &view.sa;
    let mut out = format!(
        "SA {} {} of tunnel {} (line {})  {} {} {} to {}\n",
        style.paint(Tone::Name, &sa.spi),
        sa.direction,
        sa.tunnel,
        sa.line,
        sa.suite,
        sa.mode,
        sa.source,
        sa.destination
    );
    let mut line = |label: &str, text: &str| out.push_str(&format!("  {label:<10} {text}\n"));
    line("engine", &engine(&sa.engine, &view.profile, style));
    let placed = Placed {
        facts: [view.requested, view.eligible, view.installed, view.hitting],
        against: &sa.against,
        refusal: sa.refusal.as_ref(),
        demotion: sa.demotion.as_ref(),
        remedies: &view.remedies,
    };
    placed.lines(style, &mut line);
    line(
        "served",
        &format!(
            "fast {} pkt {} + slow {} pkt {}",
            count(sa.fast.packets),
            bytes(sa.fast.bytes),
            count(sa.slow.packets),
            bytes(sa.slow.bytes)
        ),
    );
    for error in &sa.errors {
        line("dropped", &format!("{} {}", count(error.count), error.reason.name));
    }
    out.push_str(&steps(&view.history, view.history_lost));
    out
}

/// An engine, with the device whose rules it is held to if that is not itself.
pub(super) fn engine(engine: &str, profile: &str, style: &Style) -> String {
    match profile == engine {
        true => engine.to_owned(),
        false => format!("{engine}, held to {}", style.paint(Tone::Name, profile)),
    }
}

/// Where an SA or a direction of an association stands at the engine.
pub(super) struct Placed<'a> {
    /// Requested, eligible, installed, hitting.
    pub(super) facts: [FactView; 4],
    pub(super) against: &'a [FindingView],
    pub(super) refusal: Option<&'a RefusalView>,
    pub(super) demotion: Option<&'a DemotionView>,
    pub(super) remedies: &'a [RemedyView],
}

impl Placed<'_> {
    /// Label and text of each line.
    pub(super) fn lines(&self, style: &Style, line: &mut dyn FnMut(&str, &str)) {
        for (label, fact) in
            ["requested", "eligible", "installed", "hitting"].iter().zip(self.facts)
        {
            line(label, &holds(fact, style));
        }
        for finding in self.against {
            line("against", &against(finding, style));
            line("", &finding.reason.sentence);
            for text in help(self.remedies, finding.reason.id) {
                line("", &text);
            }
        }
        if let Some(refusal) = self.refusal {
            let reason = &refusal.reason;
            line(
                "refused",
                &format!(
                    "{}  (engine)  {}  {} ago",
                    style.paint(Tone::Bad, &reason.name),
                    refusal.evidence,
                    duration(refusal.ago_ms)
                ),
            );
            line("", &reason.sentence);
            for text in help(self.remedies, reason.id) {
                line("", &text);
            }
        }
        if let Some(demotion) = self.demotion {
            let ago = duration(demotion.ago_ms);
            line("demoted", &format!("{} {ago} ago", demotion.reason.name));
        }
    }
}

fn holds(fact: FactView, style: &Style) -> String {
    let word = match fact.holds {
        true => style.paint(Tone::Good, "yes"),
        false => style.paint(Tone::Notice, "no"),
    };
    match fact.for_ms {
        Some(ms) => format!("{word}, for {}", duration(ms)),
        None => word,
    }
}

pub(super) fn against(finding: &FindingView, style: &Style) -> String {
    let name = style.paint(Tone::Name, &finding.reason.name);
    let text = format!("{name}  ({})  {}", finding.layer, finding.evidence);
    text.trim_end().to_owned()
}

/// What helps against a reason, when it is tried again, and the word other systems have for it.
fn help(remedies: &[RemedyView], id: u16) -> Vec<String> {
    let Some(remedy) = remedies.iter().find(|remedy| remedy.reason.id == id) else {
        return Vec::new();
    };
    let mut text = format!("remedy: {}", remedy.reason.remedy);
    if !remedy.retry.is_empty() {
        text.push_str(&format!(" Tried again {}.", remedy.retry));
    }
    let mut lines = vec![text];
    if !remedy.reason.elsewhere.is_empty() {
        lines.push(format!("elsewhere: {}", remedy.reason.elsewhere));
    }
    lines
}
