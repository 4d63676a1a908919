//! Any bytes into any port: nothing panics, every frame is accounted for, every buffer comes back.

use core::time::Duration;

use lockgate_testkit::{
    counters::Snapshot,
    office::{ip, mac},
    rig::{ALLOW_NAT, BASE, NEIGHBOURS, Rig, out_tuple},
    sim::Clip,
};
use ports::{Checksum, Gso, GsoKind, Offloads};
use proptest::{collection::vec, prelude::*};
use wire::{IpVersion, Tuple, build, gre::Header, proto, vxlan};

const MORE: &str = r#"
[[interface]]
name = "guest"
port = "lan0"
vlan = 20
address = ["10.1.20.1/24", "2001:db8:1:20::1/64"]
zone = "inside"

[[vip]]
name = "web"
external = "203.0.113.10"
mapped = "10.1.0.5"
interface = "wan"

[[policy]]
id = 2
from = "outside"
to = "inside"
destination = "web"
action = "allow"

[[local-in]]
name = "ping"
service = "ping"
action = "allow"

[[gre]]
name = "gre"
local = "203.0.113.2"
remote = "203.0.113.9"
key = 7
zone = "outside"

[[vxlan]]
name = "vx"
local = "203.0.113.2"
remote = "203.0.113.9"
vni = 5

[[interface]]
name = "vx"
tunnel = "vx"
zone = "outside"
address = "10.77.0.1/24"

[[route]]
to = "10.66.0.0/24"
interface = "gre"

[limits]
sessions = 256
frames = 512
"#;

/// Valid frames to begin with.
fn seeds(rig: &Rig) -> Vec<(&'static str, Vec<u8>)> {
    let mut all = Vec::new();
    for v6 in [false, true] {
        let icmp = if v6 { proto::ICMPV6 } else { proto::ICMP };
        let udp = rig.out(proto::UDP, 4000, 53, v6).payload(b"question of a client");
        let tcp = rig.out(proto::TCP, 50_000, 80, v6);
        all.push(("lan0", udp.build()));
        all.push((
            "lan0",
            tcp.clone().tcp(2, 1, 0).tcp_options(&[2, 4, 5, 180, 1, 3, 3, 7]).build(),
        ));
        all.push(("lan0", tcp.tcp(0x10, 2, 2).payload(b"data").build()));
        all.push(("lan0", rig.out(icmp, 7, 0, v6).payload(b"echo").build()));
        all.push((
            "lan0",
            rig.out(proto::SCTP, 5000, 5001, v6).payload(&[1, 0, 0, 20, 0, 0, 0, 1]).build(),
        ));
        all.push(("lan0", rig.out(proto::GRE, 0, 0, v6).raw().payload(&[0; 12]).build()));
        all.push(("lan0", rig.out(proto::UDP, 4001, 53, v6).vlan(20).payload(b"tagged").build()));
        let quoted = udp.build()[14..].to_vec();
        let own = ip(if v6 { "2001:db8:ffff::2" } else { "203.0.113.2" });
        let router = ip(if v6 { "2001:db8:ffff::1" } else { "203.0.113.1" });
        let tuple = Tuple { src: router, dst: own, src_port: 0, dst_port: 0, proto: icmp };
        let (kind, code) = if v6 { (1, 4) } else { (3, 3) };
        all.push(("wan0", rig.packet("wan0", tuple).icmp(kind, code).payload(&quoted).build()));
        all.push(("wan0", rig.packet("wan0", tuple).payload(b"ping me").build()));
    }
    let vip = Tuple {
        src: ip("203.0.113.9"),
        dst: ip("203.0.113.10"),
        ..out_tuple(proto::TCP, 60_000, 443, false)
    };
    all.push(("wan0", rig.packet("wan0", vip).tcp(2, 9, 0).build()));
    let into = Tuple { dst: ip("10.66.0.9"), ..out_tuple(proto::UDP, 4005, 53, false) };
    all.push(("lan0", rig.packet("lan0", into).payload(b"into the tunnel").build()));
    let ends = Tuple {
        src: ip("203.0.113.9"),
        dst: ip("203.0.113.2"),
        src_port: 0,
        dst_port: 0,
        proto: proto::GRE,
    };
    let inside = build::Packet::new(Tuple { src: ip("10.66.0.9"), ..vip }).tcp(2, 9, 0).build();
    for checksum in [false, true] {
        let header = Header { inside: IpVersion::V4, checksum, key: Some(7), sequence: Some(1) };
        let mut payload = vec![0; header.len()];
        payload.extend_from_slice(&inside[14..]);
        header.write(&mut payload);
        all.push(("wan0", rig.packet("wan0", ends).raw().payload(&payload).build()));
    }
    let udp = Tuple { src_port: 50_000, dst_port: vxlan::PORT, proto: proto::UDP, ..ends };
    let question = build::arp_request(mac(0x177), [10, 77, 0, 9].into(), [10, 77, 0, 1].into());
    for frame in [inside, question] {
        let payload = [&vxlan::header(5)[..], &frame].concat();
        all.push(("wan0", rig.packet("wan0", udp).payload(&payload).build()));
    }
    let whole = rig.out(proto::UDP, 4002, 53, false).df(false).id(3).payload(&[9; 1200]).build();
    if let Ok(headers) = wire::parse(&whole)
        && let Ok(mut cutter) = wire::fragment::Fragmenter::new(&whole, &headers, 600, 0)
    {
        let mut piece = Vec::new();
        while cutter.next(&mut piece) {
            all.push(("lan0", piece.clone()));
            piece.clear();
        }
    }
    let hop_by_hop = [17, 0, 5, 2, 0, 0, 1, 0];
    let options = rig.out(proto::UDP, 4003, 53, true).extensions(0, &hop_by_hop).payload(b"x");
    all.push(("lan0", options.build()));
    all.push(("lan0", rig.out(proto::UDP, 4004, 53, false).ip_options(&[1, 1, 1, 0]).build()));
    all.push(("lan0", build::arp_request(mac(0x100), [10, 1, 0, 9].into(), [10, 1, 0, 1].into())));
    all
}

#[derive(Clone, Debug)]
enum Change {
    Set(usize, u8),
    Flip(usize, u8),
    Truncate(usize),
    Extend(Vec<u8>),
    Copy(usize, usize, usize),
    Remove(usize, usize),
}

#[derive(Clone, Debug)]
enum Input {
    Mutated { seed: usize, changes: Vec<Change>, repaired: bool },
    Random { port: bool, bytes: Vec<u8> },
    Offloaded { seed: usize, changes: Vec<Change>, start: u16, offset: u16, gso: Option<(u8, u16)> },
    Wait(u16),
}

fn change() -> impl Strategy<Value = Change> {
    // The first 80 bytes hold the headers; most changes go there.
    let at = prop_oneof![4 => 12usize..80, 1 => 0usize..1500];
    prop_oneof![
        4 => (at.clone(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        4 => (at.clone(), 0u8..8).prop_map(|(at, bit)| Change::Flip(at, bit)),
        1 => at.clone().prop_map(Change::Truncate),
        1 => vec(any::<u8>(), 1..40).prop_map(Change::Extend),
        1 => (at.clone(), at.clone(), 1usize..16).prop_map(|(from, to, n)| Change::Copy(from, to, n)),
        1 => (at, 1usize..16).prop_map(|(at, n)| Change::Remove(at, n)),
    ]
}

fn input() -> impl Strategy<Value = Input> {
    let changes = || vec(change(), 0..5);
    prop_oneof![
        12 => (0usize..64, changes(), any::<bool>())
            .prop_map(|(seed, changes, repaired)| Input::Mutated { seed, changes, repaired }),
        2 => (any::<bool>(), vec(any::<u8>(), 0..200)).prop_map(|(port, bytes)| Input::Random { port, bytes }),
        2 => (0usize..64, changes(), 0u16..120, 0u16..40, proptest::option::of((0u8..3, 0u16..1500)))
            .prop_map(|(seed, changes, start, offset, gso)| Input::Offloaded { seed, changes, start, offset, gso }),
        1 => (0u16..5000).prop_map(Input::Wait),
    ]
}

fn mutate(mut bytes: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        match change {
            Change::Set(at, byte) => {
                if let Some(b) = bytes.get_mut(*at) {
                    *b = *byte;
                }
            }
            Change::Flip(at, bit) => {
                if let Some(b) = bytes.get_mut(*at) {
                    *b ^= 1 << bit;
                }
            }
            Change::Truncate(at) => bytes.truncate(*at),
            Change::Extend(more) => bytes.extend(more),
            Change::Copy(from, to, n) => {
                let piece: Vec<_> = bytes.iter().skip(*from).take(*n).copied().collect();
                bytes.iter_mut().skip(*to).zip(piece).for_each(|(b, p)| *b = p);
            }
            Change::Remove(at, n) => {
                let end = (at + n).min(bytes.len());
                if *at < end {
                    bytes.drain(*at..end);
                }
            }
        }
    }
    bytes
}

/// Makes the checksums right again where the headers still say where they are, so that what follows
/// the checks is reached too.
fn repair(mut bytes: Vec<u8>) -> Vec<u8> {
    let at = if bytes.get(12..14) == Some(&[0x81, 0]) { 18 } else { 14 };
    if let Some(&first) = bytes.get(at)
        && first >> 4 == 4
    {
        let end = at + usize::from(first & 0x0f) * 4;
        if bytes.len() >= end && end >= at + 20 {
            bytes[at + 10..at + 12].fill(0);
            let sum = wire::checksum::checksum(&bytes[at..end]);
            bytes[at + 10..at + 12].copy_from_slice(&sum.to_be_bytes());
        }
    }
    let Ok(headers) = wire::parse(&bytes) else { return bytes };
    let field = match headers.tuple.proto {
        proto::TCP => 16,
        proto::UDP => 6,
        proto::ICMP | proto::ICMPV6 => 2,
        _ => return bytes,
    };
    if headers.kind == wire::L3::Arp || headers.fragment != wire::Fragmentation::Whole {
        return bytes;
    }
    let (l4, end) = (usize::from(headers.l4), headers.end as usize);
    if l4 + field + 2 > end || end > bytes.len() {
        return bytes;
    }
    bytes[l4 + field..l4 + field + 2].fill(0);
    let data = &bytes[l4..end];
    let sum = if headers.tuple.proto == proto::ICMP {
        wire::checksum::Sum::ZERO.bytes(data).finish()
    } else {
        let (t, length) = (headers.tuple, data.len() as u32);
        wire::checksum::Sum::ZERO.pseudo(t.src, t.dst, t.proto, length).bytes(data).finish()
    };
    bytes[l4 + field..l4 + field + 2].copy_from_slice(&sum.to_be_bytes());
    bytes
}

/// Rises by one with every frame, whatever became of it: sent on, dropped, held, or answered. What the
/// gateway makes of its own is sent, dropped or held too, so it is taken off again; an echo request
/// counts once for itself and its reply.
fn accounted(rig: &Rig, now: &Snapshot) -> u64 {
    let held = rig.net.gateway(rig.gateway).node.gateway().packets_held() as u64;
    let all = now.get("engine.forwarded")
        + now.get("slow.sent")
        + now.sum("drop.")
        + now.sum("punt-ring-full.")
        + now.sum("punt-limited.")
        + held;
    all - now.get("icmp.errors") - now.get("tcp.resets")
}

/// Messages that end without any of these: ARP and neighbour discovery are taken, fragments wait for
/// each other, errors about the gateway's own packets are read; so are those inside a tunnel, and an
/// answer into a VXLAN tunnel is asked for first.
fn is_special(bytes: &[u8]) -> bool {
    let Ok(headers) = wire::parse(bytes) else { return false };
    if (headers.tuple.proto, headers.tuple.dst_port) == (proto::UDP, vxlan::PORT) {
        return true;
    }
    if headers.tuple.proto == proto::GRE
        && let Some(gre) = bytes.get(usize::from(headers.payload)..headers.end as usize)
        && let Ok(header) = Header::read(gre)
    {
        let ethertype: [u8; 2] = if header.inside == IpVersion::V4 { [8, 0] } else { [0x86, 0xdd] };
        if is_special(&[&[0; 12], &ethertype[..], &gre[header.len()..]].concat()) {
            return true;
        }
    }
    headers.kind == wire::L3::Arp
        || headers.fragment != wire::Fragmentation::Whole
        || (headers.tuple.proto == proto::ICMPV6 && (133..=137).contains(&headers.icmp_type))
        || wire::icmp::is_error(&headers)
}

fn run(rig: &mut Rig, inputs: &[Input]) {
    rig.net.stop_capturing();
    let seeds = seeds(rig);
    for input in inputs {
        let (port, clip) = match input {
            Input::Wait(millis) => {
                rig.wait(Duration::from_millis(u64::from(*millis)));
                continue;
            }
            Input::Random { port, bytes } => {
                (if *port { "lan0" } else { "wan0" }, Clip::plain(bytes.clone()))
            }
            Input::Mutated { seed, changes, repaired } => {
                let (port, bytes) = &seeds[seed % seeds.len()];
                let bytes = mutate(bytes.clone(), changes);
                (*port, Clip::plain(if *repaired { repair(bytes) } else { bytes }))
            }
            Input::Offloaded { seed, changes, start, offset, gso } => {
                let (port, bytes) = &seeds[seed % seeds.len()];
                let kind = |n| [GsoKind::Tcp4, GsoKind::Tcp6, GsoKind::Udp][usize::from(n)];
                let offloads = Offloads {
                    checksum: Checksum::Partial { start: *start, offset: *offset },
                    gso: gso.map(|(n, size)| Gso { kind: kind(n), size, ecn: false }),
                };
                (*port, Clip { bytes: mutate(bytes.clone(), changes), offloads })
            }
        };
        let special = clip.is_super() || is_special(&clip.bytes);
        let before = rig.snapshot();
        let held = accounted(rig, &before);
        rig.send_clip(port, clip.clone());
        let after = rig.snapshot();
        let received = |s: &Snapshot| s.get("port.lan0.rx-packets") + s.get("port.wan0.rx-packets");
        // Ports that take nothing unfinished do not hand it on.
        if !special && received(&after) > received(&before) {
            let became = accounted(rig, &after) - held;
            let changes = after.changes_since(&before);
            assert_eq!(became, 1, "{clip:02x?} became {changes:#?}");
        }
        rig.forget();
    }
    rig.wait(Duration::from_secs(90));
    let after = rig.snapshot();
    assert_eq!(after.get("frames.in-use"), 0, "buffers that did not come back\n{after}");
    assert_eq!(after.get("frames.exhausted"), 0);
}

proptest! {
    #![proptest_config(crate::cases(48))]

    #[test]
    fn any_frame_is_accounted_for(inputs in vec(input(), 1..120)) {
        let config = format!("{NEIGHBOURS}{BASE}{MORE}{ALLOW_NAT}");
        run(&mut Rig::with("fuzz", &config, false), &inputs);
    }

    #[test]
    fn any_frame_is_accounted_for_while_nobody_answers(inputs in vec(input(), 1..80)) {
        let config = format!("{BASE}{MORE}{ALLOW_NAT}");
        run(&mut Rig::with("fuzz-silent", &config, true), &inputs);
    }
}
