//! `[objects]`: addresses, services and schedules behind their names.

use std::{collections::BTreeMap, sync::Arc};

use toml::de::DeValue;
use toml::value::Datetime;

use super::Scope;
use crate::{
    keys,
    model::{AddressSet, IpRange, Schedule, ScheduleKind, Service, ServiceSet, Vip},
    names::Names,
    read::{At, Doc, Span, Tab, Val},
    services::{self, PREDEFINED},
    suggest::{listed, nearest},
    values::{self, Bad},
};

/// How deep objects may name one another.
const DEPTH: usize = 32;

/// An object as written: its members, and what they stand for once resolved.
struct Entry<'d, T> {
    name: At<&'d str>,
    members: Vec<At<&'d str>>,
    resolved: Option<Vec<T>>,
    busy: bool,
}

type Entries<'d, T> = BTreeMap<&'d str, Entry<'d, T>>;

/// Everything that rules refer to by name.
pub(super) struct Objects<'d> {
    doc: &'d Doc<'d>,
    addresses: Entries<'d, IpRange>,
    services: Entries<'d, Service>,
    schedules: BTreeMap<&'d str, Arc<Schedule>>,
    vips: BTreeMap<String, IpRange>,
}

impl<'d> Objects<'d> {
    pub fn read(scope: &Scope<'d>, top: &Tab<'d, '_>, vip_names: &Names, vips: &[Vip]) -> Self {
        let doc = scope.doc;
        let mut objects = Self {
            doc,
            addresses: BTreeMap::new(),
            services: BTreeMap::new(),
            schedules: BTreeMap::new(),
            vips: vips.iter().map(|vip| (vip.name.clone(), vip.mapped)).collect(),
        };
        let Some(tab) = top.table("objects", &keys::OBJECTS) else {
            return objects;
        };
        objects.addresses = entries(&tab, "address", is_address);
        objects.services = entries(&tab, "service", services::is_literal);
        for entry in objects.addresses.values() {
            if let Some(other) = vip_names.span(entry.name.value) {
                duplicate(
                    doc,
                    &entry.name,
                    other,
                    "a VIP has the name, too; both may stand in `destination`",
                );
            }
        }
        resolve_all(doc, &mut objects.addresses, "address object", &|text| {
            is_address(text).then(|| values::range(text).map(|range| vec![range]))
        });
        resolve_all(doc, &mut objects.services, "service", &|text| match predefined(text) {
            Some(services) => Some(Ok(services)),
            None => services::is_literal(text).then(|| services::literal(text).map(|s| vec![s])),
        });
        for (name, val) in tab.entries("schedule") {
            let DeValue::Table(table) = val.value else {
                mistyped(
                    doc,
                    &val,
                    &name,
                    "a table of `days`, `from`, `to`, `utc-offset`",
                    "{ days = \"mon-fri\" }",
                );
                continue;
            };
            let inner = Tab::new(doc, &keys::SCHEDULE, table, val.span.clone());
            check_name(&tab, &name, |_| false);
            if let Some(schedule) = schedule(&inner, &name) {
                objects.schedules.insert(name.value, Arc::new(schedule));
            }
        }
        objects
    }

    /// The addresses under `key`; everything where the key is absent. `vips` lets names of VIPs in.
    pub fn addresses(&self, tab: &Tab<'_, '_>, key: &str, vips: bool) -> AddressSet {
        let negate = tab.flag(&format!("{key}-negate"));
        let items = tab.list(key);
        let any = alone_any(tab, key, &items);
        if any && negate {
            let span = tab.span_of(&format!("{key}-negate"));
            self.doc
                .error("matches-nothing", &span, "everything but any address is nothing")
                .found(self.doc.snippet(&span))
                .expected(format!("`{key}` with addresses to leave out"))
                .help(format!("remove `{key}-negate`, or name addresses in `{key}`"))
                .emit();
        }
        if any {
            return AddressSet {
                names: vec!["any".to_owned()],
                ranges: Vec::new(),
                any,
                negate: false,
            };
        }
        let mut set = AddressSet { negate, ..AddressSet::default() };
        for item in &items {
            set.names.push(item.value.to_owned());
            if let Some(entry) = self.addresses.get(item.value) {
                set.ranges.extend(entry.resolved.iter().flatten());
            } else if let Some(mapped) = self.vips.get(item.value).filter(|_| vips) {
                set.ranges.push(*mapped);
            } else if is_address(item.value) {
                set.ranges.extend(tab.read(key, item, values::range).map(|at| at.value));
            } else {
                let vip_names = self.vips.keys().map(String::as_str).filter(|_| vips);
                let known: Vec<&str> = self.addresses.keys().copied().chain(vip_names).collect();
                let misplaced = !vips && self.vips.contains_key(item.value);
                let help = misplaced
                    .then(|| "a VIP can only stand in `destination` of a policy".to_owned());
                self.unknown("address object", item, &known, help);
            }
        }
        set.ranges = merged(set.ranges);
        set
    }

    /// The services under `key`; everything where the key is absent.
    pub fn services(&self, tab: &Tab<'_, '_>, key: &str) -> ServiceSet {
        let items = tab.list(key);
        if alone_any(tab, key, &items) {
            return ServiceSet { names: vec!["any".to_owned()], services: Vec::new(), any: true };
        }
        let mut set = ServiceSet::default();
        for item in &items {
            set.names.push(item.value.to_owned());
            if let Some(entry) = self.services.get(item.value) {
                set.services.extend(entry.resolved.iter().flatten().cloned());
            } else if let Some(services) = predefined(item.value) {
                set.services.extend(services);
            } else if services::is_literal(item.value) {
                set.services.extend(tab.read(key, item, services::literal).map(|at| at.value));
            } else {
                let builtin = PREDEFINED.iter().map(|(name, _)| *name);
                let known: Vec<&str> = self.services.keys().copied().chain(builtin).collect();
                self.unknown("service", item, &known, None);
            }
        }
        let order = |s: &Service| {
            let (src, dst) = (&s.src_ports, &s.dst_ports);
            (s.proto, *dst.start(), *dst.end(), *src.start(), *src.end())
        };
        set.services.sort_by_key(order);
        set.services.dedup();
        set
    }

    /// The schedule that a rule names.
    pub fn schedule(&self, tab: &Tab<'_, '_>) -> Option<Arc<Schedule>> {
        let at = tab.text("schedule")?;
        if at.value == "always" {
            return None;
        }
        let found = self.schedules.get(at.value).cloned();
        if found.is_none() {
            let known: Vec<&str> = self.schedules.keys().copied().collect();
            self.unknown("schedule", &at, &known, None);
        }
        found
    }

    fn unknown(&self, what: &str, at: &At<&str>, known: &[&str], help: Option<String>) {
        unknown(self.doc, what, at, known, help);
    }
}

fn unknown(doc: &Doc<'_>, what: &str, at: &At<&str>, known: &[&str], help: Option<String>) {
    let section = match what {
        "service" => "objects.service",
        "schedule" => "objects.schedule",
        _ => "objects.address",
    };
    let help = help.unwrap_or_else(|| match nearest(at.value, known.iter().copied()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("add `{}` to [{section}]", at.value),
    });
    doc.error("unknown-name", &at.span, format!("there is no {what} `{}`", at.value))
        .found(doc.snippet(&at.span))
        .expected(match known.is_empty() {
            true => format!("{}; none is configured", crate::read::article(what)),
            false => format!("one of {}, or written out", listed(known.iter().copied())),
        })
        .help(help)
        .emit();
}

fn predefined(name: &str) -> Option<Vec<Service>> {
    let (_, texts) = PREDEFINED.iter().find(|(known, _)| *known == name)?;
    Some(texts.iter().filter_map(|text| services::literal(text).ok()).collect())
}

/// Whether a text is written as an address rather than as a name.
fn is_address(text: &str) -> bool {
    text.contains(['/', ':'])
        || (text.contains('.')
            && text.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | '-' | ' ')))
}

/// Whether the list means everything: absent, or "any" alone.
pub(super) fn alone_any(tab: &Tab<'_, '_>, key: &str, items: &[At<&str>]) -> bool {
    if tab.get(key).is_none() {
        return true;
    }
    let Some(any) = items.iter().find(|item| matches!(item.value, "any" | "all")) else {
        return false;
    };
    if any.value == "all" || items.len() > 1 {
        let (message, help) = match any.value {
            "all" => (
                format!("`{key}`: everything is written \"any\""),
                format!("write `{key} = \"any\"`"),
            ),
            _ => (
                format!("`{key}`: \"any\" stands beside others"),
                "remove \"any\", or the others".to_owned(),
            ),
        };
        tab.doc
            .error("bad-value", &any.span, message)
            .found(tab.doc.snippet(&any.span))
            .expected("\"any\" alone, or names")
            .help(help)
            .emit();
    }
    true
}

fn entries<'d, T>(tab: &Tab<'d, '_>, key: &str, is_literal: fn(&str) -> bool) -> Entries<'d, T> {
    let mut entries = Entries::new();
    for (name, val) in tab.entries(key) {
        check_name(tab, &name, is_literal);
        let members = match val.value {
            DeValue::String(text) => vec![At { value: text.as_ref(), span: val.span.clone() }],
            DeValue::Array(items) if !items.is_empty() => items
                .iter()
                .filter_map(|item| match item.get_ref() {
                    DeValue::String(text) => Some(At { value: text.as_ref(), span: item.span() }),
                    other => {
                        let val = Val { key: val.key, value: other, span: item.span() };
                        mistyped(tab.doc, &val, &name, "text, or a list of texts", "[\"…\"]");
                        None
                    }
                })
                .collect(),
            _ => {
                mistyped(
                    tab.doc,
                    &val,
                    &name,
                    "text, or a list of texts that is not empty",
                    "[\"…\"]",
                );
                Vec::new()
            }
        };
        entries.insert(name.value, Entry { name, members, resolved: None, busy: false });
    }
    entries
}

fn mistyped(doc: &Doc<'_>, val: &Val<'_, '_>, name: &At<&str>, expected: &str, example: &str) {
    doc.error("wrong-type", &val.span, format!("object `{}` is not what it should be", name.value))
        .found(format!("{} {}", crate::read::article(val.value.type_str()), doc.snippet(&val.span)))
        .expected(expected)
        .help(format!("write `{} = {example}`", name.value))
        .emit();
}

fn check_name(tab: &Tab<'_, '_>, name: &At<&str>, is_literal: fn(&str) -> bool) {
    if let Err(bad) = values::name(name.value) {
        tab.doc
            .error("bad-value", &name.span, format!("`{}` is not a name", name.value))
            .found(tab.doc.snippet(&name.span))
            .expected(bad.expected)
            .help(bad.help)
            .emit();
    } else if is_literal(name.value) || matches!(name.value, "any" | "all" | "none" | "always") {
        tab.doc
            .error(
                "reserved-name",
                &name.span,
                format!("`{}` means something of its own", name.value),
            )
            .found(tab.doc.snippet(&name.span))
            .expected("a name that cannot be read as a value")
            .help(format!("choose another name, such as \"my-{}\"", name.value))
            .emit();
    }
}

fn duplicate(doc: &Doc<'_>, name: &At<&str>, other: &Span, remark: &str) {
    doc.error("duplicate-name", &name.span, format!("two objects are named `{}`", name.value))
        .found(doc.snippet(&name.span))
        .expected("a name of its own")
        .help("rename one of them")
        .related(other, remark)
        .emit();
}

type Literal<'f, T> = &'f dyn Fn(&str) -> Option<Result<Vec<T>, Bad>>;

fn resolve_all<T: Clone + PartialEq>(
    doc: &Doc<'_>,
    entries: &mut Entries<'_, T>,
    what: &str,
    literal: Literal<'_, T>,
) {
    let names: Vec<&str> = entries.keys().copied().collect();
    for name in names {
        resolve(doc, entries, name, what, literal, 0);
    }
}

fn resolve<T: Clone + PartialEq>(
    doc: &Doc<'_>,
    entries: &mut Entries<'_, T>,
    name: &str,
    what: &str,
    literal: Literal<'_, T>,
    depth: usize,
) -> Vec<T> {
    let Some(entry) = entries.get_mut(name) else {
        return Vec::new();
    };
    if let Some(resolved) = &entry.resolved {
        return resolved.clone();
    }
    entry.busy = true;
    let members = core::mem::take(&mut entry.members);
    let mut all: Vec<T> = Vec::new();
    for member in &members {
        let busy = entries.get(member.value).map(|entry| (entry.busy, entry.name.span.clone()));
        let found = match busy {
            Some((true, span)) => {
                doc.error("object-cycle", &member.span, format!("{what} `{name}` contains itself"))
                    .found(doc.snippet(&member.span))
                    .expected("an object that does not lead back here")
                    .help(format!("remove \"{}\" from `{name}`", member.value))
                    .related(&span, "the circle begins here")
                    .emit();
                continue;
            }
            Some(_) if depth >= DEPTH => {
                doc.error("too-deep", &member.span, format!("{what}s name one another too deeply"))
                    .found(doc.snippet(&member.span))
                    .expected(format!("at most {DEPTH} levels"))
                    .help("name the members directly")
                    .emit();
                continue;
            }
            Some(_) => resolve(doc, entries, member.value, what, literal, depth + 1),
            None => match literal(member.value) {
                Some(Ok(found)) => found,
                Some(Err(bad)) => {
                    doc.error("bad-value", &member.span, format!("`{name}`: {}", bad.message))
                        .found(doc.snippet(&member.span))
                        .expected(bad.expected)
                        .help(bad.help)
                        .emit();
                    continue;
                }
                None => {
                    let mut known: Vec<&str> = entries.keys().copied().collect();
                    if what == "service" {
                        known.extend(PREDEFINED.iter().map(|(name, _)| *name));
                    }
                    unknown(doc, what, member, &known, None);
                    continue;
                }
            },
        };
        all.extend(found);
    }
    if let Some(entry) = entries.get_mut(name) {
        entry.busy = false;
        entry.resolved = Some(all.clone());
    }
    all
}

/// Sorted ranges without overlap; neighbours are joined.
fn merged(mut ranges: Vec<IpRange>) -> Vec<IpRange> {
    ranges.sort_unstable();
    let mut out: Vec<IpRange> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match out.last_mut() {
            Some(last)
                if last.first.is_ipv4() == range.first.is_ipv4()
                    && number(range.first) <= number(last.last).saturating_add(1) =>
            {
                last.last = last.last.max(range.last);
            }
            _ => out.push(range),
        }
    }
    out
}

/// An address as a number, comparable within one IP version.
pub(super) fn number(ip: core::net::IpAddr) -> u128 {
    match ip {
        core::net::IpAddr::V4(ip) => u128::from(u32::from(ip)),
        core::net::IpAddr::V6(ip) => u128::from(ip),
    }
}

/// Time of day in minutes, or a point in seconds since 1970 with whether it named its offset.
enum When {
    Daily(u16),
    Point { seconds: i64, zoned: bool },
}

fn schedule(tab: &Tab<'_, '_>, name: &At<&str>) -> Option<Schedule> {
    let doc = tab.doc;
    let offset = tab.value("utc-offset", values::utc_offset).map_or(0, |at| at.value);
    let from = when(tab, "from");
    let to = when(tab, "to");
    let days = days(tab);
    let kind = match (from, to) {
        (Ok(from @ (None | Some(When::Daily(_)))), Ok(to @ (None | Some(When::Daily(_))))) => {
            let minute = |when, otherwise| match when {
                Some(When::Daily(minute)) => minute,
                _ => otherwise,
            };
            let (from, to) = (minute(from, 0), minute(to, 1440));
            if from == to || from == 1440 {
                let span = tab.span_of("from");
                doc.error("bad-schedule", &span, "the schedule begins when it ends")
                    .found(doc.snippet(&span))
                    .expected("two different times from 00:00 to 23:59")
                    .help("leave `from` and `to` out for whole days")
                    .emit();
            }
            ScheduleKind::Recurring { days, from, to }
        }
        (Ok(Some(from @ When::Point { .. })), Ok(Some(to @ When::Point { .. }))) => {
            let utc = |when: &When| match when {
                When::Point { seconds, zoned: true } => *seconds,
                When::Point { seconds, zoned: false } => seconds - i64::from(offset) * 60,
                When::Daily(_) => 0,
            };
            let (from, to) = (utc(&from), utc(&to));
            if to <= from {
                let span = tab.span_of("to");
                doc.error("bad-schedule", &span, "the schedule ends before it begins")
                    .found(doc.snippet(&span))
                    .expected("a time after `from`")
                    .help("swap `from` and `to`")
                    .emit();
            }
            if tab.get("days").is_some() {
                super::network::unfitting(tab, "days", "dates in `from` and `to`");
            }
            ScheduleKind::Once { from, to }
        }
        (Ok(_), Ok(_)) => {
            doc.error(
                "bad-schedule",
                &tab.span,
                format!("schedule `{}` mixes times of day and dates", name.value),
            )
            .found("a time of day and a date")
            .expected("two times of day, or two dates")
            .help("write both `from` and `to` as \"08:00\", or both as 2026-05-01T08:00:00")
            .emit();
            return None;
        }
        _ => return None,
    };
    Some(Schedule {
        name: name.value.to_owned(),
        line: doc.line(name.span.start),
        kind,
        utc_offset_minutes: offset,
    })
}

/// Names of the weekdays, Monday first.
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

fn days(tab: &Tab<'_, '_>) -> u8 {
    let day = |text: &str| {
        DAYS.iter().position(|day| *day == text.trim()).ok_or_else(|| {
            let help = match nearest(text, DAYS) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => "write days as \"mon\", runs as \"mon-fri\"".to_owned(),
            };
            Bad::new(
                format!("\"{text}\" is not a weekday"),
                format!("one of {}", listed(DAYS)),
                help,
            )
        })
    };
    let run = |text: &str| match text.split_once('-') {
        Some((first, last)) => Ok((day(first)?, day(last)?)),
        None => day(text).map(|day| (day, day)),
    };
    let mut bits = 0;
    for item in tab.list("days") {
        let Some(at) = tab.read("days", &item, run) else {
            continue;
        };
        let (mut at, last) = at.value;
        bits |= 1 << at;
        while at != last {
            at = (at + 1) % 7;
            bits |= 1 << at;
        }
    }
    if tab.get("days").is_none() { 0x7f } else { bits }
}

fn when(tab: &Tab<'_, '_>, key: &str) -> Result<Option<When>, ()> {
    let Some(val) = tab.get(key) else {
        return Ok(None);
    };
    let read = match val.value {
        DeValue::String(text) => match values::time_of_day(text) {
            Ok(minute) => Some(When::Daily(minute)),
            Err(_) => text.parse::<Datetime>().ok().as_ref().and_then(point),
        },
        DeValue::Datetime(datetime) => point(datetime),
        _ => None,
    };
    if read.is_none() {
        tab.mistyped(&val);
    }
    read.map(Some).ok_or(())
}

fn point(datetime: &Datetime) -> Option<When> {
    let time = datetime.time;
    let (hour, minute) = time.map_or((0, 0), |time| (time.hour, time.minute));
    let minutes = u16::from(hour) * 60 + u16::from(minute);
    let Some(date) = datetime.date else {
        return Some(When::Daily(minutes));
    };
    let days = values::days_since_epoch(date.year.into(), date.month.into(), date.day.into());
    let second = time.and_then(|time| time.second).unwrap_or(0);
    let east = match datetime.offset {
        Some(toml::value::Offset::Custom { minutes }) => Some(i64::from(minutes)),
        Some(toml::value::Offset::Z) => Some(0),
        None => None,
    };
    let local = days * 86_400 + i64::from(minutes) * 60 + i64::from(second);
    Some(When::Point { seconds: local - east.unwrap_or(0) * 60, zoned: east.is_some() })
}
