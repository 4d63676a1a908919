//! Handshake messages and alerts (RFC 6347 §4.2, RFC 5246 §7): what a server reads and writes.

use crate::record::{ContentType, HEADER_LEN, Header, VERSION};

/// Bytes of a handshake message's header (RFC 6347 §4.2.2).
pub const MESSAGE_HEADER_LEN: usize = 12;
/// The version a HelloVerifyRequest has, whatever will be agreed on (RFC 6347 §4.2.1).
const DTLS_1_0: u16 = 0xfeff;
/// A suite that says what the extension renegotiation_info says (RFC 5746 §3.3).
const RENEGOTIATION_SCSV: u16 = 0x00ff;
const EXTENDED_MASTER_SECRET: u16 = 23;
const RENEGOTIATION_INFO: u16 = 0xff01;
/// The most extensions of a ClientHello that are looked at.
const MAX_EXTENSIONS: usize = 64;

/// Numbers of handshake messages (RFC 5246 §7.4, RFC 6347 §4.3.2).
pub mod kind {
    #![allow(missing_docs, reason = "the names are the RFC's")]
    pub const CLIENT_HELLO: u8 = 1;
    pub const SERVER_HELLO: u8 = 2;
    pub const HELLO_VERIFY_REQUEST: u8 = 3;
    pub const SERVER_HELLO_DONE: u8 = 14;
    pub const CLIENT_KEY_EXCHANGE: u8 = 16;
    pub const FINISHED: u8 = 20;
}

/// Numbers of alerts (RFC 5246 §7.2).
pub mod alert {
    #![allow(missing_docs, reason = "the names are the RFC's")]
    pub const CLOSE_NOTIFY: u8 = 0;
    pub const HANDSHAKE_FAILURE: u8 = 40;
    pub const ILLEGAL_PARAMETER: u8 = 47;
    pub const PROTOCOL_VERSION: u8 = 70;
    pub const NO_RENEGOTIATION: u8 = 100;
    pub const UNKNOWN_PSK_IDENTITY: u8 = 115;
    pub const WARNING: u8 = 1;
    pub const FATAL: u8 = 2;
}

/// Bytes that are no message, or not one that we take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end inside of something.
    #[error("the message ends inside of {0}")]
    Truncated(&'static str),
    /// A length does not fit what is there, or is not allowed.
    #[error("the length of {0} does not fit")]
    Length(&'static str),
    /// An extension stands there twice.
    #[error("extension {0} stands there twice")]
    Repeated(u16),
    /// More of something than we take.
    #[error("too many {0}")]
    TooMany(&'static str),
    /// The message comes in fragments.
    #[error("the message comes in fragments")]
    Fragmented,
    /// There is no record in the datagram.
    #[error("the datagram has no whole record")]
    NoRecord,
}

/// A handshake message that came in one piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// What it is; see [`kind`].
    pub kind: u8,
    /// Its number in the handshake.
    pub number: u16,
    /// With its header: what the transcript has of it.
    pub whole: &'a [u8],
}

impl<'a> Message<'a> {
    /// The message at the front of a record's content, and what follows it.
    pub fn decode(content: &'a [u8]) -> Result<(Self, &'a [u8]), DecodeError> {
        let header = content.first_chunk::<MESSAGE_HEADER_LEN>();
        let &[kind, l0, l1, l2, n0, n1, o0, o1, o2, f0, f1, f2] =
            header.ok_or(DecodeError::Truncated("the header of a message"))?;
        let [len, offset, fragment] = [[l0, l1, l2], [o0, o1, o2], [f0, f1, f2]]
            .map(|[a, b, c]| u32::from_be_bytes([0, a, b, c]));
        if offset != 0 || fragment != len {
            return Err(DecodeError::Fragmented);
        }
        let end = MESSAGE_HEADER_LEN + len as usize;
        let parts = content.split_at_checked(end);
        let (whole, rest) = parts.ok_or(DecodeError::Truncated("a message"))?;
        Ok((Self { kind, number: u16::from_be_bytes([n0, n1]), whole }, rest))
    }

    /// Without its header.
    pub fn body(&self) -> &'a [u8] {
        &self.whole[MESSAGE_HEADER_LEN..]
    }
}

/// A message with its header.
pub fn encode(kind: u8, number: u16, body: &[u8]) -> Vec<u8> {
    let [_, l0, l1, l2] = (body.len() as u32).to_be_bytes();
    let [n0, n1] = number.to_be_bytes();
    let mut message = vec![kind, l0, l1, l2, n0, n1, 0, 0, 0, l0, l1, l2];
    message.extend_from_slice(body);
    message
}

/// A record in clear, in epoch 0.
pub fn clear_record(content: ContentType, number: u64, text: &[u8]) -> Vec<u8> {
    let mut record = vec![0; HEADER_LEN];
    let len = text.len() as u16;
    Header { content: content as u8, version: VERSION, epoch: 0, number, len }.write(&mut record);
    record.extend_from_slice(text);
    record
}

/// The first message of a client (RFC 5246 §7.4.1.2, RFC 6347 §4.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientHello<'a> {
    /// The highest version it speaks; higher ones have lower numbers.
    pub version: u16,
    /// Its random number.
    pub random: &'a [u8; 32],
    /// Session ID; up to 32 bytes.
    pub session_id: &'a [u8],
    /// Cookie; empty at first.
    pub cookie: &'a [u8],
    suites: &'a [u8],
    /// Compression methods; 0 is none.
    pub compressions: &'a [u8],
    /// Whether it offers the extended master secret (RFC 7627).
    pub extended_master_secret: bool,
    /// Whether it knows RFC 5746, by extension or by suite.
    pub secure_renegotiation: bool,
    /// Whether it says that it continues a connection (RFC 5746 §3.5).
    pub renegotiates: bool,
}

impl<'a> ClientHello<'a> {
    /// From the body of a message.
    pub fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader(body);
        let version = u16::from_be_bytes(*reader.array("the version")?);
        let random = reader.array("the random number")?;
        let session_id = reader.short("the session ID")?;
        if session_id.len() > 32 {
            return Err(DecodeError::Length("the session ID"));
        }
        let cookie = reader.short("the cookie")?;
        let suites = reader.long("the cipher suites")?;
        if suites.is_empty() || suites.len() % 2 != 0 {
            return Err(DecodeError::Length("the cipher suites"));
        }
        let compressions = reader.short("the compression methods")?;
        if compressions.is_empty() {
            return Err(DecodeError::Length("the compression methods"));
        }
        let mut hello = Self {
            version,
            random,
            session_id,
            cookie,
            suites,
            compressions,
            extended_master_secret: false,
            secure_renegotiation: false,
            renegotiates: false,
        };
        hello.secure_renegotiation = hello.suites().any(|suite| suite == RENEGOTIATION_SCSV);
        if !reader.0.is_empty() {
            let extensions = reader.long("the extensions")?;
            hello.read_extensions(extensions)?;
        }
        if reader.0.is_empty() { Ok(hello) } else { Err(DecodeError::Length("the extensions")) }
    }

    fn read_extensions(&mut self, extensions: &[u8]) -> Result<(), DecodeError> {
        let mut reader = Reader(extensions);
        let mut seen = [0; MAX_EXTENSIONS];
        let mut count = 0;
        while !reader.0.is_empty() {
            let kind = u16::from_be_bytes(*reader.array("an extension")?);
            let data = reader.long("an extension")?;
            if seen[..count].contains(&kind) {
                return Err(DecodeError::Repeated(kind));
            }
            *seen.get_mut(count).ok_or(DecodeError::TooMany("extensions"))? = kind;
            count += 1;
            match kind {
                EXTENDED_MASTER_SECRET => self.extended_master_secret = true,
                RENEGOTIATION_INFO => {
                    self.secure_renegotiation = true;
                    self.renegotiates = data != [0];
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The numbers of the suites it offers, the one it likes best first.
    pub fn suites(&self) -> impl Iterator<Item = u16> + 'a {
        let (pairs, _) = self.suites.as_chunks::<2>();
        pairs.iter().map(|pair| u16::from_be_bytes(*pair))
    }

    /// What a cookie covers: everything that must be the same the second time.
    pub(crate) fn covered(&self) -> [&'a [u8]; 3] {
        [self.random, self.session_id, self.suites]
    }
}

/// Body of a HelloVerifyRequest (RFC 6347 §4.2.1).
pub(crate) fn hello_verify_request(cookie: &[u8]) -> Vec<u8> {
    let mut body = DTLS_1_0.to_be_bytes().to_vec();
    body.push(cookie.len() as u8);
    body.extend_from_slice(cookie);
    body
}

/// Body of a ServerHello (RFC 5246 §7.4.1.3).
pub(crate) fn server_hello(
    random: &[u8; 32],
    session_id: &[u8],
    suite: u16,
    secure_renegotiation: bool,
    extended_master_secret: bool,
) -> Vec<u8> {
    let mut body = VERSION.to_be_bytes().to_vec();
    body.extend_from_slice(random);
    body.push(session_id.len() as u8);
    body.extend_from_slice(session_id);
    body.extend_from_slice(&suite.to_be_bytes());
    body.push(0);
    let mut extensions = Vec::new();
    if secure_renegotiation {
        extensions.extend_from_slice(&RENEGOTIATION_INFO.to_be_bytes());
        extensions.extend_from_slice(&[0, 1, 0]);
    }
    if extended_master_secret {
        extensions.extend_from_slice(&EXTENDED_MASTER_SECRET.to_be_bytes());
        extensions.extend_from_slice(&[0, 0]);
    }
    if !extensions.is_empty() {
        body.extend_from_slice(&(extensions.len() as u16).to_be_bytes());
        body.extend_from_slice(&extensions);
    }
    body
}

/// The identity in a ClientKeyExchange with PSK (RFC 4279 §2).
pub(crate) fn psk_identity(body: &[u8]) -> Result<&[u8], DecodeError> {
    let mut reader = Reader(body);
    let identity = reader.long("the PSK identity")?;
    if reader.0.is_empty() { Ok(identity) } else { Err(DecodeError::Length("the PSK identity")) }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self, what: &'static str) -> Result<&'a [u8; N], DecodeError> {
        let (array, rest) = self.0.split_first_chunk().ok_or(DecodeError::Truncated(what))?;
        self.0 = rest;
        Ok(array)
    }

    fn take(&mut self, len: usize, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let (bytes, rest) = self.0.split_at_checked(len).ok_or(DecodeError::Truncated(what))?;
        self.0 = rest;
        Ok(bytes)
    }

    /// Bytes behind a length of one byte.
    fn short(&mut self, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let [len] = *self.array(what)?;
        self.take(len.into(), what)
    }

    /// Bytes behind a length of two.
    fn long(&mut self, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let len = u16::from_be_bytes(*self.array(what)?);
        self.take(len.into(), what)
    }
}
