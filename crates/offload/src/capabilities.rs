//! What an engine can do, as data, and the evaluation of a flow against it.
//!
//! All checks are evaluated; the result is a set. Facts that belong to the gateway (switches,
//! handshake state, inspection) are findings the caller already made and passes in. Each check says
//! its evidence beside its reason, which is only put into words when somebody asks.

mod allowed;
mod dtls;
mod ipsec;
mod properties;

use core::fmt;

use reason::{NotEligible, ReasonSet};
use wire::proto;

pub use allowed::Allowed;
pub use dtls::{DtlsCapabilities, DtlsFacts, DtlsVersion};
pub use ipsec::{IpsecCapabilities, Keying, SaFacts};

/// What an engine, or the device a profile stands for, can do. Pure data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Name of the engine or profile.
    pub name: &'static str,
    /// IP protocols it forwards.
    pub protocols: Allowed<u8>,
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
    /// It forwards what comes out of a tunnel and goes into one.
    pub tunnelled: bool,
    /// Most programs.
    pub flows: u64,
    /// Which SAs it serves.
    pub ipsec: IpsecCapabilities,
    /// Which DTLS associations it serves.
    pub dtls: DtlsCapabilities,
}

/// Called for each thing that stands against a flow or an SA, with the evidence.
type Found<'a> = &'a mut dyn FnMut(NotEligible, fmt::Arguments<'_>);

impl Capabilities {
    /// The software engine with room for `flows` programs. It serves every SA that can be
    /// configured.
    pub const fn soft(flows: u64) -> Self {
        Self {
            name: "soft",
            protocols: Allowed::Only(&[
                proto::TCP,
                proto::UDP,
                proto::ICMP,
                proto::ICMPV6,
                proto::SCTP,
                proto::GRE,
            ]),
            ipv4: true,
            ipv6: true,
            nat: true,
            tcp_window: true,
            ip_options: false,
            fragments: false,
            cross_port: true,
            tunnelled: true,
            flows,
            // Neither IKEv1 nor compression is there to be configured.
            ipsec: IpsecCapabilities {
                ikev1: false,
                compression: false,
                ..IpsecCapabilities::EVERYTHING
            },
            // Clients that speak no 1.2, or compress, are refused by the handshake already.
            dtls: DtlsCapabilities {
                versions: Allowed::Only(&[DtlsVersion::V1_2]),
                compression: false,
                ..DtlsCapabilities::EVERYTHING
            },
        }
    }

    /// Evaluates a flow: what stands against it on this engine, everything at once.
    pub fn evaluate(&self, facts: &FlowFacts) -> Eligibility {
        let mut against = facts.findings;
        self.check(facts, &mut |reason, _| against.insert(reason));
        Eligibility { against }
    }

    /// The figures behind a reason of [`Capabilities::evaluate`], as `name=value` pairs; none where
    /// the reason is a finding of the gateway's own.
    pub fn evidence(&self, facts: &FlowFacts, reason: NotEligible) -> Option<String> {
        said(reason, |found| self.check(facts, found))
    }

    fn check(&self, facts: &FlowFacts, found: Found<'_>) {
        if !self.protocols.has(&facts.proto) {
            let supported = self.protocols.list(protocol);
            found(
                NotEligible::ProtocolUnsupported,
                format_args!("protocol={} supported={supported}", protocol(&facts.proto)),
            );
        }
        self.check_version(facts.ipv6, (self.ipv4, self.ipv6), found);
        if facts.translated && !self.nat {
            found(NotEligible::NatUnsupported, format_args!("nat=true"));
        }
        if facts.options && !self.ip_options {
            found(NotEligible::IpOptions, format_args!("options=true"));
        }
        if facts.fragments && !self.fragments {
            found(NotEligible::Fragment, format_args!("fragments=true"));
        }
        if facts.proto == proto::TCP && !self.tcp_window && !facts.weaken_tcp_window {
            found(NotEligible::TcpWindowUnchecked, format_args!("weaken=none"));
        }
        if facts.tunnelled && !self.tunnelled {
            found(NotEligible::TunnelledFlow, format_args!("tunnel=true"));
        }
    }

    /// IPv4 and IPv6, of a flow or of the outer header of an SA.
    fn check_version(&self, ipv6: bool, (v4, v6): (bool, bool), found: Found<'_>) {
        let (has, is, other) = if ipv6 { (v6, "ipv6", "ipv4") } else { (v4, "ipv4", "ipv6") };
        if !has {
            found(
                NotEligible::AddressFamilyUnsupported,
                format_args!("version={is} supported={other}"),
            );
        }
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
    /// It comes out of a tunnel or goes into one.
    pub tunnelled: bool,
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

/// The evidence that `check` gives for `reason`.
fn said(reason: NotEligible, check: impl FnOnce(Found<'_>)) -> Option<String> {
    let mut evidence = None;
    check(&mut |found, words| {
        if found == reason {
            evidence = Some(words.to_string());
        }
    });
    evidence
}

/// A protocol as a word, or as its number.
fn protocol(number: &u8) -> String {
    let word = match *number {
        proto::TCP => "tcp",
        proto::UDP => "udp",
        proto::ICMP => "icmp",
        proto::ICMPV6 => "icmp6",
        proto::SCTP => "sctp",
        proto::GRE => "gre",
        proto::ESP => "esp",
        other => return other.to_string(),
    };
    word.to_owned()
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
        weak.tunnelled = false;
        let facts = FlowFacts {
            proto: proto::TCP,
            ipv6: true,
            translated: true,
            options: true,
            fragments: true,
            tunnelled: true,
            weaken_tcp_window: false,
            findings: [NotEligible::DisabledByPolicy].into_iter().collect(),
        };
        let against = weak.evaluate(&facts).against;
        assert_eq!(
            against.to_string(),
            "disabled-by-policy, address-family-unsupported, nat-unsupported, fragment, ip-options, \
             tcp-window-unchecked, tunnelled-flow"
        );
        let evidence = |reason| weak.evidence(&facts, reason);
        assert_eq!(
            evidence(NotEligible::AddressFamilyUnsupported).as_deref(),
            Some("version=ipv6 supported=ipv4")
        );
        assert_eq!(evidence(NotEligible::DisabledByPolicy), None, "the gateway's own finding");
        let plain = FlowFacts { proto: proto::UDP, ..FlowFacts::default() };
        assert!(Capabilities::soft(8).evaluate(&plain).is_eligible());
        let ospf = FlowFacts { proto: 89, ..FlowFacts::default() };
        let soft = Capabilities::soft(8);
        assert_eq!(soft.evaluate(&ospf).against.first(), Some(NotEligible::ProtocolUnsupported));
        assert_eq!(
            soft.evidence(&ospf, NotEligible::ProtocolUnsupported).as_deref(),
            Some("protocol=89 supported=tcp,udp,icmp,icmp6,sctp,gre")
        );
    }
}
