//! The passing of time: what is due, and when the gateway wants to be woken next.

use reason::DemotionReason;
use wire::Time;

use crate::{Gateway, events::EventKind, session::SessionId};

/// Sessions whose timer is looked at in one call.
const EXPIRE_AT_ONCE: usize = 512;

impl Gateway {
    /// Does what is due at `now`, in bounded slices. Call it after every burst and when
    /// [`Gateway::poll_timeout`] says.
    pub fn handle_timeout(&mut self, now: Time) {
        self.handle_engine(now);
        if self.neighbours.poll_timeout().is_some_and(|at| at <= now) {
            self.neighbours.handle_timeout(now);
        }
        self.handle_neighbour_events(now);
        self.send_solicitations(now);
        if self.reassembler.poll_timeout().is_some_and(|at| at <= now) {
            self.expire_fragments(now);
        }
        self.count_lost_fragments(now);
        if self.next_silence().is_some_and(|at| at <= now) {
            self.break_silence(now);
        }
        if self.sessions.poll_timeout().is_some_and(|at| at <= now) {
            self.expire_sessions(now);
        }
        if self.clients.has_messages() {
            self.drive_remote(now);
        }
        if self.remote.poll_timeout().is_some_and(|at| at <= now) {
            self.handle_remote_timeout(now);
        }
        if self.users.poll_timeout().is_some_and(|at| at <= now) {
            self.expire_users(now);
        }
        if self.ike_timeout().is_some_and(|at| at <= now) {
            self.handle_ike_timeout(now);
        }
        if self.wall.unix != 0 {
            let unix = self.wall_clock(now);
            if self.policies.next_schedule_change().is_some_and(|at| at <= unix)
                && self.policies.set_wall_clock(unix)
            {
                self.events.push(
                    now,
                    EventKind::ScheduleChanged,
                    "policies in force changed".into(),
                );
                self.reevaluate_all(DemotionReason::PolicyChanged, now);
            }
        }
        if self.jobs.is_busy() || now >= self.jobs.due() {
            self.work(now);
        }
        if self.captures.due().is_some_and(|at| at <= now) {
            self.captures.expire(now);
        }
        self.handle_engine(now);
    }

    /// When the gateway wants [`Gateway::handle_timeout`] next, and why.
    pub fn poll_timeout(&self) -> Option<(Time, &'static str)> {
        if self.jobs.is_busy() {
            return Some((Time::ZERO, "work in slices"));
        }
        let schedule = self.policies.next_schedule_change().filter(|_| self.wall.unix != 0);
        let schedule = schedule.map(|at| {
            let wait = u64::try_from(at - self.wall.unix).unwrap_or(0);
            self.wall.at + core::time::Duration::from_secs(wait)
        });
        [
            (self.neighbours.poll_timeout(), "neighbours"),
            (self.reassembler.poll_timeout(), "fragments"),
            (self.sessions.poll_timeout(), "session timeouts"),
            (self.next_silence(), "silent tunnels"),
            (self.remote.poll_timeout(), "remote access"),
            (self.users.poll_timeout(), "users"),
            (self.ike_timeout(), "IKE"),
            (schedule, "schedules"),
            (self.captures.due(), "captures"),
            (Some(self.jobs.due()), "audit"),
        ]
        .into_iter()
        .filter_map(|(at, why)| at.map(|at| (at, why)))
        .min_by_key(|(at, _)| *at)
    }

    fn expire_sessions(&mut self, now: Time) {
        let mut due: Vec<SessionId> = Vec::with_capacity(EXPIRE_AT_ONCE);
        self.sessions.expired(now, EXPIRE_AT_ONCE, &mut due);
        for id in due {
            let Some(session) = self.sessions.get(id) else { continue };
            let deadline = self.last_seen(session) + session.timeout(&self.config.timeouts);
            if deadline <= now {
                self.end_session(id, DemotionReason::Idle, now);
            } else {
                self.sessions.rearm(id, deadline);
            }
        }
    }
}
