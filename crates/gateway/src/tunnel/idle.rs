//! What a tunnel sends while it is silent: NAT keepalives (RFC 3948 §2.3) and dummy packets
//! (RFC 4303 §2.6).
//!
//! Silent is a tunnel that no tier has sent by: SAs remember when they last sealed, whoever did. Each
//! tunnel that asks for one has a deadline, so cost follows those, and a deadline that comes late is
//! not made up for.

use core::time::Duration;

use config::{
    Config,
    model::{IfId, Ipsec, TunnelId},
};
use ports::{Frame, PortId};
use reason::{DropReason, PuntCause};
use wire::Time;

use super::{Child, ChildId, SLOW_PATH, Wrapped, wrap::put_blank_ethernet};
use crate::{
    Gateway,
    deadlines::Deadlines,
    packet::{Destination, Origin, Packet, Tier},
};

/// Deadlines of a kind that are served in one call.
const AT_ONCE: usize = 256;

/// Bytes in a dummy whose tunnel does not pad, when there is room: a small packet, like many.
const DUMMY: core::ops::Range<u32> = 40..240;

/// Bytes behind what is in a dummy: padding, trailer and ICV, with some to spare.
const ROOM: usize = 128;

/// How often a tunnel without an SA is looked at, at most.
const WITHOUT: Duration = Duration::from_secs(1);

/// What is sent into silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Keepalive,
    Dummy,
}

/// When to look at which tunnel.
#[derive(Default)]
pub(super) struct Idle {
    keepalives: Deadlines,
    dummies: Deadlines,
}

impl Idle {
    /// Looks at every tunnel that asks for something, now: each knows how long it has been silent.
    pub(super) fn new(config: &Config, now: Time) -> Self {
        let mut idle = Self::default();
        for (index, tunnel) in config.tunnels.iter().enumerate() {
            let Some(ipsec) = tunnel.ipsec() else { continue };
            for kind in [Kind::Keepalive, Kind::Dummy] {
                if kind.interval(ipsec).is_some() {
                    idle.of(kind).set(index as u32, now);
                }
            }
        }
        idle
    }

    /// When the next look is due.
    pub(super) fn first(&self) -> Option<Time> {
        let first = [self.keepalives.first(), self.dummies.first()];
        first.into_iter().flatten().map(|(at, _)| at).min()
    }

    const fn of(&mut self, kind: Kind) -> &mut Deadlines {
        match kind {
            Kind::Keepalive => &mut self.keepalives,
            Kind::Dummy => &mut self.dummies,
        }
    }
}

impl Kind {
    /// How long nothing is sent before one is; none where none is.
    fn interval(self, ipsec: &Ipsec) -> Option<Duration> {
        match self {
            Self::Keepalive => ipsec.manual()?.nat_keepalive,
            Self::Dummy if ipsec.tfc_dummies == 0 => None,
            Self::Dummy => Some(Duration::from_secs(1) / u32::from(ipsec.tfc_dummies)),
        }
    }

    /// Since when a child has sent nothing that would make one superfluous.
    fn silent_since(self, child: &Child) -> Time {
        let sealed = child.outbound.last().max(child.created).max(child.own.dummy);
        match self {
            Self::Keepalive => sealed.max(child.own.keepalive),
            Self::Dummy => sealed,
        }
    }
}

/// What a child has sent that nobody gave it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Own {
    /// NAT keepalives.
    pub keepalives: u64,
    /// When the last one was sent.
    keepalive: Time,
    /// When the last dummy was sent.
    dummy: Time,
}

impl Gateway {
    /// When a silent tunnel is to be looked at next.
    pub(crate) fn next_silence(&self) -> Option<Time> {
        self.tunnels.idle.first()
    }

    /// Sends what is due into tunnels that have been silent.
    pub(crate) fn break_silence(&mut self, now: Time) {
        for kind in [Kind::Keepalive, Kind::Dummy] {
            for _ in 0..AT_ONCE {
                let Some(number) = self.tunnels.idle.of(kind).pop_due(now) else { break };
                if let Some(next) = self.look_at_silence(TunnelId(number as u16), kind, now) {
                    self.tunnels.idle.of(kind).set(number, next);
                }
            }
        }
    }

    /// Sends one if the tunnel has been silent long enough; says when to look again.
    fn look_at_silence(&mut self, tunnel: TunnelId, kind: Kind, now: Time) -> Option<Time> {
        let ipsec = self.config.tunnels.get(usize::from(tunnel.0))?.ipsec()?;
        let interval = kind.interval(ipsec)?;
        // One that has no SA yet may have one later.
        let Some(id) = self.tunnels.senders(tunnel).first().copied() else {
            return Some(now + interval.max(WITHOUT));
        };
        let silent_since = kind.silent_since(self.tunnels.child(id)?);
        if now.since(silent_since) < interval {
            return Some(silent_since + interval);
        }
        // One that cannot be sent now is tried again when the next one is due.
        if let Err(reason) = self.send_own(tunnel, id, kind, now) {
            self.counters.lose(reason, 1);
        }
        Some(now + interval)
    }

    fn send_own(
        &mut self,
        tunnel: TunnelId,
        id: ChildId,
        kind: Kind,
        now: Time,
    ) -> Result<(), DropReason> {
        let config = std::sync::Arc::clone(&self.config);
        let Some(tunnel) = config.tunnels.get(usize::from(tunnel.0)) else { return Ok(()) };
        let way = self.tunnels.child(id).and_then(|child| self.underlay_of_sa(child));
        let Some((egress, next_hop)) = way else { return Ok(()) };
        if !self.interface(tunnel.interface).enabled || egress == tunnel.interface {
            return Ok(());
        }
        let length = self.dummy_length(tunnel.interface, id);
        let Some(child) = self.tunnels.child_mut(id) else { return Ok(()) };
        let frame = self.frames.alloc(usize::from(length) + ROOM);
        let mut frame = frame.ok_or(DropReason::BuffersExhausted)?;
        match kind {
            Kind::Keepalive => {
                child.outbound.keepalive(&mut frame)?;
                child.own.keepalive = now;
                child.own.keepalives += 1;
            }
            Kind::Dummy if matches!(child.outbound.expiry(now), esp::Expiry::Hard(_)) => {
                return Ok(());
            }
            Kind::Dummy => {
                child.own.dummy = now;
                child.outbound.seal_dummy(&mut frame, length, SLOW_PATH, now)?;
            }
        }
        self.leave_by_underlay(frame, id, (tunnel.interface, egress, next_hop), now)
    }

    /// A packet that an SA made of nothing goes to the far end.
    fn leave_by_underlay(
        &mut self,
        mut frame: Frame,
        id: ChildId,
        (tunnel, egress, next_hop): (IfId, IfId, core::net::IpAddr),
        now: Time,
    ) -> Result<(), DropReason> {
        put_blank_ethernet(&mut frame)?;
        let headers = wire::parse(frame.bytes())?;
        let place = (PortId(u16::MAX), tunnel, self.interface(egress).vr);
        let mut packet = Packet::new(frame, headers, place, Origin::Gateway, PuntCause::FlowMiss);
        packet.tier = Tier::SlowEstablished;
        packet.enter_underlay(
            Wrapped::Sa(id),
            Destination::Forward { egress, gateway: Some(next_hop) },
        );
        self.leave(packet, now);
        Ok(())
    }

    /// As long as what the tunnel pads to, so that it looks like any other packet; else a small random
    /// length. No longer than what fits.
    fn dummy_length(&mut self, interface: IfId, id: ChildId) -> u16 {
        let random = DUMMY.start + self.rng.below(DUMMY.end - DUMMY.start);
        let pad_to = self.tunnels.child(id).and_then(|child| child.outbound.parameters().pad_to);
        pad_to.unwrap_or(random as u16).min(self.exit_mtu(interface))
    }
}
