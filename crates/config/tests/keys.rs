//! The table of keys and the parser agree: what is in the table is accepted, and read.

mod pki;

use lockgate_config::{
    Config, Diagnostics, Parsed,
    keys::{Form, SECTIONS, Section},
    parse, parse_with,
};
use pki::Pki;

/// Things that the examples of the table refer to.
const BASE: &str = r#"
[[address-pool]]
name = "staff"
addresses = "10.99.0.0/24"
[[virtual-router]]
name = "guest"
[[port]]
name = "lan0"
device = "eth8"
[[port]]
name = "wan"
device = "eth9"
[[interface]]
name = "lan"
port = "lan0"
zone = "inside"
address = ["10.1.0.254/24"]
[[interface]]
name = "wan"
zone = "outside"
address = ["203.0.113.2/24"]
[objects.address]
servers = "10.2.0.0/24"
[objects.schedule.office-hours]
days = "mon-fri"
"#;

const SA: &str = r#"{ spi = 0x1001, algorithm = "aes256gcm16", key = "0x…" }"#;

const IPSEC: &[(&str, &str)] = &[
    ("name", "\"mine\""),
    ("local", "\"203.0.113.2\""),
    ("remote", "\"198.51.100.7\""),
    ("out", SA),
    ("in", SA),
    ("selectors", "[{ local = \"10.1.0.0/16\", remote = \"10.2.0.0/16\" }]"),
];

const UDP: &[(&str, &str)] = &[
    ("name", "\"mine\""),
    ("local", "\"203.0.113.2\""),
    ("remote", "\"198.51.100.7\""),
    ("out", SA),
    ("in", SA),
    ("selectors", "[{ local = \"10.1.0.0/16\", remote = \"10.2.0.0/16\" }]"),
    ("udp-encapsulation", "true"),
];

const NEGOTIATED: &[(&str, &str)] = &[
    ("name", "\"mine\""),
    ("phase1", "\"paris\""),
    ("selectors", "[{ local = \"10.1.0.0/16\", remote = \"10.2.0.0/16\" }]"),
];

/// A peer for tunnels that are negotiated.
const PARIS: &str = r#"
[[phase1]]
name = "paris"
local = "203.0.113.2"
remote = "198.51.100.7"
psk = "a secret of sixteen"
"#;

/// Keys that a table needs beside the one under test.
fn companions(section: &Section, key: &str) -> &'static [(&'static str, &'static str)] {
    match (section.path, key) {
        ("virtual-router", _) => &[("name", "\"mine\"")],
        ("port", "read" | "write") => &[("name", "\"mine\""), ("kind", "\"pcap\"")],
        ("port", "ring-size") => &[
            ("name", "\"mine\""),
            ("kind", "\"memif\""),
            ("socket", "\"/run/mine.sock\""),
            ("role", "\"client\""),
        ],
        ("port", "socket" | "role" | "id") => {
            &[("name", "\"mine\""), ("kind", "\"memif\""), ("socket", "\"/run/mine.sock\"")]
        }
        ("port", _) => &[("name", "\"mine\"")],
        ("interface", "tunnel") => &[("name", "\"mine\"")],
        ("interface", "loopback") => &[("name", "\"mine\""), ("address", "\"192.0.2.99/32\"")],
        ("ipsec", "local-port" | "remote-port" | "nat-keepalive") => UDP,
        ("ipsec", "phase1" | "phase2" | "proposals") => NEGOTIATED,
        ("ipsec", _) => IPSEC,
        ("gre", _) => {
            &[("name", "\"mine\""), ("local", "\"203.0.113.2\""), ("remote", "\"198.51.100.7\"")]
        }
        ("vxlan", _) => &[
            ("name", "\"mine\""),
            ("local", "\"203.0.113.2\""),
            ("remote", "\"198.51.100.7\""),
            ("vni", "5001"),
        ],
        ("remote-access", "ca" | "crl" | "certificate-user" | "login") => &[
            ("name", "\"mine\""),
            ("address", "\"203.0.113.2\""),
            ("certificate", "\"/etc/lockgate/gw.pem\""),
            ("private-key", "\"/etc/lockgate/gw.key\""),
            ("users", "\"/etc/lockgate/users\""),
            ("pools", "\"clients\""),
            ("ca", "\"/etc/lockgate/ca.pem\""),
            ("login", "\"certificate\""),
        ],
        ("remote-access", _) => &[
            ("name", "\"mine\""),
            ("address", "\"203.0.113.2\""),
            ("certificate", "\"/etc/lockgate/gw.pem\""),
            ("private-key", "\"/etc/lockgate/gw.key\""),
            ("users", "\"/etc/lockgate/users\""),
            ("pools", "\"clients\""),
        ],
        ("ipsec.phase2", _) => &[("name", "\"mine\"")],
        ("phase1", key) => match key {
            "certificate" | "private-key" | "rsa-padding" => &[
                ("name", "\"mine\""),
                ("local", "\"203.0.113.2\""),
                ("remote", "\"198.51.100.8\""),
                ("psk", "\"a secret of sixteen\""),
                ("certificate", "\"/etc/lockgate/gw.pem\""),
                ("private-key", "\"/etc/lockgate/gw.key\""),
            ],
            "ppk-id" | "ppk" | "ppk-required" => &[
                ("name", "\"mine\""),
                ("local", "\"203.0.113.2\""),
                ("remote", "\"198.51.100.8\""),
                ("psk", "\"a secret of sixteen\""),
                ("ppk-id", "\"site-2\""),
                ("ppk", "\"a secret of thirty-two, at the least\""),
            ],
            "ppk-file" => &[
                ("name", "\"mine\""),
                ("local", "\"203.0.113.2\""),
                ("remote", "\"198.51.100.8\""),
                ("psk", "\"a secret of sixteen\""),
                ("ppk-id", "\"site-2\""),
            ],
            "crl" => &[
                ("name", "\"mine\""),
                ("local", "\"203.0.113.2\""),
                ("remote", "\"198.51.100.8\""),
                ("psk", "\"a secret of sixteen\""),
                ("ca", "\"/etc/lockgate/ca.pem\""),
            ],
            "psk-file" => &[
                ("name", "\"mine\""),
                ("local", "\"203.0.113.2\""),
                ("remote", "\"198.51.100.8\""),
            ],
            _ => &[
                ("name", "\"mine\""),
                ("local", "\"203.0.113.2\""),
                ("remote", "\"198.51.100.8\""),
                ("psk", "\"a secret of sixteen\""),
            ],
        },
        ("selectors", _) => &[("local", "\"10.1.0.0/16\""), ("remote", "\"10.2.0.0/16\"")],
        ("in, out", _) => {
            &[("spi", "0x1001"), ("algorithm", "\"aes256gcm16\""), ("key", "\"0x…\"")]
        }
        ("interface", "address") => &[
            ("name", "\"mine\""),
            ("port", "\"lan0\""),
            ("vlan", "7"),
            ("virtual-router", "\"guest\""),
        ],
        ("interface", _) => &[("name", "\"mine\""), ("port", "\"lan0\""), ("vlan", "7")],
        ("route", "blackhole") => &[("to", "\"10.99.0.0/16\"")],
        ("route", "virtual-router") => &[("to", "\"10.99.0.0/16\""), ("blackhole", "true")],
        ("route", "interface") => &[("to", "\"10.99.0.0/16\"")],
        ("route", _) => &[("to", "\"0.0.0.0/0\""), ("via", "\"203.0.113.1\"")],
        ("objects.schedule.*", _) => &[("to", "\"18:30\"")],
        ("policy", _) => &[("id", "3"), ("action", "\"allow\"")],
        ("local-in" | "local-out", _) => &[("name", "\"mine\""), ("action", "\"allow\"")],
        ("vip", _) => {
            &[("name", "\"mine\""), ("external", "\"203.0.113.77\""), ("mapped", "\"10.1.0.7\"")]
        }
        ("forward", _) => &[("external-port", "80")],
        ("pool", "block-size" | "blocks-per-host") => {
            &[("name", "\"mine\""), ("addresses", "\"203.0.113.7\""), ("kind", "\"port-block\"")]
        }
        ("pool", _) => &[("name", "\"mine\""), ("addresses", "\"203.0.113.7\"")],
        ("address-pool", _) => &[("name", "\"mine\""), ("addresses", "\"10.9.0.0/24\"")],
        ("central-snat", _) => &[("name", "\"mine\""), ("nat", "\"off\"")],
        ("neighbour", _) => &[
            ("interface", "\"lan\""),
            ("address", "\"10.1.0.8\""),
            ("mac", "\"02:00:00:00:00:08\""),
        ],
        ("anomaly.*", _) => &[("per-second", "10")],
        _ => &[],
    }
}

/// A text in which `key` of `section` has that value.
fn written(section: &Section, key: &str, value: &str) -> String {
    let mut pairs = vec![(key, value)];
    pairs.extend(companions(section, key).iter().filter(|(name, _)| *name != key));
    let lines: String = pairs.iter().map(|(name, value)| format!("{name} = {value}\n")).collect();
    let inline = lines.trim_end().replace('\n', ", ");
    let base = match (section.path, key) {
        // the base has these tables already
        ("objects", "address") => {
            BASE.replace("[objects.address]\nservers = \"10.2.0.0/24\"\n", "")
        }
        ("objects", "schedule") => {
            BASE.replace("[objects.schedule.office-hours]\ndays = \"mon-fri\"\n", "")
        }
        ("", key) if key != "hostname" => String::new(),
        _ => BASE.to_owned(),
    };
    let text = match (section.path, section.form) {
        ("", _) => format!("{lines}{base}"),
        ("objects.schedule.*", _) => format!("{base}[objects.schedule.mine]\n{lines}"),
        ("objects", _) => format!("{base}[objects]\n{lines}"),
        ("anomaly.*", _) => format!("{base}[anomaly]\nsyn = {{ {inline} }}\n"),
        ("forward", _) => format!(
            "{base}[[vip]]\nname = \"v\"\nexternal = \"203.0.113.9\"\nmapped = \"10.1.0.9\"\nforward = {{ {inline} }}\n"
        ),
        ("selectors", _) => format!("{base}{}selectors = [{{ {inline} }}]\n", tunnel("selectors")),
        ("ipsec", _) if key == "phase2" => format!(
            "{base}{PARIS}[[ipsec]]\nname = \"t\"\nphase1 = \"paris\"\nselectors = [{{ local = \"10.1.0.0/16\", remote = \"10.2.0.0/16\" }}]\n{key} = {value}\n"
        ),
        ("ipsec", _) => format!("{base}{PARIS}[[ipsec]]\n{lines}"),
        ("remote-access", _) => format!(
            "{base}[[address-pool]]\nname = \"clients\"\naddresses = \"10.9.7.0/24\"\n[[remote-access]]\n{}",
            // the password alone has no use for authorities
            match (key, value) {
                ("login", "\"password\"") => lines.replace("ca = \"/etc/lockgate/ca.pem\"\n", ""),
                _ => lines,
            }
        ),
        ("ipsec.phase2", _) => format!(
            "{base}{PARIS}[[ipsec]]\nname = \"t\"\nphase1 = \"paris\"\nselectors = [{{ local = \"10.1.0.0/16\", remote = \"10.2.0.0/16\" }}]\n[[ipsec.phase2]]\n{lines}"
        ),
        ("in, out", _) => format!("{base}{}in = {{ {inline} }}\n", tunnel("in")),
        ("soft-lifetime, hard-lifetime", _) => {
            format!("{base}{}hard-lifetime = {{ {inline} }}\n", tunnel(""))
        }
        ("interface", _) if key == "tunnel" => {
            let tunnel = tunnel("").replace("\"mine\"", "\"to-paris\"");
            format!("{base}{tunnel}[[interface]]\n{lines}")
        }
        (path, Form::Array) => format!("{base}[[{path}]]\n{lines}"),
        (path, _) => format!("{base}[{path}]\n{lines}"),
    };
    // the examples show no key, so that nobody takes it; each is another
    let parts: Vec<&str> = text.split("0x…").collect();
    let keys = (1..parts.len()).map(|n| format!("0x{}", format!("{n:02x}").repeat(36)));
    let keys = keys.chain([String::new()]);
    parts.iter().zip(keys).map(|(part, key)| format!("{part}{key}")).collect()
}

/// A tunnel that lacks one key.
fn tunnel(without: &str) -> String {
    let keys = IPSEC.iter().filter(|(name, _)| *name != without);
    keys.fold("[[ipsec]]\n".to_owned(), |text, (name, value)| format!("{text}{name} = {value}\n"))
}

/// Reads a text; every file that it names and that is not of certificates holds a key.
fn read(pki: &Pki, text: &str) -> Result<Parsed, Diagnostics> {
    let key = |_| Ok(b"the key of the file\n".to_vec());
    parse_with("keys", text, &|path| pki.read(path).or_else(key), pki::NOW)
}

#[test]
fn the_parser_accepts_the_example_of_every_key() {
    let (pki, mut seen) = (Pki::new(), 0);
    for section in SECTIONS {
        for key in section.keys {
            // names of the examples may be taken by what the examples refer to
            let value = if key.name == "name" { "\"mine\"" } else { key.example };
            let text = written(section, key.name, value);
            if let Err(faults) = read(&pki, &text) {
                panic!("{} of {}\n{text}\n{faults}", key.name, section.title());
            }
            seen += 1;
        }
    }
    assert!(seen > 100, "{seen}");
}

#[test]
fn no_key_is_accepted_unread() {
    let pki = Pki::new();
    for section in SECTIONS {
        for key in section.keys {
            // no key takes a date with a zone alone
            let text = written(section, key.name, "1979-05-27T07:32:00Z");
            let faults =
                read(&pki, &text).expect_err(&format!("{} of {}", key.name, section.title()));
            let line =
                text.lines().position(|line| line.contains("1979")).expect("written") as u32 + 1;
            let near = faults
                .iter()
                .any(|fault| fault.line() == line || section.path == "objects.schedule.*");
            assert!(near, "{} of {}\n{faults}", key.name, section.title());
        }
    }
}

#[test]
fn the_empty_file_gives_the_documented_defaults() {
    let config = Config::default();
    assert_eq!(config.hostname, "lockgate");
    assert_eq!(config.control.socket.to_str(), Some("/run/lockgate/ctl.sock"));
    assert_eq!(config.virtual_routers.len(), 1);
    assert_eq!(config.timeouts.tcp_established.as_secs(), 7440);
    assert_eq!(config.timeouts.udp.as_secs(), 120);
    assert_eq!(config.limits.sessions, 262_144);
    assert_eq!(config.limits.flows, 524_288);
    assert_eq!(config.limits.half_open, 65_536);
    assert_eq!(config.limits.reassembly_memory, 4 << 20);
    assert_eq!(config.offload.after_packets, 3);
    assert_eq!(config.offload.one_way_packets, 16);
    assert!(config.offload.weaken.is_empty() && config.anomaly.syn.is_none());
    for section in SECTIONS {
        for key in section.keys.iter().filter(|key| key.default.parse::<u64>().is_ok()) {
            let lockgate_config::keys::Kind::Int { min, max } = key.kind else {
                panic!("{} has a number for its default but takes none", key.name)
            };
            let default = key.default.parse().expect("checked");
            assert!((min..=max).contains(&default), "{}", key.name);
        }
    }
}

#[test]
fn resolved_values_are_what_was_written() {
    let text = format!(
        "{BASE}{}",
        r#"
[objects.address.all]
"#
    );
    assert!(parse("keys", &text).is_err(), "a table is no address object");
    let text = BASE.replace("servers = \"10.2.0.0/24\"", "servers = [\"10.2.0.0/25\", \"10.2.0.128/25\", \"far\"]\nfar = \"2001:db8::1-2001:db8::9\"")
        + r#"
[[vip]]
name = "web"
external = "203.0.113.10"
mapped = "10.2.0.10"
forward = { external-port = "8000-8010", mapped-port = 9000 }
[[route]]
to = "0.0.0.0/0"
via = "203.0.113.1"
[[policy]]
id = 12
from = ["inside", "outside"]
source = "servers"
source-negate = true
destination = ["web", "10.3.0.1"]
service = ["dns", "udp/53"]
schedule = "office-hours"
action = "allow"
"#;
    let config = parse("keys", &text).unwrap_or_else(|faults| panic!("{faults}")).config;
    let policy = config.policy_by_id(12).expect("the policy");
    assert_eq!(policy.name, "policy-12");
    assert_eq!(
        policy.line.0,
        1 + text.lines().position(|l| l == "[[policy]]").expect("there") as u32
    );
    let shown = |set: &lockgate_config::model::AddressSet| {
        set.ranges.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(shown(&policy.source), ["10.2.0.0-10.2.0.255", "2001:db8::1-2001:db8::9"]);
    assert!(policy.source.negate && !policy.source.any);
    assert_eq!(shown(&policy.destination), ["10.2.0.10", "10.3.0.1"]);
    assert_eq!(policy.services.services.len(), 2, "the second udp/53 is the same service");
    assert_eq!(policy.from.len(), 2);
    assert!(policy.to.is_empty());
    let schedule = policy.schedule.as_ref().expect("the schedule");
    assert_eq!(
        schedule.kind,
        lockgate_config::model::ScheduleKind::Recurring { days: 0b1_1111, from: 0, to: 1440 }
    );
    let forward = config.vips[0].forward.as_ref().expect("the ports");
    assert_eq!((forward.external.clone(), forward.mapped), (8000..=8010, 9000));
    let route = &config.routes[0];
    let (wan, _) = config.interface_by_name("wan").expect("wan");
    let gateway = "203.0.113.1".parse().expect("an address");
    assert_eq!(
        route.next_hop,
        lockgate_config::model::NextHop::Gateway { address: gateway, interface: wan }
    );
    assert_eq!(config.zone_name(config.interfaces[0].zone), "inside");
}

#[test]
fn once_schedules_are_in_utc() {
    let once = |extra: &str| {
        let text = format!(
            "[objects.schedule.s]\n{extra}\n[[policy]]\nid = 1\naction = \"deny\"\nschedule = \"s\"\n"
        );
        let config = parse("keys", &text).unwrap_or_else(|faults| panic!("{faults}")).config;
        let lockgate_config::model::ScheduleKind::Once { from, to } =
            config.policies[0].schedule.as_ref().expect("the schedule").kind
        else {
            panic!("not once")
        };
        (from, to)
    };
    // 2026-05-01T00:00:00Z is 1 777 593 600
    let utc = (1_777_593_600, 1_777_597_200);
    assert_eq!(once("from = 2026-05-01T00:00:00Z\nto = 2026-05-01T01:00:00Z"), utc);
    assert_eq!(
        once("from = 2026-05-01T02:00:00\nto = 2026-05-01T03:00:00\nutc-offset = \"+02:00\""),
        utc
    );
    assert_eq!(once("from = \"2026-04-30T19:00:00-05:00\"\nto = 2026-05-01T01:00:00Z"), utc);
}
