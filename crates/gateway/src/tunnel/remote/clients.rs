//! Clients: their addresses, and packets from and to them.

use std::{net::IpAddr, sync::Arc};

use ::anyconnect::{AddressWanted, Channel, ClientId, Grant, NotSent, TunnelSettings};
use ::dtls::{AssociationId, SendError};
use api::CapturePoint;
use config::{
    Config,
    model::{IfId, RemoteAccess, TunnelId},
};
use offload::ClientAddresses;
use ports::{Frame, PortId};
use reason::{DropReason, PuntCause};
use wire::Time;

use super::{
    super::{Association, ClientNumber, NewClient},
    ServerId,
};
use crate::{
    Gateway,
    addresses::{Held, Lease, Version},
    capture::{Place, Sight, What},
    packet::{Origin, Packet, Verdict},
    trace::Note,
    users::Authority,
};

/// A client with addresses.
pub(crate) struct Client {
    /// Its user.
    pub(crate) user: Arc<str>,
    /// Its addresses.
    pub(crate) leases: Vec<Lease>,
    /// The largest packet it takes, in bytes.
    pub(crate) mtu: u16,
    /// What packets to it go by.
    pub(crate) channel: Channel,
    /// It has a tunnel now.
    pub(crate) connected: bool,
    /// When it lost the one it had.
    pub(crate) gone: Option<Time>,
    /// Its DTLS association, whether packets go by it or not.
    pub(crate) association: Option<(AssociationId, Association)>,
    /// What it is to those who carry DTLS, once it had an association.
    pub(crate) number: Option<ClientNumber>,
}

impl Client {
    /// Its addresses.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.leases.iter().map(|lease| lease.address)
    }
}

impl Gateway {
    /// Addresses for a client: those it had, or of the first pool that has some.
    pub(super) fn grant(
        &mut self,
        id: ServerId,
        wanted: &AddressWanted,
        now: Time,
    ) -> Result<Grant, String> {
        let config = Arc::clone(&self.config);
        let server = self.remote.servers.get_mut(&id).ok_or("there is no remote access")?;
        let tunnel = config.tunnels.get(usize::from(server.tunnel.0));
        let access = tunnel.and_then(|tunnel| tunnel.remote_access());
        let access = access.ok_or("there is no remote access")?;
        let mtu = config.interface(server.interface).map(|interface| interface.mtu);
        let settings = Arc::new(tunnel_settings(&config, access, mtu));
        if let Some(client) = server.clients.get(&wanted.client) {
            return Ok(grant_of(&client.leases, settings));
        }
        let mut leases = Vec::new();
        let mut failure = None;
        for (version, wants) in [(Version::V4, wanted.ipv4), (Version::V6, wanted.ipv6)] {
            if !wants {
                continue;
            }
            for pool in access.pools.iter().filter_map(|pool| config.address_pool(*pool)) {
                match self.addresses.lease(pool, version, &wanted.user, Held::Keep, now) {
                    Ok(lease) => {
                        leases.push(lease);
                        break;
                    }
                    Err(none) => failure = Some(none),
                }
            }
        }
        if leases.is_empty() {
            let why = failure.map_or_else(|| "no pool".to_owned(), |none| none.to_string());
            return Err(format!("no address is free: {why}"));
        }
        let groups: Vec<String> = wanted.groups.iter().map(ToString::to_string).collect();
        let vr = server.inner_vr;
        let mut known = Ok(());
        for lease in &leases {
            let who = (&*wanted.user, groups.clone());
            known = known.and(self.log_in(
                (vr, lease.address),
                who,
                Authority::RemoteAccess,
                None,
                now,
            ));
        }
        let client = Client {
            user: Arc::clone(&wanted.user),
            leases,
            mtu: mtu.unwrap_or(u16::MAX),
            channel: Channel::Cstp,
            connected: false,
            gone: None,
            association: None,
            number: None,
        };
        let grant = grant_of(&client.leases, settings);
        let Some(server) = self.remote.servers.get_mut(&id) else {
            return Err("there is no remote access".to_owned());
        };
        server.by_address.extend(client.addresses().map(|address| (address, wanted.client)));
        server.clients.insert(wanted.client, client);
        if known.is_err() {
            self.forget_client(id, wanted.client, "", now);
            return Err("as many users are known as may be".to_owned());
        }
        Ok(grant)
    }

    /// A client is gone: others may have its addresses.
    pub(super) fn forget_client(&mut self, id: ServerId, client: ClientId, why: &str, now: Time) {
        let Some(server) = self.remote.servers.get_mut(&id) else { return };
        let vr = server.inner_vr;
        let Some(gone) = server.clients.remove(&client) else { return };
        self.drop_held(id, client, now);
        if let Some(number) = gone.number {
            self.remote.by_number.remove(&number);
            self.close_client(number, now);
        }
        let Some(server) = self.remote.servers.get_mut(&id) else { return };
        for lease in &gone.leases {
            server.by_address.remove(&lease.address);
        }
        for lease in gone.leases {
            self.addresses.release(lease, now);
            self.log_out((vr, lease.address), why, now);
        }
    }

    /// Records of a client are carried by whoever carries DTLS, or not, as its packets go: what goes by TLS must
    /// not be sealed by an engine.
    pub(super) fn seat_client(&mut self, id: ServerId, client: ClientId, now: Time) {
        let Some(server) = self.remote.servers.get(&id) else { return };
        let Some(of) = server.clients.get(&client) else { return };
        let association = of.association.as_ref().map(|(_, association)| association.clone());
        let association = association.filter(|_| of.connected && of.channel == Channel::Dtls);
        let mut addresses = ClientAddresses::default();
        for address in of.addresses() {
            match address {
                IpAddr::V4(ip) => addresses.v4 = Some(ip),
                IpAddr::V6(ip) => addresses.v6 = Some(ip),
            }
        }
        let is = NewClient { interface: server.interface, vr: server.vr, addresses, mtu: of.mtu };
        let known = of.number.and_then(|number| self.clients.get(number)).map(|known| known.is);
        let number = match (of.number, &association) {
            (Some(number), _) if known == Some(is) => number,
            (None, None) => return,
            (before, _) => {
                if let Some(before) = before {
                    self.remote.by_number.remove(&before);
                    self.close_client(before, now);
                }
                self.open_client(is, now)
            }
        };
        self.remote.by_number.insert(number, (id, client));
        if let Some(client) = self.remote_client(id, client) {
            client.number = Some(number);
        }
        let same = |of: &Association, is: &Association| {
            Arc::ptr_eq(&of.inbound, &is.inbound) && Arc::ptr_eq(&of.outbound, &is.outbound)
        };
        let has = self.clients.get(number).and_then(|client| client.association.as_ref());
        let unchanged = match (has, &association) {
            (Some(has), Some(association)) => same(has, association),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        if !unchanged {
            self.set_association(number, association, now);
        }
    }

    /// What clients said in records that are no packets goes to their endpoint. Says whether there was any.
    /// Without a server of ours the clients are somebody else's, who polls for it.
    pub(super) fn deliver_client_messages(&mut self, now: Time) -> bool {
        if self.remote.servers.is_empty() {
            return false;
        }
        let mut any = false;
        while let Some((number, text)) = self.poll_client_message() {
            any = true;
            let found = self.remote.by_number.get(&number).copied();
            let Some((id, client)) = found else { continue };
            let Some(server) = self.remote.servers.get_mut(&id) else { continue };
            let association = server.clients.get(&client).and_then(|of| of.association.as_ref());
            if let Some(association) = association.map(|(association, _)| *association) {
                server.endpoint.handle_control(now, association, &text);
            }
        }
        any
    }

    pub(super) fn remote_client(&mut self, id: ServerId, client: ClientId) -> Option<&mut Client> {
        self.remote.servers.get_mut(&id)?.clients.get_mut(&client)
    }

    /// A packet of a client, behind a blank Ethernet header, enters by the interface of the tunnel.
    pub(super) fn enter_from_client(
        &mut self,
        id: ServerId,
        client: ClientId,
        frame: Frame,
        now: Time,
    ) {
        let Some(server) = self.remote.servers.get(&id) else { return };
        let (interface, vr) = (server.interface, server.inner_vr);
        let headers = match wire::parse(frame.bytes()) {
            Ok(headers) => headers,
            Err(reason) => return self.drop_of_client(interface, &frame, reason, now),
        };
        if server.by_address.get(&headers.src()) != Some(&client) {
            return self.drop_of_client(interface, &frame, DropReason::RemoteSourceForeign, now);
        }
        if self.is_capturing() {
            let place = Place::Interface(interface);
            self.handle_sight(
                &Sight::new(CapturePoint::Decap, place, What::Bytes(frame.bytes())),
                now,
            );
        }
        let place = (PortId(u16::MAX), interface, vr);
        let mut packet = Packet::new(frame, headers, place, Origin::Received, PuntCause::FlowMiss);
        packet.nesting = 1;
        if self.tracer.is_on() {
            self.maybe_trace(&mut packet, now);
        }
        self.run(packet, now);
    }

    fn drop_of_client(&mut self, interface: IfId, frame: &Frame, reason: DropReason, now: Time) {
        self.counters.drop(reason, interface);
        self.show_dropped_frame(Place::Interface(interface), frame, reason, now);
    }

    /// A packet, ready to leave by the interface of a tunnel, goes to the client that has its destination.
    pub(crate) fn send_to_client(
        &mut self,
        packet: &mut Packet,
        id: TunnelId,
        now: Time,
    ) -> Verdict {
        let destination = self.leaving_tuple(packet).dst;
        let found = self.remote.of_tunnel(id).and_then(|server| server.at(destination));
        let found = found.map(|(client, of)| {
            // the seam has the association only while packets go by it
            let carries = |number: &ClientNumber| {
                self.clients.get(*number).is_some_and(|client| client.association.is_some())
            };
            let number = of.number.filter(carries);
            (client, of.connected, Arc::clone(&of.user), of.channel, number)
        });
        let Some((client, connected, user, channel, number)) = found else {
            packet.say(|_| Note::new(format!("client at {destination}"), "there is none"));
            return Verdict::Drop(DropReason::RemoteClientUnknown);
        };
        if !connected {
            packet.say(|_| {
                Note::new(format!("{user} at {destination}"), "is away, and may come again")
            });
            return Verdict::Drop(DropReason::RemoteClientAway);
        }
        if let Some(number) = number {
            let wrapped = self.wrap_client(packet, number, now);
            packet.say(|p| {
                let found = match &wrapped {
                    Ok(()) => format!("became {}; {}", p.headers.tuple, self.client_offers(number)),
                    Err(reason) => format!("not sealed: {reason}"),
                };
                Note::new(format!("{user} at {destination}, by DTLS"), found)
            });
            return wrapped.map_or_else(Verdict::Drop, |()| Verdict::Continue);
        }
        packet.say(|_| {
            Note::new(format!("{user} at {destination}"), format!("sent by {}", channel.name()))
        });
        if packet.is_simulated() {
            return Verdict::Consume;
        }
        let (count, bytes) = (packet.count(), packet.volume());
        let frames = match self.final_packets(packet) {
            Ok(frames) => frames,
            Err(reason) => return Verdict::Drop(reason),
        };
        let mut verdict = Verdict::Consume;
        for frame in &frames {
            if let Err(reason) = self.send_one_to_client(id, client, frame, now) {
                verdict = Verdict::Drop(reason);
            }
        }
        if verdict == Verdict::Consume {
            self.count_wrapped(packet, count, bytes);
        }
        self.drive_remote(now);
        verdict
    }

    fn send_one_to_client(
        &mut self,
        id: TunnelId,
        client: ClientId,
        frame: &Frame,
        now: Time,
    ) -> Result<(), DropReason> {
        let server = self.remote.by_tunnel.get(&id).and_then(|id| self.remote.servers.get_mut(id));
        let server = server.ok_or(DropReason::RemoteClientUnknown)?;
        server.endpoint.handle_packet(now, client, frame.bytes()).map(|_| ()).map_err(|fault| {
            match fault {
                NotSent::NoTunnel => DropReason::RemoteClientAway,
                NotSent::Full => DropReason::RemoteClientSlow,
                NotSent::TooLong => DropReason::TunnelTooBig,
                NotSent::Dtls(SendError::NoAssociation) => DropReason::RemoteClientAway,
                NotSent::Dtls(SendError::Record(reason)) => reason,
            }
        })
    }
}

fn grant_of(leases: &[Lease], tunnel: Arc<TunnelSettings>) -> Grant {
    let mut grant = Grant { ipv4: None, ipv6: None, tunnel };
    for lease in leases {
        match lease.address {
            IpAddr::V4(ip) => grant.ipv4 = Some((ip, 32)),
            IpAddr::V6(ip) => grant.ipv6 = Some((ip, 128)),
        }
    }
    grant
}

/// What clients are told of the network.
fn tunnel_settings(config: &Config, access: &RemoteAccess, mtu: Option<u16>) -> TunnelSettings {
    let of_pools = || {
        let pools = access.pools.iter().filter_map(|pool| config.address_pool(*pool));
        pools.flat_map(|pool| pool.dns.iter().copied()).collect()
    };
    TunnelSettings {
        dns: if access.dns.is_empty() { of_pools() } else { access.dns.clone() },
        default_domain: access.domain.clone(),
        split_dns: access.split_dns.clone(),
        split_include: access.split_include.clone(),
        split_exclude: access.split_exclude.clone(),
        banner: access.banner.clone(),
        mtu,
        dpd: access.dpd,
        keepalive: access.keepalive,
        idle_timeout: access.idle_timeout,
        session_timeout: access.session_timeout,
        rekey: access.rekey,
        dtls: access.dtls,
    }
}
