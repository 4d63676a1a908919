//! What is known of the path below a tunnel: its MTU.
//!
//! An ICMP "too big" is believed when it quotes a packet that the SA has sent lately: SPI, addresses and
//! a sequence number of the last few. Nobody off the path knows those (RFC 4301 §8.2.1).

use core::time::Duration;

use config::model::Tunnel;
use reason::DemotionReason;
use wire::{Time, icmp};

use super::{Child, ChildId};
use crate::{Gateway, packet::Packet};

/// A learnt MTU is forgotten after this time (RFC 1191 §6.3, RFC 8201 §5.3: ten minutes).
const HOLDS: Duration = Duration::from_secs(600);

/// How many packets ago the quoted one may have been sent.
const LATELY: u32 = 1 << 16;

/// No path is narrower (RFC 791 §3.2 with RFC 1191 §5; RFC 8200 §5).
const LEAST: [u16; 2] = [576, 1280];

impl Gateway {
    /// MTU of the path to the far end of a tunnel: of the interface below, or what was learnt.
    pub(crate) fn path_mtu(&self, tunnel: &Tunnel, child: Option<&Child>) -> Option<u16> {
        let (egress, _) = self.underlay(tunnel)?;
        let below = self.interface(egress).mtu;
        let learnt = child.and_then(|child| child.path_mtu).map(|(mtu, _)| mtu);
        Some(learnt.map_or(below, |learnt| learnt.min(below)))
    }

    /// The SA that an ICMP "too big" is about, and the MTU it tells, if it is to be believed.
    pub(crate) fn told_too_big(&self, packet: &Packet) -> Option<(ChildId, u16)> {
        let (bytes, headers) = (packet.frame.bytes(), &packet.headers);
        let told = icmp::announced_mtu(bytes, headers)?;
        let quoted = wire::quoted_esp(bytes, headers)?;
        let id = self.tunnels.sent_with(quoted.spi, quoted.destination, packet.vr)?;
        let child = self.tunnels.child(id)?;
        let sent = child.outbound.sequence() as u32;
        let is_ours = child.outbound.parameters().source == quoted.source
            && sent.wrapping_sub(quoted.sequence) < LATELY;
        let least = LEAST[usize::from(quoted.destination.is_ipv6())];
        is_ours.then_some((id, u16::try_from(told).unwrap_or(u16::MAX).max(least)))
    }

    /// Believes it. Sessions that go through are asked again: their packets must be smaller now.
    pub(crate) fn learn_path_mtu(&mut self, id: ChildId, mtu: u16, now: Time) -> bool {
        let Some(child) = self.tunnels.child(id) else { return false };
        let tunnel = self.config.tunnels.get(usize::from(child.tunnel.0));
        let known = tunnel.and_then(|tunnel| self.path_mtu(tunnel, Some(child)));
        if known.is_none_or(|known| mtu >= known) {
            return false;
        }
        if let Some(child) = self.tunnels.child_mut(id) {
            child.path_mtu = Some((mtu, now));
        }
        self.reevaluate_all(DemotionReason::PathMtuChanged, now);
        true
    }

    /// Forgets what was learnt long ago, so that a path that has grown is used.
    pub(super) fn forget_old_path_mtu(&mut self, id: ChildId, now: Time) {
        let learnt = self.tunnels.child(id).and_then(|child| child.path_mtu);
        if learnt.is_none_or(|(_, at)| now.since(at) < HOLDS) {
            return;
        }
        if let Some(child) = self.tunnels.child_mut(id) {
            child.path_mtu = None;
        }
        self.reevaluate_all(DemotionReason::PathMtuChanged, now);
    }
}
