//! `explain sa`: where an SA stands at the engine, since when, how that came, and what would help.

use api::{ApiError, FactView, HistoryView, RemedyView, SaExplainView, SaExplainsView};
use offload::{
    Direction,
    ledger::{Event, State},
};
use reason::NotEligible;
use wire::Time;

use super::{
    convert::ago,
    explain::{created, step},
    rows,
};
use crate::{
    Gateway,
    tunnel::{Child, ChildId},
};

impl Gateway {
    pub(super) fn explain_sas(
        &self,
        pick: Option<&str>,
        limit: Option<u32>,
        cursor: Option<u64>,
        now: Time,
    ) -> Result<SaExplainsView, ApiError> {
        let all = self.picked_sas(pick)?;
        let total = all.len() as u64;
        let from = cursor.unwrap_or(0).min(total) as usize;
        let page = all[from..].iter().take(rows(limit));
        let sas: Vec<_> =
            page.map(|(id, child, way)| self.explain_sa(*id, child, *way, now)).collect();
        let next = (from + sas.len()) as u64;
        Ok(SaExplainsView { sas, total, next: (next < total).then_some(next) })
    }

    fn explain_sa(&self, id: ChildId, child: &Child, way: Direction, now: Time) -> SaExplainView {
        let sa = self.sa_view(id, child, way, now);
        let record = child.ledger.direction(way);
        let state = record.state();
        let ledger = self.tunnels.ledger();
        let steps = || ledger.history().of(id.0, child.created).filter(|e| e.direction == way);
        // When the engine got what it has now, or lost what it had.
        let moved = steps()
            .filter(|entry| match entry.event {
                Event::Installed(handle) => state.handle() == Some(handle),
                Event::Removed(..) => !state.is_installed(),
                Event::NotEligible(_)
                | Event::Refused(_)
                | Event::FirstHit
                | Event::Retiring(_) => false,
            })
            .last()
            .map_or(child.created, |entry| entry.time);
        // A refusal after that says that it was eligible then; what stands now came later.
        let refused = steps().any(|e| matches!(e.event, Event::Refused(_)) && e.time >= moved);
        let fact = |holds, since| FactView { holds, for_ms: Some(ago(now, since)) };
        let switches = self.sa_facts(id, way).map(|facts| facts.findings).unwrap_or_default();
        let installed = state.is_installed();
        let hitting = installed && sa.fast.packets > 0;
        let eligible = installed || matches!(state, State::Eligible | State::Refused(_));
        let history = core::iter::once(created())
            .chain(steps().map(|entry| step(entry, child.created, self.engine.name())))
            .map(|step| HistoryView { direction: None, ..step })
            .collect();
        SaExplainView {
            profile: self.config.engine.profile.name().into(),
            requested: fact(switches.is_empty(), child.created.max(self.switched)),
            eligible: fact(
                eligible,
                if installed || !(eligible || refused) { moved } else { record.since() },
            ),
            installed: fact(installed, moved),
            hitting: fact(
                hitting,
                if matches!(state, State::Hitting(_)) { record.since() } else { moved },
            ),
            history,
            history_lost: ledger.history().forgotten(),
            remedies: remedies(&sa),
            sa,
        }
    }
}

/// What would bring an SA to the engine: every standing reason with its remedy.
fn remedies(sa: &api::SaView) -> Vec<RemedyView> {
    let remedy = |reason: &api::ReasonView, retry: &'static str, retry_in_ms| RemedyView {
        reason: reason.clone(),
        direction: None,
        engine: Some(sa.engine.clone()),
        retry_in_ms,
        retry: retry.into(),
    };
    let unresolved = reason::Reason::name(NotEligible::NeighbourUnresolved);
    let found = sa.against.iter().map(|finding| {
        let neighbour = finding.reason.name == unresolved;
        let retry = if neighbour {
            "at every neighbour update"
        } else {
            "with every change of the configuration"
        };
        remedy(&finding.reason, retry, None)
    });
    let refused = sa.refusal.iter().map(|refusal| {
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
