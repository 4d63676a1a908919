//! What a record costs on one core beside the raw cipher, measured in the same run: AES-256-GCM with inner
//! packets of 1300 bytes in UDP over IPv4, with everything that has the cipher.
//!
//! Raw operations seal and open as many bytes as the record's text has, with 13 bytes of additional data.
//! Every operation has its own copy of its input, made outside the time; opening reads records in
//! order. The contenders run in turns, and the median of the rounds counts.
//!
//! `cargo bench -p lockgate-dtls`

#![allow(clippy::print_stdout, reason = "the table is for people")]

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use aead::{AeadKey as _, Algorithm, Key, Open, Provider, Seal, Selection, TAG_LEN};
use lockgate_dtls::{Inbound, Opened, Outbound, Path, record::RecordKeys};
use ports::Frame;
use wire::{IpVersion, Time};

const INNER: usize = 1300;
/// Packets in flight at a time: what a few bursts keep in the cache.
const BURST: usize = 64;
const BURSTS: usize = 64;
const ROUNDS: usize = 41;
const OUTER: usize = 28;
const NOW: Time = Time::from_secs(1);

fn main() {
    println!("AES-256-GCM, inner packets of {INNER} bytes, one core, median of {ROUNDS} rounds");
    println!("{:<12}{:>10}{:>12}{:>12}{:>10}", "library", "", "raw ns", "record ns", "of raw");
    for provider in Provider::ALL.into_iter().filter(|p| p.serves(Algorithm::Aes256Gcm)) {
        let selection = Selection::only(provider);
        for (name, raw, record) in [
            ("seal", raw_seal as fn(&Selection) -> Duration, seal as fn(&Selection) -> Duration),
            ("open", raw_open, open),
        ] {
            let mut times = [Vec::new(), Vec::new()];
            for _ in 0..ROUNDS {
                times[0].push(raw(&selection));
                times[1].push(record(&selection));
            }
            let [raw, record] = times.map(|mut times| {
                times.sort();
                times[ROUNDS / 2].as_nanos() as f64 / (BURST * BURSTS) as f64
            });
            let share = 100.0 * raw / record;
            println!("{:<12}{name:>10}{raw:>12.1}{record:>12.1}{share:>9.1}%", provider.name());
        }
    }
}

fn keys() -> RecordKeys {
    RecordKeys::new(Algorithm::Aes256Gcm, &[7; 32], &[9; 4])
}

fn path() -> Path {
    let end = |text: &str| text.parse().expect("an address");
    Path { local: end("192.0.2.1:443"), remote: end("198.51.100.7:50000") }
}

fn inner() -> Vec<u8> {
    let mut packet = vec![0x5a; INNER];
    packet[0] = 0x45;
    packet
}

fn key(selection: &Selection) -> Key {
    Key::new(Algorithm::Aes256Gcm, &[7; 32], selection).expect("its length")
}

/// Runs `operation` on fresh copies of `input`, in bursts; the time without the copies.
fn timed<T>(mut input: impl FnMut() -> T, mut operation: impl FnMut(&mut T)) -> Duration {
    let mut total = Duration::ZERO;
    for _ in 0..BURSTS {
        let mut burst: Vec<T> = (0..BURST).map(|_| input()).collect();
        let start = Instant::now();
        burst.iter_mut().for_each(&mut operation);
        total += start.elapsed();
        black_box(&burst);
    }
    total
}

fn raw_seal(selection: &Selection) -> Duration {
    let (key, text, mut n) = (key(selection), vec![0x5a; INNER + 1], 0u64);
    timed(
        || (text.clone(), [0; TAG_LEN]),
        |(text, tag)| {
            n += 1;
            let mut nonce = [0; 12];
            nonce[4..].copy_from_slice(&n.to_be_bytes());
            key.seal(&mut [Seal { nonce, aad: &[1; 13], text, tag }]);
        },
    )
}

fn raw_open(selection: &Selection) -> Duration {
    let (key, mut text, mut tag) = (key(selection), vec![0x5a; INNER + 1], [0; TAG_LEN]);
    key.seal(&mut [Seal { nonce: [3; 12], aad: &[1; 13], text: &mut text, tag: &mut tag }]);
    timed(
        || text.clone(),
        |text| {
            let mut jobs =
                [Open { nonce: [3; 12], aad: &[1; 13], text, tag: &tag, authentic: false }];
            key.open(&mut jobs);
            assert!(jobs[0].authentic);
        },
    )
}

fn seal(selection: &Selection) -> Duration {
    let outbound = Outbound::new(keys(), path(), selection).expect("right keys");
    let packet = inner();
    timed(
        || Frame::from_vec(packet.clone()),
        |frame| outbound.seal_packet(frame, 1, NOW).expect("it fits"),
    )
}

fn open(selection: &Selection) -> Duration {
    let outbound = Outbound::new(keys(), path(), selection).expect("right keys");
    let inbound = Inbound::new(&keys(), 64, selection).expect("right keys");
    let packet = inner();
    let sealed = || {
        let mut frame = Frame::from_vec(packet.clone());
        outbound.seal_packet(&mut frame, 1, NOW).expect("it fits");
        frame
    };
    timed(sealed, |frame| {
        let opened = inbound.open_packet(frame, OUTER, 1, NOW);
        assert_eq!(opened, Ok(Opened::Packet(IpVersion::V4)));
    })
}
