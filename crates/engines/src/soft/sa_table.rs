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

/// Bits of a slot number; an [`SaRef`] has the rest for the tenant.
const SLOT_BITS: u32 = 17;

/// Most SAs, each direction counted.
pub(super) const MAX_SAS: u32 = 1 << SLOT_BITS;

/// An SA as a flow names it: its slot, and which tenant of the slot. A flow that outlives its SA does
/// not meet another one, unless 32,768 have passed through the slot meanwhile: flows are asked again
/// long before.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct SaRef(pub(super) u32);

impl SaRef {
    pub(super) const fn new(handle: Handle) -> Self {
        Self(handle.index | handle.generation << SLOT_BITS)
    }

    #[inline(always)]
    const fn slot(self) -> usize {
        (self.0 & (MAX_SAS - 1)) as usize
    }

    #[inline(always)]
    const fn is(self, installed: &Installed) -> bool {
        self.0 >> SLOT_BITS == installed.generation & (u32::MAX >> SLOT_BITS)
    }
}

/// An installed SA.
#[derive(Clone)]
struct Installed {
    program: SaProgram,
    /// Which tenant of its slot.
    generation: u32,
}

type Chunk = Arc<[Option<Installed>; CHUNK]>;

/// The SAs as they are at one moment.
#[derive(Clone, Default)]
pub(super) struct SaMap {
    chunks: Vec<Chunk>,
    /// Our ports of UDP encapsulation.
    udp_ports: Vec<u16>,
    /// Our ports of DTLS.
    dtls_ports: Vec<u16>,
}

impl SaMap {
    /// The SA, while it is the one that was meant.
    #[inline(always)]
    pub(super) fn get(&self, sa: SaRef) -> Option<&SaProgram> {
        let installed = self.chunks.get(sa.slot() / CHUNK)?[sa.slot() % CHUNK].as_ref()?;
        if sa.is(installed) { Some(&installed.program) } else { None }
    }

    /// Asks the CPU for what [`SaMap::get`] reads.
    #[inline(always)]
    pub(super) fn prefetch(&self, sa: SaRef) {
        if let Some(chunk) = self.chunks.get(sa.slot() / CHUNK) {
            ports::prefetch(std::ptr::from_ref(&chunk[sa.slot() % CHUNK]).cast());
        }
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

    /// Whether datagrams to a port may be of a DTLS association.
    #[inline(always)]
    pub(super) fn carries_dtls(&self, port: u16) -> bool {
        self.dtls_ports.contains(&port)
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
    /// Tenants each slot has had.
    generations: Vec<u32>,
    live: u32,
    limit: u32,
    /// How many incoming ones need each port.
    ports: BTreeMap<OwnPort, u32>,
}

/// A UDP port that something may come by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum OwnPort {
    Esp(u16),
    Dtls(u16),
}

impl SaWriter {
    pub(super) fn new(limit: u32) -> Self {
        Self {
            map: SaMap::default(),
            free: Vec::new(),
            generations: Vec::new(),
            live: 0,
            limit: limit.min(MAX_SAS),
            ports: BTreeMap::new(),
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
            self.generations.push(0);
            self.generations.len() as u32 - 1
        });
        let generation = self.generations.get_mut(index as usize)?;
        *generation = generation.wrapping_add(1);
        let handle = Handle { index, generation: *generation };
        if let Some(port) = own_port(&program) {
            *self.ports.entry(port).or_default() += 1;
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
        if let Some(port) = own_port(&program)
            && let Some(count) = self.ports.get_mut(&port)
        {
            *count -= 1;
            if *count == 0 {
                self.ports.remove(&port);
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
        (self.map.udp_ports, self.map.dtls_ports) = (Vec::new(), Vec::new());
        for port in self.ports.keys() {
            match port {
                OwnPort::Esp(port) => self.map.udp_ports.push(*port),
                OwnPort::Dtls(port) => self.map.dtls_ports.push(*port),
            }
        }
        shared.set(self.map.clone());
    }
}

fn own_port(program: &SaProgram) -> Option<OwnPort> {
    match program {
        SaProgram::Inbound { sa, .. } => {
            sa.parameters().encapsulation.map(|udp| OwnPort::Esp(udp.destination_port))
        }
        SaProgram::DtlsInbound { datagrams, .. } => Some(OwnPort::Dtls(datagrams.dst_port)),
        SaProgram::Outbound { .. } | SaProgram::DtlsOutbound { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use offload::AdjacencyId;
    use wire::Time;

    use super::*;

    fn program(spi: u32) -> SaProgram {
        let sa = esp::Outbound::new(crate::soft::tests::sa(spi), Time::ZERO).expect("a sound SA");
        SaProgram::Outbound { sa: Arc::new(sa), adjacency: AdjacencyId(0) }
    }

    fn spi(map: &SaMap, sa: SaRef) -> Option<u32> {
        map.get(sa).and_then(|program| program.name().spi())
    }

    #[test]
    fn who_names_an_sa_does_not_get_the_next_one_in_its_slot() {
        let (shared, mut writer) = (Sas::default(), SaWriter::new(4));
        let old = writer.insert(program(300), &shared).expect("room");
        assert_eq!(spi(&writer.map, SaRef::new(old)), Some(300));
        writer.remove(old, &shared).expect("it is there");
        assert_eq!(spi(&writer.map, SaRef::new(old)), None);
        let new = writer.insert(program(400), &shared).expect("room");
        assert_eq!(new.index, old.index, "the slot is used again");
        assert_eq!(spi(&writer.map, SaRef::new(old)), None);
        assert_eq!(spi(&writer.map, SaRef::new(new)), Some(400));
    }

    #[test]
    fn the_table_ends_where_references_do() {
        assert_eq!(SaWriter::new(u32::MAX).limit(), MAX_SAS);
        let last = Handle { index: MAX_SAS - 1, generation: u32::MAX };
        assert_eq!(SaRef::new(last).slot(), MAX_SAS as usize - 1);
    }
}
