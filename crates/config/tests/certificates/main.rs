//! Certificates of peers: what is wrong with files is told with line and fix, and what is right is read.

#[path = "../pki/mod.rs"]
mod pki;
mod remote;

use std::fmt::Write;

use lockgate_config::{
    Diagnostics, Parsed, Touches, diff,
    model::{LocalAuth, RemoteAuth},
    parse_with,
};
use pki::{NOW, Pki};

/// An interface, and a peer that the cases go on with.
const BASE: &str = r#"[[port]]
name = "wan"
[[interface]]
name = "wan"
address = "203.0.113.2/24"
[[phase1]]
name = "p"
local = "203.0.113.2"
remote = "198.51.100.7"
remote-id = "peer.example.com"
"#;

/// Ours, and whom we believe; `#` stands for a directory.
const OURS: &str = "certificate = \"#gw.pem\"\nprivate-key = \"#gw.key\"\n";
const THEIRS: &str = "ca = \"#ca.pem\"\n";

/// The code that is expected, and what is written below [`BASE`].
const CASES: &[(&str, &str)] = &[
    ("missing-key", "certificate = \"#gw.pem\"\nca = \"#ca.pem\""),
    ("missing-key", "certificate = \"#gw.pem\"\nprivate-key = \"#gw.key\""),
    ("missing-key", "remote-auth = \"certificate\"\npsk = \"a secret of sixteen\""),
    ("missing-key", "ca = \"#ca.pem\""),
    (
        "unfitting-key",
        "certificate = \"#gw.pem\"\nprivate-key = \"#gw.key\"\nca = \"#ca.pem\"\npsk = \"a secret of sixteen\"",
    ),
    ("unfitting-key", "psk = \"a secret of sixteen\"\ncrl = \"#ca.crl\""),
    ("unfitting-key", "auth = \"psk\"\npsk = \"a secret of sixteen\"\ncertificate = \"#gw.pem\""),
    (
        "keys-and-certificates",
        "certificate = [\"#gw.pem\", \"#gw.pem\"]\nprivate-key = \"#gw.key\"\nca = \"#ca.pem\"",
    ),
    ("bad-value", "certificate = \"#no.pem\"\nprivate-key = \"#gw.key\"\nca = \"#ca.pem\""),
    ("bad-value", "certificate = \"gw.pem\"\nprivate-key = \"#gw.key\"\nca = \"#ca.pem\""),
    (
        "bad-value",
        "certificate = \"#gw.pem\"\nprivate-key = \"-----BEGIN PRIVATE KEY-----MC4CAQ\"\nca = \"#ca.pem\"",
    ),
    (
        "bad-certificate",
        "certificate = \"#empty.pem\"\nprivate-key = \"#gw.key\"\nca = \"#ca.pem\"",
    ),
    ("bad-certificate", "certificate = \"#long.pem\"\nprivate-key = \"#gw.key\"\nca = \"#ca.pem\""),
    (
        "bad-certificate",
        "certificate = \"#gw.pem\"\nprivate-key = \"#other.key\"\nca = \"#ca.pem\"",
    ),
    ("bad-certificate", "certificate = \"#gw.pem\"\nprivate-key = \"#gw.pem\"\nca = \"#ca.pem\""),
    (
        "bad-certificate",
        "certificate = \"#gw.pem\"\nprivate-key = \"#encrypted.key\"\nca = \"#ca.pem\"",
    ),
    (
        "bad-certificate",
        "certificate = \"#encrypting.pem\"\nprivate-key = \"#gw.key\"\nca = \"#ca.pem\"",
    ),
    ("bad-authority", "ca = \"#empty.pem\"\npsk = \"a secret of sixteen\""),
    ("bad-authority", "ca = [\"#ca.pem\", \"#gw.pem\"]\npsk = \"a secret of sixteen\""),
    ("bad-crl", "ca = \"#ca.pem\"\ncrl = \"#ca.pem\"\npsk = \"a secret of sixteen\""),
];

/// What is accepted with a doubt.
const DOUBTS: &[(&str, &str)] = &[
    (
        "expired-certificate",
        "certificate = \"#old.pem\"\nprivate-key = \"#gw.key\"\nca = \"#ca.pem\"",
    ),
    (
        "certificate-not-yet-valid",
        "certificate = \"#next.pem\"\nprivate-key = \"#gw.key\"\nca = \"#ca.pem\"",
    ),
    ("expired-certificate", "ca = \"#old-ca.pem\"\npsk = \"a secret of sixteen\""),
    ("expired-crl", "ca = \"#ca.pem\"\ncrl = \"#old.crl\"\npsk = \"a secret of sixteen\""),
    (
        "not-certified",
        "certificate = \"#gw.pem\"\nprivate-key = \"#gw.key\"\nca = \"#ca.pem\"\nlocal-id = \"gw.example.org\"",
    ),
];

fn read(pki: &Pki, text: &str, now: u64) -> Result<Parsed, Diagnostics> {
    let text = format!("{BASE}{}\n", text.replace('#', "/etc/lockgate/"));
    parse_with("test.toml", &text, &|path| pki.read(path), now)
}

fn right(pki: &Pki, text: &str) -> Parsed {
    read(pki, text, NOW).unwrap_or_else(|faults| panic!("{text}\n{faults}"))
}

#[test]
fn every_fault_and_doubt_names_its_line_and_the_fix() {
    let pki = Pki::new();
    let mut page = String::new();
    for (code, text) in CASES {
        let faults = read(&pki, text, NOW).expect_err(text);
        assert_eq!(faults.iter().map(|fault| fault.code).collect::<Vec<_>>(), [*code], "{faults}");
        assert!(!faults.to_string().contains("MC4CAQ"), "{faults}");
        let _ = writeln!(page, "{faults}");
    }
    for (code, text) in DOUBTS {
        let parsed = right(&pki, text);
        let codes: Vec<_> = parsed.warnings.iter().map(|warning| warning.code).collect();
        assert_eq!(codes, [*code], "{text}");
        let _ = writeln!(page, "{}", parsed.warnings[0]);
    }
    insta::assert_snapshot!("messages", page);
}

#[test]
fn a_certificate_is_said_to_end_two_weeks_before_it_does() {
    let pki = Pki::new();
    let text = format!("{OURS}{THEIRS}");
    // 2028-01-01, when it ends
    let end = 1_830_297_600;
    let codes = |now| -> Vec<_> {
        read(&pki, &text, now).unwrap().warnings.iter().map(|warning| warning.code).collect()
    };
    assert!(codes(end - 14 * 86_400).is_empty());
    assert_eq!(codes(end - 14 * 86_400 + 1), ["certificate-expires-soon"]);
    assert_eq!(codes(end), ["certificate-expires-soon"]);
    assert_eq!(codes(end + 1), ["expired-certificate"]);
}

#[test]
fn each_end_may_prove_itself_in_its_own_way() {
    let pki = Pki::new();
    let psk = "psk = \"a secret of sixteen\"\n";
    let of = |text: &str| {
        let parsed = right(&pki, text);
        assert!(parsed.warnings.is_empty(), "{text}");
        let peer = parsed.config.peers.into_iter().next().unwrap();
        let ours = matches!(peer.auth, LocalAuth::Certificate { .. });
        let theirs = matches!(peer.remote_auth, RemoteAuth::Certificate { .. });
        (ours, theirs, peer.local_id.to_string())
    };
    assert_eq!(of(psk), (false, false, "203.0.113.2".into()));
    assert_eq!(of(&format!("{OURS}{psk}")), (true, false, "CN=gw".into()));
    assert_eq!(of(&format!("{THEIRS}{psk}")), (false, true, "203.0.113.2".into()));
    let named = format!("{OURS}{THEIRS}crl = \"#ca.crl\"\nlocal-id = \"gw.example.com\"\n");
    assert_eq!(of(&named), (true, true, "gw.example.com".into()));
    let chain =
        "certificate = [\"#chain.pem\", \"#gw.pem\"]\nprivate-key = [\"#gw.key\", \"#gw.key\"]\n";
    assert_eq!(
        of(&format!("{chain}{THEIRS}rsa-padding = \"pss\"\n")),
        (true, true, "CN=gw".into())
    );
}

#[test]
fn differences_tell_of_what_is_in_files_and_of_no_secret() {
    let (before, after) = (Pki::new(), Pki::new());
    let text = format!("{OURS}{THEIRS}crl = \"#ca.crl\"\n");
    let same = diff(&right(&before, &text).config, &right(&before, &text).config);
    assert!(same.is_empty(), "{same}");
    // the list was renewed
    let renewed = text.replace("ca.crl", "old.crl");
    let changed = diff(&right(&before, &text).config, &right(&before, &renewed).config);
    let fields: Vec<_> = changed.iter().flat_map(|c| &c.fields).map(|f| f.field).collect();
    assert_eq!(fields, ["crl"]);
    assert_eq!(changed.touches(), Touches { tunnels: true, ..Touches::default() });
    // from certificates to a key
    let psk = right(&after, "psk = \"a secret of sixteen\"\n");
    let changed = diff(&right(&after, &text).config, &psk.config).to_string();
    assert!(changed.contains("certificate: /etc/lockgate/gw.pem: certificate CN=gw, serial 02"));
    assert!(changed.contains("(secret) → (another secret)") && !changed.contains("sixteen"));
    let debug = format!("{:?}", right(&after, &text).config);
    assert!(!debug.contains("PRIVATE") && debug.contains("PrivateKey(ECDSA"), "{debug}");
}
