//! What the gateway spends on a client, its end alone: a login is TLS 1.3, the form and its answer, the
//! request for a tunnel; a packet is one of 1300 bytes by CSTP, in either direction. Passwords are not
//! hashed here. Both ends run in one thread with jobs inline; time is taken around the endpoint's calls.

#[path = "../tests/pair/mod.rs"]
mod pair;

use std::{io::Write as _, time::Duration};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lockgate_anyconnect::cstp::Kind;
use pair::Pair;

fn logins(c: &mut Criterion) {
    let mut group = c.benchmark_group("gateway");
    group.throughput(Throughput::Elements(1));
    group.bench_function("login", |b| {
        b.iter_custom(|count| {
            let mut pair = Pair::with(|settings, _| settings.limits.clients_per_user = 1_000_000);
            let mut spent = Duration::ZERO;
            for _ in 0..count {
                pair.spent = Duration::ZERO;
                let (conn, ..) = pair.established("alice");
                spent += pair.spent;
                pair.send(conn, Kind::Disconnect, b"\xb0bye");
                pair.clients.clear();
                pair.events.clear();
                pair.wanted.clear();
            }
            spent
        });
    });
    let packet = [0x45; 1300];
    group.throughput(Throughput::Bytes(1300));
    group.bench_function("packet in by CSTP", |b| {
        let mut pair = Pair::new();
        let (conn, ..) = pair.established("alice");
        let frame = [&Kind::Data.header(packet.len())[..], &packet].concat();
        b.iter_custom(|count| {
            pair.spent = Duration::ZERO;
            for _ in 0..count {
                pair.client(conn).tls.writer().write_all(&frame).expect("room");
                pair.run();
                pair.packets.clear();
            }
            pair.spent
        });
    });
    group.bench_function("packet out by CSTP", |b| {
        let mut pair = Pair::new();
        let (conn, _, client) = pair.established("alice");
        b.iter_custom(|count| {
            pair.spent = Duration::ZERO;
            for _ in 0..count {
                let begin = std::time::Instant::now();
                pair.packet(client, &packet).expect("room");
                pair.spent += begin.elapsed();
                pair.run();
                pair.client(conn).text.clear();
            }
            pair.spent
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(Duration::from_secs(4));
    targets = logins
}
criterion_main!(benches);
