//! Tunnels and SAs made by hand: one that works, one that is refused.

use api::*;
use reason::{DemotionReason, DropReason, NotEligible, RefusalReason};

fn ip(text: &str) -> std::net::IpAddr {
    text.parse().expect("an address")
}

pub fn tunnels() -> Response {
    let paris = TunnelView {
        name: "to-paris".into(),
        line: 40,
        kind: "ipsec".into(),
        state: "up".into(),
        since_ms: Some(3_600_000),
        peer: None,
        failure: None,
        interface: "vpn-paris".into(),
        zone: "vpn".into(),
        vr: "default".into(),
        local: ip("192.0.2.1"),
        remote: Some(ip("198.51.100.7")),
        underlay: "wan via 192.0.2.254".into(),
        mode: "tunnel".into(),
        key: None,
        vni: None,
        overhead: None,
        mac: None,
        udp: None,
        steering: "routes".into(),
        selectors: Vec::new(),
        mtu: 1438,
        path_mtu: Some(1500),
        offload: "full".into(),
        sent: Traffic { packets: 1_000, bytes: 1_200_000 },
        received: Traffic { packets: 900, bytes: 90_000 },
        errors: 0,
    };
    let oslo = TunnelView {
        name: "to-oslo".into(),
        line: 52,
        state: "no-route".into(),
        since_ms: None,
        interface: "to-oslo".into(),
        zone: "to-oslo".into(),
        local: ip("2001:db8::1"),
        remote: Some(ip("2001:db8:f::9")),
        underlay: String::new(),
        udp: Some((4500, 4500)),
        steering: "selectors".into(),
        selectors: vec!["10.1.0.0/16 -> 10.2.0.0/16".into()],
        mtu: 1400,
        path_mtu: None,
        offload: "partial".into(),
        sent: Traffic::default(),
        received: Traffic { packets: 7, bytes: 700 },
        errors: 3,
        ..paris.clone()
    };
    let rome = TunnelView {
        name: "to-rome".into(),
        line: 64,
        state: "down".into(),
        since_ms: Some(95_000),
        peer: Some("rome".into()),
        failure: Some("no answer to IKE_SA_INIT after 6 tries".into()),
        remote: None,
        underlay: String::new(),
        offload: "none".into(),
        ..paris.clone()
    };
    let gre = TunnelView {
        name: "gre-bergen".into(),
        line: 60,
        kind: "gre".into(),
        interface: "bergen".into(),
        mode: "".into(),
        key: Some(77),
        overhead: Some(28),
        mtu: 1472,
        offload: "none".into(),
        ..paris.clone()
    };
    let vxlan = TunnelView {
        name: "vx-turku".into(),
        line: 66,
        kind: "vxlan".into(),
        interface: "turku".into(),
        mode: "".into(),
        vni: Some(5001),
        overhead: Some(50),
        mac: Some("02:00:00:00:00:77".into()),
        udp: Some((4789, 4789)),
        mtu: 1450,
        offload: "none".into(),
        ..paris.clone()
    };
    let tunnels = vec![paris, oslo, gre, vxlan, rome];
    Response::Tunnels(TunnelsView { tunnels, total: 5, next: None })
}

pub fn sas() -> Response {
    let out = SaView {
        tunnel: "to-paris".into(),
        line: 40,
        direction: "out".into(),
        spi: "0x00002001".into(),
        suite: "aes256gcm16".into(),
        key_bits: 256,
        icv_bytes: 16,
        mode: "tunnel".into(),
        source: ip("192.0.2.1"),
        destination: ip("198.51.100.7"),
        udp: None,
        esn: false,
        sequence: 1_000,
        sequence_limit: Some(4_294_967_295),
        replay: None,
        overhead: Some((54, 69)),
        egress_optimisation: Some(true),
        sizes: Some(SizesView {
            path_mtu: Some(1500),
            learnt: false,
            mtu: 1438,
            df: "copy".into(),
            fragmentation: "before".into(),
            cut_before: 5,
            fragments_before: 10,
            cut_after: 0,
            fragments_after: 0,
            too_big_sent: 2,
            too_big_believed: 1,
            too_big_doubted: 0,
        }),
        reassembled: None,
        age_ms: 3_100_000,
        expiry: "soft".into(),
        limit: Some("seconds".into()),
        soft_left: LifetimeView { seconds: Some(0), ..LifetimeView::default() },
        hard_left: LifetimeView { seconds: Some(500), kilobytes: Some(4_293_767), packets: None },
        slow: Traffic { packets: 4, bytes: 400 },
        fast: Traffic { packets: 996, bytes: 1_199_600 },
        dummies: 12,
        keepalives: Some(0),
        errors: Vec::new(),
        engine: "soft".into(),
        status: PlacementStatus::Hitting,
        status_ms: 3_000_000,
        against: Vec::new(),
        refusal: None,
        demotion: Some(DemotionView {
            reason: ReasonView::of(DemotionReason::RouteChanged),
            evidence: String::new(),
            ago_ms: 3_000_500,
        }),
    };
    let incoming = SaView {
        direction: "in".into(),
        spi: "0x00001001".into(),
        source: out.destination,
        destination: out.source,
        sequence: 900,
        sequence_limit: None,
        replay: Some(ReplayView {
            window: 64,
            top: 900,
            bitmap: vec!["fffffff7".into(), "ffffffff".into()],
        }),
        overhead: None,
        egress_optimisation: None,
        sizes: None,
        reassembled: Some(4),
        expiry: "live".into(),
        limit: None,
        soft_left: LifetimeView::default(),
        hard_left: LifetimeView::default(),
        slow: Traffic { packets: 900, bytes: 90_000 },
        dummies: 0,
        keepalives: None,
        fast: Traffic::default(),
        errors: vec![ReasonCount {
            reason: ReasonView::of(DropReason::EspReplayed),
            count: 2,
            delta: None,
        }],
        status: PlacementStatus::Refused,
        refusal: Some(RefusalView {
            reason: ReasonView::of(RefusalReason::SaTableFull),
            evidence: "used=2 limit=2".into(),
            engine_words: None,
            retry: "when-room".into(),
            retry_in_ms: None,
            ago_ms: 3_000_000,
            times: 1,
        }),
        demotion: None,
        ..out.clone()
    };
    let waiting = SaView {
        tunnel: "to-oslo".into(),
        line: 52,
        spi: "0x00003001".into(),
        suite: "aes256-sha256".into(),
        mode: "transport".into(),
        udp: Some((4500, 4500)),
        esn: true,
        sequence: 0,
        sequence_limit: Some(u64::MAX),
        slow: Traffic::default(),
        fast: Traffic::default(),
        dummies: 0,
        keepalives: Some(3),
        expiry: "live".into(),
        limit: None,
        status: PlacementStatus::NotEligible,
        against: vec![FindingView {
            reason: ReasonView::of(NotEligible::NeighbourUnresolved),
            layer: "config".into(),
            evidence: "no packet was sent that way yet".into(),
        }],
        demotion: None,
        ..out.clone()
    };
    Response::Sas(SasView { sas: vec![out, incoming, waiting], total: 3, next: None })
}
