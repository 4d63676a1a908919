//! The tables against their plain meaning.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use config::model::{
    Action, AddressSet, IpRange, Line, LocalRule, Policy, Schedule, ScheduleKind, Service,
    ServiceSet, Who, ZoneId,
};
use proptest::prelude::*;
use wire::{Time, proto};

use super::{rules::Rule, *};

/// Few distinct addresses, so that random rules and keys meet.
fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        (0_u32..40).prop_map(|n| IpAddr::V4(Ipv4Addr::from_bits(n * 0x0636_1234))),
        (0_u32..40).prop_map(|n| IpAddr::V4(Ipv4Addr::from_bits(u32::MAX - n))),
        (0_u128..40).prop_map(|n| IpAddr::V6(Ipv6Addr::from_bits(n << 120 | n))),
        Just(IpAddr::V6(Ipv6Addr::from_bits(u128::MAX))),
    ]
}

fn address_set() -> impl Strategy<Value = AddressSet> {
    let range = (address(), address()).prop_filter_map("one version", |(a, b)| {
        (a.is_ipv4() == b.is_ipv4()).then(|| IpRange { first: a.min(b), last: a.max(b) })
    });
    (
        proptest::collection::vec(range, 0..4),
        proptest::bool::weighted(0.3),
        proptest::bool::weighted(0.2),
    )
        .prop_map(|(ranges, any, negate)| {
            let mut merged: Vec<IpRange> = Vec::new();
            let mut sorted = ranges;
            sorted.sort_unstable();
            for range in sorted {
                match merged.last_mut() {
                    Some(last)
                        if last.first.is_ipv4() == range.first.is_ipv4()
                            && range.first <= last.last =>
                    {
                        last.last = last.last.max(range.last);
                    }
                    Some(_) | None => merged.push(range),
                }
            }
            AddressSet { names: Vec::new(), ranges: merged, any, negate }
        })
}

fn port() -> impl Strategy<Value = u16> {
    prop_oneof![0_u16..8, Just(443), Just(u16::MAX)]
}

fn proto() -> impl Strategy<Value = u8> {
    prop_oneof![Just(proto::TCP), Just(proto::UDP), Just(proto::ICMP), Just(proto::GRE)]
}

fn service_set() -> impl Strategy<Value = ServiceSet> {
    let ports = prop_oneof![
        2 => Just(0..=u16::MAX),
        1 => (port(), port()).prop_map(|(a, b)| a.min(b)..=a.max(b)),
    ];
    let service = (proto(), ports.clone(), ports)
        .prop_map(|(proto, src_ports, dst_ports)| Service { proto, src_ports, dst_ports });
    (proptest::collection::vec(service, 0..4), proptest::bool::weighted(0.3))
        .prop_map(|(services, any)| ServiceSet { names: Vec::new(), services, any })
}

fn zones() -> impl Strategy<Value = Vec<ZoneId>> {
    proptest::collection::vec((0_u16..4).prop_map(ZoneId), 0..3)
}

const USERS: [&str; 3] = ["alice", "bob", "carol"];
const GROUPS: [&str; 4] = ["admins", "guests", "staff", "nobody-is-in-it"];

fn names(of: &'static [&'static str]) -> impl Strategy<Value = Vec<String>> {
    proptest::sample::subsequence(of, 0..=2)
        .prop_map(|names| names.into_iter().map(str::to_owned).collect())
}

fn who() -> impl Strategy<Value = Who> {
    prop_oneof![
        1 => Just(Who::default()),
        1 => (proptest::bool::weighted(0.1), names(&USERS), names(&GROUPS))
            .prop_map(|(known, users, groups)| Who { known, users, groups }),
    ]
}

fn rule() -> impl Strategy<Value = Policy> {
    let enabled = proptest::bool::weighted(0.9);
    (zones(), zones(), address_set(), address_set(), service_set(), who(), enabled).prop_map(
        |(from, to, source, destination, services, who, enabled)| Policy {
            enabled,
            from,
            to,
            source,
            who,
            destination,
            services,
            ..fixture::policy(1)
        },
    )
}

/// Somebody, as the tables know them and as rules are written.
type Somebody = Option<(&'static str, Vec<&'static str>)>;

fn somebody() -> impl Strategy<Value = Somebody> {
    let groups = proptest::sample::subsequence(&GROUPS[..3], 0..=3);
    proptest::option::weighted(0.8, (proptest::sample::select(&USERS[..]), groups))
}

fn key() -> impl Strategy<Value = Key> {
    ((0_u16..5), (0_u16..5), address(), address(), proto(), port(), port()).prop_map(
        |(from, to, src, dst, proto, src_port, dst_port)| Key {
            from: ZoneId(from),
            to: ZoneId(to),
            src,
            dst,
            proto,
            src_port,
            dst_port,
            who: Sender::NOBODY,
        },
    )
}

fn spec(p: &Policy) -> RuleSpec<'_> {
    RuleSpec {
        from: &p.from,
        to: &p.to,
        source: &p.source,
        who: Some(&p.who),
        destination: &p.destination,
        services: &p.services,
    }
}

fn naive(policies: &[Policy], key: &Key, somebody: &Somebody) -> Option<usize> {
    let somebody = somebody.as_ref().map(|(user, groups)| (*user, groups.as_slice()));
    policies.iter().position(|p| p.enabled && Rule::new(&spec(p)).matches(key, somebody))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn the_tables_give_what_a_scan_gives(
        rules in proptest::collection::vec(rule(), 0..140),
        keys in proptest::collection::vec((key(), 0_usize..8), 60),
        people in proptest::collection::vec(somebody(), 8),
    ) {
        let mut config = fixture::empty();
        config.policies = rules;
        for (id, policy) in config.policies.iter_mut().enumerate() {
            policy.id = id as u32 + 1;
        }
        let mut made = Policies::new(&config);
        let enrol = |made: &mut Policies, somebody: &Somebody| match somebody {
            Some((user, groups)) => made.enrol(user, groups.iter().copied()),
            None => Sender::NOBODY,
        };
        // Numbers are given back and used again.
        let mut senders: Vec<_> = people.iter().map(|somebody| enrol(&mut made, somebody)).collect();
        for (n, sender) in senders.iter_mut().enumerate().filter(|(n, _)| n % 2 == 0) {
            made.discharge(*sender);
            *sender = enrol(&mut made, &people[n]);
        }
        for (key, n) in &keys {
            let key = &Key { who: senders[*n], ..*key };
            let expected = naive(&config.policies, key, &people[*n]);
            prop_assert_eq!(made.forward(key), expected, "{:?} {:?}", key, people[*n]);
            let told = made.explain(Table::Forward, key, usize::MAX);
            prop_assert_eq!(told.iter().find(|r| r.matched).map(|r| r.index), expected);
            prop_assert_eq!(told.len(), expected.map_or(config.policies.len(), |i| i + 1));
        }
    }
}

/// Above 4096 rules there is more than one summary word.
#[test]
fn many_rules_with_the_match_at_any_place() {
    const N: u32 = 9000;
    let mut config = fixture::empty();
    for n in 0..N {
        let host = Ipv4Addr::from_bits(0x0a00_0000 + n).to_string();
        config.policies.push(Policy {
            source: fixture::addresses(&[&host]),
            services: fixture::service(proto::TCP, (n % 7) as u16..=(n % 7) as u16),
            ..fixture::policy(n + 1)
        });
    }
    config.policies.push(fixture::policy(N + 1));
    let made = Policies::new(&config);
    for n in (0..N).chain([N + 5]) {
        let mut key = Key {
            from: ZoneId(0),
            to: ZoneId(1),
            src: IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + n)),
            dst: IpAddr::V4(Ipv4Addr::LOCALHOST),
            proto: proto::TCP,
            src_port: 9,
            dst_port: (n % 7) as u16,
            who: Sender::NOBODY,
        };
        assert_eq!(made.forward(&key), Some(n.min(N) as usize));
        key.dst_port = 8;
        assert_eq!(made.forward(&key), Some(N as usize));
    }
    // Every rule cares about its source alone, so memory stays near the number of rules.
    assert!(made.memory() < 1000 * N as usize, "{}", made.memory());
}

/// Above 64 zones, pairs have no sets of their own.
#[test]
fn many_zones_are_two_dimensions_with_the_same_answer() {
    let zone = |n: u16| if n.is_multiple_of(9) { Vec::new() } else { vec![ZoneId(n)] };
    let mut config = fixture::empty();
    for n in 0..140 {
        config.policies.push(Policy {
            from: zone(n % 70),
            to: zone((n * 31) % 70),
            services: fixture::service(proto::TCP, 440..=443 + n % 3),
            ..fixture::policy(u32::from(n) + 1)
        });
    }
    let made = Policies::new(&config);
    for n in 0..72 * 72 {
        let key = Key { from: ZoneId(n % 72), to: ZoneId(n / 72), ..tcp_key() };
        assert_eq!(made.forward(&key), naive(&config.policies, &key, &None), "{key:?}");
    }
}

fn tcp_key() -> Key {
    Key {
        from: ZoneId(0),
        to: ZoneId(1),
        src: "10.0.0.1".parse().expect("address"),
        dst: "192.0.2.1".parse().expect("address"),
        proto: proto::TCP,
        src_port: 40_000,
        dst_port: 443,
        who: Sender::NOBODY,
    }
}

/// Rules for one group in the last of many words, and numbers that are used again for somebody else.
#[test]
fn a_sender_is_a_number_and_the_number_is_used_again() {
    const N: u32 = 5000;
    let mut config = fixture::empty();
    for n in 0..N {
        let who = Who { groups: vec![format!("team-{n}")], ..Who::default() };
        config.policies.push(Policy { who, ..fixture::policy(n + 1) });
    }
    let mut made = Policies::new(&config);
    assert_eq!(made.forward(&tcp_key()), None, "nobody is known");
    let mut before = Sender::NOBODY;
    for n in (0..N).step_by(997) {
        let (last, one) = (format!("team-{}", N - 1), format!("team-{n}"));
        let who = made.enrol("alice", [last.as_str(), one.as_str(), "of-no-rule"]);
        assert_eq!(made.forward(&Key { who, ..tcp_key() }), Some(n as usize));
        let alone = made.enrol("bob", [last.as_str()]);
        assert_eq!(made.forward(&Key { who: alone, ..tcp_key() }), Some(N as usize - 1));
        assert!(before == Sender::NOBODY || before == who, "{before:?} was free for {who:?}");
        before = who;
        made.discharge(who);
        assert_eq!(made.enrol("carol", ["of-no-rule"]), Sender::NOBODY);
    }
    let memory = made.memory();
    for _ in 0..1000 {
        let who = made.enrol("alice", ["team-1"]);
        made.discharge(who);
    }
    assert_eq!(made.memory(), memory, "coming and going leaves nothing");
}

#[test]
fn ports_of_different_services_are_not_mixed() {
    let mut config = fixture::empty();
    let service = |src_ports, dst_ports| Service { proto: proto::TCP, src_ports, dst_ports };
    config.policies.push(Policy {
        services: ServiceSet {
            services: vec![service(1..=1023, 0..=u16::MAX), service(0..=u16::MAX, 80..=80)],
            ..ServiceSet::default()
        },
        ..fixture::policy(1)
    });
    let made = Policies::new(&config);
    assert_eq!(made.forward(&tcp_key()), None);
    assert_eq!(made.forward(&Key { dst_port: 80, ..tcp_key() }), Some(0));
    assert_eq!(made.forward(&Key { src_port: 500, ..tcp_key() }), Some(0));
}

#[test]
fn an_explanation_names_every_condition_that_failed() {
    let mut config = fixture::empty();
    config.policies = vec![
        Policy { enabled: false, ..fixture::policy(1) },
        Policy {
            from: vec![ZoneId(7)],
            destination: fixture::addresses(&["198.51.100.0-198.51.100.255"]),
            services: fixture::service(proto::UDP, 53..=53),
            ..fixture::policy(2)
        },
        fixture::policy(3),
        fixture::policy(4),
    ];
    let made = Policies::new(&config);
    let told = made.explain(Table::Forward, &tcp_key(), 10);
    assert_eq!(told.len(), 3, "rules after the one that decides say nothing");
    assert_eq!(told[0].failed, [Condition::Enabled]);
    assert_eq!(told[1].failed, [Condition::From, Condition::Destination, Condition::Service]);
    assert!(told[2].matched && told[2].failed.is_empty());
    assert_eq!(made.explain(Table::Forward, &tcp_key(), 2).len(), 2);
}

#[test]
fn schedules_switch_rules_by_the_wall_clock() {
    let mut config = fixture::empty();
    config.policies = vec![Policy {
        schedule: Some(Arc::new(Schedule {
            name: "window".into(),
            line: Line(9),
            kind: ScheduleKind::Once { from: 100, to: 200 },
            utc_offset_minutes: 0,
        })),
        ..fixture::policy(1)
    }];
    let mut made = Policies::new(&config);
    assert_eq!(made.forward(&tcp_key()), None, "the time was not told");
    assert_eq!(made.next_schedule_change(), None);
    assert!(!made.set_wall_clock(99));
    assert_eq!(made.next_schedule_change(), Some(100));
    let told = made.explain(Table::Forward, &tcp_key(), 10);
    assert_eq!(told[0].failed, [Condition::Schedule]);
    assert!(made.set_wall_clock(100));
    assert!(!made.set_wall_clock(150));
    assert_eq!(made.forward(&tcp_key()), Some(0));
    let mut reloaded = Policies::new(&config);
    reloaded.carry_over(&made);
    assert_eq!(reloaded.forward(&tcp_key()), Some(0), "the clock is carried over");
    assert!(made.set_wall_clock(200));
    assert_eq!(made.forward(&tcp_key()), None);
    assert_eq!(made.next_schedule_change(), None);
}

#[test]
fn local_tables_hold_zones_against_their_own_side() {
    let mut config = fixture::empty();
    let rule = LocalRule {
        name: "ssh".into(),
        line: Line(3),
        enabled: true,
        zones: vec![ZoneId(0)],
        source: fixture::any(),
        destination: fixture::any(),
        services: fixture::service(proto::TCP, 443..=443),
        action: Action::Allow,
        schedule: None,
    };
    config.local_in = vec![rule.clone()];
    config.local_out = vec![rule];
    let made = Policies::new(&config);
    assert_eq!(made.local_in(&tcp_key()), Some(0));
    assert_eq!(made.local_out(&tcp_key()), None);
    let turned = Key { from: ZoneId(1), to: ZoneId(0), ..tcp_key() };
    assert_eq!(made.local_in(&turned), None);
    assert_eq!(made.local_out(&turned), Some(0));
}

#[test]
fn counters_follow_their_policy_over_a_reload() {
    let mut config = fixture::empty();
    config.policies = vec![fixture::policy(10), fixture::policy(20)];
    let mut made = Policies::new(&config);
    let rule = made.index_of(20);
    assert_eq!(rule, Some(1));
    made.hit(Table::Forward, rule, Time::from_secs(5));
    made.add_traffic(Table::Forward, rule, 2, 1500);
    made.session_opened(Table::Forward, rule);
    made.hit(Table::LocalIn, None, Time::from_secs(6));

    config.policies = vec![fixture::policy(20), fixture::policy(30)];
    let mut reloaded = Policies::new(&config);
    reloaded.carry_over(&made);
    let last_hit = Time::from_secs(5);
    let expected = Counters { hits: 1, packets: 2, bytes: 1500, last_hit, sessions: 1 };
    assert_eq!(reloaded.counters(Table::Forward, Some(0)), expected);
    assert_eq!(reloaded.counters(Table::Forward, Some(1)), Counters::default());
    assert_eq!(reloaded.counters(Table::LocalIn, None).hits, 1);
    assert_eq!(reloaded.index_of(10), None);

    reloaded.session_closed(Table::Forward, Some(0));
    reloaded.session_closed(Table::Forward, Some(0));
    assert_eq!(reloaded.counters(Table::Forward, Some(0)).sessions, 0);
    reloaded.clear_counters();
    assert_eq!(reloaded.counters(Table::Forward, Some(0)), Counters::default());
}
