//! Tunnels: asked for, granted, and what goes through them by CSTP and DTLS.

use std::{sync::Arc, time::Duration};

use association::KeyMaterial;
use dtls::{AssociationId, Path, Secret};
use wire::Time;

use super::{
    Endpoint, Packets,
    connection::Phase,
    session::{Association, Tunnel},
    timers::Liveness,
};
use crate::{
    AddressWanted, AssociationEnd, AssociationFailure, AssociationReady, Channel, ClientId, ConnId,
    Connected, Event, Grant, Reason,
    auth::Offered,
    cstp::{self, Frame, Kind},
    http::{Request, Response},
    tls,
    tunnel::{self, DtlsOffer, MIN_IPV6_MTU, SESSION_ID_LEN, Terms, TunnelRequest},
};

/// How long DTLS may be silent while packets come by CSTP, before they go by CSTP too: the client would not
/// use it if it worked.
const SILENCE: Duration = Duration::from_secs(15);

/// A packet was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSent {
    /// The client has no tunnel.
    #[error("the client has no tunnel")]
    NoTunnel,
    /// The client reads more slowly than packets come.
    #[error("the client does not read fast enough")]
    Full,
    /// The packet does not fit a frame.
    #[error("the packet is too long")]
    TooLong,
    /// DTLS could not seal it.
    #[error(transparent)]
    Dtls(dtls::SendError),
}

impl Endpoint {
    pub(super) fn tunnel_requested(&mut self, now: Time, id: ConnId, request: &Request) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let remote = conn.path.remote;
        let offered = request.cookie("webvpn").and_then(Offered::parse);
        let client = offered.and_then(|offered| {
            let id = *self.by_cookie.get(&offered.name)?;
            let client = self.clients.get(&id)?;
            let from_there = client.bound.is_none_or(|address| address == remote.ip());
            let same_user = conn.certificate.as_ref().is_none_or(|name| *name == client.user);
            let good = client.expires.is_none_or(|at| now < at);
            (client.cookie.is(&offered) && from_there && same_user && good).then_some(id)
        });
        let Some(client_id) = client else {
            self.stats.cookies_refused += 1;
            let answer = Response::new(401).header("X-Reason", "Cookie is not acceptable");
            self.say(id, &[&answer.header("Connection", "close").body("")]);
            self.finish(now, id);
            return;
        };
        let request = TunnelRequest::parse(request);
        let client = self.clients.get_mut(&client_id).expect("invariant: it was found");
        let wanted = AddressWanted {
            client: client_id,
            user: client.user.clone(),
            group: client.group.clone(),
            groups: client.groups.clone(),
            remote,
            ipv4: request.ipv4,
            ipv6: request.ipv6,
            before: client.grant.clone(),
        };
        // what came behind the request is the tunnel's
        let behind = match std::mem::replace(&mut conn.phase, Phase::Closing) {
            Phase::Http { parser, .. } => parser.into_rest(),
            _ => return,
        };
        conn.partial = behind.to_vec();
        client.remote = remote;
        client.version = Arc::from(request.version.as_str());
        client.hostname = Arc::from(request.hostname.as_str());
        let other = client.pending.replace(id);
        conn.phase = Phase::Granting { client: client_id, request: Box::new(request) };
        if let Some(other) = other {
            self.finish(now, other);
        }
        self.out.events.push_back(Event::AddressWanted(Box::new(wanted)));
    }

    pub(super) fn granted(&mut self, now: Time, id: ClientId, grant: Result<Grant, String>) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let Some(conn_id) = client.pending.take() else { return };
        let Some(conn) = self.conns.get_mut(&conn_id) else { return };
        if !matches!(&conn.phase, Phase::Granting { client, .. } if *client == id) {
            return;
        }
        let grant = grant.and_then(|grant| match grant.ipv4.is_some() || grant.ipv6.is_some() {
            true => Ok(grant),
            false => Err("no address".to_owned()),
        });
        let grant = match grant {
            Ok(grant) => Arc::new(grant),
            Err(reason) => {
                self.unavailable(now, conn_id, &reason);
                return;
            }
        };
        self.begin_tunnel(now, id, conn_id, grant);
    }

    fn unavailable(&mut self, now: Time, conn: ConnId, reason: &str) {
        let answer = Response::new(503).header("X-Reason", reason).header("Connection", "close");
        self.say(conn, &[&answer.body("")]);
        self.finish(now, conn);
    }

    fn begin_tunnel(&mut self, now: Time, id: ClientId, conn_id: ConnId, grant: Arc<Grant>) {
        let Some(conn) = self.conns.get_mut(&conn_id) else { return };
        let Phase::Granting { request, .. } = std::mem::replace(&mut conn.phase, Phase::busy())
        else {
            return;
        };
        let mut request = request;
        let remote = conn.path.remote;
        let Some(connection) = conn.library() else { return };
        let psk = tls::export_psk(connection);
        let (overhead, tls) = (tls::record_overhead(connection), tls::describe(connection));
        let usable = match request.dtls {
            DtlsOffer::None => false,
            DtlsOffer::Psk => psk.is_some(),
            DtlsOffer::Resume { .. } => true,
        };
        let port = self.settings.dtls_port.filter(|_| usable && grant.tunnel.dtls);
        let mut session_id = [0; SESSION_ID_LEN];
        self.rng.fill_bytes(&mut session_id);
        let mtu = request.mtu(remote.ip(), overhead, &grant.tunnel, port.is_some());
        // IPv6 does not go through links that are too small for it
        let grant = match grant.ipv6 {
            Some(_) if mtu < MIN_IPV6_MTU => Arc::new(Grant { ipv6: None, ..(*grant).clone() }),
            _ => grant,
        };
        if grant.ipv4.is_none() && grant.ipv6.is_none() {
            self.unavailable(now, conn_id, "the link is too small for IPv6");
            return;
        }
        let client = self.clients.get(&id);
        let first = client.and_then(|client| client.first_connected).unwrap_or(now);
        let end = grant.tunnel.session_timeout.map(|timeout| first + timeout);
        let terms = Terms {
            mtu,
            dtls: port.map(|port| (port, &session_id)),
            session_left: end.map(|end| end.since(now)),
            away: self.settings.cookie_lifetime,
        };
        let answer = tunnel::accept(&request, &grant, &terms);
        let selection = self.selection;
        if !self.conns.get_mut(&conn_id).is_some_and(|conn| conn.take_over(&selection)) {
            self.finish(now, conn_id);
            return;
        }
        self.becomes_tunnel(conn_id, id);
        self.say(conn_id, &[&answer]);
        self.leave_for_another(now, id);
        let Some(client) = self.clients.get_mut(&id) else { return };
        let again = client.first_connected.is_some();
        client.first_connected = Some(first);
        client.expires = None;
        client.grant = Some(grant.clone());
        let secret = match port {
            Some(_) => std::mem::replace(&mut request.dtls, DtlsOffer::None),
            None => DtlsOffer::None,
        };
        client.tunnel = Some(Tunnel {
            conn: conn_id,
            since: now,
            mtu,
            tls: tls.clone(),
            liveness: Liveness::new(now),
            last_cstp_packet: now,
            session_id: port.map(|_| session_id),
            psk: psk.filter(|_| secret == DtlsOffer::Psk).map(|k| KeyMaterial::from_bytes(&k[..])),
            secret,
            association: None,
            channel: Channel::Cstp,
        });
        let connected = Connected {
            client: id,
            user: client.user.clone(),
            group: client.group.clone(),
            groups: client.groups.clone(),
            grant,
            remote,
            version: client.version.clone(),
            hostname: client.hostname.clone(),
            tls,
            mtu,
            again,
        };
        if port.is_some() {
            self.by_session_id.insert(session_id, id);
        }
        self.stats.tunnels += 1;
        self.out.events.push_back(Event::Connected(Box::new(connected)));
        self.schedule(now, id);
    }

    /// The tunnel a client has gives way to another, in which it goes on.
    fn leave_for_another(&mut self, now: Time, id: ClientId) {
        self.association_gone(now, id, AssociationEnd::Tunnel);
        let before = self.clients.get_mut(&id).and_then(|client| client.tunnel.take());
        if let Some(before) = before {
            self.forget_session_id(&before);
            self.finish(now, before.conn);
        }
    }

    /// A frame came by CSTP. False when the connection is over.
    pub(super) fn frame(
        &mut self,
        now: Time,
        conn: ConnId,
        id: ClientId,
        frame: Frame<'_>,
        packets: Packets<'_>,
    ) -> bool {
        let Some(client) = self.clients.get_mut(&id) else { return false };
        let Some(tunnel) = client.tunnel.as_mut().filter(|tunnel| tunnel.conn == conn) else {
            return false;
        };
        tunnel.liveness.heard(now);
        match frame.kind {
            Kind::Data => {
                tunnel.last_cstp_packet = now;
                client.counts.packets_in += 1;
                client.counts.bytes_in += frame.payload.len() as u64;
                let silent = tunnel.channel == Channel::Dtls
                    && tunnel.association.as_ref().is_some_and(|a| now.since(a.heard()) >= SILENCE);
                packets(id, frame.payload);
                if silent {
                    self.move_channel(now, id, Channel::Cstp);
                }
            }
            Kind::DpdRequest => self.send_frame(conn, Kind::DpdResponse, frame.payload),
            Kind::DpdResponse | Kind::Keepalive => {}
            Kind::Disconnect | Kind::Terminate => {
                self.end(now, id, Reason::Client(frame.text()));
                return false;
            }
        }
        true
    }

    pub(super) fn send_packet(
        &mut self,
        now: Time,
        id: ClientId,
        packet: &[u8],
    ) -> Result<Channel, NotSent> {
        let client = self.clients.get_mut(&id).ok_or(NotSent::NoTunnel)?;
        let tunnel = client.tunnel.as_mut().ok_or(NotSent::NoTunnel)?;
        if packet.len() > cstp::MAX_PAYLOAD {
            return Err(NotSent::TooLong);
        }
        if let (Channel::Dtls, Some(association)) = (tunnel.channel, &tunnel.association) {
            self.scratch.clear();
            self.scratch.push(Kind::Data.number());
            self.scratch.extend_from_slice(packet);
            self.dtls.send(now, association.id, &self.scratch).map_err(NotSent::Dtls)?;
            return Ok(Channel::Dtls);
        }
        let conn = tunnel.conn;
        let carries = self.conns.get(&conn);
        if carries.is_none_or(|conn| conn.is_full()) {
            self.stats.packets_not_read += 1;
            return Err(NotSent::Full);
        }
        if carries.is_some_and(|conn| conn.is_spent()) {
            self.tunnel_lost(now, id, Reason::KeysUsedUp);
            return Err(NotSent::NoTunnel);
        }
        tunnel.last_cstp_packet = now;
        client.counts.packets_out += 1;
        client.counts.bytes_out += packet.len() as u64;
        self.send_frame(conn, Kind::Data, packet);
        Ok(Channel::Cstp)
    }

    pub(super) fn datagram(
        &mut self,
        now: Time,
        path: Path,
        bytes: &mut [u8],
        packets: Packets<'_>,
    ) -> Result<(), dtls::Ignored> {
        let Self { dtls, clients, by_session_id, .. } = self;
        let secrets = |session_id: &[u8]| -> Option<Secret> {
            let tunnel = clients.get(by_session_id.get(session_id)?)?.tunnel.as_ref()?;
            Some(match &tunnel.secret {
                DtlsOffer::None => return None,
                DtlsOffer::Psk => Secret::Psk(tunnel.psk.clone()?),
                DtlsOffer::Resume { suite, master, .. } => Secret::Resumption {
                    master: KeyMaterial::from_bytes(&master[..]),
                    suite: *suite,
                },
            })
        };
        let outcome = dtls.handle_datagram(now, path, bytes, &secrets);
        self.dtls_events(now, packets);
        outcome
    }

    pub(super) fn dtls_events(&mut self, now: Time, packets: Packets<'_>) {
        while let Some(event) = self.dtls.poll_event() {
            match event {
                dtls::Event::Established {
                    id, path, session_id, suite, inbound, outbound, ..
                } => {
                    let client = self.client_of(&session_id);
                    let association = Association {
                        id,
                        path,
                        suite,
                        since: now,
                        inbound,
                        outbound,
                        liveness: Liveness::new(now),
                        moved: now,
                    };
                    self.established(now, client, association);
                }
                dtls::Event::Data { id, bytes } => {
                    if let Some(client) = self.by_association.get(&id).copied() {
                        self.dtls_text(now, client, &bytes, packets);
                    }
                }
                dtls::Event::Moved { id, path, outbound } => {
                    let Some(client) = self.by_association.get(&id).copied() else { continue };
                    if let Some(association) = self.association_of(client) {
                        association.path = path;
                        association.outbound = outbound.clone();
                        let event =
                            Event::AssociationMoved { client, association: id, path, outbound };
                        self.out.events.push_back(event);
                    }
                }
                dtls::Event::Closed { id, reason } => {
                    if let Some(client) = self.by_association.get(&id).copied() {
                        self.association_gone(now, client, AssociationEnd::Closed(reason));
                    }
                }
                dtls::Event::Refused { path, refusal } => {
                    let failure = AssociationFailure::Refused(refusal);
                    let event = Event::AssociationFailed { client: None, path, failure };
                    self.out.tell(now, event);
                }
                dtls::Event::Failed { path, session_id, failure } => {
                    let client = self.client_of(&session_id);
                    let failure = AssociationFailure::Failed(failure);
                    self.out.tell(now, Event::AssociationFailed { client, path, failure });
                }
            }
        }
    }

    fn client_of(&self, session_id: &[u8]) -> Option<ClientId> {
        self.by_session_id.get(session_id).copied()
    }

    fn association_of(&mut self, client: ClientId) -> Option<&mut Association> {
        self.clients.get_mut(&client)?.tunnel.as_mut()?.association.as_mut()
    }

    fn established(&mut self, now: Time, client: Option<ClientId>, association: Association) {
        let Some(id) = client else {
            // the tunnel ended while the handshake was under way
            self.dtls.close(now, association.id);
            return;
        };
        self.association_gone(now, id, AssociationEnd::Replaced);
        let Some(tunnel) = self.clients.get_mut(&id).and_then(|client| client.tunnel.as_mut())
        else {
            return;
        };
        let ready = AssociationReady {
            client: id,
            association: association.id,
            path: association.path,
            suite: association.suite,
            inbound: association.inbound.clone(),
            outbound: association.outbound.clone(),
        };
        self.by_association.insert(association.id, id);
        tunnel.association = Some(association);
        self.stats.associations += 1;
        self.out.events.push_back(Event::AssociationReady(Box::new(ready)));
        self.move_channel(now, id, Channel::Dtls);
        self.schedule(now, id);
    }

    /// What a record of DTLS carried.
    pub(super) fn dtls_text(&mut self, now: Time, id: ClientId, text: &[u8], packets: Packets<'_>) {
        let Some(association) = self.association_of(id) else { return };
        association.liveness.heard(now);
        let number: AssociationId = association.id;
        let Ok(frame) = Frame::from_datagram(text) else {
            self.stats.dtls_refused += 1;
            return;
        };
        // the client uses it, so it works
        self.move_channel(now, id, Channel::Dtls);
        match frame.kind {
            Kind::Data => packets(id, frame.payload),
            Kind::DpdRequest => {
                // the same bytes, and as many: clients find the MTU this way
                self.scratch.clear();
                self.scratch.push(Kind::DpdResponse.number());
                self.scratch.extend_from_slice(frame.payload);
                // without numbers left it is dead soon
                let _ = self.dtls.send(now, number, &self.scratch);
            }
            Kind::DpdResponse | Kind::Keepalive => {}
            Kind::Disconnect => {
                self.end(now, id, Reason::Client(frame.text()));
            }
            Kind::Terminate => self.stats.dtls_refused += 1,
        }
    }
}
