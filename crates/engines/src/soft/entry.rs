//! What one flow looks like in memory, and how its key is made and hashed.
//!
//! An IPv4 flow is one cache line, an IPv6 flow two. All of an entry but its atomics is written
//! once, before it can be found, and not changed until no worker can hold it any more.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};

use offload::{Direction, EpochRef, FlowProgram, FlowStats};
use wire::{Rewrite, Time, Tuple};

use super::{
    sa_table::SaRef,
    slab::{Shared, Zeroed},
};

/// An IP version: how keys and addresses are kept.
pub(super) trait Family: Copy + Eq + 'static {
    /// Two addresses.
    type Pair: Copy + Eq + Send + Sync;

    /// The addresses of a tuple; `None` if it is of the other IP version.
    fn pair(src: IpAddr, dst: IpAddr) -> Option<Self::Pair>;

    /// And back.
    fn addresses(pair: Self::Pair) -> (IpAddr, IpAddr);

    /// A keyed hash of the addresses and the rest of the key.
    fn hash(seed: &Seed, pair: Self::Pair, rest: u64) -> u64;
}

/// IPv4.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct V4;

/// IPv6.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct V6;

impl Family for V4 {
    type Pair = [u32; 2];

    #[inline(always)]
    fn pair(src: IpAddr, dst: IpAddr) -> Option<[u32; 2]> {
        match (src, dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => Some([src.to_bits(), dst.to_bits()]),
            _ => None,
        }
    }

    #[inline(always)]
    fn addresses([src, dst]: [u32; 2]) -> (IpAddr, IpAddr) {
        (IpAddr::V4(Ipv4Addr::from_bits(src)), IpAddr::V4(Ipv4Addr::from_bits(dst)))
    }

    #[inline(always)]
    fn hash(seed: &Seed, [src, dst]: [u32; 2], rest: u64) -> u64 {
        let addresses = u64::from(src) << 32 | u64::from(dst);
        let h = fold(addresses ^ seed.0[0], rest ^ seed.0[1]);
        fold(h ^ seed.0[2], seed.0[3])
    }
}

impl Family for V6 {
    type Pair = [[u64; 2]; 2];

    #[inline(always)]
    fn pair(src: IpAddr, dst: IpAddr) -> Option<[[u64; 2]; 2]> {
        let halves = |ip: Ipv6Addr| {
            let bits = ip.to_bits();
            [(bits >> 64) as u64, bits as u64]
        };
        match (src, dst) {
            (IpAddr::V6(src), IpAddr::V6(dst)) => Some([halves(src), halves(dst)]),
            _ => None,
        }
    }

    #[inline(always)]
    fn addresses([src, dst]: [[u64; 2]; 2]) -> (IpAddr, IpAddr) {
        let whole = |[high, low]: [u64; 2]| {
            IpAddr::V6(Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low)))
        };
        (whole(src), whole(dst))
    }

    #[inline(always)]
    fn hash(seed: &Seed, [src, dst]: [[u64; 2]; 2], rest: u64) -> u64 {
        let a = fold(src[0] ^ seed.0[0], src[1] ^ seed.0[1]);
        let b = fold(dst[0] ^ seed.0[2], dst[1] ^ seed.0[3]);
        let h = fold(a ^ seed.0[4], b.rotate_left(32) ^ rest ^ seed.0[5]);
        fold(h ^ seed.0[2], seed.0[3])
    }
}

/// The secret of the hash: who does not know it cannot choose packets that collide.
#[derive(Clone)]
pub(super) struct Seed([u64; 6]);

impl Seed {
    /// Spreads 128 random bits (SplitMix64).
    pub(super) fn new(random: u128) -> Self {
        let mut state = (random >> 64) as u64;
        let low = random as u64;
        Self([(); 6].map(|()| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            // odd, so that a product with it loses nothing
            (z ^ (z >> 31) ^ low) | 1
        }))
    }
}

#[inline(always)]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

/// A key: addresses, and ports, virtual router and protocol in one word.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Key<F: Family> {
    pub(super) pair: F::Pair,
    pub(super) rest: u64,
}

impl<F: Family> Key<F> {
    #[inline(always)]
    pub(super) fn new(tuple: &Tuple, vr: u16) -> Option<Self> {
        let rest = u64::from(tuple.src_port) << 48
            | u64::from(tuple.dst_port) << 32
            | u64::from(vr) << 16
            | u64::from(tuple.proto);
        Some(Self { pair: F::pair(tuple.src, tuple.dst)?, rest })
    }

    #[inline(always)]
    pub(super) fn hash(&self, seed: &Seed) -> u64 {
        F::hash(seed, self.pair, self.rest)
    }

    #[inline(always)]
    pub(super) const fn vr(&self) -> u16 {
        (self.rest >> 16) as u16
    }

    #[inline(always)]
    pub(super) const fn proto(&self) -> u8 {
        self.rest as u8
    }

    pub(super) fn tuple(&self) -> Tuple {
        let (src, dst) = F::addresses(self.pair);
        Tuple {
            src,
            dst,
            src_port: (self.rest >> 48) as u16,
            dst_port: (self.rest >> 32) as u16,
            proto: self.proto(),
        }
    }
}

/// No TCP window to check.
const NO_WINDOW: u32 = u32::MAX;

/// Bits of [`Entry::marks`].
mod mark {
    /// It can be found.
    pub(super) const INSTALLED: u8 = 1;
    /// It can no longer be found, but some worker may hold it.
    pub(super) const RETIRING: u8 = 2;
    /// A trace wants its packets.
    pub(super) const TRACED: u8 = 4;
    /// The clock hand has taken a sample of it.
    pub(super) const SAMPLED: u8 = 8;
}

/// One flow.
#[repr(C, align(64))]
pub(super) struct Entry<F: Family> {
    pub(super) key: Key<F>,
    new_pair: F::Pair,
    new_ports: [u16; 2],
    deltas: [u16; 2],
    pub(super) adjacency: u32,
    window: u32,
    pub(super) session: u32,
    epoch_value: u32,
    epoch_slot: u16,
    pub(super) ingress: u16,
    pub(super) mtu: u16,
    /// Bit 0: reply direction; bit 1: something but the TTL changes; bit 2: packets go into an SA;
    /// bit 3: it stands for an incoming SA. With bit 2 or 3 `adjacency` is an [`SaRef`].
    bits: u8,
    marks: AtomicU8,
    /// Which tenant of the slot; only the writer reads it.
    pub(super) generation: u32,
    /// Low half of the packet count when the clock hand last passed.
    sample: AtomicU32,
}

const _: () = assert!(size_of::<Entry<V4>>() == 64);
const _: () = assert!(size_of::<Entry<V6>>() == 128);

// SAFETY: integers and atomics of zero bytes are zero; nothing needs dropping.
unsafe impl<F: Family> Zeroed for Entry<F> {}

impl<F: Family> Entry<F> {
    /// The entry of a program, not to be found yet.
    pub(super) fn new(program: &FlowProgram, key: Key<F>, generation: u32) -> Option<Self> {
        let rewrite = &program.rewrite;
        Some(Self {
            key,
            new_pair: F::pair(rewrite.src, rewrite.dst)?,
            new_ports: [rewrite.src_port, rewrite.dst_port],
            deltas: [rewrite.l3_delta, rewrite.l4_delta],
            adjacency: program.sa.map_or(program.adjacency.0, |sa| SaRef::new(sa).0),
            window: program.tcp_window.unwrap_or(NO_WINDOW),
            session: program.session,
            epoch_value: program.epoch.value.0,
            epoch_slot: program.epoch.slot,
            ingress: program.ingress,
            mtu: program.mtu,
            bits: program.direction.index() as u8
                | u8::from(rewrite.changes) << 1
                | u8::from(program.sa.is_some()) << 2,
            marks: AtomicU8::new(mark::INSTALLED),
            generation,
            sample: AtomicU32::new(0),
        })
    }

    /// The entry that an incoming SA is found by.
    pub(super) fn of_sa(key: Key<F>, sa: SaRef, generation: u32) -> Self {
        Self {
            key,
            new_pair: key.pair,
            new_ports: [0; 2],
            deltas: [0; 2],
            adjacency: sa.0,
            window: NO_WINDOW,
            session: u32::MAX,
            epoch_value: 0,
            epoch_slot: 0,
            ingress: u16::MAX,
            mtu: 0,
            bits: 1 << 3,
            marks: AtomicU8::new(mark::INSTALLED),
            generation,
            sample: AtomicU32::new(0),
        }
    }

    /// Whether packets go into an SA; [`Entry::sa`] tells which.
    #[inline(always)]
    pub(super) const fn is_into_sa(&self) -> bool {
        self.bits & 1 << 2 != 0
    }

    /// Whether it stands for an incoming SA; [`Entry::sa`] tells which.
    #[inline(always)]
    pub(super) const fn is_sa(&self) -> bool {
        self.bits & 1 << 3 != 0
    }

    /// The SA it stands for or sends into.
    #[inline(always)]
    pub(super) const fn sa(&self) -> Option<SaRef> {
        if self.is_into_sa() || self.is_sa() { Some(SaRef(self.adjacency)) } else { None }
    }

    #[inline(always)]
    pub(super) fn rewrite(&self) -> Rewrite {
        let (src, dst) = F::addresses(self.new_pair);
        Rewrite {
            src,
            dst,
            src_port: self.new_ports[0],
            dst_port: self.new_ports[1],
            l3_delta: self.deltas[0],
            l4_delta: self.deltas[1],
            changes: self.bits & 2 != 0,
        }
    }

    #[inline(always)]
    pub(super) const fn direction(&self) -> Direction {
        if self.bits & 1 == 0 { Direction::Original } else { Direction::Reply }
    }

    #[inline(always)]
    pub(super) const fn epoch(&self) -> EpochRef {
        EpochRef { slot: self.epoch_slot, value: offload::Epoch(self.epoch_value) }
    }

    #[inline(always)]
    pub(super) const fn window(&self) -> Option<u32> {
        if self.window == NO_WINDOW { None } else { Some(self.window) }
    }

    #[inline(always)]
    pub(super) fn is_traced(&self) -> bool {
        self.marks.load(Relaxed) & mark::TRACED != 0
    }

    pub(super) fn is_installed(&self) -> bool {
        self.marks.load(Relaxed) & mark::INSTALLED != 0
    }

    /// Installed or retiring: somebody still counts on its counters.
    pub(super) fn is_alive(&self) -> bool {
        self.marks.load(Relaxed) & (mark::INSTALLED | mark::RETIRING) != 0
    }

    pub(super) fn set_traced(&self, traced: bool) {
        if traced {
            self.marks.fetch_or(mark::TRACED, Relaxed);
        } else {
            self.marks.fetch_and(!mark::TRACED, Relaxed);
        }
    }

    pub(super) fn set_retiring(&self) {
        self.marks.store(mark::RETIRING, Relaxed);
    }

    pub(super) fn set_free(&self) {
        self.marks.store(0, Relaxed);
    }

    /// Packets since the last sample, if there was one, and takes a new one.
    pub(super) fn resample(&self, packets: u64) -> Option<u32> {
        let before = self.sample.swap(packets as u32, Relaxed);
        let marks = self.marks.fetch_or(mark::SAMPLED, Relaxed);
        (marks & mark::SAMPLED != 0).then(|| (packets as u32).wrapping_sub(before))
    }
}

/// What one worker counted for one flow. Only that worker writes it.
#[repr(C)]
pub(super) struct Counters {
    packets: AtomicU64,
    bytes: AtomicU64,
    last_hit: AtomicU64,
}

// SAFETY: atomics of zero bytes are zero.
unsafe impl Zeroed for Counters {}
impl Shared for Counters {}

impl Counters {
    #[inline(always)]
    pub(super) fn add(&self, packets: u64, bytes: u64, now: Time) {
        // one writer: a load and a store are enough
        self.packets.store(self.packets.load(Relaxed) + packets, Relaxed);
        self.bytes.store(self.bytes.load(Relaxed) + bytes, Relaxed);
        // a hit at time zero is a hit
        self.last_hit.store(now.as_nanos().max(1), Relaxed);
    }

    /// Adds what this worker counted to a sum over workers.
    pub(super) fn sum_into(&self, stats: &mut FlowStats) {
        stats.packets += self.packets.load(Relaxed);
        stats.bytes += self.bytes.load(Relaxed);
        stats.last_hit = stats.last_hit.max(Time::from_nanos(self.last_hit.load(Relaxed)));
    }

    /// Only while no worker can hold the flow.
    pub(super) fn reset(&self) {
        self.packets.store(0, Relaxed);
        self.bytes.store(0, Relaxed);
        self.last_hit.store(0, Relaxed);
    }
}
