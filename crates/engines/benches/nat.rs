//! Packets per second of one worker: 64-byte UDP over IPv4 through source NAT, a million sessions
//! installed; a hot set, and uniform over all of them.

use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lockgate_engines::workload::Workload;

const SESSIONS: u32 = 1_000_000;
/// Payload of the shortest Ethernet frame: 14 + 20 + 8 + 18 bytes, and 4 of checksum on the wire.
const PAYLOAD: usize = 18;

fn nat(c: &mut Criterion) {
    let mut load = Workload::new(SESSIONS, PAYLOAD, 0x5eed).expect("the tables are large enough");
    let mut group = c.benchmark_group("nat44-udp-64");
    group.throughput(Throughput::Elements(1)).warm_up_time(Duration::from_secs(1));
    for (name, sessions) in
        [("hot-64k-flows", 32_768), ("uniform-1m-flows", 500_000), ("uniform-2m-flows", SESSIONS)]
    {
        group.bench_function(name, |b| {
            b.iter_custom(|packets| {
                let run = load.run(packets, sessions);
                run.busy.mul_f64(packets as f64 / run.packets as f64)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, nat);
criterion_main!(benches);
