//! DTLS: a server among strangers, and an association whose key nobody has.

use std::{net::SocketAddr, time::Duration};

use aead::{Algorithm, Selection};
use association::KeyMaterial;
use dtls::{
    Inbound, Path, Secret, Server, Settings, Suite,
    record::{self, RecordKeys},
};
use ports::Frame;
use wire::Time;

use crate::{input::Input, pair::Chaos};

/// Bytes of the headers before a HelloVerifyRequest's cookie.
const BEFORE_COOKIE: usize = 13 + 12 + 3;
/// Where the length of a ClientHello's session ID is in its datagram.
const SESSION_ID: usize = 13 + 12 + 34;

/// Datagrams, each with a byte in front that says from which port it comes, and whether the one with the
/// cookie that it was answered with comes after it; then its length in two bytes. Says whether anything was
/// answered.
pub fn dtls_server(bytes: &[u8]) -> bool {
    let settings = Settings { half_open_limit: 4, half_open_per_address: 3, ..Settings::default() };
    let mut server = Server::new(settings, Box::new(Chaos(7)));
    let mut input = Input::new(bytes);
    let (mut now, mut answered) = (Time::from_secs(1000), false);
    while !input.is_empty() {
        let how = input.byte();
        let len = usize::from(input.u16());
        let datagram = input.take(len);
        let remote = SocketAddr::from(([198, 51, 100, 7], 5000 + u16::from(how >> 5)));
        let path = Path { local: SocketAddr::from(([192, 0, 2, 1], 443)), remote };
        let answer = give(&mut server, now, path, datagram);
        answered |= answer.is_some();
        let second = answer.filter(|_| how & 1 == 1);
        if let Some(second) = second.and_then(|answer| with_cookie(datagram, &answer)) {
            give(&mut server, now, path, &second);
        }
        now = now + Duration::from_millis(u64::from(how & 0x1e) * 100);
        server.handle_timeout(now);
        while server.poll_event().is_some() {}
        assert!(server.half_open() <= 4);
        assert_eq!(server.views().count(), 0, "nobody here has a key");
    }
    while let Some(due) = server.poll_timeout() {
        assert!(due > now, "time goes on");
        now = due;
        server.handle_timeout(now);
        while server.poll_transmit().is_some() {}
    }
    assert_eq!(server.half_open(), 0, "nothing is kept for ever");
    answered
}

/// Gives a datagram to the server; what it was answered with.
fn give(server: &mut Server, now: Time, path: Path, datagram: &[u8]) -> Option<Vec<u8>> {
    let secrets = |id: &[u8]| {
        Some(match id.first() {
            Some(b'r') => Secret::Resumption {
                master: KeyMaterial::from_bytes(&[9; 48]),
                suite: Suite::RESUMED[0],
            },
            _ => Secret::Psk(KeyMaterial::from_bytes(&[5; 32])),
        })
    };
    while server.poll_transmit().is_some() {}
    let open = server.half_open();
    let _ = server.handle_datagram(now, path, &mut datagram.to_vec(), &secrets);
    let answers: Vec<_> = std::iter::from_fn(|| server.poll_transmit()).collect();
    let total: usize = answers.iter().map(|answer| answer.bytes.len()).sum();
    // who has shown a cookie is answered at length
    assert!(total <= datagram.len() || open > 0 || server.half_open() > 0, "{total}");
    answers.into_iter().next().map(|answer| answer.bytes)
}

/// The datagram once more, with the cookie of its answer.
fn with_cookie(datagram: &[u8], answer: &[u8]) -> Option<Vec<u8>> {
    let cookie = answer.get(BEFORE_COOKIE..).filter(|_| answer[13] == 3)?;
    let at = SESSION_ID + 1 + usize::from(*datagram.get(SESSION_ID)?);
    let mut second = datagram.get(..at)?.to_vec();
    second.push(cookie.len() as u8);
    second.extend(cookie);
    second.extend(datagram.get(at + 1 + usize::from(*datagram.get(at)?)..)?);
    let len = second.len().checked_sub(13)?;
    second[11..13].copy_from_slice(&(len as u16).to_be_bytes());
    let body = &((len.checked_sub(12)?) as u32).to_be_bytes()[1..];
    second[14..17].copy_from_slice(body);
    second[22..25].copy_from_slice(body);
    Some(second)
}

/// A datagram for an association; the first byte chooses what protects it. Says whether it looked like a
/// packet's.
pub fn dtls_record(bytes: &[u8]) -> bool {
    let mut input = Input::new(bytes);
    let cipher = Algorithm::ALL[input.below(Algorithm::ALL.len())];
    let datagram = input.take(usize::MAX);
    let iv = if cipher == Algorithm::ChaCha20Poly1305 { 12 } else { 4 };
    let keys = RecordKeys::new(cipher, &[3; 32][..cipher.key_len()], &[4; 12][..iv]);
    let inbound = Inbound::new(&keys, 64, &Selection::default()).expect("invariant: they fit");
    let like = record::check(datagram).is_ok();
    let (mut frame, now) = (Frame::from_vec(datagram.to_vec()), Time::from_secs(1));
    assert!(inbound.open_packet(&mut frame, 0, 0, now).is_err());
    for (header, range) in record::Records::of(datagram) {
        assert_eq!(range.len(), record::HEADER_LEN + usize::from(header.len));
        assert!(inbound.open_record(&mut datagram[range].to_vec(), 0, now).is_err());
    }
    assert_eq!(inbound.numbers(), 0);
    like
}
