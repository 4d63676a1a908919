//! A memif ring: a power of two of descriptors, each of a buffer, and two counters.
//!
//! The client owns the buffers and moves `head`, the server moves `tail`, whichever way frames go:
//!
//! | | the client fills buffers (it sends) | the server fills them (it sends) |
//! |---|---|---|
//! | `head` (client) | behind the last filled buffer | behind the last free one |
//! | `tail` (server) | behind the last emptied one | behind the last filled one |
//!
//! So each end keeps one counter of its own, reads the other's, and the distance is what it may
//! touch: [`Ring::reach`]. Nothing of our own is read back from shared memory. A distance above
//! the ring's size is a fault that ends the connection; a descriptor that points outside costs the
//! frame it belongs to.
//!
//! A frame that is longer than a buffer takes several, chained by a flag.

use std::{
    os::fd::OwnedFd,
    sync::{
        Arc,
        atomic::{Ordering, fence},
    },
};

use rustix::fs::OFlags;

use super::{MemifFault, MemifRole, message::AddRing};
use crate::{Frame, FramePool, LARGE_ROOM, PortCounters, SMALL_ROOM, shared::Region};

/// First word of every ring.
const COOKIE: u32 = 0x03e3_1f20;
/// Bytes before the first descriptor.
const HEADER_LEN: usize = 128;
/// Bytes of a descriptor.
const DESCRIPTOR_LEN: usize = 16;
const FLAGS_AT: usize = 4;
const HEAD_AT: usize = 6;
const TAIL_AT: usize = 64;
/// Ring flag: the receiver looks by itself, nobody need wake it.
const MASKED: u16 = 1;
/// Descriptor flag: the frame goes on in the next one.
const NEXT: u16 = 1;

/// The highest power of two of descriptors, as the protocol has it.
pub(super) const MAX_LOG2_RING_SIZE: u8 = 14;

/// Bytes a ring takes in its region.
pub(super) const fn ring_len(log2: u8) -> usize {
    HEADER_LEN + (DESCRIPTOR_LEN << log2)
}

/// One end of a ring.
pub(super) struct Ring {
    regions: Arc<[Region]>,
    /// The region it is in and where it starts there.
    region: usize,
    at: usize,
    size: u16,
    role: MemifRole,
    /// Our counter.
    index: u16,
    /// The client's buffers in its only region: where the first is. Empty for a server.
    buffers: Option<usize>,
    /// Wakes the receiver.
    event: OwnedFd,
}

/// The client's buffers are all of this size.
pub(super) const BUFFER_LEN: usize = 2048;

/// A part of a frame.
#[derive(Clone, Copy)]
struct Part {
    region: usize,
    at: usize,
    len: usize,
}

/// A descriptor, read once.
#[derive(Clone, Copy)]
struct Descriptor {
    flags: u16,
    region: u16,
    length: u32,
    offset: u32,
}

impl Ring {
    /// A ring in memory of ours, whose buffers start at `buffers` of the same region.
    pub(super) fn ours(
        regions: &Arc<[Region]>,
        at: usize,
        log2: u8,
        buffers: usize,
        event: OwnedFd,
    ) -> Self {
        let regions = Arc::clone(regions);
        let (role, size) = (MemifRole::Client, 1 << log2);
        let ring =
            Self { regions, region: 0, at, size, role, index: 0, buffers: Some(buffers), event };
        ring.memory().u32_at(at).store(COOKIE, Ordering::Relaxed);
        for slot in 0..size {
            let buffer = (buffers + usize::from(slot) * BUFFER_LEN) as u32;
            let base = ring.descriptor_at(slot);
            ring.memory().u32_at(base).store(0, Ordering::Relaxed);
            ring.memory().u32_at(base + 4).store(BUFFER_LEN as u32, Ordering::Relaxed);
            ring.memory().u32_at(base + 8).store(buffer, Ordering::Relaxed);
        }
        ring
    }

    /// A ring where the peer says that one is.
    pub(super) fn theirs(
        regions: &Arc<[Region]>,
        place: &AddRing,
        event: OwnedFd,
    ) -> Result<Self, MemifFault> {
        let (region, at) = (usize::from(place.region), place.offset as usize);
        let memory = regions.get(region).ok_or(MemifFault::RingPlace)?;
        if !(1..=MAX_LOG2_RING_SIZE).contains(&place.log2_ring_size)
            || !at.is_multiple_of(4)
            || !memory.holds(at, ring_len(place.log2_ring_size))
        {
            return Err(MemifFault::RingPlace);
        }
        if memory.u32_at(at).load(Ordering::Acquire) != COOKIE {
            return Err(MemifFault::RingCookie);
        }
        // A full event descriptor is not to hold us up.
        rustix::fs::fcntl_setfl(&event, OFlags::NONBLOCK).map_err(|_| MemifFault::NoDescriptor)?;
        Ok(Self {
            regions: Arc::clone(regions),
            region,
            at,
            size: 1 << place.log2_ring_size,
            role: MemifRole::Server,
            index: 0,
            buffers: None,
            event,
        })
    }

    pub(super) const fn size(&self) -> u16 {
        self.size
    }

    pub(super) const fn event(&self) -> &OwnedFd {
        &self.event
    }

    /// Wakes the receiver. A full event means that it has been told often enough.
    pub(super) fn wake(&self) {
        let _full = rustix::io::write(&self.event, &1u64.to_ne_bytes());
    }

    /// Whether the peer wants to be woken.
    fn wants_event(&self) -> bool {
        // The peer clears the flag and then looks at the counter; we wrote the counter and now look
        // at the flag. One of the two is seen, as both have a full fence in between.
        fence(Ordering::SeqCst);
        self.memory().u16_at(self.at + FLAGS_AT).load(Ordering::Relaxed) & MASKED == 0
    }

    fn memory(&self) -> &Region {
        &self.regions[self.region]
    }

    fn descriptor_at(&self, index: u16) -> usize {
        self.at + HEADER_LEN + usize::from(index & (self.size - 1)) * DESCRIPTOR_LEN
    }

    fn descriptor(&self, index: u16) -> Descriptor {
        let (memory, base) = (self.memory(), self.descriptor_at(index));
        let first = memory.u32_at(base).load(Ordering::Relaxed);
        Descriptor {
            flags: first as u16,
            region: (first >> 16) as u16,
            length: memory.u32_at(base + 4).load(Ordering::Relaxed),
            offset: memory.u32_at(base + 8).load(Ordering::Relaxed),
        }
    }

    /// Where the buffer of a descriptor is. `length` of it is the room of a buffer of the peer, and
    /// of one of ours that the peer filled what it says to have put there.
    fn part(&self, index: u16, descriptor: Descriptor) -> Option<Part> {
        let len = descriptor.length as usize;
        match self.buffers {
            Some(first) => {
                let at = first + usize::from(index & (self.size - 1)) * BUFFER_LEN;
                (len <= BUFFER_LEN).then_some(Part { region: 0, at, len })
            }
            None => {
                let (region, at) = (usize::from(descriptor.region), descriptor.offset as usize);
                self.regions.get(region)?.holds(at, len).then_some(Part { region, at, len })
            }
        }
    }

    /// The counter that the peer moves.
    fn their_counter(&self) -> u16 {
        let at = match self.role {
            MemifRole::Server => HEAD_AT,
            MemifRole::Client => TAIL_AT,
        };
        self.memory().u16_at(self.at + at).load(Ordering::Acquire)
    }

    /// How far the peer's counter, `ahead` of it, is from ours.
    fn reach(&self, ahead: u16) -> Result<u16, MemifFault> {
        let reach = self.their_counter().wrapping_add(ahead).wrapping_sub(self.index);
        if reach <= self.size { Ok(reach) } else { Err(MemifFault::RingCounter) }
    }

    /// Shows the peer our counter, `ahead` of it.
    fn publish(&self, ahead: u16) {
        let at = match self.role {
            MemifRole::Server => TAIL_AT,
            MemifRole::Client => HEAD_AT,
        };
        let counter = self.index.wrapping_add(ahead);
        self.memory().u16_at(self.at + at).store(counter, Ordering::Release);
    }
}

/// The end that takes frames.
pub(super) struct Receiver {
    ring: Ring,
    /// Whether the peer is asked to wake us.
    armed: bool,
    /// Parts of the frame at hand; room for a whole ring, so that it never grows.
    parts: Vec<Part>,
    /// Frames of the burst at hand that are not filled yet; empty between bursts.
    blank: Vec<Frame>,
}

impl Receiver {
    /// As client, gives the peer all buffers.
    pub(super) fn new(ring: Ring) -> Self {
        let parts = Vec::with_capacity(usize::from(ring.size));
        let mut receiver = Self { ring, armed: true, parts, blank: Vec::new() };
        receiver.mask(false);
        receiver.publish();
        receiver
    }

    pub(super) const fn ring(&self) -> &Ring {
        &self.ring
    }

    /// Takes up to `max` frames. None waiting leaves the peer asked to wake us.
    pub(super) fn receive(
        &mut self,
        pool: &Arc<FramePool>,
        into: &mut Vec<Frame>,
        max: usize,
        counters: &mut PortCounters,
    ) -> Result<usize, MemifFault> {
        let mut waiting = self.ring.reach(0)?;
        if waiting == 0 && !self.armed {
            self.mask(false);
            fence(Ordering::SeqCst);
            waiting = self.ring.reach(0)?;
        }
        if waiting == 0 {
            return Ok(0);
        }
        if self.armed {
            self.mask(true);
        }
        let most = max.min(usize::from(waiting));
        for ahead in 0..most as u16 {
            let index = self.ring.index.wrapping_add(ahead);
            if let Some(part) = self.ring.part(index, self.ring.descriptor(index)) {
                self.ring.regions[part.region].prefetch(part.at);
            }
        }
        pool.alloc_burst(SMALL_ROOM, most, &mut self.blank);
        let before = into.len();
        // A broken frame uses up a turn, so that the loop ends whatever the peer writes.
        for _ in 0..most {
            if waiting == 0 {
                break;
            }
            let (used, whole) = self.collect(waiting);
            waiting -= used;
            if whole {
                self.take(pool, into, counters);
            } else {
                counters.rx_errors += 1;
            }
            self.give_back(used);
        }
        pool.free_burst(&mut self.blank);
        self.publish();
        if into.len() == before {
            // All were broken, or no buffer was left: whoever got nothing may sleep, and the peer was asked
            // not to wake us. What still waits wakes us itself.
            self.mask(false);
            self.ring.wake();
        }
        Ok(into.len() - before)
    }

    /// Reads the descriptors of the next frame, of `waiting` at most; says how many they are and
    /// whether the frame is whole and inside the memory.
    fn collect(&mut self, waiting: u16) -> (u16, bool) {
        self.parts.clear();
        let mut good = true;
        for ahead in 0..waiting {
            let index = self.ring.index.wrapping_add(ahead);
            let descriptor = self.ring.descriptor(index);
            match self.ring.part(index, descriptor) {
                Some(part) => self.parts.push(part),
                None => good = false,
            }
            if descriptor.flags & NEXT == 0 {
                return (ahead + 1, good);
            }
        }
        (waiting, false)
    }

    /// Copies the frame whose parts were collected.
    fn take(&mut self, pool: &Arc<FramePool>, into: &mut Vec<Frame>, counters: &mut PortCounters) {
        let len = self.parts.iter().map(|part| part.len).sum::<usize>();
        if len == 0 || len > LARGE_ROOM {
            counters.rx_errors += 1;
            return;
        }
        let frame = if len <= SMALL_ROOM { self.blank.pop() } else { pool.alloc(len) };
        let Some(mut frame) = frame else {
            counters.rx_dropped += 1;
            return;
        };
        frame.truncate(len);
        let mut rest = frame.bytes_mut();
        for part in &self.parts {
            let (here, behind) = rest.split_at_mut(part.len);
            let inside = self.ring.regions[part.region].copy_out(part.at, here);
            debug_assert!(inside, "collected parts lie inside");
            rest = behind;
        }
        counters.count_rx(&frame);
        into.push(frame);
    }

    /// Passes over `used` descriptors; a client makes them free buffers again.
    fn give_back(&mut self, used: u16) {
        if self.ring.buffers.is_some() {
            for ahead in 0..used {
                let base = self.ring.descriptor_at(self.ring.index.wrapping_add(ahead));
                let memory = self.ring.memory();
                memory.u16_at(base).store(0, Ordering::Relaxed);
                memory.u32_at(base + 4).store(BUFFER_LEN as u32, Ordering::Relaxed);
            }
        }
        self.ring.index = self.ring.index.wrapping_add(used);
    }

    fn publish(&self) {
        self.ring.publish(match self.ring.role {
            MemifRole::Server => 0,
            MemifRole::Client => self.ring.size,
        });
    }

    /// Asks the peer not to wake us, or to do so.
    fn mask(&mut self, masked: bool) {
        let flags = if masked { MASKED } else { 0 };
        self.ring.memory().u16_at(self.ring.at + FLAGS_AT).store(flags, Ordering::Relaxed);
        self.armed = !masked;
    }
}

/// The end that gives frames.
pub(super) struct Sender {
    ring: Ring,
    /// Where the parts of the frame at hand go; room for a whole ring, so that it never grows.
    parts: Vec<Part>,
}

impl Sender {
    pub(super) fn new(ring: Ring) -> Self {
        let parts = Vec::with_capacity(usize::from(ring.size));
        Self { ring, parts }
    }

    pub(super) const fn ring(&self) -> &Ring {
        &self.ring
    }

    /// Sends what there is room for and counts the rest as dropped; true when the peer wants to be
    /// woken for it.
    pub(super) fn send(
        &mut self,
        frames: &[Frame],
        counters: &mut PortCounters,
    ) -> Result<bool, MemifFault> {
        let mut free = self.ring.reach(match self.ring.role {
            MemifRole::Server => 0,
            MemifRole::Client => self.ring.size,
        })?;
        let mut sent = false;
        for frame in frames {
            if !self.find_room(frame.len(), free)? {
                counters.tx_dropped += 1;
                continue;
            }
            self.put(frame.bytes());
            free -= self.parts.len() as u16;
            sent = true;
            counters.count_tx(frame);
        }
        if sent {
            self.ring.publish(0);
        }
        Ok(sent && self.ring.wants_event())
    }

    /// Collects buffers for `len` bytes, of `free` at most; false when they are too few.
    fn find_room(&mut self, len: usize, free: u16) -> Result<bool, MemifFault> {
        self.parts.clear();
        let mut missing = len;
        for ahead in 0..free {
            let index = self.ring.index.wrapping_add(ahead);
            let room = match self.ring.buffers {
                Some(_) => Descriptor { flags: 0, region: 0, length: BUFFER_LEN as u32, offset: 0 },
                None => self.ring.descriptor(index),
            };
            let mut part = self
                .ring
                .part(index, room)
                .filter(|part| part.len > 0)
                .ok_or(MemifFault::BufferPlace)?;
            part.len = part.len.min(missing);
            missing -= part.len;
            self.parts.push(part);
            if missing == 0 {
                return Ok(len > 0);
            }
        }
        Ok(false)
    }

    /// Writes a frame into the buffers collected for it, and shows nothing of it yet.
    fn put(&mut self, frame: &[u8]) {
        let (mut rest, memory) = (frame, self.ring.memory());
        for (ahead, part) in self.parts.iter().enumerate() {
            let (here, behind) = rest.split_at(part.len);
            let inside = self.ring.regions[part.region].copy_in(part.at, here);
            debug_assert!(inside, "collected parts lie inside");
            let base = self.ring.descriptor_at(self.ring.index.wrapping_add(ahead as u16));
            let flags = if behind.is_empty() { 0 } else { NEXT };
            memory.u16_at(base).store(flags, Ordering::Relaxed);
            memory.u32_at(base + 4).store(part.len as u32, Ordering::Relaxed);
            rest = behind;
        }
        self.ring.index = self.ring.index.wrapping_add(self.parts.len() as u16);
    }
}

#[cfg(test)]
#[path = "ring_tests.rs"]
mod tests;
