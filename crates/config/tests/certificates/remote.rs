//! Remote access: what is wrong with it is told with line and fix, and what is right is read.

use std::fmt::Write;

use lockgate_config::{
    Diagnostics, Parsed, Touches, diff,
    model::{Login, RemoteAccess},
    parse_with,
};

use crate::pki::{NOW, Pki};

/// An interface, a pool of addresses, and a remote access that the cases go on with.
const BASE: &str = r#"[[port]]
name = "wan"
[[interface]]
name = "wan"
address = ["203.0.113.2/24", "2001:db8:f::2/64"]
[[address-pool]]
name = "clients"
addresses = "10.9.0.0/24"
[[pool]]
name = "out"
addresses = "203.0.113.7"
"#;

/// `#` stands for a directory, and `+` for what every remote access needs.
const CASES: &[(&str, &str)] = &[
    (
        "missing-key",
        "[[remote-access]]\nname = \"r\"\ncertificate = \"#gw.pem\"\nprivate-key = \"#gw.key\"\nusers = \"#users\"\npools = \"clients\"",
    ),
    (
        "missing-key",
        "[[remote-access]]\nname = \"r\"\naddress = \"203.0.113.2\"\nprivate-key = \"#gw.key\"\nusers = \"#users\"\npools = \"clients\"",
    ),
    (
        "missing-key",
        "[[remote-access]]\nname = \"r\"\naddress = \"203.0.113.2\"\ncertificate = \"#gw.pem\"\nprivate-key = \"#gw.key\"\npools = \"clients\"",
    ),
    (
        "missing-key",
        "[[remote-access]]\nname = \"r\"\naddress = \"203.0.113.2\"\ncertificate = \"#gw.pem\"\nprivate-key = \"#gw.key\"\nusers = \"#users\"",
    ),
    ("missing-key", "+pools = \"clients\"\nlogin = \"certificate\""),
    (
        "foreign-local",
        "[[remote-access]]\nname = \"r\"\naddress = \"203.0.113.9\"\ncertificate = \"#gw.pem\"\nprivate-key = \"#gw.key\"\nusers = \"#users\"\npools = \"clients\"",
    ),
    (
        "bad-certificate",
        "[[remote-access]]\nname = \"r\"\naddress = \"203.0.113.2\"\ncertificate = \"#gw.pem\"\nprivate-key = \"#other.key\"\nusers = \"#users\"\npools = \"clients\"",
    ),
    (
        "bad-value",
        "[[remote-access]]\nname = \"r\"\naddress = \"203.0.113.2\"\ncertificate = \"#no.pem\"\nprivate-key = \"#gw.key\"\nusers = \"#users\"\npools = \"clients\"",
    ),
    (
        "bad-users",
        "[[remote-access]]\nname = \"r\"\naddress = \"203.0.113.2\"\ncertificate = \"#gw.pem\"\nprivate-key = \"#gw.key\"\nusers = \"#twice\"\npools = \"clients\"",
    ),
    ("bad-authority", "+pools = \"clients\"\nlogin = \"certificate\"\nca = \"#empty.pem\""),
    (
        "bad-crl",
        "+pools = \"clients\"\nlogin = \"certificate\"\nca = \"#ca.pem\"\ncrl = \"#gw.key\"",
    ),
    ("unfitting-key", "+pools = \"clients\"\nca = \"#ca.pem\""),
    ("unknown-name", "+pools = \"client\""),
    ("unknown-name", "+pools = \"out\""),
    ("bad-value", "+pools = \"clients\"\nbanner = \"two\\nlines\""),
    ("bad-value", "+pools = \"clients\"\ndomain = \"example com\""),
    ("out-of-range", "+pools = \"clients\"\ndpd = \"0s\""),
    (
        "port-taken",
        "+pools = \"clients\"\n[[vip]]\nname = \"web\"\nexternal = \"203.0.113.2\"\nmapped = \"10.1.0.9\"\nforward = { proto = \"tcp\", external-port = 443 }",
    ),
    (
        "port-taken",
        "+pools = \"clients\"\n[[remote-access]]\nname = \"other\"\naddress = \"203.0.113.2\"\ncertificate = \"#gw.pem\"\nprivate-key = \"#gw.key\"\nusers = \"#users\"\npools = \"clients\"",
    ),
];

/// What is accepted with a doubt.
const DOUBTS: &[(&str, &str)] = &[
    (
        "no-users",
        "[[remote-access]]\nname = \"r\"\naddress = \"203.0.113.2\"\ncertificate = \"#gw.pem\"\nprivate-key = \"#gw.key\"\nusers = \"#nobody\"\npools = \"clients\"",
    ),
    (
        "expired-certificate",
        "[[remote-access]]\nname = \"r\"\naddress = \"203.0.113.2\"\ncertificate = \"#old.pem\"\nprivate-key = \"#gw.key\"\nusers = \"#users\"\npools = \"clients\"",
    ),
    (
        "too-many-name-servers",
        "+pools = \"clients\"\ndns = [\"10.1.0.1\", \"10.1.0.2\", \"10.1.0.3\", \"10.1.0.4\"]",
    ),
];

const NEEDS: &str = "[[remote-access]]\nname = \"r\"\naddress = \"203.0.113.2\"\ncertificate = \"#gw.pem\"\nprivate-key = \"#gw.key\"\nusers = \"#users\"\n";

fn read(pki: &Pki, text: &str) -> Result<Parsed, Diagnostics> {
    let text = text.replace('+', NEEDS).replace('#', "/etc/lockgate/");
    parse_with("test.toml", &format!("{BASE}{text}\n"), &|path| pki.read(path), NOW)
}

fn right(pki: &Pki, text: &str) -> Parsed {
    read(pki, text).unwrap_or_else(|faults| panic!("{text}\n{faults}"))
}

#[test]
fn every_fault_and_doubt_names_its_line_and_the_fix() {
    let pki = Pki::new();
    let mut page = String::new();
    for (code, text) in CASES {
        let faults = read(&pki, text).expect_err(text);
        let codes: Vec<_> = faults.iter().map(|fault| fault.code).collect();
        assert_eq!(codes, [*code], "{faults}");
        let _ = writeln!(page, "{faults}");
    }
    for (code, text) in DOUBTS {
        let parsed = right(&pki, text);
        let codes: Vec<_> = parsed.warnings.iter().map(|warning| warning.code).collect();
        assert_eq!(codes, [*code], "{text}");
        let _ = writeln!(page, "{}", parsed.warnings[0]);
    }
    insta::assert_snapshot!("remote", page);
}

#[test]
fn what_is_written_is_read_and_has_an_interface_of_its_own() {
    let pki = Pki::new();
    let text = "+pools = \"clients\"\nzone = \"remote\"\nlogin = \"certificate-and-password\"\nca = \"#ca.pem\"\ncrl = \"#ca.crl\"\nrekey = \"0s\"\nidle-timeout = \"30m\"\nsplit-include = \"10.1.0.0/16\"\ngroups = [\"staff\", \"guests\"]\n";
    let parsed = right(&pki, text);
    assert!(parsed.warnings.is_empty(), "{:?}", parsed.warnings);
    let config = parsed.config;
    let tunnel = &config.tunnels[0];
    assert_eq!(config.interface_name(tunnel.interface), "r");
    assert_eq!(config.interface(tunnel.interface).map(|i| i.mtu), Some(1400));
    let access: &RemoteAccess = tunnel.remote_access().expect("remote access");
    assert_eq!((access.port, access.login), (443, Login::CertificateAndPassword));
    assert_eq!((access.rekey, access.idle_timeout.map(|t| t.as_secs())), (None, Some(1800)));
    assert_eq!(access.groups, ["staff", "guests"]);
    assert!(access.dtls && access.egress_optimisation);
    assert!(access.tls.server(access.login).is_ok());
}

#[test]
fn differences_tell_that_a_file_has_changed_and_not_what_is_in_it() {
    let (before, after) = (Pki::new(), Pki::new());
    let text = "+pools = \"clients\"\n";
    let one = right(&before, text).config;
    let same = diff(&one, &right(&before, text).config);
    assert!(same.is_empty(), "{same}");
    let changed = diff(&one, &right(&after, text).config);
    let fields: Vec<_> = changed.iter().flat_map(|c| &c.fields).map(|f| f.field).collect();
    assert_eq!(fields, ["certificate (contents)", "private-key"]);
    assert_eq!(changed.touches(), Touches { tunnels: true, ..Touches::default() });
    let other =
        diff(&one, &right(&before, &text.replace('+', &NEEDS.replace("#users", "#nobody"))).config);
    let fields: Vec<_> = other.iter().flat_map(|c| &c.fields).map(|f| f.field).collect();
    assert_eq!(fields, ["users", "users"]);
    let debug = format!("{one:?}{changed}{other}");
    assert!(!debug.contains("PRIVATE") && !debug.contains("alice"), "{debug}");
}
