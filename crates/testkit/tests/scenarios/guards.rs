//! Packets that open nothing, packets that lie, and tables that are full.

use lockgate_testkit::{
    expect_changes,
    office::ip,
    rig::{ALLOW, BASE, NEIGHBOURS, Rig, out_tuple},
};
use wire::{Tuple, proto};

use crate::tcp::{ACK, FIN, PSH, RST, SYN, Tcp};

const DROPPED: [(&str, i64); 4] = [
    ("port.lan0.rx-packets", 1),
    ("engine.misses", 1),
    ("punt.flow-miss", 1),
    ("interface.lan.dropped", 1),
];

#[test]
fn malformed_first_packets_have_a_reason_each() {
    for v6 in [false, true] {
        let mut rig = Rig::new(if v6 { "anomaly-v6" } else { "anomaly-v4" }, ALLOW);
        let tcp = |flags| rig.out(proto::TCP, 50_000, 80, v6).tcp(flags, 1, 1);
        let own = ip(if v6 { "2001:db8:ffff::2" } else { "203.0.113.2" });
        let host = ip(if v6 { "2001:db8:1::5" } else { "10.1.0.5" });
        let base = out_tuple(proto::UDP, 4000, 4000, v6);
        let land = Tuple { dst: host, ..base };
        let spoofed = Tuple { src: own, ..base };
        let cases = [
            ("null scan", tcp(0), "drop.anomaly-tcp-flags"),
            ("SYN and FIN", tcp(SYN | FIN), "drop.anomaly-tcp-flags"),
            ("SYN and RST", tcp(SYN | RST), "drop.anomaly-tcp-flags"),
            ("FIN alone", tcp(FIN), "drop.anomaly-tcp-flags"),
            ("christmas tree", tcp(0x3f), "drop.anomaly-tcp-flags"),
            ("ACK without a session", tcp(ACK), "drop.tcp-not-syn"),
            ("data without a session", tcp(ACK | PSH), "drop.tcp-not-syn"),
            ("RST without a session", tcp(RST), "drop.tcp-not-syn"),
            ("source is destination", rig.packet("lan0", land), "drop.anomaly-land"),
            ("the gateway's own source", rig.packet("lan0", spoofed), "drop.anomaly-spoofed"),
        ];
        for (what, packet, reason) in cases {
            rig.banner(what);
            let before = rig.snapshot();
            rig.send("lan0", &packet.payload(b""));
            rig.expect_silence();
            let changes = rig.snapshot().changes_since(&before);
            assert_eq!(changes.get(reason), Some(&1), "{what}: {changes:?}");
            let dropped: i64 =
                changes.iter().filter(|(n, _)| n.starts_with("drop.")).map(|(_, c)| c).sum();
            assert_eq!(dropped, 1, "{what}: {changes:?}");
            assert_eq!(rig.snapshot().get("session.created"), 0);
        }
    }
}

#[test]
fn a_source_that_is_not_behind_the_interface_fails_the_reverse_path_check() {
    let mut rig = Rig::new("rpf", ALLOW);
    let outside = Tuple { src: ip("198.51.100.77"), ..out_tuple(proto::UDP, 1, 2, false) };
    let before = rig.snapshot();
    rig.send("lan0", &rig.packet("lan0", outside).payload(b"x"));
    rig.expect_silence();
    expect_changes!(before, rig.snapshot(), &DROPPED, { "drop.rpf-failed" + 1 });
}

#[test]
fn frames_that_are_not_for_us_or_make_no_sense_are_counted_by_cause() {
    let mut rig = Rig::new("frames", ALLOW);
    let good = rig.out(proto::UDP, 1, 2, false).payload(b"x");
    let source_route = good.clone().ip_options(&[131, 7, 4, 192, 0, 2, 1, 0]);
    let broken = |change: fn(&mut Vec<u8>)| {
        let mut bytes = good.build();
        change(&mut bytes);
        bytes
    };
    let cases = [
        ("another's MAC", broken(|b| b[5] ^= 0xff), "drop.not-for-us"),
        ("a VLAN we do not have", good.clone().vlan(99).build(), "drop.vlan-unknown"),
        ("cut short", good.build()[..10].to_vec(), "drop.frame-too-short"),
        ("unknown ethertype", broken(|b| b[12] = 0x99), "drop.ethertype-unsupported"),
        ("header checksum", broken(|b| b[24] ^= 1), "drop.ipv4-checksum-invalid"),
        ("UDP checksum", broken(|b| b[40] ^= 1), "drop.udp-checksum-invalid"),
        ("UDP length", broken(|b| b[39] = 200), "drop.udp-header-invalid"),
        ("IP length", broken(|b| b.truncate(40)), "drop.ip-length-mismatch"),
        ("a source route", source_route.build(), "drop.ip-source-route"),
    ];
    for (what, bytes, reason) in cases {
        rig.banner(what);
        let before = rig.snapshot();
        rig.send_bytes("lan0", &bytes);
        rig.expect_silence();
        let changes = rig.snapshot().changes_since(&before);
        assert_eq!(changes.get(reason), Some(&1), "{what}: {changes:?}");
    }
}

#[test]
fn only_an_exact_reset_ends_a_session() {
    let mut rig = Rig::new("reset", ALLOW);
    let tcp = Tcp::promoted(&mut rig, 50_000, 80, false);
    assert_eq!(rig.snapshot().get("engine.flows"), 2);

    rig.banner(
        "a reset inside the window, not exact: dropped, and the session lives (RFC 5961 §3)",
    );
    let blind = rig.back(tcp.seen).tcp(RST, tcp.server + 100, 0);
    rig.send("wan0", &blind);
    let after = rig.snapshot();
    assert_eq!(after.get("drop.tcp-reset-invalid"), 1, "{after}");
    assert_eq!(after.get("sessions.forward"), 1);
    rig.forget();

    rig.banner("the exact one passes, and nothing after it");
    rig.send("wan0", &rig.back(tcp.seen).tcp(RST, tcp.server, 0));
    rig.one("lan0");
    let session = &rig.net.sessions(rig.gateway, "")[0];
    assert!(session.state.eq_ignore_ascii_case("closed"), "{}", session.state);
    assert_eq!(rig.snapshot().get("engine.flows"), 0);
    let late = rig.packet("lan0", tcp.tuple).tcp(ACK | PSH, tcp.client, tcp.server);
    rig.send("lan0", &late.payload(b"late"));
    rig.expect_silence();
    assert_eq!(rig.snapshot().get("drop.session-closed"), 1);
}

#[test]
fn a_segment_far_outside_the_window_is_dropped_on_either_tier() {
    for promoted in [false, true] {
        let more =
            if promoted { ALLOW.into() } else { format!("{ALLOW}\n[offload]\nmode = \"off\"\n") };
        let name = if promoted { "window-fast" } else { "window-slow" };
        let mut rig = Rig::new(name, &more);
        let tcp = Tcp::promoted(&mut rig, 50_000, 80, false);
        let wild = tcp.client.wrapping_add(1 << 30);
        rig.send(
            "lan0",
            &rig.packet("lan0", tcp.tuple).tcp(ACK | PSH, wild, tcp.server).payload(b"x"),
        );
        rig.expect_silence();
        let after = rig.snapshot();
        assert_eq!(after.get("drop.tcp-out-of-window"), 1, "{after}");
        assert_eq!(after.get("punt.tcp-window"), u64::from(promoted));
        assert_eq!(after.get("engine.flows"), if promoted { 2 } else { 0 });
    }
}

#[test]
fn half_open_sessions_have_a_limit_and_old_sessions_are_unharmed() {
    let mut rig = Rig::new("half-open", &format!("{ALLOW}\n[limits]\nhalf-open = 16\n"));
    let mut old = Tcp::open(&mut rig, 49_999, 80, false);
    for port in 0..16 {
        Tcp::syn(&mut rig, 50_000 + port, 80, false);
    }
    rig.send("lan0", &rig.out(proto::TCP, 50_016, 80, false).tcp(SYN, 1, 0));
    rig.expect_silence();
    let after = rig.snapshot();
    assert_eq!((after.get("drop.tcp-half-open-limit"), after.get("sessions.half-open")), (1, 16));
    old.client(&mut rig, ACK | PSH, b"still here");

    rig.banner("when they time out there is room again");
    rig.wait(core::time::Duration::from_secs(40));
    assert_eq!(rig.snapshot().get("sessions.half-open"), 0);
    Tcp::open(&mut rig, 50_016, 80, false);
}

#[test]
fn a_full_session_table_refuses_new_sessions_only() {
    let mut rig = Rig::new("table-full", &format!("{ALLOW}\n[limits]\nsessions = 64\n"));
    for port in 0..64 {
        rig.send("lan0", &rig.out(proto::UDP, 40_000 + port, 53, false).payload(b"q"));
        rig.one("wan0");
    }
    rig.send("lan0", &rig.out(proto::UDP, 41_000, 53, false).payload(b"q"));
    rig.expect_silence();
    let after = rig.snapshot();
    assert_eq!((after.get("drop.session-table-full"), after.get("sessions.forward")), (1, 64));

    rig.banner("the others go on, and are promoted");
    for _ in 0..3 {
        let flow = out_tuple(proto::UDP, 40_000, 53, false);
        rig.send("wan0", &rig.back(flow).payload(b"a"));
        rig.one("lan0");
    }
    assert_eq!(rig.snapshot().get("engine.flows"), 2);
}

#[test]
fn a_source_above_its_rate_is_blocked_and_others_are_not() {
    let more = "[anomaly]\nsyn = { per-second = 5, action = \"block\" }\n";
    let mut rig = Rig::new("syn-flood", &format!("{ALLOW}{more}"));
    for port in 0..50 {
        rig.send("lan0", &rig.out(proto::TCP, 50_000 + port, 80, false).tcp(SYN, 1, 0));
    }
    rig.forget();
    let after = rig.snapshot();
    let (blocked, passed) = (after.get("drop.anomaly-syn-flood"), after.get("session.created"));
    assert_eq!(blocked + passed, 50);
    assert!(blocked >= 40, "{blocked} of 50 were blocked");
    let other = Tuple { src: ip("10.1.0.6"), ..out_tuple(proto::TCP, 50_000, 80, false) };
    rig.send("lan0", &rig.packet("lan0", other).tcp(SYN, 1, 0));
    rig.one("wan0");
}

#[test]
fn an_interface_that_is_switched_off_takes_nothing() {
    let base = BASE.replace("zone = \"inside\"", "zone = \"inside\"\nenabled = false");
    let mut rig = Rig::with("interface-down", &format!("{NEIGHBOURS}{base}{ALLOW}"), false);
    rig.send("lan0", &rig.out(proto::UDP, 1, 2, false).payload(b"x"));
    rig.expect_silence();
    assert_eq!(rig.snapshot().get("drop.interface-down"), 1);
}

#[test]
fn punts_and_errors_have_rates() {
    let more = "[limits]\nicmp-errors-per-second = 2\npunt = { flow-miss = 40 }\n";
    let mut rig = Rig::new("rates", &format!("{ALLOW}{more}"));

    rig.banner("thirty probes at once: few errors, the others only counted");
    for port in 0..30 {
        let probe = rig.out(proto::UDP, 4000 + port, 33_434, false).ttl(1).payload(b"x");
        rig.queue("lan0", &probe);
    }
    rig.settle();
    rig.forget();
    let after = rig.snapshot();
    let (sent, limited) = (after.get("icmp.errors"), after.get("icmp.limited"));
    assert_eq!((sent + limited, after.get("drop.ttl-expired")), (30, 30), "{after}");
    assert!(limited > 0, "{after}");

    rig.banner("more first packets than the slow path is given");
    for port in 0..30 {
        rig.queue("lan0", &rig.out(proto::UDP, 5000 + port, 53, false).payload(b"x"));
    }
    rig.settle();
    let passed = rig.take("wan0").len() as u64;
    let after = rig.snapshot();
    let dropped = after.get("punt-limited.flow-miss");
    assert_eq!(passed + dropped, 30, "{after}");
    assert!(passed > 0 && dropped > 0, "{after}");
    let shown = rig.net.counters(rig.gateway);
    let row = shown.drops.iter().find(|row| row.reason.name == "punt-rate-limited");
    assert_eq!(row.map(|row| row.count), Some(dropped));
}
