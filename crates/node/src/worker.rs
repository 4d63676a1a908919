//! One worker of a node: its queue of every port, its fast path, and the slow path for what it punts.
//!
//! All workers share one slow path behind a lock. A worker that has something for it takes the lock and does
//! the work itself, between the burst it came with and the next one. So the packets of a flow stay in order
//! however the flow moves between tiers, as long as one direction comes to one worker; nothing is handed
//! from thread to thread, and nothing waits in a queue between. A burst that the fast path serves whole takes
//! no lock.
//!
//! Limits: a worker that punts waits while another one is in the slow path, or the first one in a long piece
//! of work (a large reload); its own fast path waits with it. What a queued packet waited for may come to
//! another worker (an ARP answer), and then that one sends it.

use std::{
    mem,
    os::fd::RawFd,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use config::model::IfId;
use core::time::Duration;
use engines::soft::{Output, Punt, SoftWorker, TraceHit};
use gateway::{Gateway, capture::Place, trace::FastHit};
use ports::{Coalescer, Frame, FramePool, Port, PortCounters, PortId};
use reason::{DropReason, PuntCause};
use wire::Time;

use crate::{
    capture::Looks,
    finish::{Lost, finish},
    single,
};

/// Frames received from a port at once.
const BURST: usize = 64;

/// Bursts taken from one port in one step before the next port has its turn.
const BURSTS_PER_STEP: usize = 4;

/// How often a worker under load publishes what its ports counted.
const PUBLISH: Duration = Duration::from_millis(10);

/// What all workers share.
pub(crate) struct Common {
    gateway: Mutex<Gateway>,
    /// Whether packets cross a port one by one, by its number: from the configuration.
    single: Box<[AtomicBool]>,
    /// As [`watched`] gives it, so that no worker takes the lock to learn that nobody captures.
    captures: AtomicU64,
}

impl Common {
    pub(crate) fn new(gateway: Gateway, ports: usize) -> Self {
        let single = (0..ports).map(|_| AtomicBool::new(false)).collect();
        let this = Self {
            captures: AtomicU64::new(watched(&gateway)),
            single,
            gateway: Mutex::new(gateway),
        };
        this.tune(&this.lock());
        this
    }

    /// The slow path. A thread that panicked in it has ended the process's forwarding; what it left is still
    /// there to be looked at.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Gateway> {
        self.gateway.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes from the configuration what workers go by.
    pub(crate) fn tune(&self, gateway: &Gateway) {
        for (single, port) in self.single.iter().zip(&gateway.config().ports) {
            single.store(!port.super_packets, Relaxed);
        }
    }

    /// Lets workers know of captures that came or went.
    pub(crate) fn note(&self, gateway: &Gateway) {
        self.captures.store(watched(gateway), Relaxed);
    }

    #[inline]
    fn is_single(&self, port: usize) -> bool {
        self.single.get(port).is_some_and(|single| single.load(Relaxed))
    }
}

/// The number of changes of the captures, and in the lowest bit whether one runs.
fn watched(gateway: &Gateway) -> u64 {
    gateway.captures().changes() << 1 | u64::from(gateway.is_capturing())
}

/// What others may know of a worker.
pub(crate) struct Share {
    /// What its queues counted, by port, as last published.
    counters: Mutex<Vec<PortCounters>>,
    /// Where its frames come from.
    pub(crate) frames: Arc<FramePool>,
}

impl Share {
    pub(crate) fn counters(&self, port: usize) -> PortCounters {
        let counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        counters.get(port).copied().unwrap_or_default()
    }
}

/// What a step did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stepped {
    /// Frames that came in.
    pub frames: usize,
    /// The slow path had work, so there may be a new timer, or a job for another thread.
    pub slow: bool,
}

/// A worker. Give it to a thread of its own, or leave it with its node, which steps it.
pub struct Worker {
    common: Arc<Common>,
    lane: Lane,
}

/// What belongs to the worker alone.
struct Lane {
    share: Arc<Share>,
    fast: SoftWorker,
    queues: Vec<Box<dyn Port>>,
    received: Vec<Frame>,
    cut: Vec<Frame>,
    local: Vec<Frame>,
    /// Keeps the memory of a burst of super-packets.
    batch: Vec<Frame>,
    output: Output,
    sending: Vec<Vec<Frame>>,
    lost: Vec<Lost>,
    coalescer: Coalescer,
    looks: Looks,
    published: Time,
}

impl Worker {
    pub(crate) fn new(
        common: &Arc<Common>,
        fast: SoftWorker,
        queues: Vec<Box<dyn Port>>,
        frames: Arc<FramePool>,
    ) -> Self {
        let counters = Mutex::new(vec![PortCounters::default(); queues.len()]);
        let lane = Lane {
            share: Arc::new(Share { counters, frames }),
            fast,
            received: Vec::with_capacity(BURST),
            cut: Vec::new(),
            local: Vec::new(),
            batch: Vec::new(),
            output: Output::new(),
            sending: queues.iter().map(|_| Vec::with_capacity(2 * BURST)).collect(),
            queues,
            lost: Vec::new(),
            coalescer: Coalescer::default(),
            looks: Looks::default(),
            published: Time::ZERO,
        };
        Self { common: Arc::clone(common), lane }
    }

    /// One round: receives, fast path, slow path for what it punts, sends.
    pub fn step(&mut self, now: Time) -> Stepped {
        self.lane.step(&self.common, now)
    }

    /// Nothing is held from here on until the next step: call it before a sleep.
    pub fn rest(&mut self) {
        self.lane.fast.rest();
        self.lane.publish();
    }

    /// Its number, counted from zero.
    pub const fn number(&self) -> usize {
        self.lane.fast.number()
    }

    /// Descriptors that become readable when frames wait.
    pub fn poll_fds(&self) -> Vec<RawFd> {
        self.lane.queues.iter().filter_map(|port| port.poll_fd()).collect()
    }

    /// Looks at the devices; call it about once a second.
    pub fn refresh(&mut self) {
        self.lane.queues.iter_mut().for_each(|port| port.refresh());
    }

    pub(crate) fn queues(&self) -> &[Box<dyn Port>] {
        &self.lane.queues
    }

    pub(crate) fn share(&self) -> &Arc<Share> {
        &self.lane.share
    }

    pub(crate) fn quiesce(&mut self) {
        self.lane.fast.quiesce();
    }

    /// Takes what the slow path sends.
    pub(crate) fn collect(&mut self, gateway: &mut Gateway, now: Time) {
        self.lane.collect(&self.common, gateway, now);
    }

    /// Sends it.
    pub(crate) fn send(&mut self) {
        self.lane.send(&self.common);
    }
}

impl Lane {
    fn step(&mut self, common: &Common, now: Time) -> Stepped {
        let mut stepped = Stepped::default();
        for index in 0..self.queues.len() {
            for _ in 0..BURSTS_PER_STEP {
                let count = self.queues[index].receive(&mut self.received, BURST);
                if count == 0 {
                    break;
                }
                stepped.frames += count;
                if common.is_single(index) {
                    let lost = &mut self.lost;
                    single::cut(&mut self.received, &mut self.cut, &self.share.frames, |of_it| {
                        lost.push(of_it);
                    });
                }
                stepped.slow |= self.bursts(common, PortId(index as u16), now);
                if count < BURST {
                    break;
                }
            }
        }
        self.fast.quiesce();
        if now.since(self.published) >= PUBLISH {
            self.published = now;
            self.publish();
        }
        stepped
    }

    fn publish(&mut self) {
        let mut counters = self.share.counters.lock().unwrap_or_else(PoisonError::into_inner);
        for (counters, port) in counters.iter_mut().zip(&self.queues) {
            *counters = port.counters();
        }
    }

    /// Serves what was received. Of super-packets fewer make a burst: what comes of it leaves before the next one
    /// is begun, so that whoever has it can work meanwhile.
    fn bursts(&mut self, common: &Common, port: PortId, now: Time) -> bool {
        if self.received.iter().all(|frame| frame.offloads.gso.is_none()) {
            return self.burst(common, port, now);
        }
        let mut all = mem::take(&mut self.received);
        self.received = mem::take(&mut self.batch);
        let (mut slow, mut packets) = (false, 0);
        for frame in all.drain(..) {
            let size = frame.offloads.gso.map_or(usize::MAX, |gso| gso.size.max(1).into());
            packets += frame.bytes().len().div_ceil(size);
            self.received.push(frame);
            if packets >= BURST {
                slow |= self.burst(common, port, now);
                packets = 0;
            }
        }
        if !self.received.is_empty() {
            slow |= self.burst(common, port, now);
        }
        self.batch = mem::replace(&mut self.received, all);
        slow
    }

    /// Serves a burst; says whether the slow path had work.
    fn burst(&mut self, common: &Common, port: PortId, now: Time) -> bool {
        let watched = common.captures.load(Relaxed);
        let mut slow = None;
        if watched & 1 != 0 || self.looks.is_behind(watched >> 1) {
            let gateway = slow.insert(common.lock());
            self.looks.tune(gateway, &mut self.output);
            if gateway.is_capturing() {
                Looks::received(gateway, port, &self.received, now);
            }
        }
        self.fast.process(port, &mut self.received, now, &mut self.output);
        self.queue(common);
        if let Some(gateway) = &mut slow
            && gateway.is_capturing()
        {
            Looks::tapped(gateway, &mut self.output, now);
            self.looks.queued(gateway, &self.sending, true, now);
        }
        let Output { punts, traces, .. } = &self.output;
        let any = !(punts.is_empty() && traces.is_empty() && self.lost.is_empty());
        if any || slow.is_some() {
            let gateway = slow.get_or_insert_with(|| common.lock());
            self.serve_slowly(common, gateway, now);
        }
        drop(slow);
        self.send(common);
        any
    }

    /// What the fast path sends is finished for its port and waits there.
    fn queue(&mut self, common: &Common) {
        for (port, frame) in self.output.tx.drain(..) {
            let queues = (&mut self.sending[..], &self.queues[..]);
            if let Err(lost) = push(queues, common, &self.share.frames, port, frame) {
                self.lost.push(lost);
            }
        }
        self.output.dropped.clear();
    }

    /// The slow path works after the fast path and before the next burst, so that a flow that is promoted
    /// now has no packet of this burst left behind.
    fn serve_slowly(&mut self, common: &Common, gateway: &mut Gateway, now: Time) {
        for lost in self.lost.drain(..) {
            gateway.handle_lost(lost.reason, lost.packets);
        }
        if gateway.is_capturing() {
            for punt in self.output.punts.iter().filter(|punt| punt.control.is_none()) {
                let place =
                    punt.tunnel.map_or(Place::Port(punt.port), |id| Place::Interface(IfId(id)));
                Looks::punted(gateway, place, &punt.frame, punt.cause, now);
            }
        }
        self.deliver_joined(gateway, now);
        for punt in self.output.punts.drain(..) {
            if let Some(client) = punt.control {
                gateway.handle_client_message(client, punt.frame.bytes());
                continue;
            }
            match punt.tunnel {
                None => gateway.handle_frame(punt.port, punt.frame, punt.cause, now),
                Some(tunnel) => {
                    let tunnel = IfId(tunnel);
                    gateway.handle_opened(punt.port, tunnel, punt.frame, punt.cause, now);
                }
            }
        }
        for hit in self.output.traces.drain(..) {
            gateway.handle_trace_hit(&fast_hit(&hit), now);
        }
        // The worker holds nothing now, so what the slow path took out of the engine may be gone for good.
        self.fast.quiesce();
        gateway.handle_engine(now);
        self.collect(common, gateway, now);
    }

    /// Segments for connections that end in the gateway go through the stages joined. What of such a
    /// connection is an exception (FIN, RST) comes after.
    fn deliver_joined(&mut self, gateway: &mut Gateway, now: Time) {
        let Output { punts, .. } = &mut self.output;
        let Some(port) = punts.first().map(|punt| punt.port) else { return };
        if punts.len() < 2 || !gateway.ends_any() {
            return;
        }
        let cause = PuntCause::FlowMiss;
        let is_local = |punt: &mut Punt| {
            let plain = punt.tunnel.is_none() && punt.control.is_none() && punt.cause == cause;
            plain
                && wire::parse(punt.frame.bytes())
                    .is_ok_and(|headers| gateway.ends_here(punt.port, &headers))
        };
        self.local.extend(punts.extract_if(.., is_local).map(|punt| punt.frame));
        self.coalescer.coalesce_for_reader(&mut self.local, &self.share.frames);
        for frame in self.local.drain(..) {
            gateway.handle_frame(port, frame, cause, now);
        }
    }

    fn collect(&mut self, common: &Common, gateway: &mut Gateway, now: Time) {
        while let Some((port, frame)) = gateway.poll_transmit() {
            let queues = (&mut self.sending[..], &self.queues[..]);
            if let Err(lost) = push(queues, common, &self.share.frames, port, frame) {
                gateway.handle_lost(lost.reason, lost.packets);
            }
        }
        if gateway.is_capturing() {
            self.looks.queued(gateway, &self.sending, false, now);
        }
    }

    fn send(&mut self, common: &Common) {
        self.looks.sent();
        let queues = self.queues.iter_mut().zip(&mut self.sending).enumerate();
        for (index, (port, frames)) in queues.filter(|(_, (_, frames))| !frames.is_empty()) {
            let takes = single::taken(port.as_ref(), common.is_single(index));
            self.coalescer.coalesce(frames, takes, &self.share.frames);
            port.send(frames);
            // What the port could not take it has counted; nothing waits here for a full queue.
            frames.clear();
        }
    }
}

fn push(
    (sending, ports): (&mut [Vec<Frame>], &[Box<dyn Port>]),
    common: &Common,
    frames: &Arc<FramePool>,
    port: PortId,
    frame: Frame,
) -> Result<(), Lost> {
    let index = usize::from(port.0);
    match (sending.get_mut(index), ports.get(index)) {
        (Some(queue), Some(port)) => {
            finish(frame, single::taken(port.as_ref(), common.is_single(index)), frames, queue)
        }
        (None, _) | (_, None) => Err(Lost { reason: DropReason::PortDown, packets: 1 }),
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
