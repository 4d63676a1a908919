//! What ESP costs on one core beside the raw cipher, measured in the same run: AES-256-GCM in
//! tunnel mode for inner packets of 64 and 1400 bytes, 10,000 SAs used in turn against one, and
//! replay windows of 64 and 1024.
//!
//! Raw operations seal and open as many bytes as the ESP packet's text has, with an additional
//! data of 8 bytes. Every operation has its own copy of its input, made outside the time; opening
//! reads packets in order, as they come from a sender.
//!
//! On a machine that does other things too, trust the table printed first: there the contenders
//! run in turns, a few thousand packets each, and the median of the rounds counts.

#![allow(clippy::print_stdout, reason = "the table is for people")]

use std::{
    hint::black_box,
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant},
};

use aead::{AeadKey as _, Algorithm, Key, Open, Provider, Seal, Selection, TAG_LEN};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lockgate_esp::{
    DfRule, DscpRule, Inbound, KeyMaterial, Lifetime, Mode, Outbound, Parameters, Suite,
};
use ports::Frame;
use wire::Time;

/// Packets in flight at a time: what a few bursts keep in the cache.
const BURST: usize = 64;
/// From one SA to the next, so that no prefetcher sees the next one coming; a prime.
const STRIDE: usize = 7919;
/// Who has a burst at hand knows the SAs of the next packets, and asks for them this far ahead.
const AHEAD: usize = 6;
/// Packets a contender has in one round of the table, and rounds.
const ROUND: u64 = 4096;
const ROUNDS: usize = 41;
const NOW: Time = Time::from_secs(1);

#[global_allocator]
static ALLOC: ports::huge::HugeAlloc = ports::huge::HugeAlloc::new();

fn parameters(replay_window: u32) -> Parameters {
    Parameters {
        spi: 0x1000,
        suite: Suite::AES256_GCM16,
        key: KeyMaterial::from_bytes(&[7; 36]),
        mode: Mode::Tunnel,
        source: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
        destination: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)),
        encapsulation: None,
        esn: false,
        replay_window,
        soft: Lifetime::default(),
        hard: Lifetime::default(),
        dscp: DscpRule::Copy,
        df: DfRule::Copy,
        pad_to: None,
        hop_limit: 64,
        allow_null: false,
    }
}

fn outbound(selection: &Selection) -> Outbound {
    Outbound::with(parameters(1024), Time::ZERO, selection, 0).expect("right parameters")
}

fn inbound(window: u32, selection: &Selection) -> Inbound {
    Inbound::with(parameters(window), Time::ZERO, selection, 0).expect("right parameters")
}

/// An inner IPv4 packet of `len` bytes.
fn inner(len: usize) -> Vec<u8> {
    let mut packet = vec![0x5a; len];
    packet[..20].fill(0);
    packet[0] = 0x45;
    packet[2..4].copy_from_slice(&(len as u16).to_be_bytes());
    packet[6] = 0x40;
    packet[9] = 17;
    packet
}

/// Bytes of the text of the ESP packet: inner packet and trailer, padded.
fn text_len(len: usize) -> usize {
    (len + 2).next_multiple_of(Suite::AES256_GCM16.padded_to())
}

fn frames(data: &[u8]) -> Vec<Frame> {
    (0..BURST).map(|_| Frame::from_vec([data, &[0; 100]].concat())).collect()
}

/// Times `work` over `count` items in bursts, each prepared outside the time. The median burst
/// stands for all, so that those in which the machine did something else do not count.
fn timed(count: u64, mut prepare: impl FnMut(), mut work: impl FnMut()) -> Duration {
    let mut bursts: Vec<Duration> = (0..count.div_ceil(BURST as u64))
        .map(|_| {
            prepare();
            let start = Instant::now();
            work();
            start.elapsed()
        })
        .collect();
    bursts.sort_unstable();
    let median = bursts.get(bursts.len() / 2).copied().unwrap_or_default();
    median.mul_f64(count as f64 / BURST as f64)
}

fn raw_seal(key: &Key, len: usize, count: u64) -> Duration {
    let mut texts = vec![vec![0x5a; len]; BURST];
    let (mut tag, mut n) = ([0; TAG_LEN], 0u64);
    timed(
        count,
        || (),
        || {
            for text in &mut texts {
                n += 1;
                let mut nonce = [0; 12];
                nonce[4..].copy_from_slice(&n.to_be_bytes());
                key.seal(&mut [Seal { nonce, aad: &[0; 8], text, tag: &mut tag }]);
                black_box(&tag);
            }
        },
    )
}

fn raw_open(key: &Key, len: usize, count: u64) -> Duration {
    let (mut sealed, mut tag) = (vec![0x5a; len], [0; TAG_LEN]);
    let nonce = [1; 12];
    key.seal(&mut [Seal { nonce, aad: &[0; 8], text: &mut sealed, tag: &mut tag }]);
    let texts = std::cell::RefCell::new(vec![sealed.clone(); BURST]);
    timed(
        count,
        || texts.borrow_mut().iter_mut().for_each(|text| text.copy_from_slice(&sealed)),
        || {
            for text in texts.borrow_mut().iter_mut() {
                let mut jobs = [Open { nonce, aad: &[0; 8], text, tag: &tag, authentic: false }];
                key.open(&mut jobs);
                assert!(jobs[0].authentic);
            }
        },
    )
}

/// Walks round the SAs in long steps, without a division per step.
struct Turn {
    at: usize,
    step: usize,
    len: usize,
}

impl Turn {
    /// Starts `ahead` steps in.
    fn new(len: usize, ahead: usize) -> Self {
        Self { at: STRIDE * ahead % len, step: STRIDE % len, len }
    }

    fn next(&mut self) -> usize {
        let now = self.at;
        self.at += self.step;
        self.at -= if self.at >= self.len { self.len } else { 0 };
        now
    }
}

fn esp_seal(sas: &[Outbound], len: usize, count: u64) -> Duration {
    let packet = inner(len);
    let frames = std::cell::RefCell::new(frames(&packet));
    let mut turn = Turn::new(sas.len(), 0);
    let (mut next, mut ahead) = (Turn::new(sas.len(), AHEAD / 2), Turn::new(sas.len(), AHEAD));
    timed(
        count,
        || {
            frames.borrow_mut().iter_mut().for_each(|frame| assert!(frame.refill(&packet)));
        },
        || {
            for frame in frames.borrow_mut().iter_mut() {
                if sas.len() > 1 {
                    sas[ahead.next()].prefetch(1);
                    sas[next.next()].prefetch_rest(len);
                }
                sas[turn.next()].seal(frame, 1, NOW).expect("sealed");
            }
        },
    )
}

/// Opens `count` packets of `sas` in turn; `senders` make them.
fn esp_open(sas: &[Inbound], senders: &[Outbound], len: usize, count: u64) -> Duration {
    let packet = inner(len);
    let frames = std::cell::RefCell::new(frames(&packet));
    let (mut turn, mut made) = (Turn::new(sas.len(), 0), Turn::new(sas.len(), 0));
    let (mut next, mut ahead) = (Turn::new(sas.len(), AHEAD / 2), Turn::new(sas.len(), AHEAD));
    timed(
        count,
        || {
            for frame in frames.borrow_mut().iter_mut() {
                assert!(frame.refill(&packet));
                senders[made.next()].seal(frame, 0, NOW).expect("sealed");
            }
        },
        || {
            for frame in frames.borrow_mut().iter_mut() {
                if sas.len() > 1 {
                    sas[ahead.next()].prefetch(1);
                    sas[next.next()].prefetch_rest(len);
                }
                sas[turn.next()].open(frame, 1, NOW).expect("opened");
            }
        },
    )
}

fn selections() -> impl Iterator<Item = (&'static str, Selection)> {
    let serving = Provider::ALL.into_iter().filter(|p| p.serves(Algorithm::Aes256Gcm));
    serving.map(|provider| (provider.name(), Selection::only(provider)))
}

fn beside_the_raw_cipher(c: &mut Criterion) {
    for len in [64, 1400] {
        for (operation, seal) in [("seal", true), ("open", false)] {
            let mut group = c.benchmark_group(format!("{operation}-{len}"));
            group.throughput(Throughput::Elements(1)).warm_up_time(Duration::from_millis(500));
            for (name, selection) in selections() {
                let key = Key::new(Algorithm::Aes256Gcm, &[7; 32], &selection).expect("length");
                let text = text_len(len);
                group.bench_function(format!("raw-{name}"), |b| {
                    b.iter_custom(|n| {
                        if seal { raw_seal(&key, text, n) } else { raw_open(&key, text, n) }
                    });
                });
                let (out, inside) = ([outbound(&selection)], [inbound(1024, &selection)]);
                group.bench_function(format!("esp-{name}"), |b| {
                    b.iter_custom(|n| {
                        if seal { esp_seal(&out, len, n) } else { esp_open(&inside, &out, len, n) }
                    });
                });
            }
            group.finish();
        }
    }
}

fn many_sas(c: &mut Criterion) {
    let selection = Selection::default();
    for len in [64, 1400] {
        let mut group = c.benchmark_group(format!("sas-{len}"));
        group.throughput(Throughput::Elements(1)).warm_up_time(Duration::from_millis(500));
        for count in [1, 10_000] {
            let out: Vec<Outbound> = (0..count).map(|_| outbound(&selection)).collect();
            let inside: Vec<Inbound> = (0..count).map(|_| inbound(1024, &selection)).collect();
            group.bench_function(format!("seal-{count}"), |b| {
                b.iter_custom(|n| esp_seal(&out, len, n));
            });
            let out: Vec<Outbound> = (0..count).map(|_| outbound(&selection)).collect();
            group.bench_function(format!("open-{count}"), |b| {
                b.iter_custom(|n| esp_open(&inside, &out, len, n));
            });
        }
        group.finish();
    }
}

fn windows(c: &mut Criterion) {
    let selection = Selection::default();
    let mut group = c.benchmark_group("replay-window-64");
    group.throughput(Throughput::Elements(1)).warm_up_time(Duration::from_millis(500));
    for window in [64, 1024] {
        let (out, inside) = ([outbound(&selection)], [inbound(window, &selection)]);
        group.bench_function(format!("open-{window}"), |b| {
            b.iter_custom(|n| esp_open(&inside, &out, 64, n));
        });
    }
    group.finish();
}

/// A contender: runs so many packets and says how long they took.
type Contender<'a> = (String, Box<dyn FnMut(u64) -> Duration + 'a>);

/// Runs the contenders in turns; prints the median nanoseconds per packet of each and how they
/// compare with the first.
fn table(title: &str, contenders: &mut [Contender<'_>]) {
    let mut times = vec![Vec::new(); contenders.len()];
    for round in 0..=ROUNDS {
        for ((_, run), times) in contenders.iter_mut().zip(&mut times) {
            let nanos = run(ROUND).as_nanos() as f64 / ROUND as f64;
            if round > 0 {
                times.push(nanos);
            }
        }
    }
    let medians: Vec<f64> = times
        .iter_mut()
        .map(|times| {
            times.sort_by(f64::total_cmp);
            times[times.len() / 2]
        })
        .collect();
    println!("{title}");
    for ((name, _), median) in contenders.iter().zip(&medians) {
        println!(
            "  {name:<28} {median:>8.1} ns {:>6.0} % of the first",
            medians[0] / median * 100.0
        );
    }
}

fn tables(_: &mut Criterion) {
    for len in [64, 1400] {
        for seal in [true, false] {
            let mut raw: Vec<Contender<'_>> = Vec::new();
            let mut esp: Vec<Contender<'_>> = Vec::new();
            for (name, selection) in selections() {
                let key = Key::new(Algorithm::Aes256Gcm, &[7; 32], &selection).expect("length");
                let text = text_len(len);
                raw.push((
                    format!("raw {name}"),
                    Box::new(
                        move |n| {
                            if seal { raw_seal(&key, text, n) } else { raw_open(&key, text, n) }
                        },
                    ),
                ));
                let (out, inside) = ([outbound(&selection)], [inbound(1024, &selection)]);
                esp.push((
                    format!("esp {name}"),
                    Box::new(move |n| {
                        if seal { esp_seal(&out, len, n) } else { esp_open(&inside, &out, len, n) }
                    }),
                ));
            }
            raw.append(&mut esp);
            let verb = if seal { "seal" } else { "open" };
            table(&format!("{verb}, {len}-byte inner packets, AES-256-GCM"), &mut raw);
        }
    }
    let selection = Selection::default();
    for len in [64, 1400] {
        let mut seal: Vec<Contender<'_>> = Vec::new();
        let mut open: Vec<Contender<'_>> = Vec::new();
        for count in [1, 10_000] {
            let out: Vec<Outbound> = (0..count).map(|_| outbound(&selection)).collect();
            seal.push((format!("{count} SAs"), Box::new(move |n| esp_seal(&out, len, n))));
            let out: Vec<Outbound> = (0..count).map(|_| outbound(&selection)).collect();
            let inside: Vec<Inbound> = (0..count).map(|_| inbound(1024, &selection)).collect();
            open.push((format!("{count} SAs"), Box::new(move |n| esp_open(&inside, &out, len, n))));
        }
        table(&format!("seal, {len}-byte inner packets, ring"), &mut seal);
        table(&format!("open, {len}-byte inner packets, ring"), &mut open);
        let mut windows: Vec<Contender<'_>> = Vec::new();
        for window in [64, 1024] {
            let (out, inside) = ([outbound(&selection)], [inbound(window, &selection)]);
            windows.push((
                format!("replay window {window}"),
                Box::new(move |n| esp_open(&inside, &out, len, n)),
            ));
        }
        table(&format!("open, {len}-byte inner packets, ring"), &mut windows);
    }
}

criterion_group!(benches, tables, beside_the_raw_cipher, many_sas, windows);
criterion_main!(benches);
