//! The record layer by itself: what is sealed opens, once, and nothing else does.

mod common;

use aead::{Algorithm, Selection, TAG_LEN};
use common::path;
use lockgate_dtls::{
    Exception, Inbound, Opened, Outbound, Path,
    record::{ContentType, HEADER_LEN, RecordKeys, check},
};
use ports::Frame;
use proptest::prelude::*;
use reason::DropReason;
use wire::{IpVersion, Time};

const NOW: Time = Time::from_secs(5);

fn keys(cipher: Algorithm) -> RecordKeys {
    let iv = if cipher == Algorithm::ChaCha20Poly1305 { 12 } else { 4 };
    RecordKeys::new(cipher, &[7; 32][..cipher.key_len()], &[9; 12][..iv])
}

fn halves(cipher: Algorithm, path: Path) -> (Outbound, Inbound) {
    let selection = Selection::default();
    let outbound = Outbound::new(keys(cipher), path, &selection).unwrap();
    (outbound, Inbound::new(&keys(cipher), 64, &selection).unwrap())
}

fn ipv4(len: usize) -> Vec<u8> {
    (0..len).map(|i| if i == 0 { 0x45 } else { i as u8 }).collect()
}

/// Bytes of IP and UDP header.
fn outer(path: Path) -> usize {
    if path.local.is_ipv4() { 28 } else { 48 }
}

#[test]
fn packets_go_in_and_come_out_whatever_is_outside() {
    for cipher in Algorithm::ALL {
        for path in [path("198.51.100.7:5000"), v6()] {
            let (outbound, inbound) = halves(cipher, path);
            for len in [1, 20, 64, 1300, 1400] {
                let packet = ipv4(len);
                let mut frame = Frame::from_vec(packet.clone());
                outbound.seal_packet(&mut frame, 1, NOW).unwrap();
                assert_eq!(frame.len(), len + outbound.overhead());
                assert!(!frame.bytes().windows(packet.len().max(16)).any(|w| w == packet));
                let mut changed = Frame::from_vec(frame.bytes().to_vec());
                *changed.bytes_mut().last_mut().unwrap() ^= 1;
                let refused = inbound.open_packet(&mut changed, outer(path), 2, NOW);
                assert_eq!(refused, Err(DropReason::DtlsBadRecordMac));
                let mut again = Frame::from_vec(frame.bytes().to_vec());
                let opened = inbound.open_packet(&mut frame, outer(path), 2, NOW);
                assert_eq!(opened, Ok(Opened::Packet(IpVersion::V4)));
                assert_eq!(frame.bytes(), packet);
                let replayed = inbound.open_packet(&mut again, outer(path), 2, NOW);
                assert_eq!(replayed, Err(DropReason::DtlsReplayed));
            }
            let (sent, got) = (outbound.status(), inbound.status());
            assert_eq!((sent.numbers, sent.total.packets, sent.total.bytes), (5, 5, 2785));
            assert_eq!((got.numbers, got.total.packets, got.total.bytes), (5, 5, 2785));
            assert_eq!(got.total.dropped(DropReason::DtlsReplayed), 5);
            assert_eq!(got.total.dropped(DropReason::DtlsBadRecordMac), 5);
            assert_eq!((outbound.served(1..2), inbound.served(2..3)), ((5, 2785), (5, 2785)));
            assert_eq!((outbound.last(), inbound.last()), (NOW, NOW));
        }
    }
}

fn v6() -> Path {
    Path {
        local: "[2001:db8::1]:443".parse().unwrap(),
        remote: "[2001:db8::2]:5000".parse().unwrap(),
    }
}

#[test]
fn the_outer_packet_is_one_of_udp() {
    let (outbound, _) = halves(Algorithm::Aes256Gcm, path("198.51.100.7:5000"));
    let mut frame = Frame::from_vec(ipv4(100));
    outbound.seal_packet(&mut frame, 0, NOW).unwrap();
    let b = frame.bytes();
    assert_eq!((b[0], b[1], b[9]), (0x45, 0, 17));
    assert_eq!(usize::from(u16::from_be_bytes([b[2], b[3]])), b.len());
    assert_eq!(b[12..24], [192, 0, 2, 1, 198, 51, 100, 7, 1, 0xbb, 0x13, 0x88]);
    assert_eq!(usize::from(u16::from_be_bytes([b[24], b[25]])), b.len() - 20);
    assert_eq!(b[28..41], [23, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 0, 0, 100 + 1 + 8 + 16]);
    assert_eq!(b[41..49], [0, 1, 0, 0, 0, 0, 0, 0], "epoch and number are the explicit nonce");
    assert_eq!(wire::checksum::checksum(&b[..20]), 0);
}

#[test]
fn sizes_are_told_before() {
    for (cipher, overhead) in
        [(Algorithm::Aes256Gcm, 66), (Algorithm::Aes128Gcm, 66), (Algorithm::ChaCha20Poly1305, 58)]
    {
        let (outbound, _) = halves(cipher, path("198.51.100.7:5000"));
        assert_eq!(outbound.overhead(), overhead);
        assert_eq!(outbound.inner_mtu(1500), 1500 - overhead as u16);
        assert_eq!(outbound.inner_mtu(40), 0);
        let mut frame = Frame::from_vec(ipv4(usize::from(outbound.inner_mtu(1500))));
        outbound.seal_packet(&mut frame, 0, NOW).unwrap();
        assert_eq!(frame.len(), 1500);
    }
}

#[test]
fn a_packet_that_does_not_fit_is_left_as_it_was_and_takes_no_number() {
    let (outbound, _) = halves(Algorithm::Aes256Gcm, path("198.51.100.7:5000"));
    let mut frame = Frame::from_vec(ipv4(100));
    frame.push_front(frame.headroom()).unwrap();
    let before = frame.bytes().to_vec();
    assert_eq!(outbound.seal_packet(&mut frame, 0, NOW), Err(DropReason::DtlsTooBig));
    assert_eq!(frame.bytes(), before);
    let mut frame = Frame::from_vec(ipv4(1 << 14));
    assert_eq!(outbound.seal_packet(&mut frame, 0, NOW), Err(DropReason::DtlsTooBig));
    let long = vec![0; (1 << 14) + 1];
    let sealed = outbound.seal_record(ContentType::ApplicationData, &long, 0, NOW);
    assert_eq!(sealed, Err(DropReason::DtlsTooBig));
    assert_eq!((outbound.status().numbers, outbound.status().total.packets), (0, 0));
    assert_eq!(outbound.status().total.dropped(DropReason::DtlsTooBig), 3);
}

#[test]
fn what_is_no_packet_is_given_to_the_owner() {
    let (outbound, inbound) = halves(Algorithm::Aes128Gcm, path("198.51.100.7:5000"));
    let open = |text: &[u8]| {
        let record = outbound.seal_record(ContentType::ApplicationData, text, 0, NOW).unwrap();
        let mut frame = Frame::from_vec(record);
        inbound.open_packet(&mut frame, 0, 0, NOW).map(|opened| (opened, frame.bytes().to_vec()))
    };
    assert_eq!(open(&[3, 1, 2]), Ok((Opened::Control, vec![3, 1, 2])));
    assert_eq!(open(&[0, 0x60, 1]), Ok((Opened::Packet(IpVersion::V6), vec![0x60, 1])));
    assert_eq!(open(&[0]), Err(DropReason::DtlsMalformed));
    let (sent, got) = (outbound.status().total, inbound.status().total);
    assert_eq!((sent.packets, sent.bytes, sent.dummies), (1, 2, 2));
    assert_eq!((got.packets, got.bytes, got.dummies), (1, 2, 1));
}

#[test]
fn what_can_be_told_without_a_key_is() {
    let (outbound, inbound) = halves(Algorithm::Aes256Gcm, path("198.51.100.7:5000"));
    let good = outbound.seal_record(ContentType::ApplicationData, b"\0E", 0, NOW).unwrap();
    let with = |at: usize, byte: u8| {
        let mut record = good.clone();
        record[at] = byte;
        record
    };
    assert!(check(&good).is_ok());
    let cases = [
        (good[..HEADER_LEN - 1].to_vec(), Exception::Short),
        ([&good[..11], &[0, TAG_LEN as u8][..], &[0; TAG_LEN]].concat(), Exception::Short),
        (with(0, 21), Exception::Content),
        (with(0, 99), Exception::Content),
        (with(2, 0xff), Exception::Version),
        (with(4, 0), Exception::Epoch),
        (with(4, 2), Exception::Epoch),
        ([&good[..], &good[..]].concat(), Exception::Several),
        (good[..good.len() - 1].to_vec(), Exception::Several),
    ];
    for (datagram, expected) in cases {
        assert_eq!(check(&datagram), Err(expected));
        let mut frame = Frame::from_vec(datagram);
        assert!(inbound.open_packet(&mut frame, 0, 0, NOW).is_err(), "{expected:?}");
    }
    assert_eq!(inbound.numbers(), 0);
}

#[test]
fn an_explicit_nonce_that_is_not_the_number_is_taken_as_it_stands() {
    use aead::{AeadKey as _, Key, Seal};
    let (_, inbound) = halves(Algorithm::Aes128Gcm, path("198.51.100.7:5000"));
    let key = Key::new(Algorithm::Aes128Gcm, &[7; 16], &Selection::default()).unwrap();
    let explicit = *b"anything";
    let mut nonce = [9; 12];
    nonce[4..].copy_from_slice(&explicit);
    let mut text = *b"\x03hello";
    let mut tag = [0; TAG_LEN];
    let aad = [0, 1, 0, 0, 0, 0, 0, 5, 23, 0xfe, 0xfd, 0, 6];
    key.seal(&mut [Seal { nonce, aad: &aad, text: &mut text, tag: &mut tag }]);
    let header = [23, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 5, 0, 8 + 6 + 16];
    let mut record = [&header[..], &explicit, &text, &tag].concat();
    let (content, text) = inbound.open_record(&mut record, 0, NOW).unwrap();
    assert_eq!((content, &record[text]), (ContentType::ApplicationData, &b"\x03hello"[..]));
    assert_eq!(inbound.numbers(), 6);
}

#[test]
fn moving_gives_all_numbers_on() {
    let (first, inbound) = halves(Algorithm::ChaCha20Poly1305, path("198.51.100.7:5000"));
    let seal = |outbound: &Outbound| {
        let mut frame = Frame::from_vec(ipv4(60));
        outbound.seal_packet(&mut frame, 1, NOW).map(|()| frame)
    };
    let mut frames = vec![seal(&first).unwrap(), seal(&first).unwrap()];
    let second = first.moved(v6());
    assert_eq!(seal(&first).err(), Some(DropReason::DtlsNumbersExhausted));
    let frame = seal(&second).unwrap();
    assert_eq!((frame.bytes()[0] >> 4, second.path()), (6, v6()));
    let mut moved = frame;
    assert_eq!(inbound.open_packet(&mut moved, 48, 0, NOW), Ok(Opened::Packet(IpVersion::V4)));
    for frame in &mut frames {
        assert_eq!(inbound.open_packet(frame, 28, 0, NOW), Ok(Opened::Packet(IpVersion::V4)));
    }
    assert_eq!(second.status().numbers, 3);
    assert_eq!(second.status().total.packets, 3, "counters go on");
    second.end();
    assert_eq!(seal(&second).err(), Some(DropReason::DtlsNumbersExhausted));
}

#[test]
fn threads_that_share_an_association_repeat_no_number_and_pass_no_record_twice() {
    let (outbound, inbound) = halves(Algorithm::Aes128Gcm, path("198.51.100.7:5000"));
    let each = 400;
    let sealed: Vec<Vec<u8>> = std::thread::scope(|scope| {
        let work = |writer| {
            let outbound = &outbound;
            move || {
                let seal = |_| {
                    let mut frame = Frame::from_vec(ipv4(80));
                    outbound.seal_packet(&mut frame, writer, NOW).unwrap();
                    frame.bytes()[28..].to_vec()
                };
                (0..each).map(seal).collect::<Vec<_>>()
            }
        };
        let threads = [0, 1, 2].map(|writer| scope.spawn(work(writer)));
        threads.into_iter().flat_map(|t| t.join().unwrap()).collect()
    });
    let numbers: std::collections::BTreeSet<_> = sealed.iter().map(|r| r[5..11].to_vec()).collect();
    assert_eq!(numbers.len(), 3 * each);
    // in order of their numbers, given to all threads at once
    let mut sealed = sealed;
    sealed.sort_by_key(|record| record[5..11].to_vec());
    let passed: usize = std::thread::scope(|scope| {
        let work = |writer| {
            let (inbound, sealed) = (&inbound, &sealed);
            move || {
                let open = |record: &&Vec<u8>| {
                    let mut frame = Frame::from_vec(record.to_vec());
                    inbound.open_packet(&mut frame, 0, writer, NOW).is_ok()
                };
                sealed.iter().filter(open).count()
            }
        };
        let threads = [0, 1, 2].map(|writer| scope.spawn(work(writer)));
        threads.into_iter().map(|t| t.join().unwrap()).sum()
    });
    let (status, all) = (inbound.status(), 3 * each);
    assert!(passed <= all && status.total.packets == passed as u64);
    // what did not pass the first time had fallen out of the window: nothing is left unaccounted for
    let refused = status.total.dropped(DropReason::DtlsReplayed)
        + status.total.dropped(DropReason::DtlsTooOld);
    assert_eq!(status.total.packets + refused, 3 * all as u64);
    assert!(passed > all / 2, "{passed} of {all}");
}

proptest! {
    #[test]
    fn any_bytes_give_a_value_or_a_reason(bytes in prop::collection::vec(any::<u8>(), 0..200), at in 0..60usize) {
        let (_, inbound) = halves(Algorithm::Aes256Gcm, path("198.51.100.7:5000"));
        let _ = check(&bytes);
        let mut frame = Frame::from_vec(bytes.clone());
        prop_assert!(inbound.open_packet(&mut frame, at, 0, NOW).is_err());
        prop_assert!(inbound.open_record(&mut bytes.clone(), 0, NOW).is_err());
        prop_assert_eq!(inbound.numbers(), 0);
    }

    #[test]
    fn records_open_in_any_order_within_the_window_once(order in Just((0..64usize).collect::<Vec<_>>()).prop_shuffle(), cipher in 0..3usize) {
        let (outbound, inbound) = halves(Algorithm::ALL[cipher], path("198.51.100.7:5000"));
        let seal = |i: usize| outbound.seal_record(ContentType::ApplicationData, &[3, i as u8], 0, NOW).unwrap();
        let records: Vec<_> = (0..64).map(seal).collect();
        for i in order {
            let (content, text) = inbound.open_record(&mut records[i].clone(), 0, NOW).map(|(c, t)| (c, t.len())).unwrap();
            prop_assert_eq!((content, text), (ContentType::ApplicationData, 2));
            prop_assert_eq!(inbound.open_record(&mut records[i].clone(), 0, NOW), Err(DropReason::DtlsReplayed));
        }
    }
}
