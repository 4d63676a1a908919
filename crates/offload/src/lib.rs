//! The narrow waist between the slow path and the engines.
//!
//! The slow path decides; it compiles one direction of a session into a [`FlowProgram`] and offers
//! it to an [`Engine`]. The engine answers with a [`Handle`] or a [`Refusal`], never with a bool.
//! What was offered, installed and seen working is kept in the [`ledger`].
//!
//! ```text
//!  session direction ──compile──► FlowProgram ──install──► Engine ──► Handle | Refusal
//!                                                            │
//!            Ledger ◄── stats, EngineEvent::Removed ─────────┘
//! ```
//!
//! The contract in one paragraph. The slow path is the only writer. A program carries the [`Epoch`]s
//! it was compiled at; the engine sends packets back once one of them has moved on. TCP window
//! state is *shared* through [`tcp_window::TcpWindows`], never copied, so promotion reopens no
//! window. After [`Engine::remove`] the engine keeps counting until no worker can still use the
//! program; the final counters come as [`EngineEvent::Removed`], exactly once. So the counters of a
//! session are always the slow path's plus the engine's, and nothing is lost or doubled.

#![forbid(unsafe_code)]

mod capabilities;
mod engine;
mod epoch;
pub mod ledger;
mod profiles;
mod program;
mod sa;
pub mod tcp_window;

pub use capabilities::{
    Allowed, Capabilities, DtlsCapabilities, DtlsFacts, DtlsVersion, Eligibility, FlowFacts,
    IpsecCapabilities, Keying, SaFacts,
};
pub use engine::{
    Engine, EngineEvent, EngineId, EngineInterface, EngineStats, FlowStats, Handle, Refusal, Retry,
};
pub use epoch::{Epoch, EpochRef, EpochTable};
pub use profiles::{PROFILE_NAMES, PROFILES, Profile, SOFT};
pub use program::{Adjacency, AdjacencyId, Direction, FlowProgram};
pub use sa::{ClientAddresses, SaName, SaProgram, datagrams_of};
