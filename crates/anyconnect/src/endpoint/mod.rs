//! All connections, logins and clients of a gateway, without I/O.

mod connection;
mod login;
mod session;
mod timers;
mod tunnel;
mod view;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use dtls::{AssociationId, Path};
use rand_core::CryptoRng;
use wire::Time;

use self::{
    connection::Conn,
    login::PendingLogin,
    session::Client,
    timers::{Timer, Timers},
};
pub use self::{
    tunnel::NotSent,
    view::{AssociationSummary, ClientState, ClientView, Stats},
};
use crate::{
    ClientId, ConnId, Event, Job, JobDone, JobId, Settings,
    auth::Lockout,
    job::{Outcome, Work},
    tunnel::SESSION_ID_LEN,
};

/// Where packets of clients go: called for each, before the method it was given to returns.
pub type Packets<'a> = &'a mut dyn FnMut(ClientId, &[u8]);

/// Events of a kind that strangers cause, that are told in [`PERIOD`].
const TOLD: u32 = 20;
const PERIOD: Duration = Duration::from_secs(1);

/// A new connection is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionRefused {
    /// There are as many as there may be.
    #[error("there are as many connections as there may be")]
    Full,
    /// There are as many from this address as there may be without a tunnel.
    #[error("there are as many connections without a tunnel from this address as there may be")]
    FullForAddress,
    /// TLS cannot be begun.
    #[error("TLS cannot be begun")]
    Tls,
}

/// Remote access for one gateway.
///
/// After each `handle_*` the owner takes what there is: jobs, events, then datagrams and what
/// [`Endpoint::poll_ready`] names.
pub struct Endpoint {
    settings: Settings,
    rng: Box<dyn CryptoRng + Send>,
    conns: BTreeMap<ConnId, Conn>,
    /// Connections without a tunnel.
    by_address: BTreeMap<IpAddr, usize>,
    /// Boxed, as nodes of the tree are half empty when numbers only rise.
    clients: BTreeMap<ClientId, Box<Client>>,
    by_cookie: BTreeMap<u64, ClientId>,
    by_session_id: BTreeMap<[u8; SESSION_ID_LEN], ClientId>,
    by_association: BTreeMap<AssociationId, ClientId>,
    by_user: BTreeMap<Arc<str>, BTreeSet<ClientId>>,
    handshakes: BTreeMap<JobId, ConnId>,
    logins: BTreeMap<JobId, PendingLogin>,
    lockout: Lockout,
    dtls: dtls::Server,
    /// Whose code ciphers what tunnels carry.
    selection: aead::Selection,
    timers: Timers,
    out: Output,
    stats: Stats,
    last_id: u64,
    /// Frames of a connection while they are looked at.
    scratch: Vec<u8>,
    /// An empty buffer for what a connection has to say.
    spare: Vec<u8>,
}

#[derive(Default)]
struct Output {
    events: VecDeque<Event>,
    jobs: VecDeque<Job>,
    ready: VecDeque<ConnId>,
    told: (Time, u32),
}

impl Output {
    /// Says something that strangers cause, unless much was said lately.
    fn tell(&mut self, now: Time, event: Event) {
        if now.since(self.told.0) >= PERIOD {
            self.told = (now, 0);
        }
        self.told.1 += 1;
        if self.told.1 <= TOLD {
            self.events.push_back(event);
        }
    }
}

impl Endpoint {
    /// One without connections. The generators have to be fit for keys; `rng` makes cookies and session
    /// IDs.
    pub fn new(
        settings: Settings,
        dtls: dtls::Settings,
        rng: Box<dyn CryptoRng + Send>,
        dtls_rng: Box<dyn CryptoRng + Send>,
    ) -> Self {
        Self {
            settings,
            rng,
            conns: BTreeMap::new(),
            by_address: BTreeMap::new(),
            clients: BTreeMap::new(),
            by_cookie: BTreeMap::new(),
            by_session_id: BTreeMap::new(),
            by_association: BTreeMap::new(),
            by_user: BTreeMap::new(),
            handshakes: BTreeMap::new(),
            logins: BTreeMap::new(),
            lockout: Lockout::default(),
            selection: dtls.selection,
            dtls: dtls::Server::new(dtls, dtls_rng),
            timers: Timers::default(),
            out: Output::default(),
            stats: Stats::default(),
            last_id: 0,
            scratch: Vec::new(),
            spare: Vec::new(),
        }
    }

    /// Replaces the settings: for connections, logins and tunnels that come. Clients stay; whoever is not
    /// to, the owner disconnects.
    pub fn apply(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// A TCP connection was accepted; `path` is where it leads from and to.
    pub fn handle_connected(&mut self, now: Time, path: Path) -> Result<ConnId, ConnectionRefused> {
        self.set_time(now);
        self.accept(now, path)
    }

    /// Bytes came by a connection, maybe none: it goes on with what it could not take before. Says how
    /// many of them are taken; the others are to be given again when [`Endpoint::poll_ready`] names the
    /// connection, so that a client that sends too fast has to wait.
    pub fn handle_stream(
        &mut self,
        now: Time,
        conn: ConnId,
        bytes: &[u8],
        packets: Packets<'_>,
    ) -> usize {
        self.set_time(now);
        self.received(now, conn, bytes, packets)
    }

    /// A connection is gone, or says nothing any more. What it was told is not sent.
    pub fn handle_closed(&mut self, now: Time, conn: ConnId) {
        self.lost(now, conn);
    }

    /// A datagram of DTLS came; it is opened in place. `Err` says why nothing was done with it.
    pub fn handle_datagram(
        &mut self,
        now: Time,
        path: Path,
        bytes: &mut [u8],
        packets: Packets<'_>,
    ) -> Result<(), dtls::Ignored> {
        self.datagram(now, path, bytes, packets)
    }

    /// Application data that somebody else opened with an association's
    /// [`Inbound`](dtls::Inbound) and that is no packet: the whole text, with its type in front.
    pub fn handle_control(&mut self, now: Time, association: AssociationId, text: &[u8]) {
        if let Some(client) = self.by_association.get(&association).copied() {
            self.dtls_text(now, client, text, &mut |_, _| {});
        }
    }

    /// A packet for a client, by whichever channel it has. Who holds its association may as well seal it
    /// there while that is the channel.
    pub fn handle_packet(
        &mut self,
        now: Time,
        client: ClientId,
        packet: &[u8],
    ) -> Result<crate::Channel, NotSent> {
        self.send_packet(now, client, packet)
    }

    /// Answers [`Event::AddressWanted`]: what the client gets, or what it is told why there is nothing.
    pub fn handle_grant(
        &mut self,
        now: Time,
        client: ClientId,
        grant: Result<crate::Grant, String>,
    ) {
        self.granted(now, client, grant);
    }

    /// A job is done.
    pub fn handle_job_done(&mut self, now: Time, done: JobDone) {
        self.set_time(now);
        match done.outcome {
            Outcome::Handshake(handshaken) => {
                if let Some(conn) = self.handshakes.remove(&done.id) {
                    self.handshaken(now, conn, handshaken);
                }
            }
            Outcome::Login(result) => {
                if let Some(login) = self.logins.remove(&done.id) {
                    self.login_checked(now, login, result);
                }
            }
        }
    }

    /// Ends a client; false if there is none.
    pub fn disconnect(&mut self, now: Time, client: ClientId) -> bool {
        self.end(now, client, crate::Reason::Administrator)
    }

    /// Ends every client of a user: how many there were.
    pub fn disconnect_user(&mut self, now: Time, user: &str) -> usize {
        let clients = self.by_user.get(user).cloned().unwrap_or_default();
        clients.iter().filter(|client| self.disconnect(now, **client)).count()
    }

    /// Ends every client: how many there were.
    pub fn terminate_all(&mut self, now: Time) -> usize {
        let clients: Vec<_> = self.clients.keys().copied().collect();
        clients.iter().filter(|client| self.disconnect(now, **client)).count()
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Time) {
        self.set_time(now);
        while let Some(timer) = self.timers.due(now) {
            match timer {
                Timer::Conn(conn) => self.conn_timeout(now, conn),
                Timer::Client(client) => self.client_timeout(now, client),
            }
        }
        if self.dtls.poll_timeout().is_some_and(|at| at <= now) {
            self.dtls.handle_timeout(now);
            self.dtls_events(now, &mut |_, _| {});
        }
    }

    /// When [`Endpoint::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Time> {
        let own = self.timers.next();
        own.into_iter().chain(self.dtls.poll_timeout()).min()
    }

    /// A job to be run.
    pub fn poll_job(&mut self) -> Option<Job> {
        self.out.jobs.pop_front()
    }

    /// Something that happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.out.events.pop_front()
    }

    /// A datagram to be sent.
    pub fn poll_datagram(&mut self) -> Option<dtls::Datagram> {
        self.dtls.poll_transmit()
    }

    /// A connection that has something to say, takes bytes again, or is finished. The owner sends what of
    /// [`Endpoint::output`] it can, gives [`Endpoint::handle_stream`] what it holds, and closes the
    /// connection if [`Endpoint::is_finished`].
    pub fn poll_ready(&mut self) -> Option<ConnId> {
        let conn = self.out.ready.pop_front()?;
        if let Some(conn) = self.conns.get_mut(&conn) {
            conn.is_queued = false;
        }
        Some(conn)
    }

    /// What a connection has to say, in order.
    pub fn output(&self, conn: ConnId) -> &[u8] {
        self.conns.get(&conn).map_or(&[], Conn::pending)
    }

    /// The first `len` bytes of [`Endpoint::output`] are on their way.
    pub fn handle_sent(&mut self, conn: ConnId, len: usize) {
        self.sent(conn, len);
    }

    /// Whether nothing comes by a connection any more, nor is taken: it is over, and all is sent.
    pub fn is_finished(&self, conn: ConnId) -> bool {
        !self.conns.contains_key(&conn)
    }

    /// The line of a key log that decrypts an association. **It holds the master secret**: for the export
    /// of keys by somebody who asked for it.
    pub fn key_log_line(&self, association: AssociationId) -> Option<zeroize::Zeroizing<String>> {
        self.dtls.key_log_line(association)
    }

    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    fn job(&mut self, work: Work) -> JobId {
        let id = JobId(self.next_id());
        self.out.jobs.push_back(Job { id, work });
        id
    }

    fn set_time(&self, now: Time) {
        let since = Duration::from_nanos(now.as_nanos());
        self.settings.tls.set_time(self.settings.unix_time_at_zero + since);
    }
}

/// Says how many there are of what, and no secrets.
impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("connections", &self.conns.len())
            .field("clients", &self.clients.len())
            .finish_non_exhaustive()
    }
}
