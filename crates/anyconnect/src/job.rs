//! Expensive work, taken out of the state machine so that it can run on another thread: the
//! handshake of TLS with its signatures, and passwords.

use std::{fmt, sync::Arc};

use zeroize::Zeroizing;

use crate::{
    auth::{Authenticator, CertificateName, Identity, Refused, certificate_name},
    records::record_len,
    tls,
};

/// Names a job; never used twice by one endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub(crate) u64);

/// Work to be run anywhere: it needs nothing of the endpoint. What it gives goes back with
/// [`Endpoint::handle_job_done`](crate::Endpoint::handle_job_done).
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
    /// A connection in its handshake, and what it is to read.
    Handshake(Box<tls::Connection>, Vec<u8>, CertificateName),
    Login(Arc<dyn Authenticator>, Proof),
}

/// What somebody proves a name with.
pub(crate) enum Proof {
    /// A certificate that TLS checked.
    Certificate {
        user: Arc<str>,
    },
    Password {
        user: String,
        password: Zeroizing<String>,
    },
    /// Both, of the same name.
    Both {
        user: String,
        password: Zeroizing<String>,
    },
}

pub(crate) enum Outcome {
    Handshake(Handshaken),
    Login(Result<Identity, Refused>),
}

/// A connection after a step of its handshake.
pub(crate) struct Handshaken {
    pub(crate) tls: Box<tls::Connection>,
    /// What it did not read, because the handshake was over before.
    pub(crate) rest: Vec<u8>,
    /// What it says, also when it failed.
    pub(crate) output: Vec<u8>,
    pub(crate) result: Result<Option<Arc<str>>, HandshakeFailure>,
}

/// TLS was not agreed on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeFailure {
    /// The library says so: no common version or suite, a certificate that is not valid, an alert.
    #[error("{0}")]
    Tls(String),
    /// The client's certificate does not say whose it is.
    #[error(transparent)]
    Name(#[from] crate::auth::CertificateNameError),
}

impl Job {
    /// Which one it is.
    pub fn id(&self) -> JobId {
        self.id
    }

    /// Does it. Takes a millisecond or so for a handshake, tens of them for a password, and as long
    /// as the authenticator does.
    pub fn run(self) -> JobDone {
        let outcome = match self.work {
            Work::Handshake(tls, input, name) => Outcome::Handshake(handshake(tls, input, name)),
            Work::Login(authenticator, proof) => Outcome::Login(match proof {
                Proof::Certificate { user } => authenticator.certified(&user),
                Proof::Password { user, password } => authenticator.password(&user, &password),
                Proof::Both { user, password } => {
                    let certified = authenticator.certified(&user);
                    // asked in any case, so that both failures take the same time
                    authenticator.password(&user, &password).and(certified)
                }
            }),
        };
        JobDone { id: self.id, outcome }
    }
}

fn handshake(mut tls: Box<tls::Connection>, input: Vec<u8>, name: CertificateName) -> Handshaken {
    let mut rest = input.as_slice();
    let mut result = Ok(());
    // what comes after the handshake is left to the endpoint, which reads as much as it has room for
    while tls.is_handshaking()
        && result.is_ok()
        && let Some((record, behind)) = record_len(rest).and_then(|len| rest.split_at_checked(len))
    {
        rest = behind;
        result = tls.read_record(record).map(|_| ());
    }
    let result = result.map_err(HandshakeFailure::Tls).and_then(|()| {
        let certificate = tls.peer_certificates().and_then(<[_]>::first);
        match certificate.filter(|_| !tls.is_handshaking()) {
            Some(der) => Ok(Some(Arc::from(certificate_name(der, name)?))),
            None => Ok(None),
        }
    });
    let rest = rest.to_vec();
    let mut output = Vec::new();
    tls::take_output(&mut tls, &mut output);
    Handshaken { tls, rest, output, result }
}

/// Says what is to be done, not with what.
impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let work = match self.work {
            Work::Handshake(..) => "handshake",
            Work::Login(..) => "login",
        };
        write!(f, "Job({}, {work})", self.id.0)
    }
}

impl fmt::Debug for JobDone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JobDone({})", self.id.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_and_their_endpoint_may_go_to_other_threads() {
        fn goes<T: Send>() {}
        goes::<Job>();
        goes::<JobDone>();
        goes::<crate::Endpoint>();
    }
}
