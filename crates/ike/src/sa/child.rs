//! Children (RFC 7296 §1.3, §2.17): their state, and CREATE_CHILD_SA as its initiator.
//!
//! When both ends rekey a child at the same time there are two new ones for a moment, and the one
//! made with the lowest of the four nonces is deleted by the end that began it (RFC 7296 §2.8.1).

use std::{net::IpAddr, sync::Arc};

use wire::Time;

use super::{
    Context, IkeSa, Phase,
    payloads::{Payloads, notify},
    requests::{Initiated, What},
    tasks::Task,
    timers,
};
use crate::{
    ChildId, ChildSa, DownReason, Event, Failure, RequestAddresses,
    algorithm::KeyExchangeMethod,
    connection::{ChildSettings, Side, selectors},
    crypto::{ChildKeys, Draw, ExchangeError, Nonce, Nonces, PrivateValue, Role, SharedSecret},
    job::Work,
    message::{
        ExchangeType, KeyExchange, Notify, Payload, Proposal, TrafficSelector, notify_type,
        protocol,
    },
    proposal::EspChoice,
    selector::within,
};

/// A child as its IKE SA knows it; the keys are with whoever took the event.
pub(crate) struct Child {
    pub(super) id: ChildId,
    pub(super) name: Arc<str>,
    pub(super) inbound_spi: u32,
    pub(super) outbound_spi: u32,
    /// Told to the owner.
    pub(super) told: bool,
    /// Its outbound SA may be used.
    pub(super) up: bool,
    /// We have asked the peer to delete it, or will.
    pub(super) closing: bool,
    /// The one that takes its place, once that is settled.
    pub(super) replaced_by: Option<ChildId>,
    /// The key exchange it was made with, for rekeying.
    pub(super) rekey_at: Option<Time>,
    pub(super) ends_at: Option<Time>,
    /// When a packet came in last, as far as we were told.
    pub(super) last_use: Time,
}

/// What is agreed on about a new child.
pub(super) struct Agreed {
    pub(super) name: Arc<str>,
    pub(super) rekeys: Option<ChildId>,
    pub(super) inbound_spi: u32,
    pub(super) outbound_spi: u32,
    pub(super) choice: EspChoice,
    pub(super) mode: esp::Mode,
    pub(super) local: Vec<TrafficSelector>,
    pub(super) remote: Vec<TrafficSelector>,
}

/// What the initiator keeps.
pub(super) struct ChildRequest {
    pub(super) offer: Offer,
    pub(super) rekeys: Option<ChildId>,
    nonce: Nonce,
    method: Option<KeyExchangeMethod>,
    private: Option<PrivateValue>,
    retried: bool,
    /// The peer rekeyed the same child meanwhile: what it made, and the lower of its nonces.
    pub(super) collision: Option<(ChildId, Nonce)>,
    /// The peer's SPIs of children it deleted meanwhile that we do not have: its deletion may overtake
    /// the answer by which the child is made.
    pub(super) deleted: Vec<u32>,
    answer: Option<(Agreed, Nonce)>,
}

/// What we ask for.
pub(super) struct Offer {
    pub(super) name: Arc<str>,
    pub(super) spi: u32,
    pub(super) proposals: Vec<Proposal>,
    pub(super) mode: esp::Mode,
    pub(super) local: Vec<TrafficSelector>,
    pub(super) remote: Vec<TrafficSelector>,
}

impl Child {
    /// Which one it is.
    pub(crate) fn id(&self) -> ChildId {
        self.id
    }

    /// Tells that it is gone.
    pub(super) fn gone(self, ctx: &mut Context<'_>, reason: DownReason) {
        ctx.out.forget_child(self.id, self.inbound_spi);
        if self.told {
            ctx.out.event(Event::ChildGone { child: self.id, reason });
        }
    }

    /// Whether it may be replaced.
    pub(super) fn may_be_rekeyed(&self) -> bool {
        self.up && !self.closing && self.replaced_by.is_none()
    }
}

impl Offer {
    /// The payloads that say it, after the nonce.
    pub(super) fn selectors(&self) -> Vec<Payload> {
        let mut payloads = vec![
            Payload::SelectorsInitiator(self.local.clone()),
            Payload::SelectorsResponder(self.remote.clone()),
        ];
        if self.mode == esp::Mode::Transport {
            payloads.push(notify(notify_type::USE_TRANSPORT_MODE, []));
        }
        payloads
    }

    /// What the peer's answer means.
    pub(super) fn agree(
        self,
        payloads: Payloads<'_>,
        rekeys: Option<ChildId>,
    ) -> Result<Agreed, Box<(Self, Failure)>> {
        let (Some(sa), Some(tsi), Some(tsr)) =
            (payloads.sa(), payloads.selectors_initiator(), payloads.selectors_responder())
        else {
            let what = "SA, TSi or TSr is missing".to_owned();
            return Err(Box::new((self, Failure::Protocol(what))));
        };
        let Some((choice, outbound_spi)) = EspChoice::from_answer(&self.proposals, sa) else {
            return Err(Box::new((self, Failure::NotOffered { chosen: sa.clone() })));
        };
        let mode = if payloads.has(notify_type::USE_TRANSPORT_MODE) {
            esp::Mode::Transport
        } else {
            esp::Mode::Tunnel
        };
        if mode != self.mode {
            let ours = self.mode;
            return Err(Box::new((self, Failure::Mode { ours, theirs: mode })));
        }
        let fits = !tsi.is_empty() && !tsr.is_empty();
        if !fits || !within(tsi, &self.local) || !within(tsr, &self.remote) {
            let failure = Failure::Selectors {
                local: self.local.clone(),
                remote: self.remote.clone(),
                their_local: tsr.clone(),
                their_remote: tsi.clone(),
            };
            return Err(Box::new((self, failure)));
        }
        Ok(Agreed {
            name: self.name,
            rekeys,
            inbound_spi: self.spi,
            outbound_spi,
            choice,
            mode,
            local: tsi.clone(),
            remote: tsr.clone(),
        })
    }

    /// Why the peer refused it.
    pub(super) fn refused(&self, error: u16) -> Failure {
        match error {
            notify_type::NO_PROPOSAL_CHOSEN => Failure::ProposalRefused(self.proposals.clone()),
            notify_type::TS_UNACCEPTABLE => {
                Failure::SelectorsRefused { local: self.local.clone(), remote: self.remote.clone() }
            }
            error => Failure::Peer(error),
        }
    }
}

/// A side whose own addresses may be any of the versions that are asked for.
fn own_is_anything(side: &[Side], asks: RequestAddresses) -> Vec<Side> {
    let any = [(asks.v4, IpAddr::from([0; 4])), (asks.v6, IpAddr::from([0; 16]))];
    let any = any.map(|(asks, any)| asks.then(|| TrafficSelector::prefix(any, 0)));
    let within = |bound: Option<TrafficSelector>| {
        any.iter().flatten().filter_map(move |any| match bound {
            Some(bound) => any.intersect(&bound),
            None => Some(*any),
        })
    };
    let of = |side: &Side| -> Vec<Side> {
        match side {
            Side::Fixed(_) => vec![*side],
            Side::Own => within(None).map(Side::Fixed).collect(),
            Side::OwnWithin(bound) => within(Some(*bound)).map(Side::Fixed).collect(),
        }
    };
    side.iter().flat_map(of).collect()
}

impl IkeSa {
    /// Our addresses and the peer's, for selectors that follow them: `[local, remote]`.
    pub(super) fn own_addresses(&self) -> [Vec<IpAddr>; 2] {
        let path = |address: IpAddr| vec![address];
        let (local, remote) = (path(self.path.local.ip()), path(self.path.remote.ip()));
        let asks = self.connection.request_addresses;
        match (self.addresses.is_empty(), asks.v4 || asks.v6) {
            (true, _) => [local, remote],
            (false, true) => [self.addresses.clone(), remote],
            (false, false) => [local, self.addresses.clone()],
        }
    }

    /// What to ask for to have this child.
    pub(super) fn offer(&self, ctx: &mut Context<'_>, child: &ChildSettings, pfs: bool) -> Offer {
        let spi = ctx.out.child_spi(ctx.rng);
        let [local, remote] = self.own_addresses();
        let asks = self.connection.request_addresses;
        let local = if (asks.v4 || asks.v6) && self.addresses.is_empty() {
            // the address is not known yet: the responder narrows to the one it gives
            selectors(&own_is_anything(&child.local, asks), &[])
        } else {
            selectors(&child.local, &local)
        };
        Offer {
            name: child.name.clone(),
            spi,
            proposals: (1..)
                .zip(&child.offers)
                .map(|(number, offer)| offer.proposal(number, spi, pfs))
                .collect(),
            mode: child.mode,
            local,
            remote: selectors(&child.remote, &remote),
        }
    }

    /// Begins CREATE_CHILD_SA for a child, or for the replacement of one.
    pub(super) fn begin_child(
        &mut self,
        ctx: &mut Context<'_>,
        name: &str,
        rekeys: Option<ChildId>,
        method: Option<KeyExchangeMethod>,
    ) {
        let connection = self.connection.clone();
        let Some(settings) = connection.child(name) else { return };
        if rekeys.is_some_and(|id| !self.child(id).is_some_and(Child::may_be_rekeyed)) {
            return;
        }
        let first = settings.offers.first().and_then(|offer| offer.key_exchanges().next());
        let retried = method.is_some();
        let request = ChildRequest {
            offer: self.offer(ctx, settings, true),
            rekeys,
            nonce: Nonce::draw(ctx.rng),
            method: method.or(first),
            private: None,
            retried,
            collision: None,
            deleted: Vec::new(),
            answer: None,
        };
        match request.method {
            Some(method) => {
                let work = Work::Initiate(Draw::new(method, ctx.rng));
                self.prepare(ctx, What::Child(Box::new(request)), work);
            }
            None => self.send_child(ctx, request, None),
        }
    }

    pub(super) fn send_child(
        &mut self,
        ctx: &mut Context<'_>,
        mut request: ChildRequest,
        exchange: Option<(PrivateValue, Vec<u8>)>,
    ) {
        let rekeys = request.rekeys.map(|id| {
            self.child(id).filter(|child| child.may_be_rekeyed()).map(|child| child.inbound_spi)
        });
        if self.phase != Phase::Up || rekeys == Some(None) || request.collision.is_some() {
            // overtaken by events while the key exchange was prepared
            ctx.out.forget_spi(request.offer.spi);
            return;
        }
        let mut payloads = Vec::new();
        if let Some(Some(spi)) = rekeys {
            payloads.push(Payload::Notify(Notify {
                protocol: protocol::ESP,
                spi: spi.to_be_bytes().to_vec(),
                kind: notify_type::REKEY_SA,
                data: Vec::new(),
            }));
        }
        payloads.push(Payload::SecurityAssociation(request.offer.proposals.clone()));
        payloads.push(Payload::Nonce(request.nonce.as_bytes().to_vec()));
        if let (Some(method), Some((private, data))) = (request.method, exchange) {
            payloads.push(Payload::KeyExchange(KeyExchange { method: method.id(), data }));
            request.private = Some(private);
        }
        payloads.extend(request.offer.selectors());
        self.request(ctx, What::Child(Box::new(request)), ExchangeType::CreateChildSa, &payloads);
    }

    pub(super) fn child_response(
        &mut self,
        ctx: &mut Context<'_>,
        mut request: ChildRequest,
        payloads: Payloads<'_>,
    ) {
        if let Some(wanted) = payloads.wanted_method() {
            self.other_method(ctx, request, wanted);
            return;
        }
        if let Some(error) = payloads.error() {
            self.child_refused(ctx, request, error);
            return;
        }
        let nonce = payloads.nonce().and_then(|nonce| Nonce::from_peer(nonce).ok());
        let Some(nonce) = nonce else {
            self.child_failed(ctx, &request, Failure::Protocol("no nonce".to_owned()));
            return;
        };
        let spi = request.offer.spi;
        let agreed = match request.offer.agree(payloads, request.rekeys) {
            Ok(agreed) => agreed,
            Err(refused) => {
                let (offer, failure) = *refused;
                request.offer = offer;
                self.child_failed(ctx, &request, failure);
                return;
            }
        };
        let method = agreed.choice.key_exchange;
        let ke = payloads.key_exchange();
        let key_exchange = match (method, ke, request.private.take()) {
            (None, None, _) => None,
            (Some(method), Some(ke), Some(private))
                if Some(method) == request.method && ke.method == method.id() =>
            {
                Some(Work::Agree(private, ke.data.clone()))
            }
            _ => {
                ctx.out.forget_spi(spi);
                self.report(ctx, Failure::KeyExchangeMethod(ke.map_or(0, |ke| ke.method)));
                return;
            }
        };
        let request = ChildRequest {
            offer: Offer {
                name: agreed.name.clone(),
                spi,
                proposals: Vec::new(),
                mode: agreed.mode,
                local: Vec::new(),
                remote: Vec::new(),
            },
            answer: Some((agreed, nonce)),
            ..request
        };
        match key_exchange {
            Some(work) => self.finish(ctx, What::Child(Box::new(request)), work),
            None => self.child_made(ctx, request, None),
        }
    }

    /// The peer wants another key exchange method.
    fn other_method(&mut self, ctx: &mut Context<'_>, request: ChildRequest, wanted: u16) {
        let connection = self.connection.clone();
        let method = connection.child(&request.offer.name).and_then(|child| {
            let mut ours = child.offers.iter().flat_map(|offer| offer.key_exchanges());
            ours.find(|method| method.id() == wanted && Some(*method) != request.method)
        });
        match method {
            Some(_) if !request.retried && request.collision.is_none() => {
                ctx.out.forget_spi(request.offer.spi);
                self.begin_child(ctx, &request.offer.name, request.rekeys, method);
            }
            _ => self.child_failed(ctx, &request, Failure::KeyExchangeMethod(wanted)),
        }
    }

    fn child_refused(&mut self, ctx: &mut Context<'_>, request: ChildRequest, error: u16) {
        if request.collision.is_some() {
            // the peer's own rekeying was the one that counted
            ctx.out.forget_spi(request.offer.spi);
            self.settle(request.rekeys, request.collision);
            return;
        }
        let task = match request.rekeys {
            Some(id) => Task::RekeyChild(id),
            None => Task::CreateChild(request.offer.name.clone()),
        };
        match error {
            notify_type::TEMPORARY_FAILURE => {
                ctx.out.forget_spi(request.offer.spi);
                self.try_later(ctx, task);
            }
            notify_type::CHILD_SA_NOT_FOUND if request.rekeys.is_some() => {
                // it is gone at the peer: forget it, and have another instead (RFC 7296 §2.25)
                ctx.out.forget_spi(request.offer.spi);
                let at = self.children.iter().position(|c| Some(c.id) == request.rekeys);
                if let Some(at) = at {
                    self.children.remove(at).gone(ctx, DownReason::PeerDeleted);
                    self.queue(ctx, Task::CreateChild(request.offer.name));
                }
            }
            error => {
                let failure = request.offer.refused(error);
                self.child_failed(ctx, &request, failure);
            }
        }
    }

    fn child_failed(&mut self, ctx: &mut Context<'_>, request: &ChildRequest, failure: Failure) {
        ctx.out.forget_spi(request.offer.spi);
        self.settle(request.rekeys, request.collision.clone());
        self.report(ctx, failure);
        if let Some(child) = request.rekeys.and_then(|id| self.child_mut(id)) {
            child.rekey_at = Some(ctx.now + timers::RETRY);
        }
    }

    /// The peer's rekeying of `old` counts.
    fn settle(&mut self, old: Option<ChildId>, collision: Option<(ChildId, Nonce)>) {
        if let (Some(old), Some((new, _))) = (old, collision)
            && self.child(new).is_some()
            && let Some(old) = self.child_mut(old)
        {
            old.replaced_by = Some(new);
        }
    }

    pub(super) fn child_agreed(
        &mut self,
        ctx: &mut Context<'_>,
        request: ChildRequest,
        secret: Result<SharedSecret, ExchangeError>,
    ) {
        match secret {
            Ok(secret) => self.child_made(ctx, request, Some(secret)),
            Err(error) => self.child_failed(ctx, &request, Failure::KeyExchange(error)),
        }
    }

    fn child_made(
        &mut self,
        ctx: &mut Context<'_>,
        request: ChildRequest,
        secret: Option<SharedSecret>,
    ) {
        let Some((agreed, nonce)) = request.answer else { return };
        if request.deleted.contains(&agreed.outbound_spi) {
            ctx.out.forget_spi(agreed.inbound_spi);
            self.settle(request.rekeys, request.collision);
            return;
        }
        let nonces = Nonces { initiator: &request.nonce, responder: &nonce };
        let exchanges: Vec<_> = secret.into_iter().collect();
        let keys = self.ike_keys().child(agreed.choice.suite, &exchanges, nonces);
        let lowest = (&request.nonce).min(&nonce);
        let collision = request.collision.filter(|(other, _)| self.child(*other).is_some());
        let old = request.rekeys.filter(|old| self.child(*old).is_some());
        // without the old one, the peer has settled it before us
        if let Some((other, theirs)) = &collision
            && (lowest < theirs || old.is_none())
        {
            let id = self.add_child(ctx, agreed, Role::Initiator, keys, false);
            self.settle(old, Some((*other, theirs.clone())));
            self.queue(ctx, Task::DeleteChildren(vec![id]));
            return;
        } else if let Some((other, _)) = collision {
            // the peer deletes its own; should it not, we do
            let ends_at = ctx.now + timers::SETTLE;
            if let Some(other) = self.child_mut(other) {
                (other.rekey_at, other.ends_at) = (None, Some(ends_at));
            }
        }
        let id = self.add_child(ctx, agreed, Role::Initiator, keys, true);
        match old {
            Some(old) => {
                self.child_mut(old).expect("invariant: found before").replaced_by = Some(id);
                self.hand_over(ctx, old, id);
                self.queue(ctx, Task::DeleteChildren(vec![old]));
            }
            None => self.child_up(ctx, id),
        }
    }

    /// Makes the child; tells the owner when `tell` is set.
    pub(super) fn add_child(
        &mut self,
        ctx: &mut Context<'_>,
        agreed: Agreed,
        role: Role,
        keys: ChildKeys,
        tell: bool,
    ) -> ChildId {
        let id = ctx.out.child_id(self.id);
        let connection = self.connection.clone();
        let settings = connection.child(&agreed.name);
        let earlier = |after: Option<std::time::Duration>, ctx: &mut Context<'_>| {
            after.map(|after| ctx.now + timers::somewhat_less(ctx, after))
        };
        let (inbound_key, outbound_key) = match role {
            Role::Initiator => (keys.from_responder, keys.from_initiator),
            Role::Responder => (keys.from_initiator, keys.from_responder),
        };
        // most have one
        self.children.reserve_exact(1);
        self.children.push(Child {
            id,
            name: agreed.name.clone(),
            inbound_spi: agreed.inbound_spi,
            outbound_spi: agreed.outbound_spi,
            told: tell,
            up: false,
            closing: false,
            replaced_by: None,
            rekey_at: earlier(settings.and_then(|s| s.rekey_after), ctx),
            ends_at: settings.and_then(|s| s.lifetime).map(|lifetime| ctx.now + lifetime),
            last_use: ctx.now,
        });
        if tell {
            ctx.out.event(Event::ChildInboundReady(Box::new(ChildSa {
                id,
                ike: self.id,
                connection: connection.name.clone(),
                name: agreed.name,
                replaces: agreed.rekeys,
                inbound_spi: agreed.inbound_spi,
                outbound_spi: agreed.outbound_spi,
                suite: agreed.choice.suite,
                inbound_key,
                outbound_key,
                esn: agreed.choice.esn,
                mode: agreed.mode,
                local: agreed.local,
                remote: agreed.remote,
                path: self.path,
                encapsulation: self.nat.encapsulates().then_some(esp::UdpEncapsulation {
                    source_port: self.path.local.port(),
                    destination_port: self.path.remote.port(),
                }),
            })));
        }
        id
    }

    pub(super) fn child_up(&mut self, ctx: &mut Context<'_>, id: ChildId) {
        if let Some(child) = self.child_mut(id).filter(|child| !child.up) {
            child.up = true;
            ctx.out.event(Event::ChildUp { child: id });
        }
    }

    /// The new child's outbound SA takes over.
    pub(super) fn hand_over(&mut self, ctx: &mut Context<'_>, old: ChildId, new: ChildId) {
        if let Some(child) = self.child_mut(new).filter(|child| !child.up) {
            child.up = true;
            ctx.out.event(Event::ChildRekeyed { old, new });
        }
    }

    /// Our rekeying of a child, if it is under way.
    pub(super) fn our_rekeying(&mut self, id: ChildId) -> Option<&mut ChildRequest> {
        match &mut self.ours {
            Some(Initiated { what: What::Child(request), .. }) if request.rekeys == Some(id) => {
                Some(request)
            }
            _ => None,
        }
    }
}
