//! A branch office: two staff hosts, a guest and a server on VLANs, and the internet.
//!
//! ```text
//!   anna 10.1.0.5 ──┐                                      ┌── internet 203.0.113.1
//!   ben  10.1.0.6 ──┤ LAN ── gateway ── 203.0.113.0/28 ── ─┤            198.51.100.7
//!  guest 10.1.20.7 ─┤ (VLAN 20)                            └── world    203.0.113.9
//!    web 10.1.30.10 ┘ (VLAN 30)
//! ```
//!
//! Every host has IPv6 too. Names end in the capture of the scenario.

use core::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use wire::Mac;

use crate::{
    apps::{DatagramServer, StreamServer},
    counters::Snapshot,
    rig::Scenario,
    sim::{HostConfig, Link, Network, NodeId, SegmentId},
};

/// The configuration of the office's gateway.
pub const CONFIG: &str = include_str!("office.toml");

/// TCP port of the stream servers on the internet.
pub const STREAMS: u16 = 8080;

/// TCP port of the internet's backup server; its policy switches offload off.
pub const BACKUP: u16 = 873;

/// UDP port of the answering server on the internet.
pub const DATAGRAMS: u16 = 53;

/// TCP port of the web server behind the VIP, as the world sees it.
pub const WEB: u16 = 443;

/// The office, running.
pub struct Office {
    /// The network.
    pub net: Network,
    /// The gateway.
    pub gateway: NodeId,
    /// A staff host.
    pub anna: NodeId,
    /// Another.
    pub ben: NodeId,
    /// A guest, on VLAN 20.
    pub guest: NodeId,
    /// The web server, on VLAN 30.
    pub web: NodeId,
    /// The provider's router and a server behind it.
    pub internet: NodeId,
    /// A host on the provider's segment.
    pub world: NodeId,
    /// The office's switch.
    pub lan: SegmentId,
    /// The provider's segment.
    pub wan: SegmentId,
    scenario: Option<Scenario>,
}

impl Office {
    /// The office with its usual configuration.
    pub fn new(name: &str) -> Self {
        Self::with(name, CONFIG, 1)
    }

    /// The office with another configuration of the same ports, and a seed.
    pub fn with(name: &str, config: &str, seed: u64) -> Self {
        let mut office = Self::unsaved(config, seed);
        office.scenario = Some(Scenario::new(name));
        office
    }

    /// The same, and nothing is written or replayed when it ends.
    pub fn unsaved(config: &str, seed: u64) -> Self {
        let mut net = Network::new(seed);
        let gateway = net.router("gateway", config, false);
        let anna = net.host(inside("anna", 5, "10.1.0", "2001:db8:1:"));
        let ben = net.host(inside("ben", 6, "10.1.0", "2001:db8:1:"));
        let guest = net.host(inside("guest", 7, "10.1.20", "2001:db8:1:20").on_vlan(20));
        let web = net.host(inside("web", 10, "10.1.30", "2001:db8:1:30").on_vlan(30));
        let internet = net.host(HostConfig::new(
            "internet",
            mac(0x101),
            &[
                (ip("203.0.113.1"), 28),
                (ip("198.51.100.7"), 32),
                (ip("2001:db8:ffff::1"), 64),
                (ip("2001:db8:77::7"), 128),
            ],
            &[],
        ));
        let world = net.host(HostConfig::new(
            "world",
            mac(0x109),
            &[(ip("203.0.113.9"), 28), (ip("2001:db8:ffff::9"), 64)],
            &[ip("203.0.113.2"), ip("2001:db8:ffff::2")],
        ));
        let inner = [gateway.port(0), anna.end(), ben.end(), guest.end(), web.end()];
        let lan = net.connect(Link::default(), &inner);
        let outer = [gateway.port(1), internet.end(), world.end()];
        let wan = net.connect(Link::after(Duration::from_millis(2)), &outer);
        net.start(internet, StreamServer::new(STREAMS));
        net.start(internet, StreamServer::new(BACKUP));
        net.start(internet, StreamServer::new(23));
        net.start(internet, DatagramServer::new(DATAGRAMS).answering(160));
        net.start(web, StreamServer::new(8443));
        Self { net, gateway, anna, ben, guest, web, internet, world, lan, wan, scenario: None }
    }

    /// The far server's address, 198.51.100.7 or its IPv6 twin, with a port.
    pub fn server(&self, v6: bool, port: u16) -> SocketAddr {
        SocketAddr::new(ip(if v6 { "2001:db8:77::7" } else { "198.51.100.7" }), port)
    }

    /// All counters of the gateway.
    pub fn snapshot(&self) -> Snapshot {
        self.net.snapshot(self.gateway)
    }
}

impl Drop for Office {
    fn drop(&mut self) {
        if let Some(scenario) = &self.scenario {
            scenario.finish(&mut self.net, self.gateway);
        }
    }
}

/// An address from text that is right.
///
/// # Panics
/// When it is not.
pub fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// A MAC address of the simulation.
pub const fn mac(number: u16) -> Mac {
    let [high, low] = number.to_be_bytes();
    Mac([0x02, 0x00, 0x00, 0x00, high, low])
}

fn inside(name: &str, number: u16, v4: &str, v6: &str) -> HostConfig {
    let addresses = [
        (ip(&format!("{v4}.{number}")), 24),
        (ip(&format!("{v6}::{number}").replace(":::", "::")), 64),
    ];
    let gateways = [ip(&format!("{v4}.1")), ip(&format!("{v6}::1").replace(":::", "::"))];
    HostConfig::new(name, mac(number), &addresses, &gateways)
}
