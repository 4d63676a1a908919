//! The tables against their plain meaning.

use core::net::{Ipv4Addr, Ipv6Addr};

use config::model::{Interface, Route};
use proptest::prelude::*;

use super::*;
use crate::policy::fixture;

const VR: VrId = VrId(0);

fn ip(text: &str) -> IpAddr {
    text.parse().expect("address")
}

fn net(text: &str) -> IpNet {
    text.parse().expect("prefix")
}

fn via(gateway: &str, interface: IfId) -> NextHop {
    NextHop::Gateway { address: ip(gateway), interface }
}

fn route(destination: &str, next_hop: NextHop, metric: u32) -> RouteSpec {
    RouteSpec {
        destination: net(destination),
        next_hop,
        metric,
        weight: 1,
        source: RouteSource::Static,
        line: Line(7),
    }
}

const LAN: IfId = IfId(0);
const WAN: IfId = IfId(1);
const WAN2: IfId = IfId(2);

fn office() -> Config {
    let mut config = fixture::empty();
    fixture::interface(&mut config, "lan", &["10.0.0.1/24", "2001:db8:1::1/64", "fe80::1/64"]);
    fixture::interface(&mut config, "wan", &["203.0.113.2/30", "2001:db8:2::2/64"]);
    fixture::interface(&mut config, "wan2", &["198.51.100.0/31"]);
    for (destination, gateway, interface, metric) in [
        ("0.0.0.0/0", "203.0.113.1", WAN, 10),
        ("0.0.0.0/0", "198.51.100.1", WAN2, 20),
        ("::/0", "2001:db8:2::1", WAN, 10),
        ("192.168.0.0/16", "10.0.0.254", LAN, 10),
    ] {
        config.routes.push(Route {
            destination: net(destination),
            vr: VR,
            next_hop: via(gateway, interface),
            metric,
            weight: 1,
            line: Line(50),
        });
    }
    config.routes.push(Route {
        destination: net("192.168.66.0/24"),
        vr: VR,
        next_hop: NextHop::Blackhole,
        metric: 10,
        weight: 1,
        line: Line(60),
    });
    config
}

fn hop(routes: &Routes, dst: &str) -> Option<Member> {
    match routes.lookup(VR, ip(dst)) {
        Lookup::Via(set) => Some(*set.select(1)),
        Lookup::Local(_) | Lookup::Broadcast(_) | Lookup::Blackhole(_) | Lookup::None => None,
    }
}

#[test]
fn an_office_has_its_own_connected_static_and_blackhole_routes() {
    let routes = Routes::new(&office());
    for (dst, expected) in [
        ("10.0.0.1", Lookup::Local(LAN)),
        ("10.0.0.255", Lookup::Broadcast(LAN)),
        ("203.0.113.3", Lookup::Broadcast(WAN)),
        ("255.255.255.255", Lookup::Broadcast(LAN)),
        ("198.51.100.0", Lookup::Local(WAN2)),
        ("2001:db8:1::1", Lookup::Local(LAN)),
        ("2001:db8:1::", Lookup::Local(LAN)),
        ("fe80::1", Lookup::Local(LAN)),
    ] {
        assert_eq!(routes.lookup(VR, ip(dst)), expected, "{dst}");
    }
    let Lookup::Via(set) = routes.lookup(VR, ip("10.0.0.9")) else { panic!("connected") };
    assert_eq!((set.source, set.select(0).gateway), (RouteSource::Connected, None));
    assert_eq!(set.destination, net("10.0.0.0/24"));
    let Lookup::Via(set) = routes.lookup(VR, ip("8.8.8.8")) else { panic!("default") };
    assert_eq!((set.line, set.metric), (Line(50), 10));
    assert_eq!(set.select(0).gateway, Some(ip("203.0.113.1")));
    let Lookup::Blackhole(set) = routes.lookup(VR, ip("192.168.66.1")) else { panic!("hole") };
    assert_eq!(set.line, Line(60));
    assert_eq!(hop(&routes, "192.168.67.1").map(|m| m.interface), Some(LAN));
    // The other end of a /31 is a host, not a broadcast.
    assert_eq!(hop(&routes, "198.51.100.1").map(|m| m.interface), Some(WAN2));
    assert_eq!(routes.lookup(VR, ip("fe80::2")), routes.lookup(VR, ip("2001:db8:9::1")));
    assert_eq!(routes.lookup(VrId(1), ip("10.0.0.1")), Lookup::None, "no such virtual router");
}

#[test]
fn a_lost_link_falls_back_to_the_next_metric_then_to_a_shorter_prefix() {
    let mut routes = Routes::new(&office());
    assert!(!routes.set_link(WAN, true), "up is what it was");
    assert!(routes.set_link(WAN, false));
    assert_eq!(hop(&routes, "8.8.8.8").map(|m| m.interface), Some(WAN2));
    assert_eq!(hop(&routes, "2001:db8:9::1"), None, "no second default for IPv6");
    assert_eq!(
        hop(&routes, "203.0.113.1").map(|m| m.interface),
        Some(WAN2),
        "the dead connected subnet does not hide the default route"
    );
    assert_eq!(routes.lookup(VR, ip("203.0.113.2")), Lookup::Local(WAN), "own stays own");
    assert!(routes.set_link(WAN2, false));
    assert_eq!(routes.lookup(VR, ip("8.8.8.8")), Lookup::None);
    assert!(routes.set_link(WAN, true));
    assert_eq!(hop(&routes, "8.8.8.8").map(|m| m.interface), Some(WAN));
}

#[test]
fn a_disabled_interface_has_nothing() {
    let mut config = office();
    config.interfaces[1] = Interface { enabled: false, ..config.interfaces[1].clone() };
    let mut routes = Routes::new(&config);
    assert_eq!(hop(&routes, "203.0.113.2").map(|m| m.interface), Some(WAN2));
    assert_eq!(hop(&routes, "8.8.8.8").map(|m| m.interface), Some(WAN2));
    assert!(!routes.set_link(WAN, false) && !routes.set_link(WAN, true));
    assert!(!routes.is_up(WAN));
}

#[test]
fn equal_routes_share_and_lose_members_with_their_link() {
    let mut routes = Routes::new(&office());
    assert!(routes.insert(VR, route("0.0.0.0/0", via("198.51.100.1", WAN2), 10)));
    let Lookup::Via(set) = routes.lookup(VR, ip("8.8.8.8")) else { panic!("default") };
    assert_eq!(set.members.len(), 2);
    let used: BTreeSet<_> = (0..64).map(|n| set.select(mix(n)).interface).collect();
    assert_eq!(used.len(), 2);
    assert!(routes.set_link(WAN, false));
    let Lookup::Via(set) = routes.lookup(VR, ip("8.8.8.8")) else { panic!("default") };
    assert_eq!((set.members.len(), set.configured.len(), set.metric), (1, 2, 10));
    let gone = route("0.0.0.0/0", via("198.51.100.1", WAN2), 10);
    assert!(routes.remove(VR, &gone));
    assert!(!routes.remove(VR, &gone));
    let Lookup::Via(set) = routes.lookup(VR, ip("8.8.8.8")) else { panic!("default") };
    assert_eq!((set.members.len(), set.metric), (1, 20));
}

#[test]
fn the_reverse_path_check_by_mode() {
    let mut routes = Routes::new(&office());
    let failed = Err(DropReason::RpfFailed);
    for (src, ingress, strict, loose) in [
        ("10.0.0.9", LAN, Ok(()), Ok(())),
        ("10.0.0.9", WAN, failed, Ok(())),
        ("8.8.8.8", WAN, Ok(()), Ok(())),
        ("8.8.8.8", LAN, failed, failed),
        ("192.168.66.1", LAN, failed, failed),
        ("10.0.0.1", LAN, failed, failed),
        ("10.0.0.255", LAN, failed, failed),
        ("fe80::77", WAN, Ok(()), Ok(())),
        ("2001:db8:1::9", WAN, failed, Ok(())),
    ] {
        let check = |mode| routes.rpf(VR, ip(src), ingress, mode);
        assert_eq!(check(Rpf::Strict), strict, "{src} strict");
        assert_eq!(check(Rpf::Loose), loose, "{src} loose");
        assert_eq!(check(Rpf::Off), Ok(()), "{src} off");
    }
    // One of several equal routes is enough.
    routes.insert(VR, route("0.0.0.0/0", via("198.51.100.1", WAN2), 10));
    for ingress in [WAN, WAN2] {
        assert_eq!(routes.rpf(VR, ip("8.8.8.8"), ingress, Rpf::Strict), Ok(()));
    }
}

#[test]
fn virtual_routers_know_nothing_of_each_other() {
    let mut config = office();
    let other = config.virtual_routers[0].clone();
    config.virtual_routers.push(other);
    config.interfaces[2].vr = VrId(1);
    config.routes.retain(|r| r.next_hop != via("198.51.100.1", WAN2));
    let routes = Routes::new(&config);
    assert_eq!(routes.lookup(VrId(1), ip("198.51.100.0")), Lookup::Local(WAN2));
    assert!(!matches!(routes.lookup(VR, ip("198.51.100.0")), Lookup::Local(_)));
    assert_eq!(routes.lookup(VrId(1), ip("10.0.0.9")), Lookup::None);
}

#[test]
fn pages_follow_one_another_without_gap_or_repeat() {
    let routes = Routes::new(&office());
    let whole: Vec<_> = routes.page(VR, None, usize::MAX);
    let mut last = None;
    let mut paged = Vec::new();
    loop {
        let page = routes.page(VR, last, 1);
        let Some(row) = page.last() else { break };
        last = Some(row.set.destination);
        paged.extend(page);
    }
    assert_eq!(paged, whole);
    let text: Vec<_> = whole
        .iter()
        .map(|r| format!("{} {} {}", r.set.destination, r.set.source.name(), r.best))
        .collect();
    assert_eq!(
        text,
        [
            "0.0.0.0/0 static true",
            "0.0.0.0/0 static false",
            "10.0.0.0/24 connected true",
            "192.168.0.0/16 static true",
            "192.168.66.0/24 static true",
            "198.51.100.0/31 connected true",
            "203.0.113.0/30 connected true",
            "::/0 static true",
            "2001:db8:1::/64 connected true",
            "2001:db8:2::/64 connected true",
        ]
    );
    let covering: Vec<_> = routes
        .covering(VR, ip("192.168.66.5"))
        .iter()
        .map(|r| r.set.destination.prefix_len())
        .collect();
    assert_eq!(covering, [0, 0, 16, 24]);
}

#[derive(Clone, Debug)]
enum Step {
    Insert(RouteSpec),
    Remove(RouteSpec),
    Link(IfId, bool),
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        (any::<u32>(), 0_u32..33)
            .prop_map(|(n, s)| IpAddr::V4(Ipv4Addr::from_bits(n.checked_shl(s).unwrap_or(0)))),
        (any::<u128>(), 0_u32..129)
            .prop_map(|(n, s)| IpAddr::V6(Ipv6Addr::from_bits(n.checked_shl(s).unwrap_or(0)))),
    ]
}

/// Prefixes cut from few addresses, so that they nest and collide.
fn prefix() -> impl Strategy<Value = IpNet> {
    let base = prop_oneof![
        Just(ip("10.170.85.204")),
        Just(ip("10.170.0.1")),
        Just(ip("2001:db8:aaaa:5555::99")),
        address(),
    ];
    (base, 0_u8..=128).prop_map(|(base, len)| {
        let len = len % (table::width(base) + 1);
        IpNet::new(base, len).expect("length fits").trunc()
    })
}

fn spec() -> impl Strategy<Value = RouteSpec> {
    let hop = prop_oneof![
        1 => Just(NextHop::Blackhole),
        4 => (0_u16..3).prop_map(|i| NextHop::Interface(IfId(i))),
    ];
    (prefix(), hop, 0_u32..3).prop_map(|(destination, next_hop, metric)| RouteSpec {
        destination,
        next_hop,
        metric,
        weight: 1,
        source: RouteSource::Static,
        line: Line(0),
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => spec().prop_map(Step::Insert),
        2 => spec().prop_map(Step::Remove),
        1 => (0_u16..3, any::<bool>()).prop_map(|(i, up)| Step::Link(IfId(i), up)),
    ]
}

/// The plain meaning: the best of all routes that cover `dst` and are usable.
fn naive(all: &[RouteSpec], up: &[bool; 3], dst: IpAddr) -> Option<(IpNet, u32, Vec<u16>)> {
    let usable = |r: &&RouteSpec| {
        r.destination.contains(&dst)
            && match r.next_hop {
                NextHop::Interface(i) => up[usize::from(i.0)],
                NextHop::Gateway { .. } | NextHop::Blackhole => true,
            }
    };
    let rank = |r: &RouteSpec| {
        let hole = r.next_hop == NextHop::Blackhole;
        (core::cmp::Reverse(r.destination.prefix_len()), r.metric, hole)
    };
    let best = all.iter().filter(usable).min_by_key(|r| rank(r))?;
    let mut interfaces: Vec<u16> = all
        .iter()
        .filter(usable)
        .filter(|r| rank(r) == rank(best))
        .filter_map(|r| match r.next_hop {
            NextHop::Interface(i) => Some(i.0),
            NextHop::Gateway { .. } | NextHop::Blackhole => None,
        })
        .collect();
    interfaces.sort_unstable();
    Some((best.destination, best.metric, interfaces))
}

proptest! {
    #[test]
    fn any_history_of_changes_gives_what_a_scan_gives(
        steps in proptest::collection::vec(step(), 0..80),
        random in proptest::collection::vec(address(), 20),
        direct in prop_oneof![Just((24, usize::MAX)), (1_u8..14, 0_usize..12)],
    ) {
        let mut config = fixture::empty();
        for name in ["a", "b", "c"] {
            fixture::interface(&mut config, name, &[]);
        }
        let mut routes = Routes::new(&config);
        routes.fibs = vec![Fib::with_direct(direct.0, direct.1)];
        let (mut all, mut up): (Vec<RouteSpec>, _) = (Vec::new(), [true; 3]);
        for step in steps {
            match step {
                Step::Insert(spec) => {
                    let new = !all.contains(&spec);
                    prop_assert_eq!(routes.insert(VR, spec), new);
                    if new { all.push(spec); }
                }
                Step::Remove(spec) => {
                    let held = all.iter().position(|s| *s == spec);
                    prop_assert_eq!(routes.remove(VR, &spec), held.is_some());
                    held.map(|at| all.remove(at));
                }
                Step::Link(interface, is_up) => {
                    up[usize::from(interface.0)] = is_up;
                    routes.set_link(interface, is_up);
                }
            }
        }
        let edges: Vec<_> = all.iter()
            .flat_map(|r| [r.destination.network(), r.destination.broadcast()]).collect();
        for dst in edges.into_iter().chain(random) {
            let got = match routes.lookup(VR, dst) {
                Lookup::Via(set) | Lookup::Blackhole(set) => Some((
                    set.destination,
                    set.metric,
                    set.members.iter().map(|m| m.interface.0).collect(),
                )),
                Lookup::Local(_) | Lookup::Broadcast(_) => None,
                Lookup::None => None,
            };
            prop_assert_eq!(got, naive(&all, &up, dst), "{}", dst);
        }
        for spec in all.clone() {
            routes.remove(VR, &spec);
        }
        prop_assert_eq!(routes.len(VR), (0, 0));
    }
}
