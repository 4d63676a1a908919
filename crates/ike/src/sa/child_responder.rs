//! CREATE_CHILD_SA as its responder (RFC 7296 §1.3.1, §1.3.3), and the choice of a child in IKE_AUTH.

use std::sync::Arc;

use super::{
    Context, IkeSa, Phase,
    child::Agreed,
    payloads::{Payloads, notify},
    requests::{Initiated, What},
    responses,
};
use crate::{
    ChildId, Failure, Path,
    algorithm::KeyExchangeMethod,
    connection::{ChildSettings, selectors},
    crypto::{Draw, ExchangeError, Nonce, Nonces, Role, SharedSecret},
    job::Work,
    message::{Header, KeyExchange, Notify, Payload, Proposal, notify_type, protocol},
    proposal::choose_esp,
    selector::narrow,
};

/// The most children of one IKE SA.
pub(super) const MAX_CHILDREN: usize = 256;

/// What the responder answers with once its job is done.
pub(super) struct ChildAnswer {
    choice: Chosen,
    nonce: Nonce,
}

impl ChildAnswer {
    /// The SPI that is reserved for it.
    pub(super) fn inbound_spi(&self) -> u32 {
        self.choice.agreed.inbound_spi
    }
}

/// What a peer's wish came to.
pub(super) struct Chosen {
    pub(super) agreed: Agreed,
    /// The peer's proposal, reduced.
    pub(super) proposal: Proposal,
}

impl IkeSa {
    /// What comes of the peer's wish for a child: of `name` when it is rekeyed, otherwise of the first
    /// one that fits. `Err` is the notification to answer with, and why.
    pub(super) fn choose_child(
        &self,
        ctx: &mut Context<'_>,
        payloads: Payloads<'_>,
        rekeys: Option<(ChildId, Arc<str>)>,
        pfs: bool,
    ) -> Result<Chosen, (u16, Failure)> {
        let (Some(sa), Some(tsi), Some(tsr)) =
            (payloads.sa(), payloads.selectors_initiator(), payloads.selectors_responder())
        else {
            let failure = Failure::Protocol("SA, TSi or TSr is missing".to_owned());
            return Err((notify_type::INVALID_SYNTAX, failure));
        };
        let wanted = if payloads.has(notify_type::USE_TRANSPORT_MODE) {
            esp::Mode::Transport
        } else {
            esp::Mode::Tunnel
        };
        let sent = payloads.key_exchange().and_then(|ke| KeyExchangeMethod::from_id(ke.method));
        let [own, peers] = self.own_addresses();
        let sides = |child: &ChildSettings| {
            [selectors(&child.local, &own), selectors(&child.remote, &peers)]
        };
        let mut lost: Option<(u16, Failure)> = None;
        let children = self
            .connection
            .children
            .iter()
            .filter(|child| rekeys.as_ref().is_none_or(|(_, name)| *name == child.name));
        for child in children {
            let [local, remote] = sides(child);
            let (narrow_local, narrow_remote) = (narrow(tsr, &local), narrow(tsi, &remote));
            if narrow_local.is_empty() || narrow_remote.is_empty() {
                let failure = Failure::Selectors {
                    local,
                    remote,
                    their_local: tsi.clone(),
                    their_remote: tsr.clone(),
                };
                lost = lost.or(Some((notify_type::TS_UNACCEPTABLE, failure)));
                continue;
            }
            // a peer that wants tunnel mode must get it (RFC 7296 §1.3.1); one that wants transport
            // mode and cannot have it may still take tunnel mode
            if wanted == esp::Mode::Tunnel && child.mode == esp::Mode::Transport {
                let failure = Failure::Mode { ours: child.mode, theirs: wanted };
                lost = Some((notify_type::NO_PROPOSAL_CHOSEN, failure));
                continue;
            }
            match choose_esp(&child.offers, sa, pfs, sent) {
                Ok((choice, mut proposal, outbound_spi)) => {
                    let inbound_spi = ctx.out.child_spi(ctx.rng);
                    proposal.spi = inbound_spi.to_be_bytes().to_vec();
                    return Ok(Chosen {
                        agreed: Agreed {
                            name: child.name.clone(),
                            rekeys: rekeys.map(|(id, _)| id),
                            inbound_spi,
                            outbound_spi,
                            choice,
                            mode: child.mode,
                            local: narrow_local,
                            remote: narrow_remote,
                        },
                        proposal,
                    });
                }
                Err(no) => {
                    let failure = Failure::NoProposal(no);
                    lost = Some((notify_type::NO_PROPOSAL_CHOSEN, failure));
                }
            }
        }
        Err(lost.unwrap_or_else(|| {
            let failure = Failure::Selectors {
                local: Vec::new(),
                remote: Vec::new(),
                their_local: tsi.clone(),
                their_remote: tsr.clone(),
            };
            (notify_type::TS_UNACCEPTABLE, failure)
        }))
    }

    /// The payloads that say what was chosen, after the nonce and the key exchange.
    pub(super) fn chosen_selectors(agreed: &Agreed) -> Vec<Payload> {
        let mut payloads = vec![
            Payload::SelectorsInitiator(agreed.remote.clone()),
            Payload::SelectorsResponder(agreed.local.clone()),
        ];
        if agreed.mode == esp::Mode::Transport {
            payloads.push(notify(notify_type::USE_TRANSPORT_MODE, []));
        }
        payloads
    }

    pub(super) fn child_request(
        &mut self,
        ctx: &mut Context<'_>,
        path: Path,
        header: Header,
        payloads: Payloads<'_>,
    ) {
        // RFC 7296 §2.25: not while the IKE SA itself is being replaced or closed
        if self.phase != Phase::Up || self.rekeys_itself() {
            self.refuse(ctx, path, &header, notify_type::TEMPORARY_FAILURE);
            return;
        }
        let rekeys = match payloads.notify(notify_type::REKEY_SA) {
            None => None,
            Some(notify) => match self.rekeyed_child(notify) {
                Ok(rekeys) => Some(rekeys),
                Err(kind) => {
                    self.refuse_about(ctx, path, &header, kind, notify);
                    return;
                }
            },
        };
        if self.children.len() >= MAX_CHILDREN {
            self.refuse(ctx, path, &header, notify_type::NO_ADDITIONAL_SAS);
            return;
        }
        let nonce = payloads.nonce().and_then(|nonce| Nonce::from_peer(nonce).ok());
        let chosen = self.choose_child(ctx, payloads, rekeys, true);
        let (chosen, nonce) = match (chosen, nonce) {
            (Ok(chosen), Some(nonce)) => (chosen, nonce),
            (Ok(chosen), None) => {
                ctx.out.forget_spi(chosen.agreed.inbound_spi);
                self.refuse(ctx, path, &header, notify_type::INVALID_SYNTAX);
                return;
            }
            (Err((kind, failure)), _) => {
                self.refuse(ctx, path, &header, kind);
                self.report(ctx, failure);
                return;
            }
        };
        let ke = payloads.key_exchange();
        let work = match (chosen.agreed.choice.key_exchange, ke) {
            (None, _) => None,
            (Some(method), Some(ke)) if ke.method == method.id() => {
                Some(Work::Respond(Draw::new(method, ctx.rng), ke.data.clone()))
            }
            (Some(method), _) => {
                ctx.out.forget_spi(chosen.agreed.inbound_spi);
                let wanted = notify(notify_type::INVALID_KE_PAYLOAD, method.id().to_be_bytes());
                self.answer(ctx, path, &header, vec![wanted]);
                return;
            }
        };
        let answer = ChildAnswer { choice: chosen, nonce };
        match work {
            Some(work) => {
                let what = responses::What::Child(Box::new(answer));
                self.answer_later(ctx, path, header, what, work);
            }
            None => self.child_answer(ctx, path, header, answer, None),
        }
    }

    /// The child a peer wants to replace, if it can be.
    fn rekeyed_child(&self, notify: &Notify) -> Result<(ChildId, Arc<str>), u16> {
        let spi = notify.spi.as_slice().try_into().ok().map(u32::from_be_bytes);
        let of_esp = notify.protocol == protocol::ESP;
        let child = self
            .children
            .iter()
            .find(|child| of_esp && Some(child.outbound_spi) == spi)
            // the answer by which we get to know it may have been overtaken
            .ok_or(if matches!(&self.ours, Some(Initiated { what: What::Child(_), .. })) {
                notify_type::TEMPORARY_FAILURE
            } else {
                notify_type::CHILD_SA_NOT_FOUND
            })?;
        if child.closing || child.replaced_by.is_some() {
            return Err(notify_type::TEMPORARY_FAILURE);
        }
        Ok((child.id, child.name.clone()))
    }

    /// Answers with an error about an SA of the peer.
    fn refuse_about(
        &mut self,
        ctx: &mut Context<'_>,
        path: Path,
        header: &Header,
        kind: u16,
        about: &Notify,
    ) {
        let mut answer = Notify::new(kind, []);
        if kind == notify_type::CHILD_SA_NOT_FOUND {
            (answer.protocol, answer.spi) = (about.protocol, about.spi.clone());
        }
        self.answer(ctx, path, header, vec![Payload::Notify(answer)]);
    }

    pub(super) fn child_answer(
        &mut self,
        ctx: &mut Context<'_>,
        path: Path,
        header: Header,
        answer: ChildAnswer,
        done: Option<Result<(Vec<u8>, SharedSecret), ExchangeError>>,
    ) {
        let ChildAnswer { choice: Chosen { agreed, proposal }, nonce: theirs } = answer;
        // while the job was done the child may have gone, or our own rekeying may have finished
        let rekeys = agreed.rekeys;
        let refused = match rekeys.map(|id| self.child(id)) {
            _ if self.phase != Phase::Up || self.rekeys_itself() => {
                Some(notify_type::TEMPORARY_FAILURE)
            }
            Some(None) => Some(notify_type::CHILD_SA_NOT_FOUND),
            Some(Some(child)) if child.closing || child.replaced_by.is_some() => {
                Some(notify_type::TEMPORARY_FAILURE)
            }
            Some(Some(_)) | None => None,
        };
        if let Some(kind) = refused {
            ctx.out.forget_spi(agreed.inbound_spi);
            self.refuse(ctx, path, &header, kind);
            return;
        }
        let nonce = Nonce::draw(ctx.rng);
        let mut payloads = vec![
            Payload::SecurityAssociation(vec![proposal]),
            Payload::Nonce(nonce.as_bytes().to_vec()),
        ];
        let mut exchanges = Vec::new();
        match (done, agreed.choice.key_exchange) {
            (Some(Ok((data, secret))), Some(method)) => {
                exchanges.push(secret);
                payloads.push(Payload::KeyExchange(KeyExchange { method: method.id(), data }));
            }
            (Some(Err(error)), _) => {
                ctx.out.forget_spi(agreed.inbound_spi);
                self.refuse(ctx, path, &header, notify_type::INVALID_SYNTAX);
                self.report(ctx, Failure::KeyExchange(error));
                return;
            }
            (Some(Ok(_)), None) | (None, _) => {}
        }
        payloads.extend(Self::chosen_selectors(&agreed));
        let nonces = Nonces { initiator: &theirs, responder: &nonce };
        let keys = self.ike_keys().child(agreed.choice.suite, &exchanges, nonces);
        let id = self.add_child(ctx, agreed, Role::Responder, keys, true);
        self.answer(ctx, path, &header, payloads);
        let Some(old) = rekeys else {
            self.child_up(ctx, id);
            return;
        };
        if let Some(request) = self.our_rekeying(old) {
            request.collision = Some((id, theirs.min(nonce)));
        } else if let Some(old) = self.child_mut(old) {
            old.replaced_by = Some(id);
        }
    }

    /// Whether the IKE SA is being replaced, by either end.
    fn rekeys_itself(&self) -> bool {
        matches!(&self.ours, Some(Initiated { what: What::RekeyIke(_), .. }))
            || self.successor.is_some()
    }
}
