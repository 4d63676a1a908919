//! What the gateway answers, byte for byte where it matters, and when it keeps silent.

use core::net::IpAddr;

use proptest::prelude::*;
use wire::{
    Headers, Mac, Time, Tuple,
    build::{self, ETHER, Packet},
    parse, proto,
    tcp::flags,
    verify_l4_checksum,
};

use super::*;

const HOST4: [u8; 4] = [10, 0, 0, 5];
const US4: [u8; 4] = [10, 0, 0, 1];
const HOST6: [u16; 8] = [0x2001, 0xdb8, 0, 0, 0, 0, 0, 5];
const US6: [u16; 8] = [0x2001, 0xdb8, 0, 0, 0, 0, 0, 1];

fn flow(v6: bool, proto: u8) -> Tuple {
    if v6 {
        build::tuple(proto, (HOST6, 5000), (US6, 80))
    } else {
        build::tuple(proto, (HOST4, 5000), (US4, 80))
    }
}

fn us(v6: bool) -> IpAddr {
    if v6 { US6.into() } else { US4.into() }
}

fn error(kind: IcmpErrorKind, frame: &[u8], source: IpAddr) -> Option<(Vec<u8>, Headers)> {
    let mut out = vec![1, 2, 3];
    let headers = parse(frame).unwrap();
    let built = icmp_error(kind, frame, &headers, source, &mut out);
    assert_eq!(built, !out.is_empty());
    built.then(|| valid(out))
}

/// Parses an answer and checks what every answer must have.
fn valid(frame: Vec<u8>) -> (Vec<u8>, Headers) {
    let headers = parse(&frame).expect("a valid packet");
    assert_eq!(verify_l4_checksum(&frame, &headers), Ok(()));
    assert_eq!(headers.end as usize, frame.len());
    assert!(headers.eth_src.is_zero() && headers.eth_dst.is_zero() && headers.vlan.is_none());
    assert_eq!(headers.ttl, TTL);
    (frame, headers)
}

#[test]
fn every_kind_in_both_versions() {
    let cases = [
        (IcmpErrorKind::TtlExceeded, (11, 0), (3, 0), 0, 0),
        (IcmpErrorKind::ReassemblyTimeout, (11, 1), (3, 1), 0, 0),
        (IcmpErrorKind::FragNeeded { mtu: 1400 }, (3, 4), (2, 0), 1400, 1400),
        (IcmpErrorKind::NetUnreachable, (3, 0), (1, 0), 0, 0),
        (IcmpErrorKind::HostUnreachable, (3, 1), (1, 3), 0, 0),
        (IcmpErrorKind::ProtocolUnreachable, (3, 2), (4, 1), 0, 6),
        (IcmpErrorKind::PortUnreachable, (3, 3), (1, 4), 0, 0),
        (IcmpErrorKind::AdminProhibited, (3, 13), (1, 1), 0, 0),
    ];
    for (kind, v4, v6, word4, word6) in cases {
        for (is_v6, expected, word) in [(false, v4, word4), (true, v6, word6)] {
            let offending = build::udp(ETHER, flow(is_v6, proto::UDP), b"hello");
            let (answer, h) = error(kind, &offending, us(is_v6)).expect("an answer");
            assert_eq!((h.icmp_type, h.icmp_code), expected, "{kind:?}");
            assert_eq!((h.src(), h.dst()), (us(is_v6), flow(is_v6, 0).src));
            let l4 = usize::from(h.l4);
            assert_eq!(answer[l4 + 4..l4 + 8], u32::to_be_bytes(word), "{kind:?}");
            assert_eq!(answer[l4 + 8..], offending[14..], "quoted whole");
        }
    }
}

#[test]
fn the_pointer_passes_extension_headers() {
    // hop-by-hop options, then destination options that name the protocol
    let extensions = [60, 0, 1, 4, 0, 0, 0, 0, 99, 0, 1, 4, 0, 0, 0, 0];
    let frame = Packet::new(flow(true, 99)).raw().extensions(0, &extensions).payload(b"x").build();
    let (answer, h) = error(IcmpErrorKind::ProtocolUnreachable, &frame, us(true)).unwrap();
    let l4 = usize::from(h.l4);
    assert_eq!(answer[l4 + 4..l4 + 8], [0, 0, 0, 48]);
}

#[test]
fn quotes_are_cut_at_the_limits() {
    for (v6, longest) in [(false, 576), (true, 1280)] {
        let offending = build::udp(ETHER, flow(v6, proto::UDP), &[7; 1400]);
        let (answer, h) = error(IcmpErrorKind::TtlExceeded, &offending, us(v6)).unwrap();
        assert_eq!(h.ip_len(), longest);
        let quoted = &answer[usize::from(h.l4) + 8..];
        assert_eq!(quoted, &offending[14..14 + quoted.len()]);
    }
    // padding after the packet is not part of it, and a VLAN tag moves it
    let mut offending = Packet::new(flow(false, proto::UDP)).vlan(5).payload(b"hi").build();
    offending.extend([0xee; 20]);
    let (answer, h) = error(IcmpErrorKind::PortUnreachable, &offending, us(false)).unwrap();
    assert_eq!(answer[usize::from(h.l4) + 8..], offending[18..48]);
}

#[test]
fn what_is_not_answered() {
    let udp = || Packet::new(flow(false, proto::UDP)).payload(b"x");
    let kind = IcmpErrorKind::PortUnreachable;
    let silent = |packet: Packet| error(kind, &packet.build(), us(false)).is_none();
    assert!(!silent(udp()));
    assert!(silent(udp().macs(ETHER.src, Mac::BROADCAST)), "sent to a group on layer 2");
    for icmp_type in [3, 4, 5, 11, 12] {
        let about = Packet::new(flow(false, proto::ICMP)).icmp(icmp_type, 0);
        assert!(silent(about), "ICMP type {icmp_type}");
    }
    for (src, dst) in [
        ([0, 0, 0, 0], US4),
        ([224, 0, 0, 1], US4),
        ([127, 0, 0, 1], US4),
        (HOST4, [224, 0, 0, 5]),
        (HOST4, [255; 4]),
    ] {
        let flow = build::tuple(proto::UDP, (src, 1), (dst, 2));
        assert!(silent(Packet::new(flow)), "{src:?} to {dst:?}");
    }
    let other_version = error(kind, &udp().build(), us(true));
    assert!(other_version.is_none());
}

#[test]
fn too_big_is_told_even_about_groups_in_ipv6() {
    let to_group = build::tuple(proto::UDP, (HOST6, 1), ([0xff0e, 0, 0, 0, 0, 0, 0, 5], 2));
    let group_mac = Mac([0x33, 0x33, 0, 0, 0, 5]);
    let packet = |flow| Packet::new(flow).macs(ETHER.src, group_mac).payload(&[0; 1400]).build();
    let too_big = IcmpErrorKind::FragNeeded { mtu: 1300 };
    assert!(error(too_big, &packet(to_group), us(true)).is_some());
    assert!(error(IcmpErrorKind::TtlExceeded, &packet(to_group), us(true)).is_none());
    let error_to_group = Packet::new(Tuple { proto: proto::ICMPV6, ..to_group }).icmp(1, 0);
    assert!(error(too_big, &error_to_group.build(), us(true)).is_none());
    let v4 = build::tuple(proto::UDP, (HOST4, 1), ([224, 0, 0, 5], 2));
    assert!(error(too_big, &packet(v4), us(false)).is_none());
}

#[test]
fn ping() {
    for v6 in [false, true] {
        let flow = Tuple { dst_port: 0, src_port: 77, ..flow(v6, proto::ICMP) };
        let request = build::icmp_echo(ETHER, flow, 9, &[5; 1001]);
        let headers = parse(&request).unwrap();
        let mut out = Vec::new();
        assert!(echo_reply(&request, &headers, &mut out));
        let (reply, h) = valid(out);
        assert_eq!(h.tuple, headers.tuple.reversed());
        let l4 = usize::from(h.l4);
        assert_eq!(reply[l4 + 4..], request[l4 + 4..], "identifier, sequence and data");
        // a reply is not answered
        assert!(!echo_reply(&reply, &h, &mut Vec::new()));
    }
}

#[test]
fn ping_keeps_identification_and_df() {
    for df in [false, true] {
        let flow = build::tuple(proto::ICMP, (HOST4, 77), (US4, 0));
        let request = Packet::new(flow).id(0x1234).df(df).tos(0xb8).payload(&[1; 64]).build();
        let mut out = Vec::new();
        assert!(echo_reply(&request, &parse(&request).unwrap(), &mut out));
        let (reply, h) = valid(out);
        assert_eq!((h.df, h.tos, reply[18], reply[19]), (df, 0xb8, 0x12, 0x34));
    }
}

#[test]
fn pings_that_are_not_answered() {
    let silent = |packet: Packet| {
        let frame = packet.build();
        !echo_reply(&frame, &parse(&frame).unwrap(), &mut Vec::new())
    };
    let to = |dst: [u8; 4]| Packet::new(build::tuple(proto::ICMP, (HOST4, 77), (dst, 0)));
    assert!(silent(to([224, 0, 0, 1])) && silent(to([255; 4])));
    assert!(silent(to(US4).macs(ETHER.src, Mac::BROADCAST)));
    assert!(silent(to(US4).icmp(13, 0)), "a timestamp request");
    assert!(silent(Packet::new(flow(false, proto::UDP))));
}

#[test]
fn resets() {
    for v6 in [false, true] {
        let flow = flow(v6, proto::TCP);
        // (flags, payload) of the segment; (flags, seq, ack) of the reset (RFC 9293 §3.10.7.1)
        let cases = [
            (flags::SYN, 0, (flags::RST | flags::ACK, 0, 1001)),
            (flags::SYN | flags::FIN, 10, (flags::RST | flags::ACK, 0, 1012)),
            (flags::ACK, 10, (flags::RST, 2000, 0)),
            (flags::SYN | flags::ACK, 0, (flags::RST, 2000, 0)),
        ];
        for (segment_flags, payload, (expected, seq, ack)) in cases {
            let segment = build::tcp(ETHER, flow, segment_flags, 1000, 2000, &vec![0; payload]);
            let headers = parse(&segment).unwrap();
            let mut out = Vec::new();
            assert!(tcp_reset(&segment, &headers, &mut out));
            let (reset, h) = valid(out);
            assert_eq!(h.tuple, flow.reversed());
            assert_eq!(h.tcp_flags, expected);
            let l4 = usize::from(h.l4);
            assert_eq!(reset[l4 + 4..l4 + 8], u32::to_be_bytes(seq));
            assert_eq!(reset[l4 + 8..l4 + 12], u32::to_be_bytes(ack));
            assert!(!tcp_reset(&reset, &h, &mut Vec::new()), "a reset is not reset");
        }
        let udp = build::udp(ETHER, flow, b"");
        assert!(!tcp_reset(&udp, &parse(&udp).unwrap(), &mut Vec::new()));
    }
}

fn at(millis: u64) -> Time {
    Time::from_millis(millis)
}

#[test]
fn one_destination_gets_ten_a_second_and_leaves_the_rest_to_others() {
    let mut limiter = IcmpLimiter::new(1000, 1);
    let (greedy, modest) = (IpAddr::from(HOST4), IpAddr::from(US4));
    let allowed = (0..100).filter(|_| limiter.allow(greedy, at(0))).count();
    assert_eq!(allowed, 10);
    assert_eq!(limiter.judge(greedy, at(99)), LimitVerdict::DestinationLimited);
    assert!(limiter.allow(modest, at(99)));
    assert!(limiter.allow(greedy, at(100)), "one more after a tenth of a second");
    assert!(!limiter.allow(greedy, at(100)));
    let counters = IcmpLimiterCounters { allowed: 12, destination_limited: 92, gateway_limited: 0 };
    assert_eq!(limiter.counters(), &counters);
}

#[test]
fn the_gateway_sends_its_rate_on_average() {
    let mut limiter = IcmpLimiter::new(100, 1);
    let mut sent = 0;
    for n in 0..100_000u32 {
        let now = Time::from_nanos(u64::from(n) * 100_000);
        let destination = IpAddr::from((0x0a00_0000 + n).to_be_bytes());
        sent += u32::from(limiter.allow(destination, now));
    }
    // 10 s at 100 a second, and a burst of 10; each costs nothing to two tokens by chance
    assert!((900..1120).contains(&sent), "{sent}");
    assert_eq!(limiter.counters().gateway_limited, u64::from(100_000 - sent));
}

#[test]
fn zero_is_none_and_a_reload_changes_it() {
    let mut limiter = IcmpLimiter::new(0, 1);
    assert_eq!(limiter.judge(US4.into(), at(5000)), LimitVerdict::GatewayLimited);
    limiter.reload(100);
    assert!(limiter.allow(US4.into(), at(6000)));
    limiter.reload(0);
    assert!(!limiter.allow(US4.into(), at(7000)));
}

proptest! {
    /// Whatever parses: no builder panics, and what it builds is valid.
    #[test]
    fn any_packet_gets_a_valid_answer_or_none(tail in prop::collection::vec(any::<u8>(), 20..200), v6: bool) {
        let mut frame = vec![2; 12];
        frame.extend(if v6 { [0x86, 0xdd] } else { [8, 0] });
        frame.extend(&tail);
        // make it likely to parse
        if v6 {
            frame[14] = 0x60;
            let length = (frame.len() as u16).saturating_sub(54);
            frame.get_mut(18..20).unwrap().copy_from_slice(&length.to_be_bytes());
            frame[20] = [6, 17, 58, 0, 44, 60][usize::from(frame[20]) % 6];
        } else {
            frame[14] = 0x45;
            let length = frame.len() as u16 - 14;
            frame[16..18].copy_from_slice(&length.to_be_bytes());
            frame[23] = [1, 6, 17][usize::from(frame[23]) % 3];
            frame[24..26].fill(0);
            let sum = wire::checksum::checksum(&frame[14..34]);
            frame[24..26].copy_from_slice(&sum.to_be_bytes());
        }
        if let Ok(headers) = parse(&frame) {
            let mut out = Vec::new();
            for kind in [IcmpErrorKind::TtlExceeded, IcmpErrorKind::FragNeeded { mtu: 1280 }, IcmpErrorKind::ProtocolUnreachable] {
                if icmp_error(kind, &frame, &headers, us(v6), &mut out) {
                    valid(out.clone());
                }
            }
            if echo_reply(&frame, &headers, &mut out) {
                valid(out.clone());
            }
            if tcp_reset(&frame, &headers, &mut out) {
                valid(out.clone());
            }
        }
    }
}
