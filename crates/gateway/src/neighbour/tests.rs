//! The neighbour table, state by state, with simulated time.

use core::{net::IpAddr, time::Duration};

use config::{
    Config,
    model::{IfId, Line, StaticNeighbour},
};
use ipnet::IpNet;
use reason::DropReason;
use wire::{Mac, Time, arp::ArpOp, arp::ArpPacket};

use super::*;
use crate::test_config;

const LAN: IfId = IfId(0);
const WAN: IfId = IfId(1);
const US: Mac = Mac([2, 0, 0, 0, 0, 1]);
const HOST: Mac = Mac([2, 0, 0, 0, 0, 9]);
const THIEF: Mac = Mac([2, 0, 0, 0, 0, 0x66]);

type Table = Neighbours<u32>;

fn table(config: &Config) -> Table {
    Neighbours::new(config, 7)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn at(secs: u64) -> Time {
    Time::from_secs(secs)
}

fn our() -> Vec<IpNet> {
    vec!["10.0.0.1/24".parse().unwrap(), "fe80::1/64".parse().unwrap()]
}

fn no_proxy(_: IpAddr) -> bool {
    false
}

fn arp(op: ArpOp, mac: Mac, sender: &str, target: &str) -> ArpPacket {
    ArpPacket {
        op,
        sender_mac: mac,
        sender_ip: sender.parse().unwrap(),
        target_mac: US,
        target_ip: target.parse().unwrap(),
    }
}

fn hear(table: &mut Table, packet: &ArpPacket, now: Time) -> ArpAction {
    table.handle_arp(LAN, &our(), US, packet, no_proxy, now)
}

fn events(table: &mut Table) -> Vec<NeighbourEvent<u32>> {
    core::iter::from_fn(|| table.poll_event()).collect()
}

fn requests(table: &mut Table, now: Time) -> Vec<NeighbourRequest> {
    core::iter::from_fn(|| table.poll_request(now)).collect()
}

fn id_of(resolution: Resolution) -> NeighbourId {
    match resolution {
        Resolution::Resolved { id, .. } | Resolution::Pending { id } => id,
        Resolution::TableFull => panic!("table full"),
    }
}

/// Resolves 10.0.0.9 by an answer to a question.
fn resolved(table: &mut Table, now: Time) -> NeighbourId {
    let id = id_of(table.resolve(LAN, ip("10.0.0.9"), now));
    hear(table, &arp(ArpOp::Reply, HOST, "10.0.0.9", "10.0.0.1"), now);
    requests(table, now);
    events(table);
    assert_eq!(table.get(id).unwrap().state, State::Reachable);
    id
}

fn state(table: &Table, id: NeighbourId) -> State {
    table.get(id).expect("the entry lives").state
}

/// Runs the timers until the entry changes its state; says when.
fn run_until_change(table: &mut Table, id: NeighbourId) -> Time {
    let before = state(table, id);
    loop {
        let due = table.poll_timeout().expect("a timer");
        table.handle_timeout(due);
        if table.get(id).is_none_or(|entry| entry.state != before) {
            return due;
        }
    }
}

#[test]
fn a_question_an_answer_and_what_waited() {
    let mut t = table(&test_config::config());
    let id = id_of(t.resolve(LAN, ip("10.0.0.9"), at(1)));
    assert_eq!(t.hold(id, 1), Ok(()));
    assert_eq!(t.hold(id, 2), Ok(()));
    assert_eq!(t.resolve(LAN, ip("10.0.0.9"), at(1)), Resolution::Pending { id });
    let ask = NeighbourRequest {
        interface: LAN,
        target: ip("10.0.0.9"),
        unicast: None,
        kind: RequestKind::Solicit,
    };
    assert_eq!(requests(&mut t, at(1)), [ask], "one question, however many packets");
    let reply = arp(ArpOp::Reply, HOST, "10.0.0.9", "10.0.0.1");
    assert_eq!(hear(&mut t, &reply, at(1)), ArpAction::None);
    let event = NeighbourEvent::Resolved {
        id,
        interface: LAN,
        address: ip("10.0.0.9"),
        mac: HOST,
        held: vec![1, 2],
    };
    assert_eq!(events(&mut t), [event]);
    assert_eq!(t.resolve(LAN, ip("10.0.0.9"), at(2)), Resolution::Resolved { id, mac: HOST });
    let expected = NeighbourCounters {
        created: 1,
        resolved: 1,
        held: 2,
        broadcast_requests: 1,
        ..NeighbourCounters::default()
    };
    assert_eq!(t.counters(), &expected);
}

#[test]
fn the_newest_packets_are_kept() {
    let mut t = table(&test_config::config());
    let id = id_of(t.resolve(LAN, ip("10.0.0.9"), at(1)));
    for n in 1..=3 {
        assert_eq!(t.hold(id, n), Ok(()));
    }
    assert_eq!(t.hold(id, 4), Err((1, DropReason::NeighbourQueueFull)));
    assert_eq!(t.get(id).unwrap().held, 3);
    assert_eq!(t.counters().queue_full, 1);

    let mut config = test_config::config();
    config.limits.neighbour_queue = 0;
    let mut t = table(&config);
    let id = id_of(t.resolve(LAN, ip("10.0.0.9"), at(1)));
    assert_eq!(t.hold(id, 1), Err((1, DropReason::NeighbourQueueFull)));
}

#[test]
fn three_questions_then_lost_then_a_pause() {
    let mut t = table(&test_config::config());
    let id = id_of(t.resolve(LAN, ip("10.0.0.9"), at(0)));
    t.acquire(id);
    t.hold(id, 5).unwrap();
    let mut asked = requests(&mut t, at(0)).len();
    let mut now = Time::ZERO;
    while state(&t, id) == State::Incomplete {
        now = t.poll_timeout().unwrap();
        t.handle_timeout(now);
        asked += requests(&mut t, now).len();
    }
    assert_eq!((asked, now), (3, at(3)));
    let lost = NeighbourEvent::Lost {
        id,
        interface: LAN,
        address: ip("10.0.0.9"),
        cause: LostCause::Unreachable,
        held: vec![5],
    };
    assert_eq!(events(&mut t), [lost]);
    assert_eq!(t.resolve(LAN, ip("10.0.0.9"), at(4)), Resolution::Pending { id });
    assert_eq!(t.hold(id, 6), Err((6, DropReason::NeighbourUnresolved)));
    assert_eq!(requests(&mut t, at(4)), [], "not asked again so soon");
    assert_eq!(t.resolve(LAN, ip("10.0.0.9"), at(6)), Resolution::Pending { id });
    assert_eq!(t.hold(id, 7), Ok(()));
    assert_eq!(requests(&mut t, at(6)).len(), 1);
}

#[test]
fn an_unused_failure_is_forgotten() {
    let mut t = table(&test_config::config());
    t.resolve(LAN, ip("10.0.0.9"), at(0));
    for now in 1..=6 {
        t.handle_timeout(at(now));
    }
    assert!(t.is_empty());
    assert_eq!(t.poll_timeout(), None);
    assert_eq!((t.counters().failed, t.counters().forgotten), (1, 0));
}

#[test]
fn reachable_stale_delay_probe_and_back() {
    let mut t = table(&test_config::config());
    let id = resolved(&mut t, at(0));
    let stale_at = run_until_change(&mut t, id);
    assert_eq!(state(&t, id), State::Stale);
    assert!((at(15)..=at(45)).contains(&stale_at), "30 s, half to one and a half of it");
    let used = stale_at + Duration::from_secs(1);
    let resolution = t.resolve(LAN, ip("10.0.0.9"), used);
    assert_eq!(resolution, Resolution::Resolved { id, mac: HOST });
    assert_eq!(state(&t, id), State::Delay);
    let probed = run_until_change(&mut t, id);
    assert_eq!(probed, used + DELAY_FIRST_PROBE_TIME);
    assert_eq!(state(&t, id), State::Probe);
    let probe = NeighbourRequest {
        interface: LAN,
        target: ip("10.0.0.9"),
        unicast: Some(HOST),
        kind: RequestKind::Solicit,
    };
    assert_eq!(requests(&mut t, probed), [probe]);
    hear(&mut t, &arp(ArpOp::Reply, HOST, "10.0.0.9", "10.0.0.1"), probed);
    assert_eq!(state(&t, id), State::Reachable);
    assert_eq!(events(&mut t), [], "nothing changed for anyone else");
}

#[test]
fn three_unanswered_probes_lose_it_and_it_may_be_asked_at_once() {
    let mut t = table(&test_config::config());
    let id = resolved(&mut t, at(0));
    t.acquire(id);
    let stale = run_until_change(&mut t, id);
    t.confirm_use(id, stale);
    let probed = run_until_change(&mut t, id);
    let lost = run_until_change(&mut t, id);
    assert_eq!(lost, probed + Duration::from_secs(3));
    assert_eq!(requests(&mut t, lost).len(), 3);
    let event = NeighbourEvent::Lost {
        id,
        interface: LAN,
        address: ip("10.0.0.9"),
        cause: LostCause::Unreachable,
        held: vec![],
    };
    assert_eq!(events(&mut t), [event]);
    assert_eq!(t.resolve(LAN, ip("10.0.0.9"), lost), Resolution::Pending { id });
    assert_eq!(t.hold(id, 1), Ok(()));
    assert_eq!(requests(&mut t, lost)[0].unicast, None);
}

#[test]
fn confirmation_from_above_keeps_it_reachable() {
    let mut t = table(&test_config::config());
    let id = resolved(&mut t, at(0));
    for now in 1..200 {
        t.confirm(id, at(now));
        t.handle_timeout(at(now));
        assert_eq!(state(&t, id), State::Reachable);
    }
    run_until_change(&mut t, id);
    t.confirm_use(id, at(300));
    assert_eq!(state(&t, id), State::Delay);
    t.confirm(id, at(301));
    assert_eq!(state(&t, id), State::Reachable);
    assert_eq!(requests(&mut t, at(301)), []);
}

#[test]
fn a_stale_neighbour_without_use_is_forgotten_unless_referenced() {
    let mut t = table(&test_config::config());
    let id = resolved(&mut t, at(0));
    t.acquire(id);
    run_until_change(&mut t, id);
    for _ in 0..3 {
        let due = t.poll_timeout().unwrap();
        t.handle_timeout(due);
    }
    assert_eq!(state(&t, id), State::Stale);
    t.release(id);
    run_until_change(&mut t, id);
    assert_eq!(t.get(id), None);
    let causes: Vec<_> = events(&mut t)
        .into_iter()
        .map(|event| match event {
            NeighbourEvent::Lost { cause, .. } => cause,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(causes, [LostCause::Forgotten]);
}

#[test]
fn arp_teaches_only_what_concerns_us() {
    let mut t = table(&test_config::config());
    let cases = [
        (arp(ArpOp::Reply, HOST, "10.0.0.9", "10.0.0.1"), "a reply we did not ask for"),
        (arp(ArpOp::Request, HOST, "10.0.0.9", "10.0.0.8"), "a question for another"),
        (arp(ArpOp::Request, HOST, "10.0.0.9", "10.0.0.9"), "a gratuitous question"),
        (arp(ArpOp::Reply, HOST, "10.0.0.9", "10.0.0.9"), "a gratuitous reply"),
        (arp(ArpOp::Request, US, "10.0.0.9", "10.0.0.1"), "our own voice"),
    ];
    for (packet, what) in cases {
        assert_eq!(hear(&mut t, &packet, at(1)), ArpAction::None, "{what}");
        assert!(t.is_empty(), "{what}");
    }
    let reply = ArpAction::Reply { address: "10.0.0.1".parse().unwrap() };
    let off_link = arp(ArpOp::Request, HOST, "172.16.0.9", "10.0.0.1");
    assert_eq!(hear(&mut t, &off_link, at(1)), reply);
    assert!(t.is_empty());
    let probe = arp(ArpOp::Request, HOST, "0.0.0.0", "10.0.0.1");
    assert_eq!(hear(&mut t, &probe, at(1)), reply, "RFC 5227: defended");
    assert!(t.is_empty());
    let question = arp(ArpOp::Request, HOST, "10.0.0.9", "10.0.0.1");
    assert_eq!(hear(&mut t, &question, at(1)), reply);
    let id = t.lookup(LAN, ip("10.0.0.9")).unwrap();
    assert_eq!(state(&t, id), State::Stale);
    let counters = t.counters();
    assert_eq!((counters.answered, counters.learned, counters.conflicts), (3, 1, 0));
    // four, our own voice, and the off-link sender
    assert_eq!(counters.ignored, 6);
}

#[test]
fn proxied_addresses_are_answered() {
    let mut t = table(&test_config::config());
    let vip = |a: IpAddr| a == ip("10.0.0.200");
    let question = arp(ArpOp::Request, HOST, "10.0.0.9", "10.0.0.200");
    assert_eq!(
        t.handle_arp(LAN, &our(), US, &question, vip, at(1)),
        ArpAction::Reply { address: "10.0.0.200".parse().unwrap() }
    );
    let theft = arp(ArpOp::Request, THIEF, "10.0.0.200", "10.0.0.200");
    assert_eq!(t.handle_arp(LAN, &our(), US, &theft, vip, at(1)), ArpAction::None);
    assert_eq!(t.counters().conflicts, 1);
}

#[test]
fn a_gratuitous_message_moves_an_entry_but_not_at_once() {
    let mut t = table(&test_config::config());
    let id = resolved(&mut t, at(10));
    let moved = arp(ArpOp::Request, THIEF, "10.0.0.9", "10.0.0.9");
    hear(&mut t, &moved, at(10));
    assert_eq!(t.get(id).unwrap().mac, Some(HOST), "the first answer stays for a second");
    hear(&mut t, &moved, at(11));
    let entry = t.get(id).unwrap();
    assert_eq!((entry.mac, entry.state), (Some(THIEF), State::Stale));
    let changed = NeighbourEvent::Changed {
        id,
        interface: LAN,
        address: ip("10.0.0.9"),
        old: HOST,
        mac: THIEF,
    };
    assert_eq!(events(&mut t), [changed]);
}

#[test]
fn an_address_conflict_is_told_and_defended_once_in_ten_seconds() {
    let mut t = table(&test_config::config());
    let theft = arp(ArpOp::Reply, THIEF, "10.0.0.1", "10.0.0.9");
    for now in [1, 2, 10, 11] {
        assert_eq!(hear(&mut t, &theft, at(now)), ArpAction::None);
    }
    let conflict = NeighbourEvent::Conflict { interface: LAN, address: ip("10.0.0.1"), mac: THIEF };
    assert_eq!(events(&mut t), [conflict.clone(), conflict]);
    let announced = requests(&mut t, at(11));
    assert_eq!(announced.len(), 2);
    assert!(
        announced.iter().all(|r| r.kind == RequestKind::Announce && r.target == ip("10.0.0.1"))
    );
    assert_eq!(t.counters().conflicts, 4);
    assert!(t.is_empty());
}

#[test]
fn a_scan_fills_half_and_pushes_out_nobody_who_answered() {
    let mut config = test_config::config();
    config.limits.neighbours = 16;
    config.timeouts.neighbour_stale = Duration::from_secs(600);
    let mut t = table(&config);
    let mut known = Vec::new();
    for n in 0..8u8 {
        let address = IpAddr::from([10, 0, 0, 100 + n]);
        known.push(id_of(t.resolve(LAN, address, at(0))));
        let mut reply = arp(ArpOp::Reply, HOST, "10.0.0.9", "10.0.0.1");
        reply.sender_ip = [10, 0, 0, 100 + n].into();
        hear(&mut t, &reply, at(0));
    }
    let mut now = at(0);
    let mut full = 0;
    for n in 0..2000u32 {
        now = now + Duration::from_millis(50);
        t.handle_timeout(now);
        let address = IpAddr::from((0x0a00_1000 + n).to_be_bytes());
        match t.resolve(LAN, address, now) {
            Resolution::TableFull => full += 1,
            Resolution::Pending { .. } => {}
            Resolution::Resolved { .. } => panic!("nobody is there"),
        }
        assert!(t.len() <= 16);
    }
    assert!(full > 0 && t.counters().table_full == full);
    // 100 s have passed: stale, but there
    for id in known {
        assert_eq!(state(&t, id), State::Stale);
    }
}

#[test]
fn the_longest_unused_stale_entry_gives_way() {
    let mut config = test_config::config();
    config.limits.neighbours = 4;
    let mut t = table(&config);
    let mut ids = Vec::new();
    for n in 0..4u8 {
        let mut question = arp(ArpOp::Request, HOST, "10.0.0.9", "10.0.0.1");
        question.sender_ip = [10, 0, 0, 100 + n].into();
        hear(&mut t, &question, at(u64::from(n)));
        ids.push(t.lookup(LAN, IpAddr::from([10, 0, 0, 100 + n])).unwrap());
    }
    let question = arp(ArpOp::Request, HOST, "10.0.0.9", "10.0.0.1");
    hear(&mut t, &question, at(5));
    assert_eq!(t.lookup(LAN, ip("10.0.0.9")), None, "what makes itself known evicts nobody");
    t.acquire(ids[0]);
    let id = id_of(t.resolve(LAN, ip("10.0.0.9"), at(6)));
    assert_eq!(id, ids[1], "the only free number");
    assert_eq!(t.get(ids[0]).unwrap().address, ip("10.0.0.100"));
    assert_eq!(t.lookup(LAN, ip("10.0.0.101")), None);
    assert_eq!(t.counters().evicted, 1);
}

#[test]
fn a_number_is_not_given_again_while_referenced() {
    let mut config = test_config::config();
    config.limits.neighbours = 1;
    let mut t = table(&config);
    let id = resolved(&mut t, at(0));
    t.acquire(id);
    assert_eq!(t.clear(|_| true, at(1)), 1);
    assert_eq!(state(&t, id), State::Failed);
    assert_eq!(t.resolve(WAN, ip("192.0.2.9"), at(1)), Resolution::TableFull);
    assert_eq!(
        t.resolve(LAN, ip("10.0.0.9"), at(1)),
        Resolution::Pending { id },
        "asked for again at once"
    );
    t.clear(|_| true, at(2));
    t.release(id);
    t.handle_timeout(at(2));
    assert_eq!(t.get(id), None);
    assert_eq!(id_of(t.resolve(WAN, ip("192.0.2.9"), at(2))), id);
}

#[test]
fn configured_neighbours_stay_as_they_are() {
    let mut config = test_config::config();
    config.neighbours.push(StaticNeighbour {
        interface: LAN,
        address: ip("10.0.0.9"),
        mac: HOST,
        line: Line(3),
    });
    let mut t = table(&config);
    let id = t.lookup(LAN, ip("10.0.0.9")).unwrap();
    hear(&mut t, &arp(ArpOp::Reply, THIEF, "10.0.0.9", "10.0.0.1"), at(1));
    assert_eq!(t.clear(|_| true, at(1)), 0);
    t.handle_timeout(at(100_000));
    let resolution = t.resolve(LAN, ip("10.0.0.9"), at(100_000));
    assert_eq!(resolution, Resolution::Resolved { id, mac: HOST });
    config.neighbours[0].mac = THIEF;
    t.reload(&config, at(100_001));
    assert!(matches!(events(&mut t)[..], [NeighbourEvent::Changed { mac: THIEF, .. }]));
    config.neighbours.clear();
    t.reload(&config, at(100_002));
    assert_eq!(state(&t, id), State::Stale);
}

#[test]
fn a_reload_follows_interfaces_by_name() {
    let mut config = test_config::config();
    let mut t = table(&config);
    let on_lan = resolved(&mut t, at(0));
    let on_wan = id_of(t.resolve(WAN, ip("192.0.2.9"), at(0)));
    t.acquire(on_wan);
    t.hold(on_wan, 8).unwrap();
    config.interfaces.reverse();
    t.reload(&config, at(1));
    assert_eq!(t.lookup(IfId(1), ip("10.0.0.9")), Some(on_lan));
    assert_eq!(t.lookup(IfId(0), ip("192.0.2.9")), Some(on_wan));
    assert_eq!(requests(&mut t, at(1))[0].interface, IfId(0));
    config.interfaces[0].enabled = false;
    t.reload(&config, at(2));
    let lost = NeighbourEvent::Lost {
        id: on_wan,
        interface: IfId(0),
        address: ip("192.0.2.9"),
        cause: LostCause::InterfaceGone,
        held: vec![8],
    };
    assert_eq!(events(&mut t), [lost]);
    assert_eq!((t.get(on_wan), t.len()), (None, 2), "its number is kept back");
    assert_eq!(t.hold(on_wan, 9), Err((9, DropReason::NeighbourUnresolved)));
    t.release(on_wan);
    assert_eq!(t.len(), 1);
    let order: Vec<_> = t.iter().map(|entry| entry.id).collect();
    assert_eq!(order, [on_lan]);
}

#[test]
fn show_is_ordered_by_interface_and_address() {
    let mut t = table(&test_config::config());
    for (interface, address) in
        [(WAN, "192.0.2.9"), (LAN, "fe80::9"), (LAN, "10.0.0.20"), (LAN, "10.0.0.3")]
    {
        t.resolve(interface, ip(address), at(0));
    }
    let order: Vec<_> = t.iter().map(|entry| entry.address.to_string()).collect();
    assert_eq!(order, ["10.0.0.3", "10.0.0.20", "fe80::9", "192.0.2.9"]);
}

mod discovery {
    use core::net::Ipv6Addr;

    use wire::nd::{NeighbourAdvertisement, NeighbourSolicitation, solicited_node};

    use super::*;

    fn v6(text: &str) -> Ipv6Addr {
        text.parse().unwrap()
    }

    fn ours() -> Vec<IpNet> {
        vec!["2001:db8::1/64".parse().unwrap()]
    }

    fn also(ip: IpAddr) -> bool {
        ip == super::ip("fe80::1") || ip == super::ip("2001:db8::200")
    }

    fn hear(t: &mut Table, said: NeighbourAdvertisement, now: Time) {
        t.handle_advertisement(LAN, &ours(), US, &said, also, now);
    }

    fn ask(t: &mut Table, src: &str, target: &str, mac: Option<Mac>) -> SolicitationAction {
        let target = v6(target);
        let asked = NeighbourSolicitation {
            src: v6(src),
            dst: solicited_node(target),
            target,
            source_mac: mac,
        };
        t.handle_solicitation(LAN, &ours(), US, &asked, also, at(1))
    }

    fn say(mac: Option<Mac>, solicited: bool, override_entry: bool) -> NeighbourAdvertisement {
        NeighbourAdvertisement {
            src: v6("2001:db8::9"),
            dst: v6("2001:db8::1"),
            target: v6("2001:db8::9"),
            target_mac: mac,
            router: true,
            solicited,
            override_entry,
        }
    }

    #[test]
    fn a_question_for_us_is_answered_and_teaches() {
        let mut t = table(&test_config::config());
        let reply = SolicitationAction::Reply;
        assert_eq!(ask(&mut t, "2001:db8::9", "2001:db8::1", Some(HOST)), reply);
        assert_eq!(t.peek(LAN, ip("2001:db8::9")), Some(State::Stale));
        assert_eq!(ask(&mut t, "fe80::9", "fe80::1", Some(HOST)), reply);
        assert_eq!(t.peek(LAN, ip("fe80::9")), Some(State::Stale));
        assert_eq!(ask(&mut t, "2001:db8::9", "2001:db8::200", None), reply, "proxied");
        assert_eq!((t.counters().answered, t.counters().learned), (3, 2));
    }

    #[test]
    fn duplicate_address_detection_is_answered_and_teaches_nothing() {
        let mut t = table(&test_config::config());
        assert_eq!(ask(&mut t, "::", "2001:db8::1", None), SolicitationAction::Reply);
        assert!(t.is_empty());
        assert_eq!(t.counters().conflicts, 0);
    }

    #[test]
    fn what_is_not_answered_and_does_not_teach() {
        let mut t = table(&test_config::config());
        let none = SolicitationAction::None;
        assert_eq!(ask(&mut t, "2001:db8::9", "2001:db8::8", Some(HOST)), none);
        assert_eq!(ask(&mut t, "2001:db8::9", "2001:db8::1", Some(US)), none);
        assert_eq!(ask(&mut t, "2001:db8::1", "2001:db8::200", Some(THIEF)), none);
        hear(&mut t, say(Some(HOST), true, true), at(1));
        let off_link = ask(&mut t, "2001:db8:ff::9", "2001:db8::1", Some(HOST));
        assert_eq!(off_link, SolicitationAction::Reply);
        assert!(t.is_empty());
        assert_eq!((t.counters().ignored, t.counters().conflicts), (4, 1));
    }

    #[test]
    fn news_of_our_address_is_a_conflict() {
        let mut t = table(&test_config::config());
        let mut news =
            NeighbourAdvertisement { target: v6("2001:db8::1"), ..say(Some(THIEF), false, true) };
        hear(&mut t, news, at(1));
        news.target_mac = Some(US);
        hear(&mut t, news, at(1));
        assert_eq!(t.counters().conflicts, 1, "our own voice is none");
        assert_eq!(requests(&mut t, at(1))[0].kind, RequestKind::Announce);
    }

    /// RFC 4861 §7.2.5 and appendix C, row by row.
    #[test]
    fn advertisements_by_the_rules() {
        use State::{Incomplete, Probe, Reachable, Stale};
        let (same, other) = (Some(HOST), Some(THIEF));
        // state before, MAC, solicited, override; state after, MAC after
        let rows = [
            (Incomplete, None, true, true, Incomplete, None),
            (Incomplete, same, true, false, Reachable, same),
            (Incomplete, same, false, true, Stale, same),
            (Reachable, other, true, false, Stale, same),
            (Stale, other, true, false, Stale, same),
            (Probe, other, false, false, Probe, same),
            (Probe, same, true, false, Reachable, same),
            (Probe, None, true, true, Reachable, same),
            (Stale, other, true, true, Reachable, other),
            (Reachable, other, false, true, Stale, other),
            (Reachable, same, false, true, Reachable, same),
            (Stale, same, false, true, Stale, same),
            (Probe, same, false, true, Probe, same),
        ];
        for (before, mac, solicited, override_entry, after, mac_after) in rows {
            let mut t = table(&test_config::config());
            let id = id_of(t.resolve(LAN, ip("2001:db8::9"), at(0)));
            if before != Incomplete {
                hear(&mut t, say(same, before == Reachable, true), at(0));
            }
            if before == Probe {
                t.confirm_use(id, at(0));
                t.handle_timeout(at(5));
            }
            assert_eq!(state(&t, id), before);
            hear(&mut t, say(mac, solicited, override_entry), at(6));
            let entry = t.get(id).unwrap();
            let case = (before, mac, solicited, override_entry);
            assert_eq!((entry.state, entry.mac), (after, mac_after), "{case:?}");
            assert_eq!(entry.router, after != Incomplete, "{case:?}");
        }
    }
}

mod any_order {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Op {
        Resolve(u8),
        Hold(u8),
        Arp { reply: bool, mac: u8, sender: u8, to_us: bool },
        Confirm(u8),
        Use(u8),
        Acquire(u8),
        Release(u8),
        Clear(u8),
        Pass(u16),
    }

    fn op() -> impl Strategy<Value = Op> {
        let host = 2u8..14;
        prop_oneof![
            4 => host.clone().prop_map(Op::Resolve),
            3 => (0u8..8).prop_map(Op::Hold),
            4 => (any::<bool>(), 2u8..5, host, any::<bool>())
                .prop_map(|(reply, mac, sender, to_us)| Op::Arp { reply, mac, sender, to_us }),
            1 => (0u8..8).prop_map(Op::Confirm),
            1 => (0u8..8).prop_map(Op::Use),
            2 => (0u8..8).prop_map(Op::Acquire),
            2 => (0u8..8).prop_map(Op::Release),
            1 => (0u8..8).prop_map(Op::Clear),
            4 => (0u16..20_000).prop_map(Op::Pass),
        ]
    }

    proptest! {
        /// Whatever happens: the bound holds, every packet held comes out exactly once, referenced
        /// numbers do not change their address, and the index agrees with the slots.
        #[test]
        fn nothing_is_lost_or_doubled(ops in prop::collection::vec(op(), 0..300)) {
            let mut config = test_config::config();
            config.limits.neighbours = 6;
            let mut t = table(&config);
            let mut now = at(0);
            let (mut given, mut back) = (0u32, Vec::new());
            let mut references: Vec<(NeighbourId, IpAddr)> = Vec::new();
            for op in ops {
                match op {
                    Op::Resolve(host) => {
                        t.resolve(LAN, IpAddr::from([10, 0, 0, host]), now);
                    }
                    Op::Hold(n) => {
                        given += 1;
                        if let Err((item, _)) = t.hold(NeighbourId(n.into()), given) {
                            back.push(item);
                        }
                    }
                    Op::Arp { reply, mac, sender, to_us } => {
                        let op = if reply { ArpOp::Reply } else { ArpOp::Request };
                        let target = if to_us { "10.0.0.1" } else { "10.0.0.77" };
                        let mut packet = arp(op, Mac([2, 0, 0, 0, 1, mac]), "10.0.0.9", target);
                        packet.sender_ip = [10, 0, 0, sender].into();
                        hear(&mut t, &packet, now);
                    }
                    Op::Confirm(n) => t.confirm(NeighbourId(n.into()), now),
                    Op::Use(n) => t.confirm_use(NeighbourId(n.into()), now),
                    Op::Acquire(n) => {
                        if let Some(entry) = t.get(NeighbourId(n.into())) {
                            t.acquire(entry.id);
                            references.push((entry.id, entry.address));
                        }
                    }
                    Op::Release(n) => {
                        if !references.is_empty() {
                            let (id, _) = references.remove(usize::from(n) % references.len());
                            t.release(id);
                        }
                    }
                    Op::Clear(n) => {
                        t.clear(|entry| entry.id.0 == u32::from(n), now);
                    }
                    Op::Pass(millis) => {
                        now = now + Duration::from_millis(millis.into());
                        t.handle_timeout(now);
                        prop_assert!(t.poll_timeout().is_none_or(|due| due > now));
                    }
                }
                for event in events(&mut t) {
                    match event {
                        NeighbourEvent::Resolved { held, .. } | NeighbourEvent::Lost { held, .. } => {
                            back.extend(held);
                        }
                        NeighbourEvent::Changed { .. } | NeighbourEvent::Conflict { .. } => {}
                    }
                }
                requests(&mut t, now);
                prop_assert!(t.len() <= 6);
                for (id, address) in &references {
                    prop_assert_eq!(t.get(*id).map(|entry| entry.address), Some(*address));
                }
                for entry in t.iter() {
                    prop_assert_eq!(t.lookup(entry.interface, entry.address), Some(entry.id));
                    prop_assert_eq!(entry.mac.is_some(), entry.state.is_resolved());
                }
            }
            for (id, _) in references {
                t.release(id);
            }
            t.clear(|_| true, now);
            for event in events(&mut t) {
                if let NeighbourEvent::Resolved { held, .. } | NeighbourEvent::Lost { held, .. } = event {
                    back.extend(held);
                }
            }
            back.sort_unstable();
            prop_assert_eq!(back, (1..=given).collect::<Vec<_>>());
            prop_assert!(t.is_empty());
        }
    }
}
