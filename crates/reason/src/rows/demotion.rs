//! Why a flow or an SA left an engine. One row each; `rows.rs` says how a row reads.

use core::fmt;

use crate::{Class, Reason, ReasonRow, Severity};

registry! {
    /// Why a flow left an engine.
    DemotionReason, Demotion, 0x04;
    1 PolicyChanged "policy-changed" Info
        "A change of policy touched the session; it was evaluated again."
        "Nothing to do."
        "FortiOS: dirty";
    2 RouteChanged "route-changed" Info
        "A change of routes touched the session; it was evaluated again."
        "Nothing to do."
        "FortiOS: dirty";
    3 NatChanged "nat-changed" Info
        "A change of the NAT configuration touched the session."
        "Nothing to do."
        "FortiOS: dirty";
    4 InterfaceChanged "interface-changed" Info
        "An interface of the session changed."
        "Nothing to do."
        "FortiOS: dirty";
    5 OffloadSwitchChanged "offload-switch-changed" Info
        "An offload switch was changed."
        "Nothing to do."
        "";
    6 NeighbourChanged "neighbour-changed" Info
        "The next hop has another MAC address now."
        "Nothing to do, unless it happens often: look for an address conflict."
        "";
    7 NeighbourLost "neighbour-lost" Notice
        "The next hop stopped answering."
        "Check the next hop with `show neighbours`."
        "";
    8 LinkDown "link-down" Notice
        "The outgoing port lost its link."
        "Check the link with `show ports`."
        "";
    9 Idle "idle" Info
        "No packet came for the session's timeout."
        "Nothing to do."
        "FortiOS: session expire";
    10 TcpClose "tcp-close" Info
        "The TCP session closes or was reset."
        "Nothing to do."
        "FortiOS: tcp close";
    11 SessionCleared "session-cleared" Info
        "An operator cleared the session."
        "Nothing to do."
        "";
    12 TablePressure "table-pressure" Notice
        "Busier flows needed the room."
        "Raise `limits.flows`."
        "OVS: flow limit";
    13 EngineDown "engine-down" Error
        "The engine stopped."
        "See `show engines` for the cause."
        "";
    14 DriftRepaired "drift-repaired" Error
        "The engine and the ledger disagreed, and the ledger won."
        "Report it; the audit counted and repaired it."
        "FortiOS: sse-purge-drift";
    15 OperatorRequest "operator-request" Info
        "An operator asked for it."
        "Nothing to do."
        "";
    16 IngressMoved "ingress-moved" Notice
        "The session's packets come in by another interface now."
        "Look for a change of path."
        "";
    17 SaRemoved "sa-removed" Info
        "The SA was deleted or replaced."
        "Normal with every rekey and change of configuration."
        "";
    18 OffloadRequired "offload-required" Notice
        "Offload is required, and the session did not qualify."
        "Ask why with `explain session` before it ends, or set `offload = \"auto\"`."
        "";
    19 PathMtuChanged "path-mtu-changed" Info
        "The path below a tunnel takes smaller or larger packets than before."
        "Normal; `show tunnels` tells the MTU."
        "";
    20 EngineProfileChanged "engine-profile-changed" Info
        "The engine stands for another device now."
        "Nothing to do; what still qualifies is installed again."
        "";
    21 SaRekeyed "sa-rekeyed" Info
        "Another SA of the same tunnel took its place."
        "Normal with every rekey; sessions stay where they are."
        "";
    22 PathChanged "path-changed" Info
        "The far end of a tunnel has another address or port."
        "Normal behind a NAT; `show ike` tells the path."
        "";
    23 UserChanged "user-changed" Info
        "The user behind the session's source address came, went, or is in other groups now."
        "Nothing to do; `events` tells who came and went."
        "FortiOS: dirty";
}
