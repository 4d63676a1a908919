//! ARP and neighbour discovery in and out: joins the neighbour room to frames.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use config::{
    Config,
    model::{Attachment, IfId},
};
use offload::{Adjacency, AdjacencyId};
use ports::PortId;
use reason::{DemotionReason, DropReason};
use wire::{
    Mac, Time,
    arp::ArpPacket,
    nd::{self, NdMessage, NeighbourSolicitation},
};

use crate::{
    Gateway,
    events::EventKind,
    neighbour::{
        ArpAction, LostCause, NeighbourEvent, NeighbourId, NeighbourRequest, RequestKind,
        SolicitationAction,
    },
    packet::{Packet, Verdict},
    trace::Note,
};

impl Gateway {
    /// An ARP message came in.
    pub(crate) fn receive_arp(&mut self, packet: &mut Packet, now: Time) -> Verdict {
        let message = match wire::arp::parse(packet.frame.bytes(), &packet.headers) {
            Ok(message) => message,
            Err(reason) => return Verdict::Drop(reason),
        };
        let ingress = packet.ingress;
        let config = std::sync::Arc::clone(&self.config);
        let own = &config.interfaces[usize::from(ingress.0)].addresses;
        let nat = &self.nat;
        let proxies = |ip: IpAddr| nat.proxies(ingress, ip) || lives_here(&config, ingress, ip);
        let mac = self.topology.mac(&config.interfaces[usize::from(ingress.0)]);
        let action = self.neighbours.handle_arp(ingress, own, mac, &message, proxies, now);
        packet.say(|_| {
            Note::new(format!("arp {} for {}", message.sender_ip, message.target_ip), "taken")
        });
        match action {
            ArpAction::Reply { address } => self.send_arp_reply(ingress, &message, address, now),
            ArpAction::None => {}
        }
        self.handle_neighbour_events(now);
        Verdict::Consume
    }

    /// A neighbour discovery message came in.
    pub(crate) fn receive_nd(&mut self, packet: &mut Packet, now: Time) -> Verdict {
        let message = match nd::parse(packet.frame.bytes(), &packet.headers) {
            Ok(message) => message,
            Err(reason) => return Verdict::Drop(reason),
        };
        let ingress = packet.ingress;
        let config = std::sync::Arc::clone(&self.config);
        let own = &config.interfaces[usize::from(ingress.0)].addresses;
        let nat = &self.nat;
        let mac = self.topology.mac(&config.interfaces[usize::from(ingress.0)]);
        let link_local = IpAddr::V6(nd::link_local(mac));
        let proxies = |ip: IpAddr| {
            ip == link_local || nat.proxies(ingress, ip) || lives_here(&config, ingress, ip)
        };
        packet.say(|_| Note::new("neighbour discovery", "taken"));
        match message {
            NdMessage::Solicitation(asked) => {
                let action =
                    self.neighbours.handle_solicitation(ingress, own, mac, &asked, proxies, now);
                match action {
                    SolicitationAction::Reply => {
                        self.send_advertisement(ingress, &asked, packet.headers.eth_src, now)
                    }
                    SolicitationAction::None => {}
                }
            }
            NdMessage::Advertisement(told) => {
                self.neighbours.handle_advertisement(ingress, own, mac, &told, proxies, now);
            }
        }
        self.handle_neighbour_events(now);
        Verdict::Consume
    }

    /// Sends what the neighbour room wants to ask.
    pub(crate) fn send_solicitations(&mut self, now: Time) {
        while let Some(request) = self.neighbours.poll_request(now) {
            self.counters.solicitations_sent += 1;
            self.send_request(&request, now);
        }
    }

    /// Lets go of packets whose neighbour was found or given up, and tells the engine.
    pub(crate) fn handle_neighbour_events(&mut self, now: Time) {
        while let Some(event) = self.neighbours.poll_event() {
            match event {
                NeighbourEvent::Resolved { id, interface, mac, held, .. } => {
                    self.publish_adjacency(id, interface, mac);
                    for mut packet in held {
                        packet.next_hop = Some((id.0, mac));
                        self.run_resolved(*packet, now);
                    }
                }
                NeighbourEvent::Changed { id, interface, mac, .. } => {
                    self.publish_adjacency(id, interface, mac);
                }
                NeighbourEvent::Lost { id, interface, address, cause, held } => {
                    self.engine.clear_adjacency(AdjacencyId(id.0));
                    if cause == LostCause::Unreachable {
                        let name = self.config.interface_name(interface).to_owned();
                        self.events.push_limited(now, EventKind::NeighbourLost, || {
                            format!("{address} on {name} does not answer")
                        });
                    }
                    for packet in held {
                        self.give_up(*packet, now);
                    }
                }
                NeighbourEvent::Conflict { interface, address, mac } => {
                    let name = self.interface(interface).name.clone();
                    self.events.push_limited(now, EventKind::AddressConflict, || {
                        format!("{mac} on {name} uses our address {address}")
                    });
                }
            }
        }
    }

    /// A packet whose next hop never answered (RFC 1812 §5.2.7.1: host unreachable).
    fn give_up(&mut self, mut packet: Packet, now: Time) {
        let lost = packet.count();
        self.counters.drop_packets(DropReason::NeighbourUnresolved, packet.ingress, lost);
        self.show_drop(&packet, DropReason::NeighbourUnresolved, now);
        if packet.origin == crate::packet::Origin::Received && packet.wrapped.is_none() {
            let kind = crate::local::IcmpErrorKind::HostUnreachable;
            self.send_icmp_error(kind, packet.frame.bytes(), packet.ingress, now);
        }
        self.close_trace(&mut packet);
    }

    pub(crate) fn publish_adjacency(&mut self, id: NeighbourId, interface: IfId, dst: Mac) {
        let config = self.interface(interface);
        let Some(port) = config.port() else { return };
        let adjacency = Adjacency {
            port,
            interface: interface.0,
            src: self.topology.mac(config),
            dst,
            vlan: config.vlan(),
            mtu: config.mtu,
        };
        // A refusal shows again, with evidence, when a flow is offered that needs it.
        let _ = self.engine.set_adjacency(AdjacencyId(id.0), adjacency);
    }

    /// Static neighbours are known from the start; so are their adjacencies.
    pub(crate) fn publish_neighbours(&mut self) {
        let known: Vec<_> = self
            .neighbours
            .iter()
            .filter_map(|n| n.mac.map(|mac| (n.id, n.interface, mac)))
            .collect();
        for (id, interface, mac) in known {
            self.publish_adjacency(id, interface, mac);
        }
    }

    /// Sessions that leave by a port without link are demoted; the routes by it are withdrawn.
    pub(crate) fn link_changed(&mut self, port: PortId, up: bool, now: Time) {
        let interfaces: Vec<_> = self.topology.interfaces_of(port).collect();
        let mut changed = false;
        for interface in interfaces {
            changed |= self.routes.set_link(interface, up);
        }
        if changed {
            let change = if up { DemotionReason::RouteChanged } else { DemotionReason::LinkDown };
            self.reevaluate_all(change, now);
        }
    }

    /// Tells the segment of a port which MAC our addresses have now (RFC 5227 §3, RFC 4861 §7.2.6).
    pub(crate) fn announce_port(&mut self, port: PortId, now: Time) {
        let interfaces: Vec<_> = self.topology.interfaces_of(port).collect();
        for id in interfaces {
            let interface = self.interface(id);
            if interface.enabled {
                for address in interface.addresses.clone() {
                    self.neighbours.announce(id, address.addr());
                }
            }
        }
        self.send_solicitations(now);
    }

    fn send_request(&mut self, request: &NeighbourRequest, now: Time) {
        let interface = self.interface(request.interface);
        let (mac, vlan) = (self.topology.mac(interface), interface.vlan());
        let announce = request.kind == RequestKind::Announce;
        let frame = match request.target {
            IpAddr::V4(own) if announce => wire::emit::arp_request(mac, own, own, None, vlan),
            IpAddr::V6(own) if announce => wire::emit::neighbour_advertisement(
                mac,
                own,
                nd::multicast_mac(nd::ALL_NODES),
                Ipv6Addr::UNSPECIFIED,
                true,
                vlan,
            ),
            IpAddr::V4(target) => {
                let source = match self.own_address(request.interface, request.target) {
                    Some(IpAddr::V4(source)) => source,
                    Some(IpAddr::V6(_)) | None => return,
                };
                wire::emit::arp_request(mac, source, target, request.unicast, vlan)
            }
            IpAddr::V6(target) => {
                let source = match self.own_address(request.interface, request.target) {
                    Some(IpAddr::V6(source)) => source,
                    Some(IpAddr::V4(_)) | None => nd::link_local(mac),
                };
                wire::emit::neighbour_solicitation(mac, source, target, request.unicast, vlan)
            }
        };
        self.send_link(request.interface, &frame, now);
    }

    fn send_arp_reply(&mut self, ingress: IfId, asked: &ArpPacket, own: Ipv4Addr, now: Time) {
        let interface = self.interface(ingress);
        let (mac, vlan) = (self.topology.mac(interface), interface.vlan());
        let frame = wire::emit::arp_reply(mac, own, asked.sender_mac, asked.sender_ip, vlan);
        self.counters.advertisements_sent += 1;
        self.send_link(ingress, &frame, now);
    }

    fn send_advertisement(
        &mut self,
        ingress: IfId,
        asked: &NeighbourSolicitation,
        from: Mac,
        now: Time,
    ) {
        let interface = self.interface(ingress);
        let (mac, vlan) = (self.topology.mac(interface), interface.vlan());
        // Only the interface's own addresses replace what was known (RFC 4861 §7.2.8).
        let is_own = interface.addresses.iter().any(|net| net.addr() == asked.target)
            || asked.target == nd::link_local(mac);
        // Without the option the answer goes back to where the question came from (RFC 4861 §7.2.4).
        let to_mac = asked.source_mac.unwrap_or(from);
        let frame =
            wire::emit::neighbour_advertisement(mac, asked.target, to_mac, asked.src, is_own, vlan);
        self.counters.advertisements_sent += 1;
        self.send_link(ingress, &frame, now);
    }

    /// Sends a frame by the link of an interface.
    fn send_link(&mut self, interface: IfId, bytes: &[u8], now: Time) {
        let port = match self.interface(interface).on {
            Attachment::Port { port, .. } => PortId(port),
            Attachment::Tunnel(id) => return self.send_into(id, bytes, now),
            Attachment::Loopback => return,
        };
        match self.frames.alloc_from(bytes) {
            Some(frame) => self.transmit.push_back((port, frame)),
            None => {
                self.counters
                    .drop(DropReason::BuffersExhausted, self.topology.first_interface(port));
            }
        }
    }
}

/// Whether an address stands on a loopback, and whoever asks on this interface takes it for one of the
/// subnet.
fn lives_here(config: &Config, ingress: IfId, ip: IpAddr) -> bool {
    let Some(link) = config.interface(ingress) else { return false };
    let loopbacks = config.interfaces.iter().filter(|i| i.is_loopback() && i.enabled);
    link.addresses.iter().any(|net| net.contains(&ip))
        && loopbacks.filter(|i| i.vr == link.vr).any(|i| i.addresses.iter().any(|a| a.addr() == ip))
}
