//! Sessions as views: pages, the summary, and the three facts per direction.

use std::collections::BTreeMap;

use api::{
    DemotionView, FactView, FindingView, Name, OffloadWord, PlacementStatus, PlacementView,
    ReasonView, RefusalView, RuleRef, SessionSummaryView, SessionView, SessionsView, StateCount,
    TierTraffic, Traffic, TranslationView, filter::Filter, proto_name,
};
use offload::{
    Direction, Retry,
    ledger::{Event, Kind as LedgerKind, State},
};
use reason::{NotEligible, Reason};
use wire::Time;

use super::{
    convert::{ago, direction, rule, traffic, tuple},
    rows,
};
use crate::{
    Gateway,
    session::{Kind, Session, SessionId},
    tunnel::{IN, OUT},
};

/// Slots looked at for one page, so that a filter that matches nothing costs no more than a page.
pub(super) const SCAN: u32 = 8_192;

impl Gateway {
    pub(super) fn show_sessions(
        &self,
        filter: &Filter,
        limit: Option<u32>,
        cursor: Option<u64>,
        offload: bool,
        now: Time,
    ) -> SessionsView {
        let rows = rows(limit);
        let start = cursor.and_then(|c| u32::try_from(c).ok()).unwrap_or(0);
        let mut view =
            SessionsView { total: self.sessions.len().into(), ..SessionsView::default() };
        let end = start.saturating_add(SCAN).min(self.sessions.slots());
        for (id, session) in self.sessions.page(start, end.saturating_sub(start)) {
            view.scanned += 1;
            if self.matches(id, filter) {
                view.sessions.push(self.session_view(id, session, offload, now));
                if view.sessions.len() >= rows {
                    view.next = Some(u64::from(id.index) + 1);
                    return view;
                }
            }
        }
        view.next = (end < self.sessions.slots()).then_some(u64::from(end));
        view
    }

    pub(super) fn show_session_summary(&self, now: Time) -> SessionSummaryView {
        let gauges = self.sessions.gauges();
        let ledger = &self.promotion.ledger;
        let mut view = SessionSummaryView {
            sessions: self.sessions.len().into(),
            capacity: self.config.limits.sessions.into(),
            half_open: gauges.half_open.into(),
            half_open_limit: self.config.limits.half_open.into(),
            created: self.counters.sessions_created,
            ended: self.counters.sessions_ended,
            installed_flows: ledger.directions(LedgerKind::Installed)
                + ledger.directions(LedgerKind::Hitting),
            hitting_flows: ledger.directions(LedgerKind::Hitting),
            ..SessionSummaryView::default()
        };
        if self.sessions.slots() <= SCAN {
            let mut census = Census::default();
            self.sessions.page(0, SCAN).for_each(|(_, session)| census.count(session));
            census.fill(&mut view);
            view.counted_ms = Some(0);
        } else if let Some((at, census)) = self.jobs.census() {
            census.fill(&mut view);
            view.counted_ms = Some(ago(now, *at));
        }
        view
    }

    pub(super) fn session_view(
        &self,
        id: SessionId,
        session: &Session,
        offload: bool,
        now: Time,
    ) -> SessionView {
        let last = self.last_seen(session);
        let timeout = session.timeout(&self.config.timeouts);
        let idle = now.since(last);
        let forward = session.kind == Kind::Forward;
        let placements = Direction::BOTH.map(|d| self.placement(id, session, d, now));
        let mut against: Vec<Name> = Vec::new();
        for placement in &placements {
            let names = placement.against.iter().map(|f| f.reason.name.clone());
            let refusal = placement.refusal.iter().map(|r| r.reason.name.clone());
            for name in names.chain(refusal) {
                if !against.contains(&name) {
                    against.push(name);
                }
            }
        }
        let login = self.users.of(session);
        SessionView {
            id: id.as_u64(),
            vr: self.config.virtual_router_name(session.vr).to_owned(),
            original: tuple(&session.original),
            reply: tuple(&session.reply),
            state: session.state().name().into(),
            user: login.map(|login| login.user.to_string()),
            groups: login.map_or_else(Vec::new, |login| login.groups.to_vec()),
            policy: self.rule_of(session),
            snat: self.snat_of(session),
            dnat: self.dnat_of(session),
            ingress: self.interface_name(session.ingress),
            egress: if forward { self.interface_name(session.egress) } else { String::new() },
            from_zone: self.zone_of(session.ingress),
            to_zone: if forward { self.zone_of(session.egress) } else { String::new() },
            next_hop: self.next_hop(session, Direction::Original),
            reply_next_hop: self.next_hop(session, Direction::Reply),
            age_ms: ago(now, session.created),
            idle_ms: idle.as_millis() as u64,
            expires_ms: timeout.saturating_sub(idle).as_millis() as u64,
            timeout_ms: timeout.as_millis() as u64,
            original_traffic: self.tier_traffic(session, Direction::Original),
            reply_traffic: self.tier_traffic(session, Direction::Reply),
            mtu: self.config.interface(session.egress).map_or(0, |i| i.mtu),
            mss_clamp: session.mss_clamp(),
            offload: word(session),
            offload_reasons: against,
            placements: if offload { placements.into() } else { Vec::new() },
        }
    }

    /// The rule that let a session pass.
    pub(super) fn rule_of(&self, session: &Session) -> RuleRef {
        let local = |rules: &[config::model::LocalRule], kind| {
            rules
                .get(session.rule as usize)
                .map(|r| rule(kind, None, &r.name, r.line))
                .unwrap_or_default()
        };
        match session.kind {
            Kind::Forward => match self.config.policy_by_id(session.rule) {
                Some(policy) => rule("policy", Some(policy.id), &policy.name, policy.line),
                None => {
                    RuleRef { kind: "policy".into(), id: Some(session.rule), ..RuleRef::default() }
                }
            },
            Kind::LocalIn => local(&self.config.local_in, "local-in"),
            Kind::LocalOut => local(&self.config.local_out, "local-out"),
        }
    }

    fn tier_traffic(&self, session: &Session, d: Direction) -> TierTraffic {
        let live = self.live_stats(session, d);
        let fast = traffic(session.fast(d)) + Traffic { packets: live.packets, bytes: live.bytes };
        let slow = session.slow(d);
        let setup = session.setup(d);
        TierTraffic {
            fast,
            slow_established: Traffic {
                packets: slow.packets.saturating_sub(setup.packets),
                bytes: slow.bytes.saturating_sub(setup.bytes),
            },
            slow_setup: traffic(setup),
        }
    }

    fn snat_of(&self, session: &Session) -> Option<TranslationView> {
        let (original, reply) = (&session.original, &session.reply);
        let changed = (reply.dst, reply.dst_port) != (original.src, original.src_port);
        changed.then(|| TranslationView {
            address: reply.dst,
            port: reply.dst_port,
            rule: self.rule_of(session),
        })
    }

    fn dnat_of(&self, session: &Session) -> Option<TranslationView> {
        let (original, reply) = (&session.original, &session.reply);
        let changed = (reply.src, reply.src_port) != (original.dst, original.dst_port);
        let vip = session.vip().and_then(|index| self.config.vips.get(usize::from(index)));
        changed.then(|| TranslationView {
            address: reply.src,
            port: reply.src_port,
            rule: vip.map(|vip| rule("vip", None, &vip.name, vip.line)).unwrap_or_default(),
        })
    }

    fn next_hop(&self, session: &Session, d: Direction) -> Option<core::net::IpAddr> {
        let id = session.next_hop[d.index()];
        self.neighbours.get(crate::neighbour::NeighbourId(id)).map(|n| n.address)
    }

    /// The three facts of a direction, and what stands in the way.
    pub(super) fn placement(
        &self,
        id: SessionId,
        session: &Session,
        d: Direction,
        now: Time,
    ) -> PlacementView {
        let record = session.ledger.direction(d);
        let state = record.state();
        let stats = self.live_stats(session, d);
        let since = Some(ago(now, record.since()));
        let installed = state.is_installed();
        let hitting = installed && stats.packets > 0;
        let eligible = installed || matches!(state, State::Eligible | State::Refused(_));
        let fact = |holds, known| FactView { holds, for_ms: if known { since } else { None } };
        let mut view = PlacementView {
            direction: direction(d),
            engine: self.engine.name().into(),
            status: match state {
                State::NotEvaluated | State::NotEligible(_) | State::Retiring(..) => {
                    PlacementStatus::NotEligible
                }
                State::Eligible => PlacementStatus::Eligible,
                State::Refused(_) => PlacementStatus::Refused,
                State::Installed(_) | State::Hitting(_) if hitting => PlacementStatus::Hitting,
                State::Installed(_) | State::Hitting(_) => PlacementStatus::Installed,
            },
            // How long an engine has had a direction that hits, only the history knows.
            eligible: fact(eligible, !matches!(state, State::Hitting(_))),
            installed: fact(installed, matches!(state, State::Installed(_))),
            hitting: fact(hitting, matches!(state, State::Hitting(_))),
            installed_by_packet: None,
            traffic: Traffic { packets: stats.packets, bytes: stats.bytes },
            last_hit_ms: (stats.packets > 0).then(|| ago(now, stats.last_hit)),
            against: Vec::new(),
            refusal: None,
            demotion: None,
        };
        if let State::NotEligible(set) = state {
            view.against = set.iter().map(|reason| self.finding(session, d, reason)).collect();
        }
        self.last_steps(id, session, d, now, &mut view);
        view
    }

    /// What the history says of the last refusal and demotion of a direction.
    fn last_steps(
        &self,
        id: SessionId,
        session: &Session,
        d: Direction,
        now: Time,
        view: &mut PlacementView,
    ) {
        let refused = matches!(view.status, PlacementStatus::Refused);
        let record = session.ledger.direction(d);
        let mut times = 0;
        for entry in self.promotion.ledger.history().of(id.index, session.created) {
            if entry.direction != d {
                continue;
            }
            match entry.event {
                Event::Refused(refusal) => {
                    times += 1;
                    view.refusal = refused.then(|| RefusalView {
                        reason: ReasonView::of(refusal.reason),
                        evidence: evidence(&refusal),
                        engine_words: None,
                        retry: match refusal.retry {
                            Retry::NextPacket => "next-packet",
                            Retry::WhenRoom => "when-room",
                            Retry::NotBefore(_) => "not-before",
                            Retry::Never => "never",
                        }
                        .into(),
                        retry_in_ms: match refusal.retry {
                            Retry::NotBefore(at) => Some(at.since(now).as_millis() as u64),
                            Retry::NextPacket | Retry::WhenRoom | Retry::Never => None,
                        },
                        ago_ms: ago(now, entry.time),
                        times,
                    });
                }
                Event::Retiring(reason) | Event::Removed(reason, _) => {
                    view.demotion = Some(DemotionView {
                        reason: ReasonView::of(reason),
                        evidence: String::new(),
                        ago_ms: ago(now, entry.time),
                    });
                }
                // The record itself says since when it hits, once it does.
                Event::Installed(handle) if record.state().handle() == Some(handle) => {
                    let since = Some(ago(now, entry.time));
                    if view.installed.holds {
                        (view.eligible.for_ms, view.installed.for_ms) = (since, since);
                    }
                }
                Event::NotEligible(_) | Event::Installed(_) | Event::FirstHit => {}
            }
        }
    }

    /// The tunnels a direction comes out of and goes into, with the SA that serves it there:
    /// `tunnel=to-paris spi=0x00002001 direction=out status=not-eligible`.
    fn sas_of(&self, session: &Session, d: Direction) -> String {
        let ways = match d {
            Direction::Original => [(session.ingress, IN), (session.egress, OUT)],
            Direction::Reply => [(session.egress, IN), (session.ingress, OUT)],
        };
        let (came, leaves) = (session.key(d), session.key(d.opposite()).reversed());
        let sas = ways.into_iter().filter_map(|(interface, way)| {
            let tuple = if way == OUT { leaves } else { came.reversed() };
            if let Some(number) = self.clients.at(interface, tuple.dst) {
                let (client, word) =
                    (self.clients.get(number)?, if way == OUT { "out" } else { "in" });
                let state = client.ledger.direction(way).state().name();
                return Some(format!("dtls-client={} direction={word} status={state}", number.0));
            }
            let (id, tunnel) = self.tunnel_of(interface)?;
            let child = self.tunnels.child(self.tunnels.sending(id, &tuple)?)?;
            let (word, parameters) = match way {
                OUT => ("out", child.outbound.parameters()),
                Direction::Reply => ("in", child.inbound.parameters()),
            };
            let state = child.ledger.direction(way).state().name();
            let (name, spi) = (&tunnel.name, parameters.spi);
            Some(format!("tunnel={name} spi={spi:#010x} direction={word} status={state}"))
        });
        sas.collect::<Vec<_>>().join(" ")
    }

    pub(super) fn finding(
        &self,
        session: &Session,
        d: Direction,
        reason: NotEligible,
    ) -> FindingView {
        let seen = session.packets_seen();
        let settings = &self.config.offload;
        let (layer, evidence) = match reason {
            NotEligible::NotEstablished | NotEligible::TcpClosing => {
                ("core", format!("state={}", session.state().name()))
            }
            NotEligible::AwaitingReply => {
                ("core", format!("packets={seen} one-way-packets={}", settings.one_way_packets))
            }
            NotEligible::BelowPacketThreshold => {
                ("config", format!("packets={seen} after-packets={}", settings.after_packets))
            }
            NotEligible::NeighbourUnresolved => {
                let id = crate::neighbour::NeighbourId(session.next_hop[d.index()]);
                let evidence = match self.neighbours.get(id) {
                    Some(n) => format!("nexthop={} state={}", n.address, n.state.name()),
                    None => "no packet was sent that way yet".into(),
                };
                ("core", evidence)
            }
            NotEligible::LocalDestination | NotEligible::LocalOrigin => {
                ("core", format!("address={}", session.original.dst))
            }
            NotEligible::DisabledGlobally => ("config", "offload.mode=off".into()),
            NotEligible::DisabledByVirtualRouter => (
                "config",
                format!("virtual-router={}", self.config.virtual_router_name(session.vr)),
            ),
            NotEligible::DisabledByPolicy => ("policy", format!("policy={}", session.rule)),
            NotEligible::DisabledByTunnel
            | NotEligible::SaNotInstalled
            | NotEligible::SaRefused
            | NotEligible::SaNotEligible
            | NotEligible::EgressOptimisationOff => ("config", self.sas_of(session, d)),
            NotEligible::InterfaceWithoutEngine
            | NotEligible::InterfacesOnDifferentEngines
            | NotEligible::GreNotOffloaded
            | NotEligible::VxlanNotOffloaded
            | NotEligible::RemoteAccessNotOffloaded => {
                let (a, b) =
                    (self.interface_name(session.ingress), self.interface_name(session.egress));
                ("config", format!("interfaces={a},{b}"))
            }
            NotEligible::Multicast
            | NotEligible::Broadcast
            | NotEligible::InspectionFlow
            | NotEligible::InspectionProxy
            | NotEligible::HelperActive
            | NotEligible::ShaperSoftware
            | NotEligible::HaConfig => ("core", String::new()),
            NotEligible::ProtocolUnsupported
            | NotEligible::AddressFamilyUnsupported
            | NotEligible::NatUnsupported
            | NotEligible::Fragment
            | NotEligible::IpOptions
            | NotEligible::TcpWindowUnchecked
            | NotEligible::TunnelledFlow => {
                ("engine", self.rules().flow_evidence(&self.facts(session, d), reason))
            }
            // These are said of SAs and associations.
            NotEligible::CipherUnsupported
            | NotEligible::IntegrityUnsupported
            | NotEligible::KeyLength
            | NotEligible::IcvLength
            | NotEligible::ReplayWindowSize
            | NotEligible::ReplayNeedsEsn
            | NotEligible::EsnUnsupported
            | NotEligible::TunnelMode
            | NotEligible::TransportMode
            | NotEligible::Compression
            | NotEligible::NatTraversal
            | NotEligible::TfcPadding
            | NotEligible::SelectorTooSpecific
            | NotEligible::PostFragmentation
            | NotEligible::Ikev1
            | NotEligible::TunnelledFilter
            | NotEligible::MultiContext
            | NotEligible::VolumeLifetime
            | NotEligible::LifetimeOrder
            | NotEligible::DtlsVersionUnsupported
            | NotEligible::DtlsCompression
            | NotEligible::DtlsNotOffloaded => ("engine", String::new()),
        };
        FindingView { reason: ReasonView::of(reason), layer: layer.into(), evidence }
    }
}

/// Sessions counted for the summary.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Census {
    states: BTreeMap<(u8, &'static str), u64>,
    not_offloaded: u64,
    partly_offloaded: u64,
    offloaded: u64,
}

impl Census {
    pub(crate) fn count(&mut self, session: &Session) {
        *self.states.entry((session.original.proto, session.state().name())).or_default() += 1;
        match word(session) {
            OffloadWord::None => self.not_offloaded += 1,
            OffloadWord::Partial => self.partly_offloaded += 1,
            OffloadWord::Full => self.offloaded += 1,
        }
    }

    fn fill(&self, view: &mut SessionSummaryView) {
        view.not_offloaded = self.not_offloaded;
        view.partly_offloaded = self.partly_offloaded;
        view.offloaded = self.offloaded;
        let counts = self.states.iter().map(|((proto, state), sessions)| StateCount {
            proto: proto_name(*proto),
            state: (*state).into(),
            sessions: *sessions,
        });
        view.by_state = counts.collect();
    }
}

fn word(session: &Session) -> OffloadWord {
    match Direction::BOTH
        .iter()
        .filter(|d| session.ledger.direction(**d).state().is_installed())
        .count()
    {
        0 => OffloadWord::None,
        1 => OffloadWord::Partial,
        _ => OffloadWord::Full,
    }
}

/// `used=1024 limit=1024`
pub(super) fn evidence(refusal: &offload::Refusal) -> String {
    let pairs: Vec<_> =
        refusal.evidence.iter().flatten().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join(" ")
}

/// The name of a reason of any class, for views.
pub(super) fn name<R: Reason>(reason: R) -> Name {
    reason.row().name.into()
}
