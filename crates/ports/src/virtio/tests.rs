use proptest::prelude::*;
use wire::{
    Mac, Tuple, build,
    checksum::{self, Sum},
    emit::Ether,
    proto,
};

use super::*;

const ETHER: Ether =
    Ether { src: Mac([2, 0, 0, 0, 0, 1]), dst: Mac([2, 0, 0, 0, 0, 2]), vlan: None };

fn header(flags: u8, kind: u8, size: u16, start: u16, offset: u16) -> [u8; HEADER_LEN] {
    let mut h = [flags, kind, 0, 0, 0, 0, 0, 0, 0, 0];
    h[4..6].copy_from_slice(&size.to_ne_bytes());
    h[6..8].copy_from_slice(&start.to_ne_bytes());
    h[8..10].copy_from_slice(&offset.to_ne_bytes());
    h
}

fn tuple(proto: u8, v6: bool) -> Tuple {
    let ends =
        if v6 { ["[fd00::1]:1000", "[fd00::2]:80"] } else { ["10.0.0.1:1000", "10.0.0.2:80"] };
    let [src, dst] = ends.map(|e| e.parse::<std::net::SocketAddr>().expect("valid"));
    build::tuple(proto, src, dst)
}

fn super_packet(kind: GsoKind, v6: bool, checksum: Checksum) -> Frame {
    let payload = vec![7; 4000];
    let bytes = match kind {
        GsoKind::Tcp4 | GsoKind::Tcp6 => {
            build::tcp(ETHER, tuple(proto::TCP, v6), 0x10, 1, 2, &payload)
        }
        GsoKind::Udp => build::udp(ETHER, tuple(proto::UDP, v6), &payload),
    };
    let mut frame = Frame::from_vec(bytes);
    frame.offloads = Offloads { checksum, gso: Some(Gso { kind, size: 1000, ecn: false }) };
    frame
}

#[test]
fn a_header_is_read_field_by_field() {
    let plain = Offloads::default();
    assert_eq!(decode(&[0; HEADER_LEN], 60), Ok(plain));
    let verified = Offloads { checksum: Checksum::Verified, gso: None };
    assert_eq!(decode(&header(F_DATA_VALID, 0, 0, 0, 0), 60), Ok(verified));
    let partial = Checksum::Partial { start: 34, offset: 16 };
    assert_eq!(
        decode(&header(F_NEEDS_CSUM, GSO_TCPV4 | GSO_ECN, 1448, 34, 16), 3000),
        Ok(Offloads {
            checksum: partial,
            gso: Some(Gso { kind: GsoKind::Tcp4, size: 1448, ecn: true })
        })
    );
}

#[test]
fn a_header_that_contradicts_itself_is_refused() {
    for (bad, len) in [
        (header(F_NEEDS_CSUM, 0, 0, 34, 16), 51),
        (header(F_NEEDS_CSUM, 0, 0, u16::MAX, u16::MAX), 60),
        (header(F_NEEDS_CSUM, GSO_TCPV4, 0, 34, 16), 3000),
        (header(F_NEEDS_CSUM, 3, 1000, 34, 6), 3000),
        (header(F_NEEDS_CSUM, GSO_UDP_L4 | GSO_ECN, 1000, 34, 6), 3000),
        (header(0, GSO_ECN, 0, 0, 0), 60),
        (header(0, 0x20 | GSO_TCPV4, 1000, 0, 0), 3000),
    ] {
        assert_eq!(decode(&bad, len), Err(BadHeader), "{bad:?}");
    }
    assert!(decode(&header(F_NEEDS_CSUM, 0, 0, 34, 16), 52).is_ok(), "the last two bytes count");
}

#[test]
fn a_super_packet_gets_its_partial_checksum() {
    for (kind, v6, l4, field) in [
        (GsoKind::Tcp4, false, 34, TCP_FIELD),
        (GsoKind::Tcp6, true, 54, TCP_FIELD),
        (GsoKind::Udp, false, 34, UDP_FIELD),
        (GsoKind::Udp, true, 54, UDP_FIELD),
    ] {
        let mut frame = super_packet(kind, v6, Checksum::Verified);
        let right = frame.bytes().to_vec();
        assert_eq!(settle(&mut frame), Ok(()));
        assert_eq!(frame.offloads.checksum, Checksum::Partial { start: l4, offset: field });
        // Finishing it gives the checksum the packet had when it was built.
        checksum::finish_partial(frame.bytes_mut(), l4, field).expect("inside");
        assert_eq!(frame.bytes(), right, "{kind:?} v6 {v6}");
    }
}

#[test]
fn a_super_packet_of_another_kind_is_refused() {
    let partial = Checksum::Partial { start: 34, offset: TCP_FIELD };
    for (kind, claim, checksum) in [
        (GsoKind::Tcp4, GsoKind::Tcp6, partial),
        (GsoKind::Tcp4, GsoKind::Udp, partial),
        (GsoKind::Udp, GsoKind::Tcp4, partial),
        (GsoKind::Tcp4, GsoKind::Tcp4, Checksum::Partial { start: 33, offset: TCP_FIELD }),
        (GsoKind::Tcp4, GsoKind::Tcp4, Checksum::Partial { start: 34, offset: UDP_FIELD }),
    ] {
        let mut frame = super_packet(kind, false, checksum);
        frame.offloads.gso = Some(Gso { kind: claim, size: 1000, ecn: false });
        assert_eq!(settle(&mut frame), Err(BadHeader), "{claim:?} {checksum:?}");
        assert_eq!(encode(&mut frame), Err(BadHeader));
    }
    let mut frame = super_packet(GsoKind::Tcp4, false, partial);
    frame.offloads.gso = Some(Gso { kind: GsoKind::Tcp4, size: 0, ecn: false });
    assert_eq!(encode(&mut frame), Err(BadHeader), "a size of zero");
}

#[test]
fn what_was_encoded_is_decoded_again() {
    let mut frame = super_packet(GsoKind::Tcp6, true, Checksum::Unchecked);
    if let Some(gso) = &mut frame.offloads.gso {
        gso.ecn = true;
    }
    let header = encode(&mut frame).expect("valid");
    assert_eq!(u16::from_ne_bytes([header[2], header[3]]), 74, "Ethernet, IPv6 and TCP headers");
    assert_eq!(decode(&header, frame.len()), Ok(frame.offloads));
    let mut shorter = header;
    shorten(&mut shorter, 14).expect("behind Ethernet");
    let Ok(Offloads { checksum: Checksum::Partial { start, .. }, .. }) =
        decode(&shorter, frame.len() - 14)
    else {
        panic!("partial")
    };
    assert_eq!((start, u16::from_ne_bytes([shorter[2], shorter[3]])), (40, 60));
    assert_eq!(shorten(&mut shorter, 41), None);
}

#[test]
fn an_unfinished_sctp_checksum_is_finished() {
    let right = build::sctp(ETHER, tuple(proto::SCTP, false), 5, &[1, 0, 0, 8, 1, 2, 3, 4]);
    let mut frame = Frame::from_vec(right.clone());
    frame.bytes_mut()[34 + 8..34 + 12].fill(0);
    frame.offloads.checksum = Checksum::Partial { start: 34, offset: SCTP_FIELD };
    assert_eq!(settle(&mut frame), Ok(()));
    assert_eq!(frame.offloads.checksum, Checksum::Unchecked);
    assert_eq!(frame.bytes(), right);
}

#[test]
fn super_packets_count_as_what_they_stand_for() {
    let frame = super_packet(GsoKind::Tcp4, false, Checksum::Verified);
    let wire = frame.on_wire();
    assert_eq!((wire.packets, wire.bytes), (4, 4 * (54 + 1000)));
}

proptest! {
    #[test]
    fn any_header_over_any_frame_stays_inside(
        header in any::<[u8; HEADER_LEN]>(),
        frame in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        check(&header, Frame::from_vec(frame));
    }

    #[test]
    fn any_header_over_a_real_frame_stays_inside(
        flags in 0u8..8,
        kind in prop_oneof![Just(0u8), Just(1), Just(4), Just(5), Just(0x81), any::<u8>()],
        size in any::<u16>(),
        start in prop_oneof![Just(34u16), Just(54), any::<u16>()],
        offset in prop_oneof![Just(6u16), Just(8), Just(16), any::<u16>()],
        udp in any::<bool>(),
        v6 in any::<bool>(),
        cut in 0usize..200,
    ) {
        let gso = if udp { GsoKind::Udp } else { GsoKind::Tcp4 };
        let mut frame = super_packet(gso, v6, Checksum::Unchecked);
        frame.offloads = Offloads::default();
        let len = frame.len();
        frame.truncate(len - cut);
        check(&self::header(flags, kind, size, start, offset), frame);
    }
}

/// Decodes, settles and encodes; whatever is accepted points inside the frame.
fn check(header: &[u8; HEADER_LEN], mut frame: Frame) {
    let len = frame.len();
    let Ok(offloads) = decode(header, len) else {
        return;
    };
    frame.offloads = offloads;
    if settle(&mut frame).is_err() {
        return;
    }
    assert_eq!(frame.len(), len);
    if let Checksum::Partial { start, offset } = frame.offloads.checksum {
        assert!(usize::from(start) + usize::from(offset) + 2 <= len);
    }
    assert!(frame.offloads.gso.is_none_or(|gso| gso.size > 0));
    let before = frame.offloads;
    if let Ok(header) = encode(&mut frame) {
        let again = decode(&header, len).expect("what we encode is valid");
        assert_eq!(again.gso, before.gso);
        if let Checksum::Partial { .. } = before.checksum {
            assert_eq!(again.checksum, before.checksum);
        }
    }
}

#[test]
fn the_sum_written_is_the_pseudo_header_sum() {
    let mut frame = super_packet(GsoKind::Tcp4, false, Checksum::Unchecked);
    settle(&mut frame).expect("valid");
    let t = tuple(proto::TCP, false);
    let sum = Sum::ZERO.pseudo(t.src, t.dst, proto::TCP, 20 + 4000).fold();
    assert_eq!(frame.bytes()[34 + 16..34 + 18], sum.to_be_bytes());
}
