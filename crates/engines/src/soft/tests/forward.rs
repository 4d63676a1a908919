//! What a forwarded frame looks like, and how it is counted.

use offload::{FlowStats, tcp_window::Segment};
use ports::{Checksum, Gso, GsoKind};
use wire::tcp::flags::{ACK, PSH, SYN};

use super::*;

#[test]
fn a_datagram_is_translated_and_sent_to_the_next_hop() {
    let mut rig = Rig::new(unlimited(8));
    let handle = rig.install(&outbound(udp(0), natted(0), 7));
    assert_eq!(rig.control.stats(handle), Some(FlowStats::default()));
    let (port, sent) =
        rig.offer(0, frame(&from_host(udp(0)).ttl(9).payload(b"hello"))).expect("a hit");
    let headers = parsed(&sent);
    assert_eq!((port, headers.tuple, headers.ttl), (1, natted(0), 8));
    assert_eq!((headers.eth_dst, headers.eth_src, headers.vlan), (ROUTER, OUT_MAC, None));
    let counted = FlowStats { packets: 1, bytes: 33, last_hit: rig.now };
    assert_eq!(rig.control.stats(handle), Some(counted));
    let stats = rig.control.engine_stats();
    assert_eq!((stats.hits, stats.misses, stats.forwarded_packets), (1, 0, 1));
    assert_eq!((stats.forwarded_bytes, stats.bursts, stats.flows), (33, 1, 1));
}

#[test]
fn ipv6_takes_the_same_way() {
    let mut rig = Rig::new(unlimited(8));
    let to = Tuple { src: "2001:db8::cafe".parse().expect("valid"), src_port: 9, ..udp6(0) };
    let handle = rig.install(&outbound(udp6(0), to, 7));
    let (_, sent) = rig.offer(0, frame(&from_host(udp6(0)).ttl(2).payload(b"hi"))).expect("a hit");
    assert_eq!((parsed(&sent).tuple, parsed(&sent).ttl), (to, 1));
    assert_eq!(rig.control.stats(handle).map(|s| (s.packets, s.bytes)), Some((1, 50)));
    assert_eq!(rig.offer(0, frame(&from_host(udp6(1)))).err(), Some(PuntCause::FlowMiss));
}

#[test]
fn tags_go_on_come_off_and_change() {
    let mut rig = Rig::new(unlimited(8));
    rig.install(&FlowProgram { adjacency: TO_TAGGED, ..outbound(udp(0), natted(0), 1) });
    rig.install(&FlowProgram {
        ingress: TAGGED,
        adjacency: TO_HOST,
        ..outbound(natted(1), udp(1), 2)
    });
    rig.install(&FlowProgram {
        ingress: TAGGED,
        adjacency: TO_TAGGED,
        ..outbound(udp(2), udp(2), 3)
    });
    // padding after the IP packet does not leave
    let mut padded = from_host(udp(0)).build();
    padded.resize(60, 0xee);
    let (port, on) = rig.offer(0, Frame::from_vec(padded)).expect("a hit");
    assert_eq!((port, parsed(&on).vlan, on.len()), (1, Some(20), 18 + 28));
    let tagged = |t| build::Packet::new(t).macs(ROUTER, OUT_MAC).vlan(20);
    let (port, off) = rig.offer(1, frame(&tagged(natted(1)))).expect("a hit");
    assert_eq!((port, parsed(&off).vlan, off.len()), (0, None, 14 + 28));
    let (_, kept) = rig.offer(1, frame(&tagged(udp(2)))).expect("a hit");
    assert_eq!((parsed(&kept).vlan, kept.len()), (Some(20), 18 + 28));
}

#[test]
fn a_super_packet_counts_as_the_packets_it_stands_for() {
    let mut rig = Rig::new(unlimited(8));
    let from = Tuple { proto: proto::TCP, ..udp(0) };
    let handle = rig.install(&outbound(from, Tuple { proto: proto::TCP, ..natted(0) }, 1));
    let big = || {
        let packet = from_host(from).tcp(ACK | PSH, 1, 1).payload(&[1; 3000]).partial_checksum();
        let mut frame = frame(&packet);
        frame.offloads.checksum = Checksum::Partial { start: 34, offset: 16 };
        frame
    };
    let gso = |size| Some(Gso { kind: GsoKind::Tcp4, size, ecn: false });
    let mut fits = big();
    fits.offloads.gso = gso(1400);
    let (_, sent) = rig.offer(0, fits).expect("a hit");
    assert_eq!(sent.offloads.gso, gso(1400));
    assert_eq!(rig.control.stats(handle).map(|s| (s.packets, s.bytes)), Some((3, 3000 + 3 * 40)));
    // with a tag in front the checksum starts later
    rig.control.remove(handle, DemotionReason::OperatorRequest);
    rig.install(&FlowProgram { adjacency: TO_TAGGED, ..outbound(from, from, 1) });
    let mut fits = big();
    fits.offloads.gso = gso(1400);
    let (_, sent) = rig.offer(0, fits).expect("a hit");
    assert_eq!(sent.offloads.checksum, Checksum::Partial { start: 38, offset: 16 });
    // a segment must fit, and the kind must be right
    let mut large = big();
    large.offloads.gso = gso(1461);
    assert_eq!(rig.offer(0, large).err(), Some(PuntCause::ExceedsMtu));
    for broken in [gso(0), Some(Gso { kind: GsoKind::Udp, size: 1400, ecn: false })] {
        let mut frame = big();
        frame.offloads.gso = broken;
        assert_eq!(rig.offer(0, frame).err(), Some(PuntCause::SuperPacketUnsupported));
    }
    assert_eq!(rig.offer(0, big()).err(), Some(PuntCause::ExceedsMtu));
}

#[test]
fn windows_are_shared_with_the_slow_path() {
    let mut rig = Rig::new(unlimited(8));
    let index = rig.windows.alloc().expect("room");
    let segment = |seq, ack, flags| Segment { seq, ack, window: 1000, len: 0, flags };
    rig.windows.open(index, &segment(99, 0, SYN), None);
    assert!(rig.windows.synack(index, &segment(499, 100, SYN | ACK), None).is_ok());
    let tuple = Tuple { proto: proto::TCP, ..udp(0) };
    rig.install(&FlowProgram { tcp_window: Some(index), ..outbound(tuple, tuple, 1) });
    let data = |seq| frame(&from_host(tuple).tcp(ACK, seq, 500).window(900).payload(&[0; 300]));
    assert!(rig.offer(0, data(100)).is_ok());
    assert_eq!(rig.windows.expected_seq(index, Direction::Original), Some(400));
    assert_eq!(rig.offer(0, data(1101)).err(), Some(PuntCause::TcpWindow));
    // a retransmission passes, and the refused one has moved nothing
    assert!(rig.offer(0, data(100)).is_ok());
    assert_eq!(rig.windows.expected_seq(index, Direction::Original), Some(400));
}

#[test]
fn echoes_are_flows_and_errors_are_not() {
    let mut rig = Rig::new(unlimited(8));
    let echo = |id| Tuple { proto: proto::ICMP, src_port: id, dst_port: 0, ..udp(0) };
    rig.install(&outbound(echo(3), Tuple { src_port: 4, ..echo(3) }, 1));
    rig.install(&outbound(echo(0), echo(0), 2));
    let (_, sent) =
        rig.offer(0, frame(&from_host(echo(3)).icmp(8, 0).payload(b"ping"))).expect("a hit");
    assert_eq!(parsed(&sent).tuple.src_port, 4);
    // an error between the same two hosts has the key of an echo with identifier zero
    let error = from_host(echo(0)).icmp(3, 1).payload(&[0; 32]);
    assert_eq!(rig.offer(0, frame(&error)).err(), Some(PuntCause::FlowMiss));
}

#[test]
fn a_next_hop_is_replaced_in_place_and_can_get_lost() {
    let mut rig = Rig::new(unlimited(8));
    rig.install(&outbound(udp(0), natted(0), 1));
    let offer = |rig: &mut Rig| rig.offer(0, frame(&from_host(udp(0))));
    rig.control.clear_adjacency(TO_ROUTER);
    assert_eq!(offer(&mut rig).err(), Some(PuntCause::AdjacencyLost));
    assert_eq!(rig.control.engine_stats().adjacencies, 2);
    let hop = Adjacency { port: 1, interface: OUT, src: OUT_MAC, dst: HOST, vlan: None, mtu: 1500 };
    rig.control.set_adjacency(TO_ROUTER, hop).expect("room");
    assert_eq!(parsed(&offer(&mut rig).expect("a hit").1).eth_dst, HOST);
    assert_eq!(rig.control.engine_stats().adjacencies, 3);
    let refused = rig.control.set_adjacency(AdjacencyId(4), hop).expect_err("four fit");
    assert_eq!(refused.to_string(), "adjacency-table-full (index=4 limit=4)");
    rig.control.clear_adjacency(AdjacencyId(4));
}

#[test]
fn traced_flows_tell_until_the_ring_is_full() {
    let mut rig = Rig::new(SoftConfig { trace_ring: 2, ..unlimited(8) });
    let handle = rig.install(&outbound(udp(0), natted(0), 7));
    let offer = |rig: &mut Rig| rig.offer(0, frame(&from_host(udp(0)))).expect("a hit");
    offer(&mut rig);
    assert!(rig.out.traces.is_empty());
    rig.control.set_traced(handle, true);
    (0..3).for_each(|_| drop(offer(&mut rig)));
    let hit = TraceHit {
        session: 7,
        direction: Direction::Original,
        before: udp(0),
        after: natted(0),
        ip_len: 28,
        time: rig.now,
    };
    assert_eq!(rig.out.traces, [hit, hit]);
    assert_eq!(rig.workers[0].traces_lost(), 1);
    rig.out.traces.clear();
    rig.control.set_traced(handle, false);
    offer(&mut rig);
    assert!(rig.out.traces.is_empty());
}

#[test]
fn virtual_routers_keep_equal_tuples_apart() {
    let mut rig = Rig::new(unlimited(8));
    rig.install(&outbound(udp(0), natted(0), 1));
    rig.install(&FlowProgram { vr: 3, ingress: OUT, ..outbound(udp(0), natted(1), 2) });
    let mut now = interfaces();
    now[1].vr = 3;
    rig.control.set_interfaces(&now);
    assert_eq!(parsed(&rig.offer(0, frame(&from_host(udp(0)))).expect("a hit").1).tuple, natted(0));
    let other = build::Packet::new(udp(0)).macs(HOST, OUT_MAC);
    assert_eq!(parsed(&rig.offer(1, frame(&other)).expect("a hit").1).tuple, natted(1));
}
