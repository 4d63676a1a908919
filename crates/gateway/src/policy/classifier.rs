//! Finds the first rule that matches, without trying rules one by one.
//!
//! For every dimension (zones, addresses, service, source port) a key falls into one interval, and
//! that interval names the rules whose condition of that dimension holds. What the dimensions have
//! in common are the rules that match; the lowest is the first in order. Rules are kept as bit
//! sets with a summary word for every 64 words, so that the intersection touches only words in
//! which every dimension has a rule: 10 000 rules are three summary words.
//!
//! A dimension keeps the rules that do not care (`any`) in one set, and with each interval only the
//! rules that name it, words without a rule left out. Equal sets are kept once. Memory is bounded
//! by the square of the rules (each of 2 N intervals naming all N rules), and is in practice
//! proportional to the ranges written.
//!
//! The protocol and destination port are one dimension, the source port another. A rule with
//! several services may combine the source port of one with the destination port of the other,
//! so rules that ask for source ports are checked against their list once more.

use core::net::IpAddr;
use std::collections::BTreeMap;

use config::model::{IpRange, ZoneId};

use super::intervals::{Intervals, Key as IntervalKey, Span};
use super::rules::{Addresses, Condition, Key, Rule, RuleSpec, asks_source_port};

/// Rules in order, ready to be looked up.
#[derive(Clone, Debug)]
pub struct Classifier {
    rules: Vec<Rule>,
    /// Rules that may match at all.
    active: BitSet,
    from: Dimension<Intervals<u16>>,
    to: Dimension<Intervals<u16>>,
    source: Dimension<ByVersion>,
    destination: Dimension<ByVersion>,
    /// Protocol in the upper 16 bits, destination port in the lower.
    service: Dimension<Intervals<u32>>,
    /// Protocol in the upper 16 bits, source port in the lower.
    source_port: Dimension<Intervals<u32>>,
}

impl Classifier {
    /// Makes the tables; all rules are active.
    pub fn build<'a>(specs: impl IntoIterator<Item = RuleSpec<'a>>) -> Self {
        let rules: Vec<Rule> = specs.into_iter().map(|spec| Rule::new(&spec)).collect();
        let mut active = BitSet::new(rules.len());
        for i in 0..rules.len() {
            active.set(i, true);
        }
        Self {
            active,
            from: zones(&rules, |rule| &rule.from),
            to: zones(&rules, |rule| &rule.to),
            source: addresses(&rules, |rule| &rule.source),
            destination: addresses(&rules, |rule| &rule.destination),
            service: ports(&rules, |rule| {
                let list = rule.services.as_deref()?;
                Some(
                    list.iter()
                        .map(|s| (s.proto, s.dst_ports.clone()))
                        .collect(),
                )
            }),
            source_port: ports(&rules, |rule| {
                let list = rule.services.as_deref()?;
                let asks = list.iter().any(asks_source_port);
                asks.then(|| {
                    list.iter()
                        .map(|s| (s.proto, s.src_ports.clone()))
                        .collect()
                })
            }),
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
        let mut meets = [
            Meet::of(&self.from, self.from.map.get(key.from.0)),
            Meet::of(&self.to, self.to.map.get(key.to.0)),
            Meet::of(&self.source, self.source.map.get(key.src)),
            Meet::of(&self.destination, self.destination.map.get(key.dst)),
            Meet::of(&self.service, self.service.map.get(port(key.dst_port))),
            Meet::of(
                &self.source_port,
                self.source_port.map.get(port(key.src_port)),
            ),
        ];
        // Dimensions that no rule asks about are left out.
        let mut used = 0;
        for i in 0..meets.len() {
            if !meets[i].all {
                meets.swap(used, i);
                used += 1;
            }
        }
        let meets = &mut meets[..used];
        for (s, &active) in self.active.summary.iter().enumerate() {
            let mut common = active;
            for meet in meets.iter() {
                common &= meet.summary(s);
            }
            while common != 0 {
                let bit = common.trailing_zeros();
                common &= common - 1;
                let w = s * 64 + bit as usize;
                let mut word = self.active.words[w];
                for meet in meets.iter() {
                    word &= meet.word(s, bit, w);
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
            for meet in meets.iter_mut() {
                meet.advance(s);
            }
        }
        None
    }

    /// The conditions of rule `index` that `key` fails; nothing when the rule matches or is unknown.
    /// Whether the rule is active is the caller's business.
    pub fn failures(&self, index: usize, key: &Key) -> impl Iterator<Item = Condition> {
        self.rules
            .get(index)
            .into_iter()
            .flat_map(move |rule| rule.failures(key))
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
        let address = |d: &Dimension<ByVersion>| d.memory(d.map.v4.memory() + d.map.v6.memory());
        rules.sum::<usize>()
            + self.active.memory()
            + self.from.memory(self.from.map.memory())
            + self.to.memory(self.to.map.memory())
            + address(&self.source)
            + address(&self.destination)
            + self.service.memory(self.service.map.memory())
            + self.source_port.memory(self.source_port.map.memory())
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
        Self {
            summary: vec![0; words.div_ceil(64)].into(),
            words: vec![0; words].into(),
        }
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

    fn memory(&self) -> usize {
        (self.summary.len() + self.words.len()) * 8
    }
}

/// One dimension: what a key falls into, and the sets behind that.
#[derive(Clone, Debug)]
struct Dimension<M> {
    /// Rules that do not care.
    any: BitSet,
    /// No rule cares.
    all: bool,
    map: M,
    /// Sets one after the other, found by offset: summary words, then the words that are not zero.
    pool: Box<[u64]>,
}

impl<M> Dimension<M> {
    fn memory(&self, map: usize) -> usize {
        self.any.memory() + self.pool.len() * 8 + map
    }
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

/// A dimension during one lookup.
struct Meet<'a> {
    all: bool,
    any: &'a BitSet,
    /// Summary of the interval's own set.
    own: &'a [u64],
    /// Its words from the current summary word on.
    packed: &'a [u64],
}

impl<'a> Meet<'a> {
    #[inline]
    fn of<M>(dimension: &'a Dimension<M>, offset: u32) -> Self {
        let set = dimension.pool.get(offset as usize..).unwrap_or_default();
        let (own, packed) = set.split_at(dimension.any.summary.len().min(set.len()));
        Self {
            all: dimension.all,
            any: &dimension.any,
            own,
            packed,
        }
    }

    #[inline]
    fn summary(&self, s: usize) -> u64 {
        self.any.summary[s] | self.own[s]
    }

    /// Word `w`, which is bit `bit` of summary word `s`.
    #[inline]
    fn word(&self, s: usize, bit: u32, w: usize) -> u64 {
        let own = self.own[s];
        let mut word = self.any.words[w];
        if own >> bit & 1 != 0 {
            word |= self.packed[(own & ((1 << bit) - 1)).count_ones() as usize];
        }
        word
    }

    /// Leaves summary word `s` behind.
    #[inline]
    fn advance(&mut self, s: usize) {
        self.packed = &self.packed[self.own[s].count_ones() as usize..];
    }
}

/// Collects sets, equal ones once.
struct Pool {
    words: Vec<u64>,
    seen: BTreeMap<Box<[u64]>, u32>,
    packed: Vec<u64>,
}

impl Pool {
    fn new() -> Self {
        Self {
            words: Vec::new(),
            seen: BTreeMap::new(),
            packed: Vec::new(),
        }
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

fn any_of(rules: &[Rule], any: impl Fn(&Rule) -> bool) -> (BitSet, bool) {
    let mut set = BitSet::new(rules.len());
    let mut all = true;
    for (i, rule) in rules.iter().enumerate() {
        let does_not_care = any(rule);
        set.set(i, does_not_care);
        all &= does_not_care;
    }
    (set, all)
}

fn zones(rules: &[Rule], of: impl Fn(&Rule) -> &[ZoneId]) -> Dimension<Intervals<u16>> {
    let (any, all) = any_of(rules, |rule| of(rule).is_empty());
    let spans = rules.iter().zip(0..).flat_map(|(rule, item)| {
        of(rule).iter().map(move |zone| Span {
            first: zone.0,
            last: zone.0,
            item,
        })
    });
    let mut pool = Pool::new();
    let map = Intervals::build(spans, rules.len(), |set| pool.offset(set));
    Dimension {
        any,
        all,
        map,
        pool: pool.words.into(),
    }
}

fn addresses(rules: &[Rule], of: impl Fn(&Rule) -> &Addresses) -> Dimension<ByVersion> {
    let (any, all) = any_of(rules, |rule| of(rule).is_none());
    let mut pool = Pool::new();
    let map = ByVersion {
        v4: by_range(rules, &of, &mut pool, |range| {
            match (range.first, range.last) {
                (IpAddr::V4(a), IpAddr::V4(b)) => Some((a.to_bits(), b.to_bits())),
                _ => None,
            }
        }),
        v6: by_range(rules, &of, &mut pool, |range| {
            match (range.first, range.last) {
                (IpAddr::V6(a), IpAddr::V6(b)) => Some((a.to_bits(), b.to_bits())),
                _ => None,
            }
        }),
    };
    Dimension {
        any,
        all,
        map,
        pool: pool.words.into(),
    }
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
        ranges
            .iter()
            .filter_map(bits)
            .map(move |(first, last)| Span { first, last, item })
    });
    Intervals::build(spans, rules.len(), |set| pool.offset(set))
}

/// Protocol and ports; `None` where the rule does not care.
fn ports(
    rules: &[Rule],
    of: impl Fn(&Rule) -> Option<Vec<(u8, core::ops::RangeInclusive<u16>)>>,
) -> Dimension<Intervals<u32>> {
    let (any, all) = any_of(rules, |rule| of(rule).is_none());
    let spans = rules.iter().zip(0..).flat_map(|(rule, item)| {
        of(rule)
            .unwrap_or_default()
            .into_iter()
            .map(move |(proto, ports)| {
                let proto = u32::from(proto) << 16;
                Span {
                    first: proto | u32::from(*ports.start()),
                    last: proto | u32::from(*ports.end()),
                    item,
                }
            })
    });
    let mut pool = Pool::new();
    let map = Intervals::build(spans, rules.len(), |set| pool.offset(set));
    Dimension {
        any,
        all,
        map,
        pool: pool.words.into(),
    }
}
