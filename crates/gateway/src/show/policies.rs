//! Policies and local rules as views, and the look-up of a hypothetical packet.

use api::{
    ApiError, LookupKey, NearMissView, PoliciesView, PolicyLookupView, PolicyView, ReasonView,
    Traffic,
};
use config::model::{Action, LocalRule, OffloadMode, Policy};
use reason::{DropReason, NotEligible};
use wire::{Time, Tuple};

use super::{
    convert::{addresses, ago, rule, services},
    rows,
    sessions::SCAN,
};
use crate::{
    Gateway,
    policy::{Counters, Key, Table},
    route::Lookup,
};

/// Rules held against a key, from the first on, to find those that nearly match.
const EXPLAINED: usize = 4_096;

/// Most of them shown.
const NEAR_MISSES: usize = 16;

impl Gateway {
    pub(super) fn show_policies(
        &mut self,
        limit: Option<u32>,
        cursor: Option<u64>,
        now: Time,
    ) -> PoliciesView {
        // Rules hear of the traffic of live sessions with every audit; those of a small table now.
        self.account_live();
        let (rows, start) = (rows(limit), cursor.unwrap_or(0) as usize);
        let forward = self.config.policies.len();
        let local_in = self.config.local_in.len();
        let total = forward + local_in + self.config.local_out.len();
        let end = total.min(start.saturating_add(rows));
        let policies = (start..end)
            .filter_map(|n| {
                if n < forward {
                    self.config.policies.get(n).map(|p| self.policy_view(n, p, now))
                } else if n < forward + local_in {
                    let index = n - forward;
                    let rule = self.config.local_in.get(index)?;
                    Some(self.local_view(Table::LocalIn, index, rule, now))
                } else {
                    let index = n - forward - local_in;
                    let rule = self.config.local_out.get(index)?;
                    Some(self.local_view(Table::LocalOut, index, rule, now))
                }
            })
            .collect();
        PoliciesView { policies, total: total as u64, next: (end < total).then_some(end as u64) }
    }

    /// Tells the rules what the sessions of a small table have moved.
    pub(super) fn account_live(&mut self) {
        let live: Vec<_> = self.sessions.page(0, SCAN).map(|(id, _)| id).collect();
        for id in live {
            self.account(id);
        }
    }

    pub(super) fn policy_lookup(
        &self,
        key: &LookupKey,
        now: Time,
    ) -> Result<PolicyLookupView, ApiError> {
        let vr = self.router_named(key.vr.as_deref())?;
        let ingress = match &key.interface {
            Some(name) => self.interface_named(name)?,
            None => self.ingress_for(vr, key.src).ok_or_else(|| {
                ApiError::bad_request(format!(
                    "no route back to {}; name the incoming interface with --interface",
                    key.src
                ))
            })?,
        };
        let vr = self.interface(ingress).vr;
        let tuple = Tuple {
            src: key.src,
            dst: key.dst,
            src_port: key.src_port,
            dst_port: key.dst_port,
            proto: key.proto,
        };
        let dnat = self.nat.dnat(ingress, &tuple);
        let (destination, port) =
            dnat.as_ref().map_or((key.dst, key.dst_port), |d| (d.address, d.port));
        let from = self.interface(ingress).zone;
        let vip = dnat.as_ref().and_then(|d| self.config.vips.get(d.vip));
        let mut view = PolicyLookupView {
            policy: None,
            action: "deny".into(),
            reason: None,
            ingress: self.interface_name(ingress),
            from_zone: self.zone(from),
            egress: String::new(),
            to_zone: String::new(),
            user: self.users.get(vr, key.src).map(ToString::to_string),
            dnat: vip.map(|vip| rule("vip", None, &vip.name, vip.line)),
            destination,
            destination_port: port,
            route: None,
            near_misses: Vec::new(),
        };
        let ask = |to| Key {
            from,
            to,
            src: key.src,
            dst: destination,
            proto: key.proto,
            src_port: key.src_port,
            dst_port: port,
            who: self.users.sender(vr, key.src),
        };
        match self.routes.lookup(vr, destination) {
            Lookup::Local(_) => {
                view.near_misses = self.near_misses(Table::LocalIn, &ask(from));
                let index = self.policies.local_in(&ask(from));
                let found = index.and_then(|i| self.config.local_in.get(i).map(|r| (i, r)));
                self.answer_with(
                    &mut view,
                    found.map(|(i, r)| (r.action, self.local_view(Table::LocalIn, i, r, now))),
                    DropReason::LocalInDeny,
                    DropReason::LocalInDeny,
                );
                let tuple = wire::Tuple { dst: destination, dst_port: port, ..tuple };
                if let (None, Some(implied)) = (&view.policy, self.implied(vr, &tuple)) {
                    view.action = action(Action::Allow).into();
                    view.reason = None;
                    view.policy = Some(PolicyView {
                        table: "local-in".into(),
                        name: format!("implied by {} {}", implied.kind, implied.name),
                        line: implied.line.0,
                        enabled: true,
                        in_force: true,
                        action: action(Action::Allow).into(),
                        services: implied.services,
                        destination: vec![implied.local.to_string()],
                        nat: "off".into(),
                        offload: "off".into(),
                        ..PolicyView::default()
                    });
                }
            }
            Lookup::Via(set) => {
                let egress = set.select(crate::stages::flow_hash(&tuple)).interface;
                let to = self.interface(egress).zone;
                view.egress = self.interface_name(egress);
                view.to_zone = self.zone(to);
                view.route = Some(rule("route", None, &set.destination.to_string(), set.line));
                view.near_misses = self.near_misses(Table::Forward, &ask(to));
                let index = self.policies.forward(&ask(to));
                let found = index.and_then(|i| self.config.policies.get(i).map(|p| (i, p)));
                self.answer_with(
                    &mut view,
                    found.map(|(i, p)| (p.action, self.policy_view(i, p, now))),
                    DropReason::ImplicitDeny,
                    DropReason::PolicyDeny,
                );
            }
            Lookup::Blackhole(set) => {
                view.route = Some(rule("route", None, &set.destination.to_string(), set.line));
                view.reason = Some(ReasonView::of(DropReason::RouteBlackhole));
            }
            Lookup::Broadcast(_) => {
                view.reason = Some(ReasonView::of(DropReason::BroadcastNotForwarded));
            }
            Lookup::None => view.reason = Some(ReasonView::of(DropReason::NoRoute)),
        }
        Ok(view)
    }

    fn answer_with(
        &self,
        view: &mut PolicyLookupView,
        found: Option<(Action, PolicyView)>,
        unmatched: DropReason,
        denied: DropReason,
    ) {
        let reason = match &found {
            None => Some(unmatched),
            Some((Action::Allow, _)) => None,
            Some((Action::Deny | Action::Reject, _)) => Some(denied),
        };
        view.action = action(found.as_ref().map_or(Action::Deny, |(action, _)| *action)).into();
        view.reason = reason.map(ReasonView::of);
        view.policy = found.map(|(_, policy)| policy);
    }

    fn policy_view(&self, index: usize, policy: &Policy, now: Time) -> PolicyView {
        let counters = self.policies.counters(Table::Forward, Some(index));
        let mut view = PolicyView {
            table: "forward".into(),
            id: Some(policy.id),
            name: policy.name.clone(),
            line: policy.line.0,
            enabled: policy.enabled,
            from: policy.from.iter().map(|z| self.zone(*z)).collect(),
            to: policy.to.iter().map(|z| self.zone(*z)).collect(),
            source: addresses(&policy.source),
            users: policy
                .who
                .known
                .then(|| "known".to_owned())
                .into_iter()
                .chain(policy.who.users.clone())
                .collect(),
            groups: policy.who.groups.clone(),
            destination: addresses(&policy.destination),
            services: services(&policy.services),
            schedule: policy.schedule.as_ref().map(|s| s.name.clone()),
            in_force: self.policies.in_force(Table::Forward, index),
            action: action(policy.action).into(),
            nat: self.nat_words(&policy.nat),
            offload: match policy.offload {
                OffloadMode::Auto => "auto",
                OffloadMode::Require => "require",
                OffloadMode::Off => "off",
            }
            .into(),
            never_offloads: self.never_offloads(policy),
            log: policy.log,
            ..PolicyView::default()
        };
        count(&mut view, &counters, now);
        view
    }

    fn local_view(&self, table: Table, index: usize, rule: &LocalRule, now: Time) -> PolicyView {
        let counters = self.policies.counters(table, Some(index));
        let mut view = PolicyView {
            table: match table {
                Table::Forward => "forward",
                Table::LocalIn => "local-in",
                Table::LocalOut => "local-out",
            }
            .into(),
            id: None,
            name: rule.name.clone(),
            line: rule.line.0,
            enabled: rule.enabled,
            from: rule.zones.iter().map(|z| self.zone(*z)).collect(),
            source: addresses(&rule.source),
            destination: addresses(&rule.destination),
            services: services(&rule.services),
            schedule: rule.schedule.as_ref().map(|s| s.name.clone()),
            in_force: self.policies.in_force(table, index),
            action: action(rule.action).into(),
            nat: "off".into(),
            offload: "off".into(),
            ..PolicyView::default()
        };
        count(&mut view, &counters, now);
        view
    }

    /// What stands against every session of a policy, known from the configuration alone.
    fn never_offloads(&self, policy: &Policy) -> Vec<api::FindingView> {
        let finding = |reason: NotEligible, layer: &'static str| api::FindingView {
            reason: ReasonView::of(reason),
            layer: layer.into(),
            evidence: String::new(),
        };
        let mut findings = Vec::new();
        if policy.action != Action::Allow {
            return findings;
        }
        if self.config.offload.mode == OffloadMode::Off {
            findings.push(finding(NotEligible::DisabledGlobally, "config"));
        }
        if policy.offload == OffloadMode::Off {
            findings.push(finding(NotEligible::DisabledByPolicy, "policy"));
        }
        let slow_zone = |zones: &[config::model::ZoneId]| {
            !zones.is_empty()
                && zones.iter().all(|zone| {
                    let mut members = self.config.interfaces.iter().filter(|i| i.zone == *zone);
                    members.all(|i| self.config.port_of(i).is_some_and(|port| !port.fast_path))
                })
        };
        if slow_zone(&policy.from) || slow_zone(&policy.to) {
            findings.push(finding(NotEligible::InterfaceWithoutEngine, "config"));
        }
        let rules = self.rules();
        let services = &policy.services;
        if !services.any
            && !services.services.is_empty()
            && services.services.iter().all(|s| !rules.forwards(s.proto))
        {
            findings.push(finding(NotEligible::ProtocolUnsupported, "engine"));
        }
        findings
    }

    /// The rules before the one that decides that came closest to it.
    fn near_misses(&self, table: Table, key: &Key) -> Vec<NearMissView> {
        let mut missed = self.policies.explain(table, key, EXPLAINED);
        missed.retain(|rule| !rule.matched);
        missed.sort_by_key(|rule| rule.failed.len());
        missed.truncate(NEAR_MISSES);
        let named = missed.into_iter().filter_map(|missed| {
            let config = &self.config;
            let local = |kind, rules: &[LocalRule]| {
                rules.get(missed.index).map(|r| rule(kind, None, &r.name, r.line))
            };
            let rule = match table {
                Table::Forward => {
                    let policy = config.policies.get(missed.index);
                    policy.map(|p| rule("policy", Some(p.id), &p.name, p.line))
                }
                Table::LocalIn => local("local-in", &config.local_in),
                Table::LocalOut => local("local-out", &config.local_out),
            }?;
            let failed = missed.failed.iter().map(|condition| condition.name().into());
            Some(NearMissView { rule, failed: failed.collect() })
        });
        named.collect()
    }
}

fn count(view: &mut PolicyView, counters: &Counters, now: Time) {
    view.hits = counters.hits;
    view.sessions = counters.sessions.into();
    view.traffic = Traffic { packets: counters.packets, bytes: counters.bytes };
    view.last_hit_ms = (counters.hits > 0).then(|| ago(now, counters.last_hit));
}

const fn action(action: Action) -> &'static str {
    match action {
        Action::Allow => "allow",
        Action::Deny => "deny",
        Action::Reject => "reject",
    }
}
