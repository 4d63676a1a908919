//! Questions to a simulated gateway's control API, with the answers taken out of their wrapping.
//!
//! These are the requests the command line makes. They panic when the gateway refuses one: a scenario
//! asks what can be answered, or uses [`Network::ask`].

use api::{
    CapturePolledView, CaptureSpec, CountersView, ExplainView, OffloadReasonsView, PacketSpec,
    PolicyView, Request, Response, SessionPick, SessionView, TraceView, TunnelView,
};

use super::{Network, NodeId};

/// Most sessions one look returns.
const SESSIONS: u32 = 512;

impl Network {
    /// Sessions that a filter matches, with their placements; at most 512.
    pub fn sessions(&mut self, gateway: NodeId, filter: &str) -> Vec<SessionView> {
        let filter = Some(filter.to_owned());
        let mut found = Vec::new();
        let mut cursor = None;
        loop {
            let request = Request::ShowSessions {
                filter: filter.clone(),
                limit: Some(SESSIONS),
                cursor,
                offload: true,
            };
            match self.answered(gateway, request) {
                Response::Sessions(view) => {
                    found.extend(view.sessions);
                    cursor = view.next;
                }
                other => panic!("not sessions: {other:?}"),
            }
            if cursor.is_none() || found.len() >= SESSIONS as usize {
                return found;
            }
        }
    }

    /// The first page of tunnels.
    pub fn tunnels(&mut self, gateway: NodeId) -> Vec<TunnelView> {
        match self.answered(gateway, Request::ShowTunnels { limit: None, cursor: None }) {
            Response::Tunnels(view) => view.tunnels,
            other => panic!("not tunnels: {other:?}"),
        }
    }

    /// The first page of policies and local rules.
    pub fn policies(&mut self, gateway: NodeId) -> Vec<PolicyView> {
        match self.answered(gateway, Request::ShowPolicies { limit: None, cursor: None }) {
            Response::Policies(view) => view.policies,
            other => panic!("not policies: {other:?}"),
        }
    }

    /// The first session that a filter matches, explained.
    pub fn explain(&mut self, gateway: NodeId, filter: &str) -> ExplainView {
        let pick = SessionPick { id: None, filter: Some(filter.into()) };
        match self.answered(gateway, Request::ExplainSession(pick)) {
            Response::Explained(view) => *view,
            other => panic!("not an explanation: {other:?}"),
        }
    }

    /// A made-up packet through every stage.
    pub fn simulate(&mut self, gateway: NodeId, packet: PacketSpec) -> TraceView {
        match self.answered(gateway, Request::Simulate(packet)) {
            Response::Trace(view) => *view,
            other => panic!("not a trace: {other:?}"),
        }
    }

    /// Starts a live trace; returns its id.
    pub fn trace_start(&mut self, gateway: NodeId, filter: &str, count: u32) -> u64 {
        let request = Request::TraceStart { filter: Some(filter.into()), count };
        match self.answered(gateway, request) {
            Response::TraceStarted(view) => view.trace,
            other => panic!("not a trace: {other:?}"),
        }
    }

    /// Packets traced since the last look.
    pub fn trace_poll(&mut self, gateway: NodeId, trace: u64) -> Vec<TraceView> {
        match self.answered(gateway, Request::TracePoll { trace }) {
            Response::TracePolled(view) => view.packets,
            other => panic!("not a trace: {other:?}"),
        }
    }

    /// Ends a live trace; returns the packets since the last look.
    pub fn trace_stop(&mut self, gateway: NodeId, trace: u64) -> Vec<TraceView> {
        match self.answered(gateway, Request::TraceStop { trace }) {
            Response::TracePolled(view) => view.packets,
            other => panic!("not a trace: {other:?}"),
        }
    }

    /// Starts a capture; returns its id.
    pub fn capture_start(&mut self, gateway: NodeId, spec: CaptureSpec) -> u64 {
        match self.answered(gateway, Request::CaptureStart(spec)) {
            Response::CaptureStarted(view) => view.capture,
            other => panic!("not a capture: {other:?}"),
        }
    }

    /// Ends a capture; returns what it has.
    pub fn capture_stop(&mut self, gateway: NodeId, capture: u64) -> CapturePolledView {
        let mut whole = CapturePolledView::default();
        let mut request = Request::CaptureStop { capture };
        loop {
            let Response::CapturePolled(mut view) = self.answered(gateway, request) else {
                panic!("not a capture");
            };
            let done = view.done;
            whole.packets.append(&mut view.packets);
            view.packets = std::mem::take(&mut whole.packets);
            whole = view;
            if done {
                return whole;
            }
            request = Request::CapturePoll { capture };
        }
    }

    /// Why sessions are not on a faster tier.
    pub fn offload_reasons(&mut self, gateway: NodeId) -> OffloadReasonsView {
        match self.answered(gateway, Request::ShowOffloadReasons) {
            Response::OffloadReasons(view) => view,
            other => panic!("not reasons: {other:?}"),
        }
    }

    /// Counters with the ladder of tiers.
    pub fn counters(&mut self, gateway: NodeId) -> CountersView {
        match self.answered(gateway, Request::ShowCounters { delta: false }) {
            Response::Counters(view) => view,
            other => panic!("not counters: {other:?}"),
        }
    }

    /// Ends the sessions that a filter matches; all where it is empty.
    pub fn clear_sessions(&mut self, gateway: NodeId, filter: &str) {
        let filter = (!filter.is_empty()).then(|| filter.to_owned());
        self.answered(gateway, Request::ClearSessions { filter });
    }

    /// The answer to a request that must be answered.
    ///
    /// # Panics
    /// When it is refused.
    pub fn answered(&mut self, gateway: NodeId, request: Request) -> Response {
        match self.ask(gateway, request.clone()) {
            Ok(response) => response,
            Err(error) => panic!("{request:?} is refused: {error}"),
        }
    }
}

/// A made-up packet for [`Network::simulate`]: an opening one of its protocol.
///
/// # Panics
/// When an address is none.
pub fn packet(src: &str, dst: &str, proto: u8, src_port: u16, dst_port: u16) -> PacketSpec {
    let address = |text: &str| text.parse().expect("an address");
    let key = api::LookupKey {
        interface: None,
        vr: None,
        src: address(src),
        dst: address(dst),
        proto,
        src_port,
        dst_port,
    };
    PacketSpec { key, length: None, ttl: None, dont_fragment: None, tcp_flags: None }
}
