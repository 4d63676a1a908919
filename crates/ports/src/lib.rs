//! Attachments to the network behind one burst trait, and the frame pool.
//!
//! A [`Port`] receives and sends bursts of [`Frame`]s. What is in a frame is no business of this
//! crate, with one exception: ports speak virtio-net headers, so a frame carries its checksum
//! state and, when it is a super-packet, its segment size ([`Offloads`]), and a super-packet's
//! headers are read to count the packets it stands for.

mod coalesce;
mod error;
mod ethtool;
mod frame;
pub mod huge;
pub mod memif;
pub mod memory;
pub mod packet;
pub mod pcap;
mod pool;
mod port;
mod prefetch;
mod segment;
mod shared;
mod spread;
mod sys;
pub mod tuntap;
mod virtio;
pub mod xdp;

pub use coalesce::Coalescer;
pub use error::PortError;
pub use frame::{Checksum, Frame, Gso, GsoKind, HEADROOM, Offloads, OnWire};
pub use pool::{FrameClass, FramePool, LARGE_ROOM, SMALL_ROOM};
pub use port::{
    LinkState, MAX_BURST, Port, PortCapabilities, PortCounters, PortDescription, PortHint, PortId,
};
pub use prefetch::{prefetch, prefetch_range, words_of};
pub use segment::segment;
pub use spread::spread;
