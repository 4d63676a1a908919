//! A packet at a point, and who wants to see it.

use api::{CapturePoint, CapturedView, ReasonView};
use config::model::{IfId, TunnelId, VrId};
use offload::{Direction, SaName};
use ports::{Frame, PortId};
use reason::{DropReason, PuntCause, Reason};
use wire::{Fragmentation, Headers, L3, Time, proto};

use super::Whose;
use crate::{
    Gateway,
    packet::{Packet, Tier},
    session::SessionId,
    show::{SeenSubject, tuple_view},
    tunnel::ClientNumber,
};

/// Bytes of the Ethernet header that packets from inside of tunnels stand behind.
const ETHERNET: usize = 14;

/// A packet as somebody who moves packets sees it.
#[derive(Clone, Copy)]
pub struct Sight<'a> {
    /// Where in the gateway.
    pub point: CapturePoint,
    /// Where it is.
    pub place: Place,
    /// The packet.
    pub what: What<'a>,
    /// Who has it, as the API names tiers; empty where nobody has had it yet.
    pub tier: &'static str,
    /// Why it was dropped or punted.
    pub reason: Option<Why>,
    /// The SA it came out of or goes into, or that did not take it.
    pub sa: Option<SaName>,
    /// Its session and direction, where that is known.
    pub session: Option<(SessionId, Direction)>,
}

/// Where a packet is: where it came in, or leaves at the points on the way out.
#[derive(Clone, Copy)]
pub enum Place {
    /// At a port: its tag tells the interface.
    Port(PortId),
    /// At an interface.
    Interface(IfId),
}

/// A packet, behind an Ethernet header.
#[derive(Clone, Copy)]
pub enum What<'a> {
    /// A frame.
    Frame(&'a Frame),
    /// A copy.
    Bytes(&'a [u8]),
}

/// Why a packet was dropped or punted.
#[derive(Clone, Copy)]
pub enum Why {
    /// Dropped.
    Drop(DropReason),
    /// Punted.
    Punt(PuntCause),
}

impl Why {
    fn name(self) -> &'static str {
        match self {
            Self::Drop(reason) => reason.name(),
            Self::Punt(cause) => cause.name(),
        }
    }

    fn view(self) -> ReasonView {
        match self {
            Self::Drop(reason) => ReasonView::of(reason),
            Self::Punt(cause) => ReasonView::of(cause),
        }
    }
}

impl<'a> Sight<'a> {
    /// A packet about which nothing is known but where it is.
    pub const fn new(point: CapturePoint, place: Place, what: What<'a>) -> Self {
        Self { point, place, what, tier: "", reason: None, sa: None, session: None }
    }

    /// Says who has it.
    pub const fn by(self, tier: &'static str) -> Self {
        Self { tier, ..self }
    }

    /// Says why.
    pub const fn why(self, why: Why) -> Self {
        Self { reason: Some(why), ..self }
    }

    /// Names the SA.
    pub const fn at_sa(self, sa: Option<SaName>) -> Self {
        Self { sa, ..self }
    }

    fn bytes(&self) -> &'a [u8] {
        match self.what {
            What::Frame(frame) => frame.bytes(),
            What::Bytes(bytes) => bytes,
        }
    }

    fn unfinished(&self) -> String {
        match self.what {
            What::Frame(frame) => ports::pcap::unfinished(frame).unwrap_or_default(),
            What::Bytes(_) => String::new(),
        }
    }
}

impl Gateway {
    /// Whether a capture runs: then packets are to be shown with [`Gateway::handle_sight`].
    #[inline]
    pub fn is_capturing(&self) -> bool {
        self.captures.is_on()
    }

    /// Shows a packet to the captures.
    pub fn handle_sight(&mut self, sight: &Sight<'_>, now: Time) {
        let bytes = sight.bytes();
        let headers = wire::parse(bytes).ok();
        let ip = headers.as_ref().filter(|headers| matches!(headers.kind, L3::Ip(_)));
        let tuple = ip.map(|headers| headers.tuple);
        let on_the_wire = || {
            let headers = ip?;
            let esp = self.esp_on_the_wire(headers, bytes);
            esp.or_else(|| self.dtls_on_the_wire(sight, headers))
        };
        let sa = sight.sa.or_else(on_the_wire);
        let tunnel = sa.and_then(|sa| self.tunnel_of_sa(sa, sight.point));
        let user = match sa {
            Some(SaName::Dtls { number }) => self.remote.user_of(ClientNumber(number)),
            Some(SaName::Esp { .. }) | None => None,
        };
        let interface = match (sight.point, tunnel, sight.place) {
            (CapturePoint::Encap, Some(id), _) => {
                self.config.tunnels.get(usize::from(id.0)).map(|tunnel| tunnel.interface)
            }
            (_, _, Place::Interface(id)) => Some(id),
            (_, _, Place::Port(port)) => {
                headers.as_ref().and_then(|headers| self.topology.interface(port, headers.vlan))
            }
        };
        let vr = interface.and_then(|id| self.config.interface(id)).map(|interface| interface.vr);
        let outward = sight.point.is_outward();
        let session = sight.session.or_else(|| {
            let (vr, tuple) = (vr?, tuple?);
            if outward {
                let (id, direction) = self.sessions.lookup(vr, &tuple.reversed())?;
                Some((id, direction.opposite()))
            } else {
                self.sessions.lookup(vr, &tuple)
            }
        });
        let known = session.and_then(|(id, way)| Some((id, self.sessions.get(id)?, way)));
        let config = &*self.config;
        let subject = SeenSubject {
            tuple,
            session: known,
            interface,
            outward,
            vr,
            tier: sight.tier,
            reason: sight.reason.map(Why::name),
            users: &self.users,
            config,
        };
        let wants = |wanted: &super::Wanted| {
            wanted.spi.is_none_or(|spi| sa.is_some_and(|sa| sa.spi() == Some(spi)))
                && match &wanted.dtls {
                    None => true,
                    Some(Whose::Anybody) => matches!(sa, Some(SaName::Dtls { .. })),
                    Some(Whose::User(name)) => user.is_some_and(|user| **user == **name),
                }
                && wanted.reason.is_none_or(|name| subject.reason == Some(name))
                && wanted.interface.is_none_or(|id| interface == Some(id))
                && (wanted.filter.is_everything() || wanted.filter.matches(&subject))
        };
        let data = bytes.get(if sight.point.is_ip() { ETHERNET } else { 0 }..).unwrap_or_default();
        let view = |wanted: &super::Wanted| CapturedView {
            number: 0,
            uptime_ns: now.since(self.started).as_nanos() as u64,
            unix_ns: None,
            point: sight.point,
            interface: match (interface, sight.place) {
                (Some(id), _) => config.interface_name(id).to_owned(),
                (None, Place::Port(port)) => {
                    config.ports.get(usize::from(port.0)).map_or("?", |p| p.name.as_str()).into()
                }
                (None, Place::Interface(_)) => "?".into(),
            },
            tier: sight.tier.into(),
            reason: sight.reason.map(Why::view),
            spi: sa.and_then(|sa| sa.spi()).map(|spi| format!("{spi:#010x}")),
            user: user.map(|user| user.to_string()),
            tunnel: tunnel.and_then(|id| Some(config.tunnels.get(usize::from(id.0))?.name.clone())),
            session: known.map(|(id, _, _)| id.as_u64()),
            tuple: tuple.as_ref().map(tuple_view),
            length: data.len() as u32,
            unfinished: sight.unfinished(),
            data: data[..data.len().min(wanted.snap)].to_vec(),
        };
        self.captures.record(sight.point, wants, view);
    }

    /// Shows a packet that goes no further to the captures, as it was before an SA had it.
    pub(crate) fn show_drop(&mut self, packet: &Packet, reason: DropReason, now: Time) {
        if !self.captures.is_on() || packet.is_simulated() {
            return;
        }
        let (what, sa) = match &packet.before_sa {
            Some(before) => (What::Bytes(&before.bytes), Some(before.sa)),
            None if packet.frame.is_empty() => {
                (packet.pieces.first().map_or(What::Bytes(&[]), What::Frame), None)
            }
            None => (What::Frame(&packet.frame), None),
        };
        let sight = Sight::new(CapturePoint::Drop, Place::Interface(packet.ingress), what);
        let session = packet.session.filter(|_| packet.wrapped.is_none());
        let sight = Sight { session, ..sight.by(packet.tier.name()).why(Why::Drop(reason)) };
        self.handle_sight(&sight.at_sa(sa), now);
    }

    /// The same for a frame that has not become a packet yet.
    pub(crate) fn show_dropped_frame(
        &mut self,
        place: Place,
        frame: &Frame,
        reason: DropReason,
        now: Time,
    ) {
        if self.captures.is_on() {
            let sight = Sight::new(CapturePoint::Drop, place, What::Frame(frame));
            self.handle_sight(&sight.by(Tier::SlowSetup.name()).why(Why::Drop(reason)), now);
        }
    }

    /// The SA of an ESP packet, plain or in UDP.
    fn esp_on_the_wire(&self, headers: &Headers, bytes: &[u8]) -> Option<SaName> {
        let ports = self.tunnels.udp_ports();
        let tuple = &headers.tuple;
        let is_esp = match tuple.proto {
            proto::ESP => true,
            proto::UDP => ports.contains(&tuple.src_port) || ports.contains(&tuple.dst_port),
            _ => false,
        };
        if !is_esp || headers.fragment != Fragmentation::Whole {
            return None;
        }
        let spi = bytes.get(usize::from(headers.payload)..)?.first_chunk()?;
        // RFC 3948 §2.2: zero is IKE
        let spi = Some(u32::from_be_bytes(*spi)).filter(|spi| *spi != 0)?;
        Some(SaName::Esp { spi, destination: tuple.dst })
    }

    /// The association of a datagram on its way in or out.
    fn dtls_on_the_wire(&self, sight: &Sight<'_>, headers: &Headers) -> Option<SaName> {
        if headers.tuple.proto != proto::UDP || headers.fragment != Fragmentation::Whole {
            return None;
        }
        let interface = match sight.place {
            Place::Port(port) => self.topology.interface(port, headers.vlan)?,
            Place::Interface(id) => id,
        };
        let vr = self.config.interface(interface)?.vr;
        let coming =
            if sight.point.is_outward() { headers.tuple.reversed() } else { headers.tuple };
        self.clients.receiving(vr, &coming).map(|number| SaName::Dtls { number: number.0 })
    }

    /// The tunnel of an SA, in whichever virtual router it is; as many SAs as there are cost nothing.
    fn tunnel_of_sa(&self, sa: SaName, point: CapturePoint) -> Option<TunnelId> {
        let (spi, destination) = match sa {
            SaName::Esp { spi, destination } => (spi, destination),
            SaName::Dtls { number } => return self.remote.tunnel_of(ClientNumber(number)),
        };
        let routers = || (0..self.config.virtual_routers.len()).map(|vr| VrId(vr as u16));
        let receiving = || routers().find_map(|vr| self.tunnels.receiving(spi, destination, vr));
        let sending = || routers().find_map(|vr| self.tunnels.sent_with(spi, destination, vr));
        let child = match point {
            CapturePoint::Rx | CapturePoint::Punt | CapturePoint::Decap => receiving(),
            CapturePoint::Tx | CapturePoint::Encap => sending(),
            CapturePoint::Drop => receiving().or_else(sending),
        };
        self.tunnels.child(child?).map(|child| child.tunnel)
    }
}
