//! IKE_AUTH (RFC 7296 §1.2, §2.15, §2.16), both roles.

use std::{borrow::Cow, net::IpAddr, sync::Arc};

use super::{
    Context, IkeSa, Phase,
    child::Offer,
    configuration::{self, Given},
    payloads::{Payloads, notify},
    proof::{self, Claim, Proved},
    requests::What,
    responses,
};
use crate::{
    AddressesWanted, Connection, DownReason, Event, Failure, IkeUp, Path, RequestAddresses,
    auth::{Identity, Proof, Signed},
    crypto::{IkeKeys, Nonces, PPK_ID_FIXED, Role},
    endpoint::Effect,
    job::Outcome,
    message::{ExchangeType, Header, Identification, Payload, notify_type},
    proposal::choose_ike,
};

/// What the initiator keeps.
pub(super) struct AuthRequest {
    step: Step,
    /// The first child.
    offer: Option<Offer>,
    /// The keys with the PPK mixed in, should the peer know it.
    ppk: Option<IkeKeys>,
}

enum Step {
    /// Our proof is being made.
    Proving,
    Sent,
    /// The peer's proof is being checked.
    Checking(Vec<Payload>, Identity),
}

/// What the responder keeps while proofs are checked and made.
pub(super) struct AuthAnswer {
    payloads: Vec<Payload>,
    remote: Identity,
    keys: Option<IkeKeys>,
    checked: Option<Cow<'static, str>>,
    /// Our proof, while the owner looks for addresses.
    proofs: Vec<Proof>,
}

/// The keys an initiator proves itself with, when they are not those of IKE_SA_INIT, and its proof:
/// method and data.
type Claimed<'a> = (Option<IkeKeys>, (u8, &'a [u8]));

impl IkeSa {
    /// The octets that `role` proves with (RFC 7296 §2.15), under `keys`.
    fn signed_octets(
        &self,
        role: Role,
        keys: &IkeKeys,
        identity: &Identification,
        auth_message_id: u32,
    ) -> Vec<u8> {
        let opening = self.opening.as_ref().expect("invariant: still opening");
        let peer_nonce = opening.nonces[role.other() as usize].as_ref();
        let signed = Signed {
            role,
            message: &opening.init[role as usize],
            peer_nonce: peer_nonce.expect("invariant: both nonces are there"),
            identity,
            intermediate: &opening.intermediate,
            auth_message_id,
        };
        signed.octets(keys)
    }

    pub(super) fn begin_auth(&mut self, ctx: &mut Context<'_>) {
        let connection = self.connection.clone();
        let keys = self.ike_keys().clone();
        let ppk = connection.ppk.as_ref().filter(|_| self.opening().use_ppk);
        let with_ppk = ppk.map(|ppk| keys.with_ppk(&ppk.key));
        let identity = connection.local_identity.to_payload();
        let octets = |keys| self.signed_octets(self.role, keys, &identity, self.next_request);
        let mut all = vec![octets(with_ppk.as_ref().unwrap_or(&keys))];
        if ppk.is_some_and(|ppk| !ppk.required) {
            all.push(octets(&keys));
        }
        let offer = connection.children.first().map(|child| self.offer(ctx, child, false));
        self.opening().child_spi = offer.as_ref().map(|offer| offer.spi);
        let request = AuthRequest { step: Step::Proving, offer, ppk: with_ppk };
        match proof::prove(&connection, keys.suite().prf(), self.opening(), all) {
            Ok(Claim::Ready(proofs)) => self.send_auth(ctx, request, proofs),
            Ok(Claim::Later(work)) => self.prepare(ctx, What::Auth(Box::new(request)), work),
            Err(why) => self.fail(ctx, Failure::LocalAuthentication(why)),
        }
    }

    fn send_auth(&mut self, ctx: &mut Context<'_>, mut request: AuthRequest, proofs: Vec<Proof>) {
        let connection = self.connection.clone();
        let mut proofs = proofs.into_iter();
        let Some(Proof { method, data }) = proofs.next() else { return };
        let mut payloads = vec![Payload::IdInitiator(connection.local_identity.to_payload())];
        payloads.extend(proof::certificates(&connection, &self.opening().authorities));
        payloads.extend(proof::certificate_request(&connection));
        if let Some(identity) = connection.remote_identity.single() {
            payloads.push(Payload::IdResponder(identity.to_payload()));
        }
        payloads.push(Payload::Authentication { method, data });
        payloads.extend(configuration::request(connection.request_addresses));
        if ctx.out.is_absent(&connection.name) {
            payloads.push(notify(notify_type::INITIAL_CONTACT, []));
        }
        if let Some(ppk) = connection.ppk.as_ref().filter(|_| request.ppk.is_some()) {
            let mut id = vec![PPK_ID_FIXED];
            id.extend(&ppk.id);
            payloads.push(notify(notify_type::PPK_IDENTITY, id));
        }
        if let Some(Proof { data, .. }) = proofs.next() {
            payloads.push(notify(notify_type::NO_PPK_AUTH, data));
        }
        if let Some(offer) = &request.offer {
            payloads.push(Payload::SecurityAssociation(offer.proposals.clone()));
            payloads.extend(offer.selectors());
        }
        request.step = Step::Sent;
        self.request(ctx, What::Auth(Box::new(request)), ExchangeType::IkeAuth, &payloads);
    }

    pub(super) fn auth_job(
        &mut self,
        ctx: &mut Context<'_>,
        request: AuthRequest,
        outcome: Outcome,
    ) {
        match (request.step, outcome) {
            (Step::Proving, Outcome::Signed(Ok(proofs))) => {
                let request = AuthRequest { step: Step::Sent, ..request };
                self.send_auth(ctx, request, proofs);
            }
            (Step::Proving, Outcome::Signed(Err(why))) => {
                self.fail(ctx, Failure::LocalAuthentication(why));
            }
            (Step::Checking(payloads, identity), Outcome::Verified(proved)) => {
                let offer = request.offer;
                self.peer_checked(ctx, offer, Payloads(&payloads), &identity, proved);
            }
            (Step::Proving | Step::Sent | Step::Checking(..), _) => {}
        }
    }

    pub(super) fn auth_response(
        &mut self,
        ctx: &mut Context<'_>,
        mut request: AuthRequest,
        payloads: Payloads<'_>,
    ) {
        let connection = self.connection.clone();
        let (id, auth) = (payloads.id_responder(), payloads.authentication());
        let (Some(id), Some(auth)) = (id, auth) else {
            let identity = connection.local_identity.to_string();
            let failure = match payloads.error() {
                Some(notify_type::AUTHENTICATION_FAILED) => {
                    Failure::AuthenticationRefused { identity }
                }
                Some(error) => Failure::Peer(error),
                None => Failure::Protocol("IKE_AUTH without IDr and AUTH".to_owned()),
            };
            self.fail(ctx, failure);
            return;
        };
        let identity = match Identity::from_payload(id) {
            Ok(identity) => identity,
            Err(error) => {
                self.reject_peer(ctx, "?".to_owned(), error.to_string());
                return;
            }
        };
        if !connection.remote_identity.matches(&identity) {
            let why = format!("{} was expected", connection.remote_identity);
            self.reject_peer(ctx, identity.to_string(), why);
            return;
        }
        // the responder says whether it knows the PPK (RFC 8784 §3)
        let knows = payloads.has(notify_type::PPK_IDENTITY);
        match (request.ppk.take(), &connection.ppk) {
            (Some(keys), _) if knows => {
                self.keys.as_mut().expect("invariant: keys since IKE_SA_INIT").ike = keys;
                self.ppk = true;
            }
            (_, Some(ppk)) if ppk.required => {
                self.fail(ctx, Failure::Ppk("the peer does not know this one"));
                return;
            }
            (Some(_) | None, _) => {}
        }
        // our request had the number before
        let message_id = self.next_request - 1;
        let keys = self.ike_keys().clone();
        let octets = self.signed_octets(Role::Responder, &keys, id, message_id);
        let prf = keys.suite().prf();
        match proof::check(ctx, &connection, prf, &identity, auth, octets, payloads) {
            proof::Check::Ready(proved) => {
                self.peer_checked(ctx, request.offer, payloads, &identity, proved);
            }
            proof::Check::Later(work) => {
                request.step = Step::Checking(payloads.0.to_vec(), identity);
                self.finish(ctx, What::Auth(Box::new(request)), work);
            }
        }
    }

    /// The initiator knows who the responder is.
    fn peer_checked(
        &mut self,
        ctx: &mut Context<'_>,
        offer: Option<Offer>,
        payloads: Payloads<'_>,
        identity: &Identity,
        proved: Result<Proved, String>,
    ) {
        let proved = match proved {
            Ok(proved) => proved,
            Err(why) => {
                self.reject_peer(ctx, identity.to_string(), why);
                return;
            }
        };
        let given = configuration::reply(payloads);
        let nonces = self.opening().nonces.clone();
        self.up(ctx, identity, &proved, &given);
        let asks = self.connection.request_addresses != RequestAddresses::default();
        if asks && given.addresses.is_empty() && payloads.error().is_none() {
            self.report(ctx, Failure::NoAddressGiven);
        }
        let Some(offer) = offer else { return };
        if let Some(error) = payloads.error() {
            ctx.out.forget_spi(offer.spi);
            let failure = match error {
                notify_type::INTERNAL_ADDRESS_FAILURE => Failure::NoAddress,
                error => offer.refused(error),
            };
            self.report(ctx, failure);
            return;
        }
        let spi = offer.spi;
        match (offer.agree(payloads, None), nonces) {
            (Ok(agreed), [Some(initiator), Some(responder)]) => {
                let nonces = Nonces { initiator: &initiator, responder: &responder };
                let keys = self.ike_keys().child(agreed.choice.suite, &[], nonces);
                let id = self.add_child(ctx, agreed, Role::Initiator, keys, true);
                self.child_up(ctx, id);
            }
            (Err(refused), _) => {
                ctx.out.forget_spi(spi);
                self.report(ctx, refused.1);
            }
            (Ok(_), _) => {}
        }
    }

    /// The responder is not who it should be: told to it and to the owner (RFC 7296 §2.21.2).
    fn reject_peer(&mut self, ctx: &mut Context<'_>, identity: String, why: String) {
        self.report(ctx, Failure::Authentication { identity, why });
        self.forget_opening(ctx);
        self.phase = Phase::Closing(DownReason::Protocol("not authenticated".to_owned()));
        self.queue(ctx, super::Task::DeleteIke);
    }

    /// Nothing comes of it: neither of the first child.
    pub(super) fn forget_opening(&mut self, ctx: &mut Context<'_>) {
        if let Some(spi) = self.opening.take().and_then(|opening| opening.child_spi) {
            ctx.out.forget_spi(spi);
        }
    }

    /// It is authenticated.
    fn up(&mut self, ctx: &mut Context<'_>, remote: &Identity, proved: &Proved, given: &Given) {
        self.phase = Phase::Up;
        self.opening = None;
        if let Some(keys) = &mut self.keys {
            keys.ike.forget_proofs();
        }
        self.announced = true;
        ctx.out.present(&self.connection.name);
        self.remote_identity = remote.to_string().into();
        self.addresses = given.addresses.clone();
        ctx.out.event(Event::IkeUp(Box::new(IkeUp {
            ike: self.id,
            connection: self.connection.name.clone(),
            initiator: self.role == Role::Initiator,
            spis: [self.local_spi, self.remote_spi],
            remote_identity: self.remote_identity.clone(),
            remote_authentication: proved.method.clone(),
            algorithms: self.algorithms.clone(),
            ppk: self.ppk,
            path: self.path,
            local_nat: self.nat.local,
            remote_nat: self.nat.remote,
            addresses: given.addresses.clone(),
            dns: given.dns.clone(),
        })));
    }

    pub(super) fn auth_request(
        &mut self,
        ctx: &mut Context<'_>,
        path: Path,
        header: Header,
        payloads: Payloads<'_>,
    ) {
        if !self.opening().additional.is_empty() {
            self.refuse(ctx, path, &header, notify_type::INVALID_SYNTAX);
            self.refused(ctx, Failure::Protocol("IKE_AUTH before IKE_INTERMEDIATE".to_owned()));
            return;
        }
        let (Some(id), Some(auth)) = (payloads.id_initiator(), payloads.authentication()) else {
            // without AUTH it is EAP that is wanted (RFC 7296 §2.16)
            self.refuse(ctx, path, &header, notify_type::AUTHENTICATION_FAILED);
            let what = "IKE_AUTH without IDi and AUTH, as for EAP, which is not spoken";
            self.refused(ctx, Failure::Protocol(what.to_owned()));
            return;
        };
        let wanted = payloads.id_responder().map(Identity::from_payload);
        let remote = Identity::from_payload(id);
        let connection = match (&remote, &wanted) {
            (Ok(remote), None) => self.connection_for(ctx, path, remote, None),
            (Ok(remote), Some(Ok(local))) => self.connection_for(ctx, path, remote, Some(local)),
            (Err(_), _) | (_, Some(Err(_))) => None,
        };
        let text = |identity: &Result<Identity, _>| match identity {
            Ok(identity) => identity.to_string(),
            Err(error) => format!("nobody ({error})"),
        };
        let (Some(connection), Ok(remote)) = (connection, &remote) else {
            self.refuse(ctx, path, &header, notify_type::AUTHENTICATION_FAILED);
            let local = wanted.as_ref().map_or_else(|| "anybody".to_owned(), text);
            self.refused(ctx, Failure::NoPeer { remote: text(&remote), local });
            return;
        };
        self.connection = connection;
        let (keys, auth) = match self.responder_ppk(payloads, auth) {
            Ok(ppk) => ppk,
            Err(failure) => {
                self.refuse(ctx, path, &header, notify_type::AUTHENTICATION_FAILED);
                self.refused(ctx, failure);
                return;
            }
        };
        let under = keys.as_ref().unwrap_or(self.ike_keys());
        let octets = self.signed_octets(Role::Initiator, under, id, header.message_id);
        let prf = under.suite().prf();
        let answer = AuthAnswer {
            payloads: payloads.0.to_vec(),
            remote: remote.clone(),
            keys,
            checked: None,
            proofs: Vec::new(),
        };
        match proof::check(ctx, &self.connection, prf, remote, auth, octets, payloads) {
            proof::Check::Ready(proved) => self.auth_checked(ctx, path, header, answer, proved),
            proof::Check::Later(work) => {
                let what = responses::What::Auth(Box::new(answer));
                self.answer_later(ctx, path, header, what, work);
            }
        }
    }

    /// The first connection that is for these addresses, algorithms and identities.
    fn connection_for(
        &self,
        ctx: &Context<'_>,
        path: Path,
        remote: &Identity,
        local: Option<&Identity>,
    ) -> Option<Arc<Connection>> {
        let chosen = self.opening.as_ref()?.chosen.clone()?;
        crate::endpoint::candidates(ctx.connections, path)
            .find(|connection| {
                connection.remote_identity.matches(remote)
                    && local.is_none_or(|local| *local == connection.local_identity)
                    && choose_ike(&connection.offers, std::slice::from_ref(&chosen), None).is_ok()
            })
            .cloned()
    }

    /// With which keys the initiator proves itself, and with which of its two proofs (RFC 8784 §3).
    fn responder_ppk<'a>(
        &mut self,
        payloads: Payloads<'a>,
        auth: (u8, &'a [u8]),
    ) -> Result<Claimed<'a>, Failure> {
        let connection = self.connection.clone();
        let required = connection.ppk.as_ref().is_some_and(|ppk| ppk.required);
        let Some(asked) = payloads.notify(notify_type::PPK_IDENTITY) else {
            return if required {
                Err(Failure::Ppk("the peer uses none"))
            } else {
                Ok((None, auth))
            };
        };
        let known = connection.ppk.as_ref().filter(|ppk| {
            self.opening.as_ref().is_some_and(|opening| opening.use_ppk)
                && asked.data.split_first() == Some((&PPK_ID_FIXED, &ppk.id))
        });
        match (known, payloads.notify(notify_type::NO_PPK_AUTH)) {
            (Some(ppk), _) => Ok((Some(self.ike_keys().with_ppk(&ppk.key)), auth)),
            (None, _) if required => Err(Failure::Ppk("the peer uses another one")),
            (None, Some(without)) => Ok((None, (auth.0, &without.data))),
            (None, None) => Err(Failure::Ppk("the peer requires one that is not known here")),
        }
    }

    pub(super) fn auth_answer_job(
        &mut self,
        ctx: &mut Context<'_>,
        path: Path,
        header: Header,
        answer: AuthAnswer,
        outcome: Outcome,
    ) {
        match outcome {
            Outcome::Verified(proved) => self.auth_checked(ctx, path, header, answer, proved),
            Outcome::Signed(Ok(proofs)) => self.auth_proved(ctx, path, header, answer, proofs),
            Outcome::Given(given) => self.answer_auth(ctx, path, header, answer, Some(given)),
            Outcome::Signed(Err(why)) => {
                self.refuse(ctx, path, &header, notify_type::AUTHENTICATION_FAILED);
                self.refused(ctx, Failure::LocalAuthentication(why));
            }
            Outcome::Initiated(..) | Outcome::Responded(_) | Outcome::Agreed(_) => {}
        }
    }

    /// The responder knows who the initiator is, or that it is not.
    fn auth_checked(
        &mut self,
        ctx: &mut Context<'_>,
        path: Path,
        header: Header,
        mut answer: AuthAnswer,
        proved: Result<Proved, String>,
    ) {
        match proved {
            Ok(proved) => answer.checked = Some(proved.method),
            Err(why) => {
                self.refuse(ctx, path, &header, notify_type::AUTHENTICATION_FAILED);
                let identity = answer.remote.to_string();
                self.refused(ctx, Failure::Authentication { identity, why });
                return;
            }
        }
        if let Some(keys) = answer.keys.take() {
            self.keys.as_mut().expect("invariant: keys since IKE_SA_INIT").ike = keys;
            self.ppk = true;
        }
        let keys = self.ike_keys().clone();
        let identity = self.connection.local_identity.to_payload();
        let octets = self.signed_octets(Role::Responder, &keys, &identity, header.message_id);
        let connection = self.connection.clone();
        self.opening().authorities = Payloads(&answer.payloads).authorities();
        match proof::prove(&connection, keys.suite().prf(), self.opening(), vec![octets]) {
            Ok(Claim::Ready(proofs)) => self.auth_proved(ctx, path, header, answer, proofs),
            Ok(Claim::Later(work)) => {
                let what = responses::What::Auth(Box::new(answer));
                self.answer_later(ctx, path, header, what, work);
            }
            Err(why) => {
                self.refuse(ctx, path, &header, notify_type::AUTHENTICATION_FAILED);
                self.refused(ctx, Failure::LocalAuthentication(why));
            }
        }
    }

    /// The responder answers: the IKE SA is up, and the child when it can be.
    fn auth_proved(
        &mut self,
        ctx: &mut Context<'_>,
        path: Path,
        header: Header,
        mut answer: AuthAnswer,
        proofs: Vec<Proof>,
    ) {
        answer.proofs = proofs;
        let asked = Payloads(&answer.payloads);
        let versions = configuration::asked(asked);
        if !self.connection.gives_addresses || versions == RequestAddresses::default() {
            self.answer_auth(ctx, path, header, answer, None);
            return;
        }
        let question = ctx.out.question(self.id);
        ctx.out.event(Event::AddressesWanted(Box::new(AddressesWanted {
            question,
            ike: self.id,
            connection: self.connection.name.clone(),
            identity: answer.remote.to_string(),
            versions,
            initial_contact: asked.has(notify_type::INITIAL_CONTACT),
        })));
        self.answer_on(question, path, header, responses::What::Auth(Box::new(answer)));
    }

    /// The responder's answer; `given` are the addresses that the peer asked for.
    fn answer_auth(
        &mut self,
        ctx: &mut Context<'_>,
        path: Path,
        header: Header,
        answer: AuthAnswer,
        given: Option<Vec<IpAddr>>,
    ) {
        let connection = self.connection.clone();
        let Some(Proof { method, data }) = answer.proofs.into_iter().next() else { return };
        let asked = Payloads(&answer.payloads);
        let mut payloads = vec![Payload::IdResponder(connection.local_identity.to_payload())];
        payloads.extend(proof::certificates(&connection, &self.opening().authorities));
        payloads.push(Payload::Authentication { method, data });
        if self.ppk {
            payloads.push(notify(notify_type::PPK_IDENTITY, []));
        }
        let nonces = self.opening().nonces.clone();
        let mut failure = None;
        let given = match given {
            None => Given::default(),
            Some(addresses) if addresses.is_empty() => {
                payloads.push(notify(notify_type::INTERNAL_ADDRESS_FAILURE, []));
                failure = Some(Failure::NoAddress);
                Given::default()
            }
            Some(addresses) => {
                let given = Given { addresses, dns: connection.dns.clone() };
                payloads.push(given.reply());
                given
            }
        };
        let method = answer.checked.unwrap_or_default();
        self.up(ctx, &answer.remote, &Proved { method }, &given);
        if asked.has(notify_type::INITIAL_CONTACT) {
            ctx.out.effect(Effect::InitialContact(self.id));
        }
        let mut made = None;
        if failure.is_none() && asked.sa().is_some() {
            match self.choose_child(ctx, asked, None, false) {
                Ok(chosen) => {
                    let agreed = chosen.agreed;
                    payloads.push(Payload::SecurityAssociation(vec![chosen.proposal]));
                    payloads.extend(Self::chosen_selectors(&agreed));
                    if let [Some(initiator), Some(responder)] = &nonces {
                        let nonces = Nonces { initiator, responder };
                        let keys = self.ike_keys().child(agreed.choice.suite, &[], nonces);
                        made = Some(self.add_child(ctx, agreed, Role::Responder, keys, true));
                    }
                }
                Err((kind, why)) => {
                    payloads.push(notify(kind, []));
                    failure = Some(why);
                }
            }
        }
        self.answer(ctx, path, &header, payloads);
        if let Some(failure) = failure {
            self.report(ctx, failure);
        }
        if let Some(id) = made {
            self.child_up(ctx, id);
        }
    }

    /// The peer was refused; the answer is kept for a while in case it was lost.
    fn refused(&mut self, ctx: &mut Context<'_>, failure: Failure) {
        self.report(ctx, failure);
        self.phase = Phase::Refused;
    }
}
