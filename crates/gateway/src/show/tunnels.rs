//! Tunnels and SAs as views. Keys are not in them.

use api::{
    ApiError, FindingView, LifetimeView, ReasonCount, ReasonView, ReplayView, SaView, SasView,
    SizesView, Traffic, TunnelView, TunnelsView,
};
use config::model::{Fragmentation, Ipsec, Tunnel, TunnelId, TunnelKind};
use offload::{Direction, ledger::State};
use reason::NotEligible;
use wire::Time;

use super::{at_engine::AtEngine, convert::ago, rows};
use crate::{
    Gateway,
    tunnel::{Child, ChildId, IN, OUT, Sizes, Standing, stats},
};

impl Gateway {
    pub(super) fn show_tunnels(
        &self,
        limit: Option<u32>,
        cursor: Option<u64>,
        now: Time,
    ) -> TunnelsView {
        let total = self.config.tunnels.len() as u64;
        let from = cursor.unwrap_or(0).min(total) as usize;
        let tunnels: Vec<_> = self.config.tunnels[from..]
            .iter()
            .enumerate()
            .take(rows(limit))
            .map(|(at, tunnel)| self.tunnel_view(TunnelId((from + at) as u16), tunnel, now))
            .collect();
        let next = (from + tunnels.len()) as u64;
        TunnelsView { tunnels, total, next: (next < total).then_some(next) }
    }

    pub(super) fn show_sas(
        &self,
        pick: Option<&str>,
        limit: Option<u32>,
        cursor: Option<u64>,
        now: Time,
    ) -> Result<SasView, ApiError> {
        let all = self.picked_sas(pick)?;
        let total = all.len() as u64;
        let from = cursor.unwrap_or(0).min(total) as usize;
        let sas: Vec<_> = all[from..]
            .iter()
            .take(rows(limit))
            .map(|(id, child, direction)| self.sa_view(*id, child, *direction, now))
            .collect();
        let next = (from + sas.len()) as u64;
        Ok(SasView { sas, total, next: (next < total).then_some(next) })
    }

    /// The SAs of a tunnel or with an SPI, or all, in the order of the tunnels.
    pub(super) fn picked_sas(
        &self,
        pick: Option<&str>,
    ) -> Result<Vec<(ChildId, &Child, Direction)>, ApiError> {
        let mut all: Vec<_> = self
            .tunnels
            .children()
            .flat_map(|(id, child)| Direction::BOTH.map(|direction| (id, child, direction)))
            .filter(|(_, child, direction)| self.is_picked(pick, child, *direction))
            .collect();
        all.sort_by_key(|(_, child, _)| child.tunnel);
        match pick {
            Some(pick) if all.is_empty() => {
                Err(ApiError::not_found(format!("no tunnel and no SPI is `{pick}`")))
            }
            Some(_) | None => Ok(all),
        }
    }

    fn is_picked(&self, pick: Option<&str>, child: &Child, direction: Direction) -> bool {
        let Some(pick) = pick else { return true };
        let name = self.config.tunnels.get(usize::from(child.tunnel.0)).map(|t| t.name.as_str());
        let digits = pick.strip_prefix("0x").or_else(|| pick.strip_prefix("0X"));
        let spi = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        name == Some(pick) || spi == Some(parameters(child, direction).spi)
    }

    pub(super) fn tunnel_view(&self, id: TunnelId, tunnel: &Tunnel, now: Time) -> TunnelView {
        let ipsec = tunnel.ipsec();
        let (key, vni) = match &tunnel.kind {
            TunnelKind::Ipsec(_) | TunnelKind::Remote(_) => (None, None),
            TunnelKind::Gre(gre) => (gre.key, None),
            TunnelKind::Vxlan(vxlan) => (None, Some(vxlan.vni)),
        };
        let interface = self.interface(tunnel.interface);
        let way = self.underlay_of(id, tunnel);
        let children: Vec<_> =
            self.tunnels.senders(id).iter().filter_map(|id| self.tunnels.child(*id)).collect();
        let traffic = |(packets, bytes)| Traffic { packets, bytes };
        let (sent, received, errors) = match self.overlays.get(id) {
            Some(it) => (
                traffic((it.sent.packets, it.sent.bytes)),
                traffic((it.received.packets, it.received.bytes)),
                it.errors,
            ),
            None => {
                let carried = self.tunnels.carried_by(id, &tunnel.name);
                (traffic(carried.sent), traffic(carried.received), carried.errors)
            }
        };
        let directions = children.iter().flat_map(|child| {
            Direction::BOTH
                .map(|direction| child.ledger.direction(direction).state().is_installed())
        });
        let (all, installed) =
            directions.fold((0, 0), |(all, fast), is| (all + 1, fast + usize::from(is)));
        let negotiated = ipsec.and_then(Ipsec::negotiated);
        let wanted =
            negotiated.map_or(usize::from(ipsec.is_some()), |negotiated| negotiated.children.len());
        let standing = negotiated.and_then(|of| self.ike.standing(self.config.peer_name(of.peer)));
        let child = children.first();
        let remote =
            child.map(|child| child.outbound.parameters().destination).or(tunnel.far_end());
        let unanswered = standing.is_some_and(|standing| standing.unanswered().is_some());
        TunnelView {
            name: tunnel.name.clone(),
            line: tunnel.line.0,
            kind: tunnel.kind.name().into(),
            state: match (
                interface.enabled,
                !children.is_empty() || ipsec.is_none(),
                way.is_some() || tunnel.remote_access().is_some(),
            ) {
                (false, _, _) => "disabled",
                (true, _, _) if unanswered => "no-answer",
                (true, false, _) => standing.map_or("no-sa", |s| super::ike::phase(s.phase)),
                (true, true, false) => "no-route",
                (true, true, true) if children.len() < wanted => "partial",
                (true, true, true) => "up",
            }
            .into(),
            since_ms: match (children.iter().map(|child| child.created).max(), standing) {
                (Some(at), _) => Some(ago(now, at)),
                (None, Some(standing)) => Some(ago(now, standing.since)),
                (None, None) => None,
            },
            peer: negotiated.map(|of| self.config.peer_name(of.peer).to_owned()),
            failure: standing
                .filter(|_| children.len() < wanted || unanswered)
                .and_then(Standing::trouble)
                .map(|failed| failed.failure.to_string()),
            interface: interface.name.clone(),
            zone: self.zone(interface.zone),
            vr: self.config.virtual_router_name(tunnel.vr).to_owned(),
            local: tunnel.local,
            remote,
            underlay: way.map_or_else(String::new, |(egress, hop)| {
                let name = self.config.interface_name(egress);
                if Some(hop) == remote { name.to_owned() } else { format!("{name} via {hop}") }
            }),
            mode: ipsec.map_or("", |ipsec| mode(ipsec.mode)).into(),
            key,
            vni,
            overhead: tunnel.overhead(),
            mac: tunnel.is_ethernet().then(|| self.topology.mac(interface).to_string()),
            udp: match &tunnel.kind {
                TunnelKind::Ipsec(_) => child.and_then(|child| {
                    let udp = child.outbound.parameters().encapsulation?;
                    Some((udp.source_port, udp.destination_port))
                }),
                TunnelKind::Gre(_) => None,
                TunnelKind::Remote(access) => access.dtls.then_some((access.port, 0)),
                TunnelKind::Vxlan(vxlan) => Some((vxlan.port, vxlan.port)),
            },
            steering: ipsec.map_or_else(|| "routes".into(), |it| it.steering.to_string().into()),
            selectors: ipsec.map_or_else(Vec::new, |ipsec| {
                ipsec.selectors.iter().map(ToString::to_string).collect()
            }),
            mtu: self.exit_mtu(tunnel.interface),
            path_mtu: self.path_mtu(id, tunnel),
            offload: match installed {
                0 => "none",
                installed if installed < all => "partial",
                _ => "full",
            }
            .into(),
            sent,
            received,
            errors,
        }
    }

    pub(super) fn sa_view(
        &self,
        id: ChildId,
        child: &Child,
        direction: Direction,
        now: Time,
    ) -> SaView {
        let parameters = parameters(child, direction);
        let tunnel = self.config.tunnels.get(usize::from(child.tunnel.0));
        let ipsec = tunnel.and_then(Tunnel::ipsec);
        let facts = Facts::of(child, direction, now);
        let record = child.ledger.direction(direction);
        let state = record.state();
        let standing = self.sa_standing(id, child, direction);
        let fast = stats(child, direction);
        let total = facts.total;
        let fast = Traffic { packets: fast.packets, bytes: fast.bytes };
        let mut view = SaView {
            tunnel: tunnel.map_or_else(String::new, |t| t.name.clone()),
            line: tunnel.map_or(0, |t| t.line.0),
            direction: if direction == OUT { "out" } else { "in" }.into(),
            spi: format!("{:#010x}", parameters.spi),
            suite: parameters.suite.to_string(),
            key_bits: parameters.suite.key_bits() as u32,
            icv_bytes: parameters.suite.icv_len() as u32,
            mode: mode(parameters.mode).into(),
            source: parameters.source,
            destination: parameters.destination,
            udp: parameters.encapsulation.map(|udp| (udp.source_port, udp.destination_port)),
            esn: parameters.esn,
            sequence: facts.sequence,
            sequence_limit: facts.sequence_limit,
            replay: facts.replay,
            overhead: facts.overhead,
            egress_optimisation: (direction == OUT)
                .then_some(ipsec.is_some_and(|ipsec| ipsec.egress_optimisation)),
            sizes: tunnel
                .zip(ipsec)
                .filter(|_| direction == OUT)
                .map(|(tunnel, ipsec)| self.sizes_view(tunnel, ipsec, child)),
            reassembled: (direction == IN).then_some(child.sizes.reassembled),
            age_ms: ago(now, child.created),
            expiry: facts.expiry.into(),
            limit: facts.limit.map(|limit| limit.to_string().into()),
            soft_left: lifetime(&facts.soft_left),
            hard_left: lifetime(&facts.hard_left),
            slow: Traffic {
                packets: total.packets - fast.packets,
                bytes: total.bytes - fast.bytes,
            },
            fast,
            dummies: total.dummies,
            keepalives: (direction == OUT).then_some(child.own.keepalives),
            errors: total
                .errors
                .iter()
                .map(|(reason, count)| ReasonCount {
                    reason: ReasonView::of(*reason),
                    count: *count,
                    delta: None,
                })
                .collect(),
            engine: self.engine.name().into(),
            status: standing.status(),
            status_ms: ago(now, record.since()),
            against: Vec::new(),
            refusal: None,
            demotion: None,
        };
        if let State::NotEligible(set) = state {
            let finding = |reason| self.sa_finding(id, direction, reason);
            view.against = set.iter().map(finding).collect();
        }
        view.refusal = standing.refusal(now);
        view.demotion = standing.demotion(now);
        view
    }

    /// Where a direction of a child stands with the engine.
    pub(super) fn sa_standing(
        &self,
        id: ChildId,
        child: &Child,
        direction: Direction,
    ) -> AtEngine<'_> {
        let record = *child.ledger.direction(direction);
        let served = stats(child, direction).packets;
        AtEngine::of(self.tunnels.ledger(), id.0, (direction, record), child.created, served)
    }

    fn sizes_view(&self, tunnel: &Tunnel, ipsec: &Ipsec, child: &Child) -> SizesView {
        let Sizes { before, after, reassembled: _, told, believed, doubted } = child.sizes;
        let fragmentation = match child.outbound.parameters().mode {
            esp::Mode::Tunnel => ipsec.fragmentation,
            // only whole packets are sealed
            esp::Mode::Transport => Fragmentation::After,
        };
        SizesView {
            path_mtu: self.sa_path_mtu(child),
            learnt: child.path_mtu.is_some(),
            mtu: self.exit_mtu(tunnel.interface),
            df: ipsec.df.to_string().into(),
            fragmentation: fragmentation.to_string().into(),
            cut_before: before.packets,
            fragments_before: before.fragments,
            cut_after: after.packets,
            fragments_after: after.fragments,
            too_big_sent: told,
            too_big_believed: believed,
            too_big_doubted: doubted,
        }
    }

    /// What the history says of the last refusal and demotion of an SA.
    /// What is known of a next hop that is not resolved.
    pub(crate) fn next_hop_words(&self, next_hop: u32) -> String {
        match self.neighbours.get(crate::neighbour::NeighbourId(next_hop)) {
            Some(n) => format!("nexthop={} state={}", n.address, n.state.name()),
            None => "no packet was sent that way yet".into(),
        }
    }

    fn sa_finding(&self, id: ChildId, direction: Direction, reason: NotEligible) -> FindingView {
        let facts = self.sa_facts(id, direction);
        let said = facts.and_then(|facts| self.rules().sa_evidence(&facts, reason));
        let (layer, evidence) = match said {
            Some(evidence) => ("engine", evidence),
            None if reason == NotEligible::NeighbourUnresolved => {
                let next_hop = self.tunnels.child(id).map_or(u32::MAX, |child| child.next_hop);
                ("core", self.next_hop_words(next_hop))
            }
            None => ("config", String::new()),
        };
        FindingView { reason: ReasonView::of(reason), layer: layer.into(), evidence }
    }
}

/// What both kinds of SA tell.
struct Facts {
    sequence: u64,
    sequence_limit: Option<u64>,
    replay: Option<ReplayView>,
    overhead: Option<(u32, u32)>,
    expiry: &'static str,
    limit: Option<esp::Limit>,
    soft_left: esp::Lifetime,
    hard_left: esp::Lifetime,
    total: esp::Tally,
}

impl Facts {
    fn of(child: &Child, direction: Direction, now: Time) -> Self {
        match direction {
            OUT => {
                let (status, overhead) = (child.outbound.status(now), child.outbound.overhead());
                let (expiry, limit) = words(status.expiry);
                Self {
                    sequence: status.sequence,
                    sequence_limit: Some(status.sequence_limit),
                    replay: None,
                    overhead: Some((overhead.min as u32, overhead.max as u32)),
                    expiry,
                    limit,
                    soft_left: status.soft_left,
                    hard_left: status.hard_left,
                    total: status.total,
                }
            }
            IN => {
                let (status, bitmap) = (child.inbound.status(now), child.inbound.replay_bitmap());
                let (expiry, limit) = words(status.expiry);
                Self {
                    sequence: status.sequence,
                    sequence_limit: None,
                    replay: Some(ReplayView {
                        window: bitmap.window,
                        top: bitmap.top,
                        bitmap: bitmap.words.iter().map(|word| format!("{word:08x}")).collect(),
                    }),
                    overhead: None,
                    expiry,
                    limit,
                    soft_left: status.soft_left,
                    hard_left: status.hard_left,
                    total: status.total,
                }
            }
        }
    }
}

const fn words(expiry: esp::Expiry) -> (&'static str, Option<esp::Limit>) {
    match expiry {
        esp::Expiry::Live => ("live", None),
        esp::Expiry::Soft(limit) => ("soft", Some(limit)),
        esp::Expiry::Hard(limit) => ("hard", Some(limit)),
    }
}

pub(super) fn parameters(child: &Child, direction: Direction) -> &esp::Parameters {
    match direction {
        OUT => child.outbound.parameters(),
        IN => child.inbound.parameters(),
    }
}

const fn mode(mode: esp::Mode) -> &'static str {
    match mode {
        esp::Mode::Tunnel => "tunnel",
        esp::Mode::Transport => "transport",
    }
}

fn lifetime(left: &esp::Lifetime) -> LifetimeView {
    LifetimeView {
        packets: left.packets,
        kilobytes: left.bytes.map(|bytes| bytes / 1000),
        seconds: left.seconds,
    }
}
