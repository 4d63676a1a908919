//! The views: what each answer shows.

mod capture;
mod config;
mod counters;
mod engine;
mod event;
mod explain;
mod explain_sa;
mod ike;
mod nat;
mod neighbour;
mod plan;
mod policy;
mod port;
mod route;
mod session;
mod system;
mod trace;
mod tunnel;

pub use capture::*;
pub use config::*;
pub use counters::*;
pub use engine::*;
pub use event::*;
pub use explain::*;
pub use explain_sa::*;
pub use ike::*;
pub use nat::*;
pub use neighbour::*;
pub use plan::*;
pub use policy::*;
pub use port::*;
pub use route::*;
pub use session::*;
pub use system::*;
pub use trace::*;
pub use tunnel::*;
