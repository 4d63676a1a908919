//! What there is, for people to look at. No secrets.

use std::{net::SocketAddr, sync::Arc};

use dtls::{AssociationId, Inbound, Outbound, Path, Suite};
use wire::Time;

use super::{Endpoint, session::Client};
use crate::{Channel, ClientId, Counts, Grant};

/// How often what happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Connections taken.
    pub connections: u64,
    /// Connections not taken, because there were too many.
    pub connections_refused: u64,
    /// Handshakes of TLS that succeeded.
    pub handshakes: u64,
    /// Handshakes of TLS that failed.
    pub handshakes_failed: u64,
    /// Requests served, whatever the answer.
    pub requests: u64,
    /// What was no request.
    pub requests_refused: u64,
    /// Logins that succeeded.
    pub logins: u64,
    /// Logins that failed.
    pub logins_failed: u64,
    /// Users that were locked.
    pub locked: u64,
    /// Requests for a tunnel with a cookie that is not good.
    pub cookies_refused: u64,
    /// Tunnels made, rekeys among them.
    pub tunnels: u64,
    /// DTLS associations made.
    pub associations: u64,
    /// Moves between CSTP and DTLS.
    pub channel_moves: u64,
    /// Packets not sent by CSTP, because the client did not read.
    pub packets_not_read: u64,
    /// Texts within DTLS that are no frames.
    pub dtls_refused: u64,
}

/// What a client is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientState {
    /// It has logged in, and asked for no tunnel yet.
    LoggedIn,
    /// It has a tunnel.
    Connected,
    /// It had a tunnel, and may come again.
    Away,
}

impl ClientState {
    /// As people call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LoggedIn => "logged-in",
            Self::Connected => "connected",
            Self::Away => "away",
        }
    }
}

/// A client at a moment.
#[derive(Clone, Debug)]
pub struct ClientView {
    /// Which one.
    pub client: ClientId,
    /// Its user.
    pub user: Arc<str>,
    /// The group that was chosen.
    pub group: Option<Arc<str>>,
    /// The user's groups.
    pub groups: Arc<[Arc<str>]>,
    /// What it is doing.
    pub state: ClientState,
    /// Where it is, or was last.
    pub remote: SocketAddr,
    /// Its addresses and settings, if it has had a tunnel.
    pub grant: Option<Arc<Grant>>,
    /// What it says it is.
    pub version: Arc<str>,
    /// What it calls itself.
    pub hostname: Arc<str>,
    /// Since when it is logged in.
    pub since: Time,
    /// When its first tunnel began.
    pub connected_since: Option<Time>,
    /// When its tunnel began: the last rekey.
    pub tunnel_since: Option<Time>,
    /// When it carried a packet last.
    pub last_packet: Option<Time>,
    /// Version and suite of TLS.
    pub tls: Option<String>,
    /// The largest packet in bytes.
    pub mtu: Option<u16>,
    /// What packets to it go by.
    pub channel: Option<Channel>,
    /// Its DTLS association.
    pub association: Option<AssociationSummary>,
    /// Packets of all its tunnels, whoever carried them.
    pub counts: Counts,
    /// When it is forgotten, if it does not come.
    pub expires: Option<Time>,
}

/// A DTLS association at a moment.
#[derive(Clone, Debug)]
pub struct AssociationSummary {
    /// Which one.
    pub id: AssociationId,
    /// From where to where its datagrams go.
    pub path: Path,
    /// Its suite.
    pub suite: Suite,
    /// Since when it stands.
    pub since: Time,
    /// When something was heard by it.
    pub heard: Time,
    /// What it carried.
    pub counts: Counts,
    /// What opens, with its counters.
    pub inbound: Arc<Inbound>,
    /// What seals, with its counters.
    pub outbound: Arc<Outbound>,
}

impl Endpoint {
    /// The clients, in the order they logged in.
    pub fn views(&self) -> impl Iterator<Item = ClientView> + '_ {
        self.clients.iter().map(|(id, client)| view(*id, client))
    }

    /// A client.
    pub fn view(&self, client: ClientId) -> Option<ClientView> {
        self.clients.get(&client).map(|found| view(client, found))
    }

    /// How often what happened.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// Connections at this moment, whatever they are doing.
    pub fn connections(&self) -> usize {
        self.conns.len()
    }
}

fn view(id: ClientId, client: &Client) -> ClientView {
    let tunnel = client.tunnel.as_ref();
    let association = tunnel.and_then(|tunnel| tunnel.association.as_ref());
    ClientView {
        client: id,
        user: client.user.clone(),
        group: client.group.clone(),
        groups: client.groups.clone(),
        state: match (tunnel, client.first_connected) {
            (Some(_), _) => ClientState::Connected,
            (None, Some(_)) => ClientState::Away,
            (None, None) => ClientState::LoggedIn,
        },
        remote: client.remote,
        grant: client.grant.clone(),
        version: client.version.clone(),
        hostname: client.hostname.clone(),
        since: client.since,
        connected_since: client.first_connected,
        tunnel_since: tunnel.map(|tunnel| tunnel.since),
        last_packet: tunnel.map(|tunnel| tunnel.last_packet()),
        tls: tunnel.map(|tunnel| tunnel.tls.clone()),
        mtu: tunnel.map(|tunnel| tunnel.mtu),
        channel: tunnel.map(|tunnel| tunnel.channel),
        association: association.map(|association| AssociationSummary {
            id: association.id,
            path: association.path,
            suite: association.suite,
            since: association.since,
            heard: association.heard(),
            counts: association.counts(),
            inbound: association.inbound.clone(),
            outbound: association.outbound.clone(),
        }),
        counts: client.counts(),
        expires: client.expires,
    }
}
