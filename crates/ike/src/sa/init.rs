//! IKE_SA_INIT (RFC 7296 §1.2), both roles. Nothing in it is authenticated yet.

use std::sync::Arc;

use super::{
    Context, Ignored, IkeSa, Nat, nat,
    payloads::{Payloads, notify},
    proof,
    requests::{Initiated, Step, What},
    responses,
};
use crate::{
    Connection, DownReason, Failure, Path,
    algorithm::KeyExchangeMethod,
    auth::HashAlgorithms,
    crypto::{Draw, ExchangeError, IkeKeys, Nonce, Nonces, PrivateValue, Role, SharedSecret},
    job::Work,
    message::{ExchangeType, Header, KeyExchange, Message, Notify, Payload, Proposal, notify_type},
    proposal::{IkeChoice, choose_ike},
};

/// How often we begin again because the peer wants a cookie or another key exchange.
const MAX_RESTARTS: u32 = 4;

/// What the initiator keeps.
pub(super) struct InitRequest {
    method: KeyExchangeMethod,
    public: Vec<u8>,
    private: Option<PrivateValue>,
    cookie: Option<Vec<u8>>,
    restarts: u32,
    choice: Option<IkeChoice>,
}

/// What the responder answers with once its job is done.
pub(super) struct InitAnswer {
    pub(super) choice: IkeChoice,
    pub(super) chosen: Proposal,
    pub(super) use_ppk: bool,
    pub(super) intermediate: bool,
}

/// What a peer asks for in its first message.
pub(crate) struct InitQuestion<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) header: Header,
    pub(crate) payloads: &'a [Payload],
}

impl IkeSa {
    /// Begins an IKE SA as the initiator.
    pub(crate) fn initiate(ctx: &mut Context<'_>, connection: Arc<Connection>, path: Path) -> Self {
        let mut sa = Self::new(ctx, connection, Role::Initiator, path, 0);
        let method = sa.connection.offers.iter().flat_map(|o| o.key_exchanges()).next();
        let Some(method) = method else {
            sa.fail(ctx, Failure::ProposalRefused(Vec::new()));
            return sa;
        };
        sa.opening().nonces[0] = Some(Nonce::draw(ctx.rng));
        sa.prepare_init(ctx, method, None, 0);
        sa
    }

    fn prepare_init(
        &mut self,
        ctx: &mut Context<'_>,
        method: KeyExchangeMethod,
        cookie: Option<Vec<u8>>,
        restarts: u32,
    ) {
        let request = InitRequest {
            method,
            public: Vec::new(),
            private: None,
            cookie,
            restarts,
            choice: None,
        };
        let work = Work::Initiate(Draw::new(method, ctx.rng));
        self.prepare(ctx, What::Init(Box::new(request)), work);
    }

    pub(super) fn send_init(
        &mut self,
        ctx: &mut Context<'_>,
        mut request: InitRequest,
        private: PrivateValue,
        public: Vec<u8>,
    ) {
        (request.private, request.public) = (Some(private), public);
        self.send_init_again(ctx, request);
    }

    fn send_init_again(&mut self, ctx: &mut Context<'_>, request: InitRequest) {
        let connection = self.connection.clone();
        let mut payloads = Vec::new();
        if let Some(cookie) = &request.cookie {
            payloads.push(notify(notify_type::COOKIE, cookie.clone()));
        }
        let nonce = self.opening().nonces[0].as_ref().expect("invariant: drawn at the begin");
        let nonce = nonce.as_bytes().to_vec();
        payloads.push(Payload::SecurityAssociation(offers(&connection)));
        payloads.push(Payload::KeyExchange(KeyExchange {
            method: request.method.id(),
            data: request.public.clone(),
        }));
        payloads.push(Payload::Nonce(nonce));
        payloads.extend(nat::detection(self.spis(), self.path, connection.force_encapsulation));
        payloads.extend(self.capabilities(
            connection.ppk.is_some(),
            connection.offers.iter().any(|o| o.has_additional()),
        ));
        let header = self.header(ExchangeType::IkeSaInit, false, 0);
        self.trace(ctx, true, self.path, &header, &payloads);
        let bytes = Message { header, payloads }.encode();
        self.opening().init[0] = bytes.clone();
        self.send_request(ctx, What::Init(Box::new(request)), &header, vec![bytes]);
    }

    /// What else we can do, as both roles say it.
    fn capabilities(&self, use_ppk: bool, intermediate: bool) -> Vec<Payload> {
        let mut payloads = Vec::new();
        if self.connection.fragmentation {
            payloads.push(notify(notify_type::IKEV2_FRAGMENTATION_SUPPORTED, []));
        }

        let hashes = HashAlgorithms::notification();
        payloads.push(notify(notify_type::SIGNATURE_HASH_ALGORITHMS, hashes));
        if use_ppk {
            payloads.push(notify(notify_type::USE_PPK, []));
        }
        if intermediate {
            payloads.push(notify(notify_type::INTERMEDIATE_EXCHANGE_SUPPORTED, []));
        }
        payloads
    }

    /// The responder's answer, which anybody may have sent who saw our message.
    pub(super) fn init_response(
        &mut self,
        ctx: &mut Context<'_>,
        bytes: &[u8],
        header: Header,
        payloads: Vec<Payload>,
    ) -> Result<(), Ignored> {
        self.check_response(&header)?;
        let payloads = Payloads(&payloads);
        let Some(Initiated { what: What::Init(mut request), step: Step::Sent(sent) }) =
            self.ours.take()
        else {
            return Err(Ignored::Unexpected);
        };
        self.answered(ctx, &sent);
        let restarts = request.restarts + 1;
        if restarts <= MAX_RESTARTS
            && let Some(cookie) = payloads.notify(notify_type::COOKIE)
            && (1..=64).contains(&cookie.data.len())
        {
            request.cookie = Some(cookie.data.clone());
            request.restarts = restarts;
            self.send_init_again(ctx, *request);
            return Ok(());
        }
        if let Some(wanted) = payloads.wanted_method() {
            let method = KeyExchangeMethod::from_id(wanted).filter(|wanted| {
                let mut ours = self.connection.offers.iter().flat_map(|o| o.key_exchanges());
                ours.any(|method| method == *wanted) && *wanted != request.method
            });
            match method {
                Some(method) if restarts <= MAX_RESTARTS => {
                    self.prepare_init(ctx, method, request.cookie, restarts);
                }
                _ => self.fail(ctx, Failure::KeyExchangeMethod(wanted)),
            }
            return Ok(());
        }
        match payloads.error() {
            Some(notify_type::NO_PROPOSAL_CHOSEN) => {
                self.fail(ctx, Failure::ProposalRefused(offers(&self.connection)));
                return Ok(());
            }
            Some(error) => {
                self.fail(ctx, Failure::Peer(error));
                return Ok(());
            }
            None => {}
        }
        let (Some(sa), Some(ke), Some(nonce)) =
            (payloads.sa(), payloads.key_exchange(), payloads.nonce())
        else {
            // not an answer; the real one may still come
            self.ours = Some(Initiated { what: What::Init(request), step: Step::Sent(sent) });
            return Err(Ignored::Unexpected);
        };
        let Some(choice) = IkeChoice::from_answer(&offers(&self.connection), sa) else {
            self.fail(ctx, Failure::NotOffered { chosen: sa.clone() });
            return Ok(());
        };
        let nonce =
            Nonce::from_peer(nonce).and_then(|n| n.check_for(choice.suite.prf()).map(|()| n));
        let nonce = match nonce {
            Ok(nonce) => nonce,
            Err(error) => {
                self.fail(ctx, Failure::Protocol(error.to_string()));
                return Ok(());
            }
        };
        if ke.method != request.method.id() || choice.key_exchange != request.method {
            self.fail(ctx, Failure::KeyExchangeMethod(ke.method));
            return Ok(());
        }
        let intermediate = payloads.has(notify_type::INTERMEDIATE_EXCHANGE_SUPPORTED);
        if header.responder_spi == 0 || (!choice.additional.is_empty() && !intermediate) {
            self.fail(ctx, Failure::Protocol("the answer does not fit together".to_owned()));
            return Ok(());
        }
        self.remote_spi = header.responder_spi;
        self.next_request = 1;
        self.detect(payloads, self.spis(), self.path);
        self.float(ctx.settings);
        self.learn(payloads, &choice);
        let connection = self.connection.clone();
        let opening = self.opening();
        opening.nonces[1] = Some(nonce);
        opening.init[1] = bytes.to_vec();
        opening.use_ppk = connection.ppk.is_some() && payloads.has(notify_type::USE_PPK);
        if !opening.use_ppk && connection.ppk.as_ref().is_some_and(|ppk| ppk.required) {
            self.fail(ctx, Failure::Ppk("the peer knows none"));
            return Ok(());
        }
        request.choice = Some(choice);
        let private = request.private.take().expect("invariant: made before it was sent");
        self.finish(ctx, What::Init(request), Work::Agree(private, ke.data.clone()));
        Ok(())
    }

    /// What both roles take from the other's first message.
    fn learn(&mut self, payloads: Payloads<'_>, choice: &IkeChoice) {
        self.fragmentation = self.connection.fragmentation
            && payloads.has(notify_type::IKEV2_FRAGMENTATION_SUPPORTED);
        self.algorithms = choice.to_string().into();
        let opening = self.opening();
        opening.authorities = payloads.authorities();
        opening.additional = choice.additional.iter().copied().collect();
        let hashes = payloads.notify(notify_type::SIGNATURE_HASH_ALGORITHMS);
        opening.hashes = hashes.map(|hashes| HashAlgorithms::from_notification(&hashes.data));
    }

    pub(super) fn init_agreed(
        &mut self,
        ctx: &mut Context<'_>,
        request: InitRequest,
        secret: Result<SharedSecret, ExchangeError>,
    ) {
        match (secret, request.choice) {
            (Ok(secret), Some(choice)) => {
                self.derive(&choice, &secret);
                self.next_opening_step(ctx);
            }
            (Err(error), _) => self.fail(ctx, Failure::KeyExchange(error)),
            (Ok(_), None) => {}
        }
    }

    fn derive(&mut self, choice: &IkeChoice, secret: &SharedSecret) {
        let spis = self.spis();
        let [Some(initiator), Some(responder)] = &self.opening().nonces else {
            unreachable!("invariant: both nonces are there when the secret is")
        };
        let nonces = Nonces { initiator, responder };
        let keys = IkeKeys::initial(choice.suite, secret, nonces, spis);
        self.set_keys(keys);
    }

    /// Answers a first message. The caller has looked at cookies and limits.
    ///
    /// `Err` is an answer in clear that leaves no state behind.
    pub(crate) fn accept(
        ctx: &mut Context<'_>,
        candidates: &[Arc<Connection>],
        path: Path,
        question: &InitQuestion<'_>,
    ) -> Result<Self, Box<(Notify, Failure)>> {
        let payloads = Payloads(question.payloads);
        let malformed = |what: &str| {
            let failure = Failure::Protocol(what.to_owned());
            Box::new((Notify::new(notify_type::INVALID_SYNTAX, []), failure))
        };
        let (Some(sa), Some(ke), Some(nonce)) =
            (payloads.sa(), payloads.key_exchange(), payloads.nonce())
        else {
            return Err(malformed("SA, KE or nonce is missing"));
        };
        let sent = KeyExchangeMethod::from_id(ke.method);
        let intermediate = payloads.has(notify_type::INTERMEDIATE_EXCHANGE_SUPPORTED);
        let mut lost = None;
        let mut found = None;
        for connection in candidates {
            match choose_ike(&connection.offers, sa, sent) {
                Ok(choice) => {
                    found = Some((connection, choice));
                    break;
                }
                Err(no) => lost = lost.or(Some(no)),
            }
        }
        let Some((connection, (choice, chosen))) = found else {
            let no = lost.expect("invariant: there is a candidate");
            let notify = Notify::new(notify_type::NO_PROPOSAL_CHOSEN, []);
            return Err(Box::new((notify, Failure::NoProposal(no))));
        };
        if sent != Some(choice.key_exchange) {
            let wanted = choice.key_exchange.id().to_be_bytes();
            let failure = Failure::KeyExchangeMethod(ke.method);
            let notify = Notify::new(notify_type::INVALID_KE_PAYLOAD, wanted);
            return Err(Box::new((notify, failure)));
        }
        if !choice.additional.is_empty() && !intermediate {
            return Err(malformed("additional key exchanges without IKE_INTERMEDIATE"));
        }
        let nonce = Nonce::from_peer(nonce)
            .and_then(|n| n.check_for(choice.suite.prf()).map(|()| n))
            .map_err(|error| malformed(&error.to_string()))?;
        let remote_spi = question.header.initiator_spi;
        let mut sa = Self::new(ctx, connection.clone(), Role::Responder, path, remote_spi);
        let mut spis = sa.spis();
        spis.responder = 0;
        sa.nat = Nat::default();
        sa.detect(payloads, spis, path);
        sa.learn(payloads, &choice);
        let use_ppk = payloads.has(notify_type::USE_PPK)
            && candidates.iter().any(|connection| connection.ppk.is_some());
        let opening = sa.opening();
        opening.nonces = [Some(nonce), Some(Nonce::draw(ctx.rng))];
        opening.init[0] = question.bytes.to_vec();
        opening.use_ppk = use_ppk;
        opening.chosen = Some(chosen.clone());
        sa.trace(ctx, false, path, &question.header, question.payloads);
        let work = Work::Respond(Draw::new(choice.key_exchange, ctx.rng), ke.data.clone());
        let answer = InitAnswer { choice, chosen, use_ppk, intermediate };
        sa.answer_later(ctx, path, question.header, responses::What::Init(answer), work);
        Ok(sa)
    }

    pub(super) fn init_answer(
        &mut self,
        ctx: &mut Context<'_>,
        path: Path,
        answer: InitAnswer,
        done: Result<(Vec<u8>, SharedSecret), ExchangeError>,
    ) {
        let (public, secret) = match done {
            Ok(done) => done,
            Err(error) => {
                self.fail(ctx, Failure::KeyExchange(error));
                return;
            }
        };
        let nonce = self.opening().nonces[1].as_ref().expect("invariant: drawn before");
        let nonce = nonce.as_bytes().to_vec();
        let mut payloads = vec![
            Payload::SecurityAssociation(vec![answer.chosen]),
            Payload::KeyExchange(KeyExchange {
                method: answer.choice.key_exchange.id(),
                data: public,
            }),
            Payload::Nonce(nonce),
        ];
        let force = self.connection.force_encapsulation;
        payloads.extend(nat::detection(self.spis(), path, force));
        payloads.extend(self.capabilities(answer.use_ppk, answer.intermediate));
        payloads.extend(proof::certificate_request(&self.connection));
        let header = self.header(ExchangeType::IkeSaInit, true, 0);
        self.trace(ctx, true, path, &header, &payloads);
        let bytes = Message { header, payloads }.encode();
        self.opening().init[1] = bytes.clone();
        self.derive(&answer.choice, &secret);
        self.answer_with(ctx, path, vec![bytes]);
    }

    /// The first message, seen again: it is answered again.
    pub(crate) fn init_again(
        &mut self,
        ctx: &mut Context<'_>,
        path: Path,
        bytes: &[u8],
    ) -> Result<(), Ignored> {
        match &self.opening {
            Some(opening) if opening.init[0] == bytes => {}
            _ => return Err(Ignored::Unexpected),
        }
        if self.theirs.job().is_some() {
            return Err(Ignored::InProgress);
        }
        if self.theirs.next != 1 {
            return Err(Ignored::MessageId);
        }
        self.answer_again(ctx, path);
        Ok(())
    }

    /// Something that only a bug or an attack makes.
    pub(super) fn broken(&mut self, ctx: &mut Context<'_>, what: String) {
        if self.opening.is_some() {
            self.fail(ctx, Failure::Protocol(what));
        } else {
            self.end(ctx, DownReason::Protocol(what));
        }
    }
}

fn offers(connection: &Connection) -> Vec<Proposal> {
    (1..).zip(&connection.offers).map(|(number, offer)| offer.proposal(number, &[])).collect()
}
