//! CSTP frames: packets and control messages within TLS, and the same types within DTLS.
//!
//! In TLS a frame has eight bytes before its payload: `STF`, 1, the payload's length, the type, 0. In
//! DTLS the type is the only byte before it, as a datagram has its length anyway. Clients want each
//! frame in a TLS record of its own. Compression is never agreed on, so what comes compressed is
//! refused. See draft-mavrogiannopoulos-openconnect-04 §2.2.

use std::fmt;

/// Bytes before a payload in TLS.
pub const HEADER_LEN: usize = 8;

/// The longest payload in bytes: what fits a TLS record (RFC 8446 §5.1) with its header.
pub const MAX_PAYLOAD: usize = 16_384 - HEADER_LEN;

const MAGIC: [u8; 4] = *b"STF\x01";

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An IP packet.
    Data,
    /// Are you there? Answered by a response with the same payload.
    DpdRequest,
    /// Yes.
    DpdResponse,
    /// Goodbye: a byte and a text.
    Disconnect,
    /// Nothing; keeps what is between the ends from forgetting them.
    Keepalive,
    /// The gateway ends it.
    Terminate,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::Data,
        Self::DpdRequest,
        Self::DpdResponse,
        Self::Disconnect,
        Self::Keepalive,
        Self::Terminate,
    ];

    /// The number on the wire.
    pub const fn number(self) -> u8 {
        match self {
            Self::Data => 0,
            Self::DpdRequest => 3,
            Self::DpdResponse => 4,
            Self::Disconnect => 5,
            Self::Keepalive => 7,
            Self::Terminate => 9,
        }
    }

    /// By the number on the wire.
    pub const fn from_number(number: u8) -> Result<Self, FrameError> {
        Ok(match number {
            0 => Self::Data,
            3 => Self::DpdRequest,
            4 => Self::DpdResponse,
            5 => Self::Disconnect,
            7 => Self::Keepalive,
            8 => return Err(FrameError::Compressed),
            9 => Self::Terminate,
            _ => return Err(FrameError::Kind(number)),
        })
    }

    /// The bytes before a payload of `len` bytes, at most [`MAX_PAYLOAD`].
    pub fn header(self, len: usize) -> [u8; HEADER_LEN] {
        debug_assert!(len <= MAX_PAYLOAD, "invariant: a frame fits a record");
        let [high, low] = (len as u16).to_be_bytes();
        let [s, t, f, one] = MAGIC;
        [s, t, f, one, high, low, self.number(), 0]
    }
}

/// Bytes are no frame we take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The header does not begin, or end, as headers do.
    #[error("the frame has no CSTP header")]
    Magic,
    /// More than a record carries.
    #[error("the frame has {0} bytes of payload")]
    TooLong(usize),
    /// Compressed, though no compression was agreed on.
    #[error("the frame is compressed, which was not agreed on")]
    Compressed,
    /// A type that does not exist.
    #[error("the frame has the unknown type {0}")]
    Kind(u8),
    /// Not even a type.
    #[error("the frame is empty")]
    Empty,
}

/// A frame and how many bytes it had.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What it is.
    pub kind: Kind,
    /// What is in it.
    pub payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The frame at the start of what came by TLS, if it is whole, and its length.
    pub fn from_stream(bytes: &'a [u8]) -> Result<Option<(Self, usize)>, FrameError> {
        let magic = &bytes[..bytes.len().min(MAGIC.len())];
        if *magic != MAGIC[..magic.len()] {
            return Err(FrameError::Magic);
        }
        let Some((header, rest)) = bytes.split_first_chunk::<HEADER_LEN>() else { return Ok(None) };
        let [_, _, _, _, high, low, kind, zero] = *header;
        if zero != 0 {
            return Err(FrameError::Magic);
        }
        let kind = Kind::from_number(kind)?;
        let len = usize::from(u16::from_be_bytes([high, low]));
        if len > MAX_PAYLOAD {
            return Err(FrameError::TooLong(len));
        }
        let payload = rest.get(..len);
        Ok(payload.map(|payload| (Self { kind, payload }, HEADER_LEN + len)))
    }

    /// What a DTLS record carries.
    pub fn from_datagram(bytes: &'a [u8]) -> Result<Self, FrameError> {
        let (kind, payload) = bytes.split_first().ok_or(FrameError::Empty)?;
        Ok(Self { kind: Kind::from_number(*kind)?, payload })
    }

    /// What is said with a goodbye, without what is not printable.
    pub(crate) fn text(&self) -> String {
        let text = self.payload.get(1..).unwrap_or_default();
        let shown = |b: &u8| if matches!(b, b' '..=b'~') { char::from(*b) } else { '.' };
        text.iter().take(128).map(shown).collect()
    }
}

/// Says how long the payload is, not what it is.
impl fmt::Debug for Frame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame({:?}, {} bytes)", self.kind, self.payload.len())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn headers_are_as_on_the_wire() {
        assert_eq!(Kind::Data.header(0x123), *b"STF\x01\x01\x23\x00\x00");
        assert_eq!(Kind::Terminate.header(0), *b"STF\x01\x00\x00\x09\x00");
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        let parse = |bytes: &[u8]| Frame::from_stream(bytes).unwrap_err();
        assert_eq!(parse(b"G"), FrameError::Magic);
        assert_eq!(parse(b"STF\x02"), FrameError::Magic);
        assert_eq!(parse(b"STF\x01\0\0\0\x01"), FrameError::Magic);
        assert_eq!(parse(b"STF\x01\0\0\x08\0"), FrameError::Compressed);
        assert_eq!(parse(b"STF\x01\0\0\x06\0"), FrameError::Kind(6));
        assert_eq!(parse(b"STF\x01\xff\xff\0\0"), FrameError::TooLong(0xffff));
        assert_eq!(Frame::from_datagram(b"").unwrap_err(), FrameError::Empty);
        assert_eq!(Frame::from_datagram(b"\x08x").unwrap_err(), FrameError::Compressed);
        let bye = Frame { kind: Kind::Disconnect, payload: b"\xb0bye\n" };
        assert_eq!(bye.text(), "bye.");
    }

    proptest! {
        #[test]
        fn frames_survive(payload in proptest::collection::vec(any::<u8>(), 0..64), kind in 0..6_usize, more in any::<u8>()) {
            let kind = Kind::ALL[kind];
            let mut bytes = kind.header(payload.len()).to_vec();
            bytes.extend(&payload);
            for len in 0..bytes.len() {
                prop_assert_eq!(Frame::from_stream(&bytes[..len]).unwrap(), None);
            }
            let len = bytes.len();
            bytes.push(more);
            let want = Frame { kind, payload: &payload };
            prop_assert_eq!(Frame::from_stream(&bytes).unwrap(), Some((want, len)));
            let datagram = [&[kind.number()][..], &payload].concat();
            prop_assert_eq!(Frame::from_datagram(&datagram).unwrap(), want);
        }

        #[test]
        fn any_bytes_give_a_frame_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = Frame::from_datagram(&bytes);
            if let Ok(Some((_, len))) = Frame::from_stream(&bytes) {
                prop_assert!(len <= bytes.len());
            }
        }
    }
}
