//! What the endpoints tell, and what becomes of it.

use std::sync::Arc;

use ::anyconnect::{Channel, Connected, Counts, Event};
use wire::Time;

use super::{super::Association, ServerId};
use crate::{Gateway, events::EventKind};

impl Gateway {
    pub(super) fn handle_remote_event(&mut self, id: ServerId, event: Event, now: Time) {
        match event {
            Event::HandshakeFailed { remote, failure } => {
                self.tell_failure(
                    id,
                    EventKind::RemoteRefused,
                    format!("{remote}: TLS: {failure}"),
                    now,
                );
            }
            Event::RequestRefused { remote, error } => {
                self.tell_failure(id, EventKind::RemoteRefused, format!("{remote}: {error}"), now);
            }
            Event::LoginSucceeded { user, group, remote, .. } => {
                let group = group.map_or_else(String::new, |group| format!(", group {group}"));
                self.tell(id, EventKind::RemoteLogin, format!("{user} from {remote}{group}"), now);
            }
            Event::LoginFailed { user, remote, failure } => {
                let text = format!("{} from {remote}: {failure}", named(&user));
                self.tell_failure(id, EventKind::RemoteLoginFailed, text, now);
            }
            Event::UserLocked { user, remote } => {
                let text = format!("{} is locked, last from {remote}", named(&user));
                self.tell_failure(id, EventKind::RemoteUserLocked, text, now);
            }
            Event::AddressWanted(wanted) => {
                let granted = self.grant(id, &wanted, now);
                if let Err(why) = &granted {
                    let text = format!("{} from {}: {why}", wanted.user, wanted.remote);
                    self.tell_failure(id, EventKind::RemoteRefused, text, now);
                }
                if let Some(server) = self.remote.servers.get_mut(&id) {
                    server.endpoint.handle_grant(now, wanted.client, granted);
                }
            }
            Event::Connected(connected) => self.client_connected(id, &connected, now),
            Event::AssociationReady(ready) => {
                let association = Association {
                    path: ready.path,
                    cipher: ready.suite.cipher(),
                    inbound: Arc::clone(&ready.inbound),
                    outbound: Arc::clone(&ready.outbound),
                };
                if let Some(client) = self.remote_client(id, ready.client) {
                    client.association = Some((ready.association, association));
                }
                self.seat_client(id, ready.client, now);
                let text = format!(
                    "{} at {}: {}",
                    self.user_of(id, ready.client),
                    ready.path.remote,
                    ready.suite
                );
                self.tell(id, EventKind::RemoteDtlsUp, text, now);
            }
            Event::AssociationMoved { client, association, path, outbound } => {
                let of = self.remote_client(id, client).and_then(|of| of.association.as_mut());
                if let Some((_, of)) = of.filter(|(is, _)| *is == association) {
                    (of.path, of.outbound) = (path, outbound);
                }
                self.seat_client(id, client, now);
                let text = format!("{} is at {} now", self.user_of(id, client), path.remote);
                self.tell(id, EventKind::RemoteMoved, text, now);
            }
            // what follows tells of it: another channel, another association, or the end of the tunnel
            Event::AssociationGone { client, association, .. } => {
                if let Some(of) = self.remote_client(id, client) {
                    of.association.take_if(|(is, _)| *is == association);
                }
                self.seat_client(id, client, now);
            }
            Event::AssociationFailed { client, path, failure } => {
                let user = client.map_or_else(String::new, |client| self.user_of(id, client) + " ");
                let text = format!("{user}from {}: DTLS: {failure}", path.remote);
                self.tell_failure(id, EventKind::RemoteRefused, text, now);
            }
            Event::ChannelMoved { client, channel } => {
                let text =
                    format!("{}: packets go by {}", self.user_of(id, client), channel.name());
                if let Some(client) = self.remote_client(id, client) {
                    client.channel = channel;
                }
                self.seat_client(id, client, now);
                self.tell(id, EventKind::RemoteChannel, text, now);
            }
            Event::Disconnected { client, reason, counts } => {
                let user = self.user_of(id, client);
                if let Some(client) = self.remote_client(id, client) {
                    (client.connected, client.channel) = (false, Channel::Cstp);
                    client.gone = Some(now);
                }
                self.seat_client(id, client, now);
                let Counts { packets_in, bytes_in, packets_out, bytes_out } = counts;
                let text = format!(
                    "{user}: {reason}; received {packets_in} packets, {bytes_in} bytes, sent {packets_out} packets, {bytes_out} bytes"
                );
                self.tell(id, EventKind::RemoteDown, text, now);
            }
            Event::Ended { client, user, reason } => {
                self.tell(id, EventKind::RemoteLogout, format!("{user}: {reason}"), now);
                self.forget_client(id, client, &format!(", {reason}"), now);
            }
        }
    }

    fn client_connected(&mut self, id: ServerId, connected: &Connected, now: Time) {
        let Some(client) = self.remote_client(id, connected.client) else { return };
        (client.connected, client.mtu) = (true, connected.mtu);
        client.gone = None;
        client.channel = Channel::Cstp;
        let addresses: Vec<String> = client.addresses().map(|ip| ip.to_string()).collect();
        let Connected { user, remote, version, tls, again, .. } = connected;
        let text = format!("{user} from {remote} at {}, {version}, {tls}", addresses.join(" and "));
        let kind = if *again { EventKind::RemoteAgain } else { EventKind::RemoteUp };
        self.tell(id, kind, text, now);
        self.seat_client(id, connected.client, now);
        self.release_held(id, connected.client, now);
    }

    fn user_of(&self, id: ServerId, client: ::anyconnect::ClientId) -> String {
        let client = self.remote.servers.get(&id).and_then(|server| server.clients.get(&client));
        client.map_or_else(|| "a client".to_owned(), |client| client.user.to_string())
    }

    fn tell(&mut self, id: ServerId, kind: EventKind, text: String, now: Time) {
        let Some(server) = self.remote.servers.get(&id) else { return };
        let text = format!("{}: {text}", server.name);
        self.events.push(now, kind, text);
    }

    /// What strangers can cause must not drown the rest.
    fn tell_failure(&mut self, id: ServerId, kind: EventKind, text: String, now: Time) {
        let Some(server) = self.remote.servers.get(&id) else { return };
        let text = format!("{}: {text}", server.name);
        self.events.push_limited(now, kind, || text);
    }
}

/// A name as a stranger gave it, fit to be shown.
fn named(user: &str) -> String {
    if user.is_empty() {
        return "nobody".to_owned();
    }
    let short: String = user.chars().take(64).collect();
    short.escape_debug().to_string()
}
