//! The receiving half: a record gives back what went into it.

use std::{fmt, mem::offset_of, ops::Range};

use aead::{KeyError, Operation, Selection, TAG_LEN};
use association::{Replay, ReplayBitmap, ReplayError, Tallies, Tally, WRITERS};
use ports::{Frame, Offloads};
use reason::DropReason;
use wire::{IpVersion, Time};

use super::{
    ContentType, EPOCH, HEADER_LEN, Header, PACKET, REASONS, RecordKeys, VERSION, keys::Cipher,
    packet_len,
};
use crate::message::kind;

/// What an association opens with.
///
/// All methods take `&self`: any number of threads may open records of the same one, each with a
/// `writer` of its own, and no record is accepted twice.
#[repr(C, align(64))]
pub struct Inbound {
    // what every packet needs comes first and together: see `prefetch`
    replay: Replay,
    cipher: Cipher,
    tallies: Tallies<{ REASONS.len() }>,
}

/// What was in a record of application data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// An IP packet, now in the frame.
    Packet(IpVersion),
    /// Something for the association's owner, now in the frame: its kind is the first byte.
    Control,
}

/// Why a datagram is not for whoever serves packets only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exception {
    /// It is shorter than any record with a packet.
    Short,
    /// The record is no application data.
    Content,
    /// The record is of another epoch.
    Epoch,
    /// A client begins a handshake, in clear.
    ClientHello,
    /// It is not of DTLS 1.2.
    Version,
    /// The datagram is not one whole record.
    Several,
}

/// What an [`Inbound`] is doing.
#[derive(Clone, Debug)]
pub struct InboundStatus {
    /// One more than the highest record number accepted; 0 when there was none.
    pub numbers: u64,
    /// The replay window.
    pub window: ReplayBitmap,
    /// Counters over all writers; what carried no packet is among the dummies.
    pub total: Tally,
    /// Counters by writer.
    pub writers: [Tally; WRITERS],
}

/// Whether a datagram is one record that may carry a packet: what can be told without a key.
#[inline]
pub fn check(datagram: &[u8]) -> Result<Header, Exception> {
    let header = Header::parse(datagram).ok_or(Exception::Short)?;
    if header.epoch != EPOCH {
        let first = datagram.get(HEADER_LEN) == Some(&kind::CLIENT_HELLO);
        let handshake = header.content == ContentType::Handshake as u8;
        let hello = header.epoch == 0 && handshake && first;
        Err(if hello { Exception::ClientHello } else { Exception::Epoch })
    } else if header.content != ContentType::ApplicationData as u8 {
        Err(Exception::Content)
    } else if header.version != VERSION {
        Err(Exception::Version)
    } else if usize::from(header.len) + HEADER_LEN != datagram.len() {
        Err(Exception::Several)
    } else if usize::from(header.len) <= TAG_LEN {
        Err(Exception::Short)
    } else {
        Ok(header)
    }
}

impl Inbound {
    /// One that has seen nothing yet, with a replay window of `window` records, 0 for none.
    ///
    /// # Errors
    /// When the keys have lengths that their cipher does not take.
    pub fn new(keys: &RecordKeys, window: u32, selection: &Selection) -> Result<Self, KeyError> {
        Ok(Self {
            replay: Replay::new(window, false, 0),
            cipher: Cipher::new(keys, selection)?,
            tallies: Tallies::default(),
        })
    }

    /// Opens the record of application data whose UDP payload begins `at` bytes into `frame`: the frame
    /// holds what was inside then. When it is refused the frame's bytes are unspecified, and the window has
    /// not moved unless the record was authentic. Datagrams that [`check`] does not pass are malformed here.
    #[inline]
    pub fn open_packet(
        &self,
        frame: &mut Frame,
        at: usize,
        writer: usize,
        now: Time,
    ) -> Result<Opened, DropReason> {
        match self.try_open_packet(frame, at) {
            Ok(opened) => {
                match opened {
                    Opened::Packet(_) => {
                        self.tallies.passed(writer, 1, frame.len() as u64, now);
                    }
                    Opened::Control => self.tallies.dummy(writer),
                }
                Ok(opened)
            }
            Err(reason) => Err(self.dropped(writer, reason)),
        }
    }

    /// Opens one whole record in place, whatever it carries: its content type, and where the text is.
    pub fn open_record(
        &self,
        record: &mut [u8],
        writer: usize,
        now: Time,
    ) -> Result<(ContentType, Range<usize>), DropReason> {
        let (content, text) =
            self.try_open_record(record).map_err(|reason| self.dropped(writer, reason))?;
        match packet_len(content, &record[text.clone()]) {
            Some(bytes) => self.tallies.passed(writer, 1, bytes, now),
            None => self.tallies.dummy(writer),
        }
        Ok((content, text))
    }

    /// One more than the highest record number accepted; 0 when there was none.
    pub fn numbers(&self) -> u64 {
        self.replay.top()
    }

    /// Asks the CPU for what tells where the rest is: see [`Inbound::prefetch_rest`].
    #[inline]
    pub fn prefetch(&self, writer: usize) {
        let head = offset_of!(Self, cipher) + aead::Key::HEAD;
        ports::prefetch_range(std::ptr::from_ref(self).cast(), head);
        ports::prefetch(self.tallies.line(writer));
    }

    /// Asks the CPU for the rest of what opening a packet of `len` bytes will touch.
    #[inline]
    pub fn prefetch_rest(&self, len: usize) {
        self.replay.prefetch();
        self.cipher.prefetch(Operation::Open, len);
    }

    /// Packets and bytes that writers have passed.
    pub fn served(&self, writers: Range<usize>) -> (u64, u64) {
        self.tallies.passed_by(writers)
    }

    /// When the last packet was opened, whoever did; zero if none was.
    pub fn last(&self) -> Time {
        self.tallies.last()
    }

    /// What it is doing.
    pub fn status(&self) -> InboundStatus {
        let writers = self.tallies.all(&REASONS);
        InboundStatus {
            numbers: self.numbers(),
            window: self.replay.bitmap(),
            total: Tally::sum(&writers),
            writers,
        }
    }

    #[inline]
    fn try_open_packet(&self, frame: &mut Frame, at: usize) -> Result<Opened, DropReason> {
        let datagram = frame.bytes_mut().get_mut(at..).ok_or(DropReason::DtlsMalformed)?;
        let header = check(datagram).map_err(|exception| match exception {
            Exception::Epoch | Exception::ClientHello => DropReason::DtlsEpochUnknown,
            Exception::Content => DropReason::DtlsContentUnsupported,
            Exception::Short | Exception::Version | Exception::Several => DropReason::DtlsMalformed,
        })?;
        let text = self.open(datagram, &header)?;
        frame.offloads = Offloads::default();
        frame.pull_front(at + text.start);
        frame.truncate(text.len());
        // nothing at all is no packet; the rest is for the parser of packets to judge
        match *frame.bytes() {
            [PACKET, first, ..] => {
                frame.pull_front(1);
                Ok(Opened::Packet(if first >> 4 == 6 { IpVersion::V6 } else { IpVersion::V4 }))
            }
            [PACKET] | [] => Err(DropReason::DtlsMalformed),
            [..] => Ok(Opened::Control),
        }
    }

    fn try_open_record(
        &self,
        record: &mut [u8],
    ) -> Result<(ContentType, Range<usize>), DropReason> {
        let header = Header::parse(record).ok_or(DropReason::DtlsMalformed)?;
        if header.epoch != EPOCH {
            return Err(DropReason::DtlsEpochUnknown);
        }
        let content = ContentType::from_byte(header.content);
        let content = content.ok_or(DropReason::DtlsContentUnsupported)?;
        if header.version != VERSION || usize::from(header.len) + HEADER_LEN != record.len() {
            return Err(DropReason::DtlsMalformed);
        }
        Ok((content, self.open(record, &header)?))
    }

    /// Replay check, authentication, and only then the window (RFC 6347 §4.1.2.6).
    #[inline]
    fn open(&self, record: &mut [u8], header: &Header) -> Result<Range<usize>, DropReason> {
        let text = record.len().checked_sub(self.cipher.added());
        let text = text.ok_or(DropReason::DtlsMalformed)?;
        let number = header.number + 1;
        self.replay.check(number).map_err(refused)?;
        self.cipher.open(record, header).ok_or(DropReason::DtlsBadRecordMac)?;
        self.replay.accept(number).map_err(refused)?;
        let start = HEADER_LEN + self.cipher.explicit();
        Ok(start..start + text)
    }

    #[cold]
    fn dropped(&self, writer: usize, reason: DropReason) -> DropReason {
        self.tallies.dropped(&REASONS, writer, reason);
        reason
    }
}

fn refused(error: ReplayError) -> DropReason {
    match error {
        ReplayError::Replayed => DropReason::DtlsReplayed,
        ReplayError::TooOld => DropReason::DtlsTooOld,
    }
}

/// Says nothing of its keys.
impl fmt::Debug for Inbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbound").field("numbers", &self.numbers()).finish_non_exhaustive()
    }
}
