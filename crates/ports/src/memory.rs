//! An in-memory link: what one end sends, the other receives, in order.
//!
//! Bounded and deterministic; no descriptor to wait on. Simulations, tests and benches use it.
//! A [`MemoryControl`] of either end takes the link down, makes the device vanish, and changes
//! what the end takes whole, while the port itself belongs to a gateway. An end may have several
//! queues ([`MemoryPort::split`]), by which frames come as network devices spread them.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    Checksum, Frame, GsoKind, LinkState, MAX_BURST, Port, PortCapabilities, PortCounters,
    PortDescription,
};

/// Two connected ports. Each direction holds `capacity` frames at most; both ends take `caps`.
pub fn pair(capacity: usize, caps: PortCapabilities) -> (MemoryPort, MemoryPort) {
    let end = || End {
        queues: vec![Queue { inbox: VecDeque::with_capacity(capacity), ..Queue::default() }],
        link: LinkState::Up,
        caps,
    };
    let shared = Arc::new(Mutex::new(Shared { capacity, ends: [end(), end()] }));
    let control = |side| MemoryControl { shared: Arc::clone(&shared), side };
    let port = |side| MemoryPort { control: control(side), queue: 0 };
    (port(0), port(1))
}

/// One end of an in-memory link, or a queue of it.
#[derive(Debug)]
pub struct MemoryPort {
    control: MemoryControl,
    queue: usize,
}

/// A handle to one end of an in-memory link.
#[derive(Clone, Debug)]
pub struct MemoryControl {
    shared: Arc<Mutex<Shared>>,
    side: usize,
}

#[derive(Debug)]
struct Shared {
    capacity: usize,
    ends: [End; 2],
}

#[derive(Debug)]
struct End {
    queues: Vec<Queue>,
    link: LinkState,
    caps: PortCapabilities,
}

#[derive(Debug, Default)]
struct Queue {
    /// Frames on their way to this end.
    inbox: VecDeque<Frame>,
    counters: PortCounters,
}

impl End {
    fn waiting(&self) -> usize {
        self.queues.iter().map(|queue| queue.inbox.len()).sum()
    }
}

impl MemoryPort {
    /// A handle that stays valid when the port is given away.
    pub fn control(&self) -> MemoryControl {
        self.control.clone()
    }

    /// The end as `count` queues: packets between the same addresses and ports come by the same one,
    /// either way; what is no IP packet comes by the first.
    pub fn split(self, count: usize) -> Vec<Box<dyn Port>> {
        self.control.lock().ends[self.control.side].queues.resize_with(count, Queue::default);
        let queue = |queue| MemoryPort { control: self.control.clone(), queue };
        (0..count).map(|number| Box::new(queue(number)) as Box<dyn Port>).collect()
    }

    /// Frames waiting to be received at this end.
    pub fn waiting(&self) -> usize {
        self.control.waiting()
    }
}

impl MemoryControl {
    /// Sets the link state of this end. The other end has no carrier as long as this one is not
    /// up. When it goes down, frames in flight are lost, counted as `rx_dropped` where they were
    /// going.
    pub fn set_link(&self, link: LinkState) {
        let mut shared = self.lock();
        shared.ends[self.side].link = link;
        if link != LinkState::Up {
            for queue in shared.ends.iter_mut().flat_map(|end| &mut end.queues) {
                queue.counters.rx_dropped += queue.inbox.len() as u64;
                queue.inbox.clear();
            }
        }
    }

    /// Sets what this end takes whole when it sends.
    pub fn set_capabilities(&self, caps: PortCapabilities) {
        self.lock().ends[self.side].caps = caps;
    }

    /// The counters of this end.
    pub fn counters(&self) -> PortCounters {
        self.lock().ends[self.side].queues.iter().map(|queue| queue.counters).sum()
    }

    /// Frames waiting to be received at this end.
    pub fn waiting(&self) -> usize {
        self.lock().ends[self.side].waiting()
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn link(&self, side: usize) -> LinkState {
        match (self.ends[side].link, self.ends[1 - side].link) {
            (LinkState::Up, LinkState::Up) => LinkState::Up,
            (LinkState::Up, LinkState::Down | LinkState::Gone) => LinkState::Down,
            (own @ (LinkState::Down | LinkState::Gone), _) => own,
        }
    }
}

impl Port for MemoryPort {
    fn receive(&mut self, into: &mut Vec<Frame>, max: usize) -> usize {
        let mut shared = self.control.lock();
        let Queue { inbox, counters } = &mut shared.ends[self.control.side].queues[self.queue];
        let count = inbox.len().min(max).min(MAX_BURST);
        for frame in inbox.drain(..count) {
            counters.count_rx(&frame);
            into.push(frame);
        }
        count
    }

    /// A frame this end's capabilities cannot take is dropped and counted in `tx_errors`.
    fn send(&mut self, frames: &mut Vec<Frame>) {
        let mut shared = self.control.lock();
        let shared = &mut *shared;
        let up = shared.link(self.control.side) == LinkState::Up;
        let (left, right) = shared.ends.split_at_mut(1);
        let (own, far) = match self.control.side {
            0 => (&mut left[0], &mut right[0]),
            _ => (&mut right[0], &mut left[0]),
        };
        let counters = &mut own.queues[self.queue].counters;
        for frame in frames.drain(..) {
            if !takes(own.caps, &frame) {
                counters.tx_errors += 1;
            } else if !up || far.waiting() >= shared.capacity {
                counters.tx_dropped += 1;
            } else {
                counters.count_tx(&frame);
                let queue = spread(&frame, far.queues.len());
                far.queues[queue].inbox.push_back(frame);
            }
        }
    }

    fn capabilities(&self) -> PortCapabilities {
        self.control.lock().ends[self.control.side].caps
    }

    fn counters(&self) -> PortCounters {
        self.control.lock().ends[self.control.side].queues[self.queue].counters
    }

    fn link(&self) -> LinkState {
        self.control.lock().link(self.control.side)
    }

    fn describe(&self) -> PortDescription {
        PortDescription {
            mode: "memory".into(),
            device: "in-memory link".into(),
            offloads: self.capabilities().words(),
            hints: Vec::new(),
        }
    }
}

/// By which of several queues a frame comes.
fn spread(frame: &Frame, queues: usize) -> usize {
    if queues < 2 {
        return 0;
    }
    let Ok(headers) = wire::parse(frame.bytes()) else { return 0 };
    let tuple = headers.tuple;
    let address = |ip: std::net::IpAddr| match ip {
        std::net::IpAddr::V4(ip) => u128::from(ip.to_bits()),
        std::net::IpAddr::V6(ip) => ip.to_bits(),
    };
    let ports = u128::from(tuple.src_port ^ tuple.dst_port);
    let both = address(tuple.src) ^ address(tuple.dst) ^ ports;
    // folded, so that every bit has a say
    let folded = (0..128).step_by(8).fold(0, |sum, shift| sum ^ (both >> shift) as u8);
    usize::from(folded) % queues
}

/// Whether a port of these capabilities takes the frame whole.
fn takes(caps: PortCapabilities, frame: &Frame) -> bool {
    let checksum = match frame.offloads.checksum {
        Checksum::Unchecked | Checksum::Verified => true,
        Checksum::Partial { .. } => caps.partial_checksum,
    };
    let gso = frame.offloads.gso.is_none_or(|gso| match gso.kind {
        GsoKind::Tcp4 => caps.tso4,
        GsoKind::Tcp6 => caps.tso6,
        GsoKind::Udp => caps.uso,
    });
    checksum && gso
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FramePool, Gso};

    const ALL: PortCapabilities =
        PortCapabilities { partial_checksum: true, tso4: true, tso6: true, uso: true };

    #[test]
    fn frames_arrive_in_order_and_are_counted() {
        let pool = FramePool::new(8, 0);
        let (mut a, mut b) = pair(8, ALL);
        let mut burst: Vec<_> = (0..3u8).filter_map(|i| pool.alloc_from(&[i; 60])).collect();
        a.send(&mut burst);
        assert!(burst.is_empty());
        assert_eq!(b.waiting(), 3);
        let mut got = Vec::new();
        assert_eq!(b.receive(&mut got, 2), 2);
        assert_eq!(b.receive(&mut got, 2), 1);
        assert_eq!(got.iter().map(|f| f.bytes()[0]).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!((a.counters().tx_packets, a.counters().tx_bytes), (3, 180));
        assert_eq!((b.counters().rx_packets, b.counters().rx_bytes), (3, 180));
        drop(got);
        assert_eq!(pool.in_use(), 0);
    }

    #[test]
    fn a_full_queue_drops_the_newest() {
        let pool = FramePool::new(8, 0);
        let (mut a, b) = pair(2, ALL);
        let mut burst: Vec<_> = (0..5u8).filter_map(|i| pool.alloc_from(&[i; 60])).collect();
        a.send(&mut burst);
        assert_eq!((a.counters().tx_packets, a.counters().tx_dropped), (2, 3));
        assert_eq!(pool.in_use(), 2);
        drop((a, b));
        assert_eq!(pool.in_use(), 0);
    }

    #[test]
    fn a_link_that_goes_down_loses_what_is_in_flight() {
        let pool = FramePool::new(8, 0);
        let (mut a, mut b) = pair(8, ALL);
        let (ca, frame) = (a.control(), || vec![pool.alloc(60).expect("free")]);
        a.send(&mut frame());
        ca.set_link(LinkState::Gone);
        assert_eq!((a.link(), b.link()), (LinkState::Gone, LinkState::Down));
        assert_eq!(b.receive(&mut Vec::new(), 64), 0);
        assert_eq!(b.counters().rx_dropped, 1);
        b.send(&mut frame());
        a.send(&mut frame());
        assert_eq!((a.counters().tx_dropped, b.counters().tx_dropped), (1, 1));
        assert_eq!(pool.in_use(), 0);
        ca.set_link(LinkState::Up);
        b.send(&mut frame());
        assert_eq!((a.link(), a.receive(&mut Vec::new(), 64)), (LinkState::Up, 1));
    }

    #[test]
    fn a_flow_comes_by_one_queue_either_way() {
        use wire::{build, proto};
        let (near, mut far) = pair(64, ALL);
        let control = near.control();
        let mut queues = near.split(2);
        for host in 0..16 {
            let there = build::tuple(proto::UDP, ([10, 0, 0, host], 5000), ([192, 0, 2, 1], 53));
            let back = build::tuple(proto::UDP, ([192, 0, 2, 1], 53), ([10, 0, 0, host], 5000));
            let ether =
                wire::emit::Ether { src: Default::default(), dst: Default::default(), vlan: None };
            let frames = [there, back].map(|way| Frame::from_vec(build::udp(ether, way, b"x")));
            far.send(&mut frames.into());
        }
        let by: Vec<_> = queues.iter_mut().map(|q| q.receive(&mut Vec::new(), 64)).collect();
        assert_eq!(by, [16, 16], "every second host by each, both ways");
        assert_eq!((control.counters().rx_packets, queues[0].counters().rx_packets), (32, 16));
    }

    #[test]
    fn what_the_end_cannot_take_is_refused() {
        let (mut a, _b) =
            pair(8, PortCapabilities { partial_checksum: true, ..Default::default() });
        let mut sup = Frame::from_vec(vec![0; 3000]);
        sup.offloads.gso = Some(Gso { kind: GsoKind::Udp, size: 1000, ecn: false });
        let mut partial = Frame::from_vec(vec![0; 60]);
        partial.offloads.checksum = Checksum::Partial { start: 34, offset: 6 };
        a.send(&mut vec![sup, partial]);
        assert_eq!((a.counters().tx_errors, a.counters().tx_packets), (1, 1));
        a.control().set_capabilities(PortCapabilities::default());
        let mut partial = Frame::from_vec(vec![0; 60]);
        partial.offloads.checksum = Checksum::Partial { start: 34, offset: 6 };
        a.send(&mut vec![partial]);
        assert_eq!(a.counters().tx_errors, 2);
    }
}
