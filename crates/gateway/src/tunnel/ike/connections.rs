//! From the configuration to what IKE is configured with.

use std::time::Duration;

use ::ike::{
    ChildSettings, Connection, LocalAuth, PpkSettings, RemoteAuth, Settings, Side,
    auth::PresharedKey, crypto::Ppk, message::TrafficSelector,
};
use config::{
    Config,
    model::{self, ChildSpec, Peer, PeerId, Selector},
};
use ipnet::IpNet;

use super::addresses;

/// Settings of the endpoint.
pub(super) fn settings() -> Settings {
    Settings { trace: true, ..Settings::default() }
}

/// What IKE calls a child of a tunnel: names of children are unique in their tunnel, and for IKE they
/// have to be among all with a peer. No name has a slash.
pub(super) fn ike_name(tunnel: &str, child: &str) -> String {
    format!("{tunnel}/{child}")
}

/// The child of a tunnel that IKE knows by a name.
pub(in crate::tunnel) fn child_name<'a>(tunnel: &str, name: &'a str) -> Option<&'a str> {
    name.strip_prefix(tunnel)?.strip_prefix('/')
}

/// All peers that some tunnel is negotiated with.
pub(super) fn connections(config: &Config) -> Vec<Connection> {
    let peers = config.peers.iter().enumerate();
    let mut list: Vec<_> = peers
        .map(|(index, peer)| connection(config, PeerId(index as u16), peer))
        .filter(|connection| !connection.children.is_empty())
        .collect();
    list.shrink_to_fit();
    list
}

fn connection(config: &Config, id: PeerId, peer: &Peer) -> Connection {
    let children = config.tunnels.iter().flat_map(|tunnel| {
        let negotiated = tunnel.negotiated().filter(|negotiated| negotiated.peer == id);
        let children = negotiated.map_or(&[][..], |negotiated| &negotiated.children);
        children.iter().map(|spec| child(&tunnel.name, sides(config, peer, spec), spec))
    });
    let mut children: Vec<_> = children.collect();
    children.shrink_to_fit();
    let pool = peer.address_pool.and_then(|id| config.address_pool(id));
    Connection {
        name: peer.name.as_str().into(),
        local: Some(peer.local),
        remote: peer.remote,
        offers: peer.proposals.iter().map(|proposal| proposal.offer.clone()).collect(),
        local_identity: peer.local_id.clone(),
        remote_identity: peer.remote_id.clone(),
        local_auth: local_auth(&peer.auth),
        remote_auth: remote_auth(&peer.remote_auth),
        ppk: peer.ppk.as_ref().map(|ppk| PpkSettings {
            id: ppk.id.clone().into_bytes(),
            key: Ppk(ppk.key.clone()),
            required: ppk.required,
        }),
        children,
        dpd_after: Some(peer.dpd).filter(|dpd| !dpd.is_zero()),
        rekey_after: Some(peer.rekey),
        // what should be replaced and is not ends a tenth later
        lifetime: Some(peer.rekey + peer.rekey / 10),
        transmissions: peer.tries,
        force_encapsulation: peer.force_encapsulation,
        keepalive_after: Some(peer.nat_keepalive).filter(|after| !after.is_zero()),
        fragmentation: peer.fragmentation,
        request_addresses: peer.request_addresses,
        gives_addresses: pool.is_some(),
        dns: pool.map_or_else(Vec::new, |pool| pool.dns.clone()),
    }
}

fn local_auth(of: &model::LocalAuth) -> LocalAuth {
    match of {
        model::LocalAuth::Psk(key) => LocalAuth::Psk(PresharedKey(key.clone())),
        model::LocalAuth::Certificate { own, padding } => LocalAuth::Certificate {
            credentials: own.iter().map(|own| own.credential.clone()).collect(),
            padding: *padding,
        },
    }
}

fn remote_auth(of: &model::RemoteAuth) -> RemoteAuth {
    match of {
        model::RemoteAuth::Psk(key) => RemoteAuth::Psk(PresharedKey(key.clone())),
        model::RemoteAuth::Certificate { trust, .. } => RemoteAuth::Certificate(trust.clone()),
    }
}

fn child(tunnel: &str, [local, remote]: [Vec<Side>; 2], spec: &ChildSpec) -> ChildSettings {
    let seconds = |of: &esp::Lifetime| of.seconds.map(Duration::from_secs);
    ChildSettings {
        name: ike_name(tunnel, &spec.name).into(),
        offers: spec.proposals.iter().map(|proposal| proposal.offer.clone()).collect(),
        local,
        remote,
        mode: spec.mode,
        rekey_after: seconds(&spec.soft),
        lifetime: seconds(&spec.hard),
    }
}

/// Our side and the far side of a child. Who is given an address is held to it.
fn sides(config: &Config, peer: &Peer, spec: &ChildSpec) -> [Vec<Side>; 2] {
    let [local, remote] = selectors(spec);
    let local = local.into_iter().map(match addresses::asks(peer) {
        true => Side::OwnWithin,
        false => Side::Fixed,
    });
    let pool = peer.address_pool.and_then(|id| config.address_pool(id));
    let remote = match pool {
        None => remote.into_iter().map(Side::Fixed).collect(),
        Some(pool) => {
            let whole = pool.ranges.iter().map(|range| TrafficSelector {
                first: range.first,
                last: range.last,
                protocol: 0,
                first_port: 0,
                last_port: u16::MAX,
            });
            let within = |bound: TrafficSelector| {
                remote.iter().filter_map(move |side| Some(Side::OwnWithin(side.intersect(&bound)?)))
            };
            whole.flat_map(within).collect()
        }
    };
    [local.collect(), remote]
}

/// What may pass, by side; nothing stands twice.
fn selectors(spec: &ChildSpec) -> [Vec<TrafficSelector>; 2] {
    if spec.selectors.is_empty() {
        let all = ["0.0.0.0/0", "::/0"].map(|net| {
            let net: IpNet = net.parse().expect("invariant: a prefix");
            selector(&net, None, &(0..=u16::MAX))
        });
        return [all.to_vec(), all.to_vec()];
    }
    let list = |side: &dyn Fn(&Selector) -> TrafficSelector| {
        let mut list: Vec<TrafficSelector> = Vec::new();
        for side in spec.selectors.iter().map(side) {
            if !list.contains(&side) {
                list.push(side);
            }
        }
        list
    };
    [
        list(&|s| selector(&s.local, s.proto, &s.local_ports)),
        list(&|s| selector(&s.remote, s.proto, &s.remote_ports)),
    ]
}

fn selector(
    net: &IpNet,
    proto: Option<u8>,
    ports: &core::ops::RangeInclusive<u16>,
) -> TrafficSelector {
    TrafficSelector {
        first: net.network(),
        last: net.broadcast(),
        protocol: proto.unwrap_or(0),
        first_port: *ports.start(),
        last_port: *ports.end(),
    }
}
