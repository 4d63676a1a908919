//! Changes under running sessions: what they demote, end, or leave alone, and why.

use lockgate_testkit::{
    apps::{StreamClient, Work},
    office::{self, Office, ip},
    rig::{ALLOW, ALLOW_NAT, BASE, NEIGHBOURS, Rig, out_tuple},
};
use wire::{Tuple, proto};

use crate::tcp::{ACK, PSH, Tcp};

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
fn a_policy_change_demotes_and_what_is_still_allowed_is_promoted_again() {
    let mut rig = Rig::new("change-policy", ALLOW);
    let flow = out_tuple(proto::UDP, 4000, 53, false);
    exchange(&mut rig, flow);
    assert_eq!(rig.snapshot().get("engine.flows"), 2);

    rig.banner("a policy for something else is put before it");
    let more = format!(
        "[[policy]]\nid = 9\nfrom = \"inside\"\nto = \"outside\"\nservice = \"tcp/23\"\naction = \"deny\"\n{ALLOW}"
    );
    rig.apply(&more);
    let after = rig.snapshot();
    assert_eq!(after.get("demoted.policy-changed"), 2, "{after}");
    assert_eq!((after.get("sessions.forward"), after.get("engine.flows")), (1, 0));
    assert_eq!(after.get("session.reevaluated"), 1);

    rig.banner("its next packet takes it back into the engine");
    exchange(&mut rig, flow);
    let after = rig.snapshot();
    assert_eq!((after.get("engine.flows"), after.get("session.created")), (2, 1));
    let explained = rig.net.explain(rig.gateway, "port 4000");
    let steps: Vec<_> = explained.history.iter().map(|h| h.step.to_string()).collect();
    assert!(steps.contains(&"demoted".to_owned()), "{steps:?}");
    let why = explained.history.iter().filter_map(|h| h.reason.clone()).collect::<Vec<_>>();
    assert!(why.iter().any(|r| r == "policy-changed"), "{why:?}");
    let total = explained.session.original_traffic.total().packets;
    assert_eq!(total, 10, "nothing is lost or doubled by the way to the engine and back");
}

#[test]
fn a_policy_change_that_forbids_ends_the_session() {
    let mut rig = Rig::new("change-forbids", ALLOW);
    let mut tcp = Tcp::promoted(&mut rig, 50_000, 80, false);
    tcp.client(&mut rig, ACK | PSH, b"x");
    rig.apply(&ALLOW.replace("allow", "deny"));
    let after = rig.snapshot();
    assert_eq!((after.get("sessions.forward"), after.get("session.ended")), (0, 1));
    assert_eq!(after.get("demoted.policy-changed"), 2);
    tcp.client_sends(&mut rig, ACK | PSH, b"y");
    rig.expect_silence();
    assert_eq!(rig.snapshot().get("drop.tcp-not-syn"), 1);
}

#[test]
fn switching_offload_off_and_on_demotes_and_promotes() {
    let mut rig = Rig::new("change-switch", ALLOW);
    let flow = out_tuple(proto::UDP, 4000, 53, false);
    exchange(&mut rig, flow);
    rig.apply(&format!("{ALLOW}[offload]\nmode = \"off\"\n"));
    let after = rig.snapshot();
    assert_eq!(after.get("demoted.offload-switch-changed"), 2, "{after}");
    exchange(&mut rig, flow);
    assert_eq!(rig.snapshot().get("engine.flows"), 0);
    rig.apply(ALLOW);
    exchange(&mut rig, flow);
    assert_eq!(rig.snapshot().get("engine.flows"), 2);
}

#[test]
fn a_change_that_touches_no_session_leaves_the_engine_alone() {
    let mut rig = Rig::new("change-nothing", ALLOW);
    let flow = out_tuple(proto::UDP, 4000, 53, false);
    exchange(&mut rig, flow);
    let before = rig.snapshot();
    rig.apply(&format!("{ALLOW}[limits]\nicmp-errors-per-second = 7\n"));
    let changes = rig.snapshot().changes_since(&before);
    assert!(changes.is_empty(), "{changes:?}");
}

#[test]
fn a_route_that_goes_away_ends_what_used_it() {
    let mut rig = Rig::new("change-route", ALLOW);
    let far = Tuple { dst: ip("198.51.100.7"), ..out_tuple(proto::UDP, 4000, 53, false) };
    exchange(&mut rig, far);
    assert_eq!(rig.snapshot().get("engine.flows"), 2);
    let base = BASE.replace("to = \"0.0.0.0/0\"", "to = \"192.0.2.0/24\"");
    rig.apply_whole(&format!("{NEIGHBOURS}{base}{ALLOW}"));
    let after = rig.snapshot();
    assert_eq!(after.get("demoted.route-changed"), 2, "{after}");
    assert_eq!(after.get("sessions.forward"), 0);
    rig.send("lan0", &rig.packet("lan0", far).payload(b"x"));
    rig.expect_silence();
    assert_eq!(rig.snapshot().get("drop.no-route"), 1);
}

#[test]
fn interfaces_in_another_order_keep_their_sessions() {
    let mut rig = Rig::new("change-order", ALLOW_NAT);
    let flow = out_tuple(proto::UDP, 4000, 53, false);
    let mut tcp = Tcp::promoted(&mut rig, 50_000, 80, false);
    exchange(&mut rig, flow);
    assert_eq!(rig.snapshot().get("engine.flows"), 4);
    let (head, rest) = BASE.split_once("[[interface]]\nname = \"lan\"").expect("lan is first");
    let (lan, rest) = rest.split_once("[[interface]]\nname = \"wan\"").expect("wan is second");
    let (wan, routes) = rest.split_once("[[route]]").expect("routes follow");
    let swapped = format!(
        "{head}[[interface]]\nname = \"wan\"{wan}[[interface]]\nname = \"lan\"{lan}[[route]]{routes}"
    );
    rig.apply_whole(&format!("{NEIGHBOURS}{swapped}{ALLOW_NAT}"));
    assert_eq!(rig.snapshot().get("sessions.forward"), 2, "{}", rig.snapshot());
    exchange(&mut rig, flow);
    tcp.client(&mut rig, ACK | PSH, b"still");
    tcp.server(&mut rig, ACK | PSH, b"here");
    let after = rig.snapshot();
    assert_eq!(after.sum("drop."), 0, "{after}");
    assert_eq!((after.get("session.created"), after.get("engine.flows")), (2, 4));
    exchange(&mut rig, flow);
    assert_eq!(rig.snapshot().get("engine.forwarded"), after.get("engine.forwarded") + 10);
}

#[test]
fn an_interface_that_is_removed_takes_its_sessions_along() {
    let mut rig = Rig::new("change-removed", ALLOW);
    exchange(&mut rig, out_tuple(proto::UDP, 4000, 53, false));
    let renamed = BASE.replace("name = \"wan\"", "name = \"uplink\"");
    let neighbours = NEIGHBOURS.replace("\"wan\"", "\"uplink\"");
    rig.apply_whole(&format!("{neighbours}{renamed}{ALLOW}"));
    let after = rig.snapshot();
    assert_eq!(after.get("demoted.interface-changed"), 2, "{after}");
    assert_eq!(after.get("sessions.forward"), 0);
    assert_eq!((after.get("engine.flows"), after.get("engine.retiring")), (0, 0));
}

#[test]
fn clearing_sessions_takes_what_the_filter_matches() {
    let mut rig = Rig::new("clear", ALLOW);
    for port in 0..10 {
        exchange(&mut rig, out_tuple(proto::UDP, 4000 + port, 53, port % 2 == 0));
    }
    assert_eq!(rig.snapshot().get("engine.flows"), 20);
    rig.net.clear_sessions(rig.gateway, "port in 4000-4003");
    rig.settle();
    let after = rig.snapshot();
    assert_eq!((after.get("sessions.forward"), after.get("engine.flows")), (6, 12));
    assert_eq!(after.get("demoted.session-cleared"), 8);
    rig.net.clear_sessions(rig.gateway, "");
    rig.settle();
    let after = rig.snapshot();
    assert_eq!((after.get("sessions.forward"), after.get("engine.flows")), (0, 0));
    assert_eq!((after.get("session.ended"), after.get("engine.retiring")), (10, 0));
    assert_eq!(after.sum("ledger."), 0, "{after}");
}

#[test]
fn a_download_survives_any_number_of_changes() {
    let mut office = Office::new("change-under-load");
    let server = office.server(false, office::STREAMS);
    let work = Work::Download(600_000);
    let app = office.net.start(office.anna, StreamClient::new(server, 50_000, work));
    let off = format!("{}\n[offload]\nmode = \"off\"\n", office::CONFIG);
    for round in 0..20 {
        office.net.run_for(core::time::Duration::from_millis(7));
        let config = if round % 2 == 0 { &off } else { office::CONFIG };
        office.net.apply(office.gateway, config).expect("it is in order");
    }
    office.net.run_until(core::time::Duration::from_secs(60), |net| net.report(app).done);
    let report = office.net.report(app);
    assert!(report.succeeded(), "{report:?}");
    assert_eq!(office.snapshot().get("session.created"), 1);
}

/// [`NEIGHBOURS`] with another station at 203.0.113.9.
fn two_routers() -> String {
    let at = "address = \"203.0.113.9\", mac = \"02:00:00:00:01:01\"";
    assert!(NEIGHBOURS.contains(at));
    NEIGHBOURS.replace(at, "address = \"203.0.113.9\", mac = \"02:00:00:00:01:09\"")
}

/// MAC address a frame is sent to.
fn sent_to(frame: &[u8]) -> [u8; 6] {
    frame[..6].try_into().expect("an Ethernet header")
}

#[test]
fn another_gateway_on_the_same_interface_is_used_by_both_tiers() {
    let config = |via: &str| {
        let base = BASE.replace("via = \"203.0.113.1\"", &format!("via = \"{via}\""));
        format!("{}{base}{ALLOW}", two_routers())
    };
    let mut rig = Rig::with("change-gateway", &config("203.0.113.1"), false);
    let far = Tuple { dst: ip("198.51.100.7"), ..out_tuple(proto::UDP, 4000, 53, false) };
    exchange(&mut rig, far);
    assert_eq!(rig.snapshot().get("engine.flows"), 2);
    rig.apply_whole(&config("203.0.113.9"));
    for _ in 0..6 {
        rig.send("lan0", &rig.packet("lan0", far).payload(b"x"));
        assert_eq!(sent_to(&rig.one("wan0")), [2, 0, 0, 0, 1, 9]);
    }
    assert_eq!(rig.snapshot().get("engine.flows"), 2, "{}", rig.snapshot());
}

#[test]
fn equal_gateways_on_one_interface_share_sessions_and_keep_each_on_its_own() {
    let base = BASE.replace(
        "via = \"203.0.113.1\"",
        "via = \"203.0.113.1\"\n\n[[route]]\nto = \"0.0.0.0/0\"\nvia = \"203.0.113.9\"",
    );
    let config = format!("{}{base}{ALLOW}", two_routers());
    let mut rig = Rig::with("ecmp-one-interface", &config, false);
    let mut used = std::collections::BTreeSet::new();
    for port in 0..16 {
        let far =
            Tuple { dst: ip("198.51.100.7"), ..out_tuple(proto::UDP, 4000 + port, 53, false) };
        let mut by = std::collections::BTreeSet::new();
        for _ in 0..6 {
            rig.send("lan0", &rig.packet("lan0", far).payload(b"x"));
            let frame = rig.one("wan0");
            by.insert(sent_to(&frame));
            let seen = wire::parse(&frame).expect("valid").tuple;
            rig.send("wan0", &rig.back(seen).payload(b"x"));
            rig.one("lan0");
        }
        assert_eq!(by.len(), 1, "one session, one gateway, whichever tier serves it");
        used.extend(by);
    }
    assert_eq!(used.len(), 2, "both gateways are used");
    assert_eq!(rig.snapshot().get("engine.flows"), 32);
}

#[test]
fn an_interface_that_goes_while_packets_wait_for_its_neighbours_harms_nothing() {
    let mut rig = Rig::new("change-held", ALLOW);
    rig.send("lan0", &rig.out(proto::UDP, 4000, 53, false).payload(b"waits"));
    rig.forget();
    let silent = Tuple { dst: ip("203.0.113.77"), ..out_tuple(proto::UDP, 4001, 53, false) };
    rig.send("lan0", &rig.packet("lan0", silent).payload(b"waits"));
    let whole = rig.packet("lan0", out_tuple(proto::UDP, 4002, 53, false));
    let whole = whole.df(false).id(7).payload(&[1; 1200]).build();
    let headers = wire::parse(&whole).expect("valid");
    let mut cutter = wire::fragment::Fragmenter::new(&whole, &headers, 600, 0).expect("cuttable");
    let mut first = Vec::new();
    assert!(cutter.next(&mut first));
    rig.send_bytes("lan0", &first);

    rig.banner("the interfaces change places in the list, and one is gone");
    let (head, rest) = BASE.split_once("[[interface]]\nname = \"lan\"").expect("lan is first");
    let (_, wan) = rest.split_once("[[interface]]\nname = \"wan\"").expect("wan is second");
    rig.apply_whole(&format!(
        "{head}[[interface]]\nname = \"wan\"{wan}{}",
        ALLOW.replace("inside", "outside")
    ));
    rig.wait(core::time::Duration::from_secs(90));
    let after = rig.snapshot();
    assert_eq!(after.get("sessions.forward"), 0, "{after}");
    assert_eq!(after.get("drop.neighbour-unresolved"), 1, "{after}");
    assert_eq!(after.get("drop.fragment-timeout"), 1, "{after}");
}
