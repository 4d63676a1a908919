//! The window a connection offers: what the way to its peer needs, and not all there is room for.
//!
//! A peer that may always have more under way sends every small piece at once, in a segment of its own. One that has to
//! wait for acknowledgements collects meanwhile, and sends larger segments: both ends have less to do. So the window
//! is what [`FASTEST`] bytes a second need over the time the handshake took, at least [`LEAST`] bytes; it never
//! shrinks.
//!
//! `smoltcp` offers what its buffer has room for, so the field is lowered in what it sends. It takes what comes within
//! its own window.

use core::time::Duration;

use wire::tcp::{Segment, flags};

/// Bytes a second: 1 Gbit/s. The time a handshake takes has wake-ups of both ends in it, which data that flows has not.
const FASTEST: u128 = 125_000_000;

/// Bytes that are offered however near the peer is.
const LEAST: u128 = 64 << 10;

/// What the field of segments may say at most.
#[derive(Clone, Copy)]
pub(super) struct Window {
    most: u16,
}

impl Window {
    /// What there is room for.
    pub(super) const OPEN: Self = Self { most: u16::MAX };

    /// For a peer that completed the handshake so long after `answer`, our packet behind an Ethernet header, which says
    /// how the field is scaled.
    pub(super) fn for_way(took: Duration, answer: &[u8]) -> Self {
        let bytes = (FASTEST * took.as_nanos() / 1_000_000_000).max(LEAST);
        let shift = wire::parse(answer)
            .ok()
            .and_then(|headers| Segment::of(answer, &headers)?.offer().ok()?.window_scale);
        Self { most: u16::try_from(bytes >> shift.unwrap_or(0)).unwrap_or(u16::MAX) }
    }

    /// Lowers the field of a segment of ours, whose checksum is not made yet.
    pub(super) fn limit(self, segment: &mut [u8]) {
        let Some(header) = segment.first_chunk_mut::<20>() else { return };
        let offered = u16::from_be_bytes([header[14], header[15]]);
        // that of an opening segment is not scaled (RFC 7323 §2.2)
        if offered <= self.most || header[13] & flags::SYN != 0 {
            return;
        }
        header[14..16].copy_from_slice(&self.most.to_be_bytes());
    }
}
