use proptest::prelude::*;

use super::*;
use crate::{parse, tcp::flags, verify_l4_checksum};

/// Any tuple of a protocol the builder makes a header for, with either IP version.
pub(crate) fn any_tuple() -> impl Strategy<Value = Tuple> {
    let ends = prop_oneof![
        (any::<[u8; 4]>(), any::<[u8; 4]>()).prop_map(|(a, b)| (IpAddr::from(a), IpAddr::from(b))),
        (any::<[u8; 16]>(), any::<[u8; 16]>())
            .prop_map(|(a, b)| (IpAddr::from(a), IpAddr::from(b))),
    ];
    let protos = prop_oneof![
        Just(proto::TCP),
        Just(proto::UDP),
        Just(proto::ICMP),
        Just(proto::SCTP),
        Just(proto::GRE),
    ];
    (ends, any::<u16>(), any::<u16>(), protos, any::<bool>()).prop_map(
        |((src, dst), a, b, proto, reply)| match proto {
            proto::ICMP => {
                let proto = if src.is_ipv6() { proto::ICMPV6 } else { proto::ICMP };
                let id = a | 1;
                let (src_port, dst_port) = if reply { (0, id) } else { (id, 0) };
                Tuple { src, dst, src_port, dst_port, proto }
            }
            proto::GRE => Tuple { src, dst, src_port: 0, dst_port: 0, proto },
            _ => Tuple { src, dst, src_port: a, dst_port: b, proto },
        },
    )
}

proptest! {
    #[test]
    fn what_is_built_is_parsed(
        tuple in any_tuple(),
        payload in prop::collection::vec(any::<u8>(), 0..200),
        ttl in any::<u8>(),
        tos in any::<u8>(),
        vlan in prop::option::of(1u16..4095),
        tcp_flags in any::<u8>(),
    ) {
        let mut packet =
            Packet::new(tuple).ttl(ttl).tos(tos).tcp(tcp_flags, 7, 9).payload(&payload);
        packet.ether.vlan = vlan;
        let frame = packet.build();
        let headers = parse(&frame).unwrap();
        prop_assert_eq!(headers.tuple, tuple);
        prop_assert_eq!((headers.ttl, headers.tos, headers.vlan), (ttl, tos, vlan));
        prop_assert_eq!((headers.eth_src, headers.eth_dst), (ETHER.src, ETHER.dst));
        prop_assert_eq!(headers.tcp_flags, if tuple.proto == proto::TCP { tcp_flags } else { 0 });
        prop_assert_eq!(headers.end as usize, frame.len());
        prop_assert_eq!(&frame[usize::from(headers.payload)..], &payload[..]);
        prop_assert_eq!(verify_l4_checksum(&frame, &headers), Ok(()));
    }

    #[test]
    fn one_flipped_bit_is_noticed(
        tuple in any_tuple().prop_filter("has a checksum", |t| t.proto != proto::GRE),
        payload in prop::collection::vec(any::<u8>(), 1..100),
        bit in any::<prop::sample::Index>(),
    ) {
        let mut frame = Packet::new(tuple).tcp(flags::ACK, 1, 1).payload(&payload).build();
        let start = usize::from(parse(&frame).unwrap().payload) * 8;
        let bit = start + bit.index(payload.len() * 8);
        frame[bit / 8] ^= 1 << (bit % 8);
        let headers = parse(&frame).unwrap();
        prop_assert!(verify_l4_checksum(&frame, &headers).is_err());
    }
}

fn hex(frame: &[u8]) -> String {
    frame.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The expected frames were written by scapy.
#[test]
fn frames_another_program_wrote() {
    let (a4, b4) = ([192, 168, 0, 31], [192, 168, 0, 30]);
    let (a6, b6) = ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], [0x2001, 0xdb8, 0, 0, 0, 0, 0, 2]);
    let udp = Packet::new(tuple(proto::UDP, (a4, 30), (b4, 20))).df(false).payload(b"Hi");
    assert_eq!(
        hex(&udp.build()),
        "02000000000202000000000108004500001e000000004011f941c0a8001fc0a8001e001e0014000a35b14869"
    );
    let tcp = Packet::new(tuple(proto::TCP, (a6, 30), (b6, 20)))
        .ttl(9)
        .tcp(flags::PSH | flags::ACK, 7, 8)
        .window(500)
        .tcp_options(&[2, 4, 5, 180, 3, 3, 7, 1])
        .payload(b"abc");
    assert_eq!(
        hex(&tcp.build()),
        "02000000000202000000000186dd60000000001f060920010db800000000000000000000000120010db8000000\
         000000000000000002001e00140000000700000008701801f45bf90000020405b403030701616263"
    );
    let sctp = Packet::new(tuple(proto::SCTP, (a4, 30), (b4, 20)))
        .id(3)
        .tcp(0, 0x0102_0304, 0)
        .payload(&[11, 0, 0, 4]);
    assert_eq!(
        hex(&sctp.build()),
        "020000000002020000000001080045000024000340004084b8c5c0a8001fc0a8001e001e001401020304\
         49837b4f0b000004"
    );
    let echo = Packet::new(tuple(proto::ICMPV6, (a6, 5), (b6, 0))).echo_seq(6).payload(b"x");
    assert_eq!(
        hex(&echo.build()),
        "02000000000202000000000186dd6000000000093a4020010db800000000000000000000000120010db8000000\
         0000000000000000028000ac3b0005000678"
    );
}

#[test]
fn what_cannot_be_built_is_empty() {
    let flow = tuple(proto::UDP, ([10, 0, 0, 1], 1), ([10, 0, 0, 2], 2));
    assert!(udp(ETHER, flow, &vec![0; 65_508]).is_empty());
    assert_eq!(udp(ETHER, flow, &vec![0; 65_507]).len(), 14 + 65_535);
    let mixed = Tuple { dst: IpAddr::from([0u8; 16]), ..flow };
    assert!(udp(ETHER, mixed, b"").is_empty());
}

#[test]
fn errors_quote_the_packet_they_are_about() {
    let flow = tuple(proto::TCP, ([10, 0, 0, 5], 5000), ([203, 0, 113, 9], 443));
    let router = IpAddr::from([192, 0, 2, 1]);
    let frame = icmp_error(ETHER, router, 11, 0, &tcp(ETHER, flow, flags::SYN, 1, 0, b""));
    let headers = parse(&frame).unwrap();
    assert_eq!((headers.src(), headers.dst(), headers.payload_len()), (router, flow.src, 28));
    assert_eq!(crate::rewrite::quoted_tuple(&frame, &headers), Some(flow));
    assert!(icmp_error(ETHER, IpAddr::from([0u16; 8]), 11, 0, &frame).is_empty());
}
