//! Which tunnel's selectors want a packet, without asking every tunnel.
//!
//! Selectors stand under the prefix of their far side. A packet's destination has few prefixes that
//! any selector names; they are looked at from the longest to the shortest. Selectors of different
//! tunnels never overlap (the configuration refuses that), so the first that matches is the only one.

use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet};

use config::{
    Config,
    model::{self, IfId, Selector, VrId},
};
use ipnet::IpNet;
use wire::Tuple;

/// The selectors that bring packets into tunnels.
#[derive(Default)]
pub(super) struct Steering {
    by_far_side: BTreeMap<(VrId, IpNet), Vec<(Selector, IfId)>>,
    /// Prefix lengths that occur, longest first, IPv4 and IPv6.
    lengths: [Vec<u8>; 2],
}

impl Steering {
    pub(super) fn new(config: &Config) -> Self {
        let mut steering = Self::default();
        let mut lengths = [BTreeSet::new(), BTreeSet::new()];
        for tunnel in &config.tunnels {
            let Some(ipsec) = tunnel.ipsec() else { continue };
            if ipsec.steering != model::Steering::Selectors {
                continue;
            }
            let vr = config.interface(tunnel.interface).map_or(VrId(0), |i| i.vr);
            for selector in &ipsec.selectors {
                let far = selector.remote.trunc();
                lengths[version(far.addr())].insert(far.prefix_len());
                let list = steering.by_far_side.entry((vr, far)).or_default();
                list.push((selector.clone(), tunnel.interface));
            }
        }
        steering.lengths = lengths.map(|lengths| lengths.into_iter().rev().collect());
        steering
    }

    pub(super) fn steer(&self, vr: VrId, tuple: &Tuple) -> Option<IfId> {
        let lengths = &self.lengths[version(tuple.dst)];
        lengths.iter().find_map(|length| {
            let far = IpNet::new(tuple.dst, *length).ok()?.trunc();
            let list = self.by_far_side.get(&(vr, far))?;
            let wants = list.iter().find(|(selector, _)| selector.matches(tuple));
            wants.map(|(_, interface)| *interface)
        })
    }
}

const fn version(ip: IpAddr) -> usize {
    match ip {
        IpAddr::V4(_) => 0,
        IpAddr::V6(_) => 1,
    }
}
