//! Metrics in the Prometheus text format, made from the same views as everything else.
//!
//! Base units, `_total` on counters, labels from bounded sets only: reasons, engines, ports, pools,
//! tunnels, servers of remote access. Never users: there is no bound for them.

use std::{collections::VecDeque, fmt::Write, sync::Arc};

use api::{ApiError, Request, Response};

use crate::Control;

/// What the metrics are made from.
pub fn requests() -> [Request; 9] {
    [
        Request::ShowSystem,
        Request::ShowSessionSummary,
        Request::ShowOffloadReasons,
        Request::ShowCounters { delta: false },
        Request::ShowEngines,
        Request::ShowPorts,
        Request::ShowNatPools,
        // of the clients one row is enough: what is asked for is of the servers
        Request::ShowRemoteAccess { user: None, limit: Some(1), cursor: None },
        Request::ShowTunnels { limit: None, cursor: None },
    ]
}

/// Asks for everything the metrics are made from.
///
/// # Errors
/// That the gateway no longer answers. What it does not support is left out.
pub async fn collect(control: &Arc<Control>) -> Result<Vec<Response>, ApiError> {
    let mut views = Vec::new();
    let mut queue = VecDeque::from(requests());
    while let Some(request) = queue.pop_front() {
        match control.handle(request).await {
            Ok(view) => {
                if let Response::Tunnels(api::TunnelsView { next: cursor @ Some(_), .. }) = view {
                    queue.push_back(Request::ShowTunnels { limit: None, cursor });
                }
                views.push(view);
            }
            Err(ApiError::Unsupported { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(views)
}

/// The views as a page of metrics.
pub fn exposition(views: &[Response]) -> String {
    let mut page = Page::default();
    for view in views {
        add(&mut page, view);
    }
    tunnels(&mut page, views);
    page.text
}

fn add(page: &mut Page, view: &Response) {
    match view {
        Response::System(view) => system(page, view),
        Response::SessionSummary(view) => sessions(page, view),
        Response::OffloadReasons(view) => offload_reasons(page, view),
        Response::Counters(view) => counters(page, view),
        Response::Engines(view) => engines(page, view),
        Response::Ports(view) => ports(page, view),
        Response::NatPools(view) => pools(page, view),
        Response::RemoteAccess(view) => remote_access(page, view),
        // Tunnels come in pages, and a family of metrics has its rows in one place.
        _ => {}
    }
}

fn system(page: &mut Page, view: &api::SystemView) {
    page.head("lockgate_info", "gauge", "Version of the gateway.");
    page.row(&[("version", &view.version), ("hostname", &view.hostname)], 1.0);
    page.head("lockgate_uptime_seconds", "gauge", "Time since start.");
    page.row(&[], view.uptime_ms as f64 / 1e3);
    page.head("lockgate_config_generation", "gauge", "Configurations that ran since start.");
    page.row(&[], view.config.generation as f64);
    page.head("lockgate_config_last_change_failed", "gauge", "1 if the last change was refused.");
    page.row(&[], f64::from(u8::from(view.config.last_failure.is_some())));
    if !view.busy.is_empty() {
        let help = "Share of the last second in which a forwarding thread had work.";
        page.head("lockgate_busy_ratio", "gauge", help);
        for (worker, busy) in view.busy.iter().enumerate() {
            page.row(&[("worker", &worker.to_string())], *busy);
        }
    }
    if let Some(bytes) = view.resident_bytes {
        page.head("lockgate_resident_memory_bytes", "gauge", "Resident memory.");
        page.row(&[], bytes as f64);
    }
    page.head("lockgate_table_used", "gauge", "Entries in use, by table.");
    for table in &view.tables {
        page.row(&[("table", &table.name)], table.used as f64);
    }
    page.head("lockgate_table_capacity", "gauge", "Entries that fit, by table.");
    for table in &view.tables {
        page.row(&[("table", &table.name)], table.capacity as f64);
    }
}

fn sessions(page: &mut Page, view: &api::SessionSummaryView) {
    page.head("lockgate_sessions", "gauge", "Sessions now, by protocol and state.");
    for row in &view.by_state {
        page.row(&[("proto", &row.proto), ("state", &row.state)], row.sessions as f64);
    }
    page.head("lockgate_sessions_limit", "gauge", "Sessions that fit.");
    page.row(&[], view.capacity as f64);
    page.head("lockgate_sessions_half_open", "gauge", "TCP handshakes not complete.");
    page.row(&[], view.half_open as f64);
    page.head("lockgate_sessions_created_total", "counter", "Sessions made.");
    page.row(&[], view.created as f64);
    page.head("lockgate_sessions_ended_total", "counter", "Sessions ended.");
    page.row(&[], view.ended as f64);
    page.head("lockgate_sessions_offload", "gauge", "Sessions by how far they are offloaded.");
    for (word, count) in
        [("full", view.offloaded), ("partial", view.partly_offloaded), ("none", view.not_offloaded)]
    {
        page.row(&[("offload", word)], count as f64);
    }
    page.head("lockgate_flows_installed", "gauge", "Directions installed on an engine.");
    page.row(&[], view.installed_flows as f64);
    page.head("lockgate_flows_hitting", "gauge", "Directions an engine serves packets for.");
    page.row(&[], view.hitting_flows as f64);
}

fn offload_reasons(page: &mut Page, view: &api::OffloadReasonsView) {
    page.head(
        "lockgate_sessions_not_offloaded",
        "gauge",
        "Sessions a reason keeps off an engine now; a session with several counts in each.",
    );
    for row in &view.standing {
        let labels = [
            ("reason", &*row.reason.name),
            ("class", &*row.reason.class),
            ("engine", &*row.engine),
        ];
        page.row(&labels, row.sessions as f64);
    }
}

fn counters(page: &mut Page, view: &api::CountersView) {
    type Of = fn(&api::Traffic) -> u64;
    for (name, help, of) in [
        ("lockgate_packets_total", "Packets, by the tier that served them.", (|t| t.packets) as Of),
        ("lockgate_bytes_total", "Bytes of IP packets, by the tier that served them.", |t| t.bytes),
    ] {
        page.head(name, "counter", help);
        for step in &view.ladder {
            let labels = [("tier", &*step.tier), ("engine", step.engine.as_deref().unwrap_or(""))];
            page.row(&labels, of(&step.traffic) as f64);
        }
    }
    page.head("lockgate_drops_total", "counter", "Packets dropped, by reason.");
    for row in &view.drops {
        page.row(&[("reason", &row.reason.name)], row.count as f64);
    }
    page.head("lockgate_events_total", "counter", "Named counters of the slow path.");
    for row in &view.counters {
        page.row(&[("group", &row.group), ("name", &row.name)], row.value as f64);
    }
}

fn engines(page: &mut Page, view: &api::EnginesView) {
    let mut gauge = |name: &str, kind: &str, help: &str, of: &dyn Fn(&api::EngineView) -> u64| {
        page.head(name, kind, help);
        for engine in &view.engines {
            page.row(&[("engine", &engine.name)], of(engine) as f64);
        }
    };
    gauge("lockgate_engine_flows", "gauge", "Flows installed.", &|e| e.flows);
    gauge("lockgate_engine_flows_capacity", "gauge", "Flows that fit.", &|e| e.flow_capacity);
    gauge("lockgate_engine_installed_total", "counter", "Flows installed.", &|e| e.installed);
    gauge("lockgate_engine_evicted_total", "counter", "Flows evicted.", &|e| e.evicted);
    gauge("lockgate_engine_hits_total", "counter", "Lookups that found a flow.", &|e| e.hits);
    gauge("lockgate_engine_misses_total", "counter", "Lookups that found none.", &|e| e.misses);
    gauge("lockgate_engine_punt_ring_used", "gauge", "Punts waiting.", &|e| e.punt_depth);
    gauge("lockgate_engine_memory_bytes", "gauge", "Memory of the tables.", &|e| e.memory_bytes);
    gauge("lockgate_engine_drift_total", "counter", "Differences found by the audit.", &|e| {
        e.audit.found
    });
    type Of = fn(&api::EngineView) -> &[api::ReasonCount];
    for (name, help, of) in [
        (
            "lockgate_offload_refusals_total",
            "Flows an engine did not take, by reason.",
            (|e| &e.refusals) as Of,
        ),
        ("lockgate_offload_demotions_total", "Flows that left an engine, by reason.", |e| {
            &e.demotions
        }),
    ] {
        page.head(name, "counter", help);
        for engine in &view.engines {
            for row in of(engine) {
                let labels = [("engine", &*engine.name), ("reason", &*row.reason.name)];
                page.row(&labels, row.count as f64);
            }
        }
    }
    page.head("lockgate_punts_total", "counter", "Packets handed to the slow path, by cause.");
    for engine in &view.engines {
        for row in &engine.punts {
            let labels = [("engine", &*engine.name), ("cause", &*row.cause.name)];
            page.row(&labels, row.packets as f64);
        }
    }
    page.head(
        "lockgate_punts_dropped_total",
        "counter",
        "Punts lost, by cause and what lost them.",
    );
    for engine in &view.engines {
        for row in &engine.punts {
            for (by, count) in [("ring-full", row.ring_full), ("limit", row.limited)] {
                let labels = [("engine", &*engine.name), ("cause", &*row.cause.name), ("by", by)];
                page.row(&labels, count as f64);
            }
        }
    }
}

fn ports(page: &mut Page, view: &api::PortsView) {
    page.head("lockgate_port_up", "gauge", "1 if the link of the port is up.");
    for port in &view.ports {
        page.row(&[("port", &port.name)], f64::from(u8::from(port.link == "up")));
    }
    type Of = fn(&api::PortCountersView) -> u64;
    for (name, help, of) in [
        ("lockgate_port_packets_total", "Packets.", (|c| c.packets) as Of),
        ("lockgate_port_bytes_total", "Bytes, Ethernet header included.", |c| c.bytes),
        ("lockgate_port_dropped_total", "Frames dropped by the port.", |c| c.dropped),
        ("lockgate_port_errors_total", "Frames broken or refused by the kernel.", |c| c.errors),
    ] {
        page.head(name, "counter", help);
        for port in &view.ports {
            page.row(&[("port", &port.name), ("direction", "rx")], of(&port.rx) as f64);
            page.row(&[("port", &port.name), ("direction", "tx")], of(&port.tx) as f64);
        }
    }
}

fn pools(page: &mut Page, view: &api::NatPoolsView) {
    page.head("lockgate_nat_pool_ports_used", "gauge", "Ports in use, by protocol.");
    for pool in &view.pools {
        for (proto, used) in [
            ("tcp", pool.tcp_used),
            ("udp", pool.udp_used),
            ("sctp", pool.sctp_used),
            ("icmp", pool.icmp_used),
        ] {
            page.row(&[("pool", &pool.name), ("proto", proto)], used as f64);
        }
    }
    type Of = fn(&api::PoolView) -> u64;
    for (name, kind, help, of) in [
        ("lockgate_nat_pool_ports", "gauge", "Ports of each protocol.", (|p| p.ports_total) as Of),
        ("lockgate_nat_pool_sessions", "gauge", "Sessions that hold a binding.", |p| p.sessions),
        ("lockgate_nat_pool_exhausted_total", "counter", "Times nothing was free.", |p| {
            p.exhausted
        }),
    ] {
        page.head(name, kind, help);
        for pool in &view.pools {
            page.row(&[("pool", &pool.name)], of(pool) as f64);
        }
    }
}

fn remote_access(page: &mut Page, view: &api::RemoteAccessView) {
    if view.servers.is_empty() {
        return;
    }
    type Of = fn(&api::RemoteServerView) -> u64;
    for (name, kind, help, of) in [
        ("lockgate_remote_clients", "gauge", "Clients, connected or away.", (|s| s.clients) as Of),
        ("lockgate_remote_clients_capacity", "gauge", "Clients that fit.", |s| s.capacity),
        ("lockgate_remote_connections", "gauge", "TLS connections.", |s| s.connections),
        (
            "lockgate_remote_handshakes_failed_total",
            "counter",
            "Handshakes of TLS that failed.",
            |s| s.handshakes_failed,
        ),
        ("lockgate_remote_users_locked_total", "counter", "Users locked out.", |s| s.locked),
        ("lockgate_remote_tunnels_total", "counter", "Tunnels made, rekeys included.", |s| {
            s.tunnels
        }),
        ("lockgate_remote_associations_total", "counter", "DTLS associations made.", |s| {
            s.associations
        }),
        ("lockgate_remote_channel_moves_total", "counter", "Moves between CSTP and DTLS.", |s| {
            s.channel_moves
        }),
    ] {
        page.head(name, kind, help);
        for server in &view.servers {
            page.row(&[("access", &server.name)], of(server) as f64);
        }
    }
    page.head("lockgate_remote_logins_total", "counter", "Logins, by how they ended.");
    for server in &view.servers {
        for (result, count) in [("succeeded", server.logins), ("failed", server.logins_failed)] {
            page.row(&[("access", &server.name), ("result", result)], count as f64);
        }
    }
    let transport = &view.transport;
    page.head("lockgate_remote_tcp_half_open", "gauge", "TCP handshakes not complete.");
    page.row(&[], transport.half_open as f64);
    page.head("lockgate_remote_tcp_refused_total", "counter", "TCP openings that came to nothing.");
    for (cause, count) in [
        ("evicted", transport.evicted),
        ("source", transport.refused_of_source),
        ("full", transport.refused_full),
        ("malformed", transport.malformed),
    ] {
        page.row(&[("cause", cause)], count as f64);
    }
    page.head("lockgate_remote_datagrams_ignored_total", "counter", "Datagrams DTLS ignored.");
    page.row(&[], transport.datagrams_ignored as f64);
}

fn tunnels(page: &mut Page, views: &[Response]) {
    let all = || {
        let rows = views.iter().filter_map(|view| match view {
            Response::Tunnels(view) => Some(&view.tunnels),
            _ => None,
        });
        rows.flatten()
    };
    page.head("lockgate_tunnel_up", "gauge", "1 if the tunnel has SAs and a way to its far end.");
    for tunnel in all() {
        page.row(&[("tunnel", &tunnel.name)], f64::from(u8::from(tunnel.state == "up")));
    }
    type Of = fn(&api::Traffic) -> u64;
    for (name, help, of) in [
        ("lockgate_tunnel_packets_total", "Packets inside tunnels.", (|t| t.packets) as Of),
        ("lockgate_tunnel_bytes_total", "Bytes of the packets inside tunnels.", |t| t.bytes),
    ] {
        page.head(name, "counter", help);
        for tunnel in all() {
            for (way, traffic) in [("out", &tunnel.sent), ("in", &tunnel.received)] {
                let labels = [("tunnel", tunnel.name.as_str()), ("direction", way)];
                page.row(&labels, of(traffic) as f64);
            }
        }
    }
    page.head("lockgate_tunnel_errors_total", "counter", "Packets the SAs of tunnels dropped.");
    for tunnel in all() {
        page.row(&[("tunnel", &tunnel.name)], tunnel.errors as f64);
    }
}

/// A page of metrics in the making.
#[derive(Default)]
struct Page {
    text: String,
    name: String,
}

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        self.name = name.to_owned();
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn row(&mut self, labels: &[(&str, &str)], value: f64) {
        self.text.push_str(&self.name);
        for (n, (name, value)) in labels.iter().enumerate() {
            self.text.push(if n == 0 { '{' } else { ',' });
            let _ = write!(self.text, "{name}=\"{}\"", escape(value));
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }
}

/// Label values escape backslash, quote and newline.
fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use api::{ReasonCount, ReasonView};
    use reason::{DemotionReason, DropReason, NotEligible, PuntCause};

    use super::*;

    /// Reads a page as a scraper does and returns the series; panics where the format is broken.
    fn parse(page: &str) -> BTreeSet<String> {
        let (mut typed, mut series) = (BTreeSet::new(), BTreeSet::new());
        let mut family = String::new();
        for line in page.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                assert!(rest.split_once(' ').is_some_and(|(_, help)| !help.is_empty()), "{line}");
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a kind");
                assert!(typed.insert(name.to_owned()), "{name} is typed twice");
                assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
                family = name.to_owned();
            } else {
                let (key, value) = line.rsplit_once(' ').expect("a value");
                assert!(value.parse::<f64>().is_ok_and(f64::is_finite), "{line}");
                let (name, labels) = key.split_once('{').unwrap_or((key, "}"));
                assert_eq!(name, family, "{line}: rows follow their head");
                assert!(name.bytes().all(|b| b == b'_' || b.is_ascii_lowercase()), "{line}");
                assert!(labels.ends_with('}'), "{line}");
                assert!(series.insert(key.to_owned()), "{key} stands twice");
            }
        }
        series
    }

    fn count(reason: ReasonView, count: u64) -> ReasonCount {
        ReasonCount { reason, count, delta: None }
    }

    /// A page of tunnels with one row.
    fn tunnel(name: &str, next: Option<u64>) -> Response {
        let end = core::net::IpAddr::from([203, 0, 113, 1]);
        let tunnel = api::TunnelView {
            name: name.into(),
            line: 1,
            kind: "ipsec".into(),
            state: "up".into(),
            since_ms: None,
            peer: None,
            failure: None,
            interface: name.into(),
            zone: "vpn".into(),
            vr: "default".into(),
            local: end,
            remote: Some(end),
            underlay: "wan".into(),
            mode: "tunnel".into(),
            key: None,
            vni: None,
            overhead: None,
            mac: None,
            udp: None,
            steering: "routes".into(),
            selectors: Vec::new(),
            mtu: 1400,
            path_mtu: None,
            offload: "full".into(),
            sent: api::Traffic { packets: 4, bytes: 400 },
            received: api::Traffic::default(),
            errors: 2,
        };
        Response::Tunnels(api::TunnelsView { tunnels: vec![tunnel], total: 2, next })
    }

    fn server(name: &str) -> api::RemoteServerView {
        api::RemoteServerView { name: name.into(), clients: 3, ..Default::default() }
    }

    #[test]
    fn the_page_is_well_formed_and_names_reasons() {
        let engine = api::EngineView {
            name: "soft".into(),
            demotions: vec![count(ReasonView::of(DemotionReason::PolicyChanged), 3)],
            punts: vec![api::PuntView {
                cause: ReasonView::of(PuntCause::FlowMiss),
                packets: 9,
                ring_full: 1,
                limited: 0,
                limit_per_second: None,
            }],
            ..Default::default()
        };
        let standing = api::OffloadReasonView {
            reason: ReasonView::of(NotEligible::AwaitingReply),
            engine: "soft".into(),
            sessions: 5,
        };
        let views = [
            Response::System(api::SystemView {
                hostname: "a \"b\"\\c".into(),
                ..Default::default()
            }),
            Response::SessionSummary(api::SessionSummaryView {
                by_state: vec![api::StateCount {
                    proto: "tcp".into(),
                    state: "established".into(),
                    sessions: 7,
                }],
                ..Default::default()
            }),
            Response::OffloadReasons(api::OffloadReasonsView {
                standing: vec![standing],
                ..Default::default()
            }),
            Response::Counters(api::CountersView {
                ladder: vec![api::LadderStep {
                    tier: "fast".into(),
                    engine: Some("soft".into()),
                    ..Default::default()
                }],
                drops: vec![count(ReasonView::of(DropReason::ImplicitDeny), 2)],
                ..Default::default()
            }),
            Response::Engines(api::EnginesView { engines: vec![engine] }),
            Response::Ports(api::PortsView {
                ports: vec![api::PortView { name: "wan".into(), ..Default::default() }],
            }),
            Response::NatPools(api::NatPoolsView { pools: vec![api::PoolView::default()] }),
            Response::RemoteAccess(api::RemoteAccessView {
                servers: ["office", "home"].map(server).into(),
                ..Default::default()
            }),
            tunnel("paris", Some(1)),
            tunnel("oslo", None),
        ];
        let page = exposition(&views);
        let series = parse(&page);
        for key in [
            r#"lockgate_sessions{proto="tcp",state="established"}"#,
            r#"lockgate_sessions_not_offloaded{reason="awaiting-reply",class="not-eligible",engine="soft"}"#,
            r#"lockgate_packets_total{tier="fast",engine="soft"}"#,
            r#"lockgate_drops_total{reason="implicit-deny"}"#,
            r#"lockgate_offload_demotions_total{engine="soft",reason="policy-changed"}"#,
            r#"lockgate_punts_total{engine="soft",cause="flow-miss"}"#,
            r#"lockgate_remote_clients{access="home"}"#,
            r#"lockgate_remote_logins_total{access="office",result="failed"}"#,
            r#"lockgate_remote_tcp_refused_total{cause="source"}"#,
            r#"lockgate_tunnel_up{tunnel="oslo"}"#,
            r#"lockgate_tunnel_packets_total{tunnel="paris",direction="out"}"#,
            r#"lockgate_info{version="",hostname="a \"b\"\\c"}"#,
        ] {
            assert!(series.contains(key), "{key} is missing:\n{page}");
        }
        assert!(page.contains("lockgate_drops_total{reason=\"implicit-deny\"} 2\n"));
    }
}
