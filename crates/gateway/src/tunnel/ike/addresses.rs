//! Addresses by negotiation (RFC 7296 §2.19): those that peers are given out of a pool, and those that
//! peers give us.
//!
//! What a peer is given is leased in the one book of the gateway, under the identity that it has proved,
//! until its IKE SA is gone. What we are given becomes an address of the tunnel's interface: the
//! configuration in force is the one that was written, and that address. So routes, translation and
//! policies see no difference between the two.
//!
//! Limits: an address that lies in a subnet of another interface is not used, and DNS servers are shown
//! and nothing else.

use core::net::IpAddr;
use std::sync::Arc;

use ::ike::{AddressesWanted, IkeId, RequestAddresses};
use config::{
    Config,
    model::{Peer, Tunnel},
};
use ipnet::IpNet;
use wire::Time;

use crate::{
    Gateway,
    addresses::{Held, Lease, Version},
};

impl Gateway {
    /// A peer that has proved who it is asks for addresses.
    pub(super) fn addresses_wanted(&mut self, wanted: &AddressesWanted, now: Time) {
        let config = Arc::clone(&self.config);
        let peer = config.peers.iter().find(|peer| *peer.name == *wanted.connection);
        let pool = peer.and_then(|peer| config.address_pool(peer.address_pool?));
        let held = if wanted.initial_contact { Held::TakeOver } else { Held::Keep };
        let RequestAddresses { v4, v6 } = wanted.versions;
        let versions = [(v4, Version::V4), (v6, Version::V6)];
        let asked = versions.into_iter().filter_map(|(asked, version)| asked.then_some(version));
        // what the pool does not have is not given, and IKE says so when that is everything
        let leases: Vec<Lease> = asked
            .filter_map(|version| {
                self.addresses.lease(pool?, version, &wanted.identity, held, now).ok()
            })
            .collect();
        let given = leases.iter().map(|lease| lease.address).collect();
        if self.ike.endpoint.give_addresses(now, wanted.question, given) {
            self.ike.leases.insert(wanted.ike, leases);
        } else {
            leases.into_iter().for_each(|lease| self.addresses.release(lease, now));
        }
    }

    /// An IKE SA is gone, and what its peer was given is free.
    pub(super) fn release_addresses(&mut self, ike: IkeId, now: Time) {
        for lease in self.ike.leases.remove(&ike).unwrap_or_default() {
            self.addresses.release(lease, now);
        }
    }

    /// What was written, and the addresses that peers have given us.
    pub(crate) fn with_given_addresses(&self, written: &Arc<Config>) -> Arc<Config> {
        let mut with: Option<Config> = None;
        for peer in written.peers.iter().filter(|peer| asks(peer)) {
            let standing = self.ike.standing(&peer.name);
            let latest = standing.and_then(|standing| standing.sas.iter().next_back());
            let Some((_, up, _)) = latest.filter(|(_, up, _)| up.initiator) else { continue };
            let of = |tunnel: &&Tunnel| {
                tunnel.negotiated().is_some_and(|of| written.peer_name(of.peer) == peer.name)
            };
            let Some(tunnel) = written.tunnels.iter().find(of) else { continue };
            let usable = up.addresses.iter().filter(|ip| is_usable(written, tunnel, **ip));
            let given: Vec<IpNet> = usable.map(|ip| IpNet::from(*ip)).collect();
            let config = with.get_or_insert_with(|| Config::clone(written));
            if let Some(interface) = config.interfaces.get_mut(usize::from(tunnel.interface.0)) {
                // first, so that it is what sources are translated to
                interface.addresses.splice(0..0, given);
            }
        }
        with.map_or_else(|| Arc::clone(written), Arc::new)
    }
}

/// Whether we ask a peer for addresses.
pub(super) fn asks(peer: &Peer) -> bool {
    peer.request_addresses != RequestAddresses::default()
}

/// Whether an address that a peer gives us can be one of a host, and takes nothing from others.
fn is_usable(config: &Config, tunnel: &Tunnel, address: IpAddr) -> bool {
    let host = match address {
        IpAddr::V4(ip) => ip.octets()[0] != 0 && !ip.is_broadcast(),
        IpAddr::V6(ip) => !ip.is_unicast_link_local(),
    };
    let host =
        host && !address.is_unspecified() && !address.is_loopback() && !address.is_multicast();
    let router = config.interface(tunnel.interface).map(|interface| interface.vr);
    let mut beside = config.interfaces.iter().filter(|other| Some(other.vr) == router);
    host && !beside.any(|other| other.addresses.iter().any(|net| net.contains(&address)))
}
