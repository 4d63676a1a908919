//! Changing the configuration of a running gateway without dropping what need not be dropped.
//!
//! The new configuration is already valid. Rooms are made anew or told; sessions keep their slots,
//! and those that the change touches are evaluated again in slices. When interfaces moved in the
//! list, sessions are renumbered first, by name; packets that wait inside the gateway name
//! interfaces too, but are dropped then.

use std::sync::Arc;

use config::{
    Config, ConfigDiff, Touches,
    model::{IfId, Interface, VrId},
};
use offload::Direction;
use reason::{DemotionReason, DropReason};
use wire::Time;

use crate::{
    Gateway, events::EventKind, policy::Policies, route::Routes, topology::Topology, tunnel,
};

impl Gateway {
    /// Puts a validated configuration into force. Table sizes ([`config::model::Limits`] of
    /// sessions, flows and frames) hold from the next start.
    pub fn apply(&mut self, config: Arc<Config>, now: Time) -> ConfigDiff {
        let old = std::mem::replace(&mut self.written, config);
        let diff = config::diff(&old, &self.written);
        self.enforce(now);
        let text = format!("{}: {} changes", self.written.source, diff.changes.len());
        self.events.push(now, EventKind::ConfigApplied, text);
        diff
    }

    /// Puts what was written into force, with what peers have given us.
    pub(crate) fn enforce(&mut self, now: Time) {
        let config = self.with_given_addresses(&self.written);
        let moves = Moves::between(&self.config, &config);
        if !moves.is_none() {
            self.drop_what_waits(now);
        }
        let old = std::mem::replace(&mut self.config, config);
        let config = Arc::clone(&self.config);
        let diff = config::diff(&old, &config);
        self.topology = Topology::new(&config, Some((&old, &self.topology)));
        let mut policies = Policies::new(&config);
        policies.carry_over(&self.policies);
        policies.set_wall_clock(self.wall_clock(now));
        self.users.reload(&mut policies, config.limits.users, |vr| moves.router(vr));
        self.policies = policies;
        self.nat.reload(&config);
        self.rebuild_routes(&config);
        self.sensors.reload(&config.anomaly);
        self.limiter.reload(config.limits.icmp_errors_per_second);
        self.reassembler.reload(&config);
        moves.renumber(&mut self.counters.interface_drops, config.interfaces.len());
        self.reload_tunnels(&old, now);
        if !moves.is_none() {
            self.renumber(&moves, now);
            self.renumber_clients(&moves, now);
        }
        self.neighbours.reload(&config, now);
        self.handle_neighbour_events(now);
        self.publish_interfaces();
        self.publish_neighbours();
        self.addresses.reload(&config);
        let touches = diff.touches();
        let of_sas = match touches.engine {
            true => DemotionReason::EngineProfileChanged,
            false => DemotionReason::OffloadSwitchChanged,
        };
        if touches.engine || touches.offload || touches.tunnels {
            self.switched = now;
        }
        self.promote_sas(of_sas, now);
        self.promote_clients(of_sas, now);
        if touches.tunnels || touches.interfaces || touches.address_pools {
            self.configure_ike(&tunnel::renegotiated(&old, &config, &diff), now);
        }
        if touches.tunnels || touches.interfaces || touches.address_pools {
            self.configure_remote(now);
        }
        if let Some(change) = reason_of(&touches) {
            self.reevaluate_all(change, now);
        }
    }

    /// SAs that stay what they are stay where they are. Those that stand elsewhere now leave the
    /// engine, which knows them by the old place, and are offered again at the end.
    fn reload_tunnels(&mut self, old: &Config, now: Time) {
        let config = Arc::clone(&self.config);
        self.overlays.reload(old, &config);
        let reloaded = self.tunnels.reload(old, &config, now);
        for (id, child) in reloaded.gone {
            self.end_child(id, child, now);
        }
        for id in reloaded.moved {
            for direction in Direction::BOTH {
                self.demote_sa(id, direction, DemotionReason::InterfaceChanged, now);
            }
        }
        self.report_tunnel_faults(now);
    }

    fn rebuild_routes(&mut self, config: &Config) {
        self.routes = Routes::new(config);
        for (index, interface) in config.interfaces.iter().enumerate() {
            if !self.topology.state(interface).up {
                self.routes.set_link(IfId(index as u16), false);
            }
        }
    }

    /// Sessions name interfaces and virtual routers by index; a change of order moves the indices.
    fn renumber(&mut self, moves: &Moves, now: Time) {
        let ids: Vec<_> = self.sessions.page(0, u32::MAX).map(|(id, _)| id).collect();
        for id in ids {
            let Some(session) = self.sessions.get(id) else { continue };
            let (ingress, egress) =
                (moves.interface(session.ingress), moves.interface(session.egress));
            match (ingress, egress, moves.router(session.vr)) {
                (Some(ingress), Some(egress), Some(vr)) if vr == session.vr => {
                    if let Some(session) = self.sessions.get_mut(id) {
                        (session.ingress, session.egress) = (ingress, egress);
                    }
                }
                _ => self.end_session(id, DemotionReason::InterfaceChanged, now),
            }
        }
    }

    /// Drops the packets that wait for a neighbour, and the fragments that wait for others. Nobody
    /// is told: the error itself might have to wait.
    fn drop_what_waits(&mut self, now: Time) {
        self.drop_what_waits_for_ike(now);
        self.drop_what_waits_for_clients(now);
        for packet in self.neighbours.take_held() {
            self.drop_packet(*packet, DropReason::NeighbourUnresolved, now);
        }
        self.reassembler.clear(DropReason::FragmentTimeout);
        self.count_lost_fragments(now);
    }

    pub(crate) fn wall_clock(&self, now: Time) -> i64 {
        self.wall.unix + now.since(self.wall.at).as_secs() as i64
    }
}

/// The name of the port or tunnel an interface stands on.
fn carrier_name<'a>(config: &'a Config, interface: &Interface) -> Option<&'a str> {
    match interface.tunnel() {
        None => config.port_of(interface).map(|port| port.name.as_str()),
        Some(_) => config.tunnel_of(interface).map(|(_, tunnel)| tunnel.name.as_str()),
    }
}

/// Where interfaces and virtual routers of one configuration are in the next; nowhere if they went.
pub(crate) struct Moves {
    interfaces: Vec<Option<IfId>>,
    routers: Vec<Option<VrId>>,
}

impl Moves {
    /// An interface stays the same one while its name, its port or tunnel, and its virtual router do.
    fn between(old: &Config, new: &Config) -> Self {
        let router = |config: &Config, vr: VrId| config.virtual_router_name(vr).to_owned();
        let same = |was: &Interface, is: &Interface| {
            is.name == was.name
                && carrier_name(new, is) == carrier_name(old, was)
                && router(new, is.vr) == router(old, was.vr)
        };
        let interfaces = old.interfaces.iter().map(|was| {
            let index = new.interfaces.iter().position(|is| same(was, is));
            index.map(|index| IfId(index as u16))
        });
        let routers = old.virtual_routers.iter().map(|was| {
            let index = new.virtual_routers.iter().position(|is| is.name == was.name);
            index.map(|index| VrId(index as u16))
        });
        Self { interfaces: interfaces.collect(), routers: routers.collect() }
    }

    /// Whether every index still means what it meant.
    fn is_none(&self) -> bool {
        let interfaces = self.interfaces.iter().enumerate();
        let routers = self.routers.iter().enumerate();
        interfaces.into_iter().all(|(i, new)| *new == Some(IfId(i as u16)))
            && routers.into_iter().all(|(i, new)| *new == Some(VrId(i as u16)))
    }

    pub(crate) fn interface(&self, id: IfId) -> Option<IfId> {
        self.interfaces.get(usize::from(id.0)).copied().flatten()
    }

    pub(crate) fn router(&self, id: VrId) -> Option<VrId> {
        self.routers.get(usize::from(id.0)).copied().flatten()
    }

    /// Moves what is counted by interface, for `count` interfaces.
    fn renumber(&self, counts: &mut Vec<u64>, count: usize) {
        let old = core::mem::replace(counts, vec![0; count]);
        for (index, value) in old.into_iter().enumerate() {
            let new = self.interface(IfId(index as u16));
            if let Some(slot) = new.and_then(|id| counts.get_mut(usize::from(id.0))) {
                *slot = value;
            }
        }
    }
}

/// What to call the change that sessions are evaluated again for; none if none need be.
fn reason_of(touches: &Touches) -> Option<DemotionReason> {
    [
        (touches.ports || touches.interfaces, DemotionReason::InterfaceChanged),
        (touches.routes, DemotionReason::RouteChanged),
        // A policy that comes or goes touches translation too, and is still a change of policy.
        (touches.policies, DemotionReason::PolicyChanged),
        (touches.tunnels, DemotionReason::SaRemoved),
        (touches.nat, DemotionReason::NatChanged),
        (touches.engine, DemotionReason::EngineProfileChanged),
        (touches.offload, DemotionReason::OffloadSwitchChanged),
    ]
    .into_iter()
    .find_map(|(touched, reason)| touched.then_some(reason))
}
