//! What may pass, what may not, and who is told.

use lockgate_testkit::{
    expect_changes,
    office::ip,
    rig::{ALLOW, Rig, out_tuple},
};
use wire::{Tuple, proto};

use crate::tcp::{RST, SYN};

const DENY: &str = r#"
[[policy]]
id = 1
from = "inside"
to = "outside"
service = "tcp/23"
action = "deny"

[[policy]]
id = 2
from = "inside"
to = "outside"
service = ["tcp/25", "udp/25"]
action = "reject"
"#;

/// What a dropped first packet changes besides its reason.
const DROPPED: [(&str, i64); 4] = [
    ("port.lan0.rx-packets", 1),
    ("engine.misses", 1),
    ("punt.flow-miss", 1),
    ("interface.lan.dropped", 1),
];

#[test]
fn deny_is_silent_reject_answers_and_what_no_policy_names_is_denied() {
    for v6 in [false, true] {
        let mut rig = Rig::new(if v6 { "deny-v6" } else { "deny-v4" }, DENY);

        rig.banner("deny");
        let before = rig.snapshot();
        rig.send("lan0", &rig.out(proto::TCP, 50_000, 23, v6).tcp(SYN, 1, 0));
        rig.expect_silence();
        expect_changes!(before, rig.snapshot(), &DROPPED_SYN, { "drop.policy-deny" + 1 });

        rig.banner("reject, TCP: a reset");
        let before = rig.snapshot();
        rig.send("lan0", &rig.out(proto::TCP, 50_000, 25, v6).tcp(SYN, 1, 0));
        let answer = rig.one("lan0");
        let headers = wire::parse(&answer).expect("tcp");
        assert_eq!(headers.tuple, out_tuple(proto::TCP, 50_000, 25, v6).reversed());
        assert_ne!(headers.tcp_flags & RST, 0);
        expect_changes!(before, rig.snapshot(), &DROPPED_SYN, {
            "drop.policy-deny" + 1,
            "tcp.resets" + 1,
            "slow.sent" + 1,
            "slow.originated" + 1,
            "port.lan0.tx-packets" + 1,
        });

        rig.banner("reject, UDP: administratively prohibited");
        let before = rig.snapshot();
        rig.send("lan0", &rig.out(proto::UDP, 50_000, 25, v6).payload(b"x"));
        let answer = rig.one("lan0");
        let headers = wire::parse(&answer).expect("icmp");
        let expected = if v6 { (1, 1) } else { (3, 13) };
        assert_eq!((headers.icmp_type, headers.icmp_code), expected);
        expect_changes!(before, rig.snapshot(), &DROPPED, {
            "drop.policy-deny" + 1,
            "icmp.errors" + 1,
            "slow.sent" + 1,
            "slow.originated" + 1,
            "port.lan0.tx-packets" + 1,
        });

        rig.banner("no policy: denied");
        let before = rig.snapshot();
        rig.send("lan0", &rig.out(proto::UDP, 50_000, 53, v6).payload(b"x"));
        rig.expect_silence();
        expect_changes!(before, rig.snapshot(), &DROPPED, { "drop.implicit-deny" + 1 });
    }
}

/// The same for a SYN, which the fast path does not look up.
const DROPPED_SYN: [(&str, i64); 3] =
    [("port.lan0.rx-packets", 1), ("punt.tcp-control", 1), ("interface.lan.dropped", 1)];

const LOCAL: &str = r#"
[[local-in]]
name = "ping"
service = "ping"
source = "10.1.0.0/24"
action = "allow"

[[local-in]]
name = "ping6"
service = "ping"
source = "2001:db8:1::/64"
action = "allow"

[[local-in]]
name = "ssh"
service = "ssh"
action = "allow"
"#;

#[test]
fn the_gateway_answers_what_its_rules_allow() {
    for v6 in [false, true] {
        let mut rig = Rig::new(if v6 { "local-in-v6" } else { "local-in-v4" }, LOCAL);
        let (own, host) =
            if v6 { ("2001:db8:1::1", "2001:db8:1::5") } else { ("10.1.0.1", "10.1.0.5") };
        let proto_icmp = if v6 { proto::ICMPV6 } else { proto::ICMP };
        let to = |proto, src_port, dst_port| Tuple {
            src: ip(host),
            dst: ip(own),
            src_port,
            dst_port,
            proto,
        };

        rig.banner("an echo request is answered with the same data");
        let before = rig.snapshot();
        rig.send("lan0", &rig.packet("lan0", to(proto_icmp, 9, 0)).payload(b"are you there"));
        let reply = rig.one("lan0");
        assert!(reply.ends_with(b"are you there"));
        assert_eq!(wire::parse(&reply).expect("icmp").tuple, to(proto_icmp, 9, 0).reversed());
        expect_changes!(before, rig.snapshot(), {
            "port.lan0.rx-packets" + 1,
            "engine.misses" + 1,
            "punt.flow-miss" + 1,
            "slow.setup" + 1,
            "slow.delivered" + 1,
            "slow.originated" + 1,
            "slow.sent" + 1,
            "session.created" + 1,
            "sessions.local-in" + 1,
            "ledger.not-eligible" + 2,
            "not-eligible.awaiting-reply" + 1,
            "not-eligible.below-packet-threshold" + 1,
            "not-eligible.local-destination" + 1,
            "port.lan0.tx-packets" + 1,
        });

        rig.banner("a port nothing serves: a reset, as a host would");
        let before = rig.snapshot();
        rig.send("lan0", &rig.packet("lan0", to(proto::TCP, 50_000, 22)).tcp(SYN, 1, 0));
        assert_ne!(wire::parse(&rig.one("lan0")).expect("tcp").tcp_flags & RST, 0);
        expect_changes!(before, rig.snapshot(), &DROPPED_SYN, {
            "drop.local-in-no-service" + 1,
            "tcp.resets" + 1,
            "slow.sent" + 1,
            "slow.originated" + 1,
            "port.lan0.tx-packets" + 1,
        });

        rig.banner("what no local-in rule allows");
        let before = rig.snapshot();
        rig.send("lan0", &rig.packet("lan0", to(proto::UDP, 50_000, 161)).payload(b"x"));
        rig.expect_silence();
        expect_changes!(before, rig.snapshot(), &DROPPED, { "drop.local-in-deny" + 1 });
    }
}

const SCHEDULED: &str = r#"
[objects.schedule.office-hours]
days = "mon-fri"
from = "08:00"
to = "18:00"

[[policy]]
id = 1
name = "office-hours"
from = "inside"
to = "outside"
schedule = "office-hours"
action = "allow"
"#;

/// 2026-06-01 is a Monday; 2026-05-31 a Sunday.
const MONDAY_17_59: i64 = 1_780_336_740;

#[test]
fn a_schedule_ends_sessions_when_it_ends() {
    let mut rig = Rig::new("schedule", SCHEDULED);
    let now = rig.now();
    rig.net.gateway_mut(rig.gateway).set_wall_clock(MONDAY_17_59, now);
    rig.settle();

    rig.banner("one minute before six it may pass, and is promoted");
    let flow = out_tuple(proto::UDP, 40_000, 53, false);
    for _ in 0..3 {
        rig.send("lan0", &rig.packet("lan0", flow).payload(b"x"));
        rig.one("wan0");
        rig.send("wan0", &rig.back(flow).payload(b"x"));
        rig.one("lan0");
    }
    assert_eq!(rig.snapshot().get("engine.flows"), 2);

    rig.banner("at six it is taken out of the engine and ended");
    rig.wait(core::time::Duration::from_secs(61));
    let after = rig.snapshot();
    assert_eq!(after.get("sessions.forward"), 0);
    assert_eq!(after.get("demoted.policy-changed"), 2);
    rig.send("lan0", &rig.packet("lan0", flow).payload(b"x"));
    rig.expect_silence();
    assert_eq!(rig.snapshot().get("drop.implicit-deny"), 1);
}

#[test]
fn blackholes_broadcasts_multicasts_and_link_locals_go_nowhere() {
    let more = r#"
[[route]]
to = "198.51.100.0/24"
blackhole = true
"#;
    let mut rig = Rig::new("nowhere", &format!("{more}{ALLOW}"));
    let to = |dst: &str| Tuple { dst: ip(dst), ..out_tuple(proto::UDP, 1000, 2000, false) };
    let to6 = |dst: &str| Tuple { dst: ip(dst), ..out_tuple(proto::UDP, 1000, 2000, true) };
    for (tuple, reason) in [
        (to("198.51.100.9"), "drop.route-blackhole"),
        (to("10.1.0.255"), "drop.broadcast-not-forwarded"),
        (to("255.255.255.255"), "drop.broadcast-not-forwarded"),
        (to("224.0.0.251"), "drop.multicast-not-forwarded"),
        (to6("ff02::fb"), "drop.multicast-not-forwarded"),
        (to("169.254.1.1"), "drop.ip-link-local-forward"),
        (to("127.0.0.1"), "drop.ip-destination-martian"),
        (to("240.0.0.1"), "drop.ip-destination-martian"),
    ] {
        let before = rig.snapshot();
        rig.send("lan0", &rig.packet("lan0", tuple).payload(b"x"));
        rig.expect_silence();
        let mut named = DROPPED.to_vec();
        named.push((reason, 1));
        expect_changes!(before, rig.snapshot(), &named, {});
    }
}

#[test]
fn a_policy_counts_all_traffic_of_its_sessions_and_what_it_denies() {
    let more = format!("{}{ALLOW}", DENY.replace("id = 1", "id = 11"));
    let mut rig = Rig::new("policy-traffic", &more);
    let flow = out_tuple(proto::UDP, 4000, 53, false);
    let traffic = |rig: &mut Rig, id: u32| {
        let policies = rig.net.policies(rig.gateway);
        let found = policies.into_iter().find(|p| p.id == Some(id)).expect("a policy");
        (found.traffic.packets, found.traffic.bytes)
    };
    for n in 1..=5 {
        rig.send("lan0", &rig.packet("lan0", flow).payload(&[1; 100]));
        rig.one("wan0");
        rig.send("wan0", &rig.back(flow).payload(&[2; 200]));
        rig.one("lan0");
        assert_eq!(traffic(&mut rig, 1), (2 * n, n * (128 + 228)), "both directions, both tiers");
    }
    assert!(rig.snapshot().get("engine.forwarded") > 0);
    rig.net.clear_sessions(rig.gateway, "");
    rig.settle();
    assert_eq!(rig.snapshot().get("sessions.forward"), 0);
    assert_eq!(traffic(&mut rig, 1), (10, 5 * (128 + 228)), "an ended session still counts");

    rig.send("lan0", &rig.out(proto::TCP, 50_000, 23, false).tcp(SYN, 1, 0));
    assert_eq!(traffic(&mut rig, 11), (1, 40));

    rig.banner("cleared");
    rig.send("lan0", &rig.packet("lan0", flow).payload(b"x"));
    let clear = api::Request::ClearStatistics { what: api::StatisticsKind::Policies };
    rig.net.answered(rig.gateway, clear);
    assert_eq!((traffic(&mut rig, 1), traffic(&mut rig, 11)), ((0, 0), (0, 0)));
}

#[test]
fn a_filter_of_events_is_refused_instead_of_matching_nothing() {
    let mut rig = Rig::new("events-filter", ALLOW);
    let ask = |filter: &str| api::Request::Events {
        filter: Some(filter.into()),
        since: None,
        limit: None,
    };
    let refused = rig.net.ask(rig.gateway, ask("port 443"));
    assert!(matches!(refused, Err(api::ApiError::Unsupported { .. })), "{refused:?}");
    assert!(rig.net.ask(rig.gateway, ask("")).is_ok());
}

#[test]
fn a_lookup_says_which_conditions_the_nearest_policies_fail() {
    let mut rig = Rig::new("policy-lookup", DENY);
    let key = api::LookupKey {
        interface: None,
        vr: None,
        src: ip("10.1.0.5"),
        dst: ip("203.0.113.9"),
        proto: proto::TCP,
        src_port: 50_000,
        dst_port: 443,
    };
    let answer = rig.net.answered(rig.gateway, api::Request::PolicyLookup(key));
    let api::Response::PolicyLookup(view) = answer else { panic!("{answer:?}") };
    assert_eq!(view.reason.map(|r| r.name.to_string()).as_deref(), Some("implicit-deny"));
    let missed: Vec<_> = view.near_misses.iter().map(|m| (m.rule.id, m.failed.join(" "))).collect();
    assert_eq!(missed, [(Some(1), "service".to_owned()), (Some(2), "service".to_owned())]);
}
