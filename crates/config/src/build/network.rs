//! `[[virtual-router]]`, `[[port]]`, `[[interface]]` and the zones that interfaces make.

use core::net::IpAddr;
use std::{collections::BTreeMap, path::PathBuf};

use ipnet::IpNet;
use toml::de::DeValue;
use wire::Mac;

use super::{Scope, route::is_link_local, settings};
use crate::{
    model::{
        Attachment, Config, Interface, Line, Port, PortKind, Rpf, TunnelId, VirtualRouter, VrId,
        Zone, ZoneId,
    },
    names::Names,
    read::{At, Doc, Span, Tab},
    suggest::listed,
    values::{self, Bad},
};

pub(super) fn virtual_routers(doc: &Doc<'_>, tabs: &[Tab<'_, '_>]) -> (Names, Vec<VirtualRouter>) {
    let (written, names) = Names::collect(doc, "virtual router", tabs);
    let mut routers = vec![super::default_router()];
    let mut known = Names::new("virtual router", "[[virtual-router]]");
    for (tab, name) in tabs.iter().zip(names) {
        let router =
            VirtualRouter { name, line: tab.line(), offload: settings::mode(tab, "offload") };
        match (router.name.as_str(), routers.first_mut()) {
            ("default", Some(default)) => *default = router,
            _ => {
                if let Some(span) = written.span(&router.name).cloned() {
                    let at = At { value: router.name.as_str(), span };
                    if known.get(at.value).is_none() {
                        known.add(doc, &at, routers.len());
                    }
                }
                routers.push(router);
            }
        }
    }
    known.add(doc, &At { value: "default", span: 0..0 }, 0);
    (known, routers)
}

pub(super) fn ports(doc: &Doc<'_>, tabs: &[Tab<'_, '_>], names: &[String]) -> Vec<Port> {
    let mut devices: BTreeMap<String, Span> = BTreeMap::new();
    let mut sockets: BTreeMap<PathBuf, Span> = BTreeMap::new();
    tabs.iter()
        .zip(names)
        .map(|(tab, name)| {
            let word = tab.word("kind");
            let fit: &[&str] = match word {
                "pcap" => &["read", "write", "mac"],
                "memif" => &["socket", "role", "id", "ring-size", "mac"],
                "memory" => &["mac"],
                "tun" => &["device"],
                _ => &["device", "mac"],
            };
            let particular =
                ["device", "socket", "role", "id", "ring-size", "read", "write", "mac"];
            for key in particular {
                if !fit.contains(&key) && tab.get(key).is_some() {
                    unfitting(tab, key, &format!("a port of kind `{word}`"));
                }
            }
            let device = || {
                let (device, span) = match tab.value("device", device_name) {
                    Some(at) => (at.value, at.span),
                    None => (name.clone(), tab.span_of("name")),
                };
                if tab.get("device").is_none()
                    && !name.is_empty()
                    && let Err(bad) = device_name(name)
                {
                    let help = "add `device = \"…\"` with the name of the kernel interface";
                    tab.bad("name", &span, Bad { help: help.to_owned(), ..bad });
                }
                if let Some(first) = devices.get(&device) {
                    doc.error(
                        "duplicate-device",
                        &span,
                        format!("two ports use device `{device}`"),
                    )
                    .found(doc.snippet(&span))
                    .expected("a device of its own for every port")
                    .help("put several VLANs on one port with `vlan` of [[interface]]")
                    .related(first, "the first is here")
                    .emit();
                }
                (device, span)
            };
            let kind = match word {
                "tap" | "tun" | "packet" | "xdp" => {
                    let (device, span) = device();
                    devices.entry(device.clone()).or_insert(span);
                    match word {
                        "tap" => PortKind::Tap { device },
                        "tun" => PortKind::Tun { device },
                        "xdp" => PortKind::Xdp { device },
                        _ => PortKind::Packet { device },
                    }
                }
                "memif" => memif(doc, tab, &mut sockets),
                "pcap" => {
                    let path = |key: &str| tab.text(key).map(|at| PathBuf::from(at.value));
                    if tab.get("read").is_none() && tab.get("write").is_none() {
                        tab.missing("read");
                    }
                    PortKind::Pcap { read: path("read"), write: path("write") }
                }
                _ => PortKind::Memory,
            };
            Port {
                name: name.clone(),
                line: tab.line(),
                kind,
                mac: tab.value("mac", station_mac).map(|at| at.value),
                fast_path: tab.flag("fast-path"),
                super_packets: tab.flag("super-packets"),
            }
        })
        .collect()
}

/// Bytes of the path of a Unix socket at most, the zero byte behind it not counted (unix(7)).
const SOCKET_PATH_LEN: usize = 107;

fn memif(doc: &Doc<'_>, tab: &Tab<'_, '_>, sockets: &mut BTreeMap<PathBuf, Span>) -> PortKind {
    let server = tab.word("role") == "server";
    let socket = match tab.get("socket") {
        Some(_) => tab.value("socket", socket_path),
        None => {
            tab.missing("socket");
            None
        }
    };
    let path = socket.map_or_else(PathBuf::new, |at| {
        // Two servers cannot listen at one socket. Clients may share the one of their server.
        if server && let Some(first) = sockets.get(&at.value) {
            doc.error("duplicate-socket", &at.span, "two memif servers use one socket")
                .found(doc.snippet(&at.span))
                .expected("a socket of its own for every port of role `server`")
                .help("choose another path for one of them, and tell its client")
                .related(first, "the first is here")
                .emit();
        } else if server {
            sockets.insert(at.value.clone(), at.span);
        }
        at.value
    });
    if server && tab.get("ring-size").is_some() {
        unfitting(tab, "ring-size", "a memif port of role `server`");
    }
    let size = tab.int("ring-size");
    if let Some(at) = &size
        && !at.value.is_power_of_two()
    {
        let below = 1u64 << at.value.ilog2();
        let bad = Bad::new(
            format!("{} is no power of two", at.value),
            "2, 4, 8 and so on to 16384",
            format!("write {below} or {}", below * 2),
        );
        tab.bad("ring-size", &at.span, bad);
    }
    PortKind::Memif {
        socket: path,
        id: u32::try_from(tab.int_or_default("id")).unwrap_or_default(),
        server,
        log2_ring_size: size.map_or_else(|| tab.int_or_default("ring-size"), |at| at.value).ilog2()
            as u8,
    }
}

fn socket_path(text: &str) -> Result<PathBuf, Bad> {
    if text.starts_with('/') && text.len() <= SOCKET_PATH_LEN && !text.contains('\0') {
        return Ok(PathBuf::from(text));
    }
    Err(Bad::new(
        format!("\"{text}\" cannot be the path of a socket"),
        format!("an absolute path of at most {SOCKET_PATH_LEN} bytes"),
        "write one in a directory that only the two ends may enter, such as \"/run/lockgate/vpp.sock\"",
    ))
}

fn device_name(text: &str) -> Result<String, Bad> {
    let fits = |c: char| c.is_ascii_graphic() && c != '/' && c != ':';
    if (1..=15).contains(&text.len()) && text.chars().all(fits) && text != "." && text != ".." {
        return Ok(text.to_owned());
    }
    Err(Bad::new(
        format!("\"{text}\" cannot be the name of a kernel interface"),
        "1 to 15 characters without blanks, `/` and `:`",
        "write the name that `ip link` shows, such as \"eth1\"",
    ))
}

pub(super) fn station_mac(text: &str) -> Result<Mac, Bad> {
    let example = "write a MAC address such as \"02:00:5e:10:00:01\"";
    let mac: Mac = text.parse().map_err(|_| {
        let colons = text.replace('-', ":").to_lowercase();
        let help = match colons.parse::<Mac>() {
            Ok(mac) => format!("write \"{mac}\""),
            Err(_) => example.to_owned(),
        };
        Bad::new(
            format!("\"{text}\" is not a MAC address"),
            "six bytes in hexadecimal with colons",
            help,
        )
    })?;
    if mac.is_group() || mac.is_zero() {
        let what = if mac.is_zero() { "all zeros" } else { "a group address" };
        return Err(Bad::new(
            format!("{mac} is {what}"),
            "the MAC address of one station",
            example,
        ));
    }
    Ok(mac)
}

/// Reports a key that has no place beside the others of its table.
pub(super) fn unfitting(tab: &Tab<'_, '_>, key: &str, beside: &str) {
    tab.doc
        .error("unfitting-key", &tab.span_of(key), format!("`{key}` has no meaning with {beside}"))
        .found(format!("`{key}`"))
        .expected(format!("no `{key}`"))
        .help(format!("remove `{key}`"))
        .emit();
}

/// The zones, and the zone of each interface.
pub(super) fn zones(
    scope: &mut Scope<'_>,
    tabs: &[Tab<'_, '_>],
    interfaces: &[String],
) -> (Vec<Zone>, Vec<ZoneId>) {
    let doc = scope.doc;
    let mut zones: Vec<Zone> = Vec::new();
    let of = tabs
        .iter()
        .zip(interfaces)
        .map(|(tab, interface)| {
            let written = tab.value("zone", values::name);
            let (name, line) = match &written {
                Some(at) => (at.value.as_str(), doc.line(at.span.start)),
                None => (interface.as_str(), Line(0)),
            };
            if let Some(position) = scope.zones.get(name) {
                if let Some(zone) = zones.get_mut(position).filter(|zone| zone.line == Line(0)) {
                    zone.line = line;
                }
                return ZoneId(position as u16);
            }
            let position = zones.len();
            // a bad interface name has been reported already
            if written.is_some() || scope.interfaces.get(name).is_some() {
                scope.zones.add(doc, &At { value: name, span: tab.span_of("zone") }, position);
            }
            zones.push(Zone { name: name.to_owned(), line });
            ZoneId(position as u16)
        })
        .collect();
    (zones, of)
}

/// MTU of an interface that says nothing of it, in bytes.
pub(super) const ETHERNET_MTU: u16 = 1500;

pub(super) fn interfaces(
    scope: &Scope<'_>,
    tabs: &[Tab<'_, '_>],
    names: &[String],
    zones: &[ZoneId],
    ports: &[Port],
) -> Vec<Interface> {
    let doc = scope.doc;
    let mut taken: BTreeMap<(u16, Option<u16>), Span> = BTreeMap::new();
    let mut carried = vec![false; ports.len()];
    let mut tunnels: BTreeMap<TunnelId, Span> = BTreeMap::new();
    let list = tabs
        .iter()
        .zip(names)
        .zip(zones)
        .map(|((tab, name), zone)| {
            let tunnel = tunnel_of(scope, tab, &mut tunnels);
            let loopback = tab.flag("loopback");
            let port = if tunnel.is_some() || loopback { None } else { port_of(scope, tab, name) };
            let vlan = tab.int("vlan").map(|at| at.value as u16);
            let legible = vlan.is_some() || tab.get("vlan").is_none();
            if let Some(port) = port {
                if let Some(carried) = carried.get_mut(usize::from(port)) {
                    *carried = true;
                }
                if legible {
                    check_tag(doc, tab, &mut taken, ports, port, vlan);
                }
            }
            let addresses: Vec<IpNet> = tab
                .list("address")
                .iter()
                .filter_map(|text| tab.read("address", text, values::interface_address))
                .map(|at| at.value)
                .collect();
            if loopback {
                check_loopback(tab, &addresses);
            }
            let mtu = tab.int("mtu").map_or(ETHERNET_MTU, |at| at.value as u16);
            if mtu < 1280 && addresses.iter().any(|net| net.addr().is_ipv6()) {
                let span = tab.span_of("mtu");
                doc.error("mtu-below-ipv6", &span, "the MTU is too small for IPv6")
                    .found(mtu.to_string())
                    .expected("1280 at least (RFC 8200 §5)")
                    .help("write `mtu = 1280`, or take the IPv6 addresses off the interface")
                    .emit();
            }
            Interface {
                name: name.clone(),
                line: tab.line(),
                on: match tunnel {
                    Some(tunnel) => Attachment::Tunnel(tunnel),
                    None if loopback => Attachment::Loopback,
                    None => Attachment::Port { port: port.unwrap_or(0), vlan },
                },
                vr: router_of(scope, tab).unwrap_or_default(),
                zone: *zone,
                addresses,
                mtu,
                rpf: match tab.word("rpf") {
                    "loose" => Rpf::Loose,
                    "off" => Rpf::Off,
                    _ => Rpf::Strict,
                },
                mss_clamp: mss_clamp(tab, tunnel.is_some()),
                enabled: tab.flag("enabled"),
                proxy_arp: tab.flag("proxy-arp"),
            }
        })
        .collect();
    for (port, _) in ports.iter().zip(carried).filter(|(_, carried)| !carried) {
        if let Some(span) = scope.ports.span(&port.name) {
            doc.warning("unused-port", span, format!("port `{}` has no interface", port.name))
                .found(doc.snippet(span))
                .expected("an [[interface]] on it")
                .help(format!(
                    "add [[interface]] with `port = \"{}\"`, or remove the port",
                    port.name
                ))
                .emit();
        }
    }
    list
}

/// What has no meaning on a loopback, and what its addresses are.
fn check_loopback(tab: &Tab<'_, '_>, addresses: &[IpNet]) {
    for key in ["port", "tunnel", "vlan", "mtu", "rpf", "mss-clamp", "proxy-arp"] {
        if tab.get(key).is_some() {
            unfitting(tab, key, "`loopback = true`");
        }
    }
    if tab.get("address").is_none() {
        tab.missing("address");
    }
    if let Some(net) = addresses.iter().find(|net| net.prefix_len() < net.max_prefix_len()) {
        let span = tab.span_of("address");
        let host = IpNet::from(net.addr());
        tab.doc
            .error("loopback-subnet", &span, "a loopback has no subnet")
            .found(net.to_string())
            .expected("a single address, /32 or /128")
            .help(format!("write \"{host}\""))
            .emit();
    }
}

fn tunnel_of(
    scope: &Scope<'_>,
    tab: &Tab<'_, '_>,
    taken: &mut BTreeMap<TunnelId, Span>,
) -> Option<TunnelId> {
    let at = tab.text("tunnel")?;
    for key in ["port", "vlan"] {
        if tab.get(key).is_some() {
            unfitting(tab, key, "`tunnel`");
        }
    }
    let id = TunnelId(scope.tunnels.find(scope.doc, &at)? as u16);
    if let Some(first) = taken.get(&id) {
        let message = format!("two interfaces stand on tunnel `{}`", at.value);
        tab.doc
            .error("duplicate-tunnel", &at.span, message)
            .found(tab.doc.snippet(&at.span))
            .expected("a tunnel of its own")
            .help("put all addresses on one interface")
            .related(first, "the first is here")
            .emit();
    }
    taken.insert(id, at.span);
    Some(id)
}

fn port_of(scope: &Scope<'_>, tab: &Tab<'_, '_>, name: &str) -> Option<u16> {
    match tab.text("port") {
        Some(at) => scope.ports.find(scope.doc, &at).map(|port| port as u16),
        None if tab.get("port").is_some() || name.is_empty() => None,
        None => {
            let found = scope.ports.get(name).map(|port| port as u16);
            if found.is_none() {
                tab.doc
                    .error("missing-key", &tab.span, format!("interface `{name}` names no port"))
                    .found("nothing")
                    .expected(format!("`port`, one of {}", listed(scope.ports.all())))
                    .help(match scope.ports.all().next() {
                        Some(port) => format!("add `port = \"{port}\"`"),
                        None => format!("add [[port]] with `name = \"{name}\"`"),
                    })
                    .emit();
            }
            found
        }
    }
}

fn check_tag(
    doc: &Doc<'_>,
    tab: &Tab<'_, '_>,
    taken: &mut BTreeMap<(u16, Option<u16>), Span>,
    ports: &[Port],
    port: u16,
    vlan: Option<u16>,
) {
    let Some(on) = ports.get(usize::from(port)) else {
        return;
    };
    let span = if vlan.is_some() { tab.span_of("vlan") } else { tab.span_of("port") };
    if vlan.is_some() && matches!(on.kind, PortKind::Tun { .. }) {
        unfitting(tab, "vlan", "a port of kind `tun`, which carries no Ethernet");
    }
    if let Some(first) = taken.get(&(port, vlan)) {
        let what = match vlan {
            Some(vlan) => format!("VLAN {vlan}"),
            None => "the untagged frames".to_owned(),
        };
        doc.error(
            "duplicate-vlan",
            &span,
            format!("two interfaces take {what} of port `{}`", on.name),
        )
        .found(doc.snippet(&span))
        .expected("a VLAN of its own")
        .help("give one of them another `vlan`, or put both addresses on one interface")
        .related(first, "the first is here")
        .emit();
        return;
    }
    taken.insert((port, vlan), span);
}

pub(super) fn router_of(scope: &Scope<'_>, tab: &Tab<'_, '_>) -> Option<VrId> {
    let at = tab.text("virtual-router")?;
    scope.virtual_routers.find(scope.doc, &at).map(|vr| VrId(vr as u16))
}

fn mss_clamp(tab: &Tab<'_, '_>, tunnel: bool) -> Option<u16> {
    let Some(val) = tab.get("mss-clamp") else { return tunnel.then_some(0) };
    match val.value {
        DeValue::String(text) if text == "off" => None,
        DeValue::String(text) if text == "auto" => Some(0),
        DeValue::Integer(number) => match number.as_str().parse::<u16>() {
            Ok(mss) if (536..=9176).contains(&mss) => Some(mss),
            _ => {
                tab.doc
                    .error("out-of-range", &val.span, "`mss-clamp` is out of range")
                    .found(tab.doc.snippet(&val.span))
                    .expected("536 to 9176, \"auto\" or \"off\"")
                    .help("write `mss-clamp = \"auto\"` to follow the MTU")
                    .emit();
                None
            }
        },
        _ => {
            tab.mistyped(&val);
            None
        }
    }
}

/// Reports subnets of different interfaces that overlap in one virtual router. An address of a loopback
/// may lie in a subnet, but be nobody else's.
pub(super) fn overlaps(scope: &Scope<'_>, tabs: &[Tab<'_, '_>], config: &Config) {
    let mut nets: Vec<(VrId, IpNet, usize, Span)> = Vec::new();
    for (position, (tab, interface)) in tabs.iter().zip(&config.interfaces).enumerate() {
        for (net, text) in interface.addresses.iter().zip(tab.list("address")) {
            if !is_link_local(net.addr()) {
                nets.push((interface.vr, *net, position, text.span));
            }
        }
    }
    // prefixes nest or are disjoint: in this order only the last widest one can hold the next
    nets.sort_by_key(|(vr, net, _, span)| (*vr, net.network(), net.prefix_len(), span.start));
    let mut widest: Option<&(VrId, IpNet, usize, Span)> = None;
    let is_loopback =
        |position: usize| config.interfaces.get(position).is_some_and(Interface::is_loopback);
    let mut own: BTreeMap<(VrId, IpAddr), bool> = BTreeMap::new();
    for item in &nets {
        let (vr, net, position, span) = item;
        let loopback = is_loopback(*position);
        let twin = own.insert((*vr, net.addr()), loopback);
        if twin.is_some_and(|twin| twin || loopback) {
            scope
                .doc
                .error("duplicate-address", span, format!("{} is on two interfaces", net.addr()))
                .found(scope.doc.snippet(span))
                .expected("an address of its own")
                .help("take it off one of them")
                .emit();
            continue;
        }
        if loopback {
            continue;
        }
        match widest {
            Some((wide_vr, wide, wide_position, wide_span))
                if vr == wide_vr && wide.contains(&net.network()) =>
            {
                let same_address = net.addr() == wide.addr();
                if position == wide_position && !same_address {
                    continue;
                }
                let router =
                    config.virtual_routers.get(usize::from(vr.0)).map_or("", |vr| &vr.name);
                let (later, earlier, shown, other) = match span.start > wide_span.start {
                    true => (span, wide_span, net, wide),
                    false => (wide_span, span, wide, net),
                };
                let message = format!(
                    "{} overlaps {} in virtual router `{router}`",
                    shown.trunc(),
                    other.trunc()
                );
                scope
                    .doc
                    .error("overlapping-subnets", later, message)
                    .found(scope.doc.snippet(later))
                    .expected("subnets that do not overlap")
                    .help("change one of them, or put one interface in another `virtual-router`")
                    .related(earlier, "the other is here")
                    .emit();
            }
            _ => widest = Some(item),
        }
    }
}
