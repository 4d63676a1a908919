//! Two workers beside one: what both forward at once, each on a thread of its own, through one SA that they share and
//! through one each. Beside it the bare cipher on two threads and on one, since two cores of a machine may be less than twice one.
//!
//! Workers begin each step together, so that they do meet where they share something. A figure of several is the sum of what
//! each forwards in CPU time of its thread; waiting for a lock of another would not count, but on the fast path there is none.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use aead::Selection;
use engines::workload::cpu_time;
use esp::Outbound;
use node::{Attached, Node, Settings, Worker};
use ports::{Frame, FramePool, Port, PortCounters};
use wire::{Time, Tuple, emit::Ether};

use super::{
    CLIENT, Figure, LAN, Loop, LoopPort, RATIO, ROUTER, STEP, Scope, WAN,
    esp::{AAD_LEN, Random, Raw, Way, config_text, far_end, outward, texts},
    lock, median, pooled, sealed,
};

/// Workers beside each other.
const WORKERS: usize = 2;

/// Packets of each worker in one round, and rounds.
const PACKETS: usize = 100_000;
const ROUNDS: usize = 9;

/// Name of the suite.
pub(super) const SUITE: &str = "workers";

pub(super) fn run(
    scope: &Scope,
    figures: &mut Vec<Figure>,
    progress: &mut dyn FnMut(&str),
) -> Result<(), String> {
    let ciphers = aead::choose(|| cpu_time().as_nanos() as u64).0;
    let mut seats = seats(ciphers)?;
    let far: Vec<Outbound> = (0..WORKERS as u32).map(far_end).collect::<Result<_, _>>()?;
    // every flow and SA is known, and promoted
    let longest = [super::Size::BOUNDS[1]];
    for way in [Way::Encrypt, Way::Decrypt].into_iter().cycle().take(8) {
        for (number, seat) in seats.iter_mut().enumerate() {
            for tunnel in [0, number as u32] {
                seat.pass(&Load { way, tunnel, far: &far, lengths: &longest })?;
            }
        }
    }
    for &size in &scope.sizes {
        let lengths = size.lengths();
        progress(&format!("{SUITE}: {size}, {ROUNDS} rounds"));
        let mut tell = |what: String, value, unit| {
            figures.push(Figure { suite: SUITE, what: format!("{size}, {what}"), value, unit });
        };
        let mut bare: Vec<_> =
            (0..WORKERS).map(|_| Raw::new(1, &texts(&lengths), AAD_LEN, &ciphers)).collect();
        let ratios = (0..ROUNDS).map(|_| ciphering(&mut bare) / ciphering(&mut bare[..1]));
        tell("bare cipher, 2 threads / 1".into(), median(ratios.collect()), RATIO);
        for way in Way::ALL {
            for (sas, tunnels) in [("one SA", [0, 0]), ("an SA each", [0, 1])] {
                let (mut one, mut two, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
                for _ in 0..ROUNDS {
                    let loads =
                        tunnels.map(|tunnel| Load { way, tunnel, far: &far, lengths: &lengths });
                    let alone = forwarding(&mut seats[..1], &loads)?;
                    let both = forwarding(&mut seats, &loads)?;
                    one.push(alone);
                    two.push(both);
                    ratios.push(both / alone);
                }
                let name = way.suite();
                tell(format!("{name}, {sas}, 1 worker"), median(one), "pps");
                tell(format!("{name}, {sas}, 2 workers"), median(two), "pps");
                tell(format!("{name}, {sas}, 2 workers / 1"), median(ratios), RATIO);
            }
        }
    }
    Ok(())
}

/// What a worker is given.
struct Load<'a> {
    way: Way,
    tunnel: u32,
    /// Far ends of the tunnels.
    far: &'a [Outbound],
    lengths: &'a [usize],
}

/// A worker and the far sides of its queues.
struct Seat {
    stepper: Stepper,
    number: u16,
    lan: Arc<Mutex<Loop>>,
    wan: Arc<Mutex<Loop>>,
    pool: Arc<FramePool>,
    now: Time,
}

/// The first worker stays with its node.
enum Stepper {
    Node(Box<Node>),
    Worker(Box<Worker>),
}

/// A gateway's workers.
fn seats(ciphers: Selection) -> Result<Vec<Seat>, String> {
    let text = config_text(WORKERS as u32, "auto")
        .replace("[limits]\n", &format!("[limits]\nworkers = {WORKERS}\n"));
    let config = config::parse("bench.toml", &text).map_err(|d| d.render(false))?.config;
    let pools: Vec<_> = (0..WORKERS).map(|_| FramePool::new(8_192, 16)).collect();
    let sides = || (0..WORKERS).map(|_| Arc::default()).collect::<Vec<Arc<Mutex<Loop>>>>();
    let (lan, wan) = (sides(), sides());
    let queue = |side: &Arc<Mutex<Loop>>| {
        let side = Arc::clone(side);
        Box::new(LoopPort { side, counters: PortCounters::default() }) as Box<dyn Port>
    };
    let port = |sides: &[Arc<Mutex<Loop>>]| Attached {
        queues: sides.iter().map(queue).collect(),
        mac: None,
    };
    let attached = vec![port(&lan), port(&wan)];
    let settings = Settings { ciphers, seed: 0x5eed, random: daemon::random, stopwatch: || 0 };
    let mut node = Node::new(Arc::new(config), attached, &pools, settings, Time::ZERO);
    let others = node.take_workers();
    ports::huge::gather_heap();
    let steppers = std::iter::once(Stepper::Node(Box::new(node)))
        .chain(others.into_iter().map(|worker| Stepper::Worker(Box::new(worker))));
    let parts = steppers.zip(lan).zip(wan).zip(pools).enumerate();
    Ok(parts
        .map(|(number, (((stepper, lan), wan), pool))| {
            let now = Time::from_secs(1);
            Seat { stepper, number: number as u16, lan, wan, pool, now }
        })
        .collect())
}

impl Seat {
    /// Packets a second of its share, in steps that all begin at the gate.
    fn rate(&mut self, load: &Load<'_>, gate: &Gate) -> Result<f64, String> {
        let (mut busy, mut failure) = (Duration::ZERO, None);
        let steps = PACKETS / STEP;
        for _ in 0..steps {
            let frames = self.frames(load);
            // whoever fails goes on, or the others would wait for ever
            gate.pass();
            match frames.and_then(|frames| self.step(load.way, frames)) {
                Ok(took) => busy += took,
                Err(why) => failure = Some(why),
            }
        }
        match failure {
            None => Ok((steps * STEP) as f64 / busy.as_secs_f64()),
            Some(why) => Err(why),
        }
    }

    fn pass(&mut self, load: &Load<'_>) -> Result<(), String> {
        let frames = self.frames(load)?;
        self.step(load.way, frames).map(|_| ())
    }

    fn frames(&self, load: &Load<'_>) -> Result<Vec<Frame>, String> {
        let flow = Tuple { src_port: 4000 + self.number, ..outward(load.tunnel) };
        let lengths = load.lengths.iter().cycle().take(STEP);
        let mut frames = lengths
            .map(|length| match load.way {
                Way::Encrypt => self.plain(CLIENT, LAN, flow, *length),
                Way::Decrypt => self.sealed(flow, *length, load),
            })
            .collect::<Result<Vec<_>, _>>()?;
        // the loop gives from its end
        frames.reverse();
        Ok(frames)
    }

    fn plain(
        &self,
        src: wire::Mac,
        dst: wire::Mac,
        flow: Tuple,
        len: usize,
    ) -> Result<Frame, String> {
        pooled(&self.pool, Ether { src, dst, vlan: None }, flow, len)
    }

    fn sealed(&self, flow: Tuple, length: usize, load: &Load<'_>) -> Result<Frame, String> {
        let frame = self.plain(ROUTER, WAN, flow.reversed(), length)?;
        let far = &load.far[load.tunnel as usize];
        sealed(frame, |frame| far.seal(frame, usize::from(self.number), self.now))
    }

    /// CPU time of a step that forwards all of these.
    fn step(&mut self, way: Way, frames: Vec<Frame>) -> Result<Duration, String> {
        let (from, to) = match way {
            Way::Encrypt => (&self.lan, &self.wan),
            Way::Decrypt => (&self.wan, &self.lan),
        };
        let given = frames.len();
        lock(from).ready = frames;
        self.now = self.now + Duration::from_micros(50);
        let start = cpu_time();
        match &mut self.stepper {
            Stepper::Node(node) => drop(node.step(self.now)),
            Stepper::Worker(worker) => drop(worker.step(self.now)),
        }
        let busy = cpu_time().saturating_sub(start);
        match std::mem::take(&mut lock(to).taken).len() {
            sent if sent == given => Ok(busy),
            sent => Err(format!("worker {} sent {sent} of {given} packets", self.number)),
        }
    }
}

/// Packets a second of all seats at once.
fn forwarding(seats: &mut [Seat], loads: &[Load<'_>]) -> Result<f64, String> {
    let gate = Gate { threads: seats.len(), arrived: AtomicUsize::new(0) };
    let before = punts(seats);
    let rates: Result<Vec<f64>, String> = thread::scope(|scope| {
        let pairs = seats.iter_mut().zip(loads);
        let running: Vec<_> =
            pairs.map(|(seat, load)| scope.spawn(|| seat.rate(load, &gate))).collect();
        running.into_iter().map(|rate| rate.join().unwrap_or(Err("it panicked".into()))).collect()
    });
    let rates = rates?;
    match punts(seats) - before {
        0 => Ok(rates.iter().sum()),
        some => Err(format!("{some} packets went to the slow path")),
    }
}

/// Packets that have gone to the slow path so far.
fn punts(seats: &[Seat]) -> u64 {
    let Some(Seat { stepper: Stepper::Node(node), .. }) = seats.first() else { return 0 };
    node.gateway().engine().engine_stats().punts.iter().sum()
}

/// Packets a second of the bare cipher on all of these at once.
fn ciphering(bare: &mut [Raw]) -> f64 {
    thread::scope(|scope| {
        let running: Vec<_> = bare
            .iter_mut()
            .map(|raw| scope.spawn(|| raw.rate(false, &mut Random::new())))
            .collect();
        running.into_iter().map(|rate| rate.join().unwrap_or(f64::NAN)).sum()
    })
}

/// Where threads wait for each other, awake.
struct Gate {
    threads: usize,
    /// How often one has come.
    arrived: AtomicUsize,
}

impl Gate {
    fn pass(&self) {
        let mine = self.arrived.fetch_add(1, SeqCst);
        let wanted = (mine / self.threads + 1) * self.threads;
        while self.arrived.load(SeqCst) < wanted {
            std::hint::spin_loop();
        }
    }
}
