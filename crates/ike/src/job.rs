//! Expensive work, taken out of the state machine so that it can run on another thread.

use std::{fmt, net::IpAddr};

use crate::{
    auth::Proof,
    crypto::{Draw, ExchangeError, PrivateValue, SharedSecret},
    sa::{Proved, Signing, Verification},
};

/// Names a job or a question to the owner; never used twice by one endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub(crate) u64);

/// A key exchange or a signature, to be run anywhere: it needs nothing of the endpoint. What it gives
/// goes back with [`Endpoint::handle_done`](crate::Endpoint::handle_done).
pub struct Job {
    pub(crate) id: JobId,
    pub(crate) work: Work,
}

/// What came of a job.
pub struct JobDone {
    pub(crate) id: JobId,
    pub(crate) outcome: Outcome,
}

pub(crate) enum Work {
    /// Makes our public value; the peer's comes later.
    Initiate(Draw),
    /// Makes our public value and the secret from the peer's.
    Respond(Draw, Vec<u8>),
    /// Makes the secret.
    Agree(PrivateValue, Vec<u8>),
    /// Makes our signatures.
    Sign(Signing),
    /// Checks the peer's certificates and signature.
    Verify(Box<Verification>),
}

pub(crate) enum Outcome {
    Initiated(PrivateValue, Vec<u8>),
    Responded(Result<(Vec<u8>, SharedSecret), ExchangeError>),
    Agreed(Result<SharedSecret, ExchangeError>),
    Signed(Result<Vec<Proof>, String>),
    Verified(Result<Proved, String>),
    /// The owner of the endpoint gives addresses.
    Given(Vec<IpAddr>),
}

impl Job {
    /// Which one it is.
    pub fn id(&self) -> JobId {
        self.id
    }

    /// Does it. Takes tens of microseconds to tens of milliseconds, by algorithm.
    pub fn run(self) -> JobDone {
        let outcome = match self.work {
            Work::Initiate(draw) => {
                let (private, public) = draw.initiate();
                Outcome::Initiated(private, public)
            }
            Work::Respond(draw, peer) => Outcome::Responded(draw.respond(&peer)),
            Work::Agree(private, peer) => Outcome::Agreed(private.agree(&peer)),
            Work::Sign(signing) => Outcome::Signed(signing.run()),
            Work::Verify(verification) => Outcome::Verified(verification.run()),
        };
        JobDone { id: self.id, outcome }
    }
}

/// Says what is to be done, not with what.
impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let work = match self.work {
            Work::Initiate(_) => "initiate",
            Work::Respond(..) => "respond",
            Work::Agree(..) => "agree",
            Work::Sign(_) => "sign",
            Work::Verify(_) => "verify",
        };
        write!(f, "Job({}, {work})", self.id.0)
    }
}

impl fmt::Debug for JobDone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JobDone({})", self.id.0)
    }
}
