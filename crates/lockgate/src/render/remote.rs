//! `show remote-access`, `show dtls`.

use api::{DtlsView, RecordsView, RemoteAccessView, RemoteClientView};

use super::{
    port::or_none,
    style::{Style, Tone},
    table::{Cell, Table},
    units::{bytes, count, duration, maybe_duration},
};

pub fn access(view: &RemoteAccessView, style: &Style) -> String {
    let mut out = String::new();
    for server in &view.servers {
        let addresses: Vec<_> =
            server.addresses.iter().map(|ip| api::endpoint(*ip, server.port)).collect();
        out.push_str(&format!(
            "{}  {}  login {}  clients {} of {} on {}  connections {}  logins {}, failed {}, locked {}\n",
            style.paint(Tone::Name, &server.name),
            addresses.join(" "),
            server.login,
            count(server.clients),
            count(server.capacity),
            server.interface,
            count(server.connections),
            count(server.logins),
            count(server.logins_failed),
            count(server.locked),
        ));
    }
    if view.servers.is_empty() {
        return or_none(Table::new(&[]), "no remote access is configured", style);
    }
    let of = &view.transport;
    let refused = of.refused_of_source + of.refused_full + of.malformed;
    out.push_str(&format!(
        "tcp  {} connections, {} half open; refused {}, gave way {}   dtls  {} datagrams ignored\n",
        count(of.connections),
        count(of.half_open),
        count(refused),
        count(of.evicted),
        count(of.datagrams_ignored),
    ));
    let mut table = Table::new(&[
        "USER",
        "GROUPS",
        "STATE",
        "BY",
        "ADDRESS",
        "FROM",
        "SUITE",
        ">MTU",
        ">SINCE",
        ">REKEYED",
        ">IDLE",
        ">IN PKTS",
        ">IN",
        ">OUT PKTS",
        ">OUT",
        ">ENDS IN",
        "CLIENT",
    ]);
    for client in &view.clients {
        let tone = if client.state == "connected" { Tone::Good } else { Tone::Dim };
        let addresses: Vec<_> = client.addresses.iter().map(ToString::to_string).collect();
        table.row([
            Cell::new(Tone::Name, &client.user),
            groups(client).into(),
            Cell::new(tone, client.state.as_ref()),
            client.channel.as_deref().unwrap_or_default().into(),
            addresses.join(" ").into(),
            client.remote.as_str().into(),
            client.dtls.clone().or(client.tls.clone()).unwrap_or_default().into(),
            client.mtu.map(|mtu| mtu.to_string()).unwrap_or_default().into(),
            duration(client.age_ms).into(),
            maybe_duration(client.rekeyed_ms).into(),
            maybe_duration(client.idle_ms).into(),
            count(client.received.packets).into(),
            bytes(client.received.bytes).into(),
            count(client.sent.packets).into(),
            bytes(client.sent.bytes).into(),
            client.expires_ms.map(duration).unwrap_or_default().into(),
            client.version.as_str().into(),
        ]);
    }
    out.push('\n');
    out.push_str(&or_none(table, "no clients", style));
    if view.next.is_some() {
        out.push_str(&format!(
            "{} of {} shown; --limit shows more\n",
            view.clients.len(),
            view.total
        ));
    }
    out
}

pub fn dtls(view: &DtlsView, style: &Style) -> String {
    let mut table = Table::new(&[
        "USER",
        "SUITE",
        "LOCAL",
        "REMOTE",
        ">SINCE",
        ">HEARD",
        ">IN PKTS",
        ">IN",
        ">FAST",
        ">OUT PKTS",
        ">OUT",
        ">FAST",
        ">CONTROL",
        ">ERRORS",
    ]);
    for of in &view.associations {
        let errors = |records: &RecordsView| records.errors.iter().map(|e| e.records).sum::<u64>();
        table.row([
            Cell::new(Tone::Name, &of.user),
            of.suite.as_str().into(),
            of.local.as_str().into(),
            of.remote.as_str().into(),
            duration(of.age_ms).into(),
            duration(of.heard_ms).into(),
            count(of.inbound.traffic.packets).into(),
            bytes(of.inbound.traffic.bytes).into(),
            count(of.inbound.fast.packets).into(),
            count(of.outbound.traffic.packets).into(),
            bytes(of.outbound.traffic.bytes).into(),
            count(of.outbound.fast.packets).into(),
            count(of.inbound.control + of.outbound.control).into(),
            count(errors(&of.inbound) + errors(&of.outbound)).into(),
        ]);
    }
    or_none(table, "no DTLS associations", style)
}

/// `show dtls --detail`.
pub fn dtls_detail(view: &DtlsView, style: &Style) -> String {
    let mut out = String::new();
    for of in &view.associations {
        out.push_str(&format!(
            "{}  association {} of {}  {}\n",
            style.paint(Tone::Name, &of.user),
            of.id,
            of.access,
            of.suite
        ));
        out.push_str(&format!("  path      {} - {}\n", of.local, of.remote));
        out.push_str(&format!(
            "  age       {}, heard {} ago\n",
            duration(of.age_ms),
            duration(of.heard_ms)
        ));
        for (label, records) in [("in", &of.inbound), ("out", &of.outbound)] {
            out.push_str(&format!(
                "  {label:<8}  {} packets {}, of them fast {} packets {}; {} control; numbers to {}\n",
                count(records.traffic.packets),
                bytes(records.traffic.bytes),
                count(records.fast.packets),
                bytes(records.fast.bytes),
                count(records.control),
                records.numbers,
            ));
            for error in &records.errors {
                out.push_str(&format!(
                    "            {} dropped: {}\n",
                    count(error.records),
                    error.reason
                ));
            }
        }
    }
    if out.is_empty() { or_none(Table::new(&[]), "no DTLS associations", style) } else { out }
}

fn groups(client: &RemoteClientView) -> String {
    client.group.clone().unwrap_or_else(|| client.groups.join(","))
}
