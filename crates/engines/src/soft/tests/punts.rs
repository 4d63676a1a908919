//! Every punt cause, and what bounds punts.

use std::collections::BTreeSet;

use offload::{SaProgram, tcp_window::Segment};
use ports::{Gso, GsoKind};
use reason::Reason;
use wire::tcp::flags::{ACK, FIN, RST, SYN};

use super::*;

#[test]
fn every_cause_is_reached_and_leaves_the_frame_as_it_came() {
    let mut rig = Rig::new(unlimited(16));
    let tcp = |n| Tuple { proto: proto::TCP, ..udp(n) };
    rig.install(&outbound(udp(0), natted(0), 0));
    rig.install(&FlowProgram { ingress: OUT, ..outbound(udp(1), natted(1), 1) });
    rig.install(&FlowProgram { epoch: rig.epochs.now(3), ..outbound(udp(2), natted(2), 2) });
    rig.epochs.bump(3);
    rig.install(&FlowProgram { adjacency: AdjacencyId(3), ..outbound(udp(3), natted(3), 3) });
    rig.install(&FlowProgram { mtu: 100, ..outbound(udp(4), natted(4), 4) });
    let window = rig.windows.alloc().expect("room");
    rig.windows.open(window, &Segment { flags: SYN, ..Segment::default() }, None);
    rig.install(&FlowProgram { tcp_window: Some(window), ..outbound(tcp(5), tcp(5), 5) });

    let sealing = esp::Outbound::new(sa(300), rig.now).expect("a sound SA");
    let sealing = SaProgram::Outbound { sa: Arc::new(sealing), adjacency: TO_ROUTER };
    let sealing = rig.control.install_sa(sealing, rig.now).expect("room");
    rig.install(&FlowProgram { sa: Some(sealing), ..outbound(udp(6), udp(6), 6) });

    let host = |tuple| from_host(tuple).payload(&[9; 100]);
    let plain = |packet: build::Packet| frame(&packet);
    // the first 104 bytes of a datagram of 108: more fragments, four bytes less, and the checksum
    let mut fragment = host(udp(0)).build();
    fragment.truncate(14 + 20 + 104);
    fragment[17] -= 4;
    fragment[20] |= 0x20;
    let sum = u32::from(!u16::from_be_bytes([fragment[24], fragment[25]])) + 0x2000 + 0xfffb;
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = !(((sum & 0xffff) + (sum >> 16)) as u16);
    fragment[24..26].copy_from_slice(&sum.to_be_bytes());
    let mut segments = plain(host(udp(0)));
    segments.offloads.gso = Some(Gso { kind: GsoKind::Tcp4, size: 50, ecn: false });
    let mut broken = host(udp(0)).build();
    broken[24] ^= 0xff;
    let control = |flags| plain(host(tcp(5)).tcp(flags, 1, 1));
    let mut full = plain(host(udp(6)));
    full.extend(full.tailroom()).expect("room");
    let arp = build::arp_request(HOST, [10, 0, 0, 5].into(), [10, 0, 0, 1].into());

    let mut cases = vec![
        (PuntCause::FlowMiss, plain(host(udp(99)))),
        (PuntCause::NotIp, Frame::from_vec(arp)),
        (PuntCause::NotIp, Frame::from_vec([&[0xff; 12][..], &[0x88, 0xcc, 0, 0]].concat())),
        (PuntCause::Malformed, Frame::from_vec(broken)),
        (PuntCause::Malformed, Frame::from_vec(vec![1, 2, 3])),
        (PuntCause::Fragment, Frame::from_vec(fragment)),
        (PuntCause::IpOptions, plain(host(udp(0)).ip_options(&[1, 1, 1, 1]))),
        (PuntCause::TcpControl, control(SYN)),
        (PuntCause::TcpControl, control(FIN | ACK)),
        (PuntCause::TcpControl, control(RST)),
        (PuntCause::TcpWindow, control(ACK)),
        (PuntCause::TtlExpiring, plain(host(udp(0)).ttl(1))),
        (PuntCause::ExceedsMtu, plain(host(udp(4)))),
        (PuntCause::BufferFull, full),
        (PuntCause::StaleEpoch, plain(host(udp(2)))),
        (PuntCause::IngressMoved, plain(host(udp(1)))),
        (PuntCause::SuperPacketUnsupported, segments),
        (PuntCause::AdjacencyLost, plain(host(udp(3)))),
        (PuntCause::NotForUs, plain(host(udp(0)).macs(HOST, ROUTER))),
        (PuntCause::NotForUs, plain(host(udp(0)).macs(HOST, Mac::BROADCAST))),
        (PuntCause::InterfaceUnknown, plain(host(udp(0)).vlan(99))),
        (PuntCause::SaMiss, plain(host(Tuple { proto: proto::ESP, ..udp(0) }))),
    ];
    cases.extend(super::associations::exceptions(&mut rig));
    // `tests::associations` has the one that is opened before
    let mut reached = BTreeSet::from([PuntCause::DtlsControl]);
    for (cause, frame) in cases {
        let before = frame.bytes().to_vec();
        let mut rx = vec![frame];
        rig.workers[0].process(PortId(0), &mut rx, rig.now, &mut rig.out);
        let punt = rig.out.punts.pop().expect("punted");
        assert_eq!(punt.cause, cause);
        assert_eq!(punt.frame.bytes(), before, "{cause}");
        reached.insert(cause);
    }
    assert_eq!(reached.len(), PuntCause::ALL.len(), "every cause is in the list");
    assert!(rig.offer(0, plain(host(udp(0)))).is_ok(), "the plain one passes");
    let punts = rig.control.engine_stats().punts;
    assert_eq!(punts[PuntCause::TcpControl.index()], 3);
    let counted = |cause: &&PuntCause| punts[cause.index()] > 0;
    assert_eq!(PuntCause::ALL.iter().filter(counted).count(), PuntCause::ALL.len() - 1);
}

#[test]
fn an_interface_that_is_down_takes_nothing() {
    let mut rig = Rig::new(unlimited(8));
    rig.install(&outbound(udp(0), natted(0), 1));
    let mut down = interfaces();
    down[0].enabled = false;
    rig.control.set_interfaces(&down);
    let cause = rig.offer(0, frame(&from_host(udp(0)))).err();
    assert_eq!(cause, Some(PuntCause::InterfaceUnknown));
    rig.control.set_interfaces(&interfaces());
    assert!(rig.offer(0, frame(&from_host(udp(0)))).is_ok());
    assert_eq!(rig.offer(7, frame(&from_host(udp(0)))).err(), Some(PuntCause::InterfaceUnknown));
}

#[test]
fn the_ring_is_bounded_and_causes_have_limits_of_their_own() {
    let mut limits = PuntLimits::NONE;
    limits.set(PuntCause::TtlExpiring, Some(PuntLimit { rate: 10, burst: 2 }));
    let mut rig = Rig::new(SoftConfig { punt_ring: 5, punt_limits: limits, ..unlimited(8) });
    rig.install(&outbound(udp(0), natted(0), 1));
    let mut rx: Vec<_> = (0..4).map(|_| frame(&from_host(udp(0)).ttl(1))).collect();
    rx.extend((0..6).map(|n| frame(&from_host(udp(50 + n)))));
    rx.push(frame(&from_host(udp(0))));
    rig.workers[0].process(PortId(0), &mut rx, rig.now, &mut rig.out);
    assert!(rx.is_empty());
    assert_eq!((rig.out.tx.len(), rig.out.punts.len(), rig.out.dropped.len()), (1, 5, 5));
    let stats = rig.control.engine_stats();
    assert_eq!(stats.punts[PuntCause::TtlExpiring.index()], 2);
    assert_eq!(stats.punt_limited[PuntCause::TtlExpiring.index()], 2);
    assert_eq!(stats.punts[PuntCause::FlowMiss.index()], 3);
    assert_eq!(stats.punt_ring_full[PuntCause::FlowMiss.index()], 3);
    assert_eq!((stats.punt_depth, stats.punt_capacity), (5, 5));
    assert_eq!((stats.hits, stats.misses), (1, 6));
}

#[test]
fn any_number_of_frames_is_served_in_bursts_and_in_order() {
    let mut rig = Rig::new(unlimited(8));
    rig.install(&outbound(udp(0), natted(0), 1));
    let mut rx: Vec<_> =
        (0..200u8).map(|n| frame(&from_host(udp(u16::from(n % 3))).payload(&[n]))).collect();
    rig.workers[0].process(PortId(0), &mut rx, rig.now, &mut rig.out);
    let last = |frame: &Frame| frame.bytes()[42];
    let sent: Vec<_> = rig.out.tx.iter().map(|(_, frame)| last(frame)).collect();
    let punted: Vec<_> = rig.out.punts.iter().map(|punt| last(&punt.frame)).collect();
    assert_eq!(sent, (0..200).filter(|n| n % 3 == 0).collect::<Vec<u8>>());
    assert_eq!(punted, (0..200).filter(|n| n % 3 != 0).collect::<Vec<u8>>());
    assert_eq!(rig.control.engine_stats().bursts, 4);
}
