//! The receiving half: an ESP packet becomes an IP packet in its frame (RFC 4303 §3.4).

use std::{fmt, mem::offset_of, ops::Range};

use aead::{Operation, Selection};
use association::{Meter, Replay, ReplayError, Tallies};
use ports::{Frame, Offloads};
use reason::DropReason;
use wire::{IpVersion, Time, ecn};

use crate::{
    Expiry, HEADER_LEN, Lifetime, Mode, ParameterError, Parameters, REASONS, ReplayBitmap,
    TRAILER_LEN, Tally, WRITERS,
    carrier::{self, Located},
    headers::{self, IPV4_IN, IPV6_IN, NO_NEXT},
    transform::Transform,
};

/// A packet this many numbers ahead of every other is far more likely one from the past.
const FAR_AHEAD: u64 = 1 << 31;

/// An SA that opens what is received.
///
/// All methods take `&self`: any number of threads may open packets of the same SA, each with a
/// `writer` of its own, and no packet is accepted twice.
#[repr(C, align(64))]
pub struct Inbound {
    // what every packet needs comes first and together: see `prefetch`
    replay: Replay,
    meter: Meter,
    layout: Layout,
    transform: Transform,
    tallies: Tallies<{ REASONS.len() }>,
    parameters: Parameters,
}

/// Lengths that packets of the SA have in common, in bytes.
#[derive(Clone, Copy)]
struct Layout {
    /// ESP header and initialization vector.
    front: u8,
    icv: u8,
    block: u8,
    esn: bool,
    mode: Mode,
}

/// What was in an ESP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// An IP packet, now in the frame.
    Packet(IpVersion),
    /// A dummy (next header 59); what is in the frame is of no use.
    Dummy,
}

/// What an inbound SA is doing.
#[derive(Clone, Debug)]
pub struct InboundStatus {
    /// The highest sequence number accepted.
    pub sequence: u64,
    /// Where in its life it is.
    pub expiry: Expiry,
    /// What is left of the soft lifetime.
    pub soft_left: Lifetime,
    /// What is left of the hard lifetime.
    pub hard_left: Lifetime,
    /// Counters over all writers.
    pub total: Tally,
    /// Counters by writer.
    pub writers: [Tally; WRITERS],
}

impl Inbound {
    /// An SA that has seen nothing yet, with the default cryptographic library.
    pub fn new(parameters: Parameters, created: Time) -> Result<Self, ParameterError> {
        Self::with(parameters, created, &Selection::default(), 0)
    }

    /// An SA with the cryptographic libraries of `selection` that takes everything up to `seen` for
    /// received already: 0 for a new SA.
    pub fn with(
        parameters: Parameters,
        created: Time,
        selection: &Selection,
        seen: u64,
    ) -> Result<Self, ParameterError> {
        parameters.check()?;
        let suite = parameters.suite;
        Ok(Self {
            replay: Replay::new(parameters.replay_window, parameters.esn, seen),
            meter: Meter::new(parameters.soft, parameters.hard, created),
            transform: Transform::new(suite, &parameters.key, selection)?,
            layout: Layout {
                front: (HEADER_LEN + suite.iv_len()) as u8,
                icv: suite.icv_len() as u8,
                block: suite.block() as u8,
                esn: parameters.esn,
                mode: parameters.mode,
            },
            tallies: Tallies::default(),
            parameters,
        })
    }

    /// What the SA was made from.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Opens the packet in `frame`, from the first byte of its outer IP header on: in tunnel mode
    /// the inner packet is left in the frame, in transport mode the packet as it was before ESP.
    ///
    /// The order is parse, replay check, authenticate and decrypt, commit to the replay window,
    /// padding, next header. When it is refused the frame's bytes are unspecified, and the window
    /// has not moved unless the packet was authentic. Whether the SA is the one the packet was
    /// meant for (SPI, addresses) is for the caller to know.
    #[inline]
    pub fn open(&self, frame: &mut Frame, writer: usize, now: Time) -> Result<Opened, DropReason> {
        match self.try_open(frame, now) {
            Ok((opened, bytes)) => {
                self.meter.add(1, bytes);
                match opened {
                    Opened::Packet(_) => self.tallies.passed(writer, 1, bytes, now),
                    Opened::Dummy => self.tallies.dummy(writer),
                }
                Ok(opened)
            }
            Err(reason) => {
                self.tallies.dropped(&REASONS, writer, reason);
                Err(reason)
            }
        }
    }

    /// Asks the CPU for what tells where the rest is. Whoever has packets of several SAs at hand
    /// calls it some packets ahead, and [`Inbound::prefetch_rest`] when this has come.
    #[inline]
    pub fn prefetch(&self, writer: usize) {
        let head = offset_of!(Self, transform) + aead::Key::HEAD;
        ports::prefetch_range(std::ptr::from_ref(self).cast(), head);
        ports::prefetch(self.tallies.line(writer));
    }

    /// Asks the CPU for the rest of what opening a packet of `len` bytes will touch: the key and
    /// the newest part of the replay window.
    #[inline]
    pub fn prefetch_rest(&self, len: usize) {
        self.replay.prefetch();
        self.meter.prefetch();
        self.transform.prefetch(Operation::Open, len);
    }

    /// The highest sequence number accepted.
    pub fn sequence(&self) -> u64 {
        self.replay.top()
    }

    /// Packets and bytes that writers have passed: as [`Tally`] has them, without adding up all of it.
    pub fn served(&self, writers: Range<usize>) -> (u64, u64) {
        self.tallies.passed_by(writers)
    }

    /// When the last packet was opened, whoever did; zero if none was. Dummies do not count.
    pub fn last(&self) -> Time {
        self.tallies.last()
    }

    /// Where in its life the SA is.
    pub fn expiry(&self, now: Time) -> Expiry {
        self.meter.expiry(now)
    }

    /// The replay window as it is now.
    pub fn replay_bitmap(&self) -> ReplayBitmap {
        self.replay.bitmap()
    }

    /// What the SA is doing.
    pub fn status(&self, now: Time) -> InboundStatus {
        let (soft_left, hard_left) = self.meter.left(now);
        let writers = self.tallies.all(&REASONS);
        InboundStatus {
            sequence: self.sequence(),
            expiry: self.expiry(now),
            soft_left,
            hard_left,
            total: Tally::sum(&writers),
            writers,
        }
    }

    #[inline]
    fn try_open(&self, frame: &mut Frame, now: Time) -> Result<(Opened, u64), DropReason> {
        if self.meter.is_over(now) {
            return Err(DropReason::EspSaExpired);
        }
        let located = carrier::locate(frame.bytes())?;
        frame.truncate(located.ip.len);
        frame.offloads = Offloads::default();
        let packet = frame.bytes_mut();
        let esp = located.esp;

        // RFC 4303 §3.4.2 and §3.4.3: lengths, then the replay check
        let start = esp + usize::from(self.layout.front);
        let end = packet
            .len()
            .checked_sub(usize::from(self.layout.icv))
            .ok_or(DropReason::EspMalformed)?;
        let text = end.checked_sub(start).ok_or(DropReason::EspMalformed)?;
        if text < TRAILER_LEN || !text.is_multiple_of(usize::from(self.layout.block)) {
            return Err(DropReason::EspMalformed);
        }
        let header = packet.get(esp..).and_then(|b| b.first_chunk::<HEADER_LEN>());
        let &[_, _, _, _, s0, s1, s2, s3] = header.ok_or(DropReason::EspMalformed)?;
        let low = u32::from_be_bytes([s0, s1, s2, s3]);
        let sequence = self.replay.infer(low).ok_or(DropReason::EspTooOld)?;
        self.replay.check(sequence).map_err(refused)?;

        if let Err(reason) = self.transform.open(packet, esp, sequence, self.layout.esn) {
            // with ESN a number below the window reads as one far ahead, whose ICV is then wrong
            let far = sequence.saturating_sub(self.replay.top()) > FAR_AHEAD;
            return Err(if far { DropReason::EspTooOld } else { reason });
        }
        self.replay.accept(sequence).map_err(refused)?;

        let text = packet.get(start..end).ok_or(DropReason::EspMalformed)?;
        let (payload, next_header) = take_trailer(text)?;
        if next_header == NO_NEXT {
            return Ok((Opened::Dummy, payload as u64));
        }
        match self.layout.mode {
            Mode::Tunnel => unwrap_tunnel(frame, &located, start, payload, next_header),
            Mode::Transport => unwrap_transport(frame, &located, start, payload, next_header),
        }
    }
}

fn refused(error: ReplayError) -> DropReason {
    match error {
        ReplayError::Replayed => DropReason::EspReplayed,
        ReplayError::TooOld => DropReason::EspTooOld,
    }
}

/// Checks the padding and returns the length of the payload and the next header
/// (RFC 4303 §2.4 to §2.6).
#[inline]
fn take_trailer(text: &[u8]) -> Result<(usize, u8), DropReason> {
    let Some((rest, &[padding, next_header])) = text.split_last_chunk::<TRAILER_LEN>() else {
        return Err(DropReason::EspMalformed);
    };
    let Some(payload) = rest.len().checked_sub(usize::from(padding)) else {
        return Err(DropReason::EspPadMalformed);
    };
    // the padding is 1, 2, 3, …
    let right = match rest.last_chunk() {
        Some(last) if padding <= 16 => ends_with_padding(last, padding),
        Some(_) | None => {
            rest.iter().skip(payload).zip(1..=255u8).all(|(byte, expected)| *byte == expected)
        }
    };
    if !right {
        return Err(DropReason::EspPadMalformed);
    }
    Ok((payload, next_header))
}

/// Whether the last `padding` bytes, 16 at most, are 1, 2, 3, and so on: the usual case at once.
#[inline]
fn ends_with_padding(last: &[u8; 16], padding: u8) -> bool {
    const ALL: u128 = 0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10;
    let unused = 8 * (16 - u32::from(padding));
    let expected = ALL.checked_shr(unused).unwrap_or(0);
    let compared = u128::MAX.checked_shr(unused).unwrap_or(0);
    u128::from_be_bytes(*last) & compared == expected
}

#[inline]
fn unwrap_tunnel(
    frame: &mut Frame,
    located: &Located,
    start: usize,
    payload: usize,
    next_header: u8,
) -> Result<(Opened, u64), DropReason> {
    let version = match next_header {
        IPV4_IN => IpVersion::V4,
        IPV6_IN => IpVersion::V6,
        _ => return Err(DropReason::EspNextHeaderUnsupported),
    };
    frame.pull_front(start);
    frame.truncate(payload);
    let inner = headers::read(frame.bytes())?;
    if inner.version != version {
        return Err(DropReason::EspNextHeaderUnsupported);
    }
    // what is behind the inner packet's own length is TFC padding (RFC 4303 §2.7)
    frame.truncate(inner.len);
    let ecn = ecn::decapsulate(inner.tos, located.ip.tos)?;
    if ecn != inner.tos & ecn::MASK {
        ecn::set(frame.bytes_mut(), version, ecn);
    }
    Ok((Opened::Packet(version), inner.len as u64))
}

fn unwrap_transport(
    frame: &mut Frame,
    located: &Located,
    start: usize,
    payload: usize,
    next_header: u8,
) -> Result<(Opened, u64), DropReason> {
    if matches!(next_header, IPV4_IN | IPV6_IN) {
        return Err(DropReason::EspNextHeaderUnsupported);
    }
    let kept = located.place.at;
    let front = start - kept;
    let len = kept + payload;
    frame.bytes_mut().copy_within(..kept, front);
    frame.pull_front(front);
    frame.truncate(len);
    let packet = frame.bytes_mut();
    if let Some(field) = packet.get_mut(located.place.named_at) {
        *field = next_header;
    }
    headers::set_len(packet, &located.ip, len);
    let version = located.ip.version;
    if located.udp {
        headers::renew_checksum(packet, version, kept, next_header);
    }
    Ok((Opened::Packet(version), len as u64))
}

/// Says whose SA it is, and nothing of its keys.
impl fmt::Debug for Inbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbound").field("parameters", &self.parameters).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_padding_is_told_from_every_other() {
        for len in [0usize, 5, 14, 15, 16, 17, 40, 255] {
            for padding in 0..=255u8 {
                let mut text = vec![0xee; len];
                text.extend((0..padding).map(|i| i + 1));
                let payload = text.len() - usize::from(padding);
                let take = |text: &[u8]| take_trailer(&[text, &[padding, 4]].concat());
                assert_eq!(take(&text), Ok((payload, 4)), "{len} {padding}");
                for at in payload..text.len() {
                    text[at] ^= 0x40;
                    assert_eq!(take(&text), Err(DropReason::EspPadMalformed), "{len} {padding}");
                    text[at] ^= 0x40;
                }
            }
        }
        assert_eq!(take_trailer(&[1, 4]), Err(DropReason::EspPadMalformed));
        assert_eq!(take_trailer(&[4]), Err(DropReason::EspMalformed));
    }
}
