//! The queues of a port for several workers, where the port has fewer than there are workers.
//!
//! A queue that several workers use is behind a lock: the first of them receives by it, all send by it.
//! Frames of one worker stay in order; between workers there is no order to keep, as one direction of a flow
//! comes to one worker.

use std::{
    os::fd::RawFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use wire::Mac;

use crate::{Frame, LinkState, Port, PortCapabilities, PortCounters, PortDescription, PortHint};

/// A queue for each of `workers`, the first of which get those of the port. No queues give none.
pub fn spread(queues: Vec<Box<dyn Port>>, workers: usize) -> Vec<Box<dyn Port>> {
    let own = queues.len();
    let mut by_worker: Vec<Option<Box<dyn Port>>> = (0..workers.max(own)).map(|_| None).collect();
    for (number, port) in queues.into_iter().enumerate() {
        let users = (number..by_worker.len()).step_by(own).count();
        if users == 1 {
            by_worker[number] = Some(port);
            continue;
        }
        let capabilities = port.capabilities();
        let port = Arc::new(Mutex::new(port));
        for at in (number..by_worker.len()).step_by(own) {
            let port = Arc::clone(&port);
            by_worker[at] =
                Some(Box::new(Common { port, capabilities, users, is_first: at == number }));
        }
    }
    by_worker.into_iter().flatten().collect()
}

/// A queue that several workers use, as one of them has it.
struct Common {
    port: Arc<Mutex<Box<dyn Port>>>,
    /// As of the last look: asked for every frame.
    capabilities: PortCapabilities,
    users: usize,
    is_first: bool,
}

impl Common {
    fn lock(&self) -> MutexGuard<'_, Box<dyn Port>> {
        self.port.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Port for Common {
    fn receive(&mut self, into: &mut Vec<Frame>, max: usize) -> usize {
        if self.is_first { self.lock().receive(into, max) } else { 0 }
    }

    fn send(&mut self, frames: &mut Vec<Frame>) {
        self.lock().send(frames);
    }

    fn capabilities(&self) -> PortCapabilities {
        self.capabilities
    }

    /// The first one has those of all.
    fn counters(&self) -> PortCounters {
        if self.is_first { self.lock().counters() } else { PortCounters::default() }
    }

    fn link(&self) -> LinkState {
        self.lock().link()
    }

    fn poll_fd(&self) -> Option<RawFd> {
        if self.is_first { self.lock().poll_fd() } else { None }
    }

    fn refresh(&mut self) {
        let mut port = self.lock();
        if self.is_first {
            port.refresh();
        }
        let capabilities = port.capabilities();
        drop(port);
        self.capabilities = capabilities;
    }

    fn mac(&self) -> Option<Mac> {
        self.lock().mac()
    }

    fn mtu(&self) -> Option<u32> {
        self.lock().mtu()
    }

    fn describe(&self) -> PortDescription {
        let mut description = self.lock().describe();
        let device = &description.device;
        let command = match description.mode.as_str() {
            // it was made before, for one queue
            "tap" | "tun" => format!("ip link delete {device}"),
            _ => format!("a port of kind `packet` on {device} has a queue for each"),
        };
        let why = format!("one receive queue for {} workers: one of them receives all", self.users);
        description.hints.push(PortHint { why, command });
        description
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory;

    #[test]
    fn one_receives_and_all_send_in_order() {
        let (port, mut far) = memory::pair(64, PortCapabilities::default());
        let mut queues = spread(vec![Box::new(port)], 3);
        assert_eq!(queues.len(), 3);
        for (number, queue) in queues.iter_mut().enumerate() {
            queue.send(&mut vec![Frame::from_vec(vec![number as u8; 60])]);
        }
        let mut got = Vec::new();
        far.receive(&mut got, 64);
        assert_eq!(got.iter().map(|frame| frame.bytes()[0]).collect::<Vec<_>>(), [0, 1, 2]);
        far.send(&mut vec![Frame::from_vec(vec![9; 60])]);
        let mut received = |queue: usize| queues[queue].receive(&mut Vec::new(), 64);
        assert_eq!([received(2), received(1), received(0)], [0, 0, 1]);
        let counters: PortCounters = queues.iter().map(|queue| queue.counters()).sum();
        assert_eq!((counters.tx_packets, counters.rx_packets), (3, 1), "counted once");
    }

    #[test]
    fn queues_of_their_own_stay_so() {
        let own = || Box::new(memory::pair(4, PortCapabilities::default()).0) as Box<dyn Port>;
        assert!(spread(Vec::new(), 2).is_empty());
        let hints = |queues: &[Box<dyn Port>]| {
            queues.iter().map(|queue| queue.describe().hints.len()).collect::<Vec<_>>()
        };
        assert_eq!(hints(&spread(vec![own(), own()], 2)), [0, 0]);
        assert_eq!(hints(&spread(vec![own(), own()], 3)), [1, 0, 1]);
    }
}
