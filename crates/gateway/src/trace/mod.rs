//! Traces: the same record for a simulated, a live and a remembered packet.
//!
//! A traced packet carries a [`Trace`]. Every stage may leave a [`Note`]; the pipeline turns note and
//! verdict into a [`Phase`]. A packet that is not traced pays one branch a stage.

mod live;
mod tracer;

use config::model::IfId;
use offload::Direction;
use reason::{DropReason, NotEligible, PuntCause, Reason, ReasonSet};
use wire::{Time, Tuple};

pub use api::Stage;
pub use live::FastHit;
pub use tracer::{Running, Tracer};

use crate::packet::{Tier, Verdict};

/// What a stage says about its decision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Note {
    /// What it looked at.
    pub looked_at: String,
    /// The object that decided.
    pub decided_by: Option<Object>,
    /// What came out.
    pub result: String,
}

impl Note {
    /// A note of what was looked at and what came out.
    pub fn new(looked_at: impl Into<String>, result: impl Into<String>) -> Self {
        Self { looked_at: looked_at.into(), result: result.into(), ..Self::default() }
    }

    /// Adds the object that decided.
    pub fn by(
        mut self,
        kind: &'static str,
        name: impl Into<String>,
        line: config::model::Line,
    ) -> Self {
        self.decided_by = Some(Object { kind, id: None, name: name.into(), line: line.0 });
        self
    }

    /// Adds the policy that decided.
    pub fn by_policy(mut self, policy: &config::model::Policy) -> Self {
        let (name, line) = (policy.name.clone(), policy.line.0);
        self.decided_by = Some(Object { kind: "policy", id: Some(policy.id), name, line });
        self
    }
}

/// An object of the configuration that decided something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// What it is: `policy`, `vip`, `route`, `interface`, …
    pub kind: &'static str,
    /// Its number, where it has one.
    pub id: Option<u32>,
    /// Its name.
    pub name: String,
    /// Its line; zero when it was not written.
    pub line: u32,
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
    /// A session was known when it ended.
    pub hit: bool,
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
    /// Direction of the packet in it.
    pub direction: Option<Direction>,
    /// Interface it left by.
    pub egress: Option<IfId>,
    /// What it was when it left.
    pub translated: Option<Tuple>,
    /// What stands against offloading its direction.
    pub against: ReasonSet<NotEligible>,
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
