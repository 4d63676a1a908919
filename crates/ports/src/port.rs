//! The burst trait.

use crate::Frame;

/// Which port of the gateway, counted from zero in the order of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortId(pub u16);

/// What a port can take in one frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortCapabilities {
    /// Frames with an unfinished transport checksum.
    pub partial_checksum: bool,
    /// TCP super-packets over IPv4.
    pub tso4: bool,
    /// TCP super-packets over IPv6.
    pub tso6: bool,
    /// UDP super-packets.
    pub uso: bool,
}

/// Whether frames can pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// Up.
    Up,
    /// No carrier, or administratively down in the kernel.
    Down,
    /// The device is gone; the port comes back when the device does.
    Gone,
}

/// What a port counted. A super-packet counts as the packets it stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortCounters {
    /// Packets received.
    pub rx_packets: u64,
    /// Bytes received, Ethernet header included.
    pub rx_bytes: u64,
    /// Frames the port could not receive (no buffer, kernel drop).
    pub rx_dropped: u64,
    /// Frames received with a broken offload header.
    pub rx_errors: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Bytes sent, Ethernet header included.
    pub tx_bytes: u64,
    /// Frames not sent because the queue was full or the link down.
    pub tx_dropped: u64,
    /// Frames the kernel refused.
    pub tx_errors: u64,
    /// Received frames that were super-packets.
    pub rx_super: u64,
    /// Sent frames that were super-packets.
    pub tx_super: u64,
}

/// An attachment to the network.
pub trait Port: Send {
    /// Receives up to `max` frames (64 at most) to the end of `into`; returns how many.
    fn receive(&mut self, into: &mut Vec<Frame>, max: usize) -> usize;

    /// Sends frames from the front of `frames`, removing what it took or dropped (and counted).
    /// The caller has already segmented and finished what [`Port::capabilities`] cannot take.
    fn send(&mut self, frames: &mut Vec<Frame>);

    /// What the port takes whole.
    fn capabilities(&self) -> PortCapabilities;

    /// Counters since the port was made.
    fn counters(&self) -> PortCounters;

    /// Link state, as last seen.
    fn link(&self) -> LinkState;

    /// A descriptor that becomes readable when frames wait, where there is one.
    fn poll_fd(&self) -> Option<std::os::fd::RawFd> {
        None
    }
}
