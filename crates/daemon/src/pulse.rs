//! When a forwarding thread works on, waits a little, and sleeps.
//!
//! A thread sleeps when there is nothing to do, which costs a packet that comes then a wake-up; and under load
//! it waits for several frames, which costs them a few microseconds. With [`BusyPoll`] it does neither for so
//! long after the last frame, and takes a whole core instead.

use std::{
    io,
    num::NonZeroU64,
    os::fd::RawFd,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
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

/// How long threads go on asking their ports after the last frame; all of them look here.
#[derive(Clone, Default)]
pub(crate) struct BusyPoll(Arc<AtomicU64>);

impl BusyPoll {
    pub(crate) fn set(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.0.store(nanos, Ordering::Relaxed);
    }

    fn get(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

/// The rhythm of one thread.
pub(crate) struct Pulse {
    poll: Poll,
    events: Events,
    started: Instant,
    busy: Arc<AtomicU32>,
    meter: Meter,
    pace: Pace,
    busy_poll: BusyPoll,
    empty: u32,
    /// Since when it asks its ports for nothing.
    polls: Option<Instant>,
}

impl Pulse {
    /// A rhythm whose time counts from `started`, and what wakes its thread.
    ///
    /// # Errors
    /// What the kernel says when it gives no epoll instance.
    pub(crate) fn new(started: Instant, busy_poll: &BusyPoll) -> io::Result<(Self, Arc<Waker>)> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKE)?);
        let events = Events::with_capacity(64);
        let (meter, pace) = (Meter::new(started), Pace::default());
        let pulse = Self {
            poll,
            events,
            started,
            busy: Arc::default(),
            meter,
            pace,
            busy_poll: busy_poll.clone(),
            empty: 0,
            polls: None,
        };
        Ok((pulse, waker))
    }

    /// Share of the last second in which the thread had work, in thousandths.
    pub(crate) fn busy(&self) -> Arc<AtomicU32> {
        Arc::clone(&self.busy)
    }

    pub(crate) fn now(&self) -> Time {
        Time::ZERO + self.started.elapsed()
    }

    /// There was something to do that is no frame.
    pub(crate) fn worked(&mut self) {
        self.empty = 0;
        self.stop_polling();
    }

    /// A step moved so many frames. Under load, waits a little until more have come: a few at a time cost the kernel,
    /// the far ends and us several times as much as many together. As network devices do with their interrupts.
    pub(crate) fn moved(&mut self, frames: usize, now: Time) {
        self.worked();
        self.meter.publish(&self.busy);
        if self.busy_poll.get().is_zero() && self.pace.is_wanted(frames, now) {
            let before = Instant::now();
            thread::sleep(PAUSE);
            self.meter.slept(before.elapsed());
        }
    }

    /// A step moved nothing; says whether it is time to sleep.
    pub(crate) fn is_idle(&mut self) -> bool {
        if self.empty < SPINS {
            self.empty += 1;
            std::hint::spin_loop();
            return false;
        }
        let busy_poll = self.busy_poll.get();
        if busy_poll.is_zero() {
            return true;
        }
        let since = *self.polls.get_or_insert_with(Instant::now);
        if since.elapsed() < busy_poll {
            std::hint::spin_loop();
            return false;
        }
        true
    }

    /// Asking for nothing was no work.
    fn stop_polling(&mut self) {
        if let Some(since) = self.polls.take() {
            self.meter.slept(since.elapsed());
        }
    }

    /// Sleeps until a descriptor is readable, somebody wakes the thread, or the time is over.
    pub(crate) fn sleep(&mut self, fds: &[RawFd], timeout: Duration) {
        self.stop_polling();
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

/// Measures the share of time in which there was work.
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
    fn who_polls_does_not_sleep_before_its_time() {
        let busy_poll = BusyPoll::default();
        let (mut pulse, _waker) = Pulse::new(Instant::now(), &busy_poll).expect("epoll");
        let idle = |pulse: &mut Pulse| {
            let before = Instant::now();
            while !pulse.is_idle() {}
            before.elapsed()
        };
        pulse.worked();
        let time = Duration::from_millis(20);
        assert!((0..SPINS).all(|_| !pulse.is_idle()) && pulse.is_idle(), "after a few empty steps");
        busy_poll.set(time);
        pulse.worked();
        assert!(idle(&mut pulse) >= time);
        assert!(pulse.is_idle(), "and it stays so");
        let slept = pulse.meter.slept;
        pulse.worked();
        assert!(pulse.meter.slept - slept >= time, "that was no work");
        assert!(idle(&mut pulse) >= time, "until there was something again");
        busy_poll.set(Duration::ZERO);
        pulse.worked();
        assert!((0..SPINS).all(|_| !pulse.is_idle()) && pulse.is_idle());
    }

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
