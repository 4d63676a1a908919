//! The capture of a scenario: one pcapng interface per link end, simulated times.

use std::{io, path::Path};

use ports::pcap::{Direction, PcapWriter};
use wire::Time;

use super::Clip;

pub(super) struct Capture {
    writer: PcapWriter<Vec<u8>>,
}

impl Capture {
    pub fn new() -> Self {
        let writer = PcapWriter::new(Vec::new()).expect("invariant: memory takes every byte");
        Self { writer }
    }

    pub fn interface(&mut self, name: &str) -> u32 {
        self.writer.add_interface(name).expect("invariant: memory takes every byte")
    }

    pub fn record(&mut self, interface: u32, now: Time, direction: Direction, clip: &Clip) {
        let frame = clip.to_frame();
        // A frame that cannot be captured is longer than the format can say.
        let _ = self.writer.write_frame(interface, now, direction, &frame);
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.writer.finish().unwrap_or_default()
    }
}

/// Writes a capture, making the directories above it.
pub(super) fn save(bytes: &[u8], path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::write(path, bytes)
}
