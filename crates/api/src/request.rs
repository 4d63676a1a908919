//! What a client can ask for.

use core::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::CapturePoint;

/// A request. Filters are strings of the filter language; an empty or absent filter matches all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Ports with counters and link state.
    ShowPorts,
    /// Layer-3 interfaces with addresses.
    ShowInterfaces,
    /// One page of sessions.
    ShowSessions {
        /// Which.
        #[serde(default)]
        filter: Option<String>,
        /// Most rows, at most [`crate::PAGE`].
        #[serde(default)]
        limit: Option<u32>,
        /// Where to go on: [`crate::SessionsView::next`] of the page before.
        #[serde(default)]
        cursor: Option<u64>,
        /// Fill [`crate::SessionView::placements`].
        #[serde(default)]
        offload: bool,
    },
    /// Sessions counted by state, protocol and tier.
    ShowSessionSummary,
    /// One page of policies: forward, then local-in, then local-out.
    ShowPolicies {
        /// Most rows, at most [`crate::PAGE`].
        #[serde(default)]
        limit: Option<u32>,
        /// Where to go on.
        #[serde(default)]
        cursor: Option<u64>,
    },
    /// One page of routes, or the route to one destination.
    ShowRoutes {
        /// Virtual router; all where absent.
        #[serde(default)]
        vr: Option<String>,
        /// Longest match for this address instead of a list; in `vr`, or in `default`.
        #[serde(default)]
        destination: Option<IpAddr>,
        /// Most rows, at most [`crate::PAGE`].
        #[serde(default)]
        limit: Option<u32>,
        /// Where to go on.
        #[serde(default)]
        cursor: Option<u64>,
    },
    /// Neighbours.
    ShowNeighbours {
        /// Most rows, at most [`crate::PAGE`].
        #[serde(default)]
        limit: Option<u32>,
        /// Where to go on.
        #[serde(default)]
        cursor: Option<u64>,
    },
    /// Tunnels.
    ShowTunnels {
        /// Most rows, at most [`crate::PAGE`].
        #[serde(default)]
        limit: Option<u32>,
        /// Where to go on.
        #[serde(default)]
        cursor: Option<u64>,
    },
    /// SAs.
    ShowSas {
        /// Only of this tunnel, or with this SPI (`0x…`).
        #[serde(default)]
        pick: Option<String>,
        /// Most rows, at most [`crate::PAGE`].
        #[serde(default)]
        limit: Option<u32>,
        /// Where to go on.
        #[serde(default)]
        cursor: Option<u64>,
    },
    /// IKE peers.
    ShowIke {
        /// Only this peer.
        #[serde(default)]
        peer: Option<String>,
        /// The latest messages too.
        #[serde(default)]
        messages: bool,
    },
    /// One page of the addresses whose user is known.
    ShowUsers {
        /// Only of this user.
        #[serde(default)]
        user: Option<String>,
        /// Most rows, at most [`crate::PAGE`].
        #[serde(default)]
        limit: Option<u32>,
        /// Where to go on.
        #[serde(default)]
        cursor: Option<u64>,
    },
    /// Remote access: servers, and one page of clients.
    ShowRemoteAccess {
        /// Only clients of this user.
        #[serde(default)]
        user: Option<String>,
        /// Most rows, at most [`crate::PAGE`].
        #[serde(default)]
        limit: Option<u32>,
        /// Where to go on.
        #[serde(default)]
        cursor: Option<u64>,
    },
    /// One page of DTLS associations.
    ShowDtls {
        /// Only those of this user.
        #[serde(default)]
        user: Option<String>,
        /// Most rows, at most [`crate::PAGE`].
        #[serde(default)]
        limit: Option<u32>,
        /// Where to go on.
        #[serde(default)]
        cursor: Option<u64>,
    },
    /// Virtual IPs.
    ShowNatVips,
    /// IP pools.
    ShowNatPools,
    /// Address pools.
    ShowAddressPools,
    /// Engines: occupancy, work, refusals, punts.
    ShowEngines,
    /// Why sessions are not on a faster tier, counted.
    ShowOffloadReasons,
    /// Tiers, drops, punts and the rest of the counters.
    ShowCounters {
        /// Also what was added since the last look with `delta`.
        #[serde(default)]
        delta: bool,
    },
    /// Version, uptime, memory, tables.
    ShowSystem,
    /// Anomaly checks and sensors.
    ShowAnomaly,
    /// One session with its stored decision.
    ExplainSession(SessionPick),
    /// The session a tuple belongs to, in either direction, before or after translation.
    ExplainFlow(LookupKey),
    /// SAs with where they stand at the engine, and how that came.
    ExplainSas {
        /// Only of this tunnel, or with this SPI (`0x…`).
        #[serde(default)]
        pick: Option<String>,
        /// Most rows, at most [`crate::PAGE`].
        #[serde(default)]
        limit: Option<u32>,
        /// Where to go on.
        #[serde(default)]
        cursor: Option<u64>,
    },
    /// Clients of remote access with where their DTLS associations stand at the engine, and how that came.
    ExplainDtls {
        /// Only clients of this user.
        #[serde(default)]
        user: Option<String>,
        /// Most rows, at most [`crate::PAGE`].
        #[serde(default)]
        limit: Option<u32>,
        /// Where to go on.
        #[serde(default)]
        cursor: Option<u64>,
    },
    /// The SAs that the engine would take if it were held to a profile.
    PlanSas {
        /// The profile; the configured one where absent.
        #[serde(default)]
        profile: Option<String>,
        /// Most rows, at most [`crate::PAGE`].
        #[serde(default)]
        limit: Option<u32>,
        /// Where to go on.
        #[serde(default)]
        cursor: Option<u64>,
    },
    /// The sessions that the engine would take if it were held to a profile.
    PlanSessions {
        /// The profile; the configured one where absent.
        #[serde(default)]
        profile: Option<String>,
        /// Which.
        #[serde(default)]
        filter: Option<String>,
        /// Most rows, at most [`crate::PAGE`].
        #[serde(default)]
        limit: Option<u32>,
        /// Where to go on.
        #[serde(default)]
        cursor: Option<u64>,
    },
    /// Why a tunnel is up or not.
    ExplainTunnel {
        /// Its name.
        name: String,
    },
    /// The policy that a new session with this key would meet.
    PolicyLookup(LookupKey),
    /// A made-up packet through every stage, changing nothing.
    Simulate(PacketSpec),
    /// Starts a live trace.
    TraceStart {
        /// Which packets.
        #[serde(default)]
        filter: Option<String>,
        /// How many; the trace ends by itself then.
        count: u32,
    },
    /// Traced packets since the last poll.
    TracePoll {
        /// [`crate::TraceStartedView::trace`].
        trace: u64,
    },
    /// Ends a live trace.
    TraceStop {
        /// [`crate::TraceStartedView::trace`].
        trace: u64,
    },
    /// Starts a capture.
    CaptureStart(CaptureSpec),
    /// Packets captured since the last poll. A capture that nobody polls ends.
    CapturePoll {
        /// [`crate::CaptureStartedView::capture`].
        capture: u64,
    },
    /// Ends a capture; what it has can still be polled.
    CaptureStop {
        /// [`crate::CaptureStartedView::capture`].
        capture: u64,
    },
    /// A user is behind an address from now on; another who was there is gone.
    UserLogin {
        /// The address.
        address: IpAddr,
        /// Virtual router; `default` where absent.
        #[serde(default)]
        vr: Option<String>,
        /// Name of the user.
        user: String,
        /// Groups that the user is in.
        #[serde(default)]
        groups: Vec<String>,
        /// For how long, unless somebody says so again; until the logout where absent.
        #[serde(default)]
        seconds: Option<u32>,
    },
    /// Nobody is behind an address any more. Sessions of the user end.
    UserLogout {
        /// The address.
        address: IpAddr,
        /// Virtual router; `default` where absent.
        #[serde(default)]
        vr: Option<String>,
    },
    /// Ends sessions.
    ClearSessions {
        /// Which.
        #[serde(default)]
        filter: Option<String>,
    },
    /// The counters of [`Request::ShowCounters`] back to zero.
    ClearCounters,
    /// Forgets resolved neighbours; static ones stay.
    ClearNeighbours {
        /// Only on this interface.
        #[serde(default)]
        interface: Option<String>,
        /// Only this address.
        #[serde(default)]
        address: Option<IpAddr>,
    },
    /// Ends IKE SAs and what was negotiated under them; what is to be up is negotiated again.
    ClearIke {
        /// Only of this peer.
        #[serde(default)]
        peer: Option<String>,
    },
    /// Replaces the IKE SAs of a peer; their children stay.
    RekeyIke {
        /// Its name.
        peer: String,
    },
    /// Replaces the negotiated SAs of a tunnel.
    RekeyTunnel {
        /// Its name.
        tunnel: String,
    },
    /// Ends clients of remote access.
    ClearRemoteAccess {
        /// Only those of this user.
        #[serde(default)]
        user: Option<String>,
    },
    /// Statistics of one table back to zero.
    ClearStatistics {
        /// Which.
        what: StatisticsKind,
    },
    /// Events.
    Events {
        /// Must be empty: events cannot be filtered yet.
        #[serde(default)]
        filter: Option<String>,
        /// Only those after this sequence number; from the oldest kept where absent.
        #[serde(default)]
        since: Option<u64>,
        /// Most rows, at most [`crate::PAGE`].
        #[serde(default)]
        limit: Option<u32>,
    },
    /// Validates a text; changes nothing.
    ConfigCheck(ConfigText),
    /// Compares a text with the running configuration; changes nothing.
    ConfigDiff(ConfigText),
    /// Validates a text and runs it.
    ConfigApply {
        /// Where it came from, for messages.
        source: String,
        /// The text.
        text: String,
        /// Go back after this many seconds unless confirmed; at once for good where absent.
        #[serde(default)]
        confirm_seconds: Option<u32>,
    },
    /// Keeps what was applied with a timer.
    ConfigConfirm,
    /// Goes back at once to what ran before.
    ConfigRevert,
    /// Reads the configuration file again and runs it.
    ConfigReload,
}

/// What to capture. Everything that is there must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CaptureSpec {
    /// Which packets, as they are at the point, before or after translation.
    pub filter: Option<String>,
    /// Only packets of the SAs with this SPI (`0x…`): the ESP packets and what is inside.
    pub spi: Option<String>,
    /// Only packets of DTLS associations, those of this user or of all where it is empty: the records and what
    /// is inside.
    #[serde(default)]
    pub dtls: Option<String>,
    /// Only packets dropped or punted for this reason.
    pub reason: Option<String>,
    /// Only at these points; at every one where there is none.
    pub points: Vec<CapturePoint>,
    /// Only where the packet's interface at the point is this one.
    pub interface: Option<String>,
    /// End after so many packets, at least 1.
    pub count: Option<u64>,
    /// End after so many seconds, at least 1.
    pub seconds: Option<u32>,
    /// Bytes kept of each packet, at least [`crate::MIN_SNAP`]; all where absent.
    pub snap: Option<u32>,
}

/// A configuration that is not the running one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigText {
    /// Where it came from, for messages.
    pub source: String,
    /// The text.
    pub text: String,
}

/// Which session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionPick {
    /// By id.
    #[serde(default)]
    pub id: Option<u64>,
    /// The first that the filter matches in the first page of the table; page through
    /// [`Request::ShowSessions`] to look further.
    #[serde(default)]
    pub filter: Option<String>,
}

/// What identifies a conversation, for lookups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LookupKey {
    /// Interface it comes in by; where absent, the one the route back to the source points at.
    #[serde(default)]
    pub interface: Option<String>,
    /// Virtual router; that of the interface, or `default`, where absent.
    #[serde(default)]
    pub vr: Option<String>,
    /// Source.
    pub src: IpAddr,
    /// Destination.
    pub dst: IpAddr,
    /// IP protocol number.
    pub proto: u8,
    /// Source port or ICMP identifier.
    #[serde(default)]
    pub src_port: u16,
    /// Destination port; for ICMP the type.
    #[serde(default)]
    pub dst_port: u16,
}

/// A made-up packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PacketSpec {
    /// Key and interface.
    #[serde(flatten)]
    pub key: LookupKey,
    /// Bytes of the IP packet; the smallest that holds the headers where absent.
    #[serde(default)]
    pub length: Option<u16>,
    /// TTL or hop limit; 64 where absent.
    #[serde(default)]
    pub ttl: Option<u8>,
    /// IPv4 don't fragment; set where absent.
    #[serde(default)]
    pub dont_fragment: Option<bool>,
    /// TCP flags; SYN alone where absent.
    #[serde(default)]
    pub tcp_flags: Option<TcpFlagsSpec>,
}

/// TCP flags by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TcpFlagsSpec {
    /// SYN.
    pub syn: bool,
    /// ACK.
    pub ack: bool,
    /// FIN.
    pub fin: bool,
    /// RST.
    pub rst: bool,
    /// PSH.
    pub psh: bool,
    /// URG.
    pub urg: bool,
}

impl TcpFlagsSpec {
    /// The flags as they stand in the header (RFC 9293 §3.1).
    pub fn bits(self) -> u8 {
        u8::from(self.fin)
            | u8::from(self.syn) << 1
            | u8::from(self.rst) << 2
            | u8::from(self.psh) << 3
            | u8::from(self.ack) << 4
            | u8::from(self.urg) << 5
    }
}

/// Whose statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StatisticsKind {
    /// Hits and traffic of policies and local rules.
    Policies,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_survive_json_and_defaults_may_be_left_out() {
        let parse = |text: &str| serde_json::from_str::<Request>(text);
        assert_eq!(parse(r#"{"request":"show-ports"}"#).expect("valid"), Request::ShowPorts);
        assert_eq!(
            parse(r#"{"request":"show-sessions","filter":"port 443"}"#).expect("valid"),
            Request::ShowSessions {
                filter: Some("port 443".into()),
                limit: None,
                cursor: None,
                offload: false
            }
        );
        let packet = r#"{"request":"simulate","src":"10.0.0.1","dst":"2001:db8::1","proto":6,
            "dst_port":443,"tcp_flags":{"syn":true}}"#;
        let request = parse(packet).expect("valid");
        let Request::Simulate(spec) = &request else { panic!("{request:?}") };
        assert_eq!(spec.tcp_flags.map(TcpFlagsSpec::bits), Some(2));
        let text = serde_json::to_string(&request).expect("serialises");
        assert_eq!(parse(&text).expect("valid"), request);
    }

    #[test]
    fn a_field_nobody_knows_is_an_error() {
        for bad in [
            r#"{"request":"show-everything"}"#,
            r#"{"request":"show-sessions","filtre":"port 443"}"#,
            r#"{"request":"trace-start"}"#,
        ] {
            assert!(serde_json::from_str::<Request>(bad).is_err(), "{bad}");
        }
    }
}
