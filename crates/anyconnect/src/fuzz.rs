//! The parsers of a login, as targets of a fuzzer reach them. Each takes any bytes, panics when something does not hold
//! that must, and says whether the bytes were understood.

use crate::{
    form::{Answers, MAX_VALUE},
    http::{HttpError, Parser, Request},
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
