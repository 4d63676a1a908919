//! `[[route]]` and `[[neighbour]]`: what depends on the subnets of the interfaces.

use core::net::IpAddr;
use std::collections::BTreeMap;

use ipnet::IpNet;

use super::{
    Scope,
    network::{router_of, station_mac, unfitting},
};
use crate::{
    keys,
    model::{Config, IfId, Interface, NextHop, PortKind, Route, StaticNeighbour, VrId},
    read::{At, Span, Tab},
    suggest::listed,
    values,
};

/// Whether an address is one of a link only (RFC 4291 §2.5.6).
pub(super) fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

fn interface_of(scope: &Scope<'_>, tab: &Tab<'_, '_>) -> Option<IfId> {
    let at = tab.text("interface")?;
    scope.interfaces.find(scope.doc, &at).map(|id| IfId(id as u16))
}

pub(super) fn routes(scope: &Scope<'_>, top: &Tab<'_, '_>, config: &Config) -> Vec<Route> {
    let mut seen: BTreeMap<String, Span> = BTreeMap::new();
    let mut routes = Vec::new();
    for tab in top.tables("route", &keys::ROUTE) {
        if tab.get("to").is_none() {
            tab.missing("to");
        }
        let to = tab.value("to", values::prefix);
        let weight = tab.int_or_default("weight") as u8;
        let metric = tab.int_or_default("metric") as u32;
        let Some((vr, next_hop)) = next_hop(scope, &tab, config, to.as_ref().map(|at| at.value))
        else {
            continue;
        };
        let Some(to) = to else { continue };
        let identity = format!("{vr:?} {} {next_hop:?}", to.value);
        if let Some(first) = seen.get(&identity) {
            scope
                .doc
                .error(
                    "duplicate-route",
                    &tab.span,
                    format!("two routes to {} are the same", to.value),
                )
                .found(to.value.to_string())
                .expected("another destination or next hop")
                .help("remove one of them; for a larger share write `weight`")
                .related(first, "the first is here")
                .emit();
        }
        seen.entry(identity).or_insert_with(|| tab.span.clone());
        routes.push(Route {
            destination: to.value,
            vr,
            next_hop,
            metric,
            weight,
            line: tab.line(),
        });
    }
    routes
}

fn next_hop(
    scope: &Scope<'_>,
    tab: &Tab<'_, '_>,
    config: &Config,
    to: Option<IpNet>,
) -> Option<(VrId, NextHop)> {
    let written = router_of(scope, tab);
    if tab.get("virtual-router").is_some() && written.is_none() {
        return None;
    }
    if tab.flag("blackhole") {
        for key in ["via", "interface"] {
            if tab.get(key).is_some() {
                unfitting(tab, key, "`blackhole = true`");
            }
        }
        return Some((written.unwrap_or_default(), NextHop::Blackhole));
    }
    let interface = interface_of(scope, tab);
    if tab.get("interface").is_some() && interface.is_none() {
        return None;
    }
    let of_interface = interface.and_then(|id| config.interfaces.get(usize::from(id.0)));
    if let Some(of) = of_interface.filter(|of| of.is_loopback()) {
        let span = tab.span_of("interface");
        tab.doc
            .error("loopback-route", &span, format!("`{}` is a loopback", of.name))
            .found(tab.doc.snippet(&span))
            .expected("an interface that leads somewhere")
            .help("name the interface that packets leave by; own addresses need no route")
            .emit();
        return None;
    }
    if let (Some(vr), Some(of)) = (written, of_interface)
        && of.vr != vr
    {
        let span = tab.span_of("interface");
        let home = config.virtual_routers.get(usize::from(of.vr.0)).map_or("", |vr| &vr.name);
        tab.doc
            .error(
                "wrong-virtual-router",
                &span,
                format!("interface `{}` is not in that virtual router", of.name),
            )
            .found(tab.doc.snippet(&span))
            .expected("an interface of the virtual router of the route")
            .help(format!("write `virtual-router = \"{home}\"`, or name another interface"))
            .emit();
        return None;
    }
    let vr = written.or(of_interface.map(|of| of.vr)).unwrap_or_default();
    if tab.get("via").is_none() {
        let Some(interface) = interface else {
            tab.missing("via");
            return None;
        };
        return Some((vr, NextHop::Interface(interface)));
    }
    let via = tab.value("via", values::ip)?;
    if to.is_some_and(|to| to.addr().is_ipv4() != via.value.is_ipv4()) {
        let span = &via.span;
        tab.doc
            .error("family-mix", span, "destination and gateway are of different IP versions")
            .found(tab.doc.snippet(span))
            .expected(if via.value.is_ipv4() { "an IPv6 gateway" } else { "an IPv4 gateway" })
            .help("write one route for IPv4 and one for IPv6")
            .emit();
        return None;
    }
    let interface = gateway_interface(tab, config, &via, vr, interface)?;
    Some((vr, NextHop::Gateway { address: via.value, interface }))
}

/// The interface whose subnet the gateway is on.
fn gateway_interface(
    tab: &Tab<'_, '_>,
    config: &Config,
    via: &At<IpAddr>,
    vr: VrId,
    interface: Option<IfId>,
) -> Option<IfId> {
    let doc = tab.doc;
    let ip = via.value;
    let all = || config.interfaces.iter().enumerate().map(|(id, of)| (IfId(id as u16), of));
    if let Some((_, own)) =
        all().find(|(_, of)| of.vr == vr && of.addresses.iter().any(|net| net.addr() == ip))
    {
        doc.error("gateway-is-self", &via.span, format!("{ip} is the gateway's own address"))
            .found(doc.snippet(&via.span))
            .expected("the address of another router")
            .help(format!("write the address of the next router on interface `{}`", own.name))
            .emit();
        return None;
    }
    if is_link_local(ip) {
        if interface.is_none() {
            doc.error("missing-key", &via.span, "a link-local gateway needs its interface")
                .found(doc.snippet(&via.span))
                .expected("`interface` beside `via`")
                .help("add `interface = \"…\"`, the link that the gateway is on")
                .emit();
        }
        return interface;
    }
    let on = |of: &Interface| of.addresses.iter().any(|net| net.contains(&ip));
    let found =
        all().find(|(id, of)| of.vr == vr && interface.is_none_or(|named| named == *id) && on(of));
    if let Some((id, _)) = found {
        return Some(id);
    }
    let subnets: Vec<String> = all()
        .filter(|(id, of)| of.vr == vr && interface.is_none_or(|named| named == *id))
        .flat_map(|(_, of)| of.addresses.iter())
        .filter(|net| net.addr().is_ipv4() == ip.is_ipv4())
        .map(|net| net.trunc().to_string())
        .collect();
    let elsewhere = all().find(|(_, of)| on(of));
    let help = match elsewhere {
        Some((_, of)) if of.vr != vr => {
            let name = config.virtual_routers.get(usize::from(of.vr.0)).map_or("", |vr| &vr.name);
            format!(
                "it is on interface `{}` of another virtual router: add `virtual-router = \"{name}\"`",
                of.name
            )
        }
        Some((_, of)) => format!("it is on interface `{0}`: write `interface = \"{0}\"`", of.name),
        None => "correct the address, or give an interface an address on its subnet".to_owned(),
    };
    doc.error("gateway-not-connected", &via.span, format!("{ip} is on no connected subnet"))
        .found(doc.snippet(&via.span))
        .expected(format!("an address on one of {}", listed(subnets.iter().map(String::as_str))))
        .help(help)
        .emit();
    None
}

pub(super) fn neighbours(
    scope: &Scope<'_>,
    top: &Tab<'_, '_>,
    config: &Config,
) -> Vec<StaticNeighbour> {
    let doc = scope.doc;
    let mut seen: BTreeMap<(IfId, IpAddr), Span> = BTreeMap::new();
    let mut list = Vec::new();
    for tab in top.tables("neighbour", &keys::NEIGHBOUR) {
        for key in ["interface", "address", "mac"] {
            if tab.get(key).is_none() {
                tab.missing(key);
            }
        }
        let interface = interface_of(scope, &tab);
        let address = tab.value("address", values::ip);
        let mac = tab.value("mac", station_mac);
        let (Some(interface), Some(address), Some(mac)) = (interface, address, mac) else {
            continue;
        };
        let Some(on) = config.interfaces.get(usize::from(interface.0)) else {
            continue;
        };
        let ip = address.value;
        let own = on.addresses.iter().any(|net| net.addr() == ip);
        let connected = is_link_local(ip) || on.addresses.iter().any(|net| net.contains(&ip));
        let tun = match config.tunnel_of(on) {
            Some((_, tunnel)) => !tunnel.is_ethernet(),
            None => config.port_of(on).is_none_or(|port| matches!(port.kind, PortKind::Tun { .. })),
        };
        if own || !connected || tun {
            let message = match (own, tun) {
                (true, _) => format!("{ip} is the interface's own address"),
                (_, true) => {
                    format!(
                        "interface `{}` is a tunnel without Ethernet or on a TUN port, which has no neighbours",
                        on.name
                    )
                }
                _ => format!("{ip} is on no subnet of interface `{}`", on.name),
            };
            let subnets: Vec<String> =
                on.addresses.iter().map(|net| net.trunc().to_string()).collect();
            doc.error("bad-neighbour", &address.span, message)
                .found(doc.snippet(&address.span))
                .expected(format!("another host on {}", listed(subnets.iter().map(String::as_str))))
                .help("correct the address or the interface, or remove the neighbour")
                .emit();
            continue;
        }
        if let Some(first) = seen.get(&(interface, ip)) {
            doc.error("duplicate-neighbour", &address.span, format!("two neighbours are {ip}"))
                .found(doc.snippet(&address.span))
                .expected("one entry for each address")
                .help("remove one of them")
                .related(first, "the first is here")
                .emit();
        }
        seen.entry((interface, ip)).or_insert_with(|| address.span.clone());
        list.push(StaticNeighbour { interface, address: ip, mac: mac.value, line: tab.line() });
    }
    list
}
