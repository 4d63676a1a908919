//! Two servers that protect what they say to each other in ESP transport mode, each behind a gateway
//! that does it for them: a bump in the wire. The addresses of the SAs are the servers' own.
//!
//! ```text
//!  first 192.168.1.64 ── 10.64.0.1 ═ paris ══ 203.0.113.0/24 ══ oslo ═ 10.65.0.1 ── 192.168.1.65 second
//! ```

use core::time::Duration;
use std::path::Path;

use lockgate_testkit::{
    apps::{DatagramClient, DatagramServer, Ping, StreamClient, StreamServer, Work},
    office::ip,
    rig::Scenario,
    sim::{HostConfig, Link, Network, NodeId},
};
use ports::pcap::PcapReader;
use wire::{Mac, proto};

const MINUTE: Duration = Duration::from_secs(60);

/// Key material of AES-256-GCM: 36 bytes.
fn key(n: u8) -> String {
    (0..36).map(|i: u8| format!("{:02x}", i.wrapping_mul(11).wrapping_add(n))).collect()
}

/// The gateway of the server whose address ends in `own`.
fn gateway(own: u8, other: u8, esp: &str) -> String {
    let sa = |from: u8| {
        let (spi, key) = (0x2000 + u32::from(from), key(from));
        format!("{{ spi = {spi}, algorithm = \"aes256gcm16\", key = \"{key}\" }}")
    };
    format!(
        r#"
hostname = "gateway-{own}"
[[port]]
name = "server"
kind = "memory"
mac = "02:00:00:00:{own}:01"
[[port]]
name = "wire"
kind = "memory"
mac = "02:00:00:00:{own}:02"
[[interface]]
name = "server"
port = "server"
zone = "server"
address = "10.{own}.0.1/30"
[[interface]]
name = "wire"
port = "wire"
zone = "wire"
address = "203.0.113.{own}/24"
[[route]]
to = "192.168.1.{own}/32"
interface = "server"
[[route]]
to = "192.168.1.{other}/32"
via = "203.0.113.{other}"
[[ipsec]]
name = "peer"
local = "192.168.1.{own}"
remote = "192.168.1.{other}"
mode = "transport"
out = {}
in = {}
{esp}
[[policy]]
id = 1
from = "server"
to = "peer"
action = "allow"
[[policy]]
id = 2
from = "peer"
to = "server"
action = "allow"
"#,
        sa(own),
        sa(other),
    )
}

fn server(name: &str, own: u8) -> HostConfig {
    // the second address is the way to the gateway
    let addresses = [(ip(&format!("192.168.1.{own}")), 32), (ip(&format!("10.{own}.0.2")), 30)];
    let gateway = ip(&format!("10.{own}.0.1"));
    HostConfig::new(name, Mac([0x02, 0, 0, 0, own, 5]), &addresses, &[gateway])
}

struct Servers {
    net: Network,
    paris: NodeId,
    oslo: NodeId,
    first: NodeId,
}

fn servers(esp: &str) -> Servers {
    let mut net = Network::new(1);
    let paris = net.router("paris", &gateway(64, 65, esp), false);
    let oslo = net.router("oslo", &gateway(65, 64, esp), false);
    let (first, second) = (net.host(server("first", 64)), net.host(server("second", 65)));
    net.connect(Link::default(), &[paris.port(0), first.end()]);
    net.connect(Link::default(), &[oslo.port(0), second.end()]);
    net.connect(Link::after(Duration::from_millis(1)), &[paris.port(1), oslo.port(1)]);
    net.start(second, StreamServer::new(8080));
    net.start(second, DatagramServer::new(53));
    Servers { net, paris, oslo, first }
}

/// What crossed the wire between the gateways, as both saw it: IP protocol numbers, each once.
fn protocols_on_the_wire(capture: &Path) -> Vec<u8> {
    let mut reader = PcapReader::open(capture).expect("a capture");
    let mut records = Vec::new();
    while let Some(record) = reader.next_record() {
        records.push(record.expect("a record"));
    }
    let names = reader.interface_names();
    let mut found: Vec<u8> = records
        .iter()
        .filter(|record| names[record.interface as usize].ends_with(":wire"))
        .map(|record| wire::parse(&record.bytes).expect("a frame"))
        .filter(|headers| headers.kind != wire::L3::Arp)
        .map(|headers| headers.tuple.proto)
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// A ping, datagrams and a stream; all must arrive, and only `expected` may be seen on the wire.
fn exercise(name: &str, esp: &str, expected: &[u8]) {
    let Servers { mut net, paris, oslo, first } = servers(esp);
    let (second, every) = (ip("192.168.1.65"), Duration::from_millis(10));
    let ping = net.start(first, Ping::new(second, 7, 5, every));
    let datagrams = net.start(first, DatagramClient::new((second, 53), 40_000, 40, every));
    let stream = StreamClient::new((second, 8080), 50_000, Work::Echo(200_000));
    let stream = net.start(first, stream);
    let apps = [ping, datagrams, stream];
    net.run_until(MINUTE, |net| apps.iter().all(|app| net.report(*app).done));
    for app in apps {
        let report = net.report(app);
        assert!(
            report.succeeded(),
            "{report:?}\nparis:\n{}\noslo:\n{}",
            net.snapshot(paris),
            net.snapshot(oslo)
        );
    }
    let scenario = Scenario::new(name);
    scenario.finish(&mut net, paris);
    assert_eq!(protocols_on_the_wire(&scenario.capture_path()), expected);
}

#[test]
fn servers_talk_in_transport_mode_and_nothing_else_is_on_the_wire() {
    exercise("transport", "", &[proto::ESP]);
}

#[test]
fn transport_mode_passes_in_udp_too() {
    exercise("transport-udp", "udp-encapsulation = true", &[proto::UDP]);
}
