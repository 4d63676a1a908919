//! One steppable gateway: ports, software engine and slow path joined.
//!
//! [`Node::step`] is one round of the packet's day: for every port a burst is received and goes
//! through the fast path; what it punts goes through the slow path; what either wants to send is
//! finished for its port and sent. A node reads no clock and starts no thread: the daemon's
//! forwarding threads, the test kit and the demo all step one.
//!
//! A node has one or several workers (`limits.workers`). It steps them one after the other, unless they
//! are taken away ([`Node::take_workers`]) to be stepped by threads of their own; timers, requests and the
//! state of links stay with the node.

#![forbid(unsafe_code)]

mod backend;
mod capture;
mod finish;
mod single;
mod worker;

use std::{
    os::fd::RawFd,
    sync::{Arc, MutexGuard},
};

use api::{ApiError, ExportKeys, KeyTable};
use config::{Config, model::Limits};
use engines::soft::{PuntLimit, PuntLimits, SoftConfig, soft};
use gateway::{Gateway, Parts, PortState, Stopwatch};
use offload::{EpochTable, tcp_window::TcpWindows};
use ports::{FramePool, LinkState, Port, PortCounters, PortId};
use reason::{PuntCause, Reason};
use wire::{Mac, Time};

pub use finish::{Lost, finish};
pub use gateway::{Job, JobDone, tunnel::Random};
pub use worker::{Stepped, Worker};

use worker::{Common, Share};

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
    /// Its queues, one for each worker; where there are fewer, workers share them to send, and some
    /// receive nothing from it.
    pub queues: Vec<Box<dyn Port>>,
    /// MAC address of the device.
    pub mac: Option<Mac>,
}

/// A gateway with its ports.
pub struct Node {
    common: Arc<Common>,
    /// The first one, and those that were not taken away.
    workers: Vec<Worker>,
    /// Of all workers.
    shares: Vec<Arc<Share>>,
    links: Vec<LinkState>,
    now: Time,
}

impl Node {
    /// Joins a configuration with its opened ports, given in the order of the configuration. Each worker
    /// takes buffers from a pool of its own; where there are fewer, the last serves the rest.
    ///
    /// # Panics
    /// When there is no pool.
    pub fn new(
        config: Arc<Config>,
        attached: Vec<Attached>,
        pools: &[Arc<FramePool>],
        settings: Settings,
        now: Time,
    ) -> Self {
        let pool = |worker: usize| {
            let pool = pools.get(worker).or(pools.last());
            Arc::clone(pool.expect("invariant: whoever makes a node makes a pool first"))
        };
        let epochs = Arc::new(EpochTable::new(EPOCHS));
        let windows = Arc::new(TcpWindows::new(config.limits.sessions));
        let (control, fast) = soft(
            soft_config(&config.limits, settings.seed),
            Arc::clone(&epochs),
            Arc::clone(&windows),
        );
        let parts = Parts {
            engine: Box::new(control),
            epochs,
            windows,
            frames: pool(0),
            more_frames: pools.iter().skip(1).cloned().collect(),
            ciphers: settings.ciphers,
            seed: settings.seed,
            random: (settings.random)(settings.seed ^ fingerprint(&config.hostname)),
            stopwatch: settings.stopwatch,
        };
        let mut gateway = Gateway::new(Arc::clone(&config), parts, now);
        let mut queues: Vec<Vec<Box<dyn Port>>> = fast.iter().map(|_| Vec::new()).collect();
        let mut links = Vec::with_capacity(attached.len());
        for (index, attached) in attached.into_iter().enumerate() {
            let id = PortId(index as u16);
            let spread = ports::spread(attached.queues, fast.len());
            let link = spread.first().map_or(LinkState::Gone, |port| port.link());
            let configured = config.ports.get(index).and_then(|port| port.mac);
            let mac = configured.or(attached.mac).unwrap_or_else(|| gateway.port_state(id).mac);
            gateway.handle_port(id, PortState { mac, up: link == LinkState::Up }, now);
            queues.iter_mut().zip(spread).for_each(|(of_worker, queue)| of_worker.push(queue));
            links.push(link);
        }
        let common = Arc::new(Common::new(gateway, links.len()));
        let parts = fast.into_iter().zip(queues).enumerate();
        let workers: Vec<_> = parts
            .map(|(number, (fast, queues))| Worker::new(&common, fast, queues, pool(number)))
            .collect();
        let shares = workers.iter().map(|worker| Arc::clone(worker.share())).collect();
        Self { common, workers, shares, links, now }
    }

    /// The workers but the first, each for a thread of its own. Whoever steps one and hears that its slow
    /// path had work sees to it that the node is stepped soon, too.
    pub fn take_workers(&mut self) -> Vec<Worker> {
        self.workers.drain(1..).collect()
    }

    /// Runs another configuration, with the same ports.
    pub fn apply(&mut self, config: Arc<Config>, now: Time) {
        let mut gateway = self.common.lock();
        gateway.apply(config, now);
        self.common.tune(&gateway);
    }

    /// One round: receive, fast path, slow path, time, send. Returns how many frames came in.
    pub fn step(&mut self, now: Time) -> usize {
        self.now = now;
        let moved = self.workers.iter_mut().map(|worker| worker.step(now).frames).sum();
        let mut gateway = self.common.lock();
        gateway.handle_timeout(now);
        // No worker here holds anything now, so what the slow path took out of the engine may be gone.
        self.workers.iter_mut().for_each(Worker::quiesce);
        gateway.handle_engine(now);
        self.workers[0].collect(&mut gateway, now);
        self.common.note(&gateway);
        drop(gateway);
        self.workers[0].send();
        moved
    }

    /// The workers that are still here hold nothing until the next step: call it before a sleep.
    pub fn rest(&mut self) {
        self.workers.iter_mut().for_each(Worker::rest);
    }

    /// The next expensive piece of work of the slow path, for another thread; it comes back by
    /// [`Gateway::handle_job_done`].
    pub fn poll_job(&mut self) -> Option<Job> {
        self.common.lock().poll_job()
    }

    /// Does here and now what [`Node::poll_job`] would give, and what follows from it; says whether
    /// there was anything.
    pub fn run_jobs(&mut self, now: Time) -> bool {
        let mut any = false;
        let mut gateway = self.common.lock();
        while let Some(job) = gateway.poll_job() {
            gateway.handle_job_done(job.run(), now);
            any = true;
        }
        self.workers[0].collect(&mut gateway, now);
        drop(gateway);
        self.workers[0].send();
        any
    }

    /// When the node wants to be stepped next if no frame comes, and why.
    pub fn poll_timeout(&self) -> Option<(Time, &'static str)> {
        self.common.lock().poll_timeout()
    }

    /// Descriptors that become readable when frames wait for a worker that is still here.
    pub fn poll_fds(&self) -> Vec<RawFd> {
        self.workers.iter().flat_map(Worker::poll_fds).collect()
    }

    /// Looks at the ports' links; call it about once a second.
    pub fn refresh_ports(&mut self, now: Time) {
        self.workers.iter_mut().for_each(Worker::refresh);
        let mut gateway = self.common.lock();
        for (index, port) in self.ports().iter().enumerate() {
            let link = port.link();
            let id = PortId(index as u16);
            let before = gateway.port_state(id);
            // A device that is back may be another one.
            let configured = gateway.config().ports.get(index).and_then(|port| port.mac);
            let mac = configured.or(port.mac()).unwrap_or(before.mac);
            if self.links.get(index) != Some(&link) || mac != before.mac {
                gateway.handle_port(id, PortState { mac, up: link == LinkState::Up }, now);
            }
        }
        drop(gateway);
        self.links = self.ports().iter().map(|port| port.link()).collect();
    }

    /// The slow path. While the guard is held every worker that punts waits, and so does whoever asks
    /// here a second time.
    pub fn gateway(&self) -> MutexGuard<'_, Gateway> {
        self.common.lock()
    }

    /// The keys of SAs, for somebody who may have them.
    ///
    /// # Errors
    /// No SA is picked.
    pub fn export_keys(&mut self, request: &ExportKeys, who: &str) -> Result<KeyTable, ApiError> {
        self.common.lock().export_keys(request, who, self.now)
    }

    /// The frame pool of the slow path and the first worker.
    pub fn frames(&self) -> &Arc<FramePool> {
        &self.shares[0].frames
    }

    /// The ports, in the order of the configuration, as the first worker has them.
    pub fn ports(&self) -> &[Box<dyn Port>] {
        self.workers[0].queues()
    }

    /// What all queues of a port counted; those of workers that were taken away, as of a moment ago.
    pub fn port_counters(&self, port: usize) -> PortCounters {
        let taken = self.shares.iter().skip(self.workers.len()).map(|share| share.counters(port));
        let here = self.workers.iter().filter_map(|worker| worker.queues().get(port));
        here.map(|queue| queue.counters()).chain(taken).sum()
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
        workers: limits.workers as usize,
        seed: u128::from(seed) << 64 | u128::from(seed.rotate_left(29) ^ 0x9e37_79b9_7f4a_7c15),
        punt_ring: limits.punt_ring as usize,
        punt_limits,
        trace_ring: defaults.trace_ring,
    }
}
