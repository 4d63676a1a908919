//! One server and clients over a network that loses nothing but what the test says.

mod common;

use std::{sync::Arc, time::Duration};

use association::KeyMaterial;
use common::{Client, Offer, PSK, SERVER, State, clear, message, path, secrets, server};
use lockgate_dtls::{
    AssociationId, CloseReason, Event, Failure, Ignored, Inbound, Mode, Outbound, Path, Refusal,
    Secret, Server, Suite, record::ContentType,
};
use reason::DropReason;
use wire::Time;

const NOW: Time = Time::from_secs(1000);

fn take(server: &mut Server) -> Vec<Vec<u8>> {
    std::iter::from_fn(|| server.poll_transmit()).map(|datagram| datagram.bytes).collect()
}

fn events(server: &mut Server) -> Vec<Event> {
    std::iter::from_fn(|| server.poll_event()).collect()
}

fn give(server: &mut Server, path: Path, bytes: &[u8]) -> Result<(), Ignored> {
    server.handle_datagram(NOW, path, &mut bytes.to_vec(), &secrets)
}

/// Carries datagrams to and fro until nobody says anything more.
fn settle(server: &mut Server, client: &mut Client, first: Vec<u8>) {
    let mut to_server = vec![first];
    while !to_server.is_empty() {
        for datagram in std::mem::take(&mut to_server) {
            let _ = give(server, client.path, &datagram);
        }
        for datagram in take(server) {
            to_server.extend(client.handle(&datagram));
        }
    }
}

struct Up {
    server: Server,
    client: Client,
    id: AssociationId,
    inbound: Arc<Inbound>,
    outbound: Arc<Outbound>,
}

fn up(offer: Offer) -> Up {
    let mut server = server(1);
    let mut client = Client::new(2, "198.51.100.7:50000", offer);
    let first = client.start();
    settle(&mut server, &mut client, first);
    assert!(client.is_done());
    let mut got = events(&mut server);
    let Some(Event::Established { id, inbound, outbound, .. }) = got.pop() else {
        panic!("{got:?}")
    };
    assert!(got.is_empty());
    Up { server, client, id, inbound, outbound }
}

#[test]
fn every_suite_of_both_handshakes_stands_and_carries_data_both_ways() {
    let psk = Suite::PSK
        .into_iter()
        .flat_map(|suite| [false, true].map(|extended| Offer { extended, ..Offer::psk(suite) }));
    let resumed = (0..Suite::RESUMED.len()).map(Offer::resumption);
    let mut count = 0;
    for offer in psk.chain(resumed) {
        let suite = offer.suites[0];
        let Up { mut server, mut client, id, inbound, outbound } = up(offer);
        give(&mut server, client.path, &client.seal(b"\x03hello")).unwrap();
        let got = events(&mut server);
        assert!(
            matches!(&got[..], [Event::Data { id: of, bytes }] if *of == id && bytes == b"\x03hello")
        );
        server.send(NOW, id, b"\x04hello").unwrap();
        for datagram in take(&mut server) {
            client.handle(&datagram);
        }
        assert_eq!(client.received, [b"\x04hello"]);
        let view = server.views().next().unwrap();
        assert_eq!((view.id, view.suite.id(), view.path), (id, suite, client.path));
        assert_eq!(view.mode == Mode::Resumption, client.offer.session_id[0] == b'r');
        assert_eq!(server.key_log_line(id).unwrap().as_str(), client.key_log_line());
        // Finished, and one record of data
        assert_eq!((inbound.status().numbers, outbound.status().numbers), (2, 2));
        assert_eq!(server.half_open(), 0);
        count += 1;
    }
    assert_eq!(count, 15);
}

#[test]
fn the_client_chooses_among_the_suites_of_the_session() {
    let mut offer = Offer::psk(Suite::PSK_AES_128_GCM);
    offer.suites = vec![0x1301, 0x008d, 0xccab, 0x00a9, 0x00a8];
    let Up { server, .. } = up(offer);
    assert_eq!(server.views().next().unwrap().suite, Suite::PSK_CHACHA20_POLY1305);
}

/// What a ClientHello that has shown its cookie is answered with, and told as.
fn refused(offer: Offer) -> (Result<(), Ignored>, Vec<u8>, Vec<Event>) {
    let mut server = server(3);
    let mut client = Client::new(4, "198.51.100.7:50000", offer);
    let first = client.start();
    let mut outcome = give(&mut server, client.path, &first);
    let mut answers = take(&mut server);
    if outcome.is_ok() {
        let second = client.handle(&answers[0]).remove(0);
        outcome = give(&mut server, client.path, &second);
        answers = take(&mut server);
    }
    assert_eq!((answers.len(), server.half_open()), (1, 0));
    (outcome, answers.remove(0), events(&mut server))
}

#[test]
fn what_is_not_spoken_here_is_refused_each_with_a_reason_of_its_own() {
    let good = || Offer::psk(Suite::PSK_AES_256_GCM);
    let renegotiates = vec![0xff, 0x01, 0, 3, 2, 7, 7];
    let cases = [
        (Offer { version: 0xfeff, ..good() }, Refusal::Dtls10, 70),
        (Offer { version: 0x0100, ..good() }, Refusal::Dtls09, 70),
        (Offer { version: 0x0303, ..good() }, Refusal::Version, 70),
        (Offer { compressions: vec![1], ..good() }, Refusal::Compression, 47),
        (Offer { suites: vec![0x008d, 0x008c, 0x00ff], ..good() }, Refusal::CbcOnly, 40),
        (Offer { suites: vec![0xc0a5, 0x008d, 0x00ff], ..good() }, Refusal::NoCommonSuite, 40),
        (Offer { suites: vec![0x00a9], ..Offer::resumption(2) }, Refusal::NoCommonSuite, 40),
        (Offer { session_id: b"x".to_vec(), ..good() }, Refusal::UnknownSession, 115),
        (Offer { extensions: renegotiates, ..good() }, Refusal::Renegotiation, 40),
    ];
    for (offer, expected, alert) in cases {
        let (outcome, answer, events) = refused(offer);
        assert_eq!(outcome, Err(Ignored::Refused(expected)));
        assert_eq!((answer[0], &answer[13..]), (21, &[2, alert][..]), "{expected}");
        assert!(
            matches!(events[..], [Event::Refused { refusal, .. }] if refusal == expected),
            "{events:?}"
        );
    }
}

#[test]
fn secrets_that_cannot_be_used_are_refused() {
    for secret in [
        Secret::Psk(KeyMaterial::from_bytes(&[])),
        Secret::Psk(KeyMaterial::from_bytes(&[1; 65])),
        Secret::Resumption { master: KeyMaterial::from_bytes(&[1; 47]), suite: Suite::RESUMED[2] },
    ] {
        let mut server = server(3);
        let mut offer = Offer::psk(Suite::PSK_AES_256_GCM);
        offer.suites.push(Suite::RESUMED[2].id());
        let mut client = Client::new(4, "198.51.100.7:50000", offer);
        let first = client.start();
        give(&mut server, client.path, &first).unwrap();
        let mut second = client.handle(&take(&mut server)[0]).remove(0);
        let found = |_: &[u8]| Some(secret.clone());
        let outcome = server.handle_datagram(NOW, client.path, &mut second, &found);
        assert_eq!(outcome, Err(Ignored::Refused(Refusal::BadSecret)));
    }
}

#[test]
fn nothing_is_kept_of_strangers_and_no_answer_is_longer_than_the_question() {
    let mut server = server(5);
    for number in 0..2000u64 {
        let remote = format!("203.0.113.{}:{}", number % 200 + 1, 1024 + number);
        let mut offer = Offer::psk(Suite::PSK_AES_256_GCM);
        // the shortest first message there can be, and others
        offer.session_id.truncate((number % 3) as usize);
        offer.suites.truncate(1);
        let mut client = Client::new(number, &remote, offer);
        let hello = client.start();
        give(&mut server, client.path, &hello).unwrap();
        let answers = take(&mut server);
        assert_eq!(answers.len(), 1);
        assert!(answers[0].len() <= hello.len(), "{} for {}", answers[0].len(), hello.len());
    }
    assert_eq!((server.half_open(), server.poll_timeout()), (0, None));
    assert!(server.poll_event().is_none());
}

#[test]
fn a_cookie_is_good_for_the_one_who_got_it_only() {
    let mut server = server(6);
    let mut client = Client::new(7, "198.51.100.7:50000", Offer::psk(Suite::PSK_AES_256_GCM));
    let first = client.start();
    give(&mut server, client.path, &first).unwrap();
    let second = client.handle(&take(&mut server)[0]).remove(0);
    let elsewhere = path("198.51.100.8:50000");
    give(&mut server, elsewhere, &second).unwrap();
    assert_eq!(take(&mut server)[0][13], 3, "another HelloVerifyRequest");
    assert_eq!(server.half_open(), 0);
    // and for a while only
    let mut old = second.clone();
    let late = NOW + Duration::from_secs(200);
    server.handle_datagram(late, client.path, &mut old, &secrets).unwrap();
    assert_eq!(take(&mut server)[0][13], 3);
    assert_eq!(server.half_open(), 0);
}

#[test]
fn handshakes_under_way_are_bounded_altogether_and_by_address() {
    let mut server = Server::new(
        lockgate_dtls::Settings {
            half_open_limit: 5,
            half_open_per_address: 3,
            ..Default::default()
        },
        Box::new(common::Chaos(8)),
    );
    let mut begin = |remote: &str, seed| {
        let mut client = Client::new(seed, remote, Offer::psk(Suite::PSK_AES_256_GCM));
        let first = client.start();
        give(&mut server, client.path, &first).unwrap();
        let second = client.handle(&take(&mut server)[0]).remove(0);
        let outcome = give(&mut server, client.path, &second);
        take(&mut server);
        (outcome, server.half_open())
    };
    for port in 1..=3 {
        assert_eq!(begin(&format!("198.51.100.7:{port}"), port), (Ok(()), port as usize));
    }
    assert_eq!(begin("198.51.100.7:4", 4), (Err(Ignored::HalfOpen), 3));
    // a client that begins anew from the same port takes no more room
    assert_eq!(begin("198.51.100.7:3", 5), (Ok(()), 3));
    assert_eq!(begin("198.51.100.8:1", 6), (Ok(()), 4));
    assert_eq!(begin("198.51.100.8:2", 7), (Ok(()), 5));
    assert_eq!(begin("198.51.100.8:3", 8), (Err(Ignored::HalfOpen), 5));
    // and in time there is room again
    for second in 1..40 {
        server.handle_timeout(NOW + Duration::from_secs(second));
    }
    assert_eq!(server.half_open(), 0);
    assert_eq!(server.poll_timeout(), None);
}

#[test]
fn the_flight_is_sent_again_with_new_numbers_and_then_given_up() {
    let mut server = server(9);
    let mut client = Client::new(10, "198.51.100.7:50000", Offer::resumption(0));
    let first = client.start();
    give(&mut server, client.path, &first).unwrap();
    let second = client.handle(&take(&mut server)[0]).remove(0);
    give(&mut server, client.path, &second).unwrap();
    let mut flights = take(&mut server);
    let mut at = vec![];
    while let Some(due) = server.poll_timeout() {
        server.handle_timeout(due);
        at.push(due.since(NOW).as_secs());
        flights.extend(take(&mut server));
    }
    assert_eq!(at, [1, 3, 7, 15, 31]);
    assert_eq!(flights.len(), 5);
    let mut numbers = std::collections::BTreeSet::new();
    for flight in &flights {
        let records: Vec<_> = lockgate_dtls::record::Records::of(flight).collect();
        assert_eq!(records.iter().map(|(h, _)| h.content).collect::<Vec<_>>(), [22, 20, 22]);
        assert!(records.iter().all(|(h, _)| numbers.insert((h.epoch, h.number))));
    }
    let got = events(&mut server);
    assert!(matches!(got[..], [Event::Failed { failure: Failure::TimedOut, .. }]), "{got:?}");
}

#[test]
fn a_client_with_another_key_is_told_apart_from_one_that_is_gone() {
    let mut server = server(11);
    let mut client = Client::new(12, "198.51.100.7:50000", Offer::psk(Suite::PSK_AES_128_GCM));
    let other = |_: &[u8]| Some(Secret::Psk(KeyMaterial::from_bytes(&[1; 32])));
    let mut to_server = vec![client.start()];
    while let Some(mut datagram) = to_server.pop() {
        let _ = server.handle_datagram(NOW, client.path, &mut datagram, &other);
        to_server.extend(take(&mut server).iter().flat_map(|d| client.handle(d)));
    }
    assert_eq!(client.state, State::WaitFinished);
    // the client says so in clear, which proves nothing
    give(&mut server, client.path, &clear(21, 0xfefd, 9, &[2, 20])).unwrap();
    assert_eq!(server.half_open(), 1);
    while let Some(due) = server.poll_timeout() {
        server.handle_timeout(due);
    }
    let got = events(&mut server);
    assert!(matches!(got[..], [Event::Failed { failure: Failure::KeyMismatch, .. }]), "{got:?}");
}

#[test]
fn the_last_flight_is_sent_again_in_new_records_when_the_client_asks() {
    let Up { mut server, mut client, outbound, .. } = up(Offer::psk(Suite::PSK_AES_256_GCM));
    let before = outbound.status().numbers;
    let again = client.again();
    // the key exchange in clear is late, the Finished is what counts
    assert_eq!(give(&mut server, client.path, &again), Err(Ignored::Unexpected));
    let last = take(&mut server);
    assert_eq!((last.len(), outbound.status().numbers), (1, before + 1));
    client.state = State::WaitFinished;
    client.handle(&last[0]);
    assert!(client.is_done(), "it proves the same messages");
    // the very same record again is a replay, and answered with nothing
    let outcome = give(&mut server, client.path, &again);
    assert_eq!(outcome, Err(Ignored::Unexpected));
    assert!(take(&mut server).is_empty());
    assert!(events(&mut server).is_empty());
}

#[test]
fn a_new_association_of_the_same_port_takes_over_once_it_stands() {
    let Up { mut server, client: mut old, id, outbound, .. } =
        up(Offer::psk(Suite::PSK_AES_256_GCM));
    let mut new = Client::new(99, "198.51.100.7:50000", Offer::resumption(1));
    let first = new.start();
    give(&mut server, new.path, &first).unwrap();
    let second = new.handle(&take(&mut server)[0]).remove(0);
    give(&mut server, new.path, &second).unwrap();
    let third = new.handle(&take(&mut server)[0]).remove(0);
    // until then the old one works
    give(&mut server, old.path, &old.seal(b"\x03still")).unwrap();
    assert!(matches!(&events(&mut server)[..], [Event::Data { id: of, .. }] if *of == id));
    server.send(NOW, id, b"\x04still").unwrap();
    old.handle(&take(&mut server)[0]);
    assert_eq!(old.received, [b"\x04still"]);
    give(&mut server, new.path, &third).unwrap();
    let got = events(&mut server);
    let [
        Event::Closed { id: closed, reason: CloseReason::Replaced },
        Event::Established { id: fresh, .. },
    ] = got[..]
    else {
        panic!("{got:?}")
    };
    assert_eq!(closed, id);
    assert_eq!(server.association(new.path), Some(fresh));
    assert_eq!(server.views().count(), 1);
    let after = outbound.seal_record(ContentType::Alert, &[1, 0], 0, NOW);
    assert_eq!(after, Err(DropReason::DtlsNumbersExhausted), "nobody seals with it any more");
    let old_data = give(&mut server, old.path, &old.seal(b"\x03late"));
    assert_eq!(old_data, Err(Ignored::Record(DropReason::DtlsBadRecordMac)));
}

#[test]
fn a_late_first_message_of_the_association_that_stands_begins_nothing() {
    let mut server = server(1);
    let mut client = Client::new(2, "198.51.100.7:50000", Offer::psk(Suite::PSK_AES_256_GCM));
    let first = client.start();
    give(&mut server, client.path, &first).unwrap();
    let second = client.handle(&take(&mut server)[0]).remove(0);
    settle(&mut server, &mut client, second.clone());
    assert!(client.is_done());
    assert_eq!(give(&mut server, client.path, &second), Err(Ignored::Unexpected));
    assert_eq!((server.half_open(), take(&mut server).len()), (0, 0));
}

#[test]
fn a_client_whose_port_changes_is_followed_by_new_authentic_records_only() {
    let Up { mut server, mut client, id, outbound: before, .. } =
        up(Offer::psk(Suite::PSK_CHACHA20_POLY1305));
    let (held, used) = (client.seal(b"\x03held back"), client.seal(b"\x03used"));
    give(&mut server, client.path, &used).unwrap();
    events(&mut server);
    let moved = path("198.51.100.7:60000");
    assert_eq!(give(&mut server, moved, &held), Err(Ignored::NoAssociation), "older than another");
    let mut forged = client.seal(b"\x03forged");
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!(give(&mut server, moved, &forged), Err(Ignored::NoAssociation));
    let elsewhere = path("198.51.100.8:60000");
    let next = client.seal(b"\x03next");
    assert_eq!(give(&mut server, elsewhere, &next), Err(Ignored::NoAssociation), "another host");
    give(&mut server, moved, &next).unwrap();
    let got = events(&mut server);
    let [Event::Moved { id: of, path: to, outbound: after }, Event::Data { bytes, .. }] = &got[..]
    else {
        panic!("{got:?}")
    };
    assert_eq!((*of, *to, &bytes[..]), (id, moved, &b"\x03next"[..]));
    assert_eq!(server.association(client.path), None);
    // numbers go on, and the old one has none left
    assert_eq!(after.status().numbers, 1);
    assert_eq!(
        before.seal_record(ContentType::ApplicationData, b"\0", 0, NOW),
        Err(DropReason::DtlsNumbersExhausted)
    );
    server.send(NOW, id, b"\x04there").unwrap();
    let datagram = server.poll_transmit().unwrap();
    assert_eq!(datagram.path, moved);
    client.handle(&datagram.bytes);
    assert_eq!(client.received, [b"\x04there"]);
    // what was held back is no replay, so it is taken where the client is now
    give(&mut server, moved, &held).unwrap();
}

#[test]
fn renegotiation_is_refused_inside_the_association() {
    let Up { mut server, mut client, .. } = up(Offer::psk(Suite::PSK_AES_256_GCM));
    let hello = message(1, 0, &client.offer.hello(&client.random, b""));
    let outbound = client.outbound.as_ref().unwrap();
    let record = outbound.seal_record(ContentType::Handshake, &hello, 0, NOW).unwrap();
    assert_eq!(give(&mut server, client.path, &record), Err(Ignored::Renegotiation));
    client.handle(&take(&mut server)[0]);
    assert_eq!(client.alerts, [(true, [1, 100])]);
    assert_eq!(server.views().count(), 1);
}

#[test]
fn alerts_end_what_they_belong_to() {
    let seal = |client: &Client, alert: [u8; 2]| {
        let outbound = client.outbound.as_ref().unwrap();
        outbound.seal_record(ContentType::Alert, &alert, 0, NOW).unwrap()
    };
    for (alert, expected, answers) in
        [([1, 0], CloseReason::CloseNotify, 1), ([2, 80], CloseReason::Alert(80), 0)]
    {
        let Up { mut server, client, id, .. } = up(Offer::psk(Suite::PSK_AES_256_GCM));
        give(&mut server, client.path, &seal(&client, [1, 90])).unwrap();
        assert!(events(&mut server).is_empty(), "a warning");
        // without protection they are anybody's
        give(&mut server, client.path, &clear(21, 0xfefd, 5, &alert)).unwrap();
        assert!(events(&mut server).is_empty());
        give(&mut server, client.path, &seal(&client, alert)).unwrap();
        let got = events(&mut server);
        assert!(
            matches!(got[..], [Event::Closed { id: of, reason }] if of == id && reason == expected)
        );
        assert_eq!(take(&mut server).len(), answers);
        assert_eq!(server.views().count(), 0);
    }
}

#[test]
fn the_owner_ends_an_association() {
    let Up { mut server, mut client, id, .. } = up(Offer::psk(Suite::PSK_AES_256_GCM));
    assert!(server.close(NOW, id));
    client.handle(&take(&mut server)[0]);
    assert_eq!(client.alerts, [(true, [1, 0])]);
    assert!(!server.close(NOW, id));
    assert!(server.send(NOW, id, b"\0").is_err());
    assert_eq!(give(&mut server, client.path, &client.seal(b"\0")), Err(Ignored::NoAssociation));
    assert!(events(&mut server).is_empty());
}

#[test]
fn nothing_that_is_changed_on_the_way_is_taken() {
    let Up { mut server, client, .. } = up(Offer::psk(Suite::PSK_AES_256_GCM));
    let record = client.seal(b"\x03untouched");
    for at in 0..record.len() {
        let mut changed = record.clone();
        changed[at] ^= 0x10;
        assert!(give(&mut server, client.path, &changed).is_err(), "byte {at}");
    }
    assert!(events(&mut server).is_empty());
    give(&mut server, client.path, &record).unwrap();
    let again = give(&mut server, client.path, &record);
    assert_eq!(again, Err(Ignored::Record(DropReason::DtlsReplayed)));
    assert_eq!(events(&mut server).len(), 1);
}

#[test]
fn secrets_are_never_printed() {
    let Up { server, inbound, outbound, .. } = up(Offer::psk(Suite::PSK_AES_256_GCM));
    let printed = format!("{inbound:?} {outbound:?} {:?}", server.views().collect::<Vec<_>>());
    let secret = Secret::Psk(KeyMaterial::from_bytes(&PSK));
    let printed = format!("{printed} {secret:?}");
    assert!(!printed.contains("5a5a") && !printed.contains("90, 90"), "{printed}");
    assert!(printed.contains(SERVER));
}
