//! The bytes of a recording. Numbers are little-endian.

use ports::{Checksum, Gso, GsoKind, Offloads};
use wire::Time;

use super::Setup;
use crate::{counters::Snapshot, sim::Clip};

/// Begins every recording; the last byte is the version.
pub(super) const MAGIC: &[u8] = b"LOCKREC\x01";

const SETUP: u8 = 1;
pub(super) const RECEIVED: u8 = 2;
const STEP: u8 = 3;
pub(super) const SENT: u8 = 4;
const APPLY: u8 = 5;
const WALL_CLOCK: u8 = 6;
const LINK: u8 = 7;
const REQUEST: u8 = 8;
const COUNTERS: u8 = 9;
const PLAIN: u8 = 10;

/// Bytes of a frame's port and offload state.
const CLIP_HEAD: usize = 2 + 5 + 4;

/// Why a file is no recording that can be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordingError {
    /// It does not begin like one.
    #[error("this is no recording")]
    NotARecording,
    /// Another version wrote it.
    #[error("the recording has version {0}; this program reads version {version}", version = MAGIC[7])]
    Version(u8),
    /// It ends in the middle, or a record makes no sense.
    #[error("the recording is damaged at byte {0}")]
    Damaged(usize),
    /// The configuration in it is refused now.
    #[error("the configuration in the recording is refused:\n{0}")]
    Config(String),
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Record {
    Setup(Setup),
    Received(usize, Clip),
    Step(Time),
    Sent(usize, Clip),
    Apply(Time, String),
    WallClock(Time, i64),
    Link(Time, usize, bool),
    Request(String, String),
    Counters(Snapshot),
    Plain(usize),
}

#[derive(Clone)]
pub(super) struct Writer(Vec<u8>);

impl Default for Writer {
    fn default() -> Self {
        Self(MAGIC.to_vec())
    }
}

impl Writer {
    pub fn record(&mut self, record: &Record) {
        let mut body = Vec::new();
        let kind = match record {
            Record::Setup(setup) => {
                body.extend(setup.seed.to_le_bytes());
                body.push(u8::from(setup.offloads));
                body.extend(setup.started.as_nanos().to_le_bytes());
                body.extend(setup.config.as_bytes());
                SETUP
            }
            Record::Received(port, clip) => return self.clip(RECEIVED, *port, clip),
            Record::Sent(port, clip) => return self.clip(SENT, *port, clip),
            Record::Step(now) => {
                body.extend(now.as_nanos().to_le_bytes());
                STEP
            }
            Record::Apply(now, text) => {
                body.extend(now.as_nanos().to_le_bytes());
                body.extend(text.as_bytes());
                APPLY
            }
            Record::WallClock(now, unix) => {
                body.extend(now.as_nanos().to_le_bytes());
                body.extend(unix.to_le_bytes());
                WALL_CLOCK
            }
            Record::Link(now, port, up) => {
                body.extend(now.as_nanos().to_le_bytes());
                body.extend((*port as u16).to_le_bytes());
                body.push(u8::from(*up));
                LINK
            }
            Record::Request(request, answer) => {
                body.extend((request.len() as u32).to_le_bytes());
                body.extend(request.as_bytes());
                body.extend(answer.as_bytes());
                REQUEST
            }
            Record::Counters(counters) => {
                for (name, value) in counters.iter() {
                    body.extend(format!("{name}={value}\n").as_bytes());
                }
                COUNTERS
            }
            Record::Plain(port) => {
                body.extend((*port as u16).to_le_bytes());
                PLAIN
            }
        };
        self.head(kind, body.len());
        self.0.extend(body);
    }

    pub fn clip(&mut self, kind: u8, port: usize, clip: &Clip) {
        self.head(kind, CLIP_HEAD + clip.bytes.len());
        self.0.extend((port as u16).to_le_bytes());
        let (state, start, offset) = match clip.offloads.checksum {
            Checksum::Unchecked => (0, 0, 0),
            Checksum::Verified => (1, 0, 0),
            Checksum::Partial { start, offset } => (2, start, offset),
        };
        self.0.push(state);
        self.0.extend(start.to_le_bytes());
        self.0.extend(offset.to_le_bytes());
        let (kind, size, ecn) = match clip.offloads.gso {
            None => (0, 0, false),
            Some(Gso { kind: GsoKind::Tcp4, size, ecn }) => (1, size, ecn),
            Some(Gso { kind: GsoKind::Tcp6, size, ecn }) => (2, size, ecn),
            Some(Gso { kind: GsoKind::Udp, size, ecn }) => (3, size, ecn),
        };
        self.0.push(kind);
        self.0.extend(size.to_le_bytes());
        self.0.push(u8::from(ecn));
        self.0.extend(&clip.bytes);
    }

    pub fn finished(&self, counters: &Snapshot) -> Vec<u8> {
        let mut whole = self.clone();
        whole.record(&Record::Counters(counters.clone()));
        whole.0
    }

    fn head(&mut self, kind: u8, length: usize) {
        self.0.push(kind);
        self.0.extend((length as u32).to_le_bytes());
    }
}

/// Reads records one after the other.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Result<Self, RecordingError> {
        let (name, version) = MAGIC.split_at(7);
        match bytes.get(..8) {
            Some(magic) if magic == MAGIC => Ok(Self { bytes, at: 8 }),
            Some(magic) if magic.starts_with(name) && magic[7] != version[0] => {
                Err(RecordingError::Version(magic[7]))
            }
            Some(_) | None => Err(RecordingError::NotARecording),
        }
    }

    pub fn next(&mut self) -> Result<Option<Record>, RecordingError> {
        if self.at == self.bytes.len() {
            return Ok(None);
        }
        let damaged = RecordingError::Damaged(self.at);
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let mut fields = Fields(rest);
        let head = fields.u8().zip(fields.u32());
        let body = head.and_then(|(kind, length)| Some((kind, fields.take(length as usize)?)));
        let (kind, body) = body.ok_or(damaged.clone())?;
        self.at += 5 + body.len();
        record(kind, Fields(body)).map(Some).ok_or(damaged)
    }
}

fn record(kind: u8, mut f: Fields<'_>) -> Option<Record> {
    Some(match kind {
        SETUP => Record::Setup(Setup {
            seed: f.u64()?,
            offloads: f.u8()? != 0,
            started: f.time()?,
            config: f.text()?,
        }),
        RECEIVED => Record::Received(usize::from(f.u16()?), f.clip()?),
        STEP => Record::Step(f.time()?),
        SENT => Record::Sent(usize::from(f.u16()?), f.clip()?),
        APPLY => Record::Apply(f.time()?, f.text()?),
        WALL_CLOCK => Record::WallClock(f.time()?, f.u64()? as i64),
        LINK => Record::Link(f.time()?, usize::from(f.u16()?), f.u8()? != 0),
        REQUEST => {
            let length = f.u32()? as usize;
            let request = Fields(f.take(length)?).text()?;
            Record::Request(request, f.text()?)
        }
        COUNTERS => {
            let mut counters = Snapshot::default();
            for line in f.text()?.lines() {
                let (name, value) = line.split_once('=')?;
                counters.insert(name, value.parse().ok()?);
            }
            Record::Counters(counters)
        }
        PLAIN => Record::Plain(usize::from(f.u16()?)),
        _ => return None,
    })
}

struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(head)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn time(&mut self) -> Option<Time> {
        self.u64().map(Time::from_nanos)
    }

    fn text(&mut self) -> Option<String> {
        let bytes = std::mem::take(&mut self.0);
        String::from_utf8(bytes.to_vec()).ok()
    }

    fn clip(&mut self) -> Option<Clip> {
        let (state, start, offset) = (self.u8()?, self.u16()?, self.u16()?);
        let checksum = match state {
            0 => Checksum::Unchecked,
            1 => Checksum::Verified,
            2 => Checksum::Partial { start, offset },
            _ => return None,
        };
        let (kind, size, ecn) = (self.u8()?, self.u16()?, self.u8()? != 0);
        let kind = match kind {
            0 => None,
            1 => Some(GsoKind::Tcp4),
            2 => Some(GsoKind::Tcp6),
            3 => Some(GsoKind::Udp),
            _ => return None,
        };
        let gso = kind.map(|kind| Gso { kind, size, ecn });
        let bytes = std::mem::take(&mut self.0).to_vec();
        Some(Clip { bytes, offloads: Offloads { checksum, gso } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Vec<Record> {
        let plain = Clip::plain(vec![1, 2, 3]);
        let offloads = Offloads {
            checksum: Checksum::Partial { start: 34, offset: 16 },
            gso: Some(Gso { kind: GsoKind::Tcp6, size: 1400, ecn: true }),
        };
        let mut counters = Snapshot::default();
        counters.insert("drop.policy-deny", 3);
        let setup = Setup {
            config: "hostname = \"x\"".into(),
            seed: 7,
            offloads: true,
            started: Time::from_secs(1),
        };
        vec![
            Record::Setup(setup),
            Record::Received(3, Clip { bytes: vec![9; 40], offloads }),
            Record::Step(Time::from_millis(5)),
            Record::Sent(0, plain),
            Record::Apply(Time::from_millis(6), "# text".into()),
            Record::WallClock(Time::from_millis(7), -5),
            Record::Link(Time::from_millis(8), 1, true),
            Record::Request("{}".into(), "[]".into()),
            Record::Counters(counters),
            Record::Plain(1),
        ]
    }

    fn written() -> Vec<u8> {
        let mut writer = Writer::default();
        samples().iter().for_each(|record| writer.record(record));
        writer.0
    }

    #[test]
    fn what_is_written_is_read() {
        let bytes = written();
        let mut reader = Reader::new(&bytes).expect("a recording");
        for record in samples() {
            assert_eq!(reader.next(), Ok(Some(record)));
        }
        assert_eq!(reader.next(), Ok(None));
    }

    #[test]
    fn damage_is_named_and_never_a_panic() {
        let bytes = written();
        assert!(matches!(Reader::new(b"PCAP"), Err(RecordingError::NotARecording)));
        let mut newer = bytes.clone();
        newer[7] = 9;
        assert!(matches!(Reader::new(&newer), Err(RecordingError::Version(9))));
        for end in 8..bytes.len() {
            let mut reader = Reader::new(&bytes[..end]).expect("a recording");
            while let Ok(Some(_)) = reader.next() {}
        }
        for at in 8..bytes.len() {
            let mut broken = bytes.clone();
            broken[at] ^= 0xff;
            let mut reader = Reader::new(&broken).expect("a recording");
            while let Ok(Some(_)) = reader.next() {}
        }
    }
}
