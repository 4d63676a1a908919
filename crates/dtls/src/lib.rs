//! DTLS 1.2 (RFC 6347) for remote access, sans-IO: the server of two handshakes, and the record layer.
//!
//! The handshakes are those that AnyConnect clients use, whose secrets come from the TLS channel beside:
//! PSK (RFC 4279, RFC 5487, RFC 7905) and the abbreviated one with a master secret that both know
//! already. Neither has certificates, key exchange or long messages, so there is no fragmentation.
//! [`Server`] is where to begin: datagrams and `now` come in, datagrams and events go out, secrets are
//! looked up by session ID in what the owner passes. What strangers send gives a value or a typed error, costs
//! bounded work, and keeps no memory before they have shown a cookie.
//!
//! What an association protects its records with are two objects that every tier shares by `Arc`,
//! [`Outbound`] and [`Inbound`]; see [`record`].
//!
//! Limits: no DTLS 1.0 (or Cisco's version before it), no CBC, no compression, no renegotiation, no
//! fragments, no connection IDs; each is refused by name.

#![forbid(unsafe_code)]

pub mod message;
pub mod record;
mod schedule;
mod server;
mod suite;

pub use record::{Exception, Inbound, Opened, Outbound};
pub use server::{
    AssociationId, AssociationView, CloseReason, Datagram, Event, Failure, Ignored, Mode, Path,
    Refusal, Secret, SendError, Server, Settings,
};
pub use suite::{Hash, Suite};
