//! What an SA is made from, and what is refused.

use std::{fmt, net::IpAddr};

use crate::{KeyMaterial, Lifetime, Suite};

/// The smallest replay window, in packets.
pub const MIN_REPLAY_WINDOW: u32 = 32;
/// The largest replay window, in packets.
pub const MAX_REPLAY_WINDOW: u32 = 8192;
/// SPIs below are reserved (RFC 4303 §2.1).
const FIRST_SPI: u32 = 256;

/// What an SA protects (RFC 4301 §3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// Whole IP packets inside a new one.
    Tunnel,
    /// The payload of an IP packet, which keeps its header.
    Transport,
}

/// ESP in UDP (RFC 3948).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpEncapsulation {
    /// Source port of what is sent.
    pub source_port: u16,
    /// Destination port of what is sent.
    pub destination_port: u16,
}

/// Where the DSCP of an outer header comes from (RFC 4301 §8.1). ECN follows RFC 6040 always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DscpRule {
    /// From the inner header.
    #[default]
    Copy,
    /// It is this, 0 to 63.
    Set(u8),
}

/// Where the DF bit of an outer IPv4 header comes from (RFC 4301 §8.1). IPv6 packets inside count
/// as having it set, since no router may fragment them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DfRule {
    /// From the inner header.
    #[default]
    Copy,
    /// Set.
    Set,
    /// Clear: routers on the way may fragment.
    Clear,
}

/// `tunnel` or `transport`.
impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Tunnel => "tunnel",
            Self::Transport => "transport",
        })
    }
}

/// `copy`, or the number.
impl fmt::Display for DscpRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Copy => f.pad("copy"),
            Self::Set(dscp) => write!(f, "{dscp}"),
        }
    }
}

/// `copy`, `set` or `clear`.
impl fmt::Display for DfRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Copy => "copy",
            Self::Set => "set",
            Self::Clear => "clear",
        })
    }
}

/// One direction of a security association.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// Security Parameters Index, 256 and up.
    pub spi: u32,
    /// Algorithms.
    pub suite: Suite,
    /// Keys, as long as the suite wants.
    pub key: KeyMaterial,
    /// Tunnel or transport.
    pub mode: Mode,
    /// Outer source address; of the same version as the destination.
    pub source: IpAddr,
    /// Outer destination address.
    pub destination: IpAddr,
    /// Whether packets travel in UDP. What comes in is taken either way (RFC 7296 §2.23).
    pub encapsulation: Option<UdpEncapsulation>,
    /// Extended sequence numbers of 64 bits (RFC 4303 §2.2.1).
    pub esn: bool,
    /// Packets the replay window spans: 0 turns the check off, otherwise [`MIN_REPLAY_WINDOW`] to
    /// [`MAX_REPLAY_WINDOW`].
    pub replay_window: u32,
    /// When a replacement should be asked for.
    pub soft: Lifetime,
    /// When the SA ends.
    pub hard: Lifetime,
    /// DSCP of the outer header, in tunnel mode.
    pub dscp: DscpRule,
    /// DF bit of the outer IPv4 header, in tunnel mode.
    pub df: DfRule,
    /// Traffic flow confidentiality: inner packets that are shorter are padded to this many bytes
    /// (RFC 4303 §2.7). Tunnel mode only: there the inner packet says its own length.
    pub pad_to: Option<u16>,
    /// TTL or hop limit of the outer header, in tunnel mode.
    pub hop_limit: u8,
    /// Whether a suite that does not encrypt is meant.
    pub allow_null: bool,
}

/// An SA cannot be made from these parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParameterError {
    /// The SPI is one of the reserved ones.
    #[error("SPI {0:#x} is reserved; the first free one is 0x100 (RFC 4303 §2.1)")]
    SpiReserved(u32),
    /// The key has the wrong length.
    #[error("{suite} takes {wanted} bytes of key material, not {got}")]
    KeyLength {
        /// The suite.
        suite: Suite,
        /// Bytes it takes.
        wanted: usize,
        /// Bytes there were.
        got: usize,
    },
    /// A library would not take the key.
    #[error("{0}")]
    Key(#[from] aead::KeyError),
    /// The suite does not encrypt and nobody said that is meant.
    #[error("{0} does not encrypt; it is for tests and must be allowed by itself")]
    NullNotAllowed(Suite),
    /// Source and destination are of different IP versions.
    #[error("source {0} and destination {1} are of different IP versions")]
    MixedVersions(IpAddr, IpAddr),
    /// The replay window has a size that is not supported.
    #[error("a replay window has 0 (off) or 32 to 8192 packets, not {0}")]
    ReplayWindow(u32),
    /// A UDP port is zero.
    #[error("the ports of UDP encapsulation cannot be zero")]
    PortZero,
    /// The DSCP does not fit in six bits.
    #[error("a DSCP is 0 to 63, not {0}")]
    Dscp(u8),
    /// Packets would never leave the gateway.
    #[error("the hop limit cannot be zero")]
    HopLimitZero,
    /// TFC padding in transport mode.
    #[error("TFC padding needs tunnel mode (RFC 4303 §2.7)")]
    PadInTransport,
    /// The SA would end before its replacement is asked for.
    #[error("the soft lifetime in {0} is longer than the hard one")]
    SoftBeyondHard(&'static str),
}

impl Parameters {
    /// Finds the first thing that is wrong, keys aside from their length.
    pub fn check(&self) -> Result<(), ParameterError> {
        if self.spi < FIRST_SPI {
            return Err(ParameterError::SpiReserved(self.spi));
        }
        let (suite, wanted, got) = (self.suite, self.suite.key_len(), self.key.len());
        if wanted != got {
            return Err(ParameterError::KeyLength { suite, wanted, got });
        }
        if suite.is_null() && !self.allow_null {
            return Err(ParameterError::NullNotAllowed(suite));
        }
        if self.source.is_ipv4() != self.destination.is_ipv4() {
            return Err(ParameterError::MixedVersions(self.source, self.destination));
        }
        let window = self.replay_window;
        if window != 0 && !(MIN_REPLAY_WINDOW..=MAX_REPLAY_WINDOW).contains(&window) {
            return Err(ParameterError::ReplayWindow(window));
        }
        if self.encapsulation.is_some_and(|e| e.source_port == 0 || e.destination_port == 0) {
            return Err(ParameterError::PortZero);
        }
        if let DscpRule::Set(dscp @ 64..) = self.dscp {
            return Err(ParameterError::Dscp(dscp));
        }
        if self.hop_limit == 0 {
            return Err(ParameterError::HopLimitZero);
        }
        if self.pad_to.is_some() && self.mode == Mode::Transport {
            return Err(ParameterError::PadInTransport);
        }
        let beyond = |soft: Option<u64>, hard: Option<u64>| matches!((soft, hard), (Some(soft), Some(hard)) if soft > hard);
        for (soft, hard, unit) in [
            (self.soft.packets, self.hard.packets, "packets"),
            (self.soft.bytes, self.hard.bytes, "bytes"),
            (self.soft.seconds, self.hard.seconds, "seconds"),
        ] {
            if beyond(soft, hard) {
                return Err(ParameterError::SoftBeyondHard(unit));
            }
        }
        Ok(())
    }
}
