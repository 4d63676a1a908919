//! Requests, from bytes as they come.

use zeroize::Zeroizing;

/// The longest request line with headers, in bytes.
const MAX_HEAD: usize = 16 * 1024;
/// The most header lines.
const MAX_HEADERS: usize = 64;
/// The longest body, in bytes: a form, or a document of a few kilobytes.
const MAX_BODY: usize = 32 * 1024;
/// The most digits of a chunk's size.
const MAX_CHUNK_SIZE: usize = 8;
const LINE_END: &[u8] = b"\r\n";

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Post,
    Connect,
    /// Another one, which we do not serve.
    Other,
}

/// A whole request. Its body is wiped when dropped, because passwords come in bodies.
pub(crate) struct Request {
    pub(crate) method: Method,
    /// The target as it was sent, with a query if there is one.
    pub(crate) target: String,
    headers: Vec<(String, Zeroizing<String>)>,
    pub(crate) body: Zeroizing<Vec<u8>>,
    /// Whether another request may follow.
    pub(crate) keep_alive: bool,
}

impl Request {
    /// The first value of a header; `name` in lower case.
    pub(crate) fn header<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.all(name).next()
    }

    /// Every value of a header; `name` in lower case.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The value of a cookie.
    pub(crate) fn cookie<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        let pairs = self.all("cookie").flat_map(|line| line.split(';'));
        pairs.filter_map(|pair| pair.trim().split_once('=')).find(|(n, _)| *n == name).map(|p| p.1)
    }
}

/// Bytes are no request that we serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// Request line and headers are longer than 16 KiB, or more than 64 headers.
    #[error("the request line and headers are too long")]
    HeadTooLong,
    /// The body is longer than 32 KiB.
    #[error("the body is too long")]
    BodyTooLong,
    /// The request line or a header is malformed.
    #[error("the request line or a header is malformed")]
    Malformed,
    /// Not HTTP/1.0 or 1.1.
    #[error("the version of HTTP is not 1.0 or 1.1")]
    Version,
    /// The length of the body is missing, said twice, or no number.
    #[error("the length of the body is ambiguous")]
    Length,
    /// A transfer coding other than `chunked`.
    #[error("the transfer coding is not supported")]
    Coding,
    /// A chunk of the body is malformed.
    #[error("a chunk of the body is malformed")]
    Chunk,
    /// HTTP/1.1 without a host, or with several.
    #[error("there is not exactly one Host")]
    Host,
}

impl HttpError {
    /// The status code of the answer.
    pub(crate) fn status(self) -> u16 {
        match self {
            Self::HeadTooLong => 431,
            Self::BodyTooLong => 413,
            Self::Version => 505,
            Self::Coding => 501,
            Self::Malformed | Self::Length | Self::Chunk | Self::Host => 400,
        }
    }
}

/// Makes requests from bytes. After an error there is no next request.
#[derive(Default)]
pub(crate) struct Parser {
    buffer: Zeroizing<Vec<u8>>,
    /// Bytes of `buffer` in which the end of the head was looked for.
    scanned: usize,
    /// A request whose body is coming, and how.
    open: Option<(Box<Request>, Body)>,
}

#[derive(Clone, Copy, PartialEq)]
enum Body {
    /// So many bytes are to come.
    Length(usize),
    ChunkSize,
    ChunkData(usize),
    ChunkEnd,
    LastEnd,
}

impl Parser {
    /// How many bytes it takes now.
    pub(crate) fn room(&self) -> usize {
        (MAX_HEAD + LINE_END.len()).saturating_sub(self.buffer.len())
    }

    /// Takes bytes, at most [`Self::room`].
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        debug_assert!(bytes.len() <= self.room(), "invariant: there is room");
        let wanted = self.buffer.len() + bytes.len();
        if wanted > self.buffer.capacity() {
            // grown by hand: what is left behind would not be wiped
            let mut larger = Vec::with_capacity(wanted.next_power_of_two().max(1024));
            larger.extend_from_slice(&self.buffer);
            self.buffer = Zeroizing::new(larger);
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether a request has begun and not ended.
    pub(crate) fn is_amid(&self) -> bool {
        self.open.is_some() || !self.buffer.is_empty()
    }

    /// The next whole request.
    pub(crate) fn next(&mut self) -> Result<Option<Request>, HttpError> {
        if self.open.is_none() {
            // empty lines before a request are to be ignored (RFC 9112 §2.2), in whatever pieces they come
            while self.scanned < LINE_END.len() && self.buffer.starts_with(LINE_END) {
                self.consume(LINE_END.len());
            }
            let Some(len) = self.head_len()? else { return Ok(None) };
            let (mut request, body) = head(&self.buffer[..len])?;
            if let Body::Length(len) = body {
                request.body.reserve_exact(len);
            }
            self.consume(len);
            self.open = Some((Box::new(request), body));
        }
        self.fill()?;
        match self.open.take_if(|(_, body)| *body == Body::Length(0)) {
            Some((request, _)) => Ok(Some(*request)),
            None => Ok(None),
        }
    }

    /// What came behind the last request.
    pub(crate) fn into_rest(mut self) -> Zeroizing<Vec<u8>> {
        std::mem::take(&mut self.buffer)
    }

    fn consume(&mut self, len: usize) {
        self.buffer.drain(..len);
        self.scanned = 0;
        if self.buffer.is_empty() {
            // wiped, and given back: most clients send little after this
            self.buffer = Zeroizing::default();
        }
    }

    fn head_len(&mut self) -> Result<Option<usize>, HttpError> {
        let from = self.scanned.saturating_sub(3);
        let found = self.buffer[from..].windows(4).position(|w| w == b"\r\n\r\n");
        self.scanned = self.buffer.len();
        match found {
            Some(at) if from + at + 4 <= MAX_HEAD => Ok(Some(from + at + 4)),
            None if self.buffer.len() <= MAX_HEAD => Ok(None),
            Some(_) | None => Err(HttpError::HeadTooLong),
        }
    }

    /// Moves what came of the body.
    fn fill(&mut self) -> Result<(), HttpError> {
        let Some((request, body)) = &mut self.open else { return Ok(()) };
        let mut at = 0;
        loop {
            let rest = &self.buffer[at..];
            match *body {
                Body::Length(0) => break,
                Body::Length(wanted) | Body::ChunkData(wanted) => {
                    let len = wanted.min(rest.len());
                    grow(&mut request.body, &rest[..len]);
                    at += len;
                    let left = wanted - len;
                    *body = match *body {
                        Body::ChunkData(_) if left == 0 => Body::ChunkEnd,
                        Body::ChunkData(_) => Body::ChunkData(left),
                        _ => Body::Length(left),
                    };
                    if left > 0 {
                        break;
                    }
                }
                Body::ChunkSize => {
                    let digits = rest.iter().take_while(|b| b.is_ascii_hexdigit()).count();
                    let end = &rest[digits..rest.len().min(digits + LINE_END.len())];
                    if digits > MAX_CHUNK_SIZE || *end != LINE_END[..end.len()] {
                        return Err(HttpError::Chunk);
                    }
                    if end.len() < LINE_END.len() {
                        break;
                    }
                    let len = chunk_size(&rest[..digits])?;
                    if request.body.len() + len > MAX_BODY {
                        return Err(HttpError::BodyTooLong);
                    }
                    at += digits + LINE_END.len();
                    *body = if len == 0 { Body::LastEnd } else { Body::ChunkData(len) };
                }
                Body::ChunkEnd | Body::LastEnd => {
                    if rest.len() < LINE_END.len() {
                        break;
                    }
                    // after the last chunk, anything else is a trailer
                    if !rest.starts_with(LINE_END) {
                        return Err(HttpError::Chunk);
                    }
                    at += LINE_END.len();
                    *body = match *body {
                        Body::ChunkEnd => Body::ChunkSize,
                        _ => Body::Length(0),
                    };
                }
            }
        }
        if at > 0 {
            self.consume(at);
        }
        Ok(())
    }
}

/// Appends; what is left behind by growing is wiped.
fn grow(body: &mut Zeroizing<Vec<u8>>, more: &[u8]) {
    let wanted = body.len() + more.len();
    if wanted > body.capacity() {
        let mut larger = Vec::with_capacity(wanted.next_power_of_two());
        larger.extend_from_slice(body);
        *body = Zeroizing::new(larger);
    }
    body.extend_from_slice(more);
}

fn chunk_size(digits: &[u8]) -> Result<usize, HttpError> {
    let text = std::str::from_utf8(digits).map_err(|_| HttpError::Chunk)?;
    usize::from_str_radix(text, 16).map_err(|_| HttpError::Chunk)
}

fn head(bytes: &[u8]) -> Result<(Request, Body), HttpError> {
    let bare = |(at, byte): (usize, &u8)| match byte {
        b'\n' => at == 0 || bytes[at - 1] != b'\r',
        b'\r' => bytes.get(at + 1) != Some(&b'\n'),
        _ => false,
    };
    if bytes.iter().enumerate().any(bare) {
        return Err(HttpError::Malformed);
    }
    let mut lines = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut lines);
    match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(len)) if len == bytes.len() => {}
        Ok(_) => return Err(HttpError::Malformed),
        Err(httparse::Error::TooManyHeaders) => return Err(HttpError::HeadTooLong),
        Err(httparse::Error::Version) => return Err(HttpError::Version),
        Err(_) => return Err(HttpError::Malformed),
    }
    let method = match parsed.method {
        Some("GET") => Method::Get,
        Some("POST") => Method::Post,
        Some("CONNECT") => Method::Connect,
        _ => Method::Other,
    };
    let mut headers = Vec::with_capacity(parsed.headers.len());
    for line in parsed.headers.iter() {
        let value = std::str::from_utf8(line.value).map_err(|_| HttpError::Malformed)?;
        headers.push((line.name.to_ascii_lowercase(), Zeroizing::new(value.trim().to_owned())));
    }
    let target = parsed.path.unwrap_or_default().to_owned();
    let newer = parsed.version == Some(1);
    let mut request =
        Request { method, target, headers, body: Zeroizing::default(), keep_alive: newer };
    if newer && request.all("host").count() != 1 {
        return Err(HttpError::Host);
    }
    let closes = |value: &str| value.split(',').any(|v| v.trim().eq_ignore_ascii_case("close"));
    if request.all("connection").any(closes) {
        request.keep_alive = false;
    }
    let body = body_of(&request, newer)?;
    Ok((request, body))
}

/// How the body comes (RFC 9112 §6.3).
fn body_of(request: &Request, newer: bool) -> Result<Body, HttpError> {
    let mut lengths = request.all("content-length");
    let length = lengths.next();
    if lengths.next().is_some() {
        return Err(HttpError::Length);
    }
    let mut codings = request.all("transfer-encoding");
    let body = match (codings.next(), length) {
        (Some(_), Some(_)) => return Err(HttpError::Length),
        (Some(coding), None) => {
            if !newer || codings.next().is_some() || !coding.eq_ignore_ascii_case("chunked") {
                return Err(HttpError::Coding);
            }
            Body::ChunkSize
        }
        (None, Some(length)) => {
            // a sign or a list would be a number to some
            if length.is_empty() || !length.bytes().all(|b| b.is_ascii_digit()) {
                return Err(HttpError::Length);
            }
            match length.parse() {
                Ok(length) if length <= MAX_BODY => Body::Length(length),
                Ok(_) | Err(_) => return Err(HttpError::BodyTooLong),
            }
        }
        (None, None) => Body::Length(0),
    };
    // what follows CONNECT is the tunnel (RFC 9110 §9.3.6)
    if request.method == Method::Connect && body != Body::Length(0) {
        return Err(HttpError::Length);
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn feed(parser: &mut Parser, mut bytes: &[u8]) -> Result<Vec<Request>, HttpError> {
        let mut requests = Vec::new();
        loop {
            let len = parser.room().min(bytes.len());
            parser.push(&bytes[..len]);
            bytes = &bytes[len..];
            match parser.next()? {
                Some(request) => requests.push(request),
                None if bytes.is_empty() => return Ok(requests),
                None => {}
            }
        }
    }

    fn all(bytes: &[u8]) -> Result<Vec<Request>, HttpError> {
        feed(&mut Parser::default(), bytes)
    }

    fn error(bytes: &[u8]) -> HttpError {
        match all(bytes) {
            Err(error) => error,
            Ok(requests) => panic!("{} requests", requests.len()),
        }
    }

    const POST: &[u8] = b"POST /auth?x=1 HTTP/1.1\r\nHost: gw\r\nCookie: a=1; webvpn=secret\r\n\
        Content-Length: 5\r\n\r\nhello";
    const CHUNKED: &[u8] = b"POST / HTTP/1.1\r\nHost: gw\r\nTransfer-Encoding: Chunked\r\n\r\n\
        3\r\nhel\r\n002\r\nlo\r\n0\r\n\r\n";

    #[test]
    fn requests_come_whole_in_any_pieces() {
        for text in [POST, CHUNKED] {
            for size in 1..text.len() {
                let mut parser = Parser::default();
                let mut requests = Vec::new();
                // pipelined: the next begins in the same piece
                for piece in [text, text].concat().chunks(size) {
                    requests.extend(feed(&mut parser, piece).unwrap());
                }
                assert_eq!(requests.len(), 2, "pieces of {size}");
                for request in &requests {
                    assert_eq!(request.method, Method::Post);
                    assert_eq!(*request.body, b"hello");
                    assert!(request.keep_alive);
                }
                assert!(!parser.is_amid());
            }
        }
        let request = all(POST).unwrap().remove(0);
        assert_eq!(request.target, "/auth?x=1");
        assert_eq!(request.header("host"), Some("gw"));
        assert_eq!(request.cookie("webvpn"), Some("secret"));
        assert_eq!(request.cookie("web"), None);
    }

    #[test]
    fn what_follows_connect_is_kept() {
        let mut parser = Parser::default();
        parser.push(b"CONNECT /t HTTP/1.1\r\nHost: gw\r\n\r\nSTF\x01rest");
        let request = parser.next().unwrap().unwrap();
        assert_eq!((request.method, request.target.as_str()), (Method::Connect, "/t"));
        assert_eq!(*parser.into_rest(), b"STF\x01rest");
    }

    #[test]
    fn old_clients_and_close() {
        let one = |text: &[u8]| all(text).unwrap().remove(0).keep_alive;
        assert!(!one(b"GET / HTTP/1.0\r\n\r\n"));
        assert!(!one(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: foo, Close\r\n\r\n"));
        assert!(one(b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        let head = |lines: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n").into_bytes();
        for (lines, want) in [
            ("Content-Length: 1\r\nContent-Length: 1\r\n", HttpError::Length),
            ("Content-Length: +1\r\n", HttpError::Length),
            ("Content-Length: 1, 1\r\n", HttpError::Length),
            ("Content-Length: \r\n", HttpError::Length),
            ("Content-Length: 0x1\r\n", HttpError::Length),
            ("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", HttpError::Length),
            ("Transfer-Encoding: chunked, identity\r\n", HttpError::Coding),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", HttpError::Coding),
            ("Transfer-Encoding: gzip\r\n", HttpError::Coding),
            ("Content-Length : 1\r\n", HttpError::Malformed),
            ("A: b\r\n c\r\n", HttpError::Malformed),
            ("A: b\nContent-Length: 1\r\n", HttpError::Malformed),
            ("A: b\rc\r\n", HttpError::Malformed),
            ("A: \0\r\n", HttpError::Malformed),
            ("A: \u{fc}\r\n", HttpError::Malformed),
            ("no colon\r\n", HttpError::Malformed),
            ("Host: b\r\n", HttpError::Host),
        ] {
            let mut text = head(lines);
            if lines.contains('\u{fc}') {
                // Latin-1, as old clients would send it
                text = text.iter().filter(|b| **b != 0xc3).copied().collect();
            }
            assert_eq!(error(&text), want, "{lines:?}");
        }
        let connect = b"CONNECT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx";
        assert_eq!(error(connect), HttpError::Length);
        assert_eq!(error(b"GET / HTTP/1.1\r\n\r\n"), HttpError::Host);
        assert_eq!(error(b"GET / HTTP/2.0\r\n\r\n"), HttpError::Version);
        let chunks = |body: &str| {
            let text = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
            error(format!("{text}{body}").as_bytes())
        };
        for body in [
            "g\r\n",
            "\r\n",
            "1;a=b\r\nx\r\n",
            "1\r\nxx\r\n",
            "-1\r\n",
            "000000001\r\n",
            "1\nx",
            " 1\r\nx\r\n",
            "0\r\nTrailer: a\r\n\r\n",
        ] {
            assert_eq!(chunks(body), HttpError::Chunk, "{body:?}");
        }
    }

    #[test]
    fn long_requests_are_refused_before_they_cost() {
        let mut long = b"GET / HTTP/1.1\r\nHost: a\r\nA: ".to_vec();
        long.resize(MAX_HEAD + 1, b'a');
        assert_eq!(error(&long), HttpError::HeadTooLong);
        let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "a: b\r\n".repeat(MAX_HEADERS));
        assert_eq!(error(many.as_bytes()), HttpError::HeadTooLong);
        let post = |lines: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n");
        let body = post(&format!("Content-Length: {}", MAX_BODY + 1));
        assert_eq!(error(body.as_bytes()), HttpError::BodyTooLong);
        let body = post("Content-Length: 99999999999999999999999999");
        assert_eq!(error(body.as_bytes()), HttpError::BodyTooLong);
        let body = post("Transfer-Encoding: chunked") + "ffffffff\r\n";
        assert_eq!(error(body.as_bytes()), HttpError::BodyTooLong);
        // and what just fits is taken
        let fits = post(&format!("Content-Length: {MAX_BODY}")) + &"x".repeat(MAX_BODY);
        assert_eq!(all(fits.as_bytes()).unwrap()[0].body.len(), MAX_BODY);
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_request_or_an_error(
            bytes in proptest::collection::vec(any::<u8>(), 0..600),
            from in 0..POST.len(), noise in any::<u8>(),
        ) {
            let _ = all(&bytes);
            for text in [POST, CHUNKED] {
                let mut text = text.to_vec();
                let at = from % text.len();
                text[at] = noise;
                let _ = all(&text);
                let _ = all(&[&text[..at], &bytes].concat());
            }
        }

        #[test]
        fn pieces_do_not_matter(
            cuts in proptest::collection::vec(0..CHUNKED.len(), 0..6), noise in any::<u8>(), at in 0..CHUNKED.len(),
        ) {
            let mut text = CHUNKED.to_vec();
            text[at] = noise;
            let whole = all(&text).map(|r| r.iter().map(|r| r.body.to_vec()).collect::<Vec<_>>());
            let mut cuts = cuts;
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let mut parser = Parser::default();
            let mut pieces = Ok(Vec::new());
            for pair in cuts.windows(2) {
                match feed(&mut parser, &text[pair[0]..pair[1]]) {
                    Ok(more) => if let Ok(all) = &mut pieces {
                        all.extend(more.iter().map(|r| r.body.to_vec()));
                    },
                    Err(error) => { pieces = Err(error); break; }
                }
            }
            prop_assert_eq!(whole, pieces);
        }
    }
}
