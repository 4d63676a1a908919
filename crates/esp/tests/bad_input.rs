//! Damaged, truncated, replayed and wrongly built packets: each has its reason, and the replay
//! window does not move unless the packet was authentic.

mod common;

use common::*;
use lockgate_esp::{Inbound, Mode, Opened, Parameters, Suite, classify};
use ports::Frame;
use proptest::prelude::*;
use reason::DropReason;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use wire::{IpVersion, checksum::Sum};

fn window(sa: &Inbound) -> (u64, Vec<u32>) {
    let bitmap = sa.replay_bitmap();
    (bitmap.top, bitmap.words)
}

/// An authentic ESP packet over IPv4 with AES-256-GCM around any text, made without our code.
fn forge(parameters: &Parameters, sequence: u32, text: &[u8]) -> Frame {
    let key = parameters.key.expose_hex();
    let key: Vec<u8> = (0..key.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&key[i..i + 2], 16).expect("digits"))
        .collect();
    let (key, salt) = key.split_at(32);
    let mut nonce = [0; 12];
    nonce[..4].copy_from_slice(salt);
    nonce[8..].copy_from_slice(&sequence.to_be_bytes());
    let mut esp = parameters.spi.to_be_bytes().to_vec();
    esp.extend(sequence.to_be_bytes());
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).expect("length"));
    let mut sealed = text.to_vec();
    let nonce_value = Nonce::assume_unique_for_key(nonce);
    key.seal_in_place_append_tag(nonce_value, Aad::from(&esp), &mut sealed).expect("sealed");
    esp.extend(&nonce[4..]);
    esp.extend(sealed);
    let len = (20 + esp.len() as u16).to_be_bytes();
    let mut packet = vec![0x45, 0, len[0], len[1], 0, 0, 0x40, 0, 64, 50, 0, 0];
    packet.extend([192, 0, 2, 1, 192, 0, 2, 2]);
    let sum = Sum::ZERO.bytes(&packet).finish().to_be_bytes();
    packet[10..12].copy_from_slice(&sum);
    packet.extend(esp);
    Frame::from_vec(packet)
}

/// A text of an inner packet and a trailer.
fn text(inner: &[u8], padding: &[u8], pad_len: u8, next_header: u8) -> Vec<u8> {
    [inner, padding, &[pad_len, next_header]].concat()
}

#[test]
fn every_flipped_bit_behind_the_headers_is_found() {
    for parameters in every_shape() {
        if parameters.suite.is_weak() {
            continue;
        }
        let (out, inside) = pair(&parameters);
        let sealed = seal(&out, &packet_for(&parameters, 40));
        let headers = if parameters.source.is_ipv4() { 20 } else { 40 };
        let esp = headers + if parameters.encapsulation.is_some() { 8 } else { 0 };
        let before = window(&inside);
        for at in esp + 4..sealed.len() {
            for bit in 0..8 {
                let mut frame = sealed.try_clone().expect("unpooled");
                frame.bytes_mut()[at] ^= 1 << bit;
                let reason = inside.open(&mut frame, 0, NOW).expect_err("it was changed");
                // a changed sequence number may lie before the first one
                let in_sequence = at < esp + 8;
                let old = reason == DropReason::EspTooOld && in_sequence;
                assert!(
                    old || reason == DropReason::EspIcvFailed,
                    "{reason} at {at} {parameters:?}"
                );
            }
        }
        assert_eq!(window(&inside), before, "{parameters:?}");
        let mut frame = sealed;
        assert!(inside.open(&mut frame, 0, NOW).is_ok(), "the original still opens");
    }
}

#[test]
fn the_spi_is_authenticated() {
    for suite in Suite::ALL {
        let (out, inside) = pair(&parameters(suite));
        let mut frame = seal(&out, &udp4(10, 0));
        frame.bytes_mut()[20] ^= 1;
        assert_eq!(inside.open(&mut frame, 0, NOW), Err(DropReason::EspIcvFailed));
    }
}

#[test]
fn every_truncation_has_a_reason() {
    for parameters in every_shape() {
        let (out, inside) = pair(&parameters);
        let sealed = seal(&out, &packet_for(&parameters, 40));
        let four = parameters.source.is_ipv4();
        for len in 0..sealed.len() {
            // the frame is cut, and the IP header still promises the whole
            let mut frame = sealed.try_clone().expect("unpooled");
            frame.truncate(len);
            let reason = inside.open(&mut frame, 0, NOW).expect_err("it was cut");
            let expected = match (four, len) {
                (_, 0) | (true, ..20) => DropReason::Ipv4HeaderInvalid,
                (false, ..40) => DropReason::Ipv6HeaderInvalid,
                _ => DropReason::IpLengthMismatch,
            };
            assert_eq!(reason, expected, "{len}");

            // the IP header agrees with the cut
            let headers = if four { 20 } else { 40 };
            if len < headers {
                continue;
            }
            let mut frame = sealed.try_clone().expect("unpooled");
            frame.truncate(len);
            let field = if four { 2..4 } else { 4..6 };
            let value = if four { len } else { len - 40 } as u16;
            frame.bytes_mut()[field].copy_from_slice(&value.to_be_bytes());
            if parameters.encapsulation.is_some() && len >= headers + 8 {
                let udp = (len - headers) as u16;
                frame.bytes_mut()[headers + 4..headers + 6].copy_from_slice(&udp.to_be_bytes());
            }
            let reason = inside.open(&mut frame, 0, NOW).expect_err("it was cut");
            assert!(
                matches!(reason, DropReason::EspMalformed | DropReason::EspIcvFailed),
                "{reason} {len} {parameters:?}"
            );
        }
        assert_eq!(window(&inside).0, 0);
    }
}

#[test]
fn replayed_and_too_old_packets_are_told_apart() {
    for esn in [false, true] {
        let parameters = Parameters { esn, replay_window: 64, ..parameters(Suite::AES128_GCM16) };
        let (out, inside) = pair(&parameters);
        let sealed: Vec<Frame> = (0..200).map(|_| seal(&out, &udp4(1, 0))).collect();
        let open = |i: usize| inside.open(&mut sealed[i].try_clone().expect("unpooled"), 0, NOW);
        assert!(open(99).is_ok());
        assert_eq!(open(99), Err(DropReason::EspReplayed));
        assert!(open(36).is_ok(), "the last inside the window");
        assert_eq!(open(36), Err(DropReason::EspReplayed));
        assert_eq!(open(35), Err(DropReason::EspTooOld));
        assert!(open(199).is_ok());
        assert_eq!(open(99), Err(DropReason::EspTooOld));
        let total = inside.status(NOW).total;
        assert_eq!(total.packets, 3);
        assert_eq!(total.dropped(DropReason::EspReplayed), 2);
        assert_eq!(total.dropped(DropReason::EspTooOld), 2);
    }
}

#[test]
fn without_a_window_replays_pass() {
    let parameters = Parameters { replay_window: 0, ..parameters(Suite::AES128_GCM16) };
    let (out, inside) = pair(&parameters);
    let sealed = seal(&out, &udp4(1, 0));
    for _ in 0..3 {
        assert!(inside.open(&mut sealed.try_clone().expect("unpooled"), 0, NOW).is_ok());
    }
}

#[test]
fn authentic_packets_with_wrong_trailers_are_refused() {
    let tunnel = parameters(Suite::AES256_GCM16);
    let inner = udp4(8, 0); // 36 bytes
    let rows = [
        (text(&inner, &[1, 2], 2, 4), Ok(Opened::Packet(IpVersion::V4))),
        (text(&inner, &[0, 0], 2, 4), Err(DropReason::EspPadMalformed)),
        (text(&inner, &[1, 3], 2, 4), Err(DropReason::EspPadMalformed)),
        (text(&inner, &[1, 2], 255, 4), Err(DropReason::EspPadMalformed)),
        (text(&[], &[1, 2], 3, 4), Err(DropReason::EspPadMalformed)),
        (text(&inner, &[1, 2], 2, 17), Err(DropReason::EspNextHeaderUnsupported)),
        (text(&inner, &[1, 2], 2, 0), Err(DropReason::EspNextHeaderUnsupported)),
        (text(&inner, &[1, 2], 2, 108), Err(DropReason::EspNextHeaderUnsupported)),
        (text(&inner, &[1, 2], 2, 41), Err(DropReason::EspNextHeaderUnsupported)),
        (text(&inner, &[1, 2], 2, 59), Ok(Opened::Dummy)),
        (text(&inner[..34], &[], 0, 4), Err(DropReason::IpLengthMismatch)),
        (text(&inner[..18], &[], 0, 4), Err(DropReason::Ipv4HeaderInvalid)),
        (text(&[0x60; 38], &[], 0, 41), Err(DropReason::Ipv6HeaderInvalid)),
        (text(&[], &[1, 2], 2, 4), Err(DropReason::Ipv4HeaderInvalid)),
        (text(&[], &[1, 2], 2, 59), Ok(Opened::Dummy)),
    ];
    for (i, (text, expected)) in rows.into_iter().enumerate() {
        let (_, inside) = pair(&tunnel);
        let mut frame = forge(&tunnel, 7, &text);
        assert_eq!(inside.open(&mut frame, 0, NOW), expected, "row {i}");
        assert_eq!(window(&inside).0, 7, "row {i}: it was authentic");
    }

    let transport = Parameters { mode: Mode::Transport, ..tunnel };
    for (next_header, expected) in [
        (17, Ok(Opened::Packet(IpVersion::V4))),
        (59, Ok(Opened::Dummy)),
        (4, Err(DropReason::EspNextHeaderUnsupported)),
        (41, Err(DropReason::EspNextHeaderUnsupported)),
    ] {
        let (_, inside) = pair(&transport);
        let mut frame = forge(&transport, 1, &text(&inner[20..], &[1, 2], 2, next_header));
        assert_eq!(inside.open(&mut frame, 0, NOW), expected, "{next_header}");
    }
}

#[test]
fn the_longest_padding_and_tfc_padding_are_accepted() {
    let parameters = parameters(Suite::AES256_GCM16);
    let inner = udp4(9, 0); // 37 bytes
    let padding: Vec<u8> = (1..=253).collect();
    let tfc = [&inner[..], &[0; 101]].concat(); // behind the packet, before the padding
    for (i, text) in
        [text(&inner, &padding, 253, 4), text(&tfc, &padding[..4], 4, 4)].into_iter().enumerate()
    {
        assert_eq!(text.len() % 4, 0);
        let (_, inside) = pair(&parameters);
        let mut frame = forge(&parameters, 1, &text);
        assert!(inside.open(&mut frame, 0, NOW).is_ok(), "row {i}");
        assert_eq!(frame.bytes(), inner);
    }
}

#[test]
fn texts_that_do_not_fit_the_cipher_are_malformed_before_any_work() {
    let parameters = parameters(Suite::AES256_GCM16);
    for len in [0, 1, 2, 3, 5, 6, 7] {
        let (_, inside) = pair(&parameters);
        let mut frame = forge(&parameters, 1, &vec![0; len]);
        assert_eq!(inside.open(&mut frame, 0, NOW), Err(DropReason::EspMalformed), "{len}");
        assert_eq!(window(&inside).0, 0);
    }
}

#[test]
fn fragments_and_other_protocols_are_refused() {
    let (out, inside) = pair(&parameters(Suite::AES128_GCM16));
    let sealed = seal(&out, &udp4(100, 0));
    for (at, value, expected) in [
        (6, 0x20, DropReason::EspFragment),
        (7, 0x01, DropReason::EspFragment),
        (9, 6, DropReason::EspMalformed),
        (9, 17, DropReason::EspMalformed),
        (0, 0x44, DropReason::Ipv4HeaderInvalid),
        (0, 0x55, DropReason::Ipv4HeaderInvalid),
    ] {
        let mut frame = sealed.try_clone().expect("unpooled");
        frame.bytes_mut()[at] = value;
        assert_eq!(inside.open(&mut frame, 0, NOW), Err(expected), "{at} {value}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_bytes_give_a_reason(
        suite in prop::sample::select(Suite::ALL.to_vec()),
        flags in any::<[bool; 2]>(),
        head in prop::sample::select(vec![vec![], vec![0x45], vec![0x60], vec![0x46, 0, 0, 120, 0, 0, 0, 0, 9, 50]]),
        rest in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut p = parameters(suite);
        p.esn = flags[0];
        p.mode = if flags[1] { Mode::Tunnel } else { Mode::Transport };
        let (out, inside) = pair(&p);
        let bytes = [head, rest].concat();
        classify(&bytes, &[4500]);
        let mut frame = Frame::from_vec(bytes.clone());
        prop_assert!(inside.open(&mut frame, 0, NOW).is_err());
        prop_assert_eq!(inside.replay_bitmap().top, 0);
        let mut frame = Frame::from_vec(bytes.clone());
        if out.seal(&mut frame, 0, NOW).is_err() {
            prop_assert_eq!(frame.bytes(), &bytes[..], "a refused frame is as it was");
        }
    }
}
