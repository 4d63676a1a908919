//! One AF_XDP socket: a receive and a send queue of a device, and the frames they pass.
//!
//! Four rings that the kernel shares with us: it takes free chunks from *fill* and gives them back filled
//! by *receive*; it takes chunks to send from *send* and gives them back by *completion*. Half of the
//! chunks go round each way. A chunk is named by where it starts in the area.
//!
//! What the kernel writes is still looked at: an address outside the area costs the frame.

use std::{io, os::fd::OwnedFd, sync::Arc, sync::atomic::Ordering};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, send, socket_with,
    sockopt,
    xdp::{
        SocketAddrXdp, SocketAddrXdpFlags, XDP_PGOFF_RX_RING, XDP_PGOFF_TX_RING,
        XDP_UMEM_PGOFF_COMPLETION_RING, XDP_UMEM_PGOFF_FILL_RING, XdpOptionsFlags, XdpRingFlags,
        XdpRingOffset, XdpUmemReg, XdpUmemRegFlags,
    },
};

use crate::{Frame, FramePool, PortCounters, SMALL_ROOM, shared::Region};

/// Entries of each ring.
const RING: u32 = 2048;
/// Bytes of a chunk: a page, the most that the kernel takes.
const CHUNK: usize = 4096;
/// Bytes that the kernel keeps free before a received frame (XDP_PACKET_HEADROOM).
const KERNEL_HEADROOM: usize = 256;
/// The longest frame that fits a chunk.
pub(super) const LONGEST: usize = CHUNK - KERNEL_HEADROOM;
/// Bytes of a descriptor: address, length, options.
const DESCRIPTOR: usize = 16;
/// Frames that one call makes the kernel send in copy mode.
const KERNEL_BATCH: u32 = 32;

/// One socket.
pub(super) struct Queue {
    socket: OwnedFd,
    area: Region,
    fill: Ring,
    received: Ring,
    to_send: Ring,
    sent: Ring,
    /// Chunks that nobody has.
    free: Vec<u64>,
    blank: Vec<Frame>,
    zero_copy: bool,
}

impl Queue {
    /// A socket on one queue of a device; the driver reads and writes our chunks itself where it can.
    pub(super) fn open(index: u32, queue: u32) -> io::Result<Self> {
        // A socket that failed to bind without copies has given its rings away: try anew.
        Self::bound(index, queue, SocketAddrXdpFlags::XDP_ZEROCOPY)
            .or_else(|_| Self::bound(index, queue, SocketAddrXdpFlags::XDP_COPY))
    }

    fn bound(index: u32, queue: u32, how: SocketAddrXdpFlags) -> io::Result<Self> {
        let socket = socket_with(AddressFamily::XDP, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
        let area = Region::anonymous(2 * RING as usize * CHUNK)?;
        let registration = XdpUmemReg {
            addr: area.address(),
            len: 2 * u64::from(RING) * CHUNK as u64,
            chunk_size: CHUNK as u32,
            headroom: 0,
            flags: XdpUmemRegFlags::empty(),
            tx_metadata_len: 0,
        };
        sockopt::set_xdp_umem_reg(&socket, registration)?;
        sockopt::set_xdp_umem_fill_ring_size(&socket, RING)?;
        sockopt::set_xdp_umem_completion_ring_size(&socket, RING)?;
        sockopt::set_xdp_rx_ring_size(&socket, RING)?;
        sockopt::set_xdp_tx_ring_size(&socket, RING)?;
        let offsets = sockopt::xdp_mmap_offsets(&socket)?;
        let ring = |offset, page, entry| Ring::map(&socket, offset, page, entry);
        let mut fill = ring(offsets.fr, XDP_UMEM_PGOFF_FILL_RING, 8)?;
        let sent = ring(offsets.cr, XDP_UMEM_PGOFF_COMPLETION_RING, 8)?;
        let received = ring(offsets.rx, XDP_PGOFF_RX_RING, DESCRIPTOR)?;
        let to_send = ring(offsets.tx, XDP_PGOFF_TX_RING, DESCRIPTOR)?;
        bind(
            &socket,
            &SocketAddrXdp::new(how | SocketAddrXdpFlags::XDP_USE_NEED_WAKEUP, index, queue),
        )?;
        let chunk = |number| u64::from(number) * CHUNK as u64;
        for number in 0..RING {
            let at = fill.entry_at(number);
            fill.memory.u64_at(at).store(chunk(number), Ordering::Relaxed);
        }
        fill.publish_producer(RING);
        let zero_copy = sockopt::xdp_options(&socket)
            .is_ok_and(|options| options.contains(XdpOptionsFlags::XDP_OPTIONS_ZEROCOPY));
        let free = (RING..2 * RING).map(chunk).collect();
        Ok(Self { socket, area, fill, received, to_send, sent, free, blank: Vec::new(), zero_copy })
    }

    pub(super) const fn socket(&self) -> &OwnedFd {
        &self.socket
    }

    /// Whether the driver reads and writes our chunks without a copy by the kernel.
    pub(super) const fn is_zero_copy(&self) -> bool {
        self.zero_copy
    }

    /// Frames that the kernel could not give us, since the socket was made.
    pub(super) fn kernel_drops(&self) -> u64 {
        sockopt::xdp_statistics(&self.socket)
            .map_or(0, |stats| stats.rx_dropped + stats.rx_ring_full.unwrap_or(0))
    }

    /// Takes up to `max` frames.
    pub(super) fn receive(
        &mut self,
        pool: &Arc<FramePool>,
        into: &mut Vec<Frame>,
        max: usize,
        counters: &mut PortCounters,
    ) -> usize {
        let most = self.received.filled().min(max as u32);
        if most == 0 {
            if self.fill.wants_wakeup() {
                // The driver waits for chunks that are there; what the call says does not matter.
                let _nothing = recv(&self.socket, &mut [0u8; 0][..], RecvFlags::DONTWAIT);
            }
            // What is wrong with the device, the next burst to send or look at it tells.
            let _told_later = self.kick();
            return 0;
        }
        for ahead in 0..most {
            let (address, _) = self.received.descriptor(ahead);
            self.area.prefetch(address as usize);
        }
        pool.alloc_burst(SMALL_ROOM, most as usize, &mut self.blank);
        let before = into.len();
        for ahead in 0..most {
            let (address, len) = self.received.descriptor(ahead);
            self.take(pool, address as usize, len as usize, into, counters);
            let at = self.fill.entry_at(ahead);
            let chunk = address & !(CHUNK as u64 - 1);
            self.fill.memory.u64_at(at).store(chunk, Ordering::Relaxed);
        }
        pool.free_burst(&mut self.blank);
        self.received.publish_consumer(most);
        self.fill.publish_producer(most);
        into.len() - before
    }

    fn take(
        &mut self,
        pool: &Arc<FramePool>,
        at: usize,
        len: usize,
        into: &mut Vec<Frame>,
        counters: &mut PortCounters,
    ) {
        if !(super::ETHERNET_LEN..=CHUNK).contains(&len) {
            counters.rx_errors += 1;
            return;
        }
        let frame = if len <= SMALL_ROOM { self.blank.pop() } else { pool.alloc(len) };
        let Some(mut frame) = frame else {
            counters.rx_dropped += 1;
            return;
        };
        frame.truncate(len);
        if !self.area.copy_out(at, frame.bytes_mut()) {
            counters.rx_errors += 1;
            return;
        }
        counters.count_rx(&frame);
        into.push(frame);
    }

    /// Sends what there is room for, and counts the rest as dropped; an error is about the device.
    pub(super) fn send(
        &mut self,
        frames: &[Frame],
        counters: &mut PortCounters,
    ) -> Result<(), Errno> {
        self.reclaim();
        let mut queued = 0;
        for frame in frames {
            let len = frame.len();
            if len == 0 || len > LONGEST {
                counters.tx_errors += 1;
                continue;
            }
            let Some(chunk) = self.free.pop() else {
                counters.tx_dropped += 1;
                continue;
            };
            let inside = self.area.copy_in(chunk as usize, frame.bytes());
            debug_assert!(inside, "our chunks are inside");
            let at = self.to_send.entry_at(queued);
            let memory = &self.to_send.memory;
            memory.u64_at(at).store(chunk, Ordering::Relaxed);
            // options in the upper half: none
            memory.u64_at(at + 8).store(len as u64, Ordering::Relaxed);
            queued += 1;
            counters.count_tx(frame);
        }
        self.to_send.publish_producer(queued);
        self.kick()
    }

    /// Makes the kernel send what is queued, also by earlier calls that it had no room for.
    fn kick(&self) -> Result<(), Errno> {
        for _ in 0..self.to_send.left().min(RING).div_ceil(KERNEL_BATCH) {
            if !self.to_send.wants_wakeup() {
                break;
            }
            match send(&self.socket, &[], SendFlags::DONTWAIT) {
                // More is left: the next call goes on.
                Ok(_) | Err(Errno::AGAIN | Errno::INTR) => {}
                // No room for the moment: the next burst, or an empty receive, tries again.
                Err(Errno::BUSY | Errno::NOBUFS) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Takes back the chunks that were sent.
    fn reclaim(&mut self) {
        let done = self.sent.filled().min(RING);
        for ahead in 0..done {
            let at = self.sent.entry_at(ahead);
            let chunk = self.sent.memory.u64_at(at).load(Ordering::Relaxed);
            self.free.push(chunk & !(CHUNK as u64 - 1));
        }
        self.sent.publish_consumer(done);
    }
}

/// A ring with the kernel at its other end. We are its producer or its consumer, never both.
struct Ring {
    memory: Region,
    place: XdpRingOffset,
    entry: usize,
    /// Our counter.
    ours: u32,
}

impl Ring {
    fn map(socket: &OwnedFd, place: XdpRingOffset, page: u64, entry: usize) -> io::Result<Self> {
        let len = place.desc as usize + RING as usize * entry;
        Ok(Self { memory: Region::map(socket, len, page)?, place, entry, ours: 0 })
    }

    /// Where the entry is that is `ahead` of our counter.
    fn entry_at(&self, ahead: u32) -> usize {
        let number = self.ours.wrapping_add(ahead) & (RING - 1);
        self.place.desc as usize + number as usize * self.entry
    }

    /// Address and length in a descriptor.
    fn descriptor(&self, ahead: u32) -> (u64, u32) {
        let at = self.entry_at(ahead);
        let length = self.memory.u64_at(at + 8).load(Ordering::Relaxed) as u32;
        (self.memory.u64_at(at).load(Ordering::Relaxed), length)
    }

    /// As consumer: entries that are filled.
    fn filled(&self) -> u32 {
        let producer = self.memory.u32_at(self.place.producer as usize).load(Ordering::Acquire);
        producer.wrapping_sub(self.ours)
    }

    /// As producer: entries that the kernel has not taken.
    fn left(&self) -> u32 {
        let consumer = self.memory.u32_at(self.place.consumer as usize).load(Ordering::Acquire);
        self.ours.wrapping_sub(consumer)
    }

    fn publish_producer(&mut self, count: u32) {
        self.ours = self.ours.wrapping_add(count);
        self.memory.u32_at(self.place.producer as usize).store(self.ours, Ordering::Release);
    }

    fn publish_consumer(&mut self, count: u32) {
        self.ours = self.ours.wrapping_add(count);
        self.memory.u32_at(self.place.consumer as usize).store(self.ours, Ordering::Release);
    }

    /// Whether the kernel waits to be called.
    fn wants_wakeup(&self) -> bool {
        let Some(at) = self.place.flags else {
            return true;
        };
        let flags = self.memory.u32_at(at as usize).load(Ordering::Relaxed);
        XdpRingFlags::from_bits_retain(flags).contains(XdpRingFlags::XDP_RING_NEED_WAKEUP)
    }
}
