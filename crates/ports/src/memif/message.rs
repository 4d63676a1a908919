//! The control messages of memif version 2: 128 bytes each, in the byte order of the machine.
//!
//! Pure functions of bytes. Whatever the bytes are, [`Message::decode`] gives a message or says what
//! is wrong; text of the peer is cut to printable ASCII, so that it can be shown.

use super::MemifFault;

/// Bytes of every message.
pub(super) const MESSAGE_LEN: usize = 128;
/// The only version of the protocol, 2.0.
pub(super) const VERSION: u16 = 2 << 8;
/// The interface mode of both ends: Ethernet frames.
pub(super) const MODE_ETHERNET: u8 = 0;

const NAME_LEN: usize = 32;
const SECRET_LEN: usize = 24;
const REASON_LEN: usize = 96;
/// In the flags of ADD_RING: the client sends on the ring.
const FLAG_CLIENT_TO_SERVER: u16 = 1;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// Server and client: the last message is taken.
    Ack,
    /// Server: what it can do.
    Hello(Hello),
    /// Client: which interface it wants.
    Init {
        /// Version it speaks.
        version: u16,
        /// Number of the interface.
        id: u32,
        /// Interface mode.
        mode: u8,
        /// Who it is.
        name: String,
    },
    /// Client: a piece of shared memory; its descriptor comes along.
    AddRegion {
        /// Its number.
        index: u16,
        /// Bytes.
        size: u64,
    },
    /// Client: a ring; the event descriptor comes along.
    AddRing(AddRing),
    /// Client: everything is there.
    Connect {
        /// Name of its interface.
        name: String,
    },
    /// Server: frames may pass.
    Connected {
        /// Name of its interface.
        name: String,
    },
    /// Either: the end, and why.
    Disconnect {
        /// Why, in words.
        reason: String,
    },
}

/// What a server can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hello {
    pub(super) name: String,
    pub(super) min_version: u16,
    pub(super) max_version: u16,
    /// The highest number a region may have.
    pub(super) max_region: u16,
    /// The highest numbers rings may have, server to client and client to server.
    pub(super) max_rings: [u16; 2],
    pub(super) max_log2_ring_size: u8,
}

/// Where a ring is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AddRing {
    pub(super) to_server: bool,
    pub(super) index: u16,
    pub(super) region: u16,
    pub(super) offset: u32,
    pub(super) log2_ring_size: u8,
}

impl Message {
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, MemifFault> {
        if bytes.len() != MESSAGE_LEN {
            return Err(MemifFault::MessageLength);
        }
        let mut from = Reader(bytes);
        Ok(match u16::from_ne_bytes(from.take()) {
            1 => Self::Ack,
            2 => Self::Hello(Hello {
                name: from.text(NAME_LEN),
                min_version: u16::from_ne_bytes(from.take()),
                max_version: u16::from_ne_bytes(from.take()),
                max_region: u16::from_ne_bytes(from.take()),
                max_rings: [u16::from_ne_bytes(from.take()), u16::from_ne_bytes(from.take())],
                max_log2_ring_size: u8::from_ne_bytes(from.take()),
            }),
            3 => {
                let version = u16::from_ne_bytes(from.take());
                let id = u32::from_ne_bytes(from.take());
                let mode = u8::from_ne_bytes(from.take());
                from.skip(SECRET_LEN);
                Self::Init { version, id, mode, name: from.text(NAME_LEN) }
            }
            4 => Self::AddRegion {
                index: u16::from_ne_bytes(from.take()),
                size: u64::from_ne_bytes(from.take()),
            },
            5 => Self::AddRing(AddRing {
                to_server: u16::from_ne_bytes(from.take()) & FLAG_CLIENT_TO_SERVER != 0,
                index: u16::from_ne_bytes(from.take()),
                region: u16::from_ne_bytes(from.take()),
                offset: u32::from_ne_bytes(from.take()),
                log2_ring_size: u8::from_ne_bytes(from.take()),
            }),
            6 => Self::Connect { name: from.text(NAME_LEN) },
            7 => Self::Connected { name: from.text(NAME_LEN) },
            8 => {
                from.skip(4);
                Self::Disconnect { reason: from.text(REASON_LEN) }
            }
            _ => return Err(MemifFault::MessageType),
        })
    }

    pub(super) fn encode(&self) -> [u8; MESSAGE_LEN] {
        let mut bytes = [0; MESSAGE_LEN];
        let mut to = Writer(&mut bytes);
        match self {
            Self::Ack => to.put(&1u16.to_ne_bytes()),
            Self::Hello(hello) => {
                to.put(&2u16.to_ne_bytes());
                to.text(&hello.name, NAME_LEN);
                for number in [hello.min_version, hello.max_version, hello.max_region] {
                    to.put(&number.to_ne_bytes());
                }
                for number in hello.max_rings {
                    to.put(&number.to_ne_bytes());
                }
                to.put(&[hello.max_log2_ring_size]);
            }
            Self::Init { version, id, mode, name } => {
                to.put(&3u16.to_ne_bytes());
                to.put(&version.to_ne_bytes());
                to.put(&id.to_ne_bytes());
                to.put(&[*mode]);
                to.text("", SECRET_LEN);
                to.text(name, NAME_LEN);
            }
            Self::AddRegion { index, size } => {
                to.put(&4u16.to_ne_bytes());
                to.put(&index.to_ne_bytes());
                to.put(&size.to_ne_bytes());
            }
            Self::AddRing(ring) => {
                to.put(&5u16.to_ne_bytes());
                let flags = if ring.to_server { FLAG_CLIENT_TO_SERVER } else { 0 };
                for number in [flags, ring.index, ring.region] {
                    to.put(&number.to_ne_bytes());
                }
                to.put(&ring.offset.to_ne_bytes());
                to.put(&[ring.log2_ring_size]);
            }
            Self::Connect { name } => {
                to.put(&6u16.to_ne_bytes());
                to.text(name, NAME_LEN);
            }
            Self::Connected { name } => {
                to.put(&7u16.to_ne_bytes());
                to.text(name, NAME_LEN);
            }
            Self::Disconnect { reason } => {
                to.put(&8u16.to_ne_bytes());
                to.put(&[0; 4]);
                to.text(reason, REASON_LEN);
            }
        }
        bytes
    }
}

/// Reads from the front; what is behind the end is zero, which no message reaches.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        match self.0.split_first_chunk::<N>() {
            Some((front, rest)) => {
                self.0 = rest;
                *front
            }
            None => [0; N],
        }
    }

    fn skip(&mut self, len: usize) {
        self.0 = self.0.get(len..).unwrap_or_default();
    }

    fn text(&mut self, len: usize) -> String {
        let field = self.0.get(..len).unwrap_or_default();
        let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
        let shown = |byte: &u8| match byte {
            b' '..=b'~' => char::from(*byte),
            _ => '?',
        };
        let text = field[..end].iter().map(shown).collect();
        self.skip(len);
        text
    }
}

struct Writer<'a>(&'a mut [u8]);

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) {
        let (front, rest) = std::mem::take(&mut self.0).split_at_mut(bytes.len());
        front.copy_from_slice(bytes);
        self.0 = rest;
    }

    /// Text in `len` bytes, cut so that a zero byte ends it.
    fn text(&mut self, text: &str, len: usize) {
        let (front, rest) = std::mem::take(&mut self.0).split_at_mut(len);
        let kept = text.len().min(len - 1);
        front[..kept].copy_from_slice(&text.as_bytes()[..kept]);
        self.0 = rest;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn every_message() -> Vec<Message> {
        let name = || "peer".to_owned();
        vec![
            Message::Ack,
            Message::Hello(Hello {
                name: name(),
                min_version: VERSION,
                max_version: VERSION,
                max_region: 3,
                max_rings: [1, 2],
                max_log2_ring_size: 14,
            }),
            Message::Init { version: VERSION, id: 7, mode: MODE_ETHERNET, name: name() },
            Message::AddRegion { index: 1, size: 1 << 40 },
            Message::AddRing(AddRing {
                to_server: true,
                index: 1,
                region: 2,
                offset: 0x1234_5678,
                log2_ring_size: 10,
            }),
            Message::Connect { name: name() },
            Message::Connected { name: name() },
            Message::Disconnect { reason: "done".into() },
        ]
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        for message in every_message() {
            assert_eq!(Message::decode(&message.encode()), Ok(message));
        }
    }

    /// The layout of the packed C structures, byte by byte.
    #[test]
    fn fields_stand_where_others_put_them() {
        let ring = AddRing {
            to_server: true,
            index: 0x0102,
            region: 0x0304,
            offset: 0x0506_0708,
            log2_ring_size: 9,
        };
        let bytes = Message::AddRing(ring).encode();
        assert_eq!(bytes[..13], [5, 0, 1, 0, 2, 1, 4, 3, 8, 7, 6, 5, 9]);
        let init = Message::Init { version: VERSION, id: 5, mode: 0, name: "x".into() }.encode();
        assert_eq!(init[..9], [3, 0, 0, 2, 5, 0, 0, 0, 0]);
        assert_eq!(init[9 + SECRET_LEN..][..2], *b"x\0");
        let region = Message::AddRegion { index: 1, size: 0x10 }.encode();
        assert_eq!(region[..6], [4, 0, 1, 0, 0x10, 0]);
        let end = Message::Disconnect { reason: "bye".into() }.encode();
        assert_eq!(end[6..10], *b"bye\0");
    }

    #[test]
    fn long_and_strange_text_is_cut_to_what_can_be_shown() {
        let long = Message::Connect { name: "n".repeat(80) };
        let Ok(Message::Connect { name }) = Message::decode(&long.encode()) else {
            panic!("a connect");
        };
        assert_eq!(name, "n".repeat(NAME_LEN - 1));
        let mut bytes = Message::Connect { name: "a\u{1b}[2Jb".into() }.encode();
        bytes[2 + 6] = 0xff;
        let Ok(Message::Connect { name }) = Message::decode(&bytes) else {
            panic!("a connect");
        };
        assert_eq!(name, "a?[2Jb?");
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_message_or_a_fault(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let decoded = Message::decode(&bytes);
            prop_assert_eq!(decoded == Err(MemifFault::MessageLength), bytes.len() != MESSAGE_LEN);
        }

        #[test]
        fn any_message_of_the_right_length(kind in 0u16..12, rest in prop::array::uniform32(any::<u8>())) {
            let mut bytes = [0; MESSAGE_LEN];
            bytes[..2].copy_from_slice(&kind.to_ne_bytes());
            for part in bytes[2..].chunks_mut(32) {
                part.copy_from_slice(&rest[..part.len()]);
            }
            prop_assert_eq!(Message::decode(&bytes).is_ok(), (1..=8).contains(&kind));
        }
    }
}
