//! The header of a record, and the records of a datagram (RFC 6347 §4.1).

use std::ops::Range;

use super::HEADER_LEN;

/// DTLS 1.2 as it stands in records.
pub const VERSION: u16 = 0xfefd;

/// What a record carries (RFC 5246 §6.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ContentType {
    /// The sender changes to the keys that were negotiated.
    ChangeCipherSpec = 20,
    /// An alert.
    Alert = 21,
    /// Handshake messages.
    Handshake = 22,
    /// Application data.
    ApplicationData = 23,
}

impl ContentType {
    /// From the byte in a record's header.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            20 => Some(Self::ChangeCipherSpec),
            21 => Some(Self::Alert),
            22 => Some(Self::Handshake),
            23 => Some(Self::ApplicationData),
            _ => None,
        }
    }
}

/// The header of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Content type as it was sent; see [`ContentType::from_byte`].
    pub content: u8,
    /// Version as it was sent.
    pub version: u16,
    /// Epoch.
    pub epoch: u16,
    /// Number within the epoch, 48 bits.
    pub number: u64,
    /// Bytes behind the header.
    pub len: u16,
}

impl Header {
    /// Reads the header at the front; whether its record is there as a whole is not looked at.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let &[content, v0, v1, e0, e1, n0, n1, n2, n3, n4, n5, l0, l1] = bytes.first_chunk()?;
        Some(Self {
            content,
            version: u16::from_be_bytes([v0, v1]),
            epoch: u16::from_be_bytes([e0, e1]),
            number: u64::from_be_bytes([0, 0, n0, n1, n2, n3, n4, n5]),
            len: u16::from_be_bytes([l0, l1]),
        })
    }

    /// Writes it to the front of `into`; false when there is no room.
    #[inline]
    pub fn write(&self, into: &mut [u8]) -> bool {
        let Some(place) = into.first_chunk_mut::<HEADER_LEN>() else {
            return false;
        };
        place[0] = self.content;
        place[1..3].copy_from_slice(&self.version.to_be_bytes());
        place[3..11].copy_from_slice(&self.epoch_and_number());
        place[11..].copy_from_slice(&self.len.to_be_bytes());
        true
    }

    /// Epoch and number as one, as they stand in headers, nonces and additional data.
    #[inline]
    pub(super) fn epoch_and_number(&self) -> [u8; 8] {
        (u64::from(self.epoch) << 48 | self.number).to_be_bytes()
    }
}

/// Where the records of a datagram are: headers with the range of the whole record. Ends where one is
/// not whole, as such a rest is discarded (RFC 6347 §4.1.2.7).
pub struct Records<'a> {
    datagram: &'a [u8],
    at: usize,
}

impl<'a> Records<'a> {
    /// Those of `datagram`.
    pub fn of(datagram: &'a [u8]) -> Self {
        Self { datagram, at: 0 }
    }
}

impl Iterator for Records<'_> {
    type Item = (Header, Range<usize>);

    fn next(&mut self) -> Option<Self::Item> {
        let start = self.at;
        let header = Header::parse(self.datagram.get(start..)?)?;
        let end = start + HEADER_LEN + usize::from(header.len);
        if end > self.datagram.len() {
            return None;
        }
        self.at = end;
        Some((header, start..end))
    }
}
