//! Services: how one is written, and those that everybody knows.

use core::ops::RangeInclusive;

use wire::proto;

use crate::{
    model::Service,
    suggest::{listed, nearest},
    values::{self, Bad},
};

/// Services that exist without being configured. An object of the same name takes their place.
#[rustfmt::skip]
pub static PREDEFINED: &[(&str, &[&str])] = &[
    ("bgp", &["tcp/179"]),
    ("bfd", &["udp/3784-3785"]),
    ("dhcp", &["udp/67-68"]),
    ("dhcpv6", &["udp/546-547"]),
    ("dns", &["udp/53", "tcp/53"]),
    ("dns-over-tls", &["tcp/853"]),
    ("ftp", &["tcp/21"]),
    ("h323", &["tcp/1720", "udp/1719"]),
    ("http", &["tcp/80"]),
    ("https", &["tcp/443"]),
    ("ike", &["udp/500", "udp/4500"]),
    ("imap", &["tcp/143"]),
    ("imaps", &["tcp/993"]),
    ("iperf3", &["tcp/5201", "udp/5201"]),
    ("ipsec", &["udp/500", "udp/4500", "esp"]),
    ("kerberos", &["tcp/88", "udp/88"]),
    ("ldap", &["tcp/389", "udp/389"]),
    ("ldaps", &["tcp/636"]),
    ("mqtt", &["tcp/1883", "tcp/8883"]),
    ("mysql", &["tcp/3306"]),
    ("netbios", &["udp/137-138", "tcp/139"]),
    ("nfs", &["tcp/2049", "udp/2049"]),
    ("ntp", &["udp/123"]),
    ("ospf", &["ip/89"]),
    ("ping", &["icmp/echo-request", "icmpv6/echo-request"]),
    ("ping4", &["icmp/echo-request"]),
    ("ping6", &["icmpv6/echo-request"]),
    ("pop3", &["tcp/110"]),
    ("pop3s", &["tcp/995"]),
    ("postgresql", &["tcp/5432"]),
    ("pptp", &["tcp/1723", "gre"]),
    ("quic", &["udp/443"]),
    ("radius", &["udp/1812-1813"]),
    ("rdp", &["tcp/3389", "udp/3389"]),
    ("sip", &["tcp/5060-5061", "udp/5060"]),
    ("smb", &["tcp/445"]),
    ("smtp", &["tcp/25"]),
    ("snmp", &["udp/161"]),
    ("snmp-trap", &["udp/162"]),
    ("ssh", &["tcp/22"]),
    ("submission", &["tcp/587", "tcp/465"]),
    ("syslog", &["udp/514", "tcp/514", "tcp/6514"]),
    ("telnet", &["tcp/23"]),
    ("tftp", &["udp/69"]),
    ("traceroute", &["udp/33434-33534", "icmp/echo-request", "icmpv6/echo-request"]),
    ("vnc", &["tcp/5900-5909"]),
    ("vrrp", &["ip/112"]),
    ("wireguard", &["udp/51820"]),
];

/// Protocols that may be written by name.
const PROTOCOLS: &[(&str, u8)] = &[
    ("tcp", proto::TCP),
    ("udp", proto::UDP),
    ("sctp", proto::SCTP),
    ("icmp", proto::ICMP),
    ("icmpv6", proto::ICMPV6),
    ("gre", proto::GRE),
    ("esp", proto::ESP),
    ("ah", 51),
];

/// ICMP types by name (IANA).
const ICMP_TYPES: &[(&str, u16)] = &[
    ("echo-reply", 0),
    ("destination-unreachable", 3),
    ("redirect", 5),
    ("echo-request", 8),
    ("echo", 8),
    ("router-advertisement", 9),
    ("router-solicitation", 10),
    ("time-exceeded", 11),
    ("parameter-problem", 12),
    ("timestamp", 13),
    ("timestamp-reply", 14),
];

/// ICMPv6 types by name (IANA).
const ICMPV6_TYPES: &[(&str, u16)] = &[
    ("destination-unreachable", 1),
    ("packet-too-big", 2),
    ("time-exceeded", 3),
    ("parameter-problem", 4),
    ("echo-request", 128),
    ("echo", 128),
    ("echo-reply", 129),
    ("router-solicitation", 133),
    ("router-advertisement", 134),
    ("neighbour-solicitation", 135),
    ("neighbour-advertisement", 136),
    ("redirect", 137),
];

const ALL_PORTS: RangeInclusive<u16> = 0..=u16::MAX;

/// Whether a text is written as a service rather than as the name of one.
pub(crate) fn is_literal(text: &str) -> bool {
    text.contains('/') || PROTOCOLS.iter().any(|(name, _)| *name == text)
}

/// A service: `tcp/80`, `udp/5000-5010`, `tcp/22 from 1024-65535`, `icmp/echo-request`, `gre`,
/// `ip/89`.
pub(crate) fn literal(text: &str) -> Result<Service, Bad> {
    let (name, rest) = match text.split_once('/') {
        Some((name, rest)) => (name.trim(), Some(rest.trim())),
        None => (text.trim(), None),
    };
    if matches!(name, "ip" | "proto") {
        return by_number(text, rest);
    }
    let Some((_, number)) = PROTOCOLS.iter().find(|(known, _)| *known == name) else {
        let known = || PROTOCOLS.iter().map(|(name, _)| *name);
        let help = match nearest(name, known()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => "write a service such as \"tcp/443\", or \"ip/89\" for a protocol by number"
                .to_owned(),
        };
        let expected = format!("one of {}, `ip/number`", listed(known()));
        return Err(Bad::new(format!("`{name}` is not a protocol"), expected, help));
    };
    match (*number, rest) {
        (proto::ICMP, rest) => icmp(proto::ICMP, ICMP_TYPES, rest),
        (proto::ICMPV6, rest) => icmp(proto::ICMPV6, ICMPV6_TYPES, rest),
        (number @ (proto::TCP | proto::UDP | proto::SCTP), rest) => with_ports(number, rest),
        (number, None) => Ok(Service { proto: number, src_ports: ALL_PORTS, dst_ports: ALL_PORTS }),
        (_, Some(_)) => Err(Bad::new(
            format!("{name} has no ports"),
            format!("\"{name}\""),
            format!("write \"{name}\""),
        )),
    }
}

fn by_number(text: &str, rest: Option<&str>) -> Result<Service, Bad> {
    let number = rest.and_then(|rest| rest.parse::<u8>().ok()).ok_or_else(|| {
        let message = format!("\"{text}\" is not a protocol number");
        Bad::new(
            message,
            "`ip/number`, 0 to 255",
            "write a protocol number, such as \"ip/89\" for OSPF",
        )
    })?;
    Ok(Service { proto: number, src_ports: ALL_PORTS, dst_ports: ALL_PORTS })
}

fn with_ports(proto: u8, rest: Option<&str>) -> Result<Service, Bad> {
    let (to, from) = match rest {
        None => (None, None),
        Some(rest) => match rest.split_once(" from ") {
            Some((to, from)) => (Some(to.trim()), Some(from)),
            None => (Some(rest), None),
        },
    };
    let read = |text: Option<&str>| match text {
        None | Some("any") => Ok(ALL_PORTS),
        Some(text) => values::ports(text),
    };
    Ok(Service { proto, src_ports: read(from)?, dst_ports: read(to)? })
}

fn icmp(proto: u8, types: &[(&'static str, u16)], rest: Option<&str>) -> Result<Service, Bad> {
    let kind = match rest {
        None | Some("any") => {
            return Ok(Service { proto, src_ports: ALL_PORTS, dst_ports: 0..=255 });
        }
        Some(text) => match types.iter().find(|(name, _)| *name == text) {
            Some((_, number)) => *number,
            None => text.parse::<u8>().map(u16::from).map_err(|_| {
                let known = || types.iter().map(|(name, _)| *name);
                let help = match nearest(text, known()) {
                    Some(near) => format!("did you mean \"{near}\"?"),
                    None => "write the number of the type, such as \"icmp/8\"".to_owned(),
                };
                let expected = format!("a type from 0 to 255, or one of {}", listed(known()));
                Bad::new(format!("`{text}` is not an ICMP type"), expected, help)
            })?,
        },
    };
    Ok(Service { proto, src_ports: ALL_PORTS, dst_ports: kind..=kind })
}

/// A service as it is written.
pub(crate) fn show(service: &Service) -> String {
    let range = |ports: &RangeInclusive<u16>| match (*ports.start(), *ports.end()) {
        (first, last) if first == last => first.to_string(),
        (first, last) => format!("{first}-{last}"),
    };
    let name = PROTOCOLS.iter().find(|(_, number)| *number == service.proto).map(|(name, _)| *name);
    let mut out = match name {
        Some(name) => name.to_owned(),
        None => return format!("ip/{}", service.proto),
    };
    let every = if matches!(name, Some("icmp" | "icmpv6")) { 0..=255 } else { ALL_PORTS };
    if service.dst_ports != every {
        out.push_str(&format!("/{}", range(&service.dst_ports)));
    }
    if service.src_ports != ALL_PORTS {
        if service.dst_ports == every {
            out.push_str("/any");
        }
        out.push_str(&format!(" from {}", range(&service.src_ports)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_predefined_service_reads() {
        for (name, texts) in PREDEFINED {
            assert!(values::name(name).is_ok());
            for text in *texts {
                assert!(is_literal(text), "{text}");
                let service = literal(text).expect(text);
                let again = literal(&show(&service)).expect("what is shown reads");
                assert_eq!(service, again, "{text}");
            }
        }
    }

    #[test]
    fn source_ports_and_types() {
        let service = literal("udp/500 from 1024-65535").expect("valid");
        assert_eq!((service.src_ports, service.dst_ports), (1024..=65535, 500..=500));
        assert_eq!(literal("icmpv6").expect("valid").dst_ports, 0..=255);
        for bad in ["tcpp/80", "gre/5", "tcp/70000", "tcp/9-8", "icmp/256", "ip/x", "tcp/"] {
            assert!(literal(bad).is_err(), "{bad}");
        }
    }
}
