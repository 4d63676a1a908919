//! Captures: copies of packets at any point of the gateway, for whoever asks over the API.
//!
//! Whoever moves packets shows them as a [`Sight`] while a capture runs; each capture keeps what it
//! wants in a buffer of bounded size until it is polled. A capture ends after so many packets, after
//! so much time, or when nobody has polled it for [`SILENCE`], so that none is forgotten.
//!
//! Limits: at most [`MOST`] captures at once. Copying costs a few microseconds a packet while one
//! runs, and nothing but a branch otherwise. What is lost without its bytes is not seen: fragments
//! that never became whole, and packets that a port could not take.

mod sight;

use std::collections::VecDeque;

use api::{CapturePoint, CapturedView, filter::Filter};
use config::model::IfId;
use core::time::Duration;
use wire::Time;

pub use sight::{Place, Sight, What, Why};

/// Captures that may run at once.
pub const MOST: usize = 4;

/// A capture that nobody polls for this long ends.
pub const SILENCE: Duration = Duration::from_secs(5);

/// Bytes that a capture keeps for its reader.
const ROOM: usize = 8 << 20;

/// What a record takes besides the packet, in bytes, at a guess.
const RECORD: usize = 512;

/// Bytes of packets handed out in one poll.
const FETCH_BYTES: usize = 512 << 10;

/// Packets handed out in one poll.
const FETCH: usize = 1_024;

/// What a capture wants; everything must hold.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Which packets, as they are at the point, before or after translation.
    pub filter: Filter,
    /// SPI of an SA they belong to.
    pub spi: Option<u32>,
    /// Whose DTLS association they belong to.
    pub dtls: Option<Whose>,
    /// Why they were dropped or punted.
    pub reason: Option<&'static str>,
    /// Where; everywhere when empty.
    pub points: Vec<CapturePoint>,
    /// Their interface there.
    pub interface: Option<IfId>,
    /// Bytes kept of each.
    pub snap: usize,
}

/// Clients of remote access.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// All.
    Anybody,
    /// Those of a user.
    User(String),
}

impl Wanted {
    fn is_at(&self, point: CapturePoint) -> bool {
        self.points.is_empty() || self.points.contains(&point)
    }
}

/// A capture.
struct Capture {
    id: u64,
    wanted: Wanted,
    /// Packets still wanted; without end where absent.
    left: Option<u64>,
    until: Option<Time>,
    polled: Time,
    ended: bool,
    records: VecDeque<CapturedView>,
    room: usize,
    matched: u64,
    lost: u64,
}

/// What a poll gives.
pub struct Polled {
    /// Packets, oldest first.
    pub packets: Vec<CapturedView>,
    /// Packets that matched so far, lost ones included.
    pub matched: u64,
    /// Packets that found the buffer full.
    pub lost: u64,
    /// Packets wait for the next poll.
    pub more: bool,
    /// It has ended.
    pub ended: bool,
}

/// All captures.
#[derive(Default)]
pub struct Captures {
    captures: Vec<Capture>,
    last_id: u64,
    changes: u64,
}

impl Captures {
    /// Starts a capture of `count` packets at most until `until`; its id, or none if as many run as
    /// may.
    pub fn start(
        &mut self,
        wanted: Wanted,
        count: Option<u64>,
        until: Option<Time>,
        now: Time,
    ) -> Option<u64> {
        if self.captures.len() >= MOST {
            return None;
        }
        self.last_id += 1;
        self.changes += 1;
        self.captures.push(Capture {
            id: self.last_id,
            wanted,
            left: count,
            until,
            polled: now,
            ended: false,
            records: VecDeque::new(),
            room: ROOM,
            matched: 0,
            lost: 0,
        });
        Some(self.last_id)
    }

    /// Ends a capture; what it has can still be polled. False if there is none.
    pub fn stop(&mut self, id: u64) -> bool {
        let found = self.captures.iter_mut().find(|capture| capture.id == id);
        found.map(|capture| capture.ended = true).inspect(|()| self.changes += 1).is_some()
    }

    /// What was captured since the last poll. A capture that has ended and has no more is gone
    /// afterwards.
    pub fn poll(&mut self, id: u64, now: Time) -> Option<Polled> {
        let at = self.captures.iter().position(|capture| capture.id == id)?;
        let capture = &mut self.captures[at];
        capture.polled = now;
        let (mut packets, mut bytes) = (Vec::new(), 0);
        while packets.len() < FETCH
            && bytes < FETCH_BYTES
            && let Some(record) = capture.records.pop_front()
        {
            bytes += record.data.len();
            capture.room += record.data.len() + RECORD;
            packets.push(record);
        }
        let polled = Polled {
            packets,
            matched: capture.matched,
            lost: capture.lost,
            more: !capture.records.is_empty(),
            ended: capture.ended,
        };
        if polled.ended && !polled.more {
            self.captures.remove(at);
            self.changes += 1;
        }
        Some(polled)
    }

    /// Whether one runs.
    #[inline]
    pub fn is_on(&self) -> bool {
        !self.captures.is_empty()
    }

    /// When one has to be ended next.
    pub fn due(&self) -> Option<Time> {
        let ends = |capture: &Capture| {
            let silent = capture.polled + SILENCE;
            capture.until.filter(|_| !capture.ended).map_or(silent, |until| until.min(silent))
        };
        self.captures.iter().map(ends).min()
    }

    /// Ends those whose time is over, and forgets those that nobody polls. Returns what was
    /// forgotten.
    pub fn expire(&mut self, now: Time) -> Vec<u64> {
        for capture in &mut self.captures {
            if capture.until.is_some_and(|until| until <= now) {
                capture.ended = true;
            }
        }
        let silent = |capture: &Capture| capture.polled + SILENCE <= now;
        let gone: Vec<_> = self.captures.iter().filter(|c| silent(c)).map(|c| c.id).collect();
        self.captures.retain(|capture| !silent(capture));
        self.changes += 1;
        gone
    }

    /// A number that moves on whenever [`Captures::sas`] may have changed.
    pub const fn changes(&self) -> u64 {
        self.changes
    }

    /// The SPIs whose SAs have to be looked into, for drops and for packets inside; all where the
    /// list is empty, none where there is no list.
    pub fn sas(&self) -> Option<Vec<u32>> {
        const INSIDE: [CapturePoint; 3] =
            [CapturePoint::Drop, CapturePoint::Decap, CapturePoint::Encap];
        let running = self.captures.iter().filter(|capture| !capture.ended);
        let mut looking =
            running.filter(|c| INSIDE.iter().any(|point| c.wanted.is_at(*point))).peekable();
        looking.peek()?;
        let spis: Option<Vec<u32>> = looking.map(|capture| capture.wanted.spi).collect();
        Some(spis.unwrap_or_default())
    }

    /// Packets that were to be seen were lost before; nobody knows whose they were.
    pub fn lose(&mut self, packets: u64) {
        for capture in &mut self.captures {
            capture.lost += packets;
            capture.matched += packets;
        }
    }

    /// Takes a packet in for every capture that wants it.
    fn record(
        &mut self,
        point: CapturePoint,
        wants: impl Fn(&Wanted) -> bool,
        view: impl Fn(&Wanted) -> CapturedView,
    ) {
        for capture in &mut self.captures {
            if capture.ended || !capture.wanted.is_at(point) || !wants(&capture.wanted) {
                continue;
            }
            capture.matched += 1;
            let record = CapturedView { number: capture.matched, ..view(&capture.wanted) };
            let size = record.data.len() + RECORD;
            if capture.room < size {
                capture.lost += 1;
                continue;
            }
            capture.room -= size;
            capture.records.push_back(record);
            if let Some(left) = &mut capture.left {
                *left -= 1;
                capture.ended = *left == 0;
                self.changes += u64::from(capture.ended);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: fn(&Wanted) -> bool = |_| true;

    fn everything(spi: Option<u32>, points: &[CapturePoint]) -> Wanted {
        Wanted {
            filter: Filter::everything(),
            spi,
            dtls: None,
            reason: None,
            points: points.to_vec(),
            interface: None,
            snap: 65_536,
        }
    }

    fn packet(_: &Wanted) -> CapturedView {
        CapturedView { data: vec![0; 60_000], ..CapturedView::default() }
    }

    fn start(captures: &mut Captures, wanted: Wanted) -> u64 {
        captures.start(wanted, None, None, Time::ZERO).expect("there is room")
    }

    #[test]
    fn a_full_buffer_loses_the_newest_and_says_how_many() {
        let mut captures = Captures::default();
        let id = start(&mut captures, everything(None, &[]));
        for _ in 0..200 {
            captures.record(CapturePoint::Rx, ALL, packet);
        }
        let (mut numbers, mut lost) = (Vec::new(), 0);
        loop {
            let polled = captures.poll(id, Time::ZERO).expect("it runs");
            assert!(polled.packets.len() <= 9, "a poll is bounded");
            numbers.extend(polled.packets.iter().map(|p| p.number));
            lost = lost.max(polled.lost);
            if !polled.more {
                break;
            }
        }
        assert_eq!((numbers.len() as u64 + lost, numbers.len()), (200, 138));
        assert!(numbers.iter().copied().eq(1..=138));
        captures.record(CapturePoint::Rx, ALL, packet);
        let polled = captures.poll(id, Time::ZERO).expect("it runs");
        assert_eq!(polled.packets.first().map(|p| p.number), Some(201), "the gap shows");
    }

    #[test]
    fn a_capture_ends_by_count_by_time_and_by_silence() {
        let mut captures = Captures::default();
        let all = || everything(None, &[]);
        let counted = captures.start(all(), Some(2), None, Time::ZERO).expect("room");
        for _ in 0..3 {
            captures.record(CapturePoint::Rx, ALL, packet);
        }
        let polled = captures.poll(counted, Time::ZERO).expect("not fetched yet");
        assert_eq!((polled.packets.len(), polled.ended), (2, true));
        assert!(captures.poll(counted, Time::ZERO).is_none() && !captures.is_on());

        let until = Some(Time::from_secs(3));
        let timed = captures.start(all(), None, until, Time::ZERO).expect("room");
        assert_eq!(captures.due(), Some(Time::from_secs(3)));
        assert!(captures.expire(Time::from_secs(3)).is_empty());
        captures.record(CapturePoint::Rx, ALL, packet);
        let polled = captures.poll(timed, Time::from_secs(3)).expect("not fetched yet");
        assert_eq!((polled.packets.len(), polled.ended), (0, true));

        let silent = start(&mut captures, all());
        assert_eq!(captures.due(), Some(Time::ZERO + SILENCE));
        assert_eq!(captures.expire(Time::ZERO + SILENCE), [silent]);
        assert!(!captures.is_on());
    }

    #[test]
    fn so_many_at_once_and_each_with_its_points() {
        let mut captures = Captures::default();
        let drops = start(&mut captures, everything(None, &[CapturePoint::Drop]));
        let all = start(&mut captures, everything(None, &[]));
        captures.record(CapturePoint::Rx, ALL, packet);
        captures.record(CapturePoint::Drop, ALL, packet);
        let count = |c: &mut Captures, id| c.poll(id, Time::ZERO).map(|p| p.packets.len());
        assert_eq!((count(&mut captures, drops), count(&mut captures, all)), (Some(1), Some(2)));
        for _ in 2..MOST {
            start(&mut captures, everything(None, &[]));
        }
        assert!(captures.start(everything(None, &[]), None, None, Time::ZERO).is_none());
        assert!(captures.stop(drops) && !captures.stop(99));
    }

    #[test]
    fn sas_are_looked_into_only_where_somebody_looks() {
        let mut captures = Captures::default();
        assert_eq!(captures.sas(), None);
        start(&mut captures, everything(Some(5), &[CapturePoint::Rx]));
        assert_eq!(captures.sas(), None, "the wire is seen elsewhere");
        start(&mut captures, everything(Some(6), &[CapturePoint::Decap]));
        assert_eq!(captures.sas(), Some(vec![6]));
        let all = start(&mut captures, everything(None, &[]));
        assert_eq!(captures.sas(), Some(Vec::new()));
        let before = captures.changes();
        captures.stop(all);
        assert_eq!(captures.sas(), Some(vec![6]));
        assert_ne!(captures.changes(), before);
    }
}
