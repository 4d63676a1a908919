//! Views of what changes: what is cleared, what happened, what is configured.

use api::*;

use super::views::tuple;

pub fn cleared() -> Response {
    Response::Cleared(ClearedView { what: "sessions".into(), count: 1_000_000, pending: 998_976 })
}

pub fn cleared_ike() -> Response {
    Response::Cleared(ClearedView { what: "ike".into(), count: 2, pending: 0 })
}

pub fn rekeying() -> Response {
    Response::Rekeying(RekeyingView { what: "tunnel".into(), count: 2 })
}

pub fn events() -> Response {
    let demoted = EventView {
        seq: 41,
        uptime_ms: 61_250,
        unix_ms: Some(1_767_225_599_250),
        event: "demoted".into(),
        severity: "info".into(),
        session: Some(1868),
        tuple: Some(tuple(6, "10.1.1.5", 51_000, "8.8.8.8", 443)),
        policy: Some(12),
        reason: Some("policy-changed".into()),
        engine: Some("soft".into()),
        message: String::new(),
    };
    let link = EventView {
        seq: 42,
        event: "link".into(),
        severity: "warning".into(),
        message: "port wan is down".into(),
        unix_ms: None,
        session: None,
        tuple: None,
        policy: None,
        reason: None,
        engine: None,
        ..demoted.clone()
    };
    Response::Events(EventsView { events: vec![demoted, link], last: 42, lost: 7, more: false })
}

pub fn diagnostic(severity: &'static str) -> DiagnosticView {
    DiagnosticView {
        severity: severity.into(),
        code: "no-such-zone".into(),
        file: "new.toml".into(),
        line: 4,
        column: 8,
        message: "there is no zone `insde`".into(),
        help: "did you mean `inside`?".into(),
        rendered: format!(
            "{severity}[no-such-zone]: there is no zone `insde`\n --> new.toml:4:8\n  |\n4 | from = \"insde\"\n  |        ^^^^^^^\n  = help: did you mean `inside`?\n"
        ),
    }
}

fn changes() -> Vec<ChangeView> {
    let change = |change: &'static str, section: &str, name: &str, line| ChangeView {
        change: change.into(),
        section: section.into(),
        name: name.into(),
        line,
        fields: vec![FieldChangeView {
            field: "action".into(),
            before: Some("allow".into()),
            after: Some("deny".into()),
        }],
    };
    vec![
        change("added", "policy", "13 \"guests\"", 96),
        change("removed", "route", "192.0.2.0/24", 55),
        change("changed", "policy", "12 \"lan-out\"", 88),
        change("moved", "policy", "10 \"no-telnet\"", 104),
    ]
}

pub fn config_checked() -> Response {
    let content = |what: &'static str, count| ContentCount { what: what.into(), count };
    Response::ConfigChecked(ConfigCheckedView {
        source: "new.toml".into(),
        warnings: vec![diagnostic("warning")],
        contents: vec![content("ports", 2), content("policies", 12), content("pools", 0)],
    })
}

pub fn config_diff() -> Response {
    Response::ConfigDiff(ConfigDiffView { changes: changes(), warnings: Vec::new() })
}

pub fn config_applied() -> Response {
    Response::ConfigApplied(ConfigAppliedView {
        outcome: "applied".into(),
        generation: 4,
        changes: changes(),
        warnings: Vec::new(),
        confirm_seconds: Some(300),
    })
}
