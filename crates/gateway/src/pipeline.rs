//! Drives a packet through the stages in order, and counts and traces what they decide.

use reason::DropReason;
use wire::Time;

use crate::{
    Gateway,
    packet::{Destination, Origin, Packet, Tier, Verdict},
    stages,
    trace::{Phase, Stage},
};

/// From the wire (or out of a tunnel) to the packet that counts.
const ENTRY: [Stage; 3] = [Stage::Ingress, Stage::Reassemble, Stage::Decap];

/// Which session it belongs to.
const SESSION: [Stage; 1] = [Stage::Session];

/// What only a packet without a session goes through.
const SETUP: [Stage; 8] = [
    Stage::Anomaly,
    Stage::Rpf,
    Stage::Dnat,
    Stage::Sdwan,
    Stage::Route,
    Stage::Policy,
    Stage::Snat,
    Stage::Admit,
];

/// What every packet of a session goes through.
const SERVICE: [Stage; 3] = [Stage::Inspect, Stage::Shape, Stage::Offload];

/// What a packet for the gateway itself ends with.
const LOCAL: [Stage; 1] = [Stage::Deliver];

/// What a packet that leaves by a tunnel goes through; then it is another packet, which leaves too.
const WRAP: [Stage; 1] = [Stage::Encap];

/// The same where the tunnel is a link with neighbours.
const WRAP_LINK: [Stage; 2] = [Stage::Neighbour, Stage::Encap];

/// What a packet that leaves ends with.
const EXIT: [Stage; 3] = [Stage::Neighbour, Stage::Encap, Stage::Transmit];

/// Stages of a packet that the gateway itself made.
const ORIGINATED: [Stage; 2] = [Stage::Route, Stage::Policy];

impl Gateway {
    /// A received (or simulated) packet, from the first stage on.
    pub(crate) fn run(&mut self, packet: Packet, now: Time) {
        let mut packet = packet;
        loop {
            let before = packet.nesting;
            match self.through(&ENTRY, packet, now) {
                Some(entered) => packet = entered,
                None => return,
            }
            if packet.nesting == before {
                break;
            }
        }
        let Some(packet) = self.through(&SESSION, packet, now) else { return };
        let packet = if packet.session.is_none() {
            match self.through(&SETUP, packet, now) {
                Some(packet) => packet,
                None => return,
            }
        } else {
            packet
        };
        let Some(packet) = self.through(&SERVICE, packet, now) else { return };
        if packet.destination == Destination::Local {
            self.finish(&LOCAL, packet, now);
        } else {
            self.leave(packet, now);
        }
    }

    /// A packet the gateway itself made: it has no session.
    pub(crate) fn run_originated(&mut self, packet: Packet, now: Time) {
        if let Some(packet) = self.through(&ORIGINATED, packet, now) {
            self.leave(packet, now);
        }
    }

    /// A packet leaves: through as many tunnels as its way leads, and then by a port.
    pub(crate) fn leave(&mut self, packet: Packet, now: Time) {
        let Destination::Forward { egress, .. } = packet.destination else {
            return self.finish(&EXIT, packet, now);
        };
        let stages: &[Stage] = match self.tunnel_of(egress) {
            None if self.clients.are_behind(egress) => &WRAP,
            None => return self.finish(&EXIT, packet, now),
            Some((_, tunnel)) if tunnel.is_ethernet() => &WRAP_LINK,
            Some(_) => &WRAP,
        };
        let Some(mut packet) = self.through(stages, packet, now) else { return };
        // What was cut before it was sealed goes on in as many packets.
        let siblings = packet.take_siblings();
        self.leave(packet, now);
        for sibling in siblings {
            match sibling {
                Ok(sibling) => self.leave(sibling, now),
                Err((reason, ingress)) => self.counters.drop(reason, ingress),
            }
        }
    }

    /// A packet whose neighbour has been resolved goes on where it waited.
    pub(crate) fn run_resolved(&mut self, packet: Packet, now: Time) {
        self.leave(packet, now);
    }

    fn finish(&mut self, stages: &[Stage], packet: Packet, now: Time) {
        if let Some(mut packet) = self.through(stages, packet, now) {
            self.close_trace(&mut packet);
        }
    }

    fn through(&mut self, stages: &[Stage], mut packet: Packet, now: Time) -> Option<Packet> {
        for &stage in stages {
            let started = if packet.trace.is_some() { (self.stopwatch)() } else { 0 };
            let verdict = self.enter(stage, &mut packet, now);
            if packet.trace.is_some() {
                self.record(stage, &mut packet, verdict, started);
            }
            match verdict {
                Verdict::Continue => {}
                Verdict::Drop(reason) => {
                    self.drop_packet(packet, reason, now);
                    return None;
                }
                Verdict::Consume => {
                    self.close_trace(&mut packet);
                    return None;
                }
                Verdict::Hold => {
                    self.hold(stage, packet, now);
                    return None;
                }
            }
        }
        Some(packet)
    }

    fn enter(&mut self, stage: Stage, packet: &mut Packet, now: Time) -> Verdict {
        match stage {
            Stage::Ingress => stages::ingress::run(self, packet, now),
            Stage::Reassemble => stages::reassemble::run(self, packet, now),
            Stage::Decap => stages::decap::run(self, packet, now),
            Stage::Session => stages::session::run(self, packet, now),
            Stage::Anomaly => stages::anomaly::run(self, packet, now),
            Stage::Rpf => stages::rpf::run(self, packet, now),
            Stage::Dnat => stages::dnat::run(self, packet, now),
            Stage::Sdwan => stages::sdwan::run(self, packet, now),
            Stage::Route => stages::route::run(self, packet, now),
            Stage::Policy | Stage::LocalIn | Stage::LocalOut => {
                stages::policy::run(self, packet, now)
            }
            Stage::Snat => stages::snat::run(self, packet, now),
            Stage::Admit => stages::admit::run(self, packet, now),
            Stage::Inspect => stages::inspect::run(self, packet, now),
            Stage::Shape => stages::shape::run(self, packet, now),
            Stage::Offload => stages::offload::run(self, packet, now),
            Stage::Deliver => stages::deliver::run(self, packet, now),
            Stage::Neighbour => stages::neighbour::run(self, packet, now),
            Stage::Encap => stages::encap::run(self, packet, now),
            Stage::Transmit => stages::transmit::run(self, packet, now),
            Stage::FastPath => Verdict::Continue,
        }
    }

    fn record(&mut self, stage: Stage, packet: &mut Packet, verdict: Verdict, started: u64) {
        let nanos = (self.stopwatch)().saturating_sub(started);
        let Some(mut trace) = packet.trace.take() else { return };
        trace.tier = packet.tier;
        if packet.wrapped.is_none() {
            trace.session = packet.session.map(|(id, _)| id);
            trace.direction = packet.session.map(|(_, direction)| direction);
        }
        trace.cause = (!packet.is_simulated()).then_some(packet.cause);
        if let Destination::Forward { egress, .. } = packet.destination
            && packet.wrapped.is_none()
        {
            trace.egress = Some(egress);
            trace.translated = self.leaving_as(packet);
        }
        let stage = match (stage, packet.origin, packet.destination) {
            (Stage::Policy, Origin::Gateway, _) => Stage::LocalOut,
            (Stage::Policy, _, Destination::Local) => Stage::LocalIn,
            _ => stage,
        };
        let note = trace.note.take().unwrap_or_default();
        let hit = packet.session.is_some();
        trace.phases.push(Phase { stage, note, verdict, hit, nanos });
        packet.trace = Some(trace);
    }

    /// The tuple a packet about to leave has on the wire.
    pub(crate) fn leaving_tuple(&self, packet: &Packet) -> wire::Tuple {
        match packet.wrapped.is_none() && !packet.related {
            true => self.leaving_as(packet).unwrap_or(packet.headers.tuple),
            false => packet.headers.tuple,
        }
    }

    /// The tuple a packet leaves with, as far as it is decided.
    fn leaving_as(&self, packet: &Packet) -> Option<wire::Tuple> {
        match packet.session.and_then(|(id, d)| self.sessions.get(id).map(|s| (s, d))) {
            Some((session, direction)) => Some(session.key(direction.opposite()).reversed()),
            None => {
                let inner = packet.inner_tuple();
                Some(match &packet.snat {
                    Some(grant) => {
                        wire::Tuple { src: grant.address, src_port: grant.port, ..inner }
                    }
                    None => inner,
                })
            }
        }
    }

    fn hold(&mut self, stage: Stage, packet: Packet, now: Time) {
        // The neighbour stage has queued the packet's place; fragments are copied by the reassembler;
        // what a tunnel has no SA for yet, or no client just now, waits before anything of it is changed.
        if stage == Stage::Neighbour {
            self.hold_for_neighbour(packet, now);
        } else if stage == Stage::Encap && !packet.is_simulated() {
            match self.clients_towards(&packet) {
                Some(id) => self.hold_for_client(id, packet, now),
                None => self.hold_for_ike(packet, now),
            }
        } else {
            let mut packet = packet;
            self.close_trace(&mut packet);
        }
    }

    /// A packet ends here: counted, shown to captures, its trace closed.
    pub(crate) fn drop_packet(&mut self, mut packet: Packet, reason: DropReason, now: Time) {
        if !packet.is_simulated() {
            self.counters.drop_packets(reason, packet.ingress, packet.count());
            self.show_drop(&packet, reason, now);
        }
        self.close_trace(&mut packet);
    }

    /// Hands the finished record of a traced packet to whoever asked for it.
    pub(crate) fn close_trace(&mut self, packet: &mut Packet) {
        if let Some(trace) = packet.trace.take() {
            self.tracer.finish(*trace);
        }
    }

    /// Whether a packet set a session up or was served by one, for the ladder of tiers.
    pub(crate) fn count_tier(&mut self, packet: &Packet) {
        self.count_at_tier(packet.tier, packet.count(), packet.volume());
    }

    /// Counts what a packet carried into a tunnel, for its session and its tier.
    pub(crate) fn count_inner(&mut self, packet: &Packet, count: u64, bytes: u64) {
        self.count_session_as(packet, count, bytes);
        self.count_at_tier(packet.tier, count, bytes);
    }

    fn count_at_tier(&mut self, tier: Tier, count: u64, bytes: u64) {
        match tier {
            Tier::SlowSetup => self.counters.setup.add(count, bytes),
            Tier::SlowEstablished => self.counters.established.add(count, bytes),
            Tier::Fast => {}
        }
    }
}
