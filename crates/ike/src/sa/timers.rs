//! Everything an IKE SA does because time went by.

use std::{fmt, time::Duration};

use wire::Time;

use super::{Context, IkeSa, Phase, tasks::Task};
use crate::{Connection, DownReason, Failure};

/// When something that failed is tried again.
pub(super) const RETRY: Duration = Duration::from_secs(60);
/// How long the peer may take to delete what was replaced.
pub(super) const SETTLE: Duration = Duration::from_secs(120);

/// Why an IKE SA wants to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Why {
    /// A request is sent again, or given up.
    Retransmission,
    /// It was not authenticated in time.
    HalfOpen,
    /// The peer was silent for long.
    Dpd,
    /// The IKE SA is to be replaced.
    RekeyIke,
    /// A child is to be replaced.
    RekeyChild,
    /// The time of the IKE SA is up.
    Lifetime,
    /// The time of a child is up.
    ChildLifetime,
    /// Something that had to wait is due.
    Task,
    /// The NAT's mapping is to be held open.
    Keepalive,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Retransmission => "retransmission",
            Self::HalfOpen => "half open",
            Self::Dpd => "dead peer detection",
            Self::RekeyIke => "rekeying of the IKE SA",
            Self::RekeyChild => "rekeying of a child",
            Self::Lifetime => "end of the IKE SA",
            Self::ChildLifetime => "end of a child",
            Self::Task => "task",
            Self::Keepalive => "keepalive",
        })
    }
}

/// The times of an IKE SA.
pub(super) struct Times {
    half_open_until: Time,
    /// When something authentic came from the peer.
    seen: Time,
    sent: Time,
    pub(super) rekey_at: Option<Time>,
    ends_at: Option<Time>,
}

impl Times {
    pub(super) fn new(ctx: &mut Context<'_>, connection: &Connection) -> Self {
        let rekey_after = connection.rekey_after;
        Self {
            half_open_until: ctx.now + ctx.settings.half_open_for,
            seen: ctx.now,
            sent: ctx.now,
            rekey_at: rekey_after.map(|after| ctx.now + somewhat_less(ctx, after)),
            ends_at: connection.lifetime.map(|lifetime| ctx.now + lifetime),
        }
    }

    pub(super) fn seen(&mut self, now: Time) {
        self.seen = self.seen.max(now);
    }

    pub(super) fn sent(&mut self, now: Time) {
        self.sent = now;
    }

    /// It was replaced: it ends when the peer deletes it, and soon in any case.
    pub(super) fn replaced(&mut self, now: Time) {
        (self.rekey_at, self.ends_at) = (None, Some(now + SETTLE));
    }

    pub(super) fn inherit(&mut self, from: &Self) {
        self.seen = self.seen.max(from.seen);
    }
}

/// Up to a tenth less than `time`.
pub(super) fn somewhat_less(ctx: &mut Context<'_>, time: Duration) -> Duration {
    let tenth = time.as_nanos().min(u128::from(u64::MAX)) as u64 / 10;
    time - Duration::from_nanos(ctx.rng.next_u64() % (tenth + 1))
}

impl IkeSa {
    /// When it wants to be woken next, and why.
    pub(crate) fn next_timeout(&self) -> Option<(Time, Why)> {
        let opening = self.phase == Phase::Opening;
        let up = self.phase == Phase::Up;
        let idle = up && self.ours.is_none();
        let connection = &self.connection;
        let mut times = vec![
            self.sent().map(|sent| (sent.again, Why::Retransmission)),
            // an initiator gives up by itself
            self.is_half_open().then_some((self.times.half_open_until, Why::HalfOpen)),
            connection
                .dpd_after
                .filter(|_| idle && self.predecessor.is_none())
                .map(|after| (self.last_sign() + after, Why::Dpd)),
            self.times
                .rekey_at
                .filter(|_| up && !self.will_rekey() && self.successor.is_none())
                .map(|at| (at, Why::RekeyIke)),
            self.times
                .ends_at
                .filter(|_| !opening && self.phase != Phase::Refused)
                .map(|at| (at, Why::Lifetime)),
            self.next_task().map(|at| (at, Why::Task)),
            self.connection
                .keepalive_after
                .filter(|_| up && self.nat.local)
                .map(|after| (self.times.sent + after, Why::Keepalive)),
        ];
        for child in self.children.iter().filter(|child| !child.closing) {
            if child.may_be_rekeyed() && up && !self.will_rekey_child(child.id()) {
                times.push(child.rekey_at.map(|at| (at, Why::RekeyChild)));
            }
            times.push(child.ends_at.map(|at| (at, Why::ChildLifetime)));
        }
        times.into_iter().flatten().min()
    }

    /// When the peer was there for certain.
    fn last_sign(&self) -> Time {
        self.children.iter().map(|child| child.last_use).fold(self.times.seen, Time::max)
    }

    /// Does what is due.
    pub(crate) fn handle_timeout(&mut self, ctx: &mut Context<'_>) {
        // each round does one thing and moves its time on; the bound is against mistakes
        for _ in 0..1000 {
            match self.next_timeout() {
                Some((at, why)) if at <= ctx.now && self.phase != Phase::Gone => {
                    self.timed_out(ctx, why);
                }
                _ => break,
            }
        }
    }

    fn timed_out(&mut self, ctx: &mut Context<'_>, why: Why) {
        match why {
            Why::Retransmission => self.retransmit(ctx),
            Why::HalfOpen if self.phase == Phase::Refused => self.end(ctx, DownReason::Deleted),
            Why::HalfOpen => self.fail(ctx, Failure::Expired),
            Why::Dpd => self.queue(ctx, Task::Check),
            Why::RekeyIke => self.queue(ctx, Task::RekeyIke),
            Why::Lifetime => self.expired(ctx),
            Why::RekeyChild => {
                let due = self.children.iter().find(|child| {
                    child.may_be_rekeyed()
                        && child.rekey_at.is_some_and(|at| at <= ctx.now)
                        && !self.will_rekey_child(child.id())
                });
                if let Some(id) = due.map(|child| child.id()) {
                    self.queue(ctx, Task::RekeyChild(id));
                }
            }
            Why::ChildLifetime => {
                let due = self
                    .children
                    .iter()
                    .find(|child| !child.closing && child.ends_at.is_some_and(|at| at <= ctx.now));
                if let Some(id) = due.map(|child| child.id()) {
                    self.queue(ctx, Task::DeleteChildren(vec![id]));
                }
            }
            Why::Task => {}
            Why::Keepalive => {
                let keepalive = esp::nat_t::KEEPALIVE;
                self.times.sent(ctx.now);
                ctx.out.transmit_plain(self.path, &keepalive);
            }
        }
        self.start_tasks(ctx);
    }

    fn expired(&mut self, ctx: &mut Context<'_>) {
        match self.phase.clone() {
            Phase::Replaced => self.end(ctx, DownReason::Replaced),
            Phase::Closing(reason) => self.end(ctx, reason),
            Phase::Up | Phase::Opening | Phase::Refused | Phase::Gone => {
                let reason = if self.connection.lifetime.is_some() && self.successor.is_none() {
                    DownReason::Expired
                } else {
                    DownReason::Redundant
                };
                self.times.ends_at = Some(ctx.now + SETTLE);
                self.phase = Phase::Closing(reason);
                self.queue(ctx, Task::DeleteIke);
            }
        }
    }
}
