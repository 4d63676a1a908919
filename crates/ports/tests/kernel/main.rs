//! Kernel ports on real devices: traffic of real hosts crosses a forwarder made of two ports.
//!
//! Every test makes its own network namespaces and deletes them again, so it needs root and `ip`
//! (iproute2) and `ping`. Without them the tests fail, unless `LOCKGATE_SKIP_KERNEL_TESTS=1` says
//! that they are left out on purpose.

mod forwarder;
mod net;
mod queues;

use std::{net::SocketAddr, sync::Arc};

use forwarder::Forwarder;
use lockgate_ports::{
    Checksum, Frame, FramePool, Gso, GsoKind, LinkState, Port, PortCounters, PortError,
    packet::{PacketOptions, PacketPort},
    tuntap::{TunTapMode, TunTapOptions, TunTapPort},
    xdp::{XdpOptions, XdpPort},
};
use net::{Net, in_namespace, kernel_tests_wanted};
use wire::{
    Mac, build,
    checksum::Sum,
    emit::Ether,
    proto::{TCP, UDP},
};

/// Bytes a TCP transfer moves; enough for the sender's window to open and super-packets to form.
const TCP_BYTES: usize = 32 << 20;

fn packet(net: &Net, namespace: &str, device: &str, pool: &Arc<FramePool>) -> PacketPort {
    in_namespace(&net.name(namespace), || {
        PacketPort::open(device, PacketOptions { promiscuous: true, qdisc_bypass: false }, pool)
    })
    .unwrap_or_else(|e| panic!("{e}"))
}

fn tuntap(
    net: &Net,
    namespace: &str,
    name: &str,
    mode: TunTapMode,
    pool: &Arc<FramePool>,
) -> TunTapPort {
    in_namespace(&net.name(namespace), || {
        TunTapPort::open(name, TunTapOptions { mode, ..TunTapOptions::default() }, pool)
    })
    .unwrap_or_else(|e| panic!("{e}"))
}

fn xdp(net: &Net, namespace: &str, device: &str, pool: &Arc<FramePool>) -> XdpPort {
    in_namespace(&net.name(namespace), || {
        XdpPort::open(device, XdpOptions { promiscuous: true }, pool)
    })
    .unwrap_or_else(|e| panic!("{e}"))
}

/// Hosts `a` and `b`, each with a veth to the forwarder's namespace `g`, one subnet over both.
fn two_hosts() -> Net {
    let net = Net::new(&["a", "g", "b"]);
    for (host, port, octet) in [("a", "g0", 1), ("b", "g1", 2)] {
        net.veth((host, "eth0"), ("g", port));
        net.address(host, "eth0", octet);
    }
    net
}

/// Everything sent came out of the other port, whole, and no frame leaked.
fn assert_balanced(pool: &FramePool, [a, b]: [PortCounters; 2]) {
    assert_eq!((a.rx_errors, b.rx_errors), (0, 0), "{a:?} {b:?}");
    assert_eq!((a.tx_errors, b.tx_errors), (0, 0), "{a:?} {b:?}");
    assert_eq!((a.rx_dropped, b.rx_dropped), (0, 0), "{a:?} {b:?}");
    assert_eq!((a.tx_packets + a.tx_dropped, a.tx_super), (b.rx_packets, b.rx_super));
    assert_eq!((b.tx_packets + b.tx_dropped, b.tx_super), (a.rx_packets, a.rx_super));
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn packet_ports_forward_super_packets_whole() {
    if !kernel_tests_wanted() {
        return;
    }
    let (net, pool) = (two_hosts(), FramePool::new(512, 256));
    let [a, b] = ["g0", "g1"].map(|device| packet(&net, "g", device, &pool));
    assert!(a.capabilities().tso4 && a.capabilities().partial_checksum, "{:?}", a.describe());
    assert_eq!(a.mac().map(|m| m.to_string()), Some(net.mac("g", "g0")));
    assert_eq!(a.mtu(), Some(1500));
    let forwarder = Forwarder::start(a, b);
    for v6 in [false, true] {
        net.ping("a", 2, v6);
        net.tcp("a", "b", 2, v6, TCP_BYTES);
        net.tcp("b", "a", 1, v6, TCP_BYTES);
    }
    let seen = forwarder.seen();
    assert!(seen.tcp_super > 0, "{seen:?}");
    let counters = forwarder.stop();
    assert!(counters.iter().all(|c| c.rx_super > 0 && c.tx_super > 0), "{counters:?}");
    // Far more packets than frames: super-packets count as what they stand for.
    assert!(counters[0].rx_packets > seen.frames, "{counters:?} {seen:?}");
    assert_balanced(&pool, counters);
}

#[test]
fn udp_super_packets_pass_whole() {
    if !kernel_tests_wanted() {
        return;
    }
    let (net, pool) = (two_hosts(), FramePool::new(512, 256));
    let [a, b] = ["g0", "g1"].map(|device| packet(&net, "g", device, &pool));
    let whole = a.capabilities().uso;
    let forwarder = Forwarder::start(a, b);
    for v6 in [false, true] {
        net.udp_segments("a", "b", 2, v6, 40, 1400);
    }
    let seen = forwarder.seen();
    assert_eq!(seen.udp_super > 0, whole, "{seen:?}");
    let counters = forwarder.stop();
    assert!(counters[0].rx_packets >= 80, "{counters:?}");
    assert_balanced(&pool, counters);
}

#[test]
fn datagrams_are_joined_on_their_way_in_once_the_device_is_told_so() {
    if !kernel_tests_wanted() {
        return;
    }
    let (net, pool) = (two_hosts(), FramePool::new(512, 256));
    let [a, b] = ["g0", "g1"].map(|device| packet(&net, "g", device, &pool));
    let command = "ethtool -K g0 gro on rx-udp-gro-forwarding on";
    let hinted = |port: &PacketPort| port.describe().hints.iter().any(|h| h.command == command);
    assert!(hinted(&a), "{:?}", a.describe());
    let (program, arguments) = command.split_once(' ').expect("two words");
    net.run("g", program, arguments);
    assert!(!hinted(&a), "{:?}", a.describe());
    // each is sent alone, so the kernel is told to wait for more, instead of finding several when it is busy
    for (name, value) in [("napi_defer_hard_irqs", 4), ("gro_flush_timeout", 20_000_000)] {
        net.set("g", &format!("/sys/class/net/g0/{name}"), value);
    }
    let forwarder = Forwarder::start(a, b);
    net.udp_datagrams("a", "b", 2, 40, 1000);
    let seen = forwarder.seen();
    assert!(seen.udp_super > 0, "{seen:?}");
    let counters = forwarder.stop();
    assert!(counters[0].rx_packets >= 40 && counters[0].rx_packets > seen.frames, "{counters:?}");
    assert_balanced(&pool, counters);
}

#[test]
fn xdp_ports_forward_between_hosts_that_finish_their_checksums() {
    if !kernel_tests_wanted() {
        return;
    }
    let (net, pool) = (two_hosts(), FramePool::new(2048, 16));
    for host in ["a", "b"] {
        net.run(host, "ethtool", "-K eth0 tx off");
    }
    let [a, b] = ["g0", "g1"].map(|device| xdp(&net, "g", device, &pool));
    assert!(a.describe().mode.starts_with("af-xdp native copy"), "{:?}", a.describe());
    assert_eq!(a.mac().map(|m| m.to_string()), Some(net.mac("g", "g0")));
    assert_eq!(a.mtu(), Some(1500));
    let forwarder = Forwarder::start(a, b);
    for v6 in [false, true] {
        net.ping("a", 2, v6);
        net.tcp("a", "b", 2, v6, TCP_BYTES);
        net.tcp("b", "a", 1, v6, TCP_BYTES);
    }
    let counters = forwarder.stop();
    assert!(counters.iter().all(|c| c.rx_packets > 20_000 && c.rx_super == 0), "{counters:?}");
    for c in counters {
        assert_eq!((c.rx_errors, c.tx_errors), (0, 0), "{counters:?}");
    }
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn an_xdp_port_follows_its_device_and_leaves_nothing_behind() {
    if !kernel_tests_wanted() {
        return;
    }
    let (net, pool) = (two_hosts(), FramePool::new(512, 64));
    net.run("a", "ethtool", "-K eth0 tx off");
    let program = |net: &Net| net.shows("g", "-d link show dev g0", "prog/xdp");
    let mut a = xdp(&net, "g", "g0", &pool);
    let refresh = |a: &mut XdpPort, wanted| {
        in_namespace(&net.name("g"), || a.refresh_until(wanted));
    };
    refresh(&mut a, LinkState::Up);
    assert!(program(&net), "the program is at the device");
    let again = in_namespace(&net.name("g"), || XdpPort::open("g0", XdpOptions::default(), &pool));
    assert!(matches!(again.err(), Some(PortError::DeviceBusy { .. })));

    net.ip("g", "link set dev g0 down");
    refresh(&mut a, LinkState::Down);
    let mut frames = vec![pool.alloc(60).expect("free")];
    a.send(&mut frames);
    assert_eq!((a.counters().tx_dropped, frames.len()), (1, 0));
    net.ip("g", "link set dev g0 up");
    refresh(&mut a, LinkState::Up);
    net.ip("g", "link del g0");
    refresh(&mut a, LinkState::Gone);
    assert_eq!(a.receive(&mut frames, 64), 0);

    net.veth(("a", "eth0"), ("g", "g0"));
    net.address("a", "eth0", 1);
    net.run("a", "ethtool", "-K eth0 tx off");
    refresh(&mut a, LinkState::Up);
    assert!(program(&net), "it is at the new device");
    let b = xdp(&net, "g", "g1", &pool);
    let forwarder = Forwarder::start(a, b);
    net.ping("a", 2, false);
    let counters = forwarder.stop();
    assert!(counters[0].rx_packets > 0 && counters[0].tx_packets > 0);
    assert!(!program(&net), "the program goes with the port");
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn an_xdp_port_names_what_does_not_fit() {
    if !kernel_tests_wanted() {
        return;
    }
    let (net, pool) = (two_hosts(), FramePool::new(64, 4));
    let open = |device: &str| {
        let opened = || XdpPort::open(device, XdpOptions::default(), &pool);
        in_namespace(&net.name("g"), opened).err()
    };
    assert!(matches!(open("lo"), Some(PortError::WrongKind { .. })));
    assert!(matches!(open("nowhere"), Some(PortError::NoSuchDevice { .. })));
    net.ip("g", "link set dev g0 mtu 9000");
    let error = open("g0").map(|e| e.to_string()).unwrap_or_default();
    assert!(error.contains("an MTU of at most 3822 bytes"), "{error}");
    let nobody = in_namespace(&net.name("g"), || {
        net::become_nobody();
        XdpPort::open("g1", XdpOptions::default(), &pool).err()
    });
    assert!(matches!(nobody, Some(PortError::MissingCapability { .. })), "{nobody:?}");
}

#[test]
fn stripped_vlan_tags_come_back() {
    if !kernel_tests_wanted() {
        return;
    }
    let (net, pool) = (Net::new(&["a", "b"]), FramePool::new(512, 256));
    net.veth(("a", "eth0"), ("b", "eth0"));
    let [mut a, mut b] = ["a", "b"].map(|host| packet(&net, host, "eth0", &pool));
    for (v6, proto) in [(false, TCP), (true, TCP), (false, UDP), (true, UDP)] {
        for (payload, size) in [(100, None), (40_000, Some(1400))] {
            let sent = tagged_frame(&pool, v6, proto, payload, size);
            a.send(&mut vec![sent.try_clone().expect("free")]);
            let mut got = Vec::new();
            while got.is_empty() {
                assert!(net::readable(b.poll_fd().expect("attached"), 5000), "no frame came");
                b.receive(&mut got, 64);
            }
            assert_eq!(got.len(), 1);
            assert_eq!(
                got[0].bytes()[..22],
                sent.bytes()[..22],
                "addresses, tag with priority, type"
            );
            assert_eq!(got[0].bytes(), sent.bytes());
            assert_eq!(got[0].offloads, sent.offloads);
        }
    }
    let (sent, got) = (a.counters(), b.counters());
    assert_eq!((sent.tx_packets, sent.tx_bytes), (got.rx_packets, got.rx_bytes));
    assert_eq!((sent.tx_super, got.rx_super), (4, 4));
    drop((a, b));
    assert_eq!(pool.in_use(), 0);
}

/// A frame of VLAN 5, priority 3, with an unfinished checksum; a super-packet when `size` says so.
fn tagged_frame(
    pool: &Arc<FramePool>,
    v6: bool,
    proto: u8,
    payload: usize,
    size: Option<u16>,
) -> Frame {
    let mac = |last| Mac([2, 0, 0, 0, 0, last]);
    let ether = Ether { src: mac(1), dst: mac(2), vlan: Some(5) };
    let ends = if v6 { ["[fd09::1]:7", "[fd09::2]:7"] } else { ["10.9.0.1:7", "10.9.0.2:7"] };
    let [src, dst] = ends.map(|end| end.parse::<SocketAddr>().expect("valid"));
    let tuple = build::tuple(proto, src, dst);
    let payload: Vec<u8> = (0..251u8).cycle().take(payload).collect();
    let (bytes, field, kind) = match (proto, v6) {
        (TCP, false) => (build::tcp(ether, tuple, 0x10, 1, 1, &payload), 16, GsoKind::Tcp4),
        (TCP, true) => (build::tcp(ether, tuple, 0x10, 1, 1, &payload), 16, GsoKind::Tcp6),
        _ => (build::udp(ether, tuple, &payload), 6, GsoKind::Udp),
    };
    let mut frame = pool.alloc_from(&bytes).expect("free");
    frame.bytes_mut()[14] |= 3 << 5;
    let headers = wire::parse(frame.bytes()).expect("valid");
    let length = headers.end - u32::from(headers.l4);
    let sum = Sum::ZERO.pseudo(tuple.src, tuple.dst, proto, length).fold().to_be_bytes();
    let at = usize::from(headers.l4 + field);
    frame.bytes_mut()[at..at + 2].copy_from_slice(&sum);
    frame.offloads.checksum = Checksum::Partial { start: headers.l4, offset: field };
    frame.offloads.gso = size.map(|size| Gso { kind, size, ecn: false });
    frame
}

#[test]
fn a_tap_device_meets_a_veth() {
    if !kernel_tests_wanted() {
        return;
    }
    let (net, pool) = (Net::new(&["a", "g", "b"]), FramePool::new(512, 256));
    net.veth(("b", "eth0"), ("g", "g1"));
    net.address("b", "eth0", 2);
    let tap = tuntap(&net, "a", "lgtap0", TunTapMode::Tap, &pool);
    net.address("a", "lgtap0", 1);
    assert_ne!(tap.mac().map(|m| m.to_string()), Some(net.mac("a", "lgtap0")), "two stations");
    assert!(tap.capabilities().tso4 && tap.capabilities().tso6);
    let forwarder = Forwarder::start(tap, packet(&net, "g", "g1", &pool));
    for v6 in [false, true] {
        net.ping("a", 2, v6);
        net.tcp("a", "b", 2, v6, TCP_BYTES);
        net.tcp("b", "a", 1, v6, TCP_BYTES);
        net.udp_segments("a", "b", 2, v6, 40, 1400);
        net.udp_segments("b", "a", 1, v6, 40, 1400);
    }
    let counters = forwarder.stop();
    assert!(counters.iter().all(|c| c.rx_super > 0 && c.tx_super > 0), "{counters:?}");
    assert_balanced(&pool, counters);
}

#[test]
fn tun_devices_carry_ip_behind_a_made_up_link_layer() {
    if !kernel_tests_wanted() {
        return;
    }
    let (net, pool) = (Net::new(&["a", "b"]), FramePool::new(512, 256));
    let [a, b] = [("a", 1), ("b", 2)].map(|(host, octet)| {
        let port = tuntap(&net, host, "lgtun0", TunTapMode::Tun, &pool);
        net.address(host, "lgtun0", octet);
        port
    });
    let forwarder = Forwarder::start(a, b);
    for v6 in [false, true] {
        net.ping("a", 2, v6);
        net.tcp("a", "b", 2, v6, TCP_BYTES);
        net.udp_segments("b", "a", 1, v6, 40, 1400);
    }
    let counters = forwarder.stop();
    assert!(counters[0].rx_super > 0 && counters[1].tx_super > 0, "{counters:?}");
    assert_balanced(&pool, counters);
}

#[test]
fn a_tun_port_answers_for_the_other_side() {
    if !kernel_tests_wanted() {
        return;
    }
    let (net, pool) = (Net::new(&["a"]), FramePool::new(16, 4));
    let mut port = tuntap(&net, "a", "lgtun0", TunTapMode::Tun, &pool);
    let fd = port.poll_fd().expect("a descriptor");
    let mut frames = Vec::new();
    while port.receive(&mut frames, 64) > 0 {}
    frames.clear();
    let ours = port.mac().expect("a MAC");
    let (us, them) = ([10, 9, 0, 2].into(), [10, 9, 0, 1].into());
    frames.extend(pool.alloc_from(&wire::build::arp_request(ours, us, them)));
    port.send(&mut frames);
    assert!(net::readable(fd, 0), "the answer wakes whoever waits");
    while frames.is_empty() && net::readable(fd, 0) {
        port.receive(&mut frames, 1);
    }
    let answer = wire::parse(frames[0].bytes()).expect("a frame");
    assert_eq!((answer.kind, answer.eth_dst), (wire::L3::Arp, ours));
}

#[test]
fn link_state_follows_the_device_even_when_it_goes_and_comes_back() {
    if !kernel_tests_wanted() {
        return;
    }
    let (net, pool) = (two_hosts(), FramePool::new(512, 64));
    let [mut a, b] = ["g0", "g1"].map(|device| packet(&net, "g", device, &pool));
    a.refresh_until(LinkState::Up);
    net.ip("g", "link set dev g0 down");
    a.refresh_until(LinkState::Down);
    let mut frames = vec![pool.alloc(60).expect("free")];
    frames[0].bytes_mut().fill(0);
    a.send(&mut frames);
    assert_eq!((a.counters().tx_dropped, frames.len()), (1, 0));
    assert!(a.describe().hints.iter().any(|h| h.command == "ip link set dev g0 up"));
    net.ip("g", "link set dev g0 up");
    a.refresh_until(LinkState::Up);
    net.ip("g", "link del g0");
    a.refresh_until(LinkState::Gone);
    assert_eq!((a.poll_fd(), a.receive(&mut frames, 64)), (None, 0));

    net.veth(("a", "eth0"), ("g", "g0"));
    net.address("a", "eth0", 1);
    a.refresh_until(LinkState::Up);
    let forwarder = Forwarder::start(a, b);
    net.ping("a", 2, false);
    let counters = forwarder.stop();
    assert!(counters[0].rx_packets > 0 && counters[0].tx_packets > 0);
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn a_deleted_tap_device_is_made_again() {
    if !kernel_tests_wanted() {
        return;
    }
    let (net, pool) = (Net::new(&["a"]), FramePool::new(64, 4));
    let mut tap = tuntap(&net, "a", "lgtap0", TunTapMode::Tap, &pool);
    tap.refresh_until(LinkState::Up);
    net.ip("a", "link del lgtap0");
    let mut frames = Vec::new();
    while tap.receive(&mut frames, 64) > 0 {}
    assert_eq!((tap.link(), tap.poll_fd()), (LinkState::Gone, None));
    tap.refresh_until(LinkState::Up);
    // The kernel's side speaks as soon as it is up and has an address to defend.
    net.ip("a", "address add 10.9.0.1/24 dev lgtap0");
    net.send_datagram("a", "10.9.0.2:9");
    while frames.is_empty() {
        assert!(net::readable(tap.poll_fd().expect("attached"), 5000), "no frame came");
        tap.receive(&mut frames, 64);
    }
}

#[test]
fn each_cause_has_its_own_error() {
    if !kernel_tests_wanted() {
        return;
    }
    let (net, pool) = (Net::new(&["a"]), FramePool::new(4, 1));
    let tap = TunTapOptions::default();
    let tun = TunTapOptions { mode: TunTapMode::Tun, ..tap };
    let _held = tuntap(&net, "a", "lgtap0", TunTapMode::Tap, &pool);
    net.ip("a", "tuntap add dev lgtap1 mode tap");
    let held_tun = tuntap(&net, "a", "lgtun0", TunTapMode::Tun, &pool);
    in_namespace(&net.name("a"), || {
        let open =
            |name: &str, o| TunTapPort::open(name, o, &pool).map(|_| ()).expect_err("refused");
        let error = open("lgtap0", tap);
        assert!(matches!(error, PortError::DeviceBusy { .. }), "{error}");
        let error = open("lgtap9", TunTapOptions { attach_only: true, ..tap });
        assert!(matches!(error, PortError::NoSuchDevice { .. }), "{error}");
        let error = open("lgtap1", tun);
        assert!(matches!(error, PortError::WrongKind { .. }), "{error}");
        let open = |name: &str| {
            PacketPort::open(name, PacketOptions::default(), &pool)
                .map(|_| ())
                .expect_err("refused")
        };
        let error = open("eth9");
        assert!(matches!(error, PortError::NoSuchDevice { .. }), "{error}");
        let error = open("lgtun0");
        assert!(matches!(error, PortError::WrongKind { .. }), "{error}");
        net::become_nobody();
        let error = open("lo");
        assert!(matches!(error, PortError::MissingCapability { .. }), "{error}");
        let error = TunTapPort::open("lgtap2", tap, &pool).map(|_| ()).expect_err("refused");
        assert!(matches!(error, PortError::MissingCapability { .. }), "{error}");
    });
    drop(held_tun);
}

/// Waiting for the kernel, which settles link state on its own time.
trait RefreshUntil: Port {
    fn refresh_until(&mut self, wanted: LinkState) {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while self.link() != wanted {
            assert!(std::time::Instant::now() < deadline, "still {:?}", self.link());
            std::thread::yield_now();
            self.refresh();
        }
    }
}

impl<P: Port> RefreshUntil for P {}
