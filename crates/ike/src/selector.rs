//! Narrowing of traffic selectors (RFC 7296 §2.9).

use crate::message::{MAX_SELECTORS, TrafficSelector};

impl TrafficSelector {
    /// What both contain; `None` when that is nothing.
    pub fn intersect(&self, other: &Self) -> Option<Self> {
        if self.first.is_ipv4() != other.first.is_ipv4() {
            return None;
        }
        let (first, last) = (self.first.max(other.first), self.last.min(other.last));
        let protocol = match (self.protocol, other.protocol) {
            (0, protocol) | (protocol, 0) => protocol,
            (a, b) if a == b => a,
            _ => return None,
        };
        let all = |s: &Self| (s.first_port, s.last_port) == (0, u16::MAX);
        let (first_port, last_port) = match (self.is_opaque(), other.is_opaque()) {
            (true, true) => (u16::MAX, 0),
            // all ports are ports that cannot be seen too (RFC 4301 §4.4.1.1)
            (true, false) if all(other) => (u16::MAX, 0),
            (false, true) if all(self) => (u16::MAX, 0),
            (true, false) | (false, true) => return None,
            (false, false) => {
                let ports =
                    (self.first_port.max(other.first_port), self.last_port.min(other.last_port));
                if ports.0 > ports.1 {
                    return None;
                }
                ports
            }
        };
        (first <= last).then_some(Self { first, last, protocol, first_port, last_port })
    }

    /// Whether everything of `other` is in it.
    pub fn contains(&self, other: &Self) -> bool {
        self.intersect(other) == Some(*other)
    }
}

/// What of the peer's selectors is in ours: in the peer's order, nothing twice, and at most as many
/// as a payload takes.
pub fn narrow(theirs: &[TrafficSelector], ours: &[TrafficSelector]) -> Vec<TrafficSelector> {
    let mut narrowed: Vec<TrafficSelector> = Vec::new();
    for common in theirs.iter().flat_map(|their| ours.iter().filter_map(|our| their.intersect(our)))
    {
        if narrowed.iter().any(|n| n.contains(&common)) {
            continue;
        }
        narrowed.retain(|n| !common.contains(n));
        if narrowed.len() == MAX_SELECTORS {
            break;
        }
        narrowed.push(common);
    }
    narrowed
}

/// Whether every selector of `inner` is in one of `outer`: what an answer must be.
pub fn within(inner: &[TrafficSelector], outer: &[TrafficSelector]) -> bool {
    inner.iter().all(|i| outer.iter().any(|o| o.contains(i)))
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn prefix(text: &str) -> TrafficSelector {
        let (address, length) = text.split_once('/').unwrap();
        TrafficSelector::prefix(address.parse().unwrap(), length.parse().unwrap())
    }

    fn ports(text: &str, protocol: u8, first_port: u16, last_port: u16) -> TrafficSelector {
        TrafficSelector { protocol, first_port, last_port, ..prefix(text) }
    }

    #[test]
    fn narrowing_takes_what_both_have() {
        let all = [prefix("0.0.0.0/0"), prefix("::/0")];
        let nets = [prefix("10.1.0.0/24"), prefix("2001:db8::/32"), prefix("10.2.0.0/16")];
        assert_eq!(narrow(&all, &nets), [nets[0], nets[2], nets[1]]);
        assert_eq!(narrow(&nets, &all), nets);
        assert_eq!(narrow(&[prefix("10.1.0.0/16")], &nets[..1]), &nets[..1]);
        assert_eq!(narrow(&[prefix("10.9.0.0/16")], &nets), []);
        // the packet that asked for it, then the network it lies in (RFC 7296 §2.9)
        let packet = ports("10.1.0.7/32", 6, 443, 443);
        assert_eq!(narrow(&[packet, prefix("10.1.0.0/24")], &nets), [nets[0]]);
        assert_eq!(narrow(&[packet], &nets), [packet]);
    }

    #[test]
    fn protocols_and_ports_are_narrowed_too() {
        let web = ports("10.0.0.0/8", 6, 80, 443);
        let one = ports("10.1.0.0/16", 0, 443, 8443);
        assert_eq!(web.intersect(&one), Some(ports("10.1.0.0/16", 6, 443, 443)));
        assert_eq!(web.intersect(&ports("10.0.0.0/8", 17, 80, 443)), None);
        assert_eq!(web.intersect(&ports("10.0.0.0/8", 6, 444, 445)), None);
        let opaque = ports("10.0.0.0/8", 6, u16::MAX, 0);
        assert_eq!(opaque.intersect(&prefix("10.0.0.0/8")), Some(opaque));
        assert_eq!(opaque.intersect(&web), None);
    }

    /// Small enough that every point can be asked for.
    fn small() -> impl Strategy<Value = TrafficSelector> {
        ([0..16_u32, 0..16], [0..8_u16, 0..8], 0..3_u8).prop_map(|([a, b], [p, q], protocol)| {
            let address = |bits| IpAddr::from(Ipv4Addr::from(bits));
            TrafficSelector {
                first: address(a.min(b)),
                last: address(a.max(b)),
                protocol,
                first_port: p.min(q),
                last_port: p.max(q),
            }
        })
    }

    fn has(list: &[TrafficSelector], address: u32, protocol: u8, port: u16) -> bool {
        let address = IpAddr::from(Ipv4Addr::from(address));
        list.iter().any(|s| {
            (s.first..=s.last).contains(&address)
                && (s.protocol == 0 || s.protocol == protocol)
                && (s.first_port..=s.last_port).contains(&port)
        })
    }

    proptest! {
        #[test]
        fn a_point_is_in_the_result_exactly_when_both_have_it(
            theirs in vec(small(), 0..4),
            ours in vec(small(), 0..4),
        ) {
            let narrowed = narrow(&theirs, &ours);
            prop_assert!(within(&narrowed, &theirs) && within(&narrowed, &ours));
            for (address, port) in (0..16).flat_map(|a| (0..8).map(move |p| (a, p))) {
                for protocol in 1..3 {
                    let both = has(&theirs, address, protocol, port)
                        && has(&ours, address, protocol, port);
                    prop_assert_eq!(has(&narrowed, address, protocol, port), both);
                }
            }
        }
    }
}
