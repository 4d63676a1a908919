//! IKE messages as bytes (RFC 7296 §3): decoding what anybody may have sent, and encoding.
//!
//! Decoding checks structure and leaves meaning to its readers: numbers we do not know stay numbers.
//! Every list has a limit, so that a datagram costs work and memory in proportion to its size.

mod chain;
mod configuration;
mod header;
mod notify;
mod payload;
mod proposals;
mod reader;
mod selectors;
mod summary;
#[cfg(test)]
mod tests;

pub use chain::{Message, decode_chain, encode_chain};
pub use configuration::{
    Configuration, ConfigurationAttribute, ConfigurationKind, attribute as configuration_attribute,
};
pub(crate) use header::VERSION;
pub use header::{ExchangeType, HEADER_LEN, Header};
pub use notify::{Notify, notify_name, notify_type};
pub use payload::{
    Certificate, CertificateRequest, Delete, EncryptedFragment, Identification, KeyExchange,
    Payload, payload_type,
};
pub use proposals::{KEY_LENGTH, Proposal, Transform, protocol};
pub use selectors::TrafficSelector;

/// Payloads of one message that we look at.
pub const MAX_PAYLOADS: usize = 64;
/// Proposals in a security association payload that we look at.
pub const MAX_PROPOSALS: usize = 64;
/// Transforms of one proposal that we look at: the count has one byte.
pub const MAX_TRANSFORMS: usize = 255;
/// Traffic selectors in one payload that we look at: the count has one byte.
pub const MAX_SELECTORS: usize = 255;
/// SPIs in one delete payload that we look at.
pub const MAX_DELETED: usize = 256;
/// Attributes in one configuration payload that we look at.
pub const MAX_ATTRIBUTES: usize = 64;
/// The longest message, in bytes, that a header can mean here: what fits into a UDP datagram.
pub const MAX_MESSAGE: usize = 65_507;
