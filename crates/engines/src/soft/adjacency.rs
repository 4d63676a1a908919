//! Next hops as the workers see them: a sequence lock of plain atomics per slot.
//!
//! The writer makes the version odd, writes, makes it even; a reader that saw the same even version
//! before and after has a whole next hop. No worker ever waits: after a few tries it says "lost".

use std::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
    fence,
};

use offload::Adjacency;
use wire::Mac;

use super::slab::{Shared, Slab, Zeroed};

/// How often a reader tries again while the writer is in the slot.
const TRIES: usize = 64;

/// Set in the last word when the next hop is resolved, and when it has a VLAN.
const RESOLVED: u64 = 1 << 63;
const TAGGED: u64 = 1 << 62;

#[repr(C, align(32))]
struct Slot {
    version: AtomicU32,
    words: [AtomicU64; 3],
}

// SAFETY: atomics of zero bytes are zero.
unsafe impl Zeroed for Slot {}
impl Shared for Slot {}

/// The table of next hops.
pub(super) struct Adjacencies {
    slots: Slab<Slot>,
}

impl Adjacencies {
    pub(super) fn new(capacity: u32) -> Self {
        Self { slots: Slab::new(capacity as usize) }
    }

    pub(super) const fn capacity(&self) -> u32 {
        self.slots.len() as u32
    }

    pub(super) const fn memory(&self) -> u64 {
        (self.slots.len() * size_of::<Slot>()) as u64
    }

    /// The next hop, if it is resolved.
    #[inline(always)]
    pub(super) fn get(&self, id: u32) -> Option<Adjacency> {
        let slot = self.slots.get(id)?;
        for _ in 0..TRIES {
            let before = slot.version.load(Acquire);
            let words = slot.words.each_ref().map(|word| word.load(Relaxed));
            fence(Acquire);
            if before & 1 == 0 && slot.version.load(Relaxed) == before {
                return unpack(words);
            }
            std::hint::spin_loop();
        }
        None
    }

    /// Replaces a next hop. Only the writer calls it. `None` if there is no such slot, otherwise
    /// whether it was resolved before.
    pub(super) fn set(&self, id: u32, adjacency: Option<&Adjacency>) -> Option<bool> {
        let slot = self.slots.get(id)?;
        let was = slot.words[2].load(Relaxed) & RESOLVED != 0;
        let version = slot.version.load(Relaxed);
        slot.version.store(version.wrapping_add(1), Relaxed);
        fence(Release);
        let words = adjacency.map_or([0; 3], pack);
        for (field, word) in slot.words.iter().zip(words) {
            field.store(word, Relaxed);
        }
        slot.version.store(version.wrapping_add(2), Release);
        Some(was)
    }
}

fn pack(a: &Adjacency) -> [u64; 3] {
    let mac = |Mac([a, b, c, d, e, f]): Mac| u64::from_be_bytes([0, 0, a, b, c, d, e, f]);
    let tag = a.vlan.map_or(0, |id| TAGGED | u64::from(id));
    [
        mac(a.src) << 16 | u64::from(a.port),
        mac(a.dst) << 16 | u64::from(a.interface),
        RESOLVED | tag | u64::from(a.mtu) << 16,
    ]
}

#[inline(always)]
fn unpack([src, dst, rest]: [u64; 3]) -> Option<Adjacency> {
    if rest & RESOLVED == 0 {
        return None;
    }
    let mac = |word: u64| {
        let [a, b, c, d, e, f, ..] = word.to_be_bytes();
        Mac([a, b, c, d, e, f])
    };
    Some(Adjacency {
        port: src as u16,
        interface: dst as u16,
        src: mac(src),
        dst: mac(dst),
        vlan: (rest & TAGGED != 0).then_some(rest as u16),
        mtu: (rest >> 16) as u16,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adjacency(n: u8) -> Adjacency {
        Adjacency {
            port: u16::from(n),
            interface: 0x0100 | u16::from(n),
            src: Mac([n; 6]),
            dst: Mac([0xf0, n, n, n, n, n]),
            vlan: n.is_multiple_of(2).then_some(4000 + u16::from(n)),
            mtu: 1400 + u16::from(n),
        }
    }

    #[test]
    fn what_goes_in_comes_out() {
        let table = Adjacencies::new(2);
        assert_eq!(table.get(0), None);
        for n in [3, 4] {
            let was = table.set(1, Some(&adjacency(n)));
            assert_eq!(was, Some(n == 4));
            assert_eq!(table.get(1), Some(adjacency(n)));
        }
        assert_eq!(table.set(1, None), Some(true));
        assert_eq!(table.get(1), None);
        assert_eq!(table.set(2, None), None);
        assert_eq!(table.get(2), None);
    }

    #[test]
    fn a_reader_never_sees_half_of_each() {
        let table = Adjacencies::new(1);
        table.set(0, Some(&adjacency(0)));
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut seen = 0;
                while seen < 20 {
                    if let Some(a) = table.get(0) {
                        assert_eq!(a, adjacency(a.src.0[0]));
                        seen += usize::from(a.src.0[0] == 199);
                    }
                }
            });
            let mut n = 0;
            while !reader.is_finished() {
                table.set(0, Some(&adjacency(n)));
                n = (n + 1) % 200;
            }
        });
    }
}
