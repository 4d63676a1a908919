//! Opens the ports of a configuration and makes the gateway that the forwarding thread steps.

use std::{
    os::fd::RawFd,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use api::{ApiError, Request, Response};
use config::{
    Config,
    model::{Port as PortConfig, PortKind},
};
use node::{Attached, Node, Settings};
use ports::{
    packet::{PacketOptions, PacketPort},
    pcap::{PcapReadPort, PcapWritePort, PcapWriter},
    tuntap::{TunTapMode, TunTapOptions, TunTapPort},
    FramePool, Port, PortError,
};
use wire::Time;

use crate::{OpenError, Runner};

/// How often the ports' links and the time of day are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Opens every port and joins them to a gateway.
///
/// # Errors
/// The first port that cannot be opened, and why.
pub fn open(config: Arc<Config>, now: Time) -> Result<Box<dyn Runner>, OpenError> {
    let limits = &config.limits;
    let frames = FramePool::new(limits.frames as usize, limits.super_frames as usize);
    let mut attached = Vec::with_capacity(config.ports.len());
    for port in &config.ports {
        let opened = open_port(port, &frames).map_err(|error| OpenError {
            port: Some(port.name.clone()),
            message: error,
        })?;
        let description = opened.describe();
        tracing::info!("port {}: {} {}", port.name, description.mode, description.offloads);
        for hint in &description.hints {
            tracing::info!("port {}: {}; {}", port.name, hint.why, hint.command);
        }
        let mac = opened.mac();
        attached.push(Attached { port: opened, mac });
    }
    let settings = Settings { seed: seed()?, stopwatch };
    let node = Node::new(Arc::clone(&config), attached, frames, settings, now);
    Ok(Box::new(Running { node, looked: None }))
}

/// A node that also watches links and the time of day.
struct Running {
    node: Node,
    looked: Option<Time>,
}

impl Runner for Running {
    fn step(&mut self, now: Time) -> usize {
        if self.looked.is_none_or(|at| now.since(at) >= LOOK) {
            self.looked = Some(now);
            self.node.refresh_ports(now);
            if let Ok(unix) = SystemTime::now().duration_since(UNIX_EPOCH) {
                self.node.gateway_mut().handle_wall_clock(unix.as_secs() as i64, now);
            }
        }
        self.node.step(now)
    }

    fn poll_timeout(&self) -> Option<Time> {
        let look = self.looked.map_or(Time::ZERO, |at| at + LOOK);
        Some(self.node.poll_timeout().map_or(look, |(at, _)| at.min(look)))
    }

    fn poll_fds(&self) -> Vec<RawFd> {
        self.node.poll_fds()
    }

    fn apply(&mut self, config: Arc<Config>, now: Time) -> Result<(), OpenError> {
        let running = self.node.gateway().config();
        let attachment = |c: &Config| -> Vec<(String, PortKind)> {
            c.ports.iter().map(|p| (p.name.clone(), p.kind.clone())).collect()
        };
        if attachment(running) != attachment(&config) {
            return Err(OpenError {
                port: None,
                message: "ports cannot be added, removed or attached elsewhere while the gateway \
                          runs; restart it with the new configuration"
                    .into(),
            });
        }
        self.node.gateway_mut().apply(config, now);
        Ok(())
    }
}

impl api::Backend for Running {
    fn handle(&mut self, request: Request) -> Result<Response, ApiError> {
        self.node.handle(request)
    }
}

fn open_port(port: &PortConfig, frames: &Arc<FramePool>) -> Result<Box<dyn Port>, String> {
    let words = |error: PortError| error.to_string();
    Ok(match &port.kind {
        PortKind::Packet { device } => {
            // Another MAC than the device's own only arrives in promiscuous mode.
            let options = PacketOptions { promiscuous: port.mac.is_some(), qdisc_bypass: false };
            Box::new(PacketPort::open(device, options, frames).map_err(words)?)
        }
        PortKind::Tap { device } => {
            let options = TunTapOptions { mode: TunTapMode::Tap, attach_only: false };
            Box::new(TunTapPort::open(device, options, frames).map_err(words)?)
        }
        PortKind::Tun { device } => {
            let options = TunTapOptions { mode: TunTapMode::Tun, attach_only: false };
            Box::new(TunTapPort::open(device, options, frames).map_err(words)?)
        }
        PortKind::Pcap { read: Some(path), write: None } => {
            Box::new(PcapReadPort::open(path, frames).map_err(words)?)
        }
        PortKind::Pcap { read: None, write: Some(path) } => {
            let writer = PcapWriter::create(path).map_err(words)?;
            let clock = Box::new(|| Time::from_nanos(stopwatch()));
            let port = PcapWritePort::new(&Arc::new(Mutex::new(writer)), &port.name, clock);
            Box::new(port.map_err(|error| error.to_string())?)
        }
        PortKind::Pcap { .. } => {
            return Err("a capture port either reads a file or writes one; use two ports".into());
        }
        PortKind::Memory => {
            return Err("in-memory ports exist in simulations only; choose kind packet, tap, \
                        tun or pcap"
                .into());
        }
    })
}

/// Random bits from the kernel: they key the hash tables and choose ports.
fn seed() -> Result<u64, OpenError> {
    let mut bytes = [0; 8];
    let read = std::fs::File::open("/dev/urandom")
        .and_then(|mut file| std::io::Read::read_exact(&mut file, &mut bytes));
    match read {
        Ok(()) => Ok(u64::from_ne_bytes(bytes)),
        Err(error) => Err(OpenError { port: None, message: format!("/dev/urandom: {error}") }),
    }
}

/// Nanoseconds of the monotonic clock since the first call.
fn stopwatch() -> u64 {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    START.get_or_init(std::time::Instant::now).elapsed().as_nanos() as u64
}
