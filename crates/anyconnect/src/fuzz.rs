//! The parsers of a login and the records of a tunnel, as targets of a fuzzer reach them. Each takes any
//! bytes, panics when something does not hold that must, and says whether the bytes were understood.

use crate::{
    form::{Answers, MAX_VALUE},
    http::{HttpError, Parser, Request},
    records::{Opened, Records, record_len},
    tunnel::TunnelRequest,
    xml::ConfigAuth,
};

/// Requests of HTTP, one after the other. They are the same whatever the pieces are they come in: the first byte says how
/// long those are.
pub fn http(bytes: &[u8]) -> bool {
    let Some((piece, bytes)) = bytes.split_first() else { return false };
    let whole = requests(bytes, usize::MAX);
    let pieces = requests(bytes, usize::from(*piece) + 1);
    assert_eq!(told(&whole), told(&pieces), "in pieces of {}", usize::from(*piece) + 1);
    for request in &whole.0 {
        let tunnel = TunnelRequest::parse(request);
        assert!(tunnel.version.len() <= 256 && tunnel.hostname.len() <= 256, "64 characters");
        assert!(!tunnel.hostname.contains(char::is_control), "nothing unprintable");
        let _ = request.cookie("webvpn");
    }
    !whole.0.is_empty()
}

/// A document or a form of a login.
pub fn login(bytes: &[u8]) -> bool {
    let fits = |answers: &Answers| {
        assert!(answers.user.len() <= MAX_VALUE && answers.password.len() <= MAX_VALUE);
        assert!(answers.group.as_ref().is_none_or(|group| group.len() <= MAX_VALUE));
    };
    let document = ConfigAuth::parse(bytes);
    if let Ok(document) = &document {
        fits(&document.answers);
    }
    let form = Answers::from_form(bytes);
    if let Ok(form) = &form {
        fits(form);
    }
    document.is_ok()
}

/// Records of a tunnel's TLS, by a script: what strangers send is refused, whatever the peer says under its key is
/// data as it was said, something for us with a short answer, or the end.
pub fn records(bytes: &[u8]) -> bool {
    let Some((choice, mut script)) = bytes.split_first() else { return false };
    let [mut ours, mut theirs] = Records::pair(choice & 1 != 0, choice & 2 != 0);
    let mut heard = false;
    while let [step, kind, len, rest @ ..] = script {
        let (text, rest) = rest.split_at(rest.len().min((*len).into()));
        script = rest;
        let (mut said, mut answer) = (Vec::new(), Vec::new());
        match step % 4 {
            0 => {
                assert!(
                    ours.open(&mut text.to_vec(), &mut answer).is_err(),
                    "nobody knows the key"
                );
                return heard;
            }
            // nobody here says nothing
            1 if text.is_empty() => continue,
            1 => {
                ours.seal(&[text], &mut said);
                assert!(hears(&mut theirs, &mut said, text), "not what we say");
                continue;
            }
            2 => theirs.say_anything(*kind, text, &mut said),
            _ => {
                theirs.say_anything(*kind, text, &mut said);
                let at = usize::from(*kind) % (said.len() - 5) + 5;
                said[at] ^= 1 << (step >> 5);
                assert!(ours.open(&mut said, &mut answer).is_err(), "it is damaged");
                return heard;
            }
        }
        match ours.open(&mut said, &mut answer) {
            Ok(Opened::Data(at)) => {
                assert!(!at.is_empty() && text.starts_with(&said[at]));
                heard = true;
            }
            Ok(Opened::Ours) => {}
            Ok(Opened::Closed) | Err(_) => return heard,
        }
        assert!(answer.len() <= 64, "{} bytes of answer", answer.len());
        if !hears(&mut theirs, &mut answer, &[]) {
            // it has made us answer too often in a row
            return heard;
        }
    }
    heard
}

/// Whether the other end takes our records, which carry this text.
fn hears(theirs: &mut Records, mut said: &mut [u8], text: &[u8]) -> bool {
    let mut heard = Vec::new();
    while let Some(len) = record_len(said) {
        let (record, rest) = said.split_at_mut(len);
        match theirs.open(record, &mut Vec::new()) {
            Ok(Opened::Data(at)) => heard.extend_from_slice(&record[at]),
            Ok(Opened::Ours) => {}
            Ok(Opened::Closed) | Err(_) => return false,
        }
        said = rest;
    }
    assert_eq!(heard, text);
    true
}

fn requests(bytes: &[u8], piece: usize) -> (Vec<Request>, Option<HttpError>) {
    let (mut parser, mut requests) = (Parser::default(), Vec::new());
    let mut rest = bytes;
    loop {
        let len = rest.len().min(piece).min(parser.room());
        let (now, later) = rest.split_at(len);
        parser.push(now);
        rest = later;
        loop {
            match parser.next() {
                Ok(Some(request)) => requests.push(request),
                Ok(None) => break,
                Err(error) => return (requests, Some(error)),
            }
        }
        if rest.is_empty() {
            return (requests, None);
        }
        assert!(parser.room() > 0, "it takes no more, and does not say why");
    }
}

/// What must not depend on the pieces.
fn told((requests, error): &(Vec<Request>, Option<HttpError>)) -> String {
    let each =
        |r: &Request| format!("{:?} {:?} {} {:?}", r.method, r.target, r.keep_alive, *r.body);
    let requests: Vec<_> = requests.iter().map(each).collect();
    format!("{requests:?} {error:?}")
}
