//! A gateway in the simulation: a node whose ports are in-memory links.

use std::sync::Arc;

use config::Config;
use node::{Attached, Node, Settings};
use ports::{FramePool, LinkState, MAX_BURST, Port, PortCapabilities, memory};
use wire::{Mac, Time};

use super::Clip;
use crate::recording::{Recorder, Setup};

/// Frames each in-memory link holds.
const QUEUE: usize = 8192;

/// A gateway asks to be stepped again at once; it gets its wish this much later, so that packets
/// pass between the slices of its work.
const SLICE: core::time::Duration = core::time::Duration::from_micros(1);

/// A simulated gateway.
pub struct Router {
    /// The gateway.
    pub node: Node,
    names: Vec<String>,
    far: Vec<memory::MemoryPort>,
    controls: Vec<memory::MemoryControl>,
    recorder: Option<Recorder>,
    /// Frames that found no buffer.
    pub refused: u64,
}

impl Router {
    /// A gateway as the setup says; everything it is given and sends is recorded.
    ///
    /// # Panics
    /// When the configuration is refused.
    pub fn new(setup: Setup) -> Self {
        let recorder = Recorder::new(setup.clone());
        Self { recorder: Some(recorder), ..Self::replaying(setup) }
    }

    /// The same without a recording.
    pub(crate) fn replaying(setup: Setup) -> Self {
        let mut config = match config::parse("simulation", &setup.config) {
            Ok(parsed) => parsed.config,
            Err(diagnostics) => panic!("the configuration is refused:\n{diagnostics}"),
        };
        config.limits.workers = workers().unwrap_or(config.limits.workers);
        let config = Arc::new(config);
        let pair = || memory::pair(QUEUE, setup.capabilities());
        let (near, far): (Vec<_>, Vec<_>) = config.ports.iter().map(|_| pair()).unzip();
        let controls = near.iter().map(memory::MemoryPort::control).collect();
        let node = join(&config, near, setup.seed, setup.started);
        let names = config.ports.iter().map(|port| port.name.clone()).collect();
        Self { node, names, far, controls, recorder: None, refused: 0 }
    }

    /// Names of its ports.
    pub fn port_names(&self) -> &[String] {
        &self.names
    }

    /// What is recorded so far, ended by the counters as they are now.
    pub fn recording(&self) -> Option<Vec<u8>> {
        let counters = crate::counters::Snapshot::of(&self.node);
        self.recorder.as_ref().map(|recorder| recorder.finished(&counters))
    }

    /// Records no more; long runs need less memory then.
    pub fn stop_recording(&mut self) {
        self.recorder = None;
    }

    /// Applies a configuration.
    ///
    /// # Errors
    /// The diagnostics, when it is refused.
    pub fn apply(&mut self, text: &str, now: Time) -> Result<(), String> {
        let parsed = config::parse("simulation", text).map_err(|e| e.to_string())?;
        if let Some(recorder) = &mut self.recorder {
            recorder.apply(now, text);
        }
        self.node.apply(Arc::new(parsed.config), now);
        Ok(())
    }

    /// Tells the time of day, in seconds since 1970-01-01 UTC.
    pub fn set_wall_clock(&mut self, unix: i64, now: Time) {
        if let Some(recorder) = &mut self.recorder {
            recorder.wall_clock(now, unix);
        }
        self.node.gateway().handle_wall_clock(unix, now);
    }

    /// Asks the gateway for keys, as root would.
    ///
    /// # Errors
    /// No SA is picked.
    pub fn export_keys(
        &mut self,
        request: &api::ExportKeys,
    ) -> Result<api::KeyTable, api::ApiError> {
        self.node.export_keys(request, "uid 0")
    }

    /// Asks the control API.
    ///
    /// # Errors
    /// What the API says.
    pub fn ask(&mut self, request: api::Request) -> Result<api::Response, api::ApiError> {
        use api::Backend;
        let answer = self.node.handle(request.clone());
        if let Some(recorder) = &mut self.recorder {
            recorder.request(&request, &answer);
        }
        answer
    }

    /// Takes a link down or up.
    pub fn set_link(&mut self, port: usize, up: bool, now: Time) {
        let state = if up { LinkState::Up } else { LinkState::Down };
        if let Some(recorder) = &mut self.recorder {
            recorder.link(now, port, up);
        }
        self.controls[port].set_link(state);
        self.node.refresh_ports(now);
    }

    /// From now on a port takes nothing unfinished when it sends. Recorded: the replay does it too.
    pub fn set_plain(&mut self, port: usize) {
        if let Some(recorder) = &mut self.recorder {
            recorder.plain(port);
        }
        self.controls[port].set_capabilities(PortCapabilities::default());
    }

    pub(crate) fn deliver(&mut self, port: usize, clip: &Clip) {
        if let Some(recorder) = &mut self.recorder {
            recorder.received(port, clip);
        }
        match self.node.frames().alloc_from(&clip.bytes) {
            Some(mut frame) => {
                frame.offloads = clip.offloads;
                self.far[port].send(&mut vec![frame]);
            }
            None => self.refused += 1,
        }
    }

    /// Steps until nothing waits; gives the frames it sends to `send`.
    pub(crate) fn run(&mut self, now: Time, mut send: impl FnMut(usize, Clip)) {
        if let Some(recorder) = &mut self.recorder {
            recorder.step(now);
        }
        loop {
            let moved = self.node.step(now);
            // What other threads would do takes no simulated time.
            let worked = self.node.run_jobs(now);
            self.drain(|port, clip, recorder| {
                if let Some(recorder) = recorder {
                    recorder.sent(port, &clip);
                }
                send(port, clip);
            });
            if moved == 0 && !worked {
                return;
            }
        }
    }

    pub(crate) fn wake(&self, now: Time) -> Option<Time> {
        let (at, _) = self.node.poll_timeout()?;
        Some(if at > now { at } else { now + SLICE })
    }

    fn drain(&mut self, mut each: impl FnMut(usize, Clip, Option<&mut Recorder>)) {
        let mut frames = Vec::with_capacity(MAX_BURST);
        for (index, port) in self.far.iter_mut().enumerate() {
            while port.receive(&mut frames, MAX_BURST) > 0 {
                for frame in frames.drain(..) {
                    each(index, Clip::of(&frame), self.recorder.as_mut());
                }
            }
        }
    }
}

/// How many workers gateways have whatever their configuration says, where `LOCKGATE_TEST_WORKERS` does.
fn workers() -> Option<u32> {
    let text = std::env::var("LOCKGATE_TEST_WORKERS").ok()?;
    Some(text.parse().expect("LOCKGATE_TEST_WORKERS is a number"))
}

/// The MAC address a simulated gateway's port has when the configuration names none.
pub fn port_mac(index: usize) -> Mac {
    Mac([0x02, 0x00, 0x5e, 0x00, 0x00, index as u8 + 1])
}

fn join(config: &Arc<Config>, near: Vec<memory::MemoryPort>, seed: u64, now: Time) -> Node {
    let workers = config.limits.workers as usize;
    let attached = near
        .into_iter()
        .enumerate()
        .map(|(index, port)| Attached { queues: port.split(workers), mac: Some(port_mac(index)) })
        .collect();
    let limits = &config.limits;
    let frames = FramePool::new(limits.frames as usize, limits.super_frames as usize);
    // Simulated time stands still while a stage works.
    let settings = Settings {
        ciphers: Default::default(),
        seed,
        random: gateway::rng::simulated,
        stopwatch: || 0,
    };
    Node::new(Arc::clone(config), attached, &[frames], settings, now)
}

impl Setup {
    fn capabilities(&self) -> PortCapabilities {
        if self.offloads { PortCapabilities::ALL } else { PortCapabilities::default() }
    }
}
