//! Round trips, and bytes that nobody should have sent.

use std::net::IpAddr;

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::DecodeError;

fn transform() -> impl Strategy<Value = Transform> {
    (1..13_u8, any::<u16>(), any::<Option<u16>>())
        .prop_map(|(kind, id, key_bits)| Transform { key_bits, ..Transform::new(kind, id) })
}

fn proposal() -> impl Strategy<Value = Proposal> {
    let spi = prop_oneof![Just(vec![]), vec(any::<u8>(), 4), vec(any::<u8>(), 8)];
    (any::<u8>(), any::<u8>(), spi, vec(transform(), 0..20)).prop_map(
        |(number, protocol, spi, transforms)| Proposal { number, protocol, spi, transforms },
    )
}

fn selector() -> impl Strategy<Value = TrafficSelector> {
    let addresses = prop_oneof![
        any::<[[u8; 4]; 2]>().prop_map(|pair| pair.map(IpAddr::from)),
        any::<[[u8; 16]; 2]>().prop_map(|pair| pair.map(IpAddr::from)),
    ];
    (addresses, any::<u8>(), any::<[u16; 2]>(), any::<bool>()).prop_map(
        |([a, b], protocol, [p, q], opaque)| {
            let mut selector = TrafficSelector::addresses(a.min(b)..=a.max(b));
            selector.protocol = protocol;
            (selector.first_port, selector.last_port) =
                if opaque { (u16::MAX, 0) } else { (p.min(q), p.max(q)) };
            selector
        },
    )
}

fn data() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..80)
}

fn payload() -> impl Strategy<Value = Payload> {
    let id = || (any::<u8>(), data()).prop_map(|(kind, data)| Identification { kind, data });
    let attribute =
        (0..0x8000_u16, data()).prop_map(|(kind, value)| ConfigurationAttribute { kind, value });
    let kind = prop_oneof![
        Just(ConfigurationKind::Request),
        Just(ConfigurationKind::Reply),
        Just(ConfigurationKind::Set),
        Just(ConfigurationKind::Ack),
    ];
    prop_oneof![
        vec(proposal(), 1..6).prop_map(Payload::SecurityAssociation),
        (any::<u16>(), data())
            .prop_map(|(method, data)| Payload::KeyExchange(KeyExchange { method, data })),
        id().prop_map(Payload::IdInitiator),
        id().prop_map(Payload::IdResponder),
        (any::<u8>(), data())
            .prop_map(|(encoding, data)| Payload::Certificate(Certificate { encoding, data })),
        (any::<u8>(), data()).prop_map(|(encoding, authorities)| {
            Payload::CertificateRequest(CertificateRequest { encoding, authorities })
        }),
        (any::<u8>(), data()).prop_map(|(method, data)| Payload::Authentication { method, data }),
        vec(any::<u8>(), 16..257).prop_map(Payload::Nonce),
        (any::<u8>(), prop_oneof![Just(0), Just(4), Just(8)], any::<u16>(), data()).prop_map(
            |(protocol, spi, kind, data)| {
                Payload::Notify(Notify { protocol, spi: vec![7; spi], kind, data })
            }
        ),
        Just(Payload::Delete(Delete::Ike)),
        vec(any::<u32>(), 0..9).prop_map(|spis| Payload::Delete(Delete::Esp(spis))),
        data().prop_map(Payload::VendorId),
        vec(selector(), 0..9).prop_map(Payload::SelectorsInitiator),
        vec(selector(), 0..9).prop_map(Payload::SelectorsResponder),
        (kind, vec(attribute, 0..5)).prop_map(|(kind, attributes)| {
            Payload::Configuration(Configuration { kind, attributes })
        }),
    ]
}

fn last_payload() -> impl Strategy<Value = Option<Payload>> {
    prop_oneof![
        Just(None),
        (any::<u8>(), data()).prop_map(|(first, body)| Some(Payload::Encrypted { first, body })),
        (any::<u8>(), 1..9_u16, 0..9_u16, data()).prop_map(|(first, number, more, body)| {
            Some(Payload::EncryptedFragment(EncryptedFragment {
                first: if number == 1 { first } else { 0 },
                number,
                total: number + more,
                body,
            }))
        }),
    ]
}

fn header() -> impl Strategy<Value = Header> {
    (1..u64::MAX, any::<u64>(), any::<u8>(), any::<bool>(), any::<bool>(), any::<u32>()).prop_map(
        |(initiator_spi, responder_spi, exchange, from_initiator, is_response, message_id)| {
            Header {
                initiator_spi,
                responder_spi,
                exchange: ExchangeType::from_id(exchange),
                from_initiator,
                is_response,
                message_id,
            }
        },
    )
}

fn message() -> impl Strategy<Value = Message> {
    (header(), vec(payload(), 0..8), last_payload()).prop_map(|(header, mut payloads, last)| {
        payloads.extend(last);
        Message { header, payloads }
    })
}

proptest! {
    #[test]
    fn what_is_encoded_decodes_to_the_same(message in message()) {
        prop_assert_eq!(Message::decode(&message.encode()), Ok(message));
    }

    #[test]
    fn any_bytes_give_a_value_or_an_error(bytes in vec(any::<u8>(), 0..400)) {
        let _ = Message::decode(&bytes);
        for kind in 0..60 {
            if let Ok(payloads) = decode_chain(kind, &bytes) {
                let _ = encode_chain(&payloads);
                payloads.iter().for_each(|payload| drop(payload.to_string()));
            }
        }
    }

    #[test]
    fn broken_messages_give_a_value_or_an_error(
        message in message(),
        breaks in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = message.encode();
        for (at, byte) in breaks {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let cut = cut.index(bytes.len()).max(HEADER_LEN).min(bytes.len());
        for len in [cut, bytes.len()] {
            let mut bytes = bytes[..len].to_vec();
            bytes[24..28].copy_from_slice(&(len as u32).to_be_bytes());
            if let Ok(message) = Message::decode(&bytes) {
                message.payloads.iter().for_each(|payload| drop(payload.to_string()));
            }
        }
    }
}

fn example() -> Message {
    Message {
        header: Header {
            initiator_spi: 0x1122_3344_5566_7788,
            responder_spi: 0,
            exchange: ExchangeType::IkeSaInit,
            from_initiator: true,
            is_response: false,
            message_id: 0,
        },
        payloads: vec![Payload::Nonce(vec![9; 16])],
    }
}

#[test]
fn a_header_is_refused_by_what_is_wrong_with_it() {
    let good = example().encode();
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        Message::decode(&bytes)
    };
    assert_eq!(with(17, 0x10), Err(DecodeError::Version { major: 1, minor: 0 }));
    assert_eq!(with(17, 0x30), Err(DecodeError::Version { major: 3, minor: 0 }));
    assert!(with(17, 0x2f).is_ok(), "a minor version is ignored (RFC 7296 §2.5)");
    assert_eq!(with(27, 1), Err(DecodeError::Length("the message")));
    assert_eq!(Message::decode(&good[..27]), Err(DecodeError::Truncated("the header")));
    let mut bytes = good;
    bytes[..8].fill(0);
    assert_eq!(Message::decode(&bytes), Err(DecodeError::Value("the initiator's SPI")));
}

#[test]
fn unknown_payloads_matter_only_when_critical() {
    let chain = |flags| [200, flags, 0, 4, 41, flags, 0, 6, 1, 2, 0, 0, 0, 8, 0, 0, 0x40, 4];
    let payloads = decode_chain(199, &chain(0)).expect("skipped");
    assert_eq!(payloads[..2].iter().map(Payload::kind).collect::<Vec<_>>(), [199, 200]);
    assert_eq!(payloads[2].to_string(), "N(NAT_DETECTION_SOURCE_IP)");
    assert_eq!(decode_chain(199, &chain(0x80)), Err(DecodeError::UnsupportedCritical(199)));
    // the critical bit of a payload that is known is ignored
    assert!(decode_chain(43, &[0, 0x80, 0, 4]).is_ok());
}

#[test]
fn lists_have_limits() {
    let many: Vec<u8> = [43, 0, 0, 4].repeat(MAX_PAYLOADS + 1);
    assert_eq!(decode_chain(43, &many), Err(DecodeError::TooMany("payloads")));
    let proposal = Proposal { number: 1, protocol: 3, spi: vec![], transforms: vec![] };
    let sa = Payload::SecurityAssociation(vec![proposal; MAX_PROPOSALS + 1]);
    let bytes = encode_chain(&[sa]);
    assert_eq!(decode_chain(33, &bytes), Err(DecodeError::TooMany("proposals")));
    let delete = Payload::Delete(Delete::Esp(vec![1; MAX_DELETED + 1]));
    let bytes = encode_chain(&[delete]);
    assert_eq!(decode_chain(42, &bytes), Err(DecodeError::TooMany("SPIs of a delete payload")));
    let attribute = ConfigurationAttribute { kind: 1, value: vec![] };
    let attributes = vec![attribute; MAX_ATTRIBUTES + 1];
    let kind = ConfigurationKind::Request;
    let bytes = encode_chain(&[Payload::Configuration(Configuration { kind, attributes })]);
    assert_eq!(decode_chain(47, &bytes), Err(DecodeError::TooMany("configuration attributes")));
}

#[test]
fn selectors_in_words() {
    let prefix = TrafficSelector::prefix(IpAddr::from([10, 1, 0, 77]), 24);
    assert_eq!(prefix.to_string(), "10.1.0.0/24");
    assert_eq!(prefix.as_prefix(), Some((IpAddr::from([10, 1, 0, 0]), 24)));
    let range = TrafficSelector::addresses([10, 0, 0, 1].into()..=[10, 0, 0, 9].into());
    assert_eq!((range.to_string().as_str(), range.as_prefix()), ("10.0.0.1-10.0.0.9", None));
    let web = TrafficSelector { protocol: 6, first_port: 443, last_port: 443, ..prefix };
    assert_eq!(web.to_string(), "10.1.0.0/24[tcp/443]");
    let opaque = TrafficSelector { protocol: 17, first_port: u16::MAX, last_port: 0, ..prefix };
    assert_eq!(opaque.to_string(), "10.1.0.0/24[udp/opaque]");
    let all = TrafficSelector::prefix(IpAddr::from([0; 16]), 0);
    assert_eq!(all.to_string(), "::/0");
}

/// What travels encrypted, another decoder has to understand as well.
#[test]
fn another_decoder_reads_what_travels_encrypted() {
    let transforms = vec![Transform { key_bits: Some(256), ..Transform::new(1, 20) }];
    let proposal = Proposal { number: 1, protocol: 3, spi: vec![0xc0, 0, 0, 1], transforms };
    let net = |text: [u8; 4]| vec![TrafficSelector::prefix(text.into(), 24)];
    let id = || Identification { kind: 2, data: b"a.test".to_vec() };
    let payloads = [
        Payload::IdInitiator(id()),
        Payload::Certificate(Certificate { encoding: 4, data: vec![1; 300] }),
        Payload::CertificateRequest(CertificateRequest { encoding: 4, authorities: vec![2; 40] }),
        Payload::IdResponder(id()),
        Payload::Authentication { method: 14, data: vec![3; 90] },
        Payload::Notify(Notify::new(notify_type::INITIAL_CONTACT, [])),
        Payload::SecurityAssociation(vec![proposal]),
        Payload::SelectorsInitiator(net([10, 1, 0, 0])),
        Payload::SelectorsResponder(net([10, 2, 0, 0])),
        Payload::Nonce(vec![4; 32]),
        Payload::KeyExchange(KeyExchange { method: 31, data: vec![5; 32] }),
        Payload::Delete(Delete::Esp(vec![0xc000_0001])),
    ];
    let bytes = encode_chain(&payloads);
    let first = ipsec_parser::IkePayloadType(payloads[0].kind());
    let (rest, read) = ipsec_parser::parse_ikev2_payload_list(&bytes, first).unwrap();
    assert!(rest.is_empty());
    let text = format!("{:?}", read.unwrap());
    for part in ["IDi", "a.test", "TSi", "10, 1, 0, 255", "Delete"] {
        let bytes = format!("{:?}", part.as_bytes());
        let inner = bytes.trim_matches(['[', ']']);
        assert!(text.contains(part) || text.contains(inner), "{part} in {text}");
    }
}
