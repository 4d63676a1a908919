//! IKEv2: negotiations, ten thousand idle tunnels, and a flood of first messages while a tunnel is
//! at work.
//!
//! The far ends of all tunnels are one endpoint in this process; what it does is outside of the time
//! and of the memory.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use engines::workload::cpu_time;
use ike::{
    ChildSettings, Command, Connection, Endpoint, Event, LocalAuth, Path, RemoteAuth,
    RequestAddresses, Settings, Side, Task, auth::PresharedKey, crypto::Secret,
    message::TrafficSelector,
};
use node::{Attached, Node};
use ports::{Frame, FramePool, PortCounters};
use wire::{Time, Tuple, build, emit::Ether, proto};

use super::{CLIENT, Figure, LAN, Loop, LoopPort, ROUTER, STEP, WAN, lock, median};

/// Tunnels that are idle.
const MANY: u32 = 10_000;

/// How long they are, in seconds: two rounds of [`DPD`].
const IDLE: u64 = 60;

/// After how many seconds of silence a peer is asked whether it lives.
const DPD: u64 = 30;

/// Negotiations between two looks at the clock, and how often.
const NEGOTIATIONS: u32 = 200;
const ROUNDS: usize = 15;

/// First messages a second in the flood.
const FLOOD: f64 = 50_000.0;

/// Packets into the tunnel in one round, and their length in bytes.
const PACKETS: usize = 100_000;
const SIZE: usize = 1_400;

const KEY: &[u8] = b"correct horse battery staple";
const OFFER: &str = "aes256gcm16-prfsha384-x25519";
const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

pub(super) fn run(figures: &mut Vec<Figure>, progress: &mut dyn FnMut(&str)) -> Result<(), String> {
    let mut figure = |what: &str, value: f64, unit: &'static str| {
        figures.push(Figure { suite: "ike", what: what.into(), value, unit });
    };
    progress("ike: negotiations, both ends in one thread");
    figure(
        "IKE SAs with child, both ends: PSK, X25519, AES-256-GCM, SHA-384, median of 15",
        negotiations()?,
        "/s",
    );
    progress(&format!("ike: {MANY} tunnels keyed by hand"));
    let before = ports::huge::heap_in_use();
    let by_hand = Bench::new(&super::esp::config_text(MANY, "auto"))?;
    let by_hand_takes = ports::huge::heap_in_use().saturating_sub(before);
    drop(by_hand);
    progress(&format!("ike: negotiating {MANY} tunnels"));
    let before = ports::huge::heap_in_use();
    let mut bench = Bench::new(&config_text(MANY, false))?;
    let mut far = Far::new(MANY)?;
    let busy = bench.negotiate(&mut far, MANY)?;
    figure(
        "tunnels brought up by one gateway, its end alone, to 10,000",
        f64::from(MANY) / busy.as_secs_f64(),
        "/s",
    );
    progress(&format!("ike: {MANY} idle tunnels for {IDLE} seconds"));
    let (busy, asked) = bench.idle(&mut far)?;
    figure("10,000 idle tunnels, DPD every 30 s: of a core", 100.0 * busy, "%");
    figure("peers that were asked whether they live meanwhile", asked as f64, "");
    drop(far);
    let takes = ports::huge::heap_in_use().saturating_sub(before);
    figure(
        "10,000 negotiated tunnels: heap beyond that of as many keyed by hand",
        takes.saturating_sub(by_hand_takes) as f64 / 1e6,
        "MB",
    );
    drop(bench);
    flood(&mut figure, progress)
}

/// Negotiations a second, both ends in one thread.
fn negotiations() -> Result<f64, String> {
    let (local, remote) = (address(0), SocketAddr::new(GATEWAY.into(), 500));
    let mut ends = [(local, remote), (remote, local)].map(|(local, remote)| {
        let mut end = Endpoint::new(Settings::default(), daemon::random(0));
        end.apply(Time::ZERO, vec![connection("peer", local.ip(), remote.ip(), 0)]);
        end
    });
    let mut now = Time::from_secs(1);
    let mut rates = Vec::new();
    for _ in 0..ROUNDS {
        let start = cpu_time();
        for _ in 0..NEGOTIATIONS {
            now = now + Duration::from_millis(1);
            let command =
                Command::Connect { connection: "peer".into(), path: Path { local, remote } };
            let ike = ends[0].handle_command(now, command).map_err(|e| e.to_string())?;
            let ike = ike.ok_or("no IKE SA")?;
            if exchange(&mut ends, now) != 2 {
                return Err("a negotiation did not come to its end".into());
            }
            let command = Command::Ike { ike, task: Task::DeleteIke };
            ends[0].handle_command(now, command).map_err(|e| e.to_string())?;
            exchange(&mut ends, now);
        }
        rates.push(f64::from(NEGOTIATIONS) / cpu_time().saturating_sub(start).as_secs_f64());
    }
    Ok(median(rates))
}

/// Carries messages and does jobs until there are none; children that came up.
fn exchange(ends: &mut [Endpoint; 2], now: Time) -> usize {
    let mut up = 0;
    let mut quiet = false;
    while !quiet {
        quiet = true;
        for at in [0, 1] {
            while let Some(job) = ends[at].poll_job() {
                ends[at].handle_done(now, job.run());
                quiet = false;
            }
            while let Some(event) = ends[at].poll_event() {
                up += usize::from(matches!(event, Event::ChildUp { .. }));
            }
            while let Some(sent) = ends[at].poll_transmit() {
                let path = Path { local: sent.path.remote, remote: sent.path.local };
                // what is not taken leaves its mark in the children that come up
                let _ = ends[1 - at].handle_datagram(now, path, &sent.bytes);
                quiet = false;
            }
        }
    }
    up
}

/// The far ends of all tunnels.
struct Far {
    endpoint: Endpoint,
    up: u32,
    /// Messages that came in.
    asked: u64,
}

impl Far {
    fn new(tunnels: u32) -> Result<Self, String> {
        let mut endpoint = Endpoint::new(
            Settings {
                half_open_per_address: usize::MAX,
                cookie_threshold: usize::MAX,
                half_open_limit: usize::MAX,
                ..Settings::default()
            },
            daemon::random(1),
        );
        let connections =
            (0..tunnels).map(|n| connection(&format!("p{n}"), address(n).ip(), GATEWAY.into(), n));
        endpoint.apply(Time::ZERO, connections.collect());
        Ok(Self { endpoint, up: 0, asked: 0 })
    }

    /// Takes what the gateway has sent and gives what there is to say.
    fn answer(&mut self, frames: Vec<Frame>, now: Time) -> Result<Vec<Frame>, String> {
        for frame in frames {
            let headers = wire::parse(frame.bytes()).map_err(|reason| reason.to_string())?;
            let Tuple { src, dst, src_port, dst_port, proto } = headers.tuple;
            if proto != proto::UDP {
                continue;
            }
            let payload = &frame.bytes()[usize::from(headers.payload)..headers.end as usize];
            let path = Path {
                local: SocketAddr::new(dst, dst_port),
                remote: SocketAddr::new(src, src_port),
            };
            self.asked += 1;
            self.endpoint.handle_datagram(now, path, payload).map_err(|e| e.to_string())?;
        }
        while let Some(job) = self.endpoint.poll_job() {
            self.endpoint.handle_done(now, job.run());
        }
        while let Some(event) = self.endpoint.poll_event() {
            match event {
                Event::ChildUp { .. } => self.up += 1,
                Event::Failed { failure, .. } => return Err(failure.to_string()),
                _ => {}
            }
        }
        let mut frames = Vec::new();
        while let Some(sent) = self.endpoint.poll_transmit() {
            frames.push(datagram(sent.path, &sent.bytes));
        }
        Ok(frames)
    }
}

/// A gateway and what is at its two sides.
struct Bench {
    node: Node,
    lan: Arc<Mutex<Loop>>,
    wan: Arc<Mutex<Loop>>,
    pool: Arc<FramePool>,
    now: Time,
}

impl Bench {
    fn new(text: &str) -> Result<Self, String> {
        let config = config::parse("bench.toml", text).map_err(|d| d.render(false))?.config;
        let pool = FramePool::new(8_192, 16);
        let (lan, wan) = (Arc::default(), Arc::default());
        let port = |side: &Arc<Mutex<Loop>>| Attached {
            queues: vec![Box::new(LoopPort {
                side: Arc::clone(side),
                counters: PortCounters::default(),
            })],
            mac: None,
        };
        let attached = vec![port(&lan), port(&wan)];
        let settings = node::Settings {
            ciphers: aead::choose(|| cpu_time().as_nanos() as u64).0,
            seed: 0x5eed,
            random: daemon::random,
            stopwatch: || 0,
        };
        let now = Time::from_secs(1);
        let node = Node::new(Arc::new(config), attached, &[Arc::clone(&pool)], settings, now);
        Ok(Self { node, lan, wan, pool, now })
    }

    /// Steps the gateway with frames from the far side; its CPU time, jobs included.
    fn step(&mut self, mut frames: Vec<Frame>) -> Duration {
        // the loop gives from its end
        frames.reverse();
        lock(&self.wan).ready = frames;
        let start = cpu_time();
        self.node.step(self.now);
        self.node.run_jobs(self.now);
        cpu_time().saturating_sub(start)
    }

    fn sent(&self) -> Vec<Frame> {
        std::mem::take(&mut lock(&self.wan).taken)
    }

    /// Until all tunnels are up.
    fn negotiate(&mut self, far: &mut Far, tunnels: u32) -> Result<Duration, String> {
        let mut busy = self.step(Vec::new());
        for _ in 0..100_000 {
            if far.up == tunnels {
                return Ok(busy);
            }
            self.now = self.now + Duration::from_millis(1);
            let mut frames = far.answer(self.sent(), self.now)?;
            while !frames.is_empty() {
                let rest = frames.split_off(frames.len().min(STEP));
                busy += self.step(frames);
                frames = rest;
            }
            busy += self.step(Vec::new());
        }
        Err(format!("{} of {tunnels} tunnels came up", far.up))
    }

    /// Nothing goes through the tunnels: the share of a core it takes to keep them, and the messages
    /// the peers got.
    fn idle(&mut self, far: &mut Far) -> Result<(f64, u64), String> {
        // until all is as it is for long
        self.idle_until(far, self.now + Duration::from_secs(DPD))?;
        far.asked = 0;
        let busy = self.idle_until(far, self.now + Duration::from_secs(IDLE))?;
        Ok((busy.as_secs_f64() / IDLE as f64, far.asked))
    }

    fn idle_until(&mut self, far: &mut Far, until: Time) -> Result<Duration, String> {
        let mut busy = Duration::ZERO;
        loop {
            let start = cpu_time();
            let due = self.node.poll_timeout();
            busy += cpu_time().saturating_sub(start);
            let due = due.map_or(until, |(at, _)| at).max(self.now + Duration::from_micros(1));
            if due >= until {
                self.now = until;
                return Ok(busy);
            }
            self.now = due;
            busy += self.step(Vec::new());
            // answers take their time
            let mut frames = far.answer(self.sent(), self.now)?;
            while !frames.is_empty() {
                let rest = frames.split_off(frames.len().min(STEP));
                self.now = self.now + Duration::from_micros(50);
                busy += self.step(frames);
                frames = rest;
            }
        }
    }

    /// Packets a second into a tunnel. First messages of strangers come beside them, so many a second
    /// of the time the gateway takes.
    fn rate(&mut self, flood: Option<&Strangers>) -> Result<f64, String> {
        let (mut busy, mut done, mut strangers) = (Duration::ZERO, 0, 0);
        let from = Ether { src: CLIENT, dst: LAN, vlan: None };
        let packet = build::udp(from, outward(0), &[0x5a; SIZE - 28]);
        while done < PACKETS {
            let frames = (0..STEP).map(|_| self.pool.alloc_from(&packet).ok_or("no buffer"));
            lock(&self.lan).ready = frames.collect::<Result<_, _>>()?;
            let due = flood.map_or(0, |_| (busy.as_secs_f64() * FLOOD) as u64);
            let frames =
                flood.map_or(Vec::new(), |f| (strangers..due).map(|n| f.frame(n)).collect());
            strangers = due;
            let took = self.step(frames);
            (busy, self.now) = (busy + took, self.now + took);
            let sealed = self.sent().into_iter().filter(|frame| frame.bytes().len() > SIZE).count();
            if sealed != STEP {
                return Err(format!("{sealed} of {STEP} packets were sent"));
            }
            done += STEP;
        }
        Ok(done as f64 / busy.as_secs_f64())
    }
}

/// First messages of peers that are not there.
struct Strangers(Vec<u8>);

impl Strangers {
    fn new() -> Result<Self, String> {
        let mut far = Far::new(1)?;
        let (local, remote) = (address(0), SocketAddr::new(GATEWAY.into(), 500));
        let command = Command::Connect { connection: "p0".into(), path: Path { local, remote } };
        far.endpoint.handle_command(Time::ZERO, command).map_err(|e| e.to_string())?;
        let job = far.endpoint.poll_job().ok_or("no job")?;
        far.endpoint.handle_done(Time::ZERO, job.run());
        Ok(Self(far.endpoint.poll_transmit().ok_or("no message")?.bytes))
    }

    /// The `n`th, of an address and SPI of its own.
    fn frame(&self, n: u64) -> Frame {
        let mut bytes = self.0.clone();
        bytes[..8].copy_from_slice(&(n + 1).to_be_bytes());
        let source =
            Ipv4Addr::from(0x0100_0000 + (n.wrapping_mul(2_654_435_761) as u32 & 0x3fff_ffff));
        let local = SocketAddr::new(source.into(), 500);
        datagram(Path { local, remote: SocketAddr::new(GATEWAY.into(), 500) }, &bytes)
    }
}

/// A tunnel at work, with and without a flood of first messages of strangers.
fn flood(
    figure: &mut dyn FnMut(&str, f64, &'static str),
    progress: &mut dyn FnMut(&str),
) -> Result<(), String> {
    progress("ike: a tunnel at work, with and without a flood");
    let mut bench = Bench::new(&config_text(1, true))?;
    let mut far = Far::new(1)?;
    bench.negotiate(&mut far, 1)?;
    let strangers = Strangers::new()?;
    let (mut calm, mut flooded, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    bench.rate(None)?;
    for _ in 0..ROUNDS {
        let pair = [bench.rate(None)?, bench.rate(Some(&strangers))?];
        calm.push(pair[0]);
        flooded.push(pair[1]);
        ratios.push(100.0 * pair[1] / pair[0]);
    }
    let medians = [calm, flooded, ratios].map(median);
    figure("tunnel of 1400-byte packets, AES-256-GCM", medians[0], "pps");
    figure("the same under 50,000 first messages a second of strangers", medians[1], "pps");
    figure("flooded / calm, median of 15 pairs", medians[2], "%");
    Ok(())
}

/// Address and port of the far end of a tunnel.
fn address(n: u32) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::from(0xc612_0000 + n).into(), 500)
}

/// A packet into tunnel `n`.
fn outward(n: u32) -> Tuple {
    build::tuple(proto::UDP, ([10, 0, 0, 5], 4_000), (network(n), 53))
}

/// The network behind the far end of a tunnel: one address.
fn network(n: u32) -> Ipv4Addr {
    Ipv4Addr::from(0x6440_0000 + n)
}

fn datagram(path: Path, bytes: &[u8]) -> Frame {
    let ether = Ether { src: ROUTER, dst: WAN, vlan: None };
    Frame::from_vec(build::udp(ether, build::tuple(proto::UDP, path.local, path.remote), bytes))
}

/// A connection of the far end of tunnel `n`.
fn connection(name: &str, local: IpAddr, remote: IpAddr, n: u32) -> Connection {
    let psk = || PresharedKey(Secret::from_bytes(KEY));
    let any = vec![Side::Fixed(TrafficSelector::prefix(Ipv4Addr::UNSPECIFIED.into(), 0))];
    Connection {
        name: name.into(),
        local: Some(local),
        remote: Some(remote),
        offers: vec![OFFER.parse().expect("invariant: an offer")],
        local_identity: local.to_string().parse().expect("invariant: an address"),
        remote_identity: remote.to_string().parse().expect("invariant: an address"),
        local_auth: LocalAuth::Psk(psk()),
        remote_auth: RemoteAuth::Psk(psk()),
        ppk: None,
        children: vec![ChildSettings {
            name: format!("c{n}").into(),
            offers: vec!["aes256gcm16".parse().expect("invariant: an offer")],
            local: any.clone(),
            remote: any,
            mode: esp::Mode::Tunnel,
            rekey_after: None,
            lifetime: None,
        }],
        dpd_after: None,
        rekey_after: None,
        lifetime: None,
        transmissions: 6,
        force_encapsulation: false,
        fragmentation: true,
        request_addresses: RequestAddresses::default(),
        gives_addresses: false,
        keepalive_after: None,
        dns: Vec::new(),
    }
}

/// A gateway with tunnels; with `strangers`, peers at any address may come too.
fn config_text(tunnels: u32, strangers: bool) -> String {
    let mut text = super::esp::ground("auto");
    text += "\n[[route]]\nto = \"0.0.0.0/0\"\nvia = \"192.0.2.9\"\n";
    let key = std::str::from_utf8(KEY).expect("invariant: text");
    let mut peer = |name: &str, remote: &str, id: &str, far: Ipv4Addr| {
        text += &format!(
            r#"
[[phase1]]
name = "{name}"
local = "{GATEWAY}"
remote = "{remote}"
local-id = "{GATEWAY}"
remote-id = "{id}"
psk = "{key}"
proposals = ["{OFFER}"]
dpd = "{DPD}s"
[[ipsec]]
name = "{name}"
phase1 = "{name}"
zone = "vpn"
proposals = ["aes256gcm16"]
selectors = [{{ local = "10.0.0.0/24", remote = "{far}/32" }}]
"#
        );
    };
    for n in 0..tunnels {
        let remote = address(n).ip().to_string();
        peer(&format!("t{n}"), &remote, &remote, network(n));
    }
    if strangers {
        peer("strangers", "any", "anybody.example", network(tunnels));
    }
    text
}
