use proptest::prelude::*;
use reason::DropReason;

use super::*;
use crate::{
    build::{self, Packet, tests::any_tuple},
    icmp, parse,
    tcp::flags,
};

fn v4(proto: u8) -> Tuple {
    build::tuple(proto, ([10, 0, 0, 5], 5000), ([203, 0, 113, 9], 53))
}

/// A tuple of the same version and protocol, with other addresses and ports.
fn another(like: Tuple, seed: [u8; 16], a: u16, b: u16) -> Tuple {
    let [s0, s1, s2, s3, d0, d1, d2, d3, ..] = seed;
    let (src, dst) = if like.is_v6() {
        let mut dst = seed;
        dst.reverse();
        (IpAddr::from(seed), IpAddr::from(dst))
    } else {
        (IpAddr::from([s0, s1, s2, s3]), IpAddr::from([d0, d1, d2, d3]))
    };
    let (src_port, dst_port) = match like.proto {
        proto::ICMP | proto::ICMPV6 if like.src_port != 0 => (a | 1, 0),
        proto::ICMP | proto::ICMPV6 => (0, a | 1),
        proto::GRE => (0, 0),
        _ => (a, b),
    };
    Tuple { src, dst, src_port, dst_port, proto: like.proto }
}

/// The tuples of a case, drawn together.
fn from_and_to() -> impl Strategy<Value = (Tuple, Tuple)> {
    (any_tuple(), any::<[u8; 16]>(), any::<u16>(), any::<u16>())
        .prop_map(|(from, seed, a, b)| (from, another(from, seed, a, b)))
}

proptest! {
    #[test]
    fn a_rewritten_packet_is_the_packet_built_so(
        (from, to) in from_and_to(),
        payload in prop::collection::vec(any::<u8>(), 0..100),
        ttl in 2u8..,
    ) {
        let of = |tuple, ttl| {
            Packet::new(tuple).ttl(ttl).tcp(flags::ACK, 5, 6).payload(&payload).build()
        };
        let mut frame = of(from, ttl);
        let original = frame.clone();
        let headers = parse(&frame).unwrap();
        let rewrite = Rewrite::compile(from, to);
        prop_assert_eq!(rewrite.result(from.proto), to);
        rewrite.apply(&mut frame, &headers, true, false);
        prop_assert_eq!(&frame, &of(to, ttl - 1));

        let headers = parse(&frame).unwrap();
        prop_assert_eq!(headers.tuple, to);
        prop_assert_eq!(verify_l4_checksum(&frame, &headers), Ok(()));
        Rewrite::compile(to, from).apply(&mut frame, &headers, false, false);
        let back = of(from, ttl - 1);
        prop_assert_eq!(&frame, &back);
        prop_assert_eq!(frame.len(), original.len());
    }

    #[test]
    fn partial_checksums_stay_partial(
        (from, to) in from_and_to().prop_filter("has one", |(from, _)| {
            matches!(from.proto, proto::TCP | proto::UDP | proto::ICMPV6)
        }),
        payload in prop::collection::vec(any::<u8>(), 0..50),
    ) {
        let packet = |tuple| Packet::new(tuple).tcp(flags::ACK, 5, 6).payload(&payload);
        let mut frame = packet(from).partial_checksum().build();
        let headers = parse(&frame).unwrap();
        Rewrite::compile(from, to).apply(&mut frame, &headers, false, true);
        let offset = match from.proto {
            proto::TCP => 16,
            proto::UDP => 6,
            _ => 2,
        };
        checksum::finish_partial(&mut frame, headers.l4, offset).unwrap();
        let headers = parse(&frame).unwrap();
        prop_assert_eq!(headers.tuple, to);
        prop_assert_eq!(verify_l4_checksum(&frame, &headers), Ok(()));
    }

    #[test]
    fn quotes_are_translated(
        (from, to) in from_and_to().prop_filter("has ports", |(from, _)| from.proto != proto::GRE),
        payload in prop::collection::vec(any::<u8>(), 0..60),
        cut in 8usize..100,
    ) {
        let inner = |tuple| {
            let packet = Packet::new(tuple).tcp(flags::ACK, 5, 6).payload(&payload).build();
            packet[14..].to_vec()
        };
        let (quoted, wanted) = (inner(from), inner(to));
        let header = if from.is_v6() { 40 } else { 20 };
        // a checksum field cut in half cannot be translated
        let cut = (header + (cut & !1)).min(quoted.len());
        let error = |quote: &[u8]| {
            let icmp = if from.is_v6() { proto::ICMPV6 } else { proto::ICMP };
            let kind = if from.is_v6() { icmp::v6::UNREACHABLE } else { icmp::v4::UNREACHABLE };
            let outer = Tuple { src_port: 0, dst_port: 0, proto: icmp, ..from.reversed() };
            Packet::new(outer).icmp(kind, 1).payload(quote).build()
        };
        let mut frame = error(&quoted[..cut]);
        let headers = parse(&frame).unwrap();
        prop_assert_eq!(quoted_tuple(&frame, &headers), Some(from));
        let before = frame.clone();
        if from != to {
            prop_assert!(!rewrite_quoted(&mut frame, &headers, to, from));
        }
        prop_assert_eq!(&frame, &before);
        prop_assert!(rewrite_quoted(&mut frame, &headers, from, to));
        prop_assert_eq!(quoted_tuple(&frame, &headers), Some(to));
        prop_assert_eq!(verify_l4_checksum(&frame, &headers), Ok(()));
        // the CRC of an SCTP quote is the one thing that is not translated
        if from.proto != proto::SCTP {
            prop_assert_eq!(&frame, &error(&wanted[..cut]));
        }
    }

    #[test]
    fn any_quote(quote in prop::collection::vec(any::<u8>(), 0..120), six in any::<bool>()) {
        let (outer, first) = if six {
            (build::tuple(proto::ICMPV6, ([1u16; 8], 0), ([2u16; 8], 0)), 0x60)
        } else {
            (build::tuple(proto::ICMP, ([1; 4], 0), ([2; 4], 0)), 0x45)
        };
        let kind = if six { icmp::v6::TIME_EXCEEDED } else { icmp::v4::TIME_EXCEEDED };
        for forced in [false, true] {
            let mut quote = quote.clone();
            if let (true, Some(byte)) = (forced, quote.first_mut()) {
                *byte = first;
            }
            let mut frame = Packet::new(outer).icmp(kind, 0).payload(&quote).build();
            let headers = parse(&frame).unwrap();
            if let Some(from) = quoted_tuple(&frame, &headers) {
                prop_assert!(rewrite_quoted(&mut frame, &headers, from, from.reversed()));
                prop_assert_eq!(verify_l4_checksum(&frame, &headers), Ok(()));
            }
        }
    }

    #[test]
    fn any_headers(
        frame in prop::collection::vec(any::<u8>(), 0..100),
        l3 in any::<u16>(), l4 in any::<u16>(), end in 0u32..200,
        proto in prop::sample::select(vec![1u8, 6, 17, 58, 132, 47]),
        six in any::<bool>(), partial in any::<bool>(),
    ) {
        // headers of another frame: wrong, but no reason to panic
        let version = if six { IpVersion::V6 } else { IpVersion::V4 };
        let headers = Headers {
            kind: L3::Ip(version), l3: l3 % 120, l4: l4 % 120, end, tuple: v4(proto), ..Headers::EMPTY
        };
        let mut frame = frame;
        Rewrite::compile(v4(proto), v4(proto).reversed()).apply(&mut frame, &headers, true, partial);
        decrement_ttl(&mut frame, &headers);
    }
}

#[test]
fn a_udp_checksum_of_zero_stays() {
    let mut frame = Packet::new(v4(proto::UDP)).zero_checksum().payload(b"x").build();
    let headers = parse(&frame).unwrap();
    Rewrite::compile(v4(proto::UDP), v4(proto::UDP).reversed())
        .apply(&mut frame, &headers, true, false);
    let l4 = usize::from(headers.l4);
    assert_eq!(frame[l4 + 6..l4 + 8], [0, 0]);
    assert_eq!(parse(&frame).unwrap().tuple, v4(proto::UDP).reversed());
}

#[test]
fn a_udp_checksum_that_comes_out_zero_is_sent_as_ones() {
    let from = v4(proto::UDP);
    let base = Packet::new(from).payload(&[0, 0]).build();
    // the two payload bytes that make the sum after the rewrite all ones
    let to = Tuple { src_port: 40_000, ..from };
    let l4 = usize::from(parse(&base).unwrap().l4);
    let rebuilt = Packet::new(to).payload(&[0, 0]).build();
    let fill = u16_at(&rebuilt, l4 + 6).to_be_bytes();
    let mut frame = Packet::new(from).payload(&fill).build();
    let headers = parse(&frame).unwrap();
    Rewrite::compile(from, to).apply(&mut frame, &headers, false, false);
    assert_eq!(u16_at(&frame, l4 + 6), 0xffff);
    assert_eq!(verify_l4_checksum(&frame, &headers_of(&frame)), Ok(()));
}

fn headers_of(frame: &[u8]) -> Headers {
    parse(frame).unwrap()
}

fn u16_at(frame: &[u8], at: usize) -> u16 {
    crate::bytes::u16_at(frame, at).unwrap()
}

#[test]
fn a_wrong_checksum_stays_wrong() {
    for (proto, reason) in [
        (proto::TCP, DropReason::TcpChecksumInvalid),
        (proto::UDP, DropReason::UdpChecksumInvalid),
        (proto::SCTP, DropReason::SctpChecksumInvalid),
    ] {
        let mut frame = Packet::new(v4(proto)).payload(b"damaged").build();
        let last = frame.len() - 1;
        frame[last] ^= 0x10;
        let headers = parse(&frame).unwrap();
        Rewrite::compile(v4(proto), v4(proto).reversed()).apply(&mut frame, &headers, false, false);
        let headers = parse(&frame).unwrap();
        assert_eq!(headers.tuple, v4(proto).reversed());
        assert_eq!(verify_l4_checksum(&frame, &headers), Err(reason));
    }
}

#[test]
fn later_fragments_change_addresses_only() {
    let from = v4(proto::UDP);
    let headers = parse(&build::udp(build::ETHER, from, &[9; 16])).unwrap();
    let mut frame = build::ip(build::ETHER, from, &[9; 24]);
    frame[20] = 0; // offset 8, so not the first
    frame[21] = 1;
    frame[24..26].copy_from_slice(&[0, 0]);
    let sum = checksum::checksum(&frame[14..34]);
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    let later = parse(&frame).unwrap();
    assert_eq!(later.fragment, Fragmentation::Later);
    Rewrite::compile(from, from.reversed()).apply(&mut frame, &later, true, false);
    assert_eq!(&frame[usize::from(headers.l4)..], &[9; 24]);
    let later = parse(&frame).unwrap();
    assert_eq!((later.src(), later.dst(), later.ttl), (from.dst, from.src, 63));
}

#[test]
fn ttl_zero_stays_zero() {
    for tuple in [v4(proto::UDP), build::tuple(proto::UDP, ([1u16; 8], 1), ([2u16; 8], 2))] {
        let mut frame = Packet::new(tuple).ttl(0).build();
        let before = frame.clone();
        let headers = parse(&frame).unwrap();
        decrement_ttl(&mut frame, &headers);
        assert_eq!(frame, before);
    }
}

#[test]
fn errors_inside_a_session_keep_their_checksum() {
    // an ICMP error has no identifier: only the addresses change with it
    let tuple = build::tuple(proto::ICMPV6, ([1u16; 8], 0), ([2u16; 8], 0));
    let mut frame = Packet::new(tuple).icmp(1, 0).payload(&[0; 48]).build();
    let headers = parse(&frame).unwrap();
    let from = Tuple { src_port: 9, ..tuple };
    let to = build::tuple(proto::ICMPV6, ([3u16; 8], 11), ([4u16; 8], 0));
    Rewrite::compile(from, to).apply(&mut frame, &headers, true, false);
    let headers = parse(&frame).unwrap();
    assert_eq!((headers.src(), headers.dst()), (to.src, to.dst));
    assert_eq!(verify_l4_checksum(&frame, &headers), Ok(()));
}

#[test]
fn later_fragments_in_quotes() {
    let from = v4(proto::UDP);
    let mut inner = build::udp(build::ETHER, from, b"0123456789")[14..].to_vec();
    inner[7] = 5;
    let outer = Tuple { src_port: 0, dst_port: 0, proto: proto::ICMP, ..from.reversed() };
    let mut frame = Packet::new(outer).icmp(3, 1).payload(&inner).build();
    let headers = parse(&frame).unwrap();
    let bare = Tuple { src_port: 0, dst_port: 0, ..from };
    assert_eq!(quoted_tuple(&frame, &headers), Some(bare));
    assert!(rewrite_quoted(&mut frame, &headers, from, from.reversed()));
    assert_eq!(quoted_tuple(&frame, &headers), Some(bare.reversed()));
    assert_eq!(&frame[14 + 20 + 8 + 20..], &inner[20..]);
}
