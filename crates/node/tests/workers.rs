//! A node whose second worker has a thread of its own: packets of every flow stay in order and none is lost
//! while flows are set up, promoted, sent back by reloads and promoted again.

mod common;

use std::{
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use api::{Backend, Request, Response};
use common::{CLIENT, CONFIG, LAN, SERVER, WAN};
use lockgate_node::{Attached, Node, Settings};
use ports::{Frame, FramePool, Port, memory};
use wire::{Time, build, emit::Ether, proto};

/// Flows at a time.
const FLOWS: u16 = 24;
/// Generations of flows, each with ports of its own.
const ROUNDS: u16 = 8;
/// Packets of each flow.
const PACKETS: u32 = 600;
/// Frames that may wait at either end before the sender waits for them.
const WAITING: usize = 256;

fn datagram(flow: u16, number: u32) -> Frame {
    let from = ([10, 1, 0, 5], 5000 + flow);
    let tuple = build::tuple(proto::UDP, from, ([203, 0, 113, 9], 53));
    let mut text = flow.to_be_bytes().to_vec();
    text.extend(number.to_be_bytes());
    Frame::from_vec(build::udp(Ether { src: CLIENT, dst: LAN, vlan: None }, tuple, &text))
}

/// Which flow and which packet of it a frame is, if it is one of ours.
fn read(frame: &Frame) -> Option<(u16, u32)> {
    let headers = wire::parse(frame.bytes()).ok()?;
    let text = frame.bytes().get(usize::from(headers.payload)..headers.end as usize)?;
    let [a, b, c, d, e, f] = *text.first_chunk()?;
    (headers.tuple.dst_port == 53)
        .then(|| (u16::from_be_bytes([a, b]), u32::from_be_bytes([c, d, e, f])))
}

#[test]
fn flows_stay_in_order_over_two_threads_and_every_change_of_tier() {
    let parse = |text: &str| Arc::new(config::parse("test.toml", text).expect("valid").config);
    // by one of them nothing may be promoted
    let text = format!("{CONFIG}[offload]\none-way-packets = 4\n[limits]\nworkers = 2\n");
    let configs = [parse(&text), parse(&text.replace("nat =", "offload = \"off\"\nnat ="))];
    let pools = [FramePool::new(2048, 8), FramePool::new(2048, 8)];
    let (lan, mut client) = memory::pair(4096, Default::default());
    let (wan, mut server) = memory::pair(4096, Default::default());
    let (near, far) = (lan.control(), server.control());
    let attached = [lan, wan].map(|port| Attached { queues: port.split(2), mac: None });
    let settings = Settings {
        ciphers: Default::default(),
        seed: 7,
        random: gateway::rng::simulated,
        stopwatch: || 0,
    };
    let mut node =
        Node::new(Arc::clone(&configs[0]), attached.into(), &pools, settings, Time::ZERO);
    let start = Instant::now();
    let now = move || Time::from_secs(1) + start.elapsed();

    // ==== the server's address is known before
    client.send(&mut vec![datagram(0, 0)]);
    node.step(now());
    let (gateway, at) = (Ipv4Addr::new(203, 0, 113, 1), Ipv4Addr::new(203, 0, 113, 9));
    server.send(&mut vec![Frame::from_vec(build::arp_reply(SERVER, at, WAN, gateway))]);
    node.step(now());
    while server.receive(&mut Vec::new(), 64) > 0 {}

    let mut taken = node.take_workers();
    assert_eq!(taken.len(), 1);
    let mut second = taken.remove(0);
    let (stop, by_second) = (AtomicBool::new(false), AtomicUsize::new(0));
    let mut by_first = 0;
    let mut next = vec![1u32; usize::from(FLOWS * ROUNDS)];
    std::thread::scope(|scope| {
        let (stop, by_second) = (&stop, &by_second);
        scope.spawn(move || {
            while !stop.load(Relaxed) {
                let stepped = second.step(now());
                by_second.fetch_add(stepped.frames, Relaxed);
                if stepped.frames == 0 {
                    second.rest();
                    std::thread::yield_now();
                }
            }
        });
        let sender = scope.spawn(move || {
            for round in 0..ROUNDS {
                for number in 1..=PACKETS {
                    let flows = round * FLOWS..(round + 1) * FLOWS;
                    client.send(&mut flows.map(|flow| datagram(flow, number)).collect());
                    while near.waiting() > WAITING || far.waiting() > WAITING {
                        std::thread::yield_now();
                    }
                }
            }
        });
        let total = u64::from(FLOWS * ROUNDS) * u64::from(PACKETS);
        let (mut seen, mut frames, mut reloads) = (0, Vec::new(), 0);
        let limit = Instant::now() + Duration::from_secs(60);
        while seen < total && Instant::now() < limit {
            by_first += node.step(now());
            if seen / 5_000 > reloads {
                reloads += 1;
                node.apply(Arc::clone(&configs[reloads as usize % 2]), now());
            }
            while server.receive(&mut frames, 64) > 0 {}
            for frame in frames.drain(..) {
                let Some((flow, number)) = read(&frame) else { continue };
                let expected = &mut next[usize::from(flow)];
                assert_eq!(number, *expected, "flow {flow}");
                *expected += 1;
                seen += 1;
            }
        }
        stop.store(true, Relaxed);
        sender.join().expect("the sender has sent all");
        assert_eq!(seen, total, "every packet has arrived");
        assert!(reloads >= 16, "{reloads}");
    });

    // ==== both have worked, on the fast path, and nothing is left anywhere
    let stats = node.gateway().engine().engine_stats();
    let others = by_second.load(Relaxed);
    assert!(by_first > 10_000 && others > 10_000, "{by_first} and {others} frames");
    assert!(stats.forwarded_packets > 50_000, "{}", stats.forwarded_packets);
    assert!(stats.installed > u64::from(FLOWS * ROUNDS), "flows came back: {}", stats.installed);
    let Ok(Response::System(view)) = node.handle(Request::ShowSystem) else { panic!("no view") };
    let frames = view.tables.iter().find(|table| table.name.as_ref() == "frames");
    let all: usize = pools.iter().map(|pool| pool.capacity()).sum();
    assert_eq!(frames.map(|table| (table.used, table.capacity)), Some((0, all as u64)));
    let left = pools.each_ref().map(|pool| pool.in_use());
    assert_eq!(left, [0, 0]);
}
