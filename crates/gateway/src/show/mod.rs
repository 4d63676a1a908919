//! Views: what the gateway tells about itself, as the structs of `api`.
//!
//! [`Gateway::answer`] takes the requests that concern the gateway alone. Answers are pages of
//! bounded size; long work is started and goes on in slices.

mod at_engine;
mod captures;
mod convert;
mod counters;
mod engines;
mod explain;
mod explain_dtls;
mod explain_sa;
mod ike;
mod keys;
mod plan;
mod policies;
mod remote;
mod sessions;
mod subject;
mod system;
mod tables;
mod traces;
mod tunnels;
mod users;

use api::{ApiError, ClearedView, RekeyingView, Request, Response, StatisticsKind, filter::Filter};
use wire::Time;

use crate::Gateway;

pub(crate) use convert::tuple as tuple_view;
pub(crate) use counters::Baseline;
pub use plan::plan;
pub(crate) use sessions::Census;
pub(crate) use subject::{PacketSubject, SeenSubject};
pub(crate) use tables::Places;

impl Gateway {
    /// Answers a request; those about ports and configuration files are not for the gateway.
    ///
    /// # Errors
    /// What is wrong with the request, or why it cannot be answered now.
    pub fn answer(&mut self, request: Request, now: Time) -> Result<Response, ApiError> {
        Ok(match request {
            Request::ShowInterfaces => Response::Interfaces(self.show_interfaces()),
            Request::ShowSessions { filter, limit, cursor, offload } => {
                let filter = parse(filter.as_deref())?;
                Response::Sessions(self.show_sessions(&filter, limit, cursor, offload, now))
            }
            Request::ShowSessionSummary => Response::SessionSummary(self.show_session_summary(now)),
            Request::ShowPolicies { limit, cursor } => {
                Response::Policies(self.show_policies(limit, cursor, now))
            }
            Request::ShowRoutes { vr, destination, limit, cursor } => {
                Response::Routes(self.show_routes(vr.as_deref(), destination, limit, cursor)?)
            }
            Request::ShowNeighbours { limit, cursor } => {
                Response::Neighbours(self.show_neighbours(limit, cursor, now))
            }
            Request::ShowTunnels { limit, cursor } => {
                Response::Tunnels(self.show_tunnels(limit, cursor, now))
            }
            Request::ShowIke { peer, messages } => {
                Response::Ike(self.show_ike(peer.as_deref(), messages, now)?)
            }
            Request::ExplainTunnel { name } => {
                Response::TunnelExplained(Box::new(self.explain_tunnel(&name, now)?))
            }
            Request::ShowSas { pick, limit, cursor } => {
                Response::Sas(self.show_sas(pick.as_deref(), limit, cursor, now)?)
            }
            Request::ShowRemoteAccess { user, limit, cursor } => {
                Response::RemoteAccess(self.show_remote_access(user.as_deref(), limit, cursor, now))
            }
            Request::ShowDtls { user, limit, cursor } => {
                Response::Dtls(self.show_dtls(user.as_deref(), limit, cursor, now))
            }
            Request::ClearRemoteAccess { user } => {
                cleared("remote access", self.clear_remote(user.as_deref(), now), 0)
            }
            Request::ShowUsers { user, limit, cursor } => {
                Response::Users(self.show_users(user.as_deref(), limit, cursor, now))
            }
            Request::UserLogin { address, vr, user, groups, seconds } => {
                let place = (self.router_named(vr.as_deref())?, address);
                Response::Users(self.user_login(place, &user, groups, seconds, now)?)
            }
            Request::UserLogout { address, vr } => {
                let place = (self.router_named(vr.as_deref())?, address);
                Response::Users(self.user_logout(place, now)?)
            }
            Request::ShowNatVips => Response::NatVips(self.show_vips()),
            Request::ShowNatPools => Response::NatPools(self.show_pools()),
            Request::ShowAddressPools => Response::AddressPools(self.show_address_pools()),
            Request::ShowEngines => Response::Engines(self.show_engines(now)),
            Request::ShowOffloadReasons => Response::OffloadReasons(self.show_offload_reasons()),
            Request::ShowCounters { delta } => Response::Counters(self.show_counters(delta, now)),
            Request::ShowSystem => Response::System(self.show_system(now)),
            Request::ShowAnomaly => Response::Anomaly(self.show_anomaly(now)),
            Request::ExplainSession(pick) => {
                Response::Explained(Box::new(self.explain_session(&pick, now)?))
            }
            Request::ExplainFlow(key) => {
                Response::Explained(Box::new(self.explain_flow(&key, now)?))
            }
            Request::ExplainSas { pick, limit, cursor } => {
                Response::ExplainedSas(self.explain_sas(pick.as_deref(), limit, cursor, now)?)
            }
            Request::ExplainDtls { user, limit, cursor } => {
                Response::ExplainedDtls(self.explain_dtls(user.as_deref(), limit, cursor, now))
            }
            Request::PlanSas { profile, limit, cursor } => {
                Response::Plan(Box::new(self.plan_sas(profile.as_deref(), limit, cursor)?))
            }
            Request::PlanSessions { profile, filter, limit, cursor } => {
                let filter = parse(filter.as_deref())?;
                let plan = self.plan_sessions(profile.as_deref(), &filter, limit, cursor)?;
                Response::Plan(Box::new(plan))
            }
            Request::PolicyLookup(key) => {
                Response::PolicyLookup(Box::new(self.policy_lookup(&key, now)?))
            }
            Request::Simulate(spec) => Response::Trace(Box::new(self.show_simulated(&spec, now)?)),
            Request::TraceStart { filter, count } => {
                let filter = parse(filter.as_deref())?;
                Response::TraceStarted(self.show_trace_start(filter, count))
            }
            Request::TracePoll { trace } => Response::TracePolled(self.show_trace_poll(trace)?),
            Request::TraceStop { trace } => {
                self.stop_trace();
                Response::TracePolled(self.show_trace_poll(trace)?)
            }
            Request::CaptureStart(spec) => {
                Response::CaptureStarted(self.show_capture_start(&spec, now)?)
            }
            Request::CapturePoll { capture } => {
                Response::CapturePolled(self.show_capture_poll(capture, now)?)
            }
            Request::CaptureStop { capture } => {
                self.captures.stop(capture);
                Response::CapturePolled(self.show_capture_poll(capture, now)?)
            }
            Request::ClearSessions { filter } => {
                let filter = parse(filter.as_deref())?;
                self.clear_sessions(filter);
                let pending = self.sessions.len().into();
                cleared("sessions", pending, pending)
            }
            Request::ClearCounters => {
                self.clear_baseline(now);
                cleared("counters", 1, 0)
            }
            Request::ClearNeighbours { interface, address } => {
                let count = self.clear_neighbours(interface.as_deref(), address, now)?;
                cleared("neighbours", count, 0)
            }
            Request::ClearIke { peer } => {
                peer.as_deref().map_or(Ok(()), |peer| self.has_peer(peer))?;
                let count = self.clear_ike(peer.as_deref(), now);
                cleared("ike", count, 0)
            }
            Request::RekeyIke { peer } => {
                self.has_peer(&peer)?;
                let count = self.rekey_ike(&peer, now);
                Response::Rekeying(RekeyingView { what: "ike".into(), count })
            }
            Request::RekeyTunnel { tunnel } => {
                let Some(count) = self.rekey_tunnel(&tunnel, now) else {
                    return Err(ApiError::not_found(format!("no tunnel is `{tunnel}`")));
                };
                Response::Rekeying(RekeyingView { what: "tunnel".into(), count })
            }
            Request::ClearStatistics { what } => self.clear_statistics(what),
            Request::Events { filter, since, limit } => {
                if !parse(filter.as_deref())?.is_everything() {
                    return Err(ApiError::unsupported(
                        "events cannot be filtered yet; ask for all of them",
                    ));
                }
                Response::Events(self.show_events(since, limit))
            }
            Request::ShowPorts => {
                return Err(ApiError::unsupported(
                    "ports belong to the node, not to the slow path",
                ));
            }
            Request::ConfigCheck(_)
            | Request::ConfigDiff(_)
            | Request::ConfigApply { .. }
            | Request::ConfigConfirm
            | Request::ConfigRevert
            | Request::ConfigReload => {
                return Err(ApiError::unsupported("configuration files belong to the daemon"));
            }
        })
    }

    fn clear_statistics(&mut self, what: StatisticsKind) -> Response {
        match what {
            StatisticsKind::Policies => {
                self.account_live();
                self.policies.clear_counters();
                let c = &self.config;
                let rules = c.policies.len() + c.local_in.len() + c.local_out.len();
                cleared("policies", rules as u64, 0)
            }
        }
    }

    fn clear_neighbours(
        &mut self,
        interface: Option<&str>,
        address: Option<core::net::IpAddr>,
        now: Time,
    ) -> Result<u64, ApiError> {
        let interface = match interface {
            Some(name) => Some(self.interface_named(name)?),
            None => None,
        };
        let wanted = |n: &crate::neighbour::Neighbour| {
            interface.is_none_or(|id| n.interface == id) && address.is_none_or(|a| n.address == a)
        };
        let count = self.neighbours.clear(wanted, now);
        self.handle_neighbour_events(now);
        Ok(count as u64)
    }
}

fn parse(filter: Option<&str>) -> Result<Filter, ApiError> {
    let text = filter.unwrap_or_default();
    Filter::parse(text).map_err(|error| ApiError::BadFilter {
        message: error.message.to_string(),
        filter: text.to_owned(),
        column: error.at as u32 + 1,
        expected: error.expected.to_string(),
    })
}

fn cleared(what: &'static str, count: u64, pending: u64) -> Response {
    Response::Cleared(ClearedView { what: what.into(), count, pending })
}

/// Rows of a page: what was asked for, within [`api::PAGE`].
fn rows(limit: Option<u32>) -> usize {
    limit.unwrap_or(api::PAGE).clamp(1, api::PAGE) as usize
}
