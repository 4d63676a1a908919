//! Remote access for AnyConnect and openconnect clients, sans-IO: TLS, HTTP, logins, CSTP, and DTLS beside.
//!
//! A client logs in by documents over HTTPS and gets a cookie; with it, it asks for a tunnel by CONNECT.
//! From then on the same connection carries packets in frames (CSTP), and a DTLS association that gets its
//! keys from it carries them faster where UDP passes. [`Endpoint`] is where to begin: bytes of connections,
//! datagrams and `now` come in; bytes, datagrams, events and expensive work go out. Addresses are the
//! owner's to give. See draft-mavrogiannopoulos-openconnect-04.
//!
//! What strangers send gives a value or a typed error, costs bounded work and keeps bounded memory: a
//! client that does not read gets no more packets, one that sends too fast has to wait, and who guesses
//! passwords is locked out.
//!
//! Limits: no compression, no DTLS before 1.2, no rekeying inside of a TLS connection but by KeyUpdate
//! of TLS 1.3 (clients make a new tunnel instead), no host scan, no downloads. TLS draws its randomness from the operating system, so
//! a run with it does not repeat bit for bit.

#![forbid(unsafe_code)]

pub mod auth;
pub mod cstp;
mod endpoint;
mod event;
mod form;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod http;
mod job;
mod records;
mod settings;
#[cfg(test)]
mod testing;
mod tls;
mod tunnel;
mod xml;

pub use endpoint::{
    AssociationSummary, ClientState, ClientView, ConnectionRefused, Endpoint, NotSent, Packets,
    Stats,
};
pub use event::{
    AddressWanted, AssociationEnd, AssociationFailure, AssociationReady, Channel, ClientId, ConnId,
    Connected, Counts, Event, LoginFailure, Reason,
};
pub use http::HttpError;
pub use job::{HandshakeFailure, Job, JobDone, JobId};
pub use settings::{Grant, Group, Limits, LoginMethod, Settings, TunnelSettings};
pub use tls::{Authorities, ClientCertificates, Tls, TlsError};
