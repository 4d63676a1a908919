//! CSTP and DTLS beside each other: keys from TLS, packets that move between the two, and what is lost on
//! the way by UDP.

extern crate dtls as lockgate_dtls;

#[path = "../../dtls/tests/common/mod.rs"]
mod dtls_client;
mod pair;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write as _,
    net::SocketAddr,
    time::Duration,
};

use dtls::{CloseReason, Ignored, Path, Refusal, Suite, record::ContentType};
use dtls_client::{Client, Offer};
use lockgate_anyconnect::{
    AssociationEnd, AssociationFailure, Channel, ClientId, ConnId, Event, cstp::Kind,
};
use pair::{Chaos, HOME, Pair};
use wire::Time;

const UDP_HOME: &str = "198.51.100.7:60000";
const OFFER_PSK: &str = "X-DTLS-CipherSuite: PSK-NEGOTIATE:OC-DTLS1_2-AES256-GCM\r\n";

/// A client with a tunnel, that was offered DTLS by a PSK.
struct Peer {
    conn: ConnId,
    cookie: String,
    id: ClientId,
    offer: Offer,
}

fn value<'a>(answer: &'a str, name: &str) -> &'a str {
    let line = answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    line.unwrap_or_else(|| panic!("no {name} in\n{answer}"))
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..][..2], 16).unwrap()).collect()
}

/// What a client offers in DTLS after an answer in TLS.
fn psk_offer(pair: &mut Pair, conn: ConnId, answer: &str, suite: Suite) -> Offer {
    assert_eq!(value(answer, "X-DTLS-CipherSuite"), "PSK-NEGOTIATE");
    let tls = &pair.client(conn).tls;
    let psk = tls.export_keying_material([0; 32], b"EXPORTER-openconnect-psk", None).unwrap();
    let session_id = bytes(value(answer, "X-DTLS-App-ID"));
    assert_eq!(session_id.len(), 32);
    Offer { session_id, psk: psk.to_vec(), ..Offer::psk(suite) }
}

fn peer(pair: &mut Pair) -> Peer {
    let conn = pair.connect(HOME);
    let cookie = pair.log_in(conn, "alice");
    let answer = pair.tunnel(conn, &cookie, OFFER_PSK);
    let id = pair.wanted.last().unwrap().client;
    let offer = psk_offer(pair, conn, &answer, Suite::PSK_AES_256_GCM);
    pair.events();
    Peer { conn, cookie, id, offer }
}

/// Moves datagrams both ways until there are none.
fn exchange(pair: &mut Pair, client: &mut Client) {
    while let Some(datagram) = pair.datagrams.pop_front() {
        if datagram.path.remote == client.remote() {
            for answer in client.handle(&datagram.bytes) {
                pair.datagram(client.remote(), &answer).unwrap();
            }
        }
    }
}

fn shake_hands(pair: &mut Pair, remote: &str, offer: Offer) -> Client {
    let seed = pair.now.as_nanos() ^ remote.len() as u64;
    let mut client = Client::new(seed, remote, offer);
    let hello = client.start();
    pair.datagram(client.remote(), &hello).unwrap();
    exchange(pair, &mut client);
    assert!(client.is_done(), "{:?}", client.state);
    client
}

fn up(pair: &mut Pair, client: &Client, text: &[u8]) {
    pair.datagram(client.remote(), &client.seal(text)).unwrap();
}

fn channel(pair: &Pair, id: ClientId) -> Option<Channel> {
    pair.endpoint.view(id).and_then(|view| view.channel)
}

fn channels(pair: &mut Pair) -> Vec<Channel> {
    let channels = pair.events().into_iter().filter_map(|event| match event {
        Event::ChannelMoved { channel, .. } => Some(channel),
        _ => None,
    });
    channels.collect()
}

#[test]
fn packets_go_by_dtls_with_a_key_from_tls() {
    for suite in Suite::PSK {
        let mut pair = Pair::new();
        let mut peer = peer(&mut pair);
        peer.offer.suites = vec![suite.id(), 0x00ff];
        let mut client = shake_hands(&mut pair, UDP_HOME, peer.offer.clone());
        let events = pair.events();
        let [Event::AssociationReady(ready), Event::ChannelMoved { channel: Channel::Dtls, .. }] =
            &events[..]
        else {
            panic!("{events:?}")
        };
        assert_eq!((ready.client, ready.suite, ready.path), (peer.id, suite, pair::path(UDP_HOME)));
        up(&mut pair, &client, b"\0up");
        assert_eq!(pair.packets, [(peer.id, b"up".to_vec())]);
        assert_eq!(pair.packet(peer.id, b"down"), Ok(Channel::Dtls));
        // the MTU is looked for with long questions
        let probe = [&[3, 1, 2, 3, 4][..], &[0; 1430]].concat();
        up(&mut pair, &client, &probe);
        up(&mut pair, &client, b"\x07");
        up(&mut pair, &client, b"\x04");
        exchange(&mut pair, &mut client);
        let answer = [&[4, 1, 2, 3, 4][..], &[0; 1430]].concat();
        assert_eq!(client.received, [b"\0down".to_vec(), answer]);
        let view = pair.endpoint.view(peer.id).unwrap();
        let counts = view.counts;
        assert_eq!((counts.packets_in, counts.bytes_in), (1, 2));
        assert_eq!((counts.packets_out, counts.bytes_out), (1, 4));
        let association = view.association.unwrap();
        assert_eq!((association.counts, association.suite), (counts, suite));
        assert_eq!(view.mtu, Some(1434));
        // packets by CSTP are taken too
        pair.send(peer.conn, Kind::Data, b"by TLS");
        assert_eq!(pair.packets[1], (peer.id, b"by TLS".to_vec()));
        assert_eq!(channel(&pair, peer.id), Some(Channel::Dtls));
    }
}

#[test]
fn packets_go_by_dtls_with_a_master_secret_of_the_clients() {
    let master = [0x1f; 48];
    let secret = format!("X-DTLS-Master-Secret: {}\r\n", "1F".repeat(48));
    let newer = Suite::RESUMED.map(|suite| (suite, "X-DTLS12-CipherSuite", suite.name()));
    let older = ["OC-DTLS1_2-AES256-GCM", "OC-DTLS1_2-AES128-GCM"].map(|name| {
        (
            Suite::resumed_by_name(&format!(
                "AES{}-GCM-SHA{}",
                &name[14..17],
                if name.contains("256") { 384 } else { 256 }
            ))
            .unwrap(),
            "X-DTLS-CipherSuite",
            name,
        )
    });
    for (suite, header, name) in newer.into_iter().chain(older) {
        let mut pair = Pair::new();
        let conn = pair.connect(HOME);
        let cookie = pair.log_in(conn, "alice");
        let answer = pair.tunnel(conn, &cookie, &format!("{secret}{header}: {name}\r\n"));
        assert_eq!(value(&answer, header), name);
        let session_id = bytes(value(&answer, "X-DTLS-Session-ID"));
        let master = Some(master.to_vec());
        let offer = Offer { session_id, master, ..Offer::psk(suite) };
        let mut client = shake_hands(&mut pair, UDP_HOME, offer);
        let id = pair.wanted[0].client;
        up(&mut pair, &client, b"\0up");
        pair.packet(id, b"down").unwrap();
        pair.run();
        exchange(&mut pair, &mut client);
        assert_eq!(pair.packets, [(id, b"up".to_vec())], "{name}");
        assert_eq!(client.received, [b"\0down".to_vec()], "{name}");
    }
}

#[test]
fn packets_go_by_cstp_when_dtls_falls_silent_and_back_when_it_is_heard() {
    let mut pair = Pair::new();
    let peer = peer(&mut pair);
    let client = shake_hands(&mut pair, UDP_HOME, peer.offer.clone());
    assert_eq!(channels(&mut pair), [Channel::Dtls]);
    pair.pass(Duration::from_secs(14));
    pair.send(peer.conn, Kind::Data, b"1");
    assert_eq!(channel(&pair, peer.id), Some(Channel::Dtls));
    pair.pass(Duration::from_secs(1));
    pair.send(peer.conn, Kind::Data, b"2");
    assert_eq!(channel(&pair, peer.id), Some(Channel::Cstp));
    assert_eq!(pair.packet(peer.id, b"down"), Ok(Channel::Cstp));
    up(&mut pair, &client, b"\0three");
    assert_eq!(pair.packet(peer.id, b"down"), Ok(Channel::Dtls));
    assert_eq!(channels(&mut pair), [Channel::Cstp, Channel::Dtls]);
    assert_eq!(pair.packets.len(), 3);
}

#[test]
fn what_others_open_and_seal_counts() {
    let mut pair = Pair::new();
    pair.tunnel.idle_timeout = Some(Duration::from_secs(100));
    let peer = peer(&mut pair);
    let mut client = shake_hands(&mut pair, UDP_HOME, peer.offer.clone());
    let events = pair.events();
    let Event::AssociationReady(ready) = &events[0] else { panic!("{events:?}") };
    for second in 0..10 {
        pair.pass(Duration::from_secs(60));
        pair.send(peer.conn, Kind::DpdResponse, b"");
        // a tier of its own opens what comes and seals what goes
        let mut record = client.seal(format!("\0packet {second}").as_bytes());
        ready.inbound.open_record(&mut record, 1, pair.now).unwrap();
        let sealed = ready.outbound.seal_record(ContentType::ApplicationData, b"\0x", 1, pair.now);
        client.handle(&sealed.unwrap());
    }
    assert_eq!(client.received.iter().filter(|text| **text == b"\0x").count(), 10);
    let view = pair.endpoint.view(peer.id).unwrap();
    assert_eq!((view.counts.packets_in, view.counts.packets_out), (10, 10));
    assert_eq!(view.last_packet, Some(pair.now));
    // what it opened and is no packet comes here
    pair.datagrams.clear();
    client.received.clear();
    let mut record = client.seal(b"\x03question");
    let (_, text) = ready.inbound.open_record(&mut record, 1, pair.now).unwrap();
    pair.endpoint.handle_control(pair.now, ready.association, &record[text]);
    pair.run();
    exchange(&mut pair, &mut client);
    assert_eq!(client.received, [b"\x04question".to_vec()]);
    // silent, but heard by the other tier: back from CSTP at the next look
    pair.pass(Duration::from_secs(16));
    pair.send(peer.conn, Kind::Data, b"by TLS");
    assert_eq!(channel(&pair, peer.id), Some(Channel::Cstp));
    pair.pass(Duration::from_secs(1));
    let mut record = client.seal(b"\0again");
    ready.inbound.open_record(&mut record, 1, pair.now).unwrap();
    pair.pass(Duration::from_secs(31));
    assert_eq!(channel(&pair, peer.id), Some(Channel::Dtls));
    pair.pass(Duration::from_secs(101));
    assert!(pair.endpoint.view(peer.id).is_none(), "idle");
}

#[test]
fn who_is_heard_by_dtls_is_not_asked_by_cstp() {
    let mut pair = Pair::new();
    let peer = peer(&mut pair);
    let client = shake_hands(&mut pair, UDP_HOME, peer.offer.clone());
    pair.frames(peer.conn);
    for _ in 0..20 {
        pair.pass(Duration::from_secs(20));
        up(&mut pair, &client, b"\0here");
    }
    assert_eq!(pair.frames(peer.conn), []);
    assert_eq!(channel(&pair, peer.id), Some(Channel::Dtls));
}

#[test]
fn dead_dtls_ends_and_may_come_again() {
    let mut pair = Pair::new();
    let peer = peer(&mut pair);
    let mut client = shake_hands(&mut pair, UDP_HOME, peer.offer.clone());
    pair.events();
    let mut questions = 0;
    for _ in 0..5 {
        pair.pass(Duration::from_secs(29));
        pair.send(peer.conn, Kind::DpdResponse, b"");
        while let Some(datagram) = pair.datagrams.pop_front() {
            client.handle(&datagram.bytes);
        }
        questions += client.received.drain(..).filter(|text| *text == [3]).count();
    }
    assert_eq!(questions, 3);
    let events = pair.events();
    let [
        Event::ChannelMoved { channel: Channel::Cstp, .. },
        Event::AssociationGone { reason: AssociationEnd::Dead, .. },
    ] = &events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!(pair.packet(peer.id, b"x"), Ok(Channel::Cstp));
    // the same ID and key are good while the tunnel is there
    shake_hands(&mut pair, "198.51.100.7:60001", peer.offer.clone());
    assert_eq!(channels(&mut pair), [Channel::Dtls]);
    assert_eq!(pair.packet(peer.id, b"x"), Ok(Channel::Dtls));
}

#[test]
fn another_association_takes_the_place_of_the_first() {
    let mut pair = Pair::new();
    let peer = peer(&mut pair);
    let first = shake_hands(&mut pair, UDP_HOME, peer.offer.clone());
    up(&mut pair, &first, b"\0one");
    pair.events();
    let second = shake_hands(&mut pair, "198.51.100.7:60001", peer.offer.clone());
    let events = pair.events();
    let gone = |event: &Event| {
        matches!(event, Event::AssociationGone { reason: AssociationEnd::Replaced, .. })
    };
    assert_eq!(events.iter().filter(|event| gone(event)).count(), 1, "{events:?}");
    assert_eq!(channel(&pair, peer.id), Some(Channel::Dtls));
    let refused = pair.datagram(first.remote(), &first.seal(b"\0late"));
    assert_eq!(refused, Err(Ignored::NoAssociation));
    up(&mut pair, &second, b"\0two");
    assert_eq!(pair.packets.len(), 2);
    assert_eq!(pair.endpoint.view(peer.id).unwrap().counts.packets_in, 2);
}

#[test]
fn a_new_tunnel_has_new_keys() {
    let mut pair = Pair::new();
    let peer = peer(&mut pair);
    let old = shake_hands(&mut pair, UDP_HOME, peer.offer.clone());
    up(&mut pair, &old, b"\0one");
    pair.events();
    let conn = pair.connect(HOME);
    let answer = pair.tunnel(conn, &peer.cookie, OFFER_PSK);
    let events = pair.events();
    let [
        Event::ChannelMoved { channel: Channel::Cstp, .. },
        Event::AssociationGone { reason: AssociationEnd::Tunnel, .. },
        Event::Connected(connected),
    ] = &events[..]
    else {
        panic!("{events:?}")
    };
    assert!(connected.again && connected.client == peer.id);
    assert_eq!(pair.packet(peer.id, b"by TLS"), Ok(Channel::Cstp));
    // neither the old ID nor the old key is good
    let hello = Client::new(9, UDP_HOME, peer.offer.clone()).start();
    let mut stale = Client::new(9, UDP_HOME, peer.offer.clone());
    pair.datagrams.clear();
    pair.datagram(stale.remote(), &hello).unwrap();
    stale.start();
    let verify = pair.datagrams.pop_front().unwrap();
    let again = stale.handle(&verify.bytes).remove(0);
    let refused = pair.datagram(stale.remote(), &again);
    assert_eq!(refused, Err(Ignored::Refused(Refusal::UnknownSession)));
    let events = pair.events();
    let [Event::AssociationFailed { failure: AssociationFailure::Refused(refusal), .. }] =
        &events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!(*refusal, Refusal::UnknownSession);
    let offer = psk_offer(&mut pair, conn, &answer, Suite::PSK_CHACHA20_POLY1305);
    assert_ne!((&offer.session_id, &offer.psk), (&peer.offer.session_id, &peer.offer.psk));
    let new = shake_hands(&mut pair, UDP_HOME, offer);
    up(&mut pair, &new, b"\0two");
    assert_eq!(pair.endpoint.view(peer.id).unwrap().counts.packets_in, 2);
}

#[test]
fn dtls_ends_by_an_alert_a_goodbye_or_with_its_client() {
    let mut pair = Pair::new();
    let peer = peer(&mut pair);
    let client = shake_hands(&mut pair, UDP_HOME, peer.offer.clone());
    pair.events();
    let outbound = client.outbound.as_ref().unwrap();
    let alert = outbound.seal_record(ContentType::Alert, &[1, 0], 0, Time::ZERO).unwrap();
    pair.datagram(client.remote(), &alert).unwrap();
    let events = pair.events();
    let reason = AssociationEnd::Closed(CloseReason::CloseNotify);
    assert!(
        matches!(&events[..], [Event::ChannelMoved { .. }, Event::AssociationGone { reason: r, .. }] if *r == reason),
        "{events:?}"
    );
    assert_eq!(channel(&pair, peer.id), Some(Channel::Cstp));

    let client = shake_hands(&mut pair, UDP_HOME, peer.offer.clone());
    up(&mut pair, &client, b"\x05\xb0bye");
    assert!(pair.endpoint.view(peer.id).is_none());

    let peer = self::peer(&mut pair);
    let mut client = shake_hands(&mut pair, UDP_HOME, peer.offer.clone());
    assert!(pair.endpoint.disconnect(pair.now, peer.id));
    pair.run();
    exchange(&mut pair, &mut client);
    assert_eq!(client.alerts.last(), Some(&(true, [1, 0])));
    let late = pair.datagram(client.remote(), &client.seal(b"\0late"));
    assert_eq!(late, Err(Ignored::NoAssociation));
    assert!(pair.packets.is_empty());
}

#[test]
fn an_association_follows_its_client_to_another_port() {
    let mut pair = Pair::new();
    let peer = peer(&mut pair);
    let mut client = shake_hands(&mut pair, UDP_HOME, peer.offer.clone());
    pair.events();
    let remote: SocketAddr = "198.51.100.7:61111".parse().unwrap();
    pair.datagram(remote, &client.seal(b"\0from elsewhere")).unwrap();
    let events = pair.events();
    let [Event::AssociationMoved { path, .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!(*path, Path { remote, ..pair::path(UDP_HOME) });
    client.path.remote = remote;
    pair.packet(peer.id, b"down").unwrap();
    pair.run();
    exchange(&mut pair, &mut client);
    assert_eq!(client.received, [b"\0down".to_vec()]);
    assert_eq!(pair.endpoint.view(peer.id).unwrap().association.unwrap().path.remote, remote);
}

#[test]
fn dtls_is_not_offered_where_it_is_not_to_be() {
    let mut pair = Pair::with(|settings, _| settings.dtls_port = None);
    let conn = pair.connect(HOME);
    let cookie = pair.log_in(conn, "alice");
    assert!(!pair.tunnel(conn, &cookie, OFFER_PSK).contains("X-DTLS"));
    let mut pair = Pair::new();
    pair.tunnel.dtls = false;
    let conn = pair.connect(HOME);
    let cookie = pair.log_in(conn, "alice");
    assert!(!pair.tunnel(conn, &cookie, OFFER_PSK).contains("X-DTLS"));
    // and what comes nevertheless is refused
    let mut stranger = Client::new(1, UDP_HOME, Offer::psk(Suite::PSK_AES_256_GCM));
    let hello = stranger.start();
    pair.datagram(stranger.remote(), &hello).unwrap();
    let verify = pair.datagrams.pop_front().unwrap();
    let again = stranger.handle(&verify.bytes).remove(0);
    let refused = pair.datagram(stranger.remote(), &again);
    assert_eq!(refused, Err(Ignored::Refused(Refusal::UnknownSession)));
}

/// A client that uses both channels at random, over a network that loses, repeats and reorders datagrams:
/// what TLS carries comes exactly once, what UDP delivers comes exactly once, and nothing comes twice.
#[test]
fn nothing_is_doubled_or_lost_between_the_channels() {
    let variable = |name: &str| std::env::var(name).ok().and_then(|v| v.parse::<u64>().ok());
    let first = variable("LOCKGATE_ANYCONNECT_SEED").unwrap_or(0);
    let runs = variable("LOCKGATE_ANYCONNECT_RUNS").unwrap_or(60);
    let mut by = BTreeMap::new();
    for seed in first..first + runs {
        for (what, count) in run_both_channels(seed) {
            *by.entry(what).or_insert(0) += count;
        }
    }
    // each way was taken
    for what in ["up by CSTP", "up by DTLS", "down by CSTP", "down by DTLS", "handshakes", "rekeys"]
    {
        assert!(by.get(what).is_some_and(|count| *count >= runs / 10), "{what}: {by:?}");
    }
}

fn run_both_channels(seed: u64) -> BTreeMap<&'static str, u64> {
    let mut chaos = Chaos(seed);
    let mut pair = Pair::new();
    pair.piece = 1 + chaos.below(3000) as usize;
    let mut peer = peer(&mut pair);
    let mut client: Option<Client> = None;
    let mut port = 60_000;
    let mut by = BTreeMap::new();
    let mut count = |what| *by.entry(what).or_insert(0) += 1;
    // numbers that have to come, that came, and datagrams that are held back
    let (mut due_up, mut due_down) = (BTreeSet::new(), BTreeSet::new());
    let mut came_down = Vec::new();
    let mut held: Vec<(SocketAddr, u32, Vec<u8>)> = Vec::new();
    for number in 0..300_u32 {
        let text = number.to_be_bytes();
        match chaos.below(20) {
            0..5 => {
                pair.client(peer.conn).tls.writer().write_all(&Kind::Data.header(4)).unwrap();
                pair.client(peer.conn).tls.writer().write_all(&text).unwrap();
                pair.run();
                due_up.insert(number);
                count("up by CSTP");
            }
            5..11 => {
                if let Some(client) = &client {
                    let record = client.seal(&[&[0][..], &text].concat());
                    held.push((client.remote(), number, record));
                }
            }
            11..17 => match pair.packet(peer.id, &text) {
                Ok(Channel::Cstp) => {
                    due_down.insert(number);
                    count("down by CSTP");
                    pair.run();
                }
                Ok(Channel::Dtls) => {
                    pair.run();
                    count("down by DTLS");
                }
                Err(refused) => panic!("{refused}"),
            },
            17 => pair.pass(Duration::from_secs(chaos.below(20))),
            18 => {
                port += 1;
                // what is on the way of the one before comes too late
                held.clear();
                pair.datagrams.clear();
                let remote = format!("198.51.100.7:{port}");
                client = Some(shake_hands(&mut pair, &remote, peer.offer.clone()));
                count("handshakes");
            }
            _ => {
                let conn = pair.connect(HOME);
                let answer = pair.tunnel(conn, &peer.cookie, OFFER_PSK);
                peer.offer = psk_offer(&mut pair, conn, &answer, Suite::PSK_AES_256_GCM);
                came_down.extend(frames_down(&mut pair, peer.conn));
                peer.conn = conn;
                pair.client(conn).text.clear();
                client = None;
                held.clear();
                pair.datagrams.clear();
                count("rekeys");
            }
        }
        // the network
        while held.len() > 8 || (!held.is_empty() && chaos.below(2) == 0) {
            let (remote, number, record) =
                held.swap_remove(chaos.below(held.len() as u64) as usize);
            let repeats = [1, 1, 1, 0, 2][chaos.below(5) as usize];
            for repeat in 0..repeats {
                let outcome = pair.datagram(remote, &record);
                assert_eq!(outcome.is_ok(), repeat == 0, "seed {seed}: {outcome:?}");
            }
            if repeats > 0 {
                due_up.insert(number);
                count("up by DTLS");
            }
        }
        while let Some(datagram) = pair.datagrams.pop_front() {
            let Some(client) = &mut client else { continue };
            for _ in 0..[1, 1, 1, 0, 2][chaos.below(5) as usize] {
                let before = client.received.len();
                client.handle(&datagram.bytes);
                for text in client.received.drain(before..) {
                    match &text[..] {
                        [0, number @ ..] => {
                            let number = u32::from_be_bytes(number.try_into().unwrap());
                            due_down.insert(number);
                            came_down.push(number);
                        }
                        [3] => {}
                        other => panic!("seed {seed}: {other:?}"),
                    }
                }
            }
        }
        came_down.extend(frames_down(&mut pair, peer.conn));
        assert!(pair.endpoint.view(peer.id).is_some(), "seed {seed}: the client is gone");
    }
    let numbers = |texts: Vec<&[u8]>| -> Vec<u32> {
        texts.iter().map(|text| u32::from_be_bytes((*text).try_into().unwrap())).collect()
    };
    let mut came_up = numbers(pair.packets.iter().map(|(_, packet)| packet.as_slice()).collect());
    came_up.sort_unstable();
    came_down.sort_unstable();
    assert_eq!(came_up, due_up.into_iter().collect::<Vec<_>>(), "seed {seed}, up");
    assert_eq!(came_down, due_down.into_iter().collect::<Vec<_>>(), "seed {seed}, down");
    let counts = pair.endpoint.view(peer.id).unwrap().counts;
    assert_eq!(counts.packets_in, came_up.len() as u64, "seed {seed}");
    let sent = by.get("down by CSTP").unwrap_or(&0) + by.get("down by DTLS").unwrap_or(&0);
    assert_eq!(counts.packets_out, sent, "seed {seed}");
    by
}

/// Numbers that came by CSTP. Questions are answered.
fn frames_down(pair: &mut Pair, conn: ConnId) -> Vec<u32> {
    let mut numbers = Vec::new();
    for (kind, payload) in pair.frames(conn) {
        match kind {
            Kind::Data => numbers.push(u32::from_be_bytes(payload.try_into().unwrap())),
            Kind::DpdRequest => pair.send(conn, Kind::DpdResponse, b""),
            other => panic!("{other:?}"),
        }
    }
    numbers
}
