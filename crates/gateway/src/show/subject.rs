//! Packets and sessions as subjects of a filter expression, with names resolved.

use core::net::IpAddr;

use api::filter::{End, Filter, Side, Subject};
use config::{
    Config,
    model::{IfId, VrId},
};
use offload::{Direction, ledger::State};
use wire::Tuple;

use crate::{
    Gateway,
    packet::Packet,
    session::{Session, SessionId},
    users::{Login, Users},
};

/// A packet that has just come in: nothing is decided about it yet.
pub(crate) struct PacketSubject<'a> {
    pub(crate) packet: &'a Packet,
    pub(crate) users: &'a Users,
    pub(crate) config: &'a Config,
}

impl PacketSubject<'_> {
    fn login(&self) -> Option<&Login> {
        self.users.get(self.packet.vr, self.packet.headers.tuple.src)
    }
}

impl Subject for PacketSubject<'_> {
    fn addresses(&self, end: End) -> [Option<IpAddr>; 2] {
        let tuple = &self.packet.headers.tuple;
        match end {
            End::Src => [Some(tuple.src), None],
            End::Dst => [Some(tuple.dst), None],
            End::Either => [Some(tuple.src), Some(tuple.dst)],
        }
    }

    fn ports(&self, end: End) -> [Option<u16>; 2] {
        let tuple = &self.packet.headers.tuple;
        match end {
            End::Src => [Some(tuple.src_port), None],
            End::Dst => [Some(tuple.dst_port), None],
            End::Either => [Some(tuple.src_port), Some(tuple.dst_port)],
        }
    }

    fn protocol(&self) -> Option<u8> {
        Some(self.packet.headers.tuple.proto)
    }

    fn has_interface(&self, side: Side, name: &str) -> bool {
        side != Side::Out && self.config.interface_name(self.packet.ingress) == name
    }

    fn has_zone(&self, side: Side, name: &str) -> bool {
        side != Side::Out && zone(self.config, self.packet.ingress) == name
    }

    fn has_virtual_router(&self, name: &str) -> bool {
        self.config.virtual_router_name(self.packet.vr) == name
    }

    fn has_user(&self, name: &str) -> bool {
        self.login().is_some_and(|login| *login.user == *name)
    }

    fn has_group(&self, name: &str) -> bool {
        self.login().is_some_and(|login| login.is_in(name))
    }
}

/// A session of the table.
struct SessionSubject<'a> {
    id: SessionId,
    session: &'a Session,
    users: &'a Users,
    config: &'a Config,
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
        (self.session.kind == crate::session::Kind::Forward).then_some(self.session.rule)
    }

    fn state(&self) -> Option<&str> {
        Some(self.session.state().name())
    }

    fn has_reason(&self, name: &str) -> bool {
        Direction::BOTH.iter().any(|d| match self.session.ledger.direction(*d).state() {
            State::NotEligible(set) => set.iter().any(|r| reason::Reason::name(r) == name),
            State::Refused(reason) => reason::Reason::name(reason) == name,
            State::Retiring(_, reason) => reason::Reason::name(reason) == name,
            State::NotEvaluated | State::Eligible | State::Installed(_) | State::Hitting(_) => {
                false
            }
        })
    }

    fn has_tier(&self, name: &str) -> bool {
        let installed = |d: &Direction| self.session.ledger.direction(*d).state().is_installed();
        match name {
            "fast" => Direction::BOTH.iter().any(installed),
            "slow" | "slow-established" | "slow-setup" => !Direction::BOTH.iter().all(installed),
            _ => false,
        }
    }

    fn has_interface(&self, side: Side, name: &str) -> bool {
        let is = |id| self.config.interface_name(id) == name;
        on(side, is(self.session.ingress), is(self.session.egress))
    }

    fn has_zone(&self, side: Side, name: &str) -> bool {
        let is = |id| zone(self.config, id) == name;
        on(side, is(self.session.ingress), is(self.session.egress))
    }

    fn has_virtual_router(&self, name: &str) -> bool {
        self.config.virtual_router_name(self.session.vr) == name
    }

    fn has_user(&self, name: &str) -> bool {
        self.users.of(self.session).is_some_and(|login| *login.user == *name)
    }

    fn has_group(&self, name: &str) -> bool {
        self.users.of(self.session).is_some_and(|login| login.is_in(name))
    }

    fn id(&self) -> Option<u64> {
        Some(self.id.as_u64())
    }
}

/// A packet at a point of the gateway, with what its session knows.
pub(crate) struct SeenSubject<'a> {
    /// As it is at the point.
    pub(crate) tuple: Option<Tuple>,
    /// Its session, and its direction in it.
    pub(crate) session: Option<(SessionId, &'a Session, Direction)>,
    /// Its interface: the outgoing one when it is on its way out.
    pub(crate) interface: Option<IfId>,
    pub(crate) outward: bool,
    pub(crate) vr: Option<VrId>,
    pub(crate) tier: &'a str,
    pub(crate) reason: Option<&'a str>,
    pub(crate) users: &'a Users,
    pub(crate) config: &'a Config,
}

impl SeenSubject<'_> {
    /// As it is before translation where it is seen after it, and the other way round.
    fn elsewhere(&self) -> Option<Tuple> {
        let (_, session, direction) = self.session?;
        Some(match self.outward {
            true => session.key(direction),
            false => session.key(direction.opposite()).reversed(),
        })
    }

    fn on(&self, side: Side) -> [Option<IfId>; 2] {
        let far = self.session.map(|(_, session, direction)| {
            let original = direction == Direction::Original;
            if original == self.outward { session.ingress } else { session.egress }
        });
        let (came_by, leaves_by) =
            if self.outward { (far, self.interface) } else { (self.interface, far) };
        match side {
            Side::In => [came_by, None],
            Side::Out => [leaves_by, None],
            Side::Either => [came_by, leaves_by],
        }
    }

    fn known(&self) -> Option<SessionSubject<'_>> {
        let (id, session, _) = self.session?;
        Some(SessionSubject { id, session, users: self.users, config: self.config })
    }
}

impl Subject for SeenSubject<'_> {
    fn addresses(&self, end: End) -> [Option<IpAddr>; 2] {
        let of = |tuple: Tuple| if end == End::Dst { tuple.dst } else { tuple.src };
        [self.tuple.map(of), self.elsewhere().map(of)]
    }

    fn ports(&self, end: End) -> [Option<u16>; 2] {
        let of = |tuple: Tuple| if end == End::Dst { tuple.dst_port } else { tuple.src_port };
        [self.tuple.map(of), self.elsewhere().map(of)]
    }

    fn protocol(&self) -> Option<u8> {
        self.tuple.map(|tuple| tuple.proto)
    }

    fn translated(&self) -> [Option<IpAddr>; 2] {
        self.known().map_or([None; 2], |session| session.translated())
    }

    fn policy(&self) -> Option<u32> {
        self.known()?.policy()
    }

    fn state(&self) -> Option<&str> {
        self.session.map(|(_, session, _)| session.state().name())
    }

    fn has_reason(&self, name: &str) -> bool {
        self.reason == Some(name) || self.known().is_some_and(|session| session.has_reason(name))
    }

    fn has_tier(&self, name: &str) -> bool {
        match self.tier {
            "" => self.known().is_some_and(|session| session.has_tier(name)),
            tier => tier == name || (name == "slow" && tier.starts_with("slow")),
        }
    }

    fn has_interface(&self, side: Side, name: &str) -> bool {
        self.on(side).into_iter().flatten().any(|id| self.config.interface_name(id) == name)
    }

    fn has_zone(&self, side: Side, name: &str) -> bool {
        self.on(side).into_iter().flatten().any(|id| zone(self.config, id) == name)
    }

    fn has_virtual_router(&self, name: &str) -> bool {
        self.vr.is_some_and(|vr| self.config.virtual_router_name(vr) == name)
    }

    fn has_user(&self, name: &str) -> bool {
        self.known().is_some_and(|session| session.has_user(name))
    }

    fn has_group(&self, name: &str) -> bool {
        self.known().is_some_and(|session| session.has_group(name))
    }

    fn id(&self) -> Option<u64> {
        self.session.map(|(id, _, _)| id.as_u64())
    }
}

impl Gateway {
    /// Whether a session matches.
    pub(crate) fn matches(&self, id: SessionId, filter: &Filter) -> bool {
        self.sessions.get(id).is_some_and(|session| {
            filter.is_everything()
                || filter.matches(&SessionSubject {
                    id,
                    session,
                    users: &self.users,
                    config: &self.config,
                })
        })
    }
}

fn zone(config: &Config, interface: IfId) -> &str {
    config.interface(interface).map_or("", |interface| config.zone_name(interface.zone))
}

fn on(side: Side, ingress: bool, egress: bool) -> bool {
    match side {
        Side::In => ingress,
        Side::Out => egress,
        Side::Either => ingress || egress,
    }
}
