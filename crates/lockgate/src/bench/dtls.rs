//! DTLS of remote access on the fast path: what clients send is opened and forwarded, what is for them sealed, one client
//! and many, beside the bare cipher on the same bytes in the same run. The engine alone: no ports, no logins.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use aead::{Algorithm, Selection};
use dtls::{Path, record::RecordKeys};
use engines::{BURST, Output, PuntLimits, SoftConfig, SoftWorker, soft, workload::cpu_time};
use offload::{
    Adjacency, AdjacencyId, ClientAddresses, Direction, Engine, EngineInterface, EpochRef,
    EpochTable, FlowProgram, Refusal, SaProgram, datagrams_of, tcp_window::TcpWindows,
};
use ports::{Frame, FramePool, PortId};
use wire::{Rewrite, Time, Tuple, build, emit::Ether, proto};

use super::{
    CLIENT, Figure, LAN, RATIO, ROUTER, STEP, Scope, WAN,
    esp::{ROUNDS, Random, Raw, Turn, rate_of},
    pooled, sealed,
};

/// Name of the suite.
pub(super) const SUITE: &str = "dtls";

/// Interfaces and next hops, by number: where datagrams of clients come in and where their packets go.
const OUTSIDE: u16 = 0;
const INSIDE: u16 = 1;

/// The interface of clients.
const CLIENTS: u16 = 2;

/// What a packet in a client's tunnel may be long.
const MTU: u16 = 1400;

/// Bytes of a record's text before the packet, and of its additional data.
const TYPE_LEN: usize = 1;
const AAD_LEN: usize = 13;

pub(super) fn run(
    scope: &Scope,
    figures: &mut Vec<Figure>,
    progress: &mut dyn FnMut(&str),
) -> Result<(), String> {
    let ciphers = aead::choose(|| cpu_time().as_nanos() as u64).0;
    let mut benches = Vec::new();
    for &clients in &scope.tunnels {
        progress(&format!("{SUITE}: an engine with {clients} clients"));
        benches.push((clients, Bench::new(clients, &ciphers).map_err(|why| why.to_string())?));
    }
    for &size in &scope.sizes {
        let lengths = size.lengths();
        let texts: Vec<_> = lengths.iter().map(|length| length + TYPE_LEN).collect();
        for (open, way) in [(true, "from clients"), (false, "to clients")] {
            progress(&format!("{SUITE}: {size} {way}, {ROUNDS} rounds"));
            let mut random = Random::new();
            let mut bare = Turn::new(Raw::new(1, &texts, AAD_LEN, &ciphers));
            let mut fast: Vec<_> = benches.iter_mut().map(Turn::new).collect();
            for _ in 0..ROUNDS {
                bare.rates.push(bare.who.rate(open, &mut random));
                for Turn { who: (_, bench), rates } in &mut fast {
                    rates.push(bench.rate(open, &lengths, &mut random)?);
                }
            }
            let mut tell = |what: String, value, unit| {
                let what = format!("{size} {way}, {what}");
                figures.push(Figure { suite: SUITE, what, value, unit });
            };
            tell("bare cipher".into(), bare.rate(), "pps");
            let clients = |n| if n == 1 { "1 client".into() } else { format!("{n} clients") };
            for turn in &fast {
                tell(format!("fast tier, {}", clients(turn.who.0)), turn.rate(), "pps");
            }
            let Some((least, more)) = fast.split_first() else { continue };
            tell("fast tier / bare cipher".into(), least.rate() / bare.rate(), RATIO);
            for turn in more {
                let (n, first) = (turn.who.0, clients(least.who.0));
                tell(format!("fast tier, {n} / {first}"), turn.rate() / least.rate(), RATIO);
            }
        }
    }
    Ok(())
}

/// An engine with clients, and their ends.
struct Bench {
    worker: SoftWorker,
    pool: Arc<FramePool>,
    far: Vec<dtls::Outbound>,
    output: Output,
    now: Time,
    /// Keeps what it was given.
    _control: engines::SoftControl,
}

impl Bench {
    fn new(clients: u32, ciphers: &Selection) -> Result<Self, Refusal> {
        let config = SoftConfig {
            // two of each client, and one that its records are found by
            flows: 3 * clients,
            sas: 2 * clients,
            adjacencies: 2,
            punt_limits: PuntLimits::NONE,
            seed: 0x5eed,
            ..SoftConfig::default()
        };
        let (mut control, mut workers) =
            soft(config, Arc::new(EpochTable::new(1)), Arc::new(TcpWindows::new(0)));
        control.set_interfaces(&[(OUTSIDE, WAN), (INSIDE, LAN)].map(|(number, mac)| {
            EngineInterface {
                port: number,
                vlan: None,
                interface: number,
                vr: 0,
                mac,
                enabled: true,
            }
        }));
        for (port, src, dst) in [(OUTSIDE, WAN, ROUTER), (INSIDE, LAN, CLIENT)] {
            let hop = Adjacency { port, interface: port, src, dst, vlan: None, mtu: 1500 };
            control.set_adjacency(AdjacencyId(port.into()), hop)?;
        }
        let now = Time::from_secs(1);
        let mut far = Vec::with_capacity(clients as usize);
        for n in 0..clients {
            let path = path(n);
            let there = Path { local: path.remote, remote: path.local };
            let sealing = |way, path| {
                dtls::Outbound::new(keys(n, way), path, ciphers)
                    .expect("invariant: the keys have the length of the cipher's")
            };
            let opening = dtls::Inbound::new(&keys(n, 0), 1024, ciphers)
                .expect("invariant: the keys have the length of the cipher's");
            far.push(sealing(0, there));
            let incoming = SaProgram::DtlsInbound {
                sa: Arc::new(opening),
                number: n,
                datagrams: Box::new(datagrams_of(path)),
                vr: 0,
                interface: CLIENTS,
                inner_vr: 0,
                client: ClientAddresses { v4: Some(address(n)), v6: None },
            };
            control.install_sa(incoming, now)?;
            let outgoing = SaProgram::DtlsOutbound {
                sa: Arc::new(sealing(1, path)),
                number: n,
                adjacency: AdjacencyId(OUTSIDE.into()),
            };
            let sa = Some(control.install_sa(outgoing, now)?);
            control.install(&flow(n, Direction::Original), now)?;
            control.install(&FlowProgram { sa, ..flow(n, Direction::Reply) }, now)?;
        }
        ports::huge::gather_heap();
        Ok(Self {
            worker: workers.swap_remove(0),
            pool: FramePool::new(8_192, 16),
            far,
            output: Output::new(),
            now,
            _control: control,
        })
    }

    /// Packets a second, clients picked at random.
    fn rate(&mut self, open: bool, lengths: &[usize], random: &mut Random) -> Result<f64, String> {
        rate_of(|| self.pass(open, lengths, random))
    }

    fn pass(
        &mut self,
        open: bool,
        lengths: &[usize],
        random: &mut Random,
    ) -> Result<Duration, String> {
        let port = if open { OUTSIDE } else { INSIDE };
        let mut bursts: Vec<Vec<Frame>> =
            (0..STEP / BURST).map(|_| Vec::with_capacity(BURST)).collect();
        for (at, length) in (0..STEP).zip(lengths.iter().cycle()) {
            let n = random.below(self.far.len()) as u32;
            let frame = if open { self.sealed(n, *length)? } else { self.plain(n, *length)? };
            bursts[at / BURST].push(frame);
        }
        self.now = self.now + Duration::from_micros(50);
        let start = cpu_time();
        for burst in &mut bursts {
            self.worker.process(PortId(port), burst, self.now, &mut self.output);
        }
        let busy = cpu_time().saturating_sub(start);
        let sent = self.output.tx.drain(..).count();
        if sent != STEP {
            let cause = self.output.punts.first().map(|punt| punt.cause);
            return Err(format!("{sent} of {STEP} packets were sent; punted: {cause:?}"));
        }
        Ok(busy)
    }

    /// A packet for client `n`.
    fn plain(&self, n: u32, length: usize) -> Result<Frame, String> {
        let ether = Ether { src: CLIENT, dst: LAN, vlan: None };
        pooled(&self.pool, ether, packets(n).reversed(), length)
    }

    /// One that it has sent.
    fn sealed(&self, n: u32, length: usize) -> Result<Frame, String> {
        let ether = Ether { src: ROUTER, dst: WAN, vlan: None };
        let frame = pooled(&self.pool, ether, packets(n), length)?;
        sealed(frame, |frame| self.far[n as usize].seal_packet(frame, 0, self.now))
    }
}

/// Between whom the datagrams of client `n` run.
fn path(n: u32) -> Path {
    let [_, b, c, d] = n.to_be_bytes();
    Path { local: ([192, 0, 2, 1], 443).into(), remote: ([100, 64 | b, c, d], 50_000).into() }
}

/// The address that client `n` was given.
fn address(n: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::from_be_bytes([10, 64, 0, 0]) + n)
}

/// What it sends through its tunnel.
fn packets(n: u32) -> Tuple {
    build::tuple(proto::UDP, (address(n), 4000), ([10, 0, 0, 5], 53))
}

/// Keys of client `n`; `0` from it, `1` to it.
fn keys(n: u32, way: u8) -> RecordKeys {
    let mut key = [n.to_be_bytes(); 8].concat();
    key[0] = way;
    RecordKeys::new(Algorithm::Aes256Gcm, &key, &n.to_be_bytes())
}

fn flow(n: u32, direction: Direction) -> FlowProgram {
    let (key, ingress, egress) = match direction {
        Direction::Original => (packets(n), CLIENTS, INSIDE),
        Direction::Reply => (packets(n).reversed(), INSIDE, OUTSIDE),
    };
    FlowProgram {
        key,
        vr: 0,
        ingress,
        rewrite: Rewrite::compile(key, key),
        adjacency: AdjacencyId(egress.into()),
        sa: None,
        mtu: MTU,
        tcp_window: None,
        session: n,
        direction,
        epoch: EpochRef::default(),
        worth: 1,
    }
}
