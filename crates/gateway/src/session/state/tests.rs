use core::net::IpAddr;

use config::model::VrId;
use proptest::prelude::*;
use wire::{IpVersion, L3, Mac, Tuple};

use super::*;
use crate::session::Kind;

fn session(proto: u8) -> Session {
    let ip = |n| IpAddr::from([10, 0, 0, n]);
    let tuple = Tuple { src: ip(1), dst: ip(2), src_port: 5, dst_port: 6, proto };
    Session::new(Kind::Forward, VrId(0), tuple, tuple.reversed(), Time::ZERO)
}

fn headers(proto: u8, l4: u16, end: u32) -> Headers {
    Headers {
        eth_dst: Mac::default(),
        eth_src: Mac::default(),
        vlan: None,
        kind: L3::Ip(IpVersion::V4),
        l3: 0,
        l4,
        payload: l4 + 20,
        end,
        tuple: session(proto).original,
        ttl: 64,
        tos: 0,
        df: true,
        fragment: wire::Fragmentation::Whole,
        options: false,
        tcp_flags: 0,
        icmp_type: 0,
        icmp_code: 0,
    }
}

fn timeouts() -> Timeouts {
    let secs = Duration::from_secs;
    Timeouts {
        tcp_syn_sent: secs(1),
        tcp_syn_received: secs(2),
        tcp_established: secs(3),
        tcp_fin_wait: secs(4),
        tcp_time_wait: secs(5),
        udp_one_way: secs(6),
        udp: secs(7),
        icmp: secs(8),
        sctp: secs(9),
        generic: secs(10),
        reassembly: secs(11),
        neighbour_reachable: secs(12),
        neighbour_stale: secs(13),
    }
}

#[test]
fn anything_without_a_machine_is_one_way_until_it_is_answered() {
    let windows = TcpWindows::new(1);
    for (proto, one_way, both_ways) in [
        (proto::UDP, 6, 7),
        (proto::ICMP, 8, 8),
        (proto::ICMPV6, 8, 8),
        (proto::GRE, 10, 10),
        (89, 10, 10),
    ] {
        let mut session = session(proto);
        let mut see = |direction, at| {
            let now = Time::from_secs(at);
            let seen =
                session.observe(direction, &headers(proto, 20, 60), Transport::None, &windows, now);
            assert_eq!(session.last_seen, now);
            let secs = session.timeout(&timeouts()).as_secs();
            (seen, session.state(), secs, session.established_for_offload().first())
        };
        let pass = |state_changed| Observation::Pass { state_changed, closing: false };
        let waiting = Some(NotEligible::AwaitingReply);
        let (there, back) = (Direction::Original, Direction::Reply);
        assert_eq!(see(there, 1), (pass(true), SessionState::OneWay, one_way, waiting));
        assert_eq!(see(there, 2), (pass(false), SessionState::OneWay, one_way, waiting));
        assert_eq!(see(back, 3), (pass(true), SessionState::BothWays, both_ways, None));
        assert_eq!(see(there, 4), (pass(false), SessionState::BothWays, both_ways, None));
        assert_eq!(windows.used(), 0);
    }
}

#[test]
fn a_dropped_packet_leaves_the_session_as_it_was() {
    let windows = TcpWindows::new(1);
    let mut tcp = session(proto::TCP);
    let now = Time::from_secs(9);
    for transport in [Transport::None, Transport::Tcp(TcpSegment::default())] {
        let seen = tcp.observe(
            Direction::Original,
            &headers(proto::TCP, 20, 60),
            transport,
            &windows,
            now,
        );
        assert!(matches!(seen, Observation::Drop(_)));
    }
    assert_eq!((tcp.state(), tcp.last_seen, windows.used()), (SessionState::New, Time::ZERO, 0));
}

#[test]
fn a_syn_takes_a_window_and_a_reset_closes() {
    use wire::tcp::flags::{ACK, RST, SYN};
    let windows = TcpWindows::new(4);
    let mut session = session(proto::TCP);
    let mut see = |direction, flags: u8, ack: u32| {
        // a TCP header with nothing but numbers and flags
        let mut frame = [0; 40];
        frame[20 + 8..20 + 12].copy_from_slice(&ack.to_be_bytes());
        frame[32] = 5 << 4;
        frame[33] = flags;
        let headers = headers(proto::TCP, 20, 40);
        let read = transport(&frame, &headers);
        session.observe(direction, &headers, read, &windows, Time::ZERO)
    };
    let seen = see(Direction::Original, SYN, 0);
    assert_eq!(seen, Observation::Pass { state_changed: true, closing: false });
    let seen = see(Direction::Reply, RST | ACK, 1);
    assert_eq!(seen, Observation::Pass { state_changed: true, closing: true });
    assert_eq!(see(Direction::Original, SYN, 0), Observation::Reopen);
    assert_eq!(session.tcp_window(), Some(0));
    assert_eq!(session.established_for_offload().first(), Some(NotEligible::TcpClosing));
    assert_eq!(session.timeout(&timeouts()).as_secs(), 5);
}

#[test]
fn every_state_has_a_name_a_timeout_and_a_verdict_on_offload() {
    for state in SessionState::ALL {
        let mut tcp = session(proto::TCP);
        tcp.state = state;
        assert!(!tcp.timeout(&timeouts()).is_zero());
        assert!(state.name().bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{state}");
        let against = tcp.established_for_offload();
        assert_eq!(against.contains(NotEligible::TcpClosing), state.is_closing(), "{state}");
        if state.is_half_open() {
            assert!(against.contains(NotEligible::NotEstablished), "{state}");
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(
        frame in prop::collection::vec(any::<u8>(), 0..120),
        sctp in any::<bool>(),
        l4 in 0u16..130,
        end in 0u32..200,
    ) {
        let proto = if sctp { proto::SCTP } else { proto::TCP };
        let headers = headers(proto, l4, end);
        let read = transport(&frame, &headers);
        let windows = TcpWindows::new(1);
        let mut session = session(proto);
        for direction in Direction::BOTH {
            session.observe(direction, &headers, read, &windows, Time::ZERO);
        }
    }
}
