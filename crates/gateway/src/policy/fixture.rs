//! Configurations for the tests of these rooms, made by hand.

use core::time::Duration;

use config::{
    Config,
    model::{
        Action, AddressSet, Anomaly, Attachment, Control, IfId, Interface, IpRange, Limits, Line,
        Offload, OffloadMode, Policy, Rpf, Service, ServiceSet, SourceNat, Timeouts, VirtualRouter,
        VrId, Zone, ZoneId,
    },
};

/// A configuration with one virtual router and nothing else.
pub(crate) fn empty() -> Config {
    let t = Duration::from_secs(60);
    Config {
        source: "test".into(),
        hostname: "test".into(),
        control: Control { socket: "ctl.sock".into(), metrics: None },
        debug: Default::default(),
        virtual_routers: vec![VirtualRouter {
            name: "default".into(),
            line: Line(0),
            offload: OffloadMode::Auto,
        }],
        ports: Vec::new(),
        interfaces: Vec::new(),
        peers: Vec::new(),
        tunnels: Vec::new(),
        zones: Vec::new(),
        routes: Vec::new(),
        policies: Vec::new(),
        local_in: Vec::new(),
        local_out: Vec::new(),
        vips: Vec::new(),
        pools: Vec::new(),
        address_pools: Vec::new(),
        central_snat: Vec::new(),
        neighbours: Vec::new(),
        timeouts: Timeouts {
            tcp_syn_sent: t,
            tcp_syn_received: t,
            tcp_established: t,
            tcp_fin_wait: t,
            tcp_time_wait: t,
            udp_one_way: t,
            udp: t,
            icmp: t,
            sctp: t,
            generic: t,
            reassembly: t,
            neighbour_reachable: t,
            neighbour_stale: t,
        },
        engine: Default::default(),
        offload: Offload {
            mode: OffloadMode::Auto,
            after_packets: 1,
            one_way_packets: 0,
            egress_optimisation: true,
            weaken: Vec::new(),
            audit_interval: t,
        },
        limits: Limits {
            sessions: 1000,
            flows: 1000,
            sas: 64,
            users: 64,
            half_open: 1000,
            neighbours: 1000,
            neighbour_queue: 3,
            reassembly_memory: 65_536,
            fragments_per_packet: 64,
            frames: 64,
            super_frames: 4,
            punt_ring: 64,
            workers: 1,
            busy_poll: 0,
            punt: Default::default(),
            icmp_errors_per_second: 100,
            events: 100,
        },
        anomaly: Anomaly::default(),
    }
}

/// Adds an interface with its own zone.
pub(crate) fn interface(config: &mut Config, name: &str, addresses: &[&str]) -> IfId {
    let id = config.interfaces.len() as u16;
    config.zones.push(Zone { name: name.into(), line: Line(0) });
    config.interfaces.push(Interface {
        name: name.into(),
        line: Line(u32::from(id) + 1),
        on: Attachment::Port { port: id, vlan: None },
        vr: VrId(0),
        zone: ZoneId(id),
        addresses: addresses.iter().map(|a| a.parse().expect("prefix")).collect(),
        mtu: 1500,
        rpf: Rpf::Strict,
        mss_clamp: None,
        enabled: true,
        proxy_arp: true,
    });
    IfId(id)
}

/// `first-last` or one address.
pub(crate) fn range(text: &str) -> IpRange {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    IpRange { first: first.parse().expect("address"), last: last.parse().expect("address") }
}

/// Every address.
pub(crate) fn any() -> AddressSet {
    AddressSet { any: true, ..AddressSet::default() }
}

/// These ranges, which must be sorted.
pub(crate) fn addresses(ranges: &[&str]) -> AddressSet {
    AddressSet { ranges: ranges.iter().map(|r| range(r)).collect(), ..AddressSet::default() }
}

/// One protocol and destination port range.
pub(crate) fn service(proto: u8, dst_ports: core::ops::RangeInclusive<u16>) -> ServiceSet {
    ServiceSet {
        services: vec![Service { proto, src_ports: 0..=u16::MAX, dst_ports }],
        ..ServiceSet::default()
    }
}

/// A policy that lets everything pass.
pub(crate) fn policy(id: u32) -> Policy {
    Policy {
        id,
        name: format!("policy-{id}"),
        line: Line(id),
        enabled: true,
        from: Vec::new(),
        to: Vec::new(),
        source: any(),
        who: Default::default(),
        destination: any(),
        services: ServiceSet { any: true, ..ServiceSet::default() },
        schedule: None,
        action: Action::Allow,
        nat: SourceNat::Off,
        offload: OffloadMode::Auto,
        mss_clamp: None,
        log: false,
    }
}
