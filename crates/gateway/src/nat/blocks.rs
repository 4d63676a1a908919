//! Each source gets blocks of ports of one address (RFC 6888 §3), so that a block in a log names
//! the source. Blocks cover all protocols alike; in each protocol a port serves one session.
//!
//! A source stays on its address as long as it has a session (paired pooling, RFC 6888 REQ-2); a
//! block goes back when its last session ends. Memory follows the blocks in use.

use core::net::IpAddr;
use std::collections::BTreeMap;

use reason::DropReason;
use smallvec::SmallVec;

use super::{
    pool::{Addresses, Chosen, Kind, Probe, SPACES, Space},
    slots::Slots,
};
use crate::rng::Rng;

#[derive(Debug)]
pub(super) struct Blocks {
    pub(super) addresses: Addresses,
    low: u16,
    size: u16,
    per_address: u32,
    per_host: u8,
    hosts: BTreeMap<IpAddr, Host>,
    /// By address and number of the block on it.
    blocks: BTreeMap<(u16, u16), Block>,
    /// Blocks in use of each address; made at the first.
    taken: Box<[Option<Slots>]>,
    /// Addresses without a free block.
    full: Slots,
    ports_used: [u32; SPACES],
}

#[derive(Debug)]
struct Host {
    address: u16,
    blocks: SmallVec<[u16; 4]>,
}

#[derive(Debug)]
struct Block {
    host: IpAddr,
    sessions: u32,
    used: [Option<Slots>; SPACES],
}

impl Blocks {
    pub(super) fn new(addresses: Addresses, low: u16, high: u16, size: u16, per_host: u8) -> Self {
        let size = size.max(1);
        let ports = u32::from(high.saturating_sub(low)) + 1;
        Self {
            full: Slots::new(addresses.count),
            taken: vec![None; addresses.count as usize].into(),
            addresses,
            low,
            size,
            per_address: ports / u32::from(size),
            per_host,
            hosts: BTreeMap::new(),
            blocks: BTreeMap::new(),
            ports_used: [0; SPACES],
        }
    }

    pub(super) fn ports_total(&self) -> u64 {
        self.blocks_total() * u64::from(self.size)
    }

    pub(super) fn ports_used(&self) -> [u32; SPACES] {
        self.ports_used
    }

    pub(super) fn blocks_total(&self) -> u64 {
        u64::from(self.per_address) * u64::from(self.addresses.count)
    }

    pub(super) fn blocks_used(&self) -> u32 {
        self.blocks.len() as u32
    }

    pub(super) fn hosts(&self) -> u32 {
        self.hosts.len() as u32
    }

    /// The address that a source is on, or would try first.
    pub(super) fn preferred(&self, src: IpAddr) -> u32 {
        let held = self.hosts.get(&src).map(|host| u32::from(host.address));
        held.unwrap_or_else(|| self.addresses.preferred(src))
    }

    pub(super) fn choose<F: Fn(&wire::Tuple) -> bool>(
        &mut self,
        space: Space,
        rng: &mut Rng,
        probe: &mut Probe<F>,
    ) -> Result<Chosen, DropReason> {
        let exhausted = DropReason::NatPoolExhausted;
        let src = probe.tuple.src;
        let size = u32::from(self.size);
        let address = match self.hosts.get(&src) {
            Some(host) => {
                for &number in &host.blocks {
                    let Some(block) = self.blocks.get_mut(&(host.address, number)) else {
                        continue;
                    };
                    let used = block.used[space as usize].get_or_insert_with(|| Slots::new(size));
                    while let Some(slot) = used.next_free(rng.below(size)) {
                        let port = self.low + number * self.size + slot as u16;
                        let address = self.addresses.get(u32::from(host.address));
                        if probe.is_free(address, port).ok_or(exhausted)? {
                            used.take(slot);
                            block.sessions += 1;
                            self.ports_used[space as usize] += 1;
                            return Ok(chosen(host.address, port));
                        }
                    }
                }
                if host.blocks.len() >= usize::from(self.per_host) {
                    return Err(DropReason::NatBlockLimit);
                }
                host.address
            }
            None => {
                let preferred = self.addresses.preferred(src);
                self.full.next_free(preferred).ok_or(exhausted)? as u16
            }
        };
        self.open(space, address, rng, probe).ok_or(exhausted)
    }

    /// Takes a new block on `address` and the first port in it.
    fn open<F: Fn(&wire::Tuple) -> bool>(
        &mut self,
        space: Space,
        address: u16,
        rng: &mut Rng,
        probe: &mut Probe<F>,
    ) -> Option<Chosen> {
        let per_address = self.per_address;
        let taken = self.taken.get_mut(usize::from(address))?;
        let taken = taken.get_or_insert_with(|| Slots::new(per_address));
        let number = taken.next_free(rng.below(per_address))? as u16;
        let base = self.low + number * self.size;
        let ip = self.addresses.get(u32::from(address));
        let slot = loop {
            let slot = rng.below(u32::from(self.size));
            if probe.is_free(ip, base + slot as u16)? {
                break slot;
            }
        };
        taken.take(u32::from(number));
        if taken.is_full() {
            self.full.take(u32::from(address));
        }
        let mut used = Slots::new(u32::from(self.size));
        used.take(slot);
        let mut block = Block { host: probe.tuple.src, sessions: 1, used: Default::default() };
        block.used[space as usize] = Some(used);
        self.blocks.insert((address, number), block);
        let host = self
            .hosts
            .entry(probe.tuple.src)
            .or_insert_with(|| Host { address, blocks: SmallVec::new() });
        host.blocks.push(number);
        self.ports_used[space as usize] += 1;
        Some(chosen(address, base + slot as u16))
    }

    pub(super) fn release(&mut self, space: Space, address: u16, port: u16) {
        let Some(offset) = port.checked_sub(self.low) else {
            return;
        };
        let (number, slot) = (offset / self.size, offset % self.size);
        let Some(block) = self.blocks.get_mut(&(address, number)) else {
            return;
        };
        let used = block.used[space as usize].as_mut();
        if !used.is_some_and(|used| used.free(u32::from(slot))) {
            return;
        }
        self.ports_used[space as usize] -= 1;
        block.sessions -= 1;
        if block.sessions > 0 {
            return;
        }
        let owner = block.host;
        self.blocks.remove(&(address, number));
        if let Some(Some(taken)) = self.taken.get_mut(usize::from(address)) {
            taken.free(u32::from(number));
            self.full.free(u32::from(address));
        }
        if let Some(host) = self.hosts.get_mut(&owner) {
            host.blocks.retain(|held| *held != number);
            if host.blocks.is_empty() {
                self.hosts.remove(&owner);
            }
        }
    }
}

fn chosen(index: u16, port: u16) -> Chosen {
    Chosen { index, port, kind: Kind::Block }
}
