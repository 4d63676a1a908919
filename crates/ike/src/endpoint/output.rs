//! What comes out of IKE SAs, and what is unique among them.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use rand_core::CryptoRng;

use super::{Datagram, Kept};
use crate::{ChildId, DownReason, Event, IkeId, Job, JobId, Path, Settings, job::Work, sa::IkeSa};

/// SPIs of children are drawn from here, so that they do not meet those of manual keys, which people
/// write by hand and small.
const CHILD_SPIS: (u32, u32) = (0xc000_0000, 0x0fff_ffff);

/// Something about several IKE SAs, done after the one that caused it.
pub(crate) enum Effect {
    /// A new one.
    Spawn(Box<IkeSa>),
    /// The children of one go to another.
    Inherit {
        /// The one that is replaced.
        from: IkeId,
        /// The one that replaces it.
        to: IkeId,
    },
    /// Of two that were made to replace the same one it is the one that does not stay.
    Lost(IkeId),
    /// It ends, once others have taken what it had.
    End(IkeId, DownReason),
    /// It is deleted, because the one it was to replace is.
    Delete(IkeId),
    /// The peer of this one has no others.
    InitialContact(IkeId),
}

/// Room that a queue keeps while it is empty.
const KEPT_ROOM: usize = 64;

#[derive(Default)]
pub(crate) struct Output {
    pub(super) transmits: VecDeque<Datagram>,
    pub(super) jobs: VecDeque<Job>,
    pub(super) events: VecDeque<Event>,
    effects: VecDeque<Effect>,
    last_id: u64,
    job_owners: BTreeMap<JobId, IkeId>,
    ike_spis: BTreeSet<u64>,
    child_spis: BTreeSet<u32>,
    children: BTreeMap<ChildId, IkeId>,
    /// How many IKE SAs of a connection are authenticated.
    present: BTreeMap<Arc<str>, usize>,
}

impl Output {
    pub(crate) fn event(&mut self, event: Event) {
        self.events.push_back(event);
    }

    pub(crate) fn effect(&mut self, effect: Effect) {
        self.effects.push_back(effect);
    }

    pub(super) fn take_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// A message; on the port of NAT traversal with the non-ESP marker.
    pub(crate) fn transmit(&mut self, settings: &Settings, path: Path, bytes: &[u8]) {
        let marker = path.local.port() == settings.nat_port;
        let marker = if marker { esp::nat_t::NON_ESP_MARKER.as_slice() } else { &[] };
        self.transmits.push_back(Datagram { path, bytes: [marker, bytes].concat() });
    }

    /// A datagram that is no message.
    pub(crate) fn transmit_plain(&mut self, path: Path, bytes: &[u8]) {
        self.transmits.push_back(Datagram { path, bytes: bytes.to_vec() });
    }

    pub(super) fn kept(&self, kept: Kept) -> Kept {
        Kept {
            ike_spis: self.ike_spis.len(),
            children: self.children.len(),
            child_spis: self.child_spis.len(),
            jobs: self.job_owners.len(),
            present: self.present.len(),
            ..kept
        }
    }

    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    pub(crate) fn job(&mut self, owner: IkeId, work: Work) -> JobId {
        let id = JobId(self.next_id());
        self.job_owners.insert(id, owner);
        self.jobs.push_back(Job { id, work });
        id
    }

    /// A question that the owner answers.
    pub(crate) fn question(&mut self, asker: IkeId) -> JobId {
        let id = JobId(self.next_id());
        self.job_owners.insert(id, asker);
        id
    }

    pub(super) fn job_done(&mut self, id: JobId) -> Option<IkeId> {
        self.job_owners.remove(&id)
    }

    pub(crate) fn ike_id(&mut self) -> IkeId {
        IkeId(self.next_id())
    }

    /// An SPI for an IKE SA that no other has.
    pub(crate) fn ike_spi(&mut self, rng: &mut (dyn CryptoRng + Send)) -> u64 {
        loop {
            let spi = rng.next_u64();
            if spi != 0 && self.ike_spis.insert(spi) {
                return spi;
            }
        }
    }

    pub(crate) fn forget_ike_spi(&mut self, spi: u64) {
        self.ike_spis.remove(&spi);
    }

    pub(crate) fn child_id(&mut self, owner: IkeId) -> ChildId {
        let id = ChildId(self.next_id());
        self.children.insert(id, owner);
        id
    }

    pub(crate) fn move_child(&mut self, id: ChildId, owner: IkeId) {
        self.children.insert(id, owner);
    }

    pub(super) fn child_owner(&self, id: ChildId) -> Option<IkeId> {
        self.children.get(&id).copied()
    }

    /// An SPI for a child that no other has.
    pub(crate) fn child_spi(&mut self, rng: &mut (dyn CryptoRng + Send)) -> u32 {
        loop {
            let spi = CHILD_SPIS.0 | (rng.next_u32() & CHILD_SPIS.1);
            if self.child_spis.insert(spi) {
                return spi;
            }
        }
    }

    pub(crate) fn forget_spi(&mut self, spi: u32) {
        self.child_spis.remove(&spi);
    }

    pub(crate) fn forget_child(&mut self, id: ChildId, spi: u32) {
        self.children.remove(&id);
        self.forget_spi(spi);
    }

    /// An IKE SA of this connection is authenticated.
    pub(crate) fn present(&mut self, connection: &Arc<str>) {
        *self.present.entry(connection.clone()).or_default() += 1;
    }

    /// It is gone.
    pub(crate) fn absent(&mut self, connection: &Arc<str>) {
        if let Some(count) = self.present.get_mut(connection) {
            *count -= 1;
            if *count == 0 {
                self.present.remove(connection);
            }
        }
    }

    /// Whether there is none of this connection.
    pub(crate) fn is_absent(&self, connection: &Arc<str>) -> bool {
        !self.present.contains_key(connection)
    }
}

/// The first of a queue. Once there is none, what a burst took is given back.
pub(super) fn take<T>(queue: &mut VecDeque<T>) -> Option<T> {
    let first = queue.pop_front();
    if first.is_none() {
        queue.shrink_to(KEPT_ROOM);
    }
    first
}
