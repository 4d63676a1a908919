//! Offload: may the rest of the session be served by an engine?
//!
//! Evaluated with every packet the slow path still sees, for both directions, until the engine has
//! them; everything that stands against it is kept, not the first finding.

use offload::Direction;
use reason::{DemotionReason, DropReason, NotEligible, ReasonSet};
use wire::Time;

use crate::{
    Gateway,
    packet::{Packet, Tier, Verdict},
    promote::{Standing, is_passing},
    trace::Note,
};

pub(crate) fn run(gateway: &mut Gateway, packet: &mut Packet, now: Time) -> Verdict {
    if packet.is_simulated() {
        return simulate(gateway, packet);
    }
    let Some((id, direction)) = packet.session else {
        packet.say(|_| Note::new("no session", "nothing to promote"));
        return Verdict::Continue;
    };
    if packet.related {
        packet.say(|_| Note::new("ICMP error of a session", "not promoted by it"));
        return Verdict::Continue;
    }
    let standings = Direction::BOTH.map(|direction| gateway.promote(id, direction, now));
    let engine = gateway.engine.name();
    if let Some(trace) = &mut packet.trace {
        trace.against = standings[direction.index()].against();
    }
    packet.say(|_| {
        let [original, reply] = standings;
        Note::new(format!("engine {engine}"), format!("original: {original}; reply: {reply}"))
    });
    if gateway.offload_required(id) && standings[direction.index()].is_final_no() {
        // A session that never passed a packet must not take a place in the table.
        if packet.tier == Tier::SlowSetup {
            gateway.end_session(id, DemotionReason::OffloadRequired, now);
        }
        return Verdict::Drop(DropReason::OffloadRequired);
    }
    Verdict::Continue
}

/// What would become of the session once it is established.
fn simulate(gateway: &Gateway, packet: &mut Packet) -> Verdict {
    let known = packet.session.and_then(|(id, d)| gateway.sessions.get(id).map(|s| (id, d, s)));
    let (against, required) = match known {
        Some((id, direction, session)) => {
            let facts = gateway.facts(session, direction);
            let against = gateway.rules().flow(&facts);
            (against, gateway.offload_required(id))
        }
        None => (gateway.would_stand_against(packet), gateway.would_be_required(packet)),
    };
    let engine = gateway.engine.name();
    if let Some(trace) = &mut packet.trace {
        trace.against = against;
    }
    packet.say(|_| {
        let result = if against.is_empty() {
            "eligible once established and its next hops are resolved".into()
        } else {
            format!("not eligible: {against}")
        };
        Note::new(format!("engine {engine}"), result)
    });
    if required && !against.iter().all(is_passing) {
        return Verdict::Drop(DropReason::OffloadRequired);
    }
    Verdict::Continue
}

impl Standing {
    /// What stands against the direction; a refusal is no finding.
    fn against(&self) -> ReasonSet<NotEligible> {
        match self {
            Self::Served | Self::Refused(_) => ReasonSet::EMPTY,
            Self::Waiting(set) | Self::NotEligible(set) => *set,
        }
    }

    /// Whether the direction is not served by an engine and waiting will not change that.
    fn is_final_no(&self) -> bool {
        match self {
            Self::Served | Self::Waiting(_) => false,
            Self::NotEligible(_) | Self::Refused(_) => true,
        }
    }
}
