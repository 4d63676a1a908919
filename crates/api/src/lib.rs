//! What leaves the process: the requests a client can make and the views it gets back.
//!
//! A [`Request`] goes in, a [`Document`] comes out: `{"schema":1,"kind":"ports", …}`. The CLI, the
//! web page and the metrics all render these views and nothing else, so text and JSON cannot
//! disagree. [`Backend`] is what answers requests; the daemon stands between it and the sockets.
//!
//! Units are in the field names: `_ms` are milliseconds, `_ns` nanoseconds, `_bytes` bytes; ages are
//! counted back from the moment of the answer. Names of reasons are those of the registry.
//!
//! Limits: no logic of the gateway, no I/O. `schema` rises when a field changes its meaning or goes
//! away; new fields do not raise it, so readers ignore fields they do not know.

#![forbid(unsafe_code)]

mod error;
pub mod filter;
mod keys;
mod reason_view;
mod request;
pub mod view;

pub use error::{ApiError, ErrorDocument, ExitCode};
pub use keys::{ExportKeys, KeyFormat, KeyTable, KeysOf};
pub use reason_view::{ReasonCount, ReasonView};
pub use request::{
    CaptureSpec, ConfigText, LookupKey, PacketSpec, Request, SessionPick, StatisticsKind,
    TcpFlagsSpec,
};
pub use view::*;

use serde::{Deserialize, Serialize};

/// Version of the documents; in every one of them as `schema`.
pub const SCHEMA: u32 = 1;

/// Most rows one answer carries; what is more comes with the next page.
pub const PAGE: u32 = 512;

/// Fewest bytes that a capture keeps of each packet: the headers of most.
pub const MIN_SNAP: u32 = 64;

/// A word of the API: mostly one of a fixed set, so mostly not allocated.
pub type Name = std::borrow::Cow<'static, str>;

/// An answer as it goes over the wire.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The answer.
    #[serde(flatten)]
    pub response: Response,
}

impl From<Response> for Document {
    fn from(response: Response) -> Self {
        Self { schema: SCHEMA, response }
    }
}

/// The answer to a [`Request`]; `kind` says which.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Response {
    /// To [`Request::ShowPorts`].
    Ports(PortsView),
    /// To [`Request::ShowInterfaces`].
    Interfaces(InterfacesView),
    /// To [`Request::ShowSessions`].
    Sessions(SessionsView),
    /// To [`Request::ShowSessionSummary`].
    SessionSummary(SessionSummaryView),
    /// To [`Request::ShowPolicies`].
    Policies(PoliciesView),
    /// To [`Request::ShowRoutes`].
    Routes(RoutesView),
    /// To [`Request::ShowNeighbours`].
    Neighbours(NeighboursView),
    /// To [`Request::ShowTunnels`].
    Tunnels(TunnelsView),
    /// To [`Request::ShowSas`].
    Sas(SasView),
    /// To [`Request::ShowIke`].
    Ike(IkeView),
    /// To [`Request::ExplainTunnel`].
    TunnelExplained(Box<TunnelExplainedView>),
    /// To [`Request::ShowUsers`], [`Request::UserLogin`] and [`Request::UserLogout`].
    Users(UsersView),
    /// To [`Request::ShowRemoteAccess`].
    RemoteAccess(RemoteAccessView),
    /// To [`Request::ShowDtls`].
    Dtls(DtlsView),
    /// To [`Request::ShowNatVips`].
    NatVips(NatVipsView),
    /// To [`Request::ShowNatPools`].
    NatPools(NatPoolsView),
    /// To [`Request::ShowAddressPools`].
    AddressPools(AddressPoolsView),
    /// To [`Request::ShowEngines`].
    Engines(EnginesView),
    /// To [`Request::ShowOffloadReasons`].
    OffloadReasons(OffloadReasonsView),
    /// To [`Request::ShowCounters`].
    Counters(CountersView),
    /// To [`Request::ShowSystem`].
    System(SystemView),
    /// To [`Request::ShowAnomaly`].
    Anomaly(AnomalyView),
    /// To [`Request::ExplainSession`] and [`Request::ExplainFlow`].
    Explained(Box<ExplainView>),
    /// To [`Request::ExplainSas`].
    ExplainedSas(SaExplainsView),
    /// To [`Request::ExplainDtls`].
    ExplainedDtls(DtlsExplainsView),
    /// To [`Request::PlanSas`] and [`Request::PlanSessions`], and about a configuration file.
    Plan(Box<PlanView>),
    /// The profiles there are; no gateway is asked.
    Profiles(ProfilesView),
    /// To [`Request::PolicyLookup`].
    PolicyLookup(Box<PolicyLookupView>),
    /// To [`Request::Simulate`].
    Trace(Box<TraceView>),
    /// To [`Request::TraceStart`].
    TraceStarted(TraceStartedView),
    /// To [`Request::TracePoll`] and [`Request::TraceStop`].
    TracePolled(TracePolledView),
    /// To [`Request::CaptureStart`].
    CaptureStarted(CaptureStartedView),
    /// To [`Request::CapturePoll`] and [`Request::CaptureStop`].
    CapturePolled(CapturePolledView),
    /// To everything that clears.
    Cleared(ClearedView),
    /// To [`Request::RekeyIke`] and [`Request::RekeyTunnel`].
    Rekeying(RekeyingView),
    /// To [`Request::Events`].
    Events(EventsView),
    /// To [`Request::ConfigCheck`].
    ConfigChecked(ConfigCheckedView),
    /// To [`Request::ConfigDiff`].
    ConfigDiff(ConfigDiffView),
    /// To [`Request::ConfigApply`], [`Request::ConfigConfirm`], [`Request::ConfigRevert`] and
    /// [`Request::ConfigReload`].
    ConfigApplied(ConfigAppliedView),
}

/// What answers requests about a running gateway.
///
/// Requests about configuration (`Config…`) never reach it: the daemon owns the files.
/// One call is short: pages are at most [`PAGE`] rows, and long work is started, not done.
pub trait Backend {
    /// Answers one request.
    ///
    /// # Errors
    /// What is wrong with the request, or why it cannot be answered now.
    fn handle(&mut self, request: Request) -> Result<Response, ApiError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_carry_schema_and_kind_beside_the_data() {
        let document = Document::from(Response::Ports(PortsView::default()));
        let text = serde_json::to_string(&document).expect("serialises");
        assert_eq!(text, r#"{"schema":1,"kind":"ports","ports":[]}"#);
        assert_eq!(serde_json::from_str::<Document>(&text).expect("valid"), document);
    }

    #[test]
    fn errors_map_to_codes_and_survive_json() {
        let error = ApiError::BadFilter {
            message: "unknown word `prot`".into(),
            filter: "prot 6".into(),
            column: 1,
            expected: "proto".into(),
        };
        assert_eq!((error.exit_code() as u8, error.http_status()), (2, 400));
        assert_eq!(ApiError::not_found("x").exit_code() as u8, 3);
        let refused = ApiError::ConfigRefused { diagnostics: Vec::new() };
        assert_eq!((refused.exit_code() as u8, refused.http_status()), (5, 422));
        let text = serde_json::to_string(&ErrorDocument::from(error.clone())).expect("serialises");
        assert!(text.starts_with(r#"{"schema":1,"error":"bad-filter","#), "{text}");
        assert_eq!(serde_json::from_str::<ErrorDocument>(&text).expect("valid").error, error);
    }
}
