//! Tunnels: which SAs there are, what belongs into them, and what comes out of them.
//!
//! A [`Child`] is a pair of SAs, one for each direction (what IKEv2 calls a child SA). The SAs own
//! their sequence numbers and replay windows and are shared with the engine; this room knows which
//! packets they are for: by SPI and address for what comes in, by interface or selector for what
//! goes out.
//!
//! Limits: a tunnel keyed by hand has one child, for as long as its configuration stands.

mod path;
mod promote;
mod unwrap;
mod wrap;

pub(crate) use promote::OUT;
pub(crate) use unwrap::{Carried, Unwrapped};

use core::net::IpAddr;
use std::sync::Arc;

use aead::Selection;
use config::{
    Config,
    model::{IfId, Ipsec, Line, Selector, Steering, Tunnel, TunnelId, TunnelKind, VrId},
};
use hashbrown::HashMap;
use offload::ledger::{Entry, Ledger};
use wire::{Time, Tuple};

use crate::{Gateway, events::EventKind, keyed::Keyed, route::Lookup};

/// History entries kept over all SAs.
const HISTORY: usize = 4_096;

/// How deep packets may be wrapped in one another before it must be a loop.
pub(crate) const MOST_NESTED: u8 = 4;

/// Writer number of the slow path in the counters of SAs; workers of engines follow.
pub(crate) const SLOW_PATH: usize = 0;

/// A child by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChildId(pub u32);

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
}

/// All tunnels and their SAs.
pub struct Tunnels {
    children: Vec<Child>,
    ledger: Ledger,
    /// Which library serves which cipher.
    ciphers: Selection,
    by_spi: HashMap<SpiKey, ChildId, Keyed>,
    /// Outgoing SAs, for ICMP errors about what they sent.
    sent_by_spi: HashMap<SpiKey, ChildId, Keyed>,
    /// The child a tunnel sends by.
    sending: Vec<Option<ChildId>>,
    steering: Vec<Steered>,
    /// Our ports of UDP encapsulation.
    udp_ports: Vec<u16>,
    /// SAs that could not be made; the configuration has checked what can be checked.
    faults: Vec<(String, String)>,
}

/// What an incoming ESP packet is found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct SpiKey {
    spi: u32,
    destination: IpAddr,
    vr: VrId,
}

/// A selector that brings packets into a tunnel.
struct Steered {
    vr: VrId,
    selector: Selector,
    interface: IfId,
}

impl Tunnels {
    /// The tunnels of a configuration.
    pub fn new(config: &Config, ciphers: Selection, seed: u64, now: Time) -> Self {
        let mut tunnels = Self {
            children: Vec::new(),
            ledger: Ledger::new(HISTORY),
            ciphers,
            by_spi: HashMap::with_hasher(Keyed::new(seed)),
            sent_by_spi: HashMap::with_hasher(Keyed::new(seed.rotate_left(17))),
            sending: Vec::new(),
            steering: Vec::new(),
            udp_ports: Vec::new(),
            faults: Vec::new(),
        };
        tunnels.load(config, Vec::new(), now);
        tunnels
    }

    /// Takes a new configuration. SAs whose parameters stay the same stay what they are; a sequence
    /// number is never used twice with one key, whatever else changes.
    pub fn reload(&mut self, old: &Config, new: &Config, now: Time) -> Vec<Child> {
        let kept = std::mem::take(&mut self.children)
            .into_iter()
            .map(|child| (old.tunnels.get(usize::from(child.tunnel.0)).cloned(), child))
            .collect();
        self.load(new, kept, now)
    }

    fn load(
        &mut self,
        config: &Config,
        mut before: Vec<(Option<Tunnel>, Child)>,
        now: Time,
    ) -> Vec<Child> {
        self.by_spi.clear();
        self.sent_by_spi.clear();
        self.sending = vec![None; config.tunnels.len()];
        self.steering.clear();
        self.udp_ports.clear();
        self.faults.clear();
        for (index, tunnel) in config.tunnels.iter().enumerate() {
            let TunnelKind::Ipsec(ipsec) = &tunnel.kind;
            let id = TunnelId(index as u16);
            let same = before.iter().position(|(old, _)| {
                old.as_ref().is_some_and(|old| old.name == tunnel.name && is_same(old, tunnel))
            });
            let child = match same {
                Some(at) => Ok(Child { tunnel: id, ..before.swap_remove(at).1 }),
                None => {
                    make(tunnel, ipsec, &before, &self.ciphers, now).map(|(outbound, inbound)| {
                        let mut child = Child {
                            tunnel: id,
                            outbound: Arc::new(outbound),
                            inbound: Arc::new(inbound),
                            ledger: Entry::default(),
                            created: now,
                            next_hop: u32::MAX,
                            path_mtu: None,
                        };
                        self.ledger.open(&mut child.ledger, now);
                        child
                    })
                }
            };
            match child {
                Ok(child) => self.add(child, tunnel, ipsec),
                Err(fault) => self.faults.push((tunnel.name.clone(), fault.to_string())),
            }
            let vr = config.interface(tunnel.interface).map_or(VrId(0), |i| i.vr);
            if ipsec.steering == Steering::Selectors {
                self.steering.extend(ipsec.selectors.iter().map(|selector| Steered {
                    vr,
                    selector: selector.clone(),
                    interface: tunnel.interface,
                }));
            }
        }
        self.udp_ports.sort_unstable();
        self.udp_ports.dedup();
        before.into_iter().map(|(_, child)| child).collect()
    }

    fn add(&mut self, child: Child, tunnel: &Tunnel, ipsec: &Ipsec) {
        let id = ChildId(self.children.len() as u32);
        let key = SpiKey { spi: ipsec.inbound.spi, destination: tunnel.local, vr: tunnel.vr };
        self.by_spi.insert(key, id);
        let (spi, destination) = (ipsec.outbound.spi, tunnel.remote);
        self.sent_by_spi.insert(SpiKey { spi, destination, vr: tunnel.vr }, id);
        if let Some((port, _)) = ipsec.encapsulation {
            self.udp_ports.push(port);
        }
        if let Some(slot) = self.sending.get_mut(usize::from(child.tunnel.0)) {
            *slot = Some(id);
        }
        self.children.push(child);
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.sending.is_empty()
    }

    /// A child by its number.
    pub fn child(&self, id: ChildId) -> Option<&Child> {
        self.children.get(id.0 as usize)
    }

    /// A child by its number, to change.
    pub(crate) fn child_mut(&mut self, id: ChildId) -> Option<&mut Child> {
        self.children.get_mut(id.0 as usize)
    }

    /// The ledger of SAs, and a child to write in it.
    pub(crate) fn ledger_and(&mut self, id: ChildId) -> (&mut Ledger, Option<&mut Child>) {
        (&mut self.ledger, self.children.get_mut(id.0 as usize))
    }

    /// The ledger of SAs: a pair of SAs stands where a session would.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// A child that is gone leaves the ledger.
    pub(crate) fn close(&mut self, child: &Child) {
        self.ledger.close(&child.ledger);
    }

    /// All children, in the order of the configuration.
    pub fn children(&self) -> impl Iterator<Item = (ChildId, &Child)> {
        self.children.iter().enumerate().map(|(index, child)| (ChildId(index as u32), child))
    }

    /// The child a tunnel sends by.
    pub fn sending(&self, tunnel: TunnelId) -> Option<ChildId> {
        self.sending.get(usize::from(tunnel.0)).copied().flatten()
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
        let wants = |steered: &&Steered| steered.vr == vr && steered.selector.matches(tuple);
        self.steering.iter().find(wants).map(|steered| steered.interface)
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
    /// below a tunnel when that is less.
    pub(crate) fn exit_mtu(&self, interface: IfId) -> u16 {
        let mtu = self.interface(interface).mtu;
        let Some((id, tunnel)) = self.tunnel_of(interface) else { return mtu };
        let child = self.tunnels.sending(id).and_then(|id| self.tunnels.child(id));
        let below = self.path_mtu(tunnel, child);
        match (below, child) {
            (Some(below), Some(child)) => mtu.min(child.outbound.inner_mtu(below)),
            (Some(_) | None, _) => mtu,
        }
    }

    /// The interface of the tunnel whose selectors want a packet before any route is asked. What is
    /// for the gateway itself they do not get.
    pub(crate) fn steered(&self, vr: VrId, tuple: &Tuple) -> Option<IfId> {
        let interface = self.tunnels.steer(vr, tuple)?;
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

    /// The selectors of a tunnel let a packet pass from our side to the far side.
    pub(crate) fn selected(&self, tunnel: &Tunnel, tuple: &Tuple) -> bool {
        let TunnelKind::Ipsec(ipsec) = &tunnel.kind;
        ipsec.selectors.is_empty() || ipsec.selectors.iter().any(|s| s.matches(tuple))
    }
}

/// Whether two configurations of a tunnel make the same SAs.
fn is_same(old: &Tunnel, new: &Tunnel) -> bool {
    let (TunnelKind::Ipsec(a), TunnelKind::Ipsec(b)) = (&old.kind, &new.kind);
    (old.local, old.remote) == (new.local, new.remote)
        && parameters(old, a, Way::Out) == parameters(new, b, Way::Out)
        && parameters(old, a, Way::In) == parameters(new, b, Way::In)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Out,
    In,
}

fn make(
    tunnel: &Tunnel,
    ipsec: &Ipsec,
    before: &[(Option<Tunnel>, Child)],
    ciphers: &Selection,
    now: Time,
) -> Result<(esp::Outbound, esp::Inbound), esp::ParameterError> {
    let (out, inn) = (parameters(tunnel, ipsec, Way::Out), parameters(tunnel, ipsec, Way::In));
    // A key that goes on must not see a number twice, nor open its window again.
    let children = || before.iter().map(|(_, child)| child);
    let sent = children()
        .filter(|child| child.outbound.parameters().key == out.key)
        .map(|child| child.outbound.status(now).sequence)
        .max();
    let received = children()
        .filter(|child| child.inbound.parameters().key == inn.key)
        .map(|child| child.inbound.status(now).sequence)
        .max();
    let outbound = esp::Outbound::with(out, now, ciphers, sent.unwrap_or(0))?;
    let inbound = esp::Inbound::with(inn, now, ciphers, received.unwrap_or(0))?;
    Ok((outbound, inbound))
}

fn parameters(tunnel: &Tunnel, ipsec: &Ipsec, way: Way) -> esp::Parameters {
    let (sa, source, destination) = match way {
        Way::Out => (&ipsec.outbound, tunnel.local, tunnel.remote),
        Way::In => (&ipsec.inbound, tunnel.remote, tunnel.local),
    };
    let encapsulation = ipsec.encapsulation.map(|(local, remote)| match way {
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
        esn: ipsec.esn,
        replay_window: ipsec.replay_window,
        soft: ipsec.soft,
        hard: ipsec.hard,
        dscp: ipsec.dscp,
        df: ipsec.df,
        pad_to: ipsec.pad_to,
        hop_limit: HOP_LIMIT,
        allow_null: ipsec.allow_null,
    }
}

/// TTL of outer headers (RFC 4301 §5.1.2.1: constructed, not copied).
const HOP_LIMIT: u8 = 64;
