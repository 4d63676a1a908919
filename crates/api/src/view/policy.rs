//! Policies and the lookup of one.

use core::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{FindingView, Name, ReasonView, RuleRef, Traffic};

/// One page of policies.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PoliciesView {
    /// In the order they are tried: forward, local-in, local-out.
    pub policies: Vec<PolicyView>,
    /// All there are.
    pub total: u64,
    /// Cursor of the next page; absent at the end.
    pub next: Option<u64>,
}

/// One policy or local rule.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PolicyView {
    /// `forward`, `local-in` or `local-out`.
    pub table: Name,
    /// Number; absent for local rules.
    pub id: Option<u32>,
    /// Name.
    pub name: String,
    /// Line of the configuration; 0 for the implicit rule.
    pub line: u32,
    /// Whether it is in force at all.
    pub enabled: bool,
    /// Incoming zones; empty means any.
    pub from: Vec<String>,
    /// Outgoing zones; empty means any.
    pub to: Vec<String>,
    /// Source addresses as written; `not` first when negated.
    pub source: Vec<String>,
    /// Users that it asks for: names, or `known`.
    #[serde(default)]
    pub users: Vec<String>,
    /// Groups that it asks for.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Destination addresses as written.
    pub destination: Vec<String>,
    /// Services as written.
    pub services: Vec<String>,
    /// Name of its schedule.
    pub schedule: Option<String>,
    /// Whether the schedule holds now; true where there is none.
    pub in_force: bool,
    /// `allow`, `deny` or `reject`.
    pub action: Name,
    /// `off`, `interface`, or the names of pools.
    pub nat: String,
    /// `auto`, `require` or `off`.
    pub offload: Name,
    /// What stands against every session of it, known from the configuration alone.
    pub never_offloads: Vec<FindingView>,
    /// Writes events.
    pub log: bool,
    /// Sessions that met it since its statistics were cleared (deny: packets).
    pub hits: u64,
    /// Sessions of it now.
    pub sessions: u64,
    /// Traffic of its sessions, both directions, ended ones included (deny: of the packets it met).
    /// Of live sessions it may lack what came since the last audit (`offload.audit-interval`).
    pub traffic: Traffic,
    /// Since its last hit; absent before the first.
    pub last_hit_ms: Option<u64>,
}

/// The policy a new session would meet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PolicyLookupView {
    /// The policy; absent for the implicit deny.
    pub policy: Option<PolicyView>,
    /// `allow`, `deny` or `reject`.
    pub action: Name,
    /// Why not, when it is not allowed.
    pub reason: Option<ReasonView>,
    /// Interface it comes in by.
    pub ingress: String,
    /// Its zone.
    pub from_zone: String,
    /// Interface it would leave by; empty when it is for the gateway itself.
    pub egress: String,
    /// Its zone.
    pub to_zone: String,
    /// The user behind the source address, with groups.
    #[serde(default)]
    pub user: Option<String>,
    /// The VIP that would translate the destination.
    pub dnat: Option<RuleRef>,
    /// Destination after that, which is what policies see.
    pub destination: IpAddr,
    /// Destination port after that.
    pub destination_port: u16,
    /// The route.
    pub route: Option<RuleRef>,
    /// Rules tried before the decision that do not match; those that fail the fewest conditions
    /// first, 16 at most.
    pub near_misses: Vec<NearMissView>,
}

/// A rule that does not match, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NearMissView {
    /// The rule.
    pub rule: RuleRef,
    /// The conditions that fail: `enabled`, `schedule`, `from`, `to`, `source`, `user`,
    /// `destination`, `service`.
    pub failed: Vec<Name>,
}
