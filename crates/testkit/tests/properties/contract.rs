//! The counter contract, and order within a flow, under changes at random moments.
//!
//! Flows send numbered packets both ways through a gateway whose configuration, sessions and next
//! hops change meanwhile, so that they move to the engine and back all the time. Every packet must
//! come out exactly once and in order, and a session's counters must be the number of packets that
//! came out, at any moment.

use core::time::Duration;
use std::collections::BTreeMap;

use lockgate_testkit::{
    rig::{ALLOW_NAT, Rig, describe, out_tuple},
    rng::Rng,
};
use proptest::prelude::*;
use wire::{Mac, Tuple, build, proto};

const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

/// A conversation whose packets carry numbers.
struct Flow {
    tuple: Tuple,
    /// As the server sees it, once it has.
    seen: Option<Tuple>,
    /// Packets since the session began, by direction: sent, and come out.
    sent: [u32; 2],
    came: [u32; 2],
    /// Number of the next packet, by direction.
    next: [u32; 2],
    /// Number of the next packet that must come out.
    expected: [u32; 2],
    /// TCP: next sequence numbers.
    sequence: [u32; 2],
    /// TCP: what has come out, by direction; what is still on its way cannot be acknowledged.
    arrived: [u32; 2],
}

struct World {
    rig: Rig,
    flows: Vec<Flow>,
    rng: Rng,
    port: u16,
    /// All that ever came out.
    total: u64,
    server_mac: Mac,
}

impl World {
    fn new(name: &str, seed: u64) -> Self {
        let mut rig = Rig::new(name, &config(0));
        rig.net.stop_capturing();
        let server_mac = rig.peer_mac("wan0");
        let mut world = Self {
            rig,
            flows: Vec::new(),
            rng: Rng::new(seed),
            port: 10_000,
            total: 0,
            server_mac,
        };
        for kind in [proto::UDP, proto::TCP, proto::ICMP, proto::UDP, proto::TCP, proto::ICMPV6] {
            let flow = world.fresh(kind, kind == proto::ICMPV6);
            world.flows.push(flow);
        }
        world
    }

    fn fresh(&mut self, proto: u8, v6: bool) -> Flow {
        self.port += 1;
        let dst_port = if matches!(proto, proto::ICMP | proto::ICMPV6) { 0 } else { 4000 };
        Flow {
            tuple: out_tuple(proto, self.port, dst_port, v6),
            seen: None,
            sent: [0; 2],
            came: [0; 2],
            next: [0; 2],
            expected: [0; 2],
            sequence: [1000, 5000],
            arrived: [1000, 5000],
        }
    }

    /// Some packets of some flows, all at once.
    fn burst(&mut self) {
        for _ in 0..1 + self.rng.below(12) {
            let flow = self.rng.below(self.flows.len() as u64) as usize;
            match self.flows[flow].seen {
                None => {
                    // The server answers only what it has seen: the opening goes alone.
                    self.settle();
                    if self.flows[flow].seen.is_none() {
                        self.open(flow);
                    }
                }
                Some(_) => {
                    let direction = self.rng.below(2) as usize;
                    self.queue(flow, direction);
                }
            }
        }
        self.settle();
    }

    fn open(&mut self, index: usize) {
        if self.flows[index].tuple.proto == proto::TCP {
            self.segment(index, 0, SYN);
            self.settle();
            self.segment(index, 1, SYN | ACK);
            self.settle();
            self.segment(index, 0, ACK);
        } else {
            self.queue(index, 0);
        }
        self.settle();
        assert!(self.flows[index].seen.is_some(), "the opening packet came out");
    }

    fn queue(&mut self, index: usize, direction: usize) {
        if self.flows[index].tuple.proto == proto::TCP {
            self.segment(index, direction, ACK);
            return;
        }
        let packet = self.packet(index, direction);
        self.transmit(index, direction, &packet);
    }

    /// A TCP segment; its payload is its number, except in the handshake.
    fn segment(&mut self, index: usize, direction: usize, flags: u8) {
        let packet = self.packet(index, direction);
        let flow = &mut self.flows[index];
        let acknowledged = if flags & ACK == 0 { 0 } else { flow.arrived[1 - direction] };
        let packet = packet.tcp(flags, flow.sequence[direction], acknowledged);
        flow.sequence[direction] += if flags & SYN == 0 { 4 } else { 5 };
        self.transmit(index, direction, &packet);
    }

    fn packet(&mut self, index: usize, direction: usize) -> build::Packet {
        let flow = &mut self.flows[index];
        let number = flow.next[direction];
        flow.next[direction] += 1;
        let packet = match (direction, flow.seen) {
            (1, Some(seen)) => self.rig.packet("wan0", seen.reversed()),
            _ => self.rig.packet("lan0", flow.tuple),
        };
        packet.payload(&number.to_be_bytes())
    }

    fn transmit(&mut self, index: usize, direction: usize, packet: &build::Packet) {
        self.flows[index].sent[direction] += 1;
        self.rig.queue(["lan0", "wan0"][direction], packet);
    }

    /// Lets everything come out, and checks it.
    fn settle(&mut self) {
        self.rig.settle();
        for (direction, port) in [(0, "wan0"), (1, "lan0")] {
            for bytes in self.rig.take(port) {
                self.came_out(direction, &bytes);
            }
        }
        for flow in &mut self.flows {
            flow.arrived = flow.sequence;
            assert_eq!(flow.sent, flow.came, "lost of {}:\n{}", flow.tuple, self.rig.snapshot());
        }
    }

    fn came_out(&mut self, direction: usize, bytes: &[u8]) {
        let headers = wire::parse(bytes).expect("a packet");
        wire::verify_l4_checksum(bytes, &headers).expect("its checksum is right");
        let number =
            bytes[..headers.end as usize].last_chunk::<4>().map(|b| u32::from_be_bytes(*b));
        let flow = if direction == 1 {
            self.flows.iter_mut().find(|flow| flow.tuple.reversed() == headers.tuple)
        } else {
            assert_eq!(headers.eth_dst, self.server_mac, "to where the server is now");
            self.flows
                .iter_mut()
                .find(|flow| flow.seen == Some(headers.tuple) || flow.opens(&headers.tuple))
        };
        let Some(flow) = flow else {
            panic!("of no flow: {}", describe(&[bytes.to_vec()]));
        };
        if direction == 0 && flow.seen.is_none() {
            flow.seen = Some(headers.tuple);
        }
        assert_eq!(
            number,
            Some(flow.expected[direction]),
            "lost, doubled or reordered: {}",
            flow.tuple
        );
        flow.expected[direction] += 1;
        flow.came[direction] += 1;
        self.total += 1;
    }

    /// Session counters against what came out; flows without a session begin anew.
    fn check(&mut self) {
        let sessions: BTreeMap<_, _> = self
            .rig
            .net
            .sessions(self.rig.gateway, "")
            .into_iter()
            .map(|session| ((session.original.src_port, session.original.proto), session))
            .collect();
        for index in 0..self.flows.len() {
            let flow = &self.flows[index];
            let key = (flow.tuple.src_port, flow.tuple.proto);
            match sessions.get(&key) {
                Some(session) => {
                    let counted = [session.original_traffic, session.reply_traffic]
                        .map(|traffic| traffic.total().packets as u32);
                    assert_eq!(counted, flow.came, "{}", flow.tuple);
                }
                None if flow.seen.is_some() => {
                    let (proto, v6) = (flow.tuple.proto, flow.tuple.is_v6());
                    self.flows[index] = self.fresh(proto, v6);
                }
                None => {}
            }
        }
        let counters = self.rig.snapshot();
        let forwarded = counters.get("engine.forwarded")
            + counters.get("slow.setup")
            + counters.get("slow.established");
        assert_eq!(forwarded, self.total, "the tiers together forwarded what came out\n{counters}");
        assert_eq!(counters.sum("drop."), 0, "{counters}");
    }

    fn change(&mut self) {
        match self.rng.below(6) {
            0 | 1 => {
                let number = self.rng.below(CONFIGS);
                self.rig.apply_unsettled(&config(number));
            }
            2 => {
                let port = self.rng.pick(&self.flows).tuple.src_port;
                // Packets on their way would find no session: they are let through first.
                self.settle();
                self.rig.net.clear_sessions(self.rig.gateway, &format!("port {port}"));
                self.rig.settle();
                self.check();
            }
            3 => {
                let wait = self.rng.below(12_000);
                self.rig.wait(Duration::from_millis(wait));
            }
            4 => {
                let spec = lockgate_testkit::ask::packet("10.1.0.5", "203.0.113.9", 17, 9, 9);
                self.rig.net.simulate(self.rig.gateway, spec);
            }
            _ => {
                let id = self.rig.net.trace_start(self.rig.gateway, "", 5);
                self.burst();
                self.rig.net.trace_stop(self.rig.gateway, id);
            }
        }
    }
}

impl Flow {
    /// Whether a packet outside, of a tuple nobody has seen, is this flow's first.
    fn opens(&self, outside: &Tuple) -> bool {
        self.seen.is_none()
            && self.sent[0] == 1
            && self.came[0] == 0
            && self.tuple.proto == outside.proto
            && self.tuple.dst == outside.dst
    }
}

const CONFIGS: u64 = 6;

/// Configurations that all allow the flows and translate them alike.
fn config(number: u64) -> String {
    let other = "[[policy]]\nid = 9\nfrom = \"inside\"\nto = \"outside\"\nservice = \"tcp/23\"\naction = \"deny\"\n";
    let local = "[[local-in]]\nname = \"ping\"\nservice = \"ping\"\naction = \"allow\"\n";
    match number {
        0 => format!("{ALLOW_NAT}[offload]\nafter-packets = 2\n"),
        1 => format!("{ALLOW_NAT}[offload]\nmode = \"off\"\n"),
        2 => format!("{other}{ALLOW_NAT}"),
        3 => format!("{ALLOW_NAT}offload = \"off\"\n"),
        4 => format!("{ALLOW_NAT}{local}[offload]\nafter-packets = 1\n"),
        _ => format!("{ALLOW_NAT}[[route]]\nto = \"192.0.2.0/24\"\nblackhole = true\n"),
    }
}

proptest! {
    #![proptest_config(crate::cases(24))]

    #[test]
    fn counters_are_the_sum_over_tiers_and_order_is_kept(seed: u64, rounds in 5usize..40) {
        let mut world = World::new("contract", seed);
        for _ in 0..rounds {
            world.burst();
            world.check();
            world.change();
        }
        world.burst();
        world.check();
    }
}
