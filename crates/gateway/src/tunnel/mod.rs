//! Tunnels: which SAs there are, what belongs into them, and what comes out of them; GRE and VXLAN
//! beside them in [`Overlays`].
//!
//! A [`Child`] is a pair of SAs, one for each direction (what IKEv2 calls a child SA). The SAs own
//! their sequence numbers and replay windows and are shared with the engine; this room knows which
//! packets they are for: by SPI and address for what comes in, by interface or selector for what
//! goes out.
//!
//! Limits: a tunnel keyed by hand has one child, for as long as its configuration stands.

mod dtls;
mod encapsulate;
mod facts;
mod idle;
mod ike;
mod negotiated;
mod offer;
mod overlay;
mod path;
mod promote;
mod remote;
mod spent;
mod steering;
mod unwrap;
mod waiting;
mod wrap;

pub use self::dtls::{Association, Client, ClientNumber, Clients, NewClient};
pub(crate) use self::dtls::{FromClient, fast as served_by_engine};
pub(crate) use facts::{dtls_facts, instead, planned, sa_facts};
pub use idle::Own;
pub use ike::Random;
pub(crate) use ike::{Awaits, Failed, Logged, Negotiation, Note, Phase, Standing, renegotiated};
use negotiated::{Negotiated, still_wanted};
pub use overlay::{Overlay, Overlays, Volume};
pub use path::{Cut, Sizes};
pub(crate) use promote::{IN, OUT, stats};
pub(crate) use remote::{Remotes, Server, ServerId, Shared};
pub(crate) use unwrap::{Carried, Unwrapped};

use core::net::IpAddr;
use std::{collections::BTreeMap, sync::Arc};

use aead::Selection;
use config::{
    Config,
    model::{IfId, Ipsec, Line, Manual, Tunnel, TunnelId, VrId},
};
use hashbrown::HashMap;
use offload::ledger::{Entry, Ledger};
use wire::{Time, Tuple};

use crate::{Gateway, events::EventKind, keyed::Keyed, rng::Rng, route::Lookup};
use idle::Idle;
use spent::{Spent, Way};
use steering::Steering;

/// History entries kept over all SAs.
const HISTORY: usize = 4_096;

/// How deep packets may be wrapped in one another before it must be a loop.
pub(crate) const MOST_NESTED: u8 = 4;

/// Writer number of the slow path in the counters of SAs; workers of engines follow.
pub(crate) const SLOW_PATH: usize = 0;

/// TTL of outer headers (RFC 4301 §5.1.2.1: constructed, not copied).
const HOP_LIMIT: u8 = 64;

/// A child by its number; no other ever has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChildId(pub u32);

/// What wrapped a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrapped {
    /// A pair of SAs.
    Sa(ChildId),
    /// A GRE or VXLAN tunnel.
    Overlay(TunnelId),
    /// The DTLS association of a client.
    Client(ClientNumber),
}

/// A pair of SAs.
pub struct Child {
    /// Its tunnel.
    pub tunnel: TunnelId,
    /// What we send by.
    pub outbound: Arc<esp::Outbound>,
    /// What we receive by.
    pub inbound: Arc<esp::Inbound>,
    /// Where it stands with the engine: the original direction is the outgoing SA.
    pub ledger: Entry,
    /// When it was made.
    pub created: Time,
    /// The neighbour that the last ESP packet went to.
    pub next_hop: u32,
    /// What an ICMP error told of the path, in bytes, and when.
    pub path_mtu: Option<(u16, Time)>,
    /// What it has sent that nobody gave it.
    pub own: Own,
    /// What became of packets because of their size.
    pub sizes: Sizes,
    /// What an engine is told of where it stands.
    place: Place,
    /// How old each SA was when an event last told of it.
    told: [Age; 2],
    /// What IKE knows of it; nothing where it is keyed by hand.
    negotiated: Option<Negotiated>,
}

/// Where a pair of SAs stands in the configuration, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    /// Virtual router that carries it.
    vr: VrId,
    /// Interface of its tunnel.
    interface: IfId,
    /// Virtual router of that interface.
    inner_vr: VrId,
}

/// How old an SA is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Age {
    /// No bound is reached.
    #[default]
    Live,
    /// The soft lifetime is over.
    Soft,
    /// The hard lifetime is over.
    Hard,
}

/// All tunnels and their SAs.
pub struct Tunnels {
    children: BTreeMap<ChildId, Child>,
    made: u32,
    ledger: Ledger,
    /// Which library serves which cipher.
    ciphers: Selection,
    by_spi: HashMap<SpiKey, ChildId, Keyed>,
    /// Outgoing SAs, for ICMP errors about what they sent.
    sent_by_spi: HashMap<SpiKey, ChildId, Keyed>,
    /// The children a tunnel sends by: the first that carries a packet.
    sending: Vec<Vec<ChildId>>,
    /// Children by what IKE calls them.
    by_ike: BTreeMap<::ike::ChildId, ChildId>,
    /// What children that are gone have carried, by the name of their tunnel.
    past: BTreeMap<String, Past>,
    steering: Steering,
    /// Our ports of UDP encapsulation.
    udp_ports: Vec<u16>,
    /// Keys that are gone.
    spent: Spent,
    /// Tunnels that must not stay silent.
    idle: Idle,
    /// SAs that could not be made; the configuration has checked what can be checked.
    faults: Vec<(String, String)>,
}

/// What SAs have carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Past {
    /// Packets and bytes sent.
    pub(crate) sent: (u64, u64),
    /// Packets and bytes received.
    pub(crate) received: (u64, u64),
    /// Packets dropped, both ways.
    pub(crate) errors: u64,
}

impl Past {
    fn add(&mut self, child: &Child) {
        let sent = child.outbound.status(Time::ZERO).total;
        let received = child.inbound.status(Time::ZERO).total;
        for (sum, of) in [(&mut self.sent, &sent), (&mut self.received, &received)] {
            *sum = (sum.0 + of.packets, sum.1 + of.bytes);
        }
        let errors = sent.errors.iter().chain(&received.errors);
        self.errors += errors.map(|(_, count)| count).sum::<u64>();
    }
}

/// What an incoming ESP packet is found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct SpiKey {
    spi: u32,
    destination: IpAddr,
    vr: VrId,
}

/// What a reload did to the SAs.
pub(crate) struct Reloaded {
    /// These are gone.
    pub(crate) gone: Vec<(ChildId, Child)>,
    /// These are what they were, and stand in another place.
    pub(crate) moved: Vec<ChildId>,
}

impl Tunnels {
    /// The tunnels of a configuration.
    pub fn new(config: &Config, ciphers: Selection, seed: u64, now: Time) -> Self {
        let mut tunnels = Self {
            children: BTreeMap::new(),
            made: 0,
            ledger: Ledger::new(HISTORY),
            ciphers,
            by_spi: HashMap::with_hasher(Keyed::new(seed)),
            sent_by_spi: HashMap::with_hasher(Keyed::new(seed.rotate_left(17))),
            sending: Vec::new(),
            by_ike: BTreeMap::new(),
            past: BTreeMap::new(),
            steering: Steering::default(),
            udp_ports: Vec::new(),
            spent: Spent::new(salt(seed)),
            idle: Idle::default(),
            faults: Vec::new(),
        };
        tunnels.load(config, now);
        tunnels
    }

    /// Takes a new configuration. SAs whose parameters stay the same stay what they are. No key ever
    /// sees a sequence number twice or opens its window again, whatever else changes.
    pub(crate) fn reload(&mut self, old: &Config, new: &Config, now: Time) -> Reloaded {
        let before = std::mem::take(&mut self.children);
        self.by_spi.clear();
        self.sent_by_spi.clear();
        self.by_ike.clear();
        self.past.retain(|name, _| new.tunnels.iter().any(|tunnel| tunnel.name == *name));
        let sent_before = std::mem::take(&mut self.sending);
        self.udp_ports.clear();
        self.sending = vec![Vec::new(); new.tunnels.len()];
        let numbered: BTreeMap<&str, TunnelId> = new
            .tunnels
            .iter()
            .enumerate()
            .map(|(index, tunnel)| (tunnel.name.as_str(), TunnelId(index as u16)))
            .collect();
        let (mut moved, mut gone) = (Vec::new(), Vec::new());
        for (id, mut child) in before {
            let was = old.tunnels.get(usize::from(child.tunnel.0));
            let same = was.and_then(|was| {
                let at = *numbered.get(was.name.as_str())?;
                let tunnel = new.tunnels.get(usize::from(at.0))?;
                let same = match &child.negotiated {
                    Some(_) => still_wanted(&child, was, tunnel),
                    None => is_of(&child, tunnel),
                };
                same.then(|| (at, place(new, tunnel)))
            });
            match same {
                Some((tunnel, place)) => {
                    if child.place != place {
                        moved.push(id);
                    }
                    let sends = sent_before.get(usize::from(child.tunnel.0));
                    let sends = sends.is_some_and(|list| list.contains(&id));
                    (child.tunnel, child.place) = (tunnel, place);
                    self.enter(id, child);
                    if sends {
                        self.send_by(tunnel, id);
                    }
                }
                None => {
                    self.spend(&child);
                    if let Some(was) = was {
                        self.remember(&was.name, &child);
                    }
                    gone.push((id, child));
                }
            }
        }
        self.load(new, now);
        Reloaded { gone, moved }
    }

    /// Makes what the configuration asks for and is not there.
    fn load(&mut self, config: &Config, now: Time) {
        self.sending.resize(config.tunnels.len(), Vec::new());
        self.steering = Steering::new(config);
        self.idle = Idle::new(config, now);
        self.faults.clear();
        for (index, tunnel) in config.tunnels.iter().enumerate() {
            let Some(ipsec) = tunnel.ipsec() else { continue };
            let Some(manual) = ipsec.manual() else {
                // a NAT may be found on the way, and then ESP comes by this port
                self.carry_esp(esp::nat_t::PORT);
                continue;
            };
            let id = TunnelId(index as u16);
            if !self.senders(id).is_empty() {
                continue;
            }
            match self.make(tunnel, (ipsec, manual), now) {
                Ok(pair) => {
                    let child = self.open(id, place(config, tunnel), pair, None, now);
                    self.send_by(id, child);
                }
                Err(fault) => self.faults.push((tunnel.name.clone(), fault.to_string())),
            }
        }
    }

    /// A tunnel sends by a child before all others: what both ends agreed on last is what the peer has.
    fn send_by(&mut self, tunnel: TunnelId, child: ChildId) {
        if let Some(list) = self.sending.get_mut(usize::from(tunnel.0)) {
            list.insert(0, child);
        }
    }

    /// Datagrams to a port of ours may carry ESP.
    fn carry_esp(&mut self, port: u16) {
        if let Err(at) = self.udp_ports.binary_search(&port) {
            self.udp_ports.insert(at, port);
        }
    }

    /// A new child, findable by what it receives. Nothing is sent by it yet.
    fn open(
        &mut self,
        tunnel: TunnelId,
        place: Place,
        (outbound, inbound): (esp::Outbound, esp::Inbound),
        negotiated: Option<Negotiated>,
        now: Time,
    ) -> ChildId {
        let id = ChildId(self.made);
        self.made += 1;
        let mut child = Child {
            tunnel,
            outbound: Arc::new(outbound),
            inbound: Arc::new(inbound),
            ledger: Entry::default(),
            created: now,
            next_hop: u32::MAX,
            path_mtu: None,
            own: Own::default(),
            sizes: Sizes::default(),
            place,
            told: Default::default(),
            negotiated,
        };
        self.ledger.open(&mut child.ledger, now);
        self.enter(id, child);
        id
    }

    /// Makes a child findable.
    fn enter(&mut self, id: ChildId, child: Child) {
        let (out, inn) = (child.outbound.parameters(), child.inbound.parameters());
        let vr = child.place.vr;
        let key = |of: &esp::Parameters| SpiKey { spi: of.spi, destination: of.destination, vr };
        self.by_spi.insert(key(inn), id);
        self.sent_by_spi.insert(key(out), id);
        if let Some(udp) = inn.encapsulation {
            self.carry_esp(udp.destination_port);
        }
        if let Some(negotiated) = &child.negotiated {
            self.by_ike.insert(negotiated.id, id);
        }
        self.children.insert(id, child);
    }

    /// Remembers how far the keys of a child have come, if they can come back.
    fn spend(&mut self, child: &Child) {
        if child.negotiated.is_some() {
            return;
        }
        let (sent, received) = (&child.outbound, &child.inbound);
        self.spent.add(Way::Out, &sent.parameters().key, sent.sequence());
        self.spent.add(Way::In, &received.parameters().key, received.sequence());
    }

    fn make(
        &self,
        tunnel: &Tunnel,
        (ipsec, manual): (&Ipsec, &Manual),
        now: Time,
    ) -> Result<(esp::Outbound, esp::Inbound), esp::ParameterError> {
        let pair = [Way::Out, Way::In].map(|way| parameters(tunnel, ipsec, manual, way));
        let [out, inn] = pair;
        let sent = self.spent.after(Way::Out, &out.key);
        let received = self.spent.after(Way::In, &inn.key);
        let outbound = esp::Outbound::with(out, now, &self.ciphers, sent)?;
        let inbound = esp::Inbound::with(inn, now, &self.ciphers, received)?;
        Ok((outbound, inbound))
    }

    /// A child goes: what it carried stays with its tunnel.
    fn remember(&mut self, tunnel: &str, child: &Child) {
        self.past.entry(tunnel.to_owned()).or_default().add(child);
    }

    /// What a tunnel has carried: the sum over its children, those that are gone too.
    pub(crate) fn carried_by(&self, id: TunnelId, name: &str) -> Past {
        let mut sum = self.past.get(name).copied().unwrap_or_default();
        self.children.values().filter(|child| child.tunnel == id).for_each(|child| sum.add(child));
        sum
    }

    /// Which library serves which cipher.
    pub(crate) fn ciphers(&self) -> &Selection {
        &self.ciphers
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.sending.is_empty()
    }

    /// A child by its number.
    pub fn child(&self, id: ChildId) -> Option<&Child> {
        self.children.get(&id)
    }

    /// A child by its number, to change.
    pub(crate) fn child_mut(&mut self, id: ChildId) -> Option<&mut Child> {
        self.children.get_mut(&id)
    }

    /// The ledger of SAs, and a child to write in it.
    pub(crate) fn ledger_and(&mut self, id: ChildId) -> (&mut Ledger, Option<&mut Child>) {
        (&mut self.ledger, self.children.get_mut(&id))
    }

    /// The ledger of SAs: a pair of SAs stands where a session would.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// A child that is gone leaves the ledger.
    pub(crate) fn close(&mut self, child: &Child) {
        self.ledger.close(&child.ledger);
    }

    /// All children, in the order they were made.
    pub fn children(&self) -> impl Iterator<Item = (ChildId, &Child)> {
        self.children.iter().map(|(id, child)| (*id, child))
    }

    /// The numbers of some children from one on, to go over all of them in slices.
    pub(crate) fn slice(&self, from: ChildId, most: usize) -> Vec<ChildId> {
        self.children.range(from..).take(most).map(|(id, _)| *id).collect()
    }

    /// The child that a tunnel sends a packet by: the first that carries it.
    pub fn sending(&self, tunnel: TunnelId, tuple: &Tuple) -> Option<ChildId> {
        let carries = |id: &&ChildId| self.children.get(id).is_some_and(|c| c.carries(tuple));
        self.senders(tunnel).iter().find(carries).copied()
    }

    /// The children a tunnel sends by.
    pub fn senders(&self, tunnel: TunnelId) -> &[ChildId] {
        self.sending.get(usize::from(tunnel.0)).map_or(&[], Vec::as_slice)
    }

    /// The child whose incoming SA takes packets with this SPI to this address.
    pub fn receiving(&self, spi: u32, destination: IpAddr, vr: VrId) -> Option<ChildId> {
        self.by_spi.get(&SpiKey { spi, destination, vr }).copied()
    }

    /// The child whose outgoing SA sends packets with this SPI to this address.
    pub fn sent_with(&self, spi: u32, destination: IpAddr, vr: VrId) -> Option<ChildId> {
        self.sent_by_spi.get(&SpiKey { spi, destination, vr }).copied()
    }

    /// The interface of the tunnel whose selectors want a packet.
    pub fn steer(&self, vr: VrId, tuple: &Tuple) -> Option<IfId> {
        self.steering.steer(vr, tuple)
    }

    /// Our ports of UDP encapsulation, sorted.
    pub fn udp_ports(&self) -> &[u16] {
        &self.udp_ports
    }

    /// Tunnels whose SAs could not be made, and why.
    pub fn faults(&self) -> &[(String, String)] {
        &self.faults
    }
}

impl Gateway {
    /// The tunnel of an interface; none for an interface of a port.
    pub(crate) fn tunnel_of(&self, interface: IfId) -> Option<(TunnelId, &Tunnel)> {
        let id = self.interface(interface).tunnel()?;
        Some((id, self.config.tunnels.get(usize::from(id.0))?))
    }

    /// Largest IP packet that leaves by an interface in one piece: its MTU, or what fits the path
    /// below a tunnel by every of its children when that is less.
    pub(crate) fn exit_mtu(&self, interface: IfId) -> u16 {
        self.exit_mtu_within(interface, MOST_NESTED)
    }

    /// The same, looking at `depth` tunnels below one another at most.
    fn exit_mtu_within(&self, interface: IfId, depth: u8) -> u16 {
        let mtu = self.interface(interface).mtu;
        let Some((id, tunnel)) = self.tunnel_of(interface) else { return mtu };
        if let Some(overhead) = tunnel.overhead() {
            let below = self.path_mtu_within(id, tunnel, depth);
            return below.map_or(mtu, |below| mtu.min(below.saturating_sub(overhead)));
        }
        let children = self.tunnels.senders(id).iter().filter_map(|id| self.tunnels.child(*id));
        let fits =
            |child: &Child| Some(child.outbound.inner_mtu(self.sa_path_mtu_within(child, depth)?));
        children.filter_map(fits).fold(mtu, u16::min)
    }

    /// The interface of the tunnel whose selectors want a packet before any route is asked, or whose
    /// clients the destination is for. What is for the gateway itself they do not get.
    pub(crate) fn steered(&self, vr: VrId, tuple: &Tuple) -> Option<IfId> {
        let by_selectors = self.tunnels.steer(vr, tuple);
        let interface = by_selectors.or_else(|| self.remote.steer(vr, tuple.dst))?;
        match self.routes.lookup(vr, tuple.dst) {
            Lookup::Local(_) | Lookup::Broadcast(_) => None,
            Lookup::Via(_) | Lookup::Blackhole(_) | Lookup::None => Some(interface),
        }
    }

    /// An event for every SA that could not be made. The configuration has checked what it can, so
    /// there is one only when a library refuses what it should take.
    pub(crate) fn report_tunnel_faults(&mut self, now: Time) {
        for (tunnel, fault) in self.tunnels.faults() {
            let text = format!("tunnel {tunnel}: no SA: {fault}");
            self.events.push(now, EventKind::TunnelFault, text);
        }
    }

    /// A child in a few words, and the line of its tunnel.
    pub(crate) fn describe(&self, child: ChildId) -> Option<(String, Line)> {
        let child = self.tunnels.child(child)?;
        let tunnel = self.config.tunnels.get(usize::from(child.tunnel.0))?;
        let spi = child.inbound.parameters().spi;
        Some((format!("ESP, spi {spi:#010x} of tunnel {}", tunnel.name), tunnel.line))
    }

    /// Whether packets that leave by an interface with this tuple, or come by it with the reverse, are
    /// what the selectors let pass, if it is a tunnel's. No session goes on without: the engine asks
    /// nobody about single packets.
    pub(crate) fn is_let_pass(&self, interface: IfId, outward: &Tuple) -> bool {
        self.tunnel_of(interface).is_none_or(|(_, tunnel)| self.selected(tunnel, outward))
    }

    /// The selectors of a tunnel let a packet pass from our side to the far side.
    pub(crate) fn selected(&self, tunnel: &Tunnel, tuple: &Tuple) -> bool {
        tunnel.ipsec().is_none_or(|ipsec| {
            ipsec.selectors.is_empty() || ipsec.selectors.iter().any(|s| s.matches(tuple))
        })
    }
}

/// Whether a child is what a tunnel asks for.
fn is_of(child: &Child, tunnel: &Tunnel) -> bool {
    let of = tunnel.ipsec().and_then(|ipsec| Some((ipsec, ipsec.manual()?)));
    of.is_some_and(|(ipsec, manual)| {
        *child.outbound.parameters() == parameters(tunnel, ipsec, manual, Way::Out)
            && *child.inbound.parameters() == parameters(tunnel, ipsec, manual, Way::In)
    })
}

fn place(config: &Config, tunnel: &Tunnel) -> Place {
    let inner_vr = config.interface(tunnel.interface).map_or(VrId(0), |i| i.vr);
    Place { vr: tunnel.vr, interface: tunnel.interface, inner_vr }
}

/// The salt of fingerprints that stay in memory.
fn salt(seed: u64) -> [u8; 16] {
    let mut rng = Rng::new(seed);
    let mut salt = [0; 16];
    for half in salt.as_chunks_mut::<8>().0 {
        *half = rng.next_u64().to_be_bytes();
    }
    salt
}

fn parameters(tunnel: &Tunnel, ipsec: &Ipsec, manual: &Manual, way: Way) -> esp::Parameters {
    let (sa, source, destination) = match way {
        Way::Out => (&manual.outbound, tunnel.local, tunnel.remote),
        Way::In => (&manual.inbound, tunnel.remote, tunnel.local),
    };
    let encapsulation = manual.encapsulation.map(|(local, remote)| match way {
        Way::Out => esp::UdpEncapsulation { source_port: local, destination_port: remote },
        Way::In => esp::UdpEncapsulation { source_port: remote, destination_port: local },
    });
    esp::Parameters {
        spi: sa.spi,
        suite: sa.suite,
        key: sa.key.clone(),
        mode: ipsec.mode,
        source,
        destination,
        encapsulation,
        esn: manual.esn,
        replay_window: manual.replay_window,
        soft: manual.soft,
        hard: manual.hard,
        dscp: ipsec.dscp,
        df: ipsec.df,
        pad_to: ipsec.pad_to,
        hop_limit: HOP_LIMIT,
        allow_null: ipsec.allow_null,
    }
}
