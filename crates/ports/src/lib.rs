//! Attachments to the network behind one burst trait, and the frame pool.
//!
//! A [`Port`] receives and sends bursts of [`Frame`]s. What is in a frame is no business of this
//! crate, with one exception: ports speak virtio-net headers, so a frame carries its checksum
//! state and, when it is a super-packet, its segment size ([`Offloads`]).

mod frame;
mod port;

pub use frame::{Checksum, Frame, FramePool, Gso, GsoKind, HEADROOM, Offloads};
pub use port::{LinkState, Port, PortCapabilities, PortCounters, PortId};
