//! Our requests: sent, sent again, answered (RFC 7296 §2.1, §2.2).

use std::time::Duration;

use wire::Time;

use super::{
    Context, Ignored, IkeSa, Phase, authenticate, child, init, intermediate, payloads::Payloads,
    protect::Opened, rekey,
};
use crate::{
    ChildId, DownReason, Event, Failure, Path,
    job::{JobId, Outcome, Work},
    message::{ExchangeType, Header, Payload, notify_type},
};

/// A request sent so often without an answer is told of.
const TOLD_AFTER: u32 = 3;

/// How often the end of an IKE SA is sent: one that is no longer wanted does not stand in the way of
/// the next for long because its peer is gone.
const CLOSING_TRIES: u32 = 2;

/// An exchange that we began.
pub(super) struct Initiated {
    pub(super) what: What,
    pub(super) step: Step,
}

pub(super) enum Step {
    /// Waits for what the request needs.
    Preparing(JobId),
    /// Waits for the answer.
    Sent(Box<Sent>),
    /// Has the answer, and waits for what it means.
    Finishing(JobId),
}

pub(super) struct Sent {
    pub(super) exchange: ExchangeType,
    pub(super) message_id: u32,
    datagrams: Vec<Vec<u8>>,
    tries: u32,
    pub(super) again: Time,
}

/// What it is for.
pub(super) enum What {
    Init(Box<init::InitRequest>),
    Intermediate(Box<intermediate::IntermediateRequest>),
    Auth(Box<authenticate::AuthRequest>),
    Child(Box<child::ChildRequest>),
    RekeyIke(Box<rekey::RekeyRequest>),
    DeleteChildren(Vec<ChildId>),
    DeleteIke,
    /// Is the peer there?
    Check,
}

impl Initiated {
    pub(super) fn job(&self) -> Option<JobId> {
        match self.step {
            Step::Preparing(job) | Step::Finishing(job) => Some(job),
            Step::Sent(_) => None,
        }
    }
}

impl What {
    /// Nothing comes of it.
    fn abandon(&self, ctx: &mut Context<'_>) {
        match self {
            // what an opening IKE SA has reserved it knows itself
            Self::Init(_) | Self::Intermediate(_) | Self::Auth(_) => {}
            Self::Child(request) => ctx.out.forget_spi(request.offer.spi),
            Self::RekeyIke(request) => ctx.out.forget_ike_spi(request.spi),
            Self::DeleteChildren(_) | Self::DeleteIke | Self::Check => {}
        }
    }
}

impl IkeSa {
    /// Our request comes to nothing.
    pub(super) fn abandon(&mut self, ctx: &mut Context<'_>) {
        if let Some(Initiated { what, .. }) = self.ours.take() {
            what.abandon(ctx);
        }
    }

    /// Hands out a job; what it is for goes on when it is done.
    pub(super) fn prepare(&mut self, ctx: &mut Context<'_>, what: What, work: Work) {
        let job = ctx.out.job(self.id, work);
        self.ours = Some(Initiated { what, step: Step::Preparing(job) });
    }

    /// The same after the answer.
    pub(super) fn finish(&mut self, ctx: &mut Context<'_>, what: What, work: Work) {
        let job = ctx.out.job(self.id, work);
        self.ours = Some(Initiated { what, step: Step::Finishing(job) });
    }

    /// Sends a protected request.
    pub(super) fn request(
        &mut self,
        ctx: &mut Context<'_>,
        what: What,
        exchange: ExchangeType,
        payloads: &[Payload],
    ) {
        let header = self.header(exchange, false, self.next_request);
        let datagrams = self.seal(ctx, self.path, &header, payloads);
        self.send_request(ctx, what, &header, datagrams);
    }

    pub(super) fn send_request(
        &mut self,
        ctx: &mut Context<'_>,
        what: What,
        header: &Header,
        datagrams: Vec<Vec<u8>>,
    ) {
        let again = ctx.now + ctx.settings.retransmit_after;
        self.transmit(ctx, self.path, &datagrams);
        self.ours = Some(Initiated {
            what,
            step: Step::Sent(Box::new(Sent {
                exchange: header.exchange,
                message_id: header.message_id,
                datagrams,
                tries: 1,
                again,
            })),
        });
    }

    pub(super) fn transmit(&mut self, ctx: &mut Context<'_>, path: Path, datagrams: &[Vec<u8>]) {
        self.times.sent(ctx.now);
        for bytes in datagrams {
            ctx.out.transmit(ctx.settings, path, bytes);
        }
    }

    /// The request that waits for its answer.
    pub(super) fn sent(&self) -> Option<&Sent> {
        match &self.ours {
            Some(Initiated { step: Step::Sent(sent), .. }) => Some(sent),
            _ => None,
        }
    }

    /// Sends it again, or gives the peer up.
    pub(super) fn retransmit(&mut self, ctx: &mut Context<'_>) {
        let most = match self.phase {
            Phase::Closing(_) => self.connection.transmissions.min(CLOSING_TRIES),
            Phase::Opening | Phase::Up | Phase::Replaced | Phase::Refused | Phase::Gone => {
                self.connection.transmissions
            }
        };
        let Some(Initiated { step: Step::Sent(sent), .. }) = &mut self.ours else { return };
        if sent.tries >= most {
            let failure = Failure::Timeout { exchange: sent.exchange, tries: sent.tries };
            self.give_up(ctx, failure);
            return;
        }
        // twice as long each time (RFC 7296 §2.4), plus up to an eighth so that peers that lost
        // each other do not go on in step
        let wait = ctx.settings.retransmit_after * (1 << sent.tries.min(16));
        let jitter = Duration::from_nanos(ctx.rng.next_u64() % (wait.as_nanos() as u64 / 8 + 1));
        sent.tries += 1;
        sent.again = ctx.now + wait + jitter;
        let (exchange, tries) = (sent.exchange, sent.tries);
        let datagrams = std::mem::take(&mut sent.datagrams);
        self.transmit(ctx, self.path, &datagrams);
        if let Some(Initiated { step: Step::Sent(sent), .. }) = &mut self.ours {
            sent.datagrams = datagrams;
        }
        if tries >= TOLD_AFTER && self.phase != Phase::Replaced {
            ctx.out.event(Event::Unanswered {
                ike: self.id,
                connection: self.connection.name.clone(),
                path: self.path,
                exchange,
                tries,
            });
        }
    }

    /// There is an answer.
    pub(super) fn answered(&self, ctx: &mut Context<'_>, sent: &Sent) {
        if sent.tries >= TOLD_AFTER && self.phase != Phase::Replaced {
            let connection = self.connection.name.clone();
            ctx.out.event(Event::Answered { ike: self.id, connection });
        }
    }

    fn give_up(&mut self, ctx: &mut Context<'_>, failure: Failure) {
        match self.phase.clone() {
            Phase::Opening => self.fail(ctx, failure),
            Phase::Closing(reason) => self.end(ctx, reason),
            Phase::Replaced => self.end(ctx, DownReason::Replaced),
            Phase::Up | Phase::Refused | Phase::Gone => {
                self.report(ctx, failure);
                self.end(ctx, DownReason::PeerDead);
            }
        }
    }

    /// Whether a response answers what we asked.
    pub(super) fn check_response(&self, header: &Header) -> Result<(), Ignored> {
        let sent = self.sent().ok_or(Ignored::MessageId)?;
        if sent.message_id != header.message_id {
            return Err(Ignored::MessageId);
        }
        if sent.exchange != header.exchange {
            return Err(Ignored::Unexpected);
        }
        Ok(())
    }

    /// An authentic answer.
    pub(super) fn handle_response(
        &mut self,
        ctx: &mut Context<'_>,
        path: Path,
        header: Header,
        opened: Opened,
    ) -> Result<(), Ignored> {
        let Some(Initiated { what, step: Step::Sent(sent) }) = self.ours.take() else {
            return Err(Ignored::MessageId);
        };
        self.answered(ctx, &sent);
        self.next_request += 1;
        self.moved(ctx, path);
        let payloads = Payloads(&opened.payloads);
        if payloads.has(notify_type::INVALID_SYNTAX) && self.opening.is_none() {
            what.abandon(ctx);
            self.broken(ctx, "it reports INVALID_SYNTAX".to_owned());
            return Ok(());
        }
        match what {
            What::Init(_) => return Err(Ignored::Unexpected),
            What::Intermediate(request) => {
                self.intermediate_response(ctx, *request, &header, &opened);
            }
            What::Auth(request) => self.auth_response(ctx, *request, payloads),
            What::Child(request) => self.child_response(ctx, *request, payloads),
            What::RekeyIke(request) => self.rekey_response(ctx, *request, payloads),
            What::DeleteChildren(children) => self.children_deleted(ctx, &children),
            What::DeleteIke => self.ike_deleted(ctx),
            What::Check => {}
        }
        self.start_tasks(ctx);
        Ok(())
    }

    /// What a request waited for.
    pub(super) fn request_job(&mut self, ctx: &mut Context<'_>, outcome: Outcome) {
        let Some(Initiated { what, .. }) = self.ours.take() else { return };
        match (what, outcome) {
            (What::Init(request), Outcome::Initiated(private, public)) => {
                self.send_init(ctx, *request, private, public);
            }
            (What::Init(request), Outcome::Agreed(secret)) => {
                self.init_agreed(ctx, *request, secret);
            }
            (What::Intermediate(_), Outcome::Initiated(private, public)) => {
                self.send_intermediate(ctx, private, public);
            }
            (What::Intermediate(request), Outcome::Agreed(secret)) => {
                self.intermediate_agreed(ctx, *request, secret);
            }
            (What::Child(request), Outcome::Initiated(private, public)) => {
                self.send_child(ctx, *request, Some((private, public)));
            }
            (What::Child(request), Outcome::Agreed(secret)) => {
                self.child_agreed(ctx, *request, secret);
            }
            (What::RekeyIke(request), Outcome::Initiated(private, public)) => {
                self.send_rekey(ctx, *request, private, public);
            }
            (What::RekeyIke(request), Outcome::Agreed(secret)) => {
                self.rekey_agreed(ctx, *request, secret);
            }
            (What::Auth(request), outcome) => self.auth_job(ctx, *request, outcome),
            (
                What::Init(_)
                | What::Intermediate(_)
                | What::Child(_)
                | What::RekeyIke(_)
                | What::DeleteChildren(_)
                | What::DeleteIke
                | What::Check,
                _,
            ) => {}
        }
    }
}
