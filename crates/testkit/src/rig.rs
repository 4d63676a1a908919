//! One gateway between raw hosts, for tests that go packet by packet.
//!
//! Links take no time, neighbours answer at once, and every packet is built by hand, so after each
//! step it is known which counters must have changed.

use core::{net::IpAddr, time::Duration};
use std::path::PathBuf;

use wire::{Mac, Time, Tuple, VlanId, build};

use crate::{
    counters::Snapshot,
    office::{ip, mac},
    recording,
    sim::{Clip, Link, Network, NodeId, Station, port_mac},
};

/// Two ports, `lan0` with 10.1.0.1/24 and 2001:db8:1::1/64 in zone `inside`, `wan0` with
/// 203.0.113.2/24 and 2001:db8:ffff::2/64 in zone `outside`, default routes by `wan`, and pinned
/// neighbours: hosts .5 and .6 inside, .1 and .9 outside.
pub const BASE: &str = r#"
[[port]]
name = "lan0"
kind = "memory"

[[port]]
name = "wan0"
kind = "memory"

[[interface]]
name = "lan"
port = "lan0"
address = ["10.1.0.1/24", "2001:db8:1::1/64"]
zone = "inside"

[[interface]]
name = "wan"
port = "wan0"
address = ["203.0.113.2/24", "2001:db8:ffff::2/64"]
zone = "outside"

[[route]]
to = "0.0.0.0/0"
via = "203.0.113.1"

[[route]]
to = "::/0"
via = "2001:db8:ffff::1"
"#;

/// The pinned neighbours of [`BASE`].
pub const NEIGHBOURS: &str = r#"
neighbour = [
    { interface = "lan", address = "10.1.0.5", mac = "02:00:00:00:01:00" },
    { interface = "lan", address = "10.1.0.6", mac = "02:00:00:00:01:00" },
    { interface = "wan", address = "203.0.113.1", mac = "02:00:00:00:01:01" },
    { interface = "wan", address = "203.0.113.9", mac = "02:00:00:00:01:01" },
    { interface = "lan", address = "2001:db8:1::5", mac = "02:00:00:00:01:00" },
    { interface = "lan", address = "2001:db8:1::6", mac = "02:00:00:00:01:00" },
    { interface = "wan", address = "2001:db8:ffff::1", mac = "02:00:00:00:01:01" },
    { interface = "wan", address = "2001:db8:ffff::9", mac = "02:00:00:00:01:01" },
]
"#;

/// A policy that lets everything from inside to outside, untranslated.
pub const ALLOW: &str = r#"
[[policy]]
id = 1
name = "out"
from = "inside"
to = "outside"
action = "allow"
"#;

/// The same with source translation to the address of `wan`.
pub const ALLOW_NAT: &str = r#"
[[policy]]
id = 1
name = "out"
from = "inside"
to = "outside"
action = "allow"
nat = "interface"
"#;

/// A gateway with one raw host at every port.
pub struct Rig {
    /// The network.
    pub net: Network,
    /// The gateway.
    pub gateway: NodeId,
    stations: Vec<NodeId>,
    scenario: Scenario,
}

impl Rig {
    /// [`BASE`] with pinned neighbours, and `more` configuration.
    pub fn new(name: &str, more: &str) -> Self {
        Self::with(name, &format!("{NEIGHBOURS}{BASE}{more}"), false)
    }

    /// A configuration of its own; `offloads` says whether ports take super-packets.
    pub fn with(name: &str, config: &str, offloads: bool) -> Self {
        let mut net = Network::new(1);
        let gateway = net.router("gateway", config, offloads);
        let names = net.gateway(gateway).port_names().to_vec();
        let link = Link { latency: Duration::ZERO, mtu: 9216, ..Link::default() };
        let stations = (0..names.len())
            .map(|port| {
                let station = Station::new(mac(0x100 + port as u16), &[]);
                let id = net.station(&format!("peer of {}", names[port]), station);
                net.connect(link, &[gateway.port(port), id.end()]);
                id
            })
            .collect();
        let mut rig = Self { net, gateway, stations, scenario: Scenario::new(name) };
        rig.settle();
        rig
    }

    /// Says what the next step shows; seen when the test fails.
    #[allow(clippy::print_stdout)]
    pub fn banner(&self, text: &str) {
        println!("==== {text} ====");
    }

    /// The raw host at a port answers for these addresses in ARP and neighbour discovery.
    pub fn answer_for(&mut self, port: &str, addresses: &[&str]) {
        let station = self.station(port);
        self.net.station_at(station).answers.extend(addresses.iter().map(|a| ip(a)));
    }

    /// A packet from the raw host at a port to the gateway.
    pub fn packet(&self, port: &str, tuple: Tuple) -> build::Packet {
        build::Packet::new(tuple).macs(self.peer_mac(port), self.gateway_mac(port))
    }

    /// Sends a packet into a port, and lets the gateway come to rest.
    pub fn send(&mut self, port: &str, packet: &build::Packet) {
        self.send_clip(port, Clip::plain(packet.build()));
    }

    /// Sends a packet into a port with the next step; the gateway gets all that was queued at once.
    pub fn queue(&mut self, port: &str, packet: &build::Packet) {
        let station = self.station(port);
        self.net.send(station, Clip::plain(packet.build()));
    }

    /// Sends bytes into a port, and lets the gateway come to rest.
    pub fn send_bytes(&mut self, port: &str, bytes: &[u8]) {
        self.send_clip(port, Clip::plain(bytes.to_vec()));
    }

    /// Sends a frame, finished or not, into a port, and lets the gateway come to rest.
    pub fn send_clip(&mut self, port: &str, clip: Clip) {
        let station = self.station(port);
        self.net.send(station, clip);
        self.settle();
    }

    /// What came out of a port since the last look; ARP and neighbour discovery left out.
    pub fn take(&mut self, port: &str) -> Vec<Vec<u8>> {
        let station = self.station(port);
        self.net.station_at(station).take().into_iter().map(|got| got.clip.bytes).collect()
    }

    /// The same as frames, with what is unfinished about them.
    pub fn take_clips(&mut self, port: &str) -> Vec<Clip> {
        let station = self.station(port);
        self.net.station_at(station).take().into_iter().map(|got| got.clip).collect()
    }

    /// The one packet that came out of a port.
    ///
    /// # Panics
    /// When it is not one.
    pub fn one(&mut self, port: &str) -> Vec<u8> {
        let mut got = self.take(port);
        assert_eq!(got.len(), 1, "one packet out of {port}: {}", describe(&got));
        got.remove(0)
    }

    /// The tuple of the one packet that came out of a port.
    ///
    /// # Panics
    /// When it is not one IP packet.
    pub fn one_tuple(&mut self, port: &str) -> Tuple {
        let bytes = self.one(port);
        wire::parse(&bytes).expect("an IP packet").tuple
    }

    /// Asserts that nothing came out of any port.
    ///
    /// # Panics
    /// When something did.
    pub fn expect_silence(&mut self) {
        for port in self.net.gateway(self.gateway).port_names().to_vec() {
            let got = self.take(&port);
            assert!(got.is_empty(), "out of {port} came {}", describe(&got));
        }
    }

    /// Takes all that came out of every port, and forgets it.
    pub fn forget(&mut self) {
        for station in self.stations.clone() {
            self.net.station_at(station).take();
        }
    }

    /// All counters of the gateway.
    pub fn snapshot(&self) -> Snapshot {
        self.net.snapshot(self.gateway)
    }

    /// Lets the gateway finish what it is at: one simulated millisecond.
    pub fn settle(&mut self) {
        self.net.run_for(Duration::from_millis(1));
    }

    /// Lets time pass.
    pub fn wait(&mut self, time: Duration) {
        self.net.run_for(time);
    }

    /// Applies a configuration in place of [`Rig::new`]'s `more`.
    pub fn apply(&mut self, more: &str) {
        self.apply_whole(&format!("{NEIGHBOURS}{BASE}{more}"));
    }

    /// Applies a configuration in place of [`Rig::new`]'s `more`; no time passes.
    pub fn apply_unsettled(&mut self, more: &str) {
        let config = format!("{NEIGHBOURS}{BASE}{more}");
        if let Err(diagnostics) = self.net.apply(self.gateway, &config) {
            panic!("the configuration is refused:\n{diagnostics}");
        }
    }

    /// Applies a whole configuration.
    ///
    /// # Panics
    /// When it is refused.
    pub fn apply_whole(&mut self, config: &str) {
        if let Err(diagnostics) = self.net.apply(self.gateway, config) {
            panic!("the configuration is refused:\n{diagnostics}");
        }
        self.settle();
    }

    /// MAC address of the gateway at a port.
    pub fn gateway_mac(&self, port: &str) -> Mac {
        port_mac(self.index(port))
    }

    /// MAC address of the raw host at a port.
    pub fn peer_mac(&self, port: &str) -> Mac {
        mac(0x100 + self.index(port) as u16)
    }

    /// The simulated time.
    pub fn now(&self) -> Time {
        self.net.now()
    }

    /// Which port it is, from zero.
    ///
    /// # Panics
    /// When there is none of that name.
    pub fn index(&self, port: &str) -> usize {
        let names = self.net.gateway(self.gateway).port_names();
        names.iter().position(|name| name == port).expect("a port of that name")
    }

    fn station(&self, port: &str) -> NodeId {
        self.stations[self.index(port)]
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.scenario.finish(&mut self.net, self.gateway);
    }
}

/// Packets as the rig's hosts send them.
impl Rig {
    /// A packet from 10.1.0.5 (or 2001:db8:1::5) inside to 203.0.113.9 (2001:db8:ffff::9) outside.
    pub fn out(&self, proto: u8, src_port: u16, dst_port: u16, v6: bool) -> build::Packet {
        self.packet("lan0", out_tuple(proto, src_port, dst_port, v6))
    }

    /// The answer to a packet that came out of `wan0` with this tuple.
    pub fn back(&self, seen: Tuple) -> build::Packet {
        self.packet("wan0", seen.reversed())
    }

    /// The same on a VLAN of a port.
    pub fn tagged(&self, port: &str, vlan: VlanId, tuple: Tuple) -> build::Packet {
        self.packet(port, tuple).vlan(vlan)
    }
}

/// From 10.1.0.5 (2001:db8:1::5) to 203.0.113.9 (2001:db8:ffff::9).
pub fn out_tuple(proto: u8, src_port: u16, dst_port: u16, v6: bool) -> Tuple {
    let (src, dst): (IpAddr, IpAddr) = if v6 {
        (ip("2001:db8:1::5"), ip("2001:db8:ffff::9"))
    } else {
        (ip("10.1.0.5"), ip("203.0.113.9"))
    };
    Tuple { src, dst, src_port, dst_port, proto }
}

/// Saves the capture of a scenario when it ends, and replays its recording.
pub struct Scenario {
    name: String,
}

impl Scenario {
    /// A scenario of this name; it names the capture file.
    pub fn new(name: &str) -> Self {
        Self { name: name.into() }
    }

    /// Where [`Scenario::finish`] writes the capture.
    pub fn capture_path(&self) -> PathBuf {
        directory().join(format!("{}.pcapng", self.name))
    }

    /// Writes `<name>.pcapng` beside the build's output, and checks that the recording replays bit
    /// for bit, unless the scenario already failed.
    ///
    /// # Panics
    /// When the replay differs, or the capture cannot be written.
    pub fn finish(&self, net: &mut Network, gateway: NodeId) {
        let saved = net.save_capture(&self.capture_path());
        if std::thread::panicking() {
            return;
        }
        saved.expect("the capture can be written");
        let Some(recording) = net.gateway(gateway).recording() else { return };
        let replayed = recording::replay(&recording).expect("a recording");
        if let Some(difference) = replayed.difference {
            panic!("{} does not replay: {difference}", self.name);
        }
    }
}

/// Where captures go: `scenarios` in the directory cargo builds into.
fn directory() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    let target = program.ancestors().find(|dir| dir.join("CACHEDIR.TAG").is_file());
    target.map_or_else(|| PathBuf::from("target"), PathBuf::from).join("scenarios")
}

/// Packets in words.
pub fn describe(packets: &[Vec<u8>]) -> String {
    let word = |bytes: &Vec<u8>| match wire::parse(bytes) {
        Ok(headers) if headers.kind == wire::L3::Arp => "ARP".to_owned(),
        Ok(h) => format!(
            "{} flags {:#04x} type {} ({} bytes)",
            h.tuple,
            h.tcp_flags,
            h.icmp_type,
            bytes.len()
        ),
        Err(reason) => reason.to_string(),
    };
    let words: Vec<_> = packets.iter().map(word).collect();
    format!("{} packets [{}]", packets.len(), words.join("; "))
}
