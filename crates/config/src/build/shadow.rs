//! Policies that nothing can reach, because an earlier one takes all that they match.
//!
//! Only single earlier policies are looked at, not several together: what is reported is certain,
//! what is not reported may still be unreachable.

use core::ops::RangeInclusive;

use crate::{
    model::{AddressSet, IpRange, Policy, Service, ServiceSet, Who, ZoneId},
    read::Tab,
};

pub(super) fn check(tabs: &[Tab<'_, '_>], policies: &[Policy]) {
    for (position, (tab, policy)) in tabs.iter().zip(policies).enumerate() {
        if !policy.enabled {
            continue;
        }
        let earlier = policies.iter().zip(tabs).take(position);
        let Some((other, other_tab)) = earlier.into_iter().find(|(other, _)| covers(other, policy))
        else {
            continue;
        };
        let help = match other.action == policy.action && other.nat == policy.nat {
            true => format!("remove it, or narrow policy {}", other.id),
            false => format!("move it above policy {}, or narrow that", other.id),
        };
        let message = format!("policy {} `{}` is never reached", policy.id, policy.name);
        tab.doc
            .warning("shadowed-policy", &tab.span, message)
            .expected(format!("something that policy {} does not match", other.id))
            .found("only what an earlier policy takes")
            .help(help)
            .related(&other_tab.span, format!("policy {} `{}` takes it", other.id, other.name))
            .emit();
    }
}

/// Whether everything that `policy` matches is matched by `other`, at any time.
fn covers(other: &Policy, policy: &Policy) -> bool {
    other.enabled
        && zones_cover(&other.from, &policy.from)
        && zones_cover(&other.to, &policy.to)
        && services_cover(&other.services, &policy.services)
        && addresses_cover(&other.source, &policy.source)
        && who_covers(&other.who, &policy.who)
        && addresses_cover(&other.destination, &policy.destination)
        && (other.schedule.is_none() || other.schedule == policy.schedule)
}

fn zones_cover(wide: &[ZoneId], narrow: &[ZoneId]) -> bool {
    wide.is_empty() || (!narrow.is_empty() && narrow.iter().all(|zone| wide.contains(zone)))
}

fn who_covers(wide: &Who, narrow: &Who) -> bool {
    let holds = |wide: &[String], narrow: &[String]| narrow.iter().all(|name| wide.contains(name));
    wide.is_anybody()
        || (!narrow.is_anybody()
            && (wide.known
                || (!narrow.known
                    && holds(&wide.users, &narrow.users)
                    && holds(&wide.groups, &narrow.groups))))
}

fn addresses_cover(wide: &AddressSet, narrow: &AddressSet) -> bool {
    if wide.any {
        return true;
    }
    if wide.negate || narrow.negate || narrow.any {
        return wide.negate == narrow.negate && !narrow.any && wide.ranges == narrow.ranges;
    }
    // both are sorted and merged, so one range of `wide` must hold each of `narrow`
    let holds = |range: &IpRange| {
        let after = wide.ranges.partition_point(|candidate| candidate.first <= range.first);
        after.checked_sub(1).and_then(|at| wide.ranges.get(at)).is_some_and(|candidate| {
            candidate.contains(range.first) && candidate.contains(range.last)
        })
    };
    !narrow.ranges.is_empty() && narrow.ranges.iter().all(holds)
}

fn services_cover(wide: &ServiceSet, narrow: &ServiceSet) -> bool {
    let inside = |wide: &RangeInclusive<u16>, narrow: &RangeInclusive<u16>| {
        wide.start() <= narrow.start() && narrow.end() <= wide.end()
    };
    let holds = |wide: &Service, narrow: &Service| {
        wide.proto == narrow.proto
            && inside(&wide.dst_ports, &narrow.dst_ports)
            && inside(&wide.src_ports, &narrow.src_ports)
    };
    wide.any
        || (!narrow.any
            && !narrow.services.is_empty()
            && narrow.services.iter().all(|n| wide.services.iter().any(|w| holds(w, n))))
}
