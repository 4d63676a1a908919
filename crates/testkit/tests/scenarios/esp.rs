//! One gateway with a tunnel, packet by packet: both tiers do the same with the same bytes, wherever a
//! stream moves from one to the other; and what an SA does not accept goes nowhere.

use std::net::IpAddr;

use ::esp::{DfRule, DscpRule, KeyMaterial, Lifetime, Mode, Outbound, Parameters};
use lockgate_testkit::{office::ip, rig::Rig};
use ports::Frame;
use wire::{Time, Tuple, build, proto};

pub(super) const KEY_OUT: &str =
    "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1faabbccdd";
pub(super) const KEY_IN: &str =
    "404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5faabbccdd";

/// Packets of a stream.
const STREAM: usize = 14;

/// The gateway's tunnel to 203.0.113.9, and policies both ways.
pub fn config(offload: &str, after: usize, more: &str) -> String {
    format!(
        r#"
[[ipsec]]
name = "site"
local = "203.0.113.2"
remote = "203.0.113.9"
selectors = [{{ local = "10.1.0.0/24", remote = "10.2.0.0/24" }}]
steering = "selectors"
zone = "vpn"
out = {{ spi = 0x1001, algorithm = "aes256gcm16", key = "{KEY_OUT}" }}
in = {{ spi = 0x2001, algorithm = "aes256gcm16", key = "{KEY_IN}" }}
offload = "{offload}"
{more}
[[policy]]
id = 1
from = ["inside", "vpn"]
to = ["inside", "vpn"]
action = "allow"
[offload]
after-packets = {after}
one-way-packets = {after}
"#
    )
}

/// The SA that the far end sends by.
pub fn far_end() -> Outbound {
    let end = |text: &str| text.parse::<IpAddr>().expect("an address");
    let parameters = Parameters {
        spi: 0x2001,
        suite: "aes256gcm16".parse().expect("a suite"),
        key: KeyMaterial::from_hex(KEY_IN).expect("digits"),
        mode: Mode::Tunnel,
        source: end("203.0.113.9"),
        destination: end("203.0.113.2"),
        encapsulation: None,
        esn: false,
        replay_window: 1024,
        soft: Lifetime::default(),
        hard: Lifetime::default(),
        dscp: DscpRule::Copy,
        df: DfRule::Copy,
        pad_to: None,
        hop_limit: 64,
        allow_null: false,
    };
    Outbound::new(parameters, Time::ZERO).expect("a sound SA")
}

pub fn outward() -> Tuple {
    let (src, dst) = (ip("10.1.0.5"), ip("10.2.0.7"));
    Tuple { src, dst, src_port: 4000, dst_port: 53, proto: proto::UDP }
}

/// The n-th packet of a stream; sizes differ.
pub fn payload(n: usize) -> Vec<u8> {
    (0..n * 37 % 900).map(|i| (i * 7 + n) as u8).collect()
}

/// What the far end sends: the packet sealed, as a frame on the wire.
pub fn sealed(rig: &Rig, sa: &Outbound, packet: &build::Packet) -> Vec<u8> {
    let bytes = packet.build();
    let mut frame = Frame::from_vec(bytes);
    frame.pull_front(14);
    sa.seal(&mut frame, 0, Time::ZERO).expect("sealed");
    let mut wire = Vec::new();
    wire.extend_from_slice(&rig.gateway_mac("wan0").0);
    wire.extend_from_slice(&rig.peer_mac("wan0").0);
    wire.extend_from_slice(&[0x08, 0x00]);
    wire.extend_from_slice(frame.bytes());
    wire
}

/// Sends the stream out through the tunnel; what is on the wire. Before packet `change_at` the
/// configuration changes, which takes sessions and SAs off the engine.
fn send_stream(name: &str, offload: &str, after: usize, change_at: Option<usize>) -> Vec<Vec<u8>> {
    let mut rig = Rig::new(name, &config(offload, after, ""));
    let mut wire = Vec::new();
    for n in 0..STREAM {
        if change_at == Some(n) {
            let other = "\n[[policy]]\nid = 2\naction = \"deny\"\n";
            rig.apply(&format!("{}{other}", config(offload, after, "")));
        }
        rig.send("lan0", &rig.packet("lan0", outward()).payload(&payload(n)));
        wire.push(rig.one("wan0"));
    }
    wire
}

#[test]
fn both_tiers_seal_the_same_bytes_wherever_a_stream_moves() {
    let slow = send_stream("esp-out-slow", "off", 1, None);
    assert!(slow.iter().all(|frame| frame[23] == proto::ESP));
    for after in 1..STREAM {
        assert_eq!(send_stream("esp-out-promoted", "auto", after, None), slow, "after {after}");
    }
    for change_at in 1..STREAM {
        let moved = send_stream("esp-out-demoted", "auto", 1, Some(change_at));
        assert_eq!(moved, slow, "demoted before packet {change_at}");
    }
}

/// Takes the stream in through the tunnel; what comes out inside. Every ESP packet is sent twice.
fn receive_stream(name: &str, offload: &str, after: usize, change_at: Option<usize>) -> Received {
    let mut rig = Rig::new(name, &config(offload, after, ""));
    let sa = far_end();
    let mut inside = Vec::new();
    for n in 0..STREAM {
        if change_at == Some(n) {
            let other = "\n[[policy]]\nid = 2\naction = \"deny\"\n";
            rig.apply(&format!("{}{other}", config(offload, after, "")));
        }
        let packet = rig.packet("wan0", outward().reversed()).payload(&payload(n));
        let wire = sealed(&rig, &sa, &packet);
        rig.send_bytes("wan0", &wire);
        inside.push(rig.one("lan0"));
        rig.send_bytes("wan0", &wire);
        rig.expect_silence();
    }
    let counters = rig.snapshot();
    assert_eq!(counters.get("drop.esp-replayed"), STREAM as u64, "{counters}");
    Received { inside, fast: counters.get("engine.forwarded") }
}

struct Received {
    inside: Vec<Vec<u8>>,
    fast: u64,
}

#[test]
fn both_tiers_open_the_same_bytes_and_no_window_opens_again() {
    let slow = receive_stream("esp-in-slow", "off", 1, None);
    assert_eq!(slow.fast, 0);
    for after in 1..STREAM {
        let moved = receive_stream("esp-in-promoted", "auto", after, None);
        assert_eq!(moved.inside, slow.inside, "after {after}");
        assert!(after + 2 >= STREAM || moved.fast > 0, "after {after}: the engine had its share");
    }
    for change_at in 1..STREAM {
        let moved = receive_stream("esp-in-demoted", "auto", 1, Some(change_at));
        assert_eq!(moved.inside, slow.inside, "demoted before packet {change_at}");
    }
}

#[test]
fn damaged_packets_go_nowhere_and_leave_the_window_alone() {
    for offload in ["off", "auto"] {
        let mut rig = Rig::new(&format!("esp-damaged-{offload}"), &config(offload, 1, ""));
        let sa = far_end();
        let packet = rig.packet("wan0", outward().reversed()).payload(b"sound");
        let wire = sealed(&rig, &sa, &packet);
        // from the sequence number on: the SPI and the IP header have reasons of their own
        for at in 14 + 20 + 4..wire.len() {
            let mut damaged = wire.clone();
            damaged[at] ^= 0x10;
            rig.send_bytes("wan0", &damaged);
            rig.expect_silence();
        }
        let flips = (wire.len() - 38) as u64;
        let counters = rig.snapshot();
        let dropped = counters.sum("drop.esp-");
        assert_eq!(dropped, flips, "{counters}");
        assert!(counters.get("drop.esp-icv-failed") + 4 >= flips, "{counters}");
        rig.send_bytes("wan0", &wire);
        assert!(rig.one("lan0").ends_with(b"sound"), "the same number is still good");
    }
}

#[test]
fn short_packets_and_foreign_spis_have_their_own_reasons() {
    let mut rig = Rig::new("esp-short", &config("auto", 1, ""));
    let sa = far_end();
    let wire = sealed(&rig, &sa, &rig.packet("wan0", outward().reversed()).payload(b"x"));
    for length in 0..wire.len() - 34 {
        let mut short = wire[..34 + length].to_vec();
        let total = (20 + length) as u16;
        short[16..18].copy_from_slice(&total.to_be_bytes());
        short[24..26].fill(0);
        let sum = wire::checksum::Sum::ZERO.bytes(&short[14..34]).finish();
        short[24..26].copy_from_slice(&sum.to_be_bytes());
        rig.send_bytes("wan0", &short);
        rig.expect_silence();
    }
    let counters = rig.snapshot();
    let (malformed, failed) =
        (counters.get("drop.esp-malformed"), counters.get("drop.esp-icv-failed"));
    assert!(malformed > 30 && failed > 0, "{counters}");
    let mut foreign = wire.clone();
    foreign[37] ^= 1;
    rig.send_bytes("wan0", &foreign);
    rig.expect_silence();
    assert_eq!(rig.snapshot().get("drop.esp-spi-unknown"), 1);
}

#[test]
fn what_is_outside_the_selectors_passes_neither_way() {
    for offload in ["off", "auto"] {
        let mut rig = Rig::new(&format!("esp-selectors-{offload}"), &config(offload, 1, ""));
        rig.banner("inside the SA: a source the selectors do not let in");
        let sa = far_end();
        let foreign = Tuple { src: ip("10.3.0.1"), ..outward().reversed() };
        let wire = sealed(&rig, &sa, &rig.packet("wan0", foreign).payload(b"x"));
        rig.send_bytes("wan0", &wire);
        rig.expect_silence();
        assert_eq!(rig.snapshot().get("drop.esp-selector-mismatch"), 1);
        rig.banner("in clear: a source that the selectors want protected");
        rig.send("wan0", &rig.packet("wan0", outward().reversed()).payload(b"x"));
        rig.expect_silence();
        assert_eq!(rig.snapshot().get("drop.esp-unprotected"), 1);
    }
}

/// Where routes bring packets into the tunnel the selectors are a filter, on either tier.
#[test]
fn no_session_outside_the_selectors_reaches_the_engine() {
    for offload in ["off", "auto"] {
        let routed = |selector: &str| {
            let by_routes = "steering = \"routes\"";
            let text = config(offload, 1, "")
                .replace("steering = \"selectors\"\nzone = \"vpn\"", by_routes)
                .replace("\"10.2.0.0/24\"", selector);
            let interface = "[[interface]]\nname = \"vpn\"\ntunnel = \"site\"\nzone = \"vpn\"";
            format!("{text}{interface}\n[[route]]\nto = \"10.2.0.0/16\"\ninterface = \"vpn\"\n")
        };
        let mut rig = Rig::new(&format!("esp-filter-{offload}"), &routed("\"10.2.0.0/24\""));
        let sa = far_end();
        for n in 0..3 {
            rig.send("lan0", &rig.packet("lan0", outward()).payload(&payload(n)));
            rig.one("wan0");
            let wire = sealed(&rig, &sa, &rig.packet("wan0", outward().reversed()).payload(b"x"));
            rig.send_bytes("wan0", &wire);
            rig.one("lan0");
        }
        rig.banner("beside the selectors");
        let beside = Tuple { dst: ip("10.2.9.7"), ..outward() };
        for n in 0..4 {
            rig.send("lan0", &rig.packet("lan0", beside).payload(&payload(n)));
            rig.expect_silence();
        }
        assert_eq!(rig.snapshot().get("drop.esp-selector-mismatch"), 4, "{offload}");
        rig.banner("selectors that are narrower now end the session that they leave out");
        rig.apply(&routed("\"10.2.0.128/25\""));
        for n in 0..4 {
            rig.send("lan0", &rig.packet("lan0", outward()).payload(&payload(n)));
            rig.expect_silence();
            let wire = sealed(&rig, &sa, &rig.packet("wan0", outward().reversed()).payload(b"x"));
            rig.send_bytes("wan0", &wire);
            rig.expect_silence();
        }
        let counters = rig.snapshot();
        assert_eq!(counters.get("drop.esp-selector-mismatch"), 12, "{offload}\n{counters}");
    }
}

#[test]
fn a_session_of_a_tunnel_takes_nothing_in_clear() {
    for offload in ["off", "auto"] {
        // the zones are the same, so that only the tunnel tells the two ways apart
        let text = config(offload, 1, "").replace("zone = \"vpn\"", "zone = \"outside\"");
        let text = text.replace("[\"inside\", \"vpn\"]", "[\"inside\", \"outside\"]");
        let mut rig = Rig::new(&format!("esp-in-clear-{offload}"), &text);
        let sa = far_end();
        rig.send("lan0", &rig.packet("lan0", outward()).payload(b"out"));
        rig.one("wan0");
        let back = rig.packet("wan0", outward().reversed()).payload(b"back");
        let wire = sealed(&rig, &sa, &back);
        rig.send_bytes("wan0", &wire);
        rig.one("lan0");
        rig.send("wan0", &back);
        rig.expect_silence();
        assert_eq!(rig.snapshot().get("drop.esp-unprotected"), 1);
    }
}

#[test]
fn an_sa_ends_hard_and_its_number_never_comes_again() {
    for offload in ["off", "auto"] {
        let more = "hard-lifetime = { packets = 5 }";
        let mut rig = Rig::new(&format!("esp-lifetime-{offload}"), &config(offload, 1, more));
        for n in 0..5 {
            rig.send("lan0", &rig.packet("lan0", outward()).payload(&payload(n)));
            rig.one("wan0");
        }
        rig.send("lan0", &rig.packet("lan0", outward()).payload(b"one too many"));
        rig.expect_silence();
        assert_eq!(rig.snapshot().get("drop.esp-sa-expired"), 1);
        rig.banner("another configuration with the same key goes on where the old one was");
        rig.apply(&config(offload, 1, "hard-lifetime = { packets = 50 }"));
        rig.send("lan0", &rig.packet("lan0", outward()).payload(b"again"));
        let frame = rig.one("wan0");
        let number = u32::from_be_bytes([frame[38], frame[39], frame[40], frame[41]]);
        assert!(number > 5, "number {number} was used before");
    }
}

/// A second tunnel, so that an engine with room for two SAs is full from the start.
fn second() -> String {
    let [out, incoming] = ["5", "a"].map(|digit| digit.repeat(KEY_OUT.len()));
    format!(
        r#"
[[ipsec]]
name = "other"
local = "203.0.113.2"
remote = "203.0.113.1"
selectors = [{{ local = "10.1.0.0/24", remote = "10.8.0.0/24" }}]
steering = "selectors"
zone = "vpn"
out = {{ spi = 0x1002, algorithm = "aes256gcm16", key = "{out}" }}
in = {{ spi = 0x2002, algorithm = "aes256gcm16", key = "{incoming}" }}
[limits]
sas = 2
"#
    )
}

pub(super) fn sas(rig: &mut Rig) -> Vec<api::SaView> {
    let request = api::Request::ShowSas { pick: Some("site".into()), limit: None, cursor: None };
    match rig.net.ask(rig.gateway, request) {
        Ok(api::Response::Sas(view)) => view.sas,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_full_sa_table_refuses_with_evidence_and_tries_again_when_there_is_room() {
    let full = format!("{}{}", config("auto", 1, ""), second());
    let mut rig = Rig::new("esp-sa-table-full", &full);
    for n in 0..3 {
        rig.send("lan0", &rig.packet("lan0", outward()).payload(&payload(n)));
        assert_eq!(rig.one("wan0")[23], proto::ESP, "traffic never stops");
    }
    let refused = &sas(&mut rig)[0];
    assert_eq!((refused.direction.as_ref(), refused.status.name()), ("out", "refused"));
    let refusal = refused.refusal.as_ref().expect("it stands");
    assert_eq!(refusal.reason.name, "sa-table-full");
    assert_eq!(
        (refusal.evidence.as_str(), refusal.retry.as_ref()),
        ("used=2 limit=2", "when-room")
    );
    assert_eq!(rig.snapshot().get("not-eligible.sa-refused"), 1);

    rig.banner("the other tunnel goes, and there is room");
    rig.apply(&config("auto", 1, ""));
    for n in 3..8 {
        rig.send("lan0", &rig.packet("lan0", outward()).payload(&payload(n)));
        rig.one("wan0");
    }
    let taken = &sas(&mut rig)[0];
    assert_eq!(taken.status.name(), "hitting", "{taken:?}");
    assert_eq!(taken.slow.packets + taken.fast.packets, 8, "no packet lost or counted twice");
}

#[test]
fn a_tunnel_that_requires_offload_passes_nothing_once_the_engine_has_refused() {
    let full = format!("{}{}", config("require", 1, ""), second());
    let mut rig = Rig::new("esp-require", &full);
    rig.banner("the first packet finds the way to the far end; nothing is refused yet");
    rig.send("lan0", &rig.packet("lan0", outward()).payload(b"first"));
    rig.one("wan0");
    for _ in 0..3 {
        rig.send("lan0", &rig.packet("lan0", outward()).payload(b"more"));
        rig.expect_silence();
    }
    assert_eq!(rig.snapshot().get("drop.offload-required"), 3);
}

#[test]
fn a_tunnel_with_offload_off_is_not_refused_but_switched_off() {
    let mut rig = Rig::new("esp-off", &config("off", 1, ""));
    for n in 0..3 {
        rig.send("lan0", &rig.packet("lan0", outward()).payload(&payload(n)));
        rig.one("wan0");
    }
    for sa in sas(&mut rig) {
        let names: Vec<_> = sa.against.iter().map(|f| f.reason.name.as_ref()).collect();
        assert_eq!((names, sa.refusal), (vec!["disabled-by-tunnel"], None), "{}", sa.direction);
    }
    let counters = rig.snapshot();
    assert_eq!(counters.get("engine.forwarded"), 0);
    assert_eq!(counters.get("not-eligible.disabled-by-tunnel"), 1);
}

/// Number of the SA and sequence number of an ESP packet on the wire.
pub(super) fn identity(frame: &[u8]) -> (u32, u32) {
    let word = |at: usize| u32::from_be_bytes(frame[at..at + 4].try_into().expect("four bytes"));
    (word(34), word(38))
}

/// A packet for each of two tunnels; what left, by tunnel.
fn one_each(rig: &mut Rig) -> [(u32, u32); 2] {
    [ip("10.2.0.7"), ip("10.8.0.7")].map(|dst| {
        rig.send("lan0", &rig.packet("lan0", Tuple { dst, ..outward() }).payload(b"x"));
        identity(&rig.one("wan0"))
    })
}

#[test]
fn a_reload_that_does_not_concern_them_leaves_sas_and_sessions_where_they_are() {
    let two = format!("{}{}", config("auto", 1, ""), second().replace("sas = 2", "sas = 64"));
    let mut rig = Rig::new("esp-reload", &two);
    for n in 1..=4 {
        assert_eq!(one_each(&mut rig), [(0x1001, n), (0x1002, n)]);
    }
    let before = rig.snapshot();
    assert_eq!(before.get("engine.flows"), 4, "two flows, two incoming SAs\n{before}");
    rig.apply(&format!("{two}\n[timeouts]\nudp = \"5m\"\n"));
    for n in 5..=8 {
        assert_eq!(one_each(&mut rig), [(0x1001, n), (0x1002, n)]);
    }
    let after = rig.snapshot();
    assert_eq!(after.get("engine.installed"), before.get("engine.installed"), "nothing moved");
    rig.banner("the tunnels change places");
    let (first, rest) = two.split_once("[[policy]]").expect("a policy");
    let (site, policies) = (first, rest.split_once("[[ipsec]]").expect("the other"));
    rig.apply(&format!(
        "[[ipsec]]{}{site}[[policy]]{}",
        policies.1.split_once("[limits]").expect("limits").0,
        policies.0
    ));
    for n in 9..=12 {
        assert_eq!(one_each(&mut rig), [(0x1001, n), (0x1002, n)]);
    }
}

#[test]
fn a_key_that_comes_back_goes_on_with_its_numbers() {
    let mut rig = Rig::new("esp-key-again", &config("auto", 1, ""));
    for n in 1..=3 {
        rig.send("lan0", &rig.packet("lan0", outward()).payload(b"x"));
        assert_eq!(identity(&rig.one("wan0")), (0x1001, n));
    }
    let sa = far_end();
    let wire = sealed(&rig, &sa, &rig.packet("wan0", outward().reversed()).payload(b"once"));
    rig.send_bytes("wan0", &wire);
    rig.one("lan0");
    rig.banner("the tunnel goes, and comes back with the same keys");
    rig.apply("");
    rig.apply(&config("auto", 1, ""));
    rig.send("lan0", &rig.packet("lan0", outward()).payload(b"x"));
    let (spi, number) = identity(&rig.one("wan0"));
    assert!(spi == 0x1001 && number > 3, "number {number} was used before");
    rig.send_bytes("wan0", &wire);
    rig.expect_silence();
}

#[test]
fn what_the_gateway_says_of_a_packet_from_a_tunnel_goes_back_into_it() {
    for offload in ["off", "auto"] {
        let mut rig = Rig::new(&format!("esp-icmp-{offload}"), &config(offload, 1, ""));
        let sa = far_end();
        let dying = rig.packet("wan0", outward().reversed()).ttl(1).payload(b"secret");
        let wire = sealed(&rig, &sa, &dying);
        rig.send_bytes("wan0", &wire);
        for frame in rig.take("wan0") {
            assert_eq!(frame[23], proto::ESP, "in clear: {frame:02x?}");
        }
        assert_eq!(rig.snapshot().get("drop.ttl-expired"), 1);
        assert_eq!(rig.snapshot().get("icmp.errors"), 1, "{}", rig.snapshot());
    }
}

/// Events of a kind that the gateway tells, oldest first.
fn events(rig: &mut Rig, kind: &str) -> Vec<String> {
    let request = api::Request::Events { filter: None, since: None, limit: None };
    match rig.net.ask(rig.gateway, request) {
        Ok(api::Response::Events(view)) => {
            let of = view.events.into_iter().filter(|event| event.event == kind);
            of.map(|event| event.message).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_sa_that_grows_old_and_ends_says_so_once_each() {
    let bounds = "soft-lifetime = { packets = 2 }\nhard-lifetime = { packets = 4 }";
    let mut rig = Rig::new("esp-expiry", &config("auto", 1, bounds));
    for told in [0, 1, 2] {
        for _ in 0..2 {
            rig.send("lan0", &rig.packet("lan0", outward()).payload(b"x"));
        }
        rig.wait(core::time::Duration::from_secs(60));
        let events = events(&mut rig, "sa-expiry");
        rig.forget();
        let expected = [
            "tunnel site: the outgoing SA 0x00001001 has grown old by packets",
            "tunnel site: the outgoing SA 0x00001001 has ended by packets",
        ];
        assert_eq!(events, expected[..(told + 1).min(2)]);
    }
}

#[test]
fn what_is_cut_before_it_is_sealed_leaves_in_order_and_is_counted_once() {
    for offload in ["off", "auto"] {
        let mut rig = Rig::new(&format!("esp-siblings-{offload}"), &config(offload, 1, ""));
        let before = rig.snapshot();
        rig.send("lan0", &rig.packet("lan0", outward()).df(false).payload(&[7; 4000]));
        let wire = rig.take("wan0");
        let numbers: Vec<_> = wire.iter().map(|frame| identity(frame)).collect();
        assert_eq!(numbers, [(0x1001, 1), (0x1001, 2), (0x1001, 3)]);
        assert!(wire.iter().all(|frame| frame.len() <= 1514), "each fits the path");
        let changes = rig.snapshot().changes_since(&before);
        assert_eq!(changes.get("slow.sent"), Some(&3), "{changes:?}");
        assert_eq!(changes.get("fragment.made"), Some(&3));
        assert_eq!(changes.get("slow.setup"), Some(&1), "one packet was carried");
    }
}
