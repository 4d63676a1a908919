//! Every object of a configuration as named fields, in the words of the configuration.
//!
//! Structures are taken apart without `..`, so a new field of the model cannot be forgotten here.

mod peer;

use core::fmt::Display;
use core::time::Duration;
use std::path::PathBuf;

use crate::{
    model::{
        AddressPool, AddressSet, Anomaly, Attachment, CentralSnat, ChildSpec, Config, Control,
        Debug, FailedLogins, Gre, Interface, Ipsec, Limits, Line, LocalRule, Manual, ManualSa,
        Negotiated, NextHop, Offload, OuterRules, Policy, Pool, PoolKind, Port, PortKind,
        RemoteAccess, RemoteTls, Route, Schedule, ScheduleKind, Sensor, ServiceSet, SourceNat,
        StaticNeighbour, Timeouts, Tunnel, TunnelKind, Vip, VirtualRouter, Vxlan, Who, ZoneId,
    },
    values::show_duration,
};

type Fields = Vec<(&'static str, String)>;

/// An object.
pub(super) struct Item {
    /// What makes it the same object in two configurations.
    pub key: String,
    /// How it is shown.
    pub name: String,
    pub line: Line,
    pub fields: Fields,
    /// Keys, which are compared and never shown.
    pub secrets: Vec<(&'static str, esp::KeyMaterial)>,
}

/// The objects of a section.
pub(super) struct List {
    pub section: &'static str,
    pub items: Vec<Item>,
    /// Whether their order means something.
    pub ordered: bool,
}

impl List {
    /// Where an object stands, in words.
    pub fn place(&self, key: &str) -> String {
        let position = self.items.iter().position(|item| item.key == key);
        let before = position.and_then(|p| p.checked_sub(1)).and_then(|p| self.items.get(p));
        before.map_or_else(|| "first".to_owned(), |item| format!("after {}", item.name))
    }
}

/// Everything, section by section; the sections are the same for every configuration.
pub(super) fn lists(config: &Config) -> Vec<List> {
    let Config {
        source: _,
        hostname,
        control: Control { socket, metrics },
        debug: Debug { export_keys },
        virtual_routers,
        ports,
        interfaces,
        peers,
        tunnels,
        zones: _,
        routes,
        policies,
        local_in,
        local_out,
        vips,
        pools,
        address_pools,
        central_snat,
        neighbours,
        timeouts,
        engine,
        offload,
        limits,
        anomaly,
    } = config;
    let control = vec![("socket", socket.display().to_string()), ("metrics", optional(metrics))];
    vec![
        once("hostname", vec![("hostname", hostname.clone())]),
        once("control", control),
        once("debug", vec![("export-keys", export_keys.to_string())]),
        list("virtual-router", true, virtual_routers, virtual_router),
        list("port", true, ports, port),
        list("interface", true, interfaces, |of| interface(config, of)),
        list("phase1", true, peers, |of| peer::item(config, of)),
        kind("ipsec", tunnels, config),
        kind("gre", tunnels, config),
        kind("vxlan", tunnels, config),
        kind("remote-access", tunnels, config),
        list("route", false, routes, |of| route(config, of)),
        list("policy", true, policies, |of| policy(config, of)),
        list("local-in", true, local_in, |of| local(config, of, "from")),
        list("local-out", true, local_out, |of| local(config, of, "to")),
        list("vip", false, vips, |of| vip(config, of)),
        list("pool", true, pools, pool),
        list("address-pool", false, address_pools, address_pool),
        list("central-snat", true, central_snat, |of| central(config, of)),
        list("neighbour", false, neighbours, |of| neighbour(config, of)),
        once("timeouts", timeouts_fields(timeouts)),
        once("engine", vec![("profile", engine.profile.name().to_owned())]),
        once("offload", offload_fields(offload)),
        once("limits", limits_fields(limits)),
        once("anomaly", anomaly_fields(anomaly)),
    ]
}

fn once(section: &'static str, fields: Fields) -> List {
    let item = named("", Line(0), fields);
    List { section, items: vec![item], ordered: false }
}

fn list<T>(section: &'static str, ordered: bool, of: &[T], item: impl Fn(&T) -> Item) -> List {
    List { section, items: of.iter().map(item).collect(), ordered }
}

/// The tunnels of one kind.
fn kind(section: &'static str, tunnels: &[Tunnel], config: &Config) -> List {
    let of = tunnels.iter().filter(|tunnel| tunnel.kind.name() == section);
    List { section, items: of.map(|of| tunnel(config, of)).collect(), ordered: true }
}

fn named(name: &str, line: Line, fields: Fields) -> Item {
    Item { key: name.to_owned(), name: name.to_owned(), line, fields, secrets: Vec::new() }
}

fn optional<T: ToString>(value: &Option<T>) -> String {
    value.as_ref().map_or_else(String::new, ToString::to_string)
}

fn joined<T: ToString>(values: impl IntoIterator<Item = T>) -> String {
    values.into_iter().map(|value| value.to_string()).collect::<Vec<_>>().join(", ")
}

fn zones(config: &Config, zones: &[ZoneId]) -> String {
    match zones {
        [] => "any".to_owned(),
        zones => joined(zones.iter().map(|zone| config.zone_name(*zone))),
    }
}

fn addresses(AddressSet { names, ranges, any: _, negate }: &AddressSet) -> (String, String) {
    let not = if *negate { "not " } else { "" };
    (format!("{not}{}", joined(names)), joined(ranges))
}

fn service_set(ServiceSet { names, services, any: _ }: &ServiceSet) -> (String, String) {
    (joined(names), joined(services))
}

fn nat(config: &Config, nat: &SourceNat) -> String {
    match nat {
        SourceNat::Off => "off".to_owned(),
        SourceNat::Interface => "interface".to_owned(),
        SourceNat::Pools(pools) => joined(pools.iter().map(|pool| config.pool_name(*pool))),
    }
}

fn schedule(Schedule { name, line: _, kind, utc_offset_minutes }: &Schedule) -> (String, String) {
    let meaning = match kind {
        ScheduleKind::Recurring { days, from, to } => {
            format!("days {days:#09b} from minute {from} to {to}, UTC{utc_offset_minutes:+} min")
        }
        ScheduleKind::Once { from, to } => format!("from {from} to {to} s since 1970"),
    };
    (name.clone(), meaning)
}

fn schedule_of<S: core::ops::Deref<Target = Schedule>>(of: &Option<S>) -> (String, String) {
    of.as_ref().map_or_else(Default::default, |of| schedule(of))
}

fn virtual_router(VirtualRouter { name, line, offload }: &VirtualRouter) -> Item {
    named(name, *line, vec![("offload", offload.to_string())])
}

fn port(Port { name, line, kind, mac, fast_path, super_packets }: &Port) -> Item {
    let (word, particular) = match kind {
        PortKind::Packet { device } => ("packet", vec![("device", device.clone())]),
        PortKind::Xdp { device } => ("xdp", vec![("device", device.clone())]),
        PortKind::Tap { device } => ("tap", vec![("device", device.clone())]),
        PortKind::Tun { device } => ("tun", vec![("device", device.clone())]),
        PortKind::Memif { socket, id, server, log2_ring_size } => {
            let role = if *server { "server" } else { "client" };
            let mut fields = vec![
                ("socket", socket.display().to_string()),
                ("role", role.to_owned()),
                ("id", id.to_string()),
            ];
            if !server {
                fields.push(("ring-size", (1u32 << log2_ring_size).to_string()));
            }
            ("memif", fields)
        }
        PortKind::Pcap { read, write } => {
            let path = |path: &Option<PathBuf>| optional(&path.as_ref().map(|path| path.display()));
            ("pcap", vec![("read", path(read)), ("write", path(write))])
        }
        PortKind::Memory => ("memory", Vec::new()),
    };
    let mut fields = vec![("kind", word.to_owned())];
    fields.extend(particular);
    fields.extend([
        ("mac", optional(mac)),
        ("fast-path", fast_path.to_string()),
        ("super-packets", super_packets.to_string()),
    ]);
    named(name, *line, fields)
}

fn interface(config: &Config, of: &Interface) -> Item {
    let Interface { name, line, on, vr, zone, addresses, mtu, rpf, mss_clamp, enabled, proxy_arp } =
        of;
    let (port, vlan, tunnel, loopback) = match on {
        Attachment::Port { port, vlan } => {
            let port = config.ports.get(usize::from(*port)).map_or("?", |port| &port.name);
            (port.to_owned(), optional(vlan), String::new(), false)
        }
        Attachment::Tunnel(_) => {
            let name = config.tunnel_of(of).map_or("?", |(_, tunnel)| &tunnel.name);
            (String::new(), String::new(), name.to_owned(), false)
        }
        Attachment::Loopback => (String::new(), String::new(), String::new(), true),
    };
    let clamp = match mss_clamp {
        Some(0) => "auto".to_owned(),
        other => optional(other),
    };
    let fields = vec![
        ("port", port),
        ("vlan", vlan),
        ("tunnel", tunnel),
        ("loopback", if loopback { "true".to_owned() } else { String::new() }),
        ("virtual-router", config.virtual_router_name(*vr).to_owned()),
        ("zone", config.zone_name(*zone).to_owned()),
        ("address", joined(addresses)),
        ("mtu", mtu.to_string()),
        ("rpf", rpf.to_string()),
        ("mss-clamp", clamp),
        ("enabled", enabled.to_string()),
        ("proxy-arp", proxy_arp.to_string()),
    ];
    named(name, *line, fields)
}

fn tunnel(config: &Config, of: &Tunnel) -> Item {
    let Tunnel { name, line, interface, vr, local, remote: _, offload, kind } = of;
    let mut fields = vec![
        ("interface", config.interface_name(*interface).to_owned()),
        ("virtual-router", config.virtual_router_name(*vr).to_owned()),
        ("local", local.to_string()),
        ("remote", of.far_end().map_or_else(|| "any".to_owned(), |ip| ip.to_string())),
        ("offload", offload.to_string()),
    ];
    fields.extend(match kind {
        TunnelKind::Ipsec(ipsec) => ipsec_fields(config, ipsec),
        TunnelKind::Gre(Gre { key, checksum, sequence, outer }) => {
            let own = [
                ("key", optional(key)),
                ("checksum", checksum.to_string()),
                ("sequence", sequence.to_string()),
            ];
            own.into_iter().chain(outer_fields(outer)).collect()
        }
        TunnelKind::Remote(access) => remote_fields(config, access),
        TunnelKind::Vxlan(Vxlan { vni, port, zero_checksum, outer }) => {
            let own = [
                ("vni", vni.to_string()),
                ("port", port.to_string()),
                ("zero-checksum", zero_checksum.to_string()),
            ];
            own.into_iter().chain(outer_fields(outer)).collect()
        }
    });
    let manual = of.ipsec().and_then(Ipsec::manual);
    let secrets = match (manual, of.remote_access()) {
        (Some(of), _) => {
            vec![("out key", of.outbound.key.clone()), ("in key", of.inbound.key.clone())]
        }
        (None, Some(of)) => vec![
            ("users", esp::KeyMaterial::from_bytes(of.users.expose())),
            ("private-key", esp::KeyMaterial::from_bytes(of.tls.key.expose())),
        ],
        (None, None) => Vec::new(),
    };
    Item { secrets, ..named(name, *line, fields) }
}

fn remote_fields(config: &Config, of: &RemoteAccess) -> Fields {
    let RemoteAccess {
        addresses,
        port,
        tls:
            RemoteTls { certificate_file, key_file, certificate, key: _, ca_files, ca, crl_files, crl },
        login,
        certificate_user,
        users_file,
        users: _,
        groups,
        pools,
        dns,
        domain,
        split_dns,
        split_include,
        split_exclude,
        banner,
        message,
        dpd,
        keepalive,
        idle_timeout,
        session_timeout,
        rekey,
        reconnect_within,
        dtls,
        egress_optimisation,
        lockout: FailedLogins { per_user, per_address, period, duration },
        clients,
    } = of;
    let paths = |files: &[std::path::PathBuf]| joined(files.iter().map(|file| file.display()));
    let pool = |id| config.address_pool(id).map_or("?", |pool| pool.name.as_str());
    let time = |of: &Option<Duration>| of.map_or_else(|| "never".to_owned(), show_duration);
    // what is in the files counts, and is not shown
    let digest = |of: &[&[u8]]| {
        let sum = of.concat().iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
            (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        format!("{sum:016x}")
    };
    let lists: Vec<&[u8]> = crl.iter().map(Vec::as_slice).collect();
    vec![
        ("address", joined(addresses)),
        ("port", port.to_string()),
        ("certificate", certificate_file.display().to_string()),
        ("certificate (contents)", digest(&[certificate])),
        ("private-key", key_file.display().to_string()),
        ("ca", paths(ca_files)),
        ("ca (contents)", digest(&[ca])),
        ("crl", paths(crl_files)),
        ("crl (contents)", digest(&lists)),
        ("login", login.to_string()),
        ("certificate-user", certificate_user.to_string()),
        ("users", users_file.display().to_string()),
        ("groups", joined(groups)),
        ("pools", joined(pools.iter().map(|id| pool(*id)))),
        ("dns", joined(dns)),
        ("domain", optional(domain)),
        ("split-dns", joined(split_dns)),
        ("split-include", joined(split_include)),
        ("split-exclude", joined(split_exclude)),
        ("banner", optional(banner)),
        ("message", optional(message)),
        ("dpd", show_duration(*dpd)),
        ("keepalive", show_duration(*keepalive)),
        ("idle-timeout", time(idle_timeout)),
        ("session-timeout", time(session_timeout)),
        ("rekey", time(rekey)),
        ("reconnect-within", show_duration(*reconnect_within)),
        ("dtls", dtls.to_string()),
        ("egress-optimisation", egress_optimisation.to_string()),
        ("failed-logins", per_user.to_string()),
        ("failed-logins-of-address", per_address.to_string()),
        ("failed-within", show_duration(*period)),
        ("locked-for", show_duration(*duration)),
        ("clients", clients.to_string()),
    ]
}

fn outer_fields(OuterRules { ttl, dscp, df }: &OuterRules) -> Fields {
    vec![("ttl", ttl.to_string()), ("dscp", dscp.to_string()), ("df", df.to_string())]
}

fn ipsec_fields(config: &Config, ipsec: &Ipsec) -> Fields {
    let Ipsec {
        mode,
        selectors,
        steering,
        keying: _,
        dscp,
        df,
        fragmentation,
        pad_to,
        tfc_dummies,
        allow_null,
        egress_optimisation,
    } = ipsec;
    let mut fields = vec![
        ("mode", mode.to_string()),
        ("selectors", joined(selectors)),
        ("steering", steering.to_string()),
        ("tfc-dummies", tfc_dummies.to_string()),
        ("dscp", dscp.to_string()),
        ("df", df.to_string()),
        ("fragmentation", fragmentation.to_string()),
        ("pad-to", optional(pad_to)),
        ("allow-null", allow_null.to_string()),
        ("egress-optimisation", egress_optimisation.to_string()),
    ];
    // both kinds of keying have the same fields, so that one can be compared with the other
    fields.extend(manual_fields(ipsec.manual()));
    fields.extend(negotiated_fields(config, ipsec.negotiated()));
    fields
}

fn manual_fields(of: Option<&Manual>) -> Fields {
    let show = |field: &dyn Fn(&Manual) -> String| of.map_or_else(String::new, field);
    let encapsulation = |of: &Manual| match of.encapsulation {
        Some((local, remote)) => format!("{local} to {remote}"),
        None => "off".to_owned(),
    };
    vec![
        ("out", show(&|of| manual_sa(&of.outbound))),
        ("in", show(&|of| manual_sa(&of.inbound))),
        ("udp-encapsulation", show(&encapsulation)),
        ("nat-keepalive", show(&|of| of.nat_keepalive.map_or_else(String::new, show_duration))),
        ("esn", show(&|of| of.esn.to_string())),
        ("replay-window", show(&|of| of.replay_window.to_string())),
        ("soft-lifetime", show(&|of| lifetime(&of.soft))),
        ("hard-lifetime", show(&|of| lifetime(&of.hard))),
    ]
}

fn negotiated_fields(config: &Config, of: Option<&Negotiated>) -> Fields {
    let peer = of.map_or_else(String::new, |of| config.peer_name(of.peer).to_owned());
    let children = of.map_or_else(String::new, |of| joined(of.children.iter().map(child)));
    vec![("phase1", peer), ("phase2", children)]
}

fn child(of: &ChildSpec) -> String {
    let ChildSpec { name, line: _, selectors, proposals, mode, replay_window, soft, hard } = of;
    format!(
        "{name} {{ {}; {}; {mode}; window {replay_window}; soft {}; hard {} }}",
        if selectors.is_empty() { "everything".to_owned() } else { joined(selectors) },
        joined(proposals),
        lifetime(soft),
        lifetime(hard),
    )
}

fn manual_sa(ManualSa { line: _, spi, suite, key: _ }: &ManualSa) -> String {
    format!("spi {spi:#x} {suite}")
}

fn lifetime(esp::Lifetime { packets, bytes, seconds }: &esp::Lifetime) -> String {
    let named = [("packets", packets), ("bytes", bytes), ("seconds", seconds)];
    let set = named.into_iter().filter_map(|(name, value)| value.map(|v| format!("{v} {name}")));
    joined(set)
}

fn route(config: &Config, of: &Route) -> Item {
    let Route { destination, vr, next_hop, metric, weight, line } = of;
    let hop = match next_hop {
        NextHop::Gateway { address, interface } => {
            format!("via {address} on {}", config.interface_name(*interface))
        }
        NextHop::Interface(interface) => format!("on {}", config.interface_name(*interface)),
        NextHop::Blackhole => "blackhole".to_owned(),
    };
    let router = match config.virtual_router_name(*vr) {
        "default" => String::new(),
        name => format!(" in {name}"),
    };
    let fields = vec![("metric", metric.to_string()), ("weight", weight.to_string())];
    named(&format!("{destination} {hop}{router}"), *line, fields)
}

fn policy(config: &Config, of: &Policy) -> Item {
    let Policy {
        id,
        name,
        line,
        enabled,
        from,
        to,
        source,
        who: Who { known, users, groups },
        destination,
        services,
        schedule,
        action,
        nat: source_nat,
        offload,
        mss_clamp,
        log,
    } = of;
    let (source, source_ranges) = addresses(source);
    let (destination, destination_ranges) = addresses(destination);
    let (services, service_list) = service_set(services);
    let (schedule, schedule_meaning) = schedule_of(schedule);
    let known = known.then_some("known");
    let fields = vec![
        ("name", name.clone()),
        ("enabled", enabled.to_string()),
        ("from", zones(config, from)),
        ("to", zones(config, to)),
        ("source", source),
        ("source (resolved)", source_ranges),
        ("users", joined(known.into_iter().chain(users.iter().map(String::as_str)))),
        ("groups", joined(groups)),
        ("destination", destination),
        ("destination (resolved)", destination_ranges),
        ("service", services),
        ("service (resolved)", service_list),
        ("schedule", schedule),
        ("schedule (resolved)", schedule_meaning),
        ("action", action.to_string()),
        ("nat", nat(config, source_nat)),
        ("offload", offload.to_string()),
        ("mss-clamp", optional(mss_clamp)),
        ("log", log.to_string()),
    ];
    Item { key: id.to_string(), ..named(&format!("{id} {name}"), *line, fields) }
}

fn local(config: &Config, of: &LocalRule, zone_key: &'static str) -> Item {
    let LocalRule {
        name,
        line,
        enabled,
        zones: zone_ids,
        source,
        destination,
        services,
        action,
        schedule,
    } = of;
    let (source, source_ranges) = addresses(source);
    let (destination, destination_ranges) = addresses(destination);
    let (services, service_list) = service_set(services);
    let (schedule, schedule_meaning) = schedule_of(schedule);
    let fields = vec![
        ("enabled", enabled.to_string()),
        (zone_key, zones(config, zone_ids)),
        ("source", source),
        ("source (resolved)", source_ranges),
        ("destination", destination),
        ("destination (resolved)", destination_ranges),
        ("service", services),
        ("service (resolved)", service_list),
        ("schedule", schedule),
        ("schedule (resolved)", schedule_meaning),
        ("action", action.to_string()),
    ];
    named(name, *line, fields)
}

fn vip(config: &Config, of: &Vip) -> Item {
    let Vip { name, line, interface, external, mapped, forward } = of;
    let forward = forward.as_ref().map_or_else(String::new, |forward| {
        let proto = match forward.proto {
            wire::proto::TCP => "tcp",
            wire::proto::UDP => "udp",
            _ => "sctp",
        };
        format!("{proto} {} to {}", ports(&forward.external), forward.mapped)
    });
    let interface = interface.map_or("any", |id| config.interface_name(id));
    let fields = vec![
        ("interface", interface.to_owned()),
        ("external", external.to_string()),
        ("mapped", mapped.to_string()),
        ("forward", forward),
    ];
    named(name, *line, fields)
}

fn ports(range: &core::ops::RangeInclusive<u16>) -> String {
    match (range.start(), range.end()) {
        (first, last) if first == last => first.to_string(),
        (first, last) => format!("{first}-{last}"),
    }
}

fn pool(of: &Pool) -> Item {
    let Pool { name, line, kind, addresses, ports: range, proxy_arp } = of;
    let (word, block_size, blocks) = match kind {
        PoolKind::Overload => ("overload", None, None),
        PoolKind::OneToOne => ("one-to-one", None, None),
        PoolKind::PortBlock { block_size, blocks_per_host } => {
            ("port-block", Some(block_size), Some(blocks_per_host))
        }
    };
    let fields = vec![
        ("kind", word.to_owned()),
        ("addresses", addresses.to_string()),
        ("ports", ports(range)),
        ("block-size", optional(&block_size)),
        ("blocks-per-host", optional(&blocks)),
        ("proxy-arp", proxy_arp.to_string()),
    ];
    named(name, *line, fields)
}

fn address_pool(AddressPool { name, line, ranges, dns }: &AddressPool) -> Item {
    named(name, *line, vec![("addresses", joined(ranges)), ("dns", joined(dns))])
}

fn central(config: &Config, of: &CentralSnat) -> Item {
    let CentralSnat { name, line, from, to, source, destination, services, nat: source_nat } = of;
    let (source, source_ranges) = addresses(source);
    let (destination, destination_ranges) = addresses(destination);
    let (services, service_list) = service_set(services);
    let fields = vec![
        ("from", zones(config, from)),
        ("to", zones(config, to)),
        ("source", source),
        ("source (resolved)", source_ranges),
        ("destination", destination),
        ("destination (resolved)", destination_ranges),
        ("service", services),
        ("service (resolved)", service_list),
        ("nat", nat(config, source_nat)),
    ];
    named(name, *line, fields)
}

fn neighbour(config: &Config, of: &StaticNeighbour) -> Item {
    let StaticNeighbour { interface, address, mac, line } = of;
    let name = format!("{address} on {}", config.interface_name(*interface));
    named(&name, *line, vec![("mac", mac.to_string())])
}

fn timeouts_fields(of: &Timeouts) -> Fields {
    let Timeouts {
        tcp_syn_sent,
        tcp_syn_received,
        tcp_established,
        tcp_fin_wait,
        tcp_time_wait,
        udp_one_way,
        udp,
        icmp,
        sctp,
        generic,
        reassembly,
        neighbour_reachable,
        neighbour_stale,
    } = of;
    let show = |duration: &Duration| show_duration(*duration);
    vec![
        ("tcp-syn-sent", show(tcp_syn_sent)),
        ("tcp-syn-received", show(tcp_syn_received)),
        ("tcp-established", show(tcp_established)),
        ("tcp-fin-wait", show(tcp_fin_wait)),
        ("tcp-time-wait", show(tcp_time_wait)),
        ("udp-one-way", show(udp_one_way)),
        ("udp", show(udp)),
        ("icmp", show(icmp)),
        ("sctp", show(sctp)),
        ("generic", show(generic)),
        ("reassembly", show(reassembly)),
        ("neighbour-reachable", show(neighbour_reachable)),
        ("neighbour-stale", show(neighbour_stale)),
    ]
}

fn offload_fields(of: &Offload) -> Fields {
    let Offload {
        mode,
        after_packets,
        one_way_packets,
        egress_optimisation,
        weaken,
        audit_interval,
    } = of;
    vec![
        ("mode", mode.to_string()),
        ("after-packets", after_packets.to_string()),
        ("one-way-packets", one_way_packets.to_string()),
        ("egress-optimisation", egress_optimisation.to_string()),
        ("weaken", joined(weaken)),
        ("audit-interval", show_duration(*audit_interval)),
    ]
}

fn limits_fields(of: &Limits) -> Fields {
    let Limits {
        sessions,
        flows,
        sas,
        users,
        half_open,
        neighbours,
        neighbour_queue,
        reassembly_memory,
        fragments_per_packet,
        frames,
        super_frames,
        punt_ring,
        workers,
        busy_poll,
        punt,
        icmp_errors_per_second,
        events,
    } = of;
    let text = |value: &dyn Display| value.to_string();
    vec![
        ("sessions", text(sessions)),
        ("flows", text(flows)),
        ("sas", text(sas)),
        ("users", text(users)),
        ("half-open", text(half_open)),
        ("neighbours", text(neighbours)),
        ("neighbour-queue", text(neighbour_queue)),
        ("reassembly-memory", text(reassembly_memory)),
        ("fragments-per-packet", text(fragments_per_packet)),
        ("frames", text(frames)),
        ("super-frames", text(super_frames)),
        ("punt-ring", text(punt_ring)),
        ("workers", text(workers)),
        ("busy-poll", text(busy_poll)),
        ("punt", joined(punt.iter().map(|(cause, rate)| format!("{cause} {rate}/s")))),
        ("icmp-errors-per-second", text(icmp_errors_per_second)),
        ("events", text(events)),
    ]
}

fn anomaly_fields(of: &Anomaly) -> Fields {
    let Anomaly { syn, udp, icmp, scan } = of;
    let sensor = |sensor: &Option<Sensor>| {
        sensor.map_or_else(String::new, |Sensor { per_second, action }| {
            format!("{action} above {per_second}/s")
        })
    };
    vec![("syn", sensor(syn)), ("udp", sensor(udp)), ("icmp", sensor(icmp)), ("scan", sensor(scan))]
}
