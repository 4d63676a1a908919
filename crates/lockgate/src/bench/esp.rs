//! ESP through the whole gateway: sealing and opening on both tiers, one SA and ten thousand, beside
//! the bare cipher on the same bytes in the same run.

use std::{net::IpAddr, sync::Arc, time::Duration};

use aead::{AeadKey, Algorithm, Key, NONCE_LEN, Open, Provider, Seal, Selection, TAG_LEN};
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

/// Packets of a contender in one round, and rounds.
const PACKETS: u64 = 50_000;
const ROUNDS: usize = 15;

/// Packets before them that do not count: the caches are then as a contender that has the machine
/// for itself finds them, not as the one before left them. Two of every SA.
const WARM: u64 = 2 * MANY as u64;

/// Packets sealed or opened between two looks at the clock, for the bare cipher.
const BATCH: usize = 256;

/// The contenders have their turns in every round, so that all meet the same disturbances; medians
/// over the rounds are given.
pub(super) fn run(figures: &mut Vec<Figure>, progress: &mut dyn FnMut(&str)) -> Result<(), String> {
    let ciphers = aead::choose(|| cpu_time().as_nanos() as u64).0;
    for size in SIZES {
        progress(&format!("esp: {size} bytes, 1 and {MANY} SAs each way"));
        let mut random = Random(0x2545_f491_4f6c_dd1d);
        let serving = Provider::ALL.into_iter().filter(|p| p.serves(Algorithm::Aes256Gcm));
        let mut raw: Vec<_> =
            serving.map(|p| (p, Raw::new(1, size, &Selection::only(p)), Vec::new())).collect();
        let mut raw_many = Raw::new(MANY, size, &ciphers);
        let mut raw_one = Raw::new(1, size, &ciphers);
        let mut one = Bench::new(1, "auto", size, ciphers)?;
        let mut slow = Bench::new(1, "off", size, ciphers)?;
        let mut many = Bench::new(MANY, "auto", size, ciphers)?;
        for (open, word) in [(false, "seal"), (true, "open")] {
            progress(&format!("esp: {word} {size} bytes, {ROUNDS} rounds"));
            let mut rates: [Vec<f64>; 5] = Default::default();
            raw.iter_mut().for_each(|(.., rates)| rates.clear());
            for _ in 0..ROUNDS {
                for (_, raw, rates) in &mut raw {
                    rates.push(raw.rate(open, &mut random));
                }
                let round = [
                    one.rate(open, &mut random)?,
                    many.rate(open, &mut random)?,
                    slow.rate(open, &mut random)?,
                    raw_one.rate(open, &mut random),
                    raw_many.rate(open, &mut random),
                ];
                for (rates, rate) in rates.iter_mut().zip(round) {
                    rates.push(rate);
                }
            }
            let [one, many, slow, raw_one, raw_many] = rates.map(median);
            let bares: Vec<_> =
                raw.iter().map(|(p, _, rates)| (*p, median(rates.clone()))).collect();
            let fastest = bares.iter().max_by(|(_, a), (_, b)| a.total_cmp(b));
            let (fastest, bare) = *fastest.ok_or("no library has AES-256-GCM")?;
            for (provider, rate) in &bares {
                let what = format!("{word} {size} bytes, bare cipher of {}", provider.name());
                figures.push(Figure { suite: "esp", what, value: *rate, unit: "pps" });
            }
            let rows = [
                ("fast tier, 1 SA".to_owned(), one, "pps"),
                (format!("fast tier / bare cipher of {}", fastest.name()), 100.0 * one / bare, "%"),
                ("slow tier, 1 SA".to_owned(), slow, "pps"),
                ("fast tier / slow tier".to_owned(), one / slow, "x"),
                (format!("fast tier, {MANY} SAs / 1 SA"), 100.0 * many / one, "%"),
                (format!("bare cipher, {MANY} keys / 1 key"), 100.0 * raw_many / raw_one, "%"),
            ];
            for (what, value, unit) in rows {
                let what = format!("{word} {size} bytes, {what}");
                figures.push(Figure { suite: "esp", what, value, unit });
            }
        }
    }
    Ok(())
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

/// Picks tunnels.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) as usize % bound
    }
}

/// The cipher alone, on the bytes that ESP encrypts for a packet.
struct Raw {
    keys: Vec<Key>,
    /// The same again, for the far end, which warms no cache for what is measured.
    far: Vec<Key>,
    buffers: Vec<(Vec<u8>, [u8; TAG_LEN])>,
    nonce: u64,
}

impl Raw {
    fn new(keys: u32, size: usize, selection: &Selection) -> Self {
        let key = |n: u32| {
            let bytes = [n.to_be_bytes(); 8].concat();
            Key::new(Algorithm::Aes256Gcm, &bytes, selection).expect("invariant: a key of 32 bytes")
        };
        let text = (size + 2).next_multiple_of(16);
        let buffers = vec![(vec![0x5a; text], [0; TAG_LEN]); BATCH];
        let [keys, far] = [(); 2].map(|()| (0..keys).map(key).collect());
        ports::huge::gather_heap();
        Self { keys, far, buffers, nonce: 0 }
    }

    /// Packets a second, keys picked at random.
    fn rate(&mut self, open: bool, random: &mut Random) -> f64 {
        let (mut busy, mut done, mut counted) = (Duration::ZERO, 0, 0);
        while done < WARM + PACKETS {
            if done < WARM {
                (busy, counted) = (Duration::ZERO, 0);
            }
            let picked: Vec<usize> = (0..BATCH).map(|_| random.below(self.keys.len())).collect();
            let first = self.nonce;
            self.nonce += BATCH as u64;
            if open {
                seal(&self.far, &mut self.buffers, &picked, first);
            }
            let start = cpu_time();
            if open {
                self.open(&picked, first);
            } else {
                seal(&self.keys, &mut self.buffers, &picked, first);
            }
            busy += cpu_time().saturating_sub(start);
            done += BATCH as u64;
            counted += BATCH;
        }
        counted as f64 / busy.as_secs_f64()
    }

    fn open(&mut self, picked: &[usize], first: u64) {
        for ((n, (text, tag)), at) in picked.iter().zip(&mut self.buffers).zip(first..) {
            let mut jobs = [Open { nonce: nonce(at), aad: &[1; 8], text, tag, authentic: false }];
            self.keys[*n].open(&mut jobs);
            assert!(jobs[0].authentic, "invariant: it was sealed with this key and nonce");
        }
    }
}

fn seal(keys: &[Key], buffers: &mut [(Vec<u8>, [u8; TAG_LEN])], picked: &[usize], first: u64) {
    for ((n, (text, tag)), at) in picked.iter().zip(buffers).zip(first..) {
        keys[*n].seal(&mut [Seal { nonce: nonce(at), aad: &[1; 8], text, tag }]);
    }
}

fn nonce(at: u64) -> [u8; NONCE_LEN] {
    let mut nonce = [0; NONCE_LEN];
    nonce[4..].copy_from_slice(&at.to_be_bytes());
    nonce
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
}

impl Bench {
    fn new(tunnels: u32, offload: &str, size: usize, ciphers: Selection) -> Result<Self, String> {
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
        let settings = Settings { ciphers, seed: 0x5eed, random: daemon::random, stopwatch: || 0 };
        let node = Node::new(Arc::new(config), attached, Arc::clone(&pool), settings, Time::ZERO);
        let far = (0..tunnels).map(far_end).collect::<Result<_, _>>()?;
        let now = Time::from_secs(1);
        let mut bench = Self { node, lan, wan, pool, far, size, now };
        // every flow and SA is known, and promoted if it may be
        for open in [false, true, false, true, false, true] {
            for start in (0..tunnels).step_by(STEP) {
                let picked: Vec<u32> = (start..tunnels.min(start + STEP as u32)).collect();
                bench.pass(&picked, open)?;
            }
        }
        // as the daemon does when it has a new configuration
        ports::huge::gather_heap();
        Ok(bench)
    }

    /// Packets a second, tunnels picked at random.
    fn rate(&mut self, open: bool, random: &mut Random) -> Result<f64, String> {
        let (mut busy, mut done, mut counted) = (Duration::ZERO, 0, 0);
        while done < WARM + PACKETS {
            if done < WARM {
                (busy, counted) = (Duration::ZERO, 0);
            }
            let tunnels = self.far.len();
            let picked: Vec<u32> = (0..STEP).map(|_| random.below(tunnels) as u32).collect();
            busy += self.pass(&picked, open)?;
            done += STEP as u64;
            counted += STEP;
        }
        Ok(counted as f64 / busy.as_secs_f64())
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

/// A gateway without tunnels.
pub(super) fn ground(offload: &str) -> String {
    format!(
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
    )
}

/// One with tunnels that are keyed by hand.
pub(super) fn config_text(tunnels: u32, offload: &str) -> String {
    let mut text = ground(offload);
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
