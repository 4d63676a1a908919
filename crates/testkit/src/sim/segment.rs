//! What connects ends: a cable between two, a learning switch between more.
//!
//! Frames cross in order unless `reorder` or `jitter` say otherwise. A cable carries everything; a
//! switch learns where a MAC address lives, per VLAN, and floods what it does not know.

use core::time::Duration;
use std::collections::BTreeMap;

use ports::PortCapabilities;
use wire::{Mac, Time};

use super::{Clip, End};
use crate::rng::Rng;

/// How a segment treats the frames that cross it. Chances are in thousandths.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// From one end to the other.
    pub latency: Duration,
    /// Up to this much is added to every frame, at random; frames may overtake each other.
    pub jitter: Duration,
    /// Frames lost.
    pub loss: u16,
    /// Frames delivered twice.
    pub duplicate: u16,
    /// Frames that wait for `reorder_by`, so that others overtake them.
    pub reorder: u16,
    /// How long those wait.
    pub reorder_by: Duration,
    /// Bits per second in each direction; unlimited where absent.
    pub bandwidth: Option<u64>,
    /// Largest IP packet in bytes; larger frames vanish.
    pub mtu: u16,
}

impl Default for Link {
    /// A faultless link of 50 µs and 1500 bytes.
    fn default() -> Self {
        Self {
            latency: Duration::from_micros(50),
            jitter: Duration::ZERO,
            loss: 0,
            duplicate: 0,
            reorder: 0,
            reorder_by: Duration::from_millis(1),
            bandwidth: None,
            mtu: 1500,
        }
    }
}

impl Link {
    /// A faultless link of this latency.
    pub fn after(latency: Duration) -> Self {
        Self { latency, ..Self::default() }
    }
}

/// What a segment did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkCounters {
    /// Frames delivered.
    pub delivered: u64,
    /// Frames lost at random.
    pub lost: u64,
    /// Frames delivered a second time.
    pub duplicated: u64,
    /// Frames larger than the link takes.
    pub too_large: u64,
}

pub(super) struct Segment {
    pub link: Link,
    pub counters: LinkCounters,
    ends: Vec<Attached>,
    learned: BTreeMap<(Option<u16>, Mac), usize>,
}

struct Attached {
    end: End,
    /// When the frames before have left.
    busy: Time,
}

impl Segment {
    pub fn new(link: Link, ends: &[End]) -> Self {
        let ends = ends.iter().map(|&end| Attached { end, busy: Time::ZERO }).collect();
        Self { link, counters: LinkCounters::default(), ends, learned: BTreeMap::new() }
    }

    pub fn attach(&mut self, end: End) {
        self.ends.push(Attached { end, busy: Time::ZERO });
    }

    /// A frame that `from` sends now: calls `deliver` for every copy that arrives somewhere.
    pub fn carry(
        &mut self,
        from: End,
        clip: &Clip,
        now: Time,
        rng: &mut Rng,
        mut deliver: impl FnMut(Time, End),
    ) {
        let Some(source) = self.ends.iter().position(|a| a.end == from) else { return };
        if !clip.is_super() && clip.bytes.len() > usize::from(self.link.mtu) + tag_len(&clip.bytes)
        {
            self.counters.too_large += 1;
            return;
        }
        if rng.chance(self.link.loss) {
            self.counters.lost += 1;
            return;
        }
        let sent = self.serialise(source, clip.bytes.len(), now);
        let (to, flood) = self.destination(source, &clip.bytes);
        for (index, attached) in self.ends.iter().enumerate() {
            if index == source || !(flood || Some(index) == to) {
                continue;
            }
            let link = &self.link;
            let mut at = sent + link.latency;
            at = at + Duration::from_nanos(rng.below(link.jitter.as_nanos() as u64));
            if rng.chance(link.reorder) {
                at = at + link.reorder_by;
            }
            deliver(at, attached.end);
            self.counters.delivered += 1;
            if rng.chance(link.duplicate) {
                deliver(at, attached.end);
                self.counters.duplicated += 1;
            }
        }
    }

    fn serialise(&mut self, source: usize, bytes: usize, now: Time) -> Time {
        let Some(bandwidth) = self.link.bandwidth.filter(|b| *b > 0) else { return now };
        let busy = &mut self.ends[source].busy;
        let nanos = bytes as u64 * 8 * 1_000_000_000 / bandwidth;
        *busy = (*busy).max(now) + Duration::from_nanos(nanos);
        *busy
    }

    /// The end a frame goes to, or everywhere.
    fn destination(&mut self, source: usize, bytes: &[u8]) -> (Option<usize>, bool) {
        if self.ends.len() <= 2 {
            return (None, true);
        }
        let (Some(dst), Some(src)) = (bytes.first_chunk::<6>(), bytes.get(6..12)) else {
            return (None, true);
        };
        let vlan = match bytes.get(12..16) {
            Some(&[0x81, 0x00, high, low]) => Some(u16::from_be_bytes([high, low]) & 0x0fff),
            Some(_) | None => None,
        };
        let mut mac = [0; 6];
        mac.copy_from_slice(src);
        if !Mac(mac).is_group() {
            self.learned.insert((vlan, Mac(mac)), source);
        }
        let to = self.learned.get(&(vlan, Mac(*dst))).copied();
        (to, to.is_none() || Mac(*dst).is_group())
    }
}

/// Bytes of Ethernet header, VLAN tag included.
fn tag_len(bytes: &[u8]) -> usize {
    if bytes.get(12..14) == Some(&[0x81, 0x00]) { 18 } else { 14 }
}

/// What the wire itself takes: nothing unfinished.
pub(super) const PLAIN: PortCapabilities =
    PortCapabilities { partial_checksum: false, tso4: false, tso6: false, uso: false };
