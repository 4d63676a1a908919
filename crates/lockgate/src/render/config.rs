//! `check`, `diff`, `apply` and what follows it.

use api::{ChangeView, ConfigAppliedView, ConfigCheckedView, ConfigDiffView, DiagnosticView};

use super::style::{Style, Tone};

pub fn checked(view: &ConfigCheckedView, style: &Style) -> String {
    let contents: Vec<_> = view
        .contents
        .iter()
        .filter(|c| c.count > 0)
        .map(|c| format!("{} {}", c.count, c.what))
        .collect();
    let mut out = diagnostics(&view.warnings, style);
    out.push_str(&format!("{}: {}", view.source, style.paint(Tone::Good, "in order")));
    if !contents.is_empty() {
        out.push_str(&format!(" ({})", contents.join(", ")));
    }
    out.push('\n');
    out
}

pub fn diff(view: &ConfigDiffView, style: &Style) -> String {
    let mut out = diagnostics(&view.warnings, style);
    if view.changes.is_empty() {
        out.push_str("no difference to the running configuration\n");
    }
    out.push_str(&changes(&view.changes, style));
    out
}

pub fn applied(view: &ConfigAppliedView, style: &Style) -> String {
    let mut out = diagnostics(&view.warnings, style);
    out.push_str(&changes(&view.changes, style));
    let generation = view.generation;
    match view.outcome.as_ref() {
        "unchanged" => out.push_str(&format!("nothing changed; generation {generation} runs on\n")),
        outcome => out.push_str(&format!(
            "{}; generation {generation} runs\n",
            style.paint(Tone::Good, outcome)
        )),
    }
    if let Some(seconds) = view.confirm_seconds {
        let text = format!("reverts in {seconds}s unless you run `lockgate confirm`");
        out.push_str(&format!("{}\n", style.paint(Tone::Notice, text)));
    }
    out
}

/// Diagnostics with their excerpts.
pub fn diagnostics(list: &[DiagnosticView], style: &Style) -> String {
    let mut out = String::new();
    for diagnostic in list {
        let mut lines = diagnostic.rendered.lines();
        if let Some(first) = lines.next() {
            out.push_str(&style.paint(Tone::of_severity(&diagnostic.severity), first));
            out.push('\n');
        }
        for line in lines {
            out.push_str(line);
            out.push('\n');
        }
        out.push('\n');
    }
    out
}

fn changes(changes: &[ChangeView], style: &Style) -> String {
    let mut out = String::new();
    for change in changes {
        let (sign, tone) = match change.change.as_ref() {
            "added" => ("+", Tone::Good),
            "removed" => ("-", Tone::Bad),
            "moved" => (">", Tone::Notice),
            _ => ("~", Tone::Notice),
        };
        let mut line = format!("{sign} {}", change.section);
        if !change.name.is_empty() {
            line.push_str(&format!(" {}", change.name));
        }
        if change.change == "moved" {
            line.push_str(" moved");
        }
        if change.line != 0 {
            line.push_str(&format!(" (line {})", change.line));
        }
        out.push_str(&style.paint(tone, line));
        out.push('\n');
        if change.change == "changed" {
            for field in &change.fields {
                let value = |v: &Option<String>| v.clone().unwrap_or_else(|| "(none)".to_owned());
                let (before, after) = (value(&field.before), value(&field.after));
                out.push_str(&format!("    {}: {before} -> {after}\n", field.field));
            }
        }
    }
    out
}
