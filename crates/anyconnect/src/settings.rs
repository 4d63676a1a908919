//! What an endpoint is made with, and what a client gets from its owner.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
    time::Duration,
};

use ipnet::IpNet;

use crate::{
    auth::{Authenticator, CertificateName, LockoutSettings},
    tls::Tls,
};

/// How clients prove who they are. Certificates need [`Tls`] that asks for them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LoginMethod {
    /// A name and a password.
    #[default]
    Password,
    /// A certificate, whose name is a known user's.
    Certificate,
    /// A certificate, or without one a password.
    CertificateOrPassword,
    /// Both, of the same user.
    CertificateAndPassword,
}

/// A group that clients may choose when they log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Name: what users are members of, and the path of a URL that chooses it.
    pub name: Arc<str>,
    /// What people see.
    pub label: String,
}

/// How much there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections, whatever they are doing.
    pub connections: usize,
    /// Connections from an address that are no tunnels.
    pub connections_per_address: usize,
    /// Clients, connected or expected to come again.
    pub clients: usize,
    /// Clients of a user.
    pub clients_per_user: usize,
    /// Logins that are being checked at the same time.
    pub logins: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 12_000,
            connections_per_address: 64,
            clients: 10_000,
            clients_per_user: 16,
            logins: 64,
        }
    }
}

/// What an endpoint is made with.
#[derive(Clone)]
pub struct Settings {
    /// Certificates and key.
    pub tls: Tls,
    /// Who knows the users.
    pub authenticator: Arc<dyn Authenticator>,
    /// How clients prove who they are.
    pub method: LoginMethod,
    /// What of a certificate is the user's name.
    pub certificate_name: CertificateName,
    /// Groups to choose from. Without any there is nothing to choose.
    pub groups: Vec<Group>,
    /// What the login form says above its fields.
    pub message: String,
    /// UDP port of DTLS; without it everything goes by TLS.
    pub dtls_port: Option<u16>,
    /// How long a login lasts while there is no tunnel: to make one, or to come again.
    pub cookie_lifetime: Duration,
    /// Whether a login is good from the address only that it was made from.
    pub bind_address: bool,
    /// When guessing is too much.
    pub lockout: LockoutSettings,
    /// How much there may be.
    pub limits: Limits,
    /// Unix time at [`Time::ZERO`](wire::Time::ZERO), which certificates are checked against.
    pub unix_time_at_zero: Duration,
}

impl Settings {
    /// With a password for a login, DTLS on port 443, and defaults for the rest.
    pub fn new(tls: Tls, authenticator: Arc<dyn Authenticator>) -> Self {
        Self {
            tls,
            authenticator,
            method: LoginMethod::default(),
            certificate_name: CertificateName::default(),
            groups: Vec::new(),
            message: "Please enter your user name and password.".to_owned(),
            dtls_port: Some(443),
            cookie_lifetime: Duration::from_secs(300),
            bind_address: false,
            lockout: LockoutSettings::default(),
            limits: Limits::default(),
            unix_time_at_zero: Duration::ZERO,
        }
    }
}

/// What a client is told of the network, and how its tunnel is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TunnelSettings {
    /// Name servers; clients take the first three.
    pub dns: Vec<IpAddr>,
    /// Domain that names without a dot are looked up in.
    pub default_domain: Option<String>,
    /// Domains whose names alone are asked of `dns`; all, if there are none.
    pub split_dns: Vec<String>,
    /// Networks that are reached by the tunnel; all, if there are none.
    pub split_include: Vec<IpNet>,
    /// Networks that are not.
    pub split_exclude: Vec<IpNet>,
    /// What is shown when the tunnel is there.
    pub banner: Option<String>,
    /// The largest packet in bytes, if it is to be smaller than what fits.
    pub mtu: Option<u16>,
    /// How long an end may be silent before it is asked whether it is there. At least a second.
    pub dpd: Duration,
    /// How often a client says something so that NATs do not forget it.
    pub keepalive: Duration,
    /// How long a client may carry no packet.
    pub idle_timeout: Option<Duration>,
    /// How long a client may be connected.
    pub session_timeout: Option<Duration>,
    /// After how long a client makes a new tunnel, with new keys.
    pub rekey: Option<Duration>,
    /// Whether packets may go by DTLS.
    pub dtls: bool,
}

impl Default for TunnelSettings {
    fn default() -> Self {
        Self {
            dns: Vec::new(),
            default_domain: None,
            split_dns: Vec::new(),
            split_include: Vec::new(),
            split_exclude: Vec::new(),
            banner: None,
            mtu: None,
            dpd: Duration::from_secs(30),
            keepalive: Duration::from_secs(20),
            idle_timeout: None,
            session_timeout: None,
            rekey: None,
            dtls: true,
        }
    }
}

/// Addresses for a client, and its settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Its IPv4 address with the length of the network's prefix.
    pub ipv4: Option<(Ipv4Addr, u8)>,
    /// Its IPv6 address with the length of the network's prefix.
    pub ipv6: Option<(Ipv6Addr, u8)>,
    /// The rest, which clients share.
    pub tunnel: Arc<TunnelSettings>,
}
