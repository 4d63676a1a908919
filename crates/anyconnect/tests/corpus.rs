//! The corpus of requests: what clients send, and what must not be read in two ways, with the answers.
//!
//! `corpus.txt` has for each a name, the outcome and the request, between lines of `====`. Lines of a request
//! end in CRLF but the last one; `\xNN` is a byte, `COOKIE` the cookie of a login, and `*` as a
//! `Content-Length` the length of what follows the head. With `LOCKGATE_ANYCONNECT_CORPUS=write` the
//! outcomes are written anew, to be looked at before they are kept.

mod pair;

use std::{fmt::Write as _, io::Write as _};

use lockgate_anyconnect::Group;
use pair::{HOME, Pair};

fn bytes(lines: &str, cookie: &str) -> Vec<u8> {
    let text = lines.replace('\n', "\r\n").replace("COOKIE", cookie);
    let mut bytes = Vec::new();
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once("\\x") {
        bytes.extend(before.as_bytes());
        bytes.push(u8::from_str_radix(&after[..2], 16).expect("two digits"));
        rest = &after[2..];
    }
    bytes.extend(rest.as_bytes());
    let head = bytes.windows(4).position(|w| w == b"\r\n\r\n").map_or(bytes.len(), |at| at + 4);
    let star = bytes.windows(17).position(|w| w == b"Content-Length: *");
    if let Some(at) = star {
        let len = (bytes.len() - head).to_string();
        bytes.splice(at + 16..at + 17, len.into_bytes());
    }
    bytes
}

/// The answers in words.
fn outcome(request: &str) -> String {
    let mut pair = Pair::with(|settings, _| {
        let group = |name: &str| Group { name: name.into(), label: name.to_uppercase() };
        settings.groups = vec![group("admins"), group("staff"), group("guests")];
    });
    let conn = pair.connect(HOME);
    let cookie = pair.log_in(conn, "alice");
    pair.events();
    let conn = pair.connect(HOME);
    let request = bytes(request, &cookie);
    pair.client(conn).tls.writer().write_all(&request).unwrap();
    let answers = pair.ask(conn, "");
    let mut words = Vec::new();
    for answer in answers.split("HTTP/1.1 ").skip(1) {
        let status = &answer[..3];
        let value = |name: &str| {
            answer
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
                .unwrap_or("-")
        };
        words.push(if answer.starts_with("200 CONNECTED") {
            let dtls = match (value("X-DTLS-CipherSuite"), value("X-DTLS12-CipherSuite")) {
                ("-", newer) => newer,
                (older, _) => older,
            };
            format!("tunnel of {} bytes, DTLS {dtls}", value("X-CSTP-MTU"))
        } else if answer.contains("<auth id=\"success\">") {
            format!("{status} logged in")
        } else if answer.contains("<error") {
            format!("{status} error")
        } else if answer.contains("<form") {
            let selected = answer.split_once("\" selected").map(|(before, _)| before);
            let selected = selected.and_then(|before| before.rsplit('"').next()).unwrap_or("none");
            let dialect = if answer.contains("config-auth") { "document" } else { "form" };
            format!("{status} {dialect}, group {selected}")
        } else {
            status.to_owned()
        });
    }
    for event in pair.events() {
        if let lockgate_anyconnect::Event::LoginSucceeded { user, group, .. } = event {
            let _ =
                write!(words.last_mut().expect("an answer"), " as {user} of {}", group.unwrap());
        }
    }
    if words.is_empty() {
        words.push("nothing".to_owned());
    }
    if pair.is_closed(conn) {
        words.push("closed".to_owned());
    }
    words.join("; ")
}

#[test]
fn every_request_of_the_corpus_is_answered_as_it_was() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus.txt");
    let corpus = std::fs::read_to_string(path).expect("the corpus");
    let mut again = Vec::new();
    let mut wrong = Vec::new();
    for block in corpus.split("====\n").filter(|block| !block.is_empty()) {
        let (name, rest) = block.split_once('\n').expect("a name");
        let (expected, request) = rest.split_once('\n').expect("an outcome");
        // the block's own last line end is none of the request's
        let request = request.strip_suffix('\n').unwrap_or(request);
        let outcome = outcome(request);
        if outcome != expected {
            wrong.push(format!("{name}\n  is      {outcome}\n  was     {expected}"));
        }
        again.push(format!("{name}\n{outcome}\n{request}\n"));
    }
    if std::env::var("LOCKGATE_ANYCONNECT_CORPUS").is_ok_and(|mode| mode == "write") {
        std::fs::write(path, again.join("====\n")).unwrap();
        return;
    }
    assert!(again.len() >= 40, "{} requests", again.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
