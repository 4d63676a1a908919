//! What the fast path needs to serve one direction of a session, already computed.

use wire::{Mac, Rewrite, Tuple, VlanId};

use crate::{EpochRef, Handle};

/// Which direction of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// From the one who opened it.
    Original,
    /// Back to the one who opened it.
    Reply,
}

impl Direction {
    /// Both, original first.
    pub const BOTH: [Self; 2] = [Self::Original, Self::Reply];

    /// 0 for original, 1 for reply.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The other one.
    pub const fn opposite(self) -> Self {
        match self {
            Self::Original => Self::Reply,
            Self::Reply => Self::Original,
        }
    }

    /// `original` or `reply`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Original => "original",
            Self::Reply => "reply",
        }
    }
}

/// Where an adjacency stands in the engine's table of next hops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AdjacencyId(pub u32);

/// A resolved next hop: all of layer 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adjacency {
    /// Index of the outgoing port.
    pub port: u16,
    /// Outgoing interface, for counters.
    pub interface: u16,
    /// Source MAC.
    pub src: Mac,
    /// Destination MAC.
    pub dst: Mac,
    /// 802.1Q tag to send with.
    pub vlan: Option<VlanId>,
    /// IP MTU of the interface.
    pub mtu: u16,
}

/// One direction of a session, compiled. Nothing in it has to be looked up again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FlowProgram {
    /// What packets of this direction look like when they come in.
    pub key: Tuple,
    /// Virtual router the key belongs to; part of the key.
    pub vr: u16,
    /// Interface they are expected on; others punt with `ingress-moved`.
    pub ingress: u16,
    /// The change to make.
    pub rewrite: Rewrite,
    /// Next hop; not looked at where there is an SA.
    pub adjacency: AdjacencyId,
    /// The outgoing SA that seals packets after the change; its ESP packets have a next hop of their
    /// own.
    pub sa: Option<Handle>,
    /// Largest IP packet for this flow in bytes: the interface's MTU or a smaller path MTU.
    pub mtu: u16,
    /// Shared TCP window state and our side in it, where windows are checked.
    pub tcp_window: Option<u32>,
    /// Session this belongs to.
    pub session: u32,
    /// Which direction of it.
    pub direction: Direction,
    /// What it was compiled from; it is stale once this has moved on.
    pub epoch: EpochRef,
    /// What the flow is worth to the engine when room is short: its recent packets per second, as
    /// the slow path estimates them.
    pub worth: u32,
}
