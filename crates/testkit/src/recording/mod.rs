//! Everything a gateway was given and everything it sent, in a file; and doing it again.
//!
//! A gateway reads no clock and draws randomness from a seed, so what it was given decides what it
//! does. [`Recorder`] keeps inputs and outputs, [`replay`] gives a new gateway the same inputs and
//! compares every frame it sends, every answer to the control API, and the counters at the end.
//!
//! The file (`.lockrec`) is a magic number with a version, then records: one byte of kind, four bytes
//! of length, content. A recording is of one version of the program: another may decide otherwise.

mod codec;
mod replay;

use wire::Time;

use crate::{counters::Snapshot, sim::Clip};
use codec::{Record, Writer};

pub use codec::RecordingError;
pub use replay::{Difference, Replayed, replay};

/// What a recorded gateway started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    /// Its configuration.
    pub config: String,
    /// Seed of its random choices.
    pub seed: u64,
    /// Whether its ports take unfinished checksums and super-packets.
    pub offloads: bool,
    /// When it started.
    pub started: Time,
}

/// Records a gateway.
pub struct Recorder {
    writer: Writer,
}

impl Recorder {
    /// Begins a recording.
    pub fn new(setup: Setup) -> Self {
        let mut writer = Writer::default();
        writer.record(&Record::Setup(setup));
        Self { writer }
    }

    /// A frame came in.
    pub fn received(&mut self, port: usize, clip: &Clip) {
        self.writer.clip(codec::RECEIVED, port, clip);
    }

    /// The gateway works now.
    pub fn step(&mut self, now: Time) {
        self.writer.record(&Record::Step(now));
    }

    /// A frame went out.
    pub fn sent(&mut self, port: usize, clip: &Clip) {
        self.writer.clip(codec::SENT, port, clip);
    }

    /// A configuration was applied.
    pub fn apply(&mut self, now: Time, text: &str) {
        self.writer.record(&Record::Apply(now, text.into()));
    }

    /// The gateway was told the time of day.
    pub fn wall_clock(&mut self, now: Time, unix: i64) {
        self.writer.record(&Record::WallClock(now, unix));
    }

    /// A link went up or down.
    pub fn link(&mut self, now: Time, port: usize, up: bool) {
        self.writer.record(&Record::Link(now, port, up));
    }

    /// A port takes nothing unfinished any more.
    pub fn plain(&mut self, port: usize) {
        self.writer.record(&Record::Plain(port));
    }

    /// The control API was asked, and answered.
    pub fn request(
        &mut self,
        request: &api::Request,
        answer: &Result<api::Response, api::ApiError>,
    ) {
        let request = serde_json::to_string(request).unwrap_or_default();
        self.writer.record(&Record::Request(request, answer_text(answer)));
    }

    /// The recording so far, ended by these counters.
    pub fn finished(&self, counters: &Snapshot) -> Vec<u8> {
        self.writer.finished(counters)
    }
}

fn answer_text(answer: &Result<api::Response, api::ApiError>) -> String {
    let text = match answer {
        Ok(response) => serde_json::to_string(response),
        Err(error) => serde_json::to_string(error),
    };
    text.unwrap_or_default()
}

/// Words that begin the text of a recording of this version.
pub fn is_recording(bytes: &[u8]) -> bool {
    bytes.starts_with(codec::MAGIC)
}
