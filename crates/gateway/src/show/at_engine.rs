//! Where one direction of an SA or a DTLS association stands with the engine, since when, and how that came: what the
//! views of both have in common.

use api::{
    DemotionView, FactView, FindingView, HistoryView, PlacementStatus, ReasonView, RefusalView,
    RemedyView,
};
use offload::{
    Direction, Retry,
    ledger::{Event, HistoryEntry, Ledger, Record, State},
};
use reason::{NotEligible, Reason as _};
use wire::Time;

use super::{
    convert::ago,
    explain::{created, step},
    sessions::evidence,
};

/// A direction of something that has a place of its own in a ledger.
pub(super) struct AtEngine<'a> {
    record: Record,
    steps: Vec<&'a HistoryEntry>,
    created: Time,
    /// Packets that the engine has served.
    served: u64,
}

/// Four separate facts about it and its engine.
pub(super) struct Facts {
    pub(super) requested: FactView,
    pub(super) eligible: FactView,
    pub(super) installed: FactView,
    pub(super) hitting: FactView,
}

impl<'a> AtEngine<'a> {
    /// Of what the ledger knows under `number`, which no other ever had.
    pub(super) fn of(
        ledger: &'a Ledger,
        number: u32,
        (direction, record): (Direction, Record),
        created: Time,
        served: u64,
    ) -> Self {
        let steps = ledger.history().of(number, Time::ZERO);
        let steps = steps.filter(|entry| entry.direction == direction).collect();
        Self { record, steps, created, served }
    }

    pub(super) fn status(&self) -> PlacementStatus {
        match self.record.state() {
            State::NotEvaluated | State::NotEligible(_) | State::Retiring(..) => {
                PlacementStatus::NotEligible
            }
            State::Eligible => PlacementStatus::Eligible,
            State::Refused(_) => PlacementStatus::Refused,
            State::Installed(_) | State::Hitting(_) if self.served > 0 => PlacementStatus::Hitting,
            State::Installed(_) | State::Hitting(_) => PlacementStatus::Installed,
        }
    }

    /// `requested`: whether the configuration lets it be offered, and since when.
    pub(super) fn facts(&self, requested: (bool, Time), now: Time) -> Facts {
        let state = self.record.state();
        // When the engine got what it has now, or lost what it had.
        let moved = self
            .steps
            .iter()
            .rfind(|entry| match entry.event {
                Event::Installed(handle) => state.handle() == Some(handle),
                Event::Removed(..) => !state.is_installed(),
                Event::NotEligible(_)
                | Event::Refused(_)
                | Event::FirstHit
                | Event::Retiring(_) => false,
            })
            .map_or(self.created, |entry| entry.time);
        // A refusal after that says that it was eligible then; what stands now came later.
        let refused =
            self.steps.iter().any(|e| matches!(e.event, Event::Refused(_)) && e.time >= moved);
        let fact = |holds, since| FactView { holds, for_ms: Some(ago(now, since)) };
        let installed = state.is_installed();
        let eligible = installed || matches!(state, State::Eligible | State::Refused(_));
        let since = self.record.since();
        Facts {
            requested: fact(requested.0, requested.1),
            eligible: fact(
                eligible,
                if installed || !(eligible || refused) { moved } else { since },
            ),
            installed: fact(installed, moved),
            hitting: fact(
                installed && self.served > 0,
                if matches!(state, State::Hitting(_)) { since } else { moved },
            ),
        }
    }

    /// Offers, refusals and demotions, oldest first.
    pub(super) fn history(&self, engine: &'static str) -> Vec<HistoryView> {
        core::iter::once(created())
            .chain(self.steps.iter().map(|entry| step(entry, self.created, engine)))
            .map(|step| HistoryView { direction: None, ..step })
            .collect()
    }

    /// The engine's last refusal, if it stands.
    pub(super) fn refusal(&self, now: Time) -> Option<RefusalView> {
        if self.status() != PlacementStatus::Refused {
            return None;
        }
        let last = self.steps.iter().rev().find_map(|entry| match entry.event {
            Event::Refused(refusal) => Some((entry.time, refusal)),
            Event::NotEligible(_)
            | Event::Installed(_)
            | Event::FirstHit
            | Event::Retiring(_)
            | Event::Removed(..) => None,
        });
        let (time, refusal) = last?;
        let (retry, retry_in_ms) = match refusal.retry {
            Retry::NextPacket => ("next-packet", None),
            Retry::WhenRoom => ("when-room", None),
            Retry::NotBefore(at) => ("not-before", Some(ago(at, now))),
            Retry::Never => ("never", None),
        };
        Some(RefusalView {
            reason: ReasonView::of(refusal.reason),
            evidence: evidence(&refusal),
            engine_words: None,
            retry: retry.into(),
            retry_in_ms,
            ago_ms: ago(now, time),
            times: 1,
        })
    }

    /// The last demotion.
    pub(super) fn demotion(&self, now: Time) -> Option<DemotionView> {
        self.steps.iter().rev().find_map(|entry| match entry.event {
            Event::Removed(reason, _) => Some(DemotionView {
                reason: ReasonView::of(reason),
                evidence: String::new(),
                ago_ms: ago(now, entry.time),
            }),
            Event::NotEligible(_)
            | Event::Refused(_)
            | Event::Installed(_)
            | Event::FirstHit
            | Event::Retiring(_) => None,
        })
    }
}

/// What would bring it to the engine: every standing reason with its remedy.
pub(super) fn remedies(
    against: &[FindingView],
    refusal: Option<&RefusalView>,
    engine: &'static str,
) -> Vec<RemedyView> {
    let remedy = |reason: &ReasonView, retry: &'static str, retry_in_ms| RemedyView {
        reason: reason.clone(),
        direction: None,
        engine: Some(engine.into()),
        retry_in_ms,
        retry: retry.into(),
    };
    let unresolved = NotEligible::NeighbourUnresolved.name();
    let found = against.iter().map(|finding| {
        let neighbour = finding.reason.name == unresolved;
        let retry = if neighbour {
            "at every neighbour update"
        } else {
            "with every change of the configuration"
        };
        remedy(&finding.reason, retry, None)
    });
    let refused = refusal.iter().map(|refusal| {
        let retry = match refusal.retry.as_ref() {
            "when-room" => "when the engine has room",
            "never" => "",
            "not-before" => "after a while",
            _ => "with the next packet",
        };
        remedy(&refusal.reason, retry, refusal.retry_in_ms)
    });
    found.chain(refused).collect()
}
