//! Many IKE SAs behind one interface without I/O.

mod admission;
mod output;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
    sync::Arc,
};

use rand_core::CryptoRng;
use wire::Time;
use zeroize::Zeroizing;

use self::admission::Admission;
pub(crate) use self::output::{Effect, Output};
use crate::{
    ChildId, Connection, DownReason, Event, Ignored, IkeId, Job, JobDone, JobId, Path, Settings,
    Task, Why,
    message::{Delete, ExchangeType, Message, Payload},
    sa::{Context, IkeSa, Phase},
};

/// A datagram of UDP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// From where to where.
    pub path: Path,
    /// Its payload, the non-ESP marker included where one belongs.
    pub bytes: Vec<u8>,
}

/// What the owner of an endpoint wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Begin an IKE SA, with its first child.
    Connect {
        /// Name of the connection.
        connection: Arc<str>,
        /// From where to where.
        path: Path,
    },
    /// Ask the peer of an IKE SA for something.
    Ike {
        /// Which one.
        ike: IkeId,
        /// For what.
        task: Task,
    },
    /// Replace a child.
    RekeyChild(ChildId),
    /// Delete a child.
    DeleteChild(ChildId),
}

/// A command names what is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// No connection has this name.
    #[error("no connection has this name")]
    NoConnection,
    /// No IKE SA has this number.
    #[error("there is no such IKE SA")]
    NoIke,
    /// No child has this number.
    #[error("there is no such child")]
    NoChild,
}

/// What the data path knows of a child.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// When an authentic packet came in last; `None` for never.
    pub last_inbound: Option<Time>,
    /// Its time, bytes, packets or sequence numbers are used up so far that it should be replaced.
    pub soft_expired: bool,
    /// They are used up.
    pub hard_expired: bool,
}

/// An IKE SA at a moment, for views.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IkeView {
    /// Which one.
    pub ike: IkeId,
    /// Name of the connection.
    pub connection: Arc<str>,
    /// Whether we began it.
    pub initiator: bool,
    /// `opening`, `up`, `replaced`, `closing` or `refused`.
    pub state: &'static str,
    /// Our SPI and the peer's.
    pub spis: [u64; 2],
    /// The path.
    pub path: Path,
    /// Who the peer is; empty until that is proved.
    pub remote_identity: Arc<str>,
    /// Algorithms, as an offer is written; empty until they are agreed on.
    pub algorithms: Arc<str>,
    /// Its children.
    pub children: Vec<ChildId>,
    /// Addresses that were given to us or by us.
    pub addresses: Vec<IpAddr>,
}

/// How much an endpoint keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// IKE SAs, those that are not authenticated and those that were replaced too.
    pub ike_sas: usize,
    /// SPIs of IKE SAs.
    pub ike_spis: usize,
    /// Children.
    pub children: usize,
    /// SPIs of children, those that are being negotiated too.
    pub child_spis: usize,
    /// Jobs and questions that were handed out and are not done.
    pub jobs: usize,
    /// Connections that have an IKE SA.
    pub present: usize,
    /// Wake-ups.
    pub timers: usize,
}

/// IKEv2 for one gateway.
///
/// After each `handle_*` the owner takes what there is: events first, so that SAs are there before
/// the peer can use them, then datagrams and jobs.
pub struct Endpoint {
    settings: Settings,
    rng: Box<dyn CryptoRng + Send>,
    connections: Vec<Arc<Connection>>,
    /// In boxes: a node of the map has room for eleven, and half of it is empty.
    sas: BTreeMap<IkeId, Box<IkeSa>>,
    by_spi: BTreeMap<u64, IkeId>,
    timers: BTreeSet<(Time, IkeId)>,
    due: BTreeMap<IkeId, Time>,
    admission: Admission,
    out: Output,
}

macro_rules! context {
    ($self:ident, $now:expr) => {
        Context {
            now: $now,
            rng: &mut *$self.rng,
            settings: &$self.settings,
            connections: &$self.connections,
            out: &mut $self.out,
        }
    };
}

impl Endpoint {
    /// One without connections. `rng` has to be fit for keys.
    pub fn new(settings: Settings, mut rng: Box<dyn CryptoRng + Send>) -> Self {
        Self {
            settings,
            admission: Admission::new(&mut *rng),
            rng,
            connections: Vec::new(),
            sas: BTreeMap::new(),
            by_spi: BTreeMap::new(),
            timers: BTreeSet::new(),
            due: BTreeMap::new(),
            out: Output::default(),
        }
    }

    /// Replaces the connections. An IKE SA whose connection is gone is deleted. One that is up goes on
    /// with the connection of its name: with other times, children and offers from their next use on.
    /// What two ends have to agree on is not negotiated again by itself.
    pub fn apply(&mut self, now: Time, connections: Vec<Connection>) {
        self.connections = connections.into_iter().map(Arc::new).collect();
        // collected where the connections were, in a block many times as long
        self.connections.shrink_to_fit();
        let by_name: BTreeMap<_, _> =
            self.connections.iter().map(|c| (Arc::clone(&c.name), Arc::clone(c))).collect();
        let ids: Vec<_> = self.sas.keys().copied().collect();
        for id in ids {
            self.with(now, id, |sa, ctx| match (&sa.phase, by_name.get(&sa.connection.name)) {
                (Phase::Up, Some(connection)) => sa.connection = Arc::clone(connection),
                (_, Some(_)) => {}
                (Phase::Up, None) => {
                    sa.phase = Phase::Closing(DownReason::Unconfigured);
                    sa.queue(ctx, Task::DeleteIke);
                    sa.start_tasks(ctx);
                }
                (Phase::Opening | Phase::Refused, None) => sa.end(ctx, DownReason::Unconfigured),
                (Phase::Replaced | Phase::Closing(_) | Phase::Gone, None) => {}
            });
        }
    }

    /// What time of day it is, in seconds of Unix time, for the validity of certificates.
    pub fn handle_wall_clock(&mut self, now: Time, unix: u64) {
        let since_zero = now.since(Time::ZERO).as_secs();
        self.settings.unix_time_at_zero = unix.saturating_sub(since_zero);
    }

    /// A datagram came. `Err` says why nothing was done with it.
    pub fn handle_datagram(&mut self, now: Time, path: Path, bytes: &[u8]) -> Result<(), Ignored> {
        let mut bytes = bytes;
        if path.local.port() == self.settings.nat_port {
            match esp::nat_t::payload(bytes) {
                esp::nat_t::Payload::Ike => bytes = &bytes[esp::nat_t::NON_ESP_MARKER.len()..],
                esp::nat_t::Payload::Esp { .. }
                | esp::nat_t::Payload::Keepalive
                | esp::nat_t::Payload::Short => return Err(Ignored::NotIke),
            }
        }
        let message = match Message::decode(bytes) {
            Ok(message) => message,
            Err(crate::DecodeError::Version { major: 1, .. }) => return Err(Ignored::IkeV1),
            Err(error) => {
                if matches!(error, crate::DecodeError::Version { major: 3.., .. }) {
                    self.tell_version(now, path, bytes);
                }
                return Err(error.into());
            }
        };
        let Message { header, payloads } = message;
        if header.exchange == ExchangeType::IkeSaInit && !header.is_response {
            return self.admit(now, path, bytes, header, &payloads);
        }
        let spi = if header.from_initiator { header.responder_spi } else { header.initiator_spi };
        let Some(id) = self.by_spi.get(&spi).copied() else {
            self.tell_unknown(now, path, header);
            return Err(Ignored::UnknownSpi);
        };
        let received = self.with(now, id, |sa, ctx| sa.receive(ctx, path, bytes, header, payloads));
        let Some(received) = received.unwrap_or(Ok(None))? else { return Ok(()) };
        // a peer that uses what it made in place of another has settled which one stays
        let deletes = received.payloads().contains(&Payload::Delete(Delete::Ike));
        if let Some(before) = self.sas.get(&id).and_then(|sa| sa.predecessor)
            && !deletes
        {
            self.with(now, before, |sa, ctx| sa.superseded(ctx));
        }
        self.with(now, id, |sa, ctx| sa.process(ctx, received)).unwrap_or(Ok(()))
    }

    /// A job is done.
    pub fn handle_done(&mut self, now: Time, done: JobDone) {
        if let Some(id) = self.out.job_done(done.id) {
            self.with(now, id, |sa, ctx| sa.handle_done(ctx, done.id, done.outcome));
        }
    }

    /// Answers [`Event::AddressesWanted`]: with an address of each version that is asked for, as far as
    /// there are. `false` says that the asker is gone, and nobody has them.
    pub fn give_addresses(&mut self, now: Time, question: JobId, given: Vec<IpAddr>) -> bool {
        let asker = self.out.job_done(question);
        let answered = asker
            .and_then(|id| self.with(now, id, |sa, ctx| sa.give_addresses(ctx, question, given)));
        answered.unwrap_or(false)
    }

    /// Does what the owner wants; of [`Command::Connect`] the new IKE SA is returned.
    pub fn handle_command(
        &mut self,
        now: Time,
        command: Command,
    ) -> Result<Option<IkeId>, CommandError> {
        match command {
            Command::Connect { connection, path } => {
                let found = self.connections.iter().find(|c| c.name == connection).cloned();
                let connection = found.ok_or(CommandError::NoConnection)?;
                let sa = IkeSa::initiate(&mut context!(self, now), connection, path);
                let id = sa.id;
                self.insert(sa);
                self.settle(now, id);
                Ok(Some(id))
            }
            Command::Ike { ike, task } => self.queue(now, ike, task).map(|()| None),
            Command::RekeyChild(child) => {
                let ike = self.out.child_owner(child).ok_or(CommandError::NoChild)?;
                self.queue(now, ike, Task::RekeyChild(child)).map(|()| None)
            }
            Command::DeleteChild(child) => {
                let ike = self.out.child_owner(child).ok_or(CommandError::NoChild)?;
                self.queue(now, ike, Task::DeleteChildren(vec![child])).map(|()| None)
            }
        }
    }

    /// What the data path knows of a child. Told from time to time, and when a limit is reached.
    pub fn handle_traffic(&mut self, now: Time, child: ChildId, traffic: Traffic) {
        if let Some(ike) = self.out.child_owner(child) {
            self.with(now, ike, |sa, ctx| sa.traffic(ctx, child, traffic));
        }
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Time) {
        while let Some((at, id)) = self.timers.first().copied()
            && at <= now
        {
            self.with(now, id, |sa, ctx| sa.handle_timeout(ctx));
            if self.due.get(&id).is_some_and(|at| *at <= now) {
                debug_assert!(false, "invariant: what was due is done");
                break;
            }
        }
    }

    /// When [`Self::handle_timeout`] wants to be called, and why.
    pub fn poll_timeout(&self) -> Option<(Time, Why)> {
        let (at, id) = self.timers.first()?;
        let why = self.sas.get(id)?.next_timeout()?.1;
        Some((*at, why))
    }

    /// A datagram to be sent.
    pub fn poll_transmit(&mut self) -> Option<Datagram> {
        output::take(&mut self.out.transmits)
    }

    /// A job to be run.
    pub fn poll_job(&mut self) -> Option<Job> {
        output::take(&mut self.out.jobs)
    }

    /// Something that happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        output::take(&mut self.out.events)
    }

    /// The IKE SAs, oldest first.
    pub fn views(&self) -> impl Iterator<Item = IkeView> + '_ {
        self.sas.values().map(|sa| sa.view())
    }

    /// How much is kept, for whoever looks for what is never forgotten.
    pub fn kept(&self) -> Kept {
        let kept = Kept { ike_sas: self.sas.len(), timers: self.timers.len(), ..Kept::default() };
        self.out.kept(kept)
    }

    /// The row with which Wireshark decrypts and checks messages of an IKE SA. **It holds the keys.**
    ///
    /// `None` without such an IKE SA, before it has keys, and for algorithms Wireshark's table lacks.
    pub fn wireshark_row(&self, ike: IkeId) -> Option<Zeroizing<String>> {
        self.sas.get(&ike)?.wireshark_row()
    }

    /// IKE SAs that peers began and that are not authenticated.
    pub fn half_open(&self) -> usize {
        self.admission.half_open()
    }

    fn queue(&mut self, now: Time, ike: IkeId, task: Task) -> Result<(), CommandError> {
        let queued = self.with(now, ike, |sa, ctx| {
            sa.queue(ctx, task);
            sa.start_tasks(ctx);
        });
        queued.ok_or(CommandError::NoIke)
    }

    fn insert(&mut self, sa: IkeSa) {
        self.by_spi.insert(sa.local_spi, sa.id);
        self.sas.insert(sa.id, Box::new(sa));
    }

    /// Does something with an IKE SA, and then what follows from it.
    fn with<T>(
        &mut self,
        now: Time,
        id: IkeId,
        f: impl FnOnce(&mut IkeSa, &mut Context<'_>) -> T,
    ) -> Option<T> {
        let sa = self.sas.get_mut(&id)?;
        let result = f(sa, &mut context!(self, now));
        self.settle(now, id);
        Some(result)
    }

    /// What follows from something done with an IKE SA.
    fn settle(&mut self, now: Time, id: IkeId) {
        let mut touched = BTreeSet::from([id]);
        // an effect may have effects, in a chain no longer than the IKE SAs it is about
        while let Some(effect) = self.out.take_effect() {
            match effect {
                Effect::Spawn(sa) => {
                    touched.insert(sa.id);
                    self.insert(*sa);
                }
                Effect::Inherit { from, to } => {
                    if let Some(mut heir) = self.sas.remove(&to) {
                        let mut ctx = context!(self, now);
                        if let Some(old) = self.sas.get_mut(&from) {
                            heir.inherit(&mut ctx, old);
                        }
                        ctx.out.event(Event::IkeRekeyed { old: from, new: to });
                        heir.start_tasks(&mut ctx);
                        self.sas.insert(to, heir);
                    }
                    touched.extend([from, to]);
                }
                Effect::Lost(loser) => {
                    if let Some(sa) = self.sas.get_mut(&loser) {
                        sa.lost(&mut context!(self, now));
                    }
                    touched.insert(loser);
                }
                Effect::End(id, reason) => {
                    if let Some(sa) = self.sas.get_mut(&id) {
                        sa.end(&mut context!(self, now), reason);
                    }
                    touched.insert(id);
                }
                Effect::Delete(id) => {
                    if let Some(sa) = self.sas.get_mut(&id) {
                        let mut ctx = context!(self, now);
                        sa.queue(&mut ctx, Task::DeleteIke);
                        sa.start_tasks(&mut ctx);
                    }
                    touched.insert(id);
                }
                Effect::InitialContact(new) => {
                    let Some(sa) = self.sas.get(&new) else { continue };
                    let same = |other: &IkeSa| {
                        other.id != new
                            && other.connection.name == sa.connection.name
                            && other.remote_identity == sa.remote_identity
                    };
                    let others: Vec<_> =
                        self.sas.values().filter(|o| same(o)).map(|o| o.id).collect();
                    for other in others {
                        if let Some(sa) = self.sas.get_mut(&other) {
                            sa.end(&mut context!(self, now), DownReason::InitialContact);
                        }
                        touched.insert(other);
                    }
                }
            }
        }
        for id in touched {
            self.refresh(now, id);
        }
    }

    /// Brings what is kept about an IKE SA up to date.
    fn refresh(&mut self, now: Time, id: IkeId) {
        let Some(sa) = self.sas.get_mut(&id) else { return };
        if matches!(sa.phase, Phase::Closing(_)) {
            sa.start_tasks(&mut context!(self, now));
        }
        let due = sa.next_timeout().map(|(at, _)| at);
        let before = match due {
            Some(at) => self.due.insert(id, at),
            None => self.due.remove(&id),
        };
        if before != due {
            before.map(|at| self.timers.remove(&(at, id)));
            self.timers.extend(due.map(|at| (at, id)));
        }
        if !sa.is_half_open() {
            self.admission.left(id);
        }
        if sa.phase == Phase::Gone {
            self.out.forget_ike_spi(sa.local_spi);
            self.by_spi.remove(&sa.local_spi);
            self.sas.remove(&id);
            if let Some(at) = self.due.remove(&id) {
                self.timers.remove(&(at, id));
            }
        }
    }
}

/// The connections that are for these addresses, those for this very peer first.
pub(crate) fn candidates(
    connections: &[Arc<Connection>],
    path: Path,
) -> impl Iterator<Item = &Arc<Connection>> {
    let fits = move |connection: &&Arc<Connection>| {
        connection.local.is_none_or(|local| local == path.local.ip())
            && connection.remote.is_none_or(|remote| remote == path.remote.ip())
    };
    let named = connections.iter().filter(fits).filter(|c| c.remote.is_some());
    named.chain(connections.iter().filter(fits).filter(|c| c.remote.is_none()))
}

/// Says how many there are of what, and no secrets.
impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("connections", &self.connections.len())
            .field("sas", &self.sas.len())
            .finish_non_exhaustive()
    }
}
