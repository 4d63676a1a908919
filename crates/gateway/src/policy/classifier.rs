//! Finds the first rule that matches, without trying rules one by one.
//!
//! For every dimension (zones, addresses, service, source port) a key falls into one interval, and
//! that interval names the rules whose condition of that dimension holds. What the dimensions have
//! in common are the rules that match; the lowest is the first in order. Rules are kept as bit
//! sets with a summary word for every 64 words, so that the intersection touches only words in
//! which every dimension has a rule: 10 000 rules are three summary words. Incoming and outgoing
//! zone are one dimension, as long as there are no more than 64 of them.
//!
//! A dimension keeps the rules that do not care (`any`) in one set, and with each interval only the
//! rules that name it, words without a rule left out. Equal sets are kept once. Memory is bounded
//! by the square of the rules (each of 2 N intervals naming all N rules), and is in practice
//! proportional to the ranges written.
//!
//! Who sends is the last dimension. What a rule asks of it are names; a sender is looked up by names once,
//! when it logs in ([`Classifier::enrol`]), and from then on it is a number with a set of its own, so
//! a packet pays for no name. Senders that fulfil the same rules share a set.
//!
//! The protocol and destination port are one dimension, the source port another. A rule with
//! several services may combine the source port of one with the destination port of the other,
//! so rules that ask for source ports are checked against their list once more.

use core::{array, net::IpAddr};
use std::collections::BTreeMap;

use config::model::{IpRange, ZoneId};

use super::intervals::{Intervals, Key as IntervalKey, Span};
use super::rules::{Addresses, Condition, Key, Rule, RuleSpec};

/// Zones on a side, up to which every pair of zones has a set of its own.
const PAIRED_ZONES: usize = 64;

/// Dimensions at most. The last three are left out where no rule asks about them.
const MOST: usize = 7;
const ZONES: usize = 0;
const DESTINATION: usize = 1;
const SOURCE: usize = 2;
const SERVICE: usize = 3;
/// Outgoing zones, where there are too many for pairs.
const TO: usize = 4;
const SOURCE_PORT: usize = 5;
const WHO: usize = 6;

/// Rules in order, ready to be looked up.
#[derive(Clone, Debug)]
pub struct Classifier {
    rules: Vec<Rule>,
    /// Rules that may match at all.
    active: BitSet,
    /// Rules that do not care, by summary word and dimension.
    any_summary: Vec<[u64; MOST]>,
    /// The same, by word.
    any_words: Vec<[u64; MOST]>,
    zones: Zones,
    source: ByVersion,
    destination: ByVersion,
    /// Protocol in the upper bits, destination port in the lower 16.
    service: Intervals<u32>,
    /// Protocol in the upper bits, source port in the lower 16.
    source_port: Intervals<u32>,
    /// Whether any rule asks about the last three dimensions.
    extra: bool,
    senders: Senders,
    /// Sets one after the other, found by offset: summary words, then the words that are not zero.
    /// Those of senders come last, each in as many words as a set may have.
    pool: Vec<u64>,
}

impl Classifier {
    /// Makes the tables; all rules are active.
    pub fn build<'a>(specs: impl IntoIterator<Item = RuleSpec<'a>>) -> Self {
        let rules: Vec<Rule> = specs.into_iter().map(|spec| Rule::new(&spec)).collect();
        let mut pool = Pool::new();
        let (zones, any_zones, any_to) = Zones::new(&rules, &mut pool);
        let destination = addresses(&rules, &mut pool, |rule| &rule.destination);
        let source = addresses(&rules, &mut pool, |rule| &rule.source);
        let service = ports(&rules, &mut pool, |rule| {
            let list = rule.services.as_deref()?;
            Some(list.iter().map(|s| (s.proto, s.dst_ports.clone())).collect())
        });
        let source_port = ports(&rules, &mut pool, |rule| {
            let list = rule.services.as_deref().filter(|_| rule.pairs_ports)?;
            Some(list.iter().map(|s| (s.proto, s.src_ports.clone())).collect())
        });
        let mut any = array::from_fn(|_| BitSet::new(rules.len()));
        any[ZONES] = any_zones;
        any[DESTINATION] = members(&rules, |rule| rule.destination.is_none());
        any[SOURCE] = members(&rules, |rule| rule.source.is_none());
        any[SERVICE] = members(&rules, |rule| rule.services.is_none());
        any[TO] = any_to;
        any[SOURCE_PORT] = members(&rules, |rule| !rule.pairs_ports);
        any[WHO] = members(&rules, |rule| rule.who.is_none());
        let active = members(&rules, |_| true);
        let cares = |dimension: usize| any[dimension].words != active.words;
        let senders = Senders::new(&rules, pool.words.len());
        // The set of nobody, and a word that may be read beyond a set without words.
        let nobody = std::iter::repeat_n(0, senders.stride + 1);
        Self {
            extra: cares(TO) || cares(SOURCE_PORT) || cares(WHO),
            any_summary: transposed(&any, |set| &set.summary),
            any_words: transposed(&any, |set| &set.words),
            active,
            zones,
            source,
            destination,
            service,
            source_port,
            pool: pool.words.into_iter().chain(nobody).collect(),
            senders,
            rules,
        }
    }

    /// How many rules there are.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Lets rule `index` match, or not; tells whether that is a change.
    pub fn set_active(&mut self, index: usize, active: bool) -> bool {
        index < self.rules.len() && self.active.set(index, active)
    }

    /// The first active rule that matches.
    pub fn lookup(&self, key: &Key) -> Option<usize> {
        let port = |port: u16| u32::from(key.proto) << 16 | u32::from(port);
        let (zones, to) = self.zones.get(key.from, key.to);
        let destination = self.destination.get(key.dst);
        let source = self.source.get(key.src);
        let service = self.service.get(port(key.dst_port));
        if self.extra {
            let source_port = self.source_port.get(port(key.src_port));
            let who = self.senders.offset(key.who) as u32;
            self.first(key, [zones, destination, source, service, to, source_port, who])
        } else {
            self.first(key, [zones, destination, source, service])
        }
    }

    /// The first rule that the sets at these offsets of the pool, one for each of the first N
    /// dimensions, have in common.
    #[inline]
    fn first<const N: usize>(&self, key: &Key, sets: [u32; N]) -> Option<usize> {
        let summaries = self.any_summary.len();
        let mut packed = sets.map(|set| set as usize + summaries);
        for (s, any) in self.any_summary.iter().enumerate() {
            let own: [u64; N] = array::from_fn(|d| self.pool[sets[d] as usize + s]);
            let mut common = self.active.summary[s];
            for d in 0..N {
                common &= any[d] | own[d];
            }
            while common != 0 {
                let bit = common.trailing_zeros();
                common &= common - 1;
                let w = s * 64 + bit as usize;
                let any = &self.any_words[w];
                let mut word = self.active.words[w];
                for d in 0..N {
                    // A word that is not kept is read anyway and masked: cheaper than a branch.
                    let kept = (own[d] & ((1 << bit) - 1)).count_ones() as usize;
                    let here = (own[d] >> bit & 1).wrapping_neg();
                    word &= any[d] | self.pool[packed[d] + kept] & here;
                }
                while word != 0 {
                    let index = w * 64 + word.trailing_zeros() as usize;
                    word &= word - 1;
                    let rule = &self.rules[index];
                    if !rule.pairs_ports || rule.matches_services(key) {
                        return Some(index);
                    }
                }
            }
            for d in 0..N {
                packed[d] += own[d].count_ones() as usize;
            }
        }
        None
    }

    /// The conditions of rule `index` that `key` fails; nothing when the rule matches or is unknown.
    /// Whether the rule is active is the caller's business.
    pub fn failures(&self, index: usize, key: &Key) -> impl Iterator<Item = Condition> {
        let who = self.senders.fulfils(key.who, index);
        self.rules.get(index).into_iter().flat_map(move |rule| rule.failures(key, who))
    }

    /// The number to ask with for a sender. It is the sender's until [`Classifier::discharge`].
    pub fn enrol<'a>(&mut self, user: &str, groups: impl IntoIterator<Item = &'a str>) -> Sender {
        let rules = self.senders.rules_of(user, groups);
        let sender = self.senders.enter(rules);
        let (at, stride) = (self.senders.offset(sender), self.senders.stride);
        if self.pool.len() < at + stride + 1 {
            self.pool.resize(at + stride + 1, 0);
        }
        let summaries = self.any_summary.len();
        let set = &mut self.pool[at..at + stride];
        set.fill(0);
        let (summary, mut words) = set.split_at_mut(summaries);
        let mut last = None;
        for rule in self.senders.rules(sender) {
            let w = *rule as usize / 64;
            if last.is_some_and(|last| last != w) {
                words = &mut words[1..];
            }
            last = Some(w);
            summary[w / 64] |= 1 << (w % 64);
            words[0] |= 1 << (rule % 64);
        }
        sender
    }

    /// A number is no longer used by the one it was given to.
    pub fn discharge(&mut self, sender: Sender) {
        self.senders.leave(sender);
    }

    /// Bytes on the heap, the rules' own lists included.
    pub fn memory(&self) -> usize {
        let list = |set: &Addresses| set.as_deref().map_or(0, size_of_val);
        let rules = self.rules.iter().map(|rule| {
            size_of::<Rule>()
                + size_of_val(&*rule.from)
                + size_of_val(&*rule.to)
                + list(&rule.source)
                + list(&rule.destination)
                + rule.services.as_deref().map_or(0, size_of_val)
        });
        let address = |map: &ByVersion| map.v4.memory() + map.v6.memory();
        rules.sum::<usize>()
            + (self.active.summary.len() + self.active.words.len()) * 8
            + (self.any_summary.len() + self.any_words.len()) * MOST * 8
            + address(&self.source)
            + address(&self.destination)
            + self.service.memory()
            + self.source_port.memory()
            + self.zones.memory()
            + self.pool.len() * 8
            + self.senders.sets.iter().map(|(rules, _)| 2 * size_of_val(&**rules)).sum::<usize>()
    }
}

/// A sender as look-ups know it; who is not known is [`Sender::NOBODY`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sender(u32);

impl Sender {
    /// Fulfils no rule that asks who sends.
    pub const NOBODY: Self = Self(0);
}

/// Which rules ask for whom, and the senders there are.
#[derive(Clone, Debug)]
struct Senders {
    /// Rules that take everybody who is known.
    known: Vec<u32>,
    users: BTreeMap<Box<str>, Vec<u32>>,
    groups: BTreeMap<Box<str>, Vec<u32>>,
    /// By number: the rules fulfilled, and how many have the number.
    sets: Vec<(Box<[u32]>, u32)>,
    by_rules: BTreeMap<Box<[u32]>, u32>,
    free: Vec<u32>,
    /// Where the sets begin in the pool, and the words of each.
    base: usize,
    stride: usize,
}

impl Senders {
    fn new(rules: &[Rule], base: usize) -> Self {
        let mut senders = Self {
            known: Vec::new(),
            users: BTreeMap::new(),
            groups: BTreeMap::new(),
            sets: vec![(Box::default(), 1)],
            by_rules: [(Box::default(), 0)].into(),
            free: Vec::new(),
            base,
            stride: rules.len().div_ceil(64) + rules.len().div_ceil(64 * 64),
        };
        for (rule, index) in rules.iter().zip(0..) {
            let Some(who) = &rule.who else { continue };
            if who.known {
                senders.known.push(index);
            }
            for (names, map) in
                [(&who.users, &mut senders.users), (&who.groups, &mut senders.groups)]
            {
                for name in names {
                    map.entry(name.as_str().into()).or_default().push(index);
                }
            }
        }
        senders
    }

    /// The rules that somebody fulfils, sorted.
    fn rules_of<'a>(&self, user: &str, groups: impl IntoIterator<Item = &'a str>) -> Box<[u32]> {
        let mut rules = self.known.clone();
        rules.extend(self.users.get(user).into_iter().flatten());
        groups
            .into_iter()
            .for_each(|name| rules.extend(self.groups.get(name).into_iter().flatten()));
        rules.sort_unstable();
        rules.dedup();
        rules.into()
    }

    fn enter(&mut self, rules: Box<[u32]>) -> Sender {
        if let Some(number) = self.by_rules.get(&rules) {
            self.sets[*number as usize].1 += 1;
            return Sender(*number);
        }
        let number = self.free.pop().unwrap_or(self.sets.len() as u32);
        self.by_rules.insert(rules.clone(), number);
        match self.sets.get_mut(number as usize) {
            Some(set) => *set = (rules, 1),
            None => self.sets.push((rules, 1)),
        }
        Sender(number)
    }

    fn leave(&mut self, Sender(number): Sender) {
        let Some((rules, users)) = self.sets.get_mut(number as usize) else { return };
        *users = users.saturating_sub(1);
        if *users == 0 {
            self.by_rules.remove(rules);
            *rules = Box::default();
            self.free.push(number);
        }
    }

    fn rules(&self, Sender(number): Sender) -> &[u32] {
        self.sets.get(number as usize).map_or(&[], |(rules, _)| rules)
    }

    fn fulfils(&self, sender: Sender, rule: usize) -> bool {
        self.rules(sender).binary_search(&(rule as u32)).is_ok()
    }

    fn offset(&self, Sender(number): Sender) -> usize {
        self.base + number as usize * self.stride
    }
}

/// A set of rules with a summary: bit w of the summary says that word w has a rule.
#[derive(Clone, Debug)]
struct BitSet {
    summary: Box<[u64]>,
    words: Box<[u64]>,
}

impl BitSet {
    fn new(len: usize) -> Self {
        let words = len.div_ceil(64);
        Self { summary: vec![0; words.div_ceil(64)].into(), words: vec![0; words].into() }
    }

    /// Tells whether that is a change.
    fn set(&mut self, index: usize, on: bool) -> bool {
        let (w, bit) = (index / 64, 1 << (index % 64));
        let before = self.words[w];
        self.words[w] = if on { before | bit } else { before & !bit };
        let summary = &mut self.summary[w / 64];
        if self.words[w] == 0 {
            *summary &= !(1 << (w % 64));
        } else {
            *summary |= 1 << (w % 64);
        }
        before != self.words[w]
    }
}

/// The rules of which `of` holds.
fn members(rules: &[Rule], of: impl Fn(&Rule) -> bool) -> BitSet {
    let mut set = BitSet::new(rules.len());
    for (i, rule) in rules.iter().enumerate() {
        set.set(i, of(rule));
    }
    set
}

/// Words of all dimensions side by side, as a look-up reads them.
fn transposed(sets: &[BitSet; MOST], of: fn(&BitSet) -> &[u64]) -> Vec<[u64; MOST]> {
    (0..of(&sets[0]).len()).map(|w| array::from_fn(|d| of(&sets[d])[w])).collect()
}

/// Addresses of both versions.
#[derive(Clone, Debug)]
struct ByVersion {
    v4: Intervals<u32>,
    v6: Intervals<u128>,
}

impl ByVersion {
    #[inline]
    fn get(&self, ip: IpAddr) -> u32 {
        match ip {
            IpAddr::V4(ip) => self.v4.get(ip.to_bits()),
            IpAddr::V6(ip) => self.v6.get(ip.to_bits()),
        }
    }
}

/// Zones, numbered from zero; a number that no rule names counts as the last.
#[derive(Clone, Debug)]
enum Zones {
    /// By incoming zone, then outgoing.
    Paired {
        from: usize,
        to: usize,
        sets: Box<[u32]>,
    },
    Single {
        from: Box<[u32]>,
        to: Box<[u32]>,
    },
}

impl Zones {
    /// The zones and which rules do not care about them: in the first dimension, and in the one
    /// of outgoing zones.
    fn new(rules: &[Rule], pool: &mut Pool) -> (Self, BitSet, BitSet) {
        let from = by_zone(rules, |rule| &rule.from);
        let to = by_zone(rules, |rule| &rule.to);
        if from.len().max(to.len()) > PAIRED_ZONES + 1 {
            let any = |of: fn(&Rule) -> &[ZoneId]| members(rules, |rule| of(rule).is_empty());
            let zones = Self::Single {
                from: from.iter().map(|set| pool.offset(set)).collect(),
                to: to.iter().map(|set| pool.offset(set)).collect(),
            };
            return (zones, any(|rule| &rule.from), any(|rule| &rule.to));
        }
        let mut sets = Vec::with_capacity(from.len() * to.len());
        for one in &from {
            for other in &to {
                let both: Vec<u64> = one.iter().zip(other).map(|(a, b)| a & b).collect();
                sets.push(pool.offset(&both));
            }
        }
        let zones = Self::Paired { from: from.len(), to: to.len(), sets: sets.into() };
        (zones, BitSet::new(rules.len()), members(rules, |_| true))
    }

    /// Sets of the first dimension and of the one of outgoing zones.
    #[inline]
    fn get(&self, from: ZoneId, to: ZoneId) -> (u32, u32) {
        let clamped = |zone: ZoneId, len: usize| usize::from(zone.0).min(len - 1);
        match self {
            Self::Paired { from: rows, to: columns, sets } => {
                let set = sets[clamped(from, *rows) * columns + clamped(to, *columns)];
                (set, set)
            }
            Self::Single { from: ins, to: outs } => {
                (ins[clamped(from, ins.len())], outs[clamped(to, outs.len())])
            }
        }
    }

    fn memory(&self) -> usize {
        match self {
            Self::Paired { sets, .. } => sets.len() * 4,
            Self::Single { from, to } => (from.len() + to.len()) * 4,
        }
    }
}

/// The rules that hold for each zone, those that do not care included; the last set is that of
/// every zone that no rule names.
fn by_zone(rules: &[Rule], of: impl Fn(&Rule) -> &[ZoneId]) -> Vec<Vec<u64>> {
    let named = rules.iter().flat_map(&of).map(|zone| usize::from(zone.0) + 1).max();
    let mut sets = vec![vec![0_u64; rules.len().div_ceil(64)]; named.unwrap_or(0) + 1];
    for (i, rule) in rules.iter().enumerate() {
        let bit = 1 << (i % 64);
        match of(rule) {
            [] => sets.iter_mut().for_each(|set| set[i / 64] |= bit),
            zones => zones.iter().for_each(|zone| sets[usize::from(zone.0)][i / 64] |= bit),
        }
    }
    sets
}

/// Collects sets, equal ones once.
struct Pool {
    words: Vec<u64>,
    seen: BTreeMap<Box<[u64]>, u32>,
    packed: Vec<u64>,
}

impl Pool {
    fn new() -> Self {
        Self { words: Vec::new(), seen: BTreeMap::new(), packed: Vec::new() }
    }

    fn offset(&mut self, set: &[u64]) -> u32 {
        self.packed.clear();
        self.packed.resize(set.len().div_ceil(64), 0);
        for (w, &word) in set.iter().enumerate() {
            if word != 0 {
                self.packed[w / 64] |= 1 << (w % 64);
                self.packed.push(word);
            }
        }
        if let Some(&offset) = self.seen.get(self.packed.as_slice()) {
            return offset;
        }
        let offset = self.words.len() as u32;
        self.words.extend_from_slice(&self.packed);
        self.seen.insert(self.packed.as_slice().into(), offset);
        offset
    }
}

fn addresses(rules: &[Rule], pool: &mut Pool, of: impl Fn(&Rule) -> &Addresses) -> ByVersion {
    let v4 = by_range(rules, &of, pool, |range| match (range.first, range.last) {
        (IpAddr::V4(a), IpAddr::V4(b)) => Some((a.to_bits(), b.to_bits())),
        _ => None,
    });
    let v6 = by_range(rules, &of, pool, |range| match (range.first, range.last) {
        (IpAddr::V6(a), IpAddr::V6(b)) => Some((a.to_bits(), b.to_bits())),
        _ => None,
    });
    ByVersion { v4: v4.indexed(16), v6 }
}

fn by_range<K: IntervalKey>(
    rules: &[Rule],
    of: impl Fn(&Rule) -> &Addresses,
    pool: &mut Pool,
    bits: impl Fn(&IpRange) -> Option<(K, K)>,
) -> Intervals<K> {
    let bits = &bits;
    let spans = rules.iter().zip(0..).flat_map(|(rule, item)| {
        let ranges = of(rule).as_deref().unwrap_or_default();
        ranges.iter().filter_map(bits).map(move |(first, last)| Span { first, last, item })
    });
    Intervals::build(spans, rules.len(), |set| pool.offset(set))
}

/// Protocol and ports; `None` where the rule does not care.
fn ports(
    rules: &[Rule],
    pool: &mut Pool,
    of: impl Fn(&Rule) -> Option<Vec<(u8, core::ops::RangeInclusive<u16>)>>,
) -> Intervals<u32> {
    let spans = rules.iter().zip(0..).flat_map(|(rule, item)| {
        of(rule).unwrap_or_default().into_iter().map(move |(proto, ports)| {
            let proto = u32::from(proto) << 16;
            Span {
                first: proto | u32::from(*ports.start()),
                last: proto | u32::from(*ports.end()),
                item,
            }
        })
    });
    Intervals::build(spans, rules.len(), |set| pool.offset(set)).indexed(8)
}
