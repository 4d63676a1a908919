//! IKEv2 (RFC 7296), sans-IO: both roles, any number of peers.
//!
//! Nothing here opens a socket, starts a thread or reads a clock: datagrams and `now` come in,
//! datagrams, events and expensive work go out, and randomness comes from a generator that is passed
//! in. What a peer sends gives a value or a typed error; it never panics, and costs bounded work and
//! memory.

#![forbid(unsafe_code)]

pub mod algorithm;
pub mod auth;
pub mod crypto;
mod error;
pub mod message;

pub use error::DecodeError;
