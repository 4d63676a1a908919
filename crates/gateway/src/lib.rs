//! The slow path, sans-IO: the stages of the packet's day, and the state they decide on.
//!
//! [`Gateway`] reads no clock, opens no socket and starts no thread. Its methods come in kinds:
//!
//! - `handle_*` take input: a punted frame, a link change, the passing of time;
//! - `poll_*` give output: frames to send, when to wake it and why;
//! - `apply` changes the configuration;
//! - `show_*`, `explain_*` and `simulate` only look.
//!
//! Frames arrive here because the fast path punted them; [`pipeline`] drives them through the
//! [`stages`], which read the state they decide on from their own rooms: [`session`], [`nat`],
//! [`route`], [`policy`], [`neighbour`], [`reassembly`], [`anomaly`], and [`promote`] for the engine.

#![forbid(unsafe_code)]

pub mod addresses;
pub mod anomaly;
mod apply;
pub mod capture;
mod clockwork;
pub mod counters;
mod deadlines;
mod discovery;
pub mod events;
mod jobs;
mod keyed;
pub mod local;
pub mod nat;
pub mod neighbour;
mod next_hop;
mod originate;
pub mod packet;
mod pipeline;
pub mod policy;
pub mod promote;
pub mod reassembly;
mod reevaluate;
mod remove;
pub mod rng;
pub mod route;
pub mod session;
mod show;
mod simulate;
mod stages;
pub mod tcp;
#[cfg(test)]
mod test_config;
mod topology;
pub mod trace;
pub mod tunnel;
pub mod users;
mod work;

use std::{collections::VecDeque, sync::Arc};

use config::{
    Config,
    model::{IfId, Interface},
};
use offload::{Engine, EpochTable, tcp_window::TcpWindows};
use ports::{Frame, FramePool, PortId};
use reason::{DemotionReason, DropReason, PuntCause};
use wire::Time;

use crate::{
    addresses::AddressBook,
    capture::{Captures, Place},
    counters::Counters,
    events::{EventKind, Events},
    jobs::Jobs,
    local::IcmpLimiter,
    nat::Nat,
    neighbour::Neighbours,
    packet::{Origin, Packet},
    policy::Policies,
    promote::Promotion,
    reassembly::Reassembler,
    rng::Rng,
    route::Routes,
    session::SessionTable,
    topology::Topology,
    trace::{Trace, Tracer},
    tunnel::{Clients, Overlays, Tunnels},
    users::Users,
};

pub use show::plan;
pub use topology::PortState;
pub use work::{Job, JobDone};

/// Reads a monotonic counter of nanoseconds; only traces call it, to say how long a stage took.
pub type Stopwatch = fn() -> u64;

/// What a gateway is made of besides its configuration.
pub struct Parts {
    /// The engine sessions are promoted to.
    pub engine: Box<dyn Engine>,
    /// Epochs shared with the engine.
    pub epochs: Arc<EpochTable>,
    /// TCP windows shared with the engine.
    pub windows: Arc<TcpWindows>,
    /// Where frames of the gateway's own making come from.
    pub frames: Arc<FramePool>,
    /// Where frames of other workers come from.
    pub more_frames: Vec<Arc<FramePool>>,
    /// Which library serves which cipher.
    pub ciphers: aead::Selection,
    /// Seed of all random choices that need not be secret.
    pub seed: u64,
    /// Where secrets come from.
    pub random: tunnel::Random,
    /// Measures stages for traces.
    pub stopwatch: Stopwatch,
}

/// The slow path of one gateway.
pub struct Gateway {
    /// The configuration as it was written.
    written: Arc<Config>,
    /// The one in force: what was written, and addresses that peers have given us.
    config: Arc<Config>,
    topology: Topology,
    sessions: SessionTable,
    nat: Nat,
    routes: Routes,
    policies: Policies,
    users: Users,
    neighbours: Neighbours<Box<Packet>>,
    tunnels: Tunnels,
    clients: Clients,
    overlays: Overlays,
    ike: tunnel::Negotiation,
    remote: tunnel::Remotes,
    addresses: AddressBook,
    reassembler: Reassembler,
    sensors: anomaly::Sensors,
    limiter: IcmpLimiter,
    promotion: Promotion,
    engine: Box<dyn Engine>,
    epochs: Arc<EpochTable>,
    windows: Arc<TcpWindows>,
    frames: Arc<FramePool>,
    more_frames: Vec<Arc<FramePool>>,
    rng: Rng,
    stopwatch: Stopwatch,
    counters: Counters,
    events: Events,
    tracer: Tracer,
    captures: Captures,
    jobs: Jobs,
    transmit: VecDeque<(PortId, Frame)>,
    wall: WallClock,
    audits: u64,
    audited: Option<Time>,
    baseline: show::Baseline,
    places: show::Places,
    started: Time,
    /// When an offload switch or the profile last changed.
    switched: Time,
}

/// What the gateway knows of the time of day: schedules need it.
#[derive(Clone, Copy, Debug, Default)]
struct WallClock {
    /// Seconds since 1970-01-01 UTC at `at`.
    unix: i64,
    at: Time,
}

impl Gateway {
    /// A gateway with an empty session table.
    pub fn new(config: Arc<Config>, parts: Parts, now: Time) -> Self {
        let topology = Topology::new(&config, None);
        let random = tunnel::Shared::new(parts.random);
        let mut gateway = Self {
            sessions: SessionTable::new(config.limits.sessions, parts.seed),
            nat: Nat::new(&config),
            routes: Routes::new(&config),
            policies: Policies::new(&config),
            users: Users::new(config.limits.users, parts.seed),
            neighbours: Neighbours::new(&config, parts.seed),
            tunnels: Tunnels::new(&config, parts.ciphers, parts.seed, now),
            clients: Clients::new(parts.seed),
            overlays: Overlays::new(&config, parts.seed),
            ike: tunnel::Negotiation::new(random.boxed()),
            remote: tunnel::Remotes::new(random, parts.seed, &parts.frames),
            addresses: AddressBook::default(),
            reassembler: Reassembler::new(&config, parts.seed),
            sensors: anomaly::Sensors::new(&config.anomaly, parts.seed),
            limiter: IcmpLimiter::new(config.limits.icmp_errors_per_second, parts.seed),
            promotion: Promotion::new(),
            engine: parts.engine,
            epochs: parts.epochs,
            windows: parts.windows,
            frames: parts.frames,
            more_frames: parts.more_frames,
            rng: Rng::new(parts.seed),
            stopwatch: parts.stopwatch,
            counters: Counters::new(config.interfaces.len()),
            events: Events::new(config.limits.events),
            tracer: Tracer::default(),
            captures: Captures::default(),
            jobs: Jobs::new(now + config.offload.audit_interval),
            transmit: VecDeque::new(),
            wall: WallClock::default(),
            audits: 0,
            audited: None,
            baseline: show::Baseline::default(),
            places: show::Places::default(),
            started: now,
            switched: now,
            topology,
            written: Arc::clone(&config),
            config,
        };
        gateway.publish_interfaces();
        gateway.publish_neighbours();
        gateway.send_solicitations(now);
        gateway.promote_sas(DemotionReason::OffloadSwitchChanged, now);
        gateway.report_tunnel_faults(now);
        gateway.configure_ike(&Default::default(), now);
        gateway.configure_remote(now);
        gateway
    }

    /// A frame that the fast path punted.
    pub fn handle_frame(&mut self, port: PortId, frame: Frame, cause: PuntCause, now: Time) {
        let headers = match wire::parse(frame.bytes()) {
            Ok(headers) => headers,
            Err(reason) => {
                self.counters.drop(reason, self.topology.first_interface(port));
                self.show_dropped_frame(Place::Port(port), &frame, reason, now);
                return;
            }
        };
        let ingress = match self.topology.interface(port, headers.vlan) {
            Some(ingress) => ingress,
            None => {
                let reason = DropReason::VlanUnknown;
                self.counters.drop(reason, self.topology.first_interface(port));
                self.show_dropped_frame(Place::Port(port), &frame, reason, now);
                return;
            }
        };
        let vr = self.interface(ingress).vr;
        let mut packet = Packet::new(frame, headers, (port, ingress, vr), Origin::Received, cause);
        if self.tracer.is_on() {
            self.maybe_trace(&mut packet, now);
        }
        self.run(packet, now);
    }

    /// Packets of either tier were lost after [`Gateway::poll_transmit`] or the engine let go of
    /// them.
    pub fn handle_lost(&mut self, reason: DropReason, packets: u64) {
        self.counters.lose(reason, packets);
    }

    /// A packet that the fast path took out of an SA and punted: it stands behind a blank Ethernet
    /// header and comes in by the interface of its tunnel.
    pub fn handle_opened(
        &mut self,
        port: PortId,
        tunnel: IfId,
        frame: Frame,
        cause: PuntCause,
        now: Time,
    ) {
        let known = self.config.interface(tunnel).map(|interface| interface.vr);
        let parsed = wire::parse(frame.bytes()).map(|headers| (headers, known));
        let parsed = parsed.and_then(|(headers, vr)| match vr {
            Some(vr) => Ok((headers, vr)),
            None => Err(DropReason::InterfaceDown),
        });
        let (headers, vr) = match parsed {
            Ok(parsed) => parsed,
            Err(reason) => {
                self.counters.drop(reason, tunnel);
                self.show_dropped_frame(Place::Interface(tunnel), &frame, reason, now);
                return;
            }
        };
        let mut packet = Packet::new(frame, headers, (port, tunnel, vr), Origin::Received, cause);
        packet.nesting = 1;
        if let Err(reason) = self.check_selectors(&packet, None) {
            self.counters.drop(reason, tunnel);
            self.show_drop(&packet, reason, now);
            return;
        }
        if self.tracer.is_on() {
            self.maybe_trace(&mut packet, now);
        }
        self.run(packet, now);
    }

    /// A port's link or MAC address, as seen now.
    pub fn handle_port(&mut self, port: PortId, state: PortState, now: Time) {
        let before = self.topology.port(port.0);
        if !self.topology.set_port(port, state) {
            return;
        }
        self.publish_interfaces();
        if before.mac != state.mac {
            self.publish_neighbours();
        }
        if before.up != state.up {
            let kind = if state.up { EventKind::LinkUp } else { EventKind::LinkDown };
            let name = self.config.ports.get(usize::from(port.0)).map_or("?", |p| p.name.as_str());
            self.events.push(now, kind, format!("port {name}"));
            self.link_changed(port, state.up, now);
        }
        if state.up {
            // Hosts there may know another MAC, or a switch another way.
            self.announce_port(port, now);
        }
    }

    /// State of a port as last told.
    pub fn port_state(&self, port: PortId) -> PortState {
        self.topology.port(port.0)
    }

    /// What time of day it is now, in seconds since 1970-01-01 UTC.
    pub fn handle_wall_clock(&mut self, unix: i64, now: Time) {
        self.wall = WallClock { unix, at: now };
        self.tell_remote_the_time(unix, now);
        self.ike.handle_wall_clock(unix, now);
        if self.policies.set_wall_clock(unix) {
            self.events.push(now, EventKind::ScheduleChanged, "policies in force changed".into());
            self.reevaluate_all(reason::DemotionReason::PolicyChanged, now);
        }
    }

    /// Captures that run.
    pub fn captures(&self) -> &Captures {
        &self.captures
    }

    /// Captures that run, to tell them what was lost before it could be shown.
    pub fn captures_mut(&mut self) -> &mut Captures {
        &mut self.captures
    }

    /// The next frame to send, if any.
    pub fn poll_transmit(&mut self) -> Option<(PortId, Frame)> {
        self.transmit.pop_front()
    }

    /// The configuration in force.
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// Counters since start.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Sessions in the table.
    pub fn sessions(&self) -> &SessionTable {
        &self.sessions
    }

    /// The engine.
    pub fn engine(&self) -> &dyn Engine {
        &*self.engine
    }

    /// Where every session's directions stand with the engine.
    pub fn ledger(&self) -> &offload::ledger::Ledger {
        self.promotion.ledger()
    }

    /// Packets that wait for a neighbour to answer.
    pub fn packets_held(&self) -> usize {
        self.neighbours.iter().map(|neighbour| neighbour.held).sum()
    }

    fn interface(&self, id: IfId) -> &Interface {
        &self.config.interfaces[usize::from(id.0)]
    }

    /// Puts a trace on a received packet that a live trace wants.
    fn maybe_trace(&mut self, packet: &mut Packet, now: Time) {
        let config = Arc::clone(&self.config);
        let subject = show::PacketSubject { packet, users: &self.users, config: &config };
        let Some(running) = self.tracer.running() else { return };
        if !running.filter.matches(&subject) {
            return;
        }
        running.left -= 1;
        let id = running.id;
        packet.trace = Some(Box::new(self.new_trace(id, packet, now)));
    }

    fn new_trace(&self, id: u64, packet: &Packet, now: Time) -> Trace {
        Trace {
            id,
            time: now,
            tuple: matches!(packet.headers.kind, wire::L3::Ip(_)).then_some(packet.headers.tuple),
            ingress: self.interface(packet.ingress).name.clone(),
            ip_len: packet.headers.ip_len(),
            tcp_flags: packet.headers.tcp_flags,
            cause: None,
            tier: packet.tier,
            session: None,
            direction: None,
            egress: None,
            translated: None,
            against: reason::ReasonSet::EMPTY,
            phases: Vec::with_capacity(20),
            note: None,
        }
    }
}
