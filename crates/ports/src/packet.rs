//! AF_PACKET: raw frames of an Ethernet device, with virtio-net headers.
//!
//! One socket for each queue, bound to the device; several share what it receives
//! ([`PacketPort::open_queues`]). PACKET_VNET_HDR carries checksum state and
//! super-packets both ways, so a veth or NIC works with its default offloads. The kernel strips
//! the outer VLAN tag; PACKET_AUXDATA tells it, and it is put back. Bursts are one `recvmmsg` or
//! `sendmmsg`.
//!
//! The kernel keeps seeing the device, too. Give it **no IP address there and no forwarding**, or
//! it answers (ARP, RST, ICMP) beside the gateway; [`Port::describe`] hints at it. Bringing a
//! device up may give it an IPv6 link-local address: `ip link set DEV addrgenmode none` avoids it.
//!
//! The socket lives in the network namespace it was made in, whichever thread uses it later. It
//! outlives its device: [`Port::refresh`] binds it again when a device of that name is back. Of several
//! queues each gets another socket then, so whoever calls is in that namespace.
//!
//! Limits: a received frame over 65,664 bytes is an error (BIG TCP); super-packets in tunnels are
//! refused (see the virtio-net header).

mod fanout;

use std::{
    io, mem,
    os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd},
    sync::Arc,
};

use wire::Mac;

use crate::{
    Frame, FramePool, HEADROOM, LARGE_ROOM, LinkState, MAX_BURST, Port, PortCapabilities,
    PortCounters, PortDescription, PortError, PortHint, SMALL_ROOM, ethtool,
    sys::{self, DeviceName, DeviceState, checked, set_option},
    virtio,
};
use fanout::Group;

// From linux/if_packet.h; the libc crate has them not for every target.
const PACKET_STATISTICS: i32 = 6;
const PACKET_AUXDATA: i32 = 8;
const PACKET_VNET_HDR: i32 = 15;
const PACKET_QDISC_BYPASS: i32 = 20;
const PACKET_IGNORE_OUTGOING: i32 = 23;
const TP_STATUS_VLAN_VALID: u32 = 1 << 4;
const TP_STATUS_VLAN_TPID_VALID: u32 = 1 << 6;

/// Socket buffers asked for, in bytes; about 80 super-packets.
const SOCKET_BUFFER: i32 = 8 << 20;
/// The 802.1Q tag protocol identifier.
const TPID_8021Q: u16 = 0x8100;
/// Bytes of an 802.1Q tag.
const TAG_LEN: usize = 4;

/// How to open an AF_PACKET port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PacketOptions {
    /// Receive frames for any destination MAC, not only the device's own and the groups it joined.
    pub promiscuous: bool,
    /// Send past the traffic-control layer. Gains nothing on devices without a queue (veth), and
    /// loses frames where the device's own ring is full.
    pub qdisc_bypass: bool,
}

/// An Ethernet device, by its frames.
pub struct PacketPort {
    name: DeviceName,
    options: PacketOptions,
    pool: Arc<FramePool>,
    socket: OwnedFd,
    device: DeviceState,
    vnet: bool,
    uso: bool,
    counters: PortCounters,
    /// Receive buffers, each as large as a large buffer of the pool and exchanged for one when a
    /// large frame was received into it.
    slots: Vec<Box<[u8]>>,
    /// The other queues of the port, where it has several.
    group: Option<Arc<Group>>,
}

/// `struct tpacket_auxdata`.
#[repr(C)]
#[derive(Clone, Copy)]
struct AuxData {
    status: u32,
    len: u32,
    snaplen: u32,
    mac: u16,
    net: u16,
    vlan_tci: u16,
    vlan_tpid: u16,
}

/// Room for the control messages of one frame, aligned as `cmsghdr` wants it.
type Control = [u64; 8];

impl PacketPort {
    /// Opens a port on `device` in the network namespace of the calling thread.
    pub fn open(
        device: &str,
        options: PacketOptions,
        pool: &Arc<FramePool>,
    ) -> Result<Self, PortError> {
        Self::open_queue(device, options, pool, None)
    }

    /// Opens a port with a queue for each of `pools`, in the network namespace of the calling thread: a flow comes
    /// by one of them. Where the kernel cannot do that (before Linux 6.2) there is one queue.
    pub fn open_queues(
        device: &str,
        options: PacketOptions,
        pools: &[Arc<FramePool>],
    ) -> Result<Vec<Self>, PortError> {
        let group = (pools.len() > 1 && Group::is_possible()).then(Arc::<Group>::default);
        let count = if group.is_some() { pools.len() } else { 1 };
        let queue = |pool| Self::open_queue(device, options, pool, group.clone());
        pools.iter().take(count).map(queue).collect()
    }

    fn open_queue(
        device: &str,
        options: PacketOptions,
        pool: &Arc<FramePool>,
        group: Option<Arc<Group>>,
    ) -> Result<Self, PortError> {
        let name = DeviceName::new(device)?;
        let (socket, vnet) = Self::socket(device, options)?;
        let failed =
            |action| move |source| PortError::from_io(device, action, "CAP_NET_RAW", source);
        let state = DeviceState::look(socket.as_fd(), &name).map_err(failed("look at it"))?;
        if !matches!(state.hardware, libc::ARPHRD_ETHER | libc::ARPHRD_LOOPBACK) {
            return Err(PortError::WrongKind {
                device: device.into(),
                wanted: "an Ethernet device",
                next: "use an Ethernet, veth, bridge or bond device",
            });
        }
        let slot = || vec![0; HEADROOM + LARGE_ROOM].into_boxed_slice();
        let mut port = Self {
            name,
            options,
            pool: Arc::clone(pool),
            socket,
            device: state,
            vnet,
            // virtio_net_hdr learnt GSO_UDP_L4 in Linux 6.2.
            uso: vnet && sys::kernel_at_least(6, 2),
            counters: PortCounters::default(),
            slots: (0..MAX_BURST).map(|_| slot()).collect(),
            group,
        };
        port.bind().map_err(failed("bind to it"))?;
        Ok(port)
    }

    /// A socket that is not bound yet, and whether it has virtio-net headers.
    fn socket(device: &str, options: PacketOptions) -> Result<(OwnedFd, bool), PortError> {
        let failed =
            |action| move |source| PortError::from_io(device, action, "CAP_NET_RAW", source);
        // Protocol 0: nothing is received before the socket is bound to the device.
        let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        // SAFETY: no pointers are involved; a descriptor that is not negative is ours to own.
        let socket = unsafe {
            let fd = checked(libc::socket(libc::AF_PACKET, kind, 0));
            OwnedFd::from_raw_fd(fd.map_err(failed("open a packet socket"))?)
        };
        let set = |option, value: i32| set_option(socket.as_fd(), libc::SOL_PACKET, option, value);
        let vnet = set(PACKET_VNET_HDR, 1).is_ok();
        set(PACKET_AUXDATA, 1).map_err(failed("ask for VLAN tags"))?;
        set(PACKET_IGNORE_OUTGOING, 1).map_err(failed("leave out its own frames"))?;
        if options.qdisc_bypass {
            set(PACKET_QDISC_BYPASS, 1).map_err(failed("bypass traffic control"))?;
        }
        // The forced form needs CAP_NET_ADMIN; without it the kernel's limit applies.
        for (forced, plain) in
            [(libc::SO_RCVBUFFORCE, libc::SO_RCVBUF), (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF)]
        {
            set_option(socket.as_fd(), libc::SOL_SOCKET, forced, SOCKET_BUFFER)
                .or_else(|_| set_option(socket.as_fd(), libc::SOL_SOCKET, plain, SOCKET_BUFFER))
                .map_err(failed("size its buffers"))?;
        }
        Ok((socket, vnet))
    }

    /// Binds to the device looked at last.
    fn bind(&mut self) -> io::Result<()> {
        if self.group.is_some() {
            fanout::deafen(self.socket.as_fd())?;
        }
        // SAFETY: `sockaddr_ll` is plain old data for which all zero bytes are valid.
        let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
        address.sll_ifindex = self.device.index;
        let len = mem::size_of_val(&address) as libc::socklen_t;
        // SAFETY: the pointer and length describe `address`.
        checked(unsafe { libc::bind(self.socket.as_raw_fd(), (&raw const address).cast(), len) })?;
        if let Some(group) = &self.group {
            group.join(self.socket.as_fd(), self.device.index)?;
            fanout::listen(self.socket.as_fd())?;
        }
        if self.options.promiscuous {
            sys::join_promiscuous(self.socket.as_fd(), self.device.index)?;
        }
        Ok(())
    }

    /// Frames the kernel dropped because the socket's buffer was full, since asked last.
    fn kernel_drops(&self) -> u64 {
        let mut stats = [0u32; 2];
        let mut len = mem::size_of_val(&stats) as libc::socklen_t;
        // SAFETY: the pointer and length describe `stats`, which has the layout of
        // `struct tpacket_stats` (two 32-bit numbers: packets, drops).
        let result = unsafe {
            libc::getsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_PACKET,
                PACKET_STATISTICS,
                (&raw mut stats).cast(),
                &mut len,
            )
        };
        if result == 0 { u64::from(stats[1]) } else { 0 }
    }

    /// Takes the state of the device in, and binds again when it is another one than before.
    fn look(&mut self) -> io::Result<()> {
        let before = self.device;
        self.device = DeviceState::look(self.socket.as_fd(), &self.name)?;
        if before.index != self.device.index || before.link == LinkState::Gone {
            if self.group.is_some() {
                // who is in a group cannot be bound again
                let socket = Self::socket(self.name.as_str(), self.options);
                (self.socket, self.vnet) = socket.map_err(io::Error::other)?;
            }
            self.bind()?;
        }
        Ok(())
    }

    /// What an errno of receive or send says about the link.
    fn note(&mut self, error: &io::Error) {
        match error.raw_os_error() {
            Some(libc::ENETDOWN) => self.device.link = LinkState::Down,
            Some(libc::ENODEV | libc::ENXIO) => self.device.link = LinkState::Gone,
            Some(_) | None => {}
        }
    }

    /// Makes a frame of what was received into a slot: virtio-net header first, then `len` bytes.
    fn take_in(&mut self, slot: usize, received: Received) -> Option<Frame> {
        let Received { header, len, tag, truncated } = received;
        let offloads = if truncated || len < 14 {
            Err(virtio::BadHeader)
        } else {
            virtio::decode(&header, len)
        };
        let Ok(offloads) = offloads else {
            self.counters.rx_errors += 1;
            return None;
        };
        let frame = if len <= SMALL_ROOM {
            self.pool.alloc_from(&self.slots[slot][HEADROOM..HEADROOM + len])
        } else {
            self.pool.alloc(len).map(|mut frame| {
                frame.exchange(&mut self.slots[slot], len);
                frame
            })
        };
        let Some(mut frame) = frame else {
            self.counters.rx_dropped += 1;
            return None;
        };
        frame.offloads = offloads;
        let done = match tag {
            Some(tag) => insert_tag(&mut frame, tag),
            None => Ok(()),
        };
        if done.and_then(|()| virtio::settle(&mut frame)).is_err() {
            self.counters.rx_errors += 1;
            return None;
        }
        self.counters.count_rx(&frame);
        Some(frame)
    }
}

/// What the kernel said about one received frame.
#[derive(Clone, Copy)]
struct Received {
    header: [u8; virtio::HEADER_LEN],
    len: usize,
    tag: Option<[u8; TAG_LEN]>,
    truncated: bool,
}

impl Port for PacketPort {
    fn receive(&mut self, into: &mut Vec<Frame>, max: usize) -> usize {
        let max = max.min(self.slots.len());
        if max == 0 || self.device.link == LinkState::Gone {
            return 0;
        }
        let header_len = if self.vnet { virtio::HEADER_LEN } else { 0 };
        let mut headers = [[0u8; virtio::HEADER_LEN]; MAX_BURST];
        let mut controls: [Control; MAX_BURST] = [[0; 8]; MAX_BURST];
        let (mut vectors, mut messages) = empty_burst();
        for (i, slot) in self.slots.iter_mut().enumerate().take(max) {
            let room = &mut slot[HEADROOM..];
            vectors[i] = [
                libc::iovec { iov_base: headers[i].as_mut_ptr().cast(), iov_len: header_len },
                libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() },
            ];
            let message = &mut messages[i].msg_hdr;
            message.msg_iov = vectors[i].as_mut_ptr();
            message.msg_iovlen = 2;
            message.msg_control = controls[i].as_mut_ptr().cast();
            message.msg_controllen = mem::size_of::<Control>() as _;
        }
        // SAFETY: the first `max` messages point at vectors and control room on this stack frame
        // and at slots owned by self, none of which moves or is used before the call returns.
        let result = checked(unsafe {
            libc::recvmmsg(
                self.socket.as_raw_fd(),
                messages.as_mut_ptr(),
                max as libc::c_uint,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        });
        let count = match result {
            Ok(count) => count as usize,
            Err(error) => {
                self.note(&error);
                return 0;
            }
        };
        let before = into.len();
        for (i, message) in messages.iter().enumerate().take(count) {
            let received = Received {
                header: headers[i],
                len: (message.msg_len as usize).saturating_sub(header_len),
                tag: stripped_tag(&message.msg_hdr),
                truncated: message.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
            };
            into.extend(self.take_in(i, received));
        }
        into.len() - before
    }

    fn send(&mut self, frames: &mut Vec<Frame>) {
        let mut rest = frames.as_mut_slice();
        while !rest.is_empty() {
            let (burst, later) = rest.split_at_mut(rest.len().min(MAX_BURST));
            self.send_burst(burst);
            rest = later;
        }
        self.pool.free_burst(frames);
    }

    fn capabilities(&self) -> PortCapabilities {
        PortCapabilities {
            partial_checksum: self.vnet,
            tso4: self.vnet,
            tso6: self.vnet,
            uso: self.uso,
        }
    }

    fn counters(&self) -> PortCounters {
        self.counters
    }

    fn link(&self) -> LinkState {
        self.device.link
    }

    fn poll_fd(&self) -> Option<RawFd> {
        (self.device.link != LinkState::Gone).then(|| self.socket.as_raw_fd())
    }

    fn refresh(&mut self) {
        self.counters.rx_dropped += self.kernel_drops();
        if self.look().is_err() {
            self.device.link = LinkState::Gone;
        }
    }

    fn mac(&self) -> Option<Mac> {
        Some(self.device.mac)
    }

    fn mtu(&self) -> Option<u32> {
        Some(self.device.mtu)
    }

    fn describe(&self) -> PortDescription {
        let device = self.name.as_str();
        let mut hints = Vec::new();
        if !self.vnet {
            hints.push(PortHint {
                why: "the kernel gives no virtio-net headers on packet sockets; hosts must not \
                      leave checksums or segmentation to it"
                    .into(),
                command: format!("ethtool -K {device} tx off tso off gso off gro off"),
            });
        } else if !self.uso {
            hints.push(PortHint {
                why: "UDP super-packets need Linux 6.2; datagrams pass one by one".into(),
                command: "uname -r".into(),
            });
        }
        hints.extend(self.joining());
        if self.device.has_ipv4 {
            hints.push(PortHint {
                why: "the kernel has an IP address on the device and answers beside the gateway"
                    .into(),
                command: format!("ip address flush dev {device}"),
            });
        }
        hints.extend(sys::link_hint(device, self.device.link));
        PortDescription {
            mode: "af-packet".into(),
            device: device.into(),
            offloads: self.capabilities().words(),
            hints,
        }
    }
}

impl PacketPort {
    /// What to do where the kernel could join datagrams before they come here, and does not.
    fn joining(&self) -> Option<PortHint> {
        let joins = ethtool::feature(self.socket.as_fd(), &self.name, "rx-udp-gro-forwarding")?;
        (self.uso && joins.available && !joins.active).then(|| PortHint {
            why: "datagrams come in one by one (ESP in UDP, DTLS); the kernel could join them, but leave \
                  GRO off where GRE or VXLAN comes in"
                .into(),
            command: format!("ethtool -K {} gro on rx-udp-gro-forwarding on", self.name.as_str()),
        })
    }

    /// Sends up to [`MAX_BURST`] frames and counts each as sent, dropped or refused.
    fn send_burst(&mut self, frames: &mut [Frame]) {
        if self.device.link == LinkState::Gone {
            self.counters.tx_dropped += frames.len() as u64;
            return;
        }
        let header_len = if self.vnet { virtio::HEADER_LEN } else { 0 };
        let mut headers = [[0u8; virtio::HEADER_LEN]; MAX_BURST];
        let (mut vectors, mut messages) = empty_burst();
        // Which frame a message is, since frames that cannot be sent are left out.
        let mut index = [0usize; MAX_BURST];
        let mut total = 0;
        for (i, frame) in frames.iter_mut().enumerate() {
            let header = match virtio::encode(frame) {
                Ok(header) if self.vnet || header == [0; virtio::HEADER_LEN] => header,
                Ok(_) | Err(virtio::BadHeader) => {
                    self.counters.tx_errors += 1;
                    continue;
                }
            };
            headers[total] = header;
            let bytes = frame.bytes();
            vectors[total] = [
                libc::iovec { iov_base: headers[total].as_mut_ptr().cast(), iov_len: header_len },
                libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() },
            ];
            messages[total].msg_hdr.msg_iov = vectors[total].as_mut_ptr();
            messages[total].msg_hdr.msg_iovlen = 2;
            index[total] = i;
            total += 1;
        }
        let mut done = 0;
        while done < total {
            // SAFETY: messages `done..total` point at vectors and headers on this stack frame and
            // at the bytes of `frames`; sendmmsg only reads them.
            let result = checked(unsafe {
                libc::sendmmsg(
                    self.socket.as_raw_fd(),
                    messages.as_mut_ptr().add(done),
                    (total - done) as libc::c_uint,
                    libc::MSG_DONTWAIT,
                )
            });
            match result {
                Ok(count) => {
                    for i in &index[done..done + count as usize] {
                        self.counters.count_tx(&frames[*i]);
                    }
                    done += count as usize;
                }
                Err(error) => match error.raw_os_error() {
                    Some(libc::EINTR) => {}
                    // The device's queue had no room for this one.
                    Some(libc::ENOBUFS) => {
                        self.counters.tx_dropped += 1;
                        done += 1;
                    }
                    // The socket's buffer is full, or the link is down: the same for all of them.
                    Some(libc::EAGAIN | libc::ENETDOWN | libc::ENODEV | libc::ENXIO) => {
                        self.note(&error);
                        self.counters.tx_dropped += (total - done) as u64;
                        return;
                    }
                    // EINVAL, EMSGSIZE and whatever else is about the frame.
                    Some(_) | None => {
                        self.counters.tx_errors += 1;
                        done += 1;
                    }
                },
            }
        }
    }
}

/// Vectors and messages of a burst, pointing nowhere yet.
fn empty_burst() -> ([[libc::iovec; 2]; MAX_BURST], [libc::mmsghdr; MAX_BURST]) {
    // SAFETY: both are plain old data for which all zero bytes are valid.
    unsafe { (mem::zeroed(), mem::zeroed()) }
}

/// The VLAN tag the kernel took off, TPID and TCI, from the control messages.
fn stripped_tag(message: &libc::msghdr) -> Option<[u8; TAG_LEN]> {
    // SAFETY: `message` was filled by recvmmsg; the CMSG functions stay within `msg_controllen`,
    // which the kernel set to what it wrote into the control room, still alive in the caller.
    let aux: AuxData = unsafe {
        let mut control = libc::CMSG_FIRSTHDR(message);
        loop {
            let header = control.as_ref()?;
            let wanted =
                header.cmsg_level == libc::SOL_PACKET && header.cmsg_type == PACKET_AUXDATA;
            let whole = header.cmsg_len as usize
                >= libc::CMSG_LEN(mem::size_of::<AuxData>() as u32) as usize;
            if wanted && whole {
                break libc::CMSG_DATA(control).cast::<AuxData>().read_unaligned();
            }
            control = libc::CMSG_NXTHDR(message, control);
        }
    };
    if aux.status & TP_STATUS_VLAN_VALID == 0 {
        return None;
    }
    let tpid = if aux.status & TP_STATUS_VLAN_TPID_VALID != 0 { aux.vlan_tpid } else { TPID_8021Q };
    let ([a, b], [c, d]) = (tpid.to_be_bytes(), aux.vlan_tci.to_be_bytes());
    Some([a, b, c, d])
}

/// Puts a VLAN tag behind the MAC addresses.
fn insert_tag(frame: &mut Frame, tag: [u8; TAG_LEN]) -> Result<(), virtio::BadHeader> {
    frame.push_front(TAG_LEN).ok_or(virtio::BadHeader)?;
    let bytes = frame.bytes_mut();
    bytes.copy_within(TAG_LEN..TAG_LEN + 12, 0);
    bytes[12..12 + TAG_LEN].copy_from_slice(&tag);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Checksum;

    #[test]
    fn a_tag_goes_behind_the_addresses_and_the_checksum_follows() {
        let mut frame = Frame::from_vec((0..20).collect());
        frame.offloads.checksum = Checksum::Partial { start: 14, offset: 2 };
        insert_tag(&mut frame, [0x81, 0, 0, 5]).expect("headroom");
        assert_eq!(frame.bytes()[..12], (0..12).collect::<Vec<u8>>());
        assert_eq!(frame.bytes()[12..18], [0x81, 0, 0, 5, 12, 13]);
        assert_eq!(frame.offloads.checksum, Checksum::Partial { start: 18, offset: 2 });
    }

    #[test]
    fn a_missing_device_is_named() {
        let pool = FramePool::new(1, 1);
        let error = PacketPort::open("lg-none", PacketOptions::default(), &pool).map(|_| ());
        let text = error.expect_err("no such device").to_string();
        // Without CAP_NET_RAW the socket itself is refused first.
        assert!(
            text.contains("lg-none") && (text.contains("ip link") || text.contains("CAP_NET_RAW")),
            "{text}"
        );
    }
}
