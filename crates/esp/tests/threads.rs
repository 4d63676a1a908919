//! One SA shared by several threads: no sequence number twice, no packet accepted twice.

mod common;

use std::{collections::BTreeSet, sync::Mutex, thread};

use common::*;
use lockgate_esp::{Parameters, Suite};
use ports::Frame;
use reason::DropReason;

const THREADS: usize = 4;
const PACKETS: usize = 3000;

fn sequence(frame: &Frame) -> u32 {
    u32::from_be_bytes(frame.bytes()[24..28].try_into().expect("four bytes"))
}

#[test]
fn threads_share_an_sa_both_ways() {
    let parameters = Parameters { replay_window: 8192, ..parameters(Suite::AES128_GCM16) };
    let (out, inside) = pair(&parameters);
    let sealed = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for writer in 1..=THREADS {
            let (out, sealed) = (&out, &sealed);
            scope.spawn(move || {
                let mut own = Vec::new();
                for i in 0..PACKETS / 10 {
                    let mut burst: Vec<Frame> =
                        (0..10).map(|_| Frame::from_vec(udp4(i % 50, 0))).collect();
                    if i % 2 == 0 {
                        out.seal_batch(&mut burst, writer, NOW, |_, v| assert_eq!(v, Ok(())));
                    } else {
                        for frame in &mut burst {
                            assert_eq!(out.seal(frame, writer, NOW), Ok(()));
                        }
                    }
                    own.extend(burst);
                }
                sealed.lock().expect("no panic").extend(own);
            });
        }
    });
    let mut sealed = sealed.into_inner().expect("no panic");
    let numbers: BTreeSet<u32> = sealed.iter().map(sequence).collect();
    let all = (THREADS * PACKETS) as u32;
    assert!(numbers.into_iter().eq(1..=all), "each number once, none left out");
    let status = out.status(NOW);
    assert_eq!((status.sequence, status.total.packets), (u64::from(all), u64::from(all)));
    for writer in 1..=THREADS {
        assert_eq!(status.writers[writer].packets, PACKETS as u64);
    }

    // the first window's worth, so that none is too old, to every thread
    sealed.sort_by_key(sequence);
    sealed.truncate(8000);
    thread::scope(|scope| {
        for writer in 1..=THREADS {
            let (inside, sealed) = (&inside, &sealed);
            scope.spawn(move || {
                for frame in sealed {
                    let mut frame = frame.try_clone().expect("unpooled");
                    let opened = inside.open(&mut frame, writer, NOW);
                    assert!(matches!(opened, Ok(_) | Err(DropReason::EspReplayed)), "{opened:?}");
                }
            });
        }
    });
    let total = inside.status(NOW).total;
    assert_eq!(total.packets, 8000);
    assert_eq!(total.dropped(DropReason::EspReplayed), 8000 * (THREADS as u64 - 1));
}
