//! What would happen to a packet: the same stages, and nothing is changed.

use core::net::IpAddr;

use config::model::{IfId, VrId};
use ports::Frame;
use reason::PuntCause;
use wire::{Time, Tuple, build, proto};

use crate::{
    Gateway,
    originate::port_of,
    packet::{Origin, Packet},
    route::Lookup,
    trace::Trace,
};

/// A packet that only asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// The interface it would come in by; where absent, the one the way back to the source uses.
    pub ingress: Option<IfId>,
    /// Virtual router to find that interface in.
    pub vr: VrId,
    /// Addresses, ports, protocol.
    pub tuple: Tuple,
    /// TCP flags.
    pub tcp_flags: u8,
    /// TTL or hop limit.
    pub ttl: u8,
    /// Bytes of the IP packet; zero for the smallest.
    pub length: u16,
    /// IPv4 don't fragment.
    pub dont_fragment: bool,
}

impl Gateway {
    /// Sends a made-up packet through the stages. Nothing is counted, allocated, asked or sent.
    pub fn simulate(&mut self, question: &Question, now: Time) -> Option<Trace> {
        let ingress =
            question.ingress.or_else(|| self.ingress_for(question.vr, question.tuple.src))?;
        let interface = self.interface(ingress);
        let (port, vr, vlan) = (port_of(interface), interface.vr, interface.vlan());
        let bytes = question.bytes(vlan)?;
        let headers = wire::parse(&bytes).ok()?;
        let mut packet = Packet::new(
            Frame::from_vec(bytes),
            headers,
            (port, ingress, vr),
            Origin::Simulated,
            PuntCause::FlowMiss,
        );
        packet.trace = Some(Box::new(self.new_trace(0, &packet, now)));
        self.run(packet, now);
        self.tracer.take_simulated()
    }

    /// The interface the way back to `src` leads through.
    /// Selectors of tunnels do not count: they want a whole packet.
    pub(crate) fn ingress_for(&self, vr: VrId, src: IpAddr) -> Option<IfId> {
        // clients are behind their interface, and no route leads there
        if let Some(interface) = self.remote.steer(vr, src) {
            return Some(interface);
        }
        match self.routes.lookup(vr, src) {
            Lookup::Via(set) => set.members.first().map(|member| member.interface),
            Lookup::Local(_) | Lookup::Broadcast(_) | Lookup::Blackhole(_) | Lookup::None => None,
        }
    }
}

impl Question {
    fn bytes(&self, vlan: Option<u16>) -> Option<Vec<u8>> {
        if self.tuple.src.is_ipv4() != self.tuple.dst.is_ipv4() {
            return None;
        }
        let headers = if self.tuple.is_v6() { 40 } else { 20 };
        let transport = match self.tuple.proto {
            proto::TCP => 20,
            proto::SCTP => 12,
            proto::UDP | proto::ICMP | proto::ICMPV6 => 8,
            _ => 0,
        };
        let payload = vec![0; usize::from(self.length).saturating_sub(headers + transport)];
        let mut draft = build::Packet::new(self.tuple)
            .ether(build::ETHER)
            .ttl(self.ttl)
            .df(self.dont_fragment)
            .payload(&payload);
        if let Some(vlan) = vlan {
            draft = draft.vlan(vlan);
        }
        if self.tuple.proto == proto::TCP {
            draft = draft.tcp(self.tcp_flags, 1, 0);
        }
        Some(draft.build())
    }
}
