//! The running gateway: threads, control socket, metrics, reload, privileges.
//!
//! Two threads. The *forwarding* thread owns the [`Runner`] and does nothing but step it, sleeping
//! when no port is readable; between bursts it answers one request at a time. The *control* thread
//! runs the sockets, signals and timers, and owns the configuration: what runs, what ran before, and
//! the timer that takes an unconfirmed change back.
//!
//! Limits: one forwarding thread. The metrics listener and the control socket are set at start; a
//! reload that changes them says so and needs a restart.

#![forbid(unsafe_code)]

mod config_view;
mod control;
mod crew;
mod error;
mod forward;
mod host;
mod http;
mod instance;
mod metrics;
mod notify;
mod open;
mod privileges;
mod pulse;
mod runner;
mod start;
#[cfg(test)]
mod tests;

pub use config_view::{check, diagnostic_view, refused};
pub use control::{Control, Peer};
pub use error::StartError;
pub use forward::{Forwarder, Handle};
pub use http::serve;
pub use metrics::exposition;
pub use open::{open, random};
pub use runner::{OpenError, Runner};
pub use start::{LogLevel, Options, run};

/// Where the configuration is unless said otherwise.
pub const DEFAULT_CONFIG: &str = "/etc/lockgate/lockgate.toml";

/// Where the control socket is unless said otherwise.
pub const DEFAULT_SOCKET: &str = "/run/lockgate/ctl.sock";
