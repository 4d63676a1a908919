//! Policy look-up at 10, 1 000 and 10 000 rules, and making the tables.
//!
//! Rules look like an office's: zones on both sides, sources and destinations from hosts to /16s,
//! TCP and UDP services, some `any`, a last rule that takes what is left. Keys are random members
//! of random rules, so that the match lies anywhere in the table, and one in eight falls through.

#![allow(clippy::print_stderr)]

use core::{hint::black_box, net::IpAddr, net::Ipv4Addr};
use std::time::Duration;

use config::model::{AddressSet, IpRange, Service, ServiceSet, ZoneId};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use lockgate_gateway::{
    policy::{Classifier, Key, RuleSpec, Sender},
    rng::Rng,
};

struct Rule {
    from: Vec<ZoneId>,
    to: Vec<ZoneId>,
    source: AddressSet,
    destination: AddressSet,
    services: ServiceSet,
}

fn addresses(rng: &mut Rng, net: u32) -> AddressSet {
    let count = match rng.below(8) {
        0 | 1 => 0,
        2..6 => 1,
        _ => 1 + rng.below(8),
    };
    let mut ranges: Vec<IpRange> = (0..count)
        .map(|_| {
            let host = net << 24 | rng.next_u64() as u32 & 0x00ff_ffff;
            let bits = [0, 0, 2, 8, 8, 16][rng.below(6) as usize];
            let first = host >> bits << bits;
            IpRange {
                first: IpAddr::V4(Ipv4Addr::from_bits(first)),
                last: IpAddr::V4(Ipv4Addr::from_bits(first | ((1 << bits) - 1))),
            }
        })
        .collect();
    ranges.sort_unstable();
    AddressSet { any: ranges.is_empty(), ranges, ..AddressSet::default() }
}

fn services(rng: &mut Rng) -> ServiceSet {
    let count = rng.below(4);
    let services: Vec<_> = (0..count)
        .map(|_| {
            let port = 1 + rng.below(10_000) as u16;
            let width = if rng.below(4) == 0 { 100 } else { 0 };
            Service {
                proto: if rng.below(3) == 0 { 17 } else { 6 },
                src_ports: 0..=u16::MAX,
                dst_ports: port..=port + width,
            }
        })
        .collect();
    ServiceSet { any: services.is_empty(), services, ..ServiceSet::default() }
}

fn rules(rng: &mut Rng, count: usize) -> Vec<Rule> {
    let mut rules: Vec<Rule> = (1..count)
        .map(|_| Rule {
            from: vec![ZoneId(rng.below(10) as u16)],
            to: vec![ZoneId(rng.below(10) as u16)],
            source: addresses(rng, 10),
            destination: addresses(rng, 100),
            services: services(rng),
        })
        .collect();
    let any = || AddressSet { any: true, ..AddressSet::default() };
    rules.push(Rule {
        from: Vec::new(),
        to: Vec::new(),
        source: any(),
        destination: any(),
        services: ServiceSet { any: true, ..ServiceSet::default() },
    });
    rules
}

fn spec(rule: &Rule) -> RuleSpec<'_> {
    RuleSpec {
        from: &rule.from,
        to: &rule.to,
        source: &rule.source,
        who: None,
        destination: &rule.destination,
        services: &rule.services,
    }
}

fn keys(rng: &mut Rng, rules: &[Rule]) -> Vec<Key> {
    (0..4096)
        .map(|n| {
            let rule = &rules[rng.below(rules.len() as u32) as usize];
            let mut within = |set: &AddressSet, net: u32| match set.ranges.first() {
                Some(range) => range.first,
                None => Ipv4Addr::from_bits(net << 24 | rng.next_u64() as u32 >> 8).into(),
            };
            let (src, dst) = (within(&rule.source, 10), within(&rule.destination, 100));
            let service = rule.services.services.first();
            Key {
                from: rule.from.first().copied().unwrap_or_default(),
                to: rule.to.first().copied().unwrap_or_default(),
                src,
                dst: if n % 8 == 0 { Ipv4Addr::LOCALHOST.into() } else { dst },
                proto: service.map_or(6, |s| s.proto),
                src_port: 1024 + rng.below(60_000) as u16,
                dst_port: service.map_or(443, |s| *s.dst_ports.start()),
                who: Sender::NOBODY,
            }
        })
        .collect()
}

fn policies(c: &mut Criterion) {
    for count in [10, 1_000, 10_000] {
        let mut rng = Rng::new(count as u64);
        let rules = rules(&mut rng, count);
        let table = Classifier::build(rules.iter().map(spec));
        let keys = keys(&mut rng, &rules);
        let through = keys.iter().filter(|k| table.lookup(k) == Some(count - 1)).count();
        eprintln!(
            "{count} rules: {} KiB, {through} of {} keys reach the last rule",
            table.memory() / 1024,
            keys.len()
        );
        let mut group = c.benchmark_group("policies");
        group.measurement_time(Duration::from_secs(3)).sample_size(50);
        group.throughput(Throughput::Elements(keys.len() as u64));
        group.bench_function(format!("lookup of {} keys in {count}", keys.len()), |b| {
            b.iter(|| {
                for key in &keys {
                    black_box(table.lookup(black_box(key)));
                }
            });
        });
        group.sample_size(10);
        group.bench_function(format!("build {count}"), |b| {
            b.iter_batched(
                || (),
                |()| Classifier::build(rules.iter().map(spec)),
                BatchSize::PerIteration,
            );
        });
        group.finish();
    }
}

criterion_group!(benches, policies);
criterion_main!(benches);
