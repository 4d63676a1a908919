//! The stack against another: a client of `smoltcp`, over a wire that loses, doubles and reorders.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::collections::VecDeque;

use config::model::VrId;
use ports::FramePool;
use smoltcp::{
    iface::{Config, Interface, SocketHandle, SocketSet},
    phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken},
    socket::tcp::{Socket, SocketBuffer, State},
    time::Instant,
    wire::{HardwareAddress, IpAddress, IpCidr},
};
use wire::{Time, tcp::flags};

use super::*;
use crate::rng::Rng;

const LIMITS: Limits = Limits { connections: 64, of_source: 32 };

fn pool() -> Arc<FramePool> {
    FramePool::new(64, 2)
}

fn stack() -> Stack {
    Stack::new(LIMITS, &[7; 32], 1, pool())
}

fn end(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(address.parse().expect("an address"), port)
}

fn ends(port: u16) -> Ends {
    Ends { vr: VrId(0), local: end("192.0.2.1", 443), remote: end("198.51.100.7", port) }
}

/// A bad wire: one in so many packets is lost, doubled, or comes late.
struct Weather {
    rng: Rng,
    one_in: u32,
}

impl Weather {
    fn fate(&mut self) -> (usize, Duration) {
        if self.one_in == 0 || self.rng.below(self.one_in) != 0 {
            return (1, Duration::from_millis(1));
        }
        match self.rng.below(3) {
            0 => (0, Duration::ZERO),
            1 => (2, Duration::from_millis(1)),
            _ => (1, Duration::from_millis(9)),
        }
    }
}

/// A client, its wire and the stack.
struct Pair {
    stack: Stack,
    client: Interface,
    sockets: SocketSet<'static>,
    socket: SocketHandle,
    now: Time,
    weather: Weather,
    /// Arrival, direction, IP packet.
    wire: Vec<(Time, bool, Vec<u8>)>,
    events: Vec<Event>,
    packets_to_client: u64,
    /// Super-packets that were cut on their way to the client.
    supers: u64,
    largest: usize,
    mtu: u16,
}

#[derive(Default)]
struct Card {
    received: VecDeque<Vec<u8>>,
    sent: Vec<Vec<u8>>,
}

struct In(Vec<u8>);
struct Out<'a>(&'a mut Vec<Vec<u8>>);

impl RxToken for In {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl TxToken for Out<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut bytes = vec![0; len];
        let result = f(&mut bytes);
        self.0.push(bytes);
        result
    }
}

impl Device for Card {
    type RxToken<'a> = In;
    type TxToken<'a> = Out<'a>;

    fn receive(&mut self, _: Instant) -> Option<(In, Out<'_>)> {
        Some((In(self.received.pop_front()?), Out(&mut self.sent)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Out<'_>> {
        Some(Out(&mut self.sent))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = 1_500;
        capabilities
    }
}

impl Pair {
    fn new(local: &str, remote: &str, one_in: u32, seed: u64) -> Self {
        let now = Time::from_secs(10);
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = seed;
        let mut client = Interface::new(config, &mut Card::default(), at(now));
        let address: IpAddr = remote.parse().expect("an address");
        client.update_ip_addrs(|list| list.push(IpCidr::new(address.into(), 0)).expect("room"));
        let buffer = || SocketBuffer::new(vec![0; 16 << 10]);
        let mut sockets = SocketSet::new(Vec::new());
        let mut socket = Socket::new(buffer(), buffer());
        let to: IpAddr = local.parse().expect("an address");
        socket
            .connect(client.context(), (IpAddress::from(to), 443), 50_000)
            .expect("a new socket connects");
        let socket = sockets.add(socket);
        Self {
            stack: stack(),
            client,
            sockets,
            socket,
            now,
            weather: Weather { rng: Rng::new(seed), one_in },
            wire: Vec::new(),
            events: Vec::new(),
            packets_to_client: 0,
            supers: 0,
            largest: 0,
            mtu: 1_500,
        }
    }

    fn socket(&mut self) -> &mut Socket<'static> {
        self.sockets.get_mut(self.socket)
    }

    fn put(&mut self, to_client: bool, bytes: Vec<u8>) {
        let (copies, delay) = self.weather.fate();
        for _ in 0..copies {
            self.wire.push((self.now + delay, to_client, bytes.clone()));
        }
    }

    /// One simulated millisecond.
    fn step(&mut self) {
        self.now = self.now + Duration::from_millis(1);
        let (due, later) =
            std::mem::take(&mut self.wire).into_iter().partition(|w| w.0 <= self.now);
        self.wire = later;
        let due: Vec<(Time, bool, Vec<u8>)> = due;
        let mut card = Card::default();
        for (_, to_client, bytes) in due {
            if to_client {
                self.packets_to_client += 1;
                self.largest = self.largest.max(bytes.len());
                card.received.push_back(bytes);
            } else {
                self.deliver(&bytes);
            }
        }
        self.client.poll(at(self.now), &mut card, &mut self.sockets);
        self.stack.flush(self.now);
        self.stack.handle_timeout(self.now);
        while let Some(segment) = self.stack.poll_transmit() {
            self.supers += u64::from(segment.frame.offloads.gso.is_some());
            cut(segment).for_each(|bytes| self.put(true, bytes[14..].to_vec()));
        }
        card.sent.into_iter().for_each(|bytes| self.put(false, bytes));
        while let Some(event) = self.stack.poll_event() {
            self.events.push(event);
        }
    }

    fn deliver(&mut self, packet: &[u8]) {
        let mut frame = vec![0; 14];
        let kind: [u8; 2] = if packet[0] >> 4 == 6 { [0x86, 0xdd] } else { [8, 0] };
        frame[12..].copy_from_slice(&kind);
        frame.extend_from_slice(packet);
        let headers = wire::parse(&frame).expect("the client sends packets");
        let tuple = headers.tuple;
        let ends = Ends {
            vr: VrId(0),
            local: SocketAddr::new(tuple.dst, tuple.dst_port),
            remote: SocketAddr::new(tuple.src, tuple.src_port),
        };
        let header = Header::of(&frame, &headers).expect("a segment");
        let (mtu, now) = (self.mtu, self.now);
        self.stack.handle_segment(ends, packet, header, mtu, now);
    }

    fn run(&mut self, most: u32, mut done: impl FnMut(&mut Self) -> bool) {
        for _ in 0..most {
            if done(self) {
                return;
            }
            self.step();
        }
        panic!("not done after {most} ms: {:?} {:?}", self.socket().state(), self.events);
    }

    fn connected(&mut self) -> ConnId {
        self.run(60_000, |pair| !pair.events.is_empty());
        match self.events.remove(0) {
            Event::Connected(id, _) => id,
            other => panic!("not connected: {other:?}"),
        }
    }
}

/// What a port without offloads sends.
fn cut(Segment { mut frame, .. }: Segment) -> impl Iterator<Item = Vec<u8>> {
    let pool = pool();
    let headers = wire::parse(frame.bytes()).expect("what is sent is a packet");
    let mut frames = Vec::new();
    if frame.offloads.gso.is_some() {
        ports::segment(&frame, &headers, &pool, &mut frames).expect("it can be cut");
    } else {
        frame.finish_checksum().expect("its checksum can be made");
        frames.push(frame);
    }
    frames.into_iter().map(|frame| {
        let headers = wire::parse(frame.bytes()).expect("a packet");
        wire::verify_l4_checksum(frame.bytes(), &headers).expect("its checksum fits");
        frame.bytes().to_vec()
    })
}

fn at(now: Time) -> Instant {
    Instant::from_micros((now.as_nanos() / 1_000) as i64)
}

fn text(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n * 31 + n / 251) as u8).collect()
}

/// Both ways at once, more than any buffer holds; then both close.
fn exchange(pair: &mut Pair) {
    let id = pair.connected();
    let (up, down) = (text(200_000), text(300_000));
    let (mut sent, mut written) = (0, 0);
    let (mut got_up, mut got_down) = (Vec::new(), Vec::new());
    pair.run(600_000, |pair| {
        if sent < up.len() && pair.socket().can_send() {
            sent += pair.socket().send_slice(&up[sent..]).expect("open");
        }
        if pair.socket().can_recv() {
            pair.socket()
                .recv(|bytes| {
                    got_down.extend_from_slice(bytes);
                    (bytes.len(), ())
                })
                .expect("open");
        }
        pair.stack.read(id, |bytes| {
            let some = bytes.len().min(5_000);
            got_up.extend_from_slice(&bytes[..some]);
            some
        });
        written += pair.stack.write(id, &down[written..]);
        got_up.len() == up.len() && got_down.len() == down.len()
    });
    assert!(got_up == up && got_down == down, "what comes is what was sent");
    pair.stack.close(id);
    pair.socket().close();
    pair.run(120_000, |pair| pair.events.contains(&Event::Closed(id)));
    assert!(pair.stack.is_empty());
    assert_eq!(pair.stack.room(id), 0);
}

#[test]
fn what_is_written_comes_whole_both_ways_over_both_versions() {
    for (local, remote, largest) in
        [("192.0.2.1", "198.51.100.7", 1_500), ("2001:db8::1", "2001:db8:7::9", 1_280)]
    {
        let mut pair = Pair::new(local, remote, 0, 5);
        exchange(&mut pair);
        assert_eq!(pair.largest, largest, "segments fit the path");
        let is_v4 = largest == 1_500;
        assert_eq!(pair.supers > 0, is_v4, "what is sent at once is one super-packet");
        let least = 300_000_u64 / 1_220;
        assert!(pair.packets_to_client < 2 * least, "{}", pair.packets_to_client);
    }
}

#[test]
fn without_frames_it_goes_on_in_memory_of_its_own() {
    let mut pair = Pair::new("192.0.2.1", "198.51.100.7", 0, 5);
    let none = FramePool::new(0, 0);
    pair.stack = Stack::new(LIMITS, &[7; 32], 1, Arc::clone(&none));
    exchange(&mut pair);
    assert!(none.exhausted() > 0);
}

#[test]
fn a_wire_that_loses_doubles_and_reorders_changes_nothing() {
    for seed in 0..12 {
        let mut pair = Pair::new("192.0.2.1", "198.51.100.7", 15, seed);
        exchange(&mut pair);
    }
}

#[test]
fn the_same_inputs_give_the_same_packets_and_another_secret_other_numbers() {
    let answer = |secret: u8| {
        let mut stack = Stack::new(LIMITS, &[secret; 32], 1, pool());
        open(&mut stack, ends(1_000), 77, Time::from_secs(1));
        stack.poll_transmit().map(|segment| segment.frame.bytes().to_vec())
    };
    assert!(answer(1).is_some());
    assert_eq!(answer(1), answer(1));
    assert_ne!(answer(1), answer(2));
}

/// Sends an opening segment.
fn open(stack: &mut Stack, ends: Ends, sequence: u32, now: Time) -> Taken {
    segment(stack, ends, flags::SYN, sequence, 0, now)
}

fn segment(stack: &mut Stack, ends: Ends, kind: u8, sequence: u32, ack: u32, now: Time) -> Taken {
    let tuple = wire::Tuple {
        src: ends.remote.ip(),
        dst: ends.local.ip(),
        src_port: ends.remote.port(),
        dst_port: ends.local.port(),
        proto: wire::proto::TCP,
    };
    let frame =
        wire::build::Packet::new(tuple).ether(wire::build::ETHER).tcp(kind, sequence, ack).build();
    let headers = wire::parse(&frame).expect("a segment");
    let header = Header::of(&frame, &headers).expect("a segment");
    stack.handle_segment(ends, &frame[usize::from(headers.l3)..], header, 1_500, now)
}

/// Flags, sequence and acknowledgement number of the next packet out.
fn next(stack: &mut Stack) -> Option<Header> {
    let frame = stack.poll_transmit()?.frame;
    let bytes = frame.bytes();
    Header::of(bytes, &wire::parse(bytes).expect("a packet"))
}

/// An opening segment with the options of a client, behind a blank Ethernet header.
fn syn() -> Vec<u8> {
    let buffer = || SocketBuffer::new(vec![0; 1 << 20]);
    let mut client = Socket::new(buffer(), buffer());
    let mut card = Card::default();
    let mut interface = Interface::new(Config::new(HardwareAddress::Ip), &mut card, at(Time::ZERO));
    let remote: IpAddr = ends(9).remote.ip();
    interface.update_ip_addrs(|list| list.push(IpCidr::new(remote.into(), 0)).expect("room"));
    let to = (IpAddress::from(ends(9).local.ip()), 443);
    client.connect(interface.context(), to, 9).expect("a new socket connects");
    let mut sockets = SocketSet::new(Vec::new());
    sockets.add(client);
    interface.poll(at(Time::ZERO), &mut card, &mut sockets);
    let packet = card.sent.pop().expect("it sends its opening segment");
    [&[0; 12][..], &[8, 0], &packet].concat()
}

#[test]
fn the_window_is_what_the_way_needs_and_is_told_scaled() {
    // what the handshake took, and the bytes that are offered afterwards
    let offered = |took: Duration| {
        let mut stack = stack();
        let now = Time::from_secs(1);
        let frame = syn();
        let headers = wire::parse(&frame).expect("a segment");
        let opening = Header::of(&frame, &headers).expect("a segment");
        stack.handle_segment(ends(9), &frame[14..], opening, 1_500, now);
        let answer = stack.poll_transmit().expect("it is answered").frame.bytes().to_vec();
        let seen = wire::parse(&answer).expect("a packet");
        let seen = wire::tcp::Segment::of(&answer, &seen).expect("a segment");
        let shift = seen.offer().expect("whole").window_scale.expect("we scale, too");
        let (ours, next) = (seen.seq.wrapping_add(1), opening.sequence.wrapping_add(1));
        let now = now + took;
        segment(&mut stack, ends(9), flags::ACK, next, ours, now);
        let tuple = headers.tuple;
        let data = wire::build::Packet::new(tuple).ether(wire::build::ETHER);
        let data = data.tcp(flags::ACK, next, ours).payload(&[7; 3_000]).build();
        let headers = wire::parse(&data).expect("a segment");
        let header = Header::of(&data, &headers).expect("a segment");
        let packet = &data[usize::from(headers.l3)..];
        stack.handle_segment(ends(9), packet, header, 1_500, now);
        let ack = stack.poll_transmit().expect("it is acknowledged").frame.bytes().to_vec();
        let headers = wire::parse(&ack).expect("a packet");
        let segment = wire::tcp::Segment::of(&ack, &headers).expect("a segment");
        usize::from(segment.window) << shift
    };
    assert_eq!(offered(Duration::from_micros(10)), 64 << 10, "however near");
    assert_eq!(offered(Duration::from_millis(1)), 125_000);
    let far = offered(Duration::from_millis(50));
    assert!((RECEIVE - 3_000 - 8..RECEIVE).contains(&far), "{far}: what there is room for");
}

#[test]
fn a_flood_of_openings_costs_no_buffers_and_the_oldest_gives_way() {
    let mut stack = stack();
    let now = Time::from_secs(1);
    let from = |n: u32| {
        let address = core::net::Ipv4Addr::from_bits(0xc612_0000 + n);
        Ends { remote: SocketAddr::new(address.into(), 9), ..ends(0) }
    };
    for n in 0..HALF_OPEN as u32 + 100 {
        assert_eq!(open(&mut stack, from(n), 5, now), Taken::Yes);
        assert_eq!(next(&mut stack).map(|h| h.flags), Some(flags::SYN | flags::ACK));
    }
    assert_eq!((stack.half_open(), stack.len()), (HALF_OPEN, 0));
    assert_eq!(stack.refused().evicted, 100);

    // one source alone does not push others out
    for n in 0..100 {
        open(&mut stack, ends(2_000 + n), 5, now);
    }
    assert_eq!(stack.refused().of_source, 100 - HALF_OPEN_OF_SOURCE as u64);
    while next(&mut stack).is_some() {}

    // whoever is still remembered gets in, the first ones do not
    let mut ack = |n: u32| {
        open(&mut stack, from(n), 5, now);
        let ours = next(&mut stack).expect("an answer").sequence;
        segment(&mut stack, from(n), flags::ACK, 6, ours.wrapping_add(1), now)
    };
    assert_eq!(ack(900), Taken::Yes);
    assert_eq!(stack.len(), 1);
    assert_eq!(segment(&mut stack, from(3), flags::ACK, 6, 1, now), Taken::NoConnection);
    stack.handle_timeout(now + HALF_OPEN_FOR);
    assert_eq!(stack.half_open(), 0);
}

#[test]
fn only_the_right_acknowledgement_makes_a_connection_and_an_answer_is_the_same_again() {
    let mut stack = stack();
    let now = Time::from_secs(1);
    open(&mut stack, ends(1_000), 77, now);
    let first = next(&mut stack).expect("an answer");
    open(&mut stack, ends(1_000), 77, now + Duration::from_secs(1));
    assert_eq!(next(&mut stack), Some(first));
    assert_eq!((first.acknowledgement, stack.half_open()), (78, 1));
    let wrong = first.sequence.wrapping_add(2);
    assert_eq!(segment(&mut stack, ends(1_000), flags::ACK, 78, wrong, now), Taken::NoConnection);
    let right = first.sequence.wrapping_add(1);
    assert_eq!(segment(&mut stack, ends(1_000), flags::ACK, 79, right, now), Taken::NoConnection);
    assert_eq!((stack.len(), stack.half_open()), (0, 1));
    assert_eq!(segment(&mut stack, ends(1_000), flags::ACK, 78, right, now), Taken::Yes);
    assert!(matches!(stack.poll_event(), Some(Event::Connected(_, e)) if e == ends(1_000)));
    assert_eq!((stack.len(), stack.half_open()), (1, 0));
}

#[test]
fn a_reset_ends_what_is_half_open_and_only_with_its_number() {
    let mut stack = stack();
    let now = Time::from_secs(1);
    open(&mut stack, ends(1_000), 77, now);
    segment(&mut stack, ends(1_000), flags::RST, 5_000, 0, now);
    assert_eq!(stack.half_open(), 1);
    segment(&mut stack, ends(1_000), flags::RST, 78, 0, now);
    assert_eq!(stack.half_open(), 0);
    assert_eq!(segment(&mut stack, ends(1_000), flags::FIN, 1, 0, now), Taken::NoConnection);
}

#[test]
fn connections_are_bounded_over_all_and_by_source() {
    let mut stack = Stack::new(Limits { connections: 3, of_source: 2 }, &[7; 32], 1, pool());
    let now = Time::from_secs(1);
    let mut connect = |ends: Ends| {
        let taken = open(&mut stack, ends, 77, now);
        let Some(answer) = next(&mut stack) else { return taken };
        segment(&mut stack, ends, flags::ACK, 78, answer.sequence.wrapping_add(1), now)
    };
    let other = |port| Ends { remote: end("198.51.100.8", port), ..ends(port) };
    assert_eq!([connect(ends(1)), connect(ends(2)), connect(ends(3))], {
        [Taken::Yes, Taken::Yes, Taken::Limit]
    });
    assert_eq!([connect(other(1)), connect(other(2))], [Taken::Yes, Taken::Limit]);
    let Some(Event::Connected(id, _)) = stack.poll_event() else { panic!("connected") };
    stack.abort(id, now);
    assert_eq!(next(&mut stack).map(|h| h.flags & flags::RST), Some(flags::RST));
    assert_eq!(stack.len(), 2);
    assert_eq!(open(&mut stack, other(2), 77, now), Taken::Yes);
}

#[test]
fn a_peer_that_does_not_read_stops_the_writer_and_one_that_is_gone_is_given_up() {
    let mut pair = Pair::new("192.0.2.1", "198.51.100.7", 0, 5);
    let id = pair.connected();
    let bytes = text(10_000);
    let mut taken = 0;
    for _ in 0..2_000 {
        taken += pair.stack.write(id, &bytes);
        pair.step();
    }
    assert!(taken <= SEND + (16 << 10), "{taken}");
    assert_eq!(pair.stack.write(id, &bytes), 0);
    pair.events.clear();
    pair.socket().recv(|bytes| (bytes.len(), ())).expect("open");
    pair.run(60_000, |pair| pair.events.contains(&Event::Writable(id)));

    // the wire is cut
    pair.weather.one_in = 1;
    pair.wire.clear();
    pair.socket().abort();
    let since = pair.now;
    for _ in 0..400_000 {
        pair.now = pair.now + Duration::from_millis(1);
        pair.stack.handle_timeout(pair.now);
        if let Some(Event::Closed(closed)) = pair.stack.poll_event() {
            assert_eq!(closed, id);
            let took = pair.now.since(since);
            assert!(took >= GONE_AFTER - Duration::from_secs(1), "{took:?}");
            assert!(pair.stack.is_empty());
            return;
        }
    }
    panic!("never given up");
}

#[test]
fn a_peer_that_keeps_its_end_open_is_cut_off() {
    let mut pair = Pair::new("192.0.2.1", "198.51.100.7", 0, 5);
    let id = pair.connected();
    pair.stack.write(id, b"bye");
    pair.stack.close(id);
    assert_eq!(pair.stack.write(id, b"more"), 0);
    pair.run(1_000, |pair| pair.socket().state() == State::CloseWait);
    let since = pair.now;
    pair.run(60_000, |pair| pair.events.contains(&Event::Closed(id)));
    assert!(pair.now.since(since) + Duration::from_millis(20) >= CLOSES_WITHIN);
    pair.run(1_000, |pair| pair.socket().state() == State::Closed);
}

#[test]
fn a_peer_that_is_done_is_told_of_after_what_it_sent() {
    let mut pair = Pair::new("192.0.2.1", "198.51.100.7", 0, 5);
    let id = pair.connected();
    pair.socket().send_slice(b"the end").expect("open");
    pair.socket().close();
    pair.run(1_000, |pair| pair.events.contains(&Event::Finished(id)));
    assert_eq!(pair.events, [Event::Readable(id), Event::Finished(id)]);
    let mut got = Vec::new();
    pair.stack.read(id, |bytes| {
        got.extend_from_slice(bytes);
        bytes.len()
    });
    assert_eq!(got, b"the end");
    pair.stack.close(id);
    pair.run(1_000, |pair| pair.events.contains(&Event::Closed(id)));
}

proptest::proptest! {
    /// Whatever comes gives no panic, and no connection without its handshake.
    #[test]
    fn any_segments_are_borne(
        segments in proptest::collection::vec(
            (0_u16..3, proptest::num::u8::ANY, 0_u32..4, 0_u32..4, proptest::collection::vec(0_u8..=255, 0..40)),
            0..40,
        ),
    ) {
        let mut stack = stack();
        let now = Time::from_secs(1);
        for (port, kind, sequence, ack, junk) in segments {
            segment(&mut stack, ends(port + 1), kind, sequence, ack, now);
            let header = Header { flags: kind, sequence, acknowledgement: ack };
            stack.handle_segment(ends(port + 1), &junk, header, 1_500, now);
        }
        proptest::prop_assert!(stack.half_open() <= 3);
        proptest::prop_assert!(stack.is_empty(), "nobody can guess our number");
    }
}
