//! The books against the session table, and the VIPs against their plain meaning.

use core::net::{Ipv4Addr, Ipv6Addr};
use std::collections::{BTreeMap, BTreeSet};

use config::model::{Line, Policy, PortForward, Vip, ZoneId};
use proptest::prelude::*;
use wire::proto;

use super::*;
use crate::policy::fixture::{self, range};
use crate::rng::Rng;

fn ip(text: &str) -> IpAddr {
    text.parse().expect("address")
}

fn tuple(proto: u8, src: &str, src_port: u16, dst: &str, dst_port: u16) -> Tuple {
    Tuple { src: ip(src), dst: ip(dst), src_port, dst_port, proto }
}

fn pool(name: &str, kind: PoolKind, addresses: &str, ports: (u16, u16)) -> config::model::Pool {
    config::model::Pool {
        name: name.into(),
        line: Line(1),
        kind,
        addresses: range(addresses),
        ports: ports.0..=ports.1,
        proxy_arp: true,
    }
}

fn vip(name: &str, external: &str, mapped: &str) -> Vip {
    Vip {
        name: name.into(),
        line: Line(1),
        interface: None,
        external: range(external),
        mapped: range(mapped),
        forward: None,
    }
}

fn forward(proto: u8, external: (u16, u16), mapped: u16) -> Option<PortForward> {
    Some(PortForward { proto, external: external.0..=external.1, mapped })
}

/// A gateway's session table, as far as NAT is concerned.
struct Table {
    nat: Nat,
    rng: Rng,
    /// Reply tuple to original tuple and what it holds.
    live: BTreeMap<Tuple, (Tuple, Grant)>,
}

impl Table {
    fn new(config: &Config) -> Self {
        Self { nat: Nat::new(config), rng: Rng::new(42), live: BTreeMap::new() }
    }

    /// Opens a session and checks that nobody has its reply.
    fn open(
        &mut self,
        tuple: Tuple,
        nat: &SourceNat,
        egress: &[IpNet],
    ) -> Result<Grant, DropReason> {
        let request = SnatRequest { tuple, nat, egress: IfId(0), egress_addresses: egress };
        let live = &self.live;
        let grant = self
            .nat
            .snat(&request, &mut self.rng, |reply| live.contains_key(reply))?
            .expect("translated");
        let reply = reply(tuple, &grant);
        assert!(self.live.insert(reply, (tuple, grant)).is_none(), "{reply} is given twice");
        Ok(grant)
    }

    fn pools(&mut self, tuple: Tuple, pools: &[u16]) -> Result<Grant, DropReason> {
        let pools = pools.iter().map(|&id| PoolId(id)).collect();
        self.open(tuple, &SourceNat::Pools(pools), &[])
    }

    fn close(&mut self, reply: Tuple) {
        let (_, grant) = self.live.remove(&reply).expect("live");
        self.nat.release(grant.binding);
    }

    fn close_all(&mut self) {
        while let Some((_, (_, grant))) = self.live.pop_first() {
            self.nat.release(grant.binding);
        }
    }

    fn stats(&self, name: &str) -> Option<PoolStats<'_>> {
        self.nat.pools().find(|pool| pool.name == name)
    }
}

fn reply(tuple: Tuple, grant: &Grant) -> Tuple {
    Tuple { src: grant.address, src_port: grant.port, ..tuple }.reversed()
}

#[test]
fn a_binding_is_small() {
    assert!(size_of::<Binding>() <= 8);
}

#[test]
fn an_overload_pool_is_exhausted_exactly_when_it_is() {
    let mut config = fixture::empty();
    config.pools = vec![pool("p", PoolKind::Overload, "192.0.2.10-192.0.2.11", (2000, 2007))];
    let mut table = Table::new(&config);
    let to = |n: u16, peer: &str| tuple(proto::TCP, "10.0.0.1", 40_000 + n, peer, 443);
    for n in 0..16 {
        let grant = table.pools(to(n, "198.51.100.1"), &[0]).expect("16 ports");
        assert!((2000..=2007).contains(&grant.port));
        assert!(config.pools[0].addresses.first <= grant.address);
    }
    let exhausted = Err(DropReason::NatPoolExhausted);
    assert_eq!(table.pools(to(16, "198.51.100.1"), &[0]), exhausted);
    // The same ports again, to another peer; and in another protocol's own space.
    for n in 0..16 {
        table.pools(to(n, "198.51.100.2"), &[0]).expect("shared");
        let udp = Tuple { proto: proto::UDP, ..to(n, "198.51.100.1") };
        table.pools(udp, &[0]).expect("UDP has ports of its own");
    }
    assert_eq!(table.pools(to(16, "198.51.100.2"), &[0]), exhausted);
    let stats = table.stats("p").expect("pool");
    assert_eq!((stats.ports_total, stats.sessions, stats.exhausted), (16, 48, 2));
    assert_eq!((stats.ports_used.tcp, stats.ports_used.udp), (16, 16));
    // One goes, one comes.
    let gone = *table.live.keys().find(|r| r.src == ip("198.51.100.1")).expect("live");
    table.close(gone);
    table.pools(to(16, "198.51.100.1"), &[0]).expect("the port that was given back");
    table.close_all();
    let stats = table.stats("p").expect("pool");
    assert_eq!((stats.sessions, stats.ports_used), (0, PortsUsed::default()));
}

#[test]
fn a_full_size_address_serves_every_one_of_its_ports() {
    let mut config = fixture::empty();
    config.pools = vec![pool("p", PoolKind::Overload, "192.0.2.10", (1024, 65_535))];
    let mut table = Table::new(&config);
    for n in 0..64_512_u32 {
        let src = IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + n / 1000));
        let tuple = Tuple { src, ..tuple(proto::UDP, "10.0.0.1", 5000, "198.51.100.1", 53) };
        let tuple = Tuple { src_port: 5000 + (n % 1000) as u16, ..tuple };
        table.pools(tuple, &[0]).expect("a port is left");
    }
    let last = tuple(proto::UDP, "10.9.0.1", 5000, "198.51.100.1", 53);
    assert_eq!(table.pools(last, &[0]), Err(DropReason::NatPoolExhausted));
    let elsewhere = Tuple { dst_port: 54, ..last };
    assert!(table.pools(elsewhere, &[0]).is_ok());
}

#[test]
fn a_source_keeps_its_port_and_its_address_where_it_can() {
    let mut config = fixture::empty();
    config.pools = vec![pool("p", PoolKind::Overload, "192.0.2.0-192.0.2.255", (1024, 65_535))];
    let mut table = Table::new(&config);
    let one = tuple(proto::TCP, "10.0.0.1", 40_000, "198.51.100.1", 443);
    let first = table.pools(one, &[0]).expect("free");
    assert_eq!(first.port, 40_000);
    for n in 1..50 {
        let grant = table.pools(Tuple { src_port: 40_000 + n, ..one }, &[0]).expect("free");
        assert_eq!(grant.address, first.address);
    }
    let mut used = BTreeSet::new();
    for n in 0..200 {
        let src = IpAddr::V4(Ipv4Addr::from_bits(0x0a01_0000 + n));
        used.insert(table.pools(Tuple { src, ..one }, &[0]).expect("free").address);
    }
    assert!(used.len() > 100, "sources spread over the addresses");
    let echo = tuple(proto::ICMP, "10.0.0.1", 7, "198.51.100.1", 0);
    assert_eq!(table.pools(echo, &[0]).map(|g| g.port), Ok(7), "identifiers are not ports");
}

#[test]
fn protocols_without_ports_have_one_session_to_a_peer_for_each_address() {
    let mut config = fixture::empty();
    config.pools = vec![pool("p", PoolKind::Overload, "192.0.2.10-192.0.2.12", (1024, 65_535))];
    let mut table = Table::new(&config);
    let gre = |src: &str, peer: &str| tuple(proto::GRE, src, 0, peer, 0);
    let mut used = BTreeSet::new();
    for src in ["10.0.0.1", "10.0.0.2", "10.0.0.3"] {
        let grant = table.pools(gre(src, "198.51.100.1"), &[0]).expect("an address is left");
        assert_eq!(grant.port, 0);
        used.insert(grant.address);
    }
    assert_eq!(used.len(), 3);
    let fourth = gre("10.0.0.4", "198.51.100.1");
    assert_eq!(table.pools(fourth, &[0]), Err(DropReason::NatPoolExhausted));
    assert!(table.pools(gre("10.0.0.4", "198.51.100.2"), &[0]).is_ok());
}

#[test]
fn interface_nat_takes_the_address_of_the_version() {
    let mut table = Table::new(&fixture::empty());
    let egress: Vec<IpNet> = ["fe80::1/64", "203.0.113.2/30", "2001:db8::2/64"]
        .map(|net| net.parse().expect("prefix"))
        .into();
    let nat = SourceNat::Interface;
    let v4 = tuple(proto::TCP, "10.0.0.1", 80, "198.51.100.1", 443);
    let grant = table.open(v4, &nat, &egress).expect("free");
    assert_eq!(grant.address, ip("203.0.113.2"));
    assert!(grant.port >= 1024, "a well-known port is not kept");
    let v6 = tuple(proto::TCP, "2001:db8:1::1", 4000, "2001:db8:2::1", 443);
    assert_eq!(table.open(v6, &nat, &egress).expect("free").address, ip("2001:db8::2"));
    let missing = Err(DropReason::NatPoolMissingFamily);
    assert_eq!(table.open(Tuple { src_port: 1, ..v6 }, &nat, &egress[..2]), missing);
    assert_eq!(table.nat.pools().filter(|p| p.name.is_empty()).count(), 2);
}

#[test]
fn pools_are_tried_in_order_by_version() {
    let mut config = fixture::empty();
    config.pools = vec![
        pool("v6", PoolKind::Overload, "2001:db8::10", (1024, 65_535)),
        pool("small", PoolKind::Overload, "192.0.2.10", (2000, 2000)),
        pool("next", PoolKind::Overload, "192.0.2.20", (3000, 3000)),
    ];
    let mut table = Table::new(&config);
    let to = |n: u16| tuple(proto::TCP, "10.0.0.1", 40_000 + n, "198.51.100.1", 443);
    let order = [0, 1, 2];
    assert_eq!(table.pools(to(0), &order).map(|g| g.port), Ok(2000));
    assert_eq!(table.pools(to(1), &order).map(|g| g.port), Ok(3000));
    assert_eq!(table.pools(to(2), &order), Err(DropReason::NatPoolExhausted));
    assert_eq!(table.pools(to(3), &[0]), Err(DropReason::NatPoolMissingFamily));
    let request =
        SnatRequest { tuple: to(4), nat: &SourceNat::Off, egress: IfId(0), egress_addresses: &[] };
    assert_eq!(table.nat.snat(&request, &mut Rng::new(1), |_| false), Ok(None));
}

#[test]
fn one_to_one_gives_a_source_an_address_as_long_as_it_has_sessions() {
    let mut config = fixture::empty();
    config.pools = vec![pool("p", PoolKind::OneToOne, "192.0.2.10-192.0.2.11", (0, 65_535))];
    let mut table = Table::new(&config);
    let from = |src: &str, port| tuple(proto::TCP, src, port, "198.51.100.1", 443);
    let a = table.pools(from("10.0.0.1", 80), &[0]).expect("an address");
    let again = table.pools(from("10.0.0.1", 81), &[0]).expect("its address");
    let b = table.pools(from("10.0.0.2", 80), &[0]).expect("the other address");
    assert_eq!((a.address, a.port, again.port), (again.address, 80, 81));
    assert_ne!(a.address, b.address);
    let third = from("10.0.0.3", 80);
    assert_eq!(table.pools(third, &[0]), Err(DropReason::NatPoolExhausted));
    assert_eq!(table.stats("p").map(|s| (s.hosts, s.sessions)), Some((2, 3)));
    table.close(reply(from("10.0.0.1", 80), &a));
    assert_eq!(table.pools(third, &[0]), Err(DropReason::NatPoolExhausted), "one is left");
    table.close(reply(from("10.0.0.1", 81), &again));
    assert_eq!(table.pools(third, &[0]).map(|g| g.address), Ok(a.address));
}

#[test]
fn port_blocks_are_bounded_for_each_source_and_given_back() {
    let kind = PoolKind::PortBlock { block_size: 8, blocks_per_host: 2 };
    let mut config = fixture::empty();
    // Room for five blocks; the last three ports are no block.
    config.pools = vec![pool("p", kind, "192.0.2.10", (2000, 2042))];
    let mut table = Table::new(&config);
    let from = |src: &str, n: u16| tuple(proto::UDP, src, 40_000 + n, "198.51.100.1", 53);
    let mut blocks = BTreeSet::new();
    for n in 0..16 {
        let grant = table.pools(from("10.0.0.1", n), &[0]).expect("two blocks of eight");
        blocks.insert((grant.port - 2000) / 8);
    }
    assert_eq!(blocks.len(), 2);
    assert_eq!(table.pools(from("10.0.0.1", 16), &[0]), Err(DropReason::NatBlockLimit));
    let tcp = Tuple { proto: proto::TCP, ..from("10.0.0.1", 0) };
    let port = table.pools(tcp, &[0]).expect("TCP has the blocks too").port;
    assert!(blocks.contains(&((port - 2000) / 8)));
    for src in ["10.0.0.2", "10.0.0.3", "10.0.0.4"] {
        table.pools(from(src, 0), &[0]).expect("a block each");
    }
    let late = from("10.0.0.5", 0);
    assert_eq!(table.pools(late, &[0]), Err(DropReason::NatPoolExhausted));
    let stats = table.stats("p").expect("pool");
    assert_eq!((stats.hosts, stats.blocks_used, stats.blocks_total), (4, 5, 5));
    let second = *table.live.iter().find(|(_, (t, _))| t.src == ip("10.0.0.2")).expect("live").0;
    table.close(second);
    assert!(table.pools(late, &[0]).is_ok());
    table.close_all();
    let stats = table.stats("p").expect("pool");
    assert_eq!((stats.hosts, stats.blocks_used, stats.ports_used.udp), (0, 0, 0));
}

#[test]
fn a_reload_keeps_the_books_of_what_stays_and_lets_the_rest_run_out() {
    let mut config = fixture::empty();
    config.pools = vec![
        pool("gone", PoolKind::Overload, "192.0.2.10", (2000, 2000)),
        pool("stays", PoolKind::Overload, "192.0.2.20", (3000, 3000)),
    ];
    let mut table = Table::new(&config);
    let to = |n: u16| tuple(proto::TCP, "10.0.0.1", 40_000 + n, "198.51.100.1", 443);
    let old = table.pools(to(0), &[0]).expect("free");
    table.pools(to(1), &[1]).expect("free");

    // Another order, and `gone` has become something else.
    config.pools = vec![
        pool("stays", PoolKind::Overload, "192.0.2.20", (3000, 3000)),
        pool("gone", PoolKind::Overload, "192.0.2.99", (2000, 2000)),
    ];
    table.nat.reload(&config);
    assert_eq!(table.pools(to(2), &[0]), Err(DropReason::NatPoolExhausted), "still in use");
    assert_eq!(table.pools(to(3), &[1]).map(|g| g.address), Ok(ip("192.0.2.99")));
    let names: Vec<_> = table.nat.pools().map(|p| (p.name, p.removed)).collect();
    assert_eq!(names, [("gone", true), ("stays", false), ("gone", false)]);

    // The old session ends: nobody else's port is touched, and the books are closed.
    table.close(reply(to(0), &old));
    assert_eq!(table.nat.pools().count(), 2);
    assert_eq!(table.nat.pools().map(|p| p.sessions).sum::<u32>(), 2);
    // A pool that comes back while it still has sessions finds its books.
    config.pools.remove(1);
    table.nat.reload(&config);
    config.pools.push(pool("gone", PoolKind::Overload, "192.0.2.99", (2000, 2000)));
    table.nat.reload(&config);
    assert_eq!(table.pools(to(4), &[1]), Err(DropReason::NatPoolExhausted));
    table.close_all();
    table.nat.reload(&fixture::empty());
    assert_eq!(table.nat.pools().count(), 0);
}

#[test]
fn the_central_table_goes_by_order() {
    let mut config = fixture::empty();
    assert!(!Nat::new(&config).has_central());
    let rule = |policy: Policy, nat| CentralSnat {
        name: policy.name,
        line: policy.line,
        from: policy.from,
        to: policy.to,
        source: policy.source,
        destination: policy.destination,
        services: policy.services,
        nat,
    };
    let exempt = Policy {
        destination: fixture::addresses(&["10.0.0.0-10.255.255.255"]),
        ..fixture::policy(1)
    };
    config.central_snat =
        vec![rule(exempt, SourceNat::Off), rule(fixture::policy(2), SourceNat::Interface)];
    let nat = Nat::new(&config);
    let key = |dst| Key {
        from: ZoneId(0),
        to: ZoneId(1),
        src: ip("10.0.0.1"),
        dst: ip(dst),
        proto: proto::TCP,
        src_port: 1,
        dst_port: 2,
        who: Default::default(),
    };
    assert!(nat.has_central());
    assert_eq!(nat.central(&key("10.2.0.1")), Some(0));
    assert_eq!(nat.central(&key("8.8.8.8")), Some(1));
}

const WAN: IfId = IfId(0);
const LAN: IfId = IfId(1);

#[test]
fn the_most_specific_vip_wins() {
    let mut config = fixture::empty();
    let one = vip("one-to-one", "203.0.113.10", "10.0.0.10");
    let web = Vip {
        forward: forward(proto::TCP, (443, 443), 8443),
        ..vip("web", "203.0.113.10", "10.0.0.20")
    };
    let wan_web = Vip {
        interface: Some(WAN),
        ..Vip { mapped: range("10.0.0.30"), name: "wan-web".into(), ..web.clone() }
    };
    let wide = Vip {
        forward: forward(proto::TCP, (8000, 8099), 9000),
        ..vip("wide", "203.0.113.10-203.0.113.19", "10.0.1.10-10.0.1.19")
    };
    let many_to_one = vip("servers", "203.0.113.20-203.0.113.29", "10.0.0.40");
    let v6 = vip("v6", "2001:db8:f::10-2001:db8:f::1f", "2001:db8:1::10-2001:db8:1::1f");
    config.vips = vec![one, web, wan_web, wide, many_to_one, v6];
    let mut nat = Nat::new(&config);
    let to = |ingress, proto, dst: &str, port| {
        let src = if dst.contains(':') { "2001:db8::9" } else { "198.51.100.1" };
        let found = nat.dnat(ingress, &tuple(proto, src, 999, dst, port))?;
        Some((found.vip, found.address.to_string(), found.port))
    };
    let is = |vip, address: &str, port| Some((vip, address.to_owned(), port));
    assert_eq!(to(WAN, proto::TCP, "203.0.113.10", 443), is(2, "10.0.0.30", 8443));
    assert_eq!(to(LAN, proto::TCP, "203.0.113.10", 443), is(1, "10.0.0.20", 8443));
    assert_eq!(to(WAN, proto::UDP, "203.0.113.10", 443), is(0, "10.0.0.10", 443));
    assert_eq!(to(WAN, proto::ICMP, "203.0.113.10", 0), is(0, "10.0.0.10", 0));
    assert_eq!(to(WAN, proto::TCP, "203.0.113.13", 8042), is(3, "10.0.1.13", 9042));
    assert_eq!(to(WAN, proto::TCP, "203.0.113.13", 443), None);
    assert_eq!(to(WAN, proto::TCP, "203.0.113.25", 22), is(4, "10.0.0.40", 22));
    assert_eq!(to(WAN, proto::TCP, "2001:db8:f::1a", 22), is(5, "2001:db8:1::1a", 22));
    assert_eq!(to(WAN, proto::TCP, "203.0.113.30", 22), None);

    let back = |src: &str| nat.reverse_vip(WAN, ip(src)).map(|r| (r.vip, r.address.to_string()));
    assert_eq!(back("10.0.0.10"), Some((0, "203.0.113.10".into())));
    assert_eq!(back("10.0.0.40"), Some((4, "203.0.113.20".into())));
    assert_eq!(back("2001:db8:1::1a"), Some((5, "2001:db8:f::1a".into())));
    assert_eq!(back("10.0.0.20"), None, "a port forward has no reverse");

    nat.count_vip(4);
    config.vips.swap_remove(0);
    config.vips.swap(0, 4);
    nat.reload(&config);
    let hits = config.vips.iter().position(|v| v.name == "servers").map(|at| nat.vip_hits(at));
    assert_eq!(hits, Some(1), "hits follow the name");
}

#[test]
fn proxy_arp_is_for_vips_and_pools_in_the_interface_subnets() {
    let mut config = fixture::empty();
    fixture::interface(&mut config, "wan", &["203.0.113.2/24", "2001:db8:f::2/64"]);
    fixture::interface(&mut config, "lan", &["10.0.0.1/24"]);
    let mut silent = pool("silent", PoolKind::Overload, "203.0.113.200", (1024, 65_535));
    silent.proxy_arp = false;
    config.pools =
        vec![pool("p", PoolKind::Overload, "203.0.113.100-203.0.113.101", (1, 2)), silent];
    config.vips = vec![
        vip("a", "203.0.113.2", "10.0.0.5"),
        vip("b", "2001:db8:f::10", "2001:db8:1::10"),
        Vip { interface: Some(LAN), ..vip("c", "203.0.113.50", "10.0.0.5") },
        vip("far", "198.51.100.7", "10.0.0.5"),
    ];
    let nat = Nat::new(&config);
    for (address, proxied, owned) in [
        ("203.0.113.100", true, true),
        ("203.0.113.102", false, false),
        ("203.0.113.200", false, true),
        ("203.0.113.2", false, true),
        ("2001:db8:f::10", true, true),
        ("203.0.113.50", false, true),
        ("198.51.100.7", false, true),
        ("203.0.113.3", false, false),
    ] {
        assert_eq!(nat.proxies(WAN, ip(address)), proxied, "{address}");
        assert_eq!(nat.owns(ip(address)), owned, "{address}");
    }
    assert!(!nat.proxies(LAN, ip("203.0.113.100")));
    config.interfaces[0].proxy_arp = false;
    assert!(!Nat::new(&config).proxies(WAN, ip("203.0.113.100")));
}

fn any_vip() -> impl Strategy<Value = Vip> {
    let ports = (0_u16..40, 0_u16..10, 0_u16..60_000);
    let forward = (prop_oneof![Just(proto::TCP), Just(proto::UDP)], ports);
    (
        proptest::option::of((0_u16..2).prop_map(IfId)),
        (0_u32..30, 0_u32..6, any::<bool>(), any::<bool>()),
        proptest::option::of(forward),
    )
        .prop_map(|(interface, (first, len, single, v6), forward)| {
            let make = |base: u32, len: u32| match v6 {
                false => IpRange {
                    first: Ipv4Addr::from_bits(base).into(),
                    last: Ipv4Addr::from_bits(base + len).into(),
                },
                true => IpRange {
                    first: Ipv6Addr::from_bits(u128::from(base)).into(),
                    last: Ipv6Addr::from_bits(u128::from(base + len)).into(),
                },
            };
            Vip {
                name: "v".into(),
                line: Line(1),
                interface,
                external: make(0xcb00_7100 + first, len),
                mapped: make(0x0a00_0000 + first * 256, if single { 0 } else { len }),
                forward: forward.map(|(proto, (first, len, mapped))| PortForward {
                    proto,
                    external: first..=first + len,
                    mapped,
                }),
            }
        })
}

fn naive_dnat(vips: &[Vip], ingress: IfId, tuple: &Tuple) -> Option<usize> {
    let fits = |vip: &Vip| {
        vip.interface.is_none_or(|only| only == ingress)
            && vip.external.first.is_ipv4() == tuple.dst.is_ipv4()
            && (vip.external.first..=vip.external.last).contains(&tuple.dst)
            && vip.forward.as_ref().is_none_or(|forward| {
                forward.proto == tuple.proto && forward.external.contains(&tuple.dst_port)
            })
    };
    let fitting = vips.iter().enumerate().filter(|(_, vip)| fits(vip));
    fitting
        .min_by_key(|(at, vip)| (vip.forward.is_none(), vip.interface.is_none(), *at))
        .map(|(at, _)| at)
}

proptest! {
    #[test]
    fn vips_are_found_as_by_a_scan_and_their_reverse_leads_back(
        vips in proptest::collection::vec(any_vip(), 0..60),
        keys in proptest::collection::vec((0_u16..2, 0_u32..40, any::<bool>(), 0_u16..60, 0_u8..3), 80),
    ) {
        let mut config = fixture::empty();
        config.vips = vips;
        let nat = Nat::new(&config);
        for (ingress, host, v6, dst_port, which) in keys {
            let base = 0xcb00_7100 + host;
            let (src, dst): (IpAddr, IpAddr) = if v6 {
                (Ipv6Addr::LOCALHOST.into(), Ipv6Addr::from_bits(u128::from(base)).into())
            } else {
                (Ipv4Addr::LOCALHOST.into(), Ipv4Addr::from_bits(base).into())
            };
            let proto = [proto::TCP, proto::UDP, proto::GRE][usize::from(which)];
            let tuple = Tuple { src, dst, src_port: 1, dst_port, proto };
            let found = nat.dnat(IfId(ingress), &tuple);
            prop_assert_eq!(found.map(|d| d.vip), naive_dnat(&config.vips, IfId(ingress), &tuple));
            let Some(found) = found else { continue };
            let vip = &config.vips[found.vip];
            prop_assert!((vip.mapped.first..=vip.mapped.last).contains(&found.address));
            if vip.forward.is_none() {
                prop_assert_eq!(found.port, dst_port);
                let back = nat.reverse_vip(IfId(ingress), found.address).expect("1:1");
                let back = &config.vips[back.vip].mapped;
                prop_assert!((back.first..=back.last).contains(&found.address));
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Open { src: u8, src_port: u16, peer: u8, proto: u8, v6: bool, nat: SourceNat },
    Close(usize),
    Reload(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let nat = prop_oneof![
        Just(SourceNat::Interface),
        proptest::collection::vec((0_u16..5).prop_map(PoolId), 1..4).prop_map(SourceNat::Pools),
    ];
    let proto = prop_oneof![
        4 => Just(proto::TCP), 2 => Just(proto::UDP), 1 => Just(proto::SCTP),
        1 => Just(proto::ICMP), 1 => Just(proto::ICMPV6), 1 => Just(proto::GRE),
    ];
    prop_oneof![
        10 => ((0_u8..6), (1998_u16..2012), (0_u8..3), proto, any::<bool>(), nat).prop_map(
            |(src, src_port, peer, proto, v6, nat)| Step::Open { src, src_port, peer, proto, v6, nat }
        ),
        4 => any::<usize>().prop_map(Step::Close),
        1 => (0_u8..32).prop_map(Step::Reload),
    ]
}

/// All pools, or those whose bit is set.
fn pools(mask: u8) -> Vec<config::model::Pool> {
    let block = PoolKind::PortBlock { block_size: 3, blocks_per_host: 2 };
    let all = [
        pool("a", PoolKind::Overload, "192.0.2.1-192.0.2.2", (2000, 2006)),
        pool("b", block, "192.0.2.5-192.0.2.6", (2000, 2010)),
        pool("c", PoolKind::OneToOne, "192.0.2.9-192.0.2.11", (0, 65_535)),
        pool("d", PoolKind::Overload, "2001:db8::1-2001:db8::3", (2000, 2002)),
        pool("e", block, "2001:db8::5", (3000, 3010)),
    ];
    let wanted = |(at, _): &(usize, _)| mask >> at & 1 != 0;
    all.into_iter().enumerate().filter(wanted).map(|(_, pool)| pool).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn no_two_sessions_ever_have_the_same_reply_and_everything_comes_back(
        steps in proptest::collection::vec(step(), 0..300),
    ) {
        let mut config = fixture::empty();
        config.pools = pools(31);
        fixture::interface(&mut config, "wan", &["203.0.113.2/30", "2001:db8:f::2/64"]);
        let egress = config.interfaces[0].addresses.clone();
        let mut table = Table::new(&config);
        for step in steps {
            match step {
                Step::Open { src, src_port, peer, proto, v6, nat } => {
                    let host = |net: u32, n: u8| -> IpAddr {
                        let bits = net + u32::from(n);
                        if v6 {
                            Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(bits)).into()
                        } else {
                            Ipv4Addr::from_bits(bits).into()
                        }
                    };
                    let (src_port, dst_port) = match proto {
                        proto::GRE => (0, 0),
                        proto::ICMP | proto::ICMPV6 => (src_port, 0),
                        _ => (src_port, 443),
                    };
                    let (src, dst) = (host(0x0a00_0000, src), host(0xc633_6400, peer));
                    let tuple = Tuple { src, dst, src_port, dst_port, proto };
                    // `open` asserts that the reply is nobody else's.
                    match table.open(tuple, &nat, &egress) {
                        Ok(grant) => prop_assert_eq!(grant.address.is_ipv6(), v6),
                        Err(reason) => prop_assert!(matches!(
                            reason,
                            DropReason::NatPoolExhausted
                                | DropReason::NatPoolMissingFamily
                                | DropReason::NatBlockLimit
                        )),
                    }
                }
                Step::Close(n) => {
                    let count = table.live.len().max(1);
                    if let Some(&reply) = table.live.keys().nth(n % count) {
                        table.close(reply);
                    }
                }
                Step::Reload(mask) => {
                    config.pools = pools(mask);
                    table.nat.reload(&config);
                }
            }
            let sessions: u32 = table.nat.pools().map(|p| p.sessions).sum();
            prop_assert_eq!(sessions as usize, table.live.len());
        }
        // The way back leads to where the session began.
        for (reply, (original, grant)) in &table.live {
            prop_assert_eq!(reply.dst, grant.address);
            prop_assert_eq!(reply.src, original.dst);
        }
        table.close_all();
        for stats in table.nat.pools() {
            prop_assert_eq!(stats.ports_used, PortsUsed::default());
            prop_assert_eq!((stats.sessions, stats.hosts, stats.blocks_used), (0, 0, 0));
            prop_assert!(!stats.removed, "books without sessions are closed");
        }
    }
}
