//! Packets that wait for the end of a tunnel to be there: some for each, some in all, and not for long.

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use wire::Time;

use crate::packet::Packet;

/// What may wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// The most that wait for one end, by weight.
    pub(super) each: usize,
    /// The most that wait in all, by weight.
    pub(super) all: usize,
    /// How long a packet waits.
    pub(super) longest: Duration,
}

/// Packets that wait, in order, by what they wait for.
pub(super) struct Waiting<K> {
    limits: Limits,
    queues: BTreeMap<K, Queue>,
    weight: usize,
}

#[derive(Default)]
struct Queue {
    packets: VecDeque<Held>,
    weight: usize,
}

struct Held {
    until: Time,
    weight: usize,
    packet: Packet,
}

impl<K: Ord> Waiting<K> {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, queues: BTreeMap::new(), weight: 0 }
    }

    /// How many packets wait for an end.
    pub(super) fn of(&self, end: &K) -> usize {
        self.queues.get(end).map_or(0, |queue| queue.packets.len())
    }

    /// Takes a packet in, or gives it back where enough wait.
    pub(super) fn hold(
        &mut self,
        end: K,
        weight: usize,
        packet: Packet,
        now: Time,
    ) -> Result<(), Box<Packet>> {
        let waits = self.queues.get(&end).map_or(0, |queue| queue.weight);
        if self.weight + weight > self.limits.all || waits + weight > self.limits.each {
            return Err(Box::new(packet));
        }
        let queue = self.queues.entry(end).or_default();
        queue.packets.push_back(Held { until: now + self.limits.longest, weight, packet });
        queue.weight += weight;
        self.weight += weight;
        Ok(())
    }

    /// All that wait for an end.
    pub(super) fn take(&mut self, end: &K) -> Vec<Packet> {
        let Some(queue) = self.queues.remove(end) else { return Vec::new() };
        self.weight -= queue.weight;
        queue.packets.into_iter().map(|held| held.packet).collect()
    }

    /// All that wait.
    pub(super) fn take_all(&mut self) -> Vec<Packet> {
        self.weight = 0;
        let queues = std::mem::take(&mut self.queues);
        queues.into_values().flat_map(|queue| queue.packets).map(|held| held.packet).collect()
    }

    /// When the first has waited long enough.
    pub(super) fn poll_timeout(&self) -> Option<Time> {
        self.queues.values().filter_map(|queue| queue.packets.front()).map(|held| held.until).min()
    }

    /// Those that have waited long enough.
    pub(super) fn overdue(&mut self, now: Time) -> Vec<Packet> {
        let mut gone = Vec::new();
        for queue in self.queues.values_mut() {
            while let Some(held) = queue.packets.pop_front_if(|held| held.until <= now) {
                queue.weight -= held.weight;
                self.weight -= held.weight;
                gone.push(held.packet);
            }
        }
        self.queues.retain(|_, queue| !queue.packets.is_empty());
        gone
    }
}
