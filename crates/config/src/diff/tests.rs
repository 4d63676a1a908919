//! What counts as a difference, and what it touches.

use super::*;

const BASE: &str = r#"
[[port]]
name = "eth0"
[[port]]
name = "eth1"
[[interface]]
name = "wan"
port = "eth0"
address = "203.0.113.2/24"
[[interface]]
name = "lan"
port = "eth1"
address = "10.0.0.1/24"
[[route]]
to = "0.0.0.0/0"
via = "203.0.113.1"
[objects.address]
servers = "10.0.0.10"
[[pool]]
name = "p1"
addresses = "203.0.113.20"
[[pool]]
name = "p2"
addresses = "203.0.113.21"
[[policy]]
id = 1
from = "lan"
to = "wan"
service = "http"
action = "allow"
nat = "p1"
[[policy]]
id = 2
from = "wan"
destination = "servers"
action = "allow"
[[policy]]
id = 3
from = "lan"
service = "ssh"
action = "deny"
"#;

fn read(text: &str) -> Config {
    crate::parse("test", text).unwrap_or_else(|faults| panic!("{faults}")).config
}

fn between(old: &str, new: &str) -> ConfigDiff {
    diff(&read(old), &read(new))
}

/// The difference that replacing a piece of the base makes.
fn edit(from: &str, to: &str) -> ConfigDiff {
    assert!(BASE.contains(from), "{from}");
    between(BASE, &BASE.replacen(from, to, 1))
}

#[test]
fn blank_lines_and_comments_are_no_difference() {
    let spaced = format!("# a comment\n\n{}", BASE.replace("[[policy]]", "\n# rule\n[[policy]]"));
    let diff = between(BASE, &spaced);
    assert!(diff.is_empty(), "{diff}");
    assert!(!diff.touches().any());
    assert_eq!(diff.to_string(), "no difference\n");
}

#[test]
fn text_form_shows_old_and_new() {
    let new = BASE
        .replace("service = \"http\"", "service = [\"http\", \"dns\"]")
        .replace("servers = \"10.0.0.10\"", "servers = \"10.0.0.0/28\"")
        .replace("id = 3\n", "id = 4\nname = \"no-ssh\"\n");
    insta::assert_snapshot!("text_form", between(BASE, &new));
}

#[test]
fn a_policy_that_moves_is_moved_and_the_others_are_not() {
    let (first, rest) = BASE.split_once("[[policy]]").expect("policies");
    let rules: Vec<&str> = rest.split("[[policy]]").collect();
    let [one, two, three] = rules.as_slice() else { panic!("three policies") };
    let moved = format!("{first}[[policy]]{three}[[policy]]{one}[[policy]]{two}");
    let diff = between(BASE, &moved);
    let [change] = diff.changes.as_slice() else { panic!("{diff}") };
    assert_eq!((change.kind, change.name.as_str()), (ChangeKind::Moved, "3 policy-3"));
    let order = change.fields.first().expect("the order");
    assert_eq!(order.old.as_deref(), Some("after 2 policy-2"));
    assert_eq!(order.new.as_deref(), Some("first"));
    assert_eq!(diff.touches(), Touches { policies: true, ..Touches::default() });
}

#[test]
fn each_part_is_touched_by_what_belongs_to_it() {
    let none = Touches::default();
    let cases = [
        ("via = \"203.0.113.1\"", "via = \"203.0.113.3\"", Touches { routes: true, ..none }),
        ("nat = \"p1\"", "nat = \"p2\"", Touches { policies: true, nat: true, ..none }),
        ("nat = \"p1\"", "nat = \"p1\"\noffload = \"off\"", Touches { offload: true, ..none }),
        ("203.0.113.21\"", "203.0.113.22\"", Touches { nat: true, ..none }),
        ("servers = \"10.0.0.10\"", "servers = \"10.0.0.11\"", Touches { policies: true, ..none }),
        ("10.0.0.1/24\"", "10.0.0.1/25\"", Touches { interfaces: true, routes: true, ..none }),
        ("10.0.0.1/24\"", "10.0.0.1/24\"\nmtu = 1400", Touches { interfaces: true, ..none }),
        ("name = \"eth1\"", "name = \"eth1\"\nfast-path = false", Touches { ports: true, ..none }),
        (
            "name = \"eth1\"",
            "name = \"eth1\"\nsuper-packets = false",
            Touches { ports: true, ..none },
        ),
        ("[objects", "[timeouts]\nudp = \"3m\"\n[objects", Touches { timeouts: true, ..none }),
        ("[objects", "[limits]\nframes = 4096\n[objects", Touches { limits: true, ..none }),
        ("[objects", "[engine]\nprofile = \"np7\"\n[objects", Touches { engine: true, ..none }),
        (
            "[objects",
            "[anomaly]\nsyn = { per-second = 9 }\n[objects",
            Touches { anomaly: true, ..none },
        ),
        ("[objects", "[debug]\nexport-keys = true\n[objects", Touches { control: true, ..none }),
        (
            "[objects",
            "[control]\nmetrics = \"127.0.0.1:1\"\n[objects",
            Touches { control: true, ..none },
        ),
        (
            "[objects",
            "[[neighbour]]\ninterface = \"lan\"\naddress = \"10.0.0.9\"\nmac = \"02:00:00:00:00:01\"\n[objects",
            Touches { neighbours: true, ..none },
        ),
    ];
    for (from, to, expected) in cases {
        let diff = edit(from, to);
        assert_eq!(diff.touches(), expected, "{to}\n{diff}");
    }
}

#[test]
fn pools_that_change_places_touch_nat_because_indices_follow() {
    let swapped = BASE
        .replace("name = \"p1\"\naddresses = \"203.0.113.20\"", "name = \"tmp\"")
        .replace(
            "name = \"p2\"\naddresses = \"203.0.113.21\"",
            "name = \"p1\"\naddresses = \"203.0.113.20\"",
        )
        .replace("name = \"tmp\"", "name = \"p2\"\naddresses = \"203.0.113.21\"");
    let diff = between(BASE, &swapped);
    assert_eq!(diff.touches(), Touches { nat: true, ..Touches::default() }, "{diff}");
}

#[test]
fn another_key_is_a_difference_that_shows_no_key() {
    let key = |last: &str| "ab".repeat(35) + last;
    let tunnel = |last: &str| {
        let (out, back) = (key(last), "cd".repeat(36));
        format!(
            r#"{BASE}
[[ipsec]]
name = "site"
local = "203.0.113.2"
remote = "203.0.113.9"
selectors = [{{ local = "10.0.0.0/24", remote = "10.9.0.0/24" }}]
out = {{ spi = 0x1001, algorithm = "aes256gcm16", key = "{out}" }}
in = {{ spi = 0x2001, algorithm = "aes256gcm16", key = "{back}" }}
"#
        )
    };
    let diff = between(&tunnel("01"), &tunnel("02"));
    assert_eq!(
        diff.changes[0].fields,
        [FieldChange {
            field: "out key",
            old: Some("(secret)".into()),
            new: Some("(another secret)".into())
        }],
        "{diff}"
    );
    assert!(diff.touches().tunnels);
    let added = between(BASE, &tunnel("01")).to_string();
    assert!(added.contains("spi 0x1001") && !added.contains("abab"), "{added}");
}
