//! Clients: a login and what comes of it, from its cookie to its end.

use std::{sync::Arc, time::Duration};

use dtls::{AssociationId, Inbound, Outbound, Path, Suite};
use wire::Time;

use super::{
    Endpoint,
    timers::{Liveness, Timer},
};
use crate::{
    AssociationEnd, Channel, ClientId, ConnId, Counts, Event, Grant, Reason,
    auth::Cookie,
    cstp::Kind,
    tunnel::{DtlsOffer, SESSION_ID_LEN},
};

/// First byte of a goodbye of ours, as clients' own have it.
const GOODBYE: u8 = 0xb0;

/// Somebody who is logged in.
pub(super) struct Client {
    pub(super) user: Arc<str>,
    pub(super) groups: Arc<[Arc<str>]>,
    pub(super) group: Option<Arc<str>>,
    pub(super) cookie: Cookie,
    /// The address the cookie is good from, if it is not good from everywhere.
    pub(super) bound: Option<std::net::IpAddr>,
    /// The last address it came from.
    pub(super) remote: std::net::SocketAddr,
    /// When it is forgotten: while there is no tunnel.
    pub(super) expires: Option<Time>,
    pub(super) since: Time,
    pub(super) first_connected: Option<Time>,
    pub(super) grant: Option<Arc<Grant>>,
    /// The connection that waits for a grant.
    pub(super) pending: Option<ConnId>,
    pub(super) tunnel: Option<Tunnel>,
    /// What earlier tunnels and associations carried, and what CSTP did.
    pub(super) counts: Counts,
    pub(super) version: Arc<str>,
    pub(super) hostname: Arc<str>,
}

/// A client's way for packets.
pub(super) struct Tunnel {
    pub(super) conn: ConnId,
    pub(super) since: Time,
    pub(super) mtu: u16,
    pub(super) tls: String,
    pub(super) liveness: Liveness,
    pub(super) last_cstp_packet: Time,
    pub(super) session_id: Option<[u8; SESSION_ID_LEN]>,
    pub(super) secret: DtlsOffer,
    pub(super) psk: Option<association::KeyMaterial>,
    pub(super) association: Option<Association>,
    pub(super) channel: Channel,
}

/// The DTLS association of a tunnel.
pub(super) struct Association {
    pub(super) id: AssociationId,
    pub(super) path: Path,
    pub(super) suite: Suite,
    pub(super) since: Time,
    pub(super) inbound: Arc<Inbound>,
    pub(super) outbound: Arc<Outbound>,
    pub(super) liveness: Liveness,
    /// When the channel moved to or from it.
    pub(super) moved: Time,
}

impl Association {
    /// When something was heard by it, whoever opened it.
    pub(super) fn heard(&self) -> Time {
        self.liveness.last().max(self.inbound.last())
    }

    pub(super) fn counts(&self) -> Counts {
        let (packets_in, bytes_in) = self.inbound.served(0..association::WRITERS);
        let (packets_out, bytes_out) = self.outbound.served(0..association::WRITERS);
        Counts { packets_in, bytes_in, packets_out, bytes_out }
    }
}

impl Tunnel {
    /// When a packet was carried, by whoever; when it began, if none was.
    pub(super) fn last_packet(&self) -> Time {
        let dtls = self.association.as_ref().map_or(Time::ZERO, |association| {
            association.inbound.last().max(association.outbound.last())
        });
        self.last_cstp_packet.max(dtls)
    }
}

impl Client {
    /// What it carried so far.
    pub(super) fn counts(&self) -> Counts {
        let association = self.tunnel.as_ref().and_then(|tunnel| tunnel.association.as_ref());
        association.map_or(self.counts, |association| self.counts + association.counts())
    }
}

impl std::ops::Add for Counts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            packets_in: self.packets_in + other.packets_in,
            bytes_in: self.bytes_in + other.bytes_in,
            packets_out: self.packets_out + other.packets_out,
            bytes_out: self.bytes_out + other.bytes_out,
        }
    }
}

impl Endpoint {
    /// The tunnel of a client is over, and so is its connection; the client may come again.
    pub(super) fn tunnel_lost(&mut self, now: Time, id: ClientId, reason: Reason) {
        let lifetime = self.settings.cookie_lifetime;
        self.leave_tunnel(now, id, reason, lifetime);
        self.schedule(now, id);
    }

    /// A client is over; false if there is none.
    pub(super) fn end(&mut self, now: Time, id: ClientId, reason: Reason) -> bool {
        let Some(client) = self.clients.get(&id) else { return false };
        let said = match &reason {
            Reason::Administrator => Some((Kind::Terminate, "")),
            Reason::SessionTimeout => Some((Kind::Disconnect, "session time is over")),
            Reason::IdleTimeout => Some((Kind::Disconnect, "idle for too long")),
            Reason::Client(_)
            | Reason::Lost
            | Reason::Dead
            | Reason::Frame(_)
            | Reason::Expired
            | Reason::KeysUsedUp
            | Reason::Crowded => None,
        };
        let pending = client.pending;
        if let Some((conn, (kind, text))) = client.tunnel.as_ref().map(|t| t.conn).zip(said) {
            match kind {
                Kind::Disconnect => {
                    self.send_frame(conn, kind, &[&[GOODBYE], text.as_bytes()].concat());
                }
                _ => self.send_frame(conn, kind, &[]),
            }
        }
        self.leave_tunnel(now, id, reason.clone(), Duration::ZERO);
        if let Some(conn) = pending {
            self.finish(now, conn);
        }
        self.timers.set(Timer::Client(id), None);
        let client = self.clients.remove(&id).expect("invariant: it was there");
        self.by_cookie.remove(&client.cookie.name);
        if let Some(clients) = self.by_user.get_mut(&client.user) {
            clients.remove(&id);
            if clients.is_empty() {
                self.by_user.remove(&client.user);
            }
        }
        self.out.events.push_back(Event::Ended { client: id, user: client.user, reason });
        true
    }

    fn leave_tunnel(&mut self, now: Time, id: ClientId, reason: Reason, lifetime: Duration) {
        self.association_gone(now, id, AssociationEnd::Tunnel);
        let Some(client) = self.clients.get_mut(&id) else { return };
        let Some(tunnel) = client.tunnel.take() else { return };
        client.expires = Some(now + lifetime);
        let counts = client.counts;
        self.forget_session_id(&tunnel);
        self.finish(now, tunnel.conn);
        self.out.events.push_back(Event::Disconnected { client: id, reason, counts });
    }

    pub(super) fn forget_session_id(&mut self, tunnel: &Tunnel) {
        if let Some(session_id) = &tunnel.session_id {
            self.by_session_id.remove(session_id);
            self.dtls.forget_session(session_id);
        }
    }

    /// Ends a client's association, if it has one; its packets go by CSTP then.
    pub(super) fn association_gone(&mut self, now: Time, id: ClientId, reason: AssociationEnd) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let Some(tunnel) = &mut client.tunnel else { return };
        let Some(association) = tunnel.association.take() else { return };
        let number = association.id;
        self.dtls.close(now, number);
        client.counts = client.counts + association.counts();
        tunnel.last_cstp_packet = tunnel
            .last_cstp_packet
            .max(association.inbound.last())
            .max(association.outbound.last());
        self.by_association.remove(&number);
        self.move_channel(now, id, Channel::Cstp);
        let event = Event::AssociationGone { client: id, association: number, reason };
        self.out.events.push_back(event);
    }

    pub(super) fn move_channel(&mut self, now: Time, id: ClientId, channel: Channel) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let Some(tunnel) = &mut client.tunnel else { return };
        if tunnel.channel == channel {
            return;
        }
        tunnel.channel = channel;
        if let Some(association) = &mut tunnel.association {
            association.moved = now;
        }
        self.stats.channel_moves += 1;
        self.out.events.push_back(Event::ChannelMoved { client: id, channel });
    }
}
