//! Joining packets into super-packets, so that whoever is next handles them once: what waits for a port (what came
//! out of a tunnel one by one, the segments of our own TCP, the datagrams of one SA or association), and what came
//! for our own TCP.
//!
//! Packets of a flow keep their order; those of different flows may pass each other within what waits.
//! A packet is joined only if its checksums are right, so that none is made right on the way, and only what
//! could have been cut from the whole ([`wire::gro`]). Nothing waits for more to come.

use std::{mem, sync::Arc};

use wire::{Headers, IpVersion, gro::Run, proto};

use crate::{Checksum, Frame, FramePool, Gso, GsoKind, PortCapabilities};

/// Flows that are joined at a time.
const FLOWS: usize = 8;

/// Joins packets. Keeps nothing between calls but memory.
#[derive(Default)]
pub struct Coalescer {
    waiting: Vec<Frame>,
    spent: Vec<Frame>,
}

/// A run and the frame it is in.
struct Open {
    run: Run,
    at: usize,
    /// The first packet's checksum has been looked at.
    checked: bool,
}

impl Coalescer {
    /// Joins what can be, of frames as they are to be sent, for a port that takes super-packets.
    pub fn coalesce(
        &mut self,
        frames: &mut Vec<Frame>,
        port: PortCapabilities,
        pool: &Arc<FramePool>,
    ) {
        if port.partial_checksum && (port.tso4 || port.tso6 || port.uso) {
            self.join(frames, |frame, headers| begin(frame, headers, port), pool);
        }
    }

    /// Joins segments of TCP that are still to find their way. Only those that nobody may cut on it, as those that
    /// are cut there have to come one by one.
    pub fn coalesce_for_way(&mut self, frames: &mut Vec<Frame>, pool: &Arc<FramePool>) {
        let all = PortCapabilities { uso: false, ..PortCapabilities::ALL };
        let begin = |frame: &Frame, headers: &Headers| {
            let whole = headers.df || headers.tuple.is_v6();
            if whole { begin(frame, headers, all) } else { None }
        };
        self.join(frames, begin, pool);
    }

    /// Joins segments of connections that end here, which nobody cuts again.
    pub fn coalesce_for_reader(&mut self, frames: &mut Vec<Frame>, pool: &Arc<FramePool>) {
        let begin = |frame: &Frame, headers: &Headers| {
            let single = headers.tuple.proto == proto::TCP && frame.offloads.gso.is_none();
            if single { Run::begin_for_reader(frame.bytes(), headers) } else { None }
        };
        self.join(frames, begin, pool);
    }

    fn join(
        &mut self,
        frames: &mut Vec<Frame>,
        begin: impl Fn(&Frame, &Headers) -> Option<Run>,
        pool: &Arc<FramePool>,
    ) {
        if frames.len() < 2 {
            return;
        }
        mem::swap(frames, &mut self.waiting);
        let mut flows: [Option<Open>; FLOWS] = [const { None }; FLOWS];
        let mut oldest = 0;
        for mut frame in self.waiting.drain(..) {
            let Ok(headers) = wire::parse(frame.bytes()) else {
                frames.push(frame);
                continue;
            };
            let of_flow =
                |open: &Option<Open>| open.as_ref().is_some_and(|o| o.run.is_of(&headers));
            let place = flows.iter().position(of_flow);
            if let Some(place) = place
                && let Some(open) = &mut flows[place]
            {
                if add(open, frames, &mut frame, &headers, pool) {
                    self.spent.push(frame);
                    continue;
                }
                if let Some(open) = flows[place].take() {
                    close(&open, frames);
                }
            }
            if let Some(run) = begin(&frame, &headers) {
                let place = place.unwrap_or_else(|| {
                    oldest = (oldest + 1) % FLOWS;
                    oldest
                });
                let open = Open { run, at: frames.len(), checked: false };
                if let Some(before) = flows[place].replace(open) {
                    close(&before, frames);
                }
            }
            frames.push(frame);
        }
        for open in flows.iter().flatten() {
            close(open, frames);
        }
        pool.free_burst(&mut self.spent);
    }
}

/// A run that may begin with a frame, if the port takes its kind.
fn begin(frame: &Frame, headers: &Headers, port: PortCapabilities) -> Option<Run> {
    if frame.offloads.gso.is_some() {
        return None;
    }
    let run = Run::begin(frame.bytes(), headers)?;
    let takes = match kind(&run) {
        GsoKind::Tcp4 => port.tso4,
        GsoKind::Tcp6 => port.tso6,
        GsoKind::Udp => port.uso,
    };
    takes.then_some(run)
}

fn kind(run: &Run) -> GsoKind {
    match run.kind() {
        (true, IpVersion::V4) => GsoKind::Tcp4,
        (true, IpVersion::V6) => GsoKind::Tcp6,
        (false, _) => GsoKind::Udp,
    }
}

/// Puts a packet behind those of a run, if it continues it and there is a buffer.
fn add(
    open: &mut Open,
    frames: &mut [Frame],
    frame: &mut Frame,
    headers: &Headers,
    pool: &Arc<FramePool>,
) -> bool {
    let Some(head) = frames.get_mut(open.at) else { return false };
    if frame.offloads.gso.is_some()
        || !open.run.continues(head.bytes(), frame.bytes(), headers)
        || !is_right(frame, headers)
    {
        return false;
    }
    if !open.checked {
        let first = wire::parse(head.bytes());
        if !first.is_ok_and(|first| is_right(head, &first)) {
            return false;
        }
        open.checked = true;
    }
    let payload = &frame.bytes()[usize::from(headers.payload)..];
    if open.run.count() == 1 {
        let Some(mut whole) = pool.alloc_spare() else { return false };
        whole.refill(head.bytes());
        *head = whole;
    }
    if !head.extend_from_slice(payload) {
        return false;
    }
    open.run.add(headers);
    true
}

/// Whether the transport checksum is right, or whoever sends the frame makes it right.
fn is_right(frame: &Frame, headers: &Headers) -> bool {
    match frame.offloads.checksum {
        Checksum::Verified | Checksum::Partial { .. } => true,
        Checksum::Unchecked => wire::verify_l4_checksum(frame.bytes(), headers).is_ok(),
    }
}

/// Makes one packet of a run of several.
fn close(open: &Open, frames: &mut [Frame]) {
    if open.run.count() < 2 {
        return;
    }
    let Some(frame) = frames.get_mut(open.at) else { return };
    if let Some((start, offset)) = open.run.finish(frame.bytes_mut()) {
        frame.offloads.checksum = Checksum::Partial { start, offset };
        frame.offloads.gso = Some(Gso { kind: kind(&open.run), size: open.run.size(), ecn: false });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use wire::{
        Tuple,
        build::{Packet, tuple},
        tcp::flags,
    };

    use super::*;
    use crate::segment;

    const ALL: PortCapabilities = PortCapabilities::ALL;

    fn flow(proto: u8, port: u16) -> Tuple {
        tuple(proto, ([10, 0, 0, 5], port), ([203, 0, 113, 9], 443))
    }

    fn tcp(port: u16, seq: u32, len: usize) -> Vec<u8> {
        let packet = Packet::new(flow(proto::TCP, port)).tcp(flags::ACK, seq, 1).df(true);
        packet.id(seq as u16).payload(&vec![seq as u8; len]).build()
    }

    fn udp(port: u16, mark: u8, len: usize) -> Vec<u8> {
        Packet::new(flow(proto::UDP, port))
            .df(false)
            .id(mark.into())
            .payload(&vec![mark; len])
            .build()
    }

    fn frames(pool: &Arc<FramePool>, packets: &[Vec<u8>]) -> Vec<Frame> {
        packets.iter().map(|packet| pool.alloc_from(packet).expect("free")).collect()
    }

    fn coalesce(pool: &Arc<FramePool>, packets: &[Vec<u8>], port: PortCapabilities) -> Vec<Frame> {
        let mut frames = frames(pool, packets);
        Coalescer::default().coalesce(&mut frames, port, pool);
        frames
    }

    fn counts(frames: &[Frame]) -> Vec<u64> {
        frames.iter().map(|frame| frame.on_wire().packets).collect()
    }

    /// The packets of a flow after everything is cut again.
    fn of_flow(frames: &[Frame], pool: &Arc<FramePool>, tuple: Tuple) -> Vec<Vec<u8>> {
        let mut pieces = Vec::new();
        for frame in frames {
            let headers = wire::parse(frame.bytes()).expect("a packet");
            if headers.tuple != tuple {
                continue;
            }
            if frame.offloads.gso.is_some() {
                segment(frame, &headers, pool, &mut pieces).expect("cut");
            } else {
                pieces.push(pool.alloc_from(frame.bytes()).expect("free"));
            }
        }
        pieces.iter().map(|piece| piece.bytes().to_vec()).collect()
    }

    #[test]
    fn flows_are_joined_each_by_itself() {
        let pool = FramePool::new(64, 8);
        let packets = [
            tcp(1, 0, 100),
            udp(2, 1, 50),
            tcp(1, 100, 100),
            tcp(3, 0, 100),
            udp(2, 2, 50),
            tcp(1, 200, 40),
            udp(2, 3, 20),
            tcp(1, 240, 100),
        ];
        let frames = coalesce(&pool, &packets, ALL);
        // what follows a shorter one begins anew
        assert_eq!(counts(&frames), [3, 3, 1, 1]);
        assert_eq!(
            of_flow(&frames, &pool, flow(proto::UDP, 2)),
            [&packets[1], &packets[4], &packets[6]].map(Clone::clone)
        );
        drop(frames);
        assert_eq!((pool.in_use(), pool.exhausted()), (0, 0));
    }

    #[test]
    fn a_wrong_checksum_is_never_made_right() {
        let pool = FramePool::new(64, 8);
        for (wrong, expected) in [(0, &[1, 2][..]), (1, &[1, 1, 1]), (2, &[2, 1])] {
            let mut packets = [tcp(1, 0, 100), tcp(1, 100, 100), tcp(1, 200, 100)];
            let last = packets[wrong].len() - 1;
            packets[wrong][last] ^= 1;
            let frames = coalesce(&pool, &packets, ALL);
            assert_eq!(counts(&frames), expected, "{wrong}");
            let left = of_flow(&frames, &pool, flow(proto::TCP, 1));
            let payloads = |packets: &[Vec<u8>]| -> Vec<_> {
                packets.iter().map(|p| p[54..].to_vec()).collect()
            };
            assert_eq!(payloads(&left), payloads(&packets));
        }
        // nor one of an IPv4 header
        for wrong in 0..2 {
            let mut packets = [tcp(1, 0, 100), tcp(1, 100, 100)];
            packets[wrong][14 + 11] ^= 1;
            assert_eq!(counts(&coalesce(&pool, &packets, ALL)), [1, 1], "{wrong}");
        }
    }

    #[test]
    fn a_port_gets_what_it_takes() {
        let pool = FramePool::new(64, 8);
        let packets = [tcp(1, 0, 100), tcp(1, 100, 100), udp(2, 1, 50), udp(2, 2, 50)];
        let only = |tso4, uso| PortCapabilities { tso4, tso6: true, uso, ..ALL };
        assert_eq!(counts(&coalesce(&pool, &packets, only(true, false))), [2, 1, 1]);
        assert_eq!(counts(&coalesce(&pool, &packets, only(false, true))), [1, 1, 2]);
        let none = PortCapabilities { partial_checksum: false, ..ALL };
        assert_eq!(counts(&coalesce(&pool, &packets, none)), [1; 4]);
    }

    #[test]
    fn without_a_large_buffer_packets_go_one_by_one() {
        let pool = FramePool::new(64, 1);
        let packets = [tcp(1, 0, 100), udp(2, 1, 50), tcp(1, 100, 100), udp(2, 2, 50)];
        let frames = coalesce(&pool, &packets, ALL);
        assert_eq!((counts(&frames), pool.exhausted()), (vec![2, 1, 1], 0));
    }

    #[test]
    fn what_is_a_super_packet_already_stays_in_its_place() {
        let pool = FramePool::new(64, 8);
        let mut frames = frames(&pool, &[tcp(1, 0, 100), tcp(1, 100, 200), tcp(1, 300, 100)]);
        frames[1].offloads.gso = Some(Gso { kind: GsoKind::Tcp4, size: 100, ecn: false });
        Coalescer::default().coalesce(&mut frames, ALL, &pool);
        assert_eq!(counts(&frames), [1, 2, 1]);
    }

    #[test]
    fn for_a_reader_pushed_segments_are_joined_and_what_ends_a_flow_is_last() {
        let pool = FramePool::new(64, 8);
        let with = |seq: u32, flags: u8, len: usize| {
            Packet::new(flow(proto::TCP, 1))
                .tcp(flags::ACK | flags, seq, 1)
                .df(true)
                .payload(&vec![seq as u8; len])
                .build()
        };
        let packets = [
            with(0, flags::PSH, 100),
            udp(2, 1, 50),
            with(100, 0, 100),
            with(200, flags::PSH, 100),
            udp(2, 2, 50),
            with(300, flags::PSH | flags::FIN, 60),
            with(360, flags::PSH, 60),
        ];
        let mut joined = frames(&pool, &packets);
        Coalescer::default().coalesce_for_reader(&mut joined, &pool);
        assert_eq!(counts(&joined), [4, 1, 1, 1]);
        let headers = wire::parse(joined[0].bytes()).expect("a packet");
        assert_eq!(headers.tcp_flags, flags::ACK | flags::PSH | flags::FIN);
        let payload = joined[0].bytes()[usize::from(headers.payload)..].to_vec();
        let came = [0, 2, 3, 5].map(|n: usize| packets[n][54..].to_vec()).concat();
        assert_eq!(payload, came);
        // whoever cuts them again is given the flags where they were
        assert_eq!(counts(&coalesce(&pool, &packets, ALL)), [1, 2, 2, 1, 1]);
    }

    #[test]
    fn on_their_way_only_segments_that_nobody_may_cut_are_joined() {
        let pool = FramePool::new(64, 8);
        let segment = |df: bool, seq: u32| {
            let packet = Packet::new(flow(proto::TCP, 1)).tcp(flags::ACK, seq, 1).df(df);
            packet.id(seq as u16 / 100).payload(&[7; 100]).build()
        };
        let joined = |packets: &[Vec<u8>]| {
            let mut frames = frames(&pool, packets);
            Coalescer::default().coalesce_for_way(&mut frames, &pool);
            counts(&frames)
        };
        assert_eq!(joined(&[segment(true, 0), segment(true, 100)]), [2]);
        assert_eq!(joined(&[segment(false, 0), segment(false, 100)]), [1, 1]);
        assert_eq!(joined(&[udp(2, 1, 50), udp(2, 2, 50)]), [1, 1], "a datagram stays one");
    }

    proptest! {
        #[test]
        fn every_flow_leaves_as_it_came(
            picks in prop::collection::vec((0u16..12, any::<bool>(), 1usize..4), 0..120)
        ) {
            let pool = FramePool::new(1024, 8);
            let (mut next, mut packets) = ([0u32; 12], Vec::new());
            for (port, is_tcp, len) in picks {
                let len = len * 40;
                let sequence = &mut next[usize::from(port)];
                packets.push(if is_tcp {
                    tcp(port, *sequence, len)
                } else {
                    udp(port, 0, len)
                });
                *sequence += len as u32;
            }
            let frames = coalesce(&pool, &packets, ALL);
            for proto in [proto::TCP, proto::UDP] {
                for port in 0..12 {
                    let tuple = flow(proto, port);
                    let is_its = |p: &&Vec<u8>| wire::parse(p).expect("ours").tuple == tuple;
                    let came: Vec<_> = packets.iter().filter(is_its).cloned().collect();
                    let mut left = of_flow(&frames, &pool, tuple);
                    // identifications of packets that are never cut mean nothing
                    let plain = |packets: &mut Vec<Vec<u8>>| packets.iter_mut().for_each(|packet| {
                        packet[18..20].fill(0);
                        packet[24..26].fill(0);
                    });
                    let mut came = came;
                    plain(&mut came);
                    plain(&mut left);
                    prop_assert_eq!(left, came);
                }
            }
            drop(frames);
            prop_assert_eq!(pool.in_use(), 0);
        }
    }
}
