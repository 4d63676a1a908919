//! `[[vip]]` and `[[pool]]`, and what must not overlap among them.

use core::ops::RangeInclusive;

use toml::de::DeValue;
use wire::proto;

use super::{Scope, network::unfitting, objects::number};
use crate::{
    keys,
    model::{Config, IfId, Interface, IpRange, Pool, PoolKind, PortForward, Vip},
    names::Names,
    read::{At, Span, Tab},
    values,
};

/// The most addresses of a pool or VIP that make sense: a pool keeps state for each.
const ADDRESSES: u128 = 65_536;

pub(super) fn count(range: &IpRange) -> u128 {
    (number(range.last) - number(range.first)).saturating_add(1)
}

pub(super) fn meet(a: &IpRange, b: &IpRange) -> bool {
    a.first.is_ipv4() == b.first.is_ipv4() && a.first <= b.last && b.first <= a.last
}

fn ports_meet(a: &RangeInclusive<u16>, b: &RangeInclusive<u16>) -> bool {
    a.start() <= b.end() && b.start() <= a.end()
}

/// Reads a range of a bounded number of addresses.
fn bounded(tab: &Tab<'_, '_>, key: &str) -> Option<At<IpRange>> {
    if tab.get(key).is_none() {
        tab.missing(key);
    }
    let at = tab.value(key, values::range)?;
    if count(&at.value) > ADDRESSES {
        tab.doc
            .error("out-of-range", &at.span, format!("`{key}` holds too many addresses"))
            .found(tab.doc.snippet(&at.span))
            .expected(format!("at most {ADDRESSES} addresses"))
            .help("take a smaller range, or several")
            .emit();
        return None;
    }
    if values::is_never_a_host(at.value.first) || values::is_never_a_host(at.value.last) {
        tab.doc
            .error("bad-value", &at.span, format!("`{key}` holds addresses that no host can have"))
            .found(tab.doc.snippet(&at.span))
            .expected("unicast addresses")
            .help("take addresses such as \"203.0.113.10\"")
            .emit();
        return None;
    }
    Some(at)
}

/// A port or a range of them, as an integer or as text.
pub(super) fn port_range(tab: &Tab<'_, '_>, key: &str) -> Option<At<RangeInclusive<u16>>> {
    let val = tab.get(key)?;
    let text = match val.value {
        DeValue::Integer(number) => number.as_str(),
        DeValue::String(text) => text.as_ref(),
        _ => {
            tab.mistyped(&val);
            return None;
        }
    };
    let at = tab.read(key, &At { value: text, span: val.span.clone() }, values::ports)?;
    if *at.value.start() == 0 {
        tab.doc
            .error("out-of-range", &at.span, format!("`{key}`: port 0 cannot be used"))
            .found(tab.doc.snippet(&at.span))
            .expected("1 to 65535")
            .help("begin at port 1, or at 1024 for translated sources")
            .emit();
        return None;
    }
    Some(at)
}

pub(super) fn pools(
    scope: &Scope<'_>,
    tabs: &[Tab<'_, '_>],
    names: &[String],
    config: &Config,
) -> Vec<Pool> {
    let mut pools: Vec<Pool> = Vec::new();
    let mut spans: Vec<Span> = Vec::new();
    for (tab, name) in tabs.iter().zip(names) {
        let ports = port_range(tab, "ports").map_or(1024..=65535, |at| at.value);
        let word = tab.word("kind");
        let unfit: &[&str] = match word {
            "port-block" => &[],
            "one-to-one" => &["ports", "block-size", "blocks-per-host"],
            _ => &["block-size", "blocks-per-host"],
        };
        for key in unfit {
            if tab.get(key).is_some() {
                unfitting(tab, key, &format!("a pool of kind `{word}`"));
            }
        }
        let block_size = tab.int_or_default("block-size") as u16;
        let room = u32::from(*ports.end()) - u32::from(*ports.start()) + 1;
        let kind = match word {
            "one-to-one" => PoolKind::OneToOne,
            "port-block" => PoolKind::PortBlock {
                block_size,
                blocks_per_host: tab.int_or_default("blocks-per-host") as u8,
            },
            _ => PoolKind::Overload,
        };
        if word == "port-block" && u32::from(block_size) > room {
            let span = tab.span_of("block-size");
            tab.doc
                .error("out-of-range", &span, "a block is larger than the range of ports")
                .found(block_size.to_string())
                .expected(format!("at most {room}"))
                .help("make `block-size` smaller or `ports` wider")
                .emit();
        }
        let Some(addresses) = bounded(tab, "addresses") else {
            continue;
        };
        let pool = Pool {
            name: name.clone(),
            line: tab.line(),
            kind,
            addresses: addresses.value,
            ports,
            proxy_arp: tab.flag("proxy-arp"),
        };
        for (other, span) in pools.iter().zip(&spans) {
            clash_of_pools(scope, &pool, &addresses.span, other, span);
        }
        beside_interfaces(scope, &pool, &addresses.span, config);
        pools.push(pool);
        spans.push(addresses.span);
    }
    pools
}

fn clash_of_pools(scope: &Scope<'_>, pool: &Pool, span: &Span, other: &Pool, other_span: &Span) {
    let whole = |pool: &Pool| pool.kind == PoolKind::OneToOne;
    let clash = meet(&pool.addresses, &other.addresses)
        && (whole(pool) || whole(other) || ports_meet(&pool.ports, &other.ports));
    if clash {
        scope
            .doc
            .error(
                "overlapping-pools",
                span,
                format!("pools `{}` and `{}` share addresses", other.name, pool.name),
            )
            .found(scope.doc.snippet(span))
            .expected("addresses, or ports of them, that no other pool has")
            .help("separate the addresses, or give the two disjoint `ports`")
            .related(other_span, "the other is here")
            .emit();
    }
}

/// Doubts a pool that takes an interface's own address, or whose addresses nobody would answer for.
fn beside_interfaces(scope: &Scope<'_>, pool: &Pool, span: &Span, config: &Config) {
    let doc = scope.doc;
    let within = |ip: core::net::IpAddr| meet(&pool.addresses, &IpRange { first: ip, last: ip });
    let own = |of: &Interface| of.addresses.iter().any(|net| within(net.addr()));
    if let Some(interface) = config.interfaces.iter().find(|of| own(of)) {
        let message =
            format!("pool `{}` holds the address of interface `{}`", pool.name, interface.name);
        let draft = match pool.kind {
            PoolKind::OneToOne => doc.error("pool-takes-own-address", span, message),
            PoolKind::Overload | PoolKind::PortBlock { .. } => {
                doc.warning("pool-takes-own-address", span, message)
            }
        };
        draft
            .found(doc.snippet(span))
            .expected("addresses that the gateway does not use itself")
            .help("leave the address out; `nat = \"interface\"` translates to it")
            .emit();
    }
    let deaf = config.interfaces.iter().find(|of| {
        let on =
            of.addresses.iter().any(|net| meet(&pool.addresses, &values::net_range(&net.trunc())));
        on && !(pool.proxy_arp && of.proxy_arp)
    });
    if let Some(interface) = deaf {
        doc.warning("no-proxy-arp", span, format!("nobody answers ARP for pool `{}`", pool.name))
            .found(doc.snippet(span))
            .expected(format!("`proxy-arp` on the pool and on interface `{}`", interface.name))
            .help("write `proxy-arp = true` on both, or route the addresses to the gateway")
            .emit();
    }
}

pub(super) fn vips(scope: &Scope<'_>, top: &Tab<'_, '_>, config: &Config) -> (Names, Vec<Vip>) {
    let tabs = top.tables("vip", &keys::VIP);
    let (vip_names, names) = Names::collect(scope.doc, "vip", &tabs);
    let mut vips: Vec<Vip> = Vec::new();
    let mut spans: Vec<Span> = Vec::new();
    for (tab, name) in tabs.iter().zip(names) {
        let interface = tab
            .text("interface")
            .filter(|at| at.value != "any")
            .and_then(|at| scope.interfaces.find(scope.doc, &at).map(|id| IfId(id as u16)));
        let forward = tab.table("forward", &keys::FORWARD).map(|inner| port_forward(&inner));
        let external = bounded(tab, "external");
        let mapped = bounded(tab, "mapped");
        let (Some(external), Some(mapped)) = (external, mapped) else {
            continue;
        };
        if !lengths_fit(tab, &external, &mapped) || forward == Some(None) {
            continue;
        }
        let vip = Vip {
            name,
            line: tab.line(),
            interface,
            external: external.value,
            mapped: mapped.value,
            forward: forward.flatten(),
        };
        for (other, span) in vips.iter().zip(&spans) {
            clash_of_vips(scope, &vip, &external.span, other, span);
        }
        beside_pools(scope, &vip, &external.span, config);
        takes_own_address(scope, &vip, &external.span, config);
        vips.push(vip);
        spans.push(external.span);
    }
    (vip_names, vips)
}

fn lengths_fit(tab: &Tab<'_, '_>, external: &At<IpRange>, mapped: &At<IpRange>) -> bool {
    let doc = tab.doc;
    if external.value.first.is_ipv4() != mapped.value.first.is_ipv4() {
        doc.error("family-mix", &mapped.span, "a VIP maps one IP version to the other")
            .found(doc.snippet(&mapped.span))
            .expected("addresses of the version of `external`")
            .help("write one VIP for IPv4 and one for IPv6")
            .related(&external.span, "the external addresses are here")
            .emit();
        return false;
    }
    let (many, few) = (count(&external.value), count(&mapped.value));
    if few == 1 || few == many {
        return true;
    }
    let help = match last_of(&mapped.value, many) {
        Some(last) => format!("write `mapped = \"{}-{last}\"`, or one address", mapped.value.first),
        None => "make the ranges equally long".to_owned(),
    };
    doc.error("range-length", &mapped.span, "the ranges of the VIP differ in length")
        .found(format!("{few} mapped addresses"))
        .expected(format!("{many}, as many as are external, or 1"))
        .help(help)
        .related(&external.span, format!("{many} external addresses"))
        .emit();
    false
}

/// The last address of a range of so many that begins as `range` does.
fn last_of(range: &IpRange, many: u128) -> Option<core::net::IpAddr> {
    let last = number(range.first).checked_add(many.checked_sub(1)?)?;
    match range.first {
        core::net::IpAddr::V4(_) => Some(core::net::IpAddr::V4(u32::try_from(last).ok()?.into())),
        core::net::IpAddr::V6(_) => Some(core::net::IpAddr::V6(last.into())),
    }
}

fn port_forward(tab: &Tab<'_, '_>) -> Option<PortForward> {
    if tab.get("external-port").is_none() {
        tab.missing("external-port");
    }
    let proto = match tab.word("proto") {
        "udp" => proto::UDP,
        "sctp" => proto::SCTP,
        _ => proto::TCP,
    };
    let external = port_range(tab, "external-port");
    let mapped = port_range(tab, "mapped-port");
    if tab.get("mapped-port").is_some() && mapped.is_none() {
        return None;
    }
    let external = external?.value;
    let length = external.end() - external.start();
    let Some(mapped) = mapped else {
        let first = *external.start();
        return Some(PortForward { proto, external, mapped: first });
    };
    let (first, last) = (*mapped.value.start(), *mapped.value.end());
    let end = first.checked_add(length);
    if (last != first && last - first != length) || end.is_none() {
        let help = match end {
            Some(end) => format!("write `mapped-port = \"{first}-{end}\"`, or only {first}"),
            None => format!("begin at {} or below", u16::MAX - length),
        };
        tab.doc
            .error("range-length", &mapped.span, "the port ranges of the VIP differ in length")
            .found(tab.doc.snippet(&mapped.span))
            .expected(format!("{} ports", u32::from(length) + 1))
            .help(help)
            .related(&tab.span_of("external-port"), "the external ports are here")
            .emit();
        return None;
    }
    Some(PortForward { proto, external, mapped: first })
}

fn clash_of_vips(scope: &Scope<'_>, vip: &Vip, span: &Span, other: &Vip, other_span: &Span) {
    let same_side = match (vip.interface, other.interface) {
        (Some(a), Some(b)) => a == b,
        _ => true,
    };
    let same_ports = match (&vip.forward, &other.forward) {
        (Some(a), Some(b)) => a.proto == b.proto && ports_meet(&a.external, &b.external),
        _ => true,
    };
    if same_side && same_ports && meet(&vip.external, &other.external) {
        scope
            .doc
            .error("overlapping-vips", span, format!("VIPs `{}` and `{}` take the same traffic", other.name, vip.name))
            .found(scope.doc.snippet(span))
            .expected("external addresses or ports that no other VIP has")
            .help("change the addresses, give both a `forward` with different ports, or name the `interface` of each")
            .related(other_span, "the other is here")
            .emit();
    }
}

fn beside_pools(scope: &Scope<'_>, vip: &Vip, span: &Span, config: &Config) {
    for pool in config.pools.iter().filter(|pool| meet(&pool.addresses, &vip.external)) {
        let clash = match &vip.forward {
            None => true,
            Some(_) if pool.kind == PoolKind::OneToOne => true,
            Some(forward) => ports_meet(&forward.external, &pool.ports),
        };
        if !clash {
            continue;
        }
        let help = match &vip.forward {
            Some(_) if pool.kind != PoolKind::OneToOne => {
                "take the forwarded ports out of `ports` of the pool, or separate the addresses"
            }
            _ => "separate the addresses",
        };
        let message = format!("VIP `{}` and pool `{}` share addresses", vip.name, pool.name);
        let draft = scope.doc.error("vip-overlaps-pool", span, message);
        let draft = match scope.pools.span(&pool.name) {
            Some(pool_span) => draft.related(pool_span, "the pool is here"),
            None => draft,
        };
        draft
            .found(scope.doc.snippet(span))
            .expected("external addresses that are in no pool")
            .help(help)
            .emit();
    }
}

fn takes_own_address(scope: &Scope<'_>, vip: &Vip, span: &Span, config: &Config) {
    if vip.forward.is_some() {
        return;
    }
    let own = |of: &Interface| {
        of.addresses
            .iter()
            .map(|net| net.addr())
            .any(|ip| meet(&vip.external, &IpRange { first: ip, last: ip }))
    };
    if let Some(interface) = config.interfaces.iter().find(|of| own(of)) {
        let message =
            format!("VIP `{}` takes all traffic to interface `{}`", vip.name, interface.name);
        scope
            .doc
            .warning("vip-takes-own-address", span, message)
            .found(scope.doc.snippet(span))
            .expected("another address, or a `forward`")
            .help("forward the ports that are meant: `forward = { proto = \"tcp\", external-port = 443 }`")
            .emit();
    }
}
