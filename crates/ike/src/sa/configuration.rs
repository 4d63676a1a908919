//! Configuration payloads (RFC 7296 §2.19, §3.15): addresses that are asked for and given.

use std::net::IpAddr;

use super::payloads::Payloads;
use crate::{
    RequestAddresses,
    message::{
        Configuration, ConfigurationAttribute, ConfigurationKind, Payload,
        configuration_attribute::{
            INTERNAL_IP4_ADDRESS, INTERNAL_IP4_DNS, INTERNAL_IP6_ADDRESS, INTERNAL_IP6_DNS,
        },
    },
};

/// Addresses that were given.
#[derive(Default)]
pub(super) struct Given {
    pub(super) addresses: Vec<IpAddr>,
    pub(super) dns: Vec<IpAddr>,
}

/// What an initiator asks for.
pub(super) fn request(wanted: RequestAddresses) -> Option<Payload> {
    let mut attributes = Vec::new();
    let ask = |kind| ConfigurationAttribute { kind, value: Vec::new() };
    if wanted.v4 {
        attributes.extend([INTERNAL_IP4_ADDRESS, INTERNAL_IP4_DNS].map(ask));
    }
    if wanted.v6 {
        attributes.extend([INTERNAL_IP6_ADDRESS, INTERNAL_IP6_DNS].map(ask));
    }
    let kind = ConfigurationKind::Request;
    (!attributes.is_empty()).then_some(Payload::Configuration(Configuration { kind, attributes }))
}

/// What the responder gave.
pub(super) fn reply(payloads: Payloads<'_>) -> Given {
    let mut given = Given::default();
    let reply = payloads.configuration().filter(|c| c.kind == ConfigurationKind::Reply);
    for attribute in reply.iter().flat_map(|reply| &reply.attributes) {
        let value = attribute.value.as_slice();
        let v4 = || value.first_chunk::<4>().map(|bytes| IpAddr::from(*bytes));
        let v6 = || value.first_chunk::<16>().map(|bytes| IpAddr::from(*bytes));
        match attribute.kind {
            INTERNAL_IP4_ADDRESS => given.addresses.extend(v4()),
            INTERNAL_IP6_ADDRESS => given.addresses.extend(v6()),
            INTERNAL_IP4_DNS => given.dns.extend(v4()),
            INTERNAL_IP6_DNS => given.dns.extend(v6()),
            _ => {}
        }
    }
    given
}

/// The versions of addresses that an initiator asks for.
pub(super) fn asked(payloads: Payloads<'_>) -> RequestAddresses {
    let request = payloads.configuration().filter(|c| c.kind == ConfigurationKind::Request);
    let asks = |kind| request.is_some_and(|r| r.attributes.iter().any(|a| a.kind == kind));
    RequestAddresses { v4: asks(INTERNAL_IP4_ADDRESS), v6: asks(INTERNAL_IP6_ADDRESS) }
}

impl Given {
    /// What a responder gives.
    pub(super) fn reply(&self) -> Payload {
        let attribute = |kind, value| ConfigurationAttribute { kind, value };
        let addresses = self.addresses.iter().map(|address| match address {
            IpAddr::V4(ip) => attribute(INTERNAL_IP4_ADDRESS, ip.octets().to_vec()),
            IpAddr::V6(ip) => {
                attribute(INTERNAL_IP6_ADDRESS, [ip.octets().as_slice(), &[128]].concat())
            }
        });
        let dns = self.dns.iter().map(|server| match server {
            IpAddr::V4(ip) => attribute(INTERNAL_IP4_DNS, ip.octets().to_vec()),
            IpAddr::V6(ip) => attribute(INTERNAL_IP6_DNS, ip.octets().to_vec()),
        });
        let attributes = addresses.chain(dns).collect();
        Payload::Configuration(Configuration { kind: ConfigurationKind::Reply, attributes })
    }
}
