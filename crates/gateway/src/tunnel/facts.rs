//! What an engine needs to know of an SA or an association, as far as the configuration tells it.

use aead::Algorithm;
use config::{
    Config,
    model::{ChildSpec, Fragmentation, Ipsec, OffloadMode, Steering, Tunnel, VrId},
};
use offload::{Direction, DtlsFacts, DtlsVersion, Keying, SaFacts};
use reason::{NotEligible, ReasonSet};

use super::{HOP_LIMIT, OUT, Way};

/// The facts of one SA of a tunnel; the findings are the switches.
pub(crate) fn sa_facts(
    config: &Config,
    tunnel: &Tunnel,
    ipsec: &Ipsec,
    sa: &esp::Parameters,
    direction: Direction,
) -> SaFacts {
    let mut selector_protocols: Vec<u8> = ipsec.selectors.iter().filter_map(|s| s.proto).collect();
    selector_protocols.sort_unstable();
    selector_protocols.dedup();
    SaFacts {
        direction,
        suite: sa.suite,
        mode: sa.mode,
        ipv6: tunnel.local.is_ipv6(),
        esn: sa.esn,
        replay_window: sa.replay_window,
        udp_encapsulation: sa.encapsulation.is_some(),
        // The configuration refuses it.
        compression: false,
        pad_to: sa.pad_to,
        post_fragmentation: ipsec.fragmentation == Fragmentation::After,
        keying: match ipsec.keying {
            config::model::Keying::Manual(_) => Keying::Manual,
            config::model::Keying::Ike(_) => Keying::Ikev2,
        },
        selector_protocols,
        // Selectors that steer say which packets the tunnel is for. Where routes do that, they filter.
        filters: match ipsec.steering {
            Steering::Routes => ipsec.selectors.len(),
            Steering::Selectors => 0,
        },
        virtual_routers: config.virtual_routers.len(),
        soft: sa.soft,
        hard: sa.hard,
        findings: switched_off(
            config,
            tunnel.vr,
            Some(tunnel.offload),
            direction,
            ipsec.egress_optimisation,
        ),
    }
}

/// The facts of a direction of an association of a client; the findings are the switches.
pub(crate) fn dtls_facts(
    config: &Config,
    vr: VrId,
    tunnel: Option<&Tunnel>,
    (cipher, ipv6): (Algorithm, bool),
    direction: Direction,
) -> DtlsFacts {
    let access = tunnel.and_then(Tunnel::remote_access);
    let optimises = access.is_none_or(|access| access.egress_optimisation);
    DtlsFacts {
        // The handshake takes no other, and no compression.
        version: DtlsVersion::V1_2,
        compression: false,
        cipher,
        ipv6,
        virtual_routers: config.virtual_routers.len(),
        findings: switched_off(config, vr, tunnel.map(|t| t.offload), direction, optimises),
    }
}

/// The SAs of a tunnel in one direction, as the configuration has them: of those that are negotiated, with
/// the algorithms we like best.
pub(crate) fn planned(
    tunnel: &Tunnel,
    ipsec: &Ipsec,
    direction: Direction,
) -> Vec<esp::Parameters> {
    let negotiated = match &ipsec.keying {
        config::model::Keying::Ike(negotiated) => negotiated,
        config::model::Keying::Manual(manual) => {
            let way = if direction == OUT { Way::Out } else { Way::In };
            return vec![super::parameters(tunnel, ipsec, manual, way)];
        }
    };
    let (source, destination) = match direction {
        OUT => (tunnel.local, tunnel.remote),
        Direction::Reply => (tunnel.remote, tunnel.local),
    };
    let parameters = |child: &ChildSpec| {
        let (suite, esn) = child.proposals.first()?.offer.suites().into_iter().next()?;
        Some(esp::Parameters {
            spi: 0,
            suite,
            key: esp::KeyMaterial::from_bytes(&[]),
            mode: child.mode,
            source,
            destination,
            encapsulation: None,
            esn,
            replay_window: child.replay_window,
            soft: child.soft,
            hard: child.hard,
            dscp: ipsec.dscp,
            df: ipsec.df,
            pad_to: ipsec.pad_to,
            hop_limit: HOP_LIMIT,
            allow_null: ipsec.allow_null,
        })
    };
    negotiated.children.iter().filter_map(parameters).collect()
}

/// What may be negotiated for the `index`th child instead: other suites, and whether sequence numbers are
/// extended. Nothing for SAs that are keyed by hand.
pub(crate) fn instead(ipsec: &Ipsec, index: usize) -> Vec<(esp::Suite, bool)> {
    let config::model::Keying::Ike(negotiated) = &ipsec.keying else { return Vec::new() };
    let proposals = negotiated.children.get(index).map(|child| child.proposals.iter());
    let mut all = Vec::new();
    for suite in proposals.into_iter().flatten().flat_map(|proposal| proposal.offer.suites()) {
        if !all.contains(&suite) {
            all.push(suite);
        }
    }
    all.split_off(all.len().min(1))
}

fn switched_off(
    config: &Config,
    vr: VrId,
    tunnel: Option<OffloadMode>,
    direction: Direction,
    egress_optimisation: bool,
) -> ReasonSet<NotEligible> {
    let vr = config.virtual_routers.get(usize::from(vr.0));
    let switches = [
        (Some(config.offload.mode), NotEligible::DisabledGlobally),
        (vr.map(|vr| vr.offload), NotEligible::DisabledByVirtualRouter),
        (tunnel, NotEligible::DisabledByTunnel),
    ];
    let off = switches.into_iter().filter(|(mode, _)| *mode == Some(OffloadMode::Off));
    let egress =
        (direction == OUT && !egress_optimisation).then_some(NotEligible::EgressOptimisationOff);
    off.map(|(_, reason)| reason).chain(egress).collect()
}
