//! Next hops: asked for, waited for, given up, changed, on VLANs, behind dead links.

use core::time::Duration;

use lockgate_testkit::rig::{ALLOW, BASE, NEIGHBOURS, Rig, out_tuple};
use wire::{Tuple, proto};

#[test]
fn packets_wait_for_a_neighbour_and_leave_in_order() {
    for v6 in [false, true] {
        let name = if v6 { "neighbour-wait-v6" } else { "neighbour-wait-v4" };
        let mut rig = Rig::with(name, &format!("{BASE}{ALLOW}"), false);
        for n in 0..4u8 {
            rig.send("lan0", &rig.out(proto::UDP, 4000, 53, v6).payload(&[n; 20]));
        }
        rig.expect_silence();
        let after = rig.snapshot();
        assert!(after.get("neighbour.solicitations") >= 1);
        assert_eq!(rig.net.gateway(rig.gateway).node.gateway().packets_held(), 4);

        rig.banner("it answers at last: all four leave, in order");
        rig.answer_for("wan0", &["203.0.113.9", "2001:db8:ffff::9"]);
        rig.wait(Duration::from_secs(2));
        let sent = rig.take("wan0");
        let marks: Vec<_> = sent.iter().filter_map(|bytes| bytes.last().copied()).collect();
        assert_eq!(marks, [0, 1, 2, 3]);
        assert_eq!(rig.net.gateway(rig.gateway).node.gateway().packets_held(), 0);
    }
}

#[test]
fn the_hold_queue_is_bounded() {
    let mut rig = Rig::with("neighbour-queue", &format!("{BASE}{ALLOW}"), false);
    for n in 0..12u16 {
        rig.send("lan0", &rig.out(proto::UDP, 4000 + n, 53, false).payload(b"x"));
    }
    let after = rig.snapshot();
    assert_eq!(after.get("drop.neighbour-queue-full"), 4, "eight wait");
}

#[test]
fn packets_that_wait_leave_buffers_for_those_that_do_not() {
    let more = format!("{ALLOW}[limits]\nframes = 256\nsuper-frames = 0\n");
    let mut rig = Rig::with("neighbour-scan", &format!("{NEIGHBOURS}{BASE}{more}"), false);
    let flow = out_tuple(proto::UDP, 4000, 53, false);
    let exchange = |rig: &mut Rig| {
        rig.send("lan0", &rig.packet("lan0", flow).payload(b"x"));
        rig.one("wan0");
        rig.send("wan0", &rig.back(flow).payload(b"x"));
        rig.one("lan0");
    };
    (0..3).for_each(|_| exchange(&mut rig));

    rig.banner("sixty silent neighbours, eight packets for each");
    for host in 100..160u8 {
        let dst = core::net::IpAddr::from([203, 0, 113, host]);
        for port in 0..8 {
            let scan = Tuple { dst, src_port: 5000 + port, ..flow };
            rig.send("lan0", &rig.packet("lan0", scan).payload(b"x"));
        }
    }
    let after = rig.snapshot();
    assert!(after.get("drop.neighbour-queue-full") > 0, "{after}");
    assert!(after.get("frames.in-use") <= 200, "{after}");
    exchange(&mut rig);
    assert_eq!(rig.snapshot().get("frames.exhausted"), 0);
    rig.wait(Duration::from_secs(20));
    assert_eq!(rig.snapshot().get("frames.in-use"), 0);
}

#[test]
fn a_neighbour_that_never_answers_makes_host_unreachable() {
    for v6 in [false, true] {
        let name = if v6 { "neighbour-dead-v6" } else { "neighbour-dead-v4" };
        let mut rig = Rig::with(name, &format!("{BASE}{ALLOW}"), false);
        rig.answer_for("lan0", &["10.1.0.5", "2001:db8:1::5"]);
        let flow = out_tuple(proto::UDP, 4000, 53, v6);
        rig.send("lan0", &rig.packet("lan0", flow).payload(b"anybody"));
        rig.wait(Duration::from_secs(10));
        let after = rig.snapshot();
        assert_eq!(after.get("drop.neighbour-unresolved"), 1, "{after}");
        let answer = rig.one("lan0");
        let headers = wire::parse(&answer).expect("icmp");
        assert_eq!((headers.icmp_type, headers.icmp_code), if v6 { (1, 3) } else { (3, 1) });
        assert_eq!(wire::rewrite::quoted_tuple(&answer, &headers), Some(flow));
        assert_eq!(after.get("frames.in-use"), 0);
    }
}

#[test]
fn a_flow_waits_for_its_next_hop_before_it_is_promoted() {
    let mut rig = Rig::with("neighbour-promotion", &format!("{BASE}{ALLOW}"), false);
    rig.answer_for("lan0", &["10.1.0.5"]);
    let flow = out_tuple(proto::UDP, 4000, 53, false);
    for _ in 0..17 {
        rig.send("lan0", &rig.packet("lan0", flow).payload(b"x"));
    }
    let reasons = rig.net.offload_reasons(rig.gateway);
    assert!(
        reasons.standing.iter().any(|r| r.reason.name == "neighbour-unresolved"),
        "{reasons:?}"
    );
    assert_eq!(rig.snapshot().get("engine.flows"), 0);
    rig.answer_for("wan0", &["203.0.113.9"]);
    rig.wait(Duration::from_secs(3));
    rig.forget();
    for _ in 0..17 {
        rig.send("lan0", &rig.packet("lan0", flow).payload(b"x"));
        rig.one("wan0");
    }
    assert!(rig.snapshot().get("engine.forwarded") >= 1, "{}", rig.snapshot());
}

#[test]
fn a_neighbour_with_a_new_mac_address_is_followed_without_demotion() {
    let mut rig = Rig::with("neighbour-moved", &format!("{BASE}{ALLOW}"), false);
    rig.answer_for("lan0", &["10.1.0.5"]);
    rig.answer_for("wan0", &["203.0.113.9"]);
    let flow = out_tuple(proto::UDP, 4000, 53, false);
    for _ in 0..4 {
        rig.send("lan0", &rig.packet("lan0", flow).payload(b"x"));
        rig.one("wan0");
        rig.send("wan0", &rig.back(flow).payload(b"x"));
        rig.one("lan0");
    }
    let before = rig.snapshot();
    assert_eq!(before.get("engine.flows"), 2);

    rig.banner("it says itself that it has moved, not in the first second");
    rig.wait(Duration::from_secs(2));
    let new = wire::Mac([2, 0, 0, 0, 9, 9]);
    let ip = [203, 0, 113, 9].into();
    let told = wire::build::arp_reply(new, ip, rig.gateway_mac("wan0"), [203, 0, 113, 2].into());
    rig.send_bytes("wan0", &told);
    rig.wait(Duration::from_secs(6));
    rig.forget();
    rig.send("lan0", &rig.packet("lan0", flow).payload(b"x"));
    let sent = rig.one("wan0");
    assert_eq!(wire::parse(&sent).expect("udp").eth_dst, new);
    let after = rig.snapshot();
    assert_eq!(after.get("engine.flows"), 2, "{after}");
}

const VLANS: &str = r#"
[[port]]
name = "trunk"
kind = "memory"

[[interface]]
name = "red"
port = "trunk"
vlan = 10
address = ["10.10.0.1/24", "2001:db8:10::1/64"]
zone = "red"

[[interface]]
name = "blue"
port = "trunk"
vlan = 20
address = ["10.20.0.1/24", "2001:db8:20::1/64"]
zone = "blue"

[[policy]]
id = 1
from = "red"
to = "blue"
action = "allow"
"#;

#[test]
fn vlans_of_one_port_are_interfaces_of_their_own() {
    for v6 in [false, true] {
        let mut rig = Rig::with(if v6 { "vlan-v6" } else { "vlan-v4" }, VLANS, false);
        rig.answer_for("trunk", &["10.10.0.5", "10.20.0.5", "2001:db8:10::5", "2001:db8:20::5"]);
        let ip = |text: &str| lockgate_testkit::office::ip(text);
        let (src, dst) = if v6 {
            (ip("2001:db8:10::5"), ip("2001:db8:20::5"))
        } else {
            (ip("10.10.0.5"), ip("10.20.0.5"))
        };
        let flow = Tuple { src, dst, src_port: 4000, dst_port: 53, proto: proto::UDP };
        for round in 0..5 {
            rig.send("trunk", &rig.tagged("trunk", 10, flow).payload(b"x"));
            rig.wait(Duration::from_secs(1));
            let out = rig.one("trunk");
            assert_eq!(wire::parse(&out).expect("udp").vlan, Some(20), "round {round}");
            rig.send("trunk", &rig.tagged("trunk", 20, flow.reversed()).payload(b"x"));
            rig.wait(Duration::from_secs(1));
            let back = rig.one("trunk");
            assert_eq!(wire::parse(&back).expect("udp").vlan, Some(10), "round {round}");
        }
        assert!(rig.snapshot().get("engine.forwarded") >= 4, "{}", rig.snapshot());
        rig.banner("the other way no policy allows");
        let other = Tuple { src_port: 9, ..flow.reversed() };
        rig.send("trunk", &rig.tagged("trunk", 20, other).payload(b"x"));
        rig.expect_silence();
        assert_eq!(rig.snapshot().get("drop.implicit-deny"), 1);
    }
}

#[test]
fn a_link_that_goes_down_demotes_and_comes_back() {
    let mut rig = Rig::new("link-down", ALLOW);
    let flow = out_tuple(proto::UDP, 4000, 53, false);
    let exchange = |rig: &mut Rig| {
        rig.send("lan0", &rig.packet("lan0", flow).payload(b"x"));
        rig.one("wan0");
        rig.send("wan0", &rig.back(flow).payload(b"x"));
        rig.one("lan0");
    };
    (0..3).for_each(|_| exchange(&mut rig));
    assert_eq!(rig.snapshot().get("engine.flows"), 2);

    rig.banner("the link goes down: demoted with its reason, packets have no way");
    let wan = rig.index("wan0");
    rig.net.set_link(rig.gateway, wan, false);
    rig.settle();
    let after = rig.snapshot();
    assert_eq!(after.get("demoted.link-down"), 2, "{after}");
    assert_eq!(after.get("engine.flows"), 0);
    rig.send("lan0", &rig.packet("lan0", flow).payload(b"x"));
    rig.expect_silence();
    let after = rig.snapshot();
    assert_eq!(after.sum("drop."), 1, "{after}");

    rig.banner("it comes back: traffic flows and is promoted again");
    rig.net.set_link(rig.gateway, wan, true);
    rig.settle();
    (0..3).for_each(|_| exchange(&mut rig));
    assert_eq!(rig.snapshot().get("engine.flows"), 2);
}
