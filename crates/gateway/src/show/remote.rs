//! Remote access as views.

use ::anyconnect::{AssociationSummary, ClientView};
use api::{
    AssociationView, DtlsView, RecordErrors, RecordsView, RemoteAccessView, RemoteClientView,
    RemoteServerView, RemoteTransportView, Traffic,
};
use association::{Tally, WRITERS};
use reason::Reason as _;
use wire::Time;

use super::{convert::ago, rows};
use crate::{
    Gateway,
    tunnel::{SLOW_PATH, Server},
};

impl Gateway {
    pub(super) fn show_remote_access(
        &self,
        user: Option<&str>,
        limit: Option<u32>,
        cursor: Option<u64>,
        now: Time,
    ) -> RemoteAccessView {
        let servers = self.remote.servers().map(|server| self.server_view(server)).collect();
        let (stack, counters) = (self.remote.stack(), self.remote.counters());
        let refused = stack.refused();
        let transport = RemoteTransportView {
            connections: stack.len() as u64,
            half_open: stack.half_open() as u64,
            evicted: refused.evicted,
            refused_of_source: refused.of_source,
            refused_full: refused.full,
            malformed: refused.malformed,
            datagrams_ignored: counters.datagrams_ignored,
        };
        let mut view = RemoteAccessView { servers, transport, ..RemoteAccessView::default() };
        let all = self
            .remote
            .servers()
            .flat_map(|server| server.endpoint.views().map(move |client| (server, client)));
        let wanted =
            |(_, client): &(&Server, ClientView)| user.is_none_or(|user| *client.user == *user);
        let from = cursor.unwrap_or(0);
        let most = rows(limit) as u64;
        for (n, (server, client)) in (0..).zip(all.filter(wanted)) {
            view.total += 1;
            if n < from {
                continue;
            }
            if n - from < most {
                view.clients.push(client_view(server, &client, now));
            } else {
                view.next.get_or_insert(n);
            }
        }
        view
    }

    pub(super) fn show_dtls(
        &self,
        user: Option<&str>,
        limit: Option<u32>,
        cursor: Option<u64>,
        now: Time,
    ) -> DtlsView {
        let mut view = DtlsView::default();
        let all = self.remote.servers().flat_map(|server| {
            server.endpoint.views().filter_map(move |client| {
                let wanted = user.is_none_or(|user| *client.user == *user);
                let association = client.association.filter(|_| wanted)?;
                Some((server, client.user, association))
            })
        });
        let from = cursor.unwrap_or(0) as usize;
        for (server, user, association) in all.skip(from) {
            if view.associations.len() >= rows(limit) {
                view.next = Some((from + view.associations.len()) as u64);
                break;
            }
            view.associations.push(association_view(server, &user, &association, now));
        }
        view
    }

    fn server_view(&self, server: &Server) -> RemoteServerView {
        let found = self.config.tunnels.iter().find(|tunnel| tunnel.name == server.name);
        let access = found.and_then(|tunnel| Some((tunnel, tunnel.remote_access()?)));
        let stats = server.endpoint.stats();
        let view = RemoteServerView {
            name: server.name.clone(),
            clients: server.endpoint.views().count() as u64,
            connections: server.endpoint.connections() as u64,
            logins: stats.logins,
            logins_failed: stats.logins_failed,
            locked: stats.locked,
            handshakes_failed: stats.handshakes_failed,
            tunnels: stats.tunnels,
            associations: stats.associations,
            channel_moves: stats.channel_moves,
            ..RemoteServerView::default()
        };
        let Some((tunnel, access)) = access else { return view };
        RemoteServerView {
            line: tunnel.line.0,
            addresses: access.addresses.clone(),
            port: access.port,
            login: access.login.name().into(),
            interface: self.interface_name(tunnel.interface),
            capacity: access.clients.into(),
            ..view
        }
    }
}

pub(super) fn client_view(server: &Server, client: &ClientView, now: Time) -> RemoteClientView {
    let grant = client.grant.as_ref();
    let v4 = grant.and_then(|grant| grant.ipv4).map(|(ip, _)| ip.into());
    let v6 = grant.and_then(|grant| grant.ipv6).map(|(ip, _)| ip.into());
    let counts = client.counts;
    RemoteClientView {
        access: server.name.clone(),
        id: client.client.number(),
        user: client.user.to_string(),
        group: client.group.as_ref().map(ToString::to_string),
        groups: client.groups.iter().map(ToString::to_string).collect(),
        state: client.state.name().into(),
        addresses: [v4, v6].into_iter().flatten().collect(),
        remote: client.remote.to_string(),
        version: client.version.to_string(),
        hostname: client.hostname.to_string(),
        tls: client.tls.clone(),
        channel: client.channel.map(|channel| channel.name().into()),
        dtls: client.association.as_ref().map(|of| of.suite.to_string()),
        mtu: client.mtu,
        age_ms: ago(now, client.since),
        connected_ms: client.connected_since.map(|at| ago(now, at)),
        rekeyed_ms: client.tunnel_since.map(|at| ago(now, at)),
        idle_ms: client.last_packet.map(|at| ago(now, at)),
        expires_ms: client.expires.map(|at| at.since(now).as_millis() as u64),
        received: Traffic { packets: counts.packets_in, bytes: counts.bytes_in },
        sent: Traffic { packets: counts.packets_out, bytes: counts.bytes_out },
    }
}

pub(super) fn association_view(
    server: &Server,
    user: &str,
    association: &AssociationSummary,
    now: Time,
) -> AssociationView {
    let (inbound, outbound) = (association.inbound.status(), association.outbound.status());
    AssociationView {
        id: association.id.0,
        access: server.name.clone(),
        user: user.to_owned(),
        local: association.path.local.to_string(),
        remote: association.path.remote.to_string(),
        suite: association.suite.to_string(),
        age_ms: ago(now, association.since),
        heard_ms: ago(now, association.heard),
        inbound: records(inbound.numbers, &inbound.total, &inbound.writers),
        outbound: records(outbound.numbers, &outbound.total, &outbound.writers),
    }
}

fn records(numbers: u64, total: &Tally, writers: &[Tally; WRITERS]) -> RecordsView {
    let engines = writers.iter().enumerate().filter(|(writer, _)| *writer != SLOW_PATH);
    let fast = engines.fold(Traffic::default(), |sum, (_, tally)| {
        sum + Traffic { packets: tally.packets, bytes: tally.bytes }
    });
    RecordsView {
        traffic: Traffic { packets: total.packets, bytes: total.bytes },
        fast,
        control: total.dummies,
        numbers,
        errors: total
            .errors
            .iter()
            .filter(|(_, records)| *records > 0)
            .map(|(reason, records)| RecordErrors {
                reason: reason.name().into(),
                records: *records,
            })
            .collect(),
    }
}
