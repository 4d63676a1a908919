//! Two ports joined frame by frame, on a thread.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
};

use lockgate_ports::{Frame, GsoKind, LinkState, Port, PortCounters};

/// What passed, by kind.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    pub frames: u64,
    pub tcp_super: u64,
    pub udp_super: u64,
}

#[derive(Default)]
struct Tally {
    frames: AtomicU64,
    tcp_super: AtomicU64,
    udp_super: AtomicU64,
    stop: AtomicBool,
}

/// A running forwarder.
pub struct Forwarder {
    tally: Arc<Tally>,
    thread: thread::JoinHandle<[PortCounters; 2]>,
}

impl Forwarder {
    pub fn start(a: impl Port + 'static, b: impl Port + 'static) -> Self {
        let tally = Arc::new(Tally::default());
        let shared = Arc::clone(&tally);
        let mut ports: [Box<dyn Port>; 2] = [Box::new(a), Box::new(b)];
        let thread = thread::spawn(move || {
            let mut frames = Vec::with_capacity(64);
            while !shared.stop.load(Relaxed) {
                let mut moved = 0;
                for (from, to) in [(0, 1), (1, 0)] {
                    moved += ports[from].receive(&mut frames, 64);
                    frames.iter().for_each(|frame| shared.look(frame));
                    ports[to].send(&mut frames);
                    assert!(frames.is_empty(), "send takes or drops everything");
                }
                if moved == 0 {
                    wait(&ports);
                }
            }
            for port in &mut ports {
                port.refresh();
                assert_ne!(port.link(), LinkState::Gone);
            }
            ports.map(|port| port.counters())
        });
        Self { tally, thread }
    }

    pub fn seen(&self) -> Seen {
        let t = &self.tally;
        Seen {
            frames: t.frames.load(Relaxed),
            tcp_super: t.tcp_super.load(Relaxed),
            udp_super: t.udp_super.load(Relaxed),
        }
    }

    /// Ends the forwarder; the ports are closed.
    pub fn stop(self) -> [PortCounters; 2] {
        self.tally.stop.store(true, Relaxed);
        self.thread.join().expect("the forwarder did not panic")
    }
}

impl Tally {
    fn look(&self, frame: &Frame) {
        let add = |counter: &AtomicU64, on: bool| counter.fetch_add(u64::from(on), Relaxed);
        let kind = frame.offloads.gso.map(|gso| gso.kind);
        add(&self.frames, true);
        add(&self.tcp_super, matches!(kind, Some(GsoKind::Tcp4 | GsoKind::Tcp6)));
        add(&self.udp_super, kind == Some(GsoKind::Udp));
    }
}

/// Waits until either port has something, or a little while, to look at the stop flag.
fn wait(ports: &[Box<dyn Port>; 2]) {
    let mut fds = ports.each_ref().map(|port| libc::pollfd {
        fd: port.poll_fd().unwrap_or(-1),
        events: libc::POLLIN,
        revents: 0,
    });
    // SAFETY: `fds` is an array of two for the whole call.
    unsafe { libc::poll(fds.as_mut_ptr(), 2, 20) };
}
