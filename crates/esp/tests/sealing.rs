//! Outer headers, sizes, traffic flow confidentiality, lifetimes and what is refused.

mod common;

use common::*;
use lockgate_esp::{
    DfRule, DscpRule, Expiry, Inbound, KeyMaterial, Lifetime, Limit, Mode, Opened, Outbound,
    ParameterError, Parameters, Suite, UdpEncapsulation,
};
use ports::{Frame, FramePool};
use proptest::prelude::*;
use reason::DropReason;
use wire::{IpVersion, Time, checksum::Sum};

const GCM: Suite = Suite::AES256_GCM16;

fn flags(frame: &Frame) -> u16 {
    u16::from_be_bytes([frame.bytes()[6], frame.bytes()[7]])
}

/// The same packet without DF.
fn without_df(mut packet: Vec<u8>) -> Vec<u8> {
    packet[6] = 0;
    packet[10..12].fill(0);
    let sum = Sum::ZERO.bytes(&packet[..20]).finish().to_be_bytes();
    packet[10..12].copy_from_slice(&sum);
    packet
}

#[test]
fn the_outer_ipv4_header_is_what_was_asked_for() {
    let p = Parameters { hop_limit: 99, ..parameters(GCM) };
    let (out, _) = pair(&p);
    let frame = seal(&out, &udp4(50, 0b1011_1010));
    let h = &frame.bytes()[..20];
    assert_eq!((h[0], h[1], h[8], h[9]), (0x45, 0b1011_1010, 99, 50), "DSCP and ECN are copied");
    assert_eq!(usize::from(u16::from_be_bytes([h[2], h[3]])), frame.len());
    assert_eq!(h[12..20], [192, 0, 2, 1, 192, 0, 2, 2]);
    assert_eq!(frame.bytes()[20..28], [0x12, 0x34, 0x56, 0x78, 0, 0, 0, 1], "SPI, sequence");
    assert_eq!(frame.bytes()[28..36], 1u64.to_be_bytes(), "the nonce is the sequence number");

    let p = Parameters { dscp: DscpRule::Set(0b00_1010), ..parameters(GCM) };
    let frame = seal(&pair(&p).0, &udp4(50, 0b1011_1001));
    assert_eq!(frame.bytes()[1], 0b0010_1001, "ECN is copied even so (RFC 6040 §4.1)");
}

#[test]
fn df_is_copied_set_or_cleared() {
    const DF: u16 = 0x4000;
    let with = |df| pair(&Parameters { df, ..parameters(GCM) }).0;
    let clear = without_df(udp4(50, 0));
    for (rule, df, no_df, six) in
        [(DfRule::Copy, DF, 0, DF), (DfRule::Set, DF, DF, DF), (DfRule::Clear, 0, 0, 0)]
    {
        assert_eq!(flags(&seal(&with(rule), &udp4(50, 0))), df);
        assert_eq!(flags(&seal(&with(rule), &clear)), no_df);
        assert_eq!(flags(&seal(&with(rule), &udp6(50, 0))), six);
    }
    let out = with(DfRule::Clear);
    let ids: Vec<[u8; 2]> =
        (0..3).map(|_| seal(&out, &clear).bytes()[4..6].try_into().expect("two bytes")).collect();
    assert_eq!(ids, [[0, 1], [0, 2], [0, 3]], "fragments need an identification");
}

#[test]
fn the_outer_ipv6_header_is_what_was_asked_for() {
    let p = over_ipv6(parameters(GCM));
    let frame = seal(&pair(&p).0, &udp6(50, 0b1011_1010));
    let h = &frame.bytes()[..40];
    assert_eq!(h[..4], [0x6b, 0xa0, 0, 0], "traffic class is copied, flow label 0");
    assert_eq!(usize::from(u16::from_be_bytes([h[4], h[5]])), frame.len() - 40);
    assert_eq!((h[6], h[7]), (50, 64));
}

#[test]
fn udp_has_a_checksum_over_ipv6_only() {
    for mode in [Mode::Tunnel, Mode::Transport] {
        let p = Parameters {
            mode,
            encapsulation: Some(UdpEncapsulation { source_port: 4500, destination_port: 61_000 }),
            ..parameters(GCM)
        };
        let frame = seal(&pair(&p).0, &udp4(50, 0));
        let udp = &frame.bytes()[20..28];
        let len = (frame.len() as u16 - 20).to_be_bytes();
        assert_eq!(frame.bytes()[9], 17);
        assert_eq!(udp, [&[0x11, 0x94, 0xee, 0x48], &len[..], &[0, 0]].concat());
        assert_eq!(frame.bytes()[28..32], SPI.to_be_bytes());

        let frame = seal(&pair(&over_ipv6(p)).0, &udp6(50, 0));
        let (source, destination) = match mode {
            Mode::Tunnel => (ip("2001:db8::1"), ip("2001:db8::2")),
            Mode::Transport => (ip("2001:db8:a::1"), ip("2001:db8:b::2")),
        };
        let datagram = &frame.bytes()[40..];
        let sum = Sum::ZERO.pseudo(source, destination, 17, datagram.len() as u32);
        assert!(sum.bytes(datagram).is_intact(), "{mode:?}");
        assert_ne!(datagram[6..8], [0, 0]);
    }
}

#[test]
fn congestion_marked_on_the_way_reaches_the_inner_packet() {
    for (inner, outer, expected) in [
        (0b10, 0b11, Ok(0b11)),
        (0b10, 0b01, Ok(0b01)),
        (0b10, 0b00, Ok(0b10)),
        (0b00, 0b11, Err(DropReason::EcnInvalid)),
        (0b00, 0b10, Ok(0b00)),
    ] {
        for (packet, six) in [(udp4(9, 0xb8 | inner), false), (udp6(9, 0xb8 | inner), true)] {
            let (out, inside) = pair(&parameters(GCM));
            let mut frame = seal(&out, &packet);
            frame.bytes_mut()[1] = outer;
            let opened = inside.open(&mut frame, 0, NOW).map(|_| {
                let b = frame.bytes();
                if six { b[0] << 4 | b[1] >> 4 } else { b[1] }
            });
            assert_eq!(opened, expected.map(|ecn| 0xb8 | ecn), "{inner:02b} in {outer:02b}");
            if opened.is_ok() && !six {
                assert!(Sum::ZERO.bytes(&frame.bytes()[..20]).is_intact());
            }
        }
    }
}

#[test]
fn transport_mode_keeps_options_and_extension_headers_outside() {
    let mut p = Parameters { mode: Mode::Transport, ..parameters(GCM) };
    let (out, inside) = pair(&p);
    // an IPv4 option (router alert)
    let plain = udp4(30, 0);
    let mut packet = [&plain[..20], &[0x94, 4, 0, 0], &plain[20..]].concat();
    packet[0] = 0x46;
    packet[3] += 4;
    packet[10..12].fill(0);
    let sum = Sum::ZERO.bytes(&packet[..24]).finish().to_be_bytes();
    packet[10..12].copy_from_slice(&sum);
    let mut frame = seal(&out, &packet);
    assert_eq!(frame.bytes()[20..24], [0x94, 4, 0, 0]);
    assert_eq!(frame.bytes()[24..28], SPI.to_be_bytes());
    assert!(Sum::ZERO.bytes(&frame.bytes()[..24]).is_intact());
    assert_eq!(inside.open(&mut frame, 0, NOW), Ok(Opened::Packet(IpVersion::V4)));
    assert_eq!(frame.bytes(), packet);

    // hop-by-hop options stay outside, destination options behind them go inside
    p = over_ipv6(p);
    let (out, inside) = pair(&p);
    let plain = udp6(30, 0);
    let options = [60, 0, 1, 4, 0, 0, 0, 0, 17, 0, 1, 4, 0, 0, 0, 0];
    let mut packet = [&plain[..40], &options, &plain[40..]].concat();
    packet[6] = 0;
    packet[5] += 16;
    let mut frame = seal(&out, &packet);
    assert_eq!((frame.bytes()[6], frame.bytes()[40]), (0, 50));
    assert_eq!(frame.bytes()[48..52], SPI.to_be_bytes());
    assert_eq!(inside.open(&mut frame, 0, NOW), Ok(Opened::Packet(IpVersion::V6)));
    assert_eq!(frame.bytes(), packet);
}

#[test]
fn transport_mode_refuses_fragments_and_tunnels() {
    let p = Parameters { mode: Mode::Transport, ..parameters(GCM) };
    let (out, _) = pair(&p);
    for (at, value, expected) in [
        (6, 0x20, DropReason::EspFragment),
        (7, 3, DropReason::EspFragment),
        (9, 4, DropReason::EspNextHeaderUnsupported),
        (9, 41, DropReason::EspNextHeaderUnsupported),
    ] {
        let mut packet = udp4(30, 0);
        packet[at] = value;
        let mut frame = Frame::from_vec(packet.clone());
        assert_eq!(out.seal(&mut frame, 0, NOW), Err(expected));
        assert_eq!(frame.bytes(), packet);
    }
    let (tunnel, _) = pair(&parameters(GCM));
    let mut fragment = udp4(30, 0);
    fragment[7] = 3;
    assert!(tunnel.seal(&mut Frame::from_vec(fragment), 0, NOW).is_ok(), "tunnels carry them");
}

#[test]
fn a_nat_on_the_way_leaves_the_transport_checksum_right() {
    for (four, protocol, field) in
        [(true, 17, 6), (false, 17, 6), (true, 6, 16), (false, 6, 16), (false, 58, 2)]
    {
        let mut p =
            Parameters { mode: Mode::Transport, encapsulation: Some(NAT_T), ..parameters(GCM) };
        let (mut packet, headers, named_at) = if four {
            (udp4(30, 0), 20, 9)
        } else {
            p = over_ipv6(p);
            (udp6(30, 0), 40, 6)
        };
        packet[named_at] = protocol;
        let (out, inside) = pair(&p);
        let mut frame = seal(&out, &packet);
        // the NAT changes the source address; its checksum work is not what is tested
        let source = if four { 12 } else { 8 };
        frame.bytes_mut()[source] ^= 0x55;
        assert!(inside.open(&mut frame, 0, NOW).is_ok());
        let bytes = frame.bytes();
        let (addresses, payload) = (&bytes[source..headers], &bytes[headers..]);
        let pseudo = Sum::ZERO.bytes(addresses).word(u16::from(protocol));
        let sum = pseudo.word(payload.len() as u16).bytes(payload);
        assert!(sum.is_intact(), "{four} {protocol}");
        assert_ne!(payload[field..field + 2], packet[headers + field..headers + field + 2]);
    }
    // UDP over IPv4 without a checksum stays without
    let p = Parameters { mode: Mode::Transport, encapsulation: Some(NAT_T), ..parameters(GCM) };
    let (out, inside) = pair(&p);
    let mut packet = udp4(30, 0);
    packet[26..28].fill(0);
    let mut frame = seal(&out, &packet);
    assert!(inside.open(&mut frame, 0, NOW).is_ok());
    assert_eq!(frame.bytes(), packet);
}

#[test]
fn packets_arrive_with_and_without_udp_whatever_the_sa_says() {
    let plain = parameters(GCM);
    let udp = Parameters { encapsulation: Some(NAT_T), ..plain.clone() };
    for (sender, receiver) in [(&plain, &udp), (&udp, &plain)] {
        let mut frame = seal(&pair(sender).0, &udp4(30, 0));
        assert!(pair(receiver).1.open(&mut frame, 0, NOW).is_ok());
    }
}

#[test]
fn the_inner_mtu_is_the_largest_that_fits() {
    for parameters in every_shape() {
        let (out, _) = pair(&parameters);
        let shortest = if parameters.source.is_ipv4() { 28 } else { 48 };
        for path in [576u16, 1280, 1399, 1400, 1401, 1402, 1403, 1404, 1492, 1500, 9000] {
            let largest = usize::from(out.inner_mtu(path));
            let sealed_len = |len: usize| {
                let mut frame = Frame::from_vec(packet_for(&parameters, len - shortest));
                out.seal(&mut frame, 0, NOW).map(|()| frame.len()).expect("it fits a packet")
            };
            assert!(sealed_len(largest) <= usize::from(path), "{path} {parameters:?}");
            for smaller in (1..40).map(|n| largest - n) {
                assert!(sealed_len(smaller) <= usize::from(path), "{path} {parameters:?}");
            }
            if parameters.mode == Mode::Tunnel {
                assert!(sealed_len(largest + 1) > usize::from(path), "{path} {parameters:?}");
            }
        }
        for path in [0, 20, 40] {
            assert_eq!(out.inner_mtu(path), 0, "nothing fits {path} {parameters:?}");
        }
    }
}

#[test]
fn short_packets_are_padded_for_confidentiality() {
    let p = Parameters { pad_to: Some(1000), ..parameters(GCM) };
    let (out, inside) = pair(&p);
    let mut sizes = Vec::new();
    for payload in [0, 1, 100, 972, 973] {
        let packet = udp4(payload, 0);
        let mut frame = seal(&out, &packet);
        sizes.push(frame.len());
        assert!(inside.open(&mut frame, 0, NOW).is_ok());
        assert_eq!(frame.bytes(), packet);
    }
    assert!(sizes.iter().all(|size| *size == sizes[0] && *size > 1000), "{sizes:?}");
}

#[test]
fn dummies_go_through_and_count_but_carry_nothing() {
    for parameters in every_shape() {
        let (out, inside) = pair(&parameters);
        for length in [0, 1, 100, 1400] {
            let mut frame = Frame::from_vec(vec![0xaa; 1400]);
            assert_eq!(out.seal_dummy(&mut frame, length, 0, NOW), Ok(()));
            assert_eq!(inside.open(&mut frame, 0, NOW), Ok(Opened::Dummy), "{parameters:?}");
        }
        assert_eq!((out.status(NOW).sequence, inside.status(NOW).sequence), (4, 4));
        for total in [out.status(NOW).total, inside.status(NOW).total] {
            assert_eq!((total.dummies, total.packets), (4, 0));
        }
        assert_eq!((out.last(), inside.last()), (Time::ZERO, Time::ZERO), "no traffic");
    }
}

#[test]
fn no_sequence_number_is_used_after_the_last() {
    for (esn, last) in [(false, u64::from(u32::MAX)), (true, u64::MAX)] {
        let p = Parameters { esn, ..parameters(GCM) };
        let selection = aead::Selection::default();
        let out = Outbound::with(p.clone(), Time::ZERO, &selection, last - 2).expect("right");
        let inside = Inbound::with(p, Time::ZERO, &selection, last - 2).expect("right");
        assert_eq!(out.expiry(NOW), Expiry::Soft(Limit::Sequence));
        let packet = udp4(10, 0);
        for _ in 0..2 {
            let mut frame = seal(&out, &packet);
            assert!(inside.open(&mut frame, 0, NOW).is_ok());
        }
        for _ in 0..100 {
            let mut frame = Frame::from_vec(packet.clone());
            let sealed = out.seal(&mut frame, 0, NOW);
            assert_eq!(sealed, Err(DropReason::EspSequenceExhausted));
            assert_eq!(frame.bytes(), packet);
        }
        assert_eq!(out.expiry(NOW), Expiry::Hard(Limit::Sequence));
        let status = out.status(NOW);
        assert_eq!((status.sequence, status.sequence_limit), (last, last));
        assert_eq!(status.total.dropped(DropReason::EspSequenceExhausted), 100);
    }
}

#[test]
fn the_upper_half_of_the_sequence_number_is_followed() {
    for suite in Suite::ALL {
        let p = Parameters { esn: true, ..parameters(suite) };
        let start = (3 << 32) - 3;
        let selection = aead::Selection::default();
        let out = Outbound::with(p.clone(), Time::ZERO, &selection, start).expect("right");
        let inside = Inbound::with(p.clone(), Time::ZERO, &selection, start).expect("right");
        let sealed: Vec<Frame> = (0..6).map(|_| seal(&out, &udp4(10, 0))).collect();
        for i in [0, 4, 1, 3, 5, 2] {
            let mut frame = sealed[i].try_clone().expect("unpooled");
            assert!(inside.open(&mut frame, 0, NOW).is_ok(), "{suite} {i}");
            assert_eq!(frame.bytes(), udp4(10, 0));
        }
        assert_eq!(inside.status(NOW).sequence, start + 6);
        // a receiver that stands elsewhere infers another half, which authenticates nothing
        let elsewhere = Inbound::with(p, Time::ZERO, &selection, start + (1 << 32)).expect("right");
        let mut frame = sealed[5].try_clone().expect("unpooled");
        assert_eq!(elsewhere.open(&mut frame, 0, NOW), Err(DropReason::EspIcvFailed), "{suite}");
    }
}

#[test]
fn lifetimes_end_both_directions() {
    let hard = |packets, bytes, seconds| Lifetime { packets, bytes, seconds };
    for (hard, limit, passes, at) in [
        (hard(Some(3), None, None), Limit::Packets, 3, NOW),
        (hard(None, Some(100), None), Limit::Bytes, 3, NOW),
        (hard(None, None, Some(10)), Limit::Seconds, 0, NOW),
    ] {
        let p = Parameters { hard, ..parameters(GCM) };
        let (out, inside) = pair(&p);
        let endless = pair(&parameters(GCM)).0;
        let packet = udp4(12, 0); // 40 bytes
        for i in 0..6 {
            let mut frame = Frame::from_vec(packet.clone());
            let expected = if i < passes { Ok(()) } else { Err(DropReason::EspSaExpired) };
            assert_eq!(out.seal(&mut frame, 0, at), expected, "{limit}");
            let mut frame = seal(&endless, &packet);
            assert_eq!(inside.open(&mut frame, 0, at).map(|_| ()), expected, "{limit}");
        }
        assert_eq!((out.expiry(at), inside.expiry(at)), (Expiry::Hard(limit), Expiry::Hard(limit)));
        let status = out.status(at);
        assert_eq!((status.total.packets, status.total.bytes), (passes, passes * 40));
        assert_eq!(status.sequence, passes, "an SA that is over gives no numbers");
    }
}

#[test]
fn a_batch_is_what_single_packets_are() {
    for parameters in every_shape() {
        let (one, burst) = (pair(&parameters).0, pair(&parameters).0);
        let packets: Vec<Vec<u8>> = (0..5).map(|i| packet_for(&parameters, i * 13)).collect();
        let mut frames: Vec<Frame> = packets.iter().cloned().map(Frame::from_vec).collect();
        let mut verdicts = Vec::new();
        burst.seal_batch(&mut frames, 3, NOW, |i, verdict| verdicts.push((i, verdict)));
        assert_eq!(verdicts, (0..5).map(|i| (i, Ok(()))).collect::<Vec<_>>());
        for (packet, frame) in packets.iter().zip(&frames) {
            assert_eq!(seal(&one, packet).bytes(), frame.bytes());
        }
        assert_eq!(burst.status(NOW).writers[3], one.status(NOW).writers[0]);
    }
}

#[test]
fn a_batch_stops_at_the_last_number_and_skips_bad_frames() {
    let p = parameters(GCM);
    let selection = aead::Selection::default();
    let out = Outbound::with(p, Time::ZERO, &selection, u64::from(u32::MAX) - 3).expect("right");
    let mut frames: Vec<Frame> = (0..5).map(|_| Frame::from_vec(udp4(3, 0))).collect();
    frames[1] = Frame::from_vec(vec![0; 40]);
    let mut verdicts = Vec::new();
    out.seal_batch(&mut frames, 0, NOW, |_, verdict| verdicts.push(verdict));
    let exhausted = Err(DropReason::EspSequenceExhausted);
    let bad = Err(DropReason::Ipv4HeaderInvalid);
    assert_eq!(verdicts, [Ok(()), bad, Ok(()), exhausted, exhausted]);
}

#[test]
fn what_does_not_fit_is_refused_and_unchanged() {
    let (out, _) = pair(&parameters(GCM));
    // no packet is that large
    let packet = udp4(65_507 - 20, 0);
    let mut frame = Frame::from_vec(packet.clone());
    assert_eq!(out.seal(&mut frame, 0, NOW), Err(DropReason::EspTooBig));
    assert_eq!(frame.bytes(), packet);
    assert!(out.seal(&mut Frame::from_vec(udp4(65_000, 0)), 0, NOW).is_ok());
    // no room behind
    let pool = FramePool::new(1, 0);
    let packet = udp4(2048 - 28, 0);
    let mut frame = pool.alloc_from(&packet).expect("a buffer");
    assert_eq!(out.seal(&mut frame, 0, NOW), Err(DropReason::EspTooBig));
    assert_eq!(frame.bytes(), packet);
    // no room in front
    let mut frame = Frame::from_vec(udp4(10, 0));
    let headroom = frame.headroom();
    frame.push_front(headroom - 30).expect("room");
    frame.bytes_mut().fill(0);
    frame.bytes_mut()[0] = 0x45;
    frame.bytes_mut()[3] = 30;
    assert_eq!(out.seal(&mut frame, 0, NOW), Err(DropReason::EspTooBig));
}

#[test]
fn bytes_behind_the_packet_are_left_behind() {
    let (out, inside) = pair(&parameters(GCM));
    let packet = udp4(4, 0);
    let mut padded = packet.clone();
    padded.extend([0xee; 14]); // as Ethernet pads
    let mut frame = seal(&out, &padded);
    let sealed = frame.len();
    frame.extend_from_slice(&[0xee; 9]);
    assert_eq!(sealed, seal(&out, &packet).len());
    assert!(inside.open(&mut frame, 0, NOW).is_ok());
    assert_eq!(frame.bytes(), packet);
}

#[test]
fn wrong_parameters_are_refused() {
    let right = || parameters(GCM);
    let refused = |p: Parameters| Outbound::new(p, Time::ZERO).expect_err("it is wrong");
    assert_eq!(refused(Parameters { spi: 255, ..right() }), ParameterError::SpiReserved(255));
    let key = KeyMaterial::from_bytes(&[0; 32]);
    let error = refused(Parameters { key, ..right() });
    assert_eq!(error, ParameterError::KeyLength { suite: GCM, wanted: 36, got: 32 });
    let null: Suite = "null-sha256".parse().expect("a suite");
    let error = refused(Parameters { allow_null: false, ..parameters(null) });
    assert_eq!(error, ParameterError::NullNotAllowed(null));
    let error = refused(Parameters { source: ip("::1"), ..right() });
    assert!(matches!(error, ParameterError::MixedVersions(..)));
    for replay_window in [1, 31, 8193] {
        let error = refused(Parameters { replay_window, ..right() });
        assert_eq!(error, ParameterError::ReplayWindow(replay_window));
    }
    let ports = Some(UdpEncapsulation { source_port: 4500, destination_port: 0 });
    assert_eq!(refused(Parameters { encapsulation: ports, ..right() }), ParameterError::PortZero);
    let dscp = DscpRule::Set(64);
    assert_eq!(refused(Parameters { dscp, ..right() }), ParameterError::Dscp(64));
    assert_eq!(refused(Parameters { hop_limit: 0, ..right() }), ParameterError::HopLimitZero);
    let pad = Parameters { pad_to: Some(9), mode: Mode::Transport, ..right() };
    assert_eq!(refused(pad), ParameterError::PadInTransport);
    let soft = Lifetime { bytes: Some(11), ..Lifetime::default() };
    let hard = Lifetime { bytes: Some(10), ..Lifetime::default() };
    let error = refused(Parameters { soft, hard, ..right() });
    assert_eq!(error, ParameterError::SoftBeyondHard("bytes"));
}

#[test]
fn nothing_printed_holds_a_key() {
    let p = parameters(GCM);
    let (out, inside) = pair(&p);
    let text = format!("{p:?} {out:?} {inside:?}");
    let key = p.key.expose_hex();
    assert!(text.contains("spi") && !text.contains(&key[..8]), "{text}");
    assert!(!text.contains("[3, 10, 17"), "{text}");
}

proptest! {
    #[test]
    fn any_packet_comes_back(
        suite in prop::sample::select(Suite::ALL.to_vec()),
        shape in any::<[bool; 5]>(),
        payload in 0usize..2000,
        tos in 0u8..,
        pad_to in prop::option::of(0u16..3000),
        provider in prop::sample::select(aead::Provider::ALL.to_vec()),
    ) {
        let mut p = parameters(suite);
        if shape[0] {
            p = over_ipv6(p);
        }
        p.esn = shape[1];
        p.encapsulation = shape[2].then_some(NAT_T);
        p.mode = if shape[3] { Mode::Tunnel } else { Mode::Transport };
        p.pad_to = pad_to.filter(|_| shape[3]);
        let six = if shape[3] { shape[4] } else { shape[0] };
        let packet = if six { udp6(payload, tos) } else { udp4(payload, tos) };
        let selection = aead::Selection::only(provider);
        let out = Outbound::with(p.clone(), Time::ZERO, &selection, 0).expect("right");
        let inside = Inbound::new(p, Time::ZERO).expect("right");
        let mut frame = roomy(&packet);
        prop_assert_eq!(out.seal(&mut frame, 0, NOW), Ok(()));
        prop_assert!(inside.open(&mut frame, 0, NOW).is_ok());
        prop_assert_eq!(frame.bytes(), &packet[..]);
    }
}

#[test]
fn a_keepalive_is_one_byte_from_port_to_port() {
    for parameters in every_shape() {
        let (out, _) = pair(&parameters);
        let mut frame = Frame::from_vec(vec![0xaa; 100]);
        let written = out.keepalive(&mut frame);
        let Some(ports) = parameters.encapsulation else {
            assert_eq!(written, Err(DropReason::EspMalformed));
            continue;
        };
        assert_eq!(written, Ok(()));
        let mut ethernet = vec![0; 12];
        let v4 = parameters.source.is_ipv4();
        ethernet.extend(if v4 { [0x08, 0x00] } else { [0x86, 0xdd] });
        ethernet.extend_from_slice(frame.bytes());
        let headers = wire::parse(&ethernet).expect("an IP packet");
        assert_eq!(headers.payload_len(), 1);
        assert_eq!(ethernet.last(), Some(&0xff));
        let tuple = headers.tuple;
        assert_eq!((tuple.src, tuple.dst), (parameters.source, parameters.destination));
        assert_eq!((tuple.src_port, tuple.dst_port), (ports.source_port, ports.destination_port));
        assert_eq!(out.status(NOW).sequence, 0, "no number is used");
    }
}

#[test]
fn a_frame_with_the_room_asked_for_has_enough() {
    for shape in every_shape() {
        for pad_to in [None, Some(150)] {
            let pad_to = pad_to.filter(|_| shape.mode == Mode::Tunnel);
            let (out, _) = pair(&Parameters { pad_to, ..shape.clone() });
            for payload in 0..40 {
                let packet =
                    if shape.source.is_ipv4() { udp4(payload, 0) } else { udp6(payload, 0) };
                let mut frame = Frame::from_vec(packet);
                let spare = frame.tailroom() - out.added_behind(frame.len());
                assert_eq!(out.seal(&mut frame, 0, NOW), Ok(()));
                assert!(frame.tailroom() >= spare, "{shape:?}");
            }
        }
    }
}
