//! How identities are proved: with what, and here or in a job (RFC 7296 §2.15, RFC 7427).

use std::{borrow::Cow, sync::Arc};

use super::{Context, Opening, payloads::Payloads};
use crate::{
    Connection, LocalAuth, RemoteAuth,
    algorithm::Prf,
    auth::{self, Credential, Identity, METHOD_SHARED_KEY, PrivateKey, Proof, Scheme, Trust},
    job::Work,
    message::{self, Payload},
};

/// Our proofs: made, or to be made by a job.
pub(super) enum Claim {
    Ready(Vec<Proof>),
    Later(Work),
}

/// The peer's proof: checked, or to be checked by a job.
pub(super) enum Check {
    Ready(Result<Proved, String>),
    Later(Work),
}

/// A proof that holds.
pub(crate) struct Proved {
    /// How, in words.
    pub(crate) method: Cow<'static, str>,
}

/// Signatures to be made.
pub(crate) struct Signing {
    key: PrivateKey,
    scheme: Scheme,
    octets: Vec<Vec<u8>>,
}

/// A signature to be checked, and the certificate it is made with.
pub(crate) struct Verification {
    trust: Arc<Trust>,
    certificates: Vec<message::Certificate>,
    identity: Identity,
    unix_time: u64,
    method: u8,
    data: Vec<u8>,
    octets: Vec<u8>,
}

impl Signing {
    pub(crate) fn run(self) -> Result<Vec<Proof>, String> {
        let sign = |octets: &Vec<u8>| self.key.sign(self.scheme, octets);
        self.octets.iter().map(sign).collect::<Result<_, _>>().map_err(|error| error.to_string())
    }
}

impl Verification {
    pub(crate) fn run(self) -> Result<Proved, String> {
        let certificate = self
            .trust
            .verify(&self.certificates, &self.identity, self.unix_time)
            .map_err(|error| error.to_string())?;
        let scheme = auth::verify(&certificate, self.method, &self.data, &self.octets, false)
            .map_err(|error| error.to_string())?;
        Ok(Proved { method: format!("certificate {}, {scheme}", certificate.name()).into() })
    }
}

/// Proves our identity over each of `octets`, as the peer can check it.
pub(super) fn prove(
    connection: &Connection,
    prf: Prf,
    opening: &Opening,
    octets: Vec<Vec<u8>>,
) -> Result<Claim, String> {
    match &connection.local_auth {
        LocalAuth::Psk(key) => {
            let proof =
                |octets: &Vec<u8>| Proof { method: METHOD_SHARED_KEY, data: key.sign(prf, octets) };
            Ok(Claim::Ready(octets.iter().map(proof).collect()))
        }
        LocalAuth::Certificate { credentials, padding } => {
            let credential = wanted(connection, credentials, &opening.authorities);
            let key = credential.ok_or("there is no certificate")?.key().clone();
            let scheme = key.choose(opening.hashes, *padding).map_err(|error| error.to_string())?;
            Ok(Claim::Later(Work::Sign(Signing { key, scheme, octets })))
        }
    }
}

/// The certificates that go with our proof, to a peer that names these authorities.
pub(super) fn certificates(connection: &Connection, authorities: &[[u8; 20]]) -> Vec<Payload> {
    match &connection.local_auth {
        LocalAuth::Psk(_) => Vec::new(),
        LocalAuth::Certificate { credentials, .. } => {
            let credential = wanted(connection, credentials, authorities);
            let payloads = credential.map_or(Vec::new(), Credential::payloads);
            payloads.into_iter().map(Payload::Certificate).collect()
        }
    }
}

/// The first of our certificates that leads to one of these authorities, else the first of all. Whose
/// the hash of an authority is, our own list of authorities tells, or the chain itself.
fn wanted<'c>(
    connection: &Connection,
    credentials: &'c [Credential],
    authorities: &[[u8; 20]],
) -> Option<&'c Credential> {
    let trust = match &connection.remote_auth {
        RemoteAuth::Psk(_) => None,
        RemoteAuth::Certificate(trust) => Some(&**trust),
    };
    let leads = |credential: &&Credential| credential.leads_to(authorities, trust);
    credentials.iter().find(leads).or(credentials.first())
}

/// Asks the peer for a certificate, when it has to have one.
pub(super) fn certificate_request(connection: &Connection) -> Option<Payload> {
    match &connection.remote_auth {
        RemoteAuth::Psk(_) => None,
        RemoteAuth::Certificate(trust) => Some(Payload::CertificateRequest(trust.request())),
    }
}

/// Checks the peer's proof of `identity`: method and data.
pub(super) fn check(
    ctx: &Context<'_>,
    connection: &Connection,
    prf: Prf,
    identity: &Identity,
    (method, data): (u8, &[u8]),
    octets: Vec<u8>,
    payloads: Payloads<'_>,
) -> Check {
    match &connection.remote_auth {
        RemoteAuth::Psk(_) if method != METHOD_SHARED_KEY => Check::Ready(Err(format!(
            "it uses authentication method {method}, where a preshared key is configured"
        ))),
        RemoteAuth::Psk(key) => Check::Ready(if key.verify(prf, &octets, data) {
            Ok(Proved { method: "preshared key".into() })
        } else {
            Err("the preshared keys differ".to_owned())
        }),
        RemoteAuth::Certificate(_) if method == METHOD_SHARED_KEY => Check::Ready(Err(
            "it uses a preshared key, where a certificate is configured".to_owned(),
        )),
        RemoteAuth::Certificate(trust) => {
            let certificates = payloads.0.iter().filter_map(|payload| match payload {
                Payload::Certificate(certificate) => Some(certificate.clone()),
                _ => None,
            });
            Check::Later(Work::Verify(Box::new(Verification {
                trust: trust.clone(),
                certificates: certificates.collect(),
                identity: identity.clone(),
                unix_time: ctx.unix_time(),
                method,
                data: data.to_vec(),
                octets,
            })))
        }
    }
}
