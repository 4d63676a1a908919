//! From tables to the model: one file for each group of sections, in the order in which they refer
//! to one another.

mod address_pool;
mod auth;
mod ike;
mod nat;
mod network;
mod objects;
mod overlay;
mod remote;
mod route;
mod rules;
mod settings;
mod shadow;
mod tunnel;

use toml::de::DeTable;

use crate::{
    keys,
    model::{Config, VirtualRouter},
    names::Names,
    read::{Doc, Tab},
    values,
};

/// Names that rules and routes refer to.
pub(crate) struct Scope<'d> {
    pub doc: &'d Doc<'d>,
    pub virtual_routers: Names,
    pub ports: Names,
    pub interfaces: Names,
    pub tunnels: Names,
    pub peers: Names,
    pub zones: Names,
    pub pools: Names,
    pub address_pools: Names,
}

/// Builds the whole configuration. Where the document has errors the result is a stand-in that
/// must not be used.
pub(crate) fn config<'d>(doc: &'d Doc<'d>, root: &'d DeTable<'_>) -> Config {
    let top = Tab::new(doc, &keys::ROOT, root, 0..0);
    let router_tabs = top.tables("virtual-router", &keys::VIRTUAL_ROUTER);
    let port_tabs = top.tables("port", &keys::PORT);
    let interface_tabs = top.tables("interface", &keys::INTERFACE);
    let peer_tabs = top.tables("phase1", &keys::PHASE1);
    let mut tunnel_tabs = top.tables("ipsec", &keys::IPSEC);
    tunnel_tabs.extend(top.tables("gre", &keys::GRE));
    tunnel_tabs.extend(top.tables("vxlan", &keys::VXLAN));
    tunnel_tabs.extend(top.tables("remote-access", &keys::REMOTE_ACCESS));
    let pool_tabs = top.tables("pool", &keys::POOL);
    let address_pool_tabs = top.tables("address-pool", &keys::ADDRESS_POOL);

    let (router_names, virtual_routers) = network::virtual_routers(doc, &router_tabs);
    let (port_names, port_list) = Names::collect(doc, "port", &port_tabs);
    let (interface_names, interface_list) = Names::collect(doc, "interface", &interface_tabs);
    let (peer_names, peer_list) = Names::collect(doc, "phase1", &peer_tabs);
    let (tunnel_names, tunnel_list) = Names::collect(doc, "tunnel", &tunnel_tabs);
    let (pool_names, pool_list) = Names::collect(doc, "pool", &pool_tabs);
    let (address_pool_names, address_pool_list) =
        Names::collect(doc, "address pool", &address_pool_tabs);
    let mut scope = Scope {
        doc,
        virtual_routers: router_names,
        ports: port_names,
        interfaces: interface_names,
        tunnels: tunnel_names,
        peers: peer_names,
        zones: Names::new("zone", "an interface"),
        pools: pool_names,
        address_pools: address_pool_names,
    };

    let ports = network::ports(doc, &port_tabs, &port_list);
    let before = doc.errors();
    let (mut zones, zone_of) = network::zones(&mut scope, &interface_tabs, &interface_list);
    let mut interfaces =
        network::interfaces(&scope, &interface_tabs, &interface_list, &zone_of, &ports);
    let written = interfaces.len();
    let interface_of =
        tunnel::interfaces(&mut scope, &tunnel_tabs, &tunnel_list, &mut zones, &mut interfaces);
    let sound = doc.errors() == before;
    let offload = settings::offload(&top);
    let peers = ike::Peers::read(&scope, &peer_tabs, &peer_list);
    let tunnels = tunnel::tunnels(
        &scope,
        &tunnel_tabs,
        &tunnel_list,
        &interface_of,
        &interfaces,
        written,
        (&offload, &peers),
    );
    overlay::default_mtus(&interface_tabs, &tunnels, &mut interfaces);
    let mut config = Config {
        source: doc.name().to_owned(),
        hostname: top.value("hostname", values::name).map_or_else(default_hostname, |at| at.value),
        control: settings::control(&top),
        debug: settings::debug(&top),
        virtual_routers,
        ports,
        tunnels,
        peers: peers.into_list(),
        interfaces,
        zones,
        routes: Vec::new(),
        policies: Vec::new(),
        local_in: Vec::new(),
        local_out: Vec::new(),
        vips: Vec::new(),
        pools: Vec::new(),
        address_pools: Vec::new(),
        central_snat: Vec::new(),
        neighbours: Vec::new(),
        timeouts: settings::timeouts(&top),
        engine: settings::engine(&top),
        offload,
        limits: settings::limits(&top),
        anomaly: settings::anomaly(&top),
    };
    // what depends on subnets is not looked at while the interfaces are in doubt
    if sound {
        network::overlaps(&scope, &interface_tabs, &config);
        config.routes = route::routes(&scope, &top, &config);
        config.neighbours = route::neighbours(&scope, &top, &config);
    }
    config.pools = nat::pools(&scope, &pool_tabs, &pool_list, &config);
    let (vip_names, vips) = nat::vips(&scope, &top, &config);
    config.vips = vips;
    config.address_pools =
        address_pool::pools(&scope, &address_pool_tabs, &address_pool_list, &config);
    if config.peers.len() == peer_tabs.len() && config.tunnels.len() == tunnel_tabs.len() {
        ike::addresses(&tunnel_tabs, &config);
    }
    remote::clashes(&tunnel_tabs, &config);
    let objects = objects::Objects::read(&scope, &top, &vip_names, &config.vips);
    config.central_snat = rules::central_snat(&scope, &top, &objects, &config);
    config.policies = rules::policies(&scope, &top, &objects, &config);
    config.local_in =
        rules::local(&scope, &top, &objects, "local-in", &keys::LOCAL_IN, "from", &config);
    config.local_out =
        rules::local(&scope, &top, &objects, "local-out", &keys::LOCAL_OUT, "to", &config);
    config
}

fn default_hostname() -> String {
    keys::ROOT.key("hostname").map_or_else(String::new, |key| key.default.to_owned())
}

/// The virtual router that always exists.
fn default_router() -> VirtualRouter {
    VirtualRouter {
        name: "default".to_owned(),
        line: Default::default(),
        offload: Default::default(),
    }
}
