//! What an engine needs to serve one direction of a pair of SAs.
//!
//! Sequence numbers and replay windows live in the SAs themselves, which both tiers share: an SA
//! that moves between them moves nothing, so no nonce repeats and no window opens again.

use core::fmt;
use std::sync::Arc;

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
}

impl SaProgram {
    /// The SPI.
    pub fn spi(&self) -> u32 {
        match self {
            Self::Outbound { sa, .. } => sa.parameters().spi,
            Self::Inbound { sa, .. } => sa.parameters().spi,
        }
    }
}

/// Says which SA it is, and nothing of its keys.
impl fmt::Debug for SaProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = match self {
            Self::Outbound { .. } => "Outbound",
            Self::Inbound { .. } => "Inbound",
        };
        write!(f, "{way}({:#010x})", self.spi())
    }
}
