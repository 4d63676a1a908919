//! Traces: the phases a packet went through, and the first one it never reached.
//!
//! Simulated, live and after-the-fact traces are the same record.

use serde::{Deserialize, Serialize};

use crate::{DirectionView, Name, ReasonView, RuleRef, TupleView};

/// A stage of the packet's day, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The engine: key, table, program.
    FastPath,
    /// Layer 2 to 4 checks.
    Ingress,
    /// Fragments.
    Reassemble,
    /// Tunnels, inwards.
    Decap,
    /// Session table.
    Session,
    /// Malformed packets and floods.
    Anomaly,
    /// Reverse path.
    Rpf,
    /// Destination translation.
    Dnat,
    /// Paths by policy.
    Sdwan,
    /// Longest prefix.
    Route,
    /// Forward policies.
    Policy,
    /// Rules for traffic to the gateway itself.
    LocalIn,
    /// Rules for traffic from the gateway itself.
    LocalOut,
    /// Source translation.
    Snat,
    /// The session is written.
    Admit,
    /// Inspection.
    Inspect,
    /// Shaping.
    Shape,
    /// Eligibility and promotion.
    Offload,
    /// The gateway's own services.
    Deliver,
    /// Next hop.
    Neighbour,
    /// Tunnels, outwards.
    Encap,
    /// Size, TTL, queue.
    Transmit,
}

impl Stage {
    /// The name, as in the packet's day.
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
            Self::LocalIn => "local-in",
            Self::LocalOut => "local-out",
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

/// How a phase ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PhaseResult {
    /// On to the next stage.
    #[default]
    Continue,
    /// Found what it looked for (session, flow); on to the next stage.
    Hit,
    /// Did not find it; on to the next stage.
    Miss,
    /// The stage had nothing to do for this packet.
    Skip,
    /// Handed from the fast path to the slow path.
    Punt,
    /// Dropped.
    Drop,
    /// Taken by the gateway itself.
    Consume,
    /// Kept until something is known.
    Hold,
}

impl PhaseResult {
    /// The result as one word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Continue => "continue",
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Skip => "skip",
            Self::Punt => "punt",
            Self::Drop => "drop",
            Self::Consume => "consume",
            Self::Hold => "hold",
        }
    }

    /// Whether the packet goes no further for now.
    pub const fn ends(self) -> bool {
        matches!(self, Self::Drop | Self::Consume | Self::Hold)
    }
}

/// What one stage did with a packet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    /// The stage.
    pub stage: Stage,
    /// What it looked at: `dst=8.8.8.8 vr=default`.
    pub looked_at: String,
    /// The rule or object that decided; absent when none did.
    pub decided_by: Option<RuleRef>,
    /// How it ended.
    pub result: PhaseResult,
    /// Why, for drops, punts and offload verdicts that are not `Continue`. For several reasons the
    /// first; all of them are in `detail`.
    pub reason: Option<ReasonView>,
    /// Time it took; zero in simulated time.
    pub nanos: u64,
    /// What it found or did: `route 0.0.0.0/0 via 203.0.113.1 dev wan`.
    pub detail: String,
}

impl Phase {
    /// Line of the configuration that decided; 0 when none did.
    pub fn config_line(&self) -> u32 {
        self.decided_by.as_ref().map_or(0, |rule| rule.line)
    }
}

/// Where a traced packet came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TraceOrigin {
    /// Made up; nothing was changed.
    #[default]
    Simulated,
    /// A real packet.
    Live,
    /// A stored decision.
    Stored,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TraceAction {
    /// Sent on.
    #[default]
    Forwarded,
    /// Dropped.
    Dropped,
    /// Taken by the gateway itself.
    Delivered,
    /// Kept until something is known: a neighbour, a fragment.
    Held,
}

impl TraceAction {
    /// The action as one word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Forwarded => "forwarded",
            Self::Dropped => "dropped",
            Self::Delivered => "delivered",
            Self::Held => "held",
        }
    }
}

/// One packet traced.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TraceView {
    /// Number of the packet in its trace, from 1.
    pub number: u64,
    /// Where it came from.
    pub origin: TraceOrigin,
    /// When, since the gateway started.
    pub uptime_ms: u64,
    /// Interface it came in by.
    pub ingress: String,
    /// Interface it left by; empty when it did not.
    pub egress: String,
    /// Its tuple as it came in; absent when it has none.
    pub tuple: Option<TupleView>,
    /// Its tuple as it left, where it was translated.
    pub translated: Option<TupleView>,
    /// The packet in one line: `tcp 10.1.1.5:51000 -> 8.8.8.8:443 [S] len 60`.
    pub summary: String,
    /// Bytes of the IP packet as it came in.
    pub length: u32,
    /// `fast`, `slow-established` or `slow-setup`.
    pub tier: Name,
    /// Session it belongs to.
    pub session: Option<u64>,
    /// Direction of that session.
    pub direction: Option<DirectionView>,
    /// What each stage did, in order.
    pub phases: Vec<Phase>,
    /// The first stage it should have reached and did not.
    pub first_missing_phase: Option<MissingPhase>,
    /// What became of it.
    pub action: TraceAction,
    /// Why, when it was not forwarded.
    pub reason: Option<ReasonView>,
    /// `hitting`, `installed`, `eligible`, … and the reasons, for the direction of this packet.
    pub offload: Option<OffloadVerdict>,
}

/// The offload verdict of a packet's direction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OffloadVerdict {
    /// Engine it is about.
    pub engine: Name,
    /// How far it got.
    pub status: crate::PlacementStatus,
    /// Everything that stands against it.
    pub against: Vec<ReasonView>,
}

/// The first stage a packet never reached; the phase before it is the diagnosis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingPhase {
    /// The stage.
    pub stage: Stage,
    /// The last stage it did reach; absent when there is no phase at all.
    pub after: Option<Stage>,
    /// One sentence.
    pub sentence: String,
}

/// A live trace has begun.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceStartedView {
    /// Its id, for polls.
    pub trace: u64,
    /// Installed flows that were marked, so that engines report their packets too.
    pub marked_flows: u64,
}

/// What a live trace has seen since the last poll.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TracePolledView {
    /// Its id.
    pub trace: u64,
    /// Packets, oldest first.
    pub packets: Vec<TraceView>,
    /// Packets that matched since the start, lost ones included.
    pub matched: u64,
    /// Packets that matched and were not recorded because the reader was slow.
    pub lost: u64,
    /// Whether the trace has ended.
    pub done: bool,
}

/// Stages every packet of a kind must reach, in order. What may be skipped without a record
/// (`reassemble`, `decap`, `sdwan`, `inspect`, `shape`, `encap`) is not in them.
const SETUP: &[Stage] = &[
    Stage::Ingress,
    Stage::Session,
    Stage::Anomaly,
    Stage::Rpf,
    Stage::Dnat,
    Stage::Route,
    Stage::Policy,
    Stage::Snat,
    Stage::Admit,
    Stage::Offload,
    Stage::Neighbour,
    Stage::Transmit,
];
const ESTABLISHED: &[Stage] =
    &[Stage::Ingress, Stage::Session, Stage::Offload, Stage::Neighbour, Stage::Transmit];
const FAST: &[Stage] = &[Stage::FastPath, Stage::Transmit];
const LOCAL_IN: &[Stage] = &[
    Stage::Ingress,
    Stage::Session,
    Stage::Anomaly,
    Stage::Rpf,
    Stage::Dnat,
    Stage::Route,
    Stage::LocalIn,
    Stage::Deliver,
];
const LOCAL_IN_ESTABLISHED: &[Stage] = &[Stage::Ingress, Stage::Session, Stage::Deliver];
const LOCAL_OUT: &[Stage] =
    &[Stage::Session, Stage::Route, Stage::LocalOut, Stage::Neighbour, Stage::Transmit];

/// Computes the first stage a packet should have reached and did not. `None` when it reached all of
/// them, or was taken on purpose (an ARP answer, say).
pub fn first_missing_phase(phases: &[Phase]) -> Option<MissingPhase> {
    let reached = |stage: Stage| phases.iter().any(|p| p.stage == stage);
    let result = |stage: Stage| phases.iter().find(|p| p.stage == stage).map(|p| p.result);
    let last = phases.last();
    if last.is_some_and(|p| p.result == PhaseResult::Consume) {
        return None;
    }
    let served_fast = matches!(
        result(Stage::FastPath),
        Some(PhaseResult::Hit | PhaseResult::Continue | PhaseResult::Drop)
    );
    let hit = result(Stage::Session) == Some(PhaseResult::Hit);
    let expected = if served_fast {
        FAST
    } else if reached(Stage::LocalOut) {
        LOCAL_OUT
    } else if reached(Stage::LocalIn) {
        LOCAL_IN
    } else if hit && reached(Stage::Deliver) {
        LOCAL_IN_ESTABLISHED
    } else if hit {
        ESTABLISHED
    } else {
        SETUP
    };
    let stage = expected.iter().copied().find(|stage| !reached(*stage))?;
    let sentence = match last {
        None => format!("no stage saw the packet; the first would have been {}", stage.name()),
        Some(phase) => match (&phase.reason, phase.result) {
            (Some(reason), PhaseResult::Drop) => format!(
                "{} was never reached: {} dropped the packet with {}",
                stage.name(),
                phase.stage.name(),
                reason.name
            ),
            (_, PhaseResult::Hold) => {
                format!(
                    "{} is still to come: {} holds the packet",
                    stage.name(),
                    phase.stage.name()
                )
            }
            _ => format!("{} was never reached after {}", stage.name(), phase.stage.name()),
        },
    };
    Some(MissingPhase { stage, after: last.map(|p| p.stage), sentence })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phase(stage: Stage, result: PhaseResult) -> Phase {
        Phase {
            stage,
            looked_at: String::new(),
            decided_by: None,
            result,
            reason: None,
            nanos: 0,
            detail: String::new(),
        }
    }

    #[test]
    fn a_forwarded_packet_misses_nothing() {
        let all: Vec<_> = SETUP.iter().map(|s| phase(*s, PhaseResult::Continue)).collect();
        assert_eq!(first_missing_phase(&all), None);
        let fast = [
            phase(Stage::FastPath, PhaseResult::Hit),
            phase(Stage::Transmit, PhaseResult::Continue),
        ];
        assert_eq!(first_missing_phase(&fast), None);
    }

    #[test]
    fn a_drop_names_the_stage_that_comes_next() {
        let mut phases: Vec<_> =
            SETUP[..7].iter().map(|s| phase(*s, PhaseResult::Continue)).collect();
        let policy = phases.last_mut().expect("policy is the seventh");
        policy.result = PhaseResult::Drop;
        policy.reason = Some(ReasonView::of(reason::DropReason::ImplicitDeny));
        let missing = first_missing_phase(&phases).expect("dropped");
        assert_eq!((missing.stage, missing.after), (Stage::Snat, Some(Stage::Policy)));
        assert_eq!(
            missing.sentence,
            "snat was never reached: policy dropped the packet with implicit-deny"
        );
    }

    #[test]
    fn a_known_session_is_not_asked_for_the_stages_of_set_up() {
        let phases = [
            phase(Stage::FastPath, PhaseResult::Punt),
            phase(Stage::Ingress, PhaseResult::Continue),
            phase(Stage::Session, PhaseResult::Hit),
            phase(Stage::Offload, PhaseResult::Continue),
            phase(Stage::Neighbour, PhaseResult::Hold),
        ];
        let missing = first_missing_phase(&phases).expect("held");
        assert_eq!(missing.stage, Stage::Transmit);
        assert_eq!(missing.sentence, "transmit is still to come: neighbour holds the packet");
    }

    #[test]
    fn what_the_gateway_takes_itself_is_not_missing_anything() {
        let phases = [
            phase(Stage::Ingress, PhaseResult::Continue),
            phase(Stage::Session, PhaseResult::Miss),
            phase(Stage::LocalIn, PhaseResult::Continue),
            phase(Stage::Deliver, PhaseResult::Consume),
        ];
        assert_eq!(first_missing_phase(&phases), None);
        assert_eq!(first_missing_phase(&[]).map(|m| m.stage), Some(Stage::Ingress));
    }
}
