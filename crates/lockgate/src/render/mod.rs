//! Views as text. Every renderer is a pure function of a view and a [`Style`].
//!
//! Numbers are scaled (`1.20 M`) and times are short (`2m05s`); the JSON has them exact.

mod address_pool;
mod capture;
mod config;
mod counters;
mod engine;
mod error;
mod event;
mod explain;
mod explain_dtls;
pub mod ike;
mod nat;
mod plan;
mod policy;
mod port;
mod remote;
mod route;
mod sa;
mod session;
mod style;
mod system;
mod table;
#[cfg(test)]
mod tests;
mod trace;
mod tunnel;
mod units;
mod user;

pub use capture::comment;
pub use config::diagnostics;
pub use error::error;
pub use event::event;
pub use session::{rows as session_rows, sessions};
pub use style::{Style, Tone};
pub use units::count;

use api::Response;

/// SAs and where each is served.
pub fn sas_offload(answer: &Response, style: &Style) -> String {
    match answer {
        Response::Sas(view) => tunnel::sas_offload(view, style),
        other => response(other, style),
    }
}

/// Everything about each SA.
pub fn sas_detail(answer: &Response, style: &Style) -> String {
    match answer {
        Response::Sas(view) => tunnel::sas_detail(view, style),
        other => response(other, style),
    }
}

/// Everything about each IKE peer.
pub fn ike_detail(answer: &Response, style: &Style) -> String {
    match answer {
        Response::Ike(view) => ike::detail(view, style),
        other => response(other, style),
    }
}

/// An answer as text, ending in a newline.
pub fn response(response: &Response, style: &Style) -> String {
    match response {
        Response::Ports(view) => port::ports(view, style),
        Response::Interfaces(view) => port::interfaces(view, style),
        Response::Sessions(view) => sessions(view, view.sessions.len() as u64, style),
        Response::SessionSummary(view) => session::summary(view, style),
        Response::Policies(view) => policy::policies(view, style),
        Response::Routes(view) => route::routes(view, style),
        Response::Neighbours(view) => route::neighbours(view, style),
        Response::Tunnels(view) => tunnel::tunnels(view, style),
        Response::Sas(view) => tunnel::sas(view, style),
        Response::Ike(view) => ike::peers(view, style),
        Response::TunnelExplained(view) => ike::tunnel(view, style),
        Response::RemoteAccess(view) => remote::access(view, style),
        Response::Dtls(view) => remote::dtls(view, style),
        Response::Users(view) => user::users(view, style),
        Response::NatVips(view) => nat::vips(view, style),
        Response::NatPools(view) => nat::pools(view, style),
        Response::AddressPools(view) => address_pool::pools(view, style),
        Response::Engines(view) => engine::engines(view, style),
        Response::OffloadReasons(view) => engine::offload_reasons(view, style),
        Response::Counters(view) => counters::counters(view, style),
        Response::System(view) => system::system(view, style),
        Response::Anomaly(view) => system::anomaly(view, style),
        Response::Explained(view) => explain::explain(view, style),
        Response::ExplainedSas(view) => sa::explained(view, style),
        Response::ExplainedDtls(view) => explain_dtls::explained(view, style),
        Response::Plan(view) => plan::plan(view, style),
        Response::Profiles(view) => plan::profiles(view, style),
        Response::PolicyLookup(view) => policy::lookup(view, style),
        Response::Trace(view) => trace::trace(view, style),
        Response::TraceStarted(view) => trace::started(view, style),
        Response::TracePolled(view) => trace::polled(view, style),
        Response::CaptureStarted(view) => capture::started(view, style),
        Response::CapturePolled(view) => capture::polled(view, style),
        Response::Cleared(view) => counters::cleared(view, style),
        Response::Rekeying(view) => ike::rekeying(view),
        Response::Events(view) => event::events(view, style),
        Response::ConfigChecked(view) => config::checked(view, style),
        Response::ConfigDiff(view) => config::diff(view, style),
        Response::ConfigApplied(view) => config::applied(view, style),
    }
}

/// `show dtls --detail`.
pub fn dtls_detail(response: &Response, style: &Style) -> String {
    match response {
        Response::Dtls(view) => remote::dtls_detail(view, style),
        other => self::response(other, style),
    }
}
