//! Fragments in, whole packets out: IPv4 (RFC 791 §3.2, RFC 815) and IPv6 (RFC 8200 §4.5).
//!
//! Fragments that overlap discard their packet, in both versions (RFC 5722), and so do fragments
//! that disagree on where it ends or come in too great a number; such a packet is remembered until
//! its time is over, and what still comes of it is dropped for the same reason. An exact copy of a
//! fragment that is already held is ignored.
//!
//! Fragments are told apart by the interface they came in by as well, so that nobody on another
//! network can spoil a packet; the price is that fragments of one packet spread over two interfaces
//! do not meet.
//!
//! Limits: held bytes, bookkeeping included, stay within `limits.reassembly-memory`; when they
//! would not, the packets that began first give way. Time counts from the first fragment to arrive.

#[cfg(test)]
mod tests;

use core::{net::IpAddr, time::Duration};
use std::collections::VecDeque;

use config::{Config, model::IfId};
use hashbrown::HashMap;
use reason::DropReason;
use wire::{
    Fragmentation, Headers, IpVersion, Time, checksum,
    fragment::{position, write_whole_header},
};

use crate::{deadlines::Deadlines, keyed::Keyed};

/// Bytes that a packet being reassembled costs besides its data: its record, its place in the index
/// and its deadline.
pub const PACKET_OVERHEAD: usize = size_of::<Packet>() + 2 * size_of::<(Key, u32)>() + 24;

/// Buffers kept for reuse; their memory counts.
const SPARE_BUFFERS: usize = 32;

/// Reassembles fragmented packets.
pub struct Reassembler {
    index: HashMap<Key, u32, Keyed>,
    slots: Vec<Option<Packet>>,
    free: Vec<u32>,
    deadlines: Deadlines,
    spare: Vec<Buffers>,
    events: VecDeque<ReassemblyEvent>,
    out: Vec<u8>,
    used: usize,
    memory: usize,
    max_fragments: usize,
    timeout: Duration,
    counters: ReassemblyCounters,
}

/// What became of a fragment.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// It waits for the rest (or was an exact copy of one that waits). How that ends is told by
    /// [`Outcome::Complete`] or [`ReassemblyEvent`].
    Held,
    /// It was the last one missing.
    Complete(Reassembled<'a>),
    /// It is dropped.
    Drop(DropReason),
}

/// A reassembled packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reassembled<'a> {
    /// The whole frame, with the Ethernet header of the first fragment; valid until the next call.
    pub frame: &'a [u8],
    /// Length in bytes of the largest IP packet among the fragments. What is cut again must not
    /// exceed it, or a path that the sender knew about breaks.
    pub largest_fragment: u16,
    /// How many fragments it was made of, the last one included.
    pub fragments: u16,
    /// IPv4: the first fragment had DF set. In `frame` it is clear, because the limit that the
    /// sender respects is `largest_fragment`; fragments made of it should have it set again.
    pub df: bool,
}

/// How waiting ended, if not by completion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReassemblyEvent {
    /// Not everything came in time; `fragment-timeout`.
    TimedOut {
        /// The interface the fragments came in by.
        interface: IfId,
        /// How many fragments were held.
        fragments: u16,
        /// The first fragment as it came, Ethernet header included, if it did come: only then is an
        /// ICMP time exceeded message due (RFC 792; RFC 8200 §4.5).
        first_fragment: Option<Vec<u8>>,
    },
    /// Held fragments were thrown away.
    Discarded {
        /// The interface the fragments came in by.
        interface: IfId,
        /// How many fragments were held; the one that caused it is not among them.
        fragments: u16,
        /// Why.
        reason: DropReason,
    },
}

/// Counters since start; none is ever reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReassemblyCounters {
    /// Fragments taken in, exact copies and refused ones included.
    pub fragments: u64,
    /// Packets completed.
    pub completed: u64,
    /// Exact copies ignored.
    pub duplicates: u64,
    /// Packets that timed out.
    pub timed_out: u64,
    /// Packets discarded for an overlap.
    pub overlaps: u64,
    /// Packets that gave way for want of memory.
    pub evicted: u64,
    /// Fragments dropped at once, for whatever reason.
    pub dropped: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    interface: IfId,
    src: IpAddr,
    dst: IpAddr,
    id: u32,
    /// Part of the identity in IPv4 only (RFC 791 §3.2; RFC 8200 §4.5).
    proto: u8,
}

/// A packet being reassembled.
struct Packet {
    key: Key,
    /// Discarded for this reason; holds nothing any more.
    spoiled: Option<DropReason>,
    /// What the first fragment's headers say, and where its frame is in `data`, once it is here.
    first: Option<(Headers, u32)>,
    /// Length of the fragmentable part, once the last fragment is here.
    total: Option<u32>,
    /// Bytes of the fragmentable part that are here.
    have: u32,
    largest: u16,
    ce: bool,
    /// Bytes charged for it.
    charged: usize,
    buffers: Buffers,
}

/// The growing parts of a packet, reused.
#[derive(Default)]
struct Buffers {
    /// Data in order of arrival; that of the first fragment with the headers before it.
    data: Vec<u8>,
    /// Pieces in order of offset; they never overlap.
    pieces: Vec<Piece>,
}

#[derive(Clone, Copy)]
struct Piece {
    offset: u32,
    length: u32,
    /// Where its bytes are in `data`.
    at: u32,
}

impl Buffers {
    fn cost(&self) -> usize {
        self.data.capacity() + self.pieces.capacity() * size_of::<Piece>()
    }

    fn clear(&mut self) {
        self.data.clear();
        self.pieces.clear();
    }

    fn bytes(&self, piece: Piece) -> &[u8] {
        self.data
            .get(piece.at as usize..)
            .and_then(|from| from.get(..piece.length as usize))
            .unwrap_or_default()
    }
}

/// What there is to say of a packet in `out`.
struct Done {
    largest: u16,
    fragments: u16,
    df: bool,
}

/// Where a new piece goes.
enum Fit {
    /// Before the piece with this index.
    At(usize),
    /// It is there already.
    Copy,
    Overlaps,
}

impl Reassembler {
    /// An empty reassembler with the bounds of `config`; `seed` keys the hash.
    pub fn new(config: &Config, seed: u64) -> Self {
        let mut reassembler = Self {
            index: HashMap::with_hasher(Keyed::new(seed)),
            slots: Vec::new(),
            free: Vec::new(),
            deadlines: Deadlines::default(),
            spare: Vec::new(),
            events: VecDeque::new(),
            out: Vec::new(),
            used: 0,
            memory: 0,
            max_fragments: 0,
            timeout: Duration::ZERO,
            counters: ReassemblyCounters::default(),
        };
        reassembler.reload(config);
        reassembler
    }

    /// Takes new bounds. What is held keeps its deadline, but gives way at once if it is too much.
    pub fn reload(&mut self, config: &Config) {
        self.memory = config.limits.reassembly_memory as usize;
        self.max_fragments = usize::from(config.limits.fragments_per_packet).max(1);
        self.timeout = config.timeouts.reassembly;
        self.make_room(None);
    }

    /// Takes a fragment that came in by `interface`. A packet that is no fragment is complete as it
    /// is.
    pub fn push(
        &mut self,
        frame: &[u8],
        headers: &Headers,
        interface: IfId,
        now: Time,
    ) -> Outcome<'_> {
        if headers.fragment == Fragmentation::Whole {
            self.out.clear();
            self.out.extend_from_slice(frame);
            return Outcome::Complete(Reassembled {
                frame: &self.out,
                largest_fragment: u16::try_from(headers.ip_len()).unwrap_or(u16::MAX),
                fragments: 1,
                df: headers.df,
            });
        }
        self.counters.fragments += 1;
        match self.take(frame, headers, interface, now) {
            Ok(None) => Outcome::Held,
            Ok(Some(done)) => {
                self.counters.completed += 1;
                Outcome::Complete(Reassembled {
                    frame: &self.out,
                    largest_fragment: done.largest,
                    fragments: done.fragments,
                    df: done.df,
                })
            }
            Err(reason) => {
                self.counters.dropped += 1;
                Outcome::Drop(reason)
            }
        }
    }

    /// How waiting ended for some packet.
    pub fn poll_event(&mut self) -> Option<ReassemblyEvent> {
        self.events.pop_front()
    }

    /// When [`Reassembler::handle_timeout`] is next due.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.deadlines.first().map(|(at, _)| at)
    }

    /// Gives up what is due.
    pub fn handle_timeout(&mut self, now: Time) {
        while let Some(n) = self.deadlines.pop_due(now) {
            let Some(packet) = self.take_slot(n) else {
                continue;
            };
            if packet.spoiled.is_none() {
                self.counters.timed_out += 1;
                self.events.push_back(ReassemblyEvent::TimedOut {
                    interface: packet.key.interface,
                    fragments: packet.fragments(),
                    first_fragment: packet.first_frame().map(|(frame, _)| frame.to_vec()),
                });
            }
            self.recycle(packet.buffers);
        }
    }

    /// Discards all packets, oldest first, for `reason`.
    pub fn clear(&mut self, reason: DropReason) {
        while let Some((_, n)) = self.deadlines.first() {
            let Some(packet) = self.take_slot(n) else {
                self.deadlines.cancel(n);
                continue;
            };
            if packet.spoiled.is_none() {
                self.events.push_back(ReassemblyEvent::Discarded {
                    interface: packet.key.interface,
                    fragments: packet.fragments(),
                    reason,
                });
            }
            self.recycle(packet.buffers);
        }
    }

    /// Packets being reassembled or remembered as discarded.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether nothing is held or remembered.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Bytes in use, bookkeeping included.
    pub const fn memory_used(&self) -> usize {
        self.used
    }

    /// Counters.
    pub const fn counters(&self) -> &ReassemblyCounters {
        &self.counters
    }

    /// Takes a fragment in; if that completes the packet, leaves it in `out`.
    fn take(
        &mut self,
        frame: &[u8],
        headers: &Headers,
        interface: IfId,
        now: Time,
    ) -> Result<Option<Done>, DropReason> {
        let malformed = DropReason::FragmentMalformed;
        let place = position(frame, headers).ok_or(malformed)?;
        let whole = frame.get(..headers.end as usize).ok_or(malformed)?;
        let data = whole.get(usize::from(place.data)..).ok_or(malformed)?;
        if data.is_empty() || (place.more && !data.len().is_multiple_of(8)) {
            return Err(malformed);
        }
        let length = data.len() as u32;
        let proto = match headers.version().ok_or(malformed)? {
            IpVersion::V4 => place.proto,
            IpVersion::V6 => 0,
        };
        let key = Key { interface, src: headers.src(), dst: headers.dst(), id: place.id, proto };
        let n = match self.index.get(&key) {
            Some(n) => *n,
            None => self.begin(key, now)?,
        };
        let max_fragments = self.max_fragments;
        let Some(packet) = self.slots.get_mut(n as usize).and_then(Option::as_mut) else {
            return Err(DropReason::FragmentMemory);
        };
        if let Some(reason) = packet.spoiled {
            return Err(reason);
        }
        let index = match packet.fit(place.offset, data) {
            Fit::At(index) => index,
            Fit::Copy => {
                self.counters.duplicates += 1;
                return Ok(None);
            }
            Fit::Overlaps => return Err(self.spoil(n, DropReason::FragmentOverlap)),
        };
        let ends = place.offset + length;
        let total = match (place.more, packet.total) {
            (false, Some(total)) if total != ends => None,
            (true, Some(total)) if ends >= total => None,
            (false, None) if packet.extent() > ends => None,
            (false, _) => Some(Some(ends)),
            (true, total) => Some(total),
        };
        let Some(total) = total else {
            return Err(self.spoil(n, DropReason::FragmentEndConflict));
        };
        if packet.buffers.pieces.len() >= max_fragments {
            return Err(self.spoil(n, DropReason::FragmentTooMany));
        }

        packet.total = total;
        packet.have += length;
        packet.largest = packet.largest.max(u16::try_from(headers.ip_len()).unwrap_or(u16::MAX));
        packet.ce |= headers.tos & 3 == 3;
        let mut at = packet.buffers.data.len() as u32;
        if place.offset == 0 {
            packet.first = Some((*headers, at));
            packet.buffers.data.extend_from_slice(whole);
            at += u32::from(place.data);
        } else {
            packet.buffers.data.extend_from_slice(data);
        }
        let piece = Piece { offset: place.offset, length, at };
        packet.buffers.pieces.insert(index, piece);

        if packet.total == Some(packet.have) && packet.first.is_some() {
            return self.complete(n).map(Some);
        }
        self.charge(n);
        if self.make_room(Some(n)) { Ok(None) } else { Err(DropReason::FragmentMemory) }
    }

    /// Makes the record of a new packet.
    fn begin(&mut self, key: Key, now: Time) -> Result<u32, DropReason> {
        self.used += PACKET_OVERHEAD;
        if !self.make_room(None) || self.used > self.memory {
            self.used -= PACKET_OVERHEAD;
            return Err(DropReason::FragmentMemory);
        }
        let buffers = self.spare.pop().unwrap_or_default();
        let charged = PACKET_OVERHEAD + buffers.cost();
        let packet = Packet {
            key,
            spoiled: None,
            first: None,
            total: None,
            have: 0,
            largest: 0,
            ce: false,
            charged,
            buffers,
        };
        let n = match self.free.pop() {
            Some(n) => {
                if let Some(slot) = self.slots.get_mut(n as usize) {
                    *slot = Some(packet);
                }
                n
            }
            None => {
                self.slots.push(Some(packet));
                self.slots.len() as u32 - 1
            }
        };
        self.index.insert(key, n);
        self.deadlines.set(n, now + self.timeout);
        Ok(n)
    }

    fn complete(&mut self, n: u32) -> Result<Done, DropReason> {
        let packet = self.take_slot(n).ok_or(DropReason::FragmentMemory)?;
        let fragments = packet.fragments();
        let done = Done {
            largest: packet.largest,
            fragments,
            df: packet.first.as_ref().is_some_and(|(headers, _)| headers.df),
        };
        self.out.clear();
        let written = packet.write(&mut self.out);
        self.recycle(packet.buffers);
        if written.is_some() {
            return Ok(done);
        }
        // every fragment fitted with its own header, but not with the first one's
        if fragments > 1 {
            self.events.push_back(ReassemblyEvent::Discarded {
                interface: packet.key.interface,
                fragments: fragments - 1,
                reason: DropReason::FragmentTooLarge,
            });
        }
        Err(DropReason::FragmentTooLarge)
    }

    /// Discards a packet and remembers it; says why, for the fragment that caused it.
    fn spoil(&mut self, n: u32, reason: DropReason) -> DropReason {
        if reason == DropReason::FragmentOverlap {
            self.counters.overlaps += 1;
        }
        let Some(packet) = self.slots.get_mut(n as usize).and_then(Option::as_mut) else {
            return reason;
        };
        packet.spoiled = Some(reason);
        let (interface, fragments) = (packet.key.interface, packet.fragments());
        let buffers = core::mem::take(&mut packet.buffers);
        self.used -= packet.charged - PACKET_OVERHEAD;
        packet.charged = PACKET_OVERHEAD;
        self.recycle(buffers);
        if fragments > 0 {
            self.events.push_back(ReassemblyEvent::Discarded { interface, fragments, reason });
        }
        reason
    }

    /// Brings what is charged for a packet up to date.
    fn charge(&mut self, n: u32) {
        if let Some(packet) = self.slots.get_mut(n as usize).and_then(Option::as_mut) {
            let cost = PACKET_OVERHEAD + packet.buffers.cost();
            self.used = self.used - packet.charged + cost;
            packet.charged = cost;
        }
    }

    /// Frees memory until the bound holds: spare buffers first, then the packets that began first.
    /// Says whether `keep` is still there; its own fragments' end is reported, but the fragment at
    /// hand is the caller's.
    fn make_room(&mut self, keep: Option<u32>) -> bool {
        while self.used > self.memory {
            if let Some(buffers) = self.spare.pop() {
                self.used -= buffers.cost();
                continue;
            }
            let Some((_, n)) = self.deadlines.first() else {
                break;
            };
            let Some(packet) = self.take_slot(n) else {
                break;
            };
            let kept = keep == Some(n);
            if packet.spoiled.is_none() {
                self.counters.evicted += 1;
                let fragments = packet.fragments() - u16::from(kept);
                if fragments > 0 {
                    self.events.push_back(ReassemblyEvent::Discarded {
                        interface: packet.key.interface,
                        fragments,
                        reason: DropReason::FragmentMemory,
                    });
                }
            }
            if kept {
                return false;
            }
        }
        true
    }

    fn take_slot(&mut self, n: u32) -> Option<Packet> {
        let packet = self.slots.get_mut(n as usize)?.take()?;
        self.index.remove(&packet.key);
        self.deadlines.cancel(n);
        self.free.push(n);
        self.used -= packet.charged;
        Some(packet)
    }

    fn recycle(&mut self, mut buffers: Buffers) {
        let cost = buffers.cost();
        if cost > 0 && self.spare.len() < SPARE_BUFFERS && self.used + cost <= self.memory {
            buffers.clear();
            self.used += cost;
            self.spare.push(buffers);
        }
    }
}

impl Packet {
    fn fragments(&self) -> u16 {
        u16::try_from(self.buffers.pieces.len()).unwrap_or(u16::MAX)
    }

    /// End of the last piece.
    fn extent(&self) -> u32 {
        self.buffers.pieces.last().map_or(0, |piece| piece.offset + piece.length)
    }

    fn fit(&self, offset: u32, data: &[u8]) -> Fit {
        let pieces = &self.buffers.pieces;
        let index = pieces.partition_point(|piece| piece.offset < offset);
        let next = pieces.get(index).copied();
        if let Some(same) = next.filter(|piece| piece.offset == offset)
            && self.buffers.bytes(same) == data
        {
            return Fit::Copy;
        }
        let previous = index.checked_sub(1).and_then(|before| pieces.get(before));
        let ends = offset + data.len() as u32;
        let overlaps = previous.is_some_and(|piece| piece.offset + piece.length > offset)
            || next.is_some_and(|piece| piece.offset < ends);
        if overlaps { Fit::Overlaps } else { Fit::At(index) }
    }

    /// The frame of the first fragment, without Ethernet padding.
    fn first_frame(&self) -> Option<(&[u8], &Headers)> {
        let (headers, at) = self.first.as_ref()?;
        let from = self.buffers.data.get(*at as usize..)?;
        Some((from.get(..headers.end as usize)?, headers))
    }

    /// Writes the whole packet; only for one that is complete. The fragment fields of IPv4 are
    /// cleared, DF too, and CE is kept if any fragment had it (RFC 3168 §5.3).
    fn write(&self, out: &mut Vec<u8>) -> Option<()> {
        let (frame, headers) = self.first_frame()?;
        out.resize(frame.len(), 0);
        let length = write_whole_header(frame, headers, self.have, out)?;
        out.truncate(length);
        let ip = out.get_mut(usize::from(headers.l3)..)?;
        match headers.version()? {
            IpVersion::V4 => {
                if self.ce {
                    *ip.get_mut(1)? |= 3;
                }
                ip.get_mut(6..8)?.fill(0);
                ip.get_mut(10..12)?.fill(0);
                let sum = checksum::checksum(ip).to_be_bytes();
                ip.get_mut(10..12)?.copy_from_slice(&sum);
            }
            IpVersion::V6 => {
                if self.ce {
                    *ip.get_mut(1)? |= 0x30;
                }
            }
        }
        for piece in &self.buffers.pieces {
            out.extend_from_slice(self.buffers.bytes(*piece));
        }
        Some(())
    }
}
