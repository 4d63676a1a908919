//! ESP, the Encapsulating Security Payload (RFC 4303): one security association (SA) at a time.
//!
//! An [`Outbound`] turns an IP packet into an ESP packet in its frame, an [`Inbound`] the other
//! way round. Both are shared between the tiers that use them: sequence numbers are reserved and
//! the replay window is moved with atomic operations only, so that an SA may move between tiers
//! at any packet without repeating a nonce or opening its window again. Who calls passes the time
//! in and says with `writer` whose counters to use; each writer must be one thread at a time.
//!
//! What a packet can cause is a [`DropReason`](reason::DropReason), never an error. Nothing here
//! allocates once an SA is made, reads a clock or draws randomness.
//!
//! Limits: ICVs of AES-GCM have 16 bytes; no IP compression; no multicast SAs; fragments are
//! refused where RFC 4303 §3.3.4 and §3.4.1 want whole packets, so reassemble before.

#![forbid(unsafe_code)]

mod carrier;
mod headers;
mod inbound;
pub mod nat_t;
mod outbound;
mod parameters;
mod suite;
mod transform;
mod wireshark;

pub use association::{
    Expiry, Fingerprint, KeyMaterial, KeySyntax, Lifetime, Limit, ReplayBitmap, Tally, WRITERS,
};
pub use carrier::{Carrier, classify};
pub use inbound::{Inbound, InboundStatus, Opened};
pub use outbound::{Outbound, OutboundStatus, Overhead};
pub use parameters::{
    DfRule, DscpRule, MAX_REPLAY_WINDOW, MIN_REPLAY_WINDOW, Mode, ParameterError, Parameters,
    UdpEncapsulation,
};
pub use suite::{Family, Suite, SuiteError};
pub use wireshark::wireshark_row;

use reason::DropReason;

/// Bytes of the ESP header: SPI and sequence number (RFC 4303 §2.1, §2.2).
pub const HEADER_LEN: usize = 8;

/// Bytes of the trailer that are always there: pad length and next header (RFC 4303 §2.5, §2.6).
pub const TRAILER_LEN: usize = 2;

/// The largest IP packet there is, in bytes.
pub(crate) const MAX_PACKET: usize = 65_535;

/// What can go wrong with a packet of an SA: a counter for each.
pub(crate) const REASONS: [DropReason; 14] = [
    DropReason::EspMalformed,
    DropReason::EspReplayed,
    DropReason::EspTooOld,
    DropReason::EspIcvFailed,
    DropReason::EspPadMalformed,
    DropReason::EspNextHeaderUnsupported,
    DropReason::EspSaExpired,
    DropReason::EspSequenceExhausted,
    DropReason::EspTooBig,
    DropReason::EspFragment,
    DropReason::EcnInvalid,
    DropReason::Ipv4HeaderInvalid,
    DropReason::Ipv6HeaderInvalid,
    DropReason::IpLengthMismatch,
];
