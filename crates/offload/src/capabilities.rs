//! What an engine can do, as data, and the evaluation of a flow against it.
//!
//! All checks are evaluated; the result is a set. Facts that belong to the gateway (switches,
//! handshake state, inspection) are findings the caller already made and passes in.

use reason::{NotEligible, ReasonSet};
use wire::proto;

/// What an engine can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Name of the engine or profile.
    pub name: &'static str,
    /// IP protocols it forwards.
    pub protocols: Vec<u8>,
    /// IPv4.
    pub ipv4: bool,
    /// IPv6.
    pub ipv6: bool,
    /// Source and destination translation.
    pub nat: bool,
    /// It checks TCP windows (shared state).
    pub tcp_window: bool,
    /// It forwards packets with IP options or extension headers.
    pub ip_options: bool,
    /// It forwards fragments.
    pub fragments: bool,
    /// It can send several flows of one session by different ports.
    pub cross_port: bool,
    /// Most programs.
    pub flows: u64,
}

impl Capabilities {
    /// The software engine with room for `flows` programs.
    pub fn soft(flows: u64) -> Self {
        Self {
            name: "soft",
            protocols: vec![
                proto::TCP,
                proto::UDP,
                proto::ICMP,
                proto::ICMPV6,
                proto::SCTP,
                proto::GRE,
            ],
            ipv4: true,
            ipv6: true,
            nat: true,
            tcp_window: true,
            ip_options: false,
            fragments: false,
            cross_port: true,
            flows,
        }
    }

    /// Evaluates a flow: what stands against it on this engine, everything at once.
    pub fn evaluate(&self, facts: &FlowFacts) -> Eligibility {
        let mut against = facts.findings;
        let mut check = |ok: bool, reason: NotEligible| {
            if !ok {
                against.insert(reason);
            }
        };
        check(self.protocols.contains(&facts.proto), NotEligible::ProtocolUnsupported);
        check(
            if facts.ipv6 { self.ipv6 } else { self.ipv4 },
            NotEligible::AddressFamilyUnsupported,
        );
        check(self.nat || !facts.translated, NotEligible::NatUnsupported);
        check(self.ip_options || !facts.options, NotEligible::IpOptions);
        check(self.fragments || !facts.fragments, NotEligible::Fragment);
        check(
            facts.proto != proto::TCP || self.tcp_window || facts.weaken_tcp_window,
            NotEligible::TcpWindowUnchecked,
        );
        Eligibility { against }
    }
}

/// What an engine needs to know of a flow to judge it.
#[derive(Clone, Copy, Debug, Default)]
pub struct FlowFacts {
    /// IP protocol.
    pub proto: u8,
    /// IPv6 rather than IPv4.
    pub ipv6: bool,
    /// Addresses or ports are translated.
    pub translated: bool,
    /// Its packets carry options or extension headers.
    pub options: bool,
    /// Its packets come as fragments.
    pub fragments: bool,
    /// The configuration allows an engine that does not check TCP windows.
    pub weaken_tcp_window: bool,
    /// What the gateway itself found against offloading.
    pub findings: ReasonSet<NotEligible>,
}

/// The outcome of an evaluation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Eligibility {
    /// Everything that stands against it; empty means eligible.
    pub against: ReasonSet<NotEligible>,
}

impl Eligibility {
    /// Whether nothing stands against it.
    pub const fn is_eligible(self) -> bool {
        self.against.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_is_evaluated_not_the_first() {
        let mut weak = Capabilities::soft(8);
        weak.ipv6 = false;
        weak.tcp_window = false;
        weak.nat = false;
        let facts = FlowFacts {
            proto: proto::TCP,
            ipv6: true,
            translated: true,
            options: true,
            fragments: true,
            weaken_tcp_window: false,
            findings: [NotEligible::DisabledByPolicy].into_iter().collect(),
        };
        let against = weak.evaluate(&facts).against;
        assert_eq!(
            against.to_string(),
            "disabled-by-policy, address-family-unsupported, nat-unsupported, fragment, ip-options, \
             tcp-window-unchecked"
        );
        let plain = FlowFacts { proto: proto::UDP, ..FlowFacts::default() };
        assert!(Capabilities::soft(8).evaluate(&plain).is_eligible());
        let ospf = FlowFacts { proto: 89, ..FlowFacts::default() };
        assert_eq!(
            Capabilities::soft(8).evaluate(&ospf).against.first(),
            Some(NotEligible::ProtocolUnsupported)
        );
    }
}
