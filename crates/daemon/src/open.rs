//! From a configuration to a node with its ports open.

use std::{
    convert::Infallible,
    fs::File,
    io::Read,
    os::fd::RawFd,
    path::Path,
    sync::{Arc, Mutex, OnceLock},
    time::{Duration, Instant},
};

use api::{ApiError, Backend, ExportKeys, KeyTable, Request, Response};
use config::{
    Config,
    model::{self, PortKind},
};
use node::{Attached, Job, JobDone, Node, Random, Settings, Worker};
use ports::{
    Frame, FramePool, LinkState, Port, PortCapabilities, PortCounters, PortDescription, PortError,
    memif::{MemifOptions, MemifPort, MemifRole},
    packet::{PacketOptions, PacketPort},
    pcap::{PcapReadPort, PcapWritePort, PcapWriter},
    tuntap::{TunTapMode, TunTapOptions, TunTapPort},
    xdp::{XdpOptions, XdpPort},
};
use rand_core::{TryCryptoRng, TryRng};
use wire::Time;

use crate::{OpenError, Runner, host};

/// How often links are looked at and the wall clock is told.
pub(crate) const REFRESH: Duration = Duration::from_secs(1);

/// Opens the ports of a configuration and joins them with a gateway.
///
/// # Errors
/// The first port that could not be opened.
pub fn open(config: Arc<Config>, now: Time) -> Result<Box<dyn Runner>, OpenError> {
    let limits = &config.limits;
    let workers = limits.workers as usize;
    // Each worker has buffers of its own, so that none waits for another's lock.
    let share = |frames: u32| (frames as usize).div_ceil(workers);
    let pool = |_| FramePool::new(share(limits.frames), share(limits.super_frames));
    let pools: Vec<_> = (0..workers).map(pool).collect();
    let cores = std::thread::available_parallelism().map_or(workers, usize::from);
    if workers > cores {
        tracing::warn!(
            "{workers} workers on {cores} cores: they take turns, and forward less than {cores} would"
        );
    }
    let mut attached = Vec::with_capacity(config.ports.len());
    for port in &config.ports {
        let queues = open_port(port, &pools, now).map_err(|e| refusal(&port.name, &e))?;
        let mac = queues.first().and_then(|queue| queue.mac());
        let queues = ports::spread(queues, workers);
        let description = queues.first().map(|queue| queue.describe()).unwrap_or_default();
        tracing::info!("port {}: {} {}", port.name, description.mode, description.offloads);
        if !port.super_packets {
            tracing::info!("port {}: super-packets are off in the configuration", port.name);
        }
        for hint in &description.hints {
            tracing::info!("port {}: {}; {}", port.name, hint.why, hint.command);
        }
        attached.push(Attached { mac, queues });
    }
    let settings =
        Settings { ciphers: aead::choose(stopwatch).0, seed: seed()?, random, stopwatch };
    let ports = config.ports.clone();
    let node = Node::new(config, attached, &pools, settings, now);
    Ok(Box::new(Running { node, ports, refreshed: None }))
}

/// A node as the forwarding thread steps it.
struct Running {
    node: Node,
    /// What the ports were opened from.
    ports: Vec<model::Port>,
    refreshed: Option<Time>,
}

impl Backend for Running {
    fn handle(&mut self, request: Request) -> Result<Response, ApiError> {
        self.node.handle(request)
    }
}

impl Runner for Running {
    fn step(&mut self, now: Time) -> usize {
        if self.refreshed.is_none_or(|at| now >= at + REFRESH) {
            self.refreshed = Some(now);
            self.node.refresh_ports(now);
            let unix = i64::try_from(host::unix_ms() / 1000).unwrap_or(i64::MAX);
            self.node.gateway().handle_wall_clock(unix, now);
        }
        self.node.step(now)
    }

    fn take_workers(&mut self) -> Vec<Worker> {
        self.node.take_workers()
    }

    fn busy_poll(&self) -> Duration {
        let micros = self.node.gateway().config().limits.busy_poll;
        Duration::from_micros(micros.into())
    }

    fn rest(&mut self) {
        self.node.rest();
    }

    fn poll_timeout(&self) -> Option<Time> {
        let refresh = self.refreshed.map_or(Time::ZERO, |at| at + REFRESH);
        Some(self.node.poll_timeout().map_or(refresh, |(at, _)| at.min(refresh)))
    }

    fn poll_fds(&self) -> Vec<RawFd> {
        self.node.poll_fds()
    }

    fn export_keys(&mut self, request: &ExportKeys, who: &str) -> Result<KeyTable, ApiError> {
        self.node.export_keys(request, who)
    }

    fn poll_job(&mut self) -> Option<Job> {
        self.node.poll_job()
    }

    fn handle_job_done(&mut self, done: JobDone, now: Time) {
        self.node.gateway().handle_job_done(done, now);
    }

    fn shut_down(&mut self, now: Time) {
        self.node.gateway().shut_down(now);
    }

    fn apply(&mut self, config: Arc<Config>, now: Time) -> Result<(), OpenError> {
        let same =
            |(old, new): (&model::Port, &model::Port)| old.name == new.name && old.kind == new.kind;
        if self.ports.len() != config.ports.len() || !self.ports.iter().zip(&config.ports).all(same)
        {
            let changed = config.ports.iter().zip(&self.ports).find(|(n, o)| !same((o, n)));
            let message = "ports are opened at start only: restart the gateway to add, remove, \
                           reorder or reattach them";
            return Err(OpenError::new(changed.map(|(port, _)| port.name.clone()), message));
        }
        let workers = self.node.gateway().config().limits.workers;
        if config.limits.workers != workers {
            let message = format!(
                "`limits.workers` is {workers} while the gateway runs: restart it to have {}",
                config.limits.workers
            );
            return Err(OpenError::new(None, message));
        }
        self.ports.clone_from(&config.ports);
        self.node.apply(config, now);
        Ok(())
    }
}

fn open_port(
    port: &model::Port,
    pools: &[Arc<FramePool>],
    now: Time,
) -> Result<Vec<Box<dyn Port>>, PortError> {
    let frames = &pools[0];
    let one: Box<dyn Port> = match &port.kind {
        PortKind::Packet { device } => {
            // Frames for an address that is not the device's own are filtered out otherwise.
            let options =
                PacketOptions { promiscuous: port.mac.is_some(), ..PacketOptions::default() };
            return Ok(boxed(PacketPort::open_queues(device, options, pools)?));
        }
        PortKind::Xdp { device } => {
            let options = XdpOptions { promiscuous: port.mac.is_some() };
            return Ok(boxed(XdpPort::open_queues(device, options, pools)?));
        }
        PortKind::Tap { device } => {
            let options = TunTapOptions { mode: TunTapMode::Tap, ..TunTapOptions::default() };
            return Ok(boxed(TunTapPort::open_queues(device, options, pools)?));
        }
        PortKind::Tun { device } => {
            let options = TunTapOptions { mode: TunTapMode::Tun, ..TunTapOptions::default() };
            return Ok(boxed(TunTapPort::open_queues(device, options, pools)?));
        }
        PortKind::Memif { socket, id, server, log2_ring_size } => {
            let options = MemifOptions {
                name: port.name.clone(),
                socket: socket.clone(),
                id: *id,
                role: if *server { MemifRole::Server } else { MemifRole::Client },
                log2_ring_size: *log2_ring_size,
            };
            Box::new(MemifPort::open(options, frames)?)
        }
        PortKind::Pcap { read, write } => Box::new(Files {
            read: read.as_deref().map(|path| PcapReadPort::open(path, frames)).transpose()?,
            write: write.as_deref().map(|path| writer(path, &port.name, now)).transpose()?,
        }),
        PortKind::Memory => {
            return Err(PortError::WrongKind {
                device: port.name.clone(),
                wanted: "an attachment of a running gateway",
                next: "in-memory links are for programs that embed the gateway; use a device",
            });
        }
    };
    Ok(vec![one])
}

fn boxed<P: Port + 'static>(queues: Vec<P>) -> Vec<Box<dyn Port>> {
    queues.into_iter().map(|queue| Box::new(queue) as Box<dyn Port>).collect()
}

type FileWriter = PcapWritePort<std::io::BufWriter<File>>;

fn writer(path: &Path, name: &str, now: Time) -> Result<FileWriter, PortError> {
    let file = Arc::new(Mutex::new(PcapWriter::create(path)?));
    let start = Instant::now();
    let clock = Box::new(move || now + start.elapsed());
    PcapWritePort::new(&file, name, clock)
        .map_err(|e| PortError::File { path: path.to_owned(), message: e.to_string() })
}

/// One file in, one file out.
struct Files {
    read: Option<PcapReadPort>,
    write: Option<FileWriter>,
}

impl Port for Files {
    fn receive(&mut self, into: &mut Vec<Frame>, max: usize) -> usize {
        self.read.as_mut().map_or(0, |port| port.receive(into, max))
    }

    fn send(&mut self, frames: &mut Vec<Frame>) {
        match &mut self.write {
            Some(port) => port.send(frames),
            None => frames.clear(),
        }
    }

    fn capabilities(&self) -> PortCapabilities {
        PortCapabilities::default()
    }

    fn counters(&self) -> PortCounters {
        let read = self.read.as_ref().map(Port::counters).unwrap_or_default();
        let write = self.write.as_ref().map(Port::counters).unwrap_or_default();
        PortCounters {
            tx_packets: write.tx_packets,
            tx_bytes: write.tx_bytes,
            tx_dropped: write.tx_dropped,
            tx_errors: write.tx_errors,
            tx_super: write.tx_super,
            ..read
        }
    }

    fn link(&self) -> LinkState {
        LinkState::Up
    }

    fn describe(&self) -> PortDescription {
        match (&self.read, &self.write) {
            (Some(port), _) => port.describe(),
            (None, Some(port)) => port.describe(),
            (None, None) => PortDescription::default(),
        }
    }
}

fn refusal(port: &str, error: &PortError) -> OpenError {
    let capability = match error {
        PortError::MissingCapability { capability, .. } => Some(*capability),
        _ => None,
    };
    OpenError { capability, ..OpenError::new(Some(port.to_owned()), error.to_string()) }
}

/// Random bits from the kernel: they key the hash tables and choose ports.
fn seed() -> Result<u64, OpenError> {
    let mut bytes = [0; 8];
    let read = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.map_err(|e| OpenError::new(None, format!("/dev/urandom: {e}")))?;
    Ok(u64::from_ne_bytes(bytes))
}

/// Random numbers fit for keys, from the kernel by way of the cryptographic library.
pub fn random(_: u64) -> Random {
    Box::new(SystemRandom)
}

struct SystemRandom;

impl TryRng for SystemRandom {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_ne_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_ne_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        aws_lc_rs::rand::fill(bytes).expect("invariant: the kernel gives random numbers");
        Ok(())
    }
}

impl TryCryptoRng for SystemRandom {}

/// Nanoseconds of the monotonic clock since the first call.
fn stopwatch() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let nanos = START.get_or_init(Instant::now).elapsed().as_nanos();
    u64::try_from(nanos).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Arc<Config> {
        Arc::new(config::parse("test", text).unwrap_or_else(|e| panic!("{e}")).config)
    }

    fn refused(result: Result<Box<dyn Runner>, OpenError>) -> OpenError {
        match result {
            Ok(_) => panic!("opened"),
            Err(error) => error,
        }
    }

    #[test]
    fn a_device_that_is_not_there_is_named() {
        let missing = config("[[port]]\nname = \"wan\"\ndevice = \"no-such-device\"\n");
        let error = refused(open(missing, Time::ZERO));
        assert_eq!(error.port.as_deref(), Some("wan"));
        assert!(error.message.contains("no-such-device"), "{error}");
    }
}
