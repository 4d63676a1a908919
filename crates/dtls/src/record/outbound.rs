//! The sending half: what goes out becomes a record.

use std::{fmt, mem::offset_of, ops::Range, sync::Arc};

use aead::{KeyError, Operation, Selection, TAG_LEN};
use association::{Sequence, Tallies, Tally, WRITERS};
use ports::{Frame, Offloads};
use reason::DropReason;
use wire::{
    Time,
    outer::{Outer, OuterFields, OuterUdp},
    proto,
};

use super::{
    ContentType, EPOCH, HEADER_LEN, Header, MAX_PLAINTEXT, NUMBERS, PACKET, REASONS, RecordKeys,
    VERSION, keys::Cipher, packet_len,
};
use crate::Path;

/// TTL or hop limit of what we send.
const HOP_LIMIT: u8 = 64;
/// The largest IP packet there is, in bytes.
const MAX_PACKET: usize = 65_535;

/// What an association seals with.
///
/// All methods take `&self`: numbers are reserved atomically, so any number of threads may seal with the
/// same one, each with a `writer` of its own.
#[repr(C, align(64))]
pub struct Outbound {
    // what every packet needs comes first and together: see `prefetch`
    sequence: Sequence,
    /// Shared with the one that takes its place when the peer moves, so that counters go on.
    tallies: Arc<Tallies<{ REASONS.len() }>>,
    outer: Outer,
    cipher: Cipher,
    path: Path,
    keys: RecordKeys,
    selection: Selection,
}

/// What an [`Outbound`] is doing.
#[derive(Clone, Debug)]
pub struct OutboundStatus {
    /// Records sealed, and numbers used, so far.
    pub numbers: u64,
    /// Counters over all writers; what carried no packet is among the dummies.
    pub total: Tally,
    /// Counters by writer.
    pub writers: [Tally; WRITERS],
}

impl Outbound {
    /// One whose first record has number 0, and whose packets go from and to the ends of `path`, of one
    /// IP version.
    ///
    /// # Errors
    /// When the keys have lengths that their cipher does not take.
    pub fn new(keys: RecordKeys, path: Path, selection: &Selection) -> Result<Self, KeyError> {
        Self::with(keys, path, selection, 0, Arc::default())
    }

    fn with(
        keys: RecordKeys,
        path: Path,
        selection: &Selection,
        used: u64,
        tallies: Arc<Tallies<{ REASONS.len() }>>,
    ) -> Result<Self, KeyError> {
        let udp = OuterUdp {
            source_port: path.local.port(),
            destination_port: path.remote.port(),
            zero_checksum: false,
        };
        let ends = (path.local.ip(), path.remote.ip());
        Ok(Self {
            sequence: Sequence::new(NUMBERS, used),
            tallies,
            outer: Outer::new(ends, proto::UDP, HOP_LIMIT, Some(udp)),
            cipher: Cipher::new(&keys, selection)?,
            path,
            keys,
            selection: *selection,
        })
    }

    /// Another one for the same association whose peer has moved. This one seals nothing any more: all
    /// numbers it had left are the other's, so none is given twice whoever still holds it.
    pub fn moved(&self, path: Path) -> Self {
        let (keys, tallies) = (self.keys.clone(), self.tallies.clone());
        Self::with(keys, path, &self.selection, self.sequence.end(), tallies)
            .expect("invariant: the keys were taken before")
    }

    /// Seals nothing any more: the association is over.
    pub fn end(&self) {
        self.sequence.end();
    }

    /// From where to where its packets go.
    pub fn path(&self) -> Path {
        self.path
    }

    /// The largest IP packet, in bytes, whose outer packet is not larger than `path_mtu`; 0 when none is.
    pub fn inner_mtu(&self, path_mtu: u16) -> u16 {
        let added = self.overhead();
        usize::from(path_mtu).saturating_sub(added).min(MAX_PLAINTEXT - 1) as u16
    }

    /// Bytes that sealing adds to an IP packet, the outer headers included.
    #[inline]
    pub fn overhead(&self) -> usize {
        self.added_in_front() + TAG_LEN
    }

    /// Bytes that sealing adds before an IP packet: its frame needs as much headroom. Behind it there
    /// are [`TAG_LEN`](aead::TAG_LEN) more.
    #[inline]
    pub fn added_in_front(&self) -> usize {
        self.outer.len() + HEADER_LEN + self.cipher.explicit() + 1
    }

    /// Makes a whole UDP packet with one record of the IP packet in `frame`: its checksums are final,
    /// and it is one packet, not a super-packet.
    ///
    /// When it is refused the frame is as it was.
    #[inline]
    pub fn seal_packet(
        &self,
        frame: &mut Frame,
        writer: usize,
        now: Time,
    ) -> Result<(), DropReason> {
        match self.try_seal_packet(frame) {
            Ok(bytes) => {
                self.tallies.passed(writer, 1, bytes, now);
                Ok(())
            }
            Err(reason) => Err(self.dropped(writer, reason)),
        }
    }

    /// A record with `text` inside.
    pub fn seal_record(
        &self,
        content: ContentType,
        text: &[u8],
        writer: usize,
        now: Time,
    ) -> Result<Vec<u8>, DropReason> {
        if text.len() > MAX_PLAINTEXT {
            return Err(self.dropped(writer, DropReason::DtlsTooBig));
        }
        let header = self.next(content).map_err(|reason| self.dropped(writer, reason))?;
        let mut record = vec![0; self.cipher.added() + text.len()];
        record[HEADER_LEN + self.cipher.explicit()..][..text.len()].copy_from_slice(text);
        let sealed = self.cipher.seal(&mut record, header);
        debug_assert!(sealed);
        match packet_len(content, text) {
            Some(bytes) => self.tallies.passed(writer, 1, bytes, now),
            None => self.tallies.dummy(writer),
        }
        Ok(record)
    }

    /// Asks the CPU for what tells where the rest is: see [`Outbound::prefetch_rest`].
    #[inline]
    pub fn prefetch(&self, writer: usize) {
        let head = offset_of!(Self, cipher) + aead::Key::HEAD;
        ports::prefetch_range(std::ptr::from_ref(self).cast(), head);
        ports::prefetch(self.tallies.line(writer));
    }

    /// Asks the CPU for the rest of what sealing a packet of `len` bytes will touch.
    #[inline]
    pub fn prefetch_rest(&self, len: usize) {
        self.cipher.prefetch(Operation::Seal, len);
    }

    /// Packets and bytes that writers have passed.
    pub fn served(&self, writers: Range<usize>) -> (u64, u64) {
        self.tallies.passed_by(writers)
    }

    /// When the last packet was sealed, whoever did; zero if none was.
    pub fn last(&self) -> Time {
        self.tallies.last()
    }

    /// What it is doing.
    pub fn status(&self) -> OutboundStatus {
        let writers = self.tallies.all(&REASONS);
        OutboundStatus { numbers: self.sequence.used(), total: Tally::sum(&writers), writers }
    }

    #[inline]
    fn try_seal_packet(&self, frame: &mut Frame) -> Result<u64, DropReason> {
        debug_assert!(frame.offloads.gso.is_none(), "super-packets are cut before");
        let (len, front) = (frame.len(), self.added_in_front());
        let total = front + len + TAG_LEN;
        let fits = len < MAX_PLAINTEXT && total <= MAX_PACKET;
        if !fits || frame.headroom() < front || frame.tailroom() < TAG_LEN {
            return Err(DropReason::DtlsTooBig);
        }
        let header = self.next(ContentType::ApplicationData)?;
        frame.offloads = Offloads::default();
        let grown = frame.set_len(len + TAG_LEN) && frame.push_front(front).is_some();
        debug_assert!(grown);
        let packet = frame.bytes_mut();
        packet[front - 1] = PACKET;
        if !self.cipher.seal(&mut packet[self.outer.len()..], header) {
            return Err(DropReason::DtlsTooBig);
        }
        // clients do not read ECN outside, so it is not offered there (RFC 6040 §4.1, compatibility mode)
        let fields = OuterFields { tos: 0, df: false, id: header.number as u16, source_port: None };
        self.outer.write(packet, fields);
        Ok(len as u64)
    }

    #[inline]
    fn next(&self, content: ContentType) -> Result<Header, DropReason> {
        let reserved = self.sequence.reserve(1);
        if reserved.count == 0 {
            return Err(DropReason::DtlsNumbersExhausted);
        }
        let number = reserved.first - 1;
        Ok(Header { content: content as u8, version: VERSION, epoch: EPOCH, number, len: 0 })
    }

    #[cold]
    fn dropped(&self, writer: usize, reason: DropReason) -> DropReason {
        self.tallies.dropped(&REASONS, writer, reason);
        reason
    }
}

/// Says whose it is, and nothing of its keys.
impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbound").field("path", &self.path).finish_non_exhaustive()
    }
}
