//! A session is set up, promoted, served by the engine, and ends: every counter named.

use core::time::Duration;

use lockgate_testkit::{
    expect_changes,
    rig::{ALLOW, ALLOW_NAT, Rig, out_tuple},
};
use wire::proto;

use crate::tcp::{ACK, FIN, PSH, Tcp};

#[test]
fn udp_is_promoted_after_three_packets_and_an_answer() {
    for v6 in [false, true] {
        let mut rig = Rig::new(if v6 { "setup-udp-v6" } else { "setup-udp-v4" }, ALLOW);

        rig.banner("the first packet sets the session up");
        let before = rig.snapshot();
        rig.send("lan0", &rig.out(proto::UDP, 40_000, 53, v6).payload(b"question"));
        assert_eq!(rig.one_tuple("wan0"), out_tuple(proto::UDP, 40_000, 53, v6));
        expect_changes!(before, rig.snapshot(), {
            "port.lan0.rx-packets" + 1,
            "engine.misses" + 1,
            "punt.flow-miss" + 1,
            "slow.setup" + 1,
            "slow.sent" + 1,
            "session.created" + 1,
            "sessions.forward" + 1,
            "ledger.not-eligible" + 2,
            "not-eligible.awaiting-reply" + 1,
            "not-eligible.below-packet-threshold" + 1,
            "not-eligible.neighbour-unresolved" + 1,
            "port.wan0.tx-packets" + 1,
        });

        rig.banner("the answer makes it go both ways; two packets are still too few");
        let before = rig.snapshot();
        rig.send("wan0", &rig.back(out_tuple(proto::UDP, 40_000, 53, v6)).payload(b"answer"));
        rig.one("lan0");
        expect_changes!(before, rig.snapshot(), {
            "port.wan0.rx-packets" + 1,
            "engine.misses" + 1,
            "punt.flow-miss" + 1,
            "slow.established" + 1,
            "slow.sent" + 1,
            "not-eligible.awaiting-reply" - 1,
            "port.lan0.tx-packets" + 1,
        });

        rig.banner("a third one still passes before promotion");
        rig.send("lan0", &rig.out(proto::UDP, 40_000, 53, v6).payload(b"again"));
        rig.one("wan0");
        assert_eq!(rig.snapshot().get("engine.flows"), 0);

        rig.banner("the next one promotes both directions");
        let before = rig.snapshot();
        rig.send("lan0", &rig.out(proto::UDP, 40_000, 53, v6).payload(b"more"));
        rig.one("wan0");
        expect_changes!(before, rig.snapshot(), {
            "port.lan0.rx-packets" + 1,
            "engine.misses" + 1,
            "punt.flow-miss" + 1,
            "slow.established" + 1,
            "slow.sent" + 1,
            "not-eligible.below-packet-threshold" - 1,
            "ledger.not-eligible" - 2,
            "ledger.installed" + 2,
            "engine.flows" + 2,
            "engine.installed" + 2,
            "port.wan0.tx-packets" + 1,
        });

        rig.banner("from then on the slow path sees nothing of it");
        let before = rig.snapshot();
        for _ in 0..5 {
            rig.send("lan0", &rig.out(proto::UDP, 40_000, 53, v6).payload(b"fast"));
            rig.one("wan0");
            rig.send("wan0", &rig.back(out_tuple(proto::UDP, 40_000, 53, v6)).payload(b"fast"));
            rig.one("lan0");
        }
        expect_changes!(before, rig.snapshot(), {
            "port.lan0.rx-packets" + 5,
            "port.wan0.rx-packets" + 5,
            "engine.hits" + 10,
            "engine.forwarded" + 10,
            "port.lan0.tx-packets" + 5,
            "port.wan0.tx-packets" + 5,
        });

        rig.banner("the session's counters are the sum of both tiers");
        let session = &rig.net.sessions(rig.gateway, "")[0];
        assert_eq!(session.original_traffic.total().packets, 8);
        assert_eq!(session.reply_traffic.total().packets, 6);
        assert_eq!(session.original_traffic.fast.packets, 5);
        assert_eq!(session.original_traffic.slow_setup.packets, 1);

        rig.banner("two idle minutes after the last packet the engine served, it ends");
        rig.wait(Duration::from_secs(110));
        assert_eq!(rig.snapshot().get("sessions.forward"), 1);
        let before = rig.snapshot();
        rig.wait(Duration::from_secs(20));
        let after = rig.snapshot();
        assert_eq!(after.get("session.ended"), 1);
        assert_eq!(after.get("demoted.idle"), 2);
        expect_changes!(before, after, &[], {
            "session.ended" + 1,
            "sessions.forward" - 1,
            "demoted.idle" + 2,
            "engine.flows" - 2,
            "engine.removed" + 2,
            "ledger.installed" - 2,
        });
    }
}

#[test]
fn tcp_is_promoted_after_its_handshake_and_leaves_the_engine_to_close() {
    for v6 in [false, true] {
        let mut rig = Rig::new(if v6 { "setup-tcp-v6" } else { "setup-tcp-v4" }, ALLOW_NAT);

        rig.banner("SYN: a half-open session");
        let before = rig.snapshot();
        let mut tcp = Tcp::syn(&mut rig, 50_000, 443, v6);
        expect_changes!(before, rig.snapshot(), {
            "port.lan0.rx-packets" + 1,
            "punt.tcp-control" + 1,
            "slow.setup" + 1,
            "slow.sent" + 1,
            "session.created" + 1,
            "sessions.forward" + 1,
            "sessions.half-open" + 1,
            "ledger.not-eligible" + 2,
            "not-eligible.not-established" + 1,
            "not-eligible.below-packet-threshold" + 1,
            "not-eligible.neighbour-unresolved" + 1,
            "port.wan0.tx-packets" + 1,
        });
        assert_ne!(tcp.seen.src, tcp.tuple.src, "the source is translated");

        rig.banner("SYN/ACK: still half-open");
        let before = rig.snapshot();
        tcp.syn_ack(&mut rig);
        expect_changes!(before, rig.snapshot(), {
            "port.wan0.rx-packets" + 1,
            "punt.tcp-control" + 1,
            "slow.established" + 1,
            "slow.sent" + 1,
            "port.lan0.tx-packets" + 1,
        });

        rig.banner("ACK: established");
        let before = rig.snapshot();
        tcp.client(&mut rig, ACK, b"");
        expect_changes!(before, rig.snapshot(), {
            "port.lan0.rx-packets" + 1,
            "engine.misses" + 1,
            "punt.flow-miss" + 1,
            "slow.established" + 1,
            "slow.sent" + 1,
            "sessions.half-open" - 1,
            "not-eligible.not-established" - 1,
            "not-eligible.neighbour-unresolved" - 1,
            "port.wan0.tx-packets" + 1,
        });

        rig.banner("the next packet finds three before it: promoted");
        let before = rig.snapshot();
        tcp.client(&mut rig, ACK | PSH, b"GET");
        expect_changes!(before, rig.snapshot(), {
            "port.lan0.rx-packets" + 1,
            "engine.misses" + 1,
            "punt.flow-miss" + 1,
            "slow.established" + 1,
            "slow.sent" + 1,
            "ledger.not-eligible" - 2,
            "not-eligible.below-packet-threshold" - 1,
            "ledger.installed" + 2,
            "engine.flows" + 2,
            "engine.installed" + 2,
            "port.wan0.tx-packets" + 1,
        });

        rig.banner("data goes by the engine, both ways, translated as the slow path did");
        let before = rig.snapshot();
        let out = tcp.client(&mut rig, ACK | PSH, b"hello");
        assert_eq!(wire::parse(&out).expect("tcp").tuple, tcp.seen);
        let back = tcp.server(&mut rig, ACK | PSH, b"world");
        assert_eq!(wire::parse(&back).expect("tcp").tuple, tcp.tuple.reversed());
        expect_changes!(before, rig.snapshot(), {
            "port.lan0.rx-packets" + 1,
            "port.wan0.rx-packets" + 1,
            "engine.hits" + 2,
            "engine.forwarded" + 2,
            "port.lan0.tx-packets" + 1,
            "port.wan0.tx-packets" + 1,
        });

        rig.banner("FIN goes to the slow path and takes both directions out of the engine");
        tcp.client(&mut rig, ACK | FIN, b"");
        let after = rig.snapshot();
        assert_eq!(after.get("punt.tcp-control"), 3, "SYN, SYN/ACK and FIN");
        assert_eq!(after.get("demoted.tcp-close"), 2);
        assert_eq!((after.get("engine.flows"), after.get("engine.retiring")), (0, 0));

        rig.banner("the other FIN and the last ACK pass on the slow path");
        tcp.server(&mut rig, ACK | FIN, b"");
        tcp.client(&mut rig, ACK, b"");
        assert_eq!(rig.snapshot().get("not-eligible.tcp-closing"), 1);
        let session = &rig.net.sessions(rig.gateway, "")[0];
        assert!(session.state.eq_ignore_ascii_case("time-wait"), "{}", session.state);
        rig.wait(Duration::from_secs(60));
        let after = rig.snapshot();
        assert_eq!((after.get("sessions.forward"), after.get("session.ended")), (0, 1));
        assert_eq!(after.get("ledger.not-eligible"), 0);
    }
}

#[test]
fn icmp_echo_is_promoted_like_any_flow() {
    for v6 in [false, true] {
        let mut rig = Rig::new(if v6 { "setup-icmp-v6" } else { "setup-icmp-v4" }, ALLOW_NAT);
        let proto = if v6 { proto::ICMPV6 } else { proto::ICMP };
        for seq in 0..6 {
            rig.send("lan0", &rig.out(proto, 77, 0, v6).echo_seq(seq).payload(b"ping"));
            let seen = rig.one_tuple("wan0");
            rig.send("wan0", &rig.back(seen).echo_seq(seq).payload(b"ping"));
            assert_eq!(rig.one_tuple("lan0"), out_tuple(proto, 77, 0, v6).reversed());
        }
        let after = rig.snapshot();
        assert_eq!(after.get("session.created"), 1);
        assert_eq!(after.get("engine.flows"), 2);
        assert_eq!(after.get("engine.forwarded"), 8, "four by the slow path, eight by the engine");
    }
}

#[test]
fn a_one_way_flow_is_promoted_when_it_has_sent_enough() {
    let mut rig = Rig::new("setup-one-way", ALLOW);
    for _ in 0..20 {
        rig.send("lan0", &rig.out(proto::UDP, 40_000, 514, false).payload(b"log"));
        rig.one("wan0");
    }
    let after = rig.snapshot();
    assert_eq!(after.get("engine.flows"), 1, "the direction that has traffic");
    assert_eq!(
        after.get("engine.forwarded"),
        3,
        "16 packets made it worth while, the 17th promoted it"
    );
    assert_eq!(after.get("not-eligible.awaiting-reply"), 1, "the other direction waits");
    let session = &rig.net.sessions(rig.gateway, "")[0];
    assert_eq!(session.offload, api::OffloadWord::Partial);
}
