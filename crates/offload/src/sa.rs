//! What an engine needs to serve one direction of a pair of SAs, or of a DTLS association, which is treated
//! alike.
//!
//! Sequence numbers and replay windows live in the SAs themselves, which both tiers share: an SA
//! that moves between them moves nothing, so no nonce repeats and no window opens again.

use core::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};
use std::sync::Arc;

use wire::{Tuple, proto};

use crate::AdjacencyId;

/// An SA to install.
#[derive(Clone)]
pub enum SaProgram {
    /// What goes out by it is sealed and sent to a next hop.
    Outbound {
        /// The SA.
        sa: Arc<esp::Outbound>,
        /// Next hop of the ESP packets.
        adjacency: AdjacencyId,
    },
    /// What comes in for it is opened and looked up again, as a packet of the tunnel.
    Inbound {
        /// The SA.
        sa: Arc<esp::Inbound>,
        /// Virtual router its packets come in by.
        vr: u16,
        /// Interface of the tunnel: where inner packets come from.
        interface: u16,
        /// Virtual router of that interface.
        inner_vr: u16,
    },
    /// What goes out by it is sealed in a DTLS record and sent to a next hop.
    DtlsOutbound {
        /// What seals.
        sa: Arc<dtls::Outbound>,
        /// Number of the association, for captures.
        number: u32,
        /// Next hop of the records.
        adjacency: AdjacencyId,
    },
    /// Records that come in for it are opened; packets inside are looked up again, as packets of the
    /// client's interface.
    DtlsInbound {
        /// What opens.
        sa: Arc<dtls::Inbound>,
        /// Number of the association, for captures and for what is no packet.
        number: u32,
        /// The datagrams it is found by: what they look like when they come in.
        datagrams: Box<Tuple>,
        /// Virtual router they come in by.
        vr: u16,
        /// Interface of the client: where inner packets come from.
        interface: u16,
        /// Virtual router of that interface.
        inner_vr: u16,
        /// The addresses that inner packets may come from.
        client: ClientAddresses,
    },
}

/// The addresses that were given to a client. Many clients share an interface, and so what comes from one
/// must not pass for what comes from another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientAddresses {
    /// Its IPv4 address.
    pub v4: Option<Ipv4Addr>,
    /// Its IPv6 address.
    pub v6: Option<Ipv6Addr>,
}

impl ClientAddresses {
    /// Whether it is one of them.
    #[inline]
    pub fn has(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => self.v4 == Some(address),
            IpAddr::V6(address) => self.v6 == Some(address),
        }
    }
}

/// What an SA or association is called in captures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaName {
    /// An SA of ESP.
    Esp {
        /// Its SPI.
        spi: u32,
        /// Where its packets go.
        destination: IpAddr,
    },
    /// A DTLS association.
    Dtls {
        /// The number of its client.
        number: u32,
    },
}

impl SaName {
    /// That of an SA.
    pub const fn esp(parameters: &esp::Parameters) -> Self {
        Self::Esp { spi: parameters.spi, destination: parameters.destination }
    }

    /// The SPI, if it has one.
    pub const fn spi(&self) -> Option<u32> {
        match self {
            Self::Esp { spi, .. } => Some(*spi),
            Self::Dtls { .. } => None,
        }
    }
}

impl SaProgram {
    /// What it is called in captures.
    pub fn name(&self) -> SaName {
        let parameters = match self {
            Self::Outbound { sa, .. } => sa.parameters(),
            Self::Inbound { sa, .. } => sa.parameters(),
            Self::DtlsOutbound { number, .. } | Self::DtlsInbound { number, .. } => {
                return SaName::Dtls { number: *number };
            }
        };
        SaName::esp(parameters)
    }

    /// The next hop of an outgoing one.
    pub fn adjacency(&self) -> Option<AdjacencyId> {
        match self {
            Self::Outbound { adjacency, .. } | Self::DtlsOutbound { adjacency, .. } => {
                Some(*adjacency)
            }
            Self::Inbound { .. } | Self::DtlsInbound { .. } => None,
        }
    }
}

/// What the datagrams of an association look like when they come in.
pub fn datagrams_of(path: dtls::Path) -> Tuple {
    Tuple {
        src: path.remote.ip(),
        dst: path.local.ip(),
        src_port: path.remote.port(),
        dst_port: path.local.port(),
        proto: proto::UDP,
    }
}

/// Says which SA it is, and nothing of its keys.
impl fmt::Debug for SaProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = match self {
            Self::Outbound { .. } => "Outbound",
            Self::Inbound { .. } => "Inbound",
            Self::DtlsOutbound { .. } => "DtlsOutbound",
            Self::DtlsInbound { .. } => "DtlsInbound",
        };
        match self.name() {
            SaName::Esp { spi, .. } => write!(f, "{way}({spi:#010x})"),
            SaName::Dtls { number } => write!(f, "{way}(DTLS {number})"),
        }
    }
}
