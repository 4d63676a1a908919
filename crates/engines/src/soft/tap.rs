//! Taps: copies of packets for captures, taken where only a worker sees them.
//!
//! What comes in and leaves by a port, its owner sees. What an SA has opened or is about to seal, and
//! what ends here, only the worker sees: with a [`Tap`] in its [`Output`](super::Output) it copies those
//! into memory that was set aside before. Without one it pays one branch for each packet of an SA.

use core::ops::Range;

use offload::SaName;
use ports::PortId;
use reason::DropReason;
use wire::IpVersion;

use super::sa::blank;

/// Bytes that one tap keeps between two looks.
const ROOM: usize = 4 << 20;

/// Packets that one tap keeps between two looks.
const PACKETS: usize = 4_096;

/// Where a packet was copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TapPoint {
    /// It came out of an SA; the place is the tunnel's interface.
    Opened,
    /// It was sealed: this is the packet before. The place is where it came in.
    Sealed,
    /// It went no further. Of an ESP packet that was not opened, the ESP packet.
    Dropped(DropReason),
}

/// Where a packet came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TapPlace {
    /// By an interface, by its number.
    Interface(u16),
    /// By a port; nobody has asked yet for which interface.
    Port(PortId),
}

/// A packet that was copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tapped<'a> {
    /// Where.
    pub point: TapPoint,
    /// Where it came in.
    pub place: TapPlace,
    /// The SA it was copied at.
    pub sa: Option<SaName>,
    /// The frame; packets from inside of tunnels stand behind a blank Ethernet header.
    pub bytes: &'a [u8],
}

struct Kept {
    point: TapPoint,
    place: TapPlace,
    sa: Option<SaName>,
    at: Range<usize>,
}

/// A copy about which it is not known yet what becomes of its packet.
pub(super) struct Held {
    sa: SaName,
    place: TapPlace,
    at: Range<usize>,
}

/// What a worker copies, and the copies.
pub struct Tap {
    spis: Vec<u32>,
    bytes: Vec<u8>,
    kept: Vec<Kept>,
    lost: u64,
}

impl Tap {
    /// Copies packets of the SAs with these SPIs, of all SAs and associations where there are none. All
    /// memory is taken now.
    pub fn new(spis: Vec<u32>) -> Self {
        Self { spis, bytes: Vec::with_capacity(ROOM), kept: Vec::with_capacity(PACKETS), lost: 0 }
    }

    /// What was copied, in order.
    pub fn iter(&self) -> impl Iterator<Item = Tapped<'_>> {
        self.kept.iter().map(|kept| Tapped {
            point: kept.point,
            place: kept.place,
            sa: kept.sa,
            bytes: self.bytes.get(kept.at.clone()).unwrap_or_default(),
        })
    }

    /// Forgets the copies; tells how many packets found no room since the last time.
    pub fn clear(&mut self) -> u64 {
        self.bytes.clear();
        self.kept.clear();
        core::mem::take(&mut self.lost)
    }

    /// Copies a frame about which it is not known yet what becomes of it.
    #[cold]
    pub(super) fn hold(&mut self, sa: SaName, place: TapPlace, frame: &[u8]) -> Option<Held> {
        self.hold_behind(sa, place, &[], frame)
    }

    /// The same with a packet that begins with its IP header.
    #[cold]
    pub(super) fn hold_packet(
        &mut self,
        sa: SaName,
        place: TapPlace,
        packet: &[u8],
    ) -> Option<Held> {
        let version = match packet.first().map(|first| first >> 4) {
            Some(6) => IpVersion::V6,
            _ => IpVersion::V4,
        };
        self.hold_behind(sa, place, &blank(version), packet)
    }

    /// The ESP packet was opened, and this is what is inside now; nothing if it was a dummy.
    #[cold]
    pub(super) fn opened(&mut self, held: Option<Held>, tunnel: u16, frame: Option<&[u8]>) {
        let Some(held) = held else { return };
        self.bytes.truncate(held.at.start);
        if let Some(frame) = frame {
            let inside = self.hold_behind(held.sa, TapPlace::Interface(tunnel), &[], frame);
            self.keep(inside, TapPoint::Opened);
        }
    }

    /// The packet was sealed, or it goes no further.
    #[cold]
    pub(super) fn keep(&mut self, held: Option<Held>, point: TapPoint) {
        let Some(Held { sa, place, at }) = held else { return };
        self.kept.push(Kept { point, place, sa: Some(sa), at });
    }

    /// A frame goes no further that no SA has to do with.
    #[cold]
    pub(super) fn dropped(&mut self, reason: DropReason, place: TapPlace, frame: &[u8]) {
        if let Some(at) = self.copy(&[], frame) {
            self.kept.push(Kept { point: TapPoint::Dropped(reason), place, sa: None, at });
        }
    }

    fn hold_behind(
        &mut self,
        sa: SaName,
        place: TapPlace,
        head: &[u8],
        rest: &[u8],
    ) -> Option<Held> {
        if !self.spis.is_empty() && !sa.spi().is_some_and(|spi| self.spis.contains(&spi)) {
            return None;
        }
        let at = self.copy(head, rest)?;
        Some(Held { sa, place, at })
    }

    fn copy(&mut self, head: &[u8], rest: &[u8]) -> Option<Range<usize>> {
        let start = self.bytes.len();
        let end = start + head.len() + rest.len();
        if end > self.bytes.capacity() || self.kept.len() == self.kept.capacity() {
            self.lost += 1;
            return None;
        }
        self.bytes.extend_from_slice(head);
        self.bytes.extend_from_slice(rest);
        Some(start..end)
    }
}

/// Says how much there is, and nothing of what packets carry.
impl core::fmt::Debug for Tap {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Tap({} packets, {} lost)", self.kept.len(), self.lost)
    }
}

#[cfg(test)]
mod tests {

    use super::*;

    fn sa(spi: u32) -> SaName {
        let sa = crate::soft::tests::sa(spi);
        SaName::Esp { spi: sa.spi, destination: sa.destination }
    }

    const PLACE: TapPlace = TapPlace::Interface(3);

    fn kept(tap: &Tap) -> Vec<(TapPoint, u32, &[u8])> {
        tap.iter().map(|t| (t.point, t.sa.and_then(|sa| sa.spi()).unwrap_or(0), t.bytes)).collect()
    }

    #[test]
    fn what_becomes_of_a_packet_decides_what_is_kept_of_it() {
        let mut tap = Tap::new(Vec::new());
        let held = tap.hold(sa(700), PLACE, b"esp packet");
        tap.opened(held, 9, Some(b"inside"));
        let held = tap.hold(sa(700), PLACE, b"dummy");
        tap.opened(held, 9, None);
        let held = tap.hold(sa(700), PLACE, b"damaged");
        tap.keep(held, TapPoint::Dropped(DropReason::EspIcvFailed));
        let failed = TapPoint::Dropped(DropReason::EspIcvFailed);
        let expected = [(TapPoint::Opened, 700, &b"inside"[..]), (failed, 700, &b"damaged"[..])];
        assert_eq!(kept(&tap), expected);
        let places: Vec<_> = tap.iter().map(|t| t.place).collect();
        assert_eq!(places, [TapPlace::Interface(9), PLACE]);
        assert_eq!((tap.clear(), tap.iter().count()), (0, 0));
    }

    #[test]
    fn only_the_wanted_sas_are_copied() {
        let mut tap = Tap::new(vec![500]);
        assert!(tap.hold(sa(600), PLACE, b"another").is_none());
        let held = tap.hold_packet(sa(500), PLACE, &[0x60, 1, 2]);
        tap.keep(held, TapPoint::Sealed);
        let got = kept(&tap);
        let [(TapPoint::Sealed, 500, bytes)] = &got[..] else { panic!("{got:?}") };
        assert_eq!(bytes[12..], [0x86, 0xdd, 0x60, 1, 2]);
    }

    #[test]
    fn a_full_tap_counts_what_it_loses() {
        let mut tap = Tap::new(Vec::new());
        let packet = vec![0; 65_536];
        for _ in 0..80 {
            tap.dropped(DropReason::PuntRingFull, PLACE, &packet);
        }
        assert_eq!((tap.iter().count(), tap.clear()), (64, 16));
    }
}
