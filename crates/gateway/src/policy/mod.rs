//! The policy room: which rule decides, how often it did, and why the others did not.
//!
//! Three tables, each a [`Classifier`]: `forward` (the policies), `local_in` and `local_out`. A
//! lookup gives the index of the rule in the configuration the room was made from; what the rule
//! says is read there. Counters belong to the policy's id (to the rule's name in the local
//! tables) and survive a reload through [`Policies::carry_over`].
//!
//! Disabled rules and rules outside their schedule do not match. The room reads no clock: until
//! [`Policies::set_wall_clock`] has told the time, scheduled rules do not match.

mod classifier;
#[cfg(test)]
pub(crate) mod fixture;
pub(crate) mod intervals;
mod rules;
mod schedule;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc};

use config::{
    Config,
    model::{LocalRule, Schedule},
};
use wire::Time;

pub use classifier::{Classifier, Sender};
pub use rules::{Condition, Key, RuleSpec};

/// Which table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Between interfaces.
    Forward,
    /// To the gateway itself.
    LocalIn,
    /// From the gateway itself.
    LocalOut,
}

/// What a rule has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Sessions (or packets, where no session comes of it) that the rule decided.
    pub hits: u64,
    /// Packets of those sessions, in both directions, as told by [`Policies::add_traffic`].
    pub packets: u64,
    /// Bytes of IP packets of the same.
    pub bytes: u64,
    /// When it last decided; [`Time::ZERO`] as long as `hits` is zero.
    pub last_hit: Time,
    /// Sessions that live by it now.
    pub sessions: u32,
}

/// How one rule answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleExplanation {
    /// Index of the rule in its table.
    pub index: usize,
    /// It is the rule that decides.
    pub matched: bool,
    /// The conditions that failed; empty if it matched.
    pub failed: Vec<Condition>,
}

/// The policy tables.
#[derive(Debug)]
pub struct Policies {
    forward: Room,
    local_in: Room,
    local_out: Room,
    /// Policy id to index, sorted.
    by_id: Vec<(u32, usize)>,
    wall_clock: Option<i64>,
}

impl Policies {
    /// Makes the tables of a configuration.
    pub fn new(config: &Config) -> Self {
        let policies = &config.policies;
        let forward = Room::new(
            policies.iter().map(|p| RuleSpec {
                from: &p.from,
                to: &p.to,
                source: &p.source,
                who: Some(&p.who),
                destination: &p.destination,
                services: &p.services,
            }),
            policies.iter().map(|p| (Ident::Id(p.id), p.enabled, p.schedule.clone())),
        );
        let mut by_id: Vec<_> = policies.iter().zip(0..).map(|(p, i)| (p.id, i)).collect();
        by_id.sort_unstable();
        Self {
            forward,
            local_in: local(&config.local_in, true),
            local_out: local(&config.local_out, false),
            by_id,
            wall_clock: None,
        }
    }

    /// The policy for traffic between interfaces: index into `config.policies`.
    #[inline]
    pub fn forward(&self, key: &Key) -> Option<usize> {
        self.forward.classifier.lookup(key)
    }

    /// The rule for traffic to the gateway: index into `config.local_in`. Its zones are held
    /// against [`Key::from`].
    #[inline]
    pub fn local_in(&self, key: &Key) -> Option<usize> {
        self.local_in.classifier.lookup(key)
    }

    /// The rule for traffic from the gateway: index into `config.local_out`. Its zones are held
    /// against [`Key::to`].
    #[inline]
    pub fn local_out(&self, key: &Key) -> Option<usize> {
        self.local_out.classifier.lookup(key)
    }

    /// The sender to ask [`Policies::forward`] with for a user in these groups, until
    /// [`Policies::discharge`].
    pub fn enrol<'a>(&mut self, user: &str, groups: impl IntoIterator<Item = &'a str>) -> Sender {
        self.forward.classifier.enrol(user, groups)
    }

    /// A sender is no longer used by the one it was given to.
    pub fn discharge(&mut self, sender: Sender) {
        self.forward.classifier.discharge(sender);
    }

    /// The index of the policy with this id.
    pub fn index_of(&self, id: u32) -> Option<usize> {
        let at = self.by_id.binary_search_by_key(&id, |&(id, _)| id).ok()?;
        Some(self.by_id[at].1)
    }

    /// Sets the wall clock, in seconds since 1970-01-01 UTC. Tells whether any rule of any table
    /// began or ceased to match, which is reason to look at sessions again.
    pub fn set_wall_clock(&mut self, unix_seconds: i64) -> bool {
        self.wall_clock = Some(unix_seconds);
        let mut changed = false;
        for room in [&mut self.forward, &mut self.local_in, &mut self.local_out] {
            changed |= room.set_wall_clock(unix_seconds);
        }
        changed
    }

    /// When [`Policies::set_wall_clock`] will next change something, in the same unit; `None` if
    /// never, or if the time was not told yet.
    pub fn next_schedule_change(&self) -> Option<i64> {
        let now = self.wall_clock?;
        self.rooms()
            .into_iter()
            .flat_map(|room| &room.scheduled)
            .filter_map(|(_, schedule)| schedule::next_change(schedule, now))
            .min()
    }

    /// Whether a rule is enabled and inside its schedule now.
    pub fn in_force(&self, table: Table, index: usize) -> bool {
        let room = self.room(table);
        index < room.classifier.len()
            && matches!(room.state(index, self.wall_clock), State::InForce)
    }

    /// Which conditions of each rule `key` fails: rules in order up to and including the one that
    /// decides, `max` at most.
    pub fn explain(&self, table: Table, key: &Key, max: usize) -> Vec<RuleExplanation> {
        let room = self.room(table);
        let mut rules = Vec::new();
        for index in 0..room.classifier.len().min(max) {
            let inert = match room.state(index, self.wall_clock) {
                State::InForce => None,
                State::Disabled => Some(Condition::Enabled),
                State::OutsideSchedule => Some(Condition::Schedule),
            };
            let failed: Vec<_> =
                inert.into_iter().chain(room.classifier.failures(index, key)).collect();
            let matched = failed.is_empty();
            rules.push(RuleExplanation { index, matched, failed });
            if matched {
                break;
            }
        }
        rules
    }

    /// Counts a decision of rule `rule`, or of the table's implicit rule.
    #[inline]
    pub fn hit(&mut self, table: Table, rule: Option<usize>, now: Time) {
        if let Some(counters) = self.counters_mut(table, rule) {
            counters.hits += 1;
            counters.last_hit = now;
        }
    }

    /// Adds what a session of the rule moved, or a packet that the rule let no further.
    #[inline]
    pub fn add_traffic(&mut self, table: Table, rule: Option<usize>, packets: u64, bytes: u64) {
        if let Some(counters) = self.counters_mut(table, rule) {
            counters.packets += packets;
            counters.bytes += bytes;
        }
    }

    /// A session begins to live by the rule.
    #[inline]
    pub fn session_opened(&mut self, table: Table, rule: Option<usize>) {
        if let Some(counters) = self.counters_mut(table, rule) {
            counters.sessions += 1;
        }
    }

    /// A session ceases to live by the rule.
    #[inline]
    pub fn session_closed(&mut self, table: Table, rule: Option<usize>) {
        if let Some(counters) = self.counters_mut(table, rule) {
            counters.sessions = counters.sessions.saturating_sub(1);
        }
    }

    /// The counters of a rule, or of the table's implicit rule; zeros for an unknown index.
    pub fn counters(&self, table: Table, rule: Option<usize>) -> Counters {
        let room = self.room(table);
        match rule {
            Some(index) => room.counters.get(index).copied().unwrap_or_default(),
            None => room.implicit,
        }
    }

    /// Sets hits, traffic and last hit of all rules to zero (`clear counters`); session gauges stay.
    pub fn clear_counters(&mut self) {
        for room in [&mut self.forward, &mut self.local_in, &mut self.local_out] {
            for counters in room.counters.iter_mut().chain([&mut room.implicit]) {
                *counters = Counters { sessions: counters.sessions, ..Counters::default() };
            }
        }
    }

    /// Takes over counters (policies by id, local rules by name) and the wall clock from the
    /// tables before a reload.
    pub fn carry_over(&mut self, old: &Self) {
        self.forward.carry_over(&old.forward);
        self.local_in.carry_over(&old.local_in);
        self.local_out.carry_over(&old.local_out);
        if let Some(unix_seconds) = old.wall_clock {
            self.set_wall_clock(unix_seconds);
        }
    }

    /// Bytes on the heap of the three classifiers.
    pub fn memory(&self) -> usize {
        self.rooms().into_iter().map(|room| room.classifier.memory()).sum()
    }

    fn rooms(&self) -> [&Room; 3] {
        [&self.forward, &self.local_in, &self.local_out]
    }

    fn room(&self, table: Table) -> &Room {
        match table {
            Table::Forward => &self.forward,
            Table::LocalIn => &self.local_in,
            Table::LocalOut => &self.local_out,
        }
    }

    fn counters_mut(&mut self, table: Table, rule: Option<usize>) -> Option<&mut Counters> {
        let room = match table {
            Table::Forward => &mut self.forward,
            Table::LocalIn => &mut self.local_in,
            Table::LocalOut => &mut self.local_out,
        };
        match rule {
            Some(index) => room.counters.get_mut(index),
            None => Some(&mut room.implicit),
        }
    }
}

/// What counters belong to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Ident {
    Id(u32),
    Name(Box<str>),
}

enum State {
    InForce,
    Disabled,
    OutsideSchedule,
}

/// One table.
#[derive(Debug)]
struct Room {
    classifier: Classifier,
    idents: Vec<Ident>,
    enabled: Vec<bool>,
    counters: Vec<Counters>,
    /// Counters of what matched no rule.
    implicit: Counters,
    /// Enabled rules with a schedule, in order.
    scheduled: Vec<(usize, Arc<Schedule>)>,
}

impl Room {
    fn new<'a>(
        specs: impl Iterator<Item = RuleSpec<'a>>,
        about: impl Iterator<Item = (Ident, bool, Option<Arc<Schedule>>)>,
    ) -> Self {
        let mut room = Self {
            classifier: Classifier::build(specs),
            idents: Vec::new(),
            enabled: Vec::new(),
            counters: Vec::new(),
            implicit: Counters::default(),
            scheduled: Vec::new(),
        };
        for (index, (ident, enabled, schedule)) in about.enumerate() {
            room.classifier.set_active(index, enabled && schedule.is_none());
            room.idents.push(ident);
            room.enabled.push(enabled);
            room.counters.push(Counters::default());
            if let Some(schedule) = schedule.filter(|_| enabled) {
                room.scheduled.push((index, schedule));
            }
        }
        room
    }

    fn set_wall_clock(&mut self, unix: i64) -> bool {
        let mut changed = false;
        for (index, schedule) in &self.scheduled {
            changed |= self.classifier.set_active(*index, schedule::holds(schedule, unix));
        }
        changed
    }

    fn state(&self, index: usize, wall_clock: Option<i64>) -> State {
        if !self.enabled.get(index).is_some_and(|&enabled| enabled) {
            return State::Disabled;
        }
        let holds = |schedule| wall_clock.is_some_and(|unix| schedule::holds(schedule, unix));
        match self.scheduled.binary_search_by_key(&index, |&(index, _)| index) {
            Ok(at) if !holds(&self.scheduled[at].1) => State::OutsideSchedule,
            Ok(_) | Err(_) => State::InForce,
        }
    }

    fn carry_over(&mut self, old: &Self) {
        let before: BTreeMap<_, _> = old.idents.iter().zip(&old.counters).collect();
        for (ident, counters) in self.idents.iter().zip(&mut self.counters) {
            if let Some(&&kept) = before.get(ident) {
                *counters = kept;
            }
        }
        self.implicit = old.implicit;
    }
}

fn local(rules: &[LocalRule], inwards: bool) -> Room {
    Room::new(
        rules.iter().map(|rule| {
            let (from, to): (&[_], &[_]) =
                if inwards { (&rule.zones, &[]) } else { (&[], &rule.zones) };
            RuleSpec {
                from,
                to,
                source: &rule.source,
                who: None,
                destination: &rule.destination,
                services: &rule.services,
            }
        }),
        rules.iter().map(|rule| {
            (Ident::Name(rule.name.as_str().into()), rule.enabled, rule.schedule.clone())
        }),
    )
}
