//! From the configuration to servers, at the start and after a change. Clients that need not go stay.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use ::anyconnect::{
    Endpoint, Group, Limits, LoginMethod, Settings,
    auth::{CertificateName, LockoutSettings, Users},
};
use config::{
    Config,
    model::{CertificateUser, Login, RemoteAccess, Tunnel, TunnelId, VrId},
};
use wire::Time;

use super::{Remotes, Server, ServerId};
use crate::{Gateway, events::EventKind, tcp};

/// Connections beside those of clients: logins under way, rekeys, and who is slow to go.
const SPARE: usize = 1_000;

/// Seconds that the clock may be off before certificates are judged by another.
const CLOCK_OFF: u64 = 5;

/// Connections from one address that are not tunnels yet, or are.
const OF_SOURCE: usize = 4_096;

impl Gateway {
    /// Makes servers what the configuration says. Ends the clients of those that are gone, and those whose
    /// address or user is.
    pub(crate) fn configure_remote(&mut self, now: Time) {
        let config = Arc::clone(&self.config);
        let mut before: BTreeMap<String, ServerId> =
            self.remote.servers.iter().map(|(id, server)| (server.name.clone(), *id)).collect();
        self.remote.by_tunnel.clear();
        self.remote.listeners.clear();
        self.remote.steering.clear();
        let mut clients = 0;
        for (index, tunnel) in config.tunnels.iter().enumerate() {
            let Some(access) = tunnel.remote_access() else { continue };
            let id = TunnelId(index as u16);
            let settings = match settings(access, self.remote.unix_at_zero) {
                Ok(settings) => settings,
                // the configuration has made them once without a fault
                Err(fault) => {
                    let text = format!("remote access {}: {fault}", tunnel.name);
                    self.events.push(now, EventKind::TunnelFault, text);
                    continue;
                }
            };
            clients += access.clients as usize;
            let number = match before.remove(&tunnel.name) {
                Some(number) => number,
                None => self.remote.open(tunnel, settings.clone(), self.tunnels.ciphers()),
            };
            self.remote.place(number, id, tunnel, access, settings, &config);
            self.end_unwanted(number, access, &config, now);
        }
        for id in before.into_values() {
            self.close_server(id, now);
        }
        let behind = self.remote.servers.values().map(|server| server.interface).collect();
        self.clients.lead_only(behind);
        self.remote.steering.sort_unstable();
        let connections = if self.remote.servers.is_empty() { 0 } else { 2 * clients + SPARE };
        let of_source = OF_SOURCE.min(connections);
        self.remote.stack.set_limits(tcp::Limits { connections, of_source });
        self.drive_remote(now);
    }

    /// The time of day, for certificates. A clock that is a little off is left as it is.
    pub(crate) fn tell_remote_the_time(&mut self, unix: i64, now: Time) {
        let unix = u64::try_from(unix).unwrap_or(0);
        let zero = unix.saturating_sub(now.since(Time::ZERO).as_secs());
        if self.remote.unix_at_zero.abs_diff(zero) <= CLOCK_OFF {
            return;
        }
        self.remote.unix_at_zero = zero;
        for server in self.remote.servers.values_mut() {
            server.settings.unix_time_at_zero = Duration::from_secs(zero);
            server.endpoint.apply(server.settings.clone());
        }
    }

    /// Ends clients: all, or those of a user. Says how many.
    pub(crate) fn clear_remote(&mut self, user: Option<&str>, now: Time) -> u64 {
        let ended: usize = self
            .remote
            .servers
            .values_mut()
            .map(|server| match user {
                Some(user) => server.endpoint.disconnect_user(now, user),
                None => server.endpoint.terminate_all(now),
            })
            .sum();
        self.drive_remote(now);
        ended as u64
    }

    /// Clients whose address is of no pool any more, or whose user is gone.
    fn end_unwanted(&mut self, id: ServerId, access: &RemoteAccess, config: &Config, now: Time) {
        let users = users_of(access);
        let Some(server) = self.remote.servers.get_mut(&id) else { return };
        let is_ours = |address| {
            let mut pools = access.pools.iter().filter_map(|pool| config.address_pool(*pool));
            pools.any(|pool| pool.holds(address))
        };
        let unwanted: Vec<_> = server
            .clients
            .iter()
            .filter(|(_, client)| {
                !client.addresses().all(is_ours)
                    || users.as_ref().is_ok_and(|u| u.get(&client.user).is_none())
            })
            .map(|(client, _)| *client)
            .collect();
        for client in unwanted {
            server.endpoint.disconnect(now, client);
        }
    }

    fn close_server(&mut self, id: ServerId, now: Time) {
        if let Some(server) = self.remote.servers.get_mut(&id) {
            server.endpoint.terminate_all(now);
        }
        // what clients are told leaves before the server is forgotten
        self.drive_remote(now);
        let of_server = self.remote.by_conn.iter().filter(|((of, _), _)| *of == id);
        let gone: Vec<_> = of_server.map(|(_, tcp)| *tcp).collect();
        for tcp in gone {
            self.remote.stack.close(tcp);
            if let Some(conn) = self.remote.conns.remove(&tcp) {
                self.remote.by_conn.remove(&conn);
            }
        }
        let clients = self
            .remote
            .servers
            .get(&id)
            .map(|server| server.clients.keys().copied().collect::<Vec<_>>());
        for client in clients.unwrap_or_default() {
            self.forget_client(id, client, ", remote access ended", now);
        }
        self.remote.servers.remove(&id);
    }
}

impl Remotes {
    fn open(&mut self, tunnel: &Tunnel, settings: Settings, ciphers: &aead::Selection) -> ServerId {
        let id = ServerId(self.made);
        self.made += 1;
        let dtls = dtls::Settings {
            limit: settings.limits.clients,
            selection: *ciphers,
            ..dtls::Settings::default()
        };
        let endpoint =
            Endpoint::new(settings.clone(), dtls, self.random.boxed(), self.random.boxed());
        let server = Server {
            name: tunnel.name.clone(),
            tunnel: TunnelId(0),
            interface: tunnel.interface,
            inner_vr: VrId(0),
            vr: tunnel.vr,
            settings,
            endpoint,
            clients: BTreeMap::new(),
            by_address: BTreeMap::new(),
        };
        self.servers.insert(id, server);
        id
    }

    /// Where a server stands in the configuration.
    fn place(
        &mut self,
        id: ServerId,
        tunnel_id: TunnelId,
        tunnel: &Tunnel,
        access: &RemoteAccess,
        settings: Settings,
        config: &Config,
    ) {
        let Some(server) = self.servers.get_mut(&id) else { return };
        let inner_vr = config.interface(tunnel.interface).map_or(VrId(0), |i| i.vr);
        (server.tunnel, server.interface) = (tunnel_id, tunnel.interface);
        (server.inner_vr, server.vr) = (inner_vr, tunnel.vr);
        server.settings = settings;
        server.endpoint.apply(server.settings.clone());
        self.by_tunnel.insert(tunnel_id, id);
        let port = access.port;
        self.listeners.extend(
            access
                .addresses
                .iter()
                .map(|ip| ((tunnel.vr, core::net::SocketAddr::new(*ip, port)), id)),
        );
        let pools = access.pools.iter().filter_map(|pool| config.address_pool(*pool));
        let ranges = pools.flat_map(|pool| &pool.ranges);
        self.steering.extend(ranges.map(|range| (inner_vr, *range, tunnel.interface)));
    }
}

fn users_of(access: &RemoteAccess) -> Result<Users, String> {
    let text = core::str::from_utf8(access.users.expose()).map_err(|fault| fault.to_string())?;
    Users::parse(text).map_err(|fault| fault.to_string())
}

fn settings(access: &RemoteAccess, unix_at_zero: u64) -> Result<Settings, String> {
    let tls = access.tls.server(access.login).map_err(|fault| fault.to_string())?;
    let mut settings = Settings::new(tls, Arc::new(users_of(access)?));
    settings.method = match access.login {
        Login::Password => LoginMethod::Password,
        Login::Certificate => LoginMethod::Certificate,
        Login::CertificateOrPassword => LoginMethod::CertificateOrPassword,
        Login::CertificateAndPassword => LoginMethod::CertificateAndPassword,
    };
    settings.certificate_name = match access.certificate_user {
        CertificateUser::CommonName => CertificateName::CommonName,
        CertificateUser::UserId => CertificateName::UserId,
        CertificateUser::Email => CertificateName::Email,
    };
    let group = |name: &String| Group { name: name.as_str().into(), label: name.clone() };
    settings.groups = access.groups.iter().map(group).collect();
    if let Some(message) = &access.message {
        settings.message.clone_from(message);
    }
    settings.dtls_port = access.dtls.then_some(access.port);
    settings.cookie_lifetime = access.reconnect_within;
    settings.lockout = LockoutSettings {
        per_user: access.lockout.per_user,
        per_address: access.lockout.per_address,
        period: access.lockout.period,
        duration: access.lockout.duration,
    };
    let clients = access.clients as usize;
    settings.limits = Limits { clients, connections: 2 * clients + SPARE, ..Limits::default() };
    settings.unix_time_at_zero = Duration::from_secs(unix_at_zero);
    Ok(settings)
}
