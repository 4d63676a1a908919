//! Views made by hand: a small office behind one gateway.

use api::*;
use reason::{DemotionReason, DropReason, NotEligible, PuntCause, RefusalReason};

fn ip(text: &str) -> std::net::IpAddr {
    text.parse().expect("an address")
}

pub fn tuple(proto: u8, src: &str, src_port: u16, dst: &str, dst_port: u16) -> TupleView {
    TupleView { src: ip(src), dst: ip(dst), src_port, dst_port, proto }
}

fn traffic(packets: u64, bytes: u64) -> Traffic {
    Traffic { packets, bytes }
}

fn rule(kind: &'static str, id: Option<u32>, name: &str, line: u32) -> RuleRef {
    RuleRef { kind: kind.into(), id, name: name.into(), line }
}

fn count<R: reason::Reason>(reason: R, count: u64, delta: Option<u64>) -> ReasonCount {
    ReasonCount { reason: ReasonView::of(reason), count, delta }
}

fn since(ms: u64) -> FactView {
    FactView { holds: true, for_ms: Some(ms) }
}

fn not() -> FactView {
    FactView::default()
}

pub fn ports() -> Response {
    let port = |name: &str, link: &'static str, dropped| PortView {
        name: name.into(),
        attachment: "packet".into(),
        device: format!("{name}0"),
        line: 4,
        mac: "02:00:5e:10:00:01".into(),
        link: link.into(),
        fast_path: true,
        takes: vec!["csum".into(), "tso4".into()],
        interfaces: vec![name.into(), format!("{name}.20")],
        rx: PortCountersView {
            packets: 1_203_400,
            bytes: 1_402_000_000,
            dropped,
            errors: 0,
            super_packets: 40,
        },
        tx: PortCountersView { packets: 812, bytes: 64_000, ..Default::default() },
    };
    Response::Ports(PortsView { ports: vec![port("lan", "up", 0), port("wan", "down", 12)] })
}

pub fn interfaces() -> Response {
    let lan = InterfaceView {
        name: "lan".into(),
        port: "lan".into(),
        line: 12,
        vr: "default".into(),
        zone: "inside".into(),
        addresses: vec!["10.1.0.1/24".into(), "2001:db8:1::1/64".into()],
        mac: "02:00:5e:10:00:01".into(),
        mtu: 1500,
        rpf: "strict".into(),
        enabled: true,
        link: "up".into(),
        ..Default::default()
    };
    let wan = InterfaceView {
        name: "wan.20".into(),
        port: "wan".into(),
        vlan: Some(20),
        zone: "outside".into(),
        addresses: vec!["203.0.113.1/24".into()],
        mss_clamp: Some(1452),
        enabled: false,
        proxy_arp: true,
        line: 20,
        ..lan.clone()
    };
    Response::Interfaces(InterfacesView { interfaces: vec![lan, wan] })
}

fn session() -> SessionView {
    SessionView {
        id: 1868,
        vr: "default".into(),
        original: tuple(6, "10.1.1.5", 51_000, "8.8.8.8", 443),
        reply: tuple(6, "8.8.8.8", 443, "203.0.113.2", 51_000),
        state: "established".into(),
        user: Some("alice".into()),
        groups: vec!["admins".into(), "staff".into()],
        policy: rule("policy", Some(12), "lan-out", 88),
        snat: Some(TranslationView {
            address: ip("203.0.113.2"),
            port: 51_000,
            rule: rule("pool", None, "office", 40),
        }),
        dnat: None,
        ingress: "lan".into(),
        egress: "wan".into(),
        from_zone: "inside".into(),
        to_zone: "outside".into(),
        next_hop: Some(ip("203.0.113.254")),
        reply_next_hop: Some(ip("10.1.1.5")),
        age_ms: 35_000,
        idle_ms: 200,
        expires_ms: 7_440_000,
        timeout_ms: 7_440_000,
        original_traffic: TierTraffic {
            fast: traffic(1_200_000, 1_700_000_000),
            slow_established: traffic(1, 52),
            slow_setup: traffic(1, 60),
        },
        reply_traffic: TierTraffic {
            slow_established: traffic(600_000, 31_000_000),
            ..Default::default()
        },
        mtu: 1500,
        mss_clamp: None,
        offload: OffloadWord::Partial,
        offload_reasons: vec!["table-full".into()],
        placements: Vec::new(),
    }
}

fn placements() -> Vec<PlacementView> {
    let hitting = PlacementView {
        direction: DirectionView::Original,
        engine: "soft".into(),
        status: PlacementStatus::Hitting,
        eligible: since(34_900),
        installed: since(34_700),
        hitting: since(34_600),
        installed_by_packet: Some(3),
        traffic: traffic(1_200_000, 1_700_000_000),
        last_hit_ms: Some(200),
        against: Vec::new(),
        refusal: None,
        demotion: None,
    };
    let refused = PlacementView {
        direction: DirectionView::Reply,
        status: PlacementStatus::Refused,
        installed: not(),
        hitting: not(),
        installed_by_packet: None,
        traffic: Traffic::default(),
        last_hit_ms: None,
        refusal: Some(RefusalView {
            reason: ReasonView::of(RefusalReason::TableFull),
            evidence: "used=65536 limit=65536".into(),
            engine_words: None,
            retry: "when-room".into(),
            retry_in_ms: None,
            ago_ms: 900,
            times: 4,
        }),
        demotion: Some(DemotionView {
            reason: ReasonView::of(DemotionReason::PolicyChanged),
            evidence: "epoch 41 -> 42".into(),
            ago_ms: 14_000,
        }),
        ..hitting.clone()
    };
    let finding = |reason, evidence: &str| FindingView {
        reason: ReasonView::of(reason),
        layer: "core".into(),
        evidence: evidence.into(),
    };
    let not_eligible = PlacementView {
        engine: "xfrm-packet".into(),
        status: PlacementStatus::NotEligible,
        eligible: not(),
        against: vec![
            finding(NotEligible::NeighbourUnresolved, "nexthop=10.1.1.5 state=incomplete"),
            finding(NotEligible::TcpWindowUnchecked, ""),
        ],
        refusal: None,
        demotion: None,
        ..refused.clone()
    };
    vec![hitting, refused, not_eligible]
}

fn dns() -> SessionView {
    SessionView {
        id: 1902,
        original: tuple(17, "2001:db8:1::5", 5353, "2001:db8:2::9", 53),
        reply: tuple(17, "2001:db8:2::9", 53, "2001:db8:1::5", 5353),
        state: "one-way".into(),
        user: None,
        groups: Vec::new(),
        policy: rule("local-in", None, "dns", 120),
        snat: None,
        egress: String::new(),
        age_ms: 80,
        idle_ms: 80,
        original_traffic: TierTraffic { slow_setup: traffic(1, 72), ..Default::default() },
        reply_traffic: TierTraffic::default(),
        offload: OffloadWord::None,
        offload_reasons: vec!["awaiting-reply".into(), "local-destination".into()],
        ..session()
    }
}

pub fn sessions() -> Response {
    let list = vec![session(), dns()];
    Response::Sessions(SessionsView {
        sessions: list,
        total: 48_213,
        scanned: 512,
        next: Some(512),
    })
}

pub fn sessions_offload() -> Response {
    let session = SessionView { placements: placements(), ..session() };
    Response::Sessions(SessionsView { sessions: vec![session], total: 1, scanned: 1, next: None })
}

pub fn session_summary() -> Response {
    let state = |proto: &'static str, state: &'static str, sessions| StateCount {
        proto: proto.into(),
        state: state.into(),
        sessions,
    };
    Response::SessionSummary(SessionSummaryView {
        sessions: 48_213,
        capacity: 1_000_000,
        half_open: 17,
        half_open_limit: 20_000,
        created: 1_934_000,
        ended: 1_885_787,
        setup_per_second: 812,
        counted_ms: Some(4_000),
        by_state: vec![state("tcp", "established", 40_000), state("udp", "one-way", 8_213)],
        not_offloaded: 9_000,
        partly_offloaded: 13,
        offloaded: 39_200,
        installed_flows: 78_413,
        hitting_flows: 77_002,
    })
}

fn policy() -> PolicyView {
    PolicyView {
        table: "forward".into(),
        id: Some(12),
        name: "lan-out".into(),
        line: 88,
        enabled: true,
        from: vec!["inside".into()],
        to: vec!["outside".into()],
        source: vec!["office-net".into()],
        users: Vec::new(),
        groups: Vec::new(),
        destination: Vec::new(),
        services: vec!["https".into(), "dns".into()],
        schedule: None,
        in_force: true,
        action: "allow".into(),
        nat: "office".into(),
        offload: "auto".into(),
        never_offloads: Vec::new(),
        log: true,
        hits: 1_204,
        sessions: 73,
        traffic: traffic(2_400_000, 3_100_000_000),
        last_hit_ms: Some(40),
    }
}

pub fn policies() -> Response {
    let helper = PolicyView {
        id: Some(20),
        name: "voice".into(),
        users: vec!["alice".into()],
        groups: vec!["staff".into()],
        schedule: Some("office-hours".into()),
        in_force: false,
        never_offloads: vec![FindingView {
            reason: ReasonView::of(NotEligible::DisabledByPolicy),
            layer: "config".into(),
            evidence: "offload = \"off\"".into(),
        }],
        offload: "off".into(),
        last_hit_ms: None,
        ..policy()
    };
    let ping = PolicyView {
        table: "local-in".into(),
        id: None,
        name: "ping".into(),
        nat: "off".into(),
        line: 140,
        ..policy()
    };
    let policies = vec![policy(), helper, ping];
    Response::Policies(PoliciesView { policies, total: 3, next: None })
}

pub fn policy_lookup() -> Response {
    Response::PolicyLookup(Box::new(PolicyLookupView {
        policy: None,
        action: "deny".into(),
        reason: Some(ReasonView::of(DropReason::ImplicitDeny)),
        ingress: "wan".into(),
        from_zone: "outside".into(),
        egress: "lan".into(),
        to_zone: "inside".into(),
        user: Some("alice (admins, staff)".into()),
        dnat: Some(rule("vip", None, "web", 60)),
        destination: ip("10.1.1.80"),
        destination_port: 8080,
        route: Some(rule("route", None, "10.1.1.0/24", 0)),
        near_misses: vec![
            NearMissView {
                rule: rule("policy", Some(14), "web-in", 96),
                failed: vec!["service".into()],
            },
            NearMissView {
                rule: rule("policy", Some(12), "lan-out", 88),
                failed: vec!["from".into(), "to".into(), "source".into()],
            },
        ],
    }))
}

pub fn routes() -> Response {
    let hop = |gateway: &str, neighbour: &'static str| NextHopView {
        gateway: Some(ip(gateway)),
        interface: "wan".into(),
        weight: 1,
        neighbour: neighbour.into(),
    };
    let default = RouteView {
        vr: "default".into(),
        destination: "0.0.0.0/0".into(),
        origin: "static".into(),
        metric: 10,
        next_hops: vec![hop("203.0.113.254", "reachable"), hop("203.0.113.253", "incomplete")],
        line: 52,
        active: true,
    };
    let sink = RouteView {
        destination: "192.0.2.0/24".into(),
        origin: "blackhole".into(),
        next_hops: Vec::new(),
        active: false,
        line: 55,
        ..default.clone()
    };
    let routes = vec![default, sink];
    Response::Routes(RoutesView { lookup: None, routes, total: 900_000, next: Some(2) })
}

pub fn route_lookup() -> Response {
    let lookup = Some(ip("198.51.100.7"));
    Response::Routes(RoutesView { lookup, ..Default::default() })
}

pub fn neighbours() -> Response {
    let resolved = NeighbourView {
        interface: "wan".into(),
        address: ip("203.0.113.254"),
        mac: Some("02:00:5e:00:00:fe".into()),
        state: "reachable".into(),
        confirmed_ms: Some(12_000),
        held: 0,
        flows: 73,
        line: 0,
    };
    let missing = NeighbourView {
        interface: "lan".into(),
        address: ip("10.1.1.5"),
        mac: None,
        state: "incomplete".into(),
        confirmed_ms: None,
        held: 3,
        flows: 1,
        line: 0,
    };
    let neighbours = vec![missing, resolved];
    Response::Neighbours(NeighboursView { neighbours, total: 2, capacity: 4096, next: None })
}

pub fn nat_vips() -> Response {
    Response::NatVips(NatVipsView {
        vips: vec![VipView {
            name: "web".into(),
            line: 60,
            interface: Some("wan".into()),
            external: "203.0.113.10".into(),
            mapped: "10.1.1.80".into(),
            proto: Some("tcp".into()),
            external_ports: Some("80".into()),
            mapped_ports: Some("8080".into()),
            hits: 912,
        }],
    })
}

pub fn nat_pools() -> Response {
    let overload = PoolView {
        name: "office".into(),
        mode: "overload".into(),
        line: 40,
        addresses: "203.0.113.2".into(),
        ports: "1024-65535".into(),
        ports_total: 64_512,
        tcp_used: 1_200,
        udp_used: 60_000,
        sessions: 61_200,
        exhausted: 2,
        ..Default::default()
    };
    let blocks = PoolView {
        name: "cgn".into(),
        mode: "port-block".into(),
        line: 46,
        addresses: "203.0.113.16-203.0.113.31".into(),
        ports: "1024-65535".into(),
        block_size: Some(512),
        blocks_per_host: Some(4),
        ports_total: 1_032_192,
        tcp_used: 900,
        hosts: 30,
        sessions: 900,
        blocks_used: 31,
        blocks_total: 2_016,
        removed: true,
        ..Default::default()
    };
    Response::NatPools(NatPoolsView { pools: vec![overload, blocks] })
}

pub fn engines() -> Response {
    Response::Engines(EnginesView {
        engines: vec![EngineView {
            profile: "np7".into(),
            sas: 2,
            sa_capacity: 4_096,
            name: "soft".into(),
            state: "running".into(),
            capabilities: vec!["ipv4".into(), "ipv6".into(), "nat".into(), "tcp-window".into()],
            workers: 1,
            flows: 78_413,
            flow_capacity: 2_000_000,
            adjacencies: 12,
            adjacency_capacity: 4_096,
            retiring: 3,
            hits: 9_900_000,
            misses: 100_000,
            forwarded: traffic(9_800_000, 11_000_000_000),
            bursts: 412_000,
            installed: 91_000,
            removed: 12_587,
            evicted: 4,
            refusals: vec![count(RefusalReason::TableFull, 4, None)],
            demotions: vec![count(DemotionReason::PolicyChanged, 812, None)],
            punts: vec![PuntView {
                cause: ReasonView::of(PuntCause::FlowMiss),
                packets: 100_000,
                ring_full: 0,
                limited: 12,
                limit_per_second: Some(50_000),
            }],
            punt_depth: 2,
            punt_capacity: 1_024,
            memory_bytes: 268_000_000,
            audit: AuditView { passes: 40, last_ms: Some(9_000), found: 0, repaired: 0 },
        }],
    })
}

pub fn offload_reasons() -> Response {
    let standing = |reason: ReasonView, sessions| OffloadReasonView {
        reason,
        engine: "soft".into(),
        sessions,
    };
    Response::OffloadReasons(OffloadReasonsView {
        sessions: 48_213,
        flows: 78_413,
        standing: vec![
            standing(ReasonView::of(NotEligible::AwaitingReply), 8_213),
            standing(ReasonView::of(RefusalReason::TableFull), 4),
        ],
        refusals: vec![count(RefusalReason::TableFull, 4, None)],
        demotions: vec![count(DemotionReason::PolicyChanged, 812, None)],
    })
}

pub fn counters() -> Response {
    let step = |tier: &'static str, packets, ns| LadderStep {
        tier: tier.into(),
        engine: (tier == "fast").then(|| "soft".into()),
        traffic: traffic(packets, packets * 900),
        delta: Some(traffic(packets / 10, packets * 90)),
        ns_per_packet: ns,
    };
    Response::Counters(CountersView {
        since_ms: 7_200_000,
        delta_since_ms: Some(60_000),
        ladder: vec![
            step("fast", 9_800_000, Some(98.4)),
            step("slow-established", 180_000, None),
            step("slow-setup", 20_000, None),
        ],
        drops: vec![count(DropReason::ImplicitDeny, 4_120, Some(12))],
        punts: vec![count(PuntCause::FlowMiss, 100_000, Some(9_000))],
        counters: vec![CounterView {
            group: "reassembly".into(),
            name: "packets-completed".into(),
            unit: "packets".into(),
            value: 40,
            delta: Some(1),
            help: "Packets put together from fragments.".into(),
        }],
    })
}

pub fn system() -> Response {
    Response::System(SystemView {
        hostname: "branch-7".into(),
        version: "0.1.0".into(),
        uptime_ms: 1_051_200_000,
        config: ConfigStateView {
            source: "/etc/lockgate/lockgate.toml".into(),
            generation: 3,
            applied_ms: 61_000,
            reverts_in_ms: Some(240_000),
            last_failure: Some("configuration refused: line 4: no such zone".into()),
        },
        cpu: "Example CPU, 2 cores, aes avx2".into(),
        busy: vec![0.42],
        resident_bytes: Some(412_000_000),
        tables: vec![
            TableView {
                name: "sessions".into(),
                used: 48_213,
                capacity: 1_000_000,
                peak: Some(61_200),
                memory_bytes: Some(180_000_000),
            },
            TableView {
                name: "reassembly".into(),
                used: 950,
                capacity: 1_000,
                peak: None,
                memory_bytes: None,
            },
        ],
        capabilities: vec!["CAP_NET_ADMIN".into(), "CAP_NET_RAW".into()],
    })
}

pub fn anomaly() -> Response {
    let sensor = |name: &'static str, action: &'static str, reason| SensorView {
        name: name.into(),
        action: action.into(),
        per_second: 200,
        reason: ReasonView::of(reason),
        dropped: 1_812,
        top: vec![SensorSourceView { source: ip("10.1.1.66"), per_second: 900 }],
    };
    let off = SensorView {
        dropped: 0,
        top: Vec::new(),
        per_second: 0,
        ..sensor("scan", "off", DropReason::AnomalyPortScan)
    };
    Response::Anomaly(AnomalyView {
        sensors: vec![sensor("syn", "block", DropReason::AnomalySynFlood), off],
        checks: vec![count(DropReason::AnomalyLand, 3, None)],
    })
}

fn phase(stage: Stage, looked_at: &str, decided_by: Option<RuleRef>, detail: &str) -> Phase {
    Phase {
        stage,
        looked_at: looked_at.into(),
        decided_by,
        result: PhaseResult::Continue,
        reason: None,
        nanos: 210,
        detail: detail.into(),
    }
}

fn setup_phases() -> Vec<Phase> {
    let lan_out = rule("policy", Some(12), "lan-out", 88);
    let session = Phase {
        result: PhaseResult::Miss,
        ..phase(Stage::Session, "tcp 10.1.1.5:51000 -> 8.8.8.8:443", None, "")
    };
    vec![
        phase(Stage::Ingress, "eth+ipv4+tcp len=60", Some(rule("interface", None, "lan", 12)), ""),
        session,
        phase(Stage::Anomaly, "flags=S", None, "nothing against it"),
        phase(Stage::Rpf, "src=10.1.1.5 strict", None, "10.1.1.0/24 dev lan"),
        phase(Stage::Dnat, "dst=8.8.8.8:443", None, "no VIP"),
        phase(
            Stage::Route,
            "dst=8.8.8.8 vr=default",
            Some(rule("route", None, "0.0.0.0/0", 52)),
            "via 203.0.113.254 dev wan",
        ),
        phase(Stage::Policy, "inside -> outside", Some(lan_out), "allow"),
    ]
}

pub fn explain_session() -> Response {
    let step =
        |at_ms, direction, step: &'static str, reason: Option<&'static str>, evidence: &str| {
            HistoryView {
                at_ms,
                direction,
                engine: direction.map(|_| "soft".into()),
                step: step.into(),
                reason: reason.map(Into::into),
                evidence: evidence.into(),
            }
        };
    let (original, reply) = (Some(DirectionView::Original), Some(DirectionView::Reply));
    Response::Explained(Box::new(ExplainView {
        session: SessionView { placements: placements(), ..session() },
        direction: None,
        phases: setup_phases(),
        history: vec![
            step(100, None, "not-eligible", Some("not-established"), ""),
            step(300, original, "installed", None, "packet 3"),
            step(21_000, reply, "demoted", Some("policy-changed"), "epoch 41 -> 42"),
            step(21_100, reply, "refused", Some("table-full"), "used=65536 limit=65536"),
        ],
        history_lost: 2,
        remedies: vec![RemedyView {
            reason: ReasonView::of(RefusalReason::TableFull),
            direction: reply,
            engine: Some("soft".into()),
            retry_in_ms: Some(4_000),
            retry: "when the engine has room".into(),
        }],
        others: 3,
    }))
}

pub fn explain_flow() -> Response {
    Response::Explained(Box::new(ExplainView {
        session: dns(),
        direction: Some(DirectionView::Reply),
        phases: Vec::new(),
        history: Vec::new(),
        history_lost: 0,
        remedies: Vec::new(),
        others: 0,
    }))
}

fn trace(phases: Vec<Phase>) -> TraceView {
    let missing = first_missing_phase(&phases);
    TraceView {
        number: 1,
        origin: TraceOrigin::Simulated,
        uptime_ms: 61_250,
        ingress: "lan".into(),
        egress: "wan".into(),
        tuple: Some(tuple(6, "10.1.1.5", 51_000, "8.8.8.8", 443)),
        translated: Some(tuple(6, "203.0.113.2", 51_000, "8.8.8.8", 443)),
        summary: "tcp 10.1.1.5:51000 -> 8.8.8.8:443 [S] len 60".into(),
        length: 60,
        tier: "slow-setup".into(),
        session: None,
        direction: Some(DirectionView::Original),
        phases,
        first_missing_phase: missing,
        action: TraceAction::Forwarded,
        reason: None,
        offload: None,
    }
}

pub fn trace_forwarded() -> Response {
    let mut phases = setup_phases();
    let offload = Phase {
        reason: Some(ReasonView::of(NotEligible::NotEstablished)),
        ..phase(Stage::Offload, "soft: 9 checks", None, "not-established, awaiting-reply")
    };
    phases.extend([
        phase(
            Stage::Snat,
            "pool office",
            Some(rule("pool", None, "office", 40)),
            "203.0.113.2:51000",
        ),
        phase(Stage::Admit, "", None, "a session would be made"),
        offload,
        phase(Stage::Neighbour, "203.0.113.254 dev wan", None, "reachable 02:00:5e:00:00:fe"),
        phase(Stage::Transmit, "len=60 mtu=1500", None, "ttl 64 -> 63"),
    ]);
    let against = [NotEligible::NotEstablished, NotEligible::AwaitingReply];
    let offload = OffloadVerdict {
        engine: "soft".into(),
        status: PlacementStatus::NotEligible,
        against: against.map(ReasonView::of).into(),
    };
    Response::Trace(Box::new(TraceView { offload: Some(offload), ..trace(phases) }))
}

fn dropped() -> TraceView {
    let mut phases = setup_phases();
    let reason = ReasonView::of(DropReason::PolicyDeny);
    if let Some(policy) = phases.last_mut() {
        policy.result = PhaseResult::Drop;
        policy.decided_by = Some(rule("policy", Some(10), "no-telnet", 80));
        policy.reason = Some(reason.clone());
        policy.detail = "deny".into();
    }
    TraceView {
        action: TraceAction::Dropped,
        reason: Some(reason),
        egress: String::new(),
        translated: None,
        ..trace(phases)
    }
}

pub fn trace_dropped() -> Response {
    Response::Trace(Box::new(dropped()))
}

pub fn trace_polled() -> Response {
    let hit = Phase {
        result: PhaseResult::Hit,
        ..phase(Stage::FastPath, "flow table", None, "soft: session 1868 original")
    };
    let fast = TraceView {
        number: 2,
        origin: TraceOrigin::Live,
        tier: "fast".into(),
        session: Some(1868),
        ..trace(vec![hit, phase(Stage::Transmit, "", None, "")])
    };
    let slow = TraceView { origin: TraceOrigin::Live, ..dropped() };
    let packets = vec![slow, fast];
    Response::TracePolled(TracePolledView {
        trace: 1,
        packets,
        matched: 1_902,
        lost: 1_900,
        done: true,
    })
}
