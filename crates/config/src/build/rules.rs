//! `[[policy]]`, `[[local-in]]`, `[[local-out]]`, `[[central-snat]]`.

use std::collections::BTreeMap;

use super::{
    Scope,
    objects::{Objects, alone_any},
    settings, shadow,
};
use crate::{
    keys::{self, Section},
    model::{
        Action, AddressSet, CentralSnat, Config, LocalRule, Policy, PoolId, SourceNat, Who, ZoneId,
    },
    names::Names,
    read::{At, Span, Tab},
    suggest::nearest,
    values,
};

pub(super) fn policies(
    scope: &Scope<'_>,
    top: &Tab<'_, '_>,
    objects: &Objects<'_>,
    config: &Config,
) -> Vec<Policy> {
    let tabs = top.tables("policy", &keys::POLICY);
    let mut ids: BTreeMap<u32, Span> = BTreeMap::new();
    let mut names = Names::new("policy", "[[policy]]");
    let last = tabs.iter().filter_map(written_id).max().unwrap_or(0);
    let mut policies = Vec::with_capacity(tabs.len());
    for (position, tab) in tabs.iter().enumerate() {
        let id = policy_id(tab, &mut ids, last);
        let name = match tab.value("name", values::name) {
            Some(at) => {
                names.add(scope.doc, &At { value: &at.value, span: at.span }, position);
                at.value
            }
            None => format!("policy-{id}"),
        };
        let policy = Policy {
            id,
            name,
            line: tab.line(),
            enabled: tab.flag("enabled"),
            from: zones(scope, config, tab, "from"),
            to: zones(scope, config, tab, "to"),
            source: objects.addresses(tab, "source", false),
            who: who(tab),
            destination: objects.addresses(tab, "destination", true),
            services: objects.services(tab, "service"),
            schedule: objects.schedule(tab),
            action: action(tab),
            nat: source_nat(scope, tab),
            offload: settings::mode(tab, "offload"),
            mss_clamp: tab.int("mss-clamp").map(|at| at.value as u16),
            log: tab.flag("log"),
        };
        if tab.get("nat").is_some() {
            check_nat(scope, tab, config, &policy);
        }
        families(tab, &policy.source, &policy.destination);
        policies.push(policy);
    }
    // what is in error may match something else than was meant
    if scope.doc.errors() == 0 {
        shadow::check(&tabs, &policies);
    }
    policies
}

fn written_id(tab: &Tab<'_, '_>) -> Option<u32> {
    tab.get("id")?.value.as_integer()?.as_str().parse().ok()
}

fn policy_id(tab: &Tab<'_, '_>, ids: &mut BTreeMap<u32, Span>, last: u32) -> u32 {
    let next = last.saturating_add(1);
    if tab.get("id").is_none() {
        tab.doc
            .error("missing-key", &tab.span, "[[policy]] has no `id`")
            .found("nothing")
            .expected("a number that no other policy has")
            .help(format!("add `id = {next}`"))
            .emit();
    }
    let Some(at) = tab.int("id") else { return 0 };
    let id = at.value as u32;
    if let Some(first) = ids.get(&id) {
        tab.doc
            .error("duplicate-id", &at.span, format!("two policies have the id {id}"))
            .found(id.to_string())
            .expected("a number of its own")
            .help(format!("write `id = {next}`"))
            .related(first, "the first is here")
            .emit();
    }
    ids.entry(id).or_insert(at.span);
    id
}

pub(super) fn local(
    scope: &Scope<'_>,
    top: &Tab<'_, '_>,
    objects: &Objects<'_>,
    key: &str,
    section: &'static Section,
    zone_key: &str,
    config: &Config,
) -> Vec<LocalRule> {
    let tabs = top.tables(key, section);
    let (_, names) = Names::collect(scope.doc, section.path, &tabs);
    tabs.iter()
        .zip(names)
        .map(|(tab, name)| {
            let rule = LocalRule {
                name,
                line: tab.line(),
                enabled: tab.flag("enabled"),
                zones: zones(scope, config, tab, zone_key),
                source: objects.addresses(tab, "source", false),
                destination: objects.addresses(tab, "destination", false),
                services: objects.services(tab, "service"),
                action: action(tab),
                schedule: objects.schedule(tab),
            };
            families(tab, &rule.source, &rule.destination);
            rule
        })
        .collect()
}

pub(super) fn central_snat(
    scope: &Scope<'_>,
    top: &Tab<'_, '_>,
    objects: &Objects<'_>,
    config: &Config,
) -> Vec<CentralSnat> {
    let tabs = top.tables("central-snat", &keys::CENTRAL_SNAT);
    let (_, names) = Names::collect(scope.doc, "central-snat", &tabs);
    tabs.iter()
        .zip(names)
        .map(|(tab, name)| {
            if tab.get("nat").is_none() {
                tab.missing("nat");
            }
            let rule = CentralSnat {
                name,
                line: tab.line(),
                from: zones(scope, config, tab, "from"),
                to: zones(scope, config, tab, "to"),
                source: objects.addresses(tab, "source", false),
                destination: objects.addresses(tab, "destination", true),
                services: objects.services(tab, "service"),
                nat: source_nat(scope, tab),
            };
            families(tab, &rule.source, &rule.destination);
            pool_families(scope, tab, config, &rule.nat, &rule.source, &rule.destination);
            rule
        })
        .collect()
}

/// Zones under a key; empty for any.
fn zones(scope: &Scope<'_>, config: &Config, tab: &Tab<'_, '_>, key: &str) -> Vec<ZoneId> {
    let items = tab.list(key);
    if alone_any(tab, key, &items) {
        return Vec::new();
    }
    let mut zones = Vec::new();
    for item in &items {
        let of_interface =
            scope.interfaces.get(item.value).and_then(|id| config.interfaces.get(id));
        let found = match (scope.zones.get(item.value), of_interface) {
            (Some(zone), _) => Some(zone),
            (None, Some(interface)) => {
                let zone =
                    config.zones.get(usize::from(interface.zone.0)).map_or("", |zone| &zone.name);
                let help = format!("interface `{}` is in zone \"{zone}\": write that", item.value);
                scope.zones.unknown(scope.doc, item, help);
                None
            }
            (None, None) => {
                let help = match nearest(item.value, scope.zones.all()) {
                    Some(near) => format!("did you mean \"{near}\"?"),
                    None => format!("put an interface in it with `zone = \"{}\"`", item.value),
                };
                scope.zones.unknown(scope.doc, item, help);
                None
            }
        };
        let zone = found.map(|zone| ZoneId(zone as u16));
        zones.extend(zone.filter(|zone| !zones.contains(zone)));
    }
    zones
}

/// `users` and `groups`.
fn who(tab: &Tab<'_, '_>) -> Who {
    let mut who = Who::default();
    let items = tab.list("users");
    if !alone_any(tab, "users", &items) {
        for item in &items {
            match item.value {
                "known" => who.known = true,
                _ => {
                    who.users.extend(tab.read("users", item, values::principal).map(|at| at.value))
                }
            }
        }
    }
    let groups = tab.list("groups");
    who.groups.extend(
        groups
            .iter()
            .filter_map(|item| tab.read("groups", item, values::principal))
            .map(|at| at.value),
    );
    for list in [&mut who.users, &mut who.groups] {
        list.sort_unstable();
        list.dedup();
    }
    who
}

fn action(tab: &Tab<'_, '_>) -> Action {
    if tab.get("action").is_none() {
        tab.missing("action");
        return Action::Deny;
    }
    match tab.word("action") {
        "allow" => Action::Allow,
        "reject" => Action::Reject,
        _ => Action::Deny,
    }
}

fn source_nat(scope: &Scope<'_>, tab: &Tab<'_, '_>) -> SourceNat {
    let items = tab.list("nat");
    let mut pools = Vec::new();
    for item in &items {
        match item.value {
            "off" | "interface" if items.len() == 1 => {
                return if item.value == "off" { SourceNat::Off } else { SourceNat::Interface };
            }
            "off" | "interface" => tab
                .doc
                .error(
                    "bad-value",
                    &item.span,
                    format!("`nat`: \"{}\" stands beside others", item.value),
                )
                .found(tab.doc.snippet(&item.span))
                .expected("\"off\" alone, \"interface\" alone, or names of pools")
                .help(format!("remove \"{}\", or the others", item.value))
                .emit(),
            name => {
                let word = nearest(name, ["off", "interface"]);
                let found = match word {
                    _ if scope.address_pools.get(name).is_some()
                        && scope.pools.get(name).is_none() =>
                    {
                        let help = "an [[address-pool]] is for peers; `nat` takes a [[pool]]";
                        scope.pools.unknown(scope.doc, item, help.to_owned());
                        None
                    }
                    Some(word) if scope.pools.get(name).is_none() => {
                        scope.pools.unknown(scope.doc, item, format!("did you mean \"{word}\"?"));
                        None
                    }
                    _ => scope.pools.find(scope.doc, item),
                };
                let pool = found.map(|pool| PoolId(pool as u16));
                pools.extend(pool.filter(|pool| !pools.contains(pool)));
            }
        }
    }
    if pools.is_empty() { SourceNat::Off } else { SourceNat::Pools(pools) }
}

fn check_nat(scope: &Scope<'_>, tab: &Tab<'_, '_>, config: &Config, policy: &Policy) {
    let span = tab.span_of("nat");
    let doc = tab.doc;
    if policy.nat == SourceNat::Off {
        return;
    }
    if let Some(central) = config.central_snat.first() {
        doc.error(
            "nat-beside-central",
            &span,
            format!("policy `{}` has `nat` beside [[central-snat]]", policy.name),
        )
        .found(doc.snippet(&span))
        .expected("source translation in one place")
        .help(format!(
            "remove `nat` here, or move `{}` and its kin into the policies",
            central.name
        ))
        .emit();
        return;
    }
    if policy.action != Action::Allow {
        doc.warning("nat-without-allow", &span, "`nat` of a policy that lets nothing pass")
            .found(doc.snippet(&span))
            .expected("`action = \"allow\"`")
            .help("remove `nat`, or allow the traffic")
            .emit();
    }
    pool_families(scope, tab, config, &policy.nat, &policy.source, &policy.destination);
    interface_families(scope, tab, config, policy);
}

/// Which IP versions a set of addresses can match: IPv4, IPv6.
fn versions(set: &AddressSet) -> [bool; 2] {
    if set.any || set.negate {
        return [true, true];
    }
    [
        set.ranges.iter().any(|range| range.first.is_ipv4()),
        set.ranges.iter().any(|range| range.first.is_ipv6()),
    ]
}

fn both(source: &AddressSet, destination: &AddressSet) -> [bool; 2] {
    let ([s4, s6], [d4, d6]) = (versions(source), versions(destination));
    [s4 && d4, s6 && d6]
}

fn words([v4, v6]: [bool; 2]) -> &'static str {
    match (v4, v6) {
        (true, true) => "IPv4 and IPv6",
        (true, false) => "IPv4",
        (false, true) => "IPv6",
        (false, false) => "no addresses",
    }
}

/// Reports a rule whose source and destination have no IP version in common.
fn families(tab: &Tab<'_, '_>, source: &AddressSet, destination: &AddressSet) {
    let empty = |set: &AddressSet| versions(set) == [false, false];
    if both(source, destination) != [false, false] || empty(source) || empty(destination) {
        return;
    }
    let span = tab.span_of("destination");
    tab.doc
        .error("family-mix", &span, "source and destination are of different IP versions")
        .found(format!("{} to {}", words(versions(source)), words(versions(destination))))
        .expected("one IP version at least in both")
        .help("correct one of them; the rule can match nothing")
        .related(&tab.span_of("source"), "the source is here")
        .emit();
}

/// Reports a rule that none of its pools fits.
fn pool_families(
    scope: &Scope<'_>,
    tab: &Tab<'_, '_>,
    config: &Config,
    nat: &SourceNat,
    source: &AddressSet,
    destination: &AddressSet,
) {
    let SourceNat::Pools(pools) = nat else { return };
    let matched = both(source, destination);
    let v4 = |id: &PoolId| {
        config.pools.get(usize::from(id.0)).map(|pool| pool.addresses.first.is_ipv4())
    };
    let offered =
        [pools.iter().any(|id| v4(id) == Some(true)), pools.iter().any(|id| v4(id) == Some(false))];
    // after an error in a pool the positions say nothing
    let complete = scope.pools.all().count() == config.pools.len();
    let fits = !complete || (matched[0] && offered[0]) || (matched[1] && offered[1]);
    if fits || matched == [false, false] || offered == [false, false] {
        return;
    }
    let span = tab.span_of("nat");
    tab.doc
        .error(
            "pool-family",
            &span,
            format!("the rule matches {}, its pools are {}", words(matched), words(offered)),
        )
        .found(tab.doc.snippet(&span))
        .expected(format!("a pool of {}", words(matched)))
        .help(format!("name a pool of {} addresses, or correct `source`", words(matched)))
        .emit();
}

/// Doubts `nat = "interface"` where no outgoing interface has an address.
fn interface_families(scope: &Scope<'_>, tab: &Tab<'_, '_>, config: &Config, policy: &Policy) {
    if policy.nat != SourceNat::Interface || policy.to.is_empty() {
        return;
    }
    let matched = both(&policy.source, &policy.destination);
    let outgoing = || config.interfaces.iter().filter(|of| policy.to.contains(&of.zone));
    let usable = outgoing().flat_map(|of| &of.addresses).any(|net| match net.addr().is_ipv4() {
        true => matched[0],
        false => matched[1],
    });
    if !usable && matched != [false, false] {
        let span = tab.span_of("nat");
        scope
            .doc
            .warning(
                "nat-without-address",
                &span,
                "no outgoing interface has an address to translate to",
            )
            .found(tab.doc.snippet(&span))
            .expected(format!("an interface with an address of {}", words(matched)))
            .help("give the outgoing interface an address, or name a pool")
            .emit();
    }
}
