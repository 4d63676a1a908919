//! What is known of the path below a tunnel: its MTU, and what is done with packets too large for it.
//!
//! An ICMP "too big" is believed when it quotes a packet that the SA has sent lately: SPI, addresses and
//! a sequence number of the last few. Nobody off the path knows those (RFC 4301 §8.2.1).

use core::{net::IpAddr, time::Duration};

use config::model::{Fragmentation, IfId, Tunnel, TunnelId};
use reason::DemotionReason;
use wire::{Time, icmp};

use super::{Child, ChildId, MOST_NESTED, Wrapped};
use crate::{Gateway, packet::Packet};

/// A learnt MTU is forgotten after this time (RFC 1191 §6.3, RFC 8201 §5.3: ten minutes).
pub(super) const HOLDS: Duration = Duration::from_secs(600);

/// How many packets ago the quoted one may have been sent.
const LATELY: u32 = 1 << 16;

/// What every link carries of IPv6 (RFC 8200 §5), in bytes.
const LEAST_V6: u16 = 1280;

/// No path to an address is narrower (RFC 791 §3.2 with RFC 1191 §5; RFC 8200 §5), in bytes.
pub(super) const fn least(destination: IpAddr) -> u16 {
    match destination {
        IpAddr::V4(_) => 576,
        IpAddr::V6(_) => LEAST_V6,
    }
}

/// What became of packets because of their size.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sizes {
    /// Cut before they were sealed.
    pub before: Cut,
    /// Sealed whole, and the ESP packets cut.
    pub after: Cut,
    /// ESP packets that came in fragments.
    pub reassembled: u64,
    /// ICMP "too big" sent to those who sent packets into the tunnel.
    pub told: u64,
    /// ICMP "too big" about what the SA sent that were believed.
    pub believed: u64,
    /// Such that were not: they quote nothing that was sent lately.
    pub doubted: u64,
}

/// Packets that were cut.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cut {
    /// How many.
    pub packets: u64,
    /// Into how many.
    pub fragments: u64,
}

impl Cut {
    pub(crate) const fn count(&mut self, fragments: usize) {
        self.packets += 1;
        self.fragments += fragments as u64;
    }
}

impl Gateway {
    /// Up to how many bytes a packet that leaves by a tunnel is sealed whole and cut after: where the
    /// tunnel wants that, and the outer header will not forbid it. The outer packet is our own, so over IPv6 it may be
    /// cut whatever is inside (RFC 8200 §4.5). In transport mode it is still the sender's, and only
    /// whole packets are sealed, so they are always cut after (RFC 4303 §3.3.4).
    pub(crate) fn sealed_whole(&self, interface: IfId, packet: &Packet) -> Option<u16> {
        let (id, tunnel) = self.tunnel_of(interface)?;
        let ipsec = tunnel.ipsec()?;
        let child = self.tunnels.sending(id, &self.leaving_tuple(packet));
        let child = child.and_then(|id| self.tunnels.child(id));
        let mode = child.map_or(ipsec.mode, |child| child.outbound.parameters().mode);
        let outer_df = match (mode, ipsec.df) {
            (esp::Mode::Tunnel, _) if tunnel.local.is_ipv6() => false,
            // what its sender has cut once may be cut again
            (esp::Mode::Transport, _) => packet.headers.df && packet.reassembled.is_none(),
            (esp::Mode::Tunnel, esp::DfRule::Copy) => packet.headers.df,
            (esp::Mode::Tunnel, esp::DfRule::Set) => true,
            (esp::Mode::Tunnel, esp::DfRule::Clear) => false,
        };
        match (mode, ipsec.fragmentation) {
            (_, _) if outer_df => None,
            (esp::Mode::Transport, _) => Some(u16::MAX),
            (esp::Mode::Tunnel, Fragmentation::After) => Some(self.interface(interface).mtu),
            (esp::Mode::Tunnel, Fragmentation::Before) => None,
        }
    }

    /// Largest packet of the version of this one that leaves by an interface in one piece:
    /// [`Gateway::exit_mtu`]. A link carries IPv6 packets of 1280 bytes whatever its path, so what GRE
    /// and VXLAN make of those is cut where it must (RFC 8200 §5, RFC 4213 §3.2.2).
    pub(crate) fn exit_mtu_of(&self, interface: IfId, packet: &Packet) -> u16 {
        let mtu = self.exit_mtu(interface);
        let overlay = self.tunnel_of(interface).is_some_and(|(_, it)| it.ipsec().is_none());
        match overlay && packet.headers.tuple.is_v6() {
            true => mtu.max(LEAST_V6.min(self.interface(interface).mtu)),
            false => mtu,
        }
    }

    /// Whether a packet has an outer header of ours, with what its SA has learnt of the path.
    pub(crate) fn outer(&self, packet: &Packet) -> Option<Option<u16>> {
        let child = match packet.wrapped? {
            Wrapped::Sa(child) => self.tunnels.child(child)?,
            Wrapped::Client(_) => return Some(None),
            Wrapped::Overlay(id) => {
                return Some(self.overlays.get(id)?.path_mtu.map(|(mtu, _)| mtu));
            }
        };
        let is_ours = child.outbound.parameters().mode == esp::Mode::Tunnel;
        is_ours.then(|| child.path_mtu.map(|(mtu, _)| mtu))
    }

    /// MTU of the path to the far end of a tunnel: of the interface below, or what was learnt.
    pub(crate) fn path_mtu(&self, id: TunnelId, tunnel: &Tunnel) -> Option<u16> {
        self.path_mtu_within(id, tunnel, MOST_NESTED)
    }

    /// The same of a pair of SAs.
    pub(crate) fn sa_path_mtu(&self, child: &Child) -> Option<u16> {
        self.sa_path_mtu_within(child, MOST_NESTED)
    }

    /// The same, looking at `depth` tunnels below one another at most.
    pub(super) fn path_mtu_within(&self, id: TunnelId, tunnel: &Tunnel, depth: u8) -> Option<u16> {
        if let Some(child) = self.tunnels.senders(id).first() {
            return self.sa_path_mtu_within(self.tunnels.child(*child)?, depth);
        }
        let depth = depth.checked_sub(1)?;
        let (egress, _) = self.underlay(tunnel)?;
        let below = self.exit_mtu_within(egress, depth);
        let told = self.overlays.get(id).and_then(|overlay| overlay.path_mtu);
        Some(told.map_or(below, |(mtu, _)| mtu.min(below)))
    }

    pub(super) fn sa_path_mtu_within(&self, child: &Child, depth: u8) -> Option<u16> {
        let depth = depth.checked_sub(1)?;
        let (egress, _) = self.underlay_of_sa(child)?;
        let below = self.exit_mtu_within(egress, depth);
        Some(child.path_mtu.map_or(below, |(mtu, _)| mtu.min(below)))
    }

    /// The SA that an ICMP "too big" is about, and the MTU it tells if it is to be believed.
    pub(crate) fn told_too_big(&self, packet: &Packet) -> Option<(ChildId, Option<u16>)> {
        let (bytes, headers) = (packet.frame.bytes(), &packet.headers);
        let told = icmp::announced_mtu(bytes, headers)?;
        let quoted = wire::quoted_esp(bytes, headers)?;
        let id = self.tunnels.sent_with(quoted.spi, quoted.destination, packet.vr)?;
        let child = self.tunnels.child(id)?;
        let sent = child.outbound.sequence() as u32;
        let is_ours = child.outbound.parameters().source == quoted.source
            && sent.wrapping_sub(quoted.sequence) < LATELY;
        let least = least(quoted.destination);
        Some((id, is_ours.then(|| u16::try_from(told).unwrap_or(u16::MAX).max(least))))
    }

    /// Believes it. Sessions that go through are asked again: their packets must be smaller now.
    pub(crate) fn learn_path_mtu(&mut self, id: ChildId, mtu: u16, now: Time) -> bool {
        let Some(child) = self.tunnels.child(id) else { return false };
        let known = self.sa_path_mtu(child);
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
