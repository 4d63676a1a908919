//! A direct table in front of a large IPv4 trie: one slot for each /24, so that a look-up is one
//! read where no longer prefix exists (DIR-24-8; Gupta, Lin, McKeown 1998, with the trie as its
//! second level). 64 MiB, made when a virtual router has many IPv4 routes.
//!
//! A slot holds the entry of the longest prefix that covers all of it, and that prefix's length; or
//! says that longer prefixes lie within, and then the trie is asked. Changes touch the slots of
//! their prefix: a default route all of them, some ten milliseconds.

use prefix_trie::PrefixMap;

type Trie = PrefixMap<(u32, u8), u32>;

/// Lower bits of a slot: the entry. Above: length plus one, or zero for no route.
const ENTRY_BITS: u32 = 26;
const ENTRY: u32 = (1 << ENTRY_BITS) - 1;
/// Ask the trie.
const DEEP: u32 = u32::MAX;

#[derive(Debug)]
pub(super) struct Direct {
    /// Upper bits of an address that choose the slot.
    bits: u8,
    slots: Box<[u32]>,
}

impl Direct {
    pub(super) fn new(bits: u8, trie: &Trie) -> Self {
        let mut made = Self { bits, slots: vec![0; 1 << bits].into() };
        for ((address, len), &id) in trie {
            made.insert(address, len, id);
        }
        made
    }

    /// Length and entry of the longest prefix; `Err` where the trie must be asked.
    #[inline]
    pub(super) fn get(&self, address: u32) -> Result<Option<(u8, u32)>, ()> {
        match self.slots[(address >> (32 - self.bits)) as usize] {
            DEEP => Err(()),
            0 => Ok(None),
            slot => Ok(Some(((slot >> ENTRY_BITS) as u8 - 1, slot & ENTRY))),
        }
    }

    pub(super) fn insert(&mut self, address: u32, len: u8, id: u32) {
        // Entries beyond what a slot can name are left to the trie.
        let made = if len > self.bits || id > ENTRY { DEEP } else { slot(len, id) };
        for held in self.range(address, len) {
            // What is longer stays, and so does `DEEP`.
            if made == DEEP || *held >> ENTRY_BITS <= u32::from(len) + 1 {
                *held = made;
            }
        }
    }

    /// After the prefix has left `trie`.
    pub(super) fn remove(&mut self, address: u32, len: u8, trie: &Trie) {
        let bits = self.bits;
        if len > bits {
            let around = address >> (32 - bits) << (32 - bits);
            if trie.children(&(around, bits)).all(|((_, len), _)| len <= bits) {
                let covering = longest(trie, around, bits);
                self.range(address, len).fill(covering);
            }
            return;
        }
        let covering = len.checked_sub(1).map_or(0, |shorter| longest(trie, address, shorter));
        for held in self.range(address, len) {
            if *held != DEEP && *held >> ENTRY_BITS == u32::from(len) + 1 {
                *held = covering;
            }
        }
    }

    pub(super) fn memory(&self) -> usize {
        self.slots.len() * 4
    }

    /// The slots of a prefix; the one it lies in, where it is longer.
    fn range(&mut self, address: u32, len: u8) -> &mut [u32] {
        let first = (address >> (32 - self.bits)) as usize;
        let count = 1_usize << self.bits.saturating_sub(len);
        &mut self.slots[first..first + count]
    }
}

fn longest(trie: &Trie, address: u32, len: u8) -> u32 {
    let mask = u32::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0);
    match trie.get_lpm(&(address & mask, len)) {
        Some((_, &id)) if id > ENTRY => DEEP,
        Some(((_, len), &id)) => slot(len, id),
        None => 0,
    }
}

fn slot(len: u8, id: u32) -> u32 {
    (u32::from(len) + 1) << ENTRY_BITS | id
}
