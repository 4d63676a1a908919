//! `lockgate bench`: what this machine forwards, in memory, on one core; of `workers` on two.
//!
//! Every figure is CPU time of the thread, so that other work on the machine disturbs it less than
//! it would the clock; what disturbs caches still shows. Frames are made outside the time. Compare
//! ratios of one run, not single figures of two.

mod churn;
mod dtls;
mod esp;
mod ike;
mod mixed;
mod regression;
mod size;
mod workers;

pub use regression::Bounds;
pub use size::Size;

use std::{
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use api::filter::Filter;
use engines::workload::{Workload, cpu_time};
use node::{Attached, Node, Settings};
use ports::{Frame, FramePool, LinkState, Port, PortCapabilities, PortCounters, PortDescription};
use serde::Serialize;
use wire::{Mac, Time, Tuple, build, emit::Ether, proto};

/// The suites; `esp` is short for both of ESP's.
pub const SUITES: [&str; 11] = [
    "nat",
    "setup",
    "tiers",
    "clear",
    "churn",
    "esp-encrypt",
    "esp-decrypt",
    "dtls",
    "mixed",
    "workers",
    "ike",
];

/// Most tunnels and flows that a suite measures.
pub const MOST_TUNNELS: u32 = 10_000;
pub const MOST_FLOWS: u32 = 2_000_000;

/// The unit of a quotient of two figures.
pub const RATIO: &str = "x";

/// What suites measure that may choose: `nat` sizes and flows; those of ESP and `mixed` sizes and tunnels; `dtls` sizes
/// and clients.
#[derive(Clone, Debug)]
pub struct Scope {
    /// Sizes of packets.
    pub sizes: Vec<Size>,
    /// Tunnels or clients of a gateway, fewest first.
    pub tunnels: Vec<u32>,
    /// Flows of an engine, two of each session, fewest first.
    pub flows: Vec<u32>,
}

impl Scope {
    /// What is asked for, and the usual of what nothing is asked for.
    pub fn new(mut sizes: Vec<Size>, mut tunnels: Vec<u32>, mut flows: Vec<u32>) -> Self {
        if sizes.is_empty() {
            sizes.extend(Size::USUAL);
        }
        // a session has two
        flows.iter_mut().for_each(|flows| *flows = flows.next_multiple_of(2));
        for (asked, usual) in
            [(&mut tunnels, [1, 1_000, 10_000]), (&mut flows, [2, 64_000, 1_000_000])]
        {
            if asked.is_empty() {
                asked.extend(usual);
            }
            asked.sort_unstable();
            asked.dedup();
        }
        Self { sizes, tunnels, flows }
    }
}

/// Sessions of the large tables.
const SESSIONS: u32 = 1_000_000;

/// Sessions of the hot set.
const HOT: u32 = 64_000;

/// Policies of the slow path's table.
const POLICIES: u32 = 1_000;

/// UDP payload that makes the smallest Ethernet frame: 60 bytes and the check sequence.
const PAYLOAD: usize = 18;

/// Frames handed to the gateway in one step.
const STEP: usize = 256;

const LAN: Mac = Mac([2, 0, 0, 0, 0, 1]);
const WAN: Mac = Mac([2, 0, 0, 0, 0, 2]);
const CLIENT: Mac = Mac([2, 0, 0, 0, 1, 1]);
const ROUTER: Mac = Mac([2, 0, 0, 0, 1, 2]);

/// One measured figure.
#[derive(Debug, Serialize)]
pub struct Figure {
    /// Suite.
    pub suite: &'static str,
    /// What was measured.
    pub what: String,
    /// The figure.
    pub value: f64,
    /// Its unit.
    pub unit: &'static str,
}

/// Runs the suites and returns their figures. `progress` hears what is being done.
///
/// # Errors
/// A sentence when the gateway did not do what the suite counts on.
pub fn run(
    suite: Option<&str>,
    scope: &Scope,
    progress: &mut dyn FnMut(&str),
) -> Result<Vec<Figure>, String> {
    let wanted = |name: &str| suite.is_none_or(|suite| suite == name);
    let mut figures = Vec::new();
    if wanted("nat") {
        nat(scope, &mut figures, progress)?;
    }
    if wanted("setup") || wanted("tiers") || wanted("clear") {
        slow_path(&mut figures, progress)?;
    }
    if wanted(churn::SUITE) {
        churn::run(&mut figures, progress)?;
    }
    let ways = esp::Way::ALL.into_iter().filter(|way| wanted("esp") || wanted(way.suite()));
    let ways: Vec<_> = ways.collect();
    if !ways.is_empty() {
        esp::run(&ways, scope, &mut figures, progress)?;
    }
    if wanted(dtls::SUITE) {
        dtls::run(scope, &mut figures, progress)?;
    }
    if wanted(mixed::SUITE) {
        mixed::run(scope, &mut figures, progress)?;
    }
    if wanted(workers::SUITE) {
        workers::run(scope, &mut figures, progress)?;
    }
    if wanted("ike") {
        ike::run(&mut figures, progress)?;
    }
    if figures.is_empty() {
        return Err(format!(
            "no suite {}; there are {} and esp for both of its ways",
            suite.unwrap_or_default(),
            SUITES.join(", ")
        ));
    }
    Ok(figures)
}

/// The figures as a table, with the machine they belong to.
pub fn render(figures: &[Figure]) -> String {
    let mut text = format!("{}, one core for each worker\n\n", cpu());
    let suite = figures.iter().map(|f| f.suite.len()).max().unwrap_or(0);
    let width = figures.iter().map(|f| f.what.len()).max().unwrap_or(0);
    for figure in figures {
        let value = match figure.value {
            v if v >= 1e6 => format!("{:.2} M", v / 1e6),
            v if v >= 1e3 => format!("{:.1} k", v / 1e3),
            v => format!("{v:.2} "),
        };
        let _ = writeln!(
            text,
            "{:<suite$} {:<width$}  {value:>10}{}",
            figure.suite, figure.what, figure.unit
        );
    }
    text
}

/// The processor's name.
pub fn cpu() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = info.lines().find(|line| line.starts_with(name))?;
        line.split(':').nth(1).map(|value| value.trim().to_owned())
    };
    let model = field("model name").unwrap_or_else(|| "unknown processor".into());
    match (field("cpu family"), field("model\t")) {
        (Some(family), Some(number)) => format!("{model} (family {family} model {number})"),
        _ => model,
    }
}

fn nat(
    scope: &Scope,
    figures: &mut Vec<Figure>,
    progress: &mut dyn FnMut(&str),
) -> Result<(), String> {
    const ROUNDS: usize = 9;
    let most = scope.flows.last().copied().unwrap_or(2);
    progress(&format!("nat: installing {most} flows in the software engine"));
    let mut load =
        Workload::new(most / 2, PAYLOAD, 0x5eed).map_err(|refusal| refusal.to_string())?;
    for &size in &scope.sizes {
        // 28 bytes of IP and UDP headers
        load.set_payloads(&size.lengths().iter().map(|n| n - 28).collect::<Vec<_>>());
        for &flows in &scope.flows {
            progress(&format!("nat: {size}, {flows} flows"));
            load.run(1_000_000, flows / 2);
            let rates = (0..ROUNDS).map(|_| load.run(1_000_000, flows / 2).rate());
            figures.push(Figure {
                suite: "nat",
                what: format!("{size}, uniform over {flows} flows"),
                value: median(rates.collect()),
                unit: "pps",
            });
        }
    }
    figures.push(Figure {
        suite: "nat",
        what: "engine memory per session, both flows".into(),
        value: load.memory_per_session(),
        unit: "bytes",
    });
    Ok(())
}

fn slow_path(figures: &mut Vec<Figure>, progress: &mut dyn FnMut(&str)) -> Result<(), String> {
    progress("setup: 1 M sessions through 1000 policies and SNAT, offload off");
    let before = resident();
    let mut slow = Bench::new("off")?;
    let setup = slow.open(SESSIONS)?;
    let grown = resident().saturating_sub(before).saturating_sub(slow.notes());
    let rate = |packets: u64, busy: Duration| packets as f64 / busy.as_secs_f64();
    figures.push(Figure {
        suite: "setup",
        what: format!("sessions set up, {POLICIES} policies, SNAT, to 1 M"),
        value: rate(u64::from(SESSIONS), setup),
        unit: "/s",
    });
    figures.push(Figure {
        suite: "setup",
        what: "memory of the slow path per session (resident)".into(),
        value: grown as f64 / f64::from(SESSIONS),
        unit: "bytes",
    });
    progress("tiers: slow path, established sessions");
    slow.answer(HOT)?;
    let established = slow.traffic(HOT, 2_000_000)?;
    drop(slow);

    progress("tiers: promoting 1 M sessions");
    let before = resident();
    let mut fast = Bench::new("auto")?;
    fast.open(SESSIONS)?;
    fast.answer(SESSIONS)?;
    fast.traffic_each(SESSIONS)?;
    let grown = resident().saturating_sub(before).saturating_sub(fast.notes());
    figures.push(Figure {
        suite: "tiers",
        what: "memory per promoted session, all tables (resident)".into(),
        value: grown as f64 / f64::from(SESSIONS),
        unit: "bytes",
    });
    progress("tiers: fast path, the same sessions through the same ports");
    let served = fast.traffic(HOT, 4_000_000)?;
    let (slow_rate, fast_rate) = (rate(2_000_000, established), rate(4_000_000, served));
    for (what, value) in [("slow-established tier", slow_rate), ("fast tier", fast_rate)] {
        let what = format!("{what}, with ports, hot set of 64 k");
        figures.push(Figure { suite: "tiers", what, value, unit: "pps" });
    }
    figures.push(Figure {
        suite: "tiers",
        what: "fast tier / slow-established tier".into(),
        value: fast_rate / slow_rate,
        unit: RATIO,
    });
    progress("clear: 1 M promoted sessions, slice by slice");
    let (busy, worst) = fast.clear()?;
    figures.push(Figure {
        suite: "clear",
        what: "clear of 1 M promoted sessions, CPU time".into(),
        value: busy.as_secs_f64() * 1e3,
        unit: "ms",
    });
    figures.push(Figure {
        suite: "clear",
        what: "longest step meanwhile".into(),
        value: worst.as_secs_f64() * 1e3,
        unit: "ms",
    });
    Ok(())
}

/// A gateway between two ports that make and swallow frames.
struct Bench {
    node: Node,
    lan: Arc<Mutex<Loop>>,
    wan: Arc<Mutex<Loop>>,
    now: Time,
    /// What each session looks like outside.
    outside: Vec<Tuple>,
    random: u64,
}

impl Bench {
    fn new(offload: &str) -> Result<Self, String> {
        let text = config_text(offload);
        let config = config::parse("bench.toml", &text).map_err(|d| d.render(false))?.config;
        let frames = FramePool::new(8_192, 16);
        let (lan, wan) = (Arc::default(), Arc::default());
        let port = |side: &Arc<Mutex<Loop>>| Attached {
            queues: vec![Box::new(LoopPort {
                side: Arc::clone(side),
                counters: PortCounters::default(),
            })],
            mac: None,
        };
        let attached = vec![port(&lan), port(&wan)];
        let settings = Settings {
            ciphers: Default::default(),
            seed: 0x5eed,
            random: daemon::random,
            stopwatch: || 0,
        };
        let node = Node::new(Arc::new(config), attached, &[frames], settings, Time::ZERO);
        let now = Time::from_secs(1);
        Ok(Self { node, lan, wan, now, outside: Vec::new(), random: 88_172_645_463_325_252 })
    }

    /// Opens sessions from the inside and remembers what they look like outside.
    fn open(&mut self, sessions: u32) -> Result<Duration, String> {
        let mut busy = Duration::ZERO;
        for start in (0..sessions).step_by(STEP) {
            let end = sessions.min(start + STEP as u32);
            let frames = (start..end).map(|n| from_client(inside(n))).collect();
            busy += self.step(frames, true);
            let sent = self.taken(false);
            if sent.len() != (end - start) as usize {
                return Err(format!("{} of {} packets were sent", sent.len(), end - start));
            }
            for frame in sent {
                let headers = wire::parse(frame.bytes()).map_err(|r| r.to_string())?;
                self.outside.push(headers.tuple);
            }
        }
        Ok(busy)
    }

    /// Bytes of this bench's own notes.
    fn notes(&self) -> u64 {
        (self.outside.capacity() * size_of::<Tuple>()) as u64
    }

    /// The servers answer the first sessions.
    fn answer(&mut self, sessions: u32) -> Result<(), String> {
        for start in (0..sessions).step_by(STEP) {
            let end = sessions.min(start + STEP as u32);
            let frames = (start..end).map(|n| from_server(self.outside[n as usize])).collect();
            self.step(frames, false);
            let back = self.taken(true).len();
            if back != (end - start) as usize {
                return Err(format!("{back} of {} answers came back", end - start));
            }
        }
        Ok(())
    }

    /// Two more packets of each session, so that both directions are promoted.
    fn traffic_each(&mut self, sessions: u32) -> Result<(), String> {
        for start in (0..sessions).step_by(STEP) {
            let end = sessions.min(start + STEP as u32);
            let frames = (start..end).map(|n| from_client(inside(n))).collect();
            self.step(frames, true);
            self.taken(false);
        }
        self.answer(sessions)
    }

    /// Packets of sessions picked at random, from the inside.
    fn traffic(&mut self, sessions: u32, packets: u64) -> Result<Duration, String> {
        let mut busy = Duration::ZERO;
        let mut done = 0;
        while done < packets {
            let frames = self.pick(sessions);
            busy += self.step(frames, true);
            let sent = self.taken(false).len();
            if sent != STEP {
                return Err(format!("{sent} of {STEP} packets were sent"));
            }
            done += STEP as u64;
        }
        Ok(busy)
    }

    /// Clears every session in the slices a running gateway does it in; returns the CPU time of all
    /// steps, and the longest one, which is what forwarding would have waited for.
    fn clear(&mut self) -> Result<(Duration, Duration), String> {
        self.node.gateway().clear_sessions(Filter::everything());
        let (mut busy, mut worst) = (Duration::ZERO, Duration::ZERO);
        for _ in 0..1_000_000 {
            let gateway = self.node.gateway();
            let is_clear = !gateway.is_working() && gateway.sessions().is_empty();
            drop(gateway);
            if is_clear {
                return Ok((busy, worst));
            }
            let took = self.step(Vec::new(), true);
            busy += took;
            worst = worst.max(took);
        }
        Err("the sessions were not cleared".into())
    }

    fn pick(&mut self, sessions: u32) -> Vec<Frame> {
        (0..STEP)
            .map(|_| {
                self.random ^= self.random << 13;
                self.random ^= self.random >> 7;
                self.random ^= self.random << 17;
                from_client(inside((self.random >> 20) as u32 % sessions))
            })
            .collect()
    }

    fn step(&mut self, frames: Vec<Frame>, from_lan: bool) -> Duration {
        let side = if from_lan { &self.lan } else { &self.wan };
        lock(side).ready = frames;
        self.now = self.now + Duration::from_micros(50);
        let start = cpu_time();
        self.node.step(self.now);
        cpu_time().saturating_sub(start)
    }

    fn taken(&mut self, by_lan: bool) -> Vec<Frame> {
        let side = if by_lan { &self.lan } else { &self.wan };
        std::mem::take(&mut lock(side).taken)
    }
}

/// What one side has for the gateway, and what it was sent.
#[derive(Default)]
struct Loop {
    ready: Vec<Frame>,
    taken: Vec<Frame>,
}

struct LoopPort {
    side: Arc<Mutex<Loop>>,
    counters: PortCounters,
}

impl Port for LoopPort {
    fn receive(&mut self, into: &mut Vec<Frame>, max: usize) -> usize {
        let mut side = lock(&self.side);
        let count = max.min(side.ready.len());
        let from = side.ready.len() - count;
        into.extend(side.ready.drain(from..));
        count
    }

    fn send(&mut self, frames: &mut Vec<Frame>) {
        self.counters.tx_packets += frames.len() as u64;
        lock(&self.side).taken.append(frames);
    }

    fn capabilities(&self) -> PortCapabilities {
        PortCapabilities::default()
    }

    fn counters(&self) -> PortCounters {
        self.counters
    }

    fn link(&self) -> LinkState {
        LinkState::Up
    }

    fn describe(&self) -> PortDescription {
        PortDescription {
            mode: "bench".into(),
            device: String::new(),
            offloads: String::new(),
            hints: Vec::new(),
        }
    }
}

/// CPU time of a step at `now` that forwards all of these, and what it sent to the outside.
fn forward(
    node: &mut Node,
    (lan, wan): (&Arc<Mutex<Loop>>, &Arc<Mutex<Loop>>),
    now: Time,
    (mut of_lan, mut of_wan): (Vec<Frame>, Vec<Frame>),
) -> Result<(Duration, Vec<Frame>), String> {
    let (given_out, given_in) = (of_lan.len(), of_wan.len());
    // the loop gives from its end
    of_lan.reverse();
    of_wan.reverse();
    lock(lan).ready = of_lan;
    lock(wan).ready = of_wan;
    let start = cpu_time();
    node.step(now);
    let busy = cpu_time().saturating_sub(start);
    let sent = std::mem::take(&mut lock(wan).taken);
    match (sent.len(), std::mem::take(&mut lock(lan).taken).len()) {
        (out, back) if (out, back) == (given_out, given_in) => Ok((busy, sent)),
        (out, back) => {
            Err(format!("{out} of {given_out} packets were sent out, {back} of {given_in} in"))
        }
    }
}

/// A UDP packet of so many bytes in a buffer of the pool.
fn pooled(
    pool: &Arc<FramePool>,
    ether: Ether,
    flow: Tuple,
    length: usize,
) -> Result<Frame, String> {
    let bytes = build::udp(ether, flow, &vec![0x5a; length - 28]);
    pool.alloc_from(&bytes).ok_or_else(|| "no buffer".into())
}

/// A frame whose packet is sealed, behind the same Ethernet header.
fn sealed<E: std::fmt::Display>(
    mut frame: Frame,
    seal: impl FnOnce(&mut Frame) -> Result<(), E>,
) -> Result<Frame, String> {
    let header = *frame.bytes().first_chunk::<14>().ok_or("no header")?;
    frame.pull_front(header.len());
    seal(&mut frame).map_err(|reason| reason.to_string())?;
    frame.push_front(header.len()).ok_or("no room")?.copy_from_slice(&header);
    Ok(frame)
}

/// The middle one; of an even number the upper of the two.
fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

fn lock(side: &Arc<Mutex<Loop>>) -> std::sync::MutexGuard<'_, Loop> {
    side.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Session `n` as the client sends it: four ports on each of 250 000 addresses.
fn inside(n: u32) -> Tuple {
    let [_, b, c, d] = (n >> 2).to_be_bytes();
    let source = ([100, 64 | (b & 0x3f), c, d], 40_000 + (n & 3) as u16);
    build::tuple(proto::UDP, source, ([203, 0, 113, 9], 53))
}

fn from_client(tuple: Tuple) -> Frame {
    let ether = Ether { src: CLIENT, dst: LAN, vlan: None };
    Frame::from_vec(build::udp(ether, tuple, &[0x5a; PAYLOAD]))
}

fn from_server(outside: Tuple) -> Frame {
    let ether = Ether { src: ROUTER, dst: WAN, vlan: None };
    Frame::from_vec(build::udp(ether, outside.reversed(), &[0x5a; PAYLOAD]))
}

fn config_text(offload: &str) -> String {
    let mut text = format!(
        r#"
[[port]]
name = "lan"
kind = "memory"
mac = "{LAN}"

[[port]]
name = "wan"
kind = "memory"
mac = "{WAN}"

[[interface]]
name = "lan"
port = "lan"
address = "10.0.0.1/24"
zone = "inside"

[[interface]]
name = "wan"
port = "wan"
address = "192.0.2.1/24"
zone = "outside"

[[neighbour]]
interface = "lan"
address = "10.0.0.2"
mac = "{CLIENT}"

[[neighbour]]
interface = "wan"
address = "192.0.2.2"
mac = "{ROUTER}"

[[route]]
to = "100.64.0.0/10"
via = "10.0.0.2"

[[route]]
to = "0.0.0.0/0"
via = "192.0.2.2"

[[pool]]
name = "out"
addresses = "198.18.0.0-198.18.0.63"

[timeouts]
udp = "10m"
udp-one-way = "10m"

[offload]
mode = "{offload}"
after-packets = 1

[limits]
sessions = {sessions}
flows = {flows}
punt-ring = 65536
"#,
        sessions = SESSIONS + 1_000,
        flows = 2 * SESSIONS + 2_000,
    );
    for n in 1..POLICIES {
        let (c, d) = (n / 250, n % 250);
        let _ = write!(
            text,
            "\n[[policy]]\nid = {n}\nname = \"p{n}\"\nfrom = \"inside\"\nto = \"outside\"\n\
             source = \"172.16.{c}.{d}/32\"\ndestination = \"203.0.{c}.{d}/32\"\n\
             service = \"tcp/{port}\"\naction = \"allow\"\n",
            port = 1_000 + n,
        );
    }
    let _ = write!(
        text,
        "\n[[policy]]\nid = {POLICIES}\nname = \"out\"\nfrom = \"inside\"\nto = \"outside\"\n\
         service = \"dns\"\naction = \"allow\"\nnat = \"out\"\n",
    );
    text
}

/// Bytes of memory the process has resident.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0);
    pages * 4_096
}
