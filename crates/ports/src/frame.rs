//! The frame: a byte window in a buffer with headroom in front, plus offload state.
//!
//! Headers are put before a frame and taken off it in place ([`Frame::push_front`],
//! [`Frame::pull_front`]); a partial checksum's position follows the bytes by itself. A frame that
//! stands for several packets (a super-packet) says so in [`Offloads::gso`]. Buffers come from a
//! [`FramePool`](crate::FramePool) and go back to it when the frame is dropped.

use std::{fmt, mem, sync::Arc};

use reason::DropReason;

use crate::FramePool;

/// Bytes kept free before a received frame.
pub const HEADROOM: usize = 128;

/// Bytes kept free behind the data of a frame without a pool ([`Frame::from_vec`]).
const UNPOOLED_TAILROOM: usize = 256;

/// What is known of the transport checksum of a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checksum {
    /// Nothing is known; the field should be right.
    #[default]
    Unchecked,
    /// A device checked it (VIRTIO_NET_HDR_F_DATA_VALID).
    Verified,
    /// The field holds the pseudo-header sum only; whoever sends the frame must finish it
    /// (VIRTIO_NET_HDR_F_NEEDS_CSUM). Offsets count from the first byte of the frame.
    Partial {
        /// Where the sum starts.
        start: u16,
        /// Where the checksum field is, relative to `start`.
        offset: u16,
    },
}

/// How a super-packet is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GsoKind {
    /// TCP over IPv4.
    Tcp4,
    /// TCP over IPv6.
    Tcp6,
    /// UDP datagrams of equal size (USO), either IP version.
    Udp,
}

/// Segmentation still to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gso {
    /// Which protocol.
    pub kind: GsoKind,
    /// Payload bytes per segment; never zero in a frame a port handed out.
    pub size: u16,
    /// The TCP segments carry CWR as RFC 3168 wants it (VIRTIO_NET_HDR_GSO_ECN).
    pub ecn: bool,
}

/// Offload state of a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offloads {
    /// Transport checksum.
    pub checksum: Checksum,
    /// Segmentation, when the frame is a super-packet.
    pub gso: Option<Gso>,
}

/// What a frame amounts to once it is cut: see [`Frame::on_wire`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnWire {
    /// Packets.
    pub packets: u64,
    /// Bytes, every packet's headers from Ethernet on included.
    pub bytes: u64,
}

/// Bytes in a pool buffer, with headroom, plus offload state.
pub struct Frame {
    // Invariant: start + len <= buf.len().
    buf: Box<[u8]>,
    start: u32,
    len: u32,
    /// Checksum and segmentation state.
    pub offloads: Offloads,
    pool: Option<Arc<FramePool>>,
}

impl Frame {
    /// A frame without a pool, with the usual headroom; the bytes are copied.
    ///
    /// For tests and for the rare frame the gateway makes itself. Longer data than 4 GiB is cut.
    pub fn from_vec(data: Vec<u8>) -> Self {
        Self::unpooled(&data)
    }

    /// A frame with no bytes and no room: what stands where a frame was taken from. Costs nothing.
    pub fn empty() -> Self {
        Self { buf: Box::default(), start: 0, len: 0, offloads: Offloads::default(), pool: None }
    }

    fn unpooled(data: &[u8]) -> Self {
        let data = &data[..data.len().min(u32::MAX as usize - HEADROOM)];
        let mut buf = vec![0; HEADROOM + data.len() + UNPOOLED_TAILROOM].into_boxed_slice();
        buf[HEADROOM..HEADROOM + data.len()].copy_from_slice(data);
        let (start, len) = (HEADROOM as u32, data.len() as u32);
        Self { buf, start, len, offloads: Offloads::default(), pool: None }
    }

    /// A frame over a pool buffer; `len` must fit behind the headroom.
    pub(crate) fn from_pool(buf: Box<[u8]>, len: usize, pool: Arc<FramePool>) -> Self {
        debug_assert!(HEADROOM + len <= buf.len());
        let (start, len) = (HEADROOM as u32, len as u32);
        Self { buf, start, len, offloads: Offloads::default(), pool: Some(pool) }
    }

    /// Takes a buffer of `buf_len` bytes out, when it belongs to `pool`, to be given back in a batch.
    pub(crate) fn take_buffer_if(
        &mut self,
        pool: &Arc<FramePool>,
        buf_len: usize,
    ) -> Option<Box<[u8]>> {
        let fits = self.buf.len() == buf_len;
        self.pool.take_if(|own| fits && Arc::ptr_eq(own, pool))?;
        (self.start, self.len) = (0, 0);
        Some(mem::take(&mut self.buf))
    }

    /// Exchanges the buffer for another of the same size that holds `len` bytes of data behind the
    /// usual headroom, so that what was received elsewhere needs no copy.
    pub(crate) fn exchange(&mut self, buf: &mut Box<[u8]>, len: usize) {
        assert!(
            buf.len() == self.buf.len() && HEADROOM + len <= buf.len(),
            "invariant: same class"
        );
        mem::swap(&mut self.buf, buf);
        (self.start, self.len) = (HEADROOM as u32, len as u32);
    }

    /// The pool its buffer goes back to; none for one made from a vector.
    pub fn pool(&self) -> Option<&Arc<FramePool>> {
        self.pool.as_ref()
    }

    /// The bytes.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &self.buf[self.start as usize..self.start as usize + self.len as usize]
    }

    /// The bytes, to change.
    #[inline]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.buf[self.start as usize..self.start as usize + self.len as usize]
    }

    /// Number of bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether there are no bytes.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes free before the data.
    #[inline]
    pub fn headroom(&self) -> usize {
        self.start as usize
    }

    /// Bytes free behind the data.
    #[inline]
    pub fn tailroom(&self) -> usize {
        self.buf.len() - self.start as usize - self.len as usize
    }

    /// Puts `n` bytes before the data and returns them, contents unspecified, to be written.
    ///
    /// The position of a partial checksum moves along. `None`, and no change, when the headroom is
    /// too small.
    #[inline]
    pub fn push_front(&mut self, n: usize) -> Option<&mut [u8]> {
        let start = self.start as usize;
        let moved = start.checked_sub(n)?;
        if let Checksum::Partial { start, .. } = &mut self.offloads.checksum {
            *start = u16::try_from(usize::from(*start) + n).ok()?;
        }
        self.start = moved as u32;
        self.len += n as u32;
        Some(&mut self.buf[moved..start])
    }

    /// Takes `n` bytes off the front; false, and no change, when there are fewer.
    ///
    /// The position of a partial checksum moves along; it is forgotten when the bytes it starts at
    /// are taken off, so finish it first where it still matters.
    #[inline]
    pub fn pull_front(&mut self, n: usize) -> bool {
        if n > self.len as usize {
            return false;
        }
        if let Checksum::Partial { start, offset } = self.offloads.checksum {
            self.offloads.checksum = match usize::from(start).checked_sub(n) {
                Some(start) => Checksum::Partial { start: start as u16, offset },
                None => Checksum::Unchecked,
            };
        }
        self.start += n as u32;
        self.len -= n as u32;
        true
    }

    /// Cuts the data to `len` bytes; longer than it is changes nothing.
    #[inline]
    pub fn truncate(&mut self, len: usize) {
        if len < self.len as usize {
            self.len = len as u32;
        }
    }

    /// Sets the length; new bytes at the end have unspecified contents. False, and no change, when
    /// the room is too small.
    #[inline]
    pub fn set_len(&mut self, len: usize) -> bool {
        let fits = len <= self.buf.len() - self.start as usize;
        if fits {
            self.len = len as u32;
        }
        fits
    }

    /// Adds `n` bytes at the end and returns them, contents unspecified, to be written.
    #[inline]
    pub fn extend(&mut self, n: usize) -> Option<&mut [u8]> {
        if n > self.tailroom() {
            return None;
        }
        let end = self.start as usize + self.len as usize;
        self.len += n as u32;
        Some(&mut self.buf[end..end + n])
    }

    /// Adds `data` at the end; false, and no change, when the room is too small.
    #[inline]
    pub fn extend_from_slice(&mut self, data: &[u8]) -> bool {
        self.extend(data.len()).map(|tail| tail.copy_from_slice(data)).is_some()
    }

    /// Starts over with `data`: usual headroom, no offload state. False, and no change, when the
    /// buffer is too small. Benches reuse frames this way.
    #[inline]
    pub fn refill(&mut self, data: &[u8]) -> bool {
        let Some(room) = self.buf.get_mut(HEADROOM..HEADROOM + data.len()) else {
            return false;
        };
        room.copy_from_slice(data);
        (self.start, self.len) = (HEADROOM as u32, data.len() as u32);
        self.offloads = Offloads::default();
        true
    }

    /// A copy of bytes and offload state from the same pool; `None` when that is exhausted.
    pub fn try_clone(&self) -> Option<Self> {
        let mut copy = match &self.pool {
            Some(pool) => pool.alloc_from(self.bytes())?,
            None => Self::unpooled(self.bytes()),
        };
        copy.offloads = self.offloads;
        Some(copy)
    }

    /// How many packets the frame stands for, given its transport payload in bytes. At least one.
    #[inline]
    pub fn segments(&self, payload_len: usize) -> usize {
        match self.offloads.gso {
            Some(gso) if gso.size > 0 => payload_len.div_ceil(usize::from(gso.size)).max(1),
            _ => 1,
        }
    }

    /// Finishes a partial checksum: where bytes must be final.
    ///
    /// # Errors
    /// The offload state points outside the frame, which stays as it is.
    pub fn finish_checksum(&mut self) -> Result<(), DropReason> {
        if let Checksum::Partial { start, offset } = self.offloads.checksum {
            wire::checksum::finish_partial(self.bytes_mut(), start, offset)?;
            self.offloads.checksum = Checksum::Unchecked;
        }
        Ok(())
    }

    /// Packets and bytes the frame amounts to once it is cut. Reads the headers of a super-packet
    /// to know which of its bytes every segment repeats; one that cannot be read counts as it is.
    #[inline]
    pub fn on_wire(&self) -> OnWire {
        let whole = OnWire { packets: 1, bytes: u64::from(self.len) };
        if self.offloads.gso.is_none() { whole } else { self.cut_on_wire().unwrap_or(whole) }
    }

    fn cut_on_wire(&self) -> Option<OnWire> {
        let headers = wire::parse(self.bytes()).ok()?;
        let payload = (headers.end as usize).saturating_sub(usize::from(headers.payload));
        let packets = self.segments(payload) as u64;
        let repeated = (packets - 1) * u64::from(headers.payload);
        Some(OnWire { packets, bytes: u64::from(self.len) + repeated })
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.take() {
            pool.give_back(mem::take(&mut self.buf));
        }
    }
}

/// Says what the frame is, without its payload.
impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("len", &self.len)
            .field("headroom", &self.headroom())
            .field("tailroom", &self.tailroom())
            .field("offloads", &self.offloads)
            .field("pooled", &self.pool.is_some())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_go_on_and_come_off_in_place() {
        let mut frame = Frame::from_vec(vec![1, 2, 3, 4]);
        frame.offloads.checksum = Checksum::Partial { start: 2, offset: 0 };
        frame.push_front(4).expect("headroom").copy_from_slice(&[9, 8, 7, 6]);
        assert_eq!(frame.bytes(), [9, 8, 7, 6, 1, 2, 3, 4]);
        assert_eq!(frame.offloads.checksum, Checksum::Partial { start: 6, offset: 0 });
        assert!(frame.pull_front(6));
        assert_eq!(frame.bytes(), [3, 4]);
        assert_eq!(frame.offloads.checksum, Checksum::Partial { start: 0, offset: 0 });
        assert!(!frame.pull_front(3));
        assert!(frame.pull_front(1));
        assert_eq!(frame.offloads.checksum, Checksum::Unchecked, "its start is gone");
        assert_eq!(frame.headroom(), HEADROOM + 3);
    }

    #[test]
    fn a_checksum_is_finished_once() {
        let mut frame = Frame::from_vec(vec![0, 1, 0, 0]);
        frame.offloads.checksum = Checksum::Partial { start: 0, offset: 3 };
        assert_eq!(frame.finish_checksum(), Err(DropReason::SuperPacketInvalid));
        frame.offloads.checksum = Checksum::Partial { start: 0, offset: 2 };
        assert_eq!((frame.finish_checksum(), frame.finish_checksum()), (Ok(()), Ok(())));
        assert_eq!(frame.bytes(), [0, 1, 0xff, 0xfe]);
        assert_eq!(frame.offloads.checksum, Checksum::Unchecked);
    }

    #[test]
    fn nothing_grows_past_its_room() {
        let mut frame = Frame::from_vec(vec![0; 10]);
        assert!(frame.push_front(HEADROOM + 1).is_none());
        assert!(frame.push_front(HEADROOM).is_some());
        assert!(frame.push_front(1).is_none());
        let tail = frame.tailroom();
        assert!(frame.extend(tail + 1).is_none());
        assert!(!frame.set_len(frame.len() + tail + 1));
        assert!(frame.set_len(frame.len() + tail));
        assert_eq!(frame.tailroom(), 0);
        assert!(!frame.extend_from_slice(&[1]));
        frame.truncate(3);
        frame.truncate(5);
        assert_eq!(frame.len(), 3);
        assert!(frame.extend_from_slice(&[1, 2]));
        assert_eq!(frame.bytes()[3..], [1, 2]);
    }

    #[test]
    fn a_partial_checksum_beyond_16_bits_refuses_the_push() {
        let mut frame = Frame::from_vec(vec![0; 10]);
        frame.offloads.checksum = Checksum::Partial { start: u16::MAX - 1, offset: 0 };
        assert!(frame.push_front(4).is_none());
        assert_eq!((frame.len(), frame.headroom()), (10, HEADROOM));
    }

    #[test]
    fn segments_are_counted_by_payload() {
        let mut frame = Frame::from_vec(vec![0; 10]);
        assert_eq!(frame.segments(5000), 1);
        frame.offloads.gso = Some(Gso { kind: GsoKind::Tcp4, size: 1000, ecn: false });
        assert_eq!(frame.segments(0), 1);
        assert_eq!(frame.segments(1000), 1);
        assert_eq!(frame.segments(1001), 2);
        frame.offloads.gso = Some(Gso { kind: GsoKind::Tcp4, size: 0, ecn: false });
        assert_eq!(frame.segments(1001), 1, "a zero size never divides");
    }

    #[test]
    fn debug_shows_no_payload() {
        let text = format!("{:?}", Frame::from_vec(vec![0xab; 4]));
        assert!(text.contains("len: 4") && !text.contains("171"), "{text}");
    }

    #[test]
    fn frames_travel_between_threads_and_stay_small() {
        const fn is_send<T: Send>() {}
        is_send::<Frame>();
        assert!(size_of::<Frame>() <= 48, "{}", size_of::<Frame>());
    }
}
