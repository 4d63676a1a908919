//! Why an engine did not take what qualifies. One row each; `rows.rs` says how a row reads.

use core::fmt;

use crate::{Class, Reason, ReasonRow, Severity};

registry! {
    /// Why an engine did not take a flow that qualifies.
    RefusalReason, Refusal, 0x03;
    1 TableFull "table-full" Warning
        "The engine's flow table is full and the flow is not worth more than those in it."
        "Raise `limits.flows`; the flow is tried again when room appears."
        "FortiOS: npu session table full; OVS: ENOSPC";
    2 BucketFull "bucket-full" Notice
        "Both hash buckets of the flow are full."
        "Nothing to do; raise `limits.flows` if it happens often."
        "Cisco: collision";
    3 DuplicateFlow "duplicate-flow" Error
        "The engine already holds a flow with the same key."
        "This is a bug or a drift; `clear sessions` for the pair and report it."
        "";
    4 ProgramStale "program-stale" Info
        "Something the program was compiled from changed before it was installed."
        "Nothing to do; it is compiled again with the next packet."
        "";
    5 EngineStopped "engine-stopped" Warning
        "The engine is not running."
        "See `show engines` for the cause."
        "";
    6 AdjacencyTableFull "adjacency-table-full" Warning
        "The engine has no room for another next hop."
        "Raise `limits.neighbours`."
        "";
    7 TcpTableFull "tcp-table-full" Warning
        "No room to track another TCP window."
        "Raise `limits.sessions`."
        "";
    8 SaTableFull "sa-table-full" Warning
        "The SA table of the engine is full."
        "Raise `limits.sas`; with a hardware engine, promote fewer tunnels."
        "err=resources";
}
