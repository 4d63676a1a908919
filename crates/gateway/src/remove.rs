//! The end of a session.
//!
//! A session that ends leaves the look-up at once. Its slot stays until the engine has reported the
//! final counters of every direction it held; then everything it held is given back.

use offload::Direction;
use reason::DemotionReason;
use wire::Time;

use crate::{
    Gateway,
    events::EventKind,
    neighbour::NeighbourId,
    session::{SessionId, Tally},
};

impl Gateway {
    /// Ends a session.
    pub(crate) fn end_session(&mut self, id: SessionId, reason: DemotionReason, now: Time) {
        if !self.sessions.unlink(id) {
            return;
        }
        if let Some(session) = self.sessions.get_mut(id) {
            session.ending = Some(reason);
        }
        self.demote_both(id, reason, now);
        self.finish_removal(id, now);
    }

    /// Gives a session's slot back once no engine holds any part of it.
    pub(crate) fn finish_removal(&mut self, id: SessionId, now: Time) {
        let Some(session) = self.sessions.get(id) else { return };
        let Some(reason) = session.ending else { return };
        let held = |d: &Direction| session.ledger.direction(*d).state().handle().is_some();
        if Direction::BOTH.iter().any(held) {
            return;
        }
        self.account(id);
        let Some(session) = self.sessions.get(id) else { return };
        if session.is_logged() {
            let text = self.session_line(id, session, Some(reason), now);
            self.events.push(now, EventKind::SessionEnd, text);
        }
        let Some(session) = self.sessions.remove(id) else { return };
        self.promotion.ledger.close(&session.ledger);
        if let Some(binding) = session.binding() {
            self.nat.release(binding);
        }
        if let Some(window) = session.tcp_window() {
            self.windows.free(window);
        }
        for next_hop in session.next_hop.into_iter().filter(|id| *id != u32::MAX) {
            self.neighbours.release(NeighbourId(next_hop));
        }
        self.counters.sessions_ended += 1;
        let table = crate::stages::admit::table(session.kind);
        let rule = crate::stages::admit::rule_index(self, table, session.rule);
        self.policies.session_closed(table, rule);
    }

    /// Tells the rule of a session what the session has moved since it was last told.
    pub(crate) fn account(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get(id) else { return };
        let total = Direction::BOTH
            .map(|d| session.total(d).plus(self.live_stats(session, d).into()))
            .into_iter()
            .fold(Tally::default(), Tally::plus);
        let Some(session) = self.sessions.get_mut(id) else { return };
        let moved = session.account(total);
        let (kind, rule) = (session.kind, session.rule);
        let table = crate::stages::admit::table(kind);
        // A rule that was removed counts no more.
        if let Some(index) = crate::stages::admit::rule_index(self, table, rule) {
            self.policies.add_traffic(table, Some(index), moved.packets, moved.bytes);
        }
    }

    /// A session in one line, for events.
    pub(crate) fn session_line(
        &self,
        id: SessionId,
        session: &crate::session::Session,
        ended: Option<DemotionReason>,
        now: Time,
    ) -> String {
        let mut line = format!("{id} {}", session.original);
        if session.original.reversed() != session.reply {
            line += &format!(" as {}", session.reply.reversed());
        }
        line += &format!(" policy {}", session.rule);
        if let Some(reason) = ended {
            let count = |d| session.total(d).packets;
            let (sent, received) = (count(Direction::Original), count(Direction::Reply));
            let age = now.since(session.created).as_secs_f64();
            line += &format!(
                " ended {reason} after {age:.1} s, {sent} packets sent, {received} received"
            );
        }
        line
    }
}
