//! Answers.

use std::fmt::Write as _;

/// An answer that is being written. Header values must have no line ends, which is checked.
pub(crate) struct Response {
    head: String,
}

impl Response {
    /// With a status line.
    pub(crate) fn new(status: u16) -> Self {
        Self { head: format!("HTTP/1.1 {status} {}\r\n", phrase(status)) }
    }

    /// The beginning of a tunnel, in the words clients expect.
    pub(crate) fn connected() -> Self {
        Self { head: "HTTP/1.1 200 CONNECTED\r\n".to_owned() }
    }

    /// A header line.
    pub(crate) fn header(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        let start = self.head.len();
        write!(self.head, "{name}: {value}").expect("strings take everything");
        // a line end would begin a header of somebody else's choice
        let line: String = self.head.split_off(start).chars().filter(|c| !c.is_control()).collect();
        self.head.push_str(&line);
        self.head.push_str("\r\n");
        self
    }

    /// The whole, with its body.
    pub(crate) fn body(self, body: &str) -> Vec<u8> {
        let mut bytes = self.header("Content-Length", body.len()).end();
        bytes.extend_from_slice(body.as_bytes());
        bytes
    }

    /// The whole, of an answer to CONNECT, which has no body.
    pub(crate) fn end(mut self) -> Vec<u8> {
        self.head.push_str("\r\n");
        self.head.into_bytes()
    }
}

fn phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "Status",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_a_length_and_no_foreign_lines() {
        let bytes = Response::new(503).header("X-Reason", "full\r\nSet-Cookie: a=b").body("no");
        let text = String::from_utf8(bytes).unwrap();
        let want = "HTTP/1.1 503 Service Unavailable\r\nX-Reason: fullSet-Cookie: a=b\r\n\
                    Content-Length: 2\r\n\r\nno";
        assert_eq!(text, want);
    }
}
