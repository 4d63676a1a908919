//! Expensive work, such as key exchange, signatures and hashes of passwords: given out, done anywhere, and
//! taken back.

use wire::Time;

use crate::{Gateway, tunnel::ServerId};

/// A piece of work.
#[derive(Debug)]
pub struct Job(Work);

#[derive(Debug)]
enum Work {
    Ike(ike::Job),
    Remote(ServerId, anyconnect::Job),
}

/// What came of it.
#[derive(Debug)]
pub struct JobDone(Done);

#[derive(Debug)]
enum Done {
    Ike(ike::JobDone),
    Remote(ServerId, anyconnect::JobDone),
}

impl Job {
    /// Does it, which takes milliseconds.
    pub fn run(self) -> JobDone {
        JobDone(match self.0 {
            Work::Ike(job) => Done::Ike(job.run()),
            Work::Remote(server, job) => Done::Remote(server, job.run()),
        })
    }
}

impl Gateway {
    /// The next expensive piece of work, to be run anywhere.
    pub fn poll_job(&mut self) -> Option<Job> {
        let ike = self.poll_ike_job().map(Work::Ike);
        let work = ike.or_else(|| self.remote.poll_job().map(|(id, job)| Work::Remote(id, job)));
        work.map(Job)
    }

    /// What came of a job.
    pub fn handle_job_done(&mut self, done: JobDone, now: Time) {
        match done.0 {
            Done::Ike(done) => self.handle_ike_job_done(done, now),
            Done::Remote(server, done) => self.handle_remote_job_done(server, done, now),
        }
    }
}
