//! Many sources share addresses by ports (NAPT), RFC 4787 behaviour: address and port dependent
//! mapping, paired address pooling (REQ-2), source ports kept where they are free (REQ-3).
//!
//! One bit per address, protocol and port says that a session owns the port outright. When every
//! bit of a protocol is set, ports are shared by sessions to different peers; that two of them never
//! have the same reply is asked of the session table each time.
//!
//! Memory: 8 KiB for each address and protocol ever used at the full port range; never more.

use core::net::IpAddr;

use super::{
    pool::{Addresses, Chosen, Kind, Probe, SPACES, Space},
    slots::Slots,
};
use crate::rng::Rng;

#[derive(Debug)]
pub(super) struct Overload {
    pub(super) addresses: Addresses,
    low: u16,
    ports: u32,
    spaces: [Used; SPACES],
}

/// The ports of one protocol.
#[derive(Debug, Default)]
struct Used {
    /// By address; made at the first session.
    ports: Box<[Option<Slots>]>,
    /// Addresses without a free port.
    full: Option<Slots>,
    count: u32,
}

impl Overload {
    pub(super) fn new(addresses: Addresses, low: u16, high: u16) -> Self {
        Self {
            addresses,
            low,
            ports: u32::from(high.saturating_sub(low)) + 1,
            spaces: Default::default(),
        }
    }

    /// First port and number of ports. ICMP identifiers are not ports; all of them may be used.
    fn range(&self, space: Space) -> (u16, u32) {
        match space {
            Space::Icmp => (0, 1 << 16),
            Space::Tcp | Space::Udp | Space::Sctp => (self.low, self.ports),
        }
    }

    /// Ports (of TCP, say) of all addresses together.
    pub(super) fn ports_total(&self) -> u64 {
        u64::from(self.addresses.count) * u64::from(self.ports)
    }

    pub(super) fn ports_used(&self) -> [u32; SPACES] {
        self.spaces.each_ref().map(|space| space.count)
    }

    pub(super) fn choose<F: Fn(&wire::Tuple) -> bool>(
        &mut self,
        space: Space,
        rng: &mut Rng,
        probe: &mut Probe<F>,
    ) -> Option<Chosen> {
        self.unused(space, rng, probe).or_else(|| self.shared(space, rng, probe))
    }

    /// A port that no session has.
    fn unused<F: Fn(&wire::Tuple) -> bool>(
        &mut self,
        space: Space,
        rng: &mut Rng,
        probe: &mut Probe<F>,
    ) -> Option<Chosen> {
        let (low, len) = self.range(space);
        let count = self.addresses.count;
        let used = &mut self.spaces[space as usize];
        if used.ports.is_empty() {
            used.ports = vec![None; count as usize].into();
        }
        let full = used.full.get_or_insert_with(|| Slots::new(count));
        let kept = probe.tuple.src_port;
        let mut from = self.addresses.preferred(probe.tuple.src);
        // Every turn costs a probe, and those are bounded.
        while let Some(index) = full.next_free(from) {
            let address = self.addresses.get(index);
            let slots = used.ports[index as usize].get_or_insert_with(|| Slots::new(len));
            let wanted = u32::from(kept.wrapping_sub(low));
            let mut slot = if kept >= low && slots.is_free(wanted) {
                wanted
            } else {
                slots.next_free(rng.below(len))?
            };
            // A few ports of an address before the next, so that a source stays paired.
            for _ in 0..8 {
                let port = low.wrapping_add(slot as u16);
                if probe.is_free(address, port)? {
                    slots.take(slot);
                    if slots.is_full() {
                        full.take(index);
                    }
                    used.count += 1;
                    return Some(Chosen { index: index as u16, port, kind: Kind::Owned });
                }
                slot = slots.next_free(rng.below(len))?;
            }
            from = index + 1;
        }
        None
    }

    /// A port that sessions to other peers have.
    fn shared<F: Fn(&wire::Tuple) -> bool>(
        &self,
        space: Space,
        rng: &mut Rng,
        probe: &mut Probe<F>,
    ) -> Option<Chosen> {
        let (low, len) = self.range(space);
        let total = u64::from(self.addresses.count) * u64::from(len);
        let preferred = u64::from(self.addresses.preferred(probe.tuple.src)) * u64::from(len);
        let start = preferred + u64::from(rng.below(len));
        // Consecutive ports, so that small pools are tried to the last.
        for n in 0..total {
            let at = (start + n) % total;
            let index = (at / u64::from(len)) as u32;
            let port = low.wrapping_add((at % u64::from(len)) as u16);
            if probe.is_free(self.addresses.get(index), port)? {
                return Some(Chosen { index: index as u16, port, kind: Kind::Shared });
            }
        }
        None
    }

    pub(super) fn release(&mut self, space: Space, index: u16, port: u16) {
        let (low, _) = self.range(space);
        let used = &mut self.spaces[space as usize];
        let slots = used.ports.get_mut(usize::from(index)).and_then(Option::as_mut);
        if slots.is_some_and(|slots| slots.free(u32::from(port.wrapping_sub(low)))) {
            used.count -= 1;
            if let Some(full) = &mut used.full {
                full.free(u32::from(index));
            }
        }
    }

    /// An address for a protocol without ports, which one session to each peer can have.
    pub(super) fn portless<F: Fn(&wire::Tuple) -> bool>(
        addresses: &Addresses,
        first: u32,
        probe: &mut Probe<F>,
    ) -> Option<Chosen> {
        for n in 0..addresses.count {
            let index = (first + n) % addresses.count;
            let address: IpAddr = addresses.get(index);
            if probe.is_free(address, probe.tuple.src_port)? {
                return Some(Chosen {
                    index: index as u16,
                    port: probe.tuple.src_port,
                    kind: Kind::Portless,
                });
            }
        }
        None
    }
}
