//! NATs, fragmentation, floods.

mod pair;

use std::time::Duration;

use lockgate_ike::{
    Command, Datagram, Event, Ignored, Path, RemoteAuth, Settings, Task,
    message::{ExchangeType, Header, Message, Notify, Payload, notify_type},
};
use pair::{A, ADDRESSES, B, NAT, Pair, psk};

const SECOND: Duration = Duration::from_secs(1);

fn traced() -> Settings {
    Settings { trace: true, ..Settings::default() }
}

#[test]
fn behind_a_nat_both_go_to_port_4500_and_encapsulate() {
    let mut pair = Pair::with(1, traced(), |_, _| {});
    pair.nat = Some(NAT.1);
    let mut pair = pair.up();
    let (a, b) = (&pair.child(A).sa, &pair.child(B).sa);
    let ports = |sa: &lockgate_ike::ChildSa| {
        let udp = sa.encapsulation.expect("encapsulated");
        (udp.source_port, udp.destination_port)
    };
    assert_eq!(ports(a), (4500, 4500));
    assert_eq!(ports(b), (4500, NAT.1 + 4500));
    let up = &pair.ikes[A][&pair.ike(A)];
    assert!(up.local_nat && !up.remote_nat);
    // the mapping is held open by the end behind the NAT alone
    let before = pair.sent.len();
    pair.run_for(65 * SECOND);
    let keepalives: Vec<_> = pair.sent[before..].iter().collect();
    assert_eq!(keepalives.len(), 3);
    assert!(keepalives.iter().all(|(from, sent)| *from == A && sent.bytes == [0xff]));
}

#[test]
fn a_mapping_that_changes_is_followed_by_authentic_messages_only() {
    let mut pair = Pair::with(2, traced(), |_, _| {});
    pair.nat = Some(NAT.1);
    let mut pair = pair.up();
    let (ike, child) = (pair.ike(B), pair.child(A).sa.id);
    let kept = pair.sent.iter().rev().find(|(from, _)| *from == A).unwrap().1.clone();
    // somebody else sends what A once sent: no new path
    let elsewhere = Path {
        local: format!("{}:4500", ADDRESSES[B]).parse().unwrap(),
        remote: "203.0.113.66:4500".parse().unwrap(),
    };
    let changed = |event: &Event| matches!(event, Event::PathChanged { .. });
    pair.ends[B].handle_datagram(pair.now, elsewhere, &kept.bytes).unwrap();
    while pair.ends[B].poll_transmit().is_some() {}
    assert_eq!(pair.count(B, changed), 0);
    pair.nat = Some(NAT.1 + 1000);
    pair.command(A, Command::RekeyChild(child));
    pair.run_for(SECOND);
    pair.assert_agreed(1);
    let path = pair.events[B].iter().find_map(|event| match event {
        Event::PathChanged { ike, path } => Some((*ike, path.remote)),
        _ => None,
    });
    let remote = format!("{}:{}", NAT.0, NAT.1 + 5500).parse().unwrap();
    assert_eq!(path, Some((ike, remote)));
}

#[test]
fn without_a_nat_encapsulation_can_be_had_by_force() {
    for end in [A, B] {
        let pair = Pair::with(3, traced(), |at, connection| {
            connection.force_encapsulation = at == end;
        })
        .up();
        assert!(pair.child(A).sa.encapsulation.is_some());
        assert!(pair.child(B).sa.encapsulation.is_some());
    }
}

#[test]
fn long_messages_travel_in_fragments_that_fit() {
    let settings = Settings { fragment_size: 576, ..traced() };
    let mut pair = Pair::with(4, settings, |_, connection| {
        let mut more = vec![];
        for third in 0..60 {
            let net = format!("10.99.{third}.0/24");
            more.push(lockgate_ike::Side::Fixed(pair::selector(&net)));
        }
        connection.children[0].local.extend(more.clone());
        connection.children[0].remote.extend(more);
    });
    pair.network.jitter = 50;
    pair.network.duplicates = 300;
    let pair = pair.up();
    assert_eq!(pair.child(A).sa.local.len(), 61);
    // IPv4 and UDP headers belong to the size
    let longest = pair.sent.iter().map(|(_, sent)| sent.bytes.len()).max();
    assert!((540..=548).contains(&longest.unwrap()), "{longest:?}");
    assert!(pair.sent.len() > 10);
}

#[test]
fn a_lost_fragment_is_sent_again() {
    let settings = Settings { fragment_size: 576, ..traced() };
    for seed in 0..20 {
        let mut pair = Pair::with(seed, settings, |_, connection| {
            let nets = (0..60).map(|third| format!("10.99.{third}.0/24"));
            let more = nets.map(|net| lockgate_ike::Side::Fixed(pair::selector(&net)));
            connection.children[0].local.extend(more.clone());
            connection.children[0].remote.extend(more);
        });
        pair.network.loss = 100;
        pair.connect(A);
        pair.run_for(200 * SECOND);
        pair.assert_agreed(1);
    }
}

/// The first message of a peer that does not exist.
fn stranger(pair: &Pair, number: u8) -> (Path, Vec<u8>) {
    let mut bytes = pair.sent[0].1.bytes.clone();
    bytes[0] = number;
    let path = Path {
        local: pair.path(B).local,
        remote: format!("192.0.2.{number}:500").parse().unwrap(),
    };
    (path, bytes)
}

#[test]
fn under_a_flood_real_peers_show_a_cookie_and_nothing_is_kept_of_others() {
    let settings = Settings { cookie_threshold: 8, half_open_limit: 16, ..traced() };
    let mut pair = Pair::with(5, settings, |_, _| {});
    pair.connect(A);
    pair.lose_all();
    for number in 1..=200 {
        let (path, bytes) = stranger(&pair, number);
        let before = pair.sent.len();
        let now = pair.now;
        pair.ends[B].handle_datagram(now, path, &bytes).unwrap();
        pair.take(B);
        let sent: usize = pair.sent[before..].iter().map(|(_, sent)| sent.bytes.len()).sum();
        // no amplification: an answer is not longer than the question, but for a full one by little
        assert!(sent <= bytes.len() + 64, "{sent} for {}", bytes.len());
    }
    pair.lose_all();
    assert_eq!(pair.ends[B].half_open(), 8);
    // A's first message is sent again by itself
    pair.run_for(20 * SECOND);
    assert!(pair.messages(A, "IKE_SA_INIT request").last().unwrap().contains("N(COOKIE)"));
    pair.ikes[B].values().next().expect("A is in");
    // and the others are forgotten in time
    pair.run_for(60 * SECOND);
    assert_eq!(pair.ends[B].half_open(), 0);
    pair.assert_agreed(1);
}

#[test]
fn one_address_cannot_take_all_the_room() {
    let settings = Settings { half_open_per_address: 3, ..traced() };
    let mut pair = Pair::with(6, settings, |_, _| {});
    pair.connect(A);
    pair.lose_all();
    let (path, bytes) = stranger(&pair, 1);
    for number in 1..=5 {
        let mut bytes = bytes.clone();
        bytes[1] = number;
        let now = pair.now;
        let taken = pair.ends[B].handle_datagram(now, path, &bytes);
        pair.take(B);
        assert_eq!(taken, if number <= 3 { Ok(()) } else { Err(Ignored::HalfOpen) });
    }
}

#[test]
fn what_is_no_message_for_us_says_why() {
    let mut pair = Pair::with(7, traced(), |_, _| {}).up();
    let first = pair.sent[0].1.bytes.clone();
    let (path, now) = (pair.path(B), pair.now);
    let mut try_it = |path: Path, bytes: &[u8]| {
        pair.ends[B].handle_datagram(now, path, bytes).unwrap_err().to_string()
    };
    let mut v1 = first.clone();
    v1[17] = 0x10;
    assert!(try_it(path, &v1).contains("IKEv1"));
    assert!(try_it(path, &first[..20]).contains("ends inside of the header"));
    let mut unknown = first.clone();
    unknown[8..16].fill(9);
    unknown[18] = 35;
    assert!(try_it(path, &unknown).contains("no IKE SA has the SPI"));
    let mut nat = path;
    nat.local.set_port(4500);
    assert!(try_it(nat, &[1; 40]).contains("NAT traversal"));
    assert!(try_it(nat, &[0xff]).contains("NAT traversal"));
    // a vendor ID that makes the first message longer than is kept of strangers
    let mut long = first.clone();
    let vendor = [long[16], 0, 0x20, 0].into_iter().chain([0; 8188]);
    long.splice(28..28, vendor);
    long[16] = 43;
    let length = long.len() as u32;
    long[24..28].copy_from_slice(&length.to_be_bytes());
    assert!(try_it(path, &long).contains("longer than 8192 bytes"));
    let mut elsewhere = path;
    elsewhere.local.set_ip("192.0.2.99".parse().unwrap());
    let mut new = first;
    new[0] ^= 1;
    assert!(try_it(elsewhere, &new).contains("no connection"));
}

#[test]
fn nothing_that_was_changed_on_the_way_is_taken() {
    let mut pair = Pair::with(8, traced(), |_, _| {}).up();
    let sent: Vec<(usize, Datagram)> = pair.sent.clone();
    let children = pair.children.each_ref().map(|children| children.len());
    for (from, datagram) in sent {
        for at in (0..datagram.bytes.len()).step_by(7) {
            for bit in [0, 7] {
                let mut bytes = datagram.bytes.clone();
                bytes[at] ^= 1 << bit;
                let path = Path { local: datagram.path.remote, remote: datagram.path.local };
                let _ = pair.ends[1 - from].handle_datagram(pair.now, path, &bytes);
                pair.take(1 - from);
            }
        }
    }
    pair.lose_all();
    assert_eq!(pair.children.each_ref().map(|children| children.len()), children);
    // half-open ones that strangers' first messages made are forgotten
    pair.run_for(200 * SECOND);
    pair.assert_agreed(1);
}

#[test]
fn a_refused_peer_is_told_even_when_the_answer_is_lost() {
    for seed in 0..20 {
        let mut pair = Pair::with(seed, traced(), |end, connection| {
            if end == B {
                connection.remote_auth = RemoteAuth::Psk(psk("another"));
            }
        });
        pair.network.loss = 300;
        pair.connect(A);
        pair.run_for(25 * SECOND);
        if !pair.messages(A, "IKE_AUTH request").is_empty() && !pair.failures(A).is_empty() {
            let failure = pair.failures(A)[0].to_string();
            assert!(failure.contains("did not accept our identity"), "{failure}");
        }
        pair.run_for(300 * SECOND);
        assert!(pair.ends.iter().all(|end| end.views().count() == 0));
    }
}

/// What an end says to a message of `bytes` from where the other is.
fn told(pair: &mut Pair, end: usize, bytes: &[u8]) -> Vec<Message> {
    let path = pair.path(end);
    let before = pair.sent.len();
    pair.receive(end, path, bytes);
    pair.sent[before..].iter().map(|(_, sent)| Message::decode(&sent.bytes).unwrap()).collect()
}

#[test]
fn a_request_without_an_ike_sa_is_told_so_and_changes_nothing() {
    let mut pair = Pair::new(41).up();
    let kept = pair.ends.each_ref().map(|end| end.kept());
    for (from_initiator, exchange) in
        [(true, ExchangeType::Informational), (false, ExchangeType::CreateChildSa)]
    {
        let header = Header {
            initiator_spi: 0x1111_2222_3333_4444,
            responder_spi: 0x5555_6666_7777_8888,
            exchange,
            from_initiator,
            is_response: false,
            message_id: 7,
        };
        let body = Payload::Encrypted { first: 0, body: vec![0; 40] };
        let request = Message { header, payloads: vec![body.clone()] };
        let notify = Notify::new(notify_type::INVALID_IKE_SPI, []);
        let header = Header { from_initiator: !from_initiator, is_response: true, ..header };
        let expected = Message { header, payloads: vec![Payload::Notify(notify)] };
        assert_eq!(told(&mut pair, B, &request.encode()), std::slice::from_ref(&expected));
        // the answer, and an answer to nothing, are not answered
        assert_eq!(told(&mut pair, A, &expected.encode()), []);
        let answer = Message { header, payloads: vec![body] };
        assert_eq!(told(&mut pair, B, &answer.encode()), []);
    }
    // the same said about what is there, by somebody who has no keys
    let view = pair.ends[A].views().next().unwrap();
    pair.task(A, Task::Check);
    for kind in [notify_type::INVALID_IKE_SPI, notify_type::INVALID_MAJOR_VERSION] {
        let header = Header {
            initiator_spi: view.spis[0],
            responder_spi: view.spis[1],
            exchange: ExchangeType::Informational,
            from_initiator: false,
            is_response: true,
            message_id: 2,
        };
        let lie = Message { header, payloads: vec![Payload::Notify(Notify::new(kind, []))] };
        assert_eq!(told(&mut pair, A, &lie.encode()), []);
    }
    pair.run_for(Duration::from_secs(5));
    assert_eq!(pair.ends.each_ref().map(|end| end.kept()), kept);
    pair.assert_agreed(1);
}

#[test]
fn a_version_to_come_is_told_ours_and_nobody_is_told_often() {
    let mut pair = Pair::new(42);
    pair.connect(A);
    let mut request = pair.sent[0].1.bytes.clone();
    pair.lose_all();
    request[17] = 0x31;
    let answers = told(&mut pair, B, &request);
    let [answer] = &answers[..] else { panic!("{answers:?}") };
    let notify = Notify::new(notify_type::INVALID_MAJOR_VERSION, []);
    assert_eq!(answer.payloads, [Payload::Notify(notify)]);
    assert_eq!(&pair.sent.last().unwrap().1.bytes[..8], &request[..8]);
    let more: usize = (0..100).map(|_| told(&mut pair, B, &request).len()).sum();
    assert_eq!(more, 19, "20 a second");
    pair.run_for(Duration::from_secs(1));
    assert_eq!(told(&mut pair, B, &request).len(), 1);
    request[19] |= 0x20;
    assert_eq!(told(&mut pair, B, &request), [], "an answer");
    request.truncate(20);
    assert_eq!(told(&mut pair, B, &request), [], "too short for a header");
    assert_eq!(pair.ends[B].kept().ike_sas, 0);
}
