//! ESP through the whole gateway: sealing and opening on both tiers, one SA and many, beside the bare
//! cipher and a copy of the same bytes in the same run.

use std::{convert::Infallible, net::IpAddr, sync::Arc, time::Duration};

use aead::{AeadKey, Algorithm, Key, NONCE_LEN, Open, Provider, Seal, Selection, TAG_LEN};
use engines::workload::cpu_time;
use esp::{DfRule, DscpRule, KeyMaterial, Lifetime, Mode, Outbound, Parameters};
use node::{Attached, Node, Settings};
use ports::{Frame, FramePool, PortCounters};
use wire::{Time, Tuple, build, emit::Ether, proto};

use super::{
    CLIENT, Figure, LAN, LoopPort, MOST_TUNNELS, RATIO, ROUTER, STEP, Scope, Size, WAN, forward,
    median, pooled, sealed,
};

/// Packets of a contender in one round, and rounds.
const PACKETS: u64 = 50_000;
pub(super) const ROUNDS: usize = 15;

/// Packets before them that do not count: the caches are then as a contender that has the machine
/// for itself finds them, not as the one before left them. Two of every SA of the largest table.
const WARM: u64 = 2 * MOST_TUNNELS as u64;

/// Additional data of ESP: SPI and sequence number.
pub(super) const AAD_LEN: usize = 8;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Packets that come in the clear and leave in the tunnel.
    Encrypt,
    /// The other way.
    Decrypt,
}

impl Way {
    pub(super) const ALL: [Self; 2] = [Self::Encrypt, Self::Decrypt];

    /// Name of its suite.
    pub(super) const fn suite(self) -> &'static str {
        match self {
            Self::Encrypt => "esp-encrypt",
            Self::Decrypt => "esp-decrypt",
        }
    }
}

/// One that has its turn in every round.
pub(super) struct Turn<T> {
    pub(super) who: T,
    pub(super) rates: Vec<f64>,
}

impl<T> Turn<T> {
    pub(super) fn new(who: T) -> Self {
        Self { who, rates: Vec::with_capacity(ROUNDS) }
    }

    /// The median of its rounds, in packets a second.
    pub(super) fn rate(&self) -> f64 {
        median(self.rates.clone())
    }
}

/// Packets a second of passes of [`STEP`] packets each, by the time that they say they took. Those that warm the caches do
/// not count.
pub(super) fn rate_of<E>(mut pass: impl FnMut() -> Result<Duration, E>) -> Result<f64, E> {
    let (mut busy, mut done, mut counted) = (Duration::ZERO, 0, 0);
    while done < WARM + PACKETS {
        if done < WARM {
            (busy, counted) = (Duration::ZERO, 0);
        }
        busy += pass()?;
        done += STEP as u64;
        counted += STEP;
    }
    Ok(counted as f64 / busy.as_secs_f64())
}

/// The contenders have their turns in every round, so that all meet the same disturbances; medians
/// over the rounds are given.
pub(super) fn run(
    ways: &[Way],
    scope: &Scope,
    figures: &mut Vec<Figure>,
    progress: &mut dyn FnMut(&str),
) -> Result<(), String> {
    let ciphers = aead::choose(|| cpu_time().as_nanos() as u64).0;
    let mut gateways = Vec::new();
    for &tunnels in &scope.tunnels {
        progress(&format!("esp: a gateway with {tunnels} tunnels"));
        gateways.push((tunnels, Bench::new(&config_text(tunnels, "auto"), tunnels, ciphers)?));
    }
    let mut slow = Bench::new(&config_text(1, "off"), 1, ciphers)?;
    for &size in &scope.sizes {
        for &way in ways {
            progress(&format!("{}: {size}, {ROUNDS} rounds", way.suite()));
            measure(way, size, &ciphers, &mut gateways, &mut slow, figures)?;
        }
    }
    Ok(())
}

fn measure(
    way: Way,
    size: Size,
    ciphers: &Selection,
    gateways: &mut [(u32, Bench)],
    slow: &mut Bench,
    figures: &mut Vec<Figure>,
) -> Result<(), String> {
    let mut random = Random::new();
    let lengths = size.lengths();
    let texts = texts(&lengths);
    let open = way == Way::Decrypt;
    let serving = Provider::ALL.into_iter().filter(|p| p.serves(Algorithm::Aes256Gcm));
    let mut bare: Vec<_> = serving
        .map(|p| Turn::new((p, Raw::new(1, &texts, AAD_LEN, &Selection::only(p)))))
        .collect();
    let mut keys: Vec<_> = gateways
        .iter()
        .map(|(n, _)| Turn::new((*n, Raw::new(*n, &texts, AAD_LEN, ciphers))))
        .collect();
    let mut copy = Turn::new(Copy::new(&lengths));
    let mut fast: Vec<_> = gateways.iter_mut().map(Turn::new).collect();
    let mut slow = Turn::new(slow);
    for _ in 0..ROUNDS {
        for Turn { who: (_, raw), rates } in bare.iter_mut() {
            rates.push(raw.rate(open, &mut random));
        }
        copy.rates.push(copy.who.rate());
        for Turn { who: (_, gateway), rates } in &mut fast {
            rates.push(gateway.rate(open, &lengths, &mut random)?);
        }
        slow.rates.push(slow.who.rate(open, &lengths, &mut random)?);
        for Turn { who: (_, raw), rates } in &mut keys {
            rates.push(raw.rate(open, &mut random));
        }
    }
    let mut tell = |what: String, value, unit| {
        figures.push(Figure { suite: way.suite(), what: format!("{size}, {what}"), value, unit });
    };
    tell("copying it once".into(), copy.rate(), "pps");
    for turn in &bare {
        tell(format!("bare cipher of {}", turn.who.0.name()), turn.rate(), "pps");
    }
    let best = bare.iter().map(Turn::rate).fold(f64::MIN_POSITIVE, f64::max);
    let tunnels = |n| if n == 1 { "1 tunnel".to_owned() } else { format!("{n} tunnels") };
    for turn in &fast {
        tell(format!("fast tier, {}", tunnels(turn.who.0)), turn.rate(), "pps");
    }
    tell("slow tier, 1 tunnel".into(), slow.rate(), "pps");
    let Some((least, more)) = fast.split_first() else { return Ok(()) };
    tell("fast tier / the fastest bare cipher".into(), least.rate() / best, RATIO);
    tell("fast tier / slow tier".into(), least.rate() / slow.rate(), RATIO);
    for (turn, keys_of_it) in more.iter().zip(&keys[1..]) {
        let (n, first) = (turn.who.0, least.who.0);
        tell(format!("fast tier, {n} / {}", tunnels(first)), turn.rate() / least.rate(), RATIO);
        let ratio = keys_of_it.rate() / keys[0].rate();
        tell(format!("bare cipher, {n} keys / {first}"), ratio, RATIO);
    }
    Ok(())
}

/// What moving the bytes of a packet once from one buffer to another takes: no gateway that does so is faster.
struct Copy {
    from: Vec<Vec<u8>>,
    to: Vec<Vec<u8>>,
}

impl Copy {
    fn new(lengths: &[usize]) -> Self {
        let buffers = || lengths.iter().cycle().take(STEP).map(|n| vec![0x5a; *n]).collect();
        Self { from: buffers(), to: buffers() }
    }

    fn rate(&mut self) -> f64 {
        let rounds = PACKETS as usize / STEP;
        let start = cpu_time();
        for _ in 0..rounds {
            for (to, from) in self.to.iter_mut().zip(&self.from) {
                to.copy_from_slice(std::hint::black_box(from));
            }
            std::hint::black_box(&mut self.to);
        }
        let busy = cpu_time().saturating_sub(start);
        (rounds * STEP) as f64 / busy.as_secs_f64()
    }
}

/// Picks tunnels.
pub(super) struct Random(u64);

impl Random {
    pub(super) const fn new() -> Self {
        Self(0x2545_f491_4f6c_dd1d)
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) as usize % bound
    }
}

/// Bytes that ESP encrypts for packets of these lengths.
pub(super) fn texts(lengths: &[usize]) -> Vec<usize> {
    lengths.iter().map(|n| (n + 2).next_multiple_of(16)).collect()
}

/// The cipher alone, on the bytes that are encrypted for a packet.
pub(super) struct Raw {
    keys: Vec<Key>,
    /// The same again, for the far end, which warms no cache for what is measured.
    far: Vec<Key>,
    buffers: Vec<(Vec<u8>, [u8; TAG_LEN])>,
    aad: Vec<u8>,
    nonce: u64,
}

impl Raw {
    /// Keys for texts of these lengths in turn, with so many bytes of additional data.
    pub(super) fn new(keys: u32, texts: &[usize], aad: usize, selection: &Selection) -> Self {
        let key = |n: u32| {
            let bytes = [n.to_be_bytes(); 8].concat();
            Key::new(Algorithm::Aes256Gcm, &bytes, selection).expect("invariant: a key of 32 bytes")
        };
        let buffers = texts.iter().cycle().take(STEP);
        let buffers = buffers.map(|n| (vec![0x5a; *n], [0; TAG_LEN])).collect();
        let [keys, far] = [(); 2].map(|()| (0..keys).map(key).collect());
        ports::huge::gather_heap();
        Self { keys, far, buffers, aad: vec![1; aad], nonce: 0 }
    }

    /// Packets a second, keys picked at random.
    pub(super) fn rate(&mut self, open: bool, random: &mut Random) -> f64 {
        let Ok(rate) = rate_of::<Infallible>(|| {
            let picked: Vec<usize> = (0..STEP).map(|_| random.below(self.keys.len())).collect();
            let first = self.nonce;
            self.nonce += STEP as u64;
            if open {
                seal(&self.far, &mut self.buffers, &self.aad, &picked, first);
            }
            let start = cpu_time();
            if open {
                self.open(&picked, first);
            } else {
                seal(&self.keys, &mut self.buffers, &self.aad, &picked, first);
            }
            Ok(cpu_time().saturating_sub(start))
        });
        rate
    }

    fn open(&mut self, picked: &[usize], first: u64) {
        for ((n, (text, tag)), at) in picked.iter().zip(&mut self.buffers).zip(first..) {
            let aad = &self.aad;
            let mut jobs = [Open { nonce: nonce(at), aad, text, tag, authentic: false }];
            self.keys[*n].open(&mut jobs);
            assert!(jobs[0].authentic, "invariant: it was sealed with this key and nonce");
        }
    }
}

fn seal(
    keys: &[Key],
    buffers: &mut [(Vec<u8>, [u8; TAG_LEN])],
    aad: &[u8],
    picked: &[usize],
    first: u64,
) {
    for ((n, (text, tag)), at) in picked.iter().zip(buffers).zip(first..) {
        keys[*n].seal(&mut [Seal { nonce: nonce(at), aad, text, tag }]);
    }
}

fn nonce(at: u64) -> [u8; NONCE_LEN] {
    let mut nonce = [0; NONCE_LEN];
    nonce[4..].copy_from_slice(&at.to_be_bytes());
    nonce
}

/// A gateway with tunnels, and the far ends of them.
pub(super) struct Bench {
    node: Node,
    lan: Arc<std::sync::Mutex<super::Loop>>,
    wan: Arc<std::sync::Mutex<super::Loop>>,
    pool: Arc<FramePool>,
    far: Vec<Outbound>,
    now: Time,
}

impl Bench {
    /// One by this configuration, with every tunnel and its flow promoted if they may be.
    pub(super) fn new(text: &str, tunnels: u32, ciphers: Selection) -> Result<Self, String> {
        let config = config::parse("bench.toml", text).map_err(|d| d.render(false))?.config;
        let pool = FramePool::new(8_192, 16);
        let (lan, wan) = (Arc::default(), Arc::default());
        let port = |side: &Arc<std::sync::Mutex<super::Loop>>| Attached {
            queues: vec![Box::new(LoopPort {
                side: Arc::clone(side),
                counters: PortCounters::default(),
            })],
            mac: None,
        };
        let attached = vec![port(&lan), port(&wan)];
        let settings = Settings { ciphers, seed: 0x5eed, random: daemon::random, stopwatch: || 0 };
        let node =
            Node::new(Arc::new(config), attached, &[Arc::clone(&pool)], settings, Time::ZERO);
        let far = (0..tunnels).map(far_end).collect::<Result<_, _>>()?;
        let now = Time::from_secs(1);
        let mut bench = Self { node, lan, wan, pool, far, now };
        // every flow and SA is known, and promoted if it may be
        for open in [false, true, false, true, false, true] {
            for start in (0..tunnels).step_by(STEP) {
                let picked: Vec<u32> = (start..tunnels.min(start + STEP as u32)).collect();
                bench.pass(&picked, open, &[Size::BOUNDS[1]])?;
            }
        }
        // as the daemon does when it has a new configuration
        ports::huge::gather_heap();
        Ok(bench)
    }

    /// Packets a second, tunnels picked at random.
    fn rate(&mut self, open: bool, lengths: &[usize], random: &mut Random) -> Result<f64, String> {
        rate_of(|| {
            let tunnels = self.far.len();
            let picked: Vec<u32> = (0..STEP).map(|_| random.below(tunnels) as u32).collect();
            self.pass(&picked, open, lengths)
        })
    }

    /// One packet of each of these tunnels, these lengths in turn; CPU time of the gateway.
    fn pass(&mut self, picked: &[u32], open: bool, lengths: &[usize]) -> Result<Duration, String> {
        let mut frames = Vec::with_capacity(picked.len());
        for (n, length) in picked.iter().zip(lengths.iter().cycle()) {
            frames.push(if open { self.sealed(*n, *length)? } else { self.plain(*n, *length)? });
        }
        let (of_lan, of_wan) = if open { (Vec::new(), frames) } else { (frames, Vec::new()) };
        self.step(of_lan, of_wan).map(|(busy, _)| busy)
    }

    /// CPU time of a step that forwards all of these, and what it sent to the outside.
    pub(super) fn step(
        &mut self,
        of_lan: Vec<Frame>,
        of_wan: Vec<Frame>,
    ) -> Result<(Duration, Vec<Frame>), String> {
        self.now = self.now + Duration::from_micros(50);
        forward(&mut self.node, (&self.lan, &self.wan), self.now, (of_lan, of_wan))
    }

    /// How many tunnels it has.
    pub(super) const fn tunnels(&self) -> usize {
        self.far.len()
    }

    /// A packet for tunnel `n`.
    pub(super) fn plain(&self, n: u32, length: usize) -> Result<Frame, String> {
        let ether = Ether { src: CLIENT, dst: LAN, vlan: None };
        pooled(&self.pool, ether, outward(n), length)
    }

    /// One that comes out of it.
    pub(super) fn sealed(&self, n: u32, length: usize) -> Result<Frame, String> {
        let ether = Ether { src: ROUTER, dst: WAN, vlan: None };
        let frame = pooled(&self.pool, ether, outward(n).reversed(), length)?;
        sealed(frame, |frame| self.far[n as usize].seal(frame, 0, self.now))
    }
}

/// The packet of tunnel `n` as the client sends it.
pub(super) fn outward(n: u32) -> Tuple {
    let [_, b, c, d] = n.to_be_bytes();
    build::tuple(proto::UDP, ([10, 0, 0, 5], 4000), ([100, 64 | b, c, d], 53))
}

/// Key of tunnel `n`; `0` outward, `1` inward.
fn key(n: u32, way: u8) -> String {
    format!("{:08x}{:02x}", n, way).repeat(8)[..72].to_owned()
}

pub(super) fn far_end(n: u32) -> Result<Outbound, String> {
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
