//! The frame and its pool.
//!
//! A frame is a byte window in a buffer with headroom in front, so that headers can be put before
//! it in place. Buffers come in two sizes, one for ordinary frames and one for super-packets.

use std::sync::Arc;

/// Bytes kept free before a received frame.
pub const HEADROOM: usize = 128;

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
    /// Payload bytes per segment.
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

/// Bytes in a pool buffer, with headroom, plus offload state.
pub struct Frame {
    buf: Box<[u8]>,
    start: usize,
    len: usize,
    /// Checksum and segmentation state.
    pub offloads: Offloads,
    pool: Option<Arc<FramePool>>,
}

/// Buffers that are taken and given back; bounded.
pub struct FramePool {}

impl Frame {
    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.buf[self.start..self.start + self.len]
    }

    /// The bytes, to change.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.buf[self.start..self.start + self.len]
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        let _ = self.pool.take();
    }
}
