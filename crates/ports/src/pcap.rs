//! Capture files: reading pcap and pcapng, writing pcapng, and ports over both.
//!
//! [`PcapReader`] and [`PcapWriter`] know times and interfaces; tests and simulations use them
//! directly. [`PcapReadPort`] hands the frames of a file to a gateway as fast as it takes them, and
//! [`PcapWritePort`] records what a gateway sends. Times are nanoseconds; only Ethernet is read.
//!
//! Offload state cannot be told in a capture: a frame is written as it is, with a comment where its
//! checksum or segmentation is unfinished, and is read as an ordinary frame.

mod reader;
mod writer;

use std::{
    io::Write,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use wire::Time;

use crate::{
    Frame, FramePool, LinkState, MAX_BURST, Port, PortCapabilities, PortCounters, PortDescription,
    PortError,
};
pub use reader::{PcapReader, Record};
pub use writer::{Direction, LinkType, Packet, PcapWriter, unfinished};

/// A port that receives the frames of a capture file, then is down. What is sent to it is dropped.
pub struct PcapReadPort {
    path: PathBuf,
    reader: PcapReader,
    pool: Arc<FramePool>,
    counters: PortCounters,
    finished: bool,
    error: Option<PortError>,
}

impl PcapReadPort {
    /// Opens a capture file.
    pub fn open(path: &Path, pool: &Arc<FramePool>) -> Result<Self, PortError> {
        Ok(Self {
            path: path.to_owned(),
            reader: PcapReader::open(path)?,
            pool: Arc::clone(pool),
            counters: PortCounters::default(),
            finished: false,
            error: None,
        })
    }

    /// Whether all frames have been received.
    pub fn finished(&self) -> bool {
        self.finished
    }

    /// Why reading ended before the end of the file.
    pub fn error(&self) -> Option<&PortError> {
        self.error.as_ref()
    }
}

impl Port for PcapReadPort {
    fn receive(&mut self, into: &mut Vec<Frame>, max: usize) -> usize {
        let before = into.len();
        for _ in 0..max.min(MAX_BURST) {
            if self.finished {
                break;
            }
            match self.reader.next_record() {
                Some(Ok(record)) => match self.pool.alloc_from(&record.bytes) {
                    Some(frame) => {
                        self.counters.count_rx(&frame);
                        into.push(frame);
                    }
                    None => self.counters.rx_dropped += 1,
                },
                Some(Err(error)) => {
                    self.counters.rx_errors += 1;
                    self.error = Some(error);
                    self.finished = true;
                }
                None => self.finished = true,
            }
        }
        into.len() - before
    }

    fn send(&mut self, frames: &mut Vec<Frame>) {
        self.counters.tx_dropped += frames.len() as u64;
        self.pool.free_burst(frames);
    }

    fn capabilities(&self) -> PortCapabilities {
        PortCapabilities::default()
    }

    fn counters(&self) -> PortCounters {
        self.counters
    }

    fn link(&self) -> LinkState {
        if self.finished { LinkState::Down } else { LinkState::Up }
    }

    fn describe(&self) -> PortDescription {
        describe("pcap-read", self.path.display().to_string(), self.capabilities())
    }
}

/// What a [`PcapWritePort`] asks for the time.
pub type Clock = Box<dyn FnMut() -> Time + Send>;

/// A port that writes what is sent to it into a capture file, and receives nothing.
///
/// Several ports may share one writer, each with an interface of its own.
pub struct PcapWritePort<W: Write + Send> {
    writer: Arc<Mutex<PcapWriter<W>>>,
    interface: u32,
    name: String,
    clock: Clock,
    counters: PortCounters,
}

impl<W: Write + Send> PcapWritePort<W> {
    /// A port that is interface `name` of the file, and asks `clock` when something is sent.
    pub fn new(
        writer: &Arc<Mutex<PcapWriter<W>>>,
        name: &str,
        clock: Clock,
    ) -> std::io::Result<Self> {
        let interface =
            writer.lock().unwrap_or_else(PoisonError::into_inner).add_interface(name)?;
        Ok(Self {
            writer: Arc::clone(writer),
            interface,
            name: name.into(),
            clock,
            counters: PortCounters::default(),
        })
    }
}

impl<W: Write + Send> Port for PcapWritePort<W> {
    fn receive(&mut self, _into: &mut Vec<Frame>, _max: usize) -> usize {
        0
    }

    fn send(&mut self, frames: &mut Vec<Frame>) {
        let now = (self.clock)();
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        for frame in frames.drain(..) {
            match writer.write_frame(self.interface, now, Direction::Outbound, &frame) {
                Ok(()) => self.counters.count_tx(&frame),
                Err(_) => self.counters.tx_errors += 1,
            }
        }
    }

    fn capabilities(&self) -> PortCapabilities {
        PortCapabilities::default()
    }

    fn counters(&self) -> PortCounters {
        self.counters
    }

    fn link(&self) -> LinkState {
        LinkState::Up
    }

    fn describe(&self) -> PortDescription {
        describe("pcap-write", self.name.clone(), self.capabilities())
    }
}

fn describe(mode: &str, device: String, caps: PortCapabilities) -> PortDescription {
    PortDescription { mode: mode.into(), device, offloads: caps.words(), hints: Vec::new() }
}

#[cfg(test)]
mod tests;
