//! A small configuration for unit tests: one port, interfaces `lan` and `wan`, roomy limits.

use core::time::Duration;
use std::{collections::BTreeMap, path::PathBuf};

use config::{
    Config,
    model::{
        Anomaly, Attachment, Control, Interface, Limits, Line, Offload, OffloadMode, Port,
        PortKind, Rpf, Timeouts, VirtualRouter, VrId, Zone, ZoneId,
    },
};

/// The configuration.
pub(crate) fn config() -> Config {
    let minute = Duration::from_secs(60);
    Config {
        source: "test".into(),
        hostname: "test".into(),
        control: Control { socket: PathBuf::new(), metrics: None },
        debug: Default::default(),
        virtual_routers: vec![VirtualRouter {
            name: "default".into(),
            line: Line(0),
            offload: OffloadMode::Auto,
        }],
        ports: vec![Port {
            name: "p0".into(),
            line: Line(1),
            kind: PortKind::Memory,
            mac: None,
            fast_path: true,
            super_packets: true,
        }],
        interfaces: vec![interface("lan", 1, "10.0.0.1/24"), interface("wan", 2, "192.0.2.1/24")],
        peers: Vec::new(),
        tunnels: Vec::new(),
        zones: vec![Zone { name: "all".into(), line: Line(0) }],
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
            tcp_syn_sent: minute,
            tcp_syn_received: minute,
            tcp_established: minute,
            tcp_fin_wait: minute,
            tcp_time_wait: minute,
            udp_one_way: minute,
            udp: minute,
            icmp: minute,
            sctp: minute,
            generic: minute,
            reassembly: Duration::from_secs(30),
            neighbour_reachable: Duration::from_secs(30),
            neighbour_stale: minute,
        },
        engine: Default::default(),
        offload: Offload {
            mode: OffloadMode::Auto,
            after_packets: 2,
            one_way_packets: 0,
            egress_optimisation: true,
            weaken: Vec::new(),
            audit_interval: minute,
        },
        limits: Limits {
            sessions: 1000,
            flows: 1000,
            sas: 64,
            users: 64,
            half_open: 100,
            neighbours: 64,
            neighbour_queue: 3,
            reassembly_memory: 1 << 20,
            fragments_per_packet: 64,
            frames: 100,
            super_frames: 10,
            punt_ring: 100,
            workers: 1,
            busy_poll: 0,
            punt: BTreeMap::new(),
            icmp_errors_per_second: 100,
            events: 100,
        },
        anomaly: Anomaly::default(),
    }
}

/// An untagged or tagged interface of the first port.
pub(crate) fn interface(name: &str, vlan: u16, address: &str) -> Interface {
    Interface {
        name: name.into(),
        line: Line(0),
        on: Attachment::Port { port: 0, vlan: Some(vlan) },
        vr: VrId(0),
        zone: ZoneId(0),
        addresses: vec![address.parse().unwrap()],
        mtu: 1500,
        rpf: Rpf::Strict,
        mss_clamp: None,
        enabled: true,
        proxy_arp: true,
    }
}
