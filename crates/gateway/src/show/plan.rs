//! `plan`: what the engine would take if it were held to another profile. SAs and associations of remote
//! access are judged by the configuration alone, so a file can be asked about without any gateway.

use api::{
    ApiError, FindingView, PlanAssociationView, PlanFindingView, PlanSaView, PlanSessionView,
    PlanSuiteView, PlanView, ReasonView, filter::Filter,
};
use config::Config;
use dtls::Suite;
use offload::{Capabilities, Direction, DtlsFacts, PROFILE_NAMES, Profile, SaFacts};
use reason::{NotEligible, ReasonSet, RefusalReason};

use super::{
    convert::{direction, tuple},
    rows,
    sessions::SCAN,
};
use crate::{
    Gateway,
    promote::{Rules, is_passing},
    session::Session,
    tunnel::{IN, OUT, dtls_facts, instead, planned, sa_facts},
};

/// What the software engine would take of a configuration, held to a profile: every SA, and what clients
/// of remote access may have.
pub fn plan(config: &Config, profile: &'static Profile) -> PlanView {
    let own = Capabilities::soft(config.limits.flows.into());
    page(config, Rules::new(&own, profile), profile, 0, u32::MAX as usize)
}

impl Gateway {
    pub(super) fn plan_sas(
        &self,
        profile: Option<&str>,
        limit: Option<u32>,
        cursor: Option<u64>,
    ) -> Result<PlanView, ApiError> {
        let profile = self.profile_named(profile)?;
        let rules = Rules::new(self.engine.capabilities(), profile);
        Ok(page(&self.config, rules, profile, cursor.unwrap_or(0), rows(limit)))
    }

    pub(super) fn plan_sessions(
        &self,
        profile: Option<&str>,
        filter: &Filter,
        limit: Option<u32>,
        cursor: Option<u64>,
    ) -> Result<PlanView, ApiError> {
        let profile = self.profile_named(profile)?;
        let rules = Rules::new(self.engine.capabilities(), profile);
        let mut view = blank(&self.config, profile);
        let start = cursor.and_then(|c| u32::try_from(c).ok()).unwrap_or(0);
        let end = start.saturating_add(SCAN).min(self.sessions.slots());
        for (id, session) in self.sessions.page(start, end.saturating_sub(start)) {
            if !self.matches(id, filter) {
                continue;
            }
            let against = self.plan_session(session, rules);
            view.totals.add_session(&against);
            let original = tuple(&session.original);
            view.sessions.push(PlanSessionView { id: id.as_u64(), original, against });
            if view.sessions.len() >= rows(limit) {
                view.next = Some(u64::from(id.index) + 1);
                return Ok(view);
            }
        }
        view.next = (end < self.sessions.slots()).then_some(u64::from(end));
        Ok(view)
    }

    fn profile_named(&self, name: Option<&str>) -> Result<&'static Profile, ApiError> {
        let Some(name) = name else { return Ok(self.config.engine.profile) };
        Profile::named(name).ok_or_else(|| {
            let known = PROFILE_NAMES.join(", ");
            ApiError::bad_request(format!("there is no profile `{name}`; there are {known}"))
        })
    }

    /// What stands against both directions of a session; what stands against both is said once.
    fn plan_session(&self, session: &Session, rules: Rules<'_>) -> Vec<PlanFindingView> {
        let [original, reply] = Direction::BOTH.map(|d| self.would_stand(session, d, rules));
        let mut found = Vec::new();
        for (d, set, other) in
            [(Direction::Original, original, reply), (Direction::Reply, reply, original)]
        {
            for reason in set.iter() {
                let both = other.contains(reason);
                if both && d == Direction::Reply {
                    continue;
                }
                found.push(PlanFindingView {
                    direction: (!both).then(|| direction(d)),
                    finding: self.plan_finding((session, d), reason, rules),
                });
            }
        }
        found
    }

    /// What would stand against a direction for good.
    fn would_stand(
        &self,
        session: &Session,
        d: Direction,
        rules: Rules<'_>,
    ) -> ReasonSet<NotEligible> {
        let mut facts = self.facts(session, d);
        // How its SAs stand now says nothing of how they would.
        for now in [NotEligible::SaNotEligible, NotEligible::SaRefused] {
            facts.findings.remove(now);
        }
        if self.sas_in_the_way(session, d).any(|facts| !rules.sa(&facts).is_empty()) {
            facts.findings.insert(NotEligible::SaNotEligible);
        }
        rules.flow(&facts).iter().filter(|reason| !is_passing(*reason)).collect()
    }

    /// The SAs that a direction comes out of and goes into.
    fn sas_in_the_way(&self, session: &Session, d: Direction) -> impl Iterator<Item = SaFacts> {
        let ways = match d {
            Direction::Original => [(session.ingress, IN), (session.egress, OUT)],
            Direction::Reply => [(session.egress, IN), (session.ingress, OUT)],
        };
        let (came, leaves) = (session.key(d), session.key(d.opposite()).reversed());
        ways.into_iter().filter_map(move |(interface, way)| {
            let (id, tunnel) = self.tunnel_of(interface)?;
            let tuple = if way == OUT { leaves } else { came.reversed() };
            if let Some(child) = self.tunnels.sending(id, &tuple) {
                return self.sa_facts(child, way);
            }
            let ipsec = tunnel.ipsec()?;
            let sa = planned(tunnel, ipsec, way).into_iter().next()?;
            Some(sa_facts(&self.config, tunnel, ipsec, &sa, way))
        })
    }

    fn plan_finding(
        &self,
        (session, d): (&Session, Direction),
        reason: NotEligible,
        rules: Rules<'_>,
    ) -> FindingView {
        let said = rules.flow_evidence(&self.facts(session, d), reason);
        if !said.is_empty() {
            let layer = "engine".into();
            return FindingView { reason: ReasonView::of(reason), layer, evidence: said };
        }
        if reason == NotEligible::SaNotEligible {
            let sets = self.sas_in_the_way(session, d).map(|facts| rules.sa(&facts));
            let all = sets.fold(ReasonSet::EMPTY, ReasonSet::union);
            let evidence = format!("sa={all}");
            return FindingView {
                reason: ReasonView::of(reason),
                layer: "config".into(),
                evidence,
            };
        }
        self.finding(session, d, reason)
    }
}

/// One page of the SAs of a configuration, the first with the associations. The cursor counts SAs in its low
/// half, and those that would be taken before in its high half, since a table that is full refuses the rest.
fn page(
    config: &Config,
    rules: Rules<'_>,
    profile: &'static Profile,
    cursor: u64,
    rows: usize,
) -> PlanView {
    let mut view = blank(config, profile);
    if cursor == 0 {
        associations(config, rules, &mut view);
    }
    let (from, mut taken) = ((cursor & 0xffff_ffff) as usize, cursor >> 32);
    let room = u64::from(config.limits.sas).min(profile.capabilities.ipsec.sas.unwrap_or(u64::MAX));
    let ipsec = || config.tunnels.iter().filter_map(|tunnel| Some((tunnel, tunnel.ipsec()?)));
    let all = || {
        ipsec().flat_map(|(tunnel, ipsec)| {
            let pairs = planned(tunnel, ipsec, OUT).into_iter().zip(planned(tunnel, ipsec, IN));
            pairs.enumerate().flat_map(move |(n, (out, inn))| {
                [(tunnel, ipsec, n, out, OUT), (tunnel, ipsec, n, inn, IN)]
            })
        })
    };
    let count = all().count();
    for (tunnel, ipsec, n, sa, way) in all().skip(from).take(rows) {
        let facts = sa_facts(config, tunnel, ipsec, &sa, way);
        let mut found = findings(rules, &facts);
        let instead = instead(ipsec, n).into_iter().map(|(suite, esn)| PlanSuiteView {
            suite: format!("{suite}{}", if esn { " esn" } else { "" }),
            against: findings(rules, &SaFacts { suite, esn, ..facts.clone() }),
        });
        if found.is_empty() && taken >= room {
            found.push(FindingView {
                reason: ReasonView::of(RefusalReason::SaTableFull),
                layer: "engine".into(),
                evidence: format!("used={taken} limit={room}"),
            });
        }
        taken += u64::from(found.is_empty());
        view.totals.add_sa(&found);
        view.sas.push(PlanSaView {
            tunnel: tunnel.name.clone(),
            line: tunnel.line.0,
            direction: if way == OUT { "out" } else { "in" }.into(),
            spi: match ipsec.manual() {
                Some(_) => format!("{:#010x}", sa.spi),
                None => "negotiated".to_owned(),
            },
            suite: sa.suite.to_string(),
            mode: sa.mode.to_string().into(),
            instead: instead.collect(),
            against: found,
        });
    }
    let next = from.saturating_add(rows);
    view.next = (next < count).then_some(taken << 32 | next as u64);
    view
}

/// The associations that clients may have: of every server, each direction of each address.
fn associations(config: &Config, rules: Rules<'_>, view: &mut PlanView) {
    let [liked, others @ ..] = Suite::PSK.map(Suite::cipher);
    for tunnel in &config.tunnels {
        let access = tunnel.remote_access().filter(|access| access.dtls);
        for address in access.into_iter().flat_map(|access| &access.addresses) {
            for direction in [OUT, IN] {
                let of = (liked, address.is_ipv6());
                let facts = dtls_facts(config, tunnel.vr, Some(tunnel), of, direction);
                let found = findings_dtls(rules, &facts);
                let instead = others.map(|cipher| PlanSuiteView {
                    suite: cipher.name().into(),
                    against: findings_dtls(rules, &DtlsFacts { cipher, ..facts }),
                });
                view.totals.add_association(&found);
                view.associations.push(PlanAssociationView {
                    server: tunnel.name.clone(),
                    line: tunnel.line.0,
                    address: *address,
                    direction: if direction == OUT { "out" } else { "in" }.into(),
                    version: facts.version.name().into(),
                    cipher: liked.name().into(),
                    against: found,
                    instead: instead.into(),
                });
            }
        }
    }
}

/// What stands against an SA of which this is known.
fn findings(rules: Rules<'_>, facts: &SaFacts) -> Vec<FindingView> {
    let found = rules.sa(facts);
    found.iter().map(|reason| finding(reason, rules.sa_evidence(facts, reason))).collect()
}

/// What stands against an association of which this is known.
fn findings_dtls(rules: Rules<'_>, facts: &DtlsFacts) -> Vec<FindingView> {
    let found = rules.dtls(facts);
    found.iter().map(|reason| finding(reason, rules.dtls_evidence(facts, reason))).collect()
}

/// A reason with what the engine says of it; without, it is one of the configuration.
fn finding(reason: NotEligible, said: Option<String>) -> FindingView {
    FindingView {
        reason: ReasonView::of(reason),
        layer: if said.is_some() { "engine" } else { "config" }.into(),
        evidence: said.unwrap_or_default(),
    }
}

fn blank(config: &Config, profile: &'static Profile) -> PlanView {
    PlanView {
        profile: profile.name().into(),
        about: profile.about.into(),
        config: config.source.clone(),
        ..PlanView::default()
    }
}
