//! What an engine needs to know of an SA, as far as the configuration tells it.

use config::{
    Config,
    model::{Fragmentation, Ipsec, OffloadMode, Steering, Tunnel},
};
use offload::{Direction, Keying, SaFacts};
use reason::{NotEligible, ReasonSet};

use super::OUT;

/// The facts of one SA of a tunnel; the findings are the switches.
pub(crate) fn sa_facts(
    config: &Config,
    tunnel: &Tunnel,
    ipsec: &Ipsec,
    direction: Direction,
) -> SaFacts {
    let sa = if direction == OUT { &ipsec.outbound } else { &ipsec.inbound };
    let mut selector_protocols: Vec<u8> = ipsec.selectors.iter().filter_map(|s| s.proto).collect();
    selector_protocols.sort_unstable();
    selector_protocols.dedup();
    SaFacts {
        direction,
        suite: sa.suite,
        mode: ipsec.mode,
        ipv6: tunnel.local.is_ipv6(),
        esn: ipsec.esn,
        replay_window: ipsec.replay_window,
        udp_encapsulation: ipsec.encapsulation.is_some(),
        // The configuration refuses it.
        compression: false,
        pad_to: ipsec.pad_to,
        post_fragmentation: ipsec.fragmentation == Fragmentation::After,
        keying: Keying::Manual,
        selector_protocols,
        // Selectors that steer say which packets the tunnel is for. Where routes do that, they filter.
        filters: match ipsec.steering {
            Steering::Routes => ipsec.selectors.len(),
            Steering::Selectors => 0,
        },
        virtual_routers: config.virtual_routers.len(),
        soft: ipsec.soft,
        hard: ipsec.hard,
        findings: switched_off(config, tunnel, ipsec, direction),
    }
}

fn switched_off(
    config: &Config,
    tunnel: &Tunnel,
    ipsec: &Ipsec,
    direction: Direction,
) -> ReasonSet<NotEligible> {
    let vr = config.virtual_routers.get(usize::from(tunnel.vr.0));
    let switches = [
        (Some(config.offload.mode), NotEligible::DisabledGlobally),
        (vr.map(|vr| vr.offload), NotEligible::DisabledByVirtualRouter),
        (Some(tunnel.offload), NotEligible::DisabledByTunnel),
    ];
    let off = switches.into_iter().filter(|(mode, _)| *mode == Some(OffloadMode::Off));
    let egress = (direction == OUT && !ipsec.egress_optimisation)
        .then_some(NotEligible::EgressOptimisationOff);
    off.map(|(_, reason)| reason).chain(egress).collect()
}
