//! Two sites over a provider's network: a host and a gateway each.
//!
//! ```text
//!  alice 10.1.0.5 ── LAN ── paris 203.0.113.2 ══ WAN ══ 203.0.113.3 oslo ── LAN ── bob 10.2.0.5
//! ```
//!
//! Everybody has IPv6 too: `2001:db8:1::5`, `2001:db8:f::2`, `2001:db8:f::3`, `2001:db8:2::5`. What
//! stands between the gateways is up to the scenario: it writes the tunnels.

use core::{net::IpAddr, time::Duration};

use wire::Mac;

use crate::{
    apps::{DatagramServer, StreamServer},
    counters::Snapshot,
    office::ip,
    rig::Scenario,
    sim::{HostConfig, Link, Network, NodeId, SegmentId},
};

/// TCP port of bob's stream server.
pub const STREAMS: u16 = 8080;

/// UDP port of bob's answering server.
pub const DATAGRAMS: u16 = 53;

/// Two sites, running.
pub struct Sites {
    /// The network.
    pub net: Network,
    /// The gateway of alice's site.
    pub paris: NodeId,
    /// The gateway of bob's site.
    pub oslo: NodeId,
    /// A host of the first site.
    pub alice: NodeId,
    /// A host of the second site, with servers.
    pub bob: NodeId,
    /// The provider's network.
    pub wan: SegmentId,
    scenario: Option<Scenario>,
}

impl Sites {
    /// Two sites; `paris` and `oslo` are appended to the gateways' configurations.
    pub fn new(name: &str, paris: &str, oslo: &str) -> Self {
        let mut net = Network::new(1);
        let paris = net.router("paris", &config(1, 2, paris), false);
        let oslo = net.router("oslo", &config(2, 3, oslo), false);
        let alice = net.host(host("alice", 1));
        let bob = net.host(host("bob", 2));
        net.connect(Link::default(), &[paris.port(0), alice.end()]);
        net.connect(Link::default(), &[oslo.port(0), bob.end()]);
        let wan =
            net.connect(Link::after(Duration::from_millis(1)), &[paris.port(1), oslo.port(1)]);
        net.start(bob, StreamServer::new(STREAMS));
        net.start(bob, DatagramServer::new(DATAGRAMS));
        Self { net, paris, oslo, alice, bob, wan, scenario: Some(Scenario::new(name)) }
    }

    /// Bob's address.
    pub fn bob(v6: bool) -> IpAddr {
        ip(if v6 { "2001:db8:2::5" } else { "10.2.0.5" })
    }

    /// Counters of a gateway.
    pub fn snapshot(&self, gateway: NodeId) -> Snapshot {
        self.net.snapshot(gateway)
    }
}

impl Drop for Sites {
    fn drop(&mut self) {
        if let Some(scenario) = &self.scenario {
            scenario.finish(&mut self.net, self.paris);
        }
    }
}

/// The configuration of a site's gateway without its tunnels.
pub fn config(site: u8, wan: u8, more: &str) -> String {
    format!(
        r#"
hostname = "site-{site}"
[[port]]
name = "lan0"
kind = "memory"
mac = "02:00:00:00:0{site}:01"
[[port]]
name = "wan0"
kind = "memory"
mac = "02:00:00:00:0{site}:02"
[[interface]]
name = "lan"
port = "lan0"
zone = "inside"
address = ["10.{site}.0.1/24", "2001:db8:{site}::1/64"]
[[interface]]
name = "wan"
port = "wan0"
zone = "outside"
address = ["203.0.113.{wan}/24", "2001:db8:f::{wan}/64"]
[[policy]]
id = 1
from = "inside"
to = "vpn"
action = "allow"
[[policy]]
id = 2
from = "vpn"
to = "inside"
action = "allow"
[[local-in]]
name = "ping"
service = ["ping"]
action = "allow"
{more}
"#
    )
}

fn host(name: &str, site: u8) -> HostConfig {
    let own = |text: &str| ip(&text.replace('#', &site.to_string()));
    HostConfig::new(
        name,
        Mac([0x02, 0, 0, 0, site, 5]),
        &[(own("10.#.0.5"), 24), (own("2001:db8:#::5"), 64)],
        &[own("10.#.0.1"), own("2001:db8:#::1")],
    )
}
