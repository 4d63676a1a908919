//! A session as the subject of a filter expression.
//!
//! Addresses and ports match before and after translation. Tiers: `fast` if an engine has one of the
//! directions, `partial` if it has exactly one, `slow-established` if it does not have both of an
//! established session, `slow-setup` before that. Reasons: whatever stands in the ledger for one of
//! the directions now.

use core::net::IpAddr;

use api::filter::{End, Side, Subject};
use config::model::{Config, IfId};
use offload::{Direction, ledger::State};
use reason::{NotEligible, Reason};
use wire::proto;

use super::{Kind, Session, SessionId};

/// A session with what gives names to its numbers.
#[derive(Clone, Copy)]
pub struct SessionSubject<'a> {
    /// Its id.
    pub id: SessionId,
    /// The session.
    pub session: &'a Session,
    /// The configuration in force.
    pub config: &'a Config,
}

impl SessionSubject<'_> {
    fn interfaces(&self, side: Side) -> impl Iterator<Item = IfId> {
        let (ingress, egress) = (self.session.ingress, self.session.egress);
        // a session with the gateway itself has one interface only
        let (ingress, egress) = match self.session.kind {
            Kind::Forward => (Some(ingress), Some(egress)),
            Kind::LocalIn => (Some(ingress), None),
            Kind::LocalOut => (None, Some(egress)),
        };
        match side {
            Side::In => [ingress, None],
            Side::Out => [None, egress],
            Side::Either => [ingress, egress],
        }
        .into_iter()
        .flatten()
    }

    fn states(&self) -> [State; 2] {
        Direction::BOTH.map(|d| self.session.ledger.direction(d).state())
    }
}

impl Subject for SessionSubject<'_> {
    fn addresses(&self, end: End) -> [Option<IpAddr>; 2] {
        let (original, reply) = (&self.session.original, &self.session.reply);
        match end {
            End::Src => [Some(original.src), Some(reply.dst)],
            End::Dst => [Some(original.dst), Some(reply.src)],
            End::Either => [Some(original.src), Some(original.dst)],
        }
    }

    fn ports(&self, end: End) -> [Option<u16>; 2] {
        let (original, reply) = (&self.session.original, &self.session.reply);
        if !matches!(original.proto, proto::TCP | proto::UDP | proto::SCTP) {
            return [None; 2];
        }
        match end {
            End::Src => [Some(original.src_port), Some(reply.dst_port)],
            End::Dst => [Some(original.dst_port), Some(reply.src_port)],
            End::Either => [Some(original.src_port), Some(original.dst_port)],
        }
    }

    fn protocol(&self) -> Option<u8> {
        Some(self.session.original.proto)
    }

    fn translated(&self) -> [Option<IpAddr>; 2] {
        let (original, reply) = (&self.session.original, &self.session.reply);
        [
            (reply.dst != original.src).then_some(reply.dst),
            (reply.src != original.dst).then_some(reply.src),
        ]
    }

    fn policy(&self) -> Option<u32> {
        match self.session.kind {
            Kind::Forward => Some(self.session.rule),
            Kind::LocalIn | Kind::LocalOut => None,
        }
    }

    fn state(&self) -> Option<&str> {
        Some(self.session.state().name())
    }

    fn has_reason(&self, name: &str) -> bool {
        self.states().iter().any(|state| match state {
            State::NotEligible(set) => set.iter().any(|reason| reason.name() == name),
            State::Refused(reason) => reason.name() == name,
            State::Retiring(_, reason) => reason.name() == name,
            State::NotEvaluated | State::Eligible | State::Installed(_) | State::Hitting(_) => false,
        })
    }

    fn has_tier(&self, name: &str) -> bool {
        let installed = self.states().iter().filter(|state| state.is_installed()).count();
        let against = self.session.established_for_offload();
        let setup = against.contains(NotEligible::NotEstablished)
            || against.contains(NotEligible::AwaitingReply);
        match name {
            "fast" => installed > 0,
            "partial" => installed == 1,
            "slow-established" => installed < 2 && !setup,
            "slow-setup" => installed < 2 && setup,
            _ => false,
        }
    }

    fn has_interface(&self, side: Side, name: &str) -> bool {
        self.interfaces(side)
            .filter_map(|id| self.config.interfaces.get(usize::from(id.0)))
            .any(|interface| interface.name == name)
    }

    fn has_zone(&self, side: Side, name: &str) -> bool {
        self.interfaces(side)
            .filter_map(|id| self.config.interfaces.get(usize::from(id.0)))
            .filter_map(|interface| self.config.zones.get(usize::from(interface.zone.0)))
            .any(|zone| zone.name == name)
    }

    fn has_virtual_router(&self, name: &str) -> bool {
        let vr = self.config.virtual_routers.get(usize::from(self.session.vr.0));
        vr.is_some_and(|vr| vr.name == name)
    }

    fn id(&self) -> Option<u64> {
        Some(self.id.as_u64())
    }
}

#[cfg(test)]
mod tests;
