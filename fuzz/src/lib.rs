//! Arbitrary bytes for whatever takes them from others: parsers, and the state machines of IKE and DTLS.
//!
//! Each public function takes bytes and panics when something is wrong with what it feeds them to. It is
//! a target of cargo-fuzz (`README.md` says how to run one), and the tests here run each with its
//! corpus in the usual loop. What it returns says whether the bytes reached anything, so that a corpus
//! that went stale fails its test.

#![forbid(unsafe_code)]

// the two ends of IKE that its own tests have
extern crate ike as lockgate_ike;
// and the endpoint of remote access with its clients
extern crate anyconnect as lockgate_anyconnect;

mod datagrams;
mod endpoint;
mod input;
mod packet;
#[path = "../../crates/ike/tests/pair/mod.rs"]
mod pair;
mod parsers;
mod remote;
#[path = "../../crates/anyconnect/tests/pair/mod.rs"]
mod remote_pair;
mod sealed;

pub use datagrams::{dtls_record, dtls_server};
pub use endpoint::{Reached, ike_endpoint};
pub use parsers::{
    aead_gcm, config_text, esp_open, filter_text, ike_identity, ike_message, remote_cstp,
    remote_http, remote_login, remote_records, wire_packet,
};
pub use remote::remote_endpoint;
