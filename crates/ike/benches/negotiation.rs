//! IKE_SA_INIT and IKE_AUTH with a preshared key, X25519 and AES-256-GCM up to the first child: both
//! ends in one thread, jobs inline, no network between.

#[path = "../tests/pair/mod.rs"]
mod pair;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lockgate_ike::{Command, Endpoint, Event, Path, Settings, Task};
use pair::{A, B, Chaos};
use wire::Time;

/// Carries datagrams and jobs until there are none; children that came up at the first end.
fn exchange(ends: &mut [Endpoint; 2], now: Time) -> usize {
    let mut up = 0;
    let mut quiet = false;
    while !quiet {
        quiet = true;
        for end in [A, B] {
            while let Some(job) = ends[end].poll_job() {
                ends[end].handle_done(now, job.run());
                quiet = false;
            }
            while let Some(event) = ends[end].poll_event() {
                let is_up = matches!(event, Event::ChildUp { .. } | Event::ChildRekeyed { .. });
                up += usize::from(is_up && end == A);
            }
            while let Some(sent) = ends[end].poll_transmit() {
                let path = Path { local: sent.path.remote, remote: sent.path.local };
                ends[1 - end].handle_datagram(now, path, &sent.bytes).expect("taken");
                quiet = false;
            }
        }
    }
    up
}

fn ends() -> [Endpoint; 2] {
    [A, B].map(|end| {
        let mut endpoint = Endpoint::new(Settings::default(), Box::new(Chaos(end as u64)));
        endpoint.apply(Time::ZERO, vec![pair::connection(end)]);
        endpoint
    })
}

fn negotiation(criterion: &mut Criterion) {
    let path = Path {
        local: format!("{}:500", pair::ADDRESSES[A]).parse().expect("an address"),
        remote: format!("{}:500", pair::ADDRESSES[B]).parse().expect("an address"),
    };
    let mut group = criterion.benchmark_group("both ends");
    group.throughput(Throughput::Elements(1));
    let mut ends = ends();
    let mut now = Time::from_secs(1);
    let mut connect = |ends: &mut [Endpoint; 2]| {
        now = now + std::time::Duration::from_millis(1);
        let command = Command::Connect { connection: "peer".into(), path };
        let ike = ends[A].handle_command(now, command).expect("configured").expect("one");
        assert_eq!(exchange(ends, now), 1);
        (now, ike)
    };
    group.bench_function("IKE SA with child, then deleted", |bench| {
        bench.iter(|| {
            let (now, ike) = connect(&mut ends);
            let command = Command::Ike { ike, task: Task::DeleteIke };
            ends[A].handle_command(now, command).expect("there");
            black_box(exchange(&mut ends, now));
        });
    });
    let (now, ike) = connect(&mut ends);
    let mut ike = ike;
    group.bench_function("IKE SA rekeyed", |bench| {
        bench.iter(|| {
            let command = Command::Ike { ike, task: Task::RekeyIke };
            ends[A].handle_command(now, command).expect("there");
            exchange(&mut ends, now);
            ike = ends[A].views().next().expect("the new one").ike;
        });
    });
    group.bench_function("child rekeyed", |bench| {
        bench.iter(|| {
            let view = ends[A].views().next().expect("up");
            let command = Command::RekeyChild(view.children[0]);
            ends[A].handle_command(now, command).expect("there");
            assert_eq!(exchange(&mut ends, now), 1);
        });
    });
    group.finish();
}

criterion_group!(benches, negotiation);
criterion_main!(benches);
