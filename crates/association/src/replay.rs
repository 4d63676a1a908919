//! A replay window (RFC 4303 §3.4.3, RFC 6479; RFC 6347 §4.1.2.6), without locks.
//!
//! Numbers are kept in blocks of 32. A slot holds one block: the block's turn in the upper half of
//! a word and one bit per number in the lower. There is at least one slot more than the blocks
//! the window can touch, so a block inside the window never shares its slot with another one
//! inside. A later block takes a slot over in the same compare-exchange that sets its first bit,
//! so a jump of any size costs the same, and of two threads with one number one loses.
//!
//! Limit: a turn has 32 bits, so a slot nobody touched for 2^31 turns (at least 2^37 numbers) looks
//! as if it were ahead and may refuse good packets; it never lets a bad one pass.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

/// Numbers per block.
const BLOCK: u64 = 32;

/// Slots of a line.
const LINE: usize = 16;

/// Slots that are fetched together, aligned as [`ports::huge`] wants it.
#[derive(Default)]
#[repr(align(128))]
struct Line([AtomicU64; LINE]);

/// The numbers that were received, as far back as the window goes. Numbers begin at 1.
pub struct Replay {
    /// The highest number accepted.
    top: AtomicU64,
    lines: Box<[Line]>,
    /// Numbers the window spans; 0 when there is no check.
    window: u32,
    /// log2 of the number of slots.
    slots_log2: u8,
    esn: bool,
}

impl Replay {
    /// A window of `window` numbers that ends with `top`; everything up to it counts as seen.
    pub fn new(window: u32, esn: bool, top: u64) -> Self {
        let blocks = u64::from(window).div_ceil(BLOCK);
        let slots = if window == 0 { 0 } else { (blocks + 1).next_power_of_two() };
        let this = Self {
            top: AtomicU64::new(top),
            window,
            slots_log2: slots.max(1).trailing_zeros() as u8,
            lines: (0..slots.div_ceil(LINE as u64)).map(|_| Line::default()).collect(),
            esn,
        };
        // slots nobody has used yet belong to the turn before, or the very first
        let (_, turn) = this.place(top);
        for slot in this.lines.iter().flat_map(|line| &line.0) {
            slot.store(pack(turn.saturating_sub(1), 0), Ordering::Relaxed);
        }
        this.mark_seen(top);
        this
    }

    /// Marks the window below and at `top` as seen, all of it.
    fn mark_seen(&self, top: u64) {
        if self.window == 0 || top == 0 {
            return;
        }
        let first = top.saturating_sub(u64::from(self.window));
        for block in first / BLOCK..=top / BLOCK {
            let bits = if block == top / BLOCK { seen_up_to(top % BLOCK) } else { u32::MAX };
            let (slot, turn) = self.place(block * BLOCK);
            if let Some(slot) = self.slot(slot) {
                slot.store(pack(turn, bits), Ordering::Relaxed);
            }
        }
    }

    /// The highest number accepted.
    pub fn top(&self) -> u64 {
        self.top.load(Ordering::Acquire)
    }

    /// The whole sequence number of a packet that carries `low`.
    ///
    /// With ESN the upper half is inferred from the highest number accepted (RFC 4303 appendix
    /// A2.2); without a window the nearer of the two candidates is it. `None` when that would lie
    /// before the first number.
    #[inline]
    pub fn infer(&self, low: u32) -> Option<u64> {
        if !self.esn {
            return Some(u64::from(low));
        }
        let top = self.top();
        let (high, top_low) = ((top >> 32) as u32, top as u32);
        let window = if self.window == 0 { 1 << 31 } else { self.window };
        let bottom = top_low.wrapping_sub(window - 1);
        let high = if top_low >= window - 1 {
            // the window lies in one subspace
            if low >= bottom { high } else { high.checked_add(1)? }
        } else if low >= bottom {
            // the window spans two, and the number is in the lower
            high.checked_sub(1)?
        } else {
            high
        };
        Some(u64::from(high) << 32 | u64::from(low))
    }

    /// Whether `number` could be accepted now. Changes nothing.
    #[inline]
    pub fn check(&self, number: u64) -> Result<(), ReplayError> {
        if self.window == 0 {
            return Ok(());
        }
        let top = self.top();
        if number > top {
            return Ok(());
        }
        if number == 0 || top - number >= u64::from(self.window) {
            return Err(ReplayError::TooOld);
        }
        let (slot, turn) = self.place(number);
        let word = self.slot(slot).map_or(0, |slot| slot.load(Ordering::Acquire));
        if !owned(word, turn) {
            return if is_later(word, turn) { Err(ReplayError::TooOld) } else { Ok(()) };
        }
        if word & bit(number) != 0 { Err(ReplayError::Replayed) } else { Ok(()) }
    }

    /// Accepts `number`, of a packet that is authentic. Of all calls with one number one succeeds.
    #[inline]
    pub fn accept(&self, number: u64) -> Result<(), ReplayError> {
        let top = self.top();
        if self.window != 0 {
            if number <= top && (number == 0 || top - number >= u64::from(self.window)) {
                return Err(ReplayError::TooOld);
            }
            self.set(number)?;
        }
        if number > top {
            self.top.fetch_max(number, Ordering::AcqRel);
        }
        Ok(())
    }

    #[inline]
    fn set(&self, number: u64) -> Result<(), ReplayError> {
        let (slot, turn) = self.place(number);
        let slot = self.slot(slot).expect("invariant: the slot number is masked");
        let mut word = slot.load(Ordering::Acquire);
        loop {
            let new = if owned(word, turn) {
                if word & bit(number) != 0 {
                    return Err(ReplayError::Replayed);
                }
                word | bit(number)
            } else if is_later(word, turn) {
                return Err(ReplayError::TooOld);
            } else {
                pack(turn, 0) | bit(number)
            };
            match slot.compare_exchange_weak(word, new, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Ok(()),
                Err(seen) => word = seen,
            }
        }
    }

    /// Asks the CPU for the slot the next number will most likely be in.
    #[inline]
    pub fn prefetch(&self) {
        let (slot, _) = self.place(self.top.load(Ordering::Relaxed).wrapping_add(1));
        if let Some(slot) = self.slot(slot) {
            ports::prefetch(std::ptr::from_ref(slot).cast());
        }
    }

    #[inline]
    fn slot(&self, slot: usize) -> Option<&AtomicU64> {
        self.lines.get(slot / LINE).map(|line| &line.0[slot % LINE])
    }

    /// The slot of a number's block, and which turn of the slots the block belongs to.
    #[inline]
    fn place(&self, number: u64) -> (usize, u32) {
        let block = number / BLOCK;
        let mask = (1 << self.slots_log2) - 1;
        ((block & mask) as usize, (block >> self.slots_log2) as u32)
    }

    /// The window as it is now.
    pub fn bitmap(&self) -> ReplayBitmap {
        let top = self.top();
        let seen = |back: u64| {
            let Some(number) = top.checked_sub(back).filter(|n| *n != 0) else {
                return false;
            };
            let (slot, turn) = self.place(number);
            let word = self.slot(slot).map_or(0, |slot| slot.load(Ordering::Acquire));
            owned(word, turn) && word & bit(number) != 0
        };
        let words = (0..u64::from(self.window).div_ceil(BLOCK)).map(|word| {
            let backs = (0..BLOCK).filter(|i| word * BLOCK + i < u64::from(self.window));
            backs.filter(|i| seen(word * BLOCK + i)).fold(0, |bits, i| bits | 1u32 << i)
        });
        ReplayBitmap { top, window: self.window, words: words.collect() }
    }
}

const fn pack(turn: u32, bits: u32) -> u64 {
    (turn as u64) << 32 | bits as u64
}

const fn owned(word: u64, turn: u32) -> bool {
    (word >> 32) as u32 == turn
}

/// Whether the slot holds a block of a later turn.
const fn is_later(word: u64, turn: u32) -> bool {
    ((word >> 32) as u32).wrapping_sub(turn) as i32 > 0
}

const fn bit(number: u64) -> u64 {
    1 << (number % BLOCK)
}

/// The lowest `last + 1` bits.
const fn seen_up_to(last: u64) -> u32 {
    u32::MAX >> (BLOCK - 1 - last)
}

/// Why a number is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// It was received before.
    #[error("the number was received before")]
    Replayed,
    /// It lies before the window.
    #[error("the number lies before the replay window")]
    TooOld,
}

/// A replay window at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayBitmap {
    /// The highest number accepted.
    pub top: u64,
    /// Numbers the window spans; 0 when there is no check.
    pub window: u32,
    /// Whether `top - n` was accepted: bit `n % 32` of word `n / 32`.
    pub words: Vec<u32>,
}

/// As `ip xfrm` prints it: words in hexadecimal, the newest numbers first.
impl fmt::Display for ReplayBitmap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, word) in self.words.iter().enumerate() {
            write!(f, "{}{word:08x}", if i == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "replay/tests.rs"]
mod tests;
