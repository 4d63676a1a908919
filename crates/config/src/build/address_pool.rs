//! `[[address-pool]]`, and what must not hold its addresses too.

use core::net::IpAddr;

use super::{Scope, nat::meet};
use crate::{
    model::{AddressPool, Attachment, Config, IpRange},
    read::{At, Span, Tab},
    values::{self, Bad},
};

/// Addresses of a pool with the place they are written at.
type Written = Vec<At<IpRange>>;

pub(super) fn pools(
    scope: &Scope<'_>,
    tabs: &[Tab<'_, '_>],
    names: &[String],
    config: &Config,
) -> Vec<AddressPool> {
    let mut pools: Vec<AddressPool> = Vec::new();
    let mut seen: Vec<(String, At<IpRange>)> = Vec::new();
    for (tab, name) in tabs.iter().zip(names) {
        let written = addresses(tab);
        for range in &written {
            overlap(tab, name, range, &seen);
            taken(scope, tab, name, range, config);
            nobody_answers(tab, name, range, config);
            seen.push((name.clone(), range.clone()));
        }
        let dns = tab.list("dns");
        let dns = dns.iter().filter_map(|at| tab.read("dns", at, host));
        pools.push(AddressPool {
            name: name.clone(),
            line: tab.line(),
            ranges: written.into_iter().map(|at| at.value).collect(),
            dns: dns.map(|at| at.value).collect(),
        });
    }
    pools
}

fn addresses(tab: &Tab<'_, '_>) -> Written {
    if tab.get("addresses").is_none() {
        tab.missing("addresses");
    }
    let list = tab.list("addresses");
    list.iter().filter_map(|at| tab.read("addresses", at, range)).collect()
}

/// Addresses as written; of a prefix, those that hosts can have.
fn range(text: &str) -> Result<IpRange, Bad> {
    let range = values::range(text)?;
    let range = if text.contains('/') { hosts(range, &values::prefix(text)?) } else { range };
    if values::is_never_a_host(range.first) || values::is_never_a_host(range.last) {
        return Err(Bad::new(
            "some of these are addresses that no host can have",
            "unicast addresses",
            "take private addresses such as \"10.9.0.0/24\"",
        ));
    }
    Ok(range)
}

fn hosts(range: IpRange, net: &ipnet::IpNet) -> IpRange {
    let whole = net.max_prefix_len() - net.prefix_len() < 2;
    let (first, last) = match (range.first, range.last) {
        _ if whole => (range.first, range.last),
        (IpAddr::V4(first), IpAddr::V4(last)) => (
            IpAddr::V4((u32::from(first).saturating_add(1)).into()),
            IpAddr::V4((u32::from(last).saturating_sub(1)).into()),
        ),
        (IpAddr::V6(first), last) => {
            (IpAddr::V6((u128::from(first).saturating_add(1)).into()), last)
        }
        (first, last) => (first, last),
    };
    IpRange { first, last }
}

fn host(text: &str) -> Result<IpAddr, Bad> {
    match values::ip(text)? {
        ip if values::is_never_a_host(ip) => Err(Bad::new(
            format!("{ip} is no address of a host"),
            "a unicast address",
            "write the address of a DNS server such as \"10.1.0.53\"",
        )),
        ip => Ok(ip),
    }
}

fn overlap(tab: &Tab<'_, '_>, name: &str, range: &At<IpRange>, seen: &[(String, At<IpRange>)]) {
    let Some((other, first)) = seen.iter().find(|(_, of)| meet(&of.value, &range.value)) else {
        return;
    };
    let message = match other == name {
        true => format!("address pool `{name}` holds addresses twice"),
        false => format!("address pools `{other}` and `{name}` share addresses"),
    };
    tab.doc
        .error("overlapping-address-pools", &range.span, message)
        .found(tab.doc.snippet(&range.span))
        .expected("addresses that stand in one place only")
        .help("separate the addresses; several sections may name one pool")
        .related(&first.span, "the other is here")
        .emit();
}

/// An address has one owner.
fn taken(scope: &Scope<'_>, tab: &Tab<'_, '_>, name: &str, range: &At<IpRange>, config: &Config) {
    let within = |ip: IpAddr| meet(&range.value, &IpRange { first: ip, last: ip });
    let own = config.interfaces.iter().find(|of| of.addresses.iter().any(|net| within(net.addr())));
    let pool = config.pools.iter().find(|of| meet(&of.addresses, &range.value));
    let vip = config.vips.iter().find(|of| meet(&of.external, &range.value));
    let (what, span): (String, Option<&Span>) = match (own, pool, vip) {
        (Some(of), _, _) => {
            (format!("the address of interface `{}`", of.name), scope.interfaces.span(&of.name))
        }
        (_, Some(of), _) => {
            (format!("addresses of pool `{}`", of.name), scope.pools.span(&of.name))
        }
        (_, _, Some(of)) => (format!("addresses of VIP `{}`", of.name), None),
        (None, None, None) => return,
    };
    let message = format!("address pool `{name}` holds {what}");
    let draft = tab.doc.error("address-pool-takes", &range.span, message);
    let draft = match span {
        Some(span) => draft.related(span, "it is here"),
        None => draft,
    };
    draft
        .found(tab.doc.snippet(&range.span))
        .expected("addresses that nothing else has")
        .help("leave these addresses out: write ranges before and behind them")
        .emit();
}

/// Addresses of a link, whose other hosts would ask for them by ARP or ND.
fn nobody_answers(tab: &Tab<'_, '_>, name: &str, range: &At<IpRange>, config: &Config) {
    let on = |of: &&crate::model::Interface| {
        matches!(of.on, Attachment::Port { .. })
            && of.addresses.iter().any(|net| meet(&range.value, &values::net_range(&net.trunc())))
    };
    if let Some(interface) = config.interfaces.iter().find(on) {
        tab.doc
            .warning(
                "address-pool-on-link",
                &range.span,
                format!("nobody answers ARP or ND for address pool `{name}`"),
            )
            .found(format!("addresses in a subnet of interface `{}`", interface.name))
            .expected("addresses of no link")
            .help("take a prefix of its own, such as \"10.9.0.0/24\", and route it to the gateway")
            .emit();
    }
}
