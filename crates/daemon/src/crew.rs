//! The forwarding threads beside the first one: each steps a worker with its queue of every port.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread,
    time::Instant,
};

use mio::Waker;
use node::Worker;
use tokio::sync::Notify;
use wire::Time;

use crate::{
    open::REFRESH,
    pulse::{BusyPoll, LONGEST_SLEEP, Pulse, exact_sleeps},
};

/// Tells that a thread has ended, when it is dropped.
pub(crate) struct Ended(pub(crate) Arc<Notify>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// The threads.
pub(crate) struct Crew {
    members: Vec<Member>,
    stop: Arc<AtomicBool>,
    first: Arc<First>,
}

struct Member {
    thread: thread::JoinHandle<()>,
    waker: Arc<Waker>,
    busy: Arc<AtomicU32>,
}

/// The first thread, which has the timers, as the others see it.
struct First {
    sleeps: AtomicBool,
    waker: Arc<Waker>,
}

impl First {
    /// There may be a new timer, or a job to give away.
    fn nudge(&self) {
        if self.sleeps.load(Ordering::SeqCst)
            && let Err(e) = self.waker.wake()
        {
            tracing::warn!("the first forwarding thread could not be woken: {e}");
        }
    }
}

impl Crew {
    /// Starts a thread for each worker. `waker` wakes the first thread; `ended` is told when one ends.
    ///
    /// # Errors
    /// What the kernel says when it gives no epoll instance or no thread.
    pub(crate) fn start(
        workers: Vec<Worker>,
        (started, busy_poll): (Instant, &BusyPoll),
        waker: &Arc<Waker>,
        ended: &Arc<Notify>,
    ) -> io::Result<Self> {
        let first = Arc::new(First { sleeps: AtomicBool::new(false), waker: Arc::clone(waker) });
        let mut crew = Self { members: Vec::new(), stop: Arc::default(), first };
        for worker in workers {
            let (pulse, waker) = Pulse::new(started, busy_poll)?;
            let busy = pulse.busy();
            let (stop, first) = (Arc::clone(&crew.stop), Arc::clone(&crew.first));
            let when_dropped = Ended(Arc::clone(ended));
            let name = format!("forwarding-{}", worker.number());
            let thread = thread::Builder::new().name(name).spawn(move || {
                let _when_dropped = when_dropped;
                exact_sleeps();
                work(worker, pulse, &stop, &first);
            })?;
            crew.members.push(Member { thread, waker, busy });
        }
        Ok(crew)
    }

    /// How busy each is, in thousandths.
    pub(crate) fn busy(&self) -> impl Iterator<Item = Arc<AtomicU32>> {
        self.members.iter().map(|member| Arc::clone(&member.busy))
    }

    /// Whether the first thread sleeps from now on. Before it decides how long, it says so: then it is either
    /// woken by what comes, or has seen it.
    pub(crate) fn nap(&self, sleeps: bool) {
        self.first.sleeps.store(sleeps, Ordering::SeqCst);
    }

    /// Ends all threads; what they have received has been sent then.
    pub(crate) fn stop(&mut self) {
        self.stop.store(true, Ordering::Release);
        for member in self.members.drain(..) {
            if let Err(e) = member.waker.wake() {
                tracing::warn!("a forwarding thread could not be woken: {e}");
            }
            if member.thread.join().is_err() {
                tracing::error!("a forwarding thread panicked");
            }
        }
    }
}

fn work(mut worker: Worker, mut pulse: Pulse, stop: &AtomicBool, first: &First) {
    let mut refreshed: Option<Time> = None;
    while !stop.load(Ordering::Acquire) {
        let now = pulse.now();
        if refreshed.is_none_or(|at| now >= at + REFRESH) {
            refreshed = Some(now);
            worker.refresh();
        }
        let stepped = worker.step(now);
        if stepped.slow {
            first.nudge();
        }
        if stepped.frames > 0 {
            pulse.moved(stepped.frames, now);
        } else if pulse.is_idle() {
            worker.rest();
            pulse.sleep(&worker.poll_fds(), LONGEST_SLEEP);
        }
    }
}
