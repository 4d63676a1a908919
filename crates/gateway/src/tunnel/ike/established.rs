//! The IKE SAs with one peer: one as a rule, a few while one takes over from another. There are many
//! peers, so one takes no allocation of its own.

use ::ike::{IkeId, IkeUp};
use smallvec::SmallVec;
use wire::Time;

/// IKE SAs with what is known of them and the time they came up, oldest first.
#[derive(Default)]
pub(crate) struct Established(SmallVec<[(IkeId, Box<IkeUp>, Time); 1]>);

impl Established {
    /// One that is up.
    pub(super) fn insert(&mut self, id: IkeId, up: Box<IkeUp>, at: Time) {
        let place = self.0.partition_point(|(other, ..)| *other < id);
        self.0.insert(place, (id, up, at));
    }

    /// One that is gone.
    pub(super) fn remove(&mut self, id: IkeId) -> Option<(Box<IkeUp>, Time)> {
        let place = self.0.iter().position(|(other, ..)| *other == id)?;
        let (_, up, at) = self.0.remove(place);
        Some((up, at))
    }

    /// What is known of one.
    pub(super) fn get_mut(&mut self, id: IkeId) -> Option<&mut IkeUp> {
        self.0.iter_mut().find(|(other, ..)| *other == id).map(|(_, up, _)| &mut **up)
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (IkeId, &IkeUp, Time)> {
        self.0.iter().map(|(id, up, at)| (*id, &**up, *at))
    }

    /// Their numbers.
    pub(crate) fn ids(&self) -> impl DoubleEndedIterator<Item = IkeId> + '_ {
        self.0.iter().map(|(id, ..)| *id)
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
