//! Configuration payloads (RFC 7296 §2.19, §3.15): addresses that are asked for and given.

use std::net::IpAddr;

use super::{Context, payloads::Payloads};
use crate::{
    Connection, Failure, RequestAddresses,
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

/// Gives a peer what it asks for out of the pool of its connection.
pub(super) fn give(
    ctx: &mut Context<'_>,
    connection: &Connection,
    payloads: Payloads<'_>,
) -> Result<(Given, Option<Payload>), Failure> {
    let mut given = Given::default();
    let asked = payloads.configuration().filter(|c| c.kind == ConfigurationKind::Request);
    let Some(asked) = asked.filter(|_| !connection.pool.is_empty()) else {
        return Ok((given, None));
    };
    let mut attributes = Vec::new();
    let mut add = |kind, value| attributes.push(ConfigurationAttribute { kind, value });
    let mut short = false;
    for v4 in [true, false] {
        let kind = if v4 { INTERNAL_IP4_ADDRESS } else { INTERNAL_IP6_ADDRESS };
        let ranges = || connection.pool.iter().filter(move |(first, _)| first.is_ipv4() == v4);
        let wanted = asked.attributes.iter().find(|attribute| attribute.kind == kind);
        if wanted.is_none() || ranges().next().is_none() {
            continue;
        }
        match ctx.out.lease(ranges()) {
            Some(IpAddr::V4(ip)) => {
                given.addresses.push(ip.into());
                add(kind, ip.octets().to_vec());
            }
            Some(IpAddr::V6(ip)) => {
                given.addresses.push(ip.into());
                add(kind, [ip.octets().as_slice(), &[128]].concat());
            }
            None => short = true,
        }
    }
    if given.addresses.is_empty() && short {
        return Err(Failure::NoAddress);
    }
    for server in &connection.dns {
        match server {
            IpAddr::V4(ip) => add(INTERNAL_IP4_DNS, ip.octets().to_vec()),
            IpAddr::V6(ip) => add(INTERNAL_IP6_DNS, ip.octets().to_vec()),
        }
    }
    given.dns = connection.dns.clone();
    let kind = ConfigurationKind::Reply;
    Ok((given, Some(Payload::Configuration(Configuration { kind, attributes }))))
}
