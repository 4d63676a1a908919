//! When a forwarding thread works on, waits a little, and sleeps.

use std::{
    io,
    num::NonZeroU64,
    os::fd::RawFd,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use mio::{Events, Interest, Poll, Token, Waker, unix::SourceFd};
use wire::Time;

/// Empty steps before the thread blocks: a gap between bursts is shorter than a wake-up costs.
const SPINS: u32 = 32;

/// Frames per second from which on it is worth to wait for several.
const LOADED: u128 = 30_000;

/// Over how long they are counted.
const PACE_WINDOW: Duration = Duration::from_millis(1);

/// What is waited then.
const PAUSE: Duration = Duration::from_micros(25);

/// So many frames in a step are a burst that needs no waiting.
const MANY: usize = 64;

/// Longest sleep, so that a device that came back is noticed even if nobody says so.
pub(crate) const LONGEST_SLEEP: Duration = Duration::from_millis(100);

/// How often the share of busy time is published.
const LOAD_WINDOW: Duration = Duration::from_secs(1);

const WAKE: Token = Token(usize::MAX);

/// The rhythm of one thread.
pub(crate) struct Pulse {
    poll: Poll,
    events: Events,
    started: Instant,
    busy: Arc<AtomicU32>,
    meter: Meter,
    pace: Pace,
    empty: u32,
}

impl Pulse {
    /// A rhythm whose time counts from `started`, and what wakes its thread.
    ///
    /// # Errors
    /// What the kernel says when it gives no epoll instance.
    pub(crate) fn new(started: Instant) -> io::Result<(Self, Arc<Waker>)> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKE)?);
        let events = Events::with_capacity(64);
        let (meter, pace) = (Meter::new(started), Pace::default());
        let pulse = Self { poll, events, started, busy: Arc::default(), meter, pace, empty: 0 };
        Ok((pulse, waker))
    }

    /// Share of the last second in which the thread was not asleep, in thousandths.
    pub(crate) fn busy(&self) -> Arc<AtomicU32> {
        Arc::clone(&self.busy)
    }

    pub(crate) fn now(&self) -> Time {
        Time::ZERO + self.started.elapsed()
    }

    /// There was something to do that is no frame.
    pub(crate) fn worked(&mut self) {
        self.empty = 0;
    }

    /// A step moved so many frames. Under load, waits a little until more have come: a few at a time cost the kernel,
    /// the far ends and us several times as much as many together. As network devices do with their interrupts.
    pub(crate) fn moved(&mut self, frames: usize, now: Time) {
        self.empty = 0;
        self.meter.publish(&self.busy);
        if self.pace.is_wanted(frames, now) {
            let before = Instant::now();
            thread::sleep(PAUSE);
            self.meter.slept(before.elapsed());
        }
    }

    /// A step moved nothing; says whether it is time to sleep.
    pub(crate) fn is_idle(&mut self) -> bool {
        self.empty += 1;
        if self.empty < SPINS {
            std::hint::spin_loop();
        }
        self.empty >= SPINS
    }

    /// Sleeps until a descriptor is readable, somebody wakes the thread, or the time is over.
    pub(crate) fn sleep(&mut self, fds: &[RawFd], timeout: Duration) {
        fds.iter().for_each(|fd| self.arm(*fd));
        let before = Instant::now();
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => {
                tracing::error!("epoll: {e}");
                thread::sleep(Duration::from_millis(1));
            }
        }
        self.meter.slept(before.elapsed());
        self.meter.publish(&self.busy);
    }

    /// Arms a descriptor again before every sleep: epoll is edge-triggered here, and a port that was
    /// opened again may have got the number of the old one.
    fn arm(&self, fd: RawFd) {
        let token = Token(usize::try_from(fd).unwrap_or(0));
        let registry = self.poll.registry();
        let again = registry.reregister(&mut SourceFd(&fd), token, Interest::READABLE);
        if again.is_err()
            && let Err(e) = registry.register(&mut SourceFd(&fd), token, Interest::READABLE)
        {
            // EPERM is what a plain file answers (a pcap port); it is always readable.
            if e.kind() != io::ErrorKind::PermissionDenied {
                tracing::debug!("descriptor {fd} cannot be polled: {e}");
            }
        }
    }
}

/// Whether frames come so fast that a short wait brings many.
#[derive(Default)]
struct Pace {
    /// When the frames are counted from, and how many came since.
    window: (Time, usize),
    loaded: bool,
}

impl Pace {
    /// After a step that moved so many frames.
    fn is_wanted(&mut self, moved: usize, now: Time) -> bool {
        let (since, count) = &mut self.window;
        *count += moved;
        let elapsed = now.since(*since);
        if elapsed >= PACE_WINDOW {
            self.loaded = *count as u128 * 1_000_000 >= LOADED * elapsed.as_micros();
            self.window = (now, 0);
        }
        self.loaded && moved < MANY
    }
}

/// Lets short sleeps of this thread end when they are over, not some 50 µs later.
pub(crate) fn exact_sleeps() {
    if let Err(e) = rustix::thread::set_current_timer_slack(Some(NonZeroU64::MIN)) {
        tracing::debug!("the timer slack of a forwarding thread cannot be set: {e}");
    }
}

/// Measures the share of time that was not slept.
struct Meter {
    window: Instant,
    slept: Duration,
}

impl Meter {
    fn new(start: Instant) -> Self {
        Self { window: start, slept: Duration::ZERO }
    }

    fn slept(&mut self, time: Duration) {
        self.slept += time;
    }

    fn publish(&mut self, busy: &AtomicU32) {
        let length = self.window.elapsed();
        if length >= LOAD_WINDOW {
            let awake = length.saturating_sub(self.slept);
            let permille = awake.as_micros() * 1000 / length.as_micros().max(1);
            busy.store(u32::try_from(permille).unwrap_or(1000).min(1000), Ordering::Relaxed);
            *self = Self::new(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_is_waited_for_and_a_ping_is_not() {
        let mut pace = Pace::default();
        let mut now = Time::ZERO;
        // a frame every 100 µs is 10,000 a second
        for _ in 0..1_000 {
            now = now + Duration::from_micros(100);
            assert!(!pace.is_wanted(1, now));
        }
        // ten frames every 100 µs are a load, once that is known
        let waits: Vec<_> = (0..100)
            .map(|_| {
                now = now + Duration::from_micros(100);
                pace.is_wanted(10, now)
            })
            .collect();
        assert!(!waits[0] && waits[20..].iter().all(|waits| *waits));
        // who has many already waits for no more
        assert!(!pace.is_wanted(MANY, now));
        // and after a silence the first frame is served at once
        now = now + Duration::from_millis(10);
        assert!(!pace.is_wanted(1, now));
    }
}
