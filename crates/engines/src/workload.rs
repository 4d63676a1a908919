//! A load for the software engine, in memory: UDP over IPv4 through source NAT, two flows per
//! session, packets of flows picked at random. The benches use it, and so can a self-measurement.
//!
//! What is timed, in CPU time of the thread, is [`SoftWorker::process`] alone, a round of bursts at a
//! time: parse, lookup, checks, rewrite, Ethernet header, counters, and moving frames to the output.
//! Making the frames and taking them back is not: that is the work of ports. A round makes
//! [`FRAMES`] frames at once, so what the worker reads lies in a cache no nearer than L2, as a NIC
//! would have left it.

use core::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};
use std::sync::Arc;

use offload::{
    Adjacency, AdjacencyId, Direction, Engine, EngineInterface, EpochRef, EpochTable, FlowProgram,
    Handle, Refusal, tcp_window::TcpWindows,
};
use ports::{Frame, PortId};
use wire::{Mac, Rewrite, Time, Tuple, build, proto};

use crate::{BURST, Output, PuntLimits, SoftConfig, SoftControl, SoftWorker, soft};

/// Frames made at once.
pub const FRAMES: usize = 4096;

const INSIDE: Mac = Mac([2, 0, 0, 0, 0, 1]);
const OUTSIDE: Mac = Mac([2, 0, 0, 0, 0, 2]);
const HOST: Mac = Mac([2, 0, 0, 0, 1, 1]);
const ROUTER: Mac = Mac([2, 0, 0, 0, 1, 2]);

/// An engine with sessions in it, and frames for them.
pub struct Workload {
    control: SoftControl,
    worker: SoftWorker,
    handles: Vec<Handle>,
    /// A packet of each length, in turn.
    templates: Vec<Vec<u8>>,
    bursts: Vec<Vec<Frame>>,
    out: Output,
    random: u64,
    now: Time,
}

/// What a run took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// Packets served.
    pub packets: u64,
    /// CPU time the worker took for them.
    pub busy: Duration,
}

impl Measured {
    /// Packets per second.
    pub fn rate(&self) -> f64 {
        self.packets as f64 / self.busy.as_secs_f64()
    }
}

impl Workload {
    /// An engine with both flows of `sessions` sessions installed. Frames carry `payload` bytes of
    /// UDP payload: 18 make the shortest Ethernet frame.
    pub fn new(sessions: u32, payload: usize, seed: u128) -> Result<Self, Refusal> {
        let epochs = Arc::new(EpochTable::new(1));
        let config = SoftConfig {
            sas: 64,
            flows: sessions * 2,
            adjacencies: 2,
            workers: 1,
            seed,
            punt_ring: FRAMES,
            punt_limits: PuntLimits::NONE,
            trace_ring: 0,
        };
        let (mut control, mut workers) =
            soft(config, Arc::clone(&epochs), Arc::new(TcpWindows::new(0)));
        control.set_interfaces(&[interface(0, INSIDE), interface(1, OUTSIDE)]);
        control.set_adjacency(AdjacencyId(0), adjacency(0, INSIDE, HOST))?;
        control.set_adjacency(AdjacencyId(1), adjacency(1, OUTSIDE, ROUTER))?;
        let mut handles = Vec::with_capacity(sessions as usize * 2);
        for session in 0..sessions {
            for direction in Direction::BOTH {
                handles.push(control.install(&program(session, direction), Time::ZERO)?);
            }
        }
        let mut load = Self {
            control,
            worker: workers.swap_remove(0),
            handles,
            bursts: Vec::new(),
            templates: Vec::new(),
            out: Output::new(),
            random: seed as u64 | 1,
            now: Time::from_secs(1),
        };
        load.set_payloads(&[payload]);
        Ok(load)
    }

    /// From now on frames carry so many bytes of UDP payload, these in turn.
    pub fn set_payloads(&mut self, payloads: &[usize]) {
        let ether = wire::emit::Ether { src: HOST, dst: INSIDE, vlan: None };
        let packet = |payload| build::udp(ether, key(0, Direction::Original), &vec![0x5a; payload]);
        self.templates = payloads.iter().map(|payload| packet(*payload)).collect();
        let longest = packet(payloads.iter().copied().max().unwrap_or(0));
        let burst = || (0..BURST).map(|_| Frame::from_vec(longest.clone())).collect();
        self.bursts = (0..FRAMES / BURST).map(|_| burst()).collect();
    }

    /// Serves at least `packets` packets of sessions picked uniformly from the first `sessions`.
    /// Bursts of the two directions take turns.
    ///
    /// # Panics
    /// If a packet is not forwarded: then it would measure something else.
    pub fn run(&mut self, packets: u64, sessions: u32) -> Measured {
        let sessions = sessions.clamp(1, self.handles.len() as u32 / 2);
        let mut measured = Measured::default();
        while measured.packets < packets {
            self.fill(sessions);
            self.now = self.now + Duration::from_micros(400);
            let start = cpu_time();
            for (burst, direction) in self.bursts.iter_mut().zip(Direction::BOTH.iter().cycle()) {
                let port = PortId(direction.index() as u16);
                self.worker.process(port, burst, self.now, &mut self.out);
            }
            measured.busy += cpu_time().saturating_sub(start);
            measured.packets += FRAMES as u64;
            assert_eq!(self.out.tx.len(), FRAMES, "punted: {:?}", self.out.punts.first());
            let mut done = self.out.tx.drain(..).map(|(_, frame)| frame);
            for burst in &mut self.bursts {
                burst.extend(done.by_ref().take(BURST));
            }
        }
        measured
    }

    /// The engine, to look at.
    pub const fn control(&self) -> &SoftControl {
        &self.control
    }

    /// Bytes of table memory per session.
    pub fn memory_per_session(&self) -> f64 {
        self.control.engine_stats().memory as f64 / (self.handles.len() / 2) as f64
    }

    /// Takes everything out and waits until it is gone; gives the CPU time that took. The worker serves
    /// nothing in between.
    pub fn clear(&mut self) -> Duration {
        let start = cpu_time();
        for handle in self.handles.drain(..) {
            self.control.remove(handle, reason::DemotionReason::SessionCleared);
        }
        self.worker.quiesce();
        while self.control.poll_event().is_some() {}
        cpu_time().saturating_sub(start)
    }

    fn fill(&mut self, sessions: u32) {
        let Self { bursts, random, templates, .. } = self;
        let parsed = templates.iter().map(|bytes| {
            (bytes, wire::parse(bytes).expect("invariant: a template is a UDP packet"))
        });
        let mut parsed = parsed.collect::<Vec<_>>().into_iter().cycle();
        for (burst, direction) in bursts.iter_mut().zip(Direction::BOTH.into_iter().cycle()) {
            let mac = if direction == Direction::Original { INSIDE } else { OUTSIDE };
            for (frame, (template, parsed)) in burst.iter_mut().zip(&mut parsed) {
                let session = (u128::from(next(random)) * u128::from(sessions)) >> 64;
                let key = key(session as u32, direction);
                frame.refill(template);
                let bytes = frame.bytes_mut();
                Rewrite::compile(parsed.tuple, key).apply(bytes, &parsed, false, false);
                bytes[..6].copy_from_slice(&mac.0);
            }
        }
    }
}

/// SplitMix64.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// CPU time of this thread.
pub fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a timespec of ours; the clock exists on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// What packets of a session look like when they come in.
fn key(session: u32, direction: Direction) -> Tuple {
    let server = IpAddr::V4(Ipv4Addr::new(198, 51, 100, (session & 0x7f) as u8 + 1));
    let original = Tuple {
        src: IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 | session >> 4)),
        dst: server,
        src_port: 1024 + (session & 0xf) as u16 * 1009,
        dst_port: 443,
        proto: proto::UDP,
    };
    match direction {
        Direction::Original => original,
        Direction::Reply => Tuple {
            src: server,
            dst: IpAddr::V4(Ipv4Addr::from_bits(0xcb00_7100 | session >> 15)),
            src_port: 443,
            dst_port: 0x8000 | (session & 0x7fff) as u16,
            proto: proto::UDP,
        },
    }
}

fn program(session: u32, direction: Direction) -> FlowProgram {
    let from = key(session, direction);
    let to = key(session, direction.opposite()).reversed();
    let (ingress, egress) = match direction {
        Direction::Original => (0, 1),
        Direction::Reply => (1, 0),
    };
    FlowProgram {
        key: from,
        vr: 0,
        ingress,
        rewrite: Rewrite::compile(from, to),
        adjacency: AdjacencyId(egress),
        sa: None,
        mtu: 1500,
        tcp_window: None,
        session,
        direction,
        epoch: EpochRef::default(),
        worth: 1,
    }
}

fn interface(number: u16, mac: Mac) -> EngineInterface {
    EngineInterface { port: number, vlan: None, interface: number, vr: 0, mac, enabled: true }
}

fn adjacency(port: u16, src: Mac, dst: Mac) -> Adjacency {
    Adjacency { port, interface: port, src, dst, vlan: None, mtu: 1500 }
}
