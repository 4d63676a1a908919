//! Every reason a session can be kept off the engine for, one gateway each; several at once; refusals.

use lockgate_testkit::{
    office::ip,
    rig::{ALLOW, BASE, NEIGHBOURS, Rig, out_tuple},
};
use wire::{Tuple, proto};

use crate::tcp::{ACK, FIN, Tcp};

/// Whether `show offload reasons` counts a reason for one session at least.
fn counted(rig: &mut Rig, reason: &str) -> bool {
    let view = rig.net.offload_reasons(rig.gateway);
    let row = view.standing.iter().find(|row| row.reason.name == reason);
    row.is_some_and(|row| row.sessions >= 1)
}

/// The reasons that stand against the only session, as the session's view names them.
fn against(rig: &mut Rig) -> Vec<String> {
    let sessions = rig.net.sessions(rig.gateway, "");
    assert_eq!(sessions.len(), 1);
    sessions[0].offload_reasons.iter().map(ToString::to_string).collect()
}

/// Asserts that exactly this reason stands, in every view, and that the engine has nothing.
fn only(rig: &mut Rig, reason: &str) {
    assert_eq!(against(rig), [reason]);
    assert!(counted(rig, reason), "{reason} is not counted");
    let snapshot = rig.snapshot();
    assert_eq!(snapshot.get(&format!("not-eligible.{reason}")), 1);
    assert_eq!(snapshot.sum("not-eligible."), 1);
    assert_eq!(snapshot.get("engine.flows"), 0);
}

/// Five packets each way.
fn exchange(rig: &mut Rig, flow: Tuple) {
    for _ in 0..5 {
        rig.send("lan0", &rig.packet("lan0", flow).payload(b"x"));
        let seen = rig.one_tuple("wan0");
        rig.send("wan0", &rig.back(seen).payload(b"x"));
        rig.one("lan0");
    }
}

#[test]
fn not_established_until_the_handshake_is_complete() {
    let mut rig =
        Rig::new("b1-not-established", &format!("{ALLOW}\n[offload]\nafter-packets = 1\n"));
    let mut tcp = Tcp::syn(&mut rig, 50_000, 80, false);
    tcp.syn_ack(&mut rig);
    tcp.syn_ack_again(&mut rig);
    assert!(against(&mut rig).contains(&"not-established".to_owned()));
    assert!(counted(&mut rig, "not-established"));
    tcp.client(&mut rig, ACK, b"");
    assert_eq!(rig.snapshot().get("not-eligible.not-established"), 0);
    assert_eq!(rig.snapshot().get("engine.flows"), 2);
}

#[test]
fn tcp_closing_from_the_first_fin_on() {
    let mut rig = Rig::new("b1-tcp-closing", ALLOW);
    let mut tcp = Tcp::promoted(&mut rig, 50_000, 80, false);
    tcp.client(&mut rig, ACK | FIN, b"");
    tcp.server(&mut rig, ACK, b"");
    only(&mut rig, "tcp-closing");
}

#[test]
fn awaiting_reply_and_below_packet_threshold_pass_by_themselves() {
    let mut rig = Rig::new("b1-passing", ALLOW);
    let flow = out_tuple(proto::UDP, 4000, 53, false);
    rig.send("lan0", &rig.packet("lan0", flow).payload(b"x"));
    rig.send("lan0", &rig.packet("lan0", flow).payload(b"x"));
    rig.forget();
    assert!(counted(&mut rig, "awaiting-reply"));
    assert!(counted(&mut rig, "below-packet-threshold"));
    exchange(&mut rig, flow);
    assert_eq!(rig.snapshot().get("engine.flows"), 2);
    assert!(!counted(&mut rig, "awaiting-reply"));
    assert!(!counted(&mut rig, "below-packet-threshold"));
}

#[test]
fn local_destination_for_what_ends_at_the_gateway() {
    let more = "[[local-in]]\nname = \"ping\"\nservice = \"ping\"\naction = \"allow\"\n";
    let mut rig = Rig::new("b1-local-destination", more);
    let ping = Tuple { dst: ip("10.1.0.1"), ..out_tuple(proto::ICMP, 7, 0, false) };
    for seq in 0..6 {
        rig.send("lan0", &rig.packet("lan0", ping).echo_seq(seq).payload(b"x"));
        rig.one("lan0");
    }
    assert!(against(&mut rig).contains(&"local-destination".to_owned()));
    assert!(counted(&mut rig, "local-destination"));
    assert_eq!(rig.snapshot().get("engine.flows"), 0);
}

#[test]
fn disabled_by_policy() {
    let mut rig = Rig::new("b1-policy", &format!("{ALLOW}offload = \"off\"\n"));
    exchange(&mut rig, out_tuple(proto::UDP, 4000, 53, false));
    only(&mut rig, "disabled-by-policy");
}

#[test]
fn disabled_by_virtual_router() {
    let more = "[[virtual-router]]\nname = \"default\"\noffload = \"off\"\n";
    let mut rig = Rig::new("b1-virtual-router", &format!("{ALLOW}{more}"));
    exchange(&mut rig, out_tuple(proto::UDP, 4000, 53, false));
    only(&mut rig, "disabled-by-virtual-router");
}

#[test]
fn disabled_globally() {
    let mut rig = Rig::new("b1-global", &format!("{ALLOW}[offload]\nmode = \"off\"\n"));
    exchange(&mut rig, out_tuple(proto::UDP, 4000, 53, true));
    only(&mut rig, "disabled-globally");
}

#[test]
fn interface_without_engine() {
    let base = BASE.replacen("kind = \"memory\"", "kind = \"memory\"\nfast-path = false", 1);
    let config = format!("{NEIGHBOURS}{base}{ALLOW}");
    let mut rig = Rig::with("b1-interface", &config, false);
    exchange(&mut rig, out_tuple(proto::UDP, 4000, 53, false));
    only(&mut rig, "interface-without-engine");
}

#[test]
fn protocol_unsupported() {
    for v6 in [false, true] {
        let mut rig = Rig::new(if v6 { "b1-protocol-v6" } else { "b1-protocol-v4" }, ALLOW);
        let ospf = out_tuple(89, 0, 0, v6);
        for _ in 0..5 {
            rig.send("lan0", &rig.packet("lan0", ospf).raw().payload(&[2; 40]));
            assert_eq!(rig.one_tuple("wan0"), ospf);
            rig.send("wan0", &rig.back(ospf).raw().payload(&[2; 40]));
            rig.one("lan0");
        }
        only(&mut rig, "protocol-unsupported");
    }
}

#[test]
fn ip_options() {
    let mut rig = Rig::new("b1-options", ALLOW);
    let flow = out_tuple(proto::UDP, 4000, 53, false);
    for _ in 0..5 {
        // Three no-operations and the end of the list (RFC 791 §3.1).
        rig.send("lan0", &rig.packet("lan0", flow).ip_options(&[1, 1, 1, 0]).payload(b"x"));
        rig.one("wan0");
        rig.send("wan0", &rig.back(flow).payload(b"x"));
        rig.one("lan0");
    }
    only(&mut rig, "ip-options");
}

#[test]
fn fragment() {
    let mut rig = Rig::new("b1-fragment", ALLOW);
    let flow = out_tuple(proto::UDP, 4000, 53, false);
    for id in 0..4 {
        let whole = rig.packet("lan0", flow).df(false).id(id).payload(&[7; 1400]);
        in_pieces(&mut rig, "lan0", &whole);
        assert!(!rig.take("wan0").is_empty());
        let answer = rig.back(flow).df(false).id(id).payload(&[8; 1400]);
        in_pieces(&mut rig, "wan0", &answer);
        assert!(!rig.take("lan0").is_empty());
    }
    only(&mut rig, "fragment");
}

fn in_pieces(rig: &mut Rig, port: &str, packet: &wire::build::Packet) {
    let whole = packet.build();
    let headers = wire::parse(&whole).expect("udp");
    let mut cutter = wire::fragment::Fragmenter::new(&whole, &headers, 800, 0).expect("may be cut");
    let mut piece = Vec::new();
    while cutter.next(&mut piece) {
        rig.send_bytes(port, &piece);
        piece.clear();
    }
}

#[test]
fn multicast_never_becomes_a_session() {
    let mut rig = Rig::new("b1-multicast", ALLOW);
    let group = Tuple { dst: ip("239.1.2.3"), ..out_tuple(proto::UDP, 4000, 5000, false) };
    rig.send("lan0", &rig.packet("lan0", group).payload(b"x"));
    rig.expect_silence();
    let after = rig.snapshot();
    assert_eq!(after.get("drop.multicast-not-forwarded"), 1);
    assert_eq!(after.get("session.created"), 0);
}

#[test]
fn several_reasons_stand_at_once() {
    let more = format!("{ALLOW}offload = \"off\"\n[offload]\nmode = \"off\"\n");
    let base = BASE.replacen("kind = \"memory\"", "kind = \"memory\"\nfast-path = false", 1);
    let mut rig = Rig::with("b1-several", &format!("{NEIGHBOURS}{base}{more}"), false);
    let ospf = out_tuple(89, 0, 0, false);
    for _ in 0..4 {
        rig.send(
            "lan0",
            &rig.packet("lan0", ospf).ip_options(&[1, 1, 1, 0]).raw().payload(&[2; 40]),
        );
        rig.one("wan0");
        rig.send("wan0", &rig.back(ospf).raw().payload(&[2; 40]));
        rig.one("lan0");
    }
    let mut found = against(&mut rig);
    found.sort();
    let expected = [
        "disabled-by-policy",
        "disabled-globally",
        "interface-without-engine",
        "ip-options",
        "protocol-unsupported",
    ];
    assert_eq!(found, expected);
    assert!(expected.iter().all(|reason| counted(&mut rig, reason)));
    let explained = rig.net.explain(rig.gateway, "");
    let named: Vec<_> = explained.remedies.iter().map(|r| r.reason.name.to_string()).collect();
    assert!(expected.iter().all(|reason| named.iter().any(|n| n == reason)), "{named:?}");
}

#[test]
fn require_drops_what_can_never_be_offloaded_and_lets_the_rest_begin() {
    let mut rig = Rig::new("require", &format!("{ALLOW}offload = \"require\"\n"));
    exchange(&mut rig, out_tuple(proto::UDP, 4000, 53, false));
    assert_eq!(rig.snapshot().get("engine.flows"), 2);
    let ospf = out_tuple(89, 0, 0, false);
    rig.send("lan0", &rig.packet("lan0", ospf).raw().payload(&[2; 40]));
    rig.expect_silence();
    let after = rig.snapshot();
    assert_eq!(after.get("drop.offload-required"), 1);
    assert_eq!((after.get("session.created"), after.get("session.ended")), (2, 1), "{after}");
    assert_eq!(after.get("sessions.forward"), 1, "what never passed keeps no session");
    let spec = lockgate_testkit::ask::packet("10.1.0.5", "203.0.113.9", 89, 0, 0);
    let trace = rig.net.simulate(rig.gateway, spec);
    assert_eq!(trace.reason.map(|r| r.name.to_string()), Some("offload-required".to_owned()));
}

#[test]
fn a_full_flow_table_refuses_and_takes_the_flow_when_there_is_room() {
    let more = format!("{ALLOW}[limits]\nflows = 128\n");
    let mut rig = Rig::new("flows-full", &more);
    // More sessions than the table has room for, all equally busy.
    for port in 0..80 {
        exchange(&mut rig, out_tuple(proto::UDP, 4000 + port, 53, false));
    }
    let full = rig.snapshot();
    assert!(full.get("engine.refused.table-full") > 0, "{full}");
    assert!(full.get("engine.flows") <= 128, "{full}");
    assert!(full.get("refused.table-full") > 0, "{full}");
    let view = rig.net.offload_reasons(rig.gateway);
    assert!(view.standing.iter().any(|row| row.reason.name == "table-full"), "{view:?}");

    rig.banner("a refused session is explained with the engine's evidence");
    let refused = rig.net.explain(rig.gateway, "reason table-full");
    let refusal = refused.session.placements.iter().find_map(|p| p.refusal.clone());
    let refusal = refusal.expect("a refusal stands");
    assert!(refusal.evidence.contains("limit="), "{}", refusal.evidence);
    assert_ne!(refusal.retry, "never");

    rig.banner("half of them end; the refused ones are taken with their next packets");
    rig.net.clear_sessions(rig.gateway, "port in 4000-4039");
    rig.settle();
    for port in 40..80 {
        exchange(&mut rig, out_tuple(proto::UDP, 4000 + port, 53, false));
    }
    let after = rig.snapshot();
    assert_eq!(after.get("refused.table-full"), 0, "{after}");
    assert_eq!(after.get("engine.flows"), 80, "{after}");
}

#[test]
fn the_time_in_the_engine_does_not_begin_anew_when_it_hits() {
    let mut rig = Rig::new("installed-since", ALLOW);
    let flow = out_tuple(proto::UDP, 4000, 53, false);
    exchange(&mut rig, flow);
    for _ in 0..4 {
        rig.wait(core::time::Duration::from_secs(7));
        exchange(&mut rig, flow);
    }
    let session = rig.net.sessions(rig.gateway, "").remove(0);
    assert_eq!(session.state, "both-ways");
    for placement in session.placements {
        assert_eq!(placement.status, api::PlacementStatus::Hitting);
        assert!(placement.installed.for_ms >= Some(28_000), "{placement:?}");
        assert!(placement.hitting.for_ms < placement.installed.for_ms, "{placement:?}");
    }
}
