//! A set of reasons of one class, as one machine word that never allocates.

use core::{fmt, marker::PhantomData};

use crate::Reason;

/// A set of reasons of one class.
///
/// Eligibility evaluates every check and keeps all of its findings, so the natural value is a set.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReasonSet<R> {
    bits: u128,
    class: PhantomData<R>,
}

impl<R: Reason> ReasonSet<R> {
    /// The set with nothing in it.
    pub const EMPTY: Self = Self { bits: 0, class: PhantomData };

    /// Whether nothing is in the set.
    pub const fn is_empty(self) -> bool {
        self.bits == 0
    }

    /// How many reasons are in the set.
    pub const fn len(self) -> usize {
        self.bits.count_ones() as usize
    }

    /// Adds a reason.
    pub fn insert(&mut self, reason: R) {
        self.bits |= 1 << reason.index();
    }

    /// Takes a reason out.
    pub fn remove(&mut self, reason: R) {
        self.bits &= !(1 << reason.index());
    }

    /// Whether the reason is in the set.
    pub fn contains(self, reason: R) -> bool {
        self.bits & (1 << reason.index()) != 0
    }

    /// Everything that is in either set.
    pub const fn union(self, other: Self) -> Self {
        Self { bits: self.bits | other.bits, class: PhantomData }
    }

    /// The set as bits, one per position in [`Reason::ALL`].
    pub const fn bits(self) -> u128 {
        self.bits
    }

    /// The set with these bits; bits beyond the registry are ignored.
    pub const fn from_bits(bits: u128) -> Self {
        let all = if R::ALL.len() >= 128 { u128::MAX } else { (1 << R::ALL.len()) - 1 };
        Self { bits: bits & all, class: PhantomData }
    }

    /// The members in the order of the registry.
    pub fn iter(self) -> impl Iterator<Item = R> {
        R::ALL.iter().copied().filter(move |r| self.contains(*r))
    }

    /// The reason that stands first in the registry, if any.
    pub fn first(self) -> Option<R> {
        R::ALL.get(self.bits.trailing_zeros() as usize).copied()
    }
}

impl<R: Reason> Default for ReasonSet<R> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl<R: Reason> FromIterator<R> for ReasonSet<R> {
    fn from_iter<I: IntoIterator<Item = R>>(iter: I) -> Self {
        let mut set = Self::EMPTY;
        iter.into_iter().for_each(|r| set.insert(r));
        set
    }
}

impl<R: Reason> fmt::Debug for ReasonSet<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// The names, separated by a comma and a blank; `none` for the empty set.
impl<R: Reason> fmt::Display for ReasonSet<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("none");
        }
        for (i, reason) in self.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            fmt::Display::fmt(&reason, f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NotEligible;

    #[test]
    fn a_set_remembers_what_went_in_and_nothing_else() {
        let mut set = ReasonSet::<NotEligible>::EMPTY;
        assert!(set.is_empty());
        assert_eq!(set.first(), None);
        for (n, reason) in NotEligible::ALL.iter().enumerate() {
            assert!(!set.contains(*reason));
            set.insert(*reason);
            assert!(set.contains(*reason));
            assert_eq!(set.len(), n + 1);
        }
        assert_eq!(set.iter().collect::<Vec<_>>(), NotEligible::ALL);
        assert_eq!(ReasonSet::from_bits(set.bits()), set);
        assert_eq!(ReasonSet::from_bits(u128::MAX), set);
        set.remove(NotEligible::NotEstablished);
        assert!(!set.contains(NotEligible::NotEstablished));
        assert_eq!(set.len(), NotEligible::ALL.len() - 1);
    }

    #[test]
    fn a_set_prints_its_members_in_registry_order() {
        let set: ReasonSet<_> =
            [NotEligible::NotEstablished, NotEligible::DisabledByPolicy].into_iter().collect();
        assert_eq!(set.to_string(), "not-established, disabled-by-policy");
        assert_eq!(ReasonSet::<NotEligible>::EMPTY.to_string(), "none");
    }
}
