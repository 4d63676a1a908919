//! What is to be asked of the peer, one after the other.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use wire::Time;

use super::{
    Context, IkeSa, Phase,
    requests::{Initiated, What},
};
use crate::{ChildId, DownReason, endpoint::Effect};

/// The most that can wait.
const MAX_TASKS: usize = 1024;

/// Something to be asked of the peer of an IKE SA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Make the child of this name.
    CreateChild(Arc<str>),
    /// Replace a child.
    RekeyChild(ChildId),
    /// Delete children.
    DeleteChildren(Vec<ChildId>),
    /// Replace the IKE SA.
    RekeyIke,
    /// Delete the IKE SA with its children.
    DeleteIke,
    /// Is the peer there?
    Check,
}

pub(super) struct Queued {
    pub(super) task: Task,
    pub(super) not_before: Time,
}

impl IkeSa {
    /// Does it as soon as the window allows. What waits already does not wait twice.
    pub(crate) fn queue(&mut self, ctx: &mut Context<'_>, task: Task) {
        if task == Task::DeleteIke && matches!(self.phase, Phase::Opening | Phase::Refused) {
            // to a peer that is not authenticated there is nothing to say
            self.end(ctx, DownReason::Deleted);
            return;
        }
        if task == Task::DeleteIke
            && self.phase == Phase::Up
            && let Some(other) = self.successor
        {
            ctx.out.effect(Effect::Delete(other));
        }
        self.queue_at(task, ctx.now);
    }

    /// The same, after the peer said that it cannot now: up to four seconds later, so that two ends
    /// that disturbed each other do not do it again.
    pub(super) fn try_later(&mut self, ctx: &mut Context<'_>, task: Task) {
        let wait = Duration::from_millis(500 + ctx.rng.next_u64() % 3500);
        self.queue_at(task, ctx.now + wait);
    }

    fn queue_at(&mut self, task: Task, not_before: Time) {
        if task == Task::DeleteIke && !matches!(self.phase, Phase::Closing(_) | Phase::Replaced) {
            self.phase = Phase::Closing(DownReason::Deleted);
        }
        if let Task::DeleteChildren(ids) = &task {
            for id in ids {
                if let Some(child) = self.child_mut(*id) {
                    child.closing = true;
                }
            }
        }
        let waits = self.tasks.iter().any(|queued| queued.task == task);
        if !waits && self.tasks.len() < MAX_TASKS {
            self.tasks.push_back(Queued { task, not_before });
        }
    }

    /// What can be begun now is due at this time; the other tasks wait for who inherits them.
    pub(super) fn next_task(&self) -> Option<Time> {
        if self.ours.is_some() {
            return None;
        }
        let startable = self.tasks.iter().filter(|queued| self.may_start(&queued.task));
        startable.map(|queued| queued.not_before).min()
    }

    fn may_start(&self, task: &Task) -> bool {
        match self.phase {
            Phase::Up => self.successor.is_none() || *task == Task::DeleteIke,
            Phase::Closing(_) => *task == Task::DeleteIke,
            Phase::Opening | Phase::Replaced | Phase::Refused | Phase::Gone => false,
        }
    }

    /// Begins what is due, if nothing of ours is on its way.
    pub(crate) fn start_tasks(&mut self, ctx: &mut Context<'_>) {
        let now = ctx.now;
        while self.ours.is_none()
            && let Some(at) = self
                .tasks
                .iter()
                .position(|queued| queued.not_before <= now && self.may_start(&queued.task))
            && let Some(queued) = self.tasks.remove(at)
        {
            if self.tasks.is_empty() {
                self.tasks = VecDeque::new();
            }
            match queued.task {
                Task::DeleteIke => self.begin_delete_ike(ctx),
                Task::CreateChild(name) => self.begin_child(ctx, &name, None, None),
                Task::RekeyChild(id) => {
                    if let Some(name) = self.child(id).map(|child| child.name.clone()) {
                        self.begin_child(ctx, &name, Some(id), None);
                    }
                }
                Task::DeleteChildren(ids) => self.begin_delete_children(ctx, ids),
                Task::RekeyIke => self.begin_rekey(ctx, None),
                Task::Check => self.begin_check(ctx),
            }
        }
    }

    /// Whether the IKE SA is being rekeyed by us, or will be.
    pub(super) fn will_rekey(&self) -> bool {
        self.tasks.iter().any(|queued| queued.task == Task::RekeyIke)
            || matches!(&self.ours, Some(Initiated { what: What::RekeyIke(_), .. }))
    }

    /// The same for a child.
    pub(super) fn will_rekey_child(&self, id: ChildId) -> bool {
        self.tasks.iter().any(|queued| queued.task == Task::RekeyChild(id))
            || matches!(&self.ours, Some(Initiated { what: What::Child(request), .. })
                if request.rekeys == Some(id))
    }
}
