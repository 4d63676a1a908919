//! TCP connections that come and go beside traffic that stays: each is opened by a handshake, promoted, and closed, with
//! data both ways in between, through policies and source NAT. What both give at once stands beside what each gives alone.

use std::time::Duration;

use ports::Frame;
use wire::{Tuple, build, emit::Ether, proto, tcp::flags};

use super::{Bench, CLIENT, Figure, HOT, LAN, RATIO, ROUTER, STEP, WAN, forward, median};

/// Name of the suite.
pub(super) const SUITE: &str = "churn";

/// Rounds, and batches of connections in each.
const ROUNDS: usize = 9;
const BATCHES: usize = 100;

/// Connections that go through their lives at once.
const BATCH: usize = 32;

/// Packets of sessions that stay in a step beside them: a step takes no more than [`STEP`] of a port.
const STAY: usize = STEP - BATCH;

/// Between two steps: a round is longer than closed connections are kept, so each forgets those of the one before.
const STEP_TIME: Duration = Duration::from_millis(40);

/// Bytes of TCP payload where there is any.
const DATA: usize = 100;

/// The life of a connection, packet by packet: from the client, flags, sequence number, acknowledgement, payload.
const LIFE: [(bool, u8, u32, u32, usize); 10] = {
    const ACK: u8 = flags::ACK;
    const N: u32 = DATA as u32;
    let (ours, theirs) = (1_001, 5_001);
    [
        (true, flags::SYN, ours - 1, 0, 0),
        (false, flags::SYN | ACK, theirs - 1, ours, 0),
        (true, ACK, ours, theirs, 0),
        (true, ACK, ours, theirs, DATA),
        (false, ACK, theirs, ours + N, DATA),
        (true, ACK, ours + N, theirs + N, DATA),
        (false, ACK, theirs + N, ours + 2 * N, DATA),
        (true, flags::FIN | ACK, ours + 2 * N, theirs + 2 * N, 0),
        (false, flags::FIN | ACK, theirs + 2 * N, ours + 2 * N + 1, 0),
        (true, ACK, ours + 2 * N + 1, theirs + 2 * N + 1, 0),
    ]
};

pub(super) fn run(figures: &mut Vec<Figure>, progress: &mut dyn FnMut(&str)) -> Result<(), String> {
    progress(&format!("{SUITE}: promoting {HOT} sessions that stay"));
    let mut bench = Bench::new("auto")?;
    bench.open(HOT)?;
    bench.answer(HOT)?;
    bench.traffic_each(HOT)?;
    let connections = (BATCHES * BATCH) as f64;
    let mut callers = Callers { bench, opened: 0 };
    callers.round(0)?;
    let (mut alone, mut steady, mut quotients) = (vec![], vec![], vec![]);
    for round in 1..=ROUNDS {
        progress(&format!("{SUITE}: round {round} of {ROUNDS}"));
        let packets = (BATCHES * LIFE.len() * STAY) as u64;
        let hot = callers.bench.traffic(HOT, packets)?;
        let coming = callers.round(0)?;
        let both = callers.round(STAY)?;
        alone.push(connections / coming.as_secs_f64());
        steady.push(packets as f64 / hot.as_secs_f64());
        quotients.push((hot + coming).as_secs_f64() / both.as_secs_f64());
    }
    let life = LIFE.len();
    let mut tell = |what: String, values: Vec<f64>, unit| {
        figures.push(Figure { suite: SUITE, what, value: median(values), unit });
    };
    tell(format!("connections of {life} packets, opened, promoted and closed"), alone, "/s");
    tell("fast tier, hot set of 64 k".into(), steady, "pps");
    let share = STAY * life / BATCH;
    let what = format!("both at once, a connection for each {share} packets / one after the other");
    tell(what, quotients, RATIO);
    Ok(())
}

/// A gateway whose clients open connections.
struct Callers {
    bench: Bench,
    opened: u32,
}

impl Callers {
    /// CPU time of the gateway for a round of connections, with so many packets of sessions that stay in each step.
    fn round(&mut self, hot: usize) -> Result<Duration, String> {
        let installed = |bench: &Bench| bench.node.gateway().engine().engine_stats().installed;
        let before = installed(&self.bench);
        let mut busy = Duration::ZERO;
        for _ in 0..BATCHES {
            busy += self.batch(hot)?;
        }
        let promoted = installed(&self.bench) - before;
        let flows = (2 * BATCHES * BATCH) as u64;
        if promoted < flows {
            return Err(format!("{promoted} of {flows} flows of connections were promoted"));
        }
        Ok(busy)
    }

    fn batch(&mut self, hot: usize) -> Result<Duration, String> {
        let first = self.opened;
        self.opened += BATCH as u32;
        let mut outside: Vec<Tuple> = Vec::with_capacity(BATCH);
        let mut busy = Duration::ZERO;
        for (forth, flags, seq, ack, len) in LIFE {
            let payload = [0x5a; DATA];
            let frames: Vec<_> = (0..BATCH)
                .map(|at| {
                    let (ether, tuple) = if forth {
                        (Ether { src: CLIENT, dst: LAN, vlan: None }, caller(first + at as u32))
                    } else {
                        (Ether { src: ROUTER, dst: WAN, vlan: None }, outside[at].reversed())
                    };
                    Frame::from_vec(build::tcp(ether, tuple, flags, seq, ack, &payload[..len]))
                })
                .collect();
            busy += self.step(frames, forth, hot, &mut outside)?;
        }
        Ok(busy)
    }

    /// One step; the first of a batch notes what its connections look like outside.
    fn step(
        &mut self,
        mut frames: Vec<Frame>,
        forth: bool,
        hot: usize,
        outside: &mut Vec<Tuple>,
    ) -> Result<Duration, String> {
        let mut of_lan = self.bench.pick(HOT);
        of_lan.truncate(hot);
        let mut of_wan = Vec::new();
        if forth {
            of_lan.append(&mut frames)
        } else {
            of_wan.append(&mut frames)
        }
        let bench = &mut self.bench;
        bench.now = bench.now + STEP_TIME;
        let sides = (&bench.lan, &bench.wan);
        let (busy, sent) = forward(&mut bench.node, sides, bench.now, (of_lan, of_wan))?;
        if outside.is_empty() {
            let tuples = sent.iter().filter_map(|frame| wire::parse(frame.bytes()).ok());
            outside.extend(tuples.map(|headers| headers.tuple).filter(|t| t.proto == proto::TCP));
        }
        Ok(busy)
    }
}

/// Connection `n` as its client opens it: sixteen of each address.
fn caller(n: u32) -> Tuple {
    let [_, b, c, d] = (n >> 4).to_be_bytes();
    let source = ([100, 120 | (b & 7), c, d], 20_000 + (n & 15) as u16);
    build::tuple(proto::TCP, source, ([203, 0, 113, 10], 53))
}
