//! Which interface a frame belongs to, by port and VLAN: a map that workers keep a copy of and
//! replace at the start of a burst when the control has set another.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{
        AtomicU64,
        Ordering::{Acquire, Release},
    },
};

use offload::EngineInterface;
use ports::PortId;
use wire::VlanId;

/// All interfaces.
#[derive(Debug, Default)]
pub(super) struct InterfaceMap {
    /// By port.
    ports: Vec<PortMap>,
}

#[derive(Debug, Default)]
struct PortMap {
    untagged: Option<EngineInterface>,
    /// Sorted by VLAN.
    tagged: Vec<EngineInterface>,
}

impl InterfaceMap {
    pub(super) fn new(interfaces: &[EngineInterface]) -> Self {
        let mut map = Self::default();
        for interface in interfaces.iter().filter(|i| i.enabled) {
            let port = usize::from(interface.port);
            if map.ports.len() <= port {
                map.ports.resize_with(port + 1, PortMap::default);
            }
            match interface.vlan {
                None => map.ports[port].untagged = Some(*interface),
                Some(_) => map.ports[port].tagged.push(*interface),
            }
        }
        map.ports.iter_mut().for_each(|port| port.tagged.sort_by_key(|i| i.vlan));
        map
    }

    /// The enabled interface that takes frames with this tag from this port.
    #[inline(always)]
    pub(super) fn get(&self, port: PortId, vlan: Option<VlanId>) -> Option<&EngineInterface> {
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
