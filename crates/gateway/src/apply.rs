//! Changing the configuration of a running gateway without dropping what need not be dropped.
//!
//! The new configuration is already valid. Rooms are made anew or told; sessions keep their slots,
//! and those that the change touches are evaluated again in slices. When interfaces moved in the
//! list, sessions are renumbered first, by name.

use std::sync::Arc;

use config::{
    Config, ConfigDiff, Touches,
    model::{IfId, VrId},
};
use reason::DemotionReason;
use wire::Time;

use crate::{
    Gateway, events::EventKind, neighbour::NeighbourId, policy::Policies, route::Routes,
    topology::Topology,
};

impl Gateway {
    /// Puts a validated configuration into force. Table sizes ([`config::model::Limits`] of
    /// sessions, flows and frames) hold from the next start.
    pub fn apply(&mut self, config: Arc<Config>, now: Time) -> ConfigDiff {
        let old = std::mem::replace(&mut self.config, config);
        let config = Arc::clone(&self.config);
        let diff = config::diff(&old, &config);
        self.topology = Topology::new(&config, Some((&old, &self.topology)));
        let mut policies = Policies::new(&config);
        policies.carry_over(&self.policies);
        policies.set_wall_clock(self.wall_clock(now));
        self.policies = policies;
        self.nat.reload(&config);
        self.rebuild_routes(&config);
        self.sensors.reload(&config.anomaly);
        self.limiter.reload(config.limits.icmp_errors_per_second);
        self.reassembler.reload(&config);
        self.counters.interface_drops.resize(config.interfaces.len(), 0);
        self.reload_tunnels(&old, now);
        self.report_tunnel_faults(now);
        self.renumber(&old, now);
        self.neighbours.reload(&config, now);
        self.handle_neighbour_events(now);
        self.publish_interfaces();
        self.publish_neighbours();
        self.promote_sas(now);
        if let Some(change) = reason_of(&diff.touches()) {
            self.reevaluate_all(change, now);
        }
        let text = format!("{}: {} changes", config.source, diff.changes.len());
        self.events.push(now, EventKind::ConfigApplied, text);
        diff
    }

    /// SAs leave the engine before their tunnels are numbered anew; those that stay are offered
    /// again at the end.
    fn reload_tunnels(&mut self, old: &Config, now: Time) {
        let ids: Vec<_> = self.tunnels.children().map(|(id, _)| id).collect();
        for id in ids {
            self.demote_child(id, DemotionReason::SaRemoved, now);
        }
        let config = Arc::clone(&self.config);
        for gone in self.tunnels.reload(old, &config, now) {
            self.tunnels.close(&gone);
            if gone.next_hop != u32::MAX {
                self.neighbours.release(NeighbourId(gone.next_hop));
            }
        }
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
    fn renumber(&mut self, old: &Config, now: Time) {
        let config = Arc::clone(&self.config);
        let interfaces: Vec<Option<IfId>> = old
            .interfaces
            .iter()
            .map(|interface| {
                let same = |new: &config::model::Interface| {
                    new.name == interface.name
                        && carrier_name(&config, new) == carrier_name(old, interface)
                        && config.virtual_routers[usize::from(new.vr.0)].name
                            == old.virtual_routers[usize::from(interface.vr.0)].name
                };
                config.interfaces.iter().position(same).map(|index| IfId(index as u16))
            })
            .collect();
        let routers: Vec<Option<VrId>> = old
            .virtual_routers
            .iter()
            .map(|vr| {
                let found = config.virtual_routers.iter().position(|new| new.name == vr.name);
                found.map(|index| VrId(index as u16))
            })
            .collect();
        let unmoved = |index: usize, new: &Option<IfId>| *new == Some(IfId(index as u16));
        let vr_unmoved = |index: usize, new: &Option<VrId>| *new == Some(VrId(index as u16));
        if interfaces.iter().enumerate().all(|(i, new)| unmoved(i, new))
            && routers.iter().enumerate().all(|(i, new)| vr_unmoved(i, new))
        {
            return;
        }
        let ids: Vec<_> = self.sessions.page(0, u32::MAX).map(|(id, _)| id).collect();
        for id in ids {
            let Some(session) = self.sessions.get(id) else { continue };
            let new = |id: IfId| interfaces.get(usize::from(id.0)).copied().flatten();
            let vr = routers.get(usize::from(session.vr.0)).copied().flatten();
            match (new(session.ingress), new(session.egress), vr) {
                (Some(ingress), Some(egress), Some(vr)) if vr == session.vr => {
                    if let Some(session) = self.sessions.get_mut(id) {
                        (session.ingress, session.egress) = (ingress, egress);
                    }
                }
                _ => self.end_session(id, DemotionReason::InterfaceChanged, now),
            }
        }
    }

    pub(crate) fn wall_clock(&self, now: Time) -> i64 {
        self.wall.unix + now.since(self.wall.at).as_secs() as i64
    }
}

/// The name of the port or tunnel an interface stands on.
fn carrier_name<'a>(config: &'a Config, interface: &config::model::Interface) -> Option<&'a str> {
    match interface.tunnel() {
        None => config.port_of(interface).map(|port| port.name.as_str()),
        Some(_) => config.tunnel_of(interface).map(|(_, tunnel)| tunnel.name.as_str()),
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
        (touches.offload, DemotionReason::OffloadSwitchChanged),
    ]
    .into_iter()
    .find_map(|(touched, reason)| touched.then_some(reason))
}
