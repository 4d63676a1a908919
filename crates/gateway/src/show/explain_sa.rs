//! `explain sa`: where an SA stands at the engine, since when, how that came, and what would help.

use api::{ApiError, SaExplainView, SaExplainsView};
use offload::Direction;
use wire::Time;

use super::{at_engine::remedies, rows};
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
        let switches = self.sa_facts(id, way).map(|facts| facts.findings).unwrap_or_default();
        let standing = self.sa_standing(id, child, way);
        let facts = standing.facts((switches.is_empty(), child.created.max(self.switched)), now);
        SaExplainView {
            profile: self.config.engine.profile.name().into(),
            requested: facts.requested,
            eligible: facts.eligible,
            installed: facts.installed,
            hitting: facts.hitting,
            history: standing.history(self.engine.name()),
            history_lost: self.tunnels.ledger().history().forgotten(),
            remedies: remedies(&sa.against, sa.refusal.as_ref(), self.engine.name()),
            sa,
        }
    }
}
