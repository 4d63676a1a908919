//! Small conversions that several views share.

use api::{DirectionView, RuleRef, Traffic, TupleView};
use config::model::{AddressSet, IfId, IpRange, Line, ServiceSet, SourceNat, VrId, ZoneId};
use offload::Direction;
use wire::{Time, Tuple};

use crate::{Gateway, session::Tally};

pub(crate) const fn tuple(tuple: &Tuple) -> TupleView {
    TupleView {
        src: tuple.src,
        dst: tuple.dst,
        src_port: tuple.src_port,
        dst_port: tuple.dst_port,
        proto: tuple.proto,
    }
}

pub(super) const fn direction(direction: Direction) -> DirectionView {
    match direction {
        Direction::Original => DirectionView::Original,
        Direction::Reply => DirectionView::Reply,
    }
}

pub(super) const fn traffic(tally: Tally) -> Traffic {
    Traffic { packets: tally.packets, bytes: tally.bytes }
}

/// Milliseconds from `then` to `now`.
pub(super) fn ago(now: Time, then: Time) -> u64 {
    now.since(then).as_millis() as u64
}

pub(super) fn range(range: &IpRange) -> String {
    if range.first == range.last {
        range.first.to_string()
    } else {
        format!("{}-{}", range.first, range.last)
    }
}

pub(super) fn ports(ports: &core::ops::RangeInclusive<u16>) -> String {
    if ports.start() == ports.end() {
        ports.start().to_string()
    } else {
        format!("{}-{}", ports.start(), ports.end())
    }
}

/// Addresses as written, `not` first when negated.
pub(super) fn addresses(set: &AddressSet) -> Vec<String> {
    let mut names = set.names.clone();
    if names.is_empty() && set.any {
        names.push("any".into());
    }
    if set.negate {
        names.insert(0, "not".into());
    }
    names
}

pub(super) fn services(set: &ServiceSet) -> Vec<String> {
    if set.names.is_empty() && set.any { vec!["any".into()] } else { set.names.clone() }
}

impl Gateway {
    pub(super) fn interface_name(&self, id: IfId) -> String {
        self.config.interface_name(id).to_owned()
    }

    pub(super) fn interface_named(&self, name: &str) -> Result<IfId, api::ApiError> {
        let found = self.config.interface_by_name(name).map(|(id, _)| id);
        found.ok_or_else(|| {
            api::ApiError::not_found(format!(
                "no interface {name}; `lockgate show interfaces` lists them"
            ))
        })
    }

    pub(super) fn router_named(&self, name: Option<&str>) -> Result<VrId, api::ApiError> {
        let Some(name) = name else { return Ok(VrId(0)) };
        let found = self.config.virtual_router_by_name(name).map(|(id, _)| id);
        found.ok_or_else(|| api::ApiError::not_found(format!("no virtual router {name}")))
    }

    pub(super) fn zone_of(&self, interface: IfId) -> String {
        match self.config.interface(interface) {
            Some(interface) => self.zone(interface.zone),
            None => String::new(),
        }
    }

    pub(super) fn zone(&self, zone: ZoneId) -> String {
        self.config.zone_name(zone).to_owned()
    }

    pub(super) fn nat_words(&self, nat: &SourceNat) -> String {
        match nat {
            SourceNat::Off => "off".into(),
            SourceNat::Interface => "interface".into(),
            SourceNat::Pools(pools) => {
                let names: Vec<_> = pools.iter().map(|id| self.config.pool_name(*id)).collect();
                names.join(", ")
            }
        }
    }
}

pub(super) fn rule(kind: &'static str, id: Option<u32>, name: &str, line: Line) -> RuleRef {
    RuleRef { kind: kind.into(), id, name: name.to_owned(), line: line.0 }
}
