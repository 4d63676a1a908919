//! What a branch does all day, at once in one gateway: packets into tunnels and out of them, and others through source NAT
//! and back. Each kind is measured alone in the same round, so that it is seen what they cost each other.

use ports::Frame;
use wire::{Tuple, build, emit::Ether, proto};

use super::{
    CLIENT, Figure, LAN, RATIO, ROUTER, STEP, Scope, Size, WAN, cpu_time,
    esp::{Bench, ROUNDS, Random, Turn, config_text, rate_of},
    median,
};

/// Name of the suite.
pub(super) const SUITE: &str = "mixed";

/// Sessions through NAT.
const SESSIONS: u32 = 10_000;

/// What a packet may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Encrypt,
    Decrypt,
    NatOut,
    NatBack,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Encrypt, Self::Decrypt, Self::NatOut, Self::NatBack];
}

pub(super) fn run(
    scope: &Scope,
    figures: &mut Vec<Figure>,
    progress: &mut dyn FnMut(&str),
) -> Result<(), String> {
    let ciphers = aead::choose(|| cpu_time().as_nanos() as u64).0;
    for &tunnels in &scope.tunnels {
        let with = format!("{tunnels} tunnel{}", if tunnels == 1 { "" } else { "s" });
        progress(&format!("{SUITE}: a gateway with {with} and {SESSIONS} sessions"));
        let mut gateways = Vec::new();
        for offload in ["auto", "off"] {
            let mut esp = Bench::new(&text(tunnels, offload), tunnels, ciphers)?;
            let outside = open(&mut esp)?;
            gateways.push(Gateway { esp, outside });
        }
        let [fast, slow] = &mut gateways[..] else { return Ok(()) };
        for &size in &scope.sizes {
            progress(&format!("{SUITE}: {size}, {with}, {ROUNDS} rounds"));
            let mut random = Random::new();
            let mut rate =
                |gateway: &mut Gateway, kinds: &[Kind]| gateway.rate(kinds, size, &mut random);
            let (mut all, mut slowly, mut quotients) = (Turn::new(()), Turn::new(()), Vec::new());
            for _ in 0..ROUNDS {
                let alone = Kind::ALL.map(|kind| rate(fast, &[kind]));
                let together = rate(fast, &Kind::ALL)?;
                let mut seconds = 0.0;
                for rate in alone {
                    seconds += 1.0 / rate? / Kind::ALL.len() as f64;
                }
                all.rates.push(together);
                quotients.push(together * seconds);
                slowly.rates.push(rate(slow, &Kind::ALL)?);
            }
            let (fast, slow) = (all.rate(), slowly.rate());
            let mut tell = |what: &str, value, unit| {
                let what = format!("{size}, {with}, {what}");
                figures.push(Figure { suite: SUITE, what, value, unit });
            };
            tell("fast tier, as many packets of each kind", fast, "pps");
            tell("slow tier", slow, "pps");
            tell("fast tier / slow tier", fast / slow, RATIO);
            tell("all kinds at once / one after the other", median(quotients), RATIO);
        }
    }
    Ok(())
}

struct Gateway {
    esp: Bench,
    /// What sessions look like outside.
    outside: Vec<Tuple>,
}

impl Gateway {
    /// Packets a second, as many of each kind, tunnels and sessions picked at random.
    fn rate(&mut self, kinds: &[Kind], size: Size, random: &mut Random) -> Result<f64, String> {
        let lengths = size.lengths();
        rate_of(|| {
            let (mut of_lan, mut of_wan) = (Vec::new(), Vec::new());
            for at in 0..STEP {
                let kind = kinds[at % kinds.len()];
                let length = lengths[at / kinds.len() % lengths.len()];
                let side = match kind {
                    Kind::Encrypt | Kind::NatOut => &mut of_lan,
                    Kind::Decrypt | Kind::NatBack => &mut of_wan,
                };
                side.push(self.packet(kind, length, random)?);
            }
            self.esp.step(of_lan, of_wan).map(|(busy, _)| busy)
        })
    }

    fn packet(&self, kind: Kind, length: usize, random: &mut Random) -> Result<Frame, String> {
        let tunnel = random.below(self.esp.tunnels()) as u32;
        let session = random.below(self.outside.len());
        match kind {
            Kind::Encrypt => self.esp.plain(tunnel, length),
            Kind::Decrypt => self.esp.sealed(tunnel, length),
            Kind::NatOut => Ok(forth(session as u32, length)),
            Kind::NatBack => Ok(back(self.outside[session], length)),
        }
    }
}

/// Every session of the NAT is opened, answered and promoted; gives what they look like outside.
fn open(esp: &mut Bench) -> Result<Vec<Tuple>, String> {
    let mut outside = Vec::with_capacity(SESSIONS as usize);
    for start in (0..SESSIONS).step_by(STEP) {
        let numbers = start..SESSIONS.min(start + STEP as u32);
        let frames = |length| numbers.clone().map(|n| forth(n, length)).collect::<Vec<_>>();
        let (_, sent) = esp.step(frames(64), Vec::new())?;
        let mut tuples = Vec::with_capacity(sent.len());
        for frame in sent {
            tuples.push(wire::parse(frame.bytes()).map_err(|reason| reason.to_string())?.tuple);
        }
        for _ in 0..3 {
            esp.step(Vec::new(), tuples.iter().map(|tuple| back(*tuple, 64)).collect())?;
            esp.step(frames(64), Vec::new())?;
        }
        outside.append(&mut tuples);
    }
    Ok(outside)
}

fn forth(n: u32, length: usize) -> Frame {
    let source = ([10, 0, 0, 5], 10_000 + n as u16);
    let tuple = build::tuple(proto::UDP, source, ([203, 0, 113, 9], 53));
    let ether = Ether { src: CLIENT, dst: LAN, vlan: None };
    Frame::from_vec(build::udp(ether, tuple, &vec![0x5a; length - 28]))
}

fn back(outside: Tuple, length: usize) -> Frame {
    let ether = Ether { src: ROUTER, dst: WAN, vlan: None };
    Frame::from_vec(build::udp(ether, outside.reversed(), &vec![0x5a; length - 28]))
}

/// A gateway with tunnels and source NAT.
fn text(tunnels: u32, offload: &str) -> String {
    let wan = "address = \"192.0.2.1/24\"\n";
    let with_zone = format!("{wan}zone = \"outside\"\n");
    config_text(tunnels, offload).replace(wan, &with_zone)
        + r#"
[[route]]
to = "0.0.0.0/0"
via = "192.0.2.9"
[[pool]]
name = "out"
addresses = "198.18.0.0-198.18.0.3"
[[policy]]
id = 2
from = "inside"
to = "outside"
action = "allow"
nat = "out"
[timeouts]
udp = "10m"
"#
}
