//! The record layer (RFC 6347 §4.1) of an association that stands: epoch 1, one AEAD key each way.
//!
//! [`Outbound`] and [`Inbound`] are shared by whoever serves the association, as SAs are: numbers are
//! reserved and the replay window is moved by atomic operations only. Each has two kinds of methods: one works on
//! a [`Frame`](ports::Frame) that holds a whole IP packet, for application data that carries packets
//! ([`PACKET`] in front, as AnyConnect has it); the other on the bytes of one record, for all else.

mod header;
mod inbound;
mod keys;
mod outbound;

pub use header::{ContentType, Header, Records, VERSION};
pub use inbound::{Exception, Inbound, InboundStatus, Opened, check};
pub use keys::RecordKeys;
pub use outbound::{Outbound, OutboundStatus};

use reason::DropReason;

/// Bytes of a record's header (RFC 6347 §4.1).
pub const HEADER_LEN: usize = 13;

/// The most bytes of application data in a record (RFC 5246 §6.2.1).
pub const MAX_PLAINTEXT: usize = 1 << 14;

/// First byte of application data that carries an IP packet (draft-mavrogiannopoulos-openconnect §2.3).
pub const PACKET: u8 = 0;

/// The epoch of everything that is protected: there is no renegotiation.
pub const EPOCH: u16 = 1;

/// Record numbers have 48 bits. Inside they are counted from 1, so this is also the last.
const NUMBERS: u64 = 1 << 48;

/// What can go wrong with a record: a counter for each.
const REASONS: [DropReason; 8] = [
    DropReason::DtlsMalformed,
    DropReason::DtlsReplayed,
    DropReason::DtlsTooOld,
    DropReason::DtlsBadRecordMac,
    DropReason::DtlsNumbersExhausted,
    DropReason::DtlsTooBig,
    DropReason::DtlsContentUnsupported,
    DropReason::DtlsEpochUnknown,
];

/// Bytes of the IP packet in a record, if there is one.
fn packet_len(content: ContentType, text: &[u8]) -> Option<u64> {
    match (content, text) {
        (ContentType::ApplicationData, [PACKET, packet @ ..]) if !packet.is_empty() => {
            Some(packet.len() as u64)
        }
        _ => None,
    }
}
