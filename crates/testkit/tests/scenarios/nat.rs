//! Translation: sources, destinations, errors about translated packets, pools that run out.

use lockgate_testkit::{
    office::ip,
    rig::{ALLOW_NAT, Rig, out_tuple},
};
use wire::{Tuple, build, proto};

use crate::tcp::{ACK, SYN, Tcp};

fn pool(kind: &str, addresses: &str, more: &str) -> String {
    format!(
        r#"
[[pool]]
name = "out"
kind = "{kind}"
addresses = "{addresses}"
{more}

[[policy]]
id = 1
from = "inside"
to = "outside"
action = "allow"
nat = "out"
"#
    )
}

#[test]
fn sources_are_hidden_behind_the_interface() {
    for v6 in [false, true] {
        let mut rig = Rig::new(if v6 { "snat-v6" } else { "snat-v4" }, ALLOW_NAT);
        let own = ip(if v6 { "2001:db8:ffff::2" } else { "203.0.113.2" });
        let mut seen = Vec::new();
        for port in [4000, 4001, 4002] {
            rig.send("lan0", &rig.out(proto::UDP, port, 53, v6).payload(b"q"));
            let tuple = rig.one_tuple("wan0");
            assert_eq!((tuple.src, tuple.dst_port), (own, 53));
            seen.push(tuple);
        }
        for (port, tuple) in [4000, 4001, 4002].into_iter().zip(seen) {
            rig.send("wan0", &rig.back(tuple).payload(b"a"));
            assert_eq!(rig.one_tuple("lan0"), out_tuple(proto::UDP, port, 53, v6).reversed());
        }
    }
}

#[test]
fn two_hosts_with_one_source_port_do_not_collide() {
    let mut rig = Rig::new("snat-collision", ALLOW_NAT);
    let five = out_tuple(proto::UDP, 4000, 53, false);
    let six = Tuple { src: ip("10.1.0.6"), ..five };
    let mut outside = Vec::new();
    for flow in [five, six] {
        rig.send("lan0", &rig.packet("lan0", flow).payload(b"q"));
        outside.push(rig.one_tuple("wan0"));
    }
    assert_ne!(outside[0], outside[1]);
    for (flow, seen) in [five, six].into_iter().zip(outside) {
        rig.send("wan0", &rig.back(seen).payload(b"a"));
        assert_eq!(rig.one_tuple("lan0"), flow.reversed());
    }
}

#[test]
fn a_one_to_one_pool_keeps_ports_and_runs_out() {
    let mut rig = Rig::new("snat-one-to-one", &pool("one-to-one", "203.0.113.50", ""));
    rig.send("lan0", &rig.out(proto::UDP, 4000, 53, false).payload(b"q"));
    let seen = rig.one_tuple("wan0");
    assert_eq!((seen.src, seen.src_port), (ip("203.0.113.50"), 4000));

    rig.banner("the second host finds no address; the first keeps working");
    let six = Tuple { src: ip("10.1.0.6"), ..out_tuple(proto::UDP, 4000, 53, false) };
    rig.send("lan0", &rig.packet("lan0", six).payload(b"q"));
    rig.expect_silence();
    assert_eq!(rig.snapshot().get("drop.nat-pool-exhausted"), 1);
    rig.send("wan0", &rig.back(seen).payload(b"a"));
    assert_eq!(rig.one_tuple("lan0"), out_tuple(proto::UDP, 4000, 53, false).reversed());
}

#[test]
fn an_overload_pool_of_four_ports_serves_four_flows_to_one_place() {
    let more = r#"ports = "5000-5003""#;
    let mut rig = Rig::new("snat-exhausted", &pool("overload", "203.0.113.50", more));
    let mut seen = Vec::new();
    for port in 4000..4004 {
        rig.send("lan0", &rig.out(proto::UDP, port, 53, false).payload(b"q"));
        seen.push(rig.one_tuple("wan0"));
    }
    rig.send("lan0", &rig.out(proto::UDP, 4004, 53, false).payload(b"q"));
    rig.expect_silence();
    let after = rig.snapshot();
    assert_eq!((after.get("drop.nat-pool-exhausted"), after.get("session.created")), (1, 4));

    rig.banner("old sessions are unharmed");
    for (port, seen) in (4000..4004).zip(seen) {
        rig.send("wan0", &rig.back(seen).payload(b"a"));
        assert_eq!(rig.one_tuple("lan0"), out_tuple(proto::UDP, port, 53, false).reversed());
    }

    rig.banner("when they have ended, ports are free again");
    rig.net.clear_sessions(rig.gateway, "");
    rig.settle();
    rig.send("lan0", &rig.out(proto::UDP, 4004, 53, false).payload(b"q"));
    rig.one("wan0");
}

#[test]
fn the_central_table_translates_in_the_policies_place() {
    let more = r#"
[[pool]]
name = "out"
addresses = "203.0.113.50"

[[central-snat]]
name = "not-these"
source = "10.1.0.6"
nat = "off"

[[central-snat]]
name = "the-rest"
to = "outside"
nat = "out"

[[policy]]
id = 1
from = "inside"
to = "outside"
action = "allow"
"#;
    let mut rig = Rig::new("snat-central", more);
    rig.send("lan0", &rig.out(proto::UDP, 4000, 53, false).payload(b"q"));
    assert_eq!(rig.one_tuple("wan0").src, ip("203.0.113.50"));
    let six = Tuple { src: ip("10.1.0.6"), ..out_tuple(proto::UDP, 4000, 53, false) };
    rig.send("lan0", &rig.packet("lan0", six).payload(b"q"));
    assert_eq!(rig.one_tuple("wan0"), six);
}

#[test]
fn a_port_block_pool_gives_each_host_its_block_and_no_more() {
    let more = "block-size = 16\nblocks-per-host = 1";
    let mut rig = Rig::new("snat-port-block", &pool("port-block", "203.0.113.50", more));
    let mut ports = Vec::new();
    for port in 4000..4016 {
        rig.send("lan0", &rig.out(proto::UDP, port, 53, false).payload(b"q"));
        ports.push(rig.one_tuple("wan0").src_port);
    }
    ports.sort_unstable();
    assert_eq!(ports[15] - ports[0], 15, "one block of 16: {ports:?}");
    rig.send("lan0", &rig.out(proto::UDP, 4016, 53, false).payload(b"q"));
    rig.expect_silence();
    assert_eq!(rig.snapshot().get("drop.nat-block-limit"), 1);

    rig.banner("another host has a block of its own");
    let six = Tuple { src: ip("10.1.0.6"), ..out_tuple(proto::UDP, 4000, 53, false) };
    rig.send("lan0", &rig.packet("lan0", six).payload(b"q"));
    let other = rig.one_tuple("wan0").src_port;
    assert!(!ports.contains(&other));
}

const VIP: &str = r#"
[[vip]]
name = "web"
external = "203.0.113.10"
mapped = "10.1.0.5"
interface = "wan"
forward = { proto = "tcp", external-port = 443, mapped-port = 8443 }

[[vip]]
name = "whole"
external = "203.0.113.11"
mapped = "10.1.0.6"
interface = "wan"

[[policy]]
id = 1
from = "outside"
to = "inside"
destination = ["web", "whole"]
action = "allow"

[[policy]]
id = 2
from = "inside"
to = "outside"
action = "allow"
nat = "interface"
"#;

#[test]
fn vips_translate_destinations_and_answers() {
    let mut rig = Rig::new("vip-rig", VIP);
    let world = |dst: &str, dst_port| Tuple {
        src: ip("203.0.113.9"),
        dst: ip(dst),
        src_port: 61_000,
        dst_port,
        proto: proto::TCP,
    };

    rig.banner("port forward");
    rig.send("wan0", &rig.packet("wan0", world("203.0.113.10", 443)).tcp(SYN, 1, 0));
    let inner = rig.one_tuple("lan0");
    assert_eq!((inner.dst, inner.dst_port), (ip("10.1.0.5"), 8443));
    rig.send("lan0", &rig.packet("lan0", inner.reversed()).tcp(SYN | ACK, 1, 2));
    assert_eq!(rig.one_tuple("wan0"), world("203.0.113.10", 443).reversed());

    rig.banner("another port of a port forward is not translated");
    rig.send("wan0", &rig.packet("wan0", world("203.0.113.10", 80)).tcp(SYN, 1, 0));
    assert!(rig.take("lan0").is_empty());

    rig.banner("1:1, any port");
    rig.forget();
    rig.send("wan0", &rig.packet("wan0", world("203.0.113.11", 8080)).tcp(SYN, 1, 0));
    let inner = rig.one_tuple("lan0");
    assert_eq!((inner.dst, inner.dst_port), (ip("10.1.0.6"), 8080));

    rig.banner("the gateway answers ARP for the VIPs");
    let asked =
        build::arp_request(rig.peer_mac("wan0"), [203, 0, 113, 9].into(), [203, 0, 113, 10].into());
    let before = rig.snapshot();
    rig.send_bytes("wan0", &asked);
    let after = rig.snapshot();
    assert_eq!(after.get("neighbour.advertisements") - before.get("neighbour.advertisements"), 1);
}

#[test]
fn an_icmp_error_about_a_translated_packet_reaches_its_sender_untranslated() {
    for v6 in [false, true] {
        let mut rig = Rig::new(if v6 { "icmp-error-v6" } else { "icmp-error-v4" }, ALLOW_NAT);
        let flow = out_tuple(proto::UDP, 4000, 53, v6);
        rig.send("lan0", &rig.packet("lan0", flow).payload(b"question"));
        let sent = rig.one("wan0");
        let seen = wire::parse(&sent).expect("udp").tuple;
        assert_ne!(seen.src, flow.src);

        rig.banner("a router outside says: port unreachable, quoting the packet as it saw it");
        let router = ip(if v6 { "2001:db8:ffff::1" } else { "203.0.113.1" });
        let error = unreachable(&rig, router, &sent, v6);
        rig.send("wan0", &error);
        let got = rig.one("lan0");
        let headers = wire::parse(&got).expect("icmp");
        assert_eq!((headers.src(), headers.dst()), (router, flow.src));
        assert_eq!(wire::rewrite::quoted_tuple(&got, &headers), Some(flow));
        wire::verify_l4_checksum(&got, &headers).expect("its checksum is right");

        rig.banner("one that quotes a packet of no session is dropped");
        let stranger = rig.packet("wan0", Tuple { src_port: 9, ..seen }).payload(b"x").build();
        rig.send("wan0", &unreachable(&rig, router, &stranger, v6));
        rig.expect_silence();
        assert_eq!(rig.snapshot().get("drop.icmp-error-unrelated"), 1);
    }
}

/// Port unreachable from `router`, about the packet in `frame`, to its sender.
fn unreachable(rig: &Rig, router: core::net::IpAddr, frame: &[u8], v6: bool) -> build::Packet {
    let about = wire::parse(frame).expect("a packet");
    let quoted = &frame[usize::from(about.l3)..];
    let (proto, kind, code) = if v6 { (proto::ICMPV6, 1, 4) } else { (proto::ICMP, 3, 3) };
    let tuple = Tuple { src: router, dst: about.src(), src_port: 0, dst_port: 0, proto };
    rig.packet("wan0", tuple).icmp(kind, code).echo_seq(0).payload(quoted)
}

#[test]
fn redirects_are_ignored() {
    let mut rig = Rig::new("redirect", ALLOW_NAT);
    rig.send("lan0", &rig.out(proto::UDP, 4000, 53, false).payload(b"q"));
    let sent = rig.one("wan0");
    let quoted = &sent[14..];
    let tuple = Tuple {
        src: ip("203.0.113.1"),
        dst: ip("203.0.113.2"),
        src_port: 0,
        dst_port: 0,
        proto: proto::ICMP,
    };
    rig.send("wan0", &rig.packet("wan0", tuple).icmp(5, 1).payload(quoted));
    rig.expect_silence();
    assert_eq!(rig.snapshot().get("drop.icmp-redirect-ignored"), 1);
}

#[test]
fn tcp_through_nat_keeps_its_sequence_numbers_on_both_tiers() {
    let mut rig = Rig::new("nat-tcp", ALLOW_NAT);
    let mut tcp = Tcp::open(&mut rig, 50_000, 443, false);
    for round in 0..4u8 {
        let out = tcp.client(&mut rig, ACK, &[round; 100]);
        let headers = wire::parse(&out).expect("tcp");
        assert_eq!(headers.tuple, tcp.seen);
        wire::verify_l4_checksum(&out, &headers).expect("its checksum is right");
        assert!(out.ends_with(&[round; 100]));
    }
    assert_eq!(rig.snapshot().get("engine.forwarded"), 3, "the first data segment promoted it");
}
