//! Traces: the same record for a simulated, a live and a remembered packet.
//!
//! A traced packet carries a [`Trace`]. Every stage may leave a [`Note`]; the pipeline turns note and
//! verdict into a [`Phase`]. A packet that is not traced pays one branch a stage.

mod live;
mod tracer;

use core::fmt;

use reason::{DropReason, PuntCause, Reason};
use wire::{Time, Tuple};

pub use live::FastHit;
pub use tracer::{Running, Tracer};

use crate::packet::{Tier, Verdict};

/// A step of the packet's day. The order is the order of the day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Served by an engine; no stage of the slow path was entered.
    FastPath,
    /// Interface, addresses, martians.
    Ingress,
    /// Whole packets, transport checksum.
    Reassemble,
    /// End of a tunnel.
    Decap,
    /// Session look-up and state machine.
    Session,
    /// Malformed packets and rate sensors.
    Anomaly,
    /// Reverse-path check.
    Rpf,
    /// Destination translation.
    Dnat,
    /// SD-WAN services.
    Sdwan,
    /// Longest-prefix match.
    Route,
    /// Forward policy, local-in or local-out rules.
    Policy,
    /// Source translation.
    Snat,
    /// The session is written.
    Admit,
    /// Inspection.
    Inspect,
    /// Shaping.
    Shape,
    /// Offload decision.
    Offload,
    /// Delivery to the gateway itself.
    Deliver,
    /// Next-hop resolution.
    Neighbour,
    /// TTL, size, rewrite, tunnels.
    Encap,
    /// Layer 2 and the port.
    Transmit,
}

impl Stage {
    /// The name as printed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FastPath => "fast-path",
            Self::Ingress => "ingress",
            Self::Reassemble => "reassemble",
            Self::Decap => "decap",
            Self::Session => "session",
            Self::Anomaly => "anomaly",
            Self::Rpf => "rpf",
            Self::Dnat => "dnat",
            Self::Sdwan => "sdwan",
            Self::Route => "route",
            Self::Policy => "policy",
            Self::Snat => "snat",
            Self::Admit => "admit",
            Self::Inspect => "inspect",
            Self::Shape => "shape",
            Self::Offload => "offload",
            Self::Deliver => "deliver",
            Self::Neighbour => "neighbour",
            Self::Encap => "encap",
            Self::Transmit => "transmit",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What a stage says about its decision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Note {
    /// What it looked at.
    pub looked_at: String,
    /// The object that decided, with its name: `policy 12 "lan-out"`.
    pub decided_by: Option<String>,
    /// Line of that object in the configuration; zero for none.
    pub line: u32,
    /// What came out.
    pub result: String,
}

impl Note {
    /// A note of what was looked at and what came out.
    pub fn new(looked_at: impl Into<String>, result: impl Into<String>) -> Self {
        Self { looked_at: looked_at.into(), result: result.into(), ..Self::default() }
    }

    /// Adds the object that decided.
    pub fn by(mut self, object: impl Into<String>, line: config::model::Line) -> Self {
        self.decided_by = Some(object.into());
        self.line = line.0;
        self
    }
}

/// One stage of one packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phase {
    /// Which stage.
    pub stage: Stage,
    /// What it said.
    pub note: Note,
    /// What it decided.
    pub verdict: Verdict,
    /// How long it took, in nanoseconds; zero where no stopwatch runs.
    pub nanos: u64,
}

/// A packet's record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// Number of the trace it was made for.
    pub id: u64,
    /// When the packet came.
    pub time: Time,
    /// What it was when it came in.
    pub tuple: Option<Tuple>,
    /// Interface it came in by.
    pub ingress: String,
    /// Length of the IP packet in bytes.
    pub ip_len: u32,
    /// TCP flags, zero for other protocols.
    pub tcp_flags: u8,
    /// Why the fast path did not serve it; absent when it did or none was asked.
    pub cause: Option<PuntCause>,
    /// Which tier served it.
    pub tier: Tier,
    /// Session, when there is one.
    pub session: Option<crate::session::SessionId>,
    /// The phases, in order.
    pub phases: Vec<Phase>,
    /// Note left by the running stage.
    pub(crate) note: Option<Note>,
}

impl Trace {
    /// How it ended.
    pub fn outcome(&self) -> Verdict {
        self.phases.last().map_or(Verdict::Continue, |phase| phase.verdict)
    }

    /// Why the packet was dropped, if it was.
    pub fn dropped(&self) -> Option<DropReason> {
        match self.outcome() {
            Verdict::Drop(reason) => Some(reason),
            Verdict::Continue | Verdict::Consume | Verdict::Hold => None,
        }
    }

    /// The first stage a packet of its kind would have entered next, had it gone on: the line after
    /// the one that is the diagnosis.
    pub fn first_missing(&self) -> Option<Stage> {
        let last = self.phases.last()?;
        match last.verdict {
            Verdict::Drop(_) | Verdict::Hold => {}
            Verdict::Continue | Verdict::Consume => return None,
        }
        let day = if self.tier == Tier::SlowEstablished { ESTABLISHED } else { SETUP };
        day.iter().copied().find(|stage| *stage > last.stage)
    }

    /// One line: what happened, and the way out when it was bad.
    pub fn summary(&self) -> String {
        match self.outcome() {
            Verdict::Drop(reason) => {
                let row = reason.row();
                format!("drop — {} — {} — {}", row.name, row.sentence, row.remedy)
            }
            Verdict::Hold => "held: it goes on when what it waits for arrives".into(),
            Verdict::Consume => "delivered to the gateway itself".into(),
            Verdict::Continue => "forwarded".into(),
        }
    }
}

/// Stages of a packet that sets a session up.
pub const SETUP: &[Stage] = &[
    Stage::Ingress,
    Stage::Reassemble,
    Stage::Decap,
    Stage::Session,
    Stage::Anomaly,
    Stage::Rpf,
    Stage::Dnat,
    Stage::Sdwan,
    Stage::Route,
    Stage::Policy,
    Stage::Snat,
    Stage::Admit,
    Stage::Inspect,
    Stage::Shape,
    Stage::Offload,
    Stage::Neighbour,
    Stage::Encap,
    Stage::Transmit,
];

/// Stages of a packet of a session that exists.
pub const ESTABLISHED: &[Stage] = &[
    Stage::Ingress,
    Stage::Reassemble,
    Stage::Decap,
    Stage::Session,
    Stage::Inspect,
    Stage::Shape,
    Stage::Offload,
    Stage::Neighbour,
    Stage::Encap,
    Stage::Transmit,
];
