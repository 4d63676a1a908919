//! What a rule asks of a packet, and whether a packet answers it, condition by condition.
//!
//! This is the plain meaning of a rule, a scan over its lists. The [`Classifier`] gives the same
//! answer faster; tests hold it to this, `policy lookup` explains with this.
//!
//! [`Classifier`]: super::Classifier

use core::net::IpAddr;

use config::model::{AddressSet, IpRange, Service, ServiceSet, Who, ZoneId};

use super::classifier::Sender;

/// What is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Zone the packet came in by.
    pub from: ZoneId,
    /// Zone it leaves by.
    pub to: ZoneId,
    /// Source address.
    pub src: IpAddr,
    /// Destination address, after destination NAT.
    pub dst: IpAddr,
    /// IP protocol number.
    pub proto: u8,
    /// Source port; zero for protocols without.
    pub src_port: u16,
    /// Destination port; for ICMP and ICMPv6 the type; zero for other protocols without ports.
    pub dst_port: u16,
    /// Who is behind the source address.
    pub who: Sender,
}

/// A condition of a rule, as `policy lookup` names those that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Condition {
    /// The rule is disabled.
    Enabled,
    /// The rule is outside its schedule.
    Schedule,
    /// Incoming zone.
    From,
    /// Outgoing zone.
    To,
    /// Source address.
    Source,
    /// Who is behind the source address.
    Who,
    /// Destination address.
    Destination,
    /// Protocol and ports.
    Service,
}

impl Condition {
    /// The word for people and for JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Schedule => "schedule",
            Self::From => "from",
            Self::To => "to",
            Self::Source => "source",
            Self::Who => "user",
            Self::Destination => "destination",
            Self::Service => "service",
        }
    }
}

/// A rule as the configuration has it. Empty zone lists mean any zone.
#[derive(Clone, Copy, Debug)]
pub struct RuleSpec<'a> {
    /// Incoming zones.
    pub from: &'a [ZoneId],
    /// Outgoing zones.
    pub to: &'a [ZoneId],
    /// Source addresses.
    pub source: &'a AddressSet,
    /// Who must be behind them; anybody where absent.
    pub who: Option<&'a Who>,
    /// Destination addresses.
    pub destination: &'a AddressSet,
    /// Services.
    pub services: &'a ServiceSet,
}

/// The conditions of a rule, without names.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) from: Box<[ZoneId]>,
    pub(super) to: Box<[ZoneId]>,
    pub(super) source: Addresses,
    /// `None` is anybody.
    pub(super) who: Option<Box<Who>>,
    pub(super) destination: Addresses,
    /// `None` is any.
    pub(super) services: Option<Box<[Service]>>,
    /// Some service asks for source ports, so that its ports are not independent of each other.
    pub(super) pairs_ports: bool,
}

/// Addresses of a rule: `None` is any; ranges are what matches (negation already applied).
pub(super) type Addresses = Option<Box<[IpRange]>>;

impl Rule {
    pub(super) fn new(spec: &RuleSpec<'_>) -> Self {
        let services = (!spec.services.any).then(|| spec.services.services.as_slice().into());
        Self {
            from: spec.from.into(),
            to: spec.to.into(),
            source: addresses(spec.source),
            who: spec.who.filter(|who| !who.is_anybody()).map(|who| Box::new(who.clone())),
            destination: addresses(spec.destination),
            pairs_ports: spec.services.services.iter().any(asks_source_port) && services.is_some(),
            services,
        }
    }

    /// Whether all of it matches somebody of that name, in those groups.
    #[cfg(test)]
    pub(super) fn matches(&self, key: &Key, somebody: Option<(&str, &[&str])>) -> bool {
        let is = |who: &Who| {
            somebody.is_some_and(|(user, groups)| {
                who.known
                    || who.users.iter().any(|name| name == user)
                    || who.groups.iter().any(|name| groups.contains(&name.as_str()))
            })
        };
        self.failures(key, self.who.as_deref().is_some_and(is)).next().is_none()
    }

    pub(super) fn matches_services(&self, key: &Key) -> bool {
        self.services.as_ref().is_none_or(|services| {
            services.iter().any(|service| {
                service.proto == key.proto
                    && service.src_ports.contains(&key.src_port)
                    && service.dst_ports.contains(&key.dst_port)
            })
        })
    }

    /// The conditions that fail, in the order of [`Condition`]. `who` says whether the sender is one
    /// that the rule asks for, if it does.
    pub(super) fn failures(&self, key: &Key, who: bool) -> impl Iterator<Item = Condition> {
        let zone = |zones: &[ZoneId], zone| zones.is_empty() || zones.contains(&zone);
        let address = |set: &Addresses, ip: IpAddr| {
            set.as_ref().is_none_or(|ranges| {
                ranges
                    .iter()
                    .any(|r| r.first.is_ipv4() == ip.is_ipv4() && r.first <= ip && ip <= r.last)
            })
        };
        [
            (Condition::From, zone(&self.from, key.from)),
            (Condition::To, zone(&self.to, key.to)),
            (Condition::Source, address(&self.source, key.src)),
            (Condition::Who, who || self.who.is_none()),
            (Condition::Destination, address(&self.destination, key.dst)),
            (Condition::Service, self.matches_services(key)),
        ]
        .into_iter()
        .filter(|(_, holds)| !holds)
        .map(|(condition, _)| condition)
    }
}

fn asks_source_port(service: &Service) -> bool {
    service.src_ports != (0..=u16::MAX)
}

fn addresses(set: &AddressSet) -> Addresses {
    if set.any == set.negate {
        // A list as it is, or the negation of any, which is nothing.
        return match set.any {
            false => Some(set.ranges.as_slice().into()),
            true => Some(Box::default()),
        };
    }
    if set.any {
        return None;
    }
    let mut outside = Vec::new();
    gaps(
        set.ranges.iter().filter_map(|r| match (r.first, r.last) {
            (IpAddr::V4(a), IpAddr::V4(b)) => Some((a.to_bits(), b.to_bits())),
            _ => None,
        }),
        u32::MAX,
        |n| n.checked_add(1),
        |n| n.checked_sub(1),
        |first: u32, last| {
            outside
                .push(IpRange { first: IpAddr::V4(first.into()), last: IpAddr::V4(last.into()) });
        },
    );
    gaps(
        set.ranges.iter().filter_map(|r| match (r.first, r.last) {
            (IpAddr::V6(a), IpAddr::V6(b)) => Some((a.to_bits(), b.to_bits())),
            _ => None,
        }),
        u128::MAX,
        |n| n.checked_add(1),
        |n| n.checked_sub(1),
        |first: u128, last| {
            outside
                .push(IpRange { first: IpAddr::V6(first.into()), last: IpAddr::V6(last.into()) });
        },
    );
    Some(outside.into())
}

/// Emits what lies between sorted ranges. Overlaps are tolerated.
fn gaps<N: Copy + Ord + Default>(
    ranges: impl Iterator<Item = (N, N)>,
    max: N,
    next: impl Fn(N) -> Option<N>,
    previous: impl Fn(N) -> Option<N>,
    mut emit: impl FnMut(N, N),
) {
    let mut start = Some(N::default());
    for (first, last) in ranges {
        let Some(from) = start else { return };
        if let Some(before) = previous(first).filter(|&before| before >= from) {
            emit(from, before);
        }
        start = next(last).map(|after| after.max(from));
    }
    if let Some(from) = start {
        emit(from, max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(ranges: &[(&str, &str)], any: bool, negate: bool) -> AddressSet {
        let ip = |s: &str| s.parse().expect("address");
        AddressSet {
            names: Vec::new(),
            ranges: ranges.iter().map(|(a, b)| IpRange { first: ip(a), last: ip(b) }).collect(),
            any,
            negate,
        }
    }

    #[test]
    fn negation_is_everything_else_of_both_versions() {
        let made = addresses(&set(&[("10.0.0.0", "10.255.255.255")], false, true)).expect("ranges");
        let text: Vec<_> = made.iter().map(|r| format!("{}-{}", r.first, r.last)).collect();
        assert_eq!(
            text,
            [
                "0.0.0.0-9.255.255.255",
                "11.0.0.0-255.255.255.255",
                "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
            ]
        );
        let edges = [("0.0.0.0", "0.0.0.9"), ("255.255.255.0", "255.255.255.255")];
        let made = addresses(&set(&edges, false, true)).expect("ranges");
        assert_eq!(made[0].first.to_string(), "0.0.0.10");
        assert_eq!(made[0].last.to_string(), "255.255.254.255");
        assert!(made[1].first.is_ipv6());
    }

    #[test]
    fn any_is_any_and_its_negation_nothing() {
        assert!(addresses(&set(&[], true, false)).is_none());
        assert_eq!(addresses(&set(&[], true, true)).map(|r| r.len()), Some(0));
        assert_eq!(addresses(&set(&[], false, false)).map(|r| r.len()), Some(0));
    }
}
