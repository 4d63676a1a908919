//! The session table: slots, look-up by tuple, timers and gauges.
//!
//! Everything is reserved at the start and nothing is rehashed or moved later, so the cost of a
//! packet does not depend on what happened before it. Slots are given out lowest first while the
//! table grows, and most recently freed first after that; walks are in the order of the slots, so
//! no order depends on a hash.
//!
//! A session passes three stages: *linked* (packets find it), *ending* (unlinked; the slot is kept
//! until whoever holds a part of it is done) and gone. Both linked and ending sessions take a slot.

use core::fmt;

use config::model::VrId;
use offload::{Direction, tcp_window::TcpWindows};
use reason::DropReason;
use wire::{Headers, Time, Tuple};

use super::{
    Kind, Observation, Session, SessionId, Transport,
    index::{Hash, Index, Reference},
    timers::Timers,
};

/// End of the chain of free slots.
const NONE: u32 = u32::MAX;

/// Why a session was not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InsertError {
    /// Every slot is taken.
    TableFull,
    /// Another session has the key of that direction.
    KeyTaken(Direction),
}

impl InsertError {
    /// Why the packet that should have opened the session goes no further.
    pub const fn reason(self) -> DropReason {
        match self {
            Self::TableFull => DropReason::SessionTableFull,
            Self::KeyTaken(_) => DropReason::SessionKeyTaken,
        }
    }
}

impl fmt::Display for InsertError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TableFull => f.write_str("the session table is full"),
            Self::KeyTaken(direction) => {
                write!(f, "another session has the key of the {} direction", direction.name())
            }
        }
    }
}

impl std::error::Error for InsertError {}

/// How many sessions there are of each sort.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Sessions that packets find, by [`Kind`].
    pub kinds: [u32; Kind::ALL.len()],
    /// TCP sessions whose handshake is not complete; they are in `kinds` too.
    pub half_open: u32,
    /// Sessions that packets no longer find, whose slot is still held.
    pub ending: u32,
}

/// The table.
pub struct SessionTable {
    slots: Vec<Session>,
    capacity: u32,
    index: Index,
    timers: Timers,
    free: u32,
    gauges: Gauges,
    /// The slot last handed out for changes: its gauge is settled before it is read.
    touched: u32,
}

impl SessionTable {
    /// A table for up to `capacity` sessions, whose hashes are keyed by `seed`.
    pub fn new(capacity: u32, seed: u64) -> Self {
        let capacity = capacity.min(Reference::MAX_SLOTS - 1);
        Self {
            slots: Vec::with_capacity(capacity as usize),
            capacity,
            index: Index::new(capacity.saturating_mul(2), seed),
            timers: Timers::new(capacity),
            free: NONE,
            gauges: Gauges::default(),
            touched: NONE,
        }
    }

    /// Finds the session a packet belongs to, and its direction.
    #[inline]
    pub fn lookup(&self, vr: VrId, tuple: &Tuple) -> Option<(SessionId, Direction)> {
        let found = self.find(vr, tuple)?;
        let session = self.slots.get(found.slot() as usize)?;
        Some((id(found.slot(), session), found.direction()))
    }

    /// Whether a session has that key in one of its directions.
    pub fn contains(&self, vr: VrId, tuple: &Tuple) -> bool {
        self.find(vr, tuple).is_some()
    }

    /// Takes a session in. Its timer fires at once unless [`SessionTable::rearm`] sets it.
    pub fn insert(&mut self, mut session: Session) -> Result<SessionId, InsertError> {
        if self.free == NONE && self.slots.len() >= self.capacity as usize {
            return Err(InsertError::TableFull);
        }
        let vr = session.vr;
        let hashes = Direction::BOTH.map(|direction| {
            let key = session.key(direction);
            (direction, self.index.hash(vr, &key), key)
        });
        for (direction, hash, key) in &hashes {
            if self.find_hashed(*hash, vr, key).is_some() {
                return Err(InsertError::KeyTaken(*direction));
            }
        }
        if session.original == session.reply {
            return Err(InsertError::KeyTaken(Direction::Reply));
        }
        let (kind, slot) = (session.kind, self.free);
        let slot = match self.slots.get_mut(slot as usize) {
            Some(vacant) => {
                self.free = vacant.rule;
                session.settle_in(vacant.generation);
                *vacant = session;
                slot
            }
            None => {
                session.settle_in(0);
                self.slots.push(session);
                self.timers.grow();
                self.slots.len() as u32 - 1
            }
        };
        for (direction, hash, _) in hashes {
            let entered = self.index.insert(hash, Reference::new(slot, direction));
            debug_assert!(entered, "the index has room for two entries of every slot");
        }
        self.gauges.kinds[kind as usize] += 1;
        self.timers.arm(slot, Time::ZERO);
        self.touch(slot);
        Ok(id(slot, &self.slots[slot as usize]))
    }

    /// The session of an id, while it has a slot.
    #[inline]
    pub fn get(&self, id: SessionId) -> Option<&Session> {
        let session = self.slots.get(id.index as usize)?;
        (session.generation == id.generation && is_taken(session)).then_some(session)
    }

    /// The session of an id, to be changed.
    #[inline]
    pub fn get_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        self.get(id)?;
        self.touch(id.index);
        self.slots.get_mut(id.index as usize)
    }

    /// The id of whatever has a slot now.
    pub fn id_at(&self, slot: u32) -> Option<SessionId> {
        self.slots.get(slot as usize).filter(|s| is_taken(s)).map(|s| id(slot, s))
    }

    /// Runs a packet through a session's state machine: [`Session::observe`] by id.
    pub fn observe(
        &mut self,
        id: SessionId,
        direction: Direction,
        headers: &Headers,
        transport: impl Into<Transport>,
        windows: &TcpWindows,
        now: Time,
    ) -> Option<Observation> {
        let session = self.get_mut(id)?;
        Some(session.observe(direction, headers, transport, windows, now))
    }

    /// Makes a session one that packets no longer find; its slot and its id stay until
    /// [`SessionTable::remove`]. False if it was so already, or is gone.
    pub fn unlink(&mut self, id: SessionId) -> bool {
        self.settle();
        let Some(session) = self.get(id) else { return false };
        if !session.is_linked() {
            return false;
        }
        let (kind, half_open) = (session.kind, session.counted_half_open());
        let hashes = Direction::BOTH.map(|d| (d, self.index.hash(session.vr, &session.key(d))));
        for (direction, hash) in hashes {
            let left = self.index.remove(hash, Reference::new(id.index, direction));
            debug_assert!(left, "both keys of a linked session are in the index");
        }
        self.timers.disarm(id.index);
        self.gauges.kinds[kind as usize] -= 1;
        self.gauges.half_open -= u32::from(half_open);
        self.gauges.ending += 1;
        if let Some(session) = self.slots.get_mut(id.index as usize) {
            session.set_linked(false);
            session.set_counted_half_open(false);
        }
        true
    }

    /// Takes a session out and gives its slot back.
    pub fn remove(&mut self, id: SessionId) -> Option<Session> {
        self.unlink(id);
        self.get(id)?;
        let slot = self.slots.get_mut(id.index as usize)?;
        let mut vacant = slot.clone();
        vacant.vacate(self.free);
        let session = core::mem::replace(slot, vacant);
        self.free = id.index;
        self.gauges.ending -= 1;
        Some(session)
    }

    /// Sessions that packets find.
    pub fn len(&self) -> u32 {
        self.gauges.kinds.iter().sum()
    }

    /// Whether packets find none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Most sessions.
    pub fn capacity(&self) -> u32 {
        self.capacity
    }

    /// Slots in use or used before: where a walk ends.
    pub fn slots(&self) -> u32 {
        self.slots.len() as u32
    }

    /// Linked sessions in the `max` slots from `cursor` on, in the order of the slots. The next page
    /// begins at `cursor + max`; the walk ends at [`SessionTable::slots`].
    pub fn page(&self, cursor: u32, max: u32) -> impl Iterator<Item = (SessionId, &Session)> {
        let slots = self.slots.get(cursor as usize..).unwrap_or_default();
        let numbered = (cursor..).zip(slots).take(max as usize);
        numbered.filter(|(_, s)| s.is_linked()).map(|(slot, s)| (id(slot, s), s))
    }

    /// TCP sessions whose handshake is not complete.
    pub fn half_open(&self) -> u32 {
        self.gauges().half_open
    }

    /// How many sessions there are of each sort.
    pub fn gauges(&self) -> Gauges {
        let mut gauges = self.gauges;
        match self.slots.get(self.touched as usize).map(half_open_change) {
            Some(Some(true)) => gauges.half_open += 1,
            Some(Some(false)) => gauges.half_open -= 1,
            Some(None) | None => {}
        }
        gauges
    }

    /// Sets when a session's timer fires. It may fire earlier; then it must be set again.
    pub fn rearm(&mut self, id: SessionId, deadline: Time) {
        if self.get(id).is_some_and(Session::is_linked) {
            self.timers.arm(id.index, deadline);
        }
    }

    /// When [`SessionTable::expired`] has something to say next.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.timers.next()
    }

    /// Appends up to `max` sessions whose timers have fired to `out`. Each must then be rearmed to
    /// when it is really due, or be unlinked or removed; otherwise it stays for ever.
    pub fn expired(&mut self, now: Time, max: usize, out: &mut Vec<SessionId>) {
        let slots = &self.slots;
        self.timers.expired(now, max, |slot| {
            out.extend(slots.get(slot as usize).map(|session| id(slot, session)));
        });
    }

    /// Bytes of memory in use: slots used so far, their timers, and the index.
    pub fn memory(&self) -> u64 {
        let slots = (self.slots.len() * size_of::<Session>()) as u64;
        slots + self.timers.memory() + self.index.memory()
    }

    #[inline]
    fn find(&self, vr: VrId, tuple: &Tuple) -> Option<Reference> {
        self.find_hashed(self.index.hash(vr, tuple), vr, tuple)
    }

    #[inline]
    fn find_hashed(&self, hash: Hash, vr: VrId, tuple: &Tuple) -> Option<Reference> {
        self.index.find(hash, |reference| {
            self.slots.get(reference.slot() as usize).is_some_and(|session| {
                session.vr == vr
                    && match reference.direction() {
                        Direction::Original => session.original == *tuple,
                        Direction::Reply => session.reply == *tuple,
                    }
            })
        })
    }

    /// Notes that a session may change; settles the one before.
    fn touch(&mut self, slot: u32) {
        if self.touched != slot {
            self.settle();
            self.touched = slot;
        }
    }

    /// Brings the gauge of half-open sessions up to date.
    fn settle(&mut self) {
        self.gauges = self.gauges();
        let slot = core::mem::replace(&mut self.touched, NONE);
        if let Some(session) = self.slots.get_mut(slot as usize)
            && let Some(half_open) = half_open_change(session)
        {
            session.set_counted_half_open(half_open);
        }
    }
}

fn id(slot: u32, session: &Session) -> SessionId {
    SessionId { index: slot, generation: session.generation }
}

/// Whether a slot is not free.
fn is_taken(session: &Session) -> bool {
    !session.is_vacant()
}

/// Whether the session has become half open, or ceased to be, since it was counted.
fn half_open_change(session: &Session) -> Option<bool> {
    let half_open = session.is_linked() && session.state().is_half_open();
    (half_open != session.counted_half_open()).then_some(half_open)
}

#[cfg(test)]
mod tests;
