//! All counters of a gateway as one flat map, and assertions that name every change.
//!
//! Names are paths: `drop.policy-deny`, `engine.hits`, `port.lan0.rx-packets`,
//! `ledger.hitting`. Gauges are in it too, so changes can be negative. Bytes, bursts and
//! memory are left out: they follow from what was sent, or say nothing about a packet.
//!
//! [`expect_changes!`](crate::expect_changes) compares everything: a change that is not named fails the
//! test, and so does a named one that did not happen.

use std::{
    collections::BTreeMap,
    fmt::{self, Write},
};

use node::Node;
use offload::ledger::Kind;
use reason::{DemotionReason, DropReason, NotEligible, PuntCause, Reason, RefusalReason};

/// Every counter of a gateway at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot(BTreeMap<String, u64>);

impl Snapshot {
    /// The counters of a node, now.
    pub fn of(node: &Node) -> Self {
        let mut all = Self::default();
        all.slow_path(node);
        all.tables(node);
        all.engine(node);
        all.ledger(node);
        all.ports(node);
        all
    }

    /// One counter; zero when there is none of that name.
    pub fn get(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// The sum of all counters whose names begin so.
    pub fn sum(&self, prefix: &str) -> u64 {
        self.0.iter().filter(|(name, _)| name.starts_with(prefix)).map(|(_, value)| value).sum()
    }

    /// All counters, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(name, value)| (name.as_str(), *value))
    }

    /// What changed since `before`, by name.
    pub fn changes_since(&self, before: &Self) -> BTreeMap<String, i64> {
        let names = self.0.keys().chain(before.0.keys());
        names
            .map(|name| (name.clone(), self.get(name).wrapping_sub(before.get(name)) as i64))
            .filter(|(_, change)| *change != 0)
            .collect()
    }

    pub(crate) fn insert(&mut self, name: impl Into<String>, value: u64) {
        self.0.insert(name.into(), value);
    }

    fn reasons<R: Reason>(&mut self, group: &str, value: impl Fn(R) -> u64) {
        for reason in R::ALL {
            self.insert(format!("{group}.{reason}"), value(*reason));
        }
    }

    fn slow_path(&mut self, node: &Node) {
        let gateway = node.gateway();
        let counters = gateway.counters();
        let by_engine = gateway.engine().engine_stats().drops;
        self.reasons::<DropReason>("drop", |reason| {
            counters.dropped(reason) + by_engine.get(reason.index()).copied().unwrap_or(0)
        });
        for (interface, count) in gateway.config().interfaces.iter().zip(&counters.interface_drops)
        {
            self.insert(format!("interface.{}.dropped", interface.name), *count);
        }
        for (name, value) in [
            ("slow.established", counters.established.packets),
            ("slow.setup", counters.setup.packets),
            ("slow.sent", counters.sent.packets),
            ("slow.delivered", counters.delivered.packets),
            ("slow.originated", counters.originated.packets),
            ("session.created", counters.sessions_created),
            ("session.ended", counters.sessions_ended),
            ("session.reevaluated", counters.reevaluated),
            ("icmp.errors", counters.icmp_errors_sent),
            ("icmp.limited", counters.icmp_errors_limited),
            ("tcp.resets", counters.resets_sent),
            ("tcp.mss-clamped", counters.mss_clamped),
            ("neighbour.solicitations", counters.solicitations_sent),
            ("neighbour.advertisements", counters.advertisements_sent),
            ("fragment.made", counters.fragments_made),
            ("fragment.reassembled", counters.reassembled),
            ("audit.repaired", counters.drift_repaired),
        ] {
            self.insert(name, value);
        }
    }

    fn tables(&mut self, node: &Node) {
        let sessions = node.gateway().sessions().gauges();
        for (kind, count) in gateway::session::Kind::ALL.iter().zip(sessions.kinds) {
            self.insert(format!("sessions.{}", kind.name()), u64::from(count));
        }
        self.insert("sessions.half-open", u64::from(sessions.half_open));
        self.insert("sessions.ending", u64::from(sessions.ending));
        self.insert("frames.in-use", node.frames().in_use() as u64);
        self.insert("frames.exhausted", node.frames().exhausted());
    }

    fn engine(&mut self, node: &Node) {
        let stats = node.gateway().engine().engine_stats();
        for (name, value) in [
            ("engine.flows", stats.flows),
            ("engine.adjacencies", stats.adjacencies),
            ("engine.retiring", stats.retiring),
            ("engine.hits", stats.hits),
            ("engine.misses", stats.misses),
            ("engine.forwarded", stats.forwarded_packets),
            ("engine.installed", stats.installed),
            ("engine.removed", stats.removed),
            ("engine.evicted", stats.evicted),
            ("engine.punt-depth", stats.punt_depth),
        ] {
            self.insert(name, value);
        }
        let at = |values: &[u64], i: usize| values.get(i).copied().unwrap_or(0);
        self.reasons::<RefusalReason>("engine.refused", |r| at(&stats.refusals, r.index()));
        self.reasons::<PuntCause>("punt", |c| at(&stats.punts, c.index()));
        self.reasons::<PuntCause>("punt-ring-full", |c| at(&stats.punt_ring_full, c.index()));
        self.reasons::<PuntCause>("punt-limited", |c| at(&stats.punt_limited, c.index()));
    }

    fn ledger(&mut self, node: &Node) {
        let gateway = node.gateway();
        let ledger = gateway.ledger();
        for kind in Kind::ALL {
            self.insert(format!("ledger.{}", kind.name()), ledger.directions(kind));
        }
        self.reasons::<NotEligible>("not-eligible", |reason| ledger.held_back(reason));
        self.reasons::<RefusalReason>("refused", |reason| ledger.refused_now(reason));
        self.reasons::<DemotionReason>("demoted", |reason| ledger.demotions(reason));
    }

    fn ports(&mut self, node: &Node) {
        for (index, config) in node.gateway().config().ports.iter().enumerate() {
            let counters = node.port_counters(index);
            for (name, value) in [
                ("rx-packets", counters.rx_packets),
                ("rx-dropped", counters.rx_dropped),
                ("rx-errors", counters.rx_errors),
                ("rx-super", counters.rx_super),
                ("tx-packets", counters.tx_packets),
                ("tx-dropped", counters.tx_dropped),
                ("tx-errors", counters.tx_errors),
                ("tx-super", counters.tx_super),
            ] {
                self.insert(format!("port.{}.{name}", config.name), value);
            }
        }
    }
}

/// The counters that are not zero, one a line.
impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in self.iter().filter(|(_, value)| *value != 0) {
            writeln!(f, "  {name:<44} {value}")?;
        }
        Ok(())
    }
}

/// Compares all changes with the named ones.
///
/// # Errors
/// A table of what differs.
pub fn compare(before: &Snapshot, after: &Snapshot, named: &[(&str, i64)]) -> Result<(), String> {
    let changes = after.changes_since(before);
    let mut expected: BTreeMap<&str, i64> = BTreeMap::new();
    for (name, change) in named {
        *expected.entry(name).or_default() += change;
    }
    let mut text = String::new();
    for (name, change) in &changes {
        let want = expected.remove(name.as_str()).unwrap_or(0);
        if want != *change {
            let _ = writeln!(text, "  {name:<44} changed by {change:+}, named {want:+}");
        }
    }
    for (name, want) in expected {
        let known = after.0.contains_key(name) || before.0.contains_key(name);
        if want != 0 || !known {
            let what = if known { "did not change" } else { "is no counter" };
            let _ = writeln!(text, "  {name:<44} {what}, named {want:+}");
        }
    }
    if text.is_empty() { Ok(()) } else { Err(text) }
}

/// Asserts that between two snapshots exactly the named counters changed, by exactly so much.
///
/// ```ignore
/// expect_changes!(before, after, { "drop.policy-deny" + 1, "sessions.forward" - 1 });
/// ```
#[macro_export]
macro_rules! expect_changes {
    ($before:expr, $after:expr, { $($name:literal $sign:tt $change:expr),* $(,)? }) => {
        $crate::expect_changes!($before, $after, &[], { $($name $sign $change),* })
    };
    ($before:expr, $after:expr, $bundle:expr, { $($name:literal $sign:tt $change:expr),* $(,)? }) => {{
        let bundle: &[(&str, i64)] = $bundle;
        #[allow(unused_mut)]
        let mut named: Vec<(&str, i64)> = bundle.to_vec();
        $(named.push(($name, 0 $sign $change));)*
        if let Err(difference) = $crate::counters::compare(&$before, &$after, &named) {
            panic!("counters that changed and counters that were named differ:\n{difference}");
        }
    }};
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(values: &[(&str, u64)]) -> Snapshot {
        let mut all = Snapshot::default();
        values.iter().for_each(|(name, value)| all.insert(*name, *value));
        all
    }

    #[test]
    fn an_unnamed_change_and_a_named_one_that_did_not_happen_both_show() {
        let before = snapshot(&[("a", 1), ("b", 5), ("c", 0)]);
        let after = snapshot(&[("a", 2), ("b", 3), ("c", 0)]);
        assert_eq!(compare(&before, &after, &[("a", 1), ("b", -2)]), Ok(()));
        let unnamed = compare(&before, &after, &[("a", 1)]).expect_err("b is not named");
        assert!(unnamed.contains('b') && unnamed.contains("-2"), "{unnamed}");
        let idle = compare(&before, &after, &[("a", 1), ("b", -2), ("c", 1)]);
        assert!(idle.expect_err("c did not change").contains("did not change"));
        let typo = compare(&before, &after, &[("a", 1), ("b", -2), ("d", 0)]);
        assert!(typo.expect_err("there is no d").contains("no counter"));
    }

    #[test]
    fn the_macro_adds_bundles_up() {
        let before = snapshot(&[("a", 1), ("b", 5)]);
        let after = snapshot(&[("a", 4), ("b", 3)]);
        let bundle = [("a", 2)];
        expect_changes!(before, after, &bundle, { "a" + 1, "b" - 2 });
        expect_changes!(before, before, {});
    }

    #[test]
    #[should_panic(expected = "changed by +3")]
    fn the_macro_fails() {
        expect_changes!(snapshot(&[("a", 1)]), snapshot(&[("a", 4)]), { "a" + 2 });
    }
}
