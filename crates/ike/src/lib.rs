//! IKEv2 (RFC 7296), sans-IO: both roles, any number of peers.
//!
//! Nothing here opens a socket, starts a thread or reads a clock: datagrams and `now` come in,
//! datagrams, events and expensive work go out, and randomness comes from a generator that is passed
//! in. What a peer sends gives a value or a typed error; it never panics, and costs bounded work and
//! memory.
//!
//! [`Endpoint`] is where to begin; [`Connection`] says what a peer may be and have.
//!
//! Limits: no EAP, no MOBIKE (RFC 4555), no AH, no compression. Additional key exchanges are for new
//! IKE SAs only; what is rekeyed stays protected by the old keys, which are mixed in. Transport mode
//! does not go through a NAT (RFC 7296 §2.23.1): the selectors do not meet, and both ends say so.

#![forbid(unsafe_code)]

pub mod algorithm;
pub mod auth;
mod connection;
pub mod crypto;
mod endpoint;
mod error;
mod event;
mod job;
pub mod message;
pub mod proposal;
mod sa;
mod selector;

pub use connection::{
    ChildSettings, Connection, LocalAuth, PpkSettings, RemoteAuth, RequestAddresses, Settings, Side,
};
pub use endpoint::{Command, CommandError, Datagram, Endpoint, IkeView, Kept, Traffic};
pub use error::DecodeError;
pub use event::{
    AddressesWanted, ChildId, ChildSa, DownReason, Event, Failure, IkeId, IkeUp, MessageRecord,
    Path,
};
pub use job::{Job, JobDone, JobId};
pub use sa::{Ignored, Task, Why};
