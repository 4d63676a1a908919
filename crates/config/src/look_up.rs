//! Small look-ups on the model, and the configuration of an empty file.

use core::fmt;

use crate::model::{
    Action, AddressPool, AddressPoolId, Attachment, Config, IfId, Interface, IpRange, OffloadMode,
    Peer, PeerId, Policy, Pool, PoolId, Port, SensorAction, Service, Steering, Tunnel, TunnelId,
    VirtualRouter, VrId, Weakening, ZoneId,
};
use wire::VlanId;

/// The configuration of an empty file: no ports, no policies, defaults everywhere else.
impl Default for Config {
    fn default() -> Self {
        crate::parse("default", "").expect("invariant: the empty text is valid").config
    }
}

impl Config {
    /// The interface behind an id.
    pub fn interface(&self, id: IfId) -> Option<&Interface> {
        self.interfaces.get(usize::from(id.0))
    }

    /// The interface of that name.
    pub fn interface_by_name(&self, name: &str) -> Option<(IfId, &Interface)> {
        let position = self.interfaces.iter().position(|interface| interface.name == name)?;
        Some((IfId(position as u16), self.interfaces.get(position)?))
    }

    /// Name of an interface; `?` where there is none of that id.
    pub fn interface_name(&self, id: IfId) -> &str {
        self.interface(id).map_or("?", |interface| &interface.name)
    }

    /// The port of an interface; tunnels and loopbacks have none.
    pub fn port_of(&self, interface: &Interface) -> Option<&Port> {
        self.ports.get(usize::from(interface.port()?))
    }

    /// The tunnel of an interface.
    pub fn tunnel_of(&self, interface: &Interface) -> Option<(TunnelId, &Tunnel)> {
        let id = interface.tunnel()?;
        Some((id, self.tunnels.get(usize::from(id.0))?))
    }

    /// The IKE peer behind an id.
    pub fn peer(&self, id: PeerId) -> Option<&Peer> {
        self.peers.get(usize::from(id.0))
    }

    /// Name of an IKE peer; `?` where there is none of that id.
    pub fn peer_name(&self, id: PeerId) -> &str {
        self.peer(id).map_or("?", |peer| &peer.name)
    }

    /// Name of a zone; `?` where there is none of that id.
    pub fn zone_name(&self, id: ZoneId) -> &str {
        self.zones.get(usize::from(id.0)).map_or("?", |zone| &zone.name)
    }

    /// The virtual router of that name.
    pub fn virtual_router_by_name(&self, name: &str) -> Option<(VrId, &VirtualRouter)> {
        let position = self.virtual_routers.iter().position(|vr| vr.name == name)?;
        Some((VrId(position as u16), self.virtual_routers.get(position)?))
    }

    /// Name of a virtual router; `?` where there is none of that id.
    pub fn virtual_router_name(&self, id: VrId) -> &str {
        self.virtual_routers.get(usize::from(id.0)).map_or("?", |vr| &vr.name)
    }

    /// The pool behind an id.
    pub fn pool(&self, id: PoolId) -> Option<&Pool> {
        self.pools.get(usize::from(id.0))
    }

    /// Name of a pool; `?` where there is none of that id.
    pub fn pool_name(&self, id: PoolId) -> &str {
        self.pool(id).map_or("?", |pool| &pool.name)
    }

    /// The address pool behind an id.
    pub fn address_pool(&self, id: AddressPoolId) -> Option<&AddressPool> {
        self.address_pools.get(usize::from(id.0))
    }

    /// Name of an address pool; `?` where there is none of that id.
    pub fn address_pool_name(&self, id: AddressPoolId) -> &str {
        self.address_pool(id).map_or("?", |pool| &pool.name)
    }

    /// The policy of that number.
    pub fn policy_by_id(&self, id: u32) -> Option<&Policy> {
        self.policies.iter().find(|policy| policy.id == id)
    }
}

impl Interface {
    /// Index of its port in [`Config::ports`]; tunnels and loopbacks have none.
    pub const fn port(&self) -> Option<u16> {
        match self.on {
            Attachment::Port { port, .. } => Some(port),
            Attachment::Tunnel(_) | Attachment::Loopback => None,
        }
    }

    /// Its 802.1Q tag; absent for untagged frames and where there is no port.
    pub const fn vlan(&self) -> Option<VlanId> {
        match self.on {
            Attachment::Port { vlan, .. } => vlan,
            Attachment::Tunnel(_) | Attachment::Loopback => None,
        }
    }

    /// Its tunnel.
    pub const fn tunnel(&self) -> Option<TunnelId> {
        match self.on {
            Attachment::Port { .. } | Attachment::Loopback => None,
            Attachment::Tunnel(id) => Some(id),
        }
    }

    /// Whether it stands on nothing.
    pub const fn is_loopback(&self) -> bool {
        match self.on {
            Attachment::Port { .. } | Attachment::Tunnel(_) => false,
            Attachment::Loopback => true,
        }
    }
}

impl IpRange {
    /// Whether an address is in the range.
    pub fn contains(&self, ip: core::net::IpAddr) -> bool {
        // addresses of different versions compare by version
        self.first <= ip && ip <= self.last
    }
}

/// One address, or `first-last`.
impl fmt::Display for IpRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.first == self.last {
            true => write!(f, "{}", self.first),
            false => write!(f, "{}-{}", self.first, self.last),
        }
    }
}

/// `tcp/443`, as it would be written.
impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&crate::services::show(self))
    }
}

macro_rules! words {
    ($($Type:ty { $($Variant:ident $word:literal),+ })+) => {$(
        #[doc = "The word of the configuration."]
        impl fmt::Display for $Type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(match self { $(Self::$Variant => $word),+ })
            }
        }
    )+};
}

words! {
    OffloadMode { Auto "auto", Require "require", Off "off" }
    Action { Allow "allow", Deny "deny", Reject "reject" }
    crate::model::Rpf { Strict "strict", Loose "loose", Off "off" }
    SensorAction { Block "block", Monitor "monitor" }
    Weakening { TcpWindow "tcp-window" }
    Steering { Routes "routes", Selectors "selectors" }
}
