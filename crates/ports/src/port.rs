//! The burst trait and what goes with it.

use wire::Mac;

use crate::Frame;

/// Frames one call of [`Port::receive`] returns at most.
pub const MAX_BURST: usize = 64;

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

impl PortCapabilities {
    /// Those of whoever takes any frame.
    pub const ALL: Self = Self { partial_checksum: true, tso4: true, tso6: true, uso: true };

    /// The capabilities in words, as `show ports` prints them; `none` when there are none.
    pub fn words(&self) -> String {
        let all = [
            (self.partial_checksum, "checksum"),
            (self.tso4, "tso4"),
            (self.tso6, "tso6"),
            (self.uso, "uso"),
        ];
        let have: Vec<_> = all.iter().filter(|(on, _)| *on).map(|(_, word)| *word).collect();
        if have.is_empty() { "none".into() } else { have.join(" ") }
    }
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

impl PortCounters {
    /// Counts a received frame.
    #[inline]
    pub fn count_rx(&mut self, frame: &Frame) {
        let wire = frame.on_wire();
        self.rx_packets += wire.packets;
        self.rx_bytes += wire.bytes;
        self.rx_super += u64::from(frame.offloads.gso.is_some());
    }

    /// Counts a sent frame.
    #[inline]
    pub fn count_tx(&mut self, frame: &Frame) {
        let wire = frame.on_wire();
        self.tx_packets += wire.packets;
        self.tx_bytes += wire.bytes;
        self.tx_super += u64::from(frame.offloads.gso.is_some());
    }
}

/// Over several queues of one port.
impl std::iter::Sum for PortCounters {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |a, b| Self {
            rx_packets: a.rx_packets + b.rx_packets,
            rx_bytes: a.rx_bytes + b.rx_bytes,
            rx_dropped: a.rx_dropped + b.rx_dropped,
            rx_errors: a.rx_errors + b.rx_errors,
            tx_packets: a.tx_packets + b.tx_packets,
            tx_bytes: a.tx_bytes + b.tx_bytes,
            tx_dropped: a.tx_dropped + b.tx_dropped,
            tx_errors: a.tx_errors + b.tx_errors,
            rx_super: a.rx_super + b.rx_super,
            tx_super: a.tx_super + b.tx_super,
        })
    }
}

/// What a port is, in words, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortDescription {
    /// Which kind of attachment: `memory`, `pcap`, `af-packet`, `tap`, `tun`.
    pub mode: String,
    /// What it is attached to: device or file name.
    pub device: String,
    /// Offloads obtained, as [`PortCapabilities::words`].
    pub offloads: String,
    /// What would make it faster or more reliable.
    pub hints: Vec<PortHint>,
}

/// One thing to do about a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortHint {
    /// What is in the way.
    pub why: String,
    /// The command that changes it.
    pub command: String,
}

/// An attachment to the network.
pub trait Port: Send {
    /// Receives up to `max` frames ([`MAX_BURST`] at most) to the end of `into`; returns how many.
    fn receive(&mut self, into: &mut Vec<Frame>, max: usize) -> usize;

    /// Sends frames from the front of `frames`, removing what it took or dropped (and counted).
    /// The caller has already segmented and finished what [`Port::capabilities`] cannot take.
    fn send(&mut self, frames: &mut Vec<Frame>);

    /// What the port takes whole.
    fn capabilities(&self) -> PortCapabilities;

    /// Counters since the port was made.
    fn counters(&self) -> PortCounters;

    /// Link state, as last seen by [`Port::refresh`] or by a failed call.
    fn link(&self) -> LinkState;

    /// A descriptor that becomes readable when frames wait, where there is one. It may change
    /// whenever [`Port::refresh`] runs.
    fn poll_fd(&self) -> Option<std::os::fd::RawFd> {
        None
    }

    /// Looks at the device: link state, address, MTU, kernel drops; attaches again to a device
    /// that had gone and is back. The owner calls it about once a second, off the packet path.
    fn refresh(&mut self) {}

    /// The Ethernet address of the device, where it has one.
    fn mac(&self) -> Option<Mac> {
        None
    }

    /// The largest IP packet the device takes, in bytes, where it has a limit.
    fn mtu(&self) -> Option<u32> {
        None
    }

    /// What the port is, in words.
    fn describe(&self) -> PortDescription;
}
