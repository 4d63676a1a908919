//! Which interface a frame belongs to, by port and VLAN: a map that workers keep a copy of and
//! replace at the start of a burst when the control has set another.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{
        AtomicU64,
        Ordering::{Acquire, Release},
    },
};

use ports::PortId;
use wire::{Mac, VlanId};

/// An interface as the workers know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SoftInterface {
    /// Its port.
    pub port: PortId,
    /// Its 802.1Q tag; `None` takes untagged frames.
    pub vlan: Option<VlanId>,
    /// Its number, as programs name it in [`FlowProgram::ingress`](offload::FlowProgram::ingress).
    pub interface: u16,
    /// Its virtual router.
    pub vr: u16,
    /// IP MTU in bytes. Received packets are not checked against it.
    pub mtu: u16,
    /// Its MAC address; frames to others punt.
    pub mac: Mac,
    /// Whether it is up.
    pub enabled: bool,
}

/// All interfaces.
#[derive(Debug, Default)]
pub(super) struct InterfaceMap {
    /// By port.
    ports: Vec<PortMap>,
}

#[derive(Debug, Default)]
struct PortMap {
    untagged: Option<SoftInterface>,
    /// Sorted by VLAN.
    tagged: Vec<SoftInterface>,
}

impl InterfaceMap {
    pub(super) fn new(interfaces: &[SoftInterface]) -> Self {
        let mut map = Self::default();
        for interface in interfaces.iter().filter(|i| i.enabled) {
            let port = usize::from(interface.port.0);
            if map.ports.len() <= port {
                map.ports.resize_with(port + 1, PortMap::default);
            }
            match interface.vlan {
                None => map.ports[port].untagged = Some(*interface),
                Some(_) => map.ports[port].tagged.push(*interface),
            }
        }
        map.ports
            .iter_mut()
            .for_each(|port| port.tagged.sort_by_key(|i| i.vlan));
        map
    }

    /// The enabled interface that takes frames with this tag from this port.
    #[inline(always)]
    pub(super) fn get(&self, port: PortId, vlan: Option<VlanId>) -> Option<&SoftInterface> {
        let port = self.ports.get(usize::from(port.0))?;
        match vlan {
            None => port.untagged.as_ref(),
            Some(_) => {
                let at = port.tagged.binary_search_by_key(&vlan, |i| i.vlan).ok()?;
                port.tagged.get(at)
            }
        }
    }
}

/// The present map. Reading it takes a lock only when it has changed.
#[derive(Default)]
pub(super) struct Interfaces {
    version: AtomicU64,
    map: Mutex<Arc<InterfaceMap>>,
}

impl Interfaces {
    pub(super) fn set(&self, map: InterfaceMap) {
        *self.map.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(map);
        self.version.fetch_add(1, Release);
    }

    /// Brings a copy up to date.
    #[inline]
    pub(super) fn refresh(&self, copy: &mut (u64, Arc<InterfaceMap>)) {
        let version = self.version.load(Acquire);
        if version != copy.0 {
            let map = self.map.lock().unwrap_or_else(PoisonError::into_inner);
            *copy = (version, Arc::clone(&map));
        }
    }
}
