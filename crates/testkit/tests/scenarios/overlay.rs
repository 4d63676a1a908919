//! GRE and VXLAN: two sites through either, by themselves and with ESP below or above, and one
//! gateway packet by packet: what is on the wire, and what is refused for which reason.

use std::net::IpAddr;

use lockgate_testkit::{office::ip, rig::Rig, sites::Sites};
use wire::{Mac, Tuple, build, gre, proto, vxlan};

use crate::tunnel::exercise;

const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f";

fn outside(site: u8, v6: bool) -> String {
    match v6 {
        true => format!("2001:db8:f::{}", site + 1),
        false => format!("203.0.113.{}", site + 1),
    }
}

/// A GRE or VXLAN tunnel between the sites' gateways.
fn overlay(kind: &str, site: u8, v6: bool, more: &str) -> String {
    let (local, remote) = (outside(site, v6), outside(3 - site, v6));
    format!("[[{kind}]]\nname = \"sites\"\nlocal = \"{local}\"\nremote = \"{remote}\"\n{more}\n")
}

/// The tunnel's interface, and the other site behind it.
fn interface(kind: &str, site: u8, more: &str) -> String {
    let other = 3 - site;
    let (v4, v6) = match kind {
        "vxlan" => (format!("via = \"10.9.0.{other}\""), format!("via = \"2001:db8:9::{other}\"")),
        _ => ("interface = \"vpn\"".to_owned(), "interface = \"vpn\"".to_owned()),
    };
    format!(
        r#"
[[interface]]
name = "vpn"
tunnel = "sites"
zone = "vpn"
address = ["10.9.0.{site}/24", "2001:db8:9::{site}/64"]
{more}
[[route]]
to = "10.{other}.0.0/24"
{v4}
[[route]]
to = "2001:db8:{other}::/64"
{v6}
"#
    )
}

/// An IPsec tunnel `esp` between `local` and `remote`.
fn esp(site: u8, local: &str, remote: &str, more: &str) -> String {
    let sa = |from: u8| {
        format!(
            "{{ spi = {}, algorithm = \"aes256-sha256\", key = \"{KEY}\" }}",
            4096 + u32::from(from)
        )
    };
    format!(
        "[[ipsec]]\nname = \"esp\"\nlocal = \"{local}\"\nremote = \"{remote}\"\nout = {}\nin = {}\n{more}\n",
        sa(site),
        sa(3 - site)
    )
}

/// Both sites carry everything through; the far gateways say so.
fn carries(name: &str, config: impl Fn(u8) -> String) {
    let mut sites = Sites::new(name, &config(1), &config(2));
    exercise(&mut sites, false);
    exercise(&mut sites, true);
    for gateway in [sites.paris, sites.oslo] {
        let tunnels = sites.net.tunnels(gateway);
        for tunnel in tunnels {
            assert_eq!((tunnel.state.as_ref(), tunnel.errors), ("up", 0), "{tunnel:?}");
            assert!(tunnel.sent.packets > 100 && tunnel.received.packets > 100, "{tunnel:?}");
        }
    }
}

#[test]
fn gre_carries_both_versions_over_either() {
    let shapes = [
        "",
        "key = 77",
        "checksum = true",
        "sequence = true",
        "key = 0\nchecksum = true\nsequence = true",
    ];
    for v6 in [false, true] {
        for (n, more) in shapes.iter().enumerate() {
            carries(&format!("gre-{n}-v6-{v6}"), |site| {
                overlay("gre", site, v6, more) + &interface("gre", site, "")
            });
        }
    }
}

#[test]
fn vxlan_carries_both_versions_over_either() {
    for v6 in [false, true] {
        for (n, more) in ["", "port = 8472", "zero-checksum = true"].iter().enumerate() {
            carries(&format!("vxlan-{n}-v6-{v6}"), |site| {
                overlay("vxlan", site, v6, &format!("vni = 5001\n{more}"))
                    + &interface("vxlan", site, "")
            });
        }
    }
}

#[test]
fn esp_in_transport_mode_protects_gre_and_vxlan() {
    for kind in ["gre", "vxlan"] {
        for v6 in [false, true] {
            carries(&format!("{kind}-in-transport-v6-{v6}"), |site| {
                let vni = if kind == "vxlan" { "vni = 9" } else { "" };
                esp(site, &outside(site, v6), &outside(3 - site, v6), "mode = \"transport\"")
                    + &overlay(kind, site, v6, vni)
                    + &interface(kind, site, "")
            });
        }
    }
}

/// The ends of the overlay are addresses that only the IPsec tunnel leads to.
#[test]
fn gre_and_vxlan_run_inside_an_ipsec_tunnel() {
    for kind in ["gre", "vxlan"] {
        carries(&format!("{kind}-in-tunnel"), |site| {
            let other = 3 - site;
            let vni = if kind == "vxlan" { "vni = 9" } else { "" };
            esp(site, &outside(site, false), &outside(other, false), "")
                + &format!(
                    "[[interface]]\nname = \"below\"\ntunnel = \"esp\"\naddress = \"10.8.0.{site}/24\"\n"
                )
                + &format!(
                    "[[{kind}]]\nname = \"sites\"\nlocal = \"10.8.0.{site}\"\nremote = \"10.8.0.{other}\"\n{vni}\n"
                )
                + &interface(kind, site, "")
        });
    }
}

/// The longest headers of each kind, one before the other: more than a frame has room for at first.
#[test]
fn the_longest_headers_find_room_before_a_packet() {
    carries("vxlan-in-tunnel-v6", |site| {
        let other = 3 - site;
        let udp = "udp-encapsulation = true";
        esp(site, &outside(site, true), &outside(other, true), udp)
            + &format!(
                "[[interface]]\nname = \"below\"\ntunnel = \"esp\"\naddress = \"2001:db8:8::{site}/64\"\n"
            )
            + &format!(
                "[[vxlan]]\nname = \"sites\"\nlocal = \"2001:db8:8::{site}\"\nremote = \"2001:db8:8::{other}\"\nvni = 9\n"
            )
            + &interface("vxlan", site, "")
    });
}

/// The other way round: the ends of the IPsec tunnel are the addresses of the overlay.
#[test]
fn ipsec_runs_inside_gre_and_vxlan() {
    for kind in ["gre", "vxlan"] {
        carries(&format!("ipsec-in-{kind}"), |site| {
            let other = 3 - site;
            let vni = if kind == "vxlan" { "vni = 9" } else { "" };
            esp(site, &format!("10.9.0.{site}"), &format!("10.9.0.{other}"), "")
                + &overlay(kind, site, true, vni).replace("\"sites\"", "\"carrier\"")
                + &format!(
                    "[[interface]]\nname = \"below\"\ntunnel = \"carrier\"\naddress = \"10.9.0.{site}/24\"\n"
                )
                + &interface("ipsec", site, "")
                    .replace("\"sites\"", "\"esp\"")
                    .replace(&format!("\"10.9.0.{site}/24\", "), "")
        });
    }
}

/// A gateway with one tunnel to 203.0.113.9, the network behind it, and policies both ways.
fn config(kind: &str, more: &str) -> String {
    let address = "address = [\"10.9.0.1/24\", \"2001:db8:9::1/64\"]";
    format!(
        r#"
[[{kind}]]
name = "site"
local = "203.0.113.2"
remote = "203.0.113.9"
{more}
[[interface]]
name = "vpn"
tunnel = "site"
{address}
[[route]]
to = "10.2.0.0/24"
interface = "vpn"
[[policy]]
id = 1
from = ["inside", "vpn"]
to = ["inside", "vpn"]
action = "allow"
[offload]
after-packets = 1
one-way-packets = 1
"#
    )
}

fn outward() -> Tuple {
    Tuple {
        src: ip("10.1.0.5"),
        dst: ip("10.2.0.7"),
        src_port: 4000,
        dst_port: 53,
        proto: proto::UDP,
    }
}

fn ends() -> Tuple {
    Tuple {
        src: ip("203.0.113.9"),
        dst: ip("203.0.113.2"),
        src_port: 0,
        dst_port: 0,
        proto: proto::GRE,
    }
}

/// What the far end sends: GRE with this header before a packet.
fn in_gre(rig: &Rig, header: gre::Header, inside: &[u8]) -> build::Packet {
    let mut payload = vec![0; header.len()];
    payload.extend_from_slice(inside);
    header.write(&mut payload);
    rig.packet("wan0", ends()).payload(&payload)
}

fn plain() -> gre::Header {
    gre::Header { inside: wire::IpVersion::V4, checksum: false, key: None, sequence: None }
}

/// An IP packet from the far site, without Ethernet.
fn homeward(tos: u8) -> Vec<u8> {
    let packet = build::Packet::new(outward().reversed()).tos(tos).payload(b"back");
    packet.build()[14..].to_vec()
}

#[test]
fn gre_on_the_wire_is_what_the_rfcs_say() {
    let mut rig = Rig::new(
        "gre-wire",
        &config("gre", "key = 77\nsequence = true\nchecksum = true\nttl = 9\ndscp = 10"),
    );
    for n in 0..2u8 {
        let packet = rig.packet("lan0", outward()).tos(0b1011_1001).payload(b"hello");
        rig.send("lan0", &packet);
        let sent = rig.one("wan0");
        let outer = wire::parse(&sent).expect("an outer packet");
        assert_eq!((outer.src(), outer.dst()), (ip("203.0.113.2"), ip("203.0.113.9")));
        assert_eq!((outer.tuple.proto, outer.ttl), (proto::GRE, 9), "not the inner TTL");
        assert_eq!(
            outer.tos,
            10 << 2 | 1,
            "the DSCP that is configured, the ECN of the inner packet"
        );
        assert_eq!(sent[34..42], [0xb0, 0, 8, 0, sent[38], sent[39], 0, 0]);
        assert_eq!(sent[42..50], [0, 0, 0, 77, 0, 0, 0, n]);
        assert_eq!(gre::Header::read(&sent[34..]).map(|header| header.len()), Ok(16));
        assert_eq!((sent[50], sent[58]), (0x45, 63), "inside, with a TTL one less");
    }
}

#[test]
fn every_fault_of_gre_has_its_reason() {
    let mut rig = Rig::new("gre-faults", &config("gre", "key = 77"));
    rig.send("lan0", &rig.packet("lan0", outward()).payload(b"out"));
    rig.one("wan0");
    let keyed = gre::Header { key: Some(77), ..plain() };
    let good = in_gre(&rig, keyed, &homeward(0));
    rig.send("wan0", &good);
    assert_eq!(rig.one_tuple("lan0"), outward().reversed());
    let damaged = |at: usize, bit: u8, checksum: bool| {
        let mut bytes = in_gre(&rig, gre::Header { checksum, ..keyed }, &homeward(0)).build();
        bytes[34 + at] ^= bit;
        bytes
    };
    let cut = |len: usize| {
        let whole = in_gre(&rig, keyed, &homeward(0)).build();
        rig.packet("wan0", ends()).payload(&whole[34..34 + len]).build()
    };
    let other_key = in_gre(&rig, gre::Header { key: Some(78), ..plain() }, &homeward(0)).build();
    let no_key = in_gre(&rig, plain(), &homeward(0)).build();
    let cases = [
        (cut(3), "gre-truncated"),
        (cut(7), "gre-truncated"),
        (damaged(1, 1, false), "gre-version-unsupported"),
        (damaged(0, 0x40, false), "gre-routing-present"),
        (damaged(0, 0x08, false), "gre-flags-unsupported"),
        (damaged(20, 1, true), "gre-checksum-invalid"),
        (damaged(2, 0x60, false), "gre-protocol-unsupported"),
        (other_key, "gre-key-unknown"),
        (no_key, "gre-key-unknown"),
        (in_gre(&rig, keyed, &homeward(3)[..19]).build(), "ipv4-header-invalid"),
        (
            in_gre(&rig, gre::Header { inside: wire::IpVersion::V6, ..keyed }, &homeward(0))
                .build(),
            "ipv6-header-invalid",
        ),
    ];
    for (n, (bytes, reason)) in cases.iter().enumerate() {
        let before = rig.snapshot();
        rig.send_bytes("wan0", bytes);
        rig.expect_silence();
        let after = rig.snapshot();
        let counter = format!("drop.{reason}");
        assert_eq!(after.get(&counter) - before.get(&counter), 1, "{reason}\n{after}");
        assert_eq!(rig.net.tunnels(rig.gateway)[0].errors, n as u64 + 1, "{reason}");
    }
}

#[test]
fn congestion_marks_cross_the_tunnel_by_rfc_6040() {
    let mut rig = Rig::new("gre-ecn", &config("gre", ""));
    rig.send("lan0", &rig.packet("lan0", outward()).payload(b"out"));
    rig.one("wan0");
    for (inner, outer, expected) in
        [(2, 3, Some(3)), (1, 0, Some(1)), (2, 1, Some(1)), (0, 2, Some(0)), (0, 3, None)]
    {
        let packet = in_gre(&rig, plain(), &homeward(0xb8 | inner)).tos(outer);
        rig.send("wan0", &packet);
        match expected {
            Some(ecn) => {
                let got = rig.one("lan0");
                assert_eq!(wire::parse(&got).expect("sound").tos, 0xb8 | ecn, "{inner} in {outer}");
            }
            None => rig.expect_silence(),
        }
    }
    assert_eq!(rig.snapshot().get("drop.ecn-invalid"), 1);
}

#[test]
fn sequence_numbers_keep_the_order() {
    let mut rig = Rig::new("gre-order", &config("gre", "sequence = true"));
    rig.send("lan0", &rig.packet("lan0", outward()).payload(b"out"));
    rig.one("wan0");
    let taken = |rig: &mut Rig, sequence: Option<u32>| {
        rig.send("wan0", &in_gre(rig, gre::Header { sequence, ..plain() }, &homeward(0)));
        rig.take("lan0").len()
    };
    let numbers = [Some(5), Some(6), Some(6), Some(4), Some(9), None];
    let got = numbers.map(|number| taken(&mut rig, number));
    assert_eq!(got, [1, 1, 0, 0, 1, 0]);
    assert_eq!(rig.snapshot().get("drop.gre-sequence-old"), 3);
}

#[test]
fn a_session_says_why_it_is_not_on_the_fast_path() {
    for (kind, more, reason) in
        [("gre", "", "gre-not-offloaded"), ("vxlan", "vni = 5", "vxlan-not-offloaded")]
    {
        let mut rig = Rig::new(&format!("{kind}-why"), &config(kind, more));
        for _ in 0..4 {
            rig.send("lan0", &rig.packet("lan0", outward()).payload(b"out"));
        }
        let view = rig.net.explain(rig.gateway, "proto udp");
        let against = format!("{view:?}");
        assert!(against.contains(reason), "{against}");
        assert!(against.contains("IPsec tunnel"), "with a remedy: {against}");
        assert_eq!(rig.snapshot().sum("engine.hits"), 0);
    }
}

/// The gateway asks for the next hop across the tunnel, answers there for itself, and keeps frames for
/// other stations out.
#[test]
fn a_vxlan_link_has_neighbours() {
    let more = config("vxlan", "vni = 5001")
        .replace("interface = \"vpn\"\n[[policy]]", "via = \"10.9.0.2\"\n[[policy]]");
    let mut rig = Rig::new("vxlan-link", &more);
    rig.take("wan0");
    let view = rig.net.tunnels(rig.gateway).remove(0);
    assert_eq!((view.vni, view.overhead, view.mtu), (Some(5001), Some(50), 1450));
    let own: Mac = view.mac.expect("a link").parse().expect("a MAC");
    assert_eq!(own.0[0], 2, "locally administered");
    let far = Mac([2, 0, 0, 0, 9, 2]);
    let tunnelled = |rig: &Rig, vni: u32, frame: &[u8]| {
        let tuple = Tuple { src_port: 50_000, dst_port: vxlan::PORT, proto: proto::UDP, ..ends() };
        rig.packet("wan0", tuple).payload(&[&vxlan::header(vni)[..], frame].concat())
    };
    let inner = |sent: &[u8]| {
        let outer = wire::parse(sent).expect("an outer packet");
        assert_eq!((outer.tuple.proto, outer.tuple.dst_port), (proto::UDP, vxlan::PORT));
        assert!(outer.tuple.src_port >= 49_152);
        assert_eq!(sent[40..42], [0, 0], "no UDP checksum over IPv4");
        let payload = &sent[usize::from(outer.payload)..];
        assert_eq!(vxlan::read(payload), Ok(5001));
        payload[8..].to_vec()
    };
    rig.send("lan0", &rig.packet("lan0", outward()).payload(b"waits"));
    let asked = inner(&rig.one("wan0"));
    assert_eq!(asked[..14], [&[0xff; 6][..], &own.0, &[8, 6]].concat());
    assert_eq!(asked[38..42], [10, 9, 0, 2], "who has the gateway of the route?");
    let v4 = |text: &str| match ip(text) {
        IpAddr::V4(ip) => ip,
        IpAddr::V6(_) => panic!("not IPv4"),
    };
    let reply = build::arp_reply(far, v4("10.9.0.2"), own, v4("10.9.0.1"));
    rig.send("wan0", &tunnelled(&rig, 5001, &reply));
    let first = inner(&rig.one("wan0"));
    assert_eq!(first[..14], [&far.0[..], &own.0, &[8, 0]].concat());
    assert!(first.ends_with(b"waits"));
    // back, and what does not belong there
    let to =
        |mac: Mac| build::Packet::new(outward().reversed()).macs(far, mac).payload(b"back").build();
    rig.send("wan0", &tunnelled(&rig, 5001, &to(own)));
    assert_eq!(rig.one_tuple("lan0"), outward().reversed());
    let tagged = build::Packet::new(outward().reversed()).macs(far, own).vlan(7).build();
    let mut invalid = vxlan::header(5001).to_vec();
    invalid[0] = 0;
    invalid.extend(to(own));
    let udp = Tuple { src_port: 50_000, dst_port: vxlan::PORT, proto: proto::UDP, ..ends() };
    let cases = [
        (tunnelled(&rig, 5001, &to(Mac([2, 0, 0, 0, 9, 3]))), "not-for-us"),
        (tunnelled(&rig, 5002, &to(own)), "vxlan-vni-unknown"),
        (tunnelled(&rig, 5001, &tagged), "vxlan-inner-tag"),
        (tunnelled(&rig, 5001, &to(own)[..13]), "vxlan-truncated"),
        (rig.packet("wan0", udp).payload(&invalid), "vxlan-vni-invalid"),
        (rig.packet("wan0", udp).payload(&invalid[..7]), "vxlan-truncated"),
    ];
    for (packet, reason) in cases {
        let counter = format!("drop.{reason}");
        let before = rig.snapshot().get(&counter);
        rig.send("wan0", &packet);
        rig.expect_silence();
        assert_eq!(rig.snapshot().get(&counter), before + 1, "{reason}\n{}", rig.snapshot());
    }
    // an ARP question across the tunnel is answered across the tunnel
    let question = build::arp_request(far, v4("10.9.0.2"), v4("10.9.0.1"));
    rig.send("wan0", &tunnelled(&rig, 5001, &question));
    let answer = inner(&rig.one("wan0"));
    assert_eq!(answer[..12], [far.0, own.0].concat());
    assert_eq!(answer[20..32], [&[0, 2][..], &own.0, &[10, 9, 0, 1]].concat());
}

/// What 203.0.113.1 says of a packet that does not fit its next link.
fn too_big(rig: &Rig, sent: &[u8], mtu: u16) -> Vec<u8> {
    let mut error = build::icmp_error(
        wire::emit::Ether { src: rig.peer_mac("wan0"), dst: rig.gateway_mac("wan0"), vlan: None },
        ip("203.0.113.1"),
        3,
        4,
        sent,
    );
    error[40..42].copy_from_slice(&mtu.to_be_bytes());
    error[36..38].fill(0);
    let sum = wire::checksum::checksum(&error[34..]);
    error[36..38].copy_from_slice(&sum.to_be_bytes());
    error
}

/// A packet that does not fit is told the size that does; a router below that takes less is believed.
#[test]
fn the_mtu_follows_the_path_below() {
    let mut rig = Rig::new("gre-mtu", &config("gre", "key = 1"));
    let big =
        |rig: &Rig, len: usize| rig.packet("lan0", outward()).df(true).payload(&vec![7; len - 28]);
    rig.send("lan0", &big(&rig, 1472));
    let sent = rig.one("wan0");
    assert_eq!(wire::parse(&sent).expect("sound").ip_len(), 1500);
    assert_eq!(sent[20] & 0x40, 0x40, "DF is copied");
    rig.send("lan0", &big(&rig, 1473));
    let told = rig.one("lan0");
    assert_eq!(
        (told[34..36].to_vec(), told[40..42].to_vec()),
        (vec![3, 4], 1472u16.to_be_bytes().to_vec())
    );
    rig.send_bytes("wan0", &too_big(&rig, &sent, 1400));
    let view = rig.net.tunnels(rig.gateway).remove(0);
    assert_eq!((view.path_mtu, view.mtu), (Some(1400), 1372));
    rig.send("lan0", &big(&rig, 1373));
    assert_eq!(rig.one("lan0")[40..42], 1372u16.to_be_bytes());
}

/// Who says that the path is narrow need not speak the truth: IPv6 has no use for an MTU below 1280.
#[test]
fn ipv6_packets_of_1280_bytes_pass_a_path_that_is_said_to_be_narrower() {
    let mut rig = Rig::new("gre-narrow", &config("gre", ""));
    rig.send("lan0", &rig.packet("lan0", outward()).payload(b"out"));
    let sent = rig.one("wan0");
    rig.send_bytes("wan0", &too_big(&rig, &sent, 576));
    assert_eq!(rig.net.tunnels(rig.gateway)[0].path_mtu, Some(576));
    let v6 = Tuple { src: ip("2001:db8:1::5"), dst: ip("2001:db8:9::7"), ..outward() };
    rig.send("lan0", &rig.packet("lan0", v6).payload(&vec![7; 1280 - 48]));
    let pieces = rig.take("wan0");
    let carried = pieces.iter().map(|piece| wire::parse(piece).expect("sound").ip_len() - 20);
    assert_eq!(carried.collect::<Vec<_>>(), [552, 552, 4 + 1280 - 2 * 552]);
    rig.send("lan0", &rig.packet("lan0", v6).payload(&vec![7; 1281 - 48]));
    let told = rig.one("lan0");
    assert_eq!((told[54], &told[58..62]), (2, &1280u32.to_be_bytes()[..]));
}

/// What an IPsec tunnel's selectors want is not taken in clear, GRE included.
#[test]
fn gre_in_clear_is_refused_where_esp_protects_it() {
    let esp = esp(1, "203.0.113.2", "203.0.113.9", "mode = \"transport\"");
    let mut rig = Rig::new("gre-clear", &(config("gre", "") + &esp));
    rig.send("lan0", &rig.packet("lan0", outward()).payload(b"out"));
    assert_eq!(wire::parse(&rig.one("wan0")).expect("sound").tuple.proto, proto::ESP);
    rig.send("wan0", &in_gre(&rig, plain(), &homeward(0)));
    rig.expect_silence();
    assert_eq!(rig.snapshot().get("drop.esp-unprotected"), 1);
}

#[test]
fn a_tunnel_through_itself_is_a_loop_and_ends() {
    let more = config("gre", "").replace("to = \"10.2.0.0/24\"", "to = \"203.0.113.9/32\"");
    let mut rig = Rig::new("gre-loop", &more);
    let tuple = Tuple { dst: ip("203.0.113.9"), ..outward() };
    rig.send("lan0", &rig.packet("lan0", tuple).payload(b"out"));
    rig.expect_silence();
    assert_eq!(rig.snapshot().get("drop.tunnel-loop"), 1);
}
