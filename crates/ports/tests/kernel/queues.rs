//! Ports with several queues: each packet comes by one of them, a flow always by the same.

use std::{
    net::{SocketAddr, UdpSocket},
    sync::atomic::{AtomicU16, Ordering},
    time::{Duration, Instant},
};

use lockgate_ports::{
    Frame, FramePool, LinkState, Port,
    packet::{PacketOptions, PacketPort},
    tuntap::{TunTapMode, TunTapOptions, TunTapPort},
    xdp::{XdpOptions, XdpPort},
};
use wire::{Mac, build, emit::Ether, proto::UDP};

use crate::net::{Net, in_namespace, kernel_tests_wanted};

/// Flows that a host opens, and packets of each.
const FLOWS: u16 = 64;
const PACKETS: usize = 8;

/// First source port of all.
const FIRST: u16 = 20_000;

/// The source ports of the UDP datagrams that each queue receives, until `wanted` came or ten seconds have passed.
fn collect<P: Port>(queues: &mut [P], wanted: usize) -> Vec<Vec<u16>> {
    let mut by_queue = vec![Vec::new(); queues.len()];
    let (mut frames, limit) = (Vec::new(), Instant::now() + Duration::from_secs(10));
    while by_queue.iter().map(Vec::len).sum::<usize>() < wanted && Instant::now() < limit {
        for (queue, ports) in queues.iter_mut().zip(&mut by_queue) {
            queue.receive(&mut frames, 64);
            let datagrams = frames.drain(..).filter_map(|frame| wire::parse(frame.bytes()).ok());
            let ours = datagrams.filter(|headers| headers.tuple.dst_port == 7009);
            ports.extend(ours.map(|headers| headers.tuple.src_port));
        }
    }
    by_queue
}

/// A host sends, and all of it comes, spread over the queues by flows.
fn assert_spread<P: Port>(net: &Net, host: &str, to: &str, queues: &mut [P]) {
    // ports of their own each time: a socket lives on in a child that another test is about to start
    static NEXT: AtomicU16 = AtomicU16::new(FIRST + 2 * FLOWS);
    let first = NEXT.fetch_add(2 * FLOWS, Ordering::Relaxed);
    let last = first + FLOWS;
    let to: SocketAddr = format!("{to}:7009").parse().expect("an address");
    in_namespace(&net.name(host), || {
        for (first, packets) in [(first, PACKETS), (last, 1)] {
            for port in first..first + FLOWS {
                let socket = UdpSocket::bind(("0.0.0.0", port)).expect("bound");
                for _ in 0..packets {
                    socket.send_to(b"one of many", to).expect("sent");
                }
            }
        }
    });
    let wanted = usize::from(FLOWS) * (PACKETS + 1);
    let mut seen = collect(queues, wanted);
    // had one come twice, it would have come instead of one of the last
    for ports in &mut seen {
        assert!(ports.len() >= wanted / 8, "each queue has its share: {}", ports.len());
        ports.sort_unstable();
        let is_whole = |of: &[u16]| of.len() == if of[0] < last { PACKETS } else { 1 };
        assert!(ports.chunk_by(|a, b| a == b).all(is_whole), "whole flows: {ports:?}");
    }
    let mut all = seen.concat();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 2 * usize::from(FLOWS), "all flows");
}

/// Looks at each queue until its link is up, in the order given.
fn until_up<P: Port>(net: &Net, queues: &mut [P]) {
    let limit = Instant::now() + Duration::from_secs(10);
    for queue in queues {
        while queue.link() != LinkState::Up {
            assert!(Instant::now() < limit, "{:?}", queue.link());
            in_namespace(&net.name("g"), || queue.refresh());
        }
    }
}

#[test]
fn packet_queues_share_what_comes_and_are_a_group_again_when_the_device_is_back() {
    if !kernel_tests_wanted() {
        return;
    }
    let net = Net::new(&["a", "g"]);
    let host = || {
        net.veth(("a", "eth0"), ("g", "g0"));
        net.address("a", "eth0", 1);
        net.ip("a", "neighbour add 10.9.0.2 lladdr 02:00:00:00:00:09 dev eth0");
    };
    host();
    let pools = [FramePool::new(1024, 8), FramePool::new(1024, 8)];
    let options = PacketOptions { promiscuous: true, qdisc_bypass: false };
    let opened = in_namespace(&net.name("g"), || PacketPort::open_queues("g0", options, &pools));
    let mut queues = opened.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(queues.len(), 2, "the kernel of a test has groups");
    assert_spread(&net, "a", "10.9.0.2", &mut queues);

    // ==== what one queue sends, no queue receives
    let ether = Ether { src: Mac([2, 0, 0, 0, 0, 9]), dst: Mac([0xff; 6]), vlan: None };
    let tuple = build::tuple(UDP, ([10, 9, 0, 2], FIRST), ([10, 9, 0, 255], 7009));
    queues[0].send(&mut vec![Frame::from_vec(build::udp(ether, tuple, b"ours"))]);
    assert_eq!(queues[0].counters().tx_packets, 1);
    assert_spread(&net, "a", "10.9.0.2", &mut queues);

    // ==== another device of that name
    net.ip("a", "link delete eth0");
    for queue in &mut queues {
        in_namespace(&net.name("g"), || queue.refresh());
        assert_eq!(queue.link(), LinkState::Gone);
    }
    host();
    until_up(&net, &mut queues);
    assert_spread(&net, "a", "10.9.0.2", &mut queues);
    assert_eq!(pools.each_ref().map(|pool| pool.in_use()), [0, 0]);
}

#[test]
fn xdp_queues_are_divided_and_are_so_again_when_the_device_is_back() {
    if !kernel_tests_wanted() {
        return;
    }
    let net = Net::new(&["a", "g"]);
    let other = net.name("g");
    let host = || {
        let (near, far) = ("eth0 numtxqueues 3 numrxqueues 3", "g0 numtxqueues 3 numrxqueues 3");
        net.ip("a", &format!("link add {near} type veth peer name {far} netns {other}"));
        net.ip("g", "link set dev g0 addrgenmode none up");
        net.address("a", "eth0", 1);
        net.ip("a", "neighbour add 10.9.0.2 lladdr 02:00:00:00:00:09 dev eth0");
        net.run("a", "ethtool", "-K eth0 tx off");
    };
    host();
    let pools = [FramePool::new(1024, 8), FramePool::new(1024, 8)];
    let options = XdpOptions { promiscuous: true };
    let opened = in_namespace(&net.name("g"), || XdpPort::open_queues("g0", options, &pools));
    let mut queues = opened.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(queues.len(), 2, "two ports for three queues");
    assert!(queues[1].describe().mode.ends_with("receive queues: 3"), "{:?}", queues[1].describe());
    assert_spread(&net, "a", "10.9.0.2", &mut queues);

    // ==== another device of that name; the second port waits for the first one
    net.ip("a", "link delete eth0");
    for queue in &mut queues {
        in_namespace(&net.name("g"), || queue.refresh());
        assert_eq!(queue.link(), LinkState::Gone);
    }
    host();
    in_namespace(&net.name("g"), || queues[1].refresh());
    assert_eq!(queues[1].link(), LinkState::Gone);
    let hints = queues[1].describe().hints;
    assert!(hints.iter().any(|hint| hint.why.contains("that of the first worker")), "{hints:?}");
    until_up(&net, &mut queues);
    assert_spread(&net, "a", "10.9.0.2", &mut queues);

    // ==== and one with fewer queues than there are ports
    net.ip("a", "link delete eth0");
    net.veth(("a", "eth0"), ("g", "g0"));
    in_namespace(&net.name("g"), || queues[0].refresh());
    let hints = queues[0].describe().hints;
    assert!(hints.iter().any(|hint| hint.why.contains("as many receive queues")), "{hints:?}");
}

#[test]
fn tap_queues_share_what_the_host_sends() {
    if !kernel_tests_wanted() {
        return;
    }
    let net = Net::new(&["g"]);
    let pools = [FramePool::new(1024, 8), FramePool::new(1024, 8)];
    let open = |name: &str, mode| {
        let options = TunTapOptions { mode, ..TunTapOptions::default() };
        in_namespace(&net.name("g"), || TunTapPort::open_queues(name, options, &pools))
            .unwrap_or_else(|e| panic!("{e}"))
    };
    let mut queues = open("tap7", TunTapMode::Tap);
    assert_eq!(queues.len(), 2);
    net.ip("g", "address add 10.9.0.1/24 dev tap7");
    net.ip("g", "neighbour add 10.9.0.2 lladdr 02:00:00:00:00:09 dev tap7");
    assert_spread(&net, "g", "10.9.0.2", &mut queues);

    // ==== a device that was made with one queue has one
    net.ip("g", "tuntap add tun8 mode tun vnet_hdr");
    assert_eq!(open("tun8", TunTapMode::Tun).len(), 1);
}
