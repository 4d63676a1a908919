use proptest::prelude::*;

use super::*;
use crate::build::{self, ETHER, Packet};

fn udp4() -> Tuple {
    build::tuple(proto::UDP, ([10, 0, 0, 5], 5000), ([203, 0, 113, 9], 53))
}

fn udp6() -> Tuple {
    let src = [0x2001, 0xdb8, 0, 1, 0, 0, 0, 5];
    let dst = [0x2001, 0xdb8, 0, 2, 0, 0, 0, 9];
    build::tuple(proto::UDP, (src, 5000), (dst, 53))
}

/// Sets one byte of the IPv4 header and repairs its checksum.
fn patch4(frame: &mut [u8], at: usize, value: u8) {
    frame[14 + at] = value;
    let length = usize::from(frame[14] & 0xf) * 4;
    frame[24..26].copy_from_slice(&[0, 0]);
    let sum = checksum::checksum(&frame[14..14 + length]);
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
}

#[test]
fn short_and_foreign_frames() {
    assert_eq!(parse(&[]), Err(DropReason::FrameTooShort));
    assert_eq!(parse(&[0; 13]), Err(DropReason::FrameTooShort));
    let mut frame = build::udp(ETHER, udp4(), b"x");
    frame[12..14].copy_from_slice(&[0x88, 0xcc]);
    assert_eq!(parse(&frame), Err(DropReason::EthertypeUnsupported));
    frame[12..14].copy_from_slice(&[0x81, 0x00]);
    assert_eq!(parse(&frame[..17]), Err(DropReason::FrameTooShort));
}

#[test]
fn vlan_tags() {
    let frame = Packet::new(udp4()).vlan(4094).build();
    let headers = parse(&frame).unwrap();
    assert_eq!((headers.vlan, headers.l3), (Some(4094), 18));
    let frame = Packet::new(udp4()).vlan(0).build();
    let headers = parse(&frame).unwrap();
    assert_eq!((headers.vlan, headers.l3), (None, 18));
    let mut stacked = Packet::new(udp4()).vlan(5).build();
    stacked[16..18].copy_from_slice(&[0x81, 0x00]);
    assert_eq!(parse(&stacked), Err(DropReason::EthertypeUnsupported));
}

#[test]
fn padding_is_not_part_of_the_packet() {
    let mut frame = build::udp(ETHER, udp4(), b"x");
    let end = frame.len();
    frame.resize(60, 0);
    let headers = parse(&frame).unwrap();
    assert_eq!(headers.end as usize, end);
    assert_eq!(headers.ip_len(), 29);
    assert_eq!(verify_l4_checksum(&frame, &headers), Ok(()));
}

#[test]
fn broken_ipv4_headers() {
    let good = build::udp(ETHER, udp4(), b"hello");
    let with = |at, value| {
        let mut frame = good.clone();
        patch4(&mut frame, at, value);
        parse(&frame)
    };
    assert_eq!(with(0, 0x55), Err(DropReason::Ipv4HeaderInvalid), "version");
    assert_eq!(with(0, 0x44), Err(DropReason::Ipv4HeaderInvalid), "header length");
    assert_eq!(with(3, 19), Err(DropReason::Ipv4HeaderInvalid), "total below header");
    assert_eq!(with(3, 34), Err(DropReason::IpLengthMismatch), "total above frame");
    assert_eq!(parse(&good[..33]), Err(DropReason::Ipv4HeaderInvalid), "cut");
    let mut frame = good.clone();
    frame[24] ^= 1;
    assert_eq!(parse(&frame), Err(DropReason::Ipv4ChecksumInvalid));
    assert_eq!(with(3, 33).map(|h| h.end), Ok(47));
}

#[test]
fn ipv4_options() {
    let with = |options: &[u8]| parse(&Packet::new(udp4()).ip_options(options).build());
    let headers = with(&[1, 1, 148, 4, 0, 0]).unwrap();
    assert!(headers.options);
    assert_eq!((headers.l4, headers.tuple), (14 + 28, udp4()));
    assert_eq!(with(&[131, 7, 4, 1, 2, 3, 4]), Err(DropReason::IpSourceRoute));
    assert_eq!(with(&[1, 137, 7, 4, 1, 2, 3, 4]), Err(DropReason::IpSourceRoute));
    assert_eq!(with(&[68, 0, 0, 0]), Err(DropReason::Ipv4HeaderInvalid), "length zero");
    assert_eq!(with(&[68, 1, 0, 0]), Err(DropReason::Ipv4HeaderInvalid), "length one");
    assert_eq!(with(&[68, 5, 0, 0]), Err(DropReason::Ipv4HeaderInvalid), "beyond the header");
    assert_eq!(with(&[1, 1, 1, 68]), Err(DropReason::Ipv4HeaderInvalid), "no length");
    assert!(with(&[0, 131, 7, 4]).is_ok(), "nothing counts after the end of options");
}

#[test]
fn transport_lengths() {
    let mut frame = build::udp(ETHER, udp4(), b"hello");
    frame[39] = 14;
    assert_eq!(parse(&frame), Err(DropReason::UdpHeaderInvalid), "longer than the packet");
    frame[39] = 7;
    assert_eq!(parse(&frame), Err(DropReason::UdpHeaderInvalid), "shorter than its header");
    let cut =
        |proto, length| parse(&build::ip(ETHER, Tuple { proto, ..udp4() }, &vec![0x50; length]));
    assert_eq!(cut(proto::UDP, 7), Err(DropReason::L4HeaderTruncated));
    assert_eq!(cut(proto::TCP, 19), Err(DropReason::L4HeaderTruncated));
    assert_eq!(cut(proto::SCTP, 11), Err(DropReason::L4HeaderTruncated));
    assert_eq!(cut(proto::ICMP, 7), Err(DropReason::IcmpHeaderInvalid));
    let mut frame = build::tcp(ETHER, udp4(), 0x10, 1, 1, b"abc");
    frame[46] = 0x40;
    assert_eq!(parse(&frame), Err(DropReason::TcpHeaderInvalid), "offset below five");
    frame[46] = 0x60;
    assert_eq!(parse(&frame), Err(DropReason::TcpHeaderInvalid), "offset beyond the packet");
}

#[test]
fn icmp_tuples() {
    let base = Tuple { src_port: 77, dst_port: 0, proto: proto::ICMP, ..udp4() };
    let of = |icmp_type| {
        let frame = Packet::new(base).icmp(icmp_type, 0).build();
        let t = parse(&frame).unwrap().tuple;
        (t.src_port, t.dst_port)
    };
    for request in [8, 13, 15, 17] {
        assert_eq!(of(request), (77, 0), "type {request}");
    }
    for reply in [0, 14, 16, 18] {
        assert_eq!(of(reply), (0, 77), "type {reply}");
    }
    for error in [3, 5, 11, 12] {
        assert_eq!(of(error), (0, 0), "type {error}");
    }
    let wrong_version =
        Packet::new(Tuple { proto: proto::ICMPV6, ..base }).raw().payload(&[128; 8]);
    let headers = parse(&wrong_version.build()).unwrap();
    assert_eq!((headers.tuple.src_port, headers.icmp_type), (0, 0));
}

#[test]
fn ipv4_fragments() {
    let mut frame = Packet::new(udp4()).df(false).payload(&[7; 24]).build();
    patch4(&mut frame, 6, 0x20);
    let first = parse(&frame).unwrap();
    assert_eq!((first.fragment, first.tuple), (Fragmentation::First, udp4()));
    patch4(&mut frame, 6, 0x00);
    patch4(&mut frame, 7, 0x02);
    let later = parse(&frame).unwrap();
    assert_eq!(later.fragment, Fragmentation::Later);
    assert_eq!((later.tuple.src_port, later.tuple.dst_port), (0, 0));
    assert_eq!(later.payload, later.l4);
    patch4(&mut frame, 6, 0x1f);
    patch4(&mut frame, 7, 0xff);
    assert_eq!(parse(&frame), Err(DropReason::FragmentTooLarge), "ping of death");

    let mut odd = Packet::new(udp4()).df(false).payload(&[7; 23]).build();
    patch4(&mut odd, 6, 0x20);
    assert_eq!(parse(&odd), Err(DropReason::FragmentMalformed), "not a multiple of eight");

    let mut tiny =
        Packet::new(Tuple { proto: proto::TCP, ..udp4() }).raw().payload(&[0x50; 16]).build();
    patch4(&mut tiny, 6, 0x20);
    assert_eq!(parse(&tiny), Err(DropReason::FragmentMalformed), "RFC 1858 tiny fragment");
    patch4(&mut tiny, 6, 0x00);
    patch4(&mut tiny, 7, 0x01);
    assert_eq!(parse(&tiny), Err(DropReason::FragmentMalformed), "RFC 1858 §3.2, offset one");

    let mut empty = Packet::new(udp4()).raw().build();
    patch4(&mut empty, 6, 0x20);
    assert_eq!(parse(&empty), Err(DropReason::FragmentMalformed), "no data");
}

#[test]
fn broken_ipv6_headers() {
    let good = build::udp(ETHER, udp6(), b"hello");
    assert_eq!(parse(&good).map(|h| (h.tuple, h.df, h.options)), Ok((udp6(), true, false)));
    assert_eq!(parse(&good[..53]), Err(DropReason::Ipv6HeaderInvalid));
    assert_eq!(parse(&good[..66]), Err(DropReason::IpLengthMismatch));
    let mut frame = good.clone();
    frame[14] = 0x40;
    assert_eq!(parse(&frame), Err(DropReason::Ipv6HeaderInvalid));
}

#[test]
fn ipv6_extension_chains() {
    let with = |first, chain: &[u8]| {
        parse(&Packet::new(udp6()).extensions(first, chain).payload(b"hello").build())
    };
    let opts = |next| [next, 0, 1, 4, 0, 0, 0, 0];
    let headers = with(0, &opts(17)).unwrap();
    assert!(headers.options);
    assert_eq!((headers.l4, headers.tuple), (14 + 48, udp6()));
    let hop_then_dest = [opts(60), opts(17)].concat();
    assert!(with(0, &hop_then_dest).is_ok());
    let dest_then_hop = [opts(0), opts(17)].concat();
    assert_eq!(with(60, &dest_then_hop), Err(DropReason::Ipv6ExtensionInvalid));
    let ah = [17, 2, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 1, 2, 3, 4];
    assert_eq!(with(51, &ah).map(|h| h.tuple), Ok(udp6()));
    let type_0 = [17, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(with(43, &type_0), Err(DropReason::IpSourceRoute));
    let type_2 = [17, 2, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9];
    assert_eq!(with(43, &type_2).map(|h| h.tuple), Ok(udp6()));
    let eight: Vec<u8> = (0..8).flat_map(|n| opts(if n == 7 { 17 } else { 60 })).collect();
    assert!(with(60, &eight).is_ok());
    let nine: Vec<u8> = (0..9).flat_map(|n| opts(if n == 8 { 17 } else { 60 })).collect();
    assert_eq!(with(60, &nine), Err(DropReason::Ipv6ExtensionInvalid));
    assert_eq!(with(60, &[17, 9, 0, 0, 0, 0, 0, 0]), Err(DropReason::Ipv6ExtensionInvalid), "cut");
}

#[test]
fn ipv6_fragments() {
    let with = |field: u16, payload: &[u8]| {
        let [a, b] = field.to_be_bytes();
        let chain = [17, 0, a, b, 0, 0, 0, 1];
        parse(&Packet::new(udp6()).extensions(44, &chain).payload(payload).build())
    };
    let atomic = with(0, b"hello").unwrap();
    assert_eq!((atomic.fragment, atomic.options), (Fragmentation::Whole, true));
    assert_eq!(atomic.tuple, udp6());
    let first = with(1, &[0; 16]).unwrap();
    assert_eq!((first.fragment, first.options), (Fragmentation::First, false));
    assert_eq!(first.tuple, udp6());
    let later = with(24, b"hello").unwrap();
    assert_eq!((later.fragment, later.tuple.src_port), (Fragmentation::Later, 0));
    assert_eq!((later.tuple.proto, later.l4), (proto::UDP, 14 + 48));
    assert_eq!(with(1, b"hello"), Err(DropReason::FragmentMalformed));
    assert_eq!(with(0xfff8, &[0; 16]), Err(DropReason::FragmentTooLarge));
    let twice = [44, 0, 0, 0, 0, 0, 0, 1, 17, 0, 0, 0, 0, 0, 0, 1];
    let frame = Packet::new(udp6()).extensions(44, &twice).build();
    assert_eq!(parse(&frame), Err(DropReason::Ipv6ExtensionInvalid));
    // RFC 7112: the chain goes on in the second fragment
    let chain = [60, 0, 0, 1, 0, 0, 0, 1, 17, 2, 0, 0, 0, 0, 0, 0];
    let frame = Packet::new(udp6()).extensions(44, &chain).raw().build();
    assert_eq!(parse(&frame), Err(DropReason::FragmentMalformed));
}

#[test]
fn checksums_of_zero() {
    let frame = Packet::new(udp4()).zero_checksum().build();
    assert_eq!(verify_l4_checksum(&frame, &parse(&frame).unwrap()), Ok(()));
    let frame = Packet::new(udp6()).zero_checksum().build();
    let verdict = verify_l4_checksum(&frame, &parse(&frame).unwrap());
    assert_eq!(verdict, Err(DropReason::UdpChecksumInvalid));
}

proptest! {
    #[test]
    fn any_bytes(frame in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(headers) = parse(&frame) {
            let _ = verify_l4_checksum(&frame, &headers);
        }
    }

    #[test]
    fn damaged_frames(
        tuple in build::tests::any_tuple(),
        chain in prop::collection::vec(any::<u8>(), 0..5),
        damage in prop::collection::vec((0usize..110, any::<u8>()), 0..6),
        cut in 0usize..130,
    ) {
        let nexts = [0u8, 43, 44, 51, 60];
        let mut bytes = Vec::new();
        let kinds: Vec<u8> = chain.iter().map(|n| nexts[usize::from(*n) % nexts.len()]).collect();
        for (n, _) in kinds.iter().enumerate() {
            let next = kinds.get(n + 1).copied().unwrap_or(tuple.proto);
            bytes.extend([next, 0, 9, 0, 0, 0, 0, 0]);
        }
        let mut packet = Packet::new(tuple).payload(b"0123456789abcdef");
        if let (true, Some(first)) = (tuple.is_v6(), kinds.first()) {
            packet = packet.extensions(*first, &bytes);
        }
        let mut frame = packet.build();
        for (at, value) in damage {
            if let Some(byte) = frame.get_mut(at) {
                *byte = value;
            }
        }
        if frame.len() >= 34 && frame[12] == 8 {
            let first = frame[14];
            patch4_if_plain(&mut frame, first);
        }
        frame.truncate(cut.max(1) * 2);
        if let Ok(headers) = parse(&frame) {
            prop_assert!(headers.l3 <= headers.l4 && headers.l4 <= headers.payload);
            prop_assert!(u32::from(headers.payload) <= headers.end);
            prop_assert!(headers.end as usize <= frame.len());
            let _ = verify_l4_checksum(&frame, &headers);
        }
    }
}

fn patch4_if_plain(frame: &mut [u8], first: u8) {
    let length = usize::from(first & 0xf) * 4;
    if length >= 20 && frame.len() >= 14 + length {
        patch4(frame, 0, first);
    }
}
