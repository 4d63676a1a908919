//! Logins: by password and certificate, in both dialects, with groups, and how they fail.

mod pair;

use std::time::Duration;

use lockgate_anyconnect::{
    Authorities, ClientCertificates, Event, Group, HandshakeFailure, LoginFailure, LoginMethod,
    Tls, TlsError,
};
use pair::{HOME, Pair, cookie_of, named};
use rustls::version::{TLS12, TLS13};

fn groups() -> Vec<Group> {
    let group = |name: &str, label: &str| Group { name: name.into(), label: label.to_owned() };
    vec![group("admins", "Admins"), group("staff", "Staff & co"), group("guests", "Guests")]
}

fn failures(pair: &mut Pair) -> Vec<LoginFailure> {
    let events = pair.events();
    let failures = events.into_iter().filter_map(|event| match event {
        Event::LoginFailed { failure, .. } => Some(failure),
        _ => None,
    });
    failures.collect()
}

#[test]
fn a_password_lets_in_by_documents() {
    for versions in [&[&TLS12][..], &[&TLS13]] {
        for piece in [usize::MAX, 1, 7, 50, 100] {
            let mut pair = Pair::new();
            pair.piece = piece;
            let conn = pair.connect_with(HOME, None, versions);
            let form = pair.init(conn, "");
            assert!(form.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\n"), "{form}");
            assert!(form.contains("X-Transcend-Version: 1\r\n"));
            assert!(form.contains("type=\"auth-request\"") && form.contains("action=\"/auth\""));
            assert!(form.contains("name=\"username\"") && form.contains("name=\"password\""));
            assert!(!form.contains("group_list"));
            let done = pair.reply(conn, "alice", "secret1", "");
            assert!(done.contains("type=\"complete\"") && done.contains("<auth id=\"success\">"));
            assert_eq!(cookie_of(&done).unwrap().len(), 80);
            assert!(done.contains("; Secure; HttpOnly\r\n"));
            let [Event::LoginSucceeded { user, group: None, remote, .. }] = &pair.events()[..]
            else {
                panic!("one login");
            };
            assert_eq!((&**user, *remote), ("alice", HOME.parse().unwrap()));
        }
    }
}

#[test]
fn a_password_lets_in_by_a_form_of_old_clients() {
    let mut pair = Pair::new();
    let conn = pair.connect(HOME);
    let form = pair.ask(conn, "GET / HTTP/1.1\r\nHost: gw\r\n\r\n");
    assert!(form.contains("?>\n<auth id=\"main\">") && !form.contains("config-auth"), "{form}");
    let done = pair.post(conn, "/auth", "username=alice&password=secret1");
    assert!(done.contains("<auth id=\"success\">") && !done.contains("config-auth"), "{done}");
    assert!(cookie_of(&done).is_some());
}

#[test]
fn a_wrong_password_gets_the_form_again_and_then_the_door() {
    let mut pair = Pair::new();
    let conn = pair.connect(HOME);
    for user in ["alice", "nobody"] {
        let again = pair.reply(conn, user, "wrong", "");
        assert!(again.contains("Login failed.") && again.contains("name=\"password\""), "{again}");
        assert!(cookie_of(&again).is_none());
    }
    let last = pair.reply(conn, "alice", "wrong", "");
    assert!(last.contains("Login failed.") && !last.contains("name=\"password\""), "{last}");
    assert!(pair.is_closed(conn));
    assert_eq!(failures(&mut pair), vec![LoginFailure::Credentials; 3]);
    let stats = pair.endpoint.stats();
    assert_eq!((stats.logins, stats.logins_failed), (0, 3));
}

#[test]
fn who_guesses_too_often_is_locked_out_for_a_while() {
    let mut pair = Pair::new();
    let mut locked = 0;
    for attempt in 0..5 {
        let conn = pair.connect(&format!("198.51.100.{attempt}:5000"));
        pair.reply(conn, "alice", "wrong", "");
        let events = pair.events();
        locked += events
            .iter()
            .filter(|event| matches!(event, Event::UserLocked { user, .. } if user == "alice"))
            .count();
    }
    assert_eq!((locked, pair.endpoint.stats().locked), (1, 1));
    let conn = pair.connect(HOME);
    let refused = pair.reply(conn, "alice", "secret1", "");
    assert!(refused.contains("Too many failures") && cookie_of(&refused).is_none(), "{refused}");
    assert!(pair.is_closed(conn));
    assert!(matches!(failures(&mut pair)[..], [LoginFailure::Locked { .. }]));
    // others are let in, and so is she when the time is over
    let conn = pair.connect(HOME);
    pair.log_in(conn, "bob");
    pair.pass(Duration::from_secs(301));
    let conn = pair.connect(HOME);
    pair.log_in(conn, "alice");
}

#[test]
fn names_of_strangers_are_told_in_a_way_that_can_be_shown() {
    let mut pair = Pair::new();
    let conn = pair.connect(HOME);
    let name = format!("%1b[31m\u{e4}{}", "x".repeat(100));
    pair.post(conn, "/", &format!("username={name}&password=x"));
    let events = pair.events();
    let [Event::LoginFailed { user, .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!(*user, format!("\u{fffd}[31m\u{e4}{}", "x".repeat(58)));
}

#[test]
fn parallel_guesses_count_before_they_are_checked() {
    let mut pair = Pair::new();
    let conns: Vec<_> = (0..8).map(|i| pair.connect(&format!("198.51.100.{i}:5000"))).collect();
    let body = "username=alice&password=wrong";
    let request =
        format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    for conn in conns {
        use std::io::Write as _;
        pair.client(conn).tls.writer().write_all(request.as_bytes()).unwrap();
    }
    // all at once
    pair.run();
    let failures = failures(&mut pair);
    let tried = failures.iter().filter(|f| **f == LoginFailure::Credentials).count();
    assert_eq!((tried, failures.len()), (5, 8));
}

#[test]
fn nobody_is_locked_out_because_nobody_could_be_asked() {
    let mut pair = Pair::new();
    for _ in 0..10 {
        let conn = pair.connect(HOME);
        let answer = pair.reply(conn, "down", "x", "");
        assert!(answer.starts_with("HTTP/1.1 503 Service Unavailable\r\nX-Reason: "), "{answer}");
        assert!(pair.is_closed(conn));
    }
    let failures = failures(&mut pair);
    assert_eq!(failures, vec![LoginFailure::Unavailable("nobody answers".to_owned()); 10]);
}

#[test]
fn groups_are_chosen_by_the_form_the_document_or_the_path() {
    let mut pair = Pair::with(|settings, _| settings.groups = groups());
    let conn = pair.connect(HOME);
    let form = pair.init(conn, "<group-select>staff</group-select>");
    assert!(
        form.contains("<option value=\"staff\" selected=\"true\">Staff &amp; co</option>"),
        "{form}"
    );
    let group_of = |pair: &mut Pair| match &pair.events()[..] {
        [Event::LoginSucceeded { group, .. }] => group.as_deref().map(str::to_owned),
        events => panic!("{events:?}"),
    };
    pair.reply(conn, "alice", "secret1", "<group-select>staff</group-select>");
    assert_eq!(group_of(&mut pair).as_deref(), Some("staff"));
    // without a choice it is the first of ours
    pair.reply(conn, "alice", "secret1", "");
    assert_eq!(group_of(&mut pair).as_deref(), Some("admins"));
    let body = "<config-auth type=\"init\"/>";
    let form = pair.post(conn, "/staff", body);
    assert!(form.contains("action=\"/staff\"") && form.contains("\"staff\" selected"), "{form}");
    pair.post(conn, "/staff", "username=alice&password=secret1");
    assert_eq!(group_of(&mut pair).as_deref(), Some("staff"));
    pair.post(conn, "/auth", "username=bob&password=secret1&group_list=guests");
    assert_eq!(group_of(&mut pair).as_deref(), Some("guests"));
    for group in ["guests", "unknown"] {
        let conn = pair.connect(HOME);
        let more = format!("<group-select>{group}</group-select>");
        let refused = pair.reply(conn, "alice", "secret1", &more);
        assert!(refused.contains("Login failed."), "{refused}");
        assert_eq!(failures(&mut pair), [LoginFailure::Group]);
    }
}

#[test]
fn a_certificate_lets_in() {
    for versions in [&[&TLS12][..], &[&TLS13]] {
        for method in [LoginMethod::Certificate, LoginMethod::CertificateOrPassword] {
            for required in [true, false] {
                let mut pair = Pair::with_clients(
                    |pki| match required {
                        true => ClientCertificates::Required(pki.authorities()),
                        false => ClientCertificates::Optional(pki.authorities()),
                    },
                    |settings, _| settings.method = method,
                );
                let alice = pair.pki.issue("alice", &[]);
                let conn = pair.connect_with(HOME, Some(&alice), versions);
                let done = pair.init(conn, "");
                assert!(done.contains("type=\"complete\""), "{method:?}: {done}");
                let cookie = cookie_of(&done).unwrap();
                assert!(pair.tunnel(conn, &cookie, "").starts_with("HTTP/1.1 200"));
                let conn = pair.connect_with(HOME, Some(&alice), versions);
                let done = pair.ask(conn, "GET / HTTP/1.1\r\nHost: gw\r\n\r\n");
                assert!(done.contains("<auth id=\"success\">"), "{done}");
            }
        }
    }
}

#[test]
fn without_a_certificate_there_is_a_request_a_password_or_no_tls() {
    let optional = |method: LoginMethod| {
        Pair::with_clients(
            |pki| ClientCertificates::Optional(pki.authorities()),
            |settings, _| settings.method = method,
        )
    };
    let mut pair = optional(LoginMethod::Certificate);
    let conn = pair.connect(HOME);
    assert!(pair.init(conn, "").contains("<client-cert-request/>"));
    assert!(pair.init(conn, "<client-cert-fail/>").contains("A certificate is needed."));
    assert_eq!(failures(&mut pair), [LoginFailure::NoCertificate]);
    let refused = pair.reply(conn, "alice", "secret1", "");
    assert!(refused.contains("Login failed."), "{refused}");

    let mut pair = optional(LoginMethod::CertificateOrPassword);
    let conn = pair.connect(HOME);
    pair.log_in(conn, "alice");

    let mut pair = Pair::with_clients(
        |pki| ClientCertificates::Required(pki.authorities()),
        |settings, _| settings.method = LoginMethod::Certificate,
    );
    for versions in [&[&TLS12][..], &[&TLS13]] {
        let conn = pair.connect_with(HOME, None, versions);
        assert!(pair.is_closed(conn));
        let [Event::HandshakeFailed { failure: HandshakeFailure::Tls(why), .. }] =
            &pair.events()[..]
        else {
            panic!("one failure")
        };
        assert_eq!(why, "peer sent no certificates");
    }
}

#[test]
fn both_have_to_be_the_same_users() {
    let mut pair = Pair::with_clients(
        |pki| ClientCertificates::Optional(pki.authorities()),
        |settings, _| settings.method = LoginMethod::CertificateAndPassword,
    );
    let alice = pair.pki.issue("alice", &[]);
    let versions = rustls::DEFAULT_VERSIONS;
    let conn = pair.connect_with(HOME, Some(&alice), versions);
    assert!(pair.init(conn, "").contains("name=\"password\""));
    assert!(pair.reply(conn, "bob", "secret1", "").contains("Login failed."));
    assert!(pair.reply(conn, "alice", "wrong", "").contains("Login failed."));
    let want = [LoginFailure::OtherCertificate, LoginFailure::Credentials];
    assert_eq!(failures(&mut pair), want);
    pair.log_in(conn, "alice");
}

#[test]
fn certificates_that_are_not_good_are_refused_by_tls() {
    let mut pair = Pair::with_clients(
        |pki| ClientCertificates::Optional(pki.authorities()),
        |settings, _| settings.method = LoginMethod::CertificateOrPassword,
    );
    let mut expired = named("alice", &[]);
    expired.not_after = rcgen::date_time_ymd(2026, 1, 1);
    let expired = pair.pki.issue_with(expired);
    let stranger = pair::Pki::new().issue("alice", &[]);
    let nameless = pair.pki.issue("", &[]);
    for (certificate, want) in [
        (expired, "certificate expired"),
        (stranger, "BadSignature"),
        (nameless, "has no name of the kind"),
    ] {
        let conn = pair.connect_with(HOME, Some(&certificate), rustls::DEFAULT_VERSIONS);
        assert!(pair.is_closed(conn), "{want}");
        let [Event::HandshakeFailed { failure, .. }] = &pair.events()[..] else { panic!("{want}") };
        assert!(failure.to_string().contains(want), "{failure}");
    }
}

#[test]
fn a_certificate_of_a_stranger_is_no_login() {
    let mut pair = Pair::with_clients(
        |pki| ClientCertificates::Required(pki.authorities()),
        |settings, _| settings.method = LoginMethod::Certificate,
    );
    let mallory = pair.pki.issue("mallory", &[]);
    let conn = pair.connect_with(HOME, Some(&mallory), rustls::DEFAULT_VERSIONS);
    assert!(pair.init(conn, "").contains("Login failed."));
    assert_eq!(failures(&mut pair), [LoginFailure::Credentials]);
}

#[test]
fn a_user_has_so_many_clients_and_those_without_a_tunnel_give_way() {
    let mut pair = Pair::with(|settings, _| settings.limits.clients_per_user = 2);
    pair.established("alice");
    let conn = pair.connect(HOME);
    pair.log_in(conn, "alice");
    pair.log_in(conn, "alice");
    assert_eq!(pair.endpoint.views().count(), 2);
    assert!(pair.events().iter().any(|event| matches!(event, Event::Ended { .. })));
    pair.established("alice");
    let conn = pair.connect(HOME);
    let answer = pair.reply(conn, "alice", "secret1", "");
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert_eq!(failures(&mut pair), [LoginFailure::Full]);
    pair.log_in_elsewhere();
}

impl Pair {
    fn log_in_elsewhere(&mut self) {
        let conn = self.connect(HOME);
        self.log_in(conn, "bob");
    }
}

#[test]
fn what_is_not_served_is_said_so() {
    let mut pair = Pair::new();
    for (request, want) in [
        ("PUT / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 405 "),
        ("CONNECT /other HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 404 "),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n<a>", "HTTP/1.1 400 "),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na=%", "HTTP/1.1 400 "),
    ] {
        let conn = pair.connect(HOME);
        let answer = pair.ask(conn, request);
        assert!(answer.starts_with(want), "{request}: {answer}");
        assert!(!pair.is_closed(conn));
        // and the connection is as good as before
        pair.log_in(conn, "alice");
    }
    let conn = pair.connect(HOME);
    let answer = pair.ask(conn, "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\nGET / HTTP/1.1\r\n");
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n"), "{answer}");
    assert!(pair.is_closed(conn));
    let conn = pair.connect(HOME);
    let answer = pair.ask(conn, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 ") && pair.is_closed(conn));
}

#[test]
fn requests_in_a_row_are_answered_in_order_and_one_at_a_time() {
    let mut pair = Pair::new();
    let conn = pair.connect(HOME);
    let login = "username=alice&password=secret1";
    let post =
        format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{login}", login.len());
    let answers = pair.ask(conn, &format!("{post}GET / HTTP/1.1\r\nHost: a\r\n\r\n{post}"));
    let ids: Vec<_> =
        answers.match_indices("<auth id=\"").map(|(at, m)| &answers[at + m.len()..][..4]).collect();
    assert_eq!(ids, ["succ", "main", "succ"]);
}

#[test]
fn what_comes_with_the_handshake_waits_until_there_is_room() {
    use std::io::Write as _;
    let mut pair = Pair::new();
    let conn = pair.begin(HOME, None, rustls::DEFAULT_VERSIONS);
    let login = "username=alice&password=secret1";
    let mut text =
        format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{login}", login.len());
    // more than there is room for while the password is checked
    let get = format!("GET / HTTP/1.1\r\nHost: a\r\nX-Pad: {}\r\n\r\n", "x".repeat(9000));
    text += &get.repeat(6);
    for record in text.as_bytes().chunks(500) {
        pair.client(conn).tls.writer().write_all(record).unwrap();
    }
    let answers = pair.ask(conn, "");
    let count = |what: &str| answers.matches(what).count();
    assert_eq!((count("<auth id=\"success\">"), count("<auth id=\"main\">")), (1, 6), "{answers}");
    assert!(answers.find("success").unwrap() < answers.find("main").unwrap());
}

#[test]
fn secrets_of_tls_are_told_to_a_log_where_there_is_one() {
    use std::sync::{Arc, Mutex};

    #[derive(Debug, Default)]
    struct Log(Mutex<Vec<String>>);
    impl rustls::KeyLog for Log {
        fn log(&self, label: &str, _: &[u8], _: &[u8]) {
            self.0.lock().unwrap().push(label.to_owned());
        }
    }
    let log = Arc::new(Log::default());
    let logs = log.clone();
    let mut pair = Pair::with(move |settings, pki| {
        let own = pki.issue("gw.test", &["gw.test"]);
        let (pem, key) = (own.pem.as_bytes(), own.key_pem.as_bytes());
        settings.tls = Tls::from_pem(pem, key, ClientCertificates::None, Some(logs)).unwrap();
    });
    pair.connect_with(HOME, None, &[&TLS12]);
    assert_eq!(*log.0.lock().unwrap(), ["CLIENT_RANDOM"]);
    pair.connect_with(HOME, None, &[&TLS13]);
    let labels = log.0.lock().unwrap();
    assert!(labels.contains(&"SERVER_TRAFFIC_SECRET_0".to_owned()), "{labels:?}");
}

#[test]
fn files_that_do_not_fit_are_refused() {
    let pki = pair::Pki::new();
    let (own, other) = (pki.issue("gw.test", &[]), pki.issue("other.test", &[]));
    let make = |pem: &str, key: &str| {
        let made = Tls::from_pem(pem.as_bytes(), key.as_bytes(), ClientCertificates::None, None);
        made.map(|_| ()).unwrap_err()
    };
    assert_eq!(make("", &own.key_pem), TlsError::NoCertificate);
    assert_eq!(make(&own.key_pem, &own.key_pem), TlsError::NoCertificate);
    assert_eq!(make(&own.pem, &own.pem), TlsError::NoKey);
    let refused = make(&own.pem, &other.key_pem).to_string();
    assert!(refused.contains("keys may not be consistent: KeyMismatch"), "{refused}");
    assert_eq!(Authorities::from_pem(b"", &[]).unwrap_err(), TlsError::NoCertificate);
    let damaged = own.pem.replace("BEGIN CERTIFICATE-----\nM", "BEGIN CERTIFICATE-----\n!");
    let error = Authorities::from_pem(damaged.as_bytes(), &[]).unwrap_err();
    assert!(matches!(error, TlsError::Authority(1, _)), "{error}");
}

#[test]
fn a_revoked_certificate_is_refused() {
    let mut pair = Pair::with_clients(
        |pki| {
            let list = pki.revoke(7);
            let authorities = Authorities::from_pem(pki.ca_pem.as_bytes(), &[list.as_bytes()]);
            ClientCertificates::Required(authorities.unwrap())
        },
        |settings, _| settings.method = LoginMethod::Certificate,
    );
    for (serial, good) in [(7_u64, false), (8, true)] {
        let mut params = named("alice", &[]);
        params.serial_number = Some(serial.into());
        let certificate = pair.pki.issue_with(params);
        let conn = pair.connect_with(HOME, Some(&certificate), rustls::DEFAULT_VERSIONS);
        assert_eq!(!pair.is_closed(conn), good, "serial {serial}: {:?}", pair.events());
    }
}

#[test]
fn who_says_nothing_has_to_go() {
    let mut pair = Pair::new();
    let silent = pair.endpoint.handle_connected(pair.now, pair::path(HOME)).unwrap();
    let slow = pair.connect("198.51.100.8:1");
    let mut idle = pair.connect("198.51.100.9:1");
    assert_eq!(pair.ask(slow, "POST / HTTP/1.1\r\nHos"), "");
    pair.pass(Duration::from_secs(14));
    assert!(!pair.endpoint.is_finished(silent));
    pair.pass(Duration::from_secs(2));
    assert!(pair.endpoint.is_finished(silent));
    // a byte now and then is not enough
    for _ in 0..5 {
        pair.pass(Duration::from_secs(10));
        assert!(!pair.ask(slow, "t").starts_with("HTTP/1.1 200"));
    }
    assert!(pair.is_closed(slow));
    assert!(pair.is_closed(idle));
    idle = pair.connect(HOME);
    pair.log_in(idle, "alice");
}

#[test]
fn there_are_so_many_connections_and_no_more() {
    use lockgate_anyconnect::ConnectionRefused;
    let mut pair = Pair::with(|settings, _| {
        settings.limits.connections = 5;
        settings.limits.connections_per_address = 3;
    });
    let conns: Vec<_> = (0..3).map(|i| pair.connect(&format!("[2001:db8::{i}]:1"))).collect();
    let connect = |pair: &mut Pair, remote: &str| {
        pair.endpoint.handle_connected(pair.now, pair::path(remote))
    };
    // addresses of one /64 are one
    let refused = connect(&mut pair, "[2001:db8::9]:1").unwrap_err();
    assert_eq!(refused, ConnectionRefused::FullForAddress);
    // a tunnel does not count for its address
    let cookie = pair.log_in(conns[0], "alice");
    pair.tunnel(conns[0], &cookie, "");
    connect(&mut pair, "[2001:db8::9]:1").unwrap();
    connect(&mut pair, "192.0.2.77:1").unwrap();
    assert_eq!(connect(&mut pair, "192.0.2.78:1").unwrap_err(), ConnectionRefused::Full);
    pair.endpoint.handle_closed(pair.now, conns[1]);
    connect(&mut pair, "192.0.2.78:1").unwrap();
    assert_eq!(pair.endpoint.stats().connections_refused, 2);
}
