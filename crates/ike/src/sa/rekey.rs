//! Replacing an IKE SA (RFC 7296 §1.3.2, §2.8, §2.18), both roles.
//!
//! When both ends do it at the same time there are two new ones for a moment: the one made with the
//! lowest of the four nonces is deleted by the end that began it, the other inherits the children
//! (RFC 7296 §2.8.2).

use std::sync::Arc;

use super::{
    Context, IkeSa, Keys, Phase,
    child_responder::MAX_CHILDREN,
    payloads::{Payloads, notify},
    requests::{Initiated, Step, What},
    responses,
    tasks::Task,
    timers,
};
use crate::{
    DownReason, Failure, Path,
    algorithm::KeyExchangeMethod,
    crypto::{Draw, ExchangeError, Nonce, Nonces, PrivateValue, Role, SharedSecret, Spis},
    endpoint::Effect,
    job::Work,
    message::{ExchangeType, Header, KeyExchange, Payload, Proposal, notify_type},
    proposal::{IkeChoice, IkeOffer, choose_ike},
};

/// What the initiator keeps.
pub(super) struct RekeyRequest {
    nonce: Nonce,
    pub(super) spi: u64,
    method: KeyExchangeMethod,
    private: Option<PrivateValue>,
    retried: bool,
    /// The lower nonce of the peer's own rekeying, which came meanwhile.
    collision: Option<Nonce>,
    answer: Option<(IkeChoice, u64, Nonce)>,
}

/// What the responder answers with once its job is done.
pub(super) struct RekeyAnswer {
    choice: IkeChoice,
    proposal: Proposal,
    remote_spi: u64,
    nonce: Nonce,
}

impl IkeSa {
    fn rekey_offers(&self) -> Vec<IkeOffer> {
        self.connection.offers.iter().map(IkeOffer::without_additional).collect()
    }

    pub(super) fn begin_rekey(&mut self, ctx: &mut Context<'_>, method: Option<KeyExchangeMethod>) {
        let first = self.connection.offers.iter().flat_map(|o| o.key_exchanges()).next();
        let retried = method.is_some();
        let Some(method) = method.or(first) else { return };
        let request = RekeyRequest {
            nonce: Nonce::draw(ctx.rng),
            spi: ctx.out.ike_spi(ctx.rng),
            method,
            private: None,
            retried,
            collision: None,
            answer: None,
        };
        let work = Work::Initiate(Draw::new(method, ctx.rng));
        self.prepare(ctx, What::RekeyIke(Box::new(request)), work);
    }

    fn rekey_proposals(&self, spi: u64) -> Vec<Proposal> {
        let offers = self.rekey_offers();
        (1..).zip(&offers).map(|(n, offer)| offer.proposal(n, &spi.to_be_bytes())).collect()
    }

    pub(super) fn send_rekey(
        &mut self,
        ctx: &mut Context<'_>,
        mut request: RekeyRequest,
        private: PrivateValue,
        data: Vec<u8>,
    ) {
        if self.phase != Phase::Up || self.successor.is_some() {
            ctx.out.forget_ike_spi(request.spi);
            return;
        }
        let payloads = [
            Payload::SecurityAssociation(self.rekey_proposals(request.spi)),
            Payload::Nonce(request.nonce.as_bytes().to_vec()),
            Payload::KeyExchange(KeyExchange { method: request.method.id(), data }),
        ];
        request.private = Some(private);
        let what = What::RekeyIke(Box::new(request));
        self.request(ctx, what, ExchangeType::CreateChildSa, &payloads);
    }

    pub(super) fn rekey_response(
        &mut self,
        ctx: &mut Context<'_>,
        mut request: RekeyRequest,
        payloads: Payloads<'_>,
    ) {
        if let Some(wanted) = payloads.wanted_method() {
            let connection = self.connection.clone();
            let mut ours = connection.offers.iter().flat_map(|o| o.key_exchanges());
            let method = ours.find(|m| m.id() == wanted && *m != request.method);
            ctx.out.forget_ike_spi(request.spi);
            match method {
                Some(_) if !request.retried && self.successor.is_none() => {
                    self.begin_rekey(ctx, method);
                }
                _ => self.rekey_failed(ctx, Failure::KeyExchangeMethod(wanted)),
            }
            return;
        }
        if let Some(error) = payloads.error() {
            ctx.out.forget_ike_spi(request.spi);
            match error {
                notify_type::TEMPORARY_FAILURE if self.successor.is_none() => {
                    self.try_later(ctx, Task::RekeyIke);
                }
                notify_type::TEMPORARY_FAILURE => self.yield_to_successor(ctx),
                notify_type::NO_PROPOSAL_CHOSEN => {
                    let failure = Failure::ProposalRefused(self.rekey_proposals(0));
                    self.rekey_failed(ctx, failure);
                }
                error => self.rekey_failed(ctx, Failure::Peer(error)),
            }
            return;
        }
        let sa = payloads.sa().map(Vec::as_slice).unwrap_or_default();
        let choice = IkeChoice::from_answer(&self.rekey_proposals(request.spi), sa);
        let remote_spi = sa.first().and_then(|p| Some(u64::from_be_bytes(*p.spi.first_chunk()?)));
        let nonce = payloads.nonce().and_then(|nonce| Nonce::from_peer(nonce).ok());
        let ke = payloads.key_exchange().filter(|ke| ke.method == request.method.id());
        let private = request.private.take();
        match (choice, remote_spi.filter(|spi| *spi != 0), nonce, ke, private) {
            (Some(choice), Some(remote_spi), Some(nonce), Some(ke), Some(private))
                if choice.key_exchange == request.method
                    && nonce.check_for(choice.suite.prf()).is_ok() =>
            {
                request.answer = Some((choice, remote_spi, nonce));
                let work = Work::Agree(private, ke.data.clone());
                self.finish(ctx, What::RekeyIke(Box::new(request)), work);
            }
            _ => {
                ctx.out.forget_ike_spi(request.spi);
                let what = "the answer to rekeying the IKE SA does not fit".to_owned();
                self.rekey_failed(ctx, Failure::Protocol(what));
            }
        }
    }

    fn rekey_failed(&mut self, ctx: &mut Context<'_>, failure: Failure) {
        self.report(ctx, failure);
        if self.successor.is_some() {
            self.yield_to_successor(ctx);
        } else {
            self.times.rekey_at = Some(ctx.now + timers::RETRY);
        }
    }

    pub(super) fn rekey_agreed(
        &mut self,
        ctx: &mut Context<'_>,
        request: RekeyRequest,
        secret: Result<SharedSecret, ExchangeError>,
    ) {
        let secret = match secret {
            Ok(secret) => secret,
            Err(error) => {
                ctx.out.forget_ike_spi(request.spi);
                self.rekey_failed(ctx, Failure::KeyExchange(error));
                return;
            }
        };
        let Some((choice, remote_spi, nonce)) = request.answer else { return };
        let nonces = Nonces { initiator: &request.nonce, responder: &nonce };
        let spis = [request.spi, remote_spi];
        let mut new = self.successor_sa(ctx, Role::Initiator, spis, &choice, &secret, nonces);
        let lowest = (&request.nonce).min(&nonce);
        if matches!(self.phase, Phase::Closing(_)) {
            // deleted meanwhile, and so is what was to replace it
            new.queue(ctx, Task::DeleteIke);
            ctx.out.effect(Effect::Spawn(Box::new(new)));
            return;
        }
        if request.collision.as_ref().is_some_and(|theirs| lowest < theirs)
            || self.phase == Phase::Replaced
        {
            // ours loses: we delete it, and the peer deletes this one
            new.phase = Phase::Closing(DownReason::Redundant);
            new.queue(ctx, Task::DeleteIke);
            ctx.out.effect(Effect::Spawn(Box::new(new)));
            self.yield_to_successor(ctx);
            return;
        }
        let id = new.id;
        ctx.out.effect(Effect::Spawn(Box::new(new)));
        if let Some(other) = self.successor.replace(id) {
            ctx.out.effect(Effect::Lost(other));
        }
        ctx.out.effect(Effect::Inherit { from: self.id, to: id });
        self.phase = Phase::Closing(DownReason::Replaced);
        self.queue(ctx, Task::DeleteIke);
    }

    /// The peer's rekeying counts: the children go to what it made.
    pub(super) fn yield_to_successor(&mut self, ctx: &mut Context<'_>) {
        if let Some(to) = self.successor
            && self.phase == Phase::Up
        {
            ctx.out.effect(Effect::Inherit { from: self.id, to });
            self.replaced(ctx);
        }
    }

    fn replaced(&mut self, ctx: &mut Context<'_>) {
        self.phase = Phase::Replaced;
        self.times.replaced(ctx.now);
    }

    /// The peer uses what it made instead of this one, so that is settled.
    pub(crate) fn superseded(&mut self, ctx: &mut Context<'_>) {
        self.yield_to_successor(ctx);
    }

    /// Two were made at the same time and this one lost; the peer deletes it, and should it not, we
    /// do.
    pub(crate) fn lost(&mut self, ctx: &mut Context<'_>) {
        self.predecessor = None;
        self.times.replaced(ctx.now);
    }

    pub(super) fn rekey_request(
        &mut self,
        ctx: &mut Context<'_>,
        path: Path,
        header: Header,
        payloads: Payloads<'_>,
    ) {
        if self.phase != Phase::Up || self.successor.is_some() || self.busy_with_children() {
            self.refuse(ctx, path, &header, notify_type::TEMPORARY_FAILURE);
            return;
        }
        let (Some(sa), Some(ke), Some(nonce)) =
            (payloads.sa(), payloads.key_exchange(), payloads.nonce())
        else {
            self.refuse(ctx, path, &header, notify_type::INVALID_SYNTAX);
            return;
        };
        let sent = KeyExchangeMethod::from_id(ke.method);
        let (choice, proposal) = match choose_ike(&self.rekey_offers(), sa, sent) {
            Ok(chosen) => chosen,
            Err(no) => {
                self.refuse(ctx, path, &header, notify_type::NO_PROPOSAL_CHOSEN);
                self.report(ctx, Failure::NoProposal(no));
                return;
            }
        };
        if sent != Some(choice.key_exchange) {
            let wanted = choice.key_exchange.id().to_be_bytes();
            let answer = vec![notify(notify_type::INVALID_KE_PAYLOAD, wanted)];
            self.answer(ctx, path, &header, answer);
            return;
        }
        let nonce = Nonce::from_peer(nonce).ok();
        let nonce = nonce.filter(|nonce| nonce.check_for(choice.suite.prf()).is_ok());
        let remote_spi = proposal.spi.as_slice().try_into().map_or(0, u64::from_be_bytes);
        let (Some(nonce), true) = (nonce, remote_spi != 0) else {
            self.refuse(ctx, path, &header, notify_type::INVALID_SYNTAX);
            return;
        };
        let work = Work::Respond(Draw::new(choice.key_exchange, ctx.rng), ke.data.clone());
        let answer = RekeyAnswer { choice, proposal, remote_spi, nonce };
        let what = responses::What::RekeyIke(Box::new(answer));
        self.answer_later(ctx, path, header, what, work);
    }

    pub(super) fn rekey_answer(
        &mut self,
        ctx: &mut Context<'_>,
        path: Path,
        header: Header,
        answer: RekeyAnswer,
        done: Result<(Vec<u8>, SharedSecret), ExchangeError>,
    ) {
        if self.phase != Phase::Up || self.successor.is_some() || self.busy_with_children() {
            self.refuse(ctx, path, &header, notify_type::TEMPORARY_FAILURE);
            return;
        }
        let (data, secret) = match done {
            Ok(done) => done,
            Err(error) => {
                self.refuse(ctx, path, &header, notify_type::INVALID_SYNTAX);
                self.report(ctx, Failure::KeyExchange(error));
                return;
            }
        };
        let nonce = Nonce::draw(ctx.rng);
        let spi = ctx.out.ike_spi(ctx.rng);
        let nonces = Nonces { initiator: &answer.nonce, responder: &nonce };
        let spis = [spi, answer.remote_spi];
        let mut new =
            self.successor_sa(ctx, Role::Responder, spis, &answer.choice, &secret, nonces);
        let proposal = Proposal { spi: spi.to_be_bytes().to_vec(), ..answer.proposal };
        let payloads = vec![
            Payload::SecurityAssociation(vec![proposal]),
            Payload::Nonce(nonce.as_bytes().to_vec()),
            Payload::KeyExchange(KeyExchange { method: answer.choice.key_exchange.id(), data }),
        ];
        let lowest = answer.nonce.min(nonce);
        let id = new.id;
        self.successor = Some(id);
        let collides = match &mut self.ours {
            Some(Initiated { what: What::RekeyIke(request), step }) => match step {
                Step::Preparing(_) => false,
                Step::Sent(_) | Step::Finishing(_) => {
                    request.collision = Some(lowest);
                    true
                }
            },
            _ => false,
        };
        if collides {
            new.predecessor = Some(self.id);
        }
        ctx.out.effect(Effect::Spawn(Box::new(new)));
        self.answer(ctx, path, &header, payloads);
        if !collides {
            ctx.out.effect(Effect::Inherit { from: self.id, to: id });
            self.replaced(ctx);
        }
    }

    /// Whether a child is being made, rekeyed or deleted (RFC 7296 §2.25.1).
    fn busy_with_children(&self) -> bool {
        match &self.ours {
            Some(Initiated { what: What::Child(_), step }) => {
                // what was not sent can still be taken back
                !matches!(step, Step::Preparing(_))
            }
            Some(Initiated { what: What::DeleteChildren(_), .. }) => true,
            _ => self.theirs.makes_child(),
        }
    }

    /// The IKE SA that may take the place of this one. `spis` are ours and the peer's.
    fn successor_sa(
        &self,
        ctx: &mut Context<'_>,
        role: Role,
        [local_spi, remote_spi]: [u64; 2],
        choice: &IkeChoice,
        secret: &SharedSecret,
        nonces: Nonces<'_>,
    ) -> Self {
        let spis = match role {
            Role::Initiator => Spis { initiator: local_spi, responder: remote_spi },
            Role::Responder => Spis { initiator: remote_spi, responder: local_spi },
        };
        let exchanges = std::slice::from_ref(secret);
        let mut ike = self.ike_keys().rekeyed(choice.suite, exchanges, nonces, spis);
        ike.forget_proofs();
        let (sealer, opener) = (ike.sealer(role), ike.opener(role.other()));
        let times = timers::Times::new(ctx, &self.connection);
        Self {
            id: ctx.out.ike_id(),
            connection: Arc::clone(&self.connection),
            role,
            local_spi,
            remote_spi,
            path: self.path,
            nat: self.nat,
            phase: Phase::Up,
            opening: None,
            keys: Some(Keys { ike, sealer, opener, before: None }),
            fragmentation: self.fragmentation,
            announced: false,
            remote_identity: self.remote_identity.clone(),
            algorithms: choice.to_string().into(),
            ppk: self.ppk,
            addresses: Vec::new(),
            children: Vec::new(),
            tasks: Default::default(),
            ours: None,
            next_request: 0,
            theirs: Default::default(),
            assembly: Default::default(),
            times,
            successor: None,
            predecessor: None,
        }
    }

    /// Takes what another had.
    pub(crate) fn inherit(&mut self, ctx: &mut Context<'_>, from: &mut Self) {
        debug_assert!(self.children.len() + from.children.len() <= 2 * MAX_CHILDREN);
        self.predecessor = None;
        self.announced = true;
        ctx.out.present(&self.connection.name);
        self.addresses.append(&mut from.addresses);
        self.children.append(&mut from.children);
        for child in &self.children {
            ctx.out.move_child(child.id(), self.id);
        }
        self.times.inherit(&from.times);
        let tasks = std::mem::take(&mut from.tasks);
        for queued in tasks {
            match queued.task {
                Task::RekeyIke => {}
                Task::DeleteIke => from.tasks.push_back(queued),
                Task::Check
                | Task::CreateChild(_)
                | Task::RekeyChild(_)
                | Task::DeleteChildren(_) => {
                    self.tasks.push_back(queued);
                }
            }
        }
        // a request about children that was only prepared goes with them
        if let Some(Initiated { what: What::Child(request), step: Step::Preparing(_) }) = &from.ours
        {
            let task = match request.rekeys {
                Some(child) => Task::RekeyChild(child),
                None => Task::CreateChild(request.offer.name.clone()),
            };
            self.queue(ctx, task);
        }
    }
}
