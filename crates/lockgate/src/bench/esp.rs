//! ESP through the whole gateway: sealing and opening on both tiers, one SA and ten thousand, beside
//! the bare cipher on the same bytes in the same run.

use std::{net::IpAddr, sync::Arc, time::Duration};

use aead::{AeadKey, Algorithm, Key, Open, Provider, Seal, Selection};
use engines::workload::cpu_time;
use esp::{DfRule, DscpRule, KeyMaterial, Lifetime, Mode, Outbound, Parameters};
use node::{Attached, Node, Settings};
use ports::{Frame, FramePool, PortCounters};
use wire::{Time, Tuple, build, emit::Ether, proto};

use super::{CLIENT, Figure, LAN, LoopPort, ROUTER, STEP, WAN, lock};

/// Lengths of inner IP packets, in bytes.
const SIZES: [usize; 2] = [64, 1400];

/// SAs of the large table, each way.
const MANY: u32 = 10_000;

/// Packets of one measurement; the median of [`ROUNDS`] is given.
const PACKETS: u64 = 100_000;
const ROUNDS: usize = 7;

/// Packets sealed or opened between two looks at the clock, for the bare cipher.
const BATCH: usize = 256;

pub(super) fn run(figures: &mut Vec<Figure>, progress: &mut dyn FnMut(&str)) -> Result<(), String> {
    let mut push = |what: String, value: f64, unit| {
        figures.push(Figure { suite: "esp", what, value, unit });
    };
    for size in SIZES {
        progress(&format!("esp: bare AES-256-GCM, {size} bytes"));
        let raw = [raw(size, false), raw(size, true)];
        let mut one = [0.0; 2];
        let mut slow = [0.0; 2];
        for (tunnels, offload) in [(1, "auto"), (1, "off"), (MANY, "auto")] {
            progress(&format!("esp: {size} bytes, {tunnels} SAs each way, offload {offload}"));
            let mut bench = Bench::new(tunnels, offload, size)?;
            for (way, word) in [(0, "seal"), (1, "open")] {
                let rate = bench.rate(way == 1)?;
                match (tunnels, offload) {
                    (1, "auto") => {
                        one[way] = rate;
                        push(format!("{word} {size} bytes, fast tier, 1 SA"), rate, "pps");
                        let share = 100.0 * rate / raw[way];
                        let what = format!("{word} {size} bytes, fast tier / bare cipher");
                        push(format!("{word} {size} bytes, bare cipher"), raw[way], "pps");
                        push(what, share, "%");
                    }
                    (1, _) => {
                        slow[way] = rate;
                        push(format!("{word} {size} bytes, slow tier, 1 SA"), rate, "pps");
                        let what = format!("{word} {size} bytes, fast tier / slow tier");
                        push(what, one[way] / slow[way], "x");
                    }
                    (_, _) => {
                        let what = format!("{word} {size} bytes, {tunnels} SAs / 1 SA");
                        push(what, 100.0 * rate / one[way], "%");
                    }
                }
            }
        }
    }
    Ok(())
}

/// Packets a second of the faster library on the bytes that ESP encrypts for a packet.
fn raw(size: usize, open: bool) -> f64 {
    let text = (size + 2).next_multiple_of(16);
    let rate = |provider| {
        let selection = Selection::only(provider);
        let key = Key::new(Algorithm::Aes256Gcm, &[7; 32], &selection)
            .expect("invariant: a key of 32 bytes");
        let mut buffers = vec![(vec![0x5a_u8; text], [0_u8; 16]); BATCH];
        let mut rates: Vec<f64> = (0..ROUNDS)
            .map(|_| {
                let mut busy = Duration::ZERO;
                let rounds = PACKETS as usize / BATCH;
                for round in 0..rounds as u32 {
                    let nonce = |i: usize| {
                        let mut nonce = [0; 12];
                        nonce[4..8].copy_from_slice(&round.to_be_bytes());
                        nonce[8..].copy_from_slice(&(i as u32).to_be_bytes());
                        nonce
                    };
                    let aad = [1_u8; 8];
                    let seal = |buffers: &mut Vec<(Vec<u8>, [u8; 16])>| {
                        for (i, (text, tag)) in buffers.iter_mut().enumerate() {
                            let job = Seal { nonce: nonce(i), aad: &aad, text, tag };
                            key.seal(&mut [job]);
                        }
                    };
                    if open {
                        seal(&mut buffers);
                        let start = cpu_time();
                        for (i, (text, tag)) in buffers.iter_mut().enumerate() {
                            let (nonce, authentic) = (nonce(i), false);
                            let job = Open { nonce, aad: &aad, text, tag, authentic };
                            key.open(&mut [job]);
                        }
                        busy += cpu_time().saturating_sub(start);
                    } else {
                        let start = cpu_time();
                        seal(&mut buffers);
                        busy += cpu_time().saturating_sub(start);
                    }
                }
                (rounds * BATCH) as f64 / busy.as_secs_f64()
            })
            .collect();
        rates.sort_by(f64::total_cmp);
        rates[ROUNDS / 2]
    };
    rate(Provider::Ring).max(rate(Provider::AwsLc))
}

/// A gateway with tunnels, and the far ends of them.
struct Bench {
    node: Node,
    lan: Arc<std::sync::Mutex<super::Loop>>,
    wan: Arc<std::sync::Mutex<super::Loop>>,
    pool: Arc<FramePool>,
    far: Vec<Outbound>,
    size: usize,
    now: Time,
    random: u64,
}

impl Bench {
    fn new(tunnels: u32, offload: &str, size: usize) -> Result<Self, String> {
        let config = config::parse("bench.toml", &config_text(tunnels, offload))
            .map_err(|d| d.render(false))?
            .config;
        let pool = FramePool::new(8_192, 16);
        let (lan, wan) = (Arc::default(), Arc::default());
        let port = |side: &Arc<std::sync::Mutex<super::Loop>>| Attached {
            port: Box::new(LoopPort { side: Arc::clone(side), counters: PortCounters::default() }),
            mac: None,
        };
        let attached = vec![port(&lan), port(&wan)];
        let settings = Settings { ciphers: Default::default(), seed: 0x5eed, stopwatch: || 0 };
        let node = Node::new(Arc::new(config), attached, Arc::clone(&pool), settings, Time::ZERO);
        let far = (0..tunnels).map(far_end).collect::<Result<_, _>>()?;
        let now = Time::from_secs(1);
        let mut bench =
            Self { node, lan, wan, pool, far, size, now, random: 0x2545_f491_4f6c_dd1d };
        // every flow and SA is known, and promoted if it may be
        for open in [false, true, false, true, false, true] {
            for start in (0..tunnels).step_by(STEP) {
                let picked: Vec<u32> = (start..tunnels.min(start + STEP as u32)).collect();
                bench.pass(&picked, open)?;
            }
        }
        Ok(bench)
    }

    /// Packets a second, tunnels picked at random: the median of some rounds.
    fn rate(&mut self, open: bool) -> Result<f64, String> {
        let mut rates = Vec::new();
        for _ in 0..ROUNDS {
            let (mut busy, mut done) = (Duration::ZERO, 0);
            while done < PACKETS {
                let picked: Vec<u32> = (0..STEP).map(|_| self.pick()).collect();
                busy += self.pass(&picked, open)?;
                done += STEP as u64;
            }
            rates.push(done as f64 / busy.as_secs_f64());
        }
        rates.sort_by(f64::total_cmp);
        Ok(rates[ROUNDS / 2])
    }

    fn pick(&mut self) -> u32 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 20) as u32 % self.far.len() as u32
    }

    /// One packet of each of these tunnels; CPU time of the gateway.
    fn pass(&mut self, picked: &[u32], open: bool) -> Result<Duration, String> {
        let mut frames = Vec::with_capacity(picked.len());
        for n in picked {
            frames.push(if open { self.sealed(*n)? } else { self.plain(*n)? });
        }
        let (from, to) = if open { (&self.wan, &self.lan) } else { (&self.lan, &self.wan) };
        // the loop gives from its end
        frames.reverse();
        lock(from).ready = frames;
        self.now = self.now + Duration::from_micros(50);
        let start = cpu_time();
        self.node.step(self.now);
        let busy = cpu_time().saturating_sub(start);
        let sent = std::mem::take(&mut lock(to).taken).len();
        if sent != picked.len() {
            return Err(format!("{sent} of {} packets were sent", picked.len()));
        }
        Ok(busy)
    }

    fn plain(&self, n: u32) -> Result<Frame, String> {
        let ether = Ether { src: CLIENT, dst: LAN, vlan: None };
        let bytes = build::udp(ether, outward(n), &vec![0x5a; self.size - 28]);
        self.pool.alloc_from(&bytes).ok_or_else(|| "no buffer".into())
    }

    fn sealed(&self, n: u32) -> Result<Frame, String> {
        let ether = Ether { src: ROUTER, dst: WAN, vlan: None };
        let bytes = build::udp(ether, outward(n).reversed(), &vec![0x5a; self.size - 28]);
        let mut frame = self.pool.alloc_from(&bytes).ok_or("no buffer")?;
        frame.pull_front(14);
        self.far[n as usize].seal(&mut frame, 0, self.now).map_err(|reason| reason.to_string())?;
        let header = frame.push_front(14).ok_or("no room")?;
        header[..6].copy_from_slice(&WAN.0);
        header[6..12].copy_from_slice(&ROUTER.0);
        header[12..14].copy_from_slice(&[0x08, 0x00]);
        Ok(frame)
    }
}

/// The packet of tunnel `n` as the client sends it.
fn outward(n: u32) -> Tuple {
    let [_, b, c, d] = n.to_be_bytes();
    build::tuple(proto::UDP, ([10, 0, 0, 5], 4000), ([100, 64 | b, c, d], 53))
}

/// Key of tunnel `n`; `0` outward, `1` inward.
fn key(n: u32, way: u8) -> String {
    format!("{:08x}{:02x}", n, way).repeat(8)[..72].to_owned()
}

fn far_end(n: u32) -> Result<Outbound, String> {
    let parameters = Parameters {
        spi: 0x10_0000 + n,
        suite: "aes256gcm16".parse().map_err(|e: esp::SuiteError| e.to_string())?,
        key: KeyMaterial::from_hex(&key(n, 1)).map_err(|e| e.to_string())?,
        mode: Mode::Tunnel,
        source: IpAddr::from([192, 0, 2, 9]),
        destination: IpAddr::from([192, 0, 2, 1]),
        encapsulation: None,
        esn: false,
        replay_window: 1024,
        soft: Lifetime::default(),
        hard: Lifetime::default(),
        dscp: DscpRule::Copy,
        df: DfRule::Copy,
        pad_to: None,
        hop_limit: 64,
        allow_null: false,
    };
    Outbound::new(parameters, Time::ZERO).map_err(|e| e.to_string())
}

fn config_text(tunnels: u32, offload: &str) -> String {
    let mut text = format!(
        r#"
neighbour = [
  {{ interface = "lan", address = "10.0.0.5", mac = "{CLIENT}" }},
  {{ interface = "wan", address = "192.0.2.9", mac = "{ROUTER}" }},
]
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
address = "10.0.0.1/24"
zone = "inside"
[[interface]]
name = "wan"
address = "192.0.2.1/24"
[[policy]]
id = 1
from = ["inside", "vpn"]
to = ["inside", "vpn"]
action = "allow"
[offload]
mode = "{offload}"
after-packets = 1
one-way-packets = 1
[limits]
sas = 30000
"#
    );
    for n in 0..tunnels {
        let far = outward(n).dst;
        let (out, inn) = (key(n, 0), key(n, 1));
        text += &format!(
            r#"
[[ipsec]]
name = "t{n}"
local = "192.0.2.1"
remote = "192.0.2.9"
zone = "vpn"
selectors = [{{ local = "10.0.0.0/24", remote = "{far}/32" }}]
out = {{ spi = {}, algorithm = "aes256gcm16", key = "{out}" }}
in = {{ spi = {}, algorithm = "aes256gcm16", key = "{inn}" }}
"#,
            0x20_0000 + n,
            0x10_0000 + n,
        );
    }
    text
}
