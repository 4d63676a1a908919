//! A node between two in-memory links: the first packets set the session up, the rest is served by
//! the engine, and both directions keep their bytes.

mod common;

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use api::{Backend, Request, Response};
use common::{CLIENT, CONFIG, LAN, SERVER, WAN};
use lockgate_node::{Attached, Node, Settings};
use offload::Direction;
use ports::{Frame, FramePool, Port, PortCapabilities, memory};
use wire::{Mac, Time, Tuple, build, emit::Ether, proto};

struct Bench {
    node: Node,
    client: memory::MemoryPort,
    server: memory::MemoryPort,
    wan: memory::MemoryControl,
    now: Time,
}

impl Bench {
    fn new() -> Self {
        let config = config::parse("test.toml", CONFIG).expect("valid").config;
        let frames = FramePool::new(512, 8);
        let (lan, client) = memory::pair(256, Default::default());
        let (wan, server) = memory::pair(256, Default::default());
        let control = wan.control();
        let attached = [lan, wan].map(|port| Attached { queues: vec![Box::new(port)], mac: None });
        let settings = Settings {
            ciphers: Default::default(),
            seed: 7,
            random: gateway::rng::simulated,
            stopwatch: || 0,
        };
        let node = Node::new(Arc::new(config), attached.into(), &[frames], settings, Time::ZERO);
        Self { node, client, server, wan: control, now: Time::from_secs(1) }
    }

    fn step(&mut self) {
        self.now = self.now + Duration::from_millis(1);
        self.node.step(self.now);
    }

    fn client_sends(&mut self, bytes: Vec<u8>) {
        self.client.send(&mut vec![Frame::from_vec(bytes)]);
        self.step();
    }

    fn server_sends(&mut self, bytes: Vec<u8>) {
        self.server.send(&mut vec![Frame::from_vec(bytes)]);
        self.step();
    }

    fn at_client(&mut self) -> Vec<Vec<u8>> {
        drain(&mut self.client)
    }

    fn at_server(&mut self) -> Vec<Vec<u8>> {
        drain(&mut self.server)
    }
}

fn drain(port: &mut memory::MemoryPort) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    while port.receive(&mut frames, 64) > 0 {}
    frames.iter().map(|frame| frame.bytes().to_vec()).collect()
}

fn ether(src: Mac, dst: Mac) -> Ether {
    Ether { src, dst, vlan: None }
}

#[test]
fn datagrams_that_leave_together_are_one_super_packet_where_the_port_takes_it() {
    let mut bench = Bench::new();
    let out = build::tuple(proto::UDP, ([10, 1, 0, 5], 5000), ([203, 0, 113, 9], 53));
    let (gateway, server) = (Ipv4Addr::new(203, 0, 113, 1), Ipv4Addr::new(203, 0, 113, 9));
    bench.client_sends(build::udp(ether(CLIENT, LAN), out, b"first"));
    bench.server_sends(build::arp_reply(SERVER, server, WAN, gateway));
    bench.at_server();
    for takes in [false, true] {
        bench.wan.set_capabilities(PortCapabilities {
            partial_checksum: takes,
            tso4: takes,
            tso6: takes,
            uso: takes,
        });
        let texts = ["one", "two", "six", "ten", "x"].map(str::as_bytes);
        let datagrams =
            texts.map(|text| Frame::from_vec(build::udp(ether(CLIENT, LAN), out, text)));
        bench.client.send(&mut datagrams.into());
        bench.step();
        let mut frames = Vec::new();
        while bench.server.receive(&mut frames, 64) > 0 {}
        let packets: Vec<_> = frames.iter().map(|frame| frame.on_wire().packets).collect();
        assert_eq!(packets, if takes { vec![5] } else { vec![1; 5] });
        let texts_seen: Vec<_> = frames
            .iter()
            .flat_map(|frame| {
                frame.bytes()[usize::from(wire::parse(frame.bytes()).expect("valid").payload)..]
                    .to_vec()
            })
            .collect();
        assert_eq!(texts_seen, texts.concat());
    }
    assert_eq!(bench.node.frames().in_use(), 0);
}

#[test]
fn a_udp_session_is_set_up_translated_promoted_and_served_by_the_engine() {
    let mut bench = Bench::new();
    let out = build::tuple(proto::UDP, ([10, 1, 0, 5], 5000), ([203, 0, 113, 9], 53));

    // ==== the first packet waits for the server's MAC address
    bench.client_sends(build::udp(ether(CLIENT, LAN), out, b"one"));
    let asked = bench.at_server();
    assert_eq!(asked.len(), 1, "an ARP request");
    let (gateway, server) = (Ipv4Addr::new(203, 0, 113, 1), Ipv4Addr::new(203, 0, 113, 9));
    bench.server_sends(build::arp_reply(SERVER, server, WAN, gateway));
    let first = bench.at_server();
    assert_eq!(first.len(), 1, "the packet that waited");
    let headers = wire::parse(&first[0]).expect("valid");
    let translated = Tuple { src: gateway.into(), ..out };
    assert_eq!(headers.tuple.dst, translated.dst);
    assert_eq!(headers.tuple.src, translated.src);
    assert_eq!(headers.ttl, 63);
    wire::verify_l4_checksum(&first[0], &headers).expect("checksum");
    let outside = headers.tuple;

    // ==== the answer finds the session; the client's MAC is asked for
    bench.server_sends(build::udp(ether(SERVER, WAN), outside.reversed(), b"answer"));
    assert_eq!(bench.at_client().len(), 1, "an ARP request");
    let client = Ipv4Addr::new(10, 1, 0, 5);
    bench.client_sends(build::arp_reply(CLIENT, client, LAN, Ipv4Addr::new(10, 1, 0, 1)));
    let answer = bench.at_client();
    assert_eq!(answer.len(), 1);
    assert_eq!(wire::parse(&answer[0]).expect("valid").tuple, out.reversed());

    // ==== the next packets lead to the installation of both directions
    for _ in 0..4 {
        bench.client_sends(build::udp(ether(CLIENT, LAN), out, b"more"));
        bench.server_sends(build::udp(ether(SERVER, WAN), outside.reversed(), b"more"));
    }
    assert_eq!(bench.at_server().len(), 4);
    assert_eq!(bench.at_client().len(), 4);
    let gateway = bench.node.gateway();
    let (_, session) = gateway.sessions().page(0, 16).next().expect("a session");
    for direction in Direction::BOTH {
        let state = session.ledger.direction(direction).state();
        assert!(state.is_installed(), "{} {state:?}", direction.name());
    }
    drop(gateway);

    // ==== from here on the engine serves every packet, and the bytes are the same
    let before = bench.node.gateway().engine().engine_stats().forwarded_packets;
    for _ in 0..10 {
        bench.client_sends(build::udp(ether(CLIENT, LAN), out, b"fast"));
    }
    let fast = bench.at_server();
    assert_eq!(fast.len(), 10);
    let headers = wire::parse(&fast[9]).expect("valid");
    assert_eq!((headers.tuple, headers.ttl), (outside, 63));
    assert_eq!((headers.eth_src, headers.eth_dst), (WAN, SERVER));
    wire::verify_l4_checksum(&fast[9], &headers).expect("checksum");
    let after = bench.node.gateway().engine().engine_stats().forwarded_packets;
    assert_eq!(after - before, 10);

    // ==== the session's counters are the sum over tiers
    let request = Request::ShowSessions { filter: None, limit: None, cursor: None, offload: true };
    let Ok(Response::Sessions(view)) = bench.node.handle(request) else { panic!("sessions") };
    let session = &view.sessions[0];
    assert_eq!(session.original_traffic.total().packets, 15);
    assert_eq!(session.reply_traffic.total().packets, 5);
    assert_eq!(session.placements[0].status, api::PlacementStatus::Hitting);
}
