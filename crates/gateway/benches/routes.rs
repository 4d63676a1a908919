//! Route look-up in a million IPv4 and two hundred thousand IPv6 routes, and making the tables.
//!
//! Prefix lengths are mixed as in the Internet's table (six in ten IPv4 routes are /24, half of the
//! IPv6 routes /48); destinations are uniform over the routed space, which no cache likes, and
//! the hot set is 64 of them.

#![allow(clippy::print_stderr)]

use core::{hint::black_box, net::IpAddr};
use std::{
    net::{Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use config::model::{IfId, Line, NextHop, VrId};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ipnet::IpNet;
use lockgate_gateway::{
    rng::Rng,
    route::{Lookup, RouteSource, RouteSpec, Routes},
};

const VR: VrId = VrId(0);

fn v4(rng: &mut Rng) -> IpAddr {
    Ipv4Addr::from_bits(rng.below(0xdf00_0000)).into()
}

fn v6(rng: &mut Rng) -> IpAddr {
    let high = 0x2000 << 48 | rng.next_u64() >> 3 & 0x003f_ffff_ffff_ffff;
    Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(rng.next_u64())).into()
}

fn length(rng: &mut Rng, version: u8) -> u8 {
    let at = rng.below(100);
    match version {
        4 => match at {
            0..60 => 24,
            60..72 => 23,
            72..84 => 22,
            84..88 => 21,
            88..92 => 20,
            92..95 => 19,
            95..97 => 18,
            97 => 17,
            _ => 16,
        },
        _ => match at {
            0..48 => 48,
            48..60 => 44,
            60..70 => 40,
            70..80 => 36,
            80..96 => 32,
            _ => 29,
        },
    }
}

fn routes(rng: &mut Rng, version: u8, count: usize, address: fn(&mut Rng) -> IpAddr) -> Routes {
    let mut routes = Routes::with_interfaces(8);
    let held = |routes: &Routes| routes.len(VR).0 + routes.len(VR).1;
    while held(&routes) < count {
        let destination = IpNet::new(address(rng), length(rng, version)).expect("length fits");
        routes.insert(
            VR,
            RouteSpec {
                destination,
                next_hop: NextHop::Interface(IfId(rng.below(8) as u16)),
                metric: 20,
                weight: 1,
                source: RouteSource::Static,
                line: Line(0),
            },
        );
    }
    routes
}

fn bench(c: &mut Criterion) {
    for (version, count, address) in
        [(4, 1_000_000, v4 as fn(&mut Rng) -> IpAddr), (6, 200_000, v6)]
    {
        let mut rng = Rng::new(u64::from(version));
        let mut group = c.benchmark_group("routes");
        group.sample_size(10);
        group.bench_function(format!("build {count} of IPv{version}"), |b| {
            b.iter(|| routes(&mut Rng::new(1), version, count, address));
        });
        let made = routes(&mut Rng::new(1), version, count, address);
        eprintln!("{count} IPv{version} routes: {} MiB", made.memory() >> 20);
        group.measurement_time(Duration::from_secs(4)).sample_size(30);
        for (name, distinct) in [("uniform", 1 << 20), ("hot", 64)] {
            let destinations: Vec<_> = (0..distinct).map(|_| address(&mut rng)).collect();
            let mut at = 0;
            group.throughput(Throughput::Elements(4096));
            group.bench_function(format!("4096 {name} in {count} of IPv{version}"), |b| {
                b.iter(|| {
                    for _ in 0..4096 {
                        at = (at + 1) % destinations.len();
                        match made.lookup(VR, black_box(destinations[at])) {
                            Lookup::Via(set) => {
                                black_box(set.select(at as u64).interface);
                            }
                            other => {
                                black_box(other);
                            }
                        }
                    }
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
