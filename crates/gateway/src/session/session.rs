//! What is remembered of one session.

use core::ops::Deref;

use config::model::{IfId, VrId};
use offload::{Direction, Epoch, EpochRef, FlowStats, ledger::Entry};
use reason::DemotionReason;
use wire::{Time, Tuple, proto};

use crate::nat::Binding;

use super::SessionState;

/// No value, where a field has no room for an `Option`.
const NONE: u32 = u32::MAX;

/// Bits that a session keeps of the bytes its rule has been told of.
const TOLD_BYTES: u32 = 36;

/// Between whom a session runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Through the gateway.
    Forward,
    /// To the gateway itself.
    LocalIn,
    /// From the gateway itself.
    LocalOut,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Forward, Self::LocalIn, Self::LocalOut];

    /// The kind in one kebab-case word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::LocalIn => "local-in",
            Self::LocalOut => "local-out",
        }
    }
}

/// Packets and bytes of IP packets, as received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Packets; a super-packet counts as the packets it stands for.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Tally {
    /// Both added up.
    pub const fn plus(self, other: Self) -> Self {
        Self {
            packets: self.packets.saturating_add(other.packets),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }
}

impl From<FlowStats> for Tally {
    fn from(stats: FlowStats) -> Self {
        Self { packets: stats.packets, bytes: stats.bytes }
    }
}

/// What a session is found by, and what never changes in it. A [`Session`] derefs to it.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    /// The tuple of the original direction as its packets arrive.
    pub original: Tuple,
    /// The tuple of the reply direction as its packets arrive, after translation.
    pub reply: Tuple,
    /// When the first packet came.
    pub created: Time,
    /// Virtual router; part of both keys.
    pub vr: VrId,
    /// Between whom.
    pub kind: Kind,
    pub(super) generation: u32,
}

/// One session. Fields that are part of its keys are read-only: see [`Identity`].
#[derive(Clone, Debug)]
pub struct Session {
    identity: Identity,
    /// Interface the original direction comes in by.
    pub ingress: IfId,
    /// Interface the original direction leaves by.
    pub egress: IfId,
    /// Number of the policy (forward), or index of the local rule; `u32::MAX` without one.
    pub rule: u32,
    /// Neighbour each direction is sent to, by its id; `u32::MAX` while there is none.
    pub next_hop: [u32; 2],
    /// The login of the user behind the original source; zero where nobody is known to be.
    pub login: u32,
    /// Where each direction stands with the engine.
    pub ledger: Entry,
    /// When the slow path last let a packet of it pass.
    pub last_seen: Time,
    /// Set once it is ending: why.
    pub ending: Option<DemotionReason>,
    binding: Option<Binding>,
    slow: [Tally; 2],
    fast: [Tally; 2],
    /// What of both directions its rule has been told: the low [`TOLD_BYTES`] bits of the bytes,
    /// the rest low bits of the packets.
    told: u64,
    /// Slot in the shared TCP windows; for SCTP both verification tags, folded; else [`NONE`].
    pub(super) scratch: u32,
    /// Packets that set it up, at most 255, and their bytes; part of `slow`.
    setup_packets: u8,
    setup_bytes: u16,
    mss_clamp: u16,
    vip: u16,
    flags: u8,
    /// What it was last judged by, in two fields: together they would be padded.
    epoch_slot: u16,
    epoch: Epoch,
    pub(super) state: SessionState,
}

impl Deref for Session {
    type Target = Identity;

    fn deref(&self) -> &Identity {
        &self.identity
    }
}

impl Session {
    /// A session before its first packet was observed. `original` and `reply` are the tuples as the
    /// packets of the two directions arrive.
    pub fn new(kind: Kind, vr: VrId, original: Tuple, reply: Tuple, now: Time) -> Self {
        Self {
            identity: Identity { original, reply, created: now, vr, kind, generation: 0 },
            ingress: IfId(0),
            egress: IfId(0),
            rule: NONE,
            next_hop: [NONE; 2],
            login: 0,
            ledger: Entry::default(),
            last_seen: now,
            ending: None,
            binding: None,
            slow: [Tally::default(); 2],
            fast: [Tally::default(); 2],
            told: 0,
            scratch: NONE,
            setup_packets: 0,
            setup_bytes: 0,
            mss_clamp: 0,
            vip: u16::MAX,
            flags: 0,
            epoch_slot: 0,
            epoch: Epoch::default(),
            state: SessionState::New,
        }
    }

    /// What it was last judged by.
    pub const fn epoch(&self) -> EpochRef {
        EpochRef { slot: self.epoch_slot, value: self.epoch }
    }

    /// It was judged by this now.
    pub fn set_epoch(&mut self, epoch: EpochRef) {
        (self.epoch_slot, self.epoch) = (epoch.slot, epoch.value);
    }

    /// The tuple packets of a direction arrive with.
    pub const fn key(&self, direction: Direction) -> Tuple {
        match direction {
            Direction::Original => self.identity.original,
            Direction::Reply => self.identity.reply,
        }
    }

    /// The original direction between its two translations: what routes and policies look at.
    pub const fn inner(&self) -> Tuple {
        Tuple {
            dst: self.identity.reply.src,
            dst_port: self.identity.reply.src_port,
            ..self.identity.original
        }
    }

    /// Whether addresses or ports are translated.
    pub fn is_translated(&self) -> bool {
        self.original.reversed() != self.reply
    }

    /// Where it stands.
    pub const fn state(&self) -> SessionState {
        self.state
    }

    /// Its slot in the shared TCP windows.
    pub fn tcp_window(&self) -> Option<u32> {
        (self.original.proto == proto::TCP && self.scratch != NONE).then_some(self.scratch)
    }

    /// What it holds of an IP pool.
    pub const fn binding(&self) -> Option<Binding> {
        self.binding
    }

    /// Sets what it holds of an IP pool.
    pub const fn set_binding(&mut self, binding: Option<Binding>) {
        self.binding = binding;
    }

    /// The VIP that translated its destination, by index.
    pub fn vip(&self) -> Option<u16> {
        (self.vip != u16::MAX).then_some(self.vip)
    }

    /// Sets the VIP.
    pub fn set_vip(&mut self, vip: Option<u16>) {
        self.vip = vip.unwrap_or(u16::MAX);
    }

    /// The MSS its SYN segments are clamped to, in bytes.
    pub fn mss_clamp(&self) -> Option<u16> {
        (self.mss_clamp != 0).then_some(self.mss_clamp)
    }

    /// Sets the MSS clamp.
    pub fn set_mss_clamp(&mut self, mss: Option<u16>) {
        self.mss_clamp = mss.unwrap_or(0);
    }

    /// Counts what the slow path received.
    pub fn add_slow(&mut self, direction: Direction, packets: u64, bytes: u64) {
        let tally = &mut self.slow[direction.index()];
        *tally = tally.plus(Tally { packets, bytes });
    }

    /// Remembers that what was counted so far set the session up.
    pub fn mark_setup(&mut self, packets: u64, bytes: u64) {
        self.setup_packets = packets.min(u8::MAX.into()) as u8;
        self.setup_bytes = bytes.min(u16::MAX.into()) as u16;
    }

    /// What of a direction's slow-path counters set the session up.
    pub const fn setup(&self, direction: Direction) -> Tally {
        match direction {
            Direction::Original => {
                Tally { packets: self.setup_packets as u64, bytes: self.setup_bytes as u64 }
            }
            Direction::Reply => Tally { packets: 0, bytes: 0 },
        }
    }

    /// Adds the final counters of a program that has left its engine.
    pub fn add_fast(&mut self, direction: Direction, stats: FlowStats) {
        let tally = &mut self.fast[direction.index()];
        *tally = tally.plus(stats.into());
    }

    /// What the slow path received of a direction.
    pub const fn slow(&self, direction: Direction) -> Tally {
        self.slow[direction.index()]
    }

    /// What programs of a direction that have left their engine had counted.
    pub const fn fast(&self, direction: Direction) -> Tally {
        self.fast[direction.index()]
    }

    /// The sum over tiers; what a program that is still installed has counted comes on top.
    pub const fn total(&self, direction: Direction) -> Tally {
        self.slow(direction).plus(self.fast(direction))
    }

    /// What its rule has not been told of yet; `total` is the sum over tiers and directions now.
    /// To be asked before 2^28 packets or 2^36 bytes have come.
    pub const fn account(&mut self, total: Tally) -> Tally {
        let bytes = (1 << TOLD_BYTES) - 1;
        let packets = u64::MAX >> TOLD_BYTES;
        let told = self.told;
        self.told = total.packets << TOLD_BYTES | total.bytes & bytes;
        Tally {
            packets: total.packets.wrapping_sub(told >> TOLD_BYTES) & packets,
            bytes: total.bytes.wrapping_sub(told) & bytes,
        }
    }

    /// Packets of both directions that the slow path has seen or been told of.
    pub const fn packets_seen(&self) -> u64 {
        let original = self.total(Direction::Original);
        original.plus(self.total(Direction::Reply)).packets
    }

    /// Takes the place of what stood in the slot before.
    pub(super) fn settle_in(&mut self, generation: u32) {
        self.identity.generation = generation;
        self.flags = self.flags & !(VACANT | HALF_OPEN) | LINKED;
    }

    /// Leaves the slot to the next tenant; `next_free` is kept for the table.
    pub(super) fn vacate(&mut self, next_free: u32) {
        self.identity.generation = self.identity.generation.wrapping_add(1);
        self.rule = next_free;
        self.state = SessionState::New;
        self.flags = VACANT;
    }

    /// Whether nobody has the slot.
    pub(super) fn is_vacant(&self) -> bool {
        self.has(VACANT)
    }

    fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    fn set(&mut self, flag: u8, on: bool) {
        self.flags = if on { self.flags | flag } else { self.flags & !flag };
    }
}

const LOGGED: u8 = 1;
const TRACED: u8 = 1 << 1;
const FRAGMENTED: u8 = 1 << 2;
const OPTIONS: u8 = 1 << 3;
/// The look-up finds it.
const LINKED: u8 = 1 << 4;
/// The table has counted it as half open.
const HALF_OPEN: u8 = 1 << 5;
/// Nobody has the slot.
const VACANT: u8 = 1 << 6;

macro_rules! flags {
    ($($(#[$doc:meta])* $visible:vis $get:ident $set:ident $FLAG:ident;)+) => {
        impl Session {
            $(
                $(#[$doc])*
                $visible fn $get(&self) -> bool {
                    self.has($FLAG)
                }

                #[doc = concat!("Sets [`", stringify!($get), "`](Self::", stringify!($get), ").")]
                $visible fn $set(&mut self, on: bool) {
                    self.set($FLAG, on);
                }
            )+
        }
    };
}

flags! {
    /// Whether its start and end are written to the events.
    pub is_logged set_logged LOGGED;
    /// Whether a running trace follows it.
    pub is_traced set_traced TRACED;
    /// Whether its packets come in fragments.
    pub is_fragmented set_fragmented FRAGMENTED;
    /// Whether its packets carry IP options or extension headers.
    pub has_options set_options OPTIONS;
    /// Whether the look-up finds it.
    pub(super) is_linked set_linked LINKED;
    /// Whether the table has counted it as half open.
    pub(super) counted_half_open set_counted_half_open HALF_OPEN;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_as_small_as_the_memory_budget_says() {
        // 300 bytes a session for the slot, its timer (8) and two index entries (18.3)
        assert!(size_of::<Session>() <= 272, "{}", size_of::<Session>());
    }

    #[test]
    fn counters_add_up_over_tiers_and_directions() {
        let end = |n| core::net::IpAddr::from([10, 0, 0, n]);
        let tuple = Tuple { src: end(1), dst: end(2), src_port: 1, dst_port: 2, proto: proto::UDP };
        let mut session = Session::new(Kind::Forward, VrId(0), tuple, tuple.reversed(), Time::ZERO);
        session.add_slow(Direction::Original, 2, 200);
        session.add_slow(Direction::Reply, 1, 50);
        let stats = FlowStats { packets: 40, bytes: 4_000, last_hit: Time::ZERO };
        session.add_fast(Direction::Original, stats);
        session.add_fast(Direction::Original, stats);
        assert_eq!(session.total(Direction::Original), Tally { packets: 82, bytes: 8_200 });
        assert_eq!(session.total(Direction::Reply), Tally { packets: 1, bytes: 50 });
        assert_eq!(session.packets_seen(), 83);
        session.mark_setup(2, 200);
        assert_eq!(session.setup(Direction::Original), Tally { packets: 2, bytes: 200 });
        assert_eq!(session.setup(Direction::Reply), Tally::default());
    }

    #[test]
    fn a_rule_is_told_everything_once() {
        let end = |n| core::net::IpAddr::from([10, 0, 0, n]);
        let tuple = Tuple { src: end(1), dst: end(2), src_port: 1, dst_port: 2, proto: proto::UDP };
        let mut session = Session::new(Kind::Forward, VrId(0), tuple, tuple.reversed(), Time::ZERO);
        let (mut total, mut told) = (Tally::default(), Tally::default());
        for (packets, bytes) in [(1, 29), (0, 0), (1 << 27, 1 << 35), (200_000_000, 60 << 30)] {
            total = total.plus(Tally { packets, bytes });
            told = told.plus(session.account(total));
            assert_eq!(told, total);
        }
    }

    #[test]
    fn flags_and_absent_values_do_not_disturb_each_other() {
        let end = |n| core::net::IpAddr::from([10, 0, 0, n]);
        let tuple = Tuple { src: end(1), dst: end(2), src_port: 1, dst_port: 2, proto: proto::UDP };
        let mut session = Session::new(Kind::Forward, VrId(0), tuple, tuple.reversed(), Time::ZERO);
        assert_eq!((session.vip(), session.binding(), session.mss_clamp()), (None, None, None));
        session.set_vip(Some(0));
        session.set_mss_clamp(Some(1360));
        session.set_logged(true);
        session.set_options(true);
        session.set_logged(false);
        assert_eq!(
            (session.vip(), session.binding(), session.mss_clamp()),
            (Some(0), None, Some(1360))
        );
        assert!(session.has_options() && !session.is_logged() && !session.is_traced());
        assert_eq!(session.tcp_window(), None);
    }
}
