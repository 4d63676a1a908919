//! What the daemon needs from a gateway.

use std::{fmt, os::fd::RawFd, sync::Arc, time::Duration};

use api::{ApiError, ExportKeys, KeyTable};
use config::Config;
use node::{Job, JobDone, Worker};
use wire::Time;

/// One steppable gateway with its ports open.
pub trait Runner: api::Backend + Send {
    /// Moves what waits: one burst from every port, the slow path's share, due timers. Returns the
    /// number of frames moved; zero means there was nothing to do.
    fn step(&mut self, now: Time) -> usize;

    /// Workers that are to be stepped by threads of their own.
    fn take_workers(&mut self) -> Vec<Worker> {
        Vec::new()
    }

    /// How long threads go on asking for frames after the last one before they sleep.
    fn busy_poll(&self) -> Duration {
        Duration::ZERO
    }

    /// It will not be stepped for a while.
    fn rest(&mut self) {}

    /// When it must be stepped again even if no frame comes.
    fn poll_timeout(&self) -> Option<Time>;

    /// Descriptors that become readable when frames wait.
    fn poll_fds(&self) -> Vec<RawFd>;

    /// Runs another configuration, whole or not at all.
    ///
    /// # Errors
    /// Why not; then the old one runs on unharmed.
    fn apply(&mut self, config: Arc<Config>, now: Time) -> Result<(), OpenError>;

    /// The keys of SAs, for `who`, who may have them.
    ///
    /// # Errors
    /// No SA is picked, or there never is one.
    fn export_keys(&mut self, request: &ExportKeys, who: &str) -> Result<KeyTable, ApiError> {
        let _ = (request, who);
        Err(ApiError::unsupported("this gateway has no SAs"))
    }

    /// Expensive work that another thread is to do; what comes of it goes to
    /// [`Runner::handle_job_done`].
    fn poll_job(&mut self) -> Option<Job> {
        None
    }

    /// What came of a job.
    fn handle_job_done(&mut self, done: JobDone, now: Time) {
        let _ = (done, now);
    }

    /// The gateway is about to end: peers are told.
    fn shut_down(&mut self, now: Time) {
        let _ = now;
    }

    /// Takes nothing new in; true once nothing waits to be sent.
    fn drain(&mut self, now: Time) -> bool {
        self.step(now) == 0
    }
}

/// Why a gateway, or a port of it, could not be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenError {
    /// Name of the port; absent when it is about the whole.
    pub port: Option<String>,
    /// What went wrong.
    pub message: String,
    /// The capability that is missing, when that is what went wrong.
    pub capability: Option<&'static str>,
}

impl OpenError {
    /// An error about a port, or about the whole.
    pub fn new(port: Option<String>, message: impl Into<String>) -> Self {
        Self { port, message: message.into(), capability: None }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.port {
            Some(port) => write!(f, "port {port}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for OpenError {}
