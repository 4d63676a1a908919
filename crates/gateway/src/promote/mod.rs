//! Promotion: evaluates sessions, compiles their directions, and keeps engine and ledger in step.
//!
//! A direction is offered as soon as nothing stands against it. Demotion always has a reason; the
//! final counters come back as an engine event and are added to the session, so that the sum over
//! tiers never loses or doubles a packet.

mod compile;
mod evaluate;
mod rules;

pub(crate) use rules::Rules;

use core::fmt;

use offload::{
    Direction, EngineEvent, EngineId, FlowStats,
    ledger::{At, Ledger, State},
};
use reason::{DemotionReason, NotEligible, ReasonSet, RefusalReason};
use wire::Time;

use crate::{Gateway, session::SessionId};

/// The first engine. The gateway has one engine so far; the ledger already names it per direction.
pub(crate) const ENGINE: EngineId = EngineId(0);

/// History entries kept over all sessions.
const HISTORY: usize = 16_384;

/// Ledger and what is known of the engine.
pub struct Promotion {
    pub(crate) ledger: Ledger,
    /// The reason given to sessions found stale: what was changed last.
    pub(crate) change: DemotionReason,
}

impl Promotion {
    pub(crate) fn new() -> Self {
        Self { ledger: Ledger::new(HISTORY), change: DemotionReason::PolicyChanged }
    }

    /// The ledger.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }
}

/// Where a direction stands after an attempt to promote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The engine has it.
    Served,
    /// Only passing reasons stand against it.
    Waiting(ReasonSet<NotEligible>),
    /// Something stands against it that waiting does not change.
    NotEligible(ReasonSet<NotEligible>),
    /// The engine did not take it.
    Refused(RefusalReason),
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Served => f.write_str("installed"),
            Self::Waiting(set) => write!(f, "not yet: {set}"),
            Self::NotEligible(set) => write!(f, "not eligible: {set}"),
            Self::Refused(reason) => write!(f, "refused: {reason}"),
        }
    }
}

impl Gateway {
    /// Evaluates a direction and offers it to the engine if nothing stands against it.
    pub(crate) fn promote(&mut self, id: SessionId, direction: Direction, now: Time) -> Standing {
        let Some(session) = self.sessions.get(id) else {
            return Standing::Waiting(ReasonSet::EMPTY);
        };
        if session.ledger.direction(direction).state().handle().is_some() {
            return Standing::Served;
        }
        let facts = self.facts(session, direction);
        let against = self.rules().flow(&facts);
        let program = against.is_empty().then(|| self.compile(id, session, direction, now));
        let at = At { session: id.index, direction, engine: ENGINE, now };
        let Some(session) = self.sessions.get_mut(id) else {
            return Standing::Waiting(against);
        };
        let ledger = &mut self.promotion.ledger;
        ledger.evaluated(&mut session.ledger, at, against);
        let Some(program) = program else {
            return if against.iter().all(is_passing) {
                Standing::Waiting(against)
            } else {
                Standing::NotEligible(against)
            };
        };
        match self.engine.install(&program, now) {
            Ok(handle) => {
                ledger.installed(&mut session.ledger, at, handle);
                let traced = session.is_traced();
                if traced {
                    self.engine.set_traced(handle, true);
                }
                Standing::Served
            }
            Err(refusal) => {
                ledger.refused(&mut session.ledger, at, refusal);
                Standing::Refused(refusal.reason)
            }
        }
    }

    /// Takes a direction out of the engine; says whether it was in it.
    pub(crate) fn demote(
        &mut self,
        id: SessionId,
        direction: Direction,
        reason: DemotionReason,
        now: Time,
    ) -> bool {
        let Some(session) = self.sessions.get_mut(id) else { return false };
        let state = session.ledger.direction(direction).state();
        let handle = match state {
            State::Installed(handle) | State::Hitting(handle) => handle,
            State::NotEvaluated
            | State::Eligible
            | State::NotEligible(_)
            | State::Refused(_)
            | State::Retiring(..) => return false,
        };
        let at = At { session: id.index, direction, engine: ENGINE, now };
        self.promotion.ledger.retire(&mut session.ledger, at, reason);
        self.engine.remove(handle, reason);
        true
    }

    /// Takes both directions out of the engine.
    pub(crate) fn demote_both(&mut self, id: SessionId, reason: DemotionReason, now: Time) {
        for direction in Direction::BOTH {
            self.demote(id, direction, reason, now);
        }
    }

    /// Takes in what the engine did on its own. Call it after every burst.
    pub fn handle_engine(&mut self, now: Time) {
        while let Some(event) = self.engine.poll_event() {
            match event {
                EngineEvent::Removed { handle, session, direction, stats, reason } => {
                    let at = At { session, direction, engine: ENGINE, now };
                    self.engine_removed(at, handle, stats, reason);
                }
                // Refused directions are offered again with their next packet.
                EngineEvent::Room => {
                    self.promote_sas(DemotionReason::OffloadSwitchChanged, now);
                    self.promote_clients(DemotionReason::OffloadSwitchChanged, now);
                }
            }
        }
    }

    /// A program is gone from the engine; these are its final counters.
    pub(crate) fn engine_removed(
        &mut self,
        at: At,
        handle: offload::Handle,
        stats: FlowStats,
        reason: DemotionReason,
    ) {
        let Some(id) = self.sessions.id_at(at.session) else {
            self.promotion.ledger.removed_late(at, reason, stats);
            return;
        };
        let Some(session) = self.sessions.get_mut(id) else { return };
        if session.ledger.direction(at.direction).state().handle() != Some(handle) {
            return;
        }
        session.add_fast(at.direction, stats);
        self.promotion.ledger.removed(&mut session.ledger, at, handle, reason, stats);
        self.finish_removal(id, at.now);
    }

    /// The engine's counters of a direction that it has now.
    pub(crate) fn live_stats(
        &self,
        session: &crate::session::Session,
        direction: Direction,
    ) -> FlowStats {
        session
            .ledger
            .direction(direction)
            .state()
            .handle()
            .and_then(|handle| self.engine.stats(handle))
            .unwrap_or_default()
    }

    /// When the session last served a packet, whichever tier did.
    pub(crate) fn last_seen(&self, session: &crate::session::Session) -> Time {
        Direction::BOTH
            .iter()
            .map(|d| self.live_stats(session, *d).last_hit)
            .fold(session.last_seen, Time::max)
    }
}

/// Reasons that pass by themselves.
pub(crate) fn is_passing(reason: NotEligible) -> bool {
    match reason {
        NotEligible::NotEstablished
        | NotEligible::AwaitingReply
        | NotEligible::BelowPacketThreshold
        | NotEligible::TcpClosing
        | NotEligible::NeighbourUnresolved
        | NotEligible::SaNotInstalled => true,
        NotEligible::LocalDestination
        | NotEligible::LocalOrigin
        | NotEligible::Multicast
        | NotEligible::Broadcast
        | NotEligible::DisabledGlobally
        | NotEligible::DisabledByVirtualRouter
        | NotEligible::DisabledByPolicy
        | NotEligible::InspectionFlow
        | NotEligible::InspectionProxy
        | NotEligible::HelperActive
        | NotEligible::ShaperSoftware
        | NotEligible::InterfaceWithoutEngine
        | NotEligible::InterfacesOnDifferentEngines
        | NotEligible::ProtocolUnsupported
        | NotEligible::AddressFamilyUnsupported
        | NotEligible::NatUnsupported
        | NotEligible::Fragment
        | NotEligible::IpOptions
        | NotEligible::TcpWindowUnchecked
        | NotEligible::HaConfig
        | NotEligible::DisabledByTunnel
        | NotEligible::SaRefused
        | NotEligible::SaNotEligible
        | NotEligible::CipherUnsupported
        | NotEligible::IntegrityUnsupported
        | NotEligible::KeyLength
        | NotEligible::IcvLength
        | NotEligible::ReplayWindowSize
        | NotEligible::ReplayNeedsEsn
        | NotEligible::EsnUnsupported
        | NotEligible::TunnelMode
        | NotEligible::TransportMode
        | NotEligible::Compression
        | NotEligible::NatTraversal
        | NotEligible::TfcPadding
        | NotEligible::SelectorTooSpecific
        | NotEligible::PostFragmentation
        | NotEligible::Ikev1
        | NotEligible::TunnelledFilter
        | NotEligible::MultiContext
        | NotEligible::VolumeLifetime
        | NotEligible::LifetimeOrder
        | NotEligible::TunnelledFlow
        | NotEligible::EgressOptimisationOff
        | NotEligible::GreNotOffloaded
        | NotEligible::VxlanNotOffloaded
        | NotEligible::DtlsVersionUnsupported
        | NotEligible::DtlsCompression
        | NotEligible::DtlsNotOffloaded
        | NotEligible::RemoteAccessNotOffloaded => false,
    }
}
