//! One IKE SA: its state, and what comes in.
//!
//! At most one request of ours is on its way, and at most one of the peer's is being answered
//! (RFC 7296 §2.3): a window of 1 both ways. Both may wait for a job.

mod authenticate;
mod child;
mod child_responder;
mod close;
mod configuration;
mod init;
mod intermediate;
mod nat;
mod payloads;
mod proof;
mod protect;
mod reassembly;
mod rekey;
mod requests;
mod responses;
mod tasks;
mod timers;

use std::{collections::VecDeque, net::IpAddr, sync::Arc};

use rand_core::CryptoRng;
use wire::Time;
use zeroize::Zeroizing;

pub(crate) use child::Child;
pub(crate) use init::InitQuestion;
pub(crate) use nat::Nat;
pub(crate) use proof::{Proved, Signing, Verification};
pub use tasks::Task;
pub use timers::Why;

use crate::{
    ChildId, Connection, DownReason, Event, Failure, IkeId, IkeView, Path, Settings, Traffic, auth,
    crypto::{IkeKeys, Nonce, Opener, Role, Sealer, Spis, wireshark_row},
    endpoint::{Effect, Output},
    job::{JobId, Outcome},
    message::{ExchangeType, Header, Payload, Proposal},
};

/// What an IKE SA is handled with.
pub(crate) struct Context<'a> {
    pub(crate) now: Time,
    pub(crate) rng: &'a mut (dyn CryptoRng + Send),
    pub(crate) settings: &'a Settings,
    pub(crate) connections: &'a [Arc<Connection>],
    pub(crate) out: &'a mut Output,
}

impl Context<'_> {
    /// Unix time in seconds.
    fn unix_time(&self) -> u64 {
        self.settings.unix_time_at_zero + self.now.since(Time::ZERO).as_secs()
    }
}

/// How far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// From IKE_SA_INIT to IKE_AUTH.
    Opening,
    /// Authenticated.
    Up,
    /// Its children are another's; waits for its deletion.
    Replaced,
    /// We have asked for its deletion, or will as soon as the window allows.
    Closing(DownReason),
    /// The peer was refused; the answer is kept in case it was lost.
    Refused,
    /// To be forgotten.
    Gone,
}

/// What is only needed until it is authenticated.
pub(crate) struct Opening {
    /// Ours and the peer's; the latter once it has answered or asked.
    pub(crate) nonces: [Option<Nonce>; 2],
    /// IKE_SA_INIT as it went over the wire: request and response, for AUTH.
    pub(crate) init: [Vec<u8>; 2],
    /// What AUTH covers of IKE_INTERMEDIATE.
    pub(crate) intermediate: auth::Intermediate,
    /// Key exchanges that are still to come.
    pub(crate) additional: VecDeque<crate::algorithm::KeyExchangeMethod>,
    /// Whether both know how to use a PPK.
    pub(crate) use_ppk: bool,
    /// Hashes the peer takes for signatures (RFC 7427 §4).
    pub(crate) hashes: Option<auth::HashAlgorithms>,
    /// Hashes of the keys of authorities that the peer wants a certificate of (RFC 7296 §3.7).
    pub(crate) authorities: Vec<[u8; 20]>,
    /// What we expect the first child by, while it is asked for.
    pub(crate) child_spi: Option<u32>,
    /// What we chose in IKE_SA_INIT.
    pub(crate) chosen: Option<Proposal>,
}

/// An IKE SA.
pub(crate) struct IkeSa {
    pub(crate) id: IkeId,
    pub(crate) connection: Arc<Connection>,
    /// Whether we sent the first message of it.
    pub(crate) role: Role,
    pub(crate) local_spi: u64,
    pub(crate) remote_spi: u64,
    pub(crate) path: Path,
    pub(crate) nat: Nat,
    pub(crate) phase: Phase,
    pub(crate) opening: Option<Box<Opening>>,
    keys: Option<Keys>,
    /// Whether both fragment messages.
    fragmentation: bool,
    /// Told to the owner.
    announced: bool,
    /// What the peer proved to be; empty until then.
    pub(crate) remote_identity: Arc<str>,
    /// Algorithms, as an offer is written.
    pub(crate) algorithms: Arc<str>,
    pub(crate) ppk: bool,
    /// Addresses of configuration payloads: ours, or those given to the peer.
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) children: Vec<Child>,
    tasks: VecDeque<tasks::Queued>,
    ours: Option<requests::Initiated>,
    next_request: u32,
    theirs: responses::Responder,
    /// Fragments of a message from the peer, of a request and of a response.
    assembly: [Option<Box<reassembly::Assembly>>; 2],
    times: timers::Times,
    /// The IKE SA that took its place, or may do so.
    pub(crate) successor: Option<IkeId>,
    /// The IKE SA whose place it may take, while that is open.
    pub(crate) predecessor: Option<IkeId>,
}

/// An authentic message.
pub(crate) struct Received {
    path: Path,
    header: Header,
    opened: protect::Opened,
}

impl Received {
    pub(crate) fn payloads(&self) -> &[Payload] {
        &self.opened.payloads
    }
}

struct Keys {
    ike: IkeKeys,
    sealer: Sealer,
    opener: Opener,
    /// Of the keys before, until the next request: IKE_INTERMEDIATE changes them.
    before: Option<Box<Opener>>,
}

/// Why a datagram was not taken, in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ignored {
    /// It is no IKE message.
    #[error("{0}")]
    Malformed(#[from] crate::DecodeError),
    /// It is of IKE version 1, which is not spoken.
    #[error("IKEv1 is not spoken; the peer has to be configured for IKEv2")]
    IkeV1,
    /// It is ESP, a keepalive or too short, on the port of NAT traversal.
    #[error("no IKE message on the port of NAT traversal")]
    NotIke,
    /// No IKE SA has its SPI.
    #[error("no IKE SA has the SPI")]
    UnknownSpi,
    /// Its number is not the one that comes next.
    #[error("the message ID is outside of the window")]
    MessageId,
    /// Its exchange does not fit where the IKE SA is.
    #[error("the exchange does not fit the state of the IKE SA")]
    Unexpected,
    /// It is not from the peer, or was changed on the way.
    #[error("{0}")]
    Protection(#[from] crate::crypto::OpenError),
    /// It should be encrypted and is not, or the other way round.
    #[error("the message is not protected as it has to be")]
    NotProtected,
    /// The request is being answered.
    #[error("the request is being answered")]
    InProgress,
    /// No connection is for this pair of addresses.
    #[error("no connection is for this pair of addresses")]
    NoConnection,
    /// There are too many IKE SAs that are not authenticated.
    #[error("too many IKE SAs are not authenticated yet")]
    HalfOpen,
    /// A first message is longer than what is kept of strangers.
    #[error("a first message is longer than 8192 bytes")]
    TooLong,
    /// A fragment does not fit the others, or makes the message too long.
    #[error("a fragment does not fit the others, or makes the message too long")]
    Fragment,
}

impl IkeSa {
    /// A new one, in IKE_SA_INIT.
    pub(crate) fn new(
        ctx: &mut Context<'_>,
        connection: Arc<Connection>,
        role: Role,
        path: Path,
        remote_spi: u64,
    ) -> Self {
        let (id, local_spi) = (ctx.out.ike_id(), ctx.out.ike_spi(ctx.rng));
        let times = timers::Times::new(ctx, &connection);
        Self {
            id,
            role,
            local_spi,
            remote_spi,
            path,
            nat: Nat::default(),
            phase: Phase::Opening,
            opening: Some(Box::new(Opening {
                nonces: [None, None],
                init: [Vec::new(), Vec::new()],
                intermediate: auth::Intermediate::default(),
                additional: VecDeque::new(),
                use_ppk: false,
                hashes: None,
                authorities: Vec::new(),
                child_spi: None,
                chosen: None,
            })),
            keys: None,
            fragmentation: false,
            announced: false,
            remote_identity: Arc::default(),
            algorithms: Arc::default(),
            ppk: false,
            addresses: Vec::new(),
            children: Vec::new(),
            tasks: VecDeque::new(),
            ours: None,
            next_request: 0,
            theirs: responses::Responder::default(),
            assembly: Default::default(),
            times,
            successor: None,
            predecessor: None,
            connection,
        }
    }

    /// SPIs in the order of the header.
    pub(crate) fn spis(&self) -> Spis {
        let (initiator, responder) = match self.role {
            Role::Initiator => (self.local_spi, self.remote_spi),
            Role::Responder => (self.remote_spi, self.local_spi),
        };
        Spis { initiator, responder }
    }

    /// The header of a message of ours.
    fn header(&self, exchange: ExchangeType, is_response: bool, message_id: u32) -> Header {
        let spis = self.spis();
        Header {
            initiator_spi: spis.initiator,
            responder_spi: spis.responder,
            exchange,
            from_initiator: self.role == Role::Initiator,
            is_response,
            message_id,
        }
    }

    fn set_keys(&mut self, ike: IkeKeys) {
        let (sealer, opener) = (ike.sealer(self.role), ike.opener(self.role.other()));
        self.keys = Some(Keys { ike, sealer, opener, before: None });
    }

    fn ike_keys(&self) -> &IkeKeys {
        &self.keys.as_ref().expect("invariant: there are keys after IKE_SA_INIT").ike
    }

    pub(crate) fn wireshark_row(&self) -> Option<Zeroizing<String>> {
        wireshark_row(&self.keys.as_ref()?.ike, self.spis())
    }

    fn opening(&mut self) -> &mut Opening {
        self.opening.as_mut().expect("invariant: it is there while the phase is opening")
    }

    /// A datagram with our SPI, decoded as far as it is in clear: checked and decrypted. What there is
    /// to do about it is done by [`Self::process`].
    pub(crate) fn receive(
        &mut self,
        ctx: &mut Context<'_>,
        path: Path,
        bytes: &[u8],
        header: Header,
        payloads: Vec<Payload>,
    ) -> Result<Option<Received>, Ignored> {
        if header.from_initiator == (self.role == Role::Initiator) || self.phase == Phase::Gone {
            return Err(Ignored::Unexpected);
        }
        if header.exchange == ExchangeType::IkeSaInit {
            if self.role == Role::Responder || !header.is_response {
                return Err(Ignored::Unexpected);
            }
            self.check_response(&header)?;
            self.trace(ctx, false, path, &header, &payloads);
            self.init_response(ctx, bytes, header, payloads)?;
            return Ok(None);
        }
        if self.phase == Phase::Opening && self.role == Role::Initiator && !header.is_response {
            // the answer by which we know who the peer is may have been overtaken
            return Err(Ignored::Unexpected);
        }
        if header.is_response {
            self.check_response(&header)?;
        } else if self.check_request(&header)? {
            if self.asks_again(bytes, &payloads)? {
                self.answer_again(ctx, path);
            }
            return Ok(None);
        }
        if self.phase == Phase::Refused {
            return Err(Ignored::Unexpected);
        }
        let opened = self.open(ctx, path, bytes, &header, payloads)?;
        self.times.seen(ctx.now);
        Ok(opened.map(|opened| Received { path, header, opened }))
    }

    /// Does what an authentic message asks for, or goes on with its answer.
    pub(crate) fn process(
        &mut self,
        ctx: &mut Context<'_>,
        received: Received,
    ) -> Result<(), Ignored> {
        let Received { path, header, opened } = received;
        if header.is_response {
            self.handle_response(ctx, path, header, opened)
        } else {
            self.handle_request(ctx, path, header, opened)
        }
    }

    /// What a job of ours gave.
    pub(crate) fn handle_done(&mut self, ctx: &mut Context<'_>, job: JobId, outcome: Outcome) {
        if self.theirs.job() == Some(job) {
            self.response_job(ctx, outcome);
        } else if self.ours.as_ref().and_then(requests::Initiated::job) == Some(job) {
            self.request_job(ctx, outcome);
        }
        self.start_tasks(ctx);
    }

    /// The owner gives addresses; whether anybody waited for them.
    pub(crate) fn give_addresses(
        &mut self,
        ctx: &mut Context<'_>,
        question: JobId,
        given: Vec<IpAddr>,
    ) -> bool {
        let waits = self.theirs.job() == Some(question);
        self.handle_done(ctx, question, Outcome::Given(given));
        waits
    }

    /// Ends it because it could not be opened; a failure is told.
    fn fail(&mut self, ctx: &mut Context<'_>, failure: Failure) {
        self.report(ctx, failure);
        self.end(ctx, DownReason::Protocol(String::new()));
    }

    /// Tells a failure of something under it.
    fn report(&self, ctx: &mut Context<'_>, failure: Failure) {
        ctx.out.event(Event::Failed {
            ike: Some(self.id),
            connection: Some(self.connection.name.clone()),
            path: self.path,
            failure,
        });
    }

    /// Forgets it and its children, at once and without a word to the peer.
    pub(crate) fn end(&mut self, ctx: &mut Context<'_>, reason: DownReason) {
        if self.phase == Phase::Gone {
            return;
        }
        if self.phase == Phase::Up && self.successor.is_some() {
            // both ends were replacing it: its children are not to go with it
            self.yield_to_successor(ctx);
            self.abandon(ctx);
            ctx.out.effect(Effect::End(self.id, reason));
            return;
        }
        // another has its children already, so that whatever ends it now matters to nobody
        let reason = match std::mem::replace(&mut self.phase, Phase::Gone) {
            Phase::Replaced => DownReason::Replaced,
            Phase::Closing(why @ (DownReason::Replaced | DownReason::Redundant)) => why,
            Phase::Opening | Phase::Up | Phase::Closing(_) | Phase::Refused | Phase::Gone => reason,
        };
        let why = match reason {
            DownReason::Deleted
            | DownReason::PeerDeleted
            | DownReason::PeerDead
            | DownReason::InitialContact
            | DownReason::Unconfigured => reason.clone(),
            _ => DownReason::IkeDown,
        };
        for child in std::mem::take(&mut self.children) {
            child.gone(ctx, why.clone());
        }
        self.abandon(ctx);
        std::mem::take(&mut self.theirs).abandon(ctx);
        self.forget_opening(ctx);
        if self.announced {
            ctx.out.absent(&self.connection.name);
            let (ike, connection) = (self.id, self.connection.name.clone());
            ctx.out.event(Event::IkeDown { ike, connection, reason });
        }
    }

    /// The data path tells of a child.
    pub(crate) fn traffic(&mut self, ctx: &mut Context<'_>, id: ChildId, traffic: Traffic) {
        let Some(child) = self.child_mut(id) else { return };
        if let Some(at) = traffic.last_inbound {
            child.last_use = child.last_use.max(at);
            // the peer uses the new one, so it has it
            let old = self.children.iter().find(|old| old.replaced_by == Some(id));
            if let Some(old) = old.map(Child::id) {
                self.hand_over(ctx, old, id);
            }
        }
        let Some(child) = self.child(id).filter(|child| !child.closing) else { return };
        if traffic.hard_expired {
            self.queue(ctx, Task::DeleteChildren(vec![id]));
        } else if traffic.soft_expired && child.may_be_rekeyed() && !self.will_rekey_child(id) {
            self.queue(ctx, Task::RekeyChild(id));
        }
        self.start_tasks(ctx);
    }

    /// Whether a peer began it and has not proved who it is.
    pub(crate) fn is_half_open(&self) -> bool {
        self.role == Role::Responder && matches!(self.phase, Phase::Opening | Phase::Refused)
    }

    pub(crate) fn view(&self) -> IkeView {
        IkeView {
            ike: self.id,
            connection: self.connection.name.clone(),
            initiator: self.role == Role::Initiator,
            state: match self.phase {
                Phase::Opening => "opening",
                Phase::Up => "up",
                Phase::Replaced => "replaced",
                Phase::Closing(_) | Phase::Gone => "closing",
                Phase::Refused => "refused",
            },
            spis: [self.local_spi, self.remote_spi],
            path: self.path,
            remote_identity: self.remote_identity.clone(),
            algorithms: self.algorithms.clone(),
            children: self.children.iter().map(Child::id).collect(),
            addresses: self.addresses.clone(),
        }
    }

    /// The child with this number.
    fn child(&self, id: ChildId) -> Option<&Child> {
        self.children.iter().find(|child| child.id() == id)
    }

    fn child_mut(&mut self, id: ChildId) -> Option<&mut Child> {
        self.children.iter_mut().find(|child| child.id() == id)
    }
}
