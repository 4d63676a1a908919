//! The route room: where a packet goes, per virtual router and IP version.
//!
//! Longest-prefix match is a tree bitmap (`prefix-trie`): five levels of the binary trie in one
//! node, so that a million routes are tens of megabytes and a look-up is a handful of cache lines.
//! In front of a large IPv4 table stands one slot for each /24 (64 MiB), which is one.
//! Its values index a slab of entries; an entry keeps all routes to one prefix, ordered by metric,
//! and knows which of them is the best that is usable.
//!
//! A route is usable while its interface is enabled and has link. A prefix without a usable route
//! does not hide a shorter one that has: look-ups then climb.
//!
//! Own addresses, subnet broadcasts and subnet-router anycast addresses are entries like others.
//! IPv6 link-local prefixes are on every interface and so never in a table; own link-local
//! addresses are, as [`Lookup::Local`] of the first interface that has them.
//!
//! Limits: an interface going up or down walks all entries (tens of milliseconds for a million).

mod direct;
mod ecmp;
mod table;
#[cfg(test)]
mod tests;

use core::net::{IpAddr, Ipv4Addr};
use std::{collections::BTreeSet, sync::Arc};

use config::{
    Config,
    model::{IfId, Line, NextHop, Rpf, VrId},
};
use ipnet::IpNet;
use reason::DropReason;
use smallvec::SmallVec;

use table::Fib;

pub(crate) use ecmp::{hash_address, mix};

/// What a destination is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup<'a> {
    /// The gateway's own address, on this interface.
    Local(IfId),
    /// The broadcast address of this interface's subnet, or the limited broadcast (then the
    /// interface is the first of the virtual router and means nothing).
    Broadcast(IfId),
    /// Reached by these routes.
    Via(&'a RouteSet),
    /// Thrown away by this route.
    Blackhole(&'a RouteSet),
    /// No usable route.
    None,
}

/// Where a route came from. The order is the preference among equal metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RouteSource {
    /// The subnet of an interface.
    Connected,
    /// The configuration.
    Static,
}

impl RouteSource {
    /// The word for people and for JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Static => "static",
        }
    }
}

/// One of several equal next hops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Member {
    /// The gateway's address; `None` where the destination is on the link itself.
    pub gateway: Option<IpAddr>,
    /// The interface it is reached by.
    pub interface: IfId,
    /// Share of the sessions, 1 to 255.
    pub weight: u8,
}

/// Routes to one destination with the same metric and source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteSet {
    /// The prefix.
    pub destination: IpNet,
    /// Where the first of them is configured; zero for what was not written.
    pub line: Line,
    /// Where they came from.
    pub source: RouteSource,
    /// Lower wins.
    pub metric: u32,
    /// Throws packets away; then there are no members.
    pub blackhole: bool,
    /// Usable next hops, sorted.
    pub members: Arc<[Member]>,
    /// All next hops, usable or not.
    pub configured: Arc<[Member]>,
}

impl RouteSet {
    /// The next hop of the session with this hash. Deterministic, in proportion to the weights,
    /// and stable: when a member goes, only its sessions move.
    ///
    /// # Panics
    ///
    /// On a set without members, which [`Lookup::Via`] never holds.
    #[inline]
    pub fn select(&self, hash: u64) -> &Member {
        ecmp::select(&self.members, hash).expect("invariant: a route in use has members")
    }

    fn usable(&self) -> bool {
        self.blackhole || !self.members.is_empty()
    }

    /// What sets of one destination differ by, in order of preference.
    fn rank(&self) -> (u32, RouteSource, bool) {
        (self.metric, self.source, self.blackhole)
    }
}

/// A route to insert or remove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteSpec {
    /// The prefix; host bits are ignored.
    pub destination: IpNet,
    /// Where to.
    pub next_hop: NextHop,
    /// Lower wins.
    pub metric: u32,
    /// Share among equals, 1 to 255.
    pub weight: u8,
    /// Where it came from.
    pub source: RouteSource,
    /// Where it is configured; zero for what was not written.
    pub line: Line,
}

/// A row of `show routes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row<'a> {
    /// The routes.
    pub set: &'a RouteSet,
    /// Whether it is the one that is used for its destination.
    pub best: bool,
}

/// The routing tables of all virtual routers.
#[derive(Debug)]
pub struct Routes {
    fibs: Vec<Fib>,
    entries: Vec<Entry>,
    free: Vec<u32>,
    interfaces: Vec<Usable>,
    /// Member lists in use, equal ones once.
    members: BTreeSet<Arc<[Member]>>,
    /// How many lists there may be before unused ones are looked for.
    prune_at: usize,
}

#[derive(Clone, Copy, Debug)]
struct Usable {
    enabled: bool,
    link: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Own {
    Local(IfId),
    Broadcast(IfId),
}

/// Everything about one prefix.
#[derive(Debug, Default)]
struct Entry {
    own: Option<Own>,
    /// Index of the best usable set.
    best: Option<u16>,
    /// Sorted by rank.
    sets: SmallVec<[RouteSet; 1]>,
}

impl Routes {
    /// The tables of a configuration: connected and static routes and own addresses. All links
    /// count as up until [`Routes::set_link`] says otherwise.
    pub fn new(config: &Config) -> Self {
        let mut routes = Self::with_interfaces(config.interfaces.len());
        routes.fibs.resize_with(config.virtual_routers.len(), Fib::default);
        for (state, interface) in routes.interfaces.iter_mut().zip(&config.interfaces) {
            state.enabled = interface.enabled;
        }
        for (interface, id) in config.interfaces.iter().zip(0..) {
            if interface.enabled {
                for &address in &interface.addresses {
                    routes.add_address(interface.vr, IfId(id), address, interface.line);
                }
            }
        }
        for route in &config.routes {
            routes.insert(
                route.vr,
                RouteSpec {
                    destination: route.destination,
                    next_hop: route.next_hop,
                    metric: route.metric,
                    weight: route.weight,
                    source: RouteSource::Static,
                    line: route.line,
                },
            );
        }
        routes
    }

    /// One empty virtual router with this many interfaces, all up.
    pub fn with_interfaces(count: usize) -> Self {
        Self {
            fibs: vec![Fib::default()],
            entries: Vec::new(),
            free: Vec::new(),
            interfaces: vec![Usable { enabled: true, link: true }; count],
            members: BTreeSet::new(),
            prune_at: 64,
        }
    }

    /// Looks a destination up.
    #[inline]
    pub fn lookup(&self, vr: VrId, dst: IpAddr) -> Lookup<'_> {
        let Some(fib) = self.fibs.get(usize::from(vr.0)) else {
            return Lookup::None;
        };
        let mut found = fib.longest(dst, table::width(dst));
        while let Some((len, id)) = found {
            let entry = &self.entries[id as usize];
            match entry.own {
                Some(Own::Local(interface)) => return Lookup::Local(interface),
                Some(Own::Broadcast(interface)) => return Lookup::Broadcast(interface),
                None => {}
            }
            if let Some(set) = entry.best() {
                return if set.blackhole { Lookup::Blackhole(set) } else { Lookup::Via(set) };
            }
            found = len.checked_sub(1).and_then(|shorter| fib.longest(dst, shorter));
        }
        Lookup::None
    }

    /// The reverse-path check (RFC 3704): whether a packet from `src` may come in by `ingress`.
    ///
    /// With equal routes back one of them by `ingress` suffices. A blackhole, an own address and a
    /// broadcast address are no way back. An IPv6 link-local source is on the link by definition.
    pub fn rpf(&self, vr: VrId, src: IpAddr, ingress: IfId, mode: Rpf) -> Result<(), DropReason> {
        if mode == Rpf::Off || is_link_local(src) {
            return Ok(());
        }
        match self.lookup(vr, src) {
            Lookup::Via(set)
                if (mode == Rpf::Loose && set.destination.prefix_len() > 0)
                    || set.members.iter().any(|m| m.interface == ingress) =>
            {
                Ok(())
            }
            Lookup::Via(_)
            | Lookup::Local(_)
            | Lookup::Broadcast(_)
            | Lookup::Blackhole(_)
            | Lookup::None => Err(DropReason::RpfFailed),
        }
    }

    /// Adds a route; one with the same destination, metric, source and next hop is replaced. Tells
    /// whether anything changed. An unknown virtual router or interface changes nothing.
    pub fn insert(&mut self, vr: VrId, spec: RouteSpec) -> bool {
        if !self.valid(vr, &spec) {
            return false;
        }
        let id = self.entry(vr, spec.destination);
        let mut set = RouteSet {
            destination: spec.destination.trunc(),
            line: spec.line,
            source: spec.source,
            metric: spec.metric,
            blackhole: spec.next_hop == NextHop::Blackhole,
            members: Arc::default(),
            configured: Arc::default(),
        };
        let rank = set.rank();
        let member = member(&spec);
        let sets = &self.entries[id as usize].sets;
        let at = sets.binary_search_by_key(&rank, RouteSet::rank);
        let mut list: SmallVec<[Member; 8]> = match at {
            Ok(at) => SmallVec::from_slice(&sets[at].configured),
            Err(_) => SmallVec::new(),
        };
        if let Some(member) = member {
            match list.iter_mut().find(|m| same_hop(m, &member)) {
                Some(held) if *held == member => return false,
                Some(held) => *held = member,
                None => list.push(member),
            }
            list.sort_unstable();
        } else if at.is_ok() {
            return false;
        }
        let configured = self.intern(&list);
        let sets = &mut self.entries[id as usize].sets;
        match at {
            Ok(at) => sets[at].configured = configured,
            Err(at) => {
                set.configured = configured;
                sets.insert(at, set);
            }
        }
        self.refresh(id);
        true
    }

    /// Removes the route with this destination, metric, source and next hop; weight and line do
    /// not matter. Tells whether there was one.
    pub fn remove(&mut self, vr: VrId, spec: &RouteSpec) -> bool {
        let Some(fib) = self.fibs.get(usize::from(vr.0)) else {
            return false;
        };
        let Some(id) = fib.exact(spec.destination) else {
            return false;
        };
        let rank = (spec.metric, spec.source, spec.next_hop == NextHop::Blackhole);
        let sets = &self.entries[id as usize].sets;
        let Ok(at) = sets.binary_search_by_key(&rank, RouteSet::rank) else {
            return false;
        };
        let member = member(spec);
        let mut list: SmallVec<[Member; 8]> = SmallVec::from_slice(&sets[at].configured);
        let before = list.len();
        list.retain(|m| !member.is_some_and(|gone| same_hop(m, &gone)));
        if member.is_some() && list.len() == before {
            return false;
        }
        let configured = self.intern(&list);
        let entry = &mut self.entries[id as usize];
        if list.is_empty() {
            entry.sets.remove(at);
        } else {
            entry.sets[at].configured = configured;
        }
        if entry.sets.is_empty() && entry.own.is_none() {
            entry.best = None;
            self.free.push(id);
            self.fibs[usize::from(vr.0)].remove(spec.destination);
        } else {
            self.refresh(id);
        }
        true
    }

    /// Tells the link state of an interface. Returns whether any route changed by it.
    pub fn set_link(&mut self, interface: IfId, up: bool) -> bool {
        let Some(state) = self.interfaces.get_mut(usize::from(interface.0)) else {
            return false;
        };
        if state.link == up {
            return false;
        }
        state.link = up;
        if !state.enabled {
            return false;
        }
        let mut changed = false;
        for id in 0..self.entries.len() as u32 {
            let entry = &self.entries[id as usize];
            let concerned = entry
                .sets
                .iter()
                .any(|set| set.configured.iter().any(|m| m.interface == interface));
            if concerned {
                self.refresh(id);
                changed = true;
            }
        }
        changed
    }

    /// Whether the interface is enabled and has link.
    pub fn is_up(&self, interface: IfId) -> bool {
        self.interfaces
            .get(usize::from(interface.0))
            .is_some_and(|state| state.enabled && state.link)
    }

    /// How many prefixes a virtual router has, IPv4 and IPv6, own addresses included.
    pub fn len(&self, vr: VrId) -> (usize, usize) {
        self.fibs.get(usize::from(vr.0)).map_or((0, 0), Fib::len)
    }

    /// Rows in the order of prefixes, IPv4 first, that come after `after`; at least `max` rows where
    /// there are so many, and then the rest of the last destination. The last row's destination
    /// is the cursor of the next page.
    pub fn page(&self, vr: VrId, after: Option<IpNet>, max: usize) -> Vec<Row<'_>> {
        let mut rows = Vec::new();
        if let Some(fib) = self.fibs.get(usize::from(vr.0)) {
            fib.walk(after, |id| {
                if rows.len() < max {
                    self.entries[id as usize].rows(&mut rows);
                }
                rows.len() < max
            });
        }
        rows
    }

    /// All routes whose destination covers `dst`, the shortest first.
    pub fn covering(&self, vr: VrId, dst: IpAddr) -> Vec<Row<'_>> {
        let mut rows = Vec::new();
        if let Some(fib) = self.fibs.get(usize::from(vr.0)) {
            fib.cover(dst, |id| self.entries[id as usize].rows(&mut rows));
        }
        rows
    }

    /// Bytes on the heap, member lists not counted.
    pub fn memory(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>()
            + self.fibs.iter().map(Fib::memory).sum::<usize>()
    }

    fn valid(&self, vr: VrId, spec: &RouteSpec) -> bool {
        let known = match spec.next_hop {
            NextHop::Gateway { interface, .. } | NextHop::Interface(interface) => {
                usize::from(interface.0) < self.interfaces.len()
            }
            NextHop::Blackhole => true,
        };
        known && usize::from(vr.0) < self.fibs.len()
    }

    /// An address of an interface: itself, its subnet and what is special there.
    fn add_address(&mut self, vr: VrId, interface: IfId, address: IpNet, line: Line) {
        self.add_own(vr, address.addr(), Own::Local(interface));
        if is_link_local(address.addr()) {
            return;
        }
        self.insert(
            vr,
            RouteSpec {
                destination: address,
                next_hop: NextHop::Interface(interface),
                metric: 0,
                weight: 1,
                source: RouteSource::Connected,
                line,
            },
        );
        match address {
            // A /31 has no broadcast address (RFC 3021).
            IpNet::V4(net) if net.prefix_len() < 31 => {
                self.add_own(vr, net.broadcast().into(), Own::Broadcast(interface));
            }
            // Subnet-router anycast (RFC 4291 §2.6.1); not on a /127 (RFC 6164 §5).
            IpNet::V6(net) if net.prefix_len() < 127 => {
                self.add_own(vr, net.network().into(), Own::Local(interface));
            }
            IpNet::V4(_) | IpNet::V6(_) => {}
        }
        if let IpNet::V4(_) = address {
            self.add_own(vr, Ipv4Addr::BROADCAST.into(), Own::Broadcast(interface));
        }
    }

    /// The first to come stays, but an address beats a broadcast.
    fn add_own(&mut self, vr: VrId, address: IpAddr, own: Own) {
        if usize::from(vr.0) >= self.fibs.len() {
            return;
        }
        let id = self.entry(vr, address.into());
        let held = &mut self.entries[id as usize].own;
        if matches!((*held, own), (None, _) | (Some(Own::Broadcast(_)), Own::Local(_))) {
            *held = Some(own);
        }
    }

    /// The entry of a prefix, made if need be.
    fn entry(&mut self, vr: VrId, destination: IpNet) -> u32 {
        let fib = &mut self.fibs[usize::from(vr.0)];
        if let Some(id) = fib.exact(destination) {
            return id;
        }
        let id = self.free.pop().unwrap_or_else(|| {
            self.entries.push(Entry::default());
            self.entries.len() as u32 - 1
        });
        fib.insert(destination, id);
        id
    }

    fn intern(&mut self, list: &[Member]) -> Arc<[Member]> {
        if let Some(held) = self.members.get(list) {
            return held.clone();
        }
        if self.members.len() >= self.prune_at {
            // Lists that no route has any more: only the set itself holds them.
            self.members.retain(|list| Arc::strong_count(list) > 1);
            self.prune_at = (self.members.len() * 2).max(64);
        }
        let made: Arc<[Member]> = list.into();
        self.members.insert(made.clone());
        made
    }

    /// Works out again which members are usable and which set is best.
    fn refresh(&mut self, id: u32) {
        for at in 0..self.entries[id as usize].sets.len() {
            let configured = self.entries[id as usize].sets[at].configured.clone();
            let members = if configured.iter().all(|m| self.is_up(m.interface)) {
                configured
            } else {
                let up: SmallVec<[Member; 8]> =
                    configured.iter().copied().filter(|m| self.is_up(m.interface)).collect();
                self.intern(&up)
            };
            self.entries[id as usize].sets[at].members = members;
        }
        let entry = &mut self.entries[id as usize];
        let best = entry.sets.iter().position(RouteSet::usable);
        entry.best = best.and_then(|at| u16::try_from(at).ok());
    }
}

impl Entry {
    #[inline]
    fn best(&self) -> Option<&RouteSet> {
        self.sets.get(usize::from(self.best?))
    }

    fn rows<'a>(&'a self, rows: &mut Vec<Row<'a>>) {
        rows.extend(self.sets.iter().enumerate().map(|(at, set)| Row {
            set,
            best: self.best.is_some_and(|best| usize::from(best) == at),
        }));
    }
}

fn member(spec: &RouteSpec) -> Option<Member> {
    let (gateway, interface) = match spec.next_hop {
        NextHop::Gateway { address, interface } => (Some(address), interface),
        NextHop::Interface(interface) => (None, interface),
        NextHop::Blackhole => return None,
    };
    Some(Member { gateway, interface, weight: spec.weight.max(1) })
}

fn same_hop(a: &Member, b: &Member) -> bool {
    (a.gateway, a.interface) == (b.gateway, b.interface)
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(_) => false,
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}
