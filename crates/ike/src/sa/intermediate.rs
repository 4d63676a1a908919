//! IKE_INTERMEDIATE (RFC 9242): additional key exchanges before IKE_AUTH (RFC 9370 §2.2.2).

use super::{
    Context, IkeSa,
    payloads::Payloads,
    protect::{Opened, unprotected_head},
    requests::What,
    responses,
};
use crate::{
    Failure, Path,
    crypto::{Draw, ExchangeError, Nonces, PrivateValue, Role, SharedSecret},
    job::Work,
    message::{
        ExchangeType, Header, KeyExchange, Payload, encode_chain, notify_type, payload_type,
    },
};

/// What the initiator keeps.
pub(super) struct IntermediateRequest {
    private: Option<PrivateValue>,
}

impl IkeSa {
    /// What comes after IKE_SA_INIT or IKE_INTERMEDIATE, for the initiator.
    pub(super) fn next_opening_step(&mut self, ctx: &mut Context<'_>) {
        match self.opening().additional.front().copied() {
            Some(method) => {
                let work = Work::Initiate(Draw::new(method, ctx.rng));
                let request = IntermediateRequest { private: None };
                self.prepare(ctx, What::Intermediate(Box::new(request)), work);
            }
            None => self.begin_auth(ctx),
        }
    }

    pub(super) fn send_intermediate(
        &mut self,
        ctx: &mut Context<'_>,
        private: PrivateValue,
        public: Vec<u8>,
    ) {
        let Some(method) = self.opening().additional.front().copied() else { return };
        let payloads = [Payload::KeyExchange(KeyExchange { method: method.id(), data: public })];
        let header = self.header(ExchangeType::IkeIntermediate, false, self.next_request);
        self.int_auth(Role::Initiator, &header, payload_type::KE, &encode_chain(&payloads));
        let request = IntermediateRequest { private: Some(private) };
        let what = What::Intermediate(Box::new(request));
        self.request(ctx, what, ExchangeType::IkeIntermediate, &payloads);
    }

    pub(super) fn intermediate_response(
        &mut self,
        ctx: &mut Context<'_>,
        mut request: IntermediateRequest,
        header: &Header,
        opened: &Opened,
    ) {
        let payloads = Payloads(&opened.payloads);
        if let Some(error) = payloads.error() {
            self.fail(ctx, Failure::Peer(error));
            return;
        }
        let wanted = self.opening().additional.front().map(|method| method.id());
        let Some(ke) = payloads.key_exchange().filter(|ke| Some(ke.method) == wanted) else {
            self.fail(ctx, Failure::Protocol("IKE_INTERMEDIATE without its KE".to_owned()));
            return;
        };
        self.int_auth(Role::Responder, header, opened.first, &opened.inner);
        let private = request.private.take().expect("invariant: made before it was sent");
        let work = Work::Agree(private, ke.data.clone());
        self.finish(ctx, What::Intermediate(Box::new(request)), work);
    }

    pub(super) fn intermediate_agreed(
        &mut self,
        ctx: &mut Context<'_>,
        _request: IntermediateRequest,
        secret: Result<SharedSecret, ExchangeError>,
    ) {
        match secret {
            Ok(secret) => {
                self.mix(&secret);
                self.next_opening_step(ctx);
            }
            Err(error) => self.fail(ctx, Failure::KeyExchange(error)),
        }
    }

    pub(super) fn intermediate_request(
        &mut self,
        ctx: &mut Context<'_>,
        path: Path,
        header: Header,
        opened: Opened,
    ) {
        let method = self.opening().additional.front().copied();
        let ke = Payloads(&opened.payloads).key_exchange();
        let (Some(method), Some(ke)) = (method, ke) else {
            self.refuse(ctx, path, &header, notify_type::INVALID_SYNTAX);
            self.broken(ctx, "IKE_INTERMEDIATE without a key exchange".to_owned());
            return;
        };
        if ke.method != method.id() {
            self.refuse(ctx, path, &header, notify_type::INVALID_SYNTAX);
            self.broken(ctx, "IKE_INTERMEDIATE with another key exchange".to_owned());
            return;
        }
        let work = Work::Respond(Draw::new(method, ctx.rng), ke.data.clone());
        self.answer_later(ctx, path, header, responses::What::Intermediate(opened), work);
    }

    pub(super) fn intermediate_answer(
        &mut self,
        ctx: &mut Context<'_>,
        path: Path,
        header: Header,
        request: Opened,
        done: Result<(Vec<u8>, SharedSecret), ExchangeError>,
    ) {
        let Some(method) = self.opening().additional.front().copied() else { return };
        match done {
            Ok((public, secret)) => {
                let ke = KeyExchange { method: method.id(), data: public };
                let payloads = vec![Payload::KeyExchange(ke)];
                let reply = self.header(ExchangeType::IkeIntermediate, true, header.message_id);
                self.int_auth(Role::Initiator, &header, request.first, &request.inner);
                let inner = encode_chain(&payloads);
                self.int_auth(Role::Responder, &reply, payload_type::KE, &inner);
                self.answer(ctx, path, &header, payloads);
                self.mix(&secret);
            }
            Err(error) => {
                self.refuse(ctx, path, &header, notify_type::INVALID_SYNTAX);
                self.fail(ctx, Failure::KeyExchange(error));
            }
        }
    }

    /// Adds a message of `role` to its IntAuth, with the keys before this exchange
    /// (RFC 9242 §3.3.2).
    fn int_auth(&mut self, role: Role, header: &Header, first: u8, inner: &[u8]) {
        let keys = self.ike_keys().clone();
        let head = unprotected_head(header, first, inner.len());
        self.opening().intermediate.add(&keys, role, &head, inner);
    }

    /// The keys after one more key exchange.
    fn mix(&mut self, secret: &SharedSecret) {
        let spis = self.spis();
        self.opening().additional.pop_front();
        let [Some(initiator), Some(responder)] = &self.opening().nonces else {
            unreachable!("invariant: both nonces are there since IKE_SA_INIT")
        };
        let nonces = Nonces { initiator: &initiator.clone(), responder: &responder.clone() };
        let keys = self.ike_keys().after_exchange(secret, nonces, spis);
        let before = self.keys.take().map(|keys| Box::new(keys.opener));
        self.set_keys(keys);
        // the request may come again, protected as it was
        self.keys.as_mut().expect("invariant: just set").before = before;
    }
}
