//! The NAT room: virtual IPs, pools, and what each session holds of them.
//!
//! Destination NAT only looks ([`Nat::dnat`]). Source NAT chooses and keeps books ([`Nat::snat`]): a
//! session stores the [`Binding`] it is granted and gives it back when it ends
//! ([`Nat::release`]). That no two sessions have the same reply is not for the books to say: the
//! session table is asked for every choice, so that reverse VIPs, the gateway's own sessions and
//! shared ports are all seen.
//!
//! A reload keeps the books of every pool whose name, kind, addresses and ports are the same; those
//! of a pool that is gone stay until its last session has ended. Interface NAT has books by
//! address, made when first needed.
//!
//! Limits: a pool uses its first 65 536 addresses; the session table is asked at most 64 times
//! for a session and pool, so a pool whose every port is shared may be found exhausted a little
//! before the last combination of port and peer is in use.

mod blocks;
mod overload;
mod pool;
mod slots;
#[cfg(test)]
mod tests;
mod vip;

use core::net::IpAddr;
use std::collections::BTreeMap;

use config::{
    Config,
    model::{CentralSnat, IfId, IpRange, PoolId, PoolKind, SourceNat},
};
use ipnet::IpNet;
use reason::DropReason;
use wire::Tuple;

use crate::{
    policy::{Classifier, Key, RuleSpec},
    rng::Rng,
};
use pool::{Chosen, Kind, Pool, Probe, Space};
use vip::Vips;

pub use vip::{Dnat, ReverseVip};

/// Ports that interface NAT chooses from; below are the well-known ones (RFC 6335 §6).
const INTERFACE_PORTS: (u16, u16) = (1024, u16::MAX);

/// A session that wants a source translation.
#[derive(Clone, Copy, Debug)]
pub struct SnatRequest<'a> {
    /// The original direction, after destination NAT.
    pub tuple: Tuple,
    /// What the policy (or the central rule) says.
    pub nat: &'a SourceNat,
    /// The interface the session leaves by.
    pub egress: IfId,
    /// That interface's addresses.
    pub egress_addresses: &'a [IpNet],
}

/// A source translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// New source address.
    pub address: IpAddr,
    /// New source port, or ICMP identifier; as it was for protocols without.
    pub port: u16,
    /// To be given back when the session ends.
    pub binding: Binding,
}

/// What a session holds of a pool. Eight bytes; each is given back exactly once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// Place among the books.
    pool: u16,
    /// Address of the pool.
    address: u16,
    port: u16,
    kind: Kind,
    space: Option<Space>,
}

/// Use of ports by protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortsUsed {
    /// TCP ports.
    pub tcp: u32,
    /// UDP ports.
    pub udp: u32,
    /// SCTP ports.
    pub sctp: u32,
    /// ICMP identifiers.
    pub icmp: u32,
}

/// A row of `show nat pools`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolStats<'a> {
    /// The pool's name; empty for interface NAT, whose address says which.
    pub name: &'a str,
    /// What kind.
    pub kind: PoolKind,
    /// First and last address.
    pub addresses: IpRange,
    /// Ports of each protocol, over all addresses; zero for one-to-one.
    pub ports_total: u64,
    /// Ports in use.
    pub ports_used: PortsUsed,
    /// Sessions that hold something of it, shared ports and protocols without ports included.
    pub sessions: u32,
    /// Sources that hold an address (one-to-one) or blocks (port-block).
    pub hosts: u32,
    /// Blocks in use.
    pub blocks_used: u32,
    /// Blocks there are.
    pub blocks_total: u64,
    /// Sessions that got nothing from it.
    pub exhausted: u64,
    /// Gone from the configuration; only old sessions hold it.
    pub removed: bool,
}

/// Virtual IPs and pools.
#[derive(Debug)]
pub struct Nat {
    vips: Vips,
    central: Option<Classifier>,
    books: Vec<Option<Book>>,
    /// Books of each pool, by [`PoolId`].
    pools: Vec<Option<u16>>,
    /// Books of interface NAT.
    interfaces: BTreeMap<IpAddr, u16>,
}

/// One pool's books.
#[derive(Debug)]
struct Book {
    name: String,
    kind: PoolKind,
    addresses: IpRange,
    ports: (u16, u16),
    /// Belongs to an interface's address, not to a pool.
    interface: bool,
    pool: Pool,
    sessions: u32,
    exhausted: u64,
    removed: bool,
}

impl Nat {
    /// The room of a configuration, with empty books.
    pub fn new(config: &Config) -> Self {
        let mut nat = Self {
            vips: Vips::new(config),
            central: None,
            books: Vec::new(),
            pools: Vec::new(),
            interfaces: BTreeMap::new(),
        };
        nat.reload(config);
        nat
    }

    /// Takes a new configuration; books of unchanged pools and hits of VIPs (by name) stay.
    pub fn reload(&mut self, config: &Config) {
        let mut vips = Vips::new(config);
        vips.carry_over(&self.vips);
        self.vips = vips;
        self.central = (!config.central_snat.is_empty())
            .then(|| Classifier::build(config.central_snat.iter().map(central_spec)));

        let on_an_interface = |address: IpAddr| {
            let mut all = config.interfaces.iter().flat_map(|i| &i.addresses);
            all.any(|net| net.addr() == address)
        };
        for book in self.books.iter_mut().flatten() {
            book.removed = !(book.interface && on_an_interface(book.addresses.first));
        }
        self.pools.clear();
        for pool in &config.pools {
            let wanted = Book::new(
                &pool.name,
                pool.kind,
                pool.addresses,
                (*pool.ports.start(), *pool.ports.end()),
            );
            let held = self.books.iter_mut().zip(0_u16..).find_map(|(book, at)| {
                let book = book.as_mut().filter(|book| book.is(&wanted))?;
                book.removed = false;
                Some(at)
            });
            let at = held.or_else(|| self.add(wanted));
            self.pools.push(at);
        }
        for at in 0..self.books.len() {
            self.forget_if_unused(at);
        }
    }

    /// The destination translation of a packet that came in by `ingress`.
    #[inline]
    pub fn dnat(&self, ingress: IfId, tuple: &Tuple) -> Option<Dnat> {
        self.vips.dnat(ingress, tuple)
    }

    /// The source translation of a server behind a 1:1 VIP, for a session it starts itself.
    #[inline]
    pub fn reverse_vip(&self, egress: IfId, src: IpAddr) -> Option<ReverseVip> {
        self.vips.reverse(egress, src)
    }

    /// Counts a session that `dnat` or `reverse_vip` translated.
    #[inline]
    pub fn count_vip(&mut self, vip: usize) {
        if let Some(hits) = self.vips.hits.get_mut(vip) {
            *hits += 1;
        }
    }

    /// Sessions that a VIP has translated; index as in `config.vips`.
    pub fn vip_hits(&self, vip: usize) -> u64 {
        self.vips.hits.get(vip).copied().unwrap_or_default()
    }

    /// Whether the central source NAT table decides instead of the policies.
    pub fn has_central(&self) -> bool {
        self.central.is_some()
    }

    /// The central rule for a session: index into `config.central_snat`.
    #[inline]
    pub fn central(&self, key: &Key) -> Option<usize> {
        self.central.as_ref()?.lookup(key)
    }

    /// Chooses a source address and port. `taken` says whether a session already has this reply
    /// tuple. `Ok(None)` where nothing is to be translated.
    ///
    /// The first pool of the right IP version that can serve does; a source that has used up its
    /// blocks in one is refused, not passed on to the next.
    pub fn snat(
        &mut self,
        request: &SnatRequest<'_>,
        rng: &mut Rng,
        taken: impl Fn(&Tuple) -> bool,
    ) -> Result<Option<Grant>, DropReason> {
        let tuple = request.tuple;
        let mut probe = Probe::new(tuple, taken);
        match request.nat {
            SourceNat::Off => Ok(None),
            SourceNat::Interface => {
                let address = interface_address(request.egress_addresses, tuple.is_v6())
                    .ok_or(DropReason::NatPoolMissingFamily)?;
                let at = match self.interfaces.get(&address) {
                    Some(&at) => at,
                    None => self.add_interface(address).ok_or(DropReason::NatPoolExhausted)?,
                };
                self.grant(at, rng, &mut probe).map(Some)
            }
            SourceNat::Pools(pools) => {
                let mut answer = Err(DropReason::NatPoolMissingFamily);
                for &PoolId(id) in pools {
                    let Some(&Some(at)) = self.pools.get(usize::from(id)) else {
                        continue;
                    };
                    let book = self.books.get(usize::from(at)).and_then(Option::as_ref);
                    if book.is_none_or(|book| book.pool.addresses().is_v6() != tuple.is_v6()) {
                        continue;
                    }
                    probe.renew();
                    answer = self.grant(at, rng, &mut probe).map(Some);
                    if answer != Err(DropReason::NatPoolExhausted) {
                        break;
                    }
                }
                answer
            }
        }
    }

    /// Gives back what a session held.
    pub fn release(&mut self, binding: Binding) {
        let at = usize::from(binding.pool);
        let Some(Some(book)) = self.books.get_mut(at) else {
            return;
        };
        book.sessions = book.sessions.saturating_sub(1);
        let chosen = Chosen { index: binding.address, port: binding.port, kind: binding.kind };
        book.pool.release(binding.space, chosen);
        self.forget_if_unused(at);
    }

    /// Whether to answer ARP or ND on `interface` for an address that is not its own: the address
    /// of a VIP or pool that lies in its subnets.
    pub fn proxies(&self, interface: IfId, address: IpAddr) -> bool {
        self.vips.proxies(interface, address)
    }

    /// Whether the address belongs to a VIP or pool of the configuration.
    pub fn owns(&self, address: IpAddr) -> bool {
        self.vips.owns(address)
    }

    /// Rows of `show nat pools`: pools and interface addresses in the order of their books, which a
    /// reload does not change for what stays.
    pub fn pools(&self) -> impl Iterator<Item = PoolStats<'_>> {
        self.books.iter().flatten().map(Book::stats)
    }

    /// Sets the exhausted counts of pools and the hits of VIPs to zero.
    pub fn clear_counters(&mut self) {
        for book in self.books.iter_mut().flatten() {
            book.exhausted = 0;
        }
        self.vips.hits.fill(0);
    }

    fn grant<F: Fn(&Tuple) -> bool>(
        &mut self,
        at: u16,
        rng: &mut Rng,
        probe: &mut Probe<F>,
    ) -> Result<Grant, DropReason> {
        let Some(Some(book)) = self.books.get_mut(usize::from(at)) else {
            return Err(DropReason::NatPoolExhausted);
        };
        let space = Space::of(&probe.tuple);
        let chosen = book.pool.choose(space, rng, probe).inspect_err(|_| book.exhausted += 1)?;
        book.sessions += 1;
        book.removed = false;
        Ok(Grant {
            address: book.pool.addresses().get(u32::from(chosen.index)),
            port: chosen.port,
            binding: Binding {
                pool: at,
                address: chosen.index,
                port: chosen.port,
                kind: chosen.kind,
                space,
            },
        })
    }

    fn add_interface(&mut self, address: IpAddr) -> Option<u16> {
        let only = IpRange { first: address, last: address };
        let mut book = Book::new("", PoolKind::Overload, only, INTERFACE_PORTS);
        book.interface = true;
        let at = self.add(book)?;
        self.interfaces.insert(address, at);
        Some(at)
    }

    fn add(&mut self, book: Book) -> Option<u16> {
        let at = match self.books.iter().position(Option::is_none) {
            Some(at) => at,
            None => {
                self.books.push(None);
                self.books.len() - 1
            }
        };
        let id = u16::try_from(at).ok()?;
        self.books[at] = Some(book);
        Some(id)
    }

    /// Closes the books of a removed pool without sessions.
    fn forget_if_unused(&mut self, at: usize) {
        let unused = |book: &mut Book| book.removed && book.sessions == 0;
        if let Some(book) = self.books.get_mut(at).and_then(|book| book.take_if(unused))
            && book.interface
        {
            self.interfaces.remove(&book.addresses.first);
        }
    }
}

impl Book {
    fn new(name: &str, kind: PoolKind, addresses: IpRange, ports: (u16, u16)) -> Self {
        Self {
            name: name.into(),
            kind,
            addresses,
            ports,
            interface: false,
            pool: Pool::new(kind, addresses, ports.0, ports.1),
            sessions: 0,
            exhausted: 0,
            removed: false,
        }
    }

    /// Whether these are the books of the same pool.
    fn is(&self, other: &Self) -> bool {
        !self.interface
            && self.name == other.name
            && self.kind == other.kind
            && self.addresses == other.addresses
            && self.ports == other.ports
    }

    fn stats(&self) -> PoolStats<'_> {
        let [tcp, udp, sctp, icmp] = self.pool.ports_used();
        let (blocks_used, blocks_total) = self.pool.blocks();
        PoolStats {
            name: &self.name,
            kind: self.kind,
            addresses: self.addresses,
            ports_total: self.pool.ports_total(),
            ports_used: PortsUsed { tcp, udp, sctp, icmp },
            sessions: self.sessions,
            hosts: self.pool.hosts(),
            blocks_used,
            blocks_total,
            exhausted: self.exhausted,
            removed: self.removed,
        }
    }
}

fn central_spec(rule: &CentralSnat) -> RuleSpec<'_> {
    RuleSpec {
        from: &rule.from,
        to: &rule.to,
        source: &rule.source,
        who: None,
        destination: &rule.destination,
        services: &rule.services,
    }
}

/// The address that interface NAT translates to: the first of the version that may leave the link.
fn interface_address(addresses: &[IpNet], v6: bool) -> Option<IpAddr> {
    addresses.iter().map(IpNet::addr).find(|address| match address {
        IpAddr::V4(_) => !v6,
        IpAddr::V6(ip) => v6 && !ip.is_unicast_link_local(),
    })
}
