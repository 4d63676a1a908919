//! Remote access in the gateway: clients that log in over TLS, and whose packets go by CSTP or DTLS.
//!
//! The protocol is [`::anyconnect`]'s, one endpoint for each `[[remote-access]]`; TCP is [`tcp`](crate::tcp)'s.
//! This room joins the two, gives clients addresses, and moves packets: what a client sends enters as
//! a packet of the tunnel's interface, and what leaves by that interface goes to the client that has the
//! destination. A client may send from the addresses it was given and from no others. Whoever has
//! logged in is behind those addresses for policies ([`users`](crate::users)).
//!
//! Addresses of the pools belong to the tunnel whether somebody has them or not: routes are not asked, and
//! they are not taken from elsewhere.
//!
//! A client with a DTLS association is a client of [`dtls`](super::dtls) too, for as long as its packets go by that: both tiers
//! open and seal its records there. What is in TLS passes the slow path.
//!
//! Limits: one association of a client at a time.

mod absent;
mod clients;
mod events;
mod reload;
mod streams;

use core::net::{IpAddr, SocketAddr};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use ::anyconnect::{ClientId, ConnId, Endpoint, Job, JobDone, Settings};
use ::dtls::Path;
use config::model::{IfId, IpRange, RemoteAccess, Tunnel, TunnelId, VrId};
use core::convert::Infallible;
use ports::{Coalescer, Frame, FramePool, PortId};
use rand_core::{Rng as _, TryCryptoRng, TryRng};
use wire::{Headers, Time, Tuple, proto};

use super::{ClientNumber, Random, waiting::Waiting};
use crate::{Gateway, packet::Packet, route::Lookup, tcp};

pub(crate) use clients::Client;

/// All that has to do with remote access.
pub(crate) struct Remotes {
    /// By number; no other ever has it.
    servers: BTreeMap<ServerId, Server>,
    made: u32,
    /// The server of each tunnel.
    by_tunnel: BTreeMap<TunnelId, ServerId>,
    listeners: BTreeMap<(VrId, SocketAddr), ServerId>,
    /// Addresses of pools, sorted: in which virtual router, and whose interface they are behind.
    steering: Vec<(VrId, IpRange, IfId)>,
    stack: tcp::Stack,
    /// What a TCP connection is to the endpoint, and the other way round.
    conns: BTreeMap<tcp::ConnId, (ServerId, ConnId)>,
    by_conn: BTreeMap<(ServerId, ConnId), tcp::ConnId>,
    /// Whose associations the engine's seam has.
    by_number: BTreeMap<ClientNumber, (ServerId, ClientId)>,
    /// Packets of clients that are still to enter.
    entering: VecDeque<(ServerId, ClientId, Frame)>,
    /// Joins them; `joining` keeps its memory.
    coalescer: Coalescer,
    joining: Vec<Frame>,
    /// Packets for clients that have just gone.
    waiting: Waiting<(ServerId, ClientId)>,
    /// Somebody is taking in what there is already.
    driving: bool,
    random: Shared,
    /// Unix time at [`Time::ZERO`], in seconds.
    unix_at_zero: u64,
    counters: Counters,
}

/// A server by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ServerId(u32);

/// A `[[remote-access]]` at run time.
pub(crate) struct Server {
    /// Name of its tunnel.
    pub(crate) name: String,
    tunnel: TunnelId,
    interface: IfId,
    /// Virtual router of what clients send.
    inner_vr: VrId,
    /// Virtual router by which clients come.
    vr: VrId,
    settings: Settings,
    pub(crate) endpoint: Endpoint,
    pub(crate) clients: BTreeMap<ClientId, Client>,
    by_address: BTreeMap<IpAddr, ClientId>,
}

/// What became of packets and datagrams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    /// Datagrams that DTLS did nothing with.
    pub(crate) datagrams_ignored: u64,
}

/// A generator of random numbers that several draw from.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Mutex<Random>>);

impl Shared {
    pub(crate) fn new(random: Random) -> Self {
        Self(Arc::new(Mutex::new(random)))
    }

    pub(crate) fn boxed(&self) -> Random {
        Box::new(self.clone())
    }

    fn with<R>(&self, draw: impl FnOnce(&mut Random) -> R) -> R {
        draw(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl TryRng for Shared {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.with(|random| random.next_u32()))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.with(|random| random.next_u64()))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.with(|random| random.fill_bytes(bytes));
        Ok(())
    }
}

impl TryCryptoRng for Shared {}

impl Remotes {
    /// No servers yet: [`Gateway::configure_remote`] makes them.
    pub(crate) fn new(random: Shared, seed: u64, frames: &Arc<FramePool>) -> Self {
        let mut secret = [0; 32];
        random.with(|random| random.fill_bytes(&mut secret));
        let limits = tcp::Limits { connections: 0, of_source: 0 };
        Self {
            servers: BTreeMap::new(),
            made: 0,
            by_tunnel: BTreeMap::new(),
            listeners: BTreeMap::new(),
            steering: Vec::new(),
            stack: tcp::Stack::new(limits, &secret, seed, Arc::clone(frames)),
            conns: BTreeMap::new(),
            by_conn: BTreeMap::new(),
            by_number: BTreeMap::new(),
            entering: VecDeque::new(),
            coalescer: Coalescer::default(),
            joining: Vec::new(),
            waiting: Waiting::new(absent::LIMITS),
            driving: false,
            random,
            unix_at_zero: 0,
            counters: Counters::default(),
        }
    }

    /// The interface behind which an address of a pool is.
    pub(crate) fn steer(&self, vr: VrId, address: IpAddr) -> Option<IfId> {
        let after =
            self.steering.partition_point(|(of, range, _)| (*of, range.first) <= (vr, address));
        let (of, range, interface) = self.steering.get(after.checked_sub(1)?)?;
        (*of == vr && range.contains(address)).then_some(*interface)
    }

    /// The next expensive piece of work.
    pub(crate) fn poll_job(&mut self) -> Option<(ServerId, Job)> {
        self.servers.iter_mut().find_map(|(id, server)| Some((*id, server.endpoint.poll_job()?)))
    }

    /// When something is due.
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        let endpoints = self.servers.values().filter_map(|server| server.endpoint.poll_timeout());
        endpoints.chain(self.stack.poll_timeout()).chain(self.waiting.poll_timeout()).min()
    }

    /// The servers, in the order they were made.
    pub(crate) fn servers(&self) -> impl Iterator<Item = &Server> {
        self.servers.values()
    }

    /// Whose association it is.
    pub(crate) fn user_of(&self, number: ClientNumber) -> Option<&Arc<str>> {
        let (server, client) = self.by_number.get(&number)?;
        Some(&self.servers.get(server)?.clients.get(client)?.user)
    }

    /// The tunnel that a client's association belongs to.
    pub(crate) fn tunnel_of(&self, number: ClientNumber) -> Option<TunnelId> {
        let (server, _) = self.by_number.get(&number)?;
        Some(self.servers.get(server)?.tunnel)
    }

    /// The server of a tunnel.
    pub(crate) fn of_tunnel(&self, tunnel: TunnelId) -> Option<&Server> {
        self.servers.get(self.by_tunnel.get(&tunnel)?)
    }

    /// TCP of all of them.
    pub(crate) fn stack(&self) -> &tcp::Stack {
        &self.stack
    }

    /// What became of packets and datagrams.
    pub(crate) fn counters(&self) -> Counters {
        self.counters
    }
}

impl Server {
    /// The client that has an address.
    pub(crate) fn at(&self, address: IpAddr) -> Option<(ClientId, &Client)> {
        let id = self.by_address.get(&address)?;
        Some((*id, self.clients.get(id)?))
    }
}

impl Gateway {
    /// The remote access that serves an own address and port. Whoever would be answered through a
    /// tunnel of remote access is not served: that would never end.
    pub(crate) fn remote_listener(
        &self,
        vr: VrId,
        tuple: &Tuple,
    ) -> Option<(&Tunnel, &RemoteAccess)> {
        let end = (vr, SocketAddr::new(tuple.dst, tuple.dst_port));
        let server = self.remote.servers.get(self.remote.listeners.get(&end)?)?;
        let tunnel = self.config.tunnels.get(usize::from(server.tunnel.0))?;
        let access = tunnel.remote_access()?;
        let served = match tuple.proto {
            proto::TCP => true,
            proto::UDP => access.dtls,
            _ => false,
        };
        (served && self.remote.steer(vr, tuple.src).is_none()).then_some((tunnel, access))
    }

    /// A segment or datagram for remote access.
    pub(crate) fn handle_remote(&mut self, packet: &mut Packet, now: Time) {
        let tuple = packet.headers.tuple;
        let local = SocketAddr::new(tuple.dst, tuple.dst_port);
        let remote = SocketAddr::new(tuple.src, tuple.src_port);
        if tuple.proto == proto::TCP {
            let ends = tcp::Ends { vr: packet.vr, local, remote };
            let mtu = self.mtu_of_way(packet.vr, tuple.src, packet.ingress);
            let bytes = packet.frame.bytes();
            let whole = usize::from(packet.headers.l3)..packet.headers.end as usize;
            let taken = match (tcp::Header::of(bytes, &packet.headers), bytes.get(whole)) {
                (Some(header), Some(ip)) => {
                    self.remote.stack.handle_segment(ends, ip, header, mtu, now)
                }
                _ => tcp::Taken::Yes,
            };
            if taken == tcp::Taken::NoConnection {
                self.send_reset(packet.frame.bytes(), packet.ingress, now);
            }
        } else {
            let whole = usize::from(packet.headers.payload)..packet.headers.end as usize;
            let end = self.remote.listeners.get(&(packet.vr, local)).copied();
            if let (Some(id), Some(bytes)) = (end, packet.frame.bytes_mut().get_mut(whole)) {
                self.handle_remote_datagram(id, Path { local, remote }, bytes, now);
            }
        }
        self.drive_remote(now);
    }

    /// Whether any connection ends here.
    pub fn ends_any(&self) -> bool {
        !self.remote.stack.is_empty()
    }

    /// Whether segments that came by a port are for a connection that ends here, so that they may come joined
    /// by [`Coalescer::coalesce_for_reader`].
    pub fn ends_here(&self, port: PortId, headers: &Headers) -> bool {
        let tuple = &headers.tuple;
        if tuple.proto != proto::TCP {
            return false;
        }
        let Some(ingress) = self.topology.interface(port, headers.vlan) else { return false };
        let vr = self.interface(ingress).vr;
        self.remote.stack.has(&tcp::Ends {
            vr,
            local: SocketAddr::new(tuple.dst, tuple.dst_port),
            remote: SocketAddr::new(tuple.src, tuple.src_port),
        })
    }

    /// What came of a job. A server that is gone meanwhile needs nothing.
    pub(crate) fn handle_remote_job_done(&mut self, id: ServerId, done: JobDone, now: Time) {
        if let Some(server) = self.remote.servers.get_mut(&id) {
            server.endpoint.handle_job_done(now, done);
        }
        self.drive_remote(now);
    }

    /// Does what is due.
    pub(crate) fn handle_remote_timeout(&mut self, now: Time) {
        self.remote.stack.handle_timeout(now);
        if self.remote.waiting.poll_timeout().is_some_and(|at| at <= now) {
            self.expire_held(now);
        }
        for server in self.remote.servers.values_mut() {
            if server.endpoint.poll_timeout().is_some_and(|at| at <= now) {
                server.endpoint.handle_timeout(now);
            }
        }
        self.drive_remote(now);
    }

    /// MTU of the way to an address.
    fn mtu_of_way(&self, vr: VrId, address: IpAddr, otherwise: IfId) -> u16 {
        let interface = match self.routes.lookup(vr, address) {
            Lookup::Via(set) => set.members.first().map_or(otherwise, |member| member.interface),
            Lookup::Local(_) | Lookup::Broadcast(_) | Lookup::Blackhole(_) | Lookup::None => {
                otherwise
            }
        };
        self.exit_mtu(interface)
    }
}
