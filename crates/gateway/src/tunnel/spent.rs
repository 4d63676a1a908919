//! How far keys have come that no SA has any more. Should one come back, it goes on from there: no key
//! ever sees a sequence number twice or opens its window again.
//!
//! Kept are fingerprints under a salt of the process, not keys. Limits: [`MOST`] keys; of more, those
//! that went first are forgotten, as all of them are with the process. Only keys set by hand can come
//! back, so only they belong here.

use std::collections::{BTreeMap, VecDeque};

use esp::{Fingerprint, KeyMaterial};

/// Most keys that are remembered.
const MOST: usize = 65_536;

/// Numbers left out when a key comes back to send: a worker may still have sealed a burst after the
/// last one was read.
const LEEWAY: u64 = 1 << 16;

/// One direction of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    Out,
    In,
}

type Id = (Way, Fingerprint);

/// Keys that are gone, and their last numbers.
pub(super) struct Spent {
    salt: [u8; 16],
    last: BTreeMap<Id, u64>,
    order: VecDeque<Id>,
}

impl Spent {
    /// None yet. The salt is a random one.
    pub(super) fn new(salt: [u8; 16]) -> Self {
        Self { salt, last: BTreeMap::new(), order: VecDeque::new() }
    }

    /// A key goes, with the last number it has sent or the highest it has received.
    pub(super) fn add(&mut self, way: Way, key: &KeyMaterial, number: u64) {
        let id = (way, key.fingerprint(&self.salt));
        if let Some(last) = self.last.get_mut(&id) {
            *last = number.max(*last);
            return;
        }
        if self.order.len() >= MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.last.remove(&oldest);
        }
        self.last.insert(id, number);
        self.order.push_back(id);
    }

    /// The number that a key goes on after: 0 for one that is new. What the far end has sent with it is
    /// as spent as what we have.
    pub(super) fn after(&self, way: Way, key: &KeyMaterial) -> u64 {
        let fingerprint = key.fingerprint(&self.salt);
        let last = |way| self.last.get(&(way, fingerprint)).copied();
        match way {
            Way::Out => last(Way::Out).max(last(Way::In)).map_or(0, |n| n.saturating_add(LEEWAY)),
            Way::In => last(Way::In).unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u32) -> KeyMaterial {
        KeyMaterial::from_bytes(&n.to_be_bytes())
    }

    #[test]
    fn each_way_of_a_key_goes_on_after_what_was_sent_with_it() {
        let mut spent = Spent::new([7; 16]);
        spent.add(Way::Out, &key(1), 10);
        spent.add(Way::Out, &key(1), 4);
        spent.add(Way::In, &key(2), 20);
        assert_eq!(spent.after(Way::Out, &key(1)), 10 + LEEWAY);
        assert_eq!(spent.after(Way::In, &key(1)), 0);
        assert_eq!(spent.after(Way::In, &key(2)), 20);
        assert_eq!(spent.after(Way::Out, &key(2)), 20 + LEEWAY, "the far end's numbers");
        spent.add(Way::Out, &key(3), u64::MAX);
        assert_eq!(spent.after(Way::Out, &key(3)), u64::MAX);
    }

    #[test]
    fn of_too_many_keys_the_first_to_go_is_forgotten() {
        let mut spent = Spent::new([7; 16]);
        for n in 0..=MOST as u32 {
            spent.add(Way::In, &key(n), 5);
        }
        assert_eq!(spent.last.len(), MOST);
        assert_eq!((spent.after(Way::In, &key(0)), spent.after(Way::In, &key(1))), (0, 5));
    }
}
