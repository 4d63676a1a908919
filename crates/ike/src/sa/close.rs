//! INFORMATIONAL (RFC 7296 §1.4): deletes, and signs of life.

use super::{
    Context, IkeSa, Phase,
    payloads::Payloads,
    requests::{Initiated, What},
};
use crate::{
    ChildId, DownReason, Path,
    message::{Delete, ExchangeType, Header, Payload, notify_type},
};

/// Deletions of children we do not have yet that are kept in mind.
const MAX_EARLY: usize = 8;

impl IkeSa {
    pub(super) fn begin_delete_children(&mut self, ctx: &mut Context<'_>, ids: Vec<ChildId>) {
        let mut spis = Vec::new();
        let ids: Vec<_> = ids.into_iter().filter(|id| self.child(*id).is_some()).collect();
        for id in &ids {
            if let Some(child) = self.child_mut(*id) {
                child.closing = true;
                spis.push(child.inbound_spi);
            }
        }
        if !spis.is_empty() {
            let payloads = [Payload::Delete(Delete::Esp(spis))];
            let what = What::DeleteChildren(ids);
            self.request(ctx, what, ExchangeType::Informational, &payloads);
        }
    }

    pub(super) fn children_deleted(&mut self, ctx: &mut Context<'_>, ids: &[ChildId]) {
        for id in ids {
            self.remove_child(ctx, *id, DownReason::Deleted);
        }
    }

    fn remove_child(&mut self, ctx: &mut Context<'_>, id: ChildId, reason: DownReason) {
        let Some(at) = self.children.iter().position(|child| child.id() == id) else { return };
        let reason = match self.children[at].replaced_by {
            Some(new) => {
                self.hand_over(ctx, id, new);
                DownReason::Replaced
            }
            None => reason,
        };
        self.children.remove(at).gone(ctx, reason);
    }

    pub(super) fn begin_delete_ike(&mut self, ctx: &mut Context<'_>) {
        let payloads = [Payload::Delete(Delete::Ike)];
        self.request(ctx, What::DeleteIke, ExchangeType::Informational, &payloads);
    }

    pub(super) fn ike_deleted(&mut self, ctx: &mut Context<'_>) {
        let reason = match &self.phase {
            Phase::Closing(reason) => reason.clone(),
            _ => DownReason::Deleted,
        };
        self.end(ctx, reason);
    }

    pub(super) fn begin_check(&mut self, ctx: &mut Context<'_>) {
        self.request(ctx, What::Check, ExchangeType::Informational, &[]);
    }

    pub(super) fn informational_request(
        &mut self,
        ctx: &mut Context<'_>,
        path: Path,
        header: Header,
        payloads: Payloads<'_>,
    ) {
        let mut deletes = payloads.0.iter().filter_map(|payload| match payload {
            Payload::Delete(delete) => Some(delete),
            _ => None,
        });
        let refused = payloads.has(notify_type::AUTHENTICATION_FAILED);
        if refused || deletes.clone().any(|delete| *delete == Delete::Ike) {
            // the answer to the deletion of an IKE SA is empty (RFC 7296 §1.4.1)
            self.answer(ctx, path, &header, Vec::new());
            let reason = match &self.phase {
                Phase::Replaced | Phase::Closing(DownReason::Replaced) => DownReason::Replaced,
                // both ends were replacing it, and the peer has settled that
                Phase::Up if self.successor.is_some() => DownReason::Replaced,
                Phase::Closing(reason) => reason.clone(),
                Phase::Opening | Phase::Up | Phase::Refused | Phase::Gone if refused => {
                    DownReason::Protocol("it does not accept our identity".to_owned())
                }
                Phase::Opening | Phase::Up | Phase::Refused | Phase::Gone => {
                    DownReason::PeerDeleted
                }
            };
            self.end(ctx, reason);
            return;
        }
        let mut ours = Vec::new();
        if let Some(Delete::Esp(spis)) = deletes.find(|delete| matches!(delete, Delete::Esp(_))) {
            for spi in spis {
                ours.extend(self.peer_deletes(ctx, *spi));
            }
        }
        let mut answer = Vec::new();
        if !ours.is_empty() {
            answer.push(Payload::Delete(Delete::Esp(ours)));
        }
        self.answer(ctx, path, &header, answer);
    }

    /// The peer has deleted the child with this SPI. Gives ours, unless we are deleting it too
    /// (RFC 7296 §1.4.1).
    fn peer_deletes(&mut self, ctx: &mut Context<'_>, spi: u32) -> Option<u32> {
        let Some(child) = self.children.iter().find(|child| child.outbound_spi == spi) else {
            if let Some(Initiated { what: What::Child(request), .. }) = &mut self.ours
                && request.deleted.len() < MAX_EARLY
            {
                request.deleted.push(spi);
            }
            return None;
        };
        let (id, inbound, closing) = (child.id(), child.inbound_spi, child.closing);
        let settled = child.replaced_by;
        let collision = self.our_rekeying(id).and_then(|request| request.collision.clone());
        let new = settled.or(collision.map(|(new, _)| new));
        if let Some(new) = new.filter(|new| self.child(*new).is_some())
            && let Some(old) = self.child_mut(id)
        {
            old.replaced_by = Some(new);
        }
        self.remove_child(ctx, id, DownReason::PeerDeleted);
        (!closing).then_some(inbound)
    }
}
