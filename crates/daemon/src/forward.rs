//! The forwarding threads, and the handle by which the control thread talks to it.

use std::{
    io,
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
use mio::Waker;
use node::{Job, JobDone};
use tokio::sync::{Notify, oneshot};

use crate::{
    OpenError, Runner,
    crew::{Crew, Ended},
    pulse::{BusyPoll, LONGEST_SLEEP, Pulse, exact_sleeps},
};

/// How long frames may take to leave at shutdown.
const DRAIN_LIMIT: Duration = Duration::from_secs(1);

/// Threads for key exchanges and signatures.
const JOB_THREADS: usize = 2;

enum Command {
    Ask(Request, oneshot::Sender<Result<Response, ApiError>>),
    ExportKeys(ExportKeys, String, oneshot::Sender<Result<KeyTable, ApiError>>),
    Apply(Arc<Config>, oneshot::Sender<Result<(), OpenError>>),
    Stop,
}

/// The forwarding threads: one has the slow path's timers and answers requests, the others are its crew.
pub struct Forwarder {
    handle: Handle,
    ended: Arc<Notify>,
    thread: thread::JoinHandle<()>,
}

/// Talks to the forwarding thread. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
    waker: Arc<Waker>,
    busy: Arc<[Arc<AtomicU32>]>,
    started: Instant,
}

impl Forwarder {
    /// Starts the threads; time counts from `started`.
    ///
    /// # Errors
    /// What the kernel says when it gives no epoll instance or no thread.
    pub fn start(mut runner: Box<dyn Runner>, started: Instant) -> io::Result<Self> {
        let busy_poll = BusyPoll::default();
        busy_poll.set(runner.busy_poll());
        let (pulse, waker) = Pulse::new(started, &busy_poll)?;
        let (commands, receiver) = mpsc::channel();
        let ended = Arc::new(Notify::new());
        let crew = Crew::start(runner.take_workers(), (started, &busy_poll), &waker, &ended)?;
        let mut busy = vec![pulse.busy()];
        busy.extend(crew.busy());
        let jobs = JobThreads::start(&waker)?;
        let handle = Handle { commands, waker, busy: busy.into(), started };
        let when_dropped = Ended(Arc::clone(&ended));
        let thread = thread::Builder::new().name("forwarding".into()).spawn(move || {
            let _when_dropped = when_dropped;
            exact_sleeps();
            Loop { runner, jobs, commands: receiver, pulse, busy_poll, crew }.run();
        })?;
        Ok(Self { handle, ended, thread })
    }

    /// A handle to talk to it.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Waits until a thread ends by itself, which none ever should.
    pub async fn ended(&mut self) {
        self.ended.notified().await;
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

    /// For each forwarding thread, the share of the last second in which it had work, 0 to 1.
    pub fn busy(&self) -> Vec<f64> {
        self.busy.iter().map(|of| f64::from(of.load(Ordering::Relaxed)) / 1000.0).collect()
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
    jobs: JobThreads,
    commands: mpsc::Receiver<Command>,
    pulse: Pulse,
    busy_poll: BusyPoll,
    crew: Crew,
}

impl Loop {
    fn run(mut self) {
        loop {
            let now = self.pulse.now();
            let moved = self.runner.step(now);
            let worked = self.exchange_jobs();
            match self.commands.try_recv() {
                Ok(Command::Stop) | Err(mpsc::TryRecvError::Disconnected) => break,
                Ok(command) => {
                    self.execute(command);
                    self.pulse.worked();
                    continue;
                }
                Err(mpsc::TryRecvError::Empty) => {}
            }
            if moved > 0 || worked {
                self.pulse.moved(moved, now);
            } else if self.pulse.is_idle() {
                self.sleep();
            }
        }
        self.crew.stop();
        self.runner.shut_down(self.pulse.now());
        let limit = Instant::now() + DRAIN_LIMIT;
        while !self.runner.drain(self.pulse.now()) && Instant::now() < limit {
            thread::yield_now();
        }
    }

    /// Gives the job threads what is to be done and takes what they have done; says whether they had
    /// anything.
    fn exchange_jobs(&mut self) -> bool {
        while let Some(job) = self.runner.poll_job() {
            self.jobs.give(job);
        }
        let mut any = false;
        while let Ok(done) = self.jobs.done.try_recv() {
            let now = self.pulse.now();
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
                let now = self.pulse.now();
                let applied = self.runner.apply(config, now);
                self.busy_poll.set(self.runner.busy_poll());
                drop(reply.send(applied));
            }
            Command::Stop => {}
        }
    }

    fn sleep(&mut self) {
        self.runner.rest();
        // Whoever makes a timer or a job after this looks whether we sleep, and wakes us; what was made before is
        // seen here.
        self.crew.nap(true);
        let worked = self.exchange_jobs();
        let due = self.runner.poll_timeout().map(|at| at.since(self.pulse.now()));
        let timeout = due.map_or(LONGEST_SLEEP, |due| due.min(LONGEST_SLEEP));
        if !timeout.is_zero() && !worked {
            self.pulse.sleep(&self.runner.poll_fds(), timeout);
        }
        self.crew.nap(false);
    }
}

/// Threads that do what would hold forwarding up: key exchanges and signatures of IKE.
struct JobThreads {
    jobs: mpsc::Sender<Job>,
    done: mpsc::Receiver<JobDone>,
}

impl JobThreads {
    /// Starts them; `waker` wakes the forwarding thread when one has done something.
    fn start(waker: &Arc<Waker>) -> io::Result<Self> {
        let (jobs, receiver) = mpsc::channel::<Job>();
        let (finished, done) = mpsc::channel();
        let receiver = Arc::new(Mutex::new(receiver));
        for number in 0..JOB_THREADS {
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
