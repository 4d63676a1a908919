//! One connection: an interface of `smoltcp` with one socket, and what was told of it.

use core::time::Duration;
use std::collections::VecDeque;

use ports::huge;
use smoltcp::{
    iface::{Config, Interface, SocketHandle, SocketSet, SocketStorage},
    phy::{Checksum, ChecksumCapabilities, Device, DeviceCapabilities, Medium, RxToken, TxToken},
    socket::tcp::{CongestionControl, Socket, SocketBuffer, State},
    time::Instant,
    wire::{HardwareAddress, IpAddress, IpCidr},
};
use wire::Time;

use super::{
    ACKNOWLEDGES_WITHIN, CLOSES_WITHIN, ConnId, Ends, Event, GONE_AFTER, RECEIVE, RESTS_AFTER,
    SEND, window::Window,
};
use crate::local::{ETHERNET, let_be_cut};

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
    pub(super) fn new(ends: Ends, mtu: u16, seed: u64, now: Time) -> Self {
        let mut sockets = SocketSet::new(Vec::with_capacity(1));
        let receive = SocketBuffer::new(vec![0; RECEIVE]);
        let send = SocketBuffer::new(vec![0; SEND]);
        let handle = sockets.add(socket(&ends, receive, send));
        let mtu = mtu_of(&ends, mtu);
        let interface = interface(&ends, mtu, seed, now);
        Self {
            ends,
            timer: None,
            interface,
            sockets,
            handle,
            mtu,
            window: Window::OPEN,
            id: first_id(seed),
            told: Told::default(),
            closing: Closing::No,
            sending: None,
            rests: None,
        }
    }

    /// Takes in the opening segment again that was answered before, so long ago; gives the sequence number of
    /// the answer.
    pub(super) fn replay(&mut self, syn: &[u8], ago: Duration, now: Time) -> Option<u32> {
        let mut answer = Vec::new();
        self.poll(Some(syn), now, |bytes| answer = bytes);
        self.window = Window::for_way(ago, &answer);
        sequence(&answer)
    }

    /// Takes in a segment, or only the time, and gives what is to be sent.
    pub(super) fn poll(&mut self, packet: Option<&[u8]>, now: Time, send: impl FnMut(Vec<u8>)) {
        if let Some(packet) = packet {
            // what stands for several segments is acknowledged at once (RFC 9293 §3.8.6.3)
            let joined = packet.len() > usize::from(self.mtu);
            let delay = if joined { Duration::ZERO } else { ACKNOWLEDGES_WITHIN };
            let socket = self.sockets.get_mut::<Socket<'_>>(self.handle);
            socket.set_ack_delay(Some(delay.into()));
        }
        let mut device =
            Wire { packet, mtu: self.mtu, window: self.window, id: &mut self.id, send };
        self.interface.poll(instant(now), &mut device, &mut self.sockets);
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
        if told.full && socket.can_send() {
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
        let taken = socket.send_slice(bytes).unwrap_or(0);
        self.told.full |= taken < bytes.len() && socket.may_send();
        taken
    }

    pub(super) fn room(&self) -> usize {
        let socket = self.sockets.get::<Socket<'_>>(self.handle);
        if socket.may_send() { socket.send_capacity() - socket.send_queue() } else { 0 }
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
    mtu: u16,
    seed: u64,
    (receive, send): &mut (Vec<u8>, Vec<u8>),
    now: Time,
) -> Option<Vec<u8>> {
    receive.resize(RECEIVE, 0);
    send.resize(SEND, 0);
    let mtu = mtu_of(ends, mtu);
    let mut storage = [SocketStorage::EMPTY];
    let mut sockets = SocketSet::new(&mut storage[..]);
    let (receive, send) = (SocketBuffer::new(&mut receive[..]), SocketBuffer::new(&mut send[..]));
    sockets.add(socket(ends, receive, send));
    let mut answer = None;
    let (id, window) = (&mut first_id(seed), Window::OPEN);
    let mut device =
        Wire { packet: Some(syn), mtu, window, id, send: |bytes: Vec<u8>| answer = Some(bytes) };
    interface(ends, mtu, seed, now).poll(instant(now), &mut device, &mut sockets);
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

fn interface(ends: &Ends, mtu: u16, seed: u64, now: Time) -> Interface {
    let mut config = Config::new(HardwareAddress::Ip);
    config.random_seed = seed;
    let mut device = Wire { packet: None, mtu, window: Window::OPEN, id: &mut 0, send: |_| {} };
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
    packet: Option<&'p [u8]>,
    mtu: u16,
    window: Window,
    id: &'p mut u16,
    send: F,
}

impl<F> Wire<'_, F> {
    fn sending(&mut self) -> Sending<'_, F> {
        Sending { send: &mut self.send, id: self.id, window: self.window }
    }
}

impl<F: FnMut(Vec<u8>)> Device for Wire<'_, F> {
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
        // what comes in was checked before it came here
        let mut checksum = ChecksumCapabilities::ignored();
        (checksum.ipv4, checksum.tcp) = (Checksum::Tx, Checksum::Tx);
        capabilities.checksum = checksum;
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
    send: &'a mut F,
    id: &'a mut u16,
    window: Window,
}

impl<S: FnMut(Vec<u8>)> TxToken for Sending<'_, S> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut bytes = vec![0; ETHERNET + len];
        let result = f(&mut bytes[ETHERNET..]);
        let ether_type: [u8; 2] = if bytes[ETHERNET] >> 4 == 6 {
            [0x86, 0xdd]
        } else {
            // its path is not probed
            let_be_cut(&mut bytes, *self.id);
            *self.id = self.id.wrapping_add(1);
            [0x08, 0x00]
        };
        bytes[ETHERNET - 2..ETHERNET].copy_from_slice(&ether_type);
        self.window.limit(&mut bytes);
        (self.send)(bytes);
        result
    }
}
