//! One connection: an interface of `smoltcp` with one socket, and what was told of it.

use core::{
    num::{NonZeroU16, NonZeroUsize},
    time::Duration,
};
use std::{collections::VecDeque, sync::Arc};

use ports::{Checksum, Frame, FramePool, Gso, GsoKind, Offloads, huge};
use smoltcp::{
    iface::{Config, Interface, SocketHandle, SocketSet, SocketStorage},
    phy::{ChecksumCapabilities, Device, DeviceCapabilities, Medium, PacketMeta, RxToken, TxToken},
    socket::tcp::{CongestionControl, Socket, SocketBuffer, State},
    time::Instant,
    wire::{HardwareAddress, IpAddress, IpCidr},
};
use wire::{Time, checksum::Sum, gso::segment_count, proto};

use super::{
    ACKNOWLEDGES_WITHIN, CLOSES_WITHIN, ConnId, Ends, Event, GONE_AFTER, RECEIVE, RESTS_AFTER,
    SEND, Segment, backlog::Backlog, window::Window,
};
use crate::local::{ETHERNET, let_be_cut};

/// Bytes of a super-packet at most, from the IP header on. With its link header it is shorter than 64 KiB: what is
/// not, Linux cuts itself before the device.
const LONGEST: Option<NonZeroUsize> = NonZeroUsize::new((64 << 10) - 64);

/// Bytes of the longest headers.
const HEADERS: usize = ETHERNET + 40 + 60;

/// Bytes of a TCP header without options, and where its checksum stands in it.
const HEADER: usize = 20;
const FIELD: usize = 16;

/// IPv6 packets of this size fit every path (RFC 8200 §5).
const EVERY_PATH_V6: u16 = 1_280;

/// A connection.
pub(super) struct Connection {
    pub(super) ends: Ends,
    /// When it wants to be asked, as the stack knows.
    pub(super) timer: Option<Time>,
    interface: Interface,
    sockets: SocketSet<'static>,
    handle: SocketHandle,
    mtu: u16,
    window: Window,
    backlog: Backlog,
    /// Identification of its next IPv4 packet. They are in a row, so that segments can be joined on the way.
    id: u16,
    told: Told,
    closing: Closing,
    /// When it was last seen to have something to send, since its buffer was given back.
    sending: Option<Time>,
    /// When it is looked at whether that is long ago.
    rests: Option<Time>,
}

/// Whether we have closed our end.
enum Closing {
    No,
    Asked,
    /// The peer has until then to close its own.
    Until(Time),
}

/// What was told of a connection.
#[derive(Default)]
struct Told {
    connected: bool,
    readable: bool,
    finished: bool,
    /// Not all that was to be written found room.
    full: bool,
}

impl Connection {
    /// A connection that waits for its opening segment.
    pub(super) fn new(
        ends: Ends,
        (mtu, seed): (u16, u64),
        frames: &Arc<FramePool>,
        now: Time,
    ) -> Self {
        let mut sockets = SocketSet::new(Vec::with_capacity(1));
        let receive = SocketBuffer::new(vec![0; RECEIVE]);
        let send = SocketBuffer::new(vec![0; SEND]);
        let handle = sockets.add(socket(&ends, receive, send));
        let mtu = mtu_of(&ends, mtu);
        let interface = interface(&ends, mtu, seed, frames, now);
        Self {
            ends,
            timer: None,
            interface,
            sockets,
            handle,
            mtu,
            window: Window::OPEN,
            backlog: Backlog::new(now),
            id: first_id(seed),
            told: Told::default(),
            closing: Closing::No,
            sending: None,
            rests: None,
        }
    }

    /// Takes in the opening segment again that was answered before, so long ago; gives the sequence number of
    /// the answer.
    pub(super) fn replay(
        &mut self,
        syn: &[u8],
        ago: Duration,
        frames: &Arc<FramePool>,
        now: Time,
    ) -> Option<u32> {
        let mut answer = Frame::empty();
        self.poll(Some(syn), now, frames, |segment| answer = segment.frame);
        self.window = Window::for_way(ago, answer.bytes());
        sequence(answer.bytes())
    }

    /// Takes in a segment, or only the time, and gives what is to be sent.
    pub(super) fn poll(
        &mut self,
        packet: Option<&[u8]>,
        now: Time,
        frames: &Arc<FramePool>,
        send: impl FnMut(Segment),
    ) {
        if let Some(packet) = packet {
            // what stands for several segments is acknowledged at once (RFC 9293 §3.8.6.3)
            let joined = packet.len() > usize::from(self.mtu);
            let delay = if joined { Duration::ZERO } else { ACKNOWLEDGES_WITHIN };
            let socket = self.sockets.get_mut::<Socket<'_>>(self.handle);
            socket.set_ack_delay(Some(delay.into()));
        }
        let (ends, mtu, window, id) = (&self.ends, self.mtu, self.window, &mut self.id);
        let mut device = Wire { ends, frames, packet, mtu, window, id, send };
        self.interface.poll(instant(now), &mut device, &mut self.sockets);
        let socket = self.sockets.get::<Socket<'_>>(self.handle);
        self.backlog.look(socket.send_queue(), now);
        self.rest(now);
    }

    /// Gives back the memory that what it sent lay in, once it has not sent for a while.
    fn rest(&mut self, now: Time) {
        let socket = self.sockets.get_mut::<Socket<'_>>(self.handle);
        if socket.send_queue() > 0 {
            self.sending = Some(now);
        }
        let Some(sending) = self.sending else { return };
        let at = *self.rests.get_or_insert(now + RESTS_AFTER);
        if at > now {
            return;
        }
        if sending + RESTS_AFTER > now {
            self.rests = Some(sending + RESTS_AFTER);
            return;
        }
        (self.sending, self.rests) = (None, None);
        // nothing is queued, so this is all of the buffer; one that may not send any more goes soon
        let _ = socket.send(|room| {
            huge::give_back(room);
            (0, ())
        });
    }

    /// When it wants to be asked next.
    pub(super) fn due(&mut self, now: Time) -> Option<Time> {
        let at = self.interface.poll_at(instant(now), &self.sockets).map(|at| {
            Time::from_nanos(u64::try_from(at.total_micros()).unwrap_or(0) * 1_000).max(now)
        });
        let until = match self.closing {
            Closing::Until(at) => Some(at),
            Closing::No | Closing::Asked => None,
        };
        at.into_iter().chain(until).chain(self.rests).min()
    }

    /// Whether the peer has had its time to close its end.
    pub(super) fn lingers(&mut self, now: Time) -> bool {
        match self.closing {
            Closing::No => false,
            Closing::Asked => {
                self.closing = Closing::Until(now + CLOSES_WITHIN);
                false
            }
            Closing::Until(at) => at <= now,
        }
    }

    /// Says what has changed; whether it is gone.
    pub(super) fn tell(&mut self, id: ConnId, events: &mut VecDeque<Event>) -> bool {
        let socket = self.sockets.get_mut::<Socket<'_>>(self.handle);
        let told = &mut self.told;
        let state = socket.state();
        if !told.connected && socket.may_send() {
            told.connected = true;
            events.push_back(Event::Connected(id, self.ends));
        }
        if !told.readable && socket.can_recv() {
            told.readable = true;
            events.push_back(Event::Readable(id));
        }
        if told.full && socket.may_send() && self.backlog.room(socket.send_queue()) > 0 {
            told.full = false;
            events.push_back(Event::Writable(id));
        }
        let finished = matches!(state, State::CloseWait | State::LastAck);
        if !told.finished && finished {
            told.finished = true;
            events.push_back(Event::Finished(id));
        }
        let gone = matches!(state, State::Closed | State::TimeWait);
        if gone && told.connected {
            events.push_back(Event::Closed(id));
        }
        gone
    }

    pub(super) fn read(&mut self, mut take: impl FnMut(&[u8]) -> usize) {
        self.told.readable = false;
        let socket = self.sockets.get_mut::<Socket<'_>>(self.handle);
        while socket.can_recv() {
            let taken = socket.recv(|bytes| {
                let taken = take(bytes).min(bytes.len());
                (taken, taken)
            });
            if taken.unwrap_or(0) == 0 {
                // what is left is no news
                self.told.readable = true;
                return;
            }
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> usize {
        let socket = self.sockets.get_mut::<Socket<'_>>(self.handle);
        let room = self.backlog.room(socket.send_queue());
        let taken = socket.send_slice(&bytes[..room.min(bytes.len())]).unwrap_or(0);
        self.backlog.add(taken);
        self.told.full |= taken < bytes.len() && socket.may_send();
        taken
    }

    pub(super) fn room(&self) -> usize {
        let socket = self.sockets.get::<Socket<'_>>(self.handle);
        if socket.may_send() { self.backlog.room(socket.send_queue()) } else { 0 }
    }

    pub(super) fn close(&mut self) {
        if matches!(self.closing, Closing::No) {
            self.closing = Closing::Asked;
        }
        self.sockets.get_mut::<Socket<'_>>(self.handle).close();
    }

    pub(super) fn abort(&mut self) {
        self.sockets.get_mut::<Socket<'_>>(self.handle).abort();
    }
}

/// The answer to an opening segment, as the connection that may come of it would give it.
pub(super) fn answer_to_syn(
    ends: &Ends,
    syn: &[u8],
    (mtu, seed): (u16, u64),
    frames: &Arc<FramePool>,
    receive: &mut Vec<u8>,
    now: Time,
) -> Option<Segment> {
    receive.resize(RECEIVE, 0);
    let mtu = mtu_of(ends, mtu);
    let mut storage = [SocketStorage::EMPTY];
    let mut sockets = SocketSet::new(&mut storage[..]);
    // nothing is sent but the answer, and that lies in no buffer
    let (receive, send) = (SocketBuffer::new(&mut receive[..]), SocketBuffer::new(&mut [][..]));
    sockets.add(socket(ends, receive, send));
    let mut answer = None;
    let (id, window) = (&mut first_id(seed), Window::OPEN);
    let send = |segment: Segment| answer = Some(segment);
    let mut device = Wire { ends, frames, packet: Some(syn), mtu, window, id, send };
    interface(ends, mtu, seed, frames, now).poll(instant(now), &mut device, &mut sockets);
    answer
}

fn mtu_of(ends: &Ends, mtu: u16) -> u16 {
    if ends.local.is_ipv6() { mtu.min(EVERY_PATH_V6) } else { mtu }
}

fn socket<'a>(ends: &Ends, receive: SocketBuffer<'a>, send: SocketBuffer<'a>) -> Socket<'a> {
    let mut socket = Socket::new(receive, send);
    socket.set_nagle_enabled(false);
    socket.set_congestion_control(CongestionControl::Cubic);
    socket.set_timeout(Some(GONE_AFTER.into()));
    socket.listen((IpAddress::from(ends.local.ip()), ends.local.port())).expect(
        "invariant: a new socket listens at a port that a segment came to, which is not zero",
    );
    socket
}

fn interface(ends: &Ends, mtu: u16, seed: u64, frames: &Arc<FramePool>, now: Time) -> Interface {
    let mut config = Config::new(HardwareAddress::Ip);
    config.random_seed = seed;
    let window = Window::OPEN;
    let mut device = Wire { ends, frames, packet: None, mtu, window, id: &mut 0, send: |_| {} };
    let mut interface = Interface::new(config, &mut device, instant(now));
    // the peer is on the link, whoever it is: routing is the gateway's
    let everybody = IpCidr::new(ends.local.ip().into(), 0);
    interface.update_ip_addrs(|addresses| {
        addresses.push(everybody).expect("invariant: an interface has room for one address");
    });
    interface
}

/// Whoever sees it sees the sequence numbers too.
fn first_id(seed: u64) -> u16 {
    (seed >> 48) as u16
}

fn instant(now: Time) -> Instant {
    Instant::from_micros(i64::try_from(now.as_nanos() / 1_000).unwrap_or(i64::MAX))
}

/// Sequence number of a segment behind a blank Ethernet header.
fn sequence(bytes: &[u8]) -> Option<u32> {
    let headers = wire::parse(bytes).ok()?;
    super::Header::of(bytes, &headers).map(|header| header.sequence)
}

/// What an interface receives, one packet at most, and where it sends.
struct Wire<'p, F> {
    ends: &'p Ends,
    frames: &'p Arc<FramePool>,
    packet: Option<&'p [u8]>,
    mtu: u16,
    window: Window,
    id: &'p mut u16,
    send: F,
}

impl<F> Wire<'_, F> {
    fn sending(&mut self) -> Sending<'_, F> {
        let (send, id, window) = (&mut self.send, &mut *self.id, self.window);
        Sending { ends: self.ends, frames: self.frames, send, id, window, size: None }
    }
}

impl<F: FnMut(Segment)> Device for Wire<'_, F> {
    type RxToken<'a>
        = Received<'a>
    where
        Self: 'a;
    type TxToken<'a>
        = Sending<'a, F>
    where
        Self: 'a;

    fn receive(&mut self, _: Instant) -> Option<(Received<'_>, Sending<'_, F>)> {
        let packet = self.packet.take()?;
        Some((Received(packet), self.sending()))
    }

    fn transmit(&mut self, _: Instant) -> Option<Sending<'_, F>> {
        Some(self.sending())
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = self.mtu.into();
        // what comes in was checked before it came here, and what goes out is finished when it leaves
        capabilities.checksum = ChecksumCapabilities::ignored();
        // `smoltcp` 0.14 throws away what it made too long for IPv6
        capabilities.segmentation.tcpv4 = LONGEST;
        capabilities
    }
}

struct Received<'a>(&'a [u8]);

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

struct Sending<'a, F> {
    ends: &'a Ends,
    frames: &'a Arc<FramePool>,
    send: &'a mut F,
    id: &'a mut u16,
    window: Window,
    /// Bytes of payload in each segment that a super-packet stands for.
    size: Option<NonZeroU16>,
}

impl<S: FnMut(Segment)> TxToken for Sending<'_, S> {
    fn set_meta(&mut self, meta: PacketMeta) {
        self.size = meta.segmentation_offload_size;
    }

    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let whole = ETHERNET + len;
        let mut owner = self.frames.alloc(whole).unwrap_or_else(|| Frame::from_vec(vec![0; whole]));
        let frame = owner.bytes_mut();
        // the rest is payload
        frame[..whole.min(HEADERS)].fill(0);
        let result = f(&mut frame[ETHERNET..]);
        let (v4, ether_type, l4): (_, [u8; 2], _) = if self.ends.local.is_ipv4() {
            (true, [0x08, 0x00], ETHERNET + 20)
        } else {
            (false, [0x86, 0xdd], ETHERNET + 40)
        };
        frame[ETHERNET - 2..ETHERNET].copy_from_slice(&ether_type);
        if v4 {
            // its path is not probed
            let_be_cut(frame, *self.id);
        }
        self.window.limit(&mut frame[l4..]);
        let kind = if v4 { GsoKind::Tcp4 } else { GsoKind::Tcp6 };
        let gso = self.size.map(|size| Gso { kind, size: size.get(), ecn: false });
        let payload = len.saturating_sub(l4 - ETHERNET + HEADER);
        let count = gso.map_or(1, |gso| segment_count(payload as u32, gso.size));
        *self.id = self.id.wrapping_add(count as u16);
        let checksum = leave_checksum(self.ends, frame, l4);
        owner.offloads = Offloads { checksum, gso };
        (self.send)(Segment { vr: self.ends.vr, frame: owner });
        result
    }
}

/// Whoever sends the segment makes its checksum.
fn leave_checksum(ends: &Ends, frame: &mut [u8], l4: usize) -> Checksum {
    let length = (frame.len() - l4) as u32;
    let sum = Sum::ZERO.pseudo(ends.local.ip(), ends.remote.ip(), proto::TCP, length).fold();
    frame[l4 + FIELD..l4 + FIELD + 2].copy_from_slice(&sum.to_be_bytes());
    Checksum::Partial { start: l4 as u16, offset: FIELD as u16 }
}
