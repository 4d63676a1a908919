//! Parsers that look at one string of bytes.

use std::sync::LazyLock;

use aead::{AeadKey as _, Algorithm, Key, Open, Provider, Seal, Selection, TAG_LEN};
use anyconnect::cstp::Frame as CstpFrame;
use api::filter::Filter;
use esp::{DfRule, DscpRule, Inbound, KeyMaterial, Lifetime, Mode, Parameters, Suite};
use ike::{
    auth::{Certificate, Identity, PrivateKey, Trust},
    message::{Identification, Message, Payload, decode_chain, encode_chain},
};
use ports::Frame;
use wire::Time;

use crate::{input::Input, packet::Packet};

/// Bytes of a whole message of IKE, and of a chain of payloads as it is inside of a protected one. What
/// can be decoded is encoded and decoded again, and is the same. Says whether either was understood.
pub fn ike_message(bytes: &[u8]) -> bool {
    let message = Message::decode(bytes);
    if let Ok(message) = &message
        && is_kept(&message.payloads)
    {
        let again = Message::decode(&message.encode());
        assert_eq!(again.as_ref(), Ok(message));
    }
    let Some((first, chain)) = bytes.split_first() else { return false };
    let payloads = decode_chain(*first, chain);
    if let Ok(payloads) = &payloads {
        let words: Vec<_> = payloads.iter().map(ToString::to_string).collect();
        assert_eq!(words.len(), payloads.len());
        if is_kept(payloads) && !payloads.is_empty() {
            let again = decode_chain(payloads[0].kind(), &encode_chain(payloads));
            assert_eq!(again.as_ref(), Ok(payloads));
        }
    }
    message.is_ok() || payloads.is_ok_and(|payloads| !payloads.is_empty())
}

/// Whether decoding keeps all of it: what is not known is only measured, attributes of transforms
/// that are not known are only noticed.
fn is_kept(payloads: &[Payload]) -> bool {
    payloads.iter().all(|payload| match payload {
        Payload::Unknown { .. } => false,
        Payload::SecurityAssociation(proposals) => {
            proposals.iter().flat_map(|p| &p.transforms).all(|t| !t.unknown_attribute)
        }
        _ => true,
    })
}

/// Identities, certificates, keys and revocation lists. Says whether any was understood.
pub fn ike_identity(bytes: &[u8]) -> bool {
    let mut understood = false;
    if let Some((kind, data)) = bytes.split_first() {
        let identity = Identity::from_payload(&Identification { kind: *kind, data: data.to_vec() });
        if let Ok(identity) = identity {
            let again = Identity::from_payload(&identity.to_payload());
            assert_eq!(again.as_ref(), Ok(&identity));
            assert!(identity.to_string().chars().all(|c| !c.is_control()), "{identity}");
            understood = true;
        }
    }
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(identity) = text.parse::<Identity>()
    {
        assert_eq!(Identity::from_payload(&identity.to_payload()).as_ref(), Ok(&identity));
        understood = true;
    }
    if let Ok(certificate) = Certificate::from_der(bytes) {
        understood = true;
        let _ = certificate.certifies(&"peer.example".parse().expect("invariant: an identity"));
        assert!(certificate.name().chars().all(|c| !c.is_control()));
    }
    understood |= PrivateKey::from_pem(bytes).is_ok();
    let certificates = Certificate::all_from_pem(bytes);
    if let Ok(Ok(mut trust)) = certificates.map(Trust::new) {
        understood = true;
        let _ = trust.add_revoked(bytes);
    }
    understood
}

/// A frame of Ethernet: every view of it that there is, and what the stages rewrite.
pub fn wire_packet(bytes: &[u8]) -> bool {
    let Ok(headers) = wire::parse(bytes) else { return false };
    Packet { bytes, headers }.look();
    true
}

/// An ESP packet from the outer IP header on: it has no key, so it must not open, and the window must
/// not move. The first byte chooses the SA.
pub fn esp_open(bytes: &[u8]) -> bool {
    static SAS: LazyLock<Vec<Inbound>> = LazyLock::new(|| {
        let mut all = Vec::new();
        for suite in Suite::ALL {
            for (mode, esn) in [(Mode::Tunnel, false), (Mode::Transport, true)] {
                all.push(Inbound::new(parameters(suite, mode, esn), Time::ZERO).expect("they fit"));
            }
        }
        all
    });
    let mut input = Input::new(bytes);
    let sa = &SAS[input.below(SAS.len())];
    let packet = input.take(usize::MAX);
    let carrier = esp::classify(packet, &[esp::nat_t::PORT]);
    let mut frame = Frame::from_vec(packet.to_vec());
    // without integrity there is nothing that could be wrong
    if !sa.parameters().suite.is_weak() {
        assert!(sa.open(&mut frame, 0, Time::from_secs(1)).is_err());
        assert_eq!(sa.replay_bitmap().top, 0);
    }
    !matches!(carrier, esp::Carrier::NotEsp)
}

fn parameters(suite: Suite, mode: Mode, esn: bool) -> Parameters {
    let key: Vec<u8> = (0..suite.key_len()).map(|i| (i * 7 + 3) as u8).collect();
    Parameters {
        spi: 0x1234_5678,
        suite,
        key: KeyMaterial::from_bytes(&key),
        mode,
        source: [192, 0, 2, 1].into(),
        destination: [192, 0, 2, 2].into(),
        encapsulation: None,
        esn,
        replay_window: 1024,
        soft: Lifetime::default(),
        hard: Lifetime::default(),
        dscp: DscpRule::Copy,
        df: DfRule::Copy,
        pad_to: None,
        hop_limit: 64,
        allow_null: true,
    }
}

/// A configuration: it is one, or its faults point into it. Says whether it is one.
pub fn config_text(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    match config::parse("any", text) {
        Ok(parsed) => {
            assert!(config::diff(&parsed.config, &parsed.config).is_empty());
            true
        }
        Err(faults) => {
            assert!(faults.errors() > 0);
            for fault in faults.iter() {
                assert!(fault.place.end <= text.len() && text.is_char_boundary(fault.place.start));
                assert!(!fault.render(false).contains('\x1b'));
            }
            false
        }
    }
}

/// A filter: what is understood is printed and read back as the same.
pub fn filter_text(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let Ok(filter) = Filter::parse(text) else { return false };
    let printed = filter.to_string();
    assert_eq!(Filter::parse(&printed).as_ref(), Ok(&filter), "{printed}");
    true
}

/// Requests of HTTP as clients of remote access send them.
pub fn remote_http(bytes: &[u8]) -> bool {
    anyconnect::fuzz::http(bytes)
}

/// Documents and forms of a login.
pub fn remote_login(bytes: &[u8]) -> bool {
    anyconnect::fuzz::login(bytes)
}

/// Frames of CSTP out of TLS, and what a record of DTLS carries. What is a frame is written as the same.
pub fn remote_cstp(bytes: &[u8]) -> bool {
    let _ = CstpFrame::from_datagram(bytes).map(|frame| {
        assert_eq!(frame.kind.number(), bytes[0]);
        assert_eq!(frame.payload, &bytes[1..]);
    });
    let (mut rest, mut frames) = (bytes, 0);
    while let Ok(Some((frame, len))) = CstpFrame::from_stream(rest) {
        let again = [&frame.kind.header(frame.payload.len())[..], frame.payload].concat();
        assert_eq!(again, rest[..len]);
        rest = &rest[len..];
        frames += 1;
    }
    frames > 0
}

/// Records of TLS in a tunnel.
pub fn remote_records(bytes: &[u8]) -> bool {
    anyconnect::fuzz::records(bytes)
}

/// AES-GCM of our own beside `ring`: a key, a nonce, additional data and a text; then with a bit changed somewhere. Says
/// whether this CPU has it.
pub fn aead_gcm(bytes: &[u8]) -> bool {
    let mut input = Input::new(bytes);
    let algorithm = [Algorithm::Aes128Gcm, Algorithm::Aes256Gcm][input.below(2)];
    let secret: [u8; 32] = core::array::from_fn(|_| input.byte());
    let nonce: [u8; 12] = core::array::from_fn(|_| input.byte());
    let (aad, bit) = (input.string(), usize::from(input.u16()));
    let text = input.take(usize::MAX);
    let key = |provider| {
        let key = &secret[..algorithm.key_len()];
        Key::new(algorithm, key, &Selection::only(provider)).expect("invariant: its length")
    };
    let seal = |key: &Key| {
        let (mut text, mut tag) = (text.to_vec(), [0; TAG_LEN]);
        key.seal(&mut [Seal { nonce, aad, text: &mut text, tag: &mut tag }]);
        (text, tag)
    };
    let right = seal(&key(Provider::Ring));
    let mut compared = false;
    for provider in [Provider::Vaes256, Provider::Vaes512] {
        if !provider.serves(algorithm) {
            continue;
        }
        compared = true;
        let key = key(provider);
        assert!(seal(&key) == right, "{provider:?}");
        let open = |(mut sealed, tag): (Vec<u8>, [u8; TAG_LEN])| {
            let mut jobs = [Open { nonce, aad, text: &mut sealed, tag: &tag, authentic: false }];
            key.open(&mut jobs);
            let authentic = jobs[0].authentic;
            (authentic, sealed)
        };
        assert!(open(right.clone()) == (true, text.to_vec()), "{provider:?}");
        let mut wrong = right.clone();
        let at = bit % (8 * (text.len() + TAG_LEN));
        match wrong.0.get_mut(at / 8) {
            Some(byte) => *byte ^= 1 << (at % 8),
            None => wrong.1[at / 8 - text.len()] ^= 1 << (at % 8),
        }
        assert!(open(wrong) == (false, vec![0; text.len()]), "{provider:?}: nothing is shown");
    }
    compared
}
