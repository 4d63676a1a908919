//! Packets no honest sender makes, and sources that send too much.

use core::net::{IpAddr, Ipv4Addr};
use core::time::Duration;

use config::model::{Anomaly, Sensor, SensorAction};
use proptest::prelude::*;
use reason::DropReason;
use wire::{Time, build, parse, proto};

use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn tcp(flags: u8) -> Option<DropReason> {
    let flow = build::tuple(proto::TCP, ([10, 0, 0, 5], 5000), ([10, 0, 0, 9], 80));
    let frame = build::tcp(build::ETHER, flow, flags, 1, 2, b"");
    malformed(&parse(&frame).unwrap(), |a| a == ip("10.0.0.1"))
}

#[test]
fn flags_that_make_no_sense() {
    for flags in [0x00, 0x03, 0x06, 0x01, 0x29, 0x3f, 0x07, 0xc0] {
        assert_eq!(tcp(flags), Some(DropReason::AnomalyTcpFlags), "{flags:#04x}");
    }
    // SYN, SYN+ACK, ACK, FIN+ACK, RST, RST+ACK, PSH+ACK, SYN with ECN, SYN+ACK with ECE
    for flags in [0x02, 0x12, 0x10, 0x11, 0x04, 0x14, 0x18, 0xc2, 0x52] {
        assert_eq!(tcp(flags), None, "{flags:#04x}");
    }
}

#[test]
fn land_and_spoofed() {
    let judge = |src: [u8; 4], dst: [u8; 4]| {
        let frame = build::udp(build::ETHER, build::tuple(proto::UDP, (src, 1), (dst, 2)), b"");
        malformed(&parse(&frame).unwrap(), |a| a == ip("10.0.0.1"))
    };
    assert_eq!(judge([10, 0, 0, 7], [10, 0, 0, 7]), Some(DropReason::AnomalyLand));
    assert_eq!(judge([10, 0, 0, 1], [10, 0, 0, 7]), Some(DropReason::AnomalySpoofed));
    assert_eq!(judge([10, 0, 0, 1], [10, 0, 0, 1]), Some(DropReason::AnomalyLand));
    assert_eq!(judge([10, 0, 0, 7], [10, 0, 0, 1]), None);
    let arp = build::arp_request(wire::Mac([2; 6]), Ipv4Addr::LOCALHOST, Ipv4Addr::LOCALHOST);
    assert_eq!(malformed(&parse(&arp).unwrap(), |_| true), None);
}

#[test]
fn addresses_that_cannot_be() {
    let senders = [
        "0.0.0.0",
        "0.1.2.3",
        "127.0.0.1",
        "224.0.0.1",
        "239.1.1.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "ff02::1",
        "::ffff:10.0.0.1",
    ];
    for address in senders {
        assert!(is_martian_source(ip(address)), "{address}");
    }
    let receivers = ["0.0.0.0", "127.0.0.1", "250.0.0.1", "::", "::1", "::ffff:10.0.0.1"];
    for address in receivers {
        assert!(is_martian_destination(ip(address)), "{address}");
    }
    for address in ["10.0.0.1", "169.254.0.1", "203.0.113.9", "2001:db8::1", "fe80::1"] {
        assert!(!is_martian_source(ip(address)), "{address}");
        assert!(!is_martian_destination(ip(address)), "{address}");
    }
    for group in ["224.0.0.1", "255.255.255.255", "ff02::1"] {
        assert!(!is_martian_destination(ip(group)), "{group}");
    }
    assert!(is_link_local(ip("169.254.3.3")) && is_link_local(ip("fe80::1")));
    assert!(!is_link_local(ip("10.0.0.1")) && !is_link_local(ip("2001:db8::1")));
}

fn sensor(per_second: u32, action: SensorAction) -> Option<Sensor> {
    Some(Sensor { per_second, action })
}

fn at(millis: u64) -> Time {
    Time::from_millis(millis)
}

#[test]
fn what_exceeds_the_threshold_of_a_second_is_told() {
    let config = Anomaly {
        syn: sensor(3, SensorAction::Block),
        udp: sensor(1, SensorAction::Monitor),
        ..Anomaly::default()
    };
    let mut s = Sensors::new(&config, 5);
    let (bad, good, dst) = (ip("10.0.0.5"), ip("10.0.0.6"), ip("203.0.113.9"));
    let syn = |s: &mut Sensors, src, millis| s.observe(SensorKind::Syn, src, dst, 80, at(millis));
    for n in 0..3 {
        assert_eq!(syn(&mut s, bad, 1000 + n), SensorVerdict::Pass);
    }
    for (rate, first) in [(4, true), (5, false)] {
        let exceeded = SensorVerdict::Exceeded {
            reason: DropReason::AnomalySynFlood,
            action: SensorAction::Block,
            rate,
            threshold: 3,
            first,
        };
        assert_eq!(syn(&mut s, bad, 1500), exceeded);
    }
    assert_eq!(syn(&mut s, good, 1500), SensorVerdict::Pass, "not blamed for another");
    assert_eq!(syn(&mut s, bad, 2000), SensorVerdict::Pass, "a new second");

    let udp = |s: &mut Sensors| s.observe(SensorKind::Udp, good, dst, 53, at(2100));
    assert_eq!(udp(&mut s), SensorVerdict::Pass);
    let SensorVerdict::Exceeded { reason, action, .. } = udp(&mut s) else {
        panic!("above the threshold")
    };
    let expected = (DropReason::AnomalyUdpFlood, SensorAction::Monitor);
    assert_eq!((reason, action), expected);
    for _ in 0..100 {
        let icmp = s.observe(SensorKind::Icmp, good, dst, 0, at(2200));
        assert_eq!(icmp, SensorVerdict::Pass, "not configured");
    }
    let counters = SensorCounters { observed: 109, blocked: 2, monitored: 1, displaced: 0 };
    assert_eq!(s.counters(), counters);
}

#[test]
fn a_scan_is_many_targets_not_many_packets() {
    let config = Anomaly { scan: sensor(20, SensorAction::Block), ..Anomaly::default() };
    let mut s = Sensors::new(&config, 5);
    let src = ip("2001:db8::5");
    for _ in 0..1000 {
        let verdict = s.observe(SensorKind::Syn, src, ip("2001:db8::9"), 443, at(0));
        assert_eq!(verdict, SensorVerdict::Pass);
    }
    let exceeded = (0..100).find(|n| {
        let verdict = s.observe(SensorKind::Scan, src, ip("2001:db8::9"), 1000 + n, at(1));
        matches!(verdict, SensorVerdict::Exceeded { reason: DropReason::AnomalyPortScan, .. })
    });
    assert!(exceeded.is_some_and(|n| (18..25).contains(&n)), "{exceeded:?}");
}

#[test]
fn block_is_told_before_monitor() {
    let config = Anomaly {
        syn: sensor(1, SensorAction::Monitor),
        scan: sensor(2, SensorAction::Block),
        ..Anomaly::default()
    };
    let mut s = Sensors::new(&config, 5);
    let reasons: Vec<_> = (0..4)
        .map(|n| s.observe(SensorKind::Syn, ip("10.0.0.5"), ip("10.1.0.9"), n, at(0)))
        .map(|verdict| match verdict {
            SensorVerdict::Pass => None,
            SensorVerdict::Exceeded { reason, .. } => Some(reason),
        })
        .collect();
    let (syn, scan) = (DropReason::AnomalySynFlood, DropReason::AnomalyPortScan);
    assert_eq!(reasons, [None, Some(syn), Some(scan), Some(scan)]);
}

#[test]
fn a_flood_from_made_up_sources_hides_no_steady_one_and_blames_nobody() {
    let config = Anomaly { syn: sensor(50, SensorAction::Block), ..Anomaly::default() };
    let mut s = Sensors::new(&config, 5);
    let (steady, dst) = (ip("10.0.0.5"), ip("203.0.113.9"));
    let mut blocked = 0;
    for n in 0..300_000u32 {
        let made_up = IpAddr::V4(Ipv4Addr::from(0x2000_0000 + n));
        let verdict = s.observe(SensorKind::Syn, made_up, dst, 80, at(10));
        assert_eq!(verdict, SensorVerdict::Pass);
        if n % 100 == 0 {
            let verdict = s.observe(SensorKind::Syn, steady, dst, 80, at(10));
            blocked += u32::from(verdict != SensorVerdict::Pass);
        }
    }
    assert_eq!(blocked, 3000 - 50);
    assert!(s.counters().displaced > 100_000);
    let top = s.top(2, at(1500));
    assert_eq!((top[0].source, top[0].syn), (steady, 3000));
    assert_eq!(top[1].syn, 1);
    assert!(s.top(2, at(2500)).is_empty(), "long ago");
}

#[test]
fn reload_keeps_counts_and_without_sensors_there_is_no_table() {
    let mut config = Anomaly::default();
    let mut s = Sensors::new(&config, 5);
    let (src, dst) = (ip("10.0.0.5"), ip("203.0.113.9"));
    assert_eq!(s.observe(SensorKind::Syn, src, dst, 80, at(0)), SensorVerdict::Pass);
    assert_eq!(s.counters().observed, 0);
    config.syn = sensor(5, SensorAction::Block);
    s.reload(&config);
    for _ in 0..3 {
        s.observe(SensorKind::Syn, src, dst, 80, at(0));
    }
    config.syn = sensor(3, SensorAction::Block);
    s.reload(&config);
    let verdict = s.observe(SensorKind::Syn, src, dst, 80, at(0));
    assert!(matches!(verdict, SensorVerdict::Exceeded { rate: 4, .. }));
}

#[test]
fn the_fixed_memory_is_as_documented() {
    assert_eq!(table::SOURCES, 65_536);
    assert!(size_of::<Option<table::Source>>() <= 96);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Near its threshold the scan sensor counts right to within a fifth, and never too many
    /// beyond the attempts made.
    #[test]
    fn the_sketch_counts(seed: u64, threshold in prop::sample::select(vec![50u32, 200, 1000, 5000])) {
        let config = Anomaly { scan: sensor(threshold, SensorAction::Monitor), ..Anomaly::default() };
        let mut s = Sensors::new(&config, seed);
        let src = ip("10.0.0.5");
        for n in 0..threshold {
            let dst = IpAddr::V4(Ipv4Addr::from(0x0b00_0000 + n / 7));
            s.observe(SensorKind::Scan, src, dst, (n % 7) as u16, at(0) + Duration::from_micros(1));
        }
        let counted = s.top(1, at(1))[0].targets;
        // five standard deviations of the sketch (5 %) and of the sampling (9 %)
        prop_assert!(counted <= threshold && counted >= threshold / 2, "{} of {}", counted, threshold);
    }
}
