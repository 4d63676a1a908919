//! What differs between two configurations, object by object, and which parts of a gateway that
//! touches.
//!
//! Objects are compared by what they mean: names instead of indices, resolved addresses beside the
//! names of address objects. Lines and comments make no difference; order does where it counts
//! (rules) or where indices follow from it (ports, interfaces, pools).
//!
//! Limits: address, service and schedule objects show only through the rules that use them.

mod fields;

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::model::{Config, Line};
use fields::{Item, List, lists};

/// All differences, in the order of the sections.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ConfigDiff {
    /// One for each object that differs.
    pub changes: Vec<Change>,
}

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    /// Only the new configuration has it.
    Added,
    /// Only the old configuration has it.
    Removed,
    /// Some of its fields differ.
    Changed,
    /// Only its place in the order differs.
    Moved,
}

/// A difference of one object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The section it is in, such as `policy`.
    pub section: &'static str,
    /// How it is known; empty for sections that exist once.
    pub name: String,
    /// What happened.
    pub kind: ChangeKind,
    /// Line of the old configuration; absent where there is none.
    pub old_line: Option<u32>,
    /// Line of the new configuration; absent where there is none.
    pub new_line: Option<u32>,
    /// The fields that differ; all that are set for what was added or removed.
    pub fields: Vec<FieldChange>,
}

/// A difference of one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldChange {
    /// Name of the key; `(resolved)` is appended for what stands behind names.
    pub field: &'static str,
    /// Old value; absent where there was none.
    pub old: Option<String>,
    /// New value; absent where there is none.
    pub new: Option<String>,
}

/// Which parts of a gateway a difference touches; tells which epochs to bump.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Touches {
    /// Policies, local-in and local-out rules.
    pub policies: bool,
    /// Static and connected routes, virtual routers.
    pub routes: bool,
    /// VIPs, pools, central source NAT, `nat` of policies.
    pub nat: bool,
    /// Interfaces and zones.
    pub interfaces: bool,
    /// Static neighbours.
    pub neighbours: bool,
    /// What the engine stands for.
    pub engine: bool,
    /// Any offload switch or setting.
    pub offload: bool,
    /// Session timeouts.
    pub timeouts: bool,
    /// Bounds of tables, queues and rates.
    pub limits: bool,
    /// Rate sensors.
    pub anomaly: bool,
    /// Tunnels.
    pub tunnels: bool,
    /// Address pools.
    pub address_pools: bool,
    /// Ports.
    pub ports: bool,
    /// Host name, control socket, metrics, switches for finding faults.
    pub control: bool,
}

impl Touches {
    /// Whether anything is touched.
    pub fn any(&self) -> bool {
        *self != Self::default()
    }
}

/// Compares two configurations.
pub fn diff(old: &Config, new: &Config) -> ConfigDiff {
    let mut changes = Vec::new();
    for (old, new) in lists(old).iter().zip(&lists(new)) {
        compare(old, new, &mut changes);
    }
    ConfigDiff { changes }
}

impl ConfigDiff {
    /// Whether the two mean the same.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// The differences, in the order of the sections.
    pub fn iter(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter()
    }

    /// Which parts of a gateway the differences touch.
    pub fn touches(&self) -> Touches {
        let mut touches = Touches::default();
        for change in &self.changes {
            change.touch(&mut touches);
        }
        touches
    }
}

impl Change {
    fn touch(&self, touches: &mut Touches) {
        let whole = self.kind != ChangeKind::Changed;
        let has = |name: &str| self.fields.iter().any(|field| field.field == name);
        let only = |name: &str| !whole && self.fields.iter().all(|field| field.field == name);
        match self.section {
            "hostname" | "control" | "debug" => touches.control = true,
            "port" => touches.ports = true,
            "phase1" | "ipsec" | "gre" | "vxlan" | "remote-access" => touches.tunnels = true,
            "virtual-router" => {
                touches.routes |= whole || !only("offload");
                touches.interfaces |= whole || !only("offload");
                touches.offload |= whole || has("offload");
            }
            "interface" => {
                touches.interfaces = true;
                touches.routes |= whole
                    || ["address", "virtual-router", "enabled", ORDER].iter().any(|name| has(name));
            }
            "route" => touches.routes = true,
            "policy" => {
                touches.policies |= !only("offload");
                touches.offload |= has("offload");
                touches.nat |= has("nat");
            }
            "local-in" | "local-out" => touches.policies = true,
            "vip" | "pool" | "central-snat" => touches.nat = true,
            "address-pool" => touches.address_pools = true,
            "neighbour" => touches.neighbours = true,
            "timeouts" => touches.timeouts = true,
            "engine" => touches.engine = true,
            "offload" => touches.offload = true,
            "limits" => touches.limits = true,
            _ => touches.anomaly = true,
        }
    }
}

/// The field that stands for the place among others.
const ORDER: &str = "order";

fn compare(old: &List, new: &List, changes: &mut Vec<Change>) {
    let olds: BTreeMap<&str, &Item> =
        old.items.iter().map(|item| (item.key.as_str(), item)).collect();
    let news: BTreeSet<&str> = new.items.iter().map(|item| item.key.as_str()).collect();
    let moved = if new.ordered { moved(old, new) } else { BTreeSet::new() };
    let section = new.section;
    let line = |item: &Item| Some(item.line).filter(|line| *line != Line(0)).map(|line| line.0);
    for item in old.items.iter().filter(|item| !news.contains(item.key.as_str())) {
        let fields = set(item).map(|(field, old)| FieldChange { field, old: Some(old), new: None });
        changes.push(Change {
            section,
            name: item.name.clone(),
            kind: ChangeKind::Removed,
            old_line: line(item),
            new_line: None,
            fields: fields.collect(),
        });
    }
    for item in &new.items {
        let Some(before) = olds.get(item.key.as_str()) else {
            let fields =
                set(item).map(|(field, new)| FieldChange { field, old: None, new: Some(new) });
            changes.push(Change {
                section,
                name: item.name.clone(),
                kind: ChangeKind::Added,
                old_line: None,
                new_line: line(item),
                fields: fields.collect(),
            });
            continue;
        };
        let mut fields = differing(before, item);
        let mut kind = ChangeKind::Changed;
        if moved.contains(item.key.as_str()) {
            if fields.is_empty() {
                kind = ChangeKind::Moved;
            }
            fields.push(FieldChange {
                field: ORDER,
                old: Some(old.place(&item.key)),
                new: Some(new.place(&item.key)),
            });
        }
        if !fields.is_empty() {
            let (old_line, new_line) = (line(before), line(item));
            changes.push(Change {
                section,
                name: item.name.clone(),
                kind,
                old_line,
                new_line,
                fields,
            });
        }
    }
}

/// The fields of an object that are set, without what stands behind names.
fn set(item: &Item) -> impl Iterator<Item = (&'static str, String)> + '_ {
    let shown =
        |(field, value): &&(&'static str, String)| !value.is_empty() && !field.ends_with(')');
    item.fields.iter().filter(shown).cloned()
}

fn differing(old: &Item, new: &Item) -> Vec<FieldChange> {
    let some = |value: &String| Some(value.clone()).filter(|value| !value.is_empty());
    let fields = old
        .fields
        .iter()
        .zip(&new.fields)
        .filter(|((_, old), (_, new))| old != new)
        .map(|((field, old), (_, new))| FieldChange { field, old: some(old), new: some(new) });
    let secrets =
        old.secrets.iter().zip(&new.secrets).filter(|((_, old), (_, new))| old != new).map(
            |((field, _), _)| FieldChange {
                field,
                old: Some("(secret)".to_owned()),
                new: Some("(another secret)".to_owned()),
            },
        );
    fields.chain(secrets).collect()
}

/// Keys of both lists that are out of the longest run that kept its order.
fn moved<'a>(old: &List, new: &'a List) -> BTreeSet<&'a str> {
    let places: BTreeMap<&str, usize> =
        old.items.iter().enumerate().map(|(place, item)| (item.key.as_str(), place)).collect();
    let common: Vec<(usize, &str)> = new
        .items
        .iter()
        .filter_map(|item| Some((*places.get(item.key.as_str())?, item.key.as_str())))
        .collect();
    // patience sorting: `tails[n]` is where the best run of n + 1 members ends
    let mut tails: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = vec![None; common.len()];
    let place = |at: usize| common.get(at).map(|(place, _)| *place);
    for at in 0..common.len() {
        let length = tails.partition_point(|tail| place(*tail) < place(at));
        if let Some(slot) = before.get_mut(at) {
            *slot = length.checked_sub(1).and_then(|last| tails.get(last)).copied();
        }
        match tails.get_mut(length) {
            Some(tail) => *tail = at,
            None => tails.push(at),
        }
    }
    let mut moved: BTreeSet<&str> = common.iter().map(|(_, key)| *key).collect();
    let mut next = tails.last().copied();
    while let Some(at) = next {
        if let Some((_, key)) = common.get(at) {
            moved.remove(key);
        }
        next = before.get(at).copied().flatten();
    }
    moved
}

/// Longest value that the text form shows, in characters.
const SHOWN: usize = 100;

fn shown(value: Option<&String>) -> String {
    let Some(value) = value else {
        return "(none)".to_owned();
    };
    match value.char_indices().nth(SHOWN) {
        Some((cut, _)) => format!("{}…", value.get(..cut).unwrap_or_default()),
        None => value.clone(),
    }
}

impl fmt::Display for ConfigDiff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return writeln!(f, "no difference");
        }
        self.changes.iter().try_for_each(|change| change.fmt(f))
    }
}

/// `+ policy 12 lan-out (line 40)`, with a line for each field.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.kind {
            ChangeKind::Added => '+',
            ChangeKind::Removed => '-',
            ChangeKind::Changed | ChangeKind::Moved => '~',
        };
        write!(f, "{mark} {}", self.section)?;
        if !self.name.is_empty() {
            write!(f, " {}", self.name)?;
        }
        if let Some(line) = self.new_line.or(self.old_line) {
            write!(f, " (line {line})")?;
        }
        writeln!(f)?;
        for FieldChange { field, old, new } in &self.fields {
            let (old, new) = (old.as_ref(), new.as_ref());
            match self.kind {
                ChangeKind::Added => writeln!(f, "    {field}: {}", shown(new))?,
                ChangeKind::Removed => writeln!(f, "    {field}: {}", shown(old))?,
                ChangeKind::Changed | ChangeKind::Moved => {
                    writeln!(f, "    {field}: {} → {}", shown(old), shown(new))?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
