//! The peer's requests: answered once, and the answer kept (RFC 7296 §2.1, §2.2).

use super::{
    Context, Ignored, IkeSa, Phase, authenticate, child_responder, init,
    payloads::{Payloads, notify},
    protect::Opened,
    rekey,
};
use crate::{
    Path,
    crypto::Role,
    job::{JobId, Outcome, Work},
    message::{ExchangeType, Header, Payload, notify_type},
};

/// Where we are with the peer's requests.
#[derive(Default)]
pub(super) struct Responder {
    /// The number of the next one.
    pub(super) next: u32,
    /// The answer to the one before, as it was sent.
    last: Vec<Vec<u8>>,
    pending: Option<Box<Pending>>,
}

/// A request that waits for a job.
pub(super) struct Pending {
    job: JobId,
    path: Path,
    header: Header,
    what: What,
}

pub(super) enum What {
    Init(init::InitAnswer),
    Intermediate(Opened),
    Auth(Box<authenticate::AuthAnswer>),
    Child(Box<child_responder::ChildAnswer>),
    RekeyIke(Box<rekey::RekeyAnswer>),
}

impl Responder {
    pub(super) fn job(&self) -> Option<JobId> {
        self.pending.as_ref().map(|pending| pending.job)
    }

    /// Nothing comes of what is being answered.
    pub(super) fn abandon(self, ctx: &mut Context<'_>) {
        if let Some(Pending { what: What::Child(answer), .. }) = self.pending.as_deref() {
            ctx.out.forget_spi(answer.inbound_spi());
        }
    }

    /// Whether a child is being made for the peer.
    pub(super) fn makes_child(&self) -> bool {
        matches!(&self.pending, Some(pending) if matches!(pending.what, What::Child(_)))
    }
}

impl IkeSa {
    /// Whether a request is the next one; `Ok(true)` when it is the one before, seen again.
    pub(super) fn check_request(&self, header: &Header) -> Result<bool, Ignored> {
        if header.message_id == self.theirs.next {
            return if self.theirs.pending.is_some() {
                Err(Ignored::InProgress)
            } else {
                Ok(false)
            };
        }
        if header.message_id.checked_add(1) == Some(self.theirs.next) {
            return Ok(true);
        }
        Err(Ignored::MessageId)
    }

    /// Sends the last answer again.
    pub(super) fn answer_again(&mut self, ctx: &mut Context<'_>, path: Path) {
        let last = std::mem::take(&mut self.theirs.last);
        self.transmit(ctx, path, &last);
        self.theirs.last = last;
    }

    /// An authentic request, with the next number.
    pub(super) fn handle_request(
        &mut self,
        ctx: &mut Context<'_>,
        path: Path,
        header: Header,
        opened: Opened,
    ) -> Result<(), Ignored> {
        self.moved(ctx, path);
        let payloads = Payloads(&opened.payloads);
        let opening = self.phase == Phase::Opening;
        match header.exchange {
            ExchangeType::IkeIntermediate if opening && self.role == Role::Responder => {
                self.intermediate_request(ctx, path, header, opened);
            }
            ExchangeType::IkeAuth if opening && self.role == Role::Responder => {
                self.auth_request(ctx, path, header, payloads);
            }
            ExchangeType::CreateChildSa if !opening => {
                if payloads.key_exchange().is_some() && payloads.selectors_initiator().is_none() {
                    self.rekey_request(ctx, path, header, payloads);
                } else {
                    self.child_request(ctx, path, header, payloads);
                }
            }
            ExchangeType::Informational if !opening => {
                self.informational_request(ctx, path, header, payloads);
            }
            ExchangeType::IkeIntermediate
            | ExchangeType::IkeAuth
            | ExchangeType::CreateChildSa
            | ExchangeType::Informational
            | ExchangeType::IkeSaInit
            | ExchangeType::Other(_) => {
                self.refuse(ctx, path, &header, notify_type::INVALID_SYNTAX);
                if opening {
                    self.broken(ctx, format!("{} comes too early", header.exchange));
                }
            }
        }
        self.start_tasks(ctx);
        Ok(())
    }

    /// Hands out a job; the answer follows when it is done.
    pub(super) fn answer_later(
        &mut self,
        ctx: &mut Context<'_>,
        path: Path,
        header: Header,
        what: What,
        work: Work,
    ) {
        let job = ctx.out.job(self.id, work);
        self.answer_on(job, path, header, what);
    }

    /// The answer follows when that job is done, or that question answered.
    pub(super) fn answer_on(&mut self, job: JobId, path: Path, header: Header, what: What) {
        self.theirs.pending = Some(Box::new(Pending { job, path, header, what }));
    }

    /// Sends the answer and keeps it.
    pub(super) fn answer(
        &mut self,
        ctx: &mut Context<'_>,
        path: Path,
        header: &Header,
        payloads: Vec<Payload>,
    ) {
        let reply = self.header(header.exchange, true, header.message_id);
        let datagrams = self.seal(ctx, path, &reply, &payloads);
        self.answer_with(ctx, path, datagrams);
    }

    pub(super) fn answer_with(
        &mut self,
        ctx: &mut Context<'_>,
        path: Path,
        datagrams: Vec<Vec<u8>>,
    ) {
        self.theirs.pending = None;
        self.theirs.next += 1;
        self.transmit(ctx, path, &datagrams);
        self.theirs.last = datagrams;
    }

    /// Answers with an error.
    pub(super) fn refuse(&mut self, ctx: &mut Context<'_>, path: Path, header: &Header, kind: u16) {
        self.answer(ctx, path, header, vec![notify(kind, [])]);
    }

    /// What an answer waited for.
    pub(super) fn response_job(&mut self, ctx: &mut Context<'_>, outcome: Outcome) {
        let Some(pending) = self.theirs.pending.take() else { return };
        let Pending { path, header, what, .. } = *pending;
        match (what, outcome) {
            (What::Init(answer), Outcome::Responded(done)) => {
                self.init_answer(ctx, path, answer, done);
            }
            (What::Intermediate(request), Outcome::Responded(done)) => {
                self.intermediate_answer(ctx, path, header, request, done);
            }
            (What::Child(answer), Outcome::Responded(done)) => {
                self.child_answer(ctx, path, header, *answer, Some(done));
            }
            (What::RekeyIke(answer), Outcome::Responded(done)) => {
                self.rekey_answer(ctx, path, header, *answer, done);
            }
            (What::Auth(answer), outcome) => {
                self.auth_answer_job(ctx, path, header, *answer, outcome)
            }
            (What::Init(_) | What::Intermediate(_) | What::Child(_) | What::RekeyIke(_), _) => {}
        }
    }
}
