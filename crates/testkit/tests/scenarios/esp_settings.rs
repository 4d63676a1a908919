//! Settings of a tunnel, one by one: what keeps its outgoing SA off the engine, and what it sends while
//! it is silent.

use core::time::Duration;

use ::esp::{Inbound, KeyMaterial, Lifetime, Mode, Opened, Parameters};
use lockgate_testkit::rig::{BASE, NEIGHBOURS, Rig};
use ports::Frame;
use wire::{Time, proto};

use crate::esp::{KEY_OUT, config, far_end, identity, outward, payload, sas, sealed};

/// The SA that the far end receives by, in UDP or not.
fn far_receiver() -> Inbound {
    let parameters = Parameters {
        spi: 0x1001,
        suite: "aes256gcm16".parse().expect("a suite"),
        key: KeyMaterial::from_hex(KEY_OUT).expect("digits"),
        mode: Mode::Tunnel,
        source: [203, 0, 113, 2].into(),
        destination: [203, 0, 113, 9].into(),
        encapsulation: None,
        esn: false,
        replay_window: 1024,
        soft: Lifetime::default(),
        hard: Lifetime::default(),
        dscp: Default::default(),
        df: Default::default(),
        pad_to: None,
        hop_limit: 64,
        allow_null: false,
    };
    Inbound::new(parameters, Time::ZERO).expect("a sound SA")
}

/// Sends a packet into the tunnel, and takes what leaves.
fn send_one(rig: &mut Rig, n: usize) -> Vec<u8> {
    rig.send("lan0", &rig.packet("lan0", outward()).payload(&payload(n)));
    rig.one("wan0")
}

#[test]
fn without_egress_optimisation_the_outgoing_sa_alone_stays_on_the_slow_path() {
    let off = "egress-optimisation = false";
    let mut rig = Rig::new("esp-egress-off", &config("auto", 1, off));
    let sa = far_end();
    for n in 1..=6 {
        assert_eq!(identity(&send_one(&mut rig, n)), (0x1001, n as u32));
        let wire = sealed(&rig, &sa, &rig.packet("wan0", outward().reversed()).payload(b"back"));
        rig.send_bytes("wan0", &wire);
        rig.one("lan0");
    }
    let [out, incoming] = &sas(&mut rig)[..] else { panic!("two SAs") };
    let against: Vec<_> = out.against.iter().map(|f| f.reason.name.as_ref()).collect();
    assert_eq!(against, ["egress-optimisation-off"]);
    assert_eq!((out.fast.packets, out.slow.packets), (0, 6));
    assert_eq!((out.egress_optimisation, incoming.egress_optimisation), (Some(false), None));
    assert!(incoming.fast.packets > 0, "what comes in is served fast");
    assert_eq!(rig.snapshot().get("not-eligible.sa-not-eligible"), 1);
    rig.banner("switched on");
    rig.apply(&config("auto", 1, ""));
    for n in 7..=9 {
        assert_eq!(identity(&send_one(&mut rig, n)), (0x1001, n as u32));
    }
    assert!(sas(&mut rig)[0].fast.packets > 0);
}

#[test]
fn the_setting_for_all_tunnels_holds_where_a_tunnel_says_nothing() {
    for (of_tunnel, off) in [("", true), ("egress-optimisation = true", false)] {
        let all = config("auto", 1, of_tunnel)
            .replace("[offload]", "[offload]\negress-optimisation = false");
        let mut rig = Rig::new(&format!("esp-egress-global-{off}"), &all);
        for n in 1..=4 {
            send_one(&mut rig, n);
        }
        assert_eq!(sas(&mut rig)[0].fast.packets == 0, off);
    }
}

#[test]
fn required_offload_drops_what_an_sa_that_cannot_be_offloaded_would_carry() {
    let off = config("auto", 1, "egress-optimisation = false")
        .replace("action = \"allow\"", "action = \"allow\"\noffload = \"require\"");
    let mut rig = Rig::new("esp-require-egress-off", &off);
    for n in 0..3 {
        rig.send("lan0", &rig.packet("lan0", outward()).payload(&payload(n)));
        rig.expect_silence();
    }
    let counters = rig.snapshot();
    assert_eq!(counters.get("drop.offload-required"), 3, "{counters}");
    assert_eq!(counters.get("sessions.forward"), 0, "and takes no place");
}

/// What left by `wan0`: keepalives, and ESP packets in UDP.
fn kept_alive(rig: &mut Rig) -> (usize, usize) {
    let frames = rig.take("wan0");
    let keepalive = |frame: &&Vec<u8>| {
        let headers = wire::parse(frame).expect("an IP packet");
        assert_eq!(headers.tuple.proto, proto::UDP);
        assert_eq!((headers.tuple.src_port, headers.tuple.dst_port), (4500, 4501));
        headers.payload_len() == 1 && frame.last() == Some(&0xff)
    };
    let keepalives = frames.iter().filter(keepalive).count();
    (keepalives, frames.len() - keepalives)
}

#[test]
fn a_keepalive_goes_out_when_neither_tier_has_sent_anything() {
    let udp = "udp-encapsulation = true\nremote-port = 4501\nnat-keepalive = 15";
    for offload in ["off", "auto"] {
        let mut rig = Rig::new(&format!("esp-keepalive-{offload}"), &config(offload, 1, udp));
        let start = rig.now();
        rig.wait(Duration::from_secs(14));
        assert_eq!(kept_alive(&mut rig), (0, 0), "not yet");
        rig.wait(Duration::from_secs(32));
        assert_eq!(kept_alive(&mut rig), (3, 0), "at 15, 30 and 45 seconds");
        rig.banner("packets every ten seconds");
        for n in 1..=6 {
            rig.send("lan0", &rig.packet("lan0", outward()).payload(&payload(n)));
            assert_eq!(kept_alive(&mut rig), (0, 1), "at {:?}", rig.now().since(start));
            rig.wait(Duration::from_secs(10));
            assert_eq!(kept_alive(&mut rig), (0, 0));
        }
        let out = &sas(&mut rig)[0];
        assert_eq!(out.fast.packets > 0, offload == "auto");
        assert_eq!(out.keepalives, Some(3));
        rig.banner("a reload does not put it off");
        rig.apply(&format!("{}\n[timeouts]\nudp = \"4m\"", config(offload, 1, udp)));
        rig.wait(Duration::from_secs(6));
        assert_eq!(kept_alive(&mut rig), (1, 0));
    }
}

#[test]
fn without_udp_or_with_zero_no_keepalive_is_sent() {
    for more in ["", "udp-encapsulation = true\nnat-keepalive = 0"] {
        let mut rig = Rig::new("esp-no-keepalive", &config("auto", 1, more));
        rig.wait(Duration::from_secs(120));
        rig.expect_silence();
    }
}

#[test]
fn dummies_fill_silence_and_nothing_else() {
    let mut rig = Rig::new("esp-dummies", &config("auto", 1, "tfc-dummies = 4"));
    let far = far_receiver();
    rig.wait(Duration::from_millis(1_900));
    let frames = rig.take("wan0");
    assert_eq!(frames.len(), 7, "one every 250 ms");
    let mut sizes = Vec::new();
    for bytes in frames {
        sizes.push(bytes.len());
        let mut frame = Frame::from_vec(bytes);
        frame.pull_front(14);
        assert_eq!(far.open(&mut frame, 0, rig.now()), Ok(Opened::Dummy));
    }
    sizes.dedup();
    assert!(sizes.len() > 1 && sizes.iter().all(|size| *size < 340), "{sizes:?}");
    rig.banner("traffic every 200 ms");
    let before = rig.snapshot();
    for n in 1..=10 {
        rig.send("lan0", &rig.packet("lan0", outward()).payload(&payload(n)));
        rig.wait(Duration::from_millis(199));
        assert_eq!(rig.take("wan0").len(), 1, "the packet alone");
    }
    assert!(rig.snapshot().get("engine.forwarded") > before.get("engine.forwarded"));
    let out = &sas(&mut rig)[0];
    assert_eq!((out.dummies, out.fast.packets + out.slow.packets), (7, 10));
    assert_eq!(out.sequence, 17);
    rig.banner("none once the SA has ended");
    let bounded = "tfc-dummies = 4\nhard-lifetime = { packets = 3 }";
    rig.apply(&config("auto", 1, bounded));
    rig.forget();
    rig.wait(Duration::from_secs(5));
    assert_eq!(rig.take("wan0").len(), 3);
    assert_eq!(rig.snapshot().get("drop.esp-sa-expired"), 0);
}

#[test]
fn a_dummy_is_as_long_as_what_the_tunnel_pads_to() {
    let mut rig =
        Rig::new("esp-dummies-padded", &config("off", 1, "tfc-dummies = 10\npad-to = 500"));
    rig.wait(Duration::from_millis(250));
    let dummies: Vec<_> = rig.take("wan0").iter().map(Vec::len).collect();
    let packet = send_one(&mut rig, 1).len();
    assert_eq!(dummies, [packet, packet], "an observer cannot tell them from a packet");
}

#[test]
fn dummies_of_the_far_end_are_thrown_away_and_counted_apart() {
    for offload in ["off", "auto"] {
        let mut rig = Rig::new(&format!("esp-dummies-in-{offload}"), &config(offload, 1, ""));
        let sa = far_end();
        for _ in 0..3 {
            let mut frame = Frame::from_vec(vec![0; 200]);
            sa.seal_dummy(&mut frame, 100, 0, Time::ZERO).expect("sealed");
            let mut wire = rig.gateway_mac("wan0").0.to_vec();
            wire.extend_from_slice(&rig.peer_mac("wan0").0);
            wire.extend_from_slice(&[0x08, 0x00]);
            wire.extend_from_slice(frame.bytes());
            rig.send_bytes("wan0", &wire);
            rig.expect_silence();
        }
        let incoming = &sas(&mut rig)[1];
        assert_eq!((incoming.dummies, incoming.sequence), (3, 3));
        assert_eq!(incoming.fast.packets + incoming.slow.packets, 0);
        assert_eq!(rig.snapshot().get("session.created"), 0);
    }
}

/// A tunnel that cuts after sealing, with an interface that takes packets larger than the path.
fn after(more: &str) -> String {
    let interface =
        "\n[[interface]]\nname = \"site\"\ntunnel = \"site\"\nzone = \"vpn\"\nmtu = 4000\n";
    config("auto", 1, &format!("fragmentation = \"after\"\n{more}{interface}"))
        .replace("steering = \"selectors\"\nzone = \"vpn\"", "steering = \"selectors\"")
}

/// Puts IPv4 fragments together, as frames without Ethernet header.
fn together(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut whole = frames[0][14..34].to_vec();
    for frame in frames {
        let field = u16::from_be_bytes([frame[20], frame[21]]);
        assert_eq!(usize::from(field & 0x1fff) * 8, whole.len() - 20, "in order");
        whole.extend_from_slice(&frame[34..]);
    }
    let total = whole.len() as u16;
    whole[2..4].copy_from_slice(&total.to_be_bytes());
    whole[6..8].fill(0);
    whole[10..12].fill(0);
    let sum = wire::checksum::Sum::ZERO.bytes(&whole[..20]).finish();
    whole[10..12].copy_from_slice(&sum.to_be_bytes());
    whole
}

#[test]
fn a_packet_sealed_whole_is_cut_after_and_opens_at_the_far_end() {
    let mut rig = Rig::new("esp-cut-after", &after(""));
    let far = far_receiver();
    for (n, small) in [(1, true), (2, true), (3, false), (4, true)] {
        let bytes = if small { vec![5; 100] } else { vec![7; 3500] };
        let packet = rig.packet("lan0", outward()).df(false).payload(&bytes);
        rig.send("lan0", &packet);
        let frames = rig.take("wan0");
        assert_eq!(frames.len(), if small { 1 } else { 3 });
        assert!(frames.iter().all(|frame| frame.len() <= 1514));
        let mut frame = Frame::from_vec(together(&frames));
        let sequence = identity(&[&[0; 14], frame.bytes()].concat());
        assert_eq!(sequence, (0x1001, n), "one ESP packet");
        assert!(matches!(far.open(&mut frame, 0, rig.now()), Ok(Opened::Packet(_))));
        assert!(frame.bytes().ends_with(&bytes));
    }
    let counters = rig.snapshot();
    assert_eq!(counters.get("punt.exceeds-mtu"), 1, "the fast path cuts nothing\n{counters}");
    let sizes = sas(&mut rig)[0].sizes.clone().expect("of an outgoing SA");
    assert_eq!((sizes.cut_after, sizes.fragments_after), (1, 3));
    assert_eq!((sizes.cut_before, sizes.fragments_before), (0, 0));
}

#[test]
fn a_packet_that_fills_its_buffer_is_sealed_all_the_same() {
    let mut rig = Rig::new("esp-full-buffer", &after("df = \"clear\"\n"));
    for size in 1_900..2_040 {
        rig.send("lan0", &rig.packet("lan0", outward()).payload(&vec![1; size]));
        assert_eq!(rig.take("wan0").len(), 2, "{size}\n{}", rig.snapshot());
    }
    rig.banner("on a path that takes them, the fast path too");
    let base = format!("{NEIGHBOURS}{BASE}{}", after(""));
    let jumbo = base.replace("zone = \"outside\"", "zone = \"outside\"\nmtu = 9000");
    let mut rig = Rig::with("esp-full-buffer-jumbo", &jumbo, false);
    for (n, size) in (1_900..2_040).enumerate() {
        rig.send("lan0", &rig.packet("lan0", outward()).payload(&vec![1; size]));
        assert_eq!(identity(&rig.one("wan0")), (0x1001, n as u32 + 1), "{size}");
    }
    let counters = rig.snapshot();
    assert!(counters.get("engine.forwarded") > 50, "{counters}");
    assert!(counters.get("punt.buffer-full") > 20, "{counters}");
}

#[test]
fn padding_beyond_the_path_is_cut_and_never_sent_whole() {
    let padded = after("df = \"clear\"\npad-to = 3900\n");
    let mut rig = Rig::new("esp-padded-far", &padded);
    for n in 1..=5 {
        rig.send("lan0", &rig.packet("lan0", outward()).payload(b"short"));
        let frames = rig.take("wan0");
        assert_eq!(frames.len(), 3, "packet {n}");
        assert!(frames.iter().all(|frame| frame.len() <= 1514), "packet {n}");
    }
}

#[test]
fn df_inside_decides_whether_the_outer_packet_may_be_cut() {
    for (more, cut) in [("", false), ("df = \"clear\"\n", true)] {
        let mut rig = Rig::new(&format!("esp-cut-after-df-{cut}"), &after(more));
        rig.send("lan0", &rig.packet("lan0", outward()).df(true).payload(&[7; 2000]));
        assert_eq!(rig.take("wan0").len(), if cut { 2 } else { 0 });
        let told = rig.take("lan0");
        assert_eq!(told.len(), usize::from(!cut));
        let sizes = sas(&mut rig)[0].sizes.clone().expect("of an outgoing SA");
        if let [error] = &told[..] {
            let headers = wire::parse(error).expect("an ICMP error");
            let mtu = wire::icmp::announced_mtu(error, &headers);
            assert_eq!(mtu, Some(u32::from(sizes.mtu)), "what fits in one piece");
        }
        assert_eq!((sizes.too_big_sent, sizes.cut_after), (u64::from(!cut), u64::from(cut)));
    }
}

#[test]
fn over_ipv6_the_outer_packet_is_ours_to_cut() {
    let v6 = after("")
        .replace("203.0.113.2", "2001:db8:ffff::2")
        .replace("203.0.113.9", "2001:db8:ffff::9");
    let mut rig = Rig::new("esp-cut-after-v6", &v6);
    rig.send("lan0", &rig.packet("lan0", outward()).df(true).payload(&[7; 2000]));
    let frames = rig.take("wan0");
    assert_eq!(frames.len(), 2);
    assert!(frames.iter().all(|frame| frame[20] == 44 && frame.len() <= 1514), "fragments");
}

#[test]
fn an_esp_packet_that_comes_in_fragments_is_put_together_and_counted() {
    let mut rig = Rig::new("esp-fragments-in", &after(""));
    let sa = far_end();
    let inner = rig.packet("wan0", outward().reversed()).df(false).payload(&[3; 2500]);
    let wire_frame = sealed(&rig, &sa, &inner);
    let headers = wire::parse(&wire_frame).expect("ESP");
    let mut cutter =
        wire::fragment::Fragmenter::new(&wire_frame, &headers, 1500, 7).expect("it may be cut");
    let mut piece = Vec::new();
    while cutter.next(&mut piece) {
        rig.send_bytes("wan0", &piece);
    }
    assert!(!rig.take("lan0").is_empty(), "it is cut again on its way inside");
    let incoming = &sas(&mut rig)[1];
    assert_eq!((incoming.reassembled, incoming.slow.packets), (Some(1), 1));
}

#[test]
fn transport_mode_seals_whole_what_its_sender_had_cut() {
    let ends = outward();
    let transport = config("auto", 1, "mode = \"transport\"\n")
        .replace("203.0.113.2", &ends.src.to_string())
        .replace("203.0.113.9", &ends.dst.to_string())
        .replace("selectors = [{ local = \"10.1.0.0/24\", remote = \"10.2.0.0/24\" }]\n", "");
    let mut rig = Rig::new("esp-transport-fragments", &transport);
    let parameters = far_receiver().parameters().clone();
    let (source, destination) = (ends.src, ends.dst);
    let parameters = Parameters { mode: Mode::Transport, source, destination, ..parameters };
    let far = Inbound::new(parameters, Time::ZERO).expect("a sound SA");
    let whole = rig.packet("lan0", ends).df(false).payload(&[9; 3500]).build();
    let headers = wire::parse(&whole).expect("a packet");
    let mut cutter =
        wire::fragment::Fragmenter::new(&whole, &headers, 1500, 7).expect("it may be cut");
    let mut piece = Vec::new();
    while cutter.next(&mut piece) {
        rig.send_bytes("lan0", &piece);
    }
    let frames = rig.take("wan0");
    assert_eq!(frames.len(), 3, "{}", rig.snapshot());
    assert!(frames.iter().all(|frame| frame.len() <= 1514));
    let mut frame = Frame::from_vec(together(&frames));
    assert!(matches!(far.open(&mut frame, 0, rig.now()), Ok(Opened::Packet(_))));
    assert!(frame.bytes().ends_with(&[9; 3500]));
    assert_eq!(sas(&mut rig)[0].sizes.clone().map(|sizes| sizes.cut_after), Some(1));
}

#[test]
fn icmp_errors_are_believed_when_they_quote_what_was_sent() {
    let mut rig = Rig::new("esp-icmp-believed", &config("auto", 1, ""));
    let sent = send_one(&mut rig, 1);
    let mut forged = sent.clone();
    forged[38..42].copy_from_slice(&0x00ff_0000_u32.to_be_bytes());
    for (quoted, mtu) in [(&forged, 900u16), (&sent, 1000)] {
        let ether = wire::emit::Ether {
            src: rig.peer_mac("wan0"),
            dst: rig.gateway_mac("wan0"),
            vlan: None,
        };
        let router = [203, 0, 113, 1].into();
        let mut error = wire::build::icmp_error(ether, router, 3, 4, quoted);
        // the MTU of the next link, and the checksum over it
        error[40..42].copy_from_slice(&mtu.to_be_bytes());
        error[36..38].fill(0);
        let sum = wire::checksum::Sum::ZERO.bytes(&error[34..]).finish();
        error[36..38].copy_from_slice(&sum.to_be_bytes());
        rig.send_bytes("wan0", &error);
    }
    let sizes = sas(&mut rig)[0].sizes.clone().expect("of an outgoing SA");
    assert_eq!((sizes.too_big_believed, sizes.too_big_doubted), (1, 1));
    assert_eq!((sizes.path_mtu, sizes.learnt), (Some(1000), true));
}

/// A loopback with an address of the subnet outside and one of its own.
const LOOPBACK: &str = "[[interface]]\nname = \"lo\"\nloopback = true\naddress = [\"203.0.113.77/32\", \"192.0.2.1/32\"]\n";

#[test]
fn a_tunnel_may_end_at_a_loopback() {
    for offload in ["off", "auto"] {
        let ends = config(offload, 1, "").replace("203.0.113.2", "192.0.2.1");
        let mut rig = Rig::new(&format!("esp-loopback-{offload}"), &format!("{LOOPBACK}{ends}"));
        let sa = far_end_towards([192, 0, 2, 1]);
        for n in 1..=4 {
            let out = send_one(&mut rig, n);
            assert_eq!(identity(&out), (0x1001, n as u32));
            assert_eq!(out[26..30], [192, 0, 2, 1], "from the loopback");
            let back = rig.packet("wan0", outward().reversed()).payload(b"back");
            let wire = sealed(&rig, &sa, &back);
            rig.send_bytes("wan0", &wire);
            rig.one("lan0");
        }
        let fast: u64 = sas(&mut rig).iter().map(|sa| sa.fast.packets).sum();
        assert_eq!(fast > 0, offload == "auto");
    }
}

/// The SA that the far end sends to another address of the gateway by.
fn far_end_towards(destination: [u8; 4]) -> ::esp::Outbound {
    let parameters = far_end().parameters().clone();
    let parameters = Parameters { destination: destination.into(), ..parameters };
    ::esp::Outbound::new(parameters, Time::ZERO).expect("a sound SA")
}

#[test]
fn arp_for_a_loopback_is_answered_where_it_seems_to_live() {
    let mut rig = Rig::new("loopback-arp", LOOPBACK);
    let before = rig.snapshot();
    let from = rig.peer_mac("wan0");
    for (port, target) in [
        ("wan0", [203, 0, 113, 77]),
        ("wan0", [192, 0, 2, 1]),
        ("lan0", [203, 0, 113, 77]),
        ("wan0", [203, 0, 113, 78]),
    ] {
        let asker = if port == "wan0" { [203, 0, 113, 9] } else { [10, 1, 0, 5] };
        let asked = wire::build::arp_request(from, asker.into(), target.into());
        rig.send_bytes(port, &asked);
    }
    let changes = rig.snapshot().changes_since(&before);
    assert_eq!(changes.get("neighbour.advertisements"), Some(&1), "{changes:?}");
}
