//! Packets that are too big, too old, or come in pieces; super-packets.

use lockgate_testkit::{
    office::ip,
    rig::{ALLOW, ALLOW_NAT, BASE, NEIGHBOURS, Rig, out_tuple},
    sim::Clip,
};
use ports::{Checksum, Gso, GsoKind, Offloads};
use wire::{fragment::Fragmenter, proto};

use crate::tcp::{ACK, SYN, Tcp};

/// A rig whose `wan` takes packets of 1400 bytes.
fn narrow(name: &str, more: &str) -> Rig {
    let base = BASE.replace("zone = \"outside\"", "zone = \"outside\"\nmtu = 1400");
    Rig::with(name, &format!("{NEIGHBOURS}{base}{more}"), false)
}

#[test]
fn a_packet_too_big_for_its_way_out_is_answered_or_cut() {
    let mut rig = narrow("too-big", ALLOW);

    rig.banner("IPv4, may not be cut: fragmentation needed, with the MTU (RFC 1191)");
    let before = rig.snapshot();
    rig.send("lan0", &rig.out(proto::UDP, 4000, 53, false).payload(&[1; 1450]));
    let answer = rig.one("lan0");
    let headers = wire::parse(&answer).expect("icmp");
    assert_eq!((headers.icmp_type, headers.icmp_code), (3, 4));
    assert_eq!(answer[usize::from(headers.l4) + 6..][..2], 1400u16.to_be_bytes());
    let changes = rig.snapshot().changes_since(&before);
    assert_eq!(changes.get("drop.mtu-exceeded"), Some(&1), "{changes:?}");
    assert_eq!(changes.get("icmp.errors"), Some(&1), "{changes:?}");

    rig.banner("IPv4, may be cut: fragments that make up the packet");
    let packet = rig.out(proto::UDP, 4001, 53, false).df(false).id(77).payload(&[2; 1450]);
    rig.send("lan0", &packet);
    let pieces = rig.take("wan0");
    assert_eq!(pieces.len(), 2);
    assert!(pieces.iter().all(|piece| piece.len() <= 14 + 1400));
    assert_eq!(rig.snapshot().get("fragment.made"), 2);

    rig.banner("IPv6: packet too big, with the MTU (RFC 8201)");
    rig.send("lan0", &rig.out(proto::UDP, 4000, 53, true).payload(&[3; 1400]));
    let answer = rig.one("lan0");
    let headers = wire::parse(&answer).expect("icmp");
    assert_eq!((headers.icmp_type, headers.icmp_code), (2, 0));
    assert_eq!(answer[usize::from(headers.l4) + 4..][..4], 1400u32.to_be_bytes());
}

#[test]
fn a_promoted_flow_hears_of_the_mtu_too() {
    let mut rig = narrow("too-big-fast", ALLOW_NAT);
    let flow = out_tuple(proto::UDP, 4000, 53, false);
    for _ in 0..3 {
        rig.send("lan0", &rig.packet("lan0", flow).payload(b"x"));
        let seen = rig.one_tuple("wan0");
        rig.send("wan0", &rig.back(seen).payload(b"x"));
        rig.one("lan0");
    }
    assert_eq!(rig.snapshot().get("engine.flows"), 2);
    rig.send("lan0", &rig.packet("lan0", flow).payload(&[1; 1450]));
    let answer = rig.one("lan0");
    assert_eq!(wire::parse(&answer).expect("icmp").icmp_type, 3);
    let after = rig.snapshot();
    assert_eq!((after.get("punt.exceeds-mtu"), after.get("drop.mtu-exceeded")), (1, 1));
    assert_eq!(after.get("engine.flows"), 2, "the flow stays promoted");
}

#[test]
fn the_last_hop_tells_who_it_is() {
    for (v6, promoted) in [(false, false), (true, false), (false, true), (true, true)] {
        let name = format!(
            "ttl-{}-{}",
            if v6 { "v6" } else { "v4" },
            if promoted { "fast" } else { "slow" }
        );
        let mut rig = Rig::new(&name, ALLOW);
        let flow = out_tuple(proto::UDP, 4000, 33_434, v6);
        if promoted {
            for _ in 0..3 {
                rig.send("lan0", &rig.packet("lan0", flow).payload(b"x"));
                rig.one("wan0");
                rig.send("wan0", &rig.back(flow).payload(b"x"));
                rig.one("lan0");
            }
        }
        let before = rig.snapshot();
        rig.send("lan0", &rig.packet("lan0", flow).ttl(1).payload(b"probe"));
        let answer = rig.one("lan0");
        let headers = wire::parse(&answer).expect("icmp");
        assert_eq!((headers.icmp_type, headers.icmp_code), if v6 { (3, 0) } else { (11, 0) });
        assert_eq!(headers.src(), ip(if v6 { "2001:db8:1::1" } else { "10.1.0.1" }));
        assert_eq!(wire::rewrite::quoted_tuple(&answer, &headers), Some(flow));
        let changes = rig.snapshot().changes_since(&before);
        assert_eq!(changes.get("drop.ttl-expired"), Some(&1), "{changes:?}");
        if promoted {
            assert_eq!(changes.get("punt.ttl-expiring"), Some(&1), "{changes:?}");
        }

        rig.banner("one more, and it passes with a TTL of one");
        rig.send("lan0", &rig.packet("lan0", flow).ttl(2).payload(b"probe"));
        assert_eq!(wire::parse(&rig.one("wan0")).expect("udp").ttl, 1);
    }
}

/// The fragments of a datagram, each at most 600 bytes of IP packet.
fn fragments(frame: &[u8], id: u32) -> Vec<Vec<u8>> {
    let headers = wire::parse(frame).expect("a packet");
    let mut cutter = Fragmenter::new(frame, &headers, 600, id).expect("may be cut");
    let mut pieces = Vec::new();
    let mut piece = Vec::new();
    while cutter.next(&mut piece) {
        pieces.push(piece.clone());
        piece.clear();
    }
    pieces
}

#[test]
fn fragments_are_put_together_whatever_their_order() {
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let mut rig = Rig::new(&format!("fragments-{order:?}"), ALLOW_NAT);
        let payload: Vec<u8> = (0..1400).map(|i| i as u8).collect();
        let whole = rig.out(proto::UDP, 4000, 53, false).df(false).id(7).payload(&payload).build();
        let pieces = fragments(&whole, 7);
        assert_eq!(pieces.len(), 3);
        for (n, index) in order.into_iter().enumerate() {
            rig.send_bytes("lan0", &pieces[index]);
            if n < 2 {
                rig.expect_silence();
            }
        }
        let sent = rig.take("wan0");
        let bytes: usize = sent.iter().map(Vec::len).sum();
        assert!(!sent.is_empty() && bytes > 1400, "{} pieces, {bytes} bytes", sent.len());
        let after = rig.snapshot();
        assert_eq!(after.get("fragment.reassembled"), 1);
        assert_eq!(after.get("punt.fragment"), 3);
        assert_eq!(after.get("session.created"), 1);
        assert_eq!(after.get("not-eligible.fragment"), 1);
    }
}

#[test]
fn fragments_of_ipv6_are_put_together_too() {
    let mut rig = Rig::new("fragments-v6", ALLOW);
    let flow = out_tuple(proto::UDP, 4000, 53, true);
    let whole = rig.packet("lan0", flow).payload(&[4; 1000]).build();
    let data = &whole[14 + 40..];
    for (offset, range, more) in [(0u16, 0..512, 1u16), (512, 512..data.len(), 0)] {
        // Next header, reserved, offset in units of eight bytes with the M flag, identification.
        let mut header = vec![proto::UDP, 0];
        header.extend((offset | more).to_be_bytes());
        header.extend(99u32.to_be_bytes());
        let piece = rig.packet("lan0", flow).extensions(44, &header).raw().payload(&data[range]);
        rig.send("lan0", &piece);
    }
    let sent = rig.take("wan0");
    assert_eq!(rig.snapshot().get("fragment.reassembled"), 1, "{}", rig.snapshot());
    assert!(!sent.is_empty());
    assert_eq!(rig.snapshot().get("slow.sent"), 1);
}

#[test]
fn fragments_that_overlap_or_never_complete_are_dropped_by_reason() {
    let mut rig = Rig::new("fragments-bad", ALLOW);
    let whole = rig.out(proto::UDP, 4000, 53, false).df(false).id(9).payload(&[5; 1400]).build();
    let pieces = fragments(&whole, 9);

    rig.banner("two that overlap without being the same: the packet is gone (RFC 5722)");
    let mut shifted = pieces[1].clone();
    let field = u16::from_be_bytes([shifted[20], shifted[21]]) - 1;
    shifted[20..22].copy_from_slice(&field.to_be_bytes());
    let headers = wire::parse(&pieces[1]).expect("a fragment");
    let l3 = usize::from(headers.l3);
    shifted[l3 + 10..l3 + 12].fill(0);
    let sum = wire::checksum::checksum(&shifted[l3..l3 + 20]);
    shifted[l3 + 10..l3 + 12].copy_from_slice(&sum.to_be_bytes());
    rig.send_bytes("lan0", &pieces[0]);
    rig.send_bytes("lan0", &shifted);
    rig.expect_silence();
    let after = rig.snapshot();
    assert!(after.get("drop.fragment-overlap") >= 1, "{after}");

    rig.banner("one that stays alone: dropped in time, and its sender is told");
    let whole = rig.out(proto::UDP, 4000, 53, false).df(false).id(10).payload(&[5; 1400]).build();
    rig.send_bytes("lan0", &fragments(&whole, 10)[0]);
    rig.wait(core::time::Duration::from_secs(35));
    let after = rig.snapshot();
    assert_eq!(after.get("drop.fragment-timeout"), 1, "{after}");
    let answer = rig.one("lan0");
    let headers = wire::parse(&answer).expect("icmp");
    assert_eq!((headers.icmp_type, headers.icmp_code), (11, 1));
}

#[test]
fn the_mss_of_a_syn_is_clamped_both_ways() {
    for v6 in [false, true] {
        let base = BASE
            .replace("zone = \"outside\"", "zone = \"outside\"\nmtu = 1400\nmss-clamp = \"auto\"");
        let name = if v6 { "mss-v6" } else { "mss-v4" };
        let mut rig = Rig::with(name, &format!("{NEIGHBOURS}{base}{ALLOW}"), false);
        let mss = if v6 { 1340u16 } else { 1360 };
        let option = [2, 4, 0x05, 0xb4];
        rig.send("lan0", &rig.out(proto::TCP, 50_000, 80, v6).tcp(SYN, 1, 0).tcp_options(&option));
        let out = rig.one("wan0");
        let headers = wire::parse(&out).expect("tcp");
        assert_eq!(out[usize::from(headers.l4) + 22..][..2], mss.to_be_bytes());
        wire::verify_l4_checksum(&out, &headers).expect("its checksum is right");
        let answer = rig.back(headers.tuple).tcp(SYN | ACK, 1, 2).tcp_options(&option);
        rig.send("wan0", &answer);
        let back = rig.one("lan0");
        let headers = wire::parse(&back).expect("tcp");
        assert_eq!(back[usize::from(headers.l4) + 22..][..2], mss.to_be_bytes());
        assert_eq!(rig.snapshot().get("tcp.mss-clamped"), 2);
    }
}

#[test]
fn a_super_packet_crosses_whole_where_the_port_takes_it_and_is_cut_where_not() {
    for whole in [true, false] {
        let name = if whole { "super-whole" } else { "super-cut" };
        let mut rig = Rig::with(name, &format!("{NEIGHBOURS}{BASE}{ALLOW_NAT}"), true);
        let mut tcp = Tcp::promoted(&mut rig, 50_000, 80, false);
        if !whole {
            let port = rig.index("wan0");
            rig.net.gateway_mut(rig.gateway).set_plain(port);
        }
        let payload: Vec<u8> = (0..5000).map(|i| i as u8).collect();
        let packet = rig.packet("lan0", tcp.tuple).tcp(ACK, tcp.client, tcp.server);
        let bytes = packet.payload(&payload).partial_checksum().build();
        let offloads = Offloads {
            checksum: Checksum::Partial { start: 34, offset: 16 },
            gso: Some(Gso { kind: GsoKind::Tcp4, size: 1000, ecn: false }),
        };
        let before = rig.snapshot();
        rig.send_clip("lan0", Clip { bytes, offloads });
        tcp.client += 5000;
        let out = rig.take_clips("wan0");
        let after = rig.snapshot();
        let count = |name: &str| after.get(name) - before.get(name);
        assert_eq!(count("engine.forwarded"), 5, "it counts as the packets it stands for");
        assert_eq!(count("port.wan0.tx-packets"), 5);
        if whole {
            assert_eq!((out.len(), out[0].offloads.gso.map(|g| g.size)), (1, Some(1000)));
        } else {
            assert_eq!(out.len(), 5);
        }
        let mut stream: Vec<u8> = Vec::new();
        for clip in out.iter().flat_map(Clip::finished) {
            let headers = wire::parse(&clip.bytes).expect("tcp");
            assert_eq!(headers.tuple, tcp.seen);
            wire::verify_l4_checksum(&clip.bytes, &headers).expect("its checksum is right");
            stream.extend(&clip.bytes[usize::from(headers.payload)..headers.end as usize]);
        }
        assert!(stream == payload, "the stream is whole and in order");
    }
}

#[test]
fn a_super_packet_counts_the_same_bytes_whichever_tier_serves_it() {
    for offload in ["auto", "off"] {
        let name = format!("super-bytes-{offload}");
        let config = format!("{NEIGHBOURS}{BASE}{ALLOW_NAT}offload = \"{offload}\"\n");
        let mut rig = Rig::with(&name, &config, true);
        let mut tcp = match offload {
            "auto" => Tcp::promoted(&mut rig, 50_000, 80, false),
            _ => Tcp::open(&mut rig, 50_000, 80, false),
        };
        let sent = |rig: &mut Rig| rig.net.sessions(rig.gateway, "")[0].original_traffic.total();
        let before = sent(&mut rig);
        let packet = rig.packet("lan0", tcp.tuple).tcp(ACK, tcp.client, tcp.server);
        let bytes = packet.payload(&[7; 5000]).partial_checksum().build();
        let offloads = Offloads {
            checksum: Checksum::Partial { start: 34, offset: 16 },
            gso: Some(Gso { kind: GsoKind::Tcp4, size: 1000, ecn: false }),
        };
        rig.send_clip("lan0", Clip { bytes, offloads });
        tcp.client += 5000;
        rig.forget();
        let after = sent(&mut rig);
        let moved = (after.packets - before.packets, after.bytes - before.bytes);
        assert_eq!(moved, (5, 5000 + 5 * 40), "offload {offload}");
    }
}

#[test]
fn a_dropped_super_packet_counts_as_the_packets_it_stands_for() {
    let mut rig = Rig::with("super-drop", &format!("{NEIGHBOURS}{BASE}"), true);
    let packet = rig.out(wire::proto::UDP, 4000, 53, false);
    let bytes = packet.payload(&[7; 5000]).partial_checksum().build();
    let offloads = Offloads {
        checksum: Checksum::Partial { start: 34, offset: 6 },
        gso: Some(Gso { kind: GsoKind::Udp, size: 1000, ecn: false }),
    };
    rig.send_clip("lan0", Clip { bytes, offloads });
    let after = rig.snapshot();
    assert_eq!((after.get("drop.implicit-deny"), after.get("interface.lan.dropped")), (5, 5));
}
