//! What one direction of a security association keeps, whatever its packets look like: sequence
//! numbers, a replay window, lifetimes, counters, key material.
//!
//! ESP and DTLS records are made of these parts. All of them
//! are shared between tiers and changed by atomic operations only, so that an association moves from one
//! tier to another without repeating a number, opening a window or losing a count. Nothing here knows
//! a packet, reads a clock or draws randomness.

#![forbid(unsafe_code)]

mod key;
mod lifetime;
mod replay;
mod sequence;
mod tally;

pub use key::{Fingerprint, KeyMaterial, KeySyntax};
pub use lifetime::{Expiry, Lifetime, Limit, Meter};
pub use replay::{Replay, ReplayBitmap, ReplayError};
pub use sequence::{Reserved, Sequence};
pub use tally::{Tallies, Tally, WRITERS};
