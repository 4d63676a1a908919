//! Tunnels by CSTP: cookies, addresses, frames, limits, and clients that come again.

mod pair;

use std::{io::Write as _, time::Duration};

use lockgate_anyconnect::{
    Channel, ClientCertificates, ClientState, Counts, Event, LoginMethod, NotSent, Reason,
    cstp::{FrameError, Kind, MAX_PAYLOAD},
};
use pair::{Chaos, HOME, Pair};
use proptest::prelude::*;

/// What happened to clients, in a word each.
fn words(pair: &mut Pair) -> Vec<String> {
    let word = |event: Event| match event {
        Event::LoginSucceeded { .. } => "login".to_owned(),
        Event::Connected(connected) => format!("connected again={}", connected.again),
        Event::Disconnected { reason, .. } => format!("disconnected: {reason}"),
        Event::Ended { reason, .. } => format!("ended: {reason}"),
        Event::ChannelMoved { channel, .. } => format!("channel {}", channel.name()),
        other => format!("{other:?}"),
    };
    pair.events().into_iter().map(word).collect()
}

#[test]
fn packets_go_both_ways_and_are_counted() {
    let mut pair = Pair::new();
    let (conn, _, client) = pair.established("alice");
    assert_eq!(words(&mut pair), ["login", "connected again=false"]);
    let wanted = &pair.wanted[0];
    assert_eq!((&*wanted.user, wanted.ipv4, wanted.ipv6), ("alice", true, true));
    assert!(wanted.before.is_none());
    pair.send(conn, Kind::Data, b"up");
    pair.send(conn, Kind::Data, b"up again");
    assert_eq!(pair.packets, [(client, b"up".to_vec()), (client, b"up again".to_vec())]);
    assert_eq!(pair.packet(client, b"down"), Ok(Channel::Cstp));
    pair.run();
    assert_eq!(pair.frames(conn), [(Kind::Data, b"down".to_vec())]);
    let view = pair.endpoint.view(client).unwrap();
    let counts = Counts { packets_in: 2, bytes_in: 10, packets_out: 1, bytes_out: 4 };
    assert_eq!(view.counts, counts);
    assert_eq!(view.state, ClientState::Connected);
    assert_eq!((&*view.version, &*view.hostname), ("Test v1", "laptop"));
    assert_eq!(view.tls.as_deref(), Some("TLS 1.3 TLS13_AES_256_GCM_SHA384"));
    // by TLS alone there is no DTLS overhead, and no port to try it at
    assert_eq!(view.mtu, Some(1500 - 20 - 32 - 22 - 8));
    assert!(pair.packet(client, &[0; MAX_PAYLOAD]).is_ok());
    assert_eq!(pair.packet(client, &[0; MAX_PAYLOAD + 1]), Err(NotSent::TooLong));
}

#[test]
fn each_frame_is_a_record_of_its_own() {
    let mut pair = Pair::new();
    let (conn, _, client) = pair.established("alice");
    for len in [1, 100, 1400] {
        pair.packet(client, &vec![7; len]).unwrap();
    }
    let mut output = pair.endpoint.output(conn);
    for len in [1, 100, 1400] {
        let record = usize::from(u16::from_be_bytes([output[3], output[4]]));
        assert_eq!(record, pair::AROUND + len + 1 + 16);
        output = &output[5 + record..];
    }
    assert!(output.is_empty());
}

#[test]
fn what_comes_behind_the_request_is_a_frame() {
    let mut pair = Pair::new();
    pair.grants = false;
    let conn = pair.connect(HOME);
    let cookie = pair.log_in(conn, "alice");
    pair.tunnel(conn, &cookie, "\r\nSTF\x01\0\x05\0\0ear");
    let client = pair.wanted[0].client;
    let grant = pair.grant(client);
    pair.send(conn, Kind::Data, b"more");
    assert_eq!(pair.packets, []);
    pair.endpoint.handle_grant(pair.now, client, Ok(grant));
    pair.run();
    // the helper ends a request with an empty line, which is the rest of the first frame
    assert_eq!(pair.packets, [(client, b"ear\r\n".to_vec()), (client, b"more".to_vec())]);
}

#[test]
fn control_frames_are_answered() {
    let mut pair = Pair::new();
    let (conn, _, client) = pair.established("alice");
    pair.send(conn, Kind::DpdRequest, b"payload");
    pair.send(conn, Kind::Keepalive, b"");
    pair.send(conn, Kind::DpdResponse, b"");
    assert_eq!(pair.frames(conn), [(Kind::DpdResponse, b"payload".to_vec())]);
    words(&mut pair);
    pair.send(conn, Kind::Disconnect, b"\xb0Client received SIGINT");
    let said = "the client disconnected: Client received SIGINT";
    assert_eq!(words(&mut pair), [format!("disconnected: {said}"), format!("ended: {said}")]);
    assert!(pair.is_closed(conn));
    assert_eq!(pair.packet(client, b"x"), Err(NotSent::NoTunnel));
    assert!(pair.endpoint.view(client).is_none());
}

#[test]
fn what_is_no_frame_ends_the_connection_and_not_the_client() {
    for (bytes, want) in [
        (&b"STF\x01\0\0\x08\0"[..], FrameError::Compressed),
        (b"GET / HTTP/1.1", FrameError::Magic),
        (b"STF\x01\0\0\x2a\0", FrameError::Kind(42)),
        (b"STF\x01\xff\xff\0\0", FrameError::TooLong(0xffff)),
    ] {
        let mut pair = Pair::new();
        let (conn, cookie, client) = pair.established("alice");
        words(&mut pair);
        pair.client(conn).tls.writer().write_all(bytes).unwrap();
        pair.run();
        assert_eq!(words(&mut pair), [format!("disconnected: {}", Reason::Frame(want))]);
        assert!(pair.is_closed(conn));
        assert_eq!(pair.endpoint.view(client).unwrap().state, ClientState::Away);
        let conn = pair.connect(HOME);
        assert!(pair.tunnel(conn, &cookie, "").starts_with("HTTP/1.1 200"));
    }
}

#[test]
fn a_cookie_is_good_for_its_own_only() {
    let mut pair = Pair::new();
    let conn = pair.connect(HOME);
    let cookie = pair.log_in(conn, "alice");
    let swapped = if cookie.ends_with('0') { "1" } else { "0" };
    let wrong = format!("{}{swapped}", &cookie[..79]);
    for bad in [wrong.as_str(), "", "x", &cookie[..78], &"0".repeat(80)] {
        let conn = pair.connect(HOME);
        let answer = pair.tunnel(conn, bad, "");
        assert!(answer.starts_with("HTTP/1.1 401 Unauthorized\r\n"), "{bad}: {answer}");
        assert!(pair.is_closed(conn));
    }
    let answer = pair.ask(conn, "CONNECT /CSCOSSLC/tunnel HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    assert_eq!(pair.endpoint.stats().cookies_refused, 6);
    let conn = pair.connect(HOME);
    assert!(pair.tunnel(conn, &cookie, "").starts_with("HTTP/1.1 200"));
}

#[test]
fn a_cookie_is_good_for_a_while_only() {
    let mut pair = Pair::new();
    let conn = pair.connect(HOME);
    let cookie = pair.log_in(conn, "alice");
    pair.pass(Duration::from_secs(299));
    assert_eq!(pair.endpoint.views().count(), 1);
    pair.pass(Duration::from_secs(2));
    assert_eq!(pair.endpoint.views().count(), 0);
    assert_eq!(words(&mut pair), ["login", "ended: the client did not come again in time"]);
    let conn = pair.connect(HOME);
    assert!(pair.tunnel(conn, &cookie, "").starts_with("HTTP/1.1 401"));
}

#[test]
fn a_cookie_may_be_bound_to_its_address() {
    for (bind, status) in [(true, "401"), (false, "200")] {
        let mut pair = Pair::with(|settings, _| settings.bind_address = bind);
        let conn = pair.connect(HOME);
        let cookie = pair.log_in(conn, "alice");
        let conn = pair.connect("203.0.113.1:1");
        let answer = pair.tunnel(conn, &cookie, "");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        // another port is the same address
        let conn = pair.connect("198.51.100.7:1");
        assert!(pair.tunnel(conn, &cookie, "").starts_with("HTTP/1.1 200"));
    }
}

#[test]
fn a_cookie_is_not_good_with_the_certificate_of_another() {
    let mut pair = Pair::with_clients(
        |pki| ClientCertificates::Optional(pki.authorities()),
        |settings, _| settings.method = LoginMethod::CertificateOrPassword,
    );
    let conn = pair.connect(HOME);
    let cookie = pair.log_in(conn, "alice");
    let bob = pair.pki.issue("bob", &[]);
    let conn = pair.connect_with(HOME, Some(&bob), rustls::DEFAULT_VERSIONS);
    assert!(pair.tunnel(conn, &cookie, "").starts_with("HTTP/1.1 401"));
    let alice = pair.pki.issue("alice", &[]);
    let conn = pair.connect_with(HOME, Some(&alice), rustls::DEFAULT_VERSIONS);
    assert!(pair.tunnel(conn, &cookie, "").starts_with("HTTP/1.1 200"));
}

#[test]
fn another_connection_takes_the_tunnel_over() {
    let mut pair = Pair::new();
    let (old, cookie, client) = pair.established("alice");
    pair.send(old, Kind::Data, b"1");
    let new = pair.connect("203.0.113.1:1");
    pair.tunnel(new, &cookie, "");
    assert_eq!(words(&mut pair), ["login", "connected again=false", "connected again=true"]);
    let again = &pair.wanted[1];
    assert_eq!(again.client, client);
    assert_eq!(again.before.as_deref(), Some(&pair.grant(client)));
    assert!(pair.is_closed(old));
    pair.frames(old);
    pair.frames(new);
    pair.packet(client, b"down").unwrap();
    pair.run();
    assert_eq!(pair.frames(new), [(Kind::Data, b"down".to_vec())]);
    assert_eq!(pair.frames(old), []);
    pair.send(new, Kind::Data, b"2");
    let view = pair.endpoint.view(client).unwrap();
    assert_eq!((view.counts.packets_in, view.counts.packets_out), (2, 1));
    assert_eq!(view.remote, "203.0.113.1:1".parse().unwrap());
    // the old connection's end is no event
    pair.endpoint.handle_closed(pair.now, old);
    assert_eq!(words(&mut pair), [""; 0]);
}

#[test]
fn a_client_that_lost_its_connection_comes_again() {
    let mut pair = Pair::new();
    let (conn, cookie, client) = pair.established("alice");
    words(&mut pair);
    pair.endpoint.handle_closed(pair.now, conn);
    assert_eq!(words(&mut pair), [""; 0]);
    pair.run();
    assert_eq!(words(&mut pair), ["disconnected: the connection was lost"]);
    assert_eq!(pair.packet(client, b"x"), Err(NotSent::NoTunnel));
    pair.pass(Duration::from_secs(200));
    let conn = pair.connect(HOME);
    assert!(pair.tunnel(conn, &cookie, "").contains("X-CSTP-Address: 10.99.0."));
    assert_eq!(words(&mut pair), ["connected again=true"]);
    // a goodbye of TLS without one of CSTP is a loss too
    pair.client(conn).tls.send_close_notify();
    pair.run();
    assert_eq!(words(&mut pair), ["disconnected: the connection was lost"]);
    pair.pass(Duration::from_secs(301));
    assert_eq!(words(&mut pair), ["ended: the client did not come again in time"]);
}

#[test]
fn no_address_is_said_so() {
    let mut pair = Pair::new();
    pair.grants = false;
    let conn = pair.connect(HOME);
    let cookie = pair.log_in(conn, "alice");
    assert_eq!(pair.tunnel(conn, &cookie, ""), "");
    let client = pair.wanted[0].client;
    pair.endpoint.handle_grant(pair.now, client, Err("the pool is\r\nempty".to_owned()));
    let answer = pair.ask(conn, "");
    assert!(
        answer.starts_with("HTTP/1.1 503 Service Unavailable\r\nX-Reason: the pool isempty\r\n")
    );
    assert!(pair.is_closed(conn));
    // and may be asked for again
    pair.grants = true;
    let conn = pair.connect(HOME);
    assert!(pair.tunnel(conn, &cookie, "").starts_with("HTTP/1.1 200"));
}

#[test]
fn a_link_that_is_too_small_for_ipv6_has_none() {
    let mut pair = Pair::new();
    pair.tunnel.mtu = Some(1279);
    let (_, _, client) = pair.established("alice");
    let events = pair.events();
    let Some(Event::Connected(connected)) = events.last() else { panic!("{events:?}") };
    assert!(connected.grant.ipv4.is_some() && connected.grant.ipv6.is_none());
    assert_eq!(pair.endpoint.view(client).unwrap().mtu, Some(1279));
    pair.grants = false;
    let conn = pair.connect(HOME);
    let cookie = pair.log_in(conn, "alice");
    pair.tunnel(conn, &cookie, "");
    let client = pair.wanted[1].client;
    let grant = lockgate_anyconnect::Grant { ipv4: None, ..pair.grant(client) };
    pair.endpoint.handle_grant(pair.now, client, Ok(grant));
    let answer = pair.ask(conn, "");
    assert!(answer.contains("X-Reason: the link is too small for IPv6\r\n"), "{answer}");
    assert!(pair.is_closed(conn));
    pair.pass(Duration::from_secs(1000));
    assert_eq!(pair.endpoint.connections(), 0);
}

#[test]
fn a_client_that_does_not_read_gets_no_more() {
    let mut pair = Pair::new();
    let (conn, _, client) = pair.established("alice");
    pair.client(conn).reads = false;
    let mut sent = Vec::new();
    for i in 0..1000_u32 {
        let packet = [&i.to_be_bytes()[..], &[0; 1000]].concat();
        match pair.packet(client, &packet) {
            Ok(_) => sent.push((Kind::Data, packet)),
            Err(refused) => assert_eq!(refused, NotSent::Full),
        }
    }
    let waiting = pair.endpoint.output(conn).len();
    assert!((128 * 1024..130 * 1024).contains(&waiting), "{waiting} bytes");
    assert_eq!(pair.endpoint.stats().packets_not_read, 1000 - sent.len() as u64);
    // what it asks meanwhile has to wait, and costs nothing here
    for _ in 0..1000 {
        let client = pair.client(conn);
        client.tls.writer().write_all(&Kind::DpdRequest.header(0)).unwrap();
    }
    pair.run();
    assert!(pair.endpoint.output(conn).len() < 132 * 1024);
    assert!(!pair.client(conn).unsent.is_empty());
    pair.client(conn).reads = true;
    pair.piece = 1000;
    pair.run();
    let frames = pair.frames(conn);
    assert_eq!(frames[..sent.len()], sent, "in order, and each once");
    assert_eq!(frames.len(), sent.len() + 1000);
    assert!(pair.client(conn).unsent.is_empty());
}

#[test]
fn silence_is_asked_after_and_then_is_death() {
    let mut pair = Pair::new();
    let (conn, _, client) = pair.established("alice");
    words(&mut pair);
    pair.pass(Duration::from_secs(29));
    assert_eq!(pair.frames(conn), []);
    for _ in 0..3 {
        pair.pass(Duration::from_secs(30));
        assert_eq!(pair.frames(conn), [(Kind::DpdRequest, Vec::new())]);
    }
    assert_eq!(words(&mut pair), [""; 0]);
    pair.pass(Duration::from_secs(30));
    assert_eq!(words(&mut pair), ["disconnected: the client does not answer"]);
    assert_eq!(pair.endpoint.view(client).unwrap().state, ClientState::Away);
    // an answer, and it lives
    let (conn, ..) = pair.established("bob");
    for _ in 0..10 {
        pair.pass(Duration::from_secs(35));
        if pair.frames(conn).contains(&(Kind::DpdRequest, Vec::new())) {
            pair.send(conn, Kind::DpdResponse, b"");
        }
    }
    assert!(!pair.is_closed(conn));
}

#[test]
fn idle_clients_and_long_sessions_end() {
    let mut pair = Pair::new();
    pair.tunnel.idle_timeout = Some(Duration::from_secs(100));
    pair.tunnel.session_timeout = Some(Duration::from_secs(400));
    let (conn, cookie, client) = pair.established("alice");
    words(&mut pair);
    // what is no packet does not count
    for _ in 0..3 {
        pair.pass(Duration::from_secs(30));
        pair.send(conn, Kind::DpdRequest, b"");
    }
    pair.frames(conn);
    pair.pass(Duration::from_secs(15));
    assert_eq!(words(&mut pair), ["disconnected: idle for too long", "ended: idle for too long"]);
    assert_eq!(pair.frames(conn), [(Kind::Disconnect, b"\xb0idle for too long".to_vec())]);
    let again = pair.connect(HOME);
    assert!(pair.tunnel(again, &cookie, "").starts_with("HTTP/1.1 401"), "the cookie went too");
    assert!(pair.endpoint.view(client).is_none());

    // the session's time goes on over tunnels
    let (mut conn, cookie, client) = pair.established("alice");
    words(&mut pair);
    for _ in 0..3 {
        for _ in 0..2 {
            pair.pass(Duration::from_secs(59));
            pair.packet(client, b"x").unwrap();
            pair.send(conn, Kind::Data, b"x");
        }
        conn = pair.connect(HOME);
        pair.tunnel(conn, &cookie, "");
    }
    assert_eq!(words(&mut pair), ["connected again=true"; 3]);
    pair.pass(Duration::from_secs(47));
    assert_eq!(
        words(&mut pair),
        ["disconnected: the session's time is over", "ended: the session's time is over"]
    );
}

#[test]
fn the_owner_ends_clients() {
    let mut pair = Pair::new();
    let (first, cookie, client) = pair.established("alice");
    let (second, ..) = pair.established("alice");
    let (other, ..) = pair.established("bob");
    for conn in [first, second, other] {
        pair.frames(conn);
    }
    words(&mut pair);
    assert!(pair.endpoint.disconnect(pair.now, client));
    assert!(!pair.endpoint.disconnect(pair.now, client));
    pair.run();
    assert_eq!(pair.frames(first), [(Kind::Terminate, Vec::new())]);
    assert!(pair.is_closed(first));
    let again = pair.connect(HOME);
    assert!(pair.tunnel(again, &cookie, "").starts_with("HTTP/1.1 401"));
    assert_eq!(pair.endpoint.disconnect_user(pair.now, "alice"), 1);
    assert_eq!(pair.endpoint.disconnect_user(pair.now, "alice"), 0);
    assert_eq!(pair.endpoint.terminate_all(pair.now), 1);
    pair.run();
    assert!(pair.is_closed(second) && pair.is_closed(other));
    assert_eq!(pair.endpoint.views().count(), 0);
    let want = "disconnected by the administrator";
    let want = [format!("disconnected: {want}"), format!("ended: {want}")];
    assert_eq!(words(&mut pair), want.iter().cycle().take(6).cloned().collect::<Vec<_>>());
    // nothing is left but what closes
    pair.pass(Duration::from_secs(60));
    assert_eq!(pair.endpoint.connections(), 0);
    assert_eq!(pair.endpoint.poll_timeout(), None);
}

#[test]
fn nothing_is_left_of_many_clients() {
    let mut pair = Pair::new();
    for i in 0..20 {
        let (conn, ..) = pair.established(if i % 2 == 0 { "alice" } else { "bob" });
        match i % 3 {
            0 => pair.endpoint.handle_closed(pair.now, conn),
            1 => pair.send(conn, Kind::Disconnect, b"\xb0bye"),
            _ => {}
        }
    }
    pair.pass(Duration::from_secs(1000));
    assert_eq!((pair.endpoint.connections(), pair.endpoint.views().count()), (0, 0));
    assert_eq!(pair.endpoint.poll_timeout(), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever a client that is logged in sends, nothing breaks, and what it costs is bounded.
    #[test]
    fn any_bytes_in_a_tunnel_are_survived(seed in any::<u64>(), kinds in proptest::collection::vec((0_u8..12, 0..600_usize), 0..20)) {
        let mut chaos = Chaos(seed);
        let mut pair = Pair::new();
        pair.piece = 1 + chaos.below(2000) as usize;
        let (conn, ..) = pair.established("alice");
        let mut data = 0;
        for (kind, len) in kinds {
            let mut frame = Kind::Data.header(len).to_vec();
            frame[6] = kind;
            if chaos.below(20) == 0 {
                frame[chaos.below(8) as usize] = chaos.below(256) as u8;
            }
            frame.resize(8 + len, 7);
            data += usize::from(kind == 0);
            pair.client(conn).tls.writer().write_all(&frame).unwrap();
            pair.run();
        }
        prop_assert!(pair.packets.len() <= data + 20);
        prop_assert!(pair.endpoint.output(conn).len() < 64 * 1024);
    }

    /// Bytes of strangers, before and within the handshake.
    #[test]
    fn any_bytes_of_strangers_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..400), head in any::<bool>()) {
        let mut pair = Pair::new();
        let conn = pair.endpoint.handle_connected(pair.now, pair::path(HOME)).unwrap();
        let mut all = if head { vec![22, 3, 1, 0, 200] } else { Vec::new() };
        all.extend(&bytes);
        let taken = pair.endpoint.handle_stream(pair.now, conn, &all, &mut |_, _| panic!("no client"));
        prop_assert_eq!(taken, all.len());
        pair.run();
        pair.pass(Duration::from_secs(60));
        prop_assert!(pair.endpoint.is_finished(conn));
        prop_assert_eq!(pair.endpoint.poll_timeout(), None);
    }
}
