//! The SAs that workers use: a snapshot in chunks that every worker keeps and replaces at the start
//! of a burst when the control has made another. A change copies one chunk, not the table.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{
            AtomicU64,
            Ordering::{Acquire, Release},
        },
    },
};

use offload::{Handle, SaProgram};

/// SAs copied together.
const CHUNK: usize = 64;

/// An installed SA.
#[derive(Clone)]
pub(super) struct Installed {
    pub(super) program: SaProgram,
    generation: u32,
}

type Chunk = Arc<[Option<Installed>; CHUNK]>;

/// The SAs as they are at one moment.
#[derive(Clone, Default)]
pub(super) struct SaMap {
    chunks: Vec<Chunk>,
    /// Our ports of UDP encapsulation.
    udp_ports: Vec<u16>,
}

impl SaMap {
    /// The SA in a slot.
    #[inline(always)]
    pub(super) fn get(&self, slot: u32) -> Option<&SaProgram> {
        let slot = slot as usize;
        let installed = self.chunks.get(slot / CHUNK)?[slot % CHUNK].as_ref()?;
        Some(&installed.program)
    }

    /// Whether there never was one.
    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Whether datagrams to a port may carry ESP (RFC 3948).
    #[inline(always)]
    pub(super) fn carries_esp(&self, port: u16) -> bool {
        self.udp_ports.contains(&port)
    }

    fn installed(&self, handle: Handle) -> Option<&Installed> {
        let slot = handle.index as usize;
        let installed = self.chunks.get(slot / CHUNK)?[slot % CHUNK].as_ref()?;
        (installed.generation == handle.generation).then_some(installed)
    }
}

/// The present snapshot. Reading it takes a lock only when it has changed.
#[derive(Default)]
pub(super) struct Sas {
    version: AtomicU64,
    map: Mutex<Arc<SaMap>>,
}

impl Sas {
    fn set(&self, map: SaMap) {
        *self.map.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(map);
        self.version.fetch_add(1, Release);
    }

    /// Brings a copy up to date.
    #[inline]
    pub(super) fn refresh(&self, copy: &mut (u64, Arc<SaMap>)) {
        let version = self.version.load(Acquire);
        if version != copy.0 {
            let map = self.map.lock().unwrap_or_else(PoisonError::into_inner);
            *copy = (version, Arc::clone(&map));
        }
    }
}

/// The one that changes it.
pub(super) struct SaWriter {
    map: SaMap,
    free: Vec<u32>,
    never_used: u32,
    generation: u32,
    live: u32,
    limit: u32,
    udp_ports: BTreeMap<u16, u32>,
}

impl SaWriter {
    pub(super) fn new(limit: u32) -> Self {
        Self {
            map: SaMap::default(),
            free: Vec::new(),
            never_used: 0,
            generation: 0,
            live: 0,
            limit,
            udp_ports: BTreeMap::new(),
        }
    }

    pub(super) const fn live(&self) -> u32 {
        self.live
    }

    pub(super) const fn limit(&self) -> u32 {
        self.limit
    }

    /// Puts an SA into a slot; `None` when there is no room.
    pub(super) fn insert(&mut self, program: SaProgram, shared: &Sas) -> Option<Handle> {
        if self.live >= self.limit {
            return None;
        }
        let index = self.free.pop().unwrap_or_else(|| {
            self.never_used += 1;
            self.never_used - 1
        });
        self.generation = self.generation.wrapping_add(1);
        let handle = Handle { index, generation: self.generation };
        if let Some(port) = udp_port(&program) {
            *self.udp_ports.entry(port).or_default() += 1;
        }
        self.put(index, Some(Installed { program, generation: handle.generation }));
        self.live += 1;
        self.publish(shared);
        Some(handle)
    }

    /// Replaces an SA in its place; false if the handle is stale.
    pub(super) fn replace(&mut self, handle: Handle, program: SaProgram, shared: &Sas) -> bool {
        let is_present = self.map.installed(handle).is_some();
        if is_present {
            self.put(handle.index, Some(Installed { program, generation: handle.generation }));
            self.publish(shared);
        }
        is_present
    }

    /// Takes an SA out and gives it back; `None` if the handle is stale.
    pub(super) fn remove(&mut self, handle: Handle, shared: &Sas) -> Option<SaProgram> {
        let program = self.map.installed(handle)?.program.clone();
        if let Some(port) = udp_port(&program)
            && let Some(count) = self.udp_ports.get_mut(&port)
        {
            *count -= 1;
            if *count == 0 {
                self.udp_ports.remove(&port);
            }
        }
        self.put(handle.index, None);
        self.free.push(handle.index);
        self.live -= 1;
        self.publish(shared);
        Some(program)
    }

    /// The SA of a handle.
    pub(super) fn get(&self, handle: Handle) -> Option<&SaProgram> {
        self.map.installed(handle).map(|installed| &installed.program)
    }

    fn put(&mut self, index: u32, installed: Option<Installed>) {
        let (chunk, at) = (index as usize / CHUNK, index as usize % CHUNK);
        while self.map.chunks.len() <= chunk {
            self.map.chunks.push(Arc::new([const { None }; CHUNK]));
        }
        Arc::make_mut(&mut self.map.chunks[chunk])[at] = installed;
    }

    fn publish(&mut self, shared: &Sas) {
        self.map.udp_ports = self.udp_ports.keys().copied().collect();
        shared.set(self.map.clone());
    }
}

fn udp_port(program: &SaProgram) -> Option<u16> {
    match program {
        SaProgram::Inbound { sa, .. } => {
            sa.parameters().encapsulation.map(|udp| udp.destination_port)
        }
        SaProgram::Outbound { .. } => None,
    }
}
