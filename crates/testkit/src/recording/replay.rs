//! Doing it again: a new gateway gets the recorded inputs, and every output is compared.

use std::{collections::VecDeque, fmt};

use wire::Time;

use super::{
    RecordingError, answer_text,
    codec::{Reader, Record},
};
use crate::{
    counters::Snapshot,
    sim::{Clip, Router},
};

/// What a replay did, and whether it did the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Times the gateway worked.
    pub steps: u64,
    /// Frames it was given.
    pub received: u64,
    /// Frames it sent.
    pub sent: u64,
    /// Requests it answered.
    pub requests: u64,
    /// Configurations applied, the first one included.
    pub configurations: u64,
    /// Simulated time that passed.
    pub lasted: core::time::Duration,
    /// Counters compared at the end.
    pub counters: u64,
    /// The first thing that was not as recorded.
    pub difference: Option<Difference>,
}

/// Something was not as recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// When, in simulated time.
    pub at: Time,
    /// The step of the gateway, from 1.
    pub step: u64,
    /// What was recorded.
    pub recorded: String,
    /// What happened now.
    pub happened: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.at.as_nanos() as f64 / 1e6;
        writeln!(f, "first difference at {millis:.3} ms, step {}:", self.step)?;
        writeln!(f, "  recorded: {}", self.recorded)?;
        write!(f, "  now:      {}", self.happened)
    }
}

/// Gives a new gateway the inputs of a recording and compares what it does. Stops at the first
/// difference.
///
/// # Errors
/// When the bytes are no recording of this version, or the configuration in it is refused.
pub fn replay(bytes: &[u8]) -> Result<Replayed, RecordingError> {
    let mut reader = Reader::new(bytes)?;
    let Some(Record::Setup(setup)) = reader.next()? else {
        return Err(RecordingError::Damaged(8));
    };
    if let Err(diagnostics) = config::parse("recording", &setup.config) {
        return Err(RecordingError::Config(diagnostics.to_string()));
    }
    let started = setup.started;
    let router = Router::replaying(setup);
    let done = Replayed { configurations: 1, ..Replayed::default() };
    let mut replay = Replay { router, now: started, sent: VecDeque::new(), done };
    while let Some(record) = reader.next()? {
        replay.record(record)?;
        if replay.done.difference.is_some() {
            break;
        }
    }
    replay.nothing_more_was_sent();
    replay.done.lasted = replay.now.since(started);
    Ok(replay.done)
}

struct Replay {
    router: Router,
    now: Time,
    /// Sent now and not yet found in the recording.
    sent: VecDeque<(usize, Clip)>,
    done: Replayed,
}

impl Replay {
    fn record(&mut self, record: Record) -> Result<(), RecordingError> {
        if !matches!(record, Record::Sent(..)) {
            self.nothing_more_was_sent();
        }
        match record {
            Record::Setup(_) => self.differs("one beginning", "a second one"),
            Record::Received(port, clip) => {
                if port >= self.router.port_names().len() {
                    self.differs(format!("a frame at port {port}"), "no such port");
                    return Ok(());
                }
                self.done.received += 1;
                self.router.deliver(port, &clip);
            }
            Record::Step(now) => {
                self.now = now;
                self.done.steps += 1;
                let sent = &mut self.sent;
                self.router.run(now, |port, clip| sent.push_back((port, clip)));
            }
            Record::Sent(port, clip) => self.compare_frame(port, &clip),
            Record::Apply(now, text) => {
                self.now = now;
                self.done.configurations += 1;
                self.router.apply(&text, now).map_err(RecordingError::Config)?;
            }
            Record::WallClock(now, unix) => self.router.set_wall_clock(unix, now),
            Record::Link(now, port, up) => {
                if port < self.router.port_names().len() {
                    self.router.set_link(port, up, now);
                }
            }
            Record::Plain(port) => {
                if port < self.router.port_names().len() {
                    self.router.set_plain(port);
                }
            }
            Record::Request(request, recorded) => self.compare_answer(&request, &recorded),
            Record::Counters(recorded) => self.compare_counters(&recorded),
        }
        Ok(())
    }

    fn compare_frame(&mut self, port: usize, recorded: &Clip) {
        self.done.sent += 1;
        let describe = |port: usize, clip: &Clip| {
            let name = self.router.port_names().get(port).map_or("?", String::as_str);
            format!("{name}: {}", describe(clip))
        };
        match self.sent.pop_front() {
            Some((now_port, now_clip)) if now_port == port && now_clip == *recorded => {}
            Some((now_port, now_clip)) => {
                let (was, is) = (describe(port, recorded), describe(now_port, &now_clip));
                self.differs(was, is);
            }
            None => {
                let was = describe(port, recorded);
                self.differs(was, "nothing was sent");
            }
        }
    }

    fn nothing_more_was_sent(&mut self) {
        if let Some((port, clip)) = self.sent.pop_front() {
            self.sent.clear();
            let name = self.router.port_names()[port].clone();
            self.differs("nothing was sent", format!("{name}: {}", describe(&clip)));
        }
    }

    fn compare_answer(&mut self, request: &str, recorded: &str) {
        self.done.requests += 1;
        let Ok(parsed) = serde_json::from_str(request) else {
            self.differs(format!("request {request}"), "there is no such request");
            return;
        };
        let answer = answer_text(&self.router.ask(parsed));
        if answer != recorded {
            self.differs(format!("{request} answered {recorded}"), answer);
        }
    }

    fn compare_counters(&mut self, recorded: &Snapshot) {
        let now = Snapshot::of(&self.router.node);
        self.done.counters = recorded.iter().count() as u64;
        let changes = now.changes_since(recorded);
        if let Some((name, _)) = changes.first_key_value() {
            let line = |s: &Snapshot| format!("counter {name} = {}", s.get(name));
            self.differs(line(recorded), line(&now));
        }
    }

    fn differs(&mut self, recorded: impl Into<String>, happened: impl Into<String>) {
        if self.done.difference.is_none() {
            self.done.difference = Some(Difference {
                at: self.now,
                step: self.done.steps,
                recorded: recorded.into(),
                happened: happened.into(),
            });
        }
    }
}

fn describe(clip: &Clip) -> String {
    let what = match wire::parse(&clip.bytes) {
        Ok(headers) if matches!(headers.kind, wire::L3::Ip(_)) => headers.tuple.to_string(),
        Ok(_) => "ARP".into(),
        Err(reason) => reason.to_string(),
    };
    let sum = clip.bytes.iter().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let unfinished = if clip.offloads == ports::Offloads::default() {
        String::new()
    } else {
        format!(", {:?}", clip.offloads)
    };
    format!("{what}, {} bytes, hash {sum:016x}{unfinished}", clip.bytes.len())
}
