//! One steppable gateway: ports, software engine and slow path joined.
//!
//! [`Node::step`] is one round of the packet's day: for every port a burst is received and goes
//! through the fast path; what it punts goes through the slow path; what either wants to send is
//! finished for its port and sent. A node reads no clock and starts no thread: the daemon's
//! forwarding thread, the test kit and the demo all step one.
//!
//! Limits: one worker. The engine's tables already allow several; a node with several would own one
//! worker per thread and keep the slow path on one of them.

#![forbid(unsafe_code)]

mod backend;
mod capture;
mod finish;
mod single;

use std::{os::fd::RawFd, sync::Arc};

use api::{ApiError, ExportKeys, KeyTable};
use config::{
    Config,
    model::{IfId, Limits},
};
use engines::soft::{Output, PuntLimit, PuntLimits, SoftConfig, SoftWorker, TraceHit, soft};
use gateway::{Gateway, Parts, PortState, Stopwatch, capture::Place, trace::FastHit};
use offload::{EpochTable, tcp_window::TcpWindows};
use ports::{Coalescer, Frame, FramePool, LinkState, Port, PortId};
use reason::{DropReason, PuntCause, Reason};
use wire::{Mac, Time};

pub use finish::{Lost, finish};
pub use gateway::{Job, JobDone, tunnel::Random};

use capture::Looks;

/// Frames received from a port at once.
const BURST: usize = 64;

/// Bursts taken from one port in one step before the next port has its turn.
const BURSTS_PER_STEP: usize = 4;

/// Slots for epochs: sessions are spread over them by the address that opened them.
const EPOCHS: u16 = 1024;

/// What a node needs besides its configuration.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Which library serves which cipher; `Selection::default()` where speed does not matter.
    pub ciphers: aead::Selection,
    /// Seed of random choices and hash keys.
    pub seed: u64,
    /// Where secrets come from; may use the seed, in a simulation.
    pub random: fn(u64) -> Random,
    /// Measures stages for traces.
    pub stopwatch: Stopwatch,
}

/// An opened port with the MAC address of its device, where it has one.
pub struct Attached {
    /// The port.
    pub port: Box<dyn Port>,
    /// MAC address of the device.
    pub mac: Option<Mac>,
}

/// A gateway with its ports.
pub struct Node {
    gateway: Gateway,
    worker: SoftWorker,
    ports: Vec<Box<dyn Port>>,
    links: Vec<LinkState>,
    frames: Arc<FramePool>,
    received: Vec<Frame>,
    output: Output,
    /// Whether packets cross a port one by one, by its number: from the configuration.
    single: Vec<bool>,
    cut: Vec<Frame>,
    sending: Vec<Vec<Frame>>,
    coalescer: Coalescer,
    looks: Looks,
    now: Time,
}

impl Node {
    /// Joins a configuration with its opened ports, given in the order of the configuration.
    pub fn new(
        config: Arc<Config>,
        attached: Vec<Attached>,
        frames: Arc<FramePool>,
        settings: Settings,
        now: Time,
    ) -> Self {
        let epochs = Arc::new(EpochTable::new(EPOCHS));
        let windows = Arc::new(TcpWindows::new(config.limits.sessions));
        let (control, mut workers) = soft(
            soft_config(&config.limits, settings.seed),
            Arc::clone(&epochs),
            Arc::clone(&windows),
        );
        let worker = workers.pop().expect("invariant: the software engine has at least one worker");
        let parts = Parts {
            engine: Box::new(control),
            epochs,
            windows,
            frames: Arc::clone(&frames),
            ciphers: settings.ciphers,
            seed: settings.seed,
            random: (settings.random)(settings.seed ^ fingerprint(&config.hostname)),
            stopwatch: settings.stopwatch,
        };
        let mut gateway = Gateway::new(Arc::clone(&config), parts, now);
        let mut ports = Vec::with_capacity(attached.len());
        let mut links = Vec::with_capacity(attached.len());
        for (index, attached) in attached.into_iter().enumerate() {
            let id = PortId(index as u16);
            let link = attached.port.link();
            let configured = config.ports.get(index).and_then(|port| port.mac);
            let mac = configured.or(attached.mac).unwrap_or_else(|| gateway.port_state(id).mac);
            gateway.handle_port(id, PortState { mac, up: link == LinkState::Up }, now);
            ports.push(attached.port);
            links.push(link);
        }
        let sending = ports.iter().map(|_| Vec::with_capacity(2 * BURST)).collect();
        let mut node = Self {
            gateway,
            worker,
            ports,
            links,
            frames,
            received: Vec::with_capacity(BURST),
            single: Vec::new(),
            cut: Vec::new(),
            output: Output::new(),
            sending,
            coalescer: Coalescer::default(),
            looks: Looks::default(),
            now,
        };
        node.tune_ports();
        node
    }

    /// Runs another configuration, with the same ports.
    pub fn apply(&mut self, config: Arc<Config>, now: Time) {
        self.gateway.apply(config, now);
        self.tune_ports();
    }

    fn tune_ports(&mut self) {
        let configured = &self.gateway.config().ports;
        self.single = configured.iter().map(|port| !port.super_packets).collect();
    }

    /// One round: receive, fast path, slow path, time, send. Returns how many frames came in.
    pub fn step(&mut self, now: Time) -> usize {
        self.now = now;
        let mut moved = 0;
        for index in 0..self.ports.len() {
            for _ in 0..BURSTS_PER_STEP {
                let count = self.ports[index].receive(&mut self.received, BURST);
                if count == 0 {
                    break;
                }
                moved += count;
                if self.single.get(index) == Some(&true) {
                    let gateway = &mut self.gateway;
                    single::cut(&mut self.received, &mut self.cut, &self.frames, |lost| {
                        gateway.handle_lost(lost.reason, lost.packets);
                    });
                }
                self.burst(PortId(index as u16), now);
                if count < BURST {
                    break;
                }
            }
        }
        self.gateway.handle_timeout(now);
        self.retire(now);
        self.collect();
        self.send();
        moved
    }

    /// The next expensive piece of work of the slow path, for another thread; it comes back by
    /// [`Gateway::handle_job_done`].
    pub fn poll_job(&mut self) -> Option<Job> {
        self.gateway.poll_job()
    }

    /// Does here and now what [`Node::poll_job`] would give, and what follows from it; says whether
    /// there was anything.
    pub fn run_jobs(&mut self, now: Time) -> bool {
        let mut any = false;
        while let Some(job) = self.gateway.poll_job() {
            self.gateway.handle_job_done(job.run(), now);
            any = true;
        }
        self.collect();
        self.send();
        any
    }

    /// When the node wants to be stepped next if no frame comes, and why.
    pub fn poll_timeout(&self) -> Option<(Time, &'static str)> {
        self.gateway.poll_timeout()
    }

    /// Descriptors that become readable when frames wait.
    pub fn poll_fds(&self) -> Vec<RawFd> {
        self.ports.iter().filter_map(|port| port.poll_fd()).collect()
    }

    /// Looks at the ports' links; call it about once a second.
    pub fn refresh_ports(&mut self, now: Time) {
        for (index, port) in self.ports.iter_mut().enumerate() {
            port.refresh();
            let link = port.link();
            let id = PortId(index as u16);
            let before = self.gateway.port_state(id);
            // A device that is back may be another one.
            let configured = self.gateway.config().ports.get(index).and_then(|port| port.mac);
            let mac = configured.or(port.mac()).unwrap_or(before.mac);
            if link != self.links[index] || mac != before.mac {
                self.links[index] = link;
                self.gateway.handle_port(id, PortState { mac, up: link == LinkState::Up }, now);
            }
        }
    }

    /// The slow path.
    pub fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// The slow path, to give it input; but a configuration goes in by [`Node::apply`].
    pub fn gateway_mut(&mut self) -> &mut Gateway {
        &mut self.gateway
    }

    /// The keys of SAs, for somebody who may have them.
    ///
    /// # Errors
    /// No SA is picked.
    pub fn export_keys(&mut self, request: &ExportKeys, who: &str) -> Result<KeyTable, ApiError> {
        self.gateway.export_keys(request, who, self.now)
    }

    /// The frame pool.
    pub fn frames(&self) -> &Arc<FramePool> {
        &self.frames
    }

    /// The ports, in the order of the configuration.
    pub fn ports(&self) -> &[Box<dyn Port>] {
        &self.ports
    }

    fn burst(&mut self, port: PortId, now: Time) {
        self.looks.tune(&self.gateway, &mut self.output);
        let capturing = self.gateway.is_capturing();
        if capturing {
            Looks::received(&mut self.gateway, port, &self.received, now);
        }
        self.worker.process(port, &mut self.received, now, &mut self.output);
        if capturing {
            Looks::tapped(&mut self.gateway, &mut self.output, now);
        }
        for (port, frame) in self.output.tx.drain(..) {
            if let Err(lost) =
                push(&mut self.sending, (&self.ports, &self.single), &self.frames, port, frame)
            {
                self.gateway.handle_lost(lost.reason, lost.packets);
            }
        }
        if capturing {
            self.looks.queued(&mut self.gateway, &self.sending, true, now);
        }
        self.output.dropped.clear();
        // The slow path works after the fast path and before the next burst, so that a flow that
        // is promoted now has no packet of this burst left behind.
        for punt in self.output.punts.drain(..) {
            if let Some(client) = punt.control {
                self.gateway.handle_client_message(client, punt.frame.bytes());
                continue;
            }
            if capturing {
                let place =
                    punt.tunnel.map_or(Place::Port(punt.port), |id| Place::Interface(IfId(id)));
                Looks::punted(&mut self.gateway, place, &punt.frame, punt.cause, now);
            }
            match punt.tunnel {
                None => self.gateway.handle_frame(punt.port, punt.frame, punt.cause, now),
                Some(tunnel) => {
                    let tunnel = IfId(tunnel);
                    self.gateway.handle_opened(punt.port, tunnel, punt.frame, punt.cause, now);
                }
            }
        }
        for hit in self.output.traces.drain(..) {
            self.gateway.handle_trace_hit(&fast_hit(&hit), now);
        }
        self.retire(now);
        self.collect();
        self.send();
    }

    /// The worker holds nothing now, so what the slow path took out of the engine is gone for good.
    fn retire(&mut self, now: Time) {
        self.worker.quiesce();
        self.gateway.handle_engine(now);
    }

    fn collect(&mut self) {
        while let Some((port, frame)) = self.gateway.poll_transmit() {
            if let Err(lost) =
                push(&mut self.sending, (&self.ports, &self.single), &self.frames, port, frame)
            {
                self.gateway.handle_lost(lost.reason, lost.packets);
            }
        }
    }

    fn send(&mut self) {
        if self.gateway.is_capturing() {
            self.looks.queued(&mut self.gateway, &self.sending, false, self.now);
        }
        self.looks.sent();
        let ports = self.ports.iter_mut().zip(&self.single);
        for ((port, single), frames) in ports.zip(&mut self.sending) {
            if !frames.is_empty() {
                let takes = single::taken(port.as_ref(), *single);
                self.coalescer.coalesce(frames, takes, &self.frames);
                port.send(frames);
                // What the port could not take it has counted; nothing waits here for a full queue.
                frames.clear();
            }
        }
    }
}

/// Two gateways with one seed must not have the same secrets (FNV-1a).
fn fingerprint(hostname: &str) -> u64 {
    hostname.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The engine's size by the configuration's limits.
fn soft_config(limits: &Limits, seed: u64) -> SoftConfig {
    let mut punt_limits = PuntLimits::default();
    for cause in PuntCause::ALL {
        if let Some(rate) = limits.punt.get(cause.name()) {
            // A quarter of a second's worth may come at once.
            let limit = PuntLimit { rate: *rate, burst: (*rate / 4).max(1) };
            punt_limits.set(*cause, Some(limit));
        }
    }
    let defaults = SoftConfig::default();
    SoftConfig {
        flows: limits.flows,
        adjacencies: limits.neighbours,
        sas: limits.sas,
        workers: 1,
        seed: u128::from(seed) << 64 | u128::from(seed.rotate_left(29) ^ 0x9e37_79b9_7f4a_7c15),
        punt_ring: limits.punt_ring as usize,
        punt_limits,
        trace_ring: defaults.trace_ring,
    }
}

const fn fast_hit(hit: &TraceHit) -> FastHit {
    FastHit {
        session: hit.session,
        direction: hit.direction,
        before: hit.before,
        after: hit.after,
        ip_len: hit.ip_len,
        time: hit.time,
    }
}

fn push(
    sending: &mut [Vec<Frame>],
    (ports, single): (&[Box<dyn Port>], &[bool]),
    frames: &Arc<FramePool>,
    port: PortId,
    frame: Frame,
) -> Result<(), Lost> {
    let index = usize::from(port.0);
    match (sending.get_mut(index), ports.get(index), single.get(index)) {
        (Some(queue), Some(port), Some(single)) => {
            finish(frame, single::taken(port.as_ref(), *single), frames, queue)
        }
        (None, ..) | (_, None, _) | (.., None) => {
            Err(Lost { reason: DropReason::PortDown, packets: 1 })
        }
    }
}
