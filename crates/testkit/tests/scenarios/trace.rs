//! Traces: live on both tiers, simulated, and the first phase that is missing.

use api::{PhaseResult, Stage, TraceAction, TraceOrigin};
use lockgate_testkit::{
    ask,
    rig::{ALLOW_NAT, BASE, NEIGHBOURS, Rig, out_tuple},
};
use wire::proto;

const DENY: &str = r#"
[[policy]]
id = 7
name = "no-telnet"
from = "inside"
to = "outside"
service = "tcp/23"
action = "deny"
"#;

fn stages(view: &api::TraceView) -> Vec<Stage> {
    view.phases.iter().map(|phase| phase.stage).collect()
}

#[test]
fn a_live_trace_sees_the_first_packet_phase_by_phase_and_the_fast_ones_too() {
    let mut rig = Rig::new("trace-live", ALLOW_NAT);
    let trace = rig.net.trace_start(rig.gateway, "port 53", 20);
    let flow = out_tuple(proto::UDP, 4000, 53, false);
    for _ in 0..4 {
        rig.send("lan0", &rig.packet("lan0", flow).payload(b"x"));
        let seen = rig.one_tuple("wan0");
        rig.send("wan0", &rig.back(seen).payload(b"x"));
        rig.one("lan0");
    }
    // Another flow that the filter does not want.
    rig.send("lan0", &rig.out(proto::UDP, 4000, 99, false).payload(b"x"));
    let packets = rig.net.trace_stop(rig.gateway, trace);
    assert_eq!(packets.len(), 8, "every packet of the flow and no other");

    let first = &packets[0];
    assert_eq!((first.origin, first.action), (TraceOrigin::Live, TraceAction::Forwarded));
    assert_eq!((first.tier.as_ref(), first.first_missing_phase.clone()), ("slow-setup", None));
    for stage in [
        Stage::Ingress,
        Stage::Session,
        Stage::Anomaly,
        Stage::Rpf,
        Stage::Dnat,
        Stage::Route,
        Stage::Policy,
        Stage::Snat,
        Stage::Admit,
        Stage::Offload,
        Stage::Neighbour,
        Stage::Transmit,
    ] {
        assert!(stages(first).contains(&stage), "{stage:?} in {:?}", stages(first));
    }
    let policy = first.phases.iter().find(|p| p.stage == Stage::Policy).expect("it was asked");
    assert_eq!(policy.decided_by.as_ref().and_then(|rule| rule.id), Some(1));
    assert!(policy.config_line() > 0);

    let tiers: Vec<_> = packets.iter().map(|p| p.tier.to_string()).collect();
    assert_eq!(tiers[1], "slow-established");
    assert_eq!(&tiers[4..], ["fast"; 4]);
    let last = &packets[7];
    assert_eq!(last.phases[0].stage, Stage::FastPath);
    assert_eq!(last.first_missing_phase, None);
    assert_eq!(last.session, first.session);
}

#[test]
fn a_dropped_packet_names_the_phase_it_never_reached() {
    let mut rig = Rig::new("trace-drop", DENY);
    let trace = rig.net.trace_start(rig.gateway, "port 23", 5);
    rig.send("lan0", &rig.out(proto::TCP, 50_000, 23, false).tcp(2, 1, 0));
    let packets = rig.net.trace_stop(rig.gateway, trace);
    let [packet] = &packets[..] else { panic!("one packet: {packets:?}") };
    assert_eq!(packet.action, TraceAction::Dropped);
    assert_eq!(packet.reason.as_ref().map(|r| r.name.as_ref()), Some("policy-deny"));
    let missing = packet.first_missing_phase.as_ref().expect("it was dropped");
    assert_eq!((missing.stage, missing.after), (Stage::Snat, Some(Stage::Policy)));
    let policy = packet.phases.last().expect("phases");
    assert_eq!((policy.stage, policy.result), (Stage::Policy, PhaseResult::Drop));
    assert_eq!(policy.decided_by.as_ref().map(|r| r.name.as_str()), Some("no-telnet"));
}

#[test]
fn a_held_packet_is_still_to_be_sent() {
    let mut rig = Rig::with("trace-hold", &format!("{BASE}{ALLOW_NAT}"), false);
    let trace = rig.net.trace_start(rig.gateway, "port 53", 5);
    rig.send("lan0", &rig.out(proto::UDP, 4000, 53, false).payload(b"x"));
    rig.answer_for("wan0", &["203.0.113.9"]);
    rig.wait(core::time::Duration::from_secs(2));
    rig.one("wan0");
    let packets = rig.net.trace_stop(rig.gateway, trace);
    let whole = packets.last().expect("it was traced");
    assert!(stages(whole).contains(&Stage::Transmit), "{:?}", stages(whole));
}

#[test]
fn a_simulated_packet_meets_the_same_phases_and_changes_nothing() {
    for v6 in [false, true] {
        let mut rig =
            Rig::new(if v6 { "simulate-v6" } else { "simulate-v4" }, &format!("{DENY}{ALLOW_NAT}"));
        let (src, dst) =
            if v6 { ("2001:db8:1::5", "2001:db8:ffff::9") } else { ("10.1.0.5", "203.0.113.9") };
        let before = rig.snapshot();
        let good = rig.net.simulate(rig.gateway, ask::packet(src, dst, 6, 50_000, 443));
        assert_eq!((good.origin, good.action), (TraceOrigin::Simulated, TraceAction::Forwarded));
        assert_eq!(good.first_missing_phase, None);
        assert_eq!(stages(&good).last(), Some(&Stage::Transmit));
        let offload = good.offload.expect("the offload verdict comes with it");
        assert!(offload.against.is_empty(), "{offload:?}");
        let bad = rig.net.simulate(rig.gateway, ask::packet(src, dst, 6, 50_000, 23));
        assert_eq!(bad.action, TraceAction::Dropped);
        let missing = bad.first_missing_phase.expect("it would be dropped");
        assert_eq!((missing.stage, missing.after), (Stage::Snat, Some(Stage::Policy)));
        let ospf = rig.net.simulate(rig.gateway, ask::packet(src, dst, 89, 0, 0));
        let against = ospf.offload.expect("a verdict").against;
        assert!(against.iter().any(|r| r.name == "protocol-unsupported"), "{against:?}");
        rig.settle();
        let changes = rig.snapshot().changes_since(&before);
        assert!(changes.is_empty(), "{changes:?}");

        rig.banner("the same packet in earnest goes the same way");
        let trace = rig.net.trace_start(rig.gateway, "port 443", 1);
        rig.send("lan0", &rig.out(proto::TCP, 50_000, 443, v6).tcp(2, 1, 0));
        let live = rig.net.trace_stop(rig.gateway, trace).remove(0);
        let decided = |view: &api::TraceView| -> Vec<_> {
            view.phases.iter().filter_map(|p| Some((p.stage, p.decided_by.clone()?.line))).collect()
        };
        let both = |view: &api::TraceView| {
            let skip = [Stage::FastPath];
            decided(view).into_iter().filter(|(s, _)| !skip.contains(s)).collect::<Vec<_>>()
        };
        let again = rig.net.simulate(rig.gateway, ask::packet(src, dst, 6, 50_001, 443));
        assert_eq!(both(&live), both(&again));
    }
}

#[test]
fn explain_tells_promotion_and_what_would_help() {
    let more = format!("{ALLOW_NAT}offload = \"off\"\n");
    let mut rig = Rig::with("explain", &format!("{NEIGHBOURS}{BASE}{more}"), false);
    for _ in 0..5 {
        rig.send("lan0", &rig.out(proto::UDP, 4000, 53, false).payload(b"x"));
        let seen = rig.one_tuple("wan0");
        rig.send("wan0", &rig.back(seen).payload(b"x"));
        rig.one("lan0");
    }
    let kept = rig.net.explain(rig.gateway, "port 53");
    assert_eq!(kept.remedies.len(), 1, "{:?}", kept.remedies);
    assert_eq!(kept.remedies[0].reason.name, "disabled-by-policy");
    assert!(kept.session.placements.iter().all(|p| !p.installed.holds));

    rig.apply(ALLOW_NAT);
    for _ in 0..5 {
        rig.send("lan0", &rig.out(proto::UDP, 4000, 53, false).payload(b"x"));
        let seen = rig.one_tuple("wan0");
        rig.send("wan0", &rig.back(seen).payload(b"x"));
        rig.one("lan0");
    }
    rig.wait(core::time::Duration::from_secs(11));
    let promoted = rig.net.explain(rig.gateway, "port 53");
    assert_eq!(promoted.session.offload, api::OffloadWord::Full);
    for placement in &promoted.session.placements {
        assert!(placement.eligible.holds && placement.installed.holds, "{placement:?}");
        assert!(placement.traffic.packets > 0);
    }
    assert!(promoted.phases.iter().any(|p| p.stage == Stage::Policy), "{:?}", promoted.phases);
}
