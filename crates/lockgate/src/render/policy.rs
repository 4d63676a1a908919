//! `show policies`, `policy lookup`.

use api::{PoliciesView, PolicyLookupView, PolicyView};

use super::{
    port::or_none,
    session::rule,
    style::{Style, Tone},
    table::{Cell, Table},
    units::{bytes, count, maybe_duration},
};

pub fn policies(view: &PoliciesView, style: &Style) -> String {
    let mut out = String::new();
    for (kind, title) in
        [("forward", "forward"), ("local-in", "local in"), ("local-out", "local out")]
    {
        let rows: Vec<_> = view.policies.iter().filter(|p| p.table == kind).collect();
        if rows.is_empty() {
            continue;
        }
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(&style.paint(Tone::Head, title));
        out.push('\n');
        out.push_str(&table(&rows, style));
    }
    if out.is_empty() {
        return or_none(Table::new(&[]), "no policies are configured: everything is denied", style);
    }
    let never = view.policies.iter().filter(|p| !p.never_offloads.is_empty());
    for policy in never {
        let reasons: Vec<_> =
            policy.never_offloads.iter().map(|f| f.reason.name.as_ref()).collect();
        out.push_str(&format!(
            "{} {} is never offloaded: {}\n",
            style.paint(Tone::Notice, "note:"),
            label(policy),
            reasons.join(", ")
        ));
    }
    if view.next.is_some() {
        let shown = view.policies.len();
        out.push_str(&format!("{shown} of {} shown; --limit shows more\n", view.total));
    }
    out
}

fn table(policies: &[&PolicyView], style: &Style) -> String {
    let mut table = Table::new(&[
        ">ID",
        "NAME",
        "FROM",
        "TO",
        "SOURCE",
        "USERS",
        "DESTINATION",
        "SERVICE",
        "SCHEDULE",
        "ACTION",
        "NAT",
        "OFFLOAD",
        ">HITS",
        ">NOW",
        ">PKTS",
        ">BYTES",
        ">LAST",
        ">LINE",
    ]);
    for policy in policies {
        let tone = match (policy.enabled && policy.in_force, policy.action.as_ref()) {
            (false, _) => Tone::Dim,
            (true, "allow") => Tone::Good,
            (true, _) => Tone::Notice,
        };
        let schedule = match (&policy.schedule, policy.in_force) {
            (None, _) => String::new(),
            (Some(name), true) => name.clone(),
            (Some(name), false) => format!("{name} (not now)"),
        };
        let action = if policy.enabled { policy.action.as_ref() } else { "disabled" };
        table.row([
            policy.id.map(|id| id.to_string()).unwrap_or_default().into(),
            Cell::new(Tone::Name, &policy.name),
            any(&policy.from).into(),
            any(&policy.to).into(),
            any(&policy.source).into(),
            who(policy).into(),
            any(&policy.destination).into(),
            any(&policy.services).into(),
            schedule.into(),
            Cell::new(tone, action),
            if policy.nat == "off" { "" } else { &policy.nat }.into(),
            policy.offload.as_ref().into(),
            count(policy.hits).into(),
            count(policy.sessions).into(),
            count(policy.traffic.packets).into(),
            bytes(policy.traffic.bytes).into(),
            maybe_duration(policy.last_hit_ms).into(),
            if policy.line == 0 { String::new() } else { policy.line.to_string() }.into(),
        ]);
    }
    table.render(style)
}

pub fn lookup(view: &PolicyLookupView, style: &Style) -> String {
    let tone = if view.action == "allow" { Tone::Good } else { Tone::Bad };
    let by = match &view.policy {
        Some(policy) => label(policy),
        None => "no policy: implicit deny".to_owned(),
    };
    let mut out = format!("{}  by {by}\n", style.paint(tone, &view.action));
    let side = |interface: &str, zone: &str| match (interface, zone) {
        ("", _) => "the gateway itself".to_owned(),
        (interface, zone) => format!("{interface} (zone {zone})"),
    };
    out.push_str(&format!(
        "  path         {} -> {}\n",
        side(&view.ingress, &view.from_zone),
        side(&view.egress, &view.to_zone)
    ));
    if let Some(user) = &view.user {
        out.push_str(&format!("  user         {user}\n"));
    }
    if let Some(dnat) = &view.dnat {
        let to = api::endpoint(view.destination, view.destination_port);
        out.push_str(&format!("  translated   destination becomes {to} by {}\n", rule(dnat)));
    }
    if let Some(route) = &view.route {
        out.push_str(&format!("  route        {}\n", rule(route)));
    }
    if let Some(reason) = &view.reason {
        out.push_str(&super::trace::reason_lines(reason, "  ", style));
    }
    for (n, miss) in view.near_misses.iter().enumerate() {
        let title = if n == 0 { "not matched" } else { "" };
        let failed = miss.failed.join(", ");
        out.push_str(&format!("  {title:<11}  {} fails: {failed}\n", rule(&miss.rule)));
    }
    out
}

/// `policy 12 "lan-out" (line 88)`
fn label(policy: &PolicyView) -> String {
    rule(&api::RuleRef {
        kind: if policy.table == "forward" { "policy".into() } else { policy.table.clone() },
        id: policy.id,
        name: policy.name.clone(),
        line: policy.line,
    })
}

/// `alice,group staff`; empty where it is not asked who sends.
fn who(policy: &PolicyView) -> String {
    let groups = policy.groups.iter().map(|name| format!("group {name}"));
    policy.users.iter().cloned().chain(groups).collect::<Vec<_>>().join(",")
}

fn any(names: &[String]) -> String {
    if names.is_empty() { "any".to_owned() } else { names.join(",") }
}
