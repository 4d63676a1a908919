//! `[[gre]]` and `[[vxlan]]`.

use core::net::IpAddr;
use std::collections::BTreeMap;

use super::{
    Scope, network, settings,
    tunnel::{df, dscp, ends},
};
use crate::{
    model::{Gre, IfId, Interface, Keying, OuterRules, Tunnel, TunnelKind, VrId, Vxlan},
    read::{At, Tab},
};

/// A tunnel of a `[[gre]]` or `[[vxlan]]` table.
pub(super) fn tunnel(
    scope: &Scope<'_>,
    tab: &Tab<'_, '_>,
    name: &str,
    interface: IfId,
    interfaces: &[Interface],
) -> Option<Tunnel> {
    let ends = ends(tab);
    let vr = network::router_of(scope, tab).unwrap_or_default();
    if let Some((local, remote)) = &ends {
        check_ends(tab, local, remote, vr, interfaces);
    }
    let outer = OuterRules { ttl: tab.int_or_default("ttl") as u8, dscp: dscp(tab), df: df(tab) };
    let kind = if tab.section.path == "gre" {
        TunnelKind::Gre(Gre {
            key: tab.int("key").map(|at| at.value as u32),
            checksum: tab.flag("checksum"),
            sequence: tab.flag("sequence"),
            outer,
        })
    } else {
        if tab.get("vni").is_none() {
            tab.missing("vni");
        }
        TunnelKind::Vxlan(Vxlan {
            vni: tab.int("vni").map_or(0, |at| at.value as u32),
            port: tab.int_or_default("port") as u16,
            zero_checksum: tab.flag("zero-checksum"),
            outer,
        })
    };
    let offload = settings::mode(tab, "offload");
    let (local, remote) = ends?;
    Some(Tunnel {
        name: name.to_owned(),
        line: tab.line(),
        interface,
        vr,
        local: local.value,
        remote: remote.value,
        offload,
        kind,
    })
}

/// What arrives for a tunnel is known by its ends, so ours must be the gateway's, and the other one
/// somebody else's.
fn check_ends(
    tab: &Tab<'_, '_>,
    local: &At<IpAddr>,
    remote: &At<IpAddr>,
    vr: VrId,
    interfaces: &[Interface],
) {
    let own = |ip: IpAddr| {
        let here = interfaces.iter().filter(|interface| interface.vr == vr);
        here.flat_map(|interface| &interface.addresses).any(|net| net.addr() == ip)
    };
    if !own(local.value) {
        tab.doc
            .error("foreign-local", &local.span, format!("{} is no address of ours", local.value))
            .found(tab.doc.snippet(&local.span))
            .expected("an address of an [[interface]] in the tunnel's virtual router")
            .help(format!("write `address = \"{}/24\"` at the interface that leads to the far end, or correct `local`", local.value))
            .emit();
    }
    let fault = match remote.value {
        ip if ip.is_multicast() => Some("is a multicast group; a tunnel has one remote end"),
        ip if own(ip) => Some("is our own address"),
        ip if ip.is_unspecified() || ip.is_loopback() => Some("is no address of another host"),
        IpAddr::V4(ip) if ip.is_broadcast() => Some("is no address of another host"),
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    };
    if let Some(fault) = fault {
        tab.doc
            .error("bad-remote", &remote.span, format!("{} {fault}", remote.value))
            .found(tab.doc.snippet(&remote.span))
            .expected("the unicast address of the far end")
            .help("write the address of the peer; for several peers, one tunnel for each")
            .emit();
    }
}

/// What a tunnel takes from the wire, which no other may take too.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Claim {
    Gre { vr: VrId, local: IpAddr, remote: IpAddr, key: Option<u32> },
    Vxlan { vr: VrId, local: IpAddr, remote: IpAddr, port: u16, vni: u32 },
    EspInUdp { vr: VrId, local: IpAddr, port: u16 },
}

/// Two tunnels must not want the same packets from the wire.
pub(super) fn duplicates(tabs: &[Tab<'_, '_>], list: &[Tunnel]) {
    let mut taken: BTreeMap<Claim, usize> = BTreeMap::new();
    for (position, (tab, tunnel)) in tabs.iter().zip(list).enumerate() {
        let Tunnel { vr, local, remote, .. } = *tunnel;
        let ends = format!("{local} to {remote}");
        let (claim, key, found, help) = match &tunnel.kind {
            TunnelKind::Ipsec(ipsec) => {
                let port = match &ipsec.keying {
                    Keying::Manual(manual) => manual.encapsulation.map(|(port, _)| port),
                    // behind a NAT
                    Keying::Ike(_) => Some(esp::nat_t::PORT),
                };
                if let Some(port) = port {
                    taken.entry(Claim::EspInUdp { vr, local, port }).or_insert(position);
                }
                continue;
            }
            TunnelKind::Remote(_) => continue,
            TunnelKind::Gre(Gre { key, .. }) => {
                let found = match key {
                    Some(key) => format!("key {key}, {ends}"),
                    None => format!("no key, {ends}"),
                };
                let help = "give each a `key` of its own, the same at the peer";
                (Claim::Gre { vr, local, remote, key: *key }, "key", found, help)
            }
            TunnelKind::Vxlan(Vxlan { vni, port, .. }) => {
                let (vni, port) = (*vni, *port);
                if taken.contains_key(&Claim::EspInUdp { vr, local, port }) {
                    let help = "leave `port` out for 4789";
                    let found = format!("UDP port {port} of {local}, which takes ESP in UDP");
                    let claim = Claim::EspInUdp { vr, local, port };
                    (claim, "port", found, help)
                } else {
                    let found = format!("vni {vni}, {ends}");
                    let help = "give each a `vni` of its own, the same at the peer";
                    (Claim::Vxlan { vr, local, remote, port, vni }, "vni", found, help)
                }
            }
        };
        match taken.get(&claim).and_then(|first| tabs.get(*first)) {
            Some(first) => {
                let there = if first.section.path == tab.section.path { key } else { "local" };
                tab.doc
                    .error("duplicate-ends", &tab.span_of(key), "two tunnels take the same packets")
                    .found(found)
                    .expected("something of its own, or other ends")
                    .help(help)
                    .related(&first.span_of(there), "the first is here")
                    .emit();
            }
            None => {
                taken.insert(claim, position);
            }
        }
    }
}

/// Interfaces of GRE and VXLAN tunnels that say no MTU get what fits the interface of the local end.
pub(super) fn default_mtus(tabs: &[Tab<'_, '_>], tunnels: &[Tunnel], interfaces: &mut [Interface]) {
    for tunnel in tunnels {
        let position = usize::from(tunnel.interface.0);
        let written = tabs.get(position).is_some_and(|tab| tab.get("mtu").is_some());
        let Some(overhead) = tunnel.overhead().filter(|_| !written) else { continue };
        let below = interfaces.iter().find(|interface| {
            let mut own = interface.addresses.iter().map(ipnet::IpNet::addr);
            interface.vr == tunnel.vr && own.any(|ip| ip == tunnel.local)
        });
        let below = below.map_or(network::ETHERNET_MTU, |interface| interface.mtu);
        if let Some(interface) = interfaces.get_mut(position) {
            interface.mtu = below.saturating_sub(overhead).max(LEAST_MTU);
        }
    }
}

/// What every interface can carry, in bytes; the least that may be written for one.
const LEAST_MTU: u16 = 576;
