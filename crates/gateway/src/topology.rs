//! Which interface a frame belongs to, and what is known of interfaces at run time.

use config::{
    Config,
    model::{Attachment, IfId, Interface},
};
use ports::PortId;
use wire::{Mac, VlanId};

use crate::Gateway;

/// What a port is at run time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortState {
    /// Its MAC address.
    pub mac: Mac,
    /// Whether frames can pass.
    pub up: bool,
}

/// Interfaces by port and VLAN, with the ports' run-time state.
#[derive(Clone, Debug)]
pub struct Topology {
    /// For each port its interfaces by tag, sorted.
    by_port: Vec<Vec<(Option<VlanId>, IfId)>>,
    ports: Vec<PortState>,
    /// MAC addresses of tunnels, none where the tunnel is no link.
    tunnels: Vec<Mac>,
}

impl Topology {
    /// The topology of a configuration; ports keep the state they had in `old` by position of name.
    pub fn new(config: &Config, old: Option<(&Config, &Self)>) -> Self {
        let mut by_port = vec![Vec::new(); config.ports.len()];
        for (index, interface) in config.interfaces.iter().enumerate() {
            if let Attachment::Port { port, vlan } = interface.on {
                by_port[usize::from(port)].push((vlan, IfId(index as u16)));
            }
        }
        by_port.iter_mut().for_each(|list| list.sort_unstable());
        let ports = config
            .ports
            .iter()
            .map(|port| {
                let before = old.and_then(|(config, topology)| {
                    let index = config.ports.iter().position(|p| p.name == port.name)?;
                    topology.ports.get(index).copied()
                });
                let derived = port.mac.unwrap_or_else(|| derived_mac(&config.hostname, &port.name));
                match before {
                    Some(state) => PortState { mac: port.mac.unwrap_or(state.mac), ..state },
                    None => PortState { mac: derived, up: true },
                }
            })
            .collect();
        let tunnels = config.tunnels.iter().map(|tunnel| match tunnel.is_ethernet() {
            // A name that no port has.
            true => derived_mac(&config.hostname, &format!("vxlan {}", tunnel.name)),
            false => Mac::default(),
        });
        Self { by_port, ports, tunnels: tunnels.collect() }
    }

    /// The interface of a frame.
    pub fn interface(&self, port: PortId, vlan: Option<VlanId>) -> Option<IfId> {
        let list = self.by_port.get(usize::from(port.0))?;
        let at = list.binary_search_by_key(&vlan, |(tag, _)| *tag).ok()?;
        list.get(at).map(|(_, id)| *id)
    }

    /// Any interface of the port, for what belongs to none (counters of unknown VLANs).
    pub fn first_interface(&self, port: PortId) -> IfId {
        self.by_port
            .get(usize::from(port.0))
            .and_then(|list| list.first())
            .map_or(IfId(u16::MAX), |(_, id)| *id)
    }

    /// Interfaces of a port.
    pub fn interfaces_of(&self, port: PortId) -> impl Iterator<Item = IfId> {
        self.by_port.get(usize::from(port.0)).into_iter().flatten().map(|(_, id)| *id)
    }

    /// State of a port.
    pub fn port(&self, port: u16) -> PortState {
        self.ports
            .get(usize::from(port))
            .copied()
            .unwrap_or(PortState { mac: Mac::default(), up: false })
    }

    /// Sets the state of a port; says whether it changed.
    pub fn set_port(&mut self, port: PortId, state: PortState) -> bool {
        match self.ports.get_mut(usize::from(port.0)) {
            Some(slot) if *slot != state => {
                *slot = state;
                true
            }
            Some(_) | None => false,
        }
    }

    /// MAC address an interface speaks with.
    pub fn mac(&self, interface: &Interface) -> Mac {
        self.state(interface).mac
    }

    /// State of what an interface stands on. Tunnels and loopbacks are up; a tunnel that is a link has a
    /// MAC address.
    pub fn state(&self, interface: &Interface) -> PortState {
        match interface.on {
            Attachment::Port { port, .. } => self.port(port),
            Attachment::Loopback => PortState { mac: Mac::default(), up: true },
            Attachment::Tunnel(id) => {
                let mac = self.tunnels.get(usize::from(id.0)).copied().unwrap_or_default();
                PortState { mac, up: true }
            }
        }
    }
}

impl Gateway {
    /// Tells the engine which interfaces there are: frames of others punt.
    pub(crate) fn publish_interfaces(&mut self) {
        let interfaces: Vec<_> = self
            .config
            .interfaces
            .iter()
            .enumerate()
            .filter_map(|(index, interface)| {
                let state = self.topology.state(interface);
                Some(offload::EngineInterface {
                    port: interface.port()?,
                    vlan: interface.vlan(),
                    interface: index as u16,
                    vr: interface.vr.0,
                    mac: state.mac,
                    enabled: interface.enabled && state.up,
                })
            })
            .collect();
        self.engine.set_interfaces(&interfaces);
    }
}

/// A locally administered address made from names, the same at every start (FNV-1a).
fn derived_mac(hostname: &str, port: &str) -> Mac {
    let hash = hostname
        .bytes()
        .chain([0])
        .chain(port.bytes())
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    let [a, b, c, d, e, ..] = hash.to_be_bytes();
    Mac([0x02, a, b, c, d, e])
}
