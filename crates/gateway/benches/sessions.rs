//! The session table with a million translated UDP sessions in it: set-up with both index entries
//! and the timer, look-up uniformly over all of them, removal, expiry.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use config::model::VrId;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lockgate_gateway::{
    rng::Rng,
    session::{Kind, Session, SessionId, SessionTable},
};
use wire::{Time, Tuple, proto};

const SESSIONS: u32 = 1_000_000;
/// Sessions put in and taken out on top of them, per round.
const ROUND: u32 = 20_000;

/// The n-th conversation: clients behind one address, by port.
fn original(n: u32) -> Tuple {
    Tuple {
        src: (0x0a00_0000 | n >> 4).to_be_bytes().into(),
        dst: (0xcb00_7100 | n & 3).to_be_bytes().into(),
        src_port: (1_024 + n % 16) as u16,
        dst_port: 443,
        proto: proto::UDP,
    }
}

fn session(n: u32) -> Session {
    let there = original(n);
    let outside = Tuple {
        src: (0xc633_6400 | n >> 15).to_be_bytes().into(),
        src_port: (n & 0x7fff) as u16 + 1_024,
        ..there
    };
    Session::new(Kind::Forward, VrId(0), there, outside.reversed(), Time::ZERO)
}

fn full() -> (SessionTable, Vec<SessionId>) {
    let mut table = SessionTable::new(SESSIONS + ROUND, 7);
    let ids = (0..SESSIONS).map(|n| put(&mut table, n)).collect();
    (table, ids)
}

fn put(table: &mut SessionTable, n: u32) -> SessionId {
    let id = table.insert(session(n)).expect("room, and keys of its own");
    table.rearm(id, Time::from_secs(30 + u64::from(n % 90)));
    id
}

fn benches(criterion: &mut Criterion) {
    let (mut table, ids) = full();
    let mut rng = Rng::new(11);
    let keys: Vec<Tuple> = (0..SESSIONS)
        .map(|n| {
            let session = session(rng.below(SESSIONS));
            if n & 1 == 0 { session.original } else { session.reply }
        })
        .collect();

    let mut group = criterion.benchmark_group("sessions/1M");
    group.sample_size(20).measurement_time(Duration::from_secs(3));
    group.throughput(Throughput::Elements(1));
    let mut at = 0;
    group.bench_function("lookup uniform", |b| {
        b.iter(|| {
            at = if at + 1 == keys.len() { 0 } else { at + 1 };
            black_box(table.lookup(VrId(0), &keys[at]))
        });
    });
    group.bench_function("lookup miss", |b| {
        b.iter(|| {
            at = if at + 1 == keys.len() { 0 } else { at + 1 };
            black_box(table.lookup(VrId(1), &keys[at]))
        });
    });
    let mut hot = 0;
    group.bench_function("lookup hot", |b| {
        b.iter(|| {
            hot = (hot + 1) & 1_023;
            black_box(table.lookup(VrId(0), &keys[hot]))
        });
    });
    let mut get = 0;
    group.bench_function("get uniform", |b| {
        b.iter(|| {
            get = (get + 0x9e37) % ids.len();
            black_box(table.get(ids[get]).map(|session| session.rule))
        });
    });
    for (name, timed) in [("insert", true), ("remove", false)] {
        group.bench_function(name, |b| {
            b.iter_custom(|iterations| {
                let mut spent = Duration::ZERO;
                let mut left = iterations;
                while left > 0 {
                    let round = left.min(u64::from(ROUND)) as u32;
                    left -= u64::from(round);
                    let start = Instant::now();
                    let added: Vec<_> =
                        (0..round).map(|n| put(&mut table, SESSIONS + n * 47 % ROUND)).collect();
                    let between = Instant::now();
                    for id in added {
                        black_box(table.remove(id));
                    }
                    spent += if timed { between - start } else { between.elapsed() };
                }
                spent
            });
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("sessions/1M whole");
    group.sample_size(10).measurement_time(Duration::from_secs(5));
    group.throughput(Throughput::Elements(SESSIONS.into()));
    let mut now = Time::from_secs(120);
    let mut due = Vec::with_capacity(1_024);
    group.bench_function("expire and rearm all", |b| {
        b.iter(|| {
            loop {
                due.clear();
                table.expired(now, 1_024, &mut due);
                if due.is_empty() {
                    break;
                }
                for id in &due {
                    table.rearm(*id, now + Duration::from_secs(30 + u64::from(id.index % 90)));
                }
            }
            now = now + Duration::from_secs(120);
        });
    });
    group.bench_function("walk", |b| {
        b.iter(|| table.page(0, u32::MAX).filter(|(_, session)| session.rule == 7).count());
    });
    group.finish();
}

criterion_group!(sessions, benches);
criterion_main!(sessions);
