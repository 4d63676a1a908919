//! DTLS associations: a client behind a port is opened and sealed for like a tunnel.

use std::collections::BTreeSet;

use aead::{Algorithm, Selection};
use dtls::record::{ContentType, RecordKeys};
use offload::{ClientAddresses, SaProgram, datagrams_of};
use ports::{Gso, GsoKind};
use proptest::prelude::*;
use reason::{DropReason, Reason};

use super::*;

/// The interface of clients.
const CLIENTS: u16 = 20;
const NUMBER: u32 = 77;
const CLIENT: [u8; 4] = [10, 99, 0, 5];
const WRITER: usize = 1;

/// A client, as it stands on the other side.
struct Client {
    seals: dtls::Outbound,
    opens: dtls::Inbound,
    /// The gateway's halves.
    inbound: Arc<dtls::Inbound>,
    outbound: Arc<dtls::Outbound>,
    path: dtls::Path,
}

fn path(port: u16) -> dtls::Path {
    dtls::Path { local: ([192, 0, 2, 1], 443).into(), remote: ([198, 51, 100, 7], port).into() }
}

impl Client {
    fn new(path: dtls::Path, cipher: Algorithm) -> Self {
        let iv = if cipher == Algorithm::ChaCha20Poly1305 { 12 } else { 4 };
        let keys = |n: u8| RecordKeys::new(cipher, &[n; 32][..cipher.key_len()], &[n; 12][..iv]);
        let there = dtls::Path { local: path.remote, remote: path.local };
        let selection = Selection::default();
        let opens = |n| dtls::Inbound::new(&keys(n), 64, &selection).expect("right keys");
        let seals = |n, path| dtls::Outbound::new(keys(n), path, &selection).expect("right keys");
        Self {
            seals: seals(1, there),
            opens: opens(2),
            inbound: Arc::new(opens(1)),
            outbound: Arc::new(seals(2, path)),
            path,
        }
    }

    fn usual() -> Self {
        Self::new(path(5000), Algorithm::Aes256Gcm)
    }

    fn incoming(&self) -> SaProgram {
        SaProgram::DtlsInbound {
            sa: Arc::clone(&self.inbound),
            number: NUMBER,
            datagrams: Box::new(datagrams_of(self.path)),
            vr: 0,
            interface: CLIENTS,
            inner_vr: 0,
            client: ClientAddresses { v4: Some(CLIENT.into()), v6: None },
        }
    }

    fn outgoing(&self) -> SaProgram {
        let sa = Arc::clone(&self.outbound);
        SaProgram::DtlsOutbound { sa, number: NUMBER, adjacency: TO_HOST }
    }

    /// A packet of the client's as it reaches the gateway.
    fn sends(&self, inner: Tuple, payload: &[u8]) -> Frame {
        let packet = build::Packet::new(inner).payload(payload).build();
        let mut frame = Frame::from_vec(packet[14..].to_vec());
        self.seals.seal_packet(&mut frame, 0, Time::ZERO).expect("it fits");
        behind_ethernet(frame)
    }

    /// Some other record of the client's.
    fn says(&self, content: ContentType, text: &[u8]) -> Frame {
        let record = self.seals.seal_record(content, text, 0, Time::ZERO).expect("it fits");
        self.datagram(&record)
    }

    fn datagram(&self, payload: &[u8]) -> Frame {
        frame(&from_host(datagrams_of(self.path)).payload(payload))
    }

    /// What the client makes of a frame: the packet inside.
    fn receives(&self, frame: &Frame) -> Headers {
        let outer = wire::parse(frame.bytes()).expect("an outer packet");
        assert_eq!(outer.tuple, datagrams_of(self.path).reversed());
        let mut frame = Frame::from_vec(frame.bytes()[..outer.end as usize].to_vec());
        let opened = self.opens.open_packet(&mut frame, usize::from(outer.payload), 0, Time::ZERO);
        assert_eq!(opened, Ok(dtls::Opened::Packet(wire::IpVersion::V4)));
        parsed(&behind_ethernet(frame))
    }
}

fn behind_ethernet(frame: Frame) -> Frame {
    let version = frame.bytes()[0] >> 4;
    let ethertype: [u8; 2] = if version == 6 { [0x86, 0xdd] } else { [8, 0] };
    Frame::from_vec([&IN_MAC.0[..], &HOST.0, &ethertype, frame.bytes()].concat())
}

fn inner(n: u16) -> Tuple {
    build::tuple(proto::UDP, (CLIENT, 1000 + n), ([198, 51, 100, 9], 53))
}

/// From the client to the router.
fn from_client(n: u16) -> FlowProgram {
    FlowProgram { ingress: CLIENTS, ..outbound(inner(n), inner(n), u32::from(n)) }
}

/// And back.
fn to_client(n: u16, sa: Handle) -> FlowProgram {
    let back = inner(n).reversed();
    FlowProgram {
        ingress: OUT,
        sa: Some(sa),
        mtu: 1400,
        direction: Direction::Reply,
        ..outbound(back, back, u32::from(n))
    }
}

fn from_router(tuple: Tuple, payload: &[u8]) -> Frame {
    frame(&build::Packet::new(tuple).macs(ROUTER, OUT_MAC).payload(payload))
}

/// Serves one frame; whatever comes of it is in `out`.
fn process(rig: &mut Rig, port: u16, frame: Frame) {
    rig.out.tx.clear();
    rig.out.punts.clear();
    rig.out.dropped.clear();
    rig.workers[0].process(PortId(port), &mut vec![frame], rig.now, &mut rig.out);
}

fn drops(rig: &Rig, reason: DropReason) -> u64 {
    rig.control.engine_stats().drops[reason.index()]
}

/// One datagram for every cause that leaves an association's datagram to the slow path as it came.
pub(super) fn exceptions(rig: &mut Rig) -> Vec<(PuntCause, Frame)> {
    let client = Client::usual();
    rig.control.install_sa(client.incoming(), rig.now).expect("room");
    let clear = |content: u8, epoch: u8, first: u8| {
        let record = [content, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 0, 1, 0, 20];
        client.datagram(&[&record[..], &[first; 20]].concat())
    };
    let good = client.seals.seal_record(ContentType::ApplicationData, b"\0E", 0, Time::ZERO);
    let good = good.expect("it fits");
    let older = [&good[..2], &[0xff], &good[3..]].concat();
    vec![
        (PuntCause::DtlsContent, client.says(ContentType::Alert, &[1, 0])),
        (PuntCause::DtlsContent, client.says(ContentType::Handshake, &[20; 24])),
        (PuntCause::DtlsEpoch, clear(22, 0, 16)),
        (PuntCause::DtlsEpoch, clear(20, 0, 1)),
        (PuntCause::DtlsEpoch, clear(23, 2, 0)),
        (PuntCause::DtlsClientHello, clear(22, 0, 1)),
        (PuntCause::DtlsVersion, client.datagram(&older)),
        (PuntCause::DtlsShort, client.datagram(&good[..12])),
        (PuntCause::DtlsSeveral, client.datagram(&[&good[..], &good[..]].concat())),
    ]
}

#[test]
fn packets_of_a_client_go_out_and_answers_come_back_sealed() {
    for cipher in Algorithm::ALL {
        let mut rig = Rig::new(unlimited(16));
        let client = Client::new(path(5000), cipher);
        rig.control.install_sa(client.incoming(), rig.now).expect("room");
        let sealing = rig.control.install_sa(client.outgoing(), rig.now).expect("room");
        rig.install(&from_client(1));
        rig.install(&to_client(1, sealing));
        let (port, sent) = rig.offer(0, client.sends(inner(1), b"question")).expect("served");
        assert_eq!((port, parsed(&sent).tuple), (1, inner(1)));
        assert_eq!(parsed(&sent).ttl, 63);
        let answer = from_router(inner(1).reversed(), b"answer");
        let (port, sent) = rig.offer(1, answer).expect("served");
        assert_eq!(port, 0);
        assert_eq!(client.receives(&sent).tuple, inner(1).reversed());
        let (stats, len) = (rig.control.engine_stats(), 28 + 8);
        assert_eq!((stats.sas, stats.sa_hits, stats.opened, stats.sealed), (2, 1, 1, 1));
        assert_eq!(client.inbound.served(WRITER..WRITER + 1), (1, len));
        assert_eq!(client.outbound.served(WRITER..WRITER + 1), (1, 28 + 6));
    }
}

#[test]
fn a_client_cannot_send_as_another() {
    let mut rig = Rig::new(unlimited(16));
    let client = Client::usual();
    rig.control.install_sa(client.incoming(), rig.now).expect("room");
    // the flow of another client of the same interface
    let other = build::tuple(proto::UDP, ([10, 99, 0, 6], 1001), ([198, 51, 100, 9], 53));
    rig.install(&FlowProgram { ingress: CLIENTS, ..outbound(other, other, 1) });
    process(&mut rig, 0, client.sends(other, b"as another"));
    assert_eq!((rig.out.tx.len(), rig.out.punts.len(), rig.out.dropped.len()), (0, 0, 1));
    assert_eq!(drops(&rig, DropReason::RemoteSourceForeign), 1);
    let v6 = udp6(1);
    process(&mut rig, 0, client.sends(v6, b"with an address it has not"));
    assert_eq!(drops(&rig, DropReason::RemoteSourceForeign), 2);
}

#[test]
fn what_is_opened_without_a_flow_is_punted_as_the_packet_inside() {
    let mut rig = Rig::new(unlimited(16));
    let client = Client::usual();
    rig.control.install_sa(client.incoming(), rig.now).expect("room");
    process(&mut rig, 0, client.sends(inner(1), b"new"));
    let punt = rig.out.punts.pop().expect("punted");
    assert_eq!((punt.cause, punt.tunnel, punt.control), (PuntCause::FlowMiss, Some(CLIENTS), None));
    assert_eq!(parsed(&punt.frame).tuple, inner(1));
}

#[test]
fn what_is_no_packet_is_punted_once_it_is_opened() {
    let mut rig = Rig::new(unlimited(16));
    let client = Client::usual();
    rig.control.install_sa(client.incoming(), rig.now).expect("room");
    let request = client.says(ContentType::ApplicationData, &[3, 1, 2, 3]);
    let again = Frame::from_vec(request.bytes().to_vec());
    process(&mut rig, 0, request);
    let punt = rig.out.punts.pop().expect("punted");
    assert_eq!(
        (punt.cause, punt.tunnel, punt.control),
        (PuntCause::DtlsControl, None, Some(NUMBER))
    );
    assert_eq!(punt.frame.bytes(), [3, 1, 2, 3], "the slow path need not open it");
    process(&mut rig, 0, again);
    assert_eq!(drops(&rig, DropReason::DtlsReplayed), 1);
    let status = client.inbound.status();
    assert_eq!((status.total.packets, status.total.dummies, status.numbers), (0, 1, 1));
}

#[test]
fn what_is_not_authentic_or_came_before_is_dropped_by_name() {
    let mut rig = Rig::new(unlimited(16));
    let client = Client::usual();
    rig.control.install_sa(client.incoming(), rig.now).expect("room");
    rig.install(&from_client(1));
    let sent = client.sends(inner(1), b"once");
    let copy = |frame: &Frame| Frame::from_vec(frame.bytes().to_vec());
    let mut damaged = copy(&sent);
    *damaged.bytes_mut().last_mut().expect("bytes") ^= 1;
    process(&mut rig, 0, damaged);
    assert_eq!(drops(&rig, DropReason::DtlsBadRecordMac), 1);
    assert!(rig.offer(0, copy(&sent)).is_ok());
    process(&mut rig, 0, sent);
    assert_eq!(drops(&rig, DropReason::DtlsReplayed), 1);
}

#[test]
fn other_datagrams_to_the_port_are_served_as_ever() {
    let mut rig = Rig::new(unlimited(16));
    let client = Client::usual();
    rig.control.install_sa(client.incoming(), rig.now).expect("room");
    // QUIC of a host behind the gateway to a server elsewhere
    let quic = build::tuple(proto::UDP, ([10, 0, 0, 5], 6000), ([198, 51, 100, 80], 443));
    rig.install(&outbound(quic, quic, 1));
    let (port, sent) = rig.offer(0, frame(&from_host(quic))).expect("served");
    assert_eq!((port, parsed(&sent).tuple), (1, quic));
    // another client, that nobody has promoted
    let other = Client::new(path(5001), Algorithm::Aes256Gcm);
    assert_eq!(rig.offer(0, other.sends(inner(1), b"x")).err(), Some(PuntCause::FlowMiss));
    let stats = rig.control.engine_stats();
    assert_eq!((stats.sa_hits, stats.sa_misses), (0, 0));
}

#[test]
fn a_client_that_moves_keeps_its_flows_and_repeats_no_number() {
    let mut rig = Rig::new(unlimited(16));
    let mut client = Client::usual();
    let sealing = rig.control.install_sa(client.outgoing(), rig.now).expect("room");
    let opening = rig.control.install_sa(client.incoming(), rig.now).expect("room");
    rig.install(&from_client(1));
    rig.install(&to_client(1, sealing));
    let answer = || from_router(inner(1).reversed(), b"answer");
    client.receives(&rig.offer(1, answer()).expect("served").1);
    client.path = path(6000);
    let there = dtls::Path { local: client.path.remote, remote: client.path.local };
    client.seals = client.seals.moved(there);
    client.outbound = Arc::new(client.outbound.moved(client.path));
    // until the engine has the new one nothing is sealed with the old
    process(&mut rig, 1, answer());
    assert_eq!(drops(&rig, DropReason::DtlsNumbersExhausted), 1);
    assert!(rig.control.replace_sa(sealing, client.outgoing()));
    assert!(!rig.control.replace_sa(sealing, client.incoming()), "not the other way");
    assert!(rig.control.remove_sa(opening));
    rig.control.install_sa(client.incoming(), rig.now).expect("room");
    client.receives(&rig.offer(1, answer()).expect("served").1);
    assert!(rig.offer(0, client.sends(inner(1), b"question")).is_ok());
    assert_eq!(client.outbound.status().numbers, 2);
}

#[test]
fn super_packets_are_cut_and_each_piece_is_a_record() {
    let mut rig = Rig::new(unlimited(16));
    let client = Client::usual();
    let sealing = rig.control.install_sa(client.outgoing(), rig.now).expect("room");
    rig.install(&to_client(1, sealing));
    let pool = ports::FramePool::new(32, 2);
    let whole = from_router(inner(1).reversed(), &[7; 1000]);
    let mut pooled = pool.alloc(whole.len()).expect("room");
    pooled.bytes_mut().copy_from_slice(whole.bytes());
    pooled.offloads.gso = Some(Gso { kind: GsoKind::Udp, size: 300, ecn: false });
    process(&mut rig, 1, pooled);
    assert_eq!(rig.out.tx.len(), 4);
    let lens: Vec<_> =
        rig.out.tx.iter().map(|(_, frame)| client.receives(frame).payload_len()).collect();
    assert_eq!(lens, [300, 300, 300, 100]);
    assert_eq!(client.outbound.status().numbers, 4);
}

#[test]
fn what_does_not_fit_is_left_to_the_slow_path() {
    let mut rig = Rig::new(unlimited(16));
    let client = Client::usual();
    let sealing = rig.control.install_sa(client.outgoing(), rig.now).expect("room");
    rig.install(&to_client(1, sealing));
    let large = from_router(inner(1).reversed(), &[7; 1400]);
    assert_eq!(rig.offer(1, large).err(), Some(PuntCause::ExceedsMtu));
    let mut full = from_router(inner(1).reversed(), &[7; 100]);
    full.extend(full.tailroom() - 15).expect("room");
    assert_eq!(rig.offer(1, full).err(), Some(PuntCause::BufferFull));
    rig.control.remove_sa(sealing);
    let small = from_router(inner(1).reversed(), &[7; 100]);
    assert_eq!(rig.offer(1, small).err(), Some(PuntCause::SaMiss));
    assert_eq!(client.outbound.status().numbers, 0);
}

proptest! {
    /// The slow path has the same halves: whoever opens and seals at any moment, nothing is lost, doubled or
    /// out of order, and no record number is used twice.
    #[test]
    fn moving_between_the_tiers_at_any_moment_changes_nothing(steps in prop::collection::vec(0..6u8, 1..120)) {
        let mut rig = Rig::new(unlimited(16));
        let client = Client::usual();
        let (mut incoming, mut outgoing, mut flows) = (None, None, Vec::new());
        let (mut arrived, mut answered, mut count) = (vec![], vec![], 0u8);
        let mut numbers = BTreeSet::new();
        for step in steps {
            match step {
                0 => match incoming.take() {
                    Some(handle) => prop_assert!(rig.control.remove_sa(handle)),
                    None => incoming = rig.control.install_sa(client.incoming(), rig.now).ok(),
                },
                1 => match outgoing.take() {
                    Some(handle) => {
                        for flow in flows.drain(..) {
                            rig.control.remove(flow, DemotionReason::SaRemoved);
                        }
                        rig.events();
                        prop_assert!(rig.control.remove_sa(handle));
                    }
                    None => {
                        let handle = rig.control.install_sa(client.outgoing(), rig.now).expect("room");
                        flows = vec![rig.install(&from_client(1)), rig.install(&to_client(1, handle))];
                        outgoing = Some(handle);
                    }
                },
                _ => {
                    count += 1;
                    process(&mut rig, 0, client.sends(inner(1), &[count]));
                    let fast = rig.out.tx.pop().map(|(_, frame)| frame);
                    let punted = rig.out.punts.pop();
                    let frame = match (fast, punted) {
                        (Some(frame), None) => frame,
                        (None, Some(punt)) if punt.tunnel.is_some() => punt.frame,
                        (None, Some(punt)) => {
                            let mut frame = punt.frame;
                            let opened = client.inbound.open_packet(&mut frame, 42, 0, rig.now);
                            prop_assert_eq!(opened, Ok(dtls::Opened::Packet(wire::IpVersion::V4)));
                            behind_ethernet(frame)
                        }
                        other => panic!("{other:?}"),
                    };
                    arrived.push(frame.bytes()[parsed(&frame).payload as usize]);
                    process(&mut rig, 1, from_router(inner(1).reversed(), &[count]));
                    let sealed = match (rig.out.tx.pop(), rig.out.punts.pop()) {
                        (Some((_, frame)), None) => frame,
                        (None, Some(punt)) => {
                            let mut frame = punt.frame;
                            frame.pull_front(14);
                            client.outbound.seal_packet(&mut frame, 0, rig.now).expect("it fits");
                            behind_ethernet(frame)
                        }
                        other => panic!("{other:?}"),
                    };
                    let number: [u8; 8] = sealed.bytes()[45..53].try_into().expect("eight bytes");
                    prop_assert!(numbers.insert(number));
                    let mut frame = Frame::from_vec(sealed.bytes().to_vec());
                    let opened = client.opens.open_packet(&mut frame, 42, 0, Time::ZERO);
                    prop_assert_eq!(opened, Ok(dtls::Opened::Packet(wire::IpVersion::V4)));
                    answered.push(*frame.bytes().last().expect("bytes"));
                }
            }
        }
        let all: Vec<u8> = (1..=count).collect();
        prop_assert_eq!(&arrived, &all);
        prop_assert_eq!(&answered, &all);
        let (inbound, outbound) = (client.inbound.status().total, client.outbound.status().total);
        prop_assert_eq!((inbound.packets, outbound.packets), (u64::from(count), u64::from(count)));
        prop_assert!(inbound.errors.is_empty() && outbound.errors.is_empty());
    }
}
