//! How many strangers the gateway listens to: a flood of first messages from addresses that nobody has
//! must not take what forwarding needs, nor fill the session table.
//!
//! There is a bucket for sessions of addresses that no peer is configured with, one for their first
//! messages, and one for first messages of addresses that a peer has. What is beyond them is dropped
//! before it costs much. Peers that are up are not concerned: their messages have a session and are no
//! first ones. Limit: a peer at any address shares its buckets with the flood, and gets through by
//! sending again.

use std::{collections::BTreeSet, net::IpAddr};

use ::ike::message::{ExchangeType, Header};
use config::model::VrId;
use wire::{Time, Tuple};

use super::PORTS;
use crate::{Gateway, local::Bucket, packet::Packet};

/// First messages that are taken in a second, and new sessions of strangers.
const RATE: u32 = 2_000;
/// How many may come at once.
const BURST: i64 = 500;

/// What is left of it.
pub(super) struct Limits {
    /// Addresses that peers are configured with.
    pub(super) known: BTreeSet<IpAddr>,
    sessions: Bucket,
    unknown: Bucket,
    configured: Bucket,
}

impl Default for Limits {
    fn default() -> Self {
        let full = Bucket::full(BURST);
        Self { known: BTreeSet::new(), sessions: full, unknown: full, configured: full }
    }
}

impl Gateway {
    /// Whether a packet to the gateway itself may have a session, as far as IKE is concerned.
    pub(crate) fn may_open_to_ike(&mut self, vr: VrId, tuple: &Tuple, now: Time) -> bool {
        self.ike_listener(vr, tuple).is_none() || self.ike.limits.known.contains(&tuple.src) || {
            self.ike.limits.sessions.draw(RATE, BURST, now)
        }
    }

    /// Whether a datagram for IKE is looked at: all but first messages beyond the limits.
    pub(crate) fn listens_to(&mut self, packet: &Packet, now: Time) -> bool {
        let tuple = packet.headers.tuple;
        let bytes = payload(packet);
        let marker = if tuple.dst_port == PORTS[1] { esp::nat_t::NON_ESP_MARKER.len() } else { 0 };
        let header = bytes.get(marker..).map(Header::decode);
        let first = matches!(&header, Some(Ok((header, ..)))
            if header.exchange == ExchangeType::IkeSaInit && !header.is_response);
        let limits = &mut self.ike.limits;
        !first
            || if limits.known.contains(&tuple.src) {
                limits.configured.draw(RATE, BURST, now)
            } else {
                limits.unknown.draw(RATE, BURST, now)
            }
    }
}

/// What a datagram carries.
pub(super) fn payload(packet: &Packet) -> &[u8] {
    let headers = &packet.headers;
    let bytes = packet.frame.bytes().get(usize::from(headers.payload)..headers.end as usize);
    bytes.unwrap_or_default()
}
