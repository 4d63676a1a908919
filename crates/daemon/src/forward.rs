//! The forwarding thread, and the handle by which the control thread talks to it.

use std::{
    io,
    num::NonZeroU64,
    os::fd::RawFd,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use api::{ApiError, ExportKeys, KeyTable, Request, Response};
use config::Config;
use mio::{Events, Interest, Poll, Token, Waker, unix::SourceFd};
use node::{Job, JobDone};
use tokio::sync::oneshot;
use wire::Time;

use crate::{OpenError, Runner};

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
const LONGEST_SLEEP: Duration = Duration::from_millis(100);

/// How often the share of busy time is published.
const LOAD_WINDOW: Duration = Duration::from_secs(1);

/// How long frames may take to leave at shutdown.
const DRAIN_LIMIT: Duration = Duration::from_secs(1);

/// Threads for key exchanges and signatures.
const WORKERS: usize = 2;

const WAKE: Token = Token(usize::MAX);

enum Command {
    Ask(Request, oneshot::Sender<Result<Response, ApiError>>),
    ExportKeys(ExportKeys, String, oneshot::Sender<Result<KeyTable, ApiError>>),
    Apply(Arc<Config>, oneshot::Sender<Result<(), OpenError>>),
    Stop,
}

/// The forwarding thread.
pub struct Forwarder {
    handle: Handle,
    ended: oneshot::Receiver<()>,
    thread: thread::JoinHandle<()>,
}

/// Talks to the forwarding thread. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
    waker: Arc<Waker>,
    busy: Arc<AtomicU32>,
    started: Instant,
}

impl Forwarder {
    /// Starts the thread; time counts from `started`.
    ///
    /// # Errors
    /// What the kernel says when it gives no epoll instance or no thread.
    pub fn start(runner: Box<dyn Runner>, started: Instant) -> io::Result<Self> {
        let poll = Poll::new()?;
        let (commands, receiver) = mpsc::channel();
        let (ended_sender, ended) = oneshot::channel();
        let handle = Handle {
            commands,
            waker: Arc::new(Waker::new(poll.registry(), WAKE)?),
            busy: Arc::default(),
            started,
        };
        let busy = Arc::clone(&handle.busy);
        let workers = Workers::start(&handle.waker)?;
        let thread = thread::Builder::new().name("forwarding".into()).spawn(move || {
            let _ended_when_dropped = ended_sender;
            let meter = Meter::new(started);
            exact_sleeps();
            Loop {
                runner,
                workers,
                commands: receiver,
                poll,
                started,
                busy,
                meter,
                pace: Pace::default(),
            }
            .run();
        })?;
        Ok(Self { handle, ended, thread })
    }

    /// A handle to talk to it.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Waits until the thread ends by itself, which it never should.
    pub async fn ended(&mut self) {
        let _ = (&mut self.ended).await;
    }

    /// Lets frames leave, then ends the thread.
    pub fn stop(self) {
        self.handle.send(Command::Stop);
        if self.thread.join().is_err() {
            tracing::error!("the forwarding thread panicked");
        }
    }
}

impl Handle {
    /// Asks the gateway.
    ///
    /// # Errors
    /// What the gateway answers instead, or that it no longer runs.
    pub async fn ask(&self, request: Request) -> Result<Response, ApiError> {
        let (sender, receiver) = oneshot::channel();
        self.send(Command::Ask(request, sender));
        receiver.await.unwrap_or_else(|_| Err(ApiError::failed("the forwarding thread has ended")))
    }

    /// Asks for the keys of SAs, for `who`, who may have them.
    ///
    /// # Errors
    /// What the gateway answers instead, or that it no longer runs.
    pub async fn export_keys(
        &self,
        request: ExportKeys,
        who: String,
    ) -> Result<KeyTable, ApiError> {
        let (sender, receiver) = oneshot::channel();
        self.send(Command::ExportKeys(request, who, sender));
        receiver.await.unwrap_or_else(|_| Err(ApiError::failed("the forwarding thread has ended")))
    }

    /// Runs another configuration.
    ///
    /// # Errors
    /// Why not; then the old one runs on.
    pub async fn apply(&self, config: Arc<Config>) -> Result<(), OpenError> {
        let (sender, receiver) = oneshot::channel();
        self.send(Command::Apply(config, sender));
        receiver
            .await
            .unwrap_or_else(|_| Err(OpenError::new(None, "the forwarding thread has ended")))
    }

    /// Share of the last second in which the thread was not asleep, 0 to 1.
    pub fn busy(&self) -> f64 {
        f64::from(self.busy.load(Ordering::Relaxed)) / 1000.0
    }

    /// Since the gateway started.
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    fn send(&self, command: Command) {
        // A thread that has ended drops the reply channel, which is how the caller learns of it.
        if self.commands.send(command).is_ok()
            && let Err(e) = self.waker.wake()
        {
            tracing::warn!("the forwarding thread could not be woken: {e}");
        }
    }
}

struct Loop {
    runner: Box<dyn Runner>,
    workers: Workers,
    commands: mpsc::Receiver<Command>,
    poll: Poll,
    started: Instant,
    busy: Arc<AtomicU32>,
    meter: Meter,
    pace: Pace,
}

impl Loop {
    fn run(mut self) {
        let mut events = Events::with_capacity(64);
        let mut empty = 0;
        loop {
            let now = self.now();
            let moved = self.runner.step(now);
            let worked = self.exchange_jobs();
            match self.commands.try_recv() {
                Ok(Command::Stop) | Err(mpsc::TryRecvError::Disconnected) => break,
                Ok(command) => {
                    self.execute(command);
                    empty = 0;
                    continue;
                }
                Err(mpsc::TryRecvError::Empty) => {}
            }
            if moved > 0 || worked {
                empty = 0;
                self.meter.publish(&self.busy);
                self.pace(moved, now);
                continue;
            }
            empty += 1;
            if empty < SPINS {
                std::hint::spin_loop();
                continue;
            }
            self.sleep(&mut events);
        }
        self.runner.shut_down(self.now());
        let limit = Instant::now() + DRAIN_LIMIT;
        while !self.runner.drain(self.now()) && Instant::now() < limit {
            thread::yield_now();
        }
    }

    /// Under load, waits a little until more frames have come: a few at a time cost the kernel, the far ends
    /// and us several times as much as many together. As network devices do with their interrupts.
    fn pace(&mut self, moved: usize, now: Time) {
        if self.pace.is_wanted(moved, now) {
            let before = Instant::now();
            thread::sleep(PAUSE);
            self.meter.slept(before.elapsed());
        }
    }

    /// Gives the workers what is to be done and takes what they have done; says whether they had
    /// anything.
    fn exchange_jobs(&mut self) -> bool {
        while let Some(job) = self.runner.poll_job() {
            self.workers.give(job);
        }
        let mut any = false;
        while let Ok(done) = self.workers.done.try_recv() {
            let now = self.now();
            self.runner.handle_job_done(done, now);
            any = true;
        }
        any
    }

    fn execute(&mut self, command: Command) {
        // Whoever asked may have gone away meanwhile; then nobody misses the answer.
        match command {
            Command::Ask(request, reply) => drop(reply.send(self.runner.handle(request))),
            Command::ExportKeys(request, who, reply) => {
                drop(reply.send(self.runner.export_keys(&request, &who)));
            }
            Command::Apply(config, reply) => {
                let now = self.now();
                drop(reply.send(self.runner.apply(config, now)));
            }
            Command::Stop => {}
        }
    }

    fn sleep(&mut self, events: &mut Events) {
        let due = self.runner.poll_timeout().map(|at| at.since(self.now()));
        let timeout = due.map_or(LONGEST_SLEEP, |due| due.min(LONGEST_SLEEP));
        if timeout.is_zero() {
            return;
        }
        for fd in self.runner.poll_fds() {
            self.arm(fd);
        }
        let before = Instant::now();
        match self.poll.poll(events, Some(timeout)) {
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

    fn now(&self) -> Time {
        Time::ZERO + self.started.elapsed()
    }
}

/// Threads that do what would hold forwarding up: key exchanges and signatures of IKE.
struct Workers {
    jobs: mpsc::Sender<Job>,
    done: mpsc::Receiver<JobDone>,
}

impl Workers {
    /// Starts them; `waker` wakes the forwarding thread when one has done something.
    fn start(waker: &Arc<Waker>) -> io::Result<Self> {
        let (jobs, receiver) = mpsc::channel::<Job>();
        let (finished, done) = mpsc::channel();
        let receiver = Arc::new(Mutex::new(receiver));
        for number in 0..WORKERS {
            let (receiver, finished) = (Arc::clone(&receiver), finished.clone());
            let waker = Arc::clone(waker);
            thread::Builder::new().name(format!("ike-{number}")).spawn(move || {
                loop {
                    let next = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(job) = next else { return };
                    if finished.send(job.run()).is_err() {
                        return;
                    }
                    if let Err(e) = waker.wake() {
                        tracing::warn!("the forwarding thread could not be woken: {e}");
                    }
                }
            })?;
        }
        Ok(Self { jobs, done })
    }

    fn give(&self, job: Job) {
        if self.jobs.send(job).is_err() {
            tracing::error!("no thread is left for key exchanges");
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
fn exact_sleeps() {
    if let Err(e) = rustix::thread::set_current_timer_slack(Some(NonZeroU64::MIN)) {
        tracing::debug!("the timer slack of the forwarding thread cannot be set: {e}");
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
