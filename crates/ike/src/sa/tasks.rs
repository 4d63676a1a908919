//! What is to be asked of the peer, one after the other.

use std::{sync::Arc, time::Duration};

use wire::Time;

use super::{
    Context, IkeSa, Phase,
    requests::{Initiated, What},
};
use crate::{ChildId, DownReason};

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
        self.queue_at(task, ctx.now);
    }

    /// The same, after the peer said that it cannot now: up to four seconds later, so that two ends
    /// that disturbed each other do not do it again.
    pub(super) fn try_later(&mut self, ctx: &mut Context<'_>, task: Task) {
        let wait = Duration::from_millis(500 + ctx.rng.next_u64() % 3500);
        self.queue_at(task, ctx.now + wait);
    }

    fn queue_at(&mut self, task: Task, not_before: Time) {
        if task == Task::DeleteIke {
            if !matches!(self.phase, Phase::Closing(_) | Phase::Replaced) {
                self.phase = Phase::Closing(DownReason::Deleted);
            }
            self.tasks.clear();
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

    /// When the next one is due.
    pub(super) fn next_task(&self) -> Option<Time> {
        if self.ours.is_some() || self.phase == Phase::Opening {
            return None;
        }
        self.tasks.iter().map(|queued| queued.not_before).min()
    }

    /// Begins what is due, if nothing of ours is on its way.
    pub(crate) fn start_tasks(&mut self, ctx: &mut Context<'_>) {
        while self.ours.is_none()
            && !matches!(self.phase, Phase::Opening | Phase::Gone)
            && let Some(at) = self.tasks.iter().position(|queued| queued.not_before <= ctx.now)
            && let Some(queued) = self.tasks.remove(at)
        {
            let up = self.phase == Phase::Up && self.successor.is_none();
            match queued.task {
                Task::DeleteIke if self.phase != Phase::Replaced => self.begin_delete_ike(ctx),
                Task::CreateChild(name) if up => self.begin_child(ctx, &name, None, None),
                Task::RekeyChild(id) if up => {
                    if let Some(name) = self.child(id).map(|child| child.name.clone()) {
                        self.begin_child(ctx, &name, Some(id), None);
                    }
                }
                Task::DeleteChildren(ids) if up => self.begin_delete_children(ctx, ids),
                Task::RekeyIke if up => self.begin_rekey(ctx, None),
                Task::Check if up => self.begin_check(ctx),
                Task::DeleteIke
                | Task::CreateChild(_)
                | Task::RekeyChild(_)
                | Task::DeleteChildren(_)
                | Task::RekeyIke
                | Task::Check => {}
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
