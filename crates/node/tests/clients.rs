//! A client in DTLS records between two in-memory links: the slow path opens and seals for it first, then the
//! engine does, and whoever does, its packets, its messages and what it may not do are the same.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use aead::{Algorithm, Selection};
use config::model::{IfId, VrId};
use dtls::record::{ContentType, RecordKeys};
use gateway::tunnel::{Association, ClientNumber, NewClient};
use lockgate_node::{Attached, Node, Settings};
use offload::{ClientAddresses, Direction};
use ports::{Frame, FramePool, Port, memory};
use reason::{DropReason, PuntCause, Reason};
use wire::{Headers, Mac, Time, Tuple, build, emit::Ether, proto};

const CONFIG: &str = r#"
[[port]]
name = "wan"
kind = "memory"
mac = "02:00:00:00:00:01"

[[port]]
name = "lan"
kind = "memory"
mac = "02:00:00:00:00:02"

[[port]]
name = "clients"
kind = "memory"
mac = "02:00:00:00:00:03"

[[interface]]
name = "wan"
port = "wan"
address = "203.0.113.1/24"
zone = "outside"

[[interface]]
name = "lan"
port = "lan"
address = "10.1.0.1/24"
zone = "inside"

[[interface]]
name = "clients"
port = "clients"
address = "10.99.0.1/24"
zone = "remote"

[[policy]]
id = 7
name = "clients-in"
from = "remote"
to = "inside"
action = "allow"
"#;

const WAN: Mac = Mac([2, 0, 0, 0, 0, 1]);
const LAN: Mac = Mac([2, 0, 0, 0, 0, 2]);
const THERE: Mac = Mac([2, 0, 0, 0, 0, 0x11]);
const HOST: Mac = Mac([2, 0, 0, 0, 0, 0x22]);
const CLIENTS: IfId = IfId(2);
const ADDRESS: [u8; 4] = [10, 99, 0, 5];
const SERVER: [u8; 4] = [10, 1, 0, 9];

/// One association, as the client has it.
struct There {
    seals: dtls::Outbound,
    opens: dtls::Inbound,
    path: dtls::Path,
}

/// Both ends of a new association from a port of the client's.
fn associate(port: u16, secret: u8) -> (There, Association) {
    let path = dtls::Path {
        local: ([203, 0, 113, 1], 443).into(),
        remote: ([203, 0, 113, 7], port).into(),
    };
    let mirrored = dtls::Path { local: path.remote, remote: path.local };
    let (cipher, all) = (Algorithm::Aes256Gcm, Selection::default());
    let keys = |side: u8| RecordKeys::new(cipher, &[secret ^ side; 32], &[side; 4]);
    let opens = |side| dtls::Inbound::new(&keys(side), 64, &all).expect("right keys");
    let seals = |side, path| dtls::Outbound::new(keys(side), path, &all).expect("right keys");
    let there = There { seals: seals(0, mirrored), opens: opens(1), path };
    let (inbound, outbound) = (Arc::new(opens(0)), Arc::new(seals(1, path)));
    (there, Association { path, cipher, inbound, outbound })
}

impl There {
    fn datagram(&self, payload: &[u8]) -> Vec<u8> {
        let ether = Ether { src: THERE, dst: WAN, vlan: None };
        let tuple = build::tuple(proto::UDP, self.path.remote, self.path.local);
        build::udp(ether, tuple, payload)
    }

    fn sends(&self, inner: Tuple, payload: &[u8]) -> Vec<u8> {
        let packet = build::Packet::new(inner).payload(payload).build();
        let text = [&[0][..], &packet[14..]].concat();
        self.says(&text)
    }

    fn says(&self, text: &[u8]) -> Vec<u8> {
        let content = ContentType::ApplicationData;
        self.datagram(&self.seals.seal_record(content, text, 0, Time::ZERO).expect("it fits"))
    }

    /// The payload of the packet in a frame.
    fn receives(&self, frame: &[u8]) -> (Tuple, Vec<u8>) {
        let outer = wire::parse(frame).expect("valid");
        let back = build::tuple(proto::UDP, self.path.local, self.path.remote);
        assert_eq!((outer.tuple, outer.eth_dst), (back, THERE));
        let mut record = frame[usize::from(outer.payload)..outer.end as usize].to_vec();
        let (_, text) = self.opens.open_record(&mut record, 0, Time::ZERO).expect("authentic");
        let text = &record[text];
        assert_eq!(text[0], 0);
        let framed = [&[0; 12][..], &[8, 0], &text[1..]].concat();
        let inner: Headers = wire::parse(&framed).expect("a packet");
        wire::verify_l4_checksum(&framed, &inner).expect("checksum");
        (inner.tuple, framed[usize::from(inner.payload)..inner.end as usize].to_vec())
    }
}

struct Bench {
    node: Node,
    wan: memory::MemoryPort,
    lan: memory::MemoryPort,
    number: ClientNumber,
    now: Time,
}

const INNER: fn() -> Tuple = || build::tuple(proto::UDP, (ADDRESS, 1000), (SERVER, 53));

impl Bench {
    /// A gateway that knows its neighbours, and a client with an association.
    fn new(association: Association) -> Self {
        let config = config::parse("test.toml", CONFIG).expect("valid").config;
        let (wan, there) = memory::pair(256, Default::default());
        let (lan, host) = memory::pair(256, Default::default());
        let (clients, _) = memory::pair(16, Default::default());
        let attached =
            [wan, lan, clients].map(|port| Attached { queues: vec![Box::new(port)], mac: None });
        let settings = Settings {
            ciphers: Default::default(),
            seed: 7,
            random: gateway::rng::simulated,
            stopwatch: || 0,
        };
        let frames = FramePool::new(512, 8);
        let node = Node::new(Arc::new(config), attached.into(), &[frames], settings, Time::ZERO);
        let mut gateway = node.gateway();
        gateway.lead_to_clients(CLIENTS, true);
        let addresses = ClientAddresses { v4: Some(ADDRESS.into()), v6: None };
        let is = NewClient { interface: CLIENTS, vr: VrId(0), addresses, mtu: 1400 };
        let number = gateway.open_client(is, Time::ZERO);
        let now = Time::from_secs(1);
        gateway.set_association(number, Some(association), now);
        drop(gateway);
        Self { node, wan: there, lan: host, number, now }
    }

    fn client_sends(&mut self, frame: Vec<u8>) -> Vec<Vec<u8>> {
        self.wan.send(&mut vec![Frame::from_vec(frame)]);
        self.step();
        drain(&mut self.lan)
    }

    fn host_sends(&mut self, payload: &[u8]) -> Vec<Vec<u8>> {
        let ether = Ether { src: HOST, dst: LAN, vlan: None };
        let frame = build::udp(ether, INNER().reversed(), payload);
        self.lan.send(&mut vec![Frame::from_vec(frame)]);
        self.step();
        drain(&mut self.wan)
    }

    fn step(&mut self) {
        self.now = self.now + Duration::from_millis(2);
        self.node.step(self.now);
    }

    /// Both neighbours answer who they are, once somebody has asked.
    fn resolve(&mut self, there: &There) {
        let (gateway, server) = (Ipv4Addr::new(10, 1, 0, 1), Ipv4Addr::from(SERVER));
        let asked = self.client_sends(there.sends(INNER(), b"0"));
        assert_eq!(asked.len(), 1, "an ARP request; {:?}", self.all_drops());
        self.lan.send(&mut vec![Frame::from_vec(build::arp_reply(HOST, server, LAN, gateway))]);
        self.step();
        assert_eq!(payload(&drain(&mut self.lan)), [b"0"]);
        assert_eq!(self.host_sends(b"0").len(), 1, "an ARP request");
        let (gateway, client) = (Ipv4Addr::new(203, 0, 113, 1), Ipv4Addr::new(203, 0, 113, 7));
        self.wan.send(&mut vec![Frame::from_vec(build::arp_reply(THERE, client, WAN, gateway))]);
        self.step();
        let answers = drain(&mut self.wan);
        assert_eq!(there.receives(&answers[0]), (INNER().reversed(), b"0".to_vec()));
    }

    /// Sends one each way, and both arrive.
    fn exchange(&mut self, there: &There, text: &[u8]) {
        assert_eq!(payload(&self.client_sends(there.sends(INNER(), text))), [text]);
        let answers = self.host_sends(text);
        assert_eq!(answers.len(), 1);
        assert_eq!(there.receives(&answers[0]), (INNER().reversed(), text.to_vec()));
    }

    fn installed(&self) -> [bool; 4] {
        let gateway = self.node.gateway();
        let client = gateway.clients().get(self.number).expect("it is there");
        let session = gateway.sessions().page(0, 4).next().expect("a session").1;
        let [out, back] =
            Direction::BOTH.map(|d| client.ledger.direction(d).state().is_installed());
        let [there, here] =
            Direction::BOTH.map(|d| session.ledger.direction(d).state().is_installed());
        [out, back, there, here]
    }

    fn engine(&self) -> (u64, u64) {
        let stats = self.node.gateway().engine().engine_stats();
        (stats.opened, stats.sealed)
    }

    fn all_drops(&self) -> Vec<(DropReason, u64)> {
        let counted = DropReason::ALL.iter().map(|reason| (*reason, self.drops(*reason)));
        counted.filter(|(_, n)| *n > 0).collect()
    }

    fn drops(&self, reason: DropReason) -> u64 {
        let gateway = self.node.gateway();
        let fast = gateway.engine().engine_stats().drops[reason.index()];
        fast + gateway.counters().dropped(reason)
    }
}

fn payload(frames: &[Vec<u8>]) -> Vec<&[u8]> {
    frames
        .iter()
        .map(|frame| {
            let headers = wire::parse(frame).expect("valid");
            wire::verify_l4_checksum(frame, &headers).expect("checksum");
            assert_eq!((headers.tuple, headers.eth_dst, headers.ttl), (INNER(), HOST, 63));
            &frame[usize::from(headers.payload)..headers.end as usize]
        })
        .collect()
}

fn drain(port: &mut memory::MemoryPort) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    while port.receive(&mut frames, 64) > 0 {}
    frames.iter().map(|frame| frame.bytes().to_vec()).collect()
}

#[test]
fn a_client_is_served_by_the_slow_path_first_and_then_by_the_engine() {
    let (there, association) = associate(5000, 7);
    let (inbound, outbound) = (association.inbound.clone(), association.outbound.clone());
    let mut bench = Bench::new(association);
    bench.resolve(&there);
    for n in 1..=4u8 {
        bench.exchange(&there, &[n]);
    }
    assert_eq!(bench.installed(), [true; 4]);
    let before = bench.engine();
    for n in 5..=14u8 {
        bench.exchange(&there, &[n]);
    }
    assert_eq!(bench.engine(), (before.0 + 10, before.1 + 10), "all of it by the engine");
    // the sum over the tiers is what there was, and no number was left out or used twice
    let (sent, got) = (outbound.status(), inbound.status());
    assert_eq!((sent.total.packets, sent.numbers), (15, 15));
    assert_eq!((got.total.packets, got.numbers), (15, 15));
    assert!(sent.writers[0].packets > 0 && sent.writers[1].packets >= 10);
    assert_eq!(got.writers[1].packets, 15, "nothing has to be known of the way to open");
}

#[test]
fn messages_come_to_the_owner_from_either_tier_and_are_opened_once() {
    let (there, association) = associate(5000, 7);
    let inbound = association.inbound.clone();
    let mut bench = Bench::new(association.clone());
    let of_engine = |bench: &Bench| {
        bench.node.gateway().engine().engine_stats().punts[PuntCause::DtlsControl.index()]
    };
    for n in 0..3u8 {
        assert!(bench.client_sends(there.says(&[3, n])).is_empty());
        let message = bench.node.gateway().poll_client_message();
        assert_eq!(message, Some((bench.number, vec![3, n])));
        assert_eq!(bench.node.gateway().poll_client_message(), None);
    }
    assert_eq!(of_engine(&bench), 3, "the engine has what opens from the beginning");
    // another takes its place, and what comes for the one before is the slow path's
    let (_, next) = associate(5001, 9);
    bench.node.gateway().set_association(bench.number, Some(next), bench.now);
    assert!(bench.client_sends(there.says(&[4, 9])).is_empty());
    let message = bench.node.gateway().poll_client_message();
    assert_eq!(message, Some((bench.number, vec![4, 9])));
    assert_eq!(of_engine(&bench), 3);
    let status = inbound.status();
    assert_eq!((status.total.dummies, status.total.packets, status.numbers), (4, 0, 4));
    assert_eq!(bench.drops(DropReason::DtlsReplayed), 0);
}

#[test]
fn a_client_cannot_send_as_another_on_either_tier() {
    let (there, association) = associate(5000, 7);
    let mut bench = Bench::new(association);
    bench.resolve(&there);
    let other = build::tuple(proto::UDP, ([10, 99, 0, 6], 1000), (SERVER, 53));
    for n in 1..=6u64 {
        assert!(bench.client_sends(there.sends(other, b"as another")).is_empty());
        assert_eq!(bench.drops(DropReason::RemoteSourceForeign), n);
        bench.exchange(&there, &[n as u8]);
    }
    assert_eq!(bench.installed(), [true; 4]);
    assert_eq!(bench.node.gateway().sessions().page(0, 4).count(), 1);
}

#[test]
fn a_new_association_takes_the_place_of_the_one_before_without_a_loss() {
    let (old, association) = associate(5000, 7);
    let mut bench = Bench::new(association);
    bench.resolve(&old);
    for n in 1..=4u8 {
        bench.exchange(&old, &[n]);
    }
    assert_eq!(bench.installed(), [true; 4]);
    let (new, association) = associate(5001, 9);
    let on_the_way = old.sends(INNER(), b"late");
    bench.node.gateway().set_association(bench.number, Some(association), bench.now);
    assert_eq!(bench.installed(), [true; 4], "nothing leaves the engine");
    assert_eq!(payload(&bench.client_sends(on_the_way)), [b"late"]);
    let before = bench.engine();
    for n in 5..=8u8 {
        bench.exchange(&new, &[n]);
    }
    assert_eq!(bench.engine(), (before.0 + 4, before.1 + 4));
}

#[test]
fn without_an_association_nothing_is_sent_and_with_the_next_one_flows_come_back() {
    let (old, association) = associate(5000, 7);
    let mut bench = Bench::new(association);
    bench.resolve(&old);
    for n in 1..=4u8 {
        bench.exchange(&old, &[n]);
    }
    bench.node.gateway().set_association(bench.number, None, bench.now);
    for n in 1..=3u64 {
        assert!(bench.host_sends(b"nobody").is_empty());
        assert_eq!(bench.drops(DropReason::DtlsNoAssociation), n);
    }
    let [out, _, _, here] = bench.installed();
    assert!(!out && !here, "the flow into it has left the engine too");
    let (new, association) = associate(5001, 9);
    bench.node.gateway().set_association(bench.number, Some(association), bench.now);
    for n in 5..=10u8 {
        bench.exchange(&new, &[n]);
    }
    assert_eq!(bench.installed(), [true; 4]);
    bench.node.gateway().close_client(bench.number, bench.now);
    assert!(bench.client_sends(new.sends(INNER(), b"gone")).is_empty());
    assert_eq!(bench.node.gateway().clients().iter().count(), 0);
}

#[test]
fn what_is_too_large_for_the_client_is_told_to_its_sender() {
    let (there, association) = associate(5000, 7);
    let mut bench = Bench::new(association);
    bench.resolve(&there);
    for n in 1..=4u8 {
        bench.exchange(&there, &[n]);
    }
    // 1400 bytes fit, one more does not, whichever tier is asked
    bench.exchange(&there, &[7; 1400 - 28]);
    let ether = Ether { src: HOST, dst: LAN, vlan: None };
    let large = build::Packet::new(INNER().reversed()).ether(ether).df(true).payload(&[7; 1373]);
    bench.lan.send(&mut vec![Frame::from_vec(large.build())]);
    bench.step();
    assert!(drain(&mut bench.wan).is_empty());
    let told = drain(&mut bench.lan);
    let headers = wire::parse(&told[0]).expect("valid");
    let icmp = &told[0][usize::from(headers.l4)..];
    assert_eq!((icmp[0], icmp[1], &icmp[6..8]), (3, 4, &1400u16.to_be_bytes()[..]));
}
