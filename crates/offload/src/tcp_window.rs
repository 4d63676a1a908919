//! TCP window state of sessions, shared by both tiers.
//!
//! The check is the one of "Real Stateful TCP Packet Filtering in IP Filter" (van Rooij): for each
//! side the highest sequence number it has sent and may send, and the largest window it offered.
//! State lives here, in atomics, and both tiers call [`TcpWindows::check`]; a session that moves
//! between tiers moves nothing.
//!
//! Limits. SACK blocks are not read; a hole only makes the acknowledgement stand still, which the
//! check allows. A segment passes by where it *starts*, so a super-packet may reach past the edge.
//! Everything in the past or ahead is allowed [`SLACK`] bytes of error. The fields of a side are
//! written one by one: two workers that check both directions at once may each see the other's
//! field a segment late, which the slack covers.

use core::fmt;
use std::sync::{
    Mutex, OnceLock, PoisonError,
    atomic::{AtomicU32, Ordering::Relaxed},
};

use crate::Direction;

/// Bytes a segment may lie further back than the window says: one super-packet.
pub const SLACK: u32 = 65_536;

/// Largest shift count of the window scale option (RFC 7323 §2.3).
pub const MAX_SCALE: u8 = 14;

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// What a segment looks like to the check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number.
    pub ack: u32,
    /// Window field, not scaled.
    pub window: u16,
    /// Payload bytes; SYN and FIN are counted from the flags.
    pub len: u32,
    /// TCP flags byte.
    pub flags: u8,
}

impl Segment {
    const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The sequence number after the segment.
    pub const fn end(&self) -> u32 {
        self.seq
            .wrapping_add(self.len)
            .wrapping_add(self.has(SYN) as u32)
            .wrapping_add(self.has(FIN) as u32)
    }
}

/// Which condition of the check a segment fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowFault {
    /// It starts beyond what the receiver allowed.
    SeqAhead,
    /// It ends before anything the receiver may still want.
    SeqBehind,
    /// It acknowledges what was never sent.
    AckAhead,
    /// Its acknowledgement is older than any that may still be on its way.
    AckBehind,
    /// It is neither SYN nor RST and acknowledges nothing (RFC 9293 §3.10.7.4).
    NoAck,
    /// No handshake has put numbers on its side yet.
    NoHandshake,
}

impl WindowFault {
    /// The fault in one kebab-case word, as evidence prints it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SeqAhead => "seq-ahead",
            Self::SeqBehind => "seq-behind",
            Self::AckAhead => "ack-ahead",
            Self::AckBehind => "ack-behind",
            Self::NoAck => "no-ack",
            Self::NoHandshake => "no-handshake",
        }
    }
}

/// Whether a segment lies in the window, and what says it does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowVerdict {
    /// It does.
    Ok,
    /// It does not.
    Outside {
        /// Which condition it fails.
        fault: WindowFault,
        /// The number that fails: the start or the end of the segment, or its acknowledgement.
        value: u32,
        /// Lowest number that would have passed.
        low: u32,
        /// Highest number that would have passed.
        high: u32,
    },
}

impl WindowVerdict {
    /// Whether the segment lies in the window.
    pub const fn is_ok(&self) -> bool {
        matches!(self, Self::Ok)
    }
}

/// `ok`, or `seq-ahead 1200 not in 100..=1000`
impl fmt::Display for WindowVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Ok => f.write_str("ok"),
            Self::Outside { fault, value, low, high } => {
                write!(f, "{} {value} not in {low}..={high}", fault.name())
            }
        }
    }
}

/// What a reset is worth (RFC 5961 §3.2, RFC 9293 §3.10.7.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RstVerdict {
    /// It carries the next expected sequence number (or, against a SYN, acknowledges it): genuine.
    Exact,
    /// It lies in the window but not at its start: the receiver would answer with a challenge ACK.
    InWindow {
        /// Its sequence number.
        seq: u32,
        /// The one expected.
        expected: u32,
    },
    /// It lies outside the window.
    Outside {
        /// Its sequence number, or its acknowledgement when it answers a SYN.
        value: u32,
        /// Lowest number that would have lain in the window.
        low: u32,
        /// Highest number that would have lain in the window.
        high: u32,
    },
}

/// Slots made at once: memory follows the sessions, not the limit.
const CHUNK: u32 = 1_024;

/// A bounded slab of window states, allocated by the slow path.
pub struct TcpWindows {
    /// Chunks of [`CHUNK`] slots, made when their first slot is taken and never unmade.
    chunks: Box<[OnceLock<Box<[Slot]>>]>,
    capacity: u32,
    free: Mutex<Free>,
}

/// The window states of the two sides of a session: half a cache line.
#[repr(align(32))]
struct Slot {
    sides: [Side; 2],
}

struct Side {
    /// Highest sequence number sent, plus one.
    end: AtomicU32,
    /// Highest sequence number allowed, plus one: the peer's acknowledgement plus its window.
    max_end: AtomicU32,
    /// Highest acknowledgement sent.
    ack: AtomicU32,
    /// See [`Offer`].
    offer: AtomicU32,
}

/// The largest window a side has offered, its scale, and whether it has spoken, in one word: the
/// window in bits 6.., in units of 16 bytes, rounded up; at most 65535 << 14 (RFC 7323 §2.2).
#[derive(Clone, Copy)]
struct Offer(u32);

impl Offer {
    const SCALE: u32 = 0x0f;
    const SPOKEN: u32 = 1 << 4;
    const SCALES: u32 = 1 << 5;

    fn new(window: u32, scale: Option<u8>) -> Self {
        let scale = match scale {
            Some(scale) => Self::SCALES | u32::from(scale.min(MAX_SCALE)),
            None => 0,
        };
        Self(window.div_ceil(16) << 6 | Self::SPOKEN | scale)
    }

    const fn spoken(self) -> bool {
        self.0 & Self::SPOKEN != 0
    }

    const fn scales(self) -> bool {
        self.0 & Self::SCALES != 0
    }

    const fn unscaled(self) -> Self {
        Self(self.0 & !(Self::SCALE | Self::SCALES))
    }

    const fn scale(self) -> u32 {
        self.0 & Self::SCALE
    }

    const fn window(self) -> u32 {
        (self.0 >> 6) << 4
    }

    const fn widened(self, window: u32) -> Self {
        Self(window.div_ceil(16) << 6 | self.0 & 0x3f)
    }
}

#[derive(Default)]
struct Free {
    never_used: u32,
    returned: Vec<u32>,
}

impl TcpWindows {
    /// Room for `capacity` sessions.
    pub fn new(capacity: u32) -> Self {
        let chunks = (0..capacity.div_ceil(CHUNK)).map(|_| OnceLock::new()).collect();
        Self { chunks, capacity, free: Mutex::default() }
    }

    /// Takes a slot. Only the slow path calls it.
    pub fn alloc(&self) -> Option<u32> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = free.returned.pop() {
            return Some(index);
        }
        let index = free.never_used;
        if index < self.capacity {
            self.chunks.get((index / CHUNK) as usize)?.get_or_init(Self::chunk);
            free.never_used += 1;
            Some(index)
        } else {
            None
        }
    }

    fn chunk() -> Box<[Slot]> {
        let side = || Side {
            end: AtomicU32::new(0),
            max_end: AtomicU32::new(0),
            ack: AtomicU32::new(0),
            offer: AtomicU32::new(0),
        };
        (0..CHUNK).map(|_| Slot { sides: [side(), side()] }).collect()
    }

    #[inline]
    fn slot(&self, index: u32) -> Option<&Slot> {
        self.chunks.get((index / CHUNK) as usize)?.get()?.get((index % CHUNK) as usize)
    }

    /// Gives a slot back. Only the slow path calls it, once per [`TcpWindows::alloc`].
    pub fn free(&self, index: u32) {
        let Some(slot) = self.slot(index) else {
            return;
        };
        slot.sides.iter().for_each(Side::clear);
        self.free.lock().unwrap_or_else(PoisonError::into_inner).returned.push(index);
    }

    /// How many slots are taken.
    pub fn used(&self) -> u32 {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.never_used - free.returned.len() as u32
    }

    /// How many slots there are.
    pub fn capacity(&self) -> u32 {
        self.capacity
    }

    /// Bytes of memory taken.
    pub fn memory(&self) -> u64 {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let made = self.chunks.iter().filter(|chunk| chunk.get().is_some()).count();
        let slots = made * CHUNK as usize * size_of::<Slot>() + size_of_val(&*self.chunks);
        (slots + free.returned.capacity() * size_of::<u32>()) as u64
    }

    /// Starts a session from its opening SYN, or starts it again from another one. `scale` is the
    /// shift count of the segment's window scale option.
    pub fn open(&self, index: u32, syn: &Segment, scale: Option<u8>) {
        let Some(slot) = self.slot(index) else {
            return;
        };
        let [original, reply] = &slot.sides;
        reply.clear();
        // what the peer is known to expect: the SYN counts as one (RFC 9293 §3.4)
        reply.ack.store(syn.seq.wrapping_add(1), Relaxed);
        original.end.store(syn.end(), Relaxed);
        original.max_end.store(syn.end(), Relaxed);
        original.ack.store(0, Relaxed);
        original.offer.store(Offer::new(u32::from(syn.window), scale).0, Relaxed);
    }

    /// Takes the answer to the SYN: a SYN-ACK, or the peer's own SYN when both open at once
    /// (RFC 9293 §3.5). Windows are scaled from here on if both sides offered it (RFC 7323 §2.2).
    pub fn synack(&self, index: u32, segment: &Segment, scale: Option<u8>) -> WindowVerdict {
        let Some((original, reply)) = self.pair(index, Direction::Original) else {
            return outside(WindowFault::NoHandshake, segment.seq, 0, 0);
        };
        let (low, high) = (reply.ack.load(Relaxed), original.end.load(Relaxed));
        let ack = if segment.has(ACK) { segment.ack } else { low };
        if after(ack, high) {
            return outside(WindowFault::AckAhead, ack, low, high);
        }
        if after(low, ack) {
            return outside(WindowFault::AckBehind, ack, low, high);
        }
        let (mut mine, mut peers) =
            (Offer(original.offer.load(Relaxed)), Offer::new(u32::from(segment.window), scale));
        if !(mine.scales() && peers.scales()) {
            (mine, peers) = (mine.unscaled(), peers.unscaled());
        }
        original.offer.store(mine.0, Relaxed);
        raise(&original.max_end, ack.wrapping_add(u32::from(segment.window).max(1)));
        original.ack.store(segment.seq.wrapping_add(1), Relaxed);
        reply.end.store(segment.end(), Relaxed);
        reply.max_end.store(segment.end().wrapping_add(mine.window()), Relaxed);
        reply.ack.store(ack, Relaxed);
        reply.offer.store(peers.0, Relaxed);
        WindowVerdict::Ok
    }

    /// Whether a segment lies in the window; updates the state if it does. A reset is checked but
    /// changes nothing; whether it is genuine is a question for [`TcpWindows::check_reset`].
    #[inline]
    pub fn check(&self, index: u32, from: Direction, segment: &Segment) -> WindowVerdict {
        let Some((me, peer)) = self.pair(index, from) else {
            return outside(WindowFault::NoHandshake, segment.seq, 0, 0);
        };
        let (mine, peers) = (Offer(me.offer.load(Relaxed)), Offer(peer.offer.load(Relaxed)));
        if !(mine.spoken() && (peers.spoken() || !segment.has(ACK))) {
            return self.before_handshake(me, peer, mine, segment);
        }
        let (seq, end) = (segment.seq, segment.end());
        let (my_end, my_max) = (me.end.load(Relaxed), me.max_end.load(Relaxed));
        let low = my_end.wrapping_sub(peers.window()).wrapping_sub(SLACK);
        if after(seq, my_max) {
            return outside(WindowFault::SeqAhead, seq, low, my_max);
        }
        if after(low, end) {
            return outside(WindowFault::SeqBehind, end, low, my_max);
        }
        if segment.has(RST) {
            return WindowVerdict::Ok;
        }
        let window = u32::from(segment.window);
        if !segment.has(ACK) {
            if !segment.has(SYN) {
                return outside(WindowFault::NoAck, seq, low, my_max);
            }
            store_raised(&me.end, my_end, end);
            return WindowVerdict::Ok;
        }
        let ack = segment.ack;
        let peer_end = peer.end.load(Relaxed);
        let oldest = peer_end.wrapping_sub(mine.window()).wrapping_sub(SLACK);
        if after(ack, peer_end) {
            return outside(WindowFault::AckAhead, ack, oldest, peer_end);
        }
        if after(oldest, ack) {
            return outside(WindowFault::AckBehind, ack, oldest, peer_end);
        }
        // the window of a SYN is never scaled (RFC 7323 §2.2)
        let window = if segment.has(SYN) { window } else { window << mine.scale() };
        store_raised(&me.end, my_end, end);
        raise(&me.ack, ack);
        if window > mine.window() {
            me.offer.store(mine.widened(window).0, Relaxed);
        }
        // a closed window is probed with one byte (RFC 9293 §3.8.6.1)
        raise(&peer.max_end, ack.wrapping_add(window.max(1)));
        WindowVerdict::Ok
    }

    /// What a reset from that side is worth.
    pub fn check_reset(&self, index: u32, from: Direction, segment: &Segment) -> RstVerdict {
        let Some((me, peer)) = self.pair(index, from) else {
            return RstVerdict::Outside { value: segment.seq, low: 0, high: 0 };
        };
        let expected = peer.ack.load(Relaxed);
        if !Offer(me.offer.load(Relaxed)).spoken() {
            // the answer to a SYN: only its acknowledgement counts (RFC 9293 §3.10.7.3)
            let (low, high) = (me.ack.load(Relaxed), peer.end.load(Relaxed));
            let spoken = Offer(peer.offer.load(Relaxed)).spoken();
            return if spoken && segment.has(ACK) && between(low, segment.ack, high) {
                RstVerdict::Exact
            } else {
                RstVerdict::Outside { value: segment.ack, low, high }
            };
        }
        let (end, max_end) = (me.end.load(Relaxed), me.max_end.load(Relaxed));
        // what the receiver expects is what it last acknowledged, or, if that is still on its way,
        // what was last sent
        if segment.seq == expected || segment.seq == end {
            RstVerdict::Exact
        } else if between(expected, segment.seq, max_end) {
            RstVerdict::InWindow { seq: segment.seq, expected }
        } else {
            RstVerdict::Outside { value: segment.seq, low: expected, high: max_end }
        }
    }

    /// The sequence number after the last that side has sent; `None` before it has spoken.
    pub fn expected_seq(&self, index: u32, from: Direction) -> Option<u32> {
        let (me, _) = self.pair(index, from)?;
        Offer(me.offer.load(Relaxed)).spoken().then(|| me.end.load(Relaxed))
    }

    /// The highest sequence number that side has acknowledged; `None` before it has spoken.
    pub fn acknowledged(&self, index: u32, from: Direction) -> Option<u32> {
        let (me, _) = self.pair(index, from)?;
        Offer(me.offer.load(Relaxed)).spoken().then(|| me.ack.load(Relaxed))
    }

    fn pair(&self, index: u32, from: Direction) -> Option<(&Side, &Side)> {
        let [original, reply] = &self.slot(index)?.sides;
        Some(match from {
            Direction::Original => (original, reply),
            Direction::Reply => (reply, original),
        })
    }

    /// Before both have spoken only a reset of the SYN passes here; the rest is for
    /// [`TcpWindows::open`] and [`TcpWindows::synack`].
    #[cold]
    fn before_handshake(
        &self,
        me: &Side,
        peer: &Side,
        mine: Offer,
        segment: &Segment,
    ) -> WindowVerdict {
        let (low, high) = (me.ack.load(Relaxed), peer.end.load(Relaxed));
        let answers_syn = !mine.spoken()
            && Offer(peer.offer.load(Relaxed)).spoken()
            && segment.has(RST)
            && segment.has(ACK);
        if answers_syn && between(low, segment.ack, high) {
            WindowVerdict::Ok
        } else {
            outside(WindowFault::NoHandshake, segment.ack, low, high)
        }
    }
}

impl Side {
    fn clear(&self) {
        self.offer.store(0, Relaxed);
        self.end.store(0, Relaxed);
        self.max_end.store(0, Relaxed);
        self.ack.store(0, Relaxed);
    }
}

const fn outside(fault: WindowFault, value: u32, low: u32, high: u32) -> WindowVerdict {
    WindowVerdict::Outside { fault, value, low, high }
}

/// Whether `a` comes after `b` (RFC 9293 §3.4: all arithmetic modulo 2^32).
const fn after(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) > 0
}

const fn between(low: u32, x: u32, high: u32) -> bool {
    !after(low, x) && !after(x, high)
}

fn raise(field: &AtomicU32, to: u32) {
    store_raised(field, field.load(Relaxed), to);
}

/// Writes only what changed, so that a one-way flow keeps the peer's line clean.
fn store_raised(field: &AtomicU32, now: u32, to: u32) {
    if after(to, now) {
        field.store(to, Relaxed);
    }
}

#[cfg(test)]
mod tests;
