//! What is in a frame: checked views, emitters, checksums, rewriting, fragmentation, segmentation.
//!
//! Everything here is a pure function of bytes. Any byte string gives a value or a typed
//! [`DropReason`](reason::DropReason); nothing panics, allocates without bound or keeps state.
//! The crate also holds the small value types every other crate speaks: [`Mac`], [`Time`],
//! [`Tuple`].

#![forbid(unsafe_code)]

pub mod arp;
pub mod build;
mod bytes;
pub mod checksum;
pub mod ecn;
pub mod emit;
pub mod fragment;
pub mod gre;
pub mod gro;
pub mod gso;
pub mod icmp;
pub mod nd;
pub mod outer;
mod parse;
mod quote;
pub mod rewrite;
pub mod tcp;
mod types;
pub mod vxlan;

pub use parse::{Fragmentation, Headers, IpVersion, L3, parse, parse_into, verify_l4_checksum};
pub use quote::{QuotedEsp, QuotedOverlay, quoted_esp, quoted_overlay};
pub use rewrite::Rewrite;
pub use types::{Mac, Time, Tuple, VlanId, proto};
